//! The extension headers between an IPv6 header and what it carries (RFC 8200 §4): stepped over, up to a bound.
//!
//! | behind the IPv6 header | yields |
//! |---|---|
//! | TCP | the segment |
//! | hop-by-hop options, first | stepped over; left to the IP stack if an option asks for more than being skipped |
//! | destination options | the same, anywhere |
//! | routing header, no segments left | stepped over |
//! | routing header, segments left | left to the IP stack: this is not the packet's end |
//! | fragment header of a whole packet | stepped over (RFC 6946) |
//! | fragment header, TCP behind it | a fragment: dropped and counted |
//! | fragment header, later fragment of something else | left to the IP stack |
//! | more than [`MAX_EXTENSION_HEADERS`] | dropped and counted |
//! | a header beyond the packet's end | dropped as malformed |
//! | ICMPv6 | neighbor discovery and errors are looked at, and passed on; not behind any fragment header (RFC 6980) |
//! | anything else, hop-by-hop options elsewhere, ESP, AH, no next header | left to the IP stack |

/// How many extension headers are stepped over. RFC 8200 §4.1 names six that a sender may want, one of them twice.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Protocol numbers.
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
pub(super) const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;
/// Bytes of a fragment header; also the unit of the others' lengths.
const UNIT: usize = 8;
/// The option that is a single byte.
const PAD1: u8 = 0;
/// An option's two highest bits: what to do with one that is not known (RFC 8200 §4.2). Zero: skip it.
const OPTION_ACTION: u8 = 0xc0;

/// What an IPv6 header is followed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Behind<'p> {
    /// A segment.
    Tcp(&'p [u8]),
    /// An ICMPv6 message.
    Icmpv6(&'p [u8]),
    /// A part of a segment.
    TcpFragment,
    /// More headers than are stepped over.
    TooManyHeaders,
    /// The packet ends within a header.
    CutShort,
    /// Something for the IP stack beside us.
    Other,
}

/// What the headers that were stepped over say of all that follows.
#[derive(Default)]
struct Seen {
    has_fragment_header: bool,
    is_fragment: bool,
}

/// Where the walk along the headers goes from one of them.
enum Step<'p> {
    /// To the next header, of this protocol.
    On(u8, &'p [u8]),
    /// Nowhere.
    End(Behind<'p>),
}

/// Walks along the headers; `protocol` is what the IPv6 header says of the first.
pub(crate) fn walk(mut protocol: u8, mut octets: &[u8]) -> Behind<'_> {
    let mut seen = Seen::default();
    for at in 0..MAX_EXTENSION_HEADERS {
        let step = match protocol {
            HOP_BY_HOP if at == 0 => over_options(octets),
            DESTINATION => over_options(octets),
            ROUTING => over_routing(octets),
            FRAGMENT => over_fragment(octets, &mut seen),
            _ => break,
        };
        match step {
            Step::On(next, rest) => (protocol, octets) = (next, rest),
            Step::End(behind) => return behind,
        }
    }
    match protocol {
        TCP if seen.is_fragment => Behind::TcpFragment,
        TCP => Behind::Tcp(octets),
        ICMPV6 if !seen.has_fragment_header => Behind::Icmpv6(octets),
        DESTINATION | ROUTING | FRAGMENT => Behind::TooManyHeaders,
        _ => Behind::Other,
    }
}

/// Parts a header that tells its own length from what follows.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = UNIT * (1 + usize::from(*octets.get(1)?));
    octets.split_at_checked(len)
}

fn over_options(octets: &[u8]) -> Step<'_> {
    let Some((header, rest)) = split(octets) else { return Step::End(Behind::CutShort) };
    if are_skippable(&header[2..]) { Step::On(header[0], rest) } else { Step::End(Behind::Other) }
}

/// Returns whether every option may be skipped. One that runs over the header's end may not.
fn are_skippable(mut options: &[u8]) -> bool {
    while let [kind, rest @ ..] = options {
        if kind & OPTION_ACTION != 0 {
            return false;
        }
        options = match rest {
            _ if *kind == PAD1 => rest,
            [len, data @ ..] if data.len() >= usize::from(*len) => &data[usize::from(*len)..],
            _ => return false,
        };
    }
    true
}

fn over_routing(octets: &[u8]) -> Step<'_> {
    let Some((header, rest)) = split(octets) else { return Step::End(Behind::CutShort) };
    let segments_left = header[3];
    if segments_left == 0 { Step::On(header[0], rest) } else { Step::End(Behind::Other) }
}

/// Only the first fragment shows what comes next; of a later one the header tells it.
fn over_fragment<'p>(octets: &'p [u8], seen: &mut Seen) -> Step<'p> {
    let Some((header, rest)) = octets.split_at_checked(UNIT) else { return Step::End(Behind::CutShort) };
    let field = u16::from_be_bytes([header[2], header[3]]);
    let (offset, more_follow) = (field >> 3, field & 1 != 0);
    seen.has_fragment_header = true;
    seen.is_fragment |= more_follow;
    match offset {
        0 => Step::On(header[0], rest),
        _ if header[0] == TCP => Step::End(Behind::TcpFragment),
        _ => Step::End(Behind::Other),
    }
}
