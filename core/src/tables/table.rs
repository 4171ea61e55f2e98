//! A table: records, and what finds them and says which is due, as one value.

use core::ops;

use crate::connection::slot::Connection;
use crate::id::Id;
use crate::tables::index::{Entry, Index};
use crate::time::Millis;
use crate::wire::addr::Tuple;

/// What a table holds.
pub(crate) trait Record {
    /// An entry that nobody uses: nothing but zeros, for storage that costs no flash.
    const EMPTY: Self;

    /// The pair of endpoints that names it.
    fn tuple(&self) -> &Tuple;
}

/// Records of one kind. An entry is allocated, made findable, armed, made unfindable, released; no operation but [`Table::iter`] and
/// [`Table::ids`] looks at all entries.
pub(crate) struct Table<'s, R> {
    records: &'s mut [R],
    index: Index<'s>,
}

impl<'s, R: Record> Table<'s, R> {
    /// Makes an empty table, whatever the storage holds.
    pub(crate) fn new(records: &'s mut [R], entries: &'s mut [Entry]) -> Table<'s, R> {
        records.fill_with(|| R::EMPTY);
        Table { records, index: Index::new(entries) }
    }

    /// Returns how many entries are in use.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.index.has_room()
    }

    /// Takes a free entry, as it was left.
    pub(crate) fn allocate(&mut self) -> Option<Id<R>> {
        self.index.allocate().and_then(|id| Id::new(usize::from(id)))
    }

    /// Makes an entry findable under the hash of its tuple.
    pub(crate) fn insert(&mut self, id: Id<R>, hash: u32) {
        self.index.insert(id.number(), hash);
    }

    /// Makes an entry unfindable, if it was findable.
    pub(crate) fn remove(&mut self, id: Id<R>, hash: u32) {
        self.index.remove(id.number(), hash);
    }

    /// Returns an entry back that cannot be found, and leaves `rest` in it.
    pub(crate) fn release(&mut self, id: Id<R>, rest: R) {
        self.index.release(id.number());
        self[id] = rest;
    }

    #[inline]
    pub(crate) fn find(&self, tuple: &Tuple, hash: u32) -> Option<Id<R>> {
        if self.len() == 0 { None } else { self.find_among(tuple, hash) }
    }

    #[inline(never)]
    fn find_among(&self, tuple: &Tuple, hash: u32) -> Option<Id<R>> {
        let found = self.index.find(hash, |at| self.records.get(at).is_some_and(|record| record.tuple() == tuple));
        found.and_then(|id| Id::new(usize::from(id)))
    }

    /// Returns the entry of a place that a caller names.
    pub(crate) fn at(&self, index: usize) -> Option<Id<R>> {
        Id::new(index).filter(|id| id.index() < self.records.len())
    }

    /// Sets an entry's deadline.
    pub(crate) fn arm(&mut self, id: Id<R>, at: Millis) {
        self.index.arm(id.number(), at);
    }

    /// Ensures that an entry's deadline is no later than `at`. One that is earlier stays, and is put right when it comes.
    #[inline]
    pub(crate) fn arm_by(&mut self, id: Id<R>, at: Millis) {
        self.index.arm_by(id.number(), at);
    }

    pub(crate) fn disarm(&mut self, id: Id<R>) {
        self.index.disarm(id.number());
    }

    pub(crate) fn first_due(&self) -> Option<(Id<R>, Millis)> {
        let (id, at) = self.index.first_due()?;
        Some((Id::new(usize::from(id))?, at))
    }

    pub(crate) fn deadline_of(&self, id: Id<R>) -> Option<Millis> {
        self.index.deadline_of(id.number())
    }

    /// All places, used or not.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id<R>> + use<R> {
        (0..self.records.len()).filter_map(Id::new)
    }

    /// All entries in use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<R>, &R)> {
        self.ids().zip(self.records.iter()).filter(|(_, record)| record.tuple().is_used())
    }

    /// The records of all entries in use.
    pub(crate) fn records_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.records.iter_mut().filter(|record| record.tuple().is_used())
    }
}

impl<R> ops::Index<Id<R>> for Table<'_, R> {
    type Output = R;

    #[inline]
    fn index(&self, id: Id<R>) -> &R {
        &self.records[id.index()]
    }
}

impl<R> ops::IndexMut<Id<R>> for Table<'_, R> {
    #[inline]
    fn index_mut(&mut self, id: Id<R>) -> &mut R {
        &mut self.records[id.index()]
    }
}

impl Record for Connection {
    const EMPTY: Connection = Connection::EMPTY;

    fn tuple(&self) -> &Tuple {
        &self.tcb.tuple
    }
}
