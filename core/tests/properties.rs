//! What must hold whatever arrives and whatever is asked for: parser, long random lives of two hosts, and time. Over each family, and
//! where both share one engine.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[cfg(feature = "ipv6")]
#[path = "properties/side_by_side.rs"]
mod side_by_side;
mod support;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{
    Arrival, ChecksumBy, CloseReason, Config, ConnectionHandle, Control, Error, Event, Header, Hop, Instant,
    ListenOptions, ListenerHandle, Output, Overflow, ParseError, RstPolicy, Segment, Seq, State, Status, Storage,
    StreamOptions, Tcp, Verdict,
};

use support::family::{
    ETHERNET_HEADER, Family, ON_LINK_HOPS, ethernet, icmpv6, ip_packet, is_about_neighbours, over_each, read_question,
    tcp_checksum,
};
use support::world::{ACK, FIN, MOST_OUTPUTS, RST, SYN, Seg, URG, ahead, key, read_ip};

const HOP: Hop = Hop([2, 0, 0, 0, 0, 9]);

/// Hosts of the tests: two that the engines are on, and one that nobody knows.
fn a(family: Family) -> IpAddr {
    family.host(1)
}

fn b(family: Family) -> IpAddr {
    family.host(2)
}

fn stranger(family: Family) -> IpAddr {
    family.host(3)
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL)
}

// The parser.

fn header() -> impl Strategy<Value = Header> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>());
    let ports = (any::<u16>(), any::<u16>());
    (ports, numbers, 0_u8..64, any::<[Option<u16>; 2]>()).prop_map(
        |((src_port, dst_port), (seq, ack, wnd, urgent), control, [mss, user_timeout])| {
            let control = Control::from_bits_truncate(control);
            let ack = if control.contains(Control::ACK) { ack } else { 0 };
            Header { src_port, dst_port, seq: Seq(seq), ack: Seq(ack), control, wnd, urgent, mss, user_timeout }
        },
    )
}

fn checksum_by() -> impl Strategy<Value = ChecksumBy> {
    prop_oneof![Just(ChecksumBy::Software), Just(ChecksumBy::Hardware)]
}

/// Makes bytes into something that passes for a segment: data offset and checksum are right.
fn mend(bytes: &mut [u8], src: IpAddr, dst: IpAddr) {
    let words = (bytes.len() / 4).clamp(5, 15) as u8;
    let offset = 5 + (bytes[12] >> 4) % (words - 4);
    bytes[12] = offset << 4;
    bytes[16..18].fill(0);
    let sum = tcp_checksum(src, dst, bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
}

/// Option areas that have broken other stacks, each a multiple of four octets.
fn nasty_options() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = vec![
        vec![],
        vec![29, 0, 0, 0],
        vec![29, 1, 0, 0],
        vec![29, 255, 1, 1],
        vec![3, 2, 0, 0],
        vec![3, 3, 255, 0],
        vec![2, 0, 0, 0],
        vec![2, 1, 5, 180],
        vec![2, 3, 5, 0],
        vec![2, 4, 0, 0],
        vec![2, 4, 255, 255],
        vec![1, 1, 2, 4],
        vec![1, 1, 1, 2],
        vec![1, 1, 1, 1],
        vec![1, 1, 1, 254],
        vec![254, 0, 0, 0],
        vec![5, 3, 0, 0],
        vec![5, 2, 0, 0],
        vec![5, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![5, 255, 0, 0],
        vec![8, 10, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1],
        vec![8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0, 2, 4, 0],
        vec![2, 4, 0, 64, 2, 4, 5, 180, 2, 0, 0, 0],
        vec![255; 40],
    ];
    let random = prop::collection::vec(any::<u8>(), 0..=10).prop_map(|words| words.repeat(4)[..].to_vec());
    let bytes = (0_usize..=10).prop_flat_map(|words| prop::collection::vec(any::<u8>(), 4 * words..=4 * words));
    prop_oneof![3 => prop::sample::select(known), 1 => random, 2 => bytes]
}

/// So many cases, or as many times more as `TIMES` says; failures are not written to a file.
fn cases(n: u32) -> ProptestConfig {
    let times = std::env::var("TIMES").map_or(1, |n| n.parse().expect("TIMES is a number"));
    ProptestConfig { cases: n * times, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn parse_takes_any_bytes(
        family in family(),
        mut bytes in prop::collection::vec(any::<u8>(), 0..140),
        mended in any::<bool>(),
        checksum in checksum_by(),
    ) {
        let (a, b) = (a(family), b(family));
        let is_mended = mended && bytes.len() >= 20;
        if is_mended {
            mend(&mut bytes, b, a);
        }
        match Segment::parse(&bytes, b, a, checksum) {
            Ok(seg) => {
                let offset = usize::from(bytes[12] >> 4) * 4;
                prop_assert_eq!(&bytes[offset..], seg.text);
                prop_assert_eq!(bytes[13] & 0x3f, seg.header.control.bits());
                let controls = u32::from(seg.has(Control::SYN)) + u32::from(seg.has(Control::FIN));
                prop_assert_eq!(seg.len(), seg.text.len() as u32 + controls);
            }
            Err(error) => {
                prop_assert!(!is_mended, "{error:?}");
                prop_assert!(error == ParseError::Malformed || checksum == ChecksumBy::Software);
            }
        }
    }

    #[test]
    fn emit_then_parse_is_identity_and_writes_every_octet(
        family in family(),
        header in header(),
        text in prop::collection::vec(any::<u8>(), 0..1_500),
        checksum in checksum_by(),
        spare in 0_usize..8,
    ) {
        let (a, b) = (a(family), b(family));
        let seg = Segment { header, text: &text };
        let mut one = vec![0xaa; header.wire_len() + text.len() + spare];
        let mut other = vec![0x55; one.len()];
        let len = seg.emit(&mut one, a, b, checksum).unwrap();
        prop_assert_eq!(seg.emit(&mut other, a, b, checksum), Ok(len));
        prop_assert_eq!(&one[..len], &other[..len]);
        prop_assert!(one[len..].iter().all(|&octet| octet == 0xaa), "beyond the end");
        prop_assert_eq!(Segment::parse(&one[..len], a, b, checksum), Ok(seg));
        if checksum == ChecksumBy::Software {
            prop_assert_eq!(tcp_checksum(a, b, &one[..len]), 0);
        }
        for short in 0..len.min(30) {
            let mut buf = vec![0; len - 1 - short];
            prop_assert!(seg.emit(&mut buf, a, b, checksum).is_err());
        }
    }

    #[test]
    fn one_wrong_octet_never_passes_the_checksum(
        family in family(),
        header in header(),
        text in prop::collection::vec(any::<u8>(), 0..60),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let (a, b) = (a(family), b(family));
        let seg = Segment { header, text: &text };
        let mut bytes = vec![0; header.wire_len() + text.len()];
        seg.emit(&mut bytes, a, b, ChecksumBy::Software).unwrap();
        bytes[at.index(header.wire_len() + text.len())] ^= flip;
        prop_assert!(Segment::parse(&bytes, a, b, ChecksumBy::Software).is_err());
    }
}

// An engine with something in every state.

/// Room for the inhabitants of two families, and for whoever comes along.
type Zoo = Storage<40, 2, 20, 20, 16_384>;

/// Ports of the stranger's side, one for each state.
const HALF_OPEN: u16 = 1_001;
const ESTABLISHED: u16 = 1_002;
const SYN_SENT: u16 = 1_003;
const FIN_WAIT_2: u16 = 1_004;
const CLOSE_WAIT: u16 = 1_005;
const TIME_WAIT: u16 = 1_006;
const FIN_WAIT_1: u16 = 1_007;
const IN_FLIGHT: u16 = 1_008;
const NOBODY: u16 = 1_009;
const KEPT: [(u16, State); 8] = [
    (HALF_OPEN, State::SynReceived),
    (ESTABLISHED, State::Established),
    (SYN_SENT, State::SynSent),
    (FIN_WAIT_2, State::FinWait2),
    (CLOSE_WAIT, State::CloseWait),
    (TIME_WAIT, State::TimeWait),
    (FIN_WAIT_1, State::FinWait1),
    (IN_FLIGHT, State::Established),
];
const IRS: u32 = 500_000;

/// Between which addresses connections in every state live, all of them on our port 80.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Habitat {
    us: IpAddr,
    them: IpAddr,
}

impl Habitat {
    fn of(family: Family) -> Habitat {
        Habitat { us: a(family), them: stranger(family) }
    }

    fn local(self) -> SocketAddr {
        SocketAddr::new(self.us, 80)
    }

    fn remote(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.them, port)
    }
}

struct Zookeeper<'s> {
    tcp: Tcp<'s>,
    now: Instant,
    /// What the last call sent: from where, to where.
    out: Vec<(SocketAddr, SocketAddr, Seg)>,
    events: Vec<Event>,
    /// SND.NXT as last seen, by remote endpoint.
    ends: HashMap<SocketAddr, u32>,
}

impl<'s> Zookeeper<'s> {
    /// One habitat, with a listener of its own.
    fn new(store: &'s mut Zoo, home: Habitat) -> Zookeeper<'s> {
        Zookeeper::with(store, Config::default(), &[home], None)
    }

    /// Several habitats, on one listener or on one for each.
    fn with(store: &'s mut Zoo, config: Config, homes: &[Habitat], any: Option<IpAddr>) -> Zookeeper<'s> {
        let mut zoo = Zookeeper {
            tcp: Tcp::new(store, config, key(3)).unwrap(),
            now: Instant::from_millis(5_000),
            out: Vec::new(),
            events: Vec::new(),
            ends: HashMap::new(),
        };
        let options = ListenOptions { backlog: 20, half_open: 20, stream: small(), ..ListenOptions::default() };
        let shared = any.map(|any| zoo.tcp.listen(SocketAddr::new(any, 80), options).unwrap());
        for &home in homes {
            let listener = shared.unwrap_or_else(|| zoo.tcp.listen(home.local(), options).unwrap());
            zoo.populate(home, listener);
        }
        for &home in homes {
            for (port, state) in KEPT {
                assert_eq!(zoo.state(home, port), state);
            }
        }
        zoo
    }

    fn populate(&mut self, home: Habitat, listener: ListenerHandle) {
        self.say(home, HALF_OPEN, SYN, 0, &[]);
        for port in [ESTABLISHED, FIN_WAIT_2, CLOSE_WAIT, TIME_WAIT, FIN_WAIT_1, IN_FLIGHT] {
            self.say(home, port, SYN, 0, &[]);
            self.say(home, port, ACK, 1, &[]);
            let handle = self.tcp.accept(self.now, listener).unwrap();
            match port {
                FIN_WAIT_1 | FIN_WAIT_2 | TIME_WAIT => {
                    self.tcp.shutdown(self.now, handle).unwrap();
                    self.drain();
                }
                IN_FLIGHT => {
                    self.tcp.send(self.now, handle, &[7; 50]).unwrap();
                    self.drain();
                }
                _ => {}
            }
            match port {
                FIN_WAIT_2 => self.say(home, port, ACK, 1, &[]),
                CLOSE_WAIT | TIME_WAIT => self.say(home, port, FIN | ACK, 1, &[]),
                _ => {}
            }
        }
        self.tcp.connect(self.now, home.local(), home.remote(SYN_SENT), Some(HOP), small()).unwrap();
        self.drain();
    }

    fn state(&self, home: Habitat, port: u16) -> State {
        self.tcp.state_of(home.local(), home.remote(port))
    }

    /// The number that acknowledges everything sent to that port of a habitat.
    fn end(&self, home: Habitat, port: u16) -> u32 {
        self.ends.get(&home.remote(port)).copied().unwrap_or(0)
    }

    fn say(&mut self, home: Habitat, port: u16, flags: u8, after_irs: u32, text: &[u8]) {
        let seg = Seg {
            src_port: port,
            dst_port: 80,
            seq: IRS + after_irs,
            ack: self.end(home, port),
            flags,
            wnd: 1_000,
            text: text.to_vec(),
            ..Seg::default()
        };
        let _ = self.hear(home, &seg);
    }

    fn hear(&mut self, home: Habitat, seg: &Seg) -> Verdict {
        self.arrive(home, &seg.write(home.them, home.us))
    }

    fn arrive(&mut self, home: Habitat, bytes: &[u8]) -> Verdict {
        let arrival = Arrival { src: home.them, dst: home.us, hop: HOP };
        let verdict = self.tcp.handle_segment(self.now, &arrival, bytes);
        self.drain();
        verdict
    }

    fn drain(&mut self) {
        self.out.clear();
        let mut buf = [0; 2_048];
        for _ in 0..MOST_OUTPUTS {
            match self.tcp.poll_output(self.now) {
                Output::Event(event) => self.events.push(event),
                Output::Timeout(_) => {
                    assert_eq!(self.tcp.audit(), Ok(()));
                    return;
                }
                Output::Transmit(transmit) => {
                    let (len, local, remote) = (transmit.len(), transmit.local(), transmit.remote());
                    assert_eq!(transmit.emit(&mut buf), Ok(len));
                    let seg = Seg::read(&buf[..len], local.ip(), remote.ip());
                    assert_eq!((seg.src_port, seg.dst_port), (local.port(), remote.port()));
                    self.ends.insert(remote, seg.end());
                    self.out.push((local, remote, seg));
                }
            }
        }
        panic!("output without end");
    }
}

fn small() -> StreamOptions {
    StreamOptions { rx_buffer: 64, tx_buffer: 64, ..StreamOptions::default() }
}

/// A segment at a number near what the zoo's connections expect.
fn near() -> impl Strategy<Value = (u16, Seg)> {
    let flags =
        prop_oneof![prop::sample::select(vec![SYN, ACK, RST, FIN | ACK, SYN | ACK, RST | ACK, URG | ACK, 0]), 0_u8..64];
    let numbers = (-3_i32..70, -60_i32..4);
    let port = HALF_OPEN..=NOBODY;
    let text = prop_oneof![Just(0_usize), 1_usize..100];
    (port, flags, numbers, any::<u16>(), text, any::<u16>(), nasty_options()).prop_map(
        |(port, flags, (seq, ack), wnd, text, urgent, options)| {
            let seg = Seg {
                src_port: port,
                dst_port: 80,
                seq: IRS.wrapping_add_signed(1 + seq),
                ack: ack as u32,
                flags,
                wnd,
                urgent,
                options,
                text: vec![3; text],
            };
            (port, seg)
        },
    )
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Bytes as they come, with right lengths, checksum and ports half of the time, to an engine with something in every state.
    #[test]
    fn engine_takes_any_bytes_and_gives_well_formed_replies(
        family in family(),
        rounds in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..120), any::<bool>(), HALF_OPEN..=NOBODY), 1..40),
    ) {
        let home = Habitat::of(family);
        let mut store = Box::new(Zoo::new());
        let mut zoo = Zookeeper::new(&mut store, home);
        for (mut bytes, mended, port) in rounds {
            if mended && bytes.len() >= 20 {
                bytes[0..2].copy_from_slice(&port.to_be_bytes());
                bytes[2..4].copy_from_slice(&80_u16.to_be_bytes());
                mend(&mut bytes, home.them, home.us);
            }
            let _ = zoo.arrive(home, &bytes);
            for (local, remote, _) in &zoo.out {
                prop_assert_eq!((local.ip(), remote.ip()), (home.us, home.them));
            }
        }
        // Numbers drawn from all 2^32 with no knowledge end nothing.
        for port in [ESTABLISHED, IN_FLIGHT] {
            prop_assert_eq!(zoo.state(home, port), State::Established);
        }
    }

    /// The option area changes nothing about the verdict or the answer, whatever stands in it, and never resets anything.
    #[test]
    fn options_never_decide(family in family(), (port, mut seg) in near()) {
        let home = Habitat::of(family);
        let (mut store, mut plain_store) = (Box::new(Zoo::new()), Box::new(Zoo::new()));
        let mut zoo = Zookeeper::new(&mut store, home);
        let mut plain = Zookeeper::new(&mut plain_store, home);
        seg.ack = seg.ack.wrapping_add(zoo.end(home, port));
        let verdict = zoo.hear(home, &seg);
        seg.options.clear();
        seg.urgent = 0;
        let expected = plain.hear(home, &seg);
        prop_assert_eq!(verdict, expected);
        prop_assert_eq!(&zoo.out, &plain.out);
        prop_assert_eq!(&zoo.events, &plain.events);
        prop_assert_eq!(zoo.state(home, port), plain.state(home, port));
    }

    /// A reply to an RST is never an RST, in no state.
    #[test]
    fn reset_is_never_answered_by_reset(family in family(), (port, mut seg) in near()) {
        let home = Habitat::of(family);
        let mut store = Box::new(Zoo::new());
        let mut zoo = Zookeeper::new(&mut store, home);
        seg.ack = seg.ack.wrapping_add(zoo.end(home, port));
        seg.flags |= RST;
        let _ = zoo.hear(home, &seg);
        for (_, _, out) in &zoo.out {
            prop_assert!(!out.has(RST), "{out:?}");
        }
    }

    /// Frames of any content, from noise to almost right ones.
    #[test]
    fn link_takes_any_frame(
        family in family(),
        is_ethernet in any::<bool>(),
        rounds in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..100), 0_u8..6, any::<prop::sample::Index>(), any::<u8>(), near()), 1..30),
    ) {
        let home = Habitat::of(family);
        let mut store = Box::new(Zoo::new());
        let zoo = Zookeeper::new(&mut store, home);
        let ends: Vec<u32> = rounds.iter().map(|(.., (port, _))| zoo.end(home, *port)).collect();
        let Zookeeper { tcp, now, .. } = zoo;
        let medium = if is_ethernet { Medium::Ethernet(MAC) } else { Medium::Ip };
        let mut link = Link::new(tcp, medium, ChecksumBy::Software);
        link.set_addresses(&[Interface { addr: home.us, prefix: family.prefix() }], None).unwrap();
        for ((noise, kind, at, octet, (_, mut seg)), end) in rounds.into_iter().zip(ends) {
            seg.ack = seg.ack.wrapping_add(end);
            let mut frame = match kind {
                0 => noise,
                1 => noise_about_neighbours(home, &noise, is_ethernet),
                2 if is_ethernet => [&MAC.0[..], &HOP.0, &family.ethertype(), &noise].concat(),
                2 => noise,
                _ => framed(&ip_packet(home.them, home.us, &seg.write(home.them, home.us)), is_ethernet),
            };
            if kind >= 4 && !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] = octet;
            }
            if kind == 5 {
                frame.truncate(at.index(frame.len() + 1));
            }
            let _ = link.handle_frame(now, &frame);
            drain_link(&mut link, now, home, is_ethernet);
        }
    }
}

const MAC: Hop = Hop([2, 0, 0, 0, 0, 1]);

fn framed(packet: &[u8], is_ethernet: bool) -> Vec<u8> {
    if is_ethernet { ethernet(MAC.0, HOP.0, packet) } else { packet.to_vec() }
}

/// A message of ARP or of neighbour discovery whose content is noise; its checksum is right.
fn noise_about_neighbours(home: Habitat, noise: &[u8], is_ethernet: bool) -> Vec<u8> {
    if home.us.is_ipv4() {
        return [&MAC.0[..], &HOP.0, &[8, 6], noise].concat();
    }
    let mut message = [noise, &[0; 4]].concat();
    // A router's and a neighbour's question and answer, and the redirect (RFC 4861 §4).
    message[0] = 133 + message[0] % 5;
    framed(&icmpv6(home.them, home.us, ON_LINK_HOPS, message), is_ethernet)
}

fn drain_link(link: &mut Link<'_>, now: Instant, home: Habitat, is_ethernet: bool) {
    let mut buf = [0; 2_048];
    for _ in 0..MOST_OUTPUTS {
        match link.poll_output(now) {
            LinkOutput::Event(_) => {}
            LinkOutput::Timeout(_) => return,
            LinkOutput::Transmit(frame) => {
                let len = frame.len();
                assert_eq!(frame.emit(&mut buf), Ok(len));
                if is_ethernet && is_about_neighbours(&buf[..len]) {
                    assert_eq!(read_question(&buf[..len]), Some(((MAC.0, home.us), home.them)));
                } else {
                    let header = if is_ethernet { ETHERNET_HEADER } else { 0 };
                    let (src, dst, _) = read_ip(&buf[header..len]);
                    assert_eq!((src, dst), (home.us, home.them));
                }
            }
        }
    }
    panic!("output without end");
}

/// Every octet of a frame is written: what stood in the buffer before never shows.
#[test]
fn frames_do_not_depend_on_what_the_buffer_held() {
    over_each(|family| {
        for is_ethernet in [false, true] {
            let outputs = [0xaa, 0x55].map(|fill| frames_over(family, is_ethernet, fill));
            assert_eq!(outputs[0].len(), 2, "the question or the SYN, and the reset");
            assert_eq!(outputs[0], outputs[1]);
        }
    });
}

/// What a link sends that connects and is spoken to by a stranger, in a buffer that was full of something.
fn frames_over(family: Family, is_ethernet: bool, fill: u8) -> Vec<Vec<u8>> {
    let mut store = Box::new(Zoo::new());
    let tcp = Tcp::new(&mut *store, Config::default(), key(3)).unwrap();
    let medium = if is_ethernet { Medium::Ethernet(MAC) } else { Medium::Ip };
    let mut link = Link::new(tcp, medium, ChecksumBy::Software);
    let interface = Interface { addr: a(family), prefix: family.prefix() };
    link.set_addresses(&[interface], None).unwrap();
    let now = Instant::from_millis(9);
    link.connect(now, 0, SocketAddr::new(b(family), 80), small()).unwrap();
    let syn = Seg { src_port: 9, dst_port: 10, flags: SYN, ..Seg::default() };
    let (us, them) = (a(family), stranger(family));
    let _ = link.handle_frame(now, &framed(&ip_packet(them, us, &syn.write(them, us)), is_ethernet));
    let mut all = Vec::new();
    while let LinkOutput::Transmit(frame) = link.poll_output(now) {
        let mut buf = [fill; 200];
        let len = frame.emit(&mut buf).unwrap();
        all.push(buf[..len].to_vec());
    }
    all
}

// Long lives.

/// The families that a life's hosts speak, one or both.
type Stack = &'static [Family];

fn alone(family: Family) -> Stack {
    match family {
        Family::V4 => &[Family::V4],
        Family::V6 => &[Family::V6],
    }
}

fn stack() -> impl Strategy<Value = Stack> {
    let mut all: Vec<Stack> = Family::ALL.iter().map(|&family| alone(family)).collect();
    if Family::ALL.len() > 1 {
        all.push(Family::ALL);
    }
    prop::sample::select(all)
}

/// What an application does. `family` chooses among those of the host.
#[derive(Clone, Debug)]
enum Call {
    Listen { family: u8, port: u8, any: bool, sizes: (u8, u8), backlog: u8, half_open: u8, refuse: bool },
    Unlisten(u8),
    Connect { family: u8, to: u8, port: u8, sizes: (u8, u8), hop: bool },
    Accept(u8),
    Send(u8, u16),
    Recv(u8, u16),
    Shutdown(u8),
    Close(u8),
    Abort(u8),
}

#[derive(Clone, Debug)]
enum Op {
    /// On host A, or on host B.
    Call(bool, Call),
    /// Moves segments between the hosts: how many, and what becomes of them.
    Carry { count: u8, fate: u8 },
    /// A segment to A that nobody honest sent, at numbers near the live ones.
    Forge { whom: u8, flags: u8, seq: u8, ack: u8, wnd: u8, text: u8, extra: u8 },
    /// Time passes; each deadline on the way is served, or only the last moment.
    Wait { how_long: u8, in_steps: bool },
    /// The transmitter drops that many of the next segments, or has too small a buffer for them, or puts them off.
    Busy { drops: u8, is_small: bool, defer: bool },
    /// The outputs of that many steps stay where they are.
    Hold(u8),
}

/// Flags of forged segments.
const FLAGS: [u8; 20] = [
    ACK,
    ACK,
    ACK,
    ACK,
    ACK | 8,
    ACK | 8,
    SYN,
    SYN,
    SYN | ACK,
    RST,
    RST | ACK,
    FIN | ACK,
    FIN | ACK,
    FIN,
    0,
    URG | ACK,
    SYN | FIN,
    SYN | RST,
    0x3f,
    SYN | FIN | ACK,
];
const SIZES: [usize; 10] = [64, 64, 64, 128, 256, 512, 1_024, 100, 0, 65_536];
const LENGTHS: [usize; 8] = [0, 1, 2, 10, 63, 64, 200, 1_500];
const WAITS_MS: [u64; 16] =
    [0, 1, 39, 40, 41, 200, 999, 1_000, 1_001, 3_000, 10_000, 30_000, 61_000, 101_000, 700_000, 800_000_000];

fn call() -> impl Strategy<Value = Call> {
    let sizes = || (0_u8..12, 0_u8..12);
    prop_oneof![
        2 => (0_u8..2, 0_u8..3, any::<bool>(), sizes(), 0_u8..4, 0_u8..4, any::<bool>()).prop_map(
            |(family, port, any, sizes, backlog, half_open, refuse)| Call::Listen {
                family, port, any, sizes, backlog, half_open, refuse
            }
        ),
        1 => any::<u8>().prop_map(Call::Unlisten),
        3 => (0_u8..2, 0_u8..12, 0_u8..4, sizes(), prop::bool::weighted(0.8)).prop_map(
            |(family, to, port, sizes, hop)| Call::Connect { family, to, port, sizes, hop }
        ),
        4 => any::<u8>().prop_map(Call::Accept),
        6 => (any::<u8>(), 0_u16..8).prop_map(|(h, n)| Call::Send(h, n)),
        6 => (any::<u8>(), 0_u16..8).prop_map(|(h, n)| Call::Recv(h, n)),
        2 => any::<u8>().prop_map(Call::Shutdown),
        3 => any::<u8>().prop_map(Call::Close),
        1 => any::<u8>().prop_map(Call::Abort),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (prop::bool::weighted(0.4), call()).prop_map(|(on_b, call)| Op::Call(on_b, call)),
        6 => (1_u8..9, 0_u8..12).prop_map(|(count, fate)| Op::Carry { count, fate }),
        10 => (any::<u8>(), 0_u8..20, 0_u8..16, 0_u8..12, 0_u8..8, 0_u8..8, any::<u8>()).prop_map(
            |(whom, flags, seq, ack, wnd, text, extra)| Op::Forge {
                whom, flags, seq, ack, wnd, text, extra
            }
        ),
        3 => (0_u8..16, any::<bool>())
            .prop_map(|(how_long, in_steps)| Op::Wait { how_long, in_steps }),
        1 => (0_u8..4, any::<bool>(), any::<bool>())
            .prop_map(|(drops, is_small, defer)| Op::Busy { drops, is_small, defer }),
        1 => (1_u8..5).prop_map(Op::Hold),
    ]
}

/// The last family of a stack has a listener on all of its addresses; over IPv6 that is on those of both.
fn listen() -> Call {
    Call::Listen { family: 1, port: 0, any: true, sizes: (0, 0), backlog: 3, half_open: 3, refuse: false }
}

fn dial(family: u8, port: u8) -> Call {
    Call::Connect { family, to: 0, port, sizes: (0, 0), hop: true }
}

/// Most lives begin with somebody who listens and somebody who connects, or with two who connect to each other.
fn script() -> impl Strategy<Value = Vec<Op>> {
    let dial = |port| dial(0, port);
    let listen = listen();
    let carry = Op::Carry { count: 3, fate: 0 };
    let met = vec![Op::Call(false, listen), Op::Call(true, dial(0)), carry.clone(), Op::Call(false, Call::Accept(0))];
    let crossed = vec![Op::Call(false, dial(1)), Op::Call(true, dial(1))];
    let mut crossed_and_open = crossed.clone();
    crossed_and_open.push(carry);
    let begin = prop::sample::select(vec![Vec::new(), met.clone(), met, crossed, crossed_and_open]);
    (begin, prop::collection::vec(op(), 1..100)).prop_map(|(mut ops, rest)| {
        ops.extend(rest);
        ops
    })
}

fn config() -> impl Strategy<Value = Config> {
    (any::<bool>(), any::<bool>(), 0_u8..4, any::<bool>()).prop_map(|(delayed, tiny_mss, limit, policy)| Config {
        mss: Some(if tiny_mss { 64 } else { 1_460 }),
        delayed_ack: Duration::from_millis(if delayed { 40 } else { 0 }),
        challenge_limit: [0, 1, 10, 255][usize::from(limit)],
        rst_policy: RstPolicy { at_last_ack_sent: policy, before_fin: policy },
        ..Config::default()
    })
}

/// Something that came out, with times and sequence numbers counted from where the run's clock began.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Segment(bool, SocketAddr, Seg),
    Event(bool, Event),
    Called(bool, String),
    Timeout(bool, Option<u64>),
}

/// What the test knows of a connection that it has got a handle of.
#[derive(Default)]
struct Held {
    told: Option<CloseReason>,
    is_given_up: bool,
}

/// The numbers of a connection as last seen.
struct Track {
    snd_una: u32,
    snd_nxt: u32,
    rcv: Option<(u32, u32)>,
    /// The most the peer's window ever allowed.
    may_send_to: u32,
    /// The right edge on the wire.
    offered_to: Option<u32>,
}

struct Host<'s> {
    is_b: bool,
    tcp: Tcp<'s>,
    stack: Stack,
    capacity: (usize, usize, usize),
    held: HashMap<ConnectionHandle, Held>,
    handles: Vec<ConnectionHandle>,
    listeners: Vec<ListenerHandle>,
    foreign: ConnectionHandle,
    tracks: HashMap<ConnectionHandle, Track>,
    /// The last segment sent to each peer: from where, to where.
    last: Vec<(SocketAddr, SocketAddr, Seg)>,
    /// Segments for the other host: from where, to where.
    wire: VecDeque<(IpAddr, IpAddr, Vec<u8>)>,
    drops: u8,
    is_small: bool,
    defers: bool,
    has_deferred: bool,
    is_drained: bool,
    deadline: Option<Instant>,
}

struct Life<'s> {
    hosts: [Host<'s>; 2],
    begin: u64,
    now: u64,
    hold: u8,
    is_busy_honoured: bool,
    seen: Vec<Seen>,
}

/// How a script is run.
#[derive(Clone, Copy)]
struct Mode {
    begin: u64,
    is_busy_honoured: bool,
    stack: Stack,
    config: Config,
}

const BEGIN: u64 = 10_000_000_000;

impl<'s> Host<'s> {
    fn new<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
        store: &'s mut Storage<C, L, H, T, P>,
        mode: Mode,
        is_b: bool,
    ) -> Host<'s> {
        Host {
            is_b,
            tcp: Tcp::new(store, mode.config, key(if is_b { 9 } else { 8 })).unwrap(),
            stack: mode.stack,
            capacity: (C, H, T),
            held: HashMap::new(),
            handles: Vec::new(),
            listeners: Vec::new(),
            foreign: foreign(),
            tracks: HashMap::new(),
            last: Vec::new(),
            wire: VecDeque::new(),
            drops: 0,
            is_small: false,
            defers: false,
            has_deferred: false,
            is_drained: true,
            deadline: None,
        }
    }

    /// One of the host's families.
    fn family(&self, which: u8) -> Family {
        self.stack[usize::from(which) % self.stack.len()]
    }

    fn addr(&self, family: Family) -> IpAddr {
        if self.is_b { b(family) } else { a(family) }
    }

    /// The address of the host at the other end of the wire.
    fn other(&self, family: Family) -> IpAddr {
        if self.is_b { a(family) } else { b(family) }
    }

    /// From whom to whom a segment goes between the same hosts in another of the host's families.
    fn in_other_family(&self, us: IpAddr, peer: IpAddr) -> (IpAddr, IpAddr) {
        let old = Family::of(us);
        let new = self.stack.iter().copied().find(|&family| family != old).unwrap_or(old);
        (if peer == stranger(old) { stranger(new) } else { self.other(new) }, self.addr(new))
    }

    /// A handle of this host, live or stale, the newest first; beyond them one of another engine.
    fn handle(&self, which: u8) -> ConnectionHandle {
        let n = self.handles.len();
        match usize::from(which) % (n + 1) {
            at if at < n => self.handles[n - 1 - at],
            _ => self.foreign,
        }
    }

    fn got(&mut self, handle: ConnectionHandle) {
        let before = self.held.insert(handle, Held::default());
        assert!(before.is_none(), "a handle is given twice: {handle:?}");
        self.handles.push(handle);
    }

    fn is_live(&self, handle: ConnectionHandle) -> bool {
        self.held.get(&handle).is_some_and(|held| !held.is_given_up)
    }

    /// Makes a call and says how it went.
    fn call(&mut self, now: Instant, call: &Call) -> String {
        let size = |i: u8| SIZES[usize::from(i).min(11) % SIZES.len()];
        let stream = |(rx, tx): (u8, u8)| StreamOptions {
            rx_buffer: size(rx),
            tx_buffer: size(tx),
            nagle: rx % 2 == 0,
            ..StreamOptions::default()
        };
        match *call {
            Call::Listen { sizes, .. } => self.listen(call, stream(sizes)),
            Call::Unlisten(which) => {
                let n = self.listeners.len().max(1);
                let Some(&listener) = self.listeners.get(usize::from(which) % n) else {
                    return String::new();
                };
                format!("{:?}", self.tcp.unlisten(now, listener))
            }
            Call::Accept(which) => {
                let n = self.listeners.len().max(1);
                let newest = (n - 1).saturating_sub(usize::from(which) % n);
                let Some(&listener) = self.listeners.get(newest) else {
                    return String::new();
                };
                let result = self.tcp.accept(now, listener);
                if let Ok(handle) = result {
                    self.got(handle);
                }
                format!("{result:?}")
            }
            Call::Connect { family, to, port, sizes, hop } => {
                self.connect(now, self.family(family), to, port, &stream(sizes), hop)
            }
            Call::Send(which, len) => {
                let handle = self.handle(which);
                let data = vec![0x33; LENGTHS[usize::from(len)]];
                let result = self.tcp.send(now, handle, &data);
                self.check_result(handle, result.err());
                if let Ok(n) = result {
                    assert!(n <= data.len());
                }
                format!("{result:?}")
            }
            Call::Recv(which, len) => {
                let handle = self.handle(which);
                let mut buf = vec![0; LENGTHS[usize::from(len)]];
                let result = self.tcp.recv(now, handle, &mut buf);
                self.check_result(handle, result.err());
                format!("{result:?} {buf:?}")
            }
            Call::Shutdown(which) => {
                let handle = self.handle(which);
                let result = self.tcp.shutdown(now, handle);
                self.check_result(handle, result.err());
                format!("{result:?}")
            }
            Call::Close(which) => {
                let handle = self.handle(which);
                let result = self.tcp.close(now, handle);
                self.check_result(handle, result.err());
                if let Some(held) = self.held.get_mut(&handle) {
                    held.is_given_up = true;
                }
                format!("{result:?}")
            }
            Call::Abort(which) => self.abort(now, self.handle(which)),
        }
    }

    fn listen(&mut self, call: &Call, stream: StreamOptions) -> String {
        let Call::Listen { family, port, any, backlog, half_open, refuse, .. } = *call else {
            return String::new();
        };
        let family = self.family(family);
        let addr = if any { family.unspecified() } else { self.addr(family) };
        let overflow = if refuse { Overflow::Refuse } else { Overflow::Drop };
        let options =
            ListenOptions { backlog, half_open, overflow, accept_from: None, stream, ..ListenOptions::default() };
        let port = [80, 81, 0][usize::from(port)];
        let result = self.tcp.listen(SocketAddr::new(addr, port), options);
        self.listeners.extend(result);
        format!("{result:?}")
    }

    fn abort(&mut self, now: Instant, handle: ConnectionHandle) -> String {
        let result = self.tcp.abort(now, handle);
        let Some(held) = self.held.get_mut(&handle) else {
            assert_eq!(result, Err(Error::StaleHandle));
            return String::new();
        };
        assert!(held.is_given_up || result.is_ok(), "{result:?}");
        held.is_given_up = true;
        format!("{result:?}")
    }

    fn connect(&mut self, now: Instant, family: Family, to: u8, port: u8, stream: &StreamOptions, hop: bool) -> String {
        let nobodies = family.nobodies();
        let (ip, remote_port) = match to {
            0..=3 => (self.other(family), 80),
            4 | 5 => (stranger(family), 80),
            6 => (self.other(family), 81),
            7..=9 => (nobodies[usize::from(to - 7)], 80),
            10 => (self.other(family), 0),
            _ => (self.addr(family), 80),
        };
        let remote = SocketAddr::new(ip, remote_port);
        // Port 80 on both sides makes simultaneous opens.
        let local = SocketAddr::new(self.addr(family), [0, 80, 80, 5_000][usize::from(port)]);
        let result = self.tcp.connect(now, local, remote, hop.then_some(HOP), *stream);
        if let Ok(handle) = result {
            assert!(to <= 6, "connected to {remote}");
            assert!(stream.rx_buffer.is_power_of_two() && stream.rx_buffer <= 32_768);
            self.got(handle);
        }
        format!("{result:?}")
    }

    fn check_result(&self, handle: ConnectionHandle, error: Option<Error>) {
        let is_stale = error == Some(Error::StaleHandle);
        assert_eq!(is_stale, !self.is_live(handle), "{handle:?} gives {error:?}");
    }

    fn told(&mut self, event: Event) {
        let handle = match event {
            Event::Acceptable(listener) => {
                assert!(self.listeners.contains(&listener));
                return;
            }
            Event::Connected(h)
            | Event::Readable(h)
            | Event::Writable(h)
            | Event::PeerFinished(h)
            | Event::Stalled(h)
            | Event::Closed(h, _) => h,
        };
        let held = self.held.get_mut(&handle).expect("an event for a handle nobody has");
        assert!(held.told.is_none(), "{event:?} after the end");
        if let Event::Closed(_, reason) = event {
            held.told = Some(reason);
        } else {
            assert!(!held.is_given_up, "{event:?} after close");
        }
    }

    fn connection(&self, remote: SocketAddr, local: SocketAddr) -> Option<(ConnectionHandle, Status)> {
        let mut all = self.tcp.connections();
        all.find(|(_, s)| s.local == local && s.remote == remote && s.closed.is_none())
    }

    /// Checks a segment before it counts as sent.
    fn look(&mut self, local: SocketAddr, remote: SocketAddr, seg: &Seg) {
        let (from, to) = (local.ip(), remote.ip());
        let family = Family::of(to);
        assert_eq!(from, self.addr(family), "sent from {from} to {to}");
        assert!(!family.nobodies().contains(&to) && !to.is_multicast() && to != from, "sent to {to}");
        assert_eq!((seg.src_port, seg.dst_port), (local.port(), remote.port()));
        let Some((handle, status)) = self.connection(remote, local).filter(|_| !seg.has(RST)) else {
            return;
        };
        if !status.state.is_synchronized() || seg.has(SYN) {
            return;
        }
        let Some(track) = self.tracks.get_mut(&handle) else {
            return;
        };
        let edge = seg.ack.wrapping_add(u32::from(seg.wnd));
        if let Some(before) = track.offered_to {
            assert!(ahead(edge, before) >= 0, "the window shrinks: {seg:?}");
        }
        track.offered_to = Some(edge);
        // A window probe is one number beyond.
        let most = track.may_send_to.wrapping_add(1);
        let is_new = ahead(seg.end(), status.snd_una.0) > 0 && !seg.text.is_empty();
        assert!(!is_new || ahead(seg.end(), most) <= 0, "beyond the peer's window: {seg:?}, {status:?}");
    }

    /// Notes the numbers of all connections; none may have moved back.
    fn track(&mut self) {
        let all: Vec<(ConnectionHandle, Status)> = self.tcp.connections().collect();
        let (conns, halves, waits) = self.tcp.in_use();
        assert_eq!(conns, all.len(), "slots in use");
        assert!(conns <= self.capacity.0 && halves <= self.capacity.1 && waits <= self.capacity.2);
        self.tracks.retain(|handle, _| all.iter().any(|(h, _)| h == handle));
        for (handle, s) in all {
            let allowed = s.snd_una.0.wrapping_add(s.snd_wnd);
            // In SYN-RECEIVED a SYN,ACK that acknowledges ours may still bring another number than the SYN that came before it.
            let is_open = s.state.is_synchronized();
            let rcv = (s.rcv_nxt.0, s.rcv_nxt.0.wrapping_add(s.rcv_wnd));
            let track = self.tracks.entry(handle).or_insert(Track {
                snd_una: s.snd_una.0,
                snd_nxt: s.snd_nxt.0,
                rcv: None,
                may_send_to: allowed,
                offered_to: None,
            });
            assert!(ahead(s.snd_una.0, track.snd_una) >= 0, "SND.UNA back: {s:?}");
            assert!(ahead(s.snd_nxt.0, track.snd_nxt) >= 0, "SND.NXT back: {s:?}");
            assert!(ahead(s.snd_nxt.0, s.snd_una.0) >= 0, "SND.UNA ahead: {s:?}");
            (track.snd_una, track.snd_nxt) = (s.snd_una.0, s.snd_nxt.0);
            if is_open {
                if let Some(before) = track.rcv {
                    assert!(ahead(rcv.0, before.0) >= 0, "RCV.NXT back: {s:?}");
                    assert!(ahead(rcv.1, before.1) >= 0, "right edge back: {s:?}");
                }
                track.rcv = Some(rcv);
                if ahead(allowed, track.may_send_to) > 0 {
                    track.may_send_to = allowed;
                }
            }
        }
        self.check_handles();
    }

    fn check_handles(&self) {
        for (&handle, held) in &self.held {
            match self.tcp.status(handle) {
                Ok(status) => {
                    if let Some(told) = held.told {
                        assert_eq!(status.closed, Some(told));
                        assert!(
                            !held.is_given_up || !self.is_drained || self.has_deferred,
                            "a slot that nobody wants any more: {status:?}"
                        );
                    } else if self.is_drained {
                        assert_eq!(status.closed, None, "the end was not told");
                    }
                }
                Err(error) => {
                    assert_eq!(error, Error::StaleHandle);
                    assert!(held.told.is_some() && held.is_given_up, "a connection is gone, and nobody was told");
                }
            }
        }
    }
}

impl<'s> Life<'s> {
    fn new(a: Host<'s>, b: Host<'s>, mode: Mode) -> Life<'s> {
        let Mode { begin, is_busy_honoured, .. } = mode;
        Life { hosts: [a, b], begin, now: begin, hold: 0, is_busy_honoured, seen: Vec::new() }
    }

    fn at(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// By how much all initial sequence numbers are ahead of those of a run that begins at [`BEGIN`].
    fn isn_shift(&self) -> u32 {
        ((self.begin / 4) as u32).wrapping_sub((BEGIN / 4) as u32)
    }

    fn saw(&mut self, is_b: bool, remote: SocketAddr, mut seg: Seg) {
        let shift = self.isn_shift();
        // Zero stands for "no number" in the answers of CLOSED.
        if seg.seq != 0 {
            seg.seq = seg.seq.wrapping_sub(shift);
        }
        if seg.has(ACK) {
            seg.ack = seg.ack.wrapping_sub(shift);
        }
        self.seen.push(Seen::Segment(is_b, remote, seg));
    }

    fn drain(&mut self, i: usize) {
        let at = self.at();
        let mut offered: Option<(SocketAddr, SocketAddr, usize)> = None;
        let mut buf = [0; 2_048];
        for _ in 0..MOST_OUTPUTS {
            let is_busy_honoured = self.is_busy_honoured;
            let host = &mut self.hosts[i];
            match host.tcp.poll_output(at) {
                Output::Event(event) => {
                    host.told(event);
                    self.seen.push(Seen::Event(i == 1, event));
                }
                Output::Timeout(deadline) => {
                    assert_eq!(host.tcp.audit(), Ok(()));
                    assert!(offered.is_none(), "what was dropped is not offered again");
                    host.is_drained = true;
                    host.deadline = deadline.map(|(at, _)| at);
                    let relative = host.deadline.map(|at| at.as_micros().wrapping_sub(self.begin));
                    self.seen.push(Seen::Timeout(i == 1, relative));
                    return;
                }
                Output::Transmit(mut transmit) => {
                    let what = (transmit.local(), transmit.remote(), transmit.len());
                    if let Some(before) = offered.take() {
                        assert_eq!(before, what, "something else is offered");
                    }
                    if transmit.hop().is_none() {
                        if host.defers {
                            host.has_deferred = true;
                            transmit.defer();
                            continue;
                        }
                        transmit.set_hop(HOP);
                    }
                    if host.drops > 0 && is_busy_honoured {
                        host.drops -= 1;
                        offered = Some(what);
                        if host.is_small {
                            let short = &mut buf[..what.2 - 1];
                            assert!(transmit.emit(short).is_err());
                        }
                        continue;
                    }
                    // Looked at twice, since a look needs the engine and the segment.
                    drop(transmit);
                    let before = host.connection(what.1, what.0).map(|(h, _)| h);
                    let Output::Transmit(transmit) = host.tcp.poll_output(at) else {
                        panic!("what was dropped is not offered again");
                    };
                    assert_eq!(transmit.emit(&mut buf), Ok(what.2));
                    let bytes = buf[..what.2].to_vec();
                    let (src, dst) = (what.0.ip(), what.1.ip());
                    let seg = Seg::read(&bytes, src, dst);
                    let is_same = host.connection(what.1, what.0).map(|(h, _)| h) == before;
                    if is_same {
                        host.look(what.0, what.1, &seg);
                    }
                    if seg.has(ACK) && !seg.has(RST) {
                        host.last.retain(|(_, to, _)| *to != what.1);
                        host.last.push((what.0, what.1, seg.clone()));
                    }
                    if dst == host.other(Family::of(dst)) {
                        host.wire.push_back((src, dst, bytes));
                    }
                    self.saw(i == 1, what.1, seg);
                }
            }
        }
        panic!("output without end");
    }

    /// Drains what may be drained now.
    fn settle(&mut self, i: usize) {
        if self.hold == 0 {
            self.drain(i);
        } else {
            self.hosts[i].is_drained = false;
        }
        self.hosts[i].track();
    }

    fn deliver(&mut self, to: usize, src: IpAddr, dst: IpAddr, bytes: &[u8]) {
        let at = self.at();
        let was_drained = self.hosts[to].is_drained && self.hold == 0;
        let from = self.seen.len();
        let host = &mut self.hosts[to];
        let verdict = host.tcp.handle_segment(at, &Arrival { src, dst, hop: HOP }, bytes);
        host.is_drained = false;
        host.track();
        self.seen.push(Seen::Called(to == 1, format!("{verdict:?}")));
        self.settle(to);
        let is_reset = bytes.len() >= 20 && bytes[13] & RST != 0;
        if was_drained && is_reset {
            let answered =
                self.seen[from..].iter().any(|seen| matches!(seen, Seen::Segment(_, _, seg) if seg.has(RST)));
            assert!(!answered, "an RST was answered by an RST: {verdict:?}");
        }
    }

    fn carry(&mut self, count: u8, fate: u8) {
        for n in 0..count {
            for i in 0..2 {
                let Some((src, dst, bytes)) = self.hosts[i].wire.pop_front() else {
                    continue;
                };
                match (fate, n) {
                    (8, 0) => {}
                    (9, 0) => self.hosts[i].wire.push_back((src, dst, bytes)),
                    (10, 0) => {
                        self.deliver(1 - i, src, dst, &bytes);
                        self.deliver(1 - i, src, dst, &bytes);
                    }
                    (11, 0) => {
                        let mut bad = bytes.clone();
                        bad[usize::from(count)] ^= 0x10;
                        self.deliver(1 - i, src, dst, &bad);
                    }
                    _ => self.deliver(1 - i, src, dst, &bytes),
                }
            }
        }
    }

    /// Whom a forged segment is for and from whom it seems to come: one of the connections, one of the peers that were spoken to, or
    /// nobody known. RCV.NXT, RCV.WND, SND.UNA, SND.NXT of the connection, as far as they can be known.
    fn victim(&self, whom: u8, extra: u8) -> (SocketAddr, SocketAddr, (u32, u32, u32, u32)) {
        let base = 90_000_u32.wrapping_add(self.isn_shift());
        let host = &self.hosts[0];
        let live: Vec<Status> = host.tcp.connections().map(|(_, s)| s).collect();
        let n = live.len() + host.last.len() + 2;
        let which = usize::from(whom) % n;
        if let Some(s) = live.get(which) {
            // Before the peer's SYN there is no RCV.NXT.
            let rcv_nxt = if s.rcv_nxt.0 == 0 { base } else { s.rcv_nxt.0 };
            (s.local, s.remote, (rcv_nxt, s.rcv_wnd, s.snd_una.0, s.snd_nxt.0))
        } else if let Some((us, peer, seg)) = host.last.get(which - live.len()) {
            (*us, *peer, (seg.ack, u32::from(seg.wnd), seg.seq, seg.end()))
        } else {
            let family = host.family(extra / 5);
            let peer = SocketAddr::new(stranger(family), 7_000 + u16::from(extra % 5));
            (SocketAddr::new(a(family), 80), peer, (base, 64, base, base))
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one for each field of a segment")]
    fn forge(&mut self, whom: u8, flags: u8, seq: u8, ack: u8, wnd: u8, text: u8, extra: u8) {
        let (us, peer, (rcv_nxt, rcv_wnd, snd_una, snd_nxt)) = self.victim(whom, extra);
        let far = u32::from(extra).wrapping_mul(0x0101_0101);
        let seq = match seq {
            0..=6 => rcv_nxt,
            7 => rcv_nxt.wrapping_sub(1),
            8 => rcv_nxt.wrapping_sub(2),
            9 => rcv_nxt.wrapping_add(1),
            10 => rcv_nxt.wrapping_add(rcv_wnd / 2),
            11 => rcv_nxt.wrapping_add(rcv_wnd).wrapping_sub(1),
            12 => rcv_nxt.wrapping_add(rcv_wnd),
            13 => rcv_nxt.wrapping_sub(1 << 31),
            14 => rcv_nxt.wrapping_add(u32::from(extra)),
            _ => rcv_nxt.wrapping_add(far),
        };
        let ack = match ack {
            0..=4 => snd_nxt,
            5 => snd_una,
            6 => snd_una.wrapping_add(1),
            7 => snd_una.wrapping_sub(1),
            8 => snd_nxt.wrapping_add(1),
            9 => snd_nxt.wrapping_sub(1 << 31),
            10 => snd_una.wrapping_sub(u32::from(extra)),
            _ => snd_una.wrapping_add(far),
        };
        let mut seg = Seg {
            src_port: peer.port(),
            dst_port: us.port(),
            seq,
            ack,
            flags: FLAGS[usize::from(flags)],
            wnd: [0, 0, 1, 40, 64, 500, 4_000, 65_535][usize::from(wnd)],
            urgent: u16::from(extra),
            options: Vec::new(),
            text: vec![extra; [0, 0, 0, 1, 5, 32, 64, 200][usize::from(text)]],
        };
        if extra.is_multiple_of(4) {
            seg.options = vec![2, 4, 0, extra];
        }
        let family = Family::of(us.ip());
        let (src, dst) = match extra {
            // The same hosts and ports in the other family, if the host speaks it.
            246..=249 => self.hosts[0].in_other_family(us.ip(), peer.ip()),
            250..=252 => (family.nobodies()[usize::from(extra - 250)], us.ip()),
            253 => (us.ip(), us.ip()),
            _ => (peer.ip(), us.ip()),
        };
        self.deliver(0, src, dst, &seg.write(src, dst));
    }

    fn wait(&mut self, how_long: u8, in_steps: bool) {
        let end = self.now + WAITS_MS[usize::from(how_long)] * 1_000;
        for i in 0..2 {
            self.drain(i);
        }
        for _ in 0..100_000 {
            let due = self.hosts.iter().filter_map(|host| host.deadline).min();
            let due = due.map(Instant::as_micros).filter(|&at| at <= end && in_steps);
            self.now = due.unwrap_or(end).max(self.now);
            for i in 0..2 {
                self.expire(i);
            }
            if self.now >= end {
                return;
            }
        }
        panic!("deadlines without end");
    }

    fn expire(&mut self, i: usize) {
        let at = self.at();
        self.hosts[i].tcp.handle_timeout(at);
        self.drain(i);
        self.hosts[i].track();
        let host = &mut self.hosts[i];
        if let Some(deadline) = host.deadline {
            assert!(deadline > at, "{deadline:?} is not after {at:?}");
        }
        host.tcp.handle_timeout(at);
        match host.tcp.poll_output(at) {
            Output::Timeout(again) => {
                let again = again.map(|(at, _)| at);
                assert_eq!(again, host.deadline, "a second timeout changes something");
            }
            Output::Transmit(_) => panic!("a second timeout sends something"),
            Output::Event(event) => panic!("a second timeout tells {event:?}"),
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Call(is_b, ref call) => {
                let at = self.at();
                let i = usize::from(is_b);
                let how = self.hosts[i].call(at, call);
                self.hosts[i].is_drained = false;
                self.seen.push(Seen::Called(is_b, how));
                self.settle(i);
            }
            Op::Carry { count, fate } => self.carry(count, fate),
            Op::Forge { whom, flags, seq, ack, wnd, text, extra } => {
                self.forge(whom, flags, seq, ack, wnd, text, extra);
            }
            Op::Wait { how_long, in_steps } => self.wait(how_long, in_steps),
            Op::Busy { drops, is_small, defer } => {
                for host in &mut self.hosts {
                    (host.drops, host.is_small, host.defers) = (drops, is_small, defer);
                    host.tcp.neighbour_changed();
                    host.has_deferred = false;
                    host.is_drained = false;
                }
            }
            Op::Hold(steps) => self.hold = steps + 1,
        }
        self.hold = self.hold.saturating_sub(1);
    }

    /// Everybody lets go, nobody hears anybody any more, and enough time passes: all is free again.
    fn finish(&mut self) {
        self.hold = 0;
        for i in 0..2 {
            let at = self.at();
            let host = &mut self.hosts[i];
            (host.drops, host.defers, host.has_deferred) = (0, false, false);
            host.tcp.neighbour_changed();
            for (n, handle) in host.handles.clone().into_iter().enumerate() {
                if host.is_live(handle) {
                    let call = if n % 3 == 0 { Call::Abort } else { Call::Close };
                    let which = host.handles.len() - 1 - n;
                    host.call(at, &call(which as u8));
                }
            }
            for listener in host.listeners.clone() {
                let _ = host.tcp.unlisten(at, listener);
            }
            self.drain(i);
            self.hosts[i].track();
            self.run_out(i);
            let host = &self.hosts[i];
            assert_eq!(host.tcp.in_use(), (0, 0, 0), "slots that never come back");
            for (handle, held) in &host.held {
                assert!(held.told.is_some(), "{handle:?} ended in silence");
            }
        }
    }

    fn run_out(&mut self, i: usize) {
        let end = self.now + 20 * 24 * 3_600 * 1_000_000;
        for _ in 0..10_000 {
            let Some(deadline) = self.hosts[i].deadline else {
                return;
            };
            self.now = self.now.max(deadline.as_micros());
            assert!(self.now < end, "something goes on for ever");
            self.expire(i);
        }
        panic!("deadlines without end");
    }

    /// How many connections of each size fit now.
    fn room(&mut self, i: usize) -> Vec<usize> {
        let mut rooms = Vec::new();
        for (rx, tx) in [(64, 64), (128, 64), (512, 512), (1_024, 1_024), (64, 2_048)] {
            let mut count = 0;
            let stream = StreamOptions { rx_buffer: rx, tx_buffer: tx, ..StreamOptions::default() };
            let mut handles = Vec::new();
            let at = self.at();
            let host = &mut self.hosts[i];
            let family = host.family(0);
            let local = SocketAddr::new(host.addr(family), 0);
            let remote = SocketAddr::new(stranger(family), 9_999);
            while let Ok(handle) = host.tcp.connect(at, local, remote, Some(HOP), stream) {
                host.got(handle);
                handles.push(handle);
                count += 1;
            }
            for handle in handles {
                host.tcp.abort(at, handle).unwrap();
                if let Some(held) = host.held.get_mut(&handle) {
                    held.is_given_up = true;
                }
            }
            self.drain(i);
            self.hosts[i].track();
            rooms.push(count);
        }
        rooms
    }
}

type BStore = Storage<3, 1, 2, 2, 2_048>;

fn foreign() -> ConnectionHandle {
    let mut store = Box::new(Storage::<9, 0, 0, 0, 2_048>::new());
    let mut tcp = Tcp::new(&mut *store, Config::default(), key(1)).unwrap();
    let remote = SocketAddr::new(b(Family::V4), 80);
    let local = SocketAddr::new(a(Family::V4), 0);
    let mut handle = None;
    for _ in 0..9 {
        handle = tcp.connect(Instant::ZERO, local, remote, None, small()).ok();
    }
    handle.unwrap()
}

/// Lives through a script and gives what was seen.
fn live<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
    ops: &[Op],
    mode: Mode,
) -> Vec<Seen> {
    let mut fresh_store = Box::new(Storage::<C, L, H, T, P>::new());
    let mut a_store = Box::new(Storage::<C, L, H, T, P>::new());
    let (mut b_store, mut b_fresh_store) = (Box::new(BStore::new()), Box::new(BStore::new()));
    let mut fresh =
        Life::new(Host::new(&mut *fresh_store, mode, false), Host::new(&mut *b_fresh_store, mode, true), mode);
    let mut used = Life::new(Host::new(&mut *a_store, mode, false), Host::new(&mut *b_store, mode, true), mode);
    for op in ops {
        used.step(op);
    }
    used.finish();
    let seen = used.seen.clone();
    for i in 0..2 {
        assert_eq!(used.room(i), fresh.room(i), "room after a life and before");
    }
    seen
}

fn mode(stack: Stack, config: Config) -> Mode {
    Mode { begin: BEGIN, is_busy_honoured: true, stack, config }
}

macro_rules! lives {
    ($($name:ident: $c:literal, $l:literal, $h:literal, $t:literal, $p:literal;)*) => {
        proptest! {
            #![proptest_config(cases(4_500))]
            $(
                #[test]
                fn $name(stack in stack(), ops in script(), config in config()) {
                    let _ = live::<$c, $l, $h, $t, $p>(&ops, mode(stack, config));
                }
            )*
        }
    };
}

lives! {
    life_without_any_memory_keeps_its_promises: 0, 0, 0, 0, 0;
    life_without_connections_keeps_its_promises: 0, 1, 2, 2, 128;
    life_with_one_slot_and_no_records_keeps_its_promises: 1, 1, 0, 0, 128;
    life_with_one_slot_keeps_its_promises: 1, 1, 2, 2, 128;
    life_without_time_wait_keeps_its_promises: 3, 1, 2, 0, 512;
    life_without_pool_keeps_its_promises: 3, 1, 2, 2, 63;
    life_with_little_pool_keeps_its_promises: 3, 1, 2, 2, 421;
    life_with_few_of_everything_keeps_its_promises: 3, 1, 2, 2, 4_096;
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn same_script_gives_the_same_octets(stack in stack(), ops in script(), config in config()) {
        let one = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        let other = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        prop_assert_eq!(one, other);
    }

    /// A transmitter that is busy, or has too small a buffer, changes nothing but when things go out.
    #[test]
    fn dropped_segments_are_offered_again_unchanged(stack in stack(), ops in script(), config in config()) {
        let busy = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        let idle = Mode { is_busy_honoured: false, ..mode(stack, config) };
        let idle = live::<3, 1, 2, 2, 1_024>(&ops, idle);
        prop_assert_eq!(busy, idle);
    }

    /// The clock's width shows nowhere: microseconds and milliseconds wrap at 2^32 in the middle of a life.
    #[test]
    fn same_script_at_another_time_does_the_same(
        stack in stack(),
        ops in script(),
        config in config(),
        wraps_at in prop::sample::select(vec![
            1_u64 << 32, 1_000 << 31, 1_000 << 32, 1_000 << 33, 1 << 34, 1 << 42,
        ]),
        before_ms in prop_oneof![0_u64..3_000, 0_u64..300_000],
    ) {
        let config = Config { challenge_limit: 255, ..config };
        let begin = (wraps_at / 1_000 - before_ms) * 1_000;
        let one = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        let other = live::<3, 1, 2, 2, 1_024>(&ops, Mode { begin, ..mode(stack, config) });
        prop_assert_eq!(one, other);
    }
}

// Idle for long.

/// In microseconds.
const DAY: u64 = 24 * 3_600 * 1_000_000;

/// Two hosts, connected over the last family of their stack.
fn connected<'s>(stack: Stack, a: &'s mut BStore, b: &'s mut BStore, begin: u64) -> (Life<'s>, [ConnectionHandle; 2]) {
    let mode = Mode { begin, ..mode(stack, Config::default()) };
    let mut life = Life::new(Host::new(a, mode, false), Host::new(b, mode, true), mode);
    life.step(&Op::Call(false, listen()));
    life.step(&Op::Call(true, dial(1, 0)));
    life.step(&Op::Carry { count: 4, fate: 0 });
    life.step(&Op::Call(false, Call::Accept(0)));
    let handles = [life.hosts[0].handles[0], life.hosts[1].handles[0]];
    (life, handles)
}

/// Both sides send and receive 64 octets, with time enough for delayed acknowledgements.
fn talk(life: &mut Life<'_>, handles: [ConnectionHandle; 2]) {
    for i in 0..2 {
        let at = life.at();
        assert_eq!(life.hosts[i].tcp.send(at, handles[i], &[5; 64]), Ok(64));
        life.drain(i);
        life.carry(9, 0);
        let mut buf = [0; 100];
        let at = life.at();
        let got = life.hosts[1 - i].tcp.recv(at, handles[1 - i], &mut buf);
        assert_eq!(got, Ok(64), "after {} ms", (life.now - life.begin) / 1_000);
        life.drain(1 - i);
        life.carry(9, 0);
        life.wait(4, true);
        life.carry(9, 0);
    }
    for host in &life.hosts {
        assert_eq!(host.deadline, None, "everything is acknowledged");
    }
}

#[test]
fn idle_for_weeks_connection_goes_on_as_if_nothing_had_been() {
    over_each(|family| {
        for days in [1, 12, 13, 24, 25, 37, 49, 50, 60, 99] {
            for (is_polled, begin) in [(false, BEGIN), (true, BEGIN), (false, 1_000)] {
                let (mut a, mut b) = (Box::new(BStore::new()), Box::new(BStore::new()));
                let (mut life, handles) = connected(alone(family), &mut a, &mut b, begin);
                talk(&mut life, handles);
                life.now += days * DAY;
                if is_polled {
                    for i in 0..2 {
                        life.expire(i);
                    }
                }
                talk(&mut life, handles);
                life.now += days * DAY;
                // And an orderly end.
                life.step(&Op::Call(false, Call::Shutdown(0)));
                life.step(&Op::Carry { count: 4, fate: 0 });
                life.step(&Op::Call(true, Call::Close(0)));
                life.step(&Op::Carry { count: 4, fate: 0 });
                let told = |i: usize| life.hosts[i].held[&handles[i]].told;
                assert_eq!(told(0), Some(CloseReason::LocalClosed));
                assert_eq!(told(1), Some(CloseReason::PeerClosed));
                life.finish();
            }
        }
    });
}

/// After weeks of silence a peer that is gone is found out as if it had been a minute.
#[test]
fn idle_for_weeks_then_a_dead_peer_is_given_up_after_r2() {
    over_each(|family| {
        for days in [1, 13, 25, 37, 50, 60] {
            let (mut a, mut b) = (Box::new(BStore::new()), Box::new(BStore::new()));
            let (mut life, handles) = connected(alone(family), &mut a, &mut b, BEGIN);
            talk(&mut life, handles);
            life.now += days * DAY;
            let at = life.at();
            assert_eq!(life.hosts[0].tcp.send(at, handles[0], &[5; 10]), Ok(10));
            life.drain(0);
            life.run_out(0);
            assert!(life.now >= at.as_micros() + 100_000_000);
            assert!(life.now <= at.as_micros() + 240_000_000, "{}", life.now);
            assert!(life.hosts[0].held[&handles[0]].told.is_some());
        }
    });
}

/// A device may sleep through a deadline for as long as it likes: "at the time the last poll named, or later".
#[test]
fn deadline_served_weeks_late_is_still_due() {
    over_each(|family| {
        for days in [1, 12, 24, 25, 40, 60] {
            let (mut a, mut b) = (Box::new(BStore::new()), Box::new(BStore::new()));
            let (mut life, handles) = connected(alone(family), &mut a, &mut b, BEGIN);
            talk(&mut life, handles);
            let at = life.at();
            assert_eq!(life.hosts[0].tcp.send(at, handles[0], &[5; 10]), Ok(10));
            life.drain(0);
            life.now += days * DAY;
            let late = life.now;
            life.expire(0);
            // R2 is long over: one last attempt is made, and its timeout is the end.
            life.run_out(0);
            assert!(life.hosts[0].held[&handles[0]].told.is_some(), "nothing is done about it after {days} days");
            let waited = Duration::from_micros(life.now - late);
            assert!(waited <= Duration::from_secs(60), "after {days} days it took {waited:?} more");
        }
    });
}
