//! One task drives both stacks, and sees to it that the core has the address embassy-net has.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embassy_net_driver::Driver;

use super::driver::{TcpDriver, TcpShared};
use super::stack::TcpStack;

/// Drives embassy-net and the core. Takes the place of embassy-net's own runner.
pub struct TcpRunner<D: Driver> {
    net: embassy_net::Runner<'static, TcpDriver<D>>,
    tcp: TcpStack,
}

impl<D: Driver> TcpRunner<D> {
    /// Joins the core with embassy-net's stack and runner over the same driver, and takes over an address that is set already. Returns the
    /// handle for sockets, and the runner that drives both stacks.
    pub fn new(
        shared: TcpShared,
        stack: embassy_net::Stack<'static>,
        net: embassy_net::Runner<'static, TcpDriver<D>>,
    ) -> (TcpStack, TcpRunner<D>) {
        let tcp = TcpStack::new(shared.0, stack);
        tcp.follow_address();
        (tcp, TcpRunner { net, tcp })
    }

    /// Runs both stacks. A task of its own must call this; dropping the future stops them where they are.
    pub async fn run(&mut self) -> ! {
        let TcpRunner { net, tcp } = self;
        let mut net = pin!(net.run());
        poll_fn(|cx| {
            // It never ends, and holds its stack only while it is polled.
            let _ = net.as_mut().poll(cx);
            tcp.follow_address();
            tcp.take_turn(cx);
            Poll::Pending
        })
        .await
    }
}
