//! smoltcp 0.14, driven as its documentation describes: `poll_ingress_single` processes a packet, `poll` writes all output, `poll_at` returns
//! the deadline.

use std::net::Ipv4Addr;

use anyhow::{Result, anyhow, bail};
use smoltcp_0_14::iface::{self, Interface, SocketHandle, SocketSet};
use smoltcp_0_14::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp_0_14::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp_0_14::time::Instant;
use smoltcp_0_14::wire::{HardwareAddress, IpCidr};

use crate::path::{MTU, Time};
use crate::stack::{ConnectionEnded, End, Outbox, PORT, PREFIX, RECEIVER, SENDER_PORT, Stack, addr_of};

pub(crate) struct Smoltcp {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Smoltcp {
    /// Boots a stack that begins to open a connection, or listens.
    pub(crate) fn new(end: End, buffer: usize, control: CongestionControl) -> Result<Smoltcp> {
        let mut config = iface::Config::new(HardwareAddress::Ip);
        // It decides on the initial sequence number alone.
        config.random_seed = addr_of(end)[3].into();
        let mut interface = Interface::new(config, &mut Wire::new(None, &mut Outbox::default()), Instant::ZERO);
        let mut is_placed = false;
        interface.update_ip_addrs(|addrs| {
            is_placed = addrs.push(IpCidr::new(Ipv4Addr::from(addr_of(end)).into(), PREFIX)).is_ok();
        });
        if !is_placed {
            bail!("smoltcp has no place for an address");
        }
        let buffer = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_congestion_control(control);
        match end {
            End::Sender => {
                let remote = (Ipv4Addr::from(RECEIVER), PORT);
                let opened = socket.connect(interface.context(), remote, SENDER_PORT);
                opened.map_err(|error| anyhow!("smoltcp opens no connection: {error}"))?;
            }
            End::Receiver => socket.listen(PORT).map_err(|error| anyhow!("smoltcp does not listen: {error}"))?,
        }
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Ok(Smoltcp { interface, sockets, socket })
    }

    /// smoltcp names no reason.
    fn check(&self) -> Result<()> {
        match self.socket().is_open() {
            true => Ok(()),
            false => bail!(ConnectionEnded(String::new())),
        }
    }

    fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.socket)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }
}

impl Stack for Smoltcp {
    fn handle_packet(&mut self, now: Time, packet: &[u8], output: &mut Outbox) -> Result<()> {
        let mut wire = Wire::new(Some(packet), output);
        self.interface.poll_ingress_single(instant(now), &mut wire, &mut self.sockets);
        self.check()
    }

    fn poll(&mut self, now: Time, output: &mut Outbox) -> Result<()> {
        self.interface.poll(instant(now), &mut Wire::new(None, output), &mut self.sockets);
        self.check()
    }

    fn deadline(&mut self, now: Time) -> Option<Time> {
        let at = self.interface.poll_at(instant(now), &self.sockets)?;
        // Zero stands for at once.
        Some(Time::from_micros(u64::try_from(at.total_micros()).unwrap_or(0)))
    }

    fn is_connected(&self) -> bool {
        self.socket().state() == State::Established
    }

    fn send(&mut self, _now: Time, data: &[u8]) -> usize {
        self.socket_mut().send_slice(data).unwrap_or(0)
    }

    fn recv(&mut self, _now: Time, buf: &mut [u8]) -> usize {
        self.socket_mut().recv_slice(buf).unwrap_or(0)
    }
}

fn instant(time: Time) -> Instant {
    Instant::from_micros(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// One packet in, any number out.
struct Wire<'w> {
    input: Option<&'w [u8]>,
    output: &'w mut Outbox,
}

impl<'w> Wire<'w> {
    fn new(input: Option<&'w [u8]>, output: &'w mut Outbox) -> Wire<'w> {
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
        self.input.take().map(|packet| (RxToken(packet), TxToken(self.output)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        Some(TxToken(self.output))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

struct RxToken<'w>(&'w [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

struct TxToken<'w>(&'w mut Outbox);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.0.push_with(len, |buf| (len, write(buf)))
    }
}
