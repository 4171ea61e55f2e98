//! Full tables make room: who goes, who never goes, and what the newcomer sees.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    CloseReason, Config, ConnectionHandle, Error, Event, EvictBy, Eviction, LinkAddr, ListenOptions, ListenerHandle,
    ResetReason, State, Storage,
};

use crate::support::family::{Family, over_each};
use crate::support::rig::{BUFFER, Engine, Raw, quick_config, small_stream, us};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::{DAY, listener, ms, secs};

const SLOTS: usize = 3;
const CLIENT_ISN: u32 = 100;
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Slots are what is wanting.
type FewSlots = Storage<SLOTS, 2, 8, 2, 8_192>;
/// Buffers are.
type FewBytes = Storage<8, 2, 8, 2, { SLOTS * 2 * BUFFER as usize }>;

/// What one client knows of its connection.
#[derive(Clone, Copy)]
struct Client {
    addr: SocketAddr,
    /// Its next number, and ours.
    seq: u32,
    ack: u32,
    port: u16,
}

struct Crowd<'s> {
    engine: Engine<'s>,
    family: Family,
    listener: ListenerHandle,
    clients: u16,
}

impl Crowd<'_> {
    /// A client's segment.
    fn say(&mut self, client: Client, flags: u8, text: &[u8]) {
        self.say_with(client, flags, text, 1_000);
    }

    fn say_with(&mut self, client: Client, flags: u8, text: &[u8], wnd: u16) {
        let raw = Raw { seq: client.seq, ack: client.ack, flags, wnd, text, ..Raw::default() };
        let mut to = us(self.family);
        to.set_port(client.port);
        let _ = self.engine.arrive(client.addr, to, &raw);
    }

    /// A new client's SYN, and what it makes of our SYN,ACK.
    fn knock(&mut self) -> Client {
        self.knock_at(us(self.family).port())
    }

    fn knock_at(&mut self, port: u16) -> Client {
        self.clients += 1;
        let host = 2 + (self.clients / 50) as u8;
        let addr = SocketAddr::new(self.family.host(host), 1_000 + self.clients);
        let mut client = Client { addr, seq: CLIENT_ISN, ack: 0, port };
        self.say(client, SYN, &[]);
        client.seq += 1;
        client.ack = self.told(client, SYN | ACK).expect("the SYN is taken");
        client
    }

    /// What the last call sent to a client with just these flags: the number after it.
    fn told(&self, client: Client, flags: u8) -> Option<u32> {
        let mut sent = self.engine.sent.iter().filter(|sent| sent.dst == client.addr && sent.flags == flags);
        sent.next().map(|sent| sent.end())
    }

    /// A newcomer's whole handshake.
    fn arrive(&mut self) -> Client {
        let client = self.knock();
        self.say(client, ACK, &[]);
        client
    }

    fn enter(&mut self) -> (Client, ConnectionHandle) {
        let client = self.arrive();
        let handle = self.engine.tcp.accept(self.engine.now, self.listener).unwrap();
        self.engine.drain();
        (client, handle)
    }

    /// Fills the table, a second between one and the next; the first is the longest idle.
    fn fill(&mut self) -> Vec<(Client, ConnectionHandle)> {
        (0..SLOTS)
            .map(|_| {
                let entered = self.enter();
                self.engine.wait(secs(1));
                entered
            })
            .collect()
    }

    fn close(&mut self, handle: ConnectionHandle) {
        self.engine.tcp.close(self.engine.now, handle).unwrap();
        self.engine.drain();
    }

    /// Who got an RST as evicted in the last call.
    fn evicted(&self) -> Vec<SocketAddr> {
        let resets = self.engine.sent.iter().filter(|sent| sent.reason == Some(ResetReason::Evicted));
        resets.inspect(|sent| assert_eq!(sent.flags & RST, RST)).map(|sent| sent.dst).collect()
    }

    fn count(&self) -> u32 {
        self.engine.tcp.counters().closed(CloseReason::Evicted)
    }

    fn state(&self, client: Client) -> State {
        let mut local = us(self.family);
        local.set_port(client.port);
        self.engine.tcp.state_of(local, client.addr)
    }

    /// The newcomer was asked, says its ACK again, and is in.
    fn assert_gets_in(&mut self, newcomer: Client) {
        assert!(self.told(newcomer, SYN | ACK).is_some(), "asked at once: {:?}", self.engine.sent);
        self.say(newcomer, ACK, &[]);
        assert_eq!(self.state(newcomer), State::Established);
    }
}

fn config(by: EvictBy) -> Config {
    Config { eviction: Some(Eviction { by, idle_for: IDLE_FOR }), ..quick_config() }
}

/// Runs a test where slots are few, and where buffers are.
fn crowded(config: Config, test: impl Fn(&mut Crowd<'_>)) {
    with_options(config, ListenOptions { backlog: 8, ..listener(small_stream()) }, test);
}

fn with_options(config: Config, options: ListenOptions, test: impl Fn(&mut Crowd<'_>)) {
    over_each(|family| {
        let run = |mut engine: Engine<'_>| {
            let listener = engine.tcp.listen(us(family), options).unwrap();
            test(&mut Crowd { engine, family, listener, clients: 0 });
        };
        let mut store = Box::new(FewSlots::new());
        run(Engine::new(&mut *store, config));
        let mut store = Box::new(FewBytes::new());
        run(Engine::new(&mut *store, config));
    });
}

#[test]
fn the_longest_idle_goes_and_its_slot_is_the_newcomers() {
    for victim in 0..SLOTS {
        crowded(config(EvictBy::Idle), |crowd| {
            let mut inside = crowd.fill();
            crowd.engine.wait(secs(10));
            // All but one say a byte.
            for (n, (client, _)) in inside.iter_mut().enumerate().filter(|(n, _)| *n != victim) {
                crowd.say(*client, ACK, &[n as u8]);
                client.seq += 1;
            }
            crowd.engine.wait(secs(100));
            let newcomer = crowd.arrive();
            assert_eq!(crowd.evicted(), [inside[victim].0.addr]);
            let handle = inside[victim].1;
            assert_eq!(crowd.engine.events.last(), Some(&Event::Closed(handle, CloseReason::Evicted)));
            assert_eq!((crowd.count(), crowd.engine.tcp.counters().reset_sent(ResetReason::Evicted)), (1, 1));
            assert_eq!(crowd.state(newcomer), State::SynReceived);
            crowd.close(handle);
            crowd.assert_gets_in(newcomer);
            assert_eq!((crowd.engine.tcp.in_use().0, crowd.count()), (SLOTS, 1));
            for (n, (client, _)) in inside.iter().enumerate() {
                assert_eq!(crowd.state(*client) == State::Established, n != victim);
            }
        });
    }
}

#[test]
fn nobody_goes_who_has_been_idle_for_less() {
    for by in [EvictBy::Idle, EvictBy::WithoutProgress] {
        crowded(config(by), |crowd| {
            let first = crowd.engine.now;
            let mut inside = Vec::new();
            for _ in 0..SLOTS {
                let (client, handle) = crowd.enter();
                if by == EvictBy::WithoutProgress {
                    crowd.engine.tcp.send(crowd.engine.now, handle, b"x").unwrap();
                    crowd.engine.drain();
                }
                inside.push(client);
                crowd.engine.wait(secs(1));
            }
            let passed = crowd.engine.now.duration_since(first);
            crowd.engine.wait(IDLE_FOR - passed - ms(1));
            let newcomer = crowd.arrive();
            assert_eq!((crowd.evicted(), crowd.count()), (vec![], 0), "{by:?}");
            crowd.engine.wait(ms(1));
            crowd.say(newcomer, ACK, &[]);
            assert_eq!((crowd.evicted(), crowd.count()), (vec![inside[0].addr], 1), "{by:?}");
        });
    }
}

#[test]
fn nobody_goes_where_no_eviction_is_asked_for() {
    crowded(quick_config(), |crowd| {
        let _ = crowd.fill();
        crowd.engine.wait(20 * DAY);
        let newcomer = crowd.arrive();
        crowd.say(newcomer, ACK, &[]);
        assert_eq!((crowd.count(), crowd.engine.tcp.in_use().0), (0, SLOTS));
    });
}

/// Who owes nothing is spared, even as the longest idle.
#[test]
fn without_progress_means_the_peers_that_owe_something() {
    crowded(config(EvictBy::WithoutProgress), |crowd| {
        let inside = crowd.fill();
        crowd.engine.wait(10 * DAY);
        let newcomer = crowd.arrive();
        crowd.say(newcomer, ACK, &[]);
        assert_eq!((crowd.evicted(), crowd.count()), (vec![], 0), "all are idle, none owes anything");
        // The last of them closes its window on what we send.
        let (client, handle) = inside[2];
        crowd.say_with(client, ACK, &[], 0);
        crowd.engine.tcp.send(crowd.engine.now, handle, b"x").unwrap();
        crowd.engine.drain();
        crowd.engine.wait(IDLE_FOR);
        let _ = crowd.arrive();
        assert_eq!((crowd.evicted(), crowd.count()), (vec![client.addr], 1));
    });
}

#[test]
fn an_unacknowledged_fin_and_a_withheld_one_are_owed() {
    for acknowledged in [false, true] {
        let patient = Config { orphan_timeout: secs(600), ..config(EvictBy::WithoutProgress) };
        crowded(patient, |crowd| {
            let mut inside = crowd.fill();
            let (client, handle) = &mut inside[1];
            crowd.engine.tcp.close(crowd.engine.now, *handle).unwrap();
            crowd.engine.drain();
            if acknowledged {
                client.ack += 1;
                crowd.say(*client, ACK, &[]);
                assert_eq!(crowd.state(*client), State::FinWait2);
            }
            let addr = client.addr;
            crowd.engine.wait(IDLE_FOR);
            let newcomer = crowd.arrive();
            assert_eq!((crowd.evicted(), crowd.count()), (vec![addr], 1));
            // No application holds it: the newcomer is asked as soon as the RST has left.
            crowd.assert_gets_in(newcomer);
        });
    }
}

#[test]
fn who_is_not_accepted_goes_without_any_application() {
    crowded(config(EvictBy::Idle), |crowd| {
        let inside = (0..SLOTS).map(|_| crowd.arrive()).collect::<Vec<_>>();
        crowd.engine.wait(IDLE_FOR);
        let newcomer = crowd.arrive();
        let gone = crowd.evicted();
        assert_eq!((gone.len(), crowd.count(), crowd.engine.tcp.counters().lost_before_accept), (1, 1, 1));
        assert!(inside.iter().any(|client| client.addr == gone[0]));
        crowd.assert_gets_in(newcomer);
    });
}

#[test]
fn one_newcomer_costs_one_connection_however_often_it_asks() {
    crowded(config(EvictBy::Idle), |crowd| {
        let inside = crowd.fill();
        crowd.engine.wait(DAY);
        let newcomer = crowd.arrive();
        for _ in 0..100 {
            crowd.engine.wait(ms(9));
            crowd.say(newcomer, ACK, &[]);
            assert_eq!(crowd.evicted(), []);
        }
        assert_eq!(crowd.count(), 1);
        crowd.close(inside[0].1);
        crowd.assert_gets_in(newcomer);
        for _ in 0..100 {
            crowd.say(newcomer, ACK, &[]);
        }
        assert_eq!(crowd.count(), 1);
    });
}

#[test]
fn two_newcomers_cost_two() {
    crowded(config(EvictBy::Idle), |crowd| {
        let inside = crowd.fill();
        crowd.engine.wait(DAY);
        let newcomers = [crowd.arrive(), crowd.arrive()];
        for _ in 0..10 {
            for newcomer in newcomers {
                crowd.say(newcomer, ACK, &[]);
            }
        }
        assert_eq!(crowd.count(), 2);
        for (n, (_, handle)) in inside.iter().take(2).enumerate() {
            crowd.close(*handle);
            let asked = newcomers.into_iter().find(|newcomer| crowd.told(*newcomer, SYN | ACK).is_some()).unwrap();
            crowd.assert_gets_in(asked);
            assert_eq!(crowd.engine.tcp.in_use().0, SLOTS, "after {n}");
        }
        assert!(newcomers.iter().all(|newcomer| crowd.state(*newcomer) == State::Established));
    });
}

#[test]
fn a_handshake_that_is_not_finished_evicts_nobody() {
    crowded(config(EvictBy::Idle), |crowd| {
        let _ = crowd.fill();
        crowd.engine.wait(DAY);
        for _ in 0..8 {
            let newcomer = crowd.knock();
            let guessed = Client { ack: newcomer.ack.wrapping_add(1), ..newcomer };
            crowd.say(guessed, ACK, &[]);
            crowd.say(newcomer, SYN, &[]);
        }
        assert_eq!(crowd.count(), 0);
    });
}

#[test]
fn a_full_backlog_is_nobodys_fault() {
    let options = ListenOptions { backlog: 1, ..listener(small_stream()) };
    with_options(config(EvictBy::Idle), options, |crowd| {
        let _ = crowd.enter();
        let _ = crowd.enter();
        crowd.engine.wait(DAY);
        // Both are in the handshake before either takes the only place.
        let (one, other) = (crowd.knock(), crowd.knock());
        crowd.say(one, ACK, &[]);
        for _ in 0..10 {
            crowd.engine.wait(secs(2));
            crowd.say(other, ACK, &[]);
        }
        assert_eq!((crowd.count(), crowd.engine.tcp.in_use().0), (0, SLOTS));
    });
}

#[test]
fn connect_makes_room_and_says_that_there_is_none_yet() {
    crowded(config(EvictBy::Idle), |crowd| {
        let inside = crowd.fill();
        let to = SocketAddr::new(crowd.family.host(9), 7);
        let dial = |crowd: &mut Crowd<'_>| {
            let from = SocketAddr::new(crowd.family.host(1), 0);
            let dialed =
                crowd.engine.tcp.connect(crowd.engine.now, from, to, Some(LinkAddr::default()), small_stream());
            crowd.engine.drain();
            dialed
        };
        let failed = |dialed: Result<ConnectionHandle, Error>| matches!(dialed, Err(Error::NoSlot | Error::NoBuffer));
        assert!(failed(dial(crowd)));
        assert_eq!(crowd.evicted(), [], "nobody has been idle for long enough");
        crowd.engine.wait(IDLE_FOR);
        let is_slot = crowd.engine.tcp.pool_in_use() < 2_000 && crowd.engine.tcp.in_use().0 == SLOTS;
        assert!(is_slot);
        assert!(failed(dial(crowd)));
        assert_eq!(crowd.evicted(), [inside[0].0.addr]);
        for _ in 0..10 {
            assert!(failed(dial(crowd)), "the application still holds it");
        }
        assert_eq!(crowd.count(), 1);
        crowd.close(inside[0].1);
        assert!(dial(crowd).is_ok());
    });
}

/// Which of the two is wanting is told by name.
#[test]
fn connect_names_what_is_wanting() {
    over_each(|family| {
        let fill = |mut engine: Engine<'_>| {
            let to = |n: usize| SocketAddr::new(family.host(2), 1_000 + n as u16);
            let from = SocketAddr::new(family.host(1), 0);
            for n in 0..SLOTS {
                engine.tcp.connect(engine.now, from, to(n), Some(LinkAddr::default()), small_stream()).unwrap();
                engine.drain();
            }
            engine.tcp.connect(engine.now, from, to(SLOTS), Some(LinkAddr::default()), small_stream())
        };
        let mut store = Box::new(FewSlots::new());
        assert_eq!(fill(Engine::new(&mut *store, config(EvictBy::Idle))), Err(Error::NoSlot));
        let mut store = Box::new(FewBytes::new());
        assert_eq!(fill(Engine::new(&mut *store, config(EvictBy::Idle))), Err(Error::NoBuffer));
    });
}

/// Handshakes without number from many addresses end nobody who moves a byte now and then, in either direction.
#[test]
fn a_flood_of_handshakes_ends_nobody_who_is_at_work() {
    for by in [EvictBy::Idle, EvictBy::WithoutProgress] {
        crowded(config(by), |crowd| {
            let mut inside = crowd.fill();
            let until = crowd.engine.now + secs(3_600);
            while crowd.engine.now < until {
                for (n, (client, handle)) in inside.iter_mut().enumerate() {
                    if n == 0 {
                        crowd.say(*client, ACK, b"x");
                        client.seq += 1;
                        let mut bytes = [0; 64];
                        let _ = crowd.engine.tcp.recv(crowd.engine.now, *handle, &mut bytes).unwrap();
                    } else {
                        crowd.engine.tcp.send(crowd.engine.now, *handle, b"x").unwrap();
                        crowd.engine.drain();
                        client.ack += 1;
                        crowd.say(*client, ACK, &[]);
                    }
                }
                for _ in 0..6 {
                    let attacker = crowd.arrive();
                    crowd.say(attacker, ACK, &[]);
                }
                crowd.engine.wait(IDLE_FOR - secs(1));
            }
            assert_eq!(crowd.count(), 0, "{by:?}");
            assert!(inside.iter().all(|(client, _)| crowd.state(*client) == State::Established));
        });
    }
}

/// An attacker's own connections, idle once they are in, are the ones that go.
#[test]
fn a_flood_displaces_its_own() {
    crowded(config(EvictBy::Idle), |crowd| {
        let (mut busy, handle) = crowd.enter();
        for _ in 0..40 {
            let attacker = crowd.arrive();
            if crowd.state(attacker) == State::SynReceived && crowd.told(attacker, SYN | ACK).is_some() {
                crowd.assert_gets_in(attacker);
            }
            for _ in 0..3 {
                crowd.engine.wait(secs(20));
                crowd.say(busy, ACK, b"x");
                busy.seq += 1;
                let mut bytes = [0; 64];
                let _ = crowd.engine.tcp.recv(crowd.engine.now, handle, &mut bytes).unwrap();
                crowd.engine.drain();
            }
        }
        assert_eq!(crowd.state(busy), State::Established);
        assert!(crowd.count() > 10, "{}", crowd.count());
    });
}

/// What was acknowledged before is still owed as ever: eviction of one in the middle of data tells the peer, and the application what it was.
#[test]
fn an_evicted_peer_gets_an_rst_at_the_number_it_expects() {
    crowded(config(EvictBy::Idle), |crowd| {
        let inside = crowd.fill();
        let (client, handle) = inside[0];
        crowd.engine.wait(IDLE_FOR);
        let _ = crowd.arrive();
        let reset = crowd.engine.sent.iter().find(|sent| sent.dst == client.addr).unwrap();
        assert_eq!((reset.seq, reset.ack, reset.flags), (client.ack, client.seq, RST | ACK));
        assert_eq!(crowd.engine.tcp.send(crowd.engine.now, handle, b"x"), Err(Error::Closed(CloseReason::Evicted)));
        assert_eq!(crowd.engine.tcp.status(handle).unwrap().closed, Some(CloseReason::Evicted));
        // What it says now is a stranger's.
        crowd.say(client, FIN | ACK, &[]);
        assert!(crowd.engine.sent.iter().all(|sent| sent.flags & RST != 0));
    });
}
