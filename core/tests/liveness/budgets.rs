//! The budget as the interface tells it: what nothing bounds, what live changes do to it, and that it is used up to the last millisecond.

use std::time::Duration;

use tcp_reset_core::{
    Budget, CloseReason, Config, ConnectionHandle, Error, KeepAlive, ListenOptions, Peer, State, StreamOptions, Timer,
};

use crate::drawn::Drawn;
use crate::holds::Hold;
use crate::support::rig::{Rig, quick_config, small_stream};
use crate::support::table::ACK;
use crate::{Rng, SLACK, each_deadline, end_after, end_of, keep, listener, ms, on_link, on_link_with, secs};

const PEERS: [Peer; 2] = [Peer::Silent, Peer::Stalling];
const OPEN: [State; 3] = [State::Established, State::CloseWait, State::FinWait2];
const FINISHING: [State; 3] = [State::FinWait1, State::Closing, State::LastAck];

fn of_stream(stream: StreamOptions) -> Budget {
    Budget::of_stream(&Config::default(), &stream).unwrap()
}

#[test]
fn by_default_nothing_bounds_an_open_connection() {
    let listener = Budget::of_listener(&Config::default(), &ListenOptions::default()).unwrap();
    for budget in [of_stream(StreamOptions::default()), listener] {
        for peer in PEERS {
            for state in OPEN {
                assert_eq!(budget.in_state(state, peer), None);
            }
            assert_eq!(
                (budget.unaccepted(peer), budget.without_first_byte(peer), budget.longest(peer)),
                (None, None, None)
            );
            assert_eq!(budget.in_state(State::SynSent, peer), Some(secs(240)));
            assert_eq!(budget.in_state(State::Listen, peer), Some(secs(30)));
            assert_eq!(budget.in_state(State::Closed, peer), Some(secs(60)));
        }
        for state in FINISHING {
            assert_eq!(budget.in_state(state, Peer::Silent), Some(secs(160)));
            assert_eq!(budget.in_state(state, Peer::Stalling), None);
        }
        assert_eq!(budget.orphaned(), secs(60));
        assert_eq!(budget.in_state(State::TimeWait, Peer::Silent), Some(secs(60)));
        assert_eq!(budget.in_state(State::TimeWait, Peer::Stalling), None);
    }
}

#[test]
fn keepalive_bounds_the_silent_alone() {
    let budget = of_stream(StreamOptions { keep_alive: Some(KeepAlive::default()), ..StreamOptions::default() });
    let total = secs(7_200 + 9 * 75);
    assert_eq!(budget.in_state(State::Established, Peer::Silent), Some(total + secs(160)));
    assert_eq!(budget.unaccepted(Peer::Silent), Some(total));
    assert_eq!(budget.longest(Peer::Silent), Some(total + secs(160)));
    assert_eq!((budget.in_state(State::Established, Peer::Stalling), budget.longest(Peer::Stalling)), (None, None));
}

#[test]
fn an_idle_timeout_bounds_everybody() {
    let budget = of_stream(StreamOptions { idle_timeout: Some(secs(50)), ..StreamOptions::default() });
    for peer in PEERS {
        for state in OPEN.into_iter().chain(FINISHING) {
            assert_eq!(budget.in_state(state, peer), Some(secs(50)));
        }
        assert_eq!(budget.longest(peer), Some(secs(240)), "the SYN of an active open");
    }
    let options = ListenOptions { accept_timeout: Some(secs(70)), ..listener(small_stream()) };
    let budget = Budget::of_listener(&Config::default(), &options).unwrap();
    assert_eq!((budget.unaccepted(Peer::Stalling), budget.longest(Peer::Stalling)), (Some(secs(70)), None));
}

/// Everything drawn, changed on a live connection: the answer is the formula's about what holds now.
#[test]
fn a_connections_budget_follows_each_live_change() {
    let mut rng = Rng(3);
    for _ in 0..200 {
        let (before, after) = (Drawn::new(&mut rng), Drawn::new(&mut rng));
        on_link_with(before.config, |rig| {
            let mut now_set = before;
            let quiet = |drawn: &mut Drawn| drawn.options.stream.first_byte_timeout = None;
            quiet(&mut now_set);
            rig.open_with(now_set.options.stream);
            check(rig, &now_set);
            change(rig, after.stream());
            now_set.options.stream = after.options.stream;
            quiet(&mut now_set);
            check(rig, &now_set);
            // R2 takes the user timeout's place.
            let (at, handle) = (rig.engine.now, rig.handle.unwrap());
            rig.engine.tcp.set_r2(at, handle, secs(77)).unwrap();
            now_set.options.stream.user_timeout = None;
            now_set.options.stream.r2 = secs(77);
            check(rig, &now_set);
        });
    }
}

fn change(rig: &mut Rig<'_>, to: &StreamOptions) {
    let (now, handle) = (rig.engine.now, rig.handle.unwrap());
    rig.engine.tcp.set_r2(now, handle, to.r2).unwrap();
    if let Some(timeout) = to.user_timeout {
        rig.engine.tcp.set_user_timeout(now, handle, timeout).unwrap();
    }
    rig.engine.tcp.set_keep_alive(now, handle, to.keep_alive).unwrap();
    rig.engine.tcp.set_idle_timeout(now, handle, to.idle_timeout).unwrap();
    rig.engine.drain();
}

fn check(rig: &Rig<'_>, drawn: &Drawn) {
    let budget = rig.engine.tcp.budget(rig.handle.unwrap()).unwrap();
    for peer in PEERS {
        for state in State::ALL {
            assert_eq!(budget.in_state(state, peer), drawn.in_state(state, peer), "{state} {peer:?} {drawn:?}");
        }
        assert_eq!(budget.longest(peer), drawn.longest(false, peer), "{peer:?} {drawn:?}");
    }
    assert_eq!(budget.orphaned(), drawn.config.orphan_timeout);
}

/// The application begins to send right before keepalive would end the connection: the whole of *K*+*P* is used, and not more.
#[test]
fn what_is_sent_at_keepalives_last_moment_is_given_the_users_time() {
    let mut rng = Rng(4);
    let mut tried = 0;
    while tried < 100 {
        let drawn = Drawn::new(&mut rng);
        let Some(keep_alive) = drawn.keep_alive().filter(|&total| total > ms(1)) else { continue };
        let stream = StreamOptions { idle_timeout: None, first_byte_timeout: None, ..*drawn.stream() };
        if stream.keep_alive.is_some_and(|keep| keep.probes.get() > 50) {
            continue;
        }
        tried += 1;
        on_link_with(drawn.config, |rig| {
            rig.open_with(stream);
            let heard = rig.engine.now;
            rig.engine.wait(keep_alive - ms(1));
            assert_eq!(end_of(rig), None);
            rig.send(10);
            let bound = rig.engine.tcp.budget(rig.handle.unwrap()).unwrap().in_state(State::Established, Peer::Silent);
            assert_eq!(bound, Some(keep_alive + drawn.patience()));
            for _ in 0..5_000 {
                if end_of(rig).is_some() {
                    break;
                }
                let _ = rig.engine.next_deadline();
                assert!(rig.engine.now <= heard + bound.unwrap() + SLACK, "{drawn:?}");
            }
            if let Some(timeout) = stream.user_timeout.filter(|_| end_of(rig).is_some()) {
                assert_eq!(rig.engine.now.duration_since(heard), keep_alive - ms(1) + timeout);
            }
        });
    }
}

/// One that does not say goodbye because its device takes nothing: a minute, and the slot is free.
#[test]
fn a_reset_that_no_device_takes_holds_the_slot_for_a_minute() {
    on_link(|rig| {
        rig.open_with(StreamOptions { user_timeout: Some(secs(5)), ..small_stream() });
        rig.send(10);
        rig.engine.now = rig.engine.now + secs(5);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        let handle = rig.handle.take().unwrap();
        rig.engine.tcp.close(rig.engine.now, handle).unwrap();
        let ended = rig.engine.now;
        // The events are told, the segments stay.
        while let tcp_reset_core::Output::Event(_) = rig.engine.tcp.poll_output(rig.engine.now) {}
        let left = |rig: &Rig<'_>| rig.engine.tcp.in_use().0;
        rig.engine.now = ended + ms(59_999);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        assert_eq!(left(rig), 1);
        rig.engine.now = ended + secs(60);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        rig.engine.drain();
        assert_eq!((left(rig), rig.engine.tcp.counters().resets_dropped), (0, 1));
    });
}

/// What is over by a timer still belongs to the application, and says why.
#[test]
fn an_ended_connection_keeps_its_slot_until_its_handle_is_given_up() {
    on_link(|rig| {
        rig.open_with(StreamOptions { keep_alive: Some(keep(secs(10), secs(1), 1)), ..small_stream() });
        let _ = rig.say(ACK, 7);
        let from = rig.engine.now;
        let (_, reason) = end_after(rig, from);
        assert_eq!(reason, CloseReason::TimedOut(Timer::KeepAlive));
        rig.engine.wait(crate::DAY);
        let handle: ConnectionHandle = rig.handle.unwrap();
        assert_eq!(rig.engine.tcp.status(handle).unwrap().closed, Some(reason));
        assert_eq!(rig.recv().len(), 7, "what came before stays readable");
        let mut rest = [0; 4];
        assert_eq!(rig.engine.tcp.recv(rig.engine.now, handle, &mut rest), Err(Error::Closed(reason)));
        assert_eq!(rig.engine.tcp.in_use().0, 1);
        rig.close();
        assert_eq!(rig.engine.tcp.in_use().0, 0);
        assert_eq!(rig.engine.tcp.budget(handle), Err(Error::StaleHandle));
    });
}

/// A peer that answers at a row that nothing bounds lives for weeks in each of them.
#[test]
fn where_nothing_bounds_the_answering_live() {
    for hold in [Hold::Idle, Hold::Entered, Hold::NotAccepted, Hold::FinWait2, Hold::CloseWait, Hold::Waiting] {
        on_link(|rig| {
            let mut drawn = Drawn::new(&mut Rng(1));
            drawn.config = quick_config();
            drawn.options = ListenOptions { stream: small_stream(), ..ListenOptions::default() };
            hold.reach(rig, &drawn, false, Duration::ZERO);
            each_deadline(rig, 30 * crate::DAY, |rig| rig.peer_offers(rig.peer_wnd));
            assert_eq!(rig.engine.tcp.in_use().0, 1, "{hold:?}");
            assert_eq!(rig.state(), hold.state());
        });
    }
}
