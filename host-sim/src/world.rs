//! Our endpoint, the peer, and everything that passes between them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use tcp_reset_core::{
    CloseReason, ConnectionHandle, Control, Error, Event, Instant, ListenerHandle, PeerReason, ResetReason, State,
    Status, Verdict,
};

use crate::broken::{Fault, Shim};
use crate::cable::{Cable, Fate, Hostility, Toward};
use crate::endpoint::{Endpoint, Sent};
use crate::family::Family;
use crate::frame::{Seen, edit_tcp, tcp_header_len, tcp_payload};
use crate::pcap::Capture;
use crate::peer::{Failure, Peer, Read, Socket};
use crate::trace::{Entry, Step, Trace, Way, verdict_of};
use crate::tuning::Tuning;

/// Our Ethernet address, locally administered.
pub const OUR_MAC: [u8; 6] = [0x02, 0x54, 0x43, 0x50, 0, 2];
/// The Ethernet address of a peer in memory.
pub const PEER_MAC: [u8; 6] = [0x02, 0x54, 0x43, 0x50, 0, 1];
/// How long the wire may be silent before a condition is looked at again.
const TICK: Duration = Duration::from_millis(10);
/// Ports a scenario may use, from its first on.
pub const PORTS: u16 = 16;

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

/// What a scenario is played in.
pub struct Stage<'w> {
    /// The family, which the peer speaks.
    pub family: Family,
    /// The peer.
    pub peer: &'w mut dyn Peer,
    /// Where every frame is written.
    pub capture: Option<&'w mut Capture>,
    /// The first of the scenario's ports.
    pub first_port: u16,
    /// Settings of our endpoint.
    pub tuning: Tuning,
    /// What the cable does.
    pub hostility: Option<Hostility>,
    /// What our core does wrong.
    pub fault: Option<Fault>,
    /// How long the scenario may wait in all before it has failed. Time that it lets pass on purpose is not counted.
    pub patience: Duration,
}

/// The scene of a scenario.
pub struct World<'w> {
    family: Family,
    ours: Endpoint,
    shim: Shim,
    cable: Cable,
    peer: &'w mut dyn Peer,
    capture: Option<&'w mut Capture>,
    /// The story so far.
    pub trace: Trace,
    next: Option<Instant>,
    first_port: u16,
    tuning: Tuning,
    patience: Duration,
    /// When patience is at an end.
    deadline: Instant,
    listeners: HashMap<u16, ListenerHandle>,
    /// The RSTs expected whose numbers only the story tells.
    pub expected: Vec<(Way, String)>,
}

impl<'w> World<'w> {
    /// Boots our endpoint on the stage.
    ///
    /// # Errors
    /// If no random key is to be had.
    pub fn new(stage: Stage<'w>) -> Result<World<'w>> {
        let Stage { family, peer, capture, first_port, mut tuning, hostility, fault, patience } = stage;
        if let Some(fault) = fault {
            fault.forget(&mut tuning);
        }
        let ours = Endpoint::boot(family.our_addr(), family.prefix(), OUR_MAC, tuning.config)?;
        let deadline = peer.now() + patience;
        Ok(World {
            family,
            ours,
            shim: Shim::new(fault),
            cable: Cable::new(hostility),
            peer,
            capture,
            trace: Trace::default(),
            next: None,
            first_port,
            tuning,
            patience,
            deadline,
            listeners: HashMap::new(),
            expected: Vec::new(),
        })
    }

    /// Returns the family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Returns the scenario's `n`th port.
    pub fn port(&self, n: u16) -> u16 {
        self.first_port + n
    }

    /// Returns our endpoint at a port.
    pub fn our_end(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.family.our_addr(), port)
    }

    /// Returns the peer's endpoint at a port.
    pub fn their_end(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.family.peer_addr(), port)
    }

    /// Returns the time.
    pub fn now(&self) -> Instant {
        self.peer.now()
    }

    /// Returns the peer.
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
        self.ours.reboot(self.family.our_addr())?;
        self.listeners.clear();
        self.next = None;
        Ok(())
    }

    /// Our endpoint keeps a journal from now on.
    ///
    /// # Errors
    /// As the engine says.
    pub fn keep_journal(&mut self) -> Result<()> {
        let now = self.now();
        self.ours.keep_journal(now)
    }

    /// Restarts our endpoint on this address: every connection is forgotten, but the journal is kept.
    ///
    /// # Errors
    /// If no random key is to be had.
    pub fn restart_with_journal(&mut self, addr: IpAddr) -> Result<()> {
        let now = self.now();
        self.ours.reboot_with_journal(now, addr)?;
        self.listeners.clear();
        self.next = None;
        self.flush()
    }

    /// Returns the cable.
    pub fn cable(&mut self) -> &mut Cable {
        &mut self.cable
    }

    /// Cuts or mends one direction of the cable.
    pub fn set_pulled(&mut self, toward: Toward, is_pulled: bool) {
        self.cable.set_pulled(toward, is_pulled);
    }

    /// Returns what our endpoint holds: connections, half-open entries, entries in TIME-WAIT.
    pub fn in_use(&mut self) -> (usize, usize, usize) {
        self.ours.tcp().in_use()
    }

    /// Returns the endpoint.
    pub fn ours(&mut self) -> &mut Endpoint {
        &mut self.ours
    }

    /// Returns our listener on a port, if there is one.
    pub fn listener_on(&self, port: u16) -> Option<ListenerHandle> {
        self.listeners.get(&port).copied()
    }

    /// Returns whether frames may be lost by chance.
    pub fn is_hostile(&self) -> bool {
        self.cable.is_hostile()
    }

    /// Sends what our engine has to say, and what has reached the peer's end of the cable.
    fn flush(&mut self) -> Result<()> {
        let now = self.now();
        let unasked = self.shim.pass(now, &mut self.ours);
        for frame in &unasked.to_core {
            let _ = self.ours.receive(now, frame);
        }
        for bytes in unasked.to_wire {
            self.put_on_wire(now, &Sent { bytes, reset: None })?;
        }
        let drained = self.ours.drain(now)?;
        self.ours.audit()?;
        self.next = drained.next;
        for sent in drained.frames {
            self.send(sent)?;
        }
        while let Some(frame) = self.cable.take(now, Toward::Peer) {
            self.peer.send_frame(&frame)?;
        }
        Ok(())
    }

    fn send(&mut self, sent: Sent) -> Result<()> {
        let now = self.now();
        match self.shim.send(now, sent) {
            Some(sent) => self.put_on_wire(now, &sent),
            None => Ok(()),
        }
    }

    fn put_on_wire(&mut self, now: Instant, sent: &Sent) -> Result<()> {
        let fate = self.cable.carry(now, Toward::Peer, &sent.bytes);
        let reason = sent.reset.map(|reason| reason.to_string());
        self.record_frame(now, &sent.bytes, fate, reason)?;
        let step = self.step_of(now, Way::ToPeer, &sent.bytes, fate);
        self.log(step, None, sent.reset)?;
        self.note_reason(&sent.bytes);
        Ok(())
    }

    /// What an RST says of itself.
    fn note_reason(&mut self, frame: &[u8]) {
        if !Seen::parse(frame).is_some_and(|seen| seen.control.contains(Control::RST) && seen.len > 0) {
            return;
        }
        match PeerReason::parse(&tcp_payload(frame)) {
            Some(reason) => self.note(format!("the RST says: {reason}")),
            None => self.note("the RST says nothing that is known"),
        }
    }

    fn record_frame(&mut self, now: Instant, frame: &[u8], fate: Fate, comment: Option<String>) -> Result<()> {
        let Some(capture) = &mut self.capture else { return Ok(()) };
        let comment = match (fate, comment) {
            (Fate::Lost, Some(comment)) => Some(format!("{comment}; lost on the cable")),
            (Fate::Lost, None) => Some("lost on the cable".into()),
            (Fate::Arrives | Fate::ArrivesTwice, comment) => comment,
        };
        capture.add(now, frame, comment.as_deref())
    }

    fn step_of(&self, at: Instant, way: Way, frame: &[u8], fate: Fate) -> Option<Step> {
        let (seen, header_len) = (Seen::parse(frame)?, tcp_header_len(frame));
        let (peer, ours) = (State::Closed, State::Closed);
        Some(Step { at, way, seen, header_len, peer, ours, verdict: None, reset: None, fate })
    }

    /// Adds a segment to the story, with both ends' states as they are now.
    fn log(&mut self, step: Option<Step>, verdict: Option<Verdict>, reset: Option<ResetReason>) -> Result<()> {
        let Some(mut step) = step else { return Ok(()) };
        let (our_end, their_end) = step.ends();
        // Stragglers of the scenario before are answered, but are not part of this story.
        let mine = self.first_port..self.first_port + PORTS;
        if !mine.contains(&our_end.port()) && !mine.contains(&their_end.port()) {
            return Ok(());
        }
        step.peer = self.peer.state(their_end.port(), our_end)?;
        step.ours = self.ours.state(our_end.port(), their_end);
        (step.verdict, step.reset) = (verdict, reset);
        self.trace.entries.push(Entry::Segment(step));
        Ok(())
    }

    /// Moves what is on its way, or waits for it until `until`.
    fn step(&mut self, until: Instant) -> Result<()> {
        self.flush()?;
        let now = self.now();
        if let Some(frame) = self.cable.take(now, Toward::Us) {
            self.deliver(now, Way::ToUs, &frame)?;
            return self.flush();
        }
        let Some(frame) = self.peer.receive_frame()? else {
            let nap = self.shim.nap().map(|nap| now + nap);
            let ends = [self.next, self.cable.next_arrival(), nap];
            let until = ends.into_iter().flatten().fold(until, Instant::min);
            return self.peer.wait(until);
        };
        if self.cable.carry(now, Toward::Us, &frame) == Fate::Lost {
            self.record_frame(now, &frame, Fate::Lost, None)?;
            let step = self.step_of(now, Way::ToUs, &frame, Fate::Lost);
            self.log(step, None, None)?;
        }
        Ok(())
    }

    fn deliver(&mut self, now: Instant, way: Way, frame: &[u8]) -> Result<Option<Verdict>> {
        let changed = self.shim.receive(&mut self.ours, frame);
        let mut answers = Vec::new();
        let mut verdict = None;
        for frame in &changed.to_core {
            let (received, answer) = self.ours.receive(now, frame);
            verdict = verdict.or(verdict_of(&received));
            answers.extend(answer);
        }
        let comment = verdict.map(|verdict| format!("{}: {}", verdict.rule, verdict.action));
        let comment = match way {
            Way::ForgedToUs => Some(format!("forged in the peer's name; {}", comment.unwrap_or_default())),
            Way::ToUs | Way::ToPeer => comment,
        };
        self.record_frame(now, frame, Fate::Arrives, comment)?;
        let step = self.step_of(now, way, frame, Fate::Arrives);
        self.log(step, verdict, None)?;
        self.note_reason(frame);
        for bytes in changed.to_wire {
            self.put_on_wire(now, &Sent { bytes, reset: None })?;
        }
        for answer in answers {
            self.send(answer)?;
        }
        Ok(verdict)
    }

    /// Goes on until `is_done`; `what` says in a failure what did not come.
    ///
    /// # Errors
    /// If it does not come while the scenario may still wait.
    pub fn until(&mut self, what: &str, mut is_done: impl FnMut(&mut World<'w>) -> Result<bool>) -> Result<()> {
        let (start, end) = (self.now(), self.deadline);
        loop {
            if is_done(self)? {
                return self.flush();
            }
            if self.now() >= end {
                let (waited, all) = (end.duration_since(start).as_secs_f32(), self.patience.as_secs_f32());
                bail!("waited {waited:.1} s in vain until {what}; the scenario has {all:.1} s in all");
            }
            // What is waited for may need nothing more from the wire, only to be asked again.
            self.step(end.min(self.now() + TICK))?;
        }
    }

    /// Lets time pass, whatever happens meanwhile. The scenario may wait for as long as before.
    ///
    /// # Errors
    /// If the wire fails.
    pub fn pass(&mut self, time: Duration) -> Result<()> {
        let end = self.now() + time;
        self.deadline = self.deadline + time;
        while self.now() < end {
            self.step(end)?;
        }
        self.flush()
    }

    /// The timestamps of the latest segment that went this way, which a forger on the path has seen.
    pub fn latest_timestamps(&self, from: SocketAddr, to: SocketAddr) -> Option<(u32, u32)> {
        let is_it = |seen: &Seen| seen.from == from && seen.to == to;
        let latest = self.trace.steps().rev().map(|step| step.seen).find(is_it)?;
        latest.timestamps
    }

    /// Delivers a segment to us that the peer never sent. Returns the core's own judgment: scenarios judge by what follows instead.
    ///
    /// # Errors
    /// If the wire fails.
    pub fn forge_to_us(&mut self, seen: Seen) -> Result<Option<Verdict>> {
        self.forge_with_text(seen, &[])
    }

    /// The same with this text.
    ///
    /// # Errors
    /// If the wire fails.
    pub fn forge_with_text(&mut self, seen: Seen, text: &[u8]) -> Result<Option<Verdict>> {
        let seen = if text.is_empty() { seen } else { Seen { len: text.len(), ..seen } };
        let mut frame = seen.forge(self.peer.mac(), OUR_MAC);
        edit_tcp(&mut frame, |tcp| {
            if !text.is_empty() {
                tcp.payload_mut().copy_from_slice(text);
            }
        });
        let now = self.now();
        let verdict = self.deliver(now, Way::ForgedToUs, &frame)?;
        self.flush()?;
        Ok(verdict)
    }

    /// Our listener on a port.
    ///
    /// # Errors
    /// If the engine refuses.
    pub fn listen(&mut self, port: u16) -> Result<ListenerHandle> {
        let local = self.our_end(port);
        let handle = self.ours.tcp().listen(local, self.tuning.listen)?;
        self.listeners.insert(port, handle);
        Ok(handle)
    }

    /// Starts to connect to the peer; the SYN is out when this returns, if the peer's Ethernet address is known.
    ///
    /// # Errors
    /// If the engine refuses.
    pub fn connect(&mut self, our_port: u16, their_port: u16) -> Result<ConnectionHandle> {
        let now = self.now();
        let remote = self.their_end(their_port);
        let handle = self.ours.link().connect(now, our_port, remote, self.tuning.listen.stream)?;
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

    /// Returns whether our application was told this.
    pub fn was_told(&self, event: Event) -> bool {
        self.ours.was_told(event)
    }

    /// Our application sends; returns how many bytes were taken.
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

    /// Waits until the peer's reader meets an error, and gives it. Bytes and the end of the stream on the way are passed over.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_peer::MemoryPeer;

    const PATIENCE: Duration = Duration::from_secs(10);
    const SOME: Duration = Duration::from_secs(6);

    fn with_world(test: impl FnOnce(&mut World<'_>)) {
        let family = Family::Ipv4;
        let mut peer = MemoryPeer::new(family, PEER_MAC).unwrap();
        let stage = Stage {
            family,
            peer: &mut peer,
            capture: None,
            first_port: 20_000,
            tuning: Tuning::usual(),
            hostility: None,
            fault: None,
            patience: PATIENCE,
        };
        test(&mut World::new(stage).unwrap());
    }

    fn wait(world: &mut World<'_>, time: Duration) -> Result<()> {
        let end = world.now() + time;
        world.until("some time is over", |w| Ok(w.now() >= end))
    }

    #[test]
    fn all_waits_of_a_scenario_share_its_bound() {
        with_world(|w| {
            assert!(wait(w, SOME).is_ok());
            let error = wait(w, SOME).unwrap_err();
            assert!(error.to_string().starts_with("waited 4.0 s in vain"), "{error}");
            assert_eq!(w.now(), Instant::ZERO + PATIENCE);
        });
    }

    #[test]
    fn time_that_a_scenario_lets_pass_is_not_counted() {
        with_world(|w| {
            w.pass(10 * PATIENCE).unwrap();
            assert!(wait(w, SOME).is_ok());
            assert!(wait(w, SOME).is_err());
        });
    }
}
