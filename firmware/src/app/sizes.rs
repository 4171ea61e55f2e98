//! How many of what there are.

/// Connection slots: 3 echoes, a discard, 2 status pages, the client, and one that closes while the next comes.
pub(super) const CONNECTIONS: usize = 8;
/// Echo, discard, status page.
pub(super) const LISTENERS: usize = 3;
pub(super) const HALF_OPEN: usize = 16;
pub(super) const TIME_WAIT: usize = 16;
/// Records of the reset journal: the peers of two resets in a row.
pub(super) const JOURNAL_RECORDS: usize = 2 * CONNECTIONS;
/// Bytes for all buffers: in and out for each slot.
pub(super) const POOL: usize = CONNECTIONS * 2 * BUFFER;
pub(super) const BUFFER: usize = 4_096;
