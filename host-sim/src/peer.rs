//! The other end of the wire, whatever it is.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use nix::libc;
use tcp_reset_core::{Instant, KeepAlive, State};

/// A connection or listener of the peer's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Socket(pub usize);

/// How a call on one of the peer's sockets failed, as its operating system says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// ECONNREFUSED.
    Refused,
    /// ECONNRESET.
    Reset,
    /// EPIPE: sending after the end.
    Pipe,
    /// ETIMEDOUT.
    TimedOut,
    /// Any other error number.
    Other(i32),
}

impl Failure {
    /// Returns what an error number of the system means.
    pub fn from_errno(errno: i32) -> Failure {
        match errno {
            libc::ECONNREFUSED => Failure::Refused,
            libc::ECONNRESET => Failure::Reset,
            libc::EPIPE => Failure::Pipe,
            libc::ETIMEDOUT => Failure::TimedOut,
            errno => Failure::Other(errno),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused => f.write_str("ECONNREFUSED"),
            Failure::Reset => f.write_str("ECONNRESET"),
            Failure::Pipe => f.write_str("EPIPE"),
            Failure::TimedOut => f.write_str("ETIMEDOUT"),
            Failure::Other(errno) => write!(f, "error {errno}"),
        }
    }
}

/// What a reader found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// That many bytes.
    Data(usize),
    /// None now.
    Nothing,
    /// The end of the stream.
    End,
}

/// The peer: its sockets, its clock, and the wire that leads to it. No call blocks but [`Peer::wait`].
pub trait Peer {
    /// What the ladder calls it.
    fn name(&self) -> &'static str;
    /// Returns whether time is virtual: only waiting moves it.
    fn is_virtual(&self) -> bool;
    /// The time, which both ends share.
    fn now(&self) -> Instant;
    /// The peer's Ethernet address.
    fn mac(&self) -> [u8; 6];
    /// Puts a frame of ours on the wire.
    fn send_frame(&mut self, frame: &[u8]) -> Result<()>;
    /// Takes the next frame for us off the wire.
    fn receive_frame(&mut self) -> Result<Option<Vec<u8>>>;
    /// Lets time pass until a frame is there, or until `until` at the latest.
    fn wait(&mut self, until: Instant) -> Result<()>;

    /// Listens on a port.
    fn listen(&mut self, port: u16) -> Result<Socket>;
    /// Takes a completed connection.
    fn accept(&mut self, listener: Socket) -> Result<Option<Socket>>;
    /// Starts to connect from `port` (0: any); the receive buffer is small where asked.
    fn connect(&mut self, port: u16, remote: SocketAddr, is_narrow: bool) -> Result<Socket>;
    /// Returns whether the handshake is done, or how it failed.
    fn is_connected(&mut self, socket: Socket) -> Result<Result<bool, Failure>>;
    /// Sends; returns how many bytes were taken.
    fn send(&mut self, socket: Socket, data: &[u8]) -> Result<Result<usize, Failure>>;
    /// Receives.
    fn recv(&mut self, socket: Socket, buf: &mut [u8]) -> Result<Result<Read, Failure>>;
    /// Lets the peer ask whether our end of a connection is there. The kernel counts in whole seconds.
    fn keep_alive(&mut self, socket: Socket, settings: KeepAlive) -> Result<()>;
    /// Bounds how long what the peer sends may wait for our acknowledgment, or for our window.
    fn set_user_timeout(&mut self, socket: Socket, timeout: Duration) -> Result<()>;
    /// Ends the peer's direction.
    fn shutdown(&mut self, socket: Socket) -> Result<()>;
    /// Closes.
    fn close(&mut self, socket: Socket) -> Result<()>;
    /// Aborts: RST.
    fn abort(&mut self, socket: Socket) -> Result<()>;
    /// Forgets the connection without a segment, as a crash would.
    fn vanish(&mut self, socket: Socket) -> Result<()>;
    /// Lets go of every stream that is open, without caring how.
    fn drop_streams(&mut self) -> Result<()>;
    /// The listener on a port, if there is one.
    fn listener_on(&self, port: u16) -> Option<Socket>;
    /// The peer's state for a pair of its port and our endpoint.
    fn state(&mut self, port: u16, ours: SocketAddr) -> Result<State>;
}
