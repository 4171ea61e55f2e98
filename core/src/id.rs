//! Numbers of entries.

/// No entry.
pub(crate) const NONE: u16 = u16::MAX;
