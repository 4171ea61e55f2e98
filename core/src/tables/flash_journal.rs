//! A [`JournalStorage`] in NOR flash: a log in a ring of pages.
//!
//! A page begins with a header, and each entry is appended after the last. Both are padded to units, so that no word is programmed twice
//! between two erases. Numbers are little-endian.
//!
//! | bytes of the header | content |
//! |---|---|
//! | 0 to 3 | a mark, and the layout's version |
//! | 4 to 7 | the page's number: one more than that of the page opened before it |
//! | 8 to 15 | SipHash-1-3 of these, of the page size, the unit and the number of pages |
//!
//! | bytes of an entry | content |
//! |---|---|
//! | 0 | 1 for a record, 2 for one that nobody uses; and 4, or 8 if it was copied from the oldest page |
//! | 1 | the top bits of the record's bytes 0, 8, 16 to 56, the lowest first; 0 without a record |
//! | 2, 3 | the record's number |
//! | 4 to 7 | half of the SipHash-1-3 of the bytes before these and of the record |
//! | 8 to 71 | the record, if it is in use; the top bits of its bytes 0, 8, 16 to 56 are set |
//!
//! Entries are found by reading unit by unit, so a record must not be read as an entry where the entry around it was cut: a peer chooses a part of
//! the record, its interface identifier for example, and the key of the check is public. Programming clears bits and sets none. So whatever
//! a cut leaves of a record, each multiple of eight bytes begins with a set bit, which an entry never begins with. The rest of a cut entry is
//! passed over, and what is appended in it is not read as its record. No first byte of an entry becomes another kind's by bits that were not cleared.
//!
//! The page with the highest number is the active one. The page after it is the oldest, and is the next to be erased. Nothing is stored before all
//! entries that are the newest of their record were copied out of the oldest page. So nothing depends on what that page holds while it is erased: `NorFlash`
//! promises nothing about a page whose erase was cut short. That is why this is no map of sequential-storage 8.0, which tells from marks in the
//! page itself whether it is erased, in use or full, and so loses records, or finds old ones, unless the erase ran from its beginning.

use core::fmt;
use core::hash::Hasher;
use core::num::NonZeroU32;
use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use siphasher::sip::SipHasher13;

use crate::tables::journal::{JOURNAL_RECORD_LEN, JournalStorage, is_same, is_unused};

const MARK: [u8; 4] = *b"JRF\x02";
const HEADER_LEN: usize = 16;
const ENTRY_HEAD_LEN: usize = 8;
/// Kinds of entries. None has all bits of another.
const NEW: u8 = 4;
const COPIED: u8 = 8;
const IN_USE: u8 = 1;
const UNUSED: u8 = 2;
/// Set in the first byte of each [`LEAST_UNIT`] of a record, clear in that of an entry.
const NO_ENTRY: u8 = 0x80;
/// What is programmed at once is a multiple of this, or of the flash's word where that is larger.
const LEAST_UNIT: usize = 8;
/// The largest unit: the page buffer of a serial NOR flash.
const LARGEST_UNIT: usize = 256;
/// Not a secret, as that of the journal's records.
const CHECK_KEY: [u8; 16] = *b"journal in flash";
const ERASED: u8 = 0xff;

type Record = [u8; JOURNAL_RECORD_LEN];

const _: () = assert!(JOURNAL_RECORD_LEN == LEAST_UNIT * u8::BITS as usize, "one byte has the top bits");

/// A [`JournalStorage`] in a range of a NOR flash, for a [`crate::Journal`] of as many `RECORDS`: a serial flash, or the chip's own where that
/// survives a cut (see below), by any driver of embedded-storage-async. It takes 4 bytes of RAM for each record and some 300 more.
///
/// ```
/// use embassy_time::{Duration, Timer};
/// use embedded_storage_async::nor_flash::NorFlash;
/// use tcp_reset_core::embassy::TcpStack;
/// use tcp_reset_core::{FlashJournal, FlashRangeError, Journal};
///
/// // For 8 connections.
/// static JOURNAL: Journal<16> = Journal::new();
/// // The flash endures 100,000 erases of each page.
/// const LEAST: Duration = Duration::from_secs(10);
///
/// /// In a task of its own.
/// async fn keep_journal<F: NorFlash>(tcp: TcpStack, flash: F) -> Result<(), FlashRangeError> {
///     // The last 32 KiB of 2 MiB.
///     let mut storage = FlashJournal::<_, 16>::new(flash, 0x1f_8000..0x20_0000)?;
///     // After an error the peers of the records that could be read are told.
///     let _ = JOURNAL.restore(&mut storage).await;
///     tcp.keep_journal(&JOURNAL).expect("as many records as connections");
///     loop {
///         let Err(_error) = tcp.copy_journal(&JOURNAL, &mut storage, LEAST).await;
///         Timer::after_secs(1).await;
///     }
/// }
/// ```
///
/// embassy-embedded-hal makes such a driver of one that blocks (`BlockingAsync`), and shares a flash with others (`Partition`).
///
/// # Power cuts
/// After a cut at any moment each record reads as it was, and the one that was being stored as before or as after, whatever is left of the bytes that
/// were being programmed and of the page that was being erased.
///
/// A word that cannot be read costs what lies in it: a record reads as it was stored before, or as none; where a page's header lies there, that holds for all
/// records of the page. The word is passed over until its page is erased. A flash of which nothing can be read is an error.
///
/// A word with an error-correcting code may not be readable after its programming was cut, and then the driver must return an error. Chips' own flashes
/// trap instead when the CPU reads such a word: the STM32H7 by a bus fault; the STM32G0, G4, H5, L4, L5, U5, WB and others by an NMI. embassy-stm32 0.6 reads the flash by
/// a plain copy, so that the device may trap at each start until the page is erased from outside. The chip's own flash is fit only if it has no
/// such code, or if its driver and the handler of the exception survive that. A serial NOR flash that is read by commands over its bus does not trap.
///
/// A range that holds anything but a journal, or one of another length, holds no record, and its pages are erased one by one as they are needed. A journal
/// with another number of `RECORDS` is read.
///
/// # Wear
/// A record takes 72 bytes. One that nobody uses any more takes 8, and one that has not changed takes none. Each is padded to whole words if these are
/// larger than 8 bytes. A full page is left for the oldest one, which is erased after the entries that still count were copied out of it. So all pages
/// are erased equally often.
///
/// A connection that a peer opens is stored once, and once more when it ends. One that is opened here is stored once more than that if the link-layer
/// address of the next hop was not known at first. With `FlashJournal<_, 16>`, and 1,000 connections one after the other, of which each is stored at once,
/// a connection costs so many bytes, and all of them so many erases of a page:
///
/// | words | pages | opened by the peer | opened here |
/// |---|---|---|---|
/// | 1 to 8 bytes | 2 of 4 KiB, the smallest range | 81 bytes, 20 erases | 155 bytes, 39 erases |
/// | 1 to 8 bytes | 8 of 4 KiB | 80 bytes, 20 erases | 152 bytes, 38 erases |
/// | 1 to 8 bytes | 15 of 256 bytes, the smallest range | 85 bytes, 334 erases | 162 bytes, 667 erases |
/// | 32 bytes | 2 of 128 KiB, the smallest range | 128 bytes, 1 erase | 224 bytes, 2 erases |
///
/// Peers decide how many connections there are, so the least interval between two stores (`least` of `TcpStack::copy_journal`) decides how long the flash
/// lasts at worst. 8 pages of 4 KiB, 16 records and words of 1 to 8 bytes have room for 53 stores between two erases of a page at least, whatever changes:
///
/// | `least` | stores a day | erases a day, of 8 pages | 10,000 erases of each page last | 100,000 last | a record waits at most |
/// |---|---|---|---|---|---|
/// | 10 s | 8,640 | 163 | 1.3 years | 13 years | 160 s |
/// | 75 s | 1,152 | 22 | 10 years | 100 years | 20 minutes |
///
/// 10 s are right for most serial NOR flashes, whose pages endure 100,000 erases, and 75 s for pages that endure 10,000. Twice the pages last twice as long.
/// Each start of the device allows as many stores as there are records on top of that. Only while peers use up the stores does a record wait. What has
/// changed meanwhile is not there after a power cut: a connection that has begun is not known, and a peer whose connection has ended is asked in vain.
///
/// # Time
/// The first call reads the range. A call that stores programs one entry; where the page is full it erases one first, which takes tens to hundreds of
/// milliseconds for 4 KiB and seconds for 128 KiB, and copies. It erases several only after a cut, and where a page has no room for all records and one
/// more, which 4 KiB have for 55. `copy_journal` runs in a task of its own, so no segment waits for that, unless the driver blocks: then every task of
/// its executor waits, and the whole core where it runs from the flash that is erased.
pub struct FlashJournal<F, const RECORDS: usize> {
    flash: F,
    /// Where the range begins in the flash. All other places are counted from there.
    start: u32,
    pub(crate) pages: u32,
    /// What follows is what the flash holds. While that changes it is not, so that an error, or a future that is dropped, has it read again.
    is_known: bool,
    /// The page that entries are appended to, and its number; 0 where no page has one.
    active: u32,
    number: u32,
    /// The active page holds an entry that is no copy: all that counts in the oldest page was copied before it.
    is_copied: bool,
    /// Where the next entry goes in the active page.
    free: u32,
    /// Where the newest entry of each record is. Place 0 is a header's.
    newest: [Option<NonZeroU32>; RECORDS],
    buffer: Buffer,
}

/// Drivers with DMA ask for whole words.
#[repr(align(4))]
struct Buffer([u8; LARGEST_UNIT]);

/// Why a range of a flash cannot hold a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FlashRangeError {
    /// The flash reads or programs words that no multiple of 8 bytes up to 256 is made of, or that its pages are not made of.
    UnsupportedWord,
    /// A page (`ERASE_SIZE`) has no room for two records.
    PageTooSmall,
    /// The range ends before it begins, or beyond the flash.
    OutOfBounds,
    /// The range does not begin or does not end where a page does.
    Misaligned,
    /// The range has fewer pages than [`FlashJournal::MIN_PAGES`], which is this.
    TooFewPages(u32),
}

/// Why a [`FlashJournal`] could not load or store a record. It can be used again, also where a store has failed halfway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FlashJournalError<E> {
    /// The flash's own.
    Flash(E),
    /// The record's number is not below `RECORDS`.
    NoSuchRecord,
    /// A page still holds something after it was erased: it is worn out, or write-protected.
    NotErased,
}

/// An entry that was read: whose it is, and the record, if it is in use.
struct Entry<'b> {
    record: u16,
    is_copy: bool,
    content: Option<&'b Record>,
}

impl<F: NorFlash, const RECORDS: usize> FlashJournal<F, RECORDS> {
    const UNIT: u32 = {
        let word = if F::READ_SIZE > F::WRITE_SIZE { F::READ_SIZE } else { F::WRITE_SIZE };
        (if word > LEAST_UNIT { word } else { LEAST_UNIT }) as u32
    };
    const PAGE_LEN: u32 = F::ERASE_SIZE as u32;
    const HEADER_LEN: u32 = Self::padded(HEADER_LEN);
    const UNUSED_LEN: u32 = Self::padded(ENTRY_HEAD_LEN);
    const ENTRY_LEN: u32 = Self::padded(ENTRY_HEAD_LEN + JOURNAL_RECORD_LEN);
    /// Bytes for entries in a page that is left because one more has no room.
    const FILLED: u32 = Self::PAGE_LEN.saturating_sub(Self::HEADER_LEN + Self::ENTRY_LEN);
    const FITS: () = assert!(RECORDS <= u16::MAX as usize);

    /// The fewest pages that `RECORDS` need: two, and more where pages are so small that the records would take more than half of those.
    pub const MIN_PAGES: u32 = {
        let filled = if Self::FILLED == 0 { 1 } else { Self::FILLED };
        let pages = (2 * RECORDS as u32 * Self::ENTRY_LEN).div_ceil(filled);
        if pages == 0 { 2 } else { 1 + pages }
    };

    /// Makes a storage of a range of a flash, in bytes from the flash's beginning. Neither reads nor writes it.
    ///
    /// # Errors
    /// What is wrong with the range, or with the flash.
    pub fn new(flash: F, range: Range<u32>) -> Result<Self, FlashRangeError> {
        let () = Self::FITS;
        Self::check_flash()?;
        let Range { start, end } = range;
        if end < start || end as usize > flash.capacity() {
            return Err(FlashRangeError::OutOfBounds);
        }
        if !start.is_multiple_of(Self::PAGE_LEN) || !end.is_multiple_of(Self::PAGE_LEN) {
            return Err(FlashRangeError::Misaligned);
        }
        let pages = (end - start) / Self::PAGE_LEN;
        if pages < Self::MIN_PAGES {
            return Err(FlashRangeError::TooFewPages(Self::MIN_PAGES));
        }
        Ok(FlashJournal {
            flash,
            start,
            pages,
            is_known: false,
            active: 0,
            number: 0,
            is_copied: false,
            free: 0,
            newest: [None; RECORDS],
            buffer: Buffer([ERASED; LARGEST_UNIT]),
        })
    }

    /// Returns the flash.
    pub fn into_inner(self) -> F {
        self.flash
    }

    const fn padded(len: usize) -> u32 {
        (len as u32).next_multiple_of(Self::UNIT)
    }

    fn check_flash() -> Result<(), FlashRangeError> {
        let unit = Self::UNIT as usize;
        let has_words = [F::READ_SIZE, F::WRITE_SIZE].iter().all(|word| *word > 0 && unit.is_multiple_of(*word));
        if !has_words || unit > LARGEST_UNIT || !F::ERASE_SIZE.is_multiple_of(unit) {
            return Err(FlashRangeError::UnsupportedWord);
        }
        if Self::FILLED < Self::ENTRY_LEN { Err(FlashRangeError::PageTooSmall) } else { Ok(()) }
    }
}

impl<F: NorFlash, const RECORDS: usize> JournalStorage for FlashJournal<F, RECORDS> {
    const RECORDS: usize = RECORDS;
    type Error = FlashJournalError<F::Error>;

    async fn load(&mut self, record: usize) -> Result<Option<Record>, Self::Error> {
        if record >= RECORDS {
            return Err(FlashJournalError::NoSuchRecord);
        }
        self.read_log().await?;
        self.newest_of(record).await
    }

    async fn store(&mut self, record: usize, bytes: &Record) -> Result<(), Self::Error> {
        if self.load(record).await?.is_some_and(|stored| is_same(&stored, bytes)) {
            return Ok(());
        }
        self.is_known = false;
        self.make_room(Self::entry_len(bytes)).await?;
        self.append(record, bytes, false).await?;
        self.is_known = true;
        Ok(())
    }
}

/// What is done to the flash.
impl<F: NorFlash, const RECORDS: usize> FlashJournal<F, RECORDS> {
    /// Opens pages until the active one has room.
    ///
    /// Each page opened on the way is left because its copies leave no room for one more entry. As the records take no more than half of so many pages
    /// ([`Self::MIN_PAGES`]), that ends before the ring is through; one more page may be copied again.
    async fn make_room(&mut self, len: u32) -> Result<(), FlashJournalError<F::Error>> {
        for _ in 0..=self.pages {
            if !self.copy_oldest().await? {
                self.erase(self.active).await?;
                self.find_log().await?;
            } else if self.has_room(len) {
                return Ok(());
            } else {
                self.open_next().await?;
            }
        }
        Err(FlashJournalError::NotErased)
    }

    /// Copies the newest entries of the oldest page to the active one. Returns whether there was room for them: none is left where copying was cut short
    /// so often that half-written entries fill the page. It has nothing but copies then.
    async fn copy_oldest(&mut self) -> Result<bool, FlashJournalError<F::Error>> {
        if self.is_copied {
            return Ok(true);
        }
        let oldest = self.next_page();
        for record in 0..RECORDS {
            if self.newest[record].is_none_or(|at| at.get() / Self::PAGE_LEN != oldest) {
                continue;
            }
            let Some(bytes) = self.newest_of(record).await? else { continue };
            if !self.has_room(Self::entry_len(&bytes)) {
                return Ok(false);
            }
            self.append(record, &bytes, true).await?;
        }
        Ok(true)
    }

    /// Makes the oldest page the active one. Whatever a cut leaves of it, no entry in it was the newest of its record.
    async fn open_next(&mut self) -> Result<(), FlashJournalError<F::Error>> {
        let (page, number) = (self.next_page(), self.number.wrapping_add(1));
        self.erase(page).await?;
        let header = self.header(number);
        let len = Self::HEADER_LEN as usize;
        self.buffer.0[..len].fill(ERASED);
        self.buffer.0[..HEADER_LEN].copy_from_slice(&header);
        let at = page * Self::PAGE_LEN;
        self.flash.write(self.start + at, &self.buffer.0[..len]).await.map_err(FlashJournalError::Flash)?;
        (self.active, self.number, self.is_copied, self.free) = (page, number, false, at + Self::HEADER_LEN);
        Ok(())
    }

    async fn erase(&mut self, page: u32) -> Result<(), FlashJournalError<F::Error>> {
        let (from, to) = (page * Self::PAGE_LEN, (page + 1) * Self::PAGE_LEN);
        for newest in &mut self.newest {
            *newest = newest.filter(|at| at.get() / Self::PAGE_LEN != page);
        }
        self.flash.erase(self.start + from, self.start + to).await.map_err(FlashJournalError::Flash)?;
        match self.find_written(from, to).await? {
            Some(_) => Err(FlashJournalError::NotErased),
            None => Ok(()),
        }
    }

    async fn append(
        &mut self,
        record: usize,
        bytes: &Record,
        is_copy: bool,
    ) -> Result<(), FlashJournalError<F::Error>> {
        let (at, len) = (self.free, Self::entry_len(bytes));
        let content = Some(bytes).filter(|bytes| !is_unused(bytes));
        let entry = &mut self.buffer.0[..len as usize];
        entry.fill(ERASED);
        write_entry(entry, Entry { record: record as u16, is_copy, content });
        self.flash.write(self.start + at, entry).await.map_err(FlashJournalError::Flash)?;
        self.free += len;
        self.is_copied |= !is_copy;
        self.newest[record] = NonZeroU32::new(at);
        Ok(())
    }
}

/// What is read from it.
impl<F: NorFlash, const RECORDS: usize> FlashJournal<F, RECORDS> {
    /// Finds out what the flash holds, unless that is known.
    async fn read_log(&mut self) -> Result<(), FlashJournalError<F::Error>> {
        if !self.is_known {
            self.find_log().await?;
            self.is_known = true;
        }
        Ok(())
    }

    /// Reads all pages, the oldest first, so that the last entry found of a record is its newest.
    async fn find_log(&mut self) -> Result<(), FlashJournalError<F::Error>> {
        self.newest = [None; RECORDS];
        // Where no page has a header: all are full, and the first is the next.
        (self.active, self.number, self.is_copied) = (self.pages - 1, 0, false);
        self.free = self.pages * Self::PAGE_LEN;
        for page in 0..self.pages {
            // Numbers do not wrap: no flash endures 2^32 erases.
            if let Some(number) = self.read_header(page).await?.filter(|number| *number > self.number) {
                (self.active, self.number) = (page, number);
            }
        }
        for distance in (0..self.pages).rev() {
            let page = (self.active + self.pages - distance) % self.pages;
            if self.read_header(page).await?.is_some() {
                self.read_page(page).await?;
            }
        }
        Ok(())
    }

    /// Finds the entries of a page, and its free part after the last unit that is not erased. Half-written entries, and units that cannot be read,
    /// are passed over unit by unit.
    async fn read_page(&mut self, page: u32) -> Result<(), FlashJournalError<F::Error>> {
        let (mut at, end) = (page * Self::PAGE_LEN + Self::HEADER_LEN, (page + 1) * Self::PAGE_LEN);
        (self.is_copied, self.free) = (false, at);
        while let Some(written) = self.find_written(at, end).await? {
            at = written + Self::UNIT;
            if let Some(Entry { record, is_copy, content }) = self.read_entry(written).await? {
                at = written + if content.is_some() { Self::ENTRY_LEN } else { Self::UNUSED_LEN };
                self.is_copied |= !is_copy;
                if let Some(newest) = self.newest.get_mut(usize::from(record)) {
                    *newest = NonZeroU32::new(written);
                }
            }
            self.free = at;
        }
        Ok(())
    }

    /// Finds the first unit that is not erased. Units that cannot be read count as not erased, and so do those that were read along with one: nothing
    /// before an unreadable unit is free anyway.
    async fn find_written(&mut self, from: u32, end: u32) -> Result<Option<u32>, FlashJournalError<F::Error>> {
        // Mostly it is the first.
        let (mut at, mut len) = (from, Self::UNIT);
        while at < end {
            let Some(bytes) = self.read(at, len.min(end - at)).await? else { return Ok(Some(at)) };
            if let Some(written) = bytes.iter().position(|byte| *byte != ERASED) {
                return Ok(Some(at + written as u32 / Self::UNIT * Self::UNIT));
            }
            at += len;
            len = LARGEST_UNIT as u32 / Self::UNIT * Self::UNIT;
        }
        Ok(None)
    }

    async fn newest_of(&mut self, record: usize) -> Result<Option<Record>, FlashJournalError<F::Error>> {
        let Some(at) = self.newest[record] else { return Ok(None) };
        let entry = self.read_entry(at.get()).await?;
        Ok(entry.map(|entry| entry.content.copied().unwrap_or([0; JOURNAL_RECORD_LEN])))
    }

    async fn read_entry(&mut self, at: u32) -> Result<Option<Entry<'_>>, FlashJournalError<F::Error>> {
        let len = Self::ENTRY_LEN.min((at / Self::PAGE_LEN + 1) * Self::PAGE_LEN - at);
        let is_readable = self.read(at, len).await?.is_some();
        // An entry without a record is whole in its first unit, whatever lies behind it.
        let bytes =
            if is_readable { Some(&mut self.buffer.0[..len as usize]) } else { self.read(at, Self::UNIT).await? };
        Ok(bytes.and_then(entry_of))
    }

    /// Reads a page's number, if the page was opened and is of this layout.
    async fn read_header(&mut self, page: u32) -> Result<Option<u32>, FlashJournalError<F::Error>> {
        let Some(bytes) = self.read(page * Self::PAGE_LEN, Self::HEADER_LEN).await? else { return Ok(None) };
        let Some(&found) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let [_, _, _, _, a, b, c, d, ..] = found;
        let number = u32::from_le_bytes([a, b, c, d]);
        Ok(Some(number).filter(|number| self.header(*number) == found))
    }

    /// Reads units; `None` where one of them cannot be read, though the flash can: its error-correcting code does not hold, as after a cut.
    async fn read(&mut self, at: u32, len: u32) -> Result<Option<&mut [u8]>, FlashJournalError<F::Error>> {
        if let Err(error) = self.try_read(at, len).await {
            if !self.is_readable().await {
                return Err(FlashJournalError::Flash(error));
            }
            if self.try_read(at, len).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(&mut self.buffer.0[..len as usize]))
    }

    /// Returns whether there is a page whose first or last unit can be read.
    async fn is_readable(&mut self) -> bool {
        for page in 0..self.pages {
            let at = page * Self::PAGE_LEN;
            for at in [at, at + Self::PAGE_LEN - Self::UNIT] {
                if self.try_read(at, Self::UNIT).await.is_ok() {
                    return true;
                }
            }
        }
        false
    }

    async fn try_read(&mut self, at: u32, len: u32) -> Result<(), F::Error> {
        self.flash.read(self.start + at, &mut self.buffer.0[..len as usize]).await
    }

    fn header(&self, number: u32) -> [u8; HEADER_LEN] {
        let mut sizes = [0; 12];
        for (to, size) in sizes.as_chunks_mut().0.iter_mut().zip([Self::PAGE_LEN, Self::UNIT, self.pages]) {
            *to = size.to_le_bytes();
        }
        let mut header = [0; HEADER_LEN];
        header[..4].copy_from_slice(&MARK);
        header[4..8].copy_from_slice(&number.to_le_bytes());
        let check = hash(&header[..8], &sizes);
        header[8..].copy_from_slice(&check.to_le_bytes());
        header
    }

    /// The page after the active one: the oldest, once all were opened.
    fn next_page(&self) -> u32 {
        (self.active + 1) % self.pages
    }

    fn has_room(&self, len: u32) -> bool {
        self.free + len <= (self.active + 1) * Self::PAGE_LEN
    }

    fn entry_len(bytes: &Record) -> u32 {
        if is_unused(bytes) { Self::UNUSED_LEN } else { Self::ENTRY_LEN }
    }
}

/// Fills the beginning of a buffer that has room.
fn write_entry(buffer: &mut [u8], entry: Entry<'_>) {
    let [low, high] = entry.record.to_le_bytes();
    let kind = if entry.content.is_some() { IN_USE } else { UNUSED } | if entry.is_copy { COPIED } else { NEW };
    let head = [kind, entry.content.map_or(0, top_bits), low, high];
    buffer[..4].copy_from_slice(&head);
    buffer[4..ENTRY_HEAD_LEN].copy_from_slice(&check(head, entry.content));
    if let Some(content) = entry.content {
        let to = &mut buffer[ENTRY_HEAD_LEN..][..JOURNAL_RECORD_LEN];
        to.copy_from_slice(content);
        to.iter_mut().step_by(LEAST_UNIT).for_each(|byte| *byte |= NO_ENTRY);
    }
}

/// Reads an entry, whose record is put right where it lies.
fn entry_of(bytes: &mut [u8]) -> Option<Entry<'_>> {
    let (&mut [kind, tops, low, high, a, b, c, d], rest) = bytes.split_first_chunk_mut::<ENTRY_HEAD_LEN>()?;
    let is_copy = kind & COPIED != 0;
    let content = match kind ^ if is_copy { COPIED } else { NEW } {
        IN_USE => {
            let record = rest.first_chunk_mut::<JOURNAL_RECORD_LEN>()?;
            if top_bits(record) != u8::MAX {
                return None;
            }
            for (at, byte) in record.iter_mut().step_by(LEAST_UNIT).enumerate() {
                *byte ^= if tops >> at & 1 == 0 { NO_ENTRY } else { 0 };
            }
            Some(&*record)
        }
        UNUSED => None,
        _ => return None,
    };
    let is_whole = check([kind, tops, low, high], content) == [a, b, c, d];
    is_whole.then_some(Entry { record: u16::from_le_bytes([low, high]), is_copy, content })
}

/// Returns the bit of each [`LEAST_UNIT`] that tells it from an entry, the first as the lowest.
fn top_bits(record: &Record) -> u8 {
    let bytes = record.iter().step_by(LEAST_UNIT).enumerate();
    bytes.fold(0, |bits, (at, byte)| bits | u8::from(byte & NO_ENTRY != 0) << at)
}

fn check(head: [u8; 4], content: Option<&Record>) -> [u8; 4] {
    (hash(&head, content.map_or(&[], |content| &content[..])) as u32).to_le_bytes()
}

#[inline(never)]
fn hash(bytes: &[u8], more: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&CHECK_KEY);
    hasher.write(bytes);
    hasher.write(more);
    hasher.finish()
}

impl fmt::Display for FlashRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlashRangeError::UnsupportedWord => {
                "the flash's words do not fit units of 8 to 256 bytes, or those its pages"
            }
            FlashRangeError::PageTooSmall => "a page of the flash has no room for two records",
            FlashRangeError::OutOfBounds => "the range ends before it begins, or beyond the flash",
            FlashRangeError::Misaligned => "the range must begin and end where a page does",
            FlashRangeError::TooFewPages(needed) => return write!(f, "the range must have {needed} pages"),
        })
    }
}

impl core::error::Error for FlashRangeError {}

impl<E: fmt::Debug> fmt::Display for FlashJournalError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlashJournalError::Flash(error) => write!(f, "the flash failed: {error:?}"),
            FlashJournalError::NoSuchRecord => f.write_str("the storage has fewer records than the journal"),
            FlashJournalError::NotErased => f.write_str("a page still holds something after it was erased"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for FlashJournalError<E> {}
