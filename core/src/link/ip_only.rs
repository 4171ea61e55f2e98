//! What stands for neighbors and the link header in a build without the feature `ethernet`: there are none, and nobody asks for one.

use super::medium::Medium;
use crate::time::Instant;
use crate::wire::addr::{Addr, LinkAddr};

/// Never asked.
pub(super) enum Question {}

impl Question {
    pub(super) fn len(&self) -> usize {
        match *self {}
    }
}

pub(super) struct Neighbors;

impl Neighbors {
    pub(super) const fn new() -> Neighbors {
        Neighbors
    }

    pub(super) fn resolve(&mut self, _: Addr, _: Addr, _: Instant, _: bool) -> Option<LinkAddr> {
        None
    }

    pub(super) fn known(&self, _: Addr, _: Instant) -> Option<LinkAddr> {
        None
    }

    pub(super) fn is_asked_for(&self, _: Addr) -> bool {
        false
    }

    pub(super) fn question(&self) -> Option<Question> {
        None
    }

    pub(super) fn is_asking(&self) -> bool {
        false
    }

    pub(super) fn handle_timeout(&mut self, _: Instant) -> usize {
        0
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

impl Medium {
    pub(super) fn header_len(self) -> usize {
        0
    }

    pub(super) fn emit_header(self, buf: &mut [u8], _: LinkAddr, _ethertype: u16) -> &mut [u8] {
        buf
    }
}
