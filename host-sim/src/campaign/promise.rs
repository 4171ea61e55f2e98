//! What the verdict on a segment promises its sender.

use tcp_reset_core::{Action, Control};

use super::addresses::Ep;
use crate::frame::Seen;

/// An answer that a verdict promises.
pub(super) struct Promise {
    pub host: usize,
    pub local: Ep,
    pub remote: Ep,
    /// As in the verdict.
    pub action: Action,
    /// The host's counter before.
    pub replies_lost: u32,
}

impl Promise {
    /// Whether a segment is the answer.
    pub(super) fn is_kept_by(&self, from: Ep, to: Ep, seen: &Seen) -> bool {
        let control = match self.action {
            Action::Reset(_) => Control::RST,
            Action::SynAcked => Control::SYN,
            Action::Challenged | Action::Acknowledged => Control::ACK,
            Action::Dropped
            | Action::Accepted
            | Action::Limited
            | Action::ReturnedToListen
            | Action::ReturnedToSynSent
            | Action::Ended(_) => return false,
        };
        (self.local, self.remote) == (from, to) && seen.control.contains(control)
    }
}
