//! Neighbor discovery (RFC 4861), as far as it teaches neighbors and asks for them, and ICMPv6 errors (RFC 4443).

use core::net::Ipv6Addr;

use smoltcp::wire::{
    EthernetAddress, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, Ipv6Packet, NdiscNeighborFlags, NdiscRepr,
};

use super::ext_headers::{self, Behind};
use super::icmp::Undelivered;
use super::neighbors::Lesson;
use crate::wire::addr::{Addr, LinkAddr, Tuple};
use crate::wire::segment;

/// Bytes of a solicitation: 24, and the option that tells our Ethernet address.
pub(super) const SOLICITATION_LEN: usize = 32;
/// No router has passed it on, so it is from this link (RFC 4861 §7.1).
pub(crate) const FROM_LINK: u8 = 255;

/// The option that tells the target's link address (RFC 4861 §4.6), and the unit of options' lengths.
const TARGET_LINK_ADDRESS: u8 = 2;
const OPTION_UNIT: usize = 8;

/// What a message is to us.
pub(super) enum Message {
    /// It tells where a neighbor is.
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
    if kind == Icmpv6Message::NeighborAdvert {
        read_advertisement(packet, &icmp).map_or(Message::Noted, Message::Lesson)
    } else if kind.is_error() {
        read_error(packet, &icmp).map_or(Message::Noted, Message::Error)
    } else if kind.is_ndisc() {
        Message::Noted
    } else {
        Message::Other
    }
}

/// Who may teach: an advertisement of this very link (hop limit), whole (checksum), well formed (RFC 4861 §7.1.2), from a station, about
/// one host. Only one that answers is believed; one that nobody asked for can be anybody's, and makes us ask (RFC 4861 would believe it
/// where its override flag is set).
fn read_advertisement(packet: &Ipv6Packet<&[u8]>, icmp: &Icmpv6Packet<&[u8]>) -> Option<Lesson> {
    let is_from_link = packet.hop_limit() == FROM_LINK && icmp.msg_code() == 0;
    if !is_from_link || !icmp.verify_checksum(&packet.src_addr(), &packet.dst_addr()) {
        return None;
    }
    let is_answer = icmp.neighbor_flags().contains(NdiscNeighborFlags::SOLICITED);
    if is_answer && packet.dst_addr().is_multicast() {
        return None;
    }
    let one_host = |addr| Addr::v6(addr).filter(|addr| addr.is_one_host());
    one_host(packet.src_addr())?;
    let target = one_host(icmp.target_addr())?;
    let link_addr = target_link_address(icmp.payload()).filter(|link_addr| link_addr.is_station())?;
    Some(if is_answer { Lesson::Answer(target, link_addr) } else { Lesson::Doubt(target, link_addr) })
}

/// The target's link address, if one option tells it and all have a length; what others hold is not looked at (RFC 4861 §7.1.2).
fn target_link_address(mut options: &[u8]) -> Option<LinkAddr> {
    let mut found = None;
    while let [kind, len, ..] = *options {
        let (option, rest) = options.split_at_checked(OPTION_UNIT * usize::from(len)).filter(|_| len > 0)?;
        if kind == TARGET_LINK_ADDRESS {
            found = option[2..].first_chunk::<6>().map(|addr| LinkAddr(*addr));
        }
        options = rest;
    }
    found.filter(|_| options.is_empty())
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

/// The group that listens for questions about `target` (RFC 4291 §2.7.1), and its Ethernet address (RFC 2464 §7).
pub(super) fn solicited_group(target: Ipv6Addr) -> (Addr, LinkAddr) {
    let [.., a, b, c] = target.octets();
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    // No group's address stands for an IPv4 address.
    (Addr::from_v6_octets(&group).unwrap_or(Addr::ZERO), LinkAddr([0x33, 0x33, 0xff, a, b, c]))
}

/// Writes the question for `target` behind its IPv6 header.
pub(super) fn emit_solicitation(message: &mut [u8], ours: LinkAddr, source: Ipv6Addr, target: Ipv6Addr) {
    let repr = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit {
        target_addr: target,
        lladdr: Some(EthernetAddress(ours.0).into()),
    });
    let group = solicited_group(target).0.as_v6().unwrap_or(Ipv6Addr::UNSPECIFIED);
    let checksums = smoltcp::phy::ChecksumCapabilities::default();
    repr.emit(&source, &group, &mut Icmpv6Packet::new_unchecked(message), &checksums);
}
