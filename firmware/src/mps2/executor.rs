//! An executor that sleeps by WFI: QEMU passes over the WFE of Embassy's own.

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::asm::wfi;
use cortex_m::interrupt;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

use super::time_driver;

/// A task was woken since the last poll.
static IS_PENDING: AtomicBool = AtomicBool::new(false);

/// Called by the executor when a task is woken, from interrupts too.
#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    IS_PENDING.store(true, Ordering::Release);
}

/// Starts the clock, spawns the first tasks, and runs for ever.
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    time_driver::start();
    init(executor.spawner());
    loop {
        // SAFETY: this is the only place that polls, and no task runs it.
        unsafe { executor.poll() };
        interrupt::free(|_| {
            // Masked interrupts end WFI all the same, so none comes between the question and the sleep.
            if !IS_PENDING.swap(false, Ordering::Acquire) {
                wfi();
            }
        });
    }
}
