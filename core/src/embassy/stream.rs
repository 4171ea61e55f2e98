//! A connection as a stream of bytes.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::num::NonZeroU8;
use core::task::{Context, Poll};

use embassy_sync::waitqueue::WakerRegistration;
use embassy_time::Duration;
use embedded_io_async::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};

use super::stack::TcpStack;
use super::state::{core_duration, now, wait_until};
#[cfg(feature = "keepalive")]
use crate::config::KeepAlive;
use crate::config::StreamOptions;
use crate::engine::budget::Budget;
use crate::engine::event::{ConnectionHandle, Status};
use crate::engine::tcp::Tcp;
use crate::error::Error;
use crate::rules::verdict::{CloseReason, State};
#[cfg(feature = "reset-diagnostics")]
use crate::wire::diagnostic::PeerReason;

/// A connection.
///
/// # What dropping sends
/// The peer is never left half-open. Dropping a stream closes both ways (RFC 9293 §3.10.4): what was written is still delivered, then a
/// FIN follows. Where bytes were received and not read, or more arrive, the peer learns by RST that they are lost (§3.6.1,
/// RFC 2525 §2.17). A peer that then keeps its window closed, or never sends its own FIN, is reset after
/// [`crate::Config::orphan_timeout`]; one that acknowledges nothing, after
/// [`crate::StreamOptions::r2`] or the user timeout. To end at once, with
/// RST, call [`TcpStream::abort`]; to see how it ends, [`TcpStream::shutdown`] and then [`TcpStream::closed`].
pub struct TcpStream {
    stack: TcpStack,
    handle: ConnectionHandle,
}

/// The receiving half of a stream.
pub struct TcpReader<'s> {
    pub(super) stream: &'s TcpStream,
}

/// The sending half of a stream.
pub struct TcpWriter<'s> {
    pub(super) stream: &'s TcpStream,
}

impl TcpStack {
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
}

impl TcpStream {
    pub(super) fn new(stack: TcpStack, handle: ConnectionHandle) -> TcpStream {
        TcpStream { stack, handle }
    }

    /// Parts the stream, so that one task reads while another writes.
    pub fn split(&mut self) -> (TcpReader<'_>, TcpWriter<'_>) {
        (TcpReader { stream: self }, TcpWriter { stream: self })
    }

    /// Receives: gives how many bytes, at least one; 0 at the end of the stream, or if `buf` is empty. Bytes received in order before
    /// a reset are given before the error.
    ///
    /// # Errors
    /// [`Error::Closed`] says how the connection ended.
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Sends: gives how many bytes were queued, at least one unless `buf` is empty.
    ///
    /// # Errors
    /// [`Error::Closed`] says how the connection ended; [`Error::SendShutdown`] after [`TcpStream::shutdown`].
    pub async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_write(cx, buf)).await
    }

    /// Receives without a copy: `look` is shown what has come, in the receive buffer itself, and says how many bytes of it it has taken and what is
    /// returned. It sees at least one byte, none at the end of the stream: see [`crate::Tcp::recv_with`].
    ///
    /// # Errors
    /// [`Error::Closed`] says how the connection ended; `look` is not called then.
    ///
    /// # Panics
    /// If `look` itself uses this stack or one of its sockets.
    pub async fn read_with<R>(&mut self, look: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        self.receive_with(look).await
    }

    /// Sends without a copy: `fill` writes into the send buffer itself and says how many bytes are to be sent and what is returned. It sees at least
    /// one byte: see [`crate::Tcp::send_with`].
    ///
    /// # Errors
    /// [`Error::Closed`] says how the connection ended; [`Error::SendShutdown`] after [`TcpStream::shutdown`]. `fill` is not called then.
    ///
    /// # Panics
    /// If `fill` itself uses this stack or one of its sockets.
    pub async fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        self.send_with(fill).await
    }

    /// Waits until a read gives something at once: bytes, the end of the stream, or the error.
    pub async fn wait_read_ready(&mut self) {
        self.read_ready_or_over().await;
    }

    /// Waits until a write takes something at once, or gives the error.
    pub async fn wait_write_ready(&mut self) {
        self.write_ready_or_over().await;
    }

    /// Returns whether bytes wait to be read.
    pub fn can_recv(&self) -> bool {
        self.status().is_ok_and(|status| status.readable > 0)
    }

    /// Returns whether a write would take at least one byte now.
    pub fn can_send(&self) -> bool {
        self.status().is_ok_and(|status| may_send(&status) && status.writable > 0)
    }

    /// Returns whether there are bytes to read, or may be some yet.
    pub fn may_recv(&self) -> bool {
        self.status().is_ok_and(|status| may_recv(&status))
    }

    /// Returns whether our direction is open: neither shut down nor ended.
    pub fn may_send(&self) -> bool {
        self.status().is_ok_and(|status| may_send(&status))
    }

    /// Returns the size of the receive buffer, in bytes.
    pub fn recv_capacity(&self) -> usize {
        self.buffer_sizes().0
    }

    /// Returns the size of the send buffer, in bytes.
    pub fn send_capacity(&self) -> usize {
        self.buffer_sizes().1
    }

    /// Returns how many bytes wait to be read.
    pub fn recv_queue(&self) -> usize {
        self.status().map_or(0, |status| status.readable)
    }

    /// Returns how many bytes were written and are not acknowledged.
    pub fn send_queue(&self) -> usize {
        self.status().map_or(0, |status| status.unacknowledged)
    }

    /// Waits until the peer has acknowledged everything written, and after [`TcpStream::shutdown`] our FIN.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection ended before.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends our direction: FIN follows what is queued, receiving goes on (RFC 9293 §3.6.1). Again is harmless.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection has ended already.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        self.end_sending()
    }

    /// Ends the connection at once; the peer is told by RST (RFC 9293 §3.10.5). The slot is given back when the stream is dropped. Again is harmless.
    pub fn abort(&mut self) {
        self.end_at_once();
    }

    /// Waits until the connection has ended, and says why. The halves of a split stream have the same. Any number of tasks may wait.
    pub async fn closed(&self) -> CloseReason {
        let queue = self.stack.state().waiting.end_of(self.handle);
        // While a stream is held its slot is too.
        wait_until(queue, || self.status().map_or(Some(CloseReason::Aborted), |status| status.closed)).await
    }

    /// Sets the user timeout, from now on: how long what was written may go without progress. `None` is R2 again, as
    /// [`StreamOptions::DEFAULT`] has it. See [`crate::Tcp::set_user_timeout`]. embassy-net's `set_timeout` also ends an idle connection; here
    /// keepalive or the idle timeout do.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] if the connection has ended.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.change(|tcp, handle| match timeout {
            Some(timeout) => tcp.set_user_timeout(now(), handle, core_duration(timeout)),
            None => tcp.set_r2(now(), handle, StreamOptions::DEFAULT.r2),
        })
    }

    /// Sets R2, from now on, and takes a user timeout away: see [`crate::Tcp::set_r2`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] if the connection has ended.
    pub fn set_r2(&mut self, r2: Duration) -> Result<(), Error> {
        self.change(|tcp, handle| tcp.set_r2(now(), handle, core_duration(r2)))
    }

    /// Switches keepalive on or off, or changes it, from now on: see [`crate::Tcp::set_keep_alive`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] if the connection has ended.
    #[cfg(feature = "keepalive")]
    pub fn set_keep_alive(&mut self, keep_alive: Option<KeepAlive>) -> Result<(), Error> {
        self.change(|tcp, handle| tcp.set_keep_alive(now(), handle, keep_alive))
    }

    /// Sets the idle timeout, or takes it away, from now on: see [`crate::Tcp::set_idle_timeout`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] if the connection has ended.
    #[cfg(feature = "deadlines")]
    pub fn set_idle_timeout(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.change(|tcp, handle| tcp.set_idle_timeout(now(), handle, timeout.map(core_duration)))
    }

    /// Sets how long the peer may take until its first byte, from now: see [`crate::Tcp::set_first_byte_timeout`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] if the connection has ended.
    #[cfg(feature = "deadlines")]
    pub fn set_first_byte_timeout(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.change(|tcp, handle| tcp.set_first_byte_timeout(now(), handle, timeout.map(core_duration)))
    }

    /// Switches Nagle's algorithm on or off, from now on: see [`StreamOptions::nagle`].
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection has ended.
    pub fn set_nagle_enabled(&mut self, is_on: bool) -> Result<(), Error> {
        self.change(|tcp, handle| tcp.set_nagle(now(), handle, is_on))
    }

    /// Sets how long an acknowledgment may be held back, from now on: see [`StreamOptions::delayed_ack`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] if the connection has ended.
    pub fn set_delayed_ack(&mut self, delay: Duration) -> Result<(), Error> {
        self.change(|tcp, handle| tcp.set_delayed_ack(now(), handle, core_duration(delay)))
    }

    /// Sets the hop limit, or time to live, of this connection's packets, from now on; `None` is [`crate::Config::hop_limit`] again.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection has ended.
    pub fn set_hop_limit(&mut self, hop_limit: Option<NonZeroU8>) -> Result<(), Error> {
        self.change(|tcp, handle| tcp.set_hop_limit(now(), handle, hop_limit))
    }

    /// Changes a setting; the runner learns of an earlier deadline.
    fn change(&self, how: impl FnOnce(&mut Tcp<'_>, ConnectionHandle) -> Result<(), Error>) -> Result<(), Error> {
        let mut state = self.stack.state();
        how(state.link.tcp(), self.handle)?;
        state.runner.wake();
        Ok(())
    }

    /// Returns how long the peer can hold the connection without giving anything: see [`Budget`].
    ///
    /// # Errors
    /// None while the stream is held.
    pub fn budget(&self) -> Result<Budget, Error> {
        self.stack.state().link.tcp_ref().budget(self.handle)
    }

    /// Returns the status of the connection.
    ///
    /// # Errors
    /// None while the stream is held.
    pub fn status(&self) -> Result<Status, Error> {
        self.stack.state().link.tcp_ref().status(self.handle)
    }

    /// Shows what the RST said of itself that ended the connection: see [`crate::Tcp::peer_reason`].
    ///
    /// # Errors
    /// None while the stream is held.
    ///
    /// # Panics
    /// If `look` itself uses this stack or one of its sockets: it has all it needs in its hand.
    #[cfg(feature = "reset-diagnostics")]
    pub fn peer_reason<R>(&self, look: impl FnOnce(Option<PeerReason<'_>>) -> R) -> Result<R, Error> {
        self.stack.state().link.tcp_ref().peer_reason(self.handle).map(look)
    }

    /// Returns the state, CLOSED after the end.
    pub fn state(&self) -> State {
        self.status().map_or(State::Closed, |status| status.state)
    }

    /// Returns our endpoint; `None` never while the stream is held.
    pub fn local_endpoint(&self) -> Option<SocketAddr> {
        self.status().ok().map(|status| status.local)
    }

    /// Returns the peer's endpoint; `None` never while the stream is held.
    pub fn remote_endpoint(&self) -> Option<SocketAddr> {
        self.status().ok().map(|status| status.remote)
    }

    /// Returns the handle, to find the connection among [`crate::Tcp::connections`].
    pub fn handle(&self) -> ConnectionHandle {
        self.handle
    }

    /// Waits for the handshake.
    pub(super) async fn connected(&self) -> Result<(), Error> {
        poll_fn(|cx| {
            let mut state = self.stack.state();
            let status = state.link.tcp_ref().status(self.handle)?;
            if let Some(reason) = status.closed {
                return Poll::Ready(Err(Error::Closed(reason)));
            }
            if status.state.is_synchronized() {
                return Poll::Ready(Ok(()));
            }
            state.waiters(self.handle).writer.register(cx.waker());
            Poll::Pending
        })
        .await
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, Error>> {
        self.poll_recv(cx, |tcp| tcp.recv(now(), self.handle, buf))
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_recv(cx, |tcp| tcp.recv_with(now(), self.handle, |_| (0, ())))
    }

    /// Receives, or waits for what there is to receive.
    fn poll_recv<R>(
        &self,
        cx: &mut Context<'_>,
        recv: impl FnOnce(&mut Tcp<'_>) -> Result<R, Error>,
    ) -> Poll<Result<R, Error>> {
        let mut state = self.stack.state();
        let had_output = state.link.tcp_ref().has_output();
        let outcome = recv(state.link.tcp());
        // The window may have opened by a step worth telling, or an acknowledgment has waited for this.
        if !had_output && state.link.tcp_ref().has_output() {
            state.runner.wake();
        }
        done_or_waiting(outcome, &mut state.waiters(self.handle).reader, cx)
    }

    /// An error is something to read, too.
    async fn read_ready_or_over(&self) {
        let _ = poll_fn(|cx| self.poll_read_ready(cx)).await;
    }

    async fn write_ready_or_over(&self) {
        let _ = poll_fn(|cx| self.poll_write_ready(cx)).await;
    }

    /// Nobody else reads or writes between the wait and the call: the stream, or its half, is borrowed for both.
    async fn receive_with<R>(&self, look: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        poll_fn(|cx| self.poll_read_ready(cx)).await?;
        let mut state = self.stack.state();
        let result = state.link.tcp().recv_with(now(), self.handle, look);
        if state.link.tcp_ref().has_output() {
            state.runner.wake();
        }
        result
    }

    async fn send_with<R>(&self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        poll_fn(|cx| self.poll_write_ready(cx)).await?;
        let mut state = self.stack.state();
        let result = state.link.tcp().send_with(now(), self.handle, fill);
        state.runner.wake();
        result
    }

    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize, Error>> {
        let outcome = self.write_now(buf);
        done_or_waiting(outcome, &mut self.stack.state().waiters(self.handle).writer, cx)
    }

    /// Takes what there is room for.
    pub(super) fn write_now(&self, buf: &[u8]) -> Result<usize, Error> {
        let mut state = self.stack.state();
        let outcome = state.link.tcp().send(now(), self.handle, buf);
        if outcome != Err(Error::WouldBlock) {
            state.runner.wake();
        }
        outcome
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.stack.state();
        let outcome = state.link.tcp().send_with(now(), self.handle, |_| (0, ()));
        done_or_waiting(outcome, &mut state.waiters(self.handle).writer, cx)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.stack.state();
        let status = state.link.tcp_ref().status(self.handle)?;
        match status.closed {
            Some(reason) if !reason.is_orderly() => return Poll::Ready(Err(Error::Closed(reason))),
            Some(_) => return Poll::Ready(Ok(())),
            None if status.unacknowledged == 0 && !is_fin_due(status.state) => return Poll::Ready(Ok(())),
            None => {}
        }
        state.waiters(self.handle).writer.register(cx.waker());
        Poll::Pending
    }

    fn end_at_once(&self) {
        let mut state = self.stack.state();
        // What has ended already keeps its reason.
        let _ = state.link.tcp().reset(now(), self.handle);
        state.runner.wake();
    }

    fn buffer_sizes(&self) -> (usize, usize) {
        self.stack.state().link.tcp_ref().buffer_sizes(self.handle).unwrap_or_default()
    }

    fn end_sending(&self) -> Result<(), Error> {
        let mut state = self.stack.state();
        state.link.tcp().shutdown(now(), self.handle)?;
        // Whoever waits for room learns that there will be none: the other half may have ended this.
        state.waiters(self.handle).writer.wake();
        state.runner.wake();
        Ok(())
    }

    fn is_read_ready(&self) -> bool {
        self.status().is_ok_and(|status| status.readable > 0 || !may_recv(&status))
    }

    fn is_write_ready(&self) -> bool {
        self.status().is_ok_and(|status| status.writable > 0 || !may_send(&status))
    }
}

/// Registers the task where the call would block.
fn done_or_waiting<R>(
    outcome: Result<R, Error>,
    waiter: &mut WakerRegistration,
    cx: &Context<'_>,
) -> Poll<Result<R, Error>> {
    if matches!(outcome, Err(Error::WouldBlock)) {
        waiter.register(cx.waker());
        return Poll::Pending;
    }
    Poll::Ready(outcome)
}

fn may_recv(status: &Status) -> bool {
    let is_over = status.closed.is_some() || has_peer_finished(status.state);
    status.readable > 0 || !is_over
}

fn may_send(status: &Status) -> bool {
    status.closed.is_none() && !have_we_finished(status.state)
}

/// Returns whether we can send nothing more.
fn have_we_finished(state: State) -> bool {
    match state {
        State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait | State::Closed => true,
        State::Listen | State::SynSent | State::SynReceived | State::Established | State::CloseWait => false,
    }
}

/// Returns whether our FIN is to be acknowledged yet.
fn is_fin_due(state: State) -> bool {
    match state {
        State::FinWait1 | State::Closing | State::LastAck => true,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait2
        | State::CloseWait
        | State::TimeWait => false,
    }
}

/// Returns whether nothing more can come from the peer.
fn has_peer_finished(state: State) -> bool {
    match state {
        State::CloseWait | State::Closing | State::LastAck | State::TimeWait | State::Closed => true,
        State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2 => false,
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let mut state = self.stack.state();
        // A stream that is held has its slot.
        let _ = state.link.tcp().close(now(), self.handle);
        state.runner.wake();
    }
}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Error::Closed(reason) => kind_of_end(*reason),
            Error::StaleHandle | Error::NotConnected => ErrorKind::NotConnected,
            Error::SendShutdown => ErrorKind::BrokenPipe,
            Error::NoSlot | Error::NoListener | Error::NoBuffer => ErrorKind::OutOfMemory,
            Error::InvalidBufferSize | Error::InvalidSetting(_) | Error::InvalidAddress => ErrorKind::InvalidInput,
            Error::AddressInUse => ErrorKind::AddrInUse,
            Error::NoRoute | Error::NoPort => ErrorKind::AddrNotAvailable,
            Error::WouldBlock => ErrorKind::Other,
        }
    }
}

fn kind_of_end(reason: CloseReason) -> ErrorKind {
    match reason {
        CloseReason::Refused => ErrorKind::ConnectionRefused,
        CloseReason::ResetByPeer => ErrorKind::ConnectionReset,
        CloseReason::Aborted | CloseReason::ClosedBeforeOpen | CloseReason::Evicted => ErrorKind::ConnectionAborted,
        CloseReason::TimedOut(_) => ErrorKind::TimedOut,
        CloseReason::AddressLost => ErrorKind::AddrNotAvailable,
        CloseReason::PeerClosed | CloseReason::LocalClosed | CloseReason::DataLost => ErrorKind::BrokenPipe,
    }
}

impl ErrorType for TcpStream {
    type Error = Error;
}

impl Read for TcpStream {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        TcpStream::read(self, buf).await
    }
}

impl Write for TcpStream {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        TcpStream::write(self, buf).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        TcpStream::flush(self).await
    }
}

impl ReadReady for TcpStream {
    fn read_ready(&mut self) -> Result<bool, Error> {
        Ok(self.is_read_ready())
    }
}

impl WriteReady for TcpStream {
    fn write_ready(&mut self) -> Result<bool, Error> {
        Ok(self.is_write_ready())
    }
}

impl TcpReader<'_> {
    /// Receives without a copy: see [`TcpStream::read_with`].
    ///
    /// # Errors
    /// [`Error::Closed`] says how the connection ended.
    pub async fn read_with<R>(&mut self, look: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        self.stream.receive_with(look).await
    }

    /// Waits until a read gives something at once: see [`TcpStream::wait_read_ready`].
    pub async fn wait_read_ready(&mut self) {
        self.stream.read_ready_or_over().await;
    }

    /// Waits until the connection has ended, and says why: see [`TcpStream::closed`].
    pub async fn closed(&self) -> CloseReason {
        self.stream.closed().await
    }

    /// Ends our direction: see [`TcpStream::shutdown`].
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection has ended already.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        self.stream.end_sending()
    }

    /// Ends the connection at once: see [`TcpStream::abort`].
    pub fn abort(&mut self) {
        self.stream.end_at_once();
    }
}

impl TcpWriter<'_> {
    /// Sends without a copy: see [`TcpStream::write_with`].
    ///
    /// # Errors
    /// [`Error::Closed`] says how the connection ended; [`Error::SendShutdown`] after [`TcpWriter::shutdown`].
    pub async fn write_with<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        self.stream.send_with(fill).await
    }

    /// Waits until a write takes something at once: see [`TcpStream::wait_write_ready`].
    pub async fn wait_write_ready(&mut self) {
        self.stream.write_ready_or_over().await;
    }

    /// Waits until the connection has ended, and says why: see [`TcpStream::closed`].
    pub async fn closed(&self) -> CloseReason {
        self.stream.closed().await
    }

    /// Ends our direction: see [`TcpStream::shutdown`].
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection has ended already.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        self.stream.end_sending()
    }

    /// Ends the connection at once: see [`TcpStream::abort`].
    pub fn abort(&mut self) {
        self.stream.end_at_once();
    }
}

impl ErrorType for TcpReader<'_> {
    type Error = Error;
}

impl Read for TcpReader<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.stream.poll_read(cx, buf)).await
    }
}

impl ReadReady for TcpReader<'_> {
    fn read_ready(&mut self) -> Result<bool, Error> {
        Ok(self.stream.is_read_ready())
    }
}

impl ErrorType for TcpWriter<'_> {
    type Error = Error;
}

impl Write for TcpWriter<'_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.stream.poll_write(cx, buf)).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.stream.poll_flush(cx)).await
    }
}

impl WriteReady for TcpWriter<'_> {
    fn write_ready(&mut self) -> Result<bool, Error> {
        Ok(self.stream.is_write_ready())
    }
}
