//! What is measured: cells, who sends to whom, seeds.

use lossy_path::cell::Cell;
use lossy_path::{Conditions, MSS, MTU};

use crate::lan::{self, Place};

/// Send and receive buffers in bytes, in ascending order.
pub(super) const BUFFERS: [usize; 3] = [2_048, 8_192, 32_768];
/// Frames each second of all transfers that run at one time, at most: they would be late.
const MAX_FRAMES: u64 = 17_000;

/// Who sends to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pair {
    /// The kernel's TCP to itself.
    Linux,
    /// The kernel's TCP to this stack.
    LinuxToOurs,
    /// This stack to the kernel's TCP.
    OursToLinux,
    /// This stack to itself.
    Ours,
}

impl Pair {
    /// All of them, in the order of the table's columns.
    pub(super) const ALL: [Pair; 4] = [Pair::Linux, Pair::LinuxToOurs, Pair::OursToLinux, Pair::Ours];

    /// Returns the column's title.
    pub(super) fn title(self) -> &'static str {
        match self {
            Pair::Linux => "Linux",
            Pair::LinuxToOurs => "Linux to ours",
            Pair::OursToLinux => "ours to Linux",
            Pair::Ours => "ours",
        }
    }

    /// Returns the stations of the sender and the receiver.
    pub(super) fn stations(self) -> [Place; 2] {
        match self {
            Pair::Linux => [lan::LINUX_SENDER, lan::LINUX_RECEIVER],
            Pair::LinuxToOurs => [lan::LINUX_SENDER, lan::OUR_RECEIVER],
            Pair::OursToLinux => [lan::OUR_SENDER, lan::LINUX_RECEIVER],
            Pair::Ours => [lan::OUR_SENDER, lan::OUR_RECEIVER],
        }
    }
}

/// One transfer that is to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) cell: Cell,
    pub(super) pair: Pair,
    pub(super) seed: u64,
}

impl Case {
    pub(super) fn conditions(&self) -> Conditions {
        self.cell.conditions(Conditions::DEFAULT)
    }

    /// Returns how many frames with payload the rate, the window or the loss lets pass each second, about.
    pub(super) fn frames(&self) -> u64 {
        let Cell { loss, rtt, buffer, reorder: _ } = self.cell;
        let by_rate = Conditions::DEFAULT.rate as f64 / (8 * MTU) as f64;
        let by_window = buffer as f64 / MSS as f64;
        // The mean window of Reno under random loss (Mathis et al., 1997), which CUBIC's is too where the round trip is short.
        let by_loss = (1.5e6 / f64::from(loss)).sqrt();
        by_rate.min(by_window.min(by_loss) * 1_000.0 / f64::from(rtt)).ceil() as u64
    }
}

/// Returns a case for each cell, pair and seed.
pub(super) fn all(cells: &[Cell], seed: u64, seeds: u8) -> Vec<Case> {
    let mut cases = Vec::new();
    for &cell in cells {
        for pair in Pair::ALL {
            // Where nothing is drawn all seeds are the same.
            let seeds = if cell.conditions(Conditions::DEFAULT).is_random() { seeds } else { 1 };
            cases.extend((0..u64::from(seeds)).map(|n| Case { cell, pair, seed: seed + n }));
        }
    }
    cases
}

/// Returns the first of the cases, by their number, that may run beside those that do: together they have few enough frames.
pub(super) fn next_beside(running: u64, waiting: &[(usize, Case)]) -> Option<usize> {
    waiting.iter().position(|(_, case)| running == 0 || running + case.frames() <= MAX_FRAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(rtt: u32, buffer: usize) -> Case {
        Case { cell: Cell { reorder: 0, loss: 0, rtt, buffer }, pair: Pair::Linux, seed: 1 }
    }

    #[test]
    fn frames_are_bounded_by_the_rate_the_window_and_the_loss() {
        assert_eq!(case(1, 32_768).frames(), 8_334);
        assert_eq!(case(100, 32_768).frames(), 225);
        let Case { cell, .. } = case(1, 32_768);
        assert_eq!(Case { cell: Cell { loss: 100_000, ..cell }, ..case(1, 32_768) }.frames(), 3_873);
    }

    #[test]
    fn the_first_case_that_fits_runs_next() {
        let waiting = [(0, case(1, 32_768)), (1, case(100, 2_048))];
        assert_eq!(next_beside(0, &waiting), Some(0));
        assert_eq!(next_beside(2 * 8_334, &waiting), Some(1));
        assert_eq!(next_beside(MAX_FRAMES, &waiting), None);
    }

    #[test]
    fn seeds_are_one_where_nothing_is_drawn() {
        let cells = Cell::product(&[0], &[0, 1_000], &[20], &[2_048]);
        let cases = all(&cells, 7, 3);
        assert_eq!(cases.len(), Pair::ALL.len() * (1 + 3));
        assert_eq!(cases.iter().map(|case| case.seed).max(), Some(9));
    }
}
