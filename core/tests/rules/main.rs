//! One test for each rule, in a file for each state: state, stimulus, effect. Each runs over both families.
//!
//! A test looks at the verdict, the bytes on the wire, what the application is told and what is counted. Checksums are verified
//! and acknowledgments are sent at once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod aborts;
mod any_state;
mod challenges;
mod checks;
mod close_wait;
mod closed;
mod closing;
mod coverage;
mod established;
mod fin_wait;
mod isn;
mod last_ack;
mod listen;
mod resets;
mod syn_received;
mod syn_sent;
mod time_wait;
mod timestamps;
mod two_engines;
