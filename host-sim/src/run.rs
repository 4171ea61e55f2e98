//! Chooses the peer, plays the scenarios, prints ladders and the table.

use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Instant as WallClock;

use anyhow::{Context, Result};

use crate::endpoint::PREFIX;
use crate::kernel::{self, Wire, WireKind};
use crate::kernel_peer::KernelPeer;
use crate::ladder;
use crate::memory_peer::MemoryPeer;
use crate::pcap::{Capture, CaptureFailed};
use crate::peer::Peer;
use crate::report::{BAD, GOOD, HEAD, Outcome, print_table};
use crate::scenarios::Scenario;
use crate::world::{OUR_ADDR, OUR_MAC, PEER_ADDR, PEER_MAC, PORTS, World};

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
    let mut kernel = kernel_peer(options)?;
    let mut outcomes = Vec::new();
    for (number, scenario) in options.scenarios.iter().enumerate() {
        let first_port = FIRST_PORT + PORTS * number as u16;
        let outcome = match &mut kernel {
            Some(peer) if !scenario.needs_virtual_time => {
                play(scenario, peer, capture.as_mut(), first_port, options.quiet)?
            }
            _ => {
                let mut peer = MemoryPeer::new(PEER_ADDR, PEER_MAC)?;
                play(scenario, &mut peer, capture.as_mut(), first_port, options.quiet)?
            }
        };
        outcomes.push(outcome);
    }
    print_table(&outcomes);
    if options.choice == Choice::Kernel && outcomes.iter().any(|outcome| outcome.peer != "kernel") {
        anstream::println!("Scenarios that turn the clock play in memory.");
    }
    Ok(outcomes.iter().all(|outcome| outcome.result.is_ok()))
}

/// Lays the wire to the kernel. Must come before any thread is started.
fn kernel_peer(options: &Options<'_>) -> Result<Option<KernelPeer>> {
    if options.choice == Choice::Memory {
        return Ok(None);
    }
    match enter_and_lay(options.wire) {
        Ok(wire) => {
            let kind = wire.kind();
            anstream::println!("The peer is this machine's kernel, in a network namespace of its own, over a {kind}.");
            Ok(Some(KernelPeer::new(wire, PEER_ADDR)))
        }
        Err(error) if options.choice == Choice::Any => {
            anstream::println!("The kernel cannot be the peer here: {error:#}. Two cores in memory play instead.");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn enter_and_lay(kind: Option<WireKind>) -> Result<Wire> {
    kernel::enter()?;
    let wire = Wire::open(PEER_ADDR, PREFIX, OUR_ADDR, OUR_MAC, kind)?;
    let any = SocketAddrV4::new(OUR_ADDR, 1);
    kernel::kernel_state_of(SocketAddrV4::new(PEER_ADDR, 1), any)
        .context("could not read the kernel's connections; mount /proc")?;
    Ok(wire)
}

fn play(
    scenario: &Scenario,
    peer: &mut dyn Peer,
    capture: Option<&mut Capture>,
    first_port: u16,
    is_quiet: bool,
) -> Result<Outcome> {
    let peer_name = peer.name();
    let started = WallClock::now();
    let mut world = World::new(peer, capture, first_port)?;
    let result = match (scenario.play)(&mut world) {
        Err(error) if error.downcast_ref::<CaptureFailed>().is_some() => return Err(error),
        result => result,
    };
    let took = started.elapsed();
    let segments = world.trace.steps().count();
    if !is_quiet || result.is_err() {
        let Scenario { name, title, .. } = scenario;
        anstream::println!("\n{HEAD}{name}{HEAD:#}: {title}\n");
        anstream::print!("{}", ladder::draw(&world.trace, peer_name));
        match &result {
            Ok(()) => anstream::println!("  {GOOD}holds{GOOD:#}"),
            Err(error) => anstream::println!("  {BAD}FAILS: {error:#}{BAD:#}"),
        }
    }
    Ok(Outcome { name: scenario.name, title: scenario.title, peer: peer_name, segments, took, result })
}
