//! Who is where on the network of a world: hosts, their addresses, and the ports on them.

use std::net::{IpAddr, SocketAddr};

use crate::family::Family;

/// The last byte of the first host's address.
pub(super) const FIRST: u8 = 10;
/// The same of the address a host has while it is without its own.
pub(super) const ELSEWHERE: u8 = 100;
/// Addresses nobody has.
pub(super) const NOBODY: u8 = 200;

/// An endpoint in one number: host, family, port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ep(pub u32);

impl Ep {
    /// Makes one.
    pub(super) fn new(host: usize, family: Family, port: u16) -> Ep {
        Ep((host as u32) << 24 | u32::from(family == Family::Ipv6) << 16 | u32::from(port))
    }

    /// Reads a socket address of this network.
    pub(super) fn of(addr: SocketAddr) -> Ep {
        let last = match addr.ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(ip) => ip.octets()[15],
        };
        let family = if addr.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        Ep::new(usize::from(last.wrapping_sub(FIRST)), family, addr.port())
    }

    /// The host's place among all.
    pub(super) fn host(self) -> usize {
        (self.0 >> 24) as usize
    }

    /// The family.
    pub(super) fn family(self) -> Family {
        if self.0 >> 16 & 1 == 1 { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// The port.
    pub(super) fn port(self) -> u16 {
        self.0 as u16
    }

    /// As the engine has it.
    pub(super) fn addr(self) -> SocketAddr {
        SocketAddr::new(self.family().host(FIRST.wrapping_add(self.host() as u8)), self.port())
    }
}

impl std::fmt::Display for Ep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", name(self.host()), self.port())
    }
}

/// A host's letter.
pub(super) fn name(host: usize) -> char {
    char::from(b'A' + (host as u8).min(25))
}

/// The address of a host.
pub(super) fn address(host: usize, family: Family) -> IpAddr {
    family.host(FIRST + host as u8)
}

/// The Ethernet address of a host.
pub(super) fn mac(host: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, host as u8 + 1]
}
