//! An echo server on port 7 that knows no scheduler: `Link` takes TCP out of what the device receives, smoltcp answers the rest (ARP,
//! neighbor solicitations, ping). Both examples run it.
//!
//! | module | holds |
//! |---|---|
//! | `echo` | the application: what it does at each event |
//! | `beside` | smoltcp beside the link, on one device |

mod beside;
mod echo;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use defmt::Display2Format;
use firmware::mps2::lan9118::{Buffers, Lan9118};
use firmware::mps2::{clock, random};
use smoltcp::iface::{self, PollIngressSingleResult, SocketSet};
use smoltcp::phy::{Device, TxToken};
use smoltcp::time::Instant as SmoltcpInstant;
use smoltcp::wire::{EthernetAddress, IpCidr};
use static_cell::ConstStaticCell;
use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{
    ChecksumBy, Config, Instant, KeepAlive, LinkAddr, ListenOptions, SecretKey, Storage, StreamOptions, Tcp,
};

use self::beside::BesideTcp;

/// Where the board has its Ethernet.
const ETHERNET: usize = 0x4020_0000;
const ADDRESSES: [Interface; 2] = [
    Interface { addr: IpAddr::V4(Ipv4Addr::new(10, 69, 0, 2)), prefix: 24 },
    Interface { addr: IpAddr::V6(Ipv6Addr::new(0xfd10, 0x69, 0, 0, 0x54, 0x43ff, 0xfe50, 3)), prefix: 64 },
];
const ECHO: u16 = 7;
/// Frames taken in before everything else has its turn.
const FRAMES_PER_PASS: usize = 16;

static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
/// 4 connections, 1 listener, 8 handshakes, 8 in TIME-WAIT, and for each connection two buffers of 4 KiB.
static STORAGE: ConstStaticCell<Storage<4, 1, 8, 8, 32_768>> = ConstStaticCell::new(Storage::new());

/// The link, smoltcp beside it, and the device that both share.
pub struct Server {
    device: Lan9118,
    link: Link<'static>,
    ip: iface::Interface,
    was_up: bool,
}

impl Server {
    /// Starts the Ethernet and listens; to be called once.
    pub fn start() -> Server {
        // SAFETY: the board has its Ethernet there, and this is the only use of it.
        let Ok(mut device) = (unsafe { Lan9118::new(ETHERNET, BUFFERS.take()) }) else { defmt::panic!("no Ethernet") };
        let mac = device.address();
        let Ok(key) = SecretKey::new(random()) else { defmt::panic!("the random bytes are all equal") };
        let Ok(tcp) = Tcp::new(STORAGE.take(), Config::default(), key) else { defmt::panic!("a setting is wrong") };
        let mut link = Link::new(tcp, Medium::Ethernet(LinkAddr(mac)), ChecksumBy::Software);
        // An answer does not wait for the acknowledgment of the one before it; a client that is gone gives its slot back.
        let stream = StreamOptions { nagle: false, keep_alive: Some(KeepAlive::DEFAULT), ..StreamOptions::DEFAULT };
        let options = ListenOptions { stream, ..ListenOptions::default() };
        // Over IPv4 too.
        let local = SocketAddr::from((Ipv6Addr::UNSPECIFIED, ECHO));
        if let Err(error) = link.set_addresses(&ADDRESSES, []).and_then(|()| link.tcp().listen(local, options)) {
            defmt::panic!("cannot listen: {}", error);
        }
        let config = iface::Config::new(EthernetAddress(mac).into());
        let mut ip = iface::Interface::new(config, &mut device, SmoltcpInstant::ZERO);
        ip.update_ip_addrs(|addrs| addrs.extend(ADDRESSES.map(|ours| IpCidr::new(ours.addr.into(), ours.prefix))));
        Server { device, link, ip, was_up: false }
    }

    /// Does what is due, and sets the alarm for what is due next. To be called after each interrupt of the device and of the alarm.
    pub fn run(&mut self) {
        let now = Instant::from_micros(clock::now());
        clock::set_alarm(self.run_at(now).map_or(u64::MAX, Instant::as_micros));
    }

    /// Returns when it must be called again without an interrupt of the device.
    fn run_at(&mut self, now: Instant) -> Option<Instant> {
        self.link.handle_timeout(now);
        for _ in 0..FRAMES_PER_PASS {
            let has_news = self.receive(now) || self.has_come_up(now);
            // Last of all: where the device has no room, it is the one to interrupt when it has.
            self.send(now);
            if !has_news {
                return self.link.next_timeout(now).map(|(at, _why)| at);
            }
        }
        // More frames may wait.
        Some(now)
    }

    fn send(&mut self, now: Instant) {
        loop {
            match self.link.poll_output(now) {
                LinkOutput::Transmit(frame) => match self.device.transmit(SmoltcpInstant::ZERO) {
                    Some(room) => room.consume(frame.len(), |buf| _ = frame.emit(buf)),
                    None => return,
                },
                LinkOutput::Event(event) => echo::handle_event(self.link.tcp(), now, event),
                LinkOutput::Timeout(_) => return,
            }
        }
    }

    /// Takes in a frame. Returns whether there was one; if not, the device interrupts when there is.
    fn receive(&mut self, now: Instant) -> bool {
        let Server { device, link, ip, .. } = self;
        let at = SmoltcpInstant::from_micros_const(now.as_micros() as i64);
        let result = ip.poll_ingress_single(at, &mut BesideTcp { device, link, now }, &mut SocketSet::new(&mut [][..]));
        !matches!(result, PollIngressSingleResult::None)
    }

    /// Returns whether the cable was plugged in since the last call: what was lost without it goes out again.
    fn has_come_up(&mut self, now: Instant) -> bool {
        let is_up = self.device.is_link_up();
        let was_up = core::mem::replace(&mut self.was_up, is_up);
        if was_up && !is_up {
            defmt::warn!("link down");
        }
        if was_up || !is_up {
            return false;
        }
        for Interface { addr, prefix } in ADDRESSES {
            defmt::info!("address {}/{=u8}", Display2Format(&addr), prefix);
        }
        self.link.restored(now);
        true
    }
}
