//! RSTs that say why they were sent: ours, which the peer must obey all the same, and the peer's, which our application can read.

use anyhow::{Result, ensure};
use tcp_reset_core::{CloseReason, Control, PeerReason, ResetReason};

use super::opening;
use crate::script::{
    OUR_SERVER, expect_reset, expect_told, from_peer, is_alive, peer_opens, peer_opens_again, peer_sends,
};
use crate::trace::{Step, Way};
use crate::tuning::Tuning;
use crate::world::World;

/// What a peer says in the free form, and as our application may print it.
const TEXT: &[u8] = b"\xf3\x17moved to another rack\n";
const SHOWN: &str = "\"moved to another rack\\n\"";
const TCP_HEADER_LEN: usize = 20;
/// The compact form: resource exceeded.
const CODE: &[u8] = &[0x33, 0xaa, 0, 10, 0, 0, 0, 0];

/// Reasons are sent and read.
pub(super) fn speaking() -> Tuning {
    let mut tuning = Tuning::usual();
    tuning.config.reset_diagnostics = true;
    tuning
}

/// Our one RST so far says this, and nothing else.
fn expect_said(w: &World<'_>, code: u16) -> Result<()> {
    let is_ours = |step: &&Step| step.way == Way::ToPeer && step.seen.control.contains(Control::RST);
    let lens: Vec<_> = w.trace.steps().filter(is_ours).map(|step| step.seen.len).collect();
    ensure!(lens == [CODE.len()], "our RSTs carry {lens:?} bytes");
    let said = format!("the RST says: {}", PeerReason::Code { code, enterprise: 0 });
    let is_said: Vec<_> = w.trace.notes().filter(|note| note.starts_with("the RST says")).collect();
    ensure!(is_said == [&said[..]], "{is_said:?}, not {said:?}");
    Ok(())
}

pub(super) fn we_say_why(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("we abort");
    w.abort(pair.ours)?;
    expect_reset(w, pair.theirs)?;
    expect_said(w, ResetReason::Aborted.code())
}

pub(super) fn we_say_why_to_a_stranger(w: &mut World<'_>) -> Result<()> {
    opening::refused_by_us(w)?;
    // A second core's SYN has the MSS alone, and is not answered by more than it is.
    let syn_len = w.trace.steps().find(|step| step.seen.is(Control::SYN)).map_or(0, |step| step.header_len);
    if syn_len < TCP_HEADER_LEN + CODE.len() {
        ensure!(w.trace.steps().all(|step| step.seen.len == 0), "a SYN of {syn_len} bytes is answered by more");
        return Ok(());
    }
    expect_said(w, ResetReason::NoConnection.code())
}

pub(super) fn peer_says_why(w: &mut World<'_>) -> Result<()> {
    let port = w.port(OUR_SERVER);
    let listener = w.listen(port)?;
    for (payload, shown) in [(TEXT, SHOWN), (CODE, "resource exceeded")] {
        let pair = peer_opens_again(w, listener, false)?;
        is_alive(w, &pair)?;
        w.note("an RST at RCV.NXT says why");
        let forged = from_peer(w, &pair, Control::RST)?;
        w.forge_with_text(forged, payload)?;
        expect_told(w, pair.ours, CloseReason::ResetByPeer)?;
        let said = w.ours().tcp().peer_reason(pair.ours)?.map(|reason| reason.to_string());
        ensure!(said.as_deref() == Some(shown), "our application reads {said:?}");
        w.note(format!("our application reads: {shown}"));
        w.close(pair.ours)?;
        peer_sends(w, &pair, b"are you there?")?;
        expect_reset(w, pair.theirs)?;
        w.peer().close(pair.theirs)?;
    }
    Ok(())
}
