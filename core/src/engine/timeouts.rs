//! Time passes (RFC 9293 §3.10.8): which timer is due, and what it does.

use crate::connection::flags::{Due, Marks};
use crate::connection::settings::Settings;
use crate::connection::slot::{Connection, Events};
use crate::connection::{loss, recovery, send};
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{CloseReason, Timer};
use crate::time::{Instant, MAX_AHEAD_US, Millis, RESET_HELD_MS, earlier};

impl Tcp<'_> {
    /// Does everything that is due at `now`. Poll for output afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.catch_up(now);
        self.run_due();
    }

    /// Wrapping milliseconds tell late from early only within 24 days. A caller that comes later still is led there in steps no longer than
    /// the furthest deadline, so that each deadline is met as one that has passed.
    #[inline]
    pub(crate) fn catch_up(&mut self, now: Instant) {
        // A pass asks many times at one moment.
        if now > self.clock.now() {
            self.catch_up_to(now);
        }
    }

    fn catch_up_to(&mut self, now: Instant) {
        if now >= self.age_at {
            self.catch_up_far(now);
        }
        self.clock.advance(now);
    }

    #[cold]
    fn catch_up_far(&mut self, now: Instant) {
        let mut is_far = false;
        while now.as_micros().saturating_sub(self.clock.now().as_micros()) > MAX_AHEAD_US {
            self.clock.advance(Instant::from_micros(self.clock.now().as_micros() + MAX_AHEAD_US));
            self.age();
            self.renew_unsent();
            self.run_due();
            is_far = true;
        }
        self.clock.advance(now);
        self.age();
        if is_far {
            self.renew_unsent();
        }
        self.age_at = Instant::from_micros(now.as_micros().saturating_add(MAX_AHEAD_US));
    }

    /// Moments of the past stay comparable: what is longer ago than any limit counts as just so long.
    fn age(&mut self) {
        let now = self.clock.ms();
        for c in self.connections.records_mut() {
            c.age(now);
        }
    }

    /// What came due in a step had no chance to be sent in it: the time of RSTs, keepalive probes and last attempts starts anew.
    fn renew_unsent(&mut self) {
        let now = self.clock.ms();
        let at = now.after(RESET_HELD_MS);
        for i in self.connections.ids() {
            let c = &mut self.connections[i];
            if c.has(Due::RESET) {
                c.since = now;
                self.connections.arm(i, at);
            } else if c.has(Due::KEEP_ALIVE) {
                c.renew_keep_alive(now);
            } else if c.has(Marks::LAST_TRY) && c.due.intersects(Due::PROBE | Due::RESEND) {
                c.rexmit_at = now.after(send::first_rto_ms(c, &self.settings));
            }
        }
        for h in self.half_open.ids() {
            if self.half_open[h].progress.is_over().is_some() {
                self.half_open.arm(h, at);
            }
        }
    }

    /// The link is down. Connections go on as they do without an answer; but the peers that a restart has lost are not asked, and not given up, before
    /// [`Tcp::link_restored`].
    pub fn link_lost(&mut self) {
        self.suspend_probes();
    }

    /// The link was down and is up again: what was sent again in vain, or waits for a timeout that has doubled, goes out now, window probes too, and
    /// after that by a plain timeout. What was sent for the first time within such a timeout waits for its end; half-open and TIME-WAIT records are their
    /// peers' to ask. R1, R2 and every other limit count on as they did.
    pub fn link_restored(&mut self, now: Instant) {
        self.catch_up(now);
        self.resume_probes();
        let ms = self.clock.ms();
        for i in self.connections.ids() {
            let c = &mut self.connections[i];
            let is_out = c.tcb.snd_nxt != c.tcb.snd_una || c.has(Marks::PERSIST);
            if !c.has(Marks::REXMIT) || !is_out {
                continue;
            }
            let plain = ms.after(send::first_rto_ms(c, &self.settings));
            // What was sent a moment ago is perhaps on its way.
            if c.retries == 0 && plain.earlier(c.rexmit_at) == c.rexmit_at {
                continue;
            }
            send_again(c);
            if !c.has(Marks::LAST_TRY) {
                c.rexmit_at = c.rexmit_at.earlier(plain);
            }
            self.settle(i);
        }
    }

    fn run_due(&mut self) {
        let ms = self.clock.ms();
        while let Some((i, at)) = self.connections.first_due() {
            if !at.is_reached(ms) {
                break;
            }
            self.connection_due(i);
        }
        while let Some((h, at)) = self.half_open.first_due() {
            if !at.is_reached(ms) {
                break;
            }
            self.half_open_due(h);
        }
        while let Some((w, at)) = self.time_wait.first_due() {
            if !at.is_reached(ms) {
                break;
            }
            self.free_time_wait(w);
        }
        self.lost_peers_due();
    }

    /// The earliest deadline of all, and whose it is.
    pub(crate) fn next_deadline(&mut self) -> Option<(Millis, Timer)> {
        let conn = self.first_connection_due(Connection::next_timer, |(at, _)| *at);
        let half = self.half_open.first_due().map(|(_, at)| (at, Timer::SynReceived));
        let wait = self.time_wait.first_due().map(|(_, at)| (at, Timer::TimeWait));
        let is_before = |(at, _): &(Millis, Timer), (than, _): &(Millis, Timer)| at.is_before(*than);
        let records = earlier(earlier(conn, half, is_before), wait, is_before);
        earlier(records, self.lost_peer_deadline(), is_before)
    }

    /// Returns the earliest deadline of all.
    #[cfg(feature = "embassy")]
    pub(crate) fn next_wake(&mut self) -> Option<Millis> {
        let conn = self.first_connection_due(Connection::deadline, |at| *at);
        let half = self.half_open.first_due().map(|(_, at)| at);
        let wait = self.time_wait.first_due().map(|(_, at)| at);
        let is_before = |at: &Millis, than: &Millis| at.is_before(*than);
        let lost = self.lost_peer_deadline().map(|(at, _)| at);
        earlier(earlier(earlier(conn, half, is_before), wait, is_before), lost, is_before)
    }

    /// Returns what `look` gives for the connection that is due first. Deadlines that have moved out are put right on the way.
    fn first_connection_due<T>(
        &mut self,
        look: impl Fn(&Connection, &Settings) -> Option<T>,
        at_of: impl Fn(&T) -> Millis,
    ) -> Option<T> {
        while let Some((i, at)) = self.connections.first_due() {
            match look(&self.connections[i], &self.settings) {
                Some(due) if at_of(&due) == at => return Some(due),
                Some(due) => self.connections.arm(i, at_of(&due)),
                None => self.connections.disarm(i),
            }
        }
        None
    }

    fn connection_due(&mut self, i: Id<Connection>) {
        let ms = self.clock.ms();
        let c = &mut self.connections[i];
        if c.has(Due::RESET) && c.since.after(RESET_HELD_MS).is_reached(ms) {
            self.connections.disarm(i);
            self.drop_reset(i);
            return;
        }
        if c.ack_at.is_reached(ms) {
            acknowledgment_due(c, ms, &self.settings);
        }
        let limit = c.limit_reached(ms, &self.settings);
        if limit.is_none() {
            c.update_keep_alive(ms);
        }
        let is_due = c.has(Marks::REXMIT) && c.rexmit_at.is_reached(ms);
        let gives_up = limit.or_else(|| if is_due { self.retransmission_due(ms, i) } else { None });
        if let Some(timer) = gives_up {
            self.end_by_timer(i, CloseReason::TimedOut(timer));
            return;
        }
        match self.connections[i].deadline(&self.settings) {
            Some(at) => self.connections.arm(i, at),
            None => self.connections.disarm(i),
        }
        self.settle(i);
    }

    /// Sends again or probes, or says which timer gives up.
    fn retransmission_due(&mut self, now: Millis, i: Id<Connection>) -> Option<Timer> {
        let settings = &self.settings;
        let c = &mut self.connections[i];
        if is_given_up(c, now, settings) {
            // The backoff may have left the last attempt far behind: one more is made, and given one plain timeout.
            if !c.has(Marks::LAST_TRY) {
                c.set(Marks::LAST_TRY);
                send_again(c);
                c.rexmit_at = now.after(send::first_rto_ms(c, settings));
                return None;
            }
            return Some(c.retransmission_timer());
        }
        // The peer was heard since: what is sent next is not the last.
        c.clear(Marks::LAST_TRY);
        if c.recovery.has(recovery::State::PROBE_ARMED) {
            loss::probe_tail(c);
            send::arm_retransmission(c, now, settings);
            return None;
        }
        if c.tcb.snd_nxt == c.tcb.snd_una && !c.has(Marks::PERSIST) {
            // It still waits for its next hop, or for the device: nothing is sent again.
            send::arm_retransmission(c, now, settings);
            return None;
        }
        if c.retries == 0 && !c.tcb.state().is_synchronized() {
            c.set(Flags::SYN_RESENT);
        }
        c.retries = c.retries.saturating_add(1);
        if !send::is_probing(c) {
            c.backoff = c.backoff.saturating_add(1);
        }
        send_again(c);
        send::arm_retransmission(c, now, settings);
        // The wait that begins is twice the last: a peer that answered the last attempt was heard within it.
        let is_silent = send::counts_progress(c) || now.since(c.heard_at) >= send::rto_ms(c, settings);
        if c.retries >= c.r1 && is_silent {
            doubt_path(c);
        }
        None
    }
}

/// An acknowledgment was held back for long enough; or a challenge to an RST was not answered, and is sent again: twice, then the peer
/// has had its chance.
fn acknowledgment_due(c: &mut Connection, now: Millis, settings: &Settings) {
    if c.has(Marks::DELACK) {
        c.clear(Marks::DELACK);
        c.set(Due::ACK_NOW);
    }
    if !c.has(Marks::ASKING) {
        return;
    }
    c.set(Due::CHALLENGE);
    if c.has(Marks::ASKED_AGAIN) {
        c.clear(Marks::ASKING | Marks::ASKED_AGAIN);
    } else {
        c.set(Marks::ASKED_AGAIN);
        c.ack_at = now.after(2 * send::first_rto_ms(c, settings));
    }
}

/// Makes the front of the queue, or a window probe, due.
pub(crate) fn send_again(c: &mut Connection) {
    if c.has(Marks::PERSIST) {
        c.rtt.cancel();
        c.set(Due::PROBE);
    } else {
        loss::begin_timeout(c);
    }
}

/// R2 (§3.8.3). Without an application the orphan limit bounds the connection in all, and R2 ends it sooner where the peer is silent.
fn is_given_up(c: &Connection, now: Millis, settings: &Settings) -> bool {
    send::is_ended_by_r2(c) && now.since(send::silent_since(c)) >= send::r2_ms(c, settings)
}

/// R1 (§3.8.3): the application is told, and the next hop is asked for anew.
fn doubt_path(c: &mut Connection) {
    c.clear(Marks::LINK_ADDR_KNOWN);
    if c.has_reader() && !c.has(Marks::DOUBTED) {
        c.events.insert(Events::STALLED);
    }
    c.set(Marks::DOUBTED);
}
