//! `host-sim probes`: which TCP learns by which probe that its peer has lost a connection.
//!
//! A host that lost power knows no number of its connections. Whatever it sends to a peer that still has one carries foreign numbers; if the
//! peer answers with its own, the answer draws RST at SEQ=SEG.ACK (RFC 9293, 3.10.7.1), which is exactly the peer's RCV.NXT and ends the
//! connection. The probes are crafted segments of a host without TCP.

mod bare_host;
mod probe;
mod report;
mod stage;
mod target;
mod trial;

use anyhow::Result;

use self::bare_host::BareHost;
use self::probe::PROBES;
use self::report::{Block, Row};
use self::stage::Stage;
use self::target::{Name, Targets};
use crate::family::Family;
use crate::peer::Peer;

/// Probe other TCPs as a host that lost power would: which of them learn of it by which probe
///
/// The TCPs are this one, smoltcp and lwIP in memory, and the kernel in a network namespace. Each is brought into every state in which it may
/// outlive its peer, and probed once with every choice of foreign numbers. lwIP is the system's library: apt-get install gcc libc6-dev
/// liblwip-dev.
///
/// The exit code is 0, or 2 if something could not be probed.
#[derive(clap::Args)]
pub struct Options {
    /// Probe only this TCP; may be given more than once. Without it all, but the kernel only where the system allows namespaces
    #[arg(long, value_enum, value_name = "NAME")]
    stack: Vec<Name>,
    /// Probe only over this family of addresses; without it over both
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Print the tables as Markdown
    #[arg(long)]
    markdown: bool,
    /// Print each probe with what it found as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
}

/// Probes and prints.
///
/// # Errors
/// If a TCP that is asked for cannot be had, or does not come into a state.
pub fn run(options: &Options) -> Result<()> {
    let families = options.family.as_ref().map_or(&Family::ALL[..], std::slice::from_ref);
    let mut targets = Targets::set_up(&options.stack, families)?;
    let mut blocks = Vec::new();
    for name in targets.names() {
        for family in families {
            let (version, rows) = targets.with(name, *family, &mut |peer| probe_all(*family, peer))?;
            blocks.push(Block { stack: name.title(), version, families: vec![*family], rows });
        }
    }
    match options.json {
        true => anstream::println!("{}", report::json(&blocks)?),
        false => anstream::print!("{}", report::tables(&blocks, options.markdown)),
    }
    Ok(())
}

/// Tries every probe in every state.
fn probe_all(family: Family, peer: &mut dyn Peer) -> Result<Vec<Row>> {
    let mut host = BareHost::new(family, peer)?;
    let mut rows = Vec::new();
    for probe in &PROBES {
        for stage in Stage::ALL {
            let trials = probe.choices().into_iter().map(|choice| trial::run(&mut host, stage, probe, choice));
            rows.push(Row { probe, stage, trials: trials.collect::<Result<_>>()? });
        }
    }
    Ok(rows)
}
