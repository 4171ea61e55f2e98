//! The firmware in QEMU, on a wire to this machine's kernel: to be looked at, to be attacked, and judged by scenarios.
//!
//! | room | holds |
//! |---|---|
//! | `machine` | a QEMU process, from power-on to power-off |
//! | `cable` | the wire between the kernel and QEMU's Ethernet: what passes is seen, DHCP and SLAAC are served, frames can be forged |
//! | `log` | the firmware's log, decoded |
//! | `lab` | all of these together |
//! | `command` | `host-sim qemu` |
//! | `bench` | `host-sim bench`: what a segment costs on the board |
//! | `scenarios` | what must hold of the firmware |

pub mod bench;
mod cable;
pub mod command;
mod dhcp;
mod lab;
mod log;
mod machine;
mod ping;
mod scenarios;
mod slaac;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;

use crate::family::Family;
use crate::kernel::Network;

/// Our kernel's IPv4 address on the wire; it is the router too.
const KERNEL_ADDR: Ipv4Addr = Ipv4Addr::new(10, 69, 0, 1);
/// The IPv4 address that DHCP gives the board.
const BOARD_ADDR: Ipv4Addr = Ipv4Addr::new(10, 69, 0, 2);
/// The /64 prefix that the router advertises, which both ends make their IPv6 addresses of.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd10, 0x69, 0, 0, 0, 0, 0, 0);
/// The board's Ethernet address, locally administered.
const BOARD_MAC: [u8; 6] = [0x02, 0x54, 0x43, 0x50, 0, 3];

/// The board's address as it comes up.
fn board_addr(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => BOARD_ADDR.into(),
        Family::Ipv6 => slaac::address_of(PREFIX, BOARD_MAC).into(),
    }
}

/// The network that board and kernel are on.
fn network(family: Family) -> Network {
    Network { kernel: family.peer_addr(), ours: board_addr(family), prefix: family.prefix() }
}

/// The boards that QEMU has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Board {
    /// Cortex-M3
    #[default]
    An385,
    /// Cortex-M7
    An500,
}

impl Board {
    /// The firmware's binary and feature.
    fn binary(self) -> &'static str {
        match self {
            Board::An385 => "qemu-mps2-an385",
            Board::An500 => "qemu-mps2-an500",
        }
    }

    fn machine(self) -> &'static str {
        match self {
            Board::An385 => "mps2-an385",
            Board::An500 => "mps2-an500",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Board::An385 => "thumbv7m-none-eabi",
            Board::An500 => "thumbv7em-none-eabihf",
        }
    }
}
