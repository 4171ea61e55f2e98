//! What there is to be told, and to whom.

use core::time::Duration;

use heapless::Vec;
use tcp_reset_core::link::Link;
use tcp_reset_core::{CloseReason, Instant, JournalCounters, State, Status, Timer};

use crate::app::last_ends::LastEnds;
use crate::app::liveness::KEEP_ALIVE_ENDS;
use crate::app::settings::Server;
use crate::app::shared::ClientState;
use crate::app::sizes::{BUFFER, CONNECTIONS, HALF_OPEN, TIME_WAIT};
use crate::app::stack_use::StackUse;

/// The version of the JSON's keys and of the metrics' names and labels.
pub(super) const SCHEMA: u32 = 1;
/// The longest part, in bytes.
pub(crate) const LONGEST_PART: usize = 768;
/// An overview's deepest stack is rounded up to a multiple of this, in bytes: the mark must not tell one path through the rules from
/// another.
const STACK_STEP: usize = 4_096;

/// Room for parts.
pub(crate) type Text = Vec<u8, { 2 * LONGEST_PART }>;

/// Where parts are written, one behind the other.
pub(crate) struct Out {
    pub(super) text: Text,
    /// The list that is being written has an item already, perhaps in a piece that is gone: what was not there when the list began may be now.
    pub(super) has_item: bool,
}

impl Out {
    pub(super) const fn new() -> Out {
        Out { text: Text::new(), has_item: false }
    }
}

/// How much of it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum View {
    /// What helps nobody to hit a connection.
    Overview,
    Everything,
}

/// What is told besides the engine's state, as it was when it was asked for.
pub(crate) struct Facts<'a> {
    pub(crate) board: &'a str,
    pub(crate) reset_cause: &'a str,
    /// Since the start, in seconds.
    pub(crate) uptime_s: u64,
    /// The same moment as the engine counts.
    pub(crate) now: Instant,
    pub(crate) is_link_up: bool,
    pub(crate) address: Option<embassy_net::Ipv4Cidr>,
    #[cfg(feature = "ipv6")]
    pub(crate) address_v6: Option<embassy_net::Ipv6Cidr>,
    pub(crate) stack: StackUse,
    pub(crate) frames_lost: u32,
    pub(crate) server: Option<Server>,
    pub(crate) client: ClientState,
    pub(crate) last_ends: &'a LastEnds,
}

/// A number that both formats tell.
pub(super) struct Number {
    /// In JSON.
    pub(super) key: &'static str,
    /// The metric's name behind the prefix of all; that of a counter ends in `_total`.
    pub(super) metric: &'static str,
    pub(super) help: &'static str,
    /// `None`: it is not known yet, or not to be told yet.
    pub(super) value: Option<u64>,
}

impl Number {
    const fn new(key: &'static str, metric: &'static str, help: &'static str, value: u64) -> Number {
        Number { key, metric, help, value: Some(value) }
    }
}

/// How many numbers a view has.
pub(super) const fn numbers_in(view: View) -> usize {
    match view {
        View::Overview => OVERVIEW_NUMBERS,
        View::Everything => OVERVIEW_NUMBERS + INSIDE_NUMBERS,
    }
}

const BOARD_NUMBERS: usize = 8;
const LOST_PEERS_NUMBERS: usize = 6;
const OVERVIEW_NUMBERS: usize = BOARD_NUMBERS + LOST_PEERS_NUMBERS;
const INSIDE_NUMBERS: usize = 13;

/// Returns the `n`th number of a view: those of an overview first.
pub(super) fn number(facts: &Facts<'_>, link: &Link<'_>, view: View, n: usize) -> Option<Number> {
    match (n.checked_sub(BOARD_NUMBERS), n.checked_sub(OVERVIEW_NUMBERS)) {
        (None, _) => board_numbers(facts, link, view).into_iter().nth(n),
        (Some(n), None) => lost_peers_numbers(link, view).into_iter().nth(n),
        (_, Some(n)) => inside_numbers(facts, link).into_iter().nth(n),
    }
}

fn board_numbers(facts: &Facts<'_>, link: &Link<'_>, view: View) -> [Number; BOARD_NUMBERS] {
    let (connections, _, time_wait) = link.tcp_ref().in_use();
    let stack_used = match view {
        View::Overview => facts.stack.used.next_multiple_of(STACK_STEP),
        View::Everything => facts.stack.used,
    };
    let size = |size: usize| size as u64;
    [
        Number::new("uptime_s", "uptime_seconds", "Time since the start.", facts.uptime_s),
        Number::new("connections", "connections", "Connection slots in use.", size(connections)),
        Number::new("connection_slots", "connection_slots", "Connection slots there are.", size(CONNECTIONS)),
        Number::new("time_wait", "time_wait", "TIME-WAIT records in use.", size(time_wait)),
        Number::new("time_wait_slots", "time_wait_slots", "TIME-WAIT records there are.", size(TIME_WAIT)),
        Number::new("buffer_size", "buffer_bytes", "Size of each buffer of a connection.", size(BUFFER)),
        Number::new("stack_size", "stack_bytes", "Size of the stack.", size(facts.stack.size)),
        Number::new("stack_used", "stack_used_bytes", "Deepest use of the stack.", size(stack_used)),
    ]
}

/// What has become of the peers that the last restart has lost: in an overview all at once, when no peer is asked any more. Before, a forged ACK would
/// be seen to count as an answer, which finds the pair's ports.
fn lost_peers_numbers(link: &Link<'_>, view: View) -> [Number; LOST_PEERS_NUMBERS] {
    let tcp = link.tcp_ref();
    let JournalCounters { found, ignored, probes: _, told, gone, given_up, forgotten } = tcp.counters().journal;
    let is_shown = view == View::Everything || !tcp.has_lost_peers();
    let of_fate = |key, metric, help, count: u32| Number {
        value: is_shown.then_some(count.into()),
        ..Number::new(key, metric, help, 0)
    };
    [
        Number::new("lost_peers", "lost_peers", "Peers that the last restart lost.", found.into()),
        of_fate("lost_peers_told", "lost_peers_told", "Lost peers that were told.", told),
        of_fate("lost_peers_gone", "lost_peers_gone", "Lost peers that had no connection any more.", gone),
        of_fate("lost_peers_given_up", "lost_peers_given_up", "Lost peers that gave no answer.", given_up),
        of_fate("lost_peers_forgotten", "lost_peers_forgotten", "Lost peers that were not asked any more.", forgotten),
        Number::new(
            "journal_ignored",
            "journal_records_ignored",
            "Records of the journal that were none at the start.",
            ignored.into(),
        ),
    ]
}

fn inside_numbers(facts: &Facts<'_>, link: &Link<'_>) -> [Number; INSIDE_NUMBERS] {
    let (_, half_open, _) = link.tcp_ref().in_use();
    let counters = link.tcp_ref().counters();
    let count = |key, metric, help, value: u32| Number::new(key, metric, help, value.into());
    [
        Number::new("half_open", "half_open", "Half-open records in use.", half_open as u64),
        Number::new("half_open_slots", "half_open_slots", "Half-open records there are.", HALF_OPEN as u64),
        count("client_attempts", "client_attempts_total", "Connections the client began.", facts.client.attempts),
        count("frames_lost", "frames_lost_total", "Frames the device lost.", facts.frames_lost),
        count("segments_in", "segments_received_total", "Segments received.", counters.segments_in),
        count("segments_out", "segments_sent_total", "Segments sent.", counters.segments_out),
        count("retransmissions", "retransmissions_total", "Segments sent again.", counters.retransmissions),
        count("acks_withheld", "acks_withheld_total", "ACKs withheld by a rate limit.", counters.limited),
        count("replies_lost", "replies_lost_total", "Replies that found no room.", counters.replies_lost),
        count("lost_peer_probes", "lost_peer_probes_total", "Probes sent to lost peers.", counters.journal.probes),
        count("resets_dropped", "resets_dropped_total", "Resets given up unsent.", counters.resets_dropped),
        count(
            "half_open_expired",
            "half_open_expired_total",
            "Handshakes never completed.",
            counters.half_open_expired,
        ),
        count(
            "lost_before_accept",
            "lost_before_accept_total",
            "Connections that ended before anybody accepted them.",
            counters.lost_before_accept,
        ),
    ]
}

/// Returns the `n`th reason for an end, and how many seconds ago it was last seen, if it was, in a view that shows it.
pub(super) fn last_end(facts: &Facts<'_>, view: View, n: usize) -> Option<(CloseReason, u64)> {
    let reason = *CloseReason::ALL.get(n)?;
    let is_shown = view == View::Everything || !is_of_half_open(reason);
    facts.last_ends.iter(facts.uptime_s).find(|(seen, _)| *seen == reason).filter(|_| is_shown)
}

/// Returns when the connection ends if nothing comes from the peer and nothing from our application; `None` where no limit runs.
pub(super) fn ends_in(status: &Status, silence: Duration) -> Option<Duration> {
    const LIMITS: [Timer; 6] =
        [Timer::UserTimeout, Timer::Idle, Timer::AcceptWait, Timer::FirstByte, Timer::Orphan, Timer::FinWait2];
    // Its timer is the next question, and not the end.
    let keep_alive = status.timers.left(Timer::KeepAlive).map(|_| KEEP_ALIVE_ENDS.saturating_sub(silence));
    LIMITS.iter().filter_map(|&timer| status.timers.left(timer)).chain(keep_alive).min()
}

/// Not by `Duration`, whose milliseconds have 128 bits: to write those takes kilobytes of flash.
pub(super) fn whole_ms(time: Duration) -> u64 {
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

/// Returns a state's name in a view. An overview has one for both states of a connection that we open, between which a single SYN makes the
/// difference. A connection that a peer opens takes a slot when its handshake is done.
pub(super) fn state_name(state: State, view: View) -> &'static str {
    match (view, state) {
        (View::Overview, State::SynSent | State::SynReceived) => "opening",
        (
            View::Overview | View::Everything,
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait,
        ) => state.name(),
    }
}

/// Returns whether the reason is that of a half-open record: a SYN that met no connection makes one, and nothing else need follow.
fn is_of_half_open(reason: CloseReason) -> bool {
    reason == CloseReason::TimedOut(Timer::SynReceived)
}
