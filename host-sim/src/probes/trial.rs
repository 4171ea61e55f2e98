//! One probe on one connection: what the peer answers, and what its application learns once the answer has drawn RST.

use std::fmt;

use anyhow::Result;
use tcp_reset_core::{Control, Seq, State};

use super::bare_host::BareHost;
use super::probe::{Choice, Ends, Probe};
use super::stage::{self, Opened, Stage};
use crate::frame::Seen;

/// A number this close to one with a name is called after it.
const NEAR: u32 = 16;

/// What became of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// No answer; the peer has the connection as before.
    Silent,
    /// The answer is RST itself; the peer has the connection as before.
    Reset,
    /// The peer answered with its RCV.NXT, and keeps the connection in spite of RST.
    Kept,
    /// The peer answered with another number than its RCV.NXT, and keeps the connection.
    Inexact,
    /// The RST that the answer drew ended the connection: the application is told, or in SYN-RECEIVED the entry is gone.
    Learned,
    /// The probe ended the connection by itself.
    Ended,
    /// The probe completed the handshake.
    Opened,
}

/// How a peer without the connection answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stranger {
    Silent,
    /// RST at SEQ=SEG.ACK.
    ResetAtAck,
    /// RST at SEQ=0.
    ResetAtZero,
    SynAck,
    Other,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Connection(End),
    None(Stranger),
}

impl Found {
    /// Returns the word of the tables and the JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Found::Connection(End::Silent) | Found::None(Stranger::Silent) => "silent",
            Found::Connection(End::Reset) => "RST",
            Found::Connection(End::Kept) => "kept",
            Found::Connection(End::Inexact) => "inexact",
            Found::Connection(End::Learned) => "learns",
            Found::Connection(End::Ended) => "ended",
            Found::Connection(End::Opened) => "opened",
            Found::None(Stranger::ResetAtAck) => "RST@ACK",
            Found::None(Stranger::ResetAtZero) => "RST@0",
            Found::None(Stranger::SynAck) => "SYN,ACK",
            Found::None(Stranger::Other) => "other",
        }
    }
}

/// A probe and what it found.
#[derive(Clone)]
pub(crate) struct Trial {
    pub(crate) choice: Choice,
    /// What the peer answered, with its numbers by name.
    pub(crate) answers: Vec<String>,
    /// Whether the first answer's SEG.ACK is the peer's RCV.NXT; `None` if there is none that carries ACK and no RST.
    pub(crate) is_exact: Option<bool>,
    pub(crate) found: Found,
    /// The error that the application is told, as a system would call it. smoltcp's finds the socket CLOSED and is told no reason.
    pub(crate) told: Option<String>,
}

/// Probes a peer in a state.
///
/// # Errors
/// If the peer does not come into the state, or the wire fails.
pub(crate) fn run(host: &mut BareHost<'_>, stage: Stage, probe: &Probe, choice: Choice) -> Result<Trial> {
    let opened = stage::open(host, stage)?;
    let ends = opened.ends;
    let segments = probe.segments(&ends, choice);
    let answers = host.ask(&ends, &segments)?;
    let is_exact = answers.iter().find(|seen| draws_rst(seen)).map(|seen| seen.ack == ends.rcv_nxt);
    let (found, told) = match stage {
        Stage::Listen | Stage::Closed => (Found::None(stranger(&answers, &segments)), None),
        Stage::Passive | Stage::Active | Stage::CloseWait | Stage::FinWait2 | Stage::SynReceived => {
            let (end, told) = follow_up(host, stage, &opened, &answers, is_exact)?;
            (Found::Connection(end), told)
        }
    };
    stage::clear(host, &ends)?;
    let named = |seen: &Seen| Named { seen, ends: &ends, segments: &segments, stage }.to_string();
    Ok(Trial { choice, answers: answers.iter().map(named).collect(), is_exact, found, told })
}

/// Sends the RSTs that a host without the connection sends to the answers (RFC 9293, 3.10.7.1), and looks what they do.
fn follow_up(
    host: &mut BareHost<'_>,
    stage: Stage,
    opened: &Opened,
    answers: &[Seen],
    is_exact: Option<bool>,
) -> Result<(End, Option<String>)> {
    if let Some(told) = end_of(host, opened)? {
        return Ok((End::Ended, told));
    }
    if stage == Stage::SynReceived && stage::state(host, &opened.ends)?.is_synchronized() {
        return Ok((End::Opened, None));
    }
    let Some(is_exact) = is_exact else {
        return Ok((if answers.is_empty() { End::Silent } else { End::Reset }, None));
    };
    for answer in answers.iter().filter(|answer| draws_rst(answer)) {
        host.send(&opened.ends.segment(Control::RST, answer.ack, Seq(0), 0))?;
    }
    host.settle()?;
    Ok(match (end_of(host, opened)?, is_exact) {
        (Some(told), true) => (End::Learned, told),
        (Some(told), false) => (End::Ended, told),
        (None, true) => (End::Kept, None),
        (None, false) => (End::Inexact, None),
    })
}

/// Returns whether a host without the connection answers it by RST at SEQ=SEG.ACK.
fn draws_rst(answer: &Seen) -> bool {
    answer.control.contains(Control::ACK) && !answer.control.contains(Control::RST)
}

/// Returns whether the connection has ended, and with what the application is told, if there is one.
fn end_of(host: &mut BareHost<'_>, opened: &Opened) -> Result<Option<Option<String>>> {
    let Some(socket) = opened.socket else {
        let state = stage::state(host, &opened.ends)?;
        return Ok(matches!(state, State::Listen | State::Closed).then_some(None));
    };
    Ok(host.peer().is_connected(socket)?.err().map(|failure| Some(failure.to_string())))
}

fn stranger(answers: &[Seen], segments: &[Seen]) -> Stranger {
    let Some(answer) = answers.first() else { return Stranger::Silent };
    let is_rst = answer.control.contains(Control::RST);
    let is_at_ack = |segment: &Seen| segment.control.contains(Control::ACK) && segment.ack == answer.seq;
    if answer.is(Control::SYN | Control::ACK) {
        Stranger::SynAck
    } else if is_rst && segments.iter().any(is_at_ack) {
        Stranger::ResetAtAck
    } else if is_rst && answer.seq == Seq(0) {
        Stranger::ResetAtZero
    } else {
        Stranger::Other
    }
}

/// A segment with its numbers by name.
struct Named<'n> {
    seen: &'n Seen,
    ends: &'n Ends,
    segments: &'n [Seen],
    stage: Stage,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} SEQ={}", self.seen.control, self.name(self.seen.seq))?;
        if self.seen.control.contains(Control::ACK) {
            write!(f, " ACK={}", self.name(self.seen.ack))?;
        }
        Ok(())
    }
}

impl Named<'_> {
    fn name(&self, number: Seq) -> String {
        let has_connection = !matches!(self.stage, Stage::Listen | Stage::Closed);
        let own = [("SND.NXT", self.ends.snd_nxt), ("RCV.NXT", self.ends.rcv_nxt)];
        let own = own.into_iter().filter(|_| has_connection);
        let probes = self.segments.iter().flat_map(|segment| [("SEG.SEQ", segment.seq), ("SEG.ACK", segment.ack)]);
        let mut named = own.chain(probes);
        if number == Seq(0) {
            return "0".to_owned();
        }
        let is_near = |base: Seq| number.since(base) < NEAR || base.since(number) < NEAR;
        let found = named.find(|(_, base)| is_near(*base));
        found.map_or_else(
            || number.to_string(),
            |(name, base)| match number.0.wrapping_sub(base.0) as i32 {
                0 => name.to_owned(),
                distance => format!("{name}{distance:+}"),
            },
        )
    }
}
