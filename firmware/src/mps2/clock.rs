//! The board's clock: the FPGA's counter at 1 MHz tells the time, CMSDK timer 0 rings when asked to. On request it runs faster than the
//! world: what the application does in an hour is then seen in a minute.

use core::cell::Cell;
#[cfg(feature = "app")]
use core::sync::atomic::AtomicU32;
#[cfg(feature = "app")]
use core::sync::atomic::Ordering;

use critical_section::{CriticalSection, Mutex};

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

/// The counter as it was last read, and how often it has come round.
static LAST: Mutex<Cell<(u32, u32)>> = Mutex::new(Cell::new((0, 0)));

/// Lets the clock run so many times as fast; it jumps ahead, and the alarm must be set anew. At most [`TOP_SPEED`], and at least 1.
#[cfg(feature = "app")]
pub(super) fn set_speed(speed: u32) {
    SPEED.store(speed, Ordering::Relaxed);
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

/// Starts the counter. The alarm must be set before the counter has come round once, after 71 minutes.
pub fn start() {
    // SAFETY: these are the registers of peripherals that nothing else uses, at their addresses on this board.
    unsafe {
        PRESCALE.write_volatile(SYSTEM_CLOCK_MHZ - 1);
        CTRL.write_volatile(0);
    }
    Line::Timer0.enable();
}

/// Returns the time since the start, in microseconds.
pub fn now() -> u64 {
    critical_section::with(read)
}

/// Returns the time to who holds a critical section already.
pub(super) fn read(cs: CriticalSection<'_>) -> u64 {
    // SAFETY: a read of the counter's register.
    let low = unsafe { COUNTER.read_volatile() };
    let last = LAST.borrow(cs);
    let (before, mut rounds) = last.get();
    if low < before {
        rounds += 1;
    }
    last.set((low, rounds));
    (u64::from(rounds) << 32 | u64::from(low)) * speed()
}

/// Sets the alarm for a time, in microseconds, in place of the one it was set for. At the latest it rings after [`LONGEST_WAIT`], so that the
/// counter is read in each of its rounds.
pub fn set_alarm(at: u64) {
    critical_section::with(|cs| set_alarm_from(read(cs), at, cs));
}

/// The same where the time was just read.
pub(super) fn set_alarm_from(now: u64, at: u64, _cs: CriticalSection<'_>) {
    let wait = at.saturating_sub(now).div_ceil(speed()).clamp(1, LONGEST_WAIT) as u32;
    // SAFETY: registers of the timer, which only this module uses; stopped while it is set.
    unsafe {
        CTRL.write_volatile(0);
        RELOAD.write_volatile(wait * SYSTEM_CLOCK_MHZ);
        VALUE.write_volatile(wait * SYSTEM_CLOCK_MHZ);
        CTRL.write_volatile(CTRL_ENABLE | CTRL_INTERRUPT);
    }
}

/// The alarm rang: it is stopped, since the timer would begin again by itself, and its interrupt is cleared.
pub fn on_alarm() {
    // SAFETY: registers of the timer, which only this module uses.
    unsafe {
        CTRL.write_volatile(0);
        INT_CLEAR.write_volatile(1);
    }
}
