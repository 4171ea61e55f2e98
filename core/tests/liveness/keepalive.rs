//! Keepalive (RFC 9293 §3.8.4, RFC 1122 §4.2.3.6): when it asks, how often, and when it gives up.

use std::time::Duration;

use tcp_reset_core::{CloseReason, State, Timer};

use crate::support::rig::{Rig, small_stream};
use crate::support::table::{ACK, Seg};
use crate::{
    DAY, answer, assert_carries_data, assert_ends, assert_probe, end_of, enter_with, keep, left, listener, ms, on_link,
    secs, with_keep,
};

fn set(rig: &mut Rig<'_>, keep_alive: Option<tcp_reset_core::KeepAlive>) {
    let handle = rig.handle.unwrap();
    rig.engine.tcp.set_keep_alive(rig.engine.now, handle, keep_alive).unwrap();
    rig.engine.drain();
}

#[test]
fn it_is_off_unless_it_is_switched_on() {
    assert_eq!(tcp_reset_core::StreamOptions::default().keep_alive, None);
    on_link(|rig| {
        enter_with(rig, listener(small_stream()));
        assert_eq!(rig.engine.deadline, None);
    });
}

#[test]
fn a_silent_peer_is_asked_as_often_as_set_and_then_ended() {
    for (idle, interval, probes) in [(7_200_000, 75_000, 9), (1, 1, 1), (1, 2, 255), (5_000, 60_000, 2)] {
        let keep_alive = keep(ms(idle), ms(interval), probes);
        on_link(|rig| {
            rig.open_with(with_keep(keep_alive));
            let began = rig.engine.now;
            for n in 0..u64::from(probes) {
                assert_eq!(rig.engine.next_deadline(), Timer::KeepAlive);
                assert_eq!(rig.engine.now.duration_since(began), ms(idle + n * interval));
                assert_probe(rig);
            }
            let total = ms(idle + interval * u64::from(probes));
            assert_ends(rig, began, total, Timer::KeepAlive, true);
            assert_eq!(rig.engine.sent.len(), 1, "the RST alone");
            assert_eq!(rig.engine.tcp.counters().closed(CloseReason::TimedOut(Timer::KeepAlive)), 1);
        });
    }
}

/// Whatever the peer says puts the first probe off, unless it proves nothing about it.
#[test]
fn each_sign_of_life_puts_the_first_probe_off() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(100), secs(10), 2)));
        for say in [(ACK, 0), (ACK, 7)] {
            rig.engine.wait(ms(99_999));
            assert_eq!(rig.engine.sent, []);
            let _ = rig.say(say.0, say.1);
            let _ = rig.recv();
            assert_eq!(left(rig, Timer::KeepAlive), Some(secs(100)));
        }
        // Outside the window: anybody could have sent it.
        rig.engine.wait(ms(99_000));
        let forged = Seg::new(ACK, rig.model.rcv_nxt.wrapping_add(1 << 20), rig.model.snd_nxt, 0, 100);
        let _ = rig.inject(&forged);
        assert_eq!(left(rig, Timer::KeepAlive), Some(secs(1)));
    });
}

#[test]
fn nothing_is_probed_while_data_is_in_flight_or_waits() {
    for closed in [false, true] {
        on_link(|rig| {
            rig.open_with(with_keep(keep(ms(100), ms(100), 200)));
            if closed {
                rig.peer_offers(0);
            }
            rig.send(10);
            for _ in 0..100 {
                assert_eq!(left(rig, Timer::KeepAlive), None);
                assert_ne!(rig.engine.next_deadline(), Timer::KeepAlive);
                for sent in &rig.engine.sent {
                    assert!(!sent.text.is_empty() || sent.flags != ACK, "a probe: {sent:?}");
                }
                if end_of(rig).is_some() {
                    break;
                }
                if closed {
                    rig.peer_offers(0);
                }
            }
        });
    }
}

/// Each way back to having nothing to send begins the idle time with what the peer has just said.
#[test]
fn the_idle_time_begins_with_the_last_acknowledgment() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(100), secs(10), 2)));
        rig.engine.wait(secs(90));
        rig.send(10);
        rig.engine.wait(ms(500));
        answer(rig);
        let heard = rig.engine.now;
        assert_ends(rig, heard, secs(120), Timer::KeepAlive, true);
    });
}

/// A probe or two are out when the application sends: what is in flight has the whole time of its own.
#[test]
fn data_sent_between_probes_is_given_its_own_time() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(100), secs(10), 3)));
        rig.engine.wait(secs(125));
        rig.send(10);
        assert_eq!(rig.status().unwrap().retries, 0);
        let sent = rig.engine.now;
        let (after, reason) = crate::end_after(rig, sent);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert!(secs(100) <= after && after <= secs(160), "{after:?}");
    });
}

#[test]
fn switched_on_after_weeks_it_asks_before_it_ends() {
    for days in [1, 12, 13, 24, 25, 30, 49, 50, 100] {
        for by_timeout in [false, true] {
            on_link(|rig| {
                rig.open();
                rig.engine.now = rig.engine.now + days * DAY;
                if by_timeout {
                    rig.engine.tcp.handle_timeout(rig.engine.now);
                    rig.engine.drain();
                }
                set(rig, Some(keep(secs(7_200), secs(75), 3)));
                // It counts from when the peer was last heard: the idle time is over, unless more has passed than can be counted.
                let mut probes = 0;
                let began = rig.engine.now;
                for _ in 0..3 {
                    assert_eq!(rig.engine.next_deadline(), Timer::KeepAlive, "{days} days");
                    if !rig.engine.sent.is_empty() {
                        assert_probe(rig);
                        probes += 1;
                    }
                    if probes == 1 && days < 49 {
                        assert_eq!(rig.engine.now, began, "{days} days");
                    }
                }
                rig.engine.wait(ms(74_999));
                assert_eq!(end_of(rig), None);
                answer(rig);
                assert_eq!(left(rig, Timer::KeepAlive), Some(secs(7_200)));
                assert_carries_data(rig);
            });
        }
    }
}

#[test]
fn switched_off_it_ends_nothing_even_after_the_last_probe() {
    for probes_out in 0..4 {
        on_link(|rig| {
            rig.open_with(with_keep(keep(secs(100), secs(10), 3)));
            for _ in 0..probes_out {
                let _ = rig.engine.next_deadline();
            }
            set(rig, None);
            assert_eq!(rig.engine.deadline.map(|(_, timer)| timer).filter(|&timer| timer != Timer::KeepAlive), None);
            rig.engine.wait(30 * DAY);
            assert_eq!((rig.state(), rig.engine.sent.len()), (State::Established, 0));
            assert_eq!(rig.status().unwrap().retries, 0);
            assert_carries_data(rig);
        });
    }
}

#[test]
fn a_change_takes_effect_at_once_and_counts_from_when_the_peer_was_heard() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(7_200), secs(75), 9)));
        let heard = rig.engine.now;
        let next = |rig: &Rig<'_>| rig.status().unwrap().timer;
        rig.engine.wait(secs(1_000));
        set(rig, Some(keep(secs(1_500), secs(5), 2)));
        assert_eq!(next(rig), Some((heard + secs(1_500), Timer::KeepAlive)));
        set(rig, Some(keep(secs(9_000), secs(5), 2)));
        assert_eq!(next(rig), Some((heard + secs(9_000), Timer::KeepAlive)));
        // Its time is over already: it asks now.
        set(rig, Some(keep(secs(500), secs(5), 2)));
        let _ = rig.engine.next_deadline();
        assert_probe(rig);
        assert_eq!(rig.engine.now.duration_since(heard), secs(1_000));
        // And still in full.
        let asked = rig.engine.now;
        let _ = rig.engine.next_deadline();
        assert_probe(rig);
        assert_eq!(rig.engine.now.duration_since(asked), secs(5));
        assert_ends(rig, asked, secs(10), Timer::KeepAlive, true);
    });
}

/// A caller that comes late has missed probes: each is sent nevertheless, and given its interval.
#[test]
fn a_late_caller_ends_nobody_who_was_not_asked() {
    for late in [secs(10), secs(3_600), DAY, 10 * DAY] {
        for missed in 0..4 {
            on_link(|rig| {
                rig.open_with(with_keep(keep(secs(100), secs(10), 4)));
                for _ in 0..missed {
                    let _ = rig.engine.next_deadline();
                    assert_probe(rig);
                }
                for _ in missed..4 {
                    let (at, _) = rig.engine.deadline.unwrap();
                    rig.engine.now = at + late;
                    rig.engine.sent.clear();
                    rig.engine.tcp.handle_timeout(rig.engine.now);
                    rig.engine.drain();
                    assert_eq!(end_of(rig), None, "{late:?} late");
                    assert_probe(rig);
                }
                let asked = rig.engine.now;
                assert_eq!(rig.engine.deadline, Some((asked + secs(10), Timer::KeepAlive)));
                answer(rig);
                assert_carries_data(rig);
            });
        }
    }
}

/// Our application does not read: the window is closed, the peer's answers and its own probes lie beyond it, and it lives.
#[test]
fn answers_beyond_our_closed_window_count() {
    for probes_too in [false, true] {
        on_link(|rig| {
            rig.open_with(with_keep(keep(secs(100), secs(10), 2)));
            let _ = rig.say(ACK, crate::support::rig::BUFFER);
            assert_eq!(rig.model.rcv_wnd, 0);
            for _ in 0..100 {
                rig.engine.wait(secs(90));
                if probes_too {
                    let probe = Seg::new(ACK, rig.model.rcv_nxt, rig.model.snd_nxt, 1, 1_000);
                    let _ = rig.inject(&probe);
                    assert_eq!(left(rig, Timer::KeepAlive), Some(secs(100)));
                } else {
                    assert_eq!(rig.engine.next_deadline(), Timer::KeepAlive);
                    answer(rig);
                }
                assert_eq!(end_of(rig), None);
            }
            assert_eq!(rig.recv().len(), crate::support::rig::BUFFER as usize);
            assert_carries_data(rig);
        });
    }
}

/// A peer that has lost all it sent answers at the right edge of our window: it lives.
#[test]
fn an_answer_at_the_right_edge_counts() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(100), secs(10), 2)));
        for _ in 0..20 {
            assert_eq!(rig.engine.next_deadline(), Timer::KeepAlive);
            let edge = rig.model.rcv_nxt.wrapping_add(rig.model.rcv_wnd);
            let _ = rig.inject(&Seg::new(ACK, edge, rig.model.snd_nxt, 0, 1_000));
            assert_eq!(left(rig, Timer::KeepAlive), Some(secs(100)));
        }
    });
}

/// In each state where the peer may be gone unnoticed, and in none where our own timer finds out.
#[test]
fn it_asks_in_established_close_wait_and_fin_wait_2_alone() {
    use crate::drawn::Drawn;
    use crate::holds::Hold;
    for hold in Hold::ALL {
        on_link(|rig| {
            let mut drawn = Drawn::new(&mut crate::Rng(5));
            drawn.options = listener(with_keep(keep(secs(50), secs(10), 3)));
            hold.reach(rig, &drawn, false, Duration::ZERO);
            let handle = rig.handle.or_else(|| rig.engine.tcp.connections().next().map(|(handle, _)| handle)).unwrap();
            let asks_in = rig.engine.tcp.status(handle).unwrap().timers.left(Timer::KeepAlive);
            assert_eq!(asks_in.is_some(), !hold.owes_acknowledgment(), "{hold:?}");
        });
    }
}
