//! Behind frames: link-layer addresses that are unknown, forgotten or not to be believed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tcp_reset_core::link::{Interface, Link, Medium};
use tcp_reset_core::{Config, ConnectionHandle, Error, Event, Instant, LinkAddr, Timer};

use crate::ms;
use crate::support::family::{Family, over_each};
use crate::support::packet;
use crate::support::packet::neighbors::{answer, read_question};
use crate::support::packet::{CONTROLS, ETHERNET_HEADER, Mac, ip_packet, on_ethernet};
use crate::support::rig::frames::{Drained, drain, interface, link};
use crate::support::rig::{LargeStore, Raw, START, peer, small_listener, small_stream, us};
use crate::support::table::{ACK, RST, SYN};

const MAC: Mac = [2, 0, 0, 0, 0, 1];

/// The peer's.
const ITS_MAC: Mac = [2, 0, 0, 0, 0, 9];

/// Our one address.
fn ours(family: Family) -> [Interface; 1] {
    [interface(family, 1)]
}

fn router(family: Family) -> Option<IpAddr> {
    Some(family.host(254))
}

fn frames_with(test: impl Fn(&mut Link<'_>, Family)) {
    over_each(|family| {
        let mut store = Box::new(LargeStore::new());
        let config = Config { delayed_ack: Duration::ZERO, ..Config::default() };
        let mut frames = link(&mut *store, config, Medium::Ethernet(LinkAddr(MAC)), &ours(family), router(family));
        frames.tcp().listen(SocketAddr::new(family.unspecified(), 80), small_listener()).unwrap();
        test(&mut frames, family);
    });
}

fn tcp_frame(from: Mac, src: SocketAddr, dst: SocketAddr, raw: Raw<'_>) -> Vec<u8> {
    on_ethernet(MAC, from, &ip_packet(src.ip(), dst.ip(), &raw.bytes(src, dst)))
}

/// The peer tells its Ethernet address.
fn peer_answers(family: Family) -> Vec<u8> {
    answer((ITS_MAC, peer(family).ip()), (MAC, us(family).ip()))
}

fn is_question(f: &[u8]) -> bool {
    read_question(f).is_some()
}

/// The segment in a frame.
fn segment_in(f: &[u8]) -> &[u8] {
    packet::read_ip(&f[ETHERNET_HEADER..]).2
}

fn seq_of(f: &[u8]) -> u32 {
    u32::from_be_bytes(segment_in(f)[4..8].try_into().unwrap())
}

fn flags_of(f: &[u8]) -> u8 {
    segment_in(f)[13] & CONTROLS
}

#[test]
fn a_frame_from_a_group_address_is_not_answered() {
    frames_with(|f, family| {
        let fr = tcp_frame([0xff; 6], peer(family), us(family), Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() });
        let _ = f.handle_frame(START, &fr);
        let Drained { frames: out, .. } = drain(f, START);
        assert!(out.iter().all(|o| o[0] & 1 == 0), "reply broadcast: {:x?}", &out[0][..6]);
    });
}

/// ESTABLISHED through frames.
fn establish(f: &mut Link<'_>, family: Family, now: Instant) -> (ConnectionHandle, u32) {
    let h = f.connect(now, 5000, peer(family), small_stream()).unwrap();
    let Drained { frames: out, .. } = drain(f, now);
    assert!(is_question(&out[0]));
    let _ = f.handle_frame(now, &peer_answers(family));
    let Drained { frames: out, .. } = drain(f, now);
    let iss = seq_of(&out[0]);
    let us = SocketAddr::new(us(family).ip(), 5000);
    let ack = iss.wrapping_add(1);
    let syn_ack = Raw { seq: 100, ack, flags: SYN | ACK, wnd: 1000, ..Raw::default() };
    let _ = f.handle_frame(now, &tcp_frame(ITS_MAC, peer(family), us, syn_ack));
    let _ = drain(f, now);
    (h, iss)
}

#[test]
fn after_r1_the_neighbor_is_asked_for_anew() {
    frames_with(|f, family| {
        let (h, _) = establish(f, family, START);
        f.tcp().send(START, h, b"hello").unwrap();
        let Drained { deadline: mut due, .. } = drain(f, START);
        let (mut arps, mut dests, mut stalled) = (0, vec![], 0);
        for _ in 0..100 {
            let Some((at, _)) = due else { break };
            f.handle_timeout(at);
            let Drained { frames: out, events: ev, deadline: d } = drain(f, at);
            for o in out {
                if is_question(&o) { arps += 1 } else { dests.push((at.duration_since(START).as_secs(), o[5])) }
            }
            stalled += ev.iter().filter(|e| matches!(e, Event::Stalled(_))).count();
            due = d;
        }
        assert!(arps > 0, "R1 told {stalled} times, neighbor never asked again");
    });
}

#[test]
fn without_an_address_nobody_is_asked_for() {
    frames_with(|f, family| {
        f.connect(START, 5000, peer(family), small_stream()).unwrap();
        f.set_addresses(&[], router(family)).unwrap();
        let Drained { frames: out, .. } = drain(f, START);
        for o in &out {
            eprintln!("{o:x?}");
        }
        assert!(out.iter().all(|o| !o.windows(4).any(|w| w == [0xAA; 4])), "bytes of the buffer go out");
    });
}

#[test]
fn a_connect_without_route_waits_for_one() {
    frames_with(|f, family| {
        let far = SocketAddr::new(family.far(), 80);
        f.connect(START, 5000, far, small_stream()).unwrap();
        let Drained { deadline: mut due, .. } = drain(f, START);
        let run = |f: &mut Link<'_>,
                   due: &mut Option<(Instant, Timer)>,
                   until: Instant,
                   log: &mut Vec<(u64, bool, [u8; 6])>| {
            while let Some((at, _)) = *due {
                if at > until {
                    break;
                }
                f.handle_timeout(at);
                let Drained { frames: out, deadline: d, .. } = drain(f, at);
                assert_eq!(f.audit(), Ok(()));
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
        let Drained { frames: out, .. } = drain(f, t);
        assert_eq!(f.audit(), Ok(()), "it waits for a route");
        for o in out {
            log.push((10, is_question(&o), o[..6].try_into().unwrap()));
        }
        let t2 = START + Duration::from_secs(11);
        f.set_addresses(&ours(family), router(family)).unwrap(); // and back
        let Drained { deadline: d, .. } = drain(f, t2);
        let mut due = d;
        log.clear();
        run(f, &mut due, START + Duration::from_secs(600), &mut log);
        assert!(log.iter().any(|(_, arp, _)| *arp), "router never asked for again");
    });
}

#[test]
fn a_segment_that_waits_for_its_neighbor_leaves_when_the_peer_speaks() {
    frames_with(|f, family| {
        let (h, iss) = establish(f, family, START);
        let us = SocketAddr::new(us(family).ip(), 5000);
        // forget the neighbor's cache entry by age
        let now = START + Duration::from_secs(70);
        f.tcp().send(now, h, b"hello").unwrap();
        let Drained { deadline: mut due, .. } = drain(f, now);
        let mut at = now;
        for _ in 0..20 {
            let Some((t, _)) = due else { break };
            f.handle_timeout(t);
            at = t;
            let Drained { frames: out, deadline: d, .. } = drain(f, t);
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
        let Drained { frames: out, .. } = drain(f, t);
        assert!(out.iter().any(|o| !is_question(o) && flags_of(o) & ACK != 0), "no ACK goes out: {out:x?}");
    });
}

#[test]
fn time_spent_on_arp_is_no_retransmission() {
    frames_with(|f, family| {
        f.connect(START, 5000, peer(family), small_stream()).unwrap();
        let Drained { deadline: mut due, .. } = drain(f, START);
        let mut stalled = 0;
        while let Some((at, _)) = due {
            if at > START + Duration::from_secs(32) {
                break;
            }
            f.handle_timeout(at);
            let Drained { events: ev, deadline: d, .. } = drain(f, at);
            due = d;
            stalled += ev.iter().filter(|e| matches!(e, Event::Stalled(_))).count();
        }
        let t = START + Duration::from_secs(32);
        let _ = f.handle_frame(t, &peer_answers(family));
        let Drained { frames: out, deadline: due, .. } = drain(f, t);
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
        let also = interface(family, 7);
        f.set_addresses(&[ours(family)[0], also], None).unwrap();
        for addr in [us(family).ip(), also.addr] {
            let r = f.connect(START, 5000, SocketAddr::new(addr, 80), small_stream());
            assert_eq!(r.err(), Some(Error::InvalidAddress));
        }
    });
}

#[test]
fn an_rst_does_not_wait_for_a_neighbor() {
    frames_with(|f, family| {
        let (h, _) = establish(f, family, START);
        let now = START + Duration::from_secs(70);
        f.tcp().send(now, h, b"hello").unwrap();
        let Drained { deadline: mut due, .. } = drain(f, now);
        let mut at = now;
        for _ in 0..20 {
            let Some((t, _)) = due else { break };
            f.handle_timeout(t);
            at = t;
            let Drained { frames: out, deadline: d, .. } = drain(f, t);
            due = d;
            if out.iter().any(|o| is_question(o)) {
                break;
            }
        }
        f.tcp().abort(at, h).unwrap();
        let Drained { frames: out, .. } = drain(f, at);
        assert!(out.iter().any(|o| !is_question(o) && flags_of(o) & RST != 0));
    });
}
