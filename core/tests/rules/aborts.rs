//! What we reset: calls that abort, timeouts, unread data.

use std::time::Duration;

use tcp_reset_core::{CloseReason, Event, ResetReason, State, Timer};

use crate::checks::{assert_closed, assert_reset, assert_silent, on_link};
use crate::support::rig::reach::{
    Script, close_wait, closing, cross, dial, fin_wait_1, fin_wait_2, last_ack, open, probe_outstanding,
    text_in_flight, time_wait,
};
use crate::support::table::{ACK, RST};

#[test]
fn established_close_with_unread_data_resets() {
    for build in [open, fin_wait_1, fin_wait_2] as [Script; 3] {
        on_link(|l| {
            build(l);
            let _ = l.say(ACK, 5);
            l.close();
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::UnreadData);
            assert_eq!(l.state(), State::Closed);
            assert_closed(l, CloseReason::DataLost);
        });
    }
}

#[test]
fn abort_in_every_state_sends_what_the_state_demands() {
    for build in [cross, open, fin_wait_1, fin_wait_2, close_wait, closing, last_ack] as [Script; 7] {
        on_link(|l| {
            build(l);
            l.abort();
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::Aborted);
            assert_eq!(l.state(), State::Closed);
            assert_eq!(l.engine.tcp.counters().closed(CloseReason::Aborted), 1);
            assert_eq!((l.engine.deadline, l.engine.tcp.in_use().0), (None, 0));
        });
    }
    for build in [dial, time_wait] as [Script; 2] {
        on_link(|l| {
            build(l);
            let handle = l.handle.unwrap();
            let _ = l.engine.tcp.abort(l.engine.now, handle);
            l.engine.drain();
            assert_silent(l);
            assert_eq!(l.state(), State::Closed);
            assert_eq!(l.engine.tcp.counters().reset_sent(ResetReason::Aborted), 0);
        });
    }
}

#[test]
fn established_abort_with_shrunk_window_stays_inside_it() {
    on_link(|l| {
        l.open();
        l.send(10);
        l.peer_offers(4);
        let una = l.model.snd_una;
        l.abort();
        assert_reset(l, RST | ACK, una + 4, l.model.rcv_nxt, ResetReason::Aborted);
    });
    on_link(|l| {
        l.open();
        l.send(10);
        l.peer_offers(0);
        let una = l.model.snd_una;
        l.abort();
        assert_reset(l, RST | ACK, una, l.model.rcv_nxt, ResetReason::Aborted);
    });
}

#[test]
fn established_abort_with_closed_window_ignores_the_probe() {
    on_link(|l| {
        probe_outstanding(l);
        l.abort();
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::Aborted);
    });
}

#[test]
fn established_abort_after_retransmission_uses_highest_snd_nxt() {
    on_link(|l| {
        l.open();
        l.send(10);
        let _ = l.engine.next_deadline();
        assert_eq!(l.engine.only().seq, l.model.snd_nxt - 10, "sent again");
        l.abort();
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::Aborted);
    });
}

#[test]
fn retransmission_timeout_resets_and_tells() {
    for build in [text_in_flight, fin_wait_1, closing, last_ack] as [Script; 4] {
        on_link(|l| {
            build(l);
            let begin = l.engine.now;
            while l.engine.events.iter().all(|event| !matches!(event, Event::Closed(..))) {
                let _ = l.engine.next_deadline();
            }
            assert!(l.engine.now.duration_since(begin) >= Duration::from_secs(100), "R2");
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::TimedOut);
            assert_closed(l, CloseReason::TimedOut(Timer::Retransmission));
            assert_eq!((l.state(), l.engine.deadline), (State::Closed, None));
        });
    }
}
