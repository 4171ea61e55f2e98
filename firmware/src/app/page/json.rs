//! The facts as JSON.

use core::fmt::{self, Display, Write};
use core::mem;

use tcp_reset_core::link::Link;
use tcp_reset_core::{
    CloseReason, LAST_RESETS, LostPeer, RecordStatus, ResetKind, ResetReason, ResetRecord, Rule, Status,
};

use super::facts::{Facts, Out, SCHEMA, View, ends_in, last_end, number, numbers_in, state_name, whole_ms};
use super::snake::Snake;
use crate::app::sizes::{CONNECTIONS, HALF_OPEN, JOURNAL_RECORDS, TIME_WAIT};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Names,
    Number(usize),
    Slot(usize),
    LastEnd(usize),
    Rule(usize),
    ResetSent(usize),
    Closed(usize),
    LastReset(usize),
    LostPeer(usize),
    HalfOpen(usize),
    TimeWait(usize),
    End,
}

impl Part {
    pub(super) const FIRST: Part = Part::Names;

    pub(super) fn next(self, view: View) -> Option<Part> {
        Some(match self {
            Part::Names => Part::Number(0),
            Part::Number(n) if n + 1 < numbers_in(view) => Part::Number(n + 1),
            Part::Number(_) => Part::Slot(0),
            Part::Slot(n) if n + 1 < CONNECTIONS => Part::Slot(n + 1),
            Part::Slot(_) => Part::LastEnd(0),
            Part::LastEnd(n) if n + 1 < CloseReason::ALL.len() => Part::LastEnd(n + 1),
            Part::LastEnd(_) if view == View::Overview => Part::End,
            Part::LastEnd(_) => Part::Rule(0),
            Part::Rule(n) if n + 1 < Rule::COUNT => Part::Rule(n + 1),
            Part::Rule(_) => Part::ResetSent(0),
            Part::ResetSent(n) if n + 1 < ResetReason::COUNT => Part::ResetSent(n + 1),
            Part::ResetSent(_) => Part::Closed(0),
            Part::Closed(n) if n + 1 < CloseReason::ALL.len() => Part::Closed(n + 1),
            Part::Closed(_) => Part::LastReset(0),
            Part::LastReset(n) if n + 1 < LAST_RESETS => Part::LastReset(n + 1),
            Part::LastReset(_) => Part::LostPeer(0),
            Part::LostPeer(n) if n + 1 < JOURNAL_RECORDS => Part::LostPeer(n + 1),
            Part::LostPeer(_) => Part::HalfOpen(0),
            Part::HalfOpen(n) if n + 1 < HALF_OPEN => Part::HalfOpen(n + 1),
            Part::HalfOpen(_) => Part::TimeWait(0),
            Part::TimeWait(n) if n + 1 < TIME_WAIT => Part::TimeWait(n + 1),
            Part::TimeWait(_) => Part::End,
            Part::End => return None,
        })
    }
}

pub(super) fn write(facts: &Facts<'_>, link: &Link<'_>, part: Part, view: View, out: &mut Out) -> fmt::Result {
    let mut json = Json { out };
    let tcp = link.tcp_ref();
    let counters = tcp.counters();
    match part {
        Part::Names => json.names(facts, view),
        Part::Number(n) => number(facts, link, view, n).map_or(Ok(()), |number| json.number(number.key, number.value)),
        Part::Slot(n) => json.item("slots", n, CONNECTIONS, tcp.connections().nth(n), |json, (_, status)| {
            json.slot(facts, &status, view)
        }),
        Part::LastEnd(n) => json.item("last_ends", n, CloseReason::ALL.len(), last_end(facts, view, n), Json::last_end),
        Part::Rule(n) => json.count("rules", n, Rule::ALL, |rule| counters.rule(rule)),
        Part::ResetSent(n) => json.count("resets_sent", n, ResetReason::ALL, |reason| counters.reset_sent(reason)),
        Part::Closed(n) => json.count("closed", n, CloseReason::ALL, |reason| counters.closed(reason)),
        Part::LastReset(n) => json.item("last_resets", n, LAST_RESETS, tcp.last_resets().nth(n), Json::last_reset),
        Part::LostPeer(n) => {
            json.item("lost_peer_records", n, JOURNAL_RECORDS, tcp.lost_peers().nth(n), Json::lost_peer)
        }
        Part::HalfOpen(n) => json.item("half_open_records", n, HALF_OPEN, tcp.half_open().nth(n), Json::record),
        Part::TimeWait(n) => json.item("time_wait_records", n, TIME_WAIT, tcp.time_waits().nth(n), Json::record),
        Part::End => json.out.text.write_str("}\n"),
    }
}

struct Json<'o> {
    out: &'o mut Out,
}

impl Json<'_> {
    fn names(&mut self, facts: &Facts<'_>, view: View) -> fmt::Result {
        write!(self.out.text, "{{\"schema\":{}", SCHEMA)?;
        self.name("board", Some(facts.board))?;
        self.name("reset_cause", Some(facts.reset_cause))?;
        self.name("link", Some(if facts.is_link_up { "up" } else { "down" }))?;
        self.name("address", facts.address)?;
        #[cfg(feature = "ipv6")]
        self.name("address_v6", facts.address_v6)?;
        #[cfg(not(feature = "ipv6"))]
        self.name("address_v6", None::<&str>)?;
        if view == View::Everything {
            self.name("client_server", facts.server)?;
        }
        write!(self.out.text, ",\"client_connected\":{}", facts.client.is_connected)?;
        self.name("client_last_end", facts.client.last_end.map(Snake))
    }

    fn name(&mut self, key: &str, value: Option<impl Display>) -> fmt::Result {
        match value {
            Some(value) => write!(self.out.text, ",\"{key}\":\"{value}\""),
            None => write!(self.out.text, ",\"{key}\":null"),
        }
    }

    fn number(&mut self, key: &str, value: impl Into<Option<u64>>) -> fmt::Result {
        match value.into() {
            Some(value) => write!(self.out.text, ",\"{key}\":{value}"),
            None => write!(self.out.text, ",\"{key}\":null"),
        }
    }

    /// The `n`th of at most `most` items of a list, which begins with the first and ends with the last of them.
    fn item<T>(
        &mut self,
        list: &str,
        n: usize,
        most: usize,
        item: Option<T>,
        write: impl FnOnce(&mut Self, T) -> fmt::Result,
    ) -> fmt::Result {
        if n == 0 {
            write!(self.out.text, ",\"{list}\":[")?;
            self.out.has_item = false;
        }
        if let Some(item) = item {
            if mem::replace(&mut self.out.has_item, true) {
                self.out.text.write_char(',')?;
            }
            write(self, item)?;
        }
        if n + 1 == most { self.out.text.write_char(']') } else { Ok(()) }
    }

    /// The `n`th of a list of counters by name.
    fn count<T: Copy + Display>(&mut self, list: &str, n: usize, all: &[T], count: impl Fn(T) -> u32) -> fmt::Result {
        let Some(&what) = all.get(n) else { return Ok(()) };
        match n {
            0 => write!(self.out.text, ",\"{list}\":{{")?,
            _ => self.out.text.write_char(',')?,
        }
        write!(self.out.text, "\"{}\":{}", Snake(what), count(what))?;
        if n + 1 == all.len() { self.out.text.write_char('}') } else { Ok(()) }
    }

    /// State, silence, and when the connection ends if nothing comes. Whole seconds: what a finer clock would tell beyond these is nobody's
    /// business. A SYN that crosses ours ends the silence of a connection that is not synchronized yet, and anybody may have sent it.
    fn slot(&mut self, facts: &Facts<'_>, status: &Status, view: View) -> fmt::Result {
        write!(self.out.text, "{{\"state\":\"{}\"", state_name(status.state, view))?;
        let are_times_shown = view == View::Everything || status.state.is_synchronized();
        let silence = facts.now.duration_since(status.heard_at);
        for (key, time) in [("idle_s", Some(silence)), ("ends_in_s", ends_in(status, silence))] {
            self.number(key, time.filter(|_| are_times_shown).map(|time| time.as_secs()))?;
        }
        if view == View::Everything {
            self.inside(status)?;
        }
        self.out.text.write_char('}')
    }

    fn inside(&mut self, status: &Status) -> fmt::Result {
        let Status { local, remote, readable, unacknowledged, retries, timers, .. } = status;
        write!(
            self.out.text,
            ",\"local\":\"{local}\",\"remote\":\"{remote}\",\"unread\":{readable},\
             \"unacknowledged\":{unacknowledged},\"retries\":{retries},\"timers\":["
        )?;
        for (n, (timer, left)) in timers.armed().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(self.out.text, "{comma}{{\"timer\":\"{}\",\"in_ms\":{}}}", Snake(timer), whole_ms(left))?;
        }
        self.out.text.write_char(']')
    }

    fn last_end(&mut self, (reason, ago_s): (CloseReason, u64)) -> fmt::Result {
        write!(self.out.text, "{{\"reason\":\"{}\",\"ago_s\":{ago_s}}}", Snake(reason))
    }

    fn last_reset(&mut self, reset: ResetRecord) -> fmt::Result {
        let (at, local, remote, seq) = (reset.at.as_micros() / 1_000, reset.local, reset.remote, reset.seq.0);
        write!(self.out.text, "{{\"at_ms\":{at},\"local\":\"{local}\",\"remote\":\"{remote}\",\"seq\":{seq}")?;
        match reset.what {
            ResetKind::Sent(reason) => write!(self.out.text, ",\"way\":\"sent\",\"reason\":\"{}\"", Snake(reason))?,
            ResetKind::Received(rule) => {
                write!(self.out.text, ",\"way\":\"received\",\"reason\":\"{}\"", Snake(rule))?;
            }
        }
        // A code alone, which needs no escape.
        self.name("said", reset.said.map(Snake))?;
        self.out.text.write_char('}')
    }

    fn lost_peer(&mut self, peer: LostPeer) -> fmt::Result {
        let LostPeer { local, remote, probes, fate, .. } = peer;
        write!(self.out.text, "{{\"local\":\"{local}\",\"remote\":\"{remote}\",\"probes\":{probes}")?;
        self.name("fate", fate.map(Snake))?;
        self.out.text.write_char('}')
    }

    fn record(&mut self, record: RecordStatus) -> fmt::Result {
        let RecordStatus { local, remote, left, .. } = record;
        let in_ms = whole_ms(left);
        write!(self.out.text, "{{\"local\":\"{local}\",\"remote\":\"{remote}\",\"ends_in_ms\":{in_ms}}}")
    }
}
