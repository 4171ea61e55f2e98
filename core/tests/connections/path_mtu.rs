//! What a router says about the path (RFC 1191).

use std::net::IpAddr;

use tcp_reset_core::link::{Link, Medium, Received};
use tcp_reset_core::{Config, ConnectionHandle, Instant, MIN_PATH_MTU_IPV4};

use crate::sharing::of_size;
use crate::support::family::Family;
use crate::support::packet::{checksum, ip_packet};
use crate::support::rig;
use crate::support::rig::frames::{drain, interface, link};
use crate::support::rig::{LargeStore, PEER_ISN, Raw, START};
use crate::support::table::{ACK, SYN};

/// A router's "fragmentation needed" (RFC 1191) about an IPv4 packet of ours.
pub(crate) fn too_big(about: &[u8], mtu: u16, us: IpAddr) -> Vec<u8> {
    let mut icmp = vec![3, 4, 0, 0, 0, 0, (mtu >> 8) as u8, mtu as u8];
    icmp.extend(&about[..28]);
    let sum = checksum(&[&icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let IpAddr::V4(us) = us else { panic!("IPv4") };
    let mut packet = vec![0x45, 0, 0, (20 + icmp.len()) as u8, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 9];
    packet.extend(us.octets());
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(icmp);
    packet
}

struct Path<'s> {
    frames: Link<'s>,
    now: Instant,
    handle: ConnectionHandle,
    iss: u32,
}

impl<'s> Path<'s> {
    /// A connection over plain IPv4 whose peer takes 1,460 bytes in a segment.
    fn open(store: &'s mut LargeStore) -> Path<'s> {
        let (us, peer) = (rig::us(Family::V4), rig::peer(Family::V4));
        let mut frames = link(store, Config::default(), Medium::Ip, &[interface(Family::V4, 1)], None);
        let handle = frames.connect(START, 80, peer, of_size(8_192)).unwrap();
        let mut path = Path { frames, now: START, handle, iss: 0 };
        let syn = path.drain().remove(0);
        path.iss = u32::from_be_bytes([syn[24], syn[25], syn[26], syn[27]]);
        let raw = Raw {
            seq: PEER_ISN,
            ack: path.iss.wrapping_add(1),
            flags: SYN | ACK,
            wnd: 60_000,
            options: &[2, 4, 5, 180],
            ..Raw::default()
        };
        let _ = path.frames.handle_frame(START, &ip_packet(peer.ip(), us.ip(), &raw.bytes(peer, us)));
        path.drain();
        path
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let drained = drain(&mut self.frames, self.now);
        assert_eq!(self.frames.audit(), Ok(()));
        drained.frames
    }

    fn send(&mut self, len: usize) -> Vec<Vec<u8>> {
        let now = self.now;
        self.frames.tcp().send(now, self.handle, &vec![7; len]).unwrap();
        self.drain()
    }

    fn mss(&self) -> u16 {
        self.frames.tcp_ref().status(self.handle).unwrap().mss
    }
}

#[test]
fn path_of_1400_bytes_is_no_black_hole() {
    let mut store = Box::new(LargeStore::new());
    let mut path = Path::open(&mut store);
    let frames = path.send(4_380);
    assert!(frames.iter().all(|frame| frame.len() == 1_500 && frame[6] & 0x40 != 0), "full segments, DF set");
    let us = rig::us(Family::V4).ip();
    assert_eq!(path.frames.handle_frame(path.now, &too_big(&frames[0], 1_400, us)), Received::Observed);
    let again = path.drain();
    assert_eq!(path.mss(), 1_360);
    assert_eq!(again.len(), 1, "what was too big is sent again, without a burst");
    assert_eq!((again[0].len(), &again[0][24..28]), (1_400, &frames[0][24..28]));
    assert_eq!(path.frames.counters().icmp_errors, 1);
}

#[test]
fn path_that_is_too_small_to_be_true_is_not_believed() {
    let mut store = Box::new(LargeStore::new());
    let mut path = Path::open(&mut store);
    let frames = path.send(2_920);
    let us = rig::us(Family::V4).ip();
    let tell = |path: &mut Path<'_>, about: &[u8], mtu| {
        let _ = path.frames.handle_frame(path.now, &too_big(about, mtu, us));
        path.drain();
        path.mss()
    };
    assert_eq!(tell(&mut path, &frames[0], MIN_PATH_MTU_IPV4 - 1), 1_460);
    assert_eq!(tell(&mut path, &frames[0], 9_000), 1_460, "a larger one changes nothing");
    // Not about what is in flight: SEQ one beyond, and of another connection.
    let mut beyond = frames[0].clone();
    beyond[24..28].copy_from_slice(&path.iss.wrapping_add(1 + 2_920).to_be_bytes());
    assert_eq!(tell(&mut path, &beyond, 1_400), 1_460);
    let mut other = frames[0].clone();
    other[22] ^= 1;
    assert_eq!(tell(&mut path, &other, 1_400), 1_460);
    let mut corrupt = too_big(&frames[0], 1_400, us);
    corrupt[22] ^= 1;
    assert_eq!(path.frames.handle_frame(path.now, &corrupt), Received::NotMine);
    assert_eq!(path.mss(), 1_460);
    // A router that does not say how much it carries.
    assert_eq!(tell(&mut path, &frames[0], 0), 536);
    assert_eq!(tell(&mut path, &frames[0], MIN_PATH_MTU_IPV4), MIN_PATH_MTU_IPV4 - 40);
}

/// RFC 1191 §6.4: what a router drops for its size alone begins slow start, but is no sign of congestion.
#[test]
fn smaller_path_lowers_no_threshold() {
    let mut store = Box::new(LargeStore::new());
    let mut path = Path::open(&mut store);
    let frames = path.send(4_380);
    let threshold = |path: &Path<'_>| path.frames.tcp_ref().status(path.handle).unwrap().slow_start_threshold;
    let before = threshold(&path);
    let _ = path.frames.handle_frame(path.now, &too_big(&frames[0], 1_400, rig::us(Family::V4).ip()));
    path.drain();
    assert_eq!(path.mss(), 1_360);
    assert_eq!(threshold(&path), before);
}

/// The news come in the middle of a fast recovery: what was lost, in whatever sizes, is sent again in smaller ones until all has arrived.
#[test]
fn smaller_path_in_a_recovery_loses_nothing() {
    let mut store = Box::new(LargeStore::new());
    let mut path = Path::open(&mut store);
    let frames = path.send(8_192);
    let (us, peer) = (rig::us(Family::V4), rig::peer(Family::V4));
    let begin = path.iss.wrapping_add(1);
    let ack = |path: &mut Path<'_>, n: u32| {
        let raw = Raw { seq: PEER_ISN + 1, ack: begin.wrapping_add(n), flags: ACK, wnd: 60_000, ..Raw::default() };
        let _ = path.frames.handle_frame(path.now, &ip_packet(peer.ip(), us.ip(), &raw.bytes(peer, us)));
        path.drain()
    };
    let again: usize = (0..3).map(|_| ack(&mut path, 0).len()).sum();
    assert_eq!(again, 1);
    let _ = path.frames.handle_frame(path.now, &too_big(&frames[0], 576, us.ip()));
    let (mut acked, mut sent) = (0, path.drain());
    for _ in 0..100 {
        if acked == 8_192 {
            break;
        }
        for frame in &sent {
            assert!(frame.len() <= 576, "{} bytes", frame.len());
            let at = u32::from_be_bytes([frame[24], frame[25], frame[26], frame[27]]).wrapping_sub(begin);
            let end = at + frame.len() as u32 - 40;
            acked = if at <= acked { acked.max(end) } else { acked };
        }
        assert!(!sent.is_empty(), "stuck at {acked}");
        sent = ack(&mut path, acked);
    }
    assert_eq!(acked, 8_192);
}
