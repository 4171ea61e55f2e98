//! What stands for the journal of an engine in a build without the feature `journal`: it holds nothing.

use core::marker::PhantomData;

/// Never sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {}

pub(crate) struct Keeping<'s>(PhantomData<&'s ()>);

impl Keeping<'_> {
    pub(crate) const NONE: Keeping<'static> = Keeping(PhantomData);

    pub(crate) fn has_output(&self) -> bool {
        false
    }
}
