//! Over each family: nobody holds what the other has lost. Every limit ends what it must, when it must, by its name; nothing ends a peer that
//! answers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod budgets;
mod corners;
mod deadlines;
mod drawn;
mod eviction;
mod healthy;
mod holds;
mod keepalive;
mod matrix;
mod moments;
mod named;
mod peers;
mod random;
mod records;
mod settings;
mod user_timeout;

use std::num::NonZeroU8;
use std::time::Duration;

use tcp_reset_core::{CloseReason, Config, Instant, KeepAlive, ListenOptions, State, Storage, StreamOptions, Timer};

use support::family::over_each;
use support::rig::{self, Engine, PEER_ISN, Rig, end_of, quick_config, small_stream};
use support::table::{ACK, RST, SYN, Seg};

/// One slot, so that it is the very one that must be free again.
type OneSlot = Storage<1, 1, 2, 2, 2_048>;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// More deadlines than this within one wait are taken for an endless loop.
const MOST_DEADLINES: usize = 200_000;
/// Times are whole milliseconds inside, and rounded up.
const SLACK: Duration = Duration::from_millis(2);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn keep(idle: Duration, interval: Duration, probes: u8) -> KeepAlive {
    KeepAlive { idle, interval, probes: NonZeroU8::new(probes).unwrap() }
}

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

fn on_link(test: impl Fn(&mut Rig<'_>)) {
    on_link_with(quick_config(), test);
}

fn on_link_with(config: Config, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(OneSlot::new());
        test(&mut Rig::new(Engine::new(&mut *store, config), family, PEER_ISN));
    });
}

/// A listener for as many as there are slots, with buffers as small as they get.
fn listener(stream: StreamOptions) -> ListenOptions {
    ListenOptions { stream, ..rig::small_listener() }
}

/// ESTABLISHED by way of a listener, and accepted.
fn enter_with(rig: &mut Rig<'_>, options: ListenOptions) {
    rig.listen(options);
    let _ = rig.say(SYN, 0);
    let _ = rig.say(ACK, 0);
    rig.model.state = State::Established;
    rig.accept();
}

/// Serves deadlines until the end; returns how long it took since `from`, and why it came.
fn end_after(rig: &mut Rig<'_>, from: Instant) -> (Duration, CloseReason) {
    for _ in 0..20_000 {
        if let Some(reason) = end_of(rig) {
            return (rig.engine.now.duration_since(from), reason);
        }
        let _ = rig.engine.next_deadline();
    }
    panic!("no end");
}

/// Checks that the connection lives until right before `limit`, counted from `from`, and is then ended by `timer`; and whether the peer is told.
fn assert_ends(rig: &mut Rig<'_>, from: Instant, limit: Duration, timer: Timer, is_told: bool) {
    let (after, reason) = end_after(rig, from);
    assert_eq!((after, reason), (limit, CloseReason::TimedOut(timer)));
    assert_eq!(rig.engine.sent.iter().any(|sent| sent.flags & RST != 0), is_told, "{:?}", rig.engine.sent);
}

/// The peer answers what the engine has just sent, if it asks for an answer: it takes everything.
fn answer(rig: &mut Rig<'_>) {
    rig.look();
    let seg = Seg::new(ACK, rig.model.rcv_nxt, rig.model.snd_nxt, 0, rig.peer_wnd);
    let _ = rig.say_seg(&seg);
}

/// Lets time pass; the peer answers each keepalive probe. Returns when each was sent.
fn keep_answering(rig: &mut Rig<'_>, time: Duration) -> Vec<Instant> {
    let mut probes = Vec::new();
    each_deadline(rig, time, |rig| {
        if !rig.engine.sent.is_empty() {
            assert_probe(rig);
            probes.push(rig.engine.now);
            answer(rig);
        }
    });
    probes
}

/// Lets time pass; `serve` follows each deadline that was handled.
fn each_deadline(rig: &mut Rig<'_>, time: Duration, mut serve: impl FnMut(&mut Rig<'_>)) {
    let end = rig.engine.now + time;
    for _ in 0..MOST_DEADLINES {
        let Some((at, _)) = rig.engine.deadline.filter(|&(at, _)| at <= end) else {
            rig.engine.now = end;
            return;
        };
        rig.engine.now = rig.engine.now.max(at);
        let _ = rig.engine.next_deadline();
        serve(rig);
    }
    panic!("deadlines without end");
}

/// The last call sent one keepalive probe: SEG.SEQ = SND.NXT-1, empty (RFC 1122 §4.2.3.6).
fn assert_probe(rig: &Rig<'_>) {
    let probe = rig.engine.only();
    assert_eq!((probe.flags, probe.text.len()), (ACK, 0));
    assert_eq!((probe.seq, probe.ack), (rig.model.snd_nxt.wrapping_sub(1), rig.model.rcv_nxt));
}

/// Data goes both ways.
fn assert_carries_data(rig: &mut Rig<'_>) {
    rig.send(10);
    assert_eq!(rig.engine.only().text.len(), 10);
    answer(rig);
    assert_eq!(rig.status().unwrap().unacknowledged, 0);
    let _ = rig.say(ACK, 7);
    assert_eq!(rig.recv().len(), 7);
}

fn with_keep(keep_alive: KeepAlive) -> StreamOptions {
    StreamOptions { keep_alive: Some(keep_alive), ..small_stream() }
}

/// How long a timer of the connection has to go, now.
fn left(rig: &Rig<'_>, timer: Timer) -> Option<Duration> {
    rig.engine.tcp.status(rig.handle.unwrap()).unwrap().timers.left(timer)
}
