//! Two engines of ours with buffers of few segments, over a path that loses nothing: silly window avoidance, Nagle's algorithm and delayed
//! acknowledgments do not wait for each other (RFC 9293 §3.7.4, §3.8.6.2, §3.8.6.3).
//!
//! Time is virtual. Whenever nothing is on its way, no application has anything to do and not all is delivered, a timer of one side must pass: that is a wait, and
//! none is inherent where the receiver's application asks for more ([`tcp_reset_core::Tcp::recv`] finds nothing) or answers. One that only reads
//! what it is told of, and answers to a whole message, may cost each message one: the end of a message, a short segment, is held back for the acknowledgment
//! of another short segment (Nagle's algorithm as Minshall proposed it), which the receiver holds back in turn.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod bulk;
mod lab;
mod messages;
