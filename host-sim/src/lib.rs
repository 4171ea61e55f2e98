//! `tcp-reset-core` on Linux, with the kernel's TCP as its peer, or with a second core in memory.
//!
//! A scenario talks to a [`world::World`]: our endpoint, a [`peer::Peer`], and the frames between them. It judges by what both ends report
//! and by the frames seen; [`ladder`] draws them.

pub mod boards;
pub mod broken;
pub mod cable;
pub mod campaign;
pub mod endpoint;
pub mod family;
pub mod frame;
mod image;
pub mod judge;
pub mod kernel;
pub mod kernel_peer;
pub mod ladder;
mod lan;
mod lock;
#[cfg(feature = "peers")]
pub mod lwip_peer;
pub mod measure;
pub mod memory_peer;
mod memory_wire;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod pcap;
pub mod peer;
#[cfg(feature = "peers")]
pub mod probes;
pub mod qemu;
mod report;
pub mod resolve;
pub mod rules;
pub mod run;
pub mod scenarios;
mod script;
#[cfg(feature = "peers")]
pub mod smoltcp_peer;
pub mod trace;
pub mod transfer;
pub mod tuning;
pub mod world;
