//! After a restart: each peer that the journal remembers is asked by one probe, in its own words: an ACK of nothing it knows draws its own
//! numbers, and those the exact RST (§3.5.1, §3.10.7.1). Here too: when a connection's record is written and cleared.

use core::net::IpAddr;

use crate::config::{InvalidSetting, Setting};
use crate::connection::flags::{Due, Marks};
use crate::connection::slot::Connection;
use crate::counters::count;
use crate::engine::arriving::Arriving;
use crate::engine::event::{Event, LostPeer};
use crate::engine::keeping::{Keeping, Offered, Probe, Standing};
use crate::engine::replies::Reply;
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::reset::Reset;
use crate::rules::verdict::{Action, Fate, ResetReason, Timer, Verdict};
use crate::tables::half_open::HalfOpen;
use crate::tables::journal::{Found, Journal, Life, Notes, Pair, Phase};
use crate::time::{Instant, Millis, earlier};
use crate::wire::addr::{Addr, LinkAddr, Tuple, endpoints};
use crate::wire::options::Options;
use crate::wire::segment::Control;
#[cfg(feature = "timestamps")]
use crate::wire::timestamps::Timestamps;

/// How often a peer is asked: at once, and after 1, 3, 7, 15 and 31 s.
const TRIES: u8 = 6;
const FIRST_WAIT_MS: u32 = 1_000;
/// When a silent peer is given up, from the first attempt on. As long an IPv6 address is waited for where others of its scope are known, and a device
/// that takes nothing.
const PATIENCE_MS: u32 = 60_000;
/// How long an address is waited for where there is none of its family and scope, but others: as long as a router takes to start that lost power too.
const LONG_PATIENCE_MS: u32 = 600_000;
/// How often the questions begin anew because the link or the address was away; after that they go on.
const RENEWALS: u8 = 3;

impl<'s> Tcp<'s> {
    /// Keeps a journal from now on, so that the next start can tell the peers of this one, and takes up what the last one has left there: each pair of
    /// endpoints in it is a peer that may still hold a connection which we have lost. What is in the memory and is no record is counted and cleared.
    ///
    /// A record is written when a connection is opened and when it is established. It is cleared when the connection has ended and its RST, if one is due,
    /// has left or was given up. No other segment writes one. [`Tcp::find_lost_peers`], or the link, says when the addresses are known; then every pair on
    /// an address that is ours gets one probe, four within a millisecond: an empty ACK, its numbers from the key. A peer that holds the
    /// connection answers with its own numbers and draws the RST that ends it (§3.5.2); one that does not answers with an RST. Until it does, the probe
    /// is repeated after 1, 2, 4, 8 and 16 s, and given up a minute after the first: somewhat later where the caller came late or the next hop could not
    /// be asked for at once, and after six minutes where the device takes nothing. A link or an address that comes back begins the questions anew, three
    /// times in all. [`Event::LostPeer`] tells of each what came of it; ephemeral ports avoid the pairs until then.
    ///
    /// # Errors
    /// [`Setting::Journal`] if it has fewer records than the storage has connections; nothing is looked at then. Idempotent for the journal that is kept.
    pub fn keep_journal<const N: usize>(
        &mut self,
        now: Instant,
        journal: &'s Journal<N>,
    ) -> Result<(), InvalidSetting> {
        if N < self.connections.capacity() {
            return Err(InvalidSetting(Setting::Journal));
        }
        if self.journal.book.is_same(&journal.book()) {
            return Ok(());
        }
        self.catch_up(now);
        self.journal = Keeping::of(journal.book(), self.journal.is_down);
        for at in 0..N {
            self.journal.book.set_life(at, Life::FREE);
        }
        for at in 0..N {
            self.find_in_record(at);
        }
        self.note_unrecorded();
        Ok(())
    }

    fn find_in_record(&mut self, at: usize) {
        match self.journal.book.find(at) {
            Found::Nothing => {}
            Found::Invalid => {
                count(&mut self.counters.journal.ignored);
                self.journal.clear(at);
            }
            // It was never lost: the journal is kept again.
            Found::Pair(pair) if self.connections.find(&pair.tuple, self.keyed.index_hash(&pair.tuple)).is_some() => {
                self.journal.clear(at);
            }
            Found::Pair(pair) => match self.journal.find_lost(&pair.tuple) {
                // A connection that took its predecessor's pair over, and was lost before it was established.
                Some(_) if self.journal.book.number(at).is_none() => self.journal.clear(at),
                Some((other, _)) => {
                    self.journal.turn(other, Life::FREE);
                    self.journal.clear(other);
                    self.journal.turn(at, Life { phase: Phase::Waiting, ..Life::FREE });
                }
                None => {
                    count(&mut self.counters.journal.found);
                    self.journal.turn(at, Life { phase: Phase::Waiting, ..Life::FREE });
                }
            },
        }
    }

    /// Says which addresses are ours, so that the peers lost there are told: after [`Tcp::keep_journal`], and whenever the addresses
    /// change. A [`crate::link::Link`] does this by itself.
    ///
    /// A pair on another IPv4 address than those is forgotten. One on another IPv6 address waits for a minute, as a host has several and
    /// learns them one by one. Where there is none of its family (and scope, RFC 4007 §4), it waits for ten minutes, and without any address until there
    /// is one.
    pub fn find_lost_peers(&mut self, now: Instant, ours: &[IpAddr]) {
        self.catch_up(now);
        let has = |is_it: &dyn Fn(Addr) -> bool| ours.iter().filter_map(|ip| Addr::of(*ip)).any(is_it);
        self.place_lost_peers(true, |tuple| {
            let local = tuple.local_addr;
            if has(&|addr| addr == tuple.remote_addr) {
                Standing::Impossible
            } else if has(&|addr| addr == local) {
                Standing::Ours
            } else if has(&|addr| addr.is_v4() == local.is_v4() && addr.is_link_local() == local.is_link_local()) {
                Standing::Other
            } else if ours.is_empty() {
                Standing::NoAddress
            } else {
                Standing::NoneAlike
            }
        });
    }

    /// The addresses may be told without a time: what begins to wait then is timed when one is told.
    pub(crate) fn place_lost_peers(&mut self, is_time_told: bool, standing: impl Fn(&Tuple) -> Standing) {
        for (at, life) in self.journal.lost() {
            let Some(pair) = self.journal.book.pair(at) else { continue };
            let timing = if is_time_told { Notes::ARMED } else { Notes::UNTIMED };
            let waits = life.phase == Phase::Waiting && life.is_timed();
            match standing(&pair.tuple) {
                Standing::Ours if life.phase == Phase::Waiting => self.begin_asking(at, timing),
                Standing::Ours => {}
                Standing::Impossible => self.finish(at, Fate::Forgotten),
                Standing::Other if pair.tuple.local_addr.is_v4() => self.finish(at, Fate::Forgotten),
                Standing::Other if waits && !life.has(Notes::LONG) => {}
                Standing::Other => self.wait_for_address(at, timing),
                // Whatever addresses come and go meanwhile, the limit holds that was begun.
                Standing::NoneAlike | Standing::NoAddress if waits => {}
                Standing::NoneAlike => self.wait_for_address(at, timing | Notes::LONG),
                Standing::NoAddress => self.wait_for_address(at, Notes::empty()),
            }
        }
    }

    fn wait_for_address(&mut self, at: usize, timing: Notes) {
        let life = self.journal.book.life(at).in_phase(Phase::Waiting);
        self.journal.turn(at, self.armed(Life { notes: life.notes | timing, ..life }));
    }

    /// The address is ours, for the first time or again.
    fn begin_asking(&mut self, at: usize, timing: Notes) {
        let life = self.journal.book.life(at).in_phase(Phase::Due);
        let life = if life.tries == 0 { life } else { renewed(life).unwrap_or(life) };
        if life.tries >= TRIES {
            return self.finish(at, Fate::GivenUp);
        }
        self.journal.turn(at, self.armed(Life { notes: life.notes | timing, ..life }));
    }

    /// With the limit that begins now, if one does.
    fn armed(&self, life: Life) -> Life {
        let patience = if life.has(Notes::LONG) { LONG_PATIENCE_MS } else { PATIENCE_MS };
        Life { at: self.clock.ms().after(patience).0, ..life }
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
        let lives = (0..book.len()).map(move |at| (at, book.life(at)));
        lives.filter(move |(_, life)| is_one(life)).filter_map(move |(at, life)| {
            let (local, remote) = endpoints(&book.pair(at)?.tuple, self.settings.zone);
            let fate = if life.is_open() { None } else { Some(life.fate) };
            Some(LostPeer { record: u16::try_from(at).ok()?, local, remote, probes: life.sent, fate })
        })
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

    /// A connection was opened or is established: its record is written, with what is known of its path. Once it is established, its peer has no other
    /// on the pair.
    pub(crate) fn note_begin(&mut self, i: Id<Connection>) {
        if self.journal.book.len() == 0 {
            return;
        }
        let c = &self.connections[i];
        let link_addr = c.has(Marks::LINK_ADDR_KNOWN).then_some(c.link_addr);
        let pair = Pair { tuple: c.tcb.tuple, link_addr };
        if c.tcb.state().is_synchronized()
            && let Some((at, life)) = self.journal.find_lost(&pair.tuple)
        {
            let fate = if life.notes.intersects(Notes::TOLD | Notes::NUMBER_USED) { Fate::Told } else { Fate::Gone };
            self.finish(at, fate);
        }
        let Some(at) = self.journal.live_record(i).or_else(|| self.journal.free_record()) else {
            self.journal.is_short = true;
            return;
        };
        let Life { notes, fate, .. } = self.journal.book.life(at);
        // An event about the peer that had it may not be told yet.
        let notes = notes & Notes::NEWS;
        self.journal.turn(at, Life { phase: Phase::Live, notes, fate, at: u32::from(i.number()), ..Life::FREE });
        self.journal.write(at, &pair);
    }

    /// Connections that have no record, for want of one or because there was no journal yet.
    fn note_unrecorded(&mut self) {
        self.journal.is_short = false;
        for i in self.connections.ids() {
            let c = &self.connections[i];
            let is_noted = !c.is_used() || !is_to_be_noted(c) || self.journal.live_record(i).is_some();
            if !is_noted {
                self.note_begin(i);
            }
        }
    }

    /// The connection is over; while its RST is still to leave, its record stays.
    pub(crate) fn note_end(&mut self, i: Id<Connection>) {
        if is_to_be_noted(&self.connections[i]) {
            return;
        }
        if let Some(at) = self.journal.live_record(i) {
            let Life { notes, fate, .. } = self.journal.book.life(at);
            self.journal.turn(at, Life { notes: notes & Notes::NEWS, fate, ..Life::FREE });
            self.journal.clear(at);
            if self.journal.is_short {
                self.note_unrecorded();
            }
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
            return self.denied_attempt(life, arriving).is_some();
        }
        seg.has(Control::ACK) && !seg.has(Control::SYN) && seg.header.ack != self.half_open[h].iss + 1
    }

    /// Returns whose number an RST sits at: that of the attempt whose probe acknowledged it. Its sender has no connection (§3.10.7.1).
    fn denied_attempt(&self, life: Life, arriving: &Arriving<'_>) -> Option<u8> {
        let number = |attempt| self.keyed.probe_numbers(arriving.tuple, attempt).1;
        (0..life.tries).find(|attempt| number(*attempt) == arriving.seg.header.seq)
    }

    /// A segment for no connection: perhaps a lost peer's.
    pub(crate) fn hear_lost_peer(&mut self, arriving: &Arriving<'_>, verdict: &Verdict) {
        let Some((at, life)) = self.journal.find_lost(arriving.tuple) else { return };
        if arriving.seg.has(Control::RST) {
            if let Some(attempt) = self.denied_attempt(life, arriving) {
                // What it had before an RST of ours could arrive, it had lost by itself.
                let was_told = life.has(Notes::TOLD) && attempt >= life.told_after || life.has(Notes::NUMBER_USED);
                self.finish(at, if was_told { Fate::Told } else { Fate::Gone });
            }
        } else if matches!(verdict.action, Action::Reset(_)) {
            // Perhaps it found no place among the replies.
            let is_told = |reply: &Reply| reply.reason.is_some() && reply.tuple == *arriving.tuple;
            if self.replies.back().is_some_and(is_told) {
                self.lost_peer_is_told(arriving);
            }
        }
    }

    /// A segment on a lost peer's pair has drawn an RST. An empty ACK without a window may be a probe: of a peer that has lost the connection as
    /// we have. What it answers to ours tells the two apart.
    pub(crate) fn lost_peer_is_told(&mut self, arriving: &Arriving<'_>) {
        let Some((at, life)) = self.journal.find_lost(arriving.tuple) else { return };
        let seg = arriving.seg;
        if !seg.has(Control::ACK) || life.has(Notes::ANNOUNCED) {
            return;
        }
        let is_first = !life.has(Notes::TOLD);
        let told_after = if is_first { attempts_over(life) } else { life.told_after };
        let life = Life { notes: life.notes | Notes::TOLD, told_after, ..life };
        let is_like_probe = seg.header.control == Control::ACK && seg.header.wnd == 0 && seg.payload.is_empty();
        if is_like_probe {
            self.journal.turn(at, life);
        } else {
            self.tell(at, Life { notes: life.notes | Notes::ANNOUNCED, fate: Fate::Told, ..life });
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
        if life.has(Notes::ANNOUNCED) {
            self.journal.turn(at, Life { phase: Phase::Over, ..life });
        } else {
            let was_told = life.has(Notes::TOLD) && matches!(fate, Fate::GivenUp | Fate::Forgotten);
            self.tell(at, Life { phase: Phase::Over, fate: if was_told { Fate::Told } else { fate }, ..life });
        }
        self.journal.clear(at);
        if self.journal.is_short {
            self.note_unrecorded();
        }
    }

    #[inline]
    pub(crate) fn next_lost_peer_event(&mut self) -> Option<Event> {
        if self.journal.news == 0 { None } else { self.lost_peer_event() }
    }

    #[cold]
    fn lost_peer_event(&mut self) -> Option<Event> {
        let Some((at, life)) = self.journal.book.lives().find(|(_, life)| life.has(Notes::NEWS)) else {
            self.journal.recount();
            return None;
        };
        self.journal.turn(at, Life { notes: life.notes - Notes::NEWS, ..life });
        u16::try_from(at).ok().map(|at| Event::LostPeer(at, life.fate))
    }

    #[inline]
    pub(crate) fn next_probe(&mut self) -> Option<Probe> {
        if self.journal.due == 0 { None } else { self.probe() }
    }

    /// The probe that is to go out now, if one is: where SND.NXT was noted, first the exact RST.
    #[cold]
    fn probe(&mut self) -> Option<Probe> {
        if self.journal.is_down || self.journal.is_paced_out(self.clock.ms()) {
            return None;
        }
        let (at, life) = self.journal.next_due()?;
        let Pair { tuple, link_addr } = self.journal.book.pair(at)?;
        let attempt = attempts_over(life);
        // The next hop may have another address by now; whether the peer was told is asked where it was told.
        let is_fresh = attempt == 0 || attempt == 1 && life.has(Notes::TOLD);
        let last = link_addr.unwrap_or_default();
        let reply = match self.journal.book.number(at).filter(|_| !life.has(Notes::NUMBER_USED)) {
            Some(seq) => Reply::reset(&tuple, last, Reset { reason: ResetReason::Restarted, seq, ack: None }),
            None => {
                let (seq, ack) = self.keyed.probe_numbers(&tuple, attempt);
                Reply { options: self.options_of_probe(&tuple, attempt), ..Reply::ack(&tuple, last, seq, ack, 0) }
            }
        };
        self.journal.offered = Offered { reply, link_addr: link_addr.filter(|_| is_fresh), last };
        u16::try_from(at).ok().map(Probe)
    }

    /// Peers that want a timestamp on every segment, if the connection had them, pass over the first two attempts; those after that have one. It is nobody's, and
    /// before the peer's TS.Recent or behind it, so that every second one passes PAWS, whichever half of all acknowledgments the peer passes over.
    fn options_of_probe(&self, tuple: &Tuple, attempt: u8) -> Options {
        let mut options = Options::NONE;
        #[cfg(feature = "timestamps")]
        if self.settings.timestamps && attempt >= 2 {
            let half = u32::from((attempt ^ attempt >> 1) & 1) << 31;
            options.timestamps = Some(Timestamps { value: self.keyed.timestamp_offset(tuple) ^ half, echo: 0 });
        }
        #[cfg(not(feature = "timestamps"))]
        let _ = (tuple, attempt, &mut options);
        options
    }

    pub(crate) fn offered(&self, _: Probe) -> &Offered {
        &self.journal.offered
    }

    pub(crate) fn set_probe_link_addr(&mut self, _: Probe, link_addr: LinkAddr) {
        self.journal.offered.link_addr = Some(link_addr);
    }

    pub(crate) fn sent_probe(&mut self, Probe(at): Probe) {
        let at = usize::from(at);
        let life = self.journal.book.life(at);
        let now = self.clock.ms();
        self.journal.spend_pace(now);
        self.journal.had_turn(at);
        if self.journal.offered.reply.reason.is_some() {
            // The probe follows.
            return self.journal.turn(at, Life { notes: life.notes | Notes::NUMBER_USED, ..life });
        }
        count(&mut self.counters.journal.probes);
        let life = count_attempt(life, now);
        // A question that had to wait for its next hop is given a second at least.
        let least = now.after(FIRST_WAIT_MS);
        let until = if Millis(life.at).is_before(least) { least.0 } else { life.at };
        let notes = life.notes - (Notes::COUNTED | Notes::UNASKED);
        let sent = life.sent.saturating_add(1);
        self.journal.turn(at, Life { phase: Phase::Asked, sent, notes, at: until, ..life });
    }

    /// The next hop is asked for, or cannot be asked for now; the probe goes when it is known, or with the next attempt.
    pub(crate) fn defer_probe(&mut self, Probe(at): Probe, is_asked: bool) {
        let at = usize::from(at);
        self.journal.had_turn(at);
        let mut life = count_attempt(self.journal.book.life(at), self.clock.ms());
        life.notes.set(Notes::UNASKED, !is_asked);
        self.journal.turn(at, Life { phase: Phase::Parked, ..life });
    }

    /// A neighbor's address was learned: who waits for one is asked at once.
    pub(crate) fn wake_parked(&mut self) {
        self.wake_those(|_| true);
    }

    /// Questions to neighbors have gone unanswered: others have room for theirs.
    pub(crate) fn wake_unasked(&mut self) {
        self.wake_those(|life| life.has(Notes::UNASKED));
    }

    fn wake_those(&mut self, which: impl Fn(&Life) -> bool) {
        for (at, life) in self.journal.lost().filter(|(_, life)| life.phase == Phase::Parked && which(life)) {
            self.journal.turn(at, Life { phase: Phase::Due, ..life });
        }
    }

    /// The link is down: nobody is asked, and nobody given up, until [`Tcp::link_restored`].
    pub(crate) fn suspend_probes(&mut self) {
        self.journal.is_down = true;
    }

    /// What was asked without a link was not asked, and no address was learned there: the questions begin anew. A link that comes and goes without end
    /// renews them no more than [`RENEWALS`] times.
    pub(crate) fn resume_probes(&mut self) {
        self.journal.is_down = false;
        for (at, life) in self.journal.lost().filter(|(_, life)| life.is_timed()) {
            let is_waiting = life.phase == Phase::Waiting;
            if !is_waiting && life.tries == 0 {
                self.journal.turn(at, self.armed(life));
            } else if let Some(life) = renewed(life) {
                let timing = life.notes & Notes::LONG | Notes::ARMED;
                let life = life.in_phase(if is_waiting { Phase::Waiting } else { Phase::Due });
                let notes = (life.notes | timing) - Notes::NUMBER_USED;
                self.journal.turn(at, self.armed(Life { notes, ..life }));
            }
        }
    }

    #[inline]
    pub(crate) fn lost_peers_due(&mut self) {
        if self.journal.timed > 0 && !self.journal.is_down {
            self.run_lost_peers();
        }
    }

    #[cold]
    fn run_lost_peers(&mut self) {
        let now = self.clock.ms();
        for (at, life) in self.journal.lost().filter(|(_, life)| life.is_timed()) {
            if life.has(Notes::UNTIMED) {
                let notes = (life.notes - Notes::UNTIMED) | Notes::ARMED;
                self.journal.turn(at, self.armed(Life { notes, ..life }));
                continue;
            }
            if !Millis(life.at).is_reached(now) {
                continue;
            }
            if life.phase == Phase::Waiting {
                self.finish(at, Fate::Forgotten);
                continue;
            }
            // What the device has not taken in time was an attempt too.
            let is_uncounted = life.phase == Phase::Due && !life.has(Notes::COUNTED);
            let tries = life.tries + u8::from(is_uncounted);
            if tries >= TRIES {
                self.finish(at, Fate::GivenUp);
            } else {
                let notes = life.notes - (Notes::COUNTED | Notes::UNASKED);
                self.journal.turn(at, self.armed(Life { phase: Phase::Due, tries, notes, ..life }));
            }
        }
    }

    /// When a lost peer is asked again, or given up.
    #[inline]
    pub(crate) fn lost_peer_deadline(&self) -> Option<(Millis, Timer)> {
        if self.journal.timed == 0 || self.journal.is_down { None } else { self.first_lost_peer_due() }
    }

    #[cold]
    fn first_lost_peer_due(&self) -> Option<(Millis, Timer)> {
        let now = self.clock.ms();
        let deadline = |life: Life| if life.has(Notes::UNTIMED) { now } else { Millis(life.at) };
        let deadlines = self.journal.lost().filter(|(_, life)| life.is_timed()).map(|(_, life)| deadline(life));
        let is_held_back = self.journal.due > 0 && self.journal.is_paced_out(now);
        let all = deadlines.chain(is_held_back.then(|| now.after(1)));
        let first = all.fold(None, |first, at| earlier(first, Some(at), |at, than| at.is_before(*than)));
        first.map(|at| (at, Timer::LostPeer))
    }

    /// Checks the sums, and that what is to be noted is.
    pub(crate) fn is_journal_right(&self) -> bool {
        let Keeping { open, due, timed, news, is_short, .. } = self.journal;
        let is_noted = |i, c| self.journal.live_record(i).is_some() == is_to_be_noted(c) || is_short;
        let are_all_noted = self.journal.book.len() == 0 || self.connections.iter().all(|(i, c)| is_noted(i, c));
        self.journal.sums() == [open, due, timed, news] && are_all_noted
    }
}

/// Returns whether a slot's peer would have to be told.
fn is_to_be_noted(c: &Connection) -> bool {
    !c.is_over() || c.has(Due::RESET)
}

/// How many attempts are over: the one that is put off is counted already.
fn attempts_over(life: Life) -> u8 {
    life.tries - u8::from(life.has(Notes::COUNTED))
}

/// The questions anew; `None` where they began anew too often.
fn renewed(life: Life) -> Option<Life> {
    let renewals = life.renewals + 1;
    (renewals <= RENEWALS).then_some(Life { tries: 0, told_after: 0, renewals, ..life })
}

/// An attempt is counted once, however often its question is put off.
fn count_attempt(life: Life, now: Millis) -> Life {
    if life.has(Notes::COUNTED) {
        return life;
    }
    let tries = life.tries + 1;
    // After 1, 2, 4, 8, 16 s; and then what is left of the minute.
    let wait = if tries < TRIES {
        FIRST_WAIT_MS << (tries - 1)
    } else {
        PATIENCE_MS - FIRST_WAIT_MS * ((1 << (TRIES - 1)) - 1)
    };
    let notes = (life.notes - Notes::UNTIMED) | Notes::COUNTED;
    Life { tries, notes, at: now.after(wait).0, ..life }
}
