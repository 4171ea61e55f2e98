//! Hosts, families and bytes that the properties draw.

use proptest::prelude::*;
use std::net::IpAddr;

use tcp_reset_core::{ChecksumBy, LinkAddr, StreamOptions};

use crate::support::family::Family;
use crate::support::packet::tcp_checksum;

pub(crate) const HOP: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 9]);

/// Hosts of the tests: two that the engines are on, and one that nobody knows.
pub(crate) fn a(family: Family) -> IpAddr {
    family.host(1)
}

pub(crate) fn b(family: Family) -> IpAddr {
    family.host(2)
}

pub(crate) fn stranger(family: Family) -> IpAddr {
    family.host(3)
}

pub(crate) fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL)
}

pub(crate) fn checksum_by() -> impl Strategy<Value = ChecksumBy> {
    prop_oneof![Just(ChecksumBy::Software), Just(ChecksumBy::Hardware)]
}

/// Makes bytes into something that passes for a segment: data offset and checksum are right.
pub(crate) fn mend(bytes: &mut [u8], src: IpAddr, dst: IpAddr) {
    let words = (bytes.len() / 4).clamp(5, 15) as u8;
    let offset = 5 + (bytes[12] >> 4) % (words - 4);
    bytes[12] = offset << 4;
    bytes[16..18].fill(0);
    let sum = tcp_checksum(src, dst, bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
}

/// Option areas that have broken other stacks, each a multiple of four bytes.
pub(crate) fn nasty_options() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = vec![
        vec![],
        vec![29, 0, 0, 0],
        vec![29, 1, 0, 0],
        vec![29, 255, 1, 1],
        vec![3, 2, 0, 0],
        vec![3, 3, 255, 0],
        vec![2, 0, 0, 0],
        vec![2, 1, 5, 180],
        vec![2, 3, 5, 0],
        vec![2, 4, 0, 0],
        vec![2, 4, 255, 255],
        vec![1, 1, 2, 4],
        vec![1, 1, 1, 2],
        vec![1, 1, 1, 1],
        vec![1, 1, 1, 254],
        vec![254, 0, 0, 0],
        vec![5, 3, 0, 0],
        vec![5, 2, 0, 0],
        vec![5, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![5, 255, 0, 0],
        vec![8, 10, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1],
        vec![8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0, 2, 4, 0],
        vec![2, 4, 0, 64, 2, 4, 5, 180, 2, 0, 0, 0],
        vec![255; 40],
    ];
    let random = prop::collection::vec(any::<u8>(), 0..=10).prop_map(|words| words.repeat(4)[..].to_vec());
    let bytes = (0_usize..=10).prop_flat_map(|words| prop::collection::vec(any::<u8>(), 4 * words..=4 * words));
    prop_oneof![3 => prop::sample::select(known), 1 => random, 2 => bytes]
}

/// So many cases, or as many times more as `TIMES` says; failures are not written to a file.
pub(crate) fn cases(n: u32) -> ProptestConfig {
    let times = std::env::var("TIMES").map_or(1, |n| n.parse().expect("TIMES is a number"));
    ProptestConfig { cases: n * times, failure_persistence: None, ..ProptestConfig::default() }
}

pub(crate) fn small() -> StreamOptions {
    StreamOptions { rx_buffer: 64, tx_buffer: 64, ..StreamOptions::default() }
}
