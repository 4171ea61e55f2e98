//! What moves frames between stations in real time.
//!
//! A flow's segments go by way of its path, so that flows that run side by side do each other no harm, unless they share a bottleneck; all other
//! frames go at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result};
use lossy_path::End;
use nix::sys::prctl;

use super::flow::{Flow, FlowOptions};
use super::shared::Shared;
use super::station::{self, MAX_CONNECTIONS, Place, STATIONS, Settings, Standing, Station};
use crate::frame::Seen;
use crate::kernel;

/// How often applications act that nobody has woken.
const PATROL: Duration = Duration::from_millis(5);
/// A frame that arrives later than by this is counted as late.
pub(crate) const LATE: Duration = Duration::from_micros(200);
/// Each flow has its own port, from here on: below those that stations choose for themselves.
const PORTS: std::ops::Range<u16> = 10_000..30_000;
/// Flows at one time, at most: what is left of those that have ended may stay at a station for a moment.
pub(crate) const MAX_FLOWS: usize = MAX_CONNECTIONS / 2;

pub(crate) struct Net {
    stations: [Station; STATIONS],
    clock: WallClock,
    flows: Vec<Flow>,
    shared: Option<Shared>,
    next_port: u16,
    patrol: Duration,
    /// Frames that stations have sent.
    sent: VecDeque<(Place, Vec<u8>)>,
    lateness: Lateness,
}

/// How much later frames arrived than their paths say.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lateness {
    frames: u32,
    late: u32,
    sum: Duration,
}

impl Lateness {
    fn note(&mut self, lateness: Duration) {
        self.frames += 1;
        self.late += u32::from(lateness > LATE);
        self.sum += lateness;
    }

    pub(crate) fn mean(&self) -> Duration {
        self.sum.checked_div(self.frames).unwrap_or_default()
    }

    /// Returns the share of frames that were late by more than [`LATE`].
    pub(crate) fn percent_late(&self) -> f64 {
        100.0 * f64::from(self.late) / f64::from(self.frames.max(1))
    }
}

impl Net {
    /// Enters namespaces and lays the network between them.
    ///
    /// # Errors
    /// If they cannot be had.
    pub(crate) fn lay(settings: Settings, shared: Option<Shared>) -> Result<Net> {
        // Waits end within a microsecond of their time, and not within 50.
        prctl::set_timerslack(1_000).context("cannot make timers precise")?;
        Ok(Net {
            stations: station::lay(settings)?,
            clock: WallClock::now(),
            flows: Vec::new(),
            shared,
            next_port: PORTS.start,
            patrol: Duration::ZERO,
            sent: VecDeque::new(),
            lateness: Lateness::default(),
        })
    }

    pub(crate) fn lateness(&self) -> Lateness {
        self.lateness
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Returns the flows in the order they were opened in, but for those that were closed.
    pub(crate) fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// Opens a flow.
    ///
    /// # Errors
    /// If a station has no connection more.
    pub(crate) fn open(&mut self, options: FlowOptions) -> Result<()> {
        let (now, port) = (self.now(), self.next_port);
        self.next_port = if port + 1 < PORTS.end { port + 1 } else { PORTS.start };
        self.flows.push(Flow::open(options, port, now, &mut self.stations)?);
        Ok(())
    }

    /// Ends a flow, by its place among them; its connection is reset.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn close(&mut self, place: usize) -> Result<()> {
        let now = self.now();
        self.flows.remove(place).end(now, &mut self.stations)
    }

    /// Returns where a flow's sender stands.
    ///
    /// # Errors
    /// If its connection is gone.
    pub(crate) fn standing(&mut self, place: usize) -> Result<Standing> {
        self.flows[place].standing(&mut self.stations)
    }

    /// Moves what is to be moved, then waits until something happens, for a few milliseconds at most.
    ///
    /// # Errors
    /// If the network breaks; what a flow's connection suffers is its own failure.
    pub(crate) fn step(&mut self) -> Result<()> {
        for place in 0..STATIONS {
            let now = self.now();
            self.collect(place, now)?;
        }
        self.deliver()?;
        if self.now() >= self.patrol {
            self.pump_all();
            self.patrol = self.now() + PATROL;
        }
        self.rest()
    }

    /// Takes what a station has sent, and puts it on the paths, as of this time.
    fn collect(&mut self, place: Place, at: Duration) -> Result<()> {
        let (now, sent) = (self.now(), &mut self.sent);
        self.stations[place].take_frames(now, |frame| sent.push_back((place, frame.to_vec())))?;
        while let Some((from, frame)) = self.sent.pop_front() {
            self.route(from, at, &frame)?;
        }
        Ok(())
    }

    fn route(&mut self, from: Place, at: Duration, frame: &[u8]) -> Result<()> {
        if let Some(seen) = Seen::parse(frame) {
            let (source, destination) = (seen.from.port(), seen.to.port());
            let found = self.flows.iter_mut().find_map(|flow| Some((flow.sender_of(source, destination)?, flow)));
            if let Some((end, flow)) = found {
                flow.carry(at, end, frame, self.shared.as_mut());
                return Ok(());
            }
        }
        let now = self.now();
        let is_group = frame.first().is_some_and(|first| first & 1 != 0);
        for (place, station) in self.stations.iter_mut().enumerate().filter(|(place, _)| *place != from) {
            if is_group || frame.starts_with(&station.mac()) {
                let answer = station.handle_frame(now, frame)?;
                self.sent.extend(answer.map(|answer| (place, answer)));
            }
        }
        Ok(())
    }

    /// Delivers every frame that is due, in order.
    fn deliver(&mut self) -> Result<()> {
        loop {
            let arrivals = self.flows.iter().enumerate().filter_map(|(i, flow)| Some((flow.next_arrival()?, i)));
            let (Some((at, i)), now) = (arrivals.min(), self.now()) else { return Ok(()) };
            if at > now {
                return Ok(());
            }
            self.lateness.note(now - at);
            match self.flows[i].deliver(now, &mut self.stations) {
                // What answers a frame that is late makes up for it: else a round trip would take longer than the path says.
                Ok(Some(place)) => self.collect(place, at)?,
                Ok(None) => {}
                Err(error) => self.flows[i].failure = Some(format!("{error:#}")),
            }
        }
    }

    fn pump_all(&mut self) {
        for i in 0..self.flows.len() {
            let now = self.now();
            let (flow, stations) = (&mut self.flows[i], &mut self.stations);
            let pumped = [End::Sender, End::Receiver].into_iter().try_for_each(|end| flow.pump(now, end, stations));
            if let Err(error) = pumped {
                flow.failure = Some(format!("{error:#}"));
            }
        }
    }

    fn rest(&self) -> Result<()> {
        let arrivals = self.flows.iter().filter_map(Flow::next_arrival);
        let dues = self.stations.iter().filter_map(Station::due);
        let until = arrivals.chain(dues).chain([self.patrol]).min().unwrap_or(self.patrol);
        let wires: Vec<_> = self.stations.iter().filter_map(Station::wire).collect();
        let now = self.now();
        if until > now {
            kernel::wait_for_any(&wires, until - now).context("cannot wait for the wires")?;
        }
        Ok(())
    }
}
