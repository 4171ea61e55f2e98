//! Active opens over IPv6: who is asked for, how often, whose answer is believed, and where the SYN goes.

use std::net::Ipv6Addr;

use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{Error, StreamOptions};

use super::frames::{TARGET_LINK_ADDRESS, group_mac, solicited_group, spoiled};
use super::{FAR_V6, HOST_V6, RAW_V6, static_v6};
use crate::exec::{Handle, World};
use crate::hosts::{HOST, Host, RAW, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{
    self, ADVERTISEMENT, BROADCAST, Body, Mac, ON_LINK_HOPS, OVERRIDE, Packet, SOLICITED, SYN, discovery_body,
    icmpv6_packet, link_option, solicitation_of,
};

const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
/// A link address that is not the one the answer's frame comes from.
const ELSEWHERE: Mac = [2, 0, 0, 0, 0, 0x55];

fn connect(world: &mut World, host: &Host, remote: Ipv6Addr, port: u16) -> Handle<Result<TcpStream, Error>> {
    let tcp = host.tcp;
    world.spawn(async move { tcp.connect((remote, port), StreamOptions::default()).await })
}

/// A host of both families, and a peer that sees what it is asked and answers nothing by itself.
fn host_and_silent_raw() -> (World, Host, Raw) {
    let (world, host, raw) = World::dual_host_and_raw();
    raw.port.set(|port| port.answers_for.clear());
    (world, host, raw)
}

/// The SYNs the host has sent since the mark, and to which link address.
fn syns_since(host: &Host, mark: usize) -> Vec<(Mac, packet::Seg)> {
    let packets = host.port.sent_since(mark).into_iter().map(|frame| packet::parse(&frame));
    packets
        .filter_map(|Packet { to, body, .. }| if let Body::Tcp(seg) = body { Some((to, seg)) } else { None })
        .collect()
}

fn solicitations(host: &Host) -> u32 {
    host.tcp.inspect(|link| link.counters().neighbor_solicitations)
}

#[test]
fn connecting_neighbor_is_solicited_and_the_syn_goes_where_it_says() {
    let (mut world, host, raw) = host_and_silent_raw();
    let mark = host.port.mark();
    let _connecting = connect(&mut world, &host, RAW_V6, 7);
    world.run_ms(5);
    let got = raw.take();
    assert_eq!(got.len(), 1, "one question, and no SYN before its answer: {got:?}");
    let group = solicited_group(RAW_V6);
    assert_eq!((got[0].to, got[0].from), (group_mac(group), host.mac()));
    assert_eq!(solicitation_of(&got[0].body), Some(((host.mac(), HOST_V6), RAW_V6)));
    assert!(matches!(got[0].body, Body::Icmpv6 { dst, .. } if dst == group), "{got:?}");

    let rest = discovery_body(SOLICITED | OVERRIDE, RAW_V6, &link_option(TARGET_LINK_ADDRESS, ELSEWHERE));
    let answer = icmpv6_packet(RAW_V6, HOST_V6, ON_LINK_HOPS, [ADVERTISEMENT, 0], &rest);
    raw.send_packet(host.mac(), &answer);
    world.run_ms(5);
    let syns = syns_since(&host, mark);
    let [(to, syn)] = &syns[..] else { panic!("one SYN, not {syns:?}") };
    assert_eq!((*to, syn.flags), (ELSEWHERE, SYN));
    assert_eq!((syn.src, syn.dst, syn.dport), (HOST_V6.into(), RAW_V6.into(), 7));
}

#[test]
fn connecting_answered_is_established() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let connecting = connect(&mut world, &host, RAW_V6, 7);
    let _conn = raw.answer(&mut world, &host);
    let stream = world.join(&connecting).unwrap();
    assert_eq!(stream.remote_endpoint(), Some((RAW_V6, 7).into()));
    assert_eq!(solicitations(&host), 1);
}

/// RFC 4861 §7.1.2: what is not from this link, not whole, or not well formed teaches nothing; nor does what is about somebody else.
#[test]
fn connecting_answer_that_must_not_be_believed_changes_nothing() {
    let (mut world, host, raw) = host_and_silent_raw();
    let mark = host.port.mark();
    let connecting = connect(&mut world, &host, RAW_V6, 7);
    world.run_ms(5);
    let rest = |target, link| discovery_body(SOLICITED | OVERRIDE, target, &link_option(TARGET_LINK_ADDRESS, link));
    let good = rest(RAW_V6, raw.mac);
    let message = |hop_limit, code, rest: &[u8]| icmpv6_packet(RAW_V6, HOST_V6, hop_limit, [ADVERTISEMENT, code], rest);
    let mut option_of_no_length = good.clone();
    option_of_no_length[21] = 0;
    let to_all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let wrong = [
        message(254, 0, &good),
        message(ON_LINK_HOPS, 1, &good),
        spoiled(message(ON_LINK_HOPS, 0, &good)),
        message(ON_LINK_HOPS, 0, &good[..20]),
        message(ON_LINK_HOPS, 0, &good[..12]),
        message(ON_LINK_HOPS, 0, &option_of_no_length),
        message(ON_LINK_HOPS, 0, &rest(to_all, raw.mac)),
        message(ON_LINK_HOPS, 0, &rest(FAR_V6, raw.mac)),
        message(ON_LINK_HOPS, 0, &rest(RAW_V6, BROADCAST)),
        icmpv6_packet(RAW_V6, to_all, ON_LINK_HOPS, [ADVERTISEMENT, 0], &good),
    ];
    for (i, packet) in wrong.iter().enumerate() {
        raw.send_packet(host.mac(), packet);
        world.run_ms(5);
        assert_eq!(syns_since(&host, mark), [], "the wrong answer number {i}");
    }
    raw.send_packet(host.mac(), &message(ON_LINK_HOPS, 0, &good));
    let _conn = raw.answer(&mut world, &host);
    assert!(world.join(&connecting).is_ok());
}

/// RFC 4861 §10: RETRANS_TIMER is a second.
#[test]
fn connecting_nobody_answers_the_question_is_put_again_each_second() {
    let (mut world, host, raw) = host_and_silent_raw();
    let connecting = connect(&mut world, &host, RAW_V6, 7);
    world.run_ms(10_500);
    let is_question = |frame: &[u8]| solicitation_of(&packet::parse(frame).body).is_some();
    let sent = host.port.0.borrow().sent.clone();
    let asked: Vec<_> = sent.iter().filter(|(_, frame)| is_question(frame)).map(|(at, _)| *at).collect();
    assert!((8..=11).contains(&asked.len()), "{asked:?} us");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= 1_000_000), "{asked:?} us");
    assert!(sent.iter().all(|(_, frame)| solicitation_of(&packet::parse(frame).body).is_none_or(|q| q.1 == RAW_V6)));
    raw.take();
    raw.port.set(|port| port.answers_for.push(RAW_V6.into()));
    world.run_ms(600);
    let _conn = raw.answer(&mut world, &host);
    assert!(world.join(&connecting).is_ok());
}

/// Its address may be of the network or of the link, as routers announce it.
#[test]
fn connecting_beyond_the_network_goes_through_the_router() {
    for router in [ROUTER, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe)] {
        let mut world = World::new();
        let mut config = embassy_net::Config::ipv4_static(crate::hosts::static_config(HOST, None));
        config.ipv6 = embassy_net::ConfigV6::Static(static_v6(HOST_V6, Some(router)));
        let host = world.host_with(PortRef::new(Some(mac_of(HOST))), config, Default::default());
        let (raw, neighbor) = (world.raw(router), world.raw(RAW_V6));
        let mark = host.port.mark();
        let connecting = connect(&mut world, &host, FAR_V6, 7);
        let conn = raw.answer(&mut world, &host);
        assert_eq!((conn.me, conn.them.0), ((FAR_V6.into(), 7), HOST_V6.into()));
        assert_eq!(world.join(&connecting).unwrap().remote_endpoint(), Some((FAR_V6, 7).into()));
        let (to, _) = &syns_since(&host, mark)[0];
        assert_eq!(*to, mac_of(router));

        let near = connect(&mut world, &host, RAW_V6, 7);
        let _conn = neighbor.answer(&mut world, &host);
        assert!(world.join(&near).is_ok(), "a neighbor is spoken to without it");
    }
}

/// RFC 4861 §5.2 as RFC 5942 has it: what no prefix covers is not taken to be on the link.
#[test]
fn connecting_beyond_the_network_without_a_router_has_no_route() {
    let (mut world, host, _raw) = World::dual_host_and_raw();
    let mark = host.port.mark();
    let connecting = connect(&mut world, &host, FAR_V6, 7);
    assert_eq!(world.join(&connecting).err(), Some(Error::NoRoute));
    assert_eq!(host.port.mark(), mark);
}

#[test]
fn connecting_to_an_address_of_nobody_is_an_error() {
    let mut world = World::new();
    let config = embassy_net::Config::ipv6_static(static_v6(HOST_V6, Some(ROUTER)));
    let host = world.host_with(PortRef::new(Some(mac_of(HOST))), config, Default::default());
    let groups = [Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), solicited_group(RAW_V6)];
    for addr in [HOST_V6, Ipv6Addr::UNSPECIFIED, RAW.to_ipv6_mapped()].into_iter().chain(groups) {
        let connecting = connect(&mut world, &host, addr, 7);
        assert_eq!(world.join(&connecting).err(), Some(Error::InvalidAddress), "{addr}");
    }
}

#[test]
fn cable_in_again_neighbors_are_asked_for_anew() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let open = |world: &mut World, port| {
        let connecting = connect(world, &host, RAW_V6, port);
        raw.answer(world, &host);
        world.join(&connecting).unwrap()
    };
    let _one = open(&mut world, 7);
    let _two = open(&mut world, 8);
    assert_eq!(solicitations(&host), 1);
    host.port.set_link(false);
    world.run_ms(10);
    host.port.set_link(true);
    world.run_ms(10);
    let _three = open(&mut world, 9);
    assert_eq!(solicitations(&host), 2);
}
