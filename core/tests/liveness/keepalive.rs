//! Keepalive (RFC 9293 §3.8.4, RFC 1122 §4.2.3.6): when it asks, how often, and when it gives up.

use std::time::Duration;

use tcp_reset_core::{CloseReason, State, Timer};

use crate::support::rig::{Link, small_stream};
use crate::support::table::{ACK, Seg};
use crate::{
    DAY, answer, assert_carries_data, assert_ends, assert_probe, end_of, enter_with, keep, left, listener, ms, on_link,
    secs, with_keep,
};

fn set(link: &mut Link<'_>, keep_alive: Option<tcp_reset_core::KeepAlive>) {
    let handle = link.handle.unwrap();
    link.world.tcp.set_keep_alive(link.world.now, handle, keep_alive).unwrap();
    link.world.drain();
}

#[test]
fn it_is_off_unless_it_is_switched_on() {
    assert_eq!(tcp_reset_core::StreamOptions::default().keep_alive, None);
    on_link(|link| {
        enter_with(link, listener(small_stream()));
        assert_eq!(link.world.deadline, None);
    });
}

#[test]
fn a_silent_peer_is_asked_as_often_as_set_and_then_ended() {
    for (idle, interval, probes) in [(7_200_000, 75_000, 9), (1, 1, 1), (1, 2, 255), (5_000, 60_000, 2)] {
        let keep_alive = keep(ms(idle), ms(interval), probes);
        on_link(|link| {
            link.open_with(with_keep(keep_alive));
            let began = link.world.now;
            for n in 0..u64::from(probes) {
                assert_eq!(link.world.next_deadline(), Timer::KeepAlive);
                assert_eq!(link.world.now.duration_since(began), ms(idle + n * interval));
                assert_probe(link);
            }
            let total = ms(idle + interval * u64::from(probes));
            assert_ends(link, began, total, Timer::KeepAlive, true);
            assert_eq!(link.world.sent.len(), 1, "the RST alone");
            assert_eq!(link.world.tcp.counters().closed(CloseReason::TimedOut(Timer::KeepAlive)), 1);
        });
    }
}

/// Whatever the peer says puts the first probe off, unless it proves nothing about it.
#[test]
fn each_sign_of_life_puts_the_first_probe_off() {
    on_link(|link| {
        link.open_with(with_keep(keep(secs(100), secs(10), 2)));
        for say in [(ACK, 0), (ACK, 7)] {
            link.world.wait(ms(99_999));
            assert_eq!(link.world.sent, []);
            let _ = link.say(say.0, say.1);
            let _ = link.recv();
            assert_eq!(left(link, Timer::KeepAlive), Some(secs(100)));
        }
        // Outside the window: anybody could have sent it.
        link.world.wait(ms(99_000));
        let forged = Seg::new(ACK, link.model.rcv_nxt.wrapping_add(1 << 20), link.model.snd_nxt, 0, 100);
        let _ = link.inject(&forged);
        assert_eq!(left(link, Timer::KeepAlive), Some(secs(1)));
    });
}

#[test]
fn nothing_is_probed_while_data_is_in_flight_or_waits() {
    for closed in [false, true] {
        on_link(|link| {
            link.open_with(with_keep(keep(ms(100), ms(100), 200)));
            if closed {
                link.peer_offers(0);
            }
            link.send(10);
            for _ in 0..100 {
                assert_eq!(left(link, Timer::KeepAlive), None);
                assert_ne!(link.world.next_deadline(), Timer::KeepAlive);
                for sent in &link.world.sent {
                    assert!(!sent.text.is_empty() || sent.flags != ACK, "a probe: {sent:?}");
                }
                if end_of(link).is_some() {
                    break;
                }
                if closed {
                    link.peer_offers(0);
                }
            }
        });
    }
}

/// Each way back to having nothing to send begins the idle time with what the peer has just said.
#[test]
fn the_idle_time_begins_with_the_last_acknowledgment() {
    on_link(|link| {
        link.open_with(with_keep(keep(secs(100), secs(10), 2)));
        link.world.wait(secs(90));
        link.send(10);
        link.world.wait(ms(500));
        answer(link);
        let heard = link.world.now;
        assert_ends(link, heard, secs(120), Timer::KeepAlive, true);
    });
}

/// A probe or two are out when the application sends: what is in flight has the whole time of its own.
#[test]
fn data_sent_between_probes_is_given_its_own_time() {
    on_link(|link| {
        link.open_with(with_keep(keep(secs(100), secs(10), 3)));
        link.world.wait(secs(125));
        link.send(10);
        assert_eq!(link.status().unwrap().retries, 0);
        let sent = link.world.now;
        let (after, reason) = crate::end_after(link, sent);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert!(secs(100) <= after && after <= secs(160), "{after:?}");
    });
}

#[test]
fn switched_on_after_weeks_it_asks_before_it_ends() {
    for days in [1, 12, 13, 24, 25, 30, 49, 50, 100] {
        for by_timeout in [false, true] {
            on_link(|link| {
                link.open();
                link.world.now = link.world.now + days * DAY;
                if by_timeout {
                    link.world.tcp.handle_timeout(link.world.now);
                    link.world.drain();
                }
                set(link, Some(keep(secs(7_200), secs(75), 3)));
                // It counts from when the peer was last heard: the idle time is over, unless more has passed than can be counted.
                let mut probes = 0;
                let began = link.world.now;
                for _ in 0..3 {
                    assert_eq!(link.world.next_deadline(), Timer::KeepAlive, "{days} days");
                    if !link.world.sent.is_empty() {
                        assert_probe(link);
                        probes += 1;
                    }
                    if probes == 1 && days < 49 {
                        assert_eq!(link.world.now, began, "{days} days");
                    }
                }
                link.world.wait(ms(74_999));
                assert_eq!(end_of(link), None);
                answer(link);
                assert_eq!(left(link, Timer::KeepAlive), Some(secs(7_200)));
                assert_carries_data(link);
            });
        }
    }
}

#[test]
fn switched_off_it_ends_nothing_even_after_the_last_probe() {
    for probes_out in 0..4 {
        on_link(|link| {
            link.open_with(with_keep(keep(secs(100), secs(10), 3)));
            for _ in 0..probes_out {
                let _ = link.world.next_deadline();
            }
            set(link, None);
            assert_eq!(link.world.deadline.map(|(_, timer)| timer).filter(|&timer| timer != Timer::KeepAlive), None);
            link.world.wait(30 * DAY);
            assert_eq!((link.state(), link.world.sent.len()), (State::Established, 0));
            assert_eq!(link.status().unwrap().retries, 0);
            assert_carries_data(link);
        });
    }
}

#[test]
fn a_change_takes_effect_at_once_and_counts_from_when_the_peer_was_heard() {
    on_link(|link| {
        link.open_with(with_keep(keep(secs(7_200), secs(75), 9)));
        let heard = link.world.now;
        let next = |link: &Link<'_>| link.status().unwrap().timer;
        link.world.wait(secs(1_000));
        set(link, Some(keep(secs(1_500), secs(5), 2)));
        assert_eq!(next(link), Some((heard + secs(1_500), Timer::KeepAlive)));
        set(link, Some(keep(secs(9_000), secs(5), 2)));
        assert_eq!(next(link), Some((heard + secs(9_000), Timer::KeepAlive)));
        // Its time is over already: it asks now.
        set(link, Some(keep(secs(500), secs(5), 2)));
        let _ = link.world.next_deadline();
        assert_probe(link);
        assert_eq!(link.world.now.duration_since(heard), secs(1_000));
        // And still in full.
        let asked = link.world.now;
        let _ = link.world.next_deadline();
        assert_probe(link);
        assert_eq!(link.world.now.duration_since(asked), secs(5));
        assert_ends(link, asked, secs(10), Timer::KeepAlive, true);
    });
}

/// A caller that comes late has missed probes: each is sent nevertheless, and given its interval.
#[test]
fn a_late_caller_ends_nobody_who_was_not_asked() {
    for late in [secs(10), secs(3_600), DAY, 10 * DAY] {
        for missed in 0..4 {
            on_link(|link| {
                link.open_with(with_keep(keep(secs(100), secs(10), 4)));
                for _ in 0..missed {
                    let _ = link.world.next_deadline();
                    assert_probe(link);
                }
                for _ in missed..4 {
                    let (at, _) = link.world.deadline.unwrap();
                    link.world.now = at + late;
                    link.world.sent.clear();
                    link.world.tcp.handle_timeout(link.world.now);
                    link.world.drain();
                    assert_eq!(end_of(link), None, "{late:?} late");
                    assert_probe(link);
                }
                let asked = link.world.now;
                assert_eq!(link.world.deadline, Some((asked + secs(10), Timer::KeepAlive)));
                answer(link);
                assert_carries_data(link);
            });
        }
    }
}

/// Our application does not read: the window is closed, the peer's answers and its own probes lie beyond it, and it lives.
#[test]
fn answers_beyond_our_closed_window_count() {
    for probes_too in [false, true] {
        on_link(|link| {
            link.open_with(with_keep(keep(secs(100), secs(10), 2)));
            let _ = link.say(ACK, crate::support::rig::BUFFER);
            assert_eq!(link.model.rcv_wnd, 0);
            for _ in 0..100 {
                link.world.wait(secs(90));
                if probes_too {
                    let probe = Seg::new(ACK, link.model.rcv_nxt, link.model.snd_nxt, 1, 1_000);
                    let _ = link.inject(&probe);
                    assert_eq!(left(link, Timer::KeepAlive), Some(secs(100)));
                } else {
                    assert_eq!(link.world.next_deadline(), Timer::KeepAlive);
                    answer(link);
                }
                assert_eq!(end_of(link), None);
            }
            assert_eq!(link.recv().len(), crate::support::rig::BUFFER as usize);
            assert_carries_data(link);
        });
    }
}

/// A peer that has lost all it sent answers at the right edge of our window: it lives.
#[test]
fn an_answer_at_the_right_edge_counts() {
    on_link(|link| {
        link.open_with(with_keep(keep(secs(100), secs(10), 2)));
        for _ in 0..20 {
            assert_eq!(link.world.next_deadline(), Timer::KeepAlive);
            let edge = link.model.rcv_nxt.wrapping_add(link.model.rcv_wnd);
            let _ = link.inject(&Seg::new(ACK, edge, link.model.snd_nxt, 0, 1_000));
            assert_eq!(left(link, Timer::KeepAlive), Some(secs(100)));
        }
    });
}

/// In each state where the peer may be gone unnoticed, and in none where our own timer finds out.
#[test]
fn it_asks_in_established_close_wait_and_fin_wait_2_alone() {
    use crate::drawn::Drawn;
    use crate::holds::Hold;
    for hold in Hold::ALL {
        on_link(|link| {
            let mut drawn = Drawn::new(&mut crate::Rng(5));
            drawn.options = listener(with_keep(keep(secs(50), secs(10), 3)));
            hold.reach(link, &drawn, false, Duration::ZERO);
            let handle = link.handle.or_else(|| link.world.tcp.connections().next().map(|(handle, _)| handle)).unwrap();
            let asks_in = link.world.tcp.status(handle).unwrap().timers.left(Timer::KeepAlive);
            assert_eq!(asks_in.is_some(), !hold.owes_acknowledgment(), "{hold:?}");
        });
    }
}
