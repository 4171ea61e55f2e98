//! One world to which SACK is spoken: an engine that sends, a receiver of some manner, and a wire that loses, repeats, delays and reorders by seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    ChecksumBy, Config, ConnectionHandle, Error, Event, LinkAddr, ListenOptions, State, StreamOptions,
};

use crate::model::{Model, Out, Seen};
use crate::sack_model::{Cause, SackModel, Start, Tally};
use crate::sack_receiver::{MANNERS, Manner, Report, SackReceiver};
use crate::scale::{Scale, Stores};
use crate::support::family::Family;
use crate::support::packet::segment::sack_option;
use crate::support::rig::{Engine, PEER_ISN, Raw, START, peer, reno, us};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::support::world::{MS, Rng, SECOND, stream_bytes};

const RTO_MAX: u64 = 3 * SECOND;
/// When a world must have ended, after the last write; each segment may need a timeout where the receiver lies or says nothing.
const END: u64 = 1_200 * SECOND;
/// Events of a world at most.
const MOST_EVENTS: u32 = 60_000;
const PEER_SEQ: u32 = PEER_ISN + 1;
/// The largest window that a header says by itself.
const UNSCALED: u32 = 65_535;
/// Segments of a stream at most.
const MOST_SEGMENTS: u64 = 80;

/// What a world is drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) manner: Manner,
    most_blocks: usize,
    mss: u16,
    tx_buffer: usize,
    total: u32,
    most_written: u32,
    has_nagle: bool,
    is_passive: bool,
    /// How far before the wrap of the sequence numbers the stream begins.
    before_wrap: Option<u32>,
    rto_min_ms: u64,
    room: u32,
    scale: Scale,
    is_shrinking: bool,
    reneges_after: u32,
    delay_us: u64,
    jitter_us: u64,
    /// In percent each.
    loss: u64,
    ack_loss: u64,
    reorder: u64,
    duplicate: u64,
    pause: u64,
    idle: u64,
    /// How many segments may be lost in all.
    losses: u32,
}

impl Plan {
    pub(crate) fn drawn(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let r = &mut rng;
        let mss = r.pick(&[64_u16, 100, 200, 536, 1_460]);
        let total = ((1 + r.below(MOST_SEGMENTS)) * u64::from(mss) + r.below(64)) as u32;
        let few = |r: &mut Rng| if r.percent(40) { 0 } else { r.below(30) };
        let is_in_order = r.percent(30);
        Plan {
            seed,
            manner: r.pick(&MANNERS),
            most_blocks: 3 + r.below(2) as usize,
            mss,
            tx_buffer: r.pick(&[512, 2_048, 8_192, 32_768]),
            total,
            most_written: u32::from(mss) / 3
                + (if r.percent(50) { 80 } else { r.below(40) } * u64::from(mss) / 3) as u32,
            has_nagle: r.percent(50),
            is_passive: r.percent(50),
            before_wrap: r.percent(50).then(|| r.below(u64::from(total) + 2) as u32),
            rto_min_ms: r.pick(&[20, 200, 1_000]),
            room: if r.percent(50) { 60_000 } else { ((1 + r.below(60)) as u32 * u32::from(mss) / 2).min(65_535) },
            scale: Scale::NONE,
            is_shrinking: r.percent(20),
            reneges_after: 1 + r.below(12) as u32,
            delay_us: r.pick(&[500, 5_000, 40_000]),
            jitter_us: if is_in_order { 0 } else { r.pick(&[0, 3_000, 30_000]) },
            loss: few(r),
            ack_loss: if is_in_order { 0 } else { few(r) },
            reorder: if is_in_order { 0 } else { few(r) },
            duplicate: if is_in_order || r.percent(70) { 0 } else { r.below(20) },
            pause: if r.percent(50) { 0 } else { r.below(20) },
            idle: if r.percent(60) { 0 } else { r.below(20) },
            losses: r.below(60) as u32,
        }
    }

    /// The same with a stream that fills buffers and windows beyond 65,535 bytes, where little is lost.
    #[cfg(feature = "window-scale")]
    pub(crate) fn drawn_large(seed: u64) -> Plan {
        let mut rng = Rng::new(seed ^ 0x6c61_7267);
        let r = &mut rng;
        let plan = Plan::drawn(seed);
        let mss = r.pick(&[536_u16, 1_000, 1_460]);
        let total = ((100 + r.below(300)) * u64::from(mss) + r.below(64)) as u32;
        let scale = if r.percent(15) { Scale::NONE } else { Scale::by(r.below(15) as u8) };
        let order = u64::from(r.percent(25));
        Plan {
            mss,
            total,
            tx_buffer: r.pick(&[32_768, 65_536, 131_072, 262_144, 262_144]),
            most_written: total / (1 + r.below(7) as u32),
            before_wrap: plan.before_wrap.map(|_| r.below(u64::from(total) + 2) as u32),
            room: scale.said(40_000 + r.below(360_000) as u32),
            scale,
            jitter_us: order * plan.jitter_us,
            reorder: order * plan.reorder,
            loss: plan.loss / 5,
            ack_loss: plan.ack_loss / 3,
            losses: plan.losses / 4,
            ..plan
        }
    }

    /// Whether the wire keeps the order, and loses no acknowledgment.
    fn is_in_order(&self) -> bool {
        self.jitter_us == 0 && self.ack_loss == 0 && self.reorder == 0 && self.duplicate == 0
    }
}

enum What {
    ToPeer { at: u32, text: Vec<u8>, has_fin: bool },
    ToUs(Report),
    Write,
    Resume,
}

struct World<'s, 'p> {
    plan: &'p Plan,
    engine: Engine<'s>,
    handle: ConnectionHandle,
    first: u32,
    receiver: SackReceiver,
    model: SackModel,
    rng: Rng,
    queue: BTreeMap<(u64, u64), What>,
    serial: u64,
    /// Bytes that wait for room in the send buffer.
    to_write: u32,
    drawn: u32,
    is_shut: bool,
    lost: u32,
    pauses: u32,
    events: u32,
    /// How often the wire lost each byte.
    lost_bytes: Vec<u32>,
    log: Vec<String>,
}

fn ends() -> (SocketAddr, SocketAddr) {
    (peer(Family::V4), us(Family::V4))
}

fn config(plan: &Plan) -> Config {
    Config {
        checksum: Some(ChecksumBy::Hardware),
        mss: Some(plan.mss),
        rto_min: Duration::from_millis(plan.rto_min_ms),
        rto_max: Duration::from_micros(RTO_MAX),
        ..reno()
    }
}

/// The seeds of a test: the first ones, or for a longer run those that a variable names by the first and how many, `1000000,100000`.
pub(crate) fn seeds(variable: &str, count: u64) -> std::ops::Range<u64> {
    let named = std::env::var(variable).ok();
    let range = named.as_deref().and_then(|named| {
        let (from, count) = named.split_once(',')?;
        let (from, count): (u64, u64) = (from.parse().ok()?, count.parse().ok()?);
        Some(from..from + count)
    });
    range.unwrap_or(0..count)
}

/// Lives through a world.
pub(crate) fn live(plan: &Plan) -> Result<Tally, String> {
    let (mut stores, mut again) = (Stores::default(), Stores::default());
    let mut engine = stores.engine(plan.tx_buffer, config(plan), START);
    let (_, first) = shake_hands(&mut engine, plan);
    let shift = plan.before_wrap.map_or(0, |before| 4 * u64::from(before.wrapping_add(first).wrapping_neg()));
    let start = START + Duration::from_micros(shift);
    let mut engine = again.engine(plan.tx_buffer, config(plan), start);
    let (handle, first) = shake_hands(&mut engine, plan);
    assert!(plan.before_wrap.is_none_or(|before| before.wrapping_add(first) == 0), "the stream begins before the wrap");
    let now = engine.now.as_micros();
    // A SYN,ACK says a window without scale.
    let wnd = if plan.is_passive { plan.scale.said(plan.room) } else { plan.room.min(UNSCALED) };
    let start = Start { mss: plan.mss.into(), wnd, now, rto_min: plan.rto_min_ms * MS, slack: plan.scale.slack() };
    let mut receiver = SackReceiver::new(plan.manner, plan.most_blocks, plan.total, plan.room, plan.reneges_after);
    receiver.is_shrinking = plan.is_shrinking;
    let mut world = World {
        plan,
        engine,
        handle,
        first,
        receiver,
        model: SackModel::new(&start),
        rng: Rng::new(!plan.seed),
        queue: BTreeMap::new(),
        serial: 0,
        to_write: 0,
        drawn: 0,
        is_shut: false,
        lost: 0,
        pauses: 0,
        events: 0,
        lost_bytes: vec![0; plan.total as usize + 1],
        log: Vec::new(),
    };
    world.run().map_err(|error| {
        let from = world.log.len().saturating_sub(60);
        format!("{error}\n{plan:?}\n{}", world.log[from..].join("\n"))
    })
}

fn shake_hands(engine: &mut Engine<'_>, plan: &Plan) -> (ConnectionHandle, u32) {
    let (peer, us) = ends();
    let stream =
        StreamOptions { tx_buffer: plan.tx_buffer, nagle: plan.has_nagle, rx_buffer: 64, ..StreamOptions::default() };
    let [high, low] = plan.mss.to_be_bytes();
    let options = [&[2, 4, high, low, 4, 2, 1, 1][..], plan.scale.option()].concat();
    let wnd = plan.room.min(UNSCALED) as u16;
    let rtt = Duration::from_micros(2 * plan.delay_us);
    if plan.is_passive {
        let listener = engine.tcp.listen(us, ListenOptions { stream, ..ListenOptions::default() }).unwrap();
        let syn = Raw { seq: PEER_ISN, flags: SYN, wnd, options: &options, ..Raw::default() };
        let _ = engine.arrive(peer, us, &syn);
        let first = engine.only().seq.wrapping_add(1);
        engine.now = engine.now + rtt;
        let wnd = plan.scale.field(plan.room);
        let ack = Raw { seq: PEER_SEQ, ack: first, flags: ACK, wnd, ..Raw::default() };
        let _ = engine.arrive(peer, us, &ack);
        let handle = engine.tcp.accept(engine.now, listener).unwrap();
        engine.drain();
        (handle, first)
    } else {
        let handle = engine.tcp.connect(engine.now, us, peer, Some(LinkAddr::default()), stream).unwrap();
        engine.drain();
        let first = engine.only().seq.wrapping_add(1);
        engine.now = engine.now + rtt;
        let reply = Raw { seq: PEER_ISN, ack: first, flags: SYN | ACK, wnd, options: &options, ..Raw::default() };
        let _ = engine.arrive(peer, us, &reply);
        (handle, first)
    }
}

impl World<'_, '_> {
    fn run(&mut self) -> Result<Tally, String> {
        let window = Model::initial_window(self.plan.mss.into(), false);
        if self.seen().cwnd != window {
            return Err(format!("the initial window is {}, not {window}", self.seen().cwnd));
        }
        self.put(0, What::Write);
        let mut end = self.now() + END;
        while !self.receiver.has_all() || self.model.is_waiting() || self.state() != State::FinWait2 {
            self.events += 1;
            let timer = self.engine.deadline.map(|(at, _)| at.as_micros());
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            if timer.is_none() && next.is_none() {
                return Err("a deadlock: nothing is to come".into());
            }
            if self.model.is_waiting() && timer.is_none_or(|at| at > self.now() + RTO_MAX + MS) {
                return Err(format!("bytes are out and the timer is {timer:?} at {}", self.now()));
            }
            if timer.is_some_and(|at| next.is_none_or(|next| at <= next)) {
                self.expire(timer.unwrap())?;
            } else {
                let ((at, _), what) = self.queue.pop_first().unwrap();
                self.engine.now = START + Duration::from_micros(at - START.as_micros());
                if matches!(what, What::Write) {
                    end = at + END;
                }
                self.happen(what)?;
            }
            self.write_more()?;
            if self.now() > end || self.events > MOST_EVENTS {
                return Err("the world does not end".into());
            }
        }
        self.finish()
    }

    fn now(&self) -> u64 {
        self.engine.now.as_micros()
    }

    fn seen(&self) -> Seen {
        Seen::new(&self.engine.tcp.status(self.handle).unwrap())
    }

    fn put(&mut self, after: u64, what: What) {
        self.serial += 1;
        self.queue.insert((self.now() + after, self.serial), what);
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        let at = self.now() - START.as_micros();
        self.log.push(format!("{at:>10} {}", text()));
    }

    fn expire(&mut self, at: u64) -> Result<(), String> {
        let before = self.seen();
        let timer = self.engine.next_deadline();
        self.note(|| format!("{timer:?}"));
        if self.engine.deadline.is_some_and(|(next, _)| next.as_micros() <= at) {
            return Err(format!("{timer:?} is due again at once"));
        }
        self.judge(&Cause::Timer(timer), before)
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Write => {
                self.draw_write();
                Ok(())
            }
            What::ToPeer { at, text, has_fin } => self.receive(at, &text, has_fin),
            What::ToUs(report) => self.hear(report),
            What::Resume => {
                self.receiver.is_reading = true;
                self.receiver.room = self.plan.room;
                let report = self.receiver.report(&mut self.rng);
                self.reply(report);
                Ok(())
            }
        }
    }

    fn draw_write(&mut self) {
        let rest = self.plan.total - self.drawn;
        let len = (1 + self.rng.below(self.plan.most_written.into()) as u32).min(rest);
        self.drawn += len;
        self.to_write += len;
        if self.drawn < self.plan.total {
            let most = if self.rng.percent(self.plan.idle) { 20 * SECOND } else { 4 * self.plan.delay_us };
            let gap = self.rng.below(most);
            self.put(gap, What::Write);
        }
    }

    fn hear(&mut self, report: Report) -> Result<(), String> {
        let before = self.seen();
        self.note(|| format!("          <- {} wnd {} {:?}", report.to, report.wnd, report.blocks));
        let (peer, us) = ends();
        let options = sack_option(self.first, &report.blocks);
        let ack = self.first.wrapping_add(report.to);
        let wnd = self.plan.scale.field(report.wnd);
        let raw = Raw { seq: PEER_SEQ, ack, flags: ACK, wnd, options: &options, ..Raw::default() };
        let _ = self.engine.arrive(peer, us, &raw);
        self.judge(&Cause::Report(report), before)
    }

    fn receive(&mut self, at: u32, text: &[u8], has_fin: bool) -> Result<(), String> {
        if text != stream_bytes(self.plan.seed, at as usize, text.len()) {
            return Err(format!("wrong bytes at {at}"));
        }
        if self.rng.percent(self.plan.pause) && self.receiver.is_reading && self.pauses < 20 {
            self.pauses += 1;
            if self.receiver.is_shrinking && self.rng.percent(50) {
                self.receiver.room = self.rng.below((self.plan.room + 1).into()) as u32;
            } else {
                self.receiver.is_reading = false;
            }
            let pause = self.rng.below(20 * self.plan.delay_us);
            self.put(pause, What::Resume);
        }
        let report = self.receiver.take(at, text.len() as u32 + u32::from(has_fin), &mut self.rng);
        self.reply(report);
        Ok(())
    }

    fn reply(&mut self, report: Report) {
        let report = Report { wnd: self.plan.scale.said(report.wnd), ..report };
        self.carry(self.plan.ack_loss, || What::ToUs(report.clone()));
    }

    /// Puts something on the wire; returns whether it was lost.
    fn carry(&mut self, loss: u64, what: impl Fn() -> What) -> bool {
        if self.lost < self.plan.losses && self.rng.percent(loss) {
            self.lost += 1;
            self.note(|| "lost".into());
            return true;
        }
        let copies = 1 + u32::from(self.rng.percent(self.plan.duplicate));
        for _ in 0..copies {
            let mut delay = self.plan.delay_us + self.rng.below(self.plan.jitter_us + 1);
            if self.rng.percent(self.plan.reorder) {
                delay += self.rng.below(4 * self.plan.delay_us);
            }
            self.put(delay, what());
        }
        false
    }

    fn write_more(&mut self) -> Result<(), String> {
        if self.to_write > 0 {
            let before = self.seen();
            // No more than there is ever room for.
            let len = (self.to_write as usize).min(self.plan.tx_buffer);
            let bytes = stream_bytes(self.plan.seed, self.model.written as usize, len);
            match self.engine.tcp.send(self.engine.now, self.handle, &bytes) {
                Ok(taken) => {
                    self.note(|| format!("write {taken}"));
                    self.model.written += taken as u32;
                    self.to_write -= taken as u32;
                    self.engine.drain();
                    self.judge(&Cause::Write, before)?;
                }
                Err(Error::WouldBlock) => {}
                Err(error) => return Err(format!("{error:?}")),
            }
        }
        if self.model.written == self.plan.total && !self.is_shut {
            self.is_shut = true;
            let before = self.seen();
            self.note(|| "shutdown".into());
            self.engine.tcp.shutdown(self.engine.now, self.handle).unwrap();
            self.model.written += 1;
            self.engine.drain();
            self.judge(&Cause::Write, before)?;
        }
        Ok(())
    }

    /// Judges what the last call did, and puts what it sent on the wire.
    fn judge(&mut self, cause: &Cause, before: Seen) -> Result<(), String> {
        if let Some(event) = self.engine.events.iter().find(|event| matches!(event, Event::Closed(..))) {
            return Err(format!("the connection ended: {event:?}"));
        }
        let after = self.seen();
        let mut outs = Vec::new();
        for sent in std::mem::take(&mut self.engine.sent) {
            if sent.flags & RST != 0 || !sent.options.is_empty() {
                return Err(format!("a reset, or options: {sent:?}"));
            }
            let has_fin = sent.flags & FIN != 0;
            if sent.text.is_empty() && !has_fin {
                // The challenge to an acknowledgment that is too old (RFC 5961 §5.2).
                continue;
            }
            let at = sent.seq.wrapping_sub(self.first);
            let out = Out { at, len: sent.text.len() as u32 + u32::from(has_fin), has_fin };
            self.note(|| format!("-> {at}+{} cwnd {} ssthresh {}", out.len, after.cwnd, after.ssthresh));
            outs.push(out);
            if self.carry(self.plan.loss, || What::ToPeer { at, text: sent.text.clone(), has_fin }) {
                self.lost_bytes[at as usize..out.end() as usize].iter_mut().for_each(|count| *count += 1);
            }
        }
        self.model.step(self.now(), cause, before, after, &outs).map_err(|error| format!("{cause:?}: {error}"))
    }

    fn state(&self) -> State {
        let (peer, us) = ends();
        self.engine.tcp.state_of(us, peer)
    }

    fn finish(&mut self) -> Result<Tally, String> {
        let tally = self.model.tally;
        let is_honest = matches!(self.plan.manner, Manner::Truthful | Manner::TellsDuplicates);
        let has_waited = tally.timeouts + tally.probes + tally.window_probes > 0;
        let is_all_known = tally.overflows + tally.beyond_recover == 0;
        if is_honest && self.plan.is_in_order() && !has_waited && is_all_known {
            self.each_was_lost()?;
        }
        Ok(tally)
    }

    /// A wire that keeps the order shows what it lost, and no segment is sent again that begins with anything else.
    fn each_was_lost(&self) -> Result<(), String> {
        let mut lost = self.lost_bytes.clone();
        for &(from, to) in &self.receiver.refused {
            lost[from as usize..to as usize].iter_mut().for_each(|count| *count += 1);
        }
        for &(from, to) in &self.model.again {
            if lost[from as usize] == 0 {
                return Err(format!("{from} is sent again and was not lost"));
            }
            lost[from as usize..to as usize].iter_mut().for_each(|count| *count = count.saturating_sub(1));
        }
        Ok(())
    }
}
