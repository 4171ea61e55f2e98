//! Without the feature `ecn`: no packet may be marked.

use crate::rules::ecn::Agreed;
use crate::wire::ecn::Codepoint;
use crate::wire::segment::{Control, Segment};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ecn;

impl Ecn {
    pub(crate) const NEW: Ecn = Ecn;

    pub(crate) fn begin(&mut self, _: Agreed) {}

    pub(crate) fn renew(&mut self, _: Control) {}

    pub(crate) fn agreed(&self) -> Agreed {
        Agreed::NOT
    }

    #[inline]
    pub(crate) fn is_capable(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn flags(&self, _: bool) -> Control {
        Control::empty()
    }

    #[inline]
    pub(crate) fn sent_new(&mut self) {}

    #[inline]
    pub(crate) fn note(&mut self, _: &Segment<'_>, _: Codepoint) -> bool {
        false
    }

    #[inline]
    pub(crate) fn is_news_in(&self, _: Control, _: u32) -> bool {
        false
    }

    pub(crate) fn reduced(&mut self, _: u32) {}

    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        false
    }

    #[inline]
    pub(crate) fn acknowledged(&mut self, _: u32) {}
}
