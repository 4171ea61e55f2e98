//! How much may be in flight: the congestion window (RFC 5681). [`crate::connection::recovery`] says when something was lost.

use crate::connection::cubic::Cubic;
use crate::size::{MOST, Size, saturated};
use crate::time::Millis;

/// Bytes of the initial window, for segments of any usual size (RFC 6928).
const INITIAL_WINDOW: u32 = 14_600;
/// Segments of the initial window at most, and at least where the handshake went well.
const INITIAL_SEGMENTS: (u32, u32) = (10, 2);
/// Of how many segments an acknowledgment opens the window in slow start (RFC 3465 §2.3).
const PER_ACK: u32 = 2;

/// No window of a peer is larger (RFC 7323 §2.3).
const MOST_WINDOW: u32 = 1 << 30;

/// The congestion window and the threshold of slow start, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Congestion {
    cwnd: Size,
    ssthresh: Size,
    cubic: Cubic,
}

/// New data was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) now: Millis,
    /// Bytes acknowledged, and in flight before.
    pub(crate) acked: u32,
    pub(crate) flight: u32,
    /// The smoothed round trip, in milliseconds.
    pub(crate) srtt_ms: u32,
}

impl Congestion {
    pub(crate) const ZERO: Congestion = Congestion { cwnd: 0, ssthresh: 0, cubic: Cubic::OFF };

    /// An established connection's: after the SYN, or the SYN,ACK, was lost it is one segment (RFC 5681 §3.1).
    pub(crate) fn begin(mss: u16, syn_was_lost: bool) -> Congestion {
        let cwnd = if syn_was_lost { mss.into() } else { initial_window(mss) };
        Congestion { cwnd, ssthresh: Size::MAX, ..Congestion::ZERO }
    }

    /// The same with CUBIC.
    #[cfg(feature = "cubic")]
    pub(crate) fn with_cubic(self) -> Congestion {
        Congestion { cubic: Cubic::ON, ..self }
    }

    /// Bytes that may be in flight.
    #[inline]
    pub(crate) fn window(&self) -> u32 {
        self.cwnd.into()
    }

    pub(crate) fn threshold(&self) -> u32 {
        self.ssthresh.into()
    }

    /// A window that was not used does not grow (RFC 7661 §4).
    #[inline]
    pub(crate) fn on_ack(&mut self, progress: &Progress, mss: u16, is_after_timeout: bool) {
        if 2 * progress.flight < self.window() || self.window() >= MOST.min(MOST_WINDOW) {
            return;
        }
        let mss = u32::from(mss);
        let window = if self.cwnd < self.ssthresh {
            // After a timeout much that is acknowledged left the network long ago.
            self.window() + progress.acked.min(if is_after_timeout { mss } else { PER_ACK * mss })
        } else {
            self.avoided(progress, mss)
        };
        self.set(window);
    }

    /// The window after new data was acknowledged in congestion avoidance.
    fn avoided(&mut self, progress: &Progress, mss: u32) -> u32 {
        let (window, acked) = (self.window(), progress.acked.min(u16::MAX.into()));
        if self.cubic.is_on() {
            return self.cubic.grown(window, acked, mss, progress.now, progress.srtt_ms);
        }
        // A segment for each round trip, in however many pieces it is acknowledged; a byte for a whole one.
        window + (mss * acked / window.max(1)).clamp((acked >= mss).into(), mss)
    }

    /// A segment was lost, as acknowledgments of others show (RFC 5681 §3.2).
    pub(crate) fn on_loss(&mut self, flight: u32, mss: u16) {
        self.ssthresh = self.reduced(flight, mss);
        self.cwnd = self.ssthresh;
        self.cubic.on_loss(flight);
    }

    /// Nothing is heard any more (RFC 5681 §3.1). What is lost again says nothing new about the path.
    pub(crate) fn on_timeout(&mut self, flight: u32, mss: u16, is_first: bool) {
        if is_first {
            self.ssthresh = self.reduced(flight, mss);
            self.cubic.on_timeout(flight);
        } else {
            self.cubic.pause();
        }
        self.cwnd = mss.into();
    }

    /// After an idle time of the timeout or more the path is unknown again (RFC 5681 §4.1).
    pub(crate) fn restart(&mut self, mss: u16) {
        self.cwnd = self.cwnd.min(initial_window(mss));
        self.cubic.pause();
    }

    /// In fast recovery each acknowledgment says that a segment has left the network (RFC 6582 §3.2 step 3).
    pub(crate) fn inflate(&mut self, segments: u32, mss: u16) {
        self.set(self.window() + segments * u32::from(mss));
    }

    /// A part of what was out is acknowledged, and a segment is sent for it (RFC 6582 §3.2 step 3, partial acknowledgment).
    pub(crate) fn deflate(&mut self, acked: u32, mss: u16) {
        let back = if acked >= u32::from(mss) { mss.into() } else { 0 };
        self.set((self.window().saturating_sub(acked) + back).max(mss.into()));
    }

    /// The end of fast recovery: no burst of what the inflated window would let go (RFC 6582 §3.2 step 3, full acknowledgment).
    pub(crate) fn on_recovered(&mut self, flight: u32, mss: u16) {
        let mss = u32::from(mss);
        self.set(self.threshold().min(flight.max(mss) + mss));
    }

    /// What a loss leaves of what was in flight, and two segments at least.
    fn reduced(&self, flight: u32, mss: u16) -> Size {
        let left = if self.cubic.is_on() { Cubic::after_loss(flight) } else { flight / 2 };
        saturated(left.max(2 * u32::from(mss)))
    }

    fn set(&mut self, window: u32) {
        self.cwnd = saturated(window.min(MOST_WINDOW));
    }
}

fn initial_window(mss: u16) -> Size {
    let mss = u32::from(mss);
    let (most, least) = INITIAL_SEGMENTS;
    let window = (most * mss).min(INITIAL_WINDOW.max(least * mss));
    saturated(window)
}
