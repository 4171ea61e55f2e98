//! Whether the tests of core would notice: every small change of the code that judges, applies and keeps tables, compiled in once, chosen
//! by a variable of the environment, and run against the tests until the first that fails.

mod copy;
mod find;
mod mutant;
mod source;
mod suites;
mod weave;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comfy_table::Table;
use serde::Deserialize;

use mutant::{Mutant, describe, mutants};
use source::{group_of, sources};
use suites::Fate;

/// Mutants that change nothing anybody could see, with the reason.
const EQUIVALENT: &str = include_str!("equivalent.toml");

/// Change core's code in every small way and see which changes its tests do not notice
#[derive(clap::Args)]
pub struct Options {
    /// Only files whose path in core/src contains this; may be given more than once
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// A sample: each so manieth mutant
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Exit with 1 if fewer percent are noticed
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    least: f64,
    /// Leave out test programs that take longer than this without a mutant
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    suite_seconds: u64,
    /// How many mutants run at a time [default: one for each core]
    #[arg(long)]
    jobs: Option<usize>,
    /// List the mutants and stop
    #[arg(long)]
    list: bool,
}

#[derive(Deserialize)]
struct Equivalents {
    #[serde(default)]
    mutant: Vec<Equivalent>,
}

/// A mutant by what it changes, which does not move with the lines.
#[derive(Deserialize)]
struct Equivalent {
    file: String,
    function: String,
    change: String,
    /// Which of several equal changes in the function; 0 means all.
    #[serde(default)]
    nth: usize,
    reason: String,
}

impl Equivalent {
    fn is(&self, mutant: &Mutant) -> bool {
        let is_nth = self.nth == 0 || self.nth == mutant.nth;
        self.file == mutant.file && self.function == mutant.function && self.change == mutant.change && is_nth
    }
}

/// Runs the command. Returns whether enough mutants were noticed.
pub fn run(options: &Options) -> Result<bool> {
    ensure!(options.every > 0, "--every counts from 1");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let sources = sources(root)?;
    let all = mutants(&sources);
    let equivalents = equivalents(&all)?;
    let is_wanted = |mutant: &Mutant| {
        let is_here = options.only.is_empty() || options.only.iter().any(|part| mutant.file.contains(part));
        is_here && mutant.id.is_multiple_of(options.every) && !equivalents.mutant.iter().any(|known| known.is(mutant))
    };
    let wanted: Vec<Mutant> = all.into_iter().filter(is_wanted).collect();
    if options.list {
        wanted.iter().for_each(|mutant| anstream::println!("{}", describe(mutant)));
        return Ok(true);
    }
    let count = wanted.len();
    anstream::println!("{count} mutants; compiling them and the tests ...");
    let copy = copy::Copy::new(root, &folder(root))?;
    let (mutants, programs) = copy.build(&sources, wanted)?;
    let (suites, slow) = suites::measure(programs, &copy.folder(), Duration::from_secs(options.suite_seconds))?;
    let names: Vec<_> =
        suites.iter().map(|suite| format!("{} {:.1} s", suite.name, suite.time.as_secs_f32())).collect();
    anstream::println!("{} compile; tests: {}; left out as slow: {}", mutants.len(), names.join(", "), slow.join(", "));
    let jobs = options.jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let fates = suites::judge(&mutants, &suites, &copy.folder(), jobs)?;
    Ok(report(&mutants, &fates) >= options.least)
}

/// Where the copy is made and built.
fn folder(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("mutants")
}

/// Reads the list of those that change nothing; each must still exist.
fn equivalents(all: &[Mutant]) -> Result<Equivalents> {
    let known: Equivalents = toml::from_str(EQUIVALENT).context("equivalent.toml")?;
    for entry in &known.mutant {
        let is_there = all.iter().any(|mutant| entry.is(mutant));
        ensure!(
            is_there,
            "equivalent.toml: no such mutant any more: {} {}: {}",
            entry.file,
            entry.function,
            entry.change
        );
        ensure!(!entry.reason.is_empty(), "equivalent.toml: no reason for {} {}", entry.file, entry.function);
    }
    Ok(known)
}

/// Prints a line for each file, each group and all. Returns the percentage noticed of all.
fn report(mutants: &[Mutant], fates: &[Fate]) -> f64 {
    let mut rows: BTreeMap<(&str, &str), Score> = BTreeMap::new();
    let mut total = Score::default();
    for (mutant, fate) in mutants.iter().zip(fates) {
        let group = group_of(&mutant.file).unwrap_or_default();
        for score in [(group, mutant.file.as_str()), (group, "")] {
            rows.entry(score).or_default().count(fate);
        }
        total.count(fate);
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["", "mutants", "noticed", "endless", "survive", "%"]);
    for ((group, file), score) in &rows {
        let name = if file.is_empty() { (*group).to_owned() } else { format!("  {file}") };
        table.add_row(score.row(name));
    }
    table.add_row(total.row("all".into()));
    anstream::println!("{table}");
    total.percent()
}

#[derive(Default)]
struct Score {
    noticed: usize,
    endless: usize,
    survived: usize,
}

impl Score {
    fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Noticed(_) => self.noticed += 1,
            Fate::Endless(_) => self.endless += 1,
            Fate::Survived => self.survived += 1,
        }
    }

    fn all(&self) -> usize {
        self.noticed + self.endless + self.survived
    }

    fn percent(&self) -> f64 {
        match self.all() {
            0 => 100.0,
            all => (self.noticed + self.endless) as f64 * 100.0 / all as f64,
        }
    }

    fn row(&self, name: String) -> [String; 6] {
        let Score { noticed, endless, survived } = self;
        let numbers = [self.all(), *noticed, *endless, *survived].map(|number| number.to_string());
        let [all, noticed, endless, survived] = numbers;
        [name, all, noticed, endless, survived, format!("{:.1}", self.percent())]
    }
}
