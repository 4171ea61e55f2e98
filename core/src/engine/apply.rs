//! What a judgement does to a connection: everything that changes a slot because of a segment, and every end.

#[cfg(feature = "cubic")]
use crate::config::CongestionControl;
use crate::connection::congestion::Congestion;
use crate::connection::flags::{Due, Marks};
use crate::connection::pool::Buffers;
use crate::connection::recovery::Recovery;
use crate::connection::slot::{Connection, End, Events, Places};
use crate::connection::{receive, send};
use crate::counters::count;
use crate::engine::arriving::Arriving;
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::ecn::Agreed;
use crate::rules::judgement::Accepted;
use crate::rules::scale::Scale;
use crate::rules::stamps::Recent;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{Action, CloseReason, ResetReason, Rule, State};
use crate::rules::{reset, synchronized, timestamps};
use crate::size::Size;
use crate::tables::time_wait::TimeWait;
use crate::time::{Instant, Millis};
use crate::wire::addr::LinkAddr;
use crate::wire::segment::Segment;

impl Tcp<'_> {
    /// Carries out what [`synchronized::predict`] admits, its payload stored already: nothing ends by it.
    pub(crate) fn accept_expected(&mut self, i: Id<Connection>, arriving: &Arriving<'_>) {
        let Arriving { link_addr, seg, codepoint, .. } = *arriving;
        let ms = self.clock.ms();
        let c = &mut self.connections[i];
        hear(c, link_addr, seg);
        c.ecn.note(seg, codepoint);
        timestamps::note(&mut c.tcb, seg, ms);
        send::process_ack(c, seg, ms, &self.settings);
        #[cfg(feature = "user-timeout-option")]
        c.process_user_timeout_option(seg.header.options.user_timeout, &self.settings);
        if !seg.payload.is_empty() {
            // No more than the window.
            receive::take(c, seg.payload.len() as Size, false, seg, ms, &self.settings);
        }
        self.queue(i);
    }

    /// Carries out what the rules admitted, in the standard's order: SYN, ACK, payload, FIN.
    pub(crate) fn accept_segment(
        &mut self,
        i: Id<Connection>,
        arriving: &Arriving<'_>,
        rule: Rule,
        accepted: &Accepted,
    ) -> Action {
        let Accepted { syn, establishes, ack, payload, fin, ack_now, receiver_gone } = *accepted;
        let Arriving { link_addr, seg, codepoint, .. } = arriving;
        let ms = self.clock.ms();
        let c = &mut self.connections[i];
        // Only a SYN that crosses ours proves nothing about its sender.
        if establishes || !syn {
            hear(c, *link_addr, seg);
        }
        if syn {
            c.tcb.rcv_nxt = seg.header.seq + 1;
            c.buffers.begin_rx(c.tcb.rcv_nxt);
            c.tcb.mss = self.settings.send_mss(c.tcb.tuple.remote_addr, seg.header.options.mss);
            #[cfg(feature = "sack")]
            c.sack.begin(self.settings.sack && seg.header.options.sack_permitted);
            c.tcb.scale = Scale::in_syn(&seg.header.options, self.settings.window_scale, c.buffers.rx_size());
            c.tcb.stamps.begin(Recent::in_syn(&seg.header.options, self.settings.timestamps), ms);
            c.tcb.mss -= c.tcb.stamps.wire_len();
            let agreed = Agreed::in_syn(seg.header.control, self.settings.ecn);
            // The SYN,ACK of a simultaneous open comes after a SYN.
            c.ecn.begin(if c.tcb.state() == State::SynSent { agreed } else { agreed.after(c.ecn.agreed()) });
        } else {
            timestamps::note(&mut c.tcb, seg, ms);
        }
        if establishes {
            establish(c, seg, ms);
            #[cfg(feature = "cubic")]
            if self.settings.congestion_control == CongestionControl::Cubic {
                c.congestion = c.congestion.with_cubic();
            }
        } else if syn {
            receive_syn(c, seg, ms);
            send::arm_retransmission(c, ms, &self.settings);
        }
        if establishes {
            self.note_begin(i);
        }
        let c = &mut self.connections[i];
        if ack {
            let is_fin_acked = synchronized::is_fin_acked(&c.tcb, seg.header.ack);
            if is_fin_acked {
                c.clear(Flags::FIN_QUEUED);
            }
            send::process_ack(c, seg, ms, &self.settings);
            if is_fin_acked && self.fin_acked(i) {
                return Action::Accepted;
            }
        }
        #[cfg(feature = "user-timeout-option")]
        if ack {
            self.connections[i].process_user_timeout_option(seg.header.options.user_timeout, &self.settings);
        }
        if receiver_gone {
            self.end(i, CloseReason::DataLost, true);
            return Action::Reset(ResetReason::ReceiverGone);
        }
        let c = &mut self.connections[i];
        // Before the payload: both are counted from the same RCV.NXT.
        if let Some(distance) = fin {
            receive::hold_fin(c, distance);
        }
        receive::store_payload(c, &mut self.pool, payload, seg, ms, &self.settings);
        if c.ecn.note(seg, *codepoint) || ack_now {
            c.set(Due::ACK_NOW);
        }
        // A gap that payload has filled can bring back a FIN seen before.
        if receive::process_fin(c) {
            self.peer_finished(i);
        }
        if rule == Rule::ZeroWindow {
            Action::Acknowledged
        } else if rule == Rule::SynSentSyn {
            Action::SynAcked
        } else {
            Action::Accepted
        }
    }

    /// Our FIN was acknowledged. Returns whether nothing more can come of the segment.
    fn fin_acked(&mut self, i: Id<Connection>) -> bool {
        let c = &mut self.connections[i];
        match c.tcb.state() {
            State::FinWait1 => {
                c.tcb.enter(State::FinWait2);
                if c.has_reader() {
                    c.events.insert(Events::WRITABLE);
                }
                false
            }
            State::Closing => {
                self.enter_time_wait(i);
                true
            }
            State::LastAck => {
                self.end(i, CloseReason::PeerClosed, false);
                true
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

    fn peer_finished(&mut self, i: Id<Connection>) {
        let c = &mut self.connections[i];
        match c.tcb.state() {
            State::Established => c.tcb.enter(State::CloseWait),
            State::FinWait1 => c.tcb.enter(State::Closing),
            State::FinWait2 => self.enter_time_wait(i),
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {}
        }
    }

    /// Goes back to SYN-SENT: the SYN that led out of it was perhaps forged. Ours goes out again at once within the connection's quota, or
    /// else with its timer; how long the attempt may take in all stays as it was. One whose application has closed meanwhile is over.
    pub(crate) fn return_to_syn_sent(&mut self, now: Instant, i: Id<Connection>) -> Action {
        let c = &mut self.connections[i];
        if c.has(Flags::APP_GONE) {
            self.end(i, CloseReason::ClosedBeforeOpen, false);
            return Action::Ended(CloseReason::ClosedBeforeOpen);
        }
        c.clear(Due::CHALLENGE);
        c.clear(Marks::ASKING | Marks::ASKED_AGAIN);
        // A SYN that has not left yet is due as before.
        c.due.set(Due::RESEND, c.tcb.snd_nxt == c.tcb.snd_una);
        c.tcb.enter(State::SynSent);
        self.syn_again(now, i);
        Action::ReturnedToSynSent
    }

    /// Sends the SYN again now, within the connection's quota. One that waits for its next hop goes out anyway.
    pub(crate) fn syn_again(&mut self, now: Instant, i: Id<Connection>) {
        let c = &mut self.connections[i];
        if c.tcb.snd_nxt != c.tcb.snd_una && c.quota.spend(now, self.settings.challenge_limit) {
            c.rtt.cancel();
            c.set(Due::RESEND);
        }
    }

    /// The connection is over but for its old segments: the slot is the application's alone, a compact record answers the peer.
    fn enter_time_wait(&mut self, i: Id<Connection>) {
        let c = &mut self.connections[i];
        let wait = TimeWait {
            tuple: c.tcb.tuple,
            snd_nxt: c.tcb.snd_nxt,
            rcv_nxt: c.tcb.rcv_nxt,
            rcv_wnd: c.tcb.scale.field(receive::window_to_offer(c), false),
            scale: c.tcb.scale,
            quota: c.quota,
            recent: c.tcb.stamps.recent(),
        };
        let (owes_ack, link_addr) = (c.has(Due::ACK_NOW) || c.has(Marks::DELACK), c.link_addr);
        self.leave(i, State::TimeWait, CloseReason::LocalClosed);
        self.insert_time_wait(wait, owes_ack.then_some(link_addr));
    }

    /// Ends a connection. The peer is told by RST where the state asks for it.
    pub(crate) fn end(&mut self, i: Id<Connection>, reason: CloseReason, tells_peer: bool) {
        let met = self.connections[i].tcb.state();
        self.leave(i, State::Closed, reason);
        if tells_peer {
            let c = &mut self.connections[i];
            // A device that takes nothing must not hold the slot for ever.
            c.set(Due::RESET);
            if met == State::SynReceived {
                // A SYN takes no window, so a closed one does not pull the RST back onto it.
                c.tcb.snd_una = c.tcb.snd_nxt;
            }
        }
        self.settle(i);
    }

    /// Ends a connection because a timer gave up.
    pub(crate) fn end_by_timer(&mut self, i: Id<Connection>, reason: CloseReason) {
        let state = self.connections[i].tcb.state();
        self.end(i, reason, reset::is_told(state));
    }

    /// Returns up an RST that is due and has nowhere to go, and counts it.
    pub(crate) fn drop_reset(&mut self, i: Id<Connection>) {
        count(&mut self.counters.resets_dropped);
        self.connections[i].clear(Due::RESET);
        self.settle(i);
    }

    /// Takes a connection out of everything that could move it on.
    fn leave(&mut self, i: Id<Connection>, state: State, reason: CloseReason) {
        self.counters.ended(reason);
        let hash = self.keyed.index_hash(&self.connections[i].tcb.tuple);
        self.connections.remove(i, hash);
        self.connections.disarm(i);
        // The slot may be free or another's before the next segment comes.
        self.last_connection = self.last_connection.filter(|last| *last != i);
        let c = &mut self.connections[i];
        c.clear(Due::ACK_NOW | Due::CHALLENGE | Due::RESEND | Due::PROBE | Due::KEEP_ALIVE);
        c.clear(Marks::REXMIT | Marks::PERSIST | Marks::DELACK | Marks::ASKING | Marks::DEADLINE);
        c.end = End::of(reason);
        c.since = self.clock.ms();
        c.tcb.enter(state);
        if c.has(Marks::UNACCEPTED) {
            let listener = c.owner.as_listener();
            self.listeners.unlink(listener, &mut self.connections, i);
            count(&mut self.counters.lost_before_accept);
        } else {
            c.events.insert(Events::CLOSED);
        }
    }

    /// Puts a slot into the lists its new state asks for, or frees it.
    pub(crate) fn settle(&mut self, i: Id<Connection>) {
        self.queue(i);
        if self.connections[i].is_over() {
            self.free_if_done(i);
        }
    }

    /// Puts a slot into the lists its new state asks for, and frees nothing.
    pub(crate) fn queue(&mut self, i: Id<Connection>) {
        let c = &self.connections[i];
        let has_event = !c.events.is_empty() && !c.has(Marks::UNACCEPTED);
        let wants_out = send::may_have_next(c);
        let deadline = c.deadline(&self.settings);
        if wants_out {
            // What has learned its next hop, or has only its RST left to say, waits no longer.
            let is_free_to_go = c.has(Marks::LINK_ADDR_KNOWN) || c.has(Due::RESET);
            if is_free_to_go && c.places.contains(Places::UNRESOLVED) {
                self.wake_unresolved();
            }
            self.queue_ready(i);
        }
        if has_event {
            self.queue_event(i);
        }
        if let Some(at) = deadline {
            self.connections.arm_by(i, at);
        }
    }

    /// The same after a segment has left that ends nothing: no event has come of it.
    pub(crate) fn settle_sent(&mut self, i: Id<Connection>) {
        let c = &self.connections[i];
        let has_more = send::may_have_next(c);
        if let Some(at) = c.deadline(&self.settings) {
            self.connections.arm_by(i, at);
        }
        if has_more {
            self.queue_ready(i);
        }
    }

    /// Frees the slot of a connection that is over, if nobody holds it and it has nothing left to say.
    pub(crate) fn free_if_done(&mut self, i: Id<Connection>) {
        self.note_end(i);
        let c = &self.connections[i];
        debug_assert!(c.is_over());
        let is_held = !c.has(Flags::APP_GONE) && !c.has(Marks::UNACCEPTED);
        let is_told = c.has(Marks::UNACCEPTED) || !c.events.contains(Events::CLOSED);
        if c.has(Due::RESET) || is_held || !is_told {
            return;
        }
        self.pool.release(c.buffers);
        let (mut links, places) = (c.links, c.places);
        links.generation = links.generation.wrapping_add(1);
        self.connections.release(i, Connection { links, places, ..Connection::EMPTY });
        if places.contains(Places::UNRESOLVED) {
            // The slot's next owner must not inherit the wait.
            self.wake_unresolved();
        }
        #[cfg(feature = "eviction")]
        self.invite();
    }

    /// Takes a slot with buffers, still without endpoints.
    pub(crate) fn allocate_connection(&mut self, rx: usize, tx: usize) -> Option<Id<Connection>> {
        if !self.connections.has_room() {
            return None;
        }
        let buffers: Buffers = match self.pool.allocate(rx, tx) {
            Some(buffers) => buffers,
            None => self.make_room(rx, tx)?,
        };
        let i = self.connections.allocate()?;
        let c = &mut self.connections[i];
        let (links, places) = (c.links, c.places);
        *c = Connection::fresh(buffers, links, places);
        Some(i)
    }

    /// No free run is long enough, but perhaps all of them together are: every connection's buffers are moved together. Its cost is a copy
    /// of the pool, paid only where the connection would be refused otherwise.
    fn make_room(&mut self, rx: usize, tx: usize) -> Option<Buffers> {
        if !self.pool.has_room(rx, tx) {
            return None;
        }
        count(&mut self.counters.pool_compactions);
        self.pool.compact(self.connections.records_mut().map(|c| &mut c.buffers));
        self.pool.allocate(rx, tx)
    }
}

/// A segment is valid, so the peer is where it came from, and answers what it was asked.
fn hear(c: &mut Connection, link_addr: LinkAddr, seg: &Segment<'_>) {
    if c.has(Marks::ASKING) && !precedes_last_word(c, seg) {
        c.clear(Marks::ASKING | Marks::ASKED_AGAIN);
    }
    c.link_addr = link_addr;
    c.set(Marks::LINK_ADDR_KNOWN);
}

/// Returns whether payload or a FIN was sent before the RST that is challenged, and so is no answer: it was overtaken on the way.
fn precedes_last_word(c: &Connection, seg: &Segment<'_>) -> bool {
    let end = seg.header.seq + seg.len();
    !seg.is_empty() && !end.gt(c.tcb.rcv_nxt + u32::from(c.last_word_at))
}

/// SYN-SENT or SYN-RECEIVED to ESTABLISHED: our SYN is acknowledged, the peer's window is known.
fn establish(c: &mut Connection, seg: &Segment<'_>, ms: Millis) {
    let is_ours = !c.has(Flags::PASSIVE);
    c.rtt.acked(1, ms, if is_ours { c.tcb.stamps.round_trip_ms(seg, ms) } else { None });
    c.backoff = 0;
    c.recovery = Recovery::NEW;
    c.congestion = Congestion::begin(c.tcb.mss, c.has(Flags::SYN_RESENT));
    c.clear(Due::RESEND);
    c.clear(Marks::REXMIT | Marks::LAST_TRY | Marks::DOUBTED);
    c.heard_at = ms;
    c.made_progress(ms);
    c.moved(ms);
    c.tcb.max_snd_wnd = 0;
    send::take_window(c, seg);
    let tcb = &mut c.tcb;
    tcb.snd_una = seg.header.ack;
    tcb.snd_wl1 = seg.header.seq;
    tcb.enter(State::Established);
    #[cfg(feature = "user-timeout-option")]
    c.announce_user_timeout();
    if c.has_reader() {
        c.events.insert(Events::CONNECTED);
    }
    // A close that came during the handshake takes effect now (§3.10.4): the FIN follows what is queued.
    if c.has(Flags::FIN_QUEUED) {
        c.tcb.enter(State::FinWait1);
    }
}

/// SYN-SENT to SYN-RECEIVED: the peer opens at the same time. Nothing has proved that yet, so the attempt's time runs on.
fn receive_syn(c: &mut Connection, seg: &Segment<'_>, ms: Millis) {
    c.tcb.max_snd_wnd = 0;
    send::take_window(c, seg);
    let tcb = &mut c.tcb;
    tcb.snd_wl1 = seg.header.seq;
    tcb.enter(State::SynReceived);
    c.rtt.cancel();
    c.heard_at = ms;
    c.set(Due::RESEND);
}
