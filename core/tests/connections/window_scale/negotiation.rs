//! Who scales windows, by how much, and in which segments (§1.3, §2.2, §2.3).

use tcp_reset_core::{Config, Error, KeepAlive, ListenOptions, Rule, State, StreamOptions, Timer};

use super::*;
use crate::support::table::{FIN, RST};

/// What the peer's SYN says.
fn shifts() -> impl Iterator<Item = Option<u8>> {
    (0..=15).chain([255]).map(Some).chain([None])
}

/// The window of the last segment that went out, as a peer reads it that knows the shift.
fn said(l: &Rig<'_>, shift: u8) -> u32 {
    l.engine.sent.last().expect("a segment").wnd << shift
}

/// The two ends agree on shifts, or on none, whatever the peer says later.
fn assert_agreed(l: &mut Rig<'_>, theirs: Option<u8>, case: &str) {
    let shift = theirs.unwrap_or(0).min(14);
    for (wnd, options) in [(500_u16, &[][..]), (UNSCALED as u16, &[]), (7, &[1, 3, 3, 9]), (7, &[]), (0, &[]), (1, &[])]
    {
        let raw = Raw { seq: first(l), ack: l.model.snd_nxt, flags: ACK, wnd, options, ..Raw::default() };
        let _ = arrive(l, &raw);
        assert_eq!(status(l).snd_wnd, u32::from(wnd) << shift, "{case}");
    }
    let _ = say(l, ACK, 0, 100);
    assert_eq!(offered(l.engine.only()), None, "{case}: only a SYN has it");
    let shift = theirs.map_or(0, |_| SHIFT);
    assert_eq!(said(l, shift) > UNSCALED, theirs.is_some(), "{case}");
    assert!(said(l, shift) <= BUFFER - 100, "{case}: no more than there is room for");
    let left = status(l).rcv_wnd.wrapping_sub(said(l, shift));
    assert!(theirs.is_none() || left < 1 << shift, "{case}: in bytes");
}

#[test]
fn windows_are_scaled_where_both_ends_offer_it() {
    for (ours, theirs) in [true, false].into_iter().flat_map(|ours| shifts().map(move |theirs| (ours, theirs))) {
        let config = Config { window_scale: ours, ..config() };
        let agreed = theirs.filter(|_| ours);
        for way in WAYS {
            let case = &format!("{ours} {theirs:?} {way:?}");
            let options = options(theirs);
            on_big(config, |l| {
                let dials = way != Way::Passive;
                begin(l, if dials { Way::Active } else { way }, &options, stream_of(BUFFER));
                let expected = if dials { ours.then_some(SHIFT) } else { agreed.map(|_| SHIFT) };
                assert_eq!((offered(l.engine.only()), l.engine.only().wnd), (expected, UNSCALED), "{case}");
                if matches!(way, Way::Crossed | Way::CrossedByAck) {
                    let _ = arrive(l, &Raw { seq: l.isn, flags: SYN, wnd: FIRST, options: &options, ..Raw::default() });
                    let sent = l.engine.only();
                    assert_eq!((sent.flags, offered(sent)), (SYN | ACK, agreed.map(|_| SHIFT)), "{case}");
                    assert_eq!(sent.wnd, UNSCALED, "{case}: a SYN,ACK's is never scaled");
                }
                complete(l, way, &options, 300);
                let by_ack = 300 << agreed.unwrap_or(0).min(14);
                let expected = if matches!(way, Way::Active | Way::Crossed) { FIRST.into() } else { by_ack };
                assert_eq!(status(l).snd_wnd, expected, "{case}: a SYN,ACK's is never scaled");
                assert_agreed(l, agreed, case);
            });
        }
    }
}

#[test]
fn the_shift_says_the_whole_buffer_and_is_the_least_that_does() {
    for log2 in 6..=18 {
        let size = 1_u32 << log2;
        for way in [Way::Active, Way::Passive, Way::Crossed] {
            on_big(config(), |l| {
                begin(l, way, &options(Some(5)), stream_of(size));
                let shift = offered(l.engine.only()).expect("the option");
                assert!(size >> shift <= UNSCALED && (shift == 0 || size >> (shift - 1) > UNSCALED), "{size}: {shift}");
                assert_eq!(l.engine.only().wnd, size.min(UNSCALED));
                complete(l, way, &options(Some(5)), 300);
                let _ = say(l, ACK, 0, 1);
                let missing = (size - 1).wrapping_sub(said(l, shift));
                assert!(missing < 1 << shift, "{size}: {missing}");
            });
        }
    }
}

#[test]
fn buffers_beyond_the_largest_are_refused() {
    let stream = |rx_buffer, tx_buffer| StreamOptions { rx_buffer, tx_buffer, ..StreamOptions::default() };
    let most = BUFFER as usize;
    on_big(config(), |l| {
        for stream in [stream(2 * most, 64), stream(64, 2 * most), stream(most - 1, 64), stream(most + 1, 64)] {
            let options = ListenOptions { stream, ..ListenOptions::default() };
            assert_eq!(l.engine.tcp.listen(l.us, options).err(), Some(Error::InvalidBufferSize));
            let dialed = l.engine.tcp.connect(l.engine.now, l.us, l.peer, None, stream);
            assert_eq!(dialed.err(), Some(Error::InvalidBufferSize));
        }
        assert_eq!(tcp_reset_core::MAX_BUFFER, most);
        l.dial_with(stream(most, most));
    });
}

#[test]
fn a_syn_that_comes_again_changes_nothing() {
    for (theirs, again) in [(Some(5), None), (None, Some(5)), (Some(5), Some(9))] {
        on_big(config(), |l| {
            begin(l, Way::Passive, &options(theirs), stream_of(BUFFER));
            let expected = (SYN | ACK, theirs.map(|_| SHIFT), UNSCALED);
            let assert_said = |l: &Rig<'_>| {
                let sent = l.engine.only();
                assert_eq!((sent.flags, offered(sent), sent.wnd), expected);
            };
            assert_said(l);
            let _ = arrive(l, &Raw { seq: l.isn, flags: SYN, wnd: FIRST, options: &options(again), ..Raw::default() });
            assert_said(l);
            assert_eq!(l.engine.next_deadline(), Timer::SynReceived);
            assert_said(l);
            complete(l, Way::Passive, &[], 300);
            assert_agreed(l, theirs, "the first SYN's");
        });
    }
}

#[test]
fn our_syn_offers_it_again_each_time() {
    on_big(config(), |l| {
        begin(l, Way::Active, &[], stream_of(BUFFER));
        for _ in 0..2 {
            let _ = l.engine.next_deadline();
            let sent = l.engine.only();
            assert_eq!((sent.flags, offered(sent), sent.wnd), (SYN, Some(SHIFT), UNSCALED));
        }
        complete(l, Way::Active, &options(Some(2)), 300);
        assert_agreed(l, Some(2), "after lost SYNs");
    });
}

/// A crossing SYN was perhaps forged, and its shift with it.
#[test]
fn a_syn_that_is_taken_back_takes_its_shift_along() {
    for (forged, theirs) in [(Some(9), None), (None, Some(4)), (Some(9), Some(4))] {
        on_big(config(), |l| {
            begin(l, Way::Crossed, &options(forged), stream_of(BUFFER));
            let _ = arrive(l, &Raw { seq: first(l), flags: RST, ..Raw::default() });
            let sent = l.engine.only();
            assert_eq!((sent.flags, offered(sent), sent.wnd), (SYN, Some(SHIFT), UNSCALED));
            complete(l, Way::Active, &options(theirs), 300);
            assert_agreed(l, theirs, "of the peer");
        });
    }
}

/// Lists without a window scale option that can be read, whatever they seem to say; and those with one.
const LISTS: [(&[u8], Option<u8>); 12] = [
    (&[3, 2, 1, 1], None),
    (&[3, 4, 7, 0], None),
    (&[3, 0, 7, 1], None),
    (&[3, 1, 7, 1], None),
    (&[3, 255, 7, 1], None),
    (&[1, 1, 3, 3], None),
    (&[1, 1, 1, 3], None),
    (&[0, 3, 3, 7], None),
    (&[2, 4, 3, 232, 0, 3, 3, 7], None),
    (&[3, 3, 7, 0], Some(7)),
    (&[3, 3, 7, 3, 3, 9, 1, 1], Some(9)),
    (&[3, 3, 7, 3, 4, 9, 1, 1], Some(7)),
];

#[test]
fn what_does_not_parse_counts_as_missing_and_the_last_counts() {
    for (options, theirs) in LISTS {
        for way in WAYS {
            on_big(config(), |l| {
                begin(l, way, options, stream_of(BUFFER));
                complete(l, way, options, 300);
                assert_agreed(l, theirs, &format!("{options:?} {way:?}"));
            });
        }
    }
}

#[test]
fn on_a_connection_a_malformed_option_resets_nothing() {
    on_open(5, 300, |l| {
        for (options, _) in LISTS {
            let raw = Raw { seq: first(l), ack: l.model.snd_nxt, flags: ACK, wnd: 300, options, ..Raw::default() };
            assert_eq!(arrive(l, &raw).rule, Rule::AckAccepted, "{options:?}");
            assert_eq!(status(l).snd_wnd, 300 << 5);
        }
        assert_agreed(l, Some(5), "as before");
    });
}

// What is scaled

#[test]
fn answers_during_the_handshake_are_scaled() {
    for way in [Way::Passive, Way::Crossed] {
        for (theirs, size, wnd) in [
            (Some(5), BUFFER, UNSCALED >> 3),
            (Some(0), 65_536, UNSCALED >> 1),
            (Some(5), 32_768, 32_768),
            (None, BUFFER, UNSCALED),
        ] {
            on_big(config(), |l| {
                begin(l, way, &options(theirs), stream_of(size));
                let ack = l.model.snd_nxt;
                for (flags, seq) in
                    [(ACK, l.isn.wrapping_sub(9)), (SYN, l.isn.wrapping_add(99)), (RST, l.isn.wrapping_add(99))]
                {
                    let _ = arrive(l, &Raw { seq, ack, flags, wnd: FIRST, ..Raw::default() });
                    let sent = l.engine.only();
                    assert_eq!((sent.flags, sent.wnd, offered(sent)), (ACK, wnd, None), "{way:?} {theirs:?} {size}");
                }
                complete(l, way, &options(theirs), 300);
            });
        }
    }
}

/// `is_scaled` says whether the peer offers to scale; a field is then never more than the buffer, in units of eight bytes.
fn assert_each_is_scaled(l: &mut Rig<'_>, is_scaled: bool) {
    let wnd = if is_scaled { BUFFER >> SHIFT } else { UNSCALED };
    let assert_said = |l: &Rig<'_>, flags: u8, len: usize| {
        let sent = l.engine.only();
        // A window grows by segments.
        let least = if is_scaled { wnd - 1 } else { wnd - 6 };
        assert_eq!((sent.flags & !8, sent.text.len(), offered(sent)), (flags, len, None));
        assert!((least..=wnd).contains(&sent.wnd), "{sent:?}");
    };
    // The handshake's ACK.
    assert_said(l, ACK, 0);
    offer(l, l.model.snd_nxt, 1_000);
    l.send(10);
    assert_said(l, ACK, 10);
    assert_eq!(l.engine.next_deadline(), Timer::Retransmission);
    assert_said(l, ACK, 10);
    offer(l, l.model.snd_nxt, 0);
    l.peer_wnd = 0;
    l.send(20);
    l.wait_for_probe();
    assert_said(l, ACK, 1);
    l.peer_wnd = 1_000;
    offer(l, l.model.snd_nxt, 1_000);
    assert_said(l, ACK, 20);
    offer(l, l.model.snd_nxt, 1_000);
    assert_eq!(l.engine.next_deadline(), Timer::KeepAlive);
    assert_said(l, ACK, 0);
    for (flags, at) in [(SYN, 0), (RST, 9), (ACK, 0_u32.wrapping_sub(1)), (ACK, BUFFER + 1)] {
        let _ = say(l, flags, at, 0);
        assert_said(l, ACK, 0);
    }
    let _ = say(l, ACK, 0, 5);
    assert_said(l, ACK, 0);
    assert_eq!(read(l, 10).len(), 5);
    l.shutdown();
    assert_said(l, ACK | FIN, 0);
    let _ = say(l, ACK, 5, 0);
    let _ = say(l, ACK | FIN, 5, 0);
    assert_said(l, ACK, 0);
    assert_eq!(l.state(), State::TimeWait);
    // The record that is left.
    for (flags, at) in [(FIN | ACK, 5), (SYN, 0), (ACK, 5)] {
        let _ = say(l, flags, at, 0);
        assert_said(l, ACK, 0);
    }
}

#[test]
fn each_segment_without_syn_is_scaled() {
    let stream = StreamOptions { keep_alive: Some(KeepAlive::default()), ..stream_of(BUFFER) };
    for theirs in [Some(0), Some(5), Some(14), None] {
        on_big(config(), |l| {
            begin(l, Way::Active, &[], stream);
            complete(l, Way::Active, &options(theirs), 1_000);
            assert_each_is_scaled(l, theirs.is_some());
        });
    }
}

#[test]
fn an_abort_says_no_window() {
    on_open(5, 300, |l| {
        l.abort();
        assert_eq!((l.engine.only().flags & RST, l.engine.only().wnd), (RST, 0));
    });
}
