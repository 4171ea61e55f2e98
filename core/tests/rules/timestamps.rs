//! Timestamps: what is dropped for want of one, what for an old one, and what never is.
#![cfg(feature = "timestamps")]

use tcp_reset_core::{Action, CloseReason, Rule, State};

use crate::checks::{
    assert_challenged, assert_closed, assert_empty_ack, assert_silent, assert_untouched, assert_verdict, on_link, seg,
    with_ack,
};
use crate::support::rig::Rig;
use crate::support::rig::reach::{OTHER_STATES, SYN_RECEIVED, SYNCHRONIZED, open, time_wait};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg};

/// The peer's clock; the second one is about to wrap.
const CLOCKS: [u32; 2] = [70_000, 3];

fn with_stamp(seg: Seg, stamp: impl Into<Option<u32>>) -> Seg {
    Seg { stamp: stamp.into(), ..seg }
}

/// Runs a test on a fresh connection of a peer with timestamps.
fn with_clock(reach: impl Fn(&mut Rig<'_>), test: impl Fn(&mut Rig<'_>, u32)) {
    for now in CLOCKS {
        on_link(|l| {
            l.stamp = Some(now);
            reach(l);
            assert_eq!(l.state(), l.model.state);
            assert_eq!(l.model.recent, Some(now), "both ends have them");
            test(l, now);
        });
    }
}

#[test]
fn established_segment_without_timestamp_is_dropped() {
    for reach in SYNCHRONIZED {
        with_clock(reach, |l, _| {
            let edge = l.model.rcv_wnd as i32;
            for (flags, offset, text) in
                [(ACK, 0, 0), (ACK, 0, 5), (ACK | PSH, 3, 5), (FIN | ACK, 0, 0), (0, 0, 0), (ACK, edge, 0)]
            {
                let bare = with_stamp(seg(l, flags, offset, text), None);
                if text == 0 && flags & FIN == 0 && offset > 0 || l.model.rcv_wnd > 0 {
                    assert_untouched(l, &bare, Rule::TimestampMissing, Action::Dropped);
                    assert_silent(l);
                }
            }
            // The sequence number is asked first: a probe for the connection is answered.
            assert_untouched(l, &with_stamp(seg(l, ACK, -1, 0), None), Rule::SeqUnacceptable, Action::Acknowledged);
            assert_empty_ack(l);
            // A SYN and an RST need none.
            let syn = with_stamp(seg(l, SYN, 0, 0), None);
            assert_untouched(l, &syn, Rule::SynSynchronized, Action::Challenged);
            assert_challenged(l, &with_stamp(seg(l, RST, 1, 0), None), Rule::RstInWindow);
            let _ = l.inject(&with_stamp(seg(l, RST, 0, 0), None));
            assert_closed(l, CloseReason::ResetByPeer);
        });
    }
}

#[test]
fn established_old_timestamp_is_acknowledged() {
    for reach in OTHER_STATES {
        with_clock(reach, |l, now| {
            for age in [1, 2, 0x8000_0000] {
                let old = now.wrapping_sub(age);
                for (flags, text) in [(ACK, 0), (ACK | PSH, 5), (FIN | ACK, 0), (0, 0)] {
                    assert_untouched(
                        l,
                        &with_stamp(seg(l, flags, 0, text), old),
                        Rule::TimestampOld,
                        Action::Acknowledged,
                    );
                    assert_empty_ack(l);
                }
            }
        });
        // Whatever its age, the latest that is not before goes on.
        with_clock(reach, |l, now| {
            let verdict = l.inject(&with_stamp(seg(l, ACK, 0, 0), now.wrapping_add(0x7fff_ffff)));
            assert_eq!(verdict.action, Action::Accepted, "{verdict:?}");
        });
    }
    for reach in SYNCHRONIZED {
        with_clock(reach, |l, now| {
            let old = now.wrapping_sub(9);
            let syn = with_stamp(seg(l, SYN, 0, 0), old);
            assert_untouched(l, &syn, Rule::SynSynchronized, Action::Challenged);
            let _ = l.inject(&with_stamp(seg(l, RST, 0, 0), old));
            assert_closed(l, CloseReason::ResetByPeer);
        });
    }
    with_clock(open, |l, now| {
        // Who knows an acknowledgment and brings payload is answered however often.
        for _ in 0..40 {
            let again = with_stamp(seg(l, ACK, 0, 5), now - 1);
            assert_untouched(l, &again, Rule::TimestampOld, Action::Acknowledged);
        }
        let bad = with_ack(with_stamp(seg(l, ACK, 0, 5), now - 1), l.model.snd_nxt + 7);
        let actions: Vec<_> = (0..20).map(|_| l.inject(&bad).action).collect();
        assert_eq!(actions.iter().filter(|action| **action == Action::Limited).count(), 10);
    });
}

#[test]
fn syn_received_ack_without_timestamp_goes_on_without() {
    for reach in SYN_RECEIVED {
        with_clock(reach, |l, _| {
            let mss = l.status().map(|status| status.mss);
            let verdict = l.inject(&with_stamp(seg(l, ACK, 0, 0), None));
            assert_verdict(l, verdict, Rule::AckEstablishes, Action::Accepted, State::SynReceived);
            l.stamp = None;
            if let (Some(status), Some(mss)) = (l.status(), mss) {
                assert_eq!((status.timestamps, status.mss), (false, mss + 12));
            }
            let verdict = l.inject(&seg(l, ACK, 0, 5));
            assert_verdict(l, verdict, Rule::PayloadInOrder, Action::Accepted, State::Established);
            assert_eq!(l.engine.only().options, []);
        });
    }
}

#[test]
fn time_wait_segment_without_timestamp_is_dropped() {
    with_clock(time_wait, |l, _| {
        for (flags, text) in [(ACK, 0), (ACK, 5), (0, 0), (FIN | ACK, 0)] {
            assert_untouched(l, &with_stamp(seg(l, flags, 0, text), None), Rule::TimestampMissing, Action::Dropped);
            assert_silent(l);
        }
        assert_untouched(l, &with_stamp(seg(l, ACK, -1, 0), None), Rule::SeqUnacceptable, Action::Acknowledged);
    });
}

#[test]
fn time_wait_old_timestamp_is_acknowledged() {
    with_clock(time_wait, |l, now| {
        for (flags, text) in [(ACK, 0), (ACK, 5), (0, 0), (FIN | ACK, 0)] {
            let old = with_stamp(seg(l, flags, 0, text), now.wrapping_sub(1));
            assert_untouched(l, &old, Rule::TimestampOld, Action::Acknowledged);
            assert_empty_ack(l);
        }
        // RFC 1337 holds with timestamps.
        assert_untouched(l, &with_stamp(seg(l, RST, 0, 0), now.wrapping_sub(1)), Rule::RstTimeWait, Action::Dropped);
    });
}
