//! Our clock, and what its echoes tell of the round trip (RFC 7323 §4.1, §4.2, §5.4).

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{Config, Instant, Rule, Storage, StreamOptions, Timer};

use super::{CLOCK, on_clock, pass, say, seg, status};
use crate::support::family::{Family, over_each};
use crate::support::packet::segment::timestamps_of;
use crate::support::rig::reach::{SYN_RECEIVED, accepted, open, time_wait_of_listener};
use crate::support::rig::{
    Engine, PEER_ISN, Raw, Rig, START, Store, key, nothing, peer, quick_config, small_listener, small_stream,
};
use crate::support::table::{ACK, SYN, Seg};
use crate::{ms, on_with, seconds};

fn quick_rto() -> Config {
    Config { rto_min: ms(200), ..quick_config() }
}

/// How long what is sent now waits for its acknowledgment.
fn timeout(l: &mut Rig<'_>) -> Duration {
    l.send(1);
    let (at, timer) = l.engine.deadline.unwrap();
    assert_eq!(timer, Timer::Retransmission);
    at.duration_since(l.engine.now)
}

#[test]
fn a_handshake_whose_syn_was_lost_is_timed() {
    for is_first_answered in [false, true] {
        on_with(quick_rto(), |l| {
            l.dial();
            let first = l.engine_stamp;
            let _ = l.engine.next_deadline();
            l.look();
            assert_eq!(l.engine_stamp, first.wrapping_add(1_000));
            pass(l, ms(30));
            if is_first_answered {
                l.engine_stamp = first;
            }
            let _ = say(l, SYN | ACK, 0, CLOCK);
            let rtt = ms(if is_first_answered { 1_030 } else { 30 });
            assert_eq!(status(l).round_trip_time, Some(rtt));
            assert_eq!(timeout(l), (3 * rtt).max(ms(200)), "RFC 6298 §2.2, and not §5.7");
        });
    }
    // Without timestamps nothing is measured.
    on_with(quick_rto(), |l| {
        l.dial();
        let _ = l.engine.next_deadline();
        pass(l, ms(30));
        let _ = l.say(SYN | ACK, 0);
        assert_eq!(status(l).round_trip_time, None);
        assert_eq!(timeout(l), seconds(3));
    });
}

#[test]
fn a_handshake_whose_syn_ack_was_lost_is_timed() {
    on_clock(quick_rto(), SYN_RECEIVED[0], |l| {
        let _ = l.engine.next_deadline();
        l.look();
        pass(l, ms(40));
        let _ = l.say(ACK, 0);
        l.accept();
        assert_eq!(status(l).round_trip_time, Some(ms(40)));
        assert_eq!(timeout(l), ms(200));
    });
}

/// The timeout was doubled; an echo tells which of the copies was answered, so that it is no longer (Karn's algorithm knows only what was sent once).
#[test]
fn what_was_sent_again_is_timed_by_its_echo() {
    on_with(quick_rto(), |l| {
        for stamp in [Some(CLOCK), None] {
            l.stamp = stamp;
            l.open();
            l.send(10);
            for _ in 0..3 {
                assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
                l.look();
            }
            pass(l, ms(30));
            l.peer_acks();
            let rtt = status(l).round_trip_time.unwrap();
            if stamp.is_some() {
                assert!(ms(3) <= rtt && rtt <= ms(6), "an eighth of 30 ms: {rtt:?}");
                assert_eq!(timeout(l), ms(200));
            } else {
                assert_eq!((rtt, timeout(l)), (ms(1), 8 * ms(200)));
            }
            l.abort();
            l.model = nothing(l.isn);
            l.handle = None;
        }
    });
}

/// What goes again at duplicate acknowledgments is timed by its echo as well.
#[test]
fn a_fast_retransmission_is_timed_by_its_echo() {
    for stamp in [Some(CLOCK), None] {
        on_with(quick_rto(), |l| {
            l.stamp = stamp;
            l.open_with(StreamOptions { nagle: false, ..small_stream() });
            for _ in 0..5 {
                l.send(5);
            }
            let mut again = vec![];
            for _ in 0..4 {
                let _ = l.inject(&Seg { ack: l.model.snd_una, ..seg(l, ACK, 0, 0, stamp) });
                again.extend(l.engine.sent.iter().map(|sent| sent.seq));
            }
            assert!(again.contains(&l.model.snd_una), "{again:?}");
            pass(l, ms(80));
            l.peer_acks();
            let rtt = status(l).round_trip_time.unwrap();
            if stamp.is_some() {
                assert!(ms(9) <= rtt && rtt <= ms(12), "an eighth of 80 ms: {rtt:?}");
            } else {
                assert_eq!(rtt, ms(1));
            }
        });
    }
}

#[test]
fn what_is_sent_once_is_timed_once_in_a_round_trip_and_by_our_clock() {
    on_clock(
        quick_rto(),
        |l| l.open_with(StreamOptions { nagle: false, ..small_stream() }),
        |l| {
            l.send(5);
            let first = l.model.snd_nxt;
            pass(l, ms(10));
            l.send(5);
            pass(l, ms(40));
            let _ = l.say_seg(&Seg { ack: first, ..seg(l, ACK, 0, 0, CLOCK) });
            let rtt = status(l).round_trip_time;
            assert!(rtt > Some(ms(5)), "{rtt:?}");
            pass(l, ms(60));
            l.peer_acks();
            assert_eq!(status(l).round_trip_time, rtt);
        },
    );
    // Also while the timeout is still doubled.
    on_clock(quick_rto(), open, |l| {
        l.send(5);
        for _ in 0..2 {
            let _ = l.engine.next_deadline();
        }
        l.engine_stamp = 0;
        l.peer_acks();
        l.send(5);
        pass(l, ms(80));
        l.engine_stamp = l.engine_stamp.wrapping_sub(5_000);
        l.peer_acks();
        let rtt = status(l).round_trip_time.unwrap();
        assert!(ms(9) <= rtt && rtt <= ms(12), "an eighth of 80 ms: {rtt:?}");
    });
}

/// The RTTM rule.
#[test]
fn what_acknowledges_nothing_new_times_nothing() {
    on_clock(quick_rto(), open, |l| {
        l.send(5);
        for _ in 0..2 {
            let _ = l.engine.next_deadline();
        }
        l.look();
        pass(l, ms(30));
        let _ = l.inject(&Seg { ack: l.model.snd_una, ..seg(l, ACK, 0, 5, CLOCK) });
        assert_eq!(status(l).round_trip_time, Some(ms(1)));
    });
}

#[test]
fn an_echo_that_cannot_be_tells_nothing() {
    type Echo = fn(u32) -> u32;
    let echoes: [Echo; 6] = [
        |_| 0,
        |sent| sent.wrapping_add(1),
        |sent| sent.wrapping_add(1_000),
        |sent| sent.wrapping_add(0x7fff_ffff),
        |sent| sent.wrapping_sub(100_000),
        |sent| sent.wrapping_sub(0x8000_0000),
    ];
    for echo in echoes {
        // Of what was sent again.
        on_clock(quick_rto(), open, |l| {
            l.send(10);
            for _ in 0..3 {
                let _ = l.engine.next_deadline();
            }
            l.look();
            l.engine_stamp = echo(l.engine_stamp);
            l.peer_acks();
            assert_eq!(status(l).round_trip_time, Some(ms(1)));
            assert_eq!(timeout(l), 8 * ms(200), "as long as without");
        });
        // Of the handshake.
        on_with(quick_rto(), |l| {
            l.dial();
            let _ = l.engine.next_deadline();
            l.look();
            l.engine_stamp = echo(l.engine_stamp);
            let _ = say(l, SYN | ACK, 0, CLOCK);
            assert_eq!(status(l).round_trip_time, None);
            assert_eq!(timeout(l), seconds(3));
        });
        // Of what was sent once: our own clock tells.
        on_clock(quick_rto(), open, |l| {
            l.send(10);
            pass(l, ms(80));
            l.engine_stamp = echo(l.engine_stamp);
            l.peer_acks();
            let rtt = status(l).round_trip_time.unwrap();
            assert!(ms(9) <= rtt && rtt <= ms(12), "an eighth of 80 ms: {rtt:?}");
        });
    }
}

/// The worst that a peer can say costs it no more than the largest timeout.
#[test]
fn no_echo_makes_the_timeout_longer_than_the_longest() {
    let config = Config { rto_max: seconds(10), ..quick_rto() };
    for late in [1, 1_000, 59_000, 65_535, 65_536, 65_537] {
        on_clock(config, open, |l| {
            for _ in 0..20 {
                l.send(10);
                let _ = l.engine.next_deadline();
                l.look();
                l.engine_stamp = l.engine_stamp.wrapping_sub(late);
                l.peer_acks();
                let timeout = timeout(l);
                assert!(ms(200) <= timeout && timeout <= seconds(10), "{timeout:?}");
                l.look();
                l.peer_acks();
            }
        });
    }
}

// Where our clock begins (§5.4)

/// The timestamp of a SYN between these endpoints at a time.
fn value_of(family: Family, seed: u8, ours: u16, theirs: SocketAddr, at: Instant) -> u32 {
    let mut store = Box::new(Store::new());
    let mut l = Rig::new(Engine::with(&mut *store, quick_config(), key(seed), at), family, PEER_ISN);
    l.us.set_port(ours);
    l.peer = theirs;
    l.dial();
    assert_eq!(l.engine.only().flags, SYN);
    l.engine_stamp
}

#[test]
fn each_pair_of_endpoints_has_a_clock_of_its_own() {
    over_each(|family| {
        let (host, other) = (peer(family), SocketAddr::new(family.host(3), 40_000));
        let mut near = host;
        near.set_port(40_001);
        let values = [
            value_of(family, 1, 80, host, START),
            value_of(family, 1, 81, host, START),
            value_of(family, 1, 80, near, START),
            value_of(family, 1, 80, other, START),
            value_of(family, 2, 80, host, START),
        ];
        for (i, value) in values.iter().enumerate() {
            // Far from each other, and from what would tell how long we have been on.
            let uptime = START.as_micros() / 1_000;
            assert!(values[..i].iter().all(|other| value.abs_diff(*other) > 10_000), "{values:?}");
            assert!(value.abs_diff(uptime as u32) > 10_000 && *value > 10_000, "{values:?}");
        }
        // The same pair, later: it has gone on. So has it after a restart with the same key.
        let later = value_of(family, 1, 80, host, START + ms(12_345));
        assert_eq!(later, values[0].wrapping_add(12_345));
    });
}

#[test]
fn offsets_lie_all_over() {
    let value = |port| {
        let peer = SocketAddr::new(Family::V4.host(2), port);
        value_of(Family::V4, 1, 80, peer, START)
    };
    let mut quarters = [0; 4];
    for port in 1..=64 {
        quarters[(value(port) >> 30) as usize] += 1;
    }
    assert!(quarters.iter().all(|count| *count >= 4), "{quarters:?}");
}

#[test]
fn one_connection_after_another_sees_the_clock_go_on() {
    on_clock(quick_config(), accepted, |l| {
        let mut latest = l.engine_stamp;
        for _ in 0..5 {
            l.abort();
            l.look();
            pass(l, ms(1));
            (l.handle, l.model) = (None, nothing(l.isn));
            // From our side this time, between the same endpoints.
            l.dial();
            assert_eq!(l.engine_stamp, latest.wrapping_add(1));
            latest = l.engine_stamp;
        }
    });
    // In TIME-WAIT, and in the connection that follows.
    on_clock(quick_config(), time_wait_of_listener, |l| {
        let latest = l.engine_stamp;
        pass(l, ms(9));
        let _ = l.inject(&seg(l, SYN, 9, 0, CLOCK + 1));
        let sent = l.engine.only();
        assert_eq!(sent.flags, SYN | ACK);
        assert_eq!(timestamps_of(&sent.options), Some((latest.wrapping_add(9), CLOCK + 1)));
    });
}

#[test]
fn our_clock_wraps() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        rig.dial();
        let to_wrap = ms(u64::from(u32::MAX - rig.engine_stamp));
        // Again, our clock being there.
        let mut store = Box::new(Store::new());
        let start = START + (to_wrap - ms(30));
        let config = Config { rto_min: ms(10), ..quick_config() };
        let mut l = Rig::new(Engine::with(&mut *store, config, key(0x5a), start), family, PEER_ISN);
        l.dial();
        assert_eq!(l.engine_stamp, u32::MAX - 30);
        pass(&mut l, ms(20));
        let _ = say(&mut l, SYN | ACK, 0, CLOCK);
        assert_eq!(l.engine_stamp, u32::MAX - 10);
        // The first copy leaves before, the second one after.
        l.send(5);
        assert_eq!((l.engine.next_deadline(), status(&l).round_trip_time), (Timer::Retransmission, Some(ms(20))));
        let first = l.engine_stamp;
        l.look();
        assert_eq!(l.engine_stamp, first.wrapping_add(60));
        pass(&mut l, ms(20));
        l.peer_acks();
        assert_eq!(status(&l).round_trip_time, Some(ms(20)));
        // An echo from before.
        l.send(5);
        let _ = l.engine.next_deadline();
        l.engine_stamp = u32::MAX - 4;
        let since = l.engine.now.duration_since(start + ms(26));
        l.peer_acks();
        let rtt = status(&l).round_trip_time.unwrap();
        assert!(ms(20) < rtt && rtt <= since, "{rtt:?}");
    });
}

/// A handshake that waits for a slot says nothing of the path: the acknowledgment that ends it echoes what was sent before the wait.
#[test]
fn what_a_handshake_waited_for_is_no_round_trip() {
    for waited in [3, 20] {
        over_each(|family| {
            let mut store = Box::new(Storage::<1, 1, 2, 1, 2_048>::new());
            let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
            let l = &mut rig;
            l.listen(small_listener());
            let other = SocketAddr::new(l.peer.ip(), 9);
            let _ = l.engine.arrive(other, l.us, &Raw { seq: 100, flags: SYN, wnd: 100, ..Raw::default() });
            let ack = l.engine.only().end();
            let _ = l.engine.arrive(other, l.us, &Raw { seq: 101, ack, flags: ACK, wnd: 100, ..Raw::default() });
            l.stamp = Some(CLOCK);
            let _ = l.say(SYN, 0);
            l.engine.wait(ms(10));
            let asks = seg(l, ACK, 0, 5, CLOCK + 10);
            assert_eq!(l.inject(&asks).rule, Rule::SynReceivedNoSlot);
            l.engine.wait(seconds(waited));
            let first = l.engine.tcp.accept(l.engine.now, l.listener.unwrap()).unwrap();
            l.engine.tcp.abort(l.engine.now, first).unwrap();
            l.engine.drain();
            assert_eq!(l.inject(&asks).rule, Rule::PayloadInOrder);
            l.accept();
            assert_eq!(status(l).round_trip_time, None);
        });
    }
}
