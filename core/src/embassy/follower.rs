//! Which address is ours: embassy-net's, whenever it changes.

use core::net::{IpAddr, Ipv4Addr};

use crate::link::Interface;

/// An address, its prefix, and the router.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lease {
    addr: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
}

/// Compares embassy-net's configuration with the one the core has. embassy-net keeps one waker for configuration changes, which is the
/// application's: so it is looked at after each pass of the runner, and before each call that needs an address.
pub(super) struct Follower {
    applied: Option<Lease>,
    /// The cable was out, and no address has been given since.
    was_down: bool,
}

impl Follower {
    pub(super) const fn new() -> Follower {
        Follower { applied: None, was_down: true }
    }

    /// The address and router to take over, if they have changed. While the cable is out, and until DHCP has decided after that, the
    /// core keeps its address: a cable pulled for a moment ends no connection, and the same address given again keeps them all. Without
    /// an answer from DHCP that is for good; a project that wants an end to it sets a configuration of its own.
    pub(super) fn look(&mut self, stack: embassy_net::Stack<'_>) -> Option<(Option<Interface>, Option<IpAddr>)> {
        let lease = stack.config_v4().map(|config| Lease {
            addr: config.address.address(),
            prefix: config.address.prefix_len(),
            gateway: config.gateway,
        });
        self.was_down = lease.is_none() && (self.was_down || !stack.is_link_up());
        if lease == self.applied || self.was_down {
            return None;
        }
        self.applied = lease;
        let interface = lease.map(|Lease { addr, prefix, .. }| Interface { addr: addr.into(), prefix });
        Some((interface, lease.and_then(|lease| lease.gateway).map(IpAddr::V4)))
    }
}
