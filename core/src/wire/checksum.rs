//! The Internet checksum (RFC 1071), and copies that take it along. The sum is the same in any byte order and any width, so it is taken of the
//! machine's words, in chains whose carry goes from one to the next. smoltcp's goes byte pair by byte pair, which costs as much as copying a
//! full segment in and out.

use crate::wire::addr::Addr;

/// Who computes a checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ChecksumBy {
    /// This crate verifies what comes in and fills in what goes out.
    #[default]
    Software,
    /// The hardware does both: nothing is verified, zero is sent.
    Hardware,
    /// The hardware has verified what comes in; this crate fills in what goes out.
    HardwareOnReceive,
    /// This crate verifies what comes in; the hardware fills in what goes out.
    HardwareOnTransmit,
}

impl ChecksumBy {
    pub(crate) const fn is_verified_here(self) -> bool {
        matches!(self, ChecksumBy::Software | ChecksumBy::HardwareOnTransmit)
    }

    pub(crate) const fn is_filled_here(self) -> bool {
        matches!(self, ChecksumBy::Software | ChecksumBy::HardwareOnReceive)
    }
}

/// The protocol's number in the pseudo header.
pub(crate) const TCP: u8 = 6;
/// Bytes of a machine's word.
const WORD: usize = size_of::<usize>();
/// Bytes of a header without options, IPv4's or TCP's.
const HEADER: usize = 20;
/// Words that are taken without asking whether it was the last.
const CHAIN: usize = 8;

type Word = [u8; WORD];

/// A sum on its way: words in the machine's order, and how often they have carried.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    words: usize,
    carries: usize,
}

impl Sum {
    pub(crate) const ZERO: Sum = Sum { words: 0, carries: 0 };

    /// The pseudo header of a segment (RFC 9293 §3.1, RFC 8200 §8.1): both addresses, the protocol and the length take part, in either family
    /// to the same sum.
    pub(crate) fn of_pseudo_header(src: &Addr, dst: &Addr, len: usize) -> Sum {
        let [high, low] = (len as u16).to_be_bytes();
        let mut sum = Sum::ZERO;
        sum.add_addr(src);
        sum.add_addr(dst);
        sum.add_word(u32::from_ne_bytes([0, TCP, high, low]) as usize);
        sum
    }

    /// Takes in a word that stands at an even place.
    #[inline]
    pub(crate) fn add_word(&mut self, word: usize) {
        let (sum, carry) = self.words.overflowing_add(word);
        self.words = sum;
        self.carries += usize::from(carry);
    }

    /// All words of an address, also of one that stands for an IPv4 address: what stands before that adds up to 0xffff, which is zero here.
    fn add_addr(&mut self, addr: &Addr) {
        match *addr.all_words() {
            #[cfg(not(feature = "ipv6"))]
            [a] => self.add_word(a as usize),
            #[cfg(feature = "ipv6")]
            [a, b, c, d] => {
                let (sum, carry) = self.words.carrying_add(a as usize, false);
                let (sum, carry) = sum.carrying_add(b as usize, carry);
                let (sum, carry) = sum.carrying_add(c as usize, carry);
                let (sum, carry) = sum.carrying_add(d as usize, carry);
                self.words = sum;
                self.carries += usize::from(carry);
            }
        }
    }

    #[inline(always)]
    fn add_chain(&mut self, words: &[Word; CHAIN]) {
        let [a, b, c, d, e, f, g, h] = words.map(usize::from_ne_bytes);
        // Without a loop: at the optimization level for size none is unrolled.
        let (sum, carry) = self.words.carrying_add(a, false);
        let (sum, carry) = sum.carrying_add(b, carry);
        let (sum, carry) = sum.carrying_add(c, carry);
        let (sum, carry) = sum.carrying_add(d, carry);
        let (sum, carry) = sum.carrying_add(e, carry);
        let (sum, carry) = sum.carrying_add(f, carry);
        let (sum, carry) = sum.carrying_add(g, carry);
        let (sum, carry) = sum.carrying_add(h, carry);
        self.words = sum;
        self.carries += usize::from(carry);
    }

    /// Takes in the words of a header without options, IPv4's or TCP's.
    #[inline]
    pub(crate) fn add_header(&mut self, header: &[[u8; 4]; 5]) {
        let [a, b, c, d, e] = header.map(|word| u32::from_ne_bytes(word) as usize);
        let (sum, carry) = self.words.carrying_add(a, false);
        let (sum, carry) = sum.carrying_add(b, carry);
        let (sum, carry) = sum.carrying_add(c, carry);
        let (sum, carry) = sum.carrying_add(d, carry);
        let (sum, carry) = sum.carrying_add(e, carry);
        self.words = sum;
        self.carries += usize::from(carry);
    }

    /// Takes in bytes that begin at an even place.
    pub(crate) fn add(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<WORD>();
        let (chains, words) = words.as_chunks::<CHAIN>();
        for chain in chains {
            self.add_chain(chain);
        }
        for word in words {
            self.add_word(usize::from_ne_bytes(*word));
        }
        if !rest.is_empty() {
            self.add_rest(rest);
        }
    }

    /// The sum with a header, most often one without options, and what follows it.
    #[inline(always)]
    pub(crate) fn with(mut self, octets: &[u8]) -> Sum {
        match octets.as_chunks().0.first_chunk() {
            Some(header) if octets.len() == HEADER => self.add_header(header),
            _ => self.add(octets),
        }
        self
    }

    /// The last bytes, fewer than a word.
    fn add_rest(&mut self, rest: &[u8]) {
        let mut last = [0; WORD];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.add_word(usize::from_ne_bytes(last));
    }

    /// Takes in what was summed as if it began at an even place, and follows so many bytes.
    pub(crate) fn append(&mut self, sum: Sum, after: usize) {
        let folded = sum.fold();
        self.add_word(usize::from(if after.is_multiple_of(2) { folded } else { folded.swap_bytes() }));
    }

    /// The carries go round: what does not fit is added at the other end.
    fn fold(self) -> u16 {
        const HALF: u32 = usize::BITS / 2;
        let (sum, carry) = self.words.overflowing_add(self.carries);
        // A sum that carries here is small.
        let sum = sum + usize::from(carry);
        let sum = (sum >> HALF) + (sum & (usize::MAX >> HALF));
        let sum = (sum >> HALF) + (sum & (usize::MAX >> HALF));
        // Two halves were enough where a word has 32 bits.
        let sum = (sum >> 16) + (sum & 0xffff);
        ((sum >> 16) + (sum & 0xffff)) as u16
    }

    /// Returns whether what carries its own checksum is whole.
    pub(crate) fn is_right(self) -> bool {
        self.fold() == u16::MAX
    }

    /// Returns the two bytes that make right what has zeros in their place.
    pub(crate) fn complement(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }
}

/// Returns whether a header or message that carries its own checksum is whole.
pub(crate) fn is_right(octets: &[u8]) -> bool {
    Sum::ZERO.with(octets).is_right()
}

/// Returns whether a segment is whole.
pub(crate) fn is_segment_right(segment: &[u8], src: &Addr, dst: &Addr) -> bool {
    Sum::of_pseudo_header(src, dst, segment.len()).with(segment).is_right()
}

/// Copies bytes of which there are as many on both sides.
#[cfg(not(target_pointer_width = "32"))]
pub(crate) fn copy(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(from);
}

/// Copies bytes of which there are as many on both sides, and returns their sum.
#[cfg(not(target_pointer_width = "32"))]
pub(crate) fn copy_and_sum(from: &[u8], to: &mut [u8]) -> Sum {
    let mut sum = Sum::ZERO;
    sum.add(from);
    copy(from, to);
    sum
}

/// The `memcpy` of compiler-builtins goes byte by byte, or shifts every word, where source and destination lie differently within words, as
/// a frame and a ring do. These processors load and store words anywhere, those without are no slower for it.
#[cfg(any(test, target_pointer_width = "32"))]
mod by_words {
    use super::Sum;

    /// A word of these processors, also where the tests run.
    type Word = [u8; 4];

    pub(crate) fn copy(from: &[u8], to: &mut [u8]) {
        go::<false>(from, to);
    }

    pub(crate) fn copy_and_sum(from: &[u8], to: &mut [u8]) -> Sum {
        go::<true>(from, to)
    }

    // Nothing but the one loop goes word by word: of others the compiler makes calls of `memcpy`.
    fn go<const SUMS: bool>(from: &[u8], to: &mut [u8]) -> Sum {
        let mut sum = Sum::ZERO;
        let (words, rest) = from.as_chunks();
        let (fours, words) = words.as_chunks();
        let (eights, fours) = fours.as_chunks();
        let (out_words, out_rest) = to.as_chunks_mut();
        let (out_fours, out_words) = out_words.as_chunks_mut();
        let (out_eights, out_fours) = out_fours.as_chunks_mut();
        for ([a, b], [to_a, to_b]) in eights.iter().zip(out_eights) {
            sum = copy_four::<SUMS>(sum, a, to_a);
            sum = copy_four::<SUMS>(sum, b, to_b);
        }
        if let ([four], [out]) = (fours, out_fours) {
            sum = copy_four::<SUMS>(sum, four, out);
        }
        match (words, out_words) {
            ([a], [to_a]) => sum = copy_word::<SUMS>(sum, a, to_a),
            ([a, b], [to_a, to_b]) => {
                sum = copy_word::<SUMS>(sum, a, to_a);
                sum = copy_word::<SUMS>(sum, b, to_b);
            }
            ([a, b, c], [to_a, to_b, to_c]) => {
                sum = copy_word::<SUMS>(sum, a, to_a);
                sum = copy_word::<SUMS>(sum, b, to_b);
                sum = copy_word::<SUMS>(sum, c, to_c);
            }
            _ => {}
        }
        match (rest, out_rest) {
            ([a], [to_a]) => *to_a = *a,
            ([a, b], [to_a, to_b]) => (*to_a, *to_b) = (*a, *b),
            ([a, b, c], [to_a, to_b, to_c]) => (*to_a, *to_b, *to_c) = (*a, *b, *c),
            _ => {}
        }
        if SUMS && !rest.is_empty() {
            sum.add_rest(rest);
        }
        sum
    }

    #[inline(always)]
    fn copy_four<const SUMS: bool>(mut sum: Sum, from: &[Word; 4], to: &mut [Word; 4]) -> Sum {
        let [a, b, c, d] = from.map(u32::from_ne_bytes);
        let [to_a, to_b, to_c, to_d] = to;
        if SUMS {
            let (words, carry) = sum.words.carrying_add(a as usize, false);
            let (words, carry) = words.carrying_add(b as usize, carry);
            let (words, carry) = words.carrying_add(c as usize, carry);
            let (words, carry) = words.carrying_add(d as usize, carry);
            sum = Sum { words, carries: sum.carries + usize::from(carry) };
        }
        *to_a = a.to_ne_bytes();
        *to_b = b.to_ne_bytes();
        *to_c = c.to_ne_bytes();
        *to_d = d.to_ne_bytes();
        sum
    }

    #[inline(always)]
    fn copy_word<const SUMS: bool>(mut sum: Sum, from: &Word, to: &mut Word) -> Sum {
        if SUMS {
            sum.add_word(u32::from_ne_bytes(*from) as usize);
        }
        *to = *from;
        sum
    }
}

#[cfg(target_pointer_width = "32")]
pub(crate) use by_words::{copy, copy_and_sum};

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{IpAddress, Ipv4Packet, TcpPacket};

    fn as_smoltcp(addr: IpAddr) -> IpAddress {
        match addr {
            IpAddr::V4(addr) => addr.into(),
            #[cfg(feature = "ipv6")]
            IpAddr::V6(addr) => addr.into(),
            #[cfg(not(feature = "ipv6"))]
            IpAddr::V6(addr) => panic!("{addr} is of a family that is not spoken"),
        }
    }

    fn sum_of(octets: &[u8]) -> Sum {
        let mut sum = Sum::ZERO;
        sum.add(octets);
        sum
    }

    fn sum_of_segment(octets: &[u8], src: &Addr, dst: &Addr) -> Sum {
        let mut sum = Sum::of_pseudo_header(src, dst, octets.len());
        sum.add(octets);
        sum
    }

    fn agrees(octets: &mut [u8], src: IpAddr, dst: IpAddr) -> Result<(), TestCaseError> {
        let Some((from, to)) = Addr::both(src, dst) else { return Err(TestCaseError::reject("IPv4-mapped")) };
        octets[16..18].fill(0);
        let ours = sum_of_segment(octets, &from, &to).complement();
        let mut packet = TcpPacket::new_unchecked(octets.to_vec());
        packet.fill_checksum(&as_smoltcp(src), &as_smoltcp(dst));
        prop_assert_eq!(packet.checksum().to_be_bytes(), ours);
        octets[16..18].copy_from_slice(&ours);
        prop_assert!(is_segment_right(octets, &from, &to));
        for at in 0..octets.len() {
            octets[at] ^= 0x10;
            prop_assert!(!is_segment_right(octets, &from, &to));
            octets[at] ^= 0x10;
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn copies_are_whole_and_bring_the_sum(octets in prop::collection::vec(any::<u8>(), 0..200), at in 0..9_usize) {
            let octets = &octets[at.min(octets.len())..];
            for (copy, with_sum) in [(false, false), (true, false), (false, true), (true, true)] {
                let mut to = std::vec![0; octets.len()];
                match (copy, with_sum) {
                    (false, false) => super::copy(octets, &mut to),
                    (true, false) => by_words::copy(octets, &mut to),
                    (false, true) => prop_assert_eq!(super::copy_and_sum(octets, &mut to).complement(), sum_of(octets).complement()),
                    (true, true) => prop_assert_eq!(by_words::copy_and_sum(octets, &mut to).complement(), sum_of(octets).complement()),
                }
                prop_assert_eq!(&to[..], octets);
            }
        }

        #[test]
        fn sums_of_parts_make_the_whole(octets in prop::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            let (first, second) = octets.split_at(at.min(octets.len()));
            let mut sum = sum_of(first);
            sum.append(sum_of(second), first.len());
            prop_assert_eq!(sum.complement(), sum_of(&octets).complement());
        }

        #[test]
        fn segment_sums_agree_with_smoltcp(mut octets in prop::collection::vec(any::<u8>(), 20..200), src: u32, dst: u32) {
            let (src, dst) = (Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst));
            agrees(&mut octets, src.into(), dst.into())?;
        }

        #[cfg(feature = "ipv6")]
        #[test]
        fn segment_sums_over_ipv6_agree_with_smoltcp(
            mut octets in prop::collection::vec(any::<u8>(), 20..200), src: u128, dst: u128,
        ) {
            let (src, dst) = (core::net::Ipv6Addr::from_bits(src), core::net::Ipv6Addr::from_bits(dst));
            agrees(&mut octets, src.into(), dst.into())?;
        }

        #[test]
        fn header_sums_agree_with_smoltcp(mut octets in prop::collection::vec(any::<u8>(), 20..=20)) {
            octets[0] = 0x45;
            octets[10..12].fill(0);
            let ours = sum_of(&octets).complement();
            let mut packet = Ipv4Packet::new_unchecked(octets.clone());
            packet.fill_checksum();
            prop_assert_eq!(packet.checksum().to_be_bytes(), ours);
            octets[10..12].copy_from_slice(&ours);
            prop_assert!(is_right(&octets));
        }
    }

    #[test]
    fn sums_of_extremes_fold_right() {
        for len in [20, 1_460, 65_515] {
            for octet in [0x00, 0xff] {
                let mut octets = std::vec![octet; len];
                octets[16..18].fill(0);
                let most = Addr::v4(Ipv4Addr::BROADCAST);
                let ours = sum_of_segment(&octets, &most, &most).complement();
                let mut packet = TcpPacket::new_unchecked(octets.clone());
                let ip = IpAddress::Ipv4(Ipv4Addr::BROADCAST);
                packet.fill_checksum(&ip, &ip);
                assert_eq!(packet.checksum().to_be_bytes(), ours, "{len} octets {octet:#x}");
                octets[16..18].copy_from_slice(&ours);
                assert!(is_segment_right(&octets, &most, &most), "{len} octets {octet:#x}");
            }
        }
    }
}
