//! The user timeout (RFC 9293 §3.9.1.1, RFC 5482): a hard limit in the place of R2.

use std::time::Duration;

use tcp_reset_core::{CloseReason, Error, MAX_LIMIT, State, StreamOptions, Timer};

use crate::support::rig::{Link, quick_config, small_stream};
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

fn set(link: &mut Link<'_>, timeout: Duration) {
    link.world.tcp.set_user_timeout(link.world.now, link.handle.unwrap(), timeout).unwrap();
    link.world.drain();
}

fn set_r2(link: &mut Link<'_>, r2: Duration) {
    link.world.tcp.set_r2(link.world.now, link.handle.unwrap(), r2).unwrap();
    link.world.drain();
}

#[test]
fn data_in_flight_is_given_up_exactly_then() {
    for limit in LIMITS {
        for is_passive in [false, true] {
            on_link(|link| {
                if is_passive {
                    enter_with(link, listener(with_timeout(limit)));
                } else {
                    link.open_with(with_timeout(limit));
                }
                link.world.wait(3 * DAY);
                assert_eq!(end_of(link), None, "nothing is in flight");
                link.send(10);
                let sent = link.world.now;
                assert_eq!(left(link, Timer::UserTimeout), Some(limit));
                assert_ends(link, sent, limit, Timer::UserTimeout, true);
            });
        }
    }
}

/// Also what is sent later does not put the end off; an acknowledgment of a part does.
#[test]
fn it_counts_from_the_last_progress_and_not_from_the_last_segment() {
    on_link(|link| {
        link.open_with(with_timeout(secs(100)));
        link.send(10);
        let sent = link.world.now;
        for _ in 0..4 {
            link.world.wait(secs(20));
            link.send(5);
            // An old ACK is no progress.
            let _ = link.say_seg(&Seg::new(ACK, link.model.rcv_nxt, link.model.snd_una, 0, 1_000));
        }
        assert_eq!(left(link, Timer::UserTimeout), Some(secs(20)));
        let part = link.model.snd_una.wrapping_add(4);
        link.world.wait(ms(19_999));
        let _ = link.say_seg(&Seg::new(ACK, link.model.rcv_nxt, part, 0, 1_000));
        let heard = link.world.now;
        assert_eq!(heard.duration_since(sent), ms(99_999));
        assert_eq!(left(link, Timer::UserTimeout), Some(secs(100)));
        assert_ends(link, heard, secs(100), Timer::UserTimeout, true);
    });
}

#[test]
fn a_closed_window_is_given_up_though_its_peer_answers() {
    for limit in LIMITS {
        on_link(|link| {
            link.open_with(with_timeout(limit));
            link.peer_offers(0);
            link.world.wait(DAY);
            link.send(20);
            let waits_from = link.world.now;
            for _ in 0..100_000 {
                let _ = link.world.next_deadline();
                if end_of(link).is_some() {
                    break;
                }
                link.peer_offers(0);
            }
            assert_ends(link, waits_from, limit, Timer::UserTimeout, true);
        });
    }
}

/// Nothing that waits for a window is given up where none is set.
#[test]
fn a_syn_is_given_up_exactly_then() {
    for limit in [ms(1), ms(999), secs(10), secs(239), secs(241), MAX_LIMIT] {
        for crosses in [false, true] {
            on_link(|link| {
                link.dial_with(with_timeout(limit));
                let began = link.world.now;
                if crosses {
                    let _ = link.say(SYN, 0);
                    assert_eq!(link.state(), State::SynReceived);
                }
                let (after, reason) = end_after(link, began);
                let is_told = !link.world.sent.is_empty();
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
    on_link(|link| {
        link.dial_with(with_timeout(secs(10)));
        link.world.wait(ms(9_999));
        let _ = link.say(SYN | ACK, 0);
        assert_eq!(left(link, Timer::UserTimeout), None);
        link.world.wait(DAY);
        assert_eq!(end_of(link), None);
        assert_carries_data(link);
    });
}

#[test]
fn it_is_shortened_and_lengthened_in_flight() {
    on_link(|link| {
        link.open_with(with_timeout(secs(100)));
        link.send(10);
        let sent = link.world.now;
        link.world.wait(secs(30));
        set(link, secs(40));
        assert_eq!(left(link, Timer::UserTimeout), Some(secs(10)));
        set(link, secs(1_000));
        assert_eq!(left(link, Timer::UserTimeout), Some(secs(970)));
        link.world.wait(secs(900));
        set(link, secs(2_000));
        assert_ends(link, sent, secs(2_000), Timer::UserTimeout, true);
    });
}

#[test]
fn what_has_waited_for_longer_ends_at_once() {
    on_link(|link| {
        link.open();
        link.send(10);
        let sent = link.world.now;
        link.world.wait(secs(50));
        set(link, secs(20));
        assert_eq!(left(link, Timer::UserTimeout), Some(Duration::ZERO));
        assert_ends(link, sent, secs(50), Timer::UserTimeout, true);
    });
}

/// The same at a window that has been closed, and answered for, for days.
#[test]
fn a_window_closed_for_days_ends_at_once_when_it_is_limited() {
    for days in [1, 12, 13, 24] {
        on_link(|link| {
            crate::support::rig::reach::send_window_closed(link);
            wait_answering(link, days * DAY);
            set(link, secs(20));
            let set_at = link.world.now;
            assert_ends(link, set_at, Duration::ZERO, Timer::UserTimeout, true);
        });
    }
}

/// Lets time pass; the peer answers each probe of its closed window.
pub(crate) fn wait_answering(link: &mut Link<'_>, time: Duration) {
    each_deadline(link, time, |link| link.peer_offers(0));
}

#[test]
fn r2_takes_its_place_back() {
    on_link(|link| {
        link.open_with(with_timeout(secs(10)));
        link.send(10);
        let sent = link.world.now;
        link.world.wait(secs(5));
        set_r2(link, secs(200));
        assert_eq!(left(link, Timer::UserTimeout), None);
        let (after, reason) = end_after(link, sent);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert_eq!(after, secs(201), "R2 and one plain timeout");
    });
    on_link(|link| {
        link.open_with(with_timeout(DAY));
        link.send(10);
        let sent = link.world.now;
        link.world.wait(secs(50));
        set_r2(link, secs(10));
        let (after, reason) = end_after(link, sent);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert_eq!(after, secs(51), "what has waited for longer is tried once more, for one plain timeout");
    });
}

/// R2 of another connection's length, each bounded by its own and the last attempt.
#[test]
fn r2_is_changed_in_flight() {
    for (first, then) in [(100, 1_000), (1_000, 100), (1, 65_535), (65_535, 1)] {
        on_link(|link| {
            link.open_with(StreamOptions { r2: secs(first), ..small_stream() });
            link.send(10);
            let sent = link.world.now;
            set_r2(link, secs(then));
            let (after, _) = end_after(link, sent);
            assert_eq!(after, secs(then + 1), "R2 and one plain timeout");
        });
    }
}

/// It leaves an open connection alone that has nothing to send, and one that is over says so.
#[test]
fn it_is_refused_where_the_connection_is_over() {
    on_link(|link| {
        link.open();
        set(link, ms(1));
        link.world.wait(DAY);
        assert_eq!(end_of(link), None);
        link.send(1);
        link.world.wait(ms(1));
        let over = CloseReason::TimedOut(Timer::UserTimeout);
        let handle = link.handle.unwrap();
        let now = link.world.now;
        assert_eq!(link.world.tcp.set_user_timeout(now, handle, secs(1)), Err(Error::Closed(over)));
        assert_eq!(link.world.tcp.set_r2(now, handle, secs(1)), Err(Error::Closed(over)));
        assert_eq!(link.world.tcp.set_keep_alive(now, handle, None), Err(Error::Closed(over)));
        assert_eq!(link.world.tcp.set_idle_timeout(now, handle, None), Err(Error::Closed(over)));
        assert_eq!(link.world.tcp.set_first_byte_timeout(now, handle, None), Err(Error::Closed(over)));
        link.close();
        assert_eq!(link.world.tcp.set_user_timeout(now, handle, secs(1)), Err(Error::StaleHandle));
    });
}

/// It is met however the retransmission timer stands.
#[test]
fn it_does_not_wait_for_the_retransmission_timer() {
    let slow = tcp_reset_core::Config { rto_min: secs(600), rto_max: secs(600), ..quick_config() };
    on_link_with(slow, |link| {
        link.open_with(with_timeout(secs(7)));
        link.send(10);
        let sent = link.world.now;
        assert_ends(link, sent, secs(7), Timer::UserTimeout, true);
    });
}

/// Acknowledged in time, data flows for as long as it likes.
#[test]
fn a_peer_that_is_quick_enough_is_never_ended() {
    on_link(|link| {
        link.open_with(with_timeout(ms(100)));
        for _ in 0..1_000 {
            link.send(10);
            link.world.wait(ms(99));
            answer(link);
        }
        assert_eq!(end_of(link), None);
        assert_carries_data(link);
    });
}
