//! The facts as metrics, in Prometheus' text format (version 0.0.4).

use core::fmt::{self, Display, Write};

use tcp_reset_core::link::Link;
use tcp_reset_core::{CloseReason, ResetReason, Rule, State};

use super::facts::{Facts, Out, SCHEMA, Text, View, last_end, number, numbers_in, state_name};
use super::snake::Snake;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Board,
    Number(usize),
    States,
    LastEnd(usize),
    Rule(usize),
    ResetSent(usize),
    Closed(usize),
}

impl Part {
    pub(super) const FIRST: Part = Part::Board;

    pub(super) fn next(self, view: View) -> Option<Part> {
        Some(match self {
            Part::Board => Part::Number(0),
            Part::Number(n) if n + 1 < numbers_in(view) => Part::Number(n + 1),
            Part::Number(_) => Part::States,
            Part::States => Part::LastEnd(0),
            Part::LastEnd(n) if n + 1 < CloseReason::ALL.len() => Part::LastEnd(n + 1),
            Part::LastEnd(_) if view == View::Overview => return None,
            Part::LastEnd(_) => Part::Rule(0),
            Part::Rule(n) if n + 1 < Rule::COUNT => Part::Rule(n + 1),
            Part::Rule(_) => Part::ResetSent(0),
            Part::ResetSent(n) if n + 1 < ResetReason::COUNT => Part::ResetSent(n + 1),
            Part::ResetSent(_) => Part::Closed(0),
            Part::Closed(n) if n + 1 < CloseReason::ALL.len() => Part::Closed(n + 1),
            Part::Closed(_) => return None,
        })
    }
}

pub(super) fn write(facts: &Facts<'_>, link: &Link<'_>, part: Part, view: View, out: &mut Out) -> fmt::Result {
    let mut metrics = Metrics { text: &mut out.text };
    let counters = link.tcp_ref().counters();
    match part {
        Part::Board => metrics.board(facts),
        Part::Number(n) => number(facts, link, view, n).map_or(Ok(()), |number| {
            metrics.family(number.metric, number.help)?;
            number.value.map_or(Ok(()), |value| metrics.sample(number.metric, value))
        }),
        Part::States => metrics.states(link, view),
        Part::LastEnd(n) => {
            let (name, help) = ("last_end_age_seconds", "Time since a connection last ended for the reason.");
            metrics.labelled(name, help, "reason", n, last_end(facts, view, n))
        }
        Part::Rule(n) => {
            let of = Rule::ALL.get(n).map(|&rule| (rule, counters.rule(rule).into()));
            metrics.labelled("segments_judged_total", "Segments received, by the rule that decided.", "rule", n, of)
        }
        Part::ResetSent(n) => {
            let of = ResetReason::ALL.get(n).map(|&reason| (reason, counters.reset_sent(reason).into()));
            metrics.labelled("resets_sent_total", "Resets sent.", "reason", n, of)
        }
        Part::Closed(n) => {
            let of = CloseReason::ALL.get(n).map(|&reason| (reason, counters.closed(reason).into()));
            metrics.labelled("closed_total", "Connections that ended.", "reason", n, of)
        }
    }
}

struct Metrics<'t> {
    text: &'t mut Text,
}

/// What every name begins with.
const PREFIX: &str = "tcp_reset_core_";

impl Metrics<'_> {
    fn board(&mut self, facts: &Facts<'_>) -> fmt::Result {
        let Facts { board, reset_cause, is_link_up, client, .. } = facts;
        self.family("info", "The board, why it last started, and the version of these names.")?;
        let schema = SCHEMA;
        writeln!(self.text, "{PREFIX}info{{board=\"{board}\",reset_cause=\"{reset_cause}\",schema=\"{schema}\"}} 1")?;
        self.family("link_up", "Whether the link is up.")?;
        self.sample("link_up", u64::from(*is_link_up))?;
        self.family("client_connected", "Whether the client is connected.")?;
        self.sample("client_connected", u64::from(client.is_connected))
    }

    /// How many connections are in each state that occurs.
    fn states(&mut self, link: &Link<'_>, view: View) -> fmt::Result {
        let name = "connections_by_state";
        self.family(name, "Connections in a state.")?;
        let mut names = State::ALL.map(|state| state_name(state, view)).into_iter().enumerate();
        names.try_for_each(|(at, shown)| {
            let is_first = State::ALL[..at].iter().all(|&state| state_name(state, view) != shown);
            let states = link.tcp_ref().connections().map(|(_, status)| state_name(status.state, view));
            let count = states.filter(|&state| state == shown).count();
            if !is_first || count == 0 {
                return Ok(());
            }
            writeln!(self.text, "{PREFIX}{name}{{state=\"{shown}\"}} {count}")
        })
    }

    fn family(&mut self, name: &str, help: &str) -> fmt::Result {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        write!(self.text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n")
    }

    fn sample(&mut self, name: &str, value: u64) -> fmt::Result {
        writeln!(self.text, "{PREFIX}{name} {value}")
    }

    /// The `n`th sample of a family; the first tells what the family is.
    fn labelled(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        n: usize,
        sample: Option<(impl Display, u64)>,
    ) -> fmt::Result {
        if n == 0 {
            self.family(name, help)?;
        }
        let Some((what, value)) = sample else { return Ok(()) };
        writeln!(self.text, "{PREFIX}{name}{{{label}=\"{}\"}} {value}", Snake(what))
    }
}
