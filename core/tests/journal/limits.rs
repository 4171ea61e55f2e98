//! What could go on for ever, and what is counted for what: links and addresses that come and go, peers that have lost the connection as well.

use std::net::IpAddr;

use tcp_reset_core::link::Medium;
use tcp_reset_core::{Fate, ResetReason, Timer};

use crate::frames::{NEW_MAC, established, ethernet, question, segment, with_link};
use crate::support::family::{Family, over_each};
use crate::support::packet::neighbors::answer as arp_answer;
use crate::support::rig::frames::{drain, interface};
use crate::support::rig::{Raw, Rig, START, reach, small_listener, us};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::{Memory, after_restart, answer, assert_reset, deny, fates, know, life, lost, ms, probe};

/// Deadlines until the peers are done with, and the time from the start on.
fn live_on(rig: &mut Rig<'_>) -> u64 {
    while rig.engine.tcp.has_lost_peers() {
        let _ = rig.engine.next_deadline();
    }
    u64::try_from(rig.engine.now.duration_since(START).as_millis()).unwrap()
}

fn flap(rig: &mut Rig<'_>, down: u64) {
    rig.engine.tcp.link_lost();
    rig.engine.wait(ms(down));
    rig.engine.tcp.link_restored(rig.engine.now);
    rig.engine.drain();
}

/// The device speaks another family now, or has an address of another scope alone.
#[test]
fn a_pair_whose_family_is_gone_is_forgotten_after_ten_minutes() {
    over_each(|family| {
        let others: &[IpAddr] = match family {
            Family::V4 => &["fd00::77".parse().unwrap()],
            Family::V6 => &["192.0.2.77".parse().unwrap(), "fe80::1".parse().unwrap()],
        };
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &crate::copy(&journal), 2, |rig| {
            // Without any address it waits as long as that takes.
            know(rig, &[]);
            assert_eq!(rig.engine.deadline, None);
            rig.engine.wait(ms(3_600_000));
            assert!(rig.engine.tcp.has_lost_peers());
        });
        if cfg!(not(feature = "ipv6")) {
            return;
        }
        life(family, &crate::copy(&journal), 2, |rig| {
            // What comes and goes does not put the end off.
            for n in 0..10 {
                know(rig, if n % 3 == 1 { &[] } else { others });
                rig.engine.wait(ms(10_000));
            }
            assert_eq!((live_on(rig), fates(rig)), (600_000, vec![Fate::Forgotten]));
            assert_eq!((rig.engine.deadline, rig.engine.tcp.counters().journal.forgotten), (None, 1));
        });
        life(family, &journal, 2, |rig| {
            know(rig, others);
            rig.engine.wait(ms(599_999));
            know(rig, &[us(family).ip()]);
            let _ = probe(rig);
        });
    });
}

/// A cable with a loose contact: each time the link comes back, the questions would begin anew.
#[test]
fn a_link_that_comes_and_goes_does_not_renew_the_questions_for_ever() {
    for up in [0, 500, 5_000] {
        after_restart(reach::open, |rig| {
            let (mut asked, mut flaps) = (rig.engine.sent.len(), 0);
            while rig.engine.tcp.has_lost_peers() {
                flap(rig, 100);
                asked += rig.engine.sent.len();
                rig.engine.wait(ms(up));
                asked += rig.engine.sent.len();
                flaps += 1;
                assert!(flaps < 1_000, "for ever");
            }
            assert_eq!(fates(rig), [Fate::GivenUp], "up for {up} ms");
            assert!((9..=24).contains(&asked), "{asked} questions");
            let took = rig.engine.now.duration_since(START);
            assert!(took <= ms(4 * 60_000), "{took:?}");
        });
    }
}

/// A switch that negotiates a few times before it forwards.
#[test]
fn a_link_that_settles_after_a_few_times_still_has_the_peer_told() {
    after_restart(reach::open, |rig| {
        for _ in 0..10 {
            flap(rig, 10);
        }
        rig.engine.wait(ms(31_000));
        assert!(!rig.engine.sent.is_empty(), "asked on");
        answer(rig);
        assert_reset(rig);
        assert_eq!(fates(rig), [Fate::Told]);
    });
}

/// The same of an address, which a lease loses and gets again.
#[test]
fn an_address_that_comes_and_goes_does_not_renew_the_questions_for_ever() {
    after_restart(reach::open, |rig| {
        let ours = us(rig.family).ip();
        let (mut asked, mut turns) = (rig.engine.sent.len(), 0);
        while rig.engine.tcp.has_lost_peers() {
            know(rig, &[]);
            rig.engine.wait(ms(100));
            know(rig, &[ours]);
            asked += rig.engine.sent.len();
            turns += 1;
            assert!(turns < 1_000, "for ever");
        }
        assert_eq!((fates(rig), asked), (vec![Fate::GivenUp], 9));
    });
}

/// The minute beside another IPv6 address, and a link that comes and goes.
#[cfg(feature = "ipv6")]
#[test]
fn a_link_that_comes_and_goes_does_not_renew_the_wait_for_an_address_for_ever() {
    let family = Family::V6;
    let journal = Memory::new();
    life(family, &journal, 1, reach::open);
    life(family, &journal, 2, |rig| {
        know(rig, &[family.host(3)]);
        let mut flaps = 0;
        while rig.engine.tcp.has_lost_peers() {
            flap(rig, 10);
            rig.engine.wait(ms(10_000));
            flaps += 1;
            assert!(flaps < 1_000, "for ever");
        }
        assert_eq!((fates(rig), flaps), (vec![Fate::Forgotten], 8));
    });
}

/// Both have lost power at once, and each asks the other.
#[test]
fn a_peer_that_only_asks_as_we_do_was_not_told() {
    after_restart(reach::open, |rig| {
        let first = probe(rig);
        let its_probe = Raw { seq: 77, ack: 555, flags: ACK, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &its_probe);
        assert_eq!((rig.engine.only().flags, rig.engine.only().seq), (RST, 555));
        assert_eq!(fates(rig), [], "nothing is known yet");
        deny(rig, &first);
        assert_eq!(fates(rig), [Fate::Gone]);
        let counters = rig.engine.tcp.counters().journal;
        assert_eq!((counters.told, counters.gone), (0, 1));
    });
}

/// Its buffer is full, so that what it sends looks like a probe.
#[test]
fn a_peer_without_a_window_is_told_as_well() {
    let full = |rig: &mut Rig<'_>| {
        let raw = Raw { seq: rig.model.rcv_nxt, ack: rig.model.snd_nxt, flags: ACK, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
        assert_reset(rig);
    };
    after_restart(reach::open, |rig| {
        full(rig);
        assert_eq!(fates(rig), []);
        let _ = rig.engine.next_deadline();
        let second = probe(rig);
        deny(rig, &second);
        assert_eq!(fates(rig), [Fate::Told]);
        assert_eq!(rig.engine.tcp.counters().journal.gone, 0);
    });
    // Before it was asked.
    over_each(|family| {
        let journal = Memory::new();
        let model = life(family, &journal, 1, |rig| {
            rig.open();
            rig.model
        });
        life(family, &journal, 2, |rig| {
            rig.model = model;
            full(rig);
            know(rig, &[us(family).ip()]);
            let first = probe(rig);
            deny(rig, &first);
            assert_eq!(fates(rig), [Fate::Told]);
        });
    });
    // It says nothing more: the RST may have arrived.
    after_restart(reach::open, |rig| {
        full(rig);
        let _ = live_on(rig);
        assert_eq!(fates(rig), [Fate::Told]);
    });
    // And then it shows that it is no probe.
    after_restart(reach::open, |rig| {
        full(rig);
        answer(rig);
        assert_eq!(fates(rig), [Fate::Told]);
        let _ = live_on(rig);
        assert_eq!(fates(rig), [Fate::Told], "once");
    });
}

/// The RST that a segment drew of another control than ACK tells nobody: an RST to a SYN goes to who has no connection.
#[test]
fn an_rst_to_a_syn_tells_no_old_connection() {
    after_restart(reach::open, |rig| {
        let first = probe(rig);
        let _ = rig.engine.arrive(rig.peer, rig.us, &Raw { seq: 7, flags: SYN, wnd: 9, ..Raw::default() });
        assert_eq!(rig.engine.only().flags & RST, RST);
        assert_eq!(fates(rig), []);
        deny(rig, &first);
        assert_eq!(fates(rig), [Fate::Gone]);
    });
}

/// The RST at the number that was noted has left; then the peer's client is back.
#[test]
fn a_peer_that_comes_back_after_the_exact_rst_was_told() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, |rig| {
            reach::accepted(rig);
            rig.engine.tcp.note_sequence_numbers();
        });
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            assert_eq!(rig.engine.sent[0].reason, Some(ResetReason::Restarted));
            rig.isn = 123_456;
            rig.enter();
            assert_eq!(fates(rig), [Fate::Told]);
        });
    });
}

/// RSTs and probes alike, four within a millisecond; all RSTs before the first probe.
#[test]
fn rsts_at_numbers_that_were_noted_are_paced_too() {
    over_each(|family| {
        let journal = Memory::new();
        for n in 0..2 {
            life(family, &journal, n, |rig| {
                for k in 0..4 {
                    rig.us.set_port(6_000 + u16::from(n) * 4 + k);
                    rig.open();
                }
                rig.engine.tcp.note_sequence_numbers();
            });
        }
        life(family, &journal, 5, |rig| {
            know(rig, &[us(family).ip()]);
            let mut flags = vec![rig.engine.sent.iter().map(|sent| sent.flags).collect::<Vec<_>>()];
            for n in 1..4 {
                assert_eq!(rig.engine.next_deadline(), Timer::LostPeer);
                assert_eq!(rig.engine.now.duration_since(START), ms(n));
                flags.push(rig.engine.sent.iter().map(|sent| sent.flags).collect());
            }
            assert_eq!(flags, [[RST; 4], [RST; 4], [ACK; 4], [ACK; 4]]);
        });
    });
}

/// A second call is harmless, in the midst of the questions too.
#[test]
fn keeping_the_same_journal_again_changes_nothing() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, |rig| {
            rig.open();
            rig.engine.tcp.note_sequence_numbers();
        });
        let mut store = Box::new(crate::Store::new());
        let engine = crate::Engine::with(&mut *store, crate::quick_config(), crate::key(2), START);
        let mut rig = Rig::new(engine, family, crate::PEER_ISN);
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        know(&mut rig, &[us(family).ip()]);
        let probe = rig.engine.sent[1].clone();
        let before = (lost(&rig), rig.engine.tcp.counters().journal, rig.engine.deadline);
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        know(&mut rig, &[us(family).ip()]);
        assert_eq!((rig.engine.sent.len(), lost(&rig)), (0, before.0));
        assert_eq!((rig.engine.tcp.counters().journal, rig.engine.deadline), (before.1, before.2));
        deny(&mut rig, &probe);
        assert_eq!(fates(&rig), [Fate::Told]);
    });
}

/// What another firmware wrote, which spoke plain IP: nobody's address is no next hop on Ethernet.
#[test]
fn nobodys_link_address_is_asked_for() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        with_link(&journal, 2, ethernet(), |link| {
            link.set_addresses(&[interface(family, 1)], Some(family.host(254))).unwrap();
            let asked = drain(link, START).frames;
            let (_, hop) = question(&asked[0]).expect("a question for the next hop");
            let _ = link.handle_frame(START, &arp_answer((NEW_MAC, hop), (crate::frames::MAC, us(family).ip())));
            let (to, seg) = segment(&drain(link, START).frames[0]);
            assert_eq!((to, seg.flags), (NEW_MAC, ACK));
        });
    });
    // And on plain IP what an Ethernet had is nothing to be looked at.
    over_each(|family| {
        let journal = Memory::new();
        established(&journal, family);
        with_link(&journal, 2, Medium::Ip, |link| {
            link.set_addresses(&[interface(family, 1)], None).unwrap();
            assert_eq!(drain(link, START).frames.len(), 1);
        });
    });
}

/// Each of a listener's, a half-open record's and a SYN of ours has an RST of its own.
#[test]
fn whoever_draws_the_rst_the_peer_is_told_once() {
    after_restart(reach::accepted, |rig| {
        rig.engine.tcp.listen(rig.us, small_listener()).unwrap();
        answer(rig);
        let fin = Raw { seq: rig.model.rcv_nxt, ack: rig.model.snd_nxt, flags: ACK | FIN, wnd: 5, ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &fin);
        assert_eq!(rig.engine.only().flags, RST);
        assert_eq!((fates(rig), rig.engine.tcp.counters().journal.told), (vec![Fate::Told], 1));
    });
}
