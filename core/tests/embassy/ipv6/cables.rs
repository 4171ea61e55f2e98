//! Cables that are pulled, with both families in use.

use std::time::Duration;

use embassy_net::ConfigV6;

use super::addresses::LOST;
use super::{HOST_V6, Live, NEW_V6, RAW_V6, fixed_v6, static_v6};
use crate::dhcp::{flap, is_alive, leased_with};
use crate::exec::World;
use crate::hosts::Host;
use crate::packet::ACK;

fn unplug_for(world: &mut World, host: &Host, ms: u64) {
    host.port.set_link(false);
    world.run_ms(ms);
    host.port.set_link(true);
    world.run_ms(1_000);
}

#[test]
fn cable_out_and_in_same_addresses_keep_all_connections() {
    let (mut world, host, mut v4, mut v6) = World::dual_connected();
    for _ in 0..3 {
        unplug_for(&mut world, &host, 10_000);
        v4.exchange(&mut world);
        v6.exchange(&mut world);
    }
}

#[test]
fn cable_out_text_written_meanwhile_arrives_when_it_is_back() {
    let (mut world, host, mut v4, mut v6) = World::dual_connected();
    host.port.set_link(false);
    world.run_ms(100);
    for Live { stream, .. } in [&mut v4, &mut v6] {
        world.block_on(stream.write(b"patience")).unwrap();
    }
    world.run_ms(20_000);
    host.port.set_link(true);
    world.run_ms(20_000);
    for Live { conn, .. } in [&mut v4, &mut v6] {
        conn.take();
        assert_eq!(conn.got, b"patience");
    }
}

#[test]
fn cable_out_v6_replaced_meanwhile_only_its_connections_end() {
    let (mut world, host, mut v4, v6) = World::dual_connected();
    host.port.set_link(false);
    world.run_ms(1_000);
    host.stack.set_config_v6(fixed_v6(NEW_V6));
    host.port.set_link(true);
    world.run_ms(1_000);
    assert_eq!(v6.read_now(&mut world), LOST);
    v4.exchange(&mut world);
}

/// Nobody but the project takes a static address away: there is no answer of a server to wait for.
#[test]
fn cable_out_v6_removed_meanwhile_its_connections_end() {
    let (mut world, host, mut v4, v6) = World::dual_connected();
    host.port.set_link(false);
    world.run_ms(1_000);
    host.stack.set_config_v6(ConfigV6::None);
    host.tcp.follow_address();
    host.port.set_link(true);
    world.run_ms(1_000);
    assert_eq!(v6.read_now(&mut world), LOST);
    v4.exchange(&mut world);
}

#[test]
fn cable_was_out_v6_removed_its_connections_end() {
    let (mut world, host, mut v4, v6) = World::dual_connected();
    unplug_for(&mut world, &host, 1_000);
    host.stack.set_config_v6(ConfigV6::None);
    assert!(host.tcp.follow_address());
    assert_eq!(v6.read_now(&mut world), LOST);
    v4.exchange(&mut world);
}

/// DHCP takes the IPv4 address back while the cable is out; a static IPv6 address stays.
#[test]
fn leased_v4_and_static_v6_cable_out_and_in_ends_nothing() {
    let mut config = embassy_net::Config::dhcpv4(Default::default());
    config.ipv6 = fixed_v6(HOST_V6);
    let (mut world, host, server, mut stream, mut conn) = leased_with(config, 86_400);
    let raw = world.raw(RAW_V6);
    let mut v6 = Live::accept(&mut world, &host, &raw);
    host.port.set_link(false);
    world.run_ms(10);
    assert!(host.stack.config_v4().is_none() && host.stack.config_v6().is_some());
    flap(&mut world, &host, &server);
    assert!(is_alive(&mut world, &mut stream, &mut conn));
    v6.exchange(&mut world);
}

/// IPv6's change must not make the core take note of the IPv4 address that DHCP has not given again yet.
#[test]
fn leased_v4_cable_out_v6_replaced_meanwhile_ipv4s_connection_goes_on() {
    let mut config = embassy_net::Config::dhcpv4(Default::default());
    config.ipv6 = fixed_v6(HOST_V6);
    let (mut world, host, server, mut stream, mut conn) = leased_with(config, 86_400);
    let raw = world.raw(RAW_V6);
    let v6 = Live::accept(&mut world, &host, &raw);
    host.port.set_link(false);
    world.run_ms(1_000);
    host.stack.set_config_v6(fixed_v6(NEW_V6));
    assert!(host.tcp.follow_address());
    assert_eq!(v6.read_now(&mut world), LOST);
    host.port.set_link(true);
    server.run(&mut world, 5_000);
    assert!(is_alive(&mut world, &mut stream, &mut conn));
}

/// The other way round: IPv4's lease runs out while IPv6 goes on.
#[test]
fn leased_v4_runs_out_ipv6s_connection_goes_on() {
    let mut config = embassy_net::Config::dhcpv4(Default::default());
    config.ipv6 = embassy_net::ConfigV6::Static(static_v6(HOST_V6, None));
    let (mut world, host, mut server, mut stream, _conn) = leased_with(config, 600);
    let raw = world.raw(RAW_V6);
    let mut v6 = Live::accept(&mut world, &host, &raw);
    server.is_silent = true;
    server.run(&mut world, 900_000);
    assert!(host.stack.config_v4().is_none());
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    world.run_ms(10);
    assert_eq!(reading.take(), LOST);
    v6.exchange(&mut world);
    v6.conn.send(ACK, b"");
    world.run_for(Duration::from_secs(1));
}
