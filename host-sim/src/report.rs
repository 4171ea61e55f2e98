//! How scenarios went, as a table.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Result;

use crate::family::Family;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const HEAD: Style = Style::new().bold();

/// How a scenario went.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) family: Family,
    pub(crate) peer: &'static str,
    pub(crate) segments: usize,
    pub(crate) took: Duration,
    pub(crate) result: Result<()>,
}

/// Tells one as soon as it is known.
pub(crate) fn tell(outcome: &Outcome) {
    anstream::println!("{outcome}");
}

/// Tells one scenario's outcomes over each family: in one line, where all hold against the same peer.
pub(crate) fn tell_of_each_family(outcomes: &[Outcome]) {
    let Some((first, others)) = outcomes.split_first() else { return };
    let are_alike = outcomes.iter().all(|outcome| outcome.result.is_ok() && outcome.peer == first.peer);
    if !are_alike || others.is_empty() {
        outcomes.iter().for_each(tell);
        return;
    }
    let segments = outcomes.iter().map(|outcome| outcome.segments).sum();
    let took = outcomes.iter().map(|outcome| outcome.took).sum();
    anstream::println!("{}", Row { family: "both", segments, took, outcome: first });
}

pub(crate) fn print_head() {
    anstream::println!(
        "\n{HEAD}{:<24} {:<6} {:<7} {:>9} {:>9}  {:<6} {}{HEAD:#}",
        "scenario",
        "family",
        "peer",
        "segments",
        "seconds",
        "result",
        "what must hold"
    );
}

pub(crate) fn print_table(outcomes: &[Outcome]) {
    print_head();
    for outcome in outcomes {
        anstream::println!("{outcome}");
    }
    print_sum(outcomes);
}

pub(crate) fn print_sum(outcomes: &[Outcome]) {
    let held = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
    let failed = outcomes.len() - held;
    anstream::println!("\n{held} of {} scenarios hold, {failed} fail.", outcomes.len());
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { family, segments, took, .. } = self;
        let family = family.to_string();
        Row { family: &family, segments: *segments, took: *took, outcome: self }.fmt(f)
    }
}

/// A line of the table, for one family or for all.
struct Row<'o> {
    family: &'o str,
    segments: usize,
    took: Duration,
    outcome: &'o Outcome,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { family, segments, took, outcome: Outcome { name, title, peer, result, .. } } = self;
        let seconds = took.as_secs_f64();
        let (style, word) = if result.is_ok() { (GOOD, "holds") } else { (BAD, "FAILS") };
        write!(f, "{name:<24} {family:<6} {peer:<7} {segments:>9} {seconds:>9.3}  {style}{word:<6}{style:#} {title}")?;
        if let Err(error) = result {
            write!(f, "\n{:>25}{BAD}{error:#}{BAD:#}", "")?;
        }
        Ok(())
    }
}
