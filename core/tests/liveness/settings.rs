//! Each limit is taken as it is, up to its bound, and refused beyond it; nothing changes then.

use std::num::NonZeroU8;
use std::time::Duration;

use tcp_reset_core::{
    Budget, Config, Error, EvictBy, Eviction, InvalidSetting, KeepAlive, ListenOptions, MAX_LIMIT, MAX_PERIOD, MAX_R2,
    MAX_SYN_RECEIVED, Setting, StreamOptions, Tcp,
};

use crate::support::family::Family;
use crate::support::rig::{key, peer, quick_config, small_stream, us};
use crate::{OneSlot, keep, left, listener, ms, on_link, secs};

const ONE_MS: Duration = Duration::from_millis(1);
const NANO: Duration = Duration::from_nanos(1);

/// What 14 bits of whole ms, s or min say, and what they do not.
fn said() -> Vec<Duration> {
    vec![ONE_MS, ms(2), ms(16_383), secs(17), secs(16_383), secs(16_440), MAX_LIMIT, secs(60 * 60 * 24)]
}

fn unsaid() -> Vec<Duration> {
    vec![
        Duration::ZERO,
        NANO,
        Duration::from_micros(1_500),
        ONE_MS - NANO,
        ms(16_384),
        ms(17_001),
        secs(16_384),
        secs(16_441),
        MAX_LIMIT - secs(1),
        MAX_LIMIT + NANO,
        MAX_LIMIT + secs(60),
        Duration::MAX,
    ]
}

/// Everything that takes the options of a connection says the same.
fn check_stream(stream: StreamOptions, expected: Result<(), Setting>) {
    let mut store = Box::new(OneSlot::new());
    let mut tcp = Tcp::new(&mut *store, quick_config(), key(1)).unwrap();
    let now = crate::support::rig::START;
    let expected = expected.map_err(Error::InvalidSetting);
    let family = Family::V4;
    let connected = tcp.connect(now, us(family), peer(family), None, stream);
    assert_eq!(connected.map(|_| ()), expected, "connect {stream:?}");
    assert_eq!(tcp.in_use().0, usize::from(expected.is_ok()));
    let listening = tcp.listen(us(family), listener(stream));
    assert_eq!(listening.map(|_| ()), expected, "listen {stream:?}");
    assert_eq!(Budget::of_stream(&quick_config(), &stream).map(|_| ()), expected, "budget of stream {stream:?}");
    let budget = Budget::of_listener(&quick_config(), &listener(stream));
    assert_eq!(budget.map(|_| ()), expected, "budget of listener {stream:?}");
}

fn check_config(config: Config, expected: Result<(), Setting>) {
    let mut store = Box::new(OneSlot::new());
    let made = Tcp::new(&mut *store, config, key(1)).map(|_| ());
    assert_eq!(made, expected.map_err(InvalidSetting), "{config:?}");
    let budget = Budget::of_stream(&config, &small_stream()).map(|_| ());
    assert_eq!(budget, expected.map_err(Error::InvalidSetting), "{config:?}");
}

#[test]
fn limits_of_a_connection_are_taken_as_they_are_or_refused() {
    assert_eq!(MAX_LIMIT, secs(16_383 * 60));
    type With = fn(Duration) -> StreamOptions;
    let exact: [(Setting, With); 4] = [
        (Setting::UserTimeout, |limit| StreamOptions { user_timeout: Some(limit), ..small_stream() }),
        (Setting::IdleTimeout, |limit| StreamOptions { idle_timeout: Some(limit), ..small_stream() }),
        (Setting::KeepAlive, |idle| with_keep(KeepAlive { idle, ..keep(ONE_MS, ONE_MS, 1) })),
        (Setting::KeepAlive, |interval| with_keep(KeepAlive { interval, ..keep(ONE_MS, ONE_MS, 1) })),
    ];
    for (setting, with) in exact {
        for limit in said() {
            check_stream(with(limit), Ok(()));
        }
        for limit in unsaid() {
            check_stream(with(limit), Err(setting));
        }
    }
}

fn with_keep(keep_alive: KeepAlive) -> StreamOptions {
    StreamOptions { keep_alive: Some(keep_alive), ..small_stream() }
}

#[test]
fn keepalive_in_all_is_no_longer_than_the_longest_period() {
    // 12.4 days are 17,895 min and some seconds.
    check_stream(with_keep(keep(MAX_LIMIT, secs(60), 255)), Ok(()));
    check_stream(with_keep(keep(secs(60 * 16_383), secs(1_512 * 60), 1)), Ok(()));
    check_stream(with_keep(keep(secs(60 * 16_383), secs(1_513 * 60), 1)), Err(Setting::KeepAlive));
    check_stream(with_keep(keep(secs(1), secs(4_211), 255)), Err(Setting::KeepAlive));
    check_stream(with_keep(keep(secs(1), secs(4_210), 255)), Ok(()));
    check_stream(with_keep(keep(MAX_LIMIT, MAX_LIMIT, 255)), Err(Setting::KeepAlive));
    assert!(secs(1) + secs(4_210) * 255 <= MAX_PERIOD && secs(1) + secs(4_211) * 255 > MAX_PERIOD);
    assert_eq!(KeepAlive::default().probes, NonZeroU8::new(9).unwrap());
    check_stream(with_keep(KeepAlive::default()), Ok(()));
}

#[test]
fn periods_of_a_connection_and_a_listener_are_taken_as_they_are_or_refused() {
    let first_byte = |limit| StreamOptions { first_byte_timeout: Some(limit), ..small_stream() };
    let accept = |limit| ListenOptions { accept_timeout: Some(limit), ..listener(small_stream()) };
    for limit in [ONE_MS, ms(16_384), MAX_PERIOD - NANO, MAX_PERIOD] {
        check_stream(first_byte(limit), Ok(()));
        assert!(Budget::of_listener(&quick_config(), &accept(limit)).is_ok());
    }
    for limit in [Duration::ZERO, ONE_MS - NANO, MAX_PERIOD + NANO, Duration::MAX] {
        check_stream(first_byte(limit), Err(Setting::FirstByteTimeout));
        let refused = Some(Error::InvalidSetting(Setting::AcceptTimeout));
        assert_eq!(Budget::of_listener(&quick_config(), &accept(limit)).err(), refused);
        let mut store = Box::new(OneSlot::new());
        let mut tcp = Tcp::new(&mut *store, quick_config(), key(1)).unwrap();
        assert_eq!(tcp.listen(us(Family::V4), accept(limit)).err(), refused);
    }
    let r2 = |r2| StreamOptions { r2, ..small_stream() };
    for limit in [secs(1), secs(65_534), MAX_R2] {
        check_stream(r2(limit), Ok(()));
    }
    for limit in [Duration::ZERO, ms(999), ms(1_500), MAX_R2 + NANO, MAX_R2 + secs(1)] {
        check_stream(r2(limit), Err(Setting::R2));
    }
}

#[test]
fn periods_of_the_engine_are_taken_as_they_are_or_refused() {
    type With = fn(Duration) -> Config;
    let settings: [(Setting, Duration, With); 7] = [
        (Setting::ConnectTimeout, MAX_PERIOD, |limit| Config { connect_timeout: limit, ..quick_config() }),
        (Setting::SynReceivedTimeout, MAX_SYN_RECEIVED, |limit| Config {
            syn_received_timeout: limit,
            ..quick_config()
        }),
        (Setting::TimeWait, MAX_PERIOD, |limit| Config { time_wait: limit, ..quick_config() }),
        (Setting::OrphanTimeout, MAX_PERIOD, |limit| Config { orphan_timeout: limit, ..quick_config() }),
        (Setting::RtoMax, MAX_PERIOD, |limit| Config { rto_min: limit.min(ONE_MS), rto_max: limit, ..quick_config() }),
        (Setting::Eviction, MAX_PERIOD, |idle_for| Config {
            eviction: Some(Eviction { by: EvictBy::Idle, idle_for }),
            ..quick_config()
        }),
        (Setting::Eviction, MAX_PERIOD, |idle_for| Config {
            eviction: Some(Eviction { by: EvictBy::WithoutProgress, idle_for }),
            ..quick_config()
        }),
    ];
    for (setting, most, with) in settings {
        for limit in [ONE_MS, ONE_MS + NANO, secs(60), most] {
            check_config(with(limit), Ok(()));
        }
        for limit in [Duration::ZERO, ONE_MS - NANO, most + NANO, Duration::MAX] {
            check_config(with(limit), Err(setting));
        }
    }
}

/// What is refused on a live connection leaves it as it was.
#[test]
fn what_is_refused_on_a_live_connection_changes_nothing() {
    use tcp_reset_core::Timer::{FirstByte, Idle, KeepAlive as Keep, UserTimeout};
    on_link(|rig| {
        let stream = StreamOptions {
            idle_timeout: Some(secs(100)),
            first_byte_timeout: Some(secs(200)),
            user_timeout: Some(secs(300)),
            ..with_keep(keep(secs(50), secs(1), 3))
        };
        rig.open_with(stream);
        let (now, handle) = (rig.engine.now, rig.handle.unwrap());
        let before = (rig.engine.tcp.status(handle), rig.engine.tcp.budget(handle));
        for bad in unsaid() {
            let tcp = &mut rig.engine.tcp;
            let refused = |setting| Err(Error::InvalidSetting(setting));
            assert_eq!(tcp.set_user_timeout(now, handle, bad), refused(Setting::UserTimeout));
            assert_eq!(tcp.set_idle_timeout(now, handle, Some(bad)), refused(Setting::IdleTimeout));
            let bad_keep = Some(keep(bad, secs(1), 1));
            assert_eq!(tcp.set_keep_alive(now, handle, bad_keep), refused(Setting::KeepAlive));
        }
        for bad in [Duration::ZERO, MAX_PERIOD + NANO] {
            let refused = Err(Error::InvalidSetting(Setting::FirstByteTimeout));
            assert_eq!(rig.engine.tcp.set_first_byte_timeout(now, handle, Some(bad)), refused);
        }
        for bad in [Duration::ZERO, ms(1_001), MAX_R2 + secs(1)] {
            let refused = Err(Error::InvalidSetting(Setting::R2));
            assert_eq!(rig.engine.tcp.set_r2(now, handle, bad), refused);
        }
        assert_eq!((rig.engine.tcp.status(handle), rig.engine.tcp.budget(handle)), before);
        let lefts = [Keep, Idle, FirstByte, UserTimeout].map(|timer| left(rig, timer));
        assert_eq!(lefts, [Some(secs(50)), Some(secs(100)), Some(secs(200)), None]);
    });
}

/// And each that can be said holds on a live connection, to the millisecond.
#[test]
fn what_can_be_said_is_kept_exactly() {
    use tcp_reset_core::Timer::{Idle, KeepAlive as Keep, UserTimeout};
    for limit in said() {
        on_link(|rig| {
            rig.open();
            let (now, handle) = (rig.engine.now, rig.handle.unwrap());
            rig.engine.tcp.set_idle_timeout(now, handle, Some(limit)).unwrap();
            rig.engine.tcp.set_keep_alive(now, handle, Some(keep(limit, ONE_MS, 1))).unwrap();
            rig.engine.tcp.set_user_timeout(now, handle, limit).unwrap();
            assert_eq!([Keep, Idle].map(|timer| left(rig, timer)), [Some(limit), Some(limit)]);
            rig.send(1);
            assert_eq!(left(rig, UserTimeout), Some(limit));
        });
    }
}
