//! The Embassy side judged from outside: hosts, devices and a wire in memory, a virtual clock, peers that write their frames by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

mod clock;
mod exec;
mod hosts;
mod net;
mod packet;

mod streams;
