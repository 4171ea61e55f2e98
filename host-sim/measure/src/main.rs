//! What tcp-reset-core and smoltcp 0.14 cost for the same work, in one process. `host-sim measure` builds this, runs it and prints its table.
//!
//! Both stacks are on a link of IP packets with an MTU of 1,500, without congestion control, and compute and verify all checksums in
//! software. Counted on both sides:
//!
//! - taking packets from a ring, in place; writing packets into a ring, in place;
//! - the IP layer: headers, checksums, whether the packet is ours;
//! - TCP, with its timers and the acknowledgments it delays by its own default;
//! - the application's calls: listen, connect, accept, send, receive, close, and their copies of the data;
//! - the driver's loop, the clock and the checks of the result, a few instructions for each packet.
//!
//! tcp-reset-core is driven by its contract: after each packet and after each call `poll_output` until it says `Timeout`, which tells the
//! events and the next deadline too. smoltcp is driven by `poll`, which takes all packets there are before it looks for output: where several
//! packets arrive at once it looks, and acknowledges, less often. Its application asks the socket for what it waits for. Its `poll_at`, which a device
//! that sleeps needs, is left out of what ours is judged by, and counted apart.
//!
//! Not counted: making the stacks, the sockets' memory, the connections of items that begin with one, and as many units beforehand as are measured.
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

use self::stack::Family;
use self::work::{ITEMS, Item, STACKS, Work};

/// Runs of each stack for one item, at least and at most. Odd, so that one is the median.
const LEAST_RUNS: u32 = 5;
const MOST_RUNS: u32 = 301;
/// A run is long enough for the clock.
const LEAST_RUN: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|word| word.parse().ok());
    let measure: &dyn Fn(&Item, Family) = match (arguments.first().map(String::as_str), number(1)) {
        (Some("time"), Some(milliseconds)) => {
            &move |item, family| time(item, family, Duration::from_millis(milliseconds))
        }
        (Some("count"), Some(units)) => &move |item, family| count(item, family, units),
        _ => {
            eprintln!("measure (time MILLISECONDS-EACH | count UNITS-EACH) [ITEM…]");
            return ExitCode::from(2);
        }
    };
    let only = arguments.get(2..).unwrap_or_default();
    for family in Family::SPOKEN {
        for item in ITEMS.iter().filter(|item| only.is_empty() || only.iter().any(|name| name == item.name)) {
            measure(item, *family);
        }
    }
    ExitCode::SUCCESS
}

/// Does so many units once with each stack. The instructions between entering and leaving [`measured_region`] are what valgrind counts.
fn count(item: &Item, family: Family, units: u64) {
    for (stack, set_up) in STACKS.iter().zip(item.set_up) {
        let mut work = set_up(family);
        // What is done for the first time only is not counted.
        work.run(units);
        let took = measured_region(&mut *work, units);
        tell(item, family, stack, units, took);
    }
}

/// Lets the stacks run in turn for so long in all, and tells each one's median.
fn time(item: &Item, family: Family, limit: Duration) {
    let mut works = item.set_up.map(|set_up| set_up(family));
    let units = works.each_mut().map(|work| units_for(&mut **work));
    let mut runs = STACKS.map(|_| Vec::new());
    let start = Instant::now();
    for round in 1.. {
        for (i, work) in works.iter_mut().enumerate() {
            runs[i].push(measured_region(&mut **work, units[i]));
        }
        let is_enough = round >= MOST_RUNS || (round >= LEAST_RUNS && start.elapsed() >= limit);
        if is_enough && round % 2 == 1 {
            break;
        }
    }
    for (i, stack) in STACKS.iter().enumerate() {
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

/// Prints a line that `host-sim measure` reads.
fn tell(item: &Item, family: Family, stack: &str, units: u64, took: Duration) {
    println!("measure {} {} {stack} {units} units, {} ns", family.name(), item.name, took.as_nanos());
}
