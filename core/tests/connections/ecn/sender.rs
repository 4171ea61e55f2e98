//! What the peer echoes, and what it is told (§6.1.2).

use tcp_reset_core::Timer;

use super::*;

/// Places from `from` to before `to`.
fn places(from: u32, to: u32) -> Vec<(u32, bool)> {
    (from..to).map(|at| (at, false)).collect()
}

/// The peer's payload of ten bytes, which acknowledges `n` segments from `first` on.
fn say_with_ack(l: &mut Rig<'_>, first: u32, n: u32, flags: u8) {
    let seq = status(l).rcv_nxt.0;
    let _ = l.inject(&Seg::new(ACK | flags, seq, first.wrapping_add(n * MSS), 10, WINDOW));
}

/// Three duplicates tell that the segment at `at` is lost.
fn lose(l: &mut Rig<'_>, first: u32, at: u32, flags: u8) {
    for _ in 0..3 {
        ack(l, first, at, flags);
    }
    assert_eq!(sent(l, first).first(), Some(&(at, false)), "it goes again");
}

#[test]
fn an_echo_halves_the_window_and_nothing_is_sent_again() {
    on_agreed(|l| {
        let first = queue(l, 60);
        assert_eq!(sent(l, first), places(0, 10));
        ack(l, first, 1, ECE);
        assert_eq!(windows(l), (5, 5));
        assert_eq!(sent(l, first), []);
        for n in 2..5 {
            ack(l, first, n, ECE);
            assert_eq!((sent(l, first), windows(l)), (vec![], (5, 5)));
        }
        ack(l, first, 6, ECE);
        assert_eq!(sent(l, first), [(10, true)]);
    });
}

#[test]
fn an_echo_that_acknowledges_nothing_new_halves_the_window() {
    on_agreed(|l| {
        let first = queue(l, 60);
        say_with_ack(l, first, 0, ECE);
        assert_eq!(windows(l), (5, 5));
    });
    // What limited transmit has let out does not count.
    on_agreed(|l| {
        let first = queue(l, 60);
        ack(l, first, 0, 0);
        ack(l, first, 0, 0);
        assert_eq!(flight(l), 12 * MSS);
        say_with_ack(l, first, 0, ECE);
        assert_eq!(windows(l), (5, 5));
    });
}

#[cfg(feature = "cubic")]
#[test]
fn an_echo_leaves_seven_tenths_with_cubic() {
    let cubic = Config { congestion_control: tcp_reset_core::CongestionControl::Cubic, ..quick() };
    on_agreed_with(cubic, |l| {
        let first = queue(l, 60);
        ack(l, first, 1, ECE);
        assert_eq!((sent(l, first), windows(l)), (vec![], (7, 7)));
        ack(l, first, 10, ECE);
        assert_eq!(windows(l), (7, 7));
    });
}

/// "The sending TCP SHOULD NOT increase the congestion window in response to the receipt of an ECN-Echo ACK packet."
#[test]
fn one_window_of_data_is_reduced_for_once() {
    on_agreed(|l| {
        let first = queue(l, 60);
        for n in 1..=10 {
            ack(l, first, n, ECE);
            assert_eq!(windows(l), (5, 5), "{n}");
        }
        // Five more are out, and the first of them has told the peer. One of them is marked.
        ack(l, first, 11, 0);
        ack(l, first, 12, ECE);
        assert_eq!(windows(l), (2, 2));
        let (low, _) = windows(l);
        ack(l, first, 15, ECE);
        assert_eq!(windows(l), (low, 2));
    });
}

/// Until the peer has CWR it echoes a mark that is known, whatever else it has to say meanwhile.
#[test]
fn an_echo_sent_before_cwr_has_arrived_reduces_nothing() {
    for is_payload in [true, false] {
        on_agreed(|l| {
            let first = queue(l, 60);
            for n in 1..=10 {
                ack(l, first, n, ECE);
            }
            assert_eq!(windows(l), (5, 5));
            for _ in 0..3 {
                if is_payload {
                    say_with_ack(l, first, 10, ECE);
                } else {
                    // More room than before: no duplicate.
                    let (seq, ack) = (status(l).rcv_nxt.0, first.wrapping_add(10 * MSS));
                    let wnd = status(l).snd_wnd + 100;
                    let _ = l.inject(&Seg::new(ACK | ECE, seq, ack, 0, wnd));
                }
                assert_eq!(windows(l), (5, 5), "{is_payload}");
            }
            ack(l, first, 11, ECE);
            assert_eq!(windows(l).1, 2, "it has CWR, and something newer is marked");
        });
    }
}

#[test]
fn an_echo_after_a_pause_reduces_nothing_until_cwr_has_arrived() {
    on_agreed(|l| {
        let first = queue(l, 10);
        ack(l, first, 5, ECE);
        ack(l, first, 10, ECE);
        assert_eq!((flight(l), windows(l)), (0, (5, 5)));
        say_with_ack(l, first, 10, ECE);
        let _ = queue(l, 4);
        assert_eq!(told(l, first), [10]);
        say_with_ack(l, first, 10, ECE);
        assert_eq!(windows(l), (5, 5));
    });
}

/// "The TCP sender sets the CWR flag in the TCP header of the first new data packet sent after the window reduction", whatever the reason.
#[test]
fn the_first_new_payload_after_a_reduction_has_cwr() {
    // An echo.
    on_agreed(|l| {
        let first = queue(l, 60);
        ack(l, first, 1, ECE);
        ack(l, first, 7, 0);
        assert_eq!(sent(l, first), [(10, true), (11, false)]);
        ack(l, first, 10, 0);
        assert_eq!(told(l, first), []);
    });
    // Duplicates.
    on_agreed(|l| {
        let first = queue(l, 60);
        lose(l, first, 0, 0);
        let mut tells = vec![];
        for _ in 0..8 {
            ack(l, first, 0, 0);
            tells.extend(told(l, first));
        }
        assert_eq!(tells, [12], "limited transmit has sent two before");
    });
    // The timer.
    on_agreed(|l| {
        let first = queue(l, 10);
        while status(l).congestion_window != MSS {
            let _ = l.engine.next_deadline();
        }
        assert_eq!(sent(l, first), [(0, false)]);
        let _ = queue(l, 10);
        let mut tells = vec![];
        for n in 1..=12 {
            ack(l, first, n, 0);
            tells.extend(told(l, first));
        }
        assert_eq!(tells, [10]);
    });
    // What answers a probe of the tail.
    on_agreed(|l| {
        let first = queue(l, 4);
        ack(l, first, 1, 0);
        let _ = l.engine.next_deadline();
        assert_eq!(sent(l, first), [(1, false)], "the probe");
        l.engine.wait(RTT);
        ack(l, first, 4, 0);
        assert!(windows(l).1 < INITIAL);
        let _ = queue(l, 4);
        assert_eq!(told(l, first), [4]);
    });
}

/// "The CWR bit SHOULD NOT be set on retransmitted packets", nor on what has no payload.
#[test]
fn cwr_waits_for_new_payload() {
    on_agreed(|l| {
        let first = queue(l, 4);
        ack(l, first, 1, ECE);
        say_with_ack(l, first, 1, 0);
        assert_eq!((l.engine.only().flags, l.engine.only().ecn), (ACK, 0));
        for _ in 0..3 {
            let _ = l.engine.next_deadline();
            assert!(l.engine.sent.iter().all(|sent| sent.ecn == 0 && !sent.is_capable));
        }
        ack(l, first, 4, 0);
        let _ = queue(l, 1);
        assert_eq!((l.engine.only().ecn, l.engine.only().is_capable), (CWR, true));
    });
    on_agreed(|l| {
        let first = queue(l, 4);
        ack(l, first, 4, ECE);
        l.shutdown();
        assert_eq!((l.engine.only().flags & FIN, l.engine.only().ecn), (FIN, 0), "a FIN alone");
    });
}

/// §6.1.6: "the TCP data sender MUST NOT set either an ECT codepoint or the CWR bit on window probe packets."
#[test]
fn a_window_probe_has_no_cwr() {
    on_agreed(|l| {
        let first = queue(l, 4);
        let (seq, end) = (status(l).rcv_nxt.0, first.wrapping_add(4 * MSS));
        let _ = l.inject(&Seg::new(ACK | ECE, seq, end, 0, 0));
        assert_eq!(windows(l).1, 2);
        let _ = queue(l, 2);
        assert_eq!(l.engine.sent, []);
        for _ in 0..3 {
            while l.engine.sent.is_empty() {
                let _ = l.engine.next_deadline();
            }
            let probe = l.engine.only().clone();
            assert_eq!((probe.text.len(), probe.ecn, probe.is_capable), (1, 0, false));
            l.engine.sent.clear();
        }
        let _ = l.inject(&Seg::new(ACK, seq, end, 0, WINDOW));
        assert_eq!(told(l, first), [4], "with the window open");
    });
}

/// "The TCP sender's congestion window should be reduced only once in response to a series of dropped and/or CE packets from a single window of
/// data."
#[test]
fn an_echo_and_a_loss_of_one_window_reduce_once() {
    // The echo first.
    on_agreed(|l| {
        let first = queue(l, 10);
        ack(l, first, 1, ECE);
        assert_eq!(windows(l).1, 5);
        lose(l, first, 1, ECE);
        assert_eq!(windows(l).1, 5);
        ack(l, first, 10, ECE);
        assert_eq!(windows(l).1, 5);
    });
    // The loss first.
    on_agreed(|l| {
        let first = queue(l, 10);
        lose(l, first, 0, 0);
        assert_eq!(windows(l).1, 5);
        for n in [0, 3, 7, 10] {
            ack(l, first, n, ECE);
            assert_eq!(windows(l).1, 5);
        }
        // The peer has no CWR yet.
        let _ = queue(l, 4);
        assert_eq!(told(l, first), [10]);
        say_with_ack(l, first, 10, ECE);
        assert_eq!(windows(l).1, 5);
    });
    // The echo, and the tail lost.
    on_agreed(|l| {
        let first = queue(l, 10);
        ack(l, first, 1, ECE);
        ack(l, first, 6, ECE);
        let _ = l.engine.next_deadline();
        assert_eq!(sent(l, first), [(6, false)], "the probe");
        l.engine.wait(RTT);
        ack(l, first, 10, ECE);
        assert_eq!(windows(l).1, 5);
    });
}

#[test]
fn a_loss_after_cwr_reduces_again() {
    on_agreed(|l| {
        let first = queue(l, 60);
        ack(l, first, 1, ECE);
        ack(l, first, 10, ECE);
        assert_eq!((sent(l, first).len(), windows(l)), (5, (5, 5)));
        assert_eq!(told(l, first), [10]);
        // The very segment that had it.
        lose(l, first, 10, ECE);
        assert_eq!(windows(l).1, 2);
        let mut tells = vec![];
        for _ in 0..8 {
            ack(l, first, 10, ECE);
            tells.extend(told(l, first));
        }
        ack(l, first, 17, ECE);
        tells.extend(told(l, first));
        assert_eq!(tells.len(), 1, "and the peer is told again");
    });
}

#[test]
fn an_echo_with_nothing_in_flight_reduces_nothing() {
    on_agreed(|l| {
        for _ in 0..3 {
            say_with_ack(l, status(l).snd_nxt.0, 0, ECE);
            ack(l, status(l).snd_nxt.0, 0, ECE);
        }
        assert_eq!(windows(l).0, INITIAL);
        let first = queue(l, 2);
        assert_eq!(told(l, first), []);
    });
}

#[test]
fn an_echo_of_an_old_or_unacceptable_acknowledgment_reduces_nothing() {
    on_agreed(|l| {
        let first = queue(l, 10);
        ack(l, first, 5, 0);
        let (seq, before, nxt) = (status(l).rcv_nxt.0, windows(l), status(l).snd_nxt.0);
        let (known, old, beyond) = (first.wrapping_add(5 * MSS), first, nxt.wrapping_add(1));
        let outside = [(seq, old), (seq, beyond), (seq, beyond + 100_000), (seq.wrapping_sub(100), known)];
        for (seq, ack) in outside.into_iter().chain([(seq.wrapping_add(10_000), known)]) {
            for (flags, text) in [(ACK, 0), (ACK, 10), (RST, 0), (ACK | SYN, 0), (SYN, 0)] {
                // An RST at RCV.NXT would be believed.
                let seq = if flags & RST != 0 { seq.wrapping_add(3) } else { seq };
                let text = if seq == status(l).rcv_nxt.0 { 0 } else { text };
                let _ = l.inject(&Seg::new(flags | ECE, seq, ack, text, WINDOW));
                assert_eq!(windows(l), before, "{seq} {ack} {flags:#x}");
            }
        }
        let _ = queue(l, 3);
        assert_eq!(told(l, first), []);
    });
}

#[test]
fn two_segments_are_always_left() {
    on_agreed(|l| {
        for _ in 0..5 {
            let first = queue(l, 2);
            assert_eq!(sent(l, first).len(), 2);
            ack(l, first, 1, ECE);
            assert_eq!(windows(l), (2, 2));
            ack(l, first, 2, ECE);
        }
    });
}

/// The peer has agreed with our first SYN, but that was repeated: the window is one segment.
#[test]
fn an_echo_leaves_a_window_of_one_segment_as_it_is() {
    on_closed(quick(), |l| {
        l.peer_wnd = WINDOW;
        l.dial_with(stream());
        let _ = l.engine.next_deadline();
        let _ = l.say(SYN | ACK | ECE, 0);
        let first = queue(l, 10);
        assert_eq!(windows(l).0, 1);
        ack(l, first, 1, ECE);
        assert_eq!(windows(l).0, 1);
    });
}

#[test]
fn without_agreement_an_echo_reduces_nothing() {
    for (way, ecn) in WAYS.into_iter().flat_map(|way| [(way, true), (way, false)]) {
        on_closed(Config { ecn, ..quick() }, |l| {
            establish(l, way, if ecn { 0 } else { agreeing(way) });
            let first = queue(l, 60);
            for n in 1..5 {
                let before = windows(l);
                ack(l, first, n, [ECE, BOTH][n as usize % 2]);
                assert!(windows(l).0 > before.0 && windows(l).1 == before.1, "{way:?} {ecn}");
            }
            lose(l, first, 4, ECE);
            assert!(l.engine.sent.iter().all(|sent| sent.ecn == 0), "CWR says nothing to this peer");
            ack(l, first, 10, 0);
            assert_eq!(told(l, first), []);
        });
    }
}

#[test]
fn an_echo_during_a_timeout_reduces_nothing_more() {
    on_agreed(|l| {
        let first = queue(l, 10);
        while l.engine.next_deadline() != Timer::Retransmission || windows(l).0 > 1 {}
        assert_eq!(windows(l), (1, 5));
        for n in [1, 3, 9] {
            ack(l, first, n, ECE);
            assert_eq!(windows(l).1, 5);
        }
        ack(l, first, 10, ECE);
        assert_eq!(windows(l).1, 5);
    });
}
