//! Our endpoint, the peer, and everything that passes between them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use tcp_reset_core::{
    CloseReason, ConnectionHandle, Error, Event, Instant, ListenOptions, ListenerHandle, State, Status, StreamOptions,
    Verdict,
};

use crate::endpoint::{Endpoint, Sent};
use crate::family::Family;
use crate::frame::Seen;
use crate::pcap::Capture;
use crate::peer::{Failure, Peer, Read, Socket};
use crate::trace::{Entry, Step, Trace, Way, verdict_of};

/// Our Ethernet address, locally administered.
pub const OUR_MAC: [u8; 6] = [0x02, 0x54, 0x43, 0x50, 0, 2];
/// The Ethernet address of a peer in memory.
pub const PEER_MAC: [u8; 6] = [0x02, 0x54, 0x43, 0x50, 0, 1];
/// How long anything is waited for before a scenario has failed: above every timeout it may have to sit out, far above what a
/// loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the wire may be silent before a condition is looked at again.
const TICK: Duration = Duration::from_millis(10);
/// Ports a scenario may use, from its first on.
pub const PORTS: u16 = 16;
/// Buffers of our connections, in octets.
const BUFFER: usize = 16_384;

/// Both ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Our end.
    pub ours: ConnectionHandle,
    /// The peer's end.
    pub theirs: Socket,
    /// Our endpoint.
    pub our_end: SocketAddr,
    /// The peer's endpoint.
    pub their_end: SocketAddr,
}

/// The scene of a scenario.
pub struct World<'w> {
    family: Family,
    ours: Endpoint,
    peer: &'w mut dyn Peer,
    capture: Option<&'w mut Capture>,
    /// The story so far.
    pub trace: Trace,
    next: Option<Instant>,
    first_port: u16,
}

impl<'w> World<'w> {
    /// Boots our endpoint in the family that the peer speaks. The scenario's ports begin at `first_port`.
    ///
    /// # Errors
    /// If no random key is to be had.
    pub fn new(
        family: Family,
        peer: &'w mut dyn Peer,
        capture: Option<&'w mut Capture>,
        first_port: u16,
    ) -> Result<World<'w>> {
        let ours = Endpoint::boot(family.our_addr(), family.prefix(), OUR_MAC)?;
        Ok(World { family, ours, peer, capture, trace: Trace::default(), next: None, first_port })
    }

    /// Gives the scenario's `n`th port.
    pub fn port(&self, n: u16) -> u16 {
        self.first_port + n
    }

    /// Gives our endpoint at a port.
    pub fn our_end(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.family.our_addr(), port)
    }

    /// Gives the peer's endpoint at a port.
    pub fn their_end(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.family.peer_addr(), port)
    }

    /// Gives the time.
    pub fn now(&self) -> Instant {
        self.peer.now()
    }

    /// Gives the peer.
    pub fn peer(&mut self) -> &mut dyn Peer {
        self.peer
    }

    /// Tells something in the story.
    pub fn note(&mut self, text: impl Into<String>) {
        self.trace.entries.push(Entry::Note(text.into()));
    }

    /// Restarts our endpoint: every connection is forgotten without a word.
    ///
    /// # Errors
    /// If no random key is to be had.
    pub fn restart(&mut self) -> Result<()> {
        self.note("we restart and remember nothing");
        self.ours.reboot()?;
        self.next = None;
        Ok(())
    }

    /// Sends what our engine has to say.
    fn flush(&mut self) -> Result<()> {
        let now = self.now();
        let drained = self.ours.drain(now)?;
        self.next = drained.next;
        for sent in drained.frames {
            self.send(&sent)?;
        }
        Ok(())
    }

    fn send(&mut self, sent: &Sent) -> Result<()> {
        let now = self.now();
        self.record_frame(now, &sent.bytes, None)?;
        self.peer.send_frame(&sent.bytes)?;
        self.log(now, Way::ToPeer, &sent.bytes, None, sent)
    }

    fn record_frame(&mut self, now: Instant, frame: &[u8], comment: Option<&str>) -> Result<()> {
        match &mut self.capture {
            Some(capture) => capture.add(now, frame, comment),
            None => Ok(()),
        }
    }

    fn log(&mut self, at: Instant, way: Way, frame: &[u8], verdict: Option<Verdict>, sent: &Sent) -> Result<()> {
        let Some(seen) = Seen::parse(frame) else {
            return Ok(());
        };
        let (our_end, their_end) = match way {
            Way::ToPeer => (seen.from, seen.to),
            Way::ToUs | Way::ForgedToUs => (seen.to, seen.from),
        };
        // Stragglers of the scenario before are answered, but are not part of this story.
        let mine = self.first_port..self.first_port + PORTS;
        if !mine.contains(&our_end.port()) && !mine.contains(&their_end.port()) {
            return Ok(());
        }
        let peer = self.peer.state(their_end.port(), our_end)?;
        let ours = self.ours.state(our_end.port(), their_end);
        let step = Step { at, way, seen, peer, ours, verdict, reset: sent.reset };
        self.trace.entries.push(Entry::Segment(step));
        Ok(())
    }

    /// Moves one frame, or waits for one until `until`.
    fn step(&mut self, until: Instant) -> Result<()> {
        self.flush()?;
        let Some(frame) = self.peer.receive_frame()? else {
            let until = self.next.map_or(until, |next| next.min(until));
            return self.peer.wait(until);
        };
        let now = self.now();
        self.record_frame(now, &frame, None)?;
        self.deliver(now, Way::ToUs, &frame)?;
        self.flush()
    }

    fn deliver(&mut self, now: Instant, way: Way, frame: &[u8]) -> Result<Option<Verdict>> {
        let (received, answer) = self.ours.receive(now, frame);
        let verdict = verdict_of(&received);
        let unsent = Sent { bytes: Vec::new(), reset: None };
        self.log(now, way, frame, verdict, &unsent)?;
        if let Some(answer) = answer {
            self.send(&answer)?;
        }
        Ok(verdict)
    }

    /// Goes on until `is_done`; `what` says in a failure what did not come.
    ///
    /// # Errors
    /// If it does not come.
    pub fn until(&mut self, what: &str, mut is_done: impl FnMut(&mut World<'w>) -> Result<bool>) -> Result<()> {
        let end = self.now() + PATIENCE;
        loop {
            if is_done(self)? {
                return self.flush();
            }
            if self.now() >= end {
                bail!("waited {} s in vain until {what}", PATIENCE.as_secs());
            }
            // What is waited for may need nothing more from the wire, only to be asked again.
            self.step(end.min(self.now() + TICK))?;
        }
    }

    /// Lets time pass, whatever happens meanwhile.
    ///
    /// # Errors
    /// If the wire fails.
    pub fn pass(&mut self, time: Duration) -> Result<()> {
        let end = self.now() + time;
        while self.now() < end {
            self.step(end)?;
        }
        self.flush()
    }

    /// Delivers a segment to us that the peer never sent.
    ///
    /// # Errors
    /// If it was not taken for TCP of ours.
    pub fn forge_to_us(&mut self, seen: Seen) -> Result<Verdict> {
        let frame = seen.forge(self.peer.mac(), OUR_MAC);
        let now = self.now();
        self.record_frame(now, &frame, Some("forged in the peer's name"))?;
        let verdict = self.deliver(now, Way::ForgedToUs, &frame)?;
        self.flush()?;
        match verdict {
            Some(verdict) => Ok(verdict),
            None => bail!("a forged segment was not taken as TCP for us"),
        }
    }

    /// Our listener on a port.
    ///
    /// # Errors
    /// If the engine refuses.
    pub fn listen(&mut self, port: u16) -> Result<ListenerHandle> {
        let options = ListenOptions { stream: stream_options(), ..ListenOptions::default() };
        let local = self.our_end(port);
        Ok(self.ours.tcp().listen(local, options)?)
    }

    /// Starts to connect to the peer; the SYN is out when this returns, if the peer's Ethernet address is known.
    ///
    /// # Errors
    /// If the engine refuses.
    pub fn connect(&mut self, our_port: u16, their_port: u16) -> Result<ConnectionHandle> {
        let now = self.now();
        let remote = self.their_end(their_port);
        let handle = self.ours.link().connect(now, our_port, remote, stream_options())?;
        self.flush()?;
        Ok(handle)
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    /// If none comes.
    pub fn accept(&mut self, listener: ListenerHandle) -> Result<ConnectionHandle> {
        let mut accepted = None;
        self.until("a connection can be accepted", |w| {
            let now = w.now();
            accepted = w.ours.tcp().accept(now, listener).ok();
            Ok(accepted.is_some())
        })?;
        accepted.ok_or_else(|| anyhow::anyhow!("no connection was accepted"))
    }

    /// Our status of a connection.
    ///
    /// # Errors
    /// If the handle is stale.
    pub fn status(&mut self, handle: ConnectionHandle) -> Result<Status> {
        Ok(self.ours.tcp().status(handle)?)
    }

    /// Our state.
    pub fn state(&self, pair: &Pair) -> State {
        self.ours.state(pair.our_end.port(), pair.their_end)
    }

    /// Our state for a pair of ports.
    pub fn state_at(&self, our_port: u16, their_port: u16) -> State {
        self.ours.state(our_port, self.their_end(their_port))
    }

    /// The reason our application was told.
    pub fn ended(&self, handle: ConnectionHandle) -> Option<CloseReason> {
        self.ours.ended(handle)
    }

    /// Says whether our application was told this.
    pub fn was_told(&self, event: Event) -> bool {
        self.ours.was_told(event)
    }

    /// Our application sends; gives how many octets were taken.
    ///
    /// # Errors
    /// As the engine says, but for "not now".
    pub fn send_some(&mut self, handle: ConnectionHandle, data: &[u8]) -> Result<usize> {
        let now = self.now();
        match self.ours.tcp().send(now, handle, data) {
            Ok(n) => {
                self.flush()?;
                Ok(n)
            }
            Err(Error::WouldBlock) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Our application receives.
    ///
    /// # Errors
    /// If the wire fails; what the engine says is the inner result.
    pub fn recv(&mut self, handle: ConnectionHandle, buf: &mut [u8]) -> Result<Result<Read, Error>> {
        let now = self.now();
        let outcome = match self.ours.tcp().recv(now, handle, buf) {
            Ok(0) => Ok(Read::End),
            Ok(n) => Ok(Read::Data(n)),
            Err(Error::WouldBlock) => Ok(Read::Nothing),
            Err(error) => Err(error),
        };
        self.flush()?;
        Ok(outcome)
    }

    /// Our application ends its direction.
    ///
    /// # Errors
    /// As the engine says.
    pub fn shutdown(&mut self, handle: ConnectionHandle) -> Result<()> {
        let now = self.now();
        self.ours.tcp().shutdown(now, handle)?;
        self.flush()
    }

    /// Our application closes.
    ///
    /// # Errors
    /// As the engine says.
    pub fn close(&mut self, handle: ConnectionHandle) -> Result<()> {
        let now = self.now();
        self.ours.tcp().close(now, handle)?;
        self.flush()
    }

    /// Our application aborts.
    ///
    /// # Errors
    /// As the engine says.
    pub fn abort(&mut self, handle: ConnectionHandle) -> Result<()> {
        let now = self.now();
        self.ours.tcp().abort(now, handle)?;
        self.flush()
    }

    /// Waits for the peer's handshake: done, or how it failed.
    ///
    /// # Errors
    /// If neither comes.
    pub fn peer_connected(&mut self, socket: Socket) -> Result<Result<(), Failure>> {
        let mut outcome = Ok(());
        self.until("the peer's connect is decided", |w| {
            Ok(match w.peer.is_connected(socket)? {
                Ok(is_done) => is_done,
                Err(failure) => {
                    outcome = Err(failure);
                    true
                }
            })
        })?;
        Ok(outcome)
    }

    /// Waits until the peer's reader meets an error, and gives it. Octets and the end of the stream on the way are passed over.
    ///
    /// # Errors
    /// If none comes.
    pub fn peer_failure(&mut self, socket: Socket) -> Result<Failure> {
        let mut found = None;
        self.until("the peer's process sees an error", |w| {
            if let Err(failure) = w.peer.recv(socket, &mut [0; 2_048])? {
                found = Some(failure);
            }
            Ok(found.is_some())
        })?;
        found.ok_or_else(|| anyhow::anyhow!("the peer's process saw no error"))
    }
}

fn stream_options() -> StreamOptions {
    StreamOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..StreamOptions::default() }
}
