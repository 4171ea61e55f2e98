//! The Internet checksum (RFC 1071), four octets at a time: the sum is the same in any byte order, so words are taken as the machine has
//! them. smoltcp's goes octet pair by octet pair, which costs as much as copying a full segment in and out.

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
const TCP: u8 = 6;
/// Octets that are taken without asking whether it was the last.
const BLOCK: usize = 16;

/// The folded sum of octets, in the machine's order.
fn sum(octets: &[u8], mut sum: u64) -> u16 {
    let (blocks, rest) = octets.as_chunks::<BLOCK>();
    for block in blocks {
        // Its four words, without a loop.
        let words = u128::from_ne_bytes(*block);
        sum += u64::from(words as u32) + u64::from((words >> 32) as u32);
        sum += u64::from((words >> 64) as u32) + u64::from((words >> 96) as u32);
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    fold(sum + u64::from(u32::from_ne_bytes(last)))
}

/// The carries go round: what does not fit is added at the other end.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

/// RFC 9293 §3.1, RFC 8200 §8.1: both addresses, the protocol and the length take part, in either family to the same sum.
fn pseudo_header(src: &Addr, dst: &Addr, len: usize) -> u64 {
    let [high, low] = (len as u16).to_be_bytes();
    let sum = |addr: &Addr| addr.words().iter().map(|word| u64::from(*word)).sum::<u64>();
    sum(src) + sum(dst) + u64::from(u32::from_ne_bytes([0, TCP, high, low]))
}

/// Returns whether a header or message that carries its own checksum is whole.
pub(crate) fn is_right(octets: &[u8]) -> bool {
    sum(octets, 0) == u16::MAX
}

/// Says whether a segment is whole.
pub(crate) fn is_segment_right(segment: &[u8], src: &Addr, dst: &Addr) -> bool {
    sum(segment, pseudo_header(src, dst, segment.len())) == u16::MAX
}

/// Gives the two octets that make a header right whose own are zero.
pub(crate) fn of_header(header: &[u8]) -> [u8; 2] {
    (!sum(header, 0)).to_ne_bytes()
}

/// Gives the two octets that make a segment right whose own are zero.
pub(crate) fn of_segment(segment: &[u8], src: &Addr, dst: &Addr) -> [u8; 2] {
    (!sum(segment, pseudo_header(src, dst, segment.len()))).to_ne_bytes()
}

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

    fn agrees(octets: &mut [u8], src: IpAddr, dst: IpAddr) -> Result<(), TestCaseError> {
        let Some((from, to)) = Addr::both(src, dst) else { return Err(TestCaseError::reject("IPv4-mapped")) };
        octets[16..18].fill(0);
        let ours = of_segment(octets, &from, &to);
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
            let ours = of_header(&octets);
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
                let ours = of_segment(&octets, &most, &most);
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
