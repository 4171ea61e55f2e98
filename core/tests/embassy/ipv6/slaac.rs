//! The address that embassy-net makes of a router's prefix (RFC 4862), and the one it has on the link.

use std::net::Ipv6Addr;

use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{ListenOptions, StreamOptions};

use super::FAR_V6;
use super::addresses::LOST;
use super::frames::group_mac;
use crate::exec::World;
use crate::hosts::{HOST, Host, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{self, ON_LINK_HOPS, on_ethernet};

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);
const PEER_ON_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x1d);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ROUTER_ADVERTISEMENT: u8 = 134;

/// What a host with the hardware address of [`HOST`] makes of a prefix (RFC 4291 appendix A).
fn made_of(prefix: [u16; 4]) -> Ipv6Addr {
    let [a, b, c, d] = prefix;
    Ipv6Addr::new(a, b, c, d, 0, 0x00ff, 0xfe00, 0x0001)
}

/// The router tells that it is there, and a prefix that is good for so long. embassy-net does what it was told with the frame that
/// comes next.
fn advertise(world: &mut World, router: &Raw, [a, b, c, d]: [u16; 4], seconds: u32) {
    let mut rest = vec![64, 0];
    rest.extend(1_800_u16.to_be_bytes());
    rest.extend([0; 8]);
    // On the link, and to make addresses of.
    rest.extend([3, 4, 64, 0xc0]);
    rest.extend(seconds.to_be_bytes());
    rest.extend(seconds.to_be_bytes());
    rest.extend([0; 4]);
    rest.extend(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).octets());
    let message = packet::icmpv6_packet(ROUTER, ALL_NODES, ON_LINK_HOPS, [ROUTER_ADVERTISEMENT, 0], &rest);
    for _ in 0..2 {
        router.port.send(on_ethernet(group_mac(ALL_NODES), router.mac, &message));
        world.run_ms(10);
    }
}

fn host_and_router() -> (World, Host, Raw) {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    let host = world.host_with(port, embassy_net::Config::slaac(), Default::default());
    let router = world.raw(ROUTER);
    (world, host, router)
}

/// The router's side is whoever is beyond it.
fn connected_through(world: &mut World, host: &Host, router: &Raw) -> (TcpStream, Ipv6Addr) {
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((FAR_V6, 7), StreamOptions::default()).await });
    let conn = router.answer(world, host);
    let std::net::IpAddr::V6(from) = conn.them.0 else { panic!("{:?}", conn.them) };
    (world.join(&connecting).unwrap(), from)
}

#[test]
fn prefix_advertised_connects_through_the_router_from_the_address_made_of_it() {
    let (mut world, host, router) = host_and_router();
    let tcp = host.tcp;
    let changed = world.spawn(async move { tcp.address_changed().await });
    world.run_ms(10);
    assert!(!changed.is_done());
    let prefix = [0x2001, 0xdb8, 0, 0x5];
    advertise(&mut world, &router, prefix, 86_400);
    assert!(changed.is_done(), "nobody has to call");
    let (_stream, from) = connected_through(&mut world, &host, &router);
    assert_eq!(from, made_of(prefix));
}

#[test]
fn prefix_expired_connections_on_its_address_end() {
    let (mut world, host, router) = host_and_router();
    advertise(&mut world, &router, [0x2001, 0xdb8, 0, 0x5], 7_200);
    let (mut stream, _) = connected_through(&mut world, &host, &router);
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    for is_over in [false, true] {
        world.run_ms(if is_over { 400_000 } else { 7_000_000 });
        // embassy-net has no timer for it: it looks when a frame comes.
        router.port.send(packet::ethernet(host.mac(), router.mac, 0x88b5, &[0; 46]));
        world.run_ms(10);
        assert_eq!(reading.is_done(), is_over);
    }
    assert_eq!(reading.take(), LOST);
}

/// RFC 4862 §5.5.3 (e): who is not authenticated shortens no life to less than two hours.
#[test]
fn prefix_taken_back_by_anybody_keeps_two_hours_of_life() {
    let prefix = [0x2001, 0xdb8, 0, 0x5];
    // Granted first, taken back by telling so much, and how long it lives in fact, in seconds.
    for (granted, told, lives) in [(86_400, 0, 7_200), (86_400, 60, 7_200), (86_400, 8_000, 8_000), (3_600, 0, 3_600)] {
        let (mut world, host, router) = host_and_router();
        advertise(&mut world, &router, prefix, granted);
        let (mut stream, _) = connected_through(&mut world, &host, &router);
        let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
        for _ in 0..20 {
            advertise(&mut world, &router, prefix, told);
        }
        assert!(!reading.is_done(), "{told} of {granted}");
        for (ms, is_over) in [((lives - 10) * 1_000, false), (20_000, true)] {
            world.run_ms(ms);
            // embassy-net has no timer for it: it looks when a frame comes.
            router.port.send(packet::ethernet(host.mac(), router.mac, 0x88b5, &[0; 46]));
            world.run_ms(10);
            assert_eq!(reading.is_done(), is_over, "{told} of {granted}");
        }
        assert_eq!(reading.take(), LOST);
    }
}

/// A router goes on to advertise a short life, and it goes on.
#[test]
fn short_life_that_is_renewed_goes_on() {
    let (mut world, host, router) = host_and_router();
    let prefix = [0x2001, 0xdb8, 0, 0x5];
    advertise(&mut world, &router, prefix, 1_800);
    let (mut stream, _) = connected_through(&mut world, &host, &router);
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    for _ in 0..10 {
        world.run_ms(600_000);
        advertise(&mut world, &router, prefix, 1_800);
    }
    assert!(!reading.is_done());
}

/// Before any router is heard, and without one.
#[test]
fn link_local_address_is_ours_from_the_start() {
    let (mut world, host, _router) = host_and_router();
    let raw = world.raw(PEER_ON_LINK);
    let ours = made_of([0xfe80, 0, 0, 0]);
    let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    raw.conn_to((ours, 7).into(), host.mac(), 40_000).open(&mut world);
    let stream = world.block_on(listener.accept()).unwrap();
    assert_eq!(stream.local_endpoint().map(|local| local.ip()), Some(ours.into()));
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((PEER_ON_LINK, 8), StreamOptions::default()).await });
    let conn = raw.answer(&mut world, &host);
    assert_eq!(conn.them.0, ours);
    assert!(world.join(&connecting).is_ok());
}
