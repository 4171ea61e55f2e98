//! What is easily got wrong: moments weeks apart, callers who come late, limits that are changed while something is out, newcomers who wait.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    CloseReason, Config, EvictBy, Eviction, LinkAddr, ListenOptions, Peer, State, Storage, StreamOptions, Timer,
};

use crate::support::family::over_each;
use crate::support::rig::{Engine, Raw, quick_config, small_listener, small_stream, us};
use crate::support::table::{ACK, RST, SYN, Seg};
use crate::{DAY, SLACK, answer, assert_probe, end_of, keep, left, listener, ms, on_link, secs, with_keep};

/// A window that is closed, opened, closed and opened again, and takes nothing.
#[test]
fn a_flapping_window_is_borne_for_two_user_timeouts() {
    on_link(|rig| {
        let limit = secs(100);
        rig.open_with(StreamOptions { user_timeout: Some(limit), ..small_stream() });
        rig.peer_offers(0);
        rig.send(20);
        rig.shutdown();
        assert_eq!(rig.state(), State::FinWait1);
        let began = rig.engine.now;
        let bound = rig.engine.tcp.budget(rig.handle.unwrap()).unwrap().in_state(State::FinWait1, Peer::Stalling);
        assert_eq!(bound, Some(2 * limit));
        for _ in 0..2 {
            rig.engine.wait(secs(99));
            rig.peer_offers(100);
            rig.engine.wait(ms(1));
            rig.peer_offers(0);
        }
        let (after, reason) = crate::end_after(rig, began);
        assert_eq!(reason, CloseReason::TimedOut(Timer::UserTimeout));
        assert!(after <= 2 * limit + SLACK, "{after:?}");
    });
}

/// After close each acknowledgment is progress too: the user timeout counts from the last one, and the orphan timeout bounds it all.
#[test]
fn an_orphan_that_makes_progress_is_not_ended_by_the_user_timeout() {
    on_link(|rig| {
        rig.open_with(StreamOptions { user_timeout: Some(secs(10)), ..small_stream() });
        rig.send(40);
        rig.close();
        for _ in 0..8 {
            rig.engine.wait(secs(3));
            let m = rig.model;
            let ack = m.snd_una.wrapping_add(5);
            let _ = rig.say_seg(&Seg::new(ACK, m.rcv_nxt, ack, 0, 1_000));
            assert_eq!(end_of(rig), None, "{:?}", rig.engine.now);
        }
    });
}

/// Five probes are out; then the interval is set to the longest there is.
#[test]
fn a_longer_interval_while_probes_are_out_does_not_overflow() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(1), ms(1), 9)));
        rig.engine.wait(ms(1_005));
        let handle = rig.handle.unwrap();
        let long = keep(secs(1), tcp_reset_core::MAX_LIMIT, 1);
        rig.engine.tcp.set_keep_alive(rig.engine.now, handle, Some(long)).unwrap();
        rig.engine.drain();
        answer(rig);
        assert_eq!(left(rig, Timer::KeepAlive), Some(secs(1)));
    });
}

/// A device that slept for weeks has asked nobody meanwhile.
#[test]
fn a_caller_who_comes_weeks_late_has_sent_no_probes() {
    for (days, probes) in [(26, 1), (40, 2), (60, 3)] {
        on_link(|rig| {
            rig.open_with(with_keep(keep(secs(100), secs(10), probes)));
            rig.engine.now = rig.engine.now + days * DAY;
            rig.engine.tcp.handle_timeout(rig.engine.now);
            rig.engine.drain();
            assert_eq!(end_of(rig), None, "{days} days late");
            assert_probe(rig);
        });
    }
}

/// Time is caught up with in steps of 2^30 ms at most, and a probe comes due in one: it is sent once, and given its whole interval from then on.
#[test]
fn a_caller_who_comes_just_later_than_a_step_sends_one_probe() {
    const STEP: Duration = Duration::from_millis(1 << 30);
    for late in [STEP, STEP + ms(1), STEP + ms(9_999), STEP + ms(10_000), 2 * STEP + ms(1), 3 * STEP + ms(9_999)] {
        on_link(|rig| {
            rig.open_with(with_keep(keep(secs(100), secs(10), 3)));
            rig.engine.now = rig.engine.now + late;
            rig.engine.tcp.handle_timeout(rig.engine.now);
            assert_eq!(rig.engine.tcp.audit(), Ok(()), "{late:?}");
            rig.engine.drain();
            assert_probe(rig);
            assert_eq!(left(rig, Timer::KeepAlive), Some(secs(10)), "{late:?}");
        });
        // What wakes the engine is a segment for somebody else.
        on_link(|rig| {
            rig.open_with(with_keep(keep(secs(100), secs(10), 3)));
            rig.engine.now = rig.engine.now + late;
            let family = rig.family;
            let stranger = SocketAddr::new(family.host(2), 9);
            let _ = rig.engine.arrive(stranger, us(family), &Raw { flags: RST, ..Raw::default() });
            let at_once = rig.engine.sent.len();
            rig.engine.tcp.handle_timeout(rig.engine.now);
            rig.engine.drain();
            assert_eq!(at_once + rig.engine.sent.len(), 1, "{late:?}");
            assert_eq!(left(rig, Timer::KeepAlive), Some(secs(10)), "{late:?}");
        });
    }
}

/// The same at a closed window: its peer was not asked either.
#[test]
fn a_caller_who_comes_weeks_late_has_not_asked_for_the_window() {
    on_link(|rig| {
        crate::support::rig::reach::send_window_closed(rig);
        rig.engine.now = rig.engine.now + 40 * DAY;
        rig.engine.tcp.handle_timeout(rig.engine.now);
        rig.engine.drain();
        assert_eq!(end_of(rig), None);
        assert_eq!(rig.engine.only().text.len(), 1);
    });
}

/// The last probe leaves just before the end would be due: it is given its interval.
#[test]
fn a_probe_that_leaves_late_is_given_its_interval() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(100), secs(10), 1)));
        let (at, _) = rig.engine.deadline.unwrap();
        rig.engine.now = at + ms(9_999);
        rig.engine.sent.clear();
        rig.engine.tcp.handle_timeout(rig.engine.now);
        rig.engine.drain();
        assert_probe(rig);
        assert_eq!(left(rig, Timer::KeepAlive), Some(secs(10)));
    });
}

/// What has waited for longer ends at once, also where that is longer than half of what 32 bits of milliseconds count.
#[test]
fn a_window_closed_for_a_month_ends_at_once_when_it_is_limited() {
    for days in [25, 30, 48] {
        on_link(|rig| {
            crate::support::rig::reach::send_window_closed(rig);
            crate::user_timeout::wait_answering(rig, days * DAY);
            let handle = rig.handle.unwrap();
            rig.engine.tcp.set_user_timeout(rig.engine.now, handle, secs(20)).unwrap();
            rig.engine.drain();
            rig.engine.wait(secs(20));
            assert_eq!(end_of(rig), Some(CloseReason::TimedOut(Timer::UserTimeout)), "{days} days");
        });
    }
}

/// The probe was due when the application began to send: what is in flight finds out as well.
#[test]
fn a_due_probe_is_not_sent_behind_data() {
    on_link(|rig| {
        rig.open_with(with_keep(keep(secs(100), secs(10), 3)));
        rig.engine.now = rig.engine.now + secs(100);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        rig.send(10);
        assert_eq!(rig.engine.only().text.len(), 10);
    });
}

/// The handle of a connection that nobody has accepted is known from the list of connections.
#[test]
fn the_first_bytes_limit_does_not_take_the_place_of_accept_timeout() {
    for limit in [None, Some(secs(1_000))] {
        on_link(|rig| {
            rig.listen(ListenOptions { accept_timeout: Some(secs(10)), ..listener(small_stream()) });
            let _ = rig.say(SYN, 0);
            let _ = rig.say(ACK, 0);
            let (handle, _) = rig.engine.tcp.connections().next().unwrap();
            let _ = rig.engine.tcp.set_first_byte_timeout(rig.engine.now, handle, limit);
            rig.engine.drain();
            rig.engine.wait(secs(10));
            assert_eq!(rig.engine.tcp.in_use().0, 0);
        });
    }
}

type Room = Storage<3, 2, 8, 2, 8_192>;

fn evicting() -> Config {
    let eviction = Some(Eviction { by: EvictBy::Idle, idle_for: secs(60) });
    Config { eviction, ..quick_config() }
}

fn say(engine: &mut Engine<'_>, from: SocketAddr, to: SocketAddr, flags: u8, seq: u32, ack: u32) {
    let raw = Raw { seq, ack, flags, wnd: 1_000, ..Raw::default() };
    let _ = engine.arrive(from, to, &raw);
}

/// A client's SYN; returns what it acknowledges.
fn knock(engine: &mut Engine<'_>, from: SocketAddr, to: SocketAddr) -> u32 {
    say(engine, from, to, SYN, 100, 0);
    engine.only().end()
}

fn evicted(engine: &Engine<'_>) -> u32 {
    engine.tcp.counters().closed(CloseReason::Evicted)
}

/// Opens connections from our side until all slots are taken.
fn fill(engine: &mut Engine<'_>, us: SocketAddr, peer: impl Fn(u16) -> SocketAddr) {
    for n in 0..3 {
        let local = SocketAddr::new(us.ip(), 0);
        engine.tcp.connect(engine.now, local, peer(500 + n), Some(LinkAddr::default()), small_stream()).unwrap();
        engine.drain();
        let (local, ack) = (engine.only().src, engine.only().end());
        say(engine, peer(500 + n), local, SYN | ACK, 7, ack);
        engine.wait(secs(1));
    }
}

/// The application takes two seconds to give the evicted handle up, and the newcomer repeats its ACK meanwhile.
#[test]
fn a_slow_application_costs_no_second_connection() {
    over_each(|family| {
        let mut store = Box::new(Room::new());
        let mut engine = Engine::new(&mut *store, evicting());
        let us = us(family);
        let peer = |port| SocketAddr::new(family.host(2), port);
        engine.tcp.listen(us, small_listener()).unwrap();
        fill(&mut engine, us, peer);
        engine.wait(DAY);
        let ack = knock(&mut engine, peer(1), us);
        for _ in 0..20 {
            say(&mut engine, peer(1), us, ACK, 101, ack);
            engine.wait(ms(100));
        }
        assert_eq!(evicted(&engine), 1);
    });
}

/// One waits because its listener's backlog is full; another, at another listener, because there is no slot.
#[test]
fn who_waits_for_a_backlog_counts_as_no_newcomer() {
    over_each(|family| {
        let mut store = Box::new(Room::new());
        let mut engine = Engine::new(&mut *store, evicting());
        let full = us(family);
        let free = SocketAddr::new(full.ip(), 81);
        let peer = |port| SocketAddr::new(family.host(2), port);
        engine.tcp.listen(full, ListenOptions { backlog: 1, ..small_listener() }).unwrap();
        engine.tcp.listen(free, small_listener()).unwrap();
        for n in 1..3 {
            let local = SocketAddr::new(full.ip(), 0);
            engine.tcp.connect(engine.now, local, peer(500 + n), Some(LinkAddr::default()), small_stream()).unwrap();
            engine.drain();
            let (local, ack) = (engine.only().src, engine.only().end());
            say(&mut engine, peer(500 + n), local, SYN | ACK, 7, ack);
        }
        engine.wait(DAY);
        // Two in the handshake before either takes the only place of the backlog.
        let acks = [knock(&mut engine, peer(1), full), knock(&mut engine, peer(2), full)];
        say(&mut engine, peer(1), full, ACK, 101, acks[0]);
        say(&mut engine, peer(2), full, ACK, 101, acks[1]);
        assert_eq!((engine.tcp.in_use(), evicted(&engine)), ((3, 1, 0), 0));
        let ack = knock(&mut engine, peer(3), free);
        for _ in 0..5 {
            say(&mut engine, peer(3), free, ACK, 101, ack);
        }
        assert_eq!(evicted(&engine), 1, "one newcomer, one connection");
        let gone = engine.tcp.connections().find(|(_, status)| status.closed.is_some()).unwrap().0;
        engine.tcp.close(engine.now, gone).unwrap();
        engine.drain();
        assert!(engine.sent.iter().any(|sent| sent.dst == peer(3) && sent.flags == SYN | ACK), "{:?}", engine.sent);
    });
}

/// Idle for longer than 32 bits of milliseconds count (49.7 days).
#[test]
fn idle_for_fifty_days_is_longer_than_for_ten() {
    over_each(|family| {
        let mut store = Box::new(Room::new());
        let mut engine = Engine::new(&mut *store, evicting());
        let us = us(family);
        let peer = |port| SocketAddr::new(family.host(2), port);
        engine.tcp.listen(us, small_listener()).unwrap();
        let open = |engine: &mut Engine<'_>, n: u16| {
            let local = SocketAddr::new(us.ip(), 0);
            engine.tcp.connect(engine.now, local, peer(n), Some(LinkAddr::default()), small_stream()).unwrap();
            engine.drain();
            let (local, ack) = (engine.only().src, engine.only().end());
            say(engine, peer(n), local, SYN | ACK, 7, ack);
        };
        open(&mut engine, 500);
        engine.wait(40 * DAY);
        open(&mut engine, 501);
        open(&mut engine, 502);
        engine.wait(10 * DAY);
        let ack = knock(&mut engine, peer(1), us);
        say(&mut engine, peer(1), us, ACK, 101, ack);
        let gone = engine.tcp.connections().filter(|(_, status)| status.closed.is_some());
        assert_eq!(gone.map(|(_, status)| status.remote).collect::<Vec<_>>(), [peer(500)]);
    });
}

/// Idle for a day and spared, since nothing was owed; then it is asked for something, and a newcomer comes within the round trip.
#[test]
fn who_begins_to_work_again_is_not_without_progress() {
    over_each(|family| {
        let mut store = Box::new(Room::new());
        let eviction = Some(Eviction { by: EvictBy::WithoutProgress, idle_for: secs(60) });
        let mut engine = Engine::new(&mut *store, Config { eviction, ..quick_config() });
        let us = us(family);
        let peer = |port| SocketAddr::new(family.host(2), port);
        engine.tcp.listen(us, small_listener()).unwrap();
        fill(&mut engine, us, peer);
        engine.wait(DAY);
        let ack = knock(&mut engine, peer(1), us);
        say(&mut engine, peer(1), us, ACK, 101, ack);
        assert_eq!(evicted(&engine), 0, "nobody owes anything");
        let (handle, _) = engine.tcp.connections().next().unwrap();
        engine.tcp.send(engine.now, handle, b"x").unwrap();
        engine.drain();
        engine.wait(ms(20));
        say(&mut engine, peer(1), us, ACK, 101, ack);
        assert_eq!(evicted(&engine), 0, "its peer has owed an acknowledgment for 20 ms");
    });
}
