//! The fixed tables: the memory a user declares, its records, and how each is found and comes due.

pub(crate) mod half_open;
pub(crate) mod index;
pub(crate) mod listener;
pub(crate) mod storage;
pub(crate) mod time_wait;
