//! The limits that a connection's settings put on its peer: none ends it too early, and it outlives none.

use std::time::Duration;

use tcp_reset_core::{EvictBy, Eviction, KeepAlive, Setting, State, Status, Timer};

use super::addresses::name;
use super::conn::Conn;
use super::plan::{Limits, What};
use super::world::World;

/// How late a limit may end a connection.
const LATE_MS: u64 = 2_000;
/// What a healthy peer's answer to a probe may take beside two ways over the wire: a question for its neighbor.
const ANSWER_US: u64 = 2_500_000;

/// How long keepalive bears silence.
fn total(keep_alive: KeepAlive) -> Duration {
    keep_alive.idle + keep_alive.interval * u32::from(keep_alive.probes.get())
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

impl World<'_> {
    /// The application of an open connection changes its limits.
    pub(super) fn change_limits(&mut self, c: usize, limits: Limits) {
        let (h, handle) = (self.conns[c].host, self.conns[c].handle);
        let now = self.hosts[h].now(self.now);
        let tcp = self.hosts[h].link.tcp();
        let r2 = self.conns[c].options.r2;
        let changed = match limits.user_timeout {
            Some(timeout) => tcp.set_user_timeout(now, handle, timeout),
            None => tcp.set_r2(now, handle, r2),
        }
        .and_then(|()| tcp.set_keep_alive(now, handle, limits.keep_alive))
        .and_then(|()| tcp.set_idle_timeout(now, handle, limits.idle_timeout))
        .and_then(|()| tcp.set_first_byte_timeout(now, handle, limits.first_byte_timeout));
        match changed {
            Ok(()) => {
                limits.apply_to(&mut self.conns[c].options);
                self.conns[c].changed_ms = self.ms(h);
            }
            Err(tcp_reset_core::Error::Closed(_)) => {}
            Err(error) => self.fail(format!("{}: {limits:?} on a connection: {error}", name(h))),
        }
        let refused = self.hosts[h].link.tcp().set_user_timeout(now, handle, Duration::ZERO);
        if refused != Err(tcp_reset_core::Error::InvalidSetting(Setting::UserTimeout)) {
            self.fail(format!("{}: a user timeout of nothing: {refused:?}", name(h)));
        }
    }

    /// Why a limit has not ended the connection by right.
    pub(super) fn limit_is_wrong(&self, c: usize, conn: &Conn, timer: Timer) -> Option<String> {
        let options = &conn.options;
        let (limit, since) = if timer == Timer::UserTimeout {
            (options.user_timeout, conn.opened_ms)
        } else if timer == Timer::KeepAlive {
            (options.keep_alive.map(total), conn.opened_ms)
        } else if timer == Timer::Idle {
            (options.idle_timeout, conn.byte_ms)
        } else {
            (options.first_byte_timeout, conn.opened_ms)
        };
        let Some(limit) = limit else { return Some("no such limit is set".into()) };
        let host = &self.hosts[conn.host];
        let passed = self.ms(conn.host) + 2 - since;
        if host.ahead_us == host.plan.clock_us && passed < ms(limit) {
            return Some(format!("after {passed} ms only"));
        }
        if timer == Timer::FirstByte && conn.read > 0 {
            return Some("the first byte has come".into());
        }
        self.is_kept_alive(c, conn, timer).then(|| "the peer is there, and nothing was lost".into())
    }

    /// Whether keepalive's probes must have been answered.
    fn is_kept_alive(&self, c: usize, conn: &Conn, timer: Timer) -> bool {
        let (Some(keep_alive), Some(peer)) = (conn.options.keep_alive, self.opener_of(c)) else { return false };
        let peer = &self.conns[peer];
        let silent_us = 1_000 * ms(total(keep_alive));
        let is_never_lost = self.pairs[conn.pair].lost_at.is_none_or(|at| at < conn.opened_at);
        let is_hindered = [conn.host, peer.host].iter().any(|h| self.hosts[*h].hindered_until() + silent_us > self.now);
        let is_near = self.is_near(keep_alive.interval);
        timer == Timer::KeepAlive && is_never_lost && !is_hindered && is_near && peer.is_live()
    }

    /// Whether an answer takes less time than this.
    pub(super) fn is_near(&self, limit: Duration) -> bool {
        self.furthest_us() * 2 + ANSWER_US < 1_000 * ms(limit)
    }

    /// The longest that a frame is on its way in this world.
    fn furthest_us(&self) -> u64 {
        let wires =
            self.plan.ops.iter().filter_map(|op| {
                if let What::Wire(wire) = &op.what { Some(wire.delay_us + wire.jitter_us) } else { None }
            });
        wires.max().unwrap_or(0).max(self.wire.delay_us + self.wire.jitter_us)
    }

    /// Why a connection was evicted, if it should not have been.
    pub(super) fn eviction_is_wrong(&self, conn: &Conn) -> Option<String> {
        let host = &self.hosts[conn.host];
        let Some(Eviction { by, idle_for }) = host.plan.config.eviction else {
            return Some("nobody evicts here".into());
        };
        let idle = self.ms(conn.host) + 2 - conn.byte_ms;
        if host.ahead_us == host.plan.clock_us && idle < ms(idle_for) {
            return Some(format!("idle for {idle} ms only"));
        }
        let owes = |s: Status| s.unacknowledged > 0 || !matches!(s.state, State::Established | State::CloseWait);
        let is_spared = by == EvictBy::WithoutProgress && conn.last.is_some_and(|s| s.closed.is_none() && !owes(s));
        is_spared.then(|| "its peer owes nothing".into())
    }
}

/// How a connection outlives a limit, if it does.
pub(super) fn late_limit(conn: &Conn, now_ms: u64) -> Option<String> {
    let status = conn.last.filter(|status| status.closed.is_none() && status.state.is_synchronized())?;
    let late = |what: &str, since: u64, limit: Duration| {
        let passed = now_ms.saturating_sub(since.max(conn.changed_ms));
        (passed > ms(limit) + LATE_MS)
            .then(|| format!("late end: {} {what} for {passed} ms in {}", conn.local, status.state))
    };
    let options = &conn.options;
    let is_quiet =
        status.unacknowledged == 0 && matches!(status.state, State::Established | State::CloseWait | State::FinWait2);
    let heard_ms = status.heard_at.as_micros() / 1_000;
    options
        .idle_timeout
        .and_then(|limit| late("is idle", conn.byte_ms, limit))
        .or_else(|| {
            let keep_alive = options.keep_alive.filter(|_| is_quiet)?;
            late("hears nothing", heard_ms, total(keep_alive))
        })
        .or_else(|| {
            let limit = options.user_timeout.filter(|_| status.unacknowledged > 0 && conn.closed_ms.is_none())?;
            // Once while the window is closed, once after it was opened.
            late("makes no progress", conn.drained_ms.max(conn.moved_ms), 2 * limit)
        })
}
