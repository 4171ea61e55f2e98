//! Our application goes while the peer still has something to say, or cannot be told anything (RFC 9293 §3.6.1, §3.10.5).

use anyhow::{Result, bail, ensure};
use tcp_reset_core::{CloseReason, Control, State};

use crate::peer::Failure;
use crate::script::{OUR_SERVER, expect_reset, expect_their_state, is_alive, peer_opens, peer_opens_again, peer_sends};
use crate::trace::Way;
use crate::world::{Pair, World};

pub(super) fn close_with_unread(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    peer_sends(w, &pair, &[7; 100])?;
    w.until("the bytes are there", |w| Ok(w.status(pair.ours)?.readable == 100))?;
    w.note("we close without reading them");
    w.close(pair.ours)?;
    expect_reset(w, pair.theirs)?;
    ensure!(w.trace.from_us(Control::FIN | Control::ACK) == 0, "a FIN pretended that all was well");
    ensure!(w.ended(pair.ours) == Some(CloseReason::DataLost), "told {:?}", w.ended(pair.ours));
    expect_their_state(w, &pair, State::Closed)
}

pub(super) fn data_after_close(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("we close both ways");
    w.close(pair.ours)?;
    w.until("the peer has our FIN", |w| Ok(w.state(&pair) == State::FinWait2))?;
    w.note("the peer sends more");
    peer_sends(w, &pair, &[7; 100])?;
    expect_their_state(w, &pair, State::Closed)?;
    // After our FIN a reader sees the end of the stream, reset or not; it is the next send that fails.
    let sent = w.peer().send(pair.theirs, &[7])?;
    ensure!(matches!(sent, Err(Failure::Pipe | Failure::Reset)), "the peer's next send gave {sent:?}");
    w.note("the peer's process cannot send any more");
    ensure!(w.ended(pair.ours) == Some(CloseReason::DataLost), "told {:?}", w.ended(pair.ours));
    Ok(())
}

pub(super) fn abort_into_closed_window(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    let pair = peer_opens_again(w, listener, true)?;
    fill_window(w, &pair)?;
    w.note("we abort: the RST is where the peer expects the next byte");
    let rst = (Way::ToPeer, format!("RST,ACK SEQ={} ACK=1", acknowledged(w)?));
    w.expected.push(rst);
    w.abort(pair.ours)?;
    expect_their_state(w, &pair, State::Closed)?;
    expect_reset(w, pair.theirs)?;
    Ok(())
}

/// We send until the peer takes no more. Returns how many bytes our application has sent, most of which wait.
pub(super) fn fill_window(w: &mut World<'_>, pair: &Pair) -> Result<usize> {
    let mut sent = 0;
    w.note("we send until the peer, which does not read, closes its window");
    w.until("the peer's window is closed", |w| {
        loop {
            match w.send_some(pair.ours, &[7; 1_024])? {
                0 => break,
                n => sent += n,
            }
        }
        let status = w.status(pair.ours)?;
        Ok(status.snd_wnd == 0 && status.snd_una == status.snd_nxt)
    })?;
    Ok(sent)
}

/// The peer's last acknowledgment on the wire, counted from our initial sequence number.
pub(super) fn acknowledged(w: &World<'_>) -> Result<u32> {
    let first = w.trace.steps().find(|step| step.way == Way::ToPeer && step.seen.control.contains(Control::SYN));
    let last = w.trace.steps().rev().find(|step| step.way == Way::ToUs);
    let (Some(first), Some(last)) = (first, last) else { bail!("there was no handshake") };
    Ok(last.seen.ack.0.wrapping_sub(first.seen.seq.0))
}
