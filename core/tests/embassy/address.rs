//! Addresses that go and come, and cables that are pulled.

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use embassy_net::ConfigV4;
use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{CloseReason, Error, ListenOptions, StreamOptions};

use crate::exec::World;
use crate::hosts::{HOST, Host, RAW, Raw, mac_of, static_config};
use crate::net::PortRef;
use crate::packet::{ACK, PSH, RST, SYN};

const NEW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const LOST: Result<usize, Error> = Err(Error::Closed(CloseReason::AddressLost));

/// Changes the address and sees to it that the runner has a pass.
fn reconfigure(world: &mut World, host: &Host, raw: &Raw, config: ConfigV4) {
    host.stack.set_config_v4(config);
    nudge(world, host, raw);
}

/// Something comes in, nothing that matters.
fn nudge(world: &mut World, host: &Host, raw: &Raw) {
    raw.port.send(crate::packet::ethernet(host.mac(), raw.mac, 0x88b5, &[0; 46]));
    world.run_ms(2);
}

fn fixed(addr: Ipv4Addr) -> ConfigV4 {
    ConfigV4::Static(static_config(addr, None))
}

/// Sends to the stream and reads it there.
fn is_alive(world: &mut World, stream: &mut TcpStream, conn: &mut crate::hosts::Conn) -> bool {
    conn.send(ACK | PSH, b"alive");
    world.run_ms(5);
    world.block_on(stream.read(&mut [0; 10])) == Ok(5)
}

#[test]
fn address_replaced_connections_on_the_old_one_end() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
    let conn = raw.open(&mut world, &host, 40_000, 7);
    let mut stream = world.block_on(listener.accept()).unwrap();
    let _unaccepted = raw.open(&mut world, &host, 40_001, 7);
    raw.conn(&host, 40_002, 7).send(SYN, b"");
    world.run_ms(2);
    raw.take();
    let reading = world.spawn(async move {
        let result = stream.read(&mut [0; 10]).await;
        (result, stream)
    });
    world.run_ms(1);
    let mark = host.port.mark();
    reconfigure(&mut world, &host, &raw, fixed(NEW));
    let (result, stream) = world.join_for(Duration::from_millis(1), &reading);
    assert_eq!(result, LOST);
    drop(stream);
    world.run_ms(200_000);
    assert!(host.segments_since(mark).is_empty(), "nothing is sent from an address that is not ours");
    assert_eq!(host.in_use(), (0, 0, 0));

    let _conn = raw.open(&mut world, &host, 40_003, 7);
    let stream = world.block_on(listener.accept()).unwrap();
    assert_eq!(stream.local_endpoint(), Some((NEW, 7).into()), "the listener goes on at the new address");

    let mark = host.port.mark();
    raw.send_packet(host.mac(), &conn.segment(ACK | PSH, b"hello?").packet());
    world.run_ms(5);
    assert!(host.segments_since(mark).is_empty(), "the old address is nobody's here");
}

/// The pass that brings the new address to the core may find a SYN to it: lost, but not refused.
#[test]
fn address_replaced_first_syn_to_the_new_one_is_not_refused() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
    host.stack.set_config_v4(fixed(NEW));
    let mark = host.port.mark();
    let mut conn = raw.conn(&host, 40_000, 7);
    let syn = conn.segment(SYN, b"").packet();
    raw.send_packet(host.mac(), &syn);
    world.run_ms(2);
    assert_eq!(host.port.sent_since(mark), [] as [Vec<u8>; 0]);
    raw.send_packet(host.mac(), &syn);
    world.run_ms(2);
    conn.take();
    conn.seq += 1;
    conn.send(ACK, b"");
    assert!(world.block_on(listener.accept()).is_ok());
}

/// embassy-net wakes nobody but its own waiters for a new configuration: on an idle network the core is told by a call.
#[test]
fn address_replaced_while_idle_reader_learns_it_from_the_call() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    world.run_ms(1_000);
    host.stack.set_config_v4(fixed(NEW));
    assert!(host.tcp.follow_address());
    assert!(!host.tcp.follow_address(), "nothing has changed since");
    world.run_ms(2);
    assert_eq!(reading.take(), Some(LOST));
}

/// As a project does that is given its address by its user.
#[test]
fn address_set_connect_right_after_it_succeeds() {
    let (mut world, host, raw) = World::host_and_raw();
    host.stack.set_config_v4(fixed(NEW));
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 7), StreamOptions::default()).await });
    world.run_ms(2);
    let syns = raw.take_segments();
    assert!(syns.iter().all(|seg| seg.src == NEW), "{syns:?} from an address that is not ours any more");
    let ended = connecting.take().map(|result| result.err());
    assert_eq!(ended, None, "the attempt goes on");
}

/// As every project begins: wait until embassy-net says that it is configured, then connect.
#[test]
fn starting_connect_once_embassy_net_is_configured_has_a_route() {
    let mut world = World::new();
    let raw = world.raw(RAW);
    let config = embassy_net::Config::ipv4_static(static_config(HOST, None));
    let host = world.host_before_its_first_pass(PortRef::new(Some(mac_of(HOST))), config, Default::default());
    let (tcp, stack) = (host.tcp, host.stack);
    let connecting = async move {
        stack.wait_config_up().await;
        tcp.connect((RAW, 7), StreamOptions::default()).await.err()
    };
    // Tasks run in no order that a project could rely on.
    let mut connecting = std::pin::pin!(connecting);
    let at_once = world.block_on(std::future::poll_fn(|cx| {
        let is_ready = connecting.as_mut().poll(cx).is_ready();
        std::task::Poll::Ready(is_ready)
    }));
    assert!(!at_once, "an error, at once");
    raw.answer(&mut world, &host);
    assert_eq!(world.block_on(connecting), None);
}

#[test]
fn address_removed_connections_end() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    reconfigure(&mut world, &host, &raw, ConfigV4::None);
    assert_eq!(world.block_on(stream.read(&mut [0; 10])), LOST);
    let again = world.block_on(host.tcp.connect((RAW, 7), StreamOptions::default()));
    assert_eq!(again.err(), Some(Error::NoRoute));
}

#[test]
fn address_removed_after_the_cable_was_out_connections_end() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    host.port.set_link(false);
    world.run_ms(1_000);
    host.port.set_link(true);
    world.run_ms(1_000);
    assert!(is_alive(&mut world, &mut stream, &mut conn));
    reconfigure(&mut world, &host, &raw, ConfigV4::None);
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    world.run_ms(1_000);
    assert_eq!(reading.take(), Some(LOST));
}

#[test]
fn address_removed_while_the_cable_is_out_connections_end_when_it_is_back() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    host.port.set_link(false);
    world.run_ms(1_000);
    reconfigure(&mut world, &host, &raw, fixed(NEW));
    host.port.set_link(true);
    world.run_ms(1_000);
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    world.run_ms(1_000);
    assert_eq!(reading.take(), Some(LOST));
}

#[test]
fn connecting_address_replaced_the_attempt_ends() {
    let (mut world, host, raw) = World::host_and_raw();
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 7), StreamOptions::default()).await });
    world.run_ms(2);
    reconfigure(&mut world, &host, &raw, fixed(NEW));
    assert_eq!(world.join(&connecting).err(), Some(Error::Closed(CloseReason::AddressLost)));
}

#[test]
fn cable_out_and_in_same_address_keeps_connections() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    for _ in 0..3 {
        host.port.set_link(false);
        world.run_ms(10_000);
        host.port.set_link(true);
        world.run_ms(1_000);
        assert!(is_alive(&mut world, &mut stream, &mut conn));
    }
}

#[test]
fn cable_out_data_written_meanwhile_arrives_when_it_is_back() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    host.port.set_link(false);
    world.run_ms(100);
    world.block_on(stream.write(b"patience")).unwrap();
    world.run_ms(20_000);
    host.port.set_link(true);
    world.run_ms(20_000);
    conn.take();
    assert_eq!(conn.got, b"patience");
}

#[test]
fn cable_in_again_neighbors_are_asked_for_anew() {
    let (mut world, host, raw) = World::host_and_raw();
    let connect = |world: &mut World, port| {
        let tcp = host.tcp;
        let connecting = world.spawn(async move { tcp.connect((RAW, port), StreamOptions::default()).await });
        raw.answer(world, &host);
        world.join(&connecting).unwrap()
    };
    let questions = || host.tcp.inspect(|link| link.counters().arp_requests);
    let _one = connect(&mut world, 7);
    let _two = connect(&mut world, 8);
    assert_eq!(questions(), 1);
    host.port.set_link(false);
    world.run_ms(10);
    host.port.set_link(true);
    world.run_ms(10);
    let _three = connect(&mut world, 9);
    assert_eq!(questions(), 2);
}

/// A configuration that is no host's leaves the core without an address, and nothing panics.
#[test]
fn address_of_no_host_configured_nothing_panics() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    reconfigure(&mut world, &host, &raw, ConfigV4::Static(static_config(NEW, Some(Ipv4Addr::BROADCAST))));
    assert_eq!(world.block_on(stream.read(&mut [0; 10])), LOST);
    let listener = host.tcp.listen(([0, 0, 0, 0], 9), ListenOptions::default()).unwrap();
    let mut conn = raw.open(&mut world, &host, 40_000, 9);
    assert!(world.block_on(listener.accept()).is_ok(), "a router that is none leaves the address");
    conn.send(RST, b"");
    world.run_ms(5);
}
