//! packetdrill's family `sack` (RFC 6675), and Linux's script for what came twice (RFC 2883).
//!
//! In the scripts each block lets a segment go (RFC 6937). Here as much goes as the window exceeds what is in the network (RFC 6675 §5): some later, some
//! several at once, in the same order.

use crate::script::{Opening, SACK, Script, play};

/// Ten segments leave, and a round trip passes.
fn ten_segments_leave(s: &mut Script<'_>) {
    s.writes(10_000);
    s.expect(1..10_001);
    s.after(100);
}

/// gtests/net/tcp/sack/sack-route-refresh-ip-tos.pkt, without the option that it sets
#[test]
fn sack_keeps_what_the_peer_has_from_being_sent_again() {
    play(Opening { is_active: true, round_trip_ms: 10, ..SACK }, |s| {
        s.after(10);
        for first in [1, 4_001] {
            s.writes(4_000);
            s.expect(first..first + 4_000);
            s.after(10);
            s.acks(first + 4_000);
            s.after(10);
        }
        s.writes(10_000);
        s.expect(8_001..18_001);
        s.after(10);
        s.acks_and_has(9_001, &[11_001..12_001, 14_001..18_001]);
        s.expect(9_001..11_001);
        s.expect(12_001..14_001);
        s.after(10);
        s.acks(18_001);
    });
}

/// gtests/net/tcp/sack/sack-shift-sacked-2-6-8-3-9-nofack.pkt
#[test]
fn sack_of_three_runs_of_which_two_grow() {
    play(SACK, |s| {
        ten_segments_leave(s);
        s.acks_and_has(1, &[2_001..3_001]);
        s.after(1);
        s.acks_and_has(1, &[2_001..3_001, 6_001..7_001]);
        s.after(1);
        s.acks_and_has(1, &[2_001..3_001, 6_001..7_001, 8_001..9_001]);
        s.expect(1..1_001);
        // Of ten 3 have arrived and 2 are lost, and 1 goes again: 6 are in the network, and then 5, which is the window.
        s.after(7);
        s.acks_and_has(1, &[2_001..4_001, 6_001..7_001, 8_001..9_001]);
        s.nothing_leaves();
        // Now 4,001 to 6,001 are lost too: 2 are in the network.
        s.after(10);
        s.acks_and_has(1, &[2_001..4_001, 6_001..7_001, 8_001..10_001]);
        s.expect(1_001..2_001);
        s.expect(4_001..6_001);
        // There is nothing new: what is only missing goes as well (NextSeg, rule 3).
        s.after(83);
        s.acks_and_has(1_001, &[2_001..4_001, 6_001..7_001, 8_001..10_001]);
        s.expect(7_001..8_001);
        s.after(17);
        s.acks_and_has(4_001, &[6_001..7_001, 8_001..10_001]);
        s.after(10);
        s.acks_and_has(7_001, &[8_001..10_001]);
        s.after(100);
        s.acks(10_001);
    });
}

/// gtests/net/tcp/sack/sack-shift-sacked-7-3-4-8-9-fack.pkt, from the third duplicate on: the script's first two segments go by RACK's timer
#[test]
fn sack_of_a_run_before_another_that_grows() {
    play(SACK, |s| {
        ten_segments_leave(s);
        s.acks_and_has(1, &[7_001..8_001]);
        s.after(29);
        s.acks_and_has(1, &[3_001..4_001, 7_001..8_001]);
        s.after(2);
        s.acks_and_has(1, &[3_001..5_001, 7_001..8_001]);
        s.expect(1..1_001);
        s.after(2);
        s.acks_and_has(1, &[3_001..5_001, 7_001..9_001]);
        s.expect(1_001..2_001);
        s.after(2);
        s.acks_and_has(1, &[3_001..5_001, 7_001..10_001]);
        s.expect(2_001..3_001);
        s.expect(5_001..7_001);
        s.after(100);
        s.acks(10_001);
    });
}

/// gtests/net/tcp/sack/sack-shift-sacked-7-5-6-8-9-fack.pkt, from the third duplicate on
#[test]
fn sack_of_a_run_that_meets_another() {
    play(SACK, |s| {
        ten_segments_leave(s);
        s.acks_and_has(1, &[7_001..8_001]);
        s.after(27);
        s.acks_and_has(1, &[5_001..6_001, 7_001..8_001]);
        s.nothing_leaves();
        s.acks_and_has(1, &[5_001..8_001]);
        s.expect(1..3_001);
        s.acks_and_has(1, &[5_001..9_001]);
        s.expect(3_001..4_001);
        s.acks_and_has(1, &[5_001..10_001]);
        s.expect(4_001..5_001);
        s.after(100);
        s.acks(10_001);
    });
}

/// tools/testing/selftests/net/packetdrill/tcp_dsack_mult.pkt, of Linux, with gaps that are filled one by one
#[test]
fn sack_of_what_came_last_and_what_came_twice() {
    play(SACK, |s| {
        s.sends_early(1_001..2_001);
        s.expect_ack(1, &[1_001..2_001]);
        s.sends_early(2_001..3_001);
        s.expect_ack(1, &[1_001..3_001]);
        s.sends_early(4_001..5_001);
        s.expect_ack(1, &[4_001..5_001, 1_001..3_001]);
        s.sends_early(7_001..8_001);
        s.expect_ack(1, &[7_001..8_001, 4_001..5_001, 1_001..3_001]);
        s.sends(1..1_001, 1);
        s.expect_ack(3_001, &[7_001..8_001, 4_001..5_001]);
        s.sends_early(1..1_001);
        s.expect_ack(3_001, &[1..1_001, 7_001..8_001, 4_001..5_001]);
        s.sends(3_001..4_001, 1);
        s.expect_ack(5_001, &[7_001..8_001]);
        s.sends(5_001..7_001, 1);
        s.expect_ack(8_001, &[]);
        s.sends_early(1..1_001);
        s.expect_ack(8_001, &[1..1_001]);
    });
}

/// tools/testing/selftests/net/packetdrill/tcp_dsack_mult.pkt, of Linux
///
/// RFC 2883 §4: what came twice is told first, and of a segment with several such runs the first.
#[test]
fn what_came_twice_within_a_segment_in_order_is_told() {
    play(SACK, |s| {
        s.sends_early(1_001..3_001);
        s.expect_ack(1, &[1_001..3_001]);
        s.sends_early(4_001..5_001);
        s.expect_ack(1, &[4_001..5_001, 1_001..3_001]);
        s.sends_early(7_001..8_001);
        s.expect_ack(1, &[7_001..8_001, 4_001..5_001, 1_001..3_001]);
        s.sends(1..6_001, 1);
        s.expect_ack(6_001, &[1_001..3_001, 7_001..8_001]);
        s.sends(6_001..8_001, 1);
        s.expect_ack(8_001, &[7_001..8_001]);
    });
}

/// tools/testing/selftests/net/packetdrill/tcp_dsack_mult.pkt, of Linux, with one run more and the last of them twice
///
/// RFC 2018 §4: where not all runs have room, those go that were the first of the latest options, so that each is told three times.
#[test]
fn the_runs_of_the_latest_options_are_told_again() {
    play(SACK, |s| {
        let mut runs = vec![];
        for start in [2_001, 4_001, 6_001, 8_001] {
            s.sends_early(start..start + 1_000);
            runs.insert(0, start..start + 1_000);
            s.expect_ack(1, &runs);
        }
        s.sends_early(8_001..9_001);
        s.expect_ack(1, &[8_001..9_001, 8_001..9_001, 6_001..7_001, 4_001..5_001]);
    });
}
