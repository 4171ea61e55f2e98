//! The Embassy side: a driver that wraps another, and async sockets. Feature `embassy`.
//!
//! [`start`] does everything at once. Its parts: [`new`] wraps a board's [`embassy_net_driver::Driver`]. What it gives is a driver itself, for [`embassy_net::new`]: frames that carry
//! TCP for our addresses go to the core and are answered through the same driver, everything else reaches embassy-net untouched, which
//! keeps ARP, neighbor discovery, DHCP, SLAAC, ICMP, UDP and DNS. embassy-net needs no `tcp` feature; where a project has it on, it sees no TCP of the
//! families spoken here.
//!
//! The README has a whole example: resources in a static, the driver wrapped, a service, a visit to a server.
//!
//! With feature `ipv6` both families are spoken, over the addresses that embassy-net has: a static one, or with feature `slaac` the one it
//! makes of a router's prefix and its link-local one. embassy-net has room for two addresses unless told otherwise: a project with IPv4 and
//! `slaac` needs three, which smoltcp's feature `iface-max-addr-count-3` gives; without room an address is missing without a word.
//!
//! # Rooms
//! `driver` is the seam below embassy-net, `runner` drives both stacks, `follower` takes over embassy-net's addresses, `advertisements` keeps them from a forger, `state` is
//! what they share with the sockets, `start` all of it in one call, `stack` the handle that makes these: `listener`, `stream`, `client`. `edge_nal` and `picoserve`
//! are other people's traits for them.
//!
//! # What sleeps and what wakes
//! Nothing polls, however many tasks wait. The runner's task is woken by the device, by a call on a socket, and by one timer that is set only while the core has a
//! deadline. Within one pass at most [`FRAMES_PER_PASS`] frames are taken in; then every other task has its turn.

#[cfg(feature = "slaac")]
mod advertisements;
#[cfg(feature = "journal")]
mod allowance;
mod client;
mod driver;
#[cfg(feature = "edge-nal")]
mod edge_nal;
mod follower;
mod format;
#[cfg(feature = "journal")]
mod journal;
mod listener;
#[cfg(feature = "picoserve")]
mod picoserve;
mod runner;
mod stack;
mod start;
mod state;
mod stream;

#[cfg(feature = "edge-nal")]
pub use self::edge_nal::TcpServer;
#[cfg(feature = "picoserve")]
pub use self::picoserve::{HttpRuntime, HttpTimer, HttpWriter};
pub use client::TcpClient;
pub use driver::{DeviceError, FRAMES_PER_PASS, TcpDriver, TcpRxToken, TcpShared, new};
pub use listener::TcpListener;
pub use runner::TcpRunner;
pub use stack::TcpStack;
pub use start::{Resources, StartError, start};
pub use state::{TcpResources, core_duration};
pub use stream::{TcpReader, TcpStream, TcpWriter};
