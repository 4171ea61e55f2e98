//! One task drives both stacks, and sees to it that the core has the address embassy-net has.

use core::future::{Future, poll_fn};
use core::net::{IpAddr, Ipv4Addr};
use core::pin::pin;
use core::task::Poll;

use embassy_net_driver::Driver;

use super::driver::TcpDriver;
use super::stack::TcpStack;
use crate::link::Interface;

/// Drives embassy-net and the core. Takes the place of embassy-net's own runner.
pub struct TcpRunner<'d, D: Driver> {
    net: embassy_net::Runner<'d, TcpDriver<D>>,
    follower: Follower<'d>,
}

impl<'d, D: Driver> TcpRunner<'d, D> {
    /// Joins embassy-net's runner and stack with the core behind the same driver.
    pub fn new(
        net: embassy_net::Runner<'d, TcpDriver<D>>,
        stack: embassy_net::Stack<'d>,
        tcp: TcpStack,
    ) -> TcpRunner<'d, D> {
        TcpRunner { net, follower: Follower { stack, tcp, applied: None, was_down: true } }
    }

    /// Runs both stacks. A task of its own must call this; dropping the future stops them where they are.
    pub async fn run(&mut self) -> ! {
        let TcpRunner { net, follower } = self;
        let mut net = pin!(net.run());
        poll_fn(|cx| {
            // It never ends, and holds its stack only while it is polled.
            let _ = net.as_mut().poll(cx);
            if follower.follow() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

/// An address, its prefix, and the router.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lease {
    addr: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
}

/// Compares embassy-net's configuration with the one the core has, after each pass. embassy-net keeps one waker for configuration
/// changes, which is the application's.
struct Follower<'d> {
    stack: embassy_net::Stack<'d>,
    tcp: TcpStack,
    applied: Option<Lease>,
    /// The cable was out, and no address has been given since.
    was_down: bool,
}

impl Follower<'_> {
    /// Says whether something has changed. While the cable is out, and until DHCP has decided after that, the core keeps its address:
    /// a cable pulled for a moment ends no connection, and the same address given again keeps them all.
    fn follow(&mut self) -> bool {
        if !self.stack.is_link_up() {
            self.was_down = true;
            return false;
        }
        let lease = self.stack.config_v4().map(|config| Lease {
            addr: config.address.address(),
            prefix: config.address.prefix_len(),
            gateway: config.gateway,
        });
        if lease == self.applied || (lease.is_none() && self.was_down) {
            return false;
        }
        self.was_down = false;
        self.applied = lease;
        let interface = lease.map(|Lease { addr, prefix, .. }| Interface { addr: addr.into(), prefix });
        let gateway = lease.and_then(|lease| lease.gateway).map(IpAddr::V4);
        self.tcp.set_addresses(interface.as_slice(), gateway);
        true
    }
}
