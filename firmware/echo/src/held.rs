//! Bytes between being received and being sent back.

/// What was received and does not yet fit into the send buffer.
pub(crate) struct Held {
    bytes: [u8; 256],
    begin: usize,
    end: usize,
}

impl Held {
    pub(crate) const EMPTY: Held = Held { bytes: [0; 256], begin: 0, end: 0 };

    pub(crate) fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    pub(crate) fn clear(&mut self) {
        (self.begin, self.end) = (0, 0);
    }

    /// Returns where the next bytes are received to, once all are sent.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn received(&mut self, len: usize) {
        (self.begin, self.end) = (0, len);
    }

    /// Returns what is still to be sent.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.begin..self.end).unwrap_or_default()
    }

    pub(crate) fn sent(&mut self, len: usize) {
        self.begin += len;
    }
}
