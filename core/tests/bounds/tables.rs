//! Each table, queue and list, full and one more; and a listener whose connections end in every way.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    Arrival, CloseReason, ConnectionHandle, Error, Event, LAST_RESETS, LinkAddr, ListenOptions, ListenerHandle, Output,
    Overflow, ResetKind, ResetReason, Rule, State, Storage, StreamOptions, Timer,
};

use crate::support::family::{Family, over_each};
use crate::support::rig::reach::open;
use crate::support::rig::{Engine, PEER_ISN, Raw, Rig, Store, quick_config, small_stream, us};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};
use crate::support::world::Rng;
use crate::{
    CLIENT_ISN, HALF_OPEN, LISTENERS, SLOTS, TIME_WAIT, abort, accept, client, close_orderly, complete, enter, knock,
    listen, listener, on_engine, reset, tell,
};

/// What the queue of replies holds.
const REPLIES: usize = 8;

#[test]
fn every_way_out_of_a_handshake_gives_its_place_back() {
    let ways: [fn(&mut Engine<'_>, ListenerHandle, SocketAddr); 4] = [
        |engine, listener, from| {
            enter(engine, from);
            let handle = accept(engine, listener);
            abort(engine, handle);
        },
        |engine, _, from| {
            knock(engine, from).unwrap();
            reset(engine, from);
        },
        |engine, _, from| {
            knock(engine, from).unwrap();
            engine.wait(Duration::from_secs(31));
        },
        |engine, _, from| {
            enter(engine, from);
            reset(engine, from);
        },
    ];
    for way in ways {
        on_engine(|engine, family| {
            let listener = listen(engine, family, 2, 2);
            for n in 0..300 {
                way(engine, listener, client(family, n));
                assert_eq!(engine.tcp.in_use(), (0, 0, 0), "after {n}");
            }
            for n in 300..302 {
                assert!(knock(engine, client(family, n)).is_some(), "both places are free");
            }
            assert_eq!(knock(engine, client(family, 302)), None, "and there are no more");
        });
    }
}

/// Every order in which some of four can end.
fn ends() -> Vec<Vec<u16>> {
    let digits = (0..625).map(|n: u16| [n % 5, n / 5 % 5, n / 25 % 5, n / 125]);
    let orders = digits.filter_map(|digits| {
        let order: Vec<u16> = digits.into_iter().take_while(|&digit| digit < 4).collect();
        let is_rest_unused = digits[order.len()..].iter().all(|&digit| digit == 4);
        let is_each_once = (0..4).all(|n| order.iter().filter(|&&digit| digit == n).count() <= 1);
        (is_rest_unused && is_each_once).then_some(order)
    });
    orders.collect()
}

#[test]
fn connections_that_end_unaccepted_leave_the_backlog_in_any_order() {
    assert_eq!(ends().len(), 65);
    for order in ends() {
        on_engine(|engine, family| {
            let listener = listen(engine, family, 4, 4);
            let mut expected: Vec<u16> = (0..4).collect();
            for n in 0..4 {
                enter(engine, client(family, n));
            }
            for &n in &order {
                reset(engine, client(family, n));
                expected.retain(|&other| other != n);
            }
            assert_eq!(engine.tcp.counters().lost_before_accept as usize, order.len());
            for n in 10..10 + order.len() as u16 {
                enter(engine, client(family, n));
                expected.push(n);
            }
            assert_eq!(knock(engine, client(family, 20)), None, "the backlog is full again");
            for &n in &expected {
                let handle = accept(engine, listener);
                assert_eq!(engine.tcp.status(handle).unwrap().remote, client(family, n), "{order:?}");
                abort(engine, handle);
            }
            assert_eq!(engine.tcp.accept(engine.now, listener), Err(Error::WouldBlock));
            assert_eq!(engine.tcp.in_use(), (0, 0, 0));
            enter(engine, client(family, 30));
            let handle = accept(engine, listener);
            assert_eq!(engine.tcp.status(handle).unwrap().remote, client(family, 30));
        });
    }
}

/// Whoever finds a connection among all and closes it has it; `accept` gives the others.
#[test]
fn a_connection_that_is_closed_unaccepted_leaves_the_backlog() {
    for closed in 0..3 {
        on_engine(|engine, family| {
            let listener = listen(engine, family, 3, 3);
            let acks: Vec<u32> = (0..3).map(|n| enter(engine, client(family, n))).collect();
            let found = engine.tcp.connections().find(|(_, status)| status.remote == client(family, closed));
            engine.tcp.close(engine.now, found.unwrap().0).unwrap();
            engine.drain();
            let fin = engine.sent.iter().find(|sent| sent.dst == client(family, closed)).expect("our FIN");
            assert_eq!((fin.flags, fin.seq), (FIN | ACK, acks[usize::from(closed)]));
            assert_eq!(engine.tcp.close(engine.now, found.unwrap().0), Err(Error::StaleHandle));
            for n in (0..3).filter(|&n| n != closed) {
                let handle = accept(engine, listener);
                assert_eq!(engine.tcp.status(handle).unwrap().remote, client(family, n));
                abort(engine, handle);
            }
            assert_eq!(engine.tcp.accept(engine.now, listener), Err(Error::WouldBlock));
            let _ = tell(engine, client(family, closed), FIN | ACK, CLIENT_ISN + 1, acks[usize::from(closed)] + 1);
            assert_eq!(engine.tcp.in_use(), (0, 0, 1), "its record in TIME-WAIT");
            assert_eq!(engine.tcp.counters().lost_before_accept, 0);
            for n in 10..13 {
                enter(engine, client(family, n));
            }
            assert_eq!(knock(engine, client(family, 20)), None, "the backlog has room for three as before");
        });
    }
}

/// Many clients of one listener, each step one of them or the application does something.
struct Crowd<'w, 's> {
    engine: &'w mut Engine<'s>,
    family: Family,
    listener: ListenerHandle,
    rng: Rng,
    /// What acknowledges our SYN, by client.
    acks: HashMap<u16, u32>,
    held: Vec<(ConnectionHandle, SocketAddr)>,
}

impl Crowd<'_, '_> {
    fn step(&mut self) {
        let n = self.rng.below(40) as u16;
        let from = client(self.family, n);
        let state = self.engine.tcp.state_of(us(self.family), from);
        match self.rng.below(12) {
            0..4 if state == State::Listen => {
                if let Some(ack) = knock(self.engine, from) {
                    self.acks.insert(n, ack);
                }
            }
            4..7 if state == State::SynReceived => {
                let _ = complete(self.engine, from, self.acks[&n]);
            }
            7 if matches!(state, State::SynReceived | State::Established) => reset(self.engine, from),
            8 => {
                if let Ok(handle) = self.engine.tcp.accept(self.engine.now, self.listener) {
                    let remote = self.engine.tcp.status(handle).unwrap().remote;
                    self.held.push((handle, remote));
                    self.engine.drain();
                }
            }
            9 if !self.held.is_empty() => {
                let at = self.rng.below(self.held.len() as u64) as usize;
                let (handle, remote) = self.held.swap_remove(at);
                if self.rng.percent(50) && self.engine.tcp.state_of(us(self.family), remote) == State::Established {
                    close_orderly(self.engine, handle, remote);
                } else {
                    abort(self.engine, handle);
                }
            }
            10 => self.engine.wait(Duration::from_millis(self.rng.below(1_500))),
            11 if self.rng.percent(5) => self.engine.wait(Duration::from_secs(31)),
            _ => {}
        }
        self.give_back();
    }

    /// Returns the slots back whose end was told.
    fn give_back(&mut self) {
        for event in std::mem::take(&mut self.engine.events) {
            if let Event::Closed(handle, _) = event
                && let Some(at) = self.held.iter().position(|(held, _)| *held == handle)
            {
                self.held.swap_remove(at);
                self.engine.tcp.close(self.engine.now, handle).unwrap();
            }
        }
    }
}

#[test]
fn thousands_of_connections_end_in_every_way_and_the_listener_still_serves() {
    on_engine(|engine, family| {
        let options = ListenOptions { overflow: Overflow::Refuse, ..listener(4, 6) };
        let listener = engine.tcp.listen(us(family), options).unwrap();
        let (acks, held) = (HashMap::new(), Vec::new());
        let mut crowd = Crowd { engine, family, listener, rng: Rng::new(7), acks, held };
        for _ in 0..60_000 {
            crowd.step();
        }
        let held = crowd.held;
        for (handle, _) in held {
            abort(engine, handle);
        }
        while let Ok(handle) = engine.tcp.accept(engine.now, listener) {
            abort(engine, handle);
        }
        engine.wait(Duration::from_secs(200));
        assert_eq!(engine.tcp.in_use(), (0, 0, 0));
        assert_eq!(engine.tcp.pool_in_use(), 0);
        let counters = engine.tcp.counters();
        let happened = [
            counters.rule(Rule::AckEstablishes),
            counters.rule(Rule::ListenSynRefused),
            counters.rule(Rule::RstSynReceivedPassive),
            counters.half_open_expired,
            counters.lost_before_accept,
            counters.time_wait_evicted,
            counters.closed(CloseReason::Aborted),
            counters.closed(CloseReason::ResetByPeer),
            counters.closed(CloseReason::LocalClosed),
            counters.closed(CloseReason::TimedOut(Timer::SynReceived)),
        ];
        assert!(happened.iter().all(|&times| times >= 50), "each of it happened often: {happened:?}");
        for n in 100..104 {
            enter(engine, client(family, n));
        }
        assert_eq!(tell(engine, client(family, 104), SYN, 1, 0).rule, Rule::ListenSynRefused, "four may wait");
        for n in 100..104 {
            let handle = accept(engine, listener);
            assert_eq!(engine.tcp.status(handle).unwrap().remote, client(family, n));
        }
        for n in 110..116 {
            assert!(knock(engine, client(family, n)).is_some());
        }
        assert_eq!(tell(engine, client(family, 116), SYN, 1, 0).rule, Rule::ListenSynRefused, "six may shake hands");
    });
}

fn connect(
    engine: &mut Engine<'_>,
    family: Family,
    port: u16,
    stream: StreamOptions,
) -> Result<ConnectionHandle, Error> {
    let local = SocketAddr::new(us(family).ip(), port);
    let handle = engine.tcp.connect(engine.now, local, client(family, 0), Some(LinkAddr::default()), stream);
    engine.drain();
    handle
}

#[test]
fn one_connection_more_than_slots_is_refused_until_one_is_free() {
    on_engine(|engine, family| {
        let listener = listen(engine, family, 4, 4);
        let ports = 2_000..2_000 + SLOTS as u16;
        let handles: Vec<_> = ports.map(|port| connect(engine, family, port, small_stream()).unwrap()).collect();
        assert_eq!(connect(engine, family, 3_000, small_stream()), Err(Error::NoSlot));
        let from = client(family, 1);
        let ack = knock(engine, from).unwrap();
        assert_eq!(complete(engine, from, ack), Rule::SynReceivedNoSlot);
        assert_eq!(engine.tcp.in_use(), (SLOTS, 1, 0), "the handshake waits");
        abort(engine, handles[3]);
        assert_eq!(complete(engine, from, ack), Rule::AckEstablishes);
        let accepted = accept(engine, listener);
        abort(engine, accepted);
        assert!(connect(engine, family, 3_000, small_stream()).is_ok());
    });
}

#[test]
fn one_listener_more_than_entries_is_refused_until_one_is_free() {
    on_engine(|engine, family| {
        let at = |n: usize| SocketAddr::new(us(family).ip(), 100 + n as u16);
        let all: Vec<_> = (0..LISTENERS).map(|n| engine.tcp.listen(at(n), listener(1, 1)).unwrap()).collect();
        assert_eq!(engine.tcp.listen(at(LISTENERS), listener(1, 1)), Err(Error::NoListener));
        assert_eq!(engine.tcp.listen(at(0), listener(1, 1)), Err(Error::AddressInUse));
        engine.tcp.unlisten(engine.now, all[1]).unwrap();
        assert!(engine.tcp.listen(at(LISTENERS), listener(1, 1)).is_ok());
    });
}

#[test]
fn one_handshake_more_than_entries_meets_the_overflow_policy() {
    for (overflow, rule) in [(Overflow::Drop, Rule::ListenSynDropped), (Overflow::Refuse, Rule::ListenSynRefused)] {
        on_engine(|engine, family| {
            let options = ListenOptions { overflow, ..listener(255, 255) };
            engine.tcp.listen(us(family), options).unwrap();
            for n in 0..HALF_OPEN as u16 {
                assert!(knock(engine, client(family, n)).is_some());
            }
            let late = client(family, 99);
            assert_eq!(tell(engine, late, SYN, 5, 0).rule, rule);
            match overflow {
                Overflow::Drop => assert_eq!(engine.sent, []),
                Overflow::Refuse => {
                    let sent = engine.only();
                    assert_eq!((sent.flags, sent.seq, sent.ack, sent.dst), (RST | ACK, 0, 6, late));
                }
            }
            reset(engine, client(family, 5));
            assert!(knock(engine, late).is_some());
        });
    }
}

#[test]
fn one_handshake_more_than_a_listener_admits_leaves_the_others_theirs() {
    on_engine(|engine, family| {
        listen(engine, family, 4, 2);
        let other = SocketAddr::new(us(family).ip(), 81);
        engine.tcp.listen(other, listener(4, 2)).unwrap();
        for n in 0..2 {
            assert!(knock(engine, client(family, n)).is_some());
        }
        assert_eq!(knock(engine, client(family, 2)), None);
        let syn = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
        for n in 0..2 {
            assert_eq!(engine.arrive(client(family, n), other, &syn).rule, Rule::ListenSyn);
        }
        assert_eq!(engine.arrive(client(family, 2), other, &syn).rule, Rule::ListenSynDropped);
    });
}

#[test]
fn one_completed_handshake_more_than_the_backlog_waits_for_accept() {
    on_engine(|engine, family| {
        let listener = listen(engine, family, 1, 2);
        let acks = [0, 1].map(|n| knock(engine, client(family, n)).unwrap());
        assert_eq!(complete(engine, client(family, 0), acks[0]), Rule::AckEstablishes);
        assert_eq!(complete(engine, client(family, 1), acks[1]), Rule::SynReceivedNoSlot);
        let first = accept(engine, listener);
        assert_eq!(complete(engine, client(family, 1), acks[1]), Rule::AckEstablishes);
        let second = accept(engine, listener);
        assert_ne!(first, second);
    });
}

#[test]
fn one_time_wait_more_than_entries_evicts_the_oldest() {
    on_engine(|engine, family| {
        let listener = listen(engine, family, 4, 4);
        for n in 0..=TIME_WAIT as u16 {
            assert_eq!(engine.tcp.counters().time_wait_evicted, 0);
            enter(engine, client(family, n));
            let handle = accept(engine, listener);
            close_orderly(engine, handle, client(family, n));
            engine.wait(Duration::from_secs(1));
        }
        assert_eq!(engine.tcp.counters().time_wait_evicted, 1);
        assert_eq!(engine.tcp.in_use(), (0, 0, TIME_WAIT));
        let states = [0, 1, TIME_WAIT as u16].map(|n| engine.tcp.state_of(us(family), client(family, n)));
        assert_eq!(states, [State::Listen, State::TimeWait, State::TimeWait]);
    });
}

#[test]
fn one_buffer_more_than_the_pool_is_refused_until_one_is_free() {
    on_engine(|engine, family| {
        // Two of these fill the pool of 8,192 bytes.
        let large = StreamOptions { rx_buffer: 2_048, tx_buffer: 2_048, ..StreamOptions::default() };
        let first = connect(engine, family, 2_000, large).unwrap();
        let second = connect(engine, family, 2_001, large).unwrap();
        assert_eq!(engine.tcp.pool_in_use(), 8_192);
        assert_eq!(connect(engine, family, 2_002, small_stream()), Err(Error::NoBuffer));
        assert_eq!(engine.tcp.in_use().0, 2, "a slot without buffers is not held");
        listen(engine, family, 4, 4);
        let ack = knock(engine, client(family, 1)).unwrap();
        assert_eq!(complete(engine, client(family, 1), ack), Rule::SynReceivedNoSlot);
        abort(engine, first);
        assert_eq!(complete(engine, client(family, 1), ack), Rule::AckEstablishes);
        assert_eq!(connect(engine, family, 2_002, large), Err(Error::NoBuffer), "too little is left for this one");
        abort(engine, second);
        assert!(connect(engine, family, 2_002, large).is_ok());
    });
}

#[test]
fn one_answer_more_than_the_queue_holds_is_lost_and_counted() {
    on_engine(|engine, family| {
        let closed = SocketAddr::new(us(family).ip(), 81);
        for n in 0..REPLIES as u16 + 2 {
            let from = client(family, n);
            let bytes = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() }.bytes(from, closed);
            let arrival = tcp_reset_core::Arrival { src: from.ip(), dst: closed.ip(), link_addr: LinkAddr::default() };
            assert_eq!(engine.tcp.handle_segment(engine.now, &arrival, &bytes).rule, Rule::ClosedNoAck);
        }
        engine.drain();
        let told: Vec<_> = engine.sent.iter().map(|sent| sent.dst).collect();
        let first: Vec<_> = (0..REPLIES as u16).map(|n| client(family, n)).collect();
        assert_eq!(told, first, "the first keep their places");
        assert_eq!(engine.tcp.counters().replies_lost, 2);
    });
}

#[test]
fn one_run_more_than_reassembly_remembers_must_come_again() {
    for comes_again in [false, true] {
        over_each(|family| {
            let mut store = Box::new(Store::new());
            let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
            open(&mut rig);
            let (first, una) = (rig.model.rcv_nxt, rig.model.snd_una);
            let mut say = |at: u32| {
                let _ = rig.inject(&Seg::new(ACK, first.wrapping_add(at), una, 2, 1_000));
                rig.status().unwrap().rcv_nxt.0.wrapping_sub(first)
            };
            // Four runs are remembered, the fifth is not.
            for at in [2, 6, 10, 14, 18] {
                assert_eq!(say(at), 0);
            }
            assert_eq!([0, 4, 8, 12].map(&mut say), [4, 8, 12, 16]);
            if comes_again {
                assert_eq!(say(18), 16);
            }
            assert_eq!(say(16), if comes_again { 20 } else { 18 });
        });
    }
}

#[test]
fn one_reset_more_than_remembered_pushes_the_oldest_out() {
    on_engine(|engine, family| {
        let listener = listen(engine, family, 4, 4);
        for n in 0..=LAST_RESETS as u16 {
            enter(engine, client(family, n));
            let handle = accept(engine, listener);
            abort(engine, handle);
        }
        let kept: Vec<_> = engine.tcp.last_resets().map(|reset| (reset.remote, reset.what)).collect();
        let sent = ResetKind::Sent(ResetReason::Aborted);
        let expected: Vec<_> = (1..=LAST_RESETS as u16).map(|n| (client(family, n), sent)).collect();
        assert_eq!(kept, expected);
    });
}

#[test]
fn every_event_of_every_slot_is_told_once() {
    on_engine(|engine, family| {
        let listener = listen(engine, family, 9, 9);
        let numbers: Vec<u16> = (0..9).collect();
        let handles: Vec<_> = numbers
            .iter()
            .map(|&n| {
                enter(engine, client(family, n));
                accept(engine, listener)
            })
            .collect();
        engine.events.clear();
        for &n in &numbers {
            let from = client(family, n);
            let raw = Raw { seq: 101, flags: RST, ..Raw::default() }.bytes(from, us(family));
            let arrival =
                tcp_reset_core::Arrival { src: from.ip(), dst: us(family).ip(), link_addr: LinkAddr::default() };
            let _ = engine.tcp.handle_segment(engine.now, &arrival, &raw);
        }
        engine.drain();
        let closed = |&handle: &ConnectionHandle| Event::Closed(handle, CloseReason::ResetByPeer);
        assert_eq!(engine.events, handles.iter().map(closed).collect::<Vec<_>>(), "in the order they happened");
    });
}

/// Twenty peers are to be told that their listener has closed, while strangers ask as fast as the device sends: both get their answers.
#[test]
fn a_scan_does_not_silence_the_last_words_of_handshakes() {
    const PEERS: u16 = 20;
    over_each(|family| {
        let mut store = Box::new(Storage::<1, 1, 32, 1, 256>::new());
        let mut engine = Engine::new(&mut *store, quick_config());
        let handle = listen(&mut engine, family, 1, 200);
        for n in 0..PEERS {
            knock(&mut engine, client(family, n)).unwrap();
        }
        engine.tcp.unlisten(engine.now, handle).unwrap();
        let closed = SocketAddr::new(us(family).ip(), 81);
        let (mut told, mut answered) = (HashSet::new(), 0);
        let mut buffer = [0; 2_048];
        for n in 0..8 * PEERS {
            let stranger = client(family, 1_000 + n);
            let arrival = Arrival { src: stranger.ip(), dst: closed.ip(), link_addr: LinkAddr::default() };
            for seq in 0..2 {
                let bytes = Raw { seq, flags: SYN, wnd: 100, ..Raw::default() }.bytes(stranger, closed);
                let _ = engine.tcp.handle_segment(engine.now, &arrival, &bytes);
            }
            let Output::Transmit(transmit) = engine.tcp.poll_output(engine.now) else { panic!("nothing to say") };
            match transmit.reset_reason() {
                Some(ResetReason::ListenerClosed) => assert!(told.insert(transmit.remote())),
                _ => answered += 1,
            }
            transmit.emit(&mut buffer).unwrap();
            assert_eq!(engine.tcp.audit(), Ok(()));
        }
        assert_eq!(told.len(), usize::from(PEERS));
        assert!(answered >= 6 * PEERS, "{answered} strangers were answered");
        assert_eq!(engine.tcp.counters().resets_dropped, 0);
    });
}
