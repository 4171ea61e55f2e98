//! What a stack under measurement does. Both have the same shape: packets in a ring are handed in, and everything that is due is written to
//! another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::ring::Ring;

/// A family of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// The families of this build.
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

/// A host on the one network there is, by the last octet of its addresses. It has one of each family of the build.
#[derive(Clone, Copy)]
pub(crate) struct Host(pub(crate) u8);

/// The host under measurement, and the server where both ends are.
pub(crate) const SERVER: Host = Host(1);
/// Its peer.
pub(crate) const CLIENT: Host = Host(2);

/// How much a stack has to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A few connections with long buffers, one listener.
    Few,
    /// [`MANY_CONNECTIONS`] with short buffers, one listener.
    ManyConnections,
    /// No connection, [`MANY_LISTENERS`].
    ManyListeners,
}

/// Connections of [`Size::ManyConnections`].
pub(crate) const MANY_CONNECTIONS: usize = 1_024;
/// Listeners of [`Size::ManyListeners`].
pub(crate) const MANY_LISTENERS: usize = 250;

impl Size {
    /// Returns the octets of each buffer of a connection, two of which it has.
    pub(crate) fn buffer(self) -> usize {
        match self {
            Size::Few => 16_384,
            Size::ManyConnections | Size::ManyListeners => 256,
        }
    }
}

/// A time in microseconds.
pub(crate) type Micros = u64;

/// A stack, and the one connection of it that an application uses: the last that was opened or accepted.
pub(crate) trait Stack {
    /// As the results name it.
    const NAME: &'static str;

    /// Makes a host's stack without connections or listeners.
    fn new(host: Host, size: Size) -> Self;

    /// Sees that one more connection to `port`, of any family, can be accepted.
    fn listen(&mut self, port: u16);

    /// Begins to open a connection.
    fn connect(&mut self, now: Micros, local: SocketAddr, remote: SocketAddr);

    /// Hands over the next established connection; returns whether there was one.
    fn accept(&mut self, now: Micros) -> bool;

    /// Returns whether octets, or the end of the stream, can be received.
    fn is_readable(&mut self) -> bool;

    /// Queues what fits of `data`; returns how much that is.
    fn send(&mut self, now: Micros, data: &[u8]) -> usize;

    /// Receives; returns how many octets, 0 if there are none.
    fn recv(&mut self, now: Micros, buf: &mut [u8]) -> usize;

    /// Closes both ways.
    fn close(&mut self, now: Micros);

    /// Returns whether the connection is over, TIME-WAIT included.
    fn is_over(&self) -> bool;

    /// Returns how many established connections there are.
    fn established(&self) -> usize;

    /// Takes in every packet of `input`, does what is due and writes what wants to go out to `output`.
    fn poll(&mut self, now: Micros, input: &mut Ring, output: &mut Ring);

    /// Returns when [`Stack::poll`] wants to be called, if nothing else happens.
    fn deadline(&mut self, now: Micros) -> Option<Micros>;
}
