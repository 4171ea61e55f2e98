//! The journal of an engine: where each lost peer stands, and the sums over all.

use core::sync::atomic::AtomicU32;

use crate::connection::slot::Connection;
use crate::engine::replies::Reply;
use crate::id::Id;
use crate::tables::journal::{Book, Life, Notes, Pair, Phase};
use crate::time::Millis;
use crate::wire::addr::{LinkAddr, Tuple};

/// How many probes, and RSTs at numbers that were noted, leave within a millisecond.
const PACE: u8 = 4;

/// Whose the address of a lost peer's record is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Ours.
    Ours,
    /// Not ours, as far as the addresses tell that we have.
    Other,
    /// We have none of its family and scope (RFC 4007 §4) yet, but others.
    NoneAlike,
    /// We have none yet.
    NoAddress,
    /// Such a peer is not asked: it is ourselves, or many.
    Impossible,
}

/// A probe that wants to go out: the number of its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe(pub(crate) u16);

/// What is offered as one, and its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    pub(crate) reply: Reply,
    /// Where it goes; `None`: the next hop is to be asked for.
    pub(crate) link_addr: Option<LinkAddr>,
    /// The next hop of the last time.
    pub(crate) last: LinkAddr,
}

/// The journal of an engine, and the probe that is offered.
pub(crate) struct Keeping<'s> {
    pub(crate) book: Book<'s>,
    /// Lost peers that are not done with.
    pub(crate) open: u16,
    /// Those of them that are to be asked now.
    pub(crate) due: u16,
    /// Those of them for whom time counts.
    pub(crate) timed: u16,
    /// Events to be told.
    pub(crate) news: u16,
    /// Nobody is asked while the link is down.
    pub(crate) is_down: bool,
    /// A record was written or cleared.
    pub(crate) has_changed: bool,
    /// A connection found no record: lost peers have them.
    pub(crate) is_short: bool,
    /// The millisecond in which probes left last, and how many more it has room for.
    pace: (Millis, u8),
    /// From where on the next one is looked for, so that each has its turn.
    next: u16,
    pub(crate) offered: Offered,
}

static NOBODYS: AtomicU32 = AtomicU32::new(0);

impl<'s> Keeping<'s> {
    pub(crate) const NONE: Keeping<'static> = Keeping {
        book: Book::none(&NOBODYS),
        open: 0,
        due: 0,
        timed: 0,
        news: 0,
        is_down: false,
        has_changed: false,
        is_short: false,
        pace: (Millis(0), PACE),
        next: 0,
        offered: Offered { reply: Reply::TO_NOBODY, link_addr: None, last: LinkAddr([0; 6]) },
    };

    /// Another journal, of which nothing is known yet.
    pub(crate) fn of(book: Book<'s>, is_down: bool) -> Keeping<'s> {
        Keeping { book, is_down, ..Keeping::NONE }
    }

    /// Brings the life of a record to another; the only place where one changes, so that the sums hold.
    pub(crate) fn turn(&mut self, at: usize, life: Life) {
        self.count(self.book.life(at), -1);
        self.book.set_life(at, life);
        self.count(life, 1);
    }

    fn count(&mut self, life: Life, by: i16) {
        let add = |sum: &mut u16, is_one: bool| {
            if is_one {
                *sum = sum.wrapping_add_signed(by);
            }
        };
        add(&mut self.open, life.is_open());
        add(&mut self.due, life.phase == Phase::Due);
        add(&mut self.timed, life.is_timed());
        add(&mut self.news, life.has(Notes::NEWS));
    }

    /// What the sums must be: open, due, timed, news.
    pub(crate) fn sums(&self) -> [u16; 4] {
        let mut sums = [0; 4];
        for (_, life) in self.book.lives() {
            let counted = [life.is_open(), life.phase == Phase::Due, life.is_timed(), life.has(Notes::NEWS)];
            for (sum, is_one) in sums.iter_mut().zip(counted) {
                *sum += u16::from(is_one);
            }
        }
        sums
    }

    /// Somebody else writes this journal, who should not: at least the sums are true.
    #[cold]
    pub(crate) fn recount(&mut self) {
        [self.open, self.due, self.timed, self.news] = self.sums();
    }

    pub(crate) fn write(&mut self, at: usize, pair: &Pair) {
        self.has_changed = true;
        self.book.write(at, pair, self.book.life(at));
    }

    pub(crate) fn clear(&mut self, at: usize) {
        self.has_changed = true;
        self.book.clear(at, self.book.life(at));
    }

    /// The lost peers that are not done with. Nothing is looked at where there are none.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (usize, Life)> + use<'s> {
        let (book, len) = (self.book, if self.open == 0 { 0 } else { self.book.len() });
        (0..len).map(move |at| (at, book.life(at))).filter(|(_, life)| life.is_open())
    }

    pub(crate) fn find_lost(&self, tuple: &Tuple) -> Option<(usize, Life)> {
        self.lost().find(|(at, _)| self.book.pair(*at).is_some_and(|pair| pair.tuple == *tuple))
    }

    pub(crate) fn live_record(&self, i: Id<Connection>) -> Option<usize> {
        let is_its = |life: &Life| life.phase == Phase::Live && life.at == u32::from(i.number());
        self.book.lives().find(|(_, life)| is_its(life)).map(|(at, _)| at)
    }

    /// A record for a new connection: one that nobody uses, or else one that is still shown. Lost peers keep theirs: whoever may connect would push
    /// them out.
    pub(crate) fn free_record(&self) -> Option<usize> {
        let of = |phase| self.book.lives().find(move |(_, life)| life.phase == phase);
        of(Phase::Free).or_else(|| of(Phase::Over)).map(|(at, _)| at)
    }

    /// The next that is to be asked.
    pub(crate) fn next_due(&mut self) -> Option<(usize, Life)> {
        let is_due = |(_, life): &(usize, Life)| life.phase == Phase::Due;
        let from = usize::from(self.next);
        let after = self.lost().filter(|(at, _)| *at >= from).find(is_due);
        let found = after.or_else(|| self.lost().find(is_due));
        if found.is_none() {
            self.recount();
        }
        found
    }

    /// Its turn is over.
    pub(crate) fn had_turn(&mut self, at: usize) {
        // A journal has no more records than that.
        self.next = at as u16 + 1;
    }

    /// A probe or an RST has left.
    pub(crate) fn spend_pace(&mut self, now: Millis) {
        let left = if self.pace.0 == now { self.pace.1 } else { PACE };
        self.pace = (now, left.saturating_sub(1));
    }

    /// Returns whether no more may leave in this millisecond.
    pub(crate) fn is_paced_out(&self, now: Millis) -> bool {
        self.pace == (now, 0)
    }

    #[inline]
    pub(crate) fn has_output(&self, now: Millis) -> bool {
        self.news > 0 || self.due > 0 && !self.is_down && !self.is_paced_out(now)
    }
}
