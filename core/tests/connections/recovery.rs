//! Over each family: congestion control and loss recovery, as a peer sees them that counts segments (RFC 5681, RFC 6582, RFC 3042, RFC 5827, RFC 6298,
//! RFC 6928, RFC 8985).

use std::time::Duration;

use tcp_reset_core::{State, Status, StreamOptions, Timer};

use crate::support::rig::{NO_THRESHOLD, Rig};
use crate::support::table::{ACK, SYN, Seg};
use crate::transfer::{MSS, config, on_closed};

/// The round trip of these connections, which the handshake measures.
const RTT: Duration = Duration::from_millis(50);
/// What the peer offers, in bytes.
const WINDOW: u32 = 20_000;
/// Segments of the initial window.
const INITIAL: u32 = 10;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A connection that we opened, our SYN lost so often.
fn on_wide_after(lost: u32, test: impl Fn(&mut Rig<'_>)) {
    on_closed(config(), |l| {
        l.peer_wnd = WINDOW;
        l.dial_with(StreamOptions { tx_buffer: 16_384, nagle: false, ..StreamOptions::default() });
        for _ in 0..lost {
            let _ = l.engine.next_deadline();
        }
        l.engine.wait(RTT);
        let _ = l.say(SYN | ACK, 0);
        assert_eq!(l.state(), State::Established);
        test(l);
    });
}

fn on_wide(test: impl Fn(&mut Rig<'_>)) {
    on_wide_after(0, test);
}

/// The places of the segments that the last call sent, counted in segments from `first` on.
fn sent(l: &Rig<'_>, first: u32) -> Vec<u32> {
    l.sent_from(first, MSS)
}

/// The peer acknowledges `n` segments from `first` on, and has no news beside.
fn ack(l: &mut Rig<'_>, first: u32, n: u32) {
    let seg = Seg::new(ACK, l.model.rcv_nxt, first.wrapping_add(n * MSS), 0, WINDOW);
    let _ = l.inject(&seg);
}

fn status(l: &Rig<'_>) -> Status {
    l.status().unwrap()
}

fn windows(l: &Rig<'_>) -> (u32, u32) {
    let Status { congestion_window, slow_start_threshold, .. } = status(l);
    (congestion_window / MSS, slow_start_threshold / MSS)
}

/// Queues so many segments; returns where they begin.
fn queue(l: &mut Rig<'_>, segments: u32) -> u32 {
    l.queue(segments * MSS)
}

#[test]
fn ten_segments_go_first_and_each_acknowledgment_lets_two_more_go() {
    on_wide(|l| {
        let first = queue(l, 60);
        assert_eq!(sent(l, first), (0..INITIAL).collect::<Vec<_>>());
        assert_eq!(status(l).round_trip_time, Some(RTT));
        ack(l, first, 2);
        assert_eq!(sent(l, first), [10, 11, 12, 13]);
        ack(l, first, 3);
        assert_eq!(sent(l, first), [14, 15]);
        // However much is acknowledged at once (RFC 3465).
        ack(l, first, 9);
        assert_eq!(windows(l).0, 15);
    });
}

#[test]
fn one_segment_goes_first_where_the_handshake_was_lost() {
    on_wide_after(1, |l| {
        let first = queue(l, 20);
        assert_eq!(sent(l, first), [0]);
        ack(l, first, 1);
        assert_eq!(sent(l, first), [1, 2]);
    });
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    on_wide(|l| {
        for _ in 0..20 {
            let first = queue(l, 2);
            ack(l, first, 2);
            assert_eq!(windows(l).0, INITIAL);
        }
    });
}

#[test]
fn the_third_duplicate_sends_the_lost_one_and_the_first_two_new_ones() {
    on_wide(|l| {
        let first = queue(l, 60);
        for new in [10, 11] {
            ack(l, first, 0);
            assert_eq!(sent(l, first), [new], "limited transmit");
        }
        // Short before the tail would be probed.
        l.engine.wait(ms(149));
        ack(l, first, 0);
        assert_eq!(sent(l, first), [0]);
        let due = l.engine.deadline.map(|(at, _)| at.duration_since(l.engine.now));
        assert_eq!(due, Some(ms(1_000)), "the timeout begins anew");
        // Half of the ten that were out, and three that have left.
        assert_eq!(windows(l), (8, 5));
        // Twelve are out: new ones follow when the window admits more.
        let mut news = vec![];
        for _ in 0..8 {
            ack(l, first, 0);
            news.extend(sent(l, first));
        }
        assert_eq!(news, [12, 13, 14, 15]);
        ack(l, first, 12);
        assert_eq!(windows(l), (5, 5), "the window is half of what it was");
        assert_eq!(sent(l, first), [16], "no burst");
        // From here on a segment for each round trip.
        ack(l, first, 17);
        assert_eq!(windows(l).0, 6);
    });
}

#[test]
fn each_partial_acknowledgment_sends_the_next_hole() {
    on_wide(|l| {
        let first = queue(l, 12);
        for _ in 0..3 {
            ack(l, first, 0);
        }
        assert_eq!(sent(l, first), [0]);
        for hole in [3, 4, 9] {
            ack(l, first, hole);
            assert_eq!(sent(l, first), [hole]);
        }
        ack(l, first, 12);
        assert_eq!((sent(l, first), l.engine.deadline), (vec![], None));
        assert_eq!(status(l).unacknowledged, 0);
    });
}

/// What a partial acknowledgment shows to be lost is sent again at its time, and the timer begins anew.
#[test]
fn a_loss_within_the_recovery_is_found_by_the_timer() {
    on_wide(|l| {
        let first = queue(l, 10);
        for _ in 0..3 {
            ack(l, first, 0);
        }
        for _ in 0..4 {
            ack(l, first, 0);
            assert_eq!(sent(l, first), [], "nothing is sent a third time");
        }
        assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
        assert_eq!((sent(l, first), windows(l)), (vec![0], (1, 5)));
    });
}

#[test]
fn of_few_segments_fewer_duplicates_mean_a_loss() {
    for (out, needed) in [(2, 1), (3, 2), (4, 3), (5, 3)] {
        on_wide(|l| {
            let first = queue(l, out);
            for n in 1..=needed {
                assert_eq!(l.engine.sent.iter().filter(|sent| sent.seq == first).count(), usize::from(n == 1));
                ack(l, first, 0);
            }
            assert_eq!(sent(l, first), [0], "{out} are out");
        });
    }
    // Where more can be sent, that brings more duplicates.
    on_wide_after(1, |l| {
        let first = queue(l, 20);
        ack(l, first, 1);
        assert_eq!(sent(l, first), [1, 2]);
        ack(l, first, 1);
        assert_eq!(sent(l, first), [3]);
    });
}

/// §2: no payload, no news of the window, and something must be out.
#[test]
fn what_says_something_is_no_duplicate() {
    let others: [fn(&Rig<'_>, u32) -> Seg; 3] = [
        |l, first| Seg::new(ACK, l.model.rcv_nxt, first, 10, WINDOW),
        |l, first| Seg::new(ACK, l.model.rcv_nxt, first, 0, WINDOW - 1 - u32::from(l.engine.sent.len() as u16)),
        |l, first| Seg::new(ACK, l.model.rcv_nxt.wrapping_sub(1), first, 0, WINDOW),
    ];
    for (n, other) in others.into_iter().enumerate() {
        on_wide(|l| {
            let first = queue(l, 10);
            for k in 0..6 {
                let mut seg = other(l, first);
                if n == 0 {
                    seg.seq = seg.seq.wrapping_add(10 * k);
                } else if n == 1 {
                    seg.wnd -= 7 * k;
                }
                let _ = l.inject(&seg);
                assert_eq!(sent(l, first), [], "case {n}");
            }
            assert_eq!(windows(l).0, INITIAL);
        });
    }
}

#[test]
fn a_timeout_halves_the_threshold_once_and_begins_with_one_segment() {
    on_wide(|l| {
        let first = queue(l, 10);
        l.engine.wait(ms(2_200));
        assert_eq!(windows(l), (1, 5));
        l.engine.wait(ms(10_000));
        assert_eq!(windows(l), (1, 5), "lost again says nothing new");
        assert!(sent(l, first).iter().all(|n| *n == 0), "{:?}", sent(l, first));
        ack(l, first, 1);
        assert_eq!(sent(l, first), [1, 2]);
        // The peer had the rest: it is not sent again.
        ack(l, first, 9);
        assert_eq!(sent(l, first), [9]);
        ack(l, first, 10);
        assert_eq!(l.engine.deadline, None);
    });
}

/// RFC 8985 §7, by the front: after two round trips and more where they vary, once, and then the timeout.
#[test]
fn the_tail_is_probed_after_the_time_of_an_answer() {
    on_wide(|l| {
        let (first, at) = (queue(l, 2), l.engine.now);
        let mut seen = vec![];
        while seen.len() < 4 {
            let _ = l.engine.next_deadline();
            assert_eq!(sent(l, first), [0]);
            seen.push(l.engine.now.duration_since(at));
        }
        // After one measurement the deviation is half a round trip (RFC 6298 §2.2).
        assert_eq!(seen, [150, 1_150, 3_150, 7_150].map(ms));
        assert_eq!(status(l).retries, 3, "the probe is none");
    });
    // Its answer shows what else was lost, and that there was a loss.
    on_wide(|l| {
        let first = queue(l, 8);
        let _ = l.engine.next_deadline();
        assert_eq!(sent(l, first), [0]);
        assert_eq!(windows(l), (10, NO_THRESHOLD / MSS));
        l.engine.wait(RTT);
        ack(l, first, 1);
        assert_eq!((sent(l, first), windows(l).1), (vec![1], 4));
        ack(l, first, 8);
        assert_eq!(l.engine.deadline, None);
    });
    // Where more goes out meanwhile, from the last on.
    on_wide(|l| {
        let first = queue(l, 1);
        let at = l.engine.now;
        l.engine.wait(ms(30));
        let _ = queue(l, 2);
        let _ = l.engine.next_deadline();
        assert_eq!((sent(l, first), l.engine.now.duration_since(at)), (vec![0], ms(180)));
    });
}

/// A peer may hold the acknowledgment of one segment back (RFC 1122 §4.2.3.2).
#[test]
fn a_segment_alone_is_not_probed() {
    on_wide(|l| {
        let (first, at) = (queue(l, 1), l.engine.now);
        let _ = l.engine.next_deadline();
        assert_eq!((sent(l, first), l.engine.now.duration_since(at)), (vec![0], ms(1_000)));
    });
}

/// RFC 5681 §4.1.
#[test]
fn after_an_idle_time_of_the_timeout_the_initial_window_is_back() {
    for (idle, is_back) in [(999, false), (1_000, true)] {
        on_wide(|l| {
            let first = queue(l, 60);
            for n in (2..=60).step_by(2) {
                ack(l, first, n);
            }
            let before = windows(l).0;
            assert!(before > 2 * INITIAL, "{before}");
            l.engine.wait(ms(idle));
            let first = queue(l, 60);
            assert_eq!(sent(l, first).len() as u32, if is_back { INITIAL } else { before });
        });
    }
}

/// The peer acknowledges what it gets a second time at once (RFC 9293 §3.10.7.4). If that were taken for a loss, everything would be sent twice
/// for ever, on a path that loses nothing.
#[test]
fn what_was_sent_again_in_vain_draws_no_more_of_it() {
    on_wide(|l| {
        let first = queue(l, 2);
        let _ = l.engine.next_deadline();
        assert_eq!(sent(l, first), [0], "the probe of the tail");
        let _ = queue(l, 4);
        l.engine.wait(RTT);
        ack(l, first, 2);
        // The probe has arrived at the peer, which had it already: nothing below what was out then begins anything (RFC 6582 §3.2).
        for _ in 0..4 {
            ack(l, first, 2);
            assert_eq!(sent(l, first), []);
        }
        // Nor is one enough above it, where few are out.
        ack(l, first, 3);
        for again in [vec![], vec![], vec![3]] {
            ack(l, first, 3);
            assert_eq!(sent(l, first), again);
        }
        ack(l, first, 6);
        let _ = queue(l, 6);
        while status(l).unacknowledged > 0 {
            let una = status(l).snd_una.0;
            ack(l, una, 1);
        }
        // Beyond all that an old one means nothing.
        let next = queue(l, 2);
        ack(l, next, 0);
        assert_eq!(sent(l, next), [0]);
    });
}
