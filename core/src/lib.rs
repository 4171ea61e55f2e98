#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
//! TCP for microcontrollers, with care for how connections begin, break and end. No heap, no clock, no I/O, no `unsafe`.

#[cfg(test)]
extern crate std;

mod apply;
mod arrives;
mod calls;
mod challenge;
mod config;
mod connection;
mod isn;
pub mod link;
mod lists;
mod output;
mod record;
mod records;
mod reply;
mod reset;
mod segment;
mod seq;
mod settings;
mod slots;
mod storage;
mod tcb;
mod tcp;
mod time;
mod timeouts;
mod transfer;
mod transmit;
mod verdict;

pub use config::{
    ChecksumBy, Config, ListenOptions, MAX_BUFFER, MAX_PERIOD, MIN_BUFFER, MSS_DEFAULT, MSS_FLOOR, Overflow, RstPolicy,
    SecretKey, StreamOptions, WeakKey,
};
pub use output::{ConnectionHandle, Error, Event, Hop, ListenerHandle, Output, Status};
pub use record::{Counters, LAST_RESETS, ResetKind, ResetRecord};
pub use segment::{BufferTooSmall, Control, HEADER_LEN, HEADER_WITH_MSS_LEN, Header, ParseError, Segment};
pub use seq::Seq;
pub use storage::Storage;
pub use tcp::{Arrival, Tcp};
pub use time::Instant;
pub use transmit::Transmit;
pub use verdict::{Action, CloseReason, ResetReason, Rule, State, Timer, Verdict};
