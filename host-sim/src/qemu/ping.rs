//! One echo request and its reply (RFC 792).

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Ipv4Packet};
use socket2::{Domain, Protocol, Socket, Type};

/// How long a reply is waited for, and how often the request is repeated: a board that has just started knows no neighbour, asks for the
/// address, and forgets the request over it (embassy-net keeps none).
const PATIENCE: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 5;

/// Sends `data` and waits for it to come back.
///
/// # Errors
/// If nothing, or something else, comes back.
pub(super) fn ping(to: Ipv4Addr, seq_no: u16, data: &[u8]) -> Result<()> {
    let mut socket =
        Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).context("cannot make an ICMP socket")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let ident = 0x7472;
    let request = Icmpv4Repr::EchoRequest { ident, seq_no, data };
    let mut packet = vec![0; request.buffer_len()];
    request.emit(&mut Icmpv4Packet::new_unchecked(&mut packet), &ChecksumCapabilities::default());
    for _ in 0..ATTEMPTS {
        socket.send_to(&packet, &SocketAddrV4::new(to, 0).into()).context("cannot send an echo request")?;
        if let Some(back) = await_reply(&mut socket, ident, seq_no) {
            ensure!(back == data, "{to} answered ping with other octets");
            return Ok(());
        }
    }
    bail!("{to} answers none of {ATTEMPTS} pings")
}

fn await_reply(socket: &mut Socket, ident: u16, seq_no: u16) -> Option<Vec<u8>> {
    let began = Instant::now();
    let mut buf = vec![0; 2_048];
    while began.elapsed() < PATIENCE {
        let n = socket.read(&mut buf).ok()?;
        let Ok(ipv4) = Ipv4Packet::new_checked(&buf[..n]) else { continue };
        let Ok(icmp) = Icmpv4Packet::new_checked(ipv4.payload()) else { continue };
        // Replies to other requests pass by here too.
        if let Ok(Icmpv4Repr::EchoReply { ident: of, seq_no: no, data }) =
            Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default())
            && (of, no) == (ident, seq_no)
        {
            return Some(data.to_vec());
        }
    }
    None
}
