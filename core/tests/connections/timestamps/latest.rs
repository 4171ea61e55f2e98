//! TS.Recent: which of the peer's timestamps is echoed and compared with, and for how long (RFC 7323 §4.3, §5.3, §5.5).

use std::time::Duration;

use tcp_reset_core::{Action, Config, KeepAlive, Rule, State, StreamOptions, Timer};

use super::{CLOCK, echo, echoes, on_clock, pass, recent, say, seg, status};
use crate::support::rig::reach::{SYN_RECEIVED, SYNCHRONIZED, open, time_wait};
use crate::support::rig::{PEER_ISN, Rig, quick_config, small_stream};
use crate::support::table::{ACK, FIN, RST, SYN, Seg, URG};
use crate::{ms, on, on_with, seconds};

fn days(n: u64) -> Duration {
    seconds(n * 24 * 60 * 60)
}

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
    let (too_new, too_old) = (l.model.snd_nxt.wrapping_add(7), l.model.snd_una.wrapping_sub(l.model.max_snd_wnd + 1));
    let mut forged =
        vec![at(ACK, -5, 5), at(ACK, -1_000, 0), at(ACK, -1, 0), at(ACK, i32::MIN, 9), at(FIN | ACK, -2, 0)];
    forged.extend([at(ACK, wnd, 5), at(ACK, wnd + 1, 0), at(ACK, wnd + 9_000, 5)]);
    forged.extend([too_new, too_old, 0x5555_5555].map(|ack| with_ack(at(ACK, 0, 5), ack)));
    forged.extend([too_new, too_old].map(|ack| with_ack(at(FIN | ACK, 0, 0), ack)));
    forged.extend([at(0, 0, 5), at(0, 0, 0), at(URG, 0, 3), at(FIN, 0, 0)]);
    forged.extend([at(RST, 1, 0), at(RST, wnd, 0), at(RST, -1, 0), at(RST, 9_999, 0), at(RST | ACK, 2, 3)]);
    forged.extend([
        at(SYN, 0, 0),
        at(SYN, -1, 0),
        at(SYN, 7, 0),
        at(SYN, 99_999, 0),
        at(SYN | ACK, 0, 0),
        at(SYN | FIN, 3, 5),
    ]);
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
            for (flags, offset, ack) in [
                (ACK, -5, 0),
                (ACK, 0, 1),
                (ACK, 0, 77),
                (ACK, 99, 0),
                (0, 0, 0),
                (SYN, 5, 0),
                (RST, 1, 0),
                (RST, 99, 0),
            ] {
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
                let expected = if is_valid {
                    (Rule::TimestampOld, Action::Acknowledged)
                } else {
                    (Rule::PayloadInOrder, Action::Accepted)
                };
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

/// §5.3 R1: a FIN from before the one that was taken is not acceptable. It is acknowledged, and begins no wait anew.
#[test]
fn time_wait_fin_with_an_old_timestamp_does_not_restart_the_wait() {
    on_clock(quick_config(), time_wait, |l| {
        l.engine.wait(seconds(40));
        let _ = l.inject(&seg(l, FIN | ACK, -1, 0, CLOCK - 1));
        assert_eq!(echo(l.engine.only()), Some(CLOCK));
        l.engine.wait(seconds(30));
        assert_eq!(l.state(), State::Closed);
    });
}

/// §4.3: as a listener does, an active open echoes the later SYN of a peer whose first SYN,ACK of ours was lost.
#[test]
fn crossed_syn_that_comes_again_renews_the_echo() {
    on_clock(quick_config(), SYN_RECEIVED[1], |l| {
        pass(l, ms(1_000));
        let _ = l.inject(&Seg { stamp: Some(CLOCK + 1_000), ..Seg::new(SYN, l.isn, 0, 0, l.peer_wnd) });
        assert_eq!((l.engine.only().flags, echo(l.engine.only())), (SYN | ACK, Some(CLOCK + 1_000)));
        let _ = say(l, ACK, 0, CLOCK + 1_001);
    });
}
