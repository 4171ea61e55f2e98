//! The two families: the hosts of the tests in each, and headers and checksums written and read octet by octet, so that nothing of
//! the crate is trusted for it.
#![allow(dead_code, reason = "each test program needs another part of it")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) type Mac = [u8; 6];

pub(crate) const ETHERNET_HEADER: usize = 14;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Protocol numbers.
pub(crate) const TCP: u8 = 6;
const FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;
/// What we send has this time to live, and this hop limit.
const HOPS: u8 = 64;
/// Neighbour discovery never crosses a router (RFC 4861 §7.1).
pub(crate) const ON_LINK_HOPS: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Runs a test over each family that this build speaks; what a failing test has printed ends with the family it fails over.
pub(crate) fn over_each(test: impl Fn(Family)) {
    for &family in Family::ALL {
        println!("over {family:?}");
        test(family);
    }
}

impl Family {
    /// The families that this build speaks.
    pub(crate) const ALL: &'static [Family] =
        if cfg!(feature = "ipv6") { &[Family::V4, Family::V6] } else { &[Family::V4] };

    pub(crate) fn of(addr: IpAddr) -> Family {
        if addr.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// A host on the network of the tests: 10.0.0.n or fd00::n.
    pub(crate) fn host(self, n: u8) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 0, 0, n).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into(),
        }
    }

    /// How many bits of an address name that network.
    pub(crate) fn prefix(self) -> u8 {
        match self {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    /// A host beyond that network.
    pub(crate) fn far(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    pub(crate) fn unspecified(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// What means everybody on the network of the tests. IPv6 has no broadcast: a group takes its place (RFC 4291 §2.7.1).
    pub(crate) fn everybody_here(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 0, 0, 255).into(),
            Family::V6 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// Addresses that are no host's, whatever the network: none, groups, and everybody or an IPv4 address in IPv6 guise.
    pub(crate) fn nobodies(self) -> [IpAddr; 4] {
        match self {
            Family::V4 => [[0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1], [239, 255, 255, 250]].map(IpAddr::from),
            Family::V6 => {
                let groups = [[0xff02, 0, 0, 0, 0, 0, 0, 1], [0xff0e, 0, 0, 0, 0, 0, 0x1234, 1]].map(IpAddr::from);
                let mapped = Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped();
                [Ipv6Addr::UNSPECIFIED.into(), mapped.into(), groups[0], groups[1]]
            }
        }
    }

    /// What a host calls itself, and must not be called from outside (RFC 1122 §3.2.1.3 (g), RFC 4291 §2.5.3).
    pub(crate) fn loopback(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// The Ethernet address of a group (RFC 1112 §6.4, RFC 2464 §7).
    pub(crate) fn group_mac(self) -> Mac {
        match self {
            Family::V4 => [0x01, 0, 0x5e, 0, 0, 1],
            Family::V6 => [0x33, 0x33, 0, 0, 0, 1],
        }
    }

    /// What Ethernet calls the family.
    pub(crate) fn ethertype(self) -> [u8; 2] {
        match self {
            Family::V4 => [0x08, 0x00],
            Family::V6 => [0x86, 0xdd],
        }
    }

    pub(crate) fn ip_header(self) -> usize {
        match self {
            Family::V4 => IPV4_HEADER,
            Family::V6 => IPV6_HEADER,
        }
    }

    /// By how much a segment's text is shorter than over IPv4 in a packet of the same size.
    pub(crate) fn mss_less(self) -> u16 {
        (self.ip_header() - IPV4_HEADER) as u16
    }

    /// The send MSS of a peer that announces none (RFC 9293 §3.7.1, MUST-15).
    pub(crate) fn default_mss(self) -> u16 {
        match self {
            Family::V4 => 536,
            Family::V6 => 1_220,
        }
    }

    /// Says whether a checksum covers this octet of a packet with a segment. IPv6's header has none of its own: traffic class, flow
    /// label and hop limit may change unnoticed.
    pub(crate) fn is_guarded(self, at: usize) -> bool {
        self == Family::V4 || at >= IPV6_HEADER || !matches!(at, 0..4 | 7)
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The ones' complement sum of RFC 1071.
pub(crate) fn internet_checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The checksum over a pseudo header (RFC 9293 §3.1, RFC 8200 §8.1) and what follows; zero where the right one stands in it.
pub(crate) fn upper_checksum(src: IpAddr, dst: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    let [high, low] = (bytes.len() as u16).to_be_bytes();
    let rest = match (src, dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => vec![0, protocol, high, low],
        (IpAddr::V6(_), IpAddr::V6(_)) => vec![0, 0, high, low, 0, 0, 0, protocol],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => panic!("from {src} to {dst}"),
    };
    internet_checksum(&[octets(src), octets(dst), rest, bytes.to_vec()].concat())
}

pub(crate) fn tcp_checksum(src: IpAddr, dst: IpAddr, segment: &[u8]) -> u16 {
    upper_checksum(src, dst, TCP, segment)
}

/// A packet; `fragment` stands where IPv4 has flags and fragment offset.
fn packet(src: IpAddr, dst: IpAddr, protocol: u8, hops: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    if Family::of(src) == Family::V6 {
        let [high, low] = (payload.len() as u16).to_be_bytes();
        return [&[0x60, 0, 0, 0, high, low, protocol, hops][..], &octets(src), &octets(dst), payload].concat();
    }
    let [high, low] = ((IPV4_HEADER + payload.len()) as u16).to_be_bytes();
    let fragment = fragment.to_be_bytes();
    let mut header = [0x45, 0, high, low, 0, 0, fragment[0], fragment[1], hops, protocol, 0, 0].to_vec();
    header.extend([octets(src), octets(dst)].concat());
    let sum = internet_checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    [&header, payload].concat()
}

/// A packet around a segment.
pub(crate) fn ip_packet(src: IpAddr, dst: IpAddr, segment: &[u8]) -> Vec<u8> {
    packet(src, dst, TCP, HOPS, 0, segment)
}

/// A packet that says which part of a segment it carries, `offset` in units of eight octets. With `spare`, everything beside that is
/// set which must not matter: IPv4's "don't fragment" and reserved bit, the reserved bits of IPv6's fragment header.
pub(crate) fn ip_part(src: IpAddr, dst: IpAddr, offset: u16, more: bool, spare: bool, segment: &[u8]) -> Vec<u8> {
    if Family::of(src) == Family::V4 {
        let flags = if spare { 0xc000 } else { 0 } | u16::from(more) << 13;
        return packet(src, dst, TCP, HOPS, flags | offset, segment);
    }
    let (reserved, bits) = if spare { (0xff, 6) } else { (0, 0) };
    let [high, low] = (offset << 3 | bits | u16::from(more)).to_be_bytes();
    let header = [TCP, reserved, high, low, 0, 0, 0, 1];
    packet(src, dst, FRAGMENT, HOPS, 0, &[&header, segment].concat())
}

/// Reads a packet around a segment that we sent: every octet of its header is what it must be.
pub(crate) fn read_ip(packet: &[u8]) -> (IpAddr, IpAddr, &[u8]) {
    let family = if packet[0] >> 4 == 4 { Family::V4 } else { Family::V6 };
    let (header, segment) = packet.split_at(family.ip_header());
    let len = match family {
        Family::V4 => packet.len(),
        Family::V6 => segment.len(),
    };
    let [high, low] = (len as u16).to_be_bytes();
    let (src, dst) = match family {
        Family::V4 => {
            assert_eq!(header[..10], [0x45, 0, high, low, 0, 0, 0x40, 0, HOPS, TCP], "an IPv4 header without options");
            assert_eq!(internet_checksum(header), 0, "header checksum");
            let addr = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into();
            (addr(12), addr(16))
        }
        Family::V6 => {
            assert_eq!(header[..8], [0x60, 0, 0, 0, high, low, TCP, HOPS], "an IPv6 header without class and label");
            (v6_at(header, 8), v6_at(header, 24))
        }
    };
    (src, dst, segment)
}

fn v6_at(bytes: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    Ipv6Addr::from(octets).into()
}

/// A frame around a packet.
pub(crate) fn ethernet(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let family = if packet[0] >> 4 == 4 { Family::V4 } else { Family::V6 };
    [&to[..], &from, &family.ethertype(), packet].concat()
}

/// An ARP message (RFC 826).
fn arp(to: Mac, operation: u8, sender: (Mac, IpAddr), target: (Mac, IpAddr)) -> Vec<u8> {
    let head = [&to[..], &sender.0, &[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation]].concat();
    [head, sender.0.to_vec(), octets(sender.1), target.0.to_vec(), octets(target.1)].concat()
}

/// A packet with an ICMPv6 message and its checksum.
pub(crate) fn icmpv6(src: IpAddr, dst: IpAddr, hops: u8, mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = upper_checksum(src, dst, ICMPV6, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    packet(src, dst, ICMPV6, hops, 0, &message)
}

/// The frame in which `asker` asks who has `target`: an ARP request, or a solicitation to the group of the target (RFC 4861 §4.3).
pub(crate) fn question(asker: (Mac, IpAddr), target: IpAddr) -> Vec<u8> {
    if asker.1.is_ipv4() {
        return arp([0xff; 6], 1, asker, ([0; 6], target));
    }
    let bytes = octets(target);
    let tail = [bytes[13], bytes[14], bytes[15]];
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(tail[0]), u16::from_be_bytes([tail[1], tail[2]]));
    let message = [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0], &bytes[..], &[1, 1], &asker.0].concat();
    let packet = icmpv6(asker.1, group.into(), ON_LINK_HOPS, message);
    ethernet([0x33, 0x33, 0xff, tail[0], tail[1], tail[2]], asker.0, &packet)
}

/// The frame in which `owner` answers: an ARP reply, or an advertisement (RFC 4861 §4.4).
pub(crate) fn answer(owner: (Mac, IpAddr), asker: (Mac, IpAddr)) -> Vec<u8> {
    if owner.1.is_ipv4() {
        return arp(asker.0, 2, owner, asker);
    }
    let (solicited, overrides) = (0x40, 0x20);
    let flags = [ADVERTISEMENT, 0, 0, 0, solicited | overrides, 0, 0, 0];
    let message = [&flags[..], &octets(owner.1), &[2, 1], &owner.0].concat();
    ethernet(asker.0, owner.0, &icmpv6(owner.1, asker.1, ON_LINK_HOPS, message))
}

/// Who asks for whom, if the frame is a question; each octet of it is what it must be.
pub(crate) fn read_question(frame: &[u8]) -> Option<((Mac, IpAddr), IpAddr)> {
    let mut mac = [0; 6];
    mac.copy_from_slice(&frame[6..12]);
    let v4_at = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]).into();
    let (asker, target) = match frame[12..14] {
        [0x08, 0x06] if frame[21] == 1 => ((mac, v4_at(28)), v4_at(38)),
        [0x86, 0xdd] if frame[20] == ICMPV6 && frame[54] == SOLICITATION => ((mac, v6_at(frame, 22)), v6_at(frame, 62)),
        _ => return None,
    };
    assert_eq!(frame, question(asker, target), "each octet of a question");
    Some((asker, target))
}

/// Says whether a frame asks or tells who has an address; it carries no segment then.
pub(crate) fn is_about_neighbours(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x06] || frame[12..14] == [0x86, 0xdd] && frame[20] == ICMPV6
}
