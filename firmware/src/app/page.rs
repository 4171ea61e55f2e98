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
//! not told: a guess that falls into the window arms the last two. Everything is for those whom the build lets see it.

use tcp_reset_core::link::Link;

mod facts;
mod json;
mod metrics;
mod pieces;
mod snake;

pub(super) use facts::{Facts, Out, Text, View};
pub(super) use pieces::{Framing, Pieces};

/// The page for people.
pub(super) const INDEX: &str = include_str!("page/index.html");

/// How the facts are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Json,
    /// Prometheus' text format.
    Metrics,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(super) fn first(self) -> Part {
        match self {
            Format::Json => Part::Json(json::Part::FIRST),
            Format::Metrics => Part::Metrics(metrics::Part::FIRST),
        }
    }
}

/// What is written at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Json(json::Part),
    Metrics(metrics::Part),
}

impl Part {
    pub(super) fn next(self, view: View) -> Option<Part> {
        match self {
            Part::Json(part) => part.next(view).map(Part::Json),
            Part::Metrics(part) => part.next(view).map(Part::Metrics),
        }
    }
}

/// Writes one part behind what is there.
pub(super) fn write(facts: &Facts<'_>, link: &Link<'_>, part: Part, view: View, out: &mut Out) {
    // Names and numbers alone: nothing needs to be escaped, and every part fits.
    let written = match part {
        Part::Json(part) => json::write(facts, link, part, view, out),
        Part::Metrics(part) => metrics::write(facts, link, part, view, out),
    };
    debug_assert!(written.is_ok(), "a part found no room");
}

#[cfg(test)]
mod tests;
