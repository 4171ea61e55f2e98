//! Which group of states judges a segment for a connection (RFC 9293 §3.10.7).

use crate::config::RstPolicy;
use crate::rules::judgement::{Answer, ForConnection, ForHandshake, Judgement};
use crate::rules::tcb::Tcb;
use crate::rules::verdict::State;
use crate::rules::{closed, syn_received, syn_sent, synchronized};
use crate::wire::segment::Segment;

/// Judges a segment for a connection that has a slot.
pub(crate) fn judge(tcb: &Tcb, seg: &Segment<'_>, policy: RstPolicy) -> Judgement<ForConnection> {
    match tcb.state() {
        State::SynSent => syn_sent::judge(tcb, seg),
        State::SynReceived => syn_received::judge_active(tcb, seg),
        State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait | State::Closing | State::LastAck => {
            synchronized::judge(tcb, seg, policy)
        }
        // No slot in these states is found for a segment.
        State::Closed | State::Listen | State::TimeWait => {
            let Judgement { rule, disposition } = closed::judge(seg);
            rule.then(disposition.map_or(ForHandshake::Answer(Answer::Drop), ForHandshake::Reset))
        }
    }
}
