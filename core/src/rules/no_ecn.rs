//! Without the feature `ecn`: nobody asks, and nothing is agreed on.

use crate::wire::segment::Control;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Agreed;

impl Agreed {
    pub(crate) const NOT: Agreed = Agreed;

    pub(crate) fn in_syn(_: Control, _: bool) -> Agreed {
        Agreed
    }

    pub(crate) fn after(self, _: Agreed) -> Agreed {
        Agreed
    }

    pub(crate) fn renew(&mut self, _: Control) {}

    pub(crate) fn asking(_: bool) -> Control {
        Control::empty()
    }

    pub(crate) fn answering(self) -> Control {
        Control::empty()
    }
}
