//! Who has nothing to do sleeps, with both families configured.

use std::net::Ipv6Addr;
use std::time::Duration;

use tcp_reset_core::ListenOptions;

use super::{HOST_V6, Live};
use crate::clock;
use crate::exec::World;
use crate::sleeping::{exchange_once, knock_once};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn idle_connections_of_both_families_for_a_day_nobody_is_woken() {
    let (mut world, host, mut v4, mut v6) = World::dual_connected();
    let tcp = host.tcp;
    let watching = world.spawn(async move { tcp.address_changed().await });
    for live in [&mut v4, &mut v6] {
        live.exchange(&mut world);
    }
    world.run_for(Duration::from_secs(100));
    assert_eq!(clock::next_wake(), None, "no deadline, no timer");
    let before = (host.polls.count.get(), host.port.mark(), watching.polls());
    world.run_for(DAY);
    assert_eq!((host.polls.count.get(), host.port.mark(), watching.polls()), before);
    for live in [&mut v4, &mut v6] {
        live.exchange(&mut world);
    }
}

#[test]
fn two_hosts_idle_for_a_day_nobody_is_woken() {
    let (mut world, a, b) = World::two_dual_hosts();
    let (mut one, mut two) = world.pair_v6(&a, &b, 7);
    world.run_for(Duration::from_secs(100));
    assert_eq!(clock::next_wake(), None, "no deadline, no timer");
    let before = (a.polls.count.get(), b.polls.count.get(), a.port.mark(), b.port.mark());
    world.run_for(DAY);
    assert_eq!((a.polls.count.get(), b.polls.count.get(), a.port.mark(), b.port.mark()), before);
    world.block_on(two.write(b"morning")).unwrap();
    assert_eq!(world.block_on(one.read(&mut [0; 10])), Ok(7));
}

#[test]
fn nothing_open_nothing_is_scheduled() {
    let (mut world, host, _raw) = World::dual_host_and_raw();
    let _listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    world.run_ms(1_000);
    let before = host.polls.count.get();
    assert_eq!(clock::next_wake(), None);
    world.run_for(DAY);
    assert_eq!(host.polls.count.get(), before);
}

#[test]
fn one_exchange_costs_a_handful_of_polls() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let Live { stream, conn } = Live::accept(&mut world, &host, &raw);
    exchange_once(&mut world, &host, stream, conn);
}

#[test]
fn half_open_deadline_fires_in_time_and_then_nothing_is_left() {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let _listener = host.tcp.listen((HOST_V6, 7), ListenOptions::default()).unwrap();
    knock_once(&mut world, &host, &raw);
}
