//! Closing: where a FIN is taken, and how it is sent again.

use tcp_reset_core::{Action, Rule, State, Timer};

use crate::on;
use crate::support::rig;
use crate::support::rig::BUFFER;
use crate::support::table::{ACK, FIN, Seg};

#[test]
fn nothing_is_taken_from_behind_a_held_fin() {
    on(|l| {
        l.open();
        let m = l.model;
        let _ = l.inject(&Seg::new(FIN | ACK, m.rcv_nxt.wrapping_add(10), m.snd_nxt, 0, 1000));
        let _ = l.inject(&Seg::new(ACK, m.rcv_nxt, m.snd_nxt, 20, 1000));
        let acked = l.engine.sent.last().unwrap().ack.wrapping_sub(m.rcv_nxt);
        assert_eq!(acked, 11, "the FIN is the number after the tenth byte");
    });
}

#[test]
fn established_fin_at_closed_window_is_taken() {
    on(|l| {
        l.open();
        let before = l.model.rcv_nxt;
        let _ = l.say(ACK, BUFFER);
        assert_eq!(l.model.rcv_wnd, 0);
        let verdict = l.say(FIN | ACK, 0);
        assert_eq!((verdict.rule, verdict.action), (Rule::FinInOrder, Action::Accepted));
        assert_eq!(l.engine.only().ack, l.model.rcv_nxt);
        assert_eq!(l.status().unwrap().state, State::CloseWait);
        assert_eq!(l.recv(), rig::stream(before, BUFFER), "nothing is lost");
        assert_eq!(l.engine.tcp.recv(l.engine.now, l.handle.unwrap(), &mut [0]), Ok(0), "then the end");
    });
    // Text that fills the window, and the FIN right behind it.
    on(|l| {
        l.open();
        let verdict = l.inject(&Seg::new(FIN | ACK, l.model.rcv_nxt, l.model.snd_nxt, BUFFER, 1_000));
        assert_eq!(verdict.rule, Rule::FinInOrder);
        assert_eq!(l.status().unwrap().state, State::CloseWait);
    });
    // One byte beyond the window is not taken, and so is no FIN behind it.
    on(|l| {
        l.open();
        let verdict = l.inject(&Seg::new(FIN | ACK, l.model.rcv_nxt, l.model.snd_nxt, BUFFER + 1, 1_000));
        assert_eq!(verdict.rule, Rule::PayloadInOrder);
        assert_eq!(l.status().unwrap().state, State::Established);
    });
}

#[test]
fn bare_fin_sent_again_carries_no_push() {
    on(|l| {
        l.open();
        l.shutdown();
        assert_eq!(l.engine.only().flags, FIN | ACK);
        assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
        assert_eq!(l.engine.only().flags, FIN | ACK);
    });
}
