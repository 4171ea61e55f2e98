//! What comes out of the engine: handles, events, errors, and the next deadline.

use core::net::SocketAddr;
use core::time::Duration;

use crate::connection::timers::Timers;
use crate::rules::verdict::{CloseReason, Fate, State, Timer};
use crate::time::Instant;
use crate::wire::seq::Seq;

/// A connection: a slot and its generation, so that a handle kept after the end does not mean somebody else's connection (until the
/// slot has been used 65,536 times more).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConnectionHandle {
    pub(crate) index: u16,
    pub(crate) generation: u16,
}

impl ConnectionHandle {
    /// Returns the slot's index, for tables kept beside the engine.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// A listener: an entry and its generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ListenerHandle {
    pub(crate) index: u8,
    pub(crate) generation: u16,
}

impl ListenerHandle {
    /// Returns the entry's index, for tables kept beside the engine.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// Something an application waits for. Each is told once; several of the same kind before a poll are told as one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// A connection, or more than one, is ready: call [`crate::Tcp::accept`] until it says [`crate::Error::WouldBlock`].
    Acceptable(ListenerHandle),
    /// An active open reached ESTABLISHED.
    Connected(ConnectionHandle),
    /// Bytes can be received: call [`crate::Tcp::recv`] until it says [`crate::Error::WouldBlock`].
    Readable(ConnectionHandle),
    /// Room was made in the send buffer, or our FIN was acknowledged and the peer may still send.
    Writable(ConnectionHandle),
    /// The peer sent FIN: after the bytes already received the stream ends.
    PeerFinished(ConnectionHandle),
    /// R1 retransmissions went unanswered; the connection goes on (§3.8.3).
    Stalled(ConnectionHandle),
    /// The connection ended. Bytes received before stay readable until [`crate::Tcp::close`] gives the slot back; where the
    /// application had closed already, the slot is free once its RST, if one is due, has left.
    Closed(ConnectionHandle, CloseReason),
    /// What became of a peer that the last restart has lost, which the journal's record of this number is about: see `Tcp::lost_peers`.
    LostPeer(u16, Fate),
}

/// A compact record that holds no slot: a handshake in progress, or a connection in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordStatus {
    /// Our endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub local: SocketAddr,
    /// The peer's endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub remote: SocketAddr,
    /// The timer that ends it: [`Timer::SynReceived`] or [`Timer::TimeWait`].
    pub timer: Timer,
    /// How long until then, from the last time that the engine was told.
    pub left: Duration,
}

/// A peer that a restart of ours has lost, and that may still hold the connection (§3.5.1, half-open).
#[cfg(feature = "journal")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LostPeer {
    /// The place of its record in the journal, which [`Event::LostPeer`] names.
    pub record: u16,
    /// Our endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub local: SocketAddr,
    /// Its endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub remote: SocketAddr,
    /// How often it was asked.
    pub probes: u8,
    /// What has become of it; `None` while that is open.
    pub fate: Option<Fate>,
}

/// What a connection looks like now (RFC 9293 §3.9.1.5, STATUS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Status {
    /// Our endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub local: SocketAddr,
    /// The peer's endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub remote: SocketAddr,
    /// The state; TIME-WAIT while the compact record lives elsewhere, CLOSED after any other end.
    pub state: State,
    /// Why it ended, if it did.
    pub closed: Option<CloseReason>,
    /// Oldest unacknowledged sequence number.
    pub snd_una: Seq,
    /// Next sequence number to be sent for the first time; a window probe does not advance it.
    pub snd_nxt: Seq,
    /// The window the peer offers, in bytes from `snd_una`.
    pub snd_wnd: u32,
    /// The congestion window (cwnd, RFC 5681 §2), in bytes; 0 before the handshake is done.
    pub congestion_window: u32,
    /// The threshold of slow start (ssthresh), in bytes; before the first loss 65,535, or 2^32 - 1 with feature `window-scale`.
    pub slow_start_threshold: u32,
    /// The smoothed round-trip time (RFC 6298 §2), in whole milliseconds and at least one; `None` before one was measured.
    pub round_trip_time: Option<Duration>,
    /// Next sequence number expected.
    pub rcv_nxt: Seq,
    /// The window we offer, in bytes from `rcv_nxt`.
    pub rcv_wnd: u32,
    /// The largest payload sent in one segment, in bytes.
    pub mss: u16,
    /// Both ends have offered selective acknowledgment (RFC 2018).
    #[cfg(feature = "sack")]
    pub sack: bool,
    /// Both ends have offered timestamps (RFC 7323).
    #[cfg(feature = "timestamps")]
    pub timestamps: bool,
    /// Both ends have agreed on Explicit Congestion Notification (RFC 3168): marks of the peer's packets are echoed.
    #[cfg(feature = "ecn")]
    pub ecn: bool,
    /// Bytes ready to be received.
    pub readable: usize,
    /// Room in the send buffer, in bytes.
    pub writable: usize,
    /// Bytes sent or queued and not acknowledged.
    pub unacknowledged: usize,
    /// Retransmissions, window probes or keepalive probes since the last progress, or since the peer was heard.
    pub retries: u8,
    /// What the connection does next by itself, and when.
    pub timer: Option<(Instant, Timer)>,
    /// How long each of its timers has to go, those that end it included, from the last time that the engine was told.
    pub timers: Timers,
    /// When the peer was last heard, or this side began to wait for it: at the open, at the first bytes sent after all were acknowledged, at
    /// the start of the persist timer. In whole milliseconds; of a silence of more than 12.4 days (2^30 ms) at least so much is told. Where keepalive
    /// is on and the caller comes late to send a probe, it is later by as much. The peer counts as heard by segments whose
    /// SEQ and ACK are both acceptable; challenged and unacceptable ones, keepalives too, leave it alone, so that it does not tell whether
    /// a forged segment fell into the window.
    pub heard_at: Instant,
}
