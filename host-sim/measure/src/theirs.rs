//! smoltcp 0.14, driven as its documentation describes: `poll` processes all packets and writes all output, `poll_at` returns the deadline.

use std::hint::black_box;
use std::net::SocketAddr;

use smoltcp_0_14::iface::{self, Interface, SocketHandle, SocketSet};
use smoltcp_0_14::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp_0_14::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp_0_14::time::Instant;
use smoltcp_0_14::wire::{HardwareAddress, IpCidr, IpEndpoint};

use crate::packet::addr_of;
use crate::ring::{MTU, Ring};
use crate::stack::{Family, Host, Micros, Size, Stack};

/// smoltcp without `poll_at`, the cost that ours is compared with, although a device that sleeps calls it and ours includes the deadline.
pub(crate) type Theirs = Smoltcp<false>;
/// smoltcp with `poll_at` after each `poll`.
pub(crate) type TheirsAsked = Smoltcp<true>;

pub(crate) struct Smoltcp<const IS_ASKED: bool> {
    iface: Interface,
    sockets: SocketSet<'static>,
    size: Size,
    /// The current connection, or the listening socket that becomes it.
    socket: Option<SocketHandle>,
}

impl<const IS_ASKED: bool> Smoltcp<IS_ASKED> {
    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.socket.expect("there is a socket"))
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket.expect("there is a socket"))
    }

    /// Makes a closed socket the current one: the last, or a new one.
    fn take_closed_socket(&mut self) -> SocketHandle {
        if let Some(handle) = self.socket
            && !self.sockets.get::<Socket<'_>>(handle).is_open()
        {
            return handle;
        }
        let buffer = || SocketBuffer::new(vec![0; self.size.buffer()]);
        let handle = self.sockets.add(Socket::new(buffer(), buffer()));
        self.socket = Some(handle);
        handle
    }
}

impl<const IS_ASKED: bool> Stack for Smoltcp<IS_ASKED> {
    const NAME: &'static str = if IS_ASKED { "smoltcp-poll-at" } else { "smoltcp" };

    fn new(host: Host, size: Size) -> Self {
        let mut config = iface::Config::new(HardwareAddress::Ip);
        config.random_seed = host.0.into();
        let mut iface = Interface::new(config, &mut Wire::new(&mut Ring::new(1), &mut Ring::new(1)), Instant::ZERO);
        iface.update_ip_addrs(|addrs| {
            for family in Family::SPOKEN {
                let cidr = IpCidr::new(addr_of(family.addr(host)), family.prefix());
                addrs.push(cidr).expect("there is room for an address of each family");
            }
        });
        Smoltcp { iface, sockets: SocketSet::new(Vec::new()), size, socket: None }
    }

    fn listen(&mut self, port: u16) {
        let handle = self.take_closed_socket();
        self.sockets.get_mut::<Socket<'_>>(handle).listen(port).expect("the socket is closed");
    }

    fn connect(&mut self, _now: Micros, local: SocketAddr, remote: SocketAddr) {
        let handle = self.take_closed_socket();
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        socket.connect(self.iface.context(), endpoint(remote), endpoint(local)).expect("the socket is closed");
    }

    fn accept(&mut self, _now: Micros) -> bool {
        self.socket().state() == State::Established
    }

    fn is_readable(&mut self) -> bool {
        self.socket().can_recv() || !self.socket().may_recv()
    }

    fn send(&mut self, _now: Micros, data: &[u8]) -> usize {
        self.socket_mut().send_slice(data).unwrap_or(0)
    }

    fn recv(&mut self, _now: Micros, buf: &mut [u8]) -> usize {
        self.socket_mut().recv_slice(buf).unwrap_or(0)
    }

    fn close(&mut self, _now: Micros) {
        self.socket_mut().close();
    }

    fn is_over(&self) -> bool {
        !self.socket().is_open()
    }

    fn established(&self) -> usize {
        let is_established = |socket: &Socket<'_>| socket.state() == State::Established;
        let sockets = self.sockets.iter().map(|(handle, _)| self.sockets.get::<Socket<'_>>(handle));
        sockets.filter(|socket| is_established(socket)).count()
    }

    fn poll(&mut self, now: Micros, input: &mut Ring, output: &mut Ring) {
        let now = Instant::from_micros(now as i64);
        self.iface.poll(now, &mut Wire::new(input, output), &mut self.sockets);
        if IS_ASKED {
            black_box(self.iface.poll_at(now, &self.sockets));
        }
    }

    fn deadline(&mut self, now: Micros) -> Option<Micros> {
        let at = self.iface.poll_at(Instant::from_micros(now as i64), &self.sockets);
        at.map(|at| at.total_micros() as Micros)
    }
}

fn endpoint(addr: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(addr_of(addr.ip()), addr.port())
}

/// The rings as smoltcp's device.
struct Wire<'r> {
    input: &'r mut Ring,
    output: &'r mut Ring,
}

impl<'r> Wire<'r> {
    fn new(input: &'r mut Ring, output: &'r mut Ring) -> Wire<'r> {
        Wire { input, output }
    }
}

impl Device for Wire<'_> {
    type RxToken<'t>
        = RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let is_possible = self.input.front().is_some() && self.output.has_room();
        is_possible.then_some((RxToken(self.input), TxToken(self.output)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        self.output.has_room().then_some(TxToken(self.output))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

struct RxToken<'r>(&'r mut Ring);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let result = read(self.0.front().unwrap_or(&[]));
        self.0.pop();
        result
    }
}

struct TxToken<'r>(&'r mut Ring);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let free = self.0.free().expect("a token is given only where there is room");
        let result = write(&mut free[..len]);
        self.0.push(len);
        result
    }
}
