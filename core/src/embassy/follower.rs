//! Which addresses are ours: embassy-net's, whenever they change.

use crate::link::Link;
use crate::link::addresses::Addresses;
use crate::wire::addr::Addr;

/// An address, its prefix, and the router.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lease {
    addr: Addr,
    prefix: u8,
    router: Option<Addr>,
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

    /// Returns whether embassy-net's has changed, and whether the core's must. Where an address that is gone may come back, because DHCP gives
    /// it up while the cable is out, the core keeps it until DHCP has decided after that: a cable pulled for a moment ends no connection,
    /// and the same address given again keeps them all. Without an answer from DHCP that is for good; a project that wants an end to it
    /// sets a configuration of its own.
    fn look(&mut self, lease: Option<Lease>, may_come_back: bool) -> Change {
        let is_new = lease != self.seen;
        self.seen = lease;
        self.was_down = lease.is_none() && (self.was_down || may_come_back);
        let is_other = lease != self.applied && !self.was_down;
        if is_other {
            self.applied = lease;
        }
        Change { is_new, is_other }
    }
}

/// What a look has found.
pub(super) struct Change {
    /// embassy-net's configuration is another than at the last look.
    pub(super) is_new: bool,
    /// The core's addresses are others now.
    pub(super) is_other: bool,
}

/// Compares embassy-net's configuration with the one the core has. embassy-net keeps one waker for configuration changes, which is the
/// application's: so it is looked at after each pass of the runner, and before each call that needs an address.
pub(super) struct Follower {
    v4: Followed,
    #[cfg(feature = "ipv6")]
    v6: FollowedV6,
}

impl Follower {
    /// `ip_mtu` is what the device carries, in bytes.
    #[cfg_attr(not(feature = "ipv6"), expect(unused_variables, reason = "IPv4 is content with little"))]
    pub(super) const fn new(ip_mtu: usize) -> Follower {
        Follower {
            v4: Followed::NONE,
            #[cfg(feature = "ipv6")]
            v6: FollowedV6 {
                lease: Followed::NONE,
                link_local: None,
                is_spoken: ip_mtu >= crate::config::MIN_MTU_IPV6 as usize,
            },
        }
    }

    /// Brings the core's addresses and routers to embassy-net's.
    pub(super) fn look(&mut self, stack: embassy_net::Stack<'_>, link: &mut Link<'_>) -> Change {
        let change = self.v4.look(lease_v4(stack), !stack.is_link_up());
        #[cfg(feature = "ipv6")]
        let change = {
            let v6 = self.v6.look(stack, link);
            Change { is_new: change.is_new || v6.is_new, is_other: change.is_other || v6.is_other }
        };
        if change.is_other {
            self.apply(link);
        }
        change
    }

    /// embassy-net does not check what it is configured with: an address that is no host's is none, and so is such a router. All others
    /// have a place.
    fn apply(&self, link: &mut Link<'_>) {
        let mut addresses = Addresses::new();
        for Lease { addr, prefix, router } in self.leases() {
            if addresses.add(addr, prefix).is_ok() {
                let _ = router.map(|router| addresses.add_router(router));
            }
        }
        link.use_addresses(addresses);
    }

    #[cfg(feature = "ipv6")]
    fn leases(&self) -> impl Iterator<Item = Lease> {
        let link_local = self.v6.link_local.map(|addr| Lease { addr, prefix: 64, router: None });
        let lease = self.v6.lease.applied.filter(|_| self.v6.is_spoken);
        [self.v4.applied, lease, link_local].into_iter().flatten()
    }

    #[cfg(not(feature = "ipv6"))]
    fn leases(&self) -> impl Iterator<Item = Lease> {
        self.v4.applied.into_iter()
    }
}

fn lease_v4(stack: embassy_net::Stack<'_>) -> Option<Lease> {
    stack.config_v4().map(|config| Lease {
        addr: Addr::v4(config.address.address()),
        prefix: config.address.prefix_len(),
        router: config.gateway.map(Addr::v4),
    })
}

/// IPv6's lease, and the address that needs none.
#[cfg(feature = "ipv6")]
struct FollowedV6 {
    lease: Followed,
    /// The link-local address that the core has.
    link_local: Option<Addr>,
    /// The device carries what every link must that IPv6 is spoken on (RFC 8200 §5).
    is_spoken: bool,
}

#[cfg(feature = "ipv6")]
impl FollowedV6 {
    fn look(&mut self, stack: embassy_net::Stack<'_>, link: &Link<'_>) -> Change {
        // It does not come and go with the cable, as DHCP's does: what is gone was taken away, or its prefix was.
        let Change { is_new, is_other } = self.lease.look(lease_v6(stack), false);
        if !self.is_spoken {
            return Change { is_new, is_other: false };
        }
        let link_local = link_local(link);
        let has_moved = link_local != self.link_local;
        self.link_local = link_local;
        Change { is_new, is_other: is_other || has_moved }
    }
}

#[cfg(feature = "ipv6")]
fn lease_v6(stack: embassy_net::Stack<'_>) -> Option<Lease> {
    let config = stack.config_v6()?;
    let addr = Addr::v6(config.address.address())?;
    Some(Lease { addr, prefix: config.address.prefix_len(), router: config.gateway.and_then(Addr::v6) })
}

/// The address that embassy-net gives itself on the link, from the hardware address (RFC 4291 appendix A); it does so only with its feature
/// `slaac`.
#[cfg(feature = "slaac")]
fn link_local(link: &Link<'_>) -> Option<Addr> {
    let [a, b, c, d, e, f] = link.hardware_address()?.0;
    Addr::v6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f].into())
}

#[cfg(all(feature = "ipv6", not(feature = "slaac")))]
fn link_local(_link: &Link<'_>) -> Option<Addr> {
    None
}
