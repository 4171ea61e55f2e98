//! The model of a sender to which the peer speaks SACK, from the text of RFC 6675, RFC 5681, RFC 3042, RFC 5827 and RFC 6298. It sees what arrives, what
//! is sent and why, and what the status tells before and after. All numbers are bytes from the stream's first, times microseconds.

use tcp_reset_core::{MAX_BUFFER, Timer};

use crate::model::{Model, Out, Seen};
use crate::sack_receiver::Report;

/// Duplicates, or separate runs, that mean a loss (RFC 6675 §2, DupThresh).
const DUP_THRESH: usize = 3;
/// Separate runs that the sender's scoreboard holds; a block that would be one more is not noted.
const MOST_RUNS: usize = 4;
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

/// What the engine was told before it sent.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    Report(Report),
    Write,
    Timer(Timer),
}

/// What the peer has beyond SND.UNA: separate runs, in order.
#[derive(Clone, Default, Debug)]
struct Scoreboard {
    runs: Vec<(u32, u32)>,
    /// Whether a block was not noted, since the board was cleared last.
    has_overflowed: bool,
    /// Up to where all is lost that the peer is not known to have: what was sent again after it arrived, and nothing beyond (RFC 8985 §6.2).
    rest_lost_to: u32,
}

impl Scoreboard {
    fn clear(&mut self) {
        *self = Scoreboard::default();
    }

    fn bytes(&self) -> u32 {
        self.runs.iter().map(|(from, to)| to - from).sum()
    }

    fn end(&self) -> u32 {
        self.runs.last().map_or(0, |&(_, to)| to)
    }

    /// RFC 6675 §4, Update. Returns whether it tells of bytes that were not known before.
    fn update(&mut self, blocks: &[(u32, u32)], una: u32, max: u32) -> bool {
        let before = self.bytes();
        for &(from, to) in blocks {
            if una < from && from < to && to <= max {
                self.note(from, to);
            }
        }
        self.bytes() > before
    }

    fn note(&mut self, from: u32, to: u32) {
        let (mut apart, met): (Vec<_>, Vec<_>) = self.runs.iter().copied().partition(|run| run.1 < from || to < run.0);
        let run = met.iter().fold((from, to), |run, met| (run.0.min(met.0), run.1.max(met.1)));
        apart.push(run);
        apart.sort_unstable();
        if apart.len() > MOST_RUNS {
            self.has_overflowed = true;
        } else {
            self.runs = apart;
        }
    }

    /// SND.UNA moves. The peer does not have the byte there: a run that holds it was discarded (RFC 2018 §8).
    fn advance(&mut self, una: u32) {
        self.runs.retain(|&(from, _)| from > una);
    }

    /// How many bytes of a range the peer is not known to have.
    fn missing(&self, from: u32, to: u32) -> u32 {
        let known: u32 = self.runs.iter().map(|run| run.1.min(to).saturating_sub(run.0.max(from))).sum();
        to.saturating_sub(from) - known
    }

    fn has(&self, at: u32) -> bool {
        self.missing(at, at + 1) == 0
    }

    /// The first hole from `at` on, up to `max`.
    fn hole(&self, at: u32, max: u32) -> Option<(u32, u32)> {
        let mut at = at;
        for &(from, to) in &self.runs {
            if at < from {
                return Some((at, from));
            }
            at = at.max(to);
        }
        (at < max).then_some((at, max))
    }

    fn is_lost(&self, at: u32, mss: u32) -> bool {
        at < self.rest_lost_to || self.is_lost_by_runs(at, mss)
    }

    /// RFC 6675 §4, IsLost.
    fn is_lost_by_runs(&self, at: u32, mss: u32) -> bool {
        let beyond = || self.runs.iter().filter(|run| run.0 > at);
        beyond().count() >= DUP_THRESH
            || beyond().map(|(from, to)| to - from).sum::<u32>() > (DUP_THRESH as u32 - 1) * mss
    }

    /// RFC 6675 §4, SetPipe.
    fn pipe(&self, una: u32, max: u32, high_rxt: u32, mss: u32) -> u32 {
        let (mut pipe, mut at) = (0, una);
        while let Some((from, to)) = self.hole(at, max) {
            if !self.is_lost_by_runs(from, mss) {
                pipe += to.saturating_sub(from.max(self.rest_lost_to));
            }
            pipe += high_rxt.min(to).saturating_sub(from);
            at = to;
        }
        pipe
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// SACK-based loss recovery (RFC 6675 §5), up to `recover`.
    Recovery,
    /// Slow start after a timeout, up to `recover`.
    Loss,
    /// `Open` or `Recovery`: what the status tells of both is the same. Up to `recover`.
    Unclear,
}

/// The numbers that a model begins with.
pub(crate) struct Start {
    pub(crate) mss: u32,
    pub(crate) wnd: u32,
    pub(crate) now: u64,
    pub(crate) rto_min: u64,
    /// By how much a window may seem to have shrunk for want of digits (RFC 7323 §2.4).
    pub(crate) slack: u32,
}

/// What happened, for the books of a world.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) timeouts: u32,
    pub(crate) probes: u32,
    pub(crate) window_probes: u32,
    pub(crate) recoveries: u32,
    pub(crate) early: u32,
    pub(crate) partial_acks: u32,
    /// Segments that NextSeg's rule 1 sent, beside the first of each recovery.
    pub(crate) by_rule_1: u32,
    pub(crate) by_rule_3: u32,
    /// Segments that recovery sent again beyond where it ends; what comes after it does not know of them.
    pub(crate) beyond_recover: u32,
    pub(crate) unclear: u32,
    pub(crate) overflows: u32,
    /// Segments sent again.
    pub(crate) again: u32,
    pub(crate) sent: u32,
    /// The most that was out at once, in bytes.
    pub(crate) most_out: u32,
}

pub(crate) struct SackModel {
    mss: u32,
    rto_min: u64,
    slack: u32,
    una: u32,
    /// Highest byte sent, exclusive (HighData).
    max: u32,
    wnd: u32,
    /// The largest window that was heard.
    most_wnd: u32,
    board: Scoreboard,
    /// Highest byte sent again in this episode, exclusive (HighRxt).
    high_rxt: u32,
    recover: u32,
    phase: Phase,
    dups: u32,
    /// What was acknowledged last had all been sent again.
    is_of_resent: bool,
    /// The front may go once without room in the pipe.
    is_front_free: bool,
    /// Up to where a tail probe's episode goes, while nothing new was acknowledged since.
    probed_to: Option<u32>,
    is_window_probed: bool,
    /// Whether nothing was acknowledged since the last timeout, and the window stayed open.
    has_timed_out: bool,
    timer_from: u64,
    /// When something was sent last, but for window probes.
    last_sent: u64,
    /// Bytes written by the application, and its FIN.
    pub(crate) written: u32,
    pub(crate) tally: Tally,
    /// What was sent again, segment by segment.
    pub(crate) again: Vec<(u32, u32)>,
}

impl SackModel {
    pub(crate) fn new(start: &Start) -> SackModel {
        SackModel {
            mss: start.mss,
            rto_min: start.rto_min,
            slack: start.slack,
            una: 0,
            max: 0,
            wnd: start.wnd,
            most_wnd: start.wnd,
            board: Scoreboard::default(),
            high_rxt: 0,
            recover: 0,
            phase: Phase::Open,
            dups: 0,
            is_of_resent: false,
            is_front_free: false,
            probed_to: None,
            is_window_probed: false,
            has_timed_out: false,
            timer_from: start.now,
            last_sent: start.now,
            written: 0,
            tally: Tally::default(),
            again: Vec::new(),
        }
    }

    /// Whether something of ours waits for the peer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.max > self.una
    }

    fn flight(&self) -> u32 {
        self.max - self.una
    }

    fn pipe(&self) -> u32 {
        self.board.pipe(self.una, self.max, self.high_rxt, self.mss)
    }

    /// Judges one step.
    pub(crate) fn step(&mut self, now: u64, cause: &Cause, before: Seen, after: Seen, out: &[Out]) -> Checked {
        let must_send = match cause {
            Cause::Report(report) => self.hear(now, report, before, after, out)?,
            Cause::Write => {
                self.write(now, before, after)?;
                false
            }
            Cause::Timer(timer) => {
                self.expire(now, *timer, before, after, out)?;
                false
            }
        };
        for out in out {
            self.send(now, *out, cause, after)?;
        }
        self.is_front_free = false;
        if must_send { self.nothing_is_left(after) } else { Ok(()) }
    }

    // What arrives

    /// Returns whether what may be sent now must have been sent.
    fn hear(&mut self, now: u64, report: &Report, before: Seen, after: Seen, out: &[Out]) -> Result<bool, String> {
        if report.to == self.max + 1 && self.is_window_probed {
            self.max += 1;
        }
        // RFC 5961 §5.2.
        let is_too_old = report.to + self.most_wnd < self.una;
        if is_too_old || report.to > self.max {
            same(before, after, "an unacceptable acknowledgment")?;
            ensure!(out.is_empty(), "an unacceptable acknowledgment sends");
            return Ok(false);
        }
        if report.to < self.una {
            let is_news = self.board.update(&report.blocks, self.una, self.max);
            self.tally.overflows += u32::from(self.board.has_overflowed);
            if is_news {
                return self.duplicate(false, before, after, out);
            }
            same(before, after, "an old acknowledgment")?;
            return Ok(false);
        }
        let (acked, flight) = (report.to - self.una, self.flight());
        let is_reopened = self.wnd == 0 && report.wnd > 0;
        if is_reopened {
            self.has_timed_out = false;
            self.timer_from = now;
        }
        (self.wnd, self.most_wnd) = (report.wnd, self.most_wnd.max(report.wnd));
        let first_end = self.high_rxt;
        self.is_of_resent = report.to <= first_end;
        if acked > 0 {
            self.una = report.to;
            self.board.advance(self.una);
            self.dups = 0;
            self.has_timed_out = false;
            self.timer_from = now;
        }
        let is_news = self.board.update(&report.blocks, self.una, self.max);
        self.tally.overflows += u32::from(self.board.has_overflowed);
        self.high_rxt = self.high_rxt.max(self.una);
        if acked > 0 {
            // RFC 6582 §3.2 step 3: the front of what is left was not sent again yet.
            self.is_front_free = first_end <= self.una;
            if is_news && self.loses_with_progress(before, after, out)? {
                return Ok(true);
            }
            let was_probed = self.probed_to.is_some();
            let must = self.advance(now, acked, flight, before, after, out)?;
            if was_probed && is_news && self.phase == Phase::Recovery {
                // From where to where depends on whether the probe has drawn it.
                (self.phase, self.recover) = (Phase::Unclear, self.max);
                self.is_front_free = true;
                return Ok(false);
            }
            Ok(must)
        } else if is_news {
            self.duplicate(is_reopened, before, after, out)
        } else {
            if !self.restarts(now, before, after) {
                same(before, after, "an acknowledgment without news")?;
            }
            Ok(false)
        }
    }

    /// RFC 6675 §5, steps 1 to 4: the peer tells of bytes that were not known, and acknowledges nothing new.
    fn duplicate(&mut self, is_reopened: bool, before: Seen, after: Seen, out: &[Out]) -> Result<bool, String> {
        self.dups += 1;
        match self.phase {
            Phase::Recovery | Phase::Loss => {
                same(before, after, "a duplicate in recovery")?;
                // Where the window was closed the timer goes on.
                Ok(!is_reopened)
            }
            Phase::Unclear => self.may_begin_anew(before, after, out),
            Phase::Open => {
                let is_front_again = out.first().is_some_and(|out| out.at == self.una);
                let must = self.dups >= DUP_THRESH as u32 || self.board.is_lost(self.una, self.mss);
                ensure!(is_front_again || !must, "{} duplicates, {:?} and no recovery", self.dups, self.board.runs);
                if !is_front_again {
                    same(before, after, "a duplicate")?;
                    return Ok(false);
                }
                if !must {
                    self.early_retransmit(before.cwnd)?;
                }
                self.enter(self.flight(), before, after)?;
                Ok(true)
            }
        }
    }

    /// RFC 6675 §5: news count as a duplicate, also where something new is acknowledged with them. Returns whether a recovery begins.
    fn loses_with_progress(&mut self, before: Seen, after: Seen, out: &[Out]) -> Result<bool, String> {
        self.dups = 1;
        let is_over = self.una >= self.recover;
        let may_begin = match self.phase {
            Phase::Open => self.probed_to.is_none(),
            Phase::Recovery | Phase::Loss => is_over,
            Phase::Unclear => return self.may_begin_anew(before, after, out),
        };
        if !may_begin {
            return Ok(false);
        }
        let is_front_again = out.first().is_some_and(|out| out.at == self.una);
        let must = self.board.is_lost(self.una, self.mss);
        ensure!(is_front_again || !must, "{:?} and no recovery", self.board.runs);
        if !is_front_again {
            return Ok(false);
        }
        if !must {
            self.early_retransmit(before.cwnd)?;
        }
        // What a recovery that is over has left of the window is not known here.
        let before = if is_over && self.phase == Phase::Recovery { Seen { cwnd: 0, ..before } } else { before };
        self.enter(self.flight(), before, after)?;
        Ok(true)
    }

    /// Whether the recovery that is perhaps under way is over is not known; another one reduces the window. Returns whether it is known to begin.
    fn may_begin_anew(&mut self, before: Seen, after: Seen, out: &[Out]) -> Result<bool, String> {
        if out.iter().any(|out| out.at == self.una && out.at < self.max) {
            if after.ssthresh < before.ssthresh {
                self.enter(self.flight(), Seen { cwnd: 0, ..before }, after)?;
                return Ok(true);
            }
            (self.recover, self.is_front_free) = (self.max, true);
        }
        Ok(false)
    }

    /// RFC 5827 §3.1, also where something new waits that limited transmit does not let go.
    fn early_retransmit(&mut self, cwnd: u32) -> Checked {
        self.tally.early += 1;
        let flight = self.flight();
        ensure!(flight < 4 * self.mss, "early retransmit with {flight} bytes out");
        let is_limited = self.flight() + self.mss > cwnd + self.dups.min(2) * self.mss;
        ensure!(is_limited || !self.can_send_new(), "early retransmit where something new can be sent");
        let sacked = self.board.bytes();
        ensure!(sacked + self.mss >= flight, "early retransmit: {sacked} of {flight} bytes have arrived");
        Ok(())
    }

    /// A whole segment waits and the peer's window has room for it.
    fn can_send_new(&self) -> bool {
        self.written.min(self.una + self.wnd) >= self.max + self.mss
    }

    /// RFC 6675 §5 step 4.2, RFC 5681 eq. 4: what limited transmit let out does not count.
    fn enter(&mut self, flight: u32, before: Seen, after: Seen) -> Checked {
        let least = self.least_on_entry(flight, before);
        let most = (flight / 2).max(2 * self.mss);
        ensure!(
            (least..=most).contains(&after.ssthresh),
            "ssthresh {} not in {least}..={most}, {before:?}",
            after.ssthresh
        );
        ensure!(after.cwnd == after.ssthresh, "cwnd {} and ssthresh {} on entry", after.cwnd, after.ssthresh);
        self.phase = Phase::Recovery;
        self.board.rest_lost_to = 0;
        self.recover = self.max;
        self.high_rxt = self.una;
        self.is_front_free = true;
        self.probed_to = None;
        self.tally.recoveries += 1;
        Ok(())
    }

    fn least_on_entry(&self, flight: u32, before: Seen) -> u32 {
        (flight.min(before.cwnd).saturating_sub(2 * self.mss) / 2).max(2 * self.mss)
    }

    fn advance(
        &mut self,
        now: u64,
        acked: u32,
        flight: u32,
        before: Seen,
        after: Seen,
        out: &[Out],
    ) -> Result<bool, String> {
        let is_over = self.una >= self.recover;
        let probed_to = self.probed_to.take();
        match self.phase {
            Phase::Recovery if is_over => {
                self.board.rest_lost_to = 0;
                ensure!(after.ssthresh == before.ssthresh, "ssthresh changes at the end of recovery");
                ensure!(
                    after.cwnd <= after.ssthresh.max(self.mss) && after.cwnd >= self.mss,
                    "cwnd {} after recovery",
                    after.cwnd
                );
                self.phase = Phase::Open;
                Ok(false)
            }
            Phase::Recovery => {
                self.tally.partial_acks += 1;
                if self.is_of_resent && self.board.runs.is_empty() {
                    self.board.rest_lost_to = self.recover;
                }
                same(before, after, "a partial acknowledgment")?;
                Ok(true)
            }
            Phase::Loss => {
                if is_over {
                    self.phase = Phase::Open;
                }
                self.grows(acked, if is_over { 2 } else { 1 }, false, before, after)?;
                Ok(!is_over)
            }
            Phase::Unclear => {
                if is_over {
                    self.phase = Phase::Open;
                }
                ensure!(after.ssthresh <= before.ssthresh, "ssthresh grows");
                ensure!(after.cwnd <= before.cwnd + 2 * self.mss, "cwnd grows from {} to {}", before.cwnd, after.cwnd);
                Ok(false)
            }
            Phase::Open => {
                if let Some(probed_to) = probed_to {
                    return self.answer_to_probe(probed_to, acked, flight, before, after, out);
                }
                if before.cwnd != after.cwnd && flight <= 1 && self.restarts(now, before, after) {
                    return Ok(false);
                }
                self.grows(acked, 2, flight >= before.cwnd, before, after)?;
                Ok(false)
            }
        }
    }

    /// RFC 8985 §7.4: the probe has repaired a loss, or was in vain.
    fn answer_to_probe(
        &mut self,
        probed_to: u32,
        acked: u32,
        flight: u32,
        before: Seen,
        after: Seen,
        out: &[Out],
    ) -> Result<bool, String> {
        let is_front_again = out.first().is_some_and(|out| out.at == self.una && out.at < self.max);
        let is_over = self.una >= probed_to;
        let half = (flight / 2).max(2 * self.mss);
        if after.ssthresh != before.ssthresh || after.cwnd < before.cwnd || is_front_again {
            let (high_rxt, is_front_free) = (self.high_rxt, self.is_front_free);
            // A loss that what came with the answer tells of is one of what is out after it.
            let is_of_news = is_front_again && !self.board.runs.is_empty();
            let is_of_rest = is_of_news && after.ssthresh < self.least_on_entry(flight, before);
            self.enter(if is_of_rest { self.flight() } else { flight }, before, after)?;
            (self.recover, self.high_rxt, self.is_front_free) = (probed_to, high_rxt, is_front_free);
            if is_over && !is_of_news {
                self.phase = Phase::Open;
            }
            return Ok(!is_over);
        }
        if after.ssthresh == half && after.cwnd == half && !is_over {
            (self.phase, self.recover) = (Phase::Unclear, probed_to);
            self.tally.unclear += 1;
            return Ok(false);
        }
        self.grows(acked, 2, false, before, after)?;
        Ok(false)
    }

    /// RFC 5681 §3.1 with RFC 3465.
    fn grows(&self, acked: u32, limit: u32, must: bool, before: Seen, after: Seen) -> Checked {
        ensure!(after.ssthresh == before.ssthresh, "ssthresh changes without a loss");
        ensure!(after.cwnd >= before.cwnd, "cwnd shrinks without a loss");
        let grown = after.cwnd - before.cwnd;
        if before.cwnd < before.ssthresh {
            let most = acked.min(limit * self.mss);
            ensure!(grown <= most, "slow start grows by {grown}, at most {most}");
            let is_capped = after.cwnd >= MAX_BUFFER as u32 || after.cwnd >= after.ssthresh;
            ensure!(!must || is_capped || grown == most, "slow start grows by {grown} instead of {most}");
        } else {
            let most = self.mss * acked / before.cwnd.max(1) + 1;
            ensure!(grown <= most.min(self.mss), "congestion avoidance grows by {grown}, at most {most}");
        }
        Ok(())
    }

    /// RFC 5681 §4.1, where payload waited for the window.
    fn restarts(&self, now: u64, before: Seen, after: Seen) -> bool {
        let window = Model::initial_window(self.mss, false);
        let is_idle = self.flight() <= 1 && now - self.last_sent + TICK >= self.rto_min;
        is_idle && after.ssthresh == before.ssthresh && after.cwnd == before.cwnd.min(window)
    }

    // The application, and timers

    fn write(&mut self, now: u64, before: Seen, after: Seen) -> Checked {
        ensure!(after.ssthresh == before.ssthresh, "ssthresh changes on a write");
        ensure!(after.cwnd == before.cwnd || self.restarts(now, before, after), "cwnd changes on a write");
        Ok(())
    }

    fn expire(&mut self, now: u64, timer: Timer, before: Seen, after: Seen, out: &[Out]) -> Checked {
        let bytes: u32 = out.iter().map(|out| out.len).sum();
        ensure!(out.len() <= 1 || bytes <= self.mss, "a timer sends {bytes} bytes in {} segments", out.len());
        if timer == Timer::WindowProbe {
            self.tally.window_probes += 1;
            self.is_front_free = true;
            return same(before, after, "a window probe");
        }
        if timer != Timer::Retransmission || out.is_empty() {
            ensure!(out.is_empty(), "{timer:?} sends");
            return same(before, after, "a timer that sends nothing");
        }
        ensure!(out[0].at == self.una, "the timer sends {} again, the front is {}", out[0].at, self.una);
        ensure!(out[0].at < self.max, "the timer sends new bytes");
        self.is_front_free = true;
        if after.retries > before.retries || after.cwnd < before.cwnd {
            return self.time_out(now, before, after);
        }
        // RFC 8985 §7.
        ensure!(self.probed_to.is_none(), "a second probe");
        ensure!(matches!(self.phase, Phase::Open | Phase::Unclear), "a probe in {:?}", self.phase);
        same(before, after, "a tail probe")?;
        self.phase = Phase::Open;
        self.probed_to = Some(self.max);
        self.high_rxt = self.una;
        self.timer_from = now;
        self.tally.probes += 1;
        Ok(())
    }

    /// RFC 6298 §5, RFC 5681 §3.1, RFC 6675 §5.1.
    fn time_out(&mut self, now: u64, before: Seen, after: Seen) -> Checked {
        let interval = now - self.timer_from;
        ensure!(interval + TICK >= self.rto_min, "a timeout after {interval} us");
        ensure!(after.cwnd <= self.mss, "the loss window is {}", after.cwnd);
        if self.has_timed_out {
            ensure!(after.ssthresh == before.ssthresh, "ssthresh halved twice for one segment");
        } else if self.wnd > 0 && after.ssthresh != before.ssthresh {
            let half = (self.flight() / 2).max(2 * self.mss);
            ensure!(after.ssthresh == half, "ssthresh {} after a timeout, half is {half}", after.ssthresh);
        } else if self.wnd > 0 && self.phase != Phase::Loss {
            let half = (self.flight() / 2).max(2 * self.mss);
            ensure!(after.ssthresh <= half, "ssthresh {} after a timeout, half is {half}", after.ssthresh);
        }
        self.tally.timeouts += 1;
        self.has_timed_out = self.wnd > 0;
        self.timer_from = now;
        self.phase = Phase::Loss;
        self.board.rest_lost_to = 0;
        self.recover = self.max;
        self.dups = 0;
        self.probed_to = None;
        self.board.clear();
        self.high_rxt = self.una;
        Ok(())
    }

    // What is sent

    fn send(&mut self, now: u64, out: Out, cause: &Cause, after: Seen) -> Checked {
        let is_timer = matches!(cause, Cause::Timer(_));
        let right = self.una + self.wnd;
        self.tally.sent += 1;
        if !matches!(cause, Cause::Timer(Timer::WindowProbe)) {
            self.last_sent = now;
        }
        ensure!(out.len > 0 && out.len - u32::from(out.has_fin) <= self.mss, "{} bytes in a segment", out.len);
        ensure!(out.at >= self.una, "acknowledged bytes are sent again");
        ensure!(out.at <= self.max, "a gap before {}", out.at);
        if out.at < self.max {
            ensure!(out.end() <= self.max, "what is sent again goes beyond what was sent");
            let right = (right + self.slack).max(self.una + 1);
            ensure!(out.end() <= right, "{} goes again beyond the window {right}", out.end());
            return self.send_again(out, after);
        }
        if matches!(cause, Cause::Timer(Timer::WindowProbe)) && out.end() > right {
            ensure!(out.len == 1, "a window probe of {} bytes", out.len);
            self.is_window_probed = true;
            return Ok(());
        }
        ensure!(out.end() <= right, "{} is beyond the window {right}", out.end());
        self.is_window_probed = false;
        if !is_timer {
            self.send_new(out, after)?;
        }
        if self.flight() == 0 {
            self.timer_from = now;
        }
        self.max = out.end();
        self.tally.most_out = self.tally.most_out.max(self.max - self.una);
        Ok(())
    }

    fn send_again(&mut self, out: Out, after: Seen) -> Checked {
        self.tally.again += 1;
        self.again.push((out.at, out.end()));
        // A FIN that the peer has may ride along: it costs no byte.
        let text_end = out.end() - u32::from(out.has_fin);
        ensure!(
            self.board.missing(out.at, text_end) == text_end - out.at && (text_end > out.at || !self.board.has(out.at)),
            "{}+{} is sent again and the peer has {:?}",
            out.at,
            out.len,
            self.board.runs
        );
        let pipe = self.pipe();
        let is_front = out.at == self.una && std::mem::take(&mut self.is_front_free);
        // Where a recovery has perhaps begun, from where on is as little known.
        if !is_front && self.phase != Phase::Unclear {
            let hole = self.board.hole(self.high_rxt.max(self.una), self.max);
            ensure!(
                hole.is_some_and(|(from, _)| from == out.at),
                "{} is sent again, the next hole is {hole:?}",
                out.at
            );
            self.send_hole(out, pipe, after)?;
        }
        self.high_rxt = self.high_rxt.max(out.end());
        Ok(())
    }

    fn send_hole(&mut self, out: Out, pipe: u32, after: Seen) -> Checked {
        let text = out.len - u32::from(out.has_fin);
        match self.phase {
            Phase::Open | Phase::Unclear => Err(format!("{} is sent again without a loss", out.at)),
            Phase::Recovery => {
                self.tally.beyond_recover += u32::from(out.end() > self.recover);
                // RFC 6675 §4, NextSeg.
                if self.board.is_lost(out.at, self.mss) {
                    self.tally.by_rule_1 += 1;
                } else {
                    ensure!(out.at < self.board.end(), "{} is not lost, and nothing beyond has arrived", out.at);
                    let goes_new = self.can_send_new() && pipe + self.mss <= after.cwnd;
                    ensure!(!goes_new, "{} is not lost and something new can be sent", out.at);
                    self.tally.by_rule_3 += 1;
                }
                ensure!(pipe + text <= after.cwnd, "{text} more to {pipe} in the pipe, cwnd {}", after.cwnd);
                Ok(())
            }
            Phase::Loss => {
                let out_there = self.board.missing(self.una, out.end());
                ensure!(
                    out_there <= after.cwnd + u32::from(out.has_fin),
                    "{out_there} bytes after a timeout, cwnd {}",
                    after.cwnd
                );
                Ok(())
            }
        }
    }

    fn send_new(&mut self, out: Out, after: Seen) -> Checked {
        let text = out.len - u32::from(out.has_fin);
        if self.flight() == 0 {
            return Ok(());
        }
        match self.phase {
            Phase::Open | Phase::Unclear => {
                // RFC 3042 §2.
                let bound = after.cwnd + self.dups.min(2) * self.mss;
                let span = self.flight() + text;
                ensure!(span <= bound || self.phase == Phase::Unclear, "{span} bytes out, at most {bound}");
            }
            Phase::Recovery => {
                let pipe = self.pipe();
                ensure!(pipe + text <= after.cwnd, "{text} new to {pipe} in the pipe, cwnd {}", after.cwnd);
                if let Some(len) = self.lost_hole() {
                    ensure!(pipe + len > after.cwnd, "{} is new and the hole at {} is lost", out.at, self.high_rxt);
                }
            }
            Phase::Loss => {
                let out_there = self.board.missing(self.una, self.max) + text;
                ensure!(out_there <= after.cwnd, "{out_there} bytes after a timeout, cwnd {}", after.cwnd);
            }
        }
        Ok(())
    }

    /// The length of the segment that NextSeg's rule 1 asks for, if there is one and the peer's window lets it go.
    fn lost_hole(&self) -> Option<u32> {
        let (from, to) = self.board.hole(self.high_rxt.max(self.una), self.max)?;
        let to = to.min(from + self.mss).min(self.una + self.wnd);
        (from < to && self.board.is_lost(from, self.mss)).then(|| to - from)
    }

    /// RFC 6675 §5 step C: what the congestion window lets go has gone.
    fn nothing_is_left(&self, after: Seen) -> Checked {
        let hole = self.board.hole(self.high_rxt.max(self.una), self.max);
        let len_of = |(from, to): (u32, u32)| to.min(from + self.mss).min(self.una + self.wnd).saturating_sub(from);
        let len = hole.map_or(0, len_of);
        let pipe = self.pipe();
        match self.phase {
            Phase::Open | Phase::Unclear => Ok(()),
            Phase::Recovery => {
                let is_front_left = hole.is_some_and(|(from, _)| from == self.una) && len > 0;
                ensure!(!is_front_left, "the front {} is not sent again", self.una);
                // A window that cuts the segment short may let it wait.
                let is_whole = |len: u32| hole.is_some_and(|(from, to)| len == self.mss.min(to - from));
                let is_lost = self.lost_hole().is_some_and(|len| is_whole(len) && pipe + len <= after.cwnd);
                ensure!(!is_lost, "the lost {hole:?} waits, {pipe} in the pipe, cwnd {}", after.cwnd);
                let goes_new = self.can_send_new() && pipe + self.mss <= after.cwnd;
                ensure!(!goes_new, "new bytes wait, {pipe} in the pipe, cwnd {}", after.cwnd);
                let is_below = hole.is_some_and(|(from, _)| from < self.board.end()) && len > 0;
                let waits = is_below && self.written <= self.max && pipe + len <= after.cwnd;
                ensure!(!waits, "{hole:?} waits and nothing new is left, {pipe} in the pipe, cwnd {}", after.cwnd);
                Ok(())
            }
            Phase::Loss => {
                let Some((from, _)) = hole.filter(|&(from, _)| len > 0 && from < self.recover) else { return Ok(()) };
                let out_there = self.board.missing(self.una, from + len);
                ensure!(out_there > after.cwnd, "{hole:?} waits after a timeout, cwnd {}", after.cwnd);
                Ok(())
            }
        }
    }
}

fn same(before: Seen, after: Seen, what: &str) -> Checked {
    let is_same = (before.cwnd, before.ssthresh) == (after.cwnd, after.ssthresh);
    if is_same { Ok(()) } else { Err(format!("{what} changes {before:?} to {after:?}")) }
}
