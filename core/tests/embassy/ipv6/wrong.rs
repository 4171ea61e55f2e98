//! IPv6 configurations that are no host's count as none, and leave IPv4 alone.

use std::net::{Ipv4Addr, Ipv6Addr};

use embassy_net::{ConfigV4, ConfigV6};
use tcp_reset_core::{Error, ListenOptions, StreamOptions};

use super::addresses::LOST;
use super::{FAR_V6, HOST_V6, Live, NEW_V6, RAW_V6, fixed_v6, static_v6};
use crate::exec::World;
use crate::hosts::{HOST, Host, RAW, mac_of, static_config};
use crate::net::PortRef;

/// What embassy-net can be given and no host can have. It takes no group's address itself, and with SLAAC not the unspecified one.
#[cfg(not(feature = "slaac"))]
const NO_HOSTS: &[Ipv6Addr] = &[HOST.to_ipv6_mapped(), Ipv6Addr::UNSPECIFIED];
#[cfg(feature = "slaac")]
const NO_HOSTS: &[Ipv6Addr] = &[HOST.to_ipv6_mapped()];
/// What cannot be a router.
const NO_ROUTERS: [Ipv6Addr; 3] =
    [Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), Ipv6Addr::UNSPECIFIED, RAW.to_ipv6_mapped()];

fn connect(world: &mut World, host: &Host, addr: Ipv6Addr) -> Option<Error> {
    world.block_on(host.tcp.connect((addr, 7), StreamOptions::default())).err()
}

#[test]
fn v6_of_no_host_set_counts_as_none_and_ipv4_goes_on() {
    for &bad in NO_HOSTS {
        let (mut world, host, mut v4, v6) = World::dual_connected();
        let (raw_v4, raw_v6) = (v4.conn.raw.clone(), v6.conn.raw.clone());
        host.stack.set_config_v6(fixed_v6(bad));
        assert!(host.tcp.follow_address(), "{bad}");
        assert_eq!(v6.read_now(&mut world), LOST, "{bad}");
        // The last would be a neighbor of the unspecified address.
        for addr in [RAW_V6, Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 9)] {
            assert_eq!(connect(&mut world, &host, addr), Some(Error::NoRoute), "{addr} from {bad}");
        }
        v4.exchange(&mut world);

        let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 9), ListenOptions::default()).unwrap();
        let _conn = raw_v4.open(&mut world, &host, 40_001, 9);
        assert!(world.block_on(listener.accept()).is_ok(), "{bad}");
        host.stack.set_config_v6(fixed_v6(NEW_V6));
        assert!(host.tcp.follow_address(), "{bad}");
        let _conn = raw_v6.open(&mut world, &host, 40_001, 9);
        assert!(world.block_on(listener.accept()).is_ok(), "a good one after {bad}");
    }
}

#[test]
fn v6_of_no_host_from_the_start_leaves_ipv4() {
    for &bad in NO_HOSTS {
        let mut world = World::new();
        let host = world.dual_host(HOST, bad);
        let raw = world.raw(RAW);
        let mut v4 = Live::accept(&mut world, &host, &raw);
        v4.exchange(&mut world);
        assert_eq!(connect(&mut world, &host, RAW_V6), Some(Error::NoRoute), "{bad}");
    }
}

/// Nothing of embassy-net's own answers there either.
#[test]
fn v6_of_no_host_set_tcp_to_it_draws_nothing() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let mut seg = raw.conn(&host, 40_000, 7).segment(crate::packet::SYN, b"");
    host.stack.set_config_v6(fixed_v6(HOST.to_ipv6_mapped()));
    host.tcp.follow_address();
    seg.dst = HOST.to_ipv6_mapped().into();
    seg.src = RAW.to_ipv6_mapped().into();
    // Known to embassy-net, which would answer.
    let known = crate::packet::advertisement((raw.mac, RAW.to_ipv6_mapped()), HOST.to_ipv6_mapped(), 0x60);
    raw.send_packet(host.mac(), &known);
    world.run_ms(5);
    let frame = crate::packet::on_ethernet(host.mac(), raw.mac, &seg.packet());
    assert_eq!(crate::beside::everything_after(&mut world, &raw, frame), []);
}

#[test]
fn v6_router_that_is_none_leaves_the_address() {
    for bad in NO_ROUTERS {
        let (mut world, host, mut v4, mut v6) = World::dual_connected();
        host.stack.set_config_v6(ConfigV6::Static(static_v6(HOST_V6, Some(bad))));
        host.tcp.follow_address();
        v4.exchange(&mut world);
        v6.exchange(&mut world);
        assert_eq!(connect(&mut world, &host, FAR_V6), Some(Error::NoRoute), "{bad}");
    }
}

/// The other way round: IPv4's router of nobody, and an address of nobody.
#[test]
fn v4_that_is_wrong_leaves_ipv6() {
    let bad = [
        static_config(HOST, Some(Ipv4Addr::BROADCAST)),
        static_config(Ipv4Addr::UNSPECIFIED, None),
        static_config(Ipv4Addr::new(0, 0, 0, 7), Some(Ipv4Addr::new(224, 0, 0, 1))),
    ];
    for config in bad {
        let (mut world, host, _v4, mut v6) = World::dual_connected();
        let raw = v6.conn.raw.clone();
        host.stack.set_config_v4(ConfigV4::Static(config));
        host.tcp.follow_address();
        v6.exchange(&mut world);
        let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 9), ListenOptions::default()).unwrap();
        let _conn = raw.open(&mut world, &host, 40_001, 9);
        assert!(world.block_on(listener.accept()).is_ok());
    }
}

/// Both wrong at once: no address, no panic, and what comes later counts.
#[test]
fn both_wrong_from_the_start_nothing_panics_and_good_ones_count() {
    let mut world = World::new();
    let mut config = embassy_net::Config::ipv4_static(static_config(Ipv4Addr::UNSPECIFIED, Some(Ipv4Addr::BROADCAST)));
    config.ipv6 = ConfigV6::Static(static_v6(NO_HOSTS[NO_HOSTS.len() - 1], Some(NO_ROUTERS[0])));
    let host = world.host_with(PortRef::new(Some(mac_of(HOST))), config, Default::default());
    let (raw_v4, raw_v6) = (world.raw(RAW), world.raw(RAW_V6));
    assert_eq!(connect(&mut world, &host, RAW_V6), Some(Error::NoRoute));
    host.stack.set_config_v4(ConfigV4::Static(static_config(HOST, None)));
    host.stack.set_config_v6(fixed_v6(HOST_V6));
    assert!(host.tcp.follow_address());
    for raw in [raw_v4, raw_v6] {
        Live::accept(&mut world, &host, &raw).exchange(&mut world);
    }
}
