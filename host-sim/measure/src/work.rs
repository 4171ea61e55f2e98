//! The work that is measured. Each item is set up once, repeats for any number of units, and asserts its result.

use std::net::SocketAddr;

use crate::ours::Ours;
use crate::packet::{self, Numbers};
use crate::ring::{MTU, Ring};
use crate::stack::{CLIENT, Family, Host, MANY_CONNECTIONS, MANY_LISTENERS, Micros, SERVER, Size, Stack};
use crate::theirs::{Theirs, TheirsAsked};

/// Time from one poll to the next.
const STEP: Micros = 20;
/// The first port with a listener.
const LISTENING: u16 = 7;
/// A port without a listener.
const CLOSED: u16 = 9_999;
/// The peer's first port.
const PEERS: u16 = 10_000;
/// Number of peers without a connection, which differ in their ports.
const STRANGERS: u16 = 64;
/// Bytes that an application reads or writes at once.
const CHUNK: usize = 4_096;
/// Packets in flight from one end to the other: more than the largest window.
const IN_FLIGHT: usize = 64;

/// Repeatable work.
pub(crate) trait Work {
    /// Runs `units` units.
    fn run(&mut self, units: u64);
}

/// A kind of work and its set-up.
pub(crate) struct Item {
    pub(crate) name: &'static str,
    /// Sets the work up, for each of [`STACKS`].
    pub(crate) set_up: [fn(Family) -> Box<dyn Work>; STACKS.len()],
}

/// The stacks that are measured side by side.
pub(crate) const STACKS: [&str; 3] = [Ours::NAME, Theirs::NAME, TheirsAsked::NAME];

/// All items.
pub(crate) const ITEMS: &[Item] = &[
    Item {
        name: "syn-to-closed-port",
        set_up: [syn_to_closed_port::<Ours>, syn_to_closed_port::<Theirs>, syn_to_closed_port::<TheirsAsked>],
    },
    Item { name: "pure-ack", set_up: [pure_ack::<Ours>, pure_ack::<Theirs>, pure_ack::<TheirsAsked>] },
    Item {
        name: "pure-ack-1024",
        set_up: [pure_ack_on_many::<Ours>, pure_ack_on_many::<Theirs>, pure_ack_on_many::<TheirsAsked>],
    },
    Item { name: "bulk", set_up: [bulk::<Ours>, bulk::<Theirs>, bulk::<TheirsAsked>] },
    Item {
        name: "request-response",
        set_up: [request_response::<Ours>, request_response::<Theirs>, request_response::<TheirsAsked>],
    },
    Item {
        name: "set-up-and-close",
        set_up: [set_up_and_close::<Ours>, set_up_and_close::<Theirs>, set_up_and_close::<TheirsAsked>],
    },
    Item { name: "stray-ack", set_up: [stray_ack::<Ours>, stray_ack::<Theirs>, stray_ack::<TheirsAsked>] },
    Item {
        name: "stray-ack-250",
        set_up: [
            stray_ack_among_many_listeners::<Ours>,
            stray_ack_among_many_listeners::<Theirs>,
            stray_ack_among_many_listeners::<TheirsAsked>,
        ],
    },
];

/// A SYN with an MSS option to a port where nobody listens is answered by RST.
fn syn_to_closed_port<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    let mut stack = S::new(SERVER, Size::Few);
    stack.listen(LISTENING);
    let numbers = Numbers { is_syn: true, seq: 1_000, ack: None };
    Box::new(Alone::new(stack, of_strangers(family, CLOSED, numbers), Answer::Rst))
}

/// An ACK that belongs to no connection, to a port without a listener, is answered by RST.
fn stray_ack<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    let mut stack = S::new(SERVER, Size::Few);
    stack.listen(LISTENING);
    Box::new(Alone::new(stack, of_strangers(family, CLOSED, STRAY), Answer::Rst))
}

/// The same with many listeners on other ports.
fn stray_ack_among_many_listeners<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    let mut stack = S::new(SERVER, Size::ManyListeners);
    for i in 0..MANY_LISTENERS as u16 {
        stack.listen(LISTENING + i);
    }
    Box::new(Alone::new(stack, of_strangers(family, CLOSED, STRAY), Answer::Rst))
}

const STRAY: Numbers = Numbers { is_syn: false, seq: 1_000, ack: Some(2_000) };

/// Writes one packet to `port` from each stranger.
fn of_strangers(family: Family, port: u16, numbers: Numbers) -> Vec<Vec<u8>> {
    let to = SocketAddr::new(family.addr(SERVER), port);
    let from = |i| SocketAddr::new(family.addr(CLIENT), PEERS + i);
    (0..STRANGERS).map(|i| packet::write(from(i), to, numbers)).collect()
}

/// A plain duplicate ACK: no data, the expected sequence number, nothing newly acknowledged, the same window.
fn pure_ack<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    let mut stack = S::new(SERVER, Size::Few);
    let ack = connect(&mut stack, family, 0);
    assert_eq!(stack.established(), 1);
    Box::new(Alone::new(stack, vec![ack], Answer::None))
}

/// The same on each of many connections in turn.
fn pure_ack_on_many<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    let mut stack = S::new(SERVER, Size::ManyConnections);
    let acks = (0..MANY_CONNECTIONS as u16).map(|i| connect(&mut stack, family, i)).collect();
    assert_eq!(stack.established(), MANY_CONNECTIONS);
    Box::new(Alone::new(stack, acks, Answer::None))
}

/// Opens a connection from the peer's `i`-th port; returns the packet that completed the handshake.
fn connect<S: Stack>(stack: &mut S, family: Family, i: u16) -> Vec<u8> {
    let now = Micros::from(i) * STEP;
    let (from, to) = (SocketAddr::new(family.addr(CLIENT), PEERS + i), SocketAddr::new(family.addr(SERVER), LISTENING));
    stack.listen(LISTENING);
    let mut output = Ring::new(1);
    let send = |stack: &mut S, numbers, output: &mut Ring| {
        let packet = packet::write(from, to, numbers);
        let mut input = Ring::with_packets([packet.as_slice()]);
        input.offer_next();
        stack.poll(now, &mut input, output);
        packet
    };
    send(stack, Numbers { is_syn: true, seq: 1_000, ack: None }, &mut output);
    let iss = packet::seq_of(output.front().expect("the SYN is answered"));
    output.pop();
    let ack = send(stack, Numbers { is_syn: false, seq: 1_001, ack: Some(iss.wrapping_add(1)) }, &mut output);
    assert!(stack.accept(now));
    ack
}

/// The expected answer to each packet of a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    None,
    Rst,
}

/// One stack, whose peer is a ring of packets that repeats.
struct Alone<S> {
    stack: S,
    input: Ring,
    output: Ring,
    answer: Answer,
    now: Micros,
}

impl<S: Stack> Alone<S> {
    /// Sends each packet once and checks the answers.
    fn new(stack: S, packets: Vec<Vec<u8>>, answer: Answer) -> Alone<S> {
        let input = Ring::with_packets(packets.iter().map(Vec::as_slice));
        // Not before any time that the set-up used.
        let now = MANY_CONNECTIONS as Micros * STEP;
        let mut alone = Alone { stack, input, output: Ring::new(2), answer, now };
        for _ in &packets {
            alone.offer();
            let found = alone.output.front().map(packet::is_rst);
            assert_eq!(found, (answer == Answer::Rst).then_some(true), "the answer is another than expected");
            alone.output.clear();
        }
        alone
    }

    fn offer(&mut self) {
        self.now += STEP;
        self.input.offer_next();
        self.stack.poll(self.now, &mut self.input, &mut self.output);
    }
}

impl<S: Stack> Work for Alone<S> {
    fn run(&mut self, units: u64) {
        let mut answers = 0;
        for _ in 0..units {
            self.offer();
            answers += self.output.clear() as u64;
        }
        assert_eq!(answers, if self.answer == Answer::Rst { units } else { 0 });
    }
}

/// Two ends of the same stack, and the packets between them.
struct Pair<S> {
    family: Family,
    client: S,
    server: S,
    to_client: Ring,
    to_server: Ring,
    now: Micros,
}

impl<S: Stack> Pair<S> {
    fn new(family: Family) -> Pair<S> {
        let stack = |host: Host| S::new(host, Size::Few);
        let ring = || Ring::new(IN_FLIGHT);
        let (client, server) = (stack(CLIENT), stack(SERVER));
        Pair { family, client, server, to_client: ring(), to_server: ring(), now: 0 }
    }

    fn poll_client(&mut self) {
        self.now += STEP;
        self.client.poll(self.now, &mut self.to_client, &mut self.to_server);
    }

    fn poll_server(&mut self) {
        self.now += STEP;
        self.server.poll(self.now, &mut self.to_server, &mut self.to_client);
    }

    /// Polls the end that has input until no packet is in flight.
    fn deliver(&mut self) {
        loop {
            if self.to_server.front().is_some() {
                self.poll_server();
            } else if self.to_client.front().is_some() {
                self.poll_client();
            } else {
                return;
            }
        }
    }

    /// Opens a connection from the client's `port` and accepts it.
    fn open(&mut self, port: u16) {
        self.server.listen(LISTENING);
        let local = SocketAddr::new(self.family.addr(CLIENT), port);
        let remote = SocketAddr::new(self.family.addr(SERVER), LISTENING);
        self.client.connect(self.now, local, remote);
        self.poll_client();
        self.deliver();
        assert!(self.server.accept(self.now));
    }

    /// Advances time from deadline to deadline until no timer is armed.
    fn pass_time(&mut self) {
        while let Some(at) =
            [self.client.deadline(self.now), self.server.deadline(self.now)].into_iter().flatten().min()
        {
            self.now = self.now.max(at);
            self.poll_client();
            self.poll_server();
        }
    }
}

/// The client fills the server's window and the server's application reads everything. A unit is the data of one full segment.
struct Bulk<S> {
    pair: Pair<S>,
    mss: u64,
    data: Vec<u8>,
    buf: Vec<u8>,
    /// Bytes received beyond the units that were asked for.
    ahead: u64,
}

fn bulk<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    let mut pair = Pair::<S>::new(family);
    pair.open(PEERS);
    let headers = match family {
        Family::Ipv4 => 40,
        Family::Ipv6 => 60,
    };
    let data = (0..CHUNK).map(|i| i as u8).collect();
    Box::new(Bulk { pair, mss: (MTU - headers) as u64, data, buf: vec![0; CHUNK], ahead: 0 })
}

impl<S: Stack> Work for Bulk<S> {
    fn run(&mut self, units: u64) {
        let Bulk { pair, mss, data, buf, ahead } = self;
        let wanted = units * *mss;
        while *ahead < wanted {
            while pair.client.send(pair.now, data) > 0 {}
            pair.poll_client();
            pair.poll_server();
            while pair.server.is_readable() {
                *ahead += pair.server.recv(pair.now, buf) as u64;
            }
            pair.poll_server();
        }
        *ahead -= wanted;
    }
}

/// The client sends one byte, the server's application reads it and sends it back, and the client's application reads that.
struct RequestResponse<S>(Pair<S>);

fn request_response<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    let mut pair = Pair::<S>::new(family);
    pair.open(PEERS);
    Box::new(RequestResponse(pair))
}

impl<S: Stack> Work for RequestResponse<S> {
    fn run(&mut self, units: u64) {
        let RequestResponse(pair) = self;
        let mut buf = [0; 16];
        let packets = pair.to_client.taken() + pair.to_server.taken();
        for i in 0..units {
            let byte = [i as u8];
            assert_eq!(pair.client.send(pair.now, &byte), 1);
            pair.poll_client();
            pair.poll_server();
            assert!(pair.server.is_readable());
            let n = pair.server.recv(pair.now, &mut buf);
            assert_eq!(pair.server.send(pair.now, &buf[..n]), 1);
            pair.poll_server();
            pair.poll_client();
            assert!(pair.client.is_readable());
            let n = pair.client.recv(pair.now, &mut buf);
            assert_eq!(buf[..n], byte);
        }
        assert_eq!(pair.to_client.taken() + pair.to_server.taken() - packets, 2 * units, "an ACK went alone");
    }
}

/// A connection without data from set-up to the end of TIME-WAIT: handshake, close by the client, then by the server, expiry of all timers.
struct SetUpAndClose<S> {
    pair: Pair<S>,
    count: u16,
}

fn set_up_and_close<S: Stack + 'static>(family: Family) -> Box<dyn Work> {
    Box::new(SetUpAndClose { pair: Pair::<S>::new(family), count: 0 })
}

impl<S: Stack> Work for SetUpAndClose<S> {
    fn run(&mut self, units: u64) {
        let pair = &mut self.pair;
        for _ in 0..units {
            self.count = self.count.wrapping_add(1) % PEERS;
            pair.open(PEERS + self.count);
            pair.client.close(pair.now);
            pair.poll_client();
            pair.deliver();
            assert!(pair.server.is_readable());
            assert_eq!(pair.server.recv(pair.now, &mut [0; 16]), 0);
            pair.server.close(pair.now);
            pair.poll_server();
            pair.deliver();
            pair.pass_time();
            assert!(pair.client.is_over() && pair.server.is_over());
        }
    }
}
