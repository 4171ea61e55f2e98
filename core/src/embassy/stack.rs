//! The handle: what asks about all sockets, or ends them all. Each kind of socket adds how it is made.

use core::cell::{RefCell, RefMut};
use core::task::Context;

use super::state::{State, now, wait_until};
use crate::link::Link;

/// The TCP behind a [`super::TcpDriver`]. It is `Copy`: pass it by value.
#[derive(Clone, Copy)]
pub struct TcpStack {
    shared: &'static RefCell<State>,
    pub(super) net: embassy_net::Stack<'static>,
}

impl TcpStack {
    pub(super) fn new(shared: &'static RefCell<State>, net: embassy_net::Stack<'static>) -> TcpStack {
        TcpStack { shared, net }
    }

    pub(super) fn state(&self) -> RefMut<'static, State> {
        self.shared.borrow_mut()
    }

    /// Takes over embassy-net's addresses now; returns whether they have changed. The runner does this after each pass, and
    /// [`TcpStack::connect`] before it begins. Call it after `set_config_v4` or `set_config_v6`, which do not wake the runner: on an idle
    /// network nothing else tells it, and connections on the old address go on until something moves.
    pub fn follow_address(&self) -> bool {
        self.state().follow_address(self.net)
    }

    /// Wakes the runner where the core left its pass to embassy-net and has something to say.
    pub(super) fn take_turn(&self, cx: &Context<'_>) {
        let state = self.state();
        if state.sharing.waits_for_turn() && state.link.has_output() {
            cx.waker().wake_by_ref();
        }
    }

    /// Waits until embassy-net's configuration changes, in either family: an address given, another one, or none any more.
    /// Any number of tasks may wait at once.
    ///
    /// embassy-net's own `wait_config_*` do not tell the families apart, and have one waker for all.
    pub async fn address_changed(&self) {
        let (before, queue) = {
            let state = self.state();
            (state.configurations, state.waiting.configured)
        };
        wait_until(queue, || (self.state().configurations != before).then_some(())).await;
    }

    /// Shows the link and its engine: counters, the last resets, every connection. For a status page.
    ///
    /// # Panics
    /// If `look` itself uses this stack or one of its sockets: it has all it needs in its hand.
    pub fn inspect<R>(&self, look: impl FnOnce(&Link<'static>) -> R) -> R {
        look(&self.shared.borrow().link)
    }

    /// Ends everything before a planned restart, so that no peer is left half-open: see [`crate::Tcp::abort_all`]. Done when the device
    /// has taken every RST; give it a moment to send what it has taken.
    ///
    /// While the device takes nothing (cable out) this waits: bound it by a timeout.
    pub async fn abort_all(&self) {
        {
            let mut state = self.state();
            state.link.tcp().abort_all(now());
            state.wake_acceptors();
        }
        self.drained().await;
    }

    /// Waits until nothing is left to be sent now.
    async fn drained(&self) {
        let queue = self.state().waiting.drained;
        wait_until(queue, || {
            let mut state = self.state();
            let is_drained = !state.link.tcp_ref().has_output();
            if !is_drained {
                state.is_drain_awaited = true;
                state.runner.wake();
            }
            is_drained.then_some(())
        })
        .await;
    }
}
