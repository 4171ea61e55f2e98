//! CUBIC (RFC 9438): in congestion avoidance the window grows with the time since the last loss, not with round trips alone. Times are in ticks of 1/64 s,
//! so that 32 bits do.

use crate::size::{MOST, Size, saturated};
use crate::time::Millis;

/// A window after a loss, in tenths of the one before (β_cubic, §4.6).
const BETA_TENTHS: u32 = 7;
/// More than a peer holds an acknowledgment back.
const PAUSE_MS: u32 = 500;
/// Beyond this no window is as large as a buffer.
const MOST_TICKS: u32 = 20 * 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cubic {
    is_on: bool,
    /// Whether the times below count: from the first acknowledgment in congestion avoidance on.
    is_growing: bool,
    /// The window before the last loss, or less where it had not come back (W_max, §4.7); where growth began above it, that. 0 before, and after a timeout.
    w_max: Size,
    /// The window before the last loss (cwnd_prior).
    prior: Size,
    /// What Reno's window would be (W_est, §4.3).
    w_est: Size,
    /// When W_max is reached again, in ticks after `since` (K, §4.2).
    k: u16,
    /// When the window grew last, in milliseconds modulo 2^16.
    grown_at: u16,
    since: Millis,
}

impl Cubic {
    pub(crate) const OFF: Cubic =
        Cubic { is_on: false, is_growing: false, w_max: 0, prior: 0, w_est: 0, k: 0, grown_at: 0, since: Millis(0) };

    pub(crate) const ON: Cubic = Cubic { is_on: true, ..Cubic::OFF };

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Returns what is left of a window after a loss.
    pub(crate) fn after_loss(window: u32) -> u32 {
        window * BETA_TENTHS / 10
    }

    /// A loss, with `window` bytes in flight (§4.6); where the window had not grown to W_max again, others need room (§4.7).
    pub(crate) fn on_loss(&mut self, window: u32) {
        let is_converging = window < self.w_max.into();
        self.w_max = saturated(if is_converging { window * (10 + BETA_TENTHS) / 20 } else { window });
        self.prior = saturated(window);
        self.is_growing = false;
    }

    /// §4.8: the path is unknown.
    pub(crate) fn on_timeout(&mut self, window: u32) {
        self.w_max = 0;
        self.prior = saturated(window);
        self.is_growing = false;
    }

    /// What comes is another path, or after a while: growth begins anew.
    pub(crate) fn pause(&mut self) {
        self.is_growing = false;
    }

    /// Returns the window after `acked` bytes in congestion avoidance (§4.2 to §4.5).
    pub(crate) fn grown(&mut self, cwnd: u32, acked: u32, mss: u32, now: Millis, srtt_ms: u32) -> u32 {
        if !self.is_growing {
            self.begin(cwnd, mss, now);
        }
        // While the window was not used it did not grow, and that time does not count (§5.8).
        let pause_ms = u32::from((now.0 as u16).wrapping_sub(self.grown_at));
        if pause_ms > 2 * srtt_ms + PAUSE_MS {
            self.since = self.since.after(pause_ms);
        }
        self.grown_at = now.0 as u16;
        let ticks = now.since(self.since).saturating_add(srtt_ms).min(MOST_TICKS * 16) * 8 / 125;
        let target = self.window_at(ticks, mss).clamp(cwnd, cwnd + cwnd / 2);
        // α is 3 (1 - β) / (1 + β) until the window before the loss is reached, and 1 from there on (§4.3).
        let (numerator, denominator) = if self.w_est < self.prior { (9, 17) } else { (1, 1) };
        let reno = (mss * numerator / denominator * acked.min(cwnd) / cwnd.max(1)).max((acked >= mss).into());
        self.w_est = saturated(u32::from(self.w_est) + reno);
        let cubic = cwnd + share(target - cwnd, acked.min(cwnd), cwnd);
        cubic.max(self.w_est.into())
    }

    fn begin(&mut self, cwnd: u32, mss: u32, now: Millis) {
        let missing = u32::from(self.w_max).saturating_sub(cwnd);
        if missing == 0 {
            self.w_max = saturated(cwnd);
        }
        // (W_max - cwnd) / C, C = 0.4 segments/s^3; in twentieths of a segment, times 64^3 / 8.
        self.k = cube_root((missing * 20 / mss.max(1)).saturating_mul(64 * 64 * 64 / 8));
        self.w_est = saturated(cwnd);
        self.since = now;
        self.grown_at = now.0 as u16;
        self.is_growing = true;
    }

    /// W_cubic, in bytes (§4.2).
    fn window_at(&self, ticks: u32, mss: u32) -> u32 {
        let (k, w_max) = (u32::from(self.k), u32::from(self.w_max));
        let distance = ticks.abs_diff(k).min(MOST_TICKS);
        // C * mss * (distance / 64)^3
        let change = (distance * distance * distance / 1_024).saturating_mul(mss) / 640;
        if ticks < k { w_max.saturating_sub(change) } else { w_max.saturating_add(change).min(MOST) }
    }
}

fn cube_root(n: u32) -> u16 {
    let mut root = 0_u32;
    // The root of 32 bits has 11.
    for bit in (0..11).rev() {
        let candidate = root | 1 << bit;
        if candidate.checked_pow(3).is_some_and(|cube| cube <= n) {
            root = candidate;
        }
    }
    root as u16
}

/// `part` of `whole`, of `bytes`. None of them is more than a window.
fn share(bytes: u32, part: u32, whole: u32) -> u32 {
    #[cfg(not(feature = "window-scale"))]
    let share = bytes * part / whole.max(1);
    #[cfg(feature = "window-scale")]
    let share = (u64::from(bytes) * u64::from(part) / u64::from(whole.max(1))) as u32;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cube_roots_are_those_below() {
        for n in (0..5_000).chain([u32::MAX, 1_625 * 1_625 * 1_625, 1_625 * 1_625 * 1_625 - 1]) {
            let root = u64::from(cube_root(n));
            assert!(root.pow(3) <= n.into() && (root + 1).pow(3) > n.into(), "{n}: {root}");
        }
    }
}
