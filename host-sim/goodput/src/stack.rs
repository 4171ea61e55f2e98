//! The interface of a stack under measurement, the same for all.

use std::error::Error;
use std::fmt;

use anyhow::Result;

pub(crate) use crate::path::End;
use crate::path::{MTU, Time};

/// Addresses and the port of the two ends.
pub(crate) const SENDER: [u8; 4] = [10, 0, 0, 1];
pub(crate) const RECEIVER: [u8; 4] = [10, 0, 0, 2];
pub(crate) const PREFIX: u8 = 24;
pub(crate) const PORT: u16 = 9;
pub(crate) const SENDER_PORT: u16 = 49_152;

/// Returns the address of an end.
pub(crate) fn addr_of(end: End) -> [u8; 4] {
    match end {
        End::Sender => SENDER,
        End::Receiver => RECEIVER,
    }
}

/// A stack has ended its connection, for this reason.
#[derive(Debug)]
pub(crate) struct ConnectionEnded(pub(crate) String);

impl fmt::Display for ConnectionEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection ended{}", self.0)
    }
}

impl Error for ConnectionEnded {}

/// Packets that a stack has sent, and buffers for more.
#[derive(Default)]
pub(crate) struct Outbox {
    packets: Vec<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl Outbox {
    /// Appends a packet of up to `len` bytes that `write` fills in; `write` returns its length and a result.
    pub(crate) fn push_with<R>(&mut self, len: usize, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> R {
        let mut packet = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MTU));
        packet.resize(len, 0);
        let (len, result) = write(&mut packet);
        packet.truncate(len);
        self.packets.push(packet);
        result
    }

    /// Takes the packets, in the order they were sent.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, Vec<u8>> {
        self.packets.drain(..)
    }

    /// Gives a packet's buffer back.
    pub(crate) fn recycle(&mut self, packet: Vec<u8>) {
        self.spare.push(packet);
    }
}

/// A stack with one connection, which it has begun to open or listens for. Of `now` it sees whole microseconds.
pub(crate) trait Stack {
    /// Processes a packet. What answers it may wait until [`Stack::poll`].
    ///
    /// # Errors
    /// [`ConnectionEnded`].
    fn handle_packet(&mut self, now: Time, packet: &[u8], output: &mut Outbox) -> Result<()>;

    /// Processes expired timers, and writes all output.
    ///
    /// # Errors
    /// [`ConnectionEnded`].
    fn poll(&mut self, now: Time, output: &mut Outbox) -> Result<()>;

    /// Returns when [`Stack::poll`] is due without a further packet.
    fn deadline(&mut self, now: Time) -> Option<Time>;

    /// Returns whether the connection is established, and on the side of the receiver accepted.
    fn is_connected(&self) -> bool;

    /// Queues as much of `data` as fits; returns the number of bytes.
    fn send(&mut self, now: Time, data: &[u8]) -> usize;

    /// Receives data; returns the number of bytes, 0 if there are none.
    fn recv(&mut self, now: Time, buf: &mut [u8]) -> usize;
}
