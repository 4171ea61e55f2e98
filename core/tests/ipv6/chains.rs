//! What each chain of IPv6 headers yields: a table, and every short chain against the tests' own walker.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use tcp_reset_core::link::{MAX_EXTENSION_HEADERS, Medium, Received};
use tcp_reset_core::{Action, Rule};

use crate::headers::{
    DISCARD, DISCARD_AND_TELL, DISCARD_AND_TELL_UNICAST, JUMBO, LONG, MOST_HEADERS, NO_LENGTH, OVERRUN, PAD, PAD1S,
    Part, ROUTER_ALERT, Yields, ah, alphabet, chain, destination, fragment, hop_by_hop, name, payloads, routing, upper,
    walk,
};
use crate::packet::{self, BROADCAST, ESP, ICMPV6, IPV6, Mac, NO_NEXT, TCP, UDP, UNKNOWN};
use crate::scene::{
    ALL_NODES, ETHERNET, EVIL_MAC, FAR, OURS, OURS_LINK, OURS_MAC, PEER, PEER_LINK, PEER_MAC, SHUT, Scene, Store,
    THIRD, syn,
};

/// What is expected of a packet to one of our addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// Judged as a segment to a port nobody listens on, and answered by an RST.
    Reset,
    /// Dropped by this rule, unanswered.
    Dropped(Rule),
    /// The IP stack's, unanswered here.
    Left,
}

/// One chain of the table, in its packet.
pub struct Row {
    pub name: String,
    pub packet: Vec<u8>,
    pub want: Want,
}

fn row(name: impl Into<String>, src: Ipv6Addr, dst: Ipv6Addr, (next, bytes): (u8, Vec<u8>), want: Want) -> Row {
    Row { name: name.into(), packet: packet::ipv6(src, dst, next, &bytes), want }
}

fn segment(src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    syn(5_000, SHUT).octets(src, dst)
}

fn echo(src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    packet::icmpv6(src, dst, packet::ECHO_REQUEST, 0, &[0x12, 0x34, 0, 1, 1, 2, 3, 4])
}

/// Chains in front of a segment.
fn before_tcp() -> Vec<(Vec<Part>, Want)> {
    use Want::{Dropped, Left, Reset};
    let fragments = Dropped(Rule::Fragment);
    let pad = || destination("destination", &PAD);
    let many = |count| vec![pad(); count];
    vec![
        (vec![], Reset),
        (vec![hop_by_hop("hop-by-hop", &PAD)], Reset),
        (vec![hop_by_hop("hop-by-hop-pad1", &PAD1S)], Reset),
        (vec![hop_by_hop("hop-by-hop-router-alert", &ROUTER_ALERT)], Reset),
        (vec![hop_by_hop("hop-by-hop-unknown-skipped", &LONG)], Reset),
        (vec![hop_by_hop("hop-by-hop-discard", &DISCARD)], Left),
        (vec![hop_by_hop("hop-by-hop-discard-and-tell", &DISCARD_AND_TELL)], Left),
        (vec![hop_by_hop("hop-by-hop-discard-and-tell-unicast", &DISCARD_AND_TELL_UNICAST)], Left),
        (vec![hop_by_hop("hop-by-hop-overrun", &OVERRUN)], Left),
        (vec![hop_by_hop("hop-by-hop-jumbo", &JUMBO)], Left),
        (vec![pad(), hop_by_hop("hop-by-hop", &PAD)], Left),
        (vec![hop_by_hop("hop-by-hop", &PAD), hop_by_hop("hop-by-hop", &PAD)], Left),
        (vec![fragment("fragment-whole", 0, false), hop_by_hop("hop-by-hop", &PAD)], Left),
        (vec![pad()], Reset),
        (vec![destination("destination-unknown-skipped", &LONG)], Reset),
        (vec![destination("destination-discard", &DISCARD)], Left),
        (vec![destination("destination-discard-and-tell", &DISCARD_AND_TELL)], Left),
        (vec![destination("destination-overrun", &NO_LENGTH)], Left),
        (vec![routing("routing-type-0-done", 0, 0, 0)], Reset),
        (vec![routing("routing-type-2-done", 2, 0, 1)], Reset),
        (vec![routing("routing-type-4-done", 4, 0, 3)], Reset),
        (vec![routing("routing-type-253-done", 253, 0, 0)], Reset),
        (vec![routing("routing-type-0-onward", 0, 1, 1)], Left),
        (vec![routing("routing-type-4-onward", 4, 255, 3)], Left),
        (vec![fragment("fragment-whole", 0, false)], Reset),
        (vec![fragment("fragment-whole", 0, false), fragment("fragment-whole", 0, false)], Reset),
        (vec![fragment("fragment-whole", 0, false), fragment("fragment-first", 0, true)], fragments),
        (vec![fragment("fragment-first", 0, true), fragment("fragment-whole", 0, false)], fragments),
        (vec![fragment("fragment-first", 0, true)], fragments),
        (vec![fragment("fragment-first", 0, true), pad()], fragments),
        (vec![fragment("fragment-later", 1, true)], fragments),
        (vec![fragment("fragment-last", 0x1fff, false)], fragments),
        (vec![hop_by_hop("hop-by-hop", &PAD), pad(), fragment("fragment-first", 0, true)], fragments),
        // The name of what follows is the middle of something else's.
        (vec![fragment("fragment-later", 1, true), pad()], Left),
        (vec![ah("ah")], Left),
        (vec![hop_by_hop("hop-by-hop", &PAD), ah("ah")], Left),
        (
            vec![
                hop_by_hop("hop-by-hop", &PAD),
                destination("destination", &PAD),
                routing("routing-done", 4, 0, 1),
                fragment("fragment-whole", 0, false),
                destination("destination", &LONG),
            ],
            Reset,
        ),
        (many(MOST_HEADERS), Reset),
        (many(MOST_HEADERS + 1), Dropped(Rule::TooManyHeaders)),
        ([vec![hop_by_hop("hop-by-hop", &PAD)], many(MOST_HEADERS)].concat(), Dropped(Rule::TooManyHeaders)),
        (vec![fragment("fragment-whole", 0, false); MOST_HEADERS + 1], Dropped(Rule::TooManyHeaders)),
    ]
}

/// Every chain of the table from `src` to `dst`, with what it yields where `dst` is ours.
pub fn table(src: Ipv6Addr, dst: Ipv6Addr) -> Vec<Row> {
    let tcp = upper("tcp", TCP, &segment(src, dst));
    let mut rows = Vec::new();
    for (mut parts, want) in before_tcp() {
        parts.push(tcp.clone());
        rows.push(row(name(&parts), src, dst, chain(&parts), want));
    }
    rows.extend(beside_tcp(src, dst));
    rows.extend(cut_short(src, dst));
    rows
}

/// What is not TCP, at the end of a chain.
fn beside_tcp(src: Ipv6Addr, dst: Ipv6Addr) -> Vec<Row> {
    let message = echo(src, dst);
    let others = [
        upper("icmpv6-echo", ICMPV6, &message),
        upper("udp", UDP, &[0x12, 0x34, 0, 53, 0, 12, 0, 1, 7, 7, 7, 7]),
        upper("esp", ESP, &[0; 24]),
        upper("no-next-header", NO_NEXT, &[]),
        upper("no-next-header-and-bytes", NO_NEXT, &[6; 20]),
        upper("unknown", UNKNOWN, &[0; 16]),
        upper("mobility", 135, &[59, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let before = [
        vec![],
        vec![hop_by_hop("hop-by-hop", &PAD)],
        vec![destination("destination", &PAD)],
        vec![fragment("fragment-whole", 0, false)],
        vec![fragment("fragment-first", 0, true)],
        vec![fragment("fragment-later", 99, true)],
    ];
    let mut rows = Vec::new();
    for other in others {
        for headers in &before {
            let parts = [headers.clone(), vec![other.clone()]].concat();
            rows.push(row(name(&parts), src, dst, chain(&parts), Want::Left));
        }
    }
    rows
}

/// Packets that end too early: their own length says so, and the bytes are not there.
fn cut_short(src: Ipv6Addr, dst: Ipv6Addr) -> Vec<Row> {
    let malformed = Want::Dropped(Rule::Malformed);
    let mut rows = Vec::new();
    for part in [
        hop_by_hop("hop-by-hop", &PAD),
        destination("destination", &LONG),
        routing("routing-done", 4, 0, 1),
        routing("routing-onward", 0, 1, 1),
        fragment("fragment-whole", 0, false),
        fragment("fragment-later", 1, true),
    ] {
        for (cut, keep) in [("none", 0), ("next", 1), ("length", 2), ("all-but-one", part.bytes.len() - 1)] {
            let bytes = [&[TCP][..], &part.bytes[1..]].concat()[..keep].to_vec();
            rows.push(row(format!("{}-cut-{cut}", part.name), src, dst, (part.protocol, bytes), malformed));
        }
    }
    let tcp = segment(src, dst);
    for keep in [0, 1, 12, 19, 20, 23] {
        rows.push(row(format!("tcp-cut-{keep}"), src, dst, (TCP, tcp[..keep].to_vec()), malformed));
    }
    // RFC 2675: a payload length of zero and the jumbo payload option. Nothing here is as large.
    let jumbo = chain(&[hop_by_hop("", &JUMBO), upper("", TCP, &tcp)]);
    let mut row = row("jumbo-payload-0_tcp", src, dst, jumbo, malformed);
    row.packet[4..6].fill(0);
    rows.push(row);
    rows
}

/// Returns whether the link did what the table wants, and nothing else; `scene` is as before afterwards.
fn check(scene: &mut Scene<'_>, name: &str, frame: &[u8], want: Want) {
    let before = scene.counters();
    let received = scene.handle(frame);
    let answers = scene.segments();
    let after = scene.counters();
    let dropped = |rule| matches!(received, Received::Taken(v) if v.rule == rule && v.action == Action::Dropped);
    let is_right = match want {
        Want::Reset => matches!(received, Received::Taken(v) if v.rule == Rule::ClosedNoAck) && answers.len() == 1,
        Want::Dropped(rule) => dropped(rule) && answers.is_empty(),
        Want::Left => received == Received::NotMine && answers.is_empty(),
    };
    assert!(is_right, "{name}: {want:?}, but {received:?} and {} answers", answers.len());
    let fragments = u32::from(want == Want::Dropped(Rule::Fragment));
    assert_eq!(after.fragments - before.fragments, fragments, "{name}");
    assert_eq!(after.frames_in - before.frames_in, 1, "{name}");
    assert_eq!(after.icmp_errors + after.icmp_errors_ignored, 0, "{name}");
}

/// TCP for others is nobody's here, and so is what hides whether it is any.
fn for_another(want: Want, received: Received) -> bool {
    match want {
        Want::Reset | Want::Dropped(Rule::Fragment) => received == Received::OtherTcp,
        Want::Dropped(_) => matches!(received, Received::OtherTcp | Received::NotMine),
        Want::Left => received == Received::NotMine,
    }
}

/// RFC 9293 §3.9.2.3: TCP to many hosts is dropped. The IP stack may be a member of the group, so everything else is its.
fn for_a_group(want: Want, received: Received) -> bool {
    match want {
        Want::Reset | Want::Dropped(Rule::Fragment) => {
            matches!(received, Received::Taken(v) if v.rule == Rule::NotAnswerable && v.action == Action::Dropped)
        }
        Want::Dropped(_) => match received {
            Received::Taken(verdict) => verdict.action == Action::Dropped,
            Received::NotMine | Received::OtherTcp => true,
            Received::Observed => false,
        },
        Want::Left => received == Received::NotMine,
    }
}

fn check_elsewhere(dst: Ipv6Addr, is_right: fn(Want, Received) -> bool) {
    for medium in [ETHERNET, Medium::Ip] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, medium);
        for row in table(PEER, dst) {
            let received = scene.deliver(&row.packet);
            assert!(is_right(row.want, received), "{} to {dst}: {:?}, but {received:?}", row.name, row.want);
            assert_eq!(scene.pump(), [], "{} to {dst}", row.name);
        }
        assert_eq!(scene.counters().fragments, 0, "they were not for us");
    }
}

#[test]
fn the_bound_is_the_documented_one() {
    assert_eq!(MAX_EXTENSION_HEADERS, MOST_HEADERS);
}

#[test]
fn names_in_the_table_differ() {
    let mut names: Vec<_> = table(PEER, OURS).into_iter().map(|row| row.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn each_chain_to_us_yields_what_the_table_says() {
    for medium in [ETHERNET, Medium::Ip] {
        for (src, dst) in [(PEER, OURS), (PEER_LINK, OURS_LINK), (FAR, OURS)] {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, medium);
            for row in table(src, dst) {
                let frame = scene.frame(&row.packet);
                check(&mut scene, &row.name, &frame, row.want);
            }
        }
    }
}

/// Ethernet fills short frames up (RFC 894); what is behind the packet is no part of it.
#[test]
fn each_chain_with_bytes_behind_the_packet_yields_the_same() {
    for medium in [ETHERNET, Medium::Ip] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, medium);
        for row in table(PEER, OURS) {
            for padding in [1, 6, 46] {
                for fill in [0, 0xff, TCP] {
                    let frame = [scene.frame(&row.packet), vec![fill; padding]].concat();
                    check(&mut scene, &row.name, &frame, row.want);
                }
            }
        }
    }
}

#[test]
fn each_chain_to_another_host_is_not_touched() {
    check_elsewhere(THIRD, for_another);
    check_elsewhere(FAR, for_another);
}

#[test]
fn each_chain_to_a_group_is_not_answered() {
    check_elsewhere(ALL_NODES, for_a_group);
    check_elsewhere(packet::solicited_node(OURS), for_a_group);
    check_elsewhere("ff0e::1234".parse().unwrap(), for_a_group);
}

/// A frame to many stations with a packet to us: RFC 1122 §4.2.3.10 in the words of IPv6.
#[test]
fn each_chain_in_a_frame_to_a_group_is_not_answered() {
    let group: Mac = [0x33, 0x33, 0, 0, 0, 1];
    for to in [BROADCAST, group, packet::group_mac(packet::solicited_node(OURS)), [1, 0, 0x5e, 0, 0, 1]] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        for row in table(PEER, OURS) {
            let received = scene.handle(&packet::ethernet(to, PEER_MAC, IPV6, &row.packet));
            let is_right = match received {
                Received::Taken(verdict) => verdict.action == Action::Dropped && row.want != Want::Left,
                Received::NotMine => row.want == Want::Left,
                Received::OtherTcp | Received::Observed => false,
            };
            assert!(is_right, "{}: {received:?}", row.name);
            assert_eq!(scene.pump(), [], "{}", row.name);
        }
    }
}

#[test]
fn each_chain_in_a_frame_to_another_station_is_not_mine() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    for row in table(PEER, OURS) {
        assert_eq!(scene.handle(&packet::ethernet(EVIL_MAC, PEER_MAC, IPV6, &row.packet)), Received::NotMine);
        assert_eq!(scene.pump(), [], "{}", row.name);
    }
}

/// A packet that claims more bytes than came is whole nowhere: RFC 8200 §3. One that claims fewer ends there.
#[test]
fn wrong_payload_lengths_are_never_answered() {
    for medium in [ETHERNET, Medium::Ip] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, medium);
        for row in table(PEER, OURS) {
            let len = row.packet.len() - packet::IPV6_HEADER;
            for claimed in [len + 1, len + 8, 0xffff, len.saturating_sub(1), len / 2, len.min(1)] {
                let mut packet = row.packet.clone();
                packet[4..6].copy_from_slice(&(claimed as u16).to_be_bytes());
                let received = scene.deliver(&packet);
                if claimed > len {
                    let is_refused = match received {
                        Received::Taken(verdict) => verdict.rule == Rule::Malformed,
                        Received::NotMine => true,
                        Received::OtherTcp | Received::Observed => false,
                    };
                    assert!(is_refused, "{} + {}: {received:?}", row.name, claimed - len);
                }
                let is_answered = !scene.pump().is_empty();
                assert_eq!(is_answered, claimed == len && row.want == Want::Reset, "{} {claimed}/{len}", row.name);
            }
        }
    }
}

/// What the walker's result means for a packet to us.
pub fn matches_walk(yields: Yields, bytes: &[u8], received: Received) -> bool {
    match (yields, received) {
        (Yields::Segment(at), Received::Taken(verdict)) => is_segments_rule(verdict.rule, &bytes[at..]),
        (Yields::Fragment, Received::Taken(verdict)) => verdict.rule == Rule::Fragment,
        (Yields::TooMany, Received::Taken(verdict)) => verdict.rule == Rule::TooManyHeaders,
        (Yields::Malformed, Received::Taken(verdict)) => verdict.rule == Rule::Malformed,
        (Yields::Message(_), Received::Observed | Received::NotMine) | (Yields::Left, Received::NotMine) => true,
        _ => false,
    }
}

/// Returns whether TCP itself can have decided so about these bytes.
fn is_segments_rule(rule: Rule, segment: &[u8]) -> bool {
    let offset = segment.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    let is_whole = offset >= 20 && offset <= segment.len();
    if rule == Rule::Malformed {
        return !is_whole;
    }
    is_whole && rule != Rule::Fragment && rule != Rule::TooManyHeaders
}

/// Every chain of up to four headers in front of a payload.
fn short_chains(payload: &Part) -> impl Iterator<Item = Vec<Part>> + '_ {
    let letters = alphabet();
    (0..=4u32).flat_map(move |count| {
        let letters = letters.clone();
        (0..letters.len().pow(count)).map(move |mut number| {
            let mut parts = Vec::new();
            for _ in 0..count {
                parts.push(letters[number % letters.len()].clone());
                number /= letters.len();
            }
            parts.push(payload.clone());
            parts
        })
    })
}

fn enumerate(medium: Medium, dst: Ipv6Addr) -> BTreeMap<Yields, u32> {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, medium);
    let mut seen = BTreeMap::new();
    for payload in payloads(&segment(PEER, dst), &echo(PEER, dst)) {
        for parts in short_chains(&payload) {
            let (next, bytes) = chain(&parts);
            let yields = walk(next, &bytes);
            let fragments = scene.counters().fragments;
            let received = scene.deliver(&packet::ipv6(PEER, dst, next, &bytes));
            let is_tcp = matches!(yields, Yields::Segment(_) | Yields::Fragment);
            let (is_right, counted) = if dst == OURS {
                (matches_walk(yields, &bytes, received), yields == Yields::Fragment)
            } else if dst.is_multicast() {
                (matches!(received, Received::Taken(v) if v.rule == Rule::NotAnswerable) == is_tcp, false)
            } else {
                ((received == Received::OtherTcp) == is_tcp, false)
            };
            assert!(is_right, "{} to {dst}: {yields:?}, but {received:?}", name(&parts));
            assert_eq!(scene.counters().fragments - fragments, u32::from(counted), "{}", name(&parts));
            let answers = scene.segments().len();
            assert_eq!(answers == 1, dst == OURS && matches!(yields, Yields::Segment(_)), "{}", name(&parts));
            let kind = if let Yields::Segment(_) = yields { Yields::Segment(0) } else { yields };
            *seen.entry(kind).or_default() += 1;
        }
    }
    seen
}

#[test]
fn every_chain_of_up_to_four_headers_to_us_is_walked_alike() {
    for medium in [ETHERNET, Medium::Ip] {
        let seen = enumerate(medium, OURS);
        assert_eq!(seen.values().sum::<u32>(), 6 * (1 + 13 + 169 + 2_197 + 28_561));
        for kind in [Yields::Segment(0), Yields::Fragment, Yields::Left] {
            assert!(seen[&kind] > 100, "{kind:?} is hardly met: {seen:?}");
        }
    }
}

#[test]
fn every_chain_of_up_to_four_headers_to_others_is_walked_alike() {
    for medium in [ETHERNET, Medium::Ip] {
        let _ = enumerate(medium, THIRD);
        let _ = enumerate(medium, ALL_NODES);
    }
}

/// The documentation counts headers; what the ninth one says is not to matter.
#[test]
fn nine_headers_are_too_many_whatever_the_ninth_says() {
    let mut wrong = Vec::new();
    for ninth in alphabet().into_iter().filter(|part| !matches!(part.protocol, packet::HOP_BY_HOP | packet::AH)) {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        let mut parts = vec![destination("destination", &PAD); MOST_HEADERS];
        parts.extend([ninth.clone(), upper("tcp", TCP, &segment(PEER, OURS))]);
        let (next, bytes) = chain(&parts);
        let received = scene.deliver(&packet::ipv6(PEER, OURS, next, &bytes));
        assert_eq!(scene.pump(), []);
        if !matches!(received, Received::Taken(v) if v.rule == Rule::TooManyHeaders) {
            wrong.push(format!("{}: {received:?}", ninth.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn answers_to_chains_go_where_the_frame_came_from() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let _ = scene.handle(&packet::ethernet(OURS_MAC, EVIL_MAC, IPV6, &table(PEER, OURS)[1].packet));
    let answers = scene.segments();
    assert_eq!((answers.len(), answers[0].to), (1, Some(EVIL_MAC)));
    assert_eq!((answers[0].src, answers[0].dst), (OURS.into(), PEER.into()));
}
