//! Over each family: an RST that says why it was sent, and what a peer's RST says.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use proptest::{collection, option};
use tcp_reset_core::{
    CloseReason, Config, EvictBy, Eviction, ListenOptions, Overflow, PeerReason, ResetReason, StreamOptions,
};

use crate::on_with;
use crate::support::rig::{BUFFER, Raw, Rig, end_of, quick_config, reach, small_listener, small_stream};
use crate::support::table::{ACK, FIN, PSH, RST, SYN};

const COMPACT: [u8; 2] = [0x33, 0xaa];
const FREE: [u8; 2] = [0xf3, 0x17];

fn speaking() -> Config {
    Config { reset_diagnostics: true, ..quick_config() }
}

fn compact(code: u16, enterprise: u32) -> Vec<u8> {
    [&COMPACT[..], &code.to_be_bytes(), &enterprise.to_be_bytes()].concat()
}

fn free(text: &str) -> Vec<u8> {
    [&FREE[..], text.as_bytes()].concat()
}

/// The only RST of what was sent: why, and what it says.
fn rst(l: &Rig<'_>) -> (ResetReason, Vec<u8>) {
    let rsts: Vec<_> = l.engine.sent.iter().filter(|sent| sent.flags & RST != 0).collect();
    let [rst] = rsts[..] else { panic!("{:?}", l.engine.sent) };
    (rst.reason.unwrap(), rst.text.clone())
}

/// Each way to an RST, with the code that it has to say.
fn every_way() -> Vec<(ResetReason, u16, reach::Script)> {
    vec![
        (ResetReason::Aborted, 4, |l| {
            l.open();
            l.abort();
        }),
        (ResetReason::UnreadData, 4, |l| {
            l.open();
            let _ = l.say(ACK, 5);
            l.close();
        }),
        (ResetReason::ReceiverGone, 3, |l| {
            l.open();
            l.close();
            let _ = l.say(ACK, 5);
        }),
        (ResetReason::TimedOut, 14, |l| {
            l.open_with(StreamOptions { user_timeout: Some(Duration::from_secs(5)), ..small_stream() });
            l.send(1);
            l.engine.wait(Duration::from_secs(10));
        }),
        (ResetReason::ListenerClosed, 4, |l| {
            l.enter();
            l.unlisten();
        }),
        (ResetReason::NoConnection, 2, |l| {
            let _ =
                l.engine.arrive(l.peer, l.us, &Raw { seq: 1, ack: 2, flags: ACK, text: b"8 bytes!", ..Raw::default() });
        }),
        (ResetReason::AckToListener, 5, |l| {
            l.listen(small_listener());
            let _ =
                l.engine.arrive(l.peer, l.us, &Raw { seq: 1, ack: 2, flags: ACK, text: b"8 bytes!", ..Raw::default() });
        }),
        (ResetReason::BadAckInHandshake, 5, |l| {
            l.dial();
            let _ =
                l.engine.arrive(l.peer, l.us, &Raw { seq: 1, ack: 2, flags: ACK, text: b"8 bytes!", ..Raw::default() });
        }),
        (ResetReason::ListenerFull, 10, |l| {
            l.listen(ListenOptions { half_open: 0, overflow: Overflow::Refuse, ..small_listener() });
            // As Linux sends it: MSS, SACK permitted, timestamps, window scale.
            let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
            let _ = l.engine.arrive(l.peer, l.us, &Raw { seq: 1, flags: SYN, options: &options, ..Raw::default() });
        }),
    ]
}

#[test]
fn each_rst_says_why_with_the_code_of_its_reason() {
    let mut seen = vec![ResetReason::Evicted, ResetReason::Restarted];
    for (reason, code, way) in every_way() {
        on_with(speaking(), |l| {
            way(l);
            assert_eq!(rst(l), (reason, compact(code, 0)));
            let meant = PeerReason::Code { code, enterprise: 0 }.meaning();
            assert!(reason.code() == code && meant.is_some(), "{reason}");
        });
        seen.push(reason);
    }
    assert!(ResetReason::ALL.iter().all(|reason| seen.contains(reason)), "each reason: {seen:?}");
    assert_eq!((ResetReason::Evicted.code(), ResetReason::Restarted.code()), (10, 2));
}

#[test]
fn by_default_no_rst_says_anything() {
    for (reason, _, way) in every_way() {
        on_with(quick_config(), |l| {
            way(l);
            assert_eq!(rst(l), (reason, vec![]));
        });
    }
}

#[test]
fn who_is_evicted_is_told_why() {
    let eviction = Some(Eviction { by: EvictBy::Idle, idle_for: Duration::from_millis(1) });
    on_with(Config { eviction, ..speaking() }, |l| {
        for n in 0..4 {
            l.us.set_port(6_000 + n);
            l.open();
        }
        l.engine.wait(Duration::from_secs(1));
        let any_port = std::net::SocketAddr::new(l.us.ip(), 0);
        let refused = l.engine.tcp.connect(l.engine.now, any_port, l.peer, None, small_stream());
        assert!(refused.is_err());
        l.engine.drain();
        assert_eq!(rst(l), (ResetReason::Evicted, compact(10, 0)));
    });
}

/// No stranger gets more from us than he sends (reflection): the header's 20 bytes and the reason's 8 answer 28 and more.
#[test]
fn a_reply_is_never_longer_than_what_it_answers() {
    let strangers: [(u8, reach::Script); 6] = [
        (ACK, |_| ()),
        (SYN, |_| ()),
        (FIN, |_| ()),
        (ACK, |l| l.listen(small_listener())),
        (ACK, reach::knock),
        (ACK, reach::dial),
    ];
    for (flags, prepare) in strangers {
        for options in [0, 4, 8, 20, 40] {
            for text in [0, 1, 3, 4, 7, 8, 9, 100] {
                on_with(speaking(), |l| {
                    prepare(l);
                    // Options of no operation.
                    let (options, text) = (vec![1; options], vec![b'x'; text]);
                    let seq = l.isn.wrapping_add(1);
                    let raw = Raw { seq, ack: 2, flags, options: &options, text: &text, ..Raw::default() };
                    let arrived = 20 + options.len() + text.len();
                    let _ = l.engine.arrive(l.peer, l.us, &raw);
                    let (_, said) = rst(l);
                    assert!(20 + said.len() <= arrived, "{} bytes answer {arrived}", 20 + said.len());
                    assert_eq!(said.is_empty(), arrived < 28, "{arrived}");
                });
            }
        }
    }
}

/// The peer ends the connection with an RST that says this.
fn reset_with(l: &mut Rig<'_>, text: &[u8]) {
    let (seq, ack) = (l.model.rcv_nxt, l.model.snd_nxt);
    let _ = l.engine.arrive(l.peer, l.us, &Raw { seq, ack, flags: RST | ACK, text, ..Raw::default() });
}

/// What the application can read of it.
fn said(l: &Rig<'_>) -> Option<String> {
    let handle = l.handle.unwrap();
    l.engine.tcp.peer_reason(handle).unwrap().map(|reason| reason.to_string())
}

fn counted(l: &Rig<'_>) -> (u32, u32) {
    let counters = l.engine.tcp.counters();
    (counters.reasons_received, counters.reasons_malformed)
}

#[test]
fn what_a_peers_rst_says_is_kept_until_the_handle_is_given_up() {
    let texts = [
        (compact(14, 0), "connection timeout"),
        (compact(1, 0), "illegal option"),
        (compact(17, 0), "middlebox interference"),
        (compact(18, 0), "code 18 of enterprise 0"),
        (compact(0, 0), "code 0 of enterprise 0"),
        (compact(4, 4_711), "code 4 of enterprise 4711"),
        (free("gone to lunch"), "\"gone to lunch\""),
        (free("a\n\u{1b}[31mb\"ü"), r#""a\n\u{1b}[31mb\"\u{fc}""#),
    ];
    for (payload, text) in texts {
        for reach in [reach::open as reach::Script, reach::accepted, reach::text_in_flight] {
            on_with(speaking(), |l| {
                reach(l);
                assert_eq!(said(l), None, "it goes on");
                reset_with(l, &payload);
                assert_eq!(end_of(l), Some(CloseReason::ResetByPeer));
                assert_eq!((said(l).as_deref(), counted(l)), (Some(text), (1, 0)));
                let record = l.engine.tcp.last_resets().last().unwrap();
                let is_code = payload[..2] == COMPACT;
                assert_eq!(record.said.map(|said| said.to_string()), is_code.then(|| text.to_owned()));
                let handle = l.handle.unwrap();
                l.engine.tcp.close(l.engine.now, handle).unwrap();
                assert!(l.engine.tcp.peer_reason(handle).is_err());
            });
        }
    }
}

#[test]
fn what_was_received_before_stays_readable_beside_it() {
    on_with(speaking(), |l| {
        l.open();
        let _ = l.say(ACK | PSH, 5);
        reset_with(l, &free("sorry"));
        assert_eq!(said(l).as_deref(), Some("\"sorry\""));
        assert_eq!(l.recv().len(), 5);
    });
}

#[test]
fn a_refusal_says_why_too() {
    on_with(speaking(), |l| {
        l.dial();
        let ack = l.model.snd_nxt;
        let text = compact(10, 0);
        let _ = l.engine.arrive(l.peer, l.us, &Raw { ack, flags: RST | ACK, text: &text, ..Raw::default() });
        assert_eq!((end_of(l), said(l).as_deref()), (Some(CloseReason::Refused), Some("resource exceeded")));
    });
}

/// A long text is cut where a character ends: the send buffer of 64 bytes holds it, its magic number included.
#[test]
fn a_text_longer_than_the_send_buffer_is_cut_short() {
    let room = BUFFER as usize - 2;
    for (text, kept) in [
        ("x".repeat(room), room),
        ("x".repeat(room + 1), room),
        ("x".repeat(255), room),
        (format!("{}ü", "x".repeat(room - 1)), room - 1),
        (format!("{}\u{1f600}", "x".repeat(room - 3)), room - 3),
        ("ü".repeat(127), room / 2 * 2),
    ] {
        on_with(speaking(), |l| {
            l.open();
            reset_with(l, &free(&text));
            assert_eq!(counted(l), (1, 0));
            let handle = l.handle.unwrap();
            assert_eq!(l.engine.tcp.peer_reason(handle), Ok(Some(PeerReason::Text(&text[..kept]))));
        });
    }
}

/// The RST counts as if it had none.
#[test]
fn a_payload_of_no_known_form_is_ignored_and_counted() {
    let malformed = [
        vec![0],
        vec![0x33],
        COMPACT.to_vec(),
        compact(1, 0)[..7].to_vec(),
        [compact(1, 0), vec![0]].concat(),
        FREE.to_vec(),
        [&FREE[..], &[0xff]].concat(),
        [&FREE[..], &[b'a', 0xc3]].concat(),
        free(&"x".repeat(256)),
        b"no such service".to_vec(),
        vec![0x33, 0xab, 0, 1, 0, 0, 0, 0],
    ];
    for payload in malformed {
        on_with(speaking(), |l| {
            l.open();
            reset_with(l, &payload);
            assert_eq!(end_of(l), Some(CloseReason::ResetByPeer), "{payload:x?}");
            assert_eq!((said(l), counted(l)), (None, (0, 1)), "{payload:x?}");
        });
    }
}

/// Switched off nothing is read; and an RST that ends nothing says nothing either.
#[test]
fn only_what_ends_a_connection_is_read_and_only_where_it_is_asked_for() {
    on_with(quick_config(), |l| {
        reach::text_in_flight(l);
        let _ = l.engine.next_deadline();
        reset_with(l, &compact(14, 0));
        assert_eq!((end_of(l), said(l), counted(l)), (Some(CloseReason::ResetByPeer), None, (0, 0)));
        assert_eq!(l.engine.tcp.last_resets().last().unwrap().said, None);
    });
    on_with(speaking(), |l| {
        l.open();
        let (seq, ack) = (l.model.rcv_nxt + 1, l.model.snd_nxt);
        let text = compact(14, 0);
        let _ = l.engine.arrive(l.peer, l.us, &Raw { seq, ack, flags: RST | ACK, text: &text, ..Raw::default() });
        assert_eq!((end_of(l), said(l), counted(l)), (None, None, (0, 0)));
        // Ended by something else: what is left in the buffer is nobody's word.
        l.engine.tcp.reset(l.engine.now, l.handle.unwrap()).unwrap();
        l.engine.drain();
        assert_eq!((end_of(l), said(l)), (Some(CloseReason::Aborted), None));
    });
    on_with(speaking(), |l| {
        reach::text_in_flight(l);
        let _ = l.engine.next_deadline();
        reset_with(l, b"");
        assert_eq!((end_of(l), said(l), counted(l)), (Some(CloseReason::ResetByPeer), None, (0, 0)));
    });
}

/// A code and its enterprise, or a text.
type Said = (Option<(u16, u32)>, Option<String>);

/// Read here apart from the crate.
fn expected(payload: &[u8]) -> Option<Said> {
    let rest = payload.get(2..)?;
    if payload[..2] == COMPACT {
        let bytes: [u8; 6] = rest.try_into().ok()?;
        let code = u16::from(bytes[0]) * 256 + u16::from(bytes[1]);
        let enterprise = bytes[2..].iter().fold(0, |sum, byte| sum * 256 + u32::from(*byte));
        return Some((Some((code, enterprise)), None));
    }
    let is_text = payload[..2] == FREE && !rest.is_empty() && rest.len() < 256;
    let text = String::from_utf8(rest.to_vec()).ok().filter(|_| is_text)?;
    Some((None, Some(text)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_payload_is_read_as_it_should_be(
        magic in option::of(any::<bool>()),
        rest in collection::vec(any::<u8>(), 0..300),
        is_ascii in any::<bool>(),
    ) {
        let rest: Vec<u8> = if is_ascii { rest.iter().map(|byte| byte & 0x7f).collect() } else { rest };
        let magic = magic.map_or(vec![], |is_compact| if is_compact { COMPACT.to_vec() } else { FREE.to_vec() });
        let payload = [magic, rest].concat();
        let found = PeerReason::parse(&payload).map(|reason| match reason {
            PeerReason::Code { code, enterprise } => (Some((code, enterprise)), None),
            PeerReason::Text(text) => (None, Some(text.to_owned())),
        });
        prop_assert!(found == expected(&payload), "{found:?} of {payload:x?}");
    }
}
