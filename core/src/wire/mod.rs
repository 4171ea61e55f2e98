//! What stands on the wire: addresses, sequence numbers, segments, checksums. Knows nothing of connections.

pub(crate) mod addr;
pub(crate) mod checksum;
#[cfg(feature = "reset-diagnostics")]
pub(crate) mod diagnostic;
pub(crate) mod options;
#[cfg(feature = "sack")]
pub(crate) mod sack;
pub(crate) mod segment;
pub(crate) mod seq;
#[cfg(feature = "timestamps")]
pub(crate) mod timestamps;
