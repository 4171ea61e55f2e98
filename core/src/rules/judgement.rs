//! What a rule asks for: the vocabulary between the rules and those who carry it out.

use crate::rules::reset::Reset;
use crate::rules::verdict::{CloseReason, Rule};
use crate::size::Size;

/// A rule, and what it asks for: `D` has what can be asked of one kind of record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Judgement<D> {
    pub(crate) rule: Rule,
    pub(crate) disposition: D,
}

/// What every record can be asked for: the record stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Drop,
    /// An empty ACK; `limited` where the record's quota applies.
    Acknowledge {
        limited: bool,
    },
    /// An empty ACK within the quota, to ask whether the peer meant it.
    Challenge,
}

/// LISTEN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForListener {
    Drop,
    Reset(Reset),
    /// A half-open record is made.
    Open,
}

/// SYN-RECEIVED, however it was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForHandshake {
    Answer(Answer),
    /// The SYN,ACK again, within the quota.
    SynAckAgain,
    /// An RST; the record stays as it is.
    Reset(Reset),
    /// The handshake is done, and the connection accepts the segment.
    Accept(Accepted),
}

/// SYN-RECEIVED by a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForHalfOpen {
    Handshake(ForHandshake),
    /// The record is freed.
    ReturnToListen,
}

/// Every state of a connection with a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForConnection {
    Handshake(ForHandshake),
    /// SYN-RECEIVED by active open: the SYN that led there is forgotten, ours goes out again.
    ReturnToSynSent,
    /// The connection is over, nothing is sent.
    End(CloseReason),
}

/// TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForTimeWait {
    Answer(Answer),
    /// A half-open record is made, if a listener agrees.
    Reopen,
    /// The peer's FIN is acknowledged and 2 MSL start anew.
    Restart,
}

/// What a connection takes from a segment, all of it validated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Accepted {
    /// The handshake's other half: IRS is SEG.SEQ (SYN-SENT, SYN-RECEIVED by active open).
    pub(crate) syn: bool,
    /// The state becomes ESTABLISHED.
    pub(crate) establishes: bool,
    /// SEG.ACK is believable and processed.
    pub(crate) ack: bool,
    /// What the window admits of the payload.
    pub(crate) payload: Span,
    /// The peer's FIN, at this distance from RCV.NXT.
    pub(crate) fin: Option<Size>,
    /// An acknowledgment goes out at once.
    pub(crate) ack_now: bool,
    /// The payload has no taker: after the acknowledgment is processed the connection is reset.
    pub(crate) receiver_gone: bool,
}

/// A part of a segment's payload and its place behind RCV.NXT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    /// Bytes of the payload to leave out in front.
    pub(crate) skip: Size,
    /// Bytes to take.
    pub(crate) len: u16,
    /// Distance of the first taken byte from RCV.NXT.
    pub(crate) offset: Size,
}

impl Rule {
    pub(crate) fn then<D>(self, disposition: impl Into<D>) -> Judgement<D> {
        Judgement { rule: self, disposition: disposition.into() }
    }
}

impl<D> Judgement<D> {
    /// The same for a kind of record that can be asked for more.
    pub(crate) fn widen<E: From<D>>(self) -> Judgement<E> {
        Judgement { rule: self.rule, disposition: self.disposition.into() }
    }
}

impl From<Answer> for ForHandshake {
    fn from(answer: Answer) -> ForHandshake {
        ForHandshake::Answer(answer)
    }
}

impl From<Reset> for ForHandshake {
    fn from(reset: Reset) -> ForHandshake {
        ForHandshake::Reset(reset)
    }
}

impl From<Accepted> for ForHandshake {
    fn from(accepted: Accepted) -> ForHandshake {
        ForHandshake::Accept(accepted)
    }
}

impl<D: Into<ForHandshake>> From<D> for ForHalfOpen {
    fn from(disposition: D) -> ForHalfOpen {
        ForHalfOpen::Handshake(disposition.into())
    }
}

impl<D: Into<ForHandshake>> From<D> for ForConnection {
    fn from(disposition: D) -> ForConnection {
        ForConnection::Handshake(disposition.into())
    }
}

impl From<Answer> for ForTimeWait {
    fn from(answer: Answer) -> ForTimeWait {
        ForTimeWait::Answer(answer)
    }
}
