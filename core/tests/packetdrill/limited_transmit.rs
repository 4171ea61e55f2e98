//! packetdrill's family `limited_transmit` (RFC 3042).

#[cfg(feature = "sack")]
use crate::script::SACK;
use crate::script::{Opening, PLAIN, play};

/// Each of the first two duplicates lets a new segment go, and the window is as it was when they turn out to be reordering.
///
/// The scripts' acknowledgment of two segments opens the window by one, here by both (RFC 3465, L = 2): three go, not two.
fn limited_transmit(opening: Opening) {
    play(opening, |s| {
        s.writes(15_000);
        s.expect(1..10_001);
        for (ms, new, end) in [(110, 10_001, 2_001), (10, 11_001, 3_001)] {
            s.after(ms);
            let blocks = [1_001..end];
            s.acks_and_has(1, if opening.is_sack_permitted { &blocks } else { &[] });
            s.expect(new..new + 1_000);
        }
        s.after(10);
        s.acks(3_001);
        s.expect(12_001..15_001);
        for ack in (5_001..=15_001).step_by(2_000) {
            s.after(20);
            s.acks(ack);
        }
        s.after(170);
        s.ends();
    });
}

/// gtests/net/tcp/limited_transmit/limited-transmit-no-sack.pkt
#[test]
fn limited_transmit_without_sack() {
    limited_transmit(PLAIN);
}

/// gtests/net/tcp/limited_transmit/limited-transmit-sack.pkt
#[cfg(feature = "sack")]
#[test]
fn limited_transmit_with_sack() {
    limited_transmit(SACK);
}
