//! Over each family: a link that was down and is up again.

use tcp_reset_core::{CloseReason, Event, State, StreamOptions, Timer};

use crate::support::rig::{Rig, end_of, small_stream};
use crate::support::table::{ACK, PSH, SYN};
use crate::{ms, on};

/// The link is up again; what goes out at once.
fn restore(l: &mut Rig<'_>) -> Vec<(u8, u32, usize)> {
    l.engine.tcp.link_restored(l.engine.now);
    l.engine.drain();
    l.engine.sent.iter().map(|sent| (sent.flags, sent.seq, sent.text.len())).collect()
}

/// Nothing is answered for so many timeouts.
fn lose(l: &mut Rig<'_>, timeouts: usize) {
    for _ in 0..timeouts {
        let _ = l.engine.next_deadline();
    }
}

#[test]
fn what_is_not_acknowledged_goes_again_at_once_and_then_by_a_plain_timeout() {
    on(|l| {
        l.open();
        let first = l.model.snd_nxt;
        l.send(5);
        lose(l, 5);
        let (at, timer) = l.engine.deadline.unwrap();
        assert_eq!(timer, Timer::Retransmission);
        assert!(at.duration_since(l.engine.now) >= ms(16_000), "doubled");
        assert_eq!(restore(l), [(ACK | PSH, first, 5)]);
        let (at, timer) = l.engine.deadline.unwrap();
        assert_eq!(timer, Timer::Retransmission);
        assert!(at.duration_since(l.engine.now) <= ms(3_000), "{at:?}");
        let _ = l.say(ACK, 0);
        assert_eq!(l.engine.deadline, None);
        assert_eq!(restore(l), [], "nothing is out");
    });
}

/// The timeout stays doubled until a round trip is measured (Karn's algorithm), also after progress.
#[test]
fn a_second_outage_is_over_at_once_too() {
    on(|l| {
        l.open();
        l.send(5);
        lose(l, 6);
        let _ = restore(l);
        let _ = l.say(ACK, 0);
        let first = l.model.snd_nxt;
        l.send(6);
        let (at, _) = l.engine.deadline.unwrap();
        assert!(at.duration_since(l.engine.now) >= ms(30_000), "still doubled");
        l.engine.wait(ms(10_000));
        assert_eq!(restore(l), [(ACK | PSH, first, 6)]);
        let (at, _) = l.engine.deadline.unwrap();
        assert!(at.duration_since(l.engine.now) <= ms(3_000));
    });
}

#[test]
fn a_syn_and_a_window_probe_go_again_at_once() {
    on(|l| {
        l.dial();
        let iss = l.model.snd_una;
        assert_eq!(restore(l), [], "the first may be on its way");
        lose(l, 3);
        assert_eq!(restore(l), [(SYN, iss, 0)]);
        let _ = l.say(SYN | ACK, 0);
        assert_eq!(l.state(), State::Established);
    });
    on(|l| {
        l.open();
        l.peer_offers(0);
        let next = l.model.snd_nxt;
        l.send(5);
        lose(l, 4);
        assert_eq!(l.engine.deadline.map(|(_, timer)| timer), Some(Timer::WindowProbe));
        assert_eq!(restore(l), [(ACK, next, 1)]);
    });
}

#[test]
fn a_link_that_comes_and_goes_ends_nothing_sooner_or_later() {
    let ended_after = |flaps: bool| {
        let after = std::cell::Cell::new(None);
        on(|l| {
            l.open_with(StreamOptions { r2: ms(20_000), ..small_stream() });
            let begin = l.engine.now;
            l.send(5);
            while end_of(l).is_none() {
                let _ = l.engine.next_deadline();
                if flaps {
                    let _ = restore(l);
                }
            }
            assert_eq!(end_of(l), Some(CloseReason::TimedOut(Timer::Retransmission)));
            assert!(l.engine.events.iter().any(|event| matches!(event, Event::Stalled(_))), "R1 was told");
            after.set(Some(l.engine.now.duration_since(begin)));
        });
        after.get().unwrap()
    };
    let (steady, flapping) = (ended_after(false), ended_after(true));
    assert!(steady >= ms(20_000) && flapping >= ms(20_000), "not before R2: {steady:?}, {flapping:?}");
    assert!(steady <= ms(24_000) && flapping <= ms(24_000), "one last attempt more: {steady:?}, {flapping:?}");
}

#[test]
fn what_has_nothing_out_says_nothing() {
    on(|l| {
        assert_eq!(restore(l), [], "no connection");
        l.enter();
        assert_eq!(restore(l), []);
        l.accept();
        l.send(5);
        assert_eq!(restore(l), [], "sent this moment");
    });
}
