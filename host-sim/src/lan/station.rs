//! A host on the network: the kernel's TCP in a network namespace of its own, or this stack.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tcp_reset_core::{
    Config, ConnectionHandle, Error, Instant, ListenOptions, ListenerHandle, MAX_BUFFER, Status, Storage, StreamOptions,
};

use crate::endpoint::{Endpoint, MAX_FRAME};
use crate::family::Family;
use crate::kernel::{self, KernelListener, KernelStream, Namespace, Network, Progress, SocketSettings, Wire};

/// The place of a station among all.
pub(crate) type Place = usize;

pub(crate) const LINUX_SENDER: Place = 0;
pub(crate) const LINUX_RECEIVER: Place = 1;
pub(crate) const OUR_SENDER: Place = 2;
pub(crate) const OUR_RECEIVER: Place = 3;
pub(super) const STATIONS: usize = 4;

/// Connections that a station has at one time, at most.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// As many listeners: each flow has its own.
type Board =
    Storage<MAX_CONNECTIONS, MAX_CONNECTIONS, MAX_CONNECTIONS, MAX_CONNECTIONS, { 2 * MAX_CONNECTIONS * MAX_BUFFER }>;

const FAMILY: Family = Family::Ipv4;

/// What the stations are.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    /// Of this stack.
    pub(crate) config: Config,
    /// Linux's congestion control. It has a name, since systems have different defaults.
    pub(crate) congestion_control: &'static str,
}

/// Send and receive buffers, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    /// This stack's: powers of two.
    pub(crate) ours: usize,
    /// The kernel's send buffers, and its largest windows; `None`: it tunes them.
    pub(crate) linux: Option<u32>,
}

/// Where a sender stands.
pub(crate) enum Standing {
    Ours(Status),
    Linux(Progress),
}

pub(super) enum Station {
    Linux(Linux),
    Ours(Box<Ours>),
}

pub(super) struct Linux {
    namespace: Namespace,
    wire: Wire,
    congestion_control: &'static str,
}

pub(super) struct Ours {
    endpoint: Endpoint,
    due: Option<Instant>,
}

pub(super) enum Listener {
    Linux(KernelListener),
    Ours(ListenerHandle),
}

pub(super) enum Socket {
    Linux(KernelStream),
    Ours(ConnectionHandle),
}

/// Lays out the network: two namespaces, and two engines.
///
/// # Errors
/// If the namespaces or the devices cannot be had.
pub(super) fn lay(settings: Settings) -> Result<[Station; STATIONS]> {
    kernel::enter()?;
    let sender = Linux::new(LINUX_SENDER, Namespace::current()?, settings)?;
    let receiver = Linux::new(LINUX_RECEIVER, Namespace::another()?, settings)?;
    let ours = |place| Ours::new(place, settings).map(Box::new).map(Station::Ours);
    Ok([Station::Linux(sender), Station::Linux(receiver), ours(OUR_SENDER)?, ours(OUR_RECEIVER)?])
}

pub(super) fn addr_of(place: Place) -> IpAddr {
    FAMILY.host(place as u8 + 1)
}

fn our_mac(place: Place) -> [u8; 6] {
    [0x02, 0, 0, 0, 0, place as u8 + 1]
}

impl Linux {
    fn new(place: Place, namespace: Namespace, settings: Settings) -> Result<Linux> {
        let network = Network { kernel: addr_of(place), ours: addr_of(OUR_SENDER), prefix: FAMILY.prefix() };
        let wire = Wire::open(&network, our_mac(OUR_SENDER), None)?;
        // What one path was like says nothing of the next.
        kernel::set_net_sysctl("ipv4/tcp_no_metrics_save", "1")
            .context("cannot make the kernel forget paths (/proc/sys must be writable)")?;
        Ok(Linux { namespace, wire, congestion_control: settings.congestion_control })
    }

    fn settings(&self, buffers: Buffers) -> SocketSettings {
        SocketSettings { buffer: buffers.linux, congestion_control: Some(self.congestion_control) }
    }

    fn send(&mut self, frame: &[u8]) -> Result<()> {
        match self.wire.send(frame) {
            // Lost, as on any Ethernet whose receiver is overrun.
            Err(error) if kernel::is_overrun(&error) => Ok(()),
            sent => sent.context("cannot put a frame on the wire"),
        }
    }
}

impl Ours {
    fn new(place: Place, settings: Settings) -> Result<Ours> {
        let storage: &'static mut Board = Box::leak(Box::new(Board::new()));
        let endpoint = Endpoint::boot_on(storage, addr_of(place), FAMILY.prefix(), our_mac(place), settings.config)?;
        Ok(Ours { endpoint, due: None })
    }

    fn stream(buffers: Buffers) -> StreamOptions {
        StreamOptions { rx_buffer: buffers.ours, tx_buffer: buffers.ours, ..StreamOptions::default() }
    }
}

impl Socket {
    /// Holds the kernel's window to the buffer; ours is.
    pub(super) fn clamp_window(&self, buffers: Buffers) -> Result<()> {
        match (self, buffers.linux) {
            (Socket::Linux(stream), Some(bytes)) => {
                stream.clamp_window(bytes).context("the kernel does not hold its window")
            }
            (Socket::Linux(_), None) | (Socket::Ours(_), _) => Ok(()),
        }
    }
}

fn instant(now: Duration) -> Instant {
    Instant::ZERO + now
}

/// A call that has nothing to do yet.
fn unless_blocked<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Err(Error::WouldBlock) => Ok(None),
        other => other.map(Some),
    }
}

impl Station {
    pub(super) fn mac(&self) -> [u8; 6] {
        match self {
            Station::Linux(linux) => linux.wire.kernel_mac(),
            Station::Ours(ours) => ours.endpoint.mac(),
        }
    }

    /// Returns the wire to the kernel, where there is one.
    pub(super) fn wire(&self) -> Option<&Wire> {
        match self {
            Station::Linux(linux) => Some(&linux.wire),
            Station::Ours(_) => None,
        }
    }

    /// Returns when it wants to send something, whatever comes.
    pub(super) fn due(&self) -> Option<Duration> {
        match self {
            Station::Linux(_) => None,
            Station::Ours(ours) => ours.due.map(|due| Duration::from_micros(due.as_micros())),
        }
    }

    /// Hands it a frame; returns the answer to a question for its Ethernet address.
    pub(super) fn handle_frame(&mut self, now: Duration, frame: &[u8]) -> Result<Option<Vec<u8>>> {
        match self {
            Station::Linux(linux) => linux.send(frame).map(|()| None),
            Station::Ours(ours) => {
                let (_received, answer) = ours.endpoint.receive(instant(now), frame);
                Ok(answer.map(|answer| answer.bytes))
            }
        }
    }

    /// Takes what it has sent.
    pub(super) fn take_frames(&mut self, now: Duration, mut take: impl FnMut(&[u8])) -> Result<()> {
        match self {
            Station::Linux(linux) => {
                let mut buf = [0; MAX_FRAME];
                while let Some(len) = linux.wire.recv(&mut buf).context("cannot take a frame off the wire")? {
                    take(&buf[..len]);
                }
            }
            Station::Ours(ours) => {
                let drained = ours.endpoint.drain(instant(now))?;
                ours.due = drained.next;
                drained.frames.iter().for_each(|frame| take(&frame.bytes));
            }
        }
        Ok(())
    }

    pub(super) fn listen(&mut self, place: Place, port: u16, buffers: Buffers) -> Result<Listener> {
        let at = SocketAddr::new(addr_of(place), port);
        match self {
            Station::Linux(linux) => {
                linux.namespace.enter()?;
                let listener = KernelListener::bind_with(at, 1, &linux.settings(buffers));
                listener.map(Listener::Linux).context("the kernel cannot listen")
            }
            Station::Ours(ours) => {
                let options = ListenOptions { stream: Ours::stream(buffers), backlog: 1, ..ListenOptions::default() };
                let listener = ours.endpoint.tcp().listen(at, options);
                listener.map(Listener::Ours).context("our stack cannot listen")
            }
        }
    }

    pub(super) fn connect(
        &mut self,
        now: Duration,
        place: Place,
        remote: SocketAddr,
        buffers: Buffers,
    ) -> Result<Socket> {
        match self {
            Station::Linux(linux) => {
                linux.namespace.enter()?;
                let local = SocketAddr::new(addr_of(place), 0);
                let stream = KernelStream::connect_with(local, remote, &linux.settings(buffers));
                stream.map(Socket::Linux).context("the kernel opens no connection")
            }
            Station::Ours(ours) => {
                let handle = ours.endpoint.link().connect(instant(now), 0, remote, Ours::stream(buffers));
                handle.map(Socket::Ours).context("our stack opens no connection")
            }
        }
    }

    /// Takes the connection that a listener has got, if it has.
    pub(super) fn accept(&mut self, now: Duration, listener: &Listener) -> Result<Option<Socket>> {
        match (self, listener) {
            (Station::Ours(ours), Listener::Ours(listener)) => {
                let accepted = unless_blocked(ours.endpoint.tcp().accept(instant(now), *listener));
                Ok(accepted.context("our stack cannot accept")?.map(Socket::Ours))
            }
            (_, Listener::Linux(listener)) => Ok(listener.accept()?.map(Socket::Linux)),
            (Station::Linux(_), Listener::Ours(_)) => unreachable!("a listener stays at its station"),
        }
    }

    /// Queues as much of `data` as there is room for; returns the number of bytes.
    pub(super) fn send(&mut self, now: Duration, socket: &Socket, data: &[u8]) -> Result<usize> {
        let sent = match (self, socket) {
            (Station::Ours(ours), Socket::Ours(handle)) => {
                unless_blocked(ours.endpoint.tcp().send(instant(now), *handle, data))?
            }
            (_, Socket::Linux(stream)) => stream.send(data)?,
            (Station::Linux(_), Socket::Ours(_)) => unreachable!("a socket stays at its station"),
        };
        Ok(sent.unwrap_or(0))
    }

    /// Reads what is there; returns the number of bytes, 0 if there are none.
    pub(super) fn recv(&mut self, now: Duration, socket: &Socket, buf: &mut [u8]) -> Result<usize> {
        let received = match (self, socket) {
            (Station::Ours(ours), Socket::Ours(handle)) => {
                unless_blocked(ours.endpoint.tcp().recv(instant(now), *handle, buf))?
            }
            (_, Socket::Linux(stream)) => stream.recv(buf)?,
            (Station::Linux(_), Socket::Ours(_)) => unreachable!("a socket stays at its station"),
        };
        // Nobody closes: an end of the stream cannot come.
        Ok(received.unwrap_or(0))
    }

    /// Returns where a sender stands.
    pub(super) fn standing(&mut self, socket: &Socket) -> Result<Standing> {
        match (self, socket) {
            (Station::Ours(ours), Socket::Ours(handle)) => Ok(Standing::Ours(ours.endpoint.tcp().status(*handle)?)),
            (_, Socket::Linux(stream)) => Ok(Standing::Linux(stream.progress()?)),
            (Station::Linux(_), Socket::Ours(_)) => unreachable!("a socket stays at its station"),
        }
    }

    /// Ends a connection by a reset.
    pub(super) fn abort(&mut self, now: Duration, socket: Socket) -> io::Result<()> {
        match (self, socket) {
            (Station::Ours(ours), Socket::Ours(handle)) => {
                // It may have ended by itself.
                let _ = ours.endpoint.tcp().abort(instant(now), handle);
                Ok(())
            }
            (_, Socket::Linux(stream)) => stream.abort(),
            (Station::Linux(_), Socket::Ours(_)) => unreachable!("a socket stays at its station"),
        }
    }

    pub(super) fn unlisten(&mut self, now: Duration, listener: Listener) {
        if let (Station::Ours(ours), Listener::Ours(listener)) = (self, listener) {
            // The handle is this listener's, which nobody else closes.
            let _ = ours.endpoint.tcp().unlisten(instant(now), listener);
        }
    }
}
