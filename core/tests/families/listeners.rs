//! Who takes a SYN: a listener on the very address, on every address of IPv4, on every address of both families; and from whom.

use std::net::SocketAddr;

use tcp_reset_core::{Error, ListenOptions, ListenerHandle, Network, ResetReason, Rule};

use crate::links::{ip, web};
use crate::support::rig::{Engine, Raw, quick_config, small_listener};
use crate::support::table::{ACK, RST, SYN};

/// Room for every listener of these tests, and for their connections.
type Many = tcp_reset_core::Storage<16, 5, 16, 4, 8_192>;

fn with_world(test: impl FnOnce(&mut Engine<'_>)) {
    let mut store = Box::new(Many::new());
    test(&mut Engine::new(&mut *store, quick_config()));
}

const EXACT_V4: &str = "10.0.0.1";
const EXACT_V6: &str = "fd00::1";
const ANY_V4: &str = "0.0.0.0";
const ANY: &str = "::";

/// Somebody of the same family opens a connection to `to`.
fn knock(engine: &mut Engine<'_>, from_port: u16, to: SocketAddr) {
    let from = SocketAddr::new(if to.is_ipv4() { ip("10.0.0.2") } else { ip("fd00::2") }, from_port);
    assert_eq!(engine.arrive(from, to, &Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() }).rule, Rule::ListenSyn);
    let ack = engine.only().end();
    let ack = Raw { seq: 6, ack, flags: ACK, wnd: 100, ..Raw::default() };
    assert_eq!(engine.arrive(from, to, &ack).rule, Rule::AckEstablishes);
}

/// The only listener that has a connection to hand over, which is on `to`.
fn taker(engine: &mut Engine<'_>, listeners: &[(&'static str, ListenerHandle)], to: SocketAddr) -> &'static str {
    let mut takers = Vec::new();
    for &(name, listener) in listeners {
        match engine.tcp.accept(engine.now, listener) {
            Ok(handle) => {
                assert_eq!(engine.tcp.status(handle).unwrap().local, to, "the address that was knocked at");
                takers.push(name);
            }
            Err(error) => assert_eq!(error, Error::WouldBlock),
        }
    }
    assert_eq!(takers.len(), 1, "{takers:?}");
    takers[0]
}

/// All orders of four things.
fn orders<T: Copy>(all: [T; 4]) -> Vec<Vec<T>> {
    let numbers = (0..256_usize).map(|n| [n % 4, n / 4 % 4, n / 16 % 4, n / 64]);
    let is_order = |order: &[usize; 4]| (0..4).all(|i| order.contains(&i));
    numbers.filter(is_order).map(|order| order.map(|i| all[i]).to_vec()).collect()
}

/// The nearest listener takes the SYN, whoever came first; where it stops, the next one does.
#[test]
fn nearest_listener_takes_the_syn() {
    for order in orders([EXACT_V4, EXACT_V6, ANY_V4, ANY]) {
        with_world(|engine| {
            let listen = |&name: &&'static str| (name, engine.tcp.listen(web(name), small_listener()).unwrap());
            let mut listeners: Vec<_> = order.iter().map(listen).collect();
            let mut port = 1_000;
            let mut expect = |engine: &mut Engine<'_>, listeners: &[_], to: &str, expected: &str| {
                port += 1;
                knock(engine, port, web(to));
                assert_eq!(taker(engine, listeners, web(to)), expected, "{to} among {listeners:?}");
            };
            let steps: [(&str, [(&str, &str); 4]); 3] = [
                ("", [("10.0.0.1", EXACT_V4), ("10.0.0.7", ANY_V4), ("fd00::1", EXACT_V6), ("fd00::7", ANY)]),
                (EXACT_V6, [("10.0.0.1", EXACT_V4), ("10.0.0.7", ANY_V4), ("fd00::1", ANY), ("fd00::7", ANY)]),
                (ANY_V4, [("10.0.0.1", EXACT_V4), ("10.0.0.7", ANY), ("fd00::1", ANY), ("fd00::7", ANY)]),
            ];
            for (stops, takers) in steps {
                stop(engine, &mut listeners, stops);
                for (to, expected) in takers {
                    expect(engine, &listeners, to, expected);
                }
            }
        });
    }
}

fn stop(engine: &mut Engine<'_>, listeners: &mut Vec<(&'static str, ListenerHandle)>, name: &str) {
    listeners.retain(|&(other, listener)| {
        if other == name {
            engine.tcp.unlisten(engine.now, listener).unwrap();
        }
        other != name
    });
    engine.drain();
}

/// A SYN that the nearest listener has no room for is not passed to the next one.
#[test]
fn full_listener_is_not_stood_in_for() {
    with_world(|engine| {
        let none = ListenOptions { backlog: 0, ..small_listener() };
        engine.tcp.listen(web(EXACT_V6), none).unwrap();
        engine.tcp.listen(web(ANY), small_listener()).unwrap();
        let syn = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
        assert_eq!(engine.arrive(web("fd00::2"), web(EXACT_V6), &syn).rule, Rule::ListenSynDropped);
    });
}

/// Without a listener for IPv6 the port is closed there, whoever listens on it over IPv4.
#[test]
fn listener_of_ipv4_is_none_of_ipv6() {
    for name in [EXACT_V4, ANY_V4] {
        with_world(|engine| {
            engine.tcp.listen(web(name), small_listener()).unwrap();
            let syn = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
            for to in ["fd00::1", "::a00:1", "a00:1::"] {
                assert_eq!(engine.arrive(web("fd00::2"), web(to), &syn).rule, Rule::ClosedNoAck, "{to}");
                assert_eq!(engine.only().flags, RST | ACK);
            }
        });
    }
}

#[test]
fn same_endpoint_is_listened_on_once() {
    with_world(|engine| {
        for name in [EXACT_V4, EXACT_V6, ANY_V4, ANY] {
            engine.tcp.listen(web(name), small_listener()).unwrap();
        }
        for name in [EXACT_V4, EXACT_V6, ANY_V4, ANY] {
            assert_eq!(engine.tcp.listen(web(name), small_listener()), Err(Error::AddressInUse), "{name}");
        }
    });
}

const fn network(addr: std::net::IpAddr, prefix: u8) -> Network {
    Network { addr, prefix }
}

const V6_NETWORK: std::net::IpAddr = std::net::IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 0));
const V4_NETWORK: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 0));
const ONLY_V6: &[Network] = &[network(V6_NETWORK, 64)];
const ONLY_V4: &[Network] = &[network(V4_NETWORK, 24)];
const BOTH: &[Network] = &[network(V4_NETWORK, 24), network(V6_NETWORK, 64)];
const ALL_V6: &[Network] = &[network(V6_NETWORK, 0)];
const ALL_V4: &[Network] = &[network(V4_NETWORK, 0)];

/// Hosts may connect whose network is named in their own family; for all others the port is closed.
#[test]
fn networks_admit_hosts_of_their_family_alone() {
    let (v4, v6, far_v4, far_v6) = ("10.0.1.2", "fd00:0:0:1::2", "10.0.2.2", "fd00:0:0:2::2");
    let cases: [(&'static [Network], &[&str]); 5] =
        [(ONLY_V6, &[v6]), (ONLY_V4, &[v4]), (BOTH, &[v4, v6]), (ALL_V6, &[v6, far_v6]), (ALL_V4, &[v4, far_v4])];
    for (networks, admitted) in cases {
        for from in [v4, v6, far_v4, far_v6] {
            with_world(|engine| {
                let options = ListenOptions { accept_from: Some(networks), ..small_listener() };
                engine.tcp.listen(web(ANY), options).unwrap();
                let to = web(if from.contains(':') { EXACT_V6 } else { EXACT_V4 });
                let rule = engine.arrive(web(from), to, &Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() }).rule;
                let sent = engine.only();
                if admitted.contains(&from) {
                    assert_eq!((rule, sent.flags), (Rule::ListenSyn, SYN | ACK), "{from} {networks:?}");
                } else {
                    assert_eq!((rule, sent.flags), (Rule::ClosedNoAck, RST | ACK), "{from} {networks:?}");
                    assert_eq!(sent.reason, Some(ResetReason::NoConnection));
                }
            });
        }
    }
}

#[test]
fn networks_contain_what_begins_with_their_bits() {
    let contains = |addr: &str, prefix: u8, host: &str| network(ip(addr), prefix).contains(ip(host));
    let all_ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    for prefix in 1..=128_u8 {
        // The first address that differs in the bit just inside the prefix, and in the bit just outside.
        let inside = std::net::Ipv6Addr::from_bits(u128::MAX ^ 1 << (128 - prefix)).to_string();
        assert!(!contains(all_ones, prefix, &inside), "/{prefix}");
        if prefix < 128 {
            let outside = std::net::Ipv6Addr::from_bits(u128::MAX ^ 1 << (127 - prefix)).to_string();
            assert!(contains(all_ones, prefix, &outside), "/{prefix}");
        }
    }
    for prefix in [128, 129, 200, 255] {
        assert!(contains("fd00::1", prefix, "fd00::1") && !contains("fd00::1", prefix, "fd00::2"), "/{prefix}");
    }
    for prefix in [32, 33, 128, 255] {
        assert!(contains("10.0.0.1", prefix, "10.0.0.1") && !contains("10.0.0.1", prefix, "10.0.0.2"), "/{prefix}");
    }
    for (addr, prefix) in [("::", 0), ("::ffff:0:0", 96), ("::ffff:10.0.0.0", 120), ("::a00:0", 120), ("::", 96)] {
        assert!(!contains(addr, prefix, "10.0.0.1"), "{addr}/{prefix}");
    }
    for host in ["::a00:1", "::ffff:10.0.0.1", "a00:1::"] {
        assert!(!contains("0.0.0.0", 0, host) && !contains("10.0.0.0", 8, host), "{host}");
    }
}
