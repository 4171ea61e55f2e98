//! How often a journal's records are copied.

use embassy_time::{Duration, Instant};

/// A token bucket of stores: one is given back after each interval, up to a number.
pub(super) struct Allowance {
    /// From when on it is full.
    full_at: Instant,
}

impl Allowance {
    pub(super) const fn full() -> Allowance {
        Allowance { full_at: Instant::MIN }
    }

    /// Returns from when on there is a store, in a bucket of `most`.
    pub(super) fn next(&self, most: usize, interval: Duration) -> Instant {
        let others = interval_of(most, interval).as_ticks().saturating_mul(most.saturating_sub(1) as u64);
        self.full_at.saturating_sub(Duration::from_ticks(others))
    }

    pub(super) fn take(&mut self, now: Instant, most: usize, interval: Duration) {
        self.full_at = self.full_at.max(now).saturating_add(interval_of(most, interval));
    }
}

/// Clamps an interval, so that `most` of them fit the clock.
fn interval_of(most: usize, interval: Duration) -> Duration {
    interval.min(Duration::from_ticks(u64::MAX / 2 / most.max(1) as u64))
}
