//! The wire is silent, or one end says nothing: retransmission, and the bounds after which nobody waits any more.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use tcp_reset_core::{CloseReason, Control, Instant, State, Timer};

use super::losing::{acknowledged, fill_window};
use super::timing::{CONNECT, HALF_OPEN, ORPHAN, R2, RTO_MIN};
use crate::cable::Toward;
use crate::peer::Read;
use crate::script::{
    OUR_SERVER, THEIR_CLIENT, THEIR_SERVER, expect_reset, expect_their_end_of_stream, expect_their_state, expect_told,
    is_alive, peer_opens, peer_opens_again, peer_reads, peer_sends, we_open,
};
use crate::trace::{Step, Way};
use crate::world::{Pair, World};

/// The port of a client of ours beside [`crate::script::OUR_CLIENT`].
const SECOND_CLIENT: u16 = 4;
/// Bytes that are sent into the silence.
const SOME: usize = 20;
/// Retransmissions that are measured.
const MEASURED: usize = 4;
/// Window probes within R2: after 100 ms, 200 ms, then 300 ms each; a busy machine may miss one.
const LEAST_PROBES: usize = 3;
const MOST_PROBES: usize = 6;
/// What a busy machine may add to an interval.
pub(super) const JITTER: Duration = Duration::from_millis(40);
/// How late a busy machine may see that a timer is due.
pub(super) const LATE: Duration = Duration::from_millis(150);
/// How much later than its bound an end may come: the last attempt is given one plain timeout.
const SLACK: Duration = Duration::from_millis(1_500);

pub(super) fn pull(w: &mut World<'_>) {
    w.note("the cable is pulled");
    w.set_pulled(Toward::Us, true);
    w.set_pulled(Toward::Peer, true);
}

pub(super) fn mend(w: &mut World<'_>) {
    w.note("the cable is back");
    w.set_pulled(Toward::Us, false);
    w.set_pulled(Toward::Peer, false);
}

pub(super) fn cable_pulled(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    pull(w);
    w.note("both send");
    w.send_some(pair.ours, &[7; SOME])?;
    peer_sends(w, &pair, &[7; SOME])?;
    w.pass(Duration::from_secs(1))?;
    mend(w);
    w.until("the peer's bytes have arrived", |w| Ok(w.status(pair.ours)?.readable == SOME))?;
    let Ok(Read::Data(SOME)) = w.recv(pair.ours, &mut [0; 2 * SOME])? else {
        return Err(anyhow!("we could not read them"));
    };
    peer_reads(w, &pair, SOME)?;
    is_alive(w, &pair)
}

pub(super) fn back_off(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    pull(w);
    let first = w.trace.entries.len();
    w.send_some(pair.ours, &[7; SOME])?;
    w.until("it has been sent again and again", |w| Ok(sent_at(w, first, Control::ACK).len() > MEASURED))?;
    expect_doubling(&sent_at(w, first, Control::ACK), RTO_MIN)?;
    w.note("each interval was twice the last");
    mend(w);
    peer_reads(w, &pair, SOME)?;
    is_alive(w, &pair)
}

/// When we sent segments with these control bits, from an entry of the trace on.
pub(super) fn sent_at(w: &World<'_>, first: usize, control: Control) -> Vec<Instant> {
    let skipped = w.trace.entries[..first].iter().filter(|e| matches!(e, crate::trace::Entry::Segment(_))).count();
    let ours = w.trace.steps().skip(skipped).filter(|step| step.way == Way::ToPeer && step.seen.is(control));
    ours.map(|step| step.at).collect()
}

fn expect_doubling(times: &[Instant], least: Duration) -> Result<()> {
    let intervals: Vec<_> = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
    ensure!(intervals[0] + JITTER >= least, "the first retransmission came after {:?}", intervals[0]);
    for pair in intervals.windows(2) {
        let is_double = pair[1] + JITTER >= pair[0] * 2 && pair[1] <= pair[0] * 2 + JITTER;
        ensure!(is_double, "the intervals do not double: {intervals:?}");
    }
    Ok(())
}

/// Our application was told, and when it had to be.
fn expect_timed_out(w: &mut World<'_>, pair: &Pair, from: Instant, bound: Duration, timer: Timer) -> Result<()> {
    expect_told(w, pair.ours, CloseReason::TimedOut(timer))?;
    let took = w.now().duration_since(from);
    ensure!(took + JITTER >= bound && took <= bound + SLACK, "that took {took:?}, the bound is {bound:?}");
    Ok(())
}

pub(super) fn r2(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    pull(w);
    let from = w.now();
    w.send_some(pair.ours, &[7; SOME])?;
    expect_timed_out(w, &pair, from, R2, Timer::Retransmission)?;
    w.until("an RST is tried", |w| Ok(w.trace.rsts(Way::ToPeer) == 1))?;
    mend(w);
    w.note("the peer, still ESTABLISHED, sends");
    peer_sends(w, &pair, b"are you there?")?;
    expect_reset(w, pair.theirs)
}

pub(super) fn closed_window(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    let pair = peer_opens_again(w, listener, true)?;
    fill_window(w, &pair)?;
    pull(w);
    let (from, before) = (w.now(), w.trace.steps().count());
    let acknowledged = acknowledged(w)?;
    expect_timed_out(w, &pair, from, R2, Timer::WindowProbe)?;
    let probes = w.trace.steps().skip(before).filter(|step| is_probe(step)).count();
    ensure!((LEAST_PROBES..=MOST_PROBES).contains(&probes), "{probes} window probes were sent");
    w.expected.push((Way::ToPeer, format!("RST,ACK SEQ={acknowledged} ACK=1")));
    mend(w);
    Ok(())
}

/// One byte, which a closed window has no room for.
pub(super) fn is_probe(step: &Step) -> bool {
    step.way == Way::ToPeer && step.seen.is(Control::ACK) && step.seen.len == 1
}

pub(super) fn connect(w: &mut World<'_>) -> Result<()> {
    // With this the peer's Ethernet address is known.
    let (before, _) = we_open(w)?;
    is_alive(w, &before)?;
    pull(w);
    let (our_port, their_port) = (w.port(SECOND_CLIENT), w.port(THEIR_SERVER));
    let (from, first) = (w.now(), w.trace.entries.len());
    w.note("we connect");
    let ours = w.connect(our_port, their_port)?;
    let pair = Pair { ours, our_end: w.our_end(our_port), their_end: w.their_end(their_port), ..before };
    expect_timed_out(w, &pair, from, CONNECT, Timer::Connect)?;
    let syns = sent_at(w, first, Control::SYN);
    ensure!(syns.len() >= 3, "{} SYNs were sent", syns.len());
    // The last one is sent at the bound and does not wait for its turn.
    expect_doubling(&syns[..syns.len() - 1], Duration::from_secs(1))?;
    mend(w);
    w.close(pair.ours)
}

pub(super) fn half_open_expires(w: &mut World<'_>) -> Result<()> {
    let (our_port, their_port) = (w.port(OUR_SERVER), w.port(THEIR_CLIENT));
    w.listen(our_port)?;
    let our_end = w.our_end(our_port);
    let theirs = w.peer().connect(their_port, our_end, false)?;
    w.until("our SYN,ACK is out", |w| Ok(w.trace.from_us(Control::SYN | Control::ACK) == 1))?;
    w.note("the peer is ESTABLISHED, but nothing of it reaches us any more");
    w.set_pulled(Toward::Us, true);
    let from = w.now();
    w.until("the half-open entry is gone", |w| Ok(w.in_use() == (0, 0, 0)))?;
    let took = w.now().duration_since(from);
    ensure!(took + JITTER >= HALF_OPEN && took <= HALF_OPEN + SLACK, "that took {took:?}");
    expect_reset(w, theirs)?;
    w.set_pulled(Toward::Us, false);
    Ok(())
}

pub(super) fn orphan_closed_window(w: &mut World<'_>) -> Result<()> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    let pair = peer_opens_again(w, listener, true)?;
    fill_window(w, &pair)?;
    w.note("we close; the peer never reads");
    let from = w.now();
    w.close(pair.ours)?;
    w.until("the connection is given up", |w| Ok(w.in_use() == (0, 0, 0)))?;
    let took = w.now().duration_since(from);
    ensure!(took + JITTER >= ORPHAN && took <= ORPHAN + SLACK, "that took {took:?}");
    let acknowledged = acknowledged(w)?;
    w.expected.push((Way::ToPeer, format!("RST,ACK SEQ={acknowledged} ACK=1")));
    expect_reset(w, pair.theirs)
}

pub(super) fn orphan_without_fin(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("we close; the peer never does");
    let from = w.now();
    w.close(pair.ours)?;
    expect_their_end_of_stream(w, &pair)?;
    w.until("the connection is given up", |w| Ok(w.in_use() == (0, 0, 0)))?;
    let took = w.now().duration_since(from);
    ensure!(took + JITTER >= ORPHAN && took <= ORPHAN + SLACK, "that took {took:?}");
    w.note("the peer is told");
    expect_their_state(w, &pair, State::Closed)
}

/// The peer sends and ends its direction while nothing of ours reaches it.
fn unheard_until_close_wait(w: &mut World<'_>) -> Result<Pair> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("from here on nothing of ours reaches the peer; it sends, and ends its direction");
    w.set_pulled(Toward::Peer, true);
    peer_sends(w, &pair, &[7; 100])?;
    w.peer().shutdown(pair.theirs)?;
    w.until("we are in CLOSE-WAIT with bytes unread", |w| {
        Ok(w.state(&pair) == State::CloseWait && w.status(pair.ours)?.readable == 100)
    })?;
    Ok(pair)
}

pub(super) fn unread_ack_lost(w: &mut World<'_>) -> Result<()> {
    let pair = unheard_until_close_wait(w)?;
    // An ACK that was held back is lost too.
    w.until("everything of the peer's is acknowledged", |w| Ok(has_acknowledged_fin(w)))?;
    w.set_pulled(Toward::Peer, false);
    w.note("we close without reading; this arrives");
    w.close(pair.ours)?;
    expect_reset(w, pair.theirs)
}

pub(super) fn has_acknowledged_fin(w: &World<'_>) -> bool {
    let last_of = |way| w.trace.steps().rev().find(move |step| step.way == way).map(|step| step.seen);
    match (last_of(Way::ToPeer), last_of(Way::ToUs)) {
        (Some(ours), Some(theirs)) => ours.ack == theirs.seq + theirs.len as u32 + 1,
        _ => false,
    }
}

pub(super) fn unread_rst_lost(w: &mut World<'_>) -> Result<()> {
    let pair = unheard_until_close_wait(w)?;
    w.note("we close without reading; this is lost too");
    w.close(pair.ours)?;
    w.until("our RST is out", |w| Ok(w.trace.rsts(Way::ToPeer) == 1))?;
    w.note("the cable is back");
    w.set_pulled(Toward::Peer, false);
    expect_reset(w, pair.theirs)
}
