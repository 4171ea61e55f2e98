//! `host-sim measure`: the cost of work on the host beside smoltcp's, in one process, with the targets.
//!
//! The measured programs are the package in `host-sim/measure`, whose documentation lists what is counted. It is built once for IPv4 alone
//! and once for both families, since cargo unifies the features of a program's dependencies.

mod goodput;
mod program;
mod targets;

use std::panic::resume_unwind;
use std::process::Command;
use std::{env, thread};

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use self::program::Cost;
use self::targets::{Base, ITEMS, Item};
use crate::image::{self, Speaks};
use crate::lock;

/// The stacks as the measured programs name them.
const OURS: &str = "tcp-reset-core";
const THEIRS: &str = "smoltcp";
const THEIRS_ASKED: &str = "smoltcp-poll-at";
/// Version prefix of the smoltcp that is measured; the core depends on another.
const SMOLTCP: &str = "0.14.";
/// The builds and the families measured with each, in the order of [`Item::bounds`].
const COLUMNS: [(Speaks, &str, &str); 3] =
    [(Speaks::Ipv4, "IPv4", "IPv4"), (Speaks::Both, "both", "IPv4"), (Speaks::Both, "both", "IPv6")];

/// Measure the cost of work on this machine beside smoltcp 0.14's, with the targets
///
/// Both stacks do the same work: SYNs to a closed port, pure ACKs on one and on 1,024 connections, bulk data, requests and responses, connections
/// from set-up to the end of TIME-WAIT, stray ACKs beside one and beside 250 listeners. It is done in a build for IPv4 alone and in one for
/// both families. Packets go from a ring to the stack and from the stack to a ring; IP layer, software checksums and the application's calls
/// are included on both sides.
///
/// Without arguments: nanoseconds, the median of runs that alternate between the stacks. They vary with the machine and its load; instruction
/// counts repeat. The exit code is 0, 1 if `--bounds` finds a ratio beyond its bound, 2 if something could not be measured.
#[derive(clap::Args)]
pub struct Options {
    /// Measure only this work, by its name in the JSON, and the work it is compared with; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = item_named)]
    work: Vec<&'static Item>,
    /// Count instructions with valgrind's callgrind instead of nanoseconds
    #[arg(long)]
    instructions: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with code 1 if a ratio of instructions exceeds its bound, which is the present state's
    #[arg(long, requires = "instructions")]
    bounds: bool,
    /// Time for each item in each build and family, all stacks together
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000, conflicts_with = "instructions", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    milliseconds: u64,
    /// Units that are counted, after as many for warm-up
    #[arg(long, value_name = "COUNT", default_value_t = 1_024, requires = "instructions", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    units: u32,
    #[command(flatten)]
    goodput: goodput::GoodputOptions,
}

fn item_named(name: &str) -> Result<&'static Item, String> {
    let names = || ITEMS.iter().map(|item| item.name).collect::<Vec<_>>().join(", ");
    ITEMS.iter().find(|item| item.name == name).ok_or_else(|| format!("there is no such work, but {}", names()))
}

/// The JSON.
#[derive(Serialize)]
struct Report {
    /// The measure of `ours`, `smoltcp` and `smoltcp_with_poll_at`, for each unit of work.
    measure: &'static str,
    versions: Versions,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Versions {
    #[serde(rename = "tcp-reset-core")]
    ours: &'static str,
    smoltcp: String,
    rustc: String,
    /// `None` where nanoseconds were measured.
    valgrind: Option<String>,
}

/// One item in one build over one family.
#[derive(Serialize)]
struct Row {
    /// Families of the build.
    build: &'static str,
    /// Family of the traffic.
    family: &'static str,
    work: &'static str,
    title: &'static str,
    unit: &'static str,
    ours: f64,
    smoltcp: f64,
    smoltcp_with_poll_at: f64,
    /// Ours / smoltcp's without `poll_at`.
    ratio: f64,
    /// The cost that `reached`, `target` and `bound` are multiples of: smoltcp's, or this stack's own for another work.
    relative_to: &'static str,
    reached: f64,
    target: Option<f64>,
    is_met: Option<bool>,
    /// Present for instructions only.
    bound: Option<f64>,
}

impl Row {
    fn is_beyond_bound(&self) -> bool {
        self.bound.is_some_and(|bound| self.reached > bound)
    }
}

/// Measures and prints; returns whether every ratio is within its bound, or true where bounds are not asked for.
///
/// # Errors
/// If a program cannot be built or measured.
pub fn run(options: &Options) -> Result<bool> {
    if options.goodput.goodput {
        return goodput::run(&options.goodput).map(|()| true);
    }
    // Checked before the build, which takes longer.
    let valgrind = options.instructions.then(program::valgrind_version).transpose()?;
    let report = Report {
        measure: if options.instructions { "instructions" } else { "nanoseconds" },
        versions: Versions {
            ours: env!("CARGO_PKG_VERSION"),
            smoltcp: lock::smoltcp_version(SMOLTCP)?,
            rustc: rustc_version()?,
            valgrind,
        },
        rows: measure_all(options)?,
    };
    match options.json {
        true => anstream::println!("{}", serde_json::to_string_pretty(&report)?),
        false => print(&report),
    }
    let beyond: Vec<_> = report.rows.iter().filter(|row| options.bounds && row.is_beyond_bound()).collect();
    for Row { build, family, work, relative_to, reached, bound, .. } in &beyond {
        let bound = bound.unwrap_or_default();
        anstream::eprintln!(
            "FAULT: {work} over {family} ({build}): {reached:.3} × {relative_to}, and the bound is {bound}"
        );
    }
    Ok(beyond.is_empty())
}

/// The builds of the measured program.
const BUILDS: [Speaks; 2] = [Speaks::Ipv4, Speaks::Both];

fn measure_all(options: &Options) -> Result<Vec<Row>> {
    let is_wanted = |item: &Item| options.work.is_empty() || options.work.iter().any(|wanted| needs(wanted, item.name));
    let items: Vec<_> = ITEMS.iter().filter(|item| is_wanted(item)).collect();
    let names: Vec<_> = items.iter().map(|item| item.name).collect();
    let images = BUILDS.map(image::build_measure).into_iter().collect::<Result<Vec<_>>>()?;
    let costs: Vec<Result<Vec<Cost>>> = match options.instructions {
        // They repeat, whatever runs beside them.
        true => thread::scope(|scope| {
            let names = &names;
            let counting: Vec<_> =
                images.iter().map(|image| scope.spawn(move || program::count(image, options.units, names))).collect();
            counting.into_iter().map(|counted| counted.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        }),
        false => images.iter().map(|image| program::time(image, options.milliseconds, &names)).collect(),
    };
    let mut rows = Vec::new();
    for (speaks, costs) in BUILDS.into_iter().zip(costs) {
        let costs = costs?;
        for (column, (_, build, family)) in COLUMNS.iter().enumerate().filter(|(_, (built, ..))| *built == speaks) {
            for item in &items {
                let bound = options.instructions.then_some(item.bounds[column]);
                rows.push(judge(item, build, family, bound, &costs)?);
            }
        }
    }
    Ok(rows)
}

/// Returns whether an item is the one of this name or is judged by that.
fn needs(item: &Item, name: &str) -> bool {
    item.name == name || matches!(item.base, Base::Own(other) if other == name)
}

fn judge(item: &Item, build: &'static str, family: &'static str, bound: Option<f64>, costs: &[Cost]) -> Result<Row> {
    let cost = |name: &str, stack: &str| {
        let is_it = |cost: &&Cost| cost.family == family && cost.item == name && cost.stack == stack;
        let found = costs.iter().find(is_it).map(|cost| cost.each);
        found.with_context(|| format!("the measured program told nothing of {name} by {stack} over {family}"))
    };
    let (ours, smoltcp) = (cost(item.name, OURS)?, cost(item.name, THEIRS)?);
    let (relative_to, base) = match item.base {
        Base::Theirs => (THEIRS, smoltcp),
        Base::Own(other) => (other, cost(other, OURS)?),
    };
    let (ratio, reached) = (ours / smoltcp, ours / base);
    ensure!(ratio.is_finite() && reached.is_finite(), "{} cost nothing, which cannot be", item.name);
    Ok(Row {
        build,
        family,
        work: item.name,
        title: item.title,
        unit: item.unit,
        ours,
        smoltcp,
        smoltcp_with_poll_at: cost(item.name, THEIRS_ASKED)?,
        ratio,
        relative_to,
        reached,
        target: item.target,
        is_met: item.target.map(|target| reached <= target),
        bound,
    })
}

fn print(report: &Report) {
    let Report { measure, versions, rows } = report;
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let theirs = format!("smoltcp {}", versions.smoltcp);
    table.set_header(["build", "over", "work", OURS, &theirs, "with poll_at", "ratio", "target", "reached", "met"]);
    for row in rows {
        table.add_row(cells(row));
    }
    for column in table.column_iter_mut().skip(3).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!("{table}");
    anstream::println!(
        "{} for each unit: {}.\n\
         Ratio: to smoltcp without its `poll_at`. Target: a part of smoltcp's cost, or of this stack's own for the work named.\n\
         opt-level 3, fat LTO; IP medium, MTU 1,500; IP layer, software checksums and the application's calls are included on both sides.\n\
         tcp-reset-core polls after each packet and learns its deadline, smoltcp after all there are. {}",
        if *measure == "instructions" { "Instructions" } else { "Nanoseconds" },
        units(),
        made_with(versions),
    );
}

fn cells(row: &Row) -> [String; 10] {
    let target = match (row.target, row.relative_to) {
        (None, _) => String::new(),
        (Some(target), THEIRS) => format!("≤ {target:.2}"),
        (Some(target), other) => format!("≤ {target:.2} × {other}"),
    };
    let met = match row.is_met {
        None => "",
        Some(true) => "yes",
        Some(false) => "no",
    };
    let [ours, smoltcp, asked] = [row.ours, row.smoltcp, row.smoltcp_with_poll_at].map(|cost| format!("{cost:.0}"));
    [
        row.build.to_owned(),
        row.family.to_owned(),
        row.title.to_owned(),
        ours,
        smoltcp,
        asked,
        format!("{:.2}", row.ratio),
        target,
        row.target.map_or_else(String::new, |_| format!("{:.2}", row.reached)),
        met.to_owned(),
    ]
}

/// Lists the units.
fn units() -> String {
    let mut units: Vec<_> = ITEMS.iter().map(|item| item.unit).collect();
    units.dedup();
    units.truncate(units.len() - 1);
    units.join(", ")
}

fn made_with(versions: &Versions) -> String {
    match &versions.valgrind {
        Some(valgrind) => format!("{}, {valgrind}.", versions.rustc),
        None => format!("{}.", versions.rustc),
    }
}

fn rustc_version() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").current_dir(env!("CARGO_MANIFEST_DIR")).output();
    Ok(String::from_utf8_lossy(&output.context("cannot run rustc")?.stdout).trim().to_owned())
}
