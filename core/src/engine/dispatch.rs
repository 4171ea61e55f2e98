//! A segment arrives: which record it belongs to, and what the rules' judgement does to it.

use core::net::IpAddr;

use crate::config::Overflow;
use crate::connection::flags::{Due, Marks};
use crate::connection::send;
use crate::connection::slot::Connection;
use crate::counters::{ResetKind, count};
use crate::engine::replies::Reply;
use crate::engine::tcp::Tcp;
use crate::id::{Id, ListenerId};
use crate::rules::judgement::{Disposition, Judgement};
use crate::rules::reset::Reset;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{Action, Rule, State, Verdict};
use crate::rules::{closed, listen, segment_arrives};
use crate::tables::half_open::HalfOpen;
use crate::tables::time_wait::TimeWait;
use crate::time::Instant;
use crate::wire::addr::{Addr, Hop, Tuple};
use crate::wire::segment::{Control, ParseError, Segment};
use crate::wire::seq::Seq;

/// The IP layer's knowledge of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Arrival {
    /// Source address.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub src: IpAddr,
    /// Destination address: one of ours, which the IP layer has checked.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub dst: IpAddr,
    /// The link address the frame came from; replies go back to it.
    pub hop: Hop,
}

/// The same, of one family; the ports are the segment's to tell.
pub(crate) struct Path {
    pub(crate) tuple: Tuple,
    pub(crate) hop: Hop,
}

impl Path {
    pub(crate) fn new(src: Addr, dst: Addr, hop: Hop) -> Path {
        Path { tuple: Tuple { local_addr: dst, remote_addr: src, local_port: 0, remote_port: 0 }, hop }
    }
}

/// A parsed segment on its way through the engine.
#[derive(Clone, Copy)]
pub(crate) struct Delivery<'b> {
    pub(crate) now: Instant,
    pub(crate) hop: Hop,
    pub(crate) seg: &'b Segment<'b>,
}

impl Tcp<'_> {
    /// Takes in the octets after the IP header (RFC 9293 §3.10.7, SEGMENT ARRIVES). Poll for output afterwards.
    pub fn handle_segment(&mut self, now: Instant, arrival: &Arrival, bytes: &[u8]) -> Verdict {
        match Addr::both(arrival.src, arrival.dst) {
            Some((src, dst)) => self.handle_segment_on(now, Path::new(src, dst, arrival.hop), bytes),
            None => self.refuse(Rule::NotAnswerable),
        }
    }

    pub(crate) fn handle_segment_on(&mut self, now: Instant, path: Path, bytes: &[u8]) -> Verdict {
        self.catch_up(now);
        count(&mut self.counters.segments_in);
        let Path { mut tuple, hop } = path;
        let verdict = match self.admit(&mut tuple, bytes) {
            Ok(seg) => self.dispatch(&tuple, &Delivery { now, hop, seg: &seg }),
            Err(rule) => Verdict { rule, action: Action::Dropped, state: State::Closed },
        };
        self.counters.judged(&verdict);
        verdict
    }

    /// Counts a segment that the IP layer could not let through.
    pub(crate) fn refuse(&mut self, rule: Rule) -> Verdict {
        count(&mut self.counters.segments_in);
        let verdict = Verdict { rule, action: Action::Dropped, state: State::Closed };
        self.counters.judged(&verdict);
        verdict
    }

    /// Everything that can be wrong before a connection is looked for. Fills in the ports.
    fn admit<'b>(&self, tuple: &mut Tuple, bytes: &'b [u8]) -> Result<Segment<'b>, Rule> {
        let Tuple { local_addr, remote_addr, .. } = tuple;
        let parsed = Segment::parse_between(bytes, remote_addr, local_addr, self.settings.checksum);
        let seg = parsed.map_err(|error| match error {
            ParseError::Malformed => Rule::Malformed,
            ParseError::ChecksumWrong => Rule::ChecksumWrong,
            ParseError::UnknownFamily => Rule::NotAnswerable,
        })?;
        tuple.local_port = seg.header.dst_port;
        tuple.remote_port = seg.header.src_port;
        let has_ports = tuple.local_port != 0 && tuple.remote_port != 0;
        if has_ports && is_pair_answerable(tuple.remote_addr, tuple.local_addr) {
            Ok(seg)
        } else {
            Err(Rule::NotAnswerable)
        }
    }

    fn dispatch(&mut self, tuple: &Tuple, d: &Delivery<'_>) -> Verdict {
        let verdict = match self.last_connection.filter(|i| self.is_connection(*i, tuple)) {
            Some(i) => self.on_connection(i, d),
            None => self.dispatch_by_hash(tuple, d),
        };
        // What changes nothing is counted alone.
        if d.seg.has(Control::RST) && matches!(verdict.action, Action::Ended(_)) {
            self.log_reset(d.now, tuple, d.seg.header.seq, ResetKind::Received(verdict.rule));
        }
        verdict
    }

    fn is_connection(&self, i: Id<Connection>, tuple: &Tuple) -> bool {
        let c = &self.connections[i];
        c.tcb.tuple == *tuple && c.closed().is_none()
    }

    fn dispatch_by_hash(&mut self, tuple: &Tuple, d: &Delivery<'_>) -> Verdict {
        let hash = self.keyed.index_hash(tuple);
        if let Some(i) = self.connections.find(tuple, hash) {
            self.last_connection = Some(i);
            self.on_connection(i, d)
        } else if let Some(h) = self.half_open.find(tuple, hash) {
            match self.find_old_incarnation(h, hash, d.seg) {
                Some(w) => self.on_time_wait(w, d),
                None => self.on_half_open(h, d),
            }
        } else if let Some(w) = self.time_wait.find(tuple, hash) {
            self.on_time_wait(w, d)
        } else if let Some(l) = self.listeners.find(tuple) {
            self.on_listener(l, tuple, d)
        } else {
            self.on_nothing(tuple, d)
        }
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

    fn on_nothing(&mut self, tuple: &Tuple, d: &Delivery<'_>) -> Verdict {
        let judgement = closed::arrives(d.seg);
        let action = self.answer_stranger(tuple, d.hop, judgement.disposition);
        Verdict { rule: judgement.rule, action, state: State::Closed }
    }

    fn on_listener(&mut self, l: ListenerId, tuple: &Tuple, d: &Delivery<'_>) -> Verdict {
        let overflow: Overflow = self.listeners[l].options.overflow;
        let judgement = listen::arrives(d.seg, self.has_room_for_syn(l), overflow);
        let action = if judgement.disposition == Disposition::HalfOpen {
            let iss = self.keyed.initial_seq(d.now, tuple);
            self.open_half(l, tuple, d, iss);
            Action::SynAcked
        } else {
            self.answer_stranger(tuple, d.hop, judgement.disposition)
        };
        Verdict { rule: judgement.rule, action, state: State::Listen }
    }

    fn answer_stranger(&mut self, tuple: &Tuple, hop: Hop, disposition: Disposition) -> Action {
        match disposition {
            Disposition::Reset(reset) => self.reply_reset(tuple, hop, reset),
            Disposition::Drop
            | Disposition::Acknowledge { .. }
            | Disposition::Challenge
            | Disposition::SynAckAgain
            | Disposition::End(_)
            | Disposition::ReturnToListen
            | Disposition::ReturnToSynSent
            | Disposition::HalfOpen
            | Disposition::Reopen
            | Disposition::Restart
            | Disposition::Take(_) => Action::Dropped,
        }
    }

    fn on_connection(&mut self, i: Id<Connection>, d: &Delivery<'_>) -> Verdict {
        let c = &mut self.connections[i];
        let state = c.tcb.state();
        let Judgement { rule, disposition } = segment_arrives::arrives(&c.tcb, d.seg, self.settings.rst_policy);
        let action = match disposition {
            Disposition::Take(take) => self.take(i, d, rule, &take),
            Disposition::Acknowledge { limited: false } => {
                c.set(Due::CHALLENGE);
                Action::Acknowledged
            }
            Disposition::Acknowledge { limited: true } => {
                self.within_quota(d.now, i, Due::CHALLENGE, Action::Acknowledged)
            }
            Disposition::Challenge => {
                let action = self.within_quota(d.now, i, Due::CHALLENGE, Action::Challenged);
                // Withheld, it is owed as much as one that was lost.
                if d.seg.has(Control::RST) {
                    self.expect_answer(i, d.seg.header.seq);
                }
                action
            }
            Disposition::SynAckAgain => self.within_quota(d.now, i, Due::RESEND, Action::SynAcked),
            Disposition::Reset(reset) => {
                let tuple = c.tcb.tuple;
                if state == State::SynSent {
                    self.reset_and_try_again(d, i, reset);
                    Action::Reset(reset.reason)
                } else {
                    self.reply_reset(&tuple, d.hop, reset)
                }
            }
            Disposition::ReturnToSynSent => self.return_to_syn_sent(d.now, i),
            Disposition::End(reason) => {
                self.end(i, reason, false);
                Action::Ended(reason)
            }
            // Not asked for by the states a connection's slot can be in.
            Disposition::Drop
            | Disposition::ReturnToListen
            | Disposition::HalfOpen
            | Disposition::Reopen
            | Disposition::Restart => Action::Dropped,
        };
        self.settle(i);
        Verdict { rule, action, state }
    }

    /// What the peer holds is over with our RST: the next SYN need not wait for its timer. It follows the RST, which goes first of all.
    fn reset_and_try_again(&mut self, d: &Delivery<'_>, i: Id<Connection>, reset: Reset) {
        let tuple = self.connections[i].tcb.tuple;
        if self.replies.push_front(Reply::reset(&tuple, d.hop, reset)).is_err() {
            count(&mut self.counters.replies_lost);
            return;
        }
        self.is_segments_turn = false;
        self.syn_again(d.now, i);
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
                c.last_word_at = u16::try_from(rst.since(c.tcb.rcv_nxt)).unwrap_or(0);
            }
            c.ack_at = self.clock.ms().after(send::first_rto_ms(c, &self.settings));
        }
    }

    /// Marks an answer as due, if the connection's quota admits it.
    fn within_quota(&mut self, now: Instant, i: Id<Connection>, due: Due, granted: Action) -> Action {
        let c = &mut self.connections[i];
        if c.quota.take(now, self.settings.challenge_limit) {
            c.set(due);
            granted
        } else {
            count(&mut self.counters.limited);
            Action::Limited
        }
    }
}

/// RFC 9293 §3.9.2.3 (MUST-57, MUST-63), RFC 1122 §3.2.1.3: nothing is said to, or believed from, an address that is not one
/// host's; nor from ourselves over the wire (the LAND attack, CVE-1999-0016).
fn is_pair_answerable(src: Addr, dst: Addr) -> bool {
    let is_martian = src.is_loopback() && !dst.is_loopback();
    src.is_one_host() && dst.is_one_host() && src != dst && !is_martian
}
