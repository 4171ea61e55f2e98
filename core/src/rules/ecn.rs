//! What two SYNs agree on about Explicit Congestion Notification (RFC 3168 §6.1.1).

use crate::wire::segment::Control;

/// A SYN asks with both flags; in a SYN,ACK ECE alone agrees. A host that sends back the flags of our SYN as they were does not know them.
const BOTH: Control = Control::ECE.union(Control::CWR);

/// What the ends have said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Agreed {
    /// One of them nothing: no packet is marked.
    Nothing,
    /// The peer may count on us, so its marks are echoed; one SYN of its own did not ask, so no packet of ours may be marked.
    Echo,
    /// Both that they know what marks mean.
    All,
}

impl Agreed {
    pub(crate) const NOT: Agreed = Agreed::Nothing;

    /// By the peer's SYN or SYN,ACK; `is_taken` says whether we want it.
    pub(crate) fn in_syn(control: Control, is_taken: bool) -> Agreed {
        let agreed = if control.contains(Control::ACK) { Control::ECE } else { BOTH };
        if is_taken && control.intersection(BOTH) == agreed { Agreed::All } else { Agreed::Nothing }
    }

    /// The same where the peer has sent another SYN, by which alone it would be `other`.
    pub(crate) fn after(self, other: Agreed) -> Agreed {
        if self == Agreed::All && other != Agreed::All { Agreed::Echo } else { self }
    }

    /// The peer's SYN has come again, after our SYN,ACK.
    pub(crate) fn renew(&mut self, control: Control) {
        *self = self.after(Agreed::in_syn(control, true));
    }

    /// The flags of our SYN.
    pub(crate) fn asking(is_offered: bool) -> Control {
        if is_offered { BOTH } else { Control::empty() }
    }

    /// The flags of our SYN,ACK.
    pub(crate) fn answering(self) -> Control {
        if self == Agreed::Nothing { Control::empty() } else { Control::ECE }
    }
}
