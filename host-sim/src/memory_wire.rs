//! A wire in memory, with a delay, and the clock of a peer at its end: only waiting moves it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Result;
use tcp_reset_core::Instant;

/// How long a frame is on its way, in either direction.
const DELAY: Duration = Duration::from_millis(1);

/// What is at the peer's end of the wire.
pub(crate) trait Station {
    /// Processes a frame; returns the frames that answer it at once.
    fn receive(&mut self, now: Instant, frame: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Runs the timers that are due; returns what is to be sent, and when to come again.
    fn drain(&mut self, now: Instant) -> Result<(Vec<Vec<u8>>, Option<Instant>)>;
}

/// Frames on their way, in the order they arrive.
#[derive(Default)]
pub(crate) struct MemoryWire {
    now: Instant,
    /// The station's next timer.
    next: Option<Instant>,
    to_peer: VecDeque<(Instant, Vec<u8>)>,
    to_us: VecDeque<(Instant, Vec<u8>)>,
}

impl MemoryWire {
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Sends a frame to the station.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.to_peer.push_back((self.now + DELAY, frame.to_vec()));
    }

    /// Takes the next frame that has arrived from the station.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let now = self.now;
        self.to_us.pop_front_if(|(at, _)| *at <= now).map(|(_, frame)| frame)
    }

    /// Collects what the station sends now.
    pub(crate) fn flush(&mut self, station: &mut dyn Station) -> Result<()> {
        let (frames, next) = station.drain(self.now)?;
        self.next = next;
        self.carry(frames);
        Ok(())
    }

    /// Lets time pass until a frame has arrived from the station, or until `until` at the latest.
    pub(crate) fn wait(&mut self, until: Instant, station: &mut dyn Station) -> Result<()> {
        self.flush(station)?;
        while self.to_us.front().is_none_or(|(at, _)| *at > self.now) && self.now < until {
            let next = self.next_event().map_or(until, |at| at.min(until));
            self.now = self.now.max(next);
            self.deliver(station)?;
        }
        Ok(())
    }

    /// Delivers what has arrived at the station.
    fn deliver(&mut self, station: &mut dyn Station) -> Result<()> {
        while let Some((_, frame)) = self.to_peer.pop_front_if(|(at, _)| *at <= self.now) {
            let answers = station.receive(self.now, &frame)?;
            self.carry(answers);
        }
        self.flush(station)
    }

    fn carry(&mut self, frames: Vec<Vec<u8>>) {
        let at = self.now + DELAY;
        self.to_us.extend(frames.into_iter().map(|frame| (at, frame)));
    }

    fn next_event(&self) -> Option<Instant> {
        let arrivals = [self.to_peer.front(), self.to_us.front()];
        arrivals.into_iter().flatten().map(|(at, _)| *at).chain(self.next).min()
    }
}
