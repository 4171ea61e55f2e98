//! The place of an entry in its table.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU16;

/// The most entries a table may have.
pub(crate) const MAX_ENTRIES: usize = u16::MAX as usize;

/// The place of an entry in a table of `R`. It is kept one higher than it is, so that an optional one takes two bytes and none is zero.
pub(crate) struct Id<R> {
    place: NonZeroU16,
    table: PhantomData<fn() -> R>,
}

impl<R> Id<R> {
    /// Returns the id of a place; `None` beyond any table.
    #[inline]
    pub(crate) fn new(index: usize) -> Option<Id<R>> {
        let place = NonZeroU16::new(u16::try_from(index).ok()?.wrapping_add(1))?;
        Some(Id { place, table: PhantomData })
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.place.get()) - 1
    }

    /// The same in two bytes.
    #[inline]
    pub(crate) fn number(self) -> u16 {
        self.place.get() - 1
    }
}

impl<R> Clone for Id<R> {
    fn clone(&self) -> Id<R> {
        *self
    }
}

impl<R> Copy for Id<R> {}

impl<R> PartialEq for Id<R> {
    fn eq(&self, other: &Id<R>) -> bool {
        self.place == other.place
    }
}

impl<R> Eq for Id<R> {}

impl<R> fmt::Debug for Id<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// The place of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListenerId(u8);

impl ListenerId {
    pub(crate) const FIRST: ListenerId = ListenerId(0);

    pub(crate) fn new(index: usize) -> Option<ListenerId> {
        u8::try_from(index).ok().map(ListenerId)
    }

    /// The id that has this [`ListenerId::number`].
    pub(crate) fn of(number: u8) -> ListenerId {
        ListenerId(number)
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    #[inline]
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}
