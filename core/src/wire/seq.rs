//! Sequence numbers: order and windows on a circle of 2^32 (RFC 9293 §3.4).

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence or acknowledgment number.
///
/// Comparison follows RFC 9293 §3.4: `a` comes before `b` when the shorter way around the circle from `a` to `b` leads
/// upwards. Two numbers exactly 2^31 apart have no order; [`Seq::lt`] and [`Seq::gt`] are then both false. There is no
/// `Ord`, because the relation is not transitive over the whole circle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Seq(pub u32);

impl Seq {
    /// Returns whether `self` comes strictly before `other`.
    pub const fn lt(self, other: Seq) -> bool {
        let ahead = other.0.wrapping_sub(self.0);
        ahead != 0 && ahead < 1 << 31
    }

    /// Returns whether `self` equals `other` or comes before it.
    pub const fn le(self, other: Seq) -> bool {
        self.0 == other.0 || self.lt(other)
    }

    /// Returns whether `self` comes strictly after `other`.
    pub const fn gt(self, other: Seq) -> bool {
        other.lt(self)
    }

    /// Returns whether `self` equals `other` or comes after it.
    pub const fn ge(self, other: Seq) -> bool {
        other.le(self)
    }

    /// Returns whether `self` lies in the `size` numbers that begin at `start`; the right edge `start + size` is outside.
    pub const fn is_in_window(self, start: Seq, size: u32) -> bool {
        self.0.wrapping_sub(start.0) < size
    }

    /// Returns whether `self` lies in `(after, upto]`, the range of acknowledgments that are new and were sent.
    ///
    /// An empty range (`after == upto`) holds nothing.
    pub const fn is_in_open_closed(self, after: Seq, upto: Seq) -> bool {
        self.0.wrapping_sub(after.0).wrapping_sub(1) < upto.0.wrapping_sub(after.0)
    }

    /// Counts the numbers from `earlier` up to `self`, modulo 2^32.
    pub const fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl Add<u32> for Seq {
    type Output = Seq;
    fn add(self, rhs: u32) -> Seq {
        Seq(self.0.wrapping_add(rhs))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, rhs: u32) {
        *self = *self + rhs;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;
    fn sub(self, rhs: u32) -> Seq {
        Seq(self.0.wrapping_sub(rhs))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u32 = 1 << 31;

    /// Every distance there is, from a number in the middle of the circle and across its seam.
    #[test]
    #[ignore = "a sweep over 2^32 numbers: `cargo test --release --lib -- --ignored wire::seq`"]
    fn order_follows_the_shorter_way_for_all_distances() {
        for start in [0, 0xdead_beef] {
            let origin = Seq(start);
            let mut wrong = 0_u32;
            for distance in 0..=u32::MAX {
                let seq = Seq(start.wrapping_add(distance));
                let is_after = distance != 0 && distance < HALF;
                let is_before = distance > HALF;
                let is_same = distance == 0;
                let agrees = seq.gt(origin) == is_after
                    && seq.lt(origin) == is_before
                    && seq.ge(origin) == (is_after || is_same)
                    && seq.le(origin) == (is_before || is_same)
                    && seq.since(origin) == distance;
                wrong += u32::from(!agrees);
            }
            assert_eq!(wrong, 0);
        }
    }

    /// Every number against windows of every kind of size.
    #[test]
    #[ignore = "a sweep over 2^32 numbers: `cargo test --release --lib -- --ignored wire::seq`"]
    fn window_membership_is_counted_from_the_left_edge_for_all_numbers() {
        for size in [0, 1, 2, 0xffff, HALF, u32::MAX] {
            let start = Seq(0xffff_fff0);
            let (mut inside, mut new_acks) = (0_u64, 0_u64);
            for number in 0..=u32::MAX {
                inside += u64::from(Seq(number).is_in_window(start, size));
                new_acks += u64::from(Seq(number).is_in_open_closed(start, start + size));
            }
            assert_eq!((inside, new_acks), (u64::from(size), u64::from(size)), "size {size}");
            assert_eq!(start.is_in_window(start, size), size > 0);
            assert!(!(start + size).is_in_window(start, size), "the right edge is outside");
            assert!(!start.is_in_open_closed(start, start + size), "what was acknowledged before is not new");
            assert_eq!((start + size).is_in_open_closed(start, start + size), size > 0);
        }
    }
}
