//! IPv6 extension headers that the kernel puts in front of each segment of a socket, ipv6(7) and RFC 3542 §6.

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use socket2::Socket;

/// Hop-by-hop or destination options of eight bytes: the kernel fills in the next header; the length counts what is beyond eight; the one
/// option is padding.
const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

/// Sends every segment of the socket behind hop-by-hop and destination options.
///
/// # Errors
/// As the kernel says; it wants `CAP_NET_RAW` in the namespace.
pub fn send_with_options(socket: &Socket) -> io::Result<()> {
    for option in [libc::IPV6_HOPOPTS, libc::IPV6_DSTOPTS] {
        // SAFETY: the kernel reads as many bytes of the constant as it is told, and keeps none of them.
        let outcome = unsafe {
            let len = PADDING.len() as libc::socklen_t;
            libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IPV6, option, PADDING.as_ptr().cast(), len)
        };
        Errno::result(outcome)?;
    }
    Ok(())
}
