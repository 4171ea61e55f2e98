//! RST in the synchronized states (RFC 9293 §3.10.7.4, RFC 5961 §3).

use tcp_reset_core::{Action, CloseReason, Config, Error, RstPolicy, Rule, State};

use crate::checks::{
    assert_challenged, assert_closed, assert_silent, assert_untouched, assert_verdict, on_link, on_link_with, seg,
    with_ack,
};
use crate::support::rig;
use crate::support::rig::Rig;
use crate::support::rig::reach::{OTHER_STATES, Script, close_wait, fin_wait_1, fin_wait_2, open};
use crate::support::table::{ACK, FIN, RST, SYN};

#[test]
fn established_rst_at_rcv_nxt_resets() {
    for build in [open, fin_wait_1, fin_wait_2, close_wait] as [Script; 4] {
        on_link(|l| {
            build(l);
            let state = l.state();
            let before = l.model.rcv_nxt;
            if state != State::CloseWait {
                let text = with_ack(seg(l, ACK, 0, 5), l.model.snd_una);
                let _ = l.say_seg(&text);
            }
            let verdict = l.inject(&seg(l, RST, 0, 3));
            assert_verdict(l, verdict, Rule::RstExact, Action::Ended(CloseReason::ResetByPeer), state);
            assert_silent(l);
            assert_eq!(l.state(), State::Closed);
            assert_closed(l, CloseReason::ResetByPeer);
            if state != State::CloseWait {
                assert_eq!(l.recv(), rig::stream(before, 5), "bytes received in order stay readable");
            }
            let end = l.engine.tcp.recv(l.engine.now, l.handle.unwrap(), &mut [0; 9]);
            let wanted = if state == State::CloseWait { Ok(0) } else { Err(Error::Closed(CloseReason::ResetByPeer)) };
            assert!(end == wanted || end == Err(Error::Closed(CloseReason::ResetByPeer)), "{end:?}");
            assert_eq!(l.engine.deadline, None, "no timer is left");
        });
    }
}

/// ESTABLISHED with five bytes received and their acknowledgment held back.
fn with_delayed_ack(rst_policy: RstPolicy, test: impl Fn(&mut Rig<'_>)) {
    on_link_with(Config { rst_policy, ..Config::default() }, |l| {
        l.open();
        // What comes first and is not pushed is acknowledged at once.
        let _ = l.say(ACK, 1);
        let _ = l.say(ACK, 5);
        assert_silent(l);
        test(l);
    });
}

#[test]
fn established_rst_at_last_ack_sent_resets_by_policy() {
    with_delayed_ack(RstPolicy { at_last_ack_sent: true, before_fin: false }, |l| {
        let verdict = l.inject(&seg(l, RST, 0, 0));
        assert_verdict(l, verdict, Rule::RstAtLastAckSent, Action::Ended(CloseReason::ResetByPeer), State::Established);
        assert_silent(l);
        assert_closed(l, CloseReason::ResetByPeer);
    });
    with_delayed_ack(RstPolicy { at_last_ack_sent: true, before_fin: true }, |l| {
        let last = l.model.rcv_nxt;
        for offset in [1, 3, -1] {
            assert_untouched(l, &seg(l, RST, offset, 0), Rule::RstOutOfWindow, Action::Dropped);
        }
        l.engine.next_deadline();
        l.look();
        assert_eq!(l.model.rcv_nxt, last + 5, "the delayed ACK went out");
        assert_untouched(l, &seg(l, RST, -5, 0), Rule::RstOutOfWindow, Action::Dropped);
    });
}

#[test]
fn rst_policies_are_off_by_default() {
    assert_eq!(Config::default().rst_policy, RstPolicy { at_last_ack_sent: false, before_fin: false });
    with_delayed_ack(Config::default().rst_policy, |l| {
        assert_untouched(l, &seg(l, RST, 0, 0), Rule::RstOutOfWindow, Action::Dropped);
        assert_silent(l);
    });
    on_link(|l| {
        close_wait(l);
        assert_challenged(l, &seg(l, RST, -1, 0), Rule::RstBeforeNext);
    });
}

#[test]
fn established_rst_in_window_sends_challenge_ack() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            let edge = l.model.rcv_wnd.cast_signed();
            for (offset, flags) in [(1, RST), (2, RST | ACK), (edge - 1, RST | SYN)] {
                assert_challenged(l, &seg(l, flags, offset, 0), Rule::RstInWindow);
            }
        });
    }
}

/// A peer whose whole window was lost resets at its SND.NXT, our right edge.
#[test]
fn established_rst_at_right_edge_sends_challenge_ack() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            let edge = l.model.rcv_wnd.cast_signed();
            for flags in [RST, RST | ACK, RST | FIN] {
                assert_challenged(l, &seg(l, flags, edge, 0), Rule::RstAtRightEdge);
            }
        });
    }
}

/// A peer whose probe was taken and who has not heard so resets at its SND.NXT, which does not count the probe.
#[test]
fn established_rst_before_rcv_nxt_sends_challenge_ack() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            for (flags, text) in [(RST, 0), (RST | ACK, 0), (RST, 4)] {
                assert_challenged(l, &seg(l, flags, -1, text), Rule::RstBeforeNext);
            }
        });
    }
}

#[test]
fn established_rst_outside_window_is_dropped() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            let edge = l.model.rcv_wnd.cast_signed();
            for (offset, text) in [(-2, 0), (-2, 4), (edge + 1, 0), (edge + 1, 4), (i32::MIN, 0)] {
                assert_untouched(l, &seg(l, RST, offset, text), Rule::RstOutOfWindow, Action::Dropped);
                assert_silent(l);
            }
        });
    }
}

#[test]
fn after_reset_same_ports_open_at_once() {
    on_link(|l| {
        l.open();
        let _ = l.inject(&seg(l, RST, 0, 0));
        assert_eq!(l.state(), State::Closed);
        l.isn = 99;
        l.open();
        assert_eq!(l.state(), State::Established, "the old handle is not even given up");
    });
    on_link(|l| {
        l.enter();
        l.accept();
        let _ = l.inject(&seg(l, RST, 0, 0));
        l.isn = 99;
        assert_eq!(l.say(SYN, 0).rule, Rule::ListenSyn);
        assert_eq!(l.say(ACK, 0).rule, Rule::AckEstablishes);
        assert_eq!(l.state(), State::Established);
    });
    on_link(|l| {
        l.open();
        l.abort();
        l.isn = 99;
        l.open();
        assert_eq!(l.state(), State::Established, "after an abort of our own");
    });
}
