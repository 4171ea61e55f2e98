//! Timestamps (RFC 7323): the check that keeps old duplicates out (PAWS, §5), and what is kept for it.

use crate::rules::judgement::{Answer, Judgement};
use crate::rules::tcb::Tcb;
use crate::rules::verdict::Rule;
use crate::time::Millis;
use crate::wire::segment::{Control, Segment};

/// Notes the timestamp of a segment that the record has accepted, before RCV.NXT moves: the one whose acknowledgment is due the longest is echoed, and
/// nothing that lies beyond it counts (§5.3 R3).
#[inline]
pub(crate) fn note(tcb: &mut Tcb, seg: &Segment<'_>, now: Millis) {
    let last_ack_sent = tcb.rcv_nxt - u32::from(tcb.rcv_unacked);
    if seg.header.seq.le(last_ack_sent) {
        tcb.stamps.note(seg, now);
    }
}

/// Judges the timestamp of a segment whose sequence number is acceptable; no RST and no SYN comes here (RFC 7323 §5.3 R1). A sequence number is harder
/// to guess, so that it is asked for first: what is forged neither passes this check nor moves what it compares with.
///
/// A segment without a timestamp passes. RFC 7323 §3.2 would have it dropped; but peers in the field leave it out, of keepalives, of window probes, or of all
/// but the SYN, and their connections would die of it. An old duplicate has the timestamp that it was sent with.
pub(crate) fn check(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<Answer>> {
    tcb.stamps.has_old(seg).then(|| Rule::TimestampOld.then(answer_to_old(tcb, seg)))
}

/// An acknowledgment that others have overtaken tells nothing, and asks for nothing: numbers that both ends agree on are no sign of a half-open
/// connection, for whose sake §5.3 wants an answer.
fn answer_to_old(tcb: &Tcb, seg: &Segment<'_>) -> Answer {
    let knows = seg.has(Control::ACK) && tcb.is_ack_acceptable(seg.header.ack);
    if knows && seg.is_empty() && seg.header.seq == tcb.rcv_nxt {
        return Answer::Drop;
    }
    Answer::Acknowledge { limited: !knows || seg.payload.is_empty() }
}
