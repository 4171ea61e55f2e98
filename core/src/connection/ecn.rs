//! Explicit Congestion Notification (RFC 3168): the network marks what it would else have to drop, the receiver echoes the mark, and the sender, which has
//! then less out, says so.

use crate::rules::ecn::Agreed;
use crate::size::{Size, saturated};
use crate::wire::ecn::Codepoint;
use crate::wire::segment::{Control, Segment};

bitflags::bitflags! {
    /// `ECHO` and `REDUCED` have the bits of the flags that tell the peer, so that [`Ecn::flags`] only masks.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct State: u16 {
        /// The peer's marks are echoed.
        const ENABLED = 1 << 0;
        /// What we send may be marked.
        const CAPABLE = 1 << 1;
        /// Something has arrived marked, and its sender has not said yet that it knows.
        const ECHO = Control::ECE.bits() as u16;
        /// Less may be out than before; the next new payload says so.
        const REDUCED = Control::CWR.bits() as u16;
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ecn {
    state: State,
    /// What was out when the window was reduced and is not acknowledged since, and one byte more, which goes with CWR. Before the peer has that byte its echoes
    /// say nothing new.
    until: Size,
}

impl Ecn {
    pub(crate) const NEW: Ecn = Ecn { state: State::empty(), until: 0 };

    /// The peer's SYN has come.
    pub(crate) fn begin(&mut self, agreed: Agreed) {
        *self = Ecn::NEW;
        self.state.set(State::ENABLED, agreed != Agreed::Nothing);
        self.state.set(State::CAPABLE, agreed == Agreed::All);
    }

    /// The peer's SYN has come again.
    pub(crate) fn renew(&mut self, control: Control) {
        let mut agreed = self.agreed();
        agreed.renew(control);
        self.begin(agreed);
    }

    pub(crate) fn agreed(&self) -> Agreed {
        match (self.is_enabled(), self.is_capable()) {
            (false, _) => Agreed::Nothing,
            (true, false) => Agreed::Echo,
            (true, true) => Agreed::All,
        }
    }

    /// Returns whether what we send may be marked.
    #[inline]
    pub(crate) fn is_capable(&self) -> bool {
        self.state.contains(State::CAPABLE)
    }

    /// Returns whether the peer's marks are echoed.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.state.contains(State::ENABLED)
    }

    /// A segment is accepted. Returns whether its sender is to be answered at once: it has little out, perhaps a single segment.
    #[inline]
    pub(crate) fn note(&mut self, seg: &Segment<'_>, codepoint: Codepoint) -> bool {
        (codepoint.is_ce() || seg.has(Control::CWR)) && self.note_news(seg, codepoint)
    }

    #[cold]
    #[inline(never)]
    fn note_news(&mut self, seg: &Segment<'_>, codepoint: Codepoint) -> bool {
        // Nothing else may be marked (§6.1.4).
        if !self.is_enabled() || seg.payload.is_empty() {
            return false;
        }
        let is_reduced = seg.has(Control::CWR);
        if is_reduced {
            self.state.remove(State::ECHO);
        }
        if codepoint.is_ce() {
            self.state.insert(State::ECHO);
        }
        is_reduced
    }

    /// Returns the flags of a segment that acknowledges; `is_new` says that it has payload which was never sent before.
    #[inline]
    pub(crate) fn flags(&self, is_new: bool) -> Control {
        let told = if is_new { Control::ECE | Control::CWR } else { Control::ECE };
        Control::from_bits_retain(self.state.bits() as u8) & told
    }

    /// New payload went out, and CWR with it where it was due.
    #[inline]
    pub(crate) fn sent_new(&mut self) {
        self.state.remove(State::REDUCED);
    }

    /// Returns whether the peer, which acknowledges `n` numbers more, tells of a mark that the last reduction does not answer.
    #[inline]
    pub(crate) fn is_news_in(&self, control: Control, n: u32) -> bool {
        self.is_capable() && control.contains(Control::ECE) && n >= u32::from(self.until)
    }

    /// The congestion window was reduced, with `flight` out.
    pub(crate) fn reduced(&mut self, flight: u32) {
        if self.is_capable() {
            self.state.insert(State::REDUCED);
            self.until = saturated(flight + 1);
        }
    }

    /// Returns whether something is out for which the window was reduced already.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.until > 1
    }

    /// SND.UNA has moved by `n`.
    #[inline]
    pub(crate) fn acknowledged(&mut self, n: u32) {
        self.until = u32::from(self.until).saturating_sub(n) as Size;
    }
}
