//! When a connection last ended for each reason. A ring of the last ends could be flushed by anybody who causes ends; this cannot.

use tcp_reset_core::{CloseReason, Counters};

const REASONS: usize = CloseReason::ALL.len();

/// For each reason how often it was counted, and when it was last seen to be counted.
pub(crate) struct LastEnds {
    counted: [u32; REASONS],
    at_s: [Option<u64>; REASONS],
}

impl LastEnds {
    pub(crate) const NONE: LastEnds = LastEnds { counted: [0; REASONS], at_s: [None; REASONS] };

    /// Compares the counters with the last ones; `now_s` counts from the start.
    pub(crate) fn look(&mut self, counters: &Counters, now_s: u64) {
        for ((&reason, counted), at_s) in CloseReason::ALL.iter().zip(&mut self.counted).zip(&mut self.at_s) {
            let count = counters.closed(reason);
            if count != *counted {
                *counted = count;
                *at_s = Some(now_s);
            }
        }
    }

    /// Returns the reasons that have occurred, and how many seconds ago each was last seen.
    pub(crate) fn iter(&self, now_s: u64) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        let all = CloseReason::ALL.iter().zip(&self.at_s);
        all.filter_map(move |(&reason, at_s)| at_s.map(|at_s| (reason, now_s.saturating_sub(at_s))))
    }
}
