//! Without the feature `window-scale`: a header says a window as it is.

use crate::size::Size;
use crate::wire::options::Options;
use crate::wire::segment::Header;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scale;

impl Scale {
    pub(crate) const NONE: Scale = Scale;

    pub(crate) fn in_syn(_: &Options, _: bool, _: usize) -> Scale {
        Scale
    }

    pub(crate) fn add_to(self, _: &mut Options) {}

    pub(crate) fn offer_in(_: &mut Options, _: bool, _: usize) {}

    #[inline]
    pub(crate) fn offered_in(self, header: &Header) -> Size {
        header.wnd
    }

    pub(crate) fn most(self) -> Size {
        Size::MAX
    }

    #[inline]
    pub(crate) fn field(self, window: Size, _: bool) -> u16 {
        window
    }

    pub(crate) fn received(self, field: u16) -> Size {
        field
    }

    #[inline]
    pub(crate) fn sayable(self, window: Size) -> Size {
        window
    }

    #[inline]
    pub(crate) fn slack(self) -> u32 {
        0
    }
}

pub(crate) fn first_window(rx_size: usize) -> Size {
    rx_size as Size
}
