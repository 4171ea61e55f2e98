//! LAST-ACK.

use tcp_reset_core::{Action, CloseReason, Rule, State};

use crate::checks::{assert_closed, assert_silent, assert_verdict, on_link, seg};
use crate::support::rig::reach::last_ack;
use crate::support::table::ACK;

#[test]
fn last_ack_ack_of_fin_closes() {
    on_link(|l| {
        last_ack(l);
        let verdict = l.inject(&seg(l, ACK, 0, 0));
        assert_verdict(l, verdict, Rule::AckOfFin, Action::Accepted, State::LastAck);
        assert_silent(l);
        assert_eq!(l.state(), State::Closed);
        assert_closed(l, CloseReason::PeerClosed);
        assert_eq!(l.engine.deadline, None);
    });
}
