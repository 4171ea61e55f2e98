//! TCP segments (RFC 9293 §3.1) as bytes and as plain numbers.

use std::net::{IpAddr, SocketAddr};

use super::{ACK, FIN, RST, SYN, URG, tcp_checksum, u16_at, u32_at};

/// The header without options.
pub(crate) const HEADER: usize = 20;
/// The most bytes of options.
const MOST_OPTIONS: usize = 40;

/// What is to be written, between two endpoints.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) wnd: u16,
    pub(crate) urgent: u16,
    /// Padded with zeros to a multiple of four.
    pub(crate) options: &'a [u8],
    pub(crate) text: &'a [u8],
}

impl Raw<'_> {
    /// The segment's bytes. Without a checksum the field is zero.
    pub(crate) fn octets(&self, src: SocketAddr, dst: SocketAddr, has_checksum: bool) -> Vec<u8> {
        let header = HEADER + self.options.len().next_multiple_of(4);
        assert!(header <= HEADER + MOST_OPTIONS, "options that no header holds");
        let mut out = Vec::with_capacity(header + self.text.len());
        out.extend(src.port().to_be_bytes());
        out.extend(dst.port().to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend([((header / 4) << 4) as u8, self.flags]);
        out.extend(self.wnd.to_be_bytes());
        out.extend([0, 0]);
        out.extend(self.urgent.to_be_bytes());
        out.extend(self.options);
        out.resize(header, 0);
        out.extend(self.text);
        if has_checksum {
            let sum = tcp_checksum(src.ip(), dst.ip(), &out);
            out[16..18].copy_from_slice(&sum.to_be_bytes());
        }
        out
    }

    /// The segment's bytes with a right checksum.
    pub(crate) fn bytes(&self, src: SocketAddr, dst: SocketAddr) -> Vec<u8> {
        self.octets(src, dst, true)
    }
}

/// A segment without its addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seg {
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    /// ECE and CWR.
    pub(crate) ecn: u8,
    pub(crate) wnd: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) text: Vec<u8>,
}

/// The option that announces a maximum segment size.
pub(crate) fn mss_option(mss: u16) -> Vec<u8> {
    let [high, low] = mss.to_be_bytes();
    vec![2, 4, high, low]
}

/// The SACK option with these blocks, counted from `first`, padded in front; nothing where there are none.
pub(crate) fn sack_option(first: u32, blocks: &[(u32, u32)]) -> Vec<u8> {
    if blocks.is_empty() {
        return vec![];
    }
    let numbers = blocks.iter().flat_map(|&(start, end)| [start, end]);
    let bytes = numbers.flat_map(|number| first.wrapping_add(number).to_be_bytes());
    [1, 1, 5, 2 + 8 * blocks.len() as u8].into_iter().chain(bytes).collect()
}

/// The timestamps option, padded in front.
pub(crate) fn timestamps_option(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}

/// TSval and TSecr, where there is the timestamps option.
pub(crate) fn timestamps_of(options: &[u8]) -> Option<(u32, u32)> {
    let option = options_of(options).into_iter().find(|(kind, _)| *kind == 8);
    option.map(|(_, data)| (u32_at(data, 0), u32_at(data, 4)))
}

/// Kinds of options, their lengths with padding, and whether they are offered.
const OFFERED: [(u8, usize, bool); 3] =
    [(4, 4, cfg!(feature = "sack")), (3, 4, cfg!(feature = "window-scale")), (8, 12, cfg!(feature = "timestamps"))];

/// What an engine adds to its SYN beside the MSS, by kind.
pub(crate) fn offered_kinds() -> Vec<u8> {
    OFFERED.iter().filter(|(.., is_on)| *is_on).map(|(kind, ..)| *kind).collect()
}

/// How many bytes that takes.
pub(crate) fn offered_len() -> usize {
    OFFERED.iter().filter(|(.., is_on)| *is_on).map(|(_, len, _)| *len).sum()
}

/// Kind and data of each option; what is not well formed fails the test.
pub(crate) fn options_of(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    assert_eq!(bytes.len() % 4, 0, "whole words: {bytes:02x?}");
    let mut read: Vec<(u8, &[u8])> = vec![];
    while let [kind, rest @ ..] = bytes {
        bytes = rest;
        if *kind == 1 {
            continue;
        }
        let len = usize::from(rest[0]);
        assert!(read.iter().all(|(other, _)| other != kind), "option {kind} twice");
        read.push((*kind, &rest[1..len - 1]));
        bytes = &rest[len - 1..];
    }
    read
}

impl Seg {
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// SEG.LEN.
    pub(crate) fn len(&self) -> u32 {
        self.text.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// The sequence number behind the segment.
    pub(crate) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len())
    }

    /// The data of the option of a kind.
    fn option(&self, kind: u8) -> Option<&[u8]> {
        options_of(&self.options).into_iter().find(|(other, _)| *other == kind).map(|(_, data)| data)
    }

    /// The maximum segment size that is announced.
    pub(crate) fn mss(&self) -> Option<u16> {
        self.option(2).map(|data| u16_at(data, 0))
    }

    /// The blocks of the SACK option; each from its first number to the one after its last.
    pub(crate) fn sack(&self) -> Vec<(u32, u32)> {
        let blocks = self.option(5).unwrap_or_default().chunks(8);
        blocks.map(|block| (u32_at(block, 0), u32_at(block, 4))).collect()
    }

    /// TSval and TSecr of the timestamps option.
    pub(crate) fn timestamps(&self) -> Option<(u32, u32)> {
        timestamps_of(&self.options)
    }

    /// Options that an engine never sends in this segment, or longer than they are.
    fn assert_sane_options(&self) {
        for (kind, data) in options_of(&self.options) {
            let (is_syn, len) = (self.has(SYN), data.len());
            let is_known = match kind {
                2 => is_syn && len == 2,
                4 => is_syn && len == 0 && cfg!(feature = "sack"),
                5 => !is_syn && !self.has(RST) && len > 0 && len % 8 == 0 && cfg!(feature = "sack"),
                3 => is_syn && len == 1 && data[0] <= 3 && cfg!(feature = "window-scale"),
                8 => len == 8 && cfg!(feature = "timestamps"),
                28 => !self.has(RST) && len == 2,
                _ => false,
            };
            assert!(is_known, "an option nobody expects: {kind} in {self:?}");
        }
        if let Some((_, echo)) = self.timestamps() {
            assert!(self.has(ACK) || echo == 0, "an echo without bit: {self:?}");
        }
    }

    /// Nothing an engine sends may look like this: a block that is empty, acknowledged (but for the first, which may tell of what came twice), or half in
    /// another.
    fn assert_sane_sack(&self) {
        let ahead = |n: u32| n.wrapping_sub(self.ack) as i32;
        let blocks = self.sack();
        for (i, &(start, end)) in blocks.iter().enumerate() {
            assert!(ahead(start) < ahead(end), "an empty block: {self:?}");
            assert!(i == 0 || ahead(start) > 0, "a block that is acknowledged: {self:?}");
            for &(before, until) in &blocks[..i] {
                let is_apart = ahead(until) < ahead(start) || ahead(end) < ahead(before);
                let is_within = ahead(start) <= ahead(before) && ahead(until) <= ahead(end);
                assert!(is_apart || is_within, "blocks that touch: {self:?}");
            }
        }
        if let [(start, end), ..] = blocks[..] {
            assert!(ahead(start) > 0 || ahead(end) <= 0, "a block on both sides of the acknowledgment: {self:?}");
        }
    }

    /// The segment's bytes between two addresses of one family.
    pub(crate) fn octets(&self, src: impl Into<IpAddr>, dst: impl Into<IpAddr>) -> Vec<u8> {
        let Seg { sport, dport, seq, ack, flags, ecn, wnd, urgent, ref options, ref text } = *self;
        let raw = Raw { seq, ack, flags: flags | ecn, wnd, urgent, options, text };
        raw.bytes(SocketAddr::new(src.into(), sport), SocketAddr::new(dst.into(), dport))
    }

    /// Reads the numbers; whether checksum and content are right is not looked at.
    pub(crate) fn parse(bytes: &[u8]) -> Seg {
        assert!(bytes.len() >= HEADER, "shorter than a header");
        let header = usize::from(bytes[12] >> 4) * 4;
        assert!(header >= HEADER && header <= bytes.len(), "data offset {header}");
        Seg {
            sport: u16_at(bytes, 0),
            dport: u16_at(bytes, 2),
            seq: u32_at(bytes, 4),
            ack: u32_at(bytes, 8),
            flags: bytes[13] & 0x3f,
            ecn: bytes[13] & 0xc0,
            wnd: u16_at(bytes, 14),
            urgent: u16_at(bytes, 18),
            options: bytes[HEADER..header].to_vec(),
            text: bytes[header..].to_vec(),
        }
    }

    /// Reads what an engine wrote; whatever is not well formed fails the test.
    pub(crate) fn read(bytes: &[u8], src: IpAddr, dst: IpAddr) -> Seg {
        let seg = Seg::parse(bytes);
        assert_eq!(tcp_checksum(src, dst, bytes), 0, "checksum of {bytes:?}");
        assert_eq!(bytes[12] & 0x0f, 0, "reserved bits");
        assert!(seg.ecn == 0 || cfg!(feature = "ecn"), "unknown control bits");
        seg.assert_sane();
        seg
    }

    /// Nothing an engine sends may look like this.
    fn assert_sane(&self) {
        assert!(self.sport != 0 && self.dport != 0, "port 0: {self:?}");
        assert_eq!(self.urgent, 0, "urgent pointer: {self:?}");
        assert!(!self.has(URG), "URG: {self:?}");
        let kinds = u8::from(self.has(SYN)) + u8::from(self.has(FIN)) + u8::from(self.has(RST));
        assert!(kinds <= 1, "SYN, FIN and RST exclude each other: {self:?}");
        assert!(self.has(ACK) || self.has(SYN) || self.has(RST), "no ACK: {self:?}");
        assert!(self.has(ACK) || self.ack == 0, "number without bit: {self:?}");
        if self.has(RST) || self.has(SYN) {
            assert!(self.text.is_empty(), "text on SYN or RST: {self:?}");
        }
        self.assert_sane_options();
        self.assert_sane_sack();
        assert_eq!(self.mss().is_some(), self.has(SYN), "MSS on every SYN: {self:?}");
    }
}
