//! Settings drawn at random, and the formula of the budget as its documentation says it, written anew.

use std::time::Duration;

use tcp_reset_core::{
    Budget, Config, KeepAlive, ListenOptions, MAX_PERIOD, MAX_R2, MAX_SYN_RECEIVED, Peer, State, StreamOptions,
};

use crate::support::rig::{quick_config, small_stream};
use crate::{Rng, keep, ms, secs};

/// A minute, an hour: what a limit that is neither tiny nor huge is drawn around.
const USUAL_S: u64 = 3_600;

/// Everything that bounds a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    pub(crate) config: Config,
    pub(crate) options: ListenOptions,
}

impl Drawn {
    pub(crate) fn new(rng: &mut Rng) -> Drawn {
        let (one, other) = (period(rng, MAX_PERIOD), period(rng, MAX_PERIOD));
        let (rto_min, rto_max) = if rng.one_in(2) { (secs(1), secs(60)) } else { (one.min(other), one.max(other)) };
        let config = Config {
            rto_min,
            rto_max,
            connect_timeout: period(rng, MAX_PERIOD),
            syn_received_timeout: period(rng, MAX_SYN_RECEIVED),
            time_wait: period(rng, MAX_PERIOD),
            orphan_timeout: period(rng, MAX_PERIOD),
            ..quick_config()
        };
        let most_r2 = if rng.one_in(4) { MAX_R2.as_secs() } else { 300 };
        let stream = StreamOptions {
            r2: secs(rng.between(1, most_r2)),
            user_timeout: maybe(rng, exact),
            keep_alive: maybe(rng, keep_alive),
            idle_timeout: maybe(rng, exact),
            first_byte_timeout: maybe(rng, |rng| period(rng, MAX_PERIOD)),
            ..small_stream()
        };
        let accept_timeout = maybe(rng, |rng| period(rng, MAX_PERIOD));
        Drawn { config, options: ListenOptions { accept_timeout, stream, ..ListenOptions::default() } }
    }

    pub(crate) fn stream(&self) -> &StreamOptions {
        &self.options.stream
    }

    /// *K*.
    pub(crate) fn keep_alive(&self) -> Option<Duration> {
        self.stream().keep_alive.map(total)
    }

    /// *P*.
    pub(crate) fn patience(&self) -> Duration {
        self.stream().user_timeout.unwrap_or(self.stream().r2 + self.config.rto_max)
    }

    /// *C*.
    pub(crate) fn connect(&self) -> Duration {
        self.config.connect_timeout + self.config.rto_max
    }

    /// The row of an open connection's state, while an application holds it.
    pub(crate) fn in_state(&self, state: State, peer: Peer) -> Option<Duration> {
        let stream = self.stream();
        let (idle, user) = (stream.idle_timeout, stream.user_timeout);
        match (state, peer) {
            (State::Listen, _) => Some(self.config.syn_received_timeout),
            (State::SynSent | State::SynReceived, _) => least(&[Some(self.connect()), user]),
            (State::Established | State::CloseWait | State::FinWait2, Peer::Silent) => {
                least(&[idle, self.keep_alive().map(|k| k + self.patience())])
            }
            (State::Established | State::CloseWait | State::FinWait2, Peer::Stalling) => idle,
            (State::FinWait1 | State::Closing | State::LastAck, Peer::Silent) => least(&[idle, Some(self.patience())]),
            (State::FinWait1 | State::Closing | State::LastAck, Peer::Stalling) => least(&[idle, user.map(|p| 2 * p)]),
            (State::TimeWait, Peer::Silent) => Some(self.config.time_wait),
            (State::TimeWait, Peer::Stalling) => None,
            (State::Closed, _) => Some(secs(60)),
        }
    }

    /// The row of a connection that nobody has accepted.
    pub(crate) fn unaccepted(&self, peer: Peer) -> Option<Duration> {
        let keep_alive = self.keep_alive().filter(|_| peer == Peer::Silent);
        least(&[self.options.accept_timeout, self.stream().idle_timeout, keep_alive])
    }

    pub(crate) fn first_byte(&self, peer: Peer) -> Option<Duration> {
        least(&[self.stream().first_byte_timeout, self.in_state(State::Established, peer)])
    }

    /// The longest of all rows that a connection can come to.
    pub(crate) fn longest(&self, is_passive: bool, peer: Peer) -> Option<Duration> {
        let before = if is_passive { self.unaccepted(peer) } else { self.in_state(State::SynSent, peer) };
        Some(before?.max(self.longest_while_open(peer)?))
    }

    /// The same without what is before it is open, or accepted.
    pub(crate) fn longest_while_open(&self, peer: Peer) -> Option<Duration> {
        let rows = HOLDING.map(|state| self.in_state(state, peer));
        // Closed at the last moment, a user timeout is R2: the last attempt is given its time.
        let stream = self.stream();
        let last = stream.user_timeout.map_or(Duration::ZERO, |_| self.config.rto_max.min(self.config.orphan_timeout));
        let silent = self.keep_alive().map(|k| k + self.patience() + last).filter(|_| peer == Peer::Silent);
        let all = rows.into_iter().chain([Some(self.config.orphan_timeout), least(&[stream.idle_timeout, silent])]);
        all.collect::<Option<Vec<Duration>>>()?.into_iter().max()
    }

    /// The engine's own answers are the formula's.
    pub(crate) fn check(&self) {
        let listener = Budget::of_listener(&self.config, &self.options).unwrap();
        let stream = Budget::of_stream(&self.config, self.stream()).unwrap();
        for peer in [Peer::Silent, Peer::Stalling] {
            for state in State::ALL {
                assert_eq!(listener.in_state(state, peer), self.in_state(state, peer), "{state} {peer:?} {self:?}");
                assert_eq!(stream.in_state(state, peer), self.in_state(state, peer), "{state} {peer:?} {self:?}");
            }
            assert_eq!(listener.unaccepted(peer), self.unaccepted(peer), "{peer:?} {self:?}");
            assert_eq!(listener.longest(peer), self.longest(true, peer), "{peer:?} {self:?}");
            assert_eq!(stream.longest(peer), self.longest(false, peer), "{peer:?} {self:?}");
            assert_eq!(listener.without_first_byte(peer), self.first_byte(peer), "{peer:?} {self:?}");
            assert_eq!(stream.without_first_byte(peer), self.first_byte(peer), "{peer:?} {self:?}");
        }
        assert_eq!((listener.orphaned(), stream.orphaned()), (self.config.orphan_timeout, self.config.orphan_timeout));
    }
}

/// The states in which a connection holds a slot once it is open.
const HOLDING: [State; 6] =
    [State::Established, State::CloseWait, State::FinWait1, State::FinWait2, State::Closing, State::LastAck];

pub(crate) fn total(keep_alive: KeepAlive) -> Duration {
    keep_alive.idle + keep_alive.interval * u32::from(keep_alive.probes.get())
}

/// What is not set does not bound.
fn least(bounds: &[Option<Duration>]) -> Option<Duration> {
    bounds.iter().copied().flatten().min()
}

fn maybe<T>(rng: &mut Rng, draw: impl Fn(&mut Rng) -> T) -> Option<T> {
    if rng.one_in(2) { None } else { Some(draw(rng)) }
}

/// A whole number of milliseconds up to `most`: tiny, usual, huge, or the most.
fn period(rng: &mut Rng, most: Duration) -> Duration {
    let most_ms = u64::try_from(most.as_millis()).unwrap();
    match rng.between(0, 9) {
        0 | 1 => ms(rng.between(1, 50)),
        2..=6 => ms(rng.between(1_000, USUAL_S * 1_000)),
        7 | 8 => ms(rng.between(1, most_ms)),
        _ => most,
    }
}

/// 1 to 16,383 whole ms, s or min.
fn exact(rng: &mut Rng) -> Duration {
    let (tiny, whole) = (rng.between(1, 60), rng.between(1, 16_383));
    match rng.between(0, 6) {
        0 => ms(tiny),
        1 => ms(whole),
        2 => secs(tiny),
        3 | 4 => secs(whole),
        5 => secs(whole * 60),
        _ => secs(16_383 * 60),
    }
}

fn keep_alive(rng: &mut Rng) -> KeepAlive {
    let (idle, interval) = (exact(rng), exact(rng));
    let probes = if rng.one_in(4) { rng.between(1, 255) } else { rng.between(1, 9) };
    let drawn = keep(idle, interval, u8::try_from(probes).unwrap());
    if total(drawn) <= MAX_PERIOD { drawn } else { KeepAlive::default() }
}
