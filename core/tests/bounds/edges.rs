//! Moments where two things meet: the next hop and who speaks, an abort and a closed window, a FIN and a later one, accept and what came
//! before it, the end of everything and who knocks then, several listeners, what is counted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tcp_reset_core::{Arrival, CloseReason, Event, Instant, LinkAddr, Output, ResetReason, Rule, State, Tcp, Timer};

use crate::support::family::{Family, over_each};
use crate::support::rig::{
    Engine, ManyStore, PEER_ISN, Raw, Rig, START, Store, key, peer, quick_config, small_listener, small_stream, us,
};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};
use crate::{accept, client, complete, enter, knock, listener, on_engine, tell};

fn on_link(test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN));
    });
}

/// An engine whose segments' next hops are looked at.
struct Hops<'s> {
    tcp: Tcp<'s>,
    family: Family,
    now: Instant,
}

const HOME: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 9]);
const AWAY: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 10]);
const FURTHER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 11]);
const FORGED: LinkAddr = LinkAddr([2, 6, 6, 6, 6, 6]);

impl Hops<'_> {
    /// A segment of the peer's comes from `hop`. Returns where the answers go, and the end of the last.
    fn hear(&mut self, link_addr: LinkAddr, raw: Raw<'_>) -> (Vec<LinkAddr>, u32) {
        let (src, dst) = (peer(self.family), us(self.family));
        let _ = self.tcp.handle_segment(
            self.now,
            &Arrival { src: src.ip(), dst: dst.ip(), link_addr },
            &raw.bytes(src, dst),
        );
        self.drain()
    }

    fn drain(&mut self) -> (Vec<LinkAddr>, u32) {
        let (mut hops, mut end) = (Vec::new(), 0);
        let mut bytes = [0; 2_048];
        loop {
            match self.tcp.poll_output(self.now) {
                Output::Transmit(transmit) => {
                    hops.push(transmit.link_addr().expect("the link address is known"));
                    let len = transmit.emit(&mut bytes).unwrap();
                    let seq = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
                    let controls = u32::from(bytes[13] & SYN != 0) + u32::from(bytes[13] & FIN != 0);
                    end = seq.wrapping_add(len as u32 - u32::from(bytes[12] >> 4) * 4 + controls);
                }
                Output::Event(_) => {}
                Output::Timeout(_) => return (hops, end),
            }
        }
    }
}

#[test]
fn the_next_hop_follows_acceptable_segments_and_no_others() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let tcp = Tcp::new(&mut *store, quick_config(), key(1)).unwrap();
        let mut hops = Hops { tcp, family, now: START };
        let listener = hops.tcp.listen(us(family), small_listener()).unwrap();
        let (to, ack) = hops.hear(HOME, Raw { seq: 100, flags: SYN, wnd: 500, ..Raw::default() });
        assert_eq!(to, [HOME]);
        let reply = Raw { seq: 101, ack, flags: ACK, wnd: 500, ..Raw::default() };
        assert_eq!(hops.hear(AWAY, reply).0, []);
        let handle = hops.tcp.accept(hops.now, listener).unwrap();
        hops.tcp.send(hops.now, handle, b"hello").unwrap();
        assert_eq!(hops.drain().0, [AWAY], "where the handshake was completed from");
        assert_eq!(hops.hear(FURTHER, Raw { text: b"text", ..reply }).0, [FURTHER], "where the text came from");
        for forged in [Raw { seq: 50_000, ..reply }, Raw { seq: 50_000, flags: SYN, ..reply }] {
            assert_eq!(hops.hear(FORGED, forged).0, [FURTHER], "unacceptable, so it proves nothing");
        }
        hops.now = hops.now + Duration::from_secs(4);
        hops.tcp.handle_timeout(hops.now);
        assert_eq!(hops.drain().0, [FURTHER], "the retransmission");
    });
}

#[test]
fn an_abort_in_syn_received_is_told_behind_our_syn_though_the_window_is_closed() {
    for wnd in [0, 1_000] {
        on_link(|rig| {
            rig.dial();
            rig.peer_wnd = wnd;
            let _ = rig.say(SYN, 0);
            assert_eq!(rig.state(), State::SynReceived);
            rig.abort();
            let sent = rig.engine.only();
            let expected = (RST | ACK, rig.model.iss.wrapping_add(1), PEER_ISN.wrapping_add(1));
            assert_eq!((sent.flags, sent.seq, sent.ack), expected);
        });
    }
}

#[test]
fn the_first_place_of_a_fin_is_the_one_that_counts() {
    for later in [5, 20] {
        on_link(|rig| {
            rig.open();
            let (first, una) = (rig.model.rcv_nxt, rig.model.snd_una);
            for at in [10, later] {
                let _ = rig.inject(&Seg::new(FIN | ACK, first.wrapping_add(at), una, 0, 1_000));
            }
            for (from, rcv_nxt, state) in [(0, 5, State::Established), (5, 11, State::CloseWait)] {
                let _ = rig.inject(&Seg::new(ACK, first.wrapping_add(from), una, 5, 1_000));
                assert_eq!(rig.status().unwrap().rcv_nxt.0, first.wrapping_add(rcv_nxt), "FIN at 10 and {later}");
                assert_eq!(rig.state(), state);
            }
        });
    }
}

#[test]
fn accept_is_followed_by_what_came_before_it() {
    for (text, finishes) in [(0, false), (5, false), (0, true), (5, true)] {
        on_link(|rig| {
            rig.enter();
            if text > 0 {
                let _ = rig.say(ACK, text);
            }
            if finishes {
                rig.peer_finishes();
            }
            rig.engine.events.clear();
            rig.accept();
            let handle = rig.handle.unwrap();
            let mut expected = Vec::new();
            if text > 0 {
                expected.push(Event::Readable(handle));
            }
            if finishes {
                expected.push(Event::PeerFinished(handle));
            }
            assert_eq!(rig.engine.events, expected);
            assert_eq!(rig.recv().len(), text as usize);
        });
    }
}

#[test]
fn while_everything_ends_no_handshake_begins() {
    over_each(|family| {
        let mut store = Box::new(ManyStore::new());
        let mut engine = Engine::new(&mut *store, quick_config());
        engine.tcp.listen(us(family), listener(4, 32)).unwrap();
        let clients: BTreeSet<_> = (0..20).map(|n| client(family, n)).collect();
        for &from in &clients {
            assert!(knock(&mut engine, from).is_some());
        }
        let (late, to) = (client(family, 99), us(family));
        let syn = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() }.bytes(late, to);
        let arrival = Arrival { src: late.ip(), dst: to.ip(), link_addr: LinkAddr::default() };
        let mut told = BTreeSet::new();
        for _ in 0..8 {
            engine.tcp.abort_all(engine.now);
            let rule = engine.tcp.handle_segment(engine.now, &arrival, &syn).rule;
            assert_ne!(rule, Rule::ListenSyn);
            engine.drain();
            for sent in engine.sent.iter().filter(|sent| sent.dst != late) {
                assert_eq!(sent.reason, Some(ResetReason::ListenerClosed));
                assert!(told.insert(sent.dst), "told once");
            }
        }
        assert_eq!(told, clients, "everybody is told");
        assert_eq!(engine.tcp.in_use(), (0, 0, 0));
    });
}

#[test]
fn the_nearest_of_several_listeners_takes_the_syn_and_each_is_told_of_its_own() {
    on_engine(|engine, family| {
        let wide = SocketAddr::new(family.unspecified(), 80);
        let all = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 80);
        // The widest first, so that order of birth is no help. A build for IPv4 alone takes it as the wide one.
        let widest = (cfg!(feature = "ipv6") && all != wide).then(|| engine.tcp.listen(all, listener(4, 4)).unwrap());
        let wide = engine.tcp.listen(wide, listener(4, 4)).unwrap();
        let exact = engine.tcp.listen(us(family), listener(4, 4)).unwrap();
        let elsewhere = SocketAddr::new(family.host(7), 80);
        enter(engine, client(family, 0));
        let raw = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
        let _ = engine.arrive(client(family, 1), elsewhere, &raw);
        let ack = engine.only().end();
        let _ = engine.arrive(client(family, 1), elsewhere, &Raw { seq: 6, ack, flags: ACK, ..raw });
        assert_eq!(engine.events, [Event::Acceptable(exact), Event::Acceptable(wide)]);
        let handles = [exact, wide].map(|listener| accept(engine, listener));
        let locals = handles.map(|handle| engine.tcp.status(handle).unwrap().local);
        assert_eq!(locals, [us(family), elsewhere]);
        engine.events.clear();
        enter(engine, client(family, 2));
        assert_eq!(engine.events, [Event::Acceptable(exact)], "told anew");
        engine.tcp.unlisten(engine.now, exact).unwrap();
        engine.drain();
        engine.events.clear();
        enter(engine, client(family, 3));
        assert_eq!(engine.events, [Event::Acceptable(wide)], "the next wider one stands in");
        engine.tcp.unlisten(engine.now, wide).unwrap();
        engine.drain();
        engine.events.clear();
        if let Some(widest) = widest {
            enter(engine, client(family, 4));
            assert_eq!(engine.events, [Event::Acceptable(widest)]);
        }
    });
}

/// News of a listener that closes before it was told is no news; the others' is.
#[test]
fn a_listener_that_closes_takes_its_news_along() {
    on_engine(|engine, family| {
        let first = engine.tcp.listen(us(family), listener(4, 4)).unwrap();
        let other = SocketAddr::new(us(family).ip(), 81);
        let second = engine.tcp.listen(other, listener(4, 4)).unwrap();
        let from = client(family, 0);
        let ack = knock(engine, from).unwrap();
        let bytes = Raw { seq: 101, ack, flags: ACK, wnd: 100, ..Raw::default() }.bytes(from, us(family));
        let arrival = Arrival { src: from.ip(), dst: us(family).ip(), link_addr: LinkAddr::default() };
        assert_eq!(engine.tcp.handle_segment(engine.now, &arrival, &bytes).rule, Rule::AckEstablishes);
        engine.tcp.unlisten(engine.now, first).unwrap();
        engine.drain();
        assert_eq!(engine.events, []);
        assert!(!engine.tcp.has_output());
        let raw = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
        let _ = engine.arrive(from, other, &raw);
        let ack = engine.only().end();
        let _ = engine.arrive(from, other, &Raw { seq: 6, ack, flags: ACK, ..raw });
        assert_eq!(engine.events, [Event::Acceptable(second)]);
    });
}

#[test]
fn segments_are_counted_in_and_out() {
    on_engine(|engine, family| {
        enter_and_reset(engine, family);
        let _ = engine.arrive_bytes(client(family, 0).ip(), us(family).ip(), &[0; 3]);
        let counters = engine.tcp.counters();
        assert_eq!((counters.segments_in, counters.segments_out), (4, 1), "SYN, ACK, RST and rubbish; SYN,ACK");
        assert_eq!((counters.rule(Rule::ListenSyn), counters.rule(Rule::Malformed)), (1, 1));
        assert_eq!((counters.rule(Rule::AckEstablishes), counters.rule(Rule::RstExact)), (1, 1));
        assert_eq!((counters.lost_before_accept, counters.closed(CloseReason::ResetByPeer)), (1, 1));
        assert_eq!((counters.retransmissions, counters.limited, counters.replies_lost), (0, 0, 0));
    });
}

fn enter_and_reset(engine: &mut Engine<'_>, family: Family) {
    engine.tcp.listen(us(family), listener(4, 4)).unwrap();
    enter(engine, client(family, 0));
    crate::reset(engine, client(family, 0));
}

#[test]
fn what_is_sent_again_is_counted() {
    on_link(|rig| {
        rig.dial();
        let _ = rig.engine.next_deadline();
        assert_eq!(rig.engine.tcp.counters().retransmissions, 1, "the SYN");
        let _ = rig.say(SYN | ACK, 0);
        rig.send(10);
        let _ = rig.engine.next_deadline();
        assert_eq!(rig.engine.tcp.counters().retransmissions, 2, "text");
        rig.peer_acks();
        rig.peer_offers(0);
        rig.send(10);
        rig.wait_for_probe();
        assert_eq!(rig.engine.tcp.counters().retransmissions, 3, "a window probe");
        assert_eq!(rig.engine.tcp.counters().segments_out, 6, "SYN twice, ACK, text twice, probe");
    });
}

#[test]
fn a_handshake_that_expires_is_counted_and_so_is_each_repetition() {
    on_engine(|engine, family| {
        engine.tcp.listen(us(family), listener(4, 4)).unwrap();
        let ack = knock(engine, client(family, 0)).unwrap();
        engine.wait(Duration::from_millis(29_999));
        assert_eq!(engine.tcp.counters().half_open_expired, 0);
        assert_eq!(engine.tcp.counters().retransmissions, 4, "after 1, 3, 7 and 15 s");
        engine.wait(Duration::from_millis(1));
        let counters = engine.tcp.counters();
        assert_eq!((counters.half_open_expired, counters.retransmissions), (1, 4));
        assert_eq!(counters.closed(CloseReason::TimedOut(Timer::SynReceived)), 1);
        assert_eq!(complete(engine, client(family, 0), ack), Rule::ListenAck, "it is over");
    });
}

#[test]
fn every_end_is_counted_under_its_reason() {
    on_link(|rig| {
        rig.open();
        rig.abort();
        assert_eq!(rig.engine.tcp.counters().closed(CloseReason::Aborted), 1);
        assert_eq!(rig.engine.tcp.counters().reset_sent(ResetReason::Aborted), 1);
        rig.dial();
        rig.close();
        assert_eq!(rig.engine.tcp.counters().closed(CloseReason::ClosedBeforeOpen), 1);
        assert_eq!(rig.engine.tcp.in_use(), (0, 0, 0));
    });
    on_engine(|engine, family| {
        let from = client(family, 0);
        let remote = (from, us(family));
        let local = SocketAddr::new(us(family).ip(), 80);
        let handle = engine.tcp.connect(engine.now, local, from, Some(LinkAddr::default()), small_stream()).unwrap();
        engine.drain();
        let ack = engine.only().end();
        let _ = tell(engine, from, RST | ACK, 0, ack);
        assert_eq!(engine.events, [Event::Closed(handle, CloseReason::Refused)]);
        assert_eq!(engine.tcp.counters().closed(CloseReason::Refused), 1);
        assert_eq!(engine.tcp.state_of(remote.1, remote.0), State::Closed);
    });
}

/// One byte is enough to be told of, and to be lost.
#[test]
fn a_single_byte_counts() {
    on_link(|rig| {
        rig.enter();
        let _ = rig.say(ACK, 1);
        rig.engine.events.clear();
        rig.accept();
        let handle = rig.handle.unwrap();
        assert_eq!(rig.engine.events, [Event::Readable(handle)]);
        rig.close();
        let sent = rig.engine.only();
        assert_eq!((sent.flags & RST, sent.reason), (RST, Some(ResetReason::UnreadData)));
    });
}

/// A window is brought up to date by a segment at the number of the one before, wherever the circle begins.
#[test]
fn a_window_update_counts_wherever_numbers_begin() {
    for seed in 1..32 {
        over_each(|family| {
            let mut store = Box::new(Store::new());
            let engine = Engine::with(&mut *store, quick_config(), key(seed), START);
            let mut rig = Rig::new(engine, family, PEER_ISN);
            rig.open();
            rig.peer_offers(500);
            assert_eq!(rig.status().unwrap().snd_wnd, 500);
            rig.peer_offers(700);
            assert_eq!(rig.status().unwrap().snd_wnd, 700);
        });
    }
}

#[test]
fn a_shutdown_during_the_handshake_takes_effect_after_it() {
    on_link(|rig| {
        rig.cross();
        assert_eq!(rig.status().unwrap().snd_wnd, rig.peer_wnd, "the SYN's window is known");
        rig.shutdown();
        assert_eq!((rig.engine.sent.len(), rig.state()), (0, State::SynReceived));
        let _ = rig.say(SYN | ACK, 0);
        let fins = rig.engine.sent.iter().filter(|sent| sent.flags & FIN != 0).count();
        assert_eq!((fins, rig.state()), (1, State::FinWait1));
    });
}

#[test]
fn nobody_listens_on_port_0() {
    on_engine(|engine, family| {
        let at = SocketAddr::new(us(family).ip(), 0);
        assert_eq!(engine.tcp.listen(at, listener(1, 1)), Err(tcp_reset_core::Error::InvalidAddress));
        let at = SocketAddr::new(family.everybody_here(), 80);
        let refused = engine.tcp.listen(at, listener(1, 1)).is_err();
        assert!(refused || family == Family::V4, "only IPv4 cannot tell a network's broadcast address by itself");
    });
}

/// An RST at the last acknowledgment sent, while that of a single byte is held back.
#[test]
fn the_policy_of_the_last_acknowledgment_counts_a_single_byte() {
    over_each(|family| {
        let rst_policy = tcp_reset_core::RstPolicy { at_last_ack_sent: true, before_fin: false };
        let config = tcp_reset_core::Config { rst_policy, delayed_ack: Duration::from_millis(40), ..quick_config() };
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::new(&mut *store, config), family, PEER_ISN);
        rig.open();
        // What comes first and is not pushed is acknowledged at once.
        let _ = rig.say(ACK, 1);
        let first = rig.model.rcv_nxt;
        let _ = rig.say(ACK, 1);
        assert_eq!(rig.engine.sent, [], "held back");
        let rst = Seg::new(RST, first, 0, 0, 0);
        assert_eq!(rig.inject(&rst).rule, Rule::RstAtLastAckSent);
    });
}
