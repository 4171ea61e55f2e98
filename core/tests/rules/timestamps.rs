//! Timestamps: what is not taken for an old one, and what never is refused for one.
#![cfg(feature = "timestamps")]

use tcp_reset_core::{Action, CloseReason, Rule};

use crate::checks::{
    assert_closed, assert_empty_ack, assert_silent, assert_untouched, assert_verdict, on_link, seg, with_ack,
};
use crate::support::rig::Rig;
use crate::support::rig::reach::{OTHER_STATES, SYN_RECEIVED, SYNCHRONIZED, open, time_wait};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg};

/// The peer's clock; the second one has wrapped just now.
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

/// Segments from before the peer's latest are acknowledged, but for the one that others may have overtaken.
fn refuses_old(l: &mut Rig<'_>, now: u32) {
    for age in [1, 2, 0x8000_0000] {
        let old = now.wrapping_sub(age);
        assert_untouched(l, &with_stamp(seg(l, ACK, 0, 0), old), Rule::TimestampOld, Action::Dropped);
        assert_silent(l);
        for (flags, text) in [(ACK | PSH, 5), (FIN | ACK, 0), (0, 0)] {
            assert_untouched(l, &with_stamp(seg(l, flags, 0, text), old), Rule::TimestampOld, Action::Acknowledged);
            assert_empty_ack(l);
        }
    }
}

#[test]
fn established_old_timestamp_is_acknowledged() {
    for reach in OTHER_STATES {
        with_clock(reach, refuses_old);
        // Whatever its age, one that is not before goes on.
        with_clock(reach, |l, now| {
            let verdict = l.inject(&with_stamp(seg(l, ACK, 0, 0), now.wrapping_add(0x7fff_ffff)));
            assert_eq!(verdict.action, Action::Accepted, "{verdict:?}");
        });
    }
    for reach in SYNCHRONIZED {
        with_clock(reach, |l, now| {
            let old = now.wrapping_sub(9);
            // The sequence number is asked first.
            let keepalive = with_stamp(seg(l, ACK, -1, 0), old);
            assert_untouched(l, &keepalive, Rule::SeqUnacceptable, Action::Acknowledged);
            let syn = with_stamp(seg(l, SYN, 0, 0), old);
            assert_untouched(l, &syn, Rule::SynSynchronized, Action::Challenged);
            let _ = l.inject(&with_stamp(seg(l, RST, 0, 0), old));
            assert_closed(l, CloseReason::ResetByPeer);
        });
    }
    with_clock(open, |l, now| {
        // Who knows an acknowledgment and brings payload is answered however often.
        for _ in 0..40 {
            let again = with_stamp(seg(l, ACK, 0, 5), now.wrapping_sub(1));
            assert_untouched(l, &again, Rule::TimestampOld, Action::Acknowledged);
        }
        let bad = with_ack(with_stamp(seg(l, ACK, 0, 5), now.wrapping_sub(1)), l.model.snd_nxt.wrapping_add(7));
        let actions: Vec<_> = (0..20).map(|_| l.inject(&bad).action).collect();
        assert_eq!(actions.iter().filter(|action| **action == Action::Limited).count(), 10);
    });
}

#[test]
fn established_segment_without_timestamp_is_taken() {
    for reach in SYN_RECEIVED.into_iter().chain([open as fn(&mut Rig<'_>)]) {
        with_clock(reach, |l, now| {
            let state = l.state();
            let verdict = l.inject(&with_stamp(seg(l, ACK, 0, 5), None));
            assert_verdict(l, verdict, Rule::PayloadInOrder, Action::Accepted, state);
            l.look();
            assert_eq!(l.model.recent, Some(now), "TS.Recent stays, and is echoed");
            let verdict = l.say(ACK, 5);
            assert_eq!(verdict.action, Action::Accepted, "{verdict:?}");
        });
    }
}

#[test]
fn time_wait_old_timestamp_is_acknowledged() {
    with_clock(time_wait, |l, now| {
        refuses_old(l, now);
        assert_untouched(l, &with_stamp(seg(l, ACK, 0, 0), None), Rule::TimeWaitOther, Action::Dropped);
        // RFC 1337 holds with timestamps.
        assert_untouched(l, &with_stamp(seg(l, RST, 0, 0), now.wrapping_sub(1)), Rule::RstTimeWait, Action::Dropped);
    });
}
