//! Every way to hold a slot, by every peer that gives nothing, under limits drawn at random: what ends, ends in time and by its name; what nothing
//! bounds, lives.

use std::time::Duration;

use tcp_reset_core::{CloseReason, Instant, LinkAddr, Peer, ResetReason, State, Timer};

use crate::drawn::Drawn;
use crate::holds::Hold;
use crate::peers::Actor;
use crate::support::family::over_each_side_by_side;
use crate::support::rig::{Engine, PEER_ISN, Raw, Rig, START, key, small_stream};
use crate::support::table::{ACK, RST, SYN};
use crate::{DAY, OneSlot, Rng, SLACK, end_of, ms};

/// Runs of each combination over each family.
const ROUNDS: u64 = 120;
/// A run is left after so many steps: a peer of the shortest timeouts under the longest limits is asked millions of times.
const STEPS: usize = 1_000;
/// What nothing bounds is watched for so long, or for [`STEPS`].
const WATCHED: Duration = Duration::from_secs(20 * 86_400);

/// A limit: who ends what when, at the earliest and at the latest. `None`: it need not.
struct Limit {
    timer: Timer,
    from: Instant,
    by: Option<Instant>,
}

struct Run<'l, 's> {
    rig: &'l mut Rig<'s>,
    drawn: Drawn,
    hold: Hold,
    actor: Actor,
    is_orphaned: bool,
    /// The application connected, or accepted.
    began: Instant,
    /// Our side said its last word.
    origin: Instant,
    heard: Instant,
    moved: Instant,
    has_spoken: bool,
    /// The window was opened again on something in flight, for the first time.
    reopened: Option<Instant>,
}

impl<'l, 's> Run<'l, 's> {
    fn new(rig: &'l mut Rig<'s>, rng: &mut Rng, drawn: Drawn, hold: Hold, actor: Actor, is_orphaned: bool) -> Self {
        let began = rig.engine.now;
        hold.reach(rig, &drawn, is_orphaned, delay(rng, &drawn, hold));
        let origin = rig.engine.now;
        // The last word of the peer came before ours, or right after it.
        let heard = if matches!(hold, Hold::FinWait2 | Hold::Closing) { origin } else { began };
        let has_spoken = matches!(hold, Hold::CloseWait | Hold::Closing | Hold::LastAck | Hold::LastAckWaiting);
        Run { rig, drawn, hold, actor, is_orphaned, began, origin, heard, moved: began, has_spoken, reopened: None }
    }

    /// Everything that bounds the connection, each from what it counts from.
    fn limits(&self) -> Vec<Limit> {
        let (stream, config) = (self.drawn.stream(), &self.drawn.config);
        let mut limits = Vec::new();
        let mut exactly = |timer, limit: Option<Duration>, since: Instant| {
            if let Some(limit) = limit {
                limits.push(Limit { timer, from: since + limit, by: Some(since + limit) });
            }
        };
        let is_synchronized = self.hold.state().is_synchronized();
        let waits = self.hold.owes_acknowledgment();
        exactly(Timer::Idle, stream.idle_timeout.filter(|_| is_synchronized), self.moved);
        exactly(Timer::KeepAlive, self.drawn.keep_alive().filter(|_| is_synchronized && !waits), self.heard);
        if self.is_orphaned {
            let timer = if self.hold == Hold::FinWait2 { Timer::FinWait2 } else { Timer::Orphan };
            exactly(timer, Some(config.orphan_timeout), self.origin);
        } else if self.hold == Hold::NotAccepted {
            exactly(Timer::AcceptWait, self.drawn.options.accept_timeout, self.began);
        } else if !self.has_spoken {
            exactly(Timer::FirstByte, stream.first_byte_timeout, self.began);
        }
        if waits {
            self.add_limits_of_waiting(&mut limits);
        }
        limits
    }

    fn add_limits_of_waiting(&self, limits: &mut Vec<Limit>) {
        let (stream, config) = (self.drawn.stream(), &self.drawn.config);
        let flaps = self.actor.flaps();
        if let Some(timeout) = stream.user_timeout.filter(|_| !self.is_orphaned) {
            let times = if flaps { 2 } else { 1 };
            let by = Some(self.origin + times * timeout);
            limits.push(Limit { timer: Timer::UserTimeout, from: self.origin + timeout, by });
        }
        if !self.hold.state().is_synchronized() {
            let from = self.origin + config.connect_timeout;
            limits.push(Limit { timer: Timer::Connect, from, by: Some(from + config.rto_max) });
            return;
        }
        if stream.user_timeout.is_some() && !self.is_orphaned {
            return;
        }
        // Without an application a user timeout is R2, for a peer that is silent.
        let r2 = stream.user_timeout.unwrap_or(stream.r2);
        // Whoever answers at a closed window, or after our application has left, is not ended by R2 (MUST-37).
        let answers = self.hold.is_window_closed() || self.actor == Actor::ClosesWindow || self.is_orphaned;
        let since = if answers { self.heard.max(self.origin) } else { self.origin };
        // Who opens its window, takes nothing and closes it again has one R2 more.
        let latest = if flaps && !self.is_orphaned { self.reopened } else { Some(since) };
        let by = latest.map(|latest| latest + r2 + config.rto_max);
        let from = if flaps { self.origin } else { since } + r2;
        limits.push(Limit { timer: Timer::Retransmission, from, by });
        limits.push(Limit { timer: Timer::WindowProbe, from, by });
    }

    /// Plays until the end, or until there is none to be expected. Returns whether it came to that.
    fn play(&mut self, rng: &mut Rng) -> bool {
        let first = self.limits().iter().filter_map(|limit| limit.by).min();
        let whole = first.map_or(DAY, |by| by.duration_since(self.origin)).min(30 * DAY);
        let pause = whole / u32::try_from(rng.between(1, 40)).unwrap() + ms(1);
        let horizon = self.origin + WATCHED;
        let mut next = self.origin + pause;
        let mut spoken = 0;
        for _ in 0..STEPS {
            let state = self.rig.state();
            let due = self.rig.engine.deadline.map(|(at, _)| at.max(self.rig.engine.now));
            if self.actor.speaks() && due.is_none_or(|at| next < at) {
                spoken += 1;
                self.rig.engine.now = next;
                self.hear(state, spoken);
                next = next + pause;
            } else if due.is_some() {
                let _ = self.rig.engine.next_deadline();
                let ended = end_of(self.rig).or_else(|| self.end_unaccepted());
                if let Some(reason) = ended {
                    self.assert_end(state, reason);
                    return true;
                }
                if self.actor.answer(self.rig) {
                    self.heard = self.rig.engine.now;
                }
            } else {
                assert!(self.limits().iter().all(|limit| limit.by.is_none()), "no deadline: {self}");
                return true;
            }
            assert_eq!(end_of(self.rig), None, "{self}");
            self.assert_none_is_overdue();
            if self.rig.engine.now > horizon {
                return self.limits().iter().all(|limit| limit.by.is_none());
            }
        }
        false
    }

    /// The peer says something of its own accord.
    fn hear(&mut self, state: State, spoken: u64) {
        let before = self.rig.model.rcv_nxt;
        self.actor.speak(self.rig, state, spoken);
        if self.actor != Actor::Deaf {
            self.heard = self.rig.engine.now;
        }
        // The first word leaves the window open or opens it, the second closes it. What one byte lets out depends on the probes.
        if spoken == 3 && (self.actor == Actor::FlapsWide || !self.hold.is_window_closed()) {
            self.reopened = Some(self.heard);
        }
        if self.actor == Actor::Trickles && self.rig.model.rcv_nxt != before {
            self.moved = self.rig.engine.now;
            self.has_spoken = true;
            if self.rig.handle.is_some() {
                let _ = self.rig.recv();
            }
        }
    }

    /// Nobody is told of the end of a connection that nobody has accepted.
    fn end_unaccepted(&self) -> Option<CloseReason> {
        let counters = self.rig.engine.tcp.counters();
        let is_over = self.hold == Hold::NotAccepted && counters.lost_before_accept > 0;
        CloseReason::ALL.iter().copied().find(|&reason| is_over && counters.closed(reason) > 0)
    }

    fn assert_none_is_overdue(&self) {
        let now = self.rig.engine.now;
        for limit in self.limits() {
            assert!(limit.by.is_none_or(|by| now <= by + SLACK), "{:?} is overdue: {self}", limit.timer);
        }
    }

    fn assert_end(&mut self, state: State, reason: CloseReason) {
        let CloseReason::TimedOut(timer) = reason else { panic!("{reason}: {self}") };
        let now = self.rig.engine.now;
        self.assert_none_is_overdue();
        let limits = self.limits();
        let is_its = |limit: &Limit| limit.timer == timer && limit.from <= now + SLACK;
        assert!(limits.iter().any(is_its), "ended early or by the wrong timer, {timer}: {self}");
        self.assert_within_budget();
        let is_told = state.is_synchronized() || state == State::SynReceived;
        let resets = self.rig.engine.sent.iter().filter(|sent| sent.flags & RST != 0);
        let told = resets.map(|sent| (sent.dst, sent.reason)).collect::<Vec<_>>();
        let expected = if is_told { vec![(self.rig.peer, Some(ResetReason::TimedOut))] } else { vec![] };
        assert_eq!(told, expected, "the RST of {state}: {self}");
        self.assert_slot_is_free();
    }

    /// What the documentation promises, from the last sign of life or the last byte on.
    fn assert_within_budget(&self) {
        let (drawn, kind) = (&self.drawn, self.actor.kind());
        let is_row_of_open = matches!(self.hold.state(), State::Established | State::CloseWait | State::FinWait2);
        let since = match kind {
            Peer::Silent if is_row_of_open => self.heard,
            Peer::Silent => self.origin,
            Peer::Stalling => self.origin.max(self.moved),
        };
        let bound = if self.is_orphaned {
            Some(drawn.config.orphan_timeout)
        } else if self.hold == Hold::NotAccepted {
            drawn.unaccepted(kind)
        } else {
            drawn.in_state(self.hold.state(), kind)
        };
        let took = self.rig.engine.now.duration_since(since);
        assert!(bound.is_none_or(|bound| took <= bound + SLACK), "{took:?} of {bound:?}: {self}");
    }

    /// Once the application has given its handle up, the only slot takes the next connection.
    fn assert_slot_is_free(&mut self) {
        let rig = &mut *self.rig;
        if let Some(handle) = rig.handle.take() {
            assert_eq!(rig.engine.tcp.in_use().0, 1, "held by the application");
            rig.engine.tcp.close(rig.engine.now, handle).unwrap();
            rig.engine.drain();
        }
        assert_eq!((rig.engine.tcp.in_use().0, rig.engine.tcp.pool_in_use()), (0, 0), "a free slot");
        let mut other = rig.peer;
        other.set_port(rig.peer.port() + 1);
        let opened = rig.engine.tcp.connect(rig.engine.now, rig.us, other, Some(LinkAddr::default()), small_stream());
        rig.engine.drain();
        let ack = rig.engine.only().end();
        let raw = Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: 100, ..Raw::default() };
        let _ = rig.engine.arrive(other, rig.us, &raw);
        assert_eq!(rig.engine.tcp.status(opened.unwrap()).unwrap().state, State::Established);
    }
}

impl std::fmt::Display for Run<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = |at: Instant| self.rig.engine.now.duration_since(at);
        let Run { hold, actor, is_orphaned, began, origin, heard, moved, drawn, .. } = self;
        let (began, origin, heard, moved) = (since(*began), since(*origin), since(*heard), since(*moved));
        write!(
            f,
            "{hold:?} {actor:?} orphaned {is_orphaned}; {began:?} since its begin, {origin:?} since our last word, "
        )?;
        write!(f, "{heard:?} since it was heard, {moved:?} since the last byte; {drawn:?}")
    }
}

/// A while that nothing ends or probes: the peer is silent before our last word.
fn delay(rng: &mut Rng, drawn: &Drawn, hold: Hold) -> Duration {
    let stream = drawn.stream();
    let limits = [stream.idle_timeout, stream.first_byte_timeout, stream.keep_alive.map(|keep| keep.idle)];
    let longest = limits.into_iter().flatten().min().unwrap_or(DAY);
    if matches!(hold, Hold::FinWait1Waiting | Hold::LastAckWaiting) || rng.one_in(3) {
        return Duration::ZERO;
    }
    ms(rng.between(0, u64::try_from(longest.as_millis()).unwrap() - 1))
}

/// Early, or shortly before 32 bits of milliseconds are full.
fn start(rng: &mut Rng) -> Instant {
    if rng.one_in(2) { START } else { Instant::from_millis((1 << 32) - rng.between(0, 1_000_000_000)) }
}

#[test]
fn whatever_holds_a_slot_is_ended_in_time_by_its_name_or_lives() {
    over_each_side_by_side(|family| {
        let mut rng = Rng(family as u64);
        let (mut runs, mut finished) = (0, 0);
        let mut store = Box::new(OneSlot::new());
        for hold in Hold::ALL {
            for actor in Actor::ALL.into_iter().filter(|actor| actor.suits(hold)) {
                for is_orphaned in [false, true] {
                    // Bytes for an application that has left draw an RST at once.
                    if is_orphaned && (!hold.can_be_orphaned() || actor == Actor::Trickles) {
                        continue;
                    }
                    for _ in 0..ROUNDS {
                        let drawn = Drawn::new(&mut rng);
                        drawn.check();
                        let engine = Engine::with(&mut *store, drawn.config, key(9), start(&mut rng));
                        let mut rig = Rig::new(engine, family, PEER_ISN);
                        let mut run = Run::new(&mut rig, &mut rng, drawn, hold, actor, is_orphaned);
                        finished += u32::from(run.play(&mut rng));
                        runs += 1;
                    }
                }
            }
        }
        assert!(runs > 1_000 && finished * 10 > runs * 7, "{finished} of {runs} runs came to their end");
    });
}
