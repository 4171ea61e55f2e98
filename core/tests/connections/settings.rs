//! Settings and options out of their bounds are refused.

use std::net::IpAddr;
use std::time::Duration;

use tcp_reset_core::{
    Config, Error, InvalidSetting, LinkAddr, ListenOptions, MAX_BUFFER, MAX_DELAYED_ACK, MAX_MSS, MAX_PERIOD, MAX_R2,
    MAX_SYN_RECEIVED, MIN_PERIOD, MSS_FLOOR, Network, PortRange, Setting, StreamOptions, Tcp,
};

use crate::support::rig;
use crate::support::rig::{START, Store, small_stream};
use crate::{on, seconds};

#[test]
fn setting_out_of_its_bounds_is_refused() {
    let of = Config::default;
    let ms = Duration::from_millis;
    let beyond = MAX_PERIOD + ms(1);
    let cases = [
        (Config { mss: Some(MSS_FLOOR - 1), ..of() }, Setting::Mss),
        (Config { mss: Some(MAX_MSS + 1), ..of() }, Setting::Mss),
        (Config { rto_min: seconds(61), ..of() }, Setting::RtoMin),
        (Config { rto_min: ms(0), rto_max: ms(0), ..of() }, Setting::RtoMax),
        (Config { rto_max: beyond, ..of() }, Setting::RtoMax),
        (Config { connect_timeout: ms(0), ..of() }, Setting::ConnectTimeout),
        (Config { connect_timeout: beyond, ..of() }, Setting::ConnectTimeout),
        (Config { syn_received_timeout: ms(0), ..of() }, Setting::SynReceivedTimeout),
        (Config { syn_received_timeout: MAX_SYN_RECEIVED + ms(1), ..of() }, Setting::SynReceivedTimeout),
        (Config { time_wait: ms(0), ..of() }, Setting::TimeWait),
        (Config { time_wait: beyond, ..of() }, Setting::TimeWait),
        (Config { orphan_timeout: ms(0), ..of() }, Setting::OrphanTimeout),
        (Config { orphan_timeout: beyond, ..of() }, Setting::OrphanTimeout),
        (Config { delayed_ack: MAX_DELAYED_ACK + ms(1), ..of() }, Setting::DelayedAck),
        (Config { ephemeral_ports: PortRange { first: 0, last: 9 }, ..of() }, Setting::EphemeralPorts),
        (Config { ephemeral_ports: PortRange { first: 9, last: 8 }, ..of() }, Setting::EphemeralPorts),
    ];
    for (config, setting) in cases {
        let mut store = Box::new(Store::new());
        let refused = Tcp::new(&mut *store, config, rig::key(1)).err();
        assert_eq!(refused, Some(InvalidSetting(setting)), "{config:?}");
        assert!(!InvalidSetting(setting).to_string().is_empty());
    }
    let at_their_bounds = [
        Config { mss: Some(MSS_FLOOR), rto_min: ms(0), rto_max: MIN_PERIOD, connect_timeout: MIN_PERIOD, ..of() },
        Config { mss: Some(MAX_MSS), rto_min: MAX_PERIOD, rto_max: MAX_PERIOD, connect_timeout: MAX_PERIOD, ..of() },
        Config { syn_received_timeout: MAX_SYN_RECEIVED, time_wait: MAX_PERIOD, orphan_timeout: MAX_PERIOD, ..of() },
        Config { delayed_ack: MAX_DELAYED_ACK, ephemeral_ports: PortRange { first: 65_535, last: 65_535 }, ..of() },
    ];
    for config in at_their_bounds {
        assert!(Tcp::new(&mut *Box::new(Store::new()), config, rig::key(1)).is_ok(), "{config:?}");
    }
}

#[test]
fn option_out_of_its_bounds_is_refused() {
    on(|l| {
        let refused = [
            (StreamOptions { r1: 0, ..small_stream() }, Setting::R1),
            (StreamOptions { r2: Duration::ZERO, ..small_stream() }, Setting::R2),
            (StreamOptions { r2: Duration::from_millis(1_500), ..small_stream() }, Setting::R2),
            (StreamOptions { r2: MAX_R2 + seconds(1), ..small_stream() }, Setting::R2),
        ];
        for (stream, setting) in refused {
            let connected = l.engine.tcp.connect(START, l.us, l.peer, Some(LinkAddr::default()), stream);
            assert_eq!(connected, Err(Error::InvalidSetting(setting)));
            let options = ListenOptions { stream, ..ListenOptions::default() };
            assert_eq!(l.engine.tcp.listen(l.us, options), Err(Error::InvalidSetting(setting)));
        }
        const V4: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;
        static LONG: [Network; 1] = [Network { addr: IpAddr::V4(V4), prefix: 33 }];
        static GUISE: [Network; 1] = [Network { addr: IpAddr::V6(V4.to_ipv6_mapped()), prefix: 120 }];
        for networks in [&LONG, &GUISE] {
            let options = ListenOptions { accept_from: Some(networks), ..rig::small_listener() };
            assert_eq!(l.engine.tcp.listen(l.us, options), Err(Error::InvalidSetting(Setting::AcceptFrom)));
        }
        let stream = StreamOptions { rx_buffer: MAX_BUFFER, ..small_stream() };
        let options = ListenOptions { stream, ..ListenOptions::default() };
        assert_eq!(l.engine.tcp.listen(l.us, options), Err(Error::NoBuffer), "more than the whole pool");
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
        let bounds = StreamOptions { r1: 255, r2: MAX_R2, ..small_stream() };
        assert!(l.engine.tcp.connect(START, l.us, l.peer, Some(LinkAddr::default()), bounds).is_ok());
    });
}
