//! FIN-WAIT-1 and FIN-WAIT-2.

use tcp_reset_core::{Action, CloseReason, ResetReason, Rule, State};

use crate::checks::{
    assert_closed, assert_empty_ack, assert_reset, assert_silent, assert_untouched, assert_verdict, on_link, seg,
    with_ack,
};
use crate::support::rig::reach::{Script, fin_wait_1, fin_wait_1_gone, fin_wait_2_gone};
use crate::support::table::{ACK, FIN, RST};

#[test]
fn fin_wait_1_ack_of_fin_enters_fin_wait_2() {
    on_link(|l| {
        fin_wait_1(l);
        let partial = with_ack(seg(l, ACK, 0, 0), l.model.snd_una);
        let verdict = l.inject(&partial);
        assert_verdict(l, verdict, Rule::AckAccepted, Action::Accepted, State::FinWait1);
        let verdict = l.inject(&seg(l, ACK, 0, 0));
        assert_verdict(l, verdict, Rule::AckOfFin, Action::Accepted, State::FinWait1);
        assert_silent(l);
        assert_eq!(l.state(), State::FinWait2);
    });
}

#[test]
fn fin_wait_payload_for_closed_application_resets() {
    for build in [fin_wait_1_gone, fin_wait_2_gone] as [Script; 2] {
        for (offset, text) in [(0, 1), (-1, 2), (3, 1)] {
            on_link(|l| {
                build(l);
                let state = l.state();
                let bad = with_ack(seg(l, ACK, offset, text), l.model.snd_nxt + 1);
                assert_untouched(l, &bad, Rule::AckUnacceptable, Action::Challenged);
                let verdict = l.inject(&seg(l, ACK, offset, text));
                assert_verdict(l, verdict, Rule::PayloadReceiverGone, Action::Reset(ResetReason::ReceiverGone), state);
                assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::ReceiverGone);
                assert_eq!(l.state(), State::Closed);
                assert_closed(l, CloseReason::DataLost);
            });
        }
    }
}

#[test]
fn fin_wait_old_payload_for_closed_application_is_acknowledged() {
    on_link(|l| {
        l.open();
        let _ = l.say(ACK, 5);
        let _ = l.recv();
        l.close();
        assert_untouched(l, &seg(l, ACK, -5, 5), Rule::SeqUnacceptable, Action::Acknowledged);
        assert_empty_ack(l);
        assert_eq!(l.inject(&seg(l, FIN | ACK, 0, 0)).rule, Rule::FinInOrder, "an orderly end is still possible");
        assert_closed(l, CloseReason::LocalClosed);
    });
}
