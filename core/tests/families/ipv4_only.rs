//! Without the feature `ipv6`: everything that names an IPv6 address is refused, and what arrives over IPv6 is left alone.

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, LinkOutput, MAX_ADDRESSES, Medium, Received};
use tcp_reset_core::{Action, ChecksumBy, Config, Error, LinkAddr, Network, ParseError, Segment, State};

use crate::support::family::Family;
use crate::support::packet::{ip_packet, on_ethernet};
use crate::support::rig::{Engine, Raw, START, Store, frames, peer, quick_config, small_listener, small_stream, us};
use crate::support::table::{ACK, SYN};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn with_link(medium: Medium, test: impl FnOnce(&mut Link<'_>)) {
    let mut store = Box::new(Store::new());
    let ours = [frames::interface(Family::V4, 1)];
    let mut link = frames::link(&mut *store, Config::default(), medium, &ours, Some(Family::V4.host(254)));
    link.tcp().listen(us(Family::V4), small_listener()).unwrap();
    test(&mut link);
}

#[test]
fn calls_take_no_ipv6_address() {
    let refused = Some(Error::InvalidAddress);
    let (us, peer) = (us(Family::V6), peer(Family::V6));
    let mut store = Box::new(Store::new());
    let mut engine = Engine::new(&mut *store, quick_config());
    assert_eq!(engine.tcp.listen(us, small_listener()).err(), refused);
    assert_eq!(engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).err(), refused);
    assert_eq!(engine.tcp.state_of(us, peer), State::Closed);
    with_link(Medium::Ip, |link| {
        assert_eq!(link.connect(START, 0, peer, small_stream()).err(), refused);
        let ours = Interface { addr: us.ip(), prefix: 64 };
        assert_eq!(link.set_addresses(&[ours], None).err(), refused);
        let v4 = Interface { addr: Family::V4.host(1), prefix: 24 };
        assert_eq!(link.set_addresses(&[v4], Some(peer.ip())).err(), refused);
        assert_eq!(link.set_addresses(&[v4; MAX_ADDRESSES + 1], None).err(), refused);
        assert_eq!(link.set_addresses(&[v4; MAX_ADDRESSES], None), Ok(()));
    });
    assert_eq!(MAX_ADDRESSES, 4);
}

/// What a program for both families writes means here what there is.
#[test]
fn every_address_of_every_family_is_every_one_of_ipv4() {
    let mut store = Box::new(Store::new());
    let mut engine = Engine::new(&mut *store, quick_config());
    engine.tcp.listen(SocketAddr::new(Family::V6.unspecified(), 80), small_listener()).unwrap();
    let (us, peer) = (us(Family::V4), peer(Family::V4));
    assert_eq!(engine.tcp.state_of(us, peer), State::Listen);
    let again = engine.tcp.listen(SocketAddr::new(Family::V4.unspecified(), 80), small_listener());
    assert_eq!(again.err(), Some(Error::AddressInUse));
}

#[test]
fn segments_of_ipv6_are_dropped() {
    let mut store = Box::new(Store::new());
    let mut engine = Engine::new(&mut *store, quick_config());
    engine.tcp.listen(us(Family::V4), small_listener()).unwrap();
    let (us, peer) = (us(Family::V6), peer(Family::V6));
    for flags in [SYN, ACK] {
        let raw = Raw { seq: 1, ack: 1, flags, wnd: 100, ..Raw::default() };
        assert_eq!(engine.arrive(peer, us, &raw).action, Action::Dropped);
        assert_eq!(engine.sent, []);
        let bytes = raw.bytes(peer, us);
        let parsed = Segment::parse(&bytes, peer.ip(), us.ip(), ChecksumBy::Software);
        assert_eq!(parsed, Err(ParseError::UnknownFamily));
    }
}

#[test]
fn frames_of_ipv6_are_left_alone() {
    let (us, peer) = (us(Family::V6), peer(Family::V6));
    for medium in [Medium::Ip, Medium::Ethernet(LinkAddr(MAC))] {
        with_link(medium, |link| {
            for flags in [SYN, ACK] {
                let raw = Raw { seq: 1, ack: 1, flags, wnd: 100, ..Raw::default() };
                let packet = ip_packet(peer.ip(), us.ip(), &raw.bytes(peer, us));
                let is_ethernet = medium != Medium::Ip;
                let frame = if is_ethernet { on_ethernet(MAC, [2, 0, 0, 0, 0, 9], &packet) } else { packet };
                assert_eq!(link.handle_frame(START, &frame), Received::NotMine);
                assert!(matches!(link.poll_output(START), LinkOutput::Timeout(None)));
            }
        });
    }
}

#[test]
fn networks_of_ipv6_contain_nobody() {
    let network = Network { addr: Family::V6.host(1), prefix: 0 };
    let hosts: [IpAddr; 3] = [Family::V6.host(1), Family::V4.host(1), Family::V6.unspecified()];
    assert!(hosts.iter().all(|&host| !network.contains(host)));
    let v4 = Network { addr: Family::V4.host(0), prefix: 24 };
    assert!(v4.contains(Family::V4.host(9)) && !v4.contains(Family::V6.host(9)));
}
