//! The handle: everything that makes sockets or asks about them all.

use core::cell::{RefCell, RefMut};
use core::net::SocketAddr;
use core::task::Context;

use super::listener::TcpListener;
use super::state::{State, now, wait_until};
use super::stream::TcpStream;
use crate::config::{ListenOptions, StreamOptions};
use crate::error::Error;
use crate::link::Link;

/// The TCP behind a [`super::TcpDriver`]. It is `Copy`: pass it by value.
#[derive(Clone, Copy)]
pub struct TcpStack {
    shared: &'static RefCell<State>,
    net: embassy_net::Stack<'static>,
}

impl TcpStack {
    pub(super) fn new(shared: &'static RefCell<State>, net: embassy_net::Stack<'static>) -> TcpStack {
        TcpStack { shared, net }
    }

    pub(super) fn state(&self) -> RefMut<'static, State> {
        self.shared.borrow_mut()
    }

    /// Listens on an address and port; the address may be unspecified, for whatever ours are or become: `0.0.0.0` over IPv4, `::` over
    /// every family spoken. See [`crate::Tcp::listen`].
    ///
    /// # Errors
    /// Those of [`crate::Tcp::listen`].
    pub fn listen(&self, local: impl Into<SocketAddr>, options: ListenOptions) -> Result<TcpListener, Error> {
        let handle = self.state().link.tcp().listen(local.into(), options)?;
        Ok(TcpListener::new(*self, handle))
    }

    /// Opens a connection from an ephemeral port, and waits until it is there.
    ///
    /// Dropping the future gives the attempt up; a peer that answers later is reset.
    ///
    /// # Errors
    /// [`Error::Closed`] says how the attempt ended: [`crate::CloseReason::Refused`], [`crate::CloseReason::TimedOut`], ...; before it
    /// begins [`Error::NoRoute`] (also while there is no address yet), [`Error::NoSlot`], [`Error::NoBuffer`], [`Error::NoPort`],
    /// [`Error::InvalidAddress`], [`Error::InvalidBufferSize`], [`Error::InvalidSetting`].
    pub async fn connect(&self, remote: impl Into<SocketAddr>, options: StreamOptions) -> Result<TcpStream, Error> {
        self.connect_from(0, remote, options).await
    }

    /// The same from a port of the caller's choice; 0 is any.
    ///
    /// # Errors
    /// Those of [`TcpStack::connect`], and [`Error::AddressInUse`].
    pub async fn connect_from(
        &self,
        local_port: u16,
        remote: impl Into<SocketAddr>,
        options: StreamOptions,
    ) -> Result<TcpStream, Error> {
        let handle = {
            let mut state = self.state();
            state.follow_address(self.net);
            let handle = state.link.connect(now(), local_port, remote.into(), options);
            // Also where it failed: another connection may have been evicted.
            state.runner.wake();
            handle?
        };
        let stream = TcpStream::new(*self, handle);
        stream.connected().await?;
        Ok(stream)
    }

    /// Takes over embassy-net's addresses now; says whether they have changed. The runner does this after each pass, and
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
