//! The end of a world: it becomes quiet, everything is closed, nothing may be left, and a fresh connection must work.

use tcp_reset_core::{State, StreamOptions};

use super::addresses::{Ep, name};
use super::conn::Conn;
use super::due::Due;
use super::host::SIZES;
use super::plan::{App, Ending, MS, Manner, SECOND, Wire};
use super::world::{Phase, World};
use crate::family::Family;

/// Bytes of the fresh connection, each way.
const FRESH: u32 = 50;
/// What every bound is given on top, for round trips and rounding.
const SLACK: u64 = 120 * SECOND;
/// Round trips that the largest send buffer takes through the smallest window.
const ROUND_TRIPS: u64 = 4_096 / 64 + 6;

impl World<'_> {
    /// The whole life of a world.
    pub(super) fn live(&mut self) {
        self.run_until(self.plan.busy_us);
        self.calm();
        let idle = self.idle_us();
        self.run_until(self.now + idle);
        self.check_half_open();
        self.check_arrival();
        self.close_all();
        self.check_streams();
        self.fresh();
    }

    fn ended(&self) -> bool {
        self.failure.is_some()
    }

    /// No faults any more, and everybody is there.
    fn calm(&mut self) {
        if self.ended() {
            return;
        }
        self.note(|| "the world becomes quiet".into());
        self.phase = Phase::Idle;
        self.calm_at = self.now;
        self.wire = Wire { delay_us: if self.is_steady { self.wire.delay_us } else { MS }, ..Wire::default() };
        for h in 0..self.hosts.len() {
            let host = &mut self.hosts[h];
            host.silent_until = 0;
            host.down_until = host.down_until.min(self.now);
            host.frozen_until = host.frozen_until.min(self.now);
            host.full_until = 0;
            host.drop_permille = 0;
            let is_moved = host.lost_until.iter().any(|until| *until > self.now);
            if is_moved {
                for family in Family::ALL {
                    self.move_host(h, family, 0);
                }
            }
            self.hosts[h].wake = self.now;
            self.at(self.now, Due::Over(h));
            self.at(self.now, Due::Wake(h));
        }
    }

    /// The longest of a setting, over all hosts.
    fn most(&self, of: impl Fn(&tcp_reset_core::Config) -> std::time::Duration) -> u64 {
        self.hosts.iter().map(|h| of(&h.plan.config).as_micros() as u64).max().unwrap_or(0)
    }

    fn r2(&self) -> u64 {
        let own = self.conns.iter().map(|c| c.options.r2.as_micros() as u64).max().unwrap_or(0).max(100 * SECOND);
        let advised = self.conns.iter().any(|c| c.options.user_timeout_option);
        if advised { own.max(self.most(|c| c.user_timeout_limit)) } else { own }
    }

    /// Every unanswered segment was sent again, every half-open record has expired, and what was written has arrived.
    fn idle_us(&self) -> u64 {
        let transfer = ROUND_TRIPS * (2 * self.wire.delay_us + self.most(|c| c.delayed_ack));
        let once = 2 * self.most(|c| c.rto_max) + self.most(|c| c.syn_received_timeout) + transfer + SLACK;
        let is_flipping = self.plan.rogue.is_some_and(|rogue| rogue.manner == Manner::FlippingWindow);
        if is_flipping { once + self.patience() } else { once }
    }

    /// How long a connection may go on without SND.UNA moving.
    fn patience(&self) -> u64 {
        2 * self.r2() + 4 * self.most(|c| c.rto_max) + SLACK
    }

    /// Nobody holds what a peer that is there could have told it is gone.
    fn check_half_open(&mut self) {
        for c in 0..self.conns.len() {
            let conn = &self.conns[c];
            if self.ended() || !conn.is_live() {
                continue;
            }
            if conn.remote.host() >= self.hosts.len() {
                self.check_rogue(c);
            } else if let Some(why) = self.half_open(conn) {
                let text = format!(
                    "{} holds {} ↔ {}, which its peer has not: {why}",
                    name(conn.host),
                    conn.local,
                    conn.remote
                );
                self.fail(text);
            }
        }
    }

    fn half_open(&self, conn: &Conn) -> Option<String> {
        let status = self.hosts[conn.host].link.tcp_ref().status(conn.handle).ok()?;
        if !status.state.is_synchronized() || status.state == State::TimeWait || status.closed.is_some() {
            return None;
        }
        if self.has_state(conn.remote, conn.local) {
            return None;
        }
        let is_silent = status.unacknowledged == 0
            && matches!(status.state, State::Established | State::CloseWait | State::FinWait2);
        if !is_silent {
            return Some(format!("{} unacknowledged in {}", status.unacknowledged, status.state));
        }
        let pair = &self.pairs[conn.pair];
        let peer = &self.hosts[conn.remote.host()];
        let gone_at = pair.gone_at[pair.place(conn.remote)];
        let could_not_tell = peer.booted_at > conn.opened_at && !self.must_be_told(conn)
            || peer.moved_at > conn.opened_at
            || gone_at.is_none_or(|gone| pair.lost_at.is_some_and(|lost| lost >= gone));
        let is_told = pair.told_at[pair.place(conn.local)].is_some_and(|at| gone_at.is_some_and(|gone| at >= gone));
        let how = if is_told { "an RST reached it in vain" } else { "nobody told it" };
        (!could_not_tell)
            .then(|| format!("{how}, it went at {} ms and nothing was lost since", gone_at.unwrap_or(0) / MS))
    }

    /// Its peer's reboot forgot the connection, but a journal did not, and a question was not lost: it fell into the quiet, or nothing was lost at all.
    fn must_be_told(&self, conn: &Conn) -> bool {
        let peer = &self.hosts[conn.remote.host()];
        let counters = peer.link.tcp_ref().counters().journal;
        let is_its = |other: &&Conn| (other.local, other.remote) == (conn.remote, conn.local) && other.is_forgotten;
        let is_noted = self.conns.iter().any(|other| is_its(&other) && other.opened_at < peer.booted_at);
        let Some((from, until)) = peer.asks_from_until() else { return false };
        let is_undisturbed = [conn.host, conn.remote.host()].iter().all(|h| self.hosts[*h].hindered_until() <= from)
            && self.pairs[conn.pair].lost_at.is_none_or(|at| at <= from);
        let is_heard = is_undisturbed || until > self.calm_at + 2 * SECOND;
        is_noted && peer.moved_at <= conn.opened_at && counters.forgotten == 0 && is_heard
    }

    /// A peer that reads has got everything that was written, and the FIN.
    fn check_arrival(&mut self) {
        for c in 0..self.conns.len() {
            let conn = &self.conns[c];
            let reads = conn.app.read > 0 && conn.app.every_us == 0 && conn.is_live() && !conn.is_given_up();
            if self.ended() || !reads {
                continue;
            }
            let Some(peer) = self.opener_of(c).map(|p| &self.conns[p]).filter(|peer| peer.is_live()) else { continue };
            let (written, read, remote) = (peer.written, conn.read, conn.remote);
            let has_finished = peer.is_shut || peer.closed_ms.is_some();
            if read < written {
                self.fail(format!("late: {read} bytes of {written} from {remote} were read in all the quiet"));
            } else if has_finished && !self.conns[c].is_at_end {
                self.fail(format!("late: the FIN of {remote} was not seen in all the quiet"));
            }
        }
    }

    fn check_rogue(&mut self, c: usize) {
        let conn = &self.conns[c];
        let is_flipping = self.plan.rogue.is_some_and(|rogue| rogue.manner == Manner::FlippingWindow);
        let stuck_us = self.ms(conn.host).saturating_sub(conn.moved_ms) * 1_000;
        let is_waiting = conn.last.is_some_and(|s| s.unacknowledged > 0 && s.state.is_synchronized());
        if is_flipping && is_waiting && stuck_us > self.patience() {
            self.fail(format!(
                "{}: a peer that acknowledges nothing holds {} for {} s",
                name(conn.host),
                conn.local,
                stuck_us / SECOND
            ));
        }
    }

    /// Every application closes; the tables must become empty within what the settings allow.
    fn close_all(&mut self) {
        if self.ended() {
            return;
        }
        self.note(|| "every application closes".into());
        self.phase = Phase::Closing;
        for h in 0..self.hosts.len() {
            for l in 0..self.hosts[h].listeners.len() {
                self.hosts[h].listeners[l].accept_every_us = 0;
                self.accept(h, l);
            }
        }
        for c in 0..self.conns.len() {
            if self.conns[c].is_live() && !self.conns[c].is_given_up() {
                self.app_leaves(c);
            }
        }
        for h in 0..self.hosts.len() {
            self.drain(h);
        }
        self.until_empty();
    }

    fn bound(&self) -> u64 {
        let connect = self.most(|c| c.connect_timeout.max(std::time::Duration::from_secs(180)));
        let orphan = self.most(|c| c.orphan_timeout);
        let wait = self.most(|c| c.time_wait);
        let half = self.most(|c| c.syn_received_timeout);
        3 * self.r2() + 6 * self.most(|c| c.rto_max) + 3 * orphan + 2 * wait + 2 * half + connect + SLACK
    }

    fn until_empty(&mut self) {
        let end = self.now + self.bound();
        let mut slice = SECOND;
        while !self.ended() && self.now < end && !self.is_empty() {
            self.run_until((self.now + slice).min(end));
            slice *= 2;
        }
        for h in 0..self.hosts.len() {
            let tcp = self.hosts[h].link.tcp_ref();
            let in_use = tcp.in_use();
            let pool = tcp.pool_in_use();
            if in_use == (0, 0, 0) && pool > 0 {
                self.fail(format!("{}'s pool still counts {pool} bytes", name(h)));
            } else if in_use != (0, 0, 0) {
                let held: Vec<_> = tcp.connections().map(|(_, s)| format!("{} {:?}", s.state, s.closed)).collect();
                let bound = self.bound() / SECOND;
                let first = held.first().map_or("no connection", String::as_str);
                self.fail(format!("{}'s tables still hold {in_use:?} after {bound} s: {first}", name(h)));
            }
        }
        let open = self.conns.iter().find(|c| c.is_live()).map(|c| (c.host, c.local));
        if let Some((h, local)) = open {
            self.fail(format!("{} was never told how {local} ended", name(h)));
        }
    }

    fn is_empty(&self) -> bool {
        self.hosts.iter().all(|h| h.link.tcp_ref().in_use() == (0, 0, 0)) && !self.conns.iter().any(Conn::is_live)
    }

    /// What was acknowledged to the end has arrived.
    fn check_streams(&mut self) {
        for c in 0..self.conns.len() {
            let conn = &self.conns[c];
            if self.ended() || !conn.ended.is_some_and(|reason| reason.is_orderly()) {
                continue;
            }
            let Some(peer) = self.opener_of(c).map(|p| &self.conns[p]) else { continue };
            let is_told = peer.ended.is_some_and(|reason| reason.is_orderly());
            if is_told && peer.is_at_end && peer.read != conn.written {
                self.fail(format!(
                    "{} ended in order, but {} of {} bytes arrived",
                    conn.local, peer.read, conn.written
                ));
            }
        }
    }

    /// Listeners that are still open serve somebody new.
    fn fresh(&mut self) {
        if self.ended() {
            return;
        }
        self.note(|| "a fresh connection to each listener".into());
        self.phase = Phase::Fresh;
        self.wire.delay_us = MS;
        let app = App {
            total: FRESH,
            chunk: 4_096,
            read: 4_096,
            every_us: 0,
            ending: Ending::Shutdown,
            again: 0,
            again_us: 0,
        };
        let options = StreamOptions { rx_buffer: 64, tx_buffer: 64, ..StreamOptions::default() };
        for h in 0..self.hosts.len() {
            let from = (h + 1) % self.hosts.len();
            for l in 0..self.hosts[h].listeners.len() {
                let listening = &mut self.hosts[h].listeners[l];
                let stream = listening.options.stream;
                listening.app = app;
                let fits = stream.rx_buffer + stream.tx_buffer <= SIZES[usize::from(self.hosts[h].plan.shape)].4;
                if self.hosts[h].listeners[l].handle.is_some() && fits {
                    self.serves(from, h, self.hosts[h].listeners[l].port, app, options);
                }
            }
        }
    }

    fn serves(&mut self, from: usize, h: usize, port: u16, app: App, options: StreamOptions) {
        let family = if self.plan.seed & 1 == 0 { Family::Ipv4 } else { Family::Ipv6 };
        let Some(c) = self.connect(u32::MAX - 1, from, Ep::new(h, family, port), 0, options, app) else {
            return self.fail(format!("{} can connect to nobody any more", name(from)));
        };
        self.until_empty();
        let conn = &self.conns[c];
        if conn.read != u64::from(FRESH) || !conn.ended.is_some_and(|reason| reason.is_orderly()) {
            let text = format!(
                "a fresh connection to {}:{port} read {} bytes and ended as {:?}",
                name(h),
                conn.read,
                conn.ended
            );
            self.fail(text);
        }
    }
}
