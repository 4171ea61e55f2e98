//! The idle timeout, the wait for the peer's first byte and the wait for somebody to accept.

use std::time::Duration;

use tcp_reset_core::{CloseReason, ListenOptions, MAX_LIMIT, MAX_PERIOD, State, StreamOptions, Timer};

use crate::support::rig::{Rig, small_stream};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};
use crate::{
    DAY, answer, assert_carries_data, assert_ends, each_deadline, end_of, enter_with, keep, left, listener, ms,
    on_link, secs,
};

fn idle(limit: Duration) -> StreamOptions {
    StreamOptions { idle_timeout: Some(limit), ..small_stream() }
}

fn first_byte(limit: Duration) -> StreamOptions {
    StreamOptions { first_byte_timeout: Some(limit), ..small_stream() }
}

fn set_idle(rig: &mut Rig<'_>, limit: Option<Duration>) {
    rig.engine.tcp.set_idle_timeout(rig.engine.now, rig.handle.unwrap(), limit).unwrap();
    rig.engine.drain();
}

fn set_first_byte(rig: &mut Rig<'_>, limit: Option<Duration>) {
    rig.engine.tcp.set_first_byte_timeout(rig.engine.now, rig.handle.unwrap(), limit).unwrap();
    rig.engine.drain();
}

#[test]
fn who_moves_no_byte_is_ended_exactly_then() {
    for limit in [ms(1), ms(500), secs(60), DAY, MAX_LIMIT] {
        on_link(|rig| {
            rig.open_with(idle(limit));
            let opened = rig.engine.now;
            assert_ends(rig, opened, limit, Timer::Idle, true);
        });
    }
}

/// A byte taken by either side puts the end off; nothing else does.
#[test]
fn bytes_of_both_sides_count_and_words_without_do_not() {
    on_link(|rig| {
        rig.open_with(idle(secs(100)));
        rig.engine.wait(secs(99));
        let _ = rig.say(ACK, 1);
        assert_eq!(left(rig, Timer::Idle), Some(secs(100)), "the peer's");
        rig.engine.wait(secs(50));
        let _ = rig.recv();
        assert_eq!(left(rig, Timer::Idle), Some(secs(50)), "read by the application");
        rig.send(10);
        assert_eq!(left(rig, Timer::Idle), Some(secs(50)), "sent, and taken by nobody yet");
        rig.engine.wait(ms(900));
        answer(rig);
        assert_eq!(left(rig, Timer::Idle), Some(secs(100)), "ours");
        let heard = rig.engine.now;
        rig.engine.wait(secs(10));
        let old = Seg::new(ACK, rig.model.rcv_nxt.wrapping_sub(1), rig.model.snd_nxt, 1, 1_000);
        let beyond = Seg::new(ACK, rig.model.rcv_nxt.wrapping_add(5), rig.model.snd_nxt, 5, 1_000);
        for seg in [old, beyond, beyond] {
            let _ = rig.inject(&seg);
        }
        answer(rig);
        rig.peer_finishes();
        assert_eq!(left(rig, Timer::Idle), Some(secs(90)), "nothing new");
        assert_ends(rig, heard, secs(100), Timer::Idle, true);
    });
}

/// Keepalive answered, a window that stays closed, a FIN that is withheld: all the same to it.
#[test]
fn answers_to_probes_put_nothing_off() {
    on_link(|rig| {
        rig.open_with(StreamOptions { keep_alive: Some(keep(secs(10), secs(1), 9)), ..idle(secs(95)) });
        let opened = rig.engine.now;
        each_deadline(rig, secs(94), answer);
        assert_ends(rig, opened, secs(95), Timer::Idle, true);
    });
    on_link(|rig| {
        rig.open_with(idle(secs(95)));
        let opened = rig.engine.now;
        rig.peer_offers(0);
        rig.send(10);
        each_deadline(rig, secs(94), |rig| rig.peer_offers(0));
        assert_ends(rig, opened, secs(95), Timer::Idle, true);
    });
}

#[test]
fn the_idle_timeout_is_changed_on_a_live_connection() {
    on_link(|rig| {
        rig.open();
        // Where there was none it counts from now.
        rig.engine.wait(50 * DAY);
        set_idle(rig, Some(secs(1_000)));
        assert_eq!(left(rig, Timer::Idle), Some(secs(1_000)));
        let set_at = rig.engine.now;
        rig.engine.wait(secs(500));
        // Else from the last byte.
        set_idle(rig, Some(secs(2_000)));
        assert_eq!(left(rig, Timer::Idle), Some(secs(1_500)));
        set_idle(rig, None);
        assert_eq!(left(rig, Timer::Idle), None);
        rig.engine.wait(secs(500));
        set_idle(rig, Some(secs(300)));
        assert_eq!(left(rig, Timer::Idle), Some(secs(300)));
        rig.engine.wait(secs(200));
        set_idle(rig, Some(secs(100)));
        assert_eq!(left(rig, Timer::Idle), Some(Duration::ZERO), "over already");
        assert_ends(rig, set_at, secs(1_200), Timer::Idle, true);
    });
}

#[test]
fn who_is_accepted_and_says_nothing_is_ended_exactly_then() {
    for limit in [ms(1), secs(30), MAX_PERIOD] {
        on_link(|rig| {
            rig.listen(listener(first_byte(limit)));
            let _ = rig.say(SYN, 0);
            let _ = rig.say(ACK, 0);
            rig.engine.wait(DAY);
            assert_eq!(rig.engine.tcp.in_use().0, 1, "it counts from accept on");
            rig.model.state = State::Established;
            rig.accept();
            let accepted = rig.engine.now;
            assert_ends(rig, accepted, limit, Timer::FirstByte, true);
        });
    }
}

#[test]
fn who_is_connected_to_and_says_nothing_is_ended_exactly_then() {
    for limit in [ms(1), secs(30), MAX_PERIOD] {
        on_link(|rig| {
            rig.open_with(first_byte(limit));
            let connected = rig.engine.now;
            // What it acknowledges is ours.
            if limit > secs(1) {
                rig.send(10);
                answer(rig);
            }
            assert_ends(rig, connected, limit, Timer::FirstByte, true);
        });
    }
}

/// A SYN that nobody answers is no first byte either.
#[test]
fn the_first_byte_counts_from_connect_through_the_handshake() {
    on_link(|rig| {
        rig.dial_with(first_byte(secs(20)));
        let connected = rig.engine.now;
        rig.engine.wait(secs(15));
        let _ = rig.say(SYN | ACK, 0);
        assert_ends(rig, connected, secs(20), Timer::FirstByte, true);
    });
}

#[test]
fn a_byte_or_a_fin_is_all_that_is_waited_for() {
    for fin in [false, true] {
        for before_accept in [false, true] {
            on_link(|rig| {
                rig.listen(listener(first_byte(secs(30))));
                let _ = rig.say(SYN, 0);
                let _ = rig.say(ACK, 0);
                rig.model.state = State::Established;
                let speak = |rig: &mut Rig<'_>| {
                    if fin {
                        let _ = rig.say(FIN | ACK, 0);
                    } else {
                        let _ = rig.say(ACK, 1);
                    }
                };
                if before_accept {
                    speak(rig);
                    rig.accept();
                } else {
                    rig.accept();
                    rig.engine.wait(ms(29_999));
                    rig.engine.drain();
                    assert_eq!(left(rig, Timer::FirstByte), Some(ms(1)));
                    speak(rig);
                }
                assert_eq!(left(rig, Timer::FirstByte), None);
                // Set anew it does nothing.
                set_first_byte(rig, Some(secs(1)));
                assert_eq!(left(rig, Timer::FirstByte), None);
                rig.engine.wait(30 * DAY);
                assert_eq!(end_of(rig), None);
            });
        }
    }
}

/// A byte beyond a gap has not arrived yet: the application sees nothing of it.
#[test]
fn a_byte_beyond_a_gap_is_not_the_first() {
    on_link(|rig| {
        enter_with(rig, listener(first_byte(secs(30))));
        let accepted = rig.engine.now;
        rig.engine.wait(secs(10));
        rig.peer_leaves_gap(1, 5);
        assert_ends(rig, accepted, secs(30), Timer::FirstByte, true);
    });
}

#[test]
fn after_close_nobody_waits_for_a_first_byte() {
    on_link(|rig| {
        enter_with(rig, listener(first_byte(secs(30))));
        rig.close();
        rig.peer_acks();
        rig.engine.wait(secs(40));
        assert_eq!(rig.state(), State::FinWait2);
        rig.engine.wait(secs(20));
        assert_eq!(end_of(rig), Some(CloseReason::TimedOut(Timer::FinWait2)));
    });
}

#[test]
fn the_wait_for_a_first_byte_is_changed_on_a_live_connection() {
    on_link(|rig| {
        enter_with(rig, listener(small_stream()));
        rig.engine.wait(50 * DAY);
        set_first_byte(rig, Some(secs(100)));
        let set_at = rig.engine.now;
        rig.engine.wait(secs(50));
        // From now, each time.
        set_first_byte(rig, Some(secs(10)));
        assert_eq!(left(rig, Timer::FirstByte), Some(secs(10)));
        set_first_byte(rig, None);
        assert_eq!(left(rig, Timer::FirstByte), None);
        rig.engine.wait(secs(100));
        set_first_byte(rig, Some(secs(5)));
        assert_ends(rig, set_at, secs(155), Timer::FirstByte, true);
    });
    on_link(|rig| {
        enter_with(rig, listener(first_byte(secs(30))));
        set_first_byte(rig, None);
        rig.engine.wait(DAY);
        assert_eq!(end_of(rig), None);
        assert_carries_data(rig);
    });
}

fn accept_within(limit: Duration, stream: StreamOptions) -> ListenOptions {
    ListenOptions { accept_timeout: Some(limit), ..listener(stream) }
}

#[test]
fn who_is_not_accepted_is_reset_exactly_then() {
    for limit in [ms(1), secs(10), MAX_PERIOD] {
        for speaks in [false, true] {
            on_link(|rig| {
                rig.listen(accept_within(limit, small_stream()));
                let _ = rig.say(SYN, 0);
                let _ = rig.say(ACK, 0);
                if speaks {
                    let _ = rig.say(ACK, 7);
                }
                rig.engine.wait(limit - ms(1));
                assert_eq!(rig.engine.tcp.in_use().0, 1);
                rig.engine.wait(ms(1));
                assert_eq!(rig.engine.only().flags & RST, RST);
                assert_eq!((rig.engine.tcp.in_use().0, rig.engine.tcp.counters().lost_before_accept), (0, 1));
                assert_eq!(rig.engine.tcp.counters().closed(CloseReason::TimedOut(Timer::AcceptWait)), 1);
                let nobody = rig.engine.tcp.accept(rig.engine.now, rig.listener.unwrap());
                assert_eq!(nobody, Err(tcp_reset_core::Error::WouldBlock));
            });
        }
    }
}

#[test]
fn once_accepted_nothing_of_that_wait_is_left() {
    on_link(|rig| {
        rig.listen(accept_within(secs(10), small_stream()));
        let _ = rig.say(SYN, 0);
        let _ = rig.say(ACK, 0);
        rig.engine.wait(ms(9_999));
        rig.model.state = State::Established;
        rig.accept();
        assert_eq!(left(rig, Timer::AcceptWait), None);
        rig.engine.wait(30 * DAY);
        assert_eq!(end_of(rig), None);
        assert_carries_data(rig);
    });
}

/// The idle time and keepalive bound one that nobody accepts, too.
#[test]
fn who_is_not_accepted_is_bounded_by_the_other_limits_as_well() {
    let kept = StreamOptions { keep_alive: Some(keep(secs(20), secs(1), 5)), ..small_stream() };
    for (stream, limit, timer) in [(idle(secs(30)), 30, Timer::Idle), (kept, 25, Timer::KeepAlive)] {
        on_link(|rig| {
            rig.listen(accept_within(secs(40), stream));
            let _ = rig.say(SYN, 0);
            let _ = rig.say(ACK, 0);
            rig.engine.wait(secs(limit) - ms(1));
            assert_eq!(rig.engine.tcp.in_use().0, 1);
            rig.engine.wait(ms(1));
            assert_eq!(rig.engine.tcp.counters().closed(CloseReason::TimedOut(timer)), 1);
            assert_eq!(rig.engine.only().flags & RST, RST);
        });
    }
}
