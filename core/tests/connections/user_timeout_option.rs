//! The user timeout option (RFC 5482): where it stands, what it says, and what a peer's may change.

use std::time::Duration;

use crate::support::family::over_each;
use crate::support::rig::{Engine, PEER_ISN, Raw, Rig, Sent, Store, end_of, small_listener, small_stream};
use crate::support::table::{ACK, FIN, RST, SYN};
use tcp_reset_core::{Budget, CloseReason, Config, ListenOptions, Peer, State, StreamOptions, Timer};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const LONGEST: Duration = seconds(50);

fn config() -> Config {
    Config { user_timeout_limit: LONGEST, rto_min: seconds(1), rto_max: seconds(1), ..Config::default() }
}

fn speaking() -> StreamOptions {
    StreamOptions { user_timeout_option: true, r2: seconds(10), ..small_stream() }
}

fn on(test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Rig::new(Engine::new(&mut *store, config()), family, PEER_ISN));
    });
}

/// The option's field, and that it is well formed where it stands.
fn field(sent: &Sent) -> Option<u16> {
    let mut options = &sent.options[..];
    while let [kind, rest @ ..] = options {
        let len = match kind {
            0 => return None,
            1 => 1,
            _ => usize::from(rest[0]),
        };
        if *kind == 28 {
            assert_eq!(len, 4, "RFC 5482 §3.4");
            return Some(u16::from_be_bytes([options[2], options[3]]));
        }
        options = &options[len..];
    }
    None
}

/// The peer's next segment, an empty ACK with these options.
fn say_with(l: &mut Rig<'_>, options: &[u8]) {
    let raw = Raw {
        seq: l.model.rcv_nxt,
        ack: l.model.snd_nxt,
        flags: ACK,
        wnd: l.peer_wnd as u16,
        options,
        ..Raw::default()
    };
    let _ = l.engine.arrive(l.peer, l.us, &raw);
    l.look();
}

/// How long the connection bears a peer that acknowledges nothing more, and how it ends.
fn borne(l: &mut Rig<'_>) -> (Duration, CloseReason) {
    l.send(10);
    let began = l.engine.now;
    loop {
        let _ = l.engine.next_deadline();
        if let Some(reason) = end_of(l) {
            return (l.engine.now.duration_since(began), reason);
        }
    }
}

#[test]
fn nothing_is_said_or_heard_unless_it_is_switched_on() {
    on(|l| {
        l.dial_with(StreamOptions { r2: seconds(10), ..small_stream() });
        assert_eq!(field(l.engine.only()), None);
        let _ = l.say(SYN | ACK, 0);
        assert!(l.engine.sent.iter().all(|sent| field(sent).is_none()));
        say_with(l, &[28, 4, 0, 40]);
        assert_eq!(borne(l), (seconds(11), CloseReason::TimedOut(Timer::Retransmission)));
    });
}

#[test]
fn it_stands_on_the_syn_and_on_one_empty_ack_after_it() {
    on(|l| {
        l.dial_with(speaking());
        assert_eq!(field(l.engine.only()), Some(10));
        l.engine.wait(seconds(1));
        assert_eq!(field(l.engine.only()), Some(10), "on the SYN that is sent again");
        let _ = l.say(SYN | ACK, 0);
        assert_eq!((field(l.engine.only()), l.engine.only().text.len()), (Some(10), 0));
        l.send(5);
        assert_eq!(field(l.engine.only()), None, "payload has all the room");
        let _ = l.say(ACK, 5);
        assert_eq!(field(l.engine.only()), None, "said once");
    });
}

#[test]
fn a_listener_says_it_on_the_syn_ack_and_after_the_handshake() {
    on(|l| {
        l.listen(ListenOptions { stream: speaking(), ..small_listener() });
        let _ = l.say(SYN, 0);
        assert_eq!(field(l.engine.only()), Some(10));
        l.engine.wait(seconds(1));
        assert_eq!(field(l.engine.only()), Some(10), "on the SYN,ACK that is sent again");
        let _ = l.say(ACK, 0);
        assert_eq!((field(l.engine.only()), l.engine.only().flags), (Some(10), ACK));
    });
}

#[test]
fn a_change_is_said_again_in_seconds_rounded_up_or_minutes() {
    let cases = [(1, 1), (1_001, 2), (16_383_000, 16_383), (60_000, 60), (16_383 * 60_000, 0x8000 | 16_383)];
    for (ms, want) in cases {
        on(|l| {
            l.open_with(speaking());
            let (now, handle) = (l.engine.now, l.handle.unwrap());
            l.engine.tcp.set_user_timeout(now, handle, Duration::from_millis(ms)).unwrap();
            l.engine.drain();
            assert_eq!(field(l.engine.only()), Some(want), "{ms} ms");
        });
    }
    on(|l| {
        l.open_with(speaking());
        let (now, handle) = (l.engine.now, l.handle.unwrap());
        l.engine.tcp.set_r2(now, handle, seconds(65_535)).unwrap();
        l.engine.drain();
        assert_eq!(field(l.engine.only()), Some(0x8000 | 1_093), "too many seconds for 15 bits");
    });
}

#[test]
fn a_peer_that_bears_longer_is_borne_longer_up_to_the_limit() {
    let cases: [(&[u8], Duration); 5] = [
        (&[28, 4, 0, 30], seconds(30)),
        (&[28, 4, 0, 5], seconds(10)),
        (&[28, 4, 0, 51], LONGEST),
        (&[28, 4, 0x80, 1], LONGEST),
        (&[1, 28, 4, 0, 30, 1, 28, 4, 0, 40], seconds(40)),
    ];
    for (options, want) in cases {
        on(|l| {
            l.open_with(speaking());
            say_with(l, options);
            let (held, reason) = borne(l);
            assert_eq!((held, reason), (want + seconds(1), CloseReason::TimedOut(Timer::Retransmission)));
        });
    }
}

#[test]
fn the_syn_ack_of_a_peer_counts_too() {
    on(|l| {
        l.dial_with(speaking());
        let raw = Raw {
            seq: PEER_ISN,
            ack: l.model.snd_nxt,
            flags: SYN | ACK,
            wnd: 1_000,
            options: &[2, 4, 5, 180, 28, 4, 0, 30],
            ..Raw::default()
        };
        let _ = l.engine.arrive(l.peer, l.us, &raw);
        l.look();
        assert_eq!(borne(l).0, seconds(31));
    });
}

#[test]
fn what_makes_no_sense_is_skipped_and_ends_nothing() {
    let cases: [&[u8]; 15] = [
        &[28, 4, 0, 0],
        &[28, 4, 0x80, 0],
        &[28, 3, 9],
        &[28, 6, 0, 30, 0, 30],
        &[28, 2],
        &[28, 4, 0],
        &[28, 0, 0, 30],
        &[28, 1, 0, 30],
        &[28, 255, 0, 30],
        &[1, 28, 4, 0],
        &[1, 1, 1, 28],
        &[0, 28, 4, 0, 30],
        &[2, 0, 28, 4, 0, 30],
        &[2, 3, 9, 28, 4, 0, 30],
        &[200, 1, 28, 4, 0, 30],
    ];
    for options in cases {
        on(|l| {
            l.open_with(speaking());
            say_with(l, options);
            assert_eq!(l.state(), State::Established, "{options:?}");
            assert_eq!(borne(l).0, seconds(11), "{options:?}");
        });
    }
}

#[test]
fn what_was_said_well_stays_when_the_rest_of_the_list_is_not() {
    let cases: [&[u8]; 4] = [
        &[28, 4, 0, 30, 28, 0, 0, 40],
        &[28, 4, 0, 30, 28, 3, 40, 1],
        &[28, 4, 0, 30, 1, 28, 4, 0],
        &[28, 4, 0, 30, 0, 28, 4, 0, 40],
    ];
    for options in cases {
        on(|l| {
            l.open_with(speaking());
            say_with(l, options);
            assert_eq!(borne(l).0, seconds(31), "{options:?}");
        });
    }
}

/// The peer's next segment, with these bits, so far from where it should begin and with this option.
fn say_at(l: &mut Rig<'_>, flags: u8, at: u32, text: &[u8]) {
    let seq = l.model.rcv_nxt.wrapping_add(at);
    let ack = if flags & ACK != 0 { l.model.snd_nxt } else { 0 };
    let raw = Raw { seq, ack, flags, wnd: 1_000, options: &[28, 4, 0, 30], text, ..Raw::default() };
    let _ = l.engine.arrive(l.peer, l.us, &raw);
    l.look();
}

#[test]
fn a_segment_with_payload_or_a_fin_says_it_as_an_empty_one_does() {
    for (flags, text) in [(ACK, &[7; 5][..]), (ACK | FIN, &[]), (ACK | FIN, &[7; 5])] {
        on(|l| {
            l.open_with(speaking());
            say_at(l, flags, 0, text);
            assert_eq!(borne(l).0, seconds(31), "{flags} {text:?}");
        });
    }
}

#[test]
fn a_segment_that_is_not_accepted_says_none() {
    let kinds = [(SYN, 0), (SYN | ACK, 0), (SYN, 9), (RST, 9), (RST, 900), (RST | ACK, 9), (0, 0), (ACK, 900)];
    for (flags, at) in kinds {
        on(|l| {
            l.open_with(speaking());
            say_at(l, flags, at, &[]);
            assert_eq!((l.state(), borne(l).0), (State::Established, seconds(11)), "{flags} {at}");
        });
    }
}

#[test]
fn an_rst_and_time_wait_have_no_use_for_it() {
    on(|l| {
        l.open_with(speaking());
        say_at(l, RST, 0, &[]);
        assert_eq!((l.state(), end_of(l)), (State::Closed, Some(CloseReason::ResetByPeer)));
    });
    on(|l| {
        l.open_with(speaking());
        l.shutdown();
        l.peer_acks();
        l.peer_finishes();
        let left = |l: &Rig<'_>| l.engine.deadline.map(|(at, timer)| (at.duration_since(l.engine.now), timer));
        say_at(l, ACK | FIN, 0_u32.wrapping_sub(1), &[]);
        assert_eq!((l.state(), left(l)), (State::TimeWait, Some((seconds(60), Timer::TimeWait))));
        assert_eq!(field(l.engine.only()), None);
    });
}

#[test]
fn a_user_timeout_of_our_own_is_not_changed_by_the_peer() {
    on(|l| {
        l.open_with(StreamOptions { user_timeout: Some(seconds(7)), ..speaking() });
        say_with(l, &[28, 4, 0, 30]);
        assert_eq!(borne(l), (seconds(7), CloseReason::TimedOut(Timer::UserTimeout)));
    });
}

#[test]
fn a_forged_one_out_of_the_window_changes_nothing() {
    on(|l| {
        l.open_with(speaking());
        for (seq, ack) in [(70_000_u32, 0_u32), (0, 90_000), (0x8000_0000, 0)] {
            let raw = Raw {
                seq: l.model.rcv_nxt.wrapping_add(seq),
                ack: l.model.snd_nxt.wrapping_add(ack),
                flags: ACK,
                wnd: 1_000,
                options: &[28, 4, 0, 40],
                ..Raw::default()
            };
            let _ = l.engine.arrive(l.peer, l.us, &raw);
        }
        assert_eq!(borne(l).0, seconds(11));
    });
}

#[test]
fn the_budget_counts_with_the_longest() {
    let silent = |options: &StreamOptions| {
        Budget::of_stream(&config(), options).unwrap().in_state(State::LastAck, Peer::Silent).unwrap()
    };
    assert_eq!(silent(&speaking()), LONGEST + seconds(1));
    assert_eq!(silent(&StreamOptions { user_timeout_option: false, ..speaking() }), seconds(11));
    assert_eq!(silent(&StreamOptions { r2: seconds(60), ..speaking() }), seconds(61));
    on(|l| {
        l.open_with(speaking());
        let budget = l.engine.tcp.budget(l.handle.unwrap()).unwrap();
        assert_eq!(budget.in_state(State::LastAck, Peer::Silent), Some(LONGEST + seconds(1)));
    });
}
