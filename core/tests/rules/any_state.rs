//! What is decided before a state is looked at: header, checksum, addresses, fragments, options, the urgent pointer.

use std::net::SocketAddr;

use tcp_reset_core::link::{Link, LinkOutput, Medium, Received};
use tcp_reset_core::{Action, LinkAddr, Rule, State, Verdict};

use crate::checks::{assert_silent, config, on_link, on_link_of, on_link_with, seg};
use crate::support::family::{Family, over_each};
use crate::support::packet;
use crate::support::rig;
use crate::support::rig::reach::{Script, open, time_wait};
use crate::support::rig::{PEER_ISN, Raw, Rig, START, Store, peer, us};
use crate::support::table::{ACK, FIN, RST, SYN, Seg, URG};

/// Bytes whose header cannot be true, made from a good segment.
fn malformed(good: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..20).map(|len| good[..len].to_vec()).collect();
    for words in (0..5).chain([good.len() as u8 / 4 + 1, 15]) {
        let mut bytes = good.to_vec();
        bytes[12] = words << 4;
        all.push(bytes);
    }
    all
}

#[test]
fn any_state_malformed_header_is_dropped() {
    let closed = |_: &mut Rig<'_>| {};
    let listen = |l: &mut Rig<'_>| l.listen(rig::small_listener());
    let scripts: [Script; 4] = [closed, listen, open, time_wait];
    for build in scripts {
        on_link_with(rig::quick_config(), |l| {
            build(l);
            let good = Raw { seq: l.model.rcv_nxt, flags: RST, ..Raw::default() }.bytes(l.peer, l.us);
            let before = l.state();
            for bytes in malformed(&good) {
                let verdict = l.engine.arrive_bytes(l.peer.ip(), l.us.ip(), &bytes);
                assert_eq!((verdict.rule, verdict.action), (Rule::Malformed, Action::Dropped), "{bytes:?}");
                assert_silent(l);
            }
            assert_eq!(l.state(), before);
        });
    }
}

#[test]
fn any_state_wrong_checksum_is_dropped() {
    on_link(|l| {
        l.open();
        expected_payload_with_wrong_checksum_changes_nothing(l);
        let raw = Raw { seq: l.model.rcv_nxt, flags: RST, text: b"odd", ..Raw::default() };
        let good = raw.bytes(l.peer, l.us);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verdict = l.engine.arrive_bytes(l.peer.ip(), l.us.ip(), &bytes);
            let ports_or_offset = bit / 8 < 4 || bit / 8 == 12;
            assert!(
                verdict.rule == Rule::ChecksumWrong || (ports_or_offset && verdict.rule == Rule::Malformed),
                "bit {bit}: {verdict:?}"
            );
            assert_silent(l);
        }
        assert_eq!(l.state(), State::Established);
        let verdict = l.engine.arrive_bytes(l.family.host(3), l.us.ip(), &good);
        assert_eq!(verdict.rule, Rule::ChecksumWrong, "the pseudo header counts");
        let verdict = l.engine.arrive_bytes(l.peer.ip(), l.us.ip(), &good);
        assert_eq!(verdict.rule, Rule::RstExact);
    });
}

/// Payload that is expected but for its checksum changes nothing: not what can be read, not a number, not a timer.
fn expected_payload_with_wrong_checksum_changes_nothing(l: &mut Rig<'_>) {
    let raw =
        Raw { seq: l.model.rcv_nxt, ack: l.model.snd_nxt, flags: ACK, wnd: 100, text: b"abcdefg", ..Raw::default() };
    let good = raw.bytes(l.peer, l.us);
    let before = l.engine.tcp.connections().next();
    for bit in 16 * 8..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verdict = l.engine.arrive_bytes(l.peer.ip(), l.us.ip(), &bytes);
        assert_eq!((verdict.rule, verdict.action), (Rule::ChecksumWrong, Action::Dropped), "bit {bit}");
        assert_silent(l);
        assert_eq!(l.engine.tcp.connections().next(), before, "bit {bit}");
    }
}

/// Pairs of source and destination that nobody may answer.
fn unanswerable(family: Family) -> Vec<(SocketAddr, SocketAddr)> {
    let (us, peer) = (us(family), peer(family));
    let at = SocketAddr::new;
    let nobodies = family.nobodies();
    let mut all: Vec<_> = nobodies.iter().flat_map(|&ip| [(at(ip, 40_000), us), (peer, at(ip, 80))]).collect();
    all.extend([(us, us), (at(us.ip(), 40_000), us), (at(family.loopback(), 40_000), us)]);
    all.extend([(at(peer.ip(), 0), us), (peer, at(us.ip(), 0))]);
    all
}

#[test]
fn any_state_unanswerable_address_is_dropped() {
    let closed = |_: &mut Rig<'_>| {};
    let listen_here = |l: &mut Rig<'_>| l.listen(rig::small_listener());
    let listen_anywhere = |l: &mut Rig<'_>| {
        let any = SocketAddr::new(l.family.unspecified(), 80);
        l.engine.tcp.listen(any, rig::small_listener()).unwrap();
    };
    over_each(|family| {
        for build in [closed, listen_here, listen_anywhere] as [Script; 3] {
            for (src, dst) in unanswerable(family) {
                for flags in [SYN, ACK, SYN | ACK, FIN, 0, RST] {
                    on_link_of(family, config(), |l| {
                        build(l);
                        assert_unanswered(l, src, dst, flags);
                    });
                }
            }
        }
    });
}

#[track_caller]
fn assert_unanswered(link: &mut Rig<'_>, src: SocketAddr, dst: SocketAddr, flags: u8) {
    let verdict = link.engine.arrive(src, dst, &Raw { flags, seq: 1, ack: 1, ..Raw::default() });
    assert_eq!((verdict.rule, verdict.action), (Rule::NotAnswerable, Action::Dropped), "{src} {dst} {flags}");
    assert_silent(link);
    assert_ne!(link.engine.tcp.state_of(link.us, src), State::SynReceived, "{src} {dst}");
}

/// A listener behind frames; the hosts 1 and 7 are ours.
fn on_frames_of(family: Family, medium: Medium, test: impl FnOnce(&mut Link<'_>)) {
    let mut store = Box::new(Store::new());
    let ours = [1, 7].map(|n| rig::frames::interface(family, n));
    let mut frames = rig::frames::link(&mut *store, config(), medium, &ours, None);
    frames.tcp().listen(SocketAddr::new(family.unspecified(), 80), rig::small_listener()).unwrap();
    test(&mut frames);
}

/// Delivers a frame; gives the rule that decided, if TCP saw it, and whether anything was sent.
fn deliver(frames: &mut Link<'_>, frame: &[u8]) -> (Option<Rule>, bool) {
    let rule = match frames.handle_frame(START, frame) {
        Received::Taken(verdict) => Some(verdict.rule),
        Received::Observed | Received::OtherTcp | Received::NotMine => None,
    };
    let sends = matches!(frames.poll_output(START), LinkOutput::Transmit(_));
    (rule, sends)
}

#[test]
fn any_state_fragment_is_dropped() {
    // 24 bytes: all parts but the last are multiples of eight.
    let syn = Raw { seq: 1, flags: SYN, wnd: 100, options: &[1; 4], ..Raw::default() };
    let parts = [(0, true), (1, false), (1, true), (0x1fff, false)];
    over_each(|family| {
        let (peer, us) = (peer(family), us(family));
        for spare in [false, true] {
            let part = |(offset, more)| packet::ip_part(peer.ip(), us.ip(), offset, more, spare, &syn.bytes(peer, us));
            for which in parts {
                on_frames_of(family, Medium::Ip, |frames| {
                    assert_eq!(deliver(frames, &part(which)), (Some(Rule::Fragment), false), "{which:?} {spare}");
                    assert_eq!(frames.tcp_ref().state_of(us, peer), State::Listen);
                });
            }
            on_frames_of(family, Medium::Ip, |frames| {
                assert_eq!(deliver(frames, &part((0, false))), (Some(Rule::ListenSyn), true), "whole, {spare}");
            });
        }
    });
}

/// Only IPv6 has extension headers.
#[cfg(feature = "ipv6")]
#[test]
fn any_state_too_many_headers_are_dropped() {
    use tcp_reset_core::link::MAX_EXTENSION_HEADERS;
    let (peer, us) = (peer(Family::V6), us(Family::V6));
    let (tcp, destination_options) = (packet::TCP, 60);
    let padded = [destination_options, 0, 1, 4, 0, 0, 0, 0];
    let segment = Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() }.bytes(peer, us);
    for headers in [0, 1, MAX_EXTENSION_HEADERS, MAX_EXTENSION_HEADERS + 1, MAX_EXTENSION_HEADERS + 100] {
        on_frames_of(Family::V6, Medium::Ip, |frames| {
            let mut chain = padded.repeat(headers);
            if let Some(last) = chain.len().checked_sub(padded.len()) {
                chain[last] = tcp;
            }
            let mut packet = packet::ip_packet(peer.ip(), us.ip(), &[chain, segment.clone()].concat());
            packet[6] = if headers == 0 { tcp } else { destination_options };
            let expected = if headers > MAX_EXTENSION_HEADERS {
                (Some(Rule::TooManyHeaders), false)
            } else {
                (Some(Rule::ListenSyn), true)
            };
            assert_eq!(deliver(frames, &packet), expected, "{headers} headers");
        });
    }
}

#[test]
fn frame_to_or_from_a_group_draws_nothing() {
    let (mac, everybody) = ([2, 0, 0, 0, 0, 1], [0xff; 6]);
    over_each(|family| {
        let (peer, us, also_us, all) = (family.host(2), family.host(1), family.host(7), family.everybody_here());
        let to_groups = [(everybody, peer, us, false), (family.group_mac(), peer, us, false), (mac, peer, all, false)];
        let from_groups = [(mac, all, us, false), (mac, also_us, us, false)];
        for (to, src, dst, answered) in [(mac, peer, us, true)].into_iter().chain(to_groups).chain(from_groups) {
            for flags in [SYN, ACK] {
                let segment = Raw { seq: 1, ack: 1, flags, wnd: 100, ..Raw::default() };
                let segment = segment.bytes(SocketAddr::new(src, 80), SocketAddr::new(dst, 80));
                let frame = packet::on_ethernet(to, [2, 0, 0, 0, 0, 2], &packet::ip_packet(src, dst, &segment));
                on_frames_of(family, Medium::Ethernet(LinkAddr(mac)), |frames| {
                    let (rule, sends) = deliver(frames, &frame);
                    assert_eq!(sends, answered, "{to:?} {src} {dst}");
                    assert!(answered || rule.is_none() || rule == Some(Rule::NotAnswerable), "{rule:?}");
                });
            }
        }
    });
}

/// Options that no correct stack sends.
const MALFORMED_OPTIONS: &[(&str, &[u8])] = &[
    ("unknown kind, length 0", &[200, 0, 0, 0]),
    ("unknown kind, length 1", &[200, 1, 0, 0]),
    ("unknown kind, length beyond the header", &[200, 40, 0, 0]),
    ("unknown kind, length 255", &[77, 255, 1, 1]),
    ("kind without a length byte", &[1, 1, 1, 200]),
    ("MSS, length 0", &[2, 0, 5, 180]),
    ("MSS, length 2", &[2, 2, 1, 1]),
    ("MSS, length 3", &[2, 3, 5, 1]),
    ("MSS, length 5", &[2, 5, 5, 180, 0, 1, 1, 1]),
    ("MSS, cut off", &[1, 1, 2, 4]),
    ("MSS of 0", &[2, 4, 0, 0]),
    ("MSS of 1", &[2, 4, 0, 1]),
    ("window scale, length 2", &[3, 2, 1, 1]),
    ("window scale, length 0", &[3, 0, 0, 0]),
    ("window scale of 255", &[3, 3, 255, 1]),
    ("SACK permitted, length 3", &[4, 3, 0, 1]),
    ("SACK, odd length", &[5, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
    ("timestamps, length 2", &[8, 2, 1, 1]),
    ("timestamps, length 9", &[8, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
    ("TCP-AO, length 1", &[29, 1, 0, 0]),
    ("TCP-AO, length beyond the header", &[29, 16, 0, 0]),
    ("end of list, then rubbish", &[0, 2, 0, 255]),
    ("forty bytes of zero length", &[99, 0, 99, 0, 99, 0, 99, 0, 99, 0, 99, 0, 99, 0, 99, 0, 99, 0, 99, 0]),
    ("nothing but padding", &[1; 40]),
];

fn arrive_with(link: &mut Rig<'_>, seg: &Seg, options: &[u8]) -> Verdict {
    let first = seg.seq.wrapping_add(u32::from(seg.has(SYN)));
    let text = rig::stream(first, seg.text);
    let raw =
        Raw { seq: seg.seq, ack: seg.ack, flags: seg.flags, wnd: seg.wnd as u16, urgent: 0, options, text: &text };
    let (peer, us) = (link.peer, link.us);
    link.engine.arrive(peer, us, &raw)
}

#[test]
fn malformed_options_never_reset() {
    for (name, options) in MALFORMED_OPTIONS {
        on_link(|l| {
            l.listen(rig::small_listener());
            let syn = Seg::new(SYN, PEER_ISN, 0, 0, 1_000);
            assert_eq!(arrive_with(l, &syn, options).rule, Rule::ListenSyn, "{name}");
            assert_eq!(l.engine.only().flags, SYN | ACK, "{name}");
        });
        on_link(|l| {
            l.dial();
            let syn_ack = Seg::new(SYN | ACK, PEER_ISN, l.model.snd_nxt, 0, 1_000);
            assert_eq!(arrive_with(l, &syn_ack, options).rule, Rule::SynSentSynAck, "{name}");
            assert!(l.status().unwrap().mss >= 64, "{name}: a mad MSS is not believed");
        });
        on_link(|l| {
            l.open();
            let rst = seg(l, RST, -2, 0);
            assert_eq!(arrive_with(l, &rst, options).rule, Rule::RstOutOfWindow, "{name}");
            let blind = seg(l, ACK, -1_000, 0);
            assert_eq!(arrive_with(l, &blind, options).rule, Rule::SeqUnacceptable, "{name}");
            let (before, text) = (l.model.rcv_nxt, seg(l, ACK, 0, 3));
            assert_eq!(arrive_with(l, &text, options).rule, Rule::PayloadInOrder, "{name}");
            assert_eq!(l.recv(), rig::stream(before, 3), "{name}");
            assert_eq!(l.state(), State::Established, "{name}");
        });
    }
}

#[test]
fn urgent_pointer_changes_nothing() {
    for urgent in [0, 1, 3, 4, 0x7fff, 0xffff] {
        on_link(|l| {
            l.open();
            let (before, m) = (l.model.rcv_nxt, l.model);
            let text = rig::stream(before, 3);
            for (seq, flags, text) in
                [(before, ACK | URG, &text[..]), (before + 3, ACK | URG, &[]), (before + 3, URG, &[])]
            {
                let raw = Raw { seq, ack: m.snd_nxt, flags, wnd: 1_000, urgent, options: &[], text };
                let _ = l.engine.arrive(l.peer, l.us, &raw);
            }
            assert_eq!(l.recv(), text, "urgent pointer {urgent}");
            assert_eq!(l.status().unwrap().rcv_nxt.0, before + 3);
        });
        on_link(|l| {
            l.dial();
            let (ack, flags) = (l.model.snd_nxt, SYN | ACK | URG);
            let _ =
                l.engine.arrive(l.peer, l.us, &Raw { seq: PEER_ISN, ack, flags, wnd: 1_000, urgent, ..Raw::default() });
            let status = l.status().unwrap();
            assert_eq!((status.state, status.rcv_nxt.0), (State::Established, PEER_ISN + 1));
        });
    }
}
