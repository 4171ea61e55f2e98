//! The states that a peer is probed in, and how it comes into them.

use anyhow::{Context, Result, ensure};
use tcp_reset_core::{Control, Seq, State};

use super::bare_host::BareHost;
use super::probe::Ends;
use crate::peer::Socket;

/// Our initial sequence number.
const OUR_ISS: Seq = Seq(0x2000_0000);
/// Our window.
const WINDOW: u16 = 8_192;
/// The peer's ports: its listener's, one where nobody listens, and the first that it connects from.
const LISTENER: u16 = 20_000;
const NO_LISTENER: u16 = 20_001;
const FIRST_CLIENT: u16 = 10_000;
/// Numbers where there is no connection to have any.
const ANY: (Seq, Seq) = (Seq(0x3000_0000), Seq(0x2000_0000));

/// What the peer has when it is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// ESTABLISHED: it accepted us.
    Passive,
    /// ESTABLISHED: it connected to us.
    Active,
    CloseWait,
    FinWait2,
    SynReceived,
    /// No connection; somebody listens on the port.
    Listen,
    /// No connection; nobody listens.
    Closed,
}

impl Stage {
    pub(crate) const ALL: [Stage; 7] = [
        Stage::Passive,
        Stage::Active,
        Stage::CloseWait,
        Stage::FinWait2,
        Stage::SynReceived,
        Stage::Listen,
        Stage::Closed,
    ];

    /// Returns the word of the JSON and the column's head.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Passive => "passive",
            Stage::Active => "active",
            Stage::CloseWait => "CLOSE-WAIT",
            Stage::FinWait2 => "FIN-WAIT-2",
            Stage::SynReceived => "SYN-RCVD",
            Stage::Listen => "LISTEN",
            Stage::Closed => "CLOSED",
        }
    }

    /// Returns whether an application of the peer's has the connection.
    pub(crate) fn has_application(self) -> bool {
        match self {
            Stage::Passive | Stage::Active | Stage::CloseWait | Stage::FinWait2 => true,
            Stage::SynReceived | Stage::Listen | Stage::Closed => false,
        }
    }

    fn state(self) -> State {
        match self {
            Stage::Passive | Stage::Active => State::Established,
            Stage::CloseWait => State::CloseWait,
            Stage::FinWait2 => State::FinWait2,
            Stage::SynReceived => State::SynReceived,
            Stage::Listen => State::Listen,
            Stage::Closed => State::Closed,
        }
    }
}

/// A connection, or the lack of one.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) ends: Ends,
    /// What the peer's application holds of it.
    pub(crate) socket: Option<Socket>,
}

/// Brings the peer into a state, on ports of its own.
///
/// # Errors
/// If the peer does not come into it.
pub(crate) fn open(host: &mut BareHost<'_>, stage: Stage) -> Result<Opened> {
    let opened = match stage {
        Stage::Passive => accept(host),
        Stage::Active => connect(host),
        Stage::CloseWait => close_wait(host),
        Stage::FinWait2 => fin_wait_2(host),
        Stage::SynReceived => syn_received(host).map(|ends| Opened { ends, socket: None }),
        Stage::Listen => no_connection(host, LISTENER),
        Stage::Closed => no_connection(host, NO_LISTENER),
    };
    let opened = opened.with_context(|| format!("the peer does not come into {}", stage.state()))?;
    let is_there = |host: &mut BareHost<'_>| Ok(state(host, &opened.ends)? == stage.state());
    host.until(&format!("state {}", stage.state()), is_there)?;
    Ok(opened)
}

/// Returns the peer's state for a pair of endpoints.
pub(crate) fn state(host: &mut BareHost<'_>, ends: &Ends) -> Result<State> {
    host.peer().state(ends.theirs.port(), ends.ours)
}

/// Ends what is left of a connection, so that the next finds the peer as the first did.
///
/// # Errors
/// If the peer no longer answers.
pub(crate) fn clear(host: &mut BareHost<'_>, ends: &Ends) -> Result<()> {
    let rst = ends.segment(Control::RST, ends.rcv_nxt, Seq(0), 0);
    host.send(&rst)?;
    host.settle()?;
    host.peer().drop_streams()?;
    host.settle()
}

fn no_connection(host: &mut BareHost<'_>, port: u16) -> Result<Opened> {
    listen(host)?;
    let (snd_nxt, rcv_nxt) = ANY;
    let ends = Ends { ours: host.next_endpoint(), theirs: host.their_endpoint(port), snd_nxt, rcv_nxt };
    Ok(Opened { ends, socket: None })
}

fn listen(host: &mut BareHost<'_>) -> Result<Socket> {
    match host.peer().listener_on(LISTENER) {
        Some(listener) => Ok(listener),
        None => host.peer().listen(LISTENER),
    }
}

/// Our SYN, its SYN,ACK.
fn syn_received(host: &mut BareHost<'_>) -> Result<Ends> {
    listen(host)?;
    let (ours, theirs) = (host.next_endpoint(), host.their_endpoint(LISTENER));
    let ends = Ends { ours, theirs, snd_nxt: Seq(0), rcv_nxt: OUR_ISS + 1 };
    host.send(&ends.segment(Control::SYN, OUR_ISS, Seq(0), WINDOW))?;
    let syn_ack = host.segment(&ends, "SYN,ACK", |seen| seen.is(Control::SYN | Control::ACK))?;
    ensure!(syn_ack.ack == ends.rcv_nxt, "the peer acknowledges {}, not our SYN", syn_ack.ack);
    Ok(Ends { snd_nxt: syn_ack.seq + 1, ..ends })
}

fn accept(host: &mut BareHost<'_>) -> Result<Opened> {
    let ends = syn_received(host)?;
    host.send(&ends.segment(Control::ACK, ends.rcv_nxt, ends.snd_nxt, WINDOW))?;
    let listener = listen(host)?;
    let mut socket = None;
    host.until("an accepted connection", |host| {
        socket = host.peer().accept(listener)?;
        Ok(socket.is_some())
    })?;
    Ok(Opened { ends, socket })
}

fn connect(host: &mut BareHost<'_>) -> Result<Opened> {
    let ours = host.next_endpoint();
    // One port of its own for each of ours.
    let theirs = host.their_endpoint(ours.port() - FIRST_CLIENT);
    let ends = Ends { ours, theirs, snd_nxt: Seq(0), rcv_nxt: OUR_ISS + 1 };
    let socket = host.peer().connect(theirs.port(), ours, false)?;
    let syn = host.segment(&ends, "SYN", |seen| seen.is(Control::SYN))?;
    let ends = Ends { snd_nxt: syn.seq + 1, ..ends };
    host.send(&ends.segment(Control::SYN | Control::ACK, OUR_ISS, ends.snd_nxt, WINDOW))?;
    host.segment(&ends, "the handshake's ACK", |seen| seen.is(Control::ACK) && seen.ack == ends.rcv_nxt)?;
    host.until("the end of connect", |host| {
        let connected = host.peer().is_connected(socket)?;
        connected.map_err(|failure| anyhow::anyhow!("the peer does not connect: {failure}"))
    })?;
    Ok(Opened { ends, socket: Some(socket) })
}

fn close_wait(host: &mut BareHost<'_>) -> Result<Opened> {
    let Opened { ends, socket } = accept(host)?;
    host.send(&ends.segment(Control::FIN | Control::ACK, ends.rcv_nxt, ends.snd_nxt, WINDOW))?;
    let ends = Ends { rcv_nxt: ends.rcv_nxt + 1, ..ends };
    host.segment(&ends, "the ACK of our FIN", |seen| seen.ack == ends.rcv_nxt)?;
    Ok(Opened { ends, socket })
}

fn fin_wait_2(host: &mut BareHost<'_>) -> Result<Opened> {
    let Opened { ends, socket } = accept(host)?;
    let held = socket.context("nothing was accepted")?;
    host.peer().shutdown(held)?;
    host.segment(&ends, "FIN", |seen| seen.is(Control::FIN | Control::ACK) && seen.seq == ends.snd_nxt)?;
    let ends = Ends { snd_nxt: ends.snd_nxt + 1, ..ends };
    host.send(&ends.segment(Control::ACK, ends.rcv_nxt, ends.snd_nxt, WINDOW))?;
    Ok(Opened { ends, socket })
}
