//! The Linux kernel as the peer.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result, anyhow, bail};
use tcp_reset_core::{Instant, KeepAlive, State};

use crate::endpoint::MAX_FRAME;
use crate::family::Family;
use crate::kernel::{KernelListener, KernelStream, Wire, kernel_state_of};
use crate::peer::{Failure, Peer, Read, Socket};

/// The receive buffer of a narrow connection, in bytes: a window that closes soon.
const NARROW_BUFFER: usize = 2_048;

enum Held {
    Listener {
        listener: KernelListener,
        local: SocketAddr,
    },
    /// A stream, our side's port of it as the kernel counts, and the endpoint of the core.
    Stream {
        stream: KernelStream,
        port: u16,
        remote: SocketAddr,
    },
    Gone,
}

/// The kernel's sockets in our namespace, and the wire to it.
pub struct KernelPeer {
    wire: Wire,
    addr: IpAddr,
    started: WallClock,
    sockets: Vec<Held>,
    buf: Vec<u8>,
}

impl KernelPeer {
    /// Uses a wire whose kernel end has the family's address, among others perhaps.
    pub fn new(wire: Wire, family: Family) -> KernelPeer {
        let addr = family.peer_addr();
        KernelPeer { wire, addr, started: WallClock::now(), sockets: Vec::new(), buf: vec![0; MAX_FRAME] }
    }

    /// Goes on in another family, whose address the kernel's end has as well.
    pub fn speak(&mut self, family: Family) {
        self.addr = family.peer_addr();
    }

    fn hold(&mut self, held: Held) -> Socket {
        self.sockets.push(held);
        Socket(self.sockets.len() - 1)
    }

    fn hold_stream(&mut self, stream: KernelStream, remote: SocketAddr) -> Result<Socket> {
        let port = stream.local_addr().context("the kernel does not tell its port")?.port();
        Ok(self.hold(Held::Stream { stream, port, remote }))
    }

    fn stream(&self, socket: Socket) -> Result<&KernelStream> {
        match self.sockets.get(socket.0) {
            Some(Held::Stream { stream, .. }) => Ok(stream),
            _ => bail!("the kernel's socket {} is not an open stream", socket.0),
        }
    }

    fn take_stream(&mut self, socket: Socket) -> Result<KernelStream> {
        match self.sockets.get_mut(socket.0).map(|held| std::mem::replace(held, Held::Gone)) {
            Some(Held::Stream { stream, .. }) => Ok(stream),
            _ => bail!("the kernel's socket {} is not an open stream", socket.0),
        }
    }

    /// What an open socket says of its connection: much cheaper to ask than the kernel's whole table.
    fn state_of_socket(&self, at: u16, ours: SocketAddr) -> Option<State> {
        self.sockets.iter().rev().find_map(|held| match held {
            Held::Stream { stream, port, remote } if *port == at && *remote == ours => stream.state().ok(),
            Held::Stream { .. } | Held::Listener { .. } | Held::Gone => None,
        })
    }
}

impl Peer for KernelPeer {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn now(&self) -> Instant {
        let micros = self.started.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn mac(&self) -> [u8; 6] {
        self.wire.kernel_mac()
    }

    fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.wire.send(frame).context("cannot put a frame on the wire")
    }

    fn receive_frame(&mut self) -> Result<Option<Vec<u8>>> {
        let len = self.wire.recv(&mut self.buf).context("cannot take a frame off the wire")?;
        Ok(len.map(|len| self.buf[..len].to_vec()))
    }

    fn wait(&mut self, until: Instant) -> Result<()> {
        let left = until.duration_since(self.now());
        // Whole milliseconds: poll(2) knows no finer ones.
        self.wire.wait(left.max(Duration::from_millis(1))).context("cannot wait on the wire")?;
        Ok(())
    }

    fn listen(&mut self, port: u16) -> Result<Socket> {
        let local = SocketAddr::new(self.addr, port);
        let listener =
            KernelListener::bind(local, 8).with_context(|| format!("the kernel does not listen on port {port}"))?;
        Ok(self.hold(Held::Listener { listener, local }))
    }

    fn accept(&mut self, listener: Socket) -> Result<Option<Socket>> {
        let Some(Held::Listener { listener: held, .. }) = self.sockets.get(listener.0) else {
            bail!("the kernel's socket {} is not a listener", listener.0);
        };
        let Some(stream) = held.accept().context("the kernel does not accept")? else { return Ok(None) };
        let remote = stream.peer_addr().context("the kernel does not tell whom it accepted")?;
        self.hold_stream(stream, remote).map(Some)
    }

    fn connect(&mut self, port: u16, remote: SocketAddr, is_narrow: bool) -> Result<Socket> {
        let local = SocketAddr::new(self.addr, port);
        let stream = if is_narrow {
            KernelStream::connect_with_recv_buffer(local, remote, NARROW_BUFFER)
        } else {
            KernelStream::connect(local, remote)
        };
        let stream = stream.with_context(|| format!("the kernel does not connect from {local} to {remote}"))?;
        self.hold_stream(stream, remote)
    }

    fn is_connected(&mut self, socket: Socket) -> Result<Result<bool, Failure>> {
        failure(self.stream(socket)?.is_connected())
    }

    fn send(&mut self, socket: Socket, data: &[u8]) -> Result<Result<usize, Failure>> {
        failure(self.stream(socket)?.send(data).map(Option::unwrap_or_default))
    }

    fn recv(&mut self, socket: Socket, buf: &mut [u8]) -> Result<Result<Read, Failure>> {
        failure(self.stream(socket)?.recv(buf).map(|read| match read {
            None => Read::Nothing,
            Some(0) => Read::End,
            Some(n) => Read::Data(n),
        }))
    }

    fn keep_alive(&mut self, socket: Socket, settings: KeepAlive) -> Result<()> {
        let KeepAlive { idle, interval, probes } = settings;
        let stream = self.stream(socket)?;
        stream.keep_alive(idle, interval, probes.get().into()).context("the kernel does not keep the connection alive")
    }

    fn set_user_timeout(&mut self, socket: Socket, timeout: Duration) -> Result<()> {
        self.stream(socket)?.set_user_timeout(timeout).context("the kernel takes no user timeout")
    }

    fn shutdown(&mut self, socket: Socket) -> Result<()> {
        self.stream(socket)?.shutdown_write().context("the kernel does not shut down")
    }

    fn close(&mut self, socket: Socket) -> Result<()> {
        self.take_stream(socket)?.close();
        Ok(())
    }

    fn abort(&mut self, socket: Socket) -> Result<()> {
        self.take_stream(socket)?.abort().context("the kernel does not abort")
    }

    fn vanish(&mut self, socket: Socket) -> Result<()> {
        self.take_stream(socket)?.vanish().context("the kernel does not forget (TCP_REPAIR)")
    }

    fn drop_streams(&mut self) -> Result<()> {
        for held in &mut self.sockets {
            if matches!(held, Held::Stream { .. })
                && let Held::Stream { stream, .. } = std::mem::replace(held, Held::Gone)
            {
                // One that has ended already cannot be aborted.
                let _ = stream.abort();
            }
        }
        Ok(())
    }

    fn listener_on(&self, port: u16) -> Option<Socket> {
        let at = SocketAddr::new(self.addr, port);
        let is_here = |held: &Held| matches!(held, Held::Listener { local, .. } if *local == at);
        self.sockets.iter().position(is_here).map(Socket)
    }

    fn state(&mut self, port: u16, ours: SocketAddr) -> Result<State> {
        // An open socket says CLOSED both when all is over and when its connection is in TIME-WAIT.
        if let Some(state) = self.state_of_socket(port, ours).filter(|state| *state != State::Closed) {
            return Ok(state);
        }
        let local = SocketAddr::new(self.addr, port);
        let state = kernel_state_of(local, ours).context("cannot read the kernel's states")?;
        Ok(state.unwrap_or(State::Closed))
    }
}

/// Parts what the peer's application would see from what is wrong with this tool.
fn failure<T>(outcome: std::io::Result<T>) -> Result<Result<T, Failure>> {
    let error = match outcome {
        Ok(value) => return Ok(Ok(value)),
        Err(error) => error,
    };
    match error.raw_os_error() {
        Some(errno) => Ok(Err(Failure::from_errno(errno))),
        None => Err(anyhow!(error).context("a call on the kernel's socket failed")),
    }
}
