//! A scripted receiver that takes the SACK option (RFC 2018, RFC 2883), in one of several manners.

use crate::support::world::Rng;

/// How the receiver uses the option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    Truthful,
    /// Reports what came twice in the first block (RFC 2883).
    TellsDuplicates,
    /// Discards once what it had reported (RFC 2018 §8).
    Reneges,
    /// Reports blocks that mean nothing; its acknowledgment numbers are true.
    Lies,
    /// Permits the option and never sends a block.
    Silent,
}

pub(crate) const MANNERS: [Manner; 5] =
    [Manner::Truthful, Manner::TellsDuplicates, Manner::Reneges, Manner::Lies, Manner::Silent];

/// What the receiver says, in bytes from the stream's first; numbers before that are wrapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    pub(crate) to: u32,
    pub(crate) wnd: u32,
    pub(crate) blocks: Vec<(u32, u32)>,
}

pub(crate) struct SackReceiver {
    manner: Manner,
    /// Blocks of an option at most.
    most_blocks: usize,
    pub(crate) nxt: u32,
    /// What arrived beyond the gap; what grew last comes first.
    runs: Vec<(u32, u32)>,
    /// Where the stream ends, behind the FIN.
    end: u32,
    read: u32,
    /// Room of its buffer, in bytes.
    pub(crate) room: u32,
    pub(crate) is_reading: bool,
    /// Whether the right edge of the window may move to the left.
    pub(crate) is_shrinking: bool,
    edge: u32,
    /// After how many segments beyond a gap it reneges.
    reneges_after: u32,
    /// Where the highest segment ended.
    high: u32,
    has_reneged: bool,
    /// What was beyond the window, and not stored.
    pub(crate) refused: Vec<(u32, u32)>,
}

impl SackReceiver {
    pub(crate) fn new(manner: Manner, most_blocks: usize, total: u32, room: u32, reneges_after: u32) -> SackReceiver {
        SackReceiver {
            manner,
            most_blocks,
            nxt: 0,
            runs: Vec::new(),
            end: total + 1,
            read: 0,
            room,
            is_reading: true,
            is_shrinking: false,
            edge: room,
            reneges_after,
            high: 0,
            has_reneged: false,
            refused: Vec::new(),
        }
    }

    /// Takes a segment from `at` on; `len` counts the FIN.
    pub(crate) fn take(&mut self, at: u32, len: u32, rng: &mut Rng) -> Report {
        let end = (at + len).min(self.edge);
        if end < at + len {
            self.refused.push((end.max(at), at + len));
        }
        self.high = self.high.max(end);
        let twice = self.known_part(at, end);
        if at <= self.nxt && end > self.nxt {
            self.nxt = end;
            self.join();
        } else if at > self.nxt && end > at {
            self.store(at, end);
            self.renege();
        }
        let mut report = self.report(rng);
        if let (Manner::TellsDuplicates, Some(block)) = (self.manner, twice) {
            report.blocks.insert(0, block);
            report.blocks.truncate(self.most_blocks);
        }
        report
    }

    /// Returns the first part of a segment that was here before (RFC 2883 §4).
    fn known_part(&self, at: u32, end: u32) -> Option<(u32, u32)> {
        if at < self.nxt {
            return Some((at, end.min(self.nxt)));
        }
        let parts = self.runs.iter().map(|&(from, to)| (from.max(at), to.min(end)));
        parts.filter(|(from, to)| from < to).min()
    }

    fn store(&mut self, at: u32, end: u32) {
        let mut run = (at, end);
        self.runs.retain(|&(from, to)| {
            let is_apart = to < at || end < from;
            if !is_apart {
                run = (run.0.min(from), run.1.max(to));
            }
            is_apart
        });
        self.runs.insert(0, run);
    }

    fn join(&mut self) {
        while let Some(i) = self.runs.iter().position(|&(from, _)| from <= self.nxt) {
            let (_, to) = self.runs.remove(i);
            self.nxt = self.nxt.max(to);
        }
    }

    fn renege(&mut self) {
        if self.manner == Manner::Reneges && !self.has_reneged {
            self.reneges_after = self.reneges_after.saturating_sub(1);
            if self.reneges_after == 0 {
                self.has_reneged = true;
                self.runs.clear();
            }
        }
    }

    pub(crate) fn report(&mut self, rng: &mut Rng) -> Report {
        if self.is_reading {
            self.read = self.nxt;
        }
        let edge = self.read + self.room;
        self.edge = if self.is_shrinking { edge.max(self.nxt) } else { edge.max(self.edge) };
        let blocks = match self.manner {
            Manner::Silent => vec![],
            Manner::Lies => self.lies(rng),
            Manner::Truthful | Manner::TellsDuplicates | Manner::Reneges => {
                self.runs.iter().copied().take(self.most_blocks).collect()
            }
        };
        Report { to: self.nxt, wnd: self.edge - self.nxt, blocks }
    }

    fn lies(&self, rng: &mut Rng) -> Vec<(u32, u32)> {
        let count = rng.below(self.most_blocks as u64 + 1);
        (0..count).map(|_| self.lie(rng)).collect()
    }

    fn lie(&self, rng: &mut Rng) -> (u32, u32) {
        let span = u64::from(self.high - self.nxt);
        let near = |rng: &mut Rng| (self.nxt + rng.below(span + 2_000) as u32).wrapping_sub(1_000);
        let within = |rng: &mut Rng| self.nxt + rng.below(span + 1) as u32;
        let (a, b) = if rng.percent(50) { (near(rng), near(rng)) } else { (within(rng), within(rng)) };
        match rng.below(12) {
            0 => self.runs.first().copied().unwrap_or((a, b)),
            1 => (a, a),
            2 => (a.max(b), a.min(b)),
            3 => (rng.next() as u32, rng.next() as u32),
            4 => (self.nxt, self.nxt + 1_000),
            5 => (self.nxt.wrapping_sub(500), b),
            6..=8 => (a, a.wrapping_add(1 + rng.below(50) as u32)),
            _ => (a.min(b), a.max(b)),
        }
    }

    pub(crate) fn has_all(&self) -> bool {
        self.nxt == self.end
    }
}
