#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations)]
#![allow(
    clippy::absurd_extreme_comparisons,
    clippy::unnecessary_cast,
    clippy::unnecessary_min_or_max,
    clippy::useless_conversion,
    reason = "a count of bytes has 16 bits without the feature window-scale, and 32 with it"
)]
//! TCP for microcontrollers, with care for how connections begin, break and end. No heap, no clock, no I/O, no `unsafe`.
//!
//! [`Tcp`] is the engine; its documentation is the contract. [`link::Link`] wraps it for users who hold frames. [`Storage`] is all the
//! memory there is. Every segment gets a [`Verdict`] that names the [`Rule`] behind it, every RST a [`ResetReason`], every
//! end a [`CloseReason`].
//!
//! # Layers
//! Each module imports only from those above it in this table; a check keeps it so.
//!
//! | module | holds |
//! |---|---|
//! | `time`, `size`, `id` | instants, the wrapping milliseconds of records, periods; counts of bytes; the number of no entry |
//! | `wire` | addresses, sequence numbers, segments and their options, checksums: knows nothing of connections |
//! | `config` | what a user sets, and its limits |
//! | `rules` | SEGMENT ARRIVES, one file per group of states, one function per step; [`Verdict`]; the record that is judged; changes nothing |
//! | `keyed`, `counters`, `error` | everything keyed; what happened; why a call failed |
//! | `connection` | a slot: send, receive, reassembly, round-trip time, timers, limits, the byte pool |
//! | `tables` | [`Storage`], the records and how they are found and come due; the journal's records (feature) |
//! | `engine` | [`Tcp`]: dispatch, apply, handshakes, calls, timeouts, poll, replies, events, ICMP, eviction, budget, audit; lost peers, what RSTs say (features) |
//! | `link` | frames to and from segments: receive, transmit, addresses, Ethernet, neighbors, ARP, NDP, ICMP, extension headers |
//! | `embassy` | the driver seam and async sockets (feature) |
//! | `format` | how the large types show themselves in a log |

#[cfg(test)]
extern crate std;

mod config;
mod connection;
mod counters;
#[cfg(feature = "embassy")]
pub mod embassy;
mod engine;
mod error;
mod format;
mod id;
mod keyed;
pub mod link;
mod rules;
mod size;
mod tables;
mod time;
mod wire;

#[cfg(feature = "cubic")]
pub use config::CongestionControl;
pub use config::{
    Config, EvictBy, Eviction, InvalidSetting, KeepAlive, ListenOptions, MAX_BUFFER, MAX_DELAYED_ACK, MAX_LIMIT,
    MAX_MSS, MAX_PERIOD, MAX_R2, MAX_SYN_RECEIVED, MIN_BUFFER, MIN_MTU_IPV6, MIN_PATH_MTU_IPV4, MIN_PERIOD,
    MSS_DEFAULT, MSS_DEFAULT_IPV6, MSS_FLOOR, Network, Overflow, PortRange, RstPolicy, SecretKey, Setting,
    StreamOptions, WeakKey,
};
pub use connection::timers::Timers;
#[cfg(feature = "journal")]
pub use counters::JournalCounters;
pub use counters::{Counters, LAST_RESETS, ResetKind, ResetRecord};
pub use engine::arriving::Arrival;
pub use engine::budget::{Budget, Peer};
#[cfg(feature = "journal")]
pub use engine::event::LostPeer;
pub use engine::event::{ConnectionHandle, Event, ListenerHandle, RecordStatus, Status};
pub use engine::poll::{Output, Transmit};
pub use engine::tcp::Tcp;
pub use error::Error;
pub use rules::table::{RULE_TABLE, Requirement, RuleRow};
pub use rules::verdict::{Action, CloseReason, Fate, ResetReason, Rule, State, Timer, Verdict};
#[cfg(feature = "journal-flash")]
pub use tables::flash_journal::{FlashJournal, FlashJournalError, FlashRangeError};
#[cfg(feature = "journal")]
pub use tables::journal::{JOURNAL_RECORD_LEN, Journal, JournalStorage};
pub use tables::storage::Storage;
pub use time::Instant;
pub use wire::addr::LinkAddr;
pub use wire::checksum::ChecksumBy;
#[cfg(feature = "reset-diagnostics")]
pub use wire::diagnostic::PeerReason;
pub use wire::options::Options;
#[cfg(feature = "sack")]
pub use wire::sack::SackBlocks;
pub use wire::segment::{
    BufferTooSmall, Control, EmitError, HEADER_LEN, HEADER_WITH_MSS_LEN, Header, ParseError, Segment,
};
pub use wire::seq::Seq;
#[cfg(feature = "timestamps")]
pub use wire::timestamps::Timestamps;

/// The documentation's examples are compiled as well.
#[cfg(doctest)]
mod documentation {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/contract.md")]
    struct Contract;
    #[doc = include_str!("../../docs/embassy.md")]
    struct Embassy;
    #[doc = include_str!("../../docs/liveness.md")]
    struct Liveness;
    #[cfg(all(feature = "journal", feature = "embassy"))]
    #[doc = include_str!("../../docs/restart.md")]
    struct Restart;
}
