//! Two engines behind links, a virtual wire that misbehaves by seed, and applications that act on events alone.

mod app;
mod books;
mod random;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium, Received};
use tcp_reset_core::{ChecksumBy, Config, Event, Instant, LinkAddr, ListenOptions, Rule, SecretKey, Storage, Tcp};

use crate::support::family::Family;
use crate::support::packet;
use crate::support::packet::neighbors::{answer, is_about_neighbors, read_question};
use crate::support::packet::{ETHERNET_HEADER, ip_packet, on_ethernet};

pub(crate) use crate::support::packet::segment::Seg;
#[allow(unused_imports, reason = "each test program needs another part of it")]
pub(crate) use crate::support::packet::{ACK, FIN, PSH, RST, SYN, URG};
use app::App;
pub(crate) use app::Plan;
use books::Books;
#[allow(unused_imports, reason = "each test program needs another part of it")]
pub(crate) use books::{ahead, text_of};
use random::mix;
#[allow(unused_imports, reason = "each test program needs another part of it")]
pub(crate) use random::{Rng, stream_bytes};

const LARGEST_FRAME: usize = 2_048;

/// More outputs than this without a timeout are taken for an endless loop.
pub(crate) const MOST_OUTPUTS: usize = 10_000;

pub(crate) const SECOND: u64 = 1_000_000;

pub(crate) const MS: u64 = 1_000;

/// When a world begins, in microseconds.
pub(crate) const START: u64 = 77_000_000;

pub(crate) type Store = Storage<2, 1, 2, 2, 131_072>;

pub(crate) fn key(seed: u8) -> SecretKey {
    let mut bytes = [seed; 16];
    bytes[3] = !seed;
    SecretKey::new(bytes).unwrap()
}

/// Reads a packet that an engine wrote.
pub(crate) fn read_ip(packet: &[u8]) -> (IpAddr, IpAddr, Seg) {
    let (src, dst, segment) = packet::read_ip(packet);
    (src, dst, Seg::read(segment, src, dst))
}

/// One direction of the wire.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) delay_us: u64,
    pub(crate) jitter_us: u64,
    /// In percent each.
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    /// These wait up to ten times the delay longer.
    pub(crate) reorder: u64,
    pub(crate) corrupt: u64,
    /// Nothing sent between these times arrives.
    pub(crate) down: Option<(u64, u64)>,
}

impl Path {
    /// One millisecond, nothing lost.
    pub(crate) const CLEAN: Path =
        Path { delay_us: MS, jitter_us: 0, loss: 0, duplicate: 0, reorder: 0, corrupt: 0, down: None };
}

/// The sides' Ethernet addresses.
pub(crate) const MACS: [LinkAddr; 2] = [LinkAddr([2, 0, 0, 0, 0, 1]), LinkAddr([2, 0, 0, 0, 0, 2])];

/// The sides' endpoints.
pub(crate) fn sides(family: Family) -> [SocketAddr; 2] {
    [SocketAddr::new(family.host(1), 5_000), SocketAddr::new(family.host(2), 80)]
}

pub(crate) struct Node<'s> {
    pub(crate) link: Link<'s>,
    pub(crate) app: App,
    deadline: Option<u64>,
    /// The transmitter is busy until then.
    retry_at: Option<u64>,
    events: VecDeque<Event>,
    pub(crate) all_events: Vec<Event>,
    books: Books,
    pub(crate) frames_sent: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: u64,
    serial: u64,
    to: usize,
    frame: Vec<u8>,
    is_corrupted: bool,
}

pub(crate) struct World<'s> {
    family: Family,
    pub(crate) sides: [SocketAddr; 2],
    pub(crate) now: u64,
    pub(crate) nodes: [Node<'s>; 2],
    /// Towards the side of the same number.
    pub(crate) paths: [Path; 2],
    /// How often a frame finds the transmitter busy, in percent.
    pub(crate) busy: u64,
    medium: Medium,
    rng: Rng,
    air: BinaryHeap<Reverse<InFlight>>,
    serial: u64,
    steps: u64,
    pub(crate) corrupted: u64,
    pub(crate) log: bool,
    /// Segments seen on the wire: time, sender, segment.
    pub(crate) trace: Vec<(u64, usize, Seg)>,
}

impl<'s> World<'s> {
    pub(crate) fn new(
        family: Family,
        stores: &'s mut [Box<Store>; 2],
        configs: [Config; 2],
        plans: [Plan; 2],
        medium: Medium,
        seed: u64,
    ) -> World<'s> {
        let [store_a, store_b] = stores;
        let [config_a, config_b] = configs;
        let [plan_a, plan_b] = plans;
        let (a, b) = (seed.wrapping_mul(2), seed.wrapping_mul(2).wrapping_add(1));
        let app_a = App::new(plan_a, mix(a), mix(b));
        let app_b = App::new(plan_b, mix(b), mix(a));
        World {
            family,
            sides: sides(family),
            now: START,
            nodes: [
                Node::new(family, store_a, config_a, app_a, medium, 0),
                Node::new(family, store_b, config_b, app_b, medium, 1),
            ],
            paths: [Path::CLEAN, Path::CLEAN],
            busy: 0,
            medium,
            rng: Rng::new(seed),
            air: BinaryHeap::new(),
            serial: 0,
            steps: 0,
            corrupted: 0,
            log: false,
            trace: Vec::new(),
        }
    }

    /// Opens what the plans say: listeners first, then the connections at the same moment.
    pub(crate) fn open(&mut self) {
        let now = Instant::from_micros(self.now);
        for (node, local) in self.nodes.iter_mut().zip(self.sides) {
            if node.app.plan.listens {
                let options = ListenOptions { stream: node.app.plan.stream, ..ListenOptions::default() };
                node.app.listener = Some(node.link.tcp().listen(local, options).unwrap());
            }
        }
        for i in 0..2 {
            if self.nodes[i].app.plan.connects {
                let remote = self.sides[1 - i];
                let node = &mut self.nodes[i];
                let stream = node.app.plan.stream;
                let port = self.sides[i].port();
                let handle = node.link.connect(now, port, remote, stream).unwrap();
                node.app.handle = Some(handle);
            }
        }
        for i in 0..2 {
            self.serve(i, true);
        }
    }

    /// Drains one side's output and lets its application act until both have nothing more to do.
    pub(crate) fn serve(&mut self, i: usize, acts: bool) {
        let mut acts = acts;
        for _ in 0..MOST_OUTPUTS {
            self.drain(i);
            let node = &mut self.nodes[i];
            acts |= !node.events.is_empty();
            while let Some(event) = node.events.pop_front() {
                node.all_events.push(event);
                node.app.told(event);
            }
            if !acts {
                return;
            }
            acts = false;
            node.app.act(node.link.tcp(), self.now, &mut self.rng);
        }
        panic!("the application and the engine never come to rest");
    }

    fn drain(&mut self, i: usize) {
        let mut buf = [0; LARGEST_FRAME];
        for _ in 0..MOST_OUTPUTS {
            let node = &mut self.nodes[i];
            match node.link.poll_output(Instant::from_micros(self.now)) {
                LinkOutput::Event(event) => node.events.push_back(event),
                LinkOutput::Timeout(at) => {
                    assert_eq!(node.link.audit(), Ok(()));
                    node.deadline = at.map(|(at, _)| at.as_micros());
                    node.retry_at = None;
                    return;
                }
                LinkOutput::Transmit(frame) => {
                    if self.rng.percent(self.busy) {
                        drop(frame);
                        node.retry_at = Some(self.now + 1 + self.rng.below(3_000));
                        return;
                    }
                    let announced = frame.len();
                    let len = frame.emit(&mut buf).unwrap();
                    assert_eq!(len, announced);
                    node.frames_sent += 1;
                    self.look(i, &buf[..len]);
                    self.carry(1 - i, &buf[..len]);
                }
            }
        }
        panic!("output without end");
    }

    fn header(&self) -> usize {
        match self.medium {
            Medium::Ethernet(_) => ETHERNET_HEADER,
            Medium::Ip => 0,
        }
    }

    /// Returns whether a frame is about an address on the link.
    fn is_about_neighbors(&self, frame: &[u8]) -> bool {
        self.header() > 0 && is_about_neighbors(frame)
    }

    /// Checks a frame that side `i` sends.
    fn look(&mut self, i: usize, frame: &[u8]) {
        let addrs = self.sides.map(|side| side.ip());
        if self.is_about_neighbors(frame) {
            let expected = Some(((MACS[i].0, addrs[i]), addrs[1 - i]));
            assert_eq!(read_question(frame), expected, "who asks for whom");
            return;
        }
        if self.header() > 0 {
            assert_eq!(frame[..6], MACS[1 - i].0, "the peer's address");
            assert_eq!(frame[6..12], MACS[i].0, "our address");
            assert_eq!(frame[12..14], self.family.ethertype());
        }
        let (src, dst, seg) = read_ip(&frame[self.header()..]);
        assert_eq!((src, dst), (addrs[i], addrs[1 - i]), "addresses");
        if self.log {
            println!("{:>12} {i} {}", self.now, text_of(&seg));
        }
        self.nodes[i].books.sends(&seg);
        self.trace.push((self.now, i, seg));
        if self.trace.len() > 4_000 {
            self.trace.drain(..2_000);
        }
    }

    fn carry(&mut self, to: usize, frame: &[u8]) {
        let path = self.paths[to].clone();
        let copies = 1 + u64::from(self.rng.percent(path.duplicate));
        for _ in 0..copies {
            let is_down = path.down.is_some_and(|(from, until)| (from..until).contains(&self.now));
            let is_lost = self.rng.percent(path.loss);
            if is_down || is_lost {
                continue;
            }
            let mut late = self.rng.below(path.jitter_us + 1);
            if self.rng.percent(path.reorder) {
                late += self.rng.below(10 * path.delay_us + 1);
            }
            let mut frame = frame.to_vec();
            // The link's own check sequence guards its header and questions for addresses.
            let is_corrupted = !self.is_about_neighbors(&frame) && self.rng.percent(path.corrupt);
            if is_corrupted {
                let header = self.header();
                self.corrupt(&mut frame[header..]);
            }
            self.serial += 1;
            self.air.push(Reverse(InFlight {
                at: self.now + path.delay_us + late,
                serial: self.serial,
                to,
                frame,
                is_corrupted,
            }));
        }
    }

    /// Changes one byte of those that a checksum covers.
    fn corrupt(&mut self, packet: &mut [u8]) {
        loop {
            let at = self.rng.below(packet.len() as u64) as usize;
            if self.family.is_guarded(at) {
                packet[at] ^= 1 + self.rng.below(255) as u8;
                self.corrupted += 1;
                return;
            }
        }
    }

    /// Puts a segment of anybody's on the wire, as if it came from the other side.
    pub(crate) fn inject(&mut self, to: usize, seg: &Seg) -> Received {
        let (src, dst) = (self.sides[1 - to].ip(), self.sides[to].ip());
        let packet = ip_packet(src, dst, &seg.octets(src, dst));
        let frame = if self.header() > 0 { on_ethernet(MACS[to].0, MACS[1 - to].0, &packet) } else { packet };
        self.nodes[to].books.hears(seg);
        let now = Instant::from_micros(self.now);
        let received = self.nodes[to].link.handle_frame(now, &frame);
        self.serve(to, false);
        received
    }

    fn arrive(&mut self, flight: &InFlight) {
        let to = flight.to;
        let now = Instant::from_micros(self.now);
        let is_segment = !self.is_about_neighbors(&flight.frame);
        if let Some((asker, target)) = read_question(&flight.frame).filter(|_| !is_segment) {
            // The IP stack beside the link answers.
            self.carry(1 - to, &answer((MACS[to].0, target), asker));
        }
        if is_segment && !flight.is_corrupted {
            let (_, _, seg) = read_ip(&flight.frame[self.header()..]);
            self.nodes[to].books.hears(&seg);
        }
        let received = self.nodes[to].link.handle_frame(now, &flight.frame);
        match received {
            Received::Taken(verdict) if flight.is_corrupted => {
                // A source may have become a group, which no checksum of the header tells over IPv6.
                let is_group = self.family == Family::V6 && verdict.rule == Rule::NotAnswerable;
                let is_noticed = matches!(verdict.rule, Rule::ChecksumWrong | Rule::Malformed) || is_group;
                assert!(is_noticed, "a corrupted frame was taken: {verdict:?}");
            }
            Received::Taken(verdict) => assert!(
                !matches!(verdict.rule, Rule::ChecksumWrong | Rule::Malformed | Rule::NotAnswerable),
                "an honest frame was refused: {verdict:?}"
            ),
            Received::Observed | Received::OtherTcp | Received::NotMine => {
                assert!(flight.is_corrupted || !is_segment, "an honest frame is lost");
            }
        }
    }

    fn next_time(&self) -> Option<u64> {
        let air = self.air.peek().map(|Reverse(flight)| flight.at);
        let own = self.nodes.iter().flat_map(|node| {
            let deadline = node.deadline.filter(|_| node.retry_at.is_none());
            [deadline, node.retry_at, node.app.wakes_at(self.now)]
        });
        own.chain([air]).flatten().min()
    }

    /// Does the next thing, if anything is to come before `until`.
    pub(crate) fn step(&mut self, until: u64) -> bool {
        self.steps += 1;
        let Some(at) = self.next_time().filter(|&at| at <= until) else {
            return false;
        };
        self.now = self.now.max(at);
        while let Some(Reverse(first)) = self.air.peek() {
            if first.at > self.now {
                break;
            }
            let Some(Reverse(flight)) = self.air.pop() else {
                break;
            };
            self.arrive(&flight);
            self.serve(flight.to, false);
        }
        for i in 0..2 {
            let node = &mut self.nodes[i];
            if node.deadline.is_some_and(|at| at <= self.now) {
                node.link.handle_timeout(Instant::from_micros(self.now));
                self.serve(i, false);
            }
            let node = &mut self.nodes[i];
            if node.retry_at.is_some_and(|at| at <= self.now) {
                self.serve(i, false);
            }
            let app = &self.nodes[i].app;
            if app.reads_from == self.now || app.writes_from == self.now {
                self.serve(i, true);
            }
        }
        true
    }

    /// Lets time pass.
    pub(crate) fn run_until(&mut self, until: u64) {
        while self.step(until) {
            assert!(self.steps < 20_000_000, "no end in sight");
        }
        self.now = self.now.max(until);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time.as_micros() as u64);
    }

    /// Lets time pass until `is_done`, or until nothing more will happen or `limit` is reached: then it says false.
    pub(crate) fn run_to(&mut self, limit: u64, is_done: impl Fn(&World<'_>) -> bool) -> bool {
        while !is_done(self) {
            if !self.step(limit) || self.steps > 5_000_000 {
                return false;
            }
        }
        true
    }

    /// Both applications are through with their connection.
    pub(crate) fn is_over(&self) -> bool {
        self.nodes.iter().all(|node| {
            let (conns, halves, _) = node.link.tcp_ref().in_use();
            (node.app.has_given_up || node.app.handle.is_none()) && conns == 0 && halves == 0
        })
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.is_over() && self.nodes.iter().all(|n| n.link.tcp_ref().in_use().2 == 0)
    }

    pub(crate) fn retransmissions(&self) -> u32 {
        let of = |node: &Node<'_>| node.link.tcp_ref().counters().retransmissions;
        self.nodes.iter().map(of).sum()
    }

    pub(crate) fn frames(&self) -> u64 {
        self.nodes.iter().map(|node| node.frames_sent).sum()
    }

    /// Tells how things stand, for a failing test.
    pub(crate) fn describe(&self) -> String {
        use std::fmt::Write;
        let mut out = String::new();
        writeln!(out, "at {} us, {} steps", self.now - START, self.steps).unwrap();
        for (i, node) in self.nodes.iter().enumerate() {
            let (app, tcp) = (&node.app, node.link.tcp_ref());
            writeln!(
                out,
                "{i}: sent {} of {}, received {}, shut {}, at end {}, closed {:?}, gave up {}, in use {:?}, deadline {:?}",
                app.sent,
                app.plan.total,
                app.received,
                app.is_shut,
                app.is_at_end,
                app.closed,
                app.has_given_up,
                tcp.in_use(),
                node.deadline.map(|at| at.saturating_sub(START)),
            )
            .unwrap();
            for (_, status) in tcp.connections() {
                writeln!(out, "   {status:?}").unwrap();
            }
        }
        let tail = self.trace.len().saturating_sub(30);
        for (at, from, seg) in &self.trace[tail..] {
            writeln!(out, "{:>12} {from} {}", at - START, text_of(seg)).unwrap();
        }
        out
    }
}

impl<'s> Node<'s> {
    fn new(family: Family, store: &'s mut Store, config: Config, app: App, medium: Medium, side: usize) -> Node<'s> {
        let medium = match medium {
            Medium::Ethernet(_) => Medium::Ethernet(MACS[side]),
            Medium::Ip => Medium::Ip,
        };
        let tcp = Tcp::new(store, config, key(side as u8 + 1)).unwrap();
        let mut link = Link::new(tcp, medium, ChecksumBy::Software);
        let interface = Interface { addr: sides(family)[side].ip(), prefix: family.prefix() };
        link.set_addresses(&[interface], None).unwrap();
        Node {
            link,
            app,
            deadline: None,
            retry_at: None,
            events: VecDeque::new(),
            all_events: Vec::new(),
            books: Books::default(),
            frames_sent: 0,
        }
    }
}

pub(crate) fn stores() -> [Box<Store>; 2] {
    [Box::new(Store::new()), Box::new(Store::new())]
}
