//! What frames look like.

use crate::wire::addr::Hop;

/// What frames look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Medium {
    /// Ethernet II frames without check sequence; our own address.
    Ethernet(Hop),
    /// IP packets alone.
    Ip,
}
