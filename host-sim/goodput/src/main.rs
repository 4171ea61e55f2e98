//! Prints the goodput of tcp-reset-core and smoltcp over a lossy path.

mod settings;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use goodput::grid::Grid;
use goodput::table::Table;
use goodput::trace::Trace;
use goodput::{plot, run, snapshot};

use self::settings::Setting;

/// The buffer that the plot in the tree shows, in bytes.
const PLOTTED_BUFFER: usize = 32_768;

/// Prints a Markdown table of goodputs in kB/s (1,000 bytes per second): bulk transfers in virtual time, tcp-reset-core against itself and
/// smoltcp 0.14 against itself.
///
/// Without settings it measures rates of loss, round-trip times and buffers, and then reordering. The exit code is 0 if all runs succeed, 1 if
/// one fails or a value differs from the snapshot, 2 if something could not be started.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What to measure instead of the whole table: rtt=MILLISECONDS, loss=PPM, reorder=PPM, duplicate=PPM, corrupt=PPM, buffer=BYTES,
    /// rate=BIT/S, queue=PACKETS, seed=NUMBER, segments=NUMBER, stack=(ours|none|reno|cubic). rtt, loss, reorder, buffer, seed and stack take
    /// several values, separated by commas
    #[arg(value_name = "NAME=VALUE")]
    settings: Vec<Setting>,
    /// Print each segment of one run, and what became of it, instead of the table; of several seeds the first
    #[arg(long, conflicts_with_all = ["check", "update", "plot"])]
    trace: bool,
    /// Compare with the snapshot in docs/goodput.csv
    #[arg(long, conflicts_with_all = ["settings", "update"])]
    check: bool,
    /// Write the snapshot, and docs/goodput.svg
    #[arg(long, conflicts_with = "settings")]
    update: bool,
    /// Draw goodput against loss into this SVG file, at the largest buffer that is measured and that every stack can have
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("goodput: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether everything holds.
fn measure(arguments: &Arguments) -> Result<bool> {
    let grid = settings::grid(&arguments.settings)?;
    if arguments.trace {
        return trace(&grid).map(|()| true);
    }
    let start = Instant::now();
    let rows = grid.measure();
    let table = Table { grid: &grid, rows: &rows };
    print!("{table}");
    eprintln!("measured in {:.1} s", start.elapsed().as_secs_f64());
    for end in table.ends() {
        eprintln!("ended: {end}");
    }
    let mut failures = table.failures();
    if let Some(file) = &arguments.plot {
        plot::draw(file, &grid, &rows, plotted_buffer(&grid)?)?;
    }
    if arguments.check {
        failures.extend(snapshot::differences(&docs("goodput.csv"), &grid, &rows)?);
    }
    if arguments.update && failures.is_empty() {
        snapshot::write(&docs("goodput.csv"), &grid, &rows)?;
        plot::draw(&docs("goodput.svg"), &grid, &rows, PLOTTED_BUFFER)?;
    }
    for failure in &failures {
        eprintln!("goodput: {failure}");
    }
    Ok(failures.is_empty())
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn plotted_buffer(grid: &Grid) -> Result<usize> {
    let buffers = grid.cells.iter().map(|cell| cell.buffer);
    let has_all = |bytes: &usize| grid.contenders.iter().all(|contender| contender.has_buffer(*bytes));
    buffers.filter(has_all).max().context("there is no buffer that every stack can have")
}

fn trace(grid: &Grid) -> Result<()> {
    let ([cell], [contender], [seed, ..]) = (&grid.cells[..], &grid.contenders[..], &grid.seeds[..]) else {
        bail!("a trace shows one run: set stack, and one value each of loss or reorder, rtt and buffer");
    };
    let conditions = cell.conditions(grid.conditions);
    let mut out = BufWriter::new(io::stdout().lock());
    let traced = &mut Trace::new(&mut out);
    let outcome = run::run(*contender, cell.buffer, conditions, grid.segments(&conditions), *seed, Some(traced));
    out.flush()?;
    let outcome = outcome?;
    let goodput = outcome.bytes as f64 / outcome.elapsed.as_secs_f64() / 1_000.0;
    eprintln!("{goodput:.1} kB/s: {outcome:?}");
    Ok(())
}
