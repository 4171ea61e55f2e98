//! CLOSED (RFC 9293 §3.10.7.1).

use tcp_reset_core::{Action, ResetReason, Rule, State};

use crate::checks::{assert_reset, assert_silent, assert_verdict, on_link};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg, URG};

#[test]
fn closed_rst_is_dropped() {
    on_link(|l| {
        for flags in [RST, RST | ACK, RST | SYN, RST | FIN] {
            let verdict = l.inject(&Seg::new(flags, 100, 200, 3, 0));
            assert_verdict(l, verdict, Rule::ClosedRst, Action::Dropped, State::Closed);
            assert_silent(l);
        }
    });
}

#[test]
fn closed_segment_without_ack_draws_rst_ack() {
    for (flags, text, len) in [(SYN, 0, 1), (SYN | FIN, 5, 7), (0, 0, 0), (0, 9, 9), (FIN, 2, 3), (PSH | URG, 1, 1)] {
        on_link(|l| {
            let verdict = l.inject(&Seg::new(flags, 0xffff_ffff, 200, text, 0));
            assert_verdict(l, verdict, Rule::ClosedNoAck, Action::Reset(ResetReason::NoConnection), State::Closed);
            assert_reset(l, RST | ACK, 0, 0xffff_ffff_u32.wrapping_add(len), ResetReason::NoConnection);
        });
    }
}

#[test]
fn closed_segment_with_ack_draws_rst_at_its_ack() {
    for flags in [ACK, ACK | SYN, ACK | FIN, ACK | PSH | URG] {
        on_link(|l| {
            let verdict = l.inject(&Seg::new(flags, 100, 200, 3, 0));
            assert_verdict(l, verdict, Rule::ClosedAck, Action::Reset(ResetReason::NoConnection), State::Closed);
            assert_eq!((l.engine.only().flags, l.engine.only().seq), (RST, 200));
            assert_eq!(l.engine.only().reason, Some(ResetReason::NoConnection));
        });
    }
}
