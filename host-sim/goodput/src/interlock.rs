//! With buffers of few segments silly window avoidance, Nagle's algorithm and delayed acknowledgments do not wait for each other, whichever of the
//! two stacks sends.
//!
//! Whenever no packet is on its way and not all is delivered, a stack's timer must pass: that is a wait.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smoltcp_0_14::socket::tcp::CongestionControl;
use tcp_reset_core::Config;

use crate::content;
use crate::ours::{Ours, Storage};
use crate::path::{Conditions, Path, Time};
use crate::stack::{End, Outbox, Stack};
use crate::theirs::Smoltcp;

const ENDS: [End; 2] = [End::Sender, End::Receiver];
/// What a stack asks to be polled for sooner is no wait.
const AT_ONCE: Duration = Duration::from_micros(1);

/// Messages of one size, each sent when the last is answered.
#[derive(Clone, Copy, Debug)]
struct Traffic {
    message: u64,
    answer: u64,
    rounds: u64,
}

/// One end: its stack, and what its application has written and read.
struct Side<'s> {
    stack: Box<dyn Stack + 's>,
    due: Option<Time>,
    written: u64,
    read: u64,
}

impl<'s> Side<'s> {
    fn new(stack: impl Stack + 's) -> Side<'s> {
        Side { stack: Box::new(stack), due: None, written: 0, read: 0 }
    }
}

struct Exchange<'s> {
    sides: [Side<'s>; 2],
    path: Path,
    traffic: Traffic,
    now: Time,
    waits: Vec<Duration>,
}

impl Exchange<'_> {
    /// How much an end may have written by now.
    fn may_write(&self, end: End) -> u64 {
        let Traffic { message, answer, rounds } = self.traffic;
        let read = self.sides[end as usize].read;
        match end {
            End::Sender => message * (read.checked_div(answer).unwrap_or(rounds) + 1).min(rounds),
            End::Receiver => read / message * answer,
        }
    }

    fn is_done(&self) -> bool {
        let Traffic { message, answer, rounds } = self.traffic;
        self.sides[0].read == answer * rounds && self.sides[1].read == message * rounds
    }

    /// Plays it; returns the waits.
    fn run(mut self) -> Result<Vec<Duration>> {
        self.turn(End::Receiver, None)?;
        self.turn(End::Sender, None)?;
        while !self.is_done() {
            ensure!(self.waits.len() < 1_000 && self.now < Duration::from_secs(3_600), "there is no end");
            let dues = ENDS.into_iter().filter_map(|end| Some((self.sides[end as usize].due?, end)));
            let due = dues.min_by_key(|(at, _)| *at);
            match (self.path.next_arrival(), due) {
                (Some((at, from)), due) if due.is_none_or(|(due, _)| at <= due) => {
                    self.now = at;
                    let packet = self.path.take(from).unwrap_or_default();
                    let to = if from == End::Sender { End::Receiver } else { End::Sender };
                    self.turn(to, Some(&packet))?;
                }
                (arrival, due) => {
                    let (at, end) = due.context("nothing more happens")?;
                    let wait = at.saturating_sub(self.now);
                    if arrival.is_none() && wait > AT_ONCE {
                        self.waits.push(wait);
                    }
                    self.now = self.now.max(at);
                    self.turn(end, None)?;
                }
            }
        }
        Ok(self.waits)
    }

    /// Hands a packet or the time to one end, lets its application do what it can, and takes the output.
    fn turn(&mut self, end: End, packet: Option<&[u8]>) -> Result<()> {
        let (now, mut output) = (self.now, Outbox::default());
        if let Some(packet) = packet {
            self.sides[end as usize].stack.handle_packet(now, packet, &mut output)?;
        }
        if self.sides[end as usize].stack.is_connected() {
            self.read(end)?;
            self.write(end);
        }
        let side = &mut self.sides[end as usize];
        side.stack.poll(now, &mut output)?;
        for packet in output.drain() {
            self.path.carry(now, end, packet);
        }
        side.due = side.stack.deadline(now).map(|at| at.max(now + AT_ONCE));
        Ok(())
    }

    fn read(&mut self, end: End) -> Result<()> {
        let (side, mut buf) = (&mut self.sides[end as usize], [0; 16_384]);
        loop {
            let n = side.stack.recv(self.now, &mut buf);
            if n == 0 {
                return Ok(());
            }
            content::check(side.read, &buf[..n])?;
            side.read += n as u64;
        }
    }

    fn write(&mut self, end: End) {
        let most = self.may_write(end);
        let side = &mut self.sides[end as usize];
        while side.written < most {
            let data = content::from(side.written);
            let len = data.len().min((most - side.written) as usize);
            let n = side.stack.send(self.now, &data[..len]);
            if n == 0 {
                return;
            }
            side.written += n as u64;
        }
    }
}

/// Payload of a full segment.
const MSSES: [u16; 10] = [1_024, 1_023, 820, 731, 683, 513, 366, 293, 257, 256];
const BUFFERS: [usize; 3] = [2_048, 4_096, 8_192];
const MOST_SEGMENTS: usize = 8;
const ROUNDS: u64 = 8;
/// Bulk data ends with a short segment.
const BULK: Traffic = Traffic { message: 40_100, answer: 0, rounds: 1 };

/// What the two stacks are given.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// Where our stack is.
    ours: End,
    mss: u16,
    /// Of the sender and of the receiver.
    buffers: [usize; 2],
    rtt: Duration,
}

impl Setting {
    fn all() -> impl Iterator<Item = Setting> {
        let rtts = [0, 1, 20].map(Duration::from_millis);
        let of_mss = |mss| BUFFERS.into_iter().filter(move |buffer| *buffer <= MOST_SEGMENTS * usize::from(mss));
        let buffers = move |mss| of_mss(mss).flat_map(move |tx| of_mss(mss).map(move |rx| [tx, rx]));
        let timed = move |mss, buffers| rtts.map(|rtt| ENDS.map(|ours| Setting { ours, mss, buffers, rtt }));
        MSSES.into_iter().flat_map(move |mss| buffers(mss).flat_map(move |both| timed(mss, both))).flatten()
    }

    /// Messages of every size about those of segments and buffers, answered by one byte and by as many, and bulk data.
    fn traffic(&self) -> Vec<Traffic> {
        let (mss, [tx, rx]) = (u64::from(self.mss), self.buffers.map(|buffer| buffer as u64));
        let segments = [1, mss - 1, mss, mss + 1, mss * 3 / 2, 2 * mss + 1, 3 * mss - 1];
        let sizes = segments.into_iter().chain([tx, tx + 1, rx, rx + 1, 2 * rx + 7]);
        let messages = sizes.flat_map(|message| [1, message].map(|answer| Traffic { message, answer, rounds: ROUNDS }));
        [BULK].into_iter().chain(messages).collect()
    }

    /// Returns the waits.
    fn play(&self, traffic: Traffic) -> Result<Vec<Duration>> {
        let Setting { ours, mss, buffers, rtt } = *self;
        let config = Config { mss: Some(mss), ..Config::default() };
        let mut storage = Box::new(Storage::new());
        let our_side = Side::new(Ours::new(ours, buffers[ours as usize], config, &mut storage)?);
        let theirs = if ours == End::Sender { End::Receiver } else { End::Sender };
        let their_side = Side::new(Smoltcp::new(theirs, buffers[theirs as usize], CongestionControl::None)?);
        let sides = if ours == End::Sender { [our_side, their_side] } else { [their_side, our_side] };
        let path = Path::new(Conditions { rtt, ..Conditions::DEFAULT }, 1);
        Exchange { sides, path, traffic, now: Time::ZERO, waits: Vec::new() }.run()
    }
}

#[test]
fn nobody_waits_for_a_timer() {
    let mut count = 0;
    for setting in Setting::all() {
        for traffic in setting.traffic() {
            let waits = setting.play(traffic).unwrap_or_else(|error| panic!("{setting:?} {traffic:?}: {error:#}"));
            assert!(waits.is_empty(), "{setting:?} {traffic:?}: waited {waits:?}");
            count += 1;
        }
    }
    assert!(count > 4_000, "{count} cases");
}
