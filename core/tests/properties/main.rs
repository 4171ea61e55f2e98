//! What must hold whatever arrives and whatever is asked for: parser, long random lives of two hosts, and time. Over each family, and
//! where both share one engine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod draws;
mod idle;
mod life;
mod lives;
mod noise;
mod old_duplicates;
mod parser;
#[cfg(feature = "ipv6")]
mod side_by_side;
mod zoo;
