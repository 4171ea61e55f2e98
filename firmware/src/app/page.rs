//! What the board tells about itself: a page for people, and the same facts in parts of bounded length as JSON and as metrics for Prometheus.
//!
//! The page is a file that asks for the JSON every other second. Keys and labels are stable: [`SCHEMA`] counts up when one changes its meaning or goes.
//!
//! Two views. An overview is for everybody: nothing in it depends on how a forged segment was judged, or an attacker who reads the page
//! between guesses would find RCV.NXT by halving (no sequence numbers, no counters by rule, no counts of resets, challenges, segments), and
//! nothing in it says which connections there are to aim at (no endpoints but the board's own address). Nor does it tell whether a SYN met a
//! connection, which would find the ports: no half-open records and none of their ends, and a connection that we open looks the same before
//! and after a SYN has crossed ours. A slot's times are told in an overview, and when it ends if nothing comes: what they count from moves only
//! with a segment whose SEQ and ACK are both acceptable, and with what we do ourselves. When it retransmits, or acknowledges, or challenges, is
//! not told: a guess that falls into the window arms the last two. What has become of the peers that a restart lost is told in sums, once all of it is
//! known: a forged ACK on a lost pair counts as an answer, so the one thing to be read there is whether any guess since the restart was right. Everything is for those whom the build lets see it.

mod facts;
mod json;
mod metrics;
mod parts;
mod pieces;
mod snake;

pub(super) use facts::{Facts, Out, Text, View};
pub(super) use parts::{Format, Part, write};
pub(super) use pieces::{Framing, Pieces};

/// The page for people.
pub(super) const INDEX: &str = include_str!("page/index.html");

#[cfg(test)]
mod tests;
