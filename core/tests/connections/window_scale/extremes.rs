//! Windows of more than 65,535 bytes at their ends: what is told of them, what is counted, and what an old connection leaves behind.

use tcp_reset_core::{Error, MAX_BUFFER, Rule};

use super::*;
use crate::support::table::RST;

/// RFC 9293 §3.8.6.2.2, RFC 5681 §2: an acknowledgment that an application's reading draws tells of a window that is larger. One that repeats the last
/// counts as a duplicate, and three of them as a loss.
#[test]
fn reading_byte_by_byte_draws_no_acknowledgment_that_tells_nothing() {
    on_open(5, 1_000, |l| {
        say_all(l, 0, BUFFER - 5);
        let (mut edge, mut idle) = (l.engine.only().wnd, 0);
        for _ in 0..5_000 {
            assert_eq!(read(l, 1).len(), 1);
            for sent in &l.engine.sent {
                idle += u32::from(sent.wnd == edge);
                edge = sent.wnd;
            }
        }
        assert_eq!(idle, 0, "acknowledgments that tell nothing");
    });
}

/// Without scale no more is offered than a header says, and so no more is in the window.
#[test]
fn without_scale_the_window_is_what_was_offered() {
    on_open(None, 1_000, |l| {
        assert_eq!(status(l).rcv_wnd, UNSCALED, "in bytes");
        assert_eq!(say(l, RST, UNSCALED + 1, 0).rule, Rule::RstOutOfWindow);
        assert_eq!(say(l, ACK, UNSCALED + 1, 10).rule, Rule::SeqUnacceptable);
    });
}

/// Duplicates without end inflate the congestion window (RFC 5681 §3.2), to no more than a record can keep.
#[test]
fn duplicates_without_end_overflow_nothing() {
    on_open(5, 1_000, |l| {
        let una = l.queue(20 * MSS);
        l.engine.is_audited = false;
        for _ in 0..4_500_000 {
            offer(l, una, 1_000);
        }
        assert_eq!(status(l).snd_una.0, una);
        assert!(status(l).congestion_window > UNSCALED);
    });
}

#[test]
fn a_refusal_names_the_largest_buffer() {
    let text = Error::InvalidBufferSize.to_string();
    assert!(text.contains(&MAX_BUFFER.to_string()), "{text}");
}

/// RFC 6191 §2: a SYN with a timestamp reopens what had none, wherever its number lies. What the old connection's peer said then lies in the new window, and
/// acknowledges numbers that must be farther off than the largest window there is (RFC 5961 §5.2).
#[cfg(feature = "timestamps")]
#[test]
fn payload_of_an_old_connection_is_not_taken_by_a_new_one() {
    use crate::support::packet::segment::timestamps_option;
    use crate::support::table::FIN;
    for shift in [None, Some(0), Some(5), Some(14)] {
        on_big(config(), |l| {
            begin(l, Way::Passive, &options(shift), stream_of(BUFFER));
            complete(l, Way::Passive, &options(shift), 60_000);
            let _ = say(l, ACK, 0, 100);
            l.shutdown();
            let _ = say(l, ACK, 100, 0);
            let _ = say(l, ACK | FIN, 100, 0);
            let (seq, ack) = (first(l), l.model.snd_nxt);
            let _ = l.engine.tcp.close(l.engine.now, l.handle.take().unwrap());
            l.engine.drain();
            l.isn = l.isn.wrapping_sub(500);
            let stamped = [options(shift), timestamps_option(7, 0)].concat();
            let syn = Raw { seq: l.isn, flags: SYN, wnd: FIRST, options: &stamped, ..Raw::default() };
            assert_eq!(arrive(l, &syn).rule, Rule::SynTimeWaitReopens);
            let raw = Raw {
                seq: first(l),
                ack: l.model.snd_nxt,
                flags: ACK,
                wnd: 60_000,
                options: &timestamps_option(8, l.engine_stamp),
                ..Raw::default()
            };
            let _ = arrive(l, &raw);
            l.accept();
            let old = Raw { seq, ack, flags: ACK, wnd: 60_000, text: &text(seq, 100), ..Raw::default() };
            assert_eq!(arrive(l, &old).rule, Rule::AckUnacceptable, "{shift:?}");
        });
    }
}
