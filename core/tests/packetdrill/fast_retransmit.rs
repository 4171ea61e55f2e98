//! packetdrill's family `fast_retransmit` (RFC 5681 §3.2).

use crate::script::{MSS, PLAIN, play};
#[cfg(feature = "sack")]
use crate::script::{SACK, Script};

/// gtests/net/tcp/fast_retransmit/fr-4pkt.pkt, and the same with a segment more
#[test]
fn fast_retransmit_four_segments() {
    for out in [4, 5] {
        play(PLAIN, |s| {
            let end = out * MSS + 1;
            s.writes(out * MSS);
            s.expect(1..end);
            s.after(100);
            s.acks(1);
            s.acks(1);
            s.nothing_leaves();
            s.acks(1);
            s.expect(1..1_001);
            s.after(100);
            s.acks(end);
            s.after(100);
            s.ends();
        });
    }
}

/// gtests/net/tcp/fast_retransmit/fr-4pkt-sack.pkt
#[cfg(feature = "sack")]
#[test]
fn fast_retransmit_four_segments_with_sack() {
    play(SACK, |s| {
        s.writes(4_000);
        s.expect(1..4_001);
        s.after(100);
        for end in [2_001, 3_001] {
            s.acks_and_has(1, &[1_001..end]);
            s.nothing_leaves();
        }
        s.acks_and_has(1, &[1_001..4_001]);
        s.expect(1..1_001);
        s.after(100);
        s.acks(4_001);
        s.after(100);
        s.ends();
    });
}

/// Four segments are out, and all the peer has is `4..4_001`: that is one duplicate, and nothing is lost yet. What is sent again next is the front, by the
/// timer, 1 s after it was sent: no round trip was measured (RFC 6298 §2.1).
#[cfg(feature = "sack")]
fn one_block_begins_no_recovery(s: &mut Script<'_>, from: u32) {
    s.writes(4_000);
    s.expect(1..4_001);
    s.after(100);
    s.acks_and_has(1, &[from..4_001]);
    s.expect_at(900..=900, 1..1_001);
}

/// gtests/net/tcp/fast_retransmit/fr-4pkt-fack-last-byte.pkt
///
/// There the last segment is sent again before, as a probe of the tail (RFC 8985 §7), for which no round trip was measured here. And it goes whole at
/// last, where here the byte that the peer has is left out (RFC 2018 §5).
#[cfg(feature = "sack")]
#[test]
fn fast_retransmit_not_for_the_last_byte_of_four_segments() {
    play(SACK, |s| {
        one_block_begins_no_recovery(s, 4_000);
        s.after(500);
        s.acks_and_has(1_001, &[4_000..4_001]);
        s.expect(1_001..3_001);
        s.after(100);
        s.acks_and_has(3_001, &[4_000..4_001]);
        s.expect(3_001..4_000);
        s.after(100);
        s.acks(4_001);
        s.ends();
    });
}

/// gtests/net/tcp/fast_retransmit/fr-4pkt-fack-last-mss.pkt
///
/// There RACK's timer sends the front again a quarter of a round trip later (RFC 8985 §6.2). By RFC 6675 one segment beyond three is no loss.
#[cfg(feature = "sack")]
#[test]
fn fast_retransmit_not_at_once_for_the_last_of_four_segments() {
    play(SACK, |s| {
        one_block_begins_no_recovery(s, 3_001);
        s.after(100);
        s.acks(4_001);
        s.ends();
    });
}
