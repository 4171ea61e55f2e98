//! The rule table: for each rule its states, what arrives, what is done, where it is written, and the requirements it serves.
//!
//! `host-sim rules` prints it. The test that proves a row computes the same from the standard's text, apart from the code.

use crate::rules::verdict::Rule;

/// Defines each requirement once: its name, and what it asks for.
macro_rules! requirements {
    ($($name:ident $statement:literal)*) => {
        /// A requirement that rules serve.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Requirement {
            $(#[doc = $statement] $name,)*
        }

        impl Requirement {
            /// All of them, in order.
            pub const ALL: &[Requirement] = &[$(Requirement::$name),*];

            /// Returns its short name, such as `R5`.
            pub const fn name(self) -> &'static str {
                match self { $(Requirement::$name => stringify!($name),)* }
            }

            /// Returns what it asks for.
            pub const fn statement(self) -> &'static str {
                match self { $(Requirement::$name => $statement,)* }
            }
        }
    };
}

requirements! {
    M1 "Two ends that reach ESTABLISHED exchange data under a sliding window, with flow control and retransmission, for as long as they like, idle or not (§3.8)."
    M2 "A connection leaves ESTABLISHED by orderly termination that both ends agree on, or by disruption (§3.6)."
    M3 "A half-open connection, whose other end has closed, crashed or restarted without telling, is detected and ended by reset (§3.5.1)."
    M4 "A segment for a connection that does not exist draws an RST (§3.5.2, §3.10.7.1)."
    M5 "A segment whose numbers are wrong for the state draws what the state demands: RST before synchronization, challenge ACK after (§3.5.2, RFC 5961)."
    M6 "A SYN to a port where nobody listens draws an RST, and the caller learns that it was refused (§3.10.7.1)."
    M7 "An RST is believed only after its sequence number is validated, in SYN-SENT its acknowledgment (§3.5.3, RFC 5961 §3)."
    M8 "In LISTEN an RST is ignored (§3.10.7.2)."
    M9 "In SYN-RECEIVED a valid RST returns to LISTEN, or, where the connection was opened actively, refuses it (§3.10.7.4)."
    M10 "In every other synchronized state but TIME-WAIT a valid RST ends the connection, and its application learns why; bytes received in order stay readable (§3.10.7.4, deviation)."
    M11 "After a reset either end can connect at once, on the same ports (§3.5.1, §3.4.1)."
    R1 "CLOSED: what arrives draws the RST that its sender believes, an RST draws nothing (§3.10.7.1)."
    R2 "LISTEN: an RST is dropped, an ACK draws an RST, a SYN makes a half-open record or meets the listener's overflow policy (§3.10.7.2)."
    R3 "SYN-SENT: an ACK of what was not sent draws an RST; an RST counts with an acceptable ACK alone, and refuses; a SYN opens (§3.10.7.3)."
    R4 "The other states: sequence number, RST, SYN, ACK, URG, payload, FIN, in this order (§3.10.7.4)."
    R5 "RST: SEG.SEQ = RCV.NXT ends the connection, elsewhere in the window it is challenged, outside it is dropped (RFC 5961 §3)."
    R6 "SYN in a synchronized state: challenged, wherever it sits (RFC 5961 §4)."
    R7 "ACK: acceptable from SND.UNA-MAX.SND.WND to SND.NXT; outside it is challenged (RFC 5961 §5)."
    R8 "Payload for a receiver that is gone, and closing with unread payload, draw an RST (RFC 2525 §2.17, RFC 1122 §4.2.2.13)."
    R9 "Abort: RST at SND.NXT, within the peer's window, in every state with a peer to tell (§3.10.5)."
    R10 "TIME-WAIT: an RST is ignored, only the peer's own FIN starts 2 MSL anew, a SYN may reopen (RFC 1337, RFC 6191)."
    R11 "An RST is never answered by an RST; an address that is not one host's, port 0 and a group's frame are never answered (§3.9.2.3)."
    R12 "Checksum, data offset and options are validated first; no option resets anything, URG moves no number (§3.1, deviation)."
    S1 "Initial sequence numbers are a keyed hash of the endpoints and a clock; without a key there is no engine (§3.4.1, RFC 6528)."
    S2 "Challenge ACKs are limited for each connection alone; what a peer is owed is not limited (RFC 5961 §7, CVE-2016-5696)."
    S4 "A full table has a policy that is declared and counted; who is evicted gets a valid RST with a reason."
    S5 "No timer ends an idle connection, or one that answers probes, unless a setting says so; each end has its own reason (MUST-37)."
    S7 "No reply is longer than what it answers, except a SYN,ACK and, by 12 bytes, the ACK of a record that has timestamps (reflection)."
    S8 "Nobody whose SYN was acknowledged is forgotten in silence: who is turned away gets a valid RST, repeated or late, never lost in a queue."
    L1 "One budget bounds how long a peer that gives nothing can hold a slot, in any state; a healthy peer is never ended by it."
    L2 "Keepalive: idle time, interval and number of probes; off by default (§3.8.4)."
    L3 "User timeout: as short as the application asks; R1 and R2 keep their floors as defaults (RFC 5482, §3.8.3)."
    L4 "Connect, accept, first-byte and idle timeouts, each with its reason."
    L5 "Eviction where the owner of a table wants it; the application and the peer are told."
    J1 "What a restart forgets is told: a journal of the pairs that have a connection, written when one begins and ends and for no segment, is harmless when it is cut, stale, garbage or another layout's."
    J2 "After a restart each pair on an address that is ours gets a probe that its peer answers with its own numbers, and these draw the exact RST; repeated for a minute at most, avoided by new connections meanwhile."
    J3 "A peer without the connection, or a stranger on its address, costs one small segment; nobody outside can keep a peer from being told."
}

/// A row of the rule table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct RuleRow {
    /// The rule; `None` for what no single segment shows.
    pub rule: Option<Rule>,
    /// The requirements that the row serves.
    pub requirements: &'static [Requirement],
    /// The states it applies in.
    pub states: &'static str,
    /// What arrives, or happens.
    pub stimulus: &'static str,
    /// What is done.
    pub action: &'static str,
    /// Where it is written: a section of RFC 9293, unless another RFC is named.
    pub section: &'static str,
    /// The test that proves it.
    pub test: &'static str,
}

/// Writes rows as `rule; requirements; states; stimulus; action; section; test`, and `-` for no rule.
macro_rules! rows {
    ($( [ $($row:tt)* ] )*) => { &[ $( rows!(@row $($row)*) ),* ] };
    (@row -; $($id:ident)+; $($rest:tt)*) => { rows!(@fields None; $($id)+; $($rest)*) };
    (@row $rule:ident; $($id:ident)+; $($rest:tt)*) => { rows!(@fields Some(Rule::$rule); $($id)+; $($rest)*) };
    (@fields $rule:expr; $($id:ident)+; $states:literal; $stimulus:literal; $action:literal; $section:literal; $test:ident) => {
        RuleRow {
            rule: $rule, requirements: &[$(Requirement::$id),+], states: $states, stimulus: $stimulus,
            action: $action, section: $section, test: stringify!($test),
        }
    };
}

/// All rows. Those with a rule stand in the order in which the rules decide: the first that holds does.
pub const RULE_TABLE: &[RuleRow] = rows! {
    // Before any state is looked at.
    [Malformed; R12; "any"; "header, data offset or length cannot be true"; "dropped"; "3.1";
     any_state_malformed_header_is_dropped]
    [ChecksumWrong; R12; "any"; "wrong checksum"; "dropped"; "3.1, MUST-3"; any_state_wrong_checksum_is_dropped]
    [Fragment; R12; "any"; "a fragment"; "dropped, never put together"; "3.7.2"; any_state_fragment_is_dropped]
    [TooManyHeaders; R12; "any"; "more IPv6 extension headers than are stepped over"; "dropped, not looked behind";
     "RFC 8504 5.3"; any_state_too_many_headers_are_dropped]
    [NotAnswerable; R11; "any"; "port 0, or an address no reply may go to or come from";
     "dropped, no listener touched"; "3.9.2.3, RFC 1122 4.2.3.10"; any_state_unanswerable_address_is_dropped]
    // 3.10.7.1
    [ClosedRst; R1 R11; "CLOSED"; "RST"; "dropped"; "3.10.7.1"; closed_rst_is_dropped]
    [ClosedNoAck; R1 M4 M6; "CLOSED"; "no ACK, whatever else"; "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>";
     "3.10.7.1, 3.5.2 group 1"; closed_segment_without_ack_draws_rst_ack]
    [ClosedAck; R1 M4; "CLOSED"; "ACK"; "<SEQ=SEG.ACK><CTL=RST>"; "3.10.7.1, 3.5.2 group 1";
     closed_segment_with_ack_draws_rst_at_its_ack]
    // 3.10.7.2
    [ListenRst; R2 M8; "LISTEN"; "RST"; "dropped, LISTEN stays"; "3.10.7.2 first"; listen_rst_is_ignored]
    [ListenAck; R2 M5; "LISTEN"; "ACK"; "<SEQ=SEG.ACK><CTL=RST>"; "3.10.7.2 second, 3.5.2 group 2";
     listen_ack_draws_rst]
    [ListenSynDropped; R2; "LISTEN"; "SYN that cannot be taken, listener drops"; "dropped"; "3.10.7.2 third";
     listen_syn_when_full_is_dropped]
    [ListenSynRefused; R2; "LISTEN"; "SYN that cannot be taken, listener refuses";
     "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"; "3.10.7.2 third"; listen_syn_when_full_is_refused]
    [ListenSyn; R2; "LISTEN"; "SYN"; "half-open entry, SYN,ACK; payload and FIN stay unacknowledged"; "3.10.7.2 third";
     listen_syn_makes_half_open_and_sends_syn_ack]
    [ListenOther; R2; "LISTEN"; "none of RST, ACK, SYN"; "dropped"; "3.10.7.2 fourth"; listen_other_is_dropped]
    // 3.10.7.3
    [SynSentBadAckRst; R3 M7 R11; "SYN-SENT"; "RST with an ACK outside (ISS, SND.NXT]"; "dropped"; "3.10.7.3 first";
     syn_sent_rst_with_bad_ack_is_dropped]
    [SynSentBadAck; R3 M3 M5; "SYN-SENT"; "ACK outside (ISS, SND.NXT], no RST";
     "<SEQ=SEG.ACK><CTL=RST>, SYN again at once, limited"; "3.10.7.3 first, 3.5.2 group 2";
     syn_sent_bad_ack_draws_rst_and_goes_on]
    [SynSentRst; R3 M6 M7; "SYN-SENT"; "RST with an acceptable ACK"; "CLOSED: refused"; "3.10.7.3 second, 3.5.3";
     syn_sent_rst_with_acceptable_ack_is_refused]
    [SynSentRstNoAck; R3 M7; "SYN-SENT"; "RST without ACK"; "dropped"; "3.10.7.3 second";
     syn_sent_rst_without_ack_is_dropped]
    [SynSentSynAck; R3; "SYN-SENT"; "SYN with an acceptable ACK";
     "ESTABLISHED, ACK; payload and FIN on it are processed"; "3.10.7.3 fourth"; syn_sent_syn_ack_establishes]
    [SynSentSyn; R3; "SYN-SENT"; "SYN without ACK"; "SYN-RECEIVED, <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>";
     "3.10.7.3 fourth"; syn_sent_syn_opens_simultaneously]
    [SynSentOther; R3; "SYN-SENT"; "neither SYN nor RST, ACK acceptable or missing"; "dropped"; "3.10.7.3 fifth";
     syn_sent_other_is_dropped]
    // TIME-WAIT, apart because nothing in it believes an RST and a SYN may start anew.
    [RstTimeWait; R10; "TIME-WAIT"; "RST, wherever"; "ignored"; "RFC 1337 F1"; time_wait_rst_is_ignored]
    [SynTimeWaitReopens; R10 M11; "TIME-WAIT"; "SYN alone, with a later timestamp or, where that does not tell, not before RCV.NXT, and a listener takes it";
     "half-open entry, SYN,ACK with ISS beyond the old SND.NXT; the record stays until the handshake completes";
     "3.6.1 MAY-2, RFC 6191 2"; time_wait_bare_syn_reopens]
    [SynTimeWait; R10 S2; "TIME-WAIT"; "any other SYN"; "ACK, limited"; "3.10.7.4 fourth";
     time_wait_other_syn_is_acknowledged]
    [FinTimeWait; R10; "TIME-WAIT"; "the peer's FIN again: SEG.SEQ+SEG.LEN = RCV.NXT, SEG.ACK = SND.NXT";
     "ACK, 2 MSL start anew"; "3.10.7.4 eighth"; time_wait_fin_again_restarts_the_wait]
    [SeqUnacceptable; R4 S2; "TIME-WAIT"; "sequence number outside the window"; "ACK, limited"; "3.10.7.4 first";
     time_wait_old_segment_is_acknowledged]
    [TimestampOld; R4 S2; "TIME-WAIT"; "a timestamp before TS.Recent"; "ACK, limited unless an answer is owed; none to an empty ACK at RCV.NXT";
     "RFC 7323 5.3 R1, deviation"; time_wait_old_timestamp_is_acknowledged]
    [NoAck; R4; "TIME-WAIT"; "no ACK"; "dropped"; "3.10.7.4 fifth"; time_wait_segment_without_ack_is_dropped]
    [AckUnacceptable; R7 S2; "TIME-WAIT"; "ACK outside [SND.UNA-65535, SND.NXT]"; "challenge ACK, limited";
     "3.10.7.4 fifth, RFC 5961 5.2"; time_wait_unacceptable_ack_is_challenged]
    [FinTimeWaitOther; R10 S2; "TIME-WAIT"; "a FIN in the window that is not the peer's own";
     "ACK, limited; 2 MSL go on"; "3.10.7.4 fifth, eighth"; time_wait_other_fin_is_acknowledged]
    [TimeWaitOther; R10; "TIME-WAIT"; "an acceptable segment that changes nothing"; "ignored"; "3.10.7.4";
     time_wait_acceptable_segment_is_ignored]
    // 3.10.7.4 second check: an RST is judged by its sequence number alone.
    [RstSynReceivedPassive; R4 R5 M9; "SYN-RECEIVED"; "RST at RCV.NXT, opened by a listener"; "entry freed, LISTEN";
     "3.10.7.4 second"; syn_received_passive_rst_returns_to_listen]
    [RstSynReceivedActive; R4 R5 M9; "SYN-RECEIVED"; "RST at RCV.NXT with an acceptable ACK, opened actively";
     "CLOSED: refused"; "3.10.7.4 second"; syn_received_active_rst_is_refused]
    [RstSynReceivedUnproven; R4 R5 M7 M9; "SYN-RECEIVED";
     "RST at RCV.NXT without an acceptable ACK, opened actively"; "SYN-SENT, SYN again, limited";
     "3.10.7.4 second, deviation"; syn_received_active_unproven_rst_returns_to_syn_sent]
    [RstExact; R5 M7 M10; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT"; "RST at RCV.NXT";
     "CLOSED: reset by peer; bytes received in order stay readable"; "3.10.7.4 second, RFC 5961 3.2";
     established_rst_at_rcv_nxt_resets]
    [RstExactClosing; R5 M10; "CLOSING, LAST-ACK"; "RST at RCV.NXT"; "CLOSED: reset by peer"; "3.10.7.4 second";
     closing_rst_at_rcv_nxt_resets]
    [RstAtLastAckSent; R5; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2";
     "RST at the last acknowledgement sent while one is delayed, policy on"; "as at RCV.NXT";
     "RFC 5961 3.2, deviation"; established_rst_at_last_ack_sent_resets_by_policy]
    [RstBeforeFin; R5; "CLOSE-WAIT, CLOSING, LAST-ACK"; "RST at RCV.NXT-1, policy on"; "as at RCV.NXT";
     "RFC 5961 3.2, deviation"; close_wait_rst_before_fin_resets_by_policy]
    [RstInWindow; R5 M5 M7 S2; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "RST in the window, not at RCV.NXT"; "challenge ACK, connection untouched"; "3.10.7.4 second, RFC 5961 3.2";
     established_rst_in_window_sends_challenge_ack]
    [RstAtRightEdge; R5 S2 S8; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "RST at RCV.NXT+RCV.WND"; "challenge ACK, connection untouched"; "3.10.7.4 second, deviation";
     established_rst_at_right_edge_sends_challenge_ack]
    [RstBeforeNext; R5 S2 S8; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "RST at RCV.NXT-1"; "challenge ACK, connection untouched"; "3.10.7.4 second, deviation";
     established_rst_before_rcv_nxt_sends_challenge_ack]
    [RstOutOfWindow; R5 M7; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "RST elsewhere"; "dropped"; "3.10.7.4 second, RFC 5961 3.2"; established_rst_outside_window_is_dropped]
    // Fourth check. It stands before the sequence number's verdict because a SYN is answered wherever it sits.
    [SynReceivedSynAck; R4 M7; "SYN-RECEIVED"; "SYN,ACK with an acceptable ACK, wherever, opened actively";
     "ESTABLISHED, its number is IRS; payload and FIN on it are processed, ACK"; "3.5 figure 7, A.2, deviation";
     syn_received_active_syn_ack_establishes]
    [SynReceivedBadAck; R6 R7 M5; "SYN-RECEIVED"; "SYN at IRS with an ACK outside (SND.UNA, SND.NXT]";
     "<SEQ=SEG.ACK><CTL=RST>, the entry stays"; "3.10.7.4 fifth, 3.5.2 group 2";
     syn_received_syn_with_bad_ack_draws_rst]
    [SynReceivedSynAgain; R6 S2; "SYN-RECEIVED"; "SYN at IRS again"; "SYN,ACK again, limited"; "3.8.1";
     syn_received_syn_again_repeats_syn_ack]
    [SynReceivedSynOther; R6 S2; "SYN-RECEIVED"; "SYN elsewhere"; "challenge ACK, the entry stays";
     "3.10.7.4 fourth, deviation"; syn_received_other_syn_is_challenged]
    [SynSynchronized; R6 M3 M5 S2; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "SYN, wherever"; "challenge ACK, connection untouched"; "3.10.7.4 fourth, RFC 5961 4.2";
     established_syn_anywhere_sends_challenge_ack]
    // First check, for what is neither RST nor SYN.
    [SynReceivedBadAck; R7 M5 M7; "SYN-RECEIVED"; "ACK outside (SND.UNA, SND.NXT], wherever, opened actively";
     "<SEQ=SEG.ACK><CTL=RST>, the entry stays"; "3.5.2 group 2, deviation";
     syn_received_active_bad_ack_draws_rst_wherever]
    [SeqUnacceptable; R4 M5 S2; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "sequence number outside the window"; "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, limited unless an answer is owed";
     "3.10.7.4 first, RFC 5961 7"; established_unacceptable_sequence_is_acknowledged]
    [TimestampOld; R4 S2; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "a timestamp before TS.Recent"; "the same"; "RFC 7323 5.3 R1, deviation";
     established_old_timestamp_is_acknowledged]
    [ProbesCrossed; R4 M1; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "a window probe outstanding, empty segment at RCV.NXT-1 that acknowledges it"; "ACK processed, ACK sent";
     "appendix A.2"; established_ack_of_crossed_probe_is_taken]
    // Fifth check.
    [NoAck; R4; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK"; "no ACK";
     "dropped"; "3.10.7.4 fifth"; established_segment_without_ack_is_dropped]
    [SynReceivedBadAck; R7 M5; "SYN-RECEIVED"; "ACK outside (SND.UNA, SND.NXT]";
     "<SEQ=SEG.ACK><CTL=RST>, the entry stays"; "3.10.7.4 fifth, 3.5.2 group 2";
     syn_received_bad_ack_draws_rst_and_stays]
    [SynReceivedNoSlot; R2; "SYN-RECEIVED"; "acceptable ACK, passive, but no slot or no room in the backlog";
     "dropped, the entry stays"; "3.10.7.4 fifth"; syn_received_ack_without_slot_is_dropped]
    [AckUnacceptable; R7 M5 S2; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "ACK outside [SND.UNA-MAX.SND.WND, SND.NXT]"; "challenge ACK"; "3.10.7.4 fifth, RFC 5961 5.2";
     established_unacceptable_ack_is_challenged]
    [AckOfFin; R4 M2; "CLOSING"; "our FIN acknowledged"; "TIME-WAIT"; "3.10.7.4 fifth";
     closing_ack_of_fin_enters_time_wait]
    [AckOfFin; R4 M2; "LAST-ACK"; "our FIN acknowledged"; "CLOSED: peer closed first"; "3.10.7.4 fifth";
     last_ack_ack_of_fin_closes]
    [ZeroWindow; R4 M1; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "RCV.WND = 0, payload at RCV.NXT"; "ACK processed, payload and FIN not taken, ACK sent"; "3.10.7.4 first";
     established_zero_window_processes_ack_only]
    // Seventh and eighth step.
    [PayloadReceiverGone; R8; "FIN-WAIT-1, FIN-WAIT-2"; "payload beyond RCV.NXT, the application closed both ways";
     "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>, CLOSED: data lost"; "3.6.1 SHLD-3, RFC 2525 2.17";
     fin_wait_payload_for_closed_application_resets]
    [AfterFin; R4; "CLOSE-WAIT, CLOSING, LAST-ACK"; "payload or FIN after the peer's FIN";
     "ACK processed, the rest ignored; a FIN draws an ACK"; "3.10.7.4 seventh, eighth";
     close_wait_payload_after_fin_is_ignored]
    [FinInOrder; R4 M2; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2"; "FIN in order";
     "RCV.NXT advances over it, ACK; CLOSE-WAIT, CLOSING or TIME-WAIT"; "3.10.7.4 eighth";
     established_fin_in_order_enters_close_wait]
    [FinOutOfOrder; R4; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2"; "FIN beyond a gap";
     "remembered, ACK at once"; "3.10.7.4 eighth"; established_fin_beyond_gap_is_remembered]
    [PayloadInOrder; R4 M1; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2"; "payload from RCV.NXT on";
     "taken, RCV.NXT advances, ACK"; "3.10.7.4 seventh"; established_payload_in_order_is_taken]
    [PayloadOutOfOrder; R4 M1; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2"; "payload beyond a gap";
     "held, ACK at once"; "3.10.7.4 seventh, SHLD-31"; established_payload_beyond_gap_is_held]
    // A bare acknowledgment.
    [AckOfFin; R4 M2; "FIN-WAIT-1"; "our FIN acknowledged"; "FIN-WAIT-2"; "3.10.7.4 fifth";
     fin_wait_1_ack_of_fin_enters_fin_wait_2]
    [AckAtRightEdge; R4 M1; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK";
     "empty ACK at RCV.NXT+RCV.WND"; "ACK processed, nothing sent"; "3.10.7.4 first, deviation";
     established_ack_at_right_edge_is_taken]
    [AckEstablishes; R4 M1; "SYN-RECEIVED"; "acceptable ACK"; "ESTABLISHED"; "3.10.7.4 fifth";
     syn_received_ack_establishes]
    [AckAccepted; R4 R7 M1; "ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK"; "acceptable ACK";
     "SND.UNA and SND.WND brought up to date"; "3.10.7.4 fifth, RFC 5961 5.2"; established_acceptable_ack_is_taken]
    // What takes more than one segment to see.
    [-; M1; "ESTABLISHED"; "payload both ways, losses, a closed window, days of silence";
     "every byte once and in order, no end"; "3.8"; established_idle_for_days_still_carries_data]
    [-; M1; "ESTABLISHED"; "more payload than the window"; "no byte beyond SND.UNA+SND.WND"; "3.8.6";
     established_sender_respects_the_window]
    [-; M1; "ESTABLISHED"; "a lost segment"; "sent again until acknowledged"; "3.8.1";
     established_lost_payload_is_sent_again]
    [-; M2; "ESTABLISHED"; "close on both sides"; "FIN each way, both told that the end was orderly"; "3.6";
     established_orderly_close_ends_both_sides]
    [-; M2 M10; "ESTABLISHED"; "abort by the peer"; "CLOSED, told that it was reset"; "3.10.7.4 second";
     established_rst_at_rcv_nxt_resets]
    [-; M3 R6 M11; "ESTABLISHED against a rebooted peer"; "the peer's new SYN";
     "ACK, RST, and the next SYN succeeds"; "3.5.1 figure 9"; rebooted_peer_syn_resets_and_reconnects]
    [-; M3 M4; "ESTABLISHED against a crashed peer"; "our payload meets no connection"; "RST, reset by peer";
     "3.5.1 figure 10"; crashed_peer_payload_draws_rst_and_ends]
    [-; M11; "CLOSED after a reset"; "connect or SYN on the same ports"; "ESTABLISHED anew at once"; "3.4.1";
     after_reset_same_ports_open_at_once]
    [-; R5 S2; "ESTABLISHED"; "RST one off, then the exact one in answer to the challenge";
     "reset in one more exchange"; "RFC 5961 3.2"; established_challenged_peer_answers_exactly]
    [-; R5; "ESTABLISHED, CLOSE-WAIT"; "RST at the policies' places, policies off";
     "dropped, at RCV.NXT-1 challenged"; "RFC 5961 3.2"; rst_policies_are_off_by_default]
    [-; R5 S8; "ESTABLISHED"; "the challenge to an RST is not answered";
     "sent again, twice at most, until the peer is heard"; "RFC 5961 3.2";
     established_unanswered_challenge_is_repeated_twice]
    [-; R4; "SYN-RECEIVED, ESTABLISHED"; "a segment without a timestamp, and both SYNs had one"; "taken as any other";
     "RFC 7323 3.2, deviation"; established_segment_without_timestamp_is_taken]
    [-; S8; "SYN-RECEIVED"; "the handshake is not completed, or finds no slot, in time";
     "<SEQ=ISS+1><CTL=RST>, with ACK if the peer had completed it"; "3.10.5"; syn_received_expired_peer_is_told]
    [-; S8; "SYN-RECEIVED"; "a listener with more handshakes than the reply queue holds closes";
     "each peer is told as the queue drains"; "3.10.5"; unlisten_tells_every_half_open_peer]
    [-; S8; "SYN-SENT crossed by a SYN"; "abort while no neighbor is known for the peer";
     "no RST, counted; the slot is free"; "3.10.5"; syn_received_abort_with_nowhere_to_go_frees_the_slot]
    [-; R10; "TIME-WAIT"; "abort"; "CLOSED, the record is deleted"; "3.10.5"; time_wait_abort_deletes_the_record]
    [-; L1 S5; "all that hold a slot"; "a peer that is silent, or answers and gives nothing";
     "ended within the budget, by the timer's name, or lives"; "3.8.3, 3.8.4";
     whatever_holds_a_slot_is_ended_in_time_by_its_name_or_lives]
    [-; L2 S5; "ESTABLISHED, CLOSE-WAIT, FIN-WAIT-2"; "silence, keepalive on";
     "<SEQ=SND.NXT-1><CTL=ACK>, and after the last RST"; "3.8.4";
     a_silent_peer_is_asked_as_often_as_set_and_then_ended]
    [-; L1 L2; "ESTABLISHED"; "idle for 60 days, each probe answered"; "lives, and carries data"; "3.8.4 MUST-26";
     sixty_idle_days_with_keepalive_are_probed_as_the_settings_say]
    [-; L3 S5; "ESTABLISHED, CLOSE-WAIT, FIN-WAIT-1, CLOSING, LAST-ACK";
     "what was sent makes no progress for the user timeout"; "RST"; "3.9.1.1, RFC 5482";
     data_in_flight_is_given_up_exactly_then]
    [-; L3; "SYN-SENT"; "no answer for the user timeout"; "CLOSED"; "3.9.1.1, RFC 5482";
     a_syn_is_given_up_exactly_then]
    [-; L3; "ESTABLISHED"; "the peer's user timeout option"; "R2 is lengthened, up to the limit"; "RFC 5482 3.1";
     a_peer_that_bears_longer_is_borne_longer_up_to_the_limit]
    [-; L4; "ESTABLISHED to LAST-ACK"; "no byte either way for the idle timeout"; "RST"; "3.8.4";
     who_moves_no_byte_is_ended_exactly_then]
    [-; L4; "ESTABLISHED"; "no first byte in time"; "RST"; "3.8.4";
     who_is_accepted_and_says_nothing_is_ended_exactly_then]
    [-; L4; "ESTABLISHED, CLOSE-WAIT"; "nobody accepts in time"; "RST"; "3.10.5";
     who_is_not_accepted_is_reset_exactly_then]
    [-; L5 S4; "ESTABLISHED to LAST-ACK"; "a newcomer finds no slot or no buffers, eviction on";
     "the longest idle is reset, the newcomer gets its slot"; "3.10.5";
     the_longest_idle_goes_and_its_slot_is_the_newcomers]
    [-; J1; "any"; "a connection begins, ends, or sends and receives"; "its record is written, cleared, left alone"; "3.5.1";
     each_change_is_told_and_a_copy_is_as_good]
    [-; J1; "any"; "the power is cut within a write of the journal"; "the old record, the new one, or none"; "3.5.1";
     a_cut_write_leaves_the_old_the_new_or_nothing]
    [-; J1; "any"; "garbage, another layout, or a pair that cannot be in the journal"; "ignored, counted"; "3.5.1";
     other_layouts_and_pairs_that_cannot_be_are_ignored]
    [-; J1; "any"; "the journal's pair is on another IPv4 address than ours"; "forgotten"; "3.5.1";
     on_another_ipv4_address_nobody_is_asked]
    [-; J2 M3 M4; "CLOSED after a restart"; "a peer still holds the connection";
     "<CTL=ACK> of foreign numbers, its answer draws <SEQ=SEG.ACK><CTL=RST>"; "3.5.1, 3.10.7.1";
     a_peer_that_holds_the_connection_is_told]
    [-; J2; "CLOSED after a restart that noted SND.NXT"; "a peer may hold the connection";
     "<SEQ=SND.NXT><CTL=RST>, and the probe"; "3.5.1, 3.10.5"; the_exact_rst_goes_first_and_the_question_after_it]
    [-; J2; "CLOSED after a restart"; "the peer is silent"; "six probes, given up after a minute"; "3.5.1";
     a_silent_peer_is_asked_six_times_and_given_up_after_a_minute]
    [-; J2; "CLOSED after a restart"; "connect without a port of its own"; "not on the pair"; "RFC 6056";
     ephemeral_ports_avoid_the_pair_and_a_chosen_port_does_not]
    [-; J3; "CLOSED after a restart"; "the peer has no such connection"; "one probe, its RST ends the matter"; "3.10.7.1";
     a_peer_without_the_connection_costs_one_segment]
    [-; J3 J2; "CLOSED, LISTEN, SYN-RECEIVED after a restart"; "forged RSTs and SYNs on the pair";
     "the peer is asked and told all the same"; "3.5.2"; a_forged_segment_does_not_stop_the_questions]
    [-; S7 R1 R2; "CLOSED, LISTEN, SYN-SENT, SYN-RECEIVED"; "what draws an RST, reasons on the wire"; "it says why if it is no longer for that";
     "RFC 9293 3.5.3, draft-ietf-tcpm-rst-diagnostic-payload"; a_reply_is_never_longer_than_what_it_answers]
    [-; R9; "any"; "an RST is sent, reasons on the wire"; "the code of its reason, compact form";
     "draft-ietf-tcpm-rst-diagnostic-payload"; each_rst_says_why_with_the_code_of_its_reason]
    [-; M10; "SYN-SENT, ESTABLISHED to LAST-ACK"; "an RST that says why ends the connection, reasons on the wire";
     "kept with the end, never acted upon"; "draft-ietf-tcpm-rst-diagnostic-payload";
     what_a_peers_rst_says_is_kept_until_the_handle_is_given_up]
    [-; M10; "SYN-SENT, ESTABLISHED to LAST-ACK"; "its payload has no known form"; "counts as an RST without one, counted";
     "draft-ietf-tcpm-rst-diagnostic-payload"; a_payload_of_no_known_form_is_ignored_and_counted]
    [-; R10 M11; "TIME-WAIT reopened by a SYN"; "the old peer repeats its FIN"; "ACK by the old record";
     "3.10.7.4 eighth"; time_wait_reopened_old_peer_is_still_answered]
    [-; R7; "ESTABLISHED"; "window updates out of order"; "SND.WND follows WL1 and WL2"; "3.10.7.4 fifth";
     established_old_segment_does_not_change_the_window]
    [-; R7; "ESTABLISHED"; "an old but acceptable ACK on new payload"; "the payload is taken"; "3.10.7.4 fifth";
     established_old_ack_keeps_its_text]
    [-; R7; "ESTABLISHED"; "ACK of a window probe's byte"; "acceptable while the probe is outstanding"; "3.8.6.1";
     established_ack_of_probe_is_taken]
    [-; R8; "ESTABLISHED"; "close with unread bytes"; "RST instead of FIN: data lost"; "RFC 2525 2.17";
     established_close_with_unread_data_resets]
    [-; R8; "FIN-WAIT-1, FIN-WAIT-2"; "only old payload again, the application gone"; "ACK"; "3.6.1";
     fin_wait_old_payload_for_closed_application_is_acknowledged]
    [-; R9 S8; "SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK"; "abort";
     "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>"; "3.10.5, deviation";
     abort_in_every_state_sends_what_the_state_demands]
    [-; R8 R9 S8; "CLOSING, LAST-ACK"; "close with unread bytes";
     "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>: data lost"; "RFC 2525 2.17, deviation";
     closing_close_with_unread_data_resets]
    [-; R9; "ESTABLISHED"; "abort while the peer's window shrank"; "RST at SND.UNA+SND.WND"; "3.10.5, deviation";
     established_abort_with_shrunk_window_stays_inside_it]
    [-; R9; "ESTABLISHED"; "abort while the window is closed and probed"; "RST at SND.NXT without the probe's byte";
     "3.10.5"; established_abort_with_closed_window_ignores_the_probe]
    [-; R9; "ESTABLISHED"; "abort after a retransmission timeout"; "RST at the highest SND.NXT"; "3.10.5";
     established_abort_after_retransmission_uses_highest_snd_nxt]
    [-; R9; "SYN-SENT"; "close"; "CLOSED, nothing sent, told: closed before open"; "3.10.4";
     syn_sent_close_ends_silently]
    [-; R9; "ESTABLISHED"; "the listener closes before accept"; "<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>"; "3.10.5";
     unlisten_resets_what_was_not_accepted]
    [-; R9; "ESTABLISHED, FIN-WAIT-1, CLOSING, LAST-ACK"; "the peer acknowledges nothing for R2";
     "RST, told: timed out"; "3.8.3, 3.10.5, deviation"; retransmission_timeout_resets_and_tells]
    [-; R10; "TIME-WAIT"; "handshake of the reopened connection completes"; "the record goes, ESTABLISHED";
     "3.6.1 MAY-2"; time_wait_reopened_handshake_replaces_the_record]
    [-; R10; "TIME-WAIT"; "the reopening SYN was an old duplicate: RST"; "the record is there as before";
     "3.6.1 MAY-2"; time_wait_reopening_by_old_duplicate_returns]
    [-; R10; "TIME-WAIT"; "the table is full"; "the oldest leaves"; "3.10.7"; time_wait_table_full_drops_the_oldest]
    [-; R10; "TIME-WAIT"; "2 MSL pass"; "CLOSED"; "3.10.8"; time_wait_ends_after_two_msl]
    [-; R11; "CLOSED, LISTEN"; "each address of the list as source or destination"; "dropped"; "3.9.2.3";
     any_state_unanswerable_address_is_dropped]
    [-; R11; "CLOSED, LISTEN"; "a frame to a group, a network's broadcast address, any address of ours as source";
     "no answer"; "3.9.2.3, RFC 1122 3.2.1.3"; frame_to_or_from_a_group_draws_nothing]
    [-; R12; "LISTEN, ESTABLISHED"; "malformed options"; "no reset, the rest of the segment counts";
     "3.1, MUST-7 deviation"; malformed_options_never_reset]
    [-; R12; "ESTABLISHED"; "urgent pointers that cannot be true"; "the payload and nothing else is delivered"; "3.8.5";
     urgent_pointer_changes_nothing]
    [-; S1; "any"; "no key"; "refused"; "3.4.1, RFC 6528"; weak_key_is_refused]
    [-; S1; "SYN-SENT, SYN-RECEIVED"; "another tuple, another key, later"; "another ISS; 1 more per 4 us";
     "3.4.1, RFC 6528"; isn_depends_on_tuple_key_and_clock]
    [-; S2; "SYN-RECEIVED, ESTABLISHED, TIME-WAIT"; "more challenges than the limit";
     "withheld until the period ends"; "RFC 5961 7"; challenge_quota_limits_each_record_alone]
    [-; S2; "ESTABLISHED"; "keepalives and repeated payload beyond the limit"; "each answered"; "RFC 5961 7";
     challenge_quota_spares_owed_answers]
};
