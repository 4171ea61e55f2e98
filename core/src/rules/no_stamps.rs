//! Without the feature `timestamps`: no segment has one.

use crate::time::Millis;
use crate::wire::options::Options;
use crate::wire::segment::Segment;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Recent;

impl Recent {
    pub(crate) const NONE: Recent = Recent;

    pub(crate) fn in_syn(_: &Options, _: bool) -> Recent {
        Recent
    }

    pub(crate) fn renew(&mut self, _: &Options) {}
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps;

impl Stamps {
    pub(crate) const NEW: Stamps = Stamps;

    pub(crate) fn of(_: Recent, _: u32, _: Millis) -> Stamps {
        Stamps
    }

    pub(crate) fn begin(&mut self, _: Recent, _: Millis) {}

    pub(crate) fn recent(&self) -> Recent {
        Recent
    }

    pub(crate) fn wire_len(&self) -> u16 {
        0
    }

    #[inline]
    pub(crate) fn add_to(&self, _: &mut Options, _: Millis) {}

    pub(crate) fn offer_in(&self, _: &mut Options, _: Millis, _: bool) {}

    #[inline]
    pub(crate) fn has_old(&self, _: &Segment<'_>) -> bool {
        false
    }

    pub(crate) fn age(&mut self, _: Millis) {}

    #[inline]
    pub(crate) fn round_trip_ms(&self, _: &Segment<'_>, _: Millis) -> Option<u16> {
        None
    }

    #[inline]
    pub(crate) fn note(&mut self, _: &Segment<'_>, _: Millis) {}

    pub(crate) fn is_syn_new(&self, _: &Segment<'_>, _: bool) -> Option<bool> {
        None
    }
}
