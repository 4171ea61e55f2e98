//! A change, a close, a flap of the window, a forged segment in the worst moment.

use std::net::SocketAddr;

use tcp_reset_core::*;

use crate::support::family::over_each;
use crate::support::rig::{Raw, World, quick_config, small_stream, us};
use crate::support::table::{ACK, RST, SYN, Seg};
use crate::*;

#[test]
fn eviction_needs_no_listener() {
    over_each(|family| {
        let mut store = Box::new(Storage::<1, 0, 1, 1, 2_048>::new());
        let eviction = Some(Eviction { by: EvictBy::Idle, idle_for: secs(60) });
        let mut world = World::new(&mut *store, Config { eviction, ..quick_config() });
        let local = SocketAddr::new(us(family).ip(), 0);
        let peer = |port| SocketAddr::new(family.host(2), port);
        let h = world.tcp.connect(world.now, local, peer(1), Some(Hop::default()), small_stream()).unwrap();
        world.drain();
        let _ = world.tcp.connect(world.now, local, peer(2), Some(Hop::default()), small_stream());
        world.drain();
        let _ = world.tcp.abort(world.now, h);
        world.drain();
    });
}
#[test]
fn fewer_probes_while_one_is_out_are_given_their_time() {
    on_link(|link| {
        link.open_with(with_keep(keep(secs(60), secs(10), 9)));
        link.world.wait(secs(60));
        let handle = link.handle.unwrap();
        link.world.now = link.world.now + ms(1);
        link.world.tcp.set_keep_alive(link.world.now, handle, Some(keep(secs(20), secs(5), 1))).unwrap();
        link.world.drain();
        link.world.wait(ms(5));
        assert_eq!(end_of(link), None, "the probe left 6 ms ago");
    });
}

#[test]
fn another_setting_leaves_the_last_attempt_its_time() {
    on_link(|link| {
        link.open_with(StreamOptions { r2: secs(10), ..small_stream() });
        link.send(10);
        let began = link.world.now;
        // R2 at 10 s; the last attempt is given 1 s.
        link.world.wait(ms(10_100));
        assert_eq!(end_of(link), None);
        let handle = link.handle.unwrap();
        link.world.tcp.set_idle_timeout(link.world.now, handle, Some(secs(3_600))).unwrap();
        link.world.drain();
        link.world.wait(ms(50));
        assert_eq!(end_of(link), None, "after {:?}", link.world.now.duration_since(began));
    });
}

#[test]
fn who_closes_while_the_peer_is_silent_ends_within_the_longest() {
    on_link(|link| {
        let stream = StreamOptions { user_timeout: Some(secs(5)), ..with_keep(keep(secs(60), secs(10), 9)) };
        link.open_with(stream);
        let from = link.world.now;
        let bound = link.world.tcp.budget(link.handle.unwrap()).unwrap().longest(Peer::Silent).unwrap();
        link.world.wait(ms(149_900));
        assert_eq!(end_of(link), None);
        link.close();
        let (after, reason) = end_after(link, from);
        assert!(after <= bound + SLACK, "{after:?} {reason:?} bound {bound:?}");
    });
}

#[test]
fn a_flap_that_the_device_does_not_see_restarts_no_user_timeout() {
    on_link(|link| {
        let limit = secs(30);
        link.open_with(StreamOptions { user_timeout: Some(limit), ..small_stream() });
        link.peer_offers(0);
        link.send(20);
        link.shutdown();
        let began = link.world.now;
        for _ in 0..20 {
            for _ in 0..9 {
                link.world.wait(secs(1));
                answer_closed(link);
            }
            let m = link.model;
            // Two segments before the device takes anything.
            for wnd in [100, 0] {
                let raw = Raw { seq: m.rcv_nxt, ack: m.snd_una, flags: ACK, wnd, ..Raw::default() };
                let bytes = raw.bytes(link.peer, link.us);
                let arrival = Arrival { src: link.peer.ip(), dst: link.us.ip(), hop: Hop::default() };
                let _ = link.world.tcp.handle_segment(link.world.now, &arrival, &bytes);
            }
            link.world.drain();
            if end_of(link).is_some() {
                break;
            }
        }
        let after = link.world.now.duration_since(began);
        assert!(end_of(link).is_some(), "lives after {after:?}");
        assert!(after <= 2 * limit + secs(10), "{after:?}");
    });
}

fn answer_closed(link: &mut Link<'_>) {
    let m = link.model;
    let _ = link.inject(&Seg::new(ACK, m.rcv_nxt, m.snd_una, 0, 0));
}

#[test]
fn a_forged_syn_lengthens_nothing() {
    on_link(|link| {
        let stream = StreamOptions { r2: secs(10), user_timeout_option: true, ..small_stream() };
        link.dial_with(stream);
        let options = [28, 4, 0x01, 0x00];
        let raw = Raw { seq: 1, ack: 0, flags: SYN, wnd: 100, options: &options, ..Raw::default() };
        let _ = link.world.arrive(link.peer, link.us, &raw);
        let raw = Raw { seq: 2, ack: 0, flags: RST, wnd: 100, ..Raw::default() };
        let _ = link.world.arrive(link.peer, link.us, &raw);
        let _ = link.say(SYN | ACK, 0);
        link.model.state = State::Established;
        link.send(10);
        let from = link.world.now;
        let (after, reason) = end_after(link, from);
        assert!(after <= secs(12), "{after:?} {reason:?}");
    });
}

#[test]
fn a_close_gives_the_reset_no_more_time() {
    on_link(|link| {
        link.open_with(StreamOptions { idle_timeout: Some(secs(10)), ..small_stream() });
        link.world.now = link.world.now + secs(10);
        let began = link.world.now;
        link.world.tcp.handle_timeout(link.world.now);
        // The device takes nothing.
        while let Output::Event(_) = link.world.tcp.poll_output(link.world.now) {}
        link.world.now = link.world.now + secs(59);
        let handle = link.handle.unwrap();
        link.world.tcp.close(link.world.now, handle).unwrap();
        while let Output::Event(_) = link.world.tcp.poll_output(link.world.now) {}
        link.world.now = began + secs(61);
        link.world.tcp.handle_timeout(link.world.now);
        assert_eq!(link.world.tcp.in_use().0, 0);
    });
}

#[test]
fn keepalive_asks_for_the_next_hop_anew() {
    on_link(|link| {
        link.open_with(with_keep(keep(secs(60), secs(10), 9)));
        for n in 0..9 {
            let (at, _) = link.world.deadline.unwrap();
            link.world.now = at;
            link.world.tcp.handle_timeout(at);
            let offered = match link.world.tcp.poll_output(at) {
                Output::Transmit(probe) => Some(probe.hop()),
                Output::Event(_) | Output::Timeout(_) => None,
            };
            let hop = offered.unwrap_or_else(|| panic!("probe {n} is not offered first"));
            // R1 is 3: the fourth does not trust what the first ones were sent to, nor do the others.
            assert_eq!(hop.is_none(), n >= 3, "probe {n}: {hop:?}");
            link.world.drain();
        }
    });
}

#[test]
fn a_probe_leaves_the_delayed_ack_due() {
    let config = Config { delayed_ack: ms(40), ..quick_config() };
    on_link_with(config, |link| {
        link.open_with(with_keep(keep(ms(10), secs(1), 9)));
        link.world.wait(ms(5));
        link.world.sent.clear();
        let before = link.model.rcv_nxt;
        let _ = link.say(ACK, 7);
        link.world.wait(secs(3));
        let plain =
            link.world.sent.iter().filter(|s| s.seq == link.model.snd_nxt && s.ack == before.wrapping_add(7)).count();
        assert!(plain > 0, "no acceptable ACK of the 7 octets in 3 s");
    });
}

#[test]
fn only_a_timeout_is_advised() {
    on_link(|link| {
        link.open_with(StreamOptions { user_timeout_option: true, ..small_stream() });
        link.world.drain();
        let handle = link.handle.unwrap();
        link.world.tcp.set_keep_alive(link.world.now, handle, Some(keep(secs(10), secs(1), 9))).unwrap();
        link.world.drain();
        assert_eq!(link.world.sent.len(), 0, "{:?}", link.world.sent);
    });
}

#[test]
fn who_closes_late_in_the_back_off_ends_within_the_longest() {
    on_link(|link| {
        let stream = StreamOptions { user_timeout: Some(secs(130)), ..with_keep(keep(secs(60), secs(10), 9)) };
        link.open_with(stream);
        let from = link.world.now;
        let bound = link.world.tcp.budget(link.handle.unwrap()).unwrap().longest(Peer::Silent).unwrap();
        link.world.wait(ms(149_900));
        link.send(10);
        link.world.wait(secs(126));
        assert_eq!(end_of(link), None);
        link.close();
        let (after, reason) = end_after(link, from);
        assert!(after <= bound + SLACK, "{after:?} {reason:?} bound {bound:?}");
    });
}
