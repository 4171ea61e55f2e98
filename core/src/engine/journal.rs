//! After a restart: each peer that the journal remembers is asked by one probe, in its own words: an ACK of nothing it knows draws its own
//! numbers, and those the exact RST (§3.5.1, §3.10.7.1). Here too: when a connection's record is written and cleared.

use core::net::IpAddr;

use crate::config::{InvalidSetting, Setting};
use crate::connection::flags::{Due, Marks};
use crate::connection::slot::Connection;
use crate::counters::count;
use crate::engine::arriving::Arriving;
use crate::engine::event::{Event, LostPeer};
use crate::engine::keeping::{Keeping, Probe, Standing, TRIES};
use crate::engine::replies::Reply;
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::reset::Reset;
use crate::rules::verdict::{Action, Fate, ResetReason, Timer, Verdict};
use crate::tables::half_open::HalfOpen;
use crate::tables::journal::{Found, Journal, Life, Notes, Pair, Phase};
use crate::time::{Instant, Millis, earlier};
use crate::wire::addr::{Addr, LinkAddr, Tuple, endpoints};
use crate::wire::segment::Control;

/// A peer is asked at once and after 1, 3, 7, 15 and 31 s.
const FIRST_WAIT_MS: u32 = 1_000;
/// When it is given up, from the first time on. As long an IPv6 address is waited for where others of its scope are known.
const PATIENCE_MS: u32 = 60_000;
/// How many begin within a millisecond.
const PACE: u32 = 4;

impl<'s> Tcp<'s> {
    /// Keeps a journal from now on, so that the next start can tell the peers of this one, and takes up what the last one has left there: each pair of
    /// endpoints in it is a peer that may still hold a connection which we have lost. What is in the memory and is no record is counted and cleared.
    ///
    /// A record is written when a connection is opened and when it is established, cleared when it has ended and its RST, if one is due, has left; no segment
    /// writes one. [`Tcp::find_lost_peers`], or the link, says when the addresses are known; then every pair on an address that is ours gets one probe,
    /// four pairs within a millisecond: an empty ACK, its numbers from the key. A peer that holds the connection answers with its own numbers and
    /// draws the RST that ends it (§3.5.2); one that does not answers with an RST. Until it does, the probe is repeated after 1, 2, 4, 8 and 16 s, and
    /// given up after a minute in all. [`Event::LostPeer`] tells of each what came of it; ephemeral ports avoid the pairs until then.
    ///
    /// # Errors
    /// [`Setting::Journal`] if it has fewer records than the storage has connections; nothing is looked at then.
    pub fn keep_journal<const N: usize>(
        &mut self,
        now: Instant,
        journal: &'s Journal<N>,
    ) -> Result<(), InvalidSetting> {
        if N < self.connections.capacity() {
            return Err(InvalidSetting(Setting::Journal));
        }
        self.catch_up(now);
        self.journal = Keeping { book: journal.book(), is_down: self.journal.is_down, ..Keeping::NONE };
        for at in 0..N {
            self.journal.book.set_life(at, Life::FREE);
        }
        for at in 0..N {
            self.find_in_record(at);
        }
        for i in self.connections.ids() {
            let c = &self.connections[i];
            if c.is_used() && !c.is_over() {
                self.note_begin(i);
            }
        }
        Ok(())
    }

    fn find_in_record(&mut self, at: usize) {
        let counters = &mut self.counters.journal;
        match self.journal.book.find(at) {
            Found::Nothing => {}
            Found::Invalid => {
                count(&mut counters.ignored);
                self.journal.clear(at);
            }
            // A connection that took its predecessor's pair over.
            Found::Pair(pair) if self.journal.find_lost(&pair.tuple).is_some() => {
                self.journal.clear(at);
            }
            Found::Pair(_) => {
                count(&mut counters.found);
                self.journal.turn(at, Life { phase: Phase::Waiting, ..Life::FREE });
            }
        }
    }

    /// Says which addresses are ours, so that the peers lost there are told: after [`Tcp::keep_journal`], and whenever the addresses
    /// change. A [`crate::link::Link`] does this by itself.
    ///
    /// A pair on another IPv4 address than those is forgotten. One on another IPv6 address waits for a minute, as a host has several and
    /// learns them one by one. Where there is none of its family (and scope, RFC 4007 §4), it waits.
    pub fn find_lost_peers(&mut self, now: Instant, ours: &[IpAddr]) {
        self.catch_up(now);
        let has = |is_it: &dyn Fn(Addr) -> bool| ours.iter().filter_map(|ip| Addr::of(*ip)).any(is_it);
        self.place_lost_peers(|tuple| {
            let local = tuple.local_addr;
            if has(&|addr| addr == tuple.remote_addr) {
                Standing::Impossible
            } else if has(&|addr| addr == local) {
                Standing::Ours
            } else if has(&|addr| addr.is_v4() == local.is_v4() && addr.is_link_local() == local.is_link_local()) {
                Standing::Other
            } else {
                Standing::Unknown
            }
        });
    }

    pub(crate) fn place_lost_peers(&mut self, standing: impl Fn(&Tuple) -> Standing) {
        let ms = self.clock.ms();
        let mut begun = 0;
        for (at, life) in self.journal.lost() {
            let Some(pair) = self.journal.book.pair(at) else { continue };
            match standing(&pair.tuple) {
                Standing::Ours if life.phase == Phase::Waiting => {
                    self.begin_asking(at, life, ms, begun);
                    begun += 1;
                }
                Standing::Ours => {}
                Standing::Impossible => self.finish(at, Fate::Forgotten),
                Standing::Other if pair.tuple.local_addr.is_v4() => self.finish(at, Fate::Forgotten),
                Standing::Other if life.phase == Phase::Waiting && life.has(Notes::ARMED) => {}
                Standing::Other => {
                    let notes = life.notes | Notes::ARMED;
                    self.journal.turn(at, Life { phase: Phase::Waiting, notes, at: ms.after(PATIENCE_MS).0, ..life });
                }
                Standing::Unknown => {
                    let notes = life.notes - Notes::ARMED;
                    self.journal.turn(at, Life { phase: Phase::Waiting, notes, ..life });
                }
            }
        }
    }

    /// The first ones at once, the others a little later.
    fn begin_asking(&mut self, at: usize, life: Life, now: Millis, begun: u32) {
        let phase = if begun < PACE { Phase::Due } else { Phase::Asked };
        let notes = (life.notes - Notes::PARKED) | Notes::ARMED;
        self.journal.turn(at, Life { phase, tries: 0, notes, at: now.after(begun / PACE).0, ..life });
    }

    /// Notes where each connection's sending stands, before a restart that leaves no time for [`Tcp::abort_all`]: a watchdog's warning, a
    /// panic. The next start sends each of these peers the exact RST before it asks; one that has been sent to since passes over it.
    pub fn note_sequence_numbers(&mut self) {
        for (i, c) in self.connections.iter() {
            if let Some(at) = self.journal.live_record(i) {
                self.journal.has_changed = true;
                self.journal.book.set_number(at, c.tcb.reset_seq());
            }
        }
    }

    /// Lists the peers that the last restart has lost, also those that are done with while their records are not used again.
    pub fn lost_peers(&self) -> impl Iterator<Item = LostPeer> + '_ {
        let book = self.journal.book;
        let is_one = |life: &Life| life.is_open() || life.phase == Phase::Over;
        (0..book.len()).map(move |at| (at, book.life(at))).filter(move |(_, life)| is_one(life)).filter_map(
            move |(at, life)| {
                let (local, remote) = endpoints(&book.pair(at)?.tuple, self.settings.zone);
                let fate = if life.is_open() { None } else { Some(life.fate) };
                Some(LostPeer { record: u16::try_from(at).ok()?, local, remote, probes: life.tries, fate })
            },
        )
    }

    /// Returns whether there are peers that the last restart has lost and that are not done with.
    pub fn has_lost_peers(&self) -> bool {
        self.journal.open > 0
    }

    /// Returns whether records have changed since this was asked for last.
    #[cfg(feature = "embassy")]
    pub(crate) fn take_journal_change(&mut self) -> bool {
        core::mem::take(&mut self.journal.has_changed)
    }

    /// A connection was opened or is established: its record is written, with what is known of its path.
    pub(crate) fn note_begin(&mut self, i: Id<Connection>) {
        if self.journal.book.len() == 0 {
            return;
        }
        let c = &self.connections[i];
        let link_addr = if c.has(Marks::LINK_ADDR_KNOWN) { c.link_addr } else { LinkAddr::default() };
        let pair = Pair { tuple: c.tcb.tuple, link_addr };
        let Some(at) = self.journal.live_record(i).or_else(|| self.journal.free_record()) else { return };
        if self.journal.book.life(at).is_open() {
            self.finish(at, Fate::Forgotten);
        }
        let news = self.journal.book.life(at).notes & Notes::NEWS;
        let life = Life { phase: Phase::Live, notes: news, at: u32::from(i.number()), ..Life::FREE };
        self.journal.turn(at, Life { fate: self.journal.book.life(at).fate, ..life });
        self.journal.write(at, &pair);
    }

    /// The connection is over; while its RST is still to leave, its record stays.
    pub(crate) fn note_end(&mut self, i: Id<Connection>) {
        if self.connections[i].has(Due::RESET) {
            return;
        }
        if let Some(at) = self.journal.live_record(i) {
            let Life { notes, fate, .. } = self.journal.book.life(at);
            self.journal.turn(at, Life { notes: notes & Notes::NEWS, fate, ..Life::FREE });
            self.journal.clear(at);
        }
    }

    /// Returns whether a peer that was lost may still hold this pair.
    pub(crate) fn is_lost(&self, tuple: &Tuple) -> bool {
        self.journal.find_lost(tuple).is_some()
    }

    /// A handshake that a SYN, perhaps a forged one, has begun on a lost peer's pair: what acknowledges nothing of it, and the RST that a probe has
    /// drawn, are the old connection's. Else forged SYNs would keep the peer from being told.
    pub(crate) fn is_of_lost_peer(&self, h: Id<HalfOpen>, arriving: &Arriving<'_>) -> bool {
        let Some((_, life)) = self.journal.find_lost(arriving.tuple) else { return false };
        let seg = arriving.seg;
        if seg.has(Control::RST) {
            return self.is_denial(life, arriving);
        }
        seg.has(Control::ACK) && !seg.has(Control::SYN) && seg.header.ack != self.half_open[h].iss + 1
    }

    /// Returns whether an RST sits at a number that a probe acknowledged: its sender has no connection (§3.10.7.1).
    fn is_denial(&self, life: Life, arriving: &Arriving<'_>) -> bool {
        let number = |attempt| self.keyed.probe_numbers(arriving.tuple, attempt).1;
        (0..life.tries).any(|attempt| number(attempt) == arriving.seg.header.seq)
    }

    /// A segment for no connection: perhaps a lost peer's.
    pub(crate) fn hear_lost_peer(&mut self, arriving: &Arriving<'_>, verdict: &Verdict) {
        let Some((at, life)) = self.journal.find_lost(arriving.tuple) else { return };
        let seg = arriving.seg;
        if seg.has(Control::RST) {
            if self.is_denial(life, arriving) {
                let was_told = life.notes.intersects(Notes::TOLD | Notes::NUMBER_USED);
                self.finish(at, if was_told { Fate::Told } else { Fate::Gone });
            }
        } else if seg.has(Control::ACK) && matches!(verdict.action, Action::Reset(_)) && !life.has(Notes::TOLD) {
            // Perhaps it found no place among the replies.
            let is_told = |reply: &Reply| reply.reason.is_some() && reply.tuple == *arriving.tuple;
            if self.replies.back().is_some_and(is_told) {
                self.tell(at, Life { notes: life.notes | Notes::TOLD, fate: Fate::Told, ..life });
            }
        }
    }

    /// The one event about a lost peer.
    fn tell(&mut self, at: usize, life: Life) {
        let counters = &mut self.counters.journal;
        count(match life.fate {
            Fate::Told => &mut counters.told,
            Fate::Gone => &mut counters.gone,
            Fate::GivenUp => &mut counters.given_up,
            Fate::Forgotten => &mut counters.forgotten,
        });
        self.journal.turn(at, Life { notes: life.notes | Notes::NEWS, ..life });
    }

    fn finish(&mut self, at: usize, fate: Fate) {
        let life = self.journal.book.life(at);
        let fate = if life.has(Notes::TOLD) { Fate::Told } else { fate };
        let over = Life { phase: Phase::Over, notes: life.notes - Notes::ARMED, fate, ..life };
        if life.has(Notes::TOLD) {
            self.journal.turn(at, over);
        } else {
            self.tell(at, over);
        }
        self.journal.clear(at);
    }

    pub(crate) fn next_lost_peer_event(&mut self) -> Option<Event> {
        if self.journal.news == 0 {
            return None;
        }
        let (at, life) = self.journal.book.lives().find(|(_, life)| life.has(Notes::NEWS))?;
        self.journal.turn(at, Life { notes: life.notes - Notes::NEWS, ..life });
        u16::try_from(at).ok().map(|at| Event::LostPeer(at, life.fate))
    }

    /// The probe that is to go out now, if one is: where SND.NXT was noted, first the exact RST.
    pub(crate) fn next_probe(&mut self) -> Option<Probe> {
        if self.journal.due == 0 || self.journal.is_down {
            return None;
        }
        let (at, life) = self.journal.lost().find(|(_, life)| life.phase == Phase::Due)?;
        let Pair { tuple, link_addr } = self.journal.book.pair(at)?;
        // The next hop may have another address by now.
        let is_fresh = life.tries == 0 || life.tries == 1 && life.has(Notes::TOLD);
        let link_addr = if is_fresh { link_addr } else { LinkAddr::default() };
        self.journal.offered = match self.journal.book.number(at).filter(|_| !life.has(Notes::NUMBER_USED)) {
            Some(seq) => Reply::reset(&tuple, link_addr, Reset { reason: ResetReason::Restarted, seq, ack: None }),
            None => {
                let (seq, ack) = self.keyed.probe_numbers(&tuple, life.tries);
                Reply::ack(&tuple, link_addr, seq, ack, 0)
            }
        };
        u16::try_from(at).ok().map(Probe)
    }

    pub(crate) fn offered(&self, _: Probe) -> &Reply {
        &self.journal.offered
    }

    pub(crate) fn offered_mut(&mut self, _: Probe) -> Option<&mut Reply> {
        Some(&mut self.journal.offered)
    }

    pub(crate) fn sent_probe(&mut self, Probe(at): Probe) {
        let at = usize::from(at);
        let life = self.journal.book.life(at);
        if self.journal.offered.reason.is_some() {
            // The probe follows.
            return self.journal.turn(at, Life { notes: life.notes | Notes::NUMBER_USED, ..life });
        }
        count(&mut self.counters.journal.probes);
        self.wait_for_answer(at, life, Notes::empty());
    }

    /// The next hop is asked for; the probe goes when it is known, or when its turn comes again.
    pub(crate) fn defer_probe(&mut self, Probe(at): Probe) {
        let at = usize::from(at);
        self.wait_for_answer(at, self.journal.book.life(at), Notes::PARKED);
    }

    fn wait_for_answer(&mut self, at: usize, life: Life, more: Notes) {
        let doubled = (1 << life.tries.min(TRIES)) - 1;
        let left = PATIENCE_MS.saturating_sub(FIRST_WAIT_MS * doubled);
        let wait = if life.tries + 1 < TRIES { FIRST_WAIT_MS << life.tries } else { left };
        let notes = (life.notes - Notes::PARKED) | Notes::ARMED | more;
        let tries = life.tries + 1;
        let until = self.clock.ms().after(wait).0;
        self.journal.turn(at, Life { phase: Phase::Asked, tries, notes, at: until, ..life });
    }

    /// A neighbor's address was learned: who waits for one is asked at once.
    pub(crate) fn wake_parked(&mut self) {
        for (at, life) in self.journal.lost().filter(|(_, life)| life.has(Notes::PARKED)) {
            let notes = life.notes - Notes::PARKED;
            self.journal.turn(at, Life { phase: Phase::Due, tries: life.tries.saturating_sub(1), notes, ..life });
        }
    }

    /// The link is down: nobody is asked, and nobody given up, until [`Tcp::link_restored`].
    pub(crate) fn suspend_probes(&mut self) {
        self.journal.is_down = true;
    }

    /// What was asked without a link was not asked.
    pub(crate) fn resume_probes(&mut self) {
        self.journal.is_down = false;
        let ms = self.clock.ms();
        for (begun, (at, life)) in (0..).zip(self.journal.lost().filter(|(_, life)| life.phase != Phase::Waiting)) {
            self.begin_asking(at, life, ms, begun);
        }
    }

    pub(crate) fn lost_peers_due(&mut self) {
        let ms = self.clock.ms();
        if self.journal.is_down {
            return;
        }
        for (at, life) in self.journal.lost() {
            let is_due = life.phase != Phase::Due && life.has(Notes::ARMED) && Millis(life.at).is_reached(ms);
            if !is_due {
                continue;
            }
            if life.phase == Phase::Waiting {
                self.finish(at, Fate::Forgotten);
            } else if self.has_successor(at) {
                self.finish(at, Fate::Gone);
            } else if life.tries >= TRIES {
                self.finish(at, Fate::GivenUp);
            } else {
                self.journal.turn(at, Life { phase: Phase::Due, ..life });
            }
        }
    }

    /// Returns whether the peer has begun a new connection on the same pair.
    fn has_successor(&self, at: usize) -> bool {
        let Some(Pair { tuple, .. }) = self.journal.book.pair(at) else { return false };
        let found = self.connections.find(&tuple, self.keyed.index_hash(&tuple));
        found.is_some_and(|i| self.connections[i].tcb.state().is_synchronized())
    }

    /// When a lost peer is asked again, or given up.
    pub(crate) fn lost_peer_deadline(&self) -> Option<(Millis, Timer)> {
        if self.journal.is_down {
            return None;
        }
        let armed = |life: &Life| life.phase != Phase::Due && life.has(Notes::ARMED);
        let deadlines = self.journal.lost().filter(|(_, life)| armed(life)).map(|(_, life)| Millis(life.at));
        let first = deadlines.fold(None, |first, at| earlier(first, Some(at), |at, than| at.is_before(*than)));
        first.map(|at| (at, Timer::LostPeer))
    }

    /// Checks the sums.
    pub(crate) fn is_journal_right(&self) -> bool {
        let counted = |is_it: &dyn Fn(&Life) -> bool| self.journal.book.lives().filter(|(_, life)| is_it(life)).count();
        counted(&Life::is_open) == usize::from(self.journal.open)
            && counted(&|life| life.phase == Phase::Due) == usize::from(self.journal.due)
            && counted(&|life| life.has(Notes::NEWS)) == usize::from(self.journal.news)
            && self.connections.iter().all(|(i, c)| {
                let is_written = self.journal.live_record(i).is_some();
                let is_kept = !c.is_over() || c.has(Due::RESET);
                self.journal.book.len() == 0 || is_written == is_kept
            })
    }
}
