//! Everything ended at once before a restart.

use std::time::Duration;

use tcp_reset_core::{CloseReason, Error, ListenOptions, StreamOptions};

use crate::exec::World;
use crate::hosts::{HOST, RAW};
use crate::packet::{ACK, RST, SYN};

#[test]
fn everything_open_abort_all_resets_every_peer() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let mut peers = vec![raw.open(&mut world, &host, 40_000, 7)];
    let mut stream = world.block_on(listener.accept()).unwrap();
    peers.push(raw.open(&mut world, &host, 40_001, 7));
    for port in 40_100..40_112 {
        let mut conn = raw.conn(&host, port, 7);
        conn.send(SYN, b"");
        world.run_ms(1);
        assert!(conn.take().iter().any(|seg| seg.flags == SYN | ACK));
        peers.push(conn);
    }
    assert_eq!(host.in_use(), (2, 12, 0));

    world.block_on_for(Duration::from_micros(100), host.tcp.abort_all());
    world.run_ms(1);
    let got = raw.take_segments();
    for peer in &peers {
        let theirs: Vec<_> = got.iter().filter(|seg| seg.dport == peer.me.1).collect();
        let is_told = |seg: &&crate::packet::Seg| seg.has(RST) && seg.seq == peer.ack && seg.ack == peer.seq;
        assert!(matches!(&theirs[..], [seg] if is_told(seg)), "port {}: {theirs:?}", peer.me.1);
    }
    assert_eq!(got.len(), peers.len());
    assert_eq!(world.block_on(stream.read(&mut [0; 10])), Err(Error::Closed(CloseReason::Aborted)));
    assert_eq!(world.block_on(stream.closed()), CloseReason::Aborted);
    drop(stream);
    world.run_ms(1);
    assert_eq!(host.in_use(), (0, 0, 0));
}

#[test]
fn listening_abort_all_ends_accept_and_closes_the_port() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener: &'static _ = Box::leak(Box::new(host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap()));
    let accepting = [world.spawn(listener.accept()), world.spawn(listener.accept())];
    world.run_ms(1);
    world.block_on(host.tcp.abort_all());
    for task in &accepting {
        assert_eq!(world.join(task).err(), Some(Error::StaleHandle));
    }
    assert_eq!(world.block_on(listener.accept()).err(), Some(Error::StaleHandle));
    let mut conn = raw.conn(&host, 40_000, 7);
    conn.send(SYN, b"");
    world.run_ms(2);
    let got = conn.take();
    assert!(matches!(&got[..], [seg] if seg.flags == RST | ACK && seg.ack == conn.seq), "{got:?}");
    assert!(host.tcp.listen((HOST, 7), ListenOptions::default()).is_ok(), "one may begin again");
}

#[test]
fn stale_listener_dropped_leaves_its_successor_alone() {
    let (mut world, host, raw) = World::host_and_raw();
    let stale = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    world.block_on(host.tcp.abort_all());
    let listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    drop(stale);
    let _conn = raw.open(&mut world, &host, 40_000, 7);
    assert!(world.block_on(listener.accept()).is_ok());
}

#[test]
fn connecting_abort_all_ends_the_attempt() {
    let (mut world, host, _raw) = World::host_and_raw();
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 7), StreamOptions::default()).await });
    world.run_ms(5);
    world.block_on(host.tcp.abort_all());
    assert_eq!(world.join(&connecting).err(), Some(Error::Closed(CloseReason::Aborted)));
}

#[test]
fn nothing_open_abort_all_is_done_at_once() {
    let (mut world, host, _raw) = World::host_and_raw();
    world.block_on_for(Duration::from_millis(1), host.tcp.abort_all());
}

#[test]
fn device_full_abort_all_waits_until_every_reset_is_taken() {
    let (mut world, host, raw) = World::host_and_raw();
    host.port.set(|port| port.tx_slots = 1);
    let _listener = host.tcp.listen((HOST, 7), ListenOptions { backlog: 8, ..ListenOptions::default() }).unwrap();
    for port in 40_000..40_006 {
        raw.open(&mut world, &host, port, 7);
    }
    host.port.set(|port| port.is_stuck = true);
    let mark = host.port.mark();
    let tcp = host.tcp;
    let aborting = world.spawn(async move { tcp.abort_all().await });
    world.run_ms(5_000);
    assert!(!aborting.is_done(), "the device has taken one frame of six");
    assert_eq!(host.segments_since(mark).len(), 1);
    host.port.set(|port| port.is_stuck = false);
    world.join(&aborting);
    let resets = host.segments_since(mark);
    assert!(resets.len() == 6 && resets.iter().all(|seg| seg.has(RST)), "{resets:?}");
}

/// Nothing says that only one task may call it.
#[test]
fn device_full_two_tasks_abort_all_both_sleep() {
    let (mut world, host, raw) = World::host_and_raw();
    host.port.set(|port| port.tx_slots = 1);
    let _listener = host.tcp.listen((HOST, 7), ListenOptions { backlog: 8, ..ListenOptions::default() }).unwrap();
    for port in 40_000..40_004 {
        raw.open(&mut world, &host, port, 7);
    }
    host.port.set(|port| port.is_stuck = true);
    let tcp = host.tcp;
    let aborting =
        [world.spawn(async move { tcp.abort_all().await }), world.spawn(async move { tcp.abort_all().await })];
    world.run_ms(10);
    host.port.set(|port| port.is_stuck = false);
    for task in &aborting {
        world.join(task);
    }
}
