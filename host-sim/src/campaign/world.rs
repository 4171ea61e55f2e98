//! A world in virtual time: hosts, the wire between them, and what the plan does to both.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hasher as _;

use bumpalo::Bump;
use siphasher::sip::SipHasher13;
use tcp_reset_core::link::{LinkOutput, Received};
use tcp_reset_core::{Action, Control, Event, Rule};

use super::addresses::{Ep, address, mac, name};
use super::conn::Conn;
use super::coverage::Coverage;
use super::due::{At, Due, InFlight};
use super::host::{Host, Listening};
use super::pair::Pair;
use super::plan::{MS, Op, Plan, What, Wire};
use super::promise::Promise;
use super::rogue::RogueHost;
use super::story::{self, Story};
use crate::family::Family;
use crate::frame::{Congestion, Seen};
use crate::resolve;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Outputs of one engine in a row; more is a loop.
const OUTPUTS: usize = 20_000;
/// Frames of one world; more is a storm.
const FRAMES: u64 = 300_000;
/// Frames a sleeping host's device keeps.
const DEVICE: usize = 8;
/// Timer runs of one host at one instant.
const SPINS: u32 = 200;

/// How far a world has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// The plan's operations happen.
    Busy,
    /// No faults any more, everybody alive; applications wait.
    Idle,
    /// Applications close.
    Closing,
    /// Everything is over; a fresh connection must work.
    Fresh,
}

/// What a world leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Outcome {
    /// TCP segments sent by hosts.
    pub segments: u64,
    /// Over all frames and their times.
    pub hash: u64,
}

/// See the module.
pub(super) struct World<'b> {
    pub bump: &'b Bump,
    pub plan: &'b Plan,
    pub now: u64,
    queue: BinaryHeap<Reverse<At>>,
    order: u64,
    pub hosts: Vec<Host<'b>>,
    pub rogue: Option<RogueHost>,
    pub conns: Vec<Conn>,
    pub pairs: Vec<Pair>,
    pub wire: Wire,
    pub phase: Phase,
    /// When it became quiet.
    pub calm_at: u64,
    pub story: Story,
    pub failure: Option<String>,
    hasher: SipHasher13,
    pub frames: u64,
    segments: u64,
    /// The depth of the empty ACK that is being judged, and its pair.
    pub stimulus: Option<(usize, u16)>,
    /// What the verdict on the segment just taken promises its sender.
    pub promised: Option<Promise>,
    /// Nothing is ever lost or late here, so nothing may be sent twice for ever.
    pub is_steady: bool,
    /// Of engines that are gone.
    pub coverage: Coverage,
}

impl<'b> World<'b> {
    pub(super) fn new(bump: &'b Bump, plan: &'b Plan, story: Story) -> World<'b> {
        let hosts: Vec<_> = plan.hosts.iter().enumerate().map(|(n, h)| Host::new(bump, n, h, plan.seed)).collect();
        let rogue = plan.rogue.map(|rogue| RogueHost::new(hosts.len(), rogue));
        let is_steady = plan.ops.iter().all(|op| match &op.what {
            What::Wire(wire) => {
                op.at == 0 && Wire { delay_us: 0, ..*wire } == Wire::default() && wire.delay_us >= 300 * MS
            }
            What::Listen { .. } | What::Connect { .. } | What::Do { .. } => true,
            What::Silence { .. }
            | What::Reboot { .. }
            | What::Freeze { .. }
            | What::Jump { .. }
            | What::DeviceFull { .. }
            | What::DropOffers { .. }
            | What::Unlisten { .. }
            | What::AbortAll { .. }
            | What::LoseAddress { .. }
            | What::Forge { .. }
            | What::Flood { .. }
            | What::FloodFrom { .. } => false,
        });
        let mut world = World {
            bump,
            plan,
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            hosts,
            rogue,
            conns: Vec::new(),
            pairs: Vec::new(),
            wire: Wire { delay_us: MS, ..Wire::default() },
            phase: Phase::Busy,
            calm_at: 0,
            story,
            failure: None,
            hasher: SipHasher13::new_with_keys(1, 2),
            frames: 0,
            segments: 0,
            stimulus: None,
            promised: None,
            is_steady,
            coverage: Coverage::default(),
        };
        for (n, op) in plan.ops.iter().enumerate() {
            world.at(op.at, Due::Op(n));
        }
        if let Some(rogue) = &plan.rogue {
            world.at(rogue.every_us, Due::Rogue);
        }
        world
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome { segments: self.segments, hash: self.hasher.finish() }
    }

    /// What happened in a world that is over.
    pub(super) fn into_coverage(mut self) -> Coverage {
        for host in &self.hosts {
            self.coverage.add_counters(host.link.tcp_ref().counters());
        }
        for conn in &self.conns {
            self.coverage.add_stream(conn);
        }
        self.coverage
    }

    /// The first thing that goes wrong is what counts.
    pub(super) fn fail(&mut self, what: impl Into<String>) {
        if self.failure.is_none() {
            let what = what.into();
            self.story.add(self.now, || format!("✗ {what}"));
            self.failure = Some(what);
        }
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        self.story.add(self.now, || format!("· {}", line()));
    }

    pub(super) fn at(&mut self, at: u64, due: Due) {
        self.order += 1;
        self.queue.push(Reverse(At(at, self.order, due)));
    }

    /// The next time anything is due.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(at)| at.0)
    }

    /// Goes on until that time, or until something fails.
    pub(super) fn run_until(&mut self, end: u64) {
        while self.failure.is_none() && self.next_at().is_some_and(|at| at <= end) {
            let Some(Reverse(At(at, _, due))) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.happens(due);
            if self.frames > FRAMES {
                self.fail(format!("storm: {FRAMES} frames in one world"));
            }
        }
        if self.failure.is_none() {
            self.now = self.now.max(end.min(u64::MAX / 2));
        }
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::Frame(frame) => self.arrives(frame),
            Due::Op(n) if self.phase == Phase::Busy => {
                let op: &'b Op = &self.plan.ops[n];
                self.operate(&op.what);
            }
            Due::Op(_) => {}
            Due::Wake(h) => self.wakes(h),
            Due::Over(h) => self.trouble_over(h),
            Due::App(c) => {
                self.app_turn(c, true);
                self.drain(self.conns[c].host);
            }
            Due::Accept(h, l) => {
                self.accept(h, l);
                self.drain(h);
            }
            Due::Again(c) => self.connect_again(c),
            Due::Rogue => self.rogue_turn(),
        }
    }

    fn wakes(&mut self, h: usize) {
        let host = &mut self.hosts[h];
        if host.wake > self.now {
            return;
        }
        host.wake = u64::MAX;
        if host.down_until > self.now || host.frozen_until > self.now {
            return;
        }
        let now = host.now(self.now);
        host.link.handle_timeout(now);
        self.drain(h);
    }

    fn trouble_over(&mut self, h: usize) {
        self.troubled(h);
        if self.hosts[h].down_until > self.now || self.hosts[h].frozen_until > self.now {
            return;
        }
        for frame in std::mem::take(&mut self.hosts[h].waiting) {
            self.arrives(frame);
        }
        let now = self.hosts[h].now(self.now);
        self.hosts[h].link.handle_timeout(now);
        for family in Family::ALL {
            let until = self.hosts[h].lost_until[usize::from(family == Family::Ipv6)];
            if until > 0 && until <= self.now {
                self.move_host(h, family, 0);
            }
        }
        self.drain(h);
    }

    pub(super) fn move_host(&mut self, h: usize, family: Family, until: u64) {
        let (host, world) = (&mut self.hosts[h], self.now);
        host.lost_until[usize::from(family == Family::Ipv6)] = until;
        host.moved_at = world;
        host.set_addresses(h, world);
        host.owed.clear();
    }

    /// A frame reaches a host's device.
    fn arrives(&mut self, frame: InFlight) {
        let h = frame.to;
        if h >= self.hosts.len() {
            return self.rogue_hears(&frame.bytes);
        }
        if !self.hosts[h].is_reachable(self.now) {
            return self.lost(&frame.bytes, "unreachable");
        }
        if self.hosts[h].frozen_until > self.now {
            if self.hosts[h].waiting.len() < DEVICE {
                self.hosts[h].waiting.push(frame);
            } else {
                self.lost(&frame.bytes, "device full");
            }
            return;
        }
        self.answer_question(h, &frame.bytes);
        let seen = Seen::parse(&frame.bytes);
        if let Some(seen) = &seen {
            self.before_arrival(h, seen, &frame);
        }
        let now = self.hosts[h].now(self.now);
        let replies_lost = self.hosts[h].link.tcp_ref().counters().replies_lost;
        let received = self.hosts[h].link.handle_frame(now, &frame.bytes);
        if let Some(seen) = &seen {
            self.judged(seen, &frame, received);
            self.promised = self.promise(h, seen, received, replies_lost);
        }
        self.drain(h);
        self.stimulus = None;
        self.promised = None;
    }

    fn judged(&mut self, seen: &Seen, frame: &InFlight, received: Received) {
        self.story.add(self.now, || {
            let mark = if frame.is_forged { "┄▶" } else { "─▶" };
            let verdict = match received {
                Received::Taken(v) => format!("{} ({}, met {})", v.rule, v.action, v.state),
                Received::Observed | Received::OtherTcp | Received::NotMine => format!("{received:?}"),
            };
            format!("{mark} {}   {verdict}", story::segment(seen))
        });
        let Received::Taken(verdict) = received else { return };
        if frame.is_corrupt && !matches!(verdict.rule, Rule::ChecksumWrong | Rule::Malformed | Rule::NotAnswerable) {
            self.fail(format!("a corrupt frame was judged by {}", verdict.rule));
        }
        if seen.control.contains(Control::RST) && matches!(verdict.action, Action::Reset(_)) {
            self.fail("an RST was answered by an RST");
        }
    }

    /// ARP and neighbor solicitations are answered by the rest of the stack.
    fn answer_question(&mut self, h: usize, bytes: &[u8]) {
        if let Some(answer) = answer_of(bytes, h, |family| self.hosts[h].has_address(family, self.now)) {
            self.send(h, answer, 0);
        }
    }

    /// Everything the engine has to say, until it names a time.
    pub(super) fn drain(&mut self, h: usize) {
        let mut buf = [0; 1_600];
        let mut is_owed = false;
        for outputs in 0.. {
            if self.failure.is_some() {
                return;
            }
            if outputs > OUTPUTS {
                return self.fail(format!("{} never stops speaking", name(h)));
            }
            let now = self.hosts[h].now(self.now);
            let is_asleep = self.hosts[h].down_until > self.now || self.hosts[h].frozen_until > self.now;
            if is_asleep {
                return;
            }
            let (is_full, drops) = (self.hosts[h].full_until > self.now, self.hosts[h].drop_permille);
            let roll = if drops > 0 { self.roll(h, outputs) } else { 1_000 };
            match self.hosts[h].link.poll_output(now) {
                LinkOutput::Event(event) => self.event(h, event),
                LinkOutput::Transmit(frame) => {
                    if is_full {
                        drop(frame);
                        break;
                    }
                    // Hashed with the count, so that an offer that is made again has another fate.
                    if roll < u64::from(drops) {
                        drop(frame);
                        is_owed = true;
                        continue;
                    }
                    is_owed = false;
                    match frame.emit(&mut buf) {
                        Ok(len) => self.emitted(h, buf[..len].to_vec()),
                        Err(_) => self.fail("a frame longer than the link carries"),
                    }
                }
                LinkOutput::Timeout(_) => {
                    if is_owed {
                        self.fail("a frame that was offered and dropped is not offered again");
                    }
                    self.said_all(h);
                    break;
                }
            }
        }
        self.arm(h);
        self.after_step(h);
    }

    fn roll(&self, h: usize, outputs: usize) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.plan.seed, self.now);
        hasher.write_u64((h as u64) << 32 | outputs as u64);
        hasher.finish() % 1_000
    }

    fn arm(&mut self, h: usize) {
        let now = self.hosts[h].now(self.now);
        let Some((at, _)) = self.hosts[h].link.next_timeout(now) else { return };
        let wait = at.as_micros().saturating_sub(now.as_micros());
        let host = &mut self.hosts[h];
        host.spins = if wait == 0 { host.spins + 1 } else { 0 };
        if host.spins > SPINS {
            return self.fail(format!("{}'s timer is due for ever", name(h)));
        }
        let wake = self.now.saturating_add(wait);
        if wake < host.wake {
            host.wake = wake;
            self.at(wake, Due::Wake(h));
        }
    }

    fn event(&mut self, h: usize, event: Event) {
        self.note_told(h, &event);
        match event {
            Event::Acceptable(handle) => {
                let found = self.hosts[h].listeners.iter().position(|l| l.handle == Some(handle));
                match found {
                    None => self.fail(format!("{}: news of a listener that is closed", name(h))),
                    Some(l) if self.hosts[h].listeners[l].accept_every_us == 0 => self.accept(h, l),
                    Some(l) => {
                        let at = self.now + self.hosts[h].listeners[l].accept_every_us;
                        self.at(at, Due::Accept(h, l));
                    }
                }
            }
            Event::Connected(c) => self.connected(h, c),
            Event::Readable(c) | Event::Writable(c) | Event::PeerFinished(c) => self.conn_event(h, c),
            Event::Stalled(_) | Event::LostPeer(..) => {}
            Event::Closed(c, reason) => self.closed(h, c, reason),
        }
    }

    /// A host's engine wrote a frame.
    fn emitted(&mut self, h: usize, bytes: Vec<u8>) {
        let mut depth = 0;
        if let Some(seen) = Seen::parse(&bytes) {
            self.segments += 1;
            depth = self.sent(h, &seen);
            self.story.add(self.now, || format!("◀ sent {}", story::segment(&seen)));
        }
        self.send(h, bytes, depth);
    }

    /// Puts a frame on the wire, and decides its fate by what it is and when.
    fn send(&mut self, from: usize, mut bytes: Vec<u8>, depth: u16) {
        self.frames += 1;
        self.hasher.write_u64(self.now);
        self.hasher.write(&bytes);
        if let Some(said) = Congestion::parse(&bytes) {
            self.coverage.add_congestion(&said);
        }
        let Some(to) = destination(&bytes) else { return };
        if to == from || to > self.hosts.len() {
            return;
        }
        if from < self.hosts.len() && !self.hosts[from].is_reachable(self.now) {
            return self.lost(&bytes, "unheard");
        }
        let wire = self.wire;
        if (Wire { delay_us: 0, ..wire }) == Wire::default() {
            let frame = InFlight { to, bytes, is_forged: false, is_corrupt: false, depth };
            return self.at(self.now + wire.delay_us, Due::Frame(frame));
        }
        let mut fate = self.fate(&bytes);
        let mut is = |permille: u16| fate.u16(..1_000) < permille;
        let (is_lost, is_twice) = (is(wire.loss), is(wire.duplicated));
        let (is_late, is_corrupt) = (is(wire.reordered), is(wire.corrupted));
        let jitter = if wire.jitter_us > 0 { fate.u64(..wire.jitter_us) } else { 0 };
        let late = if is_late { fate.u64(..4 * wire.delay_us + 20 * MS) } else { 0 };
        if is_lost {
            return self.lost(&bytes, "lost");
        }
        let at = self.now + wire.delay_us + jitter + late;
        if is_twice {
            let again = at + fate.u64(..3 * wire.delay_us + MS);
            self.at(
                again,
                Due::Frame(InFlight { to, bytes: bytes.clone(), is_forged: false, is_corrupt: false, depth }),
            );
        }
        // Everything behind the IP header is checked by a sum, but for ARP.
        let behind = if bytes[12] == 0x86 { ETHERNET + 40 } else { ETHERNET + 20 };
        let is_corrupt = is_corrupt && bytes[12..14] != [8, 6] && bytes.len() > behind;
        if is_corrupt {
            self.lost(&bytes, "corrupted");
            let bit = fate.usize(..(bytes.len() - behind) * 8);
            bytes[behind + bit / 8] ^= 1 << (bit % 8);
        }
        if fate.u16(..1_000) < wire.marked && Congestion::mark(&mut bytes) {
            self.coverage.add_mark();
        }
        self.at(at, Due::Frame(InFlight { to, bytes, is_forged: false, is_corrupt, depth }));
    }

    fn fate(&self, bytes: &[u8]) -> fastrand::Rng {
        let mut hasher = SipHasher13::new_with_keys(self.plan.seed, self.now);
        hasher.write(bytes);
        fastrand::Rng::with_seed(hasher.finish())
    }

    fn lost(&mut self, bytes: &[u8], why: &str) {
        let Some(seen) = Seen::parse(bytes) else {
            // A question for a neighbor, or its answer: what waits for it is late.
            return self.troubled(usize::from(bytes[11].wrapping_sub(1)));
        };
        let now = self.now;
        if let Some(p) = self.pair_of(Ep::of(seen.from), Ep::of(seen.to)) {
            self.pairs[p].lost_at = Some(now);
        }
        self.story.add(now, || format!("✂ {why}: {}", story::segment(&seen)));
    }

    /// An attacker's frame is there at once, so that it meets the numbers it was made for.
    pub(super) fn inject(&mut self, to: usize, bytes: Vec<u8>) {
        self.frames += 1;
        if to < self.hosts.len() && self.hosts[to].is_reachable(self.now) && self.hosts[to].frozen_until <= self.now {
            self.arrives(InFlight { to, bytes, is_forged: true, is_corrupt: false, depth: 0 });
        }
    }

    fn operate(&mut self, what: &What) {
        match *what {
            What::Wire(wire) => {
                self.note(|| format!("wire: {wire:?}"));
                self.wire = wire;
            }
            What::Silence { host, for_us } => {
                self.note(|| format!("{}'s cable is out for {} ms", name(host), for_us / MS));
                self.hosts[host].silent_until = self.now.saturating_add(for_us);
                self.troubled(host);
            }
            What::Reboot { host, down_us } => self.reboot(host, down_us),
            What::Freeze { host, for_us } => {
                self.note(|| format!("{} sleeps for {} ms", name(host), for_us / MS));
                self.hosts[host].frozen_until = self.now.saturating_add(for_us);
                self.troubled(host);
                self.at(self.now.saturating_add(for_us), Due::Over(host));
            }
            What::Jump { host, by_us } => {
                self.note(|| format!("{}'s clock goes on by {} ms", name(host), by_us / MS));
                self.hosts[host].ahead_us += by_us;
                self.hosts[host].wake = self.now;
                self.troubled(host);
                self.at(self.now, Due::Wake(host));
            }
            What::DeviceFull { host, for_us } => {
                self.note(|| format!("{}'s device is full for {} ms", name(host), for_us / MS));
                self.hosts[host].full_until = self.now.saturating_add(for_us);
                self.troubled(host);
                self.at(self.now.saturating_add(for_us), Due::Over(host));
            }
            What::DropOffers { host, permille } => self.hosts[host].drop_permille = permille,
            What::LoseAddress { host, family, for_us } => {
                self.note(|| format!("{} loses its {family} address for {} ms", name(host), for_us / MS));
                let until = self.now.saturating_add(for_us);
                self.move_host(host, family, until);
                self.drain(host);
                self.at(until, Due::Over(host));
            }
            What::Listen { .. }
            | What::Unlisten { .. }
            | What::AbortAll { .. }
            | What::Connect { .. }
            | What::Do { .. } => {
                self.call(what);
            }
            What::Forge { id, side, forged, number } => self.forge(id, side, forged, number),
            What::Flood { host, family, port, count } => self.flood(host, None, family, port, count),
            What::FloodFrom { host, other, family, port, count } => self.flood(host, Some(other), family, port, count),
        }
    }

    fn rogue_hears(&mut self, bytes: &[u8]) {
        let Some(rogue) = &mut self.rogue else { return };
        let place = rogue.place;
        if let Some(answer) = answer_of(bytes, place, |_| true) {
            return self.send(place, answer, 0);
        }
        let Some(answer) = Seen::parse(bytes).and_then(|seen| rogue.takes(&seen)) else { return };
        self.rogue_says(place, &answer);
    }

    fn rogue_says(&mut self, place: usize, seen: &Seen) {
        let to = Ep::of(seen.to).host();
        self.send(place, seen.forge(mac(place), mac(to)), 0);
    }

    /// It speaks without being asked.
    fn rogue_turn(&mut self) {
        let Some(rogue) = &mut self.rogue else { return };
        let (place, every_us) = (rogue.place, rogue.script.every_us);
        for said in rogue.speaks() {
            self.rogue_says(place, &said);
        }
        if self.phase != Phase::Fresh {
            self.at(self.now + every_us, Due::Rogue);
        }
    }

    /// What happens to a host happens to its connections: they may lose time.
    pub(super) fn troubled(&mut self, h: usize) {
        let now = self.now;
        for pair in self.pairs.iter_mut().filter(|pair| pair.is_of(h)) {
            pair.lost_at = Some(now);
        }
    }

    fn reboot(&mut self, h: usize, down_us: u64) {
        self.note(|| format!("{} reboots, down for {} ms", name(h), down_us / MS));
        self.coverage.add_counters(self.hosts[h].link.tcp_ref().counters());
        self.hosts[h].reboot(self.bump, h, self.plan.seed, self.now);
        self.hosts[h].down_until = self.now.saturating_add(down_us);
        self.forget_connections(h);
        self.troubled(h);
        for l in 0..self.hosts[h].listeners.len() {
            let Listening { handle, .. } = &mut self.hosts[h].listeners[l];
            if handle.take().is_some() {
                self.open_listener(h, l);
            }
        }
        self.at(self.now.saturating_add(down_us), Due::Over(h));
    }
}

/// Who gets a frame: by its Ethernet address, or, where all or a group are asked, the host that has the address asked for.
fn destination(bytes: &[u8]) -> Option<usize> {
    let dst = bytes.get(..6)?;
    if dst[0] & 1 == 0 {
        return (dst[..5] == mac(0)[..5]).then(|| usize::from(dst[5].wrapping_sub(1)));
    }
    let last = if bytes[12..14] == [8, 6] { bytes.get(ETHERNET + 27) } else { bytes.get(ETHERNET + 40 + 8 + 15) }?;
    Some(usize::from(last.wrapping_sub(10)))
}

/// The answer to a question for the `h`th host's address.
fn answer_of(bytes: &[u8], h: usize, has: impl Fn(Family) -> bool) -> Option<Vec<u8>> {
    let is_arp = bytes.get(12..14)? == [8, 6];
    let is_solicitation = bytes.get(20) == Some(&58) && bytes[12] == 0x86 && bytes.get(54) == Some(&135);
    let family = if is_arp { Family::Ipv4 } else { Family::Ipv6 };
    if !(is_arp || is_solicitation) || !has(family) {
        return None;
    }
    resolve::answer(bytes, address(h, family), mac(h))
}
