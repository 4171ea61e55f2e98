//! Old duplicates of a connection whose numbers have come round (RFC 7323 §5): none is ever taken for what it was not, however long the network keeps
//! it, loses, doubles and reorders.
//!
//! Numbers come round after 4 GiB. Here what is old is moved to where the numbers are meanwhile instead: it looks the same.
#![cfg(feature = "timestamps")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tcp_reset_core::{
    Action, Config, ConnectionHandle, Instant, LinkAddr, ListenOptions, ListenerHandle, Rule, StreamOptions, Verdict,
};

use crate::support::family::{Family, over_each_side_by_side};
use crate::support::packet::segment::timestamps_of;
use crate::support::rig::{Engine, LargeStore, Raw, START, Sent, key, peer, quick_config, us};
use crate::support::table::{FIN, RST, SYN, ahead};
use crate::support::world::{Rng, stream_bytes};

/// Who sends the stream, and who receives it.
const SENDER: usize = 0;
const RECEIVER: usize = 1;

/// Bytes in the stream; after half of them both are idle for a while.
const STREAM: usize = 40_000;
/// How long the two may be idle: less than timestamps can be compared for.
const IDLE: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(3_600),
    Duration::from_secs(10 * 24 * 3_600),
    Duration::from_secs(23 * 24 * 3_600),
];
/// What takes longer, beside the idle time, does not finish.
const LONGEST: Duration = Duration::from_secs(3_600);
const SEEDS: u64 = 40;

/// A segment on its way, by its place in the trace.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    at: Instant,
    serial: usize,
    from: usize,
    index: usize,
}

struct Path<'s> {
    ends: [Engine<'s>; 2],
    listener: ListenerHandle,
    handles: [Option<ConnectionHandle>; 2],
    now: Instant,
    rng: Rng,
    air: BinaryHeap<Reverse<Flying>>,
    launched: usize,
    /// All that each end has sent.
    traces: [Vec<Sent>; 2],
    seed: u64,
    written: usize,
    read: Vec<u8>,
    idle: Option<Duration>,
    /// What became of old duplicates.
    replayed: Vec<Verdict>,
}

impl<'s> Path<'s> {
    fn open(family: Family, stores: &'s mut [Box<LargeStore>; 2], has_timestamps: bool, seed: u64) -> Path<'s> {
        let config = Config { timestamps: has_timestamps, rto_min: Duration::from_millis(200), ..quick_config() };
        let [a, b] = stores;
        let mut ends = [
            Engine::with(&mut **a, config, key(seed as u8), START),
            Engine::with(&mut **b, config, key(!seed as u8), START),
        ];
        let stream = StreamOptions { rx_buffer: 8_192, tx_buffer: 8_192, ..StreamOptions::default() };
        let options = ListenOptions { stream, ..ListenOptions::default() };
        let listener = ends[RECEIVER].tcp.listen(us(family), options).unwrap();
        let handle = ends[SENDER].tcp.connect(START, peer(family), us(family), Some(LinkAddr::default()), stream);
        ends[SENDER].drain();
        let mut rng = Rng::new(seed);
        let idle = Some(rng.pick(&IDLE));
        let mut path = Path {
            ends,
            listener,
            handles: [Some(handle.unwrap()), None],
            now: START,
            rng,
            air: BinaryHeap::new(),
            launched: 0,
            traces: [vec![], vec![]],
            seed,
            written: 0,
            read: vec![],
            idle,
            replayed: vec![],
        };
        path.launch(SENDER);
        path
    }

    /// What an end has sent flies, is lost, doubled, or late by seconds.
    fn launch(&mut self, from: usize) {
        for sent in std::mem::take(&mut self.ends[from].sent) {
            self.traces[from].push(sent);
            let copies = if self.rng.percent(5) { 0 } else { 1 + usize::from(self.rng.percent(5)) };
            for _ in 0..copies {
                let late = if self.rng.percent(8) { self.rng.below(3_000) } else { 0 };
                let at = self.now + Duration::from_millis(1 + self.rng.below(20) + late);
                self.launched += 1;
                self.air.push(Reverse(Flying { at, serial: self.launched, from, index: self.traces[from].len() - 1 }));
            }
        }
    }

    fn deliver(&mut self, sent: &Sent, to: usize) -> Verdict {
        let Sent { src, dst, seq, ack, flags, wnd, ref options, ref text, .. } = *sent;
        let raw = Raw { seq, ack, flags, wnd: wnd as u16, urgent: 0, options, text };
        let verdict = self.ends[to].arrive(src, dst, &raw);
        self.launch(to);
        verdict
    }

    /// Whatever is next: an arrival or a timer. Returns whether there was one.
    fn step(&mut self) -> bool {
        let arrival = self.air.peek().map(|Reverse(flying)| flying.at);
        let due = self.ends.each_ref().map(|end| end.deadline.map(|(at, _)| at));
        let Some(at) = due.into_iter().chain([arrival]).flatten().min() else { return false };
        self.pass_to(at);
        if arrival == Some(at) {
            let Some(Reverse(Flying { from, index, .. })) = self.air.pop() else { return false };
            let sent = self.traces[from][index].clone();
            let _ = self.deliver(&sent, 1 - from);
            if self.rng.percent(30) {
                self.replay(from);
            }
        } else {
            for (end, due) in due.into_iter().enumerate() {
                if due == Some(at) {
                    self.ends[end].tcp.handle_timeout(self.now);
                    self.ends[end].drain();
                    self.launch(end);
                }
            }
        }
        true
    }

    fn pass_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
        for end in &mut self.ends {
            end.now = self.now;
        }
    }

    /// Something that an end sent long ago arrives where the numbers are now.
    fn replay(&mut self, from: usize) {
        let (to, count) = (1 - from, self.traces[from].len());
        let Some(handle) = self.handles[to] else { return };
        let Ok(status) = self.ends[to].tcp.status(handle) else { return };
        let old = self.traces[from][self.rng.below(count as u64) as usize].clone();
        let latest = self.traces[to].iter().rev().find_map(|sent| timestamps_of(&sent.options));
        let is_old = match (timestamps_of(&old.options), latest) {
            // Before the latest that the other end has told to know.
            (Some((value, _)), Some((_, echo))) => ahead(value, echo) < 0,
            _ => true,
        };
        if !is_old || old.flags & (SYN | RST | FIN) != 0 || !status.state.is_synchronized() {
            return;
        }
        let in_window = self.rng.below(u64::from(status.rcv_wnd)) as u32;
        let in_flight = self.rng.below(u64::from(status.snd_nxt.0.wrapping_sub(status.snd_una.0)) + 1) as u32;
        let (seq, ack) = (status.rcv_nxt.0.wrapping_add(in_window), status.snd_una.0.wrapping_add(in_flight));
        let verdict = self.deliver(&Sent { seq, ack, ..old }, to);
        self.replayed.push(verdict);
    }

    /// The applications do what they can; each end sends what comes of it.
    fn serve(&mut self) {
        let now = self.now;
        let limit = if self.idle.is_some() { STREAM / 2 } else { STREAM };
        if let Some(handle) = self.handles[SENDER] {
            let text = stream_bytes(self.seed, self.written, (limit - self.written).min(8_192));
            // Before the handshake is done it is only queued.
            self.written += self.ends[SENDER].tcp.send(now, handle, &text).unwrap_or(0);
        }
        if self.handles[RECEIVER].is_none() {
            self.handles[RECEIVER] = self.ends[RECEIVER].tcp.accept(now, self.listener).ok();
        }
        if let Some(handle) = self.handles[RECEIVER] {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = self.ends[RECEIVER].tcp.recv(now, handle, &mut bytes) {
                self.read.extend(&bytes[..count]);
            }
        }
        for end in 0..2 {
            self.ends[end].drain();
            self.launch(end);
        }
    }

    /// Moves the stream; returns whether all of it has arrived, right or wrong, in time.
    fn run(&mut self) -> bool {
        let mut longest = START + LONGEST;
        while self.read.len() < STREAM && self.now < longest {
            self.serve();
            if self.step() {
                continue;
            }
            let Some(idle) = self.idle.take() else { return false };
            let now = self.now + idle;
            self.pass_to(now);
            longest = now + LONGEST;
        }
        self.read.len() >= STREAM
    }

    fn is_right(&self) -> bool {
        self.read == stream_bytes(self.seed, 0, STREAM)
    }
}

fn over_paths(family: Family, has_timestamps: bool, mut test: impl FnMut(&mut Path<'_>, bool)) {
    for seed in 0..SEEDS {
        let mut stores = [Box::new(LargeStore::new()), Box::new(LargeStore::new())];
        let mut path = Path::open(family, &mut stores, has_timestamps, seed);
        let is_done = path.run();
        test(&mut path, is_done);
    }
}

#[test]
fn no_old_duplicate_is_taken_where_there_are_timestamps() {
    over_each_side_by_side(|family| {
        let (mut replayed, mut refused) = (0, 0);
        over_paths(family, true, |path, is_done| {
            let accepted = path.replayed.iter().find(|verdict| verdict.action == Action::Accepted);
            assert_eq!(accepted, None, "seed {}", path.seed);
            assert!(is_done, "seed {}: {} bytes arrived", path.seed, path.read.len());
            assert!(path.is_right(), "seed {}", path.seed);
            replayed += path.replayed.len();
            refused += path.replayed.iter().filter(|verdict| verdict.rule == Rule::TimestampOld).count();
        });
        println!("{family:?}: {replayed} old duplicates, {refused} refused for their timestamps");
        assert!(refused > 500 && 10 * refused > 9 * replayed, "{refused} of {replayed}");
    });
}

#[test]
fn without_timestamps_old_duplicates_are_taken() {
    over_each_side_by_side(|family| {
        let (mut accepted, mut wrong) = (0, 0);
        over_paths(family, false, |path, is_done| {
            accepted += path.replayed.iter().filter(|verdict| verdict.action == Action::Accepted).count();
            wrong += usize::from(!is_done || !path.is_right());
        });
        println!("{family:?}: {accepted} old duplicates taken, {wrong} of {SEEDS} streams wrong");
        assert!(accepted > 500 && wrong as u64 > SEEDS / 2, "the enumeration shows what it is for");
    });
}
