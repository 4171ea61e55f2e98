//! One segment is lost that only a timer brings again: ours, or the peer's.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use tcp_reset_core::{Control, State};

use super::losing::{acknowledged, fill_window};
use super::silence::{JITTER, has_acknowledged_fin, is_probe, sent_at};
use crate::cable::Toward;
use crate::script::{
    OUR_SERVER, THEIR_CLIENT, expect_our_state, expect_their_state, is_alive, peer_opens, peer_opens_again, peer_reads,
};
use crate::trace::{Step, Way};
use crate::world::{Pair, World};

/// The timeout of our SYN,ACK, which is fixed.
const SYN_ACK_RTO: Duration = Duration::from_secs(1);
/// Within this time the peer sends its FIN again.
const FIN_AGAIN: Duration = Duration::from_secs(3);

const SYN_ACK: Control = Control::SYN.union(Control::ACK);
const FIN_ACK: Control = Control::FIN.union(Control::ACK);

pub(super) fn window_update(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    let pair = peer_opens_again(w, listener, true)?;
    let sent = fill_window(w, &pair)?;
    let taken = acknowledged(w)? as usize - 1;
    w.note("the peer reads; the ACK that opens its window is lost");
    let before = w.trace.steps().count();
    w.cable().set_lost(Toward::Us, Some(Control::ACK));
    peer_reads(w, &pair, taken)?;
    w.until("the window update is lost", |w| Ok(w.trace.steps().skip(before).any(is_lost_update)))?;
    w.cable().set_lost(Toward::Us, None);
    peer_reads(w, &pair, sent - taken)?;
    let next = w.trace.steps().skip(before).find(|step| step.way == Way::ToPeer);
    ensure!(next.is_some_and(is_probe), "what we sent next is no window probe");
    w.note("a probe found the window open, and the rest has arrived");
    is_alive(w, &pair)
}

fn is_lost_update(step: &Step) -> bool {
    step.way == Way::ToUs && !step.arrived() && step.seen.wnd > 0
}

/// The peer's SYN is lost when it comes again: it would draw the SYN,ACK without our timer.
pub(super) fn syn_ack(w: &mut World<'_>) -> Result<()> {
    let (our_port, their_port) = (w.port(OUR_SERVER), w.port(THEIR_CLIENT));
    let listener = w.listen(our_port)?;
    let our_end = w.our_end(our_port);
    w.note("the peer connects; our SYN,ACK is lost");
    w.cable().set_lost(Toward::Peer, Some(SYN_ACK));
    let theirs = w.peer().connect(their_port, our_end, false)?;
    w.until("our SYN,ACK is lost", |w| Ok(w.trace.from_us(SYN_ACK) == 1))?;
    w.cable().set_lost(Toward::Peer, None);
    w.cable().set_lost(Toward::Us, Some(Control::SYN));
    let ours = w.accept(listener)?;
    w.peer_connected(theirs)?.map_err(|failure| anyhow!("the peer could not connect: {failure}"))?;
    w.cable().set_lost(Toward::Us, None);
    let times = sent_at(w, 0, SYN_ACK);
    ensure!(times.len() == 2, "{} SYN,ACKs were sent, not 2", times.len());
    let took = times[1].duration_since(times[0]);
    let is_timely = took + JITTER >= SYN_ACK_RTO && took < 2 * SYN_ACK_RTO;
    ensure!(is_timely, "our SYN,ACK was sent again after {took:?}, not {SYN_ACK_RTO:?}");
    is_alive(w, &Pair { ours, theirs, our_end, their_end: w.their_end(their_port) })
}

pub(super) fn last_ack(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("we close; the peer does too, and our last ACK is lost");
    w.close(pair.ours)?;
    w.until("the peer has our FIN", |w| Ok(w.state(&pair) == State::FinWait2))?;
    w.cable().set_lost(Toward::Peer, Some(Control::ACK));
    w.peer().close(pair.theirs)?;
    w.until("our last ACK is lost", |w| Ok(w.state(&pair) == State::TimeWait && has_acknowledged_fin(w)))?;
    expect_their_state(w, &pair, State::LastAck)?;
    w.cable().set_lost(Toward::Peer, None);
    let from = w.now();
    w.note("the peer's FIN comes again");
    expect_their_state(w, &pair, State::Closed)?;
    let took = w.now().duration_since(from);
    ensure!(took <= FIN_AGAIN, "the peer was in LAST-ACK for {took:?}");
    ensure!(w.trace.from_peer(FIN_ACK) >= 2 && has_acknowledged_fin(w), "no FIN came again and was answered");
    expect_our_state(w, &pair, State::TimeWait)
}
