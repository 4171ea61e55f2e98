//! SEGMENT ARRIVES (RFC 9293 §3.10.7): from a record and a segment to a judgement.
//!
//! One file per group of states, one function per numbered step, in the standard's order. Nothing here changes anything:
//! the whole segment is validated before the record is touched, and what is to be done comes back as a
//! [`judgement::Judgement`].

pub(crate) mod challenge;
pub(crate) mod closed;
#[cfg(feature = "ecn")]
pub(crate) mod ecn;
#[cfg(not(feature = "ecn"))]
#[path = "no_ecn.rs"]
pub(crate) mod ecn;
pub(crate) mod judgement;
pub(crate) mod listen;
pub(crate) mod reset;
#[cfg(feature = "window-scale")]
pub(crate) mod scale;
#[cfg(not(feature = "window-scale"))]
#[path = "no_scale.rs"]
pub(crate) mod scale;
pub(crate) mod segment_arrives;
#[cfg(feature = "timestamps")]
pub(crate) mod stamps;
#[cfg(not(feature = "timestamps"))]
#[path = "no_stamps.rs"]
pub(crate) mod stamps;
pub(crate) mod syn_received;
mod syn_sent;
pub(crate) mod synchronized;
pub(crate) mod table;
pub(crate) mod tcb;
pub(crate) mod time_wait;
pub(crate) mod timestamps;
pub(crate) mod verdict;
