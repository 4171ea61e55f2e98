//! A segment, and what is known of it.

use core::net::IpAddr;

use crate::time::Instant;
use crate::wire::addr::{LinkAddr, Tuple};
use crate::wire::ecn::Codepoint;
use crate::wire::segment::Segment;

/// The IP layer's knowledge of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Arrival {
    /// Source address.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub src: IpAddr,
    /// Destination address: one of ours, which the IP layer has checked.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub dst: IpAddr,
    /// The link address the frame came from; replies go back to it.
    pub link_addr: LinkAddr,
}

/// A segment on its way through the engine, parsed and with all that is known of it.
pub(crate) struct Arriving<'b> {
    pub(crate) now: Instant,
    pub(crate) tuple: &'b Tuple,
    /// Where its frame came from.
    pub(crate) link_addr: LinkAddr,
    /// How its packet was marked.
    pub(crate) codepoint: Codepoint,
    pub(crate) seg: &'b Segment<'b>,
    /// Its bytes, options and all.
    #[cfg(feature = "reset-diagnostics")]
    pub(crate) len: usize,
}
