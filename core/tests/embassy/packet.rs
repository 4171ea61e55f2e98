//! Frames written and read by hand: no code is shared with what is judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub type Mac = [u8; 6];

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

pub const BROADCAST: Mac = [0xff; 6];
pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
pub const PROTOCOL_ICMP: u8 = 1;
pub const PROTOCOL_TCP: u8 = 6;
pub const PROTOCOL_UDP: u8 = 17;
pub const PROTOCOL_ICMPV6: u8 = 58;

/// Types of ICMPv6 messages (RFC 4443, RFC 4861).
pub const PARAMETER_PROBLEM: u8 = 4;
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// An advertisement's flags: it answers, and it counts more than what was known (RFC 4861 §4.4).
pub const SOLICITED: u8 = 0x40;
pub const OVERRIDE: u8 = 0x20;
/// Options of both: the sender's link address, the target's.
const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;
/// No router has passed it on (RFC 4861 §7.1).
pub const FROM_THIS_LINK: u8 = 255;

/// A TCP segment and its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seg {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub sport: u16,
    pub dport: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub wnd: u16,
    pub mss: Option<u16>,
    pub text: Vec<u8>,
}

/// What a frame carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    Arp { op: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr) },
    Tcp(Seg),
    Icmp { src: Ipv4Addr, dst: Ipv4Addr, kind: u8, code: u8, rest: Vec<u8> },
    Icmpv6 { src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, kind: u8, code: u8, rest: Vec<u8> },
    Udp { src: IpAddr, dst: IpAddr, sport: u16, dport: u16, text: Vec<u8> },
    Other,
}

/// A frame that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub to: Mac,
    pub from: Mac,
    pub body: Body,
}

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

/// What a checksum of TCP, UDP or ICMPv6 covers besides (RFC 9293 §3.1, RFC 8200 §8.1).
fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
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
        _ => panic!("addresses of two families: {src}, {dst}"),
    }
}

/// The checksum of TCP, UDP or ICMPv6.
fn checksum_of(src: IpAddr, dst: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    checksum(&[&pseudo_header(src, dst, protocol, bytes.len()), bytes])
}

pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
}

/// An IP packet on Ethernet.
pub fn on_ethernet(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    ethernet(to, from, ethertype, packet)
}

/// The IP packet of the addresses' family.
pub fn ip(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4(src, dst, protocol, payload),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6(src, dst, (protocol, 64), payload),
        _ => panic!("addresses of two families: {src}, {dst}"),
    }
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
    let mut bytes = vec![0, 1, 8, 0, 6, 4];
    bytes.extend(op.to_be_bytes());
    for (mac, addr) in [sender, target] {
        bytes.extend(mac);
        bytes.extend(addr.octets());
    }
    bytes
}

/// An IPv6 packet; what follows the header is named with the hop limit.
pub fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, (next, hop_limit): (u8, u8), payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, hop_limit]);
    header.extend(src.octets());
    header.extend(dst.octets());
    [&header[..], payload].concat()
}

/// An ICMPv6 message: type and code, what follows the checksum.
pub fn icmpv6(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, [kind, code]: [u8; 2], rest: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0], rest].concat();
    let sum = checksum_of(src.into(), dst.into(), PROTOCOL_ICMPV6, &bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv6(src, dst, (PROTOCOL_ICMPV6, hop_limit), &bytes)
}

/// An advertisement of the sender's own address.
pub fn advertisement(sender: (Mac, Ipv6Addr), dst: Ipv6Addr, flags: u8) -> Vec<u8> {
    let rest = neighbour_message(flags, sender.1, TARGET_LINK_ADDRESS, sender.0);
    icmpv6(sender.1, dst, FROM_THIS_LINK, [NEIGHBOUR_ADVERTISEMENT, 0], &rest)
}

/// What follows the checksum of a solicitation or an advertisement with one option.
pub fn neighbour_message(flags: u8, target: Ipv6Addr, option: u8, link: Mac) -> Vec<u8> {
    let mut rest = vec![flags, 0, 0, 0];
    rest.extend(target.octets());
    rest.extend([option, 1]);
    rest.extend(link);
    rest
}

/// Who asks whom in a solicitation: the asker's link address and address, the target.
pub fn solicitation_of(body: &Body) -> Option<((Mac, Ipv6Addr), Ipv6Addr)> {
    let Body::Icmpv6 { src, hop_limit: FROM_THIS_LINK, kind: NEIGHBOUR_SOLICITATION, code: 0, rest, .. } = body else {
        return None;
    };
    assert_eq!((rest.len(), &rest[20..22]), (28, &[SOURCE_LINK_ADDRESS, 1][..]), "{rest:02x?}");
    Some(((mac_at(rest, 22), *src), v6_at(rest, 4)))
}

pub fn udp(src: (impl Into<IpAddr>, u16), dst: (impl Into<IpAddr>, u16), text: &[u8]) -> Vec<u8> {
    let (src, dst) = ((src.0.into(), src.1), (dst.0.into(), dst.1));
    let len = 8 + text.len();
    let mut bytes = [src.1.to_be_bytes(), dst.1.to_be_bytes(), (len as u16).to_be_bytes(), [0, 0]].concat();
    bytes.extend(text);
    let sum = checksum_of(src.0, dst.0, PROTOCOL_UDP, &bytes);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(src.0, dst.0, PROTOCOL_UDP, &bytes)
}

pub fn echo_request(src: Ipv4Addr, dst: Ipv4Addr, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    bytes.extend(text);
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(src, dst, PROTOCOL_ICMP, &bytes)
}

impl Seg {
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// SEG.LEN.
    pub fn len(&self) -> u32 {
        self.text.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// The IP packet.
    pub fn packet(&self) -> Vec<u8> {
        ip(self.src, self.dst, PROTOCOL_TCP, &self.octets())
    }

    /// What the IP packet carries.
    pub fn octets(&self) -> Vec<u8> {
        let words = if self.mss.is_some() { 6 } else { 5 };
        let mut bytes = [self.sport.to_be_bytes(), self.dport.to_be_bytes()].concat();
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([words << 4, self.flags]);
        bytes.extend(self.wnd.to_be_bytes());
        bytes.extend([0; 4]);
        if let Some(mss) = self.mss {
            bytes.extend([2, 4]);
            bytes.extend(mss.to_be_bytes());
        }
        bytes.extend(&self.text);
        let sum = checksum_of(self.src, self.dst, PROTOCOL_TCP, &bytes);
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn addr_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32_at(bytes, at))
}

fn v6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap())
}

fn mac_at(bytes: &[u8], at: usize) -> Mac {
    bytes[at..at + 6].try_into().unwrap()
}

/// Reads a frame that a stack has sent, which must be well formed.
pub fn parse(frame: &[u8]) -> Packet {
    let payload = &frame[14..];
    let body = match u16_at(frame, 12) {
        ETHERTYPE_ARP => Body::Arp {
            op: u16_at(payload, 6),
            sender: (mac_at(payload, 8), addr_at(payload, 14)),
            target: (mac_at(payload, 18), addr_at(payload, 24)),
        },
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => parse_ip(payload),
        _ => Body::Other,
    };
    Packet { to: mac_at(frame, 0), from: mac_at(frame, 6), body }
}

/// Reads a packet without options or extension headers.
pub fn parse_ip(packet: &[u8]) -> Body {
    let Ip { src, dst, protocol, hop_limit, payload } = Ip::read(packet);
    match (protocol, src, dst) {
        (PROTOCOL_TCP, ..) => Body::Tcp(parse_tcp(src, dst, payload)),
        (PROTOCOL_UDP, ..) => {
            Body::Udp { src, dst, sport: u16_at(payload, 0), dport: u16_at(payload, 2), text: payload[8..].to_vec() }
        }
        (PROTOCOL_ICMP, IpAddr::V4(src), IpAddr::V4(dst)) => {
            Body::Icmp { src, dst, kind: payload[0], code: payload[1], rest: payload[4..].to_vec() }
        }
        (PROTOCOL_ICMPV6, IpAddr::V6(src), IpAddr::V6(dst)) => {
            Body::Icmpv6 { src, dst, hop_limit, kind: payload[0], code: payload[1], rest: payload[4..].to_vec() }
        }
        _ => Body::Other,
    }
}

/// What an IP header says, and what it is followed by.
struct Ip<'p> {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    hop_limit: u8,
    payload: &'p [u8],
}

impl Ip<'_> {
    fn read(packet: &[u8]) -> Ip<'_> {
        if packet[0] >> 4 == 6 {
            return Ip {
                src: v6_at(packet, 8).into(),
                dst: v6_at(packet, 24).into(),
                protocol: packet[6],
                hop_limit: packet[7],
                payload: &packet[40..40 + usize::from(u16_at(packet, 4))],
            };
        }
        assert_eq!(packet[0], 0x45, "IPv4 without options: {packet:02x?}");
        Ip {
            src: addr_at(packet, 12).into(),
            dst: addr_at(packet, 16).into(),
            protocol: packet[9],
            hop_limit: packet[8],
            payload: &packet[20..usize::from(u16_at(packet, 2))],
        }
    }
}

fn parse_tcp(src: IpAddr, dst: IpAddr, bytes: &[u8]) -> Seg {
    let header = usize::from(bytes[12] >> 4) * 4;
    let mss = match &bytes[20..header] {
        [] => None,
        &[2, 4, high, low] => Some(u16::from_be_bytes([high, low])),
        other => panic!("options nobody expects: {other:02x?}"),
    };
    Seg {
        src,
        dst,
        sport: u16_at(bytes, 0),
        dport: u16_at(bytes, 2),
        seq: u32_at(bytes, 4),
        ack: u32_at(bytes, 8),
        flags: bytes[13] & 0x3f,
        wnd: u16_at(bytes, 14),
        mss,
        text: bytes[header..].to_vec(),
    }
}

/// The checksum fields of an Ethernet frame with TCP over IPv4: IPv4's, TCP's.
pub fn checksum_fields(frame: &[u8]) -> (u16, u16) {
    (u16_at(frame, 14 + 10), u16_at(frame, 34 + 16))
}

/// Says of IPv4's and TCP's, UDP's or ICMPv6's checksum in a packet whether they are right. IPv6's header has none.
pub fn are_checksums_right(packet: &[u8]) -> (bool, bool) {
    let Ip { src, dst, protocol, payload, .. } = Ip::read(packet);
    (src.is_ipv6() || checksum(&[&packet[..20]]) == 0, checksum_of(src, dst, protocol, payload) == 0)
}
