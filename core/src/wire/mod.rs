//! What stands on the wire: addresses, sequence numbers, segments, checksums. Knows nothing of connections.

pub(crate) mod addr;
pub(crate) mod checksum;
#[cfg(feature = "reset-diagnostics")]
pub(crate) mod diagnostic;
#[cfg(feature = "ecn")]
pub(crate) mod ecn;
#[cfg(not(feature = "ecn"))]
#[path = "no_ecn.rs"]
pub(crate) mod ecn;
pub(crate) mod options;
#[cfg(feature = "sack")]
pub(crate) mod sack;
pub(crate) mod segment;
pub(crate) mod seq;
#[cfg(feature = "timestamps")]
pub(crate) mod timestamps;
