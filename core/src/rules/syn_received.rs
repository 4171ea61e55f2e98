//! SYN-RECEIVED (§3.10.7.4, with the exceptions this state has at every step).

use crate::rules::judgement::{Disposition, Judgement, Take};
use crate::rules::synchronized::Acceptability;
use crate::rules::tcb::{Flags, Tcb};
use crate::rules::verdict::{CloseReason, ResetReason, Rule};
use crate::rules::{reset, syn_sent, synchronized};
use crate::wire::segment::{Control, Segment};
use crate::wire::seq::Seq;

pub(crate) fn arrives(tcb: &Tcb, seg: &Segment<'_>) -> Judgement {
    second_check_rst(tcb, seg)
        .or_else(|| fourth_check_syn(tcb, seg))
        .or_else(|| bad_ack_at_unproven_sequence(tcb, seg))
        .or_else(|| synchronized::first_check_sequence(tcb, seg))
        .or_else(|| fifth_check_ack(tcb, seg))
        .unwrap_or_else(|| establish(tcb, seg))
}

/// The peer that was never there, or that never sent this SYN, says so. A listener lives on. An active open was refused if the RST
/// acknowledges our SYN, as in SYN-SENT; without that the number proves only that its sender knows the SYN that led here, and anybody may
/// have sent that. The attempt then goes on from SYN-SENT, where a peer that refuses says so with an acknowledgment. Deviates from
/// §3.10.7.4, where two forged segments end the attempt.
fn second_check_rst(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement> {
    if !seg.has(Control::RST) {
        return None;
    }
    if seg.header.seq == tcb.rcv_nxt {
        return Some(if tcb.has(Flags::PASSIVE) {
            Rule::RstSynReceivedPassive.then(Disposition::ReturnToListen)
        } else if seg.has(Control::ACK) && tcb.is_ack_new(seg.header.ack) {
            Rule::RstSynReceivedActive.then(Disposition::End(CloseReason::Refused))
        } else {
            Rule::RstSynReceivedUnproven.then(Disposition::ReturnToSynSent)
        });
    }
    Some(synchronized::rst_not_exact(tcb, seg))
}

/// Judged before the sequence number, because each SYN has its own answer here wherever it sits.
fn fourth_check_syn(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement> {
    if !seg.has(Control::SYN) {
        return None;
    }
    let is_acked = seg.has(Control::ACK) && tcb.is_ack_new(seg.header.ack);
    // The other half of a simultaneous open acknowledges our SYN with its own SYN again (figure 7, appendix A.2). So does the peer whose
    // handshake a forged SYN has crossed, at its own number: it has seen our SYN, and the forger need not have.
    if is_acked && !tcb.has(Flags::PASSIVE) {
        return Some(syn_sent::establish(tcb, seg, Rule::SynReceivedSynAck));
    }
    let irs: Seq = tcb.rcv_nxt - 1;
    if seg.header.seq != irs {
        // RFC 9293 would return to LISTEN, which lets anyone who guesses four numbers destroy a handshake. Linux and FreeBSD
        // challenge as well. A peer that rebooted answers with an exact RST, and its next SYN is taken.
        return Some(Rule::SynReceivedSynOther.then(Disposition::Challenge));
    }
    if seg.has(Control::ACK) && !is_acked {
        return Some(bad_ack(seg));
    }
    Some(Rule::SynReceivedSynAgain.then(Disposition::SynAckAgain))
}

/// An active open knows RCV.NXT from a bare SYN, which anybody may have sent: an acknowledgment of what was never sent is judged first, as in
/// SYN-SENT. Else a forged SYN would keep a peer with a connection from before our reboot from being reset.
fn bad_ack_at_unproven_sequence(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement> {
    let is_bad = seg.has(Control::ACK) && !tcb.is_ack_new(seg.header.ack);
    (is_bad && !tcb.has(Flags::PASSIVE)).then(|| bad_ack(seg))
}

/// Not judged by RFC 5961 §5: before synchronisation a wrong acknowledgement draws an RST (§3.5.2 group 2).
fn fifth_check_ack(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement> {
    if !seg.has(Control::ACK) {
        return Some(Rule::NoAck.then(Disposition::Drop));
    }
    if !tcb.is_ack_new(seg.header.ack) {
        return Some(bad_ack(seg));
    }
    None
}

fn bad_ack(seg: &Segment<'_>) -> Judgement {
    let reset = reset::answer(seg, ResetReason::BadAckInHandshake);
    Rule::SynReceivedBadAck.then(Disposition::Reset(reset))
}

fn establish(tcb: &Tcb, seg: &Segment<'_>) -> Judgement {
    let judgement = match synchronized::acceptability(tcb, seg) {
        Acceptability::AckOnly => synchronized::zero_window(tcb, seg, Rule::AckEstablishes),
        Acceptability::Acceptable | Acceptability::Unacceptable => {
            synchronized::seventh_and_eighth_step(tcb, seg, Rule::AckEstablishes)
        }
    };
    if let Disposition::Take(take) = judgement.disposition {
        judgement.rule.then(Disposition::Take(Take { establishes: true, ..take }))
    } else {
        judgement
    }
}
