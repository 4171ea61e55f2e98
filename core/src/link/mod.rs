//! Frames to and from segments: Ethernet II with ARP, IPv4 and IPv6 (feature `ethernet`), or plain IP for a TUN device or a serial line.
//!
//! [`Link`] wraps the engine for users who hold frames. It takes what is TCP for our addresses, notes what it can learn from, and says
//! about everything else that it is not for us. It answers no ARP request, no neighbor solicitation and no ping: that is left to the IP
//! stack beside it.

pub(crate) mod addresses;
#[cfg(feature = "ethernet")]
mod arp;
#[cfg(feature = "ethernet")]
mod ethernet;
#[cfg(feature = "ipv6")]
pub(crate) mod ext_headers;
mod headers;
mod icmp;
#[cfg(feature = "ipv6")]
mod icmpv6;
#[cfg(not(feature = "ethernet"))]
mod ip_only;
mod medium;
#[cfg(all(feature = "ethernet", feature = "ipv6"))]
pub(crate) mod ndp;
#[cfg(feature = "ethernet")]
mod neighbors;
mod receive;
mod state;
mod transmit;

#[cfg(not(feature = "ethernet"))]
use self::ip_only as neighbors;

pub use self::addresses::{Interface, MAX_ADDRESSES};
#[cfg(feature = "ipv6")]
pub use self::ext_headers::MAX_EXTENSION_HEADERS;
pub use self::medium::Medium;
pub use self::receive::Received;
pub use self::state::{Link, LinkCounters};
pub use self::transmit::{Frame, LinkOutput};
