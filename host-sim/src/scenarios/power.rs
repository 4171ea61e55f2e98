//! The peer's host loses power: it forgets everything, and no frame passes. What of ours notices depends on the state we are in. When power
//! is back, the same client is served on the same ports.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tcp_reset_core::{CloseReason, Control, Instant, ListenerHandle, Peer, State, Timer};

use super::losing::{acknowledged, fill_window};
use super::silence::{JITTER, LATE, mend, pull};
use super::timing::{KEPT_ALIVE, ORPHAN, R2, RTO_MAX, USER_TIMEOUT};
use crate::cable::Toward;
use crate::script::{
    OUR_SERVER, expect_our_end_of_stream, expect_our_state, expect_reset, expect_their_state, expect_told, is_alive,
    peer_opens, peer_opens_again, peer_sends,
};
use crate::trace::{Step, Way};
use crate::world::{Pair, World};

/// Bytes that are sent to a peer without power.
const SOME: usize = 20;

/// The story of a power loss, from the moment on that the timer counts from.
struct Loss {
    pair: Pair,
    listener: ListenerHandle,
    from: Instant,
}

impl Loss {
    /// The peer, just heard, loses power.
    fn of(w: &mut World<'_>, pair: Pair, listener: ListenerHandle) -> Result<Loss> {
        let from = w.now();
        pull(w);
        w.note("the peer's host has lost power");
        w.peer().vanish(pair.theirs)?;
        Ok(Loss { pair, listener, from })
    }

    /// Our application, which holds the connection, is told this timer, when its setting says, and no later than the budget does.
    fn expect(&self, w: &mut World<'_>, timer: Timer, least: Duration) -> Result<()> {
        let state = w.state(&self.pair);
        let budget = w.ours().tcp().budget(self.pair.ours)?;
        let bound = budget.in_state(state, Peer::Silent).context("nothing bounds a silent peer")?;
        self.expect_within(w, timer, least, bound)
    }

    fn expect_within(&self, w: &mut World<'_>, timer: Timer, least: Duration, bound: Duration) -> Result<()> {
        let state = w.state(&self.pair);
        expect_told(w, self.pair.ours, CloseReason::TimedOut(timer))?;
        let took = first_rst(w)?.duration_since(self.from);
        ensure!(took + JITTER >= least, "in {state} that took {took:?}, sooner than {least:?}");
        ensure!(took <= bound + LATE, "in {state} that took {took:?}, longer than the budget's {bound:?}");
        w.note(format!("after {} ms in {state}; the budget says {} ms", took.as_millis(), bound.as_millis()));
        Ok(())
    }

    /// The peer's host boots, and its client comes back from the same port.
    fn power_returns(self, w: &mut World<'_>) -> Result<()> {
        if w.status(self.pair.ours).is_ok() {
            w.note("our application gives the connection up");
            w.close(self.pair.ours)?;
        }
        w.until("its slot is free", |w| Ok(w.in_use() == (0, 0, 0)))?;
        mend(w);
        w.note("the peer's host has power again");
        let fresh = peer_opens_again(w, self.listener, false)?;
        is_alive(w, &fresh)?;
        ensure!(w.state(&self.pair) == State::Established, "the new connection is in {}", w.state(&self.pair));
        Ok(())
    }
}

/// When an RST of ours was tried: at once when the connection ends.
fn first_rst(w: &mut World<'_>) -> Result<Instant> {
    let is_rst = |step: &&Step| step.way == Way::ToPeer && step.seen.control.contains(Control::RST);
    w.until("an RST is tried", |w| Ok(w.trace.steps().any(|step| is_rst(&step))))?;
    w.trace.steps().find(is_rst).map(|step| step.at).context("no RST was tried")
}

fn alive(w: &mut World<'_>) -> Result<(Pair, ListenerHandle)> {
    let (pair, listener) = peer_opens(w)?;
    is_alive(w, &pair)?;
    Ok((pair, listener))
}

pub(super) fn idle(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    let loss = Loss::of(w, pair, listener)?;
    loss.expect(w, Timer::KeepAlive, KEPT_ALIVE)?;
    loss.power_returns(w)
}

/// The same, but only the cable is gone: the peer keeps its connection and learns the end when it speaks.
pub(super) fn idle_cable(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    let from = w.now();
    pull(w);
    let loss = Loss { pair, listener, from };
    loss.expect(w, Timer::KeepAlive, KEPT_ALIVE)?;
    mend(w);
    w.note("the peer, still ESTABLISHED, sends");
    peer_sends(w, &pair, b"are you there?")?;
    expect_reset(w, pair.theirs)
}

pub(super) fn data(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    let loss = Loss::of(w, pair, listener)?;
    w.send_some(pair.ours, &[7; SOME])?;
    loss.expect(w, Timer::UserTimeout, USER_TIMEOUT)?;
    loss.power_returns(w)
}

/// Without a user timeout R2 counts, and the last attempt is given one timeout more.
pub(super) fn data_r2(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    let loss = Loss::of(w, pair, listener)?;
    w.send_some(pair.ours, &[7; SOME])?;
    loss.expect_within(w, Timer::Retransmission, R2, R2 + RTO_MAX)?;
    loss.power_returns(w)
}

pub(super) fn window(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    let pair = peer_opens_again(w, listener, true)?;
    fill_window(w, &pair)?;
    let acknowledged = acknowledged(w)?;
    w.expected.push((Way::ToPeer, format!("RST,ACK SEQ={acknowledged} ACK=1")));
    let loss = Loss::of(w, pair, listener)?;
    loss.expect(w, Timer::UserTimeout, USER_TIMEOUT)?;
    loss.power_returns(w)
}

pub(super) fn fin_wait_1(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    let loss = Loss::of(w, pair, listener)?;
    w.note("we end our direction");
    w.shutdown(pair.ours)?;
    expect_our_state(w, &pair, State::FinWait1)?;
    loss.expect(w, Timer::UserTimeout, USER_TIMEOUT)?;
    loss.power_returns(w)
}

pub(super) fn fin_wait_2(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    w.note("we end our direction");
    w.shutdown(pair.ours)?;
    expect_our_state(w, &pair, State::FinWait2)?;
    let loss = Loss::of(w, pair, listener)?;
    loss.expect(w, Timer::KeepAlive, KEPT_ALIVE)?;
    loss.power_returns(w)
}

/// Our application has gone. Nothing asks the peer here: the limit for orphans ends it alone.
pub(super) fn orphan(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    let bound = w.ours().tcp().budget(pair.ours)?.orphaned();
    let from = w.now();
    w.note("we close");
    w.close(pair.ours)?;
    expect_our_state(w, &pair, State::FinWait2)?;
    let loss = Loss { from, ..Loss::of(w, pair, listener)? };
    loss.expect_within(w, Timer::FinWait2, ORPHAN, bound)?;
    loss.power_returns(w)
}

/// Our application goes after the power: its FIN is never acknowledged.
pub(super) fn orphan_last_ack(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    peer_ends(w, &pair)?;
    let bound = w.ours().tcp().budget(pair.ours)?.orphaned();
    let loss = Loss::of(w, pair, listener)?;
    w.note("we close");
    w.close(pair.ours)?;
    expect_our_state(w, &pair, State::LastAck)?;
    loss.expect_within(w, Timer::Orphan, ORPHAN, bound)?;
    loss.power_returns(w)
}

pub(super) fn close_wait(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    peer_ends(w, &pair)?;
    let loss = Loss::of(w, pair, listener)?;
    loss.expect(w, Timer::KeepAlive, KEPT_ALIVE)?;
    loss.power_returns(w)
}

fn peer_ends(w: &mut World<'_>, pair: &Pair) -> Result<()> {
    w.note("the peer ends its direction");
    w.peer().shutdown(pair.theirs)?;
    expect_our_end_of_stream(w, pair)?;
    expect_our_state(w, pair, State::CloseWait)?;
    expect_their_state(w, pair, State::FinWait2)
}

/// The FINs cross; ours, and the peer's answer to it, never arrive.
pub(super) fn closing(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    w.note("both end their directions; our FIN is lost");
    w.set_pulled(Toward::Peer, true);
    let from = w.now();
    w.shutdown(pair.ours)?;
    w.peer().shutdown(pair.theirs)?;
    expect_our_state(w, &pair, State::Closing)?;
    let loss = Loss { from, ..Loss::of(w, pair, listener)? };
    loss.expect(w, Timer::UserTimeout, USER_TIMEOUT)?;
    loss.power_returns(w)
}

pub(super) fn last_ack(w: &mut World<'_>) -> Result<()> {
    let (pair, listener) = alive(w)?;
    peer_ends(w, &pair)?;
    let loss = Loss::of(w, pair, listener)?;
    w.note("we end our direction too");
    w.shutdown(pair.ours)?;
    expect_our_state(w, &pair, State::LastAck)?;
    loss.expect(w, Timer::UserTimeout, USER_TIMEOUT)?;
    loss.power_returns(w)
}
