//! The fixed tables: the memory a user declares, its records, and how each is found and comes due.

#[cfg(feature = "journal-flash")]
pub(crate) mod flash_journal;
pub(crate) mod half_open;
mod index;
#[cfg(feature = "journal")]
pub(crate) mod journal;
pub(crate) mod listener;
pub(crate) mod storage;
pub(crate) mod table;
pub(crate) mod time_wait;
