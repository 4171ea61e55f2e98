//! What goes wrong at the same time: silent neighbors, addresses and links that come and go, a device that takes nothing, the peer's next
//! connection, a journal that is kept twice.

use std::net::{IpAddr, SocketAddr};

#[cfg(feature = "ipv6")]
use tcp_reset_core::link::Interface;
use tcp_reset_core::link::Link;
use tcp_reset_core::{Fate, Instant, Journal, LinkAddr, Output, ResetReason, State, Tcp, Timer};

#[cfg(feature = "ipv6")]
use crate::frames::established;
use crate::frames::{
    ITS_MAC, MAC, NEW_MAC, ethernet, fates as fates_of, from_peer, know as know_link, live_on, open, question, segment,
    with_link,
};
#[cfg(feature = "ipv6")]
use crate::support::family::Family;
use crate::support::family::over_each;
use crate::support::packet::neighbors::{answer as arp_answer, is_about_neighbors};
use crate::support::rig::frames::{drain, interface};
use crate::support::rig::{
    Engine, PEER_ISN, Raw, Rig, START, Store, key, peer, quick_config, reach, small_listener, small_stream, us,
};
use crate::support::table::{ACK, RST, SYN};
use crate::{Memory, answer, copy, deny, fates, know, life, ms, probe};

fn at(n: u64) -> Instant {
    START + ms(n)
}

/// Segments sent: to whom, and their control bits. Who was asked for on the link. What was told of lost peers.
type Served = (Vec<(SocketAddr, u8)>, Vec<IpAddr>, Vec<(Instant, Fate)>);

/// Serves every deadline until `until`, answers the questions for whom `is_there` says, and returns the segments sent.
fn serve(
    link: &mut Link<'_>,
    ours: IpAddr,
    from: Instant,
    until: Instant,
    is_there: impl Fn(IpAddr) -> bool,
) -> Served {
    let (mut segments, mut questions, mut ends, mut now) = (vec![], vec![], vec![], from);
    loop {
        let mut deadline;
        loop {
            let drained = drain(link, now);
            deadline = drained.deadline;
            ends.extend(fates_of(&drained.events).into_iter().map(|fate| (now, fate)));
            let mut is_answered = false;
            for frame in &drained.frames {
                if let Some((_, target)) = question(frame) {
                    questions.push(target);
                    if is_there(target) {
                        let _ = link.handle_frame(now, &arp_answer((NEW_MAC, target), (MAC, ours)));
                        is_answered = true;
                    }
                } else {
                    let (src, dst, bytes) = crate::support::packet::read_ip(&frame[14..]);
                    let seg = crate::support::packet::segment::Seg::read(bytes, src, dst);
                    segments.push((SocketAddr::new(dst, seg.dport), seg.flags));
                }
            }
            if !is_answered {
                break;
            }
        }
        match deadline {
            Some((next, _)) if next <= until => now = next.max(now),
            _ => return (segments, questions, ends),
        }
        link.handle_timeout(now);
    }
}

/// Eight peers on the link. The first questions are lost (the switch's port does not forward yet). The first four hosts are off for good; the
/// others answer ARP within the same millisecond. The four silent ones take the four places for questions at each turn: the others are never
/// asked for, and given up.
#[test]
fn peers_behind_silent_ones_are_asked_too() {
    over_each(|family| {
        let journal = Memory::new();
        for n in 0..2_u8 {
            with_link(&journal, n + 1, ethernet(), |link| {
                let _ = know_link(link, &[interface(family, 1)]);
                for k in 0..4 {
                    let remote = SocketAddr::new(family.host(10 + 4 * n + k), 40_000);
                    link.connect(START, 6_000, remote, small_stream()).unwrap();
                    let asked = drain(link, START).frames;
                    let (_, hop) = asked.iter().find_map(|frame| question(frame)).unwrap();
                    let _ = link.handle_frame(START, &arp_answer((ITS_MAC, hop), (MAC, us(family).ip())));
                    let frames = drain(link, START).frames;
                    let syn = frames.iter().map(|frame| segment(frame).1).find(|seg| seg.flags == SYN).unwrap();
                    let raw = Raw { seq: 9, ack: syn.seq + 1, flags: SYN | ACK, wnd: 100, ..Raw::default() };
                    let local = SocketAddr::new(us(family).ip(), 6_000);
                    let _ = link.handle_frame(START, &from_peer(ITS_MAC, remote, local, &raw));
                    let _ = drain(link, START);
                }
            });
        }
        with_link(&journal, 5, ethernet(), |link| {
            link.set_addresses(&[interface(family, 1)], None).unwrap();
            let ours = us(family).ip();
            let is_there = |target| (14..18).any(|n| target == family.host(n));
            let (segments, questions, _) = serve(link, ours, START, at(70_000), is_there);
            let asked = |n: u8| segments.iter().filter(|(to, _)| to.ip() == family.host(n)).count();
            let sought = |n: u8| questions.iter().filter(|to| **to == family.host(n)).count();
            for n in 14..18 {
                assert_eq!(asked(n), 6, "host {n} is there, and was sought {} times", sought(n));
            }
        });
    });
}

/// A peer whose next hop does not answer. Another connection learns its own neighbor every 20 s. Each lesson starts the wait of the
/// lost peer anew: it is never given up.
#[test]
fn lessons_about_others_do_not_prolong_the_minute() {
    over_each(|family| {
        let journal = Memory::new();
        open(&journal, family, peer(family), false);
        with_link(&journal, 2, ethernet(), |link| {
            let _ = know_link(link, &[interface(family, 1)]);
            let (mut now, mut ends, mut n) = (START, vec![], 0_u8);
            let is_other = |target| target != peer(family).ip();
            for round in 1..=60_u64 {
                let until = at(round * 20_000);
                ends.extend(serve(link, us(family).ip(), now, until, is_other).2);
                now = until;
                n += 1;
                let remote = SocketAddr::new(family.host(100 + n % 8), 80);
                let handle = link.connect(now, 0, remote, small_stream()).unwrap();
                ends.extend(serve(link, us(family).ip(), now, now, is_other).2);
                link.tcp().abort(now, handle).unwrap();
            }
            assert_eq!(
                ends,
                [(at(60_000), Fate::GivenUp)],
                "after 20 minutes: {:?}",
                link.tcp_ref().lost_peers().next()
            );
        });
    });
}

/// The probe waits for its next hop, and the address is lost: the peer is to wait for an address. It is asked on.
#[test]
fn an_address_that_is_lost_while_the_next_hop_is_sought_stops_the_questions() {
    over_each(|family| {
        let journal = Memory::new();
        open(&journal, family, peer(family), false);
        with_link(&journal, 2, ethernet(), |link| {
            let _ = know_link(link, &[interface(family, 1)]);
            link.set_addresses(&[], None).unwrap();
            assert_eq!(live_on(link, START), (0, vec![]), "it waits");
        });
    });
}

/// questions leave from an address that is not ours.
#[cfg(feature = "ipv6")]
#[test]
fn nothing_is_sent_from_an_address_that_is_not_ours_any_more() {
    let family = Family::V6;
    let journal = Memory::new();
    open(&journal, family, peer(family), false);
    with_link(&journal, 2, ethernet(), |link| {
        let _ = know_link(link, &[interface(family, 1)]);
        link.set_addresses(&[interface(family, 3)], None).unwrap();
        let frames = drain(link, START).frames;
        let askers: Vec<_> = frames.iter().filter_map(|frame| question(frame)).collect();
        assert_eq!(askers, [], "asked from fd00::1, ours is fd00::3");
    });
    // The probe itself leaves from there.
    let journal = Memory::new();
    open(&journal, family, peer(family), false);
    with_link(&journal, 2, ethernet(), |link| {
        let _ = know_link(link, &[interface(family, 1)]);
        link.set_addresses(&[interface(family, 3)], None).unwrap();
        let ours = family.host(3);
        let (segments, ..) = serve(link, ours, START, at(1_000), |_| true);
        assert_eq!(segments, []);
    });
}

/// No route leads to the peer; its frames came by way of a router that we do not know by address (a server without a gateway). Six times is it to be
/// asked there, where the connection's own segments went as well.
#[test]
fn without_a_route_the_next_hop_of_the_last_time_is_all_there_is() {
    over_each(|family| {
        let far = SocketAddr::new(family.far(), 40_000);
        let journal = Memory::new();
        with_link(&journal, 1, ethernet(), |link| {
            link.set_addresses(&[interface(family, 1)], None).unwrap();
            link.tcp().listen(us(family), small_listener()).unwrap();
            let syn = Raw { seq: 9, flags: SYN, wnd: 100, ..Raw::default() };
            let _ = link.handle_frame(START, &from_peer(ITS_MAC, far, us(family), &syn));
            let iss = segment(&drain(link, START).frames[0]).1.seq;
            let ack = Raw { seq: 10, ack: iss + 1, flags: ACK, wnd: 100, ..Raw::default() };
            let _ = link.handle_frame(START, &from_peer(ITS_MAC, far, us(family), &ack));
            let _ = drain(link, START);
            assert_eq!(link.tcp_ref().state_of(us(family), far), State::Established);
        });
        with_link(&journal, 2, ethernet(), |link| {
            link.set_addresses(&[interface(family, 1)], None).unwrap();
            let (segments, ..) = serve(link, us(family).ip(), START, at(70_000), |_| true);
            assert_eq!(segments.len(), 6, "{segments:?}");
        });
    });
}

/// The peer has come back on the same pair before the probe could leave: the RST at the old number, and the probe, go into the new connection.
#[test]
fn a_new_connection_on_the_pair_gets_neither_the_old_rst_nor_the_probe() {
    over_each(|family| {
        let journal = Memory::new();
        let local = us(family);
        with_link(&journal, 1, ethernet(), |link| {
            let _ = know_link(link, &[interface(family, 1)]);
            link.connect(START, local.port(), peer(family), small_stream()).unwrap();
            let _ = drain(link, START);
            link.tcp().note_sequence_numbers();
        });
        with_link(&journal, 2, ethernet(), |link| {
            // The next hop is asked for, and does not answer yet.
            assert!(is_about_neighbors(&know_link(link, &[interface(family, 1)])[0]));
            link.tcp().listen(local, small_listener()).unwrap();
            let syn = Raw { seq: 9, flags: SYN, wnd: 100, ..Raw::default() };
            let _ = link.handle_frame(START, &from_peer(ITS_MAC, peer(family), local, &syn));
            let iss = segment(&drain(link, START).frames[0]).1.seq;
            let ack = Raw { seq: 10, ack: iss + 1, flags: ACK, wnd: 100, ..Raw::default() };
            let _ = link.handle_frame(START, &from_peer(ITS_MAC, peer(family), local, &ack));
            let _ = drain(link, START);
            assert_eq!(link.tcp_ref().state_of(local, peer(family)), State::Established);
            let _ = link.handle_frame(START, &arp_answer((ITS_MAC, peer(family).ip()), (MAC, local.ip())));
            let flags: Vec<_> = drain(link, START).frames.iter().map(|frame| segment(frame).1.flags).collect();
            assert_eq!(flags, [0_u8; 0], "into a connection that lives: RST {RST}, ACK {ACK}");
        });
    });
}

/// the handshake is done before the addresses are told.
#[test]
fn the_same_at_the_engine() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, |rig| {
            reach::accepted(rig);
            rig.engine.tcp.note_sequence_numbers();
        });
        life(family, &journal, 2, |rig| {
            rig.isn = 123_456;
            rig.enter();
            assert_eq!(rig.state(), State::Established);
            know(rig, &[us(family).ip()]);
            assert_eq!(rig.engine.sent, []);
        });
    });
}

/// The journal of an engine whose connections are in it already (kept again; or another one meanwhile): its own peers are taken for lost
/// ones, and reset at the number that was noted.
#[test]
fn a_journal_that_is_kept_again_does_not_reset_what_lives() {
    over_each(|family| {
        let (journal, other) = (Memory::new(), Memory::new());
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        rig.open();
        rig.engine.tcp.note_sequence_numbers();
        for journal in [&other, &journal] {
            rig.engine.tcp.keep_journal(START, journal).unwrap();
            know(&mut rig, &[us(family).ip()]);
            assert!(!rig.engine.tcp.has_lost_peers(), "{:?}", rig.engine.sent);
            assert_eq!(rig.engine.sent, [], "SND.NXT is {}", rig.model.snd_nxt);
        }
    });
}

/// The wait beside another IPv6 address counts while the link is down: nobody could learn an address then.
#[cfg(feature = "ipv6")]
#[test]
fn while_the_link_is_down_nobody_is_forgotten() {
    let other = interface(Family::V6, 3);
    for down in [120_000, 25 * 86_400_000_u64] {
        let journal = Memory::new();
        established(&journal, Family::V6);
        with_link(&journal, 2, ethernet(), |link| {
            link.lost();
            link.set_addresses(&[other], None).unwrap();
            assert_eq!(live_on(link, START), (0, vec![]));
            let late = at(down);
            link.restored(late);
            link.handle_timeout(late);
            let drained = drain(link, late);
            assert_eq!(fates_of(&drained.events), [], "down for {down} ms");
            let left = drained.deadline.map(|(at, _)| at.duration_since(late));
            assert_eq!(left, Some(ms(60_000)), "down for {down} ms");
            link.set_addresses(&[other, interface(Family::V6, 1)], None).unwrap();
            assert_eq!(drain(link, late).frames.len(), 1);
        });
    }
}

/// `set_addresses` has no time of its own: after an idle hour the minute is over before it begins.
#[cfg(feature = "ipv6")]
#[test]
fn the_minute_beside_another_address_begins_when_it_is_set() {
    let journal = Memory::new();
    established(&journal, Family::V6);
    with_link(&journal, 2, ethernet(), |link| {
        let late = at(3_600_000);
        // Nothing was due, so nobody has told the time since.
        let link_local = Interface { addr: "fe80::1".parse().unwrap(), prefix: 64 };
        link.set_addresses(&[link_local, interface(Family::V6, 3)], None).unwrap();
        link.handle_timeout(late);
        assert_eq!(fates_of(&drain(link, late).events), []);
    });
}

/// A journal that comes while an RST is due: the record is owed, and the audit says so.
#[test]
fn a_journal_that_comes_while_an_rst_is_due() {
    over_each(|family| {
        let journal = Memory::new();
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        rig.open();
        rig.engine.tcp.reset(rig.engine.now, rig.handle.unwrap()).unwrap();
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        assert_eq!(rig.engine.tcp.audit(), Ok(()));
    });
}

/// The peer has come back, and its new connection is in TIME-WAIT before the next question: it says itself that it has nothing.
#[test]
fn a_successor_in_time_wait_ends_the_questions() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::accepted);
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            rig.isn = 123_456;
            reach::time_wait_of_listener(rig);
            assert_eq!(rig.state(), State::TimeWait);
            for _ in 0..10 {
                if !rig.engine.tcp.has_lost_peers() {
                    break;
                }
                let _ = rig.engine.next_deadline();
                let probes: Vec<_> = rig.engine.sent.iter().filter(|sent| sent.wnd == 0).cloned().collect();
                for probe in probes {
                    deny(rig, &probe);
                }
            }
            assert_eq!(fates(rig), [Fate::Gone], "{:?}", rig.engine.tcp.counters().journal);
        });
    });
}

/// "Two over one spoil each other's records, and nothing else": has_output for ever, and nothing comes.
#[test]
fn two_engines_over_one_journal_do_not_spin() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::with(&mut *store, quick_config(), key(2), START), family, PEER_ISN);
        rig.engine.is_audited = false;
        rig.engine.tcp.keep_journal(START, &journal).unwrap();
        rig.engine.tcp.find_lost_peers(START, &[us(family).ip()]);
        let mut store = Box::new(Store::new());
        let mut other = Tcp::new(&mut *store, quick_config(), key(3)).unwrap();
        other.keep_journal(START, &journal).unwrap();
        rig.engine.drain();
        assert!(!rig.engine.tcp.has_output(), "it said Timeout");
    });
}

/// Two records of one pair: the newer one has the number that holds.
#[test]
fn of_two_records_of_a_pair_the_newer_counts() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::accepted);
        let number = life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            rig.isn = 123_456;
            rig.enter();
            rig.engine.tcp.note_sequence_numbers();
            rig.model.snd_nxt
        });
        life(family, &copy(&journal), 3, |rig| {
            know(rig, &[us(family).ip()]);
            assert_eq!((rig.engine.sent[0].reason, rig.engine.sent[0].seq), (Some(ResetReason::Restarted), number));
        });
    });
}

/// Over a medium without link addresses at the engine: `connect` was told the next hop, the probe says it has none.
#[test]
fn a_next_hop_that_is_known_to_be_nobodys_is_known() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &journal, 2, |rig| {
            rig.engine.tcp.find_lost_peers(START, &[us(family).ip()]);
            let Output::Transmit(transmit) = rig.engine.tcp.poll_output(START) else { panic!() };
            assert_eq!(transmit.link_addr(), Some(LinkAddr::default()));
        });
    });
}

/// The RST that went out before the link was found to be down is not sent again, and the peer's denial counts as told.
#[test]
fn what_was_asked_without_a_link_was_not_asked_nor_told() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, |rig| {
            rig.open();
            rig.engine.tcp.note_sequence_numbers();
        });
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            assert_eq!(rig.engine.sent.len(), 2);
            rig.engine.tcp.link_lost();
            rig.engine.wait(ms(10_000));
            rig.engine.tcp.link_restored(rig.engine.now);
            rig.engine.drain();
            assert_eq!(rig.engine.sent.len(), 2, "the RST again, and the probe");
        });
    });
}

/// How often it was asked: not at all.
#[test]
fn what_was_not_sent_was_not_asked() {
    over_each(|family| {
        let journal = Memory::new();
        open(&journal, family, peer(family), false);
        with_link(&journal, 2, ethernet(), |link| {
            let _ = know_link(link, &[interface(family, 1)]);
            let probes: Vec<_> = link.tcp_ref().lost_peers().map(|peer| peer.probes).collect();
            assert_eq!(probes, [0]);
        });
    });
}

/// A device that takes nothing, and says nothing about its link: each minute counts as an attempt.
#[test]
fn a_device_that_takes_nothing_holds_a_question_for_six_minutes() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, reach::open);
        life(family, &journal, 2, |rig| {
            let tcp = &mut rig.engine.tcp;
            tcp.find_lost_peers(START, &[us(family).ip()]);
            let (mut now, mut minutes) = (START, 0);
            while tcp.has_lost_peers() {
                assert!(matches!(tcp.poll_output(now), Output::Transmit(_)));
                let (at, timer) = tcp.next_timeout(now).unwrap();
                assert_eq!((timer, at.duration_since(now)), (Timer::LostPeer, ms(60_000)));
                now = at;
                tcp.handle_timeout(now);
                minutes += 1;
            }
            assert_eq!((minutes, tcp.counters().journal.given_up, tcp.counters().journal.probes), (6, 1, 0));
        });
    });
}

/// As many records as slots, the least that is allowed: whoever may connect pushes the peers out before they are told.
#[test]
fn strangers_who_connect_do_not_push_peers_out() {
    over_each(|family| {
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
                continue;
            }
            // One connection after another, each ended at once.
            know(&mut rig, &[us(family).ip()]);
            let stranger = SocketAddr::new(family.host(66), 1);
            rig.engine.tcp.listen(rig.us, small_listener()).unwrap();
            for k in 0..4 {
                let from = SocketAddr::new(stranger.ip(), 1 + k);
                let syn = Raw { seq: 9, flags: SYN, wnd: 100, ..Raw::default() };
                let _ = rig.engine.arrive(from, rig.us, &syn);
                let iss = rig.engine.only().seq;
                let ack = Raw { seq: 10, ack: iss.wrapping_add(1), flags: ACK, wnd: 100, ..Raw::default() };
                let _ = rig.engine.arrive(from, rig.us, &ack);
            }
            assert_eq!(rig.engine.tcp.counters().journal.forgotten, 0);
        }
    });
}

/// An active open on the pair, and the old peer's answers.
#[test]
fn an_active_open_on_the_pair_tells_the_old_peer_and_is_not_harmed() {
    over_each(|family| {
        let journal = Memory::new();
        let model = life(family, &journal, 1, |rig| {
            rig.open();
            rig.model
        });
        life(family, &journal, 2, |rig| {
            rig.model = model;
            know(rig, &[us(family).ip()]);
            let first = probe(rig);
            let (now, us, peer) = (rig.engine.now, rig.us, rig.peer);
            let handle = rig.engine.tcp.connect(now, us, peer, Some(LinkAddr::default()), small_stream()).unwrap();
            rig.engine.drain();
            let iss = rig.engine.only().seq;
            // To the probe, and to the SYN.
            answer(rig);
            assert_eq!(rig.engine.sent[0].flags, RST);
            deny(rig, &first);
            let syn_ack = Raw { seq: 9, ack: iss.wrapping_add(1), flags: SYN | ACK, wnd: 100, ..Raw::default() };
            let _ = rig.engine.arrive(peer, us, &syn_ack);
            for _ in 0..3 {
                if rig.engine.deadline.is_some() {
                    let _ = rig.engine.next_deadline();
                }
            }
            assert_eq!(rig.engine.tcp.status(handle).unwrap().state, State::Established);
            assert_eq!(fates(rig).len(), 1);
        });
    });
}
