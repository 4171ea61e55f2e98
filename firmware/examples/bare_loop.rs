#![no_std]
#![no_main]
//! An echo server without an executor: one loop, which sleeps while nothing is due. On QEMU's `mps2-an385`.

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::asm::wfi;
use cortex_m::interrupt::free;
use firmware::mps2::device::interrupt;
use firmware::mps2::{clock, lan9118};
use server::Server;

pub mod server;

/// An interrupt came since the server last ran.
static IS_DUE: AtomicBool = AtomicBool::new(false);

#[cortex_m_rt::entry]
fn main() -> ! {
    clock::start();
    let mut server = Server::start();
    loop {
        IS_DUE.store(false, Ordering::Release);
        server.run();
        // Masked interrupts end WFI all the same, so none comes between the question and the sleep.
        free(|_| {
            if !IS_DUE.load(Ordering::Acquire) {
                wfi();
            }
        });
    }
}

#[interrupt]
fn Ethernet() {
    lan9118::on_interrupt();
    IS_DUE.store(true, Ordering::Release);
}

#[interrupt]
fn Timer0() {
    clock::on_alarm();
    IS_DUE.store(true, Ordering::Release);
}
