//! Over each family: what tables, queues and timers do at their bounds and one step beyond, and what is given back at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod edges;
mod links;
mod tables;
mod timers;

use std::net::SocketAddr;

use tcp_reset_core::{Config, ConnectionHandle, ListenOptions, ListenerHandle, Rule, Storage, Verdict};

use support::family::{Family, over_each};
use support::rig::{Engine, Raw, quick_config, small_stream, us};
use support::table::{ACK, FIN, RST, SYN};

/// Room for more than the queue of replies holds.
const SLOTS: usize = 10;
const LISTENERS: usize = 3;
const HALF_OPEN: usize = 12;
const TIME_WAIT: usize = 4;
type Room = Storage<SLOTS, LISTENERS, HALF_OPEN, TIME_WAIT, 8_192>;

/// Each client's initial sequence number and window.
const CLIENT_ISN: u32 = 100;
const CLIENT_WINDOW: u16 = 1_000;

/// Runs a test on a fresh engine over each family.
fn on_engine(test: impl Fn(&mut Engine<'_>, Family)) {
    on_engine_with(quick_config(), test);
}

fn on_engine_with(config: Config, test: impl Fn(&mut Engine<'_>, Family)) {
    over_each(|family| {
        let mut store = Box::new(Room::new());
        test(&mut Engine::new(&mut *store, config), family);
    });
}

fn client(family: Family, n: u16) -> SocketAddr {
    SocketAddr::new(family.host(2), 1_000 + n)
}

fn listener(backlog: u8, half_open: u8) -> ListenOptions {
    ListenOptions { backlog, half_open, stream: small_stream(), ..ListenOptions::default() }
}

fn listen(engine: &mut Engine<'_>, family: Family, backlog: u8, half_open: u8) -> ListenerHandle {
    engine.tcp.listen(us(family), listener(backlog, half_open)).unwrap()
}

/// A client's segment without text to our port 80.
fn tell(engine: &mut Engine<'_>, from: SocketAddr, flags: u8, seq: u32, ack: u32) -> Verdict {
    let raw = Raw { seq, ack, flags, wnd: CLIENT_WINDOW, ..Raw::default() };
    engine.arrive(from, us(Family::of(from.ip())), &raw)
}

/// A client's SYN. Returns the acknowledgment of our SYN,ACK where there is one.
fn knock(engine: &mut Engine<'_>, from: SocketAddr) -> Option<u32> {
    let rule = tell(engine, from, SYN, CLIENT_ISN, 0).rule;
    let answer = engine.sent.iter().find(|sent| sent.dst == from && sent.flags == SYN | ACK);
    assert_eq!(rule == Rule::ListenSyn, answer.is_some(), "{rule}");
    answer.map(|sent| sent.end())
}

/// The third segment of the handshake.
fn complete(engine: &mut Engine<'_>, from: SocketAddr, ack: u32) -> Rule {
    tell(engine, from, ACK, CLIENT_ISN + 1, ack).rule
}

/// A whole handshake. Returns our next sequence number.
fn enter(engine: &mut Engine<'_>, from: SocketAddr) -> u32 {
    let ack = knock(engine, from).expect("the SYN is taken");
    assert_eq!(complete(engine, from, ack), Rule::AckEstablishes);
    ack
}

/// A client that sent nothing but its SYN resets.
fn reset(engine: &mut Engine<'_>, from: SocketAddr) {
    let _ = tell(engine, from, RST, CLIENT_ISN + 1, 0);
}

fn accept(engine: &mut Engine<'_>, listener: ListenerHandle) -> ConnectionHandle {
    let handle = engine.tcp.accept(engine.now, listener).unwrap();
    engine.drain();
    handle
}

fn abort(engine: &mut Engine<'_>, handle: ConnectionHandle) {
    engine.tcp.abort(engine.now, handle).unwrap();
    engine.drain();
}

/// We close, the client acknowledges and closes: TIME-WAIT.
fn close_orderly(engine: &mut Engine<'_>, handle: ConnectionHandle, from: SocketAddr) {
    engine.tcp.close(engine.now, handle).unwrap();
    engine.drain();
    let fin = engine.sent.iter().find(|sent| sent.dst == from && sent.flags & FIN != 0).expect("our FIN").end();
    let _ = tell(engine, from, FIN | ACK, CLIENT_ISN + 1, fin);
}
