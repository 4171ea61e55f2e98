//! Somebody who knows the addresses and ports, but not the numbers, wants the connection dead (RFC 5961).

use anyhow::{Result, anyhow, ensure};
use tcp_reset_core::{CloseReason, Control, Error, State};

use crate::peer::{Failure, Read};
use crate::script::{expect_their_state, expect_told, from_peer, is_alive, peer_opens, peer_sends};
use crate::trace::Way;
use crate::world::{Pair, World};

/// Where in the window.
enum Place {
    First,
    Middle,
    Last,
}

pub(super) fn rst_in_window(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    for place in [Place::First, Place::Middle, Place::Last] {
        let window = w.status(pair.ours)?.rcv_wnd;
        let distance = match place {
            Place::First => 1,
            Place::Middle => window / 2,
            Place::Last => window - 1,
        };
        w.note(format!("an RST {distance} beyond RCV.NXT, in the window"));
        forge_rst(w, &pair, distance)?;
        expect_challenge(w, &pair)?;
        is_alive(w, &pair)?;
    }
    Ok(())
}

pub(super) fn rst_exact(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("an RST at RCV.NXT");
    forge_rst(w, &pair, 0)?;
    expect_told(w, pair.ours, CloseReason::ResetByPeer)?;
    let read: Result<Read, Error> = w.recv(pair.ours, &mut [0; 16])?;
    ensure!(read == Err(Error::Closed(CloseReason::ResetByPeer)), "reading gave {read:?}");
    w.note("the peer, still ESTABLISHED, sends and learns it too");
    peer_sends(w, &pair, b"are you there?")?;
    let failure = w.peer_failure(pair.theirs)?;
    ensure!(failure == Failure::Reset, "the peer's process saw {failure}");
    expect_their_state(w, &pair, State::Closed)
}

/// At the right edge sits an RST of a peer whose whole window was lost, at RCV.NXT-1 one whose window probe was taken and its ACK lost:
/// these two are challenged.
pub(super) fn rst_outside(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    for beyond_edge in [1, 1 << 30] {
        let distance = w.status(pair.ours)?.rcv_wnd + beyond_edge;
        expect_silence(w, &pair, distance)?;
    }
    for before in [2, 1 << 30] {
        expect_silence(w, &pair, 0_u32.wrapping_sub(before))?;
    }
    for distance in [w.status(pair.ours)?.rcv_wnd, 0_u32.wrapping_sub(1)] {
        w.note(format!("an RST {} from RCV.NXT, at an edge", distance as i32));
        forge_rst(w, &pair, distance)?;
        expect_challenge(w, &pair)?;
        is_alive(w, &pair)?;
    }
    Ok(())
}

fn expect_silence(w: &mut World<'_>, pair: &Pair, distance: u32) -> Result<()> {
    w.note(format!("an RST {} from RCV.NXT, outside the window", distance as i32));
    let before = w.trace.entries.len();
    forge_rst(w, pair, distance)?;
    ensure!(w.trace.entries.len() == before + 1, "something was sent in answer");
    is_alive(w, pair)
}

pub(super) fn syn(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    for (distance, control) in
        [(0, Control::SYN), (1_000, Control::SYN), (1 << 30, Control::SYN), (0, Control::SYN | Control::ACK)]
    {
        w.note(format!("a {control} {distance} from RCV.NXT"));
        let mut forged = from_peer(w, &pair, control)?;
        forged.seq += distance;
        w.forge_to_us(forged)?;
        expect_challenge(w, &pair)?;
        is_alive(w, &pair)?;
    }
    Ok(())
}

pub(super) fn text(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    for (ack_off, what) in [(100_000, "beyond SND.NXT"), (0_u32.wrapping_sub(100_000), "long past")] {
        w.note(format!("text at RCV.NXT whose acknowledgement is {what}"));
        let mut forged = from_peer(w, &pair, Control::ACK)?;
        forged.ack += ack_off;
        forged.len = 10;
        w.forge_to_us(forged)?;
        expect_challenge(w, &pair)?;
        ensure!(w.status(pair.ours)?.readable == 0, "forged text reached the application");
        is_alive(w, &pair)?;
    }
    Ok(())
}

/// Exactly one segment has answered: our empty ACK, at SND.NXT and RCV.NXT.
fn expect_challenge(w: &mut World<'_>, pair: &Pair) -> Result<()> {
    let status = w.status(pair.ours)?;
    let mut back = w.trace.steps().rev();
    let last = back.next().ok_or_else(|| anyhow!("nothing is on the wire"))?;
    ensure!(back.next().is_some_and(|step| step.way == Way::ForgedToUs), "not one segment answered");
    let seen = last.seen;
    let is_empty_ack = last.way == Way::ToPeer && seen.is(Control::ACK) && seen.len == 0;
    ensure!(is_empty_ack, "no challenge ACK left, but {} {}", seen.control, seen.len);
    ensure!(seen.seq == status.snd_nxt && seen.ack == status.rcv_nxt, "the challenge has wrong numbers");
    Ok(())
}

fn forge_rst(w: &mut World<'_>, pair: &Pair, distance: u32) -> Result<()> {
    let mut forged = from_peer(w, pair, Control::RST)?;
    forged.seq += distance;
    w.forge_to_us(forged)?;
    Ok(())
}
