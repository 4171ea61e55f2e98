//! Connections that work: over IPv6, and over both families at once.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use embedded_io_async::{Read, Write};
use embedded_nal_async::TcpConnect;
use tcp_reset_core::embassy::TcpClient;
use tcp_reset_core::{CloseReason, Error, ListenOptions, State, StreamOptions};

use super::{HOST_V6, Live, OTHER_V6, RAW_V6, fixed_v6, of_both, static_v6};
use crate::exec::{World, both};
use crate::hosts::{HOST, Host, OTHER, RAW, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{self, ACK, ADVERTISEMENT, Body, RST, SYN};
use crate::streams::{echo, echo_through, write_all};

const PATIENCE: Duration = Duration::from_secs(60);

/// How many times the host has told where it is.
fn advertisements(host: &Host) -> usize {
    let frames = host.port.sent_since(0);
    let is_one = |frame: &&Vec<u8>| matches!(packet::parse(frame).body, Body::Icmpv6 { kind: ADVERTISEMENT, .. });
    frames.iter().filter(is_one).count()
}

#[test]
fn client_of_a_second_host_bytes_come_back_unchanged() {
    let (mut world, a, b) = World::two_dual_hosts();
    let (accepted, connected) = world.pair_v6(&a, &b, 7);
    assert_eq!(b.tcp.inspect(|link| link.counters().neighbor_solicitations), 1);
    assert_eq!(advertisements(&a), 1, "embassy-net tells the client where its host is");
    assert_eq!(connected.remote_endpoint(), Some((HOST_V6, 7).into()));
    assert_eq!(connected.local_endpoint().map(|local| local.ip()), Some(OTHER_V6.into()));
    assert_eq!(accepted.local_endpoint(), Some((HOST_V6, 7).into()));
    assert_eq!(accepted.remote_endpoint(), connected.local_endpoint());
    echo_through(&mut world, (accepted, connected), 100_000, PATIENCE);
}

#[test]
fn lossy_wire_bytes_come_back_unchanged() {
    let (mut world, a, b) = World::two_dual_hosts();
    let pair = world.pair_v6(&a, &b, 7);
    let mut count = 0_u32;
    world.net.filter = Box::new(move |_| {
        count += 1;
        !count.is_multiple_of(17)
    });
    echo_through(&mut world, pair, 30_000, Duration::from_secs(600));
}

#[test]
fn listener_on_all_serves_both_families_between_the_same_ports() {
    let (mut world, host, raw_v6) = World::dual_host_and_raw();
    let raw_v4 = world.raw(RAW);
    let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    let mut live = |raw: &Raw| {
        let conn = raw.open(&mut world, &host, 40_000, 7);
        let stream = world.block_on(listener.accept()).unwrap();
        Live { stream, conn }
    };
    let (mut v4, mut v6) = (live(&raw_v4), live(&raw_v6));
    assert_eq!(v4.stream.remote_endpoint(), Some((RAW, 40_000).into()));
    assert_eq!(v4.stream.local_endpoint(), Some((HOST, 7).into()));
    assert_eq!(v6.stream.remote_endpoint(), Some((RAW_V6, 40_000).into()));
    assert_eq!(v6.stream.local_endpoint(), Some((HOST_V6, 7).into()));
    for _ in 0..3 {
        v4.exchange(&mut world);
        v6.exchange(&mut world);
    }
    v4.conn.send(RST | ACK, b"");
    world.run_ms(5);
    assert_eq!(v4.stream.state(), State::Closed);
    v6.exchange(&mut world);
}

#[test]
fn transfers_in_both_families_at_once_come_back_unchanged() {
    let (mut world, a, b) = World::two_dual_hosts();
    let listener = a.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    world.spawn(async move {
        let (one, two) = both(listener.accept(), listener.accept()).await;
        both(echo(one.unwrap()), echo(two.unwrap())).await
    });
    let client = |remote: SocketAddr, byte: u8| {
        let tcp = b.tcp;
        async move {
            let mut stream = tcp.connect_from(50_000, remote, StreamOptions::default()).await.unwrap();
            let mut buf = [0; 1_500];
            for i in 0..50 {
                write_all(&mut stream, &[byte ^ i; 1_500]).await.unwrap();
                stream.read_exact(&mut buf).await.unwrap();
                assert!(buf == [byte ^ i; 1_500], "the other family's bytes");
            }
        }
    };
    let clients = [client((HOST, 7).into(), 0x00), client((HOST_V6, 7).into(), 0x80)].map(|client| world.spawn(client));
    for client in &clients {
        world.join_for(PATIENCE, client);
    }
}

#[test]
fn listener_of_ipv4_refuses_ipv6() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let raw_v4 = world.raw(RAW);
    let listener = host.tcp.listen((Ipv4Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    let mut conn = raw.conn(&host, 40_000, 7);
    conn.send(SYN, b"");
    world.run_ms(5);
    let got = raw.take_segments();
    assert!(matches!(&got[..], [seg] if seg.flags == RST | ACK && seg.ack == conn.seq), "{got:?}");
    let _conn = raw_v4.open(&mut world, &host, 40_000, 7);
    assert!(world.block_on(listener.accept()).is_ok());
}

#[test]
fn listener_of_one_address_refuses_the_other_family() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let raw_v4 = world.raw(RAW);
    let listener = host.tcp.listen((HOST_V6, 7), ListenOptions::default()).unwrap();
    raw_v4.conn(&host, 40_000, 7).send(SYN, b"");
    world.run_ms(5);
    let got = raw_v4.take_segments();
    assert!(matches!(&got[..], [seg] if seg.flags == RST | ACK), "{got:?}");
    let _conn = raw.open(&mut world, &host, 40_000, 7);
    assert!(world.block_on(listener.accept()).is_ok());
}

/// Of several on a port the one that says most about the address takes the SYN.
#[test]
fn listeners_of_all_and_of_ipv4_each_takes_its_own() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let raw_v4 = world.raw(RAW);
    let all = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    let v4 = host.tcp.listen((Ipv4Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    let _conns = [raw_v4.open(&mut world, &host, 40_000, 7), raw.open(&mut world, &host, 40_000, 7)];
    let (of_v4, of_all) = (world.block_on(v4.accept()).unwrap(), world.block_on(all.accept()).unwrap());
    assert_eq!(of_v4.local_endpoint(), Some((HOST, 7).into()));
    assert_eq!(of_all.local_endpoint(), Some((HOST_V6, 7).into()));
    assert_eq!(host.in_use(), (2, 0, 0));
}

#[test]
fn host_of_ipv6_alone_connects_and_has_no_route_over_ipv4() {
    let mut world = World::new();
    let a = world.dual_host(HOST, HOST_V6);
    let config = embassy_net::Config::ipv6_static(static_v6(OTHER_V6, None));
    let b = world.host_with(PortRef::new(Some(mac_of(OTHER_V6))), config, Default::default());
    let v4 = world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default()));
    assert_eq!(v4.err(), Some(Error::NoRoute));
    let pair = world.pair_v6(&a, &b, 7);
    echo_through(&mut world, pair, 10_000, PATIENCE);
}

#[test]
fn host_of_ipv4_alone_has_no_route_over_ipv6_until_it_is_given_an_address() {
    let mut world = World::new();
    let host = world.host(HOST);
    let raw = world.raw(RAW_V6);
    let before = world.block_on(host.tcp.connect((RAW_V6, 7), StreamOptions::default()));
    assert_eq!(before.err(), Some(Error::NoRoute));
    let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    host.stack.set_config_v6(fixed_v6(HOST_V6));
    assert!(host.tcp.follow_address());
    let _conn = raw.open(&mut world, &host, 40_000, 7);
    let stream = world.block_on(listener.accept()).unwrap();
    assert_eq!(stream.local_endpoint(), Some((HOST_V6, 7).into()), "the listener was there before the address");
}

/// Without Ethernet nobody is asked for.
#[test]
#[cfg_attr(feature = "slaac", ignore = "embassy-net has no link-local address for such a device, and panics")]
fn plain_ip_device_connects_echoes_and_pings() {
    let mut world = World::new();
    let mut host = |v4, v6| world.host_with(PortRef::new(None), of_both(v4, v6), Default::default());
    let (a, b) = (host(HOST, HOST_V6), host(OTHER, OTHER_V6));
    let pair = world.pair_v6(&a, &b, 7);
    echo_through(&mut world, pair, 50_000, PATIENCE);
    let error = world.block_on(b.tcp.connect((HOST_V6, 99), StreamOptions::default())).unwrap_err();
    assert_eq!(error, Error::Closed(CloseReason::Refused));
    let mark = a.port.mark();
    a.port.deliver(super::frames::echo_request(OTHER_V6, HOST_V6, b"ping"));
    world.run_ms(5);
    let got: Vec<_> = a.port.sent_since(mark).iter().map(|bytes| packet::parse_ip(bytes)).collect();
    assert!(matches!(&got[..], [Body::Icmpv6 { kind: super::frames::ECHO_REPLY, .. }]), "{got:?}");
    assert_eq!(b.tcp.inspect(|link| link.counters().neighbor_solicitations), 0);
}

#[test]
fn client_of_a_generic_protocol_is_answered() {
    let (mut world, a, b) = World::two_dual_hosts();
    let listener = a.tcp.listen((HOST_V6, 7), ListenOptions::default()).unwrap();
    world.spawn(async move { echo(listener.accept().await.unwrap()).await });
    let client = TcpClient::new(b.tcp, StreamOptions::default());
    let asking = async {
        let mut connection = client.connect((HOST_V6, 7).into()).await.unwrap();
        connection.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).await.unwrap();
        answer
    };
    assert_eq!(world.block_on(asking), *b"hello");
}

#[test]
fn planned_restart_resets_the_peers_of_both_families() {
    let (mut world, host, mut v4, mut v6) = World::dual_connected();
    world.block_on(host.tcp.abort_all());
    world.run_ms(5);
    for Live { conn, .. } in [&mut v4, &mut v6] {
        let got = conn.take();
        assert!(matches!(&got[..], [seg] if seg.has(RST)), "{got:?}");
    }
}
