#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations)]
//! TCP for microcontrollers, with care for how connections begin, break and end. No heap, no clock, no I/O, no `unsafe`.
//!
//! [`Tcp`] is the engine; its documentation is the contract. [`link::Link`] wraps it for users who hold frames. [`Storage`] is all the
//! memory there is. Every segment gets a [`Verdict`] that names the [`Rule`] behind it, every RST a [`ResetReason`], every
//! end a [`CloseReason`].
//!
//! # Rooms
//! A segment walks through these in this order and never back:
//!
//! | room | holds |
//! |---|---|
//! | `link` | frames: Ethernet II, ARP, IPv4, IPv6 and its neighbour discovery; what is ours |
//! | `seq`, `time` | the circle of sequence numbers; instants, and the wrapping milliseconds of records |
//! | `segment` | parsing, once; writing |
//! | `tcp` | which record a segment belongs to |
//! | `tcb` | the record the rules judge: RFC 9293's variables |
//! | `arrives` | SEGMENT ARRIVES, one file per group of states, one function per step; changes nothing |
//! | `reset`, `challenge`, `isn` | the numbers of an RST; the ACK limit; everything keyed |
//! | `apply`, `records` | what a judgement does to a connection; to half-open and TIME-WAIT records |
//! | `transfer` | send queue, retransmission, reassembly, windows, round-trip time, the byte pool |
//! | `connection/timers` | when each of a connection's timers is due, and which ends it |
//! | `timeouts`, `undelivered` | what is due; what the network could not deliver |
//! | `transmit`, `reply` | what goes out: events, answers, segments, the next deadline |
//!
//! Beside the way: `budget` (how long a peer can hold what), `eviction` and `advice` (features: full tables, the user timeout option), `audit` (what must always hold, for tests), `addr` (an address of either family), `checksum`, `calls` (what an application asks for), `config` and `settings`,
//! `storage` (the memory a user declares), `connection` (a slot), `embassy` (feature: the driver seam and async sockets), `slots` and
//! `lists` (indices, heap and lists over the tables), `verdict` and `output` (the public vocabulary), `record` (counters, last resets).

#[cfg(test)]
extern crate std;

mod addr;
#[cfg(feature = "user-timeout-option")]
mod advice;
mod apply;
mod arrives;
mod audit;
mod budget;
mod calls;
mod challenge;
mod checksum;
mod config;
mod connection;
#[cfg(feature = "embassy")]
pub mod embassy;
#[cfg(feature = "eviction")]
mod eviction;
mod format;
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
mod undelivered;
mod verdict;

pub use budget::{Budget, Peer};
pub use config::{
    ChecksumBy, Config, EvictBy, Eviction, InvalidSetting, KeepAlive, ListenOptions, MAX_BUFFER, MAX_DELAYED_ACK,
    MAX_LIMIT, MAX_MSS, MAX_PERIOD, MAX_R2, MAX_SYN_RECEIVED, MIN_BUFFER, MIN_MTU_IPV6, MIN_PATH_MTU_IPV4, MIN_PERIOD,
    MSS_DEFAULT, MSS_DEFAULT_IPV6, MSS_FLOOR, Network, Overflow, PortRange, RstPolicy, SecretKey, Setting,
    StreamOptions, WeakKey,
};
pub use connection::timers::Timers;
pub use output::{Compact, ConnectionHandle, Error, Event, Hop, ListenerHandle, Output, Status};
pub use record::{Counters, LAST_RESETS, ResetKind, ResetRecord};
pub use segment::{BufferTooSmall, Control, EmitError, HEADER_LEN, HEADER_WITH_MSS_LEN, Header, ParseError, Segment};
pub use seq::Seq;
pub use storage::Storage;
pub use tcp::{Arrival, Tcp};
pub use time::Instant;
pub use transmit::Transmit;
pub use verdict::{Action, CloseReason, ResetReason, Rule, State, Timer, Verdict};

/// The README's examples are compiled as well.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
