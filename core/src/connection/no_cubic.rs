//! Without the feature `cubic`: the window grows as Reno's does.

use crate::time::Millis;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cubic;

impl Cubic {
    pub(crate) const OFF: Cubic = Cubic;

    pub(crate) fn is_on(&self) -> bool {
        false
    }

    pub(crate) fn after_loss(window: u32) -> u32 {
        window
    }

    pub(crate) fn on_loss(&mut self, _: u32) {}

    pub(crate) fn on_timeout(&mut self, _: u32) {}

    pub(crate) fn pause(&mut self) {}

    pub(crate) fn grown(&mut self, cwnd: u32, _: u32, _: u32, _: Millis, _: u32) -> u32 {
        cwnd
    }
}
