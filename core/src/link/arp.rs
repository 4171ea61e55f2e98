//! ARP (RFC 826), as far as it teaches IPv4 neighbors and asks for them.

use core::net::Ipv4Addr;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};

use super::neighbors::Lesson;
use crate::wire::addr::{Addr, LinkAddr};

/// Bytes of an ARP packet for Ethernet and IPv4.
pub(super) const PACKET_LEN: usize = 28;

/// What a packet teaches. A packet to us answers a question, or else brings up to date what is known; so does an announcement to all of
/// its sender's own address.
pub(super) fn read(payload: &[u8], is_ours: impl Fn(Addr) -> bool) -> Option<Lesson> {
    let packet = ArpPacket::new_checked(payload).ok()?;
    let Ok(ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, target_protocol_addr, .. }) =
        ArpRepr::parse(&packet)
    else {
        return None;
    };
    let (addr, link_addr) = (Addr::v4(source_protocol_addr), LinkAddr(source_hardware_addr.0));
    if !link_addr.is_station() || !addr.is_one_host() {
        return None;
    }
    if is_ours(Addr::v4(target_protocol_addr)) {
        Some(Lesson::Told(addr, link_addr))
    } else if source_protocol_addr == target_protocol_addr {
        Some(Lesson::Announced(addr, link_addr))
    } else {
        None
    }
}

/// Writes the question for `target`.
pub(super) fn emit_request(payload: &mut [u8], ours: LinkAddr, source: Ipv4Addr, target: Ipv4Addr) {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(ours.0),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    repr.emit(&mut ArpPacket::new_unchecked(payload));
}
