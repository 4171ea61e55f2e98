//! An engine with a connection in every state, over one family or both.

use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::{
    Arrival, Config, Event, Instant, ListenOptions, ListenerHandle, Output, State, Storage, Tcp, Verdict,
};

use crate::draws::{HOP, a, nasty_options, small, stranger};
use crate::support::family::Family;
use crate::support::world::{ACK, FIN, MOST_OUTPUTS, RST, SYN, Seg, URG, key};

/// Room for the inhabitants of two families, and for whoever comes along.
pub(crate) type Zoo = Storage<40, 2, 20, 20, 16_384>;

/// Ports of the stranger's side, one for each state.
pub(crate) const HALF_OPEN: u16 = 1_001;

pub(crate) const ESTABLISHED: u16 = 1_002;

pub(crate) const SYN_SENT: u16 = 1_003;

pub(crate) const FIN_WAIT_2: u16 = 1_004;

pub(crate) const CLOSE_WAIT: u16 = 1_005;

pub(crate) const TIME_WAIT: u16 = 1_006;

pub(crate) const FIN_WAIT_1: u16 = 1_007;

pub(crate) const IN_FLIGHT: u16 = 1_008;

pub(crate) const NOBODY: u16 = 1_009;

pub(crate) const KEPT: [(u16, State); 8] = [
    (HALF_OPEN, State::SynReceived),
    (ESTABLISHED, State::Established),
    (SYN_SENT, State::SynSent),
    (FIN_WAIT_2, State::FinWait2),
    (CLOSE_WAIT, State::CloseWait),
    (TIME_WAIT, State::TimeWait),
    (FIN_WAIT_1, State::FinWait1),
    (IN_FLIGHT, State::Established),
];

pub(crate) const IRS: u32 = 500_000;

/// Between which addresses connections in every state live, all of them on our port 80.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Habitat {
    pub(crate) us: IpAddr,
    pub(crate) them: IpAddr,
}

impl Habitat {
    pub(crate) fn of(family: Family) -> Habitat {
        Habitat { us: a(family), them: stranger(family) }
    }

    pub(crate) fn local(self) -> SocketAddr {
        SocketAddr::new(self.us, 80)
    }

    pub(crate) fn remote(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.them, port)
    }
}

pub(crate) struct Zookeeper<'s> {
    pub(crate) tcp: Tcp<'s>,
    pub(crate) now: Instant,
    /// What the last call sent: from where, to where.
    pub(crate) out: Vec<(SocketAddr, SocketAddr, Seg)>,
    pub(crate) events: Vec<Event>,
    /// SND.NXT as last seen, by remote endpoint.
    pub(crate) ends: HashMap<SocketAddr, u32>,
}

impl<'s> Zookeeper<'s> {
    /// One habitat, with a listener of its own.
    pub(crate) fn new(store: &'s mut Zoo, home: Habitat) -> Zookeeper<'s> {
        Zookeeper::with(store, Config::default(), &[home], None)
    }

    /// Several habitats, on one listener or on one for each.
    pub(crate) fn with(store: &'s mut Zoo, config: Config, homes: &[Habitat], any: Option<IpAddr>) -> Zookeeper<'s> {
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

    pub(crate) fn populate(&mut self, home: Habitat, listener: ListenerHandle) {
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

    pub(crate) fn state(&self, home: Habitat, port: u16) -> State {
        self.tcp.state_of(home.local(), home.remote(port))
    }

    /// The number that acknowledges everything sent to that port of a habitat.
    pub(crate) fn end(&self, home: Habitat, port: u16) -> u32 {
        self.ends.get(&home.remote(port)).copied().unwrap_or(0)
    }

    pub(crate) fn say(&mut self, home: Habitat, port: u16, flags: u8, after_irs: u32, text: &[u8]) {
        let seg = Seg {
            sport: port,
            dport: 80,
            seq: IRS + after_irs,
            ack: self.end(home, port),
            flags,
            ecn: 0,
            wnd: 1_000,
            text: text.to_vec(),
            ..Seg::default()
        };
        let _ = self.hear(home, &seg);
    }

    pub(crate) fn hear(&mut self, home: Habitat, seg: &Seg) -> Verdict {
        self.arrive(home, &seg.octets(home.them, home.us))
    }

    pub(crate) fn arrive(&mut self, home: Habitat, bytes: &[u8]) -> Verdict {
        let arrival = Arrival { src: home.them, dst: home.us, link_addr: HOP };
        let verdict = self.tcp.handle_segment(self.now, &arrival, bytes);
        self.drain();
        verdict
    }

    pub(crate) fn drain(&mut self) {
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
                    assert_eq!((seg.sport, seg.dport), (local.port(), remote.port()));
                    self.ends.insert(remote, seg.end());
                    self.out.push((local, remote, seg));
                }
            }
        }
        panic!("output without end");
    }
}

/// A segment at a number near what the zoo's connections expect.
pub(crate) fn near() -> impl Strategy<Value = (u16, Seg)> {
    let flags =
        prop_oneof![prop::sample::select(vec![SYN, ACK, RST, FIN | ACK, SYN | ACK, RST | ACK, URG | ACK, 0]), 0_u8..64];
    let numbers = (-3_i32..70, -60_i32..4);
    let port = HALF_OPEN..=NOBODY;
    let text = prop_oneof![Just(0_usize), 1_usize..100];
    (port, flags, numbers, any::<u16>(), text, any::<u16>(), nasty_options()).prop_map(
        |(port, flags, (seq, ack), wnd, text, urgent, options)| {
            let seg = Seg {
                sport: port,
                dport: 80,
                seq: IRS.wrapping_add_signed(1 + seq),
                ack: ack as u32,
                flags,
                ecn: 0,
                wnd,
                urgent,
                options,
                text: vec![3; text],
            };
            (port, seg)
        },
    )
}
