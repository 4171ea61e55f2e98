//! Chooses the peer, plays the scenarios, prints ladders and the table.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result};

use crate::cable::Hostility;
use crate::family::Family;
use crate::judge;
use crate::kernel::{self, Wire, WireKind};
use crate::kernel_peer::KernelPeer;
use crate::ladder;
use crate::memory_peer::MemoryPeer;
use crate::pcap::{Capture, CaptureFailed};
use crate::peer::Peer;
use crate::report::{HEAD, Outcome, print_head, print_sum, print_table, tell, tell_of_each_family};
use crate::scenarios::Scenario;
use crate::tuning::Tuning;
use crate::world::{OUR_MAC, PEER_MAC, PORTS, Stage, World};

/// The first port of the first scenario: below the range the kernel hands out by itself.
const FIRST_PORT: u16 = 20_000;
/// The least retransmission timeout on a hostile cable.
const HOSTILE_RTO_MIN: Duration = Duration::from_millis(100);

/// Who the peer may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The kernel where the system lets us, else a second core.
    Any,
    /// The kernel, or nothing.
    Kernel,
    /// A second core.
    Memory,
}

/// Which ladders are drawn. Those of scenarios that fail always are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ladders {
    /// That of [`SHOWCASE`], which plays first.
    Showcase,
    /// Every one.
    All,
    /// No other, and no table.
    Failing,
}

/// What a newcomer is shown: how a connection begins, is broken by a reboot, ends by a reset with its reason, and begins again.
pub const SHOWCASE: &str = "peer-reboots";

/// What to play, and how.
pub struct Options<'o> {
    /// The families of addresses, each with every scenario.
    pub families: &'o [Family],
    /// The scenarios.
    pub scenarios: Vec<&'static Scenario>,
    /// The peer.
    pub choice: Choice,
    /// The wire to the kernel; any that works if not said.
    pub wire: Option<WireKind>,
    /// Where to write a capture.
    pub pcap: Option<&'o Path>,
    /// Which ladders are drawn.
    pub ladders: Ladders,
    /// What the cable does.
    pub hostility: Option<Hostility>,
    /// Stop at the first scenario that fails.
    pub fail_fast: bool,
    /// How long a scenario may wait in all, on the clock that it is played on.
    pub timeout: Duration,
}

/// Plays the scenarios; returns whether all hold.
///
/// # Errors
/// If the peer asked for cannot be had, or the capture cannot be written.
pub fn run(options: &Options<'_>) -> Result<bool> {
    let mut capture = options.pcap.map(Capture::create).transpose()?;
    let mut kernel = Kernel::set_up(options)?;
    if let Some(hostility) = options.hostility {
        anstream::println!("The cable is hostile, {hostility}.");
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut told = 0;
    for (number, (family, scenario)) in stories(options).into_iter().enumerate() {
        let first_port = FIRST_PORT + PORTS * number as u16;
        if options.ladders == Ladders::Showcase && outcomes.last().is_some_and(|last| last.name != scenario.name) {
            told = tell_rows(&outcomes, told);
        }
        let story = Story { family, scenario, first_port, is_first: number == 0, options };
        let outcome = match kernel.peer(family) {
            Some(peer) if !scenario.needs_virtual_time => play(&story, peer, capture.as_mut())?,
            _ => play(&story, &mut MemoryPeer::new(family, PEER_MAC)?, capture.as_mut())?,
        };
        if options.ladders != Ladders::Showcase {
            tell(&outcome);
        }
        let has_failed = outcome.result.is_err();
        outcomes.push(outcome);
        if has_failed && options.fail_fast {
            break;
        }
    }
    match options.ladders {
        Ladders::Showcase => {
            tell_rows(&outcomes, told);
            print_sum(&outcomes);
        }
        Ladders::All => print_table(&outcomes),
        Ladders::Failing => print_sum(&outcomes),
    }
    if options.choice == Choice::Kernel && outcomes.iter().any(|outcome| outcome.peer != "kernel") {
        anstream::println!("Scenarios that turn the clock play in memory.");
    }
    Ok(outcomes.iter().all(|outcome| outcome.result.is_ok()))
}

/// Every scenario in each family. Those that turn the clock come last: in a capture nothing is dated after their days but they.
fn stories(options: &Options<'_>) -> Vec<(Family, &'static Scenario)> {
    let in_families =
        |scenario: &&'static Scenario| options.families.iter().map(|family| (*family, *scenario)).collect::<Vec<_>>();
    let mut stories: Vec<_> = options.scenarios.iter().flat_map(in_families).collect();
    let is_shown = |scenario: &Scenario| options.ladders == Ladders::Showcase && scenario.name == SHOWCASE;
    stories.sort_by_key(|(_, scenario)| (!is_shown(scenario), scenario.needs_virtual_time));
    stories
}

/// Tells the outcomes from the `told`th on as rows of the table, whose head comes before the first; returns how many are told.
fn tell_rows(outcomes: &[Outcome], told: usize) -> usize {
    if told == 0 {
        print_head();
    }
    tell_of_each_family(&outcomes[told..]);
    outcomes.len()
}

/// The kernel as the peer, in the families it can be had in.
struct Kernel {
    peer: Option<KernelPeer>,
    families: Vec<Family>,
}

impl Kernel {
    /// Lays the wire to the kernel. Must come before any thread is started.
    fn set_up(options: &Options<'_>) -> Result<Kernel> {
        let mut kernel = Kernel { peer: None, families: Vec::new() };
        let Some((first, others)) = options.families.split_first() else { return Ok(kernel) };
        if options.choice == Choice::Memory {
            return Ok(kernel);
        }
        let Some(mut wire) = or_memory(options.choice, *first, enter_and_lay(*first, options.wire))? else {
            return Ok(kernel);
        };
        let kind = wire.kind();
        anstream::println!("The peer is this machine's kernel, in a network namespace of its own, over a {kind}.");
        kernel.families.push(*first);
        for family in others {
            let added = wire.add_network(&family.network()).map_err(anyhow::Error::from);
            kernel.families.extend(or_memory(options.choice, *family, added)?.map(|()| *family));
        }
        kernel.peer = Some(KernelPeer::new(wire, *first));
        Ok(kernel)
    }

    fn peer(&mut self, family: Family) -> Option<&mut KernelPeer> {
        let peer = self.peer.as_mut().filter(|_| self.families.contains(&family))?;
        peer.speak(family);
        Some(peer)
    }
}

/// Says why the kernel cannot be the peer; an error only where nobody else may be.
fn or_memory<T>(choice: Choice, family: Family, outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if choice == Choice::Any => {
            let what = format!("The kernel cannot be the peer over {family} here: {error:#}.");
            anstream::println!("{what} Two cores in memory play instead.");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn enter_and_lay(family: Family, kind: Option<WireKind>) -> Result<Wire> {
    kernel::enter()?;
    let wire = Wire::open(&family.network(), OUR_MAC, kind)?;
    let [theirs, ours] = [family.peer_addr(), family.our_addr()].map(|addr| SocketAddr::new(addr, 1));
    kernel::kernel_state_of(theirs, ours).context("could not read the kernel's connections; mount /proc")?;
    Ok(wire)
}

/// One scenario in one family.
struct Story<'o> {
    family: Family,
    scenario: &'static Scenario,
    first_port: u16,
    is_first: bool,
    options: &'o Options<'o>,
}

impl Story<'_> {
    fn is_drawn(&self) -> bool {
        match self.options.ladders {
            Ladders::Showcase => self.is_first,
            Ladders::All => true,
            Ladders::Failing => false,
        }
    }
}

fn play(story: &Story<'_>, peer: &mut dyn Peer, mut capture: Option<&mut Capture>) -> Result<Outcome> {
    let Story { family, scenario, first_port, options, .. } = *story;
    let Scenario { name, title, .. } = scenario;
    let peer_name = peer.name();
    let started = WallClock::now();
    if let Some(capture) = &mut capture {
        capture.begin(peer.now(), format!("scenario {name} over {family}: {title}"));
    }
    let stage = Stage {
        family,
        peer,
        capture,
        first_port,
        tuning: tuning(scenario, options.hostility),
        hostility: options.hostility,
        fault: None,
        patience: options.timeout,
    };
    let mut world = World::new(stage)?;
    let Played { story_end, result } = play_and_judge(scenario, &mut world);
    let result = match result {
        Err(error) if error.downcast_ref::<CaptureFailed>().is_some() => return Err(error),
        result => result,
    };
    let took = started.elapsed();
    let segments = world.trace.steps().count();
    if story.is_drawn() || result.is_err() {
        anstream::println!("\n{HEAD}{name}{HEAD:#} over {family}: {title}\n");
        // What comes after the story is of interest only where it failed.
        let drawn = if result.is_ok() { story_end } else { world.trace.entries.len() };
        anstream::print!("{}", ladder::draw(&world.trace, drawn, peer_name));
    }
    Ok(Outcome { name, title, family, peer: peer_name, segments, took, result })
}

/// A hostile cable costs timeouts; shorter ones keep a run on the kernel's clock short.
fn tuning(scenario: &Scenario, hostility: Option<Hostility>) -> Tuning {
    let mut tuning = (scenario.tuning)();
    if hostility.is_some() {
        tuning.config.rto_min = tuning.config.rto_min.min(HOSTILE_RTO_MIN);
    }
    tuning
}

/// What became of a scenario.
pub struct Played {
    /// Entries of the trace that are the story; what follows is what it was judged by.
    pub story_end: usize,
    /// Whether it holds.
    pub result: Result<()>,
}

/// Plays a scenario and judges what every scenario is judged by.
pub fn play_and_judge(scenario: &Scenario, world: &mut World<'_>) -> Played {
    let mut result = (scenario.play)(world).and_then(|()| judge::aftermath(world));
    let story_end = world.trace.entries.len();
    if result.is_ok() {
        let is_hostile = world.is_hostile();
        result = judge::resets(&world.trace, scenario.resets, &world.expected, is_hostile)
            .and_then(|()| judge::tables(world, scenario.leaves))
            .and_then(|()| judge::next_clients(world))
            .and_then(|()| judge::no_rst_answers(&world.trace));
    }
    Played { story_end, result }
}
