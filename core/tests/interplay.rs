//! Over each family: what several segments, timers, calls and neighbours do together: stories no single segment shows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use support::family::{self, ETHERNET_HEADER, Family, Mac, answer, ethernet, ip_packet, over_each, read_question};
use support::rig::{
    self, LargeStore, Link, PEER_ISN, Raw, START, Store, World, peer, quick_config, small_listener, small_stream, us,
};
use support::table::{ACK, FIN, RST, SYN, Seg};
use tcp_reset_core::link::{Interface, Link as Frames, LinkOutput, Medium};
use tcp_reset_core::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
fn on(test: impl Fn(&mut Link<'_>)) {
    on_with(quick_config(), test);
}
fn on_with(config: Config, test: impl Fn(&mut Link<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Link::new(World::new(&mut *store, config), family, PEER_ISN));
    });
}

#[test]
fn a_new_engine_forgets_the_handshakes_of_the_old_one() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        {
            let mut l = Link::new(World::new(&mut *store, quick_config()), family, PEER_ISN);
            l.knock();
            assert_eq!(l.world.tcp.in_use().1, 1);
        }
        let mut w = World::new(&mut *store, quick_config());
        let h = w.tcp.listen(us(family), small_listener()).unwrap();
        assert_eq!(w.tcp.in_use(), (0, 0, 0));
        w.tcp.unlisten(w.now, h).unwrap();
        w.drain();
        assert_eq!(w.sent, []);
        assert_eq!(w.tcp.in_use(), (0, 0, 0));
    });
}

#[test]
fn duplicate_acknowledgements_do_not_put_off_r2() {
    on(|l| {
        l.open();
        l.send(10);
        let una = l.model.snd_una;
        for _ in 0..1200 {
            // 10 minutes
            l.world.wait(ms(500));
            let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una, 0, 1000));
        }
        assert!(l.world.events.iter().any(|e| matches!(e, Event::Closed(..))), "{:?}", l.world.events);
    });
}

#[test]
fn answered_window_probes_do_not_stall() {
    on(|l| {
        l.open();
        l.peer_offers(0);
        l.send(10);
        for _ in 0..6 {
            l.wait_for_probe();
            let una = l.model.snd_una;
            let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una, 0, 0));
        }
        assert!(!l.world.events.iter().any(|e| matches!(e, Event::Stalled(..))), "{:?}", l.world.events);
    });
}

#[test]
fn the_orphan_time_begins_at_the_close() {
    on(|l| {
        l.open();
        l.peer_offers(0);
        l.send(10);
        let end = l.world.now + Duration::from_secs(200);
        while l.world.now < end {
            l.wait_for_probe();
            let una = l.model.snd_una;
            let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una, 0, 0));
        }
        // just before the next probe
        let (at, _) = l.world.deadline.unwrap();
        let d = at.duration_since(l.world.now) - ms(10);
        l.world.wait(d);
        l.close();
        l.world.wait(ms(100));
        assert!(
            !l.world.events.iter().any(|e| matches!(e, Event::Closed(..))),
            "ended 10 ms after close: {:?}",
            l.world.events
        );
    });
}

#[test]
fn a_crossing_syn_does_not_rebind_the_next_hop() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut tcp = Tcp::new(&mut *store, quick_config(), rig::key(1)).unwrap();
        let (us, peer) = (us(family), peer(family));
        let good = Hop([2, 0, 0, 0, 0, 9]);
        let evil = Hop([2, 6, 6, 6, 6, 6]);
        tcp.connect(START, us, peer, Some(good), small_stream()).unwrap();
        let mut buf = [0; 2048];
        if let Output::Transmit(t) = tcp.poll_output(START) {
            t.emit(&mut buf).unwrap();
        }
        let arrival = Arrival { src: peer.ip(), dst: us.ip(), hop: evil };
        let _ = tcp.handle_segment(
            START,
            &arrival,
            &Raw { seq: 0x12345, flags: SYN, wnd: 1, ..Raw::default() }.bytes(peer, us),
        );
        loop {
            match tcp.poll_output(START) {
                Output::Transmit(t) => {
                    assert_eq!(t.hop(), Some(good));
                    t.emit(&mut buf).unwrap();
                }
                Output::Timeout(_) => break,
                _ => {}
            }
        }
    });
}

const MAC: Mac = [2, 0, 0, 0, 0, 1];
/// The peer's.
const ITS_MAC: Mac = [2, 0, 0, 0, 0, 9];

/// Our one address.
fn ours(family: Family) -> [Interface; 1] {
    [Interface { addr: us(family).ip(), prefix: family.prefix() }]
}
fn router(family: Family) -> Option<IpAddr> {
    Some(family.host(254))
}
fn frames_with(test: impl Fn(&mut Frames<'_>, Family)) {
    over_each(|family| {
        let mut store = Box::new(LargeStore::new());
        let mut tcp =
            Tcp::new(&mut *store, Config { delayed_ack: Duration::ZERO, ..Config::default() }, rig::key(1)).unwrap();
        tcp.listen(SocketAddr::new(family.unspecified(), 80), small_listener()).unwrap();
        let mut frames = Frames::new(tcp, Medium::Ethernet(Hop(MAC)), ChecksumBy::Software);
        frames.set_addresses(&ours(family), router(family)).unwrap();
        test(&mut frames, family);
    });
}
fn tcp_frame(from: Mac, src: SocketAddr, dst: SocketAddr, raw: Raw<'_>) -> Vec<u8> {
    ethernet(MAC, from, &ip_packet(src.ip(), dst.ip(), &raw.bytes(src, dst)))
}
/// The peer tells its Ethernet address.
fn peer_answers(family: Family) -> Vec<u8> {
    answer((ITS_MAC, peer(family).ip()), (MAC, us(family).ip()))
}
type Drained = (Vec<Vec<u8>>, Vec<Event>, Option<(Instant, Timer)>);

fn drain(f: &mut Frames<'_>, now: Instant) -> Drained {
    let (mut out, mut ev) = (vec![], vec![]);
    for _ in 0..1000 {
        match f.poll_output(now) {
            LinkOutput::Transmit(t) => {
                let mut b = vec![0xAA; t.len()];
                t.emit(&mut b).unwrap();
                out.push(b);
            }
            LinkOutput::Event(e) => ev.push(e),
            LinkOutput::Timeout(t) => return (out, ev, t),
        }
    }
    panic!("endless");
}
fn is_question(f: &[u8]) -> bool {
    read_question(f).is_some()
}
/// The segment in a frame.
fn segment_in(f: &[u8]) -> &[u8] {
    family::read_ip(&f[ETHERNET_HEADER..]).2
}
fn seq_of(f: &[u8]) -> u32 {
    u32::from_be_bytes(segment_in(f)[4..8].try_into().unwrap())
}
fn flags_of(f: &[u8]) -> u8 {
    segment_in(f)[13]
}

#[test]
fn a_frame_from_a_group_address_is_not_answered() {
    frames_with(|f, family| {
        let fr = tcp_frame([0xff; 6], peer(family), us(family), Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() });
        let _ = f.handle_frame(START, &fr);
        let (out, ..) = drain(f, START);
        assert!(out.iter().all(|o| o[0] & 1 == 0), "reply broadcast: {:x?}", &out[0][..6]);
    });
}

/// ESTABLISHED through frames.
fn establish(f: &mut Frames<'_>, family: Family, now: Instant) -> (ConnectionHandle, u32) {
    let h = f.connect(now, 5000, peer(family), small_stream()).unwrap();
    let (out, ..) = drain(f, now);
    assert!(is_question(&out[0]));
    let _ = f.handle_frame(now, &peer_answers(family));
    let (out, ..) = drain(f, now);
    let iss = seq_of(&out[0]);
    let us = SocketAddr::new(us(family).ip(), 5000);
    let ack = iss.wrapping_add(1);
    let syn_ack = Raw { seq: 100, ack, flags: SYN | ACK, wnd: 1000, ..Raw::default() };
    let _ = f.handle_frame(now, &tcp_frame(ITS_MAC, peer(family), us, syn_ack));
    let _ = drain(f, now);
    (h, iss)
}

#[test]
fn after_r1_the_neighbour_is_asked_for_anew() {
    frames_with(|f, family| {
        let (h, _) = establish(f, family, START);
        f.tcp().send(START, h, b"hello").unwrap();
        let (_, _, mut due) = drain(f, START);
        let (mut arps, mut dests, mut stalled) = (0, vec![], 0);
        for _ in 0..100 {
            let Some((at, _)) = due else { break };
            f.handle_timeout(at);
            let (out, ev, d) = drain(f, at);
            for o in out {
                if is_question(&o) { arps += 1 } else { dests.push((at.duration_since(START).as_secs(), o[5])) }
            }
            stalled += ev.iter().filter(|e| matches!(e, Event::Stalled(_))).count();
            due = d;
        }
        assert!(arps > 0, "R1 told {stalled} times, neighbour never asked again");
    });
}

#[test]
fn without_an_address_nobody_is_asked_for() {
    frames_with(|f, family| {
        f.connect(START, 5000, peer(family), small_stream()).unwrap();
        f.set_addresses(&[], router(family)).unwrap();
        let (out, ..) = drain(f, START);
        for o in &out {
            eprintln!("{o:x?}");
        }
        assert!(out.iter().all(|o| !o.windows(4).any(|w| w == [0xAA; 4])), "octets of the buffer go out");
    });
}

#[test]
fn a_connect_without_route_waits_for_one() {
    frames_with(|f, family| {
        let far = SocketAddr::new(family.far(), 80);
        f.connect(START, 5000, far, small_stream()).unwrap();
        let (_, _, mut due) = drain(f, START);
        let run = |f: &mut Frames<'_>,
                   due: &mut Option<(Instant, Timer)>,
                   until: Instant,
                   log: &mut Vec<(u64, bool, [u8; 6])>| {
            while let Some((at, _)) = *due {
                if at > until {
                    break;
                }
                f.handle_timeout(at);
                let (out, _, d) = drain(f, at);
                for o in out {
                    log.push((at.duration_since(START).as_secs(), is_question(&o), o[..6].try_into().unwrap()));
                }
                *due = d;
            }
        };
        let mut log = vec![];
        run(f, &mut due, START + Duration::from_secs(10), &mut log);
        let t = START + Duration::from_secs(10);
        f.set_addresses(&ours(family), None).unwrap(); // lease gone
        let (out, ..) = drain(f, t);
        for o in out {
            log.push((10, is_question(&o), o[..6].try_into().unwrap()));
        }
        let t2 = START + Duration::from_secs(11);
        f.set_addresses(&ours(family), router(family)).unwrap(); // and back
        let (_, _, d) = drain(f, t2);
        let mut due = d;
        log.clear();
        run(f, &mut due, START + Duration::from_secs(600), &mut log);
        assert!(log.iter().any(|(_, arp, _)| *arp), "router never asked for again");
    });
}

#[test]
fn a_segment_that_waits_for_its_neighbour_leaves_when_the_peer_speaks() {
    frames_with(|f, family| {
        let (h, iss) = establish(f, family, START);
        let us = SocketAddr::new(us(family).ip(), 5000);
        // forget the neighbour's cache entry by age
        let now = START + Duration::from_secs(70);
        f.tcp().send(now, h, b"hello").unwrap();
        let (_, _, mut due) = drain(f, now);
        let mut at = now;
        for _ in 0..20 {
            let Some((t, _)) = due else { break };
            f.handle_timeout(t);
            at = t;
            let (out, _, d) = drain(f, t);
            due = d;
            if out.iter().any(|o| is_question(o)) {
                break;
            }
        }
        // The peer speaks: text, and acknowledges ours.
        let t = at + ms(10);
        let _ = f.handle_frame(
            t,
            &tcp_frame(
                ITS_MAC,
                peer(family),
                us,
                Raw { seq: 101, ack: iss.wrapping_add(6), flags: ACK, wnd: 1000, text: b"world", ..Raw::default() },
            ),
        );
        let (out, ..) = drain(f, t);
        assert!(out.iter().any(|o| !is_question(o) && flags_of(o) & ACK != 0), "no ACK goes out: {out:x?}");
    });
}

#[test]
fn time_spent_on_arp_is_no_retransmission() {
    frames_with(|f, family| {
        f.connect(START, 5000, peer(family), small_stream()).unwrap();
        let (_, _, mut due) = drain(f, START);
        let mut stalled = 0;
        while let Some((at, _)) = due {
            if at > START + Duration::from_secs(32) {
                break;
            }
            f.handle_timeout(at);
            let (_, ev, d) = drain(f, at);
            due = d;
            stalled += ev.iter().filter(|e| matches!(e, Event::Stalled(_))).count();
        }
        let t = START + Duration::from_secs(32);
        let _ = f.handle_frame(t, &peer_answers(family));
        let (out, _, due) = drain(f, t);
        assert_eq!(out.len(), 1);
        let retr = f.tcp_ref().counters().retransmissions;
        let (at, why) = due.unwrap();
        eprintln!(
            "stalled before any SYN: {stalled}; counted as again: {retr}; second SYN after {:?} {why:?}",
            at.duration_since(t)
        );
        assert!(at.duration_since(t) <= Duration::from_secs(3));
    });
}

#[test]
fn a_listener_handle_stays_stale() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut tcp = Tcp::new(&mut *store, quick_config(), rig::key(1)).unwrap();
        let old = tcp.listen(us(family), small_listener()).unwrap();
        tcp.unlisten(START, old).unwrap();
        for _ in 0..255 {
            let h = tcp.listen(us(family), small_listener()).unwrap();
            tcp.unlisten(START, h).unwrap();
        }
        let _new = tcp.listen(SocketAddr::new(us(family).ip(), 443), small_listener()).unwrap();
        assert_eq!(tcp.unlisten(START, old), Err(Error::StaleHandle));
    });
}

#[test]
fn connecting_to_everybody_is_refused() {
    frames_with(|f, family| {
        for all in family.nobodies().into_iter().chain([family.everybody_here()]) {
            let r = f.connect(START, 5000, SocketAddr::new(all, 80), small_stream());
            assert_eq!(r.err(), Some(Error::InvalidAddress), "{all}");
        }
    });
}

#[test]
fn connecting_to_an_address_of_ours_is_refused() {
    frames_with(|f, family| {
        let also = Interface { addr: family.host(7), prefix: family.prefix() };
        f.set_addresses(&[ours(family)[0], also], None).unwrap();
        for addr in [us(family).ip(), also.addr] {
            let r = f.connect(START, 5000, SocketAddr::new(addr, 80), small_stream());
            assert_eq!(r.err(), Some(Error::InvalidAddress));
        }
    });
}

#[test]
fn duplicate_acknowledgements_do_not_hold_a_closed_connection() {
    on(|l| {
        l.open();
        l.send(10);
        l.close();
        for _ in 0..3600 {
            // 1 hour
            l.world.wait(ms(1000));
            let s = Seg::new(ACK, l.model.rcv_nxt, l.model.iss.wrapping_add(1), 0, 1000);
            let _ = l.inject(&s);
        }
        assert_eq!(l.world.tcp.in_use().0, 0);
    });
}

#[test]
fn a_toggling_window_does_not_hold_a_closed_connection() {
    on(|l| {
        l.open();
        l.send(10);
        l.close();
        for i in 0..720u32 {
            // 1 hour
            l.world.wait(ms(5000));
            let wnd = if i % 2 == 0 { 0 } else { 1000 };
            let s = Seg::new(ACK, l.model.rcv_nxt, l.model.iss.wrapping_add(1), 0, wnd);
            let _ = l.inject(&s);
        }
        assert_eq!(l.world.tcp.in_use().0, 0);
    });
}

/// Release builds: a segment from a peer never returns.
#[test]
fn a_new_engine_over_used_storage_takes_many_syns() {
    over_each(|family| {
        let mut store = Box::new(Storage::<1, 1, 1, 1, 256>::new());
        {
            let mut l = Link::new(World::new(&mut *store, quick_config()), family, PEER_ISN);
            l.knock();
        }
        let mut w = World::new(&mut *store, quick_config());
        let h = w.tcp.listen(us(family), small_listener()).unwrap();
        w.tcp.unlisten(w.now, h).unwrap();
        w.drain();
        let _ = w.tcp.listen(us(family), small_listener()).unwrap();
        let (tx, rx) = std::sync::mpsc::channel();
        for port in 1..4u16 {
            let src = SocketAddr::new(peer(family).ip(), port);
            let _ = w.arrive(src, us(family), &Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() });
        }
        let _ = tx.send(());
        let _ = rx;
    });
}

#[test]
fn the_longest_handshake_expires() {
    on_with(Config { syn_received_timeout: MAX_SYN_RECEIVED, ..quick_config() }, |l| {
        l.knock();
        l.world.wait(Duration::from_secs(86_400 * 60));
        assert_eq!(l.world.tcp.in_use().1, 0);
    });
    let beyond = Config { syn_received_timeout: MAX_SYN_RECEIVED + Duration::from_millis(1), ..quick_config() };
    let refused = Tcp::new(&mut *Box::new(Store::new()), beyond, rig::key(1)).map(drop);
    assert_eq!(refused, Err(InvalidSetting(Setting::SynReceivedTimeout)));
}

#[test]
fn nothing_is_taken_from_behind_a_held_fin() {
    on(|l| {
        l.open();
        let m = l.model;
        let _ = l.inject(&Seg::new(FIN | ACK, m.rcv_nxt.wrapping_add(10), m.snd_nxt, 0, 1000));
        let _ = l.inject(&Seg::new(ACK, m.rcv_nxt, m.snd_nxt, 20, 1000));
        let acked = l.world.sent.last().unwrap().ack.wrapping_sub(m.rcv_nxt);
        assert_eq!(acked, 11, "the FIN is the number after the tenth octet");
    });
}

#[test]
fn an_rst_does_not_wait_for_a_neighbour() {
    frames_with(|f, family| {
        let (h, _) = establish(f, family, START);
        let now = START + Duration::from_secs(70);
        f.tcp().send(now, h, b"hello").unwrap();
        let (_, _, mut due) = drain(f, now);
        let mut at = now;
        for _ in 0..20 {
            let Some((t, _)) = due else { break };
            f.handle_timeout(t);
            at = t;
            let (out, _, d) = drain(f, t);
            due = d;
            if out.iter().any(|o| is_question(o)) {
                break;
            }
        }
        f.tcp().abort(at, h).unwrap();
        let (out, ..) = drain(f, at);
        assert!(out.iter().any(|o| !is_question(o) && flags_of(o) & RST != 0));
    });
}

/// The RST that clears the way for our SYN leaves before it, whatever left last, and also where a caller polls only while there is something.
#[test]
fn a_reset_from_syn_sent_goes_before_the_syn() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut l = Link::new(World::new(&mut *store, quick_config()), family, PEER_ISN);
        l.dial();
        let mut buffer = [0; 2_048];
        let mut flags_of_answers = |src: SocketAddr, dst: SocketAddr, raw: Raw<'_>| {
            let arrival = Arrival { src: src.ip(), dst: dst.ip(), hop: Hop::default() };
            let _ = l.world.tcp.handle_segment(l.world.now, &arrival, &raw.bytes(src, dst));
            let mut flags = Vec::new();
            while l.world.tcp.has_output() {
                if let Output::Transmit(transmit) = l.world.tcp.poll_output(l.world.now) {
                    transmit.emit(&mut buffer).unwrap();
                    flags.push(buffer[13]);
                }
            }
            flags
        };
        let stranger = SocketAddr::new(l.peer.ip(), 999);
        let elsewhere = SocketAddr::new(l.us.ip(), 81);
        let refused = flags_of_answers(stranger, elsewhere, Raw { seq: 5, flags: SYN, ..Raw::default() });
        assert_eq!(refused, [RST | ACK], "a reply has left last");
        let challenge = Raw { seq: 9, ack: 77, flags: ACK, wnd: 100, ..Raw::default() };
        assert_eq!(flags_of_answers(l.peer, l.us, challenge), [RST, SYN]);
    });
}
