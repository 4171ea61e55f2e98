//! What the SACK option says (RFC 2018 §3).

use crate::wire::seq::Seq;

/// The option's kind.
const KIND: u8 = 5;
/// Stands before an option so that its numbers begin at a word.
const NO_OPERATION: u8 = 1;

/// Blocks that have arrived beyond a gap, each from its first number to the one after its last. The first block tells what came last (RFC 2018 §4),
/// or what came twice (RFC 2883).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SackBlocks {
    count: u8,
    blocks: [(Seq, Seq); SackBlocks::MAX],
}

impl SackBlocks {
    /// How many an option has room for.
    pub const MAX: usize = 4;

    /// No blocks: no option.
    pub const NONE: SackBlocks = SackBlocks { count: 0, blocks: [(Seq(0), Seq(0)); SackBlocks::MAX] };

    /// Returns the blocks, in the option's order.
    pub fn as_slice(&self) -> &[(Seq, Seq)] {
        self.blocks.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Adds a block behind the others; returns whether there was room.
    pub fn push(&mut self, start: Seq, end: Seq) -> bool {
        let Some(place) = self.blocks.get_mut(usize::from(self.count)) else { return false };
        *place = (start, end);
        self.count += 1;
        true
    }

    /// Returns how many blocks an option of `room` bytes may have, padding included.
    pub(crate) const fn fitting(room: usize) -> usize {
        room.saturating_sub(4) / 8
    }

    /// Returns the bytes the option takes on the wire, padding included, where it has `room` bytes.
    pub(crate) const fn wire_len(&self, room: usize) -> usize {
        match self.written(room) {
            0 => 0,
            count => 4 + 8 * count,
        }
    }

    const fn written(&self, room: usize) -> usize {
        let (count, fitting) = (self.count as usize, SackBlocks::fitting(room));
        if count < fitting { count } else { fitting }
    }

    /// Reads what stands behind the option's kind and length.
    pub(crate) fn read(data: &[u8]) -> SackBlocks {
        let mut read = SackBlocks::NONE;
        for &[s0, s1, s2, s3, e0, e1, e2, e3] in data.as_chunks::<8>().0 {
            read.push(Seq(u32::from_be_bytes([s0, s1, s2, s3])), Seq(u32::from_be_bytes([e0, e1, e2, e3])));
        }
        read
    }

    /// The option's words, where it has `room` bytes.
    pub(crate) fn words(&self, room: usize) -> impl Iterator<Item = [u8; 4]> + '_ {
        let count = self.written(room);
        let head = (count > 0).then_some([NO_OPERATION, NO_OPERATION, KIND, 2 + 8 * count as u8]);
        let blocks = self.as_slice().iter().take(count);
        head.into_iter().chain(blocks.flat_map(|(start, end)| [start.0.to_be_bytes(), end.0.to_be_bytes()]))
    }
}
