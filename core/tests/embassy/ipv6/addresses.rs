//! Addresses that go and come in one family, and what becomes of the other's connections.

use std::net::{Ipv4Addr, Ipv6Addr};

use embassy_net::{ConfigV4, ConfigV6};
use tcp_reset_core::{CloseReason, Error, ListenOptions, StreamOptions};

use super::{FAR_V6, HOST_V6, Live, NEW_V6, RAW_V6, fixed_v6, static_v6};
use crate::exec::World;
use crate::hosts::{HOST, Host, RAW, static_config};
use crate::packet::{ACK, PSH, SYN};

const NEW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
pub const LOST: Option<Result<usize, Error>> = Some(Err(Error::Closed(CloseReason::AddressLost)));

/// Changes IPv6's configuration, and tells of it.
fn set_v6(world: &mut World, host: &Host, config: ConfigV6) {
    host.stack.set_config_v6(config);
    assert!(host.tcp.follow_address(), "the addresses have changed");
    assert!(!host.tcp.follow_address(), "nothing has changed since");
    world.run_ms(2);
}

/// The same of IPv4's.
fn set_v4(world: &mut World, host: &Host, config: ConfigV4) {
    host.stack.set_config_v4(config);
    assert!(host.tcp.follow_address(), "the addresses have changed");
    assert!(!host.tcp.follow_address(), "nothing has changed since");
    world.run_ms(2);
}

#[test]
fn v6_replaced_its_connections_end_and_ipv4s_go_on() {
    let (mut world, host, mut v4, v6) = World::dual_connected();
    let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 9), ListenOptions::default()).unwrap();
    let raw = v6.conn.raw.clone();
    let hello = v6.conn.segment(ACK | PSH, b"hello?").packet();
    let mark = host.port.mark();
    set_v6(&mut world, &host, fixed_v6(NEW_V6));
    assert_eq!(v6.read_now(&mut world), LOST);
    world.run_ms(200_000);
    raw.send_packet(host.mac(), &hello);
    world.run_ms(5);
    assert_eq!(host.segments_since(mark), [], "nothing is sent from an address that is not ours");
    v4.exchange(&mut world);
    let _conn = raw.open(&mut world, &host, 40_001, 9);
    let stream = world.block_on(listener.accept()).unwrap();
    assert_eq!(stream.local_endpoint(), Some((NEW_V6, 9).into()), "the listener goes on at the new address");
}

#[test]
fn v6_removed_its_connections_end_and_ipv4s_go_on() {
    let (mut world, host, mut v4, v6) = World::dual_connected();
    set_v6(&mut world, &host, ConfigV6::None);
    assert_eq!(v6.read_now(&mut world), LOST);
    let again = world.block_on(host.tcp.connect((RAW_V6, 7), StreamOptions::default()));
    assert_eq!(again.err(), Some(Error::NoRoute));
    v4.exchange(&mut world);
    assert_eq!(host.in_use().0, 1);
}

#[test]
fn v4_replaced_its_connections_end_and_ipv6s_go_on() {
    let (mut world, host, v4, mut v6) = World::dual_connected();
    set_v4(&mut world, &host, ConfigV4::Static(static_config(NEW, None)));
    assert_eq!(v4.read_now(&mut world), LOST);
    v6.exchange(&mut world);
}

#[test]
fn v4_removed_its_connections_end_and_ipv6s_go_on() {
    let (mut world, host, v4, mut v6) = World::dual_connected();
    set_v4(&mut world, &host, ConfigV4::None);
    assert_eq!(v4.read_now(&mut world), LOST);
    let again = world.block_on(host.tcp.connect((RAW, 7), StreamOptions::default()));
    assert_eq!(again.err(), Some(Error::NoRoute));
    v6.exchange(&mut world);
}

#[test]
fn both_removed_all_connections_end_and_come_back_with_the_addresses() {
    let (mut world, host, v4, v6) = World::dual_connected();
    let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 9), ListenOptions::default()).unwrap();
    let raws = [v4.conn.raw.clone(), v6.conn.raw.clone()];
    host.stack.set_config_v4(ConfigV4::None);
    host.stack.set_config_v6(ConfigV6::None);
    assert!(host.tcp.follow_address());
    assert_eq!((v4.read_now(&mut world), v6.read_now(&mut world)), (LOST, LOST));
    host.stack.set_config_v4(ConfigV4::Static(static_config(HOST, None)));
    host.stack.set_config_v6(fixed_v6(HOST_V6));
    assert!(host.tcp.follow_address());
    for raw in raws {
        let _conn = raw.open(&mut world, &host, 40_001, 9);
        assert!(world.block_on(listener.accept()).is_ok());
    }
}

/// A runner's pass finds the change too: any frame brings one.
#[test]
fn v6_replaced_without_a_call_the_next_frame_tells() {
    let (mut world, host, v4, v6) = World::dual_connected();
    host.stack.set_config_v6(fixed_v6(NEW_V6));
    v4.conn.raw.port.send(crate::packet::ethernet(host.mac(), v4.conn.raw.mac, 0x88b5, &[0; 46]));
    world.run_ms(2);
    assert_eq!(v6.read_now(&mut world), LOST);
}

/// The router or the length of the prefix is another: the address is ours still.
#[test]
fn v6_router_or_prefix_changed_connections_go_on() {
    let (mut world, host, mut v4, mut v6) = World::dual_connected();
    let router = world.raw(ROUTER);
    set_v6(&mut world, &host, ConfigV6::Static(static_v6(HOST_V6, Some(ROUTER))));
    v6.exchange(&mut world);
    v4.exchange(&mut world);
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((FAR_V6, 7), StreamOptions::default()).await });
    let _conn = router.answer(&mut world, &host);
    assert!(world.join(&connecting).is_ok());
    let mut config = static_v6(HOST_V6, None);
    config.address = embassy_net::Ipv6Cidr::new(HOST_V6, 48);
    set_v6(&mut world, &host, ConfigV6::Static(config));
    v6.exchange(&mut world);
    v4.exchange(&mut world);
}

#[test]
fn v6_replaced_while_idle_reader_learns_it_from_the_call() {
    let (mut world, host, _v4, v6) = World::dual_connected();
    let mut stream = v6.stream;
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    world.run_ms(1_000);
    host.stack.set_config_v6(fixed_v6(NEW_V6));
    assert!(host.tcp.follow_address());
    world.run_ms(2);
    assert_eq!(reading.take(), LOST);
}

#[test]
fn v6_set_connect_right_after_it_comes_from_the_new_address() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    host.stack.set_config_v6(fixed_v6(NEW_V6));
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW_V6, 7), StreamOptions::default()).await });
    let conn = raw.answer(&mut world, &host);
    assert_eq!(conn.them.0, NEW_V6);
    assert!(world.join(&connecting).is_ok());
}

/// The pass that brings the new address to the core may find a SYN to it: lost, but not refused.
#[test]
fn v6_replaced_first_syn_to_the_new_one_is_not_refused() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    host.stack.set_config_v6(fixed_v6(NEW_V6));
    let mark = host.port.mark();
    let mut conn = raw.conn(&host, 40_000, 7);
    let syn = conn.segment(SYN, b"").packet();
    raw.send_packet(host.mac(), &syn);
    world.run_ms(2);
    assert_eq!(host.segments_since(mark), []);
    raw.send_packet(host.mac(), &syn);
    world.run_ms(2);
    conn.take();
    conn.seq += 1;
    conn.send(ACK, b"");
    assert!(world.block_on(listener.accept()).is_ok());
}

#[test]
fn connecting_v6_replaced_the_attempt_ends_and_ipv4s_goes_on() {
    let (mut world, host, _raw) = World::dual_host_and_raw();
    let raw_v4 = world.raw(RAW);
    let tcp = host.tcp;
    let v6 = world.spawn(async move { tcp.connect((RAW_V6, 7), StreamOptions::default()).await });
    let v4 = world.spawn(async move { tcp.connect((RAW, 7), StreamOptions::default()).await });
    world.run_ms(2);
    set_v6(&mut world, &host, fixed_v6(NEW_V6));
    assert_eq!(world.join(&v6).err(), Some(Error::Closed(CloseReason::AddressLost)));
    let _conn = raw_v4.answer(&mut world, &host);
    assert!(world.join(&v4).is_ok());
}

/// As every project begins, with both families: wait until embassy-net says that it is configured, then connect.
#[test]
fn starting_connect_once_embassy_net_is_configured_has_a_route() {
    let mut world = World::new();
    let raw = world.raw(RAW_V6);
    let port = crate::net::PortRef::new(Some(crate::hosts::mac_of(HOST)));
    let host = world.host_before_its_first_pass(port, super::of_both(HOST, HOST_V6), Default::default());
    let (tcp, stack) = (host.tcp, host.stack);
    let connecting = world.spawn(async move {
        stack.wait_config_up().await;
        tcp.connect((RAW_V6, 7), StreamOptions::default()).await.err()
    });
    let _conn = raw.answer(&mut world, &host);
    assert_eq!(world.join(&connecting), None);
}

/// What was opened in the family that goes on keeps its neighbor's address or learns it anew: nothing is stuck.
#[test]
fn v4_replaced_text_on_its_way_over_ipv6_arrives() {
    let (mut world, host, v4, mut v6) = World::dual_connected();
    v6.conn.take();
    let before = v6.conn.got.len();
    world.block_on(v6.stream.write(b"on its way")).unwrap();
    set_v4(&mut world, &host, ConfigV4::None);
    world.run_ms(3_000);
    v6.conn.take();
    assert_eq!(&v6.conn.got[before..], b"on its way");
    assert_eq!(v4.read_now(&mut world), LOST);
    let Live { mut conn, .. } = v6;
    conn.send(ACK, b"");
    world.run_ms(5);
}
