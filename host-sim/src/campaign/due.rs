//! What is due in a world, and when.

use std::cmp::Ordering;

/// A frame on its way.
pub(super) struct InFlight {
    pub to: usize,
    pub bytes: Vec<u8>,
    /// An attacker made it.
    pub is_forged: bool,
    /// One bit is wrong.
    pub is_corrupt: bool,
    /// How many empty ACKs in a row answered one another before it, itself included.
    pub depth: u16,
}

/// What is due at a time.
pub(super) enum Due {
    Frame(InFlight),
    Op(usize),
    Wake(usize),
    /// A host's trouble is over.
    Over(usize),
    App(usize),
    Accept(usize, usize),
    /// An opener connects again.
    Again(usize),
    Rogue,
}

/// Something due: at a time, and among what is due then in the order it was added.
pub(super) struct At(pub u64, pub u64, pub Due);

impl PartialEq for At {
    fn eq(&self, other: &At) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &At) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &At) -> Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
