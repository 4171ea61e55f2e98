//! What each row of the rule table means, for a machine: when it decides, and what it brings about.
//!
//! The checks are ordered as the rows are. The first whose states hold the connection's and whose `holds` says yes decides about a segment;
//! its `effect` says what goes out and what the record looks like afterwards. Derived from RFC 9293, RFC 5961, RFC 1337 and RFC 6191, not
//! from the engine.
#![allow(dead_code, reason = "every program that includes the table needs another part of it")]

use std::sync::LazyLock;

use tcp_reset_core::{Action, CloseReason, RULE_TABLE, ResetReason, RstPolicy, RuleRow, State};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
pub(crate) const URG: u8 = 32;

/// The computable part of a row.
pub(crate) struct Check {
    /// The test that the row names.
    test: &'static str,
    /// The states it applies in.
    pub(crate) on: &'static [State],
    /// Returns whether the row decides, given that no earlier one does.
    holds: fn(&Model, &Seg) -> bool,
    /// Says what happens.
    effect: fn(&Model, &Seg) -> Effect,
}

/// A segment as the rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seg {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) wnd: u32,
    /// Bytes of text.
    pub(crate) text: u32,
    pub(crate) well_formed: bool,
    pub(crate) checksum_right: bool,
    pub(crate) answerable: bool,
    pub(crate) is_fragment: bool,
    /// It stands behind more IPv6 extension headers than are stepped over.
    pub(crate) has_too_many_headers: bool,
    /// TSval, where it has the timestamps option.
    pub(crate) stamp: Option<u32>,
}

/// What a listener on the connection's port would do with a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Port {
    /// Nobody listens.
    Closed,
    Takes,
    FullDrops,
    FullRefuses,
}

/// Text that arrived beyond a gap: `[start, start + len)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// A connection record reduced to what the rules ask about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Model {
    pub(crate) state: State,
    pub(crate) port: Port,
    /// Opened by a listener.
    pub(crate) passive: bool,
    /// A completed handshake finds a slot, buffers and room in the backlog.
    pub(crate) has_slot: bool,
    /// The application closed both ways and gave its handle up.
    pub(crate) app_gone: bool,
    /// Half-open while the TIME-WAIT record of an earlier connection is still there.
    pub(crate) over_time_wait: bool,
    /// The connection has sent as many challenge ACKs as its limit allows for now.
    pub(crate) exhausted: bool,
    pub(crate) iss: u32,
    pub(crate) snd_una: u32,
    pub(crate) snd_nxt: u32,
    pub(crate) snd_wnd: u32,
    pub(crate) max_snd_wnd: u32,
    pub(crate) snd_wl1: u32,
    pub(crate) snd_wl2: u32,
    /// Our FIN is on its way, at SND.NXT-1.
    pub(crate) fin_sent: bool,
    /// Bytes queued and never sent.
    pub(crate) queued: u32,
    /// A FIN follows the queued bytes.
    pub(crate) fin_queued: bool,
    /// A window probe with one queued byte is unanswered.
    pub(crate) probing: bool,
    pub(crate) irs: u32,
    pub(crate) rcv_nxt: u32,
    pub(crate) rcv_wnd: u32,
    /// The last acknowledgment that went out, while a later one is held back.
    pub(crate) delayed_from: Option<u32>,
    pub(crate) held: Option<Held>,
    pub(crate) policy: RstPolicy,
    /// TS.Recent, where both SYNs had the timestamps option.
    pub(crate) recent: Option<u32>,
}

/// What has to go out in answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Nothing,
    Segment {
        flags: u8,
        seq: u32,
        ack: u32,
        text: u32,
        reason: Option<ResetReason>,
    },
    /// An acknowledgment alone, and queued text behind it.
    AckThenText {
        flags: u8,
        seq: u32,
        ack: u32,
        text: u32,
    },
    /// A SYN,ACK with an initial sequence number of its own, beyond `beyond` where one is given.
    NewSynAck {
        ack: u32,
        beyond: Option<u32>,
    },
    /// An RST at `seq`, and our SYN again behind it.
    ResetThenSyn {
        seq: u32,
        reason: ResetReason,
    },
}

/// What a segment brings about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect {
    pub(crate) action: Action,
    pub(crate) reply: Reply,
    pub(crate) after: Model,
    pub(crate) closed: Option<CloseReason>,
}

/// The rows that one segment shows, each with its check.
pub(crate) static CHECKED: LazyLock<Vec<(&'static RuleRow, &'static Check)>> = LazyLock::new(|| {
    let rows: Vec<_> = RULE_TABLE.iter().filter(|row| row.rule.is_some()).collect();
    assert_eq!(rows.len(), CHECKS.len(), "each row with a rule has a check");
    let pair = |(row, check): (&'static RuleRow, &'static Check)| {
        assert_eq!(row.test, check.test, "the checks stand in the order of the rows");
        (row, check)
    };
    rows.into_iter().zip(CHECKS).map(pair).collect()
});

/// Finds the row that decides about `seg` and computes what it brings about.
pub(crate) fn decide(model: &Model, seg: &Seg) -> (&'static RuleRow, Effect) {
    for (row, check) in &*CHECKED {
        if check.on.contains(&model.state) && (check.holds)(model, seg) {
            return (row, (check.effect)(model, seg));
        }
    }
    panic!("no row decides about {seg:?} in {model:?}");
}

const ANY: &[State] = &State::ALL;
const CLOSED: &[State] = &[State::Closed];
const LISTEN: &[State] = &[State::Listen];
const SYN_SENT: &[State] = &[State::SynSent];
const SYN_RECEIVED: &[State] = &[State::SynReceived];
const TIME_WAIT: &[State] = &[State::TimeWait];
const LAST_ACK: &[State] = &[State::LastAck];
const CLOSING: &[State] = &[State::Closing];
const FIN_WAIT_1: &[State] = &[State::FinWait1];
const FIN_WAITS: &[State] = &[State::FinWait1, State::FinWait2];
const CLOSING_LAST_ACK: &[State] = &[State::Closing, State::LastAck];
const OPEN: &[State] = &[State::Established, State::FinWait1, State::FinWait2, State::CloseWait];
const RECEIVING: &[State] = &[State::Established, State::FinWait1, State::FinWait2];
const FROM_SYN_RECEIVED: &[State] = &[State::SynReceived, State::Established, State::FinWait1, State::FinWait2];
const AFTER_FIN: &[State] = &[State::CloseWait, State::Closing, State::LastAck];
const SYNCHRONIZED: &[State] =
    &[State::Established, State::FinWait1, State::FinWait2, State::CloseWait, State::Closing, State::LastAck];
const OTHER: &[State] = &[
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
];

/// Writes checks as `test; states; holds; effect`.
macro_rules! checks {
    ($( [$test:ident; $on:ident; $holds:expr; $effect:expr] )*) => {
        const CHECKS: &[Check] =
            &[ $( Check { test: stringify!($test), on: $on, holds: $holds, effect: $effect } ),* ];
    };
}

checks! {
    // Before any state is looked at.
    [any_state_malformed_header_is_dropped; ANY; |_, s| !s.well_formed; dropped]
    [any_state_wrong_checksum_is_dropped; ANY; |_, s| !s.checksum_right; dropped]
    [any_state_fragment_is_dropped; ANY; |_, s| s.is_fragment; dropped]
    [any_state_too_many_headers_are_dropped; ANY; |_, s| s.has_too_many_headers; dropped]
    [any_state_unanswerable_address_is_dropped; ANY; |_, s| !s.answerable; dropped]
    // 3.10.7.1
    [closed_rst_is_dropped; CLOSED; |_, s| s.has(RST); dropped]
    [closed_segment_without_ack_draws_rst_ack; CLOSED; |_, s| !s.has(ACK); reset_stranger]
    [closed_segment_with_ack_draws_rst_at_its_ack; CLOSED; |_, _| true; |m, s| reset_at_ack(m, s, ResetReason::NoConnection)]
    // 3.10.7.2
    [listen_rst_is_ignored; LISTEN; |_, s| s.has(RST); dropped]
    [listen_ack_draws_rst; LISTEN; |_, s| s.has(ACK); |m, s| reset_at_ack(m, s, ResetReason::AckToListener)]
    [listen_syn_when_full_is_dropped; LISTEN; |m, s| s.has(SYN) && m.port == Port::FullDrops; dropped]
    [listen_syn_when_full_is_refused; LISTEN; |m, s| s.has(SYN) && m.port == Port::FullRefuses; refuse_syn]
    [listen_syn_makes_half_open_and_sends_syn_ack; LISTEN; |_, s| s.has(SYN); open_half]
    [listen_other_is_dropped; LISTEN; |_, _| true; dropped]
    // 3.10.7.3
    [syn_sent_rst_with_bad_ack_is_dropped; SYN_SENT; |m, s| s.has(ACK) && !m.acks_new(s) && s.has(RST); dropped]
    [syn_sent_bad_ack_draws_rst_and_goes_on; SYN_SENT; |m, s| s.has(ACK) && !m.acks_new(s); reset_then_syn]
    [syn_sent_rst_with_acceptable_ack_is_refused; SYN_SENT; |_, s| s.has(RST) && s.has(ACK); refused]
    [syn_sent_rst_without_ack_is_dropped; SYN_SENT; |_, s| s.has(RST); dropped]
    [syn_sent_syn_ack_establishes; SYN_SENT; |_, s| s.has(SYN) && s.has(ACK); establish_active]
    [syn_sent_syn_opens_simultaneously; SYN_SENT; |_, s| s.has(SYN); open_simultaneously]
    [syn_sent_other_is_dropped; SYN_SENT; |_, _| true; dropped]
    // TIME-WAIT, apart because nothing in it believes an RST and a SYN may start anew.
    [time_wait_rst_is_ignored; TIME_WAIT; |_, s| s.has(RST); dropped]
    [time_wait_bare_syn_reopens; TIME_WAIT; Model::is_reopened_by; reopen]
    [time_wait_other_syn_is_acknowledged; TIME_WAIT; |_, s| s.has(SYN); challenged]
    [time_wait_fin_again_restarts_the_wait; TIME_WAIT; Model::is_fin_again; acknowledged_again]
    [time_wait_old_segment_is_acknowledged; TIME_WAIT; |m, s| !m.seq_acceptable(s); acknowledged_within_limit]
    [time_wait_old_timestamp_is_acknowledged; TIME_WAIT; Model::is_before_recent; answer_old]
    [time_wait_segment_without_ack_is_dropped; TIME_WAIT; |_, s| !s.has(ACK); dropped]
    [time_wait_unacceptable_ack_is_challenged; TIME_WAIT; |m, s| !m.ack_acceptable(s); challenged]
    [time_wait_other_fin_is_acknowledged; TIME_WAIT; |_, s| s.has(FIN); acknowledged_limited]
    [time_wait_acceptable_segment_is_ignored; TIME_WAIT; |_, _| true; dropped]
    // 3.10.7.4 second check: an RST is judged by its sequence number alone.
    [syn_received_passive_rst_returns_to_listen; SYN_RECEIVED; |m, s| m.is_exact_rst(s) && m.passive; return_to_listen]
    [syn_received_active_rst_is_refused; SYN_RECEIVED; |m, s| m.is_exact_rst(s) && s.has(ACK) && m.acks_new(s); refused]
    [syn_received_active_unproven_rst_returns_to_syn_sent; SYN_RECEIVED; Model::is_exact_rst; return_to_syn_sent]
    [established_rst_at_rcv_nxt_resets; OPEN; Model::is_exact_rst; reset_by_peer]
    [closing_rst_at_rcv_nxt_resets; CLOSING_LAST_ACK; Model::is_exact_rst; reset_by_peer]
    [established_rst_at_last_ack_sent_resets_by_policy; RECEIVING; |m, s| s.has(RST) && m.policy.at_last_ack_sent && m.delayed_from == Some(s.seq); reset_by_peer]
    [close_wait_rst_before_fin_resets_by_policy; AFTER_FIN; |m, s| s.has(RST) && m.policy.before_fin && s.seq.wrapping_add(1) == m.rcv_nxt; reset_by_peer]
    [established_rst_in_window_sends_challenge_ack; OTHER; |m, s| s.has(RST) && m.in_window(s.seq); challenged]
    [established_rst_at_right_edge_sends_challenge_ack; OTHER; |m, s| s.has(RST) && s.seq == m.right_edge(); challenged]
    [established_rst_before_rcv_nxt_sends_challenge_ack; OTHER; |m, s| s.has(RST) && s.seq.wrapping_add(1) == m.rcv_nxt; challenged]
    [established_rst_outside_window_is_dropped; OTHER; |_, s| s.has(RST); dropped]
    // Fourth check. It stands before the sequence number's verdict because a SYN is answered wherever it sits.
    [syn_received_active_syn_ack_establishes; SYN_RECEIVED; |m, s| s.has(SYN) && s.has(ACK) && m.acks_new(s) && !m.passive; establish_active]
    [syn_received_syn_with_bad_ack_draws_rst; SYN_RECEIVED; |m, s| m.is_syn_again(s) && s.has(ACK) && !m.acks_new(s); |m, s| reset_at_ack(m, s, ResetReason::BadAckInHandshake)]
    [syn_received_syn_again_repeats_syn_ack; SYN_RECEIVED; Model::is_syn_again; repeat_syn_ack]
    [syn_received_other_syn_is_challenged; SYN_RECEIVED; |_, s| s.has(SYN); challenged]
    [established_syn_anywhere_sends_challenge_ack; SYNCHRONIZED; |_, s| s.has(SYN); challenged]
    // First check, for what is neither RST nor SYN.
    [syn_received_active_bad_ack_draws_rst_wherever; SYN_RECEIVED; |m, s| s.has(ACK) && !m.acks_new(s) && !m.passive; |m, s| reset_at_ack(m, s, ResetReason::BadAckInHandshake)]
    [established_unacceptable_sequence_is_acknowledged; OTHER; |m, s| !m.seq_acceptable(s) && !m.meets_zero_window(s) && !m.is_ack_at_right_edge(s) && !m.is_ack_of_crossed_probe(s); acknowledged_within_limit]
    [established_old_timestamp_is_acknowledged; OTHER; Model::is_before_recent; answer_old]
    [established_ack_of_crossed_probe_is_taken; SYNCHRONIZED; Model::is_ack_of_crossed_probe; take_ack_and_answer]
    // Fifth check.
    [established_segment_without_ack_is_dropped; OTHER; |_, s| !s.has(ACK); dropped]
    [syn_received_bad_ack_draws_rst_and_stays; SYN_RECEIVED; |m, s| !m.acks_new(s); |m, s| reset_at_ack(m, s, ResetReason::BadAckInHandshake)]
    [syn_received_ack_without_slot_is_dropped; SYN_RECEIVED; |m, _| m.passive && !m.has_slot; dropped]
    [established_unacceptable_ack_is_challenged; SYNCHRONIZED; |m, s| !m.ack_acceptable(s); challenged]
    [closing_ack_of_fin_enters_time_wait; CLOSING; Model::acks_our_fin; into_time_wait]
    [last_ack_ack_of_fin_closes; LAST_ACK; Model::acks_our_fin; close_after_peer]
    [established_zero_window_processes_ack_only; SYNCHRONIZED; Model::meets_zero_window; take_ack_only]
    // Seventh and eighth step.
    [fin_wait_payload_for_closed_application_resets; FIN_WAITS; |m, s| m.app_gone && m.has_new_text(s); reset_data_lost]
    [close_wait_payload_after_fin_is_ignored; AFTER_FIN; |_, s| s.len() > 0; |m, s| if s.has(FIN) { take_ack_and_answer(m, s) } else { take_ack_quietly(m, s) }]
    [established_fin_in_order_enters_close_wait; FROM_SYN_RECEIVED; Model::has_fin_in_order; take_all]
    [established_fin_beyond_gap_is_remembered; FROM_SYN_RECEIVED; Model::has_fin_in_window; take_all]
    [established_payload_in_order_is_taken; FROM_SYN_RECEIVED; Model::has_text_in_order; take_all]
    [established_payload_beyond_gap_is_held; FROM_SYN_RECEIVED; |_, s| s.text > 0; take_all]
    // A bare acknowledgment.
    [fin_wait_1_ack_of_fin_enters_fin_wait_2; FIN_WAIT_1; Model::acks_our_fin; take_ack_quietly]
    [established_ack_at_right_edge_is_taken; SYNCHRONIZED; Model::is_ack_at_right_edge; take_ack_quietly]
    [syn_received_ack_establishes; SYN_RECEIVED; |_, _| true; take_ack_quietly]
    [established_acceptable_ack_is_taken; SYNCHRONIZED; |_, _| true; take_ack_quietly]
    // What takes more than one segment to see.
}

impl Seg {
    /// A well formed segment from an honest address.
    pub(crate) const fn new(flags: u8, seq: u32, ack: u32, text: u32, wnd: u32) -> Seg {
        Seg {
            seq,
            ack,
            flags,
            wnd,
            text,
            well_formed: true,
            checksum_right: true,
            answerable: true,
            is_fragment: false,
            has_too_many_headers: false,
            stamp: None,
        }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// SEG.LEN: text, and one each for SYN and FIN.
    pub(crate) fn len(&self) -> u32 {
        self.text + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// Where its FIN sits, if it has one.
    fn fin_at(&self) -> u32 {
        self.seq.wrapping_add(u32::from(self.has(SYN))).wrapping_add(self.text)
    }
}

/// How far `a` lies beyond `b`; negative where it lies before.
pub(crate) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

// The questions the rules ask.
impl Model {
    pub(crate) fn in_window(&self, seq: u32) -> bool {
        seq.wrapping_sub(self.rcv_nxt) < self.rcv_wnd
    }

    /// The four cases of §3.10.7.4, table 6.
    pub(crate) fn seq_acceptable(&self, s: &Seg) -> bool {
        let last = s.seq.wrapping_add(s.len()).wrapping_sub(1);
        match (s.len() > 0, self.rcv_wnd > 0) {
            (false, false) => s.seq == self.rcv_nxt,
            (false, true) => self.in_window(s.seq),
            // A FIN alone takes no room.
            (true, false) => s.text == 0 && s.seq == self.rcv_nxt && self.state != State::TimeWait,
            (true, true) => self.in_window(s.seq) || self.in_window(last),
        }
    }

    fn meets_zero_window(&self, s: &Seg) -> bool {
        self.rcv_wnd == 0 && s.seq == self.rcv_nxt && s.text > 0
    }

    fn is_ack_at_right_edge(&self, s: &Seg) -> bool {
        let is_empty_ack = s.len() == 0 && s.has(ACK) && self.ack_acceptable(s);
        let is_synchronized = self.state != State::SynReceived;
        is_synchronized && self.rcv_wnd > 0 && is_empty_ack && s.seq == self.right_edge()
    }

    /// Appendix A.2.
    fn is_ack_of_crossed_probe(&self, s: &Seg) -> bool {
        let is_one_behind = s.len() == 0 && s.has(ACK) && s.seq == self.rcv_nxt.wrapping_sub(1);
        self.probing && is_one_behind && s.ack == self.ack_limit()
    }

    /// RFC 7323 §5.3 R1.
    fn is_before_recent(&self, s: &Seg) -> bool {
        self.recent.zip(s.stamp).is_some_and(|(recent, stamp)| ahead(stamp, recent) < 0)
    }

    /// TS.Recent after a segment that is accepted (RFC 7323 §5.3 R3): the latest that stands at or before the last acknowledgment sent.
    fn recent_after(&self, s: &Seg) -> Option<u32> {
        let recent = self.recent?;
        let last_ack_sent = self.delayed_from.unwrap_or(self.rcv_nxt);
        let is_noted = |stamp: &u32| ahead(*stamp, recent) >= 0 && ahead(s.seq, last_ack_sent) <= 0;
        s.stamp.filter(is_noted).or(Some(recent))
    }

    fn is_exact_rst(&self, s: &Seg) -> bool {
        s.has(RST) && s.seq == self.rcv_nxt
    }

    fn is_syn_again(&self, s: &Seg) -> bool {
        s.has(SYN) && s.seq == self.irs
    }

    fn is_reopened_by(&self, s: &Seg) -> bool {
        let alone = s.has(SYN) && !s.has(ACK) && !s.has(FIN);
        // RFC 6191 §2.
        let is_new = match (s.stamp, self.recent) {
            (Some(stamp), Some(recent)) if stamp != recent => ahead(stamp, recent) > 0,
            (Some(_), None) if cfg!(feature = "timestamps") => true,
            _ => ahead(s.seq, self.rcv_nxt) >= 0,
        };
        alone && is_new && self.port == Port::Takes
    }

    fn is_fin_again(&self, s: &Seg) -> bool {
        let ends_there = s.seq.wrapping_add(s.len()) == self.rcv_nxt;
        s.has(FIN) && s.has(ACK) && ends_there && s.ack == self.snd_nxt && !self.is_before_recent(s)
    }

    /// (SND.UNA, SND.NXT]
    fn acks_new(&self, s: &Seg) -> bool {
        self.acks_in(s.ack, self.snd_nxt)
    }

    fn acks_in(&self, ack: u32, upto: u32) -> bool {
        let room = upto.wrapping_sub(self.snd_una);
        let offset = ack.wrapping_sub(self.snd_una);
        offset != 0 && offset <= room
    }

    /// The most that may be acknowledged: what was sent, and a probe's byte.
    fn ack_limit(&self) -> u32 {
        self.snd_nxt.wrapping_add(u32::from(self.probing))
    }

    /// [SND.UNA-MAX.SND.WND, SND.NXT]
    pub(crate) fn ack_acceptable(&self, s: &Seg) -> bool {
        let lowest = self.snd_una.wrapping_sub(self.max_snd_wnd);
        s.ack.wrapping_sub(lowest) <= self.ack_limit().wrapping_sub(lowest)
    }

    fn acks_our_fin(&self, s: &Seg) -> bool {
        self.fin_sent && s.ack == self.snd_nxt
    }

    fn right_edge(&self) -> u32 {
        self.rcv_nxt.wrapping_add(self.rcv_wnd)
    }

    fn has_new_text(&self, s: &Seg) -> bool {
        s.text > 0 && ahead(s.seq.wrapping_add(s.text), self.rcv_nxt) > 0
    }

    fn has_text_in_order(&self, s: &Seg) -> bool {
        self.has_new_text(s) && ahead(s.seq, self.rcv_nxt) <= 0
    }

    fn has_fin_in_window(&self, s: &Seg) -> bool {
        s.has(FIN) && (self.in_window(s.fin_at()) || s.fin_at() == self.right_edge())
    }

    fn has_fin_in_order(&self, s: &Seg) -> bool {
        self.has_fin_in_window(s) && s.fin_at() == with_text(*self, s).rcv_nxt
    }

    /// Returns whether the segment ends the stream before text that was sent already: no rule tells which of them to believe.
    pub(crate) fn is_contradicted_by(&self, s: &Seg) -> bool {
        let Some(held) = self.held else { return false };
        s.has(FIN) && ahead(s.fin_at(), held.start.wrapping_add(held.len)) < 0
    }

    /// What a stranger finds at these endpoints once the connection is gone.
    fn gone(&self) -> Model {
        let state = match self.port {
            _ if self.over_time_wait => State::TimeWait,
            Port::Closed => State::Closed,
            Port::Takes | Port::FullDrops | Port::FullRefuses => State::Listen,
        };
        Model { state, ..*self }
    }

    /// Returns whether an unacceptable segment is answered without limit: one of a peer that proves by its ACK that it sees what we
    /// send, and that repeats text or asks whether we live.
    fn owes_answer(&self, s: &Seg) -> bool {
        let proves =
            s.has(ACK) && if self.state == State::SynReceived { self.acks_new(s) } else { self.ack_acceptable(s) };
        proves && (s.text > 0 || s.seq.wrapping_add(1) == self.rcv_nxt)
    }
}

// The steps that change a record.

/// Fifth check: the acknowledgment and the window.
fn with_ack(m: Model, s: &Seg) -> Model {
    let mut next = m;
    if m.acks_in(s.ack, m.ack_limit()) {
        next.snd_una = s.ack;
        // The right edge stays until a segment that is new enough moves it.
        next.snd_wnd = m.snd_wnd.saturating_sub(s.ack.wrapping_sub(m.snd_una));
        if ahead(s.ack, m.snd_nxt) > 0 {
            next.snd_nxt = s.ack;
            next.queued -= 1;
        }
        next.probing = false;
    }
    next.recent = m.recent_after(s);
    let established = m.state == State::SynReceived;
    next.over_time_wait &= !established;
    let current = ahead(s.ack, next.snd_una) >= 0;
    let fresh = ahead(s.seq, m.snd_wl1) > 0 || (s.seq == m.snd_wl1 && ahead(s.ack, m.snd_wl2) >= 0);
    if established || (current && fresh) {
        next.snd_wnd = s.wnd;
        next.max_snd_wnd = next.max_snd_wnd.max(s.wnd);
        next.snd_wl1 = s.seq;
        next.snd_wl2 = s.ack;
    }
    next.state = match m.state {
        State::SynReceived => State::Established,
        State::FinWait1 if m.acks_our_fin(s) => State::FinWait2,
        State::Closing if m.acks_our_fin(s) => State::TimeWait,
        State::LastAck if m.acks_our_fin(s) => State::Closed,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => m.state,
    };
    settled(next)
}

/// Seventh step: text, trimmed to the window.
fn with_text(m: Model, s: &Seg) -> Model {
    let mut next = m;
    if !m.has_text_in_order(s) {
        return with_gap(next, s);
    }
    let end = s.seq.wrapping_add(u32::from(s.has(SYN))).wrapping_add(s.text);
    next.rcv_nxt = if ahead(end, m.right_edge()) > 0 { m.right_edge() } else { end };
    if let Some(held) = m.held
        && ahead(next.rcv_nxt, held.start) >= 0
    {
        let held_end = held.start.wrapping_add(held.len);
        next.rcv_nxt = if ahead(held_end, next.rcv_nxt) > 0 { held_end } else { next.rcv_nxt };
        next.held = None;
    }
    next.rcv_wnd = m.right_edge().wrapping_sub(next.rcv_nxt);
    next
}

/// Text beyond a gap, trimmed to the window. The model knows one gap.
fn with_gap(m: Model, s: &Seg) -> Model {
    let len = s.text.min(m.right_edge().wrapping_sub(s.seq));
    let is_beyond = ahead(s.seq, m.rcv_nxt) > 0 && len > 0;
    if is_beyond && m.held.is_none() { Model { held: Some(Held { start: s.seq, len }), ..m } } else { m }
}

/// Eighth step: FIN, if it is in order.
fn with_fin(m: Model, s: &Seg) -> Model {
    if !(m.has_fin_in_window(s) && s.fin_at() == m.rcv_nxt) {
        return m;
    }
    let state = match m.state {
        State::Established => State::CloseWait,
        State::FinWait1 => State::Closing,
        State::FinWait2 => State::TimeWait,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => m.state,
    };
    settled(Model { state, rcv_nxt: m.rcv_nxt.wrapping_add(1), rcv_wnd: m.rcv_wnd.saturating_sub(1), held: None, ..m })
}

/// A TIME-WAIT record no longer knows the windows its peer offered: the largest counts.
fn settled(m: Model) -> Model {
    let max_snd_wnd = if m.state == State::TimeWait { 65_535 } else { m.max_snd_wnd };
    Model { max_snd_wnd, ..m }
}

/// Queued text that the peer's window now admits; it carries the acknowledgment.
fn released(m: &mut Model) -> Option<Reply> {
    let usable = ahead(m.snd_una.wrapping_add(m.snd_wnd), m.snd_nxt);
    let wanted = m.queued + u32::from(m.fin_queued);
    if wanted == 0 || usable < wanted.cast_signed() {
        return None;
    }
    let flags = if m.fin_queued { ACK | FIN } else { ACK };
    let reply = Reply::Segment { flags, seq: m.snd_nxt, ack: m.rcv_nxt, text: m.queued, reason: None };
    m.snd_nxt = m.snd_nxt.wrapping_add(wanted);
    m.fin_sent = m.fin_queued;
    m.queued = 0;
    m.fin_queued = false;
    m.probing = false;
    Some(reply)
}

// The answers.

/// An acknowledgment; queued text that may go carries it, but where text is held beyond a gap it stays a duplicate (RFC 5681 §2).
fn answer(m: &mut Model) -> Reply {
    match released(m) {
        Some(Reply::Segment { flags, seq, ack, text, .. }) if m.held.is_some() => {
            Reply::AckThenText { flags, seq, ack, text }
        }
        Some(reply) => reply,
        None => ack_of(m),
    }
}

fn ack_of(m: &Model) -> Reply {
    Reply::Segment { flags: ACK, seq: m.snd_nxt, ack: m.rcv_nxt, text: 0, reason: None }
}

fn untouched(m: &Model, action: Action, reply: Reply) -> Effect {
    Effect { action, reply, after: *m, closed: None }
}

fn dropped(m: &Model, _: &Seg) -> Effect {
    untouched(m, Action::Dropped, Reply::Nothing)
}

fn acknowledged(m: &Model, _: &Seg) -> Effect {
    untouched(m, Action::Acknowledged, ack_of(m))
}

fn withheld(m: &Model) -> Effect {
    untouched(m, Action::Limited, Reply::Nothing)
}

/// The peer's last word comes again, with a timestamp as late as the one before or later.
fn acknowledged_again(m: &Model, s: &Seg) -> Effect {
    let renewed = Model { recent: m.recent_after(s), ..*m };
    Effect { after: renewed, ..acknowledged(&renewed, s) }
}

fn acknowledged_within_limit(m: &Model, s: &Seg) -> Effect {
    if m.exhausted && !m.owes_answer(s) { withheld(m) } else { acknowledged(m, s) }
}

/// RFC 7323 §5.3 R1. An acknowledgment that others have overtaken asks for nothing.
fn answer_old(m: &Model, s: &Seg) -> Effect {
    let is_believable = if m.state == State::SynReceived { m.acks_new(s) } else { m.ack_acceptable(s) };
    let is_overtaken = s.len() == 0 && s.seq == m.rcv_nxt && s.has(ACK) && is_believable;
    if is_overtaken {
        dropped(m, s)
    } else if m.exhausted && (s.text == 0 || !s.has(ACK) || !is_believable) {
        withheld(m)
    } else {
        acknowledged(m, s)
    }
}

fn challenged(m: &Model, _: &Seg) -> Effect {
    if m.exhausted { withheld(m) } else { untouched(m, Action::Challenged, ack_of(m)) }
}

fn rst_ack(m: &Model, s: &Seg, reason: ResetReason) -> Effect {
    let ack = s.seq.wrapping_add(s.len());
    let reply = Reply::Segment { flags: RST | ACK, seq: 0, ack, text: 0, reason: Some(reason) };
    untouched(m, Action::Reset(reason), reply)
}

fn reset_stranger(m: &Model, s: &Seg) -> Effect {
    rst_ack(m, s, ResetReason::NoConnection)
}

fn refuse_syn(m: &Model, s: &Seg) -> Effect {
    rst_ack(m, s, ResetReason::ListenerFull)
}

fn reset_at_ack(m: &Model, s: &Seg, reason: ResetReason) -> Effect {
    let reply = Reply::Segment { flags: RST, seq: s.ack, ack: 0, text: 0, reason: Some(reason) };
    untouched(m, Action::Reset(reason), reply)
}

fn acknowledged_limited(m: &Model, s: &Seg) -> Effect {
    if m.exhausted { withheld(m) } else { acknowledged(m, s) }
}

/// The peer's old connection is over then, and our SYN need not wait for its timer.
fn reset_then_syn(m: &Model, s: &Seg) -> Effect {
    let reason = ResetReason::BadAckInHandshake;
    if m.exhausted {
        return reset_at_ack(m, s, reason);
    }
    untouched(m, Action::Reset(reason), Reply::ResetThenSyn { seq: s.ack, reason })
}

fn return_to_syn_sent(m: &Model, _: &Seg) -> Effect {
    let syn = Reply::Segment { flags: SYN, seq: m.iss, ack: 0, text: 0, reason: None };
    let reply = if m.exhausted { Reply::Nothing } else { syn };
    let after = Model { state: State::SynSent, recent: None, ..*m };
    Effect { action: Action::ReturnedToSynSent, reply, after, closed: None }
}

fn ended(m: &Model, reason: CloseReason) -> Effect {
    Effect { action: Action::Ended(reason), reply: Reply::Nothing, after: m.gone(), closed: Some(reason) }
}

fn refused(m: &Model, _: &Seg) -> Effect {
    ended(m, CloseReason::Refused)
}

fn reset_by_peer(m: &Model, _: &Seg) -> Effect {
    ended(m, CloseReason::ResetByPeer)
}

fn return_to_listen(m: &Model, _: &Seg) -> Effect {
    Effect { action: Action::ReturnedToListen, reply: Reply::Nothing, after: m.gone(), closed: None }
}

fn half_open(m: &Model, s: &Seg, beyond: Option<u32>) -> Effect {
    let rcv_nxt = s.seq.wrapping_add(1);
    let fresh = Model { passive: true, app_gone: false, fin_sent: false, held: None, ..*m };
    let after = with_window_of_syn(Model { state: State::SynReceived, rcv_nxt, ..fresh }, s);
    Effect { action: Action::SynAcked, reply: Reply::NewSynAck { ack: rcv_nxt, beyond }, after, closed: None }
}

/// What a SYN says beside its number: the window, and the timestamp that is echoed if we have timestamps.
fn with_window_of_syn(m: Model, s: &Seg) -> Model {
    let recent = timestamp_in_syn(s);
    Model { irs: s.seq, snd_wnd: s.wnd, max_snd_wnd: s.wnd, snd_wl1: s.seq, recent, ..m }
}

fn timestamp_in_syn(s: &Seg) -> Option<u32> {
    s.stamp.filter(|_| cfg!(feature = "timestamps"))
}

fn open_half(m: &Model, s: &Seg) -> Effect {
    half_open(m, s, None)
}

fn reopen(m: &Model, s: &Seg) -> Effect {
    half_open(m, s, Some(m.snd_nxt))
}

fn syn_ack_of(m: &Model) -> Reply {
    Reply::Segment { flags: SYN | ACK, seq: m.iss, ack: m.rcv_nxt, text: 0, reason: None }
}

/// A later timestamp of a SYN that is repeated is echoed: the round trip is that of the later one.
fn repeat_syn_ack(m: &Model, s: &Seg) -> Effect {
    let renewed = s.stamp.zip(m.recent).filter(|(stamp, recent)| ahead(*stamp, *recent) > 0).map(|(stamp, _)| stamp);
    let after = Model { recent: renewed.or(m.recent), ..*m };
    let effect = if m.exhausted { withheld(m) } else { untouched(m, Action::SynAcked, syn_ack_of(m)) };
    Effect { after, ..effect }
}

fn open_simultaneously(m: &Model, s: &Seg) -> Effect {
    let rcv_nxt = s.seq.wrapping_add(1);
    let after = with_window_of_syn(Model { state: State::SynReceived, rcv_nxt, ..*m }, s);
    Effect { action: Action::SynAcked, reply: syn_ack_of(&after), after, closed: None }
}

fn establish(m: &Model, s: &Seg) -> Model {
    let (irs, rcv_nxt) = (s.seq, s.seq.wrapping_add(1));
    let (snd_una, snd_wnd, snd_wl1, snd_wl2) = (s.ack, s.wnd, s.seq, s.ack);
    let (max_snd_wnd, recent) = (s.wnd, timestamp_in_syn(s));
    Model { state: State::Established, irs, rcv_nxt, snd_una, snd_wnd, max_snd_wnd, snd_wl1, snd_wl2, recent, ..*m }
}

fn establish_active(m: &Model, s: &Seg) -> Effect {
    let rest = Seg { seq: s.seq.wrapping_add(1), flags: s.flags & !SYN, ..*s };
    let after = with_fin(with_text(establish(m, s), &rest), &rest);
    Effect { action: Action::Accepted, reply: ack_of(&after), after, closed: None }
}

fn take_ack_quietly(m: &Model, s: &Seg) -> Effect {
    let mut after = with_ack(*m, s);
    let reply = released(&mut after).unwrap_or(Reply::Nothing);
    Effect { action: Action::Accepted, reply, after, closed: None }
}

fn take_ack_only(m: &Model, s: &Seg) -> Effect {
    let mut after = with_ack(*m, s);
    let reply = answer(&mut after);
    Effect { action: Action::Acknowledged, reply, after, closed: None }
}

fn take_ack_and_answer(m: &Model, s: &Seg) -> Effect {
    Effect { action: Action::Accepted, ..take_ack_only(m, s) }
}

fn into_time_wait(m: &Model, s: &Seg) -> Effect {
    let closed = Some(CloseReason::LocalClosed);
    Effect { action: Action::Accepted, reply: Reply::Nothing, after: with_ack(*m, s), closed }
}

fn close_after_peer(m: &Model, _: &Seg) -> Effect {
    let closed = Some(CloseReason::PeerClosed);
    Effect { action: Action::Accepted, reply: Reply::Nothing, after: m.gone(), closed }
}

fn take_all(m: &Model, s: &Seg) -> Effect {
    let mut after = with_fin(with_text(with_ack(*m, s), s), s);
    let closed = (after.state == State::TimeWait).then_some(CloseReason::LocalClosed);
    let reply = answer(&mut after);
    Effect { action: Action::Accepted, reply, after, closed }
}

/// SND.NXT, but not beyond what the peer's window admits.
pub(crate) fn rst_seq(m: &Model) -> u32 {
    let edge = m.snd_una.wrapping_add(m.snd_wnd);
    if ahead(m.snd_nxt, edge) > 0 { edge } else { m.snd_nxt }
}

fn reset_data_lost(m: &Model, s: &Seg) -> Effect {
    let taken = with_ack(*m, s);
    let reason = Some(ResetReason::ReceiverGone);
    let reply = Reply::Segment { flags: RST | ACK, seq: rst_seq(&taken), ack: taken.rcv_nxt, text: 0, reason };
    let action = Action::Reset(ResetReason::ReceiverGone);
    Effect { action, reply, after: taken.gone(), closed: Some(CloseReason::DataLost) }
}
