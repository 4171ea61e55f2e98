//! The application on this board.

use embassy_executor::Spawner;
use static_cell::ConstStaticCell;
use tcp_reset_core::embassy::TcpRunner;

use super::lan9118::{self, Buffers, Lan9118};
use super::{arguments, host, watchdog};
use crate::app::{self, Board, Panel, ResetJournal, Settings};
use crate::restart;

/// Starts the application on a board whose Ethernet is at `ethernet`. A board that cannot start says why and ends the machine: the next
/// start would find it as it is.
///
/// # Safety
/// The chip must be there, and nothing else may use it.
pub unsafe fn start(spawner: Spawner, name: &'static str, ethernet: usize, journal: &'static ResetJournal) {
    static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
    // SAFETY: the caller's promise is the one asked for.
    let device = match unsafe { Lan9118::new(ethernet, BUFFERS.take()) } {
        Ok(device) => device,
        Err(error) => {
            defmt::error!("cannot start: Ethernet: {}", error);
            host::stop()
        }
    };
    defmt::debug!("LAN9118 {=u32:#x}, {=[u8; 6]:02x}", device.id(), device.address());
    let mut settings = Settings::from_build();
    arguments::read_into(&mut settings);
    let reset_cause = restart::take_cause();
    if reset_cause.is_some() {
        settings.end = None;
    }
    watchdog::start();
    let board = Board {
        name,
        reset_cause: reset_cause.unwrap_or("power-on"),
        key: host::random(),
        seed: u64::from_le_bytes(host::random()),
        journal,
        panel: &Mps2,
    };
    match app::start(spawner, device, board, settings) {
        Ok(runner) => match net(runner) {
            Ok(task) => spawner.spawn(task),
            Err(_) => defmt::panic!("the network's task runs already"),
        },
        Err(error) => {
            defmt::error!("cannot start: {}", error);
            host::stop()
        }
    }
}

/// Nothing to look at but the losses, and a watchdog.
struct Mps2;

impl Panel for Mps2 {
    fn show_link(&self, _is_up: bool) {}

    fn show_resets(&self, _were_there: bool) {}

    fn feed_watchdog(&self) {
        watchdog::feed();
    }

    fn frames_lost(&self) -> u32 {
        lan9118::frames_lost()
    }
}

#[embassy_executor::task]
async fn net(mut runner: TcpRunner<Lan9118>) {
    runner.run().await;
}
