//! The rules of segment arrival as one table: what a reader sees and what a checker computes stand in the same row.
//!
//! The rows are ordered. The first row whose states hold the connection's and whose `holds` says yes decides about a segment;
//! its `effect` says what goes out and what the record looks like afterwards. Rows without a rule name what no single segment
//! shows; their test proves it alone. Derived from RFC 9293, RFC 5961, RFC 1337 and RFC 6191, not from the engine.
#![allow(dead_code, reason = "every program that includes the table needs another part of it")]

use tcp_reset_core::{Action, CloseReason, ResetReason, RstPolicy, Rule, State};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
pub(crate) const URG: u8 = 32;

/// One line of the table.
pub(crate) struct Row {
    /// The rule, where one segment shows it.
    pub(crate) rule: Option<Rule>,
    /// The requirements it serves.
    pub(crate) ids: &'static [&'static str],
    /// The states it applies in, as printed.
    pub(crate) states: &'static str,
    /// What arrives.
    pub(crate) stimulus: &'static str,
    /// What is done.
    pub(crate) action: &'static str,
    /// Where it is written; RFC 9293 unless another is named.
    pub(crate) section: &'static str,
    /// The test function that proves it.
    pub(crate) test: &'static str,
    /// The same, for a machine.
    pub(crate) check: Option<Check>,
}

/// The computable part of a row.
pub(crate) struct Check {
    /// The states it applies in.
    pub(crate) on: &'static [State],
    /// Says whether the row decides, given that no earlier one does.
    pub(crate) holds: fn(&Model, &Seg) -> bool,
    /// Says what happens.
    pub(crate) effect: fn(&Model, &Seg) -> Effect,
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
    /// The last acknowledgement that went out, while a later one is held back.
    pub(crate) delayed_from: Option<u32>,
    pub(crate) held: Option<Held>,
    pub(crate) policy: RstPolicy,
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

/// Finds the row that decides about `seg` and computes what it brings about.
pub(crate) fn decide(model: &Model, seg: &Seg) -> (&'static Row, Effect) {
    for row in TABLE {
        let Some(check) = &row.check else { continue };
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

/// Writes rows as `rule; ids; states as printed, states; stimulus; action; section; test; holds; effect`, and rows no
/// segment shows as `ids; states; stimulus; action; section; test`.
macro_rules! table {
    ($( [ $($row:tt)* ] )*) => { pub(crate) const TABLE: &[Row] = &[ $( table!(@row $($row)*) ),* ]; };
    (@row $rule:ident; $($id:literal)+; $states:literal $on:ident; $stimulus:literal; $action:literal; $section:literal;
     $test:ident; $holds:expr; $effect:expr) => {
        Row {
            rule: Some(Rule::$rule), ids: &[$($id),+], states: $states, stimulus: $stimulus, action: $action,
            section: $section, test: stringify!($test),
            check: Some(Check { on: $on, holds: $holds, effect: $effect }),
        }
    };
    (@row $($id:literal)+; $states:literal; $stimulus:literal; $action:literal; $section:literal; $test:ident) => {
        Row {
            rule: None, ids: &[$($id),+], states: $states, stimulus: $stimulus, action: $action, section: $section,
            test: stringify!($test), check: None,
        }
    };
}

table! {
    // Before any state is looked at.
    [Malformed; "R12"; "any" ANY; "header, data offset or length cannot be true"; "dropped"; "3.1";
     any_state_malformed_header_is_dropped; |_, s| !s.well_formed; dropped]
    [ChecksumWrong; "R12"; "any" ANY; "wrong checksum"; "dropped"; "3.1, MUST-3";
     any_state_wrong_checksum_is_dropped; |_, s| !s.checksum_right; dropped]
    [Fragment; "R12"; "any" ANY; "a fragment"; "dropped, never put together"; "3.7.2";
     any_state_fragment_is_dropped; |_, s| s.is_fragment; dropped]
    [TooManyHeaders; "R12"; "any" ANY; "more IPv6 extension headers than are stepped over"; "dropped, not looked behind"; "RFC 8504 5.3";
     any_state_too_many_headers_are_dropped; |_, s| s.has_too_many_headers; dropped]
    [NotAnswerable; "R11"; "any" ANY; "port 0, or an address no reply may go to or come from"; "dropped, no listener touched";
     "3.9.2.3, RFC 1122 4.2.3.10"; any_state_unanswerable_address_is_dropped; |_, s| !s.answerable; dropped]

    // 3.10.7.1
    [ClosedRst; "R1" "R11"; "CLOSED" CLOSED; "RST"; "dropped"; "3.10.7.1";
     closed_rst_is_dropped; |_, s| s.has(RST); dropped]
    [ClosedNoAck; "R1" "M4" "M6"; "CLOSED" CLOSED; "no ACK, whatever else"; "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>";
     "3.10.7.1, 3.5.2 group 1"; closed_segment_without_ack_draws_rst_ack; |_, s| !s.has(ACK); reset_stranger]
    [ClosedAck; "R1" "M4"; "CLOSED" CLOSED; "ACK"; "<SEQ=SEG.ACK><CTL=RST>"; "3.10.7.1, 3.5.2 group 1";
     closed_segment_with_ack_draws_rst_at_its_ack; |_, _| true; |m, s| reset_at_ack(m, s, ResetReason::NoConnection)]

    // 3.10.7.2
    [ListenRst; "R2" "M8"; "LISTEN" LISTEN; "RST"; "dropped, LISTEN stays"; "3.10.7.2 first";
     listen_rst_is_ignored; |_, s| s.has(RST); dropped]
    [ListenAck; "R2" "M5"; "LISTEN" LISTEN; "ACK"; "<SEQ=SEG.ACK><CTL=RST>"; "3.10.7.2 second, 3.5.2 group 2";
     listen_ack_draws_rst; |_, s| s.has(ACK); |m, s| reset_at_ack(m, s, ResetReason::AckToListener)]
    [ListenSynDropped; "R2"; "LISTEN" LISTEN; "SYN that cannot be taken, listener drops"; "dropped"; "3.10.7.2 third";
     listen_syn_when_full_is_dropped; |m, s| s.has(SYN) && m.port == Port::FullDrops; dropped]
    [ListenSynRefused; "R2"; "LISTEN" LISTEN; "SYN that cannot be taken, listener refuses";
     "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"; "3.10.7.2 third";
     listen_syn_when_full_is_refused; |m, s| s.has(SYN) && m.port == Port::FullRefuses; refuse_syn]
    [ListenSyn; "R2"; "LISTEN" LISTEN; "SYN"; "half-open entry, SYN,ACK; text and FIN stay unacknowledged"; "3.10.7.2 third";
     listen_syn_makes_half_open_and_sends_syn_ack; |_, s| s.has(SYN); open_half]
    [ListenOther; "R2"; "LISTEN" LISTEN; "none of RST, ACK, SYN"; "dropped"; "3.10.7.2 fourth";
     listen_other_is_dropped; |_, _| true; dropped]

    // 3.10.7.3
    [SynSentBadAckRst; "R3" "M7" "R11"; "SYN-SENT" SYN_SENT; "RST with an ACK outside (ISS, SND.NXT]"; "dropped"; "3.10.7.3 first";
     syn_sent_rst_with_bad_ack_is_dropped; |m, s| s.has(ACK) && !m.acks_new(s) && s.has(RST); dropped]
    [SynSentBadAck; "R3" "M3" "M5"; "SYN-SENT" SYN_SENT; "ACK outside (ISS, SND.NXT], no RST";
     "<SEQ=SEG.ACK><CTL=RST>, SYN again at once, limited"; "3.10.7.3 first, 3.5.2 group 2";
     syn_sent_bad_ack_draws_rst_and_goes_on; |m, s| s.has(ACK) && !m.acks_new(s); reset_then_syn]
    [SynSentRst; "R3" "M6" "M7"; "SYN-SENT" SYN_SENT; "RST with an acceptable ACK"; "CLOSED: refused"; "3.10.7.3 second, 3.5.3";
     syn_sent_rst_with_acceptable_ack_is_refused; |_, s| s.has(RST) && s.has(ACK); refused]
    [SynSentRstNoAck; "R3" "M7"; "SYN-SENT" SYN_SENT; "RST without ACK"; "dropped"; "3.10.7.3 second";
     syn_sent_rst_without_ack_is_dropped; |_, s| s.has(RST); dropped]
    [SynSentSynAck; "R3"; "SYN-SENT" SYN_SENT; "SYN with an acceptable ACK"; "ESTABLISHED, ACK; text and FIN on it are processed";
     "3.10.7.3 fourth"; syn_sent_syn_ack_establishes; |_, s| s.has(SYN) && s.has(ACK); establish_active]
    [SynSentSyn; "R3"; "SYN-SENT" SYN_SENT; "SYN without ACK"; "SYN-RECEIVED, <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>"; "3.10.7.3 fourth";
     syn_sent_syn_opens_simultaneously; |_, s| s.has(SYN); open_simultaneously]
    [SynSentOther; "R3"; "SYN-SENT" SYN_SENT; "neither SYN nor RST, ACK acceptable or missing"; "dropped"; "3.10.7.3 fifth";
     syn_sent_other_is_dropped; |_, _| true; dropped]

    // TIME-WAIT, apart because nothing in it believes an RST and a SYN may start anew.
    [RstTimeWait; "R10"; "TIME-WAIT" TIME_WAIT; "RST, wherever"; "ignored"; "RFC 1337 F1";
     time_wait_rst_is_ignored; |_, s| s.has(RST); dropped]
    [SynTimeWaitReopens; "R10" "M11"; "TIME-WAIT" TIME_WAIT; "SYN alone, not before RCV.NXT, and a listener takes it";
     "half-open entry, SYN,ACK with ISS beyond the old SND.NXT; the record stays until the handshake completes";
     "3.6.1 MAY-2, RFC 6191 2"; time_wait_bare_syn_reopens; Model::is_reopened_by; reopen]
    [SynTimeWait; "R10" "S2"; "TIME-WAIT" TIME_WAIT; "any other SYN"; "ACK, limited"; "3.10.7.4 fourth";
     time_wait_other_syn_is_acknowledged; |_, s| s.has(SYN); challenged]
    [FinTimeWait; "R10"; "TIME-WAIT" TIME_WAIT; "the peer's FIN again: SEG.SEQ+SEG.LEN = RCV.NXT, SEG.ACK = SND.NXT";
     "ACK, 2 MSL start anew"; "3.10.7.4 eighth"; time_wait_fin_again_restarts_the_wait; Model::is_fin_again; acknowledged]
    [SeqUnacceptable; "R4" "S2"; "TIME-WAIT" TIME_WAIT; "sequence number outside the window"; "ACK, limited"; "3.10.7.4 first";
     time_wait_old_segment_is_acknowledged; |m, s| !m.seq_acceptable(s); acknowledged_within_limit]
    [NoAck; "R4"; "TIME-WAIT" TIME_WAIT; "no ACK"; "dropped"; "3.10.7.4 fifth";
     time_wait_segment_without_ack_is_dropped; |_, s| !s.has(ACK); dropped]
    [AckUnacceptable; "R7" "S2"; "TIME-WAIT" TIME_WAIT; "ACK outside [SND.UNA-65535, SND.NXT]"; "challenge ACK, limited";
     "3.10.7.4 fifth, RFC 5961 5.2"; time_wait_unacceptable_ack_is_challenged; |m, s| !m.ack_acceptable(s); challenged]
    [FinTimeWaitOther; "R10" "S2"; "TIME-WAIT" TIME_WAIT; "a FIN in the window that is not the peer's own"; "ACK, limited; 2 MSL go on";
     "3.10.7.4 fifth, eighth"; time_wait_other_fin_is_acknowledged; |_, s| s.has(FIN); acknowledged_limited]
    [TimeWaitOther; "R10"; "TIME-WAIT" TIME_WAIT; "an acceptable segment that changes nothing"; "ignored"; "3.10.7.4";
     time_wait_acceptable_segment_is_ignored; |_, _| true; dropped]

    // 3.10.7.4 second check: an RST is judged by its sequence number alone.
    [RstSynReceivedPassive; "R4" "R5" "M9"; "SYN-RECEIVED" SYN_RECEIVED; "RST at RCV.NXT, opened by a listener";
     "entry freed, LISTEN"; "3.10.7.4 second"; syn_received_passive_rst_returns_to_listen;
     |m, s| m.is_exact_rst(s) && m.passive; return_to_listen]
    [RstSynReceivedActive; "R4" "R5" "M9"; "SYN-RECEIVED" SYN_RECEIVED; "RST at RCV.NXT with an acceptable ACK, opened actively";
     "CLOSED: refused"; "3.10.7.4 second"; syn_received_active_rst_is_refused;
     |m, s| m.is_exact_rst(s) && s.has(ACK) && m.acks_new(s); refused]
    [RstSynReceivedUnproven; "R4" "R5" "M7" "M9"; "SYN-RECEIVED" SYN_RECEIVED;
     "RST at RCV.NXT without an acceptable ACK, opened actively"; "SYN-SENT, SYN again, limited"; "3.10.7.4 second, deviation";
     syn_received_active_unproven_rst_returns_to_syn_sent; Model::is_exact_rst; return_to_syn_sent]
    [RstExact; "R5" "M7" "M10"; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT" OPEN; "RST at RCV.NXT";
     "CLOSED: reset by peer; bytes received in order stay readable"; "3.10.7.4 second, RFC 5961 3.2";
     established_rst_at_rcv_nxt_resets; Model::is_exact_rst; reset_by_peer]
    [RstExactClosing; "R5" "M10"; "CLOSING, LAST-ACK" CLOSING_LAST_ACK; "RST at RCV.NXT"; "CLOSED: reset by peer";
     "3.10.7.4 second"; closing_rst_at_rcv_nxt_resets; Model::is_exact_rst; reset_by_peer]
    [RstAtLastAckSent; "R5"; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2" RECEIVING;
     "RST at the last acknowledgement sent while one is delayed, policy on"; "as at RCV.NXT"; "RFC 5961 3.2, deviation";
     established_rst_at_last_ack_sent_resets_by_policy;
     |m, s| s.has(RST) && m.policy.at_last_ack_sent && m.delayed_from == Some(s.seq); reset_by_peer]
    [RstBeforeFin; "R5"; "CLOSE-WAIT, CLOSING, LAST-ACK" AFTER_FIN; "RST at RCV.NXT-1, policy on"; "as at RCV.NXT";
     "RFC 5961 3.2, deviation"; close_wait_rst_before_fin_resets_by_policy;
     |m, s| s.has(RST) && m.policy.before_fin && s.seq.wrapping_add(1) == m.rcv_nxt; reset_by_peer]
    [RstInWindow; "R5" "M5" "M7" "S2";
     "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" OTHER;
     "RST in the window, not at RCV.NXT"; "challenge ACK, connection untouched"; "3.10.7.4 second, RFC 5961 3.2";
     established_rst_in_window_sends_challenge_ack; |m, s| s.has(RST) && m.in_window(s.seq); challenged]
    [RstAtRightEdge; "R5" "S2" "S8";
     "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" OTHER;
     "RST at RCV.NXT+RCV.WND"; "challenge ACK, connection untouched"; "3.10.7.4 second, deviation";
     established_rst_at_right_edge_sends_challenge_ack; |m, s| s.has(RST) && s.seq == m.right_edge(); challenged]
    [RstBeforeNext; "R5" "S2" "S8";
     "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" OTHER;
     "RST at RCV.NXT-1"; "challenge ACK, connection untouched"; "3.10.7.4 second, deviation";
     established_rst_before_rcv_nxt_sends_challenge_ack; |m, s| s.has(RST) && s.seq.wrapping_add(1) == m.rcv_nxt; challenged]
    [RstOutOfWindow; "R5" "M7";
     "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" OTHER;
     "RST elsewhere"; "dropped"; "3.10.7.4 second, RFC 5961 3.2";
     established_rst_outside_window_is_dropped; |_, s| s.has(RST); dropped]

    // Fourth check. It stands before the sequence number's verdict because a SYN is answered wherever it sits.
    [SynReceivedSynAck; "R4" "M7"; "SYN-RECEIVED" SYN_RECEIVED; "SYN,ACK with an acceptable ACK, wherever, opened actively";
     "ESTABLISHED, its number is IRS; text and FIN on it are processed, ACK"; "3.5 figure 7, A.2, deviation";
     syn_received_active_syn_ack_establishes;
     |m, s| s.has(SYN) && s.has(ACK) && m.acks_new(s) && !m.passive; establish_active]
    [SynReceivedBadAck; "R6" "R7" "M5"; "SYN-RECEIVED" SYN_RECEIVED; "SYN at IRS with an ACK outside (SND.UNA, SND.NXT]";
     "<SEQ=SEG.ACK><CTL=RST>, the entry stays"; "3.10.7.4 fifth, 3.5.2 group 2";
     syn_received_syn_with_bad_ack_draws_rst; |m, s| m.is_syn_again(s) && s.has(ACK) && !m.acks_new(s);
     |m, s| reset_at_ack(m, s, ResetReason::BadAckInHandshake)]
    [SynReceivedSynAgain; "R6" "S2"; "SYN-RECEIVED" SYN_RECEIVED; "SYN at IRS again"; "SYN,ACK again, limited"; "3.8.1";
     syn_received_syn_again_repeats_syn_ack; Model::is_syn_again; repeat_syn_ack]
    [SynReceivedSynOther; "R6" "S2"; "SYN-RECEIVED" SYN_RECEIVED; "SYN elsewhere"; "challenge ACK, the entry stays";
     "3.10.7.4 fourth, deviation"; syn_received_other_syn_is_challenged; |_, s| s.has(SYN); challenged]
    [SynSynchronized; "R6" "M3" "M5" "S2";
     "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" SYNCHRONIZED;
     "SYN, wherever"; "challenge ACK, connection untouched"; "3.10.7.4 fourth, RFC 5961 4.2";
     established_syn_anywhere_sends_challenge_ack; |_, s| s.has(SYN); challenged]

    // First check, for what is neither RST nor SYN.
    [ProbesCrossed; "R4" "M1"; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" SYNCHRONIZED;
     "a window probe outstanding, empty segment at RCV.NXT-1 that acknowledges it"; "ACK processed, ACK sent"; "appendix A.2";
     established_ack_of_crossed_probe_is_taken;
     |m, s| m.probing && s.len() == 0 && s.has(ACK) && s.seq == m.rcv_nxt.wrapping_sub(1) && s.ack == m.ack_limit(); take_ack_and_answer]
    [SynReceivedBadAck; "R7" "M5" "M7"; "SYN-RECEIVED" SYN_RECEIVED; "ACK outside (SND.UNA, SND.NXT], wherever, opened actively";
     "<SEQ=SEG.ACK><CTL=RST>, the entry stays"; "3.5.2 group 2, deviation";
     syn_received_active_bad_ack_draws_rst_wherever; |m, s| s.has(ACK) && !m.acks_new(s) && !m.passive;
     |m, s| reset_at_ack(m, s, ResetReason::BadAckInHandshake)]
    [SeqUnacceptable; "R4" "M5" "S2";
     "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" OTHER;
     "sequence number outside the window"; "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, limited unless an answer is owed";
     "3.10.7.4 first, RFC 5961 7"; established_unacceptable_sequence_is_acknowledged;
     |m, s| !m.seq_acceptable(s) && !m.meets_zero_window(s) && !m.is_ack_at_right_edge(s); acknowledged_within_limit]

    // Fifth check.
    [NoAck; "R4";
     "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" OTHER;
     "no ACK"; "dropped"; "3.10.7.4 fifth"; established_segment_without_ack_is_dropped; |_, s| !s.has(ACK); dropped]
    [SynReceivedBadAck; "R7" "M5"; "SYN-RECEIVED" SYN_RECEIVED; "ACK outside (SND.UNA, SND.NXT]";
     "<SEQ=SEG.ACK><CTL=RST>, the entry stays"; "3.10.7.4 fifth, 3.5.2 group 2";
     syn_received_bad_ack_draws_rst_and_stays; |m, s| !m.acks_new(s);
     |m, s| reset_at_ack(m, s, ResetReason::BadAckInHandshake)]
    [SynReceivedNoSlot; "R2"; "SYN-RECEIVED" SYN_RECEIVED; "acceptable ACK, passive, but no slot or no room in the backlog";
     "dropped, the entry stays"; "3.10.7.4 fifth"; syn_received_ack_without_slot_is_dropped;
     |m, _| m.passive && !m.has_slot; dropped]
    [AckUnacceptable; "R7" "M5" "S2";
     "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" SYNCHRONIZED;
     "ACK outside [SND.UNA-MAX.SND.WND, SND.NXT]"; "challenge ACK"; "3.10.7.4 fifth, RFC 5961 5.2";
     established_unacceptable_ack_is_challenged; |m, s| !m.ack_acceptable(s); challenged]
    [AckOfFin; "R4" "M2"; "CLOSING" CLOSING; "our FIN acknowledged"; "TIME-WAIT"; "3.10.7.4 fifth";
     closing_ack_of_fin_enters_time_wait; Model::acks_our_fin; into_time_wait]
    [AckOfFin; "R4" "M2"; "LAST-ACK" LAST_ACK; "our FIN acknowledged"; "CLOSED: peer closed first"; "3.10.7.4 fifth";
     last_ack_ack_of_fin_closes; Model::acks_our_fin; close_after_peer]
    [ZeroWindow; "R4" "M1"; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" SYNCHRONIZED;
     "RCV.WND = 0, text at RCV.NXT"; "ACK processed, text and FIN not taken, ACK sent"; "3.10.7.4 first";
     established_zero_window_processes_ack_only; Model::meets_zero_window; take_ack_only]

    // Seventh and eighth step.
    [TextReceiverGone; "R8"; "FIN-WAIT-1, FIN-WAIT-2" FIN_WAITS; "text beyond RCV.NXT, the application closed both ways";
     "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>, CLOSED: data lost"; "3.6.1 SHLD-3, RFC 2525 2.17";
     fin_wait_text_for_closed_application_resets; |m, s| m.app_gone && m.has_new_text(s); reset_data_lost]
    [AfterFin; "R4"; "CLOSE-WAIT, CLOSING, LAST-ACK" AFTER_FIN; "text or FIN after the peer's FIN";
     "ACK processed, the rest ignored; a FIN draws an ACK"; "3.10.7.4 seventh, eighth"; close_wait_text_after_fin_is_ignored;
     |_, s| s.len() > 0; |m, s| if s.has(FIN) { take_ack_and_answer(m, s) } else { take_ack_quietly(m, s) }]
    [FinInOrder; "R4" "M2"; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2" FROM_SYN_RECEIVED; "FIN in order";
     "RCV.NXT advances over it, ACK; CLOSE-WAIT, CLOSING or TIME-WAIT"; "3.10.7.4 eighth";
     established_fin_in_order_enters_close_wait; Model::has_fin_in_order; take_all]
    [FinOutOfOrder; "R4"; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2" FROM_SYN_RECEIVED; "FIN beyond a gap";
     "remembered, ACK at once"; "3.10.7.4 eighth"; established_fin_beyond_gap_is_remembered; Model::has_fin_in_window; take_all]
    [TextInOrder; "R4" "M1"; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2" FROM_SYN_RECEIVED; "text from RCV.NXT on";
     "taken, RCV.NXT advances, ACK"; "3.10.7.4 seventh"; established_text_in_order_is_taken; Model::has_text_in_order; take_all]
    [TextOutOfOrder; "R4" "M1"; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2" FROM_SYN_RECEIVED; "text beyond a gap";
     "held, ACK at once"; "3.10.7.4 seventh, SHLD-31"; established_text_beyond_gap_is_held; |_, s| s.text > 0; take_all]

    // A bare acknowledgement.
    [AckOfFin; "R4" "M2"; "FIN-WAIT-1" FIN_WAIT_1; "our FIN acknowledged"; "FIN-WAIT-2"; "3.10.7.4 fifth";
     fin_wait_1_ack_of_fin_enters_fin_wait_2; Model::acks_our_fin; take_ack_quietly]
    [AckAtRightEdge; "R4" "M1"; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" SYNCHRONIZED;
     "empty ACK at RCV.NXT+RCV.WND"; "ACK processed, nothing sent"; "3.10.7.4 first, deviation";
     established_ack_at_right_edge_is_taken; Model::is_ack_at_right_edge; take_ack_quietly]
    [AckEstablishes; "R4" "M1"; "SYN-RECEIVED" SYN_RECEIVED; "acceptable ACK"; "ESTABLISHED"; "3.10.7.4 fifth";
     syn_received_ack_establishes; |_, _| true; take_ack_quietly]
    [AckAccepted; "R4" "R7" "M1"; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK" SYNCHRONIZED;
     "acceptable ACK"; "SND.UNA and SND.WND brought up to date"; "3.10.7.4 fifth, RFC 5961 5.2";
     established_acceptable_ack_is_taken; |_, _| true; take_ack_quietly]

    // What takes more than one segment to see.
    ["M1"; "ESTABLISHED"; "text both ways, losses, a closed window, days of silence"; "every byte once and in order, no end"; "3.8";
     established_idle_for_days_still_carries_data]
    ["M1"; "ESTABLISHED"; "more text than the window"; "no byte beyond SND.UNA+SND.WND"; "3.8.6";
     established_sender_respects_the_window]
    ["M1"; "ESTABLISHED"; "a lost segment"; "sent again until acknowledged"; "3.8.1"; established_lost_text_is_sent_again]
    ["M2"; "ESTABLISHED"; "close on both sides"; "FIN each way, both told that the end was orderly"; "3.6";
     established_orderly_close_ends_both_sides]
    ["M2" "M10"; "ESTABLISHED"; "abort by the peer"; "CLOSED, told that it was reset"; "3.10.7.4 second";
     established_rst_at_rcv_nxt_resets]
    ["M3" "R6" "M11"; "ESTABLISHED against a rebooted peer"; "the peer's new SYN"; "ACK, RST, and the next SYN succeeds"; "3.5.1 figure 9";
     rebooted_peer_syn_resets_and_reconnects]
    ["M3" "M4"; "ESTABLISHED against a crashed peer"; "our text meets no connection"; "RST, reset by peer"; "3.5.1 figure 10";
     crashed_peer_text_draws_rst_and_ends]
    ["M11"; "CLOSED after a reset"; "connect or SYN on the same ports"; "ESTABLISHED anew at once"; "3.4.1";
     after_reset_same_ports_open_at_once]
    ["R5" "S2"; "ESTABLISHED"; "RST one off, then the exact one in answer to the challenge"; "reset in one more exchange"; "RFC 5961 3.2";
     established_challenged_peer_answers_exactly]
    ["R5"; "ESTABLISHED, CLOSE-WAIT"; "RST at the policies' places, policies off"; "dropped, at RCV.NXT-1 challenged"; "RFC 5961 3.2";
     rst_policies_are_off_by_default]
    ["R5" "S8"; "ESTABLISHED"; "the challenge to an RST is not answered"; "sent again, twice at most, until the peer is heard"; "RFC 5961 3.2";
     established_unanswered_challenge_is_repeated_twice]
    ["S8"; "SYN-RECEIVED"; "the handshake is not completed, or finds no slot, in time"; "<SEQ=ISS+1><CTL=RST>, with ACK if the peer had completed it"; "3.10.5";
     syn_received_expired_peer_is_told]
    ["S8"; "SYN-RECEIVED"; "a listener with more handshakes than the reply queue holds closes"; "each peer is told as the queue drains"; "3.10.5";
     unlisten_tells_every_half_open_peer]
    ["S8"; "SYN-SENT crossed by a SYN"; "abort while no neighbor is known for the peer"; "no RST, counted; the slot is free"; "3.10.5";
     syn_received_abort_with_nowhere_to_go_frees_the_slot]
    ["R10"; "TIME-WAIT"; "abort"; "CLOSED, the record is deleted"; "3.10.5"; time_wait_abort_deletes_the_record]
    ["L1" "S5"; "all that hold a slot"; "a peer that is silent, or answers and gives nothing"; "ended within the budget, by the timer's name, or lives"; "3.8.3, 3.8.4";
     whatever_holds_a_slot_is_ended_in_time_by_its_name_or_lives]
    ["L2" "S5"; "ESTABLISHED, CLOSE-WAIT, FIN-WAIT-2"; "silence, keepalive on"; "<SEQ=SND.NXT-1><CTL=ACK>, and after the last RST"; "3.8.4";
     a_silent_peer_is_asked_as_often_as_set_and_then_ended]
    ["L1" "L2"; "ESTABLISHED"; "idle for 60 days, each probe answered"; "lives, and carries data"; "3.8.4 MUST-26";
     sixty_idle_days_with_keepalive_are_probed_as_the_settings_say]
    ["L3" "S5"; "ESTABLISHED, CLOSE-WAIT, FIN-WAIT-1, CLOSING, LAST-ACK"; "what was sent makes no progress for the user timeout"; "RST"; "3.9.1.1, RFC 5482";
     data_in_flight_is_given_up_exactly_then]
    ["L3"; "SYN-SENT"; "no answer for the user timeout"; "CLOSED"; "3.9.1.1, RFC 5482"; a_syn_is_given_up_exactly_then]
    ["L3"; "ESTABLISHED"; "the peer's user timeout option"; "R2 is lengthened, up to the limit"; "RFC 5482 3.1";
     a_peer_that_bears_longer_is_borne_longer_up_to_the_limit]
    ["L4"; "ESTABLISHED to LAST-ACK"; "no octet either way for the idle timeout"; "RST"; "3.8.4"; who_moves_no_byte_is_ended_exactly_then]
    ["L4"; "ESTABLISHED"; "no first octet in time"; "RST"; "3.8.4"; who_is_accepted_and_says_nothing_is_ended_exactly_then]
    ["L4"; "ESTABLISHED, CLOSE-WAIT"; "nobody accepts in time"; "RST"; "3.10.5"; who_is_not_accepted_is_reset_exactly_then]
    ["L5" "S4"; "ESTABLISHED to LAST-ACK"; "a newcomer finds no slot or no buffers, eviction on"; "the longest idle is reset, the newcomer gets its slot"; "3.10.5";
     the_longest_idle_goes_and_its_slot_is_the_newcomers]
    ["R10" "M11"; "TIME-WAIT reopened by a SYN"; "the old peer repeats its FIN"; "ACK by the old record"; "3.10.7.4 eighth";
     time_wait_reopened_old_peer_is_still_answered]
    ["R7"; "ESTABLISHED"; "window updates out of order"; "SND.WND follows WL1 and WL2"; "3.10.7.4 fifth";
     established_old_segment_does_not_change_the_window]
    ["R7"; "ESTABLISHED"; "an old but acceptable ACK on new text"; "the text is taken"; "3.10.7.4 fifth";
     established_old_ack_keeps_its_text]
    ["R7"; "ESTABLISHED"; "ACK of a window probe's byte"; "acceptable while the probe is outstanding"; "3.8.6.1";
     established_ack_of_probe_is_taken]
    ["R8"; "ESTABLISHED"; "close with unread bytes"; "RST instead of FIN: data lost"; "RFC 2525 2.17";
     established_close_with_unread_data_resets]
    ["R8"; "FIN-WAIT-1, FIN-WAIT-2"; "only old text again, the application gone"; "ACK"; "3.6.1";
     fin_wait_old_text_for_closed_application_is_acknowledged]
    ["R9" "S8"; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK"; "abort";
     "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>"; "3.10.5, deviation"; abort_in_every_state_sends_what_the_state_demands]
    ["R8" "R9" "S8"; "CLOSING, LAST-ACK"; "close with unread bytes"; "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>: data lost"; "RFC 2525 2.17, deviation";
     closing_close_with_unread_data_resets]
    ["R9"; "ESTABLISHED"; "abort while the peer's window shrank"; "RST at SND.UNA+SND.WND"; "3.10.5, deviation";
     established_abort_with_shrunk_window_stays_inside_it]
    ["R9"; "ESTABLISHED"; "abort while the window is closed and probed"; "RST at SND.NXT without the probe's byte"; "3.10.5";
     established_abort_with_closed_window_ignores_the_probe]
    ["R9"; "ESTABLISHED"; "abort after a retransmission timeout"; "RST at the highest SND.NXT"; "3.10.5";
     established_abort_after_retransmission_uses_highest_snd_nxt]
    ["R9"; "SYN-SENT"; "close"; "CLOSED, nothing sent, told: closed before open"; "3.10.4"; syn_sent_close_ends_silently]
    ["R9"; "ESTABLISHED"; "the listener closes before accept"; "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>"; "3.10.5";
     unlisten_resets_what_was_not_accepted]
    ["R9"; "ESTABLISHED, FIN-WAIT-1, CLOSING, LAST-ACK"; "the peer acknowledges nothing for R2"; "RST, told: timed out";
     "3.8.3, 3.10.5, deviation"; retransmission_timeout_resets_and_tells]
    ["R10"; "TIME-WAIT"; "handshake of the reopened connection completes"; "the record goes, ESTABLISHED"; "3.6.1 MAY-2";
     time_wait_reopened_handshake_replaces_the_record]
    ["R10"; "TIME-WAIT"; "the reopening SYN was an old duplicate: RST"; "the record is there as before"; "3.6.1 MAY-2";
     time_wait_reopening_by_old_duplicate_returns]
    ["R10"; "TIME-WAIT"; "the table is full"; "the oldest leaves"; "3.10.7"; time_wait_table_full_drops_the_oldest]
    ["R10"; "TIME-WAIT"; "2 MSL pass"; "CLOSED"; "3.10.8"; time_wait_ends_after_two_msl]
    ["R11"; "CLOSED, LISTEN"; "each address of the list as source or destination"; "dropped"; "3.9.2.3";
     any_state_unanswerable_address_is_dropped]
    ["R11"; "CLOSED, LISTEN"; "a frame to a group, a network's broadcast address, any address of ours as source"; "no answer";
     "3.9.2.3, RFC 1122 3.2.1.3"; frame_to_or_from_a_group_draws_nothing]
    ["R12"; "LISTEN, ESTABLISHED"; "malformed options"; "no reset, the rest of the segment counts"; "3.1, MUST-7 deviation";
     malformed_options_never_reset]
    ["R12"; "ESTABLISHED"; "urgent pointers that cannot be true"; "the text and nothing else is delivered"; "3.8.5";
     urgent_pointer_changes_nothing]
    ["S1"; "any"; "no key"; "refused"; "3.4.1, RFC 6528"; weak_key_is_refused]
    ["S1"; "SYN-SENT, SYN-RECEIVED"; "another tuple, another key, later"; "another ISS; 1 more per 4 us"; "3.4.1, RFC 6528";
     isn_depends_on_tuple_key_and_clock]
    ["S2"; "SYN-RECEIVED, ESTABLISHED, TIME-WAIT"; "more challenges than the limit"; "withheld until the period ends"; "RFC 5961 7";
     challenge_quota_limits_each_record_alone]
    ["S2"; "ESTABLISHED"; "keepalives and repeated text beyond the limit"; "each answered"; "RFC 5961 7";
     challenge_quota_spares_owed_answers]
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

    fn is_exact_rst(&self, s: &Seg) -> bool {
        s.has(RST) && s.seq == self.rcv_nxt
    }

    fn is_syn_again(&self, s: &Seg) -> bool {
        s.has(SYN) && s.seq == self.irs
    }

    fn is_reopened_by(&self, s: &Seg) -> bool {
        let alone = s.has(SYN) && !s.has(ACK) && !s.has(FIN);
        alone && ahead(s.seq, self.rcv_nxt) >= 0 && self.port == Port::Takes
    }

    fn is_fin_again(&self, s: &Seg) -> bool {
        let ends_there = s.seq.wrapping_add(s.len()) == self.rcv_nxt;
        s.has(FIN) && s.has(ACK) && ends_there && s.ack == self.snd_nxt
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

    /// Says whether the segment ends the stream before text that was sent already: no rule tells which of them to believe.
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

    /// Says whether an unacceptable segment is answered without limit: one of a peer that proves by its ACK that it sees what we
    /// send, and that repeats text or asks whether we live.
    fn owes_answer(&self, s: &Seg) -> bool {
        let proves =
            s.has(ACK) && if self.state == State::SynReceived { self.acks_new(s) } else { self.ack_acceptable(s) };
        proves && (s.text > 0 || s.seq.wrapping_add(1) == self.rcv_nxt)
    }
}

// The steps that change a record.

/// Fifth check: the acknowledgement and the window.
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

/// Queued text that the peer's window now admits; it carries the acknowledgement.
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

fn acknowledged_within_limit(m: &Model, s: &Seg) -> Effect {
    if m.exhausted && !m.owes_answer(s) { withheld(m) } else { acknowledged(m, s) }
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
    let after = Model { state: State::SynSent, ..*m };
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

fn with_window_of_syn(m: Model, s: &Seg) -> Model {
    Model { irs: s.seq, snd_wnd: s.wnd, max_snd_wnd: s.wnd, snd_wl1: s.seq, ..m }
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

fn repeat_syn_ack(m: &Model, _: &Seg) -> Effect {
    if m.exhausted { withheld(m) } else { untouched(m, Action::SynAcked, syn_ack_of(m)) }
}

fn open_simultaneously(m: &Model, s: &Seg) -> Effect {
    let rcv_nxt = s.seq.wrapping_add(1);
    let after = with_window_of_syn(Model { state: State::SynReceived, rcv_nxt, ..*m }, s);
    Effect { action: Action::SynAcked, reply: syn_ack_of(&after), after, closed: None }
}

fn establish(m: &Model, s: &Seg) -> Model {
    let (irs, rcv_nxt) = (s.seq, s.seq.wrapping_add(1));
    let (snd_una, snd_wnd, snd_wl1, snd_wl2) = (s.ack, s.wnd, s.seq, s.ack);
    Model { state: State::Established, irs, rcv_nxt, snd_una, snd_wnd, max_snd_wnd: s.wnd, snd_wl1, snd_wl2, ..*m }
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
    let reply = released(&mut after).unwrap_or(ack_of(&after));
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
    let reply = released(&mut after).unwrap_or(ack_of(&after));
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
