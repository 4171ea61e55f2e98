//! Why a call could not be carried out.

use crate::config::{InvalidSetting, Setting};
use crate::rules::verdict::CloseReason;

use core::fmt;

/// Why a call could not be carried out. Nothing has changed where one of these comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The handle's connection or listener is gone.
    StaleHandle,
    /// Nothing to do now: no byte, no room, no connection waiting. An [`crate::Event`] tells when to try again.
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
    /// The address is of a family this build does not speak, link-local in another zone than ours, unspecified, broadcast, multicast, the
    /// loopback address where ours is none, an IPv4 address in IPv6 guise, of another family than the peer's, or the port is 0.
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
            Error::InvalidBufferSize if cfg!(feature = "window-scale") => {
                "a buffer must be a power of two from 64 to 262144 bytes"
            }
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
