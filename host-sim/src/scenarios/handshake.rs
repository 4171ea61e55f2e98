//! RST and wrong acknowledgments before a connection is synchronized.

use anyhow::{Result, anyhow, ensure};
use tcp_reset_core::{Control, Seq, State};

use crate::frame::Seen;
use crate::script::{
    OUR_CLIENT, OUR_SERVER, THEIR_CLIENT, THEIR_SERVER, is_alive, peer_accepts, peer_comes_from, peer_opens_again,
};
use crate::trace::Way;
use crate::world::{Pair, World};

/// How far behind the right number a wrong acknowledgment is: outside every window, so that the RST it draws harms nobody.
const BEHIND: u32 = 100_000;
/// A port of the peer's that it knows nothing of.
const STRANGE: u16 = 9;

fn segment(w: &World<'_>, control: Control, seq: Seq, ack: Seq, their_port: u16, our_port: u16) -> Seen {
    Seen {
        from: w.their_end(w.port(their_port)),
        to: w.our_end(w.port(our_port)),
        seq,
        ack,
        control,
        wnd: 1_000,
        len: 0,
        timestamps: None,
    }
}

pub(super) fn rst_in_listen(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    for control in [Control::RST, Control::RST | Control::ACK, Control::RST | Control::SYN] {
        w.note(format!("{control} to our listener"));
        let forged = segment(w, control, Seq(1), Seq(1), THEIR_CLIENT, OUR_SERVER);
        w.forge_to_us(forged)?;
    }
    let answers = w.trace.steps().filter(|step| step.way == Way::ToPeer).count();
    ensure!(answers == 0, "{answers} segments answered an RST");
    let pair = peer_opens_again(w, listener, false)?;
    is_alive(w, &pair)
}

/// The next client comes from the ports that the half-open entry had: were the entry still there, it would be challenged.
pub(super) fn rst_in_syn_received(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    w.note("a SYN in the peer's name, from a port it does not use: our SYN,ACK draws its RST");
    let forged = segment(w, Control::SYN, Seq(0x7000_0000), Seq(0), STRANGE, OUR_SERVER);
    w.forge_to_us(forged)?;
    ensure!(w.trace.from_us(Control::SYN | Control::ACK) == 1, "the SYN drew no SYN,ACK");
    ensure!(w.in_use() == (0, 1, 0), "there is no half-open entry");
    w.note("an RST one beside the right number, before the peer's: challenged");
    let beside = segment(w, Control::RST, Seq(0x7000_0002), Seq(0), STRANGE, OUR_SERVER);
    w.forge_to_us(beside)?;
    ensure!(w.trace.from_us(Control::ACK) == 1 && w.in_use() == (0, 1, 0), "the RST beside it was not challenged");
    w.until("the peer's RST frees the half-open entry", |w| Ok(w.in_use() == (0, 0, 0)))?;
    w.note("the next client comes from the same port");
    let pair = peer_comes_from(w, listener, STRANGE)?;
    is_alive(w, &pair)
}

pub(super) fn bad_ack_in_syn_sent(w: &mut World<'_>) -> Result<()> {
    let (our_port, their_port) = (w.port(OUR_CLIENT), w.port(THEIR_SERVER));
    let listener = w.peer().listen(their_port)?;
    w.note("we connect; before the peer's answer a wrong one arrives");
    let ours = w.connect(our_port, their_port)?;
    w.until("our SYN is out", |w| Ok(w.trace.from_us(Control::SYN) == 1))?;
    let iss = first_seq(w, Way::ToPeer, Control::SYN)?;
    for control in [Control::ACK, Control::SYN | Control::ACK] {
        let forged = segment(w, control, Seq(5), iss - BEHIND, THEIR_SERVER, OUR_CLIENT);
        w.forge_to_us(forged)?;
    }
    ensure!(w.trace.rsts(Way::ToPeer) == 2, "the wrong ACKs drew no RST");
    w.note("RSTs that acknowledge nothing of ours, or nothing at all");
    let wrong = segment(w, Control::RST | Control::ACK, Seq(5), iss - BEHIND, THEIR_SERVER, OUR_CLIENT);
    let none = segment(w, Control::RST, Seq(5), Seq(0), THEIR_SERVER, OUR_CLIENT);
    for forged in [wrong, none] {
        w.forge_to_us(forged)?;
        ensure!(w.state_at(our_port, their_port) == State::SynSent, "the attempt was ended");
    }
    let theirs = peer_accepts(w, listener)?;
    let pair = Pair { ours, theirs, our_end: w.our_end(our_port), their_end: w.their_end(their_port) };
    is_alive(w, &pair)
}

pub(super) fn bad_ack_in_syn_received(w: &mut World<'_>) -> Result<()> {
    let (our_port, their_port) = (w.port(OUR_SERVER), w.port(THEIR_CLIENT));
    let listener = w.listen(our_port)?;
    w.note("the peer connects; before its ACK a wrong one arrives");
    let our_end = w.our_end(our_port);
    let theirs = w.peer().connect(their_port, our_end, false)?;
    w.until("the peer's SYN is answered", |w| Ok(w.trace.from_us(Control::SYN | Control::ACK) == 1))?;
    let irs = first_seq(w, Way::ToUs, Control::SYN)?;
    let iss = first_seq(w, Way::ToPeer, Control::SYN | Control::ACK)?;
    let forged = segment(w, Control::ACK, irs + 1, iss - BEHIND, THEIR_CLIENT, OUR_SERVER);
    w.forge_to_us(forged)?;
    ensure!(w.in_use() == (0, 1, 0), "the handshake did not go on");
    ensure!(w.trace.rsts(Way::ToPeer) == 1, "the wrong ACK drew no RST");
    let ours = w.accept(listener)?;
    let pair = Pair { ours, theirs, our_end: w.our_end(our_port), their_end: w.their_end(their_port) };
    is_alive(w, &pair)
}

fn first_seq(w: &World<'_>, way: Way, control: Control) -> Result<Seq> {
    let step = w.trace.steps().find(|step| step.way == way && step.seen.is(control));
    step.map(|step| step.seen.seq).ok_or_else(|| anyhow!("no {control} was seen"))
}
