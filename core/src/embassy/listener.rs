//! A listener: a port with a backlog, which outlives its connections.

use core::net::SocketAddr;

use super::stack::TcpStack;
use super::state::{now, wait_until};
use super::stream::TcpStream;
use crate::config::ListenOptions;
use crate::engine::event::ListenerHandle;
use crate::error::Error;

/// A port that takes connections, with a backlog of its own: nobody is refused between two calls of [`TcpListener::accept`].
///
/// Dropping it closes the port: connections nobody has accepted and handshakes in progress are reset (RFC 9293 §3.10.5), accepted
/// connections go on.
pub struct TcpListener {
    stack: TcpStack,
    handle: ListenerHandle,
}

impl TcpStack {
    /// Listens on an address and port; the address may be unspecified, for whatever ours are or become: `0.0.0.0` over IPv4, `::` over
    /// every family spoken. See [`crate::Tcp::listen`].
    ///
    /// # Errors
    /// Those of [`crate::Tcp::listen`].
    pub fn listen(&self, local: impl Into<SocketAddr>, options: ListenOptions) -> Result<TcpListener, Error> {
        let handle = self.state().link.tcp().listen(local.into(), options)?;
        Ok(TcpListener { stack: *self, handle })
    }
}

impl TcpListener {
    /// Returns the handle.
    pub fn handle(&self) -> ListenerHandle {
        self.handle
    }

    /// Waits for the next connection. Any number of tasks may wait at once; each connection goes to one of them.
    ///
    /// A connection that ends before it is accepted never comes out here; it is counted.
    ///
    /// # Errors
    /// [`Error::StaleHandle`] after [`TcpStack::abort_all`] has closed every listener.
    pub async fn accept(&self) -> Result<TcpStream, Error> {
        let queue = self.stack.state().waiting.acceptors_of(self.handle);
        wait_until(queue, || self.try_accept()).await
    }

    /// Returns the next connection, if one waits.
    fn try_accept(&self) -> Option<Result<TcpStream, Error>> {
        let mut state = self.stack.state();
        match state.link.tcp().accept(now(), self.handle) {
            Ok(handle) => {
                // The wait for the first byte may begin, and be the earliest of all timers.
                state.runner.wake();
                Some(Ok(TcpStream::new(self.stack, handle)))
            }
            Err(Error::WouldBlock) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let mut state = self.stack.state();
        // Closed already by `abort_all`: nothing is left to do then.
        let _ = state.link.tcp().unlisten(now(), self.handle);
        state.runner.wake();
    }
}
