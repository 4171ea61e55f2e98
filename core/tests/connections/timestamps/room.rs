//! Payload and options fit what the peer and the path take (RFC 7323 appendix A, RFC 6691).

use tcp_reset_core::link::{Medium, Received};
use tcp_reset_core::{Config, StreamOptions};

use super::{CLOCK, OPTION, echo, echoes, seg, status};
use crate::path_mtu::too_big;
use crate::seconds;
use crate::sharing::of_size;
use crate::support::family::{Family, over_each};
use crate::support::packet::ip_packet;
use crate::support::packet::segment::timestamps_option;
use crate::support::rig::frames::{drain, interface, link};
use crate::support::rig::{Engine, LargeStore, PEER_ISN, Raw, Rig, START, peer, quick_config, us};
use crate::support::table::{ACK, SYN};

/// What the peer of the tests about room takes in a segment.
const PEER_MSS: usize = 200;

/// MSS, SACK-permitted and timestamps.
fn options_of_peer() -> Vec<u8> {
    let [high, low] = (PEER_MSS as u16).to_be_bytes();
    [vec![2, 4, high, low, 4, 2, 1, 1], timestamps_option(CLOCK, 0)].concat()
}

/// A connection to a peer that takes 200 bytes in a segment, has SACK and timestamps, and offers a large window.
fn on_small_segments(stream: StreamOptions, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(LargeStore::new());
        let mut l = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        l.peer_wnd = 20_000;
        let buffers = StreamOptions { rx_buffer: 8_192, tx_buffer: 16_384, nagle: false, ..stream };
        l.dial_with(buffers);
        let (ack, options) = (l.model.snd_nxt, options_of_peer());
        let raw = Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: 20_000, options: &options, ..Raw::default() };
        let _ = l.engine.arrive(l.peer, l.us, &raw);
        l.look();
        l.stamp = Some(CLOCK);
        assert_eq!(usize::from(status(&l).mss), PEER_MSS - OPTION);
        test(&mut l);
    });
}

/// Nothing that the last call sent is larger than the peer takes, its options included.
fn assert_fits(l: &Rig<'_>) {
    for sent in &l.engine.sent {
        assert!(sent.text.is_empty() || sent.text.len() + sent.options.len() <= PEER_MSS, "{sent:?}");
        assert!(echo(sent).is_some(), "{sent:?}");
    }
}

#[test]
fn payload_and_options_fit_the_peers_segments_and_fill_them() {
    on_small_segments(StreamOptions::default(), |l| {
        let _ = l.queue(4_000);
        assert!(l.engine.sent.len() >= 10);
        assert!(l.engine.sent.iter().all(|sent| sent.text.len() + sent.options.len() == PEER_MSS));
        // What is sent again is as large.
        let _ = l.engine.next_deadline();
        assert_fits(l);
        assert_eq!(l.engine.sent[0].text.len(), PEER_MSS - OPTION);
    });
}

#[test]
#[cfg(feature = "sack")]
fn blocks_go_where_payload_and_timestamp_leave_room() {
    on_small_segments(StreamOptions::default(), |l| {
        // Two runs beyond gaps are told by segments of their own, in full.
        for offset in [100, 300, 500, 700] {
            let _ = l.inject(&seg(l, ACK, offset, 50, CLOCK));
            assert_fits(l);
        }
        let blocks = |sent: &crate::support::rig::Sent| sent.options.len().saturating_sub(OPTION + 4) / 8;
        assert_eq!(blocks(l.engine.only()), 3, "RFC 2018 §3: three beside a timestamp");
        let largest = PEER_MSS - OPTION;
        for text in [largest, largest - 11, largest - 12, largest - 19, largest - 20, largest - 28, 1] {
            l.engine.sent.clear();
            let _ = l.queue(text as u32);
            assert_fits(l);
            let sent = l.engine.sent.last().expect("a segment");
            let room = (largest - text).saturating_sub(4) / 8;
            assert_eq!((sent.text.len(), blocks(sent)), (text, room.min(3)));
        }
        for _ in 0..4 {
            let _ = l.engine.next_deadline();
            assert_fits(l);
        }
    });
}

#[test]
fn the_user_timeout_option_has_room_beside_it() {
    let stream = StreamOptions { user_timeout_option: true, r2: seconds(10), ..StreamOptions::default() };
    on_small_segments(stream, |l| {
        // Behind the handshake it is announced by an acknowledgment.
        assert_eq!(l.engine.only().options.len(), OPTION + 4);
        assert_eq!(echoes(l), [CLOCK]);
        let _ = l.queue(4_000);
        assert_fits(l);
        let _ = l.inject(&seg(l, ACK, 300, 50, CLOCK));
        assert_fits(l);
    });
}

#[test]
fn a_path_that_carries_less_carries_the_option_too() {
    let (us, peer) = (us(Family::V4), peer(Family::V4));
    let mut store = Box::new(LargeStore::new());
    let mut frames = link(&mut *store, Config::default(), Medium::Ip, &[interface(Family::V4, 1)], None);
    let handle = frames.connect(START, 80, peer, of_size(8_192)).unwrap();
    let syn = drain(&mut frames, START).frames.remove(0);
    let ack = u32::from_be_bytes([syn[24], syn[25], syn[26], syn[27]]).wrapping_add(1);
    let options = [vec![2, 4, 5, 180], timestamps_option(CLOCK, 0)].concat();
    let raw = Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: 60_000, options: &options, ..Raw::default() };
    let _ = frames.handle_frame(START, &ip_packet(peer.ip(), us.ip(), &raw.bytes(peer, us)));
    let _ = drain(&mut frames, START);
    let _ = frames.tcp().send(START, handle, &[7; 6_000]).unwrap();
    let sent = drain(&mut frames, START).frames;
    assert!(sent.len() >= 4 && sent[..4].iter().all(|frame| frame.len() == 1_500), "full segments");
    assert_eq!(frames.handle_frame(START, &too_big(&sent[0], 1_400, us.ip())), Received::Observed);
    assert_eq!(frames.tcp_ref().status(handle).unwrap().mss, 1_400 - 40 - OPTION as u16);
    let again = drain(&mut frames, START).frames;
    assert_eq!(again[0].len(), 1_400, "full, and no larger than the path carries");
}
