//! A change, a close, a flap of the window, a forged segment in the worst moment.

use std::net::SocketAddr;

use tcp_reset_core::*;

use crate::support::family::over_each;
use crate::support::rig::{Engine, Raw, quick_config, small_stream, us};
use crate::support::table::{ACK, RST, SYN, Seg};
use crate::*;

#[test]
fn eviction_needs_no_listener() {
    over_each(|family| {
        let mut store = Box::new(Storage::<1, 0, 1, 1, 2_048>::new());
        let eviction = Some(Eviction { by: EvictBy::Idle, idle_for: secs(60) });
        let mut engine = Engine::new(&mut *store, Config { eviction, ..quick_config() });
        let local = SocketAddr::new(us(family).ip(), 0);
        let peer = |port| SocketAddr::new(family.host(2), port);
        let h = engine.tcp.connect(engine.now, local, peer(1), Some(LinkAddr::default()), small_stream()).unwrap();
        engine.drain();
        let _ = engine.tcp.connect(engine.now, local, peer(2), Some(LinkAddr::default()), small_stream());
        engine.drain();
        let _ = engine.tcp.abort(engine.now, h);
        engine.drain();
    });
}
#[test]
fn fewer_probes_while_one_is_out_are_given_their_time() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(60), secs(10), 9)));
        rig.engine.wait(secs(60));
        let handle = rig.handle.unwrap();
        rig.engine.now = rig.engine.now + ms(1);
        rig.engine.tcp.set_keep_alive(rig.engine.now, handle, Some(keep(secs(20), secs(5), 1))).unwrap();
        rig.engine.drain();
        rig.engine.wait(ms(5));
        assert_eq!(end_of(rig), None, "the probe left 6 ms ago");
    });
}

#[test]
fn another_setting_leaves_the_last_attempt_its_time() {
    on_link(|rig| {
        rig.open_with(StreamOptions { r2: secs(10), ..small_stream() });
        rig.send(10);
        let began = rig.engine.now;
        // R2 at 10 s; the last attempt is given 1 s.
        rig.engine.wait(ms(10_100));
        assert_eq!(end_of(rig), None);
        let handle = rig.handle.unwrap();
        rig.engine.tcp.set_idle_timeout(rig.engine.now, handle, Some(secs(3_600))).unwrap();
        rig.engine.drain();
        rig.engine.wait(ms(50));
        assert_eq!(end_of(rig), None, "after {:?}", rig.engine.now.duration_since(began));
    });
}

#[test]
fn who_closes_while_the_peer_is_silent_ends_within_the_longest() {
    on_link(|rig| {
        let stream = StreamOptions { user_timeout: Some(secs(5)), ..with_keep(keep(secs(60), secs(10), 9)) };
        rig.open_with(stream);
        let from = rig.engine.now;
        let bound = rig.engine.tcp.budget(rig.handle.unwrap()).unwrap().longest(Peer::Silent).unwrap();
        rig.engine.wait(ms(149_900));
        assert_eq!(end_of(rig), None);
        rig.close();
        let (after, reason) = end_after(rig, from);
        assert!(after <= bound + SLACK, "{after:?} {reason:?} bound {bound:?}");
    });
}

#[test]
fn a_flap_that_the_device_does_not_see_restarts_no_user_timeout() {
    on_link(|rig| {
        let limit = secs(30);
        rig.open_with(StreamOptions { user_timeout: Some(limit), ..small_stream() });
        rig.peer_offers(0);
        rig.send(20);
        rig.shutdown();
        let began = rig.engine.now;
        for _ in 0..20 {
            for _ in 0..9 {
                rig.engine.wait(secs(1));
                answer_closed(rig);
            }
            let m = rig.model;
            // Two segments before the device takes anything.
            for wnd in [100, 0] {
                let raw = Raw { seq: m.rcv_nxt, ack: m.snd_una, flags: ACK, wnd, ..Raw::default() };
                let bytes = raw.bytes(rig.peer, rig.us);
                let arrival = Arrival { src: rig.peer.ip(), dst: rig.us.ip(), link_addr: LinkAddr::default() };
                let _ = rig.engine.tcp.handle_segment(rig.engine.now, &arrival, &bytes);
            }
            rig.engine.drain();
            if end_of(rig).is_some() {
                break;
            }
        }
        let after = rig.engine.now.duration_since(began);
        assert!(end_of(rig).is_some(), "lives after {after:?}");
        assert!(after <= 2 * limit + secs(10), "{after:?}");
    });
}

fn answer_closed(rig: &mut Rig<'_>) {
    let m = rig.model;
    let _ = rig.inject(&Seg::new(ACK, m.rcv_nxt, m.snd_una, 0, 0));
}

#[test]
fn a_forged_syn_lengthens_nothing() {
    on_link(|rig| {
        let stream = StreamOptions { r2: secs(10), user_timeout_option: true, ..small_stream() };
        rig.dial_with(stream);
        let options = [28, 4, 0x01, 0x00];
        let raw = Raw { seq: 1, ack: 0, flags: SYN, wnd: 100, options: &options, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
        let raw = Raw { seq: 2, ack: 0, flags: RST, wnd: 100, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
        let _ = rig.say(SYN | ACK, 0);
        rig.model.state = State::Established;
        rig.send(10);
        let from = rig.engine.now;
        let (after, reason) = end_after(rig, from);
        assert!(after <= secs(12), "{after:?} {reason:?}");
    });
}

#[test]
fn a_close_gives_the_reset_no_more_time() {
    on_link(|rig| {
        rig.open_with(StreamOptions { idle_timeout: Some(secs(10)), ..small_stream() });
        rig.engine.now = rig.engine.now + secs(10);
        let began = rig.engine.now;
        rig.engine.tcp.handle_timeout(rig.engine.now);
        // The device takes nothing.
        while let Output::Event(_) = rig.engine.tcp.poll_output(rig.engine.now) {}
        rig.engine.now = rig.engine.now + secs(59);
        let handle = rig.handle.unwrap();
        rig.engine.tcp.close(rig.engine.now, handle).unwrap();
        while let Output::Event(_) = rig.engine.tcp.poll_output(rig.engine.now) {}
        rig.engine.now = began + secs(61);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        assert_eq!(rig.engine.tcp.in_use().0, 0);
    });
}

#[test]
fn keepalive_asks_for_the_next_hop_anew() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(60), secs(10), 9)));
        for n in 0..9 {
            let (at, _) = rig.engine.deadline.unwrap();
            rig.engine.now = at;
            rig.engine.tcp.handle_timeout(at);
            let offered = match rig.engine.tcp.poll_output(at) {
                Output::Transmit(probe) => Some(probe.link_addr()),
                Output::Event(_) | Output::Timeout(_) => None,
            };
            let link_addr = offered.unwrap_or_else(|| panic!("probe {n} is not offered first"));
            // R1 is 3: the fourth does not trust what the first ones were sent to, nor do the others.
            assert_eq!(link_addr.is_none(), n >= 3, "probe {n}: {link_addr:?}");
            rig.engine.drain();
        }
    });
}

#[test]
fn a_probe_leaves_the_delayed_ack_due() {
    let config = Config { delayed_ack: ms(40), ..quick_config() };
    on_link_with(config, |rig| {
        rig.open_with(with_keep(keep(ms(10), secs(1), 9)));
        rig.engine.wait(ms(5));
        // What comes first and is not pushed is acknowledged at once.
        let _ = rig.say(ACK, 1);
        rig.engine.sent.clear();
        let before = rig.model.rcv_nxt;
        let _ = rig.say(ACK, 7);
        rig.engine.wait(secs(3));
        let plain =
            rig.engine.sent.iter().filter(|s| s.seq == rig.model.snd_nxt && s.ack == before.wrapping_add(7)).count();
        assert!(plain > 0, "no acceptable ACK of the 7 bytes in 3 s");
    });
}

#[test]
fn only_a_timeout_is_advised() {
    on_link(|rig| {
        rig.open_with(StreamOptions { user_timeout_option: true, ..small_stream() });
        rig.engine.drain();
        let handle = rig.handle.unwrap();
        rig.engine.tcp.set_keep_alive(rig.engine.now, handle, Some(keep(secs(10), secs(1), 9))).unwrap();
        rig.engine.drain();
        assert_eq!(rig.engine.sent.len(), 0, "{:?}", rig.engine.sent);
    });
}

#[test]
fn who_closes_late_in_the_back_off_ends_within_the_longest() {
    on_link(|rig| {
        let stream = StreamOptions { user_timeout: Some(secs(130)), ..with_keep(keep(secs(60), secs(10), 9)) };
        rig.open_with(stream);
        let from = rig.engine.now;
        let bound = rig.engine.tcp.budget(rig.handle.unwrap()).unwrap().longest(Peer::Silent).unwrap();
        rig.engine.wait(ms(149_900));
        rig.send(10);
        rig.engine.wait(secs(126));
        assert_eq!(end_of(rig), None);
        rig.close();
        let (after, reason) = end_after(rig, from);
        assert!(after <= bound + SLACK, "{after:?} {reason:?} bound {bound:?}");
    });
}
