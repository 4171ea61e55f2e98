//! Bulk transfers in virtual time: two ends of one stack, tcp-reset-core or smoltcp, and a path between them that has a rate, a delay and a
//! queue, and that loses, reorders, duplicates and corrupts packets.
//!
//! Time is virtual and jumps from event to event: the arrival of a packet, or a stack's own deadline. What happens follows from the parameters
//! and a seed alone. The n-th packet of a direction meets the same fate whichever stack sends it, so that stacks, and versions of a stack,
//! are compared under the same harm.
//!
//! Both stacks run with their defaults but for the buffers. Each packet is handed to a stack by itself, then its application acts, then its output
//! is taken: the sender's application always has data, and the receiver's reads at once, so that the acknowledgment offers the window after it, and
//! compares each byte.

mod content;
pub mod grid;
#[cfg(test)]
mod interlock;
mod ours;
pub mod plot;
pub mod run;
pub mod snapshot;
mod stack;
pub mod table;
mod theirs;
pub mod trace;
mod transfer;

pub use lossy_path as path;
