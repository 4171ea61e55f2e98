//! A host without TCP: it sends the segments it is told to, and keeps what comes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use tcp_reset_core::{Control, Instant, Seq};

use super::probe::Ends;
use crate::family::Family;
use crate::frame::Seen;
use crate::peer::Peer;
use crate::resolve;
use crate::world::OUR_MAC;

/// Time on the peer's clock within which what is certain to come must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often what is waited for is looked for.
const TICK: Duration = Duration::from_millis(10);
/// How long an answer may be held back after the peer has processed what it would answer; longer than its stack delays ACKs.
const VIRTUAL_GRACE: Duration = Duration::from_millis(300);
/// The same where it costs real time: challenge ACKs are not delayed.
const REAL_GRACE: Duration = Duration::from_millis(50);
/// How often a peer is asked that has to learn our link-layer address first.
const GREETINGS: u32 = 5;

/// A port of ours, and one of the peer's where nobody listens: every segment with ACK from the one to the other draws RST.
const FENCE_PORT: u16 = 29_000;
const CLOSED_PORT: u16 = 29_001;
/// The first of the ports for connections.
const FIRST_PORT: u16 = 30_000;

/// The host.
pub(crate) struct BareHost<'p> {
    family: Family,
    peer: &'p mut dyn Peer,
    next_port: u16,
    /// SEG.ACK of the last segment to [`CLOSED_PORT`].
    fence: Seq,
    received: Vec<Seen>,
}

impl<'p> BareHost<'p> {
    /// Puts a host on the peer's wire.
    ///
    /// # Errors
    /// If the peer does not answer.
    pub(crate) fn new(family: Family, peer: &'p mut dyn Peer) -> Result<BareHost<'p>> {
        let mut host = BareHost { family, peer, next_port: FIRST_PORT, fence: Seq(0), received: Vec::new() };
        for _ in 0..GREETINGS {
            if host.settle().is_ok() {
                return Ok(host);
            }
        }
        bail!("{} answers nothing over {family}", host.peer.name())
    }

    pub(crate) fn peer(&mut self) -> &mut dyn Peer {
        self.peer
    }

    /// Returns an endpoint of ours that no connection has had.
    pub(crate) fn next_endpoint(&mut self) -> SocketAddr {
        let port = self.next_port;
        self.next_port += 1;
        SocketAddr::new(self.family.our_addr(), port)
    }

    /// Returns an endpoint of the peer's.
    pub(crate) fn their_endpoint(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.family.peer_addr(), port)
    }

    /// Sends a segment.
    pub(crate) fn send(&mut self, segment: &Seen) -> Result<()> {
        let to = self.peer.mac();
        self.peer.send_frame(&segment.forge(OUR_MAC, to))
    }

    /// Sends segments of one connection; returns what the peer has sent on it once all of them are processed.
    pub(crate) fn ask(&mut self, ends: &Ends, segments: &[Seen]) -> Result<Vec<Seen>> {
        self.received.clear();
        for segment in segments {
            self.send(segment)?;
        }
        self.settle()?;
        if self.received_on(ends).next().is_none() {
            self.linger()?;
        }
        Ok(self.received_on(ends).copied().collect())
    }

    /// Waits until the peer has processed everything that it was sent: it answers what comes last, and takes segments in their order.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.fence += 1;
        let fence = self.fence;
        let (ours, theirs) = (SocketAddr::new(self.family.our_addr(), FENCE_PORT), self.their_endpoint(CLOSED_PORT));
        self.send(&Ends { ours, theirs, snd_nxt: fence, rcv_nxt: Seq(0) }.segment(Control::ACK, Seq(0), fence, 0))?;
        let is_answer = |seen: &Seen| seen.from == theirs && seen.control.contains(Control::RST) && seen.seq == fence;
        self.until("the RST to a segment to a closed port", |host| Ok(host.received.iter().any(is_answer)))
    }

    /// Waits for the next segment of a connection that is as asked for.
    pub(crate) fn segment(&mut self, ends: &Ends, what: &str, is_it: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let mut found = None;
        self.until(what, |host| {
            found = host.received_on(ends).find(|seen| is_it(seen)).copied();
            Ok(found.is_some())
        })?;
        match found {
            Some(seen) => Ok(seen),
            None => bail!("{what} has not come"),
        }
    }

    /// Goes on until `is_done`.
    pub(crate) fn until(&mut self, what: &str, mut is_done: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let deadline = self.peer.now() + PATIENCE;
        while !is_done(self)? {
            if self.peer.now() >= deadline {
                bail!("waited {} s in vain for {what} from {}", PATIENCE.as_secs(), self.peer.name());
            }
            self.step(deadline.min(self.peer.now() + TICK))?;
        }
        Ok(())
    }

    fn linger(&mut self) -> Result<()> {
        let grace = if self.peer.is_virtual() { VIRTUAL_GRACE } else { REAL_GRACE };
        let end = self.peer.now() + grace;
        while self.peer.now() < end {
            self.step(end)?;
        }
        Ok(())
    }

    /// Takes a frame, or waits for one until `until`.
    fn step(&mut self, until: Instant) -> Result<()> {
        let Some(frame) = self.peer.receive_frame()? else { return self.peer.wait(until) };
        match resolve::answer(&frame, self.family.our_addr(), OUR_MAC) {
            Some(answer) => self.peer.send_frame(&answer)?,
            None => self.received.extend(Seen::parse(&frame)),
        }
        Ok(())
    }

    fn received_on(&self, ends: &Ends) -> impl Iterator<Item = &Seen> {
        let (ours, theirs) = (ends.ours, ends.theirs);
        self.received.iter().filter(move |seen| (seen.from, seen.to) == (theirs, ours))
    }
}
