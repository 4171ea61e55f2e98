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
use support::rig::{self, Link, PEER_ISN, World, end_of, quick_config, small_stream};
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

fn on_link(test: impl Fn(&mut Link<'_>)) {
    on_link_with(quick_config(), test);
}

fn on_link_with(config: Config, test: impl Fn(&mut Link<'_>)) {
    over_each(|family| {
        let mut store = Box::new(OneSlot::new());
        test(&mut Link::new(World::new(&mut *store, config), family, PEER_ISN));
    });
}

/// A listener for as many as there are slots, with buffers as small as they get.
fn listener(stream: StreamOptions) -> ListenOptions {
    ListenOptions { stream, ..rig::small_listener() }
}

/// ESTABLISHED by way of a listener, and accepted.
fn enter_with(link: &mut Link<'_>, options: ListenOptions) {
    link.listen(options);
    let _ = link.say(SYN, 0);
    let _ = link.say(ACK, 0);
    link.model.state = State::Established;
    link.accept();
}

/// Serves deadlines until the end; returns how long it took since `from`, and why it came.
fn end_after(link: &mut Link<'_>, from: Instant) -> (Duration, CloseReason) {
    for _ in 0..20_000 {
        if let Some(reason) = end_of(link) {
            return (link.world.now.duration_since(from), reason);
        }
        let _ = link.world.next_deadline();
    }
    panic!("no end");
}

/// Checks that the connection lives until right before `limit`, counted from `from`, and is then ended by `timer`; and whether the peer is told.
fn assert_ends(link: &mut Link<'_>, from: Instant, limit: Duration, timer: Timer, is_told: bool) {
    let (after, reason) = end_after(link, from);
    assert_eq!((after, reason), (limit, CloseReason::TimedOut(timer)));
    assert_eq!(link.world.sent.iter().any(|sent| sent.flags & RST != 0), is_told, "{:?}", link.world.sent);
}

/// The peer answers what the engine has just sent, if it asks for an answer: it takes everything.
fn answer(link: &mut Link<'_>) {
    link.look();
    let seg = Seg::new(ACK, link.model.rcv_nxt, link.model.snd_nxt, 0, link.peer_wnd);
    let _ = link.say_seg(&seg);
}

/// Lets time pass; the peer answers each keepalive probe. Returns when each was sent.
fn keep_answering(link: &mut Link<'_>, time: Duration) -> Vec<Instant> {
    let mut probes = Vec::new();
    each_deadline(link, time, |link| {
        if !link.world.sent.is_empty() {
            assert_probe(link);
            probes.push(link.world.now);
            answer(link);
        }
    });
    probes
}

/// Lets time pass; `serve` follows each deadline that was handled.
fn each_deadline(link: &mut Link<'_>, time: Duration, mut serve: impl FnMut(&mut Link<'_>)) {
    let end = link.world.now + time;
    for _ in 0..MOST_DEADLINES {
        let Some((at, _)) = link.world.deadline.filter(|&(at, _)| at <= end) else {
            link.world.now = end;
            return;
        };
        link.world.now = link.world.now.max(at);
        let _ = link.world.next_deadline();
        serve(link);
    }
    panic!("deadlines without end");
}

/// The last call sent one keepalive probe: SEG.SEQ = SND.NXT-1, empty (RFC 1122 §4.2.3.6).
fn assert_probe(link: &Link<'_>) {
    let probe = link.world.only();
    assert_eq!((probe.flags, probe.text.len()), (ACK, 0));
    assert_eq!((probe.seq, probe.ack), (link.model.snd_nxt.wrapping_sub(1), link.model.rcv_nxt));
}

/// Data goes both ways.
fn assert_carries_data(link: &mut Link<'_>) {
    link.send(10);
    assert_eq!(link.world.only().text.len(), 10);
    answer(link);
    assert_eq!(link.status().unwrap().unacknowledged, 0);
    let _ = link.say(ACK, 7);
    assert_eq!(link.recv().len(), 7);
}

fn with_keep(keep_alive: KeepAlive) -> StreamOptions {
    StreamOptions { keep_alive: Some(keep_alive), ..small_stream() }
}

/// How long a timer of the connection has to go, now.
fn left(link: &Link<'_>, timer: Timer) -> Option<Duration> {
    link.world.tcp.status(link.handle.unwrap()).unwrap().timers.left(timer)
}
