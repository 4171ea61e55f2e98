//! The simulator: see `docs/simulator.md`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use host_sim::cable::Hostility;
use host_sim::family::Family;
use host_sim::kernel::WireKind;
use host_sim::run::{self, Choice, Ladders, Options};
use host_sim::scenarios::{SCENARIOS, Scenario};
use host_sim::{boards, campaign, measure, qemu, transfer};

/// Plays how TCP connections begin, break and end between tcp-reset-core and the Linux kernel, and judges it.
///
/// Without arguments it plays every scenario against the kernel's TCP in a network namespace of its own, and draws the first as a ladder; no
/// root, no set-up.
/// The exit code is 0 if all hold, 1 if one fails, 2 if something could not be started.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Play only this scenario; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = scenario_named)]
    scenario: Vec<&'static Scenario>,
    /// Play only over this family of addresses; without it over both
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// List the scenarios and stop
    #[arg(long)]
    list: bool,
    /// Write every frame to this pcapng file
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Let a second core be the peer, in memory and on virtual time
    #[arg(long, conflicts_with = "kernel")]
    memory: bool,
    /// Stop with an error where the kernel cannot be the peer
    #[arg(long)]
    kernel: bool,
    /// The wire to the kernel; without it a TAP, or a veth pair where the TAP is closed to you
    #[arg(long, conflicts_with = "memory")]
    wire: Option<WireName>,
    /// Print every scenario's ladder; without it one, or those of the scenarios that are named
    #[arg(long, conflicts_with = "quiet")]
    all: bool,
    /// Print no ladders of scenarios that hold
    #[arg(long)]
    quiet: bool,
    /// Stop at the first scenario that fails
    #[arg(long)]
    fail_fast: bool,
    /// How long a scenario may wait in all; in memory, in virtual time. Time that it lets pass on purpose is not counted
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Make the cable hostile: it loses, delays, duplicates and reorders frames as this seed says. Plays the scenarios that judge no
    /// single frame
    #[arg(long, value_name = "SEED")]
    hostile: Option<u64>,
    /// Percentage of frames that the hostile cable loses
    #[arg(long, value_name = "PERCENT", requires = "hostile", value_parser = clap::value_parser!(u8).range(..=50))]
    loss: Option<u8>,
    /// Percentage of frames that it delivers twice
    #[arg(long, value_name = "PERCENT", requires = "hostile", value_parser = clap::value_parser!(u8).range(..=50))]
    duplicate: Option<u8>,
    /// Percentage of frames that later ones overtake
    #[arg(long, value_name = "PERCENT", requires = "hostile", value_parser = clap::value_parser!(u8).range(..=50))]
    reorder: Option<u8>,
    /// The longest delay of a frame
    #[arg(long, value_name = "MILLISECONDS", requires = "hostile", value_parser = clap::value_parser!(u16).range(..=1_000))]
    delay: Option<u16>,
    /// Pull the cable once in each scenario, for so long
    #[arg(long, value_name = "MILLISECONDS", requires = "hostile", value_parser = clap::value_parser!(u16).range(..=10_000))]
    pull: Option<u16>,
}

#[derive(Subcommand)]
enum Command {
    /// Print the rule table
    Rules {
        /// As the page of Markdown that stands in `docs/rules.md`
        #[arg(long)]
        markdown: bool,
    },
    Qemu(qemu::command::Options),
    #[cfg(feature = "mutants")]
    Mutants(host_sim::mutants::Options),
    Campaign(campaign::Options),
    /// Build the firmware for every board and the smallest echo servers, print their sizes, check them against the budget
    Boards,
    /// Count what a segment costs on a Cortex-M3 in QEMU, beside embassy-net's own TCP
    Bench {
        /// What each option costs a segment of ours instead, by images that differ in it alone
        #[arg(long)]
        options: bool,
    },
    Measure(measure::Options),
    Transfer(transfer::Options),
    Fairness(transfer::FairnessOptions),
    #[cfg(feature = "peers")]
    Probes(host_sim::probes::Options),
}

#[derive(Clone, Copy, ValueEnum)]
enum WireName {
    Tap,
    Veth,
}

fn scenario_named(name: &str) -> Result<&'static Scenario, String> {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| "there is no such scenario; --list names them".into())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Rules { markdown: false }) => {
            anstream::println!("{}", host_sim::rules::table());
            return ExitCode::SUCCESS;
        }
        Some(Command::Rules { markdown: true }) => {
            anstream::print!("{}", host_sim::rules::markdown());
            return ExitCode::SUCCESS;
        }
        Some(Command::Boards) => return code_of(boards::run().map(|fits| i32::from(!fits))),
        #[cfg(feature = "mutants")]
        Some(Command::Mutants(options)) => {
            return code_of(host_sim::mutants::run(options).map(|is_enough| i32::from(!is_enough)));
        }
        Some(Command::Bench { options: false }) => return code_of(qemu::bench::run().map(|()| 0)),
        Some(Command::Bench { options: true }) => return code_of(qemu::bench::run_options().map(|()| 0)),
        Some(Command::Measure(options)) => return code_of(measure::run(options).map(|holds| i32::from(!holds))),
        #[cfg(feature = "peers")]
        Some(Command::Probes(options)) => return code_of(host_sim::probes::run(options).map(|()| 0)),
        Some(Command::Transfer(options)) => return code_of(transfer::run(options)),
        Some(Command::Fairness(options)) => return code_of(transfer::run_fairness(options)),
        Some(Command::Campaign(options)) => return code_of(campaign::run(options).map(|holds| i32::from(!holds))),
        Some(Command::Qemu(options)) => return code_of(qemu::command::run(options)),
        None => {}
    }
    if arguments.list {
        for scenario in SCENARIOS {
            anstream::println!("{:<24} {}", scenario.name, scenario.title);
        }
        return ExitCode::SUCCESS;
    }
    code_of(run::run(&options(&arguments)).map(|holds| i32::from(!holds)))
}

fn code_of(outcome: anyhow::Result<i32>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            anstream::eprintln!("host-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn options(arguments: &Arguments) -> Options<'_> {
    let choice = match (arguments.memory, arguments.kernel || arguments.wire.is_some()) {
        (true, _) => Choice::Memory,
        (false, true) => Choice::Kernel,
        (false, false) => Choice::Any,
    };
    let hostility = hostility(arguments);
    let is_asked_for = |scenario: &&Scenario| hostility.is_none() || scenario.holds_when_hostile;
    let scenarios = match arguments.scenario.is_empty() {
        true => SCENARIOS.iter().filter(is_asked_for).collect(),
        false => arguments.scenario.clone(),
    };
    Options {
        families: arguments.family.as_ref().map_or(&Family::ALL, std::slice::from_ref),
        scenarios,
        choice,
        wire: arguments.wire.map(|wire| match wire {
            WireName::Tap => WireKind::Tap,
            WireName::Veth => WireKind::Veth,
        }),
        pcap: arguments.pcap.as_deref(),
        ladders: match (arguments.quiet, arguments.all || !arguments.scenario.is_empty()) {
            (true, _) => Ladders::Failing,
            (false, true) => Ladders::All,
            (false, false) => Ladders::Showcase,
        },
        hostility,
        fail_fast: arguments.fail_fast,
        timeout: Duration::from_secs(arguments.timeout),
    }
}

fn hostility(arguments: &Arguments) -> Option<Hostility> {
    let usual = Hostility::moderate(arguments.hostile?);
    Some(Hostility {
        seed: usual.seed,
        loss: arguments.loss.unwrap_or(usual.loss),
        duplicate: arguments.duplicate.unwrap_or(usual.duplicate),
        reorder: arguments.reorder.unwrap_or(usual.reorder),
        corrupt: usual.corrupt,
        mark: usual.mark,
        delay: arguments.delay.map_or(usual.delay, |delay| Duration::from_millis(delay.into())),
        pull: arguments.pull.map(|pull| Duration::from_millis(pull.into())),
    })
}
