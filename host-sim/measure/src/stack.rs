//! The interface of a stack under measurement: packets are taken from one ring and written to another, with the same shape for both
//! stacks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::ring::Ring;

/// A family of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// Families of this build.
    pub(crate) const SPOKEN: &[Family] =
        if cfg!(feature = "ipv6") { &[Family::Ipv4, Family::Ipv6] } else { &[Family::Ipv4] };

    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        }
    }

    /// Returns a host's address.
    pub(crate) fn addr(self, host: Host) -> IpAddr {
        match self {
            Family::Ipv4 => Ipv4Addr::new(10, 0, 0, host.0).into(),
            Family::Ipv6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.0.into()).into(),
        }
    }

    /// Returns the length of the network's prefix.
    pub(crate) fn prefix(self) -> u8 {
        match self {
            Family::Ipv4 => 24,
            Family::Ipv6 => 64,
        }
    }
}

/// A host, by the last byte of its addresses; all hosts share one network and have an address of each family of the build.
#[derive(Clone, Copy)]
pub(crate) struct Host(pub(crate) u8);

/// The host under measurement; the server where both ends are measured.
pub(crate) const SERVER: Host = Host(1);
/// The peer of [`SERVER`].
pub(crate) const CLIENT: Host = Host(2);

/// Table and buffer sizes of a stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A few connections with large buffers, one listener.
    Few,
    /// [`MANY_CONNECTIONS`] connections with small buffers, one listener.
    ManyConnections,
    /// [`MANY_LISTENERS`] listeners, small buffers.
    ManyListeners,
}

/// Connections of [`Size::ManyConnections`].
pub(crate) const MANY_CONNECTIONS: usize = 1_024;
/// Listeners of [`Size::ManyListeners`].
pub(crate) const MANY_LISTENERS: usize = 250;

impl Size {
    /// Returns the bytes of each of a connection's two buffers.
    pub(crate) fn buffer(self) -> usize {
        match self {
            Size::Few => 16_384,
            Size::ManyConnections | Size::ManyListeners => 256,
        }
    }
}

/// A time in microseconds.
pub(crate) type Micros = u64;

/// A stack and its current connection: the last that was opened or accepted.
pub(crate) trait Stack {
    /// Name in the results.
    const NAME: &'static str;

    /// Creates a host's stack without connections or listeners.
    fn new(host: Host, size: Size) -> Self;

    /// Ensures that `port` accepts one more connection, of either family.
    fn listen(&mut self, port: u16);

    /// Opens a connection (active OPEN).
    fn connect(&mut self, now: Micros, local: SocketAddr, remote: SocketAddr);

    /// Accepts the next established connection; returns whether there was one.
    fn accept(&mut self, now: Micros) -> bool;

    /// Returns whether data or the end of the stream can be received.
    fn is_readable(&mut self) -> bool;

    /// Queues as much of `data` as fits; returns the number of bytes.
    fn send(&mut self, now: Micros, data: &[u8]) -> usize;

    /// Receives data; returns the number of bytes, 0 if there are none.
    fn recv(&mut self, now: Micros, buf: &mut [u8]) -> usize;

    /// Closes both ways.
    fn close(&mut self, now: Micros);

    /// Returns whether the connection has ended.
    fn is_over(&self) -> bool;

    /// Returns the number of connections in ESTABLISHED.
    fn established(&self) -> usize;

    /// Processes every packet of `input` and expired timers, and writes all output to `output`.
    fn poll(&mut self, now: Micros, input: &mut Ring, output: &mut Ring);

    /// Returns when [`Stack::poll`] is due without further input.
    fn deadline(&mut self, now: Micros) -> Option<Micros>;
}
