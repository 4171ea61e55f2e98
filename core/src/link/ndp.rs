//! Neighbor discovery (RFC 4861), as far as it teaches neighbors and asks for them.

use core::net::Ipv6Addr;

use smoltcp::wire::{EthernetAddress, Icmpv6Packet, Icmpv6Repr, Ipv6Packet, NdiscNeighborFlags, NdiscRepr};

use super::neighbors::Lesson;
use crate::wire::addr::{Addr, LinkAddr};

/// Bytes of a solicitation: 24, and the option that tells our Ethernet address.
pub(super) const SOLICITATION_LEN: usize = 32;
/// No router has passed it on, so it is from this link (RFC 4861 §7.1).
pub(crate) const FROM_LINK: u8 = 255;

/// The option that tells the target's link address (RFC 4861 §4.6), and the unit of options' lengths.
const TARGET_LINK_ADDRESS: u8 = 2;
const OPTION_UNIT: usize = 8;

/// Who may teach: an advertisement of this very link (hop limit), whole (checksum), well formed (RFC 4861 §7.1.2), from a station, about
/// one host. Only one that answers is believed; one that nobody asked for can be anybody's, and makes us ask (RFC 4861 would believe it
/// where its override flag is set).
pub(super) fn read_advertisement(packet: &Ipv6Packet<&[u8]>, icmp: &Icmpv6Packet<&[u8]>) -> Option<Lesson> {
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
