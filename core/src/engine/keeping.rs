//! The journal of an engine: where each lost peer stands, and the sums over all.

use crate::connection::slot::Connection;
use crate::engine::replies::Reply;
use crate::id::Id;
use crate::tables::journal::{Book, Life, Notes, Pair, Phase};
use crate::wire::addr::Tuple;

/// How often a peer is asked.
pub(crate) const TRIES: u8 = 6;

/// Whose the address of a lost peer's record is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Ours.
    Ours,
    /// Not ours, as far as the addresses tell that we have.
    Other,
    /// We have none of its family and scope yet.
    Unknown,
    /// Such a peer is not asked: it is ourselves, or many.
    Impossible,
}

/// A probe that wants to go out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe(pub(crate) u16);

/// The journal of an engine, and the probe that is offered.
pub(crate) struct Keeping<'s> {
    pub(crate) book: Book<'s>,
    /// Lost peers that are not done with, and those of them that are to be asked now.
    pub(crate) open: u16,
    pub(crate) due: u16,
    /// Events to be told.
    pub(crate) news: u16,
    /// Nobody is asked while the link is down.
    pub(crate) is_down: bool,
    /// A record was written or cleared.
    pub(crate) has_changed: bool,
    pub(crate) offered: Reply,
}

impl<'s> Keeping<'s> {
    pub(crate) const NONE: Keeping<'static> = Keeping {
        book: Book::NONE,
        open: 0,
        due: 0,
        news: 0,
        is_down: false,
        has_changed: false,
        offered: Reply::TO_NOBODY,
    };

    /// Brings the life of a record to another; the only place where one changes, so that the sums hold.
    pub(crate) fn turn(&mut self, at: usize, life: Life) {
        self.count(self.book.life(at), -1);
        self.book.set_life(at, life);
        self.count(life, 1);
    }

    pub(crate) fn write(&mut self, at: usize, pair: &Pair) {
        self.has_changed = true;
        self.book.write(at, pair, self.book.life(at));
    }

    pub(crate) fn clear(&mut self, at: usize) {
        self.has_changed = true;
        self.book.clear(at, self.book.life(at));
    }

    fn count(&mut self, life: Life, by: i16) {
        let add = |sum: &mut u16, is_one: bool| {
            if is_one {
                *sum = sum.wrapping_add_signed(by);
            }
        };
        add(&mut self.open, life.is_open());
        add(&mut self.due, life.phase == Phase::Due);
        add(&mut self.news, life.has(Notes::NEWS));
    }

    /// The lost peers that are not done with. Nothing is looked at where there are none.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (usize, Life)> + use<'s> {
        let book = if self.open == 0 { Book::NONE } else { self.book };
        (0..book.len()).map(move |at| (at, book.life(at))).filter(|(_, life)| life.is_open())
    }

    pub(crate) fn find_lost(&self, tuple: &Tuple) -> Option<(usize, Life)> {
        self.lost().find(|(at, _)| self.book.pair(*at).is_some_and(|pair| pair.tuple == *tuple))
    }

    pub(crate) fn live_record(&self, i: Id<Connection>) -> Option<usize> {
        let is_its = |life: &Life| life.phase == Phase::Live && life.at == u32::from(i.number());
        self.book.lives().find(|(_, life)| is_its(life)).map(|(at, _)| at)
    }

    /// A record for a new connection: one that nobody uses, or else that of the lost peer that was asked most often.
    pub(crate) fn free_record(&self) -> Option<usize> {
        let rank = |life: &Life| match life.phase {
            Phase::Free => 0,
            Phase::Over => 1,
            Phase::Waiting | Phase::Due | Phase::Asked => 2 + u32::from(TRIES - life.tries.min(TRIES)),
            Phase::Live => u32::MAX,
        };
        let best = self.book.lives().min_by_key(|(_, life)| rank(life));
        best.filter(|(_, life)| life.phase != Phase::Live).map(|(at, _)| at)
    }

    pub(crate) fn has_output(&self) -> bool {
        self.news > 0 || self.due > 0 && !self.is_down
    }
}
