//! The server on smoltcp.

use core::net::IpAddr;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::held::Held;
use crate::wire::{MTU, Packet, Wire};
use crate::{ADDRESSES, BUFFER, PORT};

/// One socket, which is the listener too.
pub type Sockets = [SocketStorage<'static>; 1];
/// The socket before it is used.
pub const SOCKETS: Sockets = [SocketStorage::EMPTY];
/// A connection's two buffers. Zeros, and apart from the socket, which is not: they take no flash.
pub type Buffers = [[u8; BUFFER]; 2];

/// The server.
pub struct Echo {
    iface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    held: Held,
}

impl Echo {
    /// Makes a server that listens; `None` if it has more addresses than smoltcp has room for.
    pub fn new(
        sockets: &'static mut Sockets,
        [rx, tx]: &'static mut Buffers,
        wire: &mut Wire,
        random: [u8; 8],
    ) -> Option<Echo> {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = u64::from_le_bytes(random);
        let mut iface = Interface::new(config, wire, instant(wire.now));
        let mut is_room = true;
        iface.update_ip_addrs(|addrs| {
            for (addr, prefix) in ADDRESSES {
                is_room &= addrs.push(IpCidr::new(addr_of(*addr), *prefix)).is_ok();
            }
        });
        let mut sockets = SocketSet::new(&mut sockets[..]);
        let socket = sockets.add(Socket::new(SocketBuffer::new(&mut rx[..]), SocketBuffer::new(&mut tx[..])));
        let mut echo = Echo { iface, sockets, socket, held: Held::EMPTY };
        echo.echo();
        is_room.then_some(echo)
    }

    /// Takes what came, does what is due, and sends what there is room for.
    pub fn step(&mut self, wire: &mut Wire) {
        let now = instant(wire.now);
        self.iface.poll(now, wire, &mut self.sockets);
        self.echo();
        let at = self.iface.poll_at(now, &self.sockets);
        wire.wake_at = at.map(|at| at.total_micros() as u64);
    }

    /// Sends back until there is nothing to receive, or no room.
    fn echo(&mut self) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        if !socket.is_open() {
            self.held.clear();
            // The socket is closed, and the port not 0.
            let _listens = socket.listen(PORT);
            return;
        }
        loop {
            if self.held.is_empty() {
                match socket.recv_slice(self.held.room()) {
                    Err(RecvError::Finished) => return socket.close(),
                    Ok(0) | Err(RecvError::InvalidState) => return,
                    Ok(len) => self.held.received(len),
                }
            }
            match socket.send_slice(self.held.rest()) {
                Ok(0) | Err(_) => return,
                Ok(len) => self.held.sent(len),
            }
        }
    }
}

pub(crate) fn addr_of(addr: IpAddr) -> IpAddress {
    match addr {
        IpAddr::V4(addr) => addr.into(),
        #[cfg(feature = "ipv6")]
        IpAddr::V6(addr) => addr.into(),
        #[cfg(not(feature = "ipv6"))]
        IpAddr::V6(_) => core::net::Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn instant(micros: u64) -> Instant {
    Instant::from_micros(micros as i64)
}

impl Device for Wire {
    type RxToken<'t> = RxToken<'t>;
    type TxToken<'t> = TxToken<'t>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let is_possible = self.received.len > 0 && self.sent.len == 0;
        is_possible.then_some((RxToken(&mut self.received), TxToken(&mut self.sent)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        (self.sent.len == 0).then_some(TxToken(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// The packet that came last.
pub struct RxToken<'w>(&'w mut Packet);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let result = read(self.0.get().unwrap_or_default());
        self.0.len = 0;
        result
    }
}

/// The place of the packet that goes next.
pub struct TxToken<'w>(&'w mut Packet);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.len = len;
        write(&mut self.0.bytes[..len])
    }
}
