//! ARP (RFC 826), ICMPv6 (RFC 4443) and neighbor discovery (RFC 4861).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    ARP, BROADCAST, ICMPV6, IPV6, Mac, ethernet, ipv6_limited, mac_at, on_ethernet, u16_at, upper_checksum, v4_at,
    v6_at,
};

/// ICMPv6 types.
pub(crate) const UNREACHABLE: u8 = 1;
pub(crate) const TOO_BIG: u8 = 2;
pub(crate) const TIME_EXCEEDED: u8 = 3;
pub(crate) const PARAMETER: u8 = 4;
pub(crate) const ECHO_REQUEST: u8 = 128;
pub(crate) const ECHO_REPLY: u8 = 129;
pub(crate) const ROUTER_SOLICITATION: u8 = 133;
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;
pub(crate) const REDIRECT: u8 = 137;

/// Flags of an advertisement (RFC 4861 §4.4).
pub(crate) const ROUTER: u8 = 0x80;
pub(crate) const SOLICITED: u8 = 0x40;
pub(crate) const OVERRIDE: u8 = 0x20;

/// Options for a link-layer address (RFC 4861 §4.6.1).
pub(crate) const SOURCE_LINK: u8 = 1;
pub(crate) const TARGET_LINK: u8 = 2;

/// Neighbor discovery never crosses a router (RFC 4861 §7.1).
pub(crate) const ON_LINK_HOPS: u8 = 255;

/// Operations of ARP.
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

pub(crate) fn arp(op: u16, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4];
    bytes.extend(op.to_be_bytes());
    for (mac, addr) in [sender, target] {
        bytes.extend(mac);
        bytes.extend(addr.octets());
    }
    bytes
}

/// An ICMPv6 message with the right checksum.
pub(crate) fn icmpv6(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(body);
    seal_icmpv6(src, dst, &mut bytes);
    bytes
}

/// Makes an ICMPv6 message's checksum right.
pub(crate) fn seal_icmpv6(src: Ipv6Addr, dst: Ipv6Addr, message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = upper_checksum(src.into(), dst.into(), ICMPV6, message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

/// A neighbor discovery option that carries a link-layer address.
pub(crate) fn link_option(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// What stands behind the checksum in a neighbor solicitation or advertisement.
pub(crate) fn discovery_body(flags: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&[flags, 0, 0, 0][..], &target.octets(), options].concat()
}

/// The group that listens for questions about an address (RFC 4291 §2.7.1).
pub(crate) fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let bytes = target.octets();
    let mut group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
    group[13..].copy_from_slice(&bytes[13..]);
    group.into()
}

/// The Ethernet group of an IPv6 group (RFC 2464 §7).
pub(crate) fn group_mac(group: Ipv6Addr) -> Mac {
    let bytes = group.octets();
    [0x33, 0x33, bytes[12], bytes[13], bytes[14], bytes[15]]
}

/// The packet with a neighbor discovery message.
fn discovery(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    ipv6_limited(src, dst, ICMPV6, ON_LINK_HOPS, &icmpv6(src, dst, kind, 0, body))
}

/// The frame in which `asker` asks who has `target`: an ARP request, or a solicitation to the group of the target (RFC 4861 §4.3).
pub(crate) fn question(asker: (Mac, IpAddr), target: IpAddr) -> Vec<u8> {
    match (asker.1, target) {
        (IpAddr::V4(addr), IpAddr::V4(target)) => {
            ethernet(BROADCAST, asker.0, ARP, &arp(REQUEST, (asker.0, addr), ([0; 6], target)))
        }
        (IpAddr::V6(addr), IpAddr::V6(target)) => {
            let group = solicited_node(target);
            let body = discovery_body(0, target, &link_option(SOURCE_LINK, asker.0));
            on_ethernet(group_mac(group), asker.0, &discovery(addr, group, SOLICITATION, &body))
        }
        _ => panic!("{asker:?} and {target} are of two families"),
    }
}

/// The frame in which `owner` answers: an ARP reply, or an advertisement (RFC 4861 §4.4).
pub(crate) fn answer(owner: (Mac, IpAddr), asker: (Mac, IpAddr)) -> Vec<u8> {
    match (owner.1, asker.1) {
        (IpAddr::V4(addr), IpAddr::V4(to)) => {
            ethernet(asker.0, owner.0, ARP, &arp(REPLY, (owner.0, addr), (asker.0, to)))
        }
        (IpAddr::V6(addr), IpAddr::V6(to)) => {
            let body = discovery_body(SOLICITED | OVERRIDE, addr, &link_option(TARGET_LINK, owner.0));
            on_ethernet(asker.0, owner.0, &discovery(addr, to, ADVERTISEMENT, &body))
        }
        _ => panic!("{owner:?} and {asker:?} are of two families"),
    }
}

/// Returns who asks for which address, if the frame is a question; each byte of it is what it must be.
pub(crate) fn read_question(frame: &[u8]) -> Option<((Mac, IpAddr), IpAddr)> {
    let mac = mac_at(frame, 6);
    let (asker, target): ((Mac, IpAddr), IpAddr) = match u16_at(frame, 12) {
        ARP if frame[21] == REQUEST as u8 => ((mac, v4_at(frame, 28).into()), v4_at(frame, 38).into()),
        IPV6 if frame[20] == ICMPV6 && frame[54] == SOLICITATION => {
            ((mac, v6_at(frame, 22).into()), v6_at(frame, 62).into())
        }
        _ => return None,
    };
    assert_eq!(frame, question(asker, target), "each byte of a question");
    Some((asker, target))
}

/// Returns whether a frame asks for or announces a link-layer address; it carries no segment then.
pub(crate) fn is_about_neighbors(frame: &[u8]) -> bool {
    let ethertype = u16_at(frame, 12);
    ethertype == ARP || ethertype == IPV6 && frame[20] == ICMPV6
}
