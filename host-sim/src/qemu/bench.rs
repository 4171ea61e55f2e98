//! `host-sim bench`: what a segment costs on the Cortex-M3, ours beside embassy-net's own TCP, in instructions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};

use super::Board;
use super::log::Log;
use super::machine::{Machine, Plan};
use crate::image::{self, Speaks};

/// The firmware's binaries, ours first.
const BINARIES: [&str; 2] = ["bench-core", "bench-embassy-net"];
/// What each of them measures.
const TRAFFIC: [&str; 5] = ["syn-to-closed-port", "pure-ack", "bulk-in", "bulk-out", "echo-64"];
/// The table's columns.
const HEAD: [&str; 7] =
    ["image", "traffic", "segments in, out", "tcp-reset-core", "segments in, out", "embassy-net", "ratio"];
/// What core is built with where each option is weighed, as the table shows it, and the firmware's features.
const OPTIONS: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("SACK", &["bench-sack"]),
    ("timestamps", &["bench-timestamps"]),
    ("window scale", &["bench-window-scale"]),
    ("ECN", &["bench-ecn"]),
    ("CUBIC", &["bench-cubic"]),
    ("all", &["bench-sack", "bench-timestamps", "bench-window-scale", "bench-ecn", "bench-cubic"]),
];
/// How long one machine may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one script cost one stack.
struct Cost {
    family: String,
    script: String,
    segments_in: u64,
    segments_out: u64,
    instructions: u64,
}

/// Measures both stacks and prints them side by side.
///
/// # Errors
/// If a machine does not come to its end.
pub fn run() -> Result<()> {
    let mut table = new_table();
    for (speaks, image) in [(Speaks::Ipv4, "IPv4"), (Speaks::Both, "both")] {
        let [ours, theirs] = BINARIES.map(|binary| measure(Board::An385, binary, speaks, &[]));
        add_rows(&mut table, image, &ours?, &theirs?)?;
    }
    anstream::println!("{table}");
    anstream::println!(
        "Instructions for each segment that passes, in and out counted, driver and peer not. Cortex-M3, opt-level \"s\",\n\
         checksums in software, IP layer and runner included; -icount shift=0. Of each run the first 100 segments are left out.\n\
         Image: the families that it is built for. Traffic: the family that is measured."
    );
    Ok(())
}

/// Measures ours with each option that both ends' SYNs offer, in images for IPv4 alone, and prints them side by side.
///
/// # Errors
/// If a machine does not come to its end.
pub fn run_options() -> Result<()> {
    let measure = |&(_, more): &(&str, &[&str])| measure(Board::An385, BINARIES[0], Speaks::Ipv4, more);
    let costs: Vec<_> = OPTIONS.iter().map(measure).collect::<Result<_>>()?;
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["traffic"].into_iter().chain(OPTIONS.iter().map(|(name, _)| *name)));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (row, script) in TRAFFIC.iter().enumerate() {
        let cells = costs.iter().map(|costs| costs[row].instructions.to_string());
        table.add_row([(*script).to_owned()].into_iter().chain(cells));
    }
    anstream::println!("{table}");
    anstream::println!(
        "Instructions for each segment that passes, over IPv4, with what both ends' SYNs have; counted as without `--options`."
    );
    Ok(())
}

fn measure(board: Board, binary: &str, speaks: Speaks, more: &[&str]) -> Result<Vec<Cost>> {
    let image = &image::build_with(board.target(), binary, speaks, more)?;
    let bytes = fs::read(image).with_context(|| format!("cannot read the image {}", image.display()))?;
    let log = Log::of_image(&bytes, false)?;
    let folder = tempfile::tempdir().context("cannot make a folder for QEMU's sockets")?;
    let plan = Plan { board, image, arguments: Vec::new(), options: vec!["-icount".into(), "shift=0".into()] };
    let (mut machine, _ethernet, output) = Machine::start(&plan, folder.path())?;
    let reader = log.follow(output);
    let ended = machine.wait(PATIENCE);
    // The reader ends with the machine; only then the log is whole.
    drop(machine);
    let _ = reader.join();
    let lines = log.lines();
    let code = ended.with_context(|| format!("{}, whose log is {lines:?}", name_of(image)))?;
    ensure!(code == Some(0), "{} ended with {code:?}; its log: {lines:?}", name_of(image));
    let costs = lines.iter().filter(|line| line.text.starts_with("bench ")).map(|line| parse(&line.text));
    let costs: Vec<_> = costs.collect::<Result<_>>()?;
    let missing = TRAFFIC.iter().find(|&&traffic| !costs.iter().any(|cost| cost.script == traffic));
    ensure!(missing.is_none(), "{} told nothing of {missing:?}; its log: {lines:?}", name_of(image));
    Ok(costs)
}

fn name_of(image: &Path) -> String {
    PathBuf::from(image.file_name().unwrap_or_default()).display().to_string()
}

/// "bench STACK FAMILY SCRIPT N segments in, N out, N instructions each".
fn parse(line: &str) -> Result<Cost> {
    let words: Vec<_> = line.split_whitespace().collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
    let cost = (|| {
        Some(Cost {
            family: (*words.get(2)?).to_owned(),
            script: (*words.get(3)?).to_owned(),
            segments_in: number(4)?,
            segments_out: number(7)?,
            instructions: number(9)?,
        })
    })();
    cost.with_context(|| format!("the firmware's result cannot be read: {line}"))
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(HEAD);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn add_rows(table: &mut Table, image: &str, ours: &[Cost], theirs: &[Cost]) -> Result<()> {
    ensure!(ours.len() == theirs.len(), "{} results stand beside {}", ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let names = |cost: &Cost| format!("{} {}", cost.family, cost.script);
        ensure!(names(ours) == names(theirs), "{} stands beside {}", names(ours), names(theirs));
        let passed = |cost: &Cost| format!("{}, {}", cost.segments_in, cost.segments_out);
        let ratio = ours.instructions as f64 / theirs.instructions as f64;
        table.add_row([
            image.to_owned(),
            names(ours),
            passed(ours),
            ours.instructions.to_string(),
            passed(theirs),
            theirs.instructions.to_string(),
            format!("{ratio:.2}"),
        ]);
    }
    Ok(())
}
