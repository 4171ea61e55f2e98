//! Without Embassy: smoltcp beside the link, on one device. The link takes TCP, smoltcp answers the rest (ARP, neighbor solicitations, ping).

use core::mem;

use defmt::Display2Format;
use smoltcp::iface::{self, PollIngressSingleResult, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, RxToken};
use smoltcp::time::Instant as SmoltcpInstant;
use smoltcp::wire::{EthernetAddress, IpCidr};
use static_cell::ConstStaticCell;
use tcp_reset_core::link::{Interface, Link, Received};
use tcp_reset_core::{Instant, LinkAddr, Rule};

use super::lan9118::{Buffers, InitError, Lan9118, Room};

/// Where the board has its Ethernet.
const ETHERNET: usize = 0x4020_0000;

/// The device, and smoltcp, which answers what is not TCP.
pub struct Beside {
    device: Lan9118,
    ip: iface::Interface,
    was_up: bool,
}

impl Beside {
    /// Starts the board's Ethernet, and smoltcp on it with these addresses.
    ///
    /// # Errors
    /// If the chip does not answer.
    ///
    /// # Panics
    /// If it is called twice, or with more addresses than smoltcp has room for.
    pub fn start(addresses: &[Interface]) -> Result<Beside, InitError> {
        static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
        let buffers = BUFFERS.take();
        // SAFETY: the board has its Ethernet there, and nothing else uses it: there is one set of buffers.
        let mut device = unsafe { Lan9118::new(ETHERNET, buffers) }?;
        let config = iface::Config::new(EthernetAddress(device.address()).into());
        let mut ip = iface::Interface::new(config, &mut device, SmoltcpInstant::ZERO);
        ip.update_ip_addrs(|addrs| {
            addrs.extend(addresses.iter().map(|ours| IpCidr::new(ours.addr.into(), ours.prefix)));
        });
        Ok(Beside { device, ip, was_up: false })
    }

    /// Returns the board's address on the link.
    pub fn address(&self) -> LinkAddr {
        LinkAddr(self.device.address())
    }

    /// Takes in a frame, which is shown to the link first, and tells it when the cable is back: what was lost without it goes out again.
    /// Returns whether there was either; if not, the device interrupts when there is.
    pub fn receive(&mut self, link: &mut Link<'static>, now: Instant) -> bool {
        let Beside { device, ip, .. } = self;
        let at = SmoltcpInstant::from_micros_const(now.as_micros() as i64);
        let result = ip.poll_ingress_single(at, &mut BesideTcp { device, link, now }, &mut SocketSet::new(&mut [][..]));
        // The device has looked at what its interrupt told by now.
        if self.has_come_up() {
            link.restored(now);
            return true;
        }
        !matches!(result, PollIngressSingleResult::None)
    }

    /// Returns room for a frame of the link's; if there is none, the device interrupts when there is.
    pub fn transmit(&mut self) -> Option<Room<'_>> {
        self.device.transmit(SmoltcpInstant::ZERO)
    }

    /// Returns whether the cable was plugged in since the last call.
    fn has_come_up(&mut self) -> bool {
        let is_up = self.device.is_link_up();
        let was_up = mem::replace(&mut self.was_up, is_up);
        match (was_up, is_up) {
            (true, false) => defmt::warn!("link down"),
            (false, true) => {
                for addr in self.ip.ip_addrs() {
                    defmt::info!("address {}", Display2Format(addr));
                }
            }
            (true, true) | (false, false) => {}
        }
        is_up && !was_up
    }
}

/// The device as smoltcp sees it: every frame is shown to the link first, and what is TCP becomes an empty one, which smoltcp passes over.
struct BesideTcp<'a, D> {
    device: &'a mut D,
    link: &'a mut Link<'static>,
    now: Instant,
}

impl<D: Device> Device for BesideTcp<'_, D> {
    type RxToken<'t>
        = Shown<'t, D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = D::TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, at: SmoltcpInstant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (token, room) = self.device.receive(at)?;
        Some((Shown { token, link: self.link, now: self.now }, room))
    }

    fn transmit(&mut self, at: SmoltcpInstant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

struct Shown<'t, T> {
    token: T,
    link: &'t mut Link<'static>,
    now: Instant,
}

impl<T: RxToken> RxToken for Shown<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        self.token.consume(|frame| match self.link.handle_frame(self.now, frame) {
            Received::Taken(verdict) => {
                if verdict.rule == Rule::RstInWindow {
                    defmt::warn!("{}: challenged, the connection is untouched", verdict.rule);
                }
                f(&[])
            }
            Received::OtherTcp => f(&[]),
            Received::Observed | Received::NotMine => f(frame),
        })
    }
}
