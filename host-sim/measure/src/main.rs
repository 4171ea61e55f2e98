//! Measures the cost of tcp-reset-core and of smoltcp 0.14 for the same work, in one process. `host-sim measure` builds this program, runs it
//! and prints the table.
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
//! tcp-reset-core is driven by its contract as its Embassy side does it: after each packet and each batch of calls, `poll_output` while there
//! may be output, which yields the events as well; at the end `next_timeout`. smoltcp is driven by `poll`, which processes all waiting packets
//! before it looks for output: where several packets arrive at once it looks, and acknowledges, less often. Its application asks the socket.
//! Its `poll_at`, which a device that sleeps needs, is not part of the cost that ours is compared with; a third column includes it.
//!
//! Not counted: construction of the stacks and buffers, the handshakes of items that start from ESTABLISHED, and a warm-up.
#![allow(clippy::expect_used, reason = "a set-up that fails leaves nothing to measure")]

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

/// Bounds on the runs of each stack for one item. The number is odd, so that one run is the median.
const LEAST_RUNS: u32 = 5;
const MOST_RUNS: u32 = 301;
/// Minimum length of a run, far above the clock's resolution.
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

/// Runs an item once with each stack. valgrind counts the instructions from entry to exit of [`measured_region`].
fn count(item: &Item, family: Family, units: u64) {
    for (stack, set_up) in STACKS.iter().zip(item.set_up) {
        let mut work = set_up(family);
        // Warm-up.
        work.run(units);
        let took = measured_region(&mut *work, units);
        print_result(item, family, stack, units, took);
    }
}

/// Runs an item with the stacks in turn until `limit` has passed, and prints each one's median.
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
        print_result(item, family, stack, units[i], runs[i][runs[i].len() / 2]);
    }
}

/// Returns how many units take at least [`LEAST_RUN`].
fn units_for(work: &mut dyn Work) -> u64 {
    let mut units = 1;
    while measured_region(work, units) < LEAST_RUN {
        units *= 2;
    }
    units
}

/// Runs the work. Never inlined, so that valgrind finds the symbol.
#[inline(never)]
fn measured_region(work: &mut dyn Work, units: u64) -> Duration {
    let start = Instant::now();
    work.run(units);
    start.elapsed()
}

/// Prints a line that `host-sim measure` reads.
fn print_result(item: &Item, family: Family, stack: &str, units: u64, took: Duration) {
    println!("measure {} {} {stack} {units} units, {} ns", family.name(), item.name, took.as_nanos());
}
