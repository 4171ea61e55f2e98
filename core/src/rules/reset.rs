//! The only place that decides the numbers of an RST (RFC 9293 §3.5.2, §3.10.5).

use crate::rules::tcb::Tcb;
use crate::rules::verdict::{ResetReason, State};
use crate::wire::segment::{Control, Segment};
use crate::wire::seq::Seq;

/// The numbers and the reason of an RST that answers a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reset {
    pub(crate) reason: ResetReason,
    pub(crate) seq: Seq,
    /// With an ACK bit where there is a number.
    pub(crate) ack: Option<Seq>,
}

/// An RST that the sender of `seg` must believe: at the number it acknowledged, or, where it acknowledged nothing, at zero with an
/// acknowledgment of all it sent (§3.10.7.1). It reveals no number of ours (CVE-1999-1291).
pub(crate) fn answer(seg: &Segment<'_>, reason: ResetReason) -> Reset {
    if seg.has(Control::ACK) {
        Reset { reason, seq: seg.header.ack, ack: None }
    } else {
        Reset { reason, seq: Seq(0), ack: Some(seg.header.seq + seg.len()) }
    }
}

/// An RST that ends a connection of ours (§3.10.5). It carries RCV.NXT as acknowledgment, which the standard leaves out: Linux and
/// the BSDs send it too, and a peer in SYN-SENT believes no RST without one.
pub(crate) fn abort(tcb: &Tcb, reason: ResetReason) -> Reset {
    Reset { reason, seq: tcb.reset_seq(), ack: Some(tcb.rcv_nxt) }
}

/// Returns whether ending a connection in this state tells the peer. Deviates from §3.10.5, where an abort is silent in CLOSING and
/// LAST-ACK: our FIN is unacknowledged there, and perhaps payload before it, so the peer may be in FIN-WAIT-2 and would wait for them in vain.
pub(crate) fn is_told(state: State) -> bool {
    match state {
        State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck => true,
        State::Closed | State::Listen | State::SynSent | State::TimeWait => false,
    }
}
