//! Selective acknowledgment: what arrived beyond a gap (RFC 2018) or twice (RFC 2883), for the peer to know; and the scoreboard of what arrived there
//! (RFC 6675 §4).

use crate::connection::recovery::DUP_THRESH;
use crate::connection::runs::Runs;
use crate::size::{MOST, Size, saturated};
use crate::wire::options::Options;
use crate::wire::sack::SackBlocks;
use crate::wire::seq::Seq;

#[derive(Clone, Debug)]
pub(crate) struct Sack {
    is_enabled: bool,
    /// The scoreboard: what the peer has, counted from SND.UNA.
    scoreboard: Runs,
    /// What arrived twice and is not told yet.
    duplicate: (Seq, Size),
}

impl Sack {
    pub(crate) const NEW: Sack = Sack { is_enabled: false, scoreboard: Runs::EMPTY, duplicate: (Seq(0), 0) };

    /// The peer's SYN has come.
    pub(crate) fn begin(&mut self, is_enabled: bool) {
        *self = Sack { is_enabled, ..Sack::NEW };
    }

    /// Returns whether both ends have offered it.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Notes what the peer says that it has of `una..nxt` (RFC 6675 §4, Update). Returns whether that is more than was known.
    pub(crate) fn update_scoreboard(&mut self, options: &Options, una: Seq, nxt: Seq) -> bool {
        let Some(blocks) = options.sack.as_ref().filter(|_| self.is_enabled) else { return false };
        let (before, out) = (self.sacked_bytes(), nxt.since(una));
        for (start, end) in blocks.as_slice() {
            let (start, end) = (start.since(una), end.since(una));
            // Numbers before `una` are far off here. A peer that has the front acknowledges it.
            if 0 < start && start < end && end <= out && end <= MOST {
                self.scoreboard.add_in_order(start as Size, end as Size);
            }
        }
        self.sacked_bytes() > before
    }

    /// Returns how many numbers the peer has beyond the front.
    pub(crate) fn sacked_bytes(&self) -> u32 {
        self.scoreboard.iter().map(|(start, end)| u32::from(end - start)).sum()
    }

    /// SND.UNA has moved by `n`.
    pub(crate) fn acknowledged(&mut self, n: u32) {
        if !self.scoreboard.is_empty() {
            self.scoreboard.forget_to(saturated(n));
        }
    }

    /// The peer may have thrown away what it said it had (RFC 2018 §8).
    pub(crate) fn clear_scoreboard(&mut self) {
        self.scoreboard = Runs::EMPTY;
    }

    /// Returns the first number from `at` on that the peer is not known to have, and where what it has begins again.
    pub(crate) fn next_unsacked(&self, at: u32) -> (u32, u32) {
        let mut at = at;
        for (start, end) in self.scoreboard.iter() {
            if at < u32::from(start) {
                return (at, start.into());
            }
            at = at.max(end.into());
        }
        (at, u32::MAX)
    }

    /// Returns the end of what is lost (RFC 6675 §4, IsLost): more than two segments, or three runs, beyond it have arrived.
    pub(crate) fn lost_end(&self, mss: u16) -> u32 {
        let mut beyond = 0;
        for (runs, (start, end)) in self.scoreboard.iter().rev().enumerate() {
            beyond += u32::from(end - start);
            let has_enough_runs = runs + 1 >= usize::from(DUP_THRESH);
            if has_enough_runs || beyond > u32::from(DUP_THRESH - 1) * u32::from(mss) {
                return start.into();
            }
        }
        0
    }

    /// Returns the highest number that the peer has, and one; 0 where it has none.
    pub(crate) fn sacked_end(&self) -> u32 {
        self.scoreboard.iter().next_back().map_or(0, |(_, end)| end.into())
    }

    /// Returns how many numbers before `at` the peer has.
    pub(crate) fn sacked_before(&self, at: u32) -> u32 {
        let within = |(start, end): (Size, Size)| u32::from(end).min(at).saturating_sub(start.into());
        self.scoreboard.iter().map(within).sum()
    }

    /// Returns how much of `flight` is in the network (RFC 6675 §4, SetPipe): not what the peer has, nor what is lost, but what was sent again, which
    /// is all up to `resent`.
    pub(crate) fn pipe(&self, flight: u32, resent: u32, lost_end: u32) -> u32 {
        let missing_before = |at: u32| at.saturating_sub(self.sacked_before(at));
        missing_before(flight).saturating_sub(missing_before(lost_end)) + missing_before(resent.min(flight))
    }

    /// `len` bytes from `start` on were here before (RFC 2883 §4). Returns whether that is to be told.
    pub(crate) fn record_duplicate(&mut self, start: Seq, len: Size) -> bool {
        if self.is_enabled && len > 0 {
            self.duplicate = (start, len);
        }
        self.duplicate.1 > 0
    }

    /// Of `len` bytes, `offset` from RCV.NXT, some may be in `runs`.
    pub(crate) fn record_duplicate_in(&mut self, runs: &Runs, rcv_nxt: Seq, offset: Size, len: Size) -> bool {
        let (from, to) = (offset, offset.saturating_add(len));
        let overlap = runs.iter().filter(|&(start, end)| start < to && from < end).min();
        overlap.is_some_and(|(start, end)| {
            let (start, end) = (start.max(from), end.min(to));
            self.record_duplicate(rcv_nxt + u32::from(start), end - start)
        })
    }

    /// Returns whether there is something beyond a gap, or twice, of which an acknowledgment alone tells.
    #[inline]
    pub(crate) fn has_news(&self, runs: &Runs) -> bool {
        !runs.is_empty() || self.duplicate.1 > 0
    }

    /// A segment with the blocks went out.
    pub(crate) fn clear_duplicate(&mut self) {
        self.duplicate.1 = 0;
    }

    /// Returns what to tell in an option of `room` bytes: what came twice, then the runs, those that grew last before the others (RFC 2018 §4).
    pub(crate) fn blocks(&self, runs: &Runs, rcv_nxt: Seq, room: usize) -> Option<SackBlocks> {
        if !self.is_enabled || !self.has_news(runs) {
            return None;
        }
        let mut blocks = SackBlocks::NONE;
        let at = |(start, end): (Size, Size)| (rcv_nxt + u32::from(start), rcv_nxt + u32::from(end));
        let (start, len) = self.duplicate;
        let twice = (len > 0).then(|| (start, start + u32::from(len)));
        let all = twice.into_iter().chain(runs.iter().map(at));
        for (start, end) in all.take(SackBlocks::fitting(room)) {
            blocks.push(start, end);
        }
        Some(blocks).filter(|blocks| !blocks.as_slice().is_empty())
    }
}
