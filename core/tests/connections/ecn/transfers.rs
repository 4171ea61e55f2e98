//! Two engines and a path with a narrow link that marks, and loses or does not: every byte arrives, every mark is answered.

use std::collections::BTreeMap;

use tcp_reset_core::{ConnectionHandle, Event, Instant};

use super::*;
use crate::support::family::{Family, over_each};
use crate::support::rig::{Engine, LargeStore, START, key, peer, raw_of, us};
use crate::support::table::ahead;
use crate::support::world::{Rng, stream_bytes};

/// Bytes that each end which sends has.
const TOTAL: usize = 250_000;
/// No transfer takes longer.
const LIMIT: Duration = Duration::from_secs(600);
/// The narrow link takes so long for each segment with payload.
const SERVICE: Duration = Duration::from_millis(2);
/// The way across, once through the narrow link.
const DELAY: Duration = Duration::from_millis(20);
/// The application looks at its connection so often.
const TICK: Duration = Duration::from_millis(5);

/// What the narrow link does.
#[derive(Clone, Copy, Debug)]
struct Path {
    /// Segments that wait before those behind them are marked.
    threshold: u64,
    /// In percent, of all segments.
    marks: u64,
    loss: u64,
}

/// Marks what would wait long.
const QUEUE: Path = Path { threshold: 5, marks: 0, loss: 0 };
const RANDOM: Path = Path { threshold: 1_000, marks: 3, loss: 0 };
const LOSSY: Path = Path { threshold: 8, marks: 2, loss: 2 };

/// What was seen of one direction.
#[derive(Default, Debug)]
struct Seen {
    /// Segments marked, those that told of less in flight, and those sent again.
    marks: u32,
    told: u32,
    again: u32,
    /// The longest that the queue was, and that it was after the second mark was answered.
    longest: u64,
    longest_told: u64,
    /// The longest time from a mark's arrival to CWR.
    unanswered: Duration,
}

/// One direction: what its sender has said, and what has come of it.
struct Flow {
    /// Names its bytes.
    stream: u64,
    total: usize,
    written: usize,
    read: usize,
    /// The narrow link is busy until then.
    busy: Instant,
    /// The end of what was ever sent.
    highest: Option<u32>,
    /// Where the last segment with CWR is.
    last_told: Option<u32>,
    /// The oldest mark that has arrived and was not answered.
    open_mark: Option<Instant>,
    seen: Seen,
}

impl Flow {
    fn new(stream: u64, total: usize) -> Flow {
        let (written, read, busy, seen) = (0, 0, START, Seen::default());
        Flow { stream, total, written, read, busy, highest: None, last_told: None, open_mark: None, seen }
    }

    /// How many segments wait for the narrow link.
    fn waiting(&self, now: Instant) -> u64 {
        let left = if self.busy > now { self.busy.duration_since(now) } else { Duration::ZERO };
        (left.as_micros() / SERVICE.as_micros()) as u64
    }

    /// Only what is new is ECT, or says CWR.
    fn look(&mut self, sent: &Sent, now: Instant) {
        let highest = *self.highest.get_or_insert(sent.seq);
        let is_new = ahead(sent.end(), highest) > 0;
        assert!(is_new || sent.ecn & CWR == 0 && !sent.is_capable, "CWR or ECT on what is sent again");
        self.highest = Some(if is_new { sent.end() } else { highest });
        self.seen.again += u32::from(!is_new);
        if sent.ecn & CWR != 0 {
            self.seen.told += 1;
            self.last_told = Some(sent.seq);
            if let Some(at) = self.open_mark.take() {
                self.seen.unanswered = self.seen.unanswered.max(now.duration_since(at));
            }
        }
    }
}

struct World<'s> {
    ends: [Engine<'s>; 2],
    handles: [Option<ConnectionHandle>; 2],
    /// By sender.
    flows: [Flow; 2],
    path: Path,
    rng: Rng,
    /// What is on its way, by arrival; whether it is marked.
    wire: BTreeMap<(Instant, u64), (usize, Sent, bool)>,
    carried: u64,
    now: Instant,
}

impl World<'_> {
    fn launch(&mut self, of: usize) {
        for sent in std::mem::take(&mut self.ends[of].sent) {
            let has_payload = !sent.text.is_empty();
            let flow = &mut self.flows[of];
            let waiting = flow.waiting(self.now);
            let mut at = self.now + DELAY;
            if has_payload {
                flow.look(&sent, self.now);
                flow.busy = flow.busy.max(self.now) + SERVICE;
                at = flow.busy + DELAY;
                flow.seen.longest = flow.seen.longest.max(waiting);
                flow.seen.longest_told = flow.seen.longest_told.max(if flow.seen.told > 1 { waiting } else { 0 });
            }
            let is_marked = sent.is_capable && (waiting >= self.path.threshold || self.rng.percent(self.path.marks));
            if !self.rng.percent(self.path.loss) {
                flow.seen.marks += u32::from(is_marked);
                self.carried += 1;
                self.wire.insert((at, self.carried), (1 - of, sent, is_marked));
            }
        }
    }

    fn step(&mut self, tick: &mut Instant) {
        let deadlines = self.ends.iter().filter_map(|end| end.deadline.map(|(at, _)| at));
        let next = deadlines.chain(self.wire.keys().next().map(|(at, _)| *at)).chain([*tick]).min().unwrap();
        self.now = self.now.max(next);
        for of in 0..2 {
            self.ends[of].now = self.now;
            if self.ends[of].deadline.is_some_and(|(at, _)| at <= self.now) {
                self.ends[of].tcp.handle_timeout(self.now);
                self.ends[of].drain();
                self.launch(of);
            }
        }
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, sent, is_marked) = entry.remove();
            // One that left before CWR was answered by it.
            let flow = &mut self.flows[1 - to];
            if is_marked && flow.last_told.is_none_or(|told| ahead(sent.seq, told) >= 0) {
                flow.open_mark.get_or_insert(self.now);
            }
            self.ends[to].is_marked = is_marked;
            let _ = self.ends[to].arrive(sent.src, sent.dst, &raw_of(&sent));
            self.launch(to);
        }
        if *tick <= self.now {
            *tick = self.now + TICK;
            self.serve();
        }
    }

    /// The applications write and read.
    fn serve(&mut self) {
        for of in 0..2 {
            let Some(handle) = self.handles[of] else { continue };
            let flow = &mut self.flows[of];
            let bytes = stream_bytes(flow.stream, flow.written, (flow.total - flow.written).min(8_192));
            flow.written += self.ends[of].tcp.send(self.now, handle, &bytes).unwrap_or(0);
            let flow = &mut self.flows[1 - of];
            let mut bytes = vec![0; 32_768];
            let n = self.ends[of].tcp.recv(self.now, handle, &mut bytes).unwrap_or(0);
            let expected = stream_bytes(flow.stream, flow.read, n);
            assert!(bytes[..n] == expected, "a byte that was not sent, from {}", flow.read);
            flow.read += n;
        }
        for of in 0..2 {
            self.ends[of].drain();
            self.launch(of);
        }
    }
}

/// Moves [`TOTAL`] bytes from the first end to the second.
fn transfer(family: Family, config: Config, path: Path, seed: u64) -> Seen {
    let [seen, _] = transfer_of(family, config, path, [TOTAL, 0], seed);
    seen
}

/// Moves so many bytes each way.
fn transfer_of(family: Family, config: Config, path: Path, totals: [usize; 2], seed: u64) -> [Seen; 2] {
    let mut stores = [Box::new(LargeStore::new()), Box::new(LargeStore::new())];
    let [a, b] = &mut stores;
    let ends = [Engine::with(&mut **a, config, key(1), START), Engine::with(&mut **b, config, key(2), START)];
    let ends = ends.map(|mut engine| {
        engine.is_audited = false;
        engine
    });
    let flows = [Flow::new(1, totals[0]), Flow::new(2, totals[1])];
    let (handles, wire) = ([None; 2], BTreeMap::new());
    let mut w = World { ends, handles, flows, path, rng: Rng::new(seed), wire, carried: 0, now: START };
    let stream = StreamOptions { rx_buffer: 32_768, tx_buffer: 32_768, ..StreamOptions::default() };
    let listener = w.ends[1].tcp.listen(us(family), ListenOptions { stream, ..ListenOptions::default() }).unwrap();
    let dialed = w.ends[0].tcp.connect(START, peer(family), us(family), Some(Default::default()), stream);
    w.handles[0] = Some(dialed.unwrap());
    w.ends[0].drain();
    w.launch(0);
    let mut tick = START;
    while w.flows.iter().any(|flow| flow.read < flow.total) {
        w.step(&mut tick);
        if w.handles[1].is_none() {
            w.handles[1] = w.ends[1].tcp.accept(w.now, listener).ok();
        }
        assert!(w.now.duration_since(START) < LIMIT, "{seed}: stalled");
        let is_over = |end: &Engine<'_>| end.events.iter().any(|event| matches!(event, Event::Closed(..)));
        assert!(!w.ends.iter().any(is_over), "{seed}: it broke");
    }
    assert!(w.ends.iter().all(|end| end.tcp.audit() == Ok(())));
    w.flows.map(|flow| flow.seen)
}

/// Every setting of what else there is, at both ends.
fn settings() -> Vec<Config> {
    #[allow(unused_mut, reason = "features")]
    let mut settings = vec![Config { mss: Some(500), ..config() }];
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
    #[cfg(feature = "window-scale")]
    {
        let with =
            |window_scale: bool| settings.clone().into_iter().map(move |config| Config { window_scale, ..config });
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

/// Numbered from `first` on, so many in all.
fn runs(first: u64, count: usize) -> impl Iterator<Item = (u64, Config)> {
    (first..).zip(settings().into_iter().cycle().take(count))
}

/// The round trip with a queue as long as they get here.
const LONG: Duration = Duration::from_millis(200);

#[test]
fn where_the_network_marks_nothing_is_sent_again_and_the_queue_is_short() {
    over_each(|family| {
        for (seed, config) in runs(0, 16) {
            let seen = transfer(family, config, QUEUE, seed);
            assert_eq!(seen.again, 0, "{config:?} {seen:?}");
            assert!(seen.marks > 5 && seen.told > 1, "{config:?} {seen:?}");
            assert!(seen.unanswered < LONG, "{config:?} {seen:?}");
            let without = transfer(family, Config { ecn: false, ..config }, QUEUE, seed);
            assert_eq!((without.marks, without.told), (0, 0));
            assert!(2 * seen.longest_told < without.longest, "{config:?} {seen:?} {without:?}");
        }
    });
}

#[test]
fn marks_at_random_are_answered_and_nothing_is_sent_again() {
    over_each(|family| {
        for (seed, config) in runs(100, 16) {
            let config = Config { delayed_ack: Duration::from_millis(40 * (seed % 2)), ..config };
            let seen = transfer(family, config, RANDOM, seed);
            assert_eq!(seen.again, 0, "{config:?} {seen:?}");
            assert!(seen.marks > 0 && seen.told > 0 && seen.told <= seen.marks, "{config:?} {seen:?}");
            assert!(seen.unanswered < LONG, "{config:?} {seen:?}");
        }
    });
}

#[test]
fn every_byte_arrives_where_segments_are_marked_and_lost() {
    over_each(|family| {
        let mut marks = 0;
        for (seed, config) in runs(200, 32) {
            let seen = transfer(family, config, LOSSY, seed);
            // Where a SYN was lost nothing is marked.
            assert!(seen.told > 0 && seen.again > 0, "{config:?} {seen:?}");
            assert!(seen.unanswered < Duration::from_secs(10), "{config:?} {seen:?}");
            marks += seen.marks;
        }
        assert!(marks > 100);
    });
}

/// Each echoes on its payload, again and again until CWR comes, and each reduces once for a mark.
#[test]
fn where_both_ends_send_each_mark_is_answered_once() {
    over_each(|family| {
        let mut told = 0;
        for (seed, config) in runs(300, 16) {
            for seen in transfer_of(family, config, RANDOM, [TOTAL / 2; 2], seed) {
                assert_eq!(seen.again, 0, "{config:?} {seen:?}");
                // What is marked last has nothing new behind it.
                assert!(seen.told <= seen.marks, "{config:?} {seen:?}");
                assert!(seen.unanswered < LONG, "{config:?} {seen:?}");
                told += seen.told;
            }
        }
        assert!(told > 32);
    });
}
