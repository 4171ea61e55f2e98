//! `host-sim measure --goodput`: bulk transfers over lossy paths, in virtual time with smoltcp beside this stack, and in real time with the
//! kernel's TCP.
//!
//! | module | holds |
//! |---|---|
//! | `cases` | what is measured: cells, who sends to whom, seeds |
//! | `transfers` | their measurement in real time |

mod cases;
mod transfers;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use lossy_path::cell::{Cell, RTTS, percent, size};
use tcp_reset_core::Config;

use self::cases::{BUFFERS, Case, Pair};
use self::transfers::Outcome;
use crate::image;
use crate::lan::{self, Lateness, Net, Settings};

/// Linux's.
const CONGESTION_CONTROL: &str = "cubic";
/// A path that loses more delivers nothing worth measuring.
const MAX_PERCENT: f64 = 50.0;
const PPM_PER_PERCENT: f64 = 10_000.0;

#[derive(clap::Args)]
pub(super) struct GoodputOptions {
    /// Measure goodput over lossy paths instead: in virtual time of this stack and of smoltcp 0.14, and in real time of the kernel's TCP, to
    /// itself and to this stack, over the same paths, in network namespaces of their own
    #[arg(long, conflicts_with_all = ["work", "instructions", "json", "bounds", "milliseconds", "units"])]
    pub(super) goodput: bool,
    /// Percentages of packets that are lost, separated by commas; without it several, and rows of reordering
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', requires = "goodput", value_parser = ppm)]
    loss: Vec<u32>,
    /// Percentages of packets that arrive a quarter of a round trip late
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', requires = "goodput", value_parser = ppm)]
    reorder: Vec<u32>,
    /// Round-trip times
    #[arg(long, value_name = "MILLISECONDS", value_delimiter = ',', requires = "goodput", default_values_t = RTTS, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rtt: Vec<u32>,
    /// Send and receive buffers at both ends: powers of two from 2,048 to 32,768
    #[arg(long, value_name = "BYTES", value_delimiter = ',', requires = "goodput", default_values_t = BUFFERS, value_parser = buffer)]
    buffer: Vec<usize>,
    /// The first seed of the paths in real time
    #[arg(long, requires = "goodput", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::MAX / 2))]
    seed: u64,
    /// How many seeds each value of real time is averaged over
    #[arg(long, value_name = "COUNT", requires = "goodput", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=10))]
    seeds: u8,
    /// How long a transfer lasts in real time at most
    #[arg(long, requires = "goodput", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=60))]
    seconds: u8,
}

fn ppm(text: &str) -> Result<u32, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=MAX_PERCENT).contains(percent));
    let ppm = percent.map(|percent: f64| (percent * PPM_PER_PERCENT).round() as u32);
    ppm.ok_or_else(|| format!("this is not a percentage from 0 to {MAX_PERCENT}"))
}

fn buffer(text: &str) -> Result<usize, String> {
    let (least, most) = (BUFFERS[0], BUFFERS[BUFFERS.len() - 1]);
    let bytes = text.parse().ok().filter(|bytes: &usize| bytes.is_power_of_two() && (least..=most).contains(bytes));
    bytes.ok_or_else(|| format!("this is not a power of two from {least} to {most}"))
}

impl GoodputOptions {
    /// What is named alone is measured without the other.
    fn cells(&self) -> Vec<Cell> {
        let or_none = |list: &[u32]| if list.is_empty() { vec![0] } else { list.to_vec() };
        match (&self.loss[..], &self.reorder[..]) {
            ([], []) => Cell::of_loss_and_reordering(&self.rtt, &self.buffer),
            (losses, reorders) => Cell::product(&or_none(reorders), &or_none(losses), &self.rtt, &self.buffer),
        }
    }

    /// The same cells as `cargo goodput` is asked for them.
    fn settings(&self) -> Vec<String> {
        let lists = [("loss", &self.loss), ("reorder", &self.reorder), ("rtt", &self.rtt)];
        let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let join = |list: &[u32]| list.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut settings: Vec<_> = given.map(|(name, list)| format!("{name}={}", join(list))).collect();
        let buffers: Vec<_> = self.buffer.iter().map(usize::to_string).collect();
        settings.push(format!("buffer={}", buffers.join(",")));
        settings
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// Measures and prints.
///
/// # Errors
/// If the namespaces cannot be had, or a program cannot be built or run.
pub(super) fn run(options: &GoodputOptions) -> Result<()> {
    // Built first: cargo may need the network, which the namespaces do not have.
    let image = image::build_goodput()?;
    // As `cargo goodput` has it.
    let config = Config { timestamps: false, ..Config::default() };
    let settings = Settings { config, congestion_control: CONGESTION_CONTROL };
    let mut net = Net::lay(settings, None)?;
    measure_in_virtual_time(&image, options)?;
    let (cells, started) = (options.cells(), WallClock::now());
    let cases = cases::all(&cells, options.seed, options.seeds);
    let outcomes = transfers::measure(&mut net, &cases, options.limit())?;
    print(&cells, &cases, &outcomes);
    explain(options, &net.lateness(), started.elapsed())
}

/// That program prints its table.
fn measure_in_virtual_time(image: &Path, options: &GoodputOptions) -> Result<()> {
    anstream::println!("In virtual time, kB/s:\n");
    let status = Command::new(image).args(options.settings()).status().context("cannot run the program of goodput")?;
    ensure!(status.success(), "the program of goodput ended with {status}");
    Ok(())
}

/// A line for each cell, in the order of `cells`.
fn print(cells: &[Cell], cases: &[Case], outcomes: &[Result<Outcome, String>]) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let mut header = vec!["loss", "reordered", "RTT", "buffer"];
    header.extend(Pair::ALL.map(Pair::title));
    header.push("ours/Linux");
    table.set_header(header);
    for cell in cells {
        let Cell { reorder, loss, rtt, buffer } = *cell;
        let value = |pair| {
            let of_it = cases.iter().zip(outcomes).filter(|(case, _)| case.cell == *cell && case.pair == pair);
            goodput(of_it.map(|(_, outcome)| outcome))
        };
        let mut line =
            vec![format!("{} %", percent(loss)), format!("{} %", percent(reorder)), format!("{rtt} ms"), size(buffer)];
        line.extend(Pair::ALL.map(|pair| value(pair).map_or_else(|| "ended".into(), show)));
        let ratio = value(Pair::Ours).zip(value(Pair::Linux)).map(|(ours, linux)| ours / linux);
        line.push(ratio.map_or_else(|| "n/a".into(), |ratio| format!("{ratio:.2}")));
        table.add_row(line);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!("\nIn real time, kB/s:\n\n{table}");
    for (Case { cell, pair, seed, .. }, outcome) in cases.iter().zip(outcomes) {
        if let Err(why) = outcome {
            anstream::eprintln!("ended: {}, {cell}, seed {seed}: {why}", pair.title());
        }
    }
}

/// Returns kB/s: the bytes of all seeds over the time of all seeds; `None` if a connection ended.
fn goodput<'o>(outcomes: impl Iterator<Item = &'o Result<Outcome, String>>) -> Option<f64> {
    let outcomes = outcomes.map(|outcome| outcome.as_ref().ok()).collect::<Option<Vec<_>>>()?;
    let bytes: u64 = outcomes.iter().map(|outcome| outcome.bytes).sum();
    let elapsed: Duration = outcomes.iter().map(|outcome| outcome.elapsed).sum();
    Some(bytes as f64 / elapsed.as_secs_f64() / 1_000.0).filter(|goodput| goodput.is_finite())
}

fn show(goodput: f64) -> String {
    if goodput < 100.0 { format!("{goodput:.1}") } else { format!("{goodput:.0}") }
}

fn explain(options: &GoodputOptions, lateness: &Lateness, took: Duration) -> Result<()> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's release")?;
    let GoodputOptions { seed, seeds, seconds, .. } = options;
    anstream::println!(
        "Linux {}: CUBIC, SACK and timestamps; its windows are held to the buffer (TCP_WINDOW_CLAMP), its send buffer is SO_SNDBUF.\n\
         Ours: SACK, CUBIC, no timestamps. Seeds {seed} to {}; a transfer ends after {seconds} s or {} segments.\n\
         Frames arrived {:.0} µs late on average, {:.2} % of them more than {} µs. Measured in {:.0} s.",
        release.trim(),
        seed + u64::from(*seeds) - 1,
        transfers::MAX_SEGMENTS,
        lateness.mean().as_secs_f64() * 1e6,
        lateness.percent_late(),
        lan::LATE.as_micros(),
        took.as_secs_f64(),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use lossy_path::cell::REORDERED;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        measure: super::super::Options,
    }

    fn parse(arguments: &[&str]) -> Result<GoodputOptions, clap::Error> {
        let arguments = [&["measure", "--goodput"], arguments].concat();
        Arguments::try_parse_from(arguments).map(|arguments| arguments.measure.goodput)
    }

    #[test]
    fn arguments_choose_cells_and_without_any_all_are_measured() {
        let options = parse(&[]).expect("nothing is wrong");
        assert_eq!(options.cells().len(), 54);
        assert!(options.cells().iter().all(|cell| cell.reorder == 0 || (cell.reorder, cell.loss) == (REORDERED, 0)));
        assert_eq!(options.settings(), ["rtt=1,20,100", "buffer=2048,8192,32768"]);
        let options = parse(&["--loss", "0,0.1,50", "--rtt", "7", "--buffer", "4096"]).expect("nothing is wrong");
        let cell = Cell { reorder: 0, loss: 0, rtt: 7, buffer: 4_096 };
        assert_eq!(options.cells(), [0, 1_000, 500_000].map(|loss| Cell { loss, ..cell }));
        assert_eq!(options.settings(), ["loss=0,1000,500000", "rtt=7", "buffer=4096"]);
        let options = parse(&["--reorder", "2", "--rtt", "7", "--buffer", "4096"]).expect("nothing is wrong");
        assert_eq!(options.cells(), [Cell { reorder: 20_000, ..cell }]);
    }

    #[test]
    fn arguments_out_of_bounds_are_refused() {
        let wrong: [&[&str]; 14] = [
            &["--loss", "50.1"],
            &["--loss", "-1"],
            &["--loss", "NaN"],
            &["--reorder", "x"],
            &["--rtt", "0"],
            &["--rtt", "1001"],
            &["--buffer", "1024"],
            &["--buffer", "3000"],
            &["--buffer", "65536"],
            &["--seeds", "0"],
            &["--seeds", "11"],
            &["--seconds", "0"],
            &["--seconds", "61"],
            &["--json"],
        ];
        for arguments in wrong {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
        assert!(Arguments::try_parse_from(["measure", "--loss", "1"]).is_err(), "--goodput is missing");
    }

    #[test]
    fn the_goodput_of_seeds_is_all_bytes_over_all_time() {
        let outcome = |bytes, seconds| Ok(Outcome { bytes, elapsed: Duration::from_secs(seconds) });
        assert_eq!(goodput([outcome(1_000, 1), outcome(5_000, 2)].iter()), Some(2.0));
        assert_eq!(goodput([outcome(1_000, 1), Err("reset".into())].iter()), None);
    }
}
