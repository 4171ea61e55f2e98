//! CLOSING.

use tcp_reset_core::{Action, CloseReason, ResetReason, Rule, State};

use crate::checks::{assert_closed, assert_reset, assert_silent, assert_verdict, on_link, seg, with_ack};
use crate::support::rig::Rig;
use crate::support::rig::reach::{Script, closing, last_ack};
use crate::support::table::{ACK, FIN, RST};

#[test]
fn closing_rst_at_rcv_nxt_resets() {
    for build in [closing, last_ack] as [Script; 2] {
        on_link(|l| {
            build(l);
            let state = l.state();
            let verdict = l.inject(&seg(l, RST, 0, 0));
            assert_verdict(l, verdict, Rule::RstExactClosing, Action::Ended(CloseReason::ResetByPeer), state);
            assert_silent(l);
            assert_eq!(l.state(), State::Closed);
            assert_closed(l, CloseReason::ResetByPeer);
        });
    }
}

#[test]
fn closing_ack_of_fin_enters_time_wait() {
    on_link(|l| {
        closing(l);
        let verdict = l.inject(&seg(l, ACK, 0, 0));
        assert_verdict(l, verdict, Rule::AckOfFin, Action::Accepted, State::Closing);
        assert_silent(l);
        assert_eq!(l.state(), State::TimeWait);
        assert_closed(l, CloseReason::LocalClosed);
    });
}

/// Both have closed, but our FIN is not acknowledged: the peer would wait for it in vain.
#[test]
fn closing_close_with_unread_data_resets() {
    for state in [State::Closing, State::LastAck] {
        on_link(|l| {
            l.open();
            let _ = l.say(ACK, 5);
            l.unread_goes_to(state);
            assert_eq!(l.state(), state);
            l.close();
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::UnreadData);
            assert_closed(l, CloseReason::DataLost);
            assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
        });
    }
}

impl Rig<'_> {
    /// ESTABLISHED with unread bytes to CLOSING or LAST-ACK: each side finishes, in either order.
    fn unread_goes_to(&mut self, state: State) {
        if state == State::Closing {
            self.shutdown();
            let _ = self.inject(&with_ack(seg(self, FIN | ACK, 0, 0), self.model.snd_una));
        } else {
            let _ = self.say(FIN | ACK, 0);
            self.shutdown();
        }
        self.look();
    }
}
