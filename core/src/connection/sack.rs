//! Selective acknowledgment: what the peer is told of what arrived beyond a gap (RFC 2018) or twice (RFC 2883), and what its word says of what is out
//! (RFC 6675 §4).

use crate::connection::runs::Runs;
use crate::wire::options::Options;
use crate::wire::sack::SackBlocks;
use crate::wire::seq::Seq;

/// Runs beyond a number that mean its loss (RFC 6675 §2, DupThresh).
const RUNS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Sack {
    is_spoken: bool,
    /// The scoreboard: what the peer has, counted from SND.UNA.
    board: Runs,
    /// A number of the run that grew last here, counted from RCV.NXT.
    newest: u16,
    /// What arrived twice and is not told yet.
    twice: (Seq, u16),
}

impl Sack {
    pub(crate) const NEW: Sack = Sack { is_spoken: false, board: Runs::EMPTY, newest: 0, twice: (Seq(0), 0) };

    /// The peer's SYN has come.
    pub(crate) fn begin(&mut self, is_spoken: bool) {
        self.is_spoken = is_spoken;
    }

    /// Returns whether both ends have offered it.
    #[inline]
    pub(crate) fn is_spoken(&self) -> bool {
        self.is_spoken
    }

    /// Notes what the peer says that it has of `una..nxt` (RFC 6675 §4, Update). Returns whether that is more than was known.
    pub(crate) fn hear(&mut self, options: &Options, una: Seq, nxt: Seq) -> bool {
        let before = self.known();
        if self.is_spoken {
            let out = nxt.since(una);
            for (start, end) in options.sack.as_slice() {
                let (start, end) = (start.since(una), end.since(una));
                // What is acknowledged already, or was never sent, is far off. The front is not had: it would be acknowledged.
                if 0 < start && start < end && end <= out && end <= u32::from(u16::MAX) {
                    self.board.add(start as u16, end as u16);
                }
            }
        }
        self.known() > before
    }

    fn known(&self) -> u32 {
        self.board.iter().map(|(start, end)| u32::from(end - start)).sum()
    }

    /// SND.UNA has moved by `n`.
    pub(crate) fn acknowledged(&mut self, n: u32) {
        if !self.board.is_empty() {
            self.board.forget_to(u16::try_from(n).unwrap_or(u16::MAX));
        }
    }

    /// The peer may have thrown away what it said it had (RFC 2018 §8).
    pub(crate) fn distrust(&mut self) {
        self.board = Runs::EMPTY;
    }

    /// Returns the first number from `at` on that the peer is not known to have, and where what it has begins again.
    pub(crate) fn gap_from(&self, at: u32) -> (u32, u32) {
        let mut at = at;
        for (start, end) in self.board.iter() {
            if at < u32::from(start) {
                return (at, start.into());
            }
            at = at.max(end.into());
        }
        (at, u32::MAX)
    }

    /// Returns the end of what is lost (RFC 6675 §4, IsLost): more than two segments, or three runs, beyond it have arrived.
    pub(crate) fn lost_to(&self, mss: u16) -> u32 {
        let mut beyond = 0;
        for (runs, (start, end)) in self.board.iter().rev().enumerate() {
            beyond += u32::from(end - start);
            if runs + 1 >= RUNS || beyond > 2 * u32::from(mss) {
                return start.into();
            }
        }
        0
    }

    /// Returns the highest number that the peer has, and one; 0 where it has none.
    pub(crate) fn end(&self) -> u32 {
        self.board.iter().next_back().map_or(0, |(_, end)| end.into())
    }

    /// Returns how many numbers before `at` the peer has.
    pub(crate) fn known_before(&self, at: u32) -> u32 {
        let within = |(start, end): (u16, u16)| u32::from(end).min(at).saturating_sub(start.into());
        self.board.iter().map(within).sum()
    }

    /// Returns how much of `flight` is in the network (RFC 6675 §4, SetPipe): not what the peer has, nor what is lost, but what was sent again, which
    /// is all up to `resent`.
    pub(crate) fn pipe(&self, flight: u32, resent: u32, mss: u16) -> u32 {
        let missing_before = |at: u32| at.saturating_sub(self.known_before(at));
        let lost_to = self.lost_to(mss);
        missing_before(flight).saturating_sub(missing_before(lost_to)) + missing_before(resent.min(flight))
    }

    /// Something has come in beyond the gap, `offset` from RCV.NXT.
    pub(crate) fn note_newest(&mut self, offset: u16) {
        self.newest = offset;
    }

    /// RCV.NXT has moved by `n`.
    pub(crate) fn advance(&mut self, n: u16) {
        self.newest = self.newest.saturating_sub(n);
    }

    /// `len` bytes from `start` on were here before (RFC 2883 §4).
    pub(crate) fn note_twice(&mut self, start: Seq, len: u16) {
        if self.is_spoken && len > 0 {
            self.twice = (start, len);
        }
    }

    /// Of `len` bytes, `offset` from RCV.NXT, some may be in `runs`.
    pub(crate) fn note_twice_of(&mut self, runs: &Runs, rcv_nxt: Seq, offset: u16, len: u16) {
        let (from, to) = (offset, offset.saturating_add(len));
        if let Some((start, end)) = runs.iter().find(|&(start, end)| start < to && from < end) {
            let (start, end) = (start.max(from), end.min(to));
            self.note_twice(rcv_nxt + u32::from(start), end - start);
        }
    }

    /// A segment has told all there was.
    pub(crate) fn told(&mut self) {
        self.twice.1 = 0;
    }

    /// Returns what to tell in an option of `room` bytes: what came twice, then the run that grew last, then the others (RFC 2018 §4).
    pub(crate) fn blocks(&self, runs: &Runs, rcv_nxt: Seq, room: usize) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        if !self.is_spoken {
            return blocks;
        }
        let is_newest = |&(start, end): &(u16, u16)| (start..end).contains(&self.newest);
        let at = |(start, end): (u16, u16)| (rcv_nxt + u32::from(start), rcv_nxt + u32::from(end));
        let (start, len) = self.twice;
        let twice = (len > 0).then(|| (start, start + u32::from(len)));
        let newest = runs.iter().filter(is_newest).map(at);
        let others = runs.iter().filter(|run| !is_newest(run)).map(at);
        let all = twice.into_iter().chain(newest).chain(others);
        for (start, end) in all.take(SackBlocks::fitting(room)) {
            blocks.push(start, end);
        }
        blocks
    }
}
