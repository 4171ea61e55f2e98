//! A connection's slot: the record the rules judge, its buffers, its timers; data transfer (RFC 9293 §3.8).
//!
//! Nothing here decides about a segment: [`crate::rules`] has done that, and says in a `Take` what may be used.

pub(crate) mod congestion;
#[cfg(feature = "cubic")]
mod cubic;
#[cfg(not(feature = "cubic"))]
#[path = "no_cubic.rs"]
mod cubic;
#[cfg(feature = "ecn")]
pub(crate) mod ecn;
#[cfg(not(feature = "ecn"))]
#[path = "no_ecn.rs"]
pub(crate) mod ecn;
pub(crate) mod flags;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod loss;
pub(crate) mod pool;
pub(crate) mod receive;
pub(crate) mod recovery;
pub(crate) mod rtt;
mod runs;
#[cfg(feature = "sack")]
pub(crate) mod sack;
#[cfg(not(feature = "sack"))]
#[path = "no_sack.rs"]
pub(crate) mod sack;
pub(crate) mod send;
pub(crate) mod settings;
pub(crate) mod slot;
pub(crate) mod timers;
#[cfg(feature = "user-timeout-option")]
mod user_timeout_option;
