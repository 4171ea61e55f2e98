//! Pre-allocated packet rings into and out of a stack.

/// The link's MTU: an IP packet is no longer.
pub(crate) const MTU: usize = 1_500;

/// A ring of packets.
pub(crate) struct Ring {
    slots: Vec<Slot>,
    first: usize,
    count: usize,
    taken: u64,
}

#[derive(Clone)]
struct Slot {
    bytes: [u8; MTU],
    len: usize,
}

impl Ring {
    /// Allocates an empty ring of `slots` packets.
    pub(crate) fn new(slots: usize) -> Ring {
        Ring { slots: vec![Slot { bytes: [0; MTU], len: 0 }; slots], first: 0, count: 0, taken: 0 }
    }

    /// Allocates a ring whose slots hold these packets; none is offered before [`Ring::offer_next`].
    pub(crate) fn with_packets<'p>(packets: impl IntoIterator<Item = &'p [u8]>) -> Ring {
        let mut ring = Ring::new(0);
        for packet in packets {
            let mut slot = Slot { bytes: [0; MTU], len: packet.len() };
            slot.bytes[..packet.len()].copy_from_slice(packet);
            ring.slots.push(slot);
        }
        ring
    }

    /// Offers the packet that the next slot already holds, without a copy.
    pub(crate) fn offer_next(&mut self) {
        self.count += 1;
    }

    /// Returns the oldest packet.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        (self.count > 0).then(|| {
            let slot = &self.slots[self.first];
            &slot.bytes[..slot.len]
        })
    }

    /// Removes the oldest packet; its slot keeps the bytes.
    pub(crate) fn pop(&mut self) {
        self.first = if self.first + 1 == self.slots.len() { 0 } else { self.first + 1 };
        self.count -= 1;
        self.taken += 1;
    }

    /// Returns whether a slot is free.
    pub(crate) fn has_room(&self) -> bool {
        self.count < self.slots.len()
    }

    /// Returns the next free slot to write to, committed by [`Ring::push`]; `None` if the ring is full.
    pub(crate) fn free(&mut self) -> Option<&mut [u8; MTU]> {
        let at = self.next_free()?;
        Some(&mut self.slots[at].bytes)
    }

    /// Appends the packet of `len` bytes that was written to [`Ring::free`].
    pub(crate) fn push(&mut self, len: usize) {
        if let Some(at) = self.next_free() {
            self.slots[at].len = len;
            self.count += 1;
        }
    }

    /// Removes all packets; returns their number.
    pub(crate) fn clear(&mut self) -> usize {
        let count = self.count;
        self.first = (self.first + count) % self.slots.len();
        self.count = 0;
        self.taken += count as u64;
        count
    }

    /// Returns the number of packets removed so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    fn next_free(&self) -> Option<usize> {
        let at = self.first + self.count;
        let wrapped = if at >= self.slots.len() { at - self.slots.len() } else { at };
        self.has_room().then_some(wrapped)
    }
}
