//! A NOR flash in memory that loses power where a test says: after any byte programmed, and inside an erase. Its words may have an
//! error-correcting code that a cut breaks.

use std::collections::BTreeSet;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

const ERASED: u8 = 0xff;

/// What an erase that was cut leaves, as far as it came. `NorFlash` promises nothing, and flashes differ: most program all bits first, then raise
/// them all at once.
const CUT_ERASES: [fn(&mut [u8], usize); 6] = [
    |page, done| page[..done].fill(ERASED),
    |page, done| {
        let from = page.len() - done;
        page[from..].fill(ERASED);
    },
    |page, done| {
        let from = (page.len() - done) / 2;
        page[from..from + done].fill(ERASED);
    },
    |page, done| {
        // Both ends, and nothing between.
        let (half, len) = (done / 2, page.len());
        page[..half].fill(ERASED);
        page[len - half..].fill(ERASED);
    },
    |page, done| page[..done].fill(0),
    |page, done| {
        let mut random = Random(done as u64);
        let limit = (256 * done / page.len()) as u8;
        for byte in page {
            for bit in 0..8 {
                *byte |= u8::from(random.byte() < limit) << bit;
            }
        }
    },
];
/// How far each of them came: so many eighths of the page, but none and all of them.
const PARTS: usize = 8;
/// How many ways there are to cut one erase.
pub(crate) const ERASE_CUTS: u64 = (CUT_ERASES.len() * (PARTS - 1)) as u64;

/// Reads words of `READ` bytes, programs words of `WRITE` once between two erases, erases pages of `PAGE`.
#[derive(Clone)]
pub(crate) struct Nor<const READ: usize, const WRITE: usize, const PAGE: usize> {
    pub(crate) bytes: Vec<u8>,
    /// The power goes when as many steps are done: each byte programmed is one, each erase is [`ERASE_CUTS`].
    pub(crate) power: Option<u64>,
    pub(crate) torn: Torn,
    pub(crate) steps: u64,
    /// What fails, or stays pending for once, after half of it is done: counted down.
    pub(crate) fails_in: Option<u64>,
    pub(crate) hangs_in: Option<u64>,
    /// From then on every read fails: counted down.
    pub(crate) reads_fail_in: Option<u64>,
    /// Words whose reads fail until they are erased, by the number of the word.
    pub(crate) unreadable: BTreeSet<usize>,
    /// Erases do nothing.
    pub(crate) is_protected: bool,
    /// Bytes programmed, and how often each page was erased.
    pub(crate) programmed: u64,
    pub(crate) erases: Vec<u32>,
    pub(crate) reads: u64,
}

/// What the rest of a write that is cut reads as. Flashes program many bytes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Torn {
    Erased,
    Noise,
    /// As it was to be in its last half, erased in the first.
    Ahead,
    /// Erased, but for a word that cannot be read. So are some words of a page whose erase is cut.
    Unreadable,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    PowerLost,
    /// No NOR flash does that.
    Refused,
    Broken,
    Unreadable,
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn byte(&mut self) -> u8 {
        // PCG's multiplier.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 56) as u8
    }
}

impl<const READ: usize, const WRITE: usize, const PAGE: usize> Nor<READ, WRITE, PAGE> {
    /// Bytes that have an error-correcting code together.
    pub(crate) const WORD: usize = if WRITE > 8 { WRITE } else { 8 };

    pub(crate) fn erased(pages: u32) -> Self {
        Nor::holding(vec![ERASED; pages as usize * PAGE])
    }

    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        let erases = vec![0; bytes.len() / PAGE];
        Nor {
            bytes,
            power: None,
            torn: Torn::Erased,
            steps: 0,
            fails_in: None,
            hangs_in: None,
            reads_fail_in: None,
            unreadable: BTreeSet::new(),
            is_protected: false,
            programmed: 0,
            erases,
            reads: 0,
        }
    }

    pub(crate) fn restore_power(&mut self) {
        self.power = None;
        self.steps = 0;
    }

    fn is_off(&self) -> bool {
        self.power.is_some_and(|at| self.steps >= at)
    }

    fn is_due(countdown: &mut Option<u64>) -> bool {
        let is_due = *countdown == Some(0);
        *countdown = countdown.and_then(|n| n.checked_sub(1));
        is_due
    }

    /// What every access begins with.
    async fn begin(&mut self) -> Result<(), Fault> {
        if self.is_off() {
            return Err(Fault::PowerLost);
        }
        if Self::is_due(&mut self.hangs_in) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn program(&mut self, at: usize, bytes: &[u8]) -> Result<(), Fault> {
        let is_virgin = self.bytes[at..at + bytes.len()].iter().all(|byte| *byte == ERASED);
        if !is_virgin || !self.has_readable(at, bytes.len()) {
            return Err(Fault::Refused);
        }
        for (i, byte) in bytes.iter().enumerate() {
            if self.is_off() {
                let rest = &mut self.bytes[at + i..at + bytes.len()];
                self.torn.tear(rest, &bytes[i..], Random(self.steps));
                if self.torn == Torn::Unreadable {
                    self.unreadable.insert((at + i) / Self::WORD);
                }
                return Err(Fault::PowerLost);
            }
            self.bytes[at + i] &= byte;
            self.steps += 1;
            self.programmed += 1;
        }
        Ok(())
    }

    /// Returns whether each word of these bytes can be read.
    fn has_readable(&self, at: usize, len: usize) -> bool {
        len == 0 || self.unreadable.range(at / Self::WORD..=(at + len - 1) / Self::WORD).next().is_none()
    }

    fn erase_page(&mut self, page: usize) -> Result<(), Fault> {
        let cells = &mut self.bytes[page * PAGE..(page + 1) * PAGE];
        let left = self.power.map_or(u64::MAX, |at| at - self.steps);
        self.steps += ERASE_CUTS.min(left);
        if let Some(how) = usize::try_from(left).ok().filter(|how| *how < ERASE_CUTS as usize) {
            CUT_ERASES[how / (PARTS - 1)](cells, PAGE * (how % (PARTS - 1) + 1) / PARTS);
            if self.torn == Torn::Unreadable {
                let words = page * PAGE / Self::WORD..(page + 1) * PAGE / Self::WORD;
                self.unreadable.extend(words.skip(how % 3).step_by(3));
            }
            return Err(Fault::PowerLost);
        }
        self.erases[page] += 1;
        if !self.is_protected {
            cells.fill(ERASED);
            self.unreadable.retain(|word| word * Self::WORD / PAGE != page);
        }
        Ok(())
    }
}

impl Torn {
    fn tear(self, cells: &mut [u8], bytes: &[u8], mut random: Random) {
        let half = cells.len() / 2;
        match self {
            Torn::Erased | Torn::Unreadable => {}
            Torn::Noise => cells.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell = byte | random.byte()),
            Torn::Ahead => cells[half..].copy_from_slice(&bytes[half..]),
        }
    }
}

fn check(is_allowed: bool) -> Result<(), Fault> {
    if is_allowed { Ok(()) } else { Err(Fault::Refused) }
}

impl<const READ: usize, const WRITE: usize, const PAGE: usize> ErrorType for Nor<READ, WRITE, PAGE> {
    type Error = Fault;
}

impl<const READ: usize, const WRITE: usize, const PAGE: usize> ReadNorFlash for Nor<READ, WRITE, PAGE> {
    const READ_SIZE: usize = READ;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.begin().await?;
        let at = offset as usize;
        check(at.is_multiple_of(READ) && bytes.len().is_multiple_of(READ) && at + bytes.len() <= self.bytes.len())?;
        if Self::is_due(&mut self.fails_in) {
            return Err(Fault::Broken);
        }
        match &mut self.reads_fail_in {
            Some(0) => return Err(Fault::Broken),
            Some(reads) => *reads -= 1,
            None => {}
        }
        if !self.has_readable(at, bytes.len()) {
            return Err(Fault::Unreadable);
        }
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        self.reads += bytes.len() as u64;
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const READ: usize, const WRITE: usize, const PAGE: usize> NorFlash for Nor<READ, WRITE, PAGE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        self.begin().await?;
        let (from, to) = (from as usize, to as usize);
        check(from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE) && from <= to && to <= self.bytes.len())?;
        if Self::is_due(&mut self.fails_in) {
            self.bytes[from..to][PAGE / 2..].fill(ERASED);
            return Err(Fault::Broken);
        }
        (from / PAGE..to / PAGE).try_for_each(|page| self.erase_page(page))
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.begin().await?;
        let at = offset as usize;
        check(at.is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE) && at + bytes.len() <= self.bytes.len())?;
        if Self::is_due(&mut self.fails_in) {
            self.program(at, &bytes[..bytes.len() / 2])?;
            return Err(Fault::Broken);
        }
        self.program(at, bytes)
    }
}
