//! Over each family: Explicit Congestion Notification, as a peer sees it that marks, echoes and answers (RFC 3168 as RFC 8311 reads it).

mod codepoints;
mod forged;
mod negotiation;
mod receiver;
mod sender;
mod transfers;

use std::time::Duration;

use tcp_reset_core::{Config, ListenOptions, State, Status, StreamOptions, Verdict};

use crate::support::rig::{Rig, Sent};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};
use crate::transfer::{MSS, config, on_closed};

const ECE: u8 = 0x40;
const CWR: u8 = 0x80;
const BOTH: u8 = ECE | CWR;
/// Every combination of the two flags.
const FLAGS: [u8; 4] = [0, ECE, CWR, BOTH];

/// The round trip of these connections, which the handshake measures.
const RTT: Duration = Duration::from_millis(50);
/// What the peer offers, in bytes.
const WINDOW: u32 = 60_000;
/// Segments of the initial window.
const INITIAL: u32 = 10;

/// How a connection comes about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Active,
    Passive,
    /// Both open, and the peer's ACK ends it.
    Crossed,
}

const WAYS: [Way; 3] = [Way::Active, Way::Passive, Way::Crossed];

/// Acknowledges at once.
fn quick() -> Config {
    Config { delayed_ack: Duration::ZERO, ..config() }
}

fn stream() -> StreamOptions {
    StreamOptions { rx_buffer: 8_192, tx_buffer: 32_768, nagle: false, ..StreamOptions::default() }
}

/// Opens a connection; the peer's SYN or SYN,ACK has these flags.
fn establish(l: &mut Rig<'_>, way: Way, flags: u8) {
    l.peer_wnd = WINDOW;
    match way {
        Way::Active => {
            l.dial_with(stream());
            l.engine.wait(RTT);
            let _ = l.say(SYN | ACK | flags, 0);
        }
        Way::Passive => {
            l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
            let _ = l.say(SYN | flags, 0);
            l.engine.wait(RTT);
            let _ = l.say(ACK, 0);
            l.accept();
        }
        Way::Crossed => {
            l.dial_with(stream());
            let _ = l.say(SYN | flags, 0);
            l.engine.wait(RTT);
            let _ = l.say(ACK, 0);
        }
    }
    assert_eq!(l.state(), State::Established);
    l.model.state = State::Established;
}

/// What the peer's SYN, or SYN,ACK, must say for the two to agree.
fn agreeing(way: Way) -> u8 {
    match way {
        Way::Active => ECE,
        Way::Passive | Way::Crossed => BOTH,
    }
}

/// A connection that we opened, whose ends agree.
fn on_agreed_with(config: Config, test: impl Fn(&mut Rig<'_>)) {
    on_closed(config, |l| {
        establish(l, Way::Active, ECE);
        assert!(status(l).ecn);
        test(l);
    });
}

fn on_agreed(test: impl Fn(&mut Rig<'_>)) {
    on_agreed_with(quick(), test);
}

/// What the peer says in packets that the network has marked.
fn marked(l: &mut Rig<'_>, say: impl FnOnce(&mut Rig<'_>) -> Verdict) -> Verdict {
    l.engine.is_marked = true;
    let verdict = say(l);
    l.engine.is_marked = false;
    verdict
}

fn status(l: &Rig<'_>) -> Status {
    l.status().expect("a connection")
}

fn flight(l: &Rig<'_>) -> u32 {
    let status = status(l);
    status.snd_nxt.0.wrapping_sub(status.snd_una.0)
}

/// The congestion window and the threshold of slow start, in segments.
fn windows(l: &Rig<'_>) -> (u32, u32) {
    let Status { congestion_window, slow_start_threshold, .. } = status(l);
    (congestion_window / MSS, slow_start_threshold / MSS)
}

/// Queues so many segments; returns where they begin.
fn queue(l: &mut Rig<'_>, segments: u32) -> u32 {
    l.queue(segments * MSS)
}

/// The peer acknowledges `n` segments from `first` on, with these flags, and has no news beside.
fn ack(l: &mut Rig<'_>, first: u32, n: u32, flags: u8) {
    let seq = status(l).rcv_nxt.0;
    let _ = l.inject(&Seg::new(ACK | flags, seq, first.wrapping_add(n * MSS), 0, WINDOW));
}

/// The places of the segments with payload that the last call sent, counted in segments from `first` on, and whether each has CWR.
fn sent(l: &Rig<'_>, first: u32) -> Vec<(u32, bool)> {
    let of = |sent: &Sent| (sent.seq.wrapping_sub(first) / MSS, sent.ecn & CWR != 0);
    l.engine.sent.iter().filter(|sent| !sent.text.is_empty()).map(of).collect()
}

/// The places of the segments of the last call that have CWR.
fn told(l: &Rig<'_>, first: u32) -> Vec<u32> {
    sent(l, first).into_iter().filter(|(_, is_told)| *is_told).map(|(at, _)| at).collect()
}

/// Returns whether the only segment of the last call has ECE.
fn echoes(l: &Rig<'_>) -> bool {
    l.engine.only().ecn & ECE != 0
}
