//! An IPv4 address in IPv6 guise (RFC 4291 §2.5.5.2) is nobody's: no packet may carry it, and no call takes it.

use std::net::SocketAddr;

use tcp_reset_core::link::{Interface, Medium, Received};
use tcp_reset_core::{Action, Config, Error, LinkAddr, ParseError, Segment, State};

use crate::links::{frames_out, ip, web, with_link};
use crate::support::packet::{ip_packet, upper_checksum};
use crate::support::rig::{Engine, Raw, START, Store, quick_config, small_listener, small_stream};
use crate::support::table::{ACK, SYN};

const MAPPED: &str = "::ffff:10.0.0.1";
const MAPPED_PEER: &str = "::ffff:10.0.0.2";

#[test]
fn calls_take_no_disguised_address() {
    let mut store = Box::new(Store::new());
    let mut engine = Engine::new(&mut *store, quick_config());
    let connect = |engine: &mut Engine<'_>, us: &str, peer: &str| {
        engine
            .tcp
            .connect(START, SocketAddr::new(ip(us), 5_000), web(peer), Some(LinkAddr::default()), small_stream())
            .err()
    };
    let refused = Some(Error::InvalidAddress);
    assert_eq!(engine.tcp.listen(web(MAPPED), small_listener()).err(), refused);
    assert_eq!(engine.tcp.listen(web("::ffff:0.0.0.0"), small_listener()).err(), refused);
    for (us, peer) in [
        (MAPPED, MAPPED_PEER),
        (MAPPED, "fd00::2"),
        ("fd00::1", MAPPED_PEER),
        (MAPPED, "10.0.0.2"),
        ("10.0.0.1", MAPPED_PEER),
        ("10.0.0.1", "fd00::2"),
        ("fd00::1", "10.0.0.2"),
    ] {
        assert_eq!(connect(&mut engine, us, peer), refused, "{us} {peer}");
    }
    assert_eq!(engine.tcp.in_use(), (0, 0, 0));
}

#[test]
fn link_takes_no_disguised_address() {
    with_link(Medium::Ip, Config::default(), &["10.0.0.1/24", "fd00::1/64"], &["10.0.0.254", "fd00::fe"], |link| {
        let refused = Err(Error::InvalidAddress);
        assert_eq!(link.set_addresses(&[Interface { addr: ip(MAPPED), prefix: 120 }], None), refused);
        let ours = [Interface { addr: ip("fd00::1"), prefix: 64 }];
        assert_eq!(link.set_addresses(&ours, [ip("::ffff:10.0.0.254")]), refused);
        assert_eq!(link.connect(START, 5_000, web(MAPPED_PEER), small_stream()).err(), Some(Error::InvalidAddress));
    });
}

/// A question about a disguised endpoint is not answered with the IPv4 connection's state.
#[test]
fn state_of_a_disguised_endpoint_is_nobodys() {
    let mut store = Box::new(Store::new());
    let mut engine = Engine::new(&mut *store, quick_config());
    let (us, peer) = (SocketAddr::new(ip("10.0.0.1"), 5_000), web("10.0.0.2"));
    engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
    engine.tcp.listen(web("10.0.0.1"), small_listener()).unwrap();
    assert_eq!(engine.tcp.state_of(us, peer), State::SynSent);
    let disguised = SocketAddr::new(ip(MAPPED), 5_000);
    for (us, peer) in [(disguised, web(MAPPED_PEER)), (disguised, peer), (us, web(MAPPED_PEER)), (us, web("fd00::2"))] {
        assert_eq!(engine.tcp.state_of(us, peer), State::Closed, "{us} {peer}");
    }
}

/// Packets of either version, with checksums that are right for it.
#[test]
fn frames_with_disguised_addresses_are_not_answered() {
    let ours = ["10.0.0.1/24", "fd00::1/64"];
    for (src, dst) in [(MAPPED_PEER, "fd00::1"), (MAPPED_PEER, MAPPED), ("fd00::2", MAPPED), ("::", "fd00::1")] {
        for flags in [SYN, ACK] {
            with_link(Medium::Ip, Config::default(), &ours, &["10.0.0.254", "fd00::fe"], |link| {
                link.tcp().listen(web("::"), small_listener()).unwrap();
                let raw = Raw { seq: 1, ack: 1, flags, wnd: 100, ..Raw::default() };
                let packet = ip_packet(ip(src), ip(dst), &raw.bytes(web(src), web(dst)));
                let received = link.handle_frame(START, &packet);
                if let Received::Taken(verdict) = received {
                    assert_eq!(verdict.action, Action::Dropped, "{src} {dst}");
                }
                assert_eq!(frames_out(link, 0), [[0; 0]; 0], "{src} {dst}");
                assert_eq!(link.tcp_ref().in_use(), (0, 0, 0));
            });
        }
    }
}

/// The words of an IPv4 connection's addresses under a version 6 header, and the other way round.
#[test]
fn version_decides_which_family_a_packet_is_of() {
    with_link(Medium::Ip, Config::default(), &["10.0.0.1/24", "fd00::1/64"], &[], |link| {
        link.tcp().listen(web("10.0.0.1"), small_listener()).unwrap();
        let syn = Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() };
        for (src, dst) in [("::a00:2", "::a00:1"), ("a00:2::", "a00:1::"), ("fd00::a00:2", "fd00::a00:1")] {
            let packet = ip_packet(ip(src), ip(dst), &syn.bytes(web(src), web(dst)));
            assert_eq!(link.handle_frame(START, &packet), Received::OtherTcp, "{dst} is not ours");
        }
        assert_eq!(link.tcp_ref().in_use(), (0, 0, 0));
    });
}

#[test]
fn segments_are_parsed_and_written_within_one_family() {
    let raw = Raw { seq: 1, flags: SYN, ..Raw::default() };
    let bytes = raw.bytes(web("fd00::2"), web("fd00::1"));
    assert_eq!(upper_checksum(ip("fd00::2"), ip("fd00::1"), 6, &bytes), 0);
    let software = Default::default();
    let seg = Segment::parse(&bytes, ip("fd00::2"), ip("fd00::1"), software).unwrap();
    for (src, dst) in [("10.0.0.2", "fd00::1"), ("fd00::2", "10.0.0.1")] {
        assert_eq!(Segment::parse(&bytes, ip(src), ip(dst), software), Err(ParseError::UnknownFamily));
        assert!(seg.emit(&mut [0; 60], ip(src), ip(dst), software).is_err());
    }
}
