//! Over each family: selective acknowledgment, as a peer sees it that loses what it likes (RFC 2018, RFC 2883, RFC 6675).

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use tcp_reset_core::{ChecksumBy, Header, Options, SackBlocks, Segment, Seq, State, Status, StreamOptions, Timer};

use crate::support::packet::segment::{self, Seg as Read};
use crate::support::rig::{NO_THRESHOLD, PEER_ISN, Raw, Rig, stream as bytes};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::transfer::{MSS, config, on_closed, stream};

const WINDOW: u16 = 20_000;
/// MSS 200 and SACK-permitted.
const OPTIONS: &[u8] = &[2, 4, 0, 200, 4, 2, 1, 1];

/// A connection that we opened to a peer with these options.
fn on_open(options: &[u8], test: impl Fn(&mut Rig<'_>)) {
    on_closed(config(), |l| {
        l.peer_wnd = WINDOW.into();
        l.dial_with(StreamOptions { tx_buffer: 16_384, nagle: false, ..stream() });
        l.engine.wait(Duration::from_millis(50));
        let ack = l.engine.tcp.status(l.handle.unwrap()).unwrap().snd_nxt.0;
        let raw = Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: WINDOW, options, ..Raw::default() };
        let _ = l.engine.arrive(l.peer, l.us, &raw);
        assert_eq!(l.state(), State::Established);
        l.model.rcv_nxt = PEER_ISN.wrapping_add(1);
        test(l);
    });
}

fn on_spoken(test: impl Fn(&mut Rig<'_>)) {
    on_open(OPTIONS, test);
}

/// Text of the peer, `at` from its first byte on.
fn say(l: &mut Rig<'_>, at: u32, len: u32) {
    let (seq, ack) = (l.model.rcv_nxt.wrapping_add(at), l.status().unwrap().snd_una.0);
    let text = bytes(seq, len);
    let raw = Raw { seq, ack, flags: ACK, wnd: WINDOW, text: &text, ..Raw::default() };
    let _ = l.engine.arrive(l.peer, l.us, &raw);
}

/// What each segment that the last call sent acknowledges, and its blocks, counted from the peer's first byte.
fn told(l: &Rig<'_>) -> Vec<(u32, Vec<(i32, i32)>)> {
    let from = |n: u32| n.wrapping_sub(l.model.rcv_nxt) as i32;
    let read = |options: &[u8]| Read { options: options.to_vec(), ..Read::default() }.sack();
    let blocks = |options: &[u8]| read(options).into_iter().map(|(start, end)| (from(start), from(end))).collect();
    l.engine.sent.iter().map(|sent| (from(sent.ack) as u32, blocks(&sent.options))).collect()
}

/// The option with these blocks, in segments from `first` on.
fn sack_option(first: u32, blocks: &[(u32, u32)]) -> Vec<u8> {
    let blocks: Vec<_> = blocks.iter().map(|(start, end)| (start * MSS, end * MSS)).collect();
    segment::sack_option(first, &blocks)
}

/// The peer acknowledges `n` segments from `first` on, and has these besides.
fn ack(l: &mut Rig<'_>, first: u32, n: u32, blocks: &[(u32, u32)]) {
    ack_with(l, first, n, &sack_option(first, blocks));
}

fn ack_with(l: &mut Rig<'_>, first: u32, n: u32, options: &[u8]) {
    let ack = first.wrapping_add(n * MSS);
    let raw = Raw { seq: l.model.rcv_nxt, ack, flags: ACK, wnd: WINDOW, options, ..Raw::default() };
    let _ = l.engine.arrive(l.peer, l.us, &raw);
}

/// The places of the segments that the last call sent, counted in segments from `first` on.
fn sent(l: &Rig<'_>, first: u32) -> Vec<u32> {
    l.sent_from(first, MSS)
}

/// Queues so many segments; returns where they begin. Ten go out.
fn queue(l: &mut Rig<'_>, segments: u32) -> u32 {
    l.queue(segments * MSS)
}

#[test]
fn the_option_is_offered_and_accepted_where_it_was_offered() {
    on_closed(config(), |l| {
        l.dial();
        assert_eq!(l.engine.only().options[4..8], [1, 1, 4, 2]);
    });
    for (options, answer) in [(OPTIONS, &[1, 1, 4, 2][..]), (&[2, 4, 0, 200], &[])] {
        on_closed(config(), |l| {
            l.listen(Default::default());
            let syn = Raw { seq: PEER_ISN, flags: SYN, wnd: 1_000, options, ..Raw::default() };
            let _ = l.engine.arrive(l.peer, l.us, &syn);
            assert_eq!(l.engine.only().options[4..], *answer);
            // Again by the timer.
            assert_eq!(l.engine.next_deadline(), Timer::SynReceived);
            assert_eq!(l.engine.only().options[4..], *answer);
        });
    }
}

#[test]
fn syns_that_cross_answer_what_the_peer_offers() {
    for (options, answer) in [(OPTIONS, &[1, 1, 4, 2][..]), (&[2, 4, 0, 200], &[])] {
        on_closed(config(), |l| {
            l.dial();
            let syn = Raw { seq: PEER_ISN, flags: SYN, wnd: 1_000, options, ..Raw::default() };
            let _ = l.engine.arrive(l.peer, l.us, &syn);
            assert_eq!(l.engine.only().options[4..], *answer);
        });
    }
}

#[test]
fn what_came_last_is_told_first_and_the_rest_again() {
    on_spoken(|l| {
        let mut tell = |at, len| {
            say(l, at, len);
            told(l)
        };
        assert_eq!(tell(200, 100), [(0, vec![(200, 300)])]);
        assert_eq!(tell(600, 100), [(0, vec![(600, 700), (200, 300)])]);
        assert_eq!(tell(400, 100), [(0, vec![(400, 500), (600, 700), (200, 300)])]);
        assert_eq!(tell(800, 100), [(0, vec![(800, 900), (400, 500), (600, 700), (200, 300)])]);
        // One run more than are remembered.
        assert_eq!(tell(1_000, 100), [(0, vec![(800, 900), (400, 500), (600, 700), (200, 300)])]);
        assert_eq!(tell(300, 100), [(0, vec![(200, 500), (800, 900), (600, 700)])]);
        // The gap is filled: the first byte on is acknowledged, what is beyond the next gap still told.
        assert_eq!(tell(0, 200), [(500, vec![(800, 900), (600, 700)])]);
        // What filled it had come twice in part (RFC 2883 §4).
        assert_eq!(tell(500, 400), [(900, vec![(600, 700)])]);
    });
}

#[test]
fn what_came_twice_is_told_once() {
    on_spoken(|l| {
        say(l, 0, 400);
        say(l, 600, 200);
        // All before RCV.NXT; a part of it; beyond a gap, with the run that has it behind it.
        say(l, 100, 200);
        assert_eq!(told(l), [(400, vec![(100, 300), (600, 800)])]);
        say(l, 300, 200);
        assert_eq!(told(l), [(500, vec![(300, 400), (600, 800)])]);
        say(l, 650, 50);
        assert_eq!(told(l), [(500, vec![(650, 700), (600, 800)])]);
        say(l, 900, 50);
        assert_eq!(told(l), [(500, vec![(900, 950), (600, 800)])]);
        // Too far off to be anybody's.
        say(l, 500u32.wrapping_sub(70_000), 100);
        assert_eq!(told(l), [(500, vec![(900, 950), (600, 800)])]);
    });
}

#[test]
fn a_peer_without_the_option_is_told_nothing() {
    on_open(&[2, 4, 0, 200], |l| {
        say(l, 200, 100);
        say(l, 200, 100);
        assert_eq!(told(l), [(0, vec![])]);
        let first = queue(l, 20);
        for end in 2..4 {
            ack(l, first, 0, &[(1, end)]);
        }
        ack(l, first, 0, &[(1, 4)]);
        assert_eq!(sent(l, first), [0], "counted as duplicates");
        ack(l, first, 5, &[(6, 9)]);
        assert_eq!(sent(l, first).first(), Some(&5), "as a partial acknowledgment");
    });
}

#[test]
fn blocks_of_a_peer_without_the_option_keep_nothing_from_going_again() {
    on_open(&[2, 4, 0, 200], |l| {
        let first = queue(l, 20);
        while l.status().unwrap().retries == 0 {
            let _ = l.engine.next_deadline();
        }
        ack(l, first, 1, &[(2, 4)]);
        assert_eq!(sent(l, first), [1, 2]);
    });
}

#[test]
fn blocks_go_where_payload_leaves_room() {
    on_spoken(|l| {
        for (at, segment) in [(400, MSS), (600, MSS - 11), (800, MSS - 12), (1_000, MSS - 19), (1_200, MSS - 20)] {
            say(l, at - 200, 100);
            let text = vec![0; segment as usize];
            let _ = l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &text).unwrap();
            l.engine.drain();
            let blocks: Vec<_> = told(l).into_iter().map(|(_, blocks)| blocks.len()).collect();
            assert_eq!(blocks, [((MSS - segment) as usize).saturating_sub(4) / 8], "{segment}");
            assert!(l.engine.sent.iter().all(|sent| sent.text.len() + sent.options.len() <= MSS as usize));
        }
    });
}

#[test]
fn each_hole_is_filled_and_nothing_else_sent_again() {
    on_spoken(|l| {
        let first = queue(l, 40);
        // 0, 2 and 4 are lost.
        ack(l, first, 0, &[(1, 2)]);
        assert_eq!(sent(l, first), [10], "limited transmit");
        ack(l, first, 0, &[(3, 4), (1, 2)]);
        assert_eq!(sent(l, first), [11], "limited transmit");
        ack(l, first, 0, &[(5, 6), (3, 4), (1, 2)]);
        assert_eq!(sent(l, first), [0], "three runs");
        let windows =
            |l: &Rig<'_>| l.status().map(|status| (status.congestion_window / MSS, status.slow_start_threshold / MSS));
        assert_eq!(windows(l), Some((5, 5)), "no inflation");
        // 12 out, 3 there, 3 lost, 1 of them again: 7 in the network.
        ack(l, first, 0, &[(5, 7), (3, 4), (1, 2)]);
        assert_eq!(sent(l, first), [0; 0]);
        ack(l, first, 0, &[(5, 8), (3, 4), (1, 2)]);
        assert_eq!(sent(l, first), [0; 0]);
        ack(l, first, 0, &[(5, 9), (3, 4), (1, 2)]);
        assert_eq!(sent(l, first), [2]);
        ack(l, first, 0, &[(5, 10), (3, 4), (1, 2)]);
        assert_eq!(sent(l, first), [4]);
        ack(l, first, 0, &[(5, 11), (3, 4), (1, 2)]);
        assert_eq!(sent(l, first), [12], "then what is new");
        ack(l, first, 2, &[(5, 12), (3, 4)]);
        assert_eq!(sent(l, first), [13, 14]);
        ack(l, first, 12, &[]);
        assert_eq!(windows(l), Some((4, 5)), "no burst: the three that are out, and one");
    });
}

/// What left before a segment that was sent again and has arrived would be told with it (RFC 8985 §6.2): a burst of losses, of which a peer remembers few runs,
/// takes no round trip for each.
#[test]
fn what_follows_a_segment_that_fills_a_hole_and_no_more_is_lost() {
    on_spoken(|l| {
        let first = queue(l, 10);
        for blocks in [&[(1, 2)][..], &[(1, 3)], &[(1, 4)]] {
            ack(l, first, 0, blocks);
        }
        assert_eq!(sent(l, first), [0]);
        // Perhaps the first one was late, and the rest is on its way.
        ack(l, first, 4, &[]);
        assert_eq!(sent(l, first), [4]);
        ack(l, first, 5, &[]);
        assert_eq!(sent(l, first), [5, 6, 7, 8, 9], "as the window admits");
        ack(l, first, 6, &[(7, 8)]);
        assert_eq!(sent(l, first), [0; 0], "all went again");
        ack(l, first, 10, &[]);
        assert_eq!(l.status().unwrap().unacknowledged, 0);
    });
    // What the peer has is no loss.
    on_spoken(|l| {
        let first = queue(l, 10);
        for blocks in [&[(1, 2)][..], &[(1, 3)], &[(1, 4)]] {
            ack(l, first, 0, blocks);
        }
        ack(l, first, 4, &[]);
        ack(l, first, 5, &[(7, 8)]);
        assert_eq!(sent(l, first), [5]);
        ack(l, first, 6, &[(7, 8)]);
        assert_eq!(sent(l, first), [6]);
    });
}

#[test]
fn what_is_not_there_is_sent_again_where_nothing_new_is_left() {
    on_spoken(|l| {
        let first = queue(l, 8);
        // 0 and 5 are lost; 5 has but two behind it.
        for end in [2, 3, 4] {
            ack(l, first, 0, &[(1, end)]);
        }
        assert_eq!(sent(l, first), [0]);
        ack(l, first, 0, &[(1, 5)]);
        ack(l, first, 0, &[(6, 7), (1, 5)]);
        assert_eq!(sent(l, first), [5], "RFC 6675 NextSeg, rule 3");
        ack(l, first, 8, &[]);
        assert_eq!(sent(l, first), [0; 0]);
    });
}

#[test]
fn a_duplicate_without_news_is_none() {
    on_spoken(|l| {
        let first = queue(l, 40);
        for _ in 0..10 {
            ack(l, first, 0, &[(1, 2)]);
            ack_with(l, first, 0, &[]);
        }
        assert_eq!(l.status().unwrap().slow_start_threshold, NO_THRESHOLD);
    });
}

#[test]
fn blocks_that_cannot_be_are_none() {
    let end = 8_000;
    on_spoken(|l| {
        let first = queue(l, 40);
        let at = |n: i64| first.wrapping_add(n as u32).to_be_bytes();
        let bad =
            [(0, 200), (400, 400), (400, 200), (-400, -200), (-200, 200), (1_800, end), (i64::from(u32::MAX / 2), 400)];
        for (start, end) in bad.into_iter().cycle().take(40) {
            let option = [&[1, 1, 5, 10][..], &at(start), &at(end)].concat();
            ack_with(l, first, 0, &option);
            assert_eq!(sent(l, first), [0; 0], "{start}..{end}");
        }
        // Half a block, none, a length of one, a list that ends within.
        for option in [&[1, 1, 5, 6, 0, 0, 0, 0][..], &[5, 2, 1, 1], &[1, 1, 5, 1], &[1, 1, 5, 34], &[0, 1, 5, 10]] {
            ack_with(l, first, 0, option);
            assert_eq!(sent(l, first), [0; 0], "{option:?}");
        }
        assert_eq!(l.status().unwrap().slow_start_threshold, NO_THRESHOLD);
        // Twice in one header: the last counts.
        let twice = [sack_option(first, &[(1, 9)]), sack_option(first, &[(1, 2)])].concat();
        ack_with(l, first, 0, &twice);
        assert_eq!(l.status().unwrap().slow_start_threshold, NO_THRESHOLD);
    });
}

/// Where the sender stands, and what it sends, as five acknowledgments with these blocks follow one another, counted in bytes; over each family.
fn answers(blocks: &[(u32, u32)]) -> Vec<(Vec<u32>, Status)> {
    let answers = RefCell::new(Vec::new());
    on_spoken(|l| {
        let first = queue(l, 40);
        for _ in 0..5 {
            ack_with(l, first, 0, &segment::sack_option(first, blocks));
            answers.borrow_mut().push((sent(l, first), l.status().unwrap()));
        }
    });
    answers.into_inner()
}

#[test]
fn blocks_that_overlap_or_come_twice_count_once() {
    type Blocks = &'static [(u32, u32)];
    let cases: [(Blocks, Blocks); 9] = [
        (&[(1, 3), (2, 4)], &[(1, 4)]),
        (&[(2, 4), (1, 3)], &[(1, 4)]),
        (&[(1, 2), (2, 3)], &[(1, 3)]),
        (&[(2, 3), (1, 2)], &[(1, 3)]),
        (&[(1, 2), (1, 2), (1, 2), (1, 2)], &[(1, 2)]),
        (&[(1, 5), (2, 4), (3, 4)], &[(1, 5)]),
        (&[(3, 4), (2, 4), (1, 5)], &[(1, 5)]),
        (&[(4, 5), (2, 3), (2, 5), (4, 5)], &[(2, 5)]),
        (&[(1, 2), (3, 4), (1, 2), (3, 4)], &[(1, 2), (3, 4)]),
    ];
    let bytes = |blocks: Blocks| blocks.iter().map(|(start, end)| (start * MSS, end * MSS)).collect::<Vec<_>>();
    for (blocks, same) in cases {
        assert_eq!(answers(&bytes(blocks)), answers(&bytes(same)), "{blocks:?}");
    }
}

/// Blocks that are empty, turned round, acknowledged, beyond SND.NXT, or of nearly all numbers.
const NO_BLOCKS: [(u32, u32); 9] = [
    (200, 200),
    (400, 200),
    (0, 200),
    (0_u32.wrapping_sub(400), 0_u32.wrapping_sub(200)),
    (0_u32.wrapping_sub(200), 400),
    (1_800, 8_001),
    (9_000, 9_200),
    (0, u32::MAX),
    (200, 199),
];

#[test]
fn a_block_that_cannot_be_takes_nothing_from_those_beside_it() {
    let good = [(200, 400), (600, 800)];
    let expected = answers(&good);
    for (no_block, at) in NO_BLOCKS.into_iter().flat_map(|no_block| (0..3).map(move |at| (no_block, at))) {
        let mut blocks = good.to_vec();
        blocks.insert(at, no_block);
        assert_eq!(answers(&blocks), expected, "{blocks:?}");
    }
}

/// Segments that are not accepted, or that end all there is: bits, how far beyond RCV.NXT, how far beyond SND.NXT.
const NOT_ACCEPTED: [(u8, u32, u32); 9] = [
    (ACK, 30_000, 0),
    (ACK, 0_u32.wrapping_sub(30_000), 0),
    (ACK, 0, 900),
    (ACK, 0, 0_u32.wrapping_sub(90_000)),
    (SYN, 0, 0),
    (SYN | ACK, 0, 0),
    (RST, 0, 0),
    (RST | ACK, 9, 0),
    (FIN, 0, 0),
];

#[test]
fn blocks_of_a_segment_that_is_not_accepted_are_none() {
    for (flags, at, acked) in NOT_ACCEPTED {
        on_spoken(|l| {
            let first = queue(l, 40);
            let before = l.status().unwrap();
            let ack_field = if flags & ACK != 0 { before.snd_nxt.0.wrapping_add(acked) } else { 0 };
            let options = sack_option(first, &[(1, 9)]);
            let seq = l.model.rcv_nxt.wrapping_add(at);
            let raw = Raw { seq, ack: ack_field, flags, wnd: WINDOW, options: &options, ..Raw::default() };
            let _ = l.engine.arrive(l.peer, l.us, &raw);
            assert_eq!(sent(l, first), [0; 0], "{flags} {at} {acked}");
            if flags == RST {
                return assert_eq!(l.state(), State::Closed);
            }
            assert_eq!(l.status().unwrap().slow_start_threshold, NO_THRESHOLD, "{flags} {at} {acked}");
            // Nothing is known of what the peer has: the second duplicate begins no recovery.
            ack(l, first, 0, &[(1, 2)]);
            ack(l, first, 0, &[(1, 3)]);
            assert!(!sent(l, first).contains(&0), "{flags} {at} {acked}");
        });
    }
}

#[test]
fn after_a_timeout_the_peer_is_believed_anew() {
    on_spoken(|l| {
        let first = queue(l, 10);
        ack(l, first, 0, &[(2, 6)]);
        let mut again = vec![];
        for _ in 0..2 {
            let _ = l.engine.next_deadline();
            again.extend(sent(l, first));
        }
        assert_eq!(again.last(), Some(&0));
        // It has thrown away what it had.
        ack(l, first, 1, &[]);
        assert_eq!(sent(l, first), [1, 2]);
        // It has 4 to 8 and says so again.
        ack(l, first, 3, &[(4, 8)]);
        assert_eq!(sent(l, first), [3, 8, 9]);
    });
}

/// The peer acknowledges `n` bytes from `first` on, and has these besides, in bytes.
fn ack_bytes(l: &mut Rig<'_>, first: u32, n: u32, blocks: &[(u32, u32)]) {
    let options = segment::sack_option(first, blocks);
    let raw = Raw {
        seq: l.model.rcv_nxt,
        ack: first.wrapping_add(n),
        flags: ACK,
        wnd: WINDOW,
        options: &options,
        ..Raw::default()
    };
    let _ = l.engine.arrive(l.peer, l.us, &raw);
}

/// Lets the congestion window grow until so many segments are out; returns where they begin.
fn with_out(l: &mut Rig<'_>, segments: u32) -> u32 {
    let text = vec![0; 16_384];
    let mut first = queue(l, 40);
    while l.status().unwrap().snd_nxt.0.wrapping_sub(first) < segments * MSS {
        first = first.wrapping_add(2 * MSS);
        ack_bytes(l, first, 0, &[]);
        let _ = l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &text);
        l.engine.drain();
    }
    first
}

#[test]
fn an_acknowledgment_of_more_counts_what_it_has_besides() {
    on_spoken(|l| {
        let first = queue(l, 10);
        ack(l, first, 3, &[(4, 10)]);
        assert_eq!(sent(l, first), [3], "one acknowledgment tells all");
    });
}

#[test]
fn a_peer_that_takes_back_what_it_had_opens_no_window() {
    on_spoken(|l| {
        let first = with_out(l, 30);
        ack_bytes(l, first, 0, &[(MSS, 20 * MSS)]);
        let at = 25 * MSS;
        ack_bytes(l, first, 0, &[(at, at + 1), (at + 2, at + 3), (at + 4, at + 5), (MSS, 20 * MSS)]);
        ack_bytes(l, first, 0, &[(at, at + 5)]);
        ack_bytes(l, first, 2 * MSS, &[]);
        assert!(sent(l, first).len() <= 2, "{:?}", sent(l, first));
    });
}

/// With and without the option.
#[test]
fn after_a_timeout_nothing_new_is_sent_twice() {
    for options in [OPTIONS, &[2, 4, 0, 200]] {
        on_open(options, |l| {
            let first = queue(l, 40);
            while l.engine.next_deadline() != Timer::Retransmission || sent(l, first) != [0] {}
            let mut all = vec![];
            for n in 1..14 {
                ack_with(l, first, n, &[]);
                all.extend(sent(l, first));
            }
            let mut once = all.clone();
            once.dedup();
            assert_eq!(all, once);
            assert!(all.is_sorted() && all.contains(&12), "{all:?}");
        });
    }
}

#[test]
fn where_that_was_the_last_of_it_what_is_not_there_goes_again() {
    on_spoken(|l| {
        let first = queue(l, 13);
        for end in [2, 3, 4, 7] {
            ack(l, first, 0, &[(1, end)]);
        }
        ack(l, first, 0, &[(10, 11), (1, 9)]);
        assert_eq!(sent(l, first), [12, 9]);
    });
}

#[test]
fn a_gap_is_told_by_an_empty_segment_though_there_is_text_to_send() {
    for (options, blocks) in [(OPTIONS, 1), (&[2, 4, 0, 200], 0)] {
        on_open(options, |l| {
            let first = queue(l, 40);
            for n in 1..4 {
                let seq = l.model.rcv_nxt.wrapping_add(200 * n);
                let text = bytes(seq, 200);
                let ack = first.wrapping_add(2 * MSS * n);
                let raw = Raw { seq, ack, flags: ACK, wnd: WINDOW, text: &text, ..Raw::default() };
                let _ = l.engine.arrive(l.peer, l.us, &raw);
                let [duplicate, others @ ..] = &l.engine.sent[..] else { panic!("nothing is sent") };
                assert!(
                    duplicate.text.is_empty() && !others.is_empty() && others.iter().all(|sent| !sent.text.is_empty())
                );
                assert_eq!(told(l)[0].1.len(), blocks);
            }
        });
    }
}

#[test]
fn nobody_else_makes_us_tell_of_what_came_twice() {
    on_spoken(|l| {
        say(l, 0, 400);
        let seq = l.model.rcv_nxt.wrapping_sub(30_000);
        let text = bytes(seq, 1_000);
        for (flags, ack) in [(ACK, 0x1234_5678), (0, 0)] {
            let raw = Raw { seq, ack, flags, wnd: WINDOW, text: &text, ..Raw::default() };
            let _ = l.engine.arrive(l.peer, l.us, &raw);
            assert!(told(l).iter().all(|(_, blocks)| blocks.is_empty()), "{:?}", told(l));
        }
    });
}

#[test]
fn text_that_comes_again_with_a_fin_is_told_with_it() {
    on_spoken(|l| {
        say(l, 0, 400);
        let (seq, ack) = (l.model.rcv_nxt, l.status().unwrap().snd_una.0);
        let text = bytes(seq, 400);
        let raw = Raw { seq, ack, flags: ACK | FIN, wnd: WINDOW, text: &text, ..Raw::default() };
        let _ = l.engine.arrive(l.peer, l.us, &raw);
        assert_eq!(told(l), [(401, vec![(0, 400)])]);
    });
}

#[test]
fn text_beyond_the_fin_is_forgotten_with_it() {
    on_spoken(|l| {
        say(l, 600, 100);
        let raw = Raw {
            seq: l.model.rcv_nxt,
            ack: l.status().unwrap().snd_una.0,
            flags: ACK | FIN,
            wnd: WINDOW,
            ..Raw::default()
        };
        let _ = l.engine.arrive(l.peer, l.us, &raw);
        assert_eq!(told(l), [(1, vec![])]);
    });
}

#[test]
fn a_header_has_as_many_blocks_as_it_has_room_for() {
    let mut sack = SackBlocks::NONE;
    while sack.push(Seq(1), Seq(2)) {}
    assert_eq!(sack.as_slice().len(), SackBlocks::MAX);
    for (mss, sack_permitted, blocks) in [(None, false, 4), (Some(1), false, 4), (Some(1), true, 3)] {
        let mut options = Options::NONE;
        (options.mss, options.sack_permitted, options.sack) = (mss, sack_permitted, Some(sack));
        let segment = Segment { header: Header { options, ..Header::default() }, payload: b"text" };
        let mut buf = [0; 100];
        let [a, b] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
        let len = segment.emit(&mut buf, a, b, ChecksumBy::Software).unwrap();
        let read = Segment::parse(&buf[..len], a, b, ChecksumBy::Software).unwrap();
        assert_eq!(read.payload, b"text");
        let Options { mss: its_mss, sack_permitted: permitted, sack, .. } = read.header.options;
        assert_eq!((its_mss, permitted), (mss, sack_permitted));
        assert_eq!(sack.map(|sack| sack.as_slice().len()), Some(blocks));
    }
}
