//! Packets written and read byte by byte: no code is shared with what is judged, so that nothing of the crate is trusted for it. The
//! fuzz target writes and reads with this too.
#![allow(dead_code, reason = "each test program, and the fuzz target, needs a part of it")]

pub(crate) mod neighbors;
pub(crate) mod segment;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) type Mac = [u8; 6];

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;
/// All of these, which ECE and CWR are not.
pub(crate) const CONTROLS: u8 = 0x3f;

pub(crate) const BROADCAST: Mac = [0xff; 6];
/// EtherTypes.
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;

/// Protocol numbers, extension headers among them.
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ESP: u8 = 50;
pub(crate) const AH: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const NO_NEXT: u8 = 59;
pub(crate) const DESTINATION: u8 = 60;
/// Set aside for experiments (RFC 3692): nobody knows it.
pub(crate) const UNKNOWN: u8 = 253;

pub(crate) const ETHERNET_HEADER: usize = 14;
pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
/// What hosts send has this time to live, and this hop limit.
pub(crate) const HOPS: u8 = 64;
/// IPv4's flag "don't fragment", where the fragment offset stands.
const DONT_FRAGMENT: u16 = 0x4000;

/// The Internet checksum (RFC 1071) over parts of even length; only the last may be odd.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What an upper layer's checksum covers beside its own bytes (RFC 9293 §3.1, RFC 8200 §8.1).
pub(crate) fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut bytes = [src.octets(), dst.octets()].concat();
            bytes.extend([0, protocol]);
            bytes.extend((len as u16).to_be_bytes());
            bytes
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut bytes = [src.octets(), dst.octets()].concat();
            bytes.extend((len as u32).to_be_bytes());
            bytes.extend([0, 0, 0, protocol]);
            bytes
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("{src} and {dst} are of two families")
        }
    }
}

/// The checksum of TCP, UDP or ICMPv6; zero where the right one stands in the bytes.
pub(crate) fn upper_checksum(src: IpAddr, dst: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    checksum(&[&pseudo_header(src, dst, protocol, bytes.len()), bytes])
}

pub(crate) fn tcp_checksum(src: IpAddr, dst: IpAddr, segment: &[u8]) -> u16 {
    upper_checksum(src, dst, TCP, segment)
}

pub(crate) fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IP packet on Ethernet.
pub(crate) fn on_ethernet(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    ethernet(to, from, if packet[0] >> 4 == 6 { IPV6 } else { IPV4 }, packet)
}

/// An IPv4 packet; `fragment` stands where the flags and the fragment offset are.
fn ipv4_part(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(((IPV4_HEADER + payload.len()) as u16).to_be_bytes());
    header.extend([0, 1]);
    header.extend(fragment.to_be_bytes());
    header.extend([HOPS, protocol, 0, 0]);
    header.extend(src.octets());
    header.extend(dst.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header[..], payload].concat()
}

/// An IPv4 packet as hosts send it.
pub(crate) fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_part(src, dst, protocol, DONT_FRAGMENT, payload)
}

/// An IPv6 packet with any hop limit.
pub(crate) fn ipv6_limited(src: Ipv6Addr, dst: Ipv6Addr, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([next, hop_limit]);
    bytes.extend(src.octets());
    bytes.extend(dst.octets());
    bytes.extend(payload);
    bytes
}

/// An IPv6 packet as hosts send it.
pub(crate) fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_limited(src, dst, next, HOPS, payload)
}

/// The IP packet of the addresses' family.
pub(crate) fn ip(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4(src, dst, protocol, payload),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6(src, dst, protocol, payload),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("{src} and {dst} are of two families")
        }
    }
}

/// A packet around a segment.
pub(crate) fn ip_packet(src: IpAddr, dst: IpAddr, segment: &[u8]) -> Vec<u8> {
    ip(src, dst, TCP, segment)
}

/// A packet that says which part of a segment it carries, `offset` in units of eight bytes. With `spare`, everything beside that is
/// set which must not matter: IPv4's "don't fragment" and reserved bit, the reserved bits of IPv6's fragment header.
pub(crate) fn ip_part(src: IpAddr, dst: IpAddr, offset: u16, more: bool, spare: bool, segment: &[u8]) -> Vec<u8> {
    if let (IpAddr::V4(src), IpAddr::V4(dst)) = (src, dst) {
        let flags = if spare { 0xc000 } else { 0 } | u16::from(more) << 13;
        return ipv4_part(src, dst, TCP, flags | offset, segment);
    }
    let (reserved, bits) = if spare { (0xff, 6) } else { (0, 0) };
    let [high, low] = (offset << 3 | bits | u16::from(more)).to_be_bytes();
    let header = [TCP, reserved, high, low, 0, 0, 0, 1];
    ip(src, dst, FRAGMENT, &[&header, segment].concat())
}

/// Returns what an ECN field says of a segment that may be marked: that of payload alone (RFC 3168 §6.1.4).
fn ecn_field(field: u8, segment: &[u8]) -> u8 {
    let has_payload = segment.len() > usize::from(segment[12] >> 4) * 4;
    if cfg!(feature = "ecn") && has_payload { field & 0b10 } else { 0 }
}

/// Reads a packet around a segment that we sent: every byte of its header is what it must be.
pub(crate) fn read_ip(packet: &[u8]) -> (IpAddr, IpAddr, &[u8]) {
    if packet[0] >> 4 == 4 {
        let (header, segment) = packet.split_at(IPV4_HEADER);
        let [high, low] = (packet.len() as u16).to_be_bytes();
        let class = ecn_field(header[1], segment);
        assert_eq!(header[..10], [0x45, class, high, low, 0, 0, 0x40, 0, HOPS, TCP], "an IPv4 header without options");
        assert_eq!(checksum(&[header]), 0, "header checksum");
        return (v4_at(header, 12).into(), v4_at(header, 16).into(), segment);
    }
    let (header, segment) = packet.split_at(IPV6_HEADER);
    let [high, low] = (segment.len() as u16).to_be_bytes();
    let class = ecn_field(header[1] >> 4, segment) << 4;
    assert_eq!(header[..8], [0x60, class, 0, 0, high, low, TCP, HOPS], "an IPv6 header without class and label");
    (v6_at(header, 8).into(), v6_at(header, 24).into(), segment)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) << 16 | u32::from(u16_at(bytes, at + 2))
}

pub(crate) fn v4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32_at(bytes, at))
}

pub(crate) fn v6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    <[u8; 16]>::try_from(&bytes[at..at + 16]).expect("16 bytes").into()
}

pub(crate) fn mac_at(bytes: &[u8], at: usize) -> Mac {
    bytes[at..at + 6].try_into().expect("6 bytes")
}
