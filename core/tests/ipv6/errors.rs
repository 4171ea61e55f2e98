//! ICMPv6 errors (RFC 4443) about segments of ours, true and forged, in every state (RFC 5927: none of them ends a connection).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tcp_reset_core::State;
use tcp_reset_core::link::{Medium, Received};

use crate::packet::{
    self, ACK, FIN, ICMPV6, IPV6_HEADER, Outgoing, PARAMETER, SYN, Seg, TIME_EXCEEDED, TOO_BIG, UDP, UNREACHABLE,
};
use crate::scene::{
    ALL_NODES, Conn, ETHERNET, FAR, OPEN, OURS, OURS_LINK, PEER, PEER_ISN, PEER_MAC, SECOND, Scene, Store, THIRD,
    WINDOW, ip, syn,
};

/// A router somewhere on the path.
const ON_PATH: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xeeee, 0, 0, 0, 0, 1);
const PORT: u16 = 5_000;
/// Both headers without options.
const HEADERS: u32 = 60;
/// What every link carries (RFC 8200 §5), less the headers.
const LEAST: u32 = 1_280 - HEADERS;

/// A connection in some state, and what identifies it.
struct Staged {
    local: SocketAddr,
    remote: SocketAddr,
    /// SND.UNA and SND.NXT.
    una: u32,
    nxt: u32,
}

impl Staged {
    /// A segment of ours at `seq`, as it would be quoted.
    fn quote(&self, seq: u32) -> Vec<u8> {
        self.quote_of(&Seg {
            sport: self.local.port(),
            dport: self.remote.port(),
            seq,
            ack: PEER_ISN + 1,
            flags: ACK,
            wnd: 4_096,
            text: vec![7; 20],
            ..Seg::default()
        })
    }

    fn quote_of(&self, seg: &Seg) -> Vec<u8> {
        ip(self.local.ip(), self.remote.ip(), seg)
    }

    fn in_flight(&self) -> u32 {
        self.nxt.wrapping_sub(self.una)
    }
}

fn v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V6(addr) => addr,
        IpAddr::V4(addr) => panic!("{addr}"),
    }
}

/// An error from a router to one of our addresses. `word` is the MTU, the pointer, or nothing.
fn error(to: Ipv6Addr, kind: u8, code: u8, word: u32, quote: &[u8]) -> Vec<u8> {
    let body = [&word.to_be_bytes()[..], quote].concat();
    packet::ipv6(ON_PATH, to, ICMPV6, &packet::icmpv6(ON_PATH, to, kind, code, &body))
}

/// Every type and code that RFC 4443 knows, and codes it does not.
fn kinds() -> impl Iterator<Item = (u8, u8, u32)> {
    let unreachable = [0, 1, 2, 3, 4, 5, 6, 7, 255].map(|code| (UNREACHABLE, code, 0));
    let exceeded = [0, 1, 2].map(|code| (TIME_EXCEEDED, code, 0));
    let parameter = [0, 1, 2, 3].map(|code| (PARAMETER, code, 40));
    let too_big = [1_500, 1_400, 1_280, 0].map(|mtu| (TOO_BIG, 0, mtu));
    unreachable.into_iter().chain(exceeded).chain(parameter).chain(too_big)
}

fn staged(conn: &Conn, una: u32, nxt: u32) -> Staged {
    Staged {
        local: SocketAddr::new(conn.ours, conn.our_port),
        remote: SocketAddr::new(conn.peer, conn.peer_port),
        una,
        nxt,
    }
}

fn staged_now(scene: &Scene<'_>, conn: &Conn) -> Staged {
    let status = scene.status(conn);
    staged(conn, status.snd_una.0, status.snd_nxt.0)
}

fn syn_sent(scene: &mut Scene<'_>) -> Staged {
    let handle = scene.connect(SocketAddr::new(PEER.into(), 7));
    let mut out = scene.pump();
    if let [Outgoing::Question(question)] = &out[..] {
        let body = packet::discovery_body(0x60, PEER, &packet::link_option(packet::TARGET_LINK, PEER_MAC));
        let message = packet::icmpv6(PEER, question.src, packet::ADVERTISEMENT, 0, &body);
        let _ = scene.deliver(&packet::ipv6_limited(PEER, question.src, ICMPV6, 255, &message));
        out = scene.pump();
    }
    let [Outgoing::Segment(sent)] = &out[..] else { panic!("a SYN, not {out:?}") };
    assert_eq!(sent.seg.flags, SYN);
    let local = scene.link.tcp_ref().status(handle).unwrap().local;
    let una = sent.seg.seq;
    Staged { local, remote: SocketAddr::new(PEER.into(), 7), una, nxt: una.wrapping_add(1) }
}

fn syn_received(scene: &mut Scene<'_>) -> Staged {
    let _ = scene.deliver(&ip(PEER.into(), OURS.into(), &syn(PORT, OPEN)));
    let answers = scene.segments();
    let una = answers[0].seg.seq;
    Staged {
        local: SocketAddr::new(OURS.into(), OPEN),
        remote: SocketAddr::new(PEER.into(), PORT),
        una,
        nxt: una.wrapping_add(1),
    }
}

/// An established connection with `len` bytes in flight.
fn sending(scene: &mut Scene<'_>, peer: Ipv6Addr, len: usize) -> Conn {
    let conn = scene.established(peer.into(), PORT);
    let now = scene.at();
    let text: Vec<u8> = (0..len).map(|at| at as u8).collect();
    assert_eq!(scene.link.tcp().send(now, conn.handle, &text), Ok(len));
    let _ = scene.pump();
    conn
}

fn established(scene: &mut Scene<'_>) -> Staged {
    let conn = sending(scene, PEER, 100);
    staged_now(scene, &conn)
}

fn established_idle(scene: &mut Scene<'_>) -> Staged {
    let conn = scene.established(PEER.into(), PORT);
    staged_now(scene, &conn)
}

fn shut(scene: &mut Scene<'_>, conn: &Conn) {
    let now = scene.at();
    scene.link.tcp().shutdown(now, conn.handle).unwrap();
    let _ = scene.pump();
}

/// The peer's FIN, acknowledging up to `ack`.
fn peers_fin(scene: &mut Scene<'_>, conn: &Conn, ack: u32) {
    let fin = Seg { ack, ..conn.segment(FIN | ACK, b"") };
    let _ = scene.deliver(&conn.packet(&fin));
    let _ = scene.pump();
}

fn fin_wait_1(scene: &mut Scene<'_>) -> Staged {
    let conn = sending(scene, PEER, 100);
    shut(scene, &conn);
    staged_now(scene, &conn)
}

fn fin_wait_2(scene: &mut Scene<'_>) -> Staged {
    let conn = scene.established(PEER.into(), PORT);
    shut(scene, &conn);
    let nxt = scene.status(&conn).snd_nxt.0;
    let _ = scene.deliver(&conn.packet(&Seg { ack: nxt, ..conn.segment(ACK, b"") }));
    let _ = scene.pump();
    staged_now(scene, &conn)
}

fn close_wait(scene: &mut Scene<'_>) -> Staged {
    let conn = sending(scene, PEER, 100);
    peers_fin(scene, &conn, conn.ack);
    staged_now(scene, &conn)
}

fn closing(scene: &mut Scene<'_>) -> Staged {
    let conn = sending(scene, PEER, 100);
    shut(scene, &conn);
    peers_fin(scene, &conn, conn.ack);
    staged_now(scene, &conn)
}

fn last_ack(scene: &mut Scene<'_>) -> Staged {
    let conn = sending(scene, PEER, 100);
    peers_fin(scene, &conn, conn.ack);
    shut(scene, &conn);
    staged_now(scene, &conn)
}

fn time_wait(scene: &mut Scene<'_>) -> Staged {
    let conn = scene.established(PEER.into(), PORT);
    shut(scene, &conn);
    let nxt = scene.status(&conn).snd_nxt.0;
    peers_fin(scene, &conn, nxt);
    scene.ends.clear();
    staged(&conn, nxt, nxt)
}

type Build = fn(&mut Scene<'_>) -> Staged;

const STAGES: [(State, Build); 10] = [
    (State::SynSent, syn_sent),
    (State::SynReceived, syn_received),
    (State::Established, established),
    (State::Established, established_idle),
    (State::FinWait1, fin_wait_1),
    (State::FinWait2, fin_wait_2),
    (State::CloseWait, close_wait),
    (State::Closing, closing),
    (State::LastAck, last_ack),
    (State::TimeWait, time_wait),
];

/// Runs `check` in each state on each medium.
fn in_every_state(check: impl Fn(&mut Scene<'_>, State, &Staged)) {
    for medium in [ETHERNET, Medium::Ip] {
        for (state, build) in STAGES {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, medium);
            let staged = build(&mut scene);
            assert_eq!(scene.link.tcp_ref().state_of(staged.local, staged.remote), state);
            check(&mut scene, state, &staged);
            assert_eq!(scene.link.tcp_ref().state_of(staged.local, staged.remote), state, "it stays");
            assert_eq!(scene.ends, [], "{state}");
        }
    }
}

/// What every error does to the counters: (believed, ignored).
fn counted(scene: &Scene<'_>) -> (u32, u32) {
    let counters = scene.counters();
    (counters.icmp_errors, counters.icmp_errors_ignored)
}

#[test]
fn any_state_error_about_what_is_in_flight_is_counted_and_ends_nothing() {
    in_every_state(|scene, state, staged| {
        let mut expected = (0, 0);
        for (kind, code, word) in kinds() {
            for offset in 0..staged.in_flight() {
                let quote = staged.quote(staged.una.wrapping_add(offset));
                let received = scene.deliver(&error(v6(staged.local.ip()), kind, code, word, &quote));
                assert_eq!(received, Received::Observed, "{state} {kind}/{code}");
                // A handshake from a listener has no connection yet, and no link carries less than the least.
                let is_ignored = state == State::SynReceived || (kind == TOO_BIG && word < 1_280);
                (expected.0, expected.1) = (expected.0 + u32::from(!is_ignored), expected.1 + u32::from(is_ignored));
                assert_eq!(counted(scene), expected, "{state} {kind}/{code} at {offset} of {}", staged.in_flight());
                let sent = scene.segments();
                assert!(kind == TOO_BIG || sent.is_empty(), "{state} {kind}/{code}: {sent:?}");
            }
        }
    });
}

#[test]
fn any_state_error_about_what_is_not_in_flight_is_ignored() {
    in_every_state(|scene, state, staged| {
        let mut expected = (0, 0);
        let seqs = [
            staged.una.wrapping_sub(1),
            staged.una.wrapping_sub(1_000),
            staged.nxt,
            staged.nxt.wrapping_add(1),
            staged.nxt.wrapping_add(60_000),
            staged.una.wrapping_add(0x8000_0000),
            staged.una.wrapping_add(0x4000_0000),
            0,
        ];
        for (kind, code, word) in kinds() {
            for seq in seqs {
                let quote = staged.quote(seq);
                let received = scene.deliver(&error(v6(staged.local.ip()), kind, code, word, &quote));
                assert_eq!(received, Received::Observed, "{state} {kind}/{code}");
                expected.1 += 1;
                assert_eq!(counted(scene), expected, "{state} {kind}/{code} about {seq}");
                assert_eq!(scene.pump(), [], "{state} {kind}/{code}");
            }
        }
    });
}

/// The record's numbers that an error must leave alone.
fn numbers(scene: &Scene<'_>) -> Vec<tcp_reset_core::Status> {
    scene.link.tcp_ref().connections().map(|(_, status)| status).collect()
}

/// Quotes of segments that are not this connection's, or not there.
fn forged_quotes(staged: &Staged) -> Vec<(&'static str, Vec<u8>)> {
    let good = staged.quote(staged.una);
    let (ours, peer) = (v6(staged.local.ip()), v6(staged.remote.ip()));
    let changed = |name, at: usize, byte: u8| {
        let mut quote = good.clone();
        quote[at] ^= byte;
        (name, quote)
    };
    let between = |name, src: Ipv6Addr, dst: Ipv6Addr| {
        let mut quote = good.clone();
        quote[8..24].copy_from_slice(&src.octets());
        quote[24..40].copy_from_slice(&dst.octets());
        (name, quote)
    };
    vec![
        between("other source", THIRD, peer),
        between("other destination", ours, THIRD),
        between("turned round", peer, ours),
        between("to a group", ours, ALL_NODES),
        between("mapped", ours, "::ffff:192.0.2.2".parse().unwrap()),
        between("to ourselves", ours, ours),
        changed("other source port", 40, 0x10),
        changed("other destination port", 43, 1),
        changed("sequence number's high bit", 44, 0x80),
        changed("another protocol", 6, packet::TCP ^ UDP),
        ("nothing", vec![]),
        ("half a header", good[..20].to_vec()),
        ("a header", good[..40].to_vec()),
        ("ports", good[..44].to_vec()),
        ("all but a byte of the number", good[..47].to_vec()),
    ]
}

#[test]
fn any_state_forged_error_changes_nothing() {
    in_every_state(|scene, state, staged| {
        let before = numbers(scene);
        for (name, quote) in forged_quotes(staged) {
            for (kind, code, word) in kinds() {
                let received = scene.deliver(&error(v6(staged.local.ip()), kind, code, word, &quote));
                assert!(matches!(received, Received::Observed | Received::NotMine), "{state} {name}: {received:?}");
                assert_eq!(scene.counters().icmp_errors, 0, "{state} {name} {kind}/{code}");
                assert_eq!(scene.pump(), [], "{state} {name}");
                assert_eq!(numbers(scene), before, "{state} {name}");
            }
        }
    });
}

#[test]
fn any_state_error_that_is_not_whole_changes_nothing() {
    in_every_state(|scene, state, staged| {
        let before = numbers(scene);
        for (kind, code, word) in kinds() {
            let good = error(v6(staged.local.ip()), kind, code, word, &staged.quote(staged.una));
            let mut frames = Vec::new();
            for at in [42, 43, 44, 47, 60, good.len() - 1] {
                let mut wrong = good.clone();
                wrong[at] ^= 1;
                frames.push(wrong);
            }
            for len in 0..IPV6_HEADER + 8 {
                frames.push(good[..len].to_vec());
            }
            for frame in frames {
                let received = scene.deliver(&frame);
                assert!(matches!(received, Received::Observed | Received::NotMine), "{state}: {received:?}");
                assert_eq!(scene.counters().icmp_errors, 0, "{state} {kind}/{code}");
                assert_eq!(scene.pump(), [], "{state}");
                assert_eq!(numbers(scene), before, "{state}");
            }
        }
    });
}

/// Types that RFC 4443 leaves open, with everything right.
#[test]
fn any_state_error_of_an_unknown_type_changes_nothing() {
    in_every_state(|scene, state, staged| {
        let before = numbers(scene);
        for kind in [0, 5, 6, 100, 101, 126, 127] {
            let packet = error(v6(staged.local.ip()), kind, 0, 1_280, &staged.quote(staged.una));
            let received = scene.deliver(&packet);
            assert!(matches!(received, Received::Observed | Received::NotMine), "{state}: {received:?}");
            assert_eq!(scene.pump(), [], "{state} {kind}");
            assert_eq!(numbers(scene), before, "{state} {kind}");
        }
    });
}

/// RFC 8200 §3: a packet to another host's address is not for us; and no group has sent what an error quotes (RFC 4443 §2.2).
#[test]
fn error_to_another_address_changes_nothing() {
    in_every_state(|scene, state, staged| {
        let before = numbers(scene);
        for dst in [THIRD, FAR, ALL_NODES, Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED] {
            for (kind, code, word) in kinds() {
                let _ = scene.deliver(&error(dst, kind, code, word, &staged.quote(staged.una)));
                assert_eq!(scene.counters().icmp_errors, 0, "{state} to {dst}");
                assert_eq!(scene.pump(), [], "{state} to {dst}");
                assert_eq!(numbers(scene), before, "{state} to {dst}");
            }
        }
    });
}

/// Thousands of errors, and time passing, end nothing before its own timer would.
#[test]
fn flood_of_errors_does_not_keep_a_handshake_from_its_end() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let staged = syn_sent(&mut scene);
    for _ in 0..500 {
        for (kind, code, word) in kinds() {
            let _ = scene.deliver(&error(OURS, kind, code, word, &staged.quote(staged.una)));
        }
    }
    let _ = scene.run(100 * SECOND);
    let answer = Seg {
        sport: 7,
        dport: staged.local.port(),
        seq: 9,
        ack: staged.nxt,
        flags: SYN | ACK,
        wnd: WINDOW,
        options: packet::mss_option(1_440),
        ..Seg::default()
    };
    let _ = scene.deliver(&ip(PEER.into(), OURS.into(), &answer));
    assert_eq!(scene.link.tcp_ref().state_of(staged.local, staged.remote), State::Established);
    let (_, status) = scene.link.tcp_ref().connections().next().unwrap();
    assert!((LEAST..=1_440).contains(&u32::from(status.mss)), "{}", status.mss);
}

/// The text that leaves from SND.UNA on, in segments no longer than `mss`. No time passes: what goes out at once is acknowledged, until
/// nothing more goes out. (A burst of errors about one flight must not make the flight go out again for each: RFC 1191 §6.5.)
fn text_at_once(scene: &mut Scene<'_>, conn: &Conn, una: u32, mss: u32) -> Vec<u8> {
    let (mut text, mut seq) = (Vec::new(), una);
    loop {
        let sent = scene.segments();
        if sent.is_empty() {
            return text;
        }
        for sent in sent {
            assert_eq!(sent.seg.seq, seq, "in order and without a gap");
            assert!(sent.seg.text.len() as u32 <= mss, "{} > {mss}", sent.seg.text.len());
            seq = seq.wrapping_add(sent.seg.len());
            text.extend(sent.seg.text);
        }
        let _ = scene.deliver(&conn.packet(&Seg { ack: seq, ..conn.segment(ACK, b"") }));
    }
}

/// RFC 8201 §4, RFC 8200 §5.
#[test]
fn packet_too_big_makes_segments_smaller_and_sends_again_at_once() {
    for medium in [ETHERNET, Medium::Ip] {
        for mtu in [1_499, 1_492, 1_400, 1_281, 1_280] {
            let mut store = Store::new();
            let mut scene = Scene::new(&mut store, medium);
            let conn = sending(&mut scene, FAR, 2_880);
            assert_eq!(scene.status(&conn).mss, 1_440);
            let staged = staged_now(&scene, &conn);
            assert_eq!(staged.in_flight(), 2_880);
            let received = scene.deliver(&error(OURS, TOO_BIG, 0, mtu, &staged.quote(staged.una)));
            assert_eq!((received, counted(&scene)), (Received::Observed, (1, 0)));
            let mss = mtu - HEADERS;
            assert_eq!(u32::from(scene.status(&conn).mss), mss, "MTU {mtu}");
            assert_eq!(scene.status(&conn).snd_nxt.0, staged.nxt);
            let text = text_at_once(&mut scene, &conn, staged.una, mss);
            assert_eq!(text.len(), 2_880, "all of it, MTU {mtu}");
            assert!(text.iter().enumerate().all(|(at, &byte)| byte == at as u8));
            let status = scene.status(&conn);
            assert_eq!((status.state, status.snd_una.0), (State::Established, staged.nxt));
        }
    }
}

/// RFC 8201 §4: less than every IPv6 link carries is said by nobody honest.
#[test]
fn packet_too_big_below_the_least_mtu_is_not_believed() {
    for mtu in [1_279, 1_000, 576, 68, 1, 0] {
        let mut store = Store::new();
        let mut scene = Scene::new(&mut store, ETHERNET);
        let conn = sending(&mut scene, FAR, 2_880);
        let staged = staged_now(&scene, &conn);
        let received = scene.deliver(&error(OURS, TOO_BIG, 0, mtu, &staged.quote(staged.una)));
        assert_eq!((received, counted(&scene)), (Received::Observed, (0, 1)), "MTU {mtu}");
        assert_eq!(scene.status(&conn).mss, 1_440, "MTU {mtu}");
        assert!(scene.segments().is_empty(), "MTU {mtu}");
    }
}

#[test]
fn packet_too_big_never_makes_segments_larger() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let conn = sending(&mut scene, FAR, 2_880);
    let staged = staged_now(&scene, &conn);
    let mut least = 1_440;
    for mtu in
        [u32::MAX, 0x1_0000, 0x1_0500, 9_000, 1_501, 1_500, 1_450, 1_460, 1_500, 1_300, 1_400, 0, 1_500, u32::MAX]
    {
        let _ = scene.deliver(&error(OURS, TOO_BIG, 0, mtu, &staged.quote(staged.una)));
        let mss = if mtu < 1_280 { least } else { mtu - HEADERS };
        let sent = scene.segments();
        assert_eq!(sent.is_empty(), mss >= least, "MTU {mtu}: again only if it became smaller");
        least = least.min(mss);
        assert!(sent.iter().all(|sent| sent.seg.text.len() as u32 <= least), "MTU {mtu}");
        assert_eq!(u32::from(scene.status(&conn).mss), least, "MTU {mtu}");
    }
}

/// The peer's own limit may be lower than every link's.
#[test]
fn packet_too_big_does_not_lift_a_peers_small_mss() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let small = Seg { options: packet::mss_option(536), ..syn(PORT, OPEN) };
    let _ = scene.deliver(&ip(FAR.into(), OURS.into(), &small));
    let una = scene.segments()[0].seg.seq.wrapping_add(1);
    let third = Seg { options: Vec::new(), seq: PEER_ISN + 1, ack: una, flags: ACK, ..small };
    let _ = scene.deliver(&ip(FAR.into(), OURS.into(), &third));
    let now = scene.at();
    let handle = scene.link.tcp().accept(now, scene.listener).unwrap();
    scene.link.tcp().send(now, handle, &[1; 2_000]).unwrap();
    let _ = scene.pump();
    let conn = Conn {
        handle,
        ours: OURS.into(),
        peer: FAR.into(),
        our_port: OPEN,
        peer_port: PORT,
        seq: PEER_ISN + 1,
        ack: una,
    };
    let staged = staged_now(&scene, &conn);
    for mtu in [0, 1_280, 1_400, u32::MAX] {
        let _ = scene.deliver(&error(OURS, TOO_BIG, 0, mtu, &staged.quote(una)));
        assert_eq!(scene.status(&conn).mss, 536, "MTU {mtu}");
        assert_eq!(scene.pump(), [], "nothing was too big");
    }
}

/// One error, one repetition: the same error again and again draws nothing more.
#[test]
fn packet_too_big_again_sends_nothing_again() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let conn = sending(&mut scene, FAR, 2_880);
    let staged = staged_now(&scene, &conn);
    let packet = error(OURS, TOO_BIG, 0, 1_280, &staged.quote(staged.una));
    let _ = scene.deliver(&packet);
    assert!(!scene.segments().is_empty());
    for _ in 0..100 {
        let _ = scene.deliver(&packet);
        assert_eq!(scene.pump(), []);
    }
}

#[test]
fn packet_too_big_for_one_connection_leaves_others_alone() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let conn = sending(&mut scene, FAR, 2_880);
    let other = scene.established(FAR.into(), PORT + 1);
    let link_local = scene.established("fe80::9".parse::<Ipv6Addr>().unwrap().into(), PORT);
    let over_v4 = scene.established(crate::scene::PEER_V4.into(), PORT);
    let staged = staged_now(&scene, &conn);
    let _ = scene.deliver(&error(OURS, TOO_BIG, 0, 1_280, &staged.quote(staged.una)));
    let mss = [&conn, &other, &link_local, &over_v4].map(|conn| scene.status(conn).mss);
    assert_eq!(mss, [1_220, 1_440, 1_440, 1_440]);
}

/// The rest of the connection goes in segments of the new size, and the whole stream arrives once.
#[test]
fn stream_goes_on_in_smaller_segments() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, ETHERNET);
    let conn = sending(&mut scene, FAR, 2_880);
    let staged = staged_now(&scene, &conn);
    let _ = scene.deliver(&error(OURS, TOO_BIG, 0, 1_300, &staged.quote(staged.una)));
    assert_eq!(text_at_once(&mut scene, &conn, staged.una, 1_240).len(), 2_880);
    assert_eq!(scene.status(&conn).unacknowledged, 0);
    let now = scene.at();
    assert_eq!(scene.link.tcp().send(now, conn.handle, &[9; 3_720]), Ok(3_720));
    assert_eq!(text_at_once(&mut scene, &conn, staged.nxt, 1_240), [9; 3_720]);
}

/// Our own SYN says what fits over IPv6, and so does our SYN,ACK.
#[test]
fn announced_mss_leaves_room_for_the_longer_header() {
    let mut store = Store::new();
    let mut scene = Scene::new(&mut store, Medium::Ip);
    scene.connect(SocketAddr::new(PEER.into(), 7));
    assert_eq!(scene.segments()[0].seg.mss(), Some(1_440));
    let _ = scene.deliver(&ip(PEER.into(), OURS_LINK.into(), &syn(PORT, OPEN)));
    assert_eq!(scene.segments()[0].seg.mss(), Some(1_440));
}
