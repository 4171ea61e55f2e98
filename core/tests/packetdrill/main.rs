//! What packetdrill's scripts ask of any TCP, over each family: which segments leave, in which order and when.
//!
//! Each test names the script whose course it follows. Numbers are counted as there: the first byte of either side is 1. `docs/transfer.md` lists which
//! scripts are followed and which are left out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]
#![allow(clippy::single_range_in_vec_init, reason = "a list of one block is a list of one range")]

#[path = "../support/mod.rs"]
mod support;

mod early_retransmit;
#[cfg(feature = "sack")]
mod fast_recovery;
mod fast_retransmit;
mod limited_transmit;
mod nagle;
#[cfg(feature = "sack")]
mod sack;
mod script;
mod slow_start;
mod zero_window;
