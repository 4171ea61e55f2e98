//! The CMSDK watchdog: it warns by NMI, and restarts the machine when nobody has fed it for as long again.

use cortex_m_rt::exception;

use crate::restart;

const WATCHDOG: usize = 0x4000_8000;
const LOAD: *mut u32 = WATCHDOG as *mut u32;
const CONTROL: *mut u32 = (WATCHDOG + 0x8) as *mut u32;
const INT_CLEAR: *mut u32 = (WATCHDOG + 0xc) as *mut u32;
const RAW_STATUS: *const u32 = (WATCHDOG + 0x10) as *const u32;
const LOCK: *mut u32 = (WATCHDOG + 0xc00) as *mut u32;
const CONTROL_INTERRUPT: u32 = 1 << 0;
const CONTROL_RESET: u32 = 1 << 1;
const UNLOCK: u32 = 0x1acc_e551;

const SYSTEM_CLOCK_HZ: u32 = 25_000_000;
/// To the warning, and from there to the reset, in seconds: 8 s in all, as on the other boards.
const WARNING_S: u32 = 4;

/// Starts it: from now on it wants to be fed.
pub(super) fn start() {
    // SAFETY: registers of the watchdog, which only this module uses, at their address on this board.
    unsafe {
        LOCK.write_volatile(UNLOCK);
        LOAD.write_volatile(WARNING_S * SYSTEM_CLOCK_HZ);
        CONTROL.write_volatile(CONTROL_INTERRUPT | CONTROL_RESET);
    }
}

/// Feeds it. A warning that came to nothing leaves no mark.
pub(super) fn feed() {
    // SAFETY: registers of the watchdog, which only this module uses.
    let was_warned = unsafe { RAW_STATUS.read_volatile() != 0 };
    if was_warned {
        restart::take_cause();
    }
    // SAFETY: as above.
    unsafe { INT_CLEAR.write_volatile(1) };
}

/// The warning: the machine does not tell afterwards that the watchdog has restarted it. The interrupt stays, so that the reset comes.
#[exception]
unsafe fn NonMaskableInt() {
    restart::expect_watchdog();
}
