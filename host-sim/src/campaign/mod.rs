//! A campaign of random worlds: hosts with the engine behind [`tcp_reset_core::link::Link`], a hostile wire, forged segments, reboots, and
//! applications that end in every way, in virtual time. Each world comes from a seed and nothing else.
//!
//! After each step, and when the world has become quiet, it must hold that every byte arrives once and in order, that every connection
//! ends once with a reason that fits what happened, that nobody stays half-open whom a live peer could have told, that nothing which
//! is due waits without a timer, that nobody storms, and that all tables are empty in the end while listeners still serve.
//!
//! | module | holds |
//! |---|---|
//! | `plan`, `draw` | a world's settings and operations, drawn from the seed |
//! | `addresses`, `host`, `rogue` | who is where; the engines; a peer that keeps to a script |
//! | `due`, `conn`, `pair`, `promise` | what is due; connections; what two endpoints said; an answer that is owed |
//! | `world` | time, frames and their faults |
//! | `apps`, `forge` | applications; an attacker off the path |
//! | `traffic`, `check`, `limits`, `quiet` | what must hold of each segment, at each step and at the end |
//! | `coverage` | what happened in all worlds, and what never did |
//! | `shrink`, `story` | a failing world made small, and told |

mod addresses;
mod apps;
mod check;
mod conn;
mod coverage;
mod draw;
mod due;
mod forge;
mod host;
mod limits;
mod pair;
mod plan;
mod promise;
mod quiet;
mod rogue;
mod shrink;
mod story;
mod traffic;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use bumpalo::Bump;
use indicatif::{ProgressBar, ProgressStyle};

use self::coverage::Coverage;
use self::plan::Plan;
use self::story::Story;
use self::world::{Outcome, World};
use crate::family::Family;

/// Seeds a worker takes at a time.
const CHUNK: u64 = 32;
/// One in so many seeds is played twice, and must be the same.
const TWICE: u64 = 64;
/// A world takes milliseconds; one that takes as long as this will never end.
const ENDLESS: Duration = Duration::from_secs(120);
/// From so many worlds on, what never happened is worth a line.
const TELLING: u64 = 10_000;
/// No seed.
const NONE: u64 = u64::MAX;

/// Play random worlds and check what must hold in each
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The seeds, the last not included
    #[arg(long, default_value = "0..10000", value_parser = range)]
    pub seeds: Range<u64>,
    /// Play this seed alone and print its ladder
    #[arg(long, conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// Only this family of addresses; without it both
    #[arg(long, value_enum)]
    pub family: Option<Family>,
    /// Worlds played at the same time; without it one for each processor
    #[arg(long)]
    pub jobs: Option<NonZero<usize>>,
    /// With --seed: show the schedule as it was drawn, not shrunk
    #[arg(long)]
    pub whole: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    ends.filter(|range: &Range<u64>| range.start < range.end).ok_or_else(|| "a range is written 0..1000".into())
}

/// What the seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Worlds played.
    pub worlds: u64,
    /// TCP segments sent in them.
    pub segments: u64,
    /// What happened in them.
    pub coverage: Coverage,
    /// Seeds that failed, and how.
    pub failures: BTreeMap<u64, String>,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static BUMP: RefCell<Bump> = RefCell::new(Bump::new());
}

/// Plays the campaign; returns whether every world held.
///
/// # Errors
/// None yet.
pub fn run(options: &Options) -> Result<bool> {
    let families = options.family.as_ref().map_or(&Family::ALL[..], std::slice::from_ref);
    if let Some(seed) = options.seed {
        return Ok(replay(seed, families, options.whole));
    }
    let began = Instant::now();
    let bar = ProgressBar::new(options.seeds.end - options.seeds.start);
    let template = "{bar:30} {pos}/{len} worlds, {per_sec}, {elapsed} gone, {eta} to go {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let jobs = options.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let summary = play(options.seeds.clone(), families, jobs, |n, failed| {
        bar.inc(n);
        if failed > 0 {
            bar.set_message(format!("({failed} failed)"));
        }
    });
    bar.finish_and_clear();
    report(&summary, families, began.elapsed().as_secs_f64());
    Ok(summary.failures.is_empty())
}

/// Plays a range of seeds on so many threads. `progress` hears how many more are done, and how many have failed so far.
pub fn play(seeds: Range<u64>, families: &[Family], jobs: usize, progress: impl Fn(u64, usize) + Sync) -> Summary {
    hear_panics();
    let (next, summary) = (AtomicU64::new(seeds.start), Mutex::new(Summary::default()));
    let playing: Vec<AtomicU64> = (0..jobs).map(|_| AtomicU64::new(NONE)).collect();
    let work = |playing: &AtomicU64| loop {
        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
        if first >= seeds.end {
            return;
        }
        let chunk = first..(first + CHUNK).min(seeds.end);
        let (count, mut segments, mut failures) = (chunk.end - chunk.start, 0, Vec::new());
        let mut coverage = Coverage::default();
        for seed in chunk {
            playing.store(seed, Ordering::Relaxed);
            let Played { outcome, failure, coverage: of_seed, .. } = play_seed(seed, families);
            segments += outcome.segments;
            coverage.add(&of_seed);
            failures.extend(failure.map(|failure| (seed, failure)));
        }
        playing.store(NONE, Ordering::Relaxed);
        let failed = {
            let Ok(mut summary) = summary.lock() else { return };
            summary.worlds += count;
            summary.segments += segments;
            summary.coverage.add(&coverage);
            summary.failures.extend(failures);
            summary.failures.len()
        };
        progress(count, failed);
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = playing.iter().map(|playing| scope.spawn(|| work(playing))).collect();
        watch(&playing, || workers.iter().all(ScopedJoinHandle::is_finished));
    });
    summary.into_inner().unwrap_or_default()
}

/// Waits until all is done. An engine that goes in circles never comes back to say so: its seed is named, and the program ends.
fn watch(playing: &[AtomicU64], is_over: impl Fn() -> bool) {
    let mut since = vec![(NONE, Instant::now()); playing.len()];
    while !is_over() {
        std::thread::sleep(Duration::from_millis(20));
        for (now, since) in playing.iter().zip(&mut since) {
            let seed = now.load(Ordering::Relaxed);
            if seed != since.0 {
                *since = (seed, Instant::now());
            } else if seed != NONE && since.1.elapsed() > ENDLESS {
                anstream::eprintln!("seed {seed} FAILS: it does not end");
                std::process::exit(1);
            }
        }
    }
}

/// A world that is over.
struct Played {
    outcome: Outcome,
    failure: Option<String>,
    lines: Vec<String>,
    coverage: Coverage,
}

fn play_seed(seed: u64, families: &[Family]) -> Played {
    let plan = draw::draw(seed, families);
    let mut played = play_plan(&plan, Story::default());
    let is_checked = played.failure.is_none() && seed.is_multiple_of(TWICE);
    if is_checked && play_plan(&plan, Story::default()).outcome != played.outcome {
        played.failure = Some("the same seed, other frames".into());
    }
    played
}

/// Plays one plan. A panic is a failure like any other.
fn play_plan(plan: &Plan, story: Story) -> Played {
    BUMP.with_borrow_mut(|bump| {
        bump.reset();
        let bump = &*bump;
        let mut world = World::new(bump, plan, story);
        let played = catch_unwind(AssertUnwindSafe(|| world.live()));
        let failure = match played {
            Ok(()) => world.failure.take(),
            Err(_) => PANIC.with_borrow_mut(Option::take).or_else(|| Some("panic".into())),
        };
        let (outcome, lines) = (world.outcome(), world.story.lines().to_vec());
        Played { outcome, failure, lines, coverage: world.into_coverage() }
    })
}

/// A panic in a world is kept for its report and not printed.
fn hear_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_world = BUMP.with(|bump| bump.try_borrow_mut().is_err());
            if is_world {
                PANIC.set(Some(format!("panic: {info}")));
            } else {
                before(info);
            }
        }));
    });
}

fn report(summary: &Summary, families: &[Family], seconds: f64) {
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (seed, failure) in &summary.failures {
        kinds.entry(shrink::kind(failure)).or_insert((*seed, 0)).1 += 1;
    }
    if let Some((seed, _)) = summary.failures.first_key_value() {
        replay(*seed, families, false);
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, (_, count))| std::cmp::Reverse(*count));
        for (kind, (seed, count)) in kinds {
            anstream::println!("{count:>7} × {kind}   (first: --seed {seed})");
        }
    }
    let Summary { worlds, segments, ref coverage, ref failures } = *summary;
    if worlds >= TELLING {
        anstream::println!("{coverage}");
    }
    let (speed, failed) = (worlds as f64 / seconds.max(0.001), failures.len());
    anstream::println!(
        "{worlds} worlds, {failed} failed, {segments} segments, {seconds:.1} s, {speed:.0} worlds per second"
    );
}

/// Plays a seed again and prints its ladder; returns whether it held.
fn replay(seed: u64, families: &[Family], is_whole: bool) -> bool {
    hear_panics();
    let mut plan = draw::draw(seed, families);
    let drawn = plan.ops.len();
    let found = play_plan(&plan, Story::default()).failure;
    if let Some(failure) = &found
        && !is_whole
    {
        plan = shrink::shrink(&plan, failure, |plan| play_plan(plan, Story::default()).failure);
    }
    let Played { failure, lines, .. } = play_plan(&plan, Story::told());
    anstream::println!("seed {seed}: {} operations of {drawn}, hosts:", plan.ops.len());
    for (n, host) in plan.hosts.iter().enumerate() {
        anstream::println!("  {} {host:?}", addresses::name(n));
    }
    if let Some(rogue) = plan.rogue {
        anstream::println!("  {} {rogue:?}", addresses::name(plan.hosts.len()));
    }
    for op in &plan.ops {
        anstream::println!("  {:>12} µs {:?}", op.at, op.what);
    }
    for line in lines {
        anstream::println!("{line}");
    }
    match &failure {
        Some(failure) => anstream::println!("seed {seed} FAILS: {failure}"),
        None => anstream::println!("seed {seed} holds"),
    }
    failure.is_none()
}
