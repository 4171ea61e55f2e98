//! What the board tells about itself: a page for people, and the same facts in parts of bounded length as JSON and as metrics for Prometheus.
//!
//! The page is a file that asks for the JSON every other second. Keys and labels are stable: [`SCHEMA`] counts up when one changes its meaning or goes.
//!
//! Two views. An overview is for everybody: nothing in it depends on how a forged segment was judged, or an attacker who reads the page
//! between guesses would find RCV.NXT by halving (no sequence numbers, no counters by rule, no counts of resets, challenges, segments), and
//! nothing in it says which connections there are to aim at (no endpoints but the board's own address). Nor does it tell whether a SYN met a
//! connection, which would find the ports: no half-open records and none of their ends, and a connection that we open looks the same before
//! and after a SYN has crossed ours. A slot's times are told in an overview, and when it ends if nothing comes: what they count from moves only
//! with a segment whose SEQ and ACK are both acceptable, and with what we do ourselves. When it retransmits, or acknowledges, or challenges, is
//! not told: a guess that falls into the window arms the last two. Everything is for those whom the build lets see it.

use core::time::Duration;

use heapless::Vec;
use tcp_reset_core::link::Link;
use tcp_reset_core::{CloseReason, Instant, State, Status, Timer};

use super::last_ends::LastEnds;
use super::liveness::KEEP_ALIVE_ENDS;
use super::settings::Server;
use super::shared::ClientState;
use super::sizes::{BUFFER, CONNECTIONS, HALF_OPEN, TIME_WAIT};
use super::stack_use::StackUse;

mod json;
mod metrics;
mod snake;

/// The page for people.
pub(super) const INDEX: &str = include_str!("page/index.html");
/// The version of the JSON's keys and of the metrics' names and labels.
const SCHEMA: u32 = 1;
/// The longest part, in bytes.
pub(super) const LONGEST_PART: usize = 768;
/// An overview's deepest stack is rounded up to a multiple of this, in bytes: the mark must not tell one path through the rules from
/// another.
const STACK_STEP: usize = 4_096;

/// Where parts are written.
pub(super) type Text = Vec<u8, { 2 * LONGEST_PART }>;

/// How the facts are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Json,
    /// Prometheus' text format.
    Metrics,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(super) fn first(self) -> Part {
        match self {
            Format::Json => Part::Json(json::Part::FIRST),
            Format::Metrics => Part::Metrics(metrics::Part::FIRST),
        }
    }
}

/// How much of it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    /// What helps nobody to hit a connection.
    Overview,
    Everything,
}

/// What is written at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Json(json::Part),
    Metrics(metrics::Part),
}

impl Part {
    pub(super) fn next(self, view: View) -> Option<Part> {
        match self {
            Part::Json(part) => part.next(view).map(Part::Json),
            Part::Metrics(part) => part.next(view).map(Part::Metrics),
        }
    }
}

/// What is told besides the engine's state, as it was when it was asked for.
pub(super) struct Facts<'a> {
    pub(super) board: &'a str,
    pub(super) reset_cause: &'a str,
    /// Since the start, in seconds.
    pub(super) uptime_s: u64,
    /// The same moment as the engine counts.
    pub(super) now: Instant,
    pub(super) is_link_up: bool,
    pub(super) address: Option<embassy_net::Ipv4Cidr>,
    #[cfg(feature = "ipv6")]
    pub(super) address_v6: Option<embassy_net::Ipv6Cidr>,
    pub(super) stack: StackUse,
    pub(super) frames_lost: u32,
    pub(super) server: Option<Server>,
    pub(super) client: ClientState,
    pub(super) last_ends: &'a LastEnds,
}

/// Writes one part behind what is there.
pub(super) fn write(facts: &Facts<'_>, link: &Link<'_>, part: Part, view: View, text: &mut Text) {
    // Names and numbers alone: nothing needs to be escaped, and every part fits.
    let _ = match part {
        Part::Json(part) => json::write(facts, link, part, view, text),
        Part::Metrics(part) => metrics::write(facts, link, part, view, text),
    };
}

/// A number that both formats tell.
struct Number {
    /// In JSON.
    key: &'static str,
    /// The metric's name behind the prefix of all; that of a counter ends in `_total`.
    metric: &'static str,
    help: &'static str,
    value: u64,
}

impl Number {
    const fn new(key: &'static str, metric: &'static str, help: &'static str, value: u64) -> Number {
        Number { key, metric, help, value }
    }
}

/// How many numbers a view has.
const fn numbers_in(view: View) -> usize {
    match view {
        View::Overview => OVERVIEW_NUMBERS,
        View::Everything => OVERVIEW_NUMBERS + INSIDE_NUMBERS,
    }
}

const OVERVIEW_NUMBERS: usize = 8;
const INSIDE_NUMBERS: usize = 12;

/// Returns the `n`th number of a view: those of an overview first.
fn number(facts: &Facts<'_>, link: &Link<'_>, view: View, n: usize) -> Option<Number> {
    match n.checked_sub(OVERVIEW_NUMBERS) {
        None => overview_numbers(facts, link, view).into_iter().nth(n),
        Some(n) => inside_numbers(facts, link).into_iter().nth(n),
    }
}

fn overview_numbers(facts: &Facts<'_>, link: &Link<'_>, view: View) -> [Number; OVERVIEW_NUMBERS] {
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

/// Returns which last ends a view shows, and how many seconds ago each was.
fn shown_ends(facts: &Facts<'_>, view: View) -> impl Iterator<Item = (CloseReason, u64)> {
    let is_shown = move |reason| view == View::Everything || !is_of_half_open(reason);
    facts.last_ends.iter(facts.uptime_s).filter(move |&(reason, _)| is_shown(reason))
}

/// Returns when the connection ends if nothing comes from the peer and nothing from our application; `None` where no limit runs.
fn ends_in(status: &Status, silence: Duration) -> Option<Duration> {
    const LIMITS: [Timer; 6] =
        [Timer::UserTimeout, Timer::Idle, Timer::AcceptWait, Timer::FirstByte, Timer::Orphan, Timer::FinWait2];
    // Its timer is the next question, and not the end.
    let keep_alive = status.timers.left(Timer::KeepAlive).map(|_| KEEP_ALIVE_ENDS.saturating_sub(silence));
    LIMITS.iter().filter_map(|&timer| status.timers.left(timer)).chain(keep_alive).min()
}

/// Not by `Duration`, whose milliseconds have 128 bits: to write those takes kilobytes of flash.
fn whole_ms(time: Duration) -> u64 {
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

/// Returns a state's name in a view. An overview has one for both states of a connection that we open, between which a single SYN makes the
/// difference. A connection that a peer opens takes a slot when its handshake is done.
fn state_name(state: State, view: View) -> &'static str {
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

#[cfg(test)]
mod tests;
