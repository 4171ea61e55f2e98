//! An attacker against neighbor discovery (RFC 4861): what an active open asks, whom it believes, and whom it does not.

use std::net::{Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use tcp_reset_core::State;
use tcp_reset_core::link::{LinkOutput, Medium, Received};

use crate::headers::{DISCARD, PAD, Part, Yields, chain, destination, fragment, upper, walk};
use crate::packet::{
    self, ADVERTISEMENT, ETHERNET_HEADER, ICMPV6, IPV6, IPV6_HEADER, Mac, OVERRIDE, Outgoing, Question, REDIRECT,
    ROUTER, ROUTER_ADVERTISEMENT, SOLICITATION, SOLICITED, SOURCE_LINK, SYN, TARGET_LINK, link_option,
};
use crate::random::runner;
use crate::scene::{
    self, ALL_NODES, ETHERNET, EVIL_MAC, FAR, MS, OURS, OURS_LINK, OURS_MAC, PEER, PEER_LINK, PEER_MAC, ROUTER_MAC,
    SECOND, Scene, Store, THIRD,
};

const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0202);

/// Whom a connection is opened to, and who has to be asked for.
#[derive(Clone, Copy, Debug)]
struct Goal {
    remote: Ipv6Addr,
    target: Ipv6Addr,
    mac: Mac,
    /// Our address that the peer is spoken to from.
    ours: Ipv6Addr,
}

const ON_LINK: Goal = Goal { remote: PEER, target: PEER, mac: PEER_MAC, ours: OURS };
const BEHIND: Goal = Goal { remote: FAR, target: scene::ROUTER, mac: ROUTER_MAC, ours: OURS };
const LINK_LOCAL: Goal = Goal { remote: PEER_LINK, target: PEER_LINK, mac: PEER_MAC, ours: OURS_LINK };
const GOALS: [Goal; 3] = [ON_LINK, BEHIND, LINK_LOCAL];

/// What is changed about an advertisement.
type Change = fn(&mut Advert);

/// An advertisement with everything that can be wrong about it.
#[derive(Clone, Debug)]
struct Advert {
    src: Ipv6Addr,
    dst: Ipv6Addr,
    hop_limit: u8,
    kind: u8,
    code: u8,
    flags: u8,
    target: Ipv6Addr,
    options: Vec<u8>,
    /// Added to the right checksum.
    off_by: u16,
    /// What is left of the message, if not all.
    keep: Option<usize>,
}

impl Advert {
    /// The right answer, telling `mac`.
    fn telling(goal: &Goal, mac: Mac) -> Advert {
        Advert {
            src: goal.target,
            dst: goal.ours,
            hop_limit: 255,
            kind: ADVERTISEMENT,
            code: 0,
            flags: SOLICITED | OVERRIDE,
            target: goal.target,
            options: link_option(TARGET_LINK, mac),
            off_by: 0,
            keep: None,
        }
    }

    fn message(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0];
        message.extend(packet::discovery_body(self.flags, self.target, &self.options));
        message.truncate(self.keep.unwrap_or(message.len()));
        packet::seal_icmpv6(self.src, self.dst, &mut message);
        let sum = u16::from_be_bytes([message[2], message[3]]).wrapping_add(self.off_by);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    fn packet(&self) -> Vec<u8> {
        packet::ipv6_limited(self.src, self.dst, ICMPV6, self.hop_limit, &self.message())
    }

    /// The same message behind headers.
    fn behind(&self, mut headers: Vec<Part>) -> Vec<u8> {
        headers.push(upper("", ICMPV6, &self.message()));
        let (next, bytes) = chain(&headers);
        packet::ipv6_limited(self.src, self.dst, next, self.hop_limit, &bytes)
    }
}

/// What advertisements and everything like them are: noted at most, and the IP stack's in any case.
fn is_passed_on(received: Received) -> bool {
    matches!(received, Received::Observed | Received::NotMine)
}

fn questions(out: Vec<Outgoing>) -> Vec<Question> {
    out.into_iter()
        .map(|outgoing| match outgoing {
            Outgoing::Question(question) => question,
            other @ (Outgoing::Segment(_) | Outgoing::ArpQuestion(_)) => panic!("not a question: {other:?}"),
        })
        .collect()
}

/// Opens a connection for which the neighbor has to be asked for.
fn ask(scene: &mut Scene<'_>, goal: &Goal) -> Question {
    scene.connect(SocketAddr::new(goal.remote.into(), 7));
    let asked = questions(scene.pump());
    assert_eq!(asked.len(), 1, "one question");
    asked[0].clone()
}

/// Sees that SYNs go out now, to this link address only.
#[track_caller]
fn expect_syn(scene: &mut Scene<'_>, goal: &Goal, mac: Mac) {
    let sent = scene.segments();
    assert!(!sent.is_empty(), "no SYN to {goal:?}");
    for sent in sent {
        assert_eq!((sent.to, sent.seg.flags), (Some(mac), SYN));
        assert_eq!((sent.src, sent.dst), (goal.ours.into(), goal.remote.into()));
    }
}

/// After `packets`, none of which teaches anything, the question stays open; the right answer then counts.
fn expect_nothing_learned(goal: &Goal, name: &str, frames: &[Vec<u8>]) {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    ask(&mut scene, goal);
    for frame in frames {
        let received = scene.handle(frame);
        assert!(is_passed_on(received), "{name}: {received:?}");
        assert_eq!(scene.pump(), [], "{name}");
    }
    let again = questions(scene.run(1_100 * MS));
    assert_eq!(again.len(), 1, "{name}: asked again");
    assert!(is_passed_on(scene.deliver(&Advert::telling(goal, goal.mac).packet())), "{name}");
    expect_syn(&mut scene, goal, goal.mac);
}

#[test]
fn question_is_a_solicitation_to_the_byte() {
    for goal in GOALS {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        let asked = ask(&mut scene, &goal);
        let low = &goal.target.octets()[13..];
        let group: Ipv6Addr = format!("ff02::1:ff{:02x}:{:02x}{:02x}", low[0], low[1], low[2]).parse().unwrap();
        assert_eq!(asked.to, [0x33, 0x33, 0xff, low[0], low[1], low[2]]);
        assert_eq!((asked.dst, asked.target, asked.source_link), (group, goal.target, OURS_MAC));
        assert!(asked.src == goal.ours || asked.src == OURS_LINK, "one of ours");
        let frame = scene.wire.last().unwrap();
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!(frame[12..20], [0x86, 0xdd, 0x60, 0, 0, 0, 0, 32]);
        assert_eq!(frame[20..22], [58, 255]);
        assert_eq!(frame[54..56], [135, 0]);
        assert_eq!(frame[58..62], [0; 4], "reserved");
        assert_eq!(frame[78..80], [1, 1], "the source's link address, one unit");
        assert_eq!(scene.counters().neighbor_solicitations, 1);
        assert_eq!(scene.counters().arp_requests, 0);
    }
}

#[test]
fn question_is_repeated_at_most_once_a_second() {
    for goal in GOALS {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        ask(&mut scene, &goal);
        let (begin, mut last, mut count) = (scene.now, scene.now, 1u32);
        let mut evil = Advert::telling(&goal, EVIL_MAC);
        evil.flags = OVERRIDE;
        for _ in 0..2_000 {
            // What nobody asked for does not hurry us.
            assert!(is_passed_on(scene.deliver(&evil.packet())));
            for question in questions(scene.run(10 * MS)) {
                assert_eq!(question.target, goal.target);
                assert!(scene.now - last >= SECOND, "after {} us", scene.now - last);
                (last, count) = (scene.now, count + 1);
            }
        }
        assert!(count >= 10, "{count} questions in {} us", scene.now - begin);
        assert_eq!(scene.counters().neighbor_solicitations, count);
    }
}

/// Two opens to one neighbor ask once.
#[test]
fn opens_to_one_neighbor_share_the_question() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    ask(&mut scene, &BEHIND);
    scene.connect(SocketAddr::new(FAR.into(), 8));
    assert_eq!(scene.pump(), []);
    let _ = scene.deliver(&Advert::telling(&BEHIND, ROUTER_MAC).packet());
    let sent = scene.segments();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|sent| sent.to == Some(ROUTER_MAC)));
}

#[test]
fn right_advertisements_teach() {
    let changes: [(&str, Change); 8] = [
        ("as it is", |_| {}),
        ("without override", |advert| advert.flags = SOLICITED),
        ("from a router", |advert| advert.flags |= ROUTER),
        ("reserved bits", |advert| advert.flags |= 0x1f),
        ("an unknown option before", |advert| {
            advert.options = [&[14, 1, 1, 2, 3, 4, 5, 6][..], &advert.options].concat();
        }),
        ("an unknown option behind", |advert| advert.options.extend([253, 2].iter().chain(&[0; 14]))),
        ("its source's address too", |advert| advert.options.extend(link_option(SOURCE_LINK, EVIL_MAC))),
        // RFC 4861 §7.2.8: a proxy.
        ("by somebody else", |advert| advert.src = THIRD),
    ];
    for goal in GOALS {
        for (name, change) in changes {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            ask(&mut scene, &goal);
            let mut advert = Advert::telling(&goal, goal.mac);
            change(&mut advert);
            assert_eq!(scene.deliver(&advert.packet()), Received::Observed, "{name}");
            expect_syn(&mut scene, &goal, goal.mac);
            scene.connect(SocketAddr::new(goal.remote.into(), 9));
            expect_syn(&mut scene, &goal, goal.mac);
        }
    }
}

/// RFC 4861 §7.1.2: defined options that are not for advertisements "MUST be ignored and the packet processed as normal".
#[test]
fn advertisement_with_options_of_other_messages_teaches() {
    let mut wrong = Vec::new();
    for kind in [1, 3, 4, 5] {
        for units in [1, 2, 4] {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            ask(&mut scene, &ON_LINK);
            let mut advert = Advert::telling(&ON_LINK, PEER_MAC);
            advert.options.extend([&[kind, units][..], &vec![0; 8 * usize::from(units) - 2]].concat());
            let _ = scene.deliver(&advert.packet());
            if scene.segments().len() != 1 {
                wrong.push((kind, units));
            }
        }
    }
    assert!(wrong.is_empty(), "(kind, units): {wrong:?}");
}

/// Advertisements that are wrong in one thing: RFC 4861 §7.1.2, and what is no station's.
const WRONG: &[(&str, Change)] = &[
    ("hop limit 254", |advert| advert.hop_limit = 254),
    ("hop limit 64", |advert| advert.hop_limit = 64),
    ("hop limit 0", |advert| advert.hop_limit = 0),
    ("checksum", |advert| advert.off_by = 1),
    ("checksum's high byte", |advert| advert.off_by = 0x100),
    ("code 1", |advert| advert.code = 1),
    ("code 255", |advert| advert.code = 255),
    ("zero-length option behind", |advert| advert.options.extend([0; 8])),
    ("zero-length option before", |advert| advert.options = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &advert.options].concat()),
    ("zero-length target option", |advert| advert.options[1] = 0),
    ("option over the end", |advert| advert.options.extend([14, 2, 0, 0, 0, 0, 0, 0])),
    ("option cut after its kind", |advert| advert.options.push(14)),
    ("option cut after its length", |advert| advert.options.extend([14, 1])),
    ("target option over the end", |advert| advert.options[1] = 2),
    ("target option cut", |advert| advert.options.truncate(7)),
    ("no option", |advert| advert.options.clear()),
    ("the source's option only", |advert| advert.options[0] = SOURCE_LINK),
    ("another option only", |advert| advert.options[0] = 14),
    ("multicast link address", |advert| advert.options[2] |= 1),
    ("broadcast link address", |advert| advert.options[2..].fill(0xff)),
    ("zero link address", |advert| advert.options[2..].fill(0)),
    ("solicited to all nodes", |advert| advert.dst = ALL_NODES),
    ("solicited to our group", |advert| advert.dst = packet::solicited_node(OURS)),
    ("not solicited", |advert| advert.flags = OVERRIDE),
    ("not solicited, to all nodes", |advert| (advert.flags, advert.dst) = (OVERRIDE, ALL_NODES)),
    ("no flags", |advert| advert.flags = 0),
    ("reserved flags only", |advert| advert.flags = 0x9f),
    ("another target", |advert| advert.target = THIRD),
    ("our own address as target", |advert| advert.target = OURS),
    ("multicast target", |advert| advert.target = ALL_NODES),
    ("the target's group as target", |advert| advert.target = packet::solicited_node(advert.target)),
    ("unspecified target", |advert| advert.target = Ipv6Addr::UNSPECIFIED),
    ("IPv4-mapped target", |advert| advert.target = MAPPED),
    ("unspecified source", |advert| advert.src = Ipv6Addr::UNSPECIFIED),
    ("multicast source", |advert| advert.src = ALL_NODES),
    ("IPv4-mapped source", |advert| advert.src = MAPPED),
    ("IPv4-mapped destination", |advert| advert.dst = MAPPED),
    ("a solicitation", |advert| advert.kind = SOLICITATION),
    ("a solicitation with its source's address", |advert| {
        (advert.kind, advert.options[0]) = (SOLICITATION, SOURCE_LINK);
    }),
    ("a router solicitation", |advert| advert.kind = packet::ROUTER_SOLICITATION),
    ("a router advertisement", |advert| advert.kind = ROUTER_ADVERTISEMENT),
    ("a redirect", |advert| advert.kind = REDIRECT),
    ("an echo reply", |advert| advert.kind = packet::ECHO_REPLY),
    ("an error", |advert| advert.kind = packet::UNREACHABLE),
    ("23 bytes", |advert| advert.keep = Some(23)),
    ("8 bytes", |advert| advert.keep = Some(8)),
    ("4 bytes", |advert| advert.keep = Some(4)),
];

#[test]
fn wrong_advertisements_teach_nothing() {
    for goal in GOALS {
        for (name, change) in WRONG {
            for mac in [EVIL_MAC, goal.mac] {
                let mut advert = Advert::telling(&goal, mac);
                change(&mut advert);
                let frame = scene::wrap(OURS_MAC, EVIL_MAC, &advert.packet());
                expect_nothing_learned(&goal, name, &[frame.clone(), frame]);
            }
        }
    }
}

/// Well-formed messages of the other kinds, with every option that could teach.
#[test]
fn other_messages_teach_nothing() {
    for goal in GOALS {
        let evil = [link_option(SOURCE_LINK, EVIL_MAC), link_option(TARGET_LINK, EVIL_MAC)].concat();
        let message = |kind, src, dst, body: &[u8]| {
            let message = packet::icmpv6(src, dst, kind, 0, body);
            scene::wrap(OURS_MAC, EVIL_MAC, &packet::ipv6_limited(src, dst, ICMPV6, 255, &message))
        };
        let routers = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &evil].concat();
        let redirect = [&[0; 4][..], &goal.target.octets(), &goal.remote.octets(), &evil].concat();
        let solicitation = packet::discovery_body(0, goal.ours, &evil);
        let frames = [
            message(ROUTER_ADVERTISEMENT, goal.target, ALL_NODES, &routers),
            message(ROUTER_ADVERTISEMENT, goal.target, goal.ours, &routers),
            message(REDIRECT, goal.target, goal.ours, &redirect),
            message(REDIRECT, scene::ROUTER, goal.ours, &redirect),
            message(SOLICITATION, goal.target, packet::solicited_node(goal.ours), &solicitation),
            message(SOLICITATION, goal.target, goal.ours, &solicitation),
            message(packet::ROUTER_SOLICITATION, goal.target, goal.ours, &[&[0; 4][..], &evil].concat()),
            message(packet::ECHO_REQUEST, goal.target, goal.ours, &[0; 8]),
        ];
        for frame in frames {
            expect_nothing_learned(&goal, &format!("type {}", frame[54]), &[frame]);
        }
    }
}

/// In a part of a packet or behind headers that are not stepped over there is no advertisement (RFC 6980 §5 for fragments).
#[test]
fn advertisements_behind_headers_that_hide_them_teach_nothing() {
    for goal in GOALS {
        let advert = Advert::telling(&goal, EVIL_MAC);
        for headers in [
            vec![fragment("first", 0, true)],
            vec![fragment("later", 1, false)],
            vec![destination("discard", &DISCARD)],
            vec![destination("", &PAD), fragment("first", 0, true)],
        ] {
            let frame = scene::wrap(OURS_MAC, EVIL_MAC, &advert.behind(headers));
            expect_nothing_learned(&goal, "hidden", &[frame]);
        }
    }
}

/// RFC 4861 §7.2.2: the source of the packet that prompted the question, if it is ours.
#[test]
fn question_comes_from_the_address_of_the_connection() {
    for goal in GOALS {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        assert_eq!(ask(&mut scene, &goal).src, goal.ours, "{goal:?}");
    }
}

/// A packet to another host's address is not for us, whatever station its frame is for (RFC 8200 §3): it answers no question of ours.
#[test]
fn advertisement_to_another_hosts_address_teaches_nothing() {
    for goal in GOALS {
        for dst in [THIRD, FAR, goal.target, Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED] {
            let mut advert = Advert::telling(&goal, EVIL_MAC);
            advert.dst = dst;
            let frame = scene::wrap(OURS_MAC, EVIL_MAC, &advert.packet());
            expect_nothing_learned(&goal, "to another host", &[frame]);
        }
    }
}

/// RFC 6980 §5: "Nodes MUST silently ignore" neighbor discovery with a fragment header, the whole packet's included.
#[test]
fn advertisement_behind_a_whole_packets_fragment_header_teaches_nothing() {
    for goal in GOALS {
        let advert = Advert::telling(&goal, EVIL_MAC);
        let frame = scene::wrap(OURS_MAC, EVIL_MAC, &advert.behind(vec![fragment("whole", 0, false)]));
        expect_nothing_learned(&goal, "whole", &[frame]);
    }
}

#[test]
fn advertisements_in_frames_to_other_stations_teach_nothing() {
    for goal in GOALS {
        let frame = packet::ethernet(EVIL_MAC, EVIL_MAC, IPV6, &Advert::telling(&goal, EVIL_MAC).packet());
        expect_nothing_learned(&goal, "another station's", &[frame]);
    }
}

#[test]
fn advertisement_before_the_question_teaches_nothing() {
    for goal in GOALS {
        for flags in [SOLICITED | OVERRIDE, SOLICITED, OVERRIDE, 0] {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            let mut advert = Advert::telling(&goal, EVIL_MAC);
            advert.flags = flags;
            assert!(is_passed_on(scene.deliver(&advert.packet())));
            assert_eq!(scene.pump(), []);
            ask(&mut scene, &goal);
            let _ = scene.deliver(&Advert::telling(&goal, goal.mac).packet());
            expect_syn(&mut scene, &goal, goal.mac);
        }
    }
}

/// The question wants to go out and cannot yet: nobody can have been asked.
#[test]
fn advertisement_before_the_question_left_teaches_nothing() {
    for goal in GOALS {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        scene.connect(SocketAddr::new(goal.remote.into(), 7));
        let now = scene.at();
        assert!(matches!(scene.link.poll_output(now), LinkOutput::Transmit(_)), "offered, and dropped");
        assert!(is_passed_on(scene.deliver(&Advert::telling(&goal, EVIL_MAC).packet())));
        assert_eq!(questions(scene.pump()).len(), 1);
        let _ = scene.deliver(&Advert::telling(&goal, goal.mac).packet());
        expect_syn(&mut scene, &goal, goal.mac);
    }
}

/// A known neighbor cannot be bound elsewhere by what nobody asked for: at most it is asked for again, and the answer counts.
#[test]
fn unasked_advertisement_rebinds_no_known_neighbor() {
    for goal in GOALS {
        for (flags, dst) in [
            (SOLICITED | OVERRIDE, goal.ours),
            (SOLICITED, goal.ours),
            (OVERRIDE, goal.ours),
            (OVERRIDE, ALL_NODES),
            (OVERRIDE | ROUTER, ALL_NODES),
            (0, ALL_NODES),
        ] {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            ask(&mut scene, &goal);
            let _ = scene.deliver(&Advert::telling(&goal, goal.mac).packet());
            expect_syn(&mut scene, &goal, goal.mac);
            let mut evil = Advert::telling(&goal, EVIL_MAC);
            (evil.flags, evil.dst) = (flags, dst);
            for _ in 0..3 {
                assert!(is_passed_on(scene.deliver(&evil.packet())));
            }
            // The SYN on its way is repeated to where it went.
            for sent in scene.run(4 * SECOND) {
                match sent {
                    Outgoing::Segment(sent) => assert_eq!(sent.to, Some(goal.mac), "{flags:x}"),
                    Outgoing::Question(question) => assert_eq!(question.target, goal.target),
                    Outgoing::ArpQuestion(_) => panic!("ARP for an IPv6 neighbor"),
                }
            }
            scene.connect(SocketAddr::new(goal.remote.into(), 9));
            let next = scene.pump();
            assert!(!next.is_empty(), "{flags:x}");
            let is_question = |sent: &Outgoing| matches!(sent, Outgoing::Question(q) if q.target == goal.target);
            assert!(next.iter().all(is_question), "{flags:x}: asked again before anything is sent: {next:?}");
            let _ = scene.deliver(&Advert::telling(&goal, goal.mac).packet());
            expect_syn(&mut scene, &goal, goal.mac);
        }
    }
}

/// What confirms what is known makes nobody ask.
#[test]
fn unasked_advertisement_of_the_same_address_changes_nothing() {
    for goal in GOALS {
        for flags in [SOLICITED | OVERRIDE, OVERRIDE, 0] {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            ask(&mut scene, &goal);
            let _ = scene.deliver(&Advert::telling(&goal, goal.mac).packet());
            expect_syn(&mut scene, &goal, goal.mac);
            let mut same = Advert::telling(&goal, goal.mac);
            same.flags = flags;
            assert!(is_passed_on(scene.deliver(&same.packet())));
            scene.connect(SocketAddr::new(goal.remote.into(), 9));
            expect_syn(&mut scene, &goal, goal.mac);
        }
    }
}

/// Wrong advertisements do not even make us doubt.
#[test]
fn wrong_advertisements_cast_no_doubt_on_a_known_neighbor() {
    for goal in GOALS {
        for (name, change) in WRONG {
            let mut evil = Advert::telling(&goal, EVIL_MAC);
            change(&mut evil);
            // Wrong only as an answer.
            if evil.flags & SOLICITED == 0 {
                continue;
            }
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            ask(&mut scene, &goal);
            let _ = scene.deliver(&Advert::telling(&goal, goal.mac).packet());
            expect_syn(&mut scene, &goal, goal.mac);
            assert!(is_passed_on(scene.deliver(&evil.packet())), "{name}");
            scene.connect(SocketAddr::new(goal.remote.into(), 9));
            assert!(scene.pump().iter().all(|sent| matches!(sent, Outgoing::Segment(_))), "{name}: asked again");
        }
    }
}

/// An established connection speaks to where its peer's frames come from, whatever is advertised.
#[test]
fn established_connection_is_not_drawn_away() {
    for (peer, goal) in [(PEER, ON_LINK), (FAR, BEHIND), (PEER_LINK, LINK_LOCAL)] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        let conn = scene.established(peer.into(), 5_000);
        for flags in [SOLICITED | OVERRIDE, OVERRIDE, 0] {
            let mut evil = Advert::telling(&goal, EVIL_MAC);
            evil.flags = flags;
            assert!(is_passed_on(scene.deliver(&evil.packet())));
            let now = scene.at();
            scene.link.tcp().send(now, conn.handle, b"text").unwrap();
            let sent = scene.segments();
            assert!(sent.iter().all(|sent| sent.to == Some(PEER_MAC)), "{sent:?}");
        }
        assert_eq!(scene.status(&conn).state, State::Established);
    }
}

/// On plain IP there is nobody to ask.
#[test]
fn plain_ip_asks_nobody_and_learns_nothing() {
    for goal in GOALS {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, Medium::Ip);
        assert!(is_passed_on(scene.deliver(&Advert::telling(&goal, EVIL_MAC).packet())));
        scene.connect(SocketAddr::new(goal.remote.into(), 7));
        let sent = scene.segments();
        assert_eq!((sent.len(), sent[0].to, sent[0].seg.flags), (1, None, SYN));
        assert_eq!(scene.counters().neighbor_solicitations, 0);
    }
}

/// What a frame teaches about `target`, by RFC 4861 §7.1.2 and §7.2.5 and the narrower rules documented.
#[derive(PartialEq, Eq, Debug)]
enum Lesson {
    Is(Mac),
    /// Nothing says for sure: several link addresses, or one of unusual form.
    OneOf(Vec<Mac>),
    Nothing,
}

fn lesson(frame: &[u8], target: Ipv6Addr) -> Lesson {
    let Some(packet) = frame.get(ETHERNET_HEADER..) else { return Lesson::Nothing };
    let is_to_us = frame[..6] == OURS_MAC || frame[0] & 1 == 1;
    if !is_to_us || frame[12..14] != [0x86, 0xdd] || packet.len() < IPV6_HEADER || packet[0] >> 4 != 6 {
        return Lesson::Nothing;
    }
    let addr = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let (src, dst) = (addr(8), addr(24));
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let Some(payload) = packet.get(IPV6_HEADER..IPV6_HEADER + len) else { return Lesson::Nothing };
    let Yields::Message(at) = walk(packet[6], payload) else { return Lesson::Nothing };
    let is_station = !src.is_unspecified() && !src.is_multicast() && src.to_ipv4_mapped().is_none();
    if packet[7] != 255 || !is_station || dst.is_multicast() || dst.to_ipv4_mapped().is_some() {
        return Lesson::Nothing;
    }
    let message = &payload[at..];
    let pseudo = packet::pseudo_header(src.into(), dst.into(), ICMPV6, message.len());
    let is_whole = message.len() >= 24 && packet::checksum(&[&pseudo, message]) == 0;
    if !is_whole || message[..2] != [ADVERTISEMENT, 0] || message[4] & SOLICITED == 0 {
        return Lesson::Nothing;
    }
    if message[8..24] != target.octets() {
        return Lesson::Nothing;
    }
    let Some(told) = told_addresses(&message[24..]) else { return Lesson::Nothing };
    // Other hosts' addresses, fragment headers and options of other messages have tests of their own.
    let is_plain = src != OURS && src != OURS_LINK && !src.is_loopback() && matches!(dst, OURS | OURS_LINK) && at == 0;
    match told[..] {
        [] => Lesson::Nothing,
        [(mac, true)] if is_plain && !has_foreign_option(&message[24..]) && mac[0] & 1 == 0 && mac != [0; 6] => {
            Lesson::Is(mac)
        }
        _ => Lesson::OneOf(
            told.into_iter().map(|(mac, _)| mac).filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]).collect(),
        ),
    }
}

/// The target link-layer addresses among the options, each with whether it is an Ethernet address; `None` if one is malformed.
fn told_addresses(mut options: &[u8]) -> Option<Vec<(Mac, bool)>> {
    let mut told = Vec::new();
    while !options.is_empty() {
        let units = usize::from(*options.get(1)?);
        let option = options.get(..8 * units).filter(|option| !option.is_empty())?;
        if option[0] == TARGET_LINK {
            told.push((option[2..8].try_into().unwrap(), units == 1));
        }
        options = &options[8 * units..];
    }
    Some(told)
}

/// Returns whether there is one that RFC 4861 defines for other messages. The options are well formed.
fn has_foreign_option(mut options: &[u8]) -> bool {
    while let [kind, units, ..] = options {
        if (3..=5).contains(kind) {
            return true;
        }
        options = &options[8 * usize::from(*units)..];
    }
    false
}

/// Bytes changed, and how the frame's length changes.
#[derive(Clone, Debug)]
struct Mutation {
    at: Vec<(prop::sample::Index, u8)>,
    len: Option<prop::sample::Index>,
    more: Vec<u8>,
    /// Lengths and checksum are made right afterwards, so that it gets far.
    is_sealed: bool,
}

fn a_mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![prop::sample::select(vec![0u8, 1, 2, 58, 135, 136, 254, 255]), any::<u8>()];
    (
        prop::collection::vec((any::<prop::sample::Index>(), byte), 0..4),
        prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
        prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(0u8..4, 0..24)],
        prop::bool::weighted(0.8),
    )
        .prop_map(|(at, len, more, is_sealed)| Mutation { at, len, more, is_sealed })
}

fn mutate(frame: &[u8], mutation: &Mutation) -> Vec<u8> {
    let mut frame = [frame, &mutation.more].concat();
    if let Some(len) = &mutation.len {
        frame.truncate(len.index(frame.len() + 1));
    }
    for (at, byte) in &mutation.at {
        if !frame.is_empty() {
            let at = at.index(frame.len());
            frame[at] = *byte;
        }
    }
    let message = ETHERNET_HEADER + IPV6_HEADER;
    if mutation.is_sealed && frame.len() >= message + 4 {
        let len = (frame.len() - message) as u16;
        frame[18..20].copy_from_slice(&len.to_be_bytes());
        let addr = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
        let (src, dst) = (addr(22), addr(38));
        packet::seal_icmpv6(src, dst, &mut frame[message..]);
    }
    frame
}

/// Whatever is changed about a right advertisement: a segment goes to where the frame, read by the book, says; else nowhere.
#[test]
fn mutated_advertisements_mislead_nobody() {
    let learned = std::cell::Cell::new([0u32; 2]);
    runner(20_000)
        .run(&(prop::sample::select(GOALS.to_vec()), a_mutation()), |(goal, mutation)| {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, ETHERNET);
            ask(&mut scene, &goal);
            let right = scene::wrap(OURS_MAC, goal.mac, &Advert::telling(&goal, goal.mac).packet());
            let frame = mutate(&right, &mutation);
            let received = scene.handle(&frame);
            prop_assert!(is_passed_on(received) || frame[20] != ICMPV6, "{received:?}");
            let to: Vec<_> = scene.segments().into_iter().filter_map(|sent| sent.to).collect();
            let lesson = lesson(&frame, goal.target);
            let mut counts = learned.get();
            counts[usize::from(lesson == Lesson::Nothing)] += 1;
            learned.set(counts);
            match lesson {
                Lesson::Is(mac) => prop_assert_eq!(to, [mac]),
                Lesson::OneOf(macs) => prop_assert!(to.iter().all(|mac| macs.contains(mac)), "{:?} of {:?}", to, macs),
                Lesson::Nothing => prop_assert_eq!(to, Vec::<Mac>::new()),
            }
            Ok(())
        })
        .unwrap();
    assert!(learned.get().iter().all(|&count| count > 500), "{learned:?}");
}
