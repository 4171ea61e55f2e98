//! Two stacks on one device, and any number of tasks on one stack: nobody starves, nobody spins.

use std::time::Duration;

use embassy_net::udp::{PacketMetadata, UdpSocket};
use tcp_reset_core::ListenOptions;

use crate::exec::World;
use crate::hosts::{HOST, Host, OTHER, RAW, mac_of};
use crate::net::PortRef;
use crate::packet::{ACK, Body, RST, SYN};
use crate::streams::{pattern, read_to_end, write_all};

/// Datagrams that embassy-net itself sends, one each so many ms.
pub const EACH_MS: u64 = 10;
const DATAGRAMS: u64 = 100;

/// Sends so many, whether or not the socket's queue is full now and then. The peer's address is known before.
pub fn datagrams_to(world: &mut World, host: &Host, to: (core::net::Ipv4Addr, u16), count: u64) {
    let metas = || -> &'static mut [PacketMetadata] { Box::leak(Box::new([PacketMetadata::EMPTY; 4])) };
    let buf = || -> &'static mut [u8] { Box::leak(Box::new([0; 4_096])) };
    let mut socket = UdpSocket::new(host.stack, metas(), buf(), metas(), buf());
    socket.bind(5_000).unwrap();
    world.spawn(async move {
        for _ in 0..count {
            socket.send_to(b"a datagram", to).await.unwrap();
            embassy_time::Timer::after_millis(EACH_MS).await;
        }
        core::future::pending::<()>().await;
    });
}

/// A device of `frame_time` µs for each frame, with uploads that could fill every slot: what embassy-net sends arrives, and the uploads go
/// on at the device's speed.
fn share(tx_slots: usize, frame_time: u64, uploads: u16, needs_tx_to_receive: bool) {
    let what = format!("{tx_slots} slots, {frame_time} µs, {uploads} uploads, {needs_tx_to_receive}");
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| {
        (port.tx_slots, port.frame_time, port.needs_tx_to_receive) = (tx_slots, frame_time, needs_tx_to_receive);
    });
    let a = world.host_on(port, HOST);
    let (b, raw) = (world.host(OTHER), world.raw(RAW));
    for n in 0..uploads {
        let (mut one, mut two) = world.pair(&a, &b, 7 + n, ListenOptions::default());
        world.spawn(async move { write_all(&mut one, &pattern(4_000_000)).await });
        world.spawn(async move { read_to_end(&mut two).await });
    }
    world.run_ms(200);
    raw.take();
    let mark = a.port.mark();
    datagrams_to(&mut world, &a, (RAW, 9), DATAGRAMS);
    world.run_ms(10 * DATAGRAMS + 300);
    let arrived = raw.take().iter().filter(|packet| matches!(packet.body, Body::Udp { .. })).count() as u64;
    assert!(arrived >= DATAGRAMS - 2, "{what}: {arrived} of {DATAGRAMS} datagrams");
    let could = (10 * DATAGRAMS + 300) * 1_000 / frame_time;
    let sent = a.port.sent_since(mark).len() as u64;
    assert!(sent * 100 >= could * 90, "{what}: {sent} of {could} frames that the device can send");
}

#[test]
fn slow_device_uploads_and_datagrams_share_it() {
    for (tx_slots, uploads) in [(1, 4), (2, 4), (4, 4), (4, 7), (8, 7)] {
        for frame_time in [400, 1_200] {
            for needs_tx_to_receive in [true, false] {
                share(tx_slots, frame_time, uploads, needs_tx_to_receive);
            }
        }
    }
}

/// The runner is not polled again and again while the device is full.
#[test]
fn full_device_runner_sleeps() {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| (port.tx_slots, port.frame_time) = (4, 1_200));
    let a = world.host_on(port, HOST);
    let (b, raw) = (world.host(OTHER), world.raw(RAW));
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    world.spawn(async move { write_all(&mut one, &pattern(4_000_000)).await });
    world.spawn(async move { read_to_end(&mut two).await });
    datagrams_to(&mut world, &a, (RAW, 9), DATAGRAMS);
    world.run_ms(500);
    raw.take();
    let (polls, mark) = (a.polls.count.get(), a.port.mark());
    world.run_ms(500);
    let (polls, frames) = (a.polls.count.get() - polls, a.port.mark() - mark);
    assert!(frames >= 400);
    assert!(polls < 8 * frames as u64, "{polls} polls for {frames} frames");
    a.port.set(|port| port.is_stuck = true);
    world.run_ms(100);
    let polls = a.polls.count.get();
    world.run_ms(300);
    assert!(a.polls.count.get() - polls < 50, "nothing leaves, and nothing is polled but for timers and datagrams");
}

const WAITERS: u16 = 40;

#[test]
fn forty_tasks_accept_on_one_listener_and_sleep() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = Box::leak(Box::new(host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap()));
    let listener: &_ = listener;
    let waiting: Vec<_> = (0..WAITERS).map(|_| world.spawn(async move { listener.accept().await })).collect();
    world.run_ms(100);
    let polls = || waiting.iter().map(|task| task.polls()).sum::<u64>();
    let before = polls();
    world.run_for(Duration::from_secs(3_600));
    assert_eq!(polls(), before, "no news, no poll");
    for n in 0..8 {
        raw.open(&mut world, &host, 40_000 + n, 7);
    }
    world.run_ms(100);
    assert_eq!(waiting.iter().filter(|task| task.is_done()).count(), 8, "each connection goes to one");
    let before = polls();
    world.run_for(Duration::from_secs(60));
    assert_eq!(polls(), before);
}

#[test]
fn forty_tasks_wait_for_one_end_and_sleep() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    let stream: &_ = Box::leak(Box::new(stream));
    let waiting: Vec<_> = (0..WAITERS).map(|_| world.spawn(stream.closed())).collect();
    world.run_ms(100);
    let polls = || waiting.iter().map(|task| task.polls()).sum::<u64>();
    let before = polls();
    world.run_for(Duration::from_secs(3_600));
    assert_eq!(polls(), before, "no news, no poll");
    conn.send(RST | ACK, b"");
    world.run_ms(10);
    assert!(waiting.iter().all(|task| task.is_done()), "everybody is told");
}

#[test]
fn forty_tasks_wait_for_an_address_and_sleep() {
    let (mut world, host, _raw) = World::host_and_raw();
    let tcp = host.tcp;
    let waiting: Vec<_> = (0..WAITERS).map(|_| world.spawn(async move { tcp.address_changed().await })).collect();
    // Those that give up leave the others where they are.
    let given_up: Vec<_> = (0..5).map(|_| world.spawn(async move { tcp.address_changed().await })).collect();
    world.run_ms(100);
    for task in given_up {
        world.cancel(task);
    }
    let polls = || waiting.iter().map(|task| task.polls()).sum::<u64>();
    let before = polls();
    world.run_for(Duration::from_secs(3_600));
    assert_eq!(polls(), before, "no news, no poll");
    host.stack.set_config_v4(embassy_net::ConfigV4::None);
    tcp.follow_address();
    world.run_ms(10);
    assert!(waiting.iter().all(|task| task.is_done()), "everybody is told");
}

/// Whoever gives up takes no connection with it.
#[test]
fn cancelled_acceptor_loses_no_connection() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = Box::leak(Box::new(host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap()));
    let listener: &_ = listener;
    for n in 0..20 {
        let given_up: Vec<_> = (0..3).map(|_| world.spawn(async move { listener.accept().await })).collect();
        let waiting = world.spawn(async move { listener.accept().await });
        world.run_ms(1);
        let mut conn = raw.conn(&host, 41_000 + n, 7);
        conn.send(SYN, b"");
        world.run_ms(1);
        conn.take();
        conn.send(ACK, b"");
        // The connection is there, and so is the wake-up; whoever was woken goes away without having looked.
        for task in given_up {
            world.cancel(task);
        }
        world.run_ms(10);
        let mut stream = waiting.take().expect("the one that stays is told").unwrap();
        stream.abort();
        world.run_ms(1);
    }
}
