//! embassy-net beside us does everything else, as if nobody were there.

use std::net::Ipv4Addr;

use embassy_net::udp::{PacketMetadata, UdpSocket};
use tcp_reset_core::embassy::DeviceError;
use tcp_reset_core::{ListenOptions, StreamOptions};

use crate::exec::World;
use crate::hosts::{HOST, Host, OTHER, RAW, Raw};
use crate::net::PortRef;
use crate::packet::{self, ACK, ARP, BROADCAST, Body, IPV4, Packet, RST, SYN};
use crate::streams::{echo, write_all};

/// An address of nobody here.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);

/// A UDP echo on port 9.
pub fn udp_echo(world: &mut World, host: &Host) {
    let metas = || -> &'static mut [PacketMetadata] { Box::leak(Box::new([PacketMetadata::EMPTY; 4])) };
    let buf = || -> &'static mut [u8] { Box::leak(Box::new([0; 4_096])) };
    let mut socket = UdpSocket::new(host.stack, metas(), buf(), metas(), buf());
    socket.bind(9).unwrap();
    world.spawn(async move {
        let mut buf = [0; 1_500];
        loop {
            let (len, meta) = socket.recv_from(&mut buf).await.unwrap();
            socket.send_to(&buf[..len], meta).await.unwrap();
        }
    });
    world.run_ms(1);
}

pub fn everything_after(world: &mut World, raw: &Raw, frame: Vec<u8>) -> Vec<Packet> {
    raw.take();
    raw.port.send(frame);
    world.run_ms(100);
    raw.take()
}

#[test]
fn address_asked_for_is_answered_exactly_once() {
    let (mut world, host, raw) = World::host_and_raw();
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    for to in [BROADCAST, host.mac()] {
        let question = packet::arp(1, (raw.mac, RAW), ([0; 6], HOST));
        let got = everything_after(&mut world, &raw, packet::ethernet(to, raw.mac, ARP, &question));
        let answer = Body::Arp { op: 2, sender: (host.mac(), HOST), target: (raw.mac, RAW) };
        assert_eq!(got, [Packet { to: raw.mac, from: host.mac(), body: answer }]);
    }
    let question = packet::arp(1, (raw.mac, RAW), ([0; 6], NOBODY));
    let got = everything_after(&mut world, &raw, packet::ethernet(BROADCAST, raw.mac, ARP, &question));
    assert_eq!(got, []);
}

#[test]
fn echo_request_is_answered_exactly_once() {
    let (mut world, host, raw) = World::host_and_raw();
    let request = packet::echo_request(RAW, HOST, b"ping");
    raw.send_packet(host.mac(), &request);
    world.run_ms(100);
    raw.take();
    let got = everything_after(&mut world, &raw, packet::ethernet(host.mac(), raw.mac, IPV4, &request));
    assert_eq!(got.len(), 1, "{got:?}");
    let Body::Icmp { src, dst, kind, rest, .. } = &got[0].body else { panic!("{got:?}") };
    assert_eq!((*src, *dst, *kind), (HOST, RAW, 0));
    assert_eq!(rest, &[&[0x12, 0x34, 0, 1], &b"ping"[..]].concat());
}

#[test]
fn udp_datagram_is_echoed_exactly_once() {
    let (mut world, host, raw) = World::host_and_raw();
    udp_echo(&mut world, &host);
    let datagram = packet::udp((RAW, 5_000), (HOST, 9), b"datagram");
    raw.send_packet(host.mac(), &datagram);
    world.run_ms(100);
    let got = everything_after(&mut world, &raw, packet::ethernet(host.mac(), raw.mac, IPV4, &datagram));
    assert_eq!(got.len(), 1, "{got:?}");
    let Body::Udp { sport, dport, text, .. } = &got[0].body else { panic!("{got:?}") };
    assert_eq!((*sport, *dport, &text[..]), (9, 5_000, &b"datagram"[..]));
}

#[test]
fn udp_and_echo_requests_during_a_transfer_are_answered_once_each() {
    let (mut world, a, b) = World::two_hosts();
    let raw = world.raw(RAW);
    udp_echo(&mut world, &a);
    // embassy-net asks for the neighbor first.
    raw.send_packet(a.mac(), &packet::echo_request(RAW, HOST, b"x"));
    world.run_ms(10);
    raw.take();
    let (accepted, mut stream) = world.pair(&a, &b, 7, ListenOptions::default());
    world.spawn(echo(accepted));
    let transfer = world.spawn(async move {
        let mut buf = [0; 1_024];
        for _ in 0..200 {
            write_all(&mut stream, &[7; 1_024]).await.unwrap();
            embedded_io_async::Read::read_exact(&mut stream, &mut buf).await.unwrap();
        }
    });
    for _ in 0..20 {
        raw.send_packet(a.mac(), &packet::udp((RAW, 5_000), (HOST, 9), b"x"));
        raw.send_packet(a.mac(), &packet::echo_request(RAW, HOST, b"x"));
        world.run_ms(3);
    }
    world.join(&transfer);
    let got = raw.take();
    let count = |is: fn(&Body) -> bool| got.iter().filter(|packet| is(&packet.body)).count();
    assert_eq!(count(|body| matches!(body, Body::Udp { .. })), 20);
    assert_eq!(count(|body| matches!(body, Body::Icmp { kind: 0, .. })), 20);
}

#[test]
fn syn_to_a_closed_port_draws_exactly_one_reset() {
    let (mut world, host, raw) = World::host_and_raw();
    let conn = raw.conn(&host, 40_000, 7);
    let syn = conn.segment(SYN, b"").packet();
    let got = everything_after(&mut world, &raw, packet::ethernet(host.mac(), raw.mac, IPV4, &syn));
    assert_eq!(got.len(), 1, "{got:?}");
    let Body::Tcp(seg) = &got[0].body else { panic!("{got:?}") };
    assert_eq!((seg.flags, seg.seq, seg.ack, seg.sport), (RST | ACK, 0, conn.seq.wrapping_add(1), 7));
}

#[test]
fn syn_to_a_listening_port_draws_exactly_one_syn_ack() {
    let (mut world, host, raw) = World::host_and_raw();
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let conn = raw.conn(&host, 40_000, 7);
    let syn = conn.segment(SYN, b"").packet();
    let got = everything_after(&mut world, &raw, packet::ethernet(host.mac(), raw.mac, IPV4, &syn));
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(matches!(&got[0].body, Body::Tcp(seg) if seg.flags == SYN | ACK && seg.mss == Some(1_460)));
}

/// embassy-net's own sockets are there with its feature on; they see nothing of it.
#[test]
fn embassy_nets_own_tcp_socket_sees_no_syn() {
    let (mut world, host, raw) = World::host_and_raw();
    let buf = || -> &'static mut [u8] { Box::leak(Box::new([0; 1_024])) };
    let mut socket = embassy_net::tcp::TcpSocket::new(host.stack, buf(), buf());
    let accepting = world.spawn(async move { socket.accept(7).await.is_ok() });
    world.run_ms(1);
    let syn = raw.conn(&host, 40_000, 7).segment(SYN, b"").packet();
    let got = everything_after(&mut world, &raw, packet::ethernet(host.mac(), raw.mac, IPV4, &syn));
    assert!(matches!(&got[..], [Packet { body: Body::Tcp(seg), .. }] if seg.has(RST)), "{got:?}");
    assert!(!accepting.is_done());
}

#[test]
fn tcp_to_an_address_that_is_not_ours_draws_nothing() {
    let (mut world, host, raw) = World::host_and_raw();
    let _listener = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
    let conn = raw.conn(&host, 40_000, 7);
    for dst in [NOBODY, Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 255)] {
        for flags in [SYN, ACK, RST] {
            let mut seg = conn.segment(flags, b"");
            seg.dst = dst.into();
            let frame = packet::ethernet(host.mac(), raw.mac, IPV4, &seg.packet());
            assert_eq!(everything_after(&mut world, &raw, frame), [], "to {dst}");
        }
    }
}

#[test]
fn tcp_in_a_group_frame_draws_nothing() {
    let (mut world, host, raw) = World::host_and_raw();
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    for port in [7, 8] {
        let syn = raw.conn(&host, 40_000, port).segment(SYN, b"").packet();
        for to in [BROADCAST, [1, 0, 0x5e, 0, 0, 1]] {
            let frame = packet::ethernet(to, raw.mac, IPV4, &syn);
            assert_eq!(everything_after(&mut world, &raw, frame), []);
        }
    }
    assert_eq!(host.in_use(), (0, 0, 0));
}

#[test]
fn tcp_without_an_address_draws_nothing() {
    let mut world = World::new();
    let raw = world.raw(RAW);
    let port = PortRef::new(Some(crate::hosts::mac_of(HOST)));
    let host = world.host_with(port, embassy_net::Config::default(), Default::default());
    let _listener = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
    let seg = packet::Seg {
        src: RAW.into(),
        dst: HOST.into(),
        sport: 1,
        dport: 7,
        seq: 1,
        ack: 0,
        flags: SYN,
        wnd: 100,
        mss: None,
        text: vec![],
    };
    let frame = packet::ethernet(host.mac(), raw.mac, IPV4, &seg.packet());
    assert_eq!(everything_after(&mut world, &raw, frame), []);
}

/// The same over plain IP, where an empty frame is what embassy-net is shown of our TCP.
#[test]
#[cfg_attr(feature = "slaac", ignore = "embassy-net has no link-local address for such a device, and panics")]
fn plain_ip_device_connects_echoes_and_pings() {
    let mut world = World::new();
    let a = world.host_on(PortRef::new(None), HOST);
    let b = world.host_on(PortRef::new(None), OTHER);
    crate::streams::echo_between(&mut world, &a, &b, 100_000, std::time::Duration::from_secs(60));
    let error = world.block_on(b.tcp.connect((HOST, 99), StreamOptions::default())).unwrap_err();
    assert_eq!(error, tcp_reset_core::Error::Closed(tcp_reset_core::CloseReason::Refused));
    let mark = a.port.mark();
    a.port.deliver(packet::echo_request(OTHER, HOST, b"ping"));
    a.port.deliver(Vec::new());
    world.run_ms(5);
    let got: Vec<_> = a.port.sent_since(mark).iter().map(|bytes| packet::parse_ip(bytes)).collect();
    assert!(matches!(&got[..], [Body::Icmp { kind: 0, .. }]), "{got:?}");
}

#[test]
fn unsupported_medium_says_so() {
    assert_eq!(DeviceError::UnsupportedMedium.to_string(), "the device is neither Ethernet nor plain IP");
}
