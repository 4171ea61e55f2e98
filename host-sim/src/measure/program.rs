//! Runs a measured program, natively or under callgrind, and reads its output.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, str};

use anyhow::{Context, Result, ensure};

/// The function of the measured program whose instructions are counted, as callgrind names it.
const REGION: &str = "measure::measured_region";
/// Keeps glibc from `rep movsb` and `rep stosb`, which callgrind counts by the byte.
const WITHOUT_REP: &str = "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff:glibc.cpu.x86_rep_stosb_threshold=0x7fffffff";

/// Cost of one item with one stack over one family.
pub(crate) struct Cost {
    pub(crate) family: String,
    pub(crate) item: String,
    pub(crate) stack: String,
    /// Nanoseconds or instructions for each unit.
    pub(crate) each: f64,
}

/// Measures nanoseconds for each unit: the median of runs that alternate between the stacks, `milliseconds` for each item.
///
/// # Errors
/// If the program does not come to its end.
pub(crate) fn time(image: &Path, milliseconds: u64, items: &[&str]) -> Result<Vec<Cost>> {
    let output = Command::new(image).args(["time", &milliseconds.to_string()]).args(items).output();
    let lines = read(image, &output.with_context(|| format!("cannot run {}", image.display()))?)?;
    Ok(lines.into_iter().map(|Line { cost, units, nanoseconds }| Cost { each: nanoseconds / units, ..cost }).collect())
}

/// Counts instructions for each unit with callgrind, over `units` units of each item.
///
/// # Errors
/// If valgrind is missing or the program does not come to its end.
pub(crate) fn count(image: &Path, units: u32, items: &[&str]) -> Result<Vec<Cost>> {
    let folder = tempfile::tempdir().context("cannot make a folder for callgrind's counts")?;
    let counts = folder.path().join("counts");
    let output = Command::new("valgrind")
        .env("GLIBC_TUNABLES", WITHOUT_REP)
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        // One file for each call of the function, with the instructions from entry to exit.
        .args([format!("--toggle-collect={REGION}"), format!("--dump-after={REGION}")])
        .arg(image)
        .args(["count", &units.to_string()])
        .args(items)
        .output()
        .map_err(explain_missing)?;
    let lines = read(image, &output)?;
    let with_count = |(i, line): (usize, Line)| {
        let file = PathBuf::from(format!("{}.{}", counts.display(), i + 1));
        Ok(Cost { each: total_of(&file)? / line.units, ..line.cost })
    };
    lines.into_iter().enumerate().map(with_count).collect()
}

/// Returns valgrind's version.
///
/// # Errors
/// If it is missing.
pub(crate) fn valgrind_version() -> Result<String> {
    let output = Command::new("valgrind").arg("--version").output().map_err(explain_missing)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn explain_missing(error: std::io::Error) -> anyhow::Error {
    let is_missing = error.kind() == ErrorKind::NotFound;
    let error = anyhow::Error::new(error);
    match is_missing {
        true => error.context("valgrind, which counts the instructions, is missing: apt-get install valgrind"),
        false => error.context("cannot run valgrind"),
    }
}

/// A line of the program's output.
struct Line {
    cost: Cost,
    units: f64,
    nanoseconds: f64,
}

fn read(image: &Path, output: &Output) -> Result<Vec<Line>> {
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ended with {}: {errors}", image.display(), output.status);
    let text = str::from_utf8(&output.stdout).context("the measured program's output is not UTF-8")?;
    text.lines().map(parse).collect()
}

/// Parses "measure FAMILY ITEM STACK N units, N ns".
fn parse(line: &str) -> Result<Line> {
    let words: Vec<_> = line.split_whitespace().collect();
    let found = match words[..] {
        ["measure", family, item, stack, units, "units,", nanoseconds, "ns"] => {
            let cost = Cost { family: family.to_owned(), item: item.to_owned(), stack: stack.to_owned(), each: 0.0 };
            let number = |word: &str| word.parse().ok();
            number(units).zip(number(nanoseconds)).map(|(units, nanoseconds)| Line { cost, units, nanoseconds })
        }
        _ => None,
    };
    found.with_context(|| format!("the measured program's result cannot be read: {line}"))
}

/// Returns the total of one of callgrind's files.
fn total_of(file: &Path) -> Result<f64> {
    let text = fs::read_to_string(file).context("callgrind wrote fewer files than the program has results")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.context("callgrind's count cannot be read")
}
