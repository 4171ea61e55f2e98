#![no_std]
//! What the boards have in common: for now the memory their connections get. Boards, drivers and the application come with the
//! Embassy side.

use tcp_reset_core::Storage;

/// Connection slots: the application's services and its client connection, and clients that wait.
pub const CONNECTIONS: usize = 8;
/// Listeners: echo, discard, status page, one to spare.
pub const LISTENERS: usize = 4;
/// Handshakes in progress.
pub const HALF_OPEN: usize = 16;
/// Finished connections that still answer their peers.
pub const TIME_WAIT: usize = 16;
/// Octets for all buffers: 4 KiB in and 4 KiB out for each slot.
pub const POOL: usize = CONNECTIONS * 2 * 4_096;

/// All memory of a board's TCP.
pub type BoardStorage = Storage<CONNECTIONS, LISTENERS, HALF_OPEN, TIME_WAIT, POOL>;

/// What the tables may cost beside the buffers, in octets, on a 32-bit board.
const TABLES_BUDGET: usize = 3 * 1_024;

#[cfg(target_pointer_width = "32")]
const _: () = assert!(size_of::<BoardStorage>() <= POOL + TABLES_BUDGET);
#[cfg(not(target_pointer_width = "32"))]
const _: () = assert!(size_of::<BoardStorage>() <= POOL + 2 * TABLES_BUDGET);
