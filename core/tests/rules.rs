//! One test for each rule, in the order of the table: state, stimulus, effect. Each runs over both families.
//!
//! A test looks at the verdict, the bytes on the wire, what the application is told and what is counted. Checksums are verified
//! and acknowledgements are sent at once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::link::{Interface, Link as Frames, LinkOutput, Medium, Received};
use tcp_reset_core::{
    Action, Arrival, ChecksumBy, CloseReason, Config, ConnectionHandle, Error, Event, Hop, ListenOptions, Output,
    Overflow, ResetReason, RstPolicy, Rule, SecretKey, Seq, State, Status, StreamOptions, Tcp, Timer, Verdict,
};

use support::family::{self, Family, over_each};
use support::rig::{
    self,
    reach::{
        OTHER_STATES, SYN_RECEIVED, SYNCHRONIZED, Script, accepted, close_wait, closing, cross, dial, fin_wait_1,
        fin_wait_1_gone, fin_wait_2, fin_wait_2_gone, knock, last_ack, open, probe_outstanding, text_in_flight,
        time_wait, time_wait_of_listener,
    },
};
use support::rig::{
    BUFFER, LargeStore, Link, ManyStore, PEER_ISN, PEER_WINDOW, Pair, Raw, START, Store, World, peer, us,
};
use support::table::{self, ACK, FIN, PSH, RST, SYN, Seg, URG};

fn config() -> Config {
    Config { delayed_ack: Duration::ZERO, ..Config::default() }
}

/// Runs a test on a fresh engine and a peer, over each family.
fn on_link(test: impl Fn(&mut Link<'_>)) {
    on_link_with(config(), test);
}

fn on_link_with(config: Config, test: impl Fn(&mut Link<'_>)) {
    over_each(|family| on_link_of(family, config, &test));
}

/// The same with room for many handshakes.
fn on_large_link(test: impl Fn(&mut Link<'_>)) {
    over_each(|family| {
        let mut store = Box::new(ManyStore::new());
        test(&mut Link::new(World::new(&mut *store, config()), family, PEER_ISN));
    });
}

/// The same over one family.
fn on_link_of(family: Family, config: Config, test: impl FnOnce(&mut Link<'_>)) {
    let mut store = Box::new(Store::new());
    test(&mut Link::new(World::new(&mut *store, config), family, PEER_ISN));
}

#[track_caller]
fn assert_verdict(link: &Link<'_>, verdict: Verdict, rule: Rule, action: Action, state: State) {
    assert_eq!(verdict, Verdict { rule, action, state });
    assert!(link.world.tcp.counters().rule(rule) > 0, "{rule} is counted");
}

/// The last call sent nothing.
#[track_caller]
fn assert_silent(link: &Link<'_>) {
    assert_eq!(link.world.sent, [], "nothing is sent");
}

/// The last call sent one segment without text.
#[track_caller]
fn assert_sent(link: &Link<'_>, flags: u8, seq: u32, ack: u32) {
    let sent = link.world.only();
    assert_eq!((sent.flags, sent.seq, sent.ack, sent.text.len()), (flags, seq, ack, 0), "{sent:?}");
    assert_eq!((sent.src, sent.dst), (link.us, link.peer));
}

/// The last call sent `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
#[track_caller]
fn assert_empty_ack(link: &Link<'_>) {
    assert_sent(link, ACK, link.model.snd_nxt, link.model.rcv_nxt);
}

/// The last call sent an RST, and its reason is counted.
#[track_caller]
fn assert_reset(link: &Link<'_>, flags: u8, seq: u32, ack: u32, reason: ResetReason) {
    assert_sent(link, flags, seq, ack);
    assert_eq!(link.world.only().reason, Some(reason));
    assert!(link.world.tcp.counters().reset_sent(reason) > 0, "{reason} is counted");
}

/// The application was told that the connection ended, and the end is counted once.
#[track_caller]
fn assert_closed(link: &Link<'_>, reason: CloseReason) {
    let told: Vec<_> = link.world.events.iter().filter(|event| matches!(event, Event::Closed(..))).collect();
    assert!(matches!(told[..], [Event::Closed(_, why)] if *why == reason), "{told:?}");
    assert_eq!(link.world.tcp.counters().closed(reason), 1);
    if let Some(status) = link.status() {
        assert_eq!(status.closed, Some(reason));
    }
}

/// Nothing of the connection changed and nothing was told.
#[track_caller]
fn assert_untouched(link: &mut Link<'_>, seg: &Seg, rule: Rule, action: Action) {
    let (before, state, events) = (link.status(), link.state(), link.world.events.len());
    let verdict = link.inject(seg);
    assert_verdict(link, verdict, rule, action, state);
    assert_eq!((link.status(), link.state()), (before, state));
    assert_eq!(link.world.events.len(), events, "no event: {:?}", link.world.events);
}

/// A segment of the peer relative to what it should send next; everything is acknowledged.
fn seg(link: &Link<'_>, flags: u8, offset: i32, text: u32) -> Seg {
    let m = &link.model;
    Seg::new(flags, m.rcv_nxt.wrapping_add_signed(offset), m.snd_nxt, text, link.peer_wnd)
}

fn with_ack(seg: Seg, ack: u32) -> Seg {
    Seg { ack, ..seg }
}

fn with_window(seg: Seg, wnd: u32) -> Seg {
    Seg { wnd, ..seg }
}

// Before any state is looked at.

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
    let closed = |_: &mut Link<'_>| {};
    let listen = |l: &mut Link<'_>| l.listen(rig::small_listener());
    let scripts: [Script; 4] = [closed, listen, open, time_wait];
    for build in scripts {
        on_link_with(rig::quick_config(), |l| {
            build(l);
            let good = Raw { seq: l.model.rcv_nxt, flags: RST, ..Raw::default() }.bytes(l.peer, l.us);
            let before = l.state();
            for bytes in malformed(&good) {
                let verdict = l.world.arrive_bytes(l.peer.ip(), l.us.ip(), &bytes);
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
        let raw = Raw { seq: l.model.rcv_nxt, flags: RST, text: b"odd", ..Raw::default() };
        let good = raw.bytes(l.peer, l.us);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verdict = l.world.arrive_bytes(l.peer.ip(), l.us.ip(), &bytes);
            let ports_or_offset = bit / 8 < 4 || bit / 8 == 12;
            assert!(
                verdict.rule == Rule::ChecksumWrong || (ports_or_offset && verdict.rule == Rule::Malformed),
                "bit {bit}: {verdict:?}"
            );
            assert_silent(l);
        }
        assert_eq!(l.state(), State::Established);
        let verdict = l.world.arrive_bytes(l.family.host(3), l.us.ip(), &good);
        assert_eq!(verdict.rule, Rule::ChecksumWrong, "the pseudo header counts");
        let verdict = l.world.arrive_bytes(l.peer.ip(), l.us.ip(), &good);
        assert_eq!(verdict.rule, Rule::RstExact);
    });
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
    let closed = |_: &mut Link<'_>| {};
    let listen_here = |l: &mut Link<'_>| l.listen(rig::small_listener());
    let listen_anywhere = |l: &mut Link<'_>| {
        let any = SocketAddr::new(l.family.unspecified(), 80);
        l.world.tcp.listen(any, rig::small_listener()).unwrap();
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
fn assert_unanswered(link: &mut Link<'_>, src: SocketAddr, dst: SocketAddr, flags: u8) {
    let verdict = link.world.arrive(src, dst, &Raw { flags, seq: 1, ack: 1, ..Raw::default() });
    assert_eq!((verdict.rule, verdict.action), (Rule::NotAnswerable, Action::Dropped), "{src} {dst} {flags}");
    assert_silent(link);
    assert_ne!(link.world.tcp.state_of(link.us, src), State::SynReceived, "{src} {dst}");
}

/// A listener behind frames; the hosts 1 and 7 are ours.
fn on_frames_of(family: Family, medium: Medium, test: impl FnOnce(&mut Frames<'_>)) {
    let mut store = Box::new(Store::new());
    let mut tcp = Tcp::new(&mut *store, config(), rig::key(1)).unwrap();
    tcp.listen(SocketAddr::new(family.unspecified(), 80), rig::small_listener()).unwrap();
    let mut frames = Frames::new(tcp, medium, ChecksumBy::Software);
    let ours = [1, 7].map(|n| Interface { addr: family.host(n), prefix: family.prefix() });
    frames.set_addresses(&ours, None).unwrap();
    test(&mut frames);
}

/// Delivers a frame; gives the rule that decided, if TCP saw it, and whether anything was sent.
fn deliver(frames: &mut Frames<'_>, frame: &[u8]) -> (Option<Rule>, bool) {
    let rule = match frames.handle_frame(START, frame) {
        Received::Taken(verdict) => Some(verdict.rule),
        Received::Observed | Received::OtherTcp | Received::NotMine => None,
    };
    let sends = matches!(frames.poll_output(START), LinkOutput::Transmit(_));
    (rule, sends)
}

#[test]
fn any_state_fragment_is_dropped() {
    // 24 octets: all parts but the last are multiples of eight.
    let syn = Raw { seq: 1, flags: SYN, wnd: 100, options: &[1; 4], ..Raw::default() };
    let parts = [(0, true), (1, false), (1, true), (0x1fff, false)];
    over_each(|family| {
        let (peer, us) = (peer(family), us(family));
        for spare in [false, true] {
            let part = |(offset, more)| family::ip_part(peer.ip(), us.ip(), offset, more, spare, &syn.bytes(peer, us));
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
    let (tcp, destination_options) = (family::TCP, 60);
    let padded = [destination_options, 0, 1, 4, 0, 0, 0, 0];
    let segment = Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() }.bytes(peer, us);
    for headers in [0, 1, MAX_EXTENSION_HEADERS, MAX_EXTENSION_HEADERS + 1, MAX_EXTENSION_HEADERS + 100] {
        on_frames_of(Family::V6, Medium::Ip, |frames| {
            let mut chain = padded.repeat(headers);
            if let Some(last) = chain.len().checked_sub(padded.len()) {
                chain[last] = tcp;
            }
            let mut packet = family::ip_packet(peer.ip(), us.ip(), &[chain, segment.clone()].concat());
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
                let frame = family::ethernet(to, [2, 0, 0, 0, 0, 2], &family::ip_packet(src, dst, &segment));
                on_frames_of(family, Medium::Ethernet(Hop(mac)), |frames| {
                    let (rule, sends) = deliver(frames, &frame);
                    assert_eq!(sends, answered, "{to:?} {src} {dst}");
                    assert!(answered || rule.is_none() || rule == Some(Rule::NotAnswerable), "{rule:?}");
                });
            }
        }
    });
}

// CLOSED

#[test]
fn closed_rst_is_dropped() {
    on_link(|l| {
        for flags in [RST, RST | ACK, RST | SYN, RST | FIN] {
            let verdict = l.inject(&Seg::new(flags, 100, 200, 3, 0));
            assert_verdict(l, verdict, Rule::ClosedRst, Action::Dropped, State::Closed);
            assert_silent(l);
        }
    });
}

#[test]
fn closed_segment_without_ack_draws_rst_ack() {
    for (flags, text, len) in [(SYN, 0, 1), (SYN | FIN, 5, 7), (0, 0, 0), (0, 9, 9), (FIN, 2, 3), (PSH | URG, 1, 1)] {
        on_link(|l| {
            let verdict = l.inject(&Seg::new(flags, 0xffff_ffff, 200, text, 0));
            assert_verdict(l, verdict, Rule::ClosedNoAck, Action::Reset(ResetReason::NoConnection), State::Closed);
            assert_reset(l, RST | ACK, 0, 0xffff_ffff_u32.wrapping_add(len), ResetReason::NoConnection);
        });
    }
}

#[test]
fn closed_segment_with_ack_draws_rst_at_its_ack() {
    for flags in [ACK, ACK | SYN, ACK | FIN, ACK | PSH | URG] {
        on_link(|l| {
            let verdict = l.inject(&Seg::new(flags, 100, 200, 3, 0));
            assert_verdict(l, verdict, Rule::ClosedAck, Action::Reset(ResetReason::NoConnection), State::Closed);
            assert_eq!((l.world.only().flags, l.world.only().seq), (RST, 200));
            assert_eq!(l.world.only().reason, Some(ResetReason::NoConnection));
        });
    }
}

// LISTEN

#[test]
fn listen_rst_is_ignored() {
    on_link(|l| {
        l.listen(rig::small_listener());
        for flags in [RST, RST | ACK, RST | SYN] {
            assert_untouched(l, &Seg::new(flags, 100, 200, 0, 0), Rule::ListenRst, Action::Dropped);
            assert_silent(l);
        }
        let verdict = l.say(SYN, 0);
        assert_eq!(verdict.rule, Rule::ListenSyn, "the listener lives on");
    });
}

#[test]
fn listen_ack_draws_rst() {
    on_link(|l| {
        l.listen(rig::small_listener());
        for flags in [ACK, SYN | ACK, FIN | ACK] {
            assert_untouched(
                l,
                &Seg::new(flags, 100, 200, 4, 0),
                Rule::ListenAck,
                Action::Reset(ResetReason::AckToListener),
            );
            assert_eq!((l.world.only().flags, l.world.only().seq), (RST, 200));
        }
    });
}

/// A listener with room for one half-open connection, which is taken.
fn full_listener(link: &mut Link<'_>, overflow: Overflow) {
    link.listen(ListenOptions { half_open: 1, overflow, ..rig::small_listener() });
    let other = SocketAddr::new(link.family.host(3), 5_000);
    let _ = link.world.arrive(other, link.us, &Raw { flags: SYN, ..Raw::default() });
    assert_eq!(link.world.only().flags, SYN | ACK);
}

#[test]
fn listen_syn_when_full_is_dropped() {
    on_link(|l| {
        full_listener(l, Overflow::Drop);
        assert_untouched(l, &Seg::new(SYN, 100, 0, 0, 1_000), Rule::ListenSynDropped, Action::Dropped);
        assert_silent(l);
    });
}

#[test]
fn listen_syn_when_full_is_refused() {
    on_link(|l| {
        full_listener(l, Overflow::Refuse);
        let action = Action::Reset(ResetReason::ListenerFull);
        assert_untouched(l, &Seg::new(SYN | FIN, 100, 0, 7, 1_000), Rule::ListenSynRefused, action);
        assert_reset(l, RST | ACK, 0, 109, ResetReason::ListenerFull);
    });
}

#[test]
fn listen_syn_makes_half_open_and_sends_syn_ack() {
    for (flags, text) in [(SYN, 0), (SYN | FIN, 0), (SYN | PSH | URG, 9)] {
        on_link(|l| {
            l.listen(rig::small_listener());
            let verdict = l.say(flags, text);
            assert_verdict(l, verdict, Rule::ListenSyn, Action::SynAcked, State::Listen);
            assert_sent(l, SYN | ACK, l.model.iss, PEER_ISN + 1);
            let sent = l.world.only();
            let [high, low] = (1_460 - l.family.mss_less()).to_be_bytes();
            assert_eq!((sent.wnd, &sent.options[..]), (BUFFER, &[2, 4, high, low][..]), "window, and the MSS alone");
            assert_eq!(l.state(), State::SynReceived);
        });
    }
}

#[test]
fn listen_other_is_dropped() {
    on_link(|l| {
        l.listen(rig::small_listener());
        for flags in [0, FIN, PSH, URG, FIN | PSH | URG] {
            assert_untouched(l, &Seg::new(flags, 100, 200, 3, 0), Rule::ListenOther, Action::Dropped);
            assert_silent(l);
        }
    });
}

// SYN-SENT

/// Acknowledgements of something never sent.
fn bad_acks(link: &Link<'_>) -> [u32; 4] {
    let iss = link.model.iss;
    [iss, iss.wrapping_sub(1), iss.wrapping_add(2), iss.wrapping_add(1 << 31)]
}

#[test]
fn syn_sent_rst_with_bad_ack_is_dropped() {
    on_link(|l| {
        l.dial();
        for ack in bad_acks(l) {
            assert_untouched(l, &Seg::new(RST | ACK, 9, ack, 0, 0), Rule::SynSentBadAckRst, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn syn_sent_bad_ack_draws_rst_and_goes_on() {
    on_link(|l| {
        l.dial();
        for (ack, flags) in bad_acks(l).into_iter().zip([ACK, SYN | ACK, FIN | ACK, SYN | FIN | ACK]) {
            let action = Action::Reset(ResetReason::BadAckInHandshake);
            assert_untouched(l, &Seg::new(flags, 9, ack, 3, 0), Rule::SynSentBadAck, action);
            let sent: Vec<_> = l.world.sent.iter().map(|sent| (sent.flags, sent.seq)).collect();
            assert_eq!(sent, [(RST, ack), (SYN, l.model.iss)], "the peer's old connection is over: SYN again");
        }
        let ack = l.model.snd_nxt + 1;
        for _ in 0..20 {
            let _ = l.inject(&Seg::new(ACK, 9, ack, 0, 0));
        }
        assert_eq!((l.world.only().flags, l.world.only().seq), (RST, ack), "but no more often than the limit");
        let verdict = l.say(SYN | ACK, 0);
        assert_eq!(verdict.rule, Rule::SynSentSynAck, "the attempt goes on");
    });
}

#[test]
fn syn_sent_rst_with_acceptable_ack_is_refused() {
    for flags in [RST | ACK, RST | ACK | SYN, RST | ACK | FIN] {
        on_link(|l| {
            l.dial();
            let verdict = l.inject(&Seg::new(flags, 0, l.model.snd_nxt, 0, 0));
            assert_verdict(l, verdict, Rule::SynSentRst, Action::Ended(CloseReason::Refused), State::SynSent);
            assert_silent(l);
            assert_closed(l, CloseReason::Refused);
            assert_eq!(l.state(), State::Closed);
        });
    }
}

#[test]
fn syn_sent_rst_without_ack_is_dropped() {
    on_link(|l| {
        l.dial();
        for flags in [RST, RST | SYN, RST | FIN] {
            assert_untouched(l, &Seg::new(flags, 0, l.model.snd_nxt, 0, 0), Rule::SynSentRstNoAck, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn syn_sent_syn_ack_establishes() {
    for (fin, text, state) in [(0, 0, State::Established), (0, 7, State::Established), (FIN, 7, State::CloseWait)] {
        on_link(|l| {
            l.dial();
            let verdict = l.say(SYN | ACK | fin, text);
            assert_verdict(l, verdict, Rule::SynSentSynAck, Action::Accepted, State::SynSent);
            assert_sent(l, ACK, l.model.iss + 1, PEER_ISN + 1 + text + u32::from(fin));
            assert_eq!(l.state(), state);
            assert!(l.world.events.contains(&Event::Connected(l.handle.unwrap())));
            assert_eq!(l.recv(), rig::stream(PEER_ISN + 1, text));
        });
    }
}

#[test]
fn syn_sent_syn_opens_simultaneously() {
    on_link(|l| {
        l.dial();
        let iss = l.model.iss;
        let verdict = l.say(SYN, 0);
        assert_verdict(l, verdict, Rule::SynSentSyn, Action::SynAcked, State::SynSent);
        assert_sent(l, SYN | ACK, iss, PEER_ISN + 1);
        assert_eq!(l.state(), State::SynReceived);
    });
}

#[test]
fn syn_sent_other_is_dropped() {
    on_link(|l| {
        l.dial();
        for flags in [0, ACK, FIN | ACK, FIN, PSH | URG] {
            assert_untouched(l, &Seg::new(flags, 9, l.model.snd_nxt, 3, 0), Rule::SynSentOther, Action::Dropped);
            assert_silent(l);
        }
    });
}

// TIME-WAIT

#[test]
fn time_wait_rst_is_ignored() {
    on_link(|l| {
        time_wait(l);
        for offset in [-1, 0, 1] {
            for flags in [RST, RST | ACK, RST | SYN] {
                assert_untouched(l, &seg(l, flags, offset, 0), Rule::RstTimeWait, Action::Dropped);
                assert_silent(l);
            }
        }
    });
}

#[test]
fn time_wait_bare_syn_reopens() {
    for offset in [0, 1, 0x7fff_ffff] {
        on_link(|l| {
            time_wait_of_listener(l);
            let old = l.model.snd_nxt;
            let verdict = l.inject(&seg(l, SYN, offset, 0));
            assert_verdict(l, verdict, Rule::SynTimeWaitReopens, Action::SynAcked, State::TimeWait);
            let ack = l.model.rcv_nxt.wrapping_add_signed(offset).wrapping_add(1);
            assert_sent(l, SYN | ACK, l.world.only().seq, ack);
            assert!(Seq(l.world.only().seq).gt(Seq(old)), "ISS beyond the old SND.NXT");
            assert_eq!(l.state(), State::SynReceived);
        });
    }
}

#[test]
fn time_wait_other_syn_is_acknowledged() {
    on_link(|l| {
        time_wait_of_listener(l);
        let far = i32::MIN;
        for (flags, offset) in [(SYN, -1), (SYN, -2), (SYN, far), (SYN | ACK, 0), (SYN | FIN, 0), (SYN | ACK, 9)] {
            assert_untouched(l, &seg(l, flags, offset, 0), Rule::SynTimeWait, Action::Challenged);
            assert_empty_ack(l);
        }
        l.unlisten();
        assert_untouched(l, &seg(l, SYN, 9, 0), Rule::SynTimeWait, Action::Challenged);
        assert_empty_ack(l);
    });
}

#[test]
fn time_wait_fin_again_restarts_the_wait() {
    on_link(|l| {
        time_wait(l);
        l.world.wait(Duration::from_secs(40));
        for (text, offset) in [(0, -1), (4, -5)] {
            assert_untouched(l, &seg(l, FIN | ACK, offset, text), Rule::FinTimeWait, Action::Acknowledged);
            assert_empty_ack(l);
        }
        l.world.wait(Duration::from_millis(59_900));
        assert_eq!(l.state(), State::TimeWait, "2 MSL start anew");
        l.world.wait(Duration::from_millis(200));
        assert_eq!(l.state(), State::Closed);
    });
}

#[test]
fn time_wait_old_segment_is_acknowledged() {
    on_link(|l| {
        time_wait(l);
        l.world.wait(Duration::from_secs(40));
        let old_ack = with_ack(seg(l, FIN | ACK, -1, 0), l.model.snd_nxt - 1);
        for seg in [seg(l, ACK, -1, 0), seg(l, ACK, -9, 4), seg(l, 0, -1, 0), old_ack] {
            assert_untouched(l, &seg, Rule::SeqUnacceptable, Action::Acknowledged);
            assert_empty_ack(l);
        }
        l.world.wait(Duration::from_millis(20_100));
        assert_eq!(l.state(), State::Closed, "none of these prolongs the wait");
    });
}

#[test]
fn time_wait_segment_without_ack_is_dropped() {
    on_link(|l| {
        time_wait(l);
        for flags in [0, FIN, PSH] {
            assert_untouched(l, &seg(l, flags, 0, 1), Rule::NoAck, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn time_wait_unacceptable_ack_is_challenged() {
    on_link(|l| {
        time_wait(l);
        let (una, nxt) = (l.model.snd_una, l.model.snd_nxt);
        for ack in [nxt + 1, una.wrapping_sub(65_536), nxt.wrapping_add(1 << 31)] {
            assert_untouched(l, &with_ack(seg(l, ACK, 0, 0), ack), Rule::AckUnacceptable, Action::Challenged);
            assert_empty_ack(l);
        }
    });
}

#[test]
fn time_wait_acceptable_segment_is_ignored() {
    on_link(|l| {
        time_wait(l);
        l.world.wait(Duration::from_secs(40));
        let oldest = with_ack(seg(l, ACK, 0, 0), l.model.snd_una.wrapping_sub(65_535));
        for seg in [seg(l, ACK, 0, 0), seg(l, ACK, 0, 5), oldest] {
            assert_untouched(l, &seg, Rule::TimeWaitOther, Action::Dropped);
            assert_silent(l);
        }
        l.world.wait(Duration::from_millis(20_100));
        assert_eq!(l.state(), State::Closed, "none of these prolongs the wait");
    });
}

#[test]
fn time_wait_other_fin_is_acknowledged() {
    on_link(|l| {
        time_wait(l);
        l.world.wait(Duration::from_secs(40));
        for (offset, text) in [(0, 0), (1, 0), (0, 5)] {
            assert_untouched(l, &seg(l, FIN | ACK, offset, text), Rule::FinTimeWaitOther, Action::Acknowledged);
            assert_empty_ack(l);
        }
        l.world.wait(Duration::from_millis(20_100));
        assert_eq!(l.state(), State::Closed, "none of these prolongs the wait");
    });
}

#[test]
fn time_wait_abort_deletes_the_record() {
    on_link(|l| {
        time_wait(l);
        assert_eq!(l.world.tcp.in_use(), (1, 0, 1));
        l.abort();
        assert_silent(l);
        assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.state(), State::Closed);
    });
}

/// The peer is in LAST-ACK, our last ACK was lost, and somebody forges a SYN that a listener takes.
#[test]
fn time_wait_reopened_old_peer_is_still_answered() {
    on_link(|l| {
        time_wait_of_listener(l);
        let fin_again = seg(l, FIN | ACK, -1, 0);
        let text_again = seg(l, PSH | ACK, -3, 2);
        let forged = Seg::new(SYN, l.model.rcv_nxt.wrapping_add(9_000), 0, 0, 1_000);
        assert_eq!(l.inject(&forged).rule, Rule::SynTimeWaitReopens);
        assert_eq!(l.world.tcp.in_use().1, 1);
        let answer = (ACK, l.model.snd_nxt, l.model.rcv_nxt);
        for (again, rule) in [(fin_again, Rule::FinTimeWait), (text_again, Rule::SeqUnacceptable)] {
            assert_eq!(l.inject(&again).rule, rule);
            let sent = l.world.only();
            assert_eq!((sent.flags, sent.seq, sent.ack), answer, "the old connection's numbers");
        }
        assert_eq!(l.world.tcp.in_use().1, 1, "the handshake goes on");
    });
}

// RST in the other states

#[test]
fn syn_received_passive_rst_returns_to_listen() {
    on_link(|l| {
        l.knock();
        let verdict = l.inject(&seg(l, RST, 0, 0));
        assert_verdict(l, verdict, Rule::RstSynReceivedPassive, Action::ReturnedToListen, State::SynReceived);
        assert_silent(l);
        assert_eq!(l.state(), State::Listen);
        assert_eq!(l.world.events, [], "the application need not know");
        let verdict = l.say(SYN, 0);
        assert_eq!(verdict.rule, Rule::ListenSyn, "the listener lives on");
    });
}

#[test]
fn syn_received_active_rst_is_refused() {
    on_link(|l| {
        l.cross();
        let verdict = l.inject(&seg(l, RST | ACK, 0, 0));
        assert_verdict(l, verdict, Rule::RstSynReceivedActive, Action::Ended(CloseReason::Refused), State::SynReceived);
        assert_silent(l);
        assert_closed(l, CloseReason::Refused);
    });
}

/// Two forged segments, a SYN and an RST at its number, must not end the attempt; a peer that refuses says so.
#[test]
fn syn_received_active_unproven_rst_returns_to_syn_sent() {
    let unproven = |l: &Link<'_>| [seg(l, RST, 0, 0), with_ack(seg(l, RST | ACK, 0, 0), l.model.iss)];
    for which in 0..2 {
        on_link(|l| {
            l.cross();
            let verdict = l.inject(&unproven(l)[which]);
            let action = Action::ReturnedToSynSent;
            assert_verdict(l, verdict, Rule::RstSynReceivedUnproven, action, State::SynReceived);
            assert_eq!((l.world.only().flags, l.world.only().seq), (SYN, l.model.iss));
            assert_eq!(l.state(), State::SynSent);
            let refusal = Seg::new(RST | ACK, 0, l.model.snd_nxt, 0, 0);
            assert_eq!(l.inject(&refusal).rule, Rule::SynSentRst);
            assert_closed(l, CloseReason::Refused);
        });
    }
    on_link(|l| {
        l.cross();
        let attempt_ends = l.world.now + Duration::from_secs(400);
        // The forger goes on, more often than we answer, and longer than the attempt may take.
        let mut syns = 0;
        while l.state() != State::Closed {
            let syn = Seg::new(SYN, 77_000, 0, 0, 1_000);
            if l.state() == State::SynSent {
                let _ = l.inject(&syn);
            }
            let _ = l.inject(&Seg::new(RST, 77_001, 0, 0, 0));
            syns += l.world.sent.iter().filter(|sent| sent.flags == SYN).count();
            l.world.wait(Duration::from_millis(100));
            assert!(l.world.now < attempt_ends, "a forger prolongs the attempt");
        }
        assert!(syns < 10 * 200 / 4 + 20, "{syns} SYNs");
    });
}

#[test]
fn established_rst_at_rcv_nxt_resets() {
    for build in [open, fin_wait_1, fin_wait_2, close_wait] as [Script; 4] {
        on_link(|l| {
            build(l);
            let state = l.state();
            let before = l.model.rcv_nxt;
            if state != State::CloseWait {
                let text = with_ack(seg(l, ACK, 0, 5), l.model.snd_una);
                let _ = l.say_seg(&text);
            }
            let verdict = l.inject(&seg(l, RST, 0, 3));
            assert_verdict(l, verdict, Rule::RstExact, Action::Ended(CloseReason::ResetByPeer), state);
            assert_silent(l);
            assert_eq!(l.state(), State::Closed);
            assert_closed(l, CloseReason::ResetByPeer);
            if state != State::CloseWait {
                assert_eq!(l.recv(), rig::stream(before, 5), "bytes received in order stay readable");
            }
            let end = l.world.tcp.recv(l.world.now, l.handle.unwrap(), &mut [0; 9]);
            let wanted = if state == State::CloseWait { Ok(0) } else { Err(Error::Closed(CloseReason::ResetByPeer)) };
            assert!(end == wanted || end == Err(Error::Closed(CloseReason::ResetByPeer)), "{end:?}");
            assert_eq!(l.world.deadline, None, "no timer is left");
        });
    }
}

#[test]
fn closing_rst_at_rcv_nxt_resets() {
    for build in [closing, last_ack] as [Script; 2] {
        on_link(|l| {
            build(l);
            let state = l.state();
            let verdict = l.inject(&seg(l, RST, 0, 0));
            assert_verdict(l, verdict, Rule::RstExactClosing, Action::Ended(CloseReason::ResetByPeer), state);
            assert_silent(l);
            assert_eq!(l.state(), State::Closed);
            assert_closed(l, CloseReason::ResetByPeer);
        });
    }
}

/// ESTABLISHED with five bytes received and their acknowledgement held back.
fn with_delayed_ack(rst_policy: RstPolicy, test: impl Fn(&mut Link<'_>)) {
    on_link_with(Config { rst_policy, ..Config::default() }, |l| {
        l.open();
        l.say(ACK, 5).rule.name();
        assert_silent(l);
        test(l);
    });
}

#[test]
fn established_rst_at_last_ack_sent_resets_by_policy() {
    with_delayed_ack(RstPolicy { at_last_ack_sent: true, before_fin: false }, |l| {
        let verdict = l.inject(&seg(l, RST, 0, 0));
        assert_verdict(l, verdict, Rule::RstAtLastAckSent, Action::Ended(CloseReason::ResetByPeer), State::Established);
        assert_silent(l);
        assert_closed(l, CloseReason::ResetByPeer);
    });
    with_delayed_ack(RstPolicy { at_last_ack_sent: true, before_fin: true }, |l| {
        let last = l.model.rcv_nxt;
        for offset in [1, 3, -1] {
            assert_untouched(l, &seg(l, RST, offset, 0), Rule::RstOutOfWindow, Action::Dropped);
        }
        l.world.next_deadline();
        l.look();
        assert_eq!(l.model.rcv_nxt, last + 5, "the delayed ACK went out");
        assert_untouched(l, &seg(l, RST, -5, 0), Rule::RstOutOfWindow, Action::Dropped);
    });
}

#[test]
fn close_wait_rst_before_fin_resets_by_policy() {
    for build in [close_wait, closing, last_ack] as [Script; 3] {
        let rst_policy = RstPolicy { at_last_ack_sent: false, before_fin: true };
        on_link_with(Config { rst_policy, ..config() }, |l| {
            build(l);
            let state = l.state();
            assert_untouched(l, &seg(l, RST, -2, 0), Rule::RstOutOfWindow, Action::Dropped);
            let verdict = l.inject(&seg(l, RST, -1, 0));
            assert_verdict(l, verdict, Rule::RstBeforeFin, Action::Ended(CloseReason::ResetByPeer), state);
            assert_silent(l);
            assert_closed(l, CloseReason::ResetByPeer);
        });
    }
    on_link_with(Config { rst_policy: RstPolicy { at_last_ack_sent: false, before_fin: true }, ..config() }, |l| {
        l.open();
        assert_untouched(l, &seg(l, RST, -2, 0), Rule::RstOutOfWindow, Action::Dropped);
        let verdict = l.inject(&seg(l, RST, -1, 0));
        assert_verdict(l, verdict, Rule::RstBeforeNext, Action::Challenged, State::Established);
    });
}

#[test]
fn rst_policies_are_off_by_default() {
    assert_eq!(Config::default().rst_policy, RstPolicy { at_last_ack_sent: false, before_fin: false });
    with_delayed_ack(Config::default().rst_policy, |l| {
        assert_untouched(l, &seg(l, RST, 0, 0), Rule::RstOutOfWindow, Action::Dropped);
        assert_silent(l);
    });
    on_link(|l| {
        close_wait(l);
        assert_challenged(l, &seg(l, RST, -1, 0), Rule::RstBeforeNext);
    });
}

/// The RST is answered by a challenge and changes nothing but the timer that sends the challenge again.
fn assert_challenged(link: &mut Link<'_>, rst: &Seg, rule: Rule) {
    let (before, state) = (link.status(), link.state());
    let verdict = link.inject(rst);
    assert_verdict(link, verdict, rule, Action::Challenged, state);
    assert_empty_ack(link);
    let without_timer = |status: Option<Status>| status.map(|status| Status { timer: None, ..status });
    assert_eq!((without_timer(link.status()), link.state()), (without_timer(before), state));
}

#[test]
fn established_rst_in_window_sends_challenge_ack() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            let edge = l.model.rcv_wnd.cast_signed();
            for (offset, flags) in [(1, RST), (2, RST | ACK), (edge - 1, RST | SYN)] {
                assert_challenged(l, &seg(l, flags, offset, 0), Rule::RstInWindow);
            }
        });
    }
}

/// A peer whose whole window was lost resets at its SND.NXT, our right edge.
#[test]
fn established_rst_at_right_edge_sends_challenge_ack() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            let edge = l.model.rcv_wnd.cast_signed();
            for flags in [RST, RST | ACK, RST | FIN] {
                assert_challenged(l, &seg(l, flags, edge, 0), Rule::RstAtRightEdge);
            }
        });
    }
}

/// A peer whose probe was taken and who has not heard so resets at its SND.NXT, which does not count the probe.
#[test]
fn established_rst_before_rcv_nxt_sends_challenge_ack() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            for (flags, text) in [(RST, 0), (RST | ACK, 0), (RST, 4)] {
                assert_challenged(l, &seg(l, flags, -1, text), Rule::RstBeforeNext);
            }
        });
    }
}

#[test]
fn established_unanswered_challenge_is_repeated_twice() {
    let rst_at = [1, BUFFER.cast_signed(), -1];
    for offset in rst_at {
        on_link(|l| {
            l.open();
            let _ = l.inject(&seg(l, RST, offset, 0));
            assert_empty_ack(l);
            for _ in 0..2 {
                assert_eq!(l.world.next_deadline(), Timer::Challenge);
                assert_empty_ack(l);
            }
            l.world.wait(Duration::from_secs(3_600));
            assert_silent(l);
            assert_eq!(l.world.deadline, None, "the connection lives, nothing is due");
            assert_eq!(l.state(), State::Established);
        });
        on_link(|l| {
            l.open();
            let _ = l.inject(&seg(l, RST, offset, 0));
            assert_eq!(l.world.next_deadline(), Timer::Challenge);
            assert_eq!(l.inject(&seg(l, RST, 0, 0)).rule, Rule::RstExact, "the second one is answered");
            assert_closed(l, CloseReason::ResetByPeer);
        });
        on_link(|l| {
            l.open();
            let _ = l.inject(&seg(l, RST, offset, 0));
            let _ = l.say(ACK, 0);
            assert_silent(l);
            l.world.wait(Duration::from_secs(3_600));
            assert_silent(l);
        });
        // What was sent before the RST and was overtaken by it is no answer; what comes after it is.
        for (len, is_answer) in [(offset.max(0).cast_unsigned(), false), (offset.max(0).cast_unsigned() + 1, true)] {
            if len == 0 || len > BUFFER {
                continue;
            }
            on_link(|l| {
                l.open();
                let _ = l.inject(&seg(l, RST, offset, 0));
                let _ = l.say(ACK, len);
                let repeated = !is_answer;
                assert_eq!(
                    l.world.deadline.is_some_and(|(_, timer)| timer == Timer::Challenge),
                    repeated,
                    "{offset} {len}"
                );
                if repeated {
                    assert_eq!(l.world.next_deadline(), Timer::Challenge);
                    assert_empty_ack(l);
                    assert_eq!(l.inject(&seg(l, RST, 0, 0)).rule, Rule::RstExact);
                }
            });
        }
        // Whoever repeats the RST does not put the next challenge off.
        on_link(|l| {
            l.open();
            let mut challenges = 0;
            for _ in 0..60 {
                let _ = l.inject(&seg(l, RST, offset, 0));
                challenges += l.world.sent.len();
                l.world.wait(Duration::from_millis(100));
                challenges += l.world.sent.len();
            }
            assert!((22..=30).contains(&challenges), "two periods of the quota and the repetitions: {challenges}");
        });
    }
}

#[test]
fn established_rst_outside_window_is_dropped() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            let edge = l.model.rcv_wnd.cast_signed();
            for (offset, text) in [(-2, 0), (-2, 4), (edge + 1, 0), (edge + 1, 4), (i32::MIN, 0)] {
                assert_untouched(l, &seg(l, RST, offset, text), Rule::RstOutOfWindow, Action::Dropped);
                assert_silent(l);
            }
        });
    }
}

#[test]
fn established_challenged_peer_answers_exactly() {
    on_link(|l| {
        l.open();
        assert_challenged(l, &seg(l, RST, 1, 0), Rule::RstInWindow);
        let answer = Seg::new(RST, l.world.only().ack, 0, 0, 0);
        assert_eq!(l.inject(&answer).rule, Rule::RstExact);
        assert_closed(l, CloseReason::ResetByPeer);
    });
}

// SYN in the other states

#[test]
fn syn_received_syn_with_bad_ack_draws_rst() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            for ack in bad_acks(l) {
                let action = Action::Reset(ResetReason::BadAckInHandshake);
                assert_untouched(l, &with_ack(seg(l, SYN | ACK, -1, 0), ack), Rule::SynReceivedBadAck, action);
                assert_eq!((l.world.only().flags, l.world.only().seq), (RST, ack));
            }
        });
    }
}

#[test]
fn syn_received_active_syn_ack_establishes() {
    on_link(|l| {
        l.cross();
        let verdict = l.say(SYN | ACK, 0);
        assert_verdict(l, verdict, Rule::SynReceivedSynAck, Action::Accepted, State::SynReceived);
        assert!(l.world.sent.iter().all(|sent| sent.flags == ACK), "{:?}", l.world.sent);
        assert_eq!(l.state(), State::Established);
        assert!(l.world.events.contains(&Event::Connected(l.handle.unwrap())));
    });
}

#[test]
fn syn_received_syn_again_repeats_syn_ack() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            let again = seg(l, SYN, -1, 0);
            for _ in 0..10 {
                assert_untouched(l, &again, Rule::SynReceivedSynAgain, Action::SynAcked);
                assert_sent(l, SYN | ACK, l.model.iss, l.model.rcv_nxt);
            }
            assert_untouched(l, &again, Rule::SynReceivedSynAgain, Action::Limited);
            assert_silent(l);
        });
    }
}

#[test]
fn syn_received_other_syn_is_challenged() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            for (offset, flags) in [(-2, SYN), (0, SYN), (BUFFER.cast_signed(), SYN), (i32::MIN, SYN | FIN)] {
                assert_untouched(l, &seg(l, flags, offset, 0), Rule::SynReceivedSynOther, Action::Challenged);
                assert_empty_ack(l);
            }
            // With an ACK of something never sent too, wherever it is but at IRS.
            let wrong = with_ack(seg(l, SYN | ACK, 1, 0), l.model.snd_nxt + 1);
            assert_untouched(l, &wrong, Rule::SynReceivedSynOther, Action::Challenged);
        });
    }
    on_link(|l| {
        knock(l);
        assert_untouched(l, &seg(l, SYN | ACK, 1, 0), Rule::SynReceivedSynOther, Action::Challenged);
    });
}

#[test]
fn established_syn_anywhere_sends_challenge_ack() {
    for build in SYNCHRONIZED {
        on_link(|l| {
            build(l);
            for (offset, flags) in
                [(-1, SYN), (0, SYN), (1, SYN | ACK), (BUFFER.cast_signed(), SYN), (i32::MIN, SYN | FIN)]
            {
                assert_untouched(l, &seg(l, flags, offset, 0), Rule::SynSynchronized, Action::Challenged);
                assert_empty_ack(l);
            }
        });
    }
}

// Sequence number and ACK

#[test]
fn established_unacceptable_sequence_is_acknowledged() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            let edge = l.model.rcv_wnd.cast_signed();
            for (offset, flags, text) in
                [(-1, ACK, 0), (-4, ACK, 4), (edge + 1, ACK, 0), (edge, ACK, 1), (edge, 0, 0), (-1, 0, 0), (-2, FIN, 1)]
            {
                assert_untouched(l, &seg(l, flags, offset, text), Rule::SeqUnacceptable, Action::Acknowledged);
                assert_empty_ack(l);
            }
        });
    }
}

/// Both whole windows were lost: each side's empty ACKs come from the other's right edge.
#[test]
fn established_ack_at_right_edge_is_taken() {
    on_link(|l| {
        l.open();
        l.send(10);
        let at_edge = seg(l, ACK, BUFFER.cast_signed(), 0);
        let verdict = l.inject(&with_window(at_edge, 77));
        assert_verdict(l, verdict, Rule::AckAtRightEdge, Action::Accepted, State::Established);
        assert_silent(l);
        let status = l.status().unwrap();
        assert_eq!((status.snd_una, status.snd_wnd), (status.snd_nxt, 77), "its ACK and window count");
        assert_untouched(l, &with_ack(at_edge, l.model.snd_nxt + 1), Rule::SeqUnacceptable, Action::Acknowledged);
    });
    on_link(|l| {
        fin_wait_1(l);
        let at_edge = seg(l, ACK, l.model.rcv_wnd.cast_signed(), 0);
        assert_eq!(l.inject(&at_edge).rule, Rule::AckOfFin);
        assert_eq!(l.state(), State::FinWait2);
    });
}

#[test]
fn established_segment_without_ack_is_dropped() {
    for build in OTHER_STATES {
        on_link(|l| {
            build(l);
            for (flags, text) in [(0, 0), (0, 5), (FIN, 0), (PSH | URG, 1)] {
                assert_untouched(l, &seg(l, flags, 0, text), Rule::NoAck, Action::Dropped);
                assert_silent(l);
            }
        });
    }
}

#[test]
fn syn_received_active_bad_ack_draws_rst_wherever() {
    on_link(|l| {
        cross(l);
        for ack in bad_acks(l) {
            for offset in [-1, 0, 0x1000_0000] {
                let action = Action::Reset(ResetReason::BadAckInHandshake);
                assert_untouched(l, &with_ack(seg(l, ACK, offset, 0), ack), Rule::SynReceivedBadAck, action);
                assert_eq!((l.world.only().flags, l.world.only().seq), (RST, ack));
            }
        }
    });
}

#[test]
fn syn_received_bad_ack_draws_rst_and_stays() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            for ack in bad_acks(l) {
                let action = Action::Reset(ResetReason::BadAckInHandshake);
                assert_untouched(l, &with_ack(seg(l, ACK, 0, 3), ack), Rule::SynReceivedBadAck, action);
                assert_eq!((l.world.only().flags, l.world.only().seq), (RST, ack));
            }
            let verdict = l.say(ACK, 0);
            assert_eq!(verdict.rule, Rule::AckEstablishes, "the entry stays");
        });
    }
}

#[test]
fn syn_received_ack_without_slot_is_dropped() {
    on_link(|l| {
        l.listen(ListenOptions { backlog: 1, ..rig::small_listener() });
        let _ = l.say(SYN, 0);
        let other = SocketAddr::new(l.family.host(3), 5_000);
        let _ = l.world.arrive(other, l.us, &Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() });
        let ack = l.world.only().end();
        let _ = l.world.arrive(other, l.us, &Raw { seq: 2, ack, flags: ACK, wnd: 100, ..Raw::default() });
        assert_untouched(l, &seg(l, ACK, 0, 0), Rule::SynReceivedNoSlot, Action::Dropped);
        assert_silent(l);
        l.world.tcp.accept(l.world.now, l.listener.unwrap()).unwrap();
        let verdict = l.say(ACK, 0);
        assert_eq!(verdict.rule, Rule::AckEstablishes, "the entry stayed");
    });
}

#[test]
fn established_unacceptable_ack_is_challenged() {
    for build in SYNCHRONIZED {
        on_link(|l| {
            build(l);
            let (una, nxt) = (l.model.snd_una, l.model.snd_nxt);
            for ack in [nxt + 1, una.wrapping_sub(PEER_WINDOW + 1), nxt.wrapping_add(1 << 31)] {
                assert_untouched(l, &with_ack(seg(l, ACK, 0, 4), ack), Rule::AckUnacceptable, Action::Challenged);
                assert_empty_ack(l);
            }
        });
    }
}

#[test]
fn closing_ack_of_fin_enters_time_wait() {
    on_link(|l| {
        closing(l);
        let verdict = l.inject(&seg(l, ACK, 0, 0));
        assert_verdict(l, verdict, Rule::AckOfFin, Action::Accepted, State::Closing);
        assert_silent(l);
        assert_eq!(l.state(), State::TimeWait);
        assert_closed(l, CloseReason::LocalClosed);
    });
}

#[test]
fn last_ack_ack_of_fin_closes() {
    on_link(|l| {
        last_ack(l);
        let verdict = l.inject(&seg(l, ACK, 0, 0));
        assert_verdict(l, verdict, Rule::AckOfFin, Action::Accepted, State::LastAck);
        assert_silent(l);
        assert_eq!(l.state(), State::Closed);
        assert_closed(l, CloseReason::PeerClosed);
        assert_eq!(l.world.deadline, None);
    });
}

#[test]
fn fin_wait_1_ack_of_fin_enters_fin_wait_2() {
    on_link(|l| {
        fin_wait_1(l);
        let partial = with_ack(seg(l, ACK, 0, 0), l.model.snd_una);
        let verdict = l.inject(&partial);
        assert_verdict(l, verdict, Rule::AckAccepted, Action::Accepted, State::FinWait1);
        let verdict = l.inject(&seg(l, ACK, 0, 0));
        assert_verdict(l, verdict, Rule::AckOfFin, Action::Accepted, State::FinWait1);
        assert_silent(l);
        assert_eq!(l.state(), State::FinWait2);
    });
}

#[test]
fn syn_received_ack_establishes() {
    on_link(|l| {
        l.knock();
        let verdict = l.say(ACK, 0);
        assert_verdict(l, verdict, Rule::AckEstablishes, Action::Accepted, State::SynReceived);
        assert_silent(l);
        assert_eq!(l.state(), State::Established);
        assert_eq!(l.world.events, [Event::Acceptable(l.listener.unwrap())]);
        l.accept();
        assert_eq!(l.status().unwrap().state, State::Established);
    });
    on_link(|l| {
        l.cross();
        let verdict = l.say(ACK, 0);
        assert_verdict(l, verdict, Rule::AckEstablishes, Action::Accepted, State::SynReceived);
        assert_eq!(l.world.events, [Event::Connected(l.handle.unwrap())]);
    });
}

#[test]
fn established_acceptable_ack_is_taken() {
    on_link(|l| {
        l.open();
        l.send(10);
        let una = l.model.snd_una;
        for (ack, wnd) in [(una.wrapping_sub(PEER_WINDOW), 900), (una, 800), (una + 4, 700), (una + 10, 600)] {
            let verdict = l.inject(&with_window(with_ack(seg(l, ACK, 0, 0), ack), wnd));
            assert_verdict(l, verdict, Rule::AckAccepted, Action::Accepted, State::Established);
            assert_silent(l);
            let (status, old) = (l.status().unwrap(), ack.wrapping_sub(una).cast_signed() < 0);
            assert_eq!(status.snd_una.0, if old { una } else { ack });
            assert_eq!(status.snd_wnd, if old { PEER_WINDOW } else { wnd });
        }
        assert_eq!(l.status().unwrap().unacknowledged, 0);
    });
}

#[test]
fn established_old_segment_does_not_change_the_window() {
    on_link(|l| {
        l.open();
        l.send(10);
        let beyond_gap = with_window(seg(l, ACK, 4, 2), 500);
        assert_eq!(l.inject(&beyond_gap).rule, Rule::TextOutOfOrder);
        assert_eq!(l.status().unwrap().snd_wnd, 500);
        let earlier = with_window(seg(l, ACK, 0, 0), 5);
        assert_eq!(l.inject(&earlier).rule, Rule::AckAccepted);
        assert_eq!(l.status().unwrap().snd_wnd, 500, "SEG.SEQ lies before SND.WL1");
        let outside = with_window(seg(l, ACK, -1, 0), 7);
        assert_eq!(l.inject(&outside).rule, Rule::SeqUnacceptable);
        let never_sent = with_ack(with_window(seg(l, ACK, 5, 0), 7), l.model.snd_nxt + 1);
        assert_eq!(l.inject(&never_sent).rule, Rule::AckUnacceptable);
        assert_eq!(l.status().unwrap().snd_wnd, 500, "only a valid segment counts");
    });
}

#[test]
fn established_old_ack_keeps_its_text() {
    on_link(|l| {
        l.open();
        l.send(10);
        l.peer_acks();
        let before = l.model.rcv_nxt;
        let old = with_ack(seg(l, ACK, 0, 6), l.model.snd_una - 10);
        let verdict = l.inject(&old);
        assert_verdict(l, verdict, Rule::TextInOrder, Action::Accepted, State::Established);
        assert_eq!(l.recv(), rig::stream(before, 6));
    });
}

#[test]
fn established_ack_of_probe_is_taken() {
    on_link(|l| {
        probe_outstanding(l);
        let nxt = l.model.snd_nxt;
        assert_eq!(l.status().unwrap().snd_nxt.0, nxt, "a probe does not advance SND.NXT");
        assert_untouched(l, &with_ack(seg(l, ACK, 0, 0), nxt + 2), Rule::AckUnacceptable, Action::Challenged);
        assert_empty_ack(l);
        let verdict = l.inject(&with_ack(seg(l, ACK, 0, 0), nxt + 1));
        assert_verdict(l, verdict, Rule::AckAccepted, Action::Accepted, State::Established);
        let status = l.status().unwrap();
        assert_eq!((status.snd_una.0, status.snd_nxt.0, status.unacknowledged), (nxt + 1, nxt + 1, 19));
    });
}

#[test]
fn established_ack_of_crossed_probe_is_taken() {
    on_link(|l| {
        let one_behind = |l: &Link<'_>, ack| {
            let seg = with_ack(seg(l, ACK, 0, 0), ack);
            Seg { seq: seg.seq.wrapping_sub(1), wnd: 500, ..seg }
        };
        probe_outstanding(l);
        let nxt = l.model.snd_nxt;
        assert_untouched(l, &one_behind(l, nxt), Rule::SeqUnacceptable, Action::Acknowledged);
        assert_empty_ack(l);
        let verdict = l.inject(&one_behind(l, nxt + 1));
        assert_verdict(l, verdict, Rule::ProbesCrossed, Action::Accepted, State::Established);
        assert_eq!(l.status().unwrap().snd_una.0, nxt + 1, "the probe's byte is acknowledged");
        assert_eq!(l.world.sent.len(), 1, "the peer learns our new number");
        assert_eq!(l.world.only().seq, nxt + 1);
        assert_untouched(l, &one_behind(l, nxt + 1), Rule::SeqUnacceptable, Action::Acknowledged);
    });
}

// Text and FIN

#[test]
fn established_zero_window_processes_ack_only() {
    on_link(|l| {
        l.open();
        let before = l.model.rcv_nxt;
        let _ = l.say(ACK, BUFFER);
        assert_eq!(l.model.rcv_wnd, 0);
        l.send(10);
        for (flags, text) in [(ACK, 1), (FIN | ACK, 3)] {
            let verdict = l.inject(&seg(l, flags, 0, text));
            assert_verdict(l, verdict, Rule::ZeroWindow, Action::Acknowledged, State::Established);
            assert_empty_ack(l);
            assert_eq!(l.status().unwrap().snd_una.0, l.model.snd_nxt, "the ACK counts");
        }
        assert_untouched(
            l,
            &with_ack(seg(l, ACK, 0, 1), l.model.snd_nxt + 1),
            Rule::AckUnacceptable,
            Action::Challenged,
        );
        assert_untouched(l, &seg(l, 0, 0, 1), Rule::NoAck, Action::Dropped);
        assert_eq!(l.inject(&seg(l, ACK, 0, 0)).rule, Rule::AckAccepted);
        assert_untouched(l, &seg(l, ACK, 1, 0), Rule::SeqUnacceptable, Action::Acknowledged);
        assert_eq!(l.recv(), rig::stream(before, BUFFER));
        assert_eq!(l.world.only().wnd, BUFFER, "reading opens the window and says so");
        l.open_window_takes_text();
    });
    on_link(|l| {
        l.open();
        let _ = l.say(ACK, BUFFER);
        assert_eq!(l.inject(&seg(l, RST, 0, 0)).rule, Rule::RstExact, "an RST is believed");
    });
}

impl Link<'_> {
    /// The window that reading opened admits the text that was refused.
    fn open_window_takes_text(&mut self) {
        let before = self.model.rcv_nxt;
        assert_eq!(self.say(ACK, 3).rule, Rule::TextInOrder);
        assert_eq!(self.recv(), rig::stream(before, 3));
    }
}

#[test]
fn fin_wait_text_for_closed_application_resets() {
    for build in [fin_wait_1_gone, fin_wait_2_gone] as [Script; 2] {
        for (offset, text) in [(0, 1), (-1, 2), (3, 1)] {
            on_link(|l| {
                build(l);
                let state = l.state();
                let bad = with_ack(seg(l, ACK, offset, text), l.model.snd_nxt + 1);
                assert_untouched(l, &bad, Rule::AckUnacceptable, Action::Challenged);
                let verdict = l.inject(&seg(l, ACK, offset, text));
                assert_verdict(l, verdict, Rule::TextReceiverGone, Action::Reset(ResetReason::ReceiverGone), state);
                assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::ReceiverGone);
                assert_eq!(l.state(), State::Closed);
                assert_closed(l, CloseReason::DataLost);
            });
        }
    }
}

#[test]
fn fin_wait_old_text_for_closed_application_is_acknowledged() {
    on_link(|l| {
        l.open();
        let _ = l.say(ACK, 5);
        let _ = l.recv();
        l.close();
        assert_untouched(l, &seg(l, ACK, -5, 5), Rule::SeqUnacceptable, Action::Acknowledged);
        assert_empty_ack(l);
        assert_eq!(l.inject(&seg(l, FIN | ACK, 0, 0)).rule, Rule::FinInOrder, "an orderly end is still possible");
        assert_closed(l, CloseReason::LocalClosed);
    });
}

#[test]
fn established_close_with_unread_data_resets() {
    for build in [open, fin_wait_1, fin_wait_2] as [Script; 3] {
        on_link(|l| {
            build(l);
            let _ = l.say(ACK, 5);
            l.close();
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::UnreadData);
            assert_eq!(l.state(), State::Closed);
            assert_closed(l, CloseReason::DataLost);
        });
    }
}

/// Both have closed, but our FIN is not acknowledged: the peer would wait for it in vain.
#[test]
fn closing_close_with_unread_data_resets() {
    for state in [State::Closing, State::LastAck] {
        on_link(|l| {
            l.open();
            let _ = l.say(ACK, 5);
            l.unread_goes_to(state);
            assert_eq!(l.state(), state);
            l.close();
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::UnreadData);
            assert_closed(l, CloseReason::DataLost);
            assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
        });
    }
}

impl Link<'_> {
    /// ESTABLISHED with unread bytes to CLOSING or LAST-ACK: each side finishes, in either order.
    fn unread_goes_to(&mut self, state: State) {
        if state == State::Closing {
            self.shutdown();
            let _ = self.inject(&with_ack(seg(self, FIN | ACK, 0, 0), self.model.snd_una));
        } else {
            let _ = self.say(FIN | ACK, 0);
            self.shutdown();
        }
        self.look();
    }
}

#[test]
fn syn_received_expired_peer_is_told() {
    // The handshake was never completed.
    on_link(|l| {
        l.knock();
        l.world.wait(Duration::from_secs(31));
        let told = l.world.sent.last().unwrap();
        // Without an ACK: a peer whose SYN,ACK was lost goes on in SYN-SENT, and its next SYN is taken.
        assert_eq!((told.flags, told.seq), (RST, l.model.iss.wrapping_add(1)));
        assert_eq!(l.world.sent.iter().filter(|sent| sent.flags & RST != 0).count(), 1);
        assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.world.tcp.counters().reset_sent(ResetReason::TimedOut), 1);
    });
    // It was, but the backlog stayed full: the peer counts it as established and may wait for us to speak first.
    on_link(|l| {
        l.listen(ListenOptions { backlog: 1, ..rig::small_listener() });
        let _ = l.say(SYN, 0);
        let first = l.model.rcv_nxt;
        let reply = stranger_knocks(l, 1_001);
        let raw = Raw { seq: 6, ack: reply.end(), flags: ACK, wnd: 100, ..Raw::default() };
        let _ = l.world.arrive(stranger(l, 1_001), l.us, &raw);
        assert_eq!(l.inject(&Seg::new(ACK, first, l.model.snd_nxt, 0, 1_000)).rule, Rule::SynReceivedNoSlot);
        assert_eq!(l.world.tcp.in_use().1, 1);
        l.world.wait(Duration::from_secs(31));
        assert_eq!(l.world.tcp.counters().reset_sent(ResetReason::ListenerFull), 1);
        let told = l.world.sent.iter().find(|sent| sent.flags == RST | ACK).unwrap();
        assert_eq!((told.seq, told.ack), (l.model.iss.wrapping_add(1), first));
        assert_eq!(l.world.tcp.in_use().1, 0);
    });
}

fn stranger(link: &Link<'_>, port: u16) -> SocketAddr {
    SocketAddr::new(link.peer.ip(), port)
}

/// Another peer's SYN; gives the SYN,ACK.
fn stranger_knocks(link: &mut Link<'_>, port: u16) -> rig::Sent {
    let raw = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
    let _ = link.world.arrive(stranger(link, port), link.us, &raw);
    link.world.only().clone()
}

#[test]
fn unlisten_tells_every_half_open_peer() {
    let many = |l: &mut Link<'_>| {
        l.listen(ListenOptions { half_open: 200, ..rig::small_listener() });
        (1..=30).map(|n| stranger_knocks(l, 2_000 + n)).collect::<Vec<_>>()
    };
    let told = |l: &Link<'_>, syn_acks: &[rig::Sent]| {
        assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.world.sent.len(), syn_acks.len());
        for (rst, syn_ack) in l.world.sent.iter().zip(syn_acks) {
            assert_eq!((rst.flags, rst.dst, rst.seq, rst.ack), (RST | ACK, syn_ack.dst, syn_ack.end(), 6));
            assert_eq!(rst.reason, Some(ResetReason::ListenerClosed));
        }
    };
    on_large_link(|l| {
        let syn_acks = many(l);
        l.world.tcp.unlisten(l.world.now, l.listener.unwrap()).unwrap();
        assert_eq!(l.world.tcp.in_use().1, 26, "what fits into half the queue is on its way");
        l.world.drain();
        told(l, &syn_acks);
    });
    on_large_link(|l| {
        let syn_acks = many(l);
        l.world.tcp.abort_all(l.world.now);
        l.world.drain();
        told(l, &syn_acks);
    });
    // The queue drains late: meanwhile who asks is answered, and who was to be told may ask.
    on_large_link(|l| {
        let syn_acks = many(l);
        l.world.tcp.unlisten(l.world.now, l.listener.unwrap()).unwrap();
        let raw = Raw { seq: 6, ack: syn_acks[29].end(), flags: ACK, wnd: 100, ..Raw::default() };
        let _ = l.world.arrive(stranger(l, 2_030), l.us, &raw);
        let resets = l.world.sent.iter().filter(|sent| sent.dst == stranger(l, 2_030)).count();
        assert_eq!((resets, l.world.sent.len()), (2, 31), "by its own segment, and by the queue");
        assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
    });
}

/// One bare SYN while the neighbor does not answer: there is no link-layer address to send an RST to.
#[test]
fn syn_received_abort_with_nowhere_to_go_frees_the_slot() {
    on_link(|l| {
        let options = rig::small_stream();
        let handle = l.world.tcp.connect(l.world.now, l.us, l.peer, None, options).unwrap();
        l.handle = Some(handle);
        let park = |l: &mut Link<'_>| {
            while let Output::Transmit(transmit) = l.world.tcp.poll_output(l.world.now) {
                assert_eq!(transmit.hop(), None);
                transmit.defer();
            }
        };
        park(l);
        let raw = Raw { seq: PEER_ISN, flags: SYN, wnd: 100, ..Raw::default() };
        let mut bytes = [0; rig::LARGEST];
        let len = raw.write(l.peer, l.us, true, &mut bytes);
        let arrival = Arrival { src: l.peer.ip(), dst: l.us.ip(), hop: Hop([2; 6]) };
        let _ = l.world.tcp.handle_segment(l.world.now, &arrival, &bytes[..len]);
        park(l);
        assert_eq!(l.state(), State::SynReceived);
        l.world.tcp.abort(l.world.now, handle).unwrap();
        park(l);
        while let Output::Event(_) = l.world.tcp.poll_output(l.world.now) {}
        park(l);
        assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.world.tcp.counters().resets_dropped, 1);
        assert_eq!(l.world.tcp.next_timeout(l.world.now), None);
    });
}

#[test]
fn close_wait_text_after_fin_is_ignored() {
    for build in [close_wait, closing, last_ack] as [Script; 3] {
        on_link(|l| {
            build(l);
            let state = l.state();
            for (flags, text) in [(ACK, 3), (FIN | ACK, 0), (FIN | ACK, 3)] {
                let after_fin = with_ack(seg(l, flags, 0, text), l.model.snd_una);
                let verdict = l.inject(&after_fin);
                assert_verdict(l, verdict, Rule::AfterFin, Action::Accepted, state);
                if flags & FIN == 0 {
                    assert_silent(l);
                } else {
                    assert_eq!(
                        (l.world.only().flags, l.world.only().ack),
                        (ACK, l.model.rcv_nxt),
                        "a FIN is acknowledged"
                    );
                }
                assert_eq!((l.state(), l.status().unwrap().rcv_nxt.0), (state, l.model.rcv_nxt));
            }
            assert_eq!(l.recv(), []);
        });
    }
}

#[test]
fn established_fin_in_order_enters_close_wait() {
    let cases: [(Script, State); 3] =
        [(open, State::CloseWait), (fin_wait_2, State::TimeWait), (knock, State::CloseWait)];
    for (build, after) in cases {
        on_link(|l| {
            build(l);
            let (state, before) = (l.state(), l.model.rcv_nxt);
            let verdict = l.say(FIN | ACK, 3);
            assert_verdict(l, verdict, Rule::FinInOrder, Action::Accepted, state);
            assert_sent(l, ACK, l.model.snd_nxt, before + 4);
            assert_eq!(l.state(), after);
            if l.handle.is_none() {
                l.accept();
            }
            assert!(l.listener.is_some() || l.world.events.contains(&Event::PeerFinished(l.handle.unwrap())));
            assert_eq!(l.recv(), rig::stream(before, 3));
            let end = l.world.tcp.recv(l.world.now, l.handle.unwrap(), &mut [0; 9]);
            assert_eq!(end, Ok(0), "the stream has ended");
        });
    }
    on_link(|l| {
        fin_wait_1(l);
        let both = seg(l, FIN | ACK, 0, 0);
        assert_eq!(l.inject(&both).rule, Rule::FinInOrder);
        assert_eq!(l.state(), State::TimeWait, "our FIN was acknowledged by the same segment");
        assert_closed(l, CloseReason::LocalClosed);
    });
    on_link(|l| {
        fin_wait_1(l);
        let crossing = with_ack(seg(l, FIN | ACK, 0, 0), l.model.snd_una);
        assert_eq!(l.inject(&crossing).rule, Rule::FinInOrder);
        assert_eq!(l.state(), State::Closing, "simultaneous close");
    });
}

#[test]
fn established_fin_beyond_gap_is_remembered() {
    on_link(|l| {
        l.open();
        let before = l.model.rcv_nxt;
        let verdict = l.inject(&seg(l, FIN | ACK, 3, 2));
        assert_verdict(l, verdict, Rule::FinOutOfOrder, Action::Accepted, State::Established);
        assert_empty_ack(l);
        assert_eq!(l.state(), State::Established);
        let _ = l.say(ACK, 3);
        assert_eq!(l.model.rcv_nxt, before + 6, "text, the held text, FIN");
        assert_eq!(l.state(), State::CloseWait);
        assert_eq!(l.recv(), rig::stream(before, 5));
    });
}

#[test]
fn established_text_in_order_is_taken() {
    for build in [knock, open, fin_wait_1, fin_wait_2] as [Script; 4] {
        on_link(|l| {
            build(l);
            let (state, before) = (l.state(), l.model.rcv_nxt);
            let verdict = l.say(ACK | PSH, 5);
            assert_verdict(l, verdict, Rule::TextInOrder, Action::Accepted, state);
            assert_sent(l, ACK, l.model.snd_nxt, before + 5);
            match l.handle {
                None => l.accept(),
                Some(handle) => assert!(l.world.events.contains(&Event::Readable(handle))),
            }
            let overlapping = seg(l, ACK, -3, 4);
            assert_eq!(l.inject(&overlapping).rule, Rule::TextInOrder);
            let too_much = Seg::new(ACK, before + 6, l.model.snd_nxt, BUFFER, l.peer_wnd);
            assert_eq!(l.inject(&too_much).rule, Rule::TextInOrder);
            assert_eq!(l.world.only().ack, before + BUFFER, "trimmed to the window");
            assert_eq!(l.recv(), rig::stream(before, BUFFER));
        });
    }
}

#[test]
fn established_text_beyond_gap_is_held() {
    on_link(|l| {
        l.open();
        let before = l.model.rcv_nxt;
        for offset in [8, 4, 6] {
            let verdict = l.inject(&seg(l, ACK, offset, 2));
            assert_verdict(l, verdict, Rule::TextOutOfOrder, Action::Accepted, State::Established);
            assert_empty_ack(l);
        }
        assert_eq!(l.recv(), [], "nothing is readable yet");
        let _ = l.say(ACK, 4);
        assert_eq!(l.model.rcv_nxt, before + 10);
        assert_eq!(l.recv(), rig::stream(before, 10));
    });
}

// M1, M2: two of ours

fn stream_options() -> StreamOptions {
    StreamOptions { rx_buffer: 1_024, tx_buffer: 1_024, ..StreamOptions::default() }
}

/// Two engines of ours, over each family; `a` listens and `b` has connected to it.
fn on_pair(test: impl Fn(&mut Pair<'_>, ConnectionHandle, ConnectionHandle)) {
    over_each(|family| {
        let (mut left, mut right) = (Box::new(LargeStore::new()), Box::new(LargeStore::new()));
        let a = World::with(&mut *left, Config::default(), rig::key(1), START);
        let b = World::with(&mut *right, Config::default(), rig::key(2), START);
        let mut pair = Pair::new(family, a, b);
        let options = ListenOptions { stream: stream_options(), ..ListenOptions::default() };
        let listener = pair.a.tcp.listen(us(family), options).unwrap();
        let at_b = dial_from(&mut pair.b, family);
        pair.carry();
        let at_a = pair.a.tcp.accept(pair.a.now, listener).unwrap();
        pair.a.drain();
        test(&mut pair, at_a, at_b);
    });
}

fn dial_from(world: &mut World<'_>, family: Family) -> ConnectionHandle {
    let (local, remote) = (peer(family), us(family));
    let handle = world.tcp.connect(world.now, local, remote, Some(Hop::default()), stream_options()).unwrap();
    world.drain();
    handle
}

/// Sends what fits of `bytes` from `sent` on and reads what there is into `got`.
fn pump(world: &mut World<'_>, handle: ConnectionHandle, bytes: &[u8], sent: &mut usize, got: &mut Vec<u8>) {
    if let Ok(count) = world.tcp.send(world.now, handle, &bytes[*sent..]) {
        *sent += count;
    }
    let mut buffer = [0; 300];
    if let Ok(count) = world.tcp.recv(world.now, handle, &mut buffer) {
        got.extend(&buffer[..count]);
    }
    let before = std::mem::take(&mut world.sent);
    world.drain();
    world.sent.splice(0..0, before);
}

#[test]
fn established_idle_for_days_still_carries_data() {
    on_pair(|pair, at_a, at_b| {
        let (up, down) = (rig::stream(1, 20_000), rig::stream(77, 20_000));
        for lose_each in [0, 7] {
            pair.lose_each = 0;
            pair.wait(Duration::from_secs(5 * 24 * 3_600));
            pair.lose_each = lose_each;
            let (mut sent_up, mut sent_down, mut got_up, mut got_down) = (0, 0, Vec::new(), Vec::new());
            for _ in 0..20_000 {
                pump(&mut pair.b, at_b, &up, &mut sent_up, &mut got_down);
                pump(&mut pair.a, at_a, &down, &mut sent_down, &mut got_up);
                pair.wait(Duration::from_millis(50));
                if got_up.len() == up.len() && got_down.len() == down.len() {
                    break;
                }
            }
            assert!(got_up == up, "each byte once and in order: {} of {}", got_up.len(), up.len());
            assert!(got_down == down, "each byte once and in order: {} of {}", got_down.len(), down.len());
        }
    });
}

#[test]
fn established_sender_respects_the_window() {
    on_link(|l| {
        l.peer_wnd = 40;
        l.open();
        l.send(BUFFER);
        l.world.wait(Duration::from_secs(5));
        l.look();
        let in_flight = l.model.snd_nxt - l.model.snd_una;
        assert!(in_flight > 0 && in_flight <= 40, "{in_flight} bytes in flight");
    });
}

#[test]
fn established_lost_text_is_sent_again() {
    on_link(|l| {
        l.open();
        l.send(10);
        let first = l.world.only().clone();
        for _ in 0..3 {
            assert_eq!(l.world.next_deadline(), Timer::Retransmission);
            let again = l.world.only();
            assert_eq!((again.seq, &again.text), (first.seq, &first.text));
        }
        assert_eq!(l.status().unwrap().snd_nxt.0, l.model.snd_nxt, "SND.NXT is not rewound");
        l.peer_acks();
        l.world.wait(Duration::from_secs(200));
        assert_silent(l);
    });
}

#[test]
fn established_orderly_close_ends_both_sides() {
    on_pair(|pair, at_a, at_b| {
        pair.b.tcp.shutdown(pair.b.now, at_b).unwrap();
        pair.b.drain();
        pair.wait(Duration::from_secs(1));
        assert_eq!(pair.a.tcp.status(at_a).unwrap().state, State::CloseWait);
        assert_eq!(pair.b.tcp.status(at_b).unwrap().state, State::FinWait2);
        pair.a.tcp.shutdown(pair.a.now, at_a).unwrap();
        pair.a.drain();
        pair.wait(Duration::from_secs(1));
        assert!(pair.a.events.contains(&Event::Closed(at_a, CloseReason::PeerClosed)), "{:?}", pair.a.events);
        assert!(pair.b.events.contains(&Event::Closed(at_b, CloseReason::LocalClosed)), "{:?}", pair.b.events);
        assert_eq!(pair.b.tcp.recv(pair.b.now, at_b, &mut [0]), Ok(0));
        assert!(pair.log.iter().all(|(_, flags)| flags & RST == 0));
    });
}

// M3, M4, M11: half-open

#[test]
fn rebooted_peer_syn_resets_and_reconnects() {
    on_pair(|pair, at_a, _| {
        let mut fresh = Box::new(LargeStore::new());
        let now = pair.b.now + Duration::from_secs(10);
        let mut a = take(pair);
        a.now = now;
        let b = World::with(&mut *fresh, Config::default(), rig::key(3), now);
        let mut pair = Pair::new(pair.family, a, b);
        let at_b = dial_from(&mut pair.b, pair.family);
        pair.carry();
        let (server, client) = (us(pair.family).ip(), peer(pair.family).ip());
        let (reset, anew) = pair.log.split_at(3);
        assert_eq!(reset, [(client, SYN), (server, ACK), (client, RST)], "SYN, challenge, RST");
        assert_eq!(anew, [(client, SYN), (server, SYN | ACK), (client, ACK)], "and at once the next SYN");
        assert!(pair.a.events.contains(&Event::Closed(at_a, CloseReason::ResetByPeer)), "{:?}", pair.a.events);
        assert_eq!(pair.b.tcp.status(at_b).unwrap().state, State::Established, "the next SYN succeeds");
        assert_eq!(pair.a.tcp.counters().rule(Rule::SynSynchronized), 1);
        assert_eq!(pair.b.tcp.counters().rule(Rule::SynSentBadAck), 1);
    });
}

/// Takes the surviving side out of a pair whose other side has rebooted.
fn take<'s>(pair: &mut Pair<'s>) -> World<'s> {
    let nobody = Box::leak(Box::new(Store::new()));
    std::mem::replace(&mut pair.a, World::new(nobody, config()))
}

#[test]
fn crashed_peer_text_draws_rst_and_ends() {
    on_pair(|pair, at_a, _| {
        let mut fresh = Box::new(LargeStore::new());
        let a = take(pair);
        let b = World::with(&mut *fresh, Config::default(), rig::key(3), START);
        let mut pair = Pair::new(pair.family, a, b);
        pair.a.tcp.send(pair.a.now, at_a, b"are you there?").unwrap();
        pair.a.drain();
        pair.carry();
        assert_eq!(pair.b.tcp.counters().rule(Rule::ClosedAck), 1);
        assert_eq!(pair.a.tcp.counters().rule(Rule::RstExact), 1);
        assert_eq!(pair.a.events.last(), Some(&Event::Closed(at_a, CloseReason::ResetByPeer)));
    });
}

#[test]
fn after_reset_same_ports_open_at_once() {
    on_link(|l| {
        l.open();
        let _ = l.inject(&seg(l, RST, 0, 0));
        assert_eq!(l.state(), State::Closed);
        l.isn = 99;
        l.open();
        assert_eq!(l.state(), State::Established, "the old handle is not even given up");
    });
    on_link(|l| {
        l.enter();
        l.accept();
        let _ = l.inject(&seg(l, RST, 0, 0));
        l.isn = 99;
        assert_eq!(l.say(SYN, 0).rule, Rule::ListenSyn);
        assert_eq!(l.say(ACK, 0).rule, Rule::AckEstablishes);
        assert_eq!(l.state(), State::Established);
    });
    on_link(|l| {
        l.open();
        l.abort();
        l.isn = 99;
        l.open();
        assert_eq!(l.state(), State::Established, "after an abort of our own");
    });
}

// R9

#[test]
fn abort_in_every_state_sends_what_the_state_demands() {
    for build in [cross, open, fin_wait_1, fin_wait_2, close_wait, closing, last_ack] as [Script; 7] {
        on_link(|l| {
            build(l);
            l.abort();
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::Aborted);
            assert_eq!(l.state(), State::Closed);
            assert_eq!(l.world.tcp.counters().closed(CloseReason::Aborted), 1);
            assert_eq!((l.world.deadline, l.world.tcp.in_use().0), (None, 0));
        });
    }
    for build in [dial, time_wait] as [Script; 2] {
        on_link(|l| {
            build(l);
            let handle = l.handle.unwrap();
            let _ = l.world.tcp.abort(l.world.now, handle);
            l.world.drain();
            assert_silent(l);
            assert_eq!(l.state(), State::Closed);
            assert_eq!(l.world.tcp.counters().reset_sent(ResetReason::Aborted), 0);
        });
    }
}

#[test]
fn established_abort_with_shrunk_window_stays_inside_it() {
    on_link(|l| {
        l.open();
        l.send(10);
        l.peer_offers(4);
        let una = l.model.snd_una;
        l.abort();
        assert_reset(l, RST | ACK, una + 4, l.model.rcv_nxt, ResetReason::Aborted);
    });
    on_link(|l| {
        l.open();
        l.send(10);
        l.peer_offers(0);
        let una = l.model.snd_una;
        l.abort();
        assert_reset(l, RST | ACK, una, l.model.rcv_nxt, ResetReason::Aborted);
    });
}

#[test]
fn established_abort_with_closed_window_ignores_the_probe() {
    on_link(|l| {
        probe_outstanding(l);
        l.abort();
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::Aborted);
    });
}

#[test]
fn established_abort_after_retransmission_uses_highest_snd_nxt() {
    on_link(|l| {
        l.open();
        l.send(10);
        let _ = l.world.next_deadline();
        assert_eq!(l.world.only().seq, l.model.snd_nxt - 10, "sent again");
        l.abort();
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::Aborted);
    });
}

#[test]
fn syn_sent_close_ends_silently() {
    on_link(|l| {
        l.dial();
        l.close();
        assert_silent(l);
        assert_eq!(l.state(), State::Closed);
        assert_closed(l, CloseReason::ClosedBeforeOpen);
        assert_eq!(l.world.deadline, None);
    });
}

#[test]
fn unlisten_resets_what_was_not_accepted() {
    on_link(|l| {
        l.enter();
        l.unlisten();
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::ListenerClosed);
        assert_eq!(l.state(), State::Closed);
    });
    on_link(|l| {
        l.knock();
        l.unlisten();
        assert_eq!(l.state(), State::Closed, "the half-open entry goes with its listener");
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::ListenerClosed);
        assert_eq!(l.inject(&seg(l, ACK, 0, 0)).rule, Rule::ClosedAck, "its peer learns at the latest now");
    });
    on_link(|l| {
        accepted(l);
        l.unlisten();
        assert_silent(l);
        assert_eq!(l.state(), State::Established, "what was accepted stays");
    });
}

#[test]
fn retransmission_timeout_resets_and_tells() {
    for build in [text_in_flight, fin_wait_1, closing, last_ack] as [Script; 4] {
        on_link(|l| {
            build(l);
            let begin = l.world.now;
            while l.world.events.iter().all(|event| !matches!(event, Event::Closed(..))) {
                let _ = l.world.next_deadline();
            }
            assert!(l.world.now.duration_since(begin) >= Duration::from_secs(100), "R2");
            assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::TimedOut);
            assert_closed(l, CloseReason::TimedOut(Timer::Retransmission));
            assert_eq!((l.state(), l.world.deadline), (State::Closed, None));
        });
    }
}

// R10

#[test]
fn time_wait_reopened_handshake_replaces_the_record() {
    on_link(|l| {
        time_wait_of_listener(l);
        l.isn = l.model.rcv_nxt + 1_000;
        assert_eq!(l.say(SYN, 0).rule, Rule::SynTimeWaitReopens);
        assert_eq!(l.say(ACK, 0).rule, Rule::AckEstablishes);
        assert_eq!(l.state(), State::Established);
        l.accept();
        l.world.wait(Duration::from_secs(70));
        assert_eq!(l.state(), State::Established, "the record's timer is gone with it");
        let _ = l.inject(&seg(l, RST, 0, 0));
        assert_eq!(l.state(), State::Listen, "and so is the record");
    });
}

#[test]
fn time_wait_reopening_by_old_duplicate_returns() {
    on_link(|l| {
        time_wait_of_listener(l);
        let old = l.model;
        l.isn = l.model.rcv_nxt + 1_000;
        assert_eq!(l.say(SYN, 0).rule, Rule::SynTimeWaitReopens);
        let surprised = Seg::new(RST, l.world.only().ack, 0, 0, 0);
        assert_eq!(l.inject(&surprised).rule, Rule::RstSynReceivedPassive);
        assert_eq!(l.state(), State::TimeWait, "the old record stayed");
        l.model = old;
        assert_untouched(l, &seg(l, FIN | ACK, -1, 0), Rule::FinTimeWait, Action::Acknowledged);
        assert_empty_ack(l);
    });
}

#[test]
fn time_wait_table_full_drops_the_oldest() {
    on_link(|l| {
        let idle = l.model;
        let ports = [40_001, 40_002, 40_003];
        for port in ports {
            l.peer.set_port(port);
            l.model = idle;
            time_wait(l);
            l.close_handle();
            l.world.wait(Duration::from_secs(1));
        }
        let states = ports.map(|port| {
            l.peer.set_port(port);
            l.state()
        });
        assert_eq!(states, [State::Closed, State::TimeWait, State::TimeWait]);
    });
}

impl Link<'_> {
    /// The application gives up the handle of a connection that is over.
    fn close_handle(&mut self) {
        let _ = self.world.tcp.close(self.world.now, self.handle.take().unwrap());
        self.world.drain();
    }
}

#[test]
fn time_wait_ends_after_two_msl() {
    for (setting, secs) in [(Config::default().time_wait, 60), (Duration::from_secs(240), 240)] {
        on_link_with(Config { time_wait: setting, ..config() }, |l| {
            time_wait(l);
            l.world.wait(Duration::from_secs(secs) - Duration::from_millis(100));
            assert_eq!(l.state(), State::TimeWait);
            l.world.wait(Duration::from_millis(200));
            assert_eq!(l.state(), State::Closed);
            assert_silent(l);
        });
    }
}

// R12

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

fn arrive_with(link: &mut Link<'_>, seg: &Seg, options: &[u8]) -> Verdict {
    let first = seg.seq.wrapping_add(u32::from(seg.has(SYN)));
    let text = rig::stream(first, seg.text);
    let raw =
        Raw { seq: seg.seq, ack: seg.ack, flags: seg.flags, wnd: seg.wnd as u16, urgent: 0, options, text: &text };
    let (peer, us) = (link.peer, link.us);
    link.world.arrive(peer, us, &raw)
}

#[test]
fn malformed_options_never_reset() {
    for (name, options) in MALFORMED_OPTIONS {
        on_link(|l| {
            l.listen(rig::small_listener());
            let syn = Seg::new(SYN, PEER_ISN, 0, 0, 1_000);
            assert_eq!(arrive_with(l, &syn, options).rule, Rule::ListenSyn, "{name}");
            assert_eq!(l.world.only().flags, SYN | ACK, "{name}");
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
            assert_eq!(arrive_with(l, &text, options).rule, Rule::TextInOrder, "{name}");
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
                let _ = l.world.arrive(l.peer, l.us, &raw);
            }
            assert_eq!(l.recv(), text, "urgent pointer {urgent}");
            assert_eq!(l.status().unwrap().rcv_nxt.0, before + 3);
        });
        on_link(|l| {
            l.dial();
            let (ack, flags) = (l.model.snd_nxt, SYN | ACK | URG);
            let _ =
                l.world.arrive(l.peer, l.us, &Raw { seq: PEER_ISN, ack, flags, wnd: 1_000, urgent, ..Raw::default() });
            let status = l.status().unwrap();
            assert_eq!((status.state, status.rcv_nxt.0), (State::Established, PEER_ISN + 1));
        });
    }
}

// S1

#[test]
fn weak_key_is_refused() {
    for byte in [0, 0xff, 0x41] {
        assert!(SecretKey::new([byte; 16]).is_err());
    }
    let mut bytes = [0; 16];
    bytes[15] = 1;
    assert!(SecretKey::new(bytes).is_ok());
}

/// The ISS of an active open and of a listener's SYN,ACK, from the same endpoints.
fn isns(seed: u8, micros: u64, peer: SocketAddr) -> (u32, u32) {
    let start = START + Duration::from_micros(micros);
    let iss = |open: fn(&mut Link<'_>)| {
        let mut store = Box::new(Store::new());
        let mut link =
            Link::new(World::with(&mut *store, config(), rig::key(seed), start), Family::of(peer.ip()), PEER_ISN);
        link.peer = peer;
        open(&mut link);
        link.model.iss
    };
    (iss(dial), iss(knock))
}

#[test]
fn isn_depends_on_tuple_key_and_clock() {
    over_each(|family| {
        let peer = peer(family);
        let (active, passive) = isns(1, 0, peer);
        let later = isns(1, 4_000, peer);
        let grown = (later.0.wrapping_sub(active), later.1.wrapping_sub(passive));
        assert_eq!(grown, (1_000, 1_000), "one more each 4 us");
        let other_port = SocketAddr::new(peer.ip(), peer.port() + 1);
        let other_address = SocketAddr::new(family.host(9), peer.port());
        for other in [isns(2, 0, peer), isns(1, 0, other_port), isns(1, 0, other_address)] {
            let distance = (other.0.wrapping_sub(active), other.1.wrapping_sub(passive));
            assert!(distance.0 > 10_000 && distance.1 > 10_000, "no relation: {distance:?}");
        }
        let mut seen: Vec<u32> = (1..=200).map(|n| isns(1, 0, SocketAddr::new(peer.ip(), n)).0).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 200);
    });
}

// S2

#[test]
fn challenge_quota_limits_each_record_alone() {
    // Where a SYN,ACK would be believed, or a SYN alone, it is the other.
    let syn_elsewhere = |l: &Link<'_>| {
        let flags = if l.state() == State::SynReceived { SYN } else { SYN | ACK };
        seg(l, flags, 0x1000_0000, 0)
    };
    let cases: [(Script, Rule); 4] = [
        (knock, Rule::SynReceivedSynOther),
        (cross, Rule::SynReceivedSynOther),
        (open, Rule::SynSynchronized),
        (time_wait, Rule::SynTimeWait),
    ];
    for (build, rule) in cases {
        on_link(|l| {
            build(l);
            l.world.wait(Duration::from_millis(1));
            for round in 0..2 {
                for _ in 0..10 {
                    assert_untouched(l, &syn_elsewhere(l), rule, Action::Challenged);
                    assert_empty_ack(l);
                }
                for _ in 0..5 {
                    assert_untouched(l, &syn_elsewhere(l), rule, Action::Limited);
                    assert_silent(l);
                }
                if round == 0 {
                    let now = l.world.now;
                    l.world.now = now + Duration::from_millis(4_200);
                }
            }
        });
    }
    on_link(|l| {
        l.open();
        for _ in 0..15 {
            let _ = l.inject(&syn_elsewhere(l));
        }
        let (first, idle) = (l.peer, bench_model(l));
        l.peer = SocketAddr::new(l.family.host(9), first.port());
        l.model = idle;
        l.open();
        assert_untouched(l, &syn_elsewhere(l), Rule::SynSynchronized, Action::Challenged);
    });
}

/// The books of a peer that has not spoken yet.
fn bench_model(link: &Link<'_>) -> table::Model {
    table::Model { snd_una: 0, snd_nxt: 0, snd_wnd: 0, max_snd_wnd: 0, rcv_nxt: link.isn, ..link.model }
}

#[test]
fn challenge_quota_spares_owed_answers() {
    on_link(|l| {
        l.open();
        let _ = l.say(ACK, 8);
        let stale = seg(l, ACK, -2, 0);
        for _ in 0..10 {
            assert_untouched(l, &stale, Rule::SeqUnacceptable, Action::Acknowledged);
        }
        assert_untouched(l, &stale, Rule::SeqUnacceptable, Action::Limited);
        assert_silent(l);
        for _ in 0..30 {
            for owed in [seg(l, ACK, -1, 0), seg(l, ACK, -1, 1), seg(l, ACK, -8, 8)] {
                assert_untouched(l, &owed, Rule::SeqUnacceptable, Action::Acknowledged);
                assert_empty_ack(l);
            }
        }
        let blind = with_ack(seg(l, ACK, -8, 8), l.model.snd_nxt + 1);
        assert_untouched(l, &blind, Rule::SeqUnacceptable, Action::Limited);
        assert_silent(l);
    });
}
