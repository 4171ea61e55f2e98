//! The parts that are written at once, of either format.

use tcp_reset_core::link::Link;

use super::facts::{Facts, Out, View};
use super::{json, metrics};

/// How the facts are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Json,
    /// Prometheus' text format.
    Metrics,
}

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(crate) fn first(self) -> Part {
        match self {
            Format::Json => Part::Json(json::Part::FIRST),
            Format::Metrics => Part::Metrics(metrics::Part::FIRST),
        }
    }
}

/// What is written at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Json(json::Part),
    Metrics(metrics::Part),
}

impl Part {
    pub(crate) fn next(self, view: View) -> Option<Part> {
        match self {
            Part::Json(part) => part.next(view).map(Part::Json),
            Part::Metrics(part) => part.next(view).map(Part::Metrics),
        }
    }
}

/// Writes one part behind what is there.
pub(crate) fn write(facts: &Facts<'_>, link: &Link<'_>, part: Part, view: View, out: &mut Out) {
    // Names and numbers alone: nothing needs to be escaped, and every part fits.
    let written = match part {
        Part::Json(part) => json::write(facts, link, part, view, out),
        Part::Metrics(part) => metrics::write(facts, link, part, view, out),
    };
    debug_assert!(written.is_ok(), "a part found no room");
}
