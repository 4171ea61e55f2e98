//! CLOSE-WAIT, and what CLOSING and LAST-ACK share with it: the peer has sent its FIN.

use tcp_reset_core::{Action, CloseReason, Config, RstPolicy, Rule, State};

use crate::checks::{
    assert_closed, assert_silent, assert_untouched, assert_verdict, config, on_link, on_link_with, seg, with_ack,
};
use crate::support::rig::reach::{Script, close_wait, closing, last_ack};
use crate::support::table::{ACK, FIN, RST};

#[test]
fn close_wait_rst_before_fin_resets_by_policy() {
    for build in [close_wait, closing, last_ack] as [Script; 3] {
        let rst_policy = RstPolicy { at_last_ack_sent: false, before_fin: true };
        on_link_with(Config { rst_policy, ..config() }, |l| {
            build(l);
            let state = l.state();
            assert_untouched(l, &seg(l, RST, -2, 0), Rule::RstOutOfWindow, Action::Dropped);
            let verdict = l.inject(&seg(l, RST, -1, 0));
            assert_verdict(l, verdict, Rule::RstBeforeFin, Action::Ended(CloseReason::ResetByPeer), state);
            assert_silent(l);
            assert_closed(l, CloseReason::ResetByPeer);
        });
    }
    on_link_with(Config { rst_policy: RstPolicy { at_last_ack_sent: false, before_fin: true }, ..config() }, |l| {
        l.open();
        assert_untouched(l, &seg(l, RST, -2, 0), Rule::RstOutOfWindow, Action::Dropped);
        let verdict = l.inject(&seg(l, RST, -1, 0));
        assert_verdict(l, verdict, Rule::RstBeforeNext, Action::Challenged, State::Established);
    });
}

#[test]
fn close_wait_payload_after_fin_is_ignored() {
    for build in [close_wait, closing, last_ack] as [Script; 3] {
        on_link(|l| {
            build(l);
            let state = l.state();
            for (flags, text) in [(ACK, 3), (FIN | ACK, 0), (FIN | ACK, 3)] {
                let after_fin = with_ack(seg(l, flags, 0, text), l.model.snd_una);
                let verdict = l.inject(&after_fin);
                assert_verdict(l, verdict, Rule::AfterFin, Action::Accepted, state);
                if flags & FIN == 0 {
                    assert_silent(l);
                } else {
                    assert_eq!(
                        (l.engine.only().flags, l.engine.only().ack),
                        (ACK, l.model.rcv_nxt),
                        "a FIN is acknowledged"
                    );
                }
                assert_eq!((l.state(), l.status().unwrap().rcv_nxt.0), (state, l.model.rcv_nxt));
            }
            assert_eq!(l.recv(), []);
        });
    }
}
