//! An echo of 1 MiB, and every order of closing (RFC 9293 §3.6).

use anyhow::{Result, ensure};
use tcp_reset_core::{CloseReason, State};

use crate::script::{
    echo, expect_our_end_of_stream, expect_our_state, expect_their_end_of_stream, expect_their_state, expect_told,
    peer_opens, peer_to_us, us_to_peer, we_open,
};
use crate::world::World;

const MEBIBYTE: usize = 1 << 20;
/// What the side that still may sends after the other has half-closed, in bytes.
const REST: usize = 64 * 1_024;

pub(super) fn we_close_first(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    echo(w, &pair, MEBIBYTE)?;
    w.note("we close");
    w.close(pair.ours)?;
    expect_their_end_of_stream(w, &pair)?;
    expect_our_state(w, &pair, State::FinWait2)?;
    w.note("the peer closes");
    w.peer().close(pair.theirs)?;
    expect_told(w, pair.ours, CloseReason::LocalClosed)?;
    expect_our_state(w, &pair, State::TimeWait)?;
    expect_their_state(w, &pair, State::Closed)
}

pub(super) fn peer_closes_first(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = we_open(w)?;
    echo(w, &pair, MEBIBYTE)?;
    w.note("the peer closes");
    w.peer().close(pair.theirs)?;
    expect_our_end_of_stream(w, &pair)?;
    ensure!(w.state(&pair) == State::CloseWait, "we are in {}", w.state(&pair));
    w.note("we close");
    w.close(pair.ours)?;
    expect_told(w, pair.ours, CloseReason::PeerClosed)?;
    expect_our_state(w, &pair, State::Closed)?;
    expect_their_state(w, &pair, State::TimeWait)
}

pub(super) fn both_close(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    echo(w, &pair, MEBIBYTE)?;
    w.note("both close before either has seen the other's FIN");
    w.peer().close(pair.theirs)?;
    w.close(pair.ours)?;
    expect_told(w, pair.ours, CloseReason::LocalClosed)?;
    let crossed = w.trace.steps().any(|step| step.ours == State::Closing);
    // Where frames are late or lost the FINs need not cross.
    ensure!(crossed || w.is_hostile(), "we never were in CLOSING: the FINs did not cross");
    expect_our_state(w, &pair, State::TimeWait)?;
    w.until("the peer is in TIME-WAIT", |w| {
        let theirs = w.peer().state(pair.their_end.port(), pair.our_end)?;
        // Where our ACKs are lost our short TIME-WAIT may be over before the peer's FIN comes again: it draws RST.
        Ok(theirs == State::TimeWait || w.is_hostile() && theirs == State::Closed)
    })
}

pub(super) fn peer_half_closes(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = we_open(w)?;
    echo(w, &pair, MEBIBYTE)?;
    w.note("the peer ends its direction");
    w.peer().shutdown(pair.theirs)?;
    expect_our_end_of_stream(w, &pair)?;
    w.note(format!("we send {REST} bytes more"));
    us_to_peer(w, &pair, REST)?;
    w.note("we close");
    w.close(pair.ours)?;
    expect_their_end_of_stream(w, &pair)?;
    expect_told(w, pair.ours, CloseReason::PeerClosed)
}

pub(super) fn we_half_close(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    echo(w, &pair, MEBIBYTE)?;
    w.note("we end our direction");
    w.shutdown(pair.ours)?;
    expect_their_end_of_stream(w, &pair)?;
    w.note(format!("the peer sends {REST} bytes more"));
    peer_to_us(w, &pair, REST)?;
    w.note("the peer closes");
    w.peer().close(pair.theirs)?;
    expect_our_end_of_stream(w, &pair)?;
    expect_told(w, pair.ours, CloseReason::LocalClosed)?;
    expect_our_state(w, &pair, State::TimeWait)
}
