//! What the probes found, as tables and as JSON.

use std::fmt::Write as _;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::probe::{PROBES, Probe};
use super::stage::Stage;
use super::trial::{End, Found, Trial};
use crate::family::Family;

/// How the page of Markdown begins.
const INTRODUCTION: &str = "\
# Probes

Written by `cargo run -p host-sim --features peers -- probes --markdown`. Each line is measured.

A host that lost power knows no number of its connections, and its peers still have them. What it sends to such a peer carries foreign numbers.
If the peer answers with its own, the answer draws RST at SEQ=SEG.ACK (RFC 9293, 3.10.7.1), which is the peer's exact RCV.NXT: the connection
ends, and the peer's application is told. Which probe is answered so, by which TCP, in which state?

";

/// What the words of the tables mean.
const LEGEND: &str = "\
learns   the answer carries the peer's exact RCV.NXT, the RST that it draws at SEQ=SEG.ACK ends the
         connection, and the application is told; in SYN-RCVD the half-open entry is gone
kept     answered so, and the connection is there after the RST
inexact  answered with another number than RCV.NXT
RST      answered with RST, and the connection is there as before
ended    the probe ended the connection by itself; opened: it completed the handshake
silent   no answer
RST@ACK  a peer without the connection answers with RST at SEQ=SEG.ACK; RST@0: at SEQ=0
k/n      so for k of n choices of foreign numbers: each on either side of the peer's own;
         SEQ+ is ahead of its RCV.NXT, ACK- behind its SND.NXT

passive, active  ESTABLISHED: the peer accepted, or connected
LISTEN, CLOSED   no connection: somebody listens on the port, or nobody
ACK twice        two ACKs whose SEG.ACK are 2^31 apart
RST NXT+1        RST at SEQ=RCV.NXT+1; ACK NXT-1: ACK at SEQ=RCV.NXT-1, with the peer's own SEG.ACK
Everything else carries foreign SEG.SEQ, and foreign SEG.ACK if it carries ACK.
";

/// What one probe found in one state.
pub(super) struct Row {
    pub(super) probe: &'static Probe,
    pub(super) stage: Stage,
    /// One for each choice of foreign numbers.
    pub(super) trials: Vec<Trial>,
}

/// What was found of one TCP.
pub(super) struct Block {
    pub(super) stack: &'static str,
    pub(super) version: String,
    pub(super) families: Vec<Family>,
    pub(super) rows: Vec<Row>,
}

impl Row {
    fn is_alike(&self, other: &Row) -> bool {
        self.trials.iter().map(|trial| trial.found).eq(other.trials.iter().map(|trial| trial.found))
    }

    fn count(&self, found: Found) -> usize {
        self.trials.iter().filter(|trial| trial.found == found).count()
    }

    /// Returns what was found; where it depends on the numbers, for how many of them the application learns, or else the first was found.
    fn cell(&self) -> String {
        let learned = Found::Connection(End::Learned);
        let first = self.trials.first().map_or(learned, |trial| trial.found);
        let shown = if self.count(learned) > 0 { learned } else { first };
        match (self.count(shown), self.trials.len()) {
            (count, all) if count == all => shown.name().to_owned(),
            (count, all) => format!("{} {count}/{all}", shown.name()),
        }
    }

    fn is_mixed(&self) -> bool {
        self.trials.iter().any(|trial| Some(trial.found) != self.trials.first().map(|first| first.found))
    }

    fn by_choice(&self) -> String {
        let each = self.trials.iter().map(|trial| format!("{} {}", trial.choice, trial.found.name()));
        each.collect::<Vec<_>>().join(", ")
    }
}

impl Block {
    fn head(&self) -> String {
        let families: Vec<_> = self.families.iter().map(Family::to_string).collect();
        format!("{} {} over {}", self.stack, self.version, families.join(" and "))
    }

    fn row(&self, probe: &Probe, stage: Stage) -> Option<&Row> {
        self.rows.iter().find(|row| row.probe.name == probe.name && row.stage == stage)
    }

    fn is_alike(&self, other: &Block) -> bool {
        let mut rows = self.rows.iter().zip(&other.rows);
        self.stack == other.stack && rows.all(|(row, other)| row.is_alike(other))
    }

    /// Returns of how many connections that have an application it learns of the loss, and how many were tried.
    fn learned(&self, probe: &Probe) -> (usize, usize) {
        let rows = self.rows.iter().filter(|row| row.probe.name == probe.name && row.stage.has_application());
        let learned = Found::Connection(End::Learned);
        rows.fold((0, 0), |(count, all), row| (count + row.count(learned), all + row.trials.len()))
    }

    /// Returns a line for each probe that not every choice of numbers finds the same with, and the states in which it is so.
    fn mixed(&self) -> Vec<String> {
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for row in self.rows.iter().filter(|row| row.is_mixed()) {
            let what = format!("{}: {}", row.probe.title, row.by_choice());
            match lines.iter_mut().find(|(line, _)| *line == what) {
                Some((_, states)) => states.push(row.stage.name()),
                None => lines.push((what, vec![row.stage.name()])),
            }
        }
        lines.into_iter().map(|(what, states)| format!("{what}\n    ({})", states.join(", "))).collect()
    }
}

/// Draws the tables: who learns by what, then each TCP in each state. Families that found the same share a table.
pub(super) fn tables(blocks: &[Block], is_markdown: bool) -> String {
    let mut text = String::from(if is_markdown { INTRODUCTION } else { "" });
    let heading = |title: &str| if is_markdown { format!("## {title}\n\n") } else { format!("{title}\n\n") };
    let fence = if is_markdown { "```text\n" } else { "" };
    let fence_end = if is_markdown { "```\n" } else { "" };
    text += &heading("Connections whose application learns of the loss, of those probed");
    let _ = writeln!(text, "{}\n", summary(blocks, is_markdown));
    for (place, block) in blocks.iter().enumerate() {
        if blocks[..place].iter().any(|earlier| earlier.is_alike(block)) {
            continue;
        }
        let alike = blocks[place..].iter().filter(|other| other.is_alike(block));
        let families = alike.flat_map(|block| block.families.iter().copied()).collect();
        let head = Block { families, version: block.version.clone(), rows: Vec::new(), ..*block }.head();
        text += &heading(&head);
        let _ = writeln!(text, "{}", by_state(block, is_markdown));
        let mixed = block.mixed();
        if !mixed.is_empty() {
            let _ = write!(text, "\n{fence}{}\n{fence_end}", mixed.join("\n"));
        }
        text.push('\n');
    }
    if is_markdown {
        text += &heading("The words");
    }
    let _ = write!(text, "{fence}{LEGEND}{fence_end}");
    text
}

fn new_table(is_markdown: bool) -> Table {
    let mut table = Table::new();
    table.load_style(if is_markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING });
    table
}

/// One line for each probe, one column for each TCP.
fn summary(blocks: &[Block], is_markdown: bool) -> String {
    let mut stacks: Vec<&str> = blocks.iter().map(|block| block.stack).collect();
    stacks.dedup();
    let mut table = new_table(is_markdown);
    table.set_header(["probe"].iter().chain(&stacks));
    for probe in &PROBES {
        let of_stack = |stack: &&str| {
            let of_it = blocks.iter().filter(|block| block.stack == *stack).map(|block| block.learned(probe));
            let (count, all) = of_it.fold((0, 0), |(count, all), (one, tried)| (count + one, all + tried));
            format!("{count}/{all}")
        };
        table.add_row([probe.title.to_owned()].into_iter().chain(stacks.iter().map(of_stack)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// One line for each probe, one column for each state.
fn by_state(block: &Block, is_markdown: bool) -> String {
    let mut table = new_table(is_markdown);
    table.set_header(["probe"].into_iter().chain(Stage::ALL.map(Stage::name)));
    for probe in &PROBES {
        let cells = Stage::ALL.map(|stage| block.row(probe, stage).map_or_else(String::new, Row::cell));
        table.add_row([probe.title.to_owned()].into_iter().chain(cells));
    }
    table.trim_fmt()
}

/// One probe on one connection.
#[derive(Serialize)]
struct Record<'r> {
    stack: &'static str,
    version: &'r str,
    family: String,
    state: &'static str,
    probe: &'static str,
    /// Side of RCV.NXT that a foreign SEG.SEQ is on.
    seq: Option<&'static str>,
    /// Side of SND.NXT that a foreign SEG.ACK is on.
    ack: Option<&'static str>,
    answers: &'r [String],
    /// Whether the first answer's SEG.ACK is the peer's RCV.NXT.
    is_exact: Option<bool>,
    found: &'static str,
    told: Option<&'r str>,
}

/// Writes every trial.
///
/// # Errors
/// None: the records are plain.
pub(super) fn json(blocks: &[Block]) -> Result<String> {
    let mut records = Vec::new();
    for block in blocks {
        let family: Vec<_> = block.families.iter().map(Family::to_string).collect();
        for (row, trial) in block.rows.iter().flat_map(|row| row.trials.iter().map(move |trial| (row, trial))) {
            let Trial { choice, answers, is_exact, found, told } = trial;
            records.push(Record {
                stack: block.stack,
                version: &block.version,
                family: family.join(", "),
                state: row.stage.name(),
                probe: row.probe.name,
                seq: choice.seq.map(|side| side.name()),
                ack: choice.ack.map(|side| side.name()),
                answers,
                is_exact: *is_exact,
                found: found.name(),
                told: told.as_deref(),
            });
        }
    }
    Ok(serde_json::to_string_pretty(&records)?)
}
