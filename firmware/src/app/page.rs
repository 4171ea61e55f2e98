//! What the status page says, in parts of bounded length, as HTML and as JSON.
//!
//! Two views. An overview is for everybody: nothing in it depends on how a forged segment was judged, or an attacker who reads the page
//! between guesses would find RCV.NXT by halving (no sequence numbers, no counters by rule, no counts of resets, challenges, segments), and
//! nothing in it says which connections there are to aim at (no endpoints but the board's own address). Nor does it tell whether a SYN met a
//! connection, which would find the ports: no half-open records and none of their ends, and a connection that we open looks the same before
//! and after a SYN has crossed ours. A slot's times are told in an overview, and when it ends if nothing comes: what they count from moves only
//! with a segment whose SEQ and ACK are both acceptable, and with what we do ourselves. When it retransmits, or acknowledges, or challenges, is
//! not told: a guess that falls into the window arms the last two. Everything is for those whom the build lets see it.

use core::fmt::{self, Display, Write};
use core::time::Duration;

use heapless::String;
use tcp_reset_core::link::Link;
use tcp_reset_core::{CloseReason, Instant, RecordStatus, ResetKind, ResetReason, Rule, State, Status, Timer};

use super::last_ends::LastEnds;
use super::liveness::KEEP_ALIVE_ENDS;
use super::settings::Server;
use super::shared::ClientState;
use super::sizes::{BUFFER, CONNECTIONS, HALF_OPEN, TIME_WAIT};
use super::stack_use::StackUse;

/// The longest part, in bytes: a table of all rules' counters.
pub(super) const LONGEST_PART: usize = 2_560;
/// Bytes around a counter's name: markup, and ten digits.
const AROUND_COUNTER: usize = "<tr><td><td>".len() + 10;
/// Bytes around a table of counters.
const AROUND_TABLE: usize = 64;
const _: () = assert!(longest_table() <= LONGEST_PART, "the rules' counters do not fit a part of the page");
/// An overview's deepest stack is rounded up to a multiple of this, in bytes: the mark must not tell one path through the rules from
/// another.
const STACK_STEP: usize = 4_096;

/// All rules' counters at their greatest.
const fn longest_table() -> usize {
    let mut len = AROUND_TABLE;
    let mut at = 0;
    while at < Rule::COUNT {
        len += AROUND_COUNTER + Rule::ALL[at].name().len();
        at += 1;
    }
    len
}

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Html,
    Json,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Html => "text/html; charset=utf-8",
            Format::Json => "application/json",
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

/// A part of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Board,
    Client,
    Slot(usize),
    LastEnds,
    Rules,
    ResetsSent,
    Closed,
    LastReset(usize),
    HalfOpen(usize),
    TimeWait(usize),
    End,
}

impl Part {
    pub(super) const FIRST: Part = Part::Head;

    pub(super) fn next(self, view: View) -> Option<Part> {
        Some(match self {
            Part::Head => Part::Board,
            Part::Board => Part::Client,
            Part::Client => Part::Slot(0),
            Part::Slot(n) if n + 1 < CONNECTIONS => Part::Slot(n + 1),
            Part::Slot(_) => Part::LastEnds,
            Part::LastEnds if view == View::Everything => Part::Rules,
            Part::Rules => Part::ResetsSent,
            Part::ResetsSent => Part::Closed,
            Part::Closed => Part::LastReset(0),
            Part::LastReset(n) if n + 1 < tcp_reset_core::LAST_RESETS => Part::LastReset(n + 1),
            Part::LastReset(_) => Part::HalfOpen(0),
            Part::HalfOpen(n) if n + 1 < HALF_OPEN => Part::HalfOpen(n + 1),
            Part::HalfOpen(_) => Part::TimeWait(0),
            Part::TimeWait(n) if n + 1 < TIME_WAIT => Part::TimeWait(n + 1),
            Part::LastEnds | Part::TimeWait(_) => Part::End,
            Part::End => return None,
        })
    }
}

/// What the page tells besides the engine's state, as it was when the page was asked for.
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

/// Writes one part.
pub(super) fn write(
    facts: &Facts<'_>,
    link: &Link<'_>,
    part: Part,
    view: View,
    format: Format,
    text: &mut String<LONGEST_PART>,
) {
    let mut page = Page { text, view, format };
    // Names and numbers alone: nothing needs to be escaped, and every part fits.
    let _ = page.part(facts, link, part);
}

struct Page<'t> {
    text: &'t mut String<LONGEST_PART>,
    view: View,
    format: Format,
}

impl Page<'_> {
    fn part(&mut self, facts: &Facts<'_>, link: &Link<'_>, part: Part) -> fmt::Result {
        let counters = link.tcp_ref().counters();
        match part {
            Part::Head => self.either(
                "{",
                "<!doctype html><meta charset=utf-8><title>tcp-reset-core</title>\
                 <style>body{font:1em sans-serif}td{padding:0 1em 0 0}</style>",
            ),
            Part::Board => self.board(facts, link),
            Part::Client => self.client(facts),
            Part::Slot(n) => self.slot(facts, link, n),
            Part::LastEnds => self.last_ends(facts),
            Part::Rules => self.counters("rules", Rule::ALL.iter().map(|&rule| (rule, counters.rule(rule)))),
            Part::ResetsSent => {
                self.counters("resets_sent", ResetReason::ALL.iter().map(|&r| (r, counters.reset_sent(r))))
            }
            Part::Closed => {
                self.counters("closed", CloseReason::ALL.iter().map(|&r| (r, counters.closed(r))))?;
                self.either(
                    ",\"last_resets\":[",
                    "<h2>Last resets</h2><table><tr><th>at<th>local<th>remote<th>SEQ<th>why",
                )
            }
            Part::LastReset(n) => self.last_reset(link, n),
            Part::HalfOpen(n) => self.record("half_open_records", link.tcp_ref().half_open().nth(n), n),
            Part::TimeWait(n) => self.record("time_wait_records", link.tcp_ref().time_waits().nth(n), n),
            Part::End if self.view == View::Everything => self.either("]}\n", "</table>\n"),
            Part::End => self.either("}\n", "\n"),
        }
    }

    fn either(&mut self, json: &str, html: &str) -> fmt::Result {
        self.text.write_str(match self.format {
            Format::Json => json,
            Format::Html => html,
        })
    }

    /// A name and a value; JSON's values are quoted where they are not numbers.
    fn field(&mut self, name: &str, value: impl Display, is_number: bool) -> fmt::Result {
        match self.format {
            Format::Html => write!(self.text, "<tr><td>{name}<td>{value}"),
            Format::Json if is_number => write!(self.text, "\"{name}\":{value},"),
            Format::Json => write!(self.text, "\"{name}\":\"{value}\","),
        }
    }

    /// The same for what may be missing.
    fn field_or_none(&mut self, name: &str, value: Option<impl Display>) -> fmt::Result {
        match value {
            Some(value) => self.field(name, value, false),
            None => self.field(name, "none", false),
        }
    }

    /// Takes back the comma behind the last field.
    fn end_fields(&mut self) {
        if self.format == Format::Json && self.text.ends_with(',') {
            self.text.pop();
        }
    }

    fn board(&mut self, facts: &Facts<'_>, link: &Link<'_>) -> fmt::Result {
        if self.format == Format::Html {
            write!(self.text, "<h1>{}</h1><table>", facts.board)?;
        }
        let (connections, _, time_wait) = link.tcp_ref().in_use();
        let stack_used = match self.view {
            View::Overview => facts.stack.used.next_multiple_of(STACK_STEP),
            View::Everything => facts.stack.used,
        };
        self.field("board", facts.board, false)?;
        self.field("uptime_s", facts.uptime_s, true)?;
        self.field("reset_cause", facts.reset_cause, false)?;
        self.field("link", if facts.is_link_up { "up" } else { "down" }, false)?;
        self.field_or_none("address", facts.address)?;
        #[cfg(feature = "ipv6")]
        self.field_or_none("address_v6", facts.address_v6)?;
        for (name, value) in [
            ("connections", connections),
            ("connection_slots", CONNECTIONS),
            ("time_wait", time_wait),
            ("time_wait_slots", TIME_WAIT),
            ("buffer_size", BUFFER),
            ("stack_size", facts.stack.size),
            ("stack_used", stack_used),
        ] {
            self.field(name, value, true)?;
        }
        if self.view == View::Everything { self.totals(facts, link) } else { Ok(()) }
    }

    fn totals(&mut self, facts: &Facts<'_>, link: &Link<'_>) -> fmt::Result {
        let (_, half_open, _) = link.tcp_ref().in_use();
        self.field("half_open", half_open, true)?;
        self.field("half_open_slots", HALF_OPEN, true)?;
        let counters = link.tcp_ref().counters();
        for (name, value) in [
            ("frames_lost", facts.frames_lost),
            ("segments_in", counters.segments_in),
            ("segments_out", counters.segments_out),
            ("retransmissions", counters.retransmissions),
            ("acks_withheld", counters.limited),
            ("replies_lost", counters.replies_lost),
            ("resets_dropped", counters.resets_dropped),
            ("half_open_expired", counters.half_open_expired),
            ("lost_before_accept", counters.lost_before_accept),
        ] {
            self.field(name, value, true)?;
        }
        Ok(())
    }

    fn client(&mut self, facts: &Facts<'_>) -> fmt::Result {
        let ClientState { is_connected, attempts, last_end } = facts.client;
        if self.view == View::Everything {
            self.field_or_none("client_server", facts.server)?;
            self.field("client_attempts", attempts, true)?;
        }
        self.field("client_connected", is_connected, true)?;
        self.field_or_none("client_last_end", last_end)?;
        self.either("\"slots\":[", "</table><h2>Slots</h2><table><tr><th>state<th>idle<th>ends in")?;
        if self.view == View::Everything {
            self.either("", "<th>local<th>remote<th>unread<th>unacknowledged<th>retries<th>timers")?;
        }
        Ok(())
    }

    fn slot(&mut self, facts: &Facts<'_>, link: &Link<'_>, n: usize) -> fmt::Result {
        if let Some((_, status)) = link.tcp_ref().connections().nth(n) {
            self.comma_unless(n == 0)?;
            self.state(&status, facts.now.duration_since(status.heard_at))?;
            if self.view == View::Everything {
                self.status(&status)?;
            }
            self.either("}", "")?;
        }
        if n + 1 == CONNECTIONS { self.either("],", "</table>") } else { Ok(()) }
    }

    fn comma_unless(&mut self, is_first: bool) -> fmt::Result {
        if self.format == Format::Json && !is_first { self.text.write_char(',') } else { Ok(()) }
    }

    /// State, silence, and when the connection ends if nothing comes. Whole seconds: what a finer clock would tell beyond these is nobody's
    /// business. A SYN that crosses ours ends the silence of a connection that is not synchronized yet, and anybody may have sent it.
    fn state(&mut self, status: &Status, silence: Duration) -> fmt::Result {
        let (name, are_times_shown) = match self.view {
            View::Overview => (overview_name(status.state), status.state.is_synchronized()),
            View::Everything => (status.state.name(), true),
        };
        match self.format {
            Format::Html => write!(self.text, "<tr><td>{name}")?,
            Format::Json => write!(self.text, "{{\"state\":\"{name}\"")?,
        }
        let times = [("idle_s", Some(silence)), ("ends_in_s", ends_in(status, silence))];
        for (name, time) in times {
            match (self.format, time.filter(|_| are_times_shown)) {
                (Format::Html, Some(time)) => write!(self.text, "<td>{} s", time.as_secs())?,
                (Format::Html, None) => self.text.write_str("<td>")?,
                (Format::Json, Some(time)) => write!(self.text, ",\"{name}\":{}", time.as_secs())?,
                (Format::Json, None) => write!(self.text, ",\"{name}\":null")?,
            }
        }
        Ok(())
    }

    fn status(&mut self, status: &Status) -> fmt::Result {
        let Status { local, remote, readable, unacknowledged, retries, timers, .. } = status;
        match self.format {
            Format::Html => {
                write!(self.text, "<td>{local}<td>{remote}<td>{readable}<td>{unacknowledged}<td>{retries}<td>")?;
            }
            Format::Json => write!(
                self.text,
                ",\"local\":\"{local}\",\"remote\":\"{remote}\",\"unread\":{readable},\
                 \"unacknowledged\":{unacknowledged},\"retries\":{retries},\"timers\":["
            )?,
        }
        for (n, (timer, left)) in timers.armed().enumerate() {
            self.comma_unless(n == 0)?;
            let (name, in_ms) = (timer.text(), whole_ms(left));
            match self.format {
                Format::Html => write!(self.text, "{name} in {in_ms} ms<br>")?,
                Format::Json => write!(self.text, "{{\"timer\":\"{name}\",\"in_ms\":{in_ms}}}")?,
            }
        }
        self.either("]", "")
    }

    /// The `n`th half-open or TIME-WAIT record, if there is one; a list begins with its first.
    fn record(&mut self, list: &str, record: Option<RecordStatus>, n: usize) -> fmt::Result {
        match self.format {
            Format::Html if n == 0 => {
                write!(self.text, "</table><h2>{list}</h2><table><tr><th>local<th>remote<th>ends in")?;
            }
            Format::Json if n == 0 => write!(self.text, "],\"{list}\":[")?,
            Format::Html | Format::Json => {}
        }
        let Some(RecordStatus { local, remote, left, .. }) = record else { return Ok(()) };
        self.comma_unless(n == 0)?;
        let in_ms = whole_ms(left);
        match self.format {
            Format::Html => write!(self.text, "<tr><td>{local}<td>{remote}<td>{in_ms} ms"),
            Format::Json => {
                write!(self.text, "{{\"local\":\"{local}\",\"remote\":\"{remote}\",\"ends_in_ms\":{in_ms}}}")
            }
        }
    }

    fn last_ends(&mut self, facts: &Facts<'_>) -> fmt::Result {
        self.either("\"last_ends\":[", "<h2>Last ends</h2><table><tr><th>why<th>ago")?;
        let view = self.view;
        let shown = |reason: CloseReason| view == View::Everything || !is_of_half_open(reason);
        let ends = facts.last_ends.iter(facts.uptime_s).filter(|&(reason, _)| shown(reason));
        for (n, (reason, ago_s)) in ends.enumerate() {
            self.comma_unless(n == 0)?;
            match self.format {
                Format::Html => write!(self.text, "<tr><td>{reason}<td>{ago_s} s")?,
                Format::Json => write!(self.text, "{{\"why\":\"{reason}\",\"ago_s\":{ago_s}}}")?,
            }
        }
        self.either("]", "</table>")
    }

    /// All of them as JSON; only those that count anything for a reader.
    fn counters<T: Display>(&mut self, name: &str, counts: impl Iterator<Item = (T, u32)>) -> fmt::Result {
        match self.format {
            Format::Html => write!(self.text, "<h2>{name}</h2><table>")?,
            Format::Json => write!(self.text, ",\"{name}\":{{")?,
        }
        for (what, count) in counts {
            match self.format {
                Format::Html if count > 0 => write!(self.text, "<tr><td>{what}<td>{count}")?,
                Format::Html => {}
                Format::Json => write!(self.text, "\"{what}\":{count},")?,
            }
        }
        self.end_fields();
        self.either("}", "</table>")
    }

    fn last_reset(&mut self, link: &Link<'_>, n: usize) -> fmt::Result {
        let Some(reset) = link.tcp_ref().last_resets().nth(n) else { return Ok(()) };
        self.comma_unless(n == 0)?;
        let (way, why) = match reset.what {
            ResetKind::Sent(reason) => ("sent", reason.text()),
            ResetKind::Received(rule) => ("received", rule.name()),
        };
        let (at, local, remote, seq) = (reset.at, reset.local, reset.remote, reset.seq.0);
        match self.format {
            Format::Html => write!(self.text, "<tr><td>{at} s<td>{local}<td>{remote}<td>{seq}<td>{way}: {why}"),
            Format::Json => write!(
                self.text,
                "{{\"at_ms\":{},\"local\":\"{local}\",\"remote\":\"{remote}\",\"seq\":{seq},\"way\":\"{way}\",\"why\":\"{why}\"}}",
                at.as_micros() / 1_000
            ),
        }
    }
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

/// Returns a state's name in an overview: one for both states of a connection that we open, between which a single SYN makes the difference.
/// A connection that a peer opens takes a slot when its handshake is done.
fn overview_name(state: State) -> &'static str {
    match state {
        State::SynSent | State::SynReceived => "opening",
        State::Closed
        | State::Listen
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => state.name(),
    }
}

/// Returns whether the reason is that of a half-open record: a SYN that met no connection makes one, and nothing else need follow.
fn is_of_half_open(reason: CloseReason) -> bool {
    reason == CloseReason::TimedOut(Timer::SynReceived)
}

#[cfg(test)]
mod tests;
