//! The zone of link-local addresses (RFC 4007): what may be named, and what is told.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use tcp_reset_core::link::Medium;
use tcp_reset_core::{Config, Error, Event, LinkAddr, State};

use crate::links::with_link;
use crate::support::rig::{Engine, Raw, START, Store, quick_config, small_listener, small_stream};
use crate::support::table::{ACK, RST, SYN};

const ZONE: u32 = 7;

fn at(text: &str, port: u16, zone: u32) -> SocketAddr {
    SocketAddrV6::new(text.parse::<Ipv6Addr>().unwrap(), port, 0, zone).into()
}

fn with_world(zone: u32, test: impl FnOnce(&mut Engine<'_>)) {
    let mut store = Box::new(Store::new());
    test(&mut Engine::new(&mut *store, Config { zone, ..quick_config() }));
}

/// §6: zone 0 leaves it open, ours is right, and there is no other.
#[test]
fn zone_may_be_ours_or_left_open() {
    for zone in [0, 1, ZONE, u32::MAX] {
        for named in [0, 1, ZONE, 8, u32::MAX] {
            let is_right = named == 0 || named == zone;
            let expected = if is_right { None } else { Some(Error::InvalidAddress) };
            with_world(zone, |engine| {
                let (us, peer) = (at("fe80::1", 5_000, named), at("fe80::2", 80, 0));
                let result = engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream());
                assert_eq!(result.err(), expected, "{named} for {zone}");
            });
            with_world(zone, |engine| {
                let (us, peer) = (at("fe80::1", 5_000, 0), at("fe80::2", 80, named));
                let result = engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream());
                assert_eq!(result.err(), expected, "{named} for {zone}");
            });
            with_world(zone, |engine| {
                let result = engine.tcp.listen(at("fe80::1", 80, named), small_listener());
                assert_eq!(result.err(), expected, "{named} for {zone}");
            });
            let config = Config { zone, ..Config::default() };
            with_link(Medium::Ip, config, &["fe80::1/64"], &[], |link| {
                let result = link.connect(START, 5_000, at("fe80::2", 80, named), small_stream());
                assert_eq!(result.err(), expected, "{named} for {zone}");
            });
        }
    }
}

/// Named or left open, it is one endpoint.
#[test]
fn zone_makes_no_second_endpoint() {
    with_world(ZONE, |engine| {
        engine.tcp.listen(at("fe80::1", 80, 0), small_listener()).unwrap();
        assert_eq!(engine.tcp.listen(at("fe80::1", 80, ZONE), small_listener()), Err(Error::AddressInUse));
        let (us, peer) = (at("fe80::1", 5_000, ZONE), at("fe80::2", 80, 0));
        engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
        let again = engine.tcp.connect(START, at("fe80::1", 5_000, 0), at("fe80::2", 80, ZONE), None, small_stream());
        assert_eq!(again, Err(Error::AddressInUse));
        for zone in [0, ZONE] {
            assert_eq!(engine.tcp.state_of(at("fe80::1", 5_000, zone), at("fe80::2", 80, zone)), State::SynSent);
            assert_eq!(engine.tcp.state_of(at("fe80::1", 80, zone), at("fe80::9", 1, zone)), State::Listen);
        }
        let elsewhere = engine.tcp.state_of(at("fe80::1", 5_000, 8), at("fe80::2", 80, 8));
        assert_eq!(elsewhere, State::Closed, "another link's endpoints");
    });
}

/// Endpoints given out name the zone where it belongs to the address, and nowhere else.
#[test]
fn zone_is_told_of_link_local_endpoints_alone() {
    for (addr, other, zone) in [
        ("fe80::1", "fe80::2", ZONE),
        ("fe80:0:0:0:1234::1", "febf:ffff::2", ZONE),
        ("fd00::1", "fd00::2", 0),
        ("2001:db8::1", "2001:db8::2", 0),
        ("fec0::1", "fec0::2", 0),
    ] {
        with_world(ZONE, |engine| {
            let (us, peer) = (at(addr, 5_000, zone), at(other, 80, zone));
            let handle = engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
            engine.drain();
            assert_eq!((engine.only().src, engine.only().dst), (us, peer), "Transmit");
            let status = engine.tcp.status(handle).unwrap();
            assert_eq!((status.local, status.remote), (us, peer), "Status");
            let ack = engine.only().end();
            let _ = engine.arrive(peer, us, &Raw { seq: 1, ack, flags: RST | ACK, ..Raw::default() });
            let record = engine.tcp.last_resets().last().unwrap();
            assert_eq!((record.local, record.remote), (us, peer), "ResetRecord");
        });
    }
}

/// A listener's connection tells the zone as well, and so does an answer that belongs to nobody.
#[test]
fn zone_is_told_of_what_the_peer_opens() {
    with_world(ZONE, |engine| {
        let listener = engine.tcp.listen(at("::", 80, 0), small_listener()).unwrap();
        let (us, peer) = (at("fe80::1", 80, ZONE), at("fe80::2", 4_000, ZONE));
        let _ = engine.arrive(peer, us, &Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() });
        assert_eq!((engine.only().src, engine.only().dst), (us, peer));
        let ack = engine.only().end();
        let _ = engine.arrive(peer, us, &Raw { seq: 2, ack, flags: ACK, wnd: 100, ..Raw::default() });
        assert_eq!(engine.events, [Event::Acceptable(listener)]);
        let handle = engine.tcp.accept(START, listener).unwrap();
        let status = engine.tcp.status(handle).unwrap();
        assert_eq!((status.local, status.remote), (us, peer));
        let closed = at("fe80::1", 81, ZONE);
        let _ = engine.arrive(peer, closed, &Raw { seq: 1, flags: SYN, ..Raw::default() });
        assert_eq!((engine.only().src, engine.only().dst), (closed, peer));
    });
}

/// What is told can be given back.
#[test]
fn zone_told_is_a_zone_that_may_be_named() {
    with_world(ZONE, |engine| {
        let (us, peer) = (at("fe80::1", 0, 0), at("fe80::2", 80, 0));
        let handle = engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
        let status = engine.tcp.status(handle).unwrap();
        assert_eq!(engine.tcp.state_of(status.local, status.remote), State::SynSent);
        engine.tcp.abort(START, handle).unwrap();
        engine.drain();
        assert!(
            engine.tcp.connect(START, status.local, status.remote, Some(LinkAddr::default()), small_stream()).is_ok()
        );
    });
}
