//! What must hold: after each step of an engine, at every end, and in a world that has become quiet.

use std::time::Duration;

use tcp_reset_core::link::Received;
use tcp_reset_core::{
    Action, CloseReason, Config, Instant, Overflow, RstPolicy, State, Status, StreamOptions, Timer, Verdict,
};

use super::addresses::{Ep, name};
use super::conn::{Conn, irs_of};
use super::host::{Listening, Owed, SIZES};
use super::limits::late_limit;
use super::plan::SECOND;
use super::promise::Promise;
use super::world::World;
use crate::frame::Seen;

/// No timer is set further ahead: 12.4 days, and what rounding adds.
const FURTHEST_US: u64 = (1 << 30) * 1_000 + 2_000;

/// How long an RST waits for the device.
const RESET_HELD_MS: u64 = 60_000;
/// How late an orphan may end.
const LATE_MS: u64 = 2_000;
/// How late a connect may fail: questions for a neighbor are asked in between.
const LATE_CONNECT_MS: u64 = 20_000;
/// The least R2 that a connection's end is measured by, and how late the end may be.
const LEAST_R2_MS: u64 = 10_000;
const LATE_R2_MS: u64 = 30_000;
/// Round trips that a timeout is at most: SRTT and four times its variation (RFC 6298 §2), which is no larger.
const TIMEOUT_ROUND_TRIPS: u64 = 5;

impl World<'_> {
    /// The engine has nothing more to say: whoever must be told was told.
    pub(super) fn said_all(&mut self, h: usize) {
        self.check_promise(h);
        self.check_events(h);
        self.check_queues(h);
        self.check_half_open_quota(h);
        let ms = self.ms(h);
        // A reset that the device does not take is given up after a while.
        self.hosts[h].owed.retain(|owed| !owed.is_held_up || ms < owed.since_ms + RESET_HELD_MS);
        if let Some(Owed { local, remote, why, .. }) = self.hosts[h].owed.pop() {
            self.fail(format!("{} says nothing to {remote} about {local}: {why}, an RST is due", name(h)));
        }
    }

    /// Returns the answer a verdict promises, if it can go out at once.
    pub(super) fn promise(&self, host: usize, seen: &Seen, received: Received, replies_lost: u32) -> Option<Promise> {
        let Received::Taken(Verdict { action, .. }) = received else { return None };
        if !matches!(action, Action::Reset(_) | Action::SynAcked | Action::Challenged | Action::Acknowledged) {
            return None;
        }
        let (local, remote) = (Ep::of(seen.to), Ep::of(seen.from));
        let is_it = |s: &Status| s.closed.is_none() && (Ep::of(s.local), Ep::of(s.remote)) == (local, remote);
        // A connection that is unanswered may be asking for its neighbor's address, and its segments wait for that.
        let tcp = self.hosts[host].link.tcp_ref();
        let is_asking =
            tcp.connections().find(|(_, s)| is_it(s)).is_some_and(|(_, s)| s.retries > 0 || !s.state.is_synchronized());
        // So may one whose keepalive goes on after R1 probes, also when it has sent something since.
        let asks_again = |c: &Conn| c.options.keep_alive.is_some_and(|keep| keep.probes.get() > c.options.r1);
        let is_it = |c: &&Conn| c.is_live() && (c.local, c.remote) == (local, remote);
        let is_asking = is_asking || self.conns.iter().find(is_it).is_some_and(asks_again);
        (!is_asking).then_some(Promise { host, local, remote, action, replies_lost })
    }

    /// A verdict's answer was put on the wire, or is counted as lost.
    fn check_promise(&mut self, h: usize) {
        let Some(Promise { local, remote, action, replies_lost, .. }) = self.promised.take_if(|p| p.host == h) else {
            return;
        };
        let is_lost = self.hosts[h].link.tcp_ref().counters().replies_lost != replies_lost;
        if !is_lost && self.hosts[h].has_address(local.family(), self.now) {
            self.fail(format!("no answer: a verdict says {action}, and {local} sends nothing to {remote}"));
        }
    }

    /// Whoever was blocked and can go on has got an event.
    fn check_events(&mut self, h: usize) {
        for c in 0..self.conns.len() {
            let conn = &self.conns[c];
            let is_blocked = conn.awaits_read || conn.awaits_write;
            if conn.host != h || !is_blocked || !conn.is_live() || conn.is_given_up() {
                continue;
            }
            let Ok(status) = self.hosts[h].link.tcp_ref().status(conn.handle) else { continue };
            if status.closed.is_some() {
                continue;
            }
            let has_fin = matches!(status.state, State::CloseWait | State::LastAck | State::Closing);
            let (local, readable) = (conn.local, status.readable);
            if conn.awaits_read && (readable > 0 || has_fin) {
                let what = if readable > 0 { "bytes to read" } else { "the peer's FIN" };
                self.fail(format!("no event: {local} has {what} in {} and its application waits", status.state));
            } else if conn.awaits_write && status.writable > 0 {
                self.fail(format!("no event: {local} has room in {} and its application waits", status.state));
            }
        }
    }

    /// Whoever can be accepted was announced, and no more wait than the backlog allows.
    fn check_queues(&mut self, h: usize) {
        let is_held = |handle| self.conns.iter().rev().any(|c| c.handle == handle && c.host == h && !c.is_forgotten);
        let tcp = self.hosts[h].link.tcp_ref();
        let waiting: Vec<_> = tcp
            .connections()
            .filter(|(handle, status)| status.closed.is_none() && !is_held(*handle))
            .map(|(_, status)| status.local.port())
            .collect();
        if waiting.is_empty() {
            return;
        }
        for l in 0..self.hosts[h].listeners.len() {
            let listening = &self.hosts[h].listeners[l];
            if listening.handle.is_none() {
                continue;
            }
            let backlog = usize::from(listening.options.backlog);
            let (port, count) = (listening.port, waiting.iter().filter(|port| **port == listening.port).count());
            if listening.awaits_accept && count > 0 {
                self.fail(format!(
                    "no event: {} has somebody to accept on port {port} and its application waits",
                    name(h)
                ));
            } else if count > backlog {
                self.fail(format!("quota: {} has {count} waiting on port {port}, {backlog} allowed", name(h)));
            }
        }
    }

    /// Listeners that were never closed have no more half-open connections than they allow.
    fn check_half_open_quota(&mut self, h: usize) {
        let host = &self.hosts[h];
        let half_open = host.link.tcp_ref().in_use().1;
        if half_open == 0 {
            return;
        }
        let is_kept = |l: &Listening| l.handle.is_some() && l.changed_at <= host.booted_at;
        let is_undisturbed = host.full_until == 0 && host.drop_permille == 0 && host.aborted_at == 0;
        let most: usize = host.listeners.iter().map(|l| usize::from(l.options.half_open)).sum();
        if is_undisturbed && half_open > most && host.listeners.iter().all(is_kept) {
            self.fail(format!("quota: {} has {half_open} half-open connections, {most} allowed", name(h)));
        }
    }

    /// An RST must go out before the engine falls silent, if the peer was acknowledged and may still have the connection.
    pub(super) fn owes_rst(&mut self, c: usize, why: &'static str) {
        let conn = &self.conns[c];
        let Some(status) = &conn.last else { return };
        let is_owed = status.closed.is_none()
            && match status.state {
                State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait
                | State::Closing
                | State::LastAck => true,
                State::Closed | State::Listen | State::SynSent | State::TimeWait => false,
            };
        let (h, local, remote) = (conn.host, conn.local, conn.remote);
        // Without an answer to ARP no segment has left, and an RST has nowhere to go.
        let pair = &self.pairs[conn.pair];
        let has_spoken = pair.ways[pair.place(local)].isn == Some(conn.iss);
        if is_owed && has_spoken && self.hosts[h].has_address(local.family(), self.now) {
            let (since_ms, is_held_up) = (self.ms(h), self.hosts[h].full_until > self.now);
            self.hosts[h].owed.push(Owed { local, remote, why, since_ms, is_held_up });
        }
    }

    /// After every step of a host's engine.
    pub(super) fn after_step(&mut self, h: usize) {
        for c in 0..self.conns.len() {
            if self.conns[c].host == h && self.conns[c].is_live() {
                self.refresh(c);
            }
        }
        if let Err(finding) = self.hosts[h].link.audit() {
            self.fail(format!("{}: audit: {finding}", name(h)));
        }
        self.check_timers(h);
        self.check_late_ends(h);
        let in_use = self.hosts[h].link.tcp_ref().in_use();
        if in_use != self.hosts[h].in_use {
            self.hosts[h].in_use = in_use;
            self.note_gone(h);
        }
    }

    /// Which pairs the engine has nothing for any more.
    fn note_gone(&mut self, h: usize) {
        for p in 0..self.pairs.len() {
            for place in 0..2 {
                let (local, remote) = (self.pairs[p].ends[place], self.pairs[p].ends[1 - place]);
                if local.host() != h {
                    continue;
                }
                // The TIME-WAIT of the connection before outlives a reopening that fails.
                let state = self.state_at(local, remote);
                let has = !matches!(state, State::Closed | State::Listen | State::TimeWait);
                // What comes and goes while the other end holds its connection is a stranger's handshake: the connection went before.
                let holds = |c: &Conn| c.local == remote && c.remote == local && c.is_live();
                let since = self.conns.iter().filter(|c| holds(c)).map(|c| c.opened_at).max();
                let pair = &mut self.pairs[p];
                let went_before = pair.gone_at[place].is_some_and(|gone| since.is_some_and(|since| gone >= since));
                // Neither does an attempt that nobody has answered.
                let is_news = pair.was_open[place] || pair.gone_at[place].is_none();
                if pair.had[place] && !has && !went_before && is_news {
                    pair.gone_at[place] = Some(self.now);
                }
                pair.had[place] = has;
                pair.was_open[place] = has && state.is_synchronized();
            }
        }
    }

    /// Whether the engine at `local` has anything for the pair.
    pub(super) fn has_state(&self, local: Ep, remote: Ep) -> bool {
        !matches!(self.state_at(local, remote), State::Closed | State::Listen)
    }

    fn state_at(&self, local: Ep, remote: Ep) -> State {
        self.hosts[local.host()].link.tcp_ref().state_of(local.addr(), remote.addr())
    }

    /// Nothing that is due waits without a timer.
    fn check_timers(&mut self, h: usize) {
        let now = self.hosts[h].now(self.now);
        let next = self.hosts[h].link.next_timeout(now);
        let tcp = self.hosts[h].link.tcp_ref();
        // What is offered waits for the device, not for a timer.
        let is_quiet = !self.hosts[h].link.has_output();
        let parked =
            tcp.connections().filter(|_| is_quiet).find(|(_, s)| s.closed.is_none() && is_due(s) && s.timer.is_none());
        let (_, half, wait) = tcp.in_use();
        if let Some((_, status)) = parked {
            let text = format!("{}: something is due in {} and no timer is set", name(h), status.state);
            return self.fail(text);
        }
        if is_quiet && half + wait > 0 && next.is_none() {
            return self.fail(format!("{}: half-open or TIME-WAIT records without a timer", name(h)));
        }
        if next.is_some_and(|(at, _)| at > Instant::from_micros(now.as_micros() + FURTHEST_US)) {
            self.fail(format!("{}: the next timer is absurdly far", name(h)));
        }
    }

    /// No connection goes on for longer than its timers allow. Where the device or the clock was disturbed, they may be late.
    fn check_late_ends(&mut self, h: usize) {
        let host = &self.hosts[h];
        let is_disturbed = host.full_until > 0
            || host.frozen_until > 0
            || host.drop_permille > 0
            || host.ahead_us != host.plan.clock_us
            || host.down_until > self.now;
        if is_disturbed {
            return;
        }
        let (ms, config) = (self.ms(h), host.plan.config);
        let late = self
            .conns
            .iter()
            .filter(|c| c.host == h && c.is_live())
            .find_map(|c| late_end(c, ms, &config).or_else(|| late_limit(c, ms)));
        if let Some(late) = late {
            self.fail(late);
        }
    }

    /// A connection's reason must fit what happened.
    pub(super) fn check_end(&mut self, c: usize, reason: CloseReason) {
        let conn = self.conns[c].clone();
        let wrong = match reason {
            CloseReason::PeerClosed | CloseReason::LocalClosed => self.orderly_end_is_wrong(c, &conn),
            CloseReason::ClosedBeforeOpen => (conn.closed_ms.is_none() || conn.is_connected)
                .then(|| "closed before open, but open or not closed".to_string()),
            CloseReason::Aborted => {
                (!conn.is_aborted && !conn.is_in_abort_all).then(|| "aborted, but the application did not".to_string())
            }
            CloseReason::DataLost => (conn.closed_ms.is_none()).then(|| "data lost without a close".to_string()),
            CloseReason::AddressLost => {
                (self.hosts[conn.host].moved_at < conn.opened_at).then(|| "the address is not lost".to_string())
            }
            CloseReason::Evicted => self.eviction_is_wrong(&conn),
            CloseReason::Refused => self.refusal_is_wrong(&conn),
            CloseReason::ResetByPeer => self.reset_is_wrong(c, &conn),
            CloseReason::TimedOut(timer) => self.timeout_is_wrong(c, &conn, timer),
        };
        if let Some(wrong) = wrong {
            self.fail(format!("{} ↔ {} at {} ended as {reason:?}: {wrong}", conn.local, conn.remote, name(conn.host)));
        }
        if matches!(reason, CloseReason::Evicted | CloseReason::TimedOut(_)) && conn.is_synchronized {
            self.owes_rst(c, "ended here");
        }
    }

    fn orderly_end_is_wrong(&self, c: usize, conn: &Conn) -> Option<String> {
        if !conn.is_shut && conn.closed_ms.is_none() {
            return Some("the application has not finished".into());
        }
        let peer = &self.conns[self.opener_of(c)?];
        (!peer.is_shut && peer.closed_ms.is_none()).then(|| "the peer has not finished".into())
    }

    fn is_real(&self, conn: &Conn) -> bool {
        conn.remote.host() < self.hosts.len()
    }

    /// Only a host that does not want the connection refuses it.
    fn refusal_is_wrong(&self, conn: &Conn) -> Option<String> {
        if conn.is_connected && conn.side == 0 {
            return Some("it was open".into());
        }
        let pair = &self.pairs[conn.pair];
        if !self.is_real(conn) {
            return None;
        }
        if pair.told_at[pair.place(conn.local)].is_none_or(|at| at < conn.opened_at) {
            return Some("the peer sent no RST".into());
        }
        let peer = &self.hosts[conn.remote.host()];
        let listener = peer.listeners.iter().find(|l| l.port == conn.remote.port())?;
        let since = conn.opened_at;
        let is_willing = listener.handle.is_some()
            && listener.changed_at < since
            && listener.options.overflow == Overflow::Drop
            && peer.plan.config.eviction.is_none()
            && listener.options.accept_timeout.is_none()
            && peer.booted_at < since
            && peer.moved_at < since
            && peer.aborted_at <= since
            && peer.down_until < since
            && peer.ahead_us == peer.plan.clock_us
            && self.now - since < peer.plan.config.syn_received_timeout.as_micros() as u64;
        // A connection that the peer's application has ended may be told before it is known to be open here.
        let was_ended = self.conns.iter().any(|other| {
            other.local == conn.remote
                && other.remote == conn.local
                && (other.ended.is_some() || other.is_given_up())
                && other.ended_at.max(other.opened_at) >= since
        });
        (is_willing && !was_ended).then(|| "the peer's listener is open and takes everybody".into())
    }

    /// Nobody ends what both have.
    fn reset_is_wrong(&self, c: usize, conn: &Conn) -> Option<String> {
        if !self.is_real(conn) {
            return None;
        }
        let pair = &self.pairs[conn.pair];
        if pair.told_at[pair.place(conn.local)].is_none_or(|at| at < conn.opened_at) {
            return Some("the peer sent no RST".into());
        }
        // Of two numbers that are believed an old RST's may be one.
        if self.hosts[conn.host].plan.config.rst_policy != RstPolicy::default() {
            return None;
        }
        // It was for a handshake that a forged SYN began, and the stream has come to its number since.
        if pair.is_told_of_forgery(conn.local) {
            return None;
        }
        if let Some(peer) = self.opener_of(c) {
            return self.reset_by_record_is_wrong(&self.conns[peer]);
        }
        // It may be an old RST, of an incarnation that the peer's application has opened anew since.
        let is_end_of =
            |other: &Conn| other.local == conn.remote && other.remote == conn.local && other.ended.is_some();
        if self.conns.iter().any(|other| is_end_of(other) && other.ended_at >= conn.opened_at) {
            return None;
        }
        // Not accepted yet, perhaps.
        let tcp = self.hosts[conn.remote.host()].link.tcp_ref();
        let is_it = |s: &Status| {
            s.closed.is_none()
                && (Ep::of(s.local), Ep::of(s.remote)) == (conn.remote, conn.local)
                && irs_of(s) == Some(conn.iss)
        };
        tcp.connections().any(|(_, s)| is_it(&s)).then(|| "the peer has it, not accepted yet".into())
    }

    fn reset_by_record_is_wrong(&self, peer: &Conn) -> Option<String> {
        if peer.is_live() && !peer.is_aborted && !peer.is_in_abort_all {
            return Some("the peer has it".into());
        }
        let host = &self.hosts[peer.host];
        let is_waiting = !peer.is_forgotten
            && peer.ended == Some(CloseReason::LocalClosed)
            && host.moved_at <= peer.ended_at
            && host.aborted_at <= peer.ended_at
            && host.ahead_us == host.plan.clock_us
            && host.link.tcp_ref().counters().time_wait_evicted == 0
            && self.now - peer.ended_at + 2_000 < host.plan.config.time_wait.as_micros() as u64
            && !self
                .conns
                .iter()
                .any(|o| o.local == peer.local && o.remote == peer.remote && o.opened_at > peer.ended_at);
        is_waiting.then(|| "the peer has closed in order and is in TIME-WAIT".into())
    }

    fn timeout_is_wrong(&self, c: usize, conn: &Conn, timer: Timer) -> Option<String> {
        let config = &self.hosts[conn.host].plan.config;
        let age = self.ms(conn.host) + 2 - conn.opened_ms;
        let least = match timer {
            Timer::Connect => config.connect_timeout,
            Timer::Retransmission | Timer::WindowProbe => conn.options.user_timeout.unwrap_or(conn.options.r2),
            Timer::Orphan | Timer::FinWait2 => config.orphan_timeout,
            Timer::UserTimeout | Timer::KeepAlive | Timer::Idle | Timer::FirstByte => {
                return self.limit_is_wrong(c, conn, timer);
            }
            Timer::SynReceived
            | Timer::DelayedAck
            | Timer::AcceptWait
            | Timer::Reset
            | Timer::Challenge
            | Timer::TimeWait
            | Timer::Neighbor
            | Timer::LostPeer => return Some("no such end".into()),
        };
        let has_jumped = self.hosts[conn.host].ahead_us != self.hosts[conn.host].plan.clock_us;
        if !has_jumped && u128::from(age) < least.as_millis() {
            return Some(format!("after {age} ms only"));
        }
        if timer != Timer::Connect && conn.options.user_timeout.is_some() && conn.closed_ms.is_none() {
            return Some("a user timeout is set".into());
        }
        if matches!(timer, Timer::Orphan | Timer::FinWait2) {
            return self.orphan_is_wrong(c, conn);
        }
        let is_never_lost = self.pairs[conn.pair].lost_at.is_none_or(|at| at < conn.opened_at);
        let peer = &self.conns[self.opener_of(c)?];
        let silent_us = least.as_micros() as u64;
        // It may have waited for a slot until just now.
        let is_old = peer.held_since + silent_us <= self.now;
        let is_hindered = [conn.host, peer.host].iter().any(|h| self.hosts[*h].hindered_until() + silent_us > self.now);
        let is_reachable = self.is_near(least)
            && is_never_lost
            && !is_hindered
            && is_old
            && timer != Timer::Connect
            && self.is_real(conn)
            && peer.is_live();
        is_reachable.then(|| "the peer is there, and nothing was lost".into())
    }

    fn orphan_is_wrong(&self, c: usize, conn: &Conn) -> Option<String> {
        if conn.closed_ms.is_none() {
            return Some("the application has not closed".into());
        }
        let status = conn.last.as_ref()?;
        let is_only_fin =
            matches!(status.state, State::FinWait1 | State::LastAck | State::Closing) && status.unacknowledged == 0;
        let pair = &self.pairs[conn.pair];
        let peer = &self.conns[self.opener_of(c)?];
        let closed_for = self.ms(conn.host) - conn.closed_ms?;
        // The FIN was out for long: the last payload was acknowledged well before.
        // A closed window is probed first after a timeout, which is some round trips.
        let has_time =
            closed_for * 1_000 >= 10 * SECOND + 12 * self.wire.delay_us && self.ms(conn.host) >= conn.moved_ms + 10_000;
        let is_held_up =
            [conn.host, peer.host].iter().any(|h| self.hosts[*h].hindered_until() + closed_for * 1_000 > self.now);
        let is_lossless = has_time && !is_held_up && pair.lost_at.is_none_or(|at| at + closed_for * 1_000 < self.now);
        (is_only_fin && is_lossless && peer.is_live())
            .then(|| "everything was acknowledged, and the FIN is not taken".into())
    }

    /// A pool that is far from full and still refuses.
    pub(super) fn no_buffer(&mut self, h: usize, options: &StreamOptions) {
        let used = self.hosts[h].link.tcp_ref().pool_in_use();
        let size = SIZES[usize::from(self.hosts[h].plan.shape)].4;
        let (free, want) = (size.saturating_sub(used), options.rx_buffer + options.tx_buffer);
        if free >= size / 2 && want * 4 <= free {
            self.fail(format!("{}: {free} of {size} bytes are free, {want} refused", name(h)));
        }
    }
}

/// Returns how a connection outlives its timer, if it does.
fn late_end(conn: &Conn, ms: u64, config: &Config) -> Option<String> {
    let status = conn.last.filter(|status| status.closed.is_none())?;
    let (local, state) = (conn.local, status.state);
    let is_synchronized = state.is_synchronized();
    if let Some(closed) = conn.closed_ms.filter(|_| is_synchronized)
        && ms > closed + config.orphan_timeout.as_millis() as u64 + LATE_MS
    {
        return Some(format!("late end: {local} is an orphan for {} ms in {state}", ms - closed));
    }
    let tried = ms - conn.opened_ms;
    if conn.side == 0 && !is_synchronized && tried > config.connect_timeout.as_millis() as u64 + LATE_CONNECT_MS {
        return Some(format!("late end: {local} tries to connect for {tried} ms in {state}"));
    }
    let must_progress =
        matches!(state, State::Established | State::CloseWait | State::FinWait1 | State::Closing | State::LastAck)
            && conn.closed_ms.is_none()
            && status.snd_wnd > 0
            && status.snd_una != status.snd_nxt;
    let stuck = ms - conn.rested_ms.max(conn.moved_ms).max(conn.changed_ms).min(ms);
    // R2 is judged when a retransmission is due, and those are spaced by a backoff that doubles.
    let advised = if conn.options.user_timeout_option { config.user_timeout_limit } else { Duration::ZERO };
    let r2 = conn.options.user_timeout.unwrap_or(conn.options.r2.max(advised)).as_millis() as u64;
    let timeout = TIMEOUT_ROUND_TRIPS * status.round_trip_time.unwrap_or_default().as_millis() as u64;
    (must_progress && stuck > 2 * r2.max(LEAST_R2_MS) + LATE_R2_MS.max(timeout))
        .then(|| format!("late end: {local} makes no progress for {stuck} ms in {state}, R2 is {r2} ms"))
}

/// Whether the engine has something to do for it by itself.
fn is_due(status: &Status) -> bool {
    match status.state {
        State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck => true,
        State::Established | State::CloseWait | State::FinWait2 => status.unacknowledged > 0,
        State::Closed | State::Listen | State::TimeWait => false,
    }
}
