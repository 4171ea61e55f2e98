//! The seeds of the fuzz target: one small input for each chain of the table and each kind of message, written by the same helpers that
//! judge. `WRITE_CORPUS=1 cargo test --test ipv6 corpus` writes them.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use tcp_reset_core::link::Received;
use tcp_reset_core::{ChecksumBy, Rule};

use crate::chains::{Want, table};
use crate::headers::{PAD, chain, fragment, hop_by_hop, upper};
use crate::input::{
    ACCEPT, CLOSE, CONNECT, CONNECT_FAR, NOTHING, RECEIVE, SEND, SHUTDOWN, begin, play, play_step, step,
};
use crate::packet::{
    self, ACK, ARP, BROADCAST, FIN, ICMPV6, OVERRIDE, Outgoing, PARAMETER, PSH, RST, SOLICITED, SYN, Seg,
    TIME_EXCEEDED, TOO_BIG, UNREACHABLE, discovery_body, icmpv6, link_option,
};
use crate::scene::{
    ALL_NODES, Conn, EVIL_MAC, FAR, OPEN, OURS, OURS_LINK, OURS_MAC, OURS_V4, PEER, PEER_LINK, PEER_MAC, PEER_V4,
    ROUTER, ROUTER_MAC, Store, ip, syn, wrap,
};

/// What becomes of the seed's only or last frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Judged by this rule, answered by so many segments.
    Rule(Rule, usize),
    /// Noted or not, and passed on, with so many segments and questions out of the whole step.
    PassedOn(usize),
    /// An ICMPv6 error that is believed.
    Believed,
    /// An ICMPv6 error that is not.
    Disbelieved,
}

struct Seed {
    name: String,
    bytes: Vec<u8>,
    fate: Fate,
}

fn seed(name: impl Into<String>, wish: u8, frame: &[u8], fate: Fate) -> Seed {
    Seed { name: name.into(), bytes: step(wish, frame), fate }
}

fn from_table() -> Vec<Seed> {
    let fate = |want| match want {
        Want::Reset => Fate::Rule(Rule::ClosedNoAck, 1),
        Want::Dropped(rule) => Fate::Rule(rule, 0),
        Want::Left => Fate::PassedOn(0),
    };
    let rows = table(PEER, OURS).into_iter();
    rows.map(|row| seed(row.name, NOTHING, &wrap(OURS_MAC, PEER_MAC, &row.packet), fate(row.want))).collect()
}

/// Neighbor discovery, in a frame from the router or the peer.
fn discovery() -> Vec<Seed> {
    let message = |kind, src, dst, body: &[u8]| {
        wrap(OURS_MAC, PEER_MAC, &packet::ipv6_limited(src, dst, ICMPV6, 255, &icmpv6(src, dst, kind, 0, body)))
    };
    let target = |mac| link_option(packet::TARGET_LINK, mac);
    let source = link_option(packet::SOURCE_LINK, PEER_MAC);
    let answer = discovery_body(SOLICITED | OVERRIDE, PEER, &target(PEER_MAC));
    let router = discovery_body(0xe0, ROUTER, &target(ROUTER_MAC));
    let evil = discovery_body(OVERRIDE, PEER, &target(EVIL_MAC));
    let zero = discovery_body(SOLICITED, PEER, &[&target(PEER_MAC)[..], &[14, 0, 0, 0, 0, 0, 0, 0]].concat());
    let over = discovery_body(SOLICITED, PEER, &[2, 2, 2, 0, 0, 0, 0, 9]);
    let redirect = [&[0; 4][..], &ROUTER.octets(), &FAR.octets(), &target(EVIL_MAC)].concat();
    let routers = [&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &source, &[5, 1, 0, 0, 0, 0, 5, 0]].concat();
    let group = packet::solicited_node(OURS);
    use packet::{ADVERTISEMENT, REDIRECT, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, SOLICITATION};
    let asked = |name: &str, frame: Vec<u8>, out| seed(name, CONNECT, &frame, Fate::PassedOn(out));
    vec![
        // A question and a SYN.
        asked("advertisement-that-answers", message(ADVERTISEMENT, PEER, OURS, &answer), 2),
        seed(
            "advertisement-of-the-router-that-answers",
            CONNECT_FAR,
            &message(ADVERTISEMENT, ROUTER, OURS_LINK, &router),
            Fate::PassedOn(2),
        ),
        asked("advertisement-unsolicited", message(ADVERTISEMENT, PEER, ALL_NODES, &evil), 1),
        asked("advertisement-zero-length-option", message(ADVERTISEMENT, PEER, OURS, &zero), 1),
        asked("advertisement-option-over-the-end", message(ADVERTISEMENT, PEER, OURS, &over), 1),
        asked("advertisement-without-option", message(ADVERTISEMENT, PEER, OURS, &answer[..20]), 1),
        seed("advertisement-unasked", NOTHING, &message(ADVERTISEMENT, PEER, OURS, &answer), Fate::PassedOn(0)),
        asked("solicitation", message(SOLICITATION, PEER, group, &discovery_body(0, OURS, &source)), 1),
        asked(
            "router-solicitation",
            message(ROUTER_SOLICITATION, PEER_LINK, ALL_NODES, &[&[0; 4][..], &source].concat()),
            1,
        ),
        asked("router-advertisement", message(ROUTER_ADVERTISEMENT, ROUTER, ALL_NODES, &routers), 1),
        asked("redirect", message(REDIRECT, ROUTER, OURS, &redirect), 1),
        asked("listener-query", message(130, ROUTER, ALL_NODES, &[0; 20]), 1),
        asked("listener-report", message(143, PEER_LINK, ALL_NODES, &[0; 4]), 1),
        asked("echo-reply", message(packet::ECHO_REPLY, PEER, OURS, &[0; 8]), 1),
    ]
}

/// ICMPv6 errors about the text in flight.
fn errors(conn: &Conn) -> Vec<Seed> {
    let quoted = |seq| {
        let seg = Seg { sport: conn.our_port, dport: conn.peer_port, seq, ack: conn.seq, flags: ACK, ..Seg::default() };
        ip(conn.ours, conn.peer, &seg)
    };
    let (good, wrong) = (quoted(conn.ack), quoted(conn.ack.wrapping_sub(1)));
    let error = |kind, code, word: u32, quote: &[u8]| {
        let message = icmpv6(FAR, OURS, kind, code, &[&word.to_be_bytes()[..], quote].concat());
        wrap(OURS_MAC, ROUTER_MAC, &packet::ipv6(FAR, OURS, ICMPV6, &message))
    };
    let mut seeds = Vec::new();
    let mut both = |name: &str, kind, code, word| {
        // No link carries less than the least.
        let fate = if kind == TOO_BIG && word < 1_280 { Fate::Disbelieved } else { Fate::Believed };
        seeds.push(seed(name, NOTHING, &error(kind, code, word, &good), fate));
        seeds.push(seed(format!("{name}-forged"), NOTHING, &error(kind, code, word, &wrong), Fate::Disbelieved));
    };
    both("unreachable-no-route", UNREACHABLE, 0, 0);
    both("unreachable-prohibited", UNREACHABLE, 1, 0);
    both("unreachable-scope", UNREACHABLE, 2, 0);
    both("unreachable-address", UNREACHABLE, 3, 0);
    both("unreachable-port", UNREACHABLE, 4, 0);
    both("unreachable-policy", UNREACHABLE, 5, 0);
    both("unreachable-reject-route", UNREACHABLE, 6, 0);
    both("packet-too-big-1280", TOO_BIG, 0, 1_280);
    both("packet-too-big-1400", TOO_BIG, 0, 1_400);
    both("packet-too-big-0", TOO_BIG, 0, 0);
    both("hop-limit-exceeded", TIME_EXCEEDED, 0, 0);
    both("reassembly-time-exceeded", TIME_EXCEEDED, 1, 0);
    both("parameter-problem-header", PARAMETER, 0, 4);
    both("parameter-problem-next-header", PARAMETER, 1, 6);
    both("parameter-problem-option", PARAMETER, 2, 40);
    seeds.push(seed("unreachable-cut-quote", NOTHING, &error(UNREACHABLE, 0, 0, &good[..44]), Fate::Disbelieved));
    seeds
}

/// Segments to the connection of one family.
fn segments(family: &str, conn: &Conn) -> Vec<Seed> {
    let frame = |seg: &Seg| wrap(OURS_MAC, PEER_MAC, &conn.packet(seg));
    let named = |name: &str| format!("{family}-{name}");
    let other = |name: &str, wish, seg: &Seg, rule, out| seed(named(name), wish, &frame(seg), Fate::Rule(rule, out));
    let nxt = conn.ack.wrapping_add(crate::input::IN_FLIGHT as u32);
    let at = |offset: u32, flags, text: &[u8]| {
        let seg = conn.segment(flags, text);
        Seg { seq: seg.seq.wrapping_add(offset), ..seg }
    };
    vec![
        other("syn-to-the-listener", NOTHING, &syn(5_001, OPEN), Rule::ListenSyn, 1),
        other("ack-to-the-listener", NOTHING, &Seg { sport: 5_001, ..at(0, ACK, b"") }, Rule::ListenAck, 1),
        other("text", RECEIVE, &at(0, ACK | PSH, b"some text"), Rule::PayloadInOrder, 0),
        other("text-beyond-a-gap", NOTHING, &at(10, ACK | PSH, b"some text"), Rule::PayloadOutOfOrder, 1),
        // Behind the FINs of both connections.
        other("text-for-nobody", CLOSE, &at(0, ACK | PSH, b"some text"), Rule::PayloadReceiverGone, 3),
        other("ack-of-all", SEND, &Seg { ack: nxt, ..at(0, ACK, b"") }, Rule::AckAccepted, 1),
        other(
            "ack-of-the-future",
            NOTHING,
            &Seg { ack: nxt.wrapping_add(9_000), ..at(0, ACK, b"") },
            Rule::AckUnacceptable,
            1,
        ),
        other("fin", SHUTDOWN, &at(0, FIN | ACK, b""), Rule::FinInOrder, 3),
        other("rst-exact", NOTHING, &at(0, RST, b""), Rule::RstExact, 0),
        other("rst-in-the-window", NOTHING, &at(100, RST, b""), Rule::RstInWindow, 1),
        other("rst-elsewhere", NOTHING, &at(1 << 31, RST, b""), Rule::RstOutOfWindow, 0),
        other("syn-again", ACCEPT, &at(0, SYN, b""), Rule::SynSynchronized, 1),
        other("window-0", SEND, &Seg { wnd: 0, ack: nxt, ..at(0, ACK, b"") }, Rule::AckAccepted, 0),
    ]
}

/// IPv4's own, and a conversation in several steps.
fn others(conns: &[Conn; 2]) -> Vec<Seed> {
    let arp = |to, op, target| packet::ethernet(to, PEER_MAC, ARP, &packet::arp(op, (PEER_MAC, PEER_V4), target));
    let mut piece = ip(PEER_V4.into(), OURS_V4.into(), &syn(5_001, OPEN));
    piece[6] = 0x20;
    piece[10..12].fill(0);
    let sum = packet::checksum(&[&piece[..20]]);
    piece[10..12].copy_from_slice(&sum.to_be_bytes());
    let (conn, ours) = (&conns[0], IpAddr::from(OURS));
    let nxt = conn.ack.wrapping_add(crate::input::IN_FLIGHT as u32);
    let frame = |seg: &Seg| wrap(OURS_MAC, PEER_MAC, &ip(PEER.into(), ours, seg));
    let talk = [
        step(RECEIVE, &frame(&conn.segment(ACK | PSH, b"question"))),
        step(SEND | (6 << 3), &frame(&Seg { seq: conn.seq + 8, ack: nxt, ..conn.segment(ACK, b"") })),
        step(SHUTDOWN | (11 << 3), &[]),
        step(NOTHING, &frame(&Seg { seq: conn.seq + 8, ack: nxt.wrapping_add(701), ..conn.segment(FIN | ACK, b"") })),
    ];
    let (next, bytes) = chain(&[
        hop_by_hop("", &PAD),
        fragment("", 0, false),
        upper("", packet::TCP, &conn.segment(ACK | PSH, b"some text").octets(PEER, OURS)),
    ]);
    let behind = wrap(OURS_MAC, PEER_MAC, &packet::ipv6(PEER, OURS, next, &bytes));
    vec![
        seed("arp-question", NOTHING, &arp(BROADCAST, 1, ([0; 6], OURS_V4)), Fate::PassedOn(0)),
        seed("arp-answer", NOTHING, &arp(OURS_MAC, 2, (OURS_MAC, OURS_V4)), Fate::PassedOn(0)),
        seed("v4-fragment", NOTHING, &wrap(OURS_MAC, PEER_MAC, &piece), Fate::Rule(Rule::Fragment, 0)),
        seed("v6-text-behind-headers", NOTHING, &behind, Fate::Rule(Rule::PayloadInOrder, 0)),
        Seed { name: "v6-conversation".into(), bytes: talk.concat(), fate: Fate::Rule(Rule::FinInOrder, 1) },
    ]
}

/// Every seed there is.
fn seeds() -> Vec<Seed> {
    let mut store = Store::new();
    let (_, conns) = begin(&mut store, ChecksumBy::Software);
    let parts = [
        from_table(),
        discovery(),
        errors(&conns[0]),
        segments("v6", &conns[0]),
        segments("v4", &conns[1]),
        others(&conns),
    ];
    parts.into_iter().flatten().collect()
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", "frames"].iter().collect()
}

/// What the fuzzer itself puts beside the seeds is named by its hash, and is not kept.
fn is_the_fuzzers(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn corpus_on_disk_is_what_the_tables_make() {
    let made: BTreeMap<String, Vec<u8>> = seeds().into_iter().map(|seed| (seed.name, seed.bytes)).collect();
    assert_eq!(made.len(), seeds().len(), "names differ");
    assert!(made.keys().all(|name| !is_the_fuzzers(name)));
    if std::env::var_os("WRITE_CORPUS").is_some() {
        let _ = fs::remove_dir_all(folder());
        fs::create_dir_all(folder()).unwrap();
        for (name, bytes) in &made {
            fs::write(folder().join(name), bytes).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !is_the_fuzzers(&name) {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    assert!(made.keys().eq(found.keys()), "on disk: {:?}", found.keys());
    for (name, bytes) in &made {
        assert_eq!(&found[name], bytes, "{name}");
        assert!(bytes.len() < 1_000, "{name} is small");
    }
}

#[test]
fn each_seed_is_received_as_expected() {
    let mut wrong = Vec::new();
    for seed in seeds() {
        let mut store = Store::new();
        let (mut scene, _) = begin(&mut store, ChecksumBy::Software);
        let bytes = fs::read(folder().join(&seed.name)).unwrap();
        let mut input = &bytes[..];
        let (mut received, mut out) = (None, Vec::new());
        while !input.is_empty() {
            (received, out) = play_step(&mut scene, &mut input);
        }
        let counters = scene.counters();
        let errors = (counters.icmp_errors, counters.icmp_errors_ignored);
        let segments = out.iter().filter(|out| matches!(out, Outgoing::Segment(_))).count();
        let is_right = match (seed.fate, received) {
            (Fate::Rule(rule, sent), Some(Received::Taken(verdict))) => verdict.rule == rule && segments == sent,
            (Fate::PassedOn(sent), Some(Received::Observed | Received::NotMine)) => {
                out.len() == sent && errors == (0, 0)
            }
            (Fate::Believed, Some(Received::Observed)) => errors == (1, 0),
            (Fate::Disbelieved, Some(Received::Observed)) => errors.0 == 0 && out.is_empty(),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{}: {:?}, but {received:?} {out:?}", seed.name, seed.fate));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The invariants of the fuzz target hold for every seed, with checksums looked at and without.
#[test]
fn each_seed_plays_to_its_end() {
    let mut store = Store::new();
    for seed in seeds() {
        for checksum in [ChecksumBy::Software, ChecksumBy::HardwareOnReceive] {
            play(&mut store, checksum, &seed.bytes);
        }
    }
}
