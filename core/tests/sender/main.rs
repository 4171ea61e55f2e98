//! The sender of one connection against a model of it, which knows the RFCs and what passed on the wire: congestion control, loss recovery, windows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod findings;
mod model;
mod pairs;
mod receiver;
#[cfg(feature = "sack")]
mod sack_findings;
#[cfg(feature = "sack")]
mod sack_model;
#[cfg(feature = "sack")]
mod sack_oracle;
#[cfg(feature = "sack")]
mod sack_receiver;
#[cfg(feature = "sack")]
mod sack_world;
#[cfg(feature = "sack")]
mod sack_worlds;
mod scale;
mod world;
mod worlds;
