//! The server on tcp-reset-core.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(any(feature = "deadlines", feature = "eviction"))]
use core::time::Duration;

use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{
    ChecksumBy, Config, ConnectionHandle, Event, Instant, ListenOptions, SecretKey, Storage, StreamOptions, Tcp,
};
#[cfg(feature = "eviction")]
use tcp_reset_core::{EvictBy, Eviction};

use crate::held::Held;
use crate::wire::Wire;
use crate::{ADDRESSES, BUFFER, PORT};

/// One connection, one listener, one handshake, one TIME-WAIT, two buffers.
pub type Memory = Storage<1, 1, 1, 1, { 2 * BUFFER }>;

/// What a reset leaves alone, for twice as many connections.
#[cfg(feature = "journal")]
#[cfg_attr(target_os = "none", unsafe(link_section = ".uninit.JOURNAL"))]
static JOURNAL: tcp_reset_core::Journal<2> = tcp_reset_core::Journal::new();

/// Bytes that each further connection takes without its buffers.
pub const CONNECTION: usize = (size_of::<Storage<3, 0, 1, 1, 0>>() - size_of::<Storage<1, 0, 1, 1, 0>>()) / 2;

/// The server.
pub struct Echo<'m> {
    link: Link<'m>,
    held: Held,
}

impl<'m> Echo<'m> {
    /// Makes a server that listens; `None` if `random` is not.
    pub fn new(memory: &'m mut Memory, random: [u8; 16]) -> Option<Echo<'m>> {
        let tcp = Tcp::new(memory, config(), SecretKey::new(random).ok()?).ok()?;
        let mut link = Link::new(tcp, Medium::Ip, ChecksumBy::Software);
        let interfaces: [Interface; ADDRESSES.len()] = core::array::from_fn(|i| {
            let (addr, prefix) = ADDRESSES[i];
            Interface { addr, prefix }
        });
        #[cfg(feature = "journal")]
        link.keep_journal(Instant::ZERO, &JOURNAL).ok()?;
        link.set_addresses(&interfaces, []).ok()?;
        link.tcp().listen(SocketAddr::new(any(), PORT), listen_options()).ok()?;
        Some(Echo { link, held: Held::EMPTY })
    }

    /// Takes what came, does what is due, and sends what there is room for.
    pub fn step(&mut self, wire: &mut Wire) {
        let now = Instant::from_micros(wire.now);
        self.link.handle_timeout(now);
        if let Some(packet) = wire.received.get() {
            // What is not for us has nobody else here.
            let _received = self.link.handle_frame(now, packet);
            wire.received.len = 0;
        }
        loop {
            match self.link.poll_output(now) {
                LinkOutput::Transmit(packet) => {
                    // Offered again at the next step.
                    let Some(free) = wire.sent.free() else { return };
                    wire.sent.len = packet.emit(free).unwrap_or(0);
                }
                LinkOutput::Event(event) => self.handle_event(now, event),
                LinkOutput::Timeout(at) => {
                    wire.wake_at = at.map(|(at, _why)| at.as_micros());
                    return;
                }
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Acceptable(listener) => {
                if self.link.tcp().accept(now, listener).is_ok() {
                    self.held.clear();
                }
            }
            Event::Readable(c) | Event::Writable(c) | Event::PeerFinished(c) => self.echo(now, c),
            Event::Closed(c, _reason) => {
                let _freed = self.link.tcp().close(now, c);
            }
            Event::Connected(_) | Event::Stalled(_) | Event::LostPeer(..) => {}
        }
    }

    /// Sends back until there is nothing to receive, or no room.
    fn echo(&mut self, now: Instant, c: ConnectionHandle) {
        let tcp = self.link.tcp();
        loop {
            if self.held.is_empty() {
                match tcp.recv(now, c, self.held.room()) {
                    Ok(0) => {
                        // Where the connection is over already, this gives its slot back.
                        let _closed = tcp.close(now, c);
                        return;
                    }
                    Ok(len) => self.held.received(len),
                    Err(_) => return,
                }
            }
            match tcp.send(now, c, self.held.rest()) {
                Ok(len) => self.held.sent(len),
                Err(_) => return,
            }
        }
    }
}

fn any() -> IpAddr {
    match cfg!(feature = "ipv6") {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn config() -> Config {
    Config {
        #[cfg(feature = "eviction")]
        eviction: Some(Eviction { by: EvictBy::Idle, idle_for: Duration::from_secs(20) }),
        #[cfg(feature = "reset-diagnostics")]
        reset_diagnostics: true,
        ..Config::default()
    }
}

fn listen_options() -> ListenOptions {
    ListenOptions {
        backlog: 1,
        half_open: 1,
        #[cfg(feature = "deadlines")]
        accept_timeout: Some(Duration::from_secs(15)),
        stream: StreamOptions {
            rx_buffer: BUFFER,
            tx_buffer: BUFFER,
            #[cfg(feature = "user-timeout-option")]
            user_timeout_option: true,
            #[cfg(feature = "keepalive")]
            keep_alive: Some(tcp_reset_core::KeepAlive::DEFAULT),
            #[cfg(feature = "deadlines")]
            idle_timeout: Some(Duration::from_secs(300)),
            #[cfg(feature = "deadlines")]
            first_byte_timeout: Some(Duration::from_secs(30)),
            ..StreamOptions::DEFAULT
        },
        ..ListenOptions::default()
    }
}
