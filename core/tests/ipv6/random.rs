//! Random bytes behind an IPv6 header, and random chains with bytes changed, against the tests' own walker.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tcp_reset_core::link::{Medium, Received};

use crate::chains::matches_walk;
use crate::headers::{MOST_HEADERS, PAD, Part, Yields, alphabet, chain, destination, payloads, walk};
use crate::packet::{self, DESTINATION, FRAGMENT, HOP_BY_HOP, ICMPV6, ROUTING, TCP};
use crate::scene::{ETHERNET, OURS, PEER, SHUT, Scene, Store, syn};

const CASES: u32 = 20_000;

fn a_protocol() -> impl Strategy<Value = u8> {
    let known = prop::sample::select(vec![HOP_BY_HOP, TCP, ROUTING, FRAGMENT, ICMPV6, DESTINATION]);
    prop_oneof![6 => known, 1 => any::<u8>()]
}

/// Bytes as they stand in headers: many small ones, many protocol numbers.
fn a_byte() -> impl Strategy<Value = u8> {
    prop_oneof![3 => a_protocol(), 3 => 0u8..8, 1 => any::<u8>()]
}

/// A chain of up to eleven headers, any of them of any behavior.
fn a_chain() -> impl Strategy<Value = Vec<Part>> {
    let segment = syn(5_000, SHUT).octets(PEER, OURS);
    let message = packet::icmpv6(PEER, OURS, packet::ECHO_REQUEST, 0, &[0; 8]);
    // Most headers lead on for sure, so that long chains are long.
    let header = prop_oneof![3 => Just(destination("destination", &PAD)), 1 => prop::sample::select(alphabet())];
    let headers = prop::collection::vec(header, 0..=MOST_HEADERS + 3);
    (headers, prop::sample::select(payloads(&segment, &message))).prop_map(|(mut parts, payload)| {
        parts.push(payload);
        parts
    })
}

/// A header more than are stepped over may be reported by what it is instead.
fn is_beyond_the_bound(yields: Yields, received: Received) -> bool {
    yields == Yields::TooMany
        && match received {
            Received::Taken(verdict) => verdict.action == tcp_reset_core::Action::Dropped,
            Received::NotMine => true,
            Received::OtherTcp | Received::Observed => false,
        }
}

/// Both walks over the same bytes; nothing but a whole segment is answered.
fn compare(medium: Medium, next: u8, bytes: &[u8]) -> Result<Yields, TestCaseError> {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, medium);
    let yields = walk(next, bytes);
    let received = scene.deliver(&packet::ipv6(PEER, OURS, next, bytes));
    let is_right = matches_walk(yields, bytes, received) || is_beyond_the_bound(yields, received);
    prop_assert!(is_right, "{yields:?}, but {received:?}");
    let answers = scene.segments();
    prop_assert!(answers.len() <= usize::from(matches!(yields, Yields::Segment(_))));
    Ok(yields)
}

fn a_medium() -> impl Strategy<Value = Medium> {
    prop::sample::select(vec![ETHERNET, Medium::Ip])
}

#[test]
fn random_bytes_are_walked_alike() {
    let (depth, deepest) = (Cell::new(0), Cell::new(0));
    let bytes = prop::collection::vec(a_byte(), 0..160);
    runner(CASES)
        .run(&(a_medium(), a_protocol(), bytes), |(medium, next, bytes)| {
            if let Yields::Segment(at) | Yields::Message(at) = compare(medium, next, &bytes)? {
                depth.set(depth.get() + u32::from(at > 0));
                deepest.set(deepest.get().max(at));
            }
            Ok(())
        })
        .unwrap();
    assert!(depth.get() > 10 && deepest.get() > 8, "{depth:?} went deep, up to {deepest:?} bytes");
}

#[test]
fn random_chains_with_bytes_changed_are_walked_alike() {
    let seen = Cell::new([0u32; 4]);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), a_byte()), 0..4);
    let cut = prop_oneof![3 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    runner(CASES)
        .run(&(a_medium(), a_chain(), changes, cut), |(medium, parts, changes, cut)| {
            let (next, mut bytes) = chain(&parts);
            for (at, byte) in changes.into_iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
                let len = bytes.len();
                bytes[at.index(len)] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            let mut counts = seen.get();
            match compare(medium, next, &bytes)? {
                Yields::Segment(_) => counts[0] += 1,
                Yields::Fragment => counts[1] += 1,
                Yields::TooMany => counts[2] += 1,
                Yields::Malformed => counts[3] += 1,
                Yields::Message(_) | Yields::Left => {}
            }
            seen.set(counts);
            Ok(())
        })
        .unwrap();
    assert!(seen.get().iter().all(|&count| count > 50), "some outcome is hardly met: {seen:?}");
}

/// So many cases, or as many times more as `TIMES` says; failures are not written to a file.
pub fn runner(cases: u32) -> TestRunner {
    let times = std::env::var("TIMES").map_or(1, |n| n.parse().expect("TIMES is a number"));
    TestRunner::new(Config { cases: cases * times, failure_persistence: None, ..Config::default() })
}
