//! Frames of any shape: nothing panics, and nothing that is not a segment to us from one host is answered.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use tcp_reset_core::link::{Medium, Received};
use tcp_reset_core::{Rule, State};

use crate::headers::{PAD, PAD1S, Yields, chain, destination, fragment, hop_by_hop, routing, upper, walk};
use crate::packet::segment::offered_len;
use crate::packet::{
    self, ACK, ARP, BROADCAST, ETHERNET_HEADER, FIN, ICMPV6, IPV4, IPV6, IPV6_HEADER, Mac, Outgoing, PSH, RST, SYN,
    Seg, TCP,
};
use crate::random::runner;
use crate::scene::{
    self, ALL_NODES, ETHERNET, FAR, MS, OPEN, OURS, OURS_LINK, OURS_MAC, OURS_V4, PEER, PEER_ISN, PEER_LINK, PEER_MAC,
    PEER_V4, SECOND, SHUT, Scene, Store, WINDOW, ip, syn,
};

fn mapped(last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0200 | u16::from(last))
}

/// Addresses that no segment comes from.
fn bad_sources() -> Vec<Ipv6Addr> {
    let text = ["ff02::1", "ff0e::1", "ff05::2:3", "ff00::", "::", "::1"];
    let mut sources: Vec<Ipv6Addr> = text.iter().map(|text| text.parse().unwrap()).collect();
    sources.extend([OURS, OURS_LINK, packet::solicited_node(OURS), mapped(1), mapped(2), mapped(255)]);
    sources
}

/// Segments that would be answered from anybody else.
fn stimuli(sport: u16) -> Vec<Seg> {
    let mut segments = Vec::new();
    for dport in [OPEN, SHUT] {
        for flags in [SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, FIN, RST, RST | ACK, 0] {
            segments.push(Seg { flags, ack: 77, text: vec![1; 3], options: Vec::new(), ..syn(sport, dport) });
        }
    }
    segments
}

/// Neither answered nor remembered, now or later.
fn expect_silence(scene: &mut Scene<'_>, name: &str, frame: &[u8]) -> Received {
    let before = scene.link.tcp_ref().in_use();
    let received = scene.handle(frame);
    assert_eq!(scene.pump(), [], "{name}: {received:?}");
    assert_eq!(scene.link.tcp_ref().in_use(), before, "{name}");
    received
}

#[test]
fn segments_from_what_is_no_other_host_are_never_answered() {
    for medium in [ETHERNET, Medium::Ip] {
        for src in bad_sources() {
            for dst in [OURS, OURS_LINK] {
                let mut store = Store::new();
                let mut scene = Scene::new(&mut store, medium);
                for sport in [OPEN, SHUT, 5_000] {
                    for seg in stimuli(sport) {
                        let frame = scene.frame(&ip(src.into(), dst.into(), &seg));
                        let received = expect_silence(&mut scene, &format!("from {src}"), &frame);
                        let is_told = matches!(received, Received::Taken(v) if v.rule == Rule::NotAnswerable);
                        assert!(is_told || src.to_ipv4_mapped().is_some(), "from {src}: {received:?}");
                    }
                }
                assert_eq!(scene.run(60 * SECOND), [], "from {src}");
            }
        }
    }
}

/// "TCP for us: judged, nobody else may see it", or another TCP beside this one resets a host that never spoke.
#[test]
fn segments_from_mapped_sources_are_not_left_to_another_tcp() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    for src in [mapped(2), mapped(255)] {
        for seg in stimuli(5_000) {
            let received = scene.deliver(&ip(src.into(), OURS.into(), &seg));
            assert_ne!(received, Received::NotMine, "from {src}");
        }
    }
}

#[test]
fn segments_to_what_is_not_ours_are_never_answered() {
    for medium in [ETHERNET, Medium::Ip] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, medium);
        let mut destinations = bad_sources();
        destinations.retain(|dst| !matches!(*dst, OURS | OURS_LINK));
        // Our IPv4 address in IPv6 guise, and what only begins like ours.
        destinations.extend([OURS_V4.to_ipv6_mapped(), OURS_V4.to_ipv6_compatible(), PEER, FAR]);
        destinations.push(Ipv6Addr::from_bits(OURS.to_bits() ^ 1));
        destinations.push(Ipv6Addr::from_bits(OURS.to_bits() ^ (1 << 127)));
        for dst in destinations {
            for src in [PEER, PEER_LINK, FAR, OURS, dst] {
                for seg in stimuli(5_000) {
                    let frame = scene.frame(&ip(src.into(), dst.into(), &seg));
                    let _ = expect_silence(&mut scene, &format!("{src} to {dst}"), &frame);
                }
            }
        }
    }
}

/// An answer goes to the frame's source, and no station has such an address.
#[test]
fn segments_in_frames_from_groups_are_never_answered() {
    for from in [BROADCAST, [0x33, 0x33, 0, 0, 0, 1], [1, 0, 0x5e, 0, 0, 1], [3, 0, 0, 0, 0, 1], [0; 6]] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        for seg in stimuli(5_000) {
            let packet = ip(PEER.into(), OURS.into(), &seg);
            let frame = packet::ethernet(OURS_MAC, from, IPV6, &packet);
            let _ = scene.handle(&frame);
            let sent = scene.run(4 * SECOND);
            assert!(!sent.iter().any(|sent| matches!(sent, Outgoing::Segment(s) if s.to == Some(from))), "{sent:?}");
        }
    }
}

#[test]
fn segments_in_frames_to_groups_are_never_answered() {
    for to in
        [BROADCAST, [0x33, 0x33, 0, 0, 0, 1], packet::group_mac(packet::solicited_node(OURS)), [1, 0, 0x5e, 0, 0, 1]]
    {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        for seg in stimuli(5_000) {
            let frame = packet::ethernet(to, PEER_MAC, IPV6, &ip(PEER.into(), OURS.into(), &seg));
            let received = expect_silence(&mut scene, "to a group", &frame);
            assert!(matches!(received, Received::Taken(v) if v.rule == Rule::NotAnswerable), "{received:?}");
        }
    }
}

/// The two families never meet: the peer of an IPv4 connection in IPv6 guise is somebody else, who is not believed either.
#[test]
fn mapped_addresses_do_not_reach_connections_over_ipv4() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let conn = scene.established(PEER_V4.into(), 5_000);
    for (src, dst) in [
        (PEER_V4.to_ipv6_mapped(), OURS_V4.to_ipv6_mapped()),
        (PEER_V4.to_ipv6_mapped(), OURS),
        (PEER_V4.to_ipv6_compatible(), OURS_V4.to_ipv6_compatible()),
        (PEER, OURS_V4.to_ipv6_mapped()),
    ] {
        for flags in [RST, RST | ACK, SYN, ACK, FIN | ACK, PSH | ACK] {
            let frame = scene.frame(&ip(src.into(), dst.into(), &conn.segment(flags, b"")));
            let _ = expect_silence(&mut scene, "mapped", &frame);
        }
    }
    assert_eq!(scene.status(&conn).state, State::Established);
}

/// Ethernet's type and the packet's version must agree.
#[test]
fn version_and_ethernet_type_that_differ_are_never_answered() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let v6 = ip(PEER.into(), OURS.into(), &syn(5_000, SHUT));
    let v4 = ip(PEER_V4.into(), OURS_V4.into(), &syn(5_000, SHUT));
    for (ethertype, packet) in [(IPV4, &v6), (ARP, &v6), (0x86de, &v6), (0, &v6), (IPV6, &v4), (ARP, &v4)] {
        let frame = packet::ethernet(OURS_MAC, PEER_MAC, ethertype, packet);
        let received = expect_silence(&mut scene, "type", &frame);
        assert!(matches!(received, Received::NotMine | Received::Observed), "{ethertype:04x}: {received:?}");
    }
    for version in (0..16).filter(|&version| version != 6) {
        let mut packet = v6.clone();
        packet[0] = version << 4;
        let frame = packet::ethernet(OURS_MAC, PEER_MAC, IPV6, &packet);
        let received = expect_silence(&mut scene, "version", &frame);
        assert_eq!(received, Received::NotMine, "version {version}");
    }
}

#[test]
fn frames_cut_anywhere_are_never_answered() {
    for medium in [ETHERNET, Medium::Ip] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, medium);
        let segment = upper("", TCP, &syn(5_000, SHUT).octets(PEER, OURS));
        for headers in
            [vec![], vec![hop_by_hop("", &PAD1S), routing("", 4, 0, 2), fragment("", 0, false), destination("", &PAD)]]
        {
            let (next, bytes) = chain(&[headers, vec![segment.clone()]].concat());
            let frame = scene.frame(&packet::ipv6(PEER, OURS, next, &bytes));
            for len in 0..frame.len() {
                let _ = expect_silence(&mut scene, &format!("{len} bytes"), &frame[..len]);
            }
            let _ = scene.handle(&frame);
            assert_eq!(scene.pump().len(), 1, "the whole frame is answered");
        }
    }
}

/// Everything that goes out in a row of exchanges, written over buffers full of `dirt`.
fn wire_of(medium: Medium, dirt: u8) -> Vec<Vec<u8>> {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, medium);
    scene.dirt = dirt;
    let exchange = |scene: &mut Scene<'_>, peer: IpAddr, ours: IpAddr, seg: Seg| {
        let _ = scene.deliver(&ip(peer, ours, &seg));
        let _ = scene.pump();
    };
    for (peer, ours) in [(IpAddr::from(PEER), IpAddr::from(OURS)), (PEER_V4.into(), OURS_V4.into())] {
        // RST,ACK and RST.
        exchange(&mut scene, peer, ours, syn(1, SHUT));
        exchange(&mut scene, peer, ours, Seg { flags: ACK, ack: 5, options: Vec::new(), ..syn(2, SHUT) });
        exchange(&mut scene, peer, ours, Seg { flags: ACK, ack: 5, options: Vec::new(), ..syn(2, OPEN) });
        // SYN,ACK, ACK, challenge ACK, text, FIN.
        let conn = scene.established(peer, 3);
        exchange(&mut scene, peer, ours, conn.segment(ACK | PSH, b"odd"));
        let _ = scene.run(SECOND);
        exchange(&mut scene, peer, ours, Seg { seq: conn.seq.wrapping_add(9), ..conn.segment(RST, b"") });
        let now = scene.at();
        scene.link.tcp().send(now, conn.handle, b"an odd number").unwrap();
        let _ = scene.run(5 * SECOND);
        scene.link.tcp().shutdown(now, conn.handle).unwrap();
        let _ = scene.run(5 * SECOND);
        let _ = scene.link.tcp().abort(now, conn.handle);
        let _ = scene.pump();
        let remote = SocketAddr::new(peer, 7);
        scene.connect(remote);
        let _ = scene.run(2 * SECOND);
    }
    scene.wire
}

#[test]
fn every_byte_that_goes_out_is_written() {
    for medium in [ETHERNET, Medium::Ip] {
        let clean = wire_of(medium, 0);
        for dirt in [0xff, 0xa5] {
            assert_eq!(wire_of(medium, dirt), clean);
        }
        let link = if medium == Medium::Ip { 0 } else { ETHERNET_HEADER };
        let over_v6: Vec<_> = clean.iter().filter(|frame| frame[link] >> 4 == 6 && frame[link + 6] == TCP).collect();
        let has = |flags: u8, len: usize| {
            over_v6
                .iter()
                .any(|frame| frame[link + IPV6_HEADER + 13] == flags && frame.len() == link + IPV6_HEADER + len)
        };
        for (flags, len) in [(RST | ACK, 20), (RST, 20), (SYN | ACK, 24), (ACK, 20), (SYN, 24 + offered_len())] {
            assert!(has(flags, len) || medium != Medium::Ip && flags == SYN, "flags {flags:02x}: {over_v6:?}");
        }
    }
}

/// Returns whether a frame is to us and carries a segment with nothing wrong about it, by the book.
fn is_good_segment(frame: &[u8]) -> bool {
    let Some(packet) = frame.get(ETHERNET_HEADER..) else { return false };
    if frame[..6] != OURS_MAC || frame[12..14] != [0x86, 0xdd] || packet.len() < IPV6_HEADER || packet[0] >> 4 != 6 {
        return false;
    }
    let addr = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let (src, dst) = (addr(8), addr(24));
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let Some(payload) = packet.get(IPV6_HEADER..IPV6_HEADER + len) else { return false };
    let Yields::Segment(at) = walk(packet[6], payload) else { return false };
    let segment = &payload[at..];
    let pseudo = packet::pseudo_header(src.into(), dst.into(), TCP, segment.len());
    let offset = segment.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    let is_host = !src.is_multicast() && !src.is_unspecified() && !src.is_loopback() && src.to_ipv4_mapped().is_none();
    let is_whole = (20..=segment.len()).contains(&offset) && packet::checksum(&[&pseudo, segment]) == 0;
    let has_ports = || segment[..2] != [0, 0] && segment[2..4] != [0, 0];
    is_host && !matches!(src, OURS | OURS_LINK) && matches!(dst, OURS | OURS_LINK) && is_whole && has_ports()
}

/// Good frames of every kind, to be spoiled.
fn good_frames() -> Vec<Vec<u8>> {
    let segment = upper("", TCP, &syn(5_001, OPEN).octets(PEER, OURS));
    let reset = upper("", TCP, &Seg { flags: ACK, ack: 9, ..syn(5_001, SHUT) }.octets(PEER_LINK, OURS_LINK));
    let (next, behind) = chain(&[hop_by_hop("", &PAD), fragment("", 0, false), destination("", &PAD), segment.clone()]);
    let echo = packet::icmpv6(PEER, OURS, packet::ECHO_REQUEST, 0, &[0; 12]);
    let body = packet::discovery_body(0x60, PEER, &packet::link_option(packet::TARGET_LINK, PEER_MAC));
    let advert = packet::icmpv6(PEER, OURS, packet::ADVERTISEMENT, 0, &body);
    let quote = ip(OURS.into(), PEER.into(), &syn(OPEN, 5_000));
    let error = packet::icmpv6(FAR, OURS, packet::TOO_BIG, 0, &[&[0, 0, 5, 0][..], &quote].concat());
    let packets = [
        packet::ipv6(PEER, OURS, TCP, &segment.bytes),
        packet::ipv6(PEER_LINK, OURS_LINK, TCP, &reset.bytes),
        packet::ipv6(PEER, OURS, next, &behind),
        packet::ipv6(PEER, OURS, ICMPV6, &echo),
        packet::ipv6_limited(PEER, OURS, ICMPV6, 255, &advert),
        packet::ipv6(FAR, OURS, ICMPV6, &error),
        packet::ipv6(PEER, ALL_NODES, TCP, &segment.bytes),
    ];
    packets.iter().map(|packet| scene::wrap(OURS_MAC, PEER_MAC, packet)).collect()
}

/// Bytes changed in good frames, checksums left alone: only what is still good is answered.
#[test]
fn spoiled_frames_are_answered_only_if_they_are_still_good() {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 0..6);
    let len = prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    let answered = std::cell::Cell::new([0u32; 2]);
    runner(20_000)
        .run(&(prop::sample::select(good_frames()), changes, len), |(mut frame, changes, len)| {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            for (at, byte) in changes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            if let Some(len) = len {
                frame.truncate(len.index(frame.len() + 1));
            }
            let _ = scene.handle(&frame);
            let is_answered = !scene.pump().is_empty();
            let mut counts = answered.get();
            counts[usize::from(is_answered)] += 1;
            answered.set(counts);
            prop_assert!(!is_answered || is_good_segment(&frame), "answered: {frame:02x?}");
            prop_assert!(is_answered || scene.run(3 * SECOND).is_empty(), "answered late");
            Ok(())
        })
        .unwrap();
    assert!(answered.get().iter().all(|&count| count > 500), "{answered:?}");
}

fn an_ethertype() -> impl Strategy<Value = u16> {
    prop_oneof![6 => Just(IPV6), 2 => Just(IPV4), 2 => Just(ARP), 1 => any::<u16>()]
}

/// Where frames go: mostly to us.
fn a_destination() -> impl Strategy<Value = Mac> {
    prop_oneof![6 => Just(OURS_MAC), 1 => Just(BROADCAST), 1 => Just([0x33, 0x33, 0, 0, 0, 1]), 1 => any::<Mac>()]
}

/// Bytes at random, now and then with a beginning that leads somewhere.
fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let begin = prop::sample::select(good_frames()).prop_map(|frame| frame[ETHERNET_HEADER..][..IPV6_HEADER].to_vec());
    let begin = prop_oneof![Just(vec![]), begin];
    (begin, prop::collection::vec(any::<u8>(), 0..120)).prop_map(|(begin, bytes)| [begin, bytes].concat())
}

/// Series of random frames between the steps of connections of both families: nothing panics, and the connections live.
#[test]
fn random_frames_panic_nowhere() {
    let frame = (a_destination(), an_ethertype(), some_bytes());
    let frames = prop::collection::vec((frame, 0u64..50), 1..40);
    runner(2_000)
        .run(&(prop::bool::ANY, frames), |(is_ethernet, frames)| {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, if is_ethernet { ETHERNET } else { Medium::Ip });
            let conns = [scene.established(PEER.into(), 5_000), scene.established(PEER_V4.into(), 5_000)];
            let now = scene.at();
            let _ = scene.link.connect(now, 0, SocketAddr::new(FAR.into(), 7), Default::default());
            for ((to, ethertype, bytes), ms) in frames {
                let frame = if is_ethernet { packet::ethernet(to, PEER_MAC, ethertype, &bytes) } else { bytes };
                let _ = scene.handle(&frame);
                let _ = scene.run(ms * MS);
            }
            for conn in &conns {
                prop_assert_eq!(scene.status(conn).state, State::Established);
                let _ = scene.deliver(&conn.packet(&conn.segment(ACK | PSH, b"still there")));
                let mut buf = [0; 32];
                let now = scene.at();
                prop_assert_eq!(scene.link.tcp().recv(now, conn.handle, &mut buf), Ok(11));
            }
            Ok(())
        })
        .unwrap();
}

/// LAND (CVE-1999-0016), against a connection to ourselves that cannot be: no record, no answer, and the listener goes on.
#[test]
fn land_leaves_the_listener_as_it_was() {
    for medium in [ETHERNET, Medium::Ip] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, medium);
        for _ in 0..1_000 {
            for (src, dst) in [(OURS, OURS), (OURS_LINK, OURS), (OURS, OURS_LINK)] {
                let frame = scene.frame(&ip(src.into(), dst.into(), &syn(OPEN, OPEN)));
                let _ = expect_silence(&mut scene, "LAND", &frame);
            }
        }
        let conn = scene.established(PEER.into(), 5_000);
        assert_eq!(scene.status(&conn).rcv_nxt.0, PEER_ISN + 1);
        assert_eq!(scene.status(&conn).snd_wnd, u32::from(WINDOW));
    }
}
