//! What comes out of the engine: handles, events, errors, and the next deadline.

use core::fmt;
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::time::Duration;

use crate::addr::Addr;
use crate::config::{InvalidSetting, Setting};
use crate::connection::timers::Timers;
use crate::seq::Seq;
use crate::tcb::Tuple;
use crate::time::Instant;
use crate::transmit::Transmit;
use crate::verdict::{CloseReason, State, Timer};

/// A connection: a slot and its generation, so that a handle kept after the end does not mean somebody else's connection (until the
/// slot has been used 65,536 times more).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConnectionHandle {
    pub(crate) index: u16,
    pub(crate) generation: u16,
}

impl ConnectionHandle {
    /// Gives the slot's index, for tables kept beside the engine.
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
    /// Gives the entry's index, for tables kept beside the engine.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// The address of the next hop on the link (an Ethernet address). Unused on plain IP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Hop(pub [u8; 6]);

/// Something an application waits for. Each is told once; several of the same kind before a poll are told as one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// A connection, or more than one, is ready: call [`crate::Tcp::accept`] until it says [`Error::WouldBlock`].
    Acceptable(ListenerHandle),
    /// An active open reached ESTABLISHED.
    Connected(ConnectionHandle),
    /// Bytes can be received: call [`crate::Tcp::recv`] until it says [`Error::WouldBlock`].
    Readable(ConnectionHandle),
    /// Room was made in the send buffer.
    Writable(ConnectionHandle),
    /// The peer sent FIN: after the bytes already received the stream ends.
    PeerFinished(ConnectionHandle),
    /// R1 retransmissions went unanswered; the connection goes on (§3.8.3).
    Stalled(ConnectionHandle),
    /// The connection ended. Bytes received before stay readable until [`crate::Tcp::close`] gives the slot back; where the
    /// application had closed already, the slot is free once its RST, if one is due, has left.
    Closed(ConnectionHandle, CloseReason),
}

/// The next thing to do, as [`crate::Tcp::poll_output`] says it.
#[derive(Debug)]
#[must_use]
pub enum Output<'t, 's> {
    /// A segment wants to go out.
    Transmit(Transmit<'t, 's>),
    /// Something an application waits for.
    Event(Event),
    /// Nothing more now: call [`crate::Tcp::handle_timeout`] at this time, for this reason. `None`: nothing is pending.
    Timeout(Option<(Instant, Timer)>),
}

/// Why a call could not be carried out. Nothing has changed where one of these comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The handle's connection or listener is gone.
    StaleHandle,
    /// Nothing to do now: no byte, no room, no connection waiting. An [`Event`] tells when to try again.
    WouldBlock,
    /// All connection slots are in use.
    NoSlot,
    /// All listener entries are in use.
    NoListener,
    /// The byte pool has no run long enough for the buffers.
    NoBuffer,
    /// A buffer size is not a power of two from [`crate::MIN_BUFFER`] to [`crate::MAX_BUFFER`].
    InvalidBufferSize,
    /// An option is out of its bounds.
    InvalidSetting(Setting),
    /// The address is of a family this build does not speak, link-local in another zone than ours, unspecified, broadcast, multicast, an
    /// IPv4 address in IPv6 guise, of another family than the peer's, or the port is 0.
    InvalidAddress,
    /// The pair of endpoints, or the listening endpoint, is in use.
    AddressInUse,
    /// No interface address and no gateway leads to the peer.
    NoRoute,
    /// No ephemeral port is free towards this peer.
    NoPort,
    /// The handshake is not done.
    NotConnected,
    /// The sending direction was shut down.
    SendShutdown,
    /// The connection is over, for this reason.
    Closed(CloseReason),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::StaleHandle => "the handle is stale",
            Error::WouldBlock => "not now",
            Error::NoSlot => "no connection slot is free",
            Error::NoListener => "no listener entry is free",
            Error::NoBuffer => "the byte pool is exhausted",
            Error::InvalidBufferSize => "a buffer must be a power of two from 64 to 32768 bytes",
            Error::InvalidSetting(setting) => setting.bounds(),
            Error::InvalidAddress => "the address cannot be used",
            Error::AddressInUse => "the address is in use",
            Error::NoRoute => "there is no route to the peer",
            Error::NoPort => "no ephemeral port is free",
            Error::NotConnected => "not connected",
            Error::SendShutdown => "sending was shut down",
            Error::Closed(reason) => return write!(f, "the connection is over: {reason}"),
        })
    }
}

impl core::error::Error for Error {}

impl From<InvalidSetting> for Error {
    fn from(InvalidSetting(setting): InvalidSetting) -> Error {
        Error::InvalidSetting(setting)
    }
}

/// Our endpoint and the peer's; `zone` belongs to what is good on one link only.
pub(crate) fn endpoints(tuple: &Tuple, zone: u32) -> (SocketAddr, SocketAddr) {
    let endpoint = |addr: Addr, port| match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
        IpAddr::V6(ip) => {
            let scope_id = if addr.is_link_local() { zone } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope_id))
        }
    };
    (endpoint(tuple.local_addr, tuple.local_port), endpoint(tuple.remote_addr, tuple.remote_port))
}

/// A compact record that holds no slot: a handshake in progress, or a connection in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Compact {
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
    /// Next sequence number expected.
    pub rcv_nxt: Seq,
    /// The window we offer, in bytes from `rcv_nxt`.
    pub rcv_wnd: u32,
    /// The largest text sent in one segment, in bytes.
    pub mss: u16,
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
