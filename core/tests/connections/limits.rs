//! Bounds in time: retransmissions, window probes and orphans end when they must, and not before.

use std::time::Duration;

use tcp_reset_core::{Action, CloseReason, Config, Event, ResetReason, State, StreamOptions, Timer};

use crate::support::rig::{BUFFER, end_of as closed, quick_config, small_stream};
use crate::support::table::{ACK, RST, SYN, Seg};
use crate::{ms, on, on_with, seconds};

#[test]
fn duplicate_acknowledgements_do_not_put_off_r2() {
    on(|l| {
        l.open();
        l.send(10);
        let una = l.model.snd_una;
        for _ in 0..1200 {
            // 10 minutes
            l.engine.wait(ms(500));
            let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una, 0, 1000));
        }
        assert!(l.engine.events.iter().any(|e| matches!(e, Event::Closed(..))), "{:?}", l.engine.events);
    });
}

#[test]
fn answered_window_probes_do_not_stall() {
    on(|l| {
        l.open();
        l.peer_offers(0);
        l.send(10);
        for _ in 0..6 {
            l.wait_for_probe();
            let una = l.model.snd_una;
            let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una, 0, 0));
        }
        assert!(!l.engine.events.iter().any(|e| matches!(e, Event::Stalled(..))), "{:?}", l.engine.events);
    });
}

#[test]
fn the_orphan_time_begins_at_the_close() {
    on(|l| {
        l.open();
        l.peer_offers(0);
        l.send(10);
        let end = l.engine.now + Duration::from_secs(200);
        while l.engine.now < end {
            l.wait_for_probe();
            let una = l.model.snd_una;
            let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una, 0, 0));
        }
        // just before the next probe
        let (at, _) = l.engine.deadline.unwrap();
        let d = at.duration_since(l.engine.now) - ms(10);
        l.engine.wait(d);
        l.close();
        l.engine.wait(ms(100));
        assert!(
            !l.engine.events.iter().any(|e| matches!(e, Event::Closed(..))),
            "ended 10 ms after close: {:?}",
            l.engine.events
        );
    });
}

#[test]
fn duplicate_acknowledgements_do_not_hold_a_closed_connection() {
    on(|l| {
        l.open();
        l.send(10);
        l.close();
        for _ in 0..3600 {
            // 1 hour
            l.engine.wait(ms(1000));
            let s = Seg::new(ACK, l.model.rcv_nxt, l.model.iss.wrapping_add(1), 0, 1000);
            let _ = l.inject(&s);
        }
        assert_eq!(l.engine.tcp.in_use().0, 0);
    });
}

#[test]
fn a_toggling_window_does_not_hold_a_closed_connection() {
    on(|l| {
        l.open();
        l.send(10);
        l.close();
        for i in 0..720u32 {
            // 1 hour
            l.engine.wait(ms(5000));
            let wnd = if i % 2 == 0 { 0 } else { 1000 };
            let s = Seg::new(ACK, l.model.rcv_nxt, l.model.iss.wrapping_add(1), 0, wnd);
            let _ = l.inject(&s);
        }
        assert_eq!(l.engine.tcp.in_use().0, 0);
    });
}

/// The application has left. Its peer acknowledges now and then, just enough to look alive.
#[test]
fn orphan_that_trickles_is_ended_in_total() {
    on(|l| {
        l.open();
        l.peer_offers(0);
        l.send(BUFFER);
        let begin = l.engine.now;
        let (una, rcv_nxt) = (l.model.snd_una, l.model.rcv_nxt);
        l.close();
        for n in 1..200 {
            l.engine.wait(seconds(5));
            if l.engine.tcp.in_use().0 == 0 {
                break;
            }
            let _ = l.inject(&Seg::new(ACK, rcv_nxt, una.wrapping_add(n.min(BUFFER - 1)), 0, 1));
        }
        let held = l.engine.now.duration_since(begin);
        assert!(held <= seconds(65), "{held:?}");
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Orphan)));
        assert_eq!(l.engine.tcp.counters().reset_sent(ResetReason::TimedOut), 1, "the peer is told");
    });
}

#[test]
fn orphan_limit_holds_however_the_window_moves() {
    for wnd in [0, 1, 1_000] {
        on_with(Config { orphan_timeout: seconds(7), ..quick_config() }, |l| {
            l.open();
            l.send(20);
            l.close();
            let begin = l.engine.now;
            let stale = Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, wnd);
            while l.engine.tcp.in_use().0 > 0 {
                l.engine.wait(Duration::from_millis(500));
                let _ = l.inject(&stale);
                assert!(l.engine.now.duration_since(begin) <= Duration::from_millis(8_500), "window {wnd}");
            }
            assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Orphan)));
        });
    }
}

/// The window opens by one and closes again, and nothing in flight is ever acknowledged.
#[test]
fn established_flapping_window_ends_by_r2() {
    on(|l| {
        l.open();
        l.send(20);
        let begin = l.engine.now;
        let (rcv_nxt, una) = (l.model.rcv_nxt, l.model.snd_una);
        for n in 0_u32.. {
            let _ = l.inject(&Seg::new(ACK, rcv_nxt, una, 0, n % 2));
            l.engine.wait(Duration::from_millis(700));
            if closed(l).is_some() {
                break;
            }
            assert!(l.engine.now.duration_since(begin) < seconds(400), "held for ever");
        }
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Retransmission)));
    });
    // MUST-37: a window that stays closed is no reason, as long as probes are answered.
    on(|l| {
        l.open();
        l.send(20);
        for _ in 0..2_000 {
            let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 0));
            l.engine.wait(seconds(60));
        }
        assert_eq!(closed(l), None);
        assert_eq!(l.status().unwrap().state, State::Established);
    });
}

/// A window that was closed for long and opens has a whole R2 for what was in flight.
#[test]
fn established_opened_window_starts_r2_once() {
    on(|l| {
        l.open();
        l.send(20);
        for _ in 0..30 {
            let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 0));
            l.engine.wait(seconds(60));
        }
        let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 1_000));
        l.engine.wait(seconds(95));
        assert_eq!(closed(l), None);
        l.peer_acks();
        l.engine.wait(seconds(1_000));
        assert_eq!(closed(l), None, "progress was made");
    });
}

/// R2 has passed and the last attempt is out when the peer says that its window is closed: it is probed, and given up if it is silent then.
#[test]
fn established_window_that_closes_after_the_last_attempt_is_probed() {
    on(|l| {
        l.open();
        l.send(10);
        let began = l.engine.now;
        while l.engine.now.duration_since(began) < seconds(100) {
            let _ = l.engine.next_deadline();
        }
        let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 0));
        let heard = l.engine.now;
        let _ = l.engine.next_deadline();
        assert_eq!(l.engine.only().text.len(), 1, "the window is probed");
        while closed(l).is_none() {
            let _ = l.engine.next_deadline();
        }
        assert!(l.engine.now.duration_since(heard) >= seconds(100), "R2 counts from there");
        assert!(l.engine.now.duration_since(heard) <= seconds(300));
    });
}

/// Progress ends the doubt: the next silence is told like the first.
#[test]
fn established_silence_after_progress_is_told_again() {
    on(|l| {
        l.open();
        for n in 1..=2 {
            l.send(5);
            for _ in 0..4 {
                let _ = l.engine.next_deadline();
            }
            let stalls = l.engine.events.iter().filter(|event| matches!(event, Event::Stalled(_))).count();
            assert_eq!(stalls, n);
            l.peer_acks();
            // A round trip that is measured takes the backoff away.
            l.send(5);
            l.peer_acks();
        }
    });
}

/// The quota is spent and a challenge withheld; an acknowledgment that was held back is not put off with it (MUST-40).
#[test]
fn established_delayed_ack_does_not_wait_for_a_withheld_challenge() {
    on_with(Config { delayed_ack: Duration::from_millis(40), ..quick_config() }, |l| {
        l.open();
        // What comes first and is not pushed is acknowledged at once.
        let _ = l.say(ACK, 1);
        for _ in 0..12 {
            let _ = l.inject(&Seg::new(SYN, l.model.rcv_nxt.wrapping_add(30), 0, 0, 0));
        }
        let at = l.model.rcv_nxt;
        let _ = l.inject(&Seg::new(ACK, at, l.model.snd_nxt, 5, 1_000));
        assert_eq!(l.engine.sent, [], "held back");
        let verdict = l.inject(&Seg::new(RST, at.wrapping_add(20), 0, 0, 0));
        assert_eq!(verdict.action, Action::Limited);
        assert_eq!(l.engine.only().ack, at.wrapping_add(5));
    });
}

#[test]
fn r2_is_as_short_as_asked() {
    on(|l| {
        l.open_with(StreamOptions { r2: seconds(2), ..small_stream() });
        l.send(5);
        let begin = l.engine.now;
        while closed(l).is_none() {
            let _ = l.engine.next_deadline();
        }
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Retransmission)));
        assert!(l.engine.now.duration_since(begin) <= seconds(3), "one last attempt after R2");
    });
    on_with(Config { connect_timeout: seconds(5), ..quick_config() }, |l| {
        l.dial();
        let begin = l.engine.now;
        while closed(l).is_none() {
            let _ = l.engine.next_deadline();
        }
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Connect)));
        assert!(l.engine.now.duration_since(begin) <= seconds(6));
    });
}
