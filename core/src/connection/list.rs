//! Lists of slots, threaded through the slots themselves.

use crate::connection::slot::Connection;
use crate::id::NONE;

/// First in, first out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u16,
    last: u16,
}

impl List {
    pub(crate) const EMPTY: List = List { first: NONE, last: NONE };

    pub(crate) fn first(self) -> Option<u16> {
        (self.first != NONE).then_some(self.first)
    }

    pub(crate) fn push(&mut self, conns: &mut [Connection], link: fn(&mut Connection) -> &mut u16, i: u16) {
        *link(&mut conns[usize::from(i)]) = NONE;
        match self.first() {
            None => self.first = i,
            Some(_) => *link(&mut conns[usize::from(self.last)]) = i,
        }
        self.last = i;
    }

    pub(crate) fn pop(&mut self, conns: &mut [Connection], link: fn(&mut Connection) -> &mut u16) -> Option<u16> {
        let i = self.first()?;
        self.first = *link(&mut conns[usize::from(i)]);
        Some(i)
    }
}
