//! The TCPs that are probed.

use std::fs;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::family::Family;
use crate::kernel::{self, Wire};
use crate::kernel_peer::KernelPeer;
use crate::lock;
use crate::lwip_peer::{LwipPeer, LwipProgram};
use crate::memory_peer::MemoryPeer;
use crate::peer::Peer;
use crate::smoltcp_peer::SmoltcpPeer;
use crate::world::{OUR_MAC, PEER_MAC};

/// Version prefix of the smoltcp that is probed; the core depends on another.
const SMOLTCP: &str = "0.14.";
/// Where the kernel tells its version.
const KERNEL_VERSION: &str = "/proc/sys/kernel/osrelease";

/// A TCP, as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Name {
    /// This one.
    Core,
    /// smoltcp, in memory.
    Smoltcp,
    /// lwIP, in memory.
    Lwip,
    /// This machine's kernel.
    Kernel,
}

impl Name {
    const ALL: [Name; 4] = [Name::Core, Name::Smoltcp, Name::Lwip, Name::Kernel];

    /// Returns the name in the tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Name::Core => "tcp-reset-core",
            Name::Smoltcp => "smoltcp",
            Name::Lwip => "lwIP",
            Name::Kernel => "Linux",
        }
    }
}

/// What is needed to start them.
pub(super) struct Targets {
    names: Vec<Name>,
    lwip: Option<LwipProgram>,
    kernel: Option<KernelPeer>,
}

impl Targets {
    /// Prepares those that are asked for; all that can be had where none is. Must come before any thread is started.
    ///
    /// # Errors
    /// If lwIP's program cannot be built, or the kernel is asked for and cannot be the peer.
    pub(super) fn set_up(asked: &[Name], families: &[Family]) -> Result<Targets> {
        let mut names = if asked.is_empty() { Name::ALL.to_vec() } else { asked.to_vec() };
        let mut kernel = None;
        if names.contains(&Name::Kernel) {
            match lay_wire(families) {
                Ok(peer) => kernel = Some(peer),
                Err(error) if asked.is_empty() => {
                    anstream::eprintln!("The kernel cannot be probed here: {error:#}.");
                    names.retain(|name| *name != Name::Kernel);
                }
                Err(error) => return Err(error.context("the kernel cannot be probed here")),
            }
        }
        let lwip = names.contains(&Name::Lwip).then(LwipProgram::build).transpose()?;
        Ok(Targets { names, lwip, kernel })
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.names.clone()
    }

    /// Hands out a fresh peer, the kernel aside, and returns its version with what was done to it.
    pub(super) fn with<T>(
        &mut self,
        name: Name,
        family: Family,
        with: &mut dyn FnMut(&mut dyn Peer) -> Result<T>,
    ) -> Result<(String, T)> {
        match name {
            Name::Core => {
                let done = with(&mut MemoryPeer::new(family, PEER_MAC)?)?;
                Ok((env!("CARGO_PKG_VERSION").to_owned(), done))
            }
            Name::Smoltcp => {
                let done = with(&mut SmoltcpPeer::new(family, PEER_MAC)?)?;
                Ok((lock::smoltcp_version(SMOLTCP)?, done))
            }
            Name::Lwip => {
                let program = self.lwip.as_ref().context("lwIP's program was not built")?;
                let mut peer = LwipPeer::start(program, family, PEER_MAC)?;
                let done = with(&mut peer)?;
                Ok((peer.version().to_owned(), done))
            }
            Name::Kernel => {
                let peer = self.kernel.as_mut().context("the wire to the kernel was not laid")?;
                peer.speak(family);
                let version = fs::read_to_string(KERNEL_VERSION).context("cannot read the kernel's version")?;
                // What follows the number names the build.
                let number = version.split('-').next().unwrap_or_default().trim().to_owned();
                Ok((number, with(peer)?))
            }
        }
    }
}

fn lay_wire(families: &[Family]) -> Result<KernelPeer> {
    kernel::enter()?;
    let (first, others) = families.split_first().context("no family is asked for")?;
    let mut wire = Wire::open(&first.network(), OUR_MAC, None)?;
    for family in others {
        wire.add_network(&family.network())?;
    }
    Ok(KernelPeer::new(wire, *first))
}
