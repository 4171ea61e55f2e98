//! tcp-reset-core, driven by its contract: output is polled until there is none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{
    ChecksumBy, Config, ConnectionHandle, Event, Instant, ListenOptions, ListenerHandle, MAX_BUFFER, MIN_BUFFER,
    SecretKey, StreamOptions, Tcp,
};

use crate::path::Time;
use crate::stack::{ConnectionEnded, End, Outbox, PORT, PREFIX, RECEIVER, SENDER_PORT, Stack, addr_of};

/// An engine's memory: one connection with two buffers, and one listener.
pub(crate) type Storage = tcp_reset_core::Storage<1, 1, 1, 1, { 2 * MAX_BUFFER }>;

/// Returns whether a connection can have two buffers of this size.
pub(crate) fn has_buffer(bytes: usize) -> bool {
    (MIN_BUFFER..=MAX_BUFFER).contains(&bytes) && bytes.is_power_of_two()
}

pub(crate) struct Ours<'s> {
    link: Link<'s>,
    listener: Option<ListenerHandle>,
    connection: Option<ConnectionHandle>,
    is_connected: bool,
    deadline: Option<Instant>,
}

impl<'s> Ours<'s> {
    /// Boots an engine that begins to open a connection, or listens.
    pub(crate) fn new(end: End, buffer: usize, config: Config, storage: &'s mut Storage) -> Result<Ours<'s>> {
        // The key decides on the initial sequence number alone.
        let key = SecretKey::new(std::array::from_fn(|i| i as u8 ^ addr_of(end)[3]))?;
        let tcp = Tcp::new(storage, config, key)?;
        let mut link = Link::new(tcp, Medium::Ip, ChecksumBy::Software);
        link.set_addresses(&[Interface { addr: addr_of(end).into(), prefix: PREFIX }], [])?;
        let stream = StreamOptions { rx_buffer: buffer, tx_buffer: buffer, ..StreamOptions::DEFAULT };
        let mut ours = Ours { link, listener: None, connection: None, is_connected: false, deadline: None };
        match end {
            End::Sender => {
                let remote = SocketAddr::new(IpAddr::from(RECEIVER), PORT);
                let connection = ours.link.connect(Instant::ZERO, SENDER_PORT, remote, stream);
                ours.connection = Some(connection.context("no connection is opened")?);
            }
            End::Receiver => {
                let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
                let options = ListenOptions { stream, ..ListenOptions::default() };
                ours.listener = Some(ours.link.tcp().listen(local, options).context("the engine does not listen")?);
            }
        }
        Ok(ours)
    }

    /// Notes what the application is told. A packet that is offered and not written is offered again.
    fn take_events(&mut self, now: Instant) -> Result<()> {
        while self.link.has_output() {
            let LinkOutput::Event(event) = self.link.poll_output(now) else { break };
            self.note(now, event)?;
        }
        Ok(())
    }

    fn drain(&mut self, now: Instant, output: &mut Outbox) -> Result<()> {
        while self.link.has_output() {
            match self.link.poll_output(now) {
                LinkOutput::Transmit(packet) => output.push_with(packet.len(), |buf| match packet.emit(buf) {
                    Ok(len) => (len, Ok(())),
                    Err(error) => (0, Err(error)),
                })?,
                LinkOutput::Event(event) => self.note(now, event)?,
                LinkOutput::Timeout(_) => break,
            }
        }
        Ok(())
    }

    fn note(&mut self, now: Instant, event: Event) -> Result<()> {
        match event {
            Event::Connected(_) => self.is_connected = true,
            Event::Acceptable(listener) => {
                self.connection = self.link.tcp().accept(now, listener).ok();
                self.is_connected = self.connection.is_some();
            }
            Event::Closed(_, reason) => bail!(ConnectionEnded(format!(": {reason:?}"))),
            Event::Readable(_)
            | Event::Writable(_)
            | Event::PeerFinished(_)
            | Event::Stalled(_)
            | Event::LostPeer(..) => {}
        }
        Ok(())
    }
}

impl Stack for Ours<'_> {
    fn handle_packet(&mut self, now: Time, packet: &[u8], _output: &mut Outbox) -> Result<()> {
        let now = instant(now);
        // What becomes of it shows in the output.
        let _received = self.link.handle_frame(now, packet);
        self.take_events(now)
    }

    fn poll(&mut self, now: Time, output: &mut Outbox) -> Result<()> {
        let now = instant(now);
        if self.deadline.is_some_and(|at| at <= now) {
            self.link.handle_timeout(now);
        }
        self.drain(now, output)?;
        self.deadline = self.link.next_timeout(now).map(|(at, _why)| at);
        Ok(())
    }

    fn deadline(&mut self, _now: Time) -> Option<Time> {
        self.deadline.map(|at| Time::from_micros(at.as_micros()))
    }

    fn is_connected(&self) -> bool {
        self.is_connected
    }

    fn send(&mut self, now: Time, data: &[u8]) -> usize {
        let Some(connection) = self.connection else { return 0 };
        self.link.tcp().send(instant(now), connection, data).unwrap_or(0)
    }

    fn recv(&mut self, now: Time, buf: &mut [u8]) -> usize {
        let Some(connection) = self.connection else { return 0 };
        self.link.tcp().recv(instant(now), connection, buf).unwrap_or(0)
    }
}

fn instant(time: Time) -> Instant {
    Instant::ZERO + time
}
