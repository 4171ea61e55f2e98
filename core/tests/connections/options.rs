//! Over each family: options that are malformed, cut off, repeated, or out of place (RFC 9293 §3.1, §3.2). A segment with such a list is held against one
//! whose list is well formed and says the same: whatever comes of it, then and later, is alike.

use std::cell::RefCell;

use tcp_reset_core::{Event, Instant, ListenOptions, State, Status, StreamOptions, Timer, Verdict};

use crate::support::family::Family;
use crate::support::packet::segment::timestamps_option;
use crate::support::rig::reach::{self, Script};
use crate::support::rig::{Raw, Rig, Sent, reno, small_listener, stream};
use crate::support::table::{ACK, FIN, PSH, RST, SYN};
use crate::transfer::{on_closed, stream as large_stream};
use crate::{on, seconds};

/// A list of options, and a well-formed one that says the same.
type Case = (&'static [u8], &'static [u8]);

const MSS: &[u8] = &[2, 4, 0, 200];
const SACK_PERMITTED: &[u8] = &[4, 2];
const USER_TIMEOUT: &[u8] = &[28, 4, 0, 40];

/// The maximum segment size (kind 2).
const OF_MSS: &[Case] = &[
    (&[2, 0, 0, 100], &[]),
    (&[2, 1, 0, 100], &[]),
    (&[2, 2, 4, 2], &[]),
    (&[2, 3, 100, 1, 4, 2, 1, 1], &[]),
    (&[2, 5, 0, 100, 1, 4, 2, 1], &[]),
    (&[2, 6, 0, 100, 0, 100, 4, 2], &[]),
    (&[2, 255, 0, 100], &[]),
    // Beyond the end of the header.
    (&[1, 2, 4, 0], &[]),
    (&[1, 1, 2, 4], &[]),
    (&[1, 1, 1, 2], &[]),
    (&[2, 8, 0, 100], &[]),
    // Twice: the last counts, unless it is malformed.
    (&[2, 4, 0, 200, 2, 4, 0, 200], MSS),
    (&[2, 4, 0, 100, 2, 4, 0, 200], MSS),
    (&[2, 4, 4, 0, 2, 4, 0, 200], MSS),
    (&[2, 4, 0, 200, 2, 3, 100, 1], MSS),
    (&[2, 4, 0, 200, 2, 0, 0, 100], MSS),
    (&[2, 4, 0, 200, 1, 2, 4, 0], MSS),
    // Behind the end of the list, and behind what ends it.
    (&[0, 1, 1, 1, 2, 4, 0, 100], &[]),
    (&[0, 2, 4, 0, 100, 0, 0, 0], &[]),
    (&[2, 4, 0, 200, 0, 0, 0, 0, 2, 4, 0, 100], MSS),
    (&[3, 2, 2, 4, 0, 100, 1, 1], &[]),
    (&[5, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 4, 0, 100], &[]),
];

/// SACK-permitted (kind 4), and the blocks themselves (kind 5), which a SYN has no use for.
const OF_SACK: &[Case] = &[
    (&[4, 0, 1, 1], &[]),
    (&[4, 1, 1, 1], &[]),
    (&[4, 3, 1, 2, 4, 0, 100, 1], &[]),
    (&[4, 4, 1, 1, 2, 4, 0, 100], &[]),
    (&[4, 255, 1, 1], &[]),
    (&[1, 1, 1, 4], &[]),
    (&[0, 4, 2, 1], &[]),
    (&[0, 0, 4, 2], &[]),
    (&[4, 2, 4, 2], SACK_PERMITTED),
    (&[1, 4, 2, 4, 2, 1, 4, 2], SACK_PERMITTED),
    (&[4, 2, 4, 3, 1, 1, 1, 1], SACK_PERMITTED),
    (&[4, 2, 4, 0, 2, 4, 0, 100], SACK_PERMITTED),
    (&[4, 2, 2, 4, 0, 200, 1, 1], &[2, 4, 0, 200, 4, 2]),
    (&[2, 4, 0, 200, 4, 2, 2, 9], &[2, 4, 0, 200, 4, 2]),
    (&[5, 0, 4, 2], &[]),
    (&[5, 1, 4, 2], &[]),
    (&[5, 2, 4, 2], &[]),
    (&[5, 6, 0, 0, 0, 1, 4, 2], &[]),
    (&[5, 9, 0, 0, 0, 1, 0, 0, 0, 1, 4, 2], &[]),
    (&[5, 11, 0, 0, 0, 1, 0, 0, 0, 2, 0, 4, 2, 1, 1, 1], &[]),
    (&[5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 4, 2], &[]),
    (&[1, 1, 5, 10, 0, 0, 0, 1], &[]),
    (&[5, 42, 0, 0, 0, 1, 0, 0, 0, 2, 4, 2], &[]),
    (&[5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 4, 2], SACK_PERMITTED),
    (&[4, 2, 5, 10, 0, 0, 0, 2, 0, 0, 0, 1], SACK_PERMITTED),
];

/// The user timeout (kind 28).
const OF_USER_TIMEOUT: &[Case] = &[
    (&[28, 0, 0, 30], &[]),
    (&[28, 1, 0, 30], &[]),
    (&[28, 2, 1, 1], &[]),
    (&[28, 3, 30, 1], &[]),
    (&[28, 5, 0, 30, 0, 1, 1, 1], &[]),
    (&[28, 8, 0, 30, 0, 30, 0, 30], &[]),
    (&[28, 255, 0, 30], &[]),
    (&[1, 28, 4, 0], &[]),
    (&[1, 1, 1, 28], &[]),
    (&[0, 28, 4, 0, 30, 0, 0, 0], &[]),
    (&[2, 0, 28, 4, 0, 30, 1, 1], &[]),
    (&[200, 1, 28, 4, 0, 30, 1, 1], &[]),
    (&[28, 4, 0, 30, 28, 4, 0, 40], USER_TIMEOUT),
    (&[28, 4, 0, 45, 28, 4, 0, 40], USER_TIMEOUT),
    (&[28, 4, 0, 40, 28, 0, 0, 30], USER_TIMEOUT),
    (&[28, 4, 0, 40, 1, 28, 4, 0], USER_TIMEOUT),
    (&[28, 4, 0, 40, 0, 0, 0, 0, 28, 4, 0, 30], USER_TIMEOUT),
    (&[200, 2, 28, 4, 0, 40, 1, 1], USER_TIMEOUT),
];

/// Kinds that nobody here knows, and the two that have no length.
const OF_OTHERS: &[Case] = &[
    (&[], &[]),
    (&[1; 40], &[]),
    (&[0; 40], &[]),
    (&[0, 255, 255, 255], &[]),
    (&[200, 0, 2, 4, 0, 100, 1, 1], &[]),
    (&[200, 1, 2, 4, 0, 100, 1, 1], &[]),
    (&[200, 255, 2, 4, 0, 100, 1, 1], &[]),
    (&[200, 9, 2, 4, 0, 100, 1, 1], &[]),
    (&[1, 1, 1, 200], &[]),
    (&[255, 0, 255, 0, 255, 0, 255, 0], &[]),
    (&[200, 2, 2, 4, 0, 200, 1, 1], MSS),
    (&[200, 3, 7, 200, 2, 2, 4, 0, 200, 1, 1, 1], MSS),
    (&[200, 2, 200, 2, 2, 4, 0, 200], MSS),
    (&[29, 16, 1, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 2, 4, 0, 200], MSS),
    (&[19, 18, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 1, 1, 2, 4, 0, 200], MSS),
    (&[34, 2, 254, 4, 249, 137, 2, 4, 0, 200, 1, 1], MSS),
    (&[1, 1, 1, 1, 2, 4, 0, 200], MSS),
    (&[2, 4, 0, 200, 1, 1, 1, 0], MSS),
    (&[2, 4, 0, 200, 200, 0, 1, 1], MSS),
];

/// Options that a SYN alone may have, or none that has not agreed on them.
const OF_SYN: &[&[u8]] = &[
    &[2, 4, 0, 100],
    &[2, 4, 0, 0],
    &[2, 4, 255, 255],
    &[4, 2, 1, 1],
    &[3, 3, 9, 1],
    &[3, 3, 255, 1],
    &[2, 4, 0, 100, 4, 2, 3, 3, 9, 1, 1, 1],
];
const OF_NO_AGREEMENT: &[&[u8]] = &[
    &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0],
    &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
    &[1, 1, 5, 10, 0, 0, 0, 0, 255, 255, 255, 255],
    &[28, 4, 0, 40],
];

fn cases() -> impl Iterator<Item = Case> {
    [OF_MSS, OF_SACK, OF_USER_TIMEOUT, OF_OTHERS].concat().into_iter()
}

/// Control bits, how far beyond RCV.NXT, and how much text; a SYN of the same connection has no distance.
type Kind = (u8, Option<u32>, u32);
/// What is seen of a connection from a segment on, and what its application is told.
type Life = (Vec<Look>, Vec<Event>);

/// What a peer, a stranger or an old duplicate may say.
const KINDS: [Kind; 14] = [
    (SYN, None, 0),
    (SYN, Some(20), 0),
    (SYN, Some(5_000), 0),
    (SYN | ACK, None, 0),
    (SYN | FIN, None, 0),
    (ACK, Some(0), 0),
    (ACK, Some(7_000), 0),
    (ACK | PSH, Some(0), 5),
    (ACK, Some(10), 5),
    (FIN | ACK, Some(0), 0),
    (FIN | ACK, Some(0), 5),
    (RST, Some(0), 0),
    (RST, Some(9), 0),
    (0, Some(0), 3),
];

/// Every state, TIME-WAIT and handshakes of a listener included.
const STATES: [Script; 14] = [
    nothing,
    listening,
    reach::dial,
    reach::knock,
    reach::cross,
    reach::enter,
    reach::text_in_flight,
    reach::fin_wait_1,
    reach::fin_wait_2,
    reach::close_wait,
    reach::closing,
    reach::last_ack,
    reach::time_wait,
    reach::time_wait_of_listener,
];

fn nothing(_: &mut Rig<'_>) {}

fn listening(l: &mut Rig<'_>) {
    l.listen(small_listener());
}

/// Everything that is to be seen after one call.
#[derive(Clone, PartialEq, Debug)]
struct Look {
    verdict: Option<Verdict>,
    sent: Vec<Sent>,
    text: Vec<u8>,
    state: State,
    status: Option<Status>,
    deadline: Option<(Instant, Timer)>,
}

fn look(l: &mut Rig<'_>, verdict: Option<Verdict>) -> Look {
    let sent = l.engine.sent.clone();
    let mut text = vec![0; 64];
    let read = l.handle.and_then(|handle| l.engine.tcp.recv(l.engine.now, handle, &mut text).ok());
    text.truncate(read.unwrap_or(0));
    l.engine.drain();
    let sent = [sent, l.engine.sent.clone()].concat();
    Look { verdict, sent, text, state: l.state(), status: l.status(), deadline: l.engine.deadline }
}

/// A segment of this kind arrives with these options.
fn arrive(l: &mut Rig<'_>, (flags, at, len): Kind, options: &[u8]) -> Look {
    let rcv_nxt = l.status().map_or(l.model.rcv_nxt, |status| status.rcv_nxt.0);
    let snd_nxt = l.status().map_or(l.model.snd_nxt, |status| status.snd_nxt.0);
    let seq = at.map_or(l.isn, |at| rcv_nxt.wrapping_add(at));
    let ack = if flags & ACK != 0 { snd_nxt } else { 0 };
    let text = stream(seq, len);
    let raw = Raw { seq, ack, flags, wnd: 1_000, options, text: &text, ..Raw::default() };
    let verdict = l.engine.arrive(l.peer, l.us, &raw);
    look(l, Some(verdict))
}

/// What comes of a segment with these options: at once, of the peer's next ones, of what the application then sends, and of time.
fn life(l: &mut Rig<'_>, kind: Kind, options: &[u8]) -> Life {
    let mut looks = vec![arrive(l, kind, options)];
    if let Some(listener) = l.listener
        && let Ok(handle) = l.engine.tcp.accept(l.engine.now, listener)
    {
        l.handle = Some(handle);
    }
    looks.push(arrive(l, (ACK, Some(0), 0), &[]));
    looks.push(arrive(l, (ACK | PSH, Some(0), 20), &[]));
    if let Some(handle) = l.handle {
        let _ = l.engine.tcp.send(l.engine.now, handle, &stream(0, 40));
        l.engine.drain();
    }
    looks.push(look(l, None));
    l.engine.wait(seconds(5));
    looks.push(look(l, None));
    (looks, std::mem::take(&mut l.engine.events))
}

/// What comes of a segment with these options in a state, over each family.
fn lives(reach: Script, kind: Kind, options: &[u8]) -> Vec<Life> {
    let lives = RefCell::new(Vec::new());
    on(|l| {
        reach(l);
        lives.borrow_mut().push(life(l, kind, options));
    });
    lives.into_inner()
}

#[test]
fn a_list_is_read_up_to_what_is_malformed_in_every_state() {
    for reach in STATES {
        for kind in KINDS {
            let mut known: Vec<(&[u8], Vec<Life>)> = Vec::new();
            for (faulty, same) in cases() {
                if known.iter().all(|(list, _)| *list != same) {
                    known.push((same, lives(reach, kind, same)));
                }
                let (_, expected) = known.iter().find(|(list, _)| *list == same).unwrap();
                assert_eq!(&lives(reach, kind, faulty), expected, "{faulty:?} instead of {same:?}, {kind:?}");
            }
        }
    }
}

/// A SYN may open a connection anew, and a SYN,ACK may complete one: those are the places of such options.
#[test]
fn what_belongs_to_a_syn_or_was_not_agreed_on_says_nothing_elsewhere() {
    for reach in STATES {
        for kind in KINDS.into_iter().filter(|(flags, ..)| flags & SYN == 0) {
            let expected = lives(reach, kind, &[]);
            for options in OF_SYN.iter().chain(OF_NO_AGREEMENT).copied().chain(cases().map(|(faulty, _)| faulty)) {
                assert_eq!(lives(reach, kind, options), expected, "{options:?} {kind:?}");
            }
        }
    }
    for reach in reach::SYNCHRONIZED {
        for kind in KINDS.into_iter().filter(|(flags, ..)| flags & SYN != 0) {
            let expected = lives(reach, kind, &[]);
            for options in OF_SYN.iter().chain(OF_NO_AGREEMENT) {
                assert_eq!(lives(reach, kind, options), expected, "{options:?} {kind:?}");
            }
        }
    }
}

/// The peer's clock where timestamps were agreed on.
const CLOCK: u32 = 50_000;

/// Options that open a connection that has all there is, and those of each segment after it.
fn agreement() -> Vec<u8> {
    let stamps = if cfg!(feature = "timestamps") { timestamps_option(CLOCK, 0) } else { vec![] };
    [&[2, 4, 1, 44, 1, 1, 4, 2, 1, 3, 3, 2][..], &stamps].concat()
}

/// A connection to a peer that has agreed on everything, with ten bytes of ours in flight.
fn on_agreed(test: impl Fn(&mut Rig<'_>, &[u8])) {
    on(|l| {
        l.dial();
        let (ack, options) = (l.model.snd_nxt, agreement());
        let raw = Raw { seq: l.isn, ack, flags: SYN | ACK, wnd: 1_000, options: &options, ..Raw::default() };
        let _ = l.engine.arrive(l.peer, l.us, &raw);
        l.look();
        l.model.rcv_nxt = l.isn.wrapping_add(1);
        assert_eq!(l.state(), State::Established);
        l.send(10);
        let stamps = if cfg!(feature = "timestamps") { timestamps_option(CLOCK + 1, l.engine_stamp) } else { vec![] };
        test(l, &stamps);
    });
}

/// The same, where options of agreed kinds stand before it.
fn agreed_lives(kind: Kind, options: &[u8]) -> Vec<Life> {
    let lives = RefCell::new(Vec::new());
    on_agreed(|l, stamps| {
        let options = [stamps, options].concat();
        lives.borrow_mut().push(life(l, kind, &options));
    });
    lives.into_inner()
}

#[test]
fn what_was_agreed_on_is_not_changed_by_a_list_of_a_later_segment() {
    // No header has room for more behind the timestamps option.
    let short = cases().map(|(faulty, _)| faulty).filter(|faulty| faulty.len() <= 28);
    let lists: Vec<_> = OF_SYN.iter().copied().chain(short).collect();
    for kind in KINDS {
        let expected = agreed_lives(kind, &[]);
        for options in &lists {
            assert_eq!(agreed_lives(kind, options), expected, "{options:?} {kind:?}");
        }
    }
}

/// Text goes both ways while each segment of the peer has another list.
#[test]
fn text_arrives_byte_by_byte_whatever_the_options() {
    on_agreed(|l, stamps| {
        let (first, ours) = (l.model.rcv_nxt, l.model.iss.wrapping_add(1));
        let (mut heard, mut told) = (Vec::new(), stream(ours, 10));
        for (n, (faulty, _)) in cases().enumerate().filter(|(_, (faulty, _))| faulty.len() <= 28) {
            let seq = first.wrapping_add(heard.len() as u32);
            let (ack, text) = (l.model.snd_nxt, stream(seq, 1 + n as u32 % 9));
            let options = [stamps, faulty].concat();
            let raw = Raw { seq, ack, flags: ACK, wnd: 1_000, options: &options, text: &text, ..Raw::default() };
            let _ = l.engine.arrive(l.peer, l.us, &raw);
            l.look();
            heard.extend(l.recv());
            assert_eq!(heard.len(), seq.wrapping_sub(first) as usize + text.len(), "{faulty:?}");
            l.send(7);
            let sent = l.engine.sent.iter().flat_map(|sent| sent.text.clone());
            told.extend(sent);
        }
        assert_eq!(heard, stream(first, heard.len() as u32));
        assert_eq!(told, stream(ours, told.len() as u32));
        assert_eq!(l.state(), State::Established);
    });
}

/// The payload of the first segment that goes to a peer whose SYN or SYN,ACK has these options.
fn first_payload(options: &[u8], is_passive: bool) -> Vec<usize> {
    let payload = RefCell::new(Vec::new());
    let options_of = |l: &Rig<'_>, flags: u8| (l.isn, if flags & ACK != 0 { l.model.snd_nxt } else { 0 });
    on_closed(reno(), |l| {
        let stream = StreamOptions { nagle: false, ..large_stream() };
        if is_passive {
            l.listen(ListenOptions { stream, ..ListenOptions::default() });
        } else {
            l.dial_with(stream);
        }
        let flags = if is_passive { SYN } else { SYN | ACK };
        let (seq, ack) = options_of(l, flags);
        let _ = l.engine.arrive(l.peer, l.us, &Raw { seq, ack, flags, wnd: 9_000, options, ..Raw::default() });
        l.look();
        if is_passive {
            let raw =
                Raw { seq: l.isn.wrapping_add(1), ack: l.model.snd_nxt, flags: ACK, wnd: 9_000, ..Raw::default() };
            let _ = l.engine.arrive(l.peer, l.us, &raw);
            l.accept();
        }
        let _ = l.queue(5_000);
        payload.borrow_mut().push(l.engine.sent[0].text.len());
    });
    payload.into_inner()
}

#[test]
fn segments_are_of_the_last_mss_that_a_syn_says_well_or_of_the_default() {
    // RFC 9293 §3.7.1, MUST-15.
    let default = |family: &Family| if *family == Family::V4 { 536 } else { 1_220 };
    for (faulty, same) in cases() {
        let of = |family| if same.starts_with(MSS) { 200 } else { default(family) };
        let expected: Vec<_> = Family::ALL.iter().map(of).collect();
        for is_passive in [false, true] {
            assert_eq!(first_payload(faulty, is_passive), expected, "{faulty:?}");
        }
    }
}
