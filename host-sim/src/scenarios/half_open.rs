//! One side has lost the connection, the other does not know (RFC 9293 §3.5.1), and what comes after a reset.

use std::time::Duration;

use anyhow::{Result, ensure};
use tcp_reset_core::{CloseReason, State};

use crate::script::{
    expect_reset, expect_their_state, expect_told, is_alive, peer_opens, peer_opens_again, peer_sends, we_open,
    we_open_again,
};
use crate::world::World;

/// Sooner than a SYN is repeated.
const AT_ONCE: Duration = Duration::from_millis(900);

pub(super) fn we_restart(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.restart()?;
    w.note("the peer, still ESTABLISHED, sends");
    peer_sends(w, &pair, b"are you there?")?;
    expect_reset(w, pair.theirs)?;
    expect_their_state(w, &pair, State::Closed)
}

pub(super) fn peer_vanishes(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("the peer forgets the connection without a word");
    w.peer().vanish(pair.theirs)?;
    w.note("we, still ESTABLISHED, send");
    w.send_some(pair.ours, b"are you there?")?;
    expect_told(w, pair.ours, CloseReason::ResetByPeer)
}

pub(super) fn peer_reboots(w: &mut World<'_>) -> Result<()> {
    let (old, listener) = peer_opens(w)?;
    is_alive(w, &old)?;
    w.note("the peer forgets the connection, and connects from the same port");
    w.peer().vanish(old.theirs)?;
    let new = peer_opens_again(w, listener, false)?;
    expect_told(w, old.ours, CloseReason::ResetByPeer)?;
    is_alive(w, &new)
}

pub(super) fn we_reboot(w: &mut World<'_>) -> Result<()> {
    let (old, listener) = we_open(w)?;
    is_alive(w, &old)?;
    w.restart()?;
    let new = we_open_again(w, listener)?;
    expect_reset(w, old.theirs)?;
    is_alive(w, &new)
}

pub(super) fn fresh_after_our_reset(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("we abort");
    w.abort(pair.ours)?;
    expect_reset(w, pair.theirs)?;
    w.peer().close(pair.theirs)?;
    let fresh = peer_opens_again(w, listener, false)?;
    is_alive(w, &fresh)
}

pub(super) fn time_wait_reopens(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("we close first, then the peer: TIME-WAIT is ours");
    w.close(pair.ours)?;
    w.until("the peer has our FIN", |w| Ok(w.state(&pair) == State::FinWait2))?;
    w.peer().close(pair.theirs)?;
    w.until("we are in TIME-WAIT", |w| Ok(w.state(&pair) == State::TimeWait))?;
    expect_their_state(w, &pair, State::Closed)?;
    let from = w.now();
    let fresh = peer_opens_again(w, listener, false)?;
    let took = w.now().duration_since(from);
    ensure!(took < AT_ONCE, "that took {took:?}: the SYN had to be repeated");
    is_alive(w, &fresh)
}

pub(super) fn fresh_after_peer_reset(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("the peer aborts");
    w.peer().abort(pair.theirs)?;
    expect_told(w, pair.ours, CloseReason::ResetByPeer)?;
    let fresh = peer_opens_again(w, listener, false)?;
    is_alive(w, &fresh)
}
