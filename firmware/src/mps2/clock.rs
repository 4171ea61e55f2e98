//! Embassy's clock: the FPGA's counter at 1 MHz tells the time, CMSDK timer 0 rings at the next deadline. On request it runs faster than the
//! world: what the application does in an hour is then seen in a minute.

use core::cell::{Cell, RefCell};
#[cfg(feature = "app")]
use core::sync::atomic::AtomicU32;
#[cfg(feature = "app")]
use core::sync::atomic::Ordering;
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use super::lines::Line;

const FPGAIO: usize = 0x4002_8000;
/// A 32-bit counter, one up every `prescale` + 1 system clocks.
const COUNTER: *const u32 = (FPGAIO + 0x18) as *const u32;
const PRESCALE: *mut u32 = (FPGAIO + 0x1c) as *mut u32;

const TIMER0: usize = 0x4000_0000;
const CTRL: *mut u32 = TIMER0 as *mut u32;
const VALUE: *mut u32 = (TIMER0 + 0x4) as *mut u32;
const RELOAD: *mut u32 = (TIMER0 + 0x8) as *mut u32;
const INT_CLEAR: *mut u32 = (TIMER0 + 0xc) as *mut u32;
const CTRL_ENABLE: u32 = 1 << 0;
const CTRL_INTERRUPT: u32 = 1 << 3;

const SYSTEM_CLOCK_MHZ: u32 = 25;
/// The longest time to the next ring, in microseconds: what 32 bits of system clocks hold, and far below one round of the counter, which
/// must be read once in each.
const LONGEST_WAIT: u64 = 120_000_000;
const _: () = assert!(LONGEST_WAIT * (SYSTEM_CLOCK_MHZ as u64) < u32::MAX as u64);

/// The highest speed: above it the counter's steps are longer than a millisecond.
#[cfg(feature = "app")]
pub(super) const TOP_SPEED: u32 = 1_000;

/// How many microseconds pass at a step of the counter.
#[cfg(feature = "app")]
static SPEED: AtomicU32 = AtomicU32::new(1);

/// Lets the clock run so many times as fast; it jumps ahead. At most [`TOP_SPEED`], and at least 1.
#[cfg(feature = "app")]
pub(super) fn set_speed(speed: u32) {
    SPEED.store(speed, Ordering::Relaxed);
    critical_section::with(|cs| CLOCK.ring(cs));
}

#[cfg(feature = "app")]
fn speed() -> u64 {
    SPEED.load(Ordering::Relaxed).into()
}

/// The benches measure what a segment costs, without a multiplication in each look at the clock.
#[cfg(not(feature = "app"))]
fn speed() -> u64 {
    1
}

struct Clock {
    /// The counter as it was last read, and how often it has come round.
    last: Mutex<Cell<(u32, u32)>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    last: Mutex::new(Cell::new((0, 0))),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the counter and the alarm.
pub(super) fn start() {
    // SAFETY: these are the registers of peripherals that nothing else uses, at their addresses on this board.
    unsafe {
        PRESCALE.write_volatile(SYSTEM_CLOCK_MHZ - 1);
        CTRL.write_volatile(0);
    }
    critical_section::with(|cs| CLOCK.ring(cs));
    Line::Timer0.enable();
}

/// The alarm rang.
pub(super) fn on_alarm() {
    // SAFETY: a write that clears the timer's own interrupt.
    unsafe { INT_CLEAR.write_volatile(1) };
    critical_section::with(|cs| CLOCK.ring(cs));
}

impl Clock {
    fn read(&self, cs: CriticalSection<'_>) -> u64 {
        // SAFETY: a read of the counter's register.
        let low = unsafe { COUNTER.read_volatile() };
        let last = self.last.borrow(cs);
        let (before, mut rounds) = last.get();
        if low < before {
            rounds += 1;
        }
        last.set((low, rounds));
        (u64::from(rounds) << 32 | u64::from(low)) * speed()
    }

    /// Wakes what is due, and sets the alarm for what comes next.
    fn ring(&self, cs: CriticalSection<'_>) {
        let now = self.read(cs);
        let next = self.queue.borrow_ref_mut(cs).next_expiration(now);
        let wait = next.saturating_sub(now).div_ceil(speed()).clamp(1, LONGEST_WAIT) as u32;
        // SAFETY: registers of the timer, which only this module uses; stopped while it is set.
        unsafe {
            CTRL.write_volatile(0);
            RELOAD.write_volatile(wait * SYSTEM_CLOCK_MHZ);
            VALUE.write_volatile(wait * SYSTEM_CLOCK_MHZ);
            CTRL.write_volatile(CTRL_ENABLE | CTRL_INTERRUPT);
        }
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.read(cs))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let is_next = self.queue.borrow_ref_mut(cs).schedule_wake(at, waker);
            if is_next {
                self.ring(cs);
            }
        });
    }
}
