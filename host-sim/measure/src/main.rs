//! What tcp-reset-core and smoltcp 0.14 cost for the same traffic.
#![allow(clippy::expect_used, reason = "where something cannot be set up there is nothing to measure")]

mod ours;
mod packet;
mod ring;
mod stack;
mod theirs;
mod work;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::ours::Ours;
use self::stack::{Family, Stack};
use self::theirs::Theirs;
use self::work::{ITEMS, Item, Work};

/// Runs of each stack for one item, at least and at most. Odd, so that one is the median.
const LEAST_RUNS: usize = 5;
const MOST_RUNS: usize = 101;
/// A run is long enough for the clock.
const LEAST_RUN: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|word| word.parse().ok());
    let measure: &dyn Fn(&Item, Family) = match (arguments.first().map(String::as_str), number(1)) {
        (Some("time"), Some(milliseconds)) => &move |item, family| time(item, family, Duration::from_millis(milliseconds)),
        (Some("count"), Some(units)) => &move |item, family| count(item, family, units),
        _ => {
            eprintln!("measure time MILLISECONDS-EACH | measure count UNITS-EACH");
            return ExitCode::from(2);
        }
    };
    for family in Family::SPOKEN {
        for item in ITEMS {
            measure(item, *family);
        }
    }
    ExitCode::SUCCESS
}

/// Does so many units once for each stack. The instructions between entering and leaving [`measured_region`] are what valgrind counts.
fn count(item: &Item, family: Family, units: u64) {
    for (stack, make) in [(Ours::NAME, item.ours), (Theirs::NAME, item.theirs)] {
        let mut work = make(family);
        work.run(units);
        let took = measured_region(&mut *work, units);
        tell(item, family, stack, units, took);
    }
}

/// Lets both stacks run in turn for so long in all.
fn time(item: &Item, family: Family, limit: Duration) {
    let mut works = [(item.ours)(family), (item.theirs)(family)];
    let units = works.each_mut().map(|work| units_for(&mut **work));
    let mut runs = [Vec::new(), Vec::new()];
    let start = Instant::now();
    while runs[0].len() < LEAST_RUNS
        || runs[0].len() % 2 == 0
        || (runs[0].len() < MOST_RUNS && start.elapsed() < limit)
    {
        for i in 0..2 {
            runs[i].push(measured_region(&mut *works[i], units[i]));
        }
    }
    for (i, stack) in [Ours::NAME, Theirs::NAME].into_iter().enumerate() {
        runs[i].sort_unstable();
        tell(item, family, stack, units[i], runs[i][runs[i].len() / 2]);
    }
}

/// Returns how many units take long enough.
fn units_for(work: &mut dyn Work) -> u64 {
    let mut units = 1;
    while measured_region(work, units) < LEAST_RUN {
        units *= 2;
    }
    units
}

/// A function of its own in the program, so that valgrind finds it.
#[inline(never)]
fn measured_region(work: &mut dyn Work, units: u64) -> Duration {
    let start = Instant::now();
    work.run(units);
    start.elapsed()
}

fn tell(item: &Item, family: Family, stack: &str, units: u64, took: Duration) {
    println!("measure {} {} {stack} {units} units, {} ns", family.name(), item.name, took.as_nanos());
}
