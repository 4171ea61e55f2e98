//! packetdrill's family `slow_start` (RFC 5681 §3.1, RFC 6928), without those parts of it that ask for Linux's count of the window.

use crate::script::{MSS, Opening, PLAIN, SACK, Script, play};

/// The peer answers within a round trip of no time.
const NEAR: Opening = Opening { round_trip_ms: 0, ..SACK };

/// More is written than the congestion window admits: with nothing in flight so many segments leave.
fn expect_window(s: &mut Script<'_>, first: u32, segments: u32) {
    s.writes(20_000);
    s.expect(first..first + segments * MSS);
}

/// gtests/net/tcp/slow_start/slow-start-ack-per-1pkt.pkt
#[test]
fn slow_start_acknowledged_segment_by_segment() {
    play(SACK, |s| {
        s.writes(30_000);
        s.expect(1..10_001);
        s.after(105);
        for n in 1..=10 {
            s.acks(n * MSS + 1);
            let new = 10_001 + (n - 1) * 2 * MSS;
            s.expect(new..new + 2 * MSS);
            s.after(if n % 2 == 0 && n < 10 { 5 } else { 0 });
        }
        assert_eq!(s.congestion_window(), 20 * MSS);
    });
}

/// gtests/net/tcp/slow_start/slow-start-ack-per-2pkt.pkt
#[test]
fn slow_start_acknowledged_by_twos() {
    play(SACK, |s| {
        s.writes(30_000);
        s.expect(1..10_001);
        s.after(100);
        for n in 1..=5 {
            s.after(5);
            s.acks(n * 2 * MSS + 1);
            let new = 10_001 + (n - 1) * 4 * MSS;
            s.expect(new..new + 4 * MSS);
        }
        assert_eq!(s.congestion_window(), 20 * MSS);
    });
}

/// gtests/net/tcp/slow_start/slow-start-ack-per-4pkt.pkt
///
/// There each acknowledgment opens the window by all four segments. RFC 3465 §2.3 allows two.
#[test]
fn slow_start_acknowledged_by_fours() {
    play(SACK, |s| {
        s.writes(30_000);
        s.expect(1..10_001);
        s.after(110);
        s.acks(4_001);
        s.expect(10_001..16_001);
        s.after(10);
        s.acks(8_001);
        s.expect(16_001..22_001);
        s.after(5);
        s.acks(10_001);
        s.expect(22_001..26_001);
    });
}

/// Sends `segments`, which are acknowledged by twos; as many as `window` leave then.
fn slow_start_after(segments: u32, window: u32) {
    play(NEAR, |s| {
        let end = segments * MSS + 1;
        s.writes(segments * MSS);
        s.expect(1..end);
        for ack in [2_001, 4_001, end] {
            s.acks(ack);
        }
        expect_window(s, end, window);
    });
}

/// gtests/net/tcp/slow_start/slow-start-ack-per-2pkt-send-5pkt.pkt
///
/// There five of ten do not open the window. By RFC 7661 §4 half of it is enough, so that four are the most that do not.
#[test]
fn slow_start_not_where_less_than_half_of_the_window_is_used() {
    slow_start_after(4, 10);
    slow_start_after(5, 12);
}

/// gtests/net/tcp/slow_start/slow-start-ack-per-2pkt-send-6pkt.pkt
#[test]
fn slow_start_once_where_more_than_half_of_the_window_is_used() {
    slow_start_after(6, 12);
}

/// Acknowledges `segments` by twos, with nothing more to send. The window may grow to twice what was used, and by two segments for each acknowledgment:
/// Linux grows it so far. Here it stops where half of it was in flight when the acknowledgment came.
fn slow_start_limited_by_the_application(segments: u32, window: u32) {
    play(SACK, |s| {
        s.writes(segments * MSS);
        s.expect(1..segments * MSS + 1);
        s.after(100);
        for n in (2..=segments).step_by(2) {
            s.after(5);
            s.acks(n * MSS + 1);
            assert!(s.congestion_window() <= (10 + n) * MSS);
        }
        s.after(5);
        s.acks(segments * MSS + 1);
        expect_window(s, segments * MSS + 1, window);
    });
}

/// gtests/net/tcp/slow_start/slow-start-app-limited.pkt
#[test]
fn slow_start_of_ten_segments_limited_by_the_application() {
    slow_start_limited_by_the_application(10, 14);
}

/// gtests/net/tcp/slow_start/slow-start-app-limited-9-packets-out.pkt
#[test]
fn slow_start_of_nine_segments_limited_by_the_application() {
    slow_start_limited_by_the_application(9, 14);
}

/// Sends 26,000 bytes, all acknowledged. The window is larger than the first one then.
pub(crate) fn send_much(s: &mut Script<'_>) {
    s.writes(26_000);
    s.expect(1..10_001);
    s.after(100);
    s.acks(10_001);
    // The scripts' acknowledgment of ten segments opens the window by ten, here by two (RFC 3465).
    s.expect(10_001..22_001);
    s.after(100);
    s.acks(22_001);
    s.expect(22_001..26_001);
}

/// gtests/net/tcp/slow_start/slow-start-after-idle.pkt
#[test]
fn slow_start_after_idle() {
    play(PLAIN, |s| {
        send_much(s);
        s.after(100);
        s.acks(26_001);
        assert!(s.congestion_window() > 10 * MSS);
        s.after(2_000);
        // Half of them at once there, for Linux paces.
        expect_window(s, 26_001, 10);
    });
}
