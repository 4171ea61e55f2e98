//! Frames written and read by hand: no code is shared with what is judged.

use std::net::Ipv4Addr;

pub type Mac = [u8; 6];

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

pub const BROADCAST: Mac = [0xff; 6];
pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
pub const PROTOCOL_ICMP: u8 = 1;
pub const PROTOCOL_TCP: u8 = 6;
pub const PROTOCOL_UDP: u8 = 17;

/// A TCP segment and its addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seg {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
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
    Udp { src: Ipv4Addr, dst: Ipv4Addr, sport: u16, dport: u16, text: Vec<u8> },
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

fn pseudo_header(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: usize) -> Vec<u8> {
    let mut bytes = [src.octets(), dst.octets()].concat();
    bytes.extend([0, protocol]);
    bytes.extend((len as u16).to_be_bytes());
    bytes
}

pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), payload].concat()
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

pub fn udp(src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), text: &[u8]) -> Vec<u8> {
    let len = 8 + text.len();
    let mut bytes = [src.1.to_be_bytes(), dst.1.to_be_bytes(), (len as u16).to_be_bytes(), [0, 0]].concat();
    bytes.extend(text);
    let sum = checksum(&[&pseudo_header(src.0, dst.0, PROTOCOL_UDP, len), &bytes]);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    ipv4(src.0, dst.0, PROTOCOL_UDP, &bytes)
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

    /// The IPv4 packet.
    pub fn packet(&self) -> Vec<u8> {
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
        let sum = checksum(&[&pseudo_header(self.src, self.dst, PROTOCOL_TCP, bytes.len()), &bytes]);
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        ipv4(self.src, self.dst, PROTOCOL_TCP, &bytes)
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
        ETHERTYPE_IPV4 => parse_ipv4(payload),
        _ => Body::Other,
    };
    Packet { to: mac_at(frame, 0), from: mac_at(frame, 6), body }
}

/// Reads an IPv4 packet without options.
pub fn parse_ipv4(packet: &[u8]) -> Body {
    assert_eq!(packet[0], 0x45, "IPv4 without options: {packet:02x?}");
    let (src, dst) = (addr_at(packet, 12), addr_at(packet, 16));
    let payload = &packet[20..usize::from(u16_at(packet, 2))];
    match packet[9] {
        PROTOCOL_TCP => Body::Tcp(parse_tcp(src, dst, payload)),
        PROTOCOL_ICMP => Body::Icmp { src, dst, kind: payload[0], code: payload[1], rest: payload[4..].to_vec() },
        PROTOCOL_UDP => {
            Body::Udp { src, dst, sport: u16_at(payload, 0), dport: u16_at(payload, 2), text: payload[8..].to_vec() }
        }
        _ => Body::Other,
    }
}

fn parse_tcp(src: Ipv4Addr, dst: Ipv4Addr, bytes: &[u8]) -> Seg {
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

/// Says of IPv4's and TCP's (or UDP's) checksum in an IPv4 packet whether they are right.
pub fn are_checksums_right(packet: &[u8]) -> (bool, bool) {
    let payload = &packet[20..usize::from(u16_at(packet, 2))];
    let pseudo = pseudo_header(addr_at(packet, 12), addr_at(packet, 16), packet[9], payload.len());
    (checksum(&[&packet[..20]]) == 0, checksum(&[&pseudo, payload]) == 0)
}
