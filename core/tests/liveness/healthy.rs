//! A peer that answers lives, however long nothing is said (MUST-37).

use std::time::Duration;

use tcp_reset_core::{KeepAlive, State, Timer};

use crate::support::rig::{Rig, small_stream};
use crate::support::table::{ACK, FIN, Seg};
use crate::{
    DAY, answer, assert_carries_data, assert_ends, assert_probe, end_of, enter_with, keep, keep_answering, listener,
    ms, on_link, secs, with_keep,
};

const IDLE: Duration = Duration::from_secs(60 * 86_400);

#[test]
fn sixty_idle_days_without_keepalive_send_nothing_and_end_nothing() {
    on_link(|rig| {
        rig.open();
        assert_eq!(rig.engine.deadline, None);
        rig.engine.now = rig.engine.now + IDLE;
        rig.engine.tcp.handle_timeout(rig.engine.now);
        rig.engine.drain();
        assert_eq!((rig.state(), rig.engine.sent.len()), (State::Established, 0));
        assert_carries_data(rig);
        rig.engine.now = rig.engine.now + IDLE;
        // The first thing that happens is the peer's word, with no timeout handled between.
        let _ = rig.say(ACK, 7);
        assert_eq!(rig.recv().len(), 7);
        assert_carries_data(rig);
    });
}

#[test]
fn sixty_idle_days_with_keepalive_are_probed_as_the_settings_say() {
    let most = keep(secs(16_383), secs(16_383), 9);
    let short = keep(secs(60), ms(500), 1);
    for keep_alive in [KeepAlive::default(), most, short, keep(secs(86_400), secs(75), 255)] {
        on_link(|rig| {
            enter_with(rig, listener(with_keep(keep_alive)));
            let began = rig.engine.now;
            let probes = keep_answering(rig, IDLE);
            let expected = IDLE.as_millis() / keep_alive.idle.as_millis();
            assert_eq!(probes.len() as u128, expected);
            for (n, at) in (1_u32..).zip(&probes) {
                assert_eq!(at.duration_since(began), keep_alive.idle * n);
            }
            assert_eq!(rig.engine.events.len(), 1, "nothing but that it could be accepted: {:?}", rig.engine.events);
            assert_carries_data(rig);
        });
    }
}

/// An answer to the last probe is early enough, each time.
#[test]
fn who_answers_the_last_probe_alone_lives() {
    on_link(|rig| {
        let keep_alive = keep(secs(100), secs(10), 3);
        rig.open_with(with_keep(keep_alive));
        for _ in 0..50 {
            let began = rig.engine.now;
            for n in 0..3 {
                assert_eq!(rig.engine.next_deadline(), Timer::KeepAlive);
                assert_probe(rig);
                assert_eq!(rig.engine.now.duration_since(began), secs(100 + 10 * n));
                assert_eq!(u64::from(rig.status().unwrap().retries), n + 1);
            }
            rig.engine.wait(ms(9_999));
            answer(rig);
            assert_eq!(rig.status().unwrap().retries, 0);
        }
        assert_eq!(end_of(rig), None);
        let heard = rig.engine.now;
        assert_ends(rig, heard, secs(130), Timer::KeepAlive, true);
    });
}

/// A half-close that is held: the peer has finished, or withholds its FIN, and answers.
#[test]
fn a_held_half_close_lives_with_keepalive_and_without() {
    for keep_alive in [None, Some(keep(secs(7_200), secs(75), 9))] {
        for peer_first in [false, true] {
            on_link(|rig| {
                rig.open_with(tcp_reset_core::StreamOptions { keep_alive, ..small_stream() });
                if peer_first {
                    rig.peer_finishes();
                } else {
                    rig.shutdown();
                    rig.peer_acks();
                }
                let probes = keep_answering(rig, IDLE);
                assert_eq!(probes.len(), if keep_alive.is_some() { 60 * 12 } else { 0 });
                assert_eq!(end_of(rig), None);
                finish(rig, peer_first);
            });
        }
    }
}

/// The other half is done as ever.
fn finish(rig: &mut Rig<'_>, peer_first: bool) {
    if peer_first {
        rig.send(10);
        answer(rig);
        rig.shutdown();
        answer(rig);
        assert_eq!(end_of(rig), Some(tcp_reset_core::CloseReason::PeerClosed));
    } else {
        let _ = rig.say(ACK, 7);
        assert_eq!(rig.recv().len(), 7);
        let _ = rig.say(FIN | ACK, 0);
        assert_eq!(end_of(rig), Some(tcp_reset_core::CloseReason::LocalClosed));
    }
}

/// A window that stays closed while the peer answers (§3.8.6.1): weeks, and then what has waited goes out.
#[test]
fn a_closed_window_is_waited_for_while_its_peer_answers() {
    on_link(|rig| {
        crate::support::rig::reach::send_window_closed(rig);
        crate::user_timeout::wait_answering(rig, 40 * DAY);
        assert_eq!(end_of(rig), None);
        rig.peer_offers(1_000);
        assert_eq!(rig.engine.only().text.len(), 20);
        answer(rig);
        assert_eq!(rig.status().unwrap().unacknowledged, 0);
        assert_carries_data(rig);
    });
}

/// One byte a minute is progress: it renews the idle time, and a peer that is slower than that ends.
#[test]
fn a_byte_a_minute_lives_or_ends_as_the_idle_timeout_says() {
    for (limit, lives) in [(61, true), (60, false), (59, false)] {
        on_link(|rig| {
            let stream = tcp_reset_core::StreamOptions { idle_timeout: Some(secs(limit)), ..small_stream() };
            rig.open_with(stream);
            for _ in 0..2_000 {
                rig.engine.wait(secs(60));
                if end_of(rig).is_some() {
                    break;
                }
                let _ = rig.say_seg(&Seg::new(ACK, rig.model.rcv_nxt, rig.model.snd_nxt, 1, 1_000));
                assert_eq!(rig.recv().len(), 1);
            }
            assert_eq!(end_of(rig).is_none(), lives);
        });
    }
}
