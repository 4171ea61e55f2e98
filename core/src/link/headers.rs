//! Headers in front of what we send. Every octet is written: nothing of an older frame in the buffer leaks (CVE-2020-7451).

use core::net::Ipv4Addr;
use core::ops::Range;

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet};

use super::medium::Medium;
use crate::wire::addr::{Addr, Hop};
use crate::wire::checksum::{ChecksumBy, Sum};

/// Octets of an Ethernet II header.
const ETHERNET_HEADER: usize = 14;
/// Octets of an IPv4 header as we send it: without options.
pub(super) const IPV4_HEADER: usize = 20;
/// Octets of an IPv6 header.
pub(super) const IPV6_HEADER: usize = 40;
/// Where the checksum stands in IPv4's.
const IPV4_CHECKSUM: Range<usize> = 10..12;
/// Time to live of what we send (RFC 1700's recommendation), and hop limit.
const HOP_LIMIT: u8 = 64;

impl Medium {
    pub(super) fn header_len(self) -> usize {
        match self {
            Medium::Ethernet(_) => ETHERNET_HEADER,
            Medium::Ip => 0,
        }
    }

    /// Writes the link header, if the medium has one, and gives what comes behind it.
    pub(super) fn emit_header(self, buf: &mut [u8], to: Hop, protocol: EthernetProtocol) -> &mut [u8] {
        let Medium::Ethernet(ours) = self else {
            return buf;
        };
        let (header, payload) = buf.split_at_mut(ETHERNET_HEADER.min(buf.len()));
        let mut frame = EthernetFrame::new_unchecked(header);
        frame.set_dst_addr(EthernetAddress(to.0));
        frame.set_src_addr(EthernetAddress(ours.0));
        frame.set_ethertype(protocol);
        payload
    }
}

/// Octets of the IP header in front of a segment between addresses of this one's family.
pub(super) fn ip_header_len(addr: Addr) -> usize {
    if addr.is_v4() { IPV4_HEADER } else { IPV6_HEADER }
}

/// What Ethernet calls the family of this address.
pub(super) fn ethertype(addr: Addr) -> EthernetProtocol {
    if addr.is_v4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 }
}

/// Writes the IP header in front of a segment that fills the rest of `packet`.
pub(super) fn emit_ip_header(packet: &mut [u8], src: Addr, dst: Addr, by: ChecksumBy) {
    if let (Some(src), Some(dst)) = (src.as_v4(), dst.as_v4()) {
        emit_ipv4_header(packet, src, dst, by);
    }
    #[cfg(feature = "ipv6")]
    if let (Some(src), Some(dst)) = (src.as_v6(), dst.as_v6()) {
        emit_ipv6_header(packet, src, dst, IpProtocol::Tcp, HOP_LIMIT);
    }
}

/// "Don't fragment" is set, so the identification means nothing (RFC 6864 §4.1).
fn emit_ipv4_header(packet: &mut [u8], src: Ipv4Addr, dst: Ipv4Addr, by: ChecksumBy) {
    let total_len = packet.len() as u16;
    packet[..IPV4_HEADER].fill(0);
    let mut ipv4 = Ipv4Packet::new_unchecked(&mut *packet);
    ipv4.set_version(4);
    ipv4.set_header_len(IPV4_HEADER as u8);
    ipv4.set_total_len(total_len);
    ipv4.set_dont_frag(true);
    ipv4.set_hop_limit(HOP_LIMIT);
    ipv4.set_next_header(IpProtocol::Tcp);
    ipv4.set_src_addr(src);
    ipv4.set_dst_addr(dst);
    if by.is_filled_here() {
        let mut sum = Sum::ZERO;
        sum.add(&packet[..IPV4_HEADER]);
        packet[IPV4_CHECKSUM].copy_from_slice(&sum.complement());
    }
}

/// Traffic class and flow label are zero, which RFC 6437 §3 lets a sender say that labels no flows.
#[cfg(feature = "ipv6")]
pub(super) fn emit_ipv6_header(
    packet: &mut [u8],
    src: core::net::Ipv6Addr,
    dst: core::net::Ipv6Addr,
    next: IpProtocol,
    hop_limit: u8,
) {
    let payload_len = (packet.len() - IPV6_HEADER) as u16;
    packet[..IPV6_HEADER].fill(0);
    let mut ipv6 = smoltcp::wire::Ipv6Packet::new_unchecked(packet);
    ipv6.set_version(6);
    ipv6.set_payload_len(payload_len);
    ipv6.set_next_header(next);
    ipv6.set_hop_limit(hop_limit);
    ipv6.set_src_addr(src);
    ipv6.set_dst_addr(dst);
}
