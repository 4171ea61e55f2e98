//! We lose power and keep a journal: whoever holds a connection that we have lost is told, without having said a word.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tcp_reset_core::{Control, Fate, JournalCounters, State};

use super::timing::RTO_MIN;
use crate::cable::Toward;
use crate::ladder::label;
use crate::peer::Failure;
use crate::script::{
    OUR_SERVER, THEIR_SERVER, expect_reset, expect_their_state, is_alive, peer_comes_from, peer_opens,
    peer_opens_again, peer_sends, we_come_from,
};
use crate::trace::{Entry, Way};
use crate::world::{Pair, World};

/// How far away the peer is where that is measured, each way.
const DISTANCE: Duration = Duration::from_millis(100);
/// A question, its answer, and the way of the RST.
const TOLD_WITHIN: Duration = Duration::from_millis(400);
/// The RST alone, on its way.
const KNOWN_WITHIN: Duration = Duration::from_millis(200);
/// The second question leaves after a second.
const BY_THE_SECOND: Duration = Duration::from_millis(1_900);
/// Ports of the peer's clients, and of ours.
const THEIRS: std::ops::Range<u16> = 4..7;
const OURS: std::ops::Range<u16> = 8..11;
/// When the peer's own keepalive would find out, as its kernel comes.
const KEEP_ALIVE_TIME: &str = "/proc/sys/net/ipv4/tcp_keepalive_time";

/// Three connections each way, all alive, and a journal.
fn open_all(w: &mut World<'_>) -> Result<Vec<Pair>> {
    w.keep_journal()?;
    let port = w.port(OUR_SERVER);
    let listener = w.listen(port)?;
    let mut pairs = Vec::new();
    for n in THEIRS {
        pairs.push(peer_comes_from(w, listener, n)?);
    }
    let port = w.port(THEIR_SERVER);
    let server = w.peer().listen(port)?;
    for n in OURS {
        pairs.push(we_come_from(w, server, n)?);
    }
    for pair in &pairs {
        is_alive(w, pair)?;
    }
    Ok(pairs)
}

fn open_one(w: &mut World<'_>) -> Result<Pair> {
    w.keep_journal()?;
    let (pair, _) = peer_opens(w)?;
    is_alive(w, &pair)?;
    Ok(pair)
}

fn lose_power(w: &mut World<'_>) -> Result<()> {
    w.note("we lose power, and start again with the journal");
    let addr = w.family().our_addr();
    w.restart_with_journal(addr)
}

fn counters(w: &mut World<'_>) -> JournalCounters {
    w.ours().tcp().counters().journal
}

/// Every one of these processes has met ECONNRESET, and none has sent a byte since.
fn expect_all_reset(w: &mut World<'_>, pairs: &[Pair]) -> Result<()> {
    let mut left = pairs.to_vec();
    w.until("every process of the peer's sees ECONNRESET", |w| {
        let mut waiting = Vec::new();
        for pair in &left {
            match w.peer().recv(pair.theirs, &mut [0; 64])? {
                Err(failure) => ensure!(failure == Failure::Reset, "the peer's process saw {failure}, not ECONNRESET"),
                Ok(_) => waiting.push(*pair),
            }
        }
        left = waiting;
        Ok(left.is_empty())
    })
}

/// The peers are asked once more whether the RSTs have arrived, and deny: that is the end of it.
fn expect_settled(w: &mut World<'_>, fate: Fate, count: u32) -> Result<()> {
    w.until("what has become of every lost peer is known", |w| Ok(!w.ours().tcp().has_lost_peers()))?;
    let JournalCounters { told, gone, given_up, forgotten, .. } = counters(w);
    let of = |one: Fate| if one == fate { count } else { 0 };
    let expected = (of(Fate::Told), of(Fate::Gone), of(Fate::GivenUp), of(Fate::Forgotten));
    ensure!(
        (told, gone, given_up, forgotten) == expected,
        "told, gone, given up, forgotten: {:?}, not {expected:?}",
        (told, gone, given_up, forgotten)
    );
    w.note(format!("of {count} lost peers: {count} {fate}"));
    expect_denials(w);
    Ok(())
}

/// A peer without the connection answers a probe at the number that it acknowledges.
fn expect_denials(w: &mut World<'_>) {
    let steps: Vec<_> = w
        .trace
        .entries
        .iter()
        .enumerate()
        .filter_map(|(place, entry)| match entry {
            Entry::Segment(step) => Some((place, *step)),
            Entry::Note(_) => None,
        })
        .collect();
    let mut denials = Vec::new();
    for (place, step) in &steps {
        let is_probe = |other: &crate::trace::Step| {
            other.way == Way::ToPeer
                && other.seen.is(Control::ACK)
                && other.seen.wnd == 0
                && other.ends() == step.ends()
        };
        let is_answer = step.way == Way::ToUs && step.seen.control.contains(Control::RST);
        if is_answer && steps.iter().any(|(_, other)| is_probe(other) && other.seen.ack == step.seen.seq) {
            denials.push((Way::ToUs, label(&w.trace, *place, &step.seen)));
        }
    }
    w.expected.extend(denials);
}

/// Every process learns it within two round trips.
pub(super) fn all_are_told(w: &mut World<'_>) -> Result<()> {
    let pairs = open_all(w)?;
    w.cable().set_delay(DISTANCE);
    let from = w.now();
    lose_power(w)?;
    expect_all_reset(w, &pairs)?;
    let took = w.now().duration_since(from);
    ensure!(took <= TOLD_WITHIN, "the last process was told after {took:?}: two round trips are {TOLD_WITHIN:?}");
    let without = match std::fs::read_to_string(KEEP_ALIVE_TIME) {
        Ok(seconds) => format!("{} s", seconds.trim()),
        Err(_) => "2 h".into(),
    };
    let (count, took) = (pairs.len(), took.as_millis());
    let round_trip = (2 * DISTANCE).as_millis();
    w.note(format!("{count} processes were told within {took} ms, the round trip is {round_trip} ms"));
    w.note(format!("without a journal: by their own keepalive, if it is on, after {without}"));
    w.cable().set_delay(Duration::ZERO);
    expect_settled(w, Fate::Told, count as u32)
}

/// Whatever TCP the peer has: some pass over one of two opposite acknowledgments.
pub(super) fn all_are_told_by_the_second(w: &mut World<'_>) -> Result<()> {
    let pairs = open_all(w)?;
    let from = w.now();
    lose_power(w)?;
    expect_all_reset(w, &pairs)?;
    let took = w.now().duration_since(from);
    ensure!(took <= BY_THE_SECOND, "the last process was told after {took:?}");
    expect_settled(w, Fate::Told, pairs.len() as u32)
}

/// Where SND.NXT was noted, the RST needs no question.
pub(super) fn numbers_were_noted(w: &mut World<'_>) -> Result<()> {
    let pairs = open_all(w)?;
    w.cable().set_delay(DISTANCE);
    w.note("something warns us: we note our sequence numbers");
    w.ours().tcp().note_sequence_numbers();
    let from = w.now();
    lose_power(w)?;
    expect_all_reset(w, &pairs)?;
    let took = w.now().duration_since(from);
    ensure!(took < KNOWN_WITHIN, "the last process was told after {took:?}: a round trip is {KNOWN_WITHIN:?}");
    w.cable().set_delay(Duration::ZERO);
    expect_settled(w, Fate::Told, pairs.len() as u32)
}

/// One segment of the exchange is lost; the question a second later finds the connection all the same.
fn lost_once(w: &mut World<'_>, toward: Toward, control: Control, what: &str) -> Result<()> {
    let pair = open_one(w)?;
    let from = w.now();
    w.note(format!("{what} will be lost"));
    w.cable().set_lost(toward, Some(control));
    lose_power(w)?;
    w.pass(RTO_MIN)?;
    expect_their_state(w, &pair, State::Established)?;
    w.cable().set_lost(toward, None);
    expect_reset(w, pair.theirs)?;
    let took = w.now().duration_since(from);
    ensure!(took >= Duration::from_millis(950), "told after {took:?}: nothing was lost");
    expect_settled(w, Fate::Told, 1)
}

pub(super) fn question_lost(w: &mut World<'_>) -> Result<()> {
    lost_once(w, Toward::Peer, Control::ACK, "our first question")
}

pub(super) fn answer_lost(w: &mut World<'_>) -> Result<()> {
    lost_once(w, Toward::Us, Control::ACK, "the first answer")
}

pub(super) fn rst_lost(w: &mut World<'_>) -> Result<()> {
    lost_once(w, Toward::Peer, Control::RST, "our first RST")
}

/// While we were off the peer's process has gone too.
pub(super) fn peer_is_gone(w: &mut World<'_>) -> Result<()> {
    let pair = open_one(w)?;
    w.note("the peer forgets the connection without a word");
    w.peer().vanish(pair.theirs)?;
    lose_power(w)?;
    expect_settled(w, Fate::Gone, 1)?;
    ensure!(counters(w).probes == 1, "{} questions for one stranger", counters(w).probes);
    Ok(())
}

/// While we were off the peer's client has gone, and another comes from the same port: it is served and not disturbed.
pub(super) fn peer_comes_again(w: &mut World<'_>) -> Result<()> {
    let old = open_one(w)?;
    w.note("the peer forgets the connection, and its client comes again from the same port");
    w.peer().vanish(old.theirs)?;
    w.set_pulled(Toward::Peer, true);
    lose_power(w)?;
    let port = w.port(OUR_SERVER);
    let listener = w.listen(port)?;
    w.set_pulled(Toward::Peer, false);
    let fresh = peer_opens_again(w, listener, false)?;
    is_alive(w, &fresh)?;
    expect_settled(w, Fate::Gone, 1)?;
    is_alive(w, &fresh)
}

/// We connect from the port of a lost connection: the SYN asks the peer as well as a question does.
pub(super) fn we_come_again(w: &mut World<'_>) -> Result<()> {
    w.keep_journal()?;
    let port = w.port(THEIR_SERVER);
    let server = w.peer().listen(port)?;
    let old = we_come_from(w, server, OURS.start)?;
    is_alive(w, &old)?;
    lose_power(w)?;
    let fresh = we_come_from(w, server, OURS.start)?;
    expect_reset(w, old.theirs)?;
    is_alive(w, &fresh)?;
    expect_settled(w, Fate::Told, 1)?;
    is_alive(w, &fresh)
}

/// We come back with another address: whoever has ours now is not bothered, and the old peer is not told in its name.
pub(super) fn on_another_address(w: &mut World<'_>) -> Result<()> {
    let pair = open_one(w)?;
    w.note("we lose power, and start again on another address");
    let elsewhere = w.family().host(ELSEWHERE);
    let before = w.trace.steps().count();
    w.restart_with_journal(elsewhere)?;
    w.pass(Duration::from_millis(1_200))?;
    let sent = w.trace.steps().count() - before;
    ensure!(sent == 0, "{sent} segments on an address that is not the journal's");
    ensure!(w.family() == crate::family::Family::Ipv6 || counters(w).forgotten == 1, "{:?}", counters(w));
    w.note("and on the first one again, without a journal");
    w.restart()?;
    expect_their_state(w, &pair, State::Established)?;
    peer_sends(w, &pair, b"are you there?")?;
    expect_reset(w, pair.theirs)
}

/// The host part of an address that nobody has.
const ELSEWHERE: u8 = 77;

/// Power-on with garbage where the journal is: nothing is sent, and it serves from then on.
pub(super) fn garbage(w: &mut World<'_>) -> Result<()> {
    let pair = open_one(w)?;
    w.note("we lose power, and the journal's memory with it");
    w.ours().spoil_journal();
    let before = w.trace.steps().count();
    lose_power(w)?;
    w.pass(Duration::from_millis(1_200))?;
    let sent = w.trace.steps().count() - before;
    ensure!(sent == 0, "{sent} segments because of garbage");
    let JournalCounters { found, ignored, .. } = counters(w);
    ensure!((found, ignored) == (0, 16), "{found} found, {ignored} ignored");
    peer_sends(w, &pair, b"are you there?")?;
    expect_reset(w, pair.theirs)?;
    // It keeps a journal again.
    let port = w.port(OUR_SERVER);
    let listener = w.listen(port)?;
    let fresh = peer_opens_again(w, listener, false).context("after garbage")?;
    is_alive(w, &fresh)?;
    lose_power(w)?;
    expect_reset(w, fresh.theirs)?;
    expect_settled(w, Fate::Told, 1)
}
