//! Embassy's time on the board's clock: the alarm rings for whoever is due next.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use super::clock;

struct TimeDriver {
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static DRIVER: TimeDriver = TimeDriver { queue: Mutex::new(RefCell::new(Queue::new())) });

/// Starts the clock and the alarm.
pub(super) fn start() {
    clock::start();
    critical_section::with(|cs| DRIVER.ring(cs));
}

/// Lets the clock run so many times as fast: see [`clock::set_speed`].
#[cfg(feature = "app")]
pub(super) fn set_speed(speed: u32) {
    clock::set_speed(speed);
    critical_section::with(|cs| DRIVER.ring(cs));
}

/// The alarm rang.
pub(super) fn on_alarm() {
    clock::on_alarm();
    critical_section::with(|cs| DRIVER.ring(cs));
}

impl TimeDriver {
    /// Wakes what is due, and sets the alarm for what comes next.
    fn ring(&self, cs: CriticalSection<'_>) {
        let now = clock::read(cs);
        let next = self.queue.borrow_ref_mut(cs).next_expiration(now);
        clock::set_alarm_from(now, next, cs);
    }
}

impl Driver for TimeDriver {
    fn now(&self) -> u64 {
        clock::now()
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
