//! The user timeout (RFC 9293 §3.9.1.1, RFC 5482): a hard limit in the place of R2.

use std::time::Duration;

use tcp_reset_core::{CloseReason, Error, MAX_LIMIT, State, StreamOptions, Timer};

use crate::support::rig::{Rig, quick_config, small_stream};
use crate::support::table::{ACK, SYN, Seg};
use crate::{
    DAY, MINUTE, answer, assert_carries_data, assert_ends, each_deadline, end_after, end_of, enter_with, left,
    listener, ms, on_link, on_link_with, secs,
};

const LIMITS: [Duration; 6] =
    [Duration::from_millis(1), Duration::from_millis(777), MINUTE, Duration::from_secs(400), DAY, MAX_LIMIT];

fn with_timeout(timeout: Duration) -> StreamOptions {
    StreamOptions { user_timeout: Some(timeout), ..small_stream() }
}

fn set(rig: &mut Rig<'_>, timeout: Duration) {
    rig.engine.tcp.set_user_timeout(rig.engine.now, rig.handle.unwrap(), timeout).unwrap();
    rig.engine.drain();
}

fn set_r2(rig: &mut Rig<'_>, r2: Duration) {
    rig.engine.tcp.set_r2(rig.engine.now, rig.handle.unwrap(), r2).unwrap();
    rig.engine.drain();
}

#[test]
fn data_in_flight_is_given_up_exactly_then() {
    for limit in LIMITS {
        for is_passive in [false, true] {
            on_link(|rig| {
                if is_passive {
                    enter_with(rig, listener(with_timeout(limit)));
                } else {
                    rig.open_with(with_timeout(limit));
                }
                rig.engine.wait(3 * DAY);
                assert_eq!(end_of(rig), None, "nothing is in flight");
                rig.send(10);
                let sent = rig.engine.now;
                assert_eq!(left(rig, Timer::UserTimeout), Some(limit));
                assert_ends(rig, sent, limit, Timer::UserTimeout, true);
            });
        }
    }
}

/// Also what is sent later does not put the end off; an acknowledgment of a part does.
#[test]
fn it_counts_from_the_last_progress_and_not_from_the_last_segment() {
    on_link(|rig| {
        rig.open_with(with_timeout(secs(100)));
        rig.send(10);
        let sent = rig.engine.now;
        for _ in 0..4 {
            rig.engine.wait(secs(20));
            rig.send(5);
            // An old ACK is no progress.
            let _ = rig.say_seg(&Seg::new(ACK, rig.model.rcv_nxt, rig.model.snd_una, 0, 1_000));
        }
        assert_eq!(left(rig, Timer::UserTimeout), Some(secs(20)));
        let part = rig.model.snd_una.wrapping_add(4);
        rig.engine.wait(ms(19_999));
        let _ = rig.say_seg(&Seg::new(ACK, rig.model.rcv_nxt, part, 0, 1_000));
        let heard = rig.engine.now;
        assert_eq!(heard.duration_since(sent), ms(99_999));
        assert_eq!(left(rig, Timer::UserTimeout), Some(secs(100)));
        assert_ends(rig, heard, secs(100), Timer::UserTimeout, true);
    });
}

#[test]
fn a_closed_window_is_given_up_though_its_peer_answers() {
    for limit in LIMITS {
        on_link(|rig| {
            rig.open_with(with_timeout(limit));
            rig.peer_offers(0);
            rig.engine.wait(DAY);
            rig.send(20);
            let waits_from = rig.engine.now;
            for _ in 0..100_000 {
                let _ = rig.engine.next_deadline();
                if end_of(rig).is_some() {
                    break;
                }
                rig.peer_offers(0);
            }
            assert_ends(rig, waits_from, limit, Timer::UserTimeout, true);
        });
    }
}

/// Nothing that waits for a window is given up where none is set.
#[test]
fn a_syn_is_given_up_exactly_then() {
    for limit in [ms(1), ms(999), secs(10), secs(239), secs(241), MAX_LIMIT] {
        for crosses in [false, true] {
            on_link(|rig| {
                rig.dial_with(with_timeout(limit));
                let began = rig.engine.now;
                if crosses {
                    let _ = rig.say(SYN, 0);
                    assert_eq!(rig.state(), State::SynReceived);
                }
                let (after, reason) = end_after(rig, began);
                let is_told = !rig.engine.sent.is_empty();
                assert_eq!(is_told, crosses, "an RST for whoever has a connection");
                if limit <= secs(180) {
                    assert_eq!((after, reason), (limit, CloseReason::TimedOut(Timer::UserTimeout)));
                } else {
                    // What the engine gives an active open bounds it as well.
                    assert!(secs(180) <= after && after <= secs(240).min(limit), "{after:?}");
                }
            });
        }
    }
}

#[test]
fn after_the_handshake_the_syn_counts_no_more() {
    on_link(|rig| {
        rig.dial_with(with_timeout(secs(10)));
        rig.engine.wait(ms(9_999));
        let _ = rig.say(SYN | ACK, 0);
        assert_eq!(left(rig, Timer::UserTimeout), None);
        rig.engine.wait(DAY);
        assert_eq!(end_of(rig), None);
        assert_carries_data(rig);
    });
}

#[test]
fn it_is_shortened_and_lengthened_in_flight() {
    on_link(|rig| {
        rig.open_with(with_timeout(secs(100)));
        rig.send(10);
        let sent = rig.engine.now;
        rig.engine.wait(secs(30));
        set(rig, secs(40));
        assert_eq!(left(rig, Timer::UserTimeout), Some(secs(10)));
        set(rig, secs(1_000));
        assert_eq!(left(rig, Timer::UserTimeout), Some(secs(970)));
        rig.engine.wait(secs(900));
        set(rig, secs(2_000));
        assert_ends(rig, sent, secs(2_000), Timer::UserTimeout, true);
    });
}

#[test]
fn what_has_waited_for_longer_ends_at_once() {
    on_link(|rig| {
        rig.open();
        rig.send(10);
        let sent = rig.engine.now;
        rig.engine.wait(secs(50));
        set(rig, secs(20));
        assert_eq!(left(rig, Timer::UserTimeout), Some(Duration::ZERO));
        assert_ends(rig, sent, secs(50), Timer::UserTimeout, true);
    });
}

/// The same at a window that has been closed, and answered for, for days.
#[test]
fn a_window_closed_for_days_ends_at_once_when_it_is_limited() {
    for days in [1, 12, 13, 24] {
        on_link(|rig| {
            crate::support::rig::reach::send_window_closed(rig);
            wait_answering(rig, days * DAY);
            set(rig, secs(20));
            let set_at = rig.engine.now;
            assert_ends(rig, set_at, Duration::ZERO, Timer::UserTimeout, true);
        });
    }
}

/// Lets time pass; the peer answers each probe of its closed window.
pub(crate) fn wait_answering(rig: &mut Rig<'_>, time: Duration) {
    each_deadline(rig, time, |rig| rig.peer_offers(0));
}

#[test]
fn r2_takes_its_place_back() {
    on_link(|rig| {
        rig.open_with(with_timeout(secs(10)));
        rig.send(10);
        let sent = rig.engine.now;
        rig.engine.wait(secs(5));
        set_r2(rig, secs(200));
        assert_eq!(left(rig, Timer::UserTimeout), None);
        let (after, reason) = end_after(rig, sent);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert_eq!(after, secs(201), "R2 and one plain timeout");
    });
    on_link(|rig| {
        rig.open_with(with_timeout(DAY));
        rig.send(10);
        let sent = rig.engine.now;
        rig.engine.wait(secs(50));
        set_r2(rig, secs(10));
        let (after, reason) = end_after(rig, sent);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert_eq!(after, secs(51), "what has waited for longer is tried once more, for one plain timeout");
    });
}

/// R2 of another connection's length, each bounded by its own and the last attempt.
#[test]
fn r2_is_changed_in_flight() {
    for (first, then) in [(100, 1_000), (1_000, 100), (1, 65_535), (65_535, 1)] {
        on_link(|rig| {
            rig.open_with(StreamOptions { r2: secs(first), ..small_stream() });
            rig.send(10);
            let sent = rig.engine.now;
            set_r2(rig, secs(then));
            let (after, _) = end_after(rig, sent);
            assert_eq!(after, secs(then + 1), "R2 and one plain timeout");
        });
    }
}

/// It leaves an open connection alone that has nothing to send, and one that is over says so.
#[test]
fn it_is_refused_where_the_connection_is_over() {
    on_link(|rig| {
        rig.open();
        set(rig, ms(1));
        rig.engine.wait(DAY);
        assert_eq!(end_of(rig), None);
        rig.send(1);
        rig.engine.wait(ms(1));
        let over = CloseReason::TimedOut(Timer::UserTimeout);
        let handle = rig.handle.unwrap();
        let now = rig.engine.now;
        assert_eq!(rig.engine.tcp.set_user_timeout(now, handle, secs(1)), Err(Error::Closed(over)));
        assert_eq!(rig.engine.tcp.set_r2(now, handle, secs(1)), Err(Error::Closed(over)));
        assert_eq!(rig.engine.tcp.set_keep_alive(now, handle, None), Err(Error::Closed(over)));
        assert_eq!(rig.engine.tcp.set_idle_timeout(now, handle, None), Err(Error::Closed(over)));
        assert_eq!(rig.engine.tcp.set_first_byte_timeout(now, handle, None), Err(Error::Closed(over)));
        rig.close();
        assert_eq!(rig.engine.tcp.set_user_timeout(now, handle, secs(1)), Err(Error::StaleHandle));
    });
}

/// It is met however the retransmission timer stands.
#[test]
fn it_does_not_wait_for_the_retransmission_timer() {
    let slow = tcp_reset_core::Config { rto_min: secs(600), rto_max: secs(600), ..quick_config() };
    on_link_with(slow, |rig| {
        rig.open_with(with_timeout(secs(7)));
        rig.send(10);
        let sent = rig.engine.now;
        assert_ends(rig, sent, secs(7), Timer::UserTimeout, true);
    });
}

/// Acknowledged in time, data flows for as long as it likes.
#[test]
fn a_peer_that_is_quick_enough_is_never_ended() {
    on_link(|rig| {
        rig.open_with(with_timeout(ms(100)));
        for _ in 0..1_000 {
            rig.send(10);
            rig.engine.wait(ms(99));
            answer(rig);
        }
        assert_eq!(end_of(rig), None);
        assert_carries_data(rig);
    });
}
