//! Without the feature `sack`: no end says what arrived beyond a gap.

use crate::connection::runs::Runs;
use crate::size::Size;
use crate::wire::options::Options;
use crate::wire::seq::Seq;

#[derive(Clone, Debug)]
pub(crate) struct Sack;

impl Sack {
    pub(crate) const NEW: Sack = Sack;

    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        false
    }

    pub(crate) fn update_scoreboard(&mut self, _: &Options, _: Seq, _: Seq) -> bool {
        false
    }

    pub(crate) fn acknowledged(&mut self, _: u32) {}

    pub(crate) fn clear_scoreboard(&mut self) {}

    pub(crate) fn next_unsacked(&self, at: u32) -> (u32, u32) {
        (at, u32::MAX)
    }

    pub(crate) fn lost_end(&self, _: u16) -> u32 {
        0
    }

    pub(crate) fn sacked_bytes(&self) -> u32 {
        0
    }

    pub(crate) fn sacked_end(&self) -> u32 {
        0
    }

    pub(crate) fn sacked_before(&self, _: u32) -> u32 {
        0
    }

    pub(crate) fn pipe(&self, flight: u32, _: u32, _: u32) -> u32 {
        flight
    }

    pub(crate) fn record_duplicate(&mut self, _: Seq, _: Size) -> bool {
        false
    }

    pub(crate) fn record_duplicate_in(&mut self, _: &Runs, _: Seq, _: Size, _: Size) -> bool {
        false
    }

    #[inline]
    pub(crate) fn has_news(&self, runs: &Runs) -> bool {
        !runs.is_empty()
    }

    pub(crate) fn clear_duplicate(&mut self) {}
}
