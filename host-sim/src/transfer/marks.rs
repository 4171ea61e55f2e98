//! What both ends say of the marks that the cable makes (RFC 3168), counted on the wire.

use std::fmt;

use anyhow::{Result, ensure};

use crate::cable::{Cable, Toward};
use crate::frame::Congestion;

/// Since the transfer began.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks {
    to_us: Way,
    to_peer: Way,
}

/// What goes one way, and what comes back for it.
#[derive(Clone, Copy, Default)]
struct Way {
    /// Packets that may be marked.
    capable: u64,
    /// Packets that the cable has marked, since it was laid.
    marked: u64,
    /// Segments the other way that say so.
    echoed: u64,
    /// Segments that say that less is sent.
    reduced: u64,
}

impl Marks {
    fn ways(&mut self, toward: Toward) -> (&mut Way, &mut Way) {
        match toward {
            Toward::Us => (&mut self.to_us, &mut self.to_peer),
            Toward::Peer => (&mut self.to_peer, &mut self.to_us),
        }
    }

    /// Counts what an end sends.
    pub(super) fn see(&mut self, toward: Toward, frame: &[u8]) {
        let Some(seen) = Congestion::parse(frame).filter(|seen| !seen.is_syn) else { return };
        let (way, back) = self.ways(toward);
        way.capable += u64::from(seen.is_capable);
        way.reduced += u64::from(seen.cwr);
        back.echoed += u64::from(seen.ece);
    }

    /// Forgets what was.
    pub(super) fn restart(&mut self, cable: &Cable) {
        *self = Marks::default();
        for toward in [Toward::Us, Toward::Peer] {
            self.ways(toward).0.marked = cable.marked(toward);
        }
    }

    /// Judges a transfer of many segments to an end.
    ///
    /// # Errors
    /// If nothing was marked on the way, or nobody says so, or its sender goes on as before.
    pub(super) fn judge(mut self, cable: &Cable, toward: Toward) -> Result<Told> {
        let way = self.ways(toward).0;
        way.marked = cable.marked(toward) - way.marked;
        let Way { capable, marked, echoed, reduced } = *way;
        let told = Told { marked, echoed, reduced };
        ensure!(capable > 0, "no packet may be marked: ECN was not agreed on");
        ensure!(marked > 0, "nothing was marked of {capable} packets");
        ensure!(echoed > 0 && reduced > 0, "marks were not told, or not heeded: {told}");
        Ok(told)
    }
}

/// How a transfer went.
pub(super) struct Told {
    marked: u64,
    echoed: u64,
    reduced: u64,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { marked, echoed, reduced } = self;
        write!(f, "{marked} marked, {echoed} ECE, {reduced} CWR")
    }
}
