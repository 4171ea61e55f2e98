//! The limit on challenge ACKs and on ACKs to unacceptable segments (RFC 5961 §7), kept per record.
//!
//! A budget shared between connections can be counted from outside, which gives an attacker the sequence numbers
//! (CVE-2016-5696). Here an attacker who spends a connection's budget learns nothing about any other.

use crate::time::Instant;

/// log2 of the window in µs: 4.19 s, near the 5 s of RFC 5961's example.
const WINDOW_SHIFT: u32 = 22;

/// What one record has spent in the window that is running. The window number has 8 bits and repeats after 18 minutes; all that
/// can follow is that a record counts on from where it stood then.
#[derive(Clone, Copy, Default)]
pub(crate) struct Quota {
    window: u8,
    spent: u8,
}

impl Quota {
    pub(crate) const NEW: Quota = Quota { window: 0, spent: 0 };

    /// Spends one of the window's; returns whether there was one left.
    #[inline(never)]
    pub(crate) fn spend(&mut self, now: Instant, limit: u8) -> bool {
        let window = (now.as_micros() >> WINDOW_SHIFT) as u8;
        if window != self.window {
            *self = Quota { window, spent: 0 };
        }
        let granted = self.spent < limit;
        self.spent += u8::from(granted);
        granted
    }
}
