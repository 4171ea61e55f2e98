//! Draws a plan from a seed.

use std::num::NonZeroU8;
use std::time::Duration;

use fastrand::Rng;
use tcp_reset_core::{
    Config, CongestionControl, EvictBy, Eviction, KeepAlive, ListenOptions, Overflow, PortRange, RstPolicy,
    StreamOptions,
};

use super::addresses::Ep;
use super::host::{LARGE_SHAPE, SIZES, initial_seq};
use super::plan::{Act, App, Ending, FORGED, HostPlan, Limits, MS, Manner, Op, Plan, Rogue, SECOND, Sizes, What, Wire};
use crate::family::Family;

/// Connections with the largest buffers drawn that fit into a host's pool.
const POOL_SHARES: usize = 3;
/// The same of the host with the largest pool, whose connections are larger and fewer.
const LARGE_POOL_SHARES: usize = 2;
/// One in so many worlds has large buffers.
const LARGE: u32 = 20;
/// A steered ISN is at most so far before 2^32, so that streams of middling length cross it.
const STEER_MARGIN: u32 = 3_000;
/// The same of large streams, most of which have a full window then.
const LARGE_STEER_MARGIN: u32 = 200_000;
/// Steered clocks begin within this span, about 400 days, so that the shift cannot overflow them.
const STEERED_CLOCK_US: u64 = 1 << 45;

/// Draws a world.
pub(super) fn draw(seed: u64, families: &[Family]) -> Plan {
    let mut rng = Rng::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15);
    // The generator's first numbers are alike for seeds that are.
    for _ in 0..4 {
        rng.u64(..);
    }
    let slow = rng.u8(..8) == 0;
    let is_limited = !slow && rng.bool();
    // By a generator of its own: small worlds are the same with and without large ones.
    let is_large = Rng::with_seed(seed.rotate_left(29) ^ 0x6c61_7267).u32(..LARGE) == 0;
    let mut draw = Draw {
        busy_us: span(&mut rng),
        rng,
        families: families.to_vec(),
        hosts: 2,
        ops: Vec::new(),
        ids: 0,
        slow,
        is_limited,
        sizes: if is_large { Sizes::LARGE } else { Sizes::SMALL },
        shapes: Vec::new(),
        ports: Vec::new(),
    };
    draw.hosts = if draw.chance(3) { 2 + draw.rng.usize(1..3) } else { 2 };
    draw.plan(seed)
}

fn span(rng: &mut Rng) -> u64 {
    match rng.u8(..10) {
        0..=3 => rng.u64(SECOND..8 * SECOND),
        4..=7 => rng.u64(8 * SECOND..90 * SECOND),
        _ => rng.u64(90 * SECOND..1_200 * SECOND),
    }
}

struct Draw {
    rng: Rng,
    families: Vec<Family>,
    hosts: usize,
    ops: Vec<Op>,
    busy_us: u64,
    ids: u32,
    /// The wire is long and steady.
    slow: bool,
    /// Connections have limits.
    is_limited: bool,
    sizes: Sizes,
    /// Each host's storage.
    shapes: Vec<u8>,
    /// Open listeners: host and port.
    ports: Vec<(usize, u16)>,
}

impl Draw {
    /// True once in `n` times.
    fn chance(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn add(&mut self, at: u64, what: What) {
        self.ops.push(Op { at, what });
    }

    fn when(&mut self) -> u64 {
        self.rng.u64(..self.busy_us)
    }

    fn plan(mut self, seed: u64) -> Plan {
        let mut hosts: Vec<_> = (0..self.hosts).map(|_| self.host()).collect();
        self.shapes = hosts.iter().map(|host| host.shape).collect();
        let rogue = self.chance(12).then(|| self.rogue());
        self.wires();
        for host in 0..self.hosts {
            self.listeners(host);
        }
        let most = match self.chance(4) {
            _ if self.sizes.is_large() => LARGE_POOL_SHARES as u32,
            true => 10,
            false => 4,
        };
        let connects = 1 + self.rng.u32(..most);
        for _ in 0..connects {
            self.connection(rogue.is_some());
        }
        if !self.slow {
            self.troubles();
        }
        for (h, host) in hosts.iter_mut().enumerate() {
            // By a generator of its own: a world is the same with and without.
            let mut rng = Rng::with_seed(seed.rotate_left(17) ^ h as u64 ^ 0x6a6f_7572);
            host.has_journal = rng.bool();
            host.config.reset_diagnostics = rng.bool();
            host.config.sack = rng.u8(..4) > 0;
            host.config.congestion_control =
                if rng.bool() { CongestionControl::Cubic } else { CongestionControl::Reno };
            host.config.window_scale = if self.sizes.is_large() { rng.u8(..6) > 0 } else { rng.bool() };
            // A peer whose clock alone goes on by half a turn sends what counts as old (RFC 7323 §5.3).
            host.config.timestamps = rng.u8(..4) > 0 && !self.has_far_jump();
            host.config.ecn = rng.u8(..4) > 0;
            if self.chance(2) || self.sizes.is_large() {
                self.steer(seed, h, host);
            }
        }
        let Draw { mut ops, busy_us, sizes, .. } = self;
        ops.sort_by_key(|op| op.at);
        Plan { seed, hosts, rogue, ops, busy_us, sizes }
    }

    fn has_far_jump(&self) -> bool {
        const FAR_US: u64 = (1 << 30) * MS;
        let jumps = self.ops.iter().map(|op| if let What::Jump { by_us, .. } = op.what { by_us } else { 0 });
        jumps.fold(0, u64::saturating_add) >= FAR_US
    }

    fn host(&mut self) -> HostPlan {
        let shape = self.pick(&[0, 1, 1, 2, 2, 3, 4]);
        let shape = if self.sizes.is_large() { LARGE_SHAPE } else { shape };
        HostPlan { shape, config: self.config(), clock_us: self.clock(), has_journal: false }
    }

    /// Before a wrap of the milliseconds of records, of their order, of the ISN's clock, or anywhere in 30 years.
    fn clock(&mut self) -> u64 {
        let before = self.rng.u64(..self.busy_us.saturating_mul(2));
        let wrap = match self.rng.u8(..8) {
            0 => (1 << 32) * MS,
            1 => (1 << 31) * MS,
            2 => 1 << 34,
            3 => (1 << 30) * MS,
            4 => self.rng.u64(..1_000_000_000 * SECOND),
            _ => return self.rng.u64(..1_000 * SECOND),
        };
        wrap.saturating_sub(before)
    }

    fn config(&mut self) -> Config {
        let mut config = Config::default();
        if self.chance(3) {
            return config;
        }
        let mss = self.pick(&[None, None, Some(1_460), Some(536), Some(64), Some(100), Some(1_000)]);
        config.mss = mss.filter(|mss| u32::from(*mss) >= self.sizes.mss);
        config.ephemeral_ports = self.pick(&[config.ephemeral_ports, PortRange { first: 5_000, last: 5_003 }]);
        config.rto_min = Duration::from_millis(self.pick(&[1_000, 1_000, 200, 10, 0, 3_000]));
        let rto_max = if self.slow { 60 } else { self.pick(&[60, 60, 60, 120, 3_600, 4]) };
        config.rto_max = Duration::from_secs(rto_max);
        config.connect_timeout = Duration::from_secs(self.pick(&[180, 180, 240, 20, 3]));
        config.syn_received_timeout = Duration::from_millis(self.pick(&[30_000, 30_000, 500, 3_000, 100_000]));
        config.time_wait = Duration::from_millis(self.pick(&[60_000, 60_000, 1, 5_000, 240_000]));
        config.orphan_timeout = Duration::from_millis(self.pick(&[60_000, 60_000, 1_000, 10_000, 200_000]));
        config.delayed_ack = Duration::from_millis(self.pick(&[40, 40, 0, 200, 499]));
        config.challenge_limit = self.pick(&[10, 10, 10, 1, 3, 255]);
        let policy = self.chance(8);
        if self.is_limited {
            let by = self.pick(&[EvictBy::Idle, EvictBy::WithoutProgress]);
            let idle_for = self.pick(&[None, Some(1_000), Some(10_000)]).map(Duration::from_millis);
            config.eviction = idle_for.map(|idle_for| Eviction { by, idle_for });
        }
        config.user_timeout_limit = Duration::from_secs(self.pick(&[600, 600, 30, 200]));
        config.rst_policy = RstPolicy { at_last_ack_sent: policy, before_fin: policy };
        config
    }

    /// Shifts a host's clock so that its sequence numbers cross 2^32 within the stream of its first connection with known ports.
    fn steer(&mut self, seed: u64, h: usize, host: &mut HostPlan) {
        let wire = self.ops.iter().find_map(|op| if let What::Wire(wire) = op.what { Some(wire) } else { None });
        let delay_us = wire.map_or(0, |wire| wire.delay_us);
        let hosts = self.hosts;
        let found = self.ops.iter().find_map(|op| {
            let What::Connect { from, to, family, local, port, .. } = op.what else { return None };
            if local == 0 || to >= hosts {
                None
            } else if from == h {
                Some((op.at, local, Ep::new(to, family, port)))
            } else {
                // A listener chooses its ISN when the SYN arrives, after a question for its neighbor and the answer.
                (to == h).then(|| (op.at + 3 * delay_us, port, Ep::new(from, family, local)))
            }
        });
        let Some((at, local, remote)) = found else { return };
        let margin = if self.sizes.is_large() { LARGE_STEER_MARGIN } else { STEER_MARGIN };
        let want = 0u32.wrapping_sub(self.rng.u32(..margin));
        host.clock_us %= STEERED_CLOCK_US;
        if let Some(isn) = initial_seq(h, host, seed, at, local, remote) {
            // The clock in the ISN goes on by one every 4 µs (RFC 9293 §3.4.1).
            host.clock_us += u64::from(want.wrapping_sub(isn)) * 4;
        }
    }

    /// A stream whose buffers leave room for others in the host's pool.
    fn stream(&mut self, host: usize) -> StreamOptions {
        let mut options = self.any_stream();
        // Once in a while the pool is too small.
        if !self.chance(8) {
            let shares = if self.sizes.is_large() { LARGE_POOL_SHARES } else { POOL_SHARES };
            let most = SIZES[usize::from(self.shapes[host])].4 / shares;
            while options.rx_buffer + options.tx_buffer > most {
                options.rx_buffer = (options.rx_buffer / 2).max(64);
                options.tx_buffer = (options.tx_buffer / 2).max(64);
            }
        }
        options
    }

    fn buffer(&mut self) -> usize {
        if self.sizes.is_large() {
            self.pick(&[4_096, 32_768, 65_536, 131_072, 262_144, 262_144, 262_144, 262_144])
        } else {
            self.pick(&[64, 128, 256, 512, 1_024, 2_048, 4_096])
        }
    }

    fn any_stream(&mut self) -> StreamOptions {
        let mut options = StreamOptions {
            rx_buffer: self.buffer(),
            tx_buffer: self.buffer(),
            r1: self.pick(&[3, 3, 1, 8]),
            r2: Duration::from_secs(if self.slow { 100 } else { self.pick(&[100, 100, 100, 400, 20, 6]) }),
            nagle: self.rng.bool(),
            ..StreamOptions::DEFAULT
        };
        self.limits().apply_to(&mut options);
        options.user_timeout_option = self.is_limited && self.chance(3);
        options
    }

    /// Half of all worlds know no limits.
    fn limits(&mut self) -> Limits {
        let ms = |ms: Option<u64>| ms.map(Duration::from_millis);
        let mut limits = Limits { user_timeout: None, keep_alive: None, idle_timeout: None, first_byte_timeout: None };
        if self.is_limited {
            limits.user_timeout = ms(self.pick(&[None, None, None, Some(60_000), Some(7_000), Some(300)]));
            limits.idle_timeout = ms(self.pick(&[None, None, None, Some(300_000), Some(20_000), Some(3_000)]));
            limits.first_byte_timeout = ms(self.pick(&[None, None, None, Some(60_000), Some(2_000)]));
            let every = ms(self.pick(&[None, None, Some(500), Some(10_000), Some(60_000), Some(7_200_000)]));
            limits.keep_alive = every.map(|idle| KeepAlive {
                idle,
                interval: Duration::from_millis(self.pick(&[10_000, 3_000, 1_000, 75_000])),
                probes: NonZeroU8::new(self.pick(&[1, 2, 3, 9])).unwrap_or(NonZeroU8::MIN),
            });
        }
        limits
    }

    fn app(&mut self) -> App {
        let most = if self.sizes.is_large() {
            self.pick(&[2_000, 200_000, 400_000, 400_000])
        } else if self.slow {
            12_000
        } else {
            self.pick(&[1, 200, 2_000, 2_000, 8_000, 30_000])
        };
        App {
            total: match self.chance(4) {
                true => 0,
                false if self.sizes.is_large() => self.rng.u32(most / 2..=most),
                false => self.rng.u32(..=most),
            },
            chunk: self.pick(&[1, 7, 64, 300, 1_460, 4_096]).max((most / 100) as u16),
            read: self.pick(&[4_096, 4_096, 4_096, 4_096, 64, 100, 0]),
            every_us: match self.rng.u8(..6) {
                0 => self.rng.u64(MS..100 * MS),
                1 => self.rng.u64(100 * MS..3 * SECOND),
                _ => 0,
            },
            ending: self.pick(&[
                Ending::Shutdown,
                Ending::Shutdown,
                Ending::Shutdown,
                Ending::Close,
                Ending::AfterPeer,
                Ending::AfterPeer,
                Ending::Abort,
                Ending::Stay,
                Ending::Stay,
            ]),
            again: self.pick(&[0, 0, 1, 2]),
            again_us: match self.rng.u8(..3) {
                0 => 0,
                1 => self.rng.u64(..5 * MS),
                _ => self.rng.u64(..3 * SECOND),
            },
        }
    }

    fn rogue(&mut self) -> Rogue {
        let manner = self.pick(&[Manner::Crumbs, Manner::FlippingWindow, Manner::Mute, Manner::NeverCloses]);
        Rogue { manner, every_us: self.rng.u64(500 * MS..40 * SECOND) }
    }

    fn wire(&mut self, is_hard: bool) -> Wire {
        let delay_us = self.pick(&[100, MS, 5 * MS, 40 * MS, 200 * MS]);
        if !is_hard {
            return Wire { delay_us, ..Wire::default() };
        }
        let mut one = |most: u16| if self.rng.bool() { 0 } else { self.rng.u16(..most) };
        let (loss, duplicated, reordered, corrupted) = (one(400), one(300), one(300), one(150));
        let jitter_us = if self.rng.bool() { 0 } else { self.rng.u64(..2 * delay_us) };
        Wire { loss, duplicated, reordered, corrupted, marked: reordered, delay_us, jitter_us }
    }

    fn wires(&mut self) {
        if self.slow {
            let delay_us = self.rng.u64(300 * MS..2_500 * MS);
            return self.add(0, What::Wire(Wire { delay_us, ..Wire::default() }));
        }
        // Windows grow where little is lost.
        let is_hard = self.rng.bool() && (!self.sizes.is_large() || self.rng.bool());
        let first = self.wire(is_hard);
        self.add(0, What::Wire(first));
        for _ in 0..self.rng.u8(..4) {
            let (at, is_hard) = (self.when(), self.chance(2));
            let mut wire = self.wire(is_hard);
            if self.chance(4) {
                wire.loss = 1_000;
            }
            self.add(at, What::Wire(wire));
            // A short failure finds what is on its way just then.
            if self.chance(2) {
                let for_us = self.rng.u64(MS..5 * SECOND);
                self.add(at + for_us, What::Wire(first));
            }
        }
    }

    fn listeners(&mut self, host: usize) {
        if host > 0 && self.chance(6) {
            return;
        }
        for n in 0..1 + self.rng.u16(..2) {
            let port = 7 + n;
            let overflow = if self.chance(3) { Overflow::Refuse } else { Overflow::Drop };
            let accept_ms = self.pick(&[None, None, Some(1_000), Some(30_000)]);
            let options = ListenOptions {
                backlog: self.pick(&[4, 4, 1, 2, 8]),
                half_open: self.pick(&[16, 16, 1, 2, 4]),
                overflow,
                stream: self.stream(host),
                accept_timeout: accept_ms.filter(|_| self.is_limited).map(Duration::from_millis),
                ..ListenOptions::default()
            };
            let app = self.app();
            let accept_every_us = if self.chance(4) { self.rng.u64(SECOND..40 * SECOND) } else { 0 };
            let at = if self.chance(6) { self.when() } else { 0 };
            self.add(at, What::Listen { host, port, options, app, accept_every_us });
            self.ports.push((host, port));
            if self.chance(6) {
                let at = self.when();
                self.add(at, What::Unlisten { host, port });
                if self.chance(2) {
                    let again = at + self.rng.u64(..self.busy_us);
                    self.add(again, What::Listen { host, port, options, app, accept_every_us });
                }
            }
        }
    }

    fn connection(&mut self, has_rogue: bool) {
        let id = self.ids;
        self.ids += 1;
        let family = {
            let n = self.rng.usize(..self.families.len());
            self.families[n]
        };
        let from = self.rng.usize(..self.hosts);
        let mut to = (from + 1 + self.rng.usize(..self.hosts - 1)) % self.hosts;
        if has_rogue && self.chance(2) {
            to = self.hosts;
        }
        // Few ports, so that they meet again.
        let local = if self.chance(2) && !self.sizes.is_large() { 0 } else { 2_000 + self.rng.u16(..3) };
        let mut port = if self.chance(10) { 99 } else { self.pick(&[7, 7, 7, 8]) };
        let others: Vec<_> = self.ports.iter().copied().filter(|(host, _)| *host != from).collect();
        if to < self.hosts && !others.is_empty() && !self.chance(5) {
            (to, port) = self.pick(&others);
        }
        let at = match self.rng.u8(..4) {
            0 | 1 => self.rng.u64(..self.busy_us / 8 + 1),
            2 => self.rng.u64(..self.busy_us / 4 + 1),
            _ => self.when(),
        };
        let (options, app) = (self.stream(from), self.app());
        let connect = What::Connect { id, from, to, family, local, port, options, app };
        self.add(at, connect);
        if to < self.hosts && self.chance(8) {
            self.simultaneous_open(at, from, to, family);
        }
        for _ in 0..self.rng.u8(..3) {
            self.act(at, id);
        }
        if !self.slow {
            let count = if self.chance(3) { self.rng.u8(..12) } else { self.rng.u8(..3) };
            for _ in 0..count {
                self.forge(at, id);
            }
        }
    }

    /// Two connects that cross.
    fn simultaneous_open(&mut self, at: u64, from: usize, to: usize, family: Family) {
        let (a, b) = (3_000 + self.rng.u16(..2), 4_000 + self.rng.u16(..2));
        let gap = if self.chance(2) { 0 } else { self.rng.u64(..200 * MS) };
        for (from, to, local, port, at) in [(from, to, a, b, at), (to, from, b, a, at + gap)] {
            let id = self.ids;
            self.ids += 1;
            let (options, app) = (self.stream(from), self.app());
            self.add(at, What::Connect { id, from, to, family, local, port, options, app });
            self.act(at, id);
        }
    }

    /// Soon after the connection began, or any time later.
    fn after(&mut self, at: u64) -> u64 {
        at + match self.rng.u8(..4) {
            0 => self.rng.u64(..2 * MS),
            1 => self.rng.u64(..300 * MS),
            2 => self.rng.u64(..8 * SECOND),
            _ => self.rng.u64(..self.busy_us),
        }
    }

    fn act(&mut self, opened: u64, id: u32) {
        let (at, side) = (self.after(opened), self.rng.usize(..2));
        let more = self.rng.u32(1..3_000);
        let limits = self.limits();
        let act = self.pick(&[
            Act::Shutdown,
            Act::Close,
            Act::Close,
            Act::Abort,
            Act::StopReading,
            Act::ReadAll,
            Act::Write(more),
            Act::Limits(limits),
        ]);
        self.add(at, What::Do { id, side, act });
        // Both at once: simultaneous close, or one who leaves while the other does.
        if self.chance(3) {
            let (act, gap) = (self.pick(&[Act::Shutdown, Act::Close, Act::Abort]), self.rng.u64(..50 * MS));
            let gap = if self.rng.bool() { 0 } else { gap };
            self.add(at + gap, What::Do { id, side: 1 - side, act });
            if self.chance(2) {
                let (side, gap) = (self.rng.usize(..2), self.rng.u64(..100 * MS));
                self.add(at + gap, What::Do { id, side, act: Act::Abort });
            }
        }
    }

    fn forge(&mut self, opened: u64, id: u32) {
        let (at, side) = (self.after(opened), self.rng.usize(..2));
        let (forged, number) = (self.pick(&FORGED), self.rng.u32(..));
        self.add(at, What::Forge { id, side, forged, number });
    }

    fn troubles(&mut self) {
        let count = if self.chance(3) { self.rng.u8(..8) } else { self.rng.u8(..3) };
        for _ in 0..count {
            let (at, host) = (self.when(), self.rng.usize(..self.hosts));
            let for_us = self.how_long();
            let what = self.trouble(host, for_us);
            self.add(at, what);
        }
    }

    fn how_long(&mut self) -> u64 {
        match self.rng.u8(..6) {
            0..=2 => self.rng.u64(..2 * SECOND),
            3 => self.rng.u64(..60 * SECOND),
            4 => self.rng.u64(..600 * SECOND),
            // For good: until the world is quiet.
            _ => u64::MAX / 4,
        }
    }

    /// Up to 58 days: beyond what wrapping milliseconds can tell apart.
    fn jump(&mut self) -> u64 {
        match self.rng.u8(..3) {
            0 => self.rng.u64(..300 * SECOND),
            1 => ((1 << 31) * MS).saturating_sub(self.rng.u64(..10 * SECOND)),
            _ => self.rng.u64(..5_000_000 * SECOND),
        }
    }

    fn trouble(&mut self, host: usize, for_us: u64) -> What {
        let other = (host + 1 + self.rng.usize(..self.hosts - 1)) % self.hosts;
        let family = {
            let n = self.rng.usize(..self.families.len());
            self.families[n]
        };
        let port = self.pick(&[7, 8]);
        let count = self.rng.u16(1..40);
        match self.rng.u8(..20) {
            0..=2 => What::Silence { host, for_us },
            3..=5 => What::Reboot { host, down_us: for_us.min(600 * SECOND) },
            6 => What::Freeze { host, for_us: for_us.min(90 * SECOND) },
            7 => What::Jump { host, by_us: self.jump() },
            8..=10 => What::DeviceFull { host, for_us: for_us.min(90 * SECOND) },
            11..=12 => What::DropOffers { host, permille: self.rng.u16(..600) },
            13 => What::AbortAll { host },
            14 => What::LoseAddress { host, family, for_us },
            15..=17 => What::Flood { host, family, port, count },
            _ => What::FloodFrom { host, other, family, port, count },
        }
    }
}
