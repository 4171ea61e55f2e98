//! One transfer, from event to event.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::content;
use crate::path::{Conditions, Path, Time};
use crate::run::Outcome;
use crate::stack::{End, Outbox, Stack};
use crate::trace::Trace;

/// Virtual time after which a transfer is given up; one of these sizes takes hours at most.
const LIMIT: Duration = Duration::from_secs(10 * 24 * 3_600);
/// How often a stack may ask to be polled again at once before it is said to spin.
const MAX_SPINS: u32 = 1_000;
/// The receiver's application reads so many bytes at a time.
const READ: usize = 16_384;

/// What happens next.
#[derive(Clone, Copy)]
enum Event {
    /// The packet that was sent at this end arrives at the other.
    Arrival(End),
    Deadline(End),
}

pub(crate) struct Transfer<'t, 'w, S> {
    sender: S,
    receiver: S,
    path: Path,
    trace: Option<&'t mut Trace<'w>>,
    now: Time,
    /// When to poll the sender and the receiver next.
    due: [Option<Time>; 2],
    spins: u32,
    /// When the sender was connected.
    start: Option<Time>,
    /// Bytes that the sender's stack took, and that the receiver's application read.
    queued: u64,
    received: u64,
    output: Outbox,
    buf: Vec<u8>,
}

impl<'t, 'w, S: Stack> Transfer<'t, 'w, S> {
    pub(crate) fn new(
        sender: S,
        receiver: S,
        conditions: Conditions,
        seed: u64,
        trace: Option<&'t mut Trace<'w>>,
    ) -> Self {
        Transfer {
            sender,
            receiver,
            path: Path::new(conditions, seed),
            trace,
            now: Time::ZERO,
            due: [None; 2],
            spins: 0,
            start: None,
            queued: 0,
            received: 0,
            output: Outbox::default(),
            buf: vec![0; READ],
        }
    }

    /// Transfers at least `bytes` bytes.
    ///
    /// # Errors
    /// If the content differs, the connection ends, or nothing more happens.
    pub(crate) fn run(mut self, bytes: u64) -> Result<Outcome> {
        self.turn(End::Receiver, None)?;
        self.turn(End::Sender, None)?;
        while self.received < bytes {
            let step = self.step();
            step.with_context(|| format!("after {} bytes, at {:.6} s", self.received, self.now.as_secs_f64()))?;
        }
        let start = self.start.context("the sender sent without a connection")?;
        let ((sent, lost), (answers, answers_lost)) = (self.path.count(End::Sender), self.path.count(End::Receiver));
        let elapsed = self.now - start;
        Ok(Outcome { bytes: self.received, elapsed, sent, lost, answers, answers_lost })
    }

    fn step(&mut self) -> Result<()> {
        let (at, event) = self.next_event().context("nothing more happens")?;
        if at > LIMIT {
            bail!("the transfer does not come to an end");
        }
        self.now = self.now.max(at);
        match event {
            Event::Arrival(from) => {
                let packet = self.path.take(from).unwrap_or_default();
                let to = if from == End::Sender { End::Receiver } else { End::Sender };
                self.turn(to, Some(&packet))?;
                self.output.recycle(packet);
                Ok(())
            }
            Event::Deadline(end) => self.turn(end, None),
        }
    }

    fn next_event(&self) -> Option<(Time, Event)> {
        let arrival = self.path.next_arrival().map(|(at, from)| (at, Event::Arrival(from)));
        let deadlines = [End::Sender, End::Receiver].map(|end| Some((self.due[end as usize]?, Event::Deadline(end))));
        // Of what happens at once the arrival is first.
        [arrival].into_iter().chain(deadlines).flatten().min_by_key(|(at, _)| *at)
    }

    /// Hands a packet or the time to one end, lets its application act, and takes the output.
    fn turn(&mut self, end: End, packet: Option<&[u8]>) -> Result<()> {
        self.spins = if packet.is_some() { 0 } else { self.spins + 1 };
        if self.spins > MAX_SPINS {
            bail!("a stack asks again and again to be polled, and does nothing");
        }
        if let Some(packet) = packet {
            match end {
                End::Sender => self.sender.handle_packet(self.now, packet, &mut self.output)?,
                End::Receiver => self.receiver.handle_packet(self.now, packet, &mut self.output)?,
            }
        }
        match end {
            End::Sender => {
                self.write();
                self.sender.poll(self.now, &mut self.output)?;
            }
            End::Receiver => {
                self.read()?;
                self.receiver.poll(self.now, &mut self.output)?;
            }
        }
        self.flush(end)?;
        self.set_due(end);
        Ok(())
    }

    /// The sender's application: fills the buffer.
    fn write(&mut self) {
        if !self.sender.is_connected() {
            return;
        }
        self.start.get_or_insert(self.now);
        loop {
            let n = self.sender.send(self.now, content::from(self.queued));
            if n == 0 {
                return;
            }
            self.queued += n as u64;
        }
    }

    /// The receiver's application: reads all there is.
    fn read(&mut self) -> Result<()> {
        if !self.receiver.is_connected() {
            return Ok(());
        }
        loop {
            let n = self.receiver.recv(self.now, &mut self.buf);
            if n == 0 {
                return Ok(());
            }
            content::check(self.received, &self.buf[..n])?;
            self.received += n as u64;
        }
    }

    /// Puts what an end has sent on the path.
    fn flush(&mut self, from: End) -> Result<()> {
        let mut dropped = Vec::new();
        for packet in self.output.drain() {
            self.spins = 0;
            let (now, path) = (self.now, &mut self.path);
            match &mut self.trace {
                None => dropped.extend(path.carry(now, from, packet).1),
                Some(trace) => {
                    let seen = packet.clone();
                    let (fate, back) = path.carry(now, from, packet);
                    trace.write(now, from, &seen, fate)?;
                    dropped.extend(back);
                }
            }
        }
        for packet in dropped {
            self.output.recycle(packet);
        }
        Ok(())
    }

    /// A deadline that is over means at once: the next microsecond, as stacks see no less.
    fn set_due(&mut self, end: End) {
        let stack = match end {
            End::Sender => &mut self.sender,
            End::Receiver => &mut self.receiver,
        };
        let next = Duration::from_micros(self.now.as_micros() as u64 + 1);
        self.due[end as usize] = stack.deadline(self.now).map(|at| at.max(next));
    }
}
