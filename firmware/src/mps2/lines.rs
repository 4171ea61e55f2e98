//! The two interrupt lines in use, by their numbers: no peripheral access crate describes these boards.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// The interrupt lines of the board's FPGA that are used.
#[derive(Clone, Copy)]
#[repr(u16)]
pub enum Line {
    /// The alarm's timer.
    Timer0 = 8,
    /// The Ethernet controller.
    Ethernet = 13,
}

// SAFETY: each number is the line's own, below the count of lines, and never changes.
unsafe impl InterruptNumber for Line {
    fn number(self) -> u16 {
        self as u16
    }
}

impl Line {
    pub(super) fn enable(self) {
        // SAFETY: no critical section of ours is built by masking single lines.
        unsafe { NVIC::unmask(self) };
    }

    /// Calls the line's handler as if the line had asked for it.
    pub(super) fn pend(self) {
        NVIC::pend(self);
    }
}
