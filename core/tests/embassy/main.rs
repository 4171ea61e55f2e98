//! The Embassy side judged from outside: hosts, devices and a wire in memory, a virtual clock, peers that write their frames by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![allow(unreachable_pub, reason = "nothing is reachable from outside a test")]

#[path = "../support"]
mod support {
    pub(crate) mod packet;
}

mod clock;
mod exec;
mod hosts;
mod net;
mod packet;

mod aborting;
mod address;
mod beside;
mod checksums;
mod dhcp;
mod dropping;
mod edge_nal;
mod errors;
#[cfg(feature = "ipv6")]
mod ipv6;
mod journal;
mod latency;
mod limits;
mod picoserve;
mod robust;
mod settings;
mod shared_device;
mod sharing;
mod sleeping;
mod start;
mod streams;
mod stuck;
mod traits;
mod whole;
