//! A virtual clock per thread, as embassy's time driver: time passes only when a test lets it.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use embassy_time_driver::{Driver, time_driver_impl};

/// Where each test begins, in µs: not zero, and nothing round.
const BEGIN: u64 = 5_000_017;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(BEGIN) };
    static QUEUE: RefCell<Vec<(u64, Waker)>> = const { RefCell::new(Vec::new()) };
}

struct VirtualClock;

time_driver_impl!(static CLOCK: VirtualClock = VirtualClock);

impl Driver for VirtualClock {
    fn now(&self) -> u64 {
        NOW.get()
    }

    /// As embassy's own queues do: one entry per waker, the earliest time counts until it has fired.
    fn schedule_wake(&self, at: u64, waker: &Waker) {
        QUEUE.with_borrow_mut(|queue| match queue.iter_mut().find(|(_, w)| w.will_wake(waker)) {
            Some(entry) => entry.0 = entry.0.min(at),
            None => queue.push((at, waker.clone())),
        });
    }
}

/// Begins anew: tests may share a thread.
pub fn reset() {
    NOW.set(BEGIN);
    QUEUE.take();
}

/// The time in µs. A tick is a µs.
pub fn now() -> u64 {
    NOW.get()
}

/// When the next timer is due.
pub fn next_wake() -> Option<u64> {
    QUEUE.with_borrow(|queue| queue.iter().map(|(at, _)| *at).min())
}

/// Lets time pass and wakes whose time has come.
pub fn advance_to(at: u64) {
    NOW.set(at.max(now()));
    let due: Vec<_> = QUEUE.with_borrow_mut(|queue| queue.extract_if(.., |(at, _)| *at <= now()).collect());
    for (_, waker) in due {
        waker.wake();
    }
}
