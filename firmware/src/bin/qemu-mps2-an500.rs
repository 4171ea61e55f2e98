#![no_std]
#![no_main]
//! QEMU's `mps2-an500`: Cortex-M7, LAN9118 Ethernet.

use firmware as _;
use firmware::app::ResetJournal;
use firmware::mps2;

/// Where the board has its Ethernet.
const ETHERNET: usize = 0xa000_0000;

/// The startup code leaves it alone.
#[unsafe(link_section = ".uninit.JOURNAL")]
static JOURNAL: ResetJournal = ResetJournal::new();

#[cortex_m_rt::entry]
fn main() -> ! {
    mps2::run(|spawner| {
        // SAFETY: the board has its Ethernet there, and this is the only use of it.
        unsafe { mps2::start(spawner, "qemu-mps2-an500", ETHERNET, &JOURNAL) }
    })
}
