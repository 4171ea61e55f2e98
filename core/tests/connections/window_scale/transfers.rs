//! Two engines, each scaling or not, and a path with a long round trip that loses, repeats and reorders: what arrives is what was sent.

use std::collections::BTreeMap;

use tcp_reset_core::{ConnectionHandle, Event, Instant, ListenOptions};

use super::*;
use crate::support::family::Family;
use crate::support::rig::{START, key, peer, us};
use crate::support::table::ahead;
use crate::support::world::{Rng, stream_bytes};

/// Bytes that go each way.
const TOTAL: usize = 1 << 20;
/// No transfer takes longer.
const LIMIT: Duration = Duration::from_secs(3_600);
/// How often an application looks at its connection.
const TICK: Duration = Duration::from_millis(7);

#[derive(Clone, Copy, Debug)]
struct Path {
    delay_ms: u64,
    /// Each segment is late by up to so much more, and overtaken.
    jitter_ms: u64,
    /// In percent.
    loss: u64,
    repeat: u64,
}

const CLEAN: Path = Path { delay_ms: 50, jitter_ms: 0, loss: 0, repeat: 0 };
const BAD: Path = Path { delay_ms: 20, jitter_ms: 12, loss: 1, repeat: 1 };

/// One end: its engine, its application, and what its segments have said.
struct End<'s> {
    engine: Engine<'s>,
    handle: Option<ConnectionHandle>,
    /// Names its stream.
    stream: u64,
    written: usize,
    read: usize,
    /// The most that is read at once.
    appetite: u64,
    shift: u8,
    /// The furthest right edge that was offered, once there is one, and the peer's first number.
    most: Option<u32>,
    peer_first: Option<u32>,
    /// The most that was out.
    out: u32,
}

impl<'s> End<'s> {
    fn new(engine: Engine<'s>, stream: u64, shift: u8, appetite: u64) -> End<'s> {
        let (written, read, most, peer_first, out) = (0, 0, None, None, 0);
        End { engine, handle: None, stream, written, read, appetite, shift, most, peer_first, out }
    }

    /// Notes what a segment of ours offers: never less than before by more than the rounding, nor more than there is room for.
    fn offers(&mut self, sent: &Sent) {
        if sent.flags & ACK == 0 {
            return;
        }
        let shift = if sent.flags & SYN != 0 { 0 } else { self.shift };
        let edge = sent.ack.wrapping_add(sent.wnd << shift);
        let start = *self.peer_first.get_or_insert(sent.ack);
        let most = *self.most.get_or_insert(edge);
        assert!(ahead(edge, most) > -(1 << self.shift), "the edge moves left by {}", ahead(most, edge));
        // A FIN needs no room.
        assert!(edge.wrapping_sub(start) <= self.read as u32 + BUFFER + 1, "more than there is room for");
        if ahead(edge, most) > 0 {
            self.most = Some(edge);
        }
    }

    /// What the application does now.
    fn serve(&mut self, rng: &mut Rng) {
        let Some(handle) = self.handle else { return };
        let status = self.engine.tcp.status(handle).expect("a connection");
        self.out = self.out.max(status.snd_nxt.0.wrapping_sub(status.snd_una.0));
        let len = status.writable.min(TOTAL - self.written);
        if len > 0 {
            let bytes = stream_bytes(self.stream, self.written, len);
            self.written += self.engine.tcp.send(self.engine.now, handle, &bytes).unwrap_or(0);
        }
        let mut bytes = vec![0; 1 + rng.below(self.appetite) as usize];
        let n = self.engine.tcp.recv(self.engine.now, handle, &mut bytes).unwrap_or(0);
        assert!(bytes[..n] == stream_bytes(!self.stream, self.read, n), "a byte that was not sent, from {}", self.read);
        self.read += n;
    }

    fn is_done(&self) -> bool {
        self.read == TOTAL && self.written == TOTAL
    }
}

struct World<'s> {
    ends: [End<'s>; 2],
    path: Path,
    rng: Rng,
    /// What is on its way, by arrival.
    wire: BTreeMap<(Instant, u64), (usize, Sent)>,
    carried: u64,
    now: Instant,
}

impl World<'_> {
    /// Puts on the wire what an end has sent.
    fn collect(&mut self, of: usize) {
        self.ends[of].engine.drain();
        self.launch(of);
    }

    fn launch(&mut self, of: usize) {
        for sent in std::mem::take(&mut self.ends[of].engine.sent) {
            self.ends[of].offers(&sent);
            let most = self.ends[1 - of].most;
            // One byte more probes a window, and a FIN takes none.
            let is_within = most.is_none_or(|most| ahead(sent.end(), most) <= 1);
            assert!(sent.text.is_empty() || is_within, "beyond what was ever offered: {:?}", sent.seq);
            for _ in 0..=u64::from(self.rng.percent(self.path.repeat)) {
                if !self.rng.percent(self.path.loss) {
                    let late = Duration::from_micros(self.rng.below(1 + 1_000 * self.path.jitter_ms));
                    let at = self.now + Duration::from_millis(self.path.delay_ms) + late;
                    self.carried += 1;
                    self.wire.insert((at, self.carried), (1 - of, sent.clone()));
                }
            }
        }
    }

    fn step(&mut self, tick: &mut Instant) {
        let deadlines = self.ends.iter().filter_map(|end| end.engine.deadline.map(|(at, _)| at));
        let next = deadlines.chain(self.wire.keys().next().map(|(at, _)| *at)).chain([*tick]).min().unwrap();
        self.now = self.now.max(next);
        for of in 0..2 {
            self.ends[of].engine.now = self.now;
            if self.ends[of].engine.deadline.is_some_and(|(at, _)| at <= self.now) {
                self.ends[of].engine.tcp.handle_timeout(self.now);
                self.collect(of);
            }
        }
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, sent) = entry.remove();
            let Sent { seq, ack, flags, wnd, .. } = sent;
            let raw = Raw { seq, ack, flags, wnd: wnd as u16, urgent: 0, options: &sent.options, text: &sent.text };
            let _ = self.ends[to].engine.arrive(sent.src, sent.dst, &raw);
            self.launch(to);
        }
        if *tick <= self.now {
            *tick = self.now + TICK;
            for of in 0..2 {
                self.ends[of].serve(&mut self.rng);
                self.collect(of);
            }
        }
    }
}

/// Moves [`TOTAL`] bytes each way; returns how long it took, and the most that each end had out.
fn transfer(family: Family, configs: [Config; 2], path: Path, appetites: [u64; 2], seed: u64) -> (Duration, [u32; 2]) {
    let shift = if configs.iter().all(|config| config.window_scale) { SHIFT } else { 0 };
    let mut stores = [Box::new(BigStore::new()), Box::new(BigStore::new())];
    let [a, b] = &mut stores;
    let engines =
        [Engine::with(&mut **a, configs[0], key(1), START), Engine::with(&mut **b, configs[1], key(2), START)];
    let [a, b] = engines.map(|mut engine| {
        engine.is_audited = false;
        engine
    });
    let stream = stream_of(BUFFER);
    let ends = [End::new(a, seed, shift, appetites[0]), End::new(b, !seed, shift, appetites[1])];
    let mut w = World { ends, path, rng: Rng::new(seed), wire: BTreeMap::new(), carried: 0, now: START };
    let listener =
        w.ends[1].engine.tcp.listen(us(family), ListenOptions { stream, ..ListenOptions::default() }).unwrap();
    let dialed = w.ends[0].engine.tcp.connect(START, peer(family), us(family), Some(Default::default()), stream);
    w.ends[0].handle = Some(dialed.unwrap());
    w.collect(0);
    let mut tick = START;
    while !w.ends.iter().all(End::is_done) {
        w.step(&mut tick);
        if w.ends[1].handle.is_none() {
            w.ends[1].handle = w.ends[1].engine.tcp.accept(w.now, listener).ok();
        }
        assert!(w.now.duration_since(START) < LIMIT, "{seed}: stalled at {:?}", w.ends.each_ref().map(|end| end.read));
        let is_over = |end: &End<'_>| end.engine.events.iter().any(|event| matches!(event, Event::Closed(..)));
        assert!(!w.ends.iter().any(is_over), "{seed}: it broke");
    }
    for end in &w.ends {
        assert_eq!(end.engine.tcp.audit(), Ok(()));
    }
    (w.now.duration_since(START), w.ends.map(|end| end.out))
}

/// Every setting of what else there is, at both ends.
fn settings() -> Vec<Config> {
    #[allow(unused_mut, reason = "features")]
    let mut settings = vec![Config { mss: None, ..super::config() }];
    #[cfg(feature = "sack")]
    {
        let with = |sack: bool| settings.clone().into_iter().map(move |config| Config { sack, ..config });
        settings = with(true).chain(with(false)).collect();
    }
    #[cfg(feature = "timestamps")]
    {
        let with = |timestamps: bool| settings.clone().into_iter().map(move |config| Config { timestamps, ..config });
        settings = with(true).chain(with(false)).collect();
    }
    #[cfg(feature = "cubic")]
    {
        use tcp_reset_core::CongestionControl::{Cubic, Reno};
        let with = |cc| settings.clone().into_iter().map(move |config| Config { congestion_control: cc, ..config });
        settings = with(Reno).chain(with(Cubic)).collect();
    }
    settings
}

/// Who scales.
const SCALING: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

fn at_both(config: Config, scaling: [bool; 2]) -> [Config; 2] {
    scaling.map(|window_scale| Config { window_scale, ..config })
}

#[test]
fn every_byte_arrives_over_a_bad_path() {
    over_each(|family| {
        for (i, config) in (0_u64..).zip(settings()) {
            for (j, scaling) in (0_u64..).zip(SCALING) {
                // One reads by morsels, so that its window closes.
                let appetites = [[400_000, 2_000], [2_000, 400_000], [60_000, 60_000]][(i + j) as usize % 3];
                let config = Config { delayed_ack: Duration::from_millis(40 * (j % 2)), ..config };
                let _ = transfer(family, at_both(config, scaling), BAD, appetites, 100 * i + j);
            }
        }
    });
}

#[test]
fn a_reader_byte_by_byte_gets_every_byte() {
    over_each(|family| {
        for (i, config) in (0_u64..).zip(settings()) {
            let path = Path { delay_ms: 1, jitter_ms: 1, ..BAD };
            let _ = transfer(family, at_both(config, [true; 2]), path, [5_000, 9_999], 7_000 + i);
        }
    });
}

/// What scaling is for: a round trip of 100 ms lets 262,144 bytes out at once, and not 65,535.
#[test]
fn on_a_long_path_a_large_window_is_used() {
    over_each(|family| {
        for config in settings() {
            let run = |scaling| transfer(family, at_both(config, scaling), CLEAN, [400_000; 2], 1);
            let [(fast, large), (slow, small)] = [run([true; 2]), run([true, false])];
            assert!(large.iter().all(|out| *out > 200_000), "{large:?}");
            assert!(small.iter().all(|out| *out <= UNSCALED && *out > 50_000), "{small:?}");
            assert!(2 * fast < slow, "{fast:?} {slow:?}");
        }
    });
}
