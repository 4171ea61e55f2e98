//! The model of a sender, from the text of the RFCs. It sees each acknowledgment that arrives, each segment sent and why, and what the status tells
//! before and after; it holds what the sender may do against what it did. All numbers are bytes from the stream's first, times microseconds.

use tcp_reset_core::{MAX_BUFFER, Status, Timer};

use crate::receiver::Ack;

/// A segment that the sender sent; `len` counts the FIN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) has_fin: bool,
}

impl Out {
    pub(crate) fn end(self) -> u32 {
        self.at + self.len
    }

    fn text(self) -> u32 {
        self.len - u32::from(self.has_fin)
    }
}

/// What the engine was told before it sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    Ack(Ack),
    Write,
    Timer(Timer),
}

/// What the public status tells of the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
    pub(crate) retries: u8,
    /// In microseconds.
    pub(crate) srtt: Option<u64>,
}

impl Seen {
    pub(crate) fn new(status: &Status) -> Seen {
        Seen {
            cwnd: status.congestion_window,
            ssthresh: status.slow_start_threshold,
            retries: status.retries,
            srtt: status.round_trip_time.map(|time| time.as_micros() as u64),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// Fast recovery (RFC 6582), up to `recover`.
    Recovery,
    /// Slow start after a timeout, up to `recover`.
    Loss,
}

/// What one step may send beside what it must.
#[derive(Clone, Copy, Debug, Default)]
struct Allowed {
    /// Segments sent again.
    again: usize,
    /// Bytes beyond the congestion window: limited transmit.
    beyond: u32,
}

pub(crate) struct Model {
    mss: u32,
    rto_min: u64,
    rto_max: u64,
    una: u32,
    /// Highest byte sent, exclusive.
    max: u32,
    /// The same without what limited transmit sent since the last new acknowledgment.
    max_before_dups: u32,
    wnd: u32,
    max_wnd: u32,
    /// Duplicates since the last new acknowledgment: all, and those since the last news of the window.
    dups: u32,
    dups_since_news: u32,
    phase: Phase,
    recover: u32,
    /// Whether a tail probe was sent and nothing new acknowledged since; up to where its episode goes.
    probed_to: Option<u32>,
    /// Up to where duplicates may be of what the last probe sent in vain.
    probe_end: u32,
    /// Front of the last timeout, while nothing was acknowledged since.
    timed_out: bool,
    /// When each byte was sent again because of an acknowledgment.
    resent_at: Vec<u64>,
    /// Whether the byte was sent again since the last timeout or probe.
    is_resent: Vec<bool>,
    sent_at: Vec<u64>,
    min_rtt: u64,
    /// Where what was sent again last ends.
    again_to: u32,
    /// Below this the sender may be in a recovery, or not.
    doubt: u32,
    last_sent: u64,
    /// The same without window probes.
    last_text: u64,
    /// Since when the retransmission timer runs at the latest.
    timer_from: u64,
    last_interval: u64,
    /// When the last recovery began.
    entered_at: u64,
    /// What growth in congestion avoidance is paid from, in bytes.
    credit: u32,
    /// Whether a byte beyond a closed window was sent.
    is_window_probed: bool,
    /// Bytes written by the application.
    pub(crate) written: u32,
    pub(crate) timeouts: u32,
    pub(crate) probes: u32,
    pub(crate) recoveries: u32,
    pub(crate) window_probes: u32,
    pub(crate) partial_acks: u32,
    /// In bytes.
    pub(crate) sent_again: u32,
    /// In bytes.
    pub(crate) sent: u32,
    pub(crate) spurious_after_probe: u32,
    /// The most that was out at once, in bytes.
    pub(crate) most_out: u32,
}

/// The numbers that a model begins with.
pub(crate) struct Start {
    pub(crate) mss: u32,
    pub(crate) wnd: u32,
    pub(crate) total: u32,
    pub(crate) now: u64,
    pub(crate) rto_min: u64,
    pub(crate) rto_max: u64,
}

/// Timers run in whole milliseconds, rounded down.
const TICK: u64 = 1_000;

macro_rules! ensure {
    ($cond:expr, $($text:tt)+) => {
        if !$cond {
            return Err(format!($($text)+));
        }
    };
}

type Checked = Result<(), String>;

impl Model {
    pub(crate) fn new(start: &Start) -> Model {
        let len = start.total as usize + 1;
        Model {
            mss: start.mss,
            rto_min: start.rto_min,
            rto_max: start.rto_max,
            una: 0,
            max: 0,
            max_before_dups: 0,
            wnd: start.wnd,
            max_wnd: start.wnd,
            dups: 0,
            dups_since_news: 0,
            phase: Phase::Open,
            recover: 0,
            probed_to: None,
            probe_end: 0,
            timed_out: false,
            resent_at: vec![0; len],
            again_to: 0,
            doubt: 0,
            is_resent: vec![false; len],
            sent_at: vec![0; len],
            min_rtt: u64::MAX,
            last_sent: start.now,
            last_text: start.now,
            timer_from: start.now,
            last_interval: 0,
            entered_at: 0,
            credit: 0,
            is_window_probed: false,
            written: 0,
            timeouts: 0,
            probes: 0,
            recoveries: 0,
            window_probes: 0,
            partial_acks: 0,
            sent_again: 0,
            sent: 0,
            spurious_after_probe: 0,
            most_out: 0,
        }
    }

    fn flight(&self) -> u32 {
        self.max - self.una
    }

    /// RFC 6928 §2; one segment where a SYN or SYN,ACK was lost (RFC 5681 §3.1).
    pub(crate) fn initial_window(mss: u32, is_lost: bool) -> u32 {
        if is_lost { mss } else { (10 * mss).min((2 * mss).max(14_600)) }
    }

    /// Judges one step.
    pub(crate) fn step(&mut self, now: u64, cause: Cause, before: Seen, after: Seen, out: &[Out]) -> Checked {
        let allowed = match cause {
            Cause::Ack(ack) => self.hear(now, ack, before, after, out)?,
            Cause::Write => self.write(now, before, after, out)?,
            Cause::Timer(timer) => self.expire(now, timer, before, after, out)?,
        };
        let again = out.iter().filter(|out| out.at < self.max).count();
        ensure!(again <= allowed.again, "{again} segments sent again, {} allowed", allowed.again);
        for out in out {
            self.send(now, *out, cause, after, allowed.beyond)?;
        }
        Ok(())
    }

    // An acknowledgment

    fn hear(&mut self, now: u64, ack: Ack, before: Seen, after: Seen, out: &[Out]) -> Result<Allowed, String> {
        if ack.to == self.max + 1 && self.is_window_probed {
            self.max += 1;
            self.max_before_dups = self.max;
        }
        if ack.to < self.una || ack.to > self.max {
            same(before, after, "an old acknowledgment")?;
            return Ok(Allowed::default());
        }
        let is_news = ack.wnd != self.wnd;
        if self.wnd == 0 && is_news {
            // The time of what was in flight begins anew.
            (self.timer_from, self.last_interval) = (now, 0);
        }
        self.wnd = ack.wnd;
        self.max_wnd = self.max_wnd.max(ack.wnd);
        if ack.to > self.una {
            return self.advance(now, ack.to, before, after, out);
        }
        if is_news {
            self.dups_since_news = 0;
            if !self.restarts(now, before, after) {
                same(before, after, "a window update")?;
            }
            return Ok(self.after_update());
        }
        if self.flight() == 0 {
            same(before, after, "nothing is out")?;
            return Ok(Allowed::default());
        }
        self.duplicate(now, before, after, out)
    }

    /// A window that opens lets what is queued go, in slow start after a timeout what is to be sent again too.
    fn after_update(&self) -> Allowed {
        let again = if self.phase == Phase::Loss { usize::MAX } else { 0 };
        Allowed { again, beyond: self.limited() }
    }

    /// RFC 3042 §2.
    fn limited(&self) -> u32 {
        if self.phase == Phase::Recovery { 0 } else { self.dups.min(2) * self.mss }
    }

    /// RFC 5681 §3.2, RFC 6582 §3.2, RFC 5827 §3.
    fn duplicate(&mut self, now: u64, before: Seen, after: Seen, out: &[Out]) -> Result<Allowed, String> {
        self.dups += 1;
        self.dups_since_news += 1;
        match self.phase {
            Phase::Recovery => {
                ensure!(after.ssthresh == before.ssthresh, "ssthresh changes on a duplicate in recovery");
                let grown = after.cwnd.checked_sub(before.cwnd);
                ensure!(grown.is_some_and(|grown| grown <= self.mss), "a duplicate in recovery inflates by {grown:?}");
                Ok(Allowed::default())
            }
            Phase::Loss => {
                if after.ssthresh == before.ssthresh {
                    same(before, after, "a duplicate after a timeout")?;
                    let again = usize::MAX;
                    return Ok(Allowed { again, beyond: self.limited() });
                }
                Err("recovery is entered before all that was out at the timeout is acknowledged".into())
            }
            Phase::Open => {
                let front_again = out.iter().any(|out| out.at == self.una);
                let flight = self.max_before_dups - self.una;
                let segments = self.flight().div_ceil(self.mss);
                // RFC 5827 §3.1: fewer where fewer than four are out and nothing new can be sent.
                let right = self.una + self.wnd;
                // Less than a segment may be held back, by Nagle's algorithm or because the window is silly.
                let can_send_new = self.written.min(right) >= self.max + self.mss;
                let early = if segments < 4 && !can_send_new { (segments.max(2) - 1).min(3) } else { 3 };
                let is_covered = self.una < self.recover || self.recover > 0 && self.una == self.recover;
                if front_again {
                    ensure!(self.dups >= early, "recovery after {} duplicates of {segments} segments", self.dups);
                    ensure!(!is_covered, "recovery below {} (RFC 6582)", self.recover);
                    self.enter(now, flight, before, after)?;
                    let inflated = after.ssthresh + 3 * self.mss;
                    ensure!(after.cwnd >= after.ssthresh && after.cwnd <= inflated, "cwnd on entry {}", after.cwnd);
                    return Ok(Allowed { again: 1, beyond: 0 });
                }
                let is_probe_only =
                    self.una < self.doubt || self.wnd == 0 || self.flight() < 2 || self.una == self.probe_end;
                ensure!(
                    self.dups_since_news < 3 || is_covered || is_probe_only || self.una == self.recover,
                    "{} duplicates and no recovery",
                    self.dups_since_news
                );
                ensure!(
                    self.dups_since_news < early
                        || segments < 2
                        // Something new went, if not a whole segment.
                        || !out.is_empty()
                        || is_covered
                        || is_probe_only
                        || self.una == self.recover
                        // After something was sent again one duplicate is no news.
                        || self.recoveries + self.timeouts + self.probes > 0,
                    "{} duplicates of {segments} segments and no early retransmit",
                    self.dups_since_news
                );
                if self.una >= self.doubt {
                    same(before, after, "a duplicate")?;
                }
                Ok(Allowed { again: 0, beyond: self.limited() })
            }
        }
    }

    /// RFC 5681 eq. 4: half of what was out, but for what limited transmit added.
    fn enter(&mut self, now: u64, flight: u32, before: Seen, after: Seen) -> Checked {
        let (least, most) = (2 * self.mss, 2 * self.mss);
        let least = least.max(flight.min(before.cwnd).saturating_sub(2 * self.mss) / 2).saturating_sub(1);
        // What limited transmit sent may fill the window's last part.
        let most = most.max(flight / 2 + self.mss / 2);
        ensure!(
            (least..=most).contains(&after.ssthresh),
            "ssthresh {} not in {least}..={most}, before {before:?}",
            after.ssthresh
        );
        self.phase = Phase::Recovery;
        self.entered_at = now;
        self.recover = self.max;
        self.recoveries += 1;
        self.is_resent.fill(false);
        Ok(())
    }

    fn advance(&mut self, now: u64, to: u32, before: Seen, after: Seen, out: &[Out]) -> Result<Allowed, String> {
        let acked = to - self.una;
        let flight_before = self.flight();
        for at in self.una..to {
            if !self.is_resent[at as usize] && self.resent_at[at as usize] == 0 {
                self.min_rtt = self.min_rtt.min(now - self.sent_at[at as usize]);
            }
        }
        self.una = to;
        let was_used = flight_before >= before.cwnd;
        self.dups = 0;
        self.dups_since_news = 0;
        self.max_before_dups = self.max;
        self.timer_from = now;
        self.last_interval = 0;
        self.timed_out = false;
        if before.cwnd != after.cwnd && flight_before <= 1 && self.restarts(now, before, after) {
            return Ok(Allowed::default());
        }
        let is_front_again = out.iter().any(|out| out.at == to && out.at < self.max);
        let probed_to = self.probed_to.take();
        if let Some(probed_to) = probed_to {
            self.probe_end = probed_to;
        }
        match self.phase {
            Phase::Recovery if to >= self.recover => {
                // RFC 6582 §3.2 step 3.
                ensure!(
                    after.cwnd <= after.ssthresh.max(self.mss),
                    "cwnd {} beyond ssthresh {} after recovery",
                    after.cwnd,
                    after.ssthresh
                );
                ensure!(after.cwnd >= self.mss, "cwnd {} after recovery", after.cwnd);
                ensure!(after.ssthresh == before.ssthresh, "ssthresh changes at the end of recovery");
                self.phase = Phase::Open;
                self.credit = 0;
                Ok(Allowed::default())
            }
            Phase::Recovery => {
                self.partial_acks += 1;
                // A segment that was put together when it was sent again may be acknowledged in parts.
                let is_on_its_way = to < self.again_to;
                ensure!(is_front_again || is_on_its_way, "a partial acknowledgment and the hole is not sent again");
                let deflated = before.cwnd.saturating_sub(acked);
                let most = if acked >= self.mss { deflated + self.mss } else { deflated };
                ensure!(
                    after.cwnd <= most.max(self.mss),
                    "cwnd {} after a partial acknowledgment, at most {most}",
                    after.cwnd
                );
                ensure!(after.cwnd >= deflated.min(self.mss), "cwnd {} after a partial acknowledgment", after.cwnd);
                Ok(Allowed { again: 1, beyond: 0 })
            }
            Phase::Loss => {
                if to >= self.recover {
                    self.phase = Phase::Open;
                }
                let limit = if to >= self.recover { 2 } else { 1 };
                self.grows(acked, limit, false, before, after)?;
                Ok(Allowed { again: usize::MAX, beyond: 0 })
            }
            Phase::Open => {
                // A loss that the tail probe has repaired, or shown.
                if probed_to.is_some()
                    && (after.ssthresh != before.ssthresh || after.cwnd < before.cwnd || is_front_again)
                {
                    self.enter(now, flight_before, before, after)?;
                    self.recover = probed_to.unwrap_or(self.recover);
                    if to >= self.recover {
                        self.phase = Phase::Open;
                    } else {
                        self.spurious_after_probe += 1;
                    }
                    ensure!(after.cwnd <= after.ssthresh + 3 * self.mss, "cwnd {} after a probe", after.cwnd);
                    return Ok(Allowed { again: usize::from(to < self.recover), beyond: 0 });
                }
                // A part of what the probe sent: whether a recovery has begun is not to be seen yet.
                if probed_to.is_some() && to < self.again_to {
                    self.doubt = probed_to.unwrap_or(0);
                }
                if to < self.doubt {
                    return Ok(Allowed { again: 1, beyond: self.limited() });
                }
                ensure!(!is_front_again, "sent again without a loss");
                if std::mem::take(&mut self.doubt) > 0 {
                    return Ok(Allowed::default());
                }
                self.grows(acked, 2, was_used && probed_to.is_none(), before, after)?;
                Ok(Allowed::default())
            }
        }
    }

    /// RFC 5681 §3.1 with RFC 3465.
    fn grows(&mut self, acked: u32, limit: u32, must: bool, before: Seen, after: Seen) -> Checked {
        ensure!(after.ssthresh == before.ssthresh, "ssthresh changes without a loss");
        ensure!(after.cwnd >= before.cwnd, "cwnd shrinks without a loss");
        let grown = after.cwnd - before.cwnd;
        if before.cwnd < before.ssthresh {
            let most = acked.min(limit * self.mss);
            ensure!(grown <= most, "slow start grows by {grown}, at most {most}");
            let is_capped = after.cwnd >= MAX_BUFFER as u32 || after.cwnd >= after.ssthresh;
            ensure!(!must || is_capped || grown == most, "slow start grows by {grown} instead of {most}");
            self.credit = 0;
        } else {
            self.credit += self.mss * acked.max(self.mss) / before.cwnd + 1;
            ensure!(grown <= self.mss, "congestion avoidance grows by {grown}");
            ensure!(grown <= self.credit + self.mss, "congestion avoidance grows by {grown} for {}", self.credit);
            self.credit = self.credit.saturating_sub(grown);
        }
        Ok(())
    }

    /// RFC 5681 §4.1, where text waited for the window: its probes are not counted.
    fn restarts(&self, now: u64, before: Seen, after: Seen) -> bool {
        let window = Model::initial_window(self.mss, false);
        let is_idle = self.flight() <= 1 && now - self.last_text + TICK >= self.rto_min;
        is_idle && after.ssthresh == before.ssthresh && after.cwnd == before.cwnd.min(window)
    }

    // The application

    fn write(&mut self, now: u64, before: Seen, after: Seen, _out: &[Out]) -> Result<Allowed, String> {
        ensure!(after.ssthresh == before.ssthresh, "ssthresh changes on a write");
        if after.cwnd != before.cwnd {
            // RFC 5681 §4.1.
            let window = Model::initial_window(self.mss, false);
            ensure!(after.cwnd == before.cwnd.min(window), "the restart window is {}", after.cwnd);
            ensure!(now - self.last_sent + TICK >= self.rto_min, "a restart after {} us", now - self.last_sent);
            ensure!(self.flight() == 0, "a restart with text out");
        } else if now - self.last_sent > self.rto_max && self.flight() == 0 {
            ensure!(
                after.cwnd <= Model::initial_window(self.mss, false),
                "no restart after {} us",
                now - self.last_sent
            );
        }
        Ok(Allowed { again: 0, beyond: self.limited() })
    }

    // Timers

    fn expire(&mut self, now: u64, timer: Timer, before: Seen, after: Seen, out: &[Out]) -> Result<Allowed, String> {
        let bytes: u32 = out.iter().map(|out| out.len).sum();
        ensure!(out.len() <= 1 || bytes <= self.mss, "a timer sends {bytes} bytes in {} segments", out.len());
        if timer == Timer::WindowProbe {
            self.window_probes += 1;
            same(before, after, "a window probe")?;
            return Ok(Allowed { again: 1, beyond: u32::MAX / 2 });
        }
        if timer != Timer::Retransmission {
            same(before, after, "another timer")?;
            return Ok(Allowed::default());
        }
        if out.is_empty() {
            same(before, after, "a timer that sends nothing")?;
            return Ok(Allowed::default());
        }
        ensure!(out[0].at == self.una, "the timer sends {} again, the front is {}", out[0].at, self.una);
        ensure!(out[0].at < self.max, "the timer sends new text");
        if after.retries > before.retries || after.cwnd < before.cwnd {
            return self.time_out(now, before, after);
        }
        // RFC 8985 §7.
        ensure!(self.probed_to.is_none(), "a second probe");
        ensure!(self.phase == Phase::Open, "a probe in {:?}", self.phase);
        ensure!(self.flight() > self.mss, "a probe with {} bytes out", self.flight());
        let least = before.srtt.map_or(1_000_000, |srtt| 2 * srtt.saturating_sub(1_000)).max(10_000);
        // RFC 8985 counts from what was sent last; this from where something was due to be acknowledged.
        ensure!(now - self.timer_from + TICK >= least, "a probe after {} us", now - self.timer_from);
        same(before, after, "a tail probe")?;
        self.probed_to = Some(self.max);
        self.timer_from = now;
        self.probes += 1;
        Ok(Allowed { again: 1, beyond: 0 })
    }

    /// RFC 6298 §5, RFC 5681 §3.1.
    fn time_out(&mut self, now: u64, before: Seen, after: Seen) -> Result<Allowed, String> {
        let interval = now - self.timer_from;
        ensure!(interval + TICK >= self.rto_min.min(self.rto_max), "a timeout after {interval} us");
        // With the window closed it asks for one: those have times of their own.
        if self.timed_out && self.wnd > 0 {
            let least = (2 * self.last_interval).min(self.rto_max);
            ensure!(interval + 2 * TICK >= least, "no backoff: {interval} us after {}", self.last_interval);
        }
        ensure!(after.cwnd <= self.mss, "the loss window is {}", after.cwnd);
        if self.timed_out {
            ensure!(after.ssthresh == before.ssthresh, "ssthresh halved twice for one segment");
        } else {
            let most = (self.flight() / 2).max(2 * self.mss);
            ensure!(after.ssthresh <= most, "ssthresh {} after a timeout, at most {most}", after.ssthresh);
            ensure!(after.ssthresh >= (2 * self.mss).min(before.ssthresh), "ssthresh {}", after.ssthresh);
            if self.phase == Phase::Open {
                let least = ((self.flight().saturating_sub(2 * self.mss)) / 2).max(2 * self.mss) - 1;
                ensure!(after.ssthresh >= least, "ssthresh {} after a timeout, at least {least}", after.ssthresh);
            }
        }
        self.timeouts += 1;
        self.timed_out = true;
        // Recovery may begin the timer anew.
        self.last_interval = now - self.timer_from.max(self.entered_at);
        self.timer_from = now;
        self.phase = Phase::Loss;
        self.recover = self.max;
        self.dups = 0;
        self.dups_since_news = 0;
        self.probed_to = None;
        self.max_before_dups = self.max;
        self.is_resent.fill(false);
        Ok(Allowed { again: 1, beyond: u32::MAX / 2 })
    }

    // Segments

    fn send(&mut self, now: u64, out: Out, cause: Cause, after: Seen, beyond: u32) -> Checked {
        let is_timer = matches!(cause, Cause::Timer(_));
        self.sent += out.len;
        ensure!(out.text() <= self.mss, "{} bytes in a segment", out.text());
        ensure!(out.len > 0, "an empty segment");
        ensure!(out.at >= self.una, "acknowledged text is sent again");
        ensure!(out.at <= self.max, "a gap before {}", out.at);
        let span = out.end() - self.una;
        if out.at < self.max {
            self.again(now, out, is_timer)?;
            ensure!(
                self.phase != Phase::Loss || is_timer || span <= after.cwnd + 1,
                "{span} bytes after a timeout, cwnd {}",
                after.cwnd
            );
        }
        if matches!(cause, Cause::Timer(Timer::WindowProbe)) && out.end() > self.una + self.wnd && out.at == self.max {
            ensure!(out.len == 1, "a window probe of {} bytes", out.len);
            // Not sent before the peer takes it.
            self.sent_at[out.at as usize] = now;
            self.resent_at[out.at as usize] = 1;
            self.is_window_probed = true;
            self.last_sent = now;
            return Ok(());
        }
        if out.end() > self.max {
            self.is_window_probed = false;
            self.new_text(now, out, is_timer)?;
            let bound = after.cwnd.saturating_add(beyond).saturating_add(u32::from(out.has_fin));
            ensure!(is_timer || span <= bound, "{span} bytes out, cwnd {} and {beyond}", after.cwnd);
            if self.flight() == 0 {
                self.timer_from = now;
            }
            for at in self.max..out.end() {
                self.sent_at[at as usize] = now;
            }
            self.max = out.end();
            self.most_out = self.most_out.max(self.flight());
            if span <= after.cwnd || self.phase != Phase::Open {
                self.max_before_dups = self.max;
            }
        }
        self.last_sent = now;
        if !matches!(cause, Cause::Timer(Timer::WindowProbe)) {
            self.last_text = now;
        }
        Ok(())
    }

    fn again(&mut self, now: u64, out: Out, is_timer: bool) -> Checked {
        self.sent_again += out.len;
        self.again_to = out.end();
        let at = out.at as usize;
        if is_timer {
            self.resent_at[at] = self.resent_at[at].max(1);
            return Ok(());
        }
        ensure!(!self.is_resent[at], "{at} is sent twice in one episode without a timeout");
        let since = now - self.resent_at[at];
        ensure!(
            self.resent_at[at] <= 1 || self.min_rtt == u64::MAX || since >= self.min_rtt || self.phase != Phase::Open,
            "{at} is sent again after {since} us, a round trip is {}",
            self.min_rtt
        );
        // What a longer segment took along may be sent again: RFC 6582 asks for the first segment that a partial acknowledgment leaves.
        self.is_resent[at] = true;
        for at in out.at..out.end().min(self.max) {
            self.resent_at[at as usize] = now;
        }
        Ok(())
    }

    fn new_text(&mut self, _now: u64, out: Out, is_timer: bool) -> Checked {
        let right = self.una + self.wnd;
        if !is_timer {
            ensure!(out.end() <= right, "{} is beyond the window {right}", out.end());
        } else {
            ensure!(out.end() <= right.max(self.max + 1), "{} is beyond the window {right} and no probe", out.end());
        }
        let is_small = out.text() < self.mss;
        if is_small && !is_timer && !out.has_fin {
            let rest = self.written.min(self.resent_at.len() as u32 - 1) - out.at;
            // RFC 9293 §3.8.6.2.1: a part of what waits only where it is half of the largest window, or the rest of one of few segments.
            let fills =
                self.max_wnd < 8 * self.mss && out.end() == right && out.text() >= (self.max_wnd / 4).min(self.mss / 2);
            ensure!(
                fills || out.text() >= rest.min(self.max_wnd / 2),
                "a silly segment of {} where {rest} wait, the largest window was {}",
                out.text(),
                self.max_wnd
            );
        }
        Ok(())
    }

    /// Whether something of ours waits for the peer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.max > self.una
    }
}

fn same(before: Seen, after: Seen, what: &str) -> Checked {
    let is_same = (before.cwnd, before.ssthresh) == (after.cwnd, after.ssthresh);
    if is_same { Ok(()) } else { Err(format!("{what} changes {before:?} to {after:?}")) }
}
