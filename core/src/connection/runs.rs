//! Which numbers beyond a gap have arrived: here (RFC 9293 §3.10.7.4, SHLD-31), or at the peer.

/// How many separate runs beyond the gap are remembered. One more is refused, and the peer sends it again: the work per segment is
/// bounded whatever a peer sends (CVE-2018-5390).
pub(crate) const MAX_RANGES: usize = 4;

/// Numbers `start..end`, counted from the gap's first, which is RCV.NXT or SND.UNA. Empty ranges are unused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Range {
    start: u16,
    end: u16,
}

/// Runs beyond the gap: disjoint, apart by at least one byte, in order, the unused ones last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Runs {
    ranges: [Range; MAX_RANGES],
}

impl Runs {
    pub(crate) const EMPTY: Runs = Runs { ranges: [Range { start: 0, end: 0 }; MAX_RANGES] };

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges[0].end == 0
    }

    /// Remembers `start..end`; returns whether it could.
    pub(crate) fn add(&mut self, start: u16, end: u16) -> bool {
        if start >= end {
            return true;
        }
        let touching = |range: &Range| range.end != 0 && range.start <= end && start <= range.end;
        let mut merged = Range { start, end };
        for range in self.ranges.iter().filter(|range| touching(range)) {
            merged.start = merged.start.min(range.start);
            merged.end = merged.end.max(range.end);
        }
        let mut kept = Runs::EMPTY;
        let mut count = 0;
        let mut is_placed = false;
        for range in self.ranges.iter().filter(|range| range.end != 0 && !touching(range)) {
            if !is_placed && merged.start < range.start {
                if !kept.put(&mut count, merged) {
                    return false;
                }
                is_placed = true;
            }
            if !kept.put(&mut count, *range) {
                return false;
            }
        }
        if !is_placed && !kept.put(&mut count, merged) {
            return false;
        }
        *self = kept;
        true
    }

    /// Moves RCV.NXT over `n` bytes that came in order and over the run they meet; returns how many bytes that is in all.
    pub(crate) fn advance(&mut self, n: u16) -> u16 {
        let mut advanced = n;
        for range in self.ranges.iter().take_while(|range| range.end != 0) {
            if range.start <= advanced {
                advanced = advanced.max(range.end);
            }
        }
        self.forget_to(advanced);
        advanced
    }

    /// Counts from `n` numbers further on. A run that begins before that is forgotten.
    pub(crate) fn forget_to(&mut self, n: u16) {
        let mut kept = Runs::EMPTY;
        let mut count = 0;
        for range in self.ranges.iter().filter(|range| range.start > n) {
            kept.put(&mut count, Range { start: range.start - n, end: range.end - n });
        }
        *self = kept;
    }

    /// Lists the runs in order, each from its first number to the one after its last.
    #[cfg(feature = "sack")]
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u16, u16)> + '_ {
        self.ranges.iter().filter(|range| range.end != 0).map(|range| (range.start, range.end))
    }

    fn put(&mut self, count: &mut usize, range: Range) -> bool {
        match self.ranges.get_mut(*count) {
            Some(place) => {
                *place = range;
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
        const SPAN: u16 = 9;
        let pieces: [(u16, u16); 10] = [(0, 1), (1, 3), (2, 4), (3, 4), (4, 6), (5, 9), (6, 7), (7, 9), (8, 9), (0, 3)];
        for code in 0..10_000_u32 {
            let mut reassembly = Runs::EMPTY;
            let mut had = [false; SPAN as usize];
            let mut nxt = 0_u16;
            for digit in [code % 10, code / 10 % 10, code / 100 % 10, code / 1_000] {
                let (start, end) = pieces[digit as usize];
                if end <= nxt {
                    continue;
                }
                let start = start.max(nxt);
                for byte in start..end {
                    had[usize::from(byte)] = true;
                }
                if start == nxt {
                    nxt += reassembly.advance(end - nxt);
                } else {
                    assert!(reassembly.add(start - nxt, end - nxt));
                }
                let expected = had.iter().position(|&h| !h).unwrap_or(had.len()) as u16;
                assert_eq!(nxt, expected, "code {code}");
                let beyond = had[usize::from(nxt)..].iter().any(|&h| h);
                assert_eq!(reassembly.is_empty(), !beyond, "code {code}");
            }
        }
    }

    #[test]
    fn add_beyond_the_bound_is_refused_and_changes_nothing() {
        let mut reassembly = Runs::EMPTY;
        for i in 0..MAX_RANGES as u16 {
            assert!(reassembly.add(10 * i + 1, 10 * i + 2));
        }
        let before = reassembly;
        assert!(!reassembly.add(5, 6));
        assert!(!reassembly.add(500, 600));
        assert_eq!(reassembly, before);
        assert!(reassembly.add(2, 11), "a piece that joins two runs needs no place");
    }
}
