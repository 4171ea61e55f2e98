//! Two endpoints that have a connection, or had one: what was seen between them.

use tcp_reset_core::Seq;

use super::addresses::Ep;

/// One direction.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Way {
    /// The end of what was sent.
    pub high: Option<Seq>,
    /// Segments with payload, and how many of them held what was sent before.
    pub sent: u32,
    pub again: u32,
    /// The receiver has closed its window once.
    pub is_narrow: bool,
    /// The largest right edge of the receiver's window that arrived at the sender.
    pub edge: Option<Seq>,
    /// The initial sequence number of the last SYN sent.
    pub isn: Option<Seq>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub ends: [Ep; 2],
    /// When something between them was last lost.
    pub lost_at: Option<u64>,
    pub ways: [Way; 2],
    /// The largest shift that a SYN of each end has offered for its windows.
    pub shifts: [Option<u8>; 2],
    /// When each end's engine last had nothing for the pair, after it had something.
    pub gone_at: [Option<u64>; 2],
    /// It was synchronized when last seen.
    pub was_open: [bool; 2],
    pub had: [bool; 2],
    /// When each end was last sent an RST by the other that reached it.
    pub told_at: [Option<u64>; 2],
    /// The number of that RST.
    pub told_seq: [Option<Seq>; 2],
    /// The numbers behind SYNs that were forged in each end's name: an RST of the end refuses the handshake that one began.
    pub forged: [Vec<Seq>; 2],
    pub second: u64,
    pub empty: u32,
}

impl Pair {
    pub(super) fn new(a: Ep, b: Ep) -> Pair {
        Pair {
            ends: [a, b],
            lost_at: None,
            ways: [Way::default(); 2],
            shifts: [None; 2],
            gone_at: [None; 2],
            was_open: [false; 2],
            had: [false; 2],
            told_at: [None; 2],
            told_seq: [None; 2],
            forged: [Vec::new(), Vec::new()],
            second: 0,
            empty: 0,
        }
    }

    /// Whether the last RST that an end was sent refuses a forged handshake.
    pub(super) fn is_told_of_forgery(&self, end: Ep) -> bool {
        let place = self.place(end);
        self.told_seq[place].is_some_and(|seq| self.forged[1 - place].contains(&seq))
    }

    pub(super) fn is_of(&self, host: usize) -> bool {
        self.ends.iter().any(|end| end.host() == host)
    }

    /// By how much the windows that an end says are shifted, but for those of SYNs.
    pub(super) fn shift_of(&self, end: Ep) -> u8 {
        let place = self.place(end);
        self.shifts[1 - place].and(self.shifts[place]).unwrap_or(0)
    }

    /// Which end it is.
    pub(super) fn place(&self, end: Ep) -> usize {
        usize::from(self.ends[1] == end)
    }
}
