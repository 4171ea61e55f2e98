//! The sender of one connection against a model of it, which knows the RFCs and what passed on the wire: congestion control, loss recovery, windows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod findings;
mod model;
mod pairs;
mod receiver;
mod world;
mod worlds;
