//! Where the families differ, and where they meet: sizes, checksums and headers, zones, addresses of ours and routers, listeners for
//! one family or both, IPv4 addresses in IPv6 guise; and a build for IPv4 alone. What is the same over both is shown by the other
//! programs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

#[cfg(not(feature = "ipv6"))]
mod ipv4_only;

#[cfg(feature = "ipv6")]
mod addresses;
#[cfg(feature = "ipv6")]
mod bytes;
#[cfg(feature = "ipv6")]
mod disguise;
#[cfg(all(feature = "ecn", feature = "ipv6"))]
mod ecn;
#[cfg(feature = "ipv6")]
mod links;
#[cfg(feature = "ipv6")]
mod listeners;
#[cfg(feature = "ipv6")]
mod sizes;
#[cfg(feature = "ipv6")]
mod zones;
