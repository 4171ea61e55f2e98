//! Who has nothing to do sleeps.

use std::time::Duration;

use tcp_reset_core::ListenOptions;
use tcp_reset_core::embassy::TcpStream;

use crate::clock;
use crate::exec::World;
use crate::hosts::{Conn, HOST, Host, RAW, Raw};
use crate::packet::{ACK, PSH, SYN};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn idle_connections_for_a_day_nobody_is_woken() {
    let (mut world, a, b) = World::two_hosts();
    let raw = world.raw(RAW);
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    let (mut three, mut conn) = world.accepted(&a, &raw, 8);
    world.run_for(Duration::from_secs(100));
    assert_eq!(clock::next_wake(), None, "no deadline, no timer");
    let before = (a.polls.count.get(), b.polls.count.get(), a.port.mark());
    world.run_for(DAY);
    assert_eq!((a.polls.count.get(), b.polls.count.get(), a.port.mark()), before);

    world.block_on(two.write(b"morning")).unwrap();
    assert_eq!(world.block_on(one.read(&mut [0; 10])), Ok(7));
    conn.send(ACK | PSH, b"too");
    assert_eq!(world.block_on(three.read(&mut [0; 10])), Ok(3));
}

#[test]
fn idle_for_months_connections_go_on() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    world.run_for(60 * DAY);
    world.block_on(one.write(b"still there?")).unwrap();
    assert_eq!(world.block_on(two.read(&mut [0; 20])), Ok(12));
    world.block_on(two.write(b"yes")).unwrap();
    assert_eq!(world.block_on(one.read(&mut [0; 20])), Ok(3));
}

#[test]
fn nothing_open_nothing_is_scheduled() {
    let (mut world, host, _raw) = World::host_and_raw();
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    world.run_ms(1_000);
    let before = host.polls.count.get();
    assert_eq!(clock::next_wake(), None);
    world.run_for(DAY);
    assert_eq!(host.polls.count.get(), before);
}

#[test]
fn one_exchange_costs_a_handful_of_polls() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, conn) = world.accepted(&host, &raw, 7);
    exchange_once(&mut world, &host, stream, conn);
}

/// A connection at rest sees one exchange, and is at rest again.
pub fn exchange_once(world: &mut World, host: &Host, mut stream: TcpStream, mut conn: Conn) {
    world.run_for(Duration::from_secs(10));
    let before = host.polls.count.get();
    conn.send(ACK | PSH, b"ping");
    world.block_on(stream.read(&mut [0; 10])).unwrap();
    world.block_on(stream.write(b"pong")).unwrap();
    world.run_ms(20);
    conn.take();
    conn.send(ACK, b"");
    world.run_for(Duration::from_secs(10));
    let polls = host.polls.count.get() - before;
    assert!(polls <= 12, "{polls} polls");
    assert_eq!(clock::next_wake(), None);
}

#[test]
fn half_open_deadline_fires_in_time_and_then_nothing_is_left() {
    let (mut world, host, raw) = World::host_and_raw();
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    knock_once(&mut world, &host, &raw);
}

/// A handshake is begun and never completed.
pub fn knock_once(world: &mut World, host: &Host, raw: &Raw) {
    raw.conn(host, 40_000, 7).send(SYN, b"");
    world.run_ms(1);
    let before = host.polls.count.get();
    assert!(clock::next_wake().is_some_and(|at| at <= clock::now() + 1_100_000), "the SYN,ACK is sent again");
    world.run_for(Duration::from_secs(40));
    assert_eq!((host.in_use(), clock::next_wake()), ((0, 0, 0), None));
    assert!(host.polls.count.get() - before < 30);
}

#[test]
fn late_timer_is_met_at_its_time() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    world.run_for(Duration::from_secs(10));
    world.block_on(stream.write(b"x")).unwrap();
    world.run_for(Duration::from_secs(20));
    // A header is 54 bytes: what is longer by one carries the text.
    let port = host.port.0.borrow();
    let sent: Vec<_> = port.sent.iter().filter(|(_, frame)| frame.len() == 55).map(|(at, _)| *at).collect();
    let waits: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [1_000_000, 2_000_000, 4_000_000, 8_000_000];
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    for (wait, expected) in waits.iter().zip(expected) {
        assert!(wait.abs_diff(expected) < 5_000, "{waits:?} us");
    }
}
