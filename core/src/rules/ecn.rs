//! What two SYNs agree on about Explicit Congestion Notification (RFC 3168 §6.1.1).

use crate::wire::segment::Control;

/// A SYN asks with both flags; in a SYN,ACK ECE alone agrees. Who sends back our SYN's flags as they were does not know them.
const BOTH: Control = Control::ECE.union(Control::CWR);

/// Whether both ends have said that they know what marks mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Agreed(bool);

impl Agreed {
    pub(crate) const NOT: Agreed = Agreed(false);

    pub(crate) fn of(is_agreed: bool) -> Agreed {
        Agreed(is_agreed)
    }

    /// By the peer's SYN or SYN,ACK; `is_taken` says whether we want it.
    pub(crate) fn in_syn(control: Control, is_taken: bool) -> Agreed {
        let agreed = if control.contains(Control::ACK) { Control::ECE } else { BOTH };
        Agreed(is_taken && control.intersection(BOTH) == agreed)
    }

    /// What was agreed on by a SYN that has come again: one without the flags takes it back.
    pub(crate) fn renew(&mut self, control: Control) {
        self.0 &= Agreed::in_syn(control, true).0;
    }

    /// The flags of our SYN.
    pub(crate) fn asking(is_offered: bool) -> Control {
        if is_offered { BOTH } else { Control::empty() }
    }

    /// The flags of our SYN,ACK.
    pub(crate) fn answering(self) -> Control {
        if self.0 { Control::ECE } else { Control::empty() }
    }

    pub(crate) fn is_agreed(self) -> bool {
        self.0
    }
}
