//! Both sides open at once; nobody listens.

use anyhow::{Result, bail, ensure};
use tcp_reset_core::{CloseReason, Control, Event, State};

use crate::peer::Failure;
use crate::script::{OUR_CLIENT, OUR_SERVER, THEIR_CLIENT, THEIR_SERVER, expect_told, is_alive};
use crate::trace::Way;
use crate::world::{Pair, World};

/// Against Linux the echo takes a second: after crossing SYNs it scales the window it offers although we never offered scaling, and so
/// small a window is used only after the override timeout (RFC 9293 §3.8.6.2.1).
pub(super) fn simultaneous_open(w: &mut World<'_>) -> Result<()> {
    let (our_port, their_port) = (w.port(OUR_CLIENT), w.port(THEIR_CLIENT));
    let our_end = w.our_end(our_port);
    w.note("both connect to each other's port before either has seen the other's SYN");
    let ours = w.connect(our_port, their_port)?;
    // Where our SYN still waits for the peer's Ethernet address, it leaves once that is known: the peer must not be asked before.
    w.until("our SYN is out or waits only for the peer", |w| Ok(w.state_at(our_port, their_port) == State::SynSent))?;
    let theirs = w.peer().connect(their_port, our_end, false)?;
    let pair = Pair { ours, theirs, our_end, their_end: w.their_end(their_port) };
    if let Err(failure) = w.peer_connected(theirs)? {
        bail!("the peer could not connect: {failure}");
    }
    w.until("we are connected", |w| Ok(w.was_told(Event::Connected(ours))))?;
    ensure!(w.trace.from_us(Control::SYN) >= 1 && w.trace.from_peer(Control::SYN) >= 1, "one side sent no SYN");
    let first_back = w.trace.steps().find(|step| step.way == Way::ToUs);
    ensure!(first_back.is_some_and(|step| step.seen.is(Control::SYN)), "the peer's SYN did not cross ours");
    is_alive(w, &pair)
}

pub(super) fn refused_by_us(w: &mut World<'_>) -> Result<()> {
    let (our_port, their_port) = (w.port(OUR_SERVER), w.port(THEIR_CLIENT));
    w.note("the peer connects to a port nobody listens on");
    let our_end = w.our_end(our_port);
    let theirs = w.peer().connect(their_port, our_end, false)?;
    let outcome = w.peer_connected(theirs)?;
    ensure!(outcome == Err(Failure::Refused), "the peer's process saw {outcome:?}, not ECONNREFUSED");
    w.note("the peer's process sees ECONNREFUSED");
    Ok(())
}

pub(super) fn refused_by_peer(w: &mut World<'_>) -> Result<()> {
    let (our_port, their_port) = (w.port(OUR_CLIENT), w.port(THEIR_SERVER));
    w.note("we connect to a port nobody listens on");
    let ours = w.connect(our_port, their_port)?;
    expect_told(w, ours, CloseReason::Refused)?;
    Ok(())
}
