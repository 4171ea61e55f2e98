//! Behind frames: whose address it is now, and by which way the question goes.

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, Medium};
use tcp_reset_core::{ChecksumBy, Config, Event, Fate, Instant, Tcp};

use crate::support::family::{Family, over_each};
use crate::support::packet::neighbors::{answer, read_question};
use crate::support::packet::segment::Seg;
use crate::support::packet::{self, ETHERNET_HEADER, Mac, ip_packet, on_ethernet};
use crate::support::rig::frames::{Drained, drain, interface};
use crate::support::rig::{Raw, START, Store, key, peer, small_stream, us};
use crate::support::table::{ACK, RST, SYN};
use crate::{Memory, ms};

pub(crate) const MAC: Mac = [2, 0, 0, 0, 0, 1];
pub(crate) const ITS_MAC: Mac = [2, 0, 0, 0, 0, 9];
/// Another next hop than at the last time.
pub(crate) const NEW_MAC: Mac = [2, 0, 0, 0, 0, 7];

pub(crate) fn with_link<R>(journal: &Memory, n: u8, medium: Medium, test: impl FnOnce(&mut Link<'_>) -> R) -> R {
    let mut store = Box::new(Store::new());
    let mut link = Link::new(Tcp::new(&mut *store, Config::default(), key(n)).unwrap(), medium, ChecksumBy::Software);
    link.keep_journal(START, journal).unwrap();
    test(&mut link)
}

pub(crate) fn ethernet() -> Medium {
    Medium::Ethernet(tcp_reset_core::LinkAddr(MAC))
}

/// Sets our addresses, the router's beside the first, and returns what goes out.
pub(crate) fn know(link: &mut Link<'_>, ours: &[Interface]) -> Vec<Vec<u8>> {
    let router = ours.first().map(|first| if first.addr.is_ipv4() { Family::V4 } else { Family::V6 }.host(254));
    link.set_addresses(ours, router).unwrap();
    drain(link, START).frames
}

/// Opens a connection to the peer; it knows its next hop's link address if the peer answers.
pub(crate) fn open(journal: &Memory, family: Family, remote: SocketAddr, is_answered: bool) {
    with_link(journal, 1, ethernet(), |link| {
        let _ = know(link, &[interface(family, 1)]);
        link.connect(START, us(family).port(), remote, small_stream()).unwrap();
        let asked = drain(link, START).frames;
        let (_, hop) = question(&asked[0]).unwrap();
        if is_answered {
            let _ = link.handle_frame(START, &answer((ITS_MAC, hop), (MAC, us(family).ip())));
            let iss = segment(&drain(link, START).frames[0]).1.seq;
            let raw = Raw { seq: 9, ack: iss + 1, flags: SYN | ACK, wnd: 100, ..Raw::default() };
            let _ = link.handle_frame(START, &from_peer(ITS_MAC, remote, us(family), &raw));
            let _ = drain(link, START);
        }
    });
}

pub(crate) fn from_peer(mac: Mac, remote: SocketAddr, local: SocketAddr, raw: &Raw<'_>) -> Vec<u8> {
    on_ethernet(MAC, mac, &ip_packet(remote.ip(), local.ip(), &raw.bytes(remote, local)))
}

/// Who asks, and whom for.
pub(crate) fn question(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    read_question(frame).map(|((_, asker), target)| (asker, target))
}

pub(crate) fn segment(frame: &[u8]) -> (Mac, Seg) {
    let (src, dst, segment) = packet::read_ip(&frame[ETHERNET_HEADER..]);
    (frame[..6].try_into().unwrap(), Seg::read(segment, src, dst))
}

pub(crate) fn fates(events: &[Event]) -> Vec<Fate> {
    events.iter().filter_map(|event| if let Event::LostPeer(_, fate) = event { Some(*fate) } else { None }).collect()
}

fn restart(before: impl Fn(&Memory, Family), medium: Medium, after: impl Fn(&mut Link<'_>, Family)) {
    over_each(|family| {
        let journal = Memory::new();
        before(&journal, family);
        with_link(&journal, 2, medium, |link| after(link, family));
    });
}

pub(crate) fn established(journal: &Memory, family: Family) {
    open(journal, family, peer(family), true);
}

#[test]
fn the_first_question_goes_to_the_next_hop_of_the_last_time_at_once() {
    restart(established, ethernet(), |link, family| {
        assert_eq!(drain(link, START).frames.len(), 0, "no address");
        let asked = know(link, &[interface(family, 1)]);
        let [frame] = &asked[..] else { panic!("{asked:x?}") };
        let (to, probe) = segment(frame);
        assert_eq!((to, probe.flags, probe.wnd), (ITS_MAC, ACK, 0));
        // The answer comes from wherever the peer is now, and so does what it draws.
        let raw = Raw { seq: 10, ack: 777, flags: ACK, wnd: 100, ..Raw::default() };
        let _ = link.handle_frame(START, &from_peer(NEW_MAC, peer(family), us(family), &raw));
        let Drained { frames, events, .. } = drain(link, START);
        let (to, rst) = segment(&frames[0]);
        assert_eq!((to, rst.flags, rst.seq), (NEW_MAC, RST, 777));
        assert_eq!(fates(&events), [Fate::Told]);
    });
}

#[test]
fn the_second_question_asks_for_the_next_hop_first() {
    for remote in [peer as fn(Family) -> SocketAddr, |family| SocketAddr::new(family.far(), 40_000)] {
        let before = |journal: &Memory, family: Family| open(journal, family, remote(family), true);
        restart(before, ethernet(), |link, family| {
            assert_eq!(know(link, &[interface(family, 1)]).len(), 1);
            let later = START + ms(1_000);
            link.handle_timeout(later);
            let asked = drain(link, later).frames;
            let hop = if remote(family) == peer(family) { peer(family).ip() } else { family.host(254) };
            assert_eq!((asked.len(), question(&asked[0])), (1, Some((us(family).ip(), hop))));
            let _ = link.handle_frame(later, &answer((NEW_MAC, hop), (MAC, us(family).ip())));
            let asked = drain(link, later).frames;
            assert_eq!((asked.len(), segment(&asked[0]).0), (1, NEW_MAC));
        });
    }
}

#[test]
fn a_peer_whose_next_hop_was_never_known_is_asked_when_it_is() {
    let before = |journal: &Memory, family: Family| open(journal, family, peer(family), false);
    restart(before, ethernet(), |link, family| {
        let asked = know(link, &[interface(family, 1)]);
        assert_eq!((asked.len(), question(&asked[0]).is_some()), (1, true));
        let later = START + ms(300);
        let _ = link.handle_frame(later, &answer((ITS_MAC, peer(family).ip()), (MAC, us(family).ip())));
        let asked = drain(link, later).frames;
        assert_eq!((asked.len(), segment(&asked[0]).1.flags), (1, ACK));
    });
    // And given up in time where nobody answers.
    restart(before, ethernet(), |link, family| {
        let mut frames = know(link, &[interface(family, 1)]);
        let (mut now, mut ends) = (START, vec![]);
        while let Some((at, _)) = link.next_timeout(now) {
            now = at;
            link.handle_timeout(now);
            let drained = drain(link, now);
            frames.extend(drained.frames);
            ends.extend(fates(&drained.events));
            assert_eq!(link.audit(), Ok(()));
        }
        assert_eq!((ends, now.duration_since(START)), (vec![Fate::GivenUp], ms(60_000)));
        assert!(frames.iter().all(|frame| question(frame).is_some()));
        assert_eq!(frames.len(), 6, "one for each question");
    });
}

/// The exact RST needs a next hop as much as the question does.
#[test]
fn a_noted_number_waits_for_the_next_hop_too() {
    let before = |journal: &Memory, family: Family| {
        with_link(journal, 1, ethernet(), |link| {
            let _ = know(link, &[interface(family, 1)]);
            link.connect(START, us(family).port(), peer(family), small_stream()).unwrap();
            let _ = drain(link, START);
            link.tcp().note_sequence_numbers();
        });
    };
    restart(before, ethernet(), |link, family| {
        assert!(question(&know(link, &[interface(family, 1)])[0]).is_some());
        let _ = link.handle_frame(START, &answer((ITS_MAC, peer(family).ip()), (MAC, us(family).ip())));
        let flags: Vec<_> = drain(link, START).frames.iter().map(|frame| segment(frame).1.flags).collect();
        assert_eq!(flags, [RST, ACK]);
    });
}

#[test]
fn over_plain_ip_there_is_no_next_hop() {
    restart(established, Medium::Ip, |link, family| {
        let asked = know(link, &[interface(family, 1)]);
        let [packet] = &asked[..] else { panic!("{asked:x?}") };
        let (src, dst, bytes) = packet::read_ip(packet);
        assert_eq!((src, dst), (us(family).ip(), peer(family).ip()));
        assert_eq!(Seg::read(bytes, src, dst).flags, ACK);
    });
}

/// Serves every deadline; what was sent, and what was told and when.
pub(crate) fn live_on(link: &mut Link<'_>, from: Instant) -> (usize, Vec<(Instant, Fate)>) {
    let (mut sent, mut ends, mut now) = (0, vec![], from);
    loop {
        let drained = drain(link, now);
        sent += drained.frames.len();
        ends.extend(fates(&drained.events).into_iter().map(|fate| (now, fate)));
        let Some((at, _)) = drained.deadline else { return (sent, ends) };
        now = at;
        link.handle_timeout(now);
    }
}

#[test]
fn on_another_ipv4_address_nobody_is_asked() {
    let journal = Memory::new();
    established(&journal, Family::V4);
    with_link(&journal, 2, ethernet(), |link| {
        link.set_addresses(&[interface(Family::V4, 3)], None).unwrap();
        assert_eq!(live_on(link, START), (0, vec![(START, Fate::Forgotten)]));
        assert_eq!(link.tcp_ref().counters().journal.forgotten, 1);
    });
    assert_eq!(crate::found_next(Family::V4, &journal), 0);
}

#[test]
fn an_address_that_is_lost_again_stops_the_questions() {
    restart(established, ethernet(), |link, family| {
        assert_eq!(know(link, &[interface(family, 1)]).len(), 1);
        link.set_addresses(&[], None).unwrap();
        assert_eq!(live_on(link, START), (0, vec![]), "it waits");
        assert_eq!(know(link, &[interface(family, 1)]).len(), 1);
    });
}

#[cfg(feature = "ipv6")]
#[test]
fn another_ipv6_address_is_waited_beside_for_a_minute() {
    let other = interface(Family::V6, 3);
    let link_local = Interface { addr: "fe80::1".parse().unwrap(), prefix: 64 };
    let restart = |test: &dyn Fn(&mut Link<'_>)| {
        let journal = Memory::new();
        established(&journal, Family::V6);
        with_link(&journal, 2, ethernet(), |link| test(link));
    };
    restart(&|link| {
        // Of another scope, and of another family: they say little.
        link.set_addresses(&[link_local, interface(Family::V4, 3)], None).unwrap();
        link.handle_timeout(START);
        let deadline = drain(link, START).deadline;
        assert_eq!(deadline.map(|(at, _)| at.duration_since(START)), Some(ms(600_000)));
        link.set_addresses(&[link_local, other], None).unwrap();
        assert_eq!(live_on(link, START), (0, vec![(START + ms(60_000), Fate::Forgotten)]));
    });
    restart(&|link| {
        link.set_addresses(&[other], None).unwrap();
        let _ = drain(link, START);
        let late = START + ms(59_999);
        link.handle_timeout(late);
        link.set_addresses(&[other, interface(Family::V6, 1)], None).unwrap();
        assert_eq!(drain(link, late).frames.len(), 1);
    });
}

/// A forged or outdated record makes nobody ask a group, or ourselves.
#[test]
fn a_peer_that_is_ourselves_or_many_is_not_asked() {
    restart(established, ethernet(), |link, family| {
        let both = [interface(family, 1), Interface { addr: peer(family).ip(), prefix: family.prefix() }];
        link.set_addresses(&both, None).unwrap();
        assert_eq!(live_on(link, START), (0, vec![(START, Fate::Forgotten)]));
    });
    // The network has become so small that the peer is its broadcast address.
    let journal = Memory::new();
    open(&journal, Family::V4, SocketAddr::new(Family::V4.host(3), 1), true);
    with_link(&journal, 2, ethernet(), |link| {
        link.set_addresses(&[Interface { addr: Family::V4.host(1), prefix: 30 }], None).unwrap();
        assert_eq!(live_on(link, START), (0, vec![(START, Fate::Forgotten)]));
    });
}

/// Without a way to the peer it is asked as soon as there is one.
#[test]
fn a_peer_without_a_route_is_given_up_in_time() {
    let before = |journal: &Memory, family: Family| open(journal, family, SocketAddr::new(family.far(), 1), false);
    restart(before, ethernet(), |link, family| {
        link.set_addresses(&[interface(family, 1)], None).unwrap();
        assert_eq!(live_on(link, START), (0, vec![(START + ms(60_000), Fate::GivenUp)]));
    });
}

/// The link comes up a minute after the address was set: nothing is lost.
#[test]
fn the_link_says_when_it_is_down() {
    restart(established, ethernet(), |link, family| {
        link.lost();
        assert_eq!(know(link, &[interface(family, 1)]).len(), 0);
        assert_eq!(live_on(link, START), (0, vec![]));
        let late = START + ms(120_000);
        link.restored(late);
        assert_eq!(drain(link, late).frames.len(), 1);
    });
}
