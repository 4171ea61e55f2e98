//! TIME-WAIT (§3.10.7.4, RFC 1337, RFC 6191): the connection is over, its old segments are answered.

use crate::rules::judgement::{Answer, ForTimeWait, Judgement};
use crate::rules::synchronized;
use crate::rules::synchronized::Acceptability;
use crate::rules::tcb::Tcb;
use crate::rules::timestamps;
use crate::rules::verdict::Rule;
use crate::wire::segment::{Control, Segment};

/// `takes_timestamps` says whether a new connection would have them, if its SYN does.
pub(crate) fn judge(tcb: &Tcb, seg: &Segment<'_>, takes_timestamps: bool) -> Judgement<ForTimeWait> {
    // RFC 1337, fix F1: an RST would end the quiet time early and let an old segment into the next connection.
    if seg.has(Control::RST) {
        return Rule::RstTimeWait.then(Answer::Drop);
    }
    if seg.has(Control::SYN) {
        return syn(tcb, seg, takes_timestamps);
    }
    if is_fin_again(tcb, seg) {
        return Rule::FinTimeWait.then(ForTimeWait::Restart);
    }
    if synchronized::acceptability(tcb, seg) != Acceptability::Acceptable {
        return synchronized::unacceptable(tcb, seg).widen();
    }
    if let Some(refused) = timestamps::check(tcb, seg) {
        return refused.widen();
    }
    if !seg.has(Control::ACK) {
        return Rule::NoAck.then(Answer::Drop);
    }
    if !tcb.is_ack_believable(seg.header.ack) {
        return Rule::AckUnacceptable.then(Answer::Challenge);
    }
    // §3.10.7.4 eighth. Only the peer's own FIN starts 2 MSL anew: else whoever hits the window keeps the record.
    if seg.has(Control::FIN) {
        return Rule::FinTimeWaitOther.then(Answer::Acknowledge { limited: true });
    }
    Rule::TimeWaitOther.then(Answer::Drop)
}

/// A SYN with a later timestamp, or beyond the last number seen, cannot be a duplicate from the old connection (RFC 6191 §2).
fn syn(tcb: &Tcb, seg: &Segment<'_>, takes_timestamps: bool) -> Judgement<ForTimeWait> {
    let is_bare = !seg.has(Control::ACK) && !seg.has(Control::FIN);
    let is_beyond = || seg.header.seq.ge(tcb.rcv_nxt);
    if is_bare && tcb.stamps.is_syn_new(seg, takes_timestamps).unwrap_or_else(is_beyond) {
        Rule::SynTimeWaitReopens.then(ForTimeWait::Reopen)
    } else {
        Rule::SynTimeWait.then(Answer::Challenge)
    }
}

/// Our last ACK was lost. Only the peer knows both numbers, so nobody else can keep the record alive for ever.
fn is_fin_again(tcb: &Tcb, seg: &Segment<'_>) -> bool {
    let is_its = seg.header.seq + seg.len() == tcb.rcv_nxt && seg.header.ack == tcb.snd_nxt;
    seg.has(Control::FIN | Control::ACK) && is_its && !tcb.stamps.has_old(seg)
}
