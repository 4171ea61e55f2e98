//! What packetdrill's scripts ask, an RFC asks as well, and this stack does otherwise.

use crate::script::{SACK, play};

/// gtests/net/tcp/fast_recovery/prr-ss-ack-below-snd_una-cubic.pkt
///
/// RFC 6675 §5: the blocks of any acknowledgment count, also of one that others have overtaken.
#[test]
#[ignore = "the blocks of an acknowledgment below SND.UNA do not count"]
fn blocks_of_an_old_acknowledgment_count() {
    play(SACK, |s| {
        s.writes(10_000);
        s.expect(1..10_001);
        s.after(10);
        s.acks_and_has(1, &[1_001..2_001]);
        s.acks_and_has(1, &[1_001..3_001]);
        s.acks_and_has(1, &[1_001..3_001, 8_001..9_001]);
        s.expect(1..1_001);
        s.after(12);
        s.acks_and_has(4_001, &[8_001..9_001]);
        s.expect(4_001..5_001);
        s.writes(10_000);
        s.nothing_leaves();
        s.after(2);
        // Of six 3 have arrived and 1 is lost, and goes again: 3 are in the network, of 5 that may be.
        s.acks_and_has(3_001, &[5_001..7_001]);
        s.expect(10_001..12_001);
    });
}

/// tools/testing/selftests/net/packetdrill/tcp_dsack_mult.pkt, of Linux
///
/// RFC 2883 §4: what came twice is told first, and of a segment with several such runs the first.
#[test]
#[ignore = "what came twice is not told of a segment that begins at RCV.NXT"]
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
#[ignore = "the runs behind the first are told in the order of their numbers, whenever they came"]
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
