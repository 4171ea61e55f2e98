//! Data: send queue, retransmission, receive reassembly, windows and round-trip time (RFC 9293 §3.8).
//!
//! Nothing here decides about a segment: [`crate::arrives`] has done that, and says in a `Take` what may be used.

pub(crate) mod pool;
pub(crate) mod reassembly;
pub(crate) mod receive;
pub(crate) mod rtt;
pub(crate) mod send;
