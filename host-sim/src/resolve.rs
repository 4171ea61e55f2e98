//! Answers to who asks for an Ethernet address, as the IP stack beside the core would give them.

use std::net::{IpAddr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

/// The hop limit that proves a message to be of this link (RFC 4861 §7.1).
pub(crate) const FROM_LINK: u8 = 255;

/// Answers a frame that asks for `addr`.
pub fn answer(frame: &[u8], addr: IpAddr, mac: [u8; 6]) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Arp => answer_arp(ethernet.payload(), addr, mac),
        EthernetProtocol::Ipv6 => answer_solicitation(&ethernet, addr, mac),
        EthernetProtocol::Ipv4 | EthernetProtocol::Unknown(_) => None,
    }
}

/// RFC 826.
fn answer_arp(payload: &[u8], addr: IpAddr, mac: [u8; 6]) -> Option<Vec<u8>> {
    let request = ArpRepr::parse(&ArpPacket::new_checked(payload).ok()?).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = request
    else {
        return None;
    };
    if IpAddr::from(target_protocol_addr) != addr {
        return None;
    }
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: target_protocol_addr,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    };
    let mut buf = ethernet(mac, source_hardware_addr, EthernetProtocol::Arp, reply.buffer_len());
    reply.emit(&mut ArpPacket::new_unchecked(EthernetFrame::new_unchecked(&mut buf).payload_mut()));
    Some(buf)
}

/// RFC 4861 §7.2.4.
fn answer_solicitation(frame: &EthernetFrame<&[u8]>, addr: IpAddr, mac: [u8; 6]) -> Option<Vec<u8>> {
    let ipv6 = Ipv6Packet::new_checked(frame.payload()).ok()?;
    if ipv6.next_header() != IpProtocol::Icmpv6 || ipv6.hop_limit() != FROM_LINK {
        return None;
    }
    let (asker, icmp) = (ipv6.src_addr(), Icmpv6Packet::new_checked(ipv6.payload()).ok()?);
    let checksums = ChecksumCapabilities::default();
    let Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, .. })) =
        Icmpv6Repr::parse(&asker, &ipv6.dst_addr(), &icmp, &checksums)
    else {
        return None;
    };
    if IpAddr::from(target_addr) != addr {
        return None;
    }
    // Who has no address yet asks whether this one is free: all are told that it is not.
    let is_duplicate_check = asker.is_unspecified();
    let flags = if is_duplicate_check { NdiscNeighborFlags::empty() } else { NdiscNeighborFlags::SOLICITED };
    let (to, to_mac) = match is_duplicate_check {
        true => (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), EthernetAddress([0x33, 0x33, 0, 0, 0, 1])),
        false => (asker, frame.src_addr()),
    };
    let advertisement = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: flags | NdiscNeighborFlags::OVERRIDE,
        target_addr,
        lladdr: Some(EthernetAddress(mac).into()),
    });
    Some(on_link((mac, target_addr), (to_mac, to), &advertisement))
}

/// A frame with a message of neighbor discovery in it, from one pair of addresses to another.
pub(crate) fn on_link(
    (from_mac, from): ([u8; 6], Ipv6Addr),
    (to_mac, to): (EthernetAddress, Ipv6Addr),
    message: &Icmpv6Repr<'_>,
) -> Vec<u8> {
    let header = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: FROM_LINK,
    };
    let mut buf = ethernet(from_mac, to_mac, EthernetProtocol::Ipv6, header.buffer_len() + header.payload_len);
    let mut view = EthernetFrame::new_unchecked(&mut buf);
    let mut packet = Ipv6Packet::new_unchecked(view.payload_mut());
    header.emit(&mut packet);
    let checksums = ChecksumCapabilities::default();
    message.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(packet.payload_mut()), &checksums);
    buf
}

/// A frame with its header written and its payload still zero.
fn ethernet(from: [u8; 6], to: EthernetAddress, ethertype: EthernetProtocol, payload: usize) -> Vec<u8> {
    let mut buf = vec![0; EthernetFrame::<&[u8]>::buffer_len(payload)];
    let header = EthernetRepr { src_addr: EthernetAddress(from), dst_addr: to, ethertype };
    header.emit(&mut EthernetFrame::new_unchecked(&mut buf));
    buf
}
