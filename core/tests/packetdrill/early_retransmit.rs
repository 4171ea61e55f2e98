//! Early retransmit (RFC 5827): FreeBSD's suite for packetdrill has a script of it.

#[cfg(feature = "sack")]
use crate::script::SACK;
use crate::script::{MSS, Opening, PLAIN, play};

/// early-retransmit.pkt of freebsd-net's TCP-IP-Regression-TestSuite, and the same with three segments out
///
/// There it happens a quarter of a round trip later, as Linux did it. RFC 5827 §3.1 asks for no delay.
fn early_retransmit(opening: Opening) {
    for out in [2, 3] {
        play(opening, |s| {
            let end = out * MSS + 1;
            s.writes(out * MSS);
            s.expect(1..end);
            s.after(100);
            for n in 2..=out {
                s.nothing_leaves();
                let blocks = [1_001..n * MSS + 1];
                s.acks_and_has(1, if opening.is_sack_permitted { &blocks } else { &[] });
            }
            s.expect(1..1_001);
            s.after(100);
            s.acks(end);
            s.after(100);
            s.ends();
        });
    }
}

#[test]
fn early_retransmit_without_sack() {
    early_retransmit(PLAIN);
}

#[cfg(feature = "sack")]
#[test]
fn early_retransmit_with_sack() {
    early_retransmit(SACK);
}
