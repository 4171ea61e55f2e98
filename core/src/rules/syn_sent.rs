//! SYN-SENT (§3.10.7.3): our SYN is out.

use crate::rules::judgement::{Accepted, Answer, ForConnection, Judgement};
use crate::rules::reset;
use crate::rules::synchronized::{admitted_fin, admitted_payload};
use crate::rules::tcb::Tcb;
use crate::rules::verdict::{CloseReason, ResetReason, Rule};
use crate::wire::segment::{Control, Segment};

pub(crate) fn judge(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<ForConnection> {
    first_check_ack(tcb, seg)
        .or_else(|| second_check_rst(seg))
        .or_else(|| fourth_check_syn(tcb, seg))
        // Fifth.
        .unwrap_or_else(|| Rule::SynSentOther.then(Answer::Drop))
}

/// An acknowledgment of something we never sent comes from an old or half-open connection: the peer is told by an RST it
/// must believe, and our attempt goes on.
fn first_check_ack(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<ForConnection>> {
    if !seg.has(Control::ACK) || tcb.is_ack_new(seg.header.ack) {
        return None;
    }
    if seg.has(Control::RST) {
        return Some(Rule::SynSentBadAckRst.then(Answer::Drop));
    }
    let reset = reset::answer(seg, ResetReason::BadAckInHandshake);
    Some(Rule::SynSentBadAck.then(reset))
}

/// Reached only with an acceptable ACK or none. RFC 5961 would compare RCV.NXT, which does not exist yet; the acknowledgment of
/// our ISS proves as much. The application learns *refused* and not *reset*, as with every sockets API.
fn second_check_rst(seg: &Segment<'_>) -> Option<Judgement<ForConnection>> {
    if !seg.has(Control::RST) {
        return None;
    }
    if seg.has(Control::ACK) {
        Some(Rule::SynSentRst.then(ForConnection::End(CloseReason::Refused)))
    } else {
        Some(Rule::SynSentRstNoAck.then(Answer::Drop))
    }
}

fn fourth_check_syn(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<ForConnection>> {
    if !seg.has(Control::SYN) {
        return None;
    }
    if !seg.has(Control::ACK) {
        // Simultaneous open. Payload and FIN wait for ESTABLISHED: the peer sends them again.
        let accepted = Accepted { syn: true, ..Accepted::default() };
        return Some(Rule::SynSentSyn.then(accepted));
    }
    Some(establish(tcb, seg, Rule::SynSentSynAck).widen())
}

/// A SYN,ACK that acknowledges our SYN. Payload and FIN behind the SYN go on to the seventh and eighth step; RCV.NXT will be the number after
/// the SYN.
pub(super) fn establish(tcb: &Tcb, seg: &Segment<'_>, rule: Rule) -> Judgement<Accepted> {
    let rcv_nxt = seg.header.seq + 1;
    rule.then(Accepted {
        syn: true,
        establishes: true,
        ack: true,
        payload: admitted_payload(rcv_nxt, tcb.rcv_wnd, seg),
        fin: admitted_fin(rcv_nxt, tcb.rcv_wnd, seg),
        ack_now: true,
        receiver_gone: false,
    })
}
