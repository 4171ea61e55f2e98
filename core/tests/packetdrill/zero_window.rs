//! Closed windows: of the peer, in packetdrill's family `slow_start`, and ours, in Linux's scripts for it.

use crate::script::{Opening, PLAIN, WINDOW, play};
use crate::slow_start::send_much;

/// gtests/net/tcp/slow_start/slow-start-after-win-update.pkt
///
/// There a probe is empty and at a number that the peer has. RFC 9293 §3.8.6.1 asks for a byte of new data.
#[test]
fn zero_window_is_probed_at_doubling_intervals() {
    play(PLAIN, |s| {
        send_much(s);
        s.after(100);
        s.window = 0;
        s.acks(26_001);
        s.writes(20_000);
        // The timeout lies between the least and what the script has: three round trips of 100 ms were measured.
        let first = s.expect_at(200..=300, 26_001..26_002);
        for doubled in [2 * first, 4 * first] {
            s.expect_at(doubled..=doubled, 26_001..26_002);
        }
        s.after(900 * first / 300);
        s.window = WINDOW;
        s.acks(26_001);
        // The first window, since nothing has left for longer than the timeout (RFC 5681 §4.1).
        s.expect(26_001..36_001);
    });
}

/// tools/testing/selftests/net/packetdrill/tcp_rcv_zero_wnd_fin.pkt, of Linux
///
/// A FIN takes no room, and is taken; the table of RFC 9293 §3.10.7.4 would let the peer send it again. Payload is not.
#[test]
fn zero_window_takes_a_fin() {
    play(Opening { rx_buffer: 4_096, ..PLAIN }, |s| {
        s.sends(1..1_001, 1);
        s.sends(1_001..2_001, 1);
        s.expect_ack_with_window(2_001, 2_096);
        s.sends(2_001..3_001, 1);
        s.sends(3_001..4_097, 1);
        s.expect_ack_with_window(4_097, 0);
        s.sends_early(4_097..4_098);
        s.expect_ack_with_window(4_097, 0);
        s.finishes(1);
        s.expect_ack_with_window(4_098, 0);
        s.reads(1..4_097);
    });
}
