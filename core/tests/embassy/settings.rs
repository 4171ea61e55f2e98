//! What a listener, a device and a connection are set to, seen on the wire.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tcp_reset_core::{Config, Error, ListenOptions, MAX_BUFFER, Network, Overflow, StreamOptions};

use crate::exec::World;
use crate::hosts::{HOST, RAW, Raw, mac_of, static_config};
use crate::net::PortRef;
use crate::packet::{ACK, FIN, PSH, RST, SYN};
use crate::streams::{echo_between, pattern, write_all};

const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 130);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 126);
const FRIENDS: &[Network] = &[Network { addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 128)), prefix: 29 }];

fn syn_to(world: &mut World, host: &crate::hosts::Host, raw: &Raw, port: u16) -> Vec<crate::packet::Seg> {
    let mut conn = raw.conn(host, 40_000, port);
    conn.send(SYN, b"");
    world.run_ms(2);
    conn.take()
}

/// A static of them must be possible, and a static is shared between threads as far as the compiler knows.
#[test]
fn resources_may_be_a_static() {
    fn fits<T: Send>() {}
    fits::<tcp_reset_core::embassy::TcpResources<1, 1, 1, 1, 64>>();
}

#[test]
fn filtered_listener_stranger_is_reset_as_from_a_closed_port() {
    let mut world = World::new();
    let (host, friend, stranger) = (world.host(HOST), world.raw(FRIEND), world.raw(STRANGER));
    let options = ListenOptions { accept_from: Some(FRIENDS), ..ListenOptions::default() };
    let listener = host.tcp.listen((HOST, 7), options).unwrap();
    let mut at_listener = syn_to(&mut world, &host, &stranger, 7);
    let mut at_nothing = syn_to(&mut world, &host, &stranger, 8);
    assert_eq!((at_listener.len(), at_nothing.len()), (1, 1));
    assert_eq!(at_listener[0].flags, RST | ACK);
    at_listener[0].sport = 0;
    at_nothing[0].sport = 0;
    assert_eq!(at_listener, at_nothing, "nobody can tell");
    assert_eq!(host.in_use(), (0, 0, 0));

    let _conn = friend.open(&mut world, &host, 40_000, 7);
    let stream = world.block_on(listener.accept()).unwrap();
    assert_eq!(stream.remote_endpoint().unwrap().ip(), FRIEND);
}

#[test]
fn filtered_listener_and_open_one_strangers_reach_the_open_one() {
    let mut world = World::new();
    let (host, friend, stranger) = (world.host(HOST), world.raw(FRIEND), world.raw(STRANGER));
    let filtered = ListenOptions { accept_from: Some(FRIENDS), ..ListenOptions::default() };
    let inner = host.tcp.listen((HOST, 7), filtered).unwrap();
    let outer = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
    let _a = friend.open(&mut world, &host, 40_000, 7);
    let _b = stranger.open(&mut world, &host, 40_000, 7);
    assert_eq!(world.block_on(inner.accept()).unwrap().remote_endpoint().unwrap().ip(), FRIEND);
    assert_eq!(world.block_on(outer.accept()).unwrap().remote_endpoint().unwrap().ip(), STRANGER);
}

#[test]
fn filter_of_nobody_refuses_everybody() {
    let (mut world, host, raw) = World::host_and_raw();
    let options = ListenOptions { accept_from: Some(&[]), ..ListenOptions::default() };
    let _listener = host.tcp.listen((HOST, 7), options).unwrap();
    assert!(matches!(&syn_to(&mut world, &host, &raw, 7)[..], [seg] if seg.flags == RST | ACK));
}

#[test]
fn listener_with_a_buffer_size_offers_it_as_window() {
    let (mut world, host, raw) = World::host_and_raw();
    let mut listeners = Vec::new();
    for (port, rx_buffer) in [(7, 64), (8, 2_048), (9, 32_768)] {
        let stream = StreamOptions { rx_buffer, ..StreamOptions::default() };
        listeners.push(host.tcp.listen((HOST, port), ListenOptions { stream, ..ListenOptions::default() }).unwrap());
        let got = syn_to(&mut world, &host, &raw, port);
        assert!(matches!(&got[..], [seg] if usize::from(seg.wnd) == rx_buffer), "{rx_buffer}: {got:?}");
    }
    let bad = StreamOptions { tx_buffer: 2 * MAX_BUFFER, ..StreamOptions::default() };
    let result = host.tcp.listen((HOST, 10), ListenOptions { stream: bad, ..ListenOptions::default() });
    assert_eq!(result.err(), Some(Error::InvalidBufferSize));
}

#[test]
fn connection_with_a_buffer_size_offers_it_and_holds_as_much() {
    let (mut world, host, raw) = World::host_and_raw();
    let options = StreamOptions { rx_buffer: 512, tx_buffer: 256, ..StreamOptions::default() };
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 7), options).await });
    raw.answer(&mut world, &host);
    let mut stream = world.join(&connecting).unwrap();
    assert!(host.segments_since(0).iter().all(|seg| seg.wnd == 512));
    assert_eq!(world.block_on(stream.write(&pattern(1_000))), Ok(256));
}

#[test]
fn listener_full_refusing_resets_the_next() {
    let (mut world, host, raw) = World::host_and_raw();
    let options = ListenOptions { backlog: 1, overflow: Overflow::Refuse, ..ListenOptions::default() };
    let _listener = host.tcp.listen((HOST, 7), options).unwrap();
    let _conn = raw.open(&mut world, &host, 40_001, 7);
    assert!(matches!(&syn_to(&mut world, &host, &raw, 7)[..], [seg] if seg.flags == RST | ACK));
}

#[test]
fn small_mtu_is_announced_and_kept() {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| port.mtu = 590);
    let host = world.host_on(port, HOST);
    let raw = world.raw(RAW);
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    let syn_ack = host.segments_since(0).into_iter().find(|seg| seg.has(SYN)).unwrap();
    assert_eq!(syn_ack.mss, Some(536));
    world.block_on(write_all(&mut stream, &pattern(4_000))).unwrap();
    // The peer announced 1,460.
    for _ in 0..20 {
        world.run_ms(50);
        conn.take();
        conn.send(ACK, b"");
    }
    assert_eq!(conn.got, pattern(4_000));
    let longest = host.port.sent_since(0).iter().map(Vec::len).max().unwrap();
    assert_eq!(longest, 590, "full segments, and no longer ones");

    let tcp = host.tcp;
    world.spawn(async move { tcp.connect((RAW, 7), StreamOptions::default()).await.is_ok() });
    world.run_ms(2);
    let syn = host.segments_since(0).into_iter().rfind(|seg| seg.has(SYN)).unwrap();
    assert_eq!((syn.flags, syn.mss), (SYN, Some(536)));
}

#[test]
fn small_mtu_on_one_side_bulk_arrives_unchanged() {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| port.mtu = 590);
    let a = world.host_on(port, HOST);
    let b = world.host(crate::hosts::OTHER);
    echo_between(&mut world, &a, &b, 100_000, Duration::from_secs(60));
    assert!(b.port.sent_since(0).iter().all(|frame| frame.len() <= 590), "the announcement is obeyed");
}

#[test]
fn large_mtu_leaves_the_configured_mss() {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| port.mtu = 9_014);
    let net = embassy_net::Config::ipv4_static(static_config(HOST, None));
    let host = world.host_with(port, net, Config { mss: Some(1_000), ..Config::default() });
    let raw = world.raw(RAW);
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    assert!(matches!(&syn_to(&mut world, &host, &raw, 7)[..], [seg] if seg.mss == Some(1_000)));
}

#[test]
fn hardware_address_known_late_frames_carry_it() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    let new = [2, 0, 0, 0, 0, 0x55];
    host.port.set(|port| port.mac = Some(new));
    host.port.set_link(true);
    world.run_ms(1);
    let mark = host.port.mark();
    world.block_on(stream.write(b"from the new one")).unwrap();
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 9), StreamOptions::default()).await });
    world.run_ms(5);
    let frames = host.port.sent_since(mark);
    assert!(frames.len() >= 3, "text, an ARP request, a SYN");
    assert!(frames.iter().all(|frame| frame[6..12] == new), "{frames:02x?}");
    assert!(frames.iter().filter(|frame| frame[12..14] == [8, 6]).all(|frame| frame[22..28] == new), "also in ARP");

    conn.to = new;
    conn.take();
    conn.send(ACK | PSH, b"to the new one");
    assert_eq!(world.block_on(stream.read(&mut [0; 20])), Ok(14));
    conn.to = mac_of(HOST);
    conn.send(ACK | FIN, b"");
    world.run_ms(5);
    assert!(!connecting.is_done());
    assert_eq!(stream.state(), tcp_reset_core::State::Established, "the old one is somebody else's");
}

/// The driver's first pass with the new address may find a frame to it.
#[test]
fn hardware_address_changed_first_frame_to_it_draws_one_syn_ack() {
    let (mut world, host, raw) = World::host_and_raw();
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    // embassy-net knows the neighbor, and could answer.
    raw.send_packet(host.mac(), &crate::packet::echo_request(RAW, HOST, b""));
    world.run_ms(10);
    host.port.set(|port| port.mac = Some([2, 0, 0, 0, 0, 0x55]));
    let got = syn_to(&mut world, &host, &raw, 7);
    assert!(matches!(&got[..], [seg] if seg.flags == SYN | ACK), "{got:?}");
}
