//! What only the tests of IPv6 send.

use std::net::Ipv6Addr;

use crate::packet::{ICMPV6, Mac, ON_LINK_HOPS, SOLICITATION, discovery_body, icmpv6_packet, ipv6, link_option};

/// Protocol numbers of extension headers (RFC 8200 §4).
pub const HOP_BY_HOP: u8 = 0;
pub const FRAGMENT: u8 = 44;
pub const DESTINATION: u8 = 60;

/// Types of messages (RFC 4443).
pub const UNREACHABLE: u8 = 1;
pub const TOO_BIG: u8 = 2;
const ECHO_REQUEST: u8 = 128;
pub const ECHO_REPLY: u8 = 129;

const SOURCE_LINK_ADDRESS: u8 = 1;
pub const TARGET_LINK_ADDRESS: u8 = 2;
/// What a router lets a packet of its own be, and the headers in front of what it quotes (RFC 4443 §2.4 c).
const MOST_OF_AN_ERROR: usize = 1_280 - 48;

/// The group that listens for questions about an address (RFC 4291 §2.7.1).
pub fn solicited_group(target: Ipv6Addr) -> Ipv6Addr {
    let bytes = target.octets();
    let mut group = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&bytes[13..]);
    group.into()
}

/// A group's Ethernet address (RFC 2464 §7).
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Who has this address?
pub fn solicitation(asker: (Mac, Ipv6Addr), target: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let rest = discovery_body(0, target, &link_option(SOURCE_LINK_ADDRESS, asker.0));
    icmpv6_packet(asker.1, dst, ON_LINK_HOPS, [SOLICITATION, 0], &rest)
}

/// What follows the checksum of an echo request, and so of its reply.
pub fn echo(text: &[u8]) -> Vec<u8> {
    [&[0x12, 0x34, 0, 1], text].concat()
}

pub fn echo_request(src: Ipv6Addr, dst: Ipv6Addr, text: &[u8]) -> Vec<u8> {
    icmpv6_packet(src, dst, 64, [ECHO_REQUEST, 0], &echo(text))
}

/// A router's error about a packet: for [`TOO_BIG`] the number is the MTU, for the others it is unused.
pub fn error(router: Ipv6Addr, dst: Ipv6Addr, kind: u8, number: u32, about: &[u8]) -> Vec<u8> {
    let quote = &about[..about.len().min(MOST_OF_AN_ERROR)];
    icmpv6_packet(router, dst, 64, [kind, 0], &[&number.to_be_bytes(), quote].concat())
}

/// A part of a packet; the offset is in units of 8 bytes.
pub fn fragment(next: u8, offset: u16, more_follow: bool, payload: &[u8]) -> Vec<u8> {
    let field = offset << 3 | u16::from(more_follow);
    let mut bytes = vec![next, 0];
    bytes.extend(field.to_be_bytes());
    bytes.extend([0, 0, 0, 7]);
    bytes.extend(payload);
    bytes
}

/// A header of options that holds nothing but padding.
pub fn padding(next: u8, payload: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], payload].concat()
}

/// A packet whose first header is `next`.
pub fn behind(src: Ipv6Addr, dst: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6(src, dst, next, payload)
}

/// Changes a byte of an ICMPv6 message and mends nothing: the checksum is wrong then.
pub fn spoiled(mut packet: Vec<u8>) -> Vec<u8> {
    assert_eq!(packet[6], ICMPV6);
    packet[42] ^= 0x01;
    packet
}
