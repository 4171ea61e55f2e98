//! What a rule asks for: the vocabulary between the rules and those who carry it out.

use crate::rules::reset::Reset;
use crate::rules::verdict::{CloseReason, Rule};

/// A rule, and what it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Judgement {
    pub(crate) rule: Rule,
    pub(crate) disposition: Disposition,
}

/// What is to be done about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disposition {
    Drop,
    /// An empty ACK; `limited` where the record's quota applies.
    Acknowledge {
        limited: bool,
    },
    /// An empty ACK within the quota, to ask whether the peer meant it.
    Challenge,
    /// The SYN,ACK again, within the quota.
    SynAckAgain,
    /// An RST; the record stays as it is.
    Reset(Reset),
    /// The connection is over, nothing is sent.
    End(CloseReason),
    /// The half-open record is freed.
    ReturnToListen,
    /// SYN-RECEIVED by active open: the SYN that led there is forgotten, ours goes out again.
    ReturnToSynSent,
    /// LISTEN: make a half-open record.
    HalfOpen,
    /// TIME-WAIT: make a half-open record if a listener agrees.
    Reopen,
    /// TIME-WAIT: acknowledge and start 2 MSL anew.
    Restart,
    /// The connection takes the segment.
    Take(Take),
}

/// What a connection takes from a segment, all of it validated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Take {
    /// The handshake's other half: IRS is SEG.SEQ (SYN-SENT, SYN-RECEIVED by active open).
    pub(crate) syn: bool,
    /// The state becomes ESTABLISHED.
    pub(crate) establishes: bool,
    /// SEG.ACK is believable and processed.
    pub(crate) ack: bool,
    /// What the window admits of the text.
    pub(crate) text: Span,
    /// The peer's FIN, at this distance from RCV.NXT.
    pub(crate) fin: Option<u16>,
    /// An acknowledgement goes out at once.
    pub(crate) ack_now: bool,
    /// The text has no taker: after the acknowledgement is processed the connection is reset.
    pub(crate) receiver_gone: bool,
}

/// A part of a segment's text and its place behind RCV.NXT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    /// Octets of the text to leave out in front.
    pub(crate) skip: u16,
    /// Octets to take.
    pub(crate) len: u16,
    /// Distance of the first taken octet from RCV.NXT.
    pub(crate) offset: u16,
}

impl Rule {
    pub(crate) const fn then(self, disposition: Disposition) -> Judgement {
        Judgement { rule: self, disposition }
    }
}
