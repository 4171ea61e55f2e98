#![no_std]
#![no_main]
//! An echo server under RTIC: the interrupts are tasks that share it, and RTIC sleeps between them. On QEMU's `mps2-an385`.

pub mod server;

#[rtic::app(device = firmware::mps2::device, peripherals = false)]
mod app {
    use firmware::mps2::{clock, lan9118};

    use crate::server::Server;

    #[shared]
    struct Shared {
        server: Server,
    }

    #[local]
    struct Local {}

    #[init]
    fn init(_: init::Context<'_>) -> (Shared, Local) {
        clock::start();
        let mut server = Server::start();
        server.run();
        (Shared { server }, Local {})
    }

    #[idle]
    fn idle(_: idle::Context<'_>) -> ! {
        loop {
            cortex_m::asm::wfi();
        }
    }

    #[task(binds = Ethernet, shared = [server])]
    fn ethernet(mut cx: ethernet::Context<'_>) {
        lan9118::on_interrupt();
        cx.shared.server.lock(Server::run);
    }

    #[task(binds = Timer0, shared = [server])]
    fn alarm(mut cx: alarm::Context<'_>) {
        clock::on_alarm();
        cx.shared.server.lock(Server::run);
    }
}
