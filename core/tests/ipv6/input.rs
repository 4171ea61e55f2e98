//! What an input of the fuzz target means: a row of steps, each of them a wish of the application, a frame, and time that passes.
//!
//! | bytes | mean |
//! |---|---|
//! | 1 | low three bits: the wish; the others: 2^n-1 ms pass afterwards, at most 2^17 |
//! | 2 | the frame's length, the high byte first; 0: none |
//! | as many | the frame; the input's end cuts it short |
#![allow(dead_code, reason = "the fuzz target needs a part of it")]

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::link::{Medium, Received};
use tcp_reset_core::{ChecksumBy, StreamOptions};

use crate::packet::{Mac, Outgoing};
use crate::scene::{self, Conn, ETHERNET, MS, OURS, OURS_LINK, OURS_V4, PEER, PEER_V4, SECOND, Scene, Store};

/// What an application can want, in the order of their numbers.
pub const NOTHING: u8 = 0;
pub const SEND: u8 = 1;
pub const RECEIVE: u8 = 2;
pub const SHUTDOWN: u8 = 3;
pub const CONNECT: u8 = 4;
pub const CONNECT_FAR: u8 = 5;
pub const ACCEPT: u8 = 6;
pub const CLOSE: u8 = 7;

const MOST_WAIT: u32 = 17;
/// The port that the peers of both connections speak from.
pub const PEER_PORT: u16 = 5_000;
/// How much each connection has in flight at the beginning.
pub const IN_FLIGHT: usize = 100;

/// One step, as bytes.
pub fn step(wish: u8, frame: &[u8]) -> Vec<u8> {
    [&[wish][..], &(frame.len() as u16).to_be_bytes(), frame].concat()
}

/// The scene as every input finds it: a listener, and a connection of either family with text in flight.
pub fn begin(store: &mut Store, checksum: ChecksumBy) -> (Scene<'_>, [Conn; 2]) {
    let mut scene = Scene::with(store, ETHERNET, checksum);
    let conns = [scene.established(PEER.into(), PEER_PORT), scene.established(PEER_V4.into(), PEER_PORT)];
    for conn in &conns {
        let now = scene.at();
        let queued = scene.link.tcp().send(now, conn.handle, &[7; IN_FLIGHT]);
        assert_eq!(queued, Ok(IN_FLIGHT));
    }
    let _ = scene.pump();
    (scene, conns)
}

/// Does what the application wants; that it cannot be done is no fault.
fn wish(scene: &mut Scene<'_>, what: u8) {
    let now = scene.at();
    let held: Vec<_> = scene.link.tcp_ref().connections().map(|(handle, _)| handle).collect();
    match what {
        CONNECT | CONNECT_FAR => {
            let remote = if what == CONNECT { PEER } else { scene::FAR };
            let _ = scene.link.connect(now, 0, SocketAddr::new(remote.into(), 7), StreamOptions::default());
        }
        ACCEPT => drop(scene.link.tcp().accept(now, scene.listener)),
        _ => {}
    }
    for handle in held {
        match what {
            SEND => drop(scene.link.tcp().send(now, handle, &[8; 700])),
            RECEIVE => drop(scene.link.tcp().recv(now, handle, &mut [0; 300])),
            CLOSE => drop(scene.link.tcp().close(now, handle)),
            SHUTDOWN => drop(scene.link.tcp().shutdown(now, handle)),
            _ => {}
        }
    }
}

/// Plays one step from the front of the input; gives what became of its frame, if there was one, and what went out.
pub fn play_step(scene: &mut Scene<'_>, input: &mut &[u8]) -> (Option<Received>, Vec<Outgoing>) {
    let [op, rest @ ..] = *input else { return (None, Vec::new()) };
    let (len, rest) = match rest {
        [high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])).min(rest.len()), rest),
        _ => (0, &[][..]),
    };
    let (frame, rest) = rest.split_at(len);
    *input = rest;
    wish(scene, op & 7);
    let mut out = scene.pump();
    let received = (len > 0).then(|| scene.handle(frame));
    out.extend(scene.pump());
    let wait = u32::from(op >> 3).min(MOST_WAIT);
    if wait > 0 {
        out.extend(scene.run(((1 << wait) - 1) * MS));
    }
    out.iter().for_each(check);
    (received, out)
}

/// What is true of everything that goes out, beside being well formed.
pub fn check(outgoing: &Outgoing) {
    match outgoing {
        Outgoing::Segment(sent) => {
            let is_ours = |addr| [IpAddr::from(OURS), OURS_LINK.into(), OURS_V4.into()].contains(&addr);
            assert!(is_ours(sent.src) && !is_ours(sent.dst), "{sent:?}");
            assert!(!sent.dst.is_multicast() && !sent.dst.is_unspecified() && !sent.dst.is_loopback(), "{sent:?}");
            assert!(sent.to.is_none_or(is_station), "{sent:?}");
            assert!(sent.seg.sport != 0 && sent.seg.dport != 0, "{sent:?}");
        }
        Outgoing::Question(question) => {
            assert!(question.src == OURS || question.src == OURS_LINK, "{question:?}");
            assert_eq!(question.dst, crate::packet::solicited_node(question.target));
            assert_eq!(question.to, crate::packet::group_mac(question.dst));
        }
        Outgoing::ArpQuestion(target) => assert!(!target.is_multicast() && !target.is_unspecified()),
    }
}

fn is_station(mac: Mac) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

/// Plays a whole input, and what follows when nobody speaks any more: records of handshakes and of finished connections do not stay.
pub fn play(store: &mut Store, checksum: ChecksumBy, mut input: &[u8]) {
    let (mut scene, _) = begin(store, checksum);
    assert_ne!(scene.medium, Medium::Ip);
    while !input.is_empty() {
        let _ = play_step(&mut scene, &mut input);
    }
    let now = scene.at();
    scene.link.tcp().abort_all(now);
    scene.run(130 * SECOND).iter().for_each(check);
    let (_, half_open, time_wait) = scene.link.tcp_ref().in_use();
    assert_eq!((half_open, time_wait), (0, 0), "records that stay");
}
