//! Challenge ACKs (RFC 5961 §4, §7): who gets one, how often, and what follows when none answers.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{Action, CloseReason, Rule, State, Timer};

use crate::checks::{
    assert_challenged, assert_closed, assert_empty_ack, assert_silent, assert_untouched, on_link, seg, with_ack,
};
use crate::support::rig::reach::{SYNCHRONIZED, Script, cross, knock, open, time_wait};
use crate::support::rig::{BUFFER, Rig};
use crate::support::table;
use crate::support::table::{ACK, FIN, RST, SYN, Seg};

#[test]
fn established_unanswered_challenge_is_repeated_twice() {
    let rst_at = [1, BUFFER.cast_signed(), -1];
    for offset in rst_at {
        on_link(|l| {
            l.open();
            let _ = l.inject(&seg(l, RST, offset, 0));
            assert_empty_ack(l);
            for _ in 0..2 {
                assert_eq!(l.engine.next_deadline(), Timer::Challenge);
                assert_empty_ack(l);
            }
            l.engine.wait(Duration::from_secs(3_600));
            assert_silent(l);
            assert_eq!(l.engine.deadline, None, "the connection lives, nothing is due");
            assert_eq!(l.state(), State::Established);
        });
        on_link(|l| {
            l.open();
            let _ = l.inject(&seg(l, RST, offset, 0));
            assert_eq!(l.engine.next_deadline(), Timer::Challenge);
            assert_eq!(l.inject(&seg(l, RST, 0, 0)).rule, Rule::RstExact, "the second one is answered");
            assert_closed(l, CloseReason::ResetByPeer);
        });
        on_link(|l| {
            l.open();
            let _ = l.inject(&seg(l, RST, offset, 0));
            let _ = l.say(ACK, 0);
            assert_silent(l);
            l.engine.wait(Duration::from_secs(3_600));
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
                    l.engine.deadline.is_some_and(|(_, timer)| timer == Timer::Challenge),
                    repeated,
                    "{offset} {len}"
                );
                if repeated {
                    assert_eq!(l.engine.next_deadline(), Timer::Challenge);
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
                challenges += l.engine.sent.len();
                l.engine.wait(Duration::from_millis(100));
                challenges += l.engine.sent.len();
            }
            assert!((22..=30).contains(&challenges), "two periods of the quota and the repetitions: {challenges}");
        });
    }
}

#[test]
fn established_challenged_peer_answers_exactly() {
    on_link(|l| {
        l.open();
        assert_challenged(l, &seg(l, RST, 1, 0), Rule::RstInWindow);
        let answer = Seg::new(RST, l.engine.only().ack, 0, 0, 0);
        assert_eq!(l.inject(&answer).rule, Rule::RstExact);
        assert_closed(l, CloseReason::ResetByPeer);
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

#[test]
fn challenge_quota_limits_each_record_alone() {
    // Where a SYN,ACK would be believed, or a SYN alone, it is the other.
    let syn_elsewhere = |l: &Rig<'_>| {
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
            l.engine.wait(Duration::from_millis(1));
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
                    let now = l.engine.now;
                    l.engine.now = now + Duration::from_millis(4_200);
                }
            }
        });
    }
    on_link(|l| {
        l.open();
        for _ in 0..15 {
            let _ = l.inject(&syn_elsewhere(l));
        }
        let (first, idle) = (l.peer, model_before_the_handshake(l));
        l.peer = SocketAddr::new(l.family.host(9), first.port());
        l.model = idle;
        l.open();
        assert_untouched(l, &syn_elsewhere(l), Rule::SynSynchronized, Action::Challenged);
    });
}

/// The books of a peer that has not spoken yet.
fn model_before_the_handshake(rig: &Rig<'_>) -> table::Model {
    table::Model { snd_una: 0, snd_nxt: 0, snd_wnd: 0, max_snd_wnd: 0, rcv_nxt: rig.isn, ..rig.model }
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
