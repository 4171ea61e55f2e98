//! SYN-RECEIVED (§3.10.7.4, with the exceptions this state has at every step).

use crate::rules::judgement::{Accepted, Answer, ForConnection, ForHalfOpen, ForHandshake, Judgement};
use crate::rules::reset::{self, Reset};
use crate::rules::synchronized::Acceptability;
use crate::rules::tcb::Tcb;
use crate::rules::verdict::{CloseReason, ResetReason, Rule};
use crate::rules::{syn_sent, synchronized, timestamps};
use crate::wire::segment::{Control, Segment};
use crate::wire::seq::Seq;

/// Of a half-open record: a listener was asked.
pub(crate) fn judge_passive(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<ForHalfOpen> {
    second_check_rst(tcb, seg, || Rule::RstSynReceivedPassive.then(ForHalfOpen::ReturnToListen))
        .or_else(|| fourth_check_syn(tcb, seg).map(Judgement::widen))
        .or_else(|| synchronized::first_check_sequence(tcb, seg).map(Judgement::widen))
        .or_else(|| timestamps::check(tcb, seg).map(Judgement::widen))
        .or_else(|| fifth_check_ack(tcb, seg).map(Judgement::widen))
        .unwrap_or_else(|| establish(tcb, seg).widen())
}

/// Of a connection that we open while its peer does.
#[inline(never)]
pub(crate) fn judge_active(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<ForConnection> {
    second_check_rst(tcb, seg, || exact_rst_of_active_open(tcb, seg))
        .or_else(|| other_half(tcb, seg).map(Judgement::widen))
        .or_else(|| fourth_check_syn(tcb, seg).map(Judgement::widen))
        .or_else(|| bad_ack_at_unproven_sequence(tcb, seg).map(Judgement::widen))
        .or_else(|| synchronized::first_check_sequence(tcb, seg).map(Judgement::widen))
        .or_else(|| timestamps::check(tcb, seg).map(Judgement::widen))
        .or_else(|| fifth_check_ack(tcb, seg).map(Judgement::widen))
        .unwrap_or_else(|| establish(tcb, seg).widen())
}

/// The peer that was never there, or that never sent this SYN, says so. A listener lives on.
fn second_check_rst<D: From<Answer>>(
    tcb: &Tcb,
    seg: &Segment<'_>,
    exact: impl FnOnce() -> Judgement<D>,
) -> Option<Judgement<D>> {
    if !seg.has(Control::RST) {
        return None;
    }
    Some(if seg.header.seq == tcb.rcv_nxt { exact() } else { synchronized::rst_not_exact(tcb, seg).widen() })
}

/// An active open was refused if the RST acknowledges our SYN, as in SYN-SENT; without that the number proves only that its sender knows the SYN
/// that led here, and anybody may have sent that. The attempt then goes on from SYN-SENT, where a peer that refuses says so with an
/// acknowledgment. Deviates from §3.10.7.4, where two forged segments end the attempt.
fn exact_rst_of_active_open(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<ForConnection> {
    if is_acked(tcb, seg) {
        Rule::RstSynReceivedActive.then(ForConnection::End(CloseReason::Refused))
    } else {
        Rule::RstSynReceivedUnproven.then(ForConnection::ReturnToSynSent)
    }
}

/// Returns whether the segment acknowledges our SYN.
fn is_acked(tcb: &Tcb, seg: &Segment<'_>) -> bool {
    seg.has(Control::ACK) && tcb.is_ack_new(seg.header.ack)
}

/// The other half of a simultaneous open acknowledges our SYN with its own SYN again (figure 7, appendix A.2). So does the peer whose
/// handshake a forged SYN has crossed, at its own number: it has seen our SYN, and the forger need not have.
fn other_half(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<Accepted>> {
    (seg.has(Control::SYN) && is_acked(tcb, seg)).then(|| syn_sent::establish(tcb, seg, Rule::SynReceivedSynAck))
}

/// Judged before the sequence number, because each SYN has its own answer here wherever it sits.
fn fourth_check_syn(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<ForHandshake>> {
    if !seg.has(Control::SYN) {
        return None;
    }
    let irs: Seq = tcb.rcv_nxt - 1;
    if seg.header.seq != irs {
        // RFC 9293 would return to LISTEN, which lets anyone who guesses four numbers destroy a handshake. Linux and FreeBSD
        // challenge as well. A peer that rebooted answers with an exact RST, and its next SYN is taken.
        return Some(Rule::SynReceivedSynOther.then(Answer::Challenge));
    }
    if seg.has(Control::ACK) && !is_acked(tcb, seg) {
        return Some(bad_ack(seg).widen());
    }
    Some(Rule::SynReceivedSynAgain.then(ForHandshake::SynAckAgain))
}

/// An active open knows RCV.NXT from a bare SYN, which anybody may have sent: an acknowledgment of what was never sent is judged first, as in
/// SYN-SENT. Else a forged SYN would keep a peer with a connection from before our reboot from being reset.
fn bad_ack_at_unproven_sequence(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<Reset>> {
    (seg.has(Control::ACK) && !is_acked(tcb, seg)).then(|| bad_ack(seg))
}

/// Not judged by RFC 5961 §5: before synchronization a wrong acknowledgment draws an RST (§3.5.2 group 2).
fn fifth_check_ack(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<ForHandshake>> {
    if !seg.has(Control::ACK) {
        return Some(Rule::NoAck.then(Answer::Drop));
    }
    if !tcb.is_ack_new(seg.header.ack) {
        return Some(bad_ack(seg).widen());
    }
    None
}

fn bad_ack(seg: &Segment<'_>) -> Judgement<Reset> {
    Rule::SynReceivedBadAck.then(reset::answer(seg, ResetReason::BadAckInHandshake))
}

fn establish(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<Accepted> {
    let Judgement { rule, disposition } = match synchronized::acceptability(tcb, seg) {
        Acceptability::AckOnly => synchronized::zero_window(tcb, seg, Rule::AckEstablishes),
        Acceptability::Acceptable | Acceptability::Unacceptable => {
            synchronized::seventh_and_eighth_step(tcb, seg, Rule::AckEstablishes)
        }
    };
    rule.then(Accepted { establishes: true, ..disposition })
}
