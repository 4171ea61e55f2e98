//! What frames look like.

#[cfg(feature = "ethernet")]
use crate::wire::addr::LinkAddr;

/// What frames look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Medium {
    /// Ethernet II frames without check sequence; our own address (feature `ethernet`).
    #[cfg(feature = "ethernet")]
    Ethernet(LinkAddr),
    /// IP packets alone.
    Ip,
}
