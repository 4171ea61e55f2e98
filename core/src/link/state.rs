//! The engine behind frames: its addresses, its neighbors, its counters.

use core::net::{IpAddr, SocketAddr};

use super::addresses::{Addresses, Interface};
use super::medium::Medium;
use super::neighbors::Neighbors;
#[cfg(feature = "journal")]
use crate::config::InvalidSetting;
use crate::config::StreamOptions;
use crate::engine::event::ConnectionHandle;
use crate::engine::tcp::Tcp;
use crate::error::Error;
#[cfg(feature = "journal")]
use crate::tables::journal::Journal;
use crate::time::Instant;
use crate::wire::addr::{Addr, LinkAddr};
use crate::wire::checksum::ChecksumBy;

/// Counters of what never became a segment. They wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkCounters {
    /// Frames taken in.
    pub frames_in: u32,
    /// Frames written out.
    pub frames_out: u32,
    /// Fragments of TCP for us, dropped: a TCP segment is never fragmented on its way here unless somebody wants to hide it.
    pub fragments: u32,
    /// IPv4 addresses asked for on the link; none on plain IP.
    pub arp_requests: u32,
    /// IPv6 addresses asked for on the link; none on plain IP.
    pub neighbor_solicitations: u32,
    /// ICMP errors about a segment that a connection of ours has in flight. None ends it; "fragmentation needed" and "packet too big" make
    /// its segments smaller.
    pub icmp_errors: u32,
    /// ICMP errors about anything else, forged ones perhaps: they change nothing (RFC 5927 §4.1).
    pub icmp_errors_ignored: u32,
}

/// The engine behind frames. The contract is [`Tcp`]'s, with frames for segments.
pub struct Link<'s> {
    pub(super) tcp: Tcp<'s>,
    pub(super) medium: Medium,
    pub(super) checksum: ChecksumBy,
    pub(super) addresses: Addresses,
    pub(super) neighbors: Neighbors,
    pub(super) counters: LinkCounters,
}

impl<'s> Link<'s> {
    /// Wraps an engine. `checksum` says who checks and fills in the IPv4 header's; TCP's is a setting of the engine.
    pub fn new(tcp: Tcp<'s>, medium: Medium, checksum: ChecksumBy) -> Link<'s> {
        Link {
            tcp,
            medium,
            checksum,
            addresses: Addresses::new(),
            neighbors: Neighbors::new(),
            counters: LinkCounters::default(),
        }
    }

    /// The link is down: see [`Tcp::link_lost`].
    pub fn lost(&mut self) {
        self.tcp.link_lost();
    }

    /// The link was down and is up again: what was learned about neighbors is forgotten, because the cable may lead elsewhere now, and what was lost goes
    /// out again at once ([`crate::Tcp::link_restored`]).
    pub fn restored(&mut self, now: Instant) {
        #[cfg(feature = "ethernet")]
        self.forget_neighbors();
        self.tcp.link_restored(now);
    }

    /// Sets our addresses, of either family, and the routers for everything beyond their networks, at most one for each family.
    ///
    /// Connections are opened from the first IPv4 address on the next hop's network (on plain IP the peer's), or else the first; from the
    /// IPv6 address that RFC 6724 prefers. Connections on an address that is no longer ours end with
    /// [`crate::CloseReason::AddressLost`]; nothing can be sent from it, so their peers learn it when they speak to the address's next
    /// owner, or by their own timers. Listeners stay.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] if there are more than [`super::MAX_ADDRESSES`], or two routers of one family, or one cannot be a host's on
    /// a link, is shorter than its prefix or is of a family this build does not speak; the former ones stay then.
    #[inline(never)]
    pub fn set_addresses(
        &mut self,
        interfaces: &[Interface],
        routers: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), Error> {
        let mut addresses = Addresses::new();
        for Interface { addr, prefix } in interfaces {
            addresses.add(Addr::of(*addr).ok_or(Error::InvalidAddress)?, *prefix)?;
        }
        for router in routers {
            addresses.add_router(Addr::of(router).ok_or(Error::InvalidAddress)?)?;
        }
        self.use_addresses(addresses);
        Ok(())
    }

    pub(crate) fn use_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
        let addresses = &self.addresses;
        self.tcp.keep_addresses(|addr| addresses.is_ours(addr));
        #[cfg(feature = "journal")]
        self.tcp.place_lost_peers(false, |tuple| addresses.standing_of(tuple));
        #[cfg(feature = "ethernet")]
        self.forget_neighbors();
    }

    /// Keeps a journal from now on, and takes up what the last start has left in it: see [`Tcp::keep_journal`]. The peers of a pair are asked once its address is
    /// ours, the first time by way of the link address that the record has.
    ///
    /// # Errors
    /// Those of [`Tcp::keep_journal`].
    #[cfg(feature = "journal")]
    pub fn keep_journal<const N: usize>(
        &mut self,
        now: Instant,
        journal: &'s Journal<N>,
    ) -> Result<(), InvalidSetting> {
        self.tcp.keep_journal(now, journal)?;
        let addresses = &self.addresses;
        self.tcp.place_lost_peers(true, |tuple| addresses.standing_of(tuple));
        Ok(())
    }

    /// Returns the engine, for calls.
    pub fn tcp(&mut self) -> &mut Tcp<'s> {
        &mut self.tcp
    }

    /// Returns the engine, for questions.
    pub fn tcp_ref(&self) -> &Tcp<'s> {
        &self.tcp
    }

    /// Checks what must always hold: see [`Tcp::audit`]. Whatever waits for a neighbor is asked for, or its question has a timer; only
    /// what waits for a route waits for a call.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.tcp.audit()?;
        let has_route = |peer| self.next_hop(peer).is_some();
        if !self.neighbors.is_asking() && self.tcp.unresolved_peers().any(has_route) {
            return Err("a slot waits for a neighbor that nobody asks for");
        }
        Ok(())
    }

    /// Returns the counters.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Opens a connection from the address of ours that suits the peer: see [`Link::set_addresses`] and [`Tcp::connect`].
    ///
    /// # Errors
    /// [`Error::NoRoute`], [`Error::InvalidAddress`] also for our own addresses, loopback, a network's broadcast address and another
    /// zone's link-local ones, and those of [`Tcp::connect`].
    pub fn connect(
        &mut self,
        now: Instant,
        local_port: u16,
        remote: SocketAddr,
        options: StreamOptions,
    ) -> Result<ConnectionHandle, Error> {
        let addr = self.tcp.addr_of(remote)?;
        if !addr.is_one_host()
            || addr.is_loopback()
            || self.addresses.is_ours(addr)
            || self.addresses.is_broadcast_or_multicast(addr)
        {
            return Err(Error::InvalidAddress);
        }
        let next = self.next_hop(addr).ok_or(Error::NoRoute)?;
        let source = self.addresses.source_for(addr, next).ok_or(Error::NoRoute)?;
        let local = SocketAddr::new(source.ip(), local_port);
        let link_addr = match self.medium {
            #[cfg(feature = "ethernet")]
            Medium::Ethernet(_) => None,
            Medium::Ip => Some(LinkAddr::default()),
        };
        self.tcp.connect(now, local, remote, link_addr, options)
    }

    /// The neighbor that leads to `addr`.
    pub(super) fn next_hop(&self, addr: Addr) -> Option<Addr> {
        match self.medium {
            Medium::Ip => self.addresses.speaks_family_of(addr).then_some(addr),
            #[cfg(feature = "ethernet")]
            Medium::Ethernet(_) => self.addresses.next_hop(addr),
        }
    }
}
