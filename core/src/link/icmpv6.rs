//! ICMPv6: errors (RFC 4443), as far as they quote a segment of ours, and what neighbor discovery teaches.

use smoltcp::wire::{Icmpv6Message, Icmpv6Packet, Ipv6Packet};

use super::ext_headers::{self, Behind};
use super::icmp::Undelivered;
#[cfg(feature = "ethernet")]
use super::{ndp, neighbors::Lesson};
use crate::wire::addr::{Addr, Tuple};
use crate::wire::segment;

/// What a message is to us.
pub(super) enum Message {
    /// It tells where a neighbor is.
    #[cfg(feature = "ethernet")]
    Lesson(Lesson),
    /// A router or the peer's host could not deliver a segment of ours.
    Error(Undelivered),
    /// Another message of either kind, which is passed on as these are.
    Noted,
    /// Nothing of ours.
    Other,
}

/// Reads a message that came in `packet` behind its headers.
pub(super) fn read(packet: &Ipv6Packet<&[u8]>, message: &[u8]) -> Message {
    let Ok(icmp) = Icmpv6Packet::new_checked(message) else { return Message::Other };
    let kind = icmp.msg_type();
    #[cfg(feature = "ethernet")]
    if kind == Icmpv6Message::NeighborAdvert {
        return ndp::read_advertisement(packet, &icmp).map_or(Message::Noted, Message::Lesson);
    }
    if kind.is_error() {
        read_error(packet, &icmp).map_or(Message::Noted, Message::Error)
    } else if kind.is_ndisc() {
        Message::Noted
    } else {
        Message::Other
    }
}

/// The segment an error quotes, if it is one of TCP and all is there that names it.
fn read_error(packet: &Ipv6Packet<&[u8]>, icmp: &Icmpv6Packet<&[u8]>) -> Option<Undelivered> {
    if !icmp.verify_checksum(&packet.src_addr(), &packet.dst_addr()) {
        return None;
    }
    // Cut off where the error would have grown too long: the lengths in it are no longer true.
    let quote = icmp.payload();
    let (header, rest) = quote.split_at_checked(smoltcp::wire::IPV6_HEADER_LEN)?;
    let quoted = Ipv6Packet::new_unchecked(header);
    let Behind::Tcp(octets) = ext_headers::walk(quoted.next_header().into(), rest) else { return None };
    let (local_port, remote_port, seq) = segment::names(octets)?;
    let (local_addr, remote_addr) = (Addr::v6(quoted.src_addr())?, Addr::v6(quoted.dst_addr())?);
    let mtu = (icmp.msg_type() == Icmpv6Message::PktTooBig).then(|| icmp.pkt_too_big_mtu());
    Some(Undelivered { tuple: Tuple { local_addr, remote_addr, local_port, remote_port }, seq, mtu })
}
