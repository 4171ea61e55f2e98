//! Over each family: when data, acknowledgments and window updates go out, and when not: what a peer with a clock would see (RFC 9293 §3.8).
use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    CloseReason, Config, Event, Instant, ListenOptions, Overflow, Rule, State, Storage, StreamOptions, Timer,
};

use crate::support::family::{Family, over_each};
use crate::support::rig::{Engine, LargeStore, PEER_ISN, Raw, Rig, START, peer, reno, us};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg};

/// Buffers several segments long.
const BUFFER: u32 = 8_192;
pub(crate) const MSS: u32 = 200;

pub(crate) fn config() -> Config {
    Config { mss: Some(MSS as u16), rto_min: Duration::from_secs(1), ..reno() }
}

/// The same with room for the family's longer header, so that segments have the same text over both.
fn fitted(config: Config, family: Family) -> Config {
    Config { mss: config.mss.map(|mss| mss + family.mss_less()), ..config }
}

pub(crate) fn stream() -> StreamOptions {
    StreamOptions { rx_buffer: BUFFER as usize, tx_buffer: BUFFER as usize, ..StreamOptions::default() }
}

/// A connection that the peer opened, with the MSS that both sides can send, over each family.
pub(crate) fn on_open(config: Config, stream: StreamOptions, test: impl Fn(&mut Rig<'_>)) {
    on_closed(config, |rig| {
        rig.listen(ListenOptions { stream, ..ListenOptions::default() });
        let syn = Raw { seq: PEER_ISN, flags: SYN, wnd: 1_000, options: &[2, 4, 0, 200], ..Raw::default() };
        let _ = rig.engine.arrive(rig.peer, rig.us, &syn);
        rig.model.irs = PEER_ISN;
        rig.look();
        rig.model.rcv_nxt = PEER_ISN.wrapping_add(1);
        rig.model.snd_una = rig.model.snd_nxt;
        let _ = rig.say(ACK, 0);
        rig.accept();
        rig.model.state = State::Established;
        test(rig);
    });
}

/// A peer that nothing is known of yet, over each family.
pub(crate) fn on_closed(config: Config, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(LargeStore::new());
        test(&mut Rig::new(Engine::new(&mut *store, fitted(config, family)), family, PEER_ISN));
    });
}

pub(crate) fn flags_and_lengths(rig: &Rig<'_>) -> Vec<(u8, usize)> {
    rig.engine.sent.iter().map(|sent| (sent.flags, sent.text.len())).collect()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Seconds from `start` at which something was sent, up to `end`, and what.
fn schedule(rig: &mut Rig<'_>, start: Instant, end: Duration) -> Vec<(u64, u8, usize)> {
    let mut seen = Vec::new();
    while let Some((at, _)) = rig.engine.deadline.filter(|(at, _)| *at <= start + end) {
        let _ = rig.engine.next_deadline();
        let seconds = at.duration_since(start).as_secs();
        seen.extend(rig.engine.sent.iter().map(|sent| (seconds, sent.flags, sent.text.len())));
    }
    seen
}

// The window we offer

#[test]
fn reading_little_tells_no_window_and_reading_two_segments_does() {
    on_open(Config { delayed_ack: Duration::ZERO, ..config() }, stream(), |l| {
        for _ in 0..8 {
            let _ = l.say(ACK, MSS);
        }
        assert_eq!(l.status().unwrap().rcv_wnd, BUFFER - 8 * MSS);
        let handle = l.handle.unwrap();
        let now = l.engine.now;
        let mut buf = [0; 2 * MSS as usize];
        assert_eq!(l.engine.tcp.recv(now, handle, &mut buf[..2 * MSS as usize - 1]), Ok(2 * MSS as usize - 1));
        l.engine.drain();
        assert!(l.engine.sent.is_empty(), "{:?}", l.engine.sent);
        assert_eq!(l.engine.tcp.recv(now, handle, &mut buf[..1]), Ok(1));
        l.engine.drain();
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
        assert_eq!(u32::from(l.engine.only().wnd as u16), BUFFER - 6 * MSS);
    });
}

#[test]
fn a_closed_window_opens_only_by_a_segment_or_half_the_buffer() {
    on_open(Config { delayed_ack: Duration::ZERO, ..config() }, stream(), |l| {
        let mut left = BUFFER;
        while left > 0 {
            let len = left.min(MSS);
            let _ = l.say(ACK, len);
            left -= len;
        }
        assert_eq!(l.engine.only().wnd, 0);
        let (handle, now) = (l.handle.unwrap(), l.engine.now);
        let mut buf = [0; MSS as usize];
        assert_eq!(l.engine.tcp.recv(now, handle, &mut buf[..MSS as usize - 1]), Ok(MSS as usize - 1));
        l.engine.drain();
        assert!(l.engine.sent.is_empty(), "a silly window");
        // A probe meanwhile is answered with the window still closed.
        let probe = Seg { seq: l.model.rcv_nxt, ..Seg::new(ACK, 0, l.model.snd_nxt, 1, 1_000) };
        assert_eq!(l.inject(&probe).rule, Rule::ZeroWindow);
        assert_eq!(l.engine.only().wnd, 0);
        assert_eq!(l.engine.tcp.recv(now, handle, &mut buf[..1]), Ok(1));
        l.engine.drain();
        assert_eq!(u32::from(l.engine.only().wnd as u16), MSS);
    });
}

// What we send

#[test]
fn text_goes_out_in_full_segments_and_the_rest_waits_for_an_acknowledgement() {
    on_open(config(), stream(), |l| {
        l.send(2 * MSS + 7);
        assert_eq!(flags_and_lengths(l), [(ACK, 200), (ACK, 200), (ACK | PSH, 7)], "only whole ones are out");
        l.send(7);
        assert!(l.engine.sent.is_empty(), "Nagle holds it: a short one is out");
        l.send(MSS - 7);
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 200)], "a whole one goes");
        l.send(7);
        assert!(l.engine.sent.is_empty());
        let _ = l.say(ACK, 0);
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 7)]);
    });
}

/// The peer acknowledges all but the last so many bytes.
fn all_but(l: &mut Rig<'_>, last: u32, wnd: u32) {
    let ack = l.model.snd_nxt.wrapping_sub(last);
    let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, ack, 0, wnd));
}

#[test]
fn a_segment_that_was_cut_short_holds_the_end_of_a_message_back_but_once() {
    on_open(config(), stream(), |l| {
        l.peer_offers(500);
        l.send(550);
        assert_eq!(flags_and_lengths(l), [(ACK, 200), (ACK, 200), (ACK, 100)], "the window is full");
        all_but(l, 100, 500);
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 50)], "of two short ones the window made one");
        l.send(7);
        assert!(l.engine.sent.is_empty(), "Nagle holds it");
    });
    on_open(config(), StreamOptions { tx_buffer: 512, ..stream() }, |l| {
        l.send(512);
        assert_eq!(flags_and_lengths(l), [(ACK, 200), (ACK, 200), (ACK | PSH, 112)], "the send buffer is full");
        all_but(l, 112, 1_000);
        l.send(80);
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 80)], "the buffer made the other");
        l.send(7);
        assert!(l.engine.sent.is_empty(), "Nagle holds it");
    });
}

#[test]
fn without_nagle_the_rest_goes_out_at_once() {
    on_open(config(), StreamOptions { nagle: false, ..stream() }, |l| {
        l.send(MSS + 7);
        assert_eq!(flags_and_lengths(l), [(ACK, 200), (ACK | PSH, 7)]);
        l.send(1);
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 1)]);
    });
}

#[test]
fn fin_takes_the_rest_along_whatever_nagle_says() {
    on_open(config(), stream(), |l| {
        l.send(7);
        l.send(7);
        assert!(l.engine.sent.is_empty());
        l.shutdown();
        assert_eq!(flags_and_lengths(l), [(ACK | PSH | FIN, 7)]);
    });
}

#[test]
fn a_small_window_is_used_only_after_the_override_timeout() {
    on_open(config(), stream(), |l| {
        l.peer_offers(1_000);
        l.peer_offers(50);
        l.send(MSS);
        assert!(l.engine.sent.is_empty(), "50 of 1,000 is a silly window: {:?}", l.engine.sent);
        assert_eq!(l.engine.deadline, Some((l.engine.now + ms(1_000), Timer::WindowProbe)));
        l.engine.wait(ms(1_000));
        assert_eq!(flags_and_lengths(l), [(ACK, 50)]);
    });
}

#[test]
fn announced_segment_sizes_are_clamped_and_missing_ones_are_the_least_that_every_host_takes() {
    over_each(|family| {
        let missing = usize::from(family.default_mss());
        let cases: [(&[u8], usize); 7] = [
            (&[2, 4, 0, 0], 64),
            (&[2, 4, 0, 63], 64),
            (&[2, 4, 0, 100], 100),
            (&[2, 4, 255, 255], 1_400),
            (&[], missing),
            (&[2, 3, 5], missing),
            (&[1, 1, 99, 0, 2, 4, 0, 100], missing),
        ];
        for (options, mss) in cases {
            let mut store = Box::new(LargeStore::new());
            let config = fitted(Config { mss: Some(1_400), ..config() }, family);
            let mut rig = Rig::new(Engine::new(&mut *store, config), family, PEER_ISN);
            rig.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
            let syn = Raw { seq: PEER_ISN, flags: SYN, wnd: 60_000, options, ..Raw::default() };
            let _ = rig.engine.arrive(rig.peer, rig.us, &syn);
            rig.look();
            let reply = rig.engine.only();
            assert_eq!(reply.options, [2, 4, 5, 120], "our own: 1,400");
            let ack = Raw { seq: PEER_ISN + 1, ack: reply.seq + 1, flags: ACK, wnd: 60_000, ..Raw::default() };
            let _ = rig.engine.arrive(rig.peer, rig.us, &ack);
            rig.accept();
            rig.send(3_000);
            assert_eq!(rig.engine.sent[0].text.len(), mss, "options {options:?}");
        }
    });
}

// Timers

#[test]
fn lost_text_is_sent_again_after_1_2_4_seconds_until_r2_and_one_last_time() {
    on_open(config(), stream(), |l| {
        l.send(10);
        let start = l.engine.now;
        let seen = schedule(l, start, Duration::from_secs(1_000));
        let times: Vec<u64> = seen.iter().map(|(at, ..)| *at).collect();
        // At 100 s R2 has passed; one plain timeout later the peer is told that it is over.
        assert_eq!(times, [1, 3, 7, 15, 31, 63, 100, 101]);
        assert!(seen[..7].iter().all(|&(_, flags, len)| (flags, len) == (ACK | PSH, 10)), "{seen:?}");
        let closed = Event::Closed(l.handle.unwrap(), CloseReason::TimedOut(Timer::Retransmission));
        assert!(l.engine.events.contains(&closed));
        let stalled: Vec<_> = l.engine.events.iter().filter(|event| matches!(event, Event::Stalled(_))).collect();
        assert_eq!(stalled.len(), 1, "R1 is told once");
    });
}

#[test]
fn backoff_is_kept_until_a_round_trip_is_measured() {
    on_open(config(), stream(), |l| {
        l.send(MSS);
        let una = l.model.snd_una;
        l.engine.wait(Duration::from_secs(4));
        assert_eq!(l.status().unwrap().retries, 2);
        let half = Seg::new(ACK, l.model.rcv_nxt, una + MSS / 2, 0, 1_000);
        let _ = l.say_seg(&half);
        assert!(l.engine.sent.is_empty(), "the rest was sent again as well");
        assert_eq!(l.status().unwrap().retries, 0, "progress: the peer has all of R1 and R2 again");
        let due = |l: &Rig<'_>| l.engine.deadline.map(|(at, _)| at).unwrap().duration_since(l.engine.now);
        assert_eq!(due(l), ms(4_000), "what was sent twice measures nothing");
        l.look();
        l.peer_acks();
        l.send(MSS);
        assert_eq!(due(l), ms(4_000), "nor has this one been measured yet");
        l.engine.wait(ms(300));
        l.peer_acks();
        l.send(MSS);
        assert_eq!(due(l), ms(1_000), "300 ms were measured");
    });
}

/// RFC 6298 §5, smoltcp's pull request 1023: with each acknowledgment clearing the backoff, every flight would be sent twice for ever.
#[test]
fn round_trip_longer_than_the_first_timeout_is_learned() {
    on_open(config(), stream(), |l| {
        let mut again = 0;
        for _ in 0..20 {
            l.send(MSS);
            l.engine.wait(ms(3_000));
            again += l.engine.sent.len();
            l.look();
            l.peer_acks();
        }
        assert!(again <= 3, "{again} of 20 flights sent again");
    });
}

#[test]
fn after_a_timeout_slow_start_sends_all_again() {
    on_open(config(), stream(), |l| {
        l.send(4 * MSS);
        let una = l.model.snd_una;
        l.engine.wait(ms(1_000));
        assert_eq!(flags_and_lengths(l), [(ACK, 200)], "the front only");
        // RFC 5681 §3.1: one segment, then two.
        for (n, again) in [(1, vec![1, 2]), (2, vec![3]), (3, vec![])] {
            let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una + n * MSS, 0, 1_000));
            let seqs: Vec<_> = l.engine.sent.iter().map(|sent| (sent.seq - una) / MSS).collect();
            assert_eq!(seqs, again);
        }
        let _ = l.say_seg(&Seg::new(ACK, l.model.rcv_nxt, una + 4 * MSS, 0, 1_000));
        assert!(l.engine.sent.is_empty());
        assert_eq!(l.engine.deadline, None);
    });
}

#[test]
fn a_closed_window_is_probed_for_ever_while_the_peer_answers() {
    on_open(config(), stream(), |l| {
        l.peer_offers(0);
        l.send(10);
        let mut gaps = Vec::new();
        let mut last = l.engine.now;
        for _ in 0..60 {
            l.wait_for_probe();
            assert_eq!(l.engine.only().text.len(), 1);
            gaps.push(l.engine.now.duration_since(last).as_secs());
            last = l.engine.now;
            let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 0));
        }
        assert_eq!(gaps[..8], [1, 2, 4, 8, 16, 32, 33, 33]);
        assert_eq!(l.status().unwrap().state, State::Established, "an hour later");
        let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 1_000));
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 10)]);
    });
}

#[test]
fn a_closed_window_without_answers_ends_as_a_probe_timeout() {
    on_open(config(), stream(), |l| {
        l.peer_offers(0);
        l.send(10);
        let start = l.engine.now;
        let seen = schedule(l, start, Duration::from_secs(1_000));
        let probes = seen.iter().filter(|(_, flags, len)| (*flags, *len) == (ACK, 1)).count();
        assert!(probes >= 4, "{seen:?}");
        let (end, ..) = *seen.last().unwrap();
        assert!((100..=400).contains(&end), "ended after {end} s");
        let closed = Event::Closed(l.handle.unwrap(), CloseReason::TimedOut(Timer::WindowProbe));
        assert!(l.engine.events.contains(&closed));
    });
}

#[test]
fn an_active_open_tries_for_three_minutes() {
    on_closed(config(), |l| {
        l.dial_with(stream());
        assert_eq!(flags_and_lengths(l), [(SYN, 0)]);
        let seen = schedule(l, START, Duration::from_secs(1_000));
        let times: Vec<u64> = seen.iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [1, 3, 7, 15, 31, 63, 123, 180]);
        assert!(seen.iter().all(|(_, flags, _)| *flags == SYN), "{seen:?}");
        let closed = Event::Closed(l.handle.unwrap(), CloseReason::TimedOut(Timer::Connect));
        assert!(l.engine.events.contains(&closed));
    });
}

#[test]
fn a_half_open_connection_is_kept_for_thirty_seconds() {
    on_closed(config(), |l| {
        l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
        let _ = l.say(SYN, 0);
        let seen = schedule(l, START, Duration::from_secs(1_000));
        let mut expected = [1, 3, 7, 15].map(|at| (at, SYN | ACK, 0)).to_vec();
        // Whoever it was, its SYN was acknowledged: it is told.
        expected.push((30, RST, 0));
        assert_eq!(seen, expected);
        assert_eq!(l.engine.now, START + Duration::from_secs(30));
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.engine.tcp.counters().half_open_expired, 1);
    });
}

#[test]
fn fin_wait_2_without_application_ends_after_a_minute_and_says_so() {
    on_open(config(), stream(), |l| {
        let handle = l.handle.unwrap();
        l.close();
        l.peer_acks();
        assert_eq!(l.engine.tcp.state_of(l.us, l.peer), State::FinWait2);
        assert_eq!(l.engine.deadline, Some((l.engine.now + Duration::from_secs(60), Timer::FinWait2)));
        assert_eq!(l.engine.next_deadline(), Timer::FinWait2);
        assert_eq!(l.engine.only().flags & 4, 4, "RST");
        let closed = Event::Closed(handle, CloseReason::TimedOut(Timer::FinWait2));
        assert!(l.engine.events.contains(&closed));
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
    });
}

#[test]
fn fin_wait_2_with_application_stays() {
    on_open(config(), stream(), |l| {
        l.shutdown();
        l.peer_acks();
        assert_eq!(l.engine.deadline, None);
        l.engine.wait(Duration::from_secs(10 * 24 * 3_600));
        assert_eq!(l.status().unwrap().state, State::FinWait2);
    });
}

#[test]
fn the_round_trip_time_sets_the_timeout() {
    on_open(Config { rto_min: ms(200), ..config() }, stream(), |l| {
        l.send(10);
        l.engine.wait(ms(100));
        let _ = l.say(ACK, 0);
        l.send(10);
        // RTO = R + 4 R/2 = 300 ms.
        assert_eq!(l.engine.deadline, Some((l.engine.now + ms(300), Timer::Retransmission)));
    });
}

#[test]
fn a_listener_set_to_refuse_says_so_when_full_and_counts_it() {
    over_each(|family| {
        let mut store = Box::new(Storage::<1, 1, 2, 1, 65_536>::new());
        let mut engine = Engine::new(&mut *store, config());
        let options = ListenOptions { overflow: Overflow::Refuse, stream: stream(), ..ListenOptions::default() };
        let (peer, us) = (peer(family), us(family));
        engine.tcp.listen(us, options).unwrap();
        let knock = |n: u16| {
            let from = SocketAddr::new(peer.ip(), 1_000 + n);
            engine.arrive(from, us, &Raw { flags: SYN, wnd: 1_000, ..Raw::default() }).rule
        };
        let rules: Vec<Rule> = (0..3).map(knock).collect();
        assert_eq!(rules, [Rule::ListenSyn, Rule::ListenSyn, Rule::ListenSynRefused]);
        assert_eq!(engine.only().flags, 4 | ACK, "RST,ACK");
    });
}
