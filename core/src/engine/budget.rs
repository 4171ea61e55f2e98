//! The liveness budget: how long a peer that gives nothing can hold what it holds.

use core::time::Duration;

use crate::config::{Config, ListenOptions, StreamOptions};
use crate::connection::flags::Marks;
use crate::connection::limits::{Keeping, Limits};
use crate::connection::settings::{Listen, Settings, Stream};
use crate::engine::event::ConnectionHandle;
use crate::engine::tcp::Tcp;
use crate::error::Error;
use crate::rules::tcb::Flags;
use crate::rules::verdict::State;
use crate::time::RESET_HELD_MS;

/// What kind of peer gives nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Peer {
    /// Nothing comes from it: its host lost power, its cable, or its state behind a filter.
    Silent,
    /// It sends whatever it likes, answers included, but takes and gives no byte: it repeats old segments, keeps its window closed or
    /// lets it flap, withholds its FIN.
    Stalling,
}

/// How long a peer that gives nothing can hold a slot, from its last sign of life ([`Peer::Silent`]) or the last byte taken by either side
/// ([`Peer::Stalling`]) on. A project can see at start that this is bounded:
///
/// ```
/// # #[cfg(feature = "deadlines")] {
/// use core::time::Duration;
/// use tcp_reset_core::{Budget, Config, ListenOptions, Peer, StreamOptions};
///
/// let stream = StreamOptions { idle_timeout: Some(Duration::from_secs(120)), ..StreamOptions::DEFAULT };
/// let options = ListenOptions { stream, accept_timeout: Some(Duration::from_secs(10)), ..ListenOptions::default() };
/// let budget = Budget::of_listener(&Config::default(), &options).unwrap();
/// assert_eq!(budget.longest(Peer::Stalling), Some(Duration::from_secs(120)));
/// # }
/// ```
///
/// # The formula
/// *I* is the idle timeout, *K* keepalive's idle time and its interval for each probe, *P* the user timeout or else R2 and one
/// [`Config::rto_max`] (`user_timeout_limit` instead of a shorter R2, where the user timeout option is spoken), *A* the accept timeout, *C* [`Config::connect_timeout`] and one `rto_max`, *O* [`Config::orphan_timeout`]. What is not set does not
/// bound; where nothing is left, nothing does.
///
/// | state | silent | stalling |
/// |---|---|---|
/// | half-open record of a listener | `syn_received_timeout` | the same |
/// | SYN-SENT, and SYN-RECEIVED of an active open | the least of *C* and the user timeout | the same |
/// | not accepted yet | the least of *A*, *I*, *K* | the least of *A*, *I* |
/// | ESTABLISHED, CLOSE-WAIT, FIN-WAIT-2 | the least of *I*, *K*+*P* | *I* |
/// | FIN-WAIT-1, CLOSING, LAST-ACK, from our FIN on | the least of *I*, *P* | the least of *I*, twice the user timeout |
/// | any of these once the application has closed | *O* | *O* |
/// | TIME-WAIT record | `time_wait` | unbounded: each FIN starts it anew; a full table takes it back |
/// | over, its RST not taken by the device | 60 s | 60 s |
///
/// *K*+*P*: the application may begin to send just before keepalive would end the connection. Where it closes while the peer is silent already, a user
/// timeout is R2 from then on: [`Budget::longest`] counts the time of a last attempt more, an `rto_max` or *O*. Twice the user timeout: once while the window is
/// closed, once after it was opened. Each is held to within a millisecond where [`Tcp::handle_timeout`] is called in time.
/// A slot whose connection has ended is free when the application gives its handle up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Budget {
    /// It began at a listener, and not by connect.
    is_passive: bool,
    half_open_ms: u32,
    connect_ms: u32,
    orphan_ms: u32,
    time_wait_ms: u32,
    rto_max_ms: u32,
    /// R2 as it is, or as the peer's user timeout option may lengthen it.
    r2_ms: u32,
    user_timeout_ms: Option<u32>,
    keep_alive_ms: Option<u32>,
    idle_ms: Option<u32>,
    accept_ms: Option<u32>,
    first_byte_ms: Option<u32>,
}

impl Budget {
    /// Returns what binds the peers of a listener.
    ///
    /// # Errors
    /// Those of [`Tcp::new`] and [`Tcp::listen`] about settings.
    pub fn of_listener(config: &Config, options: &ListenOptions) -> Result<Budget, Error> {
        let budget = Budget::of_stream(config, &options.stream)?;
        Ok(Budget { is_passive: true, accept_ms: Listen::new(options)?.accept_ms(), ..budget })
    }

    /// Returns what binds the peer of a connection with these options.
    ///
    /// # Errors
    /// Those of [`Tcp::new`] and [`Tcp::connect`] about settings.
    pub fn of_stream(config: &Config, options: &StreamOptions) -> Result<Budget, Error> {
        let settings = Settings::new(config)?;
        let stream = Stream::new(options)?;
        let budget = Budget::new(&settings, &stream.limits, stream.marks);
        Ok(Budget { first_byte_ms: stream.first_byte_ms(), ..budget })
    }

    fn new(settings: &Settings, limits: &Limits, marks: Marks) -> Budget {
        Budget {
            is_passive: false,
            half_open_ms: settings.syn_received_ms,
            connect_ms: settings.connect_ms,
            orphan_ms: settings.orphan_ms,
            time_wait_ms: settings.time_wait_ms,
            rto_max_ms: settings.rto_max_ms,
            r2_ms: limits.patience_ms(marks).max(option_limit_ms(settings, marks)),
            user_timeout_ms: limits.user_timeout_ms(marks),
            keep_alive_ms: limits.keeping().map(Keeping::total_ms),
            idle_ms: limits.idle_ms(),
            accept_ms: None,
            first_byte_ms: None,
        }
    }

    /// Returns the bound while an application holds the connection, or for LISTEN a half-open record of the listener's. `None`: nothing bounds it.
    pub fn in_state(&self, state: State, peer: Peer) -> Option<Duration> {
        let is_silent = peer == Peer::Silent;
        let bound = match state {
            State::Closed => Some(RESET_HELD_MS),
            State::Listen => Some(self.half_open_ms),
            State::SynSent | State::SynReceived => {
                least([Some(self.connect_ms + self.rto_max_ms), self.user_timeout_ms])
            }
            State::Established | State::CloseWait | State::FinWait2 => {
                least([self.idle_ms, self.keep_alive_ms.filter(|_| is_silent).map(|ms| ms + self.patience_ms())])
            }
            State::FinWait1 | State::Closing | State::LastAck if is_silent => {
                least([self.idle_ms, Some(self.patience_ms())])
            }
            State::FinWait1 | State::Closing | State::LastAck => {
                least([self.idle_ms, self.user_timeout_ms.map(|ms| 2 * ms)])
            }
            State::TimeWait => Some(self.time_wait_ms).filter(|_| is_silent),
        };
        bound.map(duration)
    }

    /// Returns the bound while nobody has accepted the connection.
    pub fn unaccepted(&self, peer: Peer) -> Option<Duration> {
        let keep_alive = self.keep_alive_ms.filter(|_| peer == Peer::Silent);
        least([self.accept_ms, least([self.idle_ms, keep_alive])]).map(duration)
    }

    /// Returns the bound of a peer that sends no byte at all after it was accepted, or connected to.
    pub fn without_first_byte(&self, peer: Peer) -> Option<Duration> {
        let open = self.in_state(State::Established, peer);
        self.first_byte_ms.map(duration).into_iter().chain(open).min()
    }

    /// Returns the bound once the application has closed, whatever the peer does.
    pub fn orphaned(&self) -> Duration {
        duration(self.orphan_ms)
    }

    /// Returns the longest a slot can be held in any state that the connection can be in, the wait for accept included; `None` where some state is
    /// not bounded.
    pub fn longest(&self, peer: Peer) -> Option<Duration> {
        const HOLDING: [State; 6] =
            [State::Established, State::CloseWait, State::FinWait1, State::FinWait2, State::Closing, State::LastAck];
        let before = if self.is_passive { self.unaccepted(peer) } else { self.in_state(State::SynSent, peer) };
        let mut longest = self.orphaned().max(before?);
        // The application may close just before its user timeout would end the connection: that is R2 from then on, with a last attempt.
        let more_ms = self.user_timeout_ms.map_or(0, |_| self.rto_max_ms.min(self.orphan_ms));
        let open = self.in_state(State::Established, peer)?;
        let closed_late = if peer == Peer::Silent { open + duration(more_ms) } else { open };
        longest = longest.max(self.idle_ms.map_or(closed_late, |ms| closed_late.min(duration(ms))));
        for state in HOLDING {
            longest = longest.max(self.in_state(state, peer)?);
        }
        Some(longest)
    }

    /// The user timeout, or else R2 and the time of the last attempt.
    fn patience_ms(&self) -> u32 {
        self.user_timeout_ms.unwrap_or(self.r2_ms + self.rto_max_ms)
    }
}

impl Tcp<'_> {
    /// Returns what binds the peer of a connection, with the settings it has now. The waits for accept and for the first byte are over soon: what
    /// is left of them is in [`crate::Status::timers`], and not in here.
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn budget(&self, handle: ConnectionHandle) -> Result<Budget, Error> {
        let c = &self.connections[self.slot(handle)?];
        Ok(Budget { is_passive: c.has(Flags::PASSIVE), ..Budget::new(&self.settings, &c.limits, c.marks) })
    }
}

/// What the peer's user timeout option may lengthen R2 to.
fn option_limit_ms(settings: &Settings, marks: Marks) -> u32 {
    #[cfg(feature = "user-timeout-option")]
    if marks.contains(Marks::USER_TIMEOUT_OPTION) {
        return u32::from(settings.user_timeout_limit_s) * 1_000;
    }
    let _ = (settings, marks);
    0
}

fn duration(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

fn least(bounds: [Option<u32>; 2]) -> Option<u32> {
    bounds.into_iter().flatten().min()
}
