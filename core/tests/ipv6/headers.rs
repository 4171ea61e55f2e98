//! Chains of IPv6 extension headers (RFC 8200 §4), written down, and judged by a walker of the tests' own.

use crate::packet::{self, AH, DESTINATION, ESP, FRAGMENT, HOP_BY_HOP, ICMPV6, NO_NEXT, ROUTING, TCP};

/// The bound that the documentation names; the tests hold the constant to it.
pub const MOST_HEADERS: usize = 8;

/// A header or a payload: what the header before it calls it, and its bytes. The first byte of an extension header says what follows
/// and is written when the chain is put together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    pub name: &'static str,
    pub protocol: u8,
    pub bytes: Vec<u8>,
}

impl Part {
    /// Returns whether another part can follow.
    pub fn leads_on(&self) -> bool {
        matches!(self.protocol, HOP_BY_HOP | DESTINATION | ROUTING | FRAGMENT | AH)
    }
}

fn part(name: &'static str, protocol: u8, bytes: &[u8]) -> Part {
    Part { name, protocol, bytes: bytes.to_vec() }
}

/// Options in a header of whole units; they fill it.
fn options(name: &'static str, protocol: u8, options: &[u8]) -> Part {
    assert_eq!((options.len() + 2) % 8, 0, "{name}");
    let units = (options.len() + 2) / 8 - 1;
    part(name, protocol, &[&[0, units as u8], options].concat())
}

pub const PAD: [u8; 6] = [1, 4, 0, 0, 0, 0];
pub const PAD1S: [u8; 6] = [0; 6];
/// RFC 2711; its two highest bits are zero.
pub const ROUTER_ALERT: [u8; 6] = [5, 2, 0, 0, 1, 0];
/// Two units, and an option without data at the end.
pub const LONG: [u8; 14] = [0x3e, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x1e, 0];
/// Nobody knows these; their highest bits ask for more than being skipped (RFC 8200 §4.2).
pub const DISCARD: [u8; 6] = [0x5e, 4, 0, 0, 0, 0];
pub const DISCARD_AND_TELL: [u8; 6] = [0x9e, 4, 0, 0, 0, 0];
pub const DISCARD_AND_TELL_UNICAST: [u8; 6] = [0, 0, 0xde, 2, 0, 0];
/// One byte more than there is.
pub const OVERRUN: [u8; 6] = [1, 5, 0, 0, 0, 0];
/// An option that has no length byte.
pub const NO_LENGTH: [u8; 6] = [1, 3, 0, 0, 0, 0x1e];
/// RFC 2675, for a packet of 65,536 bytes.
pub const JUMBO: [u8; 6] = [0xc2, 4, 0, 1, 0, 0];

pub fn hop_by_hop(name: &'static str, bytes: &[u8]) -> Part {
    options(name, HOP_BY_HOP, bytes)
}

pub fn destination(name: &'static str, bytes: &[u8]) -> Part {
    options(name, DESTINATION, bytes)
}

pub fn routing(name: &'static str, kind: u8, segments_left: u8, addresses: usize) -> Part {
    let head = [0, 2 * addresses as u8, kind, segments_left, 0, 0, 0, 0];
    part(name, ROUTING, &[&head[..], &vec![0x20; 16 * addresses]].concat())
}

/// `offset` in units of eight bytes.
pub fn fragment(name: &'static str, offset: u16, more: bool) -> Part {
    let field = (offset << 3) | u16::from(more);
    let [high, low] = field.to_be_bytes();
    part(name, FRAGMENT, &[0, 0, high, low, 0xde, 0xad, 0xbe, 0xef])
}

/// AH counts in units of four bytes, less two (RFC 4302 §2.2).
pub fn ah(name: &'static str) -> Part {
    part(name, AH, &[0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9])
}

pub fn upper(name: &'static str, protocol: u8, bytes: &[u8]) -> Part {
    part(name, protocol, bytes)
}

/// What the IPv6 header says of the first part, and all bytes behind it.
pub fn chain(parts: &[Part]) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let begin = bytes.len();
        bytes.extend(&part.bytes);
        if part.leads_on() {
            bytes[begin] = parts.get(at + 1).map_or(NO_NEXT, |next| next.protocol);
        }
    }
    (parts.first().map_or(NO_NEXT, |part| part.protocol), bytes)
}

/// The parts' names; what repeats more than once is counted.
pub fn name(parts: &[Part]) -> String {
    let said = |run: &[Part]| match run {
        [one] => one.name.to_string(),
        [first, ..] => format!("{}-x{}", first.name, run.len()),
        [] => String::new(),
    };
    parts.chunk_by(|a, b| a.name == b.name).map(said).collect::<Vec<_>>().join("_")
}

/// What the documentation promises of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Yields {
    /// TCP, from this byte on.
    Segment(usize),
    Fragment,
    TooMany,
    Malformed,
    /// ICMPv6, from this byte on.
    Message(usize),
    /// Left to the IP stack.
    Left,
}

/// A header that was looked at: what it says, and where the next thing is.
struct Seen {
    next: u8,
    at: usize,
    /// It asks for what only the IP stack does.
    is_deep: bool,
    /// Fragment offset and more-flag, of a fragment header.
    piece: Option<(u16, bool)>,
}

/// Reads the header of `protocol` at `at`, if all of it is there.
fn look(bytes: &[u8], protocol: u8, at: usize) -> Option<Seen> {
    let len = match protocol {
        FRAGMENT => 8,
        _ => (usize::from(*bytes.get(at + 1)?) + 1) << 3,
    };
    let header = bytes.get(at..at + len)?;
    let mut seen = Seen { next: header[0], at: at + len, is_deep: false, piece: None };
    match protocol {
        FRAGMENT => seen.piece = Some((u16::from_be_bytes([header[2], header[3]]) / 8, header[3] % 2 == 1)),
        ROUTING => seen.is_deep = header[3] > 0,
        _ => seen.is_deep = !all_skippable(header),
    }
    Some(seen)
}

/// RFC 8200 §4.2, by index: each option begins where the last one ended, and the last one ends with the header.
fn all_skippable(header: &[u8]) -> bool {
    let mut at = 2;
    while at < header.len() {
        if header[at] >= 0x40 {
            return false;
        }
        at += match (header[at], header.get(at + 1)) {
            (0, _) => 1,
            (_, None) => return false,
            (_, Some(&len)) => 2 + usize::from(len),
        };
    }
    at == header.len()
}

/// The tests' own walk: collects headers first, and asks afterwards what they amount to.
pub fn walk(first: u8, bytes: &[u8]) -> Yields {
    let (mut protocol, mut at) = (first, 0);
    let mut pieces = Vec::new();
    for count in 0usize.. {
        let is_header = match protocol {
            HOP_BY_HOP => count == 0,
            DESTINATION | ROUTING | FRAGMENT => true,
            _ => false,
        };
        if !is_header {
            break;
        }
        if count == MOST_HEADERS {
            return Yields::TooMany;
        }
        let Some(seen) = look(bytes, protocol, at) else { return Yields::Malformed };
        if seen.is_deep {
            return Yields::Left;
        }
        pieces.extend(seen.piece);
        (protocol, at) = (seen.next, seen.at);
        if seen.piece.is_some_and(|(offset, _)| offset > 0) {
            // What follows is the middle of something; only its name is known.
            return if protocol == TCP { Yields::Fragment } else { Yields::Left };
        }
    }
    let is_whole = pieces.iter().all(|&(offset, more)| offset == 0 && !more);
    match protocol {
        TCP if is_whole => Yields::Segment(at),
        TCP => Yields::Fragment,
        ICMPV6 if is_whole => Yields::Message(at),
        _ => Yields::Left,
    }
}

/// Extension headers of every kind and behavior, for enumerations.
pub fn alphabet() -> Vec<Part> {
    vec![
        hop_by_hop("hop-by-hop", &PAD),
        hop_by_hop("hop-by-hop-discard", &DISCARD),
        hop_by_hop("hop-by-hop-overrun", &OVERRUN),
        destination("destination", &LONG),
        destination("destination-discard", &DISCARD_AND_TELL_UNICAST),
        destination("destination-overrun", &NO_LENGTH),
        routing("routing", 4, 0, 1),
        routing("routing-onward", 0, 1, 1),
        fragment("fragment-whole", 0, false),
        fragment("fragment-first", 0, true),
        fragment("fragment-later", 185, true),
        fragment("fragment-last", 1, false),
        ah("ah"),
    ]
}

/// What can stand behind the headers.
pub fn payloads(segment: &[u8], message: &[u8]) -> Vec<Part> {
    vec![
        upper("tcp", TCP, segment),
        upper("icmpv6", ICMPV6, message),
        upper("udp", packet::UDP, &[0x12, 0x34, 0, 53, 0, 12, 0, 1, 7, 7, 7, 7]),
        upper("esp", ESP, &[0; 24]),
        upper("no-next-header", NO_NEXT, &[]),
        upper("unknown", packet::UNKNOWN, &[0; 16]),
    ]
}
