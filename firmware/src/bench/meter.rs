//! CMSDK timer 1 as a stopwatch: under `-icount shift=0` QEMU lets a nanosecond pass for each instruction, and this timer counts every
//! fortieth.

const TIMER1: usize = 0x4000_1000;
const CTRL: *mut u32 = TIMER1 as *mut u32;
const VALUE: *mut u32 = (TIMER1 + 0x4) as *mut u32;
const RELOAD: *mut u32 = (TIMER1 + 0x8) as *mut u32;
const CTRL_ENABLE: u32 = 1 << 0;

/// Instructions for each step of the timer: nanoseconds of a clock of 25 MHz.
const INSTRUCTIONS_PER_STEP: u64 = 40;

/// Counts while it runs, and not what is set aside.
pub(super) struct Meter {
    began: u32,
    aside_since: u32,
    aside: u32,
    counted: u32,
}

fn now() -> u32 {
    // SAFETY: a read of the timer's register. It counts down.
    u32::MAX - unsafe { VALUE.read_volatile() }
}

impl Meter {
    pub(super) const fn new() -> Meter {
        Meter { began: 0, aside_since: 0, aside: 0, counted: 0 }
    }

    /// Starts from zero.
    pub(super) fn start(&mut self) {
        // SAFETY: registers of a timer that nothing else uses.
        unsafe {
            CTRL.write_volatile(0);
            RELOAD.write_volatile(u32::MAX);
            VALUE.write_volatile(u32::MAX);
            CTRL.write_volatile(CTRL_ENABLE);
        }
        self.aside = 0;
        self.began = now();
        self.aside_since = self.began;
    }

    pub(super) fn stop(&mut self) {
        self.counted = self.aside_since.wrapping_sub(self.began).wrapping_sub(self.aside);
    }

    /// What follows is not counted, until [`Meter::resume`].
    pub(super) fn set_aside(&mut self) {
        self.aside_since = now();
    }

    pub(super) fn resume(&mut self) {
        self.aside = self.aside.wrapping_add(now().wrapping_sub(self.aside_since));
    }

    pub(super) fn instructions(&self) -> u64 {
        u64::from(self.counted) * INSTRUCTIONS_PER_STEP
    }
}
