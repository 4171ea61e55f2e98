//! The reset journal: which pairs of endpoints have a connection, in memory that outlives a reset.
//!
//! A record is 16 words, whatever the build speaks, so that the next firmware reads what the last one wrote:
//!
//! | words | content |
//! |---|---|
//! | 0 | what it is: a mark, the layout's version, the record's length; 0 in a record that nobody uses |
//! | 1 | our port, the peer's port |
//! | 2 to 5, 6 to 9 | our address, the peer's; one of IPv4 as IPv6 writes it (RFC 4291 §2.5.5.2) |
//! | 10, 11 | the next hop's link address; a byte that is 1 where it is known; a zero byte |
//! | 12, 13 | SipHash-1-3 of the words before |
//! | 14, 15 | SND.NXT, and half of the SipHash of all words before: whether it holds is told apart from whether the pair does |
//!
//! Whatever mixture of two contents a cut leaves behind, the record reads as one of them, or as none; or as the pair that a cleared one had before, whose
//! peer then gets one segment more.

use core::sync::atomic::{AtomicU32, Ordering};

use siphasher::sip::SipHasher13;

use crate::keyed::sip_hash;
use crate::rules::verdict::Fate;
use crate::wire::addr::{Addr, LinkAddr, Tuple};
use crate::wire::seq::Seq;

/// Bytes of a record of a [`Journal`].
pub const JOURNAL_RECORD_LEN: usize = 4 * WORDS;
const WORDS: usize = 16;
/// The first of the check's words, and of the number's.
const CHECK: usize = 12;
const NUMBER: usize = 14;
/// Word 0: the mark, version 1, the length in words.
const HEAD: u32 = 0x4a52_0100 | WORDS as u32;
/// Not a secret: it tells what was written from what happens to lie in memory.
const CHECK_KEY: [u8; 16] = *b"reset journal 01";

/// Memory that outlives a reset, for [`crate::Tcp::keep_journal`]: which pairs of endpoints have a connection, and through whom. 72 bytes for each
/// of its `RECORDS`, [`JOURNAL_RECORD_LEN`] of them to be kept, and 4 more. It needs as many as the storage has connections, and should have twice as
/// many: lost peers keep their records for a minute or more after a restart, and a connection that begins meanwhile and finds none free is noted when one of
/// those is done with.
///
/// A static in a section that the startup code leaves alone, which cortex-m-rt calls `.uninit`, keeps its content over a reset, not over a power cut:
///
/// ```
/// use tcp_reset_core::Journal;
///
/// #[unsafe(link_section = ".uninit.JOURNAL")]
/// static JOURNAL: Journal<16> = Journal::new();
/// ```
///
/// Backup SRAM keeps it over a power cut as well; and where nothing does, [`Journal::take_changed`] says which record to copy into a flash or an
/// FRAM, and [`Journal::set_record`] puts them back at the next start. The memory must not stand behind a cache that writes back, nor begin elsewhere in
/// the next firmware; what is found there and is no record is ignored and counted.
///
/// One engine keeps a journal. Two over one spoil each other's records, and tell each other's peers.
#[repr(C)]
pub struct Journal<const RECORDS: usize> {
    records: [Record; RECORDS],
    lives: [AtomicLife; RECORDS],
    /// From where on a change is looked for.
    next: AtomicU32,
}

impl<const RECORDS: usize> Journal<RECORDS> {
    const FITS: () = assert!(RECORDS <= u16::MAX as usize);

    /// Makes an empty journal, in a constant if wished.
    #[allow(clippy::declare_interior_mutable_const, reason = "each use is a new one")]
    pub const fn new() -> Self {
        let () = Self::FITS;
        Journal {
            records: [const { Record::EMPTY }; RECORDS],
            lives: [const { AtomicLife::FREE }; RECORDS],
            next: AtomicU32::new(0),
        }
    }

    /// Returns a record's bytes; `None` beyond the last.
    pub fn record(&self, at: usize) -> Option<[u8; JOURNAL_RECORD_LEN]> {
        let record = self.records.get(at)?;
        let mut bytes = [0; JOURNAL_RECORD_LEN];
        for (to, word) in bytes.as_chunks_mut().0.iter_mut().zip(record.words()) {
            *to = word.to_ne_bytes();
        }
        Some(bytes)
    }

    /// Puts back a record that was kept elsewhere, before [`crate::Tcp::keep_journal`]. Any bytes will do: what is no record is found out there. Beyond the
    /// last this does nothing.
    pub fn set_record(&self, at: usize, bytes: &[u8; JOURNAL_RECORD_LEN]) {
        if let Some(record) = self.records.get(at) {
            for (word, from) in record.0.iter().zip(bytes.as_chunks().0) {
                word.store(u32::from_ne_bytes(*from), Ordering::Relaxed);
            }
        }
    }

    /// Returns a record that has changed since it was taken last, after [`crate::Tcp::keep_journal`] and not before: for who copies them elsewhere. Each
    /// has its turn, however often another changes. Looks at each record. To be called where the engine is, and not from an interrupt.
    pub fn take_changed(&self) -> Option<usize> {
        self.book().take_changed()
    }

    /// What was taken was not copied after all.
    #[cfg(feature = "embassy")]
    pub(crate) fn put_change_back(&self, at: usize) {
        let book = self.book();
        if at < book.len() {
            book.changed(at, book.life(at));
        }
    }

    /// For a storage that has as many records as the journal, or more.
    pub(crate) const fn fits_in<S: JournalStorage>() {
        assert!(RECORDS <= S::RECORDS, "the storage has fewer records than the journal");
    }

    /// Puts all records back that a storage has, before [`crate::Tcp::keep_journal`]. A storage with fewer records than the journal does not compile.
    ///
    /// # Errors
    /// The storage's, for the first record that it could not load; all others are put back.
    pub async fn restore<S: JournalStorage>(&self, storage: &mut S) -> Result<(), S::Error> {
        const { Self::fits_in::<S>() };
        let mut outcome = Ok(());
        for at in 0..RECORDS {
            match storage.load(at).await {
                Ok(Some(bytes)) => self.set_record(at, &bytes),
                Ok(None) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    pub(crate) fn book(&self) -> Book<'_> {
        Book { records: &self.records, lives: &self.lives, next: &self.next }
    }
}

/// Where a journal's records are copied to, if its memory does not outlive what the project must outlive: FRAM, EEPROM, flash. A storage that
/// is addressed like memory, as backup SRAM is, needs none: the journal lies in it.
///
/// For NOR flash there is one, `FlashJournal` (feature `journal-flash`). One of your own, for an FRAM on I²C with two bytes of address:
///
/// ```
/// use embedded_hal_async::i2c::{I2c, Operation};
/// use tcp_reset_core::{JOURNAL_RECORD_LEN, JournalStorage};
///
/// struct Fram<B>(B);
///
/// impl<B: I2c> JournalStorage for Fram<B> {
///     // 8 KiB.
///     const RECORDS: usize = 8_192 / JOURNAL_RECORD_LEN;
///     type Error = B::Error;
///
///     async fn load(&mut self, record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, B::Error> {
///         let mut bytes = [0; JOURNAL_RECORD_LEN];
///         self.0.write_read(0x50, &address(record), &mut bytes).await?;
///         Ok(Some(bytes))
///     }
///
///     async fn store(&mut self, record: usize, bytes: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), B::Error> {
///         self.0.transaction(0x50, &mut [Operation::Write(&address(record)), Operation::Write(bytes)]).await
///     }
/// }
///
/// fn address(record: usize) -> [u8; 2] {
///     ((record * JOURNAL_RECORD_LEN) as u16).to_be_bytes()
/// }
/// ```
///
/// A connection that is opened here is stored once or twice, one that is accepted once, and each once more when it ends. How often that is, peers decide.
/// `TcpStack::copy_journal` bounds it. A store that is cut short by the power may lose its record, but must leave the others.
#[allow(async_fn_in_trait, reason = "polled where it is called, on one core")]
pub trait JournalStorage {
    /// How many records it has. With a [`Journal`] that has more, [`Journal::restore`] and `TcpStack::copy_journal` do not compile.
    const RECORDS: usize;

    /// Why it could not.
    type Error;

    /// Reads what was stored last for a record; `None` if nothing was.
    ///
    /// # Errors
    /// The storage's own.
    async fn load(&mut self, record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, Self::Error>;

    /// Stores a record in the place of what was stored for it before.
    ///
    /// # Errors
    /// The storage's own.
    async fn store(&mut self, record: usize, bytes: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), Self::Error>;
}

/// A storage with as many records as the journal will do:
/// ```
/// # use core::pin::pin;
/// # use core::task::{Context, Waker};
/// # use tcp_reset_core::{JOURNAL_RECORD_LEN, Journal, JournalStorage};
/// # struct Small;
/// # impl JournalStorage for Small {
/// #     const RECORDS: usize = 8;
/// #     type Error = ();
/// #     async fn load(&mut self, _record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, ()> {
/// #         Ok(None)
/// #     }
/// #     async fn store(&mut self, _record: usize, _bytes: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), ()> {
/// #         Ok(())
/// #     }
/// # }
/// static JOURNAL: Journal<8> = Journal::new();
/// let _ = pin!(JOURNAL.restore(&mut Small)).poll(&mut Context::from_waker(Waker::noop()));
/// ```
/// One with fewer does not:
/// ```compile_fail
/// # use core::pin::pin;
/// # use core::task::{Context, Waker};
/// # use tcp_reset_core::{JOURNAL_RECORD_LEN, Journal, JournalStorage};
/// # struct Small;
/// # impl JournalStorage for Small {
/// #     const RECORDS: usize = 8;
/// #     type Error = ();
/// #     async fn load(&mut self, _record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, ()> {
/// #         Ok(None)
/// #     }
/// #     async fn store(&mut self, _record: usize, _bytes: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), ()> {
/// #         Ok(())
/// #     }
/// # }
/// static JOURNAL: Journal<9> = Journal::new();
/// let _ = pin!(JOURNAL.restore(&mut Small)).poll(&mut Context::from_waker(Waker::noop()));
/// ```
#[cfg(doctest)]
struct StorageOfFewerRecords;

impl<const RECORDS: usize> Default for Journal<RECORDS> {
    fn default() -> Self {
        Journal::new()
    }
}

/// What is remembered of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    pub(crate) tuple: Tuple,
    /// The next hop's, where it was known.
    pub(crate) link_addr: Option<LinkAddr>,
}

/// What a record was found to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Nothing,
    Pair(Pair),
    /// Garbage, half a record, another layout's, or a pair that cannot be.
    Invalid,
}

struct Record([AtomicU32; WORDS]);

impl Record {
    #[allow(clippy::declare_interior_mutable_const, reason = "each use is a new one")]
    const EMPTY: Record = Record([const { AtomicU32::new(0) }; WORDS]);

    fn words(&self) -> [u32; WORDS] {
        self.0.each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    fn find(&self) -> Found {
        let words = self.words();
        if words[0] == 0 {
            return Found::Nothing;
        }
        let is_whole = words[0] == HEAD && words[CHECK..NUMBER] == check(&words[..CHECK]);
        match pair_of(&words).filter(|_| is_whole) {
            Some(pair) => Found::Pair(pair),
            None => Found::Invalid,
        }
    }

    /// Invalid first, and valid last.
    fn write(&self, pair: &Pair) {
        let words = words_of(pair);
        self.clear();
        for (to, word) in self.0.iter().zip(words).skip(1) {
            to.store(word, Ordering::Relaxed);
        }
        self.0[0].store(words[0], Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0[0].store(0, Ordering::Relaxed);
    }

    fn number(&self) -> Option<Seq> {
        let words = self.words();
        let [number, its_check] = [words[NUMBER], words[NUMBER + 1]];
        (number_check(&words) == its_check).then_some(Seq(number))
    }

    fn set_number(&self, number: Seq) {
        let mut words = self.words();
        words[NUMBER] = number.0;
        self.0[NUMBER].store(number.0, Ordering::Relaxed);
        self.0[NUMBER + 1].store(number_check(&words), Ordering::Relaxed);
    }
}

fn words_of(pair: &Pair) -> [u32; WORDS] {
    let Pair { tuple, link_addr } = pair;
    let LinkAddr([a, b, c, d, e, f]) = link_addr.unwrap_or_default();
    let mut words = [0; WORDS];
    words[0] = HEAD;
    words[1] = u32::from(tuple.local_port) << 16 | u32::from(tuple.remote_port);
    words[2..6].copy_from_slice(&tuple.local_addr.as_v6_words());
    words[6..10].copy_from_slice(&tuple.remote_addr.as_v6_words());
    words[10] = u32::from_ne_bytes([a, b, c, d]);
    words[11] = u32::from_ne_bytes([e, f, u8::from(link_addr.is_some()), 0]);
    let [low, high] = check(&words[..CHECK]);
    (words[CHECK], words[CHECK + 1]) = (low, high);
    // No number is known.
    words[NUMBER + 1] = !number_check(&words);
    words
}

/// A pair that this build speaks and that can be.
fn pair_of(words: &[u32; WORDS]) -> Option<Pair> {
    let &[_, ports, ref rest @ ..] = words;
    let (local, rest) = rest.split_first_chunk()?;
    let (remote, rest) = rest.split_first_chunk()?;
    let &[first, second, ..] = rest else { return None };
    let tuple = Tuple {
        local_addr: Addr::from_v6_words(local)?,
        remote_addr: Addr::from_v6_words(remote)?,
        local_port: (ports >> 16) as u16,
        remote_port: ports as u16,
    };
    let is_of_one_family = tuple.local_addr.is_v4() == tuple.remote_addr.is_v4();
    let ([a, b, c, d], [e, f, is_known, _]) = (first.to_ne_bytes(), second.to_ne_bytes());
    // A group is nobody's next hop.
    let link_addr = (is_known == 1 && a & 1 == 0).then_some(LinkAddr([a, b, c, d, e, f]));
    (is_of_one_family && tuple.is_answerable()).then_some(Pair { tuple, link_addr })
}

/// Returns whether two copies of a record say the same. Of a record that nobody uses no more counts.
#[cfg(any(feature = "journal-flash", feature = "embassy"))]
pub(crate) fn is_same(one: &[u8; JOURNAL_RECORD_LEN], other: &[u8; JOURNAL_RECORD_LEN]) -> bool {
    one == other || is_unused(one) && is_unused(other)
}

/// Returns whether a copy of a record is of one that nobody uses.
#[cfg(any(feature = "journal-flash", feature = "embassy"))]
pub(crate) fn is_unused(bytes: &[u8; JOURNAL_RECORD_LEN]) -> bool {
    bytes[..4] == [0; 4]
}

fn hash(words: &[u32]) -> u64 {
    sip_hash(&SipHasher13::new_with_key(&CHECK_KEY), words)
}

fn check(words: &[u32]) -> [u32; 2] {
    let check = hash(words);
    [check as u32, (check >> 32) as u32]
}

fn number_check(words: &[u32; WORDS]) -> u32 {
    hash(&words[..=NUMBER]) as u32
}

/// Where the peer of a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// There is none.
    Free,
    /// A connection of this engine has it: the slot's number is in [`Life::at`].
    Live,
    /// It was lost, and our address is not known yet; until `at`, where that is counted.
    Waiting,
    /// It is to be asked now. What the device has not taken by `at` counts as an attempt.
    Due,
    /// It is to be asked when its next hop is known; the attempt ends at `at`.
    Parked,
    /// It was asked; the attempt ends at `at`.
    Asked,
    /// It is done with.
    Over,
}

bitflags::bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Notes: u16 {
        /// What is kept has changed.
        const CHANGED = 1 << 0;
        /// An RST has left that its own segment drew.
        const TOLD = 1 << 1;
        /// The RST at the number that was kept has left.
        const NUMBER_USED = 1 << 2;
        /// An event is to be told.
        const NEWS = 1 << 3;
        /// In [`Phase::Waiting`]: until `at`.
        const ARMED = 1 << 4;
        /// `at` is to be counted from the next time that is told.
        const UNTIMED = 1 << 5;
        /// This attempt is counted already, though its question has not left.
        const COUNTED = 1 << 6;
        /// Its next hop could not be asked for: too many are.
        const UNASKED = 1 << 7;
        /// The event was told while it is still asked.
        const ANNOUNCED = 1 << 8;
        /// In [`Phase::Waiting`]: for the longer of the two limits.
        const LONG = 1 << 9;
    }
}

/// What is known beside a record, in this run alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    pub(crate) fate: Fate,
    /// Attempts since the questions began, or began anew; no more than 7.
    pub(crate) tries: u8,
    /// How often they began anew; no more than 3.
    pub(crate) renewals: u8,
    /// With [`Notes::TOLD`]: how many attempts were over when the RST was drawn.
    pub(crate) told_after: u8,
    /// Questions that have left.
    pub(crate) sent: u8,
    pub(crate) notes: Notes,
    /// A deadline, in the milliseconds of records.
    pub(crate) at: u32,
}

impl Life {
    pub(crate) const FREE: Life = Life {
        phase: Phase::Free,
        fate: Fate::Forgotten,
        tries: 0,
        renewals: 0,
        told_after: 0,
        sent: 0,
        notes: Notes::empty(),
        at: 0,
    };

    pub(crate) fn has(&self, notes: Notes) -> bool {
        self.notes.contains(notes)
    }

    /// A lost peer that is not done with.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Due | Phase::Parked | Phase::Asked)
    }

    /// The same in another phase, with what was learned of the peer.
    pub(crate) fn in_phase(self, phase: Phase) -> Life {
        let kept = Notes::CHANGED | Notes::TOLD | Notes::NUMBER_USED | Notes::NEWS | Notes::ANNOUNCED;
        Life { phase, notes: self.notes & kept, ..self }
    }

    /// A lost peer for whom time counts.
    pub(crate) fn is_timed(&self) -> bool {
        match self.phase {
            Phase::Due | Phase::Parked | Phase::Asked => true,
            Phase::Waiting => self.notes.intersects(Notes::ARMED | Notes::UNTIMED),
            Phase::Free | Phase::Live | Phase::Over => false,
        }
    }
}

struct AtomicLife([AtomicU32; 2]);

impl AtomicLife {
    #[allow(clippy::declare_interior_mutable_const, reason = "each use is a new one")]
    const FREE: AtomicLife = AtomicLife([const { AtomicU32::new(0) }; 2]);

    fn load(&self) -> Life {
        let word = self.0[0].load(Ordering::Relaxed);
        let part = |shift: u32, bits: u32| (word >> shift & ((1 << bits) - 1)) as u8;
        let phase = match part(0, 3) {
            1 => Phase::Live,
            2 => Phase::Waiting,
            3 => Phase::Due,
            4 => Phase::Parked,
            5 => Phase::Asked,
            6 => Phase::Over,
            _ => Phase::Free,
        };
        Life {
            phase,
            fate: Fate::ALL.get(usize::from(part(3, 2))).copied().unwrap_or(Fate::Forgotten),
            tries: part(5, 3),
            renewals: part(8, 2),
            told_after: part(10, 3),
            sent: part(13, 8),
            notes: Notes::from_bits_truncate((word >> 21) as u16),
            at: self.0[1].load(Ordering::Relaxed),
        }
    }

    fn store(&self, life: Life) {
        let Life { phase, fate, tries, renewals, told_after, sent, notes, at } = life;
        debug_assert!(tries < 8 && renewals < 4 && told_after < 8, "as many bits as they have");
        let small = phase as u32 | (fate as u32) << 3 | u32::from(tries) << 5 | u32::from(renewals) << 8;
        let word = small | u32::from(told_after) << 10 | u32::from(sent) << 13 | u32::from(notes.bits()) << 21;
        self.0[1].store(at, Ordering::Relaxed);
        self.0[0].store(word, Ordering::Relaxed);
    }
}

/// A journal without its size. An engine that keeps none has an empty one.
#[derive(Clone, Copy)]
pub(crate) struct Book<'s> {
    records: &'s [Record],
    lives: &'s [AtomicLife],
    next: &'s AtomicU32,
}

impl<'s> Book<'s> {
    pub(crate) const fn none(next: &'s AtomicU32) -> Book<'s> {
        Book { records: &[], lives: &[], next }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_same(&self, other: &Book<'_>) -> bool {
        core::ptr::eq(self.next, other.next)
    }

    pub(crate) fn find(&self, at: usize) -> Found {
        self.records[at].find()
    }

    /// The pair of a record that is in use, or was.
    pub(crate) fn pair(&self, at: usize) -> Option<Pair> {
        pair_of(&self.records[at].words())
    }

    pub(crate) fn number(&self, at: usize) -> Option<Seq> {
        self.records[at].number()
    }

    pub(crate) fn life(&self, at: usize) -> Life {
        self.lives[at].load()
    }

    /// All of them.
    pub(crate) fn lives(&self) -> impl Iterator<Item = (usize, Life)> {
        self.lives.iter().map(AtomicLife::load).enumerate()
    }

    pub(crate) fn set_life(&self, at: usize, life: Life) {
        self.lives[at].store(life);
    }

    /// Writes a record. What is known beside it is written after it: a RAM with an error-correcting code may hold a write back until the next.
    pub(crate) fn write(&self, at: usize, pair: &Pair, life: Life) {
        self.records[at].write(pair);
        self.changed(at, life);
    }

    /// Clears a record. What it held can still be read by [`Book::pair`].
    pub(crate) fn clear(&self, at: usize, life: Life) {
        self.records[at].clear();
        self.changed(at, life);
    }

    pub(crate) fn set_number(&self, at: usize, number: Seq) {
        if self.number(at) != Some(number) {
            self.records[at].set_number(number);
            self.changed(at, self.life(at));
        }
    }

    fn changed(&self, at: usize, life: Life) {
        self.set_life(at, Life { notes: life.notes | Notes::CHANGED, ..life });
    }

    fn take_changed(&self) -> Option<usize> {
        let from = self.next.load(Ordering::Relaxed) as usize;
        let has_changed = |(_, life): &(usize, Life)| life.has(Notes::CHANGED);
        let after = self.lives().filter(|(at, _)| *at >= from).find(has_changed);
        let (at, life) = after.or_else(|| self.lives().find(has_changed))?;
        // No more than u16 has.
        self.next.store(at as u32 + 1, Ordering::Relaxed);
        self.set_life(at, Life { notes: life.notes - Notes::CHANGED, ..life });
        Some(at)
    }
}
