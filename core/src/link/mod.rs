//! Frames to and from segments: Ethernet II with ARP, IPv4 and IPv6, or plain IP for a TUN device.
//!
//! [`Link`] wraps the engine for users who hold frames. It takes what is TCP for our addresses, notes what it can learn from, and says
//! about everything else that it is not for us. It answers no ARP request, no neighbor solicitation and no ping: that is left to the IP
//! stack beside it.

pub(crate) mod addresses;
mod arp;
mod ethernet;
#[cfg(feature = "ipv6")]
pub(crate) mod ext_headers;
mod headers;
mod icmp;
#[cfg(feature = "ipv6")]
mod icmpv6;
mod medium;
#[cfg(feature = "ipv6")]
pub(crate) mod ndp;
mod neighbors;
mod receive;
mod state;
mod transmit;

pub use self::addresses::{Interface, MAX_ADDRESSES};
#[cfg(feature = "ipv6")]
pub use self::ext_headers::MAX_EXTENSION_HEADERS;
pub use self::medium::Medium;
pub use self::receive::Received;
pub use self::state::{Link, LinkCounters};
pub use self::transmit::{Frame, LinkOutput};
