//! The IP headers of every segment, read and written by words: IPv4, IPv6. Every byte is written: nothing of an older frame in the
//! buffer leaks (CVE-2020-7451).

use crate::wire::addr::Addr;
use crate::wire::checksum::{self, ChecksumBy, Sum};
use crate::wire::ecn::Codepoint;

/// Bytes of an IPv4 header as we send it: without options.
pub(super) const IPV4_HEADER: usize = 20;
/// Bytes of an IPv6 header.
pub(super) const IPV6_HEADER: usize = 40;

/// The families by EtherType.
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

/// What an IP packet carries, by protocol number.
pub(super) const TCP: u8 = checksum::TCP;
pub(super) const ICMP: u8 = 1;

/// IPv4's flags and fragment offset (RFC 791 §3.1).
const DONT_FRAGMENT: u32 = 0x4000;
const MORE_FRAGMENTS_AND_OFFSET: u32 = 0x3fff;

/// An IPv4 packet whose lengths agree.
pub(super) struct Ipv4<'p> {
    pub(super) src: Addr,
    pub(super) dst: Addr,
    pub(super) protocol: u8,
    pub(super) is_fragment: bool,
    pub(super) codepoint: Codepoint,
    /// With its options; shorter than it may be where the packet says so.
    pub(super) header: &'p [u8],
    pub(super) payload: &'p [u8],
}

impl Ipv4<'_> {
    /// Reads a packet; `None` where it is not IPv4, or is shorter than it says.
    pub(super) fn read(packet: &[u8]) -> Option<Ipv4<'_>> {
        let [first, fragment, protocol, src, dst] = packet.as_chunks::<4>().0.first_chunk()?;
        let first = u32::from_be_bytes(*first);
        let (version, header_len, total_len) = (first >> 28, (first >> 24 & 0xf) as usize * 4, first as u16);
        let (header, payload) = packet.get(..usize::from(total_len))?.split_at_checked(header_len)?;
        (version == 4).then(|| Ipv4 {
            src: Addr::from_v4_octets(*src),
            dst: Addr::from_v4_octets(*dst),
            protocol: protocol[1],
            codepoint: Codepoint::of((first >> 16) as u8),
            is_fragment: u32::from_be_bytes(*fragment) & MORE_FRAGMENTS_AND_OFFSET != 0,
            header,
            payload,
        })
    }

    /// Returns whether the header has all its bytes, and its checksum is right where that is ours to verify.
    pub(super) fn is_header_right(&self, by: ChecksumBy) -> bool {
        self.header.len() >= IPV4_HEADER && (!by.is_verified_here() || self.is_checksum_right())
    }

    pub(super) fn is_checksum_right(&self) -> bool {
        checksum::is_right(self.header)
    }
}

/// An IPv6 packet whose length agrees.
#[cfg(feature = "ipv6")]
pub(super) struct Ipv6<'p> {
    /// `None`: an IPv4-mapped IPv6 address, which is nobody's here.
    pub(super) src: Option<Addr>,
    pub(super) dst: Option<Addr>,
    pub(super) next: u8,
    pub(super) codepoint: Codepoint,
    pub(super) payload: &'p [u8],
}

#[cfg(feature = "ipv6")]
impl Ipv6<'_> {
    /// Reads a packet; `None` where it is not IPv6, or is shorter than it says.
    pub(super) fn read(packet: &[u8]) -> Option<Ipv6<'_>> {
        let (first, rest) = packet.split_first_chunk::<8>()?;
        let (src, rest) = rest.split_first_chunk()?;
        let (dst, rest) = rest.split_first_chunk()?;
        let [version, class, _, _, high, low, next, _] = *first;
        let payload = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
        let (src, dst) = (Addr::from_v6_octets(src), Addr::from_v6_octets(dst));
        let codepoint = Codepoint::of(class >> 4);
        (version >> 4 == 6).then_some(Ipv6 { src, dst, next, codepoint, payload })
    }
}

/// Returns the bytes of the IP header in front of a segment.
pub(super) fn ip_header_len(is_v4: bool) -> usize {
    if is_v4 { IPV4_HEADER } else { IPV6_HEADER }
}

/// Returns what Ethernet calls the family.
pub(super) fn ethertype(is_v4: bool) -> u16 {
    if is_v4 { IPV4 } else { IPV6 }
}

/// Writes the IP header in front of a segment that fills the rest of `packet`.
pub(super) fn emit_ip_header(
    packet: &mut [u8],
    src: &Addr,
    dst: &Addr,
    hop_limit: u8,
    codepoint: Codepoint,
    by: ChecksumBy,
) {
    #[cfg(feature = "ipv6")]
    if !src.is_v4() {
        return emit_ipv6_header(packet, src, dst, TCP, hop_limit, codepoint);
    }
    emit_ipv4_header(packet, src, dst, hop_limit, codepoint, by);
}

/// "Don't fragment" is set, so the identification means nothing (RFC 6864 §4.1).
fn emit_ipv4_header(packet: &mut [u8], src: &Addr, dst: &Addr, hop_limit: u8, codepoint: Codepoint, by: ChecksumBy) {
    let total_len = packet.len() as u16;
    let Some(header) = packet.as_chunks_mut::<4>().0.first_chunk_mut() else { return };
    let lengths = 4 << 28 | (IPV4_HEADER as u32 / 4) << 24 | u32::from(codepoint.octet()) << 16 | u32::from(total_len);
    let protocol = u32::from(hop_limit) << 24 | u32::from(TCP) << 16;
    let words =
        [lengths.to_be_bytes(), DONT_FRAGMENT.to_be_bytes(), protocol.to_be_bytes(), src.v4_octets(), dst.v4_octets()];
    *header = words;
    if by.is_filled_here() {
        let mut sum = Sum::ZERO;
        sum.add_header(&words);
        let [_, _, protocol, _, _] = header;
        let [_, _, high, low] = protocol;
        [*high, *low] = sum.complement();
    }
}

/// But for the ECN field traffic class and flow label are zero, which RFC 6437 §3 lets a sender say that labels no flows.
#[cfg(feature = "ipv6")]
pub(super) fn emit_ipv6_header(
    packet: &mut [u8],
    src: &Addr,
    dst: &Addr,
    next: u8,
    hop_limit: u8,
    codepoint: Codepoint,
) {
    let payload_len = packet.len().saturating_sub(IPV6_HEADER) as u16;
    let Some(header) = packet.as_chunks_mut::<4>().0.first_chunk_mut::<{ IPV6_HEADER / 4 }>() else { return };
    let [version, lengths, addresses @ ..] = header;
    *version = (6_u32 << 28 | u32::from(codepoint.octet()) << 20).to_be_bytes();
    *lengths = (u32::from(payload_len) << 16 | u32::from(next) << 8 | u32::from(hop_limit)).to_be_bytes();
    for (to, from) in addresses.iter_mut().zip(src.all_words().iter().chain(dst.all_words())) {
        *to = from.to_ne_bytes();
    }
}
