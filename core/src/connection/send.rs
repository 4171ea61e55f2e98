//! What to send next, and what an acknowledgment does (RFC 9293 §3.8).

use crate::connection::flags::{Due, Marks};
use crate::connection::receive;
use crate::connection::settings::Settings;
use crate::connection::slot::{Connection, Events};
use crate::rules::reset;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{CloseReason, ResetReason, State};
use crate::time::Millis;
use crate::wire::segment::Segment;
use crate::wire::seq::Seq;

/// How many probes of a closed window go unanswered at least before R2 ends the connection.
const PROBES_WITHIN_R2: u32 = 3;

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
        let in_flight = tcb.snd_nxt.since(tcb.snd_una);
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
    let in_flight = c.tcb.snd_nxt.since(c.tcb.snd_una);
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
    empty_ack(c, Due::CHALLENGE | Due::USER_TIMEOUT_OPTION)
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

/// The front of the queue (RFC 6298 §5.4): one segment for each expiration, then one for each acknowledgment until all that was
/// out at the expiration has arrived.
fn again(c: &Connection) -> Option<Plan> {
    if !c.has(Due::RESEND) {
        return None;
    }
    let in_flight = Queue::of(c).in_flight;
    let payload = in_flight.min(u32::from(c.tx_len));
    // A closed window is probed with the first byte.
    let room = u32::from(c.tcb.snd_wnd).max(1);
    let len = payload.min(u32::from(c.tcb.mss)).min(room);
    let fin = in_flight > payload && len == payload && room > len;
    if len == 0 && !fin {
        return None;
    }
    Some(Plan { kind: Kind::Again, seq: c.tcb.snd_una, len: len as u16, fin, push: len > 0 && len == payload })
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

/// Payload for the first time, if the window, silly window avoidance and Nagle's algorithm let it (§3.7.4, §3.8.6.2.1).
fn new(c: &Connection) -> Option<Plan> {
    if !has_queue(c) {
        return None;
    }
    let queue = Queue::of(c);
    // After a loss nothing new is added before the old has arrived.
    if c.recovering > 0 || queue.usable == 0 || !queue.is_waiting() {
        return None;
    }
    let plan = plan_new(c, &queue);
    let len = u32::from(plan.len);
    let is_full = plan.len == c.tcb.mss;
    let is_rest = len == queue.unsent && (plan.fin || queue.in_flight == 0 || !c.has(Marks::NAGLE));
    let is_half = len > 0 && len >= u32::from(c.tcb.max_snd_wnd) / 2;
    (is_full || is_rest || is_half).then_some(plan)
}

fn plan_new(c: &Connection, queue: &Queue) -> Plan {
    let len = queue.unsent.min(queue.usable).min(u32::from(c.tcb.mss));
    let is_last = len == queue.unsent;
    let fin = queue.is_fin_due && is_last && queue.usable > len;
    Plan { kind: Kind::New, seq: c.tcb.snd_nxt, len: len as u16, fin, push: is_last && len > 0 }
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
            c.clear(Due::RESEND);
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
    c.tcb.snd_nxt += u32::from(plan.len) + u32::from(plan.fin);
    c.clear(Due::PROBE);
    c.clear(Flags::PROBE_OUT);
    c.clear(Marks::PERSIST);
    c.tcb.flags.set(Flags::FIN_OUT, c.has(Flags::FIN_OUT) || plan.fin);
    c.rtt.start(c.tcb.snd_nxt.since(c.tcb.snd_una), now);
    if was_idle {
        c.heard_at = now;
        c.made_progress(now);
        arm_retransmission(c, now, settings);
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
    c.rexmit_at = now.after(rto_ms(c, settings));
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
    if is_new {
        advance_una(c, ack, now, settings);
    }
    if ack.ge(c.tcb.snd_una) {
        let was_closed = c.tcb.snd_wnd == 0;
        update_window(c, seg);
        if was_closed && c.tcb.snd_wnd > 0 {
            window_opened(c, now, settings);
        }
    }
    update_persist_timer(c, now, settings);
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

fn advance_una(c: &mut Connection, ack: Seq, now: Millis, settings: &Settings) {
    let n = ack.since(c.tcb.snd_una);
    let bytes = n.min(u32::from(c.tx_len)) as u16;
    c.tx_len -= bytes;
    c.tcb.snd_una = ack;
    // The window's right edge stays where the peer put it: this segment may be older than the one that did (WL1), and then
    // nothing else corrects SND.WND. Deviates from §3.10.7.4, where SND.WND would stay and the edge move right with SND.UNA, into
    // numbers the peer never offered; the BSDs count as we do.
    c.tcb.snd_wnd = u32::from(c.tcb.snd_wnd).saturating_sub(n) as u16;
    if ack.gt(c.tcb.snd_nxt) {
        // The peer took the byte that probed its window.
        c.tcb.snd_nxt = ack;
        c.clear(Flags::PROBE_OUT);
    }
    if bytes > 0 {
        c.moved(now);
        if c.has_reader() {
            c.events.insert(Events::WRITABLE);
        }
    }
    if c.rtt.acked(n, now) {
        c.backoff = 0;
    }
    c.recovering = u32::from(c.recovering).saturating_sub(n) as u16;
    c.made_progress(now);
    c.due.set(Due::RESEND, c.recovering > 0);
    if c.tcb.snd_nxt == c.tcb.snd_una {
        c.clear(Marks::REXMIT | Marks::PERSIST);
        c.clear(Due::PROBE);
    } else {
        arm_retransmission(c, now, settings);
    }
}

/// WL1 and WL2 keep an old segment from bringing back an old window.
fn update_window(c: &mut Connection, seg: &Segment<'_>) {
    let tcb = &mut c.tcb;
    let (seq, ack) = (seg.header.seq, seg.header.ack);
    if tcb.snd_wl1.lt(seq) || (tcb.snd_wl1 == seq && tcb.snd_wl2.le(ack)) {
        tcb.snd_wnd = seg.header.wnd;
        tcb.max_snd_wnd = tcb.max_snd_wnd.max(seg.header.wnd);
        tcb.snd_wl1 = seq;
        tcb.snd_wl2 = ack;
    }
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
    let is_stuck = is_synchronized && queue.in_flight == 0 && queue.is_waiting() && new(c).is_none();
    if is_stuck && !c.has(Marks::PERSIST) {
        begin_to_wait(c, now, goes_on);
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
        begin_to_wait(c, now, goes_on);
        arm_retransmission(c, now, settings);
    }
}

/// What waits begins to wait now, unless it only waits for something else than before.
fn begin_to_wait(c: &mut Connection, now: Millis, goes_on: bool) {
    if goes_on {
        c.retries = 0;
    } else {
        c.made_progress(now);
    }
    c.heard_at = now;
}
