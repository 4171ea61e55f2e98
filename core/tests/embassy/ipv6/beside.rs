//! embassy-net beside us does everything else over IPv6 too, and sees no TCP.

use std::net::Ipv6Addr;

use tcp_reset_core::ListenOptions;

use super::frames::{
    DESTINATION, ECHO_REPLY, FRAGMENT, HOP_BY_HOP, behind, echo, echo_request, fragment, group_mac, padding,
    solicitation, solicited_group,
};
use super::{FAR_V6, HOST_V6, OTHER_V6, RAW_V6, fixed_v6, static_v6};
use crate::beside::{everything_after, udp_echo};
use crate::exec::World;
use crate::hosts::{HOST, Host, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{
    self, ACK, ADVERTISEMENT, BROADCAST, Body, ON_LINK_HOPS, Packet, RST, SOLICITED, SYN, Seg, TCP, on_ethernet,
    solicitation_of,
};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// An address of nobody here.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x200);

/// embassy-net's own TCP listens: it would answer everything that reached it.
fn own_tcp_listens(world: &mut World, host: &Host, port: u16) {
    let buf = || -> &'static mut [u8] { Box::leak(Box::new([0; 1_024])) };
    let mut socket = embassy_net::tcp::TcpSocket::new(host.stack, buf(), buf());
    world.spawn(async move {
        socket.accept(port).await.unwrap();
        panic!("embassy-net's own TCP has a connection");
    });
    world.run_ms(1);
}

/// What the host sends after a packet to it, whose sender is known to embassy-net.
fn answers(world: &mut World, host: &Host, raw: &Raw, packet: &[u8]) -> Vec<Packet> {
    everything_after(world, raw, on_ethernet(host.mac(), raw.mac, packet))
}

/// embassy-net asks for the neighbor first, and loses what it wanted to say.
fn make_known(world: &mut World, host: &Host, raw: &Raw) {
    let question = solicitation((raw.mac, RAW_V6), HOST_V6, solicited_group(HOST_V6));
    raw.send_packet(host.mac(), &question);
    world.run_ms(10);
    raw.take();
}

#[test]
fn address_asked_for_is_answered_exactly_once() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let _listener = host.tcp.listen((HOST_V6, 7), ListenOptions::default()).unwrap();
    let group = solicited_group(HOST_V6);
    for (to, dst) in [(group_mac(group), group), (host.mac(), HOST_V6)] {
        let question = solicitation((raw.mac, RAW_V6), HOST_V6, dst);
        let got = everything_after(&mut world, &raw, on_ethernet(to, raw.mac, &question));
        assert_eq!(got.len(), 1, "{got:?}");
        assert_eq!((got[0].to, got[0].from), (raw.mac, host.mac()));
        let Body::Icmpv6 { src, dst, hop_limit, kind, code, rest } = &got[0].body else { panic!("{got:?}") };
        assert_eq!((*src, *dst, *hop_limit), (HOST_V6, RAW_V6, ON_LINK_HOPS));
        assert_eq!((*kind, *code, rest[0] & SOLICITED), (ADVERTISEMENT, 0, SOLICITED));
        assert_eq!(rest[4..20], HOST_V6.octets());
        assert_eq!(rest[20..], [&[2, 1], &host.mac()[..]].concat());
    }
    let question = solicitation((raw.mac, RAW_V6), NOBODY, solicited_group(NOBODY));
    let to = group_mac(solicited_group(NOBODY));
    assert_eq!(everything_after(&mut world, &raw, on_ethernet(to, raw.mac, &question)), []);
}

#[test]
fn echo_request_is_answered_exactly_once() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    make_known(&mut world, &host, &raw);
    let got = answers(&mut world, &host, &raw, &echo_request(RAW_V6, HOST_V6, b"ping"));
    assert_eq!(got.len(), 1, "{got:?}");
    let Body::Icmpv6 { src, dst, kind, rest, .. } = &got[0].body else { panic!("{got:?}") };
    assert_eq!((*src, *dst, *kind, rest), (HOST_V6, RAW_V6, ECHO_REPLY, &echo(b"ping")));
}

/// The sender is asked for by embassy-net itself: its question is heard, the answer reaches it through us.
#[test]
fn echo_request_of_a_stranger_embassy_net_asks_for_it_and_answers_the_next() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    raw.port.set(|port| port.answers_for.clear());
    let request = echo_request(RAW_V6, HOST_V6, b"ping");
    let got = answers(&mut world, &host, &raw, &request);
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(solicitation_of(&got[0].body), Some(((host.mac(), HOST_V6), RAW_V6)));
    raw.send_packet(host.mac(), &packet::advertisement((raw.mac, RAW_V6), HOST_V6, SOLICITED));
    world.run_ms(5);
    let got = answers(&mut world, &host, &raw, &request);
    assert!(matches!(&got[..], [Packet { body: Body::Icmpv6 { kind: ECHO_REPLY, .. }, .. }]), "{got:?}");
    assert_eq!(host.tcp.inspect(|link| link.counters().neighbor_solicitations), 0, "it was not ours to ask");
}

#[test]
fn udp_datagram_is_echoed_exactly_once() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    udp_echo(&mut world, &host);
    make_known(&mut world, &host, &raw);
    let got = answers(&mut world, &host, &raw, &packet::udp((RAW_V6, 5_000), (HOST_V6, 9), b"datagram"));
    assert_eq!(got.len(), 1, "{got:?}");
    let Body::Udp { src, sport, dport, text, .. } = &got[0].body else { panic!("{got:?}") };
    assert_eq!((*src, *sport, *dport, &text[..]), (HOST_V6.into(), 9, 5_000, &b"datagram"[..]));
}

#[test]
fn syn_to_a_closed_port_draws_exactly_one_reset() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    own_tcp_listens(&mut world, &host, 7);
    let conn = raw.conn(&host, 40_000, 7);
    let got = answers(&mut world, &host, &raw, &conn.segment(SYN, b"").packet());
    let [Packet { to, body: Body::Tcp(seg), .. }] = &got[..] else { panic!("{got:?}") };
    assert_eq!(*to, raw.mac);
    assert_eq!((seg.flags, seg.seq, seg.ack, seg.sport), (RST | ACK, 0, conn.seq.wrapping_add(1), 7));
}

/// The address embassy-net would take as its own, and those it would not.
#[test]
fn tcp_to_an_address_that_is_not_ours_draws_nothing() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let _listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    for port in [7, 8] {
        own_tcp_listens(&mut world, &host, port);
    }
    make_known(&mut world, &host, &raw);
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let mapped = HOST.to_ipv6_mapped();
    let strangers = [NOBODY, FAR_V6, OTHER_V6, Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, link_local, mapped];
    for dst in strangers {
        for (port, flags) in [(7, SYN), (8, SYN), (7, ACK), (8, RST)] {
            let mut seg = raw.conn(&host, 40_000, port).segment(flags, b"");
            seg.dst = dst.into();
            assert_eq!(answers(&mut world, &host, &raw, &seg.packet()), [], "to {dst}");
        }
    }
    assert_eq!(host.in_use(), (0, 0, 0));
}

#[test]
fn tcp_to_a_group_draws_nothing() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let _listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    for port in [7, 8] {
        own_tcp_listens(&mut world, &host, port);
    }
    make_known(&mut world, &host, &raw);
    let groups = [ALL_NODES, solicited_group(HOST_V6), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x101)];
    for group in groups {
        for (port, flags) in [(7, SYN), (8, SYN), (8, ACK)] {
            let mut seg = raw.conn(&host, 40_000, port).segment(flags, b"");
            seg.dst = group.into();
            for to in [group_mac(group), host.mac()] {
                let frame = on_ethernet(to, raw.mac, &seg.packet());
                assert_eq!(everything_after(&mut world, &raw, frame), [], "to {group}");
            }
        }
    }
    // To our address, in a frame to many.
    let syn = raw.conn(&host, 40_000, 7).segment(SYN, b"").packet();
    for to in [BROADCAST, group_mac(ALL_NODES)] {
        assert_eq!(everything_after(&mut world, &raw, on_ethernet(to, raw.mac, &syn)), []);
    }
    assert_eq!(host.in_use(), (0, 0, 0));
}

/// A segment cut in two, with and without a header in front, to our address and to another.
#[test]
fn tcp_in_fragments_draws_nothing() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let _listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    own_tcp_listens(&mut world, &host, 7);
    make_known(&mut world, &host, &raw);
    let mut parts = 0;
    for dst in [HOST_V6, NOBODY] {
        let seg = Seg { dst: dst.into(), ..raw.conn(&host, 40_000, 7).segment(SYN, b"early text") };
        let bytes = seg.octets();
        let (first, second) = bytes.split_at(24);
        let plain = [fragment(TCP, 0, true, first), fragment(TCP, 3, false, second)];
        let tiny = fragment(TCP, 0, true, &bytes[..8]);
        let hidden = fragment(DESTINATION, 0, true, &padding(TCP, &bytes[..16]));
        for part in plain.iter().chain([&tiny, &hidden]) {
            assert_eq!(answers(&mut world, &host, &raw, &behind(RAW_V6, dst, FRAGMENT, part)), [], "to {dst}");
        }
        let behind_options = padding(FRAGMENT, &plain[0]);
        let packet = behind(RAW_V6, dst, HOP_BY_HOP, &behind_options);
        assert_eq!(answers(&mut world, &host, &raw, &packet), [], "to {dst}");
        parts += 5;
    }
    assert_eq!(host.in_use(), (0, 0, 0));
    assert_eq!(host.tcp.inspect(|link| link.counters().fragments), parts / 2, "those for us are counted");
}

/// A packet that says it is a fragment and is whole (RFC 6946), and one with options that ask for nothing (RFC 8200 §4.2).
#[test]
fn syn_behind_extension_headers_is_taken() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let _listener = host.tcp.listen((HOST_V6, 7), ListenOptions::default()).unwrap();
    own_tcp_listens(&mut world, &host, 7);
    for (i, next) in [HOP_BY_HOP, DESTINATION, FRAGMENT].into_iter().enumerate() {
        let bytes = raw.conn(&host, 40_000 + i as u16, 7).segment(SYN, b"").octets();
        let payload = match next {
            FRAGMENT => fragment(TCP, 0, false, &bytes),
            _ => padding(TCP, &bytes),
        };
        let got = answers(&mut world, &host, &raw, &behind(RAW_V6, HOST_V6, next, &payload));
        assert!(matches!(&got[..], [Packet { body: Body::Tcp(seg), .. }] if seg.flags == SYN | ACK), "{got:?}");
    }
}

#[test]
fn tcp_without_an_address_draws_nothing() {
    let mut world = World::new();
    let raw = world.raw(RAW_V6);
    let config = embassy_net::Config::ipv6_static(static_v6(HOST_V6, None));
    let host = world.host_with(PortRef::new(Some(mac_of(HOST_V6))), config, Default::default());
    let _listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    own_tcp_listens(&mut world, &host, 7);
    let syn = raw.conn(&host, 40_000, 7).segment(SYN, b"").packet();
    host.stack.set_config_v6(embassy_net::ConfigV6::None);
    host.tcp.follow_address();
    assert_eq!(answers(&mut world, &host, &raw, &syn), []);
    host.stack.set_config_v6(fixed_v6(HOST_V6));
    host.tcp.follow_address();
    assert_eq!(answers(&mut world, &host, &raw, &syn).len(), 1);
}

/// No packet may carry an IPv4 address in IPv6 guise; a project with a router has a way to answer one all the same.
#[test]
fn tcp_from_an_ipv4_address_in_ipv6_guise_draws_nothing() {
    let mut world = World::new();
    let raw = world.raw(RAW_V6);
    let config = embassy_net::Config::ipv6_static(static_v6(HOST_V6, Some(RAW_V6)));
    let host = world.host_with(PortRef::new(Some(mac_of(HOST_V6))), config, Default::default());
    let _listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    for port in [7, 8] {
        own_tcp_listens(&mut world, &host, port);
    }
    make_known(&mut world, &host, &raw);
    for port in [7, 8] {
        let mut seg = raw.conn(&host, 40_000, port).segment(SYN, b"");
        seg.src = crate::hosts::RAW.to_ipv6_mapped().into();
        assert_eq!(answers(&mut world, &host, &raw, &seg.packet()), []);
    }
}
