//! The probes, and the numbers they are sent with.

use std::fmt;
use std::net::SocketAddr;

use tcp_reset_core::{Control, Seq};

use crate::frame::Seen;

/// How far from the connection's own numbers foreign ones are: outside of every window, on a side of it that has no doubt.
const FAR: u32 = 1 << 30;
/// Half of all numbers: of two ACKs so far apart one is ahead of SND.NXT, whatever it is.
const HALF: u32 = 1 << 31;
/// A window that is open.
const OPEN: u16 = 1_024;

/// Both endpoints of a connection, and the peer's numbers. Where the peer has no connection the numbers are any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) ours: SocketAddr,
    pub(crate) theirs: SocketAddr,
    /// The peer's SND.NXT.
    pub(crate) snd_nxt: Seq,
    /// The peer's RCV.NXT.
    pub(crate) rcv_nxt: Seq,
}

impl Ends {
    /// Returns a segment to the peer.
    pub(crate) fn segment(&self, control: Control, seq: Seq, ack: Seq, wnd: u16) -> Seen {
        Seen { from: self.ours, to: self.theirs, seq, ack, control, wnd, len: 0, timestamps: None }
    }
}

/// Where a number comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    /// The peer's own, and so much.
    Own(i32),
    /// Any: the prober has forgotten the connection, or never had it.
    Foreign,
}

/// A kind of probe.
pub(crate) struct Probe {
    /// What it is called in the JSON.
    pub(crate) name: &'static str,
    /// What it is called in the tables.
    pub(crate) title: &'static str,
    control: Control,
    seq: Number,
    /// SEG.ACK; relative to the peer's SND.NXT. Not sent without the control bit.
    ack: Number,
    wnd: u16,
    /// Sent once more with SEG.ACK half of all numbers away.
    is_twice: bool,
}

impl Probe {
    const fn new(name: &'static str, title: &'static str, control: Control) -> Probe {
        Probe { name, title, control, seq: Number::Foreign, ack: Number::Foreign, wnd: OPEN, is_twice: false }
    }
}

/// All probes.
pub(crate) const PROBES: [Probe; 9] = [
    Probe { wnd: 0, ..Probe::new("ack-window-0", "ACK WND=0", Control::ACK) },
    Probe::new("ack", "ACK WND=1024", Control::ACK),
    Probe { wnd: 0, is_twice: true, ..Probe::new("ack-twice", "ACK twice", Control::ACK) },
    Probe::new("syn", "SYN", Control::SYN),
    Probe::new("syn-ack", "SYN,ACK", Control::SYN.union(Control::ACK)),
    Probe::new("fin-ack", "FIN,ACK", Control::FIN.union(Control::ACK)),
    Probe { seq: Number::Own(1), wnd: 0, ..Probe::new("rst-next-1", "RST NXT+1", Control::RST) },
    Probe { wnd: 0, ..Probe::new("rst-outside", "RST outside", Control::RST) },
    Probe { seq: Number::Own(-1), ack: Number::Own(0), ..Probe::new("keepalive", "ACK NXT-1", Control::ACK) },
];

/// On which side of the peer's own number a foreign one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Ahead,
    Behind,
}

impl Side {
    const BOTH: [Option<Side>; 2] = [Some(Side::Ahead), Some(Side::Behind)];

    /// Returns the word of the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Ahead => "ahead",
            Side::Behind => "behind",
        }
    }
}

/// A choice of foreign numbers; `None` for a number that is the peer's own, or is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub(crate) seq: Option<Side>,
    pub(crate) ack: Option<Side>,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |side| if side == Side::Ahead { '+' } else { '-' };
        let named = [("SEQ", self.seq), ("ACK", self.ack)].map(|(name, side)| side.map(|side| (name, sign(side))));
        let parts: Vec<_> = named.into_iter().flatten().map(|(name, sign)| format!("{name}{sign}")).collect();
        f.write_str(&parts.join(" "))
    }
}

impl Probe {
    /// Returns every choice of numbers that it is tried with.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let sides = |number, is_sent| match number {
            Number::Foreign if is_sent => &Side::BOTH[..],
            Number::Foreign | Number::Own(_) => &[None],
        };
        let acks = sides(self.ack, self.control.contains(Control::ACK));
        sides(self.seq, true).iter().flat_map(|&seq| acks.iter().map(move |&ack| Choice { seq, ack })).collect()
    }

    /// Returns the segments of the probe on a connection.
    pub(crate) fn segments(&self, ends: &Ends, choice: Choice) -> Vec<Seen> {
        let seq = place(self.seq, ends.rcv_nxt, choice.seq);
        let has_ack = self.control.contains(Control::ACK);
        let ack = if has_ack { place(self.ack, ends.snd_nxt, choice.ack) } else { Seq(0) };
        let first = ends.segment(self.control, seq, ack, self.wnd);
        let second = self.is_twice.then_some(Seen { ack: ack + HALF, ..first });
        [Some(first), second].into_iter().flatten().collect()
    }
}

fn place(number: Number, own: Seq, side: Option<Side>) -> Seq {
    match (number, side) {
        (Number::Own(distance), _) => Seq(own.0.wrapping_add_signed(distance)),
        (Number::Foreign, Some(Side::Behind)) => own - FAR,
        (Number::Foreign, Some(Side::Ahead) | None) => own + FAR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        let at = |port| SocketAddr::from(([10, 69, 0, 1], port));
        Ends { ours: at(1), theirs: at(2), snd_nxt: Seq(100), rcv_nxt: Seq(5) }
    }

    fn probe(name: &str) -> &'static Probe {
        PROBES.iter().find(|probe| probe.name == name).expect("a probe of that name")
    }

    #[test]
    fn foreign_numbers_are_tried_on_each_side() {
        let shown = |name| probe(name).choices().iter().map(Choice::to_string).collect::<Vec<_>>();
        assert_eq!(shown("ack"), ["SEQ+ ACK+", "SEQ+ ACK-", "SEQ- ACK+", "SEQ- ACK-"]);
        assert_eq!(shown("syn"), ["SEQ+", "SEQ-"]);
        assert_eq!(shown("keepalive"), [""]);
    }

    #[test]
    fn one_of_two_acks_is_ahead_whatever_was_sent() {
        for choice in probe("ack-twice").choices() {
            let segments = probe("ack-twice").segments(&ends(), choice);
            let ahead = segments.iter().filter(|segment| segment.ack.gt(ends().snd_nxt)).count();
            assert_eq!((segments.len(), ahead), (2, 1), "{choice}");
        }
    }

    #[test]
    fn own_numbers_wrap() {
        let segments =
            probe("keepalive").segments(&Ends { rcv_nxt: Seq(0), ..ends() }, Choice { seq: None, ack: None });
        assert_eq!((segments[0].seq, segments[0].ack), (Seq(u32::MAX), Seq(100)));
    }
}
