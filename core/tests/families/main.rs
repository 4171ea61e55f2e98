//! Where the families differ, and where they meet: sizes, checksums and headers, zones, addresses of ours and routers, listeners for
//! one family or both, IPv4 addresses in IPv6 guise. What is the same over both is shown by the other programs.
#![cfg(feature = "ipv6")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod disguise;
mod listeners;
mod octets;
mod sizes;
mod zones;

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::link::{Interface, Link as Frames, LinkOutput, Medium};
use tcp_reset_core::{ChecksumBy, Config, Hop, Tcp};

use support::family::Mac;
use support::rig::{self, START, Store};

const MAC: Mac = [2, 0, 0, 0, 0, 1];
/// Everybody else's.
const ITS_MAC: Mac = [2, 0, 0, 0, 0, 9];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An endpoint on port 80.
fn web(text: &str) -> SocketAddr {
    SocketAddr::new(ip(text), 80)
}

/// An address and the length of its network's prefix, as `fd00::1/64`.
fn interface(text: &str) -> Interface {
    let (addr, prefix) = text.split_once('/').unwrap();
    Interface { addr: ip(addr), prefix: prefix.parse().unwrap() }
}

/// A link with these addresses and routers, and nobody who listens.
fn with_link(medium: Medium, config: Config, ours: &[&str], routers: &[&str], test: impl FnOnce(&mut Frames<'_>)) {
    let mut store = Box::new(Store::new());
    let tcp = Tcp::new(&mut *store, config, rig::key(1)).unwrap();
    let mut link = Frames::new(tcp, medium, ChecksumBy::Software);
    let ours: Vec<Interface> = ours.iter().map(|text| interface(text)).collect();
    link.set_addresses(&ours, routers.iter().map(|text| ip(text))).unwrap();
    test(&mut link);
}

fn on_ethernet(ours: &[&str], routers: &[&str], test: impl FnOnce(&mut Frames<'_>)) {
    with_link(Medium::Ethernet(Hop(MAC)), Config::default(), ours, routers, test);
}

/// Everything that wants to go out now, in buffers that were full of `fill`.
fn frames_out(link: &mut Frames<'_>, fill: u8) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for _ in 0..100 {
        match link.poll_output(START) {
            LinkOutput::Transmit(frame) => {
                let mut buffer = vec![fill; frame.len() + 7];
                let len = frame.emit(&mut buffer).unwrap();
                assert!(buffer[len..].iter().all(|&octet| octet == fill), "beyond the frame's end");
                all.push(buffer[..len].to_vec());
            }
            LinkOutput::Event(_) => {}
            LinkOutput::Timeout(_) => return all,
        }
    }
    panic!("output without end");
}
