//! Lists of slots, threaded through the slots themselves.

use core::ops::IndexMut;

use crate::connection::slot::Connection;
use crate::id::Id;

/// First in, first out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: Option<Id<Connection>>,
    last: Option<Id<Connection>>,
}

/// The field of a slot that leads to the next one in a list.
pub(crate) type Link = fn(&mut Connection) -> &mut Option<Id<Connection>>;

impl List {
    pub(crate) const EMPTY: List = List { first: None, last: None };

    #[inline]
    pub(crate) fn first(self) -> Option<Id<Connection>> {
        self.first
    }

    pub(crate) fn push(
        &mut self,
        slots: &mut impl IndexMut<Id<Connection>, Output = Connection>,
        link: Link,
        i: Id<Connection>,
    ) {
        *link(&mut slots[i]) = None;
        match self.last.filter(|_| self.first.is_some()) {
            None => self.first = Some(i),
            Some(last) => *link(&mut slots[last]) = Some(i),
        }
        self.last = Some(i);
    }

    pub(crate) fn pop(
        &mut self,
        slots: &mut impl IndexMut<Id<Connection>, Output = Connection>,
        link: Link,
    ) -> Option<Id<Connection>> {
        let i = self.first?;
        self.first = *link(&mut slots[i]);
        Some(i)
    }
}
