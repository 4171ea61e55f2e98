//! Chooses the peer, plays the scenarios, prints ladders and the table.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant as WallClock;

use anyhow::{Context, Result};

use crate::family::Family;
use crate::kernel::{self, Wire, WireKind};
use crate::kernel_peer::KernelPeer;
use crate::ladder;
use crate::memory_peer::MemoryPeer;
use crate::pcap::{Capture, CaptureFailed};
use crate::peer::Peer;
use crate::report::{BAD, GOOD, HEAD, Outcome, print_table};
use crate::scenarios::Scenario;
use crate::world::{OUR_MAC, PEER_MAC, PORTS, World};

/// The first port of the first scenario: below the range the kernel hands out by itself.
const FIRST_PORT: u16 = 20_000;

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
    /// Leave the ladders of scenarios that hold unprinted.
    pub quiet: bool,
}

/// Plays the scenarios; says whether all hold.
///
/// # Errors
/// If the peer asked for cannot be had, or the capture cannot be written.
pub fn run(options: &Options<'_>) -> Result<bool> {
    let mut capture = options.pcap.map(Capture::create).transpose()?;
    let mut kernel = Kernel::set_up(options)?;
    let stories = options.families.iter().flat_map(|family| options.scenarios.iter().map(move |s| (*family, *s)));
    let mut outcomes = Vec::new();
    for (number, (family, scenario)) in stories.enumerate() {
        let first_port = FIRST_PORT + PORTS * number as u16;
        let story = Story { family, scenario, first_port, is_quiet: options.quiet };
        outcomes.push(match kernel.peer(family) {
            Some(peer) if !scenario.needs_virtual_time => play(&story, peer, capture.as_mut())?,
            _ => play(&story, &mut MemoryPeer::new(family, PEER_MAC)?, capture.as_mut())?,
        });
    }
    print_table(&outcomes);
    if options.choice == Choice::Kernel && outcomes.iter().any(|outcome| outcome.peer != "kernel") {
        anstream::println!("Scenarios that turn the clock play in memory.");
    }
    Ok(outcomes.iter().all(|outcome| outcome.result.is_ok()))
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
struct Story {
    family: Family,
    scenario: &'static Scenario,
    first_port: u16,
    is_quiet: bool,
}

fn play(story: &Story, peer: &mut dyn Peer, capture: Option<&mut Capture>) -> Result<Outcome> {
    let Story { family, scenario, first_port, is_quiet } = *story;
    let peer_name = peer.name();
    let started = WallClock::now();
    let mut world = World::new(family, peer, capture, first_port)?;
    let result = match (scenario.play)(&mut world) {
        Err(error) if error.downcast_ref::<CaptureFailed>().is_some() => return Err(error),
        result => result,
    };
    let took = started.elapsed();
    let segments = world.trace.steps().count();
    if !is_quiet || result.is_err() {
        let Scenario { name, title, .. } = scenario;
        anstream::println!("\n{HEAD}{name}{HEAD:#} over {family}: {title}\n");
        anstream::print!("{}", ladder::draw(&world.trace, peer_name));
        match &result {
            Ok(()) => anstream::println!("  {GOOD}holds{GOOD:#}"),
            Err(error) => anstream::println!("  {BAD}FAILS: {error:#}{BAD:#}"),
        }
    }
    Ok(Outcome { name: scenario.name, title: scenario.title, family, peer: peer_name, segments, took, result })
}
