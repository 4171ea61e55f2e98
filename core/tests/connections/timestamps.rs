//! Over each family: timestamps, as a peer sees them that has a clock of its own, and as one sees that has none (RFC 7323).

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    Action, Config, Instant, KeepAlive, Rule, State, Status, StreamOptions, Timer, Verdict,
};

use crate::support::family::{Family, over_each};
use crate::support::packet::segment::{timestamps_of, timestamps_option};
use crate::support::rig::reach::{
    OTHER_STATES, SYN_RECEIVED, SYNCHRONIZED, Script, accepted, crossed, open, time_wait, time_wait_of_listener,
};
use crate::support::rig::{
    Engine, LargeStore, PEER_ISN, Raw, Rig, START, Sent, Store, key, peer, quick_config, small_listener, small_stream,
    us,
};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg, URG};
use crate::{ms, on, on_with, seconds};

/// Where the peer's clock stands as long as a test does not move it.
const CLOCK: u32 = 70_000;
/// Bytes of the option as it is sent.
const OPTION: usize = 12;

fn days(n: u64) -> Duration {
    seconds(n * 24 * 60 * 60)
}

/// A peer whose clock stands at [`CLOCK`].
fn on_clock(config: Config, reach: impl Fn(&mut Rig<'_>), test: impl Fn(&mut Rig<'_>)) {
    on_with(config, |l| {
        l.stamp = Some(CLOCK);
        reach(l);
        assert_eq!(l.state(), l.model.state);
        test(l);
    });
}

/// A segment `offset` from RCV.NXT on, of a peer whose clock stands at `stamp`.
fn seg(l: &Rig<'_>, flags: u8, offset: i32, text: u32, stamp: impl Into<Option<u32>>) -> Seg {
    let seq = l.model.rcv_nxt.wrapping_add_signed(offset);
    Seg { stamp: stamp.into(), ..Seg::new(flags, seq, l.model.snd_nxt, text, l.peer_wnd) }
}

/// The peer's next segment in order, at a time of its clock.
fn say(l: &mut Rig<'_>, flags: u8, text: u32, stamp: u32) -> Verdict {
    l.stamp = Some(stamp);
    l.say(flags, text)
}

/// TSecr of a segment, where it has the option.
fn echo(sent: &Sent) -> Option<u32> {
    timestamps_of(&sent.options).map(|(_, echo)| echo)
}

/// TSecr of each segment that the last call sent.
fn echoes(l: &Rig<'_>) -> Vec<u32> {
    l.engine.sent.iter().map(|sent| echo(sent).expect("the option")).collect()
}

/// Asks for an acknowledgment by a probe that is answered and not believed, and returns what it echoes.
fn recent(l: &mut Rig<'_>) -> Option<u32> {
    let _ = l.inject(&seg(l, ACK, -1, 0, None));
    let sent = l.engine.only();
    assert_eq!(sent.flags, ACK);
    echo(sent)
}

/// Time passes in which nobody is served.
fn pass(l: &mut Rig<'_>, time: Duration) {
    l.engine.now = l.engine.now + time;
}

fn status(l: &Rig<'_>) -> Status {
    l.status().expect("a connection")
}

// Negotiation (§2.3, §3.2)

/// Both ends have timestamps, or neither sends any, whatever the peer does then.
fn assert_agreed(l: &mut Rig<'_>, is_agreed: bool) {
    let status = status(l);
    assert_eq!((status.state, status.timestamps), (State::Established, is_agreed));
    let taken = if is_agreed { OPTION as u16 } else { 0 };
    assert_eq!(status.mss, l.family.default_mss() - taken, "the option counts as payload (RFC 6691)");
    if is_agreed {
        let _ = say(l, ACK, 5, CLOCK + 5);
        assert_eq!(echoes(l), [CLOCK + 5]);
        assert_eq!(l.inject(&seg(l, ACK, 0, 5, None)).rule, Rule::TimestampMissing);
        return;
    }
    for stamp in [None, Some(CLOCK + 5), Some(CLOCK - 5), Some(0), None] {
        l.stamp = stamp;
        let verdict = l.say(ACK, 5);
        assert_eq!((verdict.rule, verdict.action), (Rule::PayloadInOrder, Action::Accepted));
        assert_eq!(echo(l.engine.only()), None);
    }
    l.send(5);
    assert_eq!(echo(l.engine.only()), None);
}

#[test]
fn timestamps_are_used_where_both_ends_offer_them() {
    for (ours, theirs) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = Config { timestamps: ours, ..quick_config() };
        let (offered, is_agreed) = (ours.then_some(0), ours && theirs);
        let agreed = is_agreed.then_some(CLOCK);
        let with_peer = |test: &dyn Fn(&mut Rig<'_>)| {
            on_with(config, |l| {
                l.stamp = theirs.then_some(CLOCK);
                test(l);
                assert_agreed(l, is_agreed);
            });
        };
        with_peer(&|l| {
            l.dial();
            assert_eq!(echo(l.engine.only()), offered, "the SYN echoes nothing");
            let _ = l.say(SYN | ACK, 0);
            assert_eq!(echo(l.engine.only()), agreed);
        });
        with_peer(&|l| {
            l.listen(small_listener());
            let _ = l.say(SYN, 0);
            assert_eq!((l.engine.only().flags, echo(l.engine.only())), (SYN | ACK, agreed));
            let _ = l.say(ACK, 0);
            l.accept();
        });
        for last in [SYN | ACK, ACK] {
            with_peer(&|l| {
                l.dial();
                let _ = l.say(SYN, 0);
                assert_eq!((l.engine.only().flags, echo(l.engine.only())), (SYN | ACK, agreed));
                let _ = l.say(last, 0);
            });
        }
    }
}

#[test]
fn crossing_syns_agree_by_the_last() {
    // A peer resends its SYN without options, in case they were the cause.
    on(|l| {
        l.stamp = Some(CLOCK);
        l.cross();
        l.stamp = None;
        let _ = l.say(SYN | ACK, 0);
        assert_agreed(l, false);
    });
}

#[test]
fn a_segment_in_a_half_open_connection_ends_the_agreement_by_the_lack_of_one() {
    for reach in SYN_RECEIVED {
        on(|l| {
            l.stamp = Some(CLOCK);
            reach(l);
            // The SYN again, without options: the first one's stand.
            let _ = l.inject(&Seg::new(SYN, l.isn, 0, 0, l.peer_wnd));
            assert_eq!((l.engine.only().flags, echo(l.engine.only())), (SYN | ACK, Some(CLOCK)));
            // And again by the timer.
            let _ = l.engine.next_deadline();
            assert_eq!((l.engine.only().flags, echo(l.engine.only())), (SYN | ACK, Some(CLOCK)));
            l.stamp = None;
            let _ = l.say(ACK, 0);
            if l.listener.is_some() {
                l.accept();
            }
            assert_agreed(l, false);
        });
    }
}

// What each segment says (§3.2)

/// The clock that timestamps count, from the one of our SYN at [`START`] on.
fn clock(l: &Rig<'_>, origin: u32) -> u32 {
    origin.wrapping_add(l.engine.now.duration_since(START).as_millis() as u32)
}

#[test]
fn each_segment_says_the_time_and_echoes_the_peers() {
    let stream = StreamOptions { keep_alive: Some(KeepAlive::default()), ..small_stream() };
    on(|l| {
        l.dial_with(stream);
        let origin = l.engine_stamp;
        let assert_said = |l: &Rig<'_>, kinds: &[(u8, usize)], stamp: u32| {
            let said: Vec<_> = l.engine.sent.iter().map(|sent| (sent.flags & !PSH, sent.text.len())).collect();
            assert_eq!(said, kinds);
            for sent in &l.engine.sent {
                assert_eq!(timestamps_of(&sent.options), Some((clock(l, origin), stamp)), "{sent:?}");
            }
        };
        // The SYN is sent again, and says when.
        let _ = l.engine.next_deadline();
        assert_eq!(clock(l, origin), origin.wrapping_add(1_000));
        assert_said(l, &[(SYN, 0)], 0);
        pass(l, ms(20));
        let _ = say(l, SYN | ACK, 0, CLOCK);
        l.model.state = State::Established;
        assert_said(l, &[(ACK, 0)], CLOCK);
        let _ = say(l, ACK, 5, CLOCK + 1);
        assert_said(l, &[(ACK, 0)], CLOCK + 1);
        pass(l, ms(7));
        l.send(10);
        assert_said(l, &[(ACK, 10)], CLOCK + 1);
        for _ in 0..2 {
            assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
            assert_said(l, &[(ACK, 10)], CLOCK + 1);
        }
        l.stamp = Some(CLOCK + 2);
        l.peer_acks();
        assert_said(l, &[], 0);
        // A window that is closed is probed.
        l.peer_offers(0);
        l.send(20);
        l.wait_for_probe();
        assert_said(l, &[(ACK, 1)], CLOCK + 2);
        l.stamp = Some(CLOCK + 3);
        l.peer_offers(1_000);
        l.look();
        assert_eq!(l.model.snd_nxt.wrapping_sub(l.model.snd_una), 20);
        assert_said(l, &[(ACK, 20)], CLOCK + 3);
        l.peer_acks();
        // Who is idle is asked.
        assert_eq!(l.engine.next_deadline(), Timer::KeepAlive);
        assert_said(l, &[(ACK, 0)], CLOCK + 3);
        l.peer_acks();
        for (flags, offset) in [(SYN, 0), (RST, 1), (ACK, -1), (ACK, 500)] {
            let _ = l.inject(&seg(l, flags, offset, 0, CLOCK + 9));
            assert_said(l, &[(ACK, 0)], CLOCK + 3);
        }
        let _ = l.inject(&seg(l, ACK, 0, 0, CLOCK + 2));
        assert_said(l, &[(ACK, 0)], CLOCK + 3);
        l.peer_acks();
        l.shutdown();
        assert_said(l, &[(FIN | ACK, 0)], CLOCK + 3);
        assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
        assert_said(l, &[(FIN | ACK, 0)], CLOCK + 3);
        l.peer_acks();
        l.stamp = Some(CLOCK + 4);
        l.peer_finishes();
        assert_said(l, &[(ACK, 0)], CLOCK + 4);
        assert_eq!(l.state(), State::TimeWait);
        // The record that is left goes on.
        pass(l, ms(300));
        let _ = l.inject(&seg(l, FIN | ACK, -1, 0, CLOCK + 6));
        assert_said(l, &[(ACK, 0)], CLOCK + 6);
        for (flags, offset, stamp) in [(SYN, 9, CLOCK), (ACK, -9, CLOCK + 9), (ACK, 0, CLOCK)] {
            let _ = l.inject(&seg(l, flags, offset, 0, stamp));
            assert_said(l, &[(ACK, 0)], CLOCK + 6);
        }
    });
}

#[test]
fn half_open_records_say_the_time_too() {
    for reach in SYN_RECEIVED {
        on_clock(quick_config(), reach, |l| {
            let origin = l.engine_stamp;
            let assert_said = |l: &Rig<'_>, flags: u8| {
                let sent = l.engine.only();
                assert_eq!((sent.flags, timestamps_of(&sent.options)), (flags, Some((clock(l, origin), CLOCK))));
            };
            let _ = l.engine.next_deadline();
            assert_said(l, SYN | ACK);
            pass(l, ms(7));
            let _ = l.inject(&seg(l, SYN, 100, 0, CLOCK + 9));
            assert_said(l, ACK);
            let _ = l.inject(&seg(l, ACK, -1, 0, CLOCK + 9));
            assert_said(l, ACK);
            let _ = l.inject(&seg(l, ACK, 0, 0, CLOCK - 1));
            assert_said(l, ACK);
        });
    }
}

#[test]
fn the_rst_of_an_abort_has_the_option() {
    let ways: [Script; 3] = [open, accepted, crossed];
    for reach in ways {
        on_clock(quick_config(), reach, |l| {
            let origin = l.engine_stamp;
            pass(l, ms(70));
            l.abort();
            let sent = l.engine.only();
            let stamps = Some((origin.wrapping_add(70), CLOCK));
            assert_eq!((sent.flags & RST, timestamps_of(&sent.options)), (RST, stamps));
        });
    }
}

// Room for payload (appendix A, RFC 6691)

/// What the peer of the tests about room takes in a segment.
const PEER_MSS: usize = 200;

/// MSS, SACK-permitted and timestamps.
fn options_of_peer() -> Vec<u8> {
    let [high, low] = (PEER_MSS as u16).to_be_bytes();
    [vec![2, 4, high, low, 4, 2, 1, 1], timestamps_option(CLOCK, 0)].concat()
}

/// A connection to a peer that takes 200 bytes in a segment, has SACK and timestamps, and offers a large window.
fn on_small_segments(stream: StreamOptions, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(LargeStore::new());
        let mut l = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        l.peer_wnd = 20_000;
        let buffers = StreamOptions { rx_buffer: 8_192, tx_buffer: 16_384, nagle: false, ..stream };
        l.dial_with(buffers);
        let (ack, options) = (l.model.snd_nxt, options_of_peer());
        let raw =
            Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: 20_000, options: &options, ..Raw::default() };
        let _ = l.engine.arrive(l.peer, l.us, &raw);
        l.look();
        l.stamp = Some(CLOCK);
        assert_eq!(usize::from(status(&l).mss), PEER_MSS - OPTION);
        test(&mut l);
    });
}

/// Nothing that the last call sent is larger than the peer takes, its options included.
fn assert_fits(l: &Rig<'_>) {
    for sent in &l.engine.sent {
        assert!(sent.text.is_empty() || sent.text.len() + sent.options.len() <= PEER_MSS, "{sent:?}");
        assert!(echo(sent).is_some(), "{sent:?}");
    }
}

#[test]
fn payload_and_options_fit_the_peers_segments_and_fill_them() {
    on_small_segments(StreamOptions::default(), |l| {
        let _ = l.queue(4_000);
        assert!(l.engine.sent.len() >= 10);
        assert!(l.engine.sent.iter().all(|sent| sent.text.len() + sent.options.len() == PEER_MSS));
        // What is sent again is as large.
        let _ = l.engine.next_deadline();
        assert_fits(l);
        assert_eq!(l.engine.sent[0].text.len(), PEER_MSS - OPTION);
    });
}

#[test]
#[cfg(feature = "sack")]
fn blocks_go_where_payload_and_timestamp_leave_room() {
    on_small_segments(StreamOptions::default(), |l| {
        // Two runs beyond gaps are told by segments of their own, in full.
        for offset in [100, 300, 500, 700] {
            let _ = l.inject(&seg(l, ACK, offset, 50, CLOCK));
            assert_fits(l);
        }
        let blocks = |sent: &Sent| sent.options.len().saturating_sub(OPTION + 4) / 8;
        assert_eq!(blocks(l.engine.only()), 3, "RFC 2018 §3: three beside a timestamp");
        let largest = PEER_MSS - OPTION;
        for text in [largest, largest - 11, largest - 12, largest - 19, largest - 20, largest - 28, 1] {
            l.engine.sent.clear();
            let _ = l.queue(text as u32);
            assert_fits(l);
            let sent = l.engine.sent.last().expect("a segment");
            let room = (largest - text).saturating_sub(4) / 8;
            assert_eq!((sent.text.len(), blocks(sent)), (text, room.min(3)));
        }
        for _ in 0..4 {
            let _ = l.engine.next_deadline();
            assert_fits(l);
        }
    });
}

#[test]
fn the_user_timeout_option_has_room_beside_it() {
    let stream = StreamOptions { user_timeout_option: true, r2: seconds(10), ..StreamOptions::default() };
    on_small_segments(stream, |l| {
        // Behind the handshake it is announced by an acknowledgment.
        assert_eq!(l.engine.only().options.len(), OPTION + 4);
        assert_eq!(echoes(l), [CLOCK]);
        let _ = l.queue(4_000);
        assert_fits(l);
        let _ = l.inject(&seg(l, ACK, 300, 50, CLOCK));
        assert_fits(l);
    });
}

#[test]
fn a_path_that_carries_less_carries_the_option_too() {
    use tcp_reset_core::link::{Medium, Received};

    use crate::path_mtu::too_big;
    use crate::sharing::of_size;
    use crate::support::packet::ip_packet;
    use crate::support::rig::frames::{drain, interface, link};

    let (us, peer) = (us(Family::V4), peer(Family::V4));
    let mut store = Box::new(LargeStore::new());
    let mut frames = link(&mut *store, Config::default(), Medium::Ip, &[interface(Family::V4, 1)], None);
    let handle = frames.connect(START, 80, peer, of_size(8_192)).unwrap();
    let syn = drain(&mut frames, START).frames.remove(0);
    let ack = u32::from_be_bytes([syn[24], syn[25], syn[26], syn[27]]).wrapping_add(1);
    let options = [vec![2, 4, 5, 180], timestamps_option(CLOCK, 0)].concat();
    let raw = Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: 60_000, options: &options, ..Raw::default() };
    let _ = frames.handle_frame(START, &ip_packet(peer.ip(), us.ip(), &raw.bytes(peer, us)));
    let _ = drain(&mut frames, START);
    let _ = frames.tcp().send(START, handle, &[7; 6_000]).unwrap();
    let sent = drain(&mut frames, START).frames;
    assert!(sent.len() >= 4 && sent[..4].iter().all(|frame| frame.len() == 1_500), "full segments");
    assert_eq!(frames.handle_frame(START, &too_big(&sent[0], 1_400, us.ip())), Received::Observed);
    assert_eq!(frames.tcp_ref().status(handle).unwrap().mss, 1_400 - 40 - OPTION as u16);
    let again = drain(&mut frames, START).frames;
    assert_eq!(again[0].len(), 1_400, "full, and no larger than the path carries");
}

// TS.Recent (§4.3, §5.3 R3)

fn delayed() -> Config {
    Config { delayed_ack: ms(40), ..quick_config() }
}

/// A connection whose first payload is there and acknowledged, so that what comes next is held back.
fn settled(l: &mut Rig<'_>) {
    l.open();
    let _ = l.say(ACK, 5);
    assert_eq!(echoes(l), [CLOCK]);
}

#[test]
fn of_what_is_acknowledged_together_the_first_is_echoed() {
    on_clock(delayed(), settled, |l| {
        // By every second segment.
        let _ = l.inject(&seg(l, ACK, 0, 4, CLOCK + 10));
        assert_eq!(l.engine.sent, []);
        let _ = l.inject(&seg(l, ACK, 4, 4, CLOCK + 20));
        assert_eq!(echoes(l), [CLOCK + 10]);
        l.look();
        // By the timer, and by payload of ours.
        let _ = l.inject(&seg(l, ACK, 0, 4, CLOCK + 30));
        assert_eq!(l.engine.next_deadline(), Timer::DelayedAck);
        assert_eq!(echoes(l), [CLOCK + 30]);
        l.look();
        let _ = l.inject(&seg(l, ACK, 0, 4, CLOCK + 40));
        assert_eq!(l.engine.sent, []);
        l.send(3);
        assert_eq!(echoes(l), [CLOCK + 40]);
        l.look();
        // A pure acknowledgment in between moves nothing that is due.
        let _ = l.inject(&seg(l, ACK, 0, 4, CLOCK + 50));
        let _ = l.inject(&seg(l, ACK, 4, 0, CLOCK + 60));
        assert_eq!(l.engine.next_deadline(), Timer::DelayedAck);
        assert_eq!(echoes(l), [CLOCK + 50]);
        l.look();
        // Then it counts, though it is not acknowledged.
        let _ = l.inject(&seg(l, ACK, 0, 0, CLOCK + 70));
        assert_eq!(recent(l), Some(CLOCK + 70));
    });
}

/// The table of §4.3 with a gap, and what comes again.
#[test]
fn what_fills_a_gap_is_echoed_and_what_lies_beyond_is_not() {
    on_clock(quick_config(), open, |l| {
        let mut tell = |offset, stamp| {
            let _ = l.inject(&seg(l, ACK, offset, 4, CLOCK + stamp));
            assert_eq!(l.engine.sent.len(), 1);
            (l.engine.only().ack.wrapping_sub(l.model.rcv_nxt), echoes(l)[0] - CLOCK)
        };
        assert_eq!(tell(0, 1), (4, 1));
        assert_eq!(tell(8, 3), (4, 1));
        assert_eq!(tell(4, 2), (12, 2));
        assert_eq!(tell(16, 5), (12, 2));
        assert_eq!(tell(12, 4), (20, 4));
        // Sent again, later than what was beyond it.
        assert_eq!(tell(24, 6), (20, 4));
        assert_eq!(tell(20, 9), (28, 9));
        // Half of it was there before.
        assert_eq!(tell(26, 11), (30, 11));
        // All of it: it is not acceptable.
        assert_eq!(tell(26, 13), (30, 11));
    });
}

/// What reaches the connection's numbers and is not its peer's next word.
fn forgeries(l: &Rig<'_>) -> Vec<Seg> {
    let wnd = l.model.rcv_wnd.cast_signed();
    let with_ack = |seg: Seg, ack: u32| Seg { ack, ..seg };
    let at = |flags, offset, text| seg(l, flags, offset, text, None);
    let (too_new, too_old) =
        (l.model.snd_nxt.wrapping_add(7), l.model.snd_una.wrapping_sub(l.model.max_snd_wnd + 1));
    let mut forged = vec![at(ACK, -5, 5), at(ACK, -1_000, 0), at(ACK, -1, 0), at(ACK, i32::MIN, 9), at(FIN | ACK, -2, 0)];
    forged.extend([at(ACK, wnd, 5), at(ACK, wnd + 1, 0), at(ACK, wnd + 9_000, 5)]);
    forged.extend([too_new, too_old, 0x5555_5555].map(|ack| with_ack(at(ACK, 0, 5), ack)));
    forged.extend([too_new, too_old].map(|ack| with_ack(at(FIN | ACK, 0, 0), ack)));
    forged.extend([at(0, 0, 5), at(0, 0, 0), at(URG, 0, 3), at(FIN, 0, 0)]);
    forged.extend([at(RST, 1, 0), at(RST, wnd, 0), at(RST, -1, 0), at(RST, 9_999, 0), at(RST | ACK, 2, 3)]);
    forged.extend([at(SYN, 0, 0), at(SYN, -1, 0), at(SYN, 7, 0), at(SYN, 99_999, 0), at(SYN | ACK, 0, 0), at(SYN | FIN, 3, 5)]);
    forged
}

/// CVE-2005-0356: one segment that is not accepted and has a timestamp from the future would end all that the peer has to say.
#[test]
fn what_is_not_accepted_does_not_move_the_latest_timestamp() {
    for reach in SYNCHRONIZED {
        for stamp in [CLOCK + 1, CLOCK + 100_000, CLOCK + 0x7fff_ffff] {
            let config = Config { challenge_limit: u8::MAX, ..quick_config() };
            on_clock(config, reach, |l| {
                for forged in forgeries(l) {
                    let verdict = l.inject(&Seg { stamp: Some(stamp), ..forged });
                    assert_ne!(verdict.action, Action::Accepted, "{forged:?}");
                    assert_eq!(recent(l), Some(CLOCK), "{forged:?}");
                }
                let verdict = l.inject(&seg(l, ACK, 0, 0, CLOCK));
                assert_eq!(verdict.action, Action::Accepted, "what the peer says goes on");
            });
        }
    }
}

#[test]
fn in_the_handshake_what_is_not_accepted_does_not_move_it_either() {
    for reach in SYN_RECEIVED {
        on_clock(Config { challenge_limit: u8::MAX, ..quick_config() }, reach, |l| {
            let stamp = CLOCK + 0x7fff_ffff;
            for (flags, offset, ack) in
                [(ACK, -5, 0), (ACK, 0, 1), (ACK, 0, 77), (ACK, 99, 0), (0, 0, 0), (SYN, 5, 0), (RST, 1, 0), (RST, 99, 0)]
            {
                let forged = seg(l, flags, offset, 0, stamp);
                let _ = l.inject(&Seg { ack: forged.ack.wrapping_add(ack), ..forged });
                assert_eq!(recent(l), Some(CLOCK), "{forged:?}");
            }
            assert_eq!(l.state(), State::SynReceived);
            assert_eq!(say(l, ACK, 0, CLOCK).rule, Rule::AckEstablishes);
        });
    }
}

#[test]
fn in_time_wait_what_is_not_the_fin_does_not_move_it() {
    on_clock(Config { challenge_limit: u8::MAX, ..quick_config() }, time_wait, |l| {
        for forged in forgeries(l) {
            let _ = l.inject(&Seg { stamp: Some(CLOCK + 99), ..forged });
            assert_eq!((l.state(), recent(l)), (State::TimeWait, Some(CLOCK)), "{forged:?}");
        }
    });
}

#[test]
fn an_old_timestamp_leaves_the_latest_as_it_is() {
    on_clock(quick_config(), open, |l| {
        let _ = say(l, ACK, 3, CLOCK + 100);
        for old in [CLOCK + 99, CLOCK, 0, CLOCK.wrapping_sub(0x7000_0000)] {
            assert_eq!(l.inject(&seg(l, ACK, 0, 3, old)).rule, Rule::TimestampOld);
            assert_eq!(recent(l), Some(CLOCK + 100));
        }
        assert_eq!(status(l).rcv_nxt.0, l.model.rcv_nxt);
        assert_eq!(say(l, ACK, 3, CLOCK + 100).action, Action::Accepted);
    });
}

#[test]
fn a_retransmission_with_the_first_timestamp_is_taken_as_well() {
    on_clock(quick_config(), open, |l| {
        // What lay beyond the gap was sent later, and did not count.
        let _ = l.inject(&seg(l, ACK, 4, 4, CLOCK + 50));
        let verdict = say(l, ACK, 4, CLOCK + 1);
        assert_eq!((verdict.rule, l.model.rcv_nxt), (Rule::PayloadInOrder, PEER_ISN + 9));
    });
}

// Clocks that wrap

#[test]
fn the_peers_clock_wraps() {
    on_with(quick_config(), |l| {
        l.stamp = Some(u32::MAX - 2);
        l.open();
        for step in 0..8_u32 {
            let stamp = (u32::MAX - 2).wrapping_add(step);
            assert_eq!(say(l, ACK, 3, stamp).action, Action::Accepted);
            assert_eq!(echoes(l), [stamp]);
            assert_eq!(l.inject(&seg(l, ACK, 0, 3, stamp.wrapping_sub(1))).rule, Rule::TimestampOld);
        }
    });
}

#[test]
fn our_clock_wraps() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        rig.dial();
        let to_wrap = ms(u64::from(u32::MAX - rig.engine_stamp));
        // Again, our clock being there.
        let mut store = Box::new(Store::new());
        let start = START + (to_wrap - ms(30));
        let config = Config { rto_min: ms(10), ..quick_config() };
        let mut l = Rig::new(Engine::with(&mut *store, config, key(0x5a), start), family, PEER_ISN);
        l.dial();
        assert_eq!(l.engine_stamp, u32::MAX - 30);
        pass(&mut l, ms(20));
        let _ = say(&mut l, SYN | ACK, 0, CLOCK);
        assert_eq!(l.engine_stamp, u32::MAX - 10);
        // The first copy leaves before, the second one after.
        l.send(5);
        assert_eq!((l.engine.next_deadline(), status(&l).round_trip_time), (Timer::Retransmission, Some(ms(20))));
        let first = l.engine_stamp;
        l.look();
        assert_eq!(l.engine_stamp, first.wrapping_add(60));
        pass(&mut l, ms(20));
        l.peer_acks();
        assert_eq!(status(&l).round_trip_time, Some(ms(20)));
        // An echo from before.
        l.send(5);
        let _ = l.engine.next_deadline();
        l.engine_stamp = u32::MAX - 4;
        let since = l.engine.now.duration_since(start + ms(26));
        l.peer_acks();
        let rtt = status(&l).round_trip_time.unwrap();
        assert!(ms(20) < rtt && rtt <= since, "{rtt:?}");
    });
}

// Idle for long (§5.5)

#[test]
fn what_is_longer_ago_than_24_days_is_not_compared_with() {
    let second = seconds(1);
    for (idle, is_valid) in [
        (days(1), true),
        (days(23), true),
        (days(24) - second, true),
        (days(24) + second, false),
        (days(25), false),
        (days(40), false),
        // Milliseconds have wrapped meanwhile.
        (days(49), false),
        (days(50), false),
        (days(60), false),
        (days(100), false),
    ] {
        // Undisturbed, and with a caller that looks every so often.
        for steps in [1, 40] {
            on_clock(quick_config(), open, |l| {
                for _ in 0..steps {
                    l.engine.wait(idle / steps);
                    if steps > 1 {
                        l.engine.drain();
                    }
                }
                let old = seg(l, ACK, 0, 5, CLOCK - 1);
                let verdict = l.inject(&old);
                let expected = if is_valid { (Rule::TimestampOld, Action::Acknowledged) } else { (Rule::PayloadInOrder, Action::Accepted) };
                assert_eq!((verdict.rule, verdict.action), expected, "{idle:?}");
                let latest = if is_valid { CLOCK } else { CLOCK - 1 };
                assert_eq!(echoes(l), [latest], "{idle:?}");
                // From then on that counts again.
                l.look();
                assert_eq!(l.inject(&seg(l, ACK, 0, 5, latest - 1)).rule, Rule::TimestampOld);
                assert_eq!(say(l, ACK, 5, latest + 1).action, Action::Accepted);
            });
        }
    }
}

/// A clock that ticks each millisecond has turned by more than half meanwhile.
#[test]
fn a_peer_that_was_idle_for_25_days_goes_on() {
    on_clock(quick_config(), open, |l| {
        l.engine.wait(days(25));
        let stamp = CLOCK.wrapping_add(days(25).as_millis() as u32);
        assert!(stamp.wrapping_sub(CLOCK).cast_signed() < 0);
        assert_eq!(say(l, ACK, 5, stamp).action, Action::Accepted);
        assert_eq!(echoes(l), [stamp]);
        // And so it is for segments that are refused otherwise: they prove nothing.
        l.engine.wait(days(25));
        let forged = seg(l, ACK, -5, 5, stamp - 1);
        let _ = l.inject(&forged);
        assert_eq!(echoes(l), [stamp]);
    });
}

#[test]
fn who_answers_keepalives_is_compared_with_however_long() {
    let keep_alive = KeepAlive { idle: seconds(6 * 60 * 60), ..KeepAlive::default() };
    let stream = StreamOptions { keep_alive: Some(keep_alive), ..small_stream() };
    on(|l| {
        l.stamp = Some(CLOCK);
        l.open_with(stream);
        let began = l.engine.now;
        let mut stamp = CLOCK;
        while l.engine.now < began + days(60) {
            assert_eq!(l.engine.next_deadline(), Timer::KeepAlive);
            l.look();
            stamp = CLOCK.wrapping_add(l.engine.now.duration_since(began).as_millis() as u32);
            pass(l, ms(3));
            assert_eq!(say(l, ACK, 0, stamp).action, Action::Accepted);
        }
        assert_eq!(l.inject(&seg(l, ACK, 0, 5, stamp.wrapping_sub(1))).rule, Rule::TimestampOld);
        assert_eq!(recent(l), Some(stamp));
    });
}

// A SYN that comes again (§4.3)

#[test]
fn a_syn_that_comes_again_renews_the_echo() {
    on_clock(quick_config(), SYN_RECEIVED[0], |l| {
        let mut again = |stamp: Option<u32>| {
            l.stamp = None;
            let _ = l.inject(&Seg { stamp, ..Seg::new(SYN, l.isn, 0, 0, l.peer_wnd) });
            assert_eq!(l.engine.only().flags, SYN | ACK);
            echo(l.engine.only())
        };
        assert_eq!(again(Some(CLOCK + 1_000)), Some(CLOCK + 1_000));
        // The first one again, late.
        assert_eq!(again(Some(CLOCK)), Some(CLOCK + 1_000));
        assert_eq!(again(None), Some(CLOCK + 1_000));
        assert_eq!(again(Some(CLOCK + 3_000)), Some(CLOCK + 3_000));
        let _ = l.engine.next_deadline();
        assert_eq!(echoes(l), [CLOCK + 3_000]);
        assert_eq!(l.inject(&seg(l, ACK, 0, 0, CLOCK + 2_999)).rule, Rule::TimestampOld);
        assert_eq!(say(l, ACK, 0, CLOCK + 3_000).rule, Rule::AckEstablishes);
    });
}

// The round trip (§4.1)

fn quick_rto() -> Config {
    Config { rto_min: ms(200), ..quick_config() }
}

/// How long what is sent now waits for its acknowledgment.
fn timeout(l: &mut Rig<'_>) -> Duration {
    l.send(1);
    let (at, timer) = l.engine.deadline.unwrap();
    assert_eq!(timer, Timer::Retransmission);
    at.duration_since(l.engine.now)
}

#[test]
fn a_handshake_whose_syn_was_lost_is_timed() {
    for is_first_answered in [false, true] {
        on_with(quick_rto(), |l| {
            l.dial();
            let first = l.engine_stamp;
            let _ = l.engine.next_deadline();
            l.look();
            assert_eq!(l.engine_stamp, first.wrapping_add(1_000));
            pass(l, ms(30));
            if is_first_answered {
                l.engine_stamp = first;
            }
            let _ = say(l, SYN | ACK, 0, CLOCK);
            let rtt = ms(if is_first_answered { 1_030 } else { 30 });
            assert_eq!(status(l).round_trip_time, Some(rtt));
            assert_eq!(timeout(l), (3 * rtt).max(ms(200)), "RFC 6298 §2.2, and not §5.7");
        });
    }
    // Without timestamps nothing is measured.
    on_with(quick_rto(), |l| {
        l.dial();
        let _ = l.engine.next_deadline();
        pass(l, ms(30));
        let _ = l.say(SYN | ACK, 0);
        assert_eq!(status(l).round_trip_time, None);
        assert_eq!(timeout(l), seconds(3));
    });
}

#[test]
fn a_handshake_whose_syn_ack_was_lost_is_timed() {
    on_clock(quick_rto(), SYN_RECEIVED[0], |l| {
        let _ = l.engine.next_deadline();
        l.look();
        pass(l, ms(40));
        let _ = l.say(ACK, 0);
        l.accept();
        assert_eq!(status(l).round_trip_time, Some(ms(40)));
        assert_eq!(timeout(l), ms(200));
    });
}

/// The timeout was doubled; an echo tells which of the copies was answered, so that it is no longer (Karn's algorithm knows only what was sent once).
#[test]
fn what_was_sent_again_is_timed_by_its_echo() {
    on_with(quick_rto(), |l| {
        for stamp in [Some(CLOCK), None] {
            l.stamp = stamp;
            l.open();
            l.send(10);
            for _ in 0..3 {
                assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
                l.look();
            }
            pass(l, ms(30));
            l.peer_acks();
            let rtt = status(l).round_trip_time.unwrap();
            if stamp.is_some() {
                assert!(ms(3) <= rtt && rtt <= ms(6), "an eighth of 30 ms: {rtt:?}");
                assert_eq!(timeout(l), ms(200));
            } else {
                assert_eq!((rtt, timeout(l)), (ms(1), 8 * ms(200)));
            }
            l.abort();
            l.model = crate::support::rig::nothing(l.isn);
            l.handle = None;
        }
    });
}

#[test]
fn an_echo_that_cannot_be_tells_nothing() {
    type Echo = fn(u32) -> u32;
    let echoes: [Echo; 6] = [
        |_| 0,
        |sent| sent.wrapping_add(1),
        |sent| sent.wrapping_add(1_000),
        |sent| sent.wrapping_add(0x7fff_ffff),
        |sent| sent.wrapping_sub(100_000),
        |sent| sent.wrapping_sub(0x8000_0000),
    ];
    for echo in echoes {
        // Of what was sent again.
        on_clock(quick_rto(), open, |l| {
            l.send(10);
            for _ in 0..3 {
                let _ = l.engine.next_deadline();
            }
            l.look();
            l.engine_stamp = echo(l.engine_stamp);
            l.peer_acks();
            assert_eq!(status(l).round_trip_time, Some(ms(1)));
            assert_eq!(timeout(l), 8 * ms(200), "as long as without");
        });
        // Of the handshake.
        on_with(quick_rto(), |l| {
            l.dial();
            let _ = l.engine.next_deadline();
            l.look();
            l.engine_stamp = echo(l.engine_stamp);
            let _ = say(l, SYN | ACK, 0, CLOCK);
            assert_eq!(status(l).round_trip_time, None);
            assert_eq!(timeout(l), seconds(3));
        });
        // Of what was sent once: our own clock tells.
        on_clock(quick_rto(), open, |l| {
            l.send(10);
            pass(l, ms(80));
            l.engine_stamp = echo(l.engine_stamp);
            l.peer_acks();
            let rtt = status(l).round_trip_time.unwrap();
            assert!(ms(9) <= rtt && rtt <= ms(12), "an eighth of 80 ms: {rtt:?}");
        });
    }
}

/// The worst that a peer can say costs it no more than the largest timeout.
#[test]
fn no_echo_makes_the_timeout_longer_than_the_longest() {
    let config = Config { rto_max: seconds(10), ..quick_rto() };
    for late in [1, 1_000, 59_000, 65_535, 65_536, 65_537] {
        on_clock(config, open, |l| {
            for _ in 0..20 {
                l.send(10);
                let _ = l.engine.next_deadline();
                l.look();
                l.engine_stamp = l.engine_stamp.wrapping_sub(late);
                l.peer_acks();
                let timeout = timeout(l);
                assert!(ms(200) <= timeout && timeout <= seconds(10), "{timeout:?}");
                l.look();
                l.peer_acks();
            }
        });
    }
}

// Where our clock begins (§5.4)

/// The timestamp of a SYN between these endpoints at a time.
fn value_of(family: Family, seed: u8, ours: u16, theirs: SocketAddr, at: Instant) -> u32 {
    let mut store = Box::new(Store::new());
    let mut l = Rig::new(Engine::with(&mut *store, quick_config(), key(seed), at), family, PEER_ISN);
    l.us.set_port(ours);
    l.peer = theirs;
    l.dial();
    assert_eq!(l.engine.only().flags, SYN);
    l.engine_stamp
}

#[test]
fn each_pair_of_endpoints_has_a_clock_of_its_own() {
    over_each(|family| {
        let (host, other) = (peer(family), SocketAddr::new(family.host(3), 40_000));
        let mut near = host;
        near.set_port(40_001);
        let values = [
            value_of(family, 1, 80, host, START),
            value_of(family, 1, 81, host, START),
            value_of(family, 1, 80, near, START),
            value_of(family, 1, 80, other, START),
            value_of(family, 2, 80, host, START),
        ];
        for (i, value) in values.iter().enumerate() {
            // Far from each other, and from what would tell how long we have been on.
            let uptime = START.as_micros() / 1_000;
            assert!(values[..i].iter().all(|other| value.abs_diff(*other) > 10_000), "{values:?}");
            assert!(value.abs_diff(uptime as u32) > 10_000 && *value > 10_000, "{values:?}");
        }
        // The same pair, later: it has gone on. So has it after a restart with the same key.
        let later = value_of(family, 1, 80, host, START + ms(12_345));
        assert_eq!(later, values[0].wrapping_add(12_345));
    });
}

#[test]
fn offsets_lie_all_over() {
    let value = |port| {
        let peer = SocketAddr::new(Family::V4.host(2), port);
        value_of(Family::V4, 1, 80, peer, START)
    };
    let mut quarters = [0; 4];
    for port in 1..=64 {
        quarters[(value(port) >> 30) as usize] += 1;
    }
    assert!(quarters.iter().all(|count| *count >= 4), "{quarters:?}");
}

#[test]
fn one_connection_after_another_sees_the_clock_go_on() {
    on_clock(quick_config(), accepted, |l| {
        let mut latest = l.engine_stamp;
        for _ in 0..5 {
            l.abort();
            l.look();
            pass(l, ms(1));
            (l.handle, l.model) = (None, crate::support::rig::nothing(l.isn));
            // From our side this time, between the same endpoints.
            l.dial();
            assert_eq!(l.engine_stamp, latest.wrapping_add(1));
            latest = l.engine_stamp;
        }
    });
    // In TIME-WAIT, and in the connection that follows.
    on_clock(quick_config(), time_wait_of_listener, |l| {
        let latest = l.engine_stamp;
        pass(l, ms(9));
        let _ = l.inject(&seg(l, SYN, 9, 0, CLOCK + 1));
        let sent = l.engine.only();
        assert_eq!(sent.flags, SYN | ACK);
        assert_eq!(timestamps_of(&sent.options), Some((latest.wrapping_add(9), CLOCK + 1)));
    });
}

// What does not parse

/// Options of a header, and the TSvals that may be read from them; none: the option counts as missing.
fn curious_options() -> Vec<(Vec<u8>, Vec<u32>)> {
    let value = CLOCK + 7;
    let data = [value.to_be_bytes(), [0; 4]].concat();
    let option = [vec![8, 10], data.clone()].concat();
    let of_len = |len: u8, bytes: usize| [vec![1, 1, 8, len], vec![0x11; bytes]].concat();
    let later = [vec![8, 10], (value + 1).to_be_bytes().to_vec(), vec![0; 4]].concat();
    vec![
        // Lengths that cannot be.
        (of_len(0, 8), vec![]),
        (of_len(1, 8), vec![]),
        (of_len(2, 8), vec![]),
        (of_len(3, 8), vec![]),
        (of_len(6, 8), vec![]),
        (of_len(9, 8), vec![]),
        (of_len(11, 12), vec![]),
        (of_len(18, 16), vec![]),
        (of_len(255, 8), vec![]),
        // Cut off by the end of the header.
        (of_len(10, 0), vec![]),
        (of_len(10, 4), vec![]),
        (vec![1, 1, 1, 8], vec![]),
        (vec![1; 40], vec![]),
        ([vec![1; 32], option[..8].to_vec()].concat(), vec![]),
        // Behind the end of the list.
        ([vec![0, 1], option.clone()].concat(), vec![]),
        ([vec![2, 4, 5, 180, 0, 0], option.clone()].concat(), vec![]),
        // Behind what cannot be read.
        ([vec![3, 0], option.clone()].concat(), vec![]),
        ([vec![254, 1], option.clone()].concat(), vec![]),
        // Right ones, wherever they stand.
        ([vec![1, 1], option.clone()].concat(), vec![value]),
        ([option.clone(), vec![1, 1]].concat(), vec![value]),
        ([option.clone(), vec![0, 0]].concat(), vec![value]),
        ([vec![1; 30], option.clone()].concat(), vec![value]),
        ([vec![1, 3, 3, 7, 1, 1], option.clone()].concat(), vec![value]),
        ([vec![254, 4, 9, 9, 1, 1], option.clone()].concat(), vec![value]),
        ([vec![2, 4, 5, 180], vec![4, 2], option.clone()].concat(), vec![value]),
        // Twice: either, but one of them.
        ([option.clone(), later.clone()].concat(), vec![value, value + 1]),
        ([later, option].concat(), vec![value, value + 1]),
    ]
}

/// Delivers a segment with these options.
fn arrive_with(l: &mut Rig<'_>, flags: u8, options: &[u8], text: &[u8]) -> Verdict {
    let seq = if flags & SYN != 0 { l.isn } else { l.model.rcv_nxt };
    let ack = if flags & ACK != 0 { l.model.snd_nxt } else { 0 };
    let raw = Raw { seq, ack, flags, wnd: 1_000, options, text, ..Raw::default() };
    l.engine.arrive(l.peer, l.us, &raw)
}

#[test]
fn what_does_not_parse_counts_as_missing() {
    let is_read = |read: &[u32], sent: &Sent| echo(sent).map_or(read.is_empty(), |echo| read.contains(&echo));
    for (options, read) in curious_options() {
        on(|l| {
            l.listen(small_listener());
            let _ = arrive_with(l, SYN, &options, &[]);
            let sent = l.engine.only();
            assert!(sent.flags == SYN | ACK && is_read(&read, sent), "{options:?}: {sent:?}");
        });
        on(|l| {
            l.dial();
            let _ = arrive_with(l, SYN | ACK, &options, &[]);
            let sent = l.engine.only();
            assert!(sent.flags == ACK && is_read(&read, sent), "{options:?}: {sent:?}");
            assert_eq!(status(l).timestamps, !read.is_empty());
        });
        let ways: [Script; 2] = [open, accepted];
        for reach in ways {
            on_clock(quick_config(), reach, |l| {
                let verdict = arrive_with(l, ACK, &options, &[7; 5]);
                if read.is_empty() {
                    assert_eq!((verdict.rule, verdict.action), (Rule::TimestampMissing, Action::Dropped), "{options:?}");
                    assert_eq!(l.engine.sent, []);
                    assert_eq!(recent(l), Some(CLOCK));
                } else {
                    assert_eq!((verdict.rule, verdict.action), (Rule::PayloadInOrder, Action::Accepted), "{options:?}");
                    assert!(is_read(&read, l.engine.only()));
                }
                assert_eq!(l.state(), State::Established);
            });
        }
        for reach in OTHER_STATES {
            on_clock(quick_config(), reach, |l| {
                let _ = arrive_with(l, ACK, &options, &[]);
                assert!(l.engine.sent.iter().all(|sent| sent.flags & RST == 0), "{options:?}");
                assert!(l.engine.tcp.counters().segments_in > 0);
            });
        }
    }
}
