//! Over each family: timestamps, as a peer sees them that has a clock of its own, and as one sees that has none (RFC 7323).

mod latest;
mod parsing;
mod room;
mod round_trips;

use std::time::Duration;

use tcp_reset_core::{Action, Config, KeepAlive, Rule, State, Status, StreamOptions, Timer, Verdict};

use crate::support::packet::segment::timestamps_of;
use crate::support::rig::reach::{SYN_RECEIVED, Script, accepted, crossed, open};
use crate::support::rig::{Rig, START, Sent, quick_config, small_listener, small_stream};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg};
use crate::{ms, on, on_with};

/// Where the peer's clock stands as long as a test does not move it.
const CLOCK: u32 = 70_000;
/// Bytes of the option as it is sent.
const OPTION: usize = 12;

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
        l.stamp = None;
        assert_eq!(l.say(ACK, 5).rule, Rule::PayloadInOrder);
        assert_eq!(echoes(l), [CLOCK + 5], "the latest there was");
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
fn a_peer_that_leaves_them_out_after_its_syn_is_served_as_any_other() {
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
            for _ in 0..2 {
                let verdict = l.say(ACK, 5);
                assert_eq!((verdict.rule, verdict.action), (Rule::PayloadInOrder, Action::Accepted));
                assert_eq!(echoes(l), [CLOCK]);
            }
            l.send(5);
            let _ = l.say(ACK, 0);
            assert_eq!(status(l).unacknowledged, 0);
        });
    }
}

/// A SYN that was perhaps forged is taken back: ours goes out again as if there had been none.
#[test]
fn a_syn_that_is_sent_anew_echoes_nothing() {
    for stamp in [Some(CLOCK), None] {
        on_clock(quick_config(), SYN_RECEIVED[1], |l| {
            assert_eq!(l.inject(&seg(l, RST, 0, 0, None)).action, Action::ReturnedToSynSent);
            assert_eq!((l.engine.only().flags, echo(l.engine.only())), (SYN, Some(0)));
            l.stamp = stamp;
            let _ = l.say(SYN | ACK, 0);
            assert_agreed(l, stamp.is_some());
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
        let _ = l.inject(&seg(l, ACK, 0, 5, CLOCK + 2));
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
        for (flags, offset, stamp) in [(SYN, 9, CLOCK), (ACK, -9, CLOCK + 9), (FIN | ACK, 0, CLOCK)] {
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
            let _ = l.inject(&seg(l, ACK, 0, 5, CLOCK - 1));
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
