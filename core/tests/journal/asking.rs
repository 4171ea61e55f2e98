//! How a lost peer is asked, and what its answers come to.

use tcp_reset_core::{
    Action, Config, Error, Event, Fate, LinkAddr, Output, PortRange, ResetReason, Rule, State, Tcp, Timer,
};

use crate::support::family::over_each;
#[cfg(feature = "timestamps")]
use crate::support::packet::segment::timestamps_of;
use crate::support::rig::{
    Engine, PEER_ISN, Raw, Rig, START, Store, key, quick_config, reach, small_listener, small_stream, us,
};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::{
    Memory, after_restart, answer, assert_done, assert_reset, copy, deny, fates, found_next, know, life, lost, ms,
    probe,
};

/// When a silent peer is asked, from the first time on, in milliseconds.
const SCHEDULE: [u64; 6] = [0, 1_000, 3_000, 7_000, 15_000, 31_000];
const GIVEN_UP: u64 = 60_000;

#[test]
fn a_peer_that_holds_the_connection_is_told() {
    let passive: [reach::Script; 2] = [reach::enter, reach::accepted];
    for reach in reach::SYNCHRONIZED.into_iter().chain(passive) {
        over_each(|family| {
            let journal = Memory::new();
            let model = life(family, &journal, 1, |rig| {
                reach(rig);
                rig.model
            });
            life(family, &journal, 2, |rig| {
                rig.model = model;
                know(rig, &[us(family).ip()]);
                let first = probe(rig);
                assert_eq!(fates(rig), []);
                answer(rig);
                assert_reset(rig);
                assert_eq!(rig.engine.only().reason, Some(ResetReason::NoConnection));
                assert_eq!(fates(rig), [Fate::Told]);
                // Whether the RST has arrived is asked once more.
                assert_eq!(found_next(family, &journal), 1);
                rig.engine.wait(ms(999));
                assert_eq!(rig.engine.sent, []);
                rig.engine.wait(ms(1));
                let second = probe(rig);
                assert_ne!((first.seq, first.ack), (second.seq, second.ack), "other numbers");
                deny(rig, &second);
                assert_done(rig, &journal);
                let counters = rig.engine.tcp.counters().journal;
                assert_eq!((counters.found, counters.probes, counters.told, counters.gone), (1, 2, 1, 0));
                assert_eq!(lost(rig)[0].fate, Some(Fate::Told));
                assert_eq!(fates(rig), [Fate::Told], "told once");
            });
        });
    }
}

/// The answer meets a listener where there is one.
#[test]
fn a_listener_on_the_port_makes_no_difference() {
    after_restart(reach::accepted, |rig| {
        rig.engine.tcp.listen(rig.us, small_listener()).unwrap();
        answer(rig);
        assert_reset(rig);
        assert_eq!(rig.engine.only().reason, Some(ResetReason::AckToListener));
        assert_eq!(fates(rig), [Fate::Told]);
    });
}

/// Data, a FIN or a keepalive of its own will do as well.
#[test]
fn a_peer_that_speaks_by_itself_is_told() {
    for (flags, back, text) in [(ACK, 0, &b"hello"[..]), (ACK | FIN, 0, b""), (ACK, 1, b"")] {
        after_restart(reach::open, |rig| {
            let (seq, ack) = (rig.model.rcv_nxt - back, rig.model.snd_nxt);
            let raw = Raw { seq, ack, flags, text, wnd: 100, ..Raw::default() };
            let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
            assert_reset(rig);
            assert_eq!(fates(rig), [Fate::Told]);
        });
    }
}

#[test]
fn a_peer_without_the_connection_costs_one_segment() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            let probe = probe(rig);
            deny(rig, &probe);
            assert_eq!(fates(rig), [Fate::Gone]);
            assert_done(rig, &journal);
            let counters = rig.engine.tcp.counters();
            assert_eq!((counters.segments_out, counters.journal.gone), (1, 1));
        });
    });
}

#[test]
fn a_silent_peer_is_asked_six_times_and_given_up_after_a_minute() {
    over_each(|family| {
        let journal = Memory::new();
        let model = life(family, &journal, 1, |rig| {
            rig.open();
            rig.model
        });
        life(family, &journal, 2, |rig| {
            rig.model = model;
            know(rig, &[us(family).ip()]);
            let mut asked = vec![];
            loop {
                let at = rig.engine.now.duration_since(START);
                if fates(rig).is_empty() {
                    asked.push((at, probe(rig)));
                    assert_eq!(rig.engine.next_deadline(), Timer::LostPeer);
                } else {
                    assert_eq!(at, ms(GIVEN_UP));
                    break;
                }
            }
            assert_eq!(asked.iter().map(|(at, _)| *at).collect::<Vec<_>>(), SCHEDULE.map(ms));
            let mut numbers: Vec<_> = asked.iter().map(|(_, probe)| (probe.seq, probe.ack)).collect();
            numbers.dedup();
            assert_eq!(numbers.len(), SCHEDULE.len(), "each has its own");
            // To some peer half of all ACKs are old.
            assert!(asked.chunks(2).all(|two| two[1].1.ack == two[0].1.ack.wrapping_add(1 << 31)), "{asked:?}");
            assert_eq!(fates(rig), [Fate::GivenUp]);
            assert_eq!(rig.engine.tcp.counters().journal.given_up, 1);
            assert_done(rig, &journal);
            // Who speaks later is told all the same, by the rule for everybody.
            answer(rig);
            assert_reset(rig);
            assert_eq!(fates(rig), [Fate::GivenUp]);
        });
    });
}

/// Each probe, answer and RST may be lost.
#[test]
fn a_peer_that_was_told_in_vain_is_told_again() {
    after_restart(reach::open, |rig| {
        for _ in 0..SCHEDULE.len() {
            let _ = probe(rig);
            answer(rig);
            assert_reset(rig);
            let _ = rig.engine.next_deadline();
        }
        assert_eq!((fates(rig), rig.engine.deadline), (vec![Fate::Told], None));
        let counters = rig.engine.tcp.counters().journal;
        assert_eq!((counters.probes, counters.told, counters.given_up), (6, 1, 0));
    });
}

#[test]
fn an_answer_to_a_late_probe_counts() {
    for n in 0..SCHEDULE.len() {
        after_restart(reach::open, |rig| {
            let mut last = probe(rig);
            for _ in 0..n {
                let _ = rig.engine.next_deadline();
                last = probe(rig);
            }
            deny(rig, &last);
            assert_eq!(fates(rig), [Fate::Gone]);
        });
        // An answer that comes late, after the next question.
        after_restart(reach::open, |rig| {
            let first = probe(rig);
            for _ in 0..n {
                let _ = rig.engine.next_deadline();
            }
            deny(rig, &first);
            assert_eq!(fates(rig), [Fate::Gone]);
        });
    }
}

/// Else who knows the endpoints could keep the peer from being told.
#[test]
fn a_forged_segment_does_not_stop_the_questions() {
    after_restart(reach::accepted, |rig| {
        rig.engine.tcp.listen(rig.us, small_listener()).unwrap();
        let probe = probe(rig);
        let at = |seq| Raw { seq, flags: RST, ..Raw::default() };
        let wrong = [0, probe.ack.wrapping_add(1), probe.ack.wrapping_sub(1), probe.seq, rig.model.rcv_nxt];
        for raw in wrong.map(at).into_iter().chain([Raw { seq: 1, flags: SYN, ..Raw::default() }]) {
            let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
            assert_eq!(fates(rig), []);
        }
        let _ = rig.engine.next_deadline();
        assert!(rig.engine.sent.iter().any(|sent| sent.flags == ACK && sent.wnd == 0), "{:?}", rig.engine.sent);
        // The answer meets the handshake that the SYN has begun.
        answer(rig);
        assert_reset(rig);
        assert_eq!(fates(rig), [Fate::Told]);
        deny(rig, &probe);
        assert_eq!(lost(rig)[0].fate, Some(Fate::Told));
    });
}

/// Nobody outside guesses what a probe acknowledges.
#[test]
fn an_rst_is_believed_only_at_the_number_of_a_probe_that_was_sent() {
    after_restart(reach::open, |rig| {
        let first = probe(rig);
        let _ = rig.engine.next_deadline();
        let second = probe(rig);
        // In the highest bit alone the two differ.
        for bit in 0..31 {
            for probe in [&first, &second] {
                let raw = Raw { seq: probe.ack ^ 1 << bit, flags: RST, ..Raw::default() };
                let verdict = rig.engine.arrive(rig.peer, rig.us, &raw);
                assert_eq!((verdict.rule, verdict.action), (Rule::ClosedRst, Action::Dropped));
            }
        }
        assert_eq!(fates(rig), []);
        deny(rig, &second);
        assert_eq!(fates(rig), [Fate::Gone]);
    });
}

/// The peer's client has come back: whoever completes a handshake has no old connection on the pair.
#[test]
fn a_peer_that_begins_anew_is_asked_no_more() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::accepted);
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            rig.isn = 123_456;
            rig.knock();
            assert_eq!(fates(rig), [], "anybody can send a SYN");
            let _ = rig.say(ACK, 0);
            assert_eq!((fates(rig), rig.state()), (vec![Fate::Gone], State::Established));
            rig.engine.wait(ms(100_000));
            assert_eq!(rig.engine.sent, []);
            // The record is the new connection's.
            assert_eq!(found_next(family, &journal), 1);
        });
    });
}

#[test]
fn ephemeral_ports_avoid_the_pair_and_a_chosen_port_does_not() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        let mut store = Box::new(Store::new());
        let ephemeral_ports = PortRange { first: us(family).port(), last: us(family).port() + 1 };
        let config = Config { ephemeral_ports, ..quick_config() };
        let mut rig = Rig::new(Engine::with(&mut *store, config, key(2), START), family, PEER_ISN);
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        rig.engine.drain();
        let mut any_port = rig.us;
        any_port.set_port(0);
        let connect = |rig: &mut Rig<'_>, local| {
            let (now, peer) = (rig.engine.now, rig.peer);
            let handle = rig.engine.tcp.connect(now, local, peer, Some(LinkAddr::default()), small_stream());
            rig.engine.drain();
            handle
        };
        let handle = connect(&mut rig, any_port).unwrap();
        assert_eq!(rig.engine.tcp.status(handle).unwrap().local.port(), us(family).port() + 1);
        assert_eq!(connect(&mut rig, any_port), Err(Error::NoPort));
        rig.engine.tcp.abort(START, handle).unwrap();
        rig.engine.drain();
        // Asked by the SYN, the peer is told as well: §3.5.1, figure 9.
        let us = rig.us;
        let handle = connect(&mut rig, us).unwrap();
        let iss = rig.engine.only().seq;
        answer_of_old(&mut rig);
        let flags: Vec<_> = rig.engine.sent.iter().map(|sent| (sent.flags, sent.seq)).collect();
        assert_eq!(flags, [(RST, 555), (SYN, iss)]);
        assert_eq!(fates(&rig), [Fate::Told]);
        let syn_ack = Raw { seq: 9, ack: iss + 1, flags: SYN | ACK, wnd: 100, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &syn_ack);
        assert_eq!(rig.engine.tcp.status(handle).unwrap().state, State::Established);
        // Told by the SYN: the question has no object any more.
        assert_eq!(fates(&rig), [Fate::Told]);
        know(&mut rig, &[us.ip()]);
        assert_eq!((rig.engine.sent.len(), rig.engine.deadline), (0, None));
        assert_eq!(rig.engine.tcp.status(handle).unwrap().state, State::Established);
    });
}

fn answer_of_old(rig: &mut Rig<'_>) {
    let raw = Raw { seq: 1_000_000, ack: 555, flags: ACK, wnd: 100, ..Raw::default() };
    let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
}

/// Four within a millisecond; all of two lives, and one beyond what the journal holds.
#[test]
fn the_peers_of_two_restarts_are_asked_a_few_at_a_time() {
    over_each(|family| {
        let journal = Memory::new();
        for n in 0..2 {
            let from = n * 4;
            life(family, &journal, n, |rig| (from..from + 4).for_each(|k| open_to(rig, k)));
        }
        let two_lives = copy(&journal);
        life(family, &journal, 5, |rig| {
            assert_eq!(rig.engine.tcp.counters().journal.found, 8);
            know(rig, &[us(family).ip()]);
            let ports = |rig: &Rig<'_>| rig.engine.sent.iter().map(|sent| sent.src.port()).collect::<Vec<_>>();
            assert_eq!(ports(rig), [6_000, 6_001, 6_002, 6_003]);
            let at = rig.engine.now;
            let _ = rig.engine.next_deadline();
            assert_eq!(ports(rig), [6_004, 6_005, 6_006, 6_007]);
            assert_eq!(rig.engine.now.duration_since(at), ms(1));
        });
        // Eight lost ones and a new connection: it waits for a record until one of them is done with, whoever made it.
        life(family, &two_lives, 6, |rig| {
            open_to(rig, 20);
            rig.us.set_port(6_021);
            rig.open();
            let is_noted = |n: u16| {
                let copy = copy(&two_lives);
                life(family, &copy, 99, |rig| lost(rig).iter().any(|peer| peer.local.port() == n))
            };
            assert_eq!((fates(rig), is_noted(6_020), is_noted(6_021)), (vec![], false, false));
            know(rig, &[us(family).ip()]);
            rig.engine.wait(ms(1));
            assert_eq!(rig.engine.tcp.counters().journal.probes, 8);
            rig.engine.wait(ms(2_000));
            let probe = rig.engine.sent.iter().find(|sent| sent.src.port() == 6_003).unwrap().clone();
            let raw = Raw { seq: probe.ack, flags: RST, ..Raw::default() };
            let _ = rig.engine.arrive(rig.peer, probe.src, &raw);
            assert_eq!((fates(rig), is_noted(6_020), is_noted(6_021)), (vec![Fate::Gone], true, false));
            // One of the two ends: the other has its record.
            rig.us.set_port(6_020);
            let (handle, _) = rig.engine.tcp.connections().find(|(_, status)| status.local.port() == 6_020).unwrap();
            rig.engine.tcp.abort(rig.engine.now, handle).unwrap();
            rig.engine.drain();
            assert_eq!((is_noted(6_020), is_noted(6_021)), (false, true));
        });
    });
}

fn open_to(rig: &mut Rig<'_>, n: u8) {
    rig.us.set_port(6_000 + u16::from(n));
    rig.open();
}

#[test]
fn while_the_link_is_down_nobody_is_asked_and_nobody_given_up() {
    over_each(|family| {
        let journal = Memory::new();
        let model = life(family, &journal, 1, |rig| {
            rig.open();
            rig.model
        });
        life(family, &journal, 2, |rig| {
            rig.model = model;
            rig.engine.tcp.link_lost();
            know(rig, &[us(family).ip()]);
            assert_eq!((rig.engine.sent.len(), rig.engine.deadline), (0, None));
            assert!(!rig.engine.tcp.has_output());
            rig.engine.wait(ms(10 * GIVEN_UP));
            rig.engine.tcp.handle_timeout(rig.engine.now);
            rig.engine.tcp.link_restored(rig.engine.now);
            rig.engine.drain();
            let _ = probe(rig);
            // Again after three questions: it begins anew.
            for _ in 0..2 {
                let _ = rig.engine.next_deadline();
            }
            rig.engine.tcp.link_lost();
            rig.engine.wait(ms(10 * GIVEN_UP));
            rig.engine.tcp.link_restored(rig.engine.now);
            rig.engine.drain();
            let begun = rig.engine.now;
            let _ = probe(rig);
            while fates(rig).is_empty() {
                let _ = rig.engine.next_deadline();
            }
            assert_eq!((fates(rig), rig.engine.now.duration_since(begun)), (vec![Fate::GivenUp], ms(GIVEN_UP)));
        });
    });
}

/// The minute counts from the first question, also where the device sleeps through the whole of it, or for a year.
#[test]
fn a_caller_that_comes_late_asks_what_is_left() {
    for late in [61_000, 3_600_000, 366 * 86_400_000_u64] {
        after_restart(reach::open, |rig| {
            let mut turns = 0;
            while fates(rig).is_empty() {
                rig.engine.now = rig.engine.now + ms(late);
                rig.engine.tcp.handle_timeout(rig.engine.now);
                rig.engine.drain();
                turns += 1;
                assert!(turns < 10, "it never ends");
            }
            assert_eq!(fates(rig), [Fate::GivenUp]);
        });
    }
}

/// A device that takes nothing loses nothing.
#[test]
fn what_is_not_taken_is_offered_again() {
    after_restart(
        |rig| {
            rig.open();
            rig.engine.tcp.note_sequence_numbers();
        },
        |rig| {
            // In a life of its own: the other has been asked already.
            let seen = rig.engine.sent.clone();
            assert_eq!(seen.len(), 2);
        },
    );
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, |rig| {
            rig.open();
            rig.engine.tcp.note_sequence_numbers();
        });
        life(family, &journal, 2, |rig| {
            rig.engine.tcp.find_lost_peers(START, &[us(family).ip()]);
            for _ in 0..5 {
                assert!(rig.engine.tcp.has_output());
                assert!(matches!(rig.engine.tcp.poll_output(START), Output::Transmit(_)));
                assert_eq!(rig.engine.tcp.counters().segments_out, 0);
            }
            rig.engine.drain();
            assert_eq!(rig.engine.sent.len(), 2);
        });
    });
}

/// Where a segment's way is asked for outside of the engine.
#[test]
fn a_probe_whose_next_hop_is_asked_for_waits_for_it() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &journal, 2, |rig| {
            let tcp = &mut rig.engine.tcp;
            tcp.find_lost_peers(START, &[us(family).ip()]);
            let defer = |tcp: &mut Tcp<'_>| {
                let Output::Transmit(transmit) = tcp.poll_output(START) else { panic!("nothing to send") };
                transmit.defer();
            };
            defer(tcp);
            assert!(!tcp.has_output());
            tcp.neighbor_changed();
            defer(tcp);
            assert_eq!(tcp.counters().replies_lost, 0);
            tcp.neighbor_changed();
            rig.engine.drain();
            assert_eq!(rig.engine.sent.len(), 1);
            // As often as another.
            let mut probes = 1;
            while !rig.engine.events.iter().any(|event| matches!(event, Event::LostPeer(..))) {
                let _ = rig.engine.next_deadline();
                probes += rig.engine.sent.len();
            }
            assert_eq!(probes, SCHEDULE.len());
        });
    });
}

/// A peer that wants a timestamp with every segment gets one with some that PAWS lets through, whichever half of the acknowledgments it passes over.
#[cfg(feature = "timestamps")]
#[test]
fn a_peer_that_wants_timestamps_is_asked_with_some() {
    let reach = |rig: &mut Rig<'_>| rig.open();
    after_restart(reach, |rig| {
        let mut probes = vec![probe(rig)];
        while probes.len() < SCHEDULE.len() {
            rig.engine.next_deadline();
            probes.push(probe(rig));
        }
        let stamps: Vec<_> = probes.iter().map(|sent| timestamps_of(&sent.options)).collect();
        assert_eq!(stamps[..2], [None, None]);
        let halves: Vec<_> = stamps[2..].iter().map(|stamp| stamp.unwrap().0 ^ stamps[2].unwrap().0).collect();
        assert_eq!(halves, [0, 1 << 31, 1 << 31, 0]);
        assert!(stamps[2..].iter().all(|stamp| stamp.unwrap().1 == 0), "nothing is echoed");
    });
    let config = Config { timestamps: false, ..quick_config() };
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach);
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::with(&mut *store, config, key(2), START), family, PEER_ISN);
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        know(&mut rig, &[us(family).ip()]);
        for _ in 1..SCHEDULE.len() {
            rig.engine.next_deadline();
            assert_eq!(rig.engine.only().options, []);
        }
    });
}
