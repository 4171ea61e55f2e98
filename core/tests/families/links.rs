//! Links with addresses as they are written, and what comes out of them.

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, Medium};
use tcp_reset_core::{Config, LinkAddr};

use crate::support::packet::Mac;
use crate::support::rig::{START, Store, frames};

pub(crate) const MAC: Mac = [2, 0, 0, 0, 0, 1];
/// Everybody else's.
pub(crate) const ITS_MAC: Mac = [2, 0, 0, 0, 0, 9];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An endpoint on port 80.
pub(crate) fn web(text: &str) -> SocketAddr {
    SocketAddr::new(ip(text), 80)
}

/// An address and the length of its network's prefix, as `fd00::1/64`.
pub(crate) fn interface(text: &str) -> Interface {
    let (addr, prefix) = text.split_once('/').unwrap();
    Interface { addr: ip(addr), prefix: prefix.parse().unwrap() }
}

/// A link with these addresses and routers, and nobody who listens.
pub(crate) fn with_link(
    medium: Medium,
    config: Config,
    ours: &[&str],
    routers: &[&str],
    test: impl FnOnce(&mut Link<'_>),
) {
    let mut store = Box::new(Store::new());
    let ours: Vec<Interface> = ours.iter().map(|text| interface(text)).collect();
    test(&mut frames::link(&mut *store, config, medium, &ours, routers.iter().map(|text| ip(text))));
}

pub(crate) fn on_ethernet(ours: &[&str], routers: &[&str], test: impl FnOnce(&mut Link<'_>)) {
    with_link(Medium::Ethernet(LinkAddr(MAC)), Config::default(), ours, routers, test);
}

/// Everything that wants to go out now, in buffers that were full of `fill`.
pub(crate) fn frames_out(link: &mut Link<'_>, fill: u8) -> Vec<Vec<u8>> {
    frames::drain_over(link, START, fill).frames
}
