//! Time as the caller tells it: nothing in this crate reads a clock.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time, in microseconds since any fixed moment of the caller's choice (usually boot).
///
/// The caller's clock must never run backwards. 2^64 µs are 584,000 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The moment the caller's clock counts from.
    pub const ZERO: Instant = Instant(0);

    /// Makes an instant from microseconds.
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(micros)
    }

    /// Makes an instant from milliseconds; saturates at the end of time.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis.saturating_mul(1_000))
    }

    /// Returns the microseconds since the clock's beginning.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the time that passed since `earlier`; zero if `earlier` is later.
    pub const fn duration_since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, rhs: Duration) -> Instant {
        // In 64 bits: a duration's own microseconds have 128.
        let micros = rhs.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(rhs.subsec_micros()));
        Instant(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// How far the caller's clock has come, as an instant and as the milliseconds of records. It goes on from the last to the next without
/// dividing 64 bits, which costs a small processor more than a whole step of the rules, and nearly a kilobyte of flash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    now: Instant,
    ms: Millis,
    /// The instant at which `ms` began, in microseconds.
    ms_began: u64,
}

impl Clock {
    pub(crate) const START: Clock = Clock { now: Instant::ZERO, ms: Millis(0), ms_began: 0 };

    /// The latest time a caller has named.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn ms(&self) -> Millis {
        self.ms
    }

    /// Goes on to `now`, and never back.
    pub(crate) fn advance(&mut self, now: Instant) {
        if now <= self.now {
            return;
        }
        self.now = now;
        let passed = now.0 - self.ms_began;
        let (ms, us) = match u32::try_from(passed) {
            Ok(passed) => (passed / 1_000, passed % 1_000),
            Err(_) => split(passed),
        };
        self.ms = Millis(self.ms.0.wrapping_add(ms));
        self.ms_began = now.0 - u64::from(us);
    }

    /// Expands a record's wrapping milliseconds, known to lie within 2^31 ms of now, to a full instant.
    pub(crate) fn expand(&self, at: Millis) -> Instant {
        let ahead = at.0.wrapping_sub(self.ms.0) as i32;
        Instant(self.ms_began.saturating_add_signed(i64::from(ahead) * 1_000))
    }

    /// The same for a moment that is over, up to 2^32 ms ago.
    pub(crate) fn expand_past(&self, at: Millis) -> Instant {
        Instant(self.ms_began.saturating_sub(u64::from(self.ms.since(at)) * 1_000))
    }
}

/// Splits microseconds into milliseconds, which wrap, and the rest: a long division by digits of 16 bits, for which 32 bits are enough.
#[cold]
fn split(us: u64) -> (u32, u32) {
    let (mut ms, mut rest) = (0, 0);
    for digit in us.to_be_bytes().as_chunks().0 {
        rest = rest << 16 | u32::from(u16::from_be_bytes(*digit));
        ms = (ms << 16) | (rest / 1_000);
        rest %= 1_000;
    }
    (ms, rest)
}

/// Wrapping milliseconds, as records keep them. Only moments less than 2^31 ms (24 days) apart may be compared, so a
/// field that is not armed is never compared.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Millis(pub(crate) u32);

/// How long an RST waits for a device that takes nothing, in milliseconds. It is the last word of a connection that is over, and its slot
/// is wanted; whoever speaks to us later is told anyway.
pub(crate) const RESET_HELD_MS: u32 = 60_000;

/// The furthest a deadline may lie ahead, in milliseconds (12.4 days).
pub(crate) const MAX_AHEAD_MS: u32 = 1 << 30;

/// The same in microseconds.
pub(crate) const MAX_AHEAD_US: u64 = MAX_AHEAD_MS as u64 * 1_000;

impl Millis {
    pub(crate) fn is_reached(self, now: Millis) -> bool {
        now.0.wrapping_sub(self.0) < 1 << 31
    }

    pub(crate) fn is_before(self, other: Millis) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    pub(crate) fn earlier(self, other: Millis) -> Millis {
        if other.is_before(self) { other } else { self }
    }

    /// How long it is until then; zero if it is over.
    pub(crate) fn left(self, now: Millis) -> u32 {
        if self.is_reached(now) { 0 } else { self.since(now) }
    }

    pub(crate) fn since(self, earlier: Millis) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    pub(crate) fn after(self, ms: u32) -> Millis {
        Millis(self.0.wrapping_add(ms.min(MAX_AHEAD_MS)))
    }

    /// The moment `ms` ago, no further back than a deadline may lie ahead.
    pub(crate) fn before(self, ms: u32) -> Millis {
        Millis(self.0.wrapping_sub(ms.min(MAX_AHEAD_MS)))
    }
}

/// The earlier of two moments, where there are any; of two that are the same, the first.
#[inline]
pub(crate) fn earlier<T>(a: Option<T>, b: Option<T>, is_before: impl FnOnce(&T, &T) -> bool) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) if is_before(&b, &a) => Some(b),
        (None, b) => b,
        (a, _) => a,
    }
}

/// A period in two bytes: 14 bits of milliseconds, seconds or minutes. Zero stands for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Period(u16);

impl Period {
    #[cfg(any(feature = "keepalive", feature = "deadlines"))]
    pub(crate) const ZERO: Period = Period(0);
    const COUNT: u16 = 0x3fff;
    /// The longest that can be said (11.4 days).
    pub(crate) const MAX: Duration = Duration::from_secs(Period::COUNT as u64 * 60);

    /// Takes a period as it is, and at least 1 ms; `None` where no unit says it exactly.
    pub(crate) const fn exact(duration: Duration) -> Option<Period> {
        let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
        let is_longer = secs > Period::MAX.as_secs() || (secs == Period::MAX.as_secs() && nanos > 0);
        if duration.is_zero() || is_longer || !nanos.is_multiple_of(1_000_000) {
            return None;
        }
        let (ms, most) = (secs as u32 * 1_000 + nanos / 1_000_000, Period::COUNT as u32);
        if ms <= most {
            Some(Period(ms as u16))
        } else if ms.is_multiple_of(1_000) && ms / 1_000 <= most {
            Some(Period(1 << 14 | (ms / 1_000) as u16))
        } else if ms.is_multiple_of(60_000) {
            Some(Period(2 << 14 | (ms / 60_000) as u16))
        } else {
            None
        }
    }

    pub(crate) const fn ms(self) -> u32 {
        let count = (self.0 & Period::COUNT) as u32;
        match self.0 >> 14 {
            0 => count,
            1 => count * 1_000,
            _ => count * 60_000,
        }
    }

    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u16) -> Period {
        Period(bits)
    }
}

/// Rounds a setting up to whole milliseconds, at most the furthest deadline.
#[inline(never)]
pub(crate) fn as_ms(duration: Duration) -> u32 {
    let ms =
        duration.as_secs().saturating_mul(1_000).saturating_add(u64::from(duration.subsec_micros().div_ceil(1_000)));
    u32::try_from(ms).unwrap_or(MAX_AHEAD_MS).min(MAX_AHEAD_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_as_a_plain_division_says() {
        let bits = (0..u64::BITS).map(|bit| 1_u64 << bit);
        let edges = bits.flat_map(|at| [at - 1, at, at + 1, at / 1_000 * 1_000, at.saturating_mul(1_000)]);
        let edges: std::vec::Vec<u64> = edges.chain([0, MAX_AHEAD_US, u64::MAX - 999, u64::MAX]).collect();
        for first in &edges {
            for last in edges.iter().filter(|last| *last >= first) {
                let mut clock = Clock::START;
                clock.advance(Instant(*first));
                clock.advance(Instant(*last));
                assert_eq!(clock.ms(), Millis((last / 1_000) as u32), "{first}, {last}");
                assert_eq!((clock.now(), clock.ms_began), (Instant(*last), last / 1_000 * 1_000), "{first}, {last}");
            }
        }
    }
}
