//! Two engines, the path between them in virtual time, and an account of what was waited for.

use std::collections::VecDeque;
use std::time::Duration;

use tcp_reset_core::{
    ChecksumBy, Config, ConnectionHandle, Event, Instant, LinkAddr, ListenOptions, Storage, StreamOptions, Timer,
};

use crate::app::{App, Task};
use crate::support::family::Family;
use crate::support::packet::segment::Raw;
use crate::support::rig::{Engine, START, Sent, key, peer, us};

type Store = Storage<1, 1, 1, 1, 65_536>;

/// More steps than this are taken for an endless loop.
const MOST_STEPS: usize = 1_000_000;

/// Payload of a full segment: of the smallest buffer more than the half, the half, little less, and so on down to the eighth.
const MSSES: [usize; 10] = [1_460, 1_024, 1_023, 820, 731, 683, 513, 366, 293, 256];
const BUFFERS: [usize; 3] = [2_048, 4_096, 8_192];
/// The option in each segment.
const TIMESTAMPS: usize = if cfg!(feature = "timestamps") { 12 } else { 0 };

/// What both sides are given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Payload of a full segment.
    pub(crate) mss: usize,
    /// Send and receive buffer of each side.
    pub(crate) tx: usize,
    pub(crate) rx: usize,
    pub(crate) timing: Timing,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) nagle: bool,
    pub(crate) delayed_ack: Duration,
    pub(crate) rtt: Duration,
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Every combination of segments and buffers.
pub(crate) fn settings(timing: Timing) -> impl Iterator<Item = Setting> {
    let of_mss = move |mss| BUFFERS.into_iter().flat_map(move |tx| BUFFERS.map(|rx| Setting { mss, tx, rx, timing }));
    MSSES.into_iter().flat_map(of_mss)
}

/// Lets both applications do all their steps: every byte arrives, nothing is sent again, and no more waits for timers than said, in no more time.
pub(crate) fn judge(setting: &Setting, tasks: [&[Task]; 2], waits: usize, most: Duration) {
    let outcome = run(setting, tasks, false);
    let is_held_back = |wait: &Wait| wait.timer == Timer::DelayedAck;
    let is_right = outcome.waits.len() <= waits && outcome.waits.iter().all(is_held_back) && outcome.again == 0;
    if !is_right || outcome.elapsed > most {
        let Outcome { elapsed, waits, again, log } = run(setting, tasks, true);
        println!("{}", log.join("\n"));
        panic!("{setting:?}\n{tasks:?}\n{again} sent again, {elapsed:?} of {most:?}, {} waits: {waits:?}", waits.len());
    }
}

/// Nothing was on its way, no application had anything to do, and so a timer of one side had to pass.
#[derive(Debug)]
#[allow(dead_code, reason = "told where a test fails")]
struct Wait {
    side: usize,
    timer: Timer,
    time: Duration,
    /// When it began, since the start.
    at: Duration,
}

/// What a transfer has shown.
struct Outcome {
    elapsed: Duration,
    waits: Vec<Wait>,
    /// What was sent again, or probed, by both.
    again: u32,
    log: Vec<String>,
}

struct Side<'s> {
    engine: Engine<'s>,
    handle: ConnectionHandle,
    app: App,
}

struct Lab<'s> {
    sides: [Side<'s>; 2],
    delay: Duration,
    start: Instant,
    now: Instant,
    /// When it arrives, and where.
    air: VecDeque<(Instant, usize, Sent)>,
    outcome: Outcome,
    is_logged: bool,
}

/// Lets both applications do all their steps.
fn run(setting: &Setting, tasks: [&[Task]; 2], is_logged: bool) -> Outcome {
    let (mut left, mut right) = (Box::new(Store::new()), Box::new(Store::new()));
    let mut lab = Lab::open(setting, tasks, [&mut *left, &mut *right], is_logged);
    lab.act(0);
    lab.act(1);
    for _ in 0..MOST_STEPS {
        if lab.sides.iter().all(|side| side.app.is_done()) {
            lab.outcome.elapsed = lab.now.duration_since(lab.start);
            lab.outcome.again = lab.sides.iter().map(|side| side.engine.tcp.counters().retransmissions).sum();
            return lab.outcome;
        }
        lab.step();
    }
    panic!("no end of {setting:?}");
}

impl<'s> Lab<'s> {
    /// Returns after the handshake.
    fn open(setting: &Setting, tasks: [&[Task]; 2], stores: [&'s mut Store; 2], is_logged: bool) -> Lab<'s> {
        let (at_0, at_1) = (us(Family::V4), peer(Family::V4));
        let [store_0, store_1] = stores;
        let Setting { mss, tx, rx, timing: Timing { nagle, delayed_ack, rtt } } = *setting;
        let mss = Some((mss + TIMESTAMPS) as u16);
        let config = Config { mss, delayed_ack, checksum: Some(ChecksumBy::Hardware), ..Config::default() };
        let stream = StreamOptions { rx_buffer: rx, tx_buffer: tx, nagle, ..StreamOptions::default() };
        let mut a = Engine::with(store_0, config, key(1), START);
        let mut b = Engine::with(store_1, config, key(2), START);
        let listener = a.tcp.listen(at_0, ListenOptions { stream, ..ListenOptions::default() }).unwrap();
        let handle_1 = b.tcp.connect(START, at_1, at_0, Some(LinkAddr::default()), stream).unwrap();
        b.drain();
        let delay = rtt / 2;
        let mut now = START;
        for is_to_a in [true, false, true] {
            now = now + delay;
            let (from, to) = if is_to_a { (&mut b, &mut a) } else { (&mut a, &mut b) };
            to.now = now;
            for sent in std::mem::take(&mut from.sent) {
                let _ = to.arrive(sent.src, sent.dst, &raw_of(&sent));
            }
        }
        b.now = now;
        let handle_0 = a.tcp.accept(now, listener).unwrap();
        a.drain();
        let side = |engine, handle, tasks: &[Task]| Side { engine, handle, app: App::new(tasks) };
        let mut sides = [side(a, handle_0, tasks[0]), side(b, handle_1, tasks[1])];
        for side in &mut sides {
            side.engine.is_audited = false;
            side.engine.events.clear();
        }
        let outcome = Outcome { elapsed: Duration::ZERO, waits: Vec::new(), again: 0, log: Vec::new() };
        Lab { sides, delay, start: now, now, air: VecDeque::new(), outcome, is_logged }
    }

    /// Lets the application act, and takes what its engine has to say, until there is nothing more.
    fn act(&mut self, side: usize) {
        self.put_in_air(side);
        loop {
            let Side { engine, handle, app } = &mut self.sides[side];
            let is_told = engine.events.drain(..).any(|event| matches!(event, Event::Readable(_)));
            app.act(&mut engine.tcp, *handle, self.now, is_told);
            engine.drain();
            self.put_in_air(side);
            if self.sides[side].engine.events.is_empty() {
                return;
            }
        }
    }

    fn put_in_air(&mut self, side: usize) {
        let since = self.now.duration_since(self.start);
        for sent in self.sides[side].engine.sent.drain(..) {
            if self.is_logged {
                let Sent { seq, ack, flags, wnd, text, .. } = &sent;
                let line = format!("{since:?} {side}: {flags:02x} seq {seq} ack {ack} wnd {wnd} len {}", text.len());
                self.outcome.log.push(line);
            }
            self.air.push_back((self.now + self.delay, 1 - side, sent));
        }
    }

    fn step(&mut self) {
        if self.air.front().is_some_and(|(at, _, _)| *at <= self.now) {
            let (_, to, sent) = self.air.pop_front().unwrap();
            let engine = &mut self.sides[to].engine;
            engine.now = self.now;
            let _ = engine.arrive(sent.src, sent.dst, &raw_of(&sent));
            return self.act(to);
        }
        for side in 0..2 {
            let Side { engine, app, .. } = &mut self.sides[side];
            let is_due = engine.deadline.is_some_and(|(at, _)| at <= self.now);
            if is_due || app.wakes_at().is_some_and(|at| at <= self.now) {
                engine.now = self.now;
                if is_due {
                    engine.tcp.handle_timeout(self.now);
                    engine.drain();
                }
                return self.act(side);
            }
        }
        self.pass();
    }

    /// Lets time pass until something happens.
    fn pass(&mut self) {
        let arrival = self.air.front().map(|(at, _, _)| *at);
        let wake = self.sides.iter().filter_map(|side| side.app.wakes_at()).min();
        let deadlines = self
            .sides
            .iter()
            .enumerate()
            .filter_map(|(i, side)| side.engine.deadline.map(|(at, timer)| (at, i, timer)));
        let deadline = deadlines.min_by_key(|(at, _, _)| *at);
        let at = [arrival, wake, deadline.map(|(at, _, _)| at)].into_iter().flatten().min();
        let at = at.unwrap_or_else(|| panic!("nothing more happens:\n{}", self.outcome.log.join("\n")));
        if arrival.is_none()
            && wake.is_none()
            && let Some((_, side, timer)) = deadline
        {
            let wait = Wait { side, timer, time: at.duration_since(self.now), at: self.now.duration_since(self.start) };
            if self.is_logged {
                self.outcome.log.push(format!("{wait:?}"));
            }
            self.outcome.waits.push(wait);
        }
        self.now = at;
    }
}

fn raw_of(sent: &Sent) -> Raw<'_> {
    let (seq, ack, flags, wnd) = (sent.seq, sent.ack, sent.flags, sent.wnd as u16);
    Raw { seq, ack, flags, wnd, urgent: 0, options: &sent.options, text: &sent.text }
}
