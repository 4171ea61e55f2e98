//! Half-open and TIME-WAIT records: made, judged by the same rules as connections, completed, ended.

use crate::connection::flags::Marks;
use crate::connection::settings::Stream;
use crate::connection::slot::{Connection, Owner};
use crate::counters::count;
use crate::engine::arriving::Arriving;
use crate::engine::dispatch::{grant, grant_answer};
use crate::engine::replies::{REPLIES, Reply};
use crate::engine::tcp::Tcp;
use crate::id::{Id, ListenerId};
use crate::rules::ecn::Agreed;
use crate::rules::judgement::{Accepted, Answer, ForHalfOpen, ForHandshake, ForTimeWait, Judgement};
use crate::rules::reset::Reset;
use crate::rules::scale::{Scale, first_window};
use crate::rules::stamps::{Recent, Stamps};
use crate::rules::tcb::Tcb;
use crate::rules::verdict::{Action, CloseReason, ResetReason, Rule, State, Timer, Verdict};
use crate::rules::{syn_received, time_wait};
use crate::size::Size;
use crate::tables::half_open::HalfOpen;
use crate::tables::table::Record;
use crate::tables::time_wait::TimeWait;
use crate::time::{Instant, RESET_HELD_MS};
use crate::wire::addr::{Addr, LinkAddr, Tuple};
use crate::wire::options::Options;
use crate::wire::seq::Seq;

/// The SYN,ACK's first timeout; it doubles.
const SYN_ACK_RTO_MS: u32 = 1_000;
/// How far beyond the old connection's numbers a reopened one starts at least: more than any window.
const REOPEN_DISTANCE: u32 = if cfg!(feature = "window-scale") { 1 << 19 } else { 1 << 17 };

impl Tcp<'_> {
    /// Returns whether a listener can take one more SYN.
    pub(crate) fn has_room_for_syn(&self, l: ListenerId) -> bool {
        self.half_open.has_room() && self.listeners[l].takes_handshake()
    }

    /// Makes a half-open record and answers with SYN,ACK. The caller has seen that there is room.
    pub(crate) fn open_half(&mut self, l: ListenerId, arriving: &Arriving<'_>, iss: Seq) {
        let Arriving { tuple, link_addr, seg, .. } = arriving;
        let Some(h) = self.half_open.allocate() else {
            return;
        };
        let half = HalfOpen {
            tuple: **tuple,
            link_addr: *link_addr,
            mss: self.settings.send_mss(tuple.remote_addr, seg.header.options.mss),
            iss,
            irs: seg.header.seq,
            listener: l,
            #[cfg(feature = "sack")]
            sack_permitted: self.settings.sack && seg.header.options.sack_permitted,
            recent: Recent::in_syn(&seg.header.options, self.settings.timestamps),
            scale: Scale::in_syn(
                &seg.header.options,
                self.settings.window_scale,
                self.listeners[l].options.stream.rx_buffer(),
            ),
            ecn: Agreed::in_syn(seg.header.control, self.settings.ecn),
            ..HalfOpen::EMPTY
        };
        self.half_open[h] = half;
        let hash = self.keyed.index_hash(tuple);
        self.half_open.insert(h, hash);
        self.listeners.add_half_open(l);
        self.arm_syn_ack(h);
        self.reply_syn_ack(h);
    }

    pub(crate) fn reply_syn_ack(&mut self, h: Id<HalfOpen>) {
        let half = &self.half_open[h];
        let mut options = Options::NONE;
        options.mss = Some(self.settings.receive_mss(half.tuple.remote_addr));
        #[cfg(feature = "user-timeout-option")]
        {
            let stream = &self.listeners[half.listener].options.stream;
            options.user_timeout = stream.limits.user_timeout_to_announce(stream.marks);
        }
        #[cfg(feature = "sack")]
        {
            options.sack_permitted = half.sack_permitted;
        }
        self.stamps_of(&half.tuple, half.recent).add_to(&mut options, self.clock.ms());
        half.scale.add_to(&mut options);
        let wnd = half.scale.field(self.first_window(half.listener), true);
        let reply = Reply::syn_ack(half, wnd, options);
        self.reply(reply);
    }

    /// The timestamps of a pair of endpoints, `recent` being its peer's latest.
    pub(crate) fn stamps_of(&self, tuple: &Tuple, recent: Recent) -> Stamps {
        #[cfg(feature = "timestamps")]
        let offset = self.keyed.timestamp_offset(tuple);
        #[cfg(not(feature = "timestamps"))]
        let (offset, _) = (0, tuple);
        Stamps::of(recent, offset, self.clock.ms())
    }

    /// The options of an answer that belongs to no slot.
    fn options_of_answer(&self, tuple: &Tuple, recent: Recent) -> Options {
        let mut options = Options::NONE;
        if recent != Recent::NONE {
            self.stamps_of(tuple, recent).add_to(&mut options, self.clock.ms());
        }
        options
    }

    /// What the connections of a listener offer first.
    fn first_window(&self, listener: ListenerId) -> Size {
        first_window(self.listeners[listener].options.stream.rx_buffer())
    }

    /// Waits 1, 2, 4, ... seconds, the last time only for what is left of the limit.
    fn arm_syn_ack(&mut self, h: Id<HalfOpen>) {
        let retries = u32::from(self.half_open[h].progress.retries().min(16));
        let elapsed = SYN_ACK_RTO_MS * ((1 << retries) - 1);
        let left = self.settings.syn_received_ms.saturating_sub(elapsed).max(1);
        let wait = (SYN_ACK_RTO_MS << retries).min(left);
        self.half_open.arm(h, self.clock.ms().after(wait));
    }

    /// The SYN,ACK's timer: again, or the end of the record. The peer is told: its SYN was acknowledged, and where its own ACK found no room
    /// or was lost it counts the connection as established (§3.10.5, SYN-RECEIVED).
    pub(crate) fn half_open_due(&mut self, h: Id<HalfOpen>) {
        let half = &mut self.half_open[h];
        if half.progress.is_over().is_some() {
            count(&mut self.counters.resets_dropped);
            self.free_half_open(h);
            return;
        }
        half.progress.retry();
        let waited = SYN_ACK_RTO_MS.saturating_mul((1 << u32::from(half.progress.retries().min(20))) - 1);
        if waited >= self.settings.syn_received_ms {
            count(&mut self.counters.half_open_expired);
            self.counters.ended(CloseReason::TimedOut(Timer::SynReceived));
            self.half_open[h].progress.expire();
            self.retire_half_open(h);
            return;
        }
        count(&mut self.counters.retransmissions);
        self.arm_syn_ack(h);
        self.reply_syn_ack(h);
    }

    /// How long a handshake is still kept; one that is over, until its peer is told.
    pub(crate) fn half_open_left_ms(&self, h: Id<HalfOpen>) -> u32 {
        let progress = self.half_open[h].progress;
        let next = self.half_open.deadline_of(h).map_or(0, |at| at.left(self.clock.ms()));
        if progress.is_over().is_some() {
            return next;
        }
        let waited_then = SYN_ACK_RTO_MS.saturating_mul((2 << u32::from(progress.retries().min(20))) - 1);
        next + self.settings.syn_received_ms.saturating_sub(waited_then)
    }

    pub(crate) fn free_half_open(&mut self, h: Id<HalfOpen>) {
        if self.half_open[h].progress.is_over().is_some() {
            self.retired -= 1;
        } else {
            self.forget_handshake(h);
        }
        self.half_open.release(h, HalfOpen::EMPTY);
    }

    /// Takes a record out of everything that could find it.
    fn forget_handshake(&mut self, h: Id<HalfOpen>) {
        let half = &self.half_open[h];
        let hash = self.keyed.index_hash(&half.tuple);
        let listener = half.listener;
        self.half_open.remove(h, hash);
        self.listeners.remove_half_open(listener);
    }

    /// The handshake of a record that was marked as over. The record stays until its RST has a place among the replies.
    fn retire_half_open(&mut self, h: Id<HalfOpen>) {
        self.forget_handshake(h);
        // A device that takes nothing must not hold the record for ever.
        self.half_open.arm(h, self.clock.ms().after(RESET_HELD_MS));
        self.retired += 1;
        self.retired_from = self.retired_from.min(h.index());
        self.tell_retired();
    }

    /// Queues the RSTs of retired records. They take half the queue of replies at most, the other half is for those who ask; and they take the
    /// place of each reply that leaves, before anybody asks again.
    pub(crate) fn tell_retired(&mut self) {
        while self.retired > 0 && !self.replies.is_full() && self.replies_of_retired() < REPLIES / 2 {
            let Some(h) = self.half_open.at(self.retired_from) else {
                return;
            };
            let half = &self.half_open[h];
            match half.progress.is_over() {
                Some(reason) => {
                    // A peer whose SYN,ACK was lost is still in SYN-SENT, and its next SYN is welcome: without an ACK the RST ends only
                    // what was established.
                    let ack = (reason != ResetReason::TimedOut).then_some(half.irs + 1);
                    let reset = Reset { reason, seq: half.iss + 1, ack };
                    self.reply(Reply { is_of_retired: true, ..Reply::reset(&half.tuple, half.link_addr, reset) });
                    self.free_half_open(h);
                }
                None => self.retired_from += 1,
            }
        }
        if self.retired == 0 {
            self.retired_from = usize::MAX;
        }
    }

    fn replies_of_retired(&self) -> usize {
        self.replies.iter().filter(|reply| reply.is_of_retired).count()
    }

    pub(crate) fn on_half_open(&mut self, h: Id<HalfOpen>, arriving: &Arriving<'_>) -> Verdict {
        let half = &self.half_open[h];
        let tcb = half.expand(self.first_window(half.listener));
        let Judgement { mut rule, disposition } = syn_received::judge_passive(&tcb, arriving.seg);
        let action = match disposition {
            ForHalfOpen::Handshake(ForHandshake::Answer(answer)) => {
                self.answer_half_open(h, arriving.now, tcb.rcv_wnd, answer)
            }
            ForHalfOpen::Handshake(ForHandshake::SynAckAgain) => self.syn_ack_again(arriving, h),
            ForHalfOpen::Handshake(ForHandshake::Reset(reset)) => self.reply_reset(arriving, reset),
            ForHalfOpen::Handshake(ForHandshake::Accept(accepted)) => {
                self.complete(h, tcb, arriving, rule, &accepted).unwrap_or_else(|| {
                    self.half_open[h].progress.complete();
                    #[cfg(feature = "eviction")]
                    self.make_way_for(h);
                    rule = Rule::SynReceivedNoSlot;
                    Action::Dropped
                })
            }
            ForHalfOpen::ReturnToListen => {
                self.free_half_open(h);
                Action::ReturnedToListen
            }
        };
        Verdict { rule, action, state: State::SynReceived }
    }

    fn answer_half_open(&mut self, h: Id<HalfOpen>, now: Instant, rcv_wnd: Size, answer: Answer) -> Action {
        let half = &mut self.half_open[h];
        let action = grant_answer(answer, &mut half.quota, now, &self.settings, &mut self.counters);
        if action.is_empty_ack() {
            let half = &self.half_open[h];
            let reply = Reply::ack_of_half_open(
                half,
                half.scale.field(rcv_wnd, false),
                self.options_of_answer(&half.tuple, half.recent),
            );
            self.reply(reply);
        }
        action
    }

    fn syn_ack_again(&mut self, arriving: &Arriving<'_>, h: Id<HalfOpen>) -> Action {
        let half = &mut self.half_open[h];
        half.recent.renew(&arriving.seg.header.options);
        half.ecn.renew(arriving.seg.header.control);
        let action = grant(Action::SynAcked, &mut half.quota, arriving.now, &self.settings, &mut self.counters);
        if action == Action::SynAcked {
            self.reply_syn_ack(h);
        }
        action
    }

    /// The handshake is done: the connection gets its slot now, because payload may ride on the ACK. `None` if there is no room.
    fn complete(
        &mut self,
        h: Id<HalfOpen>,
        tcb: Tcb,
        arriving: &Arriving<'_>,
        rule: Rule,
        accepted: &Accepted,
    ) -> Option<Action> {
        let l = self.half_open[h].listener;
        let options = self.listeners[l].options;
        if !self.listeners[l].has_place() {
            return None;
        }
        let i = self.allocate_connection(options.stream.rx_buffer(), options.stream.tx_buffer())?;
        let HalfOpen { link_addr, quota, progress, ecn, .. } = self.half_open[h].clone();
        #[cfg(feature = "sack")]
        let sack_permitted = self.half_open[h].sack_permitted;
        let (stamps, now) = (self.stamps_of(&tcb.tuple, tcb.stamps.recent()), self.clock.ms());
        self.free_half_open(h);
        let hash = self.keyed.index_hash(&tcb.tuple);
        if let Some(w) = self.time_wait.find(&tcb.tuple, hash) {
            self.free_time_wait(w);
        }
        let c = &mut self.connections[i];
        c.buffers.begin_tx(tcb.snd_nxt);
        c.buffers.begin_rx(tcb.rcv_nxt);
        c.tcb = tcb;
        c.tcb.stamps = stamps;
        c.tcb.mss -= stamps.wire_len();
        if !progress.has_waited() {
            // What has waited for room was on its way for less than its timestamp says.
            c.rtt.acked(1, now, stamps.round_trip_ms(arriving.seg, now));
        }
        (c.link_addr, c.quota) = (link_addr, quota);
        #[cfg(feature = "sack")]
        c.sack.begin(sack_permitted);
        c.ecn.begin(ecn);
        c.set(Marks::UNACCEPTED);
        apply_options(c, &options.stream);
        c.owner = Owner::listener(l);
        c.wait_for(options.accept_ms(), self.clock.ms());
        self.connections.insert(i, hash);
        self.listeners.push(l, &mut self.connections, i);
        let action = self.accept_segment(i, arriving, rule, accepted);
        self.settle(i);
        Some(action)
    }

    /// Makes a TIME-WAIT record; acknowledges the peer's FIN where that is due. A full table gives up its oldest record.
    pub(crate) fn insert_time_wait(&mut self, wait: TimeWait, ack_to: Option<LinkAddr>) {
        if let Some(link_addr) = ack_to {
            let options = self.options_of_answer(&wait.tuple, wait.recent);
            self.reply(Reply::ack_of_time_wait(&wait, link_addr, options));
        }
        if !self.time_wait.has_room() {
            count(&mut self.counters.time_wait_evicted);
            match self.time_wait.first_due() {
                Some((oldest, _)) => self.free_time_wait(oldest),
                None => return,
            }
        }
        let Some(w) = self.time_wait.allocate() else {
            return;
        };
        let hash = self.keyed.index_hash(&wait.tuple);
        self.time_wait[w] = wait;
        self.time_wait.insert(w, hash);
        self.time_wait.arm(w, self.clock.ms().after(self.settings.time_wait_ms));
    }

    pub(crate) fn free_time_wait(&mut self, w: Id<TimeWait>) {
        let hash = self.keyed.index_hash(&self.time_wait[w].tuple);
        self.time_wait.remove(w, hash);
        self.time_wait.release(w, TimeWait::EMPTY);
    }

    pub(crate) fn on_time_wait(&mut self, w: Id<TimeWait>, arriving: &Arriving<'_>) -> Verdict {
        let tcb = self.time_wait[w].expand();
        let Judgement { mut rule, disposition } = time_wait::judge(&tcb, arriving.seg, self.settings.timestamps);
        let action = match disposition {
            ForTimeWait::Answer(answer) => self.answer_time_wait(w, arriving, answer),
            ForTimeWait::Reopen => self.reopen(&tcb, arriving).unwrap_or_else(|| {
                rule = Rule::SynTimeWait;
                self.answer_time_wait(w, arriving, Answer::Challenge)
            }),
            ForTimeWait::Restart => {
                self.time_wait[w].recent.renew(&arriving.seg.header.options);
                self.time_wait.arm(w, self.clock.ms().after(self.settings.time_wait_ms));
                self.answer_time_wait(w, arriving, Answer::Acknowledge { limited: false })
            }
        };
        Verdict { rule, action, state: State::TimeWait }
    }

    fn answer_time_wait(&mut self, w: Id<TimeWait>, arriving: &Arriving<'_>, answer: Answer) -> Action {
        let wait = &mut self.time_wait[w];
        let action = grant_answer(answer, &mut wait.quota, arriving.now, &self.settings, &mut self.counters);
        if action.is_empty_ack() {
            let wait = &self.time_wait[w];
            let options = self.options_of_answer(&wait.tuple, wait.recent);
            let reply = Reply::ack_of_time_wait(wait, arriving.link_addr, options);
            self.reply(reply);
        }
        action
    }

    /// A listener takes the SYN, with numbers the old connection never used. The old record stays: if the SYN was an old duplicate
    /// after all, it goes on answering when the handshake has failed (§3.6.1).
    fn reopen(&mut self, old: &Tcb, arriving: &Arriving<'_>) -> Option<Action> {
        let l = self.listeners.find(&old.tuple)?;
        if !self.has_room_for_syn(l) {
            return None;
        }
        let iss = self.keyed.initial_seq(arriving.now, &old.tuple);
        let least = old.snd_nxt + REOPEN_DISTANCE;
        let iss = if iss.gt(least) { iss } else { least };
        self.open_half(l, arriving, iss);
        Some(Action::SynAcked)
    }

    /// Ends the handshakes of a listener that closes; each peer is told as the queue of replies drains (§3.10.5, SYN-RECEIVED).
    pub(crate) fn reset_half_open_of(&mut self, l: ListenerId) {
        for h in self.half_open.ids() {
            let half = &mut self.half_open[h];
            let is_its = half.tuple.is_used() && half.listener == l;
            if is_its && half.progress.is_over().is_none() {
                half.progress.lose_listener();
                self.retire_half_open(h);
            }
        }
    }

    /// Frees half-open and TIME-WAIT records on addresses that are lost, and forgets answers from there.
    pub(crate) fn forget_records_on(&mut self, is_lost: impl Fn(Addr) -> bool) {
        for h in self.half_open.ids() {
            let half = &self.half_open[h];
            if half.tuple.is_used() && is_lost(half.tuple.local_addr) {
                self.free_half_open(h);
            }
        }
        for w in self.time_wait.ids() {
            let wait = &self.time_wait[w];
            if wait.tuple.is_used() && is_lost(wait.tuple.local_addr) {
                self.free_time_wait(w);
            }
        }
        for _ in 0..self.replies.len() {
            if let Some(reply) = self.replies.pop_front().filter(|reply| !is_lost(reply.tuple.local_addr)) {
                self.reply(reply);
            }
        }
        self.tell_retired();
    }
}

/// Brings a fresh slot to what its options say.
pub(crate) fn apply_options(c: &mut Connection, options: &Stream) {
    c.r1 = options.r1;
    c.limits = options.limits;
    c.set(options.marks);
    c.tcb.rcv_wnd = first_window(c.buffers.rx_size());
}
