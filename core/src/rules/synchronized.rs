//! The synchronized states (§3.10.7.4), except TIME-WAIT.

use crate::config::RstPolicy;
use crate::rules::judgement::{Accepted, Answer, ForConnection, Judgement, Span};
use crate::rules::tcb::{Flags, Tcb};
use crate::rules::timestamps;
use crate::rules::verdict::{CloseReason, Rule, State};
use crate::size::{Size, saturated};
use crate::wire::segment::{Control, Header, Segment};
use crate::wire::seq::Seq;

#[inline(never)]
pub(crate) fn judge(tcb: &Tcb, seg: &Segment<'_>, policy: RstPolicy) -> Judgement<ForConnection> {
    second_check_rst(tcb, seg, policy)
        .or_else(|| fourth_check_syn(seg).map(Judgement::widen))
        .or_else(|| first_check(tcb, seg))
        .or_else(|| fifth_check_ack(tcb, seg).map(Judgement::widen))
        .unwrap_or_else(|| accept(tcb, seg).widen())
}

/// Returns the rule for what nearly every segment is: an ACK, or payload in order, on an established connection where nothing is out of the
/// ordinary. `None`: [`judge`] must. Where there is a rule, that one judges the same, see [`expected`].
#[inline]
pub(crate) fn predict(tcb: &Tcb, seg: &Segment<'_>) -> Option<Rule> {
    let Header { seq, ack, control, .. } = seg.header;
    let is_plain = control.union(Control::PSH) == Control::ACK.union(Control::PSH);
    let extraordinary = Flags::PROBE_OUT | Flags::APP_GONE | Flags::FIN_HELD;
    let is_ordinary = tcb.state() == State::Established && !tcb.flags.intersects(extraordinary);
    let is_ack_of_flight = ack.since(tcb.snd_una) <= tcb.snd_nxt.since(tcb.snd_una);
    let is_admitted = seg.payload.len() <= tcb.rcv_wnd as usize;
    let is_expected = seq == tcb.rcv_nxt && is_ack_of_flight && is_admitted && !tcb.stamps.has_old(seg);
    if !(is_plain && is_ordinary && is_expected) {
        return None;
    }
    Some(if seg.payload.is_empty() { Rule::AckAccepted } else { Rule::PayloadInOrder })
}

/// Returns the judgement that [`judge`] gives for a predicted segment.
pub(crate) fn expected(rule: Rule, seg: &Segment<'_>) -> Judgement<ForConnection> {
    let payload = Span { skip: 0, len: seg.payload.len() as u16, offset: 0 };
    rule.then(Accepted { ack: true, payload, ..Accepted::default() })
}

fn accept(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<Accepted> {
    match acceptability(tcb, seg) {
        Acceptability::AckOnly => at_closed_window(tcb, seg),
        Acceptability::Acceptable | Acceptability::Unacceptable => {
            seventh_and_eighth_step(tcb, seg, rule_of_ack(tcb, seg))
        }
    }
}

/// The answer to table 6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Acceptability {
    Acceptable,
    /// The window is closed and the segment sits at its edge: only its ACK may be processed.
    AckOnly,
    Unacceptable,
}

/// Table 6 of §3.10.7.4. The right edge is outside.
pub(crate) fn acceptability(tcb: &Tcb, seg: &Segment<'_>) -> Acceptability {
    let wnd = u32::from(tcb.rcv_wnd);
    let len = seg.len();
    let starts_inside = seg.header.seq.is_in_window(tcb.rcv_nxt, wnd);
    let is_acceptable = match (len, wnd) {
        (0, 0) => seg.header.seq == tcb.rcv_nxt,
        (0, _) => starts_inside,
        (_, 0) => return closed_window(tcb, seg),
        (_, _) => starts_inside || (seg.header.seq + (len - 1)).is_in_window(tcb.rcv_nxt, wnd),
    };
    if is_acceptable { Acceptability::Acceptable } else { Acceptability::Unacceptable }
}

/// A peer that sends into a closed window, usually to probe it, must still get its acknowledgments through.
fn closed_window(tcb: &Tcb, seg: &Segment<'_>) -> Acceptability {
    if seg.header.seq == tcb.rcv_nxt { Acceptability::AckOnly } else { Acceptability::Unacceptable }
}

/// Sequence number and timestamp. Two kinds of empty ACKs are taken from where nothing else is.
fn first_check(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<ForConnection>> {
    let exception = probes_crossed(tcb, seg).or_else(|| ack_at_right_edge(tcb, seg));
    let refused = if exception.is_none() { first_check_sequence(tcb, seg) } else { None };
    let refused = refused.or_else(|| timestamps::check(tcb, seg)).map(Judgement::widen);
    refused.or_else(|| exception.map(Judgement::widen))
}

/// Appendix A.2, simultaneous window probes. A probe's byte is not counted in SND.NXT, so once both ends have taken the other's, each
/// one's empty ACKs sit one number behind the other's RCV.NXT: judged by table 6 they would be answered for ever and never
/// read. Only the peer knows both numbers.
fn probes_crossed(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<Accepted>> {
    let is_empty_ack = seg.is_empty() && seg.has(Control::ACK);
    let is_one_behind = seg.header.seq == tcb.rcv_nxt - 1;
    if !(tcb.has(Flags::PROBE_OUT) && is_empty_ack && is_one_behind && seg.header.ack == tcb.highest_sent()) {
        return None;
    }
    Some(Rule::ProbesCrossed.then(Accepted { ack: true, ack_now: true, ..Accepted::default() }))
}

/// A peer whose whole window was lost sends its empty ACKs from the right edge. Each of two such peers would answer the other's like any
/// unacceptable segment, and neither would read them. Linux and the BSDs take them too.
fn ack_at_right_edge(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<Accepted>> {
    let is_at_edge = tcb.rcv_wnd > 0 && seg.header.seq == tcb.rcv_nxt + u32::from(tcb.rcv_wnd);
    let is_empty_ack = seg.is_empty() && seg.has(Control::ACK);
    if !(is_at_edge && is_empty_ack && tcb.is_ack_believable(seg.header.ack)) {
        return None;
    }
    let rule = if is_fin_acked(tcb, seg.header.ack) { Rule::AckOfFin } else { Rule::AckAtRightEdge };
    Some(rule.then(Accepted { ack: true, ..Accepted::default() }))
}

/// RST and SYN never come here: the RST is judged by its own number alone, the SYN wherever its number lies.
pub(crate) fn first_check_sequence(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<Answer>> {
    match acceptability(tcb, seg) {
        Acceptability::Acceptable | Acceptability::AckOnly => None,
        Acceptability::Unacceptable => Some(unacceptable(tcb, seg)),
    }
}

/// Answers to window probes, keepalives and repeated payload are not limited when they carry an acknowledgment only the
/// peer is likely to know: an attacker could otherwise spend the quota, and the peer would believe us dead.
pub(crate) fn unacceptable(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<Answer> {
    let asks = !seg.payload.is_empty() || seg.header.seq == tcb.rcv_nxt - 1;
    let knows = seg.has(Control::ACK) && tcb.is_ack_acceptable(seg.header.ack);
    Rule::SeqUnacceptable.then(Answer::Acknowledge { limited: !(asks && knows) })
}

/// RFC 5961 §3.2: only the one exact number is believed, since a blind attacker finds a window much sooner.
fn second_check_rst(tcb: &Tcb, seg: &Segment<'_>, policy: RstPolicy) -> Option<Judgement<ForConnection>> {
    if !seg.has(Control::RST) {
        return None;
    }
    let seq = seg.header.seq;
    let ended = ForConnection::End(CloseReason::ResetByPeer);
    if seq == tcb.rcv_nxt {
        return Some(rule_of_exact_rst(tcb.state()).then(ended));
    }
    if policy.at_last_ack_sent && tcb.rcv_unacked > 0 && seq == tcb.rcv_nxt - u32::from(tcb.rcv_unacked) {
        return Some(Rule::RstAtLastAckSent.then(ended));
    }
    if policy.before_fin && tcb.has(Flags::PEER_FIN) && seq == tcb.rcv_nxt - 1 {
        return Some(Rule::RstBeforeFin.then(ended));
    }
    Some(rst_not_exact(tcb, seg).widen())
}

fn rule_of_exact_rst(state: State) -> Rule {
    match state {
        State::Closing | State::LastAck => Rule::RstExactClosing,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::TimeWait => Rule::RstExact,
    }
}

/// Where a peer that has lost touch may stand, it is asked: if it meant it, its answer to our ACK is exact. That is the window (RFC 5961
/// §3.2), its right edge, and the number before it; SND.NXT counts no window probe, so a peer whose probe was taken stands there until it
/// hears so. Elsewhere nothing is worth saying.
pub(crate) fn rst_not_exact(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<Answer> {
    let (seq, wnd) = (seg.header.seq, u32::from(tcb.rcv_wnd));
    let rule = if seq.is_in_window(tcb.rcv_nxt, wnd) {
        Rule::RstInWindow
    } else if seq == tcb.rcv_nxt + wnd {
        Rule::RstAtRightEdge
    } else if seq == tcb.rcv_nxt - 1 {
        Rule::RstBeforeNext
    } else {
        return Rule::RstOutOfWindow.then(Answer::Drop);
    };
    rule.then(Answer::Challenge)
}

/// RFC 5961 §4.2. A peer that rebooted resets us when it sees the ACK, and its next SYN finds no connection.
fn fourth_check_syn(seg: &Segment<'_>) -> Option<Judgement<Answer>> {
    seg.has(Control::SYN).then(|| Rule::SynSynchronized.then(Answer::Challenge))
}

/// RFC 5961 §5.2: payload is taken only from someone who knows roughly what we have sent.
#[inline(never)]
fn fifth_check_ack(tcb: &Tcb, seg: &Segment<'_>) -> Option<Judgement<Answer>> {
    if !seg.has(Control::ACK) {
        return Some(Rule::NoAck.then(Answer::Drop));
    }
    if !tcb.is_ack_believable(seg.header.ack) {
        return Some(Rule::AckUnacceptable.then(Answer::Challenge));
    }
    None
}

/// The name of a segment that only acknowledges.
fn rule_of_ack(tcb: &Tcb, seg: &Segment<'_>) -> Rule {
    if is_fin_acked(tcb, seg.header.ack) { Rule::AckOfFin } else { Rule::AckAccepted }
}

/// Returns whether `ack` is the first to cover our FIN. In these states a FIN that is out is the last number sent.
pub(crate) fn is_fin_acked(tcb: &Tcb, ack: Seq) -> bool {
    match tcb.state() {
        State::FinWait1 | State::Closing | State::LastAck => {
            tcb.has(Flags::FIN_OUT) && tcb.is_ack_new(ack) && ack == tcb.highest_sent()
        }
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait2
        | State::CloseWait
        | State::TimeWait => false,
    }
}

/// Where both sides have sent FIN the acknowledgment of ours ends the matter, window or not.
fn at_closed_window(tcb: &Tcb, seg: &Segment<'_>) -> Judgement<Accepted> {
    let is_last = matches!(tcb.state(), State::Closing | State::LastAck) && is_fin_acked(tcb, seg.header.ack);
    if is_last {
        return Rule::AckOfFin.then(Accepted { ack: true, ..Accepted::default() });
    }
    zero_window(tcb, seg, Rule::AckAccepted)
}

/// Payload has no room. A FIN alone needs none: left out, a peer that has filled our buffer and closed could never finish, however often its
/// payload is acknowledged. Linux takes it too.
pub(crate) fn zero_window(tcb: &Tcb, seg: &Segment<'_>, ack_rule: Rule) -> Judgement<Accepted> {
    if seg.payload.is_empty() {
        return seventh_and_eighth_step(tcb, seg, ack_rule);
    }
    Rule::ZeroWindow.then(Accepted { ack: true, ack_now: true, ..Accepted::default() })
}

/// Payload and FIN. `ack_rule` names the segment if it has neither. URG, the sixth step, moves no number and no buffer: its
/// pointer has broken many stacks, and the standard no longer wants applications to use it (RFC 6093).
pub(crate) fn seventh_and_eighth_step(tcb: &Tcb, seg: &Segment<'_>, ack_rule: Rule) -> Judgement<Accepted> {
    let ack = Accepted { ack: true, ..Accepted::default() };
    if seg.is_empty() {
        return ack_rule.then(ack);
    }
    match tcb.state() {
        State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 => {}
        State::Closed
        | State::Listen
        | State::SynSent
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => {
            let rule = if ack_rule == Rule::AckOfFin { ack_rule } else { Rule::AfterFin };
            // §3.10.7.4 eighth: a FIN is acknowledged in these states too.
            return rule.then(Accepted { ack_now: seg.has(Control::FIN), ..ack });
        }
    }
    let payload = admitted_payload(tcb.rcv_nxt, tcb.rcv_wnd, seg);
    if payload.len > 0 && tcb.has(Flags::APP_GONE) {
        return Rule::PayloadReceiverGone.then(Accepted { receiver_gone: true, ..ack });
    }
    let fin = admitted_fin(tcb.rcv_nxt, tcb.rcv_wnd, seg);
    let is_in_order = payload.offset == 0;
    let rule = match fin {
        Some(_) if is_in_order => Rule::FinInOrder,
        Some(_) => Rule::FinOutOfOrder,
        None if is_in_order => Rule::PayloadInOrder,
        None => Rule::PayloadOutOfOrder,
    };
    rule.then(Accepted { payload, fin, ack_now: fin.is_some() || !is_in_order, ..ack })
}

/// Trims the payload to the window: what lies before RCV.NXT was had already, what lies beyond the edge was not allowed.
pub(crate) fn admitted_payload(rcv_nxt: Seq, rcv_wnd: Size, seg: &Segment<'_>) -> Span {
    let start = seg.payload_seq();
    let skip = if start.lt(rcv_nxt) { rcv_nxt.since(start) } else { 0 };
    let offset = (start + skip).since(rcv_nxt);
    let len = (seg.payload.len() as u32).saturating_sub(skip);
    let room = u32::from(rcv_wnd).saturating_sub(offset);
    // Each is bounded by the window or by a payload that an IP packet can carry.
    Span { skip: saturated(skip), len: len.min(room) as u16, offset: saturated(offset) }
}

/// The FIN's distance from RCV.NXT, if it lies within the window or right behind it, where it needs no room.
pub(crate) fn admitted_fin(rcv_nxt: Seq, rcv_wnd: Size, seg: &Segment<'_>) -> Option<Size> {
    if !seg.has(Control::FIN) {
        return None;
    }
    let at = seg.payload_seq() + seg.payload.len() as u32;
    at.is_in_window(rcv_nxt, u32::from(rcv_wnd) + 1).then(|| at.since(rcv_nxt) as Size)
}
