//! The idle timeout, the wait for the peer's first byte and the wait for somebody to accept.

use std::time::Duration;

use tcp_reset_core::{CloseReason, ListenOptions, MAX_LIMIT, MAX_PERIOD, State, StreamOptions, Timer};

use crate::support::rig::{Link, small_stream};
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

fn set_idle(link: &mut Link<'_>, limit: Option<Duration>) {
    link.world.tcp.set_idle_timeout(link.world.now, link.handle.unwrap(), limit).unwrap();
    link.world.drain();
}

fn set_first_byte(link: &mut Link<'_>, limit: Option<Duration>) {
    link.world.tcp.set_first_byte_timeout(link.world.now, link.handle.unwrap(), limit).unwrap();
    link.world.drain();
}

#[test]
fn who_moves_no_byte_is_ended_exactly_then() {
    for limit in [ms(1), ms(500), secs(60), DAY, MAX_LIMIT] {
        on_link(|link| {
            link.open_with(idle(limit));
            let opened = link.world.now;
            assert_ends(link, opened, limit, Timer::Idle, true);
        });
    }
}

/// An octet taken by either side puts the end off; nothing else does.
#[test]
fn bytes_of_both_sides_count_and_words_without_do_not() {
    on_link(|link| {
        link.open_with(idle(secs(100)));
        link.world.wait(secs(99));
        let _ = link.say(ACK, 1);
        assert_eq!(left(link, Timer::Idle), Some(secs(100)), "the peer's");
        link.world.wait(secs(50));
        let _ = link.recv();
        assert_eq!(left(link, Timer::Idle), Some(secs(50)), "read by the application");
        link.send(10);
        assert_eq!(left(link, Timer::Idle), Some(secs(50)), "sent, and taken by nobody yet");
        link.world.wait(ms(900));
        answer(link);
        assert_eq!(left(link, Timer::Idle), Some(secs(100)), "ours");
        let heard = link.world.now;
        link.world.wait(secs(10));
        let old = Seg::new(ACK, link.model.rcv_nxt.wrapping_sub(1), link.model.snd_nxt, 1, 1_000);
        let beyond = Seg::new(ACK, link.model.rcv_nxt.wrapping_add(5), link.model.snd_nxt, 5, 1_000);
        for seg in [old, beyond, beyond] {
            let _ = link.inject(&seg);
        }
        answer(link);
        link.peer_finishes();
        assert_eq!(left(link, Timer::Idle), Some(secs(90)), "nothing new");
        assert_ends(link, heard, secs(100), Timer::Idle, true);
    });
}

/// Keepalive answered, a window that stays closed, a FIN that is withheld: all the same to it.
#[test]
fn answers_to_probes_put_nothing_off() {
    on_link(|link| {
        link.open_with(StreamOptions { keep_alive: Some(keep(secs(10), secs(1), 9)), ..idle(secs(95)) });
        let opened = link.world.now;
        each_deadline(link, secs(94), answer);
        assert_ends(link, opened, secs(95), Timer::Idle, true);
    });
    on_link(|link| {
        link.open_with(idle(secs(95)));
        let opened = link.world.now;
        link.peer_offers(0);
        link.send(10);
        each_deadline(link, secs(94), |link| link.peer_offers(0));
        assert_ends(link, opened, secs(95), Timer::Idle, true);
    });
}

#[test]
fn the_idle_timeout_is_changed_on_a_live_connection() {
    on_link(|link| {
        link.open();
        // Where there was none it counts from now.
        link.world.wait(50 * DAY);
        set_idle(link, Some(secs(1_000)));
        assert_eq!(left(link, Timer::Idle), Some(secs(1_000)));
        let set_at = link.world.now;
        link.world.wait(secs(500));
        // Else from the last octet.
        set_idle(link, Some(secs(2_000)));
        assert_eq!(left(link, Timer::Idle), Some(secs(1_500)));
        set_idle(link, None);
        assert_eq!(left(link, Timer::Idle), None);
        link.world.wait(secs(500));
        set_idle(link, Some(secs(300)));
        assert_eq!(left(link, Timer::Idle), Some(secs(300)));
        link.world.wait(secs(200));
        set_idle(link, Some(secs(100)));
        assert_eq!(left(link, Timer::Idle), Some(Duration::ZERO), "over already");
        assert_ends(link, set_at, secs(1_200), Timer::Idle, true);
    });
}

#[test]
fn who_is_accepted_and_says_nothing_is_ended_exactly_then() {
    for limit in [ms(1), secs(30), MAX_PERIOD] {
        on_link(|link| {
            link.listen(listener(first_byte(limit)));
            let _ = link.say(SYN, 0);
            let _ = link.say(ACK, 0);
            link.world.wait(DAY);
            assert_eq!(link.world.tcp.in_use().0, 1, "it counts from accept on");
            link.model.state = State::Established;
            link.accept();
            let accepted = link.world.now;
            assert_ends(link, accepted, limit, Timer::FirstByte, true);
        });
    }
}

#[test]
fn who_is_connected_to_and_says_nothing_is_ended_exactly_then() {
    for limit in [ms(1), secs(30), MAX_PERIOD] {
        on_link(|link| {
            link.open_with(first_byte(limit));
            let connected = link.world.now;
            // What it acknowledges is ours.
            if limit > secs(1) {
                link.send(10);
                answer(link);
            }
            assert_ends(link, connected, limit, Timer::FirstByte, true);
        });
    }
}

/// A SYN that nobody answers is no first byte either.
#[test]
fn the_first_byte_counts_from_connect_through_the_handshake() {
    on_link(|link| {
        link.dial_with(first_byte(secs(20)));
        let connected = link.world.now;
        link.world.wait(secs(15));
        let _ = link.say(SYN | ACK, 0);
        assert_ends(link, connected, secs(20), Timer::FirstByte, true);
    });
}

#[test]
fn a_byte_or_a_fin_is_all_that_is_waited_for() {
    for fin in [false, true] {
        for before_accept in [false, true] {
            on_link(|link| {
                link.listen(listener(first_byte(secs(30))));
                let _ = link.say(SYN, 0);
                let _ = link.say(ACK, 0);
                link.model.state = State::Established;
                let speak = |link: &mut Link<'_>| {
                    if fin {
                        let _ = link.say(FIN | ACK, 0);
                    } else {
                        let _ = link.say(ACK, 1);
                    }
                };
                if before_accept {
                    speak(link);
                    link.accept();
                } else {
                    link.accept();
                    link.world.wait(ms(29_999));
                    link.world.drain();
                    assert_eq!(left(link, Timer::FirstByte), Some(ms(1)));
                    speak(link);
                }
                assert_eq!(left(link, Timer::FirstByte), None);
                // Set anew it does nothing.
                set_first_byte(link, Some(secs(1)));
                assert_eq!(left(link, Timer::FirstByte), None);
                link.world.wait(30 * DAY);
                assert_eq!(end_of(link), None);
            });
        }
    }
}

/// A byte beyond a gap has not arrived yet: the application sees nothing of it.
#[test]
fn a_byte_beyond_a_gap_is_not_the_first() {
    on_link(|link| {
        enter_with(link, listener(first_byte(secs(30))));
        let accepted = link.world.now;
        link.world.wait(secs(10));
        link.peer_leaves_gap(1, 5);
        assert_ends(link, accepted, secs(30), Timer::FirstByte, true);
    });
}

#[test]
fn after_close_nobody_waits_for_a_first_byte() {
    on_link(|link| {
        enter_with(link, listener(first_byte(secs(30))));
        link.close();
        link.peer_acks();
        link.world.wait(secs(40));
        assert_eq!(link.state(), State::FinWait2);
        link.world.wait(secs(20));
        assert_eq!(end_of(link), Some(CloseReason::TimedOut(Timer::FinWait2)));
    });
}

#[test]
fn the_wait_for_a_first_byte_is_changed_on_a_live_connection() {
    on_link(|link| {
        enter_with(link, listener(small_stream()));
        link.world.wait(50 * DAY);
        set_first_byte(link, Some(secs(100)));
        let set_at = link.world.now;
        link.world.wait(secs(50));
        // From now, each time.
        set_first_byte(link, Some(secs(10)));
        assert_eq!(left(link, Timer::FirstByte), Some(secs(10)));
        set_first_byte(link, None);
        assert_eq!(left(link, Timer::FirstByte), None);
        link.world.wait(secs(100));
        set_first_byte(link, Some(secs(5)));
        assert_ends(link, set_at, secs(155), Timer::FirstByte, true);
    });
    on_link(|link| {
        enter_with(link, listener(first_byte(secs(30))));
        set_first_byte(link, None);
        link.world.wait(DAY);
        assert_eq!(end_of(link), None);
        assert_carries_data(link);
    });
}

fn accept_within(limit: Duration, stream: StreamOptions) -> ListenOptions {
    ListenOptions { accept_timeout: Some(limit), ..listener(stream) }
}

#[test]
fn who_is_not_accepted_is_reset_exactly_then() {
    for limit in [ms(1), secs(10), MAX_PERIOD] {
        for speaks in [false, true] {
            on_link(|link| {
                link.listen(accept_within(limit, small_stream()));
                let _ = link.say(SYN, 0);
                let _ = link.say(ACK, 0);
                if speaks {
                    let _ = link.say(ACK, 7);
                }
                link.world.wait(limit - ms(1));
                assert_eq!(link.world.tcp.in_use().0, 1);
                link.world.wait(ms(1));
                assert_eq!(link.world.only().flags & RST, RST);
                assert_eq!((link.world.tcp.in_use().0, link.world.tcp.counters().lost_before_accept), (0, 1));
                assert_eq!(link.world.tcp.counters().closed(CloseReason::TimedOut(Timer::AcceptWait)), 1);
                let nobody = link.world.tcp.accept(link.world.now, link.listener.unwrap());
                assert_eq!(nobody, Err(tcp_reset_core::Error::WouldBlock));
            });
        }
    }
}

#[test]
fn once_accepted_nothing_of_that_wait_is_left() {
    on_link(|link| {
        link.listen(accept_within(secs(10), small_stream()));
        let _ = link.say(SYN, 0);
        let _ = link.say(ACK, 0);
        link.world.wait(ms(9_999));
        link.model.state = State::Established;
        link.accept();
        assert_eq!(left(link, Timer::AcceptWait), None);
        link.world.wait(30 * DAY);
        assert_eq!(end_of(link), None);
        assert_carries_data(link);
    });
}

/// The idle time and keepalive bound one that nobody accepts, too.
#[test]
fn who_is_not_accepted_is_bounded_by_the_other_limits_as_well() {
    let kept = StreamOptions { keep_alive: Some(keep(secs(20), secs(1), 5)), ..small_stream() };
    for (stream, limit, timer) in [(idle(secs(30)), 30, Timer::Idle), (kept, 25, Timer::KeepAlive)] {
        on_link(|link| {
            link.listen(accept_within(secs(40), stream));
            let _ = link.say(SYN, 0);
            let _ = link.say(ACK, 0);
            link.world.wait(secs(limit) - ms(1));
            assert_eq!(link.world.tcp.in_use().0, 1);
            link.world.wait(ms(1));
            assert_eq!(link.world.tcp.counters().closed(CloseReason::TimedOut(timer)), 1);
            assert_eq!(link.world.only().flags & RST, RST);
        });
    }
}
