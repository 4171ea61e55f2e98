//! Panics and faults are logged, and end in a restart that knows why it came.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};

/// Marks of our own, in RAM that a restart leaves alone. Chance leaves other values there after power-on.
const PANIC: u32 = 0x7061_6e69;
const FAULT: u32 = 0x6661_756c;
const REQUEST: u32 = 0x7265_7175;
const WATCHDOG: u32 = 0x7761_7463;

#[unsafe(link_section = ".uninit.restart_mark")]
static MARK: AtomicU32 = AtomicU32::new(0);
/// Written after what must be there after a reset: a RAM with an error-correcting code may hold a write back until the next (STM32H7).
#[cfg(feature = "app")]
#[unsafe(link_section = ".uninit.restart_last_write")]
static LAST_WRITE: AtomicU32 = AtomicU32::new(0);

/// Takes the mark the last run left, so that the next restart is told by its own. `None`: the chip must say why it started.
pub fn take_cause() -> Option<&'static str> {
    match MARK.swap(0, Ordering::Relaxed) {
        PANIC => Some("panic"),
        FAULT => Some("fault"),
        REQUEST => Some("request"),
        WATCHDOG => Some("watchdog"),
        _ => None,
    }
}

/// Restarts the chip on purpose.
pub fn restart() -> ! {
    restart_marked(REQUEST)
}

/// Leaves the watchdog's mark, on a chip that does not tell why it started. Any other restart leaves its own.
pub fn expect_watchdog() {
    MARK.store(WATCHDOG, Ordering::Relaxed);
}

fn restart_marked(mark: u32) -> ! {
    MARK.store(mark, Ordering::Relaxed);
    // SAFETY: a write to a static of ours, which nobody reads: volatile, or it would be left out.
    #[cfg(feature = "app")]
    unsafe {
        LAST_WRITE.as_ptr().write_volatile(mark);
    }
    defmt::flush();
    SCB::sys_reset()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    defmt::error!("{}", defmt::Display2Format(info));
    restart_marked(PANIC)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#x}, called from {=u32:#x}", frame.pc(), frame.lr());
    restart_marked(FAULT)
}
