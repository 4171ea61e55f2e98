//! A segment arrives: which record it belongs to, and what the rules' judgement does to it.

use crate::config::Overflow;
use crate::connection::flags::{Due, Marks};
use crate::connection::settings::Settings;
use crate::connection::slot::Connection;
use crate::connection::{receive, send};
use crate::counters::{Counters, ResetKind, count};
use crate::engine::arriving::{Arrival, Arriving};
use crate::engine::tcp::Tcp;
use crate::id::{Id, ListenerId};
use crate::rules::challenge::Quota;
use crate::rules::judgement::{Answer, ForConnection, ForHandshake, ForListener, Judgement};
use crate::rules::reset::Reset;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{Action, Rule, State, Verdict};
use crate::rules::{closed, listen, segment_arrives, synchronized, timestamps};
use crate::size::Size;
use crate::tables::half_open::HalfOpen;
use crate::tables::time_wait::TimeWait;
use crate::time::Instant;
use crate::wire::addr::{Addr, LinkAddr, Tuple};
use crate::wire::checksum::{self, Sum};
use crate::wire::ecn::Codepoint;
use crate::wire::segment::{Control, Header, Segment};
use crate::wire::seq::Seq;

impl Tcp<'_> {
    /// Takes in the bytes after the IP header (RFC 9293 §3.10.7, SEGMENT ARRIVES). Poll for output afterwards.
    pub fn handle_segment(&mut self, now: Instant, arrival: &Arrival, bytes: &[u8]) -> Verdict {
        self.handle_segment_with(now, arrival, Codepoint::NOT_ECT, bytes)
    }

    /// Takes in a segment whose packet has arrived with Congestion Experienced (RFC 3168 §5). Poll for output afterwards.
    #[cfg(feature = "ecn")]
    pub fn handle_marked_segment(&mut self, now: Instant, arrival: &Arrival, bytes: &[u8]) -> Verdict {
        self.handle_segment_with(now, arrival, Codepoint::CE, bytes)
    }

    fn handle_segment_with(&mut self, now: Instant, arrival: &Arrival, codepoint: Codepoint, bytes: &[u8]) -> Verdict {
        match Addr::both(arrival.src, arrival.dst) {
            Some(addrs) => self.handle_segment_between(now, addrs, arrival.link_addr, codepoint, bytes),
            None => self.refuse(Rule::NotAnswerable),
        }
    }

    /// The same with addresses that the link layer has read.
    pub(crate) fn handle_segment_between(
        &mut self,
        now: Instant,
        (src, dst): (Addr, Addr),
        link_addr: LinkAddr,
        codepoint: Codepoint,
        bytes: &[u8],
    ) -> Verdict {
        self.catch_up(now);
        count(&mut self.counters.segments_in);
        let verdict = match Segment::read(bytes) {
            Some(seg) => {
                let Header { dst_port: local_port, src_port: remote_port, .. } = seg.header;
                let tuple = Tuple { local_addr: dst, remote_addr: src, local_port, remote_port };
                let arriving = Arriving {
                    now,
                    tuple: &tuple,
                    link_addr,
                    codepoint,
                    seg: &seg,
                    #[cfg(feature = "reset-diagnostics")]
                    len: bytes.len(),
                };
                self.dispatch(&arriving, bytes)
            }
            None => dropped(Rule::Malformed),
        };
        self.counters.judged(&verdict);
        verdict
    }

    /// Counts a segment that the IP layer could not let through.
    pub(crate) fn refuse(&mut self, rule: Rule) -> Verdict {
        count(&mut self.counters.segments_in);
        let verdict = dropped(rule);
        self.counters.judged(&verdict);
        verdict
    }

    /// No record changes before the checksum over `bytes` is found right.
    fn dispatch(&mut self, arriving: &Arriving<'_>, bytes: &[u8]) -> Verdict {
        let Arriving { now, tuple, seg, .. } = arriving;
        let (connection, hash) = self.find_connection(tuple);
        if let Some(i) = connection
            && let Some(verdict) = self.on_expected(i, arriving, bytes)
        {
            return verdict;
        }
        if self.settings.checksum.is_verified_here()
            && !checksum::is_segment_right(bytes, &tuple.remote_addr, &tuple.local_addr)
        {
            return dropped(Rule::ChecksumWrong);
        }
        let verdict = match connection {
            // No connection is between endpoints that cannot be answered.
            Some(i) => {
                self.last_connection = Some(i);
                self.on_connection(i, arriving)
            }
            None if tuple.is_answerable() => self.on_compact(hash, arriving),
            None => dropped(Rule::NotAnswerable),
        };
        // What changes nothing is counted alone.
        if seg.has(Control::RST) && matches!(verdict.action, Action::Ended(_)) {
            let said = self.code_in(seg);
            self.log_reset(*now, tuple, seg.header.seq, ResetKind::Received(verdict.rule), said);
        }
        verdict
    }

    /// Returns whether the connection whose segment came last goes between these addresses: what makes them answerable was judged then.
    pub(crate) fn expects(&self, src: &Addr, dst: &Addr) -> bool {
        self.last_connection.is_some_and(|i| {
            let c = &self.connections[i];
            c.tcb.tuple.remote_addr == *src && c.tcb.tuple.local_addr == *dst
        })
    }

    /// Returns the connection between these endpoints, if there is one, and their hash where the tables of the others are to be asked.
    fn find_connection(&self, tuple: &Tuple) -> (Option<Id<Connection>>, u32) {
        if let Some(i) = self.last_connection.filter(|i| self.connections[*i].tcb.tuple == *tuple) {
            return (Some(i), 0);
        }
        if self.connections.len() + self.half_open.len() + self.time_wait.len() == 0 {
            // Nobody is known: no hash is worth its time.
            return (None, 0);
        }
        let hash = self.keyed.index_hash(tuple);
        (self.connections.find(tuple, hash), hash)
    }

    /// A segment for none of the connections.
    fn on_compact(&mut self, hash: u32, arriving: &Arriving<'_>) -> Verdict {
        let tuple = arriving.tuple;
        if let Some(h) = self.half_open.find(tuple, hash) {
            if self.is_of_lost_peer(h, arriving) {
                return self.on_stranger(arriving);
            }
            match self.find_old_incarnation(h, hash, arriving.seg) {
                Some(w) => self.on_time_wait(w, arriving),
                None => self.on_half_open(h, arriving),
            }
        } else if let Some(w) = self.time_wait.find(tuple, hash) {
            self.on_time_wait(w, arriving)
        } else {
            self.on_stranger(arriving)
        }
    }

    fn on_stranger(&mut self, arriving: &Arriving<'_>) -> Verdict {
        let verdict = match self.listeners.find(arriving.tuple) {
            Some(l) => self.on_listener(l, arriving),
            None => self.on_nothing(arriving),
        };
        self.hear_lost_peer(arriving, &verdict);
        verdict
    }

    /// A connection in TIME-WAIT that a SYN, perhaps a forged one, reopens: its peer may have lost our last ACK and repeat its FIN. What
    /// acknowledges the old connection's last number is its peer's; the new handshake's numbers lie far beyond.
    fn find_old_incarnation(&self, h: Id<HalfOpen>, hash: u32, seg: &Segment<'_>) -> Option<Id<TimeWait>> {
        let half = &self.half_open[h];
        let is_for_half = seg.header.ack == half.iss + 1 || !seg.has(Control::ACK) || seg.has(Control::RST);
        if is_for_half || seg.has(Control::SYN) {
            return None;
        }
        self.time_wait.find(&half.tuple, hash).filter(|w| self.time_wait[*w].snd_nxt == seg.header.ack)
    }

    fn on_nothing(&mut self, arriving: &Arriving<'_>) -> Verdict {
        let Judgement { rule, disposition } = closed::judge(arriving.seg);
        let action = match disposition {
            Some(reset) => self.reply_reset(arriving, reset),
            None => Action::Dropped,
        };
        Verdict { rule, action, state: State::Closed }
    }

    fn on_listener(&mut self, l: ListenerId, arriving: &Arriving<'_>) -> Verdict {
        let overflow: Overflow = self.listeners[l].options.overflow;
        let Judgement { rule, disposition } = listen::judge(arriving.seg, self.has_room_for_syn(l), overflow);
        let action = match disposition {
            ForListener::Drop => Action::Dropped,
            ForListener::Reset(reset) => self.reply_reset(arriving, reset),
            ForListener::Open => {
                let iss = self.keyed.initial_seq(arriving.now, arriving.tuple);
                self.open_half(l, arriving, iss);
                Action::SynAcked
            }
        };
        Verdict { rule, action, state: State::Listen }
    }

    /// Recognizes an expected segment ([`synchronized::predict`]) and accepts it; returns `None` for any other. Payload is copied into the free
    /// part of the receive ring while it is summed. If the checksum is wrong RCV.NXT does not move, so the copy is never read.
    fn on_expected(&mut self, i: Id<Connection>, arriving: &Arriving<'_>, bytes: &[u8]) -> Option<Verdict> {
        let Arriving { tuple, seg, .. } = arriving;
        let c = &mut self.connections[i];
        // What came out of order waits in the free part.
        if !c.reassembly.is_empty() {
            return None;
        }
        let state = c.tcb.state();
        let rule = synchronized::predict(&c.tcb, seg)?;
        let is_verified_here = self.settings.checksum.is_verified_here();
        let (header, payload) = bytes.split_at(bytes.len() - seg.payload.len());
        let mut sum = Sum::ZERO;
        if is_verified_here {
            sum = Sum::of_pseudo_header(&tuple.remote_addr, &tuple.local_addr, bytes.len()).with(header);
        }
        if !payload.is_empty() {
            let mut ring = self.pool.rx(c.buffers);
            if is_verified_here {
                sum.append(ring.write_and_sum(c.tcb.rcv_nxt, payload), 0);
            } else {
                ring.write(c.tcb.rcv_nxt, payload);
            }
        }
        if is_verified_here && !sum.is_right() {
            return Some(dropped(Rule::ChecksumWrong));
        }
        debug_assert_eq!(
            synchronized::expected(rule, seg),
            segment_arrives::judge(&c.tcb, seg, self.settings.rst_policy)
        );
        self.last_connection = Some(i);
        self.accept_expected(i, arriving);
        Some(Verdict { rule, action: Action::Accepted, state })
    }

    fn on_connection(&mut self, i: Id<Connection>, arriving: &Arriving<'_>) -> Verdict {
        let now = self.clock.ms();
        let tcb = &mut self.connections[i].tcb;
        tcb.stamps.age(now);
        let state = tcb.state();
        let Judgement { rule, disposition } = segment_arrives::judge(tcb, arriving.seg, self.settings.rst_policy);
        let action = match disposition {
            ForConnection::Handshake(ForHandshake::Accept(accepted)) => {
                self.accept_segment(i, arriving, rule, &accepted)
            }
            ForConnection::Handshake(ForHandshake::Answer(answer)) => self.answer(i, arriving, answer),
            ForConnection::Handshake(ForHandshake::SynAckAgain) => {
                let c = &mut self.connections[i];
                timestamps::note(&mut c.tcb, arriving.seg, now);
                c.ecn.renew(arriving.seg.header.control);
                let action = grant(Action::SynAcked, &mut c.quota, arriving.now, &self.settings, &mut self.counters);
                if action == Action::SynAcked {
                    c.set(Due::RESEND);
                }
                action
            }
            ForConnection::Handshake(ForHandshake::Reset(reset)) if state == State::SynSent => {
                self.reset_and_try_again(i, arriving, reset)
            }
            ForConnection::Handshake(ForHandshake::Reset(reset)) => self.reply_reset(arriving, reset),
            ForConnection::ReturnToSynSent => self.return_to_syn_sent(arriving.now, i),
            ForConnection::End(reason) => {
                self.keep_peer_reason(i, arriving.seg);
                self.end(i, reason, false);
                Action::Ended(reason)
            }
        };
        self.settle(i);
        Verdict { rule, action, state }
    }

    #[inline(never)]
    fn answer(&mut self, i: Id<Connection>, arriving: &Arriving<'_>, answer: Answer) -> Action {
        let Arriving { now, seg, .. } = arriving;
        let c = &mut self.connections[i];
        let action = grant_answer(answer, &mut c.quota, *now, &self.settings, &mut self.counters);
        if action.is_empty_ack() {
            c.set(Due::CHALLENGE);
        }
        if answer == (Answer::Acknowledge { limited: false }) {
            receive::record_whole_duplicate(c, seg);
        }
        // Withheld, it is owed as much as one that was lost.
        if answer == Answer::Challenge && seg.has(Control::RST) {
            self.expect_answer(i, seg.header.seq);
        }
        action
    }

    /// What the peer holds is over with our RST: the next SYN need not wait for its timer. It follows the RST, which goes first of all.
    fn reset_and_try_again(&mut self, i: Id<Connection>, arriving: &Arriving<'_>, reset: Reset) -> Action {
        if self.replies.push_front(self.reset_reply(arriving, reset)).is_ok() {
            self.is_segments_turn = false;
            self.lost_peer_is_told(arriving);
            self.syn_again(arriving.now, i);
        } else {
            count(&mut self.counters.replies_lost);
        }
        Action::Reset(reset.reason)
    }

    /// A challenge to an RST may be lost: it is sent again, unless the peer is heard before. One that is awaited already is not put off.
    fn expect_answer(&mut self, i: Id<Connection>, rst: Seq) {
        let c = &mut self.connections[i];
        if !c.has(Marks::ASKING) && c.tcb.state().is_synchronized() {
            if c.has(Marks::DELACK) {
                // The field is the challenge's now; what was held back does not wait for it.
                c.set(Due::ACK_NOW);
            }
            c.clear(Marks::DELACK | Marks::ASKED_AGAIN);
            c.set(Marks::ASKING);
            if !c.has(Flags::FIN_HELD) {
                // At most the right edge; the number before RCV.NXT counts as RCV.NXT.
                c.last_word_at =
                    Size::try_from(rst.since(c.tcb.rcv_nxt)).ok().filter(|at| *at <= c.tcb.rcv_wnd).unwrap_or(0);
            }
            c.ack_at = self.clock.ms().after(send::first_rto_ms(c, &self.settings));
        }
    }
}

/// Returns what becomes of an answer: dropped, withheld by the record's quota and counted, or an empty ACK.
pub(super) fn grant_answer(
    answer: Answer,
    quota: &mut Quota,
    now: Instant,
    settings: &Settings,
    counters: &mut Counters,
) -> Action {
    match answer {
        Answer::Drop => Action::Dropped,
        Answer::Acknowledge { limited: false } => Action::Acknowledged,
        Answer::Acknowledge { limited: true } => grant(Action::Acknowledged, quota, now, settings, counters),
        Answer::Challenge => grant(Action::Challenged, quota, now, settings, counters),
    }
}

/// Returns the action if the record's quota admits one more; what is withheld is counted.
pub(super) fn grant(
    action: Action,
    quota: &mut Quota,
    now: Instant,
    settings: &Settings,
    counters: &mut Counters,
) -> Action {
    if quota.spend(now, settings.challenge_limit) {
        return action;
    }
    count(&mut counters.limited);
    Action::Limited
}

fn dropped(rule: Rule) -> Verdict {
    Verdict { rule, action: Action::Dropped, state: State::Closed }
}
