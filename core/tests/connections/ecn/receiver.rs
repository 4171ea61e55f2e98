//! Marks that arrive, and how long they are echoed (§6.1.3, §6.1.5, §6.1.6).

use tcp_reset_core::{Config, Rule};

use super::*;
use crate::support::rig::Raw;

/// A segment of the peer's, so far from RCV.NXT.
fn at(l: &Rig<'_>, distance: i32, len: u32, flags: u8) -> Seg {
    let seq = status(l).rcv_nxt.0.wrapping_add_signed(distance);
    Seg::new(ACK | flags, seq, status(l).snd_nxt.0, len, WINDOW)
}

/// Whether the answer to the peer's next payload echoes a mark.
fn echoes_next(l: &mut Rig<'_>) -> bool {
    let next = at(l, 0, 10, 0);
    let _ = l.inject(&next);
    echoes(l)
}

fn mark(l: &mut Rig<'_>) {
    let next = at(l, 0, 10, 0);
    let _ = marked(l, |l| l.inject(&next));
}

/// A connection whose first segments, acknowledged at once, are over.
fn on_delaying(test: impl Fn(&mut Rig<'_>)) {
    on_agreed_with(Config { delayed_ack: Duration::from_millis(100), ..config() }, |l| {
        for _ in 0..20 {
            let next = at(l, 0, 10, 0);
            let _ = l.inject(&next);
            l.engine.wait(Duration::from_secs(1));
            let _ = l.recv();
        }
        l.engine.wait(Duration::from_secs(1));
        test(l);
    });
}

#[test]
fn marked_payload_is_echoed_in_all_acks_until_cwr() {
    for way in WAYS {
        on_closed(quick(), |l| {
            establish(l, way, agreeing(way));
            assert!(!echoes_next(l), "{way:?}");
            mark(l);
            assert!(echoes(l), "{way:?}");
            for _ in 0..5 {
                assert!(echoes_next(l), "{way:?}");
            }
            let first = queue(l, 3);
            assert!(l.engine.sent.iter().all(|sent| sent.ecn == ECE), "on payload");
            while !l.engine.sent.iter().any(|sent| sent.seq == first) || l.engine.sent.len() != 1 {
                let _ = l.engine.next_deadline();
            }
            assert_eq!(l.engine.only().ecn, ECE, "on what is sent again");
            let challenged = at(l, 5, 0, 0);
            let _ = l.inject(&Seg { flags: RST, ..challenged });
            assert_eq!((l.engine.only().flags, l.engine.only().ecn), (ACK, ECE), "on a challenge");
            let next = at(l, 0, 10, CWR);
            let _ = l.inject(&next);
            assert!(l.engine.sent.iter().all(|sent| sent.ecn & ECE == 0));
            assert!(!echoes_next(l));
            mark(l);
            assert!(echoes(l), "another mark");
        });
    }
}

/// "If the CE codepoint is set in any of the data packets being acknowledged."
#[test]
fn a_delayed_ack_echoes_the_mark_of_either_segment() {
    for marks in [[true, false], [false, true], [true, true], [false, false]] {
        on_delaying(|l| {
            for is_marked in marks {
                assert_eq!(l.engine.sent, []);
                l.engine.is_marked = is_marked;
                let next = at(l, 0, MSS, 0);
                let _ = l.inject(&next);
            }
            assert_eq!(echoes(l), marks != [false; 2], "{marks:?}");
        });
    }
}

#[test]
fn cwr_on_payload_is_acknowledged_at_once() {
    for flags in FLAGS {
        on_delaying(|l| {
            let next = at(l, 0, 10, flags);
            let _ = l.inject(&next);
            assert_eq!(l.engine.sent.len(), usize::from(flags & CWR != 0), "{flags:#x}");
        });
    }
}

/// The mark is newer than what CWR answers.
#[test]
fn a_marked_segment_with_cwr_is_echoed() {
    for is_echoed in [false, true] {
        on_agreed(|l| {
            if is_echoed {
                mark(l);
            }
            let next = at(l, 0, 10, CWR);
            let _ = marked(l, |l| l.inject(&next));
            assert!(echoes(l));
            assert!(echoes_next(l));
        });
    }
}

#[test]
fn a_mark_on_payload_out_of_order_is_echoed() {
    on_agreed(|l| {
        let beyond = at(l, 30, 10, 0);
        let _ = marked(l, |l| l.inject(&beyond));
        assert!(echoes(l), "the duplicate acknowledgment");
        assert!(echoes_next(l));
        let beyond = at(l, 60, 10, CWR);
        let _ = l.inject(&beyond);
        assert!(!echoes(l), "CWR out of order");
    });
}

#[test]
fn a_mark_on_payload_that_is_partly_new_is_echoed() {
    on_agreed(|l| {
        let _ = echoes_next(l);
        let overlapping = at(l, -5, 10, 0);
        let _ = marked(l, |l| l.inject(&overlapping));
        assert!(echoes(l));
    });
}

/// "If a window probe arrives with the CE codepoint set, then the receiver SHOULD respond to the ECN indications."
#[test]
fn a_marked_window_probe_is_echoed() {
    on_agreed(|l| {
        while status(l).rcv_wnd > 0 {
            let next = at(l, 0, status(l).rcv_wnd.min(MSS), 0);
            let _ = l.inject(&next);
        }
        let probe = at(l, 0, 1, 0);
        let verdict = marked(l, |l| l.inject(&probe));
        assert_eq!(verdict.rule, Rule::ZeroWindow);
        assert!(echoes(l));
    });
}

/// "The TCP data receiver SHOULD ignore the ECN field on arriving data packets that are outside of the receiver's current window."
#[test]
fn a_mark_on_what_is_not_accepted_is_ignored() {
    let distances = [-10, -1_000, 8_192, 100_000, -100_000];
    for (distance, flags) in distances.into_iter().flat_map(|distance| [(distance, 0), (distance, CWR)]) {
        on_agreed(|l| {
            for is_echoed in [false, true] {
                if is_echoed {
                    mark(l);
                }
                assert_eq!(echoes_next(l), is_echoed);
                let outside = at(l, distance, 10, flags);
                // CWR would end the echo, and a mark begin it.
                l.engine.is_marked = !is_echoed;
                let _ = l.inject(&outside);
                l.engine.is_marked = false;
                assert!(l.engine.sent.iter().all(|sent| (sent.ecn == ECE) == is_echoed), "{distance} {flags:#x}");
                l.engine.wait(Duration::from_secs(1));
                assert_eq!(echoes_next(l), is_echoed, "{distance} {flags:#x}");
            }
        });
    }
}

#[test]
fn a_mark_on_an_acknowledgment_of_what_was_never_sent_is_ignored() {
    for (ack, flags) in [1, 5_000, 0x8000_0000, 0xffff_0000].into_iter().flat_map(|ack| [(ack, 0), (ack, CWR)]) {
        on_agreed(|l| {
            let next = at(l, 0, 10, flags);
            let next = Seg { ack: next.ack.wrapping_add(ack), ..next };
            let _ = marked(l, |l| l.inject(&next));
            assert!(l.engine.sent.iter().all(|sent| sent.ecn == 0));
            assert!(!echoes_next(l), "{ack:#x} {flags:#x}");
        });
    }
}

#[test]
fn a_mark_on_a_segment_with_a_wrong_checksum_is_ignored() {
    on_agreed(|l| {
        for ahead in [0, 30] {
            let (seq, ack) = (status(l).rcv_nxt.0.wrapping_add(ahead), status(l).snd_nxt.0);
            let mut bytes =
                Raw { seq, ack, flags: ACK, wnd: 100, text: &[7; 10], ..Raw::default() }.bytes(l.peer, l.us);
            bytes[16] ^= 1;
            let (from, to) = (l.peer.ip(), l.us.ip());
            let verdict = marked(l, |l| l.engine.arrive_bytes(from, to, &bytes));
            assert_eq!(verdict.rule, Rule::ChecksumWrong);
            assert!(!echoes_next(l));
        }
    });
}

#[cfg(feature = "timestamps")]
#[test]
fn a_mark_on_a_segment_with_an_old_timestamp_is_ignored() {
    on_closed(quick(), |l| {
        l.peer_wnd = WINDOW;
        l.dial_with(stream());
        l.stamp = Some(1_000);
        let _ = l.say(SYN | ACK | ECE, 0);
        assert!(status(l).timestamps && status(l).ecn);
        let _ = l.say(ACK, 10);
        for flags in [0, CWR] {
            let seg = at(l, 0, 10, flags);
            let old = Seg { stamp: Some(500), ..seg };
            let _ = marked(l, |l| l.inject(&old));
            assert_eq!(l.engine.only().ecn, 0);
            let _ = l.say(ACK, 10);
            assert!(!echoes(l), "{flags:#x}");
        }
    });
}

/// §6.1.4: nothing but payload is ECN-capable.
#[test]
fn a_mark_on_a_segment_without_payload_is_ignored() {
    on_agreed(|l| {
        for flags in [0, ECE, BOTH] {
            let empty = at(l, 0, 0, flags);
            let _ = marked(l, |l| l.inject(&empty));
            assert!(!echoes_next(l), "{flags:#x}");
        }
        let _ = marked(l, |l| l.say(ACK | FIN, 0));
        assert!(!echoes(l));
    });
}

#[test]
fn without_agreement_no_mark_is_echoed() {
    for (way, ecn) in WAYS.into_iter().flat_map(|way| [(way, true), (way, false)]) {
        on_closed(Config { ecn, ..quick() }, |l| {
            establish(l, way, if ecn { 0 } else { agreeing(way) });
            for flags in FLAGS {
                let _ = marked(l, |l| l.say(ACK | flags, 10));
                assert_eq!(l.engine.only().ecn, 0, "{way:?} {flags:#x}");
            }
        });
    }
}

#[test]
fn a_mark_is_echoed_after_our_fin_as_well() {
    on_agreed(|l| {
        l.shutdown();
        let _ = l.say_seg(&Seg::new(ACK, status(l).rcv_nxt.0, status(l).snd_una.0, 0, WINDOW));
        assert_eq!(l.state(), State::FinWait1);
        let seg = Seg::new(ACK, status(l).rcv_nxt.0, status(l).snd_una.0, 10, WINDOW);
        let _ = marked(l, |l| l.say_seg(&seg));
        assert!(echoes(l));
        l.peer_acks();
        assert_eq!(l.state(), State::FinWait2);
        let _ = l.say(ACK | CWR, 10);
        assert!(!echoes(l));
        mark(l);
        assert!(echoes(l));
    });
}
