//! One sender, one scripted receiver, and a wire between them that loses, repeats, delays and reorders by seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    ChecksumBy, Config, ConnectionHandle, Error, Event, LinkAddr, ListenOptions, State, StreamOptions, Timer,
};

use crate::model::{Cause, Model, Out, Seen, Start};
use crate::receiver::{Ack, Receiver};
use crate::scale::{Scale, Stores};
use crate::support::family::Family;
use crate::support::rig::{Engine, PEER_ISN, Raw, START, peer, reno, us};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::support::world::{MS, Rng, SECOND, stream_bytes};

/// What a world is drawn from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) mss: u16,
    pub(crate) tx_buffer: usize,
    /// Bytes that the application writes.
    pub(crate) total: u32,
    pub(crate) most_written: u32,
    pub(crate) has_nagle: bool,
    pub(crate) is_passive: bool,
    /// How often the handshake's segment is lost.
    pub(crate) handshake_lost: u32,
    pub(crate) rto_min_ms: u64,
    /// The receiver's buffer, in bytes.
    pub(crate) room: u32,
    pub(crate) scale: Scale,
    pub(crate) is_shrinking: bool,
    pub(crate) delay_us: u64,
    pub(crate) jitter_us: u64,
    /// In percent each.
    pub(crate) loss: u64,
    pub(crate) ack_loss: u64,
    pub(crate) reorder: u64,
    pub(crate) duplicate: u64,
    /// How likely the receiver's application pauses or changes its buffer on a segment.
    pub(crate) pause: u64,
    /// How likely the application idles for long between two writes.
    pub(crate) idle: u64,
    /// How many segments may be lost in all.
    pub(crate) losses: u32,
}

enum What {
    ToPeer { at: u32, text: Vec<u8>, has_fin: bool },
    ToUs(Ack),
    Write,
    Resume,
}

/// How a world ended.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) timeouts: u32,
    pub(crate) probes: u32,
    pub(crate) recoveries: u32,
    pub(crate) window_probes: u32,
    pub(crate) partial_acks: u32,
    /// In bytes.
    pub(crate) sent: u32,
    /// In bytes.
    pub(crate) sent_again: u32,
    pub(crate) lost: u32,
    pub(crate) spurious_after_probe: u32,
    /// The most that was out at once, in bytes.
    pub(crate) most_out: u32,
}

struct World<'s, 'p> {
    plan: &'p Plan,
    engine: Engine<'s>,
    handle: ConnectionHandle,
    first: u32,
    receiver: Receiver,
    model: Model,
    rng: Rng,
    queue: BTreeMap<(u64, u64), What>,
    serial: u64,
    /// Bytes that wait for room in the send buffer.
    to_write: u32,
    drawn: u32,
    is_shut: bool,
    lost: u32,
    news: u32,
    log: Vec<String>,
}

const RTO_MAX: u64 = 3 * SECOND;
/// When a world must have ended, after the last write.
const END: u64 = 400 * SECOND;
const PEER_SEQ: u32 = PEER_ISN + 1;
/// The largest window that a header says by itself.
const UNSCALED: u32 = 65_535;

fn ends() -> (SocketAddr, SocketAddr) {
    (peer(Family::V4), us(Family::V4))
}

/// Lives through a world.
pub(crate) fn live(plan: &Plan) -> Result<Tally, String> {
    let mut stores = Stores::default();
    let config = Config {
        checksum: Some(ChecksumBy::Hardware),
        mss: Some(plan.mss),
        rto_min: Duration::from_millis(plan.rto_min_ms),
        rto_max: Duration::from_micros(RTO_MAX),
        ..reno()
    };
    let mut engine = stores.engine(plan.tx_buffer, config, START);
    let stream =
        StreamOptions { tx_buffer: plan.tx_buffer, nagle: plan.has_nagle, rx_buffer: 64, ..StreamOptions::default() };
    let (handle, first) = shake_hands(&mut engine, plan, stream);
    // A SYN,ACK says a window without scale.
    let wnd = if plan.is_passive { plan.scale.said(plan.room) } else { plan.room.min(UNSCALED) };
    let now = engine.now.as_micros();
    let start =
        Start { mss: plan.mss.into(), wnd, total: plan.total, now, rto_min: plan.rto_min_ms * MS, rto_max: RTO_MAX };
    let mut world = World {
        plan,
        engine,
        handle,
        first,
        receiver: Receiver::new(plan.total, plan.room, plan.is_shrinking),
        model: Model::new(&start),
        rng: Rng::new(plan.seed),
        queue: BTreeMap::new(),
        serial: 0,
        to_write: 0,
        drawn: 0,
        is_shut: false,
        lost: 0,
        news: 0,
        log: Vec::new(),
    };
    world.run().map_err(|error| {
        let from = world.log.len().saturating_sub(60);
        format!("{error}\n{}", world.log[from..].join("\n"))
    })
}

fn shake_hands(engine: &mut Engine<'_>, plan: &Plan, stream: StreamOptions) -> (ConnectionHandle, u32) {
    let (peer, us) = ends();
    let [high, low] = plan.mss.to_be_bytes();
    let options = [&[2, 4, high, low][..], plan.scale.option()].concat();
    let wnd = plan.room.min(UNSCALED) as u16;
    let rtt = Duration::from_micros(2 * plan.delay_us);
    let wait = |engine: &mut Engine<'_>| {
        for _ in 0..plan.handshake_lost {
            let _ = engine.next_deadline();
        }
        engine.now = engine.now + rtt;
        let due = engine.deadline.is_some_and(|(at, _)| at <= engine.now);
        assert!(!due, "the handshake is faster than its timeout");
    };
    if plan.is_passive {
        let listener = engine.tcp.listen(us, ListenOptions { stream, ..ListenOptions::default() }).unwrap();
        let syn = Raw { seq: PEER_ISN, flags: SYN, wnd, options: &options, ..Raw::default() };
        let _ = engine.arrive(peer, us, &syn);
        let first = engine.only().seq.wrapping_add(1);
        wait(engine);
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
        wait(engine);
        let reply = Raw { seq: PEER_ISN, ack: first, flags: SYN | ACK, wnd, options: &options, ..Raw::default() };
        let _ = engine.arrive(peer, us, &reply);
        (handle, first)
    }
}

impl World<'_, '_> {
    fn run(&mut self) -> Result<Tally, String> {
        let seen = self.seen();
        let window = Model::initial_window(self.plan.mss.into(), self.plan.handshake_lost > 0);
        if seen.cwnd != window {
            return Err(format!("the initial window is {}, not {window}", seen.cwnd));
        }
        self.put(0, What::Write);
        let mut end = self.now() + END;
        // The FIN may be out as a probe of a closed window, which moves no number.
        while !self.receiver.has_all() || self.model.is_waiting() || self.state() != State::FinWait2 {
            let timer = self.engine.deadline.map(|(at, _)| at.as_micros());
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            if timer.is_none() && next.is_none() {
                return Err("a deadlock: nothing is to come".into());
            }
            if timer.is_none() && self.model.is_waiting() {
                return Err("text is out and no timer runs".into());
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
            if self.now() > end {
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
        self.judge(Cause::Timer(timer), before)
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Write => {
                let rest = self.plan.total - self.drawn;
                let len = (1 + self.rng.below(self.plan.most_written.into()) as u32).min(rest);
                self.drawn += len;
                self.to_write += len;
                if self.drawn < self.plan.total {
                    let gap = if self.rng.percent(self.plan.idle) {
                        self.rng.below(20 * SECOND)
                    } else {
                        self.rng.below(4 * self.plan.delay_us)
                    };
                    self.put(gap, What::Write);
                }
                Ok(())
            }
            What::ToPeer { at, text, has_fin } => self.receive(at, &text, has_fin),
            What::ToUs(ack) => {
                let before = self.seen();
                self.note(|| format!("          <- {} wnd {}, cwnd {}", ack.to, ack.wnd, before.cwnd));
                let (peer, us) = ends();
                let raw = Raw {
                    seq: PEER_SEQ,
                    ack: self.first.wrapping_add(ack.to),
                    flags: ACK,
                    wnd: self.plan.scale.field(ack.wnd),
                    ..Raw::default()
                };
                let _ = self.engine.arrive(peer, us, &raw);
                self.judge(Cause::Ack(ack), before)
            }
            What::Resume => {
                self.receiver.is_reading = true;
                self.receiver.room = self.plan.room;
                let ack = self.receiver.ack();
                self.reply(ack);
                Ok(())
            }
        }
    }

    fn receive(&mut self, at: u32, text: &[u8], has_fin: bool) -> Result<(), String> {
        if text != stream_bytes(self.plan.seed, at as usize, text.len()) {
            return Err(format!("wrong bytes at {at}"));
        }
        if self.rng.percent(self.plan.pause) && self.receiver.is_reading && self.news < 20 {
            self.news += 1;
            if self.receiver.is_shrinking && self.rng.percent(50) {
                self.receiver.room = self.rng.below((self.plan.room + 1).into()) as u32;
            } else {
                self.receiver.is_reading = false;
            }
            let pause = self.rng.below(20 * self.plan.delay_us);
            self.put(pause, What::Resume);
        }
        let ack = self.receiver.take(at, text.len() as u32 + u32::from(has_fin));
        self.reply(ack);
        Ok(())
    }

    fn reply(&mut self, ack: Ack) {
        let ack = Ack { wnd: self.plan.scale.said(ack.wnd), ..ack };
        self.carry(self.plan.ack_loss, |_| What::ToUs(ack));
    }

    fn carry(&mut self, loss: u64, what: impl Fn(&Self) -> What) {
        if self.lost < self.plan.losses && self.rng.percent(loss) {
            self.lost += 1;
            self.note(|| "lost".into());
            return;
        }
        let copies = 1 + u32::from(self.rng.percent(self.plan.duplicate));
        for _ in 0..copies {
            let mut delay = self.plan.delay_us + self.rng.below(self.plan.jitter_us + 1);
            if self.rng.percent(self.plan.reorder) {
                delay += self.rng.below(4 * self.plan.delay_us);
            }
            let what = what(self);
            // A wire keeps the order of what is not delayed apart.
            self.put(delay, what);
        }
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
                    self.judge(Cause::Write, before)?;
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
            self.judge(Cause::Write, before)?;
        }
        Ok(())
    }

    /// Judges what the last call did, and puts what it sent on the wire.
    fn judge(&mut self, cause: Cause, before: Seen) -> Result<(), String> {
        if let Some(event) = self.engine.events.iter().find(|event| matches!(event, Event::Closed(..))) {
            return Err(format!("the connection ended: {event:?}"));
        }
        let after = self.seen();
        let mut outs = Vec::new();
        for sent in std::mem::take(&mut self.engine.sent) {
            if sent.flags & RST != 0 {
                return Err("a reset".into());
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
            self.carry(self.plan.loss, |_| What::ToPeer { at, text: sent.text.clone(), has_fin });
        }
        self.model.step(self.now(), cause, before, after, &outs).map_err(|error| format!("{cause:?}: {error}"))
    }

    fn state(&self) -> State {
        let (peer, us) = ends();
        self.engine.tcp.state_of(us, peer)
    }

    fn finish(&mut self) -> Result<Tally, String> {
        if let Some((_, timer)) = self.engine.deadline.filter(|(_, timer)| *timer == Timer::Retransmission) {
            return Err(format!("{timer:?} runs and nothing is out"));
        }
        let m = &self.model;
        let tally = Tally {
            timeouts: m.timeouts,
            probes: m.probes,
            recoveries: m.recoveries,
            window_probes: m.window_probes,
            partial_acks: m.partial_acks,
            sent: m.sent,
            sent_again: m.sent_again,
            lost: self.lost,
            spurious_after_probe: m.spurious_after_probe,
            most_out: m.most_out,
        };
        Ok(tally)
    }
}
