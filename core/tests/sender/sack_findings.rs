//! What RFC 6675 and RFC 5827 ask of the sender in single stories, counted in segments.

use std::time::Duration;

use tcp_reset_core::{Config, StreamOptions};

use crate::support::family::Family;
use crate::support::packet::segment::sack_option;
use crate::support::rig::{Engine, LargeStore, PEER_ISN, Raw, Rig, reno};
use crate::support::table::{ACK, SYN};

const MSS: u32 = 200;
/// What the peer offers, in bytes.
const WINDOW: u32 = 20_000;

/// A connection that we opened, to a peer that takes SACK and offers `wnd`.
fn on_open(wnd: u32, test: impl Fn(&mut Rig<'_>)) {
    let config = Config { mss: Some(MSS as u16), rto_min: Duration::from_secs(1), ..reno() };
    let mut store = Box::new(LargeStore::new());
    let mut rig = Rig::new(Engine::new(&mut *store, config), Family::V4, PEER_ISN);
    rig.dial_with(StreamOptions { tx_buffer: 16_384, nagle: false, ..StreamOptions::default() });
    rig.engine.wait(Duration::from_millis(50));
    let ack = rig.model.snd_nxt;
    let options = [2, 4, 0, MSS as u8, 4, 2, 1, 1];
    let raw = Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: wnd as u16, options: &options, ..Raw::default() };
    let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
    test(&mut rig);
}

fn queue(l: &mut Rig<'_>, segments: u32) -> u32 {
    l.queue(segments * MSS)
}

/// The places of the segments that the last call sent, counted from `first` on.
fn sent(l: &Rig<'_>, first: u32) -> Vec<u32> {
    l.sent_from(first, MSS)
}

/// The peer acknowledges `to` bytes from `first` on, and has these besides.
fn ack_bytes(l: &mut Rig<'_>, first: u32, to: u32, blocks: &[(u32, u32)], wnd: u32) {
    let options = sack_option(first, blocks);
    let (seq, ack) = (PEER_ISN.wrapping_add(1), first.wrapping_add(to));
    let raw = Raw { seq, ack, flags: ACK, wnd: wnd as u16, options: &options, ..Raw::default() };
    let _ = l.engine.arrive(l.peer, l.us, &raw);
}

/// The same in segments.
fn ack(l: &mut Rig<'_>, first: u32, n: u32, blocks: &[(u32, u32)], wnd: u32) {
    let blocks: Vec<_> = blocks.iter().map(|(start, end)| (start * MSS, end * MSS)).collect();
    ack_bytes(l, first, n * MSS, &blocks, wnd);
}

/// RFC 6298 §5: recovery is given the whole timeout, not what was left of the tail probe's time.
#[test]
fn recovery_begins_is_given_the_whole_timeout() {
    on_open(WINDOW, |l| {
        let first = queue(l, 10);
        l.engine.wait(Duration::from_millis(50));
        ack(l, first, 0, &[(1, 4)], WINDOW);
        assert_eq!(sent(l, first), [0]);
        l.engine.wait(Duration::from_millis(900));
        assert_eq!(sent(l, first), [0; 0]);
    });
}

/// However finely a peer cuts what it reports: one segment again, one reduction, and no more beyond what it reported than the congestion window.
#[test]
fn recovery_reports_by_the_byte_send_no_more_than_has_arrived() {
    on_open(WINDOW, |l| {
        let first = queue(l, 80);
        let mut again = 0;
        for n in 1..1_800 {
            ack_bytes(l, first, 0, &[(MSS, MSS + n)], WINDOW);
            let places = sent(l, first);
            again += places.iter().filter(|at| **at == 0).count();
            let status = l.status().unwrap();
            // Limited transmit lets two segments out before recovery begins.
            let most = if again == 0 { 12 * MSS } else { (5 * MSS).max(10 * MSS + 2 * MSS - n) };
            let out_there = status.snd_nxt.0.wrapping_sub(first) - n;
            assert!(out_there <= most, "{out_there} bytes out, at most {most} when {n} have arrived");
        }
        assert_eq!((again, l.status().unwrap().slow_start_threshold), (1, 5 * MSS));
    });
}

/// Reports of what a timeout has cleared count anew, and begin no second recovery (RFC 6675 §5.1, RFC 6582 §4).
#[test]
fn timeout_reports_of_what_was_out_begin_no_recovery() {
    on_open(WINDOW, |l| {
        let first = queue(l, 10);
        let _ = l.engine.next_deadline();
        let _ = l.engine.next_deadline();
        let threshold = l.status().unwrap().slow_start_threshold;
        for end in 3..10 {
            ack(l, first, 0, &[(1, end)], WINDOW);
            assert_eq!(sent(l, first), [0; 0], "one segment is out, and the window is one");
        }
        ack(l, first, 9, &[], WINDOW);
        assert_eq!(sent(l, first), [9]);
        assert_eq!(l.status().unwrap().slow_start_threshold, threshold);
    });
}

/// RFC 2018 §8, RFC 6675 §4, SetPipe: what the peer has discarded after all counts in the pipe again, as much of it as was below what was sent again
/// twice. That is more than the flight and the window together, and nothing new goes.
#[test]
fn recovery_peer_that_discards_what_it_reported_is_sent_nothing_new() {
    on_open(WINDOW, |l| {
        let first = queue(l, 10);
        ack(l, first, 0, &[(1, 8), (9, 10)], WINDOW);
        assert_eq!(sent(l, first), [0, 8]);
        ack(l, first, 1, &[], WINDOW);
        let _ = queue(l, 40);
        assert_eq!(sent(l, first), [0; 0]);
    });
}

/// RFC 5827 §3.1: with SACK all but one segment's worth of what is out must have arrived. Of eight short segments one came first, by another way.
#[test]
fn early_retransmit_waits_until_all_but_a_segment_has_arrived() {
    on_open(WINDOW, |l| {
        let first = l.queue(50);
        for _ in 1..8 {
            let _ = l.queue(50);
        }
        ack_bytes(l, first, 0, &[(350, 400)], WINDOW);
        assert_eq!(sent(l, first), [0; 0], "50 of 400 bytes have arrived");
        ack_bytes(l, first, 0, &[(200, 400)], WINDOW);
        assert_eq!(sent(l, first), [0], "200 of 400");
    });
}

/// RFC 5827 §3, condition 2.b: where the acknowledgment that tells of what arrived opens the window too, something new is sent.
#[test]
fn early_retransmit_gives_way_to_what_the_same_acknowledgment_lets_go() {
    on_open(2 * MSS, |l| {
        let first = queue(l, 10);
        assert_eq!(sent(l, first), [0, 1]);
        ack(l, first, 0, &[(1, 2)], WINDOW);
        assert_eq!(sent(l, first).first(), Some(&2));
    });
}

/// RFC 6675 §4, NextSeg: what is lost goes before what is new, also where a window that had shrunk held it back.
#[test]
fn recovery_window_opens_sends_what_is_lost_before_what_is_new() {
    on_open(WINDOW, |l| {
        let first = queue(l, 20);
        ack(l, first, 0, &[(3, 10)], MSS);
        assert_eq!(sent(l, first), [0]);
        ack(l, first, 0, &[(3, 10)], WINDOW);
        assert_eq!(sent(l, first)[..2], [1, 2]);
    });
}

/// RFC 9293 §3.8.6: the window of the acknowledgment that arrives is the one that counts, also for what is sent again after a timeout.
#[test]
fn timeout_narrow_window_moves_on_sends_on() {
    on_open(WINDOW, |l| {
        let first = queue(l, 10);
        let _ = l.engine.next_deadline();
        let _ = l.engine.next_deadline();
        ack(l, first, 1, &[], 2 * MSS);
        assert_eq!(sent(l, first), [1, 2]);
        ack(l, first, 2, &[], 2 * MSS);
        assert_eq!(sent(l, first), [3]);
    });
}

/// RFC 6675 §5 step C and §4, NextSeg rule 3: while the window has room the next segment is asked for, and where the last new one has gone that is the hole
/// which is not known to be lost.
#[test]
fn recovery_last_new_segment_is_followed_by_the_hole_that_is_left() {
    on_open(WINDOW, |l| {
        let first = queue(l, 11);
        ack(l, first, 0, &[(1, 8), (9, 10)], WINDOW);
        assert_eq!(sent(l, first), [0, 10, 8]);
    });
}
