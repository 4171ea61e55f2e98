//! What was seen on the wire, with both ends' states and the rule that decided.

use std::net::SocketAddr;

use tcp_reset_core::link::Received;
use tcp_reset_core::{Control, Instant, ResetReason, Seq, State, Verdict};

use crate::cable::Fate;
use crate::frame::Seen;

/// Which way a frame went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The peer sent it.
    ToUs,
    /// We sent it.
    ToPeer,
    /// The scenario forged it in the peer's name.
    ForgedToUs,
}

/// One segment on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// When.
    pub at: Instant,
    /// Which way.
    pub way: Way,
    /// The segment.
    pub seen: Seen,
    /// Bytes of its header, options included.
    pub header_len: usize,
    /// The peer's state afterwards.
    pub peer: State,
    /// Our state afterwards.
    pub ours: State,
    /// What we decided, if it came to us.
    pub verdict: Option<Verdict>,
    /// Why we sent it, if it is an RST of ours.
    pub reset: Option<ResetReason>,
    /// What became of it on the cable.
    pub fate: Fate,
}

impl Step {
    /// Returns our endpoint and the peer's.
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        match self.way {
            Way::ToPeer => (self.seen.from, self.seen.to),
            Way::ToUs | Way::ForgedToUs => (self.seen.to, self.seen.from),
        }
    }

    /// Returns whether it arrived.
    pub fn arrived(&self) -> bool {
        self.fate != Fate::Lost
    }
}

/// A line of a scenario's story.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A segment.
    Segment(Step),
    /// What the scenario does, or one of the ends reports.
    Note(String),
}

/// A scenario's story.
#[derive(Default)]
pub struct Trace {
    /// In the order it happened.
    pub entries: Vec<Entry>,
}

impl Trace {
    /// Lists what the scenario did, and what the ends reported.
    pub fn notes(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Note(text) => Some(&text[..]),
            Entry::Segment(_) => None,
        })
    }

    /// Lists the segments.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Segment(step) => Some(step),
            Entry::Note(_) => None,
        })
    }

    /// Counts RSTs that went this way.
    pub fn rsts(&self, way: Way) -> usize {
        self.steps().filter(|step| step.way == way && step.seen.control.contains(Control::RST)).count()
    }

    /// Counts the peer's segments with exactly these control bits, PSH aside.
    pub fn from_peer(&self, control: Control) -> usize {
        self.steps().filter(|step| step.way == Way::ToUs && step.arrived() && step.seen.is(control)).count()
    }

    /// Counts our segments with exactly these control bits, PSH aside.
    pub fn from_us(&self, control: Control) -> usize {
        self.steps().filter(|step| step.way == Way::ToPeer && step.seen.is(control)).count()
    }

    /// Finds the initial sequence numbers of `from` towards `to` among the first `upto` entries, the latest first: a pair of
    /// ports may have been through several connections. Forged ones count where there is no other.
    pub fn isns(&self, from: SocketAddr, to: SocketAddr, upto: usize) -> Vec<Seq> {
        let (mut real, mut forged) = (Vec::new(), Vec::new());
        for entry in self.entries[..upto].iter().rev() {
            let Entry::Segment(step) = entry else { continue };
            if !step.seen.control.contains(Control::SYN) || step.seen.from != from || step.seen.to != to {
                continue;
            }
            let isns = if step.way == Way::ForgedToUs { &mut forged } else { &mut real };
            if !isns.contains(&step.seen.seq) {
                isns.push(step.seen.seq);
            }
        }
        if real.is_empty() { forged } else { real }
    }
}

/// The verdict, where the frame was taken.
pub fn verdict_of(received: &Received) -> Option<Verdict> {
    match received {
        Received::Taken(verdict) => Some(*verdict),
        Received::Observed | Received::OtherTcp | Received::NotMine => None,
    }
}
