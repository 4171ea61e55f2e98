//! Addresses of ours and routers: how many, which address speaks to a peer (RFC 6724 §5), and through whom (RFC 4861 §5.2).

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, MAX_ADDRESSES, Medium};
use tcp_reset_core::{CloseReason, Config, Error, State};

use crate::links::{MAC, frames_out, interface, ip, on_ethernet, web, with_link};
use crate::support::family::{Family, over_each};
use crate::support::packet::neighbors::read_question;
use crate::support::rig::{START, small_stream};

/// The address that a connection to `peer` is opened from. Nothing of it is left.
fn source(link: &mut Link<'_>, peer: &str) -> Result<IpAddr, Error> {
    let handle = link.connect(START, 0, web(peer), small_stream())?;
    let local = link.tcp_ref().status(handle).unwrap().local;
    link.tcp().abort(START, handle).unwrap();
    frames_out(link, 0);
    Ok(local.ip())
}

/// Whatever the order of our addresses is, `peer` is spoken to from `expected`.
#[track_caller]
fn assert_source(peer: &str, expected: &str, others: &[&str]) {
    let last = [others, &[expected]].concat();
    let first = [&[expected], others].concat();
    for ours in [first, last] {
        with_link(Medium::Ip, Config::default(), &ours, &["2001:db8:ffff::1", "10.0.0.254"], |link| {
            let addr = expected.split_once('/').unwrap().0;
            assert_eq!(source(link, peer), Ok(ip(addr)), "{peer} from {ours:?}");
        });
    }
}

/// Rule 2: "prefer appropriate scope".
#[test]
fn source_has_the_scope_of_the_peer() {
    let (link_local, unique, global) = ("fe80::1/64", "fd00::1/64", "2001:db8::1/64");
    assert_source("fe80::9", link_local, &[global, unique]);
    assert_source("2001:db8:5::9", global, &[link_local]);
    assert_source("fd00:5::9", unique, &[link_local]);
    assert_source("2001:db8:5::9", unique, &[link_local]);
    assert_source("2001:db8:5::9", link_local, &[]);
    assert_source("fe80::9", global, &[]);
}

/// Rule 6: "prefer matching label", by the table of §2.1, also against the longer prefix.
#[test]
fn source_has_the_label_of_the_peer() {
    let (unique, global, six_to_four, teredo) = ("fd00::1/64", "2400:1::1/64", "2002:a00:1::1/48", "2001:0:1::1/64");
    assert_source("fd12:5::9", unique, &[global, six_to_four, teredo]);
    assert_source("fc12:5::9", unique, &[global, six_to_four, teredo]);
    assert_source("2002:b00::9", six_to_four, &[unique, global, teredo]);
    assert_source("2001:0:ffff::9", teredo, &[unique, global, six_to_four]);
    // 2003:: shares 15 bits with the 6to4 address and 5 with the native one; 2001:db8:: shares 20 with Teredo's.
    assert_source("2003::9", global, &[six_to_four, unique]);
    assert_source("2001:db8::9", global, &[teredo, unique]);
    // fa00:: is of no table row but the last, and shares 5 bits with fd00::.
    assert_source("fa00::9", global, &[unique]);
}

/// Rule 8: the longest common prefix, which counts no further than our own prefix.
#[test]
fn source_shares_the_longest_prefix_with_the_peer() {
    assert_source("2001:db8:0:1::9", "2001:db8:0:1::1/64", &["2001:db8:0:2::1/64", "2001:db8:1::1/64"]);
    assert_source("2001:db8:8000::9", "2001:db8:c000::1/64", &["2001:db8::1/64", "2001:db9:8000::1/64"]);
    assert_source("fd00:0:0:3::9", "fd00:0:0:2::1/64", &["fd00::1/64", "fd00:1::1/64"]);
    // 120 bits in common with the first, of which its network's 32 count.
    assert_source("2001:db8:0:1::9", "2001:db8:0:2::1/64", &["2001:db8:0:1::1/32"]);
}

/// An earlier rule decides before a later one is asked.
#[test]
fn source_rules_are_asked_in_their_order() {
    // Scope before label: febf:: and fd00:: have other labels than 2002::, and only the latter is good beyond the link.
    assert_source("2002:b00::9", "fd00::1/64", &["fe80::1/64"]);
    // Scope before prefix: fe80::1 shares more bits with fd00::9 than 2001:db8::1 does.
    assert_source("fd00:7::9", "2001:db8::1/64", &["fe80::1/64"]);
}

/// "From the first IPv4 address on the next hop's network, or else the first."
#[test]
fn source_over_ipv4_is_on_the_network_of_the_next_hop() {
    let ours = ["192.0.2.1/24", "10.0.0.1/24", "10.0.0.7/24", "fd00::1/64"];
    for (router, peer, expected) in [
        ("10.0.0.254", "10.0.0.9", "10.0.0.1"),
        ("10.0.0.254", "192.0.2.9", "192.0.2.1"),
        ("10.0.0.254", "198.51.100.9", "10.0.0.1"),
        ("192.0.2.254", "198.51.100.9", "192.0.2.1"),
        ("203.0.113.254", "198.51.100.9", "192.0.2.1"),
    ] {
        on_ethernet(&ours, &[router, "fd00::fe"], |link| {
            assert_eq!(source(link, peer), Ok(ip(expected)), "{peer} through {router}");
        });
    }
}

/// From where a connection to `peer` is opened, as whom the link asks for its next hop, and what that is. Nothing of it is left.
fn asked(link: &mut Link<'_>, peer: &str) -> Result<[IpAddr; 3], Error> {
    let handle = link.connect(START, 0, web(peer), small_stream())?;
    let frames = frames_out(link, 0xaa);
    let questions: Vec<_> = frames.iter().filter_map(|frame| read_question(frame)).collect();
    let [((mac, asker), target)] = questions[..] else {
        panic!("one question for {peer}: {frames:x?}");
    };
    assert_eq!(mac, MAC);
    let local = link.tcp_ref().status(handle).unwrap().local;
    link.tcp().abort(START, handle).unwrap();
    frames_out(link, 0xaa);
    link.forget_neighbors();
    Ok([local.ip(), asker, target])
}

/// Each family has its own router, and its own networks.
#[test]
fn next_hop_is_the_peer_on_the_link_or_the_router_of_its_family() {
    let ours = ["10.0.0.1/24", "2001:db8::1/64", "fd00:0:0:1::1/64", "fe80::1/64"];
    on_ethernet(&ours, &["fe80::ff", "10.0.0.254"], |link| {
        for (peer, source, next) in [
            ("10.0.0.9", "10.0.0.1", "10.0.0.9"),
            ("192.0.2.9", "10.0.0.1", "10.0.0.254"),
            ("2001:db8::9", "2001:db8::1", "2001:db8::9"),
            ("2001:db8:0:0:ffff::9", "2001:db8::1", "2001:db8::ffff:0:0:9"),
            ("2001:db8:0:1::9", "2001:db8::1", "fe80::ff"),
            ("fd00:0:0:1::9", "fd00:0:0:1::1", "fd00:0:0:1::9"),
            ("fd00:0:0:2::9", "fd00:0:0:1::1", "fe80::ff"),
            ("fe80::9", "fe80::1", "fe80::9"),
            ("fe80::9:0:0:0:9", "fe80::1", "fe80::9:0:0:0:9"),
        ] {
            let [local, asker, target] = asked(link, peer).unwrap();
            assert_eq!((local, target), (ip(source), ip(next)), "{peer}");
            assert!(ours.iter().any(|ours| interface(ours).addr == asker), "{asker} asks for {target}");
        }
    });
}

/// RFC 4861 §7.2.2: "If the source address of the packet prompting the solicitation is the same as one of the addresses assigned to the
/// outgoing interface, that address SHOULD be placed in the IP Source Address of the outgoing solicitation."
#[test]
fn question_for_a_router_comes_from_the_address_that_has_something_to_send() {
    on_ethernet(&["2001:db8::1/64", "fe80::1/64"], &["fe80::ff"], |link| {
        let [local, asker, _] = asked(link, "2001:db8:0:1::9").unwrap();
        assert_eq!((local, asker), (ip("2001:db8::1"), local));
    });
}

/// RFC 4861 §5.1: the link-local prefix is on the link without anybody saying so.
#[test]
fn link_local_peer_is_on_the_link_whatever_our_networks_are() {
    for routers in [&[][..], &["fd00::fe"]] {
        on_ethernet(&["fd00::1/64"], routers, |link| {
            assert_eq!(asked(link, "fe80::9"), Ok([ip("fd00::1"), ip("fd00::1"), ip("fe80::9")]));
        });
    }
}

/// RFC 4861 §5.2 as RFC 5942 §4 reads it: what no prefix of ours covers is not on the link.
#[test]
fn without_a_router_of_the_family_there_is_no_route_beyond_the_link() {
    for routers in [&[][..], &["10.0.0.254"]] {
        on_ethernet(&["10.0.0.1/24", "fd00::1/64"], routers, |link| {
            assert_eq!(source(link, "2001:db8::9"), Err(Error::NoRoute));
            assert_eq!(source(link, "fd00:0:0:1::9"), Err(Error::NoRoute));
            assert!(source(link, "fd00::9").is_ok());
        });
    }
    on_ethernet(&["10.0.0.1/24", "fd00::1/64"], &["fd00::fe"], |link| {
        assert_eq!(source(link, "192.0.2.9"), Err(Error::NoRoute));
        assert!(source(link, "2001:db8::9").is_ok());
    });
}

#[test]
fn without_an_address_of_the_family_there_is_no_route_at_all() {
    on_ethernet(&["10.0.0.1/24"], &["10.0.0.254", "fd00::fe"], |link| {
        for peer in ["fd00::9", "fe80::9", "2001:db8::9"] {
            assert_eq!(source(link, peer), Err(Error::NoRoute), "{peer}");
        }
    });
    on_ethernet(&["fd00::1/64", "fe80::1/64"], &["10.0.0.254", "fd00::fe"], |link| {
        for peer in ["10.0.0.9", "192.0.2.9"] {
            assert_eq!(source(link, peer), Err(Error::NoRoute), "{peer}");
        }
    });
}

/// A refused set leaves the former one in force.
#[track_caller]
fn assert_refused(link: &mut Link<'_>, ours: &[Interface], routers: &[&str]) {
    let result = link.set_addresses(ours, routers.iter().map(|text| ip(text)));
    assert_eq!(result, Err(Error::InvalidAddress));
    assert_eq!(source(link, "fd00::9"), Ok(ip("fd00::1")), "the former addresses");
    assert!(source(link, "192.0.2.9").is_ok() && source(link, "2001:db8::9").is_ok(), "the former routers");
}

#[test]
fn addresses_are_eight_of_both_families_together() {
    assert_eq!(MAX_ADDRESSES, 8);
    let mixed = |count: usize| -> Vec<Interface> {
        let of = |n: usize| if n.is_multiple_of(2) { Family::V4 } else { Family::V6 };
        (0..count).map(|n| Interface { addr: of(n).host(n as u8 + 10), prefix: of(n).prefix() }).collect()
    };
    on_ethernet(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.254", "fd00::fe"], |link| {
        assert_refused(link, &mixed(9), &[]);
        link.set_addresses(&mixed(8), None).unwrap();
        for ours in mixed(8) {
            let refused = link.connect(START, 0, SocketAddr::new(ours.addr, 80), small_stream());
            assert_eq!(refused.err(), Some(Error::InvalidAddress), "{} is ours", ours.addr);
        }
    });
}

#[test]
fn routers_are_at_most_one_of_each_family() {
    let ours = [Interface { addr: ip("10.0.0.1"), prefix: 24 }, Interface { addr: ip("fd00::1"), prefix: 64 }];
    on_ethernet(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.254", "fd00::fe"], |link| {
        for routers in [&["10.0.0.254", "10.0.0.253"][..], &["fd00::fe", "fe80::1"], &["fd00::fe", "10.0.0.254", "::2"]]
        {
            assert_refused(link, &ours, routers);
        }
        for routers in [&["fe80::ff", "10.0.0.254"][..], &["10.0.0.253"], &["fd00::fd"], &[]] {
            link.set_addresses(&ours, routers.iter().map(|text| ip(text))).unwrap();
        }
    });
}

#[test]
fn address_that_is_no_hosts_is_refused_as_ours_and_as_a_router() {
    over_each(|family| {
        on_ethernet(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.254", "fd00::fe"], |link| {
            for addr in family.nobodies() {
                let good = Interface { addr: family.host(1), prefix: family.prefix() };
                assert_refused(link, &[good, Interface { addr, ..good }], &[]);
                assert_refused(link, &[good], &[&addr.to_string()]);
            }
        });
    });
}

/// RFC 1122 §3.2.1.3 (g): "Addresses of this form MUST NOT appear outside a host." RFC 4291 §2.5.3 says the same of `::1`.
#[test]
fn loopback_address_never_appears_on_the_wire() {
    over_each(|family| {
        on_ethernet(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.254", "fd00::fe"], |link| {
            let refused = link.connect(START, 0, SocketAddr::new(family.loopback(), 80), small_stream());
            assert_eq!(refused.err(), Some(Error::InvalidAddress));
            assert_refused(link, &[Interface { addr: family.loopback(), prefix: 128 }], &[]);
        });
    });
}

/// A family's addresses go: its connections end, those of the other family do not notice.
#[test]
fn losing_the_addresses_of_one_family_ends_its_connections_alone() {
    let ours = ["10.0.0.1/24", "fd00::1/64"];
    for lost in 0..2 {
        with_link(Medium::Ip, Config::default(), &ours, &[], |link| {
            let handles =
                ["10.0.0.9", "fd00::9"].map(|peer| link.connect(START, 5_000, web(peer), small_stream()).unwrap());
            frames_out(link, 0);
            link.set_addresses(&[interface(ours[1 - lost])], None).unwrap();
            frames_out(link, 0);
            let status = handles.map(|handle| link.tcp_ref().status(handle).unwrap());
            assert_eq!(status[lost].closed, Some(CloseReason::AddressLost));
            assert_eq!((status[1 - lost].closed, status[1 - lost].state), (None, State::SynSent));
        });
    }
}
