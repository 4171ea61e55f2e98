//! What time does: recovery after a timeout, the last attempt, probes of a closed window, the quota's window.

use std::time::Duration;

use tcp_reset_core::{Action, CloseReason, Config, Error, Event, Instant, Output, State, StreamOptions, Timer};

use crate::support::family::{Family, over_each};
use crate::support::rig::reach::{Script, knock, open, send_window_closed, time_wait};
use crate::support::rig::{
    Engine, LargeStore, PEER_ISN, Raw, Rig, Store, end_of, peer, quick_config, small_stream, us,
};
use crate::support::table::{ACK, FIN, SYN, Seg};

fn on_link(test: impl Fn(&mut Rig<'_>)) {
    on_link_with(quick_config(), test);
}

fn on_link_with(config: Config, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Rig::new(Engine::new(&mut *store, config), family, PEER_ISN));
    });
}

/// Serves deadlines until the end; gives how long it took and why it came.
fn wait_for_end(rig: &mut Rig<'_>) -> (Duration, CloseReason) {
    let began = rig.engine.now;
    for _ in 0..1_000 {
        let _ = rig.engine.next_deadline();
        if let Some(reason) = end_of(rig) {
            return (rig.engine.now.duration_since(began), reason);
        }
    }
    panic!("no end");
}

/// First number and length of each segment the last call sent.
fn sent(rig: &Rig<'_>) -> Vec<(u32, u32)> {
    rig.engine.sent.iter().map(|sent| (sent.seq, sent.text.len() as u32)).collect()
}

#[test]
fn recovery_sends_nothing_new_before_all_that_was_out_was_sent_again() {
    over_each(|family: Family| {
        let mut store = Box::new(LargeStore::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        rig.peer_wnd = 4_000;
        rig.open_with(StreamOptions { nagle: false, ..StreamOptions::default() });
        let mss = u32::from(family.default_mss());
        let first = rig.model.snd_nxt;
        for _ in 0..3 {
            rig.send(mss);
        }
        assert_eq!(rig.model.snd_nxt, first.wrapping_add(3 * mss));
        let at = |n: u32| first.wrapping_add(n * mss);
        for what in ["the probe of the tail", "one segment for the expiration"] {
            assert_eq!(rig.engine.next_deadline(), Timer::Retransmission);
            assert_eq!(sent(&rig), [(at(0), mss)], "{what}");
        }
        rig.send(100);
        assert_eq!(sent(&rig), [], "new text waits");
        let _ = rig.inject(&Seg::new(ACK, rig.model.rcv_nxt, at(1), 0, 4_000));
        assert_eq!(sent(&rig), [(at(1), mss), (at(2), mss)], "slow start");
        let _ = rig.inject(&Seg::new(ACK, rig.model.rcv_nxt, at(2), 0, 4_000));
        assert_eq!(sent(&rig), [(at(3), 100)], "and then the new text");
    });
}

/// However short R2 is and however long the probing: R2 is kept, one plain timeout is given to the last attempt, and within R2 a single lost
/// answer ends nothing.
#[test]
fn silence_at_a_closed_window_is_ended_by_r2_after_three_probes() {
    for r2 in [1, 5, 30, 100, 1_000].map(Duration::from_secs) {
        for answered in [0, 3, 12] {
            on_link(|rig| {
                rig.open_with(StreamOptions { r2, ..small_stream() });
                rig.peer_offers(0);
                rig.send(20);
                for _ in 0..answered {
                    let _ = rig.engine.next_deadline();
                    rig.peer_offers(0);
                }
                let began = rig.engine.now;
                let mut probes = 0;
                while end_of(rig).is_none() {
                    let _ = rig.engine.next_deadline();
                    probes += rig.engine.sent.iter().filter(|sent| sent.text.len() == 1).count();
                }
                assert_eq!(end_of(rig), Some(CloseReason::TimedOut(Timer::WindowProbe)));
                let after = rig.engine.now.duration_since(began);
                let most = r2 + Duration::from_secs(1);
                assert!(r2 <= after && after <= most, "R2 {r2:?}: ended after {after:?}");
                assert!(probes >= 3, "R2 {r2:?}: {probes} probes");
            });
        }
    }
}

#[test]
fn an_answer_to_the_last_probe_saves_the_connection() {
    on_link(|rig| {
        send_window_closed(rig);
        for round in 0..2 {
            for _ in 0..12 {
                let _ = rig.engine.next_deadline();
                rig.peer_offers(0);
            }
            let heard = rig.engine.now;
            while rig.engine.now.duration_since(heard) < Duration::from_secs(100) {
                let _ = rig.engine.next_deadline();
            }
            assert_eq!(rig.engine.sent.len(), 1, "the last attempt, round {round}");
            assert_eq!(end_of(rig), None, "it has its chance, round {round}");
            rig.peer_offers(0);
        }
        let (after, _) = wait_for_end(rig);
        assert!(after >= Duration::from_secs(100), "ended after {after:?}");
    });
}

#[test]
fn an_answer_to_the_last_attempt_saves_the_connection() {
    on_link(|rig| {
        rig.open();
        for round in 0..2 {
            rig.send(10);
            let began = rig.engine.now;
            while rig.engine.now.duration_since(began) < Duration::from_secs(100) {
                let _ = rig.engine.next_deadline();
            }
            assert_eq!(rig.engine.sent.len(), 1, "the last attempt, round {round}");
            assert_eq!(end_of(rig), None, "it has its chance, round {round}");
            rig.peer_acks();
            assert_eq!(rig.state(), State::Established);
            assert_eq!(rig.engine.deadline, None);
        }
        rig.send(10);
        let (after, reason) = wait_for_end(rig);
        assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
        assert!((100..=103).contains(&after.as_secs()), "ended after {after:?}");
    });
}

/// A FIN that went out as a probe is a FIN: its acknowledgment is told from others.
#[test]
fn a_fin_sent_as_a_probe_counts_as_sent() {
    on_link(|rig| {
        rig.open();
        rig.peer_offers(0);
        rig.shutdown();
        assert_eq!(rig.engine.sent, [], "no room for the FIN");
        rig.wait_for_probe();
        let probe = rig.engine.only().clone();
        assert_eq!((probe.flags & FIN, probe.seq, probe.text.len()), (FIN, rig.model.iss.wrapping_add(1), 0));
        let _ = rig.inject(&Seg::new(ACK, rig.model.rcv_nxt, probe.end(), 0, 0));
        assert_eq!(rig.state(), State::FinWait2);
        let handle = rig.handle.unwrap();
        assert_eq!(rig.engine.tcp.send(rig.engine.now, handle, b"x"), Err(Error::SendShutdown));
        let _ = rig.inject(&Seg::new(FIN | ACK, rig.model.rcv_nxt, probe.end(), 0, 0));
        assert_eq!(rig.state(), State::TimeWait);
    });
}

/// The same for a FIN in its turn, acknowledged or not.
#[test]
fn nothing_can_be_sent_behind_a_fin() {
    on_link(|rig| {
        rig.open();
        rig.shutdown();
        let handle = rig.handle.unwrap();
        assert_eq!(rig.engine.tcp.send(rig.engine.now, handle, b"x"), Err(Error::SendShutdown));
        rig.peer_acks();
        assert_eq!(rig.state(), State::FinWait2);
        assert_eq!(rig.engine.tcp.send(rig.engine.now, handle, b"x"), Err(Error::SendShutdown));
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
        on_link(|rig| {
            script(rig);
            // Far behind the window, no retransmission of the handshake's.
            let syn = Seg::new(SYN, rig.model.rcv_nxt.wrapping_sub(1_000), 0, 0, 100);
            for _ in 0..2 {
                for _ in 0..10 {
                    assert_eq!(rig.inject(&syn).action, Action::Challenged);
                }
                let limited = rig.engine.tcp.counters().limited;
                assert_eq!(rig.inject(&syn).action, Action::Limited);
                assert_eq!(rig.engine.sent, []);
                assert_eq!(rig.engine.tcp.counters().limited, limited + 1);
                let left = next_window(rig.engine.now) - rig.engine.now.as_micros();
                rig.engine.wait(Duration::from_micros(left - 1));
                assert_eq!(rig.inject(&syn).action, Action::Limited, "1 µs before the next window");
                rig.engine.wait(Duration::from_micros(1));
            }
        });
    }
}

/// The handshake is the first measurement: RTO = SRTT + 4 RTTVAR = 3 R (RFC 6298 §2.2).
#[test]
fn the_handshake_measures_the_round_trip() {
    on_link(|rig| {
        rig.dial();
        rig.engine.wait(Duration::from_millis(500));
        let _ = rig.say(SYN | ACK, 0);
        rig.send(10);
        let sent = rig.engine.now;
        let _ = rig.engine.next_deadline();
        assert_eq!(rig.engine.now.duration_since(sent), Duration::from_millis(1_500));
    });
}

/// RFC 6298 §5.7: nothing is measured where the SYN was sent again, and the path is taken for slow.
#[test]
fn after_a_lost_syn_the_first_timeout_is_three_seconds() {
    on_link(|rig| {
        rig.dial();
        let _ = rig.engine.next_deadline();
        assert_eq!(rig.status().unwrap().retries, 1);
        let _ = rig.say(SYN | ACK, 0);
        assert_eq!(rig.status().unwrap().retries, 0);
        rig.send(10);
        let sent = rig.engine.now;
        let _ = rig.engine.next_deadline();
        assert_eq!(rig.engine.now.duration_since(sent), Duration::from_secs(3));
    });
}

/// A crossing SYN ends the measurement of ours as a repetition does.
#[test]
fn after_a_crossing_of_syns_nothing_is_measured() {
    on_link(|rig| {
        rig.dial();
        rig.engine.wait(Duration::from_millis(900));
        let _ = rig.say(SYN, 0);
        let _ = rig.say(SYN | ACK, 0);
        assert_eq!(rig.state(), State::Established);
        rig.send(10);
        let sent = rig.engine.now;
        let _ = rig.engine.next_deadline();
        assert_eq!(rig.engine.now.duration_since(sent), Duration::from_secs(1));
    });
}

/// Of a handshake, a connection and a TIME-WAIT record the earliest deadline is named, whoever comes first.
#[test]
fn the_earliest_deadline_of_all_is_named() {
    use crate::{accept, client, close_orderly, enter, knock, listen, on_engine};
    on_engine(|engine, family| {
        let listener = listen(engine, family, 4, 4);
        let began = engine.now;
        enter(engine, client(family, 0));
        let handle = accept(engine, listener);
        close_orderly(engine, handle, client(family, 0));
        let named =
            |engine: &Engine<'_>| engine.deadline.map(|(at, timer)| (at.duration_since(began).as_millis(), timer));
        assert_eq!(named(engine), Some((60_000, Timer::TimeWait)));
        engine.wait(Duration::from_millis(10_000));
        knock(engine, client(family, 1)).unwrap();
        assert_eq!(named(engine), Some((11_000, Timer::SynReceived)));
        enter(engine, client(family, 2));
        let handle = accept(engine, listener);
        engine.wait(Duration::from_millis(1_500));
        assert_eq!(named(engine), Some((13_000, Timer::SynReceived)));
        engine.tcp.send(engine.now, handle, b"text").unwrap();
        engine.drain();
        assert_eq!(named(engine), Some((12_500, Timer::Retransmission)));
    });
}

/// What a handshake has spent is spent for the connection too.
#[test]
fn the_quota_outlives_the_handshake() {
    on_link(|rig| {
        rig.knock();
        let syn = Seg::new(SYN, rig.model.rcv_nxt.wrapping_sub(1_000), 0, 0, 100);
        for _ in 0..10 {
            assert_eq!(rig.inject(&syn).action, Action::Challenged);
        }
        let _ = rig.say(ACK, 0);
        assert_eq!(rig.state(), State::Established);
        assert_eq!(rig.inject(&syn).action, Action::Limited);
    });
}

/// And what the connection has spent, for TIME-WAIT.
#[test]
fn the_quota_outlives_the_connection() {
    on_link(|rig| {
        rig.open();
        let syn = Seg::new(SYN, rig.model.rcv_nxt.wrapping_sub(1_000), 0, 0, 100);
        for _ in 0..10 {
            assert_eq!(rig.inject(&syn).action, Action::Challenged);
        }
        rig.shutdown();
        rig.peer_acks();
        rig.peer_finishes();
        assert_eq!(rig.state(), State::TimeWait);
        assert_eq!(rig.inject(&syn).action, Action::Limited);
    });
}

/// The next hop is learned, or the device takes something, only after R2: what goes out then for the first time is the last attempt, and is
/// given its timeout.
#[test]
fn a_syn_that_leaves_after_r2_is_given_one_timeout() {
    for is_answered in [false, true] {
        over_each(|family| {
            let mut store = Box::new(Store::new());
            let mut engine = Engine::new(&mut *store, quick_config());
            let (us, peer) = (us(family), peer(family));
            let began = engine.now;
            let handle = engine.tcp.connect(began, us, peer, None, small_stream()).unwrap();
            engine.now = began + Duration::from_secs(500);
            let Output::Transmit(transmit) = engine.tcp.poll_output(began) else { panic!("no SYN") };
            transmit.defer();
            assert!(matches!(engine.tcp.poll_output(began), Output::Timeout(Some(_))));
            engine.tcp.handle_timeout(engine.now);
            engine.tcp.neighbor_changed();
            engine.drain();
            assert_eq!(engine.only().flags, SYN);
            let iss = engine.only().seq;
            let (due, timer) = engine.tcp.next_timeout(engine.now).unwrap();
            assert_eq!((due, timer), (engine.now + Duration::from_secs(1), Timer::Connect));
            if is_answered {
                let raw = Raw { seq: 7, ack: iss.wrapping_add(1), flags: SYN | ACK, wnd: 500, ..Raw::default() };
                let _ = engine.arrive(peer, us, &raw);
                assert_eq!(engine.tcp.status(handle).unwrap().state, State::Established);
                engine.wait(Duration::from_secs(100));
                assert_eq!(engine.tcp.status(handle).unwrap().state, State::Established);
                return;
            }
            assert_eq!(engine.next_deadline(), Timer::Connect);
            assert_eq!(engine.events, [Event::Closed(handle, CloseReason::TimedOut(Timer::Connect))]);
        });
    }
}

/// The SYN,ACK waits 1, 2, 4 and 8 s, and then for what is left of the limit.
#[test]
fn a_handshake_lasts_as_long_as_its_limit_says() {
    on_link_with(Config { syn_received_timeout: Duration::from_secs(16), ..quick_config() }, |rig| {
        knock(rig);
        rig.engine.wait(Duration::from_millis(15_999));
        assert_eq!(rig.engine.tcp.in_use(), (0, 1, 0));
        rig.engine.wait(Duration::from_millis(1));
        assert_eq!(rig.engine.tcp.in_use(), (0, 0, 0));
    });
}

/// The next hop is learned after a while: the SYN's timeout counts from when it leaves.
#[test]
fn a_syn_that_leaves_late_has_its_whole_timeout() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut engine = Engine::new(&mut *store, quick_config());
        engine.tcp.connect(engine.now, us(family), peer(family), None, small_stream()).unwrap();
        let Output::Transmit(transmit) = engine.tcp.poll_output(engine.now) else { panic!("no SYN") };
        transmit.defer();
        engine.now = engine.now + Duration::from_millis(600);
        engine.tcp.handle_timeout(engine.now);
        engine.tcp.neighbor_changed();
        engine.drain();
        assert_eq!(engine.only().flags, SYN);
        let due = engine.tcp.next_timeout(engine.now).map(|(at, _)| at);
        assert_eq!(due, Some(engine.now + Duration::from_secs(1)));
    });
}

/// §3.8.6.2.1: what is at least half of the largest window the peer has offered is worth a segment; of a small window a quarter, if it fills
/// the window. Less is not.
#[test]
fn half_of_the_largest_window_is_worth_a_segment() {
    for (wnd, is_sent) in [(20, true), (10, true), (9, false)] {
        on_link(|rig| {
            rig.peer_wnd = 40;
            rig.open();
            rig.peer_offers(wnd);
            rig.send(60);
            assert_eq!(
                sent(rig).iter().map(|(_, len)| *len).collect::<Vec<_>>(),
                if is_sent { vec![wnd] } else { vec![] }
            );
        });
    }
}
