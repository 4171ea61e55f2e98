//! smoltcp as the peer, in memory.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use smoltcp_0_14::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp_0_14::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp_0_14::socket::tcp::{RecvError, Socket as Tcp, SocketBuffer, State as TcpState};
use smoltcp_0_14::time::{Duration as SmoltcpDuration, Instant as SmoltcpInstant};
use smoltcp_0_14::wire::{EthernetAddress, HardwareAddress, IpCidr, IpEndpoint};
use tcp_reset_core::{Instant, KeepAlive, State};

use crate::endpoint::MAX_FRAME;
use crate::family::Family;
use crate::memory_wire::{MemoryWire, Station};
use crate::peer::{Failure, Peer, Read, Socket};

/// The receive buffer of a narrow connection, in bytes.
const NARROW_BUFFER: usize = 2_048;
/// Buffers of other connections, in bytes.
const BUFFER: usize = 16_384;
/// Sockets that wait in LISTEN for each listener: smoltcp has no backlog, each socket takes one connection.
const BACKLOG: usize = 8;
/// What smoltcp takes its initial sequence numbers from: the same in each run.
const SEED: u64 = 0x736d_6f6c_7463_7000;

/// A socket of smoltcp's, and how far its connection has come.
#[derive(Clone, Copy)]
struct Stream {
    handle: SocketHandle,
    /// The state at the last look that was not CLOSED.
    last: TcpState,
    /// It has been ESTABLISHED.
    was_open: bool,
}

enum Held {
    Listener {
        local: SocketAddr,
        /// In LISTEN, or with a connection that nobody has accepted yet.
        waiting: Vec<SocketHandle>,
    },
    Stream(Stream),
    Gone,
}

/// smoltcp's interface and sockets, and a wire to them.
pub struct SmoltcpPeer {
    family: Family,
    mac: [u8; 6],
    host: Host,
    wire: MemoryWire,
    held: Vec<Held>,
}

/// What frames reach.
struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    port: Port,
}

impl SmoltcpPeer {
    /// Boots the peer where the family has it.
    ///
    /// # Errors
    /// If smoltcp has no place for the address.
    pub fn new(family: Family, mac: [u8; 6]) -> Result<SmoltcpPeer> {
        let mut port = Port::default();
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = SEED;
        let mut interface = Interface::new(config, &mut port, SmoltcpInstant::ZERO);
        let mut is_placed = false;
        interface.update_ip_addrs(|addrs| {
            is_placed = addrs.push(IpCidr::new(family.peer_addr().into(), family.prefix())).is_ok();
        });
        if !is_placed {
            bail!("smoltcp has no place for an address");
        }
        let host = Host { interface, sockets: SocketSet::new(Vec::new()), port };
        Ok(SmoltcpPeer { family, mac, host, wire: MemoryWire::default(), held: Vec::new() })
    }

    fn hold(&mut self, held: Held) -> Socket {
        self.held.push(held);
        Socket(self.held.len() - 1)
    }

    fn stream(&self, socket: Socket) -> Result<Stream> {
        match self.held.get(socket.0) {
            Some(Held::Stream(stream)) => Ok(*stream),
            _ => bail!("smoltcp's socket {} is not an open stream", socket.0),
        }
    }

    fn tcp(&mut self, handle: SocketHandle) -> &mut Tcp<'static> {
        self.host.sockets.get_mut(handle)
    }

    /// Lets smoltcp send, and notes how far its connections have come.
    fn flush(&mut self) -> Result<()> {
        self.wire.flush(&mut self.host)?;
        self.look();
        Ok(())
    }

    fn look(&mut self) {
        for held in &mut self.held {
            match held {
                Held::Stream(stream) => stream.look(self.host.sockets.get(stream.handle)),
                Held::Listener { local, waiting } => self.host.fill(*local, waiting),
                Held::Gone => {}
            }
        }
    }

    /// Takes a stream from its holder. Its socket stays where it is.
    fn take_stream(&mut self, socket: Socket) -> Result<Stream> {
        let stream = self.stream(socket)?;
        self.held[socket.0] = Held::Gone;
        Ok(stream)
    }

    /// Every socket, for whomever it is held.
    fn handles(&self) -> impl Iterator<Item = SocketHandle> {
        self.host.sockets.iter().map(|(handle, _)| handle)
    }
}

impl Stream {
    fn look(&mut self, socket: &Tcp<'_>) {
        if socket.state() != TcpState::Closed {
            self.last = socket.state();
        }
        self.was_open |= !matches!(socket.state(), TcpState::Closed | TcpState::SynSent | TcpState::SynReceived);
    }

    /// Returns how the connection failed. smoltcp tells its application no reason: the socket is CLOSED. After both FINs that is no failure.
    fn failure(&self, socket: &Tcp<'_>) -> Option<Failure> {
        if socket.state() != TcpState::Closed {
            return None;
        }
        match self.last {
            TcpState::TimeWait | TcpState::LastAck | TcpState::Closing => None,
            TcpState::SynSent | TcpState::SynReceived => Some(Failure::Refused),
            TcpState::Closed
            | TcpState::Listen
            | TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait => Some(Failure::Reset),
        }
    }
}

impl Host {
    fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.interface.poll(smoltcp_time(now), &mut self.port, &mut self.sockets);
        self.port.sent.drain(..).collect()
    }

    fn add(&mut self, rx_buffer: usize) -> SocketHandle {
        let buffer = |len| SocketBuffer::new(vec![0; len]);
        self.sockets.add(Tcp::new(buffer(rx_buffer), buffer(BUFFER)))
    }

    /// Keeps a listener's sockets in LISTEN at their number.
    fn fill(&mut self, local: SocketAddr, waiting: &mut Vec<SocketHandle>) {
        let sockets = &self.sockets;
        let is_listening = |handle: &&SocketHandle| sockets.get::<Tcp<'_>>(**handle).is_listening();
        let listening = waiting.iter().filter(is_listening).count();
        for _ in listening..BACKLOG {
            let handle = self.add(BUFFER);
            // A socket that is new listens wherever the port is not 0.
            let _ = self.sockets.get_mut::<Tcp<'_>>(handle).listen(IpEndpoint::from(local));
            waiting.push(handle);
        }
    }
}

impl Station for Host {
    fn receive(&mut self, now: Instant, frame: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.port.received.push_back(frame.to_vec());
        Ok(self.poll(now))
    }

    fn drain(&mut self, now: Instant) -> Result<(Vec<Vec<u8>>, Option<Instant>)> {
        let frames = self.poll(now);
        let next = self.interface.poll_at(smoltcp_time(now), &self.sockets);
        // A deadline in the past means at once; the wire asks again a microsecond later at the earliest.
        let at = next.map(|at| Instant::from_micros(u64::try_from(at.total_micros()).unwrap_or(0)));
        Ok((frames, at.map(|at| at.max(now + Duration::from_micros(1)))))
    }
}

impl Peer for SmoltcpPeer {
    fn name(&self) -> &'static str {
        "smoltcp"
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn now(&self) -> Instant {
        self.wire.now()
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.wire.send(frame);
        Ok(())
    }

    fn receive_frame(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.wire.receive())
    }

    fn wait(&mut self, until: Instant) -> Result<()> {
        self.wire.wait(until, &mut self.host)?;
        self.look();
        Ok(())
    }

    fn listen(&mut self, port: u16) -> Result<Socket> {
        let local = SocketAddr::new(self.family.peer_addr(), port);
        let mut waiting = Vec::new();
        self.host.fill(local, &mut waiting);
        Ok(self.hold(Held::Listener { local, waiting }))
    }

    fn accept(&mut self, listener: Socket) -> Result<Option<Socket>> {
        let Some(Held::Listener { waiting, .. }) = self.held.get_mut(listener.0) else {
            bail!("smoltcp's socket {} is not a listener", listener.0);
        };
        let sockets = &self.host.sockets;
        let is_done = |handle: &SocketHandle| {
            let state = sockets.get::<Tcp<'_>>(*handle).state();
            !matches!(state, TcpState::Listen | TcpState::SynReceived)
        };
        let Some(place) = waiting.iter().position(is_done) else { return Ok(None) };
        let handle = waiting.remove(place);
        let mut stream = Stream { handle, last: TcpState::SynReceived, was_open: false };
        stream.look(self.tcp(handle));
        Ok(Some(self.hold(Held::Stream(stream))))
    }

    fn connect(&mut self, port: u16, remote: SocketAddr, is_narrow: bool) -> Result<Socket> {
        let local = SocketAddr::new(self.family.peer_addr(), port);
        let handle = self.host.add(if is_narrow { NARROW_BUFFER } else { BUFFER });
        let socket = self.host.sockets.get_mut::<Tcp<'_>>(handle);
        let outcome = socket.connect(self.host.interface.context(), IpEndpoint::from(remote), IpEndpoint::from(local));
        outcome.map_err(|error| anyhow!("smoltcp does not connect from {local} to {remote}: {error}"))?;
        let stream = Stream { handle, last: TcpState::SynSent, was_open: false };
        let socket = self.hold(Held::Stream(stream));
        self.flush()?;
        Ok(socket)
    }

    fn is_connected(&mut self, socket: Socket) -> Result<Result<bool, Failure>> {
        let stream = self.stream(socket)?;
        let tcp = self.tcp(stream.handle);
        Ok(stream.failure(tcp).map_or(Ok(stream.was_open && tcp.is_active()), Err))
    }

    fn send(&mut self, socket: Socket, data: &[u8]) -> Result<Result<usize, Failure>> {
        let stream = self.stream(socket)?;
        let tcp = self.tcp(stream.handle);
        if let Some(failure) = stream.failure(tcp) {
            return Ok(Err(failure));
        }
        let taken = match stream.was_open {
            true => tcp.send_slice(data).map_err(|_| Failure::Pipe),
            false => Ok(0),
        };
        self.flush()?;
        Ok(taken)
    }

    fn recv(&mut self, socket: Socket, buf: &mut [u8]) -> Result<Result<Read, Failure>> {
        let stream = self.stream(socket)?;
        let tcp = self.tcp(stream.handle);
        let read = match tcp.recv_slice(buf) {
            Ok(0) => Ok(Read::Nothing),
            Ok(len) => Ok(Read::Data(len)),
            Err(RecvError::Finished) => stream.failure(tcp).map_or(Ok(Read::End), Err),
            Err(RecvError::InvalidState) if !stream.was_open => stream.failure(tcp).map_or(Ok(Read::Nothing), Err),
            Err(RecvError::InvalidState) => Err(stream.failure(tcp).unwrap_or(Failure::Pipe)),
        };
        self.flush()?;
        Ok(read)
    }

    /// smoltcp bounds the silence, not the number of its probes.
    fn keep_alive(&mut self, socket: Socket, settings: KeepAlive) -> Result<()> {
        let KeepAlive { idle, interval, probes } = settings;
        let handle = self.stream(socket)?.handle;
        let silence = idle + interval * u32::from(probes.get());
        self.tcp(handle).set_keep_alive(Some(smoltcp_duration(idle)?));
        self.tcp(handle).set_timeout(Some(smoltcp_duration(silence)?));
        self.flush()
    }

    fn set_user_timeout(&mut self, socket: Socket, timeout: Duration) -> Result<()> {
        let handle = self.stream(socket)?.handle;
        self.tcp(handle).set_timeout(Some(smoltcp_duration(timeout)?));
        self.flush()
    }

    fn shutdown(&mut self, socket: Socket) -> Result<()> {
        let handle = self.stream(socket)?.handle;
        self.tcp(handle).close();
        self.flush()
    }

    /// The socket is smoltcp's from now on, until its connection has ended.
    fn close(&mut self, socket: Socket) -> Result<()> {
        let handle = self.take_stream(socket)?.handle;
        self.tcp(handle).close();
        self.flush()
    }

    fn abort(&mut self, socket: Socket) -> Result<()> {
        let handle = self.take_stream(socket)?.handle;
        self.tcp(handle).abort();
        self.flush()?;
        self.host.sockets.remove(handle);
        Ok(())
    }

    fn vanish(&mut self, socket: Socket) -> Result<()> {
        let handle = self.take_stream(socket)?.handle;
        self.host.sockets.remove(handle);
        Ok(())
    }

    /// Listeners begin anew as well: smoltcp hands a segment to the first of its sockets that takes it, so their order matters.
    fn drop_streams(&mut self) -> Result<()> {
        let handles: Vec<_> = self.handles().collect();
        for handle in &handles {
            self.tcp(*handle).abort();
        }
        self.wire.flush(&mut self.host)?;
        for handle in handles {
            self.host.sockets.remove(handle);
        }
        for held in &mut self.held {
            match held {
                Held::Listener { waiting, .. } => waiting.clear(),
                Held::Stream(_) => *held = Held::Gone,
                Held::Gone => {}
            }
        }
        self.flush()
    }

    fn listener_on(&self, port: u16) -> Option<Socket> {
        let is_here = |held: &Held| matches!(held, Held::Listener { local, .. } if local.port() == port);
        self.held.iter().position(is_here).map(Socket)
    }

    fn state(&mut self, port: u16, ours: SocketAddr) -> Result<State> {
        let sockets: Vec<_> = self.handles().map(|handle| self.host.sockets.get::<Tcp<'_>>(handle)).collect();
        let is_it = |socket: &&&Tcp<'_>| {
            let is_local = socket.local_endpoint().is_some_and(|local| local.port == port);
            is_local && socket.remote_endpoint().map(socket_addr) == Some(ours)
        };
        let found = sockets.iter().find(is_it).map(|socket| state_of(socket.state()));
        let is_listening = sockets.iter().any(|socket| socket.is_listening() && socket.listen_endpoint().port == port);
        Ok(match found {
            None | Some(State::Closed) if is_listening => State::Listen,
            found => found.unwrap_or(State::Closed),
        })
    }
}

fn state_of(state: TcpState) -> State {
    match state {
        TcpState::Closed => State::Closed,
        TcpState::Listen => State::Listen,
        TcpState::SynSent => State::SynSent,
        TcpState::SynReceived => State::SynReceived,
        TcpState::Established => State::Established,
        TcpState::FinWait1 => State::FinWait1,
        TcpState::FinWait2 => State::FinWait2,
        TcpState::CloseWait => State::CloseWait,
        TcpState::Closing => State::Closing,
        TcpState::LastAck => State::LastAck,
        TcpState::TimeWait => State::TimeWait,
    }
}

fn socket_addr(endpoint: IpEndpoint) -> SocketAddr {
    SocketAddr::new(endpoint.addr.into(), endpoint.port)
}

fn smoltcp_time(now: Instant) -> SmoltcpInstant {
    SmoltcpInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

fn smoltcp_duration(duration: Duration) -> Result<SmoltcpDuration> {
    let micros = u64::try_from(duration.as_micros()).context("smoltcp counts in 64 bits")?;
    Ok(SmoltcpDuration::from_micros(micros))
}

/// smoltcp's end of the wire.
#[derive(Default)]
struct Port {
    received: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

impl Device for Port {
    type RxToken<'t> = RxToken;
    type TxToken<'t> = TxToken<'t>;

    fn receive(&mut self, _now: SmoltcpInstant) -> Option<(RxToken, TxToken<'_>)> {
        let frame = self.received.pop_front()?;
        Some((RxToken(frame), TxToken(&mut self.sent)))
    }

    fn transmit(&mut self, _now: SmoltcpInstant) -> Option<TxToken<'_>> {
        Some(TxToken(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities
    }
}

struct RxToken(Vec<u8>);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct TxToken<'p>(&'p mut Vec<Vec<u8>>);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}
