//! One echo request and its reply (RFC 792, RFC 4443 §4).

use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, Ipv4Packet};
use socket2::{Domain, Protocol, Socket, Type};

/// How long a reply is waited for, and how often the request is repeated: a board that has just started knows no neighbor, asks for the
/// address, and forgets the request over it (embassy-net keeps none).
const PATIENCE: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 5;

/// What this program's requests bear.
const IDENT: u16 = 0x7472;

/// Sends `data` and waits for it to come back.
///
/// # Errors
/// If nothing, or something else, comes back.
pub(super) fn ping(to: IpAddr, seq_no: u16, data: &[u8]) -> Result<()> {
    let (domain, protocol, packet) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, request_v4(seq_no, data)),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, request_v6(seq_no, data)),
    };
    let mut socket = Socket::new(domain, Type::RAW, Some(protocol)).context("cannot make an ICMP socket")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..ATTEMPTS {
        socket.send_to(&packet, &SocketAddr::new(to, 0).into()).context("cannot send an echo request")?;
        if let Some(back) = await_reply(&mut socket, to, seq_no) {
            ensure!(back == data, "{to} answered ping with other bytes");
            return Ok(());
        }
    }
    bail!("{to} answers none of {ATTEMPTS} pings")
}

fn request_v4(seq_no: u16, data: &[u8]) -> Vec<u8> {
    let request = Icmpv4Repr::EchoRequest { ident: IDENT, seq_no, data };
    let mut packet = vec![0; request.buffer_len()];
    request.emit(&mut Icmpv4Packet::new_unchecked(&mut packet), &ChecksumCapabilities::default());
    packet
}

/// The kernel fills in the checksum, which the addresses take part in.
fn request_v6(seq_no: u16, data: &[u8]) -> Vec<u8> {
    let request = Icmpv6Repr::EchoRequest { ident: IDENT, seq_no, data };
    let mut packet = vec![0; request.buffer_len()];
    let (any, ignored) = (Ipv6Addr::UNSPECIFIED, ChecksumCapabilities::ignored());
    request.emit(&any, &any, &mut Icmpv6Packet::new_unchecked(&mut packet), &ignored);
    packet
}

fn await_reply(socket: &mut Socket, from: IpAddr, seq_no: u16) -> Option<Vec<u8>> {
    let began = Instant::now();
    let mut buf = vec![0; 2_048];
    while began.elapsed() < PATIENCE {
        let n = socket.read(&mut buf).ok()?;
        // Replies to other requests pass by here too.
        let reply = if from.is_ipv4() { reply_v4(&buf[..n]) } else { reply_v6(&buf[..n]) };
        if let Some((of, data)) = reply
            && of == (IDENT, seq_no)
        {
            return Some(data.to_vec());
        }
    }
    None
}

/// The identifier, number and bytes of a reply, which comes with its IP header.
fn reply_v4(packet: &[u8]) -> Option<((u16, u16), &[u8])> {
    let ipv4 = Ipv4Packet::new_checked(packet).ok()?;
    let icmp = Icmpv4Packet::new_checked(ipv4.payload()).ok()?;
    match Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()) {
        Ok(Icmpv4Repr::EchoReply { ident, seq_no, data }) => Some(((ident, seq_no), data)),
        _ => None,
    }
}

/// The same, which comes without, and which the kernel has verified.
fn reply_v6(message: &[u8]) -> Option<((u16, u16), &[u8])> {
    let icmp = Icmpv6Packet::new_checked(message).ok()?;
    let any = Ipv6Addr::UNSPECIFIED;
    match Icmpv6Repr::parse(&any, &any, &icmp, &ChecksumCapabilities::ignored()) {
        Ok(Icmpv6Repr::EchoReply { ident, seq_no, data }) => Some(((ident, seq_no), data)),
        _ => None,
    }
}
