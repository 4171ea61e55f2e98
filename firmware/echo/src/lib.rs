#![no_std]
//! The smallest echo server over IP on each stack, for their sizes: one listener, one connection, no Ethernet, no executor, no log. Both
//! do the same work: IP header and checksums, the connection from its SYN to its end, the time of the next wake-up.
//!
//! | module | holds |
//! |---|---|
//! | `ours` | feature `echo-core`: the server on tcp-reset-core |
//! | `theirs` | feature `echo-smoltcp`: the server on smoltcp |
//! | `wire` | packets from and to a line, as SLIP or PPP would carry them |
//! | `held` | bytes between being received and being sent back |

#[cfg(test)]
extern crate std;

#[cfg(any(feature = "echo-core", feature = "echo-smoltcp"))]
mod held;
#[cfg(feature = "echo-core")]
pub mod ours;
#[cfg(all(test, feature = "echo-core", feature = "echo-smoltcp"))]
mod tests;
#[cfg(feature = "echo-smoltcp")]
pub mod theirs;
mod wire;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use wire::{MTU, Packet, Wire};

/// The port of the echo protocol (RFC 862).
pub const PORT: u16 = 7;
/// Bytes of each of a connection's two buffers.
pub const BUFFER: usize = 1_024;
/// The server's addresses with the length of their networks' prefixes.
pub const ADDRESSES: &[(IpAddr, u8)] = match cfg!(feature = "ipv6") {
    true => &[ADDRESS_V4, (IpAddr::V6(Ipv6Addr::new(0xfd10, 0x69, 0, 0, 0, 0, 0, 2)), 64)],
    false => &[ADDRESS_V4],
};
const ADDRESS_V4: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(10, 69, 0, 2)), 24);

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    halt()
}

/// Waits for the watchdog.
pub fn halt() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
