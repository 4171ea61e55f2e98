//! The byte pool: every connection's two buffers are one run of it.
//!
//! A buffer is a ring whose size is a power of two; a byte's place in it is its sequence number modulo that size, so a
//! record needs no ring indices. The numbers are shifted by so little that the stream's first byte stands at a word's beginning: what an
//! application moves in words is copied in words then, which halves the instructions.

use crate::config::{MAX_BUFFER, MIN_BUFFER};
use crate::wire::checksum::{Sum, copy, copy_and_sum};
use crate::wire::seq::Seq;

/// Marks the end of the free list.
const NONE: u16 = u16::MAX;

/// A connection's buffers: receive first, send behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Buffers {
    /// In granules.
    start: u16,
    rx: Shape,
    tx: Shape,
}

/// A ring's size and shift, in one byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape(u8);

impl Shape {
    const LOG2_MASK: u8 = 0x1f;
    const SHIFT_AT: u32 = 5;
    /// Bytes of a word, less one.
    const IN_WORD: u32 = 3;

    fn of_size(size: usize) -> Shape {
        // At most 18.
        Shape(size.ilog2() as u8)
    }

    fn size(self) -> usize {
        1 << (self.0 & Self::LOG2_MASK)
    }

    fn begin_at(&mut self, first: Seq) {
        self.0 = self.0 & Self::LOG2_MASK | ((first.0 & Self::IN_WORD) as u8) << Self::SHIFT_AT;
    }

    fn shift(self) -> u32 {
        u32::from(self.0 >> Self::SHIFT_AT)
    }
}

const _: () = assert!(MAX_BUFFER.ilog2() <= Shape::LOG2_MASK as u32);

impl Buffers {
    /// A slot that was never taken.
    pub(crate) const ZERO: Buffers = Buffers { start: 0, rx: Shape(0), tx: Shape(0) };

    pub(crate) fn rx_size(self) -> usize {
        self.rx.size()
    }

    pub(crate) fn tx_size(self) -> usize {
        self.tx.size()
    }

    /// The number of the first byte that will be received, before one is.
    pub(crate) fn begin_rx(&mut self, first: Seq) {
        self.rx.begin_at(first);
    }

    /// The number of the first byte that will be sent, before one is queued.
    pub(crate) fn begin_tx(&mut self, first: Seq) {
        self.tx.begin_at(first);
    }

    fn len(self) -> usize {
        self.rx_size() + self.tx_size()
    }
}

/// Returns whether `size` can be a buffer's.
pub(crate) fn is_valid_size(size: usize) -> bool {
    size.is_power_of_two() && (MIN_BUFFER..=MAX_BUFFER).contains(&size)
}

/// First fit over a list of free runs, kept sorted in the free bytes themselves: two granule numbers, the run's length and the
/// next run, stand at each run's beginning.
pub(crate) struct Pool<'s> {
    bytes: &'s mut [u8],
    granule: usize,
    first: u16,
    /// Free granules, in all runs together.
    free: u16,
}

impl<'s> Pool<'s> {
    pub(crate) fn new(bytes: &'s mut [u8]) -> Pool<'s> {
        let mut granule = MIN_BUFFER;
        while bytes.len() / granule >= usize::from(NONE) {
            granule *= 2;
        }
        let granules = (bytes.len() / granule) as u16;
        let mut pool = Pool { bytes, granule, first: NONE, free: granules };
        if granules > 0 {
            pool.write_run(0, granules, NONE);
            pool.first = 0;
        }
        pool
    }

    /// Takes room for buffers of these sizes, each valid.
    pub(crate) fn allocate(&mut self, rx_size: usize, tx_size: usize) -> Option<Buffers> {
        let want = self.granules(rx_size + tx_size)?;
        let mut before = NONE;
        let mut at = self.first;
        while at != NONE {
            let (len, next) = self.run(at);
            if len >= want {
                let rest = if len == want {
                    next
                } else {
                    self.write_run(at + want, len - want, next);
                    at + want
                };
                self.link(before, rest);
                self.free -= want;
                return Some(Buffers { start: at, rx: Shape::of_size(rx_size), tx: Shape::of_size(tx_size) });
            }
            before = at;
            at = next;
        }
        None
    }

    /// Returns the room back and joins it with free neighbors.
    pub(crate) fn release(&mut self, buffers: Buffers) {
        let Some(len) = self.granules(buffers.len()) else {
            return;
        };
        if buffers.start == NONE {
            return;
        }
        self.free += len;
        let (before, after) = self.neighbors(buffers.start);
        self.write_run(buffers.start, len, after);
        self.join(buffers.start);
        self.link(before, buffers.start);
        if before != NONE {
            self.join(before);
        }
    }

    /// Keeps bytes in the send buffer of a connection that is over, from its beginning on; returns how many it takes.
    #[cfg(feature = "reset-diagnostics")]
    pub(crate) fn keep(&mut self, buffers: Buffers, bytes: &[u8]) -> usize {
        let from = usize::from(buffers.start) * self.granule + buffers.rx_size();
        let kept = bytes.len().min(buffers.tx_size());
        self.bytes[from..from + kept].copy_from_slice(&bytes[..kept]);
        kept
    }

    /// The first `len` bytes that were kept there.
    #[cfg(feature = "reset-diagnostics")]
    pub(crate) fn kept(&self, buffers: Buffers, len: usize) -> &[u8] {
        let from = usize::from(buffers.start) * self.granule + buffers.rx_size();
        &self.bytes[from..from + len]
    }

    /// Returns whether all free runs together have room for buffers of these sizes.
    pub(crate) fn has_room(&self, rx_size: usize, tx_size: usize) -> bool {
        self.granules(rx_size + tx_size).is_some_and(|want| want <= self.free)
    }

    /// Returns whether buffers of these sizes fit where nothing else is.
    pub(crate) fn could_hold(&self, rx_size: usize, tx_size: usize) -> bool {
        self.granules(rx_size + tx_size).is_some_and(|want| want <= self.all())
    }

    /// Returns the bytes that buffers take up.
    pub(crate) fn in_use(&self) -> usize {
        usize::from(self.all() - self.free) * self.granule
    }

    /// Returns whether these buffers and the free runs are all there is.
    pub(crate) fn is_accounted_for(&self, used: impl Iterator<Item = Buffers>) -> bool {
        let used: usize = used.map(|buffers| buffers.len().div_ceil(self.granule)).sum();
        let free = usize::from(self.free_before(NONE));
        free == usize::from(self.free) && free + used == usize::from(self.all())
    }

    /// Moves what is used to the front, so that one free run is left. `used` are all buffers there are.
    pub(crate) fn compact<'b>(&mut self, used: impl Iterator<Item = &'b mut Buffers>) {
        for buffers in used {
            buffers.start -= self.free_before(buffers.start);
        }
        let mut free = 0;
        let mut at = self.first;
        while at != NONE {
            let (len, next) = self.run(at);
            free += len;
            let until = if next == NONE { self.all() } else { next };
            self.move_down(at + len, until, free);
            at = next;
        }
        self.first = NONE;
        if free > 0 {
            self.first = self.all() - free;
            self.write_run(self.first, free, NONE);
        }
    }

    /// Free granules below an allocated place.
    fn free_before(&self, place: u16) -> u16 {
        let mut free = 0;
        let mut at = self.first;
        while at != NONE && at < place {
            let (len, next) = self.run(at);
            free += len;
            at = next;
        }
        free
    }

    /// Piece by piece, the lowest first: `copy_within` would bring `memmove`, which nothing else in a small image calls.
    fn move_down(&mut self, from: u16, until: u16, by: u16) {
        let place = |granule: u16| usize::from(granule) * self.granule / MIN_BUFFER;
        let (pieces, _) = self.bytes.as_chunks_mut::<MIN_BUFFER>();
        for at in place(from)..place(until) {
            let (below, above) = pieces.split_at_mut(at);
            below[at - place(by)].copy_from_slice(&above[0]);
        }
    }

    /// All granules, used and free.
    fn all(&self) -> u16 {
        (self.bytes.len() / self.granule) as u16
    }

    pub(crate) fn rx(&mut self, buffers: Buffers) -> Ring<'_> {
        let start = usize::from(buffers.start) * self.granule;
        self.ring(start, buffers.rx)
    }

    pub(crate) fn tx(&mut self, buffers: Buffers) -> Ring<'_> {
        let start = usize::from(buffers.start) * self.granule + buffers.rx_size();
        self.ring(start, buffers.tx)
    }

    fn ring(&mut self, start: usize, shape: Shape) -> Ring<'_> {
        Ring { bytes: self.bytes.get_mut(start..start + shape.size()).unwrap_or_default(), shift: shape.shift() }
    }

    fn granules(&self, bytes: usize) -> Option<u16> {
        u16::try_from(bytes.div_ceil(self.granule)).ok()
    }

    /// The free runs around an allocated place.
    fn neighbors(&self, place: u16) -> (u16, u16) {
        let mut before = NONE;
        let mut at = self.first;
        while at != NONE && at < place {
            before = at;
            at = self.run(at).1;
        }
        (before, at)
    }

    /// Joins the run at `at` with the next one if they touch.
    fn join(&mut self, at: u16) {
        let (len, next) = self.run(at);
        if next != NONE && at + len == next {
            let (next_len, after) = self.run(next);
            self.write_run(at, len + next_len, after);
        }
    }

    fn link(&mut self, before: u16, at: u16) {
        if before == NONE {
            self.first = at;
        } else {
            let (len, _) = self.run(before);
            self.write_run(before, len, at);
        }
    }

    fn run(&self, at: u16) -> (u16, u16) {
        let start = usize::from(at) * self.granule;
        match self.bytes.get(start..start + 4) {
            Some(&[a, b, c, d]) => (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])),
            _ => (0, NONE),
        }
    }

    fn write_run(&mut self, at: u16, len: u16, next: u16) {
        let start = usize::from(at) * self.granule;
        let [a, b] = len.to_le_bytes();
        let [c, d] = next.to_le_bytes();
        if let Some(place) = self.bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&[a, b, c, d]);
        }
    }
}

/// One buffer: byte `seq` stands at `seq` less the shift, modulo the size.
pub(crate) struct Ring<'p> {
    bytes: &'p mut [u8],
    shift: u32,
}

impl Ring<'_> {
    /// Writes as much of `data` as the ring can hold.
    pub(crate) fn write(&mut self, seq: Seq, data: &[u8]) {
        let len = data.len().min(self.bytes.len());
        let at = self.place(seq);
        let first = len.min(self.bytes.len() - at);
        let (head, tail) = data[..len].split_at(first);
        copy(head, &mut self.bytes[at..at + first]);
        copy(tail, &mut self.bytes[..tail.len()]);
    }

    /// The same, and returns the sum of what was written.
    pub(crate) fn write_and_sum(&mut self, seq: Seq, data: &[u8]) -> Sum {
        let len = data.len().min(self.bytes.len());
        let at = self.place(seq);
        let first = len.min(self.bytes.len() - at);
        let (head, tail) = data[..len].split_at(first);
        let mut sum = copy_and_sum(head, &mut self.bytes[at..at + first]);
        if !tail.is_empty() {
            sum.append(copy_and_sum(tail, &mut self.bytes[..tail.len()]), first);
        }
        sum
    }

    /// Reads as much of `out` as the ring can hold.
    pub(crate) fn read(&self, seq: Seq, out: &mut [u8]) {
        let len = out.len().min(self.bytes.len());
        let (head, tail) = self.parts(seq, len);
        let (first, rest) = out[..len].split_at_mut(head.len());
        copy(head, first);
        copy(tail, rest);
    }

    /// The same, and returns the sum of what was read.
    pub(crate) fn read_and_sum(&self, seq: Seq, out: &mut [u8]) -> Sum {
        let len = out.len().min(self.bytes.len());
        let (head, tail) = self.parts(seq, len);
        let (first, rest) = out[..len].split_at_mut(head.len());
        let mut sum = copy_and_sum(head, first);
        if !tail.is_empty() {
            sum.append(copy_and_sum(tail, rest), head.len());
        }
        sum
    }

    /// The bytes from `seq` on, at most `len` and no further than the ring's end.
    pub(crate) fn stretch(&mut self, seq: Seq, len: usize) -> &mut [u8] {
        let at = self.place(seq);
        let end = self.bytes.len().min(at + len);
        &mut self.bytes[at..end]
    }

    /// What stands at `seq`: up to the ring's end, and from its beginning.
    fn parts(&self, seq: Seq, len: usize) -> (&[u8], &[u8]) {
        let at = self.place(seq);
        let first = len.min(self.bytes.len() - at);
        (&self.bytes[at..at + first], &self.bytes[..len - first])
    }

    /// Where `seq` stands; the beginning of a ring that has no bytes.
    fn place(&self, seq: Seq) -> usize {
        seq.0.wrapping_sub(self.shift) as usize & self.bytes.len().saturating_sub(1)
    }
}
