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
use support::rig::{Raw, World, quick_config, small_stream, us};
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
fn on_world(test: impl Fn(&mut World<'_>, Family)) {
    on_world_with(quick_config(), test);
}

fn on_world_with(config: Config, test: impl Fn(&mut World<'_>, Family)) {
    over_each(|family| {
        let mut store = Box::new(Room::new());
        test(&mut World::new(&mut *store, config), family);
    });
}

fn client(family: Family, n: u16) -> SocketAddr {
    SocketAddr::new(family.host(2), 1_000 + n)
}

fn listener(backlog: u8, half_open: u8) -> ListenOptions {
    ListenOptions { backlog, half_open, stream: small_stream(), ..ListenOptions::default() }
}

fn listen(world: &mut World<'_>, family: Family, backlog: u8, half_open: u8) -> ListenerHandle {
    world.tcp.listen(us(family), listener(backlog, half_open)).unwrap()
}

/// A client's segment without text to our port 80.
fn tell(world: &mut World<'_>, from: SocketAddr, flags: u8, seq: u32, ack: u32) -> Verdict {
    let raw = Raw { seq, ack, flags, wnd: CLIENT_WINDOW, ..Raw::default() };
    world.arrive(from, us(Family::of(from.ip())), &raw)
}

/// A client's SYN. Returns the acknowledgment of our SYN,ACK where there is one.
fn knock(world: &mut World<'_>, from: SocketAddr) -> Option<u32> {
    let rule = tell(world, from, SYN, CLIENT_ISN, 0).rule;
    let answer = world.sent.iter().find(|sent| sent.dst == from && sent.flags == SYN | ACK);
    assert_eq!(rule == Rule::ListenSyn, answer.is_some(), "{rule}");
    answer.map(|sent| sent.end())
}

/// The third segment of the handshake.
fn complete(world: &mut World<'_>, from: SocketAddr, ack: u32) -> Rule {
    tell(world, from, ACK, CLIENT_ISN + 1, ack).rule
}

/// A whole handshake. Returns our next sequence number.
fn enter(world: &mut World<'_>, from: SocketAddr) -> u32 {
    let ack = knock(world, from).expect("the SYN is taken");
    assert_eq!(complete(world, from, ack), Rule::AckEstablishes);
    ack
}

/// A client that sent nothing but its SYN resets.
fn reset(world: &mut World<'_>, from: SocketAddr) {
    let _ = tell(world, from, RST, CLIENT_ISN + 1, 0);
}

fn accept(world: &mut World<'_>, listener: ListenerHandle) -> ConnectionHandle {
    let handle = world.tcp.accept(world.now, listener).unwrap();
    world.drain();
    handle
}

fn abort(world: &mut World<'_>, handle: ConnectionHandle) {
    world.tcp.abort(world.now, handle).unwrap();
    world.drain();
}

/// We close, the client acknowledges and closes: TIME-WAIT.
fn close_orderly(world: &mut World<'_>, handle: ConnectionHandle, from: SocketAddr) {
    world.tcp.close(world.now, handle).unwrap();
    world.drain();
    let fin = world.sent.iter().find(|sent| sent.dst == from && sent.flags & FIN != 0).expect("our FIN").end();
    let _ = tell(world, from, FIN | ACK, CLIENT_ISN + 1, fin);
}
