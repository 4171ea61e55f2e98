//! What to send next, and what an acknowledgment does (RFC 9293 §3.8).

use crate::connection::flags::{Due, Marks};
use crate::connection::recovery::{self, Phase};
use crate::connection::settings::Settings;
use crate::connection::slot::{Connection, Events};
use crate::connection::{loss, receive};
use crate::rules::reset;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{CloseReason, ResetReason, State};
use crate::size::{Size, saturated};
use crate::time::Millis;
use crate::wire::ecn::Codepoint;
use crate::wire::segment::Segment;
use crate::wire::seq::Seq;

/// How many probes of a closed window go unanswered at least before R2 ends the connection.
const PROBES_WITHIN_R2: u32 = 3;
/// Segments of a window that is small.
const SMALL_WINDOW: u32 = 8;

/// A segment that wants to go out. Nothing has changed yet: [`sent`] does that once it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) seq: Seq,
    /// Bytes of payload.
    pub(crate) len: u16,
    pub(crate) fin: bool,
    /// Nothing is left in the queue behind it.
    pub(crate) push: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Syn,
    SynAck,
    Ack,
    /// Payload or FIN for the first time.
    New,
    /// The front of the queue again.
    Again,
    /// One byte, or the FIN, beyond a closed window.
    Probe,
    /// Nothing, at a number the peer has had: it answers if it lives.
    KeepAlive,
    Reset(ResetReason),
}

/// The send queue seen from SND.NXT.
struct Queue {
    /// Numbers sent and not acknowledged.
    in_flight: u32,
    /// Bytes never sent.
    unsent: u32,
    /// The FIN waits for its turn.
    is_fin_due: bool,
    /// Numbers the window still admits.
    usable: u32,
}

impl Queue {
    fn of(c: &Connection) -> Queue {
        let tcb = &c.tcb;
        let in_flight = loss::flight(c);
        let is_fin_counted = in_flight > u32::from(c.tx_len);
        Queue {
            in_flight,
            unsent: u32::from(c.tx_len).saturating_sub(in_flight),
            is_fin_due: tcb.has(Flags::FIN_QUEUED) && !is_fin_counted,
            usable: u32::from(tcb.snd_wnd).saturating_sub(in_flight),
        }
    }

    fn is_waiting(&self) -> bool {
        self.unsent > 0 || self.is_fin_due
    }
}

/// Returns whether something of ours is unacknowledged or unsent.
pub(crate) fn is_waiting(c: &Connection) -> bool {
    let queue = Queue::of(c);
    queue.in_flight > 0 || queue.is_waiting()
}

/// Returns whether the connection may have a segment for [`next`]: whether window, Nagle's algorithm and the like let it go is found out when
/// its turn comes.
#[inline]
pub(crate) fn may_have_next(c: &Connection) -> bool {
    let in_flight = loss::flight(c);
    let is_unsent = in_flight < u32::from(c.tx_len) + u32::from(c.has(Flags::FIN_QUEUED));
    !c.due.is_empty() || is_unsent
}

/// Returns whether anything is queued, sent or not.
pub(crate) fn has_queue(c: &Connection) -> bool {
    c.tx_len > 0 || c.has(Flags::FIN_QUEUED)
}

/// Plans the connection's next segment.
#[inline]
pub(crate) fn next(c: &Connection) -> Option<Plan> {
    // Most segments meet a connection that has nothing to say.
    if may_have_next(c) { next_of_some(c) } else { None }
}

fn next_of_some(c: &Connection) -> Option<Plan> {
    if c.has(Due::RESET) {
        let reset = reset::abort(&c.tcb, reason_of_reset(c));
        return Some(Plan { kind: Kind::Reset(reset.reason), seq: reset.seq, len: 0, fin: false, push: false });
    }
    match c.tcb.state() {
        State::Closed | State::Listen | State::TimeWait => None,
        State::SynSent => c.has(Due::RESEND).then(|| bare(Kind::Syn, c.tcb.snd_una)),
        State::SynReceived if c.has(Due::RESEND) => Some(bare(Kind::SynAck, c.tcb.snd_una)),
        State::SynReceived => empty_ack(c, Due::CHALLENGE),
        State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait | State::Closing | State::LastAck => {
            next_synchronized(c)
        }
    }
}

fn next_synchronized(c: &Connection) -> Option<Plan> {
    // A challenge is an empty segment (§3.5.2 group 3): it does not wait for payload, nor ride on it.
    // So is the user timeout option's.
    // And a duplicate acknowledgment (RFC 5681 §2); SACK's blocks have room there.
    let ack = if c.sack.has_news(&c.reassembly) { Due::ACK_NOW } else { Due::empty() };
    empty_ack(c, Due::CHALLENGE | Due::USER_TIMEOUT_OPTION | ack)
        .or_else(|| again(c))
        .or_else(|| probe(c))
        .or_else(|| new(c))
        .or_else(|| empty_ack(c, Due::ACK_NOW))
        .or_else(|| keep_alive(c))
}

/// §3.8.4. Without a byte: some peers do not answer one that has none, but every peer of the last decades does, and one with a byte that
/// was never sent would change its stream.
fn keep_alive(c: &Connection) -> Option<Plan> {
    let is_due = cfg!(feature = "keepalive") && c.has(Due::KEEP_ALIVE);
    is_due.then(|| bare(Kind::KeepAlive, c.tcb.snd_nxt - 1))
}

/// The slot still tells why the connection ended, and so why the peer is told.
fn reason_of_reset(c: &Connection) -> ResetReason {
    match c.closed() {
        Some(CloseReason::DataLost) if c.rx_len > 0 => ResetReason::UnreadData,
        Some(CloseReason::DataLost) => ResetReason::ReceiverGone,
        Some(CloseReason::TimedOut(_)) => ResetReason::TimedOut,
        Some(CloseReason::Evicted) => ResetReason::Evicted,
        Some(
            CloseReason::PeerClosed
            | CloseReason::LocalClosed
            | CloseReason::ClosedBeforeOpen
            | CloseReason::Refused
            | CloseReason::ResetByPeer
            | CloseReason::Aborted
            | CloseReason::AddressLost,
        )
        | None => {
            if c.has(Marks::UNACCEPTED) {
                ResetReason::ListenerClosed
            } else {
                ResetReason::Aborted
            }
        }
    }
}

fn bare(kind: Kind, seq: Seq) -> Plan {
    Plan { kind, seq, len: 0, fin: false, push: false }
}

fn empty_ack(c: &Connection, due: Due) -> Option<Plan> {
    c.due.intersects(due).then(|| bare(Kind::Ack, c.tcb.snd_nxt))
}

/// What was sent before, from the front of the queue on: one segment where a loss is made good, as many as the congestion window admits after a
/// timeout (RFC 6298 §5.4, RFC 5681 §3.1).
fn again(c: &Connection) -> Option<Plan> {
    if !c.has(Due::RESEND) {
        return None;
    }
    let (in_flight, (start, gap_end)) = (loss::flight(c), c.sack.next_unsacked(c.recovery.resent.into()));
    let (tx_len, until) = (u32::from(c.tx_len), u32::from(c.recovery.until));
    let limit = if c.recovery.phase() == Phase::Timeout { until } else { in_flight };
    let payload_end = in_flight.min(tx_len).min(limit);
    // A closed window is probed with the first byte. What was in the window, and is not for want of digits, goes again (RFC 7323 §2.4).
    let room = (u32::from(c.tcb.snd_wnd) + c.tcb.scale.slack()).max(1);
    let most = u32::from(c.tcb.mss).min(room.saturating_sub(start)).min(gap_end.saturating_sub(start));
    let len = payload_end.saturating_sub(start).min(most);
    let end = start + len;
    let fin = in_flight > tx_len && end == tx_len && room > end && limit > end;
    if len == 0 && !fin || start > 0 && !may_resend(c, start, end) {
        return None;
    }
    let push = len > 0 && end == payload_end;
    Some(Plan { kind: Kind::Again, seq: c.tcb.snd_una + start, len: len as u16, fin, push })
}

/// Returns whether what was sent before may go again beyond the front. In fast recovery that is what SACK says is lost (RFC 6675 §4, NextSeg rule 1), or
/// not there while there is nothing new (rule 3).
fn may_resend(c: &Connection, start: u32, end: u32) -> bool {
    if loss::is_selective(c) {
        let is_missing = start < loss::lost_end(c) || start < c.sack.sacked_end() && new(c).is_none();
        return is_missing && loss::pipe(c) + (end - start) <= c.congestion.window();
    }
    end - c.sack.sacked_before(end) <= c.congestion.window()
}

/// §3.8.6.1: one byte beyond the window. Where the window is open but too small to be worth using, it is used now (the override
/// timeout of §3.8.6.2.1).
fn probe(c: &Connection) -> Option<Plan> {
    let queue = Queue::of(c);
    if !c.has(Due::PROBE) || !queue.is_waiting() {
        return None;
    }
    if queue.usable > 0 {
        return Some(plan_new(c, &queue));
    }
    let len = queue.unsent.min(1);
    Some(Plan { kind: Kind::Probe, seq: c.tcb.snd_nxt, len: len as u16, fin: len == 0, push: false })
}

/// Payload for the first time, if the windows, silly window avoidance and Nagle's algorithm let it (§3.7.4, §3.8.6.2.1).
fn new(c: &Connection) -> Option<Plan> {
    if !has_queue(c) {
        return None;
    }
    let queue = Queue::of(c);
    if queue.usable == 0 || !queue.is_waiting() {
        return None;
    }
    let plan = plan_new(c, &queue);
    let end = queue.in_flight + u32::from(plan.len);
    if queue.in_flight > 0 && end > loss::allowance(c) {
        return None;
    }
    (plan.len == c.tcb.mss || is_rest(c, &queue, &plan) || is_worth_sending(c, &queue, &plan)).then_some(plan)
}

/// Returns whether a short segment takes along all that is queued, and Nagle's algorithm does not ask for more first. As Minshall proposed and
/// Linux has it, only another short segment in flight holds it back, so that two whole segments and a part go out together. One that was cut short is none of
/// the application's making: a peer that holds back its acknowledgment would hold up the end of each message. Where the send buffer is full no more can come.
fn is_rest(c: &Connection, queue: &Queue, plan: &Plan) -> bool {
    let is_whole = |n: u32| n.is_multiple_of(u32::from(c.tcb.mss).max(1));
    let is_counted = || !is_whole(queue.in_flight) && !c.recovery.has(recovery::State::CUT);
    let goes = || queue.in_flight == 0 || plan.fin || !c.has(Marks::NAGLE) || is_full(c) || !is_counted();
    u32::from(plan.len) == queue.unsent && goes()
}

fn is_full(c: &Connection) -> bool {
    c.tx_len as usize >= c.buffers.tx_size()
}

/// Returns whether a short segment is as much as the window lets go, and enough (§3.8.6.2.1): half of the largest window seen, or the rest of a
/// window of few segments, which a peer with a small buffer would else have filled by half.
fn is_worth_sending(c: &Connection, queue: &Queue, plan: &Plan) -> bool {
    let (len, mss, most) = (u32::from(plan.len), u32::from(c.tcb.mss), u32::from(c.tcb.max_snd_wnd));
    let fills_small_window = most < SMALL_WINDOW * mss && len == queue.usable && len >= (most / 4).min(mss / 2);
    len > 0 && (len >= most / 2 || fills_small_window)
}

fn plan_new(c: &Connection, queue: &Queue) -> Plan {
    let len = queue.unsent.min(queue.usable).min(u32::from(c.tcb.mss));
    let is_last = len == queue.unsent;
    let fin = queue.is_fin_due && is_last && queue.usable > len;
    Plan { kind: Kind::New, seq: c.tcb.snd_nxt, len: len as u16, fin, push: is_last && len > 0 }
}

#[inline]
pub(crate) fn is_new_payload(plan: &Plan) -> bool {
    matches!(plan.kind, Kind::New) && plan.len > 0
}

/// The codepoint of a planned segment's packet: only what was never sent before, and is payload, may be marked (RFC 3168 §6.1.4 to §6.1.6). Where the SYN had
/// to be sent again it may be because it asked for that.
#[inline]
pub(crate) fn codepoint(c: &Connection, plan: &Plan) -> Codepoint {
    let is_capable = c.ecn.is_capable() && (c.has(Flags::PASSIVE) || !c.has(Flags::SYN_RESENT));
    if is_capable && is_new_payload(plan) { Codepoint::ECT } else { Codepoint::NOT_ECT }
}

/// Brings the record up to date after a planned segment was written.
pub(crate) fn sent(c: &mut Connection, plan: &Plan, now: Millis, settings: &Settings) {
    match plan.kind {
        Kind::Reset(_) => {
            c.clear(Due::RESET);
            return;
        }
        Kind::Syn => sent_syn(c, now, settings),
        Kind::SynAck => {
            sent_syn(c, now, settings);
            receive::acknowledged(c);
        }
        Kind::Ack => {
            c.clear(Due::USER_TIMEOUT_OPTION);
            receive::acknowledged(c);
        }
        // Its ACK and window are not news: the peer need not read them in a segment that it cannot accept.
        Kind::KeepAlive => c.clear(Due::KEEP_ALIVE),
        Kind::New => sent_new(c, plan, now, settings),
        Kind::Again => {
            let start = plan.seq.since(c.tcb.snd_una);
            c.rtt.cancel();
            loss::sent_again(c, start + u32::from(plan.len) + u32::from(plan.fin));
            drop_resend_if_none(c);
            receive::acknowledged(c);
        }
        Kind::Probe => {
            c.clear(Due::PROBE);
            c.set(Flags::PROBE_OUT);
            c.tcb.flags.set(Flags::FIN_OUT, c.has(Flags::FIN_OUT) || plan.fin);
            receive::acknowledged(c);
        }
    }
    update_persist_timer(c, now, settings);
}

/// Nothing is due of which nothing can be sent.
fn drop_resend_if_none(c: &mut Connection) {
    c.due.set(Due::RESEND, again(c).is_some());
}

fn sent_syn(c: &mut Connection, now: Millis, settings: &Settings) {
    c.clear(Due::RESEND);
    if c.tcb.snd_nxt == c.tcb.snd_una {
        c.tcb.snd_nxt += 1;
        c.rtt.start(1, now);
        arm_retransmission(c, now, settings);
    }
}

fn sent_new(c: &mut Connection, plan: &Plan, now: Millis, settings: &Settings) {
    let was_idle = c.tcb.snd_nxt == c.tcb.snd_una;
    let n = u32::from(plan.len) + u32::from(plan.fin);
    // It was queued just now, and is too short for its tail to be probed.
    let is_timed = c.has(Marks::REXMIT) && c.since == now && n <= u32::from(c.tcb.mss);
    if 0 < plan.len && plan.len < c.tcb.mss {
        c.recovery.set(recovery::State::CUT, !plan.push || is_full(c));
    }
    c.tcb.snd_nxt += n;
    c.clear(Due::PROBE);
    c.clear(Flags::PROBE_OUT);
    c.clear(Marks::PERSIST);
    c.tcb.flags.set(Flags::FIN_OUT, c.has(Flags::FIN_OUT) || plan.fin);
    c.rtt.start(c.tcb.snd_nxt.since(c.tcb.snd_una), now);
    if plan.len > 0 {
        c.ecn.sent_new();
    }
    if was_idle {
        if !is_timed {
            c.heard_at = now;
            c.made_progress(now);
            arm_retransmission(c, now, settings);
        }
    } else if !c.recovery.has(recovery::State::PROBE_ARMED) && loss::probe_ms(c, first_rto_ms(c, settings)).is_some() {
        arm_retransmission(c, now, settings);
    }
    if loss::is_selective(c) {
        // Where that was the last of it, what is not there is sent again (RFC 6675 §4, NextSeg rule 3).
        c.set(Due::RESEND);
        drop_resend_if_none(c);
    }
    receive::acknowledged(c);
}

/// The timeout as it stands now (RFC 6298). Probes of a closed window are spaced by how many there were: what waits there is no sign of
/// a slow path, and must not outlast the window's opening.
#[inline]
pub(crate) fn rto_ms(c: &Connection, settings: &Settings) -> u32 {
    if !is_probing(c) {
        return rto_after(c, c.backoff, settings);
    }
    // After long probing a single lost answer must not end the connection.
    let mut most = (r2_ms(c, settings) / PROBES_WITHIN_R2).max(1);
    if c.has(Marks::USER_TIMEOUT) && c.has(Flags::APP_GONE) {
        // Nobody waits for it: a short user timeout hurries no probes.
        most = most.max(first_rto_ms(c, settings));
    }
    rto_after(c, c.retries, settings).min(most)
}

/// Returns whether what is sent again asks for a window, rather than replaces what was lost.
#[inline]
pub(crate) fn is_probing(c: &Connection) -> bool {
    c.has(Marks::PERSIST) || is_window_closed(c)
}

#[inline]
fn is_window_closed(c: &Connection) -> bool {
    c.tcb.snd_wnd == 0 && c.tcb.state().is_synchronized()
}

/// The timeout without backoff.
pub(crate) fn first_rto_ms(c: &Connection, settings: &Settings) -> u32 {
    rto_after(c, 0, settings)
}

fn rto_after(c: &Connection, retries: u8, settings: &Settings) -> u32 {
    let syn_was_lost = c.has(Flags::SYN_RESENT) && c.tcb.state().is_synchronized();
    c.rtt.rto(retries, syn_was_lost, settings.rto_min_ms, settings.rto_max_ms)
}

/// R2 in force: how long without progress before the connection is given up.
#[inline]
pub(crate) fn r2_ms(c: &Connection, settings: &Settings) -> u32 {
    if c.tcb.state().is_synchronized() { c.patience_ms() } else { settings.connect_ms }
}

/// Returns whether the connection must make progress to live. With the window closed it is enough that the peer answers (MUST-37). Not
/// where it has opened the window, taken nothing of what is in flight, and closed it again: only a peer that shrinks its window can, and
/// it could hold the connection for ever.
#[inline]
pub(crate) fn counts_progress(c: &Connection) -> bool {
    let is_flapping = c.has(Marks::REOPENED) && c.tcb.snd_nxt != c.tcb.snd_una;
    (!is_window_closed(c) || is_flapping) && !c.has(Marks::PERSIST)
}

/// Since when R2 counts. With the window open that is the last progress; with the window closed, or without an application, the last time the
/// peer was heard: such a connection is never ended by R2 for making no progress (MUST-37).
#[inline]
pub(crate) fn silent_since(c: &Connection) -> Millis {
    if counts_progress(c) && !c.has(Flags::APP_GONE) { c.since } else { c.heard_at }
}

pub(crate) fn arm_retransmission(c: &mut Connection, now: Millis, settings: &Settings) {
    // R2 is over: the time of the last attempt runs, also where it is the first that the device or the next hop lets out.
    if c.has(Marks::LAST_TRY | Marks::REXMIT) && !c.rexmit_at.is_reached(now) {
        return;
    }
    c.set(Marks::REXMIT);
    let rto_ms = rto_ms(c, settings);
    let probe_ms = loss::probe_ms(c, rto_ms);
    c.recovery.set(recovery::State::PROBE_ARMED, probe_ms.is_some());
    c.rexmit_at = now.after(probe_ms.unwrap_or(rto_ms));
    bound_by_r2(c, settings);
}

/// Sees that a long backoff does not overshoot R2. A user timeout is a limit of its own.
#[inline]
pub(crate) fn bound_by_r2(c: &mut Connection, settings: &Settings) {
    if c.has(Marks::REXMIT) && !c.has(Marks::LAST_TRY) && is_ended_by_r2(c) {
        c.rexmit_at = c.rexmit_at.earlier(silent_since(c).after(r2_ms(c, settings)));
    }
}

/// Returns whether R2 ends the connection: a user timeout takes its place while there is a user, but not that of the time an active open has.
/// Without one it is R2 for a peer that is silent.
pub(crate) fn is_ended_by_r2(c: &Connection) -> bool {
    !c.has(Marks::USER_TIMEOUT) || c.has(Flags::APP_GONE) || !c.tcb.state().is_synchronized()
}

/// Processes a believable acknowledgment (§3.10.7.4 fifth): the queue, the window, the timers.
pub(crate) fn process_ack(c: &mut Connection, seg: &Segment<'_>, now: Millis, settings: &Settings) {
    let ack = seg.header.ack;
    c.heard_at = now;
    c.forget_keep_alive();
    let is_new = c.tcb.is_ack_new(ack);
    // With the window open only progress counts, or a peer that repeats itself would hold the connection for ever.
    if c.marks.intersects(Marks::LAST_TRY | Marks::DOUBTED) && (is_new || !counts_progress(c)) {
        c.clear(Marks::LAST_TRY | Marks::DOUBTED);
    }
    if ack.ge(c.tcb.snd_una) && c.ecn.is_news_in(seg.header.control, ack.since(c.tcb.snd_una)) {
        loss::reduce_for_mark(c);
    }
    // Before the window, which this segment may move.
    let has_news = if is_new { advance_una(c, seg, now, settings) } else { loss::is_duplicate(c, seg) };
    if ack.ge(c.tcb.snd_una) {
        let was_closed = c.tcb.snd_wnd == 0;
        update_window(c, seg);
        if was_closed && c.tcb.snd_wnd > 0 {
            window_opened(c, now, settings);
        }
    }
    if c.tcb.snd_nxt != c.tcb.snd_una {
        if has_news {
            judge_duplicate(c, now, settings);
        }
        if c.has(Due::RESEND) || loss::has_many_to_resend(c) {
            c.set(Due::RESEND);
            drop_resend_if_none(c);
        }
    }
    update_persist_timer(c, now, settings);
}

fn judge_duplicate(c: &mut Connection, now: Millis, settings: &Settings) {
    loss::count_duplicate(c);
    let is_sending = new(c).is_some();
    if loss::do_duplicates_mean_loss(c, is_sending) {
        // What is sent again is given its whole time.
        arm_retransmission(c, now, settings);
    }
}

/// What was in flight when the window closed has had no chance since: its time starts now, once until it makes progress. A user timeout
/// counts on: it covers closed windows too.
fn window_opened(c: &mut Connection, now: Millis, settings: &Settings) {
    if c.tcb.snd_nxt == c.tcb.snd_una {
        return;
    }
    if !c.has(Marks::REOPENED) && !c.has(Marks::USER_TIMEOUT) {
        c.made_progress(now);
        c.set(Marks::REOPENED);
    }
    c.retries = 0;
    arm_retransmission(c, now, settings);
}

fn advance_una(c: &mut Connection, seg: &Segment<'_>, now: Millis, settings: &Settings) -> bool {
    let ack = seg.header.ack;
    let (n, flight) = (ack.since(c.tcb.snd_una), loss::flight(c));
    let bytes = n.min(u32::from(c.tx_len)) as Size;
    c.tx_len -= bytes;
    c.tcb.snd_una = ack;
    // The window's right edge stays where the peer put it: this segment may be older than the one that did (WL1), and then
    // nothing else corrects SND.WND. Deviates from §3.10.7.4, where SND.WND would stay and the edge move right with SND.UNA, into
    // numbers the peer never offered; the BSDs count as we do.
    c.tcb.snd_wnd = u32::from(c.tcb.snd_wnd).saturating_sub(n) as Size;
    if ack.gt(c.tcb.snd_nxt) {
        // The peer took the byte that probed its window.
        c.tcb.snd_nxt = ack;
        c.clear(Flags::PROBE_OUT);
    }
    c.sack.acknowledged(n);
    let has_news = loss::update_scoreboard(c, seg);
    if bytes > 0 {
        c.moved(now);
        if c.has_reader() {
            c.events.insert(Events::WRITABLE);
        }
    }
    // What was sent again is timed by its echo alone (RFC 7323 §4); whatever else once for each round trip, by our clock.
    let echoed_ms = if c.backoff > 0 || !c.recovery.is_open() { c.tcb.stamps.round_trip_ms(seg, now) } else { None };
    if c.rtt.acked(n, now, echoed_ms) {
        c.backoff = 0;
        c.recovery.set(recovery::State::PROBE_SPENT, false);
    }
    let is_late = c.recovery.phase() == Phase::Probing && is_before_answer(c, now, settings);
    loss::progressed(c, n, flight, is_late, now);
    c.made_progress(now);
    if c.tcb.snd_nxt == c.tcb.snd_una {
        c.clear(Marks::REXMIT | Marks::PERSIST);
        c.clear(Due::PROBE | Due::RESEND);
    } else {
        arm_retransmission(c, now, settings);
    }
    has_news
}

/// Returns whether a tail loss probe was sent so short a while ago that it has drawn no answer yet.
#[cold]
fn is_before_answer(c: &Connection, now: Millis, settings: &Settings) -> bool {
    // The timer was armed when the probe was due.
    let waited = rto_ms(c, settings).saturating_sub(c.rexmit_at.left(now));
    2 * waited < c.rtt.smoothed_ms().unwrap_or(0)
}

/// WL1 keeps an old segment from bringing back an old window. What §3.10.7.4 asks of WL2 holds by itself: no segment comes here that acknowledges less than
/// SND.UNA, and WL2 would never be more.
fn update_window(c: &mut Connection, seg: &Segment<'_>) {
    if c.tcb.snd_wl1.le(seg.header.seq) {
        take_window(c, seg);
        c.tcb.snd_wl1 = seg.header.seq;
    }
}

/// SND.WND as the segment says it, and MAX.SND.WND with it: no more than can be out, or a scaled window would make a quarter of all acknowledgments believable
/// (RFC 5961 §5.2).
pub(crate) fn take_window(c: &mut Connection, seg: &Segment<'_>) {
    let most_out = saturated((c.buffers.tx_size() as u32).max(u16::MAX.into()));
    let tcb = &mut c.tcb;
    tcb.snd_wnd = tcb.scale.offered_in(&seg.header);
    tcb.max_snd_wnd = tcb.max_snd_wnd.max(tcb.snd_wnd).min(most_out);
}

/// Starts probing when something waits and nothing in flight will bring an answer, and stops when that is over. What waits for the device
/// alone is timed too: one that takes nothing must not hold the connection for ever.
#[inline]
pub(crate) fn update_persist_timer(c: &mut Connection, now: Millis, settings: &Settings) {
    let is_in_flight = c.tcb.snd_nxt != c.tcb.snd_una;
    if has_queue(c) && !is_in_flight || c.has(Marks::PERSIST) {
        update_persist_timer_of_queue(c, now, settings);
    }
}

fn update_persist_timer_of_queue(c: &mut Connection, now: Millis, settings: &Settings) {
    let queue = Queue::of(c);
    // A user timeout counts from the beginning of the wait, however the window moves meanwhile.
    let goes_on = c.has(Marks::REXMIT | Marks::USER_TIMEOUT);
    let is_synchronized = c.tcb.state().is_synchronized() && c.tcb.state() != State::TimeWait;
    // With nothing in flight, and room for all that is queued, it goes.
    let may_be_stuck = is_synchronized && queue.in_flight == 0 && queue.usable <= queue.unsent;
    let is_stuck = may_be_stuck && queue.is_waiting() && new(c).is_none();
    if is_stuck && !c.has(Marks::PERSIST) {
        begin_to_wait(c, now, goes_on, settings);
        c.set(Marks::PERSIST);
        arm_retransmission(c, now, settings);
        return;
    }
    if !is_stuck && c.has(Marks::PERSIST) {
        c.clear(Marks::PERSIST | Marks::REXMIT);
        c.clear(Due::PROBE);
        c.retries = 0;
    }
    let waits_for_device = is_synchronized && queue.in_flight == 0 && queue.is_waiting();
    if waits_for_device && !c.has(Marks::REXMIT) {
        begin_to_wait(c, now, goes_on, settings);
        arm_retransmission(c, now, settings);
    }
}

/// What waits begins to wait now, unless it only waits for something else than before.
fn begin_to_wait(c: &mut Connection, now: Millis, goes_on: bool, settings: &Settings) {
    // Without an application only its close counts there.
    let idle_since = if c.has(Flags::APP_GONE) { c.heard_at } else { c.since };
    let idle_ms = now.since(idle_since);
    if idle_ms >= settings.rto_min_ms && idle_ms >= first_rto_ms(c, settings) {
        c.congestion.restart(c.tcb.mss);
    }
    if goes_on {
        c.retries = 0;
    } else {
        c.made_progress(now);
    }
    c.heard_at = now;
}
