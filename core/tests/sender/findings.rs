//! What the model asks of the sender in single stories, counted in segments.

use std::time::Duration;

use tcp_reset_core::{Config, Status, StreamOptions, Timer};

use crate::support::family::Family;
use crate::support::rig::{Engine, LargeStore, PEER_ISN, Rig, reno};
use crate::support::table::{ACK, SYN, Seg};

const MSS: u32 = 200;
/// What the peer offers, in bytes.
const WINDOW: u32 = 20_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn config() -> Config {
    Config { mss: Some(MSS as u16), rto_min: ms(1_000), ..reno() }
}

fn stream() -> StreamOptions {
    StreamOptions { tx_buffer: 16_384, nagle: false, ..StreamOptions::default() }
}

/// A connection that we opened, whose handshake took `rtt`.
fn on_open(config: Config, stream: StreamOptions, rtt: Duration, test: impl Fn(&mut Rig<'_>)) {
    let mut store = Box::new(LargeStore::new());
    let mut rig = Rig::new(Engine::new(&mut *store, config), Family::V4, PEER_ISN);
    rig.peer_wnd = WINDOW;
    rig.dial_with(stream);
    rig.engine.wait(rtt);
    let _ = rig.say(SYN | ACK, 0);
    test(&mut rig);
}

fn on_wide(test: impl Fn(&mut Rig<'_>)) {
    on_open(config(), stream(), ms(50), test);
}

/// The places of the segments that the last call sent, counted from `first` on.
fn sent(l: &Rig<'_>, first: u32) -> Vec<u32> {
    l.sent_from(first, MSS)
}

fn ack_with(l: &mut Rig<'_>, first: u32, n: u32, wnd: u32) {
    let seg = Seg::new(ACK, l.model.rcv_nxt, first.wrapping_add(n * MSS), 0, wnd);
    let _ = l.inject(&seg);
}

fn ack(l: &mut Rig<'_>, first: u32, n: u32) {
    ack_with(l, first, n, WINDOW);
}

/// The congestion window and the threshold, in segments.
fn windows(l: &Rig<'_>) -> (u32, u32) {
    let Status { congestion_window, slow_start_threshold, .. } = l.status().unwrap();
    (congestion_window / MSS, slow_start_threshold / MSS)
}

/// Queues so many segments; returns where they begin.
fn queue(l: &mut Rig<'_>, segments: u32) -> u32 {
    l.queue(segments * MSS)
}

/// RFC 6298 §5: recovery that duplicates begin has the timeout, not what was left of the tail probe's time. The answer to a fast retransmit comes one
/// round trip after the duplicates and two after the flight, which is when the probe would have been due.
#[test]
fn fast_recovery_is_given_the_whole_timeout() {
    on_wide(|l| {
        let first = queue(l, 10);
        l.engine.wait(ms(50));
        for _ in 0..9 {
            ack(l, first, 0);
        }
        let begun = windows(l);
        assert_eq!(begun.1, 5);
        l.engine.wait(ms(60));
        assert_eq!(sent(l, first), [], "after 60 ms, the timeout is a second");
        assert_eq!(windows(l), begun);
        ack(l, first, 10);
        assert!(windows(l).0 >= 2, "{:?}", windows(l));
    });
}

/// The same for early retransmit.
#[test]
fn early_retransmit_is_given_the_whole_timeout() {
    on_wide(|l| {
        let first = queue(l, 2);
        l.engine.wait(ms(50));
        ack(l, first, 0);
        assert_eq!(sent(l, first), [0]);
        let due = l.engine.deadline.unwrap();
        assert!(due.1 == Timer::Retransmission && due.0 >= l.engine.now + ms(900), "{due:?} at {:?}", l.engine.now);
    });
}

/// A path that has become slower than twice its old round trip is learned, as it is where the timeout shows it (RFC 6298 §5): with Karn's algorithm
/// alone each flight would be probed, and its answer taken for a loss, for ever.
#[test]
fn round_trip_longer_than_the_probes_time_is_learned() {
    on_open(Config { rto_min: ms(200), ..config() }, stream(), ms(3), |l| {
        let mut again = 0;
        for _ in 0..30 {
            let first = queue(l, 4);
            while l.status().unwrap().unacknowledged > 0 {
                let out = l.status().unwrap().snd_nxt.0.wrapping_sub(first) / MSS;
                l.engine.wait(ms(30));
                again += l.engine.sent.len();
                ack(l, first, out);
                again += sent(l, first).iter().filter(|at| **at < out).count();
            }
        }
        assert!(again <= 8, "{again} segments of 30 flights sent again, {:?}", l.status());
    });
}

/// RFC 5681 §3.2: acknowledgments that only come late say nothing of a loss. What was in flight before the probe is acknowledged sooner than a round trip
/// after it.
#[test]
fn acknowledgments_that_were_late_send_nothing_again() {
    on_wide(|l| {
        let first = queue(l, 10);
        let _ = l.engine.next_deadline();
        assert_eq!(sent(l, first), [0], "the tail is probed after 100 ms");
        l.engine.wait(ms(5));
        let mut again = vec![];
        for n in 1..=10 {
            ack(l, first, n);
            again.extend(sent(l, first));
        }
        assert_eq!(again, []);
        assert!(windows(l).1 > 10, "{:?}", windows(l));
    });
}

/// RFC 6582 §3.2 step 2: duplicates that do not cover more than what was out at the timeout are of segments that were sent in vain.
#[test]
fn duplicates_after_a_timeout_that_was_in_vain_begin_no_recovery() {
    on_wide(|l| {
        let first = queue(l, 10);
        let _ = l.engine.next_deadline();
        let _ = l.engine.next_deadline();
        assert_eq!(windows(l), (1, 5));
        // The acknowledgments of the first flight.
        let mut again = vec![0, 0];
        for n in 1..=10 {
            ack(l, first, n);
            again.extend(sent(l, first));
        }
        let (_, threshold) = windows(l);
        let second = queue(l, 5);
        assert!(!sent(l, second).is_empty());
        // Those of what was sent again.
        for _ in 0..again.len() {
            ack(l, first, 10);
            assert!(!sent(l, first).contains(&10), "a recovery without a loss");
        }
        assert_eq!(windows(l).1, threshold);
    });
}

/// The same after a fast recovery.
#[test]
fn duplicates_of_what_was_sent_again_begin_no_second_recovery() {
    on_wide(|l| {
        let first = queue(l, 10);
        for _ in 0..3 {
            ack(l, first, 0);
        }
        assert_eq!(sent(l, first), [0]);
        // The path had kept the first back: one after the other are acknowledged, and sent again.
        let mut again = 1;
        for n in 1..=9 {
            ack(l, first, n);
            again += sent(l, first).iter().filter(|at| **at < 10).count();
        }
        ack(l, first, 10);
        let threshold = windows(l).1;
        let _ = queue(l, 3);
        for _ in 0..again {
            ack(l, first, 10);
            assert!(!sent(l, first).contains(&10), "a recovery without a loss");
        }
        assert_eq!(windows(l).1, threshold);
    });
}

/// RFC 5681 §3.1, eq. 4: the threshold is held only for a segment that the timer has sent again before.
#[test]
fn second_timeout_after_progress_lowers_the_threshold() {
    on_wide(|l| {
        let first = queue(l, 10);
        let _ = l.engine.next_deadline();
        let _ = l.engine.next_deadline();
        assert_eq!(windows(l), (1, 5));
        ack(l, first, 7);
        assert_eq!(sent(l, first), [7, 8]);
        let _ = l.engine.next_deadline();
        assert_eq!(sent(l, first), [7]);
        assert_eq!(windows(l), (1, 2));
    });
}

/// RFC 5681 §4.1, also where the peer's window kept the application waiting, with a user timeout and without.
#[test]
fn after_a_closed_window_no_more_than_the_restart_window_goes_out() {
    for user_timeout in [None, Some(ms(60_000))] {
        on_open(config(), StreamOptions { user_timeout, ..stream() }, ms(50), |l| {
            let first = queue(l, 60);
            for n in (2..=58).step_by(2) {
                ack(l, first, n);
            }
            assert!(windows(l).0 > 20);
            ack_with(l, first, 60, 0);
            let second = queue(l, 60);
            assert_eq!(sent(l, second), []);
            for _ in 0..4 {
                let _ = l.engine.next_deadline();
                ack_with(l, first, 60, 0);
            }
            ack(l, first, 60);
            assert_eq!(sent(l, second).len(), 10, "user timeout {user_timeout:?}");
        });
    }
}

/// What was sent again is on its way for a round trip: acknowledgments that end within it ask for nothing (RFC 6582 §3.2 step 3 speaks of the segment that
/// they leave). Short segments are put together when they are sent again, and a peer can acknowledge by the byte.
#[test]
fn acknowledgments_within_what_was_sent_again_send_it_no_second_time() {
    on_wide(|l| {
        let first = queue(l, 10);
        for _ in 0..3 {
            ack(l, first, 0);
        }
        assert_eq!(sent(l, first), [0]);
        let mut again = 0;
        for n in 1..MSS {
            let seg = Seg::new(ACK, l.model.rcv_nxt, first.wrapping_add(n), 0, WINDOW);
            let _ = l.inject(&seg);
            again += l.engine.sent.iter().filter(|sent| sent.seq.wrapping_sub(first) < 10 * MSS).count();
        }
        assert!(again <= 1, "{again} segments for {MSS} bytes");
    });
}

/// Forged or not, however many duplicates come: one segment again, and no more in flight than the peer's window and the send buffer hold.
#[test]
fn flood_of_duplicates_sends_one_segment_again_and_stays_within_the_window() {
    on_wide(|l| {
        let first = queue(l, 80);
        let (mut again, mut end) = (0, 0);
        for _ in 0..1_000 {
            ack(l, first, 0);
            let places = sent(l, first);
            again += places.iter().filter(|at| **at == 0).count();
            end = places.into_iter().max().unwrap_or(end).max(end);
        }
        assert_eq!(again, 1);
        assert!((end + 1) * MSS <= 16_384);
        ack(l, first, end + 1);
        assert!(windows(l).0 <= 5, "{:?}", windows(l));
    });
}

/// RFC 3465 §2: an acknowledgment opens the window by what it acknowledges.
#[test]
fn acknowledgments_by_the_byte_open_slow_start_by_the_byte() {
    on_wide(|l| {
        let first = queue(l, 60);
        let before = l.status().unwrap().congestion_window;
        for n in 1..=2 * MSS {
            let seg = Seg::new(ACK, l.model.rcv_nxt, first.wrapping_add(n), 0, WINDOW);
            let _ = l.inject(&seg);
        }
        assert!(l.status().unwrap().congestion_window <= before + 2 * MSS);
    });
}

/// RFC 3465 §2.1, RFC 5681 eq. 3: in congestion avoidance a window's worth of acknowledged bytes opens it by one segment.
#[test]
fn acknowledgments_by_the_byte_open_congestion_avoidance_by_a_segment() {
    on_wide(|l| {
        let first = queue(l, 80);
        for _ in 0..3 {
            ack(l, first, 0);
        }
        for _ in 0..4 {
            let out = l.status().unwrap().snd_nxt.0.wrapping_sub(first) / MSS;
            ack(l, first, out);
        }
        let (window, threshold) = windows(l);
        assert!(window >= threshold, "{window} of {threshold}");
        let Status { congestion_window: cwnd, snd_una, snd_nxt, .. } = l.status().unwrap();
        let flight = snd_nxt.0.wrapping_sub(snd_una.0);
        for n in 1..=flight {
            let seg = Seg::new(ACK, l.model.rcv_nxt, snd_una.0.wrapping_add(n), 0, WINDOW);
            let _ = l.inject(&seg);
        }
        assert!(l.status().unwrap().congestion_window <= cwnd + MSS + MSS / 4, "{cwnd} to {:?}", l.status());
    });
}

/// A window that shrinks to nothing in the middle of a recovery and opens again: what was lost is sent again, and all that is queued follows.
#[test]
fn window_that_closes_in_recovery_and_opens_again_lets_all_go() {
    for in_timeout in [false, true] {
        on_wide(|l| {
            let first = queue(l, 30);
            if in_timeout {
                let _ = l.engine.next_deadline();
                let _ = l.engine.next_deadline();
            } else {
                for _ in 0..3 {
                    ack(l, first, 0);
                }
            }
            ack_with(l, first, 1, 0);
            for _ in 0..3 {
                let _ = l.engine.next_deadline();
                assert!(l.engine.sent.len() <= 1);
                ack_with(l, first, 1, 0);
            }
            ack(l, first, 1);
            let mut acked = 1;
            for _ in 0..200 {
                if acked == 30 {
                    break;
                }
                if sent(l, first).is_empty() {
                    let _ = l.engine.next_deadline();
                }
                // The peer lost all that was out, and takes what is sent now in order.
                for at in sent(l, first) {
                    if at == acked {
                        acked += 1;
                    }
                }
                ack(l, first, acked);
            }
            assert_eq!((acked, l.engine.deadline), (30, None));
        });
    }
}

/// The tail's probe is none of R1's and R2's attempts, and a user timeout ends the connection at its time.
#[test]
fn tail_probe_prolongs_no_limit() {
    let limits =
        [StreamOptions { r2: ms(5_000), ..stream() }, StreamOptions { user_timeout: Some(ms(5_000)), ..stream() }];
    for options in limits {
        let most = if options.user_timeout.is_some() { 5_000 } else { 6_000 };
        on_open(config(), options, ms(50), |l| {
            let at = l.engine.now;
            let _ = queue(l, 4);
            while l.engine.deadline.is_some() {
                let _ = l.engine.next_deadline();
            }
            assert_eq!(l.engine.now.duration_since(at), ms(most), "{options:?}");
        });
    }
}

/// The link comes back in the time of a probe, in fast recovery and after a timeout: the front goes again at most once, and the rest at its time.
#[test]
fn link_that_is_restored_in_a_recovery_sends_one_segment() {
    for n in 0..4 {
        on_wide(|l| {
            let first = queue(l, 10);
            match n {
                0 => {}
                1 => l.engine.wait(ms(100)),
                2 => (0..3).for_each(|_| ack(l, first, 0)),
                _ => l.engine.wait(ms(1_100)),
            }
            for _ in 0..3 {
                l.engine.tcp.link_restored(l.engine.now);
                l.engine.drain();
                assert!(l.engine.sent.len() <= 1, "{:?}", sent(l, first));
            }
            ack(l, first, 10);
            assert_eq!(l.engine.deadline, None);
        });
    }
}

/// Half-closed: a lost FIN, alone or behind text, is found by a duplicate, a probe or the timeout.
#[test]
fn lost_end_of_stream_is_sent_again() {
    for segments in 0..4 {
        on_wide(|l| {
            let first = queue(l, segments);
            l.shutdown();
            let fin = l.engine.only().end();
            if segments > 0 {
                ack(l, first, segments);
            }
            let _ = l.engine.next_deadline();
            assert_eq!((l.engine.only().end(), l.engine.only().text.len()), (fin, 0));
            let seg = Seg::new(ACK, l.model.rcv_nxt, fin, 0, WINDOW);
            let _ = l.inject(&seg);
            assert_eq!((l.state(), l.engine.deadline), (tcp_reset_core::State::FinWait2, None));
        });
    }
}

/// RFC 5681 §4.2: a peer may hold back the acknowledgment of less than two full segments, here by 40 ms. It is no lost tail for ever.
#[test]
fn acknowledgments_that_are_held_back_are_learned() {
    on_open(Config { rto_min: ms(200), ..config() }, stream(), ms(3), |l| {
        let mut again = 0;
        for _ in 0..30 {
            let first = l.status().unwrap().snd_nxt.0;
            let text = vec![0; MSS as usize + 7];
            assert_eq!(l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &text), Ok(text.len()));
            l.engine.drain();
            assert_eq!(l.engine.sent.len(), 2);
            l.engine.wait(ms(43));
            again += l.engine.sent.len();
            let seg = Seg::new(ACK, l.model.rcv_nxt, first.wrapping_add(MSS + 7), 0, WINDOW);
            let _ = l.inject(&seg);
        }
        assert!(again <= 8, "{again} of 30 flights probed, {:?}", windows(l));
    });
}

/// RFC 5681 §4.1: a connection that sends in each round trip is not idle, also where its application has closed it.
#[test]
fn closed_connection_that_goes_on_sending_does_not_restart() {
    for is_closed in [false, true] {
        on_open(Config { rto_min: ms(200), ..config() }, stream(), ms(50), |l| {
            let first = queue(l, 80);
            if is_closed {
                l.close();
            }
            let mut flights = vec![];
            let mut out = 10;
            while out < 80 {
                l.engine.wait(ms(90));
                assert_eq!(l.engine.sent.len(), 0);
                ack(l, first, out);
                let flight = sent(l, first).len() as u32;
                flights.push(flight);
                out += flight;
            }
            assert_eq!(flights[..4], [12, 14, 16, 18], "closed: {is_closed}");
        });
    }
}

/// RFC 5827 §3: what Nagle's algorithm holds back is not ready to be sent, and draws no further duplicates.
#[test]
fn what_waits_for_nagle_puts_off_no_early_retransmit() {
    on_open(config(), StreamOptions { nagle: true, ..stream() }, ms(50), |l| {
        let first = l.status().unwrap().snd_nxt.0;
        for (len, out) in [(MSS as usize + 7, 2), (7, 0)] {
            assert_eq!(l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &vec![0; len]), Ok(len));
            l.engine.drain();
            assert_eq!(l.engine.sent.len(), out);
        }
        ack(l, first, 0);
        assert_eq!(sent(l, first), [0]);
    });
}
