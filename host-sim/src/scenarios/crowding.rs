//! Many of something at once: forged RSTs, clients.

use anyhow::{Result, anyhow, ensure};
use tcp_reset_core::{CloseReason, Control, ListenerHandle};

use crate::peer::Socket;
use crate::script::{OUR_SERVER, echo, expect_told, from_peer, is_alive, peer_opens};
use crate::trace::Way;
use crate::world::{Pair, World};

/// RSTs of the flood.
const FLOOD: u32 = 100;
/// Challenges one connection sends in a window of 4.19 s; the flood may lie across the border of two.
const QUOTA: usize = 10;

/// Rounds of the soak, of three clients each.
pub(super) const ROUNDS: usize = 70;
/// The first of the soak's clients' ports.
const CLIENTS: u16 = 4;
/// Bytes each served client echoes.
const FEW: usize = 10;

pub(super) fn quota(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note(format!("{FLOOD} RSTs in the window, none exact"));
    let before = w.trace.from_us(Control::ACK);
    for distance in 1..=FLOOD {
        let mut forged = from_peer(w, &pair, Control::RST)?;
        forged.seq += distance;
        w.forge_to_us(forged)?;
    }
    let challenges = w.trace.from_us(Control::ACK) - before;
    ensure!((1..=2 * QUOTA).contains(&challenges), "{challenges} challenges, not 1 to {}", 2 * QUOTA);
    w.note(format!("{challenges} of them were challenged"));
    is_alive(w, &pair)
}

/// In each round one client resets before it is accepted, one is served and closed, one is aborted by us; the next round's come from the
/// same ports.
pub(super) fn soak(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    for round in 0..ROUNDS {
        let clients = [0, 1, 2].map(|n| w.port(CLIENTS + n));
        let mut sockets = Vec::new();
        for port in clients {
            sockets.push(come(w, port)?);
        }
        w.peer().abort(sockets[0])?;
        w.until("the client that left is forgotten", |w| Ok(w.trace.rsts(Way::ToUs) == round + 1))?;
        serve(w, listener, &clients, &sockets)?;
        w.until("every slot has returned", |w| Ok(w.in_use() == (0, 0, 1)))?;
    }
    Ok(())
}

fn come(w: &mut World<'_>, port: u16) -> Result<Socket> {
    let our_end = w.our_end(w.port(OUR_SERVER));
    let socket = w.peer().connect(port, our_end, false)?;
    w.peer_connected(socket)?.map_err(|failure| anyhow!("a client could not connect: {failure}"))?;
    Ok(socket)
}

fn serve(w: &mut World<'_>, listener: ListenerHandle, clients: &[u16; 3], sockets: &[Socket]) -> Result<()> {
    for n in [1, 2] {
        let ours = w.accept(listener)?;
        let their_end = w.status(ours)?.remote;
        ensure!(their_end.port() == clients[n], "port {} was accepted, not {}", their_end.port(), clients[n]);
        let pair = Pair { ours, theirs: sockets[n], our_end: w.our_end(w.port(OUR_SERVER)), their_end };
        if n == 1 {
            echo(w, &pair, FEW)?;
            w.close(pair.ours)?;
            crate::script::expect_their_end_of_stream(w, &pair)?;
            w.peer().close(pair.theirs)?;
            expect_told(w, pair.ours, CloseReason::LocalClosed)?;
        } else {
            w.abort(pair.ours)?;
            crate::script::expect_reset(w, pair.theirs)?;
            w.peer().close(pair.theirs)?;
        }
    }
    Ok(())
}
