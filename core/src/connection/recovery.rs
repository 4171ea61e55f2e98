//! How far a loss is made good: the state of [`crate::connection::loss`].

use crate::size::{Size, saturated};

/// Duplicate acknowledgments that mean a loss, and no reordering (RFC 5681 §3.2); separate runs that the peer has beyond a number, or one more than segments
/// (RFC 6675 §2).
pub(crate) const DUP_THRESH: u8 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// As `Open`, and the front was sent again to ask for an answer.
    Probing,
    /// Acknowledgments tell of losses, one for each round trip.
    Fast,
    /// The timeout has expired: all is sent again.
    Timeout,
}

/// What is sent again. Numbers count from SND.UNA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// What was out when the loss was found, and is not acknowledged since; in `Open`: what was out when the last one was made good.
    pub(crate) until: Size,
    /// What was sent again of it.
    pub(crate) resent: Size,
    /// Two counts of four bits: see [`Recovery::duplicates`] and [`Recovery::echoes`].
    counts: u8,
    state: State,
}

bitflags::bitflags! {
    /// The phase, `Open` where none of three is set, and what is known beside it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct State: u8 {
        const PROBING = 1 << 0;
        const FAST = 1 << 1;
        const TIMEOUT = 1 << 2;
        /// The timer that runs is that of a tail loss probe.
        const PROBE_ARMED = 1 << 3;
        /// A probe was sent since a round trip was measured last: the path may have become slower than is known.
        const PROBE_SPENT = 1 << 4;
        /// SND.UNA is where the last recovery ended, so that duplicates may be of what it sent in vain (RFC 6582 §3.2 step 2).
        const AT_END = 1 << 5;
        /// What was out when the loss was found, and is not there, is lost: what was sent again for it has arrived, and nothing beyond it.
        const REST_LOST = 1 << 6;
        /// The last short segment was cut by the window, or by a full send buffer: Nagle's algorithm does not count it.
        const CUT = 1 << 7;
    }
}

impl Recovery {
    pub(crate) const NEW: Recovery = Recovery { until: 0, resent: 0, counts: 0, state: State::empty() };

    /// Duplicate acknowledgments since SND.UNA moved, no more than 15.
    #[inline]
    pub(crate) fn duplicates(&self) -> u8 {
        self.counts & 0x0f
    }

    /// Segments sent again, no more than 15, for which the peer, if it had them, acknowledges a number up to `until` once more.
    pub(crate) fn echoes(&self) -> u8 {
        self.counts >> 4
    }

    pub(crate) fn count_duplicate(&mut self) {
        self.counts = if self.duplicates() < 0x0f { self.counts + 1 } else { self.counts };
    }

    pub(crate) fn count_echo(&mut self) {
        self.counts = self.counts.saturating_add(0x10).min(self.duplicates() | 0xf0);
    }

    #[inline]
    pub(crate) fn forget_duplicates(&mut self) {
        self.counts &= 0xf0;
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        if self.state.contains(State::FAST) {
            Phase::Fast
        } else if self.state.contains(State::TIMEOUT) {
            Phase::Timeout
        } else if self.state.contains(State::PROBING) {
            Phase::Probing
        } else {
            Phase::Open
        }
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.state.intersects(State::PROBING | State::FAST | State::TIMEOUT)
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.state.remove(State::PROBING | State::FAST | State::TIMEOUT | State::REST_LOST);
        self.state.insert(match phase {
            Phase::Open => State::empty(),
            Phase::Probing => State::PROBING,
            Phase::Fast => State::FAST,
            Phase::Timeout => State::TIMEOUT,
        });
    }

    #[inline]
    pub(crate) fn has(&self, state: State) -> bool {
        self.state.contains(state)
    }

    #[inline]
    pub(crate) fn set(&mut self, state: State, is_set: bool) {
        self.state.set(state, is_set);
    }

    /// The front is to be sent again.
    pub(crate) fn begin(&mut self, phase: Phase, flight: u32) {
        self.until = saturated(flight);
        self.resent = 0;
        self.enter(phase);
        self.state.remove(State::PROBE_ARMED);
    }

    /// `n` numbers more are acknowledged, of `flight`. Returns whether all is made good.
    pub(crate) fn advance(&mut self, n: u32, flight: u32) -> bool {
        self.state.set(State::AT_END, n == u32::from(self.until));
        let left = u32::from(self.until).saturating_sub(n);
        self.until = left as Size;
        self.resent = u32::from(self.resent).saturating_sub(n) as Size;
        if left == 0 {
            self.end(flight.saturating_sub(n));
        }
        left == 0
    }

    /// Nothing is lost any more; `flight` is still out.
    pub(crate) fn end(&mut self, flight: u32) {
        self.enter(Phase::Open);
        self.resent = 0;
        self.until = saturated(flight);
    }

    /// The same where nothing is lost.
    #[inline]
    pub(crate) fn pass(&mut self, n: u32) {
        self.state.remove(State::AT_END);
        if self.echoes() > 0 {
            if n > u32::from(self.until) {
                self.counts = self.duplicates();
            }
            self.until = u32::from(self.until).saturating_sub(n) as Size;
        }
    }
}
