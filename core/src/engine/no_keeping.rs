//! What stands for the journal of an engine in a build without the feature `journal`: it holds nothing.

use core::marker::PhantomData;

use crate::engine::replies::Reply;
use crate::time::Millis;
use crate::wire::addr::LinkAddr;

/// Never sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {}

/// Never offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    pub(crate) reply: Reply,
    pub(crate) link_addr: Option<LinkAddr>,
    pub(crate) last: LinkAddr,
}

pub(crate) struct Keeping<'s>(PhantomData<&'s ()>);

impl Keeping<'_> {
    pub(crate) const NONE: Keeping<'static> = Keeping(PhantomData);

    pub(crate) fn has_output(&self, _: Millis) -> bool {
        false
    }
}
