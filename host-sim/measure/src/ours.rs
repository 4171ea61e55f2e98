//! tcp-reset-core, driven by its contract as the Embassy side does it: after each packet and each batch of calls, output is polled until there
//! is none; at the end the next deadline is asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{
    ChecksumBy, Config, ConnectionHandle, Event, Instant, ListenOptions, ListenerHandle, SecretKey, State, Storage,
    StreamOptions, Tcp,
};

use crate::ring::Ring;
use crate::stack::{Family, Host, MANY_CONNECTIONS, MANY_LISTENERS, Micros, Size, Stack};

/// Buffer pools: two buffers for each connection.
const POOL_OF_FEW: usize = 4 * 2 * 16_384;
const POOL_OF_MANY: usize = MANY_CONNECTIONS * 2 * 256;

pub(crate) struct Ours {
    link: Link<'static>,
    size: Size,
    listener: Option<(u16, ListenerHandle)>,
    connection: Option<ConnectionHandle>,
    is_acceptable: bool,
    is_readable: bool,
    is_over: bool,
    /// Calls or timers since the last drain may have produced output.
    is_called: bool,
    deadline: Option<Instant>,
}

impl Ours {
    fn drain(&mut self, now: Instant, output: &mut Ring) {
        self.is_called = false;
        while self.link.has_output() {
            match self.link.poll_output(now) {
                LinkOutput::Transmit(packet) => {
                    let Some(free) = output.free() else {
                        self.is_called = true;
                        return;
                    };
                    if let Ok(len) = packet.emit(free) {
                        output.push(len);
                    }
                }
                LinkOutput::Event(event) => self.note(event),
                LinkOutput::Timeout(_) => return,
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Acceptable(_) => self.is_acceptable = true,
            Event::Readable(_) | Event::PeerFinished(_) => self.is_readable = true,
            Event::Closed(_, _) => self.is_over = true,
            Event::Connected(_) | Event::Writable(_) | Event::Stalled(_) | Event::LostPeer(..) => {}
        }
    }

    fn options(&self) -> StreamOptions {
        StreamOptions { rx_buffer: self.size.buffer(), tx_buffer: self.size.buffer(), ..StreamOptions::DEFAULT }
    }

    fn hold(&mut self, connection: ConnectionHandle) {
        self.connection = Some(connection);
        (self.is_readable, self.is_over) = (false, false);
    }
}

impl Stack for Ours {
    const NAME: &'static str = "tcp-reset-core";

    fn new(host: Host, size: Size) -> Ours {
        let mut link = Link::new(engine(host, size), Medium::Ip, ChecksumBy::Software);
        let interface = |family: &Family| Interface { addr: family.addr(host), prefix: family.prefix() };
        let interfaces: Vec<_> = Family::SPOKEN.iter().map(interface).collect();
        link.set_addresses(&interfaces, []).expect("the addresses are hosts'");
        Ours {
            link,
            size,
            listener: None,
            connection: None,
            is_acceptable: false,
            is_readable: false,
            is_over: false,
            is_called: false,
            deadline: None,
        }
    }

    fn listen(&mut self, port: u16) {
        if self.listener.is_some_and(|(at, _)| at == port) {
            return;
        }
        let any = match cfg!(feature = "ipv6") {
            true => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            false => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        };
        let options = ListenOptions { stream: self.options(), ..ListenOptions::default() };
        let listener = self.link.tcp().listen(SocketAddr::from((any, port)), options);
        self.listener = Some((port, listener.expect("the table has an entry for each listener")));
    }

    fn connect(&mut self, now: Micros, local: SocketAddr, remote: SocketAddr) {
        let options = self.options();
        let connection = self.link.connect(Instant::from_micros(now), local.port(), remote, options);
        self.hold(connection.expect("a slot is free and the port is new"));
        self.is_called = true;
    }

    fn accept(&mut self, now: Micros) -> bool {
        if !self.is_acceptable {
            return false;
        }
        let Some((_, listener)) = self.listener else { return false };
        (self.is_called, self.is_acceptable) = (true, false);
        let mut is_accepted = false;
        // One event may stand for several connections.
        while let Ok(connection) = self.link.tcp().accept(Instant::from_micros(now), listener) {
            self.hold(connection);
            is_accepted = true;
        }
        is_accepted
    }

    fn is_readable(&mut self) -> bool {
        self.is_readable
    }

    fn send(&mut self, now: Micros, data: &[u8]) -> usize {
        let Some(connection) = self.connection else { return 0 };
        self.is_called = true;
        self.link.tcp().send(Instant::from_micros(now), connection, data).unwrap_or(0)
    }

    fn recv(&mut self, now: Micros, buf: &mut [u8]) -> usize {
        let Some(connection) = self.connection else { return 0 };
        self.is_called = true;
        let received = self.link.tcp().recv(Instant::from_micros(now), connection, buf).unwrap_or(0);
        self.is_readable = received > 0;
        received
    }

    fn close(&mut self, now: Micros) {
        let Some(connection) = self.connection else { return };
        self.is_called = true;
        let closed = self.link.tcp().close(Instant::from_micros(now), connection);
        closed.expect("the connection has not been given back");
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn established(&self) -> usize {
        let connections = self.link.tcp_ref().connections();
        connections.filter(|(_, status)| status.state == State::Established).count()
    }

    fn poll(&mut self, now: Micros, input: &mut Ring, output: &mut Ring) {
        let now = Instant::from_micros(now);
        if self.deadline.is_some_and(|at| at <= now) {
            self.link.handle_timeout(now);
            self.is_called = true;
        }
        if self.is_called {
            self.drain(now, output);
        }
        while let Some(packet) = input.front() {
            // Every packet is TCP for this host.
            let _received = self.link.handle_frame(now, packet);
            input.pop();
            self.drain(now, output);
        }
        self.deadline = self.link.next_timeout(now).map(|(at, _why)| at);
    }

    fn deadline(&mut self, _now: Micros) -> Option<Micros> {
        self.deadline.map(Instant::as_micros)
    }
}

/// Creates an engine over leaked storage; the engines live until the program ends.
fn engine(host: Host, size: Size) -> Tcp<'static> {
    let key = SecretKey::new(core::array::from_fn(|i| i as u8 ^ host.0)).expect("the bytes differ");
    let engine = match size {
        Size::Few => {
            let storage = Box::leak(Box::new(Storage::<4, 1, 4, 16, POOL_OF_FEW>::new()));
            Tcp::new(storage, Config::default(), key)
        }
        Size::ManyConnections => {
            let storage = Box::leak(Box::new(Storage::<MANY_CONNECTIONS, 1, 16, 16, POOL_OF_MANY>::new()));
            Tcp::new(storage, Config::default(), key)
        }
        Size::ManyListeners => {
            let storage = Box::leak(Box::new(Storage::<4, MANY_LISTENERS, 4, 16, POOL_OF_FEW>::new()));
            Tcp::new(storage, Config::default(), key)
        }
    };
    engine.expect("the default configuration is valid")
}
