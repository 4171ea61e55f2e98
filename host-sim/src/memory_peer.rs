//! A second core as the peer, on a clock that only waiting moves.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tcp_reset_core::{
    CloseReason, Config, ConnectionHandle, Error, Event, Instant, KeepAlive, ListenOptions, ListenerHandle, State,
    StreamOptions,
};

use crate::endpoint::{Drained, Endpoint};
use crate::family::Family;
use crate::memory_wire::{MemoryWire, Station};
use crate::peer::{Failure, Peer, Read, Socket};

/// The receive buffer of a narrow connection, in bytes.
const NARROW_BUFFER: usize = 2_048;
/// Buffers of the peer's other connections, in bytes.
const BUFFER: usize = 16_384;

enum Held {
    Listener { handle: ListenerHandle, port: u16 },
    Stream { handle: ConnectionHandle, port: u16 },
    Gone,
}

/// Another engine, and a wire to it.
pub struct MemoryPeer {
    endpoint: Endpoint,
    wire: MemoryWire,
    sockets: Vec<Held>,
}

impl MemoryPeer {
    /// Boots the peer where the family has it.
    ///
    /// # Errors
    /// If no random key is to be had.
    pub fn new(family: Family, mac: [u8; 6]) -> Result<MemoryPeer> {
        Ok(MemoryPeer {
            endpoint: Endpoint::boot(family.peer_addr(), family.prefix(), mac, Config::default())?,
            wire: MemoryWire::default(),
            sockets: Vec::new(),
        })
    }

    fn hold(&mut self, held: Held) -> Socket {
        self.sockets.push(held);
        Socket(self.sockets.len() - 1)
    }

    fn stream(&self, socket: Socket) -> Result<(ConnectionHandle, u16)> {
        match self.sockets.get(socket.0) {
            Some(Held::Stream { handle, port }) => Ok((*handle, *port)),
            _ => bail!("the peer's socket {} is not an open stream", socket.0),
        }
    }

    /// Lets the peer's engine speak.
    fn flush(&mut self) -> Result<()> {
        self.wire.flush(&mut self.endpoint)
    }

    fn listen_on(&mut self, port: u16) -> Result<ListenerHandle> {
        let local = SocketAddr::new(self.endpoint.addr(), port);
        let stream = StreamOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..StreamOptions::default() };
        let options = ListenOptions { stream, ..ListenOptions::default() };
        self.endpoint.tcp().listen(local, options).context("the peer does not listen")
    }
}

impl Station for Endpoint {
    fn receive(&mut self, now: Instant, frame: &[u8]) -> Result<Vec<Vec<u8>>> {
        let (_, answer) = Endpoint::receive(self, now, frame);
        Ok(answer.into_iter().map(|sent| sent.bytes).collect())
    }

    fn drain(&mut self, now: Instant) -> Result<(Vec<Vec<u8>>, Option<Instant>)> {
        let Drained { frames, next } = Endpoint::drain(self, now)?;
        Ok((frames.into_iter().map(|sent| sent.bytes).collect(), next))
    }
}

impl Peer for MemoryPeer {
    fn name(&self) -> &'static str {
        "peer"
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn now(&self) -> Instant {
        self.wire.now()
    }

    fn mac(&self) -> [u8; 6] {
        self.endpoint.mac()
    }

    fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.wire.send(frame);
        Ok(())
    }

    fn receive_frame(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.wire.receive())
    }

    fn wait(&mut self, until: Instant) -> Result<()> {
        self.wire.wait(until, &mut self.endpoint)
    }

    fn listen(&mut self, port: u16) -> Result<Socket> {
        let handle = self.listen_on(port)?;
        Ok(self.hold(Held::Listener { handle, port }))
    }

    fn accept(&mut self, listener: Socket) -> Result<Option<Socket>> {
        let Some(Held::Listener { handle: held, .. }) = self.sockets.get(listener.0) else {
            bail!("the peer's socket {} is not a listener", listener.0);
        };
        let (held, now) = (*held, self.wire.now());
        match self.endpoint.tcp().accept(now, held) {
            Ok(handle) => {
                let port = self.endpoint.tcp().status(handle)?.local.port();
                self.flush()?;
                Ok(Some(self.hold(Held::Stream { handle, port })))
            }
            Err(Error::WouldBlock) => Ok(None),
            Err(error) => Err(error).context("the peer does not accept"),
        }
    }

    fn connect(&mut self, port: u16, remote: SocketAddr, is_narrow: bool) -> Result<Socket> {
        let rx_buffer = if is_narrow { NARROW_BUFFER } else { BUFFER };
        let options = StreamOptions { rx_buffer, tx_buffer: BUFFER, ..StreamOptions::default() };
        let now = self.wire.now();
        let handle = self
            .endpoint
            .link()
            .connect(now, port, remote, options)
            .with_context(|| format!("the peer does not connect from port {port} to {remote}"))?;
        let port = self.endpoint.tcp().status(handle)?.local.port();
        self.flush()?;
        Ok(self.hold(Held::Stream { handle, port }))
    }

    fn is_connected(&mut self, socket: Socket) -> Result<Result<bool, Failure>> {
        let (handle, _) = self.stream(socket)?;
        if let Some(reason) = self.endpoint.ended(handle) {
            return Ok(Err(failure(reason)));
        }
        Ok(Ok(self.endpoint.was_told(Event::Connected(handle))))
    }

    fn send(&mut self, socket: Socket, data: &[u8]) -> Result<Result<usize, Failure>> {
        let ((handle, _), now) = (self.stream(socket)?, self.wire.now());
        let outcome = self.endpoint.tcp().send(now, handle, data);
        self.flush()?;
        called(outcome, 0)
    }

    fn recv(&mut self, socket: Socket, buf: &mut [u8]) -> Result<Result<Read, Failure>> {
        let ((handle, _), now) = (self.stream(socket)?, self.wire.now());
        let outcome = self.endpoint.tcp().recv(now, handle, buf);
        self.flush()?;
        called(outcome.map(|n| if n == 0 { Read::End } else { Read::Data(n) }), Read::Nothing)
    }

    fn keep_alive(&mut self, socket: Socket, settings: KeepAlive) -> Result<()> {
        let ((handle, _), now) = (self.stream(socket)?, self.wire.now());
        let outcome = self.endpoint.tcp().set_keep_alive(now, handle, Some(settings));
        outcome.context("the peer does not keep the connection alive")?;
        self.flush()
    }

    fn set_user_timeout(&mut self, socket: Socket, timeout: Duration) -> Result<()> {
        let ((handle, _), now) = (self.stream(socket)?, self.wire.now());
        self.endpoint.tcp().set_user_timeout(now, handle, timeout).context("the peer takes no user timeout")?;
        self.flush()
    }

    fn shutdown(&mut self, socket: Socket) -> Result<()> {
        let ((handle, _), now) = (self.stream(socket)?, self.wire.now());
        self.endpoint.tcp().shutdown(now, handle).context("the peer does not shut down")?;
        self.flush()?;
        Ok(())
    }

    fn close(&mut self, socket: Socket) -> Result<()> {
        let ((handle, _), now) = (self.stream(socket)?, self.wire.now());
        self.sockets[socket.0] = Held::Gone;
        self.endpoint.tcp().close(now, handle).context("the peer does not close")?;
        self.flush()?;
        Ok(())
    }

    fn abort(&mut self, socket: Socket) -> Result<()> {
        let ((handle, _), now) = (self.stream(socket)?, self.wire.now());
        self.sockets[socket.0] = Held::Gone;
        self.endpoint.tcp().abort(now, handle).context("the peer does not abort")?;
        self.flush()?;
        Ok(())
    }

    /// The peer as a whole restarts; only its listeners come back.
    fn vanish(&mut self, socket: Socket) -> Result<()> {
        self.stream(socket)?;
        self.endpoint.reboot(self.endpoint.addr())?;
        for i in 0..self.sockets.len() {
            self.sockets[i] = match self.sockets[i] {
                Held::Listener { port, .. } => Held::Listener { handle: self.listen_on(port)?, port },
                Held::Stream { .. } | Held::Gone => Held::Gone,
            };
        }
        self.flush()?;
        Ok(())
    }

    fn drop_streams(&mut self) -> Result<()> {
        let now = self.wire.now();
        let streams: Vec<_> = self.endpoint.tcp().connections().map(|(handle, _)| handle).collect();
        for handle in streams {
            // One that has ended since cannot be aborted.
            let _ = self.endpoint.tcp().abort(now, handle);
        }
        for held in &mut self.sockets {
            if matches!(held, Held::Stream { .. }) {
                *held = Held::Gone;
            }
        }
        self.flush()
    }

    fn listener_on(&self, port: u16) -> Option<Socket> {
        let is_here = |held: &Held| matches!(held, Held::Listener { port: at, .. } if *at == port);
        self.sockets.iter().position(is_here).map(Socket)
    }

    fn state(&mut self, port: u16, ours: SocketAddr) -> Result<State> {
        Ok(self.endpoint.state(port, ours))
    }
}

/// What an operating system's sockets would say.
fn failure(reason: CloseReason) -> Failure {
    match reason {
        CloseReason::Refused => Failure::Refused,
        CloseReason::TimedOut(_) => Failure::TimedOut,
        CloseReason::ResetByPeer | CloseReason::Aborted | CloseReason::DataLost => Failure::Reset,
        CloseReason::Evicted => Failure::Other(nix::libc::ECONNABORTED),
        CloseReason::AddressLost => Failure::Other(nix::libc::EADDRNOTAVAIL),
        CloseReason::PeerClosed | CloseReason::LocalClosed | CloseReason::ClosedBeforeOpen => Failure::Pipe,
    }
}

fn called<T>(outcome: Result<T, Error>, blocked: T) -> Result<Result<T, Failure>> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Error::WouldBlock) => Ok(Ok(blocked)),
        Err(Error::Closed(reason)) => Ok(Err(failure(reason))),
        Err(Error::SendShutdown) => Ok(Err(Failure::Pipe)),
        Err(error) => Err(error).context("a call on the peer's socket failed"),
    }
}
