//! packetdrill's family `fast_recovery`, without those of its scripts that count by RFC 6937.

use crate::script::{SACK, play};

/// gtests/net/tcp/fast_recovery/prr-ss-30pkt-lost1_4.pkt
///
/// Where all is made good, seven segments may go there, as many as CUBIC leaves. Here it is two: the window is what is in flight, and a segment
/// (RFC 6582 §3.2 step 3, of which RFC 6675 knows nothing).
#[test]
fn fast_recovery_of_the_first_four_segments() {
    play(SACK, |s| {
        s.writes(10_000);
        s.expect(1..10_001);
        s.after(10);
        s.acks_and_has(1, &[4_001..5_001]);
        s.after(2);
        s.acks_and_has(1, &[4_001..6_001]);
        s.nothing_leaves();
        s.acks_and_has(1, &[4_001..7_001]);
        // Of ten 3 have arrived and 4 are lost: 3 are in the network, of 5 that may be.
        s.expect(1..2_001);
        s.acks_and_has(1, &[4_001..8_001]);
        s.expect(2_001..3_001);
        s.acks_and_has(1, &[4_001..9_001]);
        s.expect(3_001..4_001);
        s.acks_and_has(1, &[4_001..10_001]);
        s.after(10);
        for ack in [1_001, 2_001, 3_001] {
            s.acks_and_has(ack, &[4_001..10_001]);
        }
        s.acks(10_001);
        s.after(10);
        s.writes(10_000);
        s.expect(10_001..12_001);
    });
}

/// gtests/net/tcp/fast_recovery/prr-ss-ack-below-snd_una-cubic.pkt
///
/// RFC 6675 §5: the blocks of any acknowledgment count, also of one that others have overtaken.
#[test]
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
