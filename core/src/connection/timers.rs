//! A connection's timers by name: when each is due, and which ends it.
//!
//! | timer | armed while | counts from | due |
//! |---|---|---|---|
//! | delayed ACK, challenge | an ACK is held back, an RST is challenged | | `ack_at` |
//! | retransmission, window probe, connect | something of ours is not acknowledged, or waits for a window | | `rexmit_at` |
//! | user timeout | the same, where one is set | `since` | after it |
//! | keepalive | nothing of ours is out, where it is on | `heard_at` | after the idle time and an interval for each probe |
//! | idle | the connection is open, where it is set | `moved_at` | after it |
//! | accept wait, first byte | nobody has accepted; the peer has sent nothing | | `phase_at` |
//! | orphan, FIN-WAIT-2 | the application has left | `since` | after the orphan time |
//! | reset | the connection is over, its RST has not left | `since` | after 60 s |

use core::time::Duration;

use crate::connection::flags::{Due, Marks};
use crate::connection::limits::Keeping;
use crate::connection::settings::Settings;
use crate::connection::slot::Connection;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{State, Timer};
use crate::time::{Millis, Period, RESET_HELD_MS};

/// What makes a connection have limits beside its retransmission timer. Most segments meet one that has none.
const LIMITED: Marks = Marks::DEADLINE.union(Marks::WATCHED).union(Marks::USER_TIMEOUT);

/// What makes any timer run.
const TIMED: Marks = LIMITED.union(Marks::REXMIT).union(Marks::DELACK).union(Marks::ASKING);

impl Connection {
    #[cfg(any(feature = "keepalive", feature = "deadlines"))]
    fn update_watched(&mut self) {
        self.marks.set(Marks::WATCHED, self.limits.is_watchful());
    }

    /// How long it may be without progress, from `since`, if an application has said so.
    pub(crate) fn user_timeout_ms(&self) -> Option<u32> {
        self.limits.user_timeout_ms(self.marks)
    }

    /// R2 in milliseconds: never before the user timeout, where there is one.
    pub(crate) fn patience_ms(&self) -> u32 {
        self.limits.patience_ms(self.marks)
    }

    pub(crate) fn set_user_timeout(&mut self, timeout: Period) {
        self.limits.set_user_timeout(timeout);
        self.set(Marks::USER_TIMEOUT);
    }

    pub(crate) fn set_r2(&mut self, seconds: u16) {
        self.limits.set_r2(seconds);
        self.clear(Marks::USER_TIMEOUT);
    }

    /// Zeros: off. Probes that are out already count no more: each of the new ones is given its time.
    #[cfg(feature = "keepalive")]
    pub(crate) fn set_keep_alive(&mut self, keep_alive: (Period, Period, u8)) {
        self.forget_keep_alive();
        self.limits.set_keep_alive(keep_alive);
        self.update_watched();
    }

    /// Zero: off. Switched on it counts from now.
    #[cfg(feature = "deadlines")]
    pub(crate) fn set_idle_timeout(&mut self, now: Millis, timeout: Period) {
        if self.limits.idle_ms().is_none() {
            self.moved(now);
        }
        self.limits.set_idle(timeout);
        self.update_watched();
    }

    /// The peer was heard, or has to answer to something else now: no probe is out.
    pub(crate) fn forget_keep_alive(&mut self) {
        if cfg!(feature = "keepalive") && self.has(Marks::WATCHED) && !self.has(Marks::REXMIT) {
            self.retries = 0;
            self.clear(Due::KEEP_ALIVE);
            self.clear(Marks::DOUBTED);
        }
    }

    /// Keepalive, where it is on and nothing else would find out that the peer is gone (RFC 1122 §4.2.3.6).
    pub(crate) fn kept_alive(&self) -> Option<Keeping> {
        let is_quiet = match self.tcb.state() {
            State::Established | State::CloseWait | State::FinWait2 => !self.has(Marks::REXMIT),
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::FinWait1
            | State::Closing
            | State::LastAck
            | State::TimeWait => false,
        };
        self.limits.keeping().filter(|_| is_quiet)
    }

    /// Calls `tell` for each armed timer with the time it is due.
    #[inline]
    pub(crate) fn each_timer(&self, settings: &Settings, mut tell: impl FnMut(Millis, Timer)) {
        if self.has(Marks::REXMIT) {
            tell(self.rexmit_at, self.retransmission_timer());
        }
        if self.has(Marks::DELACK) {
            tell(self.ack_at, Timer::DelayedAck);
        } else if self.has(Marks::ASKING) {
            tell(self.ack_at, Timer::Challenge);
        }
        if self.has(Due::RESET) {
            tell(self.since.after(RESET_HELD_MS), Timer::Reset);
        } else if self.is_limited() {
            self.each_limit(settings, &mut tell);
        }
    }

    /// Calls `tell` for each armed timer that does nothing but end the connection; keepalive is one where its probes are spent.
    pub(crate) fn each_limit(&self, settings: &Settings, tell: &mut impl FnMut(Millis, Timer)) {
        if self.is_over() {
            return;
        }
        if self.has(Flags::APP_GONE) {
            let timer = if self.tcb.state() == State::FinWait2 { Timer::FinWait2 } else { Timer::Orphan };
            tell(self.since.after(settings.orphan_ms), timer);
        }
        // Once the application has left, its timeout is R2 for a peer that is silent, and the orphan limit bounds all.
        let is_patient = self.has(Marks::REXMIT) && !self.has(Flags::APP_GONE);
        if let Some(timeout) = self.user_timeout_ms().filter(|_| is_patient) {
            tell(self.since.after(timeout), Timer::UserTimeout);
        }
        #[cfg(feature = "deadlines")]
        if self.has(Marks::DEADLINE) {
            let timer = if self.has(Marks::UNACCEPTED) { Timer::AcceptWait } else { Timer::FirstByte };
            tell(self.phase_at, timer);
        }
        #[cfg(feature = "deadlines")]
        if let Some(idle) = self.limits.idle_ms().filter(|_| self.tcb.state().is_synchronized()) {
            tell(self.moved_at.after(idle), Timer::Idle);
        }
        if let Some(keeping) = self.kept_alive() {
            tell(self.heard_at.after(keeping.until_probe_ms(self.retries)), Timer::KeepAlive);
        }
    }

    fn is_limited(&self) -> bool {
        self.marks.intersects(LIMITED) || self.has(Flags::APP_GONE)
    }

    pub(crate) fn retransmission_timer(&self) -> Timer {
        if self.has(Marks::PERSIST) {
            Timer::WindowProbe
        } else if self.tcb.state().is_synchronized() {
            Timer::Retransmission
        } else {
            Timer::Connect
        }
    }

    /// The earliest armed timer.
    pub(crate) fn next_timer(&self, settings: &Settings) -> Option<(Millis, Timer)> {
        let mut first: Option<(Millis, Timer)> = None;
        self.each_timer(settings, |at, timer| {
            if first.is_none_or(|(earliest, _)| at.is_before(earliest)) {
                first = Some((at, timer));
            }
        });
        first
    }

    /// When that is.
    #[inline]
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Millis> {
        let is_timed = self.marks.intersects(TIMED) || self.has(Flags::APP_GONE) || self.has(Due::RESET);
        if is_timed { self.earliest(settings) } else { None }
    }

    fn earliest(&self, settings: &Settings) -> Option<Millis> {
        let mut first: Option<Millis> = None;
        self.each_timer(settings, |at, _| first = Some(first.map_or(at, |earliest| earliest.earlier(at))));
        first
    }

    /// The earliest limit that is over. A keepalive probe that is due ends nothing.
    pub(crate) fn limit_reached(&self, now: Millis, settings: &Settings) -> Option<Timer> {
        if !self.is_limited() {
            return None;
        }
        let mut first: Option<(Millis, Timer)> = None;
        self.each_limit(settings, &mut |at, timer| {
            let is_over = at.is_reached(now) && (timer != Timer::KeepAlive || self.are_probes_spent());
            if is_over && first.is_none_or(|(earliest, _)| at.is_before(earliest)) {
                first = Some((at, timer));
            }
        });
        first.map(|(_, timer)| timer)
    }

    fn are_probes_spent(&self) -> bool {
        self.limits.keeping().is_none_or(|keeping| self.retries >= keeping.probes)
    }

    /// Makes a keepalive probe due, if it is time for one. After R1 of them the next hop is asked for anew: the peer may be there and the
    /// router another.
    pub(crate) fn update_keep_alive(&mut self, now: Millis) {
        let Some(keeping) = self.kept_alive() else { return };
        let waited = keeping.until_probe_ms(self.retries);
        if !self.heard_at.after(waited).is_reached(now) {
            return;
        }
        self.set(Due::KEEP_ALIVE);
        self.retries = self.retries.saturating_add(1);
        // Each probe is given its interval, also where the caller comes late.
        self.heard_at = now.before(waited);
        if self.retries > self.r1 {
            self.clear(Marks::LINK_ADDR_KNOWN);
            self.set(Marks::DOUBTED);
        }
    }

    /// A probe that is due had no chance to leave: its interval begins now.
    pub(crate) fn renew_keep_alive(&mut self, now: Millis) {
        if let Some(keeping) = self.kept_alive() {
            self.heard_at = now.before(keeping.until_probe_ms(self.retries.saturating_sub(1)));
        }
    }

    /// No moment of the past is further back than a limit can reach.
    pub(crate) fn age(&mut self, now: Millis) {
        let aged = |at: Millis| now.before(now.since(at));
        self.heard_at = aged(self.heard_at);
        self.since = aged(self.since);
        self.tcb.stamps.age(now);
        #[cfg(feature = "deadlines")]
        {
            self.moved_at = aged(self.moved_at);
        }
    }
}

/// How long each timer of a connection has to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timers {
    left_ms: [u32; Timer::COUNT],
}

impl Timers {
    /// Longer than any timer.
    const UNARMED: u32 = u32::MAX;

    /// Returns how long until the timer is due, in whole milliseconds; zero where it is overdue, `None` where it is not armed.
    pub fn left(&self, timer: Timer) -> Option<Duration> {
        let left = self.left_ms[timer as usize];
        (left != Timers::UNARMED).then(|| Duration::from_millis(u64::from(left)))
    }

    /// Lists the armed timers, in the order of [`Timer::ALL`].
    pub fn armed(&self) -> impl Iterator<Item = (Timer, Duration)> + '_ {
        Timer::ALL.iter().filter_map(|&timer| self.left(timer).map(|left| (timer, left)))
    }

    pub(crate) fn set(&mut self, timer: Timer, at: Millis, now: Millis) {
        self.left_ms[timer as usize] = at.left(now);
    }
}

impl Default for Timers {
    /// None is armed.
    fn default() -> Timers {
        Timers { left_ms: [Timers::UNARMED; Timer::COUNT] }
    }
}

impl Connection {
    /// All of them, at `now`.
    pub(crate) fn timers(&self, now: Millis, settings: &Settings) -> Timers {
        let mut timers = Timers::default();
        self.each_timer(settings, |at, timer| timers.set(timer, at, now));
        timers
    }
}
