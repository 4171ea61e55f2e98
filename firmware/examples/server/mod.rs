//! An echo server on port 7 that knows no scheduler. Both examples run it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use embassy_net_driver::TxToken;
use firmware::mps2::{beside::Beside, clock, random};
use static_cell::ConstStaticCell;
use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{
    ChecksumBy, Config, ConnectionHandle, Event, Instant, KeepAlive, ListenOptions, SecretKey, Storage, StreamOptions,
    Tcp,
};

const ADDRESSES: [Interface; 2] = [
    Interface { addr: IpAddr::V4(Ipv4Addr::new(10, 69, 0, 2)), prefix: 24 },
    Interface { addr: IpAddr::V6(Ipv6Addr::new(0xfd10, 0x69, 0, 0, 0x54, 0x43ff, 0xfe50, 3)), prefix: 64 },
];

/// 4 connections, 1 listener, 8 handshakes, 8 in TIME-WAIT, and for each connection two buffers of 4 KiB.
static STORAGE: ConstStaticCell<Storage<4, 1, 8, 8, 32_768>> = ConstStaticCell::new(Storage::new());

/// The link, and the device with smoltcp beside it.
pub struct Server {
    link: Link<'static>,
    beside: Beside,
}

impl Server {
    /// Starts the Ethernet and listens; to be called once.
    pub fn start() -> Server {
        let Ok(beside) = Beside::start(&ADDRESSES) else { defmt::panic!("no Ethernet") };
        let Ok(key) = SecretKey::new(random()) else { defmt::panic!("the random bytes are all equal") };
        let Ok(tcp) = Tcp::new(STORAGE.take(), Config::default(), key) else { defmt::panic!("a setting is wrong") };
        let mut link = Link::new(tcp, Medium::Ethernet(beside.address()), ChecksumBy::Software);
        // An answer does not wait for the acknowledgment of the one before it; a client that is gone gives its slot back.
        let stream = StreamOptions { nagle: false, keep_alive: Some(KeepAlive::DEFAULT), ..StreamOptions::DEFAULT };
        let options = ListenOptions { stream, ..ListenOptions::default() };
        // Over IPv4 too.
        let local = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 7));
        if let Err(error) = link.set_addresses(&ADDRESSES, []).and_then(|()| link.tcp().listen(local, options)) {
            defmt::panic!("cannot listen: {}", error);
        }
        Server { link, beside }
    }

    /// Does what is due, and sets the alarm for what is due next. To be called after each interrupt of the device and of the alarm.
    pub fn run(&mut self) {
        let now = Instant::from_micros(clock::now());
        self.link.handle_timeout(now);
        // After as many frames everything else has its turn.
        for _ in 0..16 {
            let has_news = self.beside.receive(&mut self.link, now);
            // Last of all: where the device has no room, it is the one to interrupt when it has.
            self.send(now);
            if !has_news {
                let next = self.link.next_timeout(now);
                return clock::set_alarm(next.map_or(u64::MAX, |(at, _why)| at.as_micros()));
            }
        }
        clock::set_alarm(now.as_micros());
    }

    fn send(&mut self, now: Instant) {
        loop {
            match self.link.poll_output(now) {
                LinkOutput::Transmit(frame) => match self.beside.transmit() {
                    Some(room) => room.consume(frame.len(), |buf| _ = frame.emit(buf)),
                    None => return,
                },
                LinkOutput::Event(event) => handle_event(self.link.tcp(), now, event),
                LinkOutput::Timeout(_) => return,
            }
        }
    }
}

/// The application: everything that comes is sent back.
fn handle_event(tcp: &mut Tcp<'_>, now: Instant, event: Event) {
    match event {
        Event::Acceptable(listener) => while tcp.accept(now, listener).is_ok() {},
        Event::Readable(c) | Event::Writable(c) | Event::PeerFinished(c) => echo(tcp, now, c),
        Event::Closed(c, reason) => {
            defmt::info!("connection ended: {}", reason);
            _ = tcp.close(now, c);
        }
        Event::Connected(_) | Event::Stalled(_) | Event::LostPeer(..) => {}
    }
}

/// Sends back what came, and closes when the peer has. An event tells when to go on.
fn echo(tcp: &mut Tcp<'_>, now: Instant, c: ConnectionHandle) {
    let mut buf = [0; 512];
    // Reads no more than can be sent back, so that nothing is lost.
    while let Ok(status) = tcp.status(c) {
        let room = status.writable.min(buf.len());
        match tcp.recv(now, c, &mut buf[..room]) {
            Ok(0) if room > 0 => return tcp.close(now, c).unwrap_or(()),
            Ok(0) | Err(_) => return,
            Ok(n) => _ = tcp.send(now, c, &buf[..n]),
        }
    }
}
