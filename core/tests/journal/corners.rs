//! Small things, each of which somebody may get wrong.

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::{
    Action, Arrival, Fate, JOURNAL_RECORD_LEN, Journal, JournalStorage, LinkAddr, Output, State, Tcp, Timer,
};

use crate::frames::{ITS_MAC, established, ethernet, from_peer, know as know_link, segment, with_link};
use crate::support::family::{Family, over_each};
use crate::support::rig::frames::{drain, interface};
use crate::support::rig::{
    Engine, PEER_ISN, Raw, Rig, START, Store, key, peer, quick_config, reach, small_listener, small_stream, us,
};
use crate::support::table::{ACK, RST, SYN};
use crate::{Memory, after_restart, answer, assert_reset, copy, deny, fates, found_next, know, life, lost, ms, probe};

fn arrive_quietly(tcp: &mut Tcp<'_>, src: SocketAddr, dst: SocketAddr, raw: &Raw<'_>) {
    let arrival = Arrival { src: src.ip(), dst: dst.ip(), link_addr: LinkAddr::default() };
    let _ = tcp.handle_segment(START, &arrival, &raw.octets(src, dst, false));
}

/// Four lost peers in a journal of four records.
fn full(family: Family, test: impl FnOnce(&mut Rig<'_>)) {
    let journal = Journal::<4>::new();
    for n in 1..=2 {
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::with(&mut *store, quick_config(), key(n), START), family, PEER_ISN);
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        rig.engine.drain();
        if n == 1 {
            for port in 6_000..6_004 {
                rig.us.set_port(port);
                rig.open();
            }
        } else {
            test(&mut rig);
            return;
        }
    }
}

#[test]
fn an_event_outlives_the_short_connection_that_used_the_record() {
    over_each(|family| {
        full(family, |rig| {
            know(rig, &[us(family).ip()]);
            let probe = rig.engine.sent[3].clone();
            let raw = Raw { seq: probe.ack, flags: RST, ..Raw::default() };
            arrive_quietly(&mut rig.engine.tcp, rig.peer, probe.src, &raw);
            let (us, peer) = (us(family), rig.peer);
            let tcp = &mut rig.engine.tcp;
            let handle = tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
            tcp.abort(START, handle).unwrap();
            rig.engine.drain();
            assert_eq!(fates(rig), [Fate::Gone]);
        });
    });
}

#[test]
fn an_event_keeps_its_fate_while_its_record_is_used_again() {
    over_each(|family| {
        full(family, |rig| {
            know(rig, &[us(family).ip()]);
            let probe = rig.engine.sent[3].clone();
            let raw = Raw { seq: probe.ack, flags: RST, ..Raw::default() };
            arrive_quietly(&mut rig.engine.tcp, rig.peer, probe.src, &raw);
            assert!(rig.engine.tcp.has_output(), "an event");
            let (us, peer) = (us(family), rig.peer);
            rig.engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
            rig.engine.drain();
            assert_eq!(fates(rig), [Fate::Gone]);
            assert_eq!(lost(rig).len(), 3, "nobody had to make room");
        });
    });
}

#[test]
fn a_free_record_goes_before_one_that_is_still_shown() {
    after_restart(reach::open, |rig| {
        let probe = probe(rig);
        deny(rig, &probe);
        let mut us = rig.us;
        us.set_port(81);
        let peer = rig.peer;
        rig.engine.tcp.connect(START, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
        assert_eq!(lost(rig).len(), 1);
    });
}

#[test]
fn an_rst_of_the_new_handshake_ends_it() {
    after_restart(reach::accepted, |rig| {
        rig.engine.tcp.listen(rig.us, small_listener()).unwrap();
        let syn = Raw { seq: 99, flags: SYN, wnd: 100, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &syn);
        assert_eq!(rig.state(), State::SynReceived);
        let raw = Raw { seq: 100, flags: RST, ..Raw::default() };
        assert_eq!(rig.engine.arrive(rig.peer, rig.us, &raw).action, Action::ReturnedToListen);
        assert_eq!(rig.state(), State::Listen);
        assert_eq!(fates(rig), []);
    });
}

#[test]
fn the_number_of_a_probe_that_was_not_sent_is_nobodys() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        let second = life(family, &copy(&journal), 2, |rig| {
            know(rig, &[us(family).ip()]);
            let _ = rig.engine.next_deadline();
            rig.engine.only().clone()
        });
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            deny(rig, &second);
            assert_eq!(fates(rig), []);
        });
    });
}

#[test]
fn an_rst_that_found_no_place_told_nobody() {
    after_restart(reach::open, |rig| {
        let stray = Raw { seq: 1, ack: 1, flags: ACK, ..Raw::default() };
        for port in 1..=8 {
            let src = SocketAddr::new(rig.peer.ip(), port);
            arrive_quietly(&mut rig.engine.tcp, src, rig.us, &stray);
        }
        let (seq, ack) = (rig.model.rcv_nxt, rig.model.snd_nxt);
        arrive_quietly(&mut rig.engine.tcp, rig.peer, rig.us, &Raw { seq, ack, flags: ACK, ..Raw::default() });
        rig.engine.drain();
        assert_eq!((rig.engine.sent.len(), fates(rig)), (8, vec![]));
    });
}

#[test]
fn told_stays_told_when_the_questions_end() {
    after_restart(reach::open, |rig| {
        answer(rig);
        assert_reset(rig);
        while rig.engine.deadline.is_some() {
            let _ = rig.engine.next_deadline();
        }
        assert_eq!((fates(rig), lost(rig)[0].fate), (vec![Fate::Told], Some(Fate::Told)));
    });
}

#[test]
fn whether_it_was_told_is_asked_by_the_same_way() {
    over_each(|family| {
        let journal = Memory::new();
        established(&journal, family);
        with_link(&journal, 2, ethernet(), |link| {
            let _ = know_link(link, &[interface(family, 1)]);
            let raw = Raw { seq: 10, ack: 777, flags: ACK, wnd: 100, ..Raw::default() };
            let _ = link.handle_frame(START, &from_peer(ITS_MAC, peer(family), us(family), &raw));
            let _ = drain(link, START);
            let later = START + ms(1_000);
            link.handle_timeout(later);
            let frames = drain(link, later).frames;
            assert_eq!((frames.len(), segment(&frames[0]).0), (1, ITS_MAC));
        });
    });
}

#[test]
fn a_lesson_hastens_only_who_waits_for_one() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &journal, 2, |rig| {
            let tcp = &mut rig.engine.tcp;
            tcp.find_lost_peers(START, &[us(family).ip()]);
            let Output::Transmit(transmit) = tcp.poll_output(START) else { panic!("nothing to send") };
            transmit.defer();
            tcp.neighbor_changed();
            rig.engine.drain();
            let _ = rig.engine.only();
            rig.engine.tcp.neighbor_changed();
            rig.engine.drain();
            assert_eq!(rig.engine.sent, [], "it was asked already");
            // The second is put off, and two lessons come: it is still the second.
            let second = rig.engine.now + ms(1_000);
            rig.engine.now = second;
            let tcp = &mut rig.engine.tcp;
            tcp.handle_timeout(second);
            let Output::Transmit(transmit) = tcp.poll_output(second) else { panic!("nothing to send") };
            transmit.defer();
            tcp.neighbor_changed();
            tcp.neighbor_changed();
            rig.engine.drain();
            assert_eq!(rig.engine.only().flags, ACK);
            assert_eq!(lost(rig)[0].probes, 2);
        });
    });
}

#[test]
fn without_an_address_neither_a_link_nor_the_time_changes_anything() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &journal, 2, |rig| {
            rig.engine.tcp.link_restored(START);
            rig.engine.drain();
            assert_eq!((&rig.engine.sent[..], rig.engine.deadline), (&[][..], None));
            for _ in 0..3 {
                rig.engine.now = rig.engine.now + ms(3_600_000);
                rig.engine.tcp.handle_timeout(rig.engine.now);
                rig.engine.drain();
                assert_eq!((fates(rig), rig.engine.deadline), (vec![], None));
            }
            know(rig, &[us(family).ip()]);
            assert_eq!(rig.engine.sent.len(), 1);
        });
    });
}

#[test]
fn with_the_link_again_they_are_asked_a_few_at_a_time() {
    over_each(|family| {
        let journal = Memory::new();
        for n in 0..2_u16 {
            life(family, &journal, 1, |rig| {
                for port in 0..4 {
                    rig.us.set_port(6_000 + 10 * n + port);
                    rig.open();
                }
            });
        }
        life(family, &journal, 2, |rig| {
            rig.engine.tcp.link_lost();
            know(rig, &[us(family).ip()]);
            rig.engine.tcp.link_restored(START);
            rig.engine.drain();
            assert_eq!(rig.engine.sent.len(), 4);
        });
    });
}

#[test]
fn while_the_link_is_down_nobody_is_given_up_though_time_is_told() {
    after_restart(reach::open, |rig| {
        for _ in 0..5 {
            let _ = rig.engine.next_deadline();
        }
        rig.engine.tcp.link_lost();
        for _ in 0..3 {
            rig.engine.now = rig.engine.now + ms(600_000);
            rig.engine.tcp.handle_timeout(rig.engine.now);
            rig.engine.drain();
        }
        assert_eq!(fates(rig), []);
    });
}

#[test]
fn an_attempt_of_ours_on_the_pair_proves_nothing() {
    after_restart(reach::open, |rig| {
        let (now, us, peer) = (rig.engine.now, rig.us, rig.peer);
        rig.engine.tcp.connect(now, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
        rig.engine.drain();
        rig.engine.wait(ms(3_000));
        assert_eq!(fates(rig), []);
        assert!(rig.engine.sent.iter().any(|sent| sent.flags == ACK));
    });
}

/// As on Embassy.
#[test]
fn the_link_was_down_before_the_journal_came() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::with(&mut *store, quick_config(), key(2), START), family, PEER_ISN);
        rig.engine.tcp.link_lost();
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        know(&mut rig, &[us(family).ip()]);
        assert_eq!(rig.engine.sent, []);
    });
}

#[test]
fn the_second_record_of_a_pair_is_cleared() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        let bytes = journal.record(0).unwrap();
        journal.set_record(5, &bytes);
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            let probe = probe(rig);
            deny(rig, &probe);
            assert_eq!(found_next(family, &journal), 0);
        });
    });
}

#[cfg(feature = "ipv6")]
#[test]
fn the_minute_beside_another_address_begins_once() {
    let journal = Memory::new();
    established(&journal, Family::V6);
    with_link(&journal, 2, ethernet(), |link| {
        link.set_addresses(&[interface(Family::V6, 3)], None).unwrap();
        link.handle_timeout(START);
        let later = START + ms(50_000);
        link.handle_timeout(later);
        link.set_addresses(&[interface(Family::V6, 3), interface(Family::V6, 4)], None).unwrap();
        assert_eq!(drain(link, later).deadline.map(|(at, _)| at), Some(START + ms(60_000)));
    });
}

#[test]
fn the_same_addresses_again_change_nothing() {
    after_restart(reach::open, |rig| {
        let _ = probe(rig);
        let ours = [rig.us.ip()];
        know(rig, &ours);
        assert_eq!(rig.engine.sent, []);
        rig.engine.wait(ms(1_000));
        assert_eq!(rig.engine.sent.len(), 1);
    });
}

#[test]
fn at_the_engine_too_an_own_address_is_no_peer_and_scopes_are_kept_apart() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &copy(&journal), 2, |rig| {
            know(rig, &[us(family).ip(), peer(family).ip()]);
            assert_eq!((fates(rig), rig.engine.sent.len()), (vec![Fate::Forgotten], 0));
        });
        if family == Family::V6 {
            life(family, &journal, 2, |rig| {
                know(rig, &["fe80::1".parse::<IpAddr>().unwrap()]);
                assert_eq!(fates(rig), []);
                assert_eq!((rig.engine.next_deadline(), fates(rig)), (Timer::LostPeer, vec![Fate::Forgotten]));
                assert_eq!(rig.engine.now.duration_since(START), ms(600_000));
            });
        }
    });
}

/// Bulk and probes take turns.
#[test]
fn probes_and_segments_take_turns() {
    over_each(|family| {
        let journal = Memory::new();
        for n in 0..2_u16 {
            life(family, &journal, 1, |rig| {
                for port in 0..4 {
                    rig.us.set_port(6_000 + 10 * n + port);
                    rig.open();
                }
            });
        }
        life(family, &journal, 2, |rig| {
            let tcp = &mut rig.engine.tcp;
            for port in 0..3 {
                let local = SocketAddr::new(us(family).ip(), 7_000 + port);
                tcp.connect(START, local, peer(family), Some(LinkAddr::default()), small_stream()).unwrap();
            }
            tcp.find_lost_peers(START, &[us(family).ip()]);
            rig.engine.drain();
            let flags: Vec<_> = rig.engine.sent.iter().map(|sent| sent.flags).take(6).collect();
            assert_eq!(flags, [ACK, SYN, ACK, SYN, ACK, SYN]);
        });
    });
}

/// Also beside a record that cannot be read.
#[test]
fn what_was_stored_is_restored() {
    struct Store(Vec<Result<Option<[u8; JOURNAL_RECORD_LEN]>, usize>>);
    impl JournalStorage for Store {
        const RECORDS: usize = 8;
        type Error = usize;
        async fn load(&mut self, record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, usize> {
            self.0[record]
        }
        async fn store(&mut self, _: usize, _: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), usize> {
            panic!("nothing has changed")
        }
    }
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        let mut store =
            Store(vec![Err(0), Ok(None), Err(2), Ok(journal.record(0)), Ok(None), Ok(None), Ok(None), Err(7)]);
        let restored = Memory::new();
        let mut future = std::pin::pin!(restored.restore(&mut store));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(future.as_mut().poll(&mut cx), std::task::Poll::Ready(Err(0)));
        assert_eq!(found_next(family, &restored), 1);
    });
}

/// It was put off, its time came, and it was sent: no lesson concerns it any more.
#[test]
fn who_has_been_asked_after_all_waits_for_no_lesson() {
    after_restart(reach::open, |rig| {
        let second = rig.engine.now + ms(1_000);
        let third = rig.engine.now + ms(3_000);
        let tcp = &mut rig.engine.tcp;
        tcp.handle_timeout(second);
        let Output::Transmit(transmit) = tcp.poll_output(second) else { panic!("nothing to send") };
        transmit.defer();
        tcp.handle_timeout(third);
        rig.engine.now = third;
        rig.engine.drain();
        let _ = rig.engine.only();
        rig.engine.tcp.neighbor_changed();
        rig.engine.drain();
        assert_eq!(rig.engine.sent, []);
    });
}

#[test]
fn what_is_over_when_the_journal_comes_is_not_noted() {
    over_each(|family| {
        let journal = Memory::new();
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        reach::time_wait(&mut rig);
        rig.engine.tcp.keep_journal(rig.engine.now, &journal).unwrap();
        rig.engine.drain();
        assert_eq!(found_next(family, &journal), 0);
    });
}

#[test]
fn a_syn_ack_meets_the_handshake() {
    after_restart(reach::accepted, |rig| {
        rig.engine.tcp.listen(rig.us, small_listener()).unwrap();
        let syn = Raw { seq: 99, flags: SYN, wnd: 100, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &syn);
        let raw = Raw { seq: 99, ack: 5, flags: SYN | ACK, ..Raw::default() };
        assert_eq!(rig.engine.arrive(rig.peer, rig.us, &raw).state, State::SynReceived);
    });
}
