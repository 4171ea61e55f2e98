//! What stacks send beside each other, in the tests' codec: segments with their addresses, and whatever else a frame carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) use crate::support::packet::neighbors::*;
use crate::support::packet::segment;
pub(crate) use crate::support::packet::*;

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
        ip_packet(self.src, self.dst, &self.octets())
    }

    /// What the IP packet carries.
    pub fn octets(&self) -> Vec<u8> {
        let Seg { src, dst, sport, dport, seq, ack, flags, wnd, mss, ref text } = *self;
        let options = mss.map(segment::mss_option).unwrap_or_default();
        let raw = segment::Raw { seq, ack, flags, wnd, urgent: 0, options: &options, text };
        raw.bytes(SocketAddr::new(src, sport), SocketAddr::new(dst, dport))
    }

    /// Reads a segment that a stack has sent.
    fn parse(src: IpAddr, dst: IpAddr, bytes: &[u8]) -> Seg {
        let seg = segment::Seg::parse(bytes);
        let mss = seg.mss();
        let segment::Seg { sport, dport, seq, ack, flags, wnd, text, .. } = seg;
        Seg { src, dst, sport, dport, seq, ack, flags: flags & 0x3f, wnd, mss, text }
    }
}

/// A packet with an ICMPv6 message: type and code, what follows the checksum.
pub fn icmpv6_packet(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, [kind, code]: [u8; 2], rest: &[u8]) -> Vec<u8> {
    ipv6_limited(src, dst, ICMPV6, hop_limit, &icmpv6(src, dst, kind, code, rest))
}

/// An advertisement of the sender's own address.
pub fn advertisement(sender: (Mac, Ipv6Addr), dst: Ipv6Addr, flags: u8) -> Vec<u8> {
    let rest = discovery_body(flags, sender.1, &link_option(TARGET_LINK, sender.0));
    icmpv6_packet(sender.1, dst, ON_LINK_HOPS, [ADVERTISEMENT, 0], &rest)
}

/// Who asks whom in a solicitation: the asker's link address and address, the target.
pub fn solicitation_of(body: &Body) -> Option<((Mac, Ipv6Addr), Ipv6Addr)> {
    let Body::Icmpv6 { src, hop_limit: ON_LINK_HOPS, kind: SOLICITATION, code: 0, rest, .. } = body else {
        return None;
    };
    assert_eq!((rest.len(), &rest[20..22]), (28, &[SOURCE_LINK, 1][..]), "{rest:02x?}");
    Some(((mac_at(rest, 22), *src), v6_at(rest, 4)))
}

pub fn udp(src: (impl Into<IpAddr>, u16), dst: (impl Into<IpAddr>, u16), text: &[u8]) -> Vec<u8> {
    let (src, dst) = ((src.0.into(), src.1), (dst.0.into(), dst.1));
    let len = 8 + text.len();
    let mut bytes = [src.1.to_be_bytes(), dst.1.to_be_bytes(), (len as u16).to_be_bytes(), [0, 0]].concat();
    bytes.extend(text);
    let sum = upper_checksum(src.0, dst.0, UDP, &bytes);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(src.0, dst.0, UDP, &bytes)
}

pub fn echo_request(src: Ipv4Addr, dst: Ipv4Addr, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    bytes.extend(text);
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(src, dst, ICMP, &bytes)
}

/// Reads a frame that a stack has sent, which must be well formed.
pub fn parse(frame: &[u8]) -> Packet {
    let payload = &frame[14..];
    let body = match u16_at(frame, 12) {
        ARP => Body::Arp {
            op: u16_at(payload, 6),
            sender: (mac_at(payload, 8), v4_at(payload, 14)),
            target: (mac_at(payload, 18), v4_at(payload, 24)),
        },
        IPV4 | IPV6 => parse_ip(payload),
        _ => Body::Other,
    };
    Packet { to: mac_at(frame, 0), from: mac_at(frame, 6), body }
}

/// Reads a packet without options or extension headers.
pub fn parse_ip(packet: &[u8]) -> Body {
    let Ip { src, dst, protocol, hop_limit, payload } = Ip::read(packet);
    match (protocol, src, dst) {
        (TCP, ..) => Body::Tcp(Seg::parse(src, dst, payload)),
        (UDP, ..) => {
            Body::Udp { src, dst, sport: u16_at(payload, 0), dport: u16_at(payload, 2), text: payload[8..].to_vec() }
        }
        (ICMP, IpAddr::V4(src), IpAddr::V4(dst)) => {
            Body::Icmp { src, dst, kind: payload[0], code: payload[1], rest: payload[4..].to_vec() }
        }
        (ICMPV6, IpAddr::V6(src), IpAddr::V6(dst)) => {
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
            src: v4_at(packet, 12).into(),
            dst: v4_at(packet, 16).into(),
            protocol: packet[9],
            hop_limit: packet[8],
            payload: &packet[20..usize::from(u16_at(packet, 2))],
        }
    }
}

/// The checksum fields of an Ethernet frame with TCP over IPv4: IPv4's, TCP's.
pub fn checksum_fields(frame: &[u8]) -> (u16, u16) {
    (u16_at(frame, 14 + 10), u16_at(frame, 34 + 16))
}

/// Says of IPv4's and TCP's, UDP's or ICMPv6's checksum in a packet whether they are right. IPv6's header has none.
pub fn are_checksums_right(packet: &[u8]) -> (bool, bool) {
    let Ip { src, dst, protocol, payload, .. } = Ip::read(packet);
    (src.is_ipv6() || checksum(&[&packet[..20]]) == 0, upper_checksum(src, dst, protocol, payload) == 0)
}
