//! The engine: which record a segment belongs to, what a judgement does to it, what an application asks for, what is due, and what goes out.

mod apply;
pub(crate) mod arriving;
mod audit;
pub(crate) mod budget;
mod calls;
#[cfg(feature = "reset-diagnostics")]
mod diagnostics;
mod dispatch;
pub(crate) mod event;
#[cfg(feature = "eviction")]
mod eviction;
mod handshakes;
mod icmp;
#[cfg(feature = "journal")]
mod journal;
#[cfg(feature = "journal")]
pub(crate) mod keeping;
#[cfg(not(feature = "journal"))]
#[path = "no_keeping.rs"]
pub(crate) mod keeping;
#[cfg(not(feature = "reset-diagnostics"))]
mod no_diagnostics;
#[cfg(not(feature = "journal"))]
mod no_journal;
pub(crate) mod poll;
mod queues;
mod replies;
pub(crate) mod tcp;
mod timeouts;
