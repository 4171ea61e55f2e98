//! What our receiver tells in the SACK option, against a plain set of bytes (RFC 2018, RFC 2883): whatever arrives, each block is true.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{ChecksumBy, Config, ConnectionHandle, LinkAddr, ListenOptions, StreamOptions};

use crate::sack_world::seeds;
use crate::support::family::Family;
use crate::support::rig::{Engine, LargeStore, Raw, Sent, peer, reno, us};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::support::world::{Rng, stream_bytes};

/// Streams of the test.
const STREAMS: u64 = 3_000;
/// What a stream lives through at most.
const MOST_STEPS: u32 = 400;
/// Separate runs beyond a gap that our receiver stores; a segment that would be one more is not stored.
const MOST_RUNS: usize = 4;
/// Bytes of options in a header, and of an option before its blocks, padding included.
const MOST_OPTIONS: usize = 40;
const HEAD: usize = 4;
const BLOCK: usize = 8;

type Block = (u32, u32);

/// A stream to our receiver. All numbers are bytes from its first.
struct Stream<'s> {
    seed: u64,
    rng: Rng,
    engine: Engine<'s>,
    handle: ConnectionHandle,
    isn: u32,
    mss: usize,
    is_spoken: bool,
    /// Which bytes were stored; the last stands for the FIN.
    has: Vec<bool>,
    /// Whether the FIN arrived within the window, and whether it did at its edge, where it may be taken or not.
    is_fin_here: bool,
    is_fin_at_edge: bool,
    nxt: u32,
    /// The right edge of the window.
    edge: u32,
    read: usize,
    /// A byte of what was stored last beyond the gap.
    newest: u32,
    /// What arrived twice since the last segment went out: all, and what must be told.
    twice: Vec<Block>,
    must_tell: Option<Block>,
    /// The highest number of ours, and one.
    our_nxt: u32,
    tally: Tally,
}

/// What the streams met.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    blocks: u32,
    duplicates_told: u32,
    refused: u32,
    with_payload: u32,
}

fn ends() -> (SocketAddr, SocketAddr) {
    (peer(Family::V4), us(Family::V4))
}

/// Opens a connection, passively or not; returns it and our first number.
fn open(
    engine: &mut Engine<'_>,
    is_passive: bool,
    options: &[u8],
    isn: u32,
    stream: StreamOptions,
) -> (ConnectionHandle, u32) {
    let (peer, us) = ends();
    let has_permitted = |sent: &Sent| sent.options.windows(2).any(|pair| pair == [4, 2]);
    let is_offered = options.len() > 4;
    if is_passive {
        let listener = engine.tcp.listen(us, ListenOptions { stream, ..ListenOptions::default() }).unwrap();
        let syn = Raw { seq: isn, flags: SYN, wnd: 20_000, options, ..Raw::default() };
        let _ = engine.arrive(peer, us, &syn);
        assert_eq!(has_permitted(engine.only()), is_offered, "RFC 2018 §2");
        let first = engine.only().end();
        let ack = Raw { seq: isn.wrapping_add(1), ack: first, flags: ACK, wnd: 20_000, ..Raw::default() };
        let _ = engine.arrive(peer, us, &ack);
        let handle = engine.tcp.accept(engine.now, listener).unwrap();
        engine.drain();
        (handle, first)
    } else {
        let handle = engine.tcp.connect(engine.now, us, peer, Some(LinkAddr::default()), stream).unwrap();
        engine.drain();
        assert!(has_permitted(engine.only()));
        let first = engine.only().end();
        let reply = Raw { seq: isn, ack: first, flags: SYN | ACK, wnd: 20_000, options, ..Raw::default() };
        let _ = engine.arrive(peer, us, &reply);
        assert!(engine.only().options.is_empty(), "nothing has arrived yet");
        (handle, first)
    }
}

/// Lives through a stream.
fn live(seed: u64) -> Tally {
    let mut rng = Rng::new(seed);
    let mss = rng.pick(&[64_u16, 100, 200, 536]);
    let total = 1 + rng.below(6_000) as u32;
    let is_spoken = rng.percent(85);
    let isn = if rng.percent(50) { (rng.below(u64::from(total) + 2) as u32).wrapping_neg() } else { rng.next() as u32 };
    let config = Config {
        checksum: Some(ChecksumBy::Hardware),
        delayed_ack: Duration::from_millis(rng.pick(&[0, 40])),
        challenge_limit: u8::MAX,
        ..reno()
    };
    let mut store = Box::new(LargeStore::new());
    let mut engine = Engine::new(&mut *store, config);
    let rx_buffer = rng.pick(&[256_usize, 1_024, 8_192]);
    let stream = StreamOptions { rx_buffer, tx_buffer: 2_048, nagle: false, ..StreamOptions::default() };
    let [high, low] = mss.to_be_bytes();
    let options = [2, 4, high, low, 1, 1, 4, 2];
    let options = &options[..if is_spoken { 8 } else { 4 }];
    let (handle, our_nxt) = open(&mut engine, rng.percent(50), options, isn, stream);
    let mut stream = Stream {
        seed,
        rng,
        engine,
        handle,
        isn,
        mss: mss.into(),
        is_spoken,
        has: vec![false; total as usize + 1],
        is_fin_here: false,
        is_fin_at_edge: false,
        nxt: 0,
        edge: rx_buffer as u32,
        read: 0,
        newest: 0,
        twice: vec![],
        must_tell: None,
        our_nxt,
        tally: Tally::default(),
    };
    for _ in 0..MOST_STEPS {
        stream.step();
    }
    stream.abort();
    stream.tally
}

impl Stream<'_> {
    fn total(&self) -> u32 {
        self.has.len() as u32 - 1
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..=13 => self.arrive(),
            14 | 15 => self.recv(),
            16 => {
                let time = Duration::from_millis(self.rng.below(100));
                self.engine.wait(time);
            }
            17 | 18 => {
                let text = vec![0; 1 + self.rng.below(3 * self.mss as u64) as usize];
                let _ = self.engine.tcp.send(self.engine.now, self.handle, &text);
                self.engine.drain();
            }
            _ => self.arrive_strange(),
        }
        self.judge();
    }

    fn raw(&mut self, at: u32, flags: u8, text: &[u8]) {
        let (peer, us) = ends();
        let seq = self.isn.wrapping_add(1).wrapping_add(at);
        let raw = Raw { seq, ack: self.our_nxt, flags, wnd: 20_000, text, ..Raw::default() };
        let _ = self.engine.arrive(peer, us, &raw);
    }

    /// A SYN or a RST within the window, which draws a challenge (RFC 5961), or a segment far off.
    fn arrive_strange(&mut self) {
        let at = self.nxt + 1 + self.rng.below(u64::from(self.edge - self.nxt)) as u32;
        match self.rng.below(3) {
            0 => self.raw(at, SYN | ACK, &[]),
            1 if at < self.edge => self.raw(at, RST, &[]),
            _ => self.raw(self.edge.wrapping_add(1_000_000), ACK, &[0; 10]),
        }
    }

    /// A piece of the stream: often near the gap, of whole segments or not, with the FIN where it reaches the end.
    fn arrive(&mut self) {
        let (nxt, total) = (u64::from(self.nxt), u64::from(self.total()));
        let near = (nxt + self.rng.below(12 * self.mss as u64)).saturating_sub(3 * self.mss as u64);
        let at = match self.rng.below(6) {
            0 => self.rng.below(total + 1),
            1 => nxt.min(total),
            2 => near / self.mss as u64 * self.mss as u64,
            _ => near,
        };
        let at = at.min(total) as u32;
        let most = if self.rng.percent(50) { 20 } else { self.mss as u64 };
        let end = (at + self.rng.below(most + 1) as u32).min(self.total());
        let has_fin = end == self.total() && self.rng.percent(30);
        let spans_window = at < self.nxt && end + u32::from(has_fin) > self.edge;
        if spans_window || at == end && !has_fin {
            return;
        }
        let text = stream_bytes(self.seed, at as usize, (end - at) as usize);
        self.take(at, end, has_fin);
        self.raw(at, if has_fin { ACK | FIN } else { ACK }, &text);
        // What leaves a gap, or comes twice, is answered at once (RFC 5681 §4.2).
        let is_in_order = at <= self.nxt && end == self.nxt;
        assert!(!self.engine.sent.is_empty() || is_in_order || self.must_tell.is_none(), "no answer to {at}..{end}");
    }

    /// Notes what of a piece is stored, and what was here before.
    fn take(&mut self, at: u32, end: u32, has_fin: bool) {
        self.is_fin_here |= has_fin && end < self.edge;
        self.is_fin_at_edge |= has_fin && end == self.edge;
        self.note_twice(at, end, has_fin);
        let (from, to) = (at.max(self.nxt), end.min(self.edge));
        if from < to {
            let before = self.has.clone();
            self.has[from as usize..to as usize].fill(true);
            if from > self.nxt && self.runs().len() > MOST_RUNS {
                self.has = before;
                self.tally.refused += 1;
            } else if from > self.nxt {
                self.newest = from;
            }
        }
        let fin = self.has.len() - 1;
        self.has[fin] = self.is_fin_here;
        let missing = self.has[self.nxt as usize..].iter().position(|has| !has);
        self.nxt = missing.map_or(self.total() + 1, |n| self.nxt + n as u32);
    }

    /// RFC 2883 §4: the first part of a segment that was here before.
    fn note_twice(&mut self, at: u32, end: u32, has_fin: bool) {
        let is_here = |at: u32| self.has[at as usize];
        let Some(from) = (at..end).find(|&at| is_here(at)) else { return };
        let to = (from..end).find(|&at| !is_here(at)).unwrap_or(end);
        let mut from_any = from;
        while let Some(from) = (from_any..end).find(|&at| is_here(at)) {
            let to = (from..end).find(|&at| !is_here(at)).unwrap_or(end);
            self.twice.push((from, to));
            from_any = to;
        }
        let is_stored = self.edge > self.nxt && at < self.edge;
        // What fills the gap acknowledges the rest: that this was here before is not told.
        // Nor is it where the FIN behind it is all that is new.
        let tells = end <= self.nxt && !has_fin || is_stored && at != self.nxt && end > self.nxt;
        self.must_tell = tells.then_some((from, to.min(self.edge.max(self.nxt))));
    }

    /// What is stored beyond the gap.
    fn runs(&self) -> Vec<Block> {
        let mut runs: Vec<Block> = vec![];
        for at in (self.nxt..self.total()).filter(|&at| self.has[at as usize]) {
            match runs.last_mut() {
                Some(run) if run.1 == at => run.1 = at + 1,
                _ => runs.push((at, at + 1)),
            }
        }
        // The run at RCV.NXT is none.
        runs.retain(|run| run.0 > self.nxt);
        runs
    }

    fn recv(&mut self) {
        let mut bytes = vec![0; 1 + self.rng.below(2_000) as usize];
        let count = self.engine.tcp.recv(self.engine.now, self.handle, &mut bytes).unwrap_or(0);
        assert_eq!(bytes[..count], stream_bytes(self.seed, self.read, count), "bytes from {}", self.read);
        self.read += count;
        self.engine.drain();
    }

    /// Judges each segment that the last call sent.
    fn judge(&mut self) {
        for sent in std::mem::take(&mut self.engine.sent) {
            self.judge_segment(&sent);
            self.our_nxt = if (sent.end().wrapping_sub(self.our_nxt) as i32) > 0 { sent.end() } else { self.our_nxt };
            self.twice.clear();
            self.must_tell = None;
            self.edge = self.edge.max(self.nxt + sent.wnd);
        }
    }

    fn judge_segment(&mut self, sent: &Sent) {
        assert_eq!(sent.flags & (SYN | RST), 0, "{sent:?}");
        assert!(sent.text.len() + sent.options.len() <= self.mss, "more than the MSS: {sent:?}");
        let ack = sent.ack.wrapping_sub(self.isn.wrapping_add(1));
        if self.is_fin_at_edge && ack == self.total() + 1 && self.nxt == self.total() {
            self.nxt = ack;
        }
        assert_eq!(ack, self.nxt, "{sent:?}");
        let mut blocks = self.blocks(&sent.options);
        let most = MOST_OPTIONS.min(self.mss - sent.text.len()).saturating_sub(HEAD) / BLOCK;
        let most = if self.is_spoken { most } else { 0 };
        let runs = self.runs();
        let is_twice = |blocks: &[Block]| match blocks {
            [] => false,
            [first, rest @ ..] => {
                let is_within = |run: &&Block| run.0 <= first.0 && first.1 <= run.1;
                first.1 <= ack || !runs.contains(first) || rest.first().as_ref().is_some_and(is_within)
            }
        };
        let mut room = most;
        if is_twice(&blocks) {
            self.judge_duplicate(blocks.remove(0));
            room -= 1;
        } else if let (Some(must), true) = (self.must_tell, most > 1) {
            panic!("{must:?} came twice: {blocks:?} {sent:?}");
        }
        assert_eq!(blocks.len(), room.min(runs.len()), "a block is missing: {blocks:?} of {runs:?}, room for {most}");
        for (i, block) in blocks.iter().enumerate() {
            assert!(runs.contains(block), "{block:?} is not one of {runs:?}");
            assert!(!blocks[..i].contains(block), "{block:?} twice");
        }
        let newest = runs.iter().find(|run| (run.0..run.1).contains(&self.newest));
        if let (Some(first), Some(newest)) = (blocks.first(), newest) {
            assert_eq!(first, newest, "what came last comes first (RFC 2018 §4)");
        }
        self.tally.blocks += blocks.len() as u32;
        self.tally.with_payload += u32::from(!blocks.is_empty() && !sent.text.is_empty());
    }

    fn judge_duplicate(&mut self, block: Block) {
        self.tally.duplicates_told += 1;
        let is_true = self.twice.iter().any(|twice| twice.0 <= block.0 && block.0 < block.1 && block.1 <= twice.1);
        assert!(is_true, "{block:?} did not come twice, but {:?}", self.twice);
        if let Some(must) = self.must_tell {
            assert_eq!(block, must, "what came twice (RFC 2883 §4)");
        }
    }

    fn blocks(&self, options: &[u8]) -> Vec<Block> {
        let number = |bytes: &[u8]| {
            let number = u32::from_be_bytes(bytes.try_into().unwrap());
            number.wrapping_sub(self.isn.wrapping_add(1))
        };
        match options {
            [] => vec![],
            [1, 1, 5, len, numbers @ ..] if usize::from(*len) == 2 + numbers.len() && !numbers.is_empty() => {
                numbers.chunks_exact(8).map(|block| (number(&block[..4]), number(&block[4..]))).collect()
            }
            _ => panic!("options nobody expects: {options:02x?}"),
        }
    }

    /// RFC 2018: an RST carries nothing.
    fn abort(&mut self) {
        self.engine.tcp.abort(self.engine.now, self.handle).unwrap();
        self.engine.drain();
        for sent in &self.engine.sent {
            assert!(sent.flags & RST != 0 && sent.options.is_empty(), "{sent:?}");
        }
    }
}

#[test]
fn each_block_that_is_told_is_true_and_none_is_missing() {
    let mut sum = Tally::default();
    for seed in seeds("SACK_STREAMS", STREAMS) {
        let Tally { blocks, duplicates_told, refused, with_payload } = live(seed);
        sum.blocks += blocks;
        sum.duplicates_told += duplicates_told;
        sum.refused += refused;
        sum.with_payload += with_payload;
    }
    println!("{sum:?}");
    let Tally { blocks, duplicates_told, refused, with_payload } = sum;
    assert!(blocks > 1_000 && duplicates_told > 1_000 && refused > 1_000 && with_payload > 1_000, "{sum:?}");
}
