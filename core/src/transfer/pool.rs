//! The byte pool: every connection's two buffers are one run of it.
//!
//! A buffer is a ring whose size is a power of two; an octet's place in it is its sequence number modulo that size, so a
//! record needs no ring indices.

use crate::config::{MAX_BUFFER, MIN_BUFFER};
use crate::seq::Seq;

/// Marks the end of the free list.
const NONE: u16 = u16::MAX;

/// A connection's buffers: receive first, send behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Buffers {
    /// In granules.
    start: u16,
    rx_log2: u8,
    tx_log2: u8,
}

impl Buffers {
    /// A slot that was never taken.
    pub(crate) const ZERO: Buffers = Buffers { start: 0, rx_log2: 0, tx_log2: 0 };

    pub(crate) fn rx_size(self) -> usize {
        1 << self.rx_log2
    }

    pub(crate) fn tx_size(self) -> usize {
        1 << self.tx_log2
    }

    fn len(self) -> usize {
        self.rx_size() + self.tx_size()
    }
}

/// Says whether `size` can be a buffer's.
pub(crate) fn is_valid_size(size: usize) -> bool {
    size.is_power_of_two() && (MIN_BUFFER..=MAX_BUFFER).contains(&size)
}

/// First fit over a list of free runs, kept sorted in the free octets themselves: two granule numbers, the run's length and the
/// next run, stand at each run's beginning.
pub(crate) struct Pool<'s> {
    bytes: &'s mut [u8],
    granule: usize,
    first: u16,
}

impl<'s> Pool<'s> {
    pub(crate) fn new(bytes: &'s mut [u8]) -> Pool<'s> {
        let mut granule = MIN_BUFFER;
        while bytes.len() / granule >= usize::from(NONE) {
            granule *= 2;
        }
        let granules = (bytes.len() / granule) as u16;
        let mut pool = Pool { bytes, granule, first: NONE };
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
                return Some(Buffers { start: at, rx_log2: rx_size.ilog2() as u8, tx_log2: tx_size.ilog2() as u8 });
            }
            before = at;
            at = next;
        }
        None
    }

    /// Gives the room back and joins it with free neighbours.
    pub(crate) fn release(&mut self, buffers: Buffers) {
        let Some(len) = self.granules(buffers.len()) else {
            return;
        };
        if buffers.start == NONE {
            return;
        }
        let (before, after) = self.neighbours(buffers.start);
        self.write_run(buffers.start, len, after);
        self.join(buffers.start);
        self.link(before, buffers.start);
        if before != NONE {
            self.join(before);
        }
    }

    pub(crate) fn rx(&mut self, buffers: Buffers) -> Ring<'_> {
        let start = usize::from(buffers.start) * self.granule;
        self.ring(start, buffers.rx_size())
    }

    pub(crate) fn tx(&mut self, buffers: Buffers) -> Ring<'_> {
        let start = usize::from(buffers.start) * self.granule + buffers.rx_size();
        self.ring(start, buffers.tx_size())
    }

    fn ring(&mut self, start: usize, size: usize) -> Ring<'_> {
        Ring(self.bytes.get_mut(start..start + size).unwrap_or_default())
    }

    fn granules(&self, bytes: usize) -> Option<u16> {
        u16::try_from(bytes.div_ceil(self.granule)).ok()
    }

    /// The free runs around an allocated place.
    fn neighbours(&self, place: u16) -> (u16, u16) {
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

/// One buffer: octet `seq` stands at `seq` modulo the size.
pub(crate) struct Ring<'p>(&'p mut [u8]);

impl Ring<'_> {
    pub(crate) fn write(&mut self, seq: Seq, data: &[u8]) {
        let (at, data) = self.place(seq, data.len(), data);
        let first = data.len().min(self.0.len() - at);
        let (head, tail) = data.split_at(first);
        self.0[at..at + first].copy_from_slice(head);
        self.0[..tail.len()].copy_from_slice(tail);
    }

    pub(crate) fn read(&self, seq: Seq, out: &mut [u8]) {
        if self.0.is_empty() {
            return;
        }
        let len = out.len().min(self.0.len());
        let at = seq.0 as usize & (self.0.len() - 1);
        let first = len.min(self.0.len() - at);
        out[..first].copy_from_slice(&self.0[at..at + first]);
        out[first..len].copy_from_slice(&self.0[..len - first]);
    }

    /// Where `seq` stands, and as much of `data` as the ring can hold.
    fn place<'d>(&self, seq: Seq, len: usize, data: &'d [u8]) -> (usize, &'d [u8]) {
        if self.0.is_empty() {
            return (0, &[]);
        }
        (seq.0 as usize & (self.0.len() - 1), &data[..len.min(self.0.len())])
    }
}
