//! ESTABLISHED (RFC 9293 §3.10.7.4): sequence number, acknowledgment, window, payload and FIN. Where a rule is the same in the
//! other synchronized states, its test goes through them all.

use std::time::Duration;

use tcp_reset_core::{Action, CloseReason, Event, Rule, State, Timer};

use crate::checks::{
    assert_closed, assert_empty_ack, assert_sent, assert_silent, assert_untouched, assert_verdict, on_link, seg,
    with_ack, with_window,
};
use crate::support::rig;
use crate::support::rig::reach::{
    OTHER_STATES, SYNCHRONIZED, Script, fin_wait_1, fin_wait_2, knock, open, probe_outstanding,
};
use crate::support::rig::{BUFFER, PEER_WINDOW, Rig};
use crate::support::table::{ACK, FIN, PSH, RST, Seg, URG};

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
        assert_eq!(l.inject(&beyond_gap).rule, Rule::PayloadOutOfOrder);
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
        assert_verdict(l, verdict, Rule::PayloadInOrder, Action::Accepted, State::Established);
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
        let one_behind = |l: &Rig<'_>, ack| {
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
        assert_eq!(l.engine.sent.len(), 1, "the peer learns our new number");
        assert_eq!(l.engine.only().seq, nxt + 1);
        assert_untouched(l, &one_behind(l, nxt + 1), Rule::SeqUnacceptable, Action::Acknowledged);
    });
}

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
        assert_eq!(l.engine.only().wnd, BUFFER, "reading opens the window and says so");
        l.open_window_takes_text();
    });
    on_link(|l| {
        l.open();
        let _ = l.say(ACK, BUFFER);
        assert_eq!(l.inject(&seg(l, RST, 0, 0)).rule, Rule::RstExact, "an RST is believed");
    });
}

impl Rig<'_> {
    /// The window that reading opened admits the text that was refused.
    fn open_window_takes_text(&mut self) {
        let before = self.model.rcv_nxt;
        assert_eq!(self.say(ACK, 3).rule, Rule::PayloadInOrder);
        assert_eq!(self.recv(), rig::stream(before, 3));
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
            assert!(l.listener.is_some() || l.engine.events.contains(&Event::PeerFinished(l.handle.unwrap())));
            assert_eq!(l.recv(), rig::stream(before, 3));
            let end = l.engine.tcp.recv(l.engine.now, l.handle.unwrap(), &mut [0; 9]);
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
fn established_payload_in_order_is_taken() {
    for build in [knock, open, fin_wait_1, fin_wait_2] as [Script; 4] {
        on_link(|l| {
            build(l);
            let (state, before) = (l.state(), l.model.rcv_nxt);
            let verdict = l.say(ACK | PSH, 5);
            assert_verdict(l, verdict, Rule::PayloadInOrder, Action::Accepted, state);
            assert_sent(l, ACK, l.model.snd_nxt, before + 5);
            match l.handle {
                None => l.accept(),
                Some(handle) => assert!(l.engine.events.contains(&Event::Readable(handle))),
            }
            let overlapping = seg(l, ACK, -3, 4);
            assert_eq!(l.inject(&overlapping).rule, Rule::PayloadInOrder);
            let too_much = Seg::new(ACK, before + 6, l.model.snd_nxt, BUFFER, l.peer_wnd);
            assert_eq!(l.inject(&too_much).rule, Rule::PayloadInOrder);
            assert_eq!(l.engine.only().ack, before + BUFFER, "trimmed to the window");
            assert_eq!(l.recv(), rig::stream(before, BUFFER));
        });
    }
}

#[test]
fn established_payload_beyond_gap_is_held() {
    on_link(|l| {
        l.open();
        let before = l.model.rcv_nxt;
        for offset in [8, 4, 6] {
            let verdict = l.inject(&seg(l, ACK, offset, 2));
            assert_verdict(l, verdict, Rule::PayloadOutOfOrder, Action::Accepted, State::Established);
            assert_empty_ack(l);
        }
        assert_eq!(l.recv(), [], "nothing is readable yet");
        let _ = l.say(ACK, 4);
        assert_eq!(l.model.rcv_nxt, before + 10);
        assert_eq!(l.recv(), rig::stream(before, 10));
    });
}

#[test]
fn established_sender_respects_the_window() {
    on_link(|l| {
        l.peer_wnd = 40;
        l.open();
        l.send(BUFFER);
        l.engine.wait(Duration::from_secs(5));
        l.look();
        let in_flight = l.model.snd_nxt - l.model.snd_una;
        assert!(in_flight > 0 && in_flight <= 40, "{in_flight} bytes in flight");
    });
}

#[test]
fn established_lost_payload_is_sent_again() {
    on_link(|l| {
        l.open();
        l.send(10);
        let first = l.engine.only().clone();
        for _ in 0..3 {
            assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
            let again = l.engine.only();
            assert_eq!((again.seq, &again.text), (first.seq, &first.text));
        }
        assert_eq!(l.status().unwrap().snd_nxt.0, l.model.snd_nxt, "SND.NXT is not rewound");
        l.peer_acks();
        l.engine.wait(Duration::from_secs(200));
        assert_silent(l);
    });
}
