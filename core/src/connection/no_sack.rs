//! Without the feature `sack`: no end says what arrived beyond a gap.

use crate::connection::runs::Runs;
use crate::wire::options::Options;
use crate::wire::seq::Seq;

#[derive(Clone, Debug)]
pub(crate) struct Sack;

impl Sack {
    pub(crate) const NEW: Sack = Sack;

    #[inline]
    pub(crate) fn is_spoken(&self) -> bool {
        false
    }

    pub(crate) fn hear(&mut self, _: &Options, _: Seq, _: Seq) -> bool {
        false
    }

    pub(crate) fn acknowledged(&mut self, _: u32) {}

    pub(crate) fn distrust(&mut self) {}

    pub(crate) fn gap_from(&self, at: u32) -> (u32, u32) {
        (at, u32::MAX)
    }

    pub(crate) fn lost_to(&self, _: u16) -> u32 {
        0
    }

    pub(crate) fn end(&self) -> u32 {
        0
    }

    pub(crate) fn known_before(&self, _: u32) -> u32 {
        0
    }

    pub(crate) fn pipe(&self, flight: u32, _: u32, _: u16) -> u32 {
        flight
    }

    pub(crate) fn note_newest(&mut self, _: u16) {}

    pub(crate) fn advance(&mut self, _: u16) {}

    pub(crate) fn note_twice(&mut self, _: Seq, _: u16) {}

    pub(crate) fn note_twice_of(&mut self, _: &Runs, _: Seq, _: u16, _: u16) {}

    pub(crate) fn told(&mut self) {}
}
