//! What time does: recovery after a timeout, the last attempt, probes of a closed window, the quota's window.

use std::time::Duration;

use tcp_reset_core::{Action, CloseReason, Config, Error, Event, Instant, Output, State, StreamOptions, Timer};

use crate::support::family::{Family, over_each};
use crate::support::rig::reach::{Script, knock, open, send_window_closed, time_wait};
use crate::support::rig::{
    LargeStore, Link, PEER_ISN, Raw, Store, World, end_of, peer, quick_config, small_stream, us,
};
use crate::support::table::{ACK, FIN, SYN, Seg};

fn on_link(test: impl Fn(&mut Link<'_>)) {
    on_link_with(quick_config(), test);
}

fn on_link_with(config: Config, test: impl Fn(&mut Link<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Link::new(World::new(&mut *store, config), family, PEER_ISN));
    });
}

/// Serves deadlines until the end; gives how long it took and why it came.
fn wait_for_end(link: &mut Link<'_>) -> (Duration, CloseReason) {
    let began = link.world.now;
    for _ in 0..1_000 {
        let _ = link.world.next_deadline();
        if let Some(reason) = end_of(link) {
            return (link.world.now.duration_since(began), reason);
        }
    }
    panic!("no end");
}

/// First number and length of each segment the last call sent.
fn sent(link: &Link<'_>) -> Vec<(u32, u32)> {
    link.world.sent.iter().map(|sent| (sent.seq, sent.text.len() as u32)).collect()
}

#[test]
fn recovery_sends_nothing_new_before_all_that_was_out_has_arrived() {
    over_each(|family: Family| {
        let mut store = Box::new(LargeStore::new());
        let mut link = Link::new(World::new(&mut *store, quick_config()), family, PEER_ISN);
        link.peer_wnd = 4_000;
        link.open_with(StreamOptions { nagle: false, ..StreamOptions::default() });
        let mss = u32::from(family.default_mss());
        let first = link.model.snd_nxt;
        for _ in 0..3 {
            link.send(mss);
        }
        assert_eq!(link.model.snd_nxt, first.wrapping_add(3 * mss));
        let at = |n: u32| first.wrapping_add(n * mss);
        assert_eq!(link.world.next_deadline(), Timer::Retransmission);
        assert_eq!(sent(&link), [(at(0), mss)], "one segment for the expiration");
        link.send(100);
        assert_eq!(sent(&link), [], "new text waits");
        for n in 1..3 {
            let _ = link.inject(&Seg::new(ACK, link.model.rcv_nxt, at(n), 0, 4_000));
            assert_eq!(sent(&link), [(at(n), mss)], "one segment for each acknowledgment");
        }
        let _ = link.inject(&Seg::new(ACK, link.model.rcv_nxt, at(3), 0, 4_000));
        assert_eq!(sent(&link), [(at(3), 100)], "and then the new text");
    });
}

/// However short R2 is and however long the probing: R2 is kept, one plain timeout is given to the last attempt, and within R2 a single lost
/// answer ends nothing.
#[test]
fn silence_at_a_closed_window_is_ended_by_r2_after_three_probes() {
    for r2 in [1, 5, 30, 100, 1_000].map(Duration::from_secs) {
        for answered in [0, 3, 12] {
            on_link(|link| {
                link.open_with(StreamOptions { r2, ..small_stream() });
                link.peer_offers(0);
                link.send(20);
                for _ in 0..answered {
                    let _ = link.world.next_deadline();
                    link.peer_offers(0);
                }
                let began = link.world.now;
                let mut probes = 0;
                while end_of(link).is_none() {
                    let _ = link.world.next_deadline();
                    probes += link.world.sent.iter().filter(|sent| sent.text.len() == 1).count();
                }
                assert_eq!(end_of(link), Some(CloseReason::TimedOut(Timer::WindowProbe)));
                let after = link.world.now.duration_since(began);
                let most = r2 + Duration::from_secs(1);
                assert!(r2 <= after && after <= most, "R2 {r2:?}: ended after {after:?}");
                assert!(probes >= 3, "R2 {r2:?}: {probes} probes");
            });
        }
    }
}

#[test]
fn an_answer_to_the_last_probe_saves_the_connection() {
    on_link(|link| {
        send_window_closed(link);
        for round in 0..2 {
            for _ in 0..12 {
                let _ = link.world.next_deadline();
                link.peer_offers(0);
            }
            let heard = link.world.now;
            while link.world.now.duration_since(heard) < Duration::from_secs(100) {
                let _ = link.world.next_deadline();
            }
            assert_eq!(link.world.sent.len(), 1, "the last attempt, round {round}");
            assert_eq!(end_of(link), None, "it has its chance, round {round}");
            link.peer_offers(0);
        }
        let (after, _) = wait_for_end(link);
        assert!(after >= Duration::from_secs(100), "ended after {after:?}");
    });
}

#[test]
fn an_answer_to_the_last_attempt_saves_the_connection() {
    on_link(|link| {
        link.open();
        for round in 0..2 {
            link.send(10);
            let began = link.world.now;
            while link.world.now.duration_since(began) < Duration::from_secs(100) {
                let _ = link.world.next_deadline();
            }
            assert_eq!(link.world.sent.len(), 1, "the last attempt, round {round}");
            assert_eq!(end_of(link), None, "it has its chance, round {round}");
            link.peer_acks();
            assert_eq!(link.state(), State::Established);
            assert_eq!(link.world.deadline, None);
        }
        link.send(10);
        let (after, reason) = wait_for_end(link);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert!((100..=103).contains(&after.as_secs()), "ended after {after:?}");
    });
}

/// A FIN that went out as a probe is a FIN: its acknowledgment is told from others.
#[test]
fn a_fin_sent_as_a_probe_counts_as_sent() {
    on_link(|link| {
        link.open();
        link.peer_offers(0);
        link.shutdown();
        assert_eq!(link.world.sent, [], "no room for the FIN");
        link.wait_for_probe();
        let probe = link.world.only().clone();
        assert_eq!((probe.flags & FIN, probe.seq, probe.text.len()), (FIN, link.model.iss.wrapping_add(1), 0));
        let _ = link.inject(&Seg::new(ACK, link.model.rcv_nxt, probe.end(), 0, 0));
        assert_eq!(link.state(), State::FinWait2);
        let handle = link.handle.unwrap();
        assert_eq!(link.world.tcp.send(link.world.now, handle, b"x"), Err(Error::SendShutdown));
        let _ = link.inject(&Seg::new(FIN | ACK, link.model.rcv_nxt, probe.end(), 0, 0));
        assert_eq!(link.state(), State::TimeWait);
    });
}

/// The same for a FIN in its turn, acknowledged or not.
#[test]
fn nothing_can_be_sent_behind_a_fin() {
    on_link(|link| {
        link.open();
        link.shutdown();
        let handle = link.handle.unwrap();
        assert_eq!(link.world.tcp.send(link.world.now, handle, b"x"), Err(Error::SendShutdown));
        link.peer_acks();
        assert_eq!(link.state(), State::FinWait2);
        assert_eq!(link.world.tcp.send(link.world.now, handle, b"x"), Err(Error::SendShutdown));
    });
}

/// The bound of the quota's window that comes after `now`, in microseconds: windows are 2^22 µs long.
fn next_window(now: Instant) -> u64 {
    ((now.as_micros() >> 22) + 1) << 22
}

#[test]
fn the_quota_is_renewed_with_its_window_and_not_before() {
    let scripts: [Script; 3] = [open, knock, time_wait];
    for script in scripts {
        on_link(|link| {
            script(link);
            // Far behind the window, no retransmission of the handshake's.
            let syn = Seg::new(SYN, link.model.rcv_nxt.wrapping_sub(1_000), 0, 0, 100);
            for _ in 0..2 {
                for _ in 0..10 {
                    assert_eq!(link.inject(&syn).action, Action::Challenged);
                }
                let limited = link.world.tcp.counters().limited;
                assert_eq!(link.inject(&syn).action, Action::Limited);
                assert_eq!(link.world.sent, []);
                assert_eq!(link.world.tcp.counters().limited, limited + 1);
                let left = next_window(link.world.now) - link.world.now.as_micros();
                link.world.wait(Duration::from_micros(left - 1));
                assert_eq!(link.inject(&syn).action, Action::Limited, "1 µs before the next window");
                link.world.wait(Duration::from_micros(1));
            }
        });
    }
}

/// The handshake is the first measurement: RTO = SRTT + 4 RTTVAR = 3 R (RFC 6298 §2.2).
#[test]
fn the_handshake_measures_the_round_trip() {
    on_link(|link| {
        link.dial();
        link.world.wait(Duration::from_millis(500));
        let _ = link.say(SYN | ACK, 0);
        link.send(10);
        let sent = link.world.now;
        let _ = link.world.next_deadline();
        assert_eq!(link.world.now.duration_since(sent), Duration::from_millis(1_500));
    });
}

/// RFC 6298 §5.7: nothing is measured where the SYN was sent again, and the path is taken for slow.
#[test]
fn after_a_lost_syn_the_first_timeout_is_three_seconds() {
    on_link(|link| {
        link.dial();
        let _ = link.world.next_deadline();
        assert_eq!(link.status().unwrap().retries, 1);
        let _ = link.say(SYN | ACK, 0);
        assert_eq!(link.status().unwrap().retries, 0);
        link.send(10);
        let sent = link.world.now;
        let _ = link.world.next_deadline();
        assert_eq!(link.world.now.duration_since(sent), Duration::from_secs(3));
    });
}

/// A crossing SYN ends the measurement of ours as a repetition does.
#[test]
fn after_a_crossing_of_syns_nothing_is_measured() {
    on_link(|link| {
        link.dial();
        link.world.wait(Duration::from_millis(900));
        let _ = link.say(SYN, 0);
        let _ = link.say(SYN | ACK, 0);
        assert_eq!(link.state(), State::Established);
        link.send(10);
        let sent = link.world.now;
        let _ = link.world.next_deadline();
        assert_eq!(link.world.now.duration_since(sent), Duration::from_secs(1));
    });
}

/// Of a handshake, a connection and a TIME-WAIT record the earliest deadline is named, whoever comes first.
#[test]
fn the_earliest_deadline_of_all_is_named() {
    use crate::{accept, client, close_orderly, enter, knock, listen, on_world};
    on_world(|world, family| {
        let listener = listen(world, family, 4, 4);
        let began = world.now;
        enter(world, client(family, 0));
        let handle = accept(world, listener);
        close_orderly(world, handle, client(family, 0));
        let named = |world: &World<'_>| world.deadline.map(|(at, timer)| (at.duration_since(began).as_millis(), timer));
        assert_eq!(named(world), Some((60_000, Timer::TimeWait)));
        world.wait(Duration::from_millis(10_000));
        knock(world, client(family, 1)).unwrap();
        assert_eq!(named(world), Some((11_000, Timer::SynReceived)));
        enter(world, client(family, 2));
        let handle = accept(world, listener);
        world.wait(Duration::from_millis(1_500));
        assert_eq!(named(world), Some((13_000, Timer::SynReceived)));
        world.tcp.send(world.now, handle, b"text").unwrap();
        world.drain();
        assert_eq!(named(world), Some((12_500, Timer::Retransmission)));
    });
}

/// What a handshake has spent is spent for the connection too.
#[test]
fn the_quota_outlives_the_handshake() {
    on_link(|link| {
        link.knock();
        let syn = Seg::new(SYN, link.model.rcv_nxt.wrapping_sub(1_000), 0, 0, 100);
        for _ in 0..10 {
            assert_eq!(link.inject(&syn).action, Action::Challenged);
        }
        let _ = link.say(ACK, 0);
        assert_eq!(link.state(), State::Established);
        assert_eq!(link.inject(&syn).action, Action::Limited);
    });
}

/// And what the connection has spent, for TIME-WAIT.
#[test]
fn the_quota_outlives_the_connection() {
    on_link(|link| {
        link.open();
        let syn = Seg::new(SYN, link.model.rcv_nxt.wrapping_sub(1_000), 0, 0, 100);
        for _ in 0..10 {
            assert_eq!(link.inject(&syn).action, Action::Challenged);
        }
        link.shutdown();
        link.peer_acks();
        link.peer_finishes();
        assert_eq!(link.state(), State::TimeWait);
        assert_eq!(link.inject(&syn).action, Action::Limited);
    });
}

/// The next hop is learned, or the device takes something, only after R2: what goes out then for the first time is the last attempt, and is
/// given its timeout.
#[test]
fn a_syn_that_leaves_after_r2_is_given_one_timeout() {
    for is_answered in [false, true] {
        over_each(|family| {
            let mut store = Box::new(Store::new());
            let mut world = World::new(&mut *store, quick_config());
            let (us, peer) = (us(family), peer(family));
            let began = world.now;
            let handle = world.tcp.connect(began, us, peer, None, small_stream()).unwrap();
            world.now = began + Duration::from_secs(500);
            let Output::Transmit(transmit) = world.tcp.poll_output(began) else { panic!("no SYN") };
            transmit.defer();
            assert!(matches!(world.tcp.poll_output(began), Output::Timeout(Some(_))));
            world.tcp.handle_timeout(world.now);
            world.tcp.neighbour_changed();
            world.drain();
            assert_eq!(world.only().flags, SYN);
            let iss = world.only().seq;
            let (due, timer) = world.tcp.next_timeout(world.now).unwrap();
            assert_eq!((due, timer), (world.now + Duration::from_secs(1), Timer::Connect));
            if is_answered {
                let raw = Raw { seq: 7, ack: iss.wrapping_add(1), flags: SYN | ACK, wnd: 500, ..Raw::default() };
                let _ = world.arrive(peer, us, &raw);
                assert_eq!(world.tcp.status(handle).unwrap().state, State::Established);
                world.wait(Duration::from_secs(100));
                assert_eq!(world.tcp.status(handle).unwrap().state, State::Established);
                return;
            }
            assert_eq!(world.next_deadline(), Timer::Connect);
            assert_eq!(world.events, [Event::Closed(handle, CloseReason::TimedOut(Timer::Connect))]);
        });
    }
}

/// The SYN,ACK waits 1, 2, 4 and 8 s, and then for what is left of the limit.
#[test]
fn a_handshake_lasts_as_long_as_its_limit_says() {
    on_link_with(Config { syn_received_timeout: Duration::from_secs(16), ..quick_config() }, |link| {
        knock(link);
        link.world.wait(Duration::from_millis(15_999));
        assert_eq!(link.world.tcp.in_use(), (0, 1, 0));
        link.world.wait(Duration::from_millis(1));
        assert_eq!(link.world.tcp.in_use(), (0, 0, 0));
    });
}

/// The next hop is learned after a while: the SYN's timeout counts from when it leaves.
#[test]
fn a_syn_that_leaves_late_has_its_whole_timeout() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut world = World::new(&mut *store, quick_config());
        world.tcp.connect(world.now, us(family), peer(family), None, small_stream()).unwrap();
        let Output::Transmit(transmit) = world.tcp.poll_output(world.now) else { panic!("no SYN") };
        transmit.defer();
        world.now = world.now + Duration::from_millis(600);
        world.tcp.handle_timeout(world.now);
        world.tcp.neighbour_changed();
        world.drain();
        assert_eq!(world.only().flags, SYN);
        let due = world.tcp.next_timeout(world.now).map(|(at, _)| at);
        assert_eq!(due, Some(world.now + Duration::from_secs(1)));
    });
}

/// §3.8.6.2.1: what is at least half of the largest window the peer has offered is worth a segment, less is not.
#[test]
fn half_of_the_largest_window_is_worth_a_segment() {
    for (wnd, is_sent) in [(20, true), (19, false)] {
        on_link(|link| {
            link.peer_wnd = 40;
            link.open();
            link.peer_offers(wnd);
            link.send(60);
            assert_eq!(
                sent(link).iter().map(|(_, len)| *len).collect::<Vec<_>>(),
                if is_sent { vec![wnd] } else { vec![] }
            );
        });
    }
}
