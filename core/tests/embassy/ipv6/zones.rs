//! Addresses that are good on one link only, and the zone that tells which (RFC 4007).

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use tcp_reset_core::{Config, Error, ListenOptions, StreamOptions};

use super::{HOST_V6, OTHER_V6, of_both};
use crate::exec::World;
use crate::hosts::{HOST, Host, OTHER, Raw, mac_of};
use crate::net::PortRef;
use crate::streams::echo_through;

const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x01);
const THEIRS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x1d);
const ZONE: u32 = 3;

fn at(addr: Ipv6Addr, port: u16, zone: u32) -> SocketAddr {
    SocketAddrV6::new(addr, port, 0, zone).into()
}

/// A host whose IPv6 address is link-local, in a zone.
fn on_a_link() -> (World, Host, Raw) {
    let mut world = World::new();
    let config = Config { zone: ZONE, ..Config::default() };
    let host = world.host_with(PortRef::new(Some(mac_of(HOST))), of_both(HOST, OURS), config);
    let raw = world.raw(THEIRS);
    (world, host, raw)
}

#[test]
fn link_local_peer_is_named_with_our_zone_or_without_one() {
    let (mut world, host, raw) = on_a_link();
    for (port, zone) in [(7, 0), (8, ZONE)] {
        let tcp = host.tcp;
        let connecting =
            world.spawn(async move { tcp.connect(at(THEIRS, port, zone), StreamOptions::default()).await });
        let _conn = raw.answer(&mut world, &host);
        let stream = world.join(&connecting).unwrap();
        assert_eq!(stream.remote_endpoint(), Some(at(THEIRS, port, ZONE)));
        let local_port = stream.local_endpoint().unwrap().port();
        assert_eq!(stream.local_endpoint(), Some(at(OURS, local_port, ZONE)));
    }
    let elsewhere = world.block_on(host.tcp.connect(at(THEIRS, 9, ZONE + 1), StreamOptions::default()));
    assert_eq!(elsewhere.err(), Some(Error::InvalidAddress));
}

#[test]
fn link_local_client_accepted_endpoints_have_our_zone() {
    let (mut world, host, raw) = on_a_link();
    let (stream, _conn) = world.accepted(&host, &raw, 7);
    assert_eq!(stream.local_endpoint(), Some(at(OURS, 7, ZONE)));
    assert_eq!(stream.remote_endpoint(), Some(at(THEIRS, 40_000, ZONE)));
}

#[test]
fn link_local_listener_is_named_with_our_zone_or_without_one() {
    let (mut world, host, raw) = on_a_link();
    let elsewhere = host.tcp.listen(at(OURS, 7, ZONE + 1), ListenOptions::default());
    assert_eq!(elsewhere.err(), Some(Error::InvalidAddress));
    for (port, zone) in [(7, 0), (8, ZONE)] {
        let listener = host.tcp.listen(at(OURS, port, zone), ListenOptions::default()).unwrap();
        let _conn = raw.open(&mut world, &host, 40_000, port);
        assert!(world.block_on(listener.accept()).is_ok());
    }
}

/// A zone is for what is good on one link only.
#[test]
fn global_addresses_have_no_zone() {
    let mut world = World::new();
    let config = Config { zone: ZONE, ..Config::default() };
    let mut host = |v4, v6| world.host_with(PortRef::new(Some(mac_of(v4))), of_both(v4, v6), config);
    let (a, b) = (host(HOST, HOST_V6), host(OTHER, OTHER_V6));
    let (accepted, connected) = world.pair_v6(&a, &b, 7);
    assert_eq!(connected.remote_endpoint(), Some(at(HOST_V6, 7, 0)));
    assert_eq!(accepted.local_endpoint(), Some(at(HOST_V6, 7, 0)));
    echo_through(&mut world, (accepted, connected), 1_000, std::time::Duration::from_secs(10));
}
