//! Who waits for a change of addresses: with us, and with embassy-net beside us.

use std::net::Ipv4Addr;

use embassy_net::{ConfigV4, ConfigV6};
use tcp_reset_core::{Error, StreamOptions};

use super::{HOST_V6, NEW_V6, RAW_V6, fixed_v6, of_both, static_v6};
use crate::dhcp::leased_with;
use crate::exec::{Handle, World};
use crate::hosts::{HOST, Host, RAW, mac_of, static_config};
use crate::net::PortRef;

const NEW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

fn fixed_v4(addr: Ipv4Addr) -> ConfigV4 {
    ConfigV4::Static(static_config(addr, None))
}

/// A task that waits for a change.
fn watch(world: &mut World, host: &Host) -> Handle<()> {
    let tcp = host.tcp;
    let watching = world.spawn(async move { tcp.address_changed().await });
    world.run_ms(1);
    watching
}

fn dual() -> (World, Host) {
    let mut world = World::new();
    let host = world.dual_host(HOST, HOST_V6);
    (world, host)
}

type Setting = fn(&Host);

/// Every kind of change: another address, the loss, and that it is back.
const CHANGES: [(&str, Setting); 6] = [
    ("another v6", |host| host.stack.set_config_v6(fixed_v6(NEW_V6))),
    ("another v4", |host| host.stack.set_config_v4(fixed_v4(NEW))),
    ("no v6", |host| host.stack.set_config_v6(ConfigV6::None)),
    ("no v4", |host| host.stack.set_config_v4(ConfigV4::None)),
    ("v6 again", |host| host.stack.set_config_v6(fixed_v6(HOST_V6))),
    ("v4 again", |host| host.stack.set_config_v4(fixed_v4(HOST))),
];

#[test]
fn address_changed_each_change_in_either_family_wakes_two_waiters() {
    let (mut world, host) = dual();
    for (what, change) in CHANGES {
        let waiters = [watch(&mut world, &host), watch(&mut world, &host)];
        change(&host);
        assert!(host.tcp.follow_address(), "{what}");
        world.run_ms(1);
        assert!(waiters.iter().all(Handle::is_done), "{what}");
    }
}

/// The call is not needed where something moves: each pass of the runner looks.
#[test]
fn address_changed_a_frame_after_the_change_wakes() {
    let (mut world, host) = dual();
    let raw = world.raw(RAW);
    for (what, change) in CHANGES {
        let waiter = watch(&mut world, &host);
        change(&host);
        raw.port.send(crate::packet::ethernet(host.mac(), raw.mac, 0x88b5, &[0; 46]));
        world.run_ms(2);
        assert!(waiter.is_done(), "{what}");
    }
}

#[test]
fn address_changed_nothing_has_changed_nobody_is_woken() {
    let (mut world, host) = dual();
    let raw = world.raw(RAW_V6);
    let waiters = [watch(&mut world, &host), watch(&mut world, &host)];
    let polls = || waiters.iter().map(Handle::polls).sum::<u64>();
    let before = polls();
    host.stack.set_config_v4(fixed_v4(HOST));
    host.stack.set_config_v6(fixed_v6(HOST_V6));
    assert!(!host.tcp.follow_address());
    let _conn = world.accepted(&host, &raw, 7);
    host.port.set_link(false);
    world.run_ms(10_000);
    host.port.set_link(true);
    world.run_ms(10_000);
    assert!(!waiters.iter().any(Handle::is_done));
    assert_eq!(polls(), before);
}

/// Who asks after a change waits for the next one.
#[test]
fn address_changed_past_changes_do_not_count() {
    let (mut world, host) = dual();
    host.stack.set_config_v6(fixed_v6(NEW_V6));
    assert!(host.tcp.follow_address());
    let waiter = watch(&mut world, &host);
    world.run_ms(1_000);
    assert!(!waiter.is_done());
    host.stack.set_config_v6(fixed_v6(HOST_V6));
    host.tcp.follow_address();
    world.run_ms(1);
    assert!(waiter.is_done());
}

/// As a project does that shows its addresses.
#[test]
fn address_changed_in_a_loop_sees_every_change() {
    let (mut world, host) = dual();
    let (tcp, stack) = (host.tcp, host.stack);
    let seen = std::rc::Rc::<std::cell::RefCell<Vec<_>>>::default();
    let log = seen.clone();
    world.spawn(async move {
        loop {
            tcp.address_changed().await;
            let v4 = stack.config_v4().map(|config| config.address.address());
            let v6 = stack.config_v6().map(|config| config.address.address());
            log.borrow_mut().push((v4, v6));
        }
    });
    world.run_ms(1);
    for (_, change) in CHANGES {
        change(&host);
        host.tcp.follow_address();
        world.run_ms(1);
    }
    let expected = [
        (Some(HOST), Some(NEW_V6)),
        (Some(NEW), Some(NEW_V6)),
        (Some(NEW), None),
        (None, None),
        (None, Some(HOST_V6)),
        (Some(HOST), Some(HOST_V6)),
    ];
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn address_changed_dropped_waiter_leaves_the_other_its_place() {
    let (mut world, host) = dual();
    for _ in 0..5 {
        let gone = watch(&mut world, &host);
        world.cancel(gone);
    }
    let waiters = [watch(&mut world, &host), watch(&mut world, &host)];
    host.stack.set_config_v6(ConfigV6::None);
    host.tcp.follow_address();
    world.run_ms(1);
    assert!(waiters.iter().all(Handle::is_done));
}

#[test]
fn address_changed_three_waiters_sleep_and_are_woken() {
    let (mut world, host) = dual();
    let waiters = [(); 3].map(|()| watch(&mut world, &host));
    world.run_ms(1_000);
    host.stack.set_config_v6(ConfigV6::None);
    host.tcp.follow_address();
    world.run_ms(1);
    assert!(waiters.iter().all(Handle::is_done));
}

/// DHCP's own changes come in the runner's pass: nobody has to call.
#[test]
fn address_changed_lease_taken_back_and_given_again_wakes() {
    let mut config = embassy_net::Config::dhcpv4(Default::default());
    config.ipv6 = fixed_v6(HOST_V6);
    let (mut world, host, server, _stream, _conn) = leased_with(config, 86_400);
    let waiter = watch(&mut world, &host);
    host.port.set_link(false);
    world.run_ms(10);
    assert!(waiter.is_done(), "the lease is gone with the cable");
    let waiter = watch(&mut world, &host);
    host.port.set_link(true);
    server.run(&mut world, 5_000);
    assert!(waiter.is_done(), "the lease is there again");
}

/// A device of small frames has an IPv6 address all the same, though we do not speak from it.
#[test]
fn address_changed_device_of_small_frames_wakes_too() {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| port.mtu = 14 + 1_279);
    let host = world.host_with(port, of_both(HOST, HOST_V6), Default::default());
    let waiter = watch(&mut world, &host);
    host.stack.set_config_v6(ConfigV6::None);
    host.tcp.follow_address();
    world.run_ms(1);
    assert!(waiter.is_done());
}

/// embassy-net has one waker for all of its `wait_*`: it is the application's.
#[test]
fn embassy_nets_waiter_is_woken_beside_ours() {
    let mut world = World::new();
    let host = world.host_with(PortRef::new(Some(mac_of(HOST))), embassy_net::Config::default(), Default::default());
    let (tcp, stack) = (host.tcp, host.stack);
    let up = world.spawn(async move { stack.wait_config_up().await });
    let waiters = [watch(&mut world, &host), watch(&mut world, &host)];
    let in_vain = world.spawn(async move { tcp.connect((RAW_V6, 7), StreamOptions::default()).await.err() });
    assert_eq!(world.join(&in_vain), Some(Error::NoRoute));
    assert!(!host.tcp.follow_address());
    world.run_ms(1_000);
    assert!(!up.is_done());
    stack.set_config_v6(fixed_v6(HOST_V6));
    world.run_ms(1);
    assert!(up.is_done(), "without a call");
    host.tcp.follow_address();
    world.run_ms(1);
    assert!(waiters.iter().all(Handle::is_done));

    let down = world.spawn(async move { stack.wait_config_down().await });
    let waiter = watch(&mut world, &host);
    let raw = world.raw(RAW_V6);
    let _conn = world.accepted(&host, &raw, 7);
    assert!(!down.is_done());
    stack.set_config_v6(ConfigV6::None);
    world.run_ms(1);
    assert!(down.is_done(), "without a call");
    host.tcp.follow_address();
    world.run_ms(1);
    assert!(waiter.is_done());
}

#[test]
fn embassy_nets_waiter_for_the_cable_is_woken_beside_ours() {
    let (mut world, host) = dual();
    let stack = host.stack;
    for is_up in [false, true] {
        let waiter = watch(&mut world, &host);
        let moved =
            world.spawn(async move { if is_up { stack.wait_link_up().await } else { stack.wait_link_down().await } });
        world.run_ms(1_000);
        host.port.set_link(is_up);
        world.run_ms(1);
        assert!(moved.is_done());
        assert!(!waiter.is_done(), "no address has changed");
        world.cancel(waiter);
    }
}

/// The address of either family is enough for it.
#[test]
fn embassy_net_configured_by_ipv6_alone_its_waiter_is_woken_before_a_route_is_asked_for() {
    let mut world = World::new();
    let raw = world.raw(RAW_V6);
    let host = world.host_with(PortRef::new(Some(mac_of(HOST))), embassy_net::Config::default(), Default::default());
    let (tcp, stack) = (host.tcp, host.stack);
    let connecting = world.spawn(async move {
        stack.wait_config_up().await;
        tcp.connect((RAW_V6, 7), StreamOptions::default()).await
    });
    world.run_ms(1_000);
    stack.set_config_v6(ConfigV6::Static(static_v6(HOST_V6, None)));
    let _conn = raw.answer(&mut world, &host);
    assert!(world.join(&connecting).is_ok());
}
