//! Which group of states judges a segment (RFC 9293 §3.10.7).

use crate::config::RstPolicy;
use crate::rules::judgement::Judgement;
use crate::rules::tcb::Tcb;
use crate::rules::verdict::State;
use crate::rules::{closed, syn_received, syn_sent, synchronized, time_wait};
use crate::wire::segment::Segment;

/// Judges a segment for a record that exists: CLOSED and LISTEN have none and are judged by [`closed`] and [`super::listen`].
pub(crate) fn arrives(tcb: &Tcb, seg: &Segment<'_>, policy: RstPolicy) -> Judgement {
    match tcb.state() {
        State::Closed | State::Listen => closed::arrives(seg),
        State::SynSent => syn_sent::arrives(tcb, seg),
        State::SynReceived => syn_received::arrives(tcb, seg),
        State::TimeWait => time_wait::arrives(tcb, seg),
        State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait | State::Closing | State::LastAck => {
            synchronized::arrives(tcb, seg, policy)
        }
    }
}
