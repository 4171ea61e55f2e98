//! The kernel's own TCP sockets, as the peer of our stack. None of them blocks.

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use nix::sys::socket::sockopt::TcpRepair;
use nix::sys::socket::{getsockopt, setsockopt};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::nonblocking::unless_blocked;
use super::state::from_kernel;
use tcp_reset_core::State;

sockopt_impl!(
    /// The first byte of the kernel's `tcp_info`: the state's number. The
    /// kernel gives as much of the record as is asked for.
    TcpInfoState,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    u8
);

sockopt_impl!(
    /// The record as far as the C library knows it.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info
);

/// Where a connection of the kernel's stands as a sender (`tcp_info`).
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Segments that may be in flight.
    pub congestion_window: u32,
    /// The threshold of slow start, in segments.
    pub slow_start_threshold: u32,
    /// Segments that are not acknowledged.
    pub flight: u32,
    /// The largest payload of a segment, in bytes.
    pub mss: u32,
    /// Segments sent again so far.
    pub retransmissions: u32,
    /// The smoothed round-trip time.
    pub round_trip_time: Duration,
}

sockopt_impl!(
    /// The largest window that the kernel offers, in bytes.
    TcpWindowClamp,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_WINDOW_CLAMP,
    u32
);

/// Bytes of SO_RCVBUF for each byte of window: the kernel counts whole pages, of which a segment fills a part, and drops what is beyond.
const RECV_SPACE_PER_BYTE: usize = 4;

/// What a socket is given before it listens or connects.
#[derive(Clone, Copy, Default, Debug)]
pub struct SocketSettings {
    /// Bytes of the send buffer (SO_SNDBUF) and of the largest window offered (TCP_WINDOW_CLAMP), with as much space behind it as that needs.
    /// `None`: the kernel tunes both.
    pub buffer: Option<u32>,
    /// Name of the congestion control (TCP_CONGESTION). `None`: the namespace's.
    pub congestion_control: Option<&'static str>,
}

impl SocketSettings {
    fn apply(&self, socket: &Socket) -> io::Result<()> {
        let SocketSettings { buffer, congestion_control } = self;
        if let Some(bytes) = *buffer {
            socket.set_send_buffer_size(bytes as usize)?;
            socket.set_recv_buffer_size(RECV_SPACE_PER_BYTE * bytes as usize)?;
            setsockopt(socket, TcpWindowClamp, &bytes)?;
        }
        congestion_control.map_or(Ok(()), |name| socket.set_tcp_congestion(name.as_bytes()))
    }
}

/// A listening socket of the kernel's.
#[derive(Debug)]
pub struct KernelListener {
    socket: Socket,
}

impl KernelListener {
    /// Listens on `addr`, with room for `backlog` connections not accepted yet.
    /// The port may have connections left over from an earlier listener.
    pub fn bind(addr: SocketAddr, backlog: u16) -> io::Result<Self> {
        Self::bind_with(addr, backlog, &SocketSettings::default())
    }

    /// As [`KernelListener::bind`], with settings that its connections inherit.
    pub fn bind_with(addr: SocketAddr, backlog: u16, settings: &SocketSettings) -> io::Result<Self> {
        let socket = bound_socket(addr)?;
        settings.apply(&socket)?;
        socket.listen(backlog.into())?;
        Ok(Self { socket })
    }

    /// Takes the next connection, `None` if there is none yet.
    pub fn accept(&self) -> io::Result<Option<KernelStream>> {
        let Some((socket, _)) = unless_blocked(self.socket.accept())? else {
            return Ok(None);
        };
        socket.set_nonblocking(true)?;
        Ok(Some(KernelStream { socket }))
    }
}

/// A connection of the kernel's.
#[derive(Debug)]
pub struct KernelStream {
    socket: Socket,
}

impl KernelStream {
    /// Starts a connection from `local`, whose port may be 0 for any, to
    /// `remote`. [`KernelStream::is_connected`] tells when it is there.
    pub fn connect(local: SocketAddr, remote: SocketAddr) -> io::Result<Self> {
        Self::start(bound_socket(local)?, remote)
    }

    /// As [`KernelStream::connect`], with settings.
    pub fn connect_with(local: SocketAddr, remote: SocketAddr, settings: &SocketSettings) -> io::Result<Self> {
        let socket = bound_socket(local)?;
        settings.apply(&socket)?;
        Self::start(socket, remote)
    }

    /// As [`KernelStream::connect`], with a receive buffer of `bytes` from the
    /// SYN on: set later, it comes too late for the window scale.
    pub fn connect_with_recv_buffer(local: SocketAddr, remote: SocketAddr, bytes: usize) -> io::Result<Self> {
        let socket = bound_socket(local)?;
        socket.set_recv_buffer_size(bytes)?;
        Self::start(socket, remote)
    }

    fn start(socket: Socket, remote: SocketAddr) -> io::Result<Self> {
        match socket.connect(&remote.into()) {
            Ok(()) => Ok(Self { socket }),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(Self { socket }),
            Err(error) => Err(error),
        }
    }

    /// Returns the kernel's own address and port.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.socket.local_addr()?)
    }

    /// Returns the other side's address and port; an error unless connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.socket.peer_addr()?)
    }

    /// Returns whether the connection has been made and not ended. Errors are
    /// the connection's own, such as `ECONNREFUSED` or `ECONNRESET`; the kernel
    /// tells each once, here or to whichever call comes first.
    pub fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        Ok(self.state()?.is_synchronized())
    }

    /// Returns data to send, returns how many bytes were taken, `None` if the
    /// buffer has no room now.
    pub fn send(&self, data: &[u8]) -> io::Result<Option<usize>> {
        unless_blocked(self.socket.send_with_flags(data, libc::MSG_NOSIGNAL))
    }

    /// Takes data received, `None` if there is none yet, 0 at its end.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked((&self.socket).read(buf))
    }

    /// Has the kernel send a keepalive probe after `idle`, then one every
    /// `interval`, `probes` in all (SO_KEEPALIVE). Whole seconds, one at least.
    pub fn keep_alive(&self, idle: Duration, interval: Duration, probes: u32) -> io::Result<()> {
        let settings = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(probes);
        self.socket.set_tcp_keepalive(&settings)
    }

    /// Bounds how long what was sent may stay unacknowledged, or wait for a
    /// window, before the connection ends (TCP_USER_TIMEOUT). Milliseconds.
    pub fn set_user_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.socket.set_tcp_user_timeout(Some(timeout))
    }

    /// Bounds the window that is offered, in bytes (TCP_WINDOW_CLAMP). The
    /// kernel forgets it when it learns how much memory segments take: to be
    /// called again after data has come.
    pub fn clamp_window(&self, bytes: u32) -> io::Result<()> {
        setsockopt(&self.socket, TcpWindowClamp, &bytes).map_err(io::Error::from)
    }

    /// Ends our direction: the kernel sends what it has, then a FIN.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Closes as programs do: FIN after the data, or a RST if received data was
    /// never read. Dropping does the same.
    pub fn close(self) {
        drop(self);
    }

    /// Aborts: the kernel sends a RST and forgets.
    pub fn abort(self) -> io::Result<()> {
        self.socket.set_linger(Some(Duration::ZERO))
    }

    /// Forgets the connection without a segment, as a host that lost power.
    /// On an error the connection is closed in the usual way instead.
    pub fn vanish(self) -> io::Result<()> {
        // A socket under repair is torn down in silence. Needs CAP_NET_ADMIN in
        // the namespace, which whoever made it has.
        setsockopt(&self.socket, TcpRepair, &1).map_err(io::Error::from)
    }

    /// Returns the state of the socket. One still open reads CLOSED when the
    /// kernel has moved its connection to TIME-WAIT; for that, ask
    /// [`kernel_state_of`](super::kernel_state_of).
    pub fn state(&self) -> io::Result<State> {
        from_kernel(getsockopt(&self.socket, TcpInfoState)?)
    }

    /// Returns where the connection stands as a sender.
    pub fn progress(&self) -> io::Result<Progress> {
        let info = getsockopt(&self.socket, TcpInfo)?;
        Ok(Progress {
            congestion_window: info.tcpi_snd_cwnd,
            slow_start_threshold: info.tcpi_snd_ssthresh,
            flight: info.tcpi_unacked,
            mss: info.tcpi_snd_mss,
            retransmissions: info.tcpi_total_retrans,
            round_trip_time: Duration::from_micros(info.tcpi_rtt.into()),
        })
    }

    /// Takes the connection's error, if there is one that was not told yet.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }
}

/// A socket bound to `addr`, also if a past connection lingers on its port.
fn bound_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn ip(address: &SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::other("the kernel gave a TCP socket another kind of address"))
}
