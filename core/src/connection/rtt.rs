//! Retransmission timeout from round-trip times (RFC 6298), in milliseconds.

use crate::size::Size;
use crate::time::Millis;

/// Before anything is measured (RFC 6298 §2.1).
const INITIAL_RTO_MS: u32 = 1_000;
/// After a handshake whose SYN was sent again (RFC 6298 §5.7).
const RTO_AFTER_SYN_LOSS_MS: u32 = 3_000;
/// Doublings beyond which the most is reached anyway.
const MAX_DOUBLINGS: u8 = 16;

/// SRTT and RTTVAR in the fixed point of Jacobson and Karels: eighths and quarters of a millisecond. An SRTT above 8.19 s and an RTTVAR
/// above 16.4 s count as these; the timeout is bounded far below what they give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtt {
    srtt_eighths: u16,
    rttvar_quarters: u16,
    /// Numbers from SND.UNA to the end of the segment being timed; zero: none is.
    timed: Size,
    /// When it was sent; 16 bits suffice, as a segment unanswered for RTO (at most minutes) is not timed.
    timed_at: u16,
}

impl Rtt {
    pub(crate) const NEW: Rtt = Rtt { srtt_eighths: 0, rttvar_quarters: 0, timed: 0, timed_at: 0 };

    /// The timeout after `retries` expirations in a row, between `min` and `max`.
    pub(crate) fn rto(&self, retries: u8, syn_was_lost: bool, min: u32, max: u32) -> u32 {
        let base = match (self.srtt_eighths, syn_was_lost) {
            (0, false) => INITIAL_RTO_MS,
            (0, true) => RTO_AFTER_SYN_LOSS_MS,
            // K = 4, and a clock granularity of 1 ms.
            (srtt, _) => u32::from(srtt) / 8 + u32::from(self.rttvar_quarters).max(1),
        };
        let (base, max) = (base.max(min).max(1), max.max(1));
        let doublings = retries.min(MAX_DOUBLINGS);
        if base > max >> doublings { max } else { base << doublings }
    }

    /// The smoothed round trip in milliseconds; `None` before one was measured.
    #[inline]
    pub(crate) fn smoothed_ms(&self) -> Option<u32> {
        (self.srtt_eighths > 0).then(|| u32::from(self.srtt_eighths).div_ceil(8))
    }

    /// How long an answer takes at most, as far as was measured: two round trips, or four deviations beyond one where they vary.
    #[inline]
    pub(crate) fn answer_ms(&self) -> Option<u32> {
        let srtt_ms = self.smoothed_ms()?;
        Some(srtt_ms + srtt_ms.max(self.rttvar_quarters.into()))
    }

    /// Starts timing a segment that ends `end` numbers after SND.UNA, unless one is being timed.
    pub(crate) fn start(&mut self, end: u32, now: Millis) {
        if self.timed == 0 {
            self.timed = Size::try_from(end).unwrap_or(0);
            self.timed_at = now.0 as u16;
        }
    }

    /// Karn's algorithm: what was sent twice is not timed (RFC 6298 §3).
    pub(crate) fn cancel(&mut self) {
        self.timed = 0;
    }

    /// SND.UNA moved by `n`; returns whether that measured a round trip. Where nothing is timed, `echoed_ms` is what the peer's timestamp tells.
    pub(crate) fn acked(&mut self, n: u32, now: Millis, echoed_ms: Option<u16>) -> bool {
        if n < u32::from(self.timed) {
            self.timed -= n as Size;
            return false;
        }
        let timed_ms = (self.timed > 0).then(|| (now.0 as u16).wrapping_sub(self.timed_at));
        self.timed = 0;
        let Some(r_ms) = timed_ms.or(echoed_ms) else { return false };
        self.sample(r_ms);
        true
    }

    /// RFC 6298 §2.2 and §2.3. A sample of zero counts as one granule, so that zero goes on to mean "not measured".
    fn sample(&mut self, r_ms: u16) {
        let r = i32::from(r_ms.max(1));
        if self.srtt_eighths == 0 {
            self.srtt_eighths = saturate(8 * r);
            self.rttvar_quarters = saturate(2 * r);
            return;
        }
        let srtt = i32::from(self.srtt_eighths);
        let rttvar = i32::from(self.rttvar_quarters);
        let error = r - srtt / 8;
        self.rttvar_quarters = saturate(rttvar - rttvar / 4 + error.abs());
        self.srtt_eighths = saturate(srtt + error).max(1);
    }
}

fn saturate(value: i32) -> u16 {
    u16::try_from(value.max(0)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(samples: &[u32]) -> Rtt {
        let mut rtt = Rtt::NEW;
        let mut now = 0;
        for ms in samples {
            rtt.start(1, Millis(now));
            now += ms;
            rtt.acked(1, Millis(now), None);
        }
        rtt
    }

    #[test]
    fn rto_before_a_sample_is_one_second_and_doubles_to_the_most() {
        let rtos = [0, 1, 2, 5, 6, 7, 200].map(|retries| Rtt::NEW.rto(retries, false, 1_000, 60_000));
        assert_eq!(rtos, [1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(Rtt::NEW.rto(0, true, 1_000, 60_000), 3_000);
    }

    #[test]
    fn rto_after_one_sample_is_three_times_it() {
        // SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR.
        assert_eq!(measured(&[500]).rto(0, false, 200, 60_000), 1_500);
        assert_eq!(measured(&[500]).rto(0, true, 200, 60_000), 1_500);
    }

    #[test]
    fn rto_after_two_samples_follows_the_filter() {
        // RTTVAR = 3/4 * 250 + 1/4 * |500 - 300| = 237.5; SRTT = 7/8 * 500 + 1/8 * 300 = 475.
        assert_eq!(measured(&[500, 300]).rto(0, false, 200, 60_000), 475 + 950);
    }

    #[test]
    fn rto_never_falls_below_the_least() {
        assert_eq!(measured(&[3; 40]).rto(0, false, 1_000, 60_000), 1_000);
        assert!(measured(&[0; 40]).rto(0, false, 0, 60_000) >= 1);
    }

    #[test]
    fn a_cancelled_or_partial_timing_yields_no_sample() {
        let mut rtt = Rtt::NEW;
        rtt.start(10, Millis(0));
        rtt.acked(9, Millis(700), None);
        assert_eq!(rtt.rto(0, false, 1_000, 60_000), 1_000);
        rtt.cancel();
        rtt.acked(1, Millis(900), None);
        assert_eq!(rtt.rto(0, false, 200, 60_000), 1_000);
    }
}
