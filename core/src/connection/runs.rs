//! Which numbers beyond a gap have arrived: here (RFC 9293 §3.10.7.4, SHLD-31), or at the peer.

use crate::size::Size;

/// How many separate runs beyond the gap are remembered. One more is refused, and the peer sends it again: the work per segment is
/// bounded whatever a peer sends (CVE-2018-5390).
pub(crate) const MAX_RUNS: usize = 4;

/// Numbers `start..end`, counted from the gap's first, which is RCV.NXT or SND.UNA. Empty runs are unused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Run {
    start: Size,
    end: Size,
}

/// Runs beyond the gap: disjoint, apart by at least one byte, the latest first, or in order, the unused ones last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Runs {
    runs: [Run; MAX_RUNS],
}

impl Runs {
    pub(crate) const EMPTY: Runs = Runs { runs: [Run { start: 0, end: 0 }; MAX_RUNS] };

    pub(crate) fn is_empty(&self) -> bool {
        self.runs[0].end == 0
    }

    /// Remembers `start..end`, before all others; returns whether it could.
    pub(crate) fn add(&mut self, start: Size, end: Size) -> bool {
        if start >= end {
            return true;
        }
        let touching = |run: &Run| run.end != 0 && run.start <= end && start <= run.end;
        let mut merged = Run { start, end };
        for run in self.runs.iter().filter(|run| touching(run)) {
            merged.start = merged.start.min(run.start);
            merged.end = merged.end.max(run.end);
        }
        let (mut kept, mut count) = (Runs::EMPTY, 0);
        kept.put(&mut count, merged);
        for run in self.runs.iter().filter(|run| run.end != 0 && !touching(run)) {
            if !kept.put(&mut count, *run) {
                return false;
            }
        }
        *self = kept;
        true
    }

    /// The same in the order of the numbers, as all before were.
    #[cfg(feature = "sack")]
    pub(crate) fn add_in_order(&mut self, start: Size, end: Size) {
        self.add(start, end);
        for next in 1..MAX_RUNS {
            let [before, after] = [self.runs[next - 1], self.runs[next]];
            if after.end == 0 || before.start < after.start {
                break;
            }
            self.runs.swap(next - 1, next);
        }
    }

    /// Moves RCV.NXT over `n` bytes that came in order and over the run they meet; returns how many bytes that is in all.
    pub(crate) fn advance(&mut self, n: Size) -> Size {
        let mut advanced = n;
        for run in self.runs.iter().take_while(|run| run.end != 0) {
            if run.start <= advanced {
                advanced = advanced.max(run.end);
            }
        }
        self.forget_to(advanced);
        advanced
    }

    /// Counts from `n` numbers further on. A run that begins before that is forgotten.
    pub(crate) fn forget_to(&mut self, n: Size) {
        let mut kept = Runs::EMPTY;
        let mut count = 0;
        for run in self.runs.iter().filter(|run| run.start > n) {
            kept.put(&mut count, Run { start: run.start - n, end: run.end - n });
        }
        *self = kept;
    }

    /// Lists the runs, each from its first number to the one after its last.
    #[cfg(feature = "sack")]
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (Size, Size)> + '_ {
        self.runs.iter().filter(|run| run.end != 0).map(|run| (run.start, run.end))
    }

    fn put(&mut self, count: &mut usize, run: Run) -> bool {
        match self.runs.get_mut(*count) {
            Some(place) => {
                *place = run;
                *count += 1;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of arrival of pieces from a small world, against a plain set of bytes.
    #[test]
    fn add_and_advance_agree_with_a_set_of_bytes() {
        const SPAN: Size = 9;
        let pieces: [(Size, Size); 10] =
            [(0, 1), (1, 3), (2, 4), (3, 4), (4, 6), (5, 9), (6, 7), (7, 9), (8, 9), (0, 3)];
        for code in 0..10_000_u32 {
            let mut runs = Runs::EMPTY;
            let mut had = [false; SPAN as usize];
            let mut nxt = 0;
            for digit in [code % 10, code / 10 % 10, code / 100 % 10, code / 1_000] {
                let (start, end) = pieces[digit as usize];
                if end <= nxt {
                    continue;
                }
                let start = start.max(nxt);
                for byte in start..end {
                    had[byte as usize] = true;
                }
                if start == nxt {
                    nxt += runs.advance(end - nxt);
                } else {
                    assert!(runs.add(start - nxt, end - nxt));
                }
                let expected = had.iter().position(|&h| !h).unwrap_or(had.len()) as Size;
                assert_eq!(nxt, expected, "code {code}");
                let beyond = had[nxt as usize..].iter().any(|&h| h);
                assert_eq!(runs.is_empty(), !beyond, "code {code}");
            }
        }
    }

    #[test]
    fn add_beyond_the_bound_is_refused_and_changes_nothing() {
        let mut runs = Runs::EMPTY;
        for i in 0..MAX_RUNS as Size {
            assert!(runs.add(10 * i + 1, 10 * i + 2));
        }
        let before = runs;
        assert!(!runs.add(5, 6));
        assert!(!runs.add(500, 600));
        assert_eq!(runs, before);
        assert!(runs.add(2, 11), "a piece that joins two runs needs no place");
    }
}
