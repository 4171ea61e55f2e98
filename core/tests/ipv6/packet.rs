//! Frames written and read octet by octet: no code is shared with what is judged. The fuzz target reads with this too.
#![allow(dead_code, reason = "the fuzz target needs a part of it")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub type Mac = [u8; 6];

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

pub const BROADCAST: Mac = [0xff; 6];
pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;

pub const HOP_BY_HOP: u8 = 0;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const ESP: u8 = 50;
pub const AH: u8 = 51;
pub const ICMPV6: u8 = 58;
pub const NO_NEXT: u8 = 59;
pub const DESTINATION: u8 = 60;
/// Set aside for experiments (RFC 3692): nobody knows it.
pub const UNKNOWN: u8 = 253;

pub const ETHERNET_HEADER: usize = 14;
pub const IPV6_HEADER: usize = 40;
pub const IPV4_HEADER: usize = 20;

/// ICMPv6 types (RFC 4443, RFC 4861).
pub const UNREACHABLE: u8 = 1;
pub const TOO_BIG: u8 = 2;
pub const TIME_EXCEEDED: u8 = 3;
pub const PARAMETER: u8 = 4;
pub const ECHO_REQUEST: u8 = 128;
pub const ECHO_REPLY: u8 = 129;
pub const ROUTER_SOLICITATION: u8 = 133;
pub const ROUTER_ADVERTISEMENT: u8 = 134;
pub const SOLICITATION: u8 = 135;
pub const ADVERTISEMENT: u8 = 136;
pub const REDIRECT: u8 = 137;

/// Flags of an advertisement (RFC 4861 §4.4).
pub const ROUTER: u8 = 0x80;
pub const SOLICITED: u8 = 0x40;
pub const OVERRIDE: u8 = 0x20;

/// Neighbour discovery's options for a link address (RFC 4861 §4.6.1).
pub const SOURCE_LINK: u8 = 1;
pub const TARGET_LINK: u8 = 2;

/// The Internet checksum (RFC 1071) over parts of even length; only the last may be odd.
pub fn checksum(parts: &[&[u8]]) -> u16 {
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

/// What an upper layer's checksum covers beside its own octets (RFC 9293 §3.1, RFC 8200 §8.1).
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut octets = [src.octets(), dst.octets()].concat();
            octets.extend([0, protocol]);
            octets.extend((len as u16).to_be_bytes());
            octets
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut octets = [src.octets(), dst.octets()].concat();
            octets.extend((len as u32).to_be_bytes());
            octets.extend([0, 0, 0, protocol]);
            octets
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("{src} and {dst} are of two families")
        }
    }
}

pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv6 packet with any hop limit.
pub fn ipv6_limited(src: Ipv6Addr, dst: Ipv6Addr, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![0x60, 0, 0, 0];
    octets.extend((payload.len() as u16).to_be_bytes());
    octets.extend([next, hop_limit]);
    octets.extend(src.octets());
    octets.extend(dst.octets());
    octets.extend(payload);
    octets
}

/// An IPv6 packet as hosts send it.
pub fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_limited(src, dst, next, 64, payload)
}

pub fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + payload.len() as u16).to_be_bytes());
    header.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(src.octets());
    header.extend(dst.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header[..], payload].concat()
}

pub fn arp(op: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut octets = vec![0, 1, 8, 0, 6, 4];
    octets.extend(op.to_be_bytes());
    for (mac, addr) in [sender, target] {
        octets.extend(mac);
        octets.extend(addr.octets());
    }
    octets
}

/// A TCP segment without its addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seg {
    pub sport: u16,
    pub dport: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub wnd: u16,
    pub mss: Option<u16>,
    pub text: Vec<u8>,
}

impl Seg {
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// SEG.LEN.
    pub fn len(&self) -> u32 {
        self.text.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// The segment's octets between two addresses of one family.
    pub fn octets(&self, src: impl Into<IpAddr>, dst: impl Into<IpAddr>) -> Vec<u8> {
        let words: u8 = if self.mss.is_some() { 6 } else { 5 };
        let mut octets = [self.sport.to_be_bytes(), self.dport.to_be_bytes()].concat();
        octets.extend(self.seq.to_be_bytes());
        octets.extend(self.ack.to_be_bytes());
        octets.extend([words << 4, self.flags]);
        octets.extend(self.wnd.to_be_bytes());
        octets.extend([0; 4]);
        if let Some(mss) = self.mss {
            octets.extend([2, 4]);
            octets.extend(mss.to_be_bytes());
        }
        octets.extend(&self.text);
        let sum = checksum(&[&pseudo_header(src.into(), dst.into(), TCP, octets.len()), &octets]);
        octets[16..18].copy_from_slice(&sum.to_be_bytes());
        octets
    }
}

/// An ICMPv6 message with the right checksum.
pub fn icmpv6(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind, code, 0, 0];
    octets.extend(body);
    seal_icmpv6(src, dst, &mut octets);
    octets
}

/// Makes an ICMPv6 message's checksum right.
pub fn seal_icmpv6(src: Ipv6Addr, dst: Ipv6Addr, message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = checksum(&[&pseudo_header(src.into(), dst.into(), ICMPV6, message.len()), message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

/// A neighbour discovery option that tells a link address.
pub fn link_option(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// What stands behind the checksum in a neighbour solicitation or advertisement.
pub fn discovery_body(flags: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&[flags, 0, 0, 0][..], &target.octets(), options].concat()
}

/// The group that listens for questions about an address (RFC 4291 §2.7.1).
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let octets = target.octets();
    let mut group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
    group[13..].copy_from_slice(&octets[13..]);
    group.into()
}

/// The Ethernet group of an IPv6 group (RFC 2464 §7).
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let octets = group.octets();
    [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
}

/// A neighbour solicitation that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub to: Mac,
    pub src: Ipv6Addr,
    pub dst: Ipv6Addr,
    pub target: Ipv6Addr,
    pub source_link: Mac,
}

/// A frame that carries a segment, and was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// `None` on plain IP.
    pub to: Option<Mac>,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub seg: Seg,
}

/// Everything a link may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outgoing {
    Question(Question),
    ArpQuestion(Ipv4Addr),
    Segment(Sent),
}

fn be16(octets: &[u8]) -> u16 {
    u16::from_be_bytes([octets[0], octets[1]])
}

fn be32(octets: &[u8]) -> u32 {
    u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]])
}

fn addr6(octets: &[u8]) -> Ipv6Addr {
    <[u8; 16]>::try_from(&octets[..16]).expect("16 octets").into()
}

fn addr4(octets: &[u8]) -> Ipv4Addr {
    <[u8; 4]>::try_from(&octets[..4]).expect("4 octets").into()
}

fn mac_of(octets: &[u8]) -> Mac {
    octets[..6].try_into().expect("6 octets")
}

/// Reads a frame that a link sent; panics where it is not well formed to the last octet.
pub fn read(is_ethernet: bool, ours: Mac, frame: &[u8]) -> Outgoing {
    if !is_ethernet {
        return read_ip(None, ours, frame);
    }
    let to = mac_of(frame);
    assert_eq!(mac_of(&frame[6..]), ours, "a frame from another address than ours");
    let payload = &frame[ETHERNET_HEADER..];
    match be16(&frame[12..]) {
        ARP => {
            assert_eq!(to, BROADCAST);
            let sender = addr4(&payload[14..]);
            let target = addr4(&payload[24..]);
            assert_eq!(payload, arp(1, (ours, sender), ([0; 6], target)), "not an ARP question");
            Outgoing::ArpQuestion(target)
        }
        ethertype @ (IPV4 | IPV6) => {
            assert_eq!(payload[0] >> 4, if ethertype == IPV4 { 4 } else { 6 }, "Ethernet says another version");
            read_ip(Some(to), ours, payload)
        }
        other => panic!("Ethernet type {other:04x}"),
    }
}

fn read_ip(to: Option<Mac>, ours: Mac, packet: &[u8]) -> Outgoing {
    if packet[0] >> 4 == 4 {
        assert_eq!(packet[0], 0x45);
        assert_eq!(usize::from(be16(&packet[2..])), packet.len(), "IPv4's total length");
        assert_eq!(checksum(&[&packet[..IPV4_HEADER]]), 0, "IPv4's checksum");
        assert!(packet[8] > 0 && packet[9] == TCP);
        let (src, dst) = (addr4(&packet[12..]).into(), addr4(&packet[16..]).into());
        return Outgoing::Segment(Sent { to, src, dst, seg: read_segment(src, dst, &packet[IPV4_HEADER..]) });
    }
    // RFC 8200 §3; traffic class and flow label are ours to leave at zero.
    assert_eq!(packet[..4], [0x60, 0, 0, 0]);
    assert_eq!(usize::from(be16(&packet[4..])), packet.len() - IPV6_HEADER, "IPv6's payload length");
    let (src, dst) = (addr6(&packet[8..]), addr6(&packet[24..]));
    let payload = &packet[IPV6_HEADER..];
    match packet[6] {
        TCP => {
            assert!(packet[7] > 0, "hop limit");
            let seg = read_segment(src.into(), dst.into(), payload);
            Outgoing::Segment(Sent { to, src: src.into(), dst: dst.into(), seg })
        }
        ICMPV6 => {
            assert_eq!(packet[7], 255, "RFC 4861 §4.3: the hop limit");
            Outgoing::Question(read_question(to.expect("plain IP asks for nobody"), ours, src, dst, payload))
        }
        other => panic!("protocol {other}"),
    }
}

/// RFC 4861 §4.3: a solicitation with the source's link address.
fn read_question(to: Mac, ours: Mac, src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> Question {
    let target = addr6(&message[8..]);
    let body = discovery_body(0, target, &link_option(SOURCE_LINK, ours));
    assert_eq!(message, icmpv6(src, dst, SOLICITATION, 0, &body), "not a solicitation to the octet");
    Question { to, src, dst, target, source_link: mac_of(&message[26..]) }
}

fn read_segment(src: IpAddr, dst: IpAddr, octets: &[u8]) -> Seg {
    assert_eq!(checksum(&[&pseudo_header(src, dst, TCP, octets.len()), octets]), 0, "TCP's checksum");
    let header = usize::from(octets[12] >> 4) * 4;
    assert_eq!(octets[12] & 0x0f, 0, "reserved bits");
    let mss = match &octets[20..header] {
        [] => None,
        [2, 4, high, low] => Some(u16::from_be_bytes([*high, *low])),
        other => panic!("options {other:?}"),
    };
    assert_eq!(be16(&octets[18..]), 0, "the urgent pointer");
    Seg {
        sport: be16(octets),
        dport: be16(&octets[2..]),
        seq: be32(&octets[4..]),
        ack: be32(&octets[8..]),
        flags: octets[13],
        wnd: be16(&octets[14..]),
        mss,
        text: octets[header..].to_vec(),
    }
}
