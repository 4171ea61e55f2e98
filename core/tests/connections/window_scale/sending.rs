//! The window that the peer offers, and what goes out in it (§2.3, §2.4, RFC 5961 §5).

use tcp_reset_core::{Action, Rule, Timer};

use super::*;
use crate::support::table::RST;

/// How far what was sent reaches, from our first byte on.
fn sent_to(l: &Rig<'_>, start: u32) -> u32 {
    status(l).snd_nxt.0.wrapping_sub(start)
}

#[test]
fn the_first_window_is_unscaled_and_the_next_one_is_scaled() {
    for way in WAYS {
        on_big(config(), |l| {
            begin(l, way, &options(Some(7)), stream_of(BUFFER));
            complete(l, way, &options(Some(7)), 5);
            let start = l.model.snd_nxt;
            fill(l);
            // 1,200 bytes, or five times 128.
            let window = if matches!(way, Way::Active | Way::Crossed) { 1_200 } else { 640 };
            assert!(sent_to(l, start) <= window && sent_to(l, start) >= window / 2, "{way:?}: {}", sent_to(l, start));
            let una = l.model.snd_nxt;
            offer(l, una, 40);
            assert_eq!(status(l).snd_wnd, 40 << 7);
            assert_eq!(sent_to(l, una), 5_000, "{way:?}: whole segments of 5,120 bytes");
        });
    }
}

/// The peer acknowledges segment by segment, its window being `wnd` in units of 2^`shift`, until nothing more goes out. Returns the most that was out.
fn most_out(l: &mut Rig<'_>, wnd: u16, shift: u8) -> u32 {
    let (mut una, mut most) = (l.model.snd_nxt, 0);
    let window = u32::from(wnd) << shift;
    l.engine.is_audited = false;
    offer(l, una, wnd);
    for _ in 0..1_000 {
        fill(l);
        let out = l.model.snd_nxt.wrapping_sub(una);
        assert!(out <= window, "{out} of {window}");
        most = most.max(out);
        una = una.wrapping_add(MSS.min(out));
        offer(l, una, wnd);
        let out = l.model.snd_nxt.wrapping_sub(una);
        assert!(out <= window, "{out} of {window}");
        most = most.max(out);
    }
    most
}

#[test]
fn no_more_is_out_than_the_scaled_window_and_it_is_used() {
    for (theirs, wnd, window) in [
        (Some(0), 60_000, 60_000),
        (Some(1), 50_000, 100_000),
        (Some(2), 60_001, 240_004),
        (Some(3), 25_000, 200_000),
        (Some(7), 1_001, 128_128),
        (Some(14), 9, 147_456),
        (Some(15), 9, 147_456),
        (Some(255), 9, 147_456),
        (None, 65_535, 65_535),
    ] {
        on_open(theirs, wnd, |l| {
            let most = most_out(l, wnd, theirs.unwrap_or(0).min(14));
            assert!(most <= window && most > window - MSS, "{theirs:?}: {most} of {window}");
        });
    }
}

/// A window of 1 GB asks for no more than there is.
#[test]
fn the_largest_window_is_no_more_than_the_buffer_has() {
    on_open(14, 65_535, |l| {
        assert_eq!(status(l).snd_wnd, 65_535 << 14);
        let most = most_out(l, 65_535, 14);
        assert!(most > BUFFER - MSS && most <= BUFFER, "{most}");
    });
}

/// §2.4, sender: what is out of the window by less than one unit of it was in it when it was sent, and goes again whole.
#[test]
fn what_seems_out_of_the_window_for_want_of_digits_goes_again_whole() {
    for shift in [1, 3, 5, 8, 11, 14] {
        on_open(shift, 0, |l| {
            let unit = 1_u32 << shift;
            // A window of whole units, and as much out as there is room for, or the congestion window lets go.
            let (window, len) = (8_192_u32.next_multiple_of(unit), 8_192);
            let start = l.model.snd_nxt;
            offer(l, start, (window >> shift) as u16);
            let bytes = text(start, len);
            assert_eq!(l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &bytes), Ok(bytes.len()));
            l.engine.drain();
            assert_eq!(sent_to(l, start), len, "{shift}");
            // All but the last 999 bytes arrive, and the right edge stays where it was as far as a field says so.
            offer(l, start.wrapping_add(7_193), ((window - 7_193) >> shift) as u16);
            assert_eq!(status(l).snd_wnd, (window - 7_193) >> shift << shift);
            for _ in 0..3 {
                assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
                let sent = l.engine.only();
                assert_eq!((sent.seq.wrapping_sub(start), sent.text.len()), (7_193, 999), "{shift}: whole");
            }
        });
    }
}

/// The same of a FIN, and of what a window that now seems closed still had.
#[test]
fn a_fin_goes_again_though_the_window_seems_closed() {
    on_open(14, 1, |l| {
        let start = l.model.snd_nxt;
        let bytes = text(start, 2_000);
        assert_eq!(l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &bytes), Ok(bytes.len()));
        l.engine.drain();
        l.shutdown();
        l.look();
        assert_eq!(sent_to(l, start), 2_001);
        offer(l, start.wrapping_add(1_000), 0);
        let mut again = vec![];
        for _ in 0..3 {
            let _ = l.engine.next_deadline();
            again.extend(
                l.engine.sent.iter().map(|sent| (sent.seq.wrapping_sub(start), sent.text.len(), sent.flags & 1)),
            );
            if !again.is_empty() {
                break;
            }
        }
        assert_eq!(again, [(1_000, 1_000, 1)]);
    });
}

/// §2.4, sender: what is new goes only within what was announced last.
#[test]
fn what_is_new_goes_in_the_window_as_it_is_said() {
    on_open(14, 1, |l| {
        let start = l.model.snd_nxt;
        fill(l);
        assert_eq!(sent_to(l, start), 10_000, "the congestion window");
        offer(l, start.wrapping_add(1_000), 0);
        offer(l, start.wrapping_add(10_000), 0);
        assert_eq!((sent_to(l, start), status(l).snd_wnd), (10_000, 0));
        l.wait_for_probe();
        assert_eq!(l.engine.only().text.len(), 1, "a probe");
        // The peer takes the byte, and has less than a unit left: that is no window.
        offer(l, start.wrapping_add(10_001), 0);
        assert_eq!(sent_to(l, start), 10_001);
        l.wait_for_probe();
        assert_eq!(l.engine.only().text.len(), 1, "a probe");
        let una = start.wrapping_add(10_002);
        offer(l, una, 1);
        assert!((2_000..=16_384).contains(&sent_to(l, una)), "{}", sent_to(l, una));
    });
}

/// RFC 5961 §5.2: the largest window that the peer has offered, in bytes.
#[test]
fn old_acknowledgments_are_believed_within_the_largest_window() {
    let window = 25_000_u32 << 3;
    for (behind, is_believed) in [(0, true), (65_535, true), (65_536, true), (window, true), (window + 1, false)] {
        on_open(3, 25_000, |l| {
            let most = most_out(l, 25_000, 3);
            assert!(most > 65_535);
            let una = l.model.snd_nxt;
            offer(l, una, 100);
            assert_eq!(status(l).snd_una.0, una);
            let raw = Raw {
                seq: first(l),
                ack: una.wrapping_sub(behind),
                flags: ACK,
                wnd: 100,
                text: &[1],
                ..Raw::default()
            };
            let verdict = arrive(l, &raw);
            let expected = if is_believed {
                (Rule::PayloadInOrder, Action::Accepted)
            } else {
                (Rule::AckUnacceptable, Action::Challenged)
            };
            assert_eq!((verdict.rule, verdict.action), expected, "{behind}");
        });
    }
}

/// However large it is, no acknowledgment of more than can be out is believed.
#[test]
fn no_older_acknowledgment_is_believed_than_a_buffer_is_long() {
    for (behind, is_believed) in [(BUFFER, true), (BUFFER + 1, false), (1 << 29, false)] {
        on_open(14, 60_000, |l| {
            let una = l.model.snd_nxt;
            offer(l, una, 60_000);
            assert_eq!(status(l).snd_wnd, 60_000 << 14);
            let ack = una.wrapping_sub(behind);
            let raw = Raw { seq: first(l), ack, flags: ACK, wnd: 60_000, text: &[1], ..Raw::default() };
            let rule = if is_believed { Rule::PayloadInOrder } else { Rule::AckUnacceptable };
            assert_eq!(arrive(l, &raw).rule, rule, "{behind}");
        });
    }
}

/// The window of an old segment does not come back, and one that shrinks is borne (RFC 9293 §3.8.6).
#[test]
fn a_window_that_shrinks_by_much_is_borne() {
    on_open(3, 25_000, |l| {
        let most = most_out(l, 25_000, 3);
        assert!(most > 65_535);
        let una = status(l).snd_una.0;
        let nxt = l.model.snd_nxt;
        offer(l, una, 1);
        assert_eq!(status(l).snd_wnd, 8);
        fill(l);
        assert_eq!(l.model.snd_nxt, nxt, "nothing new");
        // What is out may arrive all the same.
        offer(l, nxt, 0);
        assert_eq!((status(l).snd_una.0, status(l).snd_wnd), (nxt, 0));
        assert_eq!(
            status(l).unacknowledged as u32,
            BUFFER - nxt.wrapping_sub(una),
            "all that was acknowledged is gone"
        );
        offer(l, nxt, 25_000);
        assert!(l.model.snd_nxt.wrapping_sub(nxt) > 65_535 || status(l).snd_wnd == 200_000);
    });
}

/// A round trip in which more than 65,535 bytes are sent is timed like any other.
#[test]
fn a_round_trip_of_a_large_flight_is_timed() {
    on_open(3, 25_000, |l| {
        let most = most_out(l, 25_000, 3);
        assert!(most > 190_000 && status(l).round_trip_time.is_some_and(|time| time < Duration::from_millis(2)));
        let mut una = status(l).snd_una.0;
        for _ in 0..1_000 {
            l.engine.now = l.engine.now + Duration::from_millis(5);
            fill(l);
            una = una.wrapping_add(MSS);
            offer(l, una, 25_000);
        }
        // 200 segments, one each 5 ms.
        let time = status(l).round_trip_time.expect("measured");
        assert!((300..=1_000).contains(&time.as_millis()), "{time:?}");
    });
}

/// An abort's RST is where the peer takes it, however far that is.
#[test]
fn an_abort_is_told_at_the_end_of_a_large_flight() {
    on_open(3, 25_000, |l| {
        let most = most_out(l, 25_000, 3);
        assert!(most > 65_535);
        l.abort();
        assert_eq!((l.engine.only().flags & RST, l.engine.only().seq), (RST, l.model.snd_nxt));
    });
}

/// Duplicates in a large flight: the front goes again, and a loss far behind it after it.
#[test]
fn losses_in_a_large_flight_are_made_good() {
    on_open(3, 25_000, |l| {
        let most = most_out(l, 25_000, 3);
        let (una, nxt) = (status(l).snd_una.0, l.model.snd_nxt);
        assert!(most > 190_000);
        for _ in 0..3 {
            offer(l, una, 25_000);
        }
        let again: Vec<_> = l.engine.sent.iter().filter(|sent| sent.seq == una).map(|sent| sent.text.len()).collect();
        assert_eq!(again, [MSS as usize], "the front, at the third duplicate");
        let threshold = status(l).slow_start_threshold;
        assert!((90_000..=140_000).contains(&threshold), "half of what was out, or seven tenths: {threshold}");
        // The next hole is 150,000 bytes further on.
        let hole = una.wrapping_add(150_000);
        offer(l, hole, 25_000);
        assert!(l.engine.sent.iter().any(|sent| sent.seq == hole), "a partial acknowledgment");
        let end = l.model.snd_nxt;
        assert!(end.wrapping_sub(nxt) < 1 << 20);
        offer(l, end, 25_000);
        assert_eq!(status(l).snd_una.0, end);
    });
}

/// A timeout with more than 65,535 bytes out: all of it goes again, by slow start.
#[test]
fn a_large_flight_goes_again_after_a_timeout() {
    on_open(3, 25_000, |l| {
        let most = most_out(l, 25_000, 3);
        assert!(most > 190_000);
        let (una, nxt) = (status(l).snd_una.0, l.model.snd_nxt);
        while !(l.engine.next_deadline() == Timer::Retransmission && l.engine.sent.iter().any(|sent| sent.seq == una)) {
        }
        while l.engine.deadline.is_some() && status(l).retries < 2 {
            let _ = l.engine.next_deadline();
        }
        let mut next = una;
        let mut to = una.wrapping_add(MSS);
        while nxt.wrapping_sub(to) as i32 > 0 {
            offer(l, to, 25_000);
            for sent in l.engine.sent.iter().filter(|sent| (nxt.wrapping_sub(sent.seq) as i32) > 0) {
                assert!(sent.seq.wrapping_sub(next) <= 2 * MSS || (sent.seq.wrapping_sub(next) as i32) < 0, "in order");
                next = sent.end();
            }
            to = next;
        }
        assert_eq!(to, nxt, "each byte went again");
    });
}

/// What SACK says of a large flight: each hole goes again once, however far behind the front it is.
#[cfg(feature = "sack")]
#[test]
fn each_hole_of_a_large_flight_goes_again_once() {
    use crate::support::packet::segment::sack_option;
    let options = [&options(Some(3))[..], &[4, 2, 1, 1]].concat();
    on_big(config(), |l| {
        begin(l, Way::Active, &options, stream_of(BUFFER));
        complete(l, Way::Active, &options, 25_000);
        let most = most_out(l, 25_000, 3);
        assert!(most > 190_000);
        let (una, nxt, seq) = (status(l).snd_una.0, l.model.snd_nxt, status(l).rcv_nxt.0);
        let mut again = vec![];
        for end in (160_000..190_000).step_by(1_000) {
            let blocks = sack_option(una, &[(151_000, end), (71_000, 150_000), (MSS, 70_000)]);
            let _ = arrive(l, &Raw { seq, ack: una, flags: ACK, wnd: 25_000, options: &blocks, ..Raw::default() });
            let old = l.engine.sent.iter().filter(|sent| (sent.end().wrapping_sub(nxt) as i32) <= 0);
            again.extend(old.map(|sent| (sent.seq.wrapping_sub(una), sent.text.len() as u32)));
        }
        assert_eq!(again, [(0, MSS), (70_000, MSS), (150_000, MSS)]);
        // The front arrives: all up to the second hole is acknowledged, and nothing goes a second time.
        offer(l, una.wrapping_add(70_000), 25_000);
        assert!(l.engine.sent.iter().all(|sent| (sent.seq.wrapping_sub(nxt) as i32) >= 0), "{:?}", l.engine.sent.len());
    });
}

/// A segment that others have overtaken acknowledges, and its window is not taken: the right edge stays (RFC 9293 §3.10.7.4, SND.WL1).
#[test]
fn the_window_of_a_segment_that_was_overtaken_is_not_taken() {
    on_open(3, 25_000, |l| {
        let most = most_out(l, 25_000, 3);
        assert!(most > 190_000);
        let una = status(l).snd_una.0;
        let ahead = first(l).wrapping_add(1_000);
        let _ = arrive(l, &Raw { seq: ahead, ack: una, flags: ACK, wnd: 25_000, text: &[1], ..Raw::default() });
        assert_eq!(status(l).snd_wnd, 200_000);
        let ack = una.wrapping_add(90_000);
        let _ = arrive(l, &Raw { seq: first(l), ack, flags: ACK, wnd: 1, text: &[1], ..Raw::default() });
        assert_eq!((status(l).snd_una.0, status(l).snd_wnd), (ack, 110_000));
    });
}
