//! Our addresses and routers: what is ours, what means many hosts, which address of ours speaks to a peer, and through whom.

use core::net::{IpAddr, Ipv4Addr};

#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;

use heapless::Vec;

use crate::config::is_prefix_valid;
#[cfg(feature = "journal")]
use crate::engine::keeping::Standing;
use crate::error::Error;
use crate::wire::addr::Addr;
#[cfg(feature = "journal")]
use crate::wire::addr::Tuple;

/// How many addresses of ours a link can have, of both families together.
pub const MAX_ADDRESSES: usize = if cfg!(feature = "ipv6") { 8 } else { 4 };
/// One router for each family.
const MAX_ROUTERS: usize = if cfg!(feature = "ipv6") { 2 } else { 1 };

/// An address of ours and the length of its network's prefix, in bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Interface {
    /// The address.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub addr: IpAddr,
    /// Bits of the prefix, 0 to 32 (IPv4) or 128 (IPv6); more is refused.
    pub prefix: u8,
}

#[derive(Clone, Copy)]
struct Network {
    addr: Addr,
    prefix: u8,
}

impl Network {
    fn has(&self, addr: Addr) -> bool {
        self.addr.shares_prefix(addr, self.prefix)
    }

    /// RFC 919; networks of two addresses or one have none (RFC 3021), and IPv6 has none at all.
    fn is_broadcast(&self, addr: Addr) -> bool {
        // What is true of few is asked first.
        let is_last = |host: Ipv4Addr| {
            let host_bits = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
            host.to_bits() & host_bits == host_bits
        };
        self.prefix < 31 && addr.as_v4().is_some_and(is_last) && self.has(addr)
    }
}

pub(crate) struct Addresses {
    networks: Vec<Network, MAX_ADDRESSES>,
    routers: Vec<Addr, MAX_ROUTERS>,
}

impl Addresses {
    pub(crate) const fn new() -> Addresses {
        Addresses { networks: Vec::new(), routers: Vec::new() }
    }

    /// Adds an address of ours; an error where it cannot be a host's, is shorter than its prefix, or has no place.
    pub(crate) fn add(&mut self, addr: Addr, prefix: u8) -> Result<(), Error> {
        // RFC 1122 §3.2.1.3 (g), RFC 4291 §2.5.3: loopback is on no link.
        if !addr.is_one_host() || addr.is_loopback() || !is_prefix_valid(addr.ip(), prefix) {
            return Err(Error::InvalidAddress);
        }
        self.networks.push(Network { addr, prefix }).map_err(|_| Error::InvalidAddress)
    }

    /// The router of its family; an error where it cannot be a host's, or there is one.
    pub(crate) fn add_router(&mut self, addr: Addr) -> Result<(), Error> {
        if !addr.is_one_host() || self.router(addr).is_some() {
            return Err(Error::InvalidAddress);
        }
        self.routers.push(addr).map_err(|_| Error::InvalidAddress)
    }

    pub(super) fn is_ours(&self, addr: Addr) -> bool {
        self.networks.iter().any(|network| network.addr == addr)
    }

    /// Returns whether an address means many hosts.
    pub(super) fn is_broadcast_or_multicast(&self, addr: Addr) -> bool {
        let is_broadcast = addr.as_v4().is_some_and(|addr| addr.is_broadcast());
        is_broadcast || addr.is_multicast() || self.networks.iter().any(|network| network.is_broadcast(addr))
    }

    /// Returns whether we have an address of this one's family.
    pub(super) fn speaks_family_of(&self, addr: Addr) -> bool {
        self.of_family(addr).next().is_some()
    }

    /// The neighbor that leads to `addr`. Without an address of ours of that family there is nobody to ask for; what no prefix of ours
    /// covers goes to the router (RFC 4861 §5.2: without one it is not taken to be on the link).
    #[cfg(feature = "ethernet")]
    pub(super) fn next_hop(&self, addr: Addr) -> Option<Addr> {
        let is_on_link = |network: &Network| network.has(addr) || addr.is_link_local();
        if self.of_family(addr).any(is_on_link) {
            return Some(addr);
        }
        self.router(addr).filter(|_| self.speaks_family_of(addr))
    }

    /// The address of ours that speaks to `peer`, whom `next` leads to. IPv4: the first on the next hop's network, or else the first.
    /// IPv6: by RFC 6724 §5, as far as its rules tell addresses on one link apart.
    pub(super) fn source_for(&self, peer: Addr, next: Addr) -> Option<Addr> {
        #[cfg(feature = "ipv6")]
        if let Some(peer_v6) = peer.as_v6() {
            // The first of equals: the last is what `max_by_key` gives.
            let best = self.of_family(peer).rev().max_by_key(|network| preference(network, peer, peer_v6));
            return best.map(|network| network.addr);
        }
        let on_link = self.of_family(peer).find(|network| network.has(next));
        on_link.or(self.of_family(peer).next()).map(|network| network.addr)
    }

    /// Whose our address of a pair is that a restart has lost.
    #[cfg(feature = "journal")]
    pub(super) fn standing_of(&self, Tuple { local_addr, remote_addr, .. }: &Tuple) -> Standing {
        if self.is_ours(*remote_addr) || self.is_broadcast_or_multicast(*remote_addr) {
            return Standing::Impossible;
        }
        if self.is_ours(*local_addr) {
            return Standing::Ours;
        }
        let is_of_scope = |network: &Network| network.addr.is_link_local() == local_addr.is_link_local();
        if self.of_family(*local_addr).any(is_of_scope) {
            Standing::Other
        } else if self.networks.is_empty() {
            Standing::NoAddress
        } else {
            Standing::NoneAlike
        }
    }

    fn of_family(&self, addr: Addr) -> impl DoubleEndedIterator<Item = &Network> {
        self.networks.iter().filter(move |network| network.addr.is_v4() == addr.is_v4())
    }

    fn router(&self, addr: Addr) -> Option<Addr> {
        self.routers.iter().copied().find(|router| router.is_v4() == addr.is_v4())
    }
}

/// RFC 6724 §5: rule 2 (the peer's scope), rule 6 (its label), rule 8 (the longest common prefix, no longer than ours is). The others
/// compare what is the same here for all: interfaces, homes, lifetimes.
#[cfg(feature = "ipv6")]
fn preference(network: &Network, peer: Addr, peer_v6: Ipv6Addr) -> (bool, bool, u8) {
    let is_in_scope = network.addr.is_link_local() == peer.is_link_local();
    let has_label = network.addr.as_v6().is_some_and(|addr| label(addr) == label(peer_v6));
    let common = network.addr.common_bits(peer).unwrap_or(0).min(network.prefix);
    (is_in_scope, has_label, common)
}

/// The policy table of RFC 6724 §2.1, without what is no longer assigned.
#[cfg(feature = "ipv6")]
fn label(addr: Ipv6Addr) -> u8 {
    match addr.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [first, ..] if first & 0xfe00 == 0xfc00 => 13,
        _ => 1,
    }
}
