//! Which addresses are ours: embassy-net's, whenever they change.

use core::net::IpAddr;

use heapless::Vec;

use crate::addr::Addr;
use crate::link::{Interface, Link, MAX_ADDRESSES};

/// An address, its prefix, and the router.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lease {
    addr: IpAddr,
    prefix: u8,
    router: Option<IpAddr>,
}

/// One family's lease.
struct Followed {
    /// As embassy-net has it.
    seen: Option<Lease>,
    /// As the core has it.
    applied: Option<Lease>,
    /// The cable was out, and no address has been given since.
    was_down: bool,
}

impl Followed {
    const NONE: Followed = Followed { seen: None, applied: None, was_down: true };

    /// Says whether embassy-net's has changed, and whether the core's must. While the cable is out, and until DHCP has decided after that,
    /// the core keeps its address: a cable pulled for a moment ends no connection, and the same address given again keeps them all.
    /// Without an answer from DHCP that is for good; a project that wants an end to it sets a configuration of its own.
    fn look(&mut self, lease: Option<Lease>, is_link_up: bool) -> (bool, bool) {
        let is_new = lease != self.seen;
        self.seen = lease;
        self.was_down = lease.is_none() && (self.was_down || !is_link_up);
        let is_other = lease != self.applied && !self.was_down;
        if is_other {
            self.applied = lease;
        }
        (is_new, is_other)
    }
}

/// Compares embassy-net's configuration with the one the core has. embassy-net keeps one waker for configuration changes, which is the
/// application's: so it is looked at after each pass of the runner, and before each call that needs an address.
pub(super) struct Follower {
    /// IPv4 and IPv6.
    families: [Followed; 2],
    /// The device carries what every IPv6 link must (RFC 8200 §5).
    speaks_ipv6: bool,
    /// The link-local address that the core has.
    link_local: Option<IpAddr>,
}

impl Follower {
    pub(super) const fn new(speaks_ipv6: bool) -> Follower {
        Follower { families: [Followed::NONE, Followed::NONE], speaks_ipv6, link_local: None }
    }

    /// Brings the core's addresses and routers to embassy-net's; says whether embassy-net's have changed, and whether the core's have.
    pub(super) fn look(&mut self, stack: embassy_net::Stack<'_>, link: &mut Link<'_>) -> (bool, bool) {
        let is_up = stack.is_link_up();
        let [v4, v6] = &mut self.families;
        let (is_new, mut is_other) = v4.look(lease_v4(stack), is_up);
        let lease = if self.speaks_ipv6 { lease_v6(stack) } else { None };
        let (is_new_v6, is_other_v6) = v6.look(lease, is_up);
        is_other |= is_other_v6;
        let link_local = if self.speaks_ipv6 { link_local(link) } else { None };
        is_other |= link_local != self.link_local;
        self.link_local = link_local;
        if is_other {
            self.apply(link);
        }
        (is_new || is_new_v6, is_other)
    }

    /// embassy-net does not check what it is configured with: an address that is no host's is none, and so is such a router.
    fn apply(&self, link: &mut Link<'_>) {
        let is_one_host = |addr: IpAddr| Addr::of(addr).is_some_and(Addr::is_one_host);
        let leases =
            || self.families.iter().filter_map(|family| family.applied).filter(|lease| is_one_host(lease.addr));
        let given = leases().map(|Lease { addr, prefix, .. }| Interface { addr, prefix });
        let own = self.link_local.map(|addr| Interface { addr, prefix: 64 });
        let interfaces: Vec<Interface, MAX_ADDRESSES> = given.chain(own).take(MAX_ADDRESSES).collect();
        let routers = leases().filter_map(|lease| lease.router).filter(|router| is_one_host(*router));
        // All of them can be set: there are few, and one router of each family.
        let _ = link.set_addresses(&interfaces, routers);
    }
}

fn lease_v4(stack: embassy_net::Stack<'_>) -> Option<Lease> {
    stack.config_v4().map(|config| Lease {
        addr: config.address.address().into(),
        prefix: config.address.prefix_len(),
        router: config.gateway.map(IpAddr::V4),
    })
}

#[cfg(feature = "ipv6")]
fn lease_v6(stack: embassy_net::Stack<'_>) -> Option<Lease> {
    stack.config_v6().map(|config| Lease {
        addr: config.address.address().into(),
        prefix: config.address.prefix_len(),
        router: config.gateway.map(IpAddr::V6),
    })
}

#[cfg(not(feature = "ipv6"))]
fn lease_v6(_stack: embassy_net::Stack<'_>) -> Option<Lease> {
    None
}

/// The address that embassy-net gives itself on the link, from the hardware address (RFC 4291 appendix A); it does so only with its feature
/// `slaac`.
#[cfg(feature = "slaac")]
fn link_local(link: &Link<'_>) -> Option<IpAddr> {
    let [a, b, c, d, e, f] = link.hardware_address()?.0;
    let octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f];
    Some(core::net::Ipv6Addr::from(octets).into())
}

#[cfg(not(feature = "slaac"))]
fn link_local(_link: &Link<'_>) -> Option<IpAddr> {
    None
}
