//! What the wire shows of one side's connection, and what must hold of it.

use crate::support::packet::segment::Seg;
use crate::support::packet::{ACK, FIN, PSH, RST, SYN, URG};

/// How far `a` is ahead of `b` on the circle of sequence numbers.
pub(crate) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// What the wire shows of one side's connection.
#[derive(Default)]
pub(crate) struct Books {
    /// The right edge of the window the peer offered, as far as its segments arrived.
    pub(crate) may_send_to: Option<u32>,
    /// The sequence number of this side's SYN.
    isn: Option<u32>,
    /// The right edge of the window this side offered.
    pub(crate) offered_to: Option<u32>,
    /// The end of the most advanced segment this side sent.
    pub(crate) sent_to: Option<u32>,
}

impl Books {
    pub(crate) fn sends(&mut self, seg: &Seg) {
        if seg.has(RST) {
            return;
        }
        if seg.has(SYN) && self.isn.replace(seg.seq).is_some_and(|isn| isn != seg.seq) {
            // An old SYN has come late, to a listener whose connection is over: it draws the SYN,ACK of another.
            (self.offered_to, self.sent_to) = (None, None);
        }
        if seg.has(ACK) {
            let edge = seg.ack.wrapping_add(u32::from(seg.wnd));
            if let Some(before) = self.offered_to {
                assert!(ahead(edge, before) >= 0, "the window shrinks: {seg:?}");
            }
            self.offered_to = Some(edge);
        }
        if seg.has(SYN) {
            return;
        }
        let edge = self.may_send_to.expect("something was heard of the peer");
        // A window probe is one number beyond it.
        assert!(ahead(seg.end(), edge.wrapping_add(1)) <= 0, "beyond the peer's window {edge}: {seg:?}");
        if self.sent_to.is_none_or(|to| ahead(seg.end(), to) > 0) {
            self.sent_to = Some(seg.end());
        }
    }

    pub(crate) fn hears(&mut self, seg: &Seg) {
        if seg.has(ACK) && !seg.has(RST) {
            let edge = seg.ack.wrapping_add(u32::from(seg.wnd));
            if self.may_send_to.is_none_or(|to| ahead(edge, to) > 0) {
                self.may_send_to = Some(edge);
            }
        }
    }
}

pub(crate) fn text_of(seg: &Seg) -> String {
    let mut flags = String::new();
    for (bit, name) in [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P'), (ACK, 'A'), (URG, 'U')] {
        if seg.has(bit) {
            flags.push(name);
        }
    }
    format!("{flags} seq {} ack {} wnd {} len {}", seg.seq, seg.ack, seg.wnd, seg.text.len())
}
