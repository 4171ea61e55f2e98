//! What the status page says, in parts of bounded length, as HTML and as JSON.

use core::fmt::{self, Display, Write};

use embassy_time::Instant;
use heapless::String;
use tcp_reset_core::link::Link;
use tcp_reset_core::{CloseReason, ResetKind, ResetReason, Rule, Status};

use super::stack_use::stack_use;
use super::{App, CONNECTIONS};

/// The longest part, in octets: a table of all rules' counters.
pub(super) const LONGEST_PART: usize = 2_048;
/// Octets around a counter's name: markup, and ten digits.
const AROUND_COUNTER: usize = "<tr><td><td>".len() + 10;
/// Octets around a table of counters.
const AROUND_TABLE: usize = 64;
const _: () = assert!(longest_table() <= LONGEST_PART, "the rules' counters do not fit a part of the page");

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
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// A part of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Board,
    Client,
    Slot(usize),
    Rules,
    ResetsSent,
    Closed,
    LastReset(usize),
    End,
}

impl Part {
    pub(super) const FIRST: Part = Part::Head;

    pub(super) fn next(self) -> Option<Part> {
        Some(match self {
            Part::Head => Part::Board,
            Part::Board => Part::Client,
            Part::Client => Part::Slot(0),
            Part::Slot(n) if n + 1 < CONNECTIONS => Part::Slot(n + 1),
            Part::Slot(_) => Part::Rules,
            Part::Rules => Part::ResetsSent,
            Part::ResetsSent => Part::Closed,
            Part::Closed => Part::LastReset(0),
            Part::LastReset(n) if n + 1 < tcp_reset_core::LAST_RESETS => Part::LastReset(n + 1),
            Part::LastReset(_) => Part::End,
            Part::End => return None,
        })
    }
}

/// Writes one part; a test of the firmware reads all of them.
pub(super) fn write(app: &App, part: Part, format: Format, text: &mut String<LONGEST_PART>) {
    let mut page = Page { text, format };
    // Names and numbers alone: nothing needs to be escaped, and every part fits.
    let _ = page.part(app, part);
}

struct Page<'t> {
    text: &'t mut String<LONGEST_PART>,
    format: Format,
}

impl Page<'_> {
    fn part(&mut self, app: &App, part: Part) -> fmt::Result {
        match part {
            Part::Head => self.either(
                "{",
                "<!doctype html><meta charset=utf-8><title>tcp-reset-core</title>\
                 <style>body{font:1em sans-serif}td{padding:0 1em 0 0}</style>",
            ),
            Part::Board => self.board(app),
            Part::Client => self.client(app),
            Part::Slot(n) => app.tcp.inspect(|link| self.slot(link, n)),
            Part::Rules => app.tcp.inspect(|link| {
                let counters = link.tcp_ref().counters();
                self.counters("rules", Rule::ALL.iter().map(|&rule| (rule, counters.rule(rule))))
            }),
            Part::ResetsSent => app.tcp.inspect(|link| {
                let counters = link.tcp_ref().counters();
                self.counters("resets_sent", ResetReason::ALL.iter().map(|&r| (r, counters.reset_sent(r))))
            }),
            Part::Closed => app.tcp.inspect(|link| {
                let counters = link.tcp_ref().counters();
                self.counters("closed", CloseReason::ALL.iter().map(|&r| (r, counters.closed(r))))
            }),
            Part::LastReset(n) => app.tcp.inspect(|link| self.last_reset(link, n)),
            Part::End => self.either("]}\n", "</table>\n"),
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

    /// Takes back the comma behind the last field.
    fn end_fields(&mut self) {
        if self.format == Format::Json && self.text.ends_with(',') {
            self.text.pop();
        }
    }

    fn board(&mut self, app: &App) -> fmt::Result {
        if self.format == Format::Html {
            write!(self.text, "<h1>{}</h1><table>", app.board.name)?;
        }
        let (connections, half_open, time_wait) = app.tcp.inspect(|link| link.tcp_ref().in_use());
        let stack = stack_use();
        self.field("board", app.board.name, false)?;
        self.field("uptime_ms", app.started.elapsed().as_millis(), true)?;
        self.field("reset_cause", app.board.reset_cause, false)?;
        match app.stack.config_v4() {
            Some(config) => self.field("address", config.address, false)?,
            None => self.field("address", "none", false)?,
        }
        #[cfg(feature = "ipv6")]
        match app.stack.config_v6() {
            Some(config) => self.field("address_v6", config.address, false)?,
            None => self.field("address_v6", "none", false)?,
        }
        self.field("connections", connections, true)?;
        self.field("half_open", half_open, true)?;
        self.field("time_wait", time_wait, true)?;
        self.field("stack_size", stack.size, true)?;
        self.field("stack_used", stack.used, true)?;
        self.field("frames_lost", app.board.panel.frames_lost(), true)?;
        app.tcp.inspect(|link| {
            let counters = link.tcp_ref().counters();
            self.field("segments_in", counters.segments_in, true)?;
            self.field("segments_out", counters.segments_out, true)?;
            self.field("retransmissions", counters.retransmissions, true)?;
            self.field("acks_withheld", counters.limited, true)?;
            self.field("replies_lost", counters.replies_lost, true)?;
            self.field("half_open_expired", counters.half_open_expired, true)?;
            self.field("lost_before_accept", counters.lost_before_accept, true)
        })
    }

    fn client(&mut self, app: &App) -> fmt::Result {
        let client = *app.client.borrow();
        match app.settings.server {
            Some(server) => self.field("client_server", server, false)?,
            None => self.field("client_server", "none", false)?,
        }
        self.field("client_connected", client.is_connected, true)?;
        self.field("client_attempts", client.attempts, true)?;
        match client.last_end {
            Some(error) => self.field("client_last_end", error, false)?,
            None => self.field("client_last_end", "none", false)?,
        }
        self.either(
            "\"slots\":[",
            "</table><h2>Slots</h2><table><tr><th>local<th>remote<th>state<th>unread<th>unacknowledged<th>retries<th>timer",
        )
    }

    fn slot(&mut self, link: &Link<'_>, n: usize) -> fmt::Result {
        if let Some((_, status)) = link.tcp_ref().connections().nth(n) {
            self.comma_unless(n == 0)?;
            self.status(&status)?;
        }
        if n + 1 == CONNECTIONS { self.either("],", "</table>") } else { Ok(()) }
    }

    fn comma_unless(&mut self, is_first: bool) -> fmt::Result {
        if self.format == Format::Json && !is_first { self.text.write_char(',') } else { Ok(()) }
    }

    fn status(&mut self, status: &Status) -> fmt::Result {
        let Status { local, remote, state, readable, unacknowledged, retries, timer, .. } = status;
        let now = Instant::now().as_millis();
        let in_ms = timer.map(|(at, _)| (at.as_micros() / 1_000).saturating_sub(now));
        let name = timer.map_or("none", |(_, timer)| timer.text());
        match self.format {
            Format::Html => {
                write!(
                    self.text,
                    "<tr><td>{local}<td>{remote}<td>{state}<td>{readable}<td>{unacknowledged}<td>{retries}"
                )?;
                match in_ms {
                    Some(in_ms) => write!(self.text, "<td>{name} in {in_ms} ms"),
                    None => Ok(()),
                }
            }
            Format::Json => write!(
                self.text,
                "{{\"local\":\"{local}\",\"remote\":\"{remote}\",\"state\":\"{state}\",\"unread\":{readable},\
                 \"unacknowledged\":{unacknowledged},\"retries\":{retries},\"timer\":\"{name}\",\"timer_in_ms\":{}}}",
                in_ms.unwrap_or(0)
            ),
        }
    }

    /// All of them as JSON; only those that count anything for a reader.
    fn counters<T: Display>(&mut self, name: &str, counts: impl Iterator<Item = (T, u32)>) -> fmt::Result {
        match self.format {
            Format::Html => write!(self.text, "<h2>{name}</h2><table>")?,
            Format::Json => write!(self.text, "\"{name}\":{{")?,
        }
        for (what, count) in counts {
            match self.format {
                Format::Html if count > 0 => write!(self.text, "<tr><td>{what}<td>{count}")?,
                Format::Html => {}
                Format::Json => write!(self.text, "\"{what}\":{count},")?,
            }
        }
        self.end_fields();
        self.either("},", "</table>")?;
        if name == "closed" {
            self.either("\"last_resets\":[", "<h2>Last resets</h2><table><tr><th>at<th>local<th>remote<th>SEQ<th>why")?;
        }
        Ok(())
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
