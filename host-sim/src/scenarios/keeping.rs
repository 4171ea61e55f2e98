//! Each side asks whether the other is there, and bounds how long it waits: keepalive (RFC 9293 §3.8.4), the user timeout (RFC 5482), and a
//! window that stays closed (§3.8.6.1).

use std::num::NonZeroU8;
use std::time::Duration;

use anyhow::{Result, ensure};
use tcp_reset_core::{CloseReason, Control, KeepAlive, Seq, State, Timer};

use super::silence::{JITTER, LATE, mend, pull};
use super::timing::{ASKED_EVERY, IDLE};
use crate::peer::{Failure, Read};
use crate::script::{
    OUR_SERVER, expect_our_state, expect_reset, expect_their_end_of_stream, expect_told, is_alive, peer_opens,
    peer_opens_again, peer_sends, peer_to_us,
};
use crate::trace::{Step, Way};
use crate::world::{Pair, World};

/// The shortest keepalive that the kernel knows, with a single probe: one that is not answered ends the connection.
const PEER_ASKS: KeepAlive =
    KeepAlive { idle: Duration::from_secs(1), interval: Duration::from_secs(1), probes: NonZeroU8::MIN };
/// When that has ended a connection to a silent side, with what the kernel's clock rounds up.
const PEER_GIVES_UP: Duration = Duration::from_millis(2_500);
/// The peer's user timeout.
const PEER_WAITS: Duration = Duration::from_secs(1);
/// Two of the peer's probes are sent meanwhile.
const WHILE: Duration = Duration::from_millis(2_500);
/// How soon a probe is answered.
const AT_ONCE: Duration = Duration::from_millis(150);
/// Bytes that are sent to a silent side.
const SOME: usize = 20;

/// Returns whether a segment asks whether the other side is there: an empty one, at a number that was acknowledged already.
fn is_question(step: &Step, before: Seq) -> bool {
    step.seen.is(Control::ACK) && step.seen.len == 0 && step.seen.seq + 1 == before
}

/// Counts the questions from one side after the first segments of the trace; each is answered at once by an empty ACK with right numbers.
fn answered(w: &mut World<'_>, pair: &Pair, from: Way, first: usize) -> Result<usize> {
    let status = w.status(pair.ours)?;
    let (theirs, ours) = (status.rcv_nxt, status.snd_nxt);
    let (asked, expected) = if from == Way::ToUs { (theirs, (ours, theirs)) } else { (ours, (theirs, ours)) };
    let steps: Vec<_> = w.trace.steps().skip(first).collect();
    let mut questions = 0;
    for (place, step) in steps.iter().enumerate().filter(|(_, step)| step.way == from && is_question(step, asked)) {
        questions += 1;
        let Some(answer) = steps[place..].iter().find(|answer| answer.way != from) else { continue };
        let is_right = answer.seen.is(Control::ACK) && answer.seen.len == 0;
        ensure!(is_right && (answer.seen.seq, answer.seen.ack) == expected, "a probe was answered wrongly");
        let took = answer.at.duration_since(step.at);
        ensure!(took <= AT_ONCE, "a probe was answered after {took:?}");
    }
    ensure!(steps.len() == 2 * questions, "{} segments for {questions} probes", steps.len());
    Ok(questions)
}

/// Several periods of ours pass; none needs a second probe.
pub(super) fn peer_answers(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    still_there(w, &pair)?;
    is_alive(w, &pair)
}

/// A half-closed connection is kept for as long as the peer is there.
pub(super) fn peer_answers_half_closed(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.note("we end our direction");
    w.shutdown(pair.ours)?;
    expect_their_end_of_stream(w, &pair)?;
    expect_our_state(w, &pair, State::FinWait2)?;
    still_there(w, &pair)?;
    peer_to_us(w, &pair, SOME)
}

fn still_there(w: &mut World<'_>, pair: &Pair) -> Result<()> {
    let first = w.trace.steps().count();
    w.note(format!("nobody says anything for {} ms", WHILE.as_millis()));
    w.pass(WHILE)?;
    // One that was just sent is given the time of its answer.
    w.pass(AT_ONCE)?;
    let questions = answered(w, pair, Way::ToPeer, first)?;
    let most = (WHILE + AT_ONCE).as_millis() / ASKED_EVERY.as_millis();
    ensure!(questions >= 3 && questions as u128 <= most, "{questions} probes were sent");
    w.note(format!("{questions} probes, each answered"));
    Ok(())
}

pub(super) fn peer_asks(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.peer().keep_alive(pair.theirs, PEER_ASKS)?;
    let first = w.trace.steps().count();
    w.note(format!("the peer keeps the connection alive; nobody says anything for {} ms", WHILE.as_millis()));
    w.pass(WHILE)?;
    let questions = answered(w, &pair, Way::ToUs, first)?;
    ensure!(questions >= 2, "{questions} probes came");
    w.note(format!("{questions} probes of the peer's, each answered"));
    is_alive(w, &pair)
}

/// A probe that we answer is no byte: our idle timeout counts on.
pub(super) fn peer_asks_idle(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.peer().keep_alive(pair.theirs, PEER_ASKS)?;
    let (from, first) = (w.now(), w.trace.steps().count());
    w.note("the peer keeps the connection alive; we bear no idle one for long");
    w.pass(IDLE - 2 * JITTER)?;
    let questions = answered(w, &pair, Way::ToUs, first)?;
    ensure!(questions >= 2, "{questions} probes came");
    expect_told(w, pair.ours, CloseReason::TimedOut(Timer::Idle))?;
    let took = w.now().duration_since(from);
    ensure!(took + JITTER >= IDLE && took <= IDLE + LATE, "that took {took:?}, not {IDLE:?}");
    w.note(format!("after {} ms, and {questions} probes that were answered", took.as_millis()));
    expect_reset(w, pair.theirs)
}

/// We lose power while all is idle: the peer's keepalive tells its process.
pub(super) fn peer_asks_in_vain(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.peer().keep_alive(pair.theirs, PEER_ASKS)?;
    lose_power(w)?;
    expect_their_timeout(w, &pair, PEER_GIVES_UP)?;
    get_power(w)
}

/// We lose power while the peer's bytes are in flight: its user timeout tells its process.
pub(super) fn peer_waits_in_vain(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    w.peer().set_user_timeout(pair.theirs, PEER_WAITS)?;
    lose_power(w)?;
    peer_sends(w, &pair, &[7; SOME])?;
    expect_their_timeout(w, &pair, 2 * PEER_WAITS)?;
    get_power(w)
}

fn lose_power(w: &mut World<'_>) -> Result<()> {
    pull(w);
    w.restart()
}

fn expect_their_timeout(w: &mut World<'_>, pair: &Pair, most: Duration) -> Result<()> {
    let from = w.now();
    let failure = w.peer_failure(pair.theirs)?;
    ensure!(failure == Failure::TimedOut, "the peer's process saw {failure}, not ETIMEDOUT");
    let took = w.now().duration_since(from);
    ensure!(took <= most, "that took {took:?}");
    w.note(format!("the peer's process sees ETIMEDOUT after {} ms", took.as_millis()));
    w.peer().close(pair.theirs)?;
    // What it says at the end is lost.
    w.pass(AT_ONCE)
}

fn get_power(w: &mut World<'_>) -> Result<()> {
    mend(w);
    w.note("we have power again");
    let listener = w.listen(w.port(OUR_SERVER))?;
    let fresh = peer_opens_again(w, listener, false)?;
    is_alive(w, &fresh)
}

/// The peer fills our window. Returns how many bytes wait at our application.
fn fill_our_window(w: &mut World<'_>, pair: &Pair) -> Result<usize> {
    w.note("the peer sends until our window, which nobody reads from, is closed");
    let mut sent = 0;
    w.until("our window is closed, and more waits", |w| {
        loop {
            match peer_sends(w, pair, &[7; 1_024])? {
                0 => break,
                n => sent += n,
            }
        }
        Ok(w.status(pair.ours)?.rcv_wnd == 0)
    })?;
    // What is under way arrives, and is acknowledged.
    w.pass(AT_ONCE)?;
    Ok(sent)
}

/// Our application takes its time; the peer's probes are answered, and nothing is lost.
pub(super) fn our_window_stays_closed(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    w.peer().keep_alive(pair.theirs, PEER_ASKS)?;
    let sent = fill_our_window(w, &pair)?;
    let first = w.trace.steps().count();
    w.pass(WHILE + AT_ONCE)?;
    let probes = probed(w, first)?;
    w.note(format!("{probes} window probes, each answered by a closed window; now we read"));
    let mut got = 0;
    w.until("every byte of the peer's has arrived", |w| {
        if let Ok(Read::Data(n)) = w.recv(pair.ours, &mut [0; 4_096])? {
            got += n;
        }
        Ok(got == sent)
    })?;
    is_alive(w, &pair)
}

/// Each probe of a closed window is answered by our ACK that it is closed.
fn probed(w: &World<'_>, first: usize) -> Result<usize> {
    let steps: Vec<_> = w.trace.steps().skip(first).collect();
    let is_probe = |step: &&&Step| step.way == Way::ToUs && step.seen.is(Control::ACK);
    let probes = steps.iter().filter(is_probe).count();
    let is_answer = |step: &&&Step| step.way == Way::ToPeer && step.seen.is(Control::ACK) && step.seen.wnd == 0;
    let answers = steps.iter().filter(is_answer).count();
    ensure!(probes >= 1 && answers == probes, "{probes} probes of our window, {answers} answers");
    Ok(probes)
}

/// A user timeout of the peer's counts also where we answer its probes (RFC 5482; Linux does so too): its process is told, and we learn it
/// when we open our window.
pub(super) fn our_window_stays_closed_too_long(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = peer_opens(w)?;
    w.peer().set_user_timeout(pair.theirs, PEER_WAITS)?;
    fill_our_window(w, &pair)?;
    let first = w.trace.steps().count();
    w.until("the peer gives up", |w| Ok(w.peer().state(pair.their_end.port(), pair.our_end)? == State::Closed))?;
    let probes = probed(w, first)?;
    w.note(format!("{probes} window probes, each answered by a closed window; the peer gave up"));
    let failure = w.peer_failure(pair.theirs)?;
    ensure!(failure == Failure::TimedOut, "the peer's process saw {failure}, not ETIMEDOUT");
    w.pass(AT_ONCE)?;
    w.note("the peer's process sees ETIMEDOUT; now we read");
    w.until("we are told", |w| {
        // Where the peer has told us already there is nothing to read.
        let _ = w.recv(pair.ours, &mut [0; 4_096])?;
        Ok(w.ended(pair.ours).is_some())
    })?;
    expect_told(w, pair.ours, CloseReason::ResetByPeer)
}
