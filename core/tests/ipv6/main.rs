//! The link's IPv6 attacked from outside: header chains, neighbor discovery, ICMPv6 errors, frames of any shape. What is expected is
//! read from the RFCs and the public documentation; frames are written and read by hand.
#![cfg(feature = "ipv6")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![allow(unreachable_pub, reason = "nothing is reachable from outside a test")]

#[path = "../support"]
mod support {
    pub(crate) mod packet;
}

mod headers;
mod input;
mod packet;
mod scene;

mod chains;
mod corpus;
mod discovery;
mod errors;
mod malformed;
mod random;
