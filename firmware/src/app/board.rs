//! What a board gives to the application.

use tcp_reset_core::Journal;

use super::sizes::JOURNAL_RECORDS;

/// Which pairs of endpoints have a connection: a static in memory that the startup code and a reset leave alone.
pub type ResetJournal = Journal<JOURNAL_RECORDS>;

/// What a board gives besides its Ethernet.
pub struct Board {
    /// The binary's name.
    pub name: &'static str,
    /// Why the chip started.
    pub reset_cause: &'static str,
    /// 16 bytes of a true random source, new at each start.
    pub key: [u8; 16],
    /// The same source's seed for embassy-net (ports, DHCP's transaction numbers).
    pub seed: u64,
    /// In memory that a reset leaves alone.
    pub journal: &'static ResetJournal,
    /// Its lights and its watchdog.
    pub panel: &'static dyn Panel,
}

/// What a board has for people, and for itself.
pub trait Panel {
    /// Shows whether the link is up.
    fn show_link(&self, is_up: bool);
    /// Shows whether a connection was reset in the last second.
    fn show_resets(&self, were_there: bool);
    /// The application is alive; called once a second.
    fn feed_watchdog(&self);
    /// How many frames the board's Ethernet has lost, where it tells.
    fn frames_lost(&self) -> u32 {
        0
    }
}

/// Makes an Ethernet address of a chip's own number: locally administered, one station's, the same at each start (FNV-1a).
pub fn mac_address(chip: &[u8]) -> [u8; 6] {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let [a, b, c, d, e, f, g, h] = chip.iter().fold(0xcbf2_9ce4_8422_2325, step).to_be_bytes();
    [(a ^ g) & 0xfc | 0x02, b ^ h, c, d, e, f]
}
