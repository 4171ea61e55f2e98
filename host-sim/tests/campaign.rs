//! A few hundred worlds of the campaign, as `cargo test` has time for.

use std::thread::available_parallelism;

use host_sim::campaign;
use host_sim::family::Family;

fn assert_all_hold(seeds: std::ops::Range<u64>, families: &[Family]) -> campaign::Summary {
    let jobs = available_parallelism().map_or(1, usize::from);
    let summary = campaign::play(seeds.clone(), families, jobs, |_, _| {});
    assert_eq!(summary.worlds, seeds.end - seeds.start);
    // Worlds in which nothing happens would hold too.
    assert!(summary.segments > 10 * summary.worlds, "{} segments", summary.segments);
    assert!(summary.failures.is_empty(), "{:#?}", summary.failures);
    summary
}

#[test]
fn random_worlds_hold_over_both_families() {
    let summary = assert_all_hold(0..400, &Family::ALL);
    let (flights, wraps) = summary.coverage.large_flights();
    assert!(flights > 0 && wraps > 0, "{flights} large flights, {wraps} of them across 2^32");
    let marks = summary.coverage.marks();
    assert!(marks.iter().all(|times| *times > 0), "{marks:?} packets marked, segments with ECE, with CWR");
}

#[test]
fn random_worlds_hold_over_ipv4() {
    assert_all_hold(1_000..1_100, &[Family::Ipv4]);
}

#[test]
fn random_worlds_hold_over_ipv6() {
    assert_all_hold(2_000..2_100, &[Family::Ipv6]);
}
