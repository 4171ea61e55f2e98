//! The two families of addresses, and what both ends are called in each.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;

use crate::kernel::Network;

/// What a scenario's packets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Family {
    /// IPv4, with ARP.
    Ipv4,
    /// IPv6, with neighbor discovery.
    Ipv6,
}

impl Family {
    /// Both, in the order they are played.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// Returns our address.
    pub fn our_addr(self) -> IpAddr {
        self.host(2)
    }

    /// Returns the peer's address.
    pub fn peer_addr(self) -> IpAddr {
        self.host(1)
    }

    /// Returns the `n`th host's address: a private one, on the network both ends are on.
    pub fn host(self, n: u8) -> IpAddr {
        match self {
            Family::Ipv4 => Ipv4Addr::new(10, 69, 0, n).into(),
            Family::Ipv6 => Ipv6Addr::new(0xfd10, 0x69, 0, 0, 0, 0, 0, n.into()).into(),
        }
    }

    /// Returns the bits of that network's prefix.
    pub fn prefix(self) -> u8 {
        match self {
            Family::Ipv4 => 24,
            Family::Ipv6 => 64,
        }
    }

    /// Returns that network as a wire has it.
    pub fn network(self) -> Network {
        Network { kernel: self.peer_addr(), ours: self.our_addr(), prefix: self.prefix() }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        })
    }
}
