//! Half-open and TIME-WAIT records: held as long as their settings say, whatever the peer repeats.

use std::time::Duration;

use tcp_reset_core::{CloseReason, MAX_SYN_RECEIVED, ResetReason, Timer};

use crate::drawn::Drawn;
use crate::support::family::over_each;
use crate::support::rig::{Engine, PEER_ISN, Rig};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};
use crate::{OneSlot, Rng, listener, ms, on_link_with, secs};

/// What a peer sends that never completes its handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unfinished {
    Silent,
    RepeatsSyn,
    OtherSyns,
    WrongAcks,
}

const UNFINISHED: [Unfinished; 4] =
    [Unfinished::Silent, Unfinished::RepeatsSyn, Unfinished::OtherSyns, Unfinished::WrongAcks];

fn nag(rig: &mut Rig<'_>, how: Unfinished) {
    let m = rig.model;
    let seg = match how {
        Unfinished::Silent => return,
        Unfinished::RepeatsSyn => Seg::new(SYN, rig.isn, 0, 0, 100),
        Unfinished::OtherSyns => Seg::new(SYN, rig.isn.wrapping_add(5_000), 0, 0, 100),
        Unfinished::WrongAcks => Seg::new(ACK, m.rcv_nxt, m.snd_una, 0, 100),
    };
    let _ = rig.inject(&seg);
}

/// Lets `limit` pass, up to one millisecond before it, while the peer nags now and then.
fn pass(rig: &mut Rig<'_>, limit: Duration, how: Unfinished) {
    let end = rig.engine.now + limit;
    let pause = limit / 7 + ms(1);
    while rig.engine.now + pause < end {
        rig.engine.wait(pause);
        nag(rig, how);
    }
    rig.engine.wait(end.duration_since(rig.engine.now).saturating_sub(ms(1)));
    rig.engine.drain();
}

#[test]
fn a_handshake_that_is_never_finished_is_forgotten_in_time() {
    over_each(|family| {
        let mut rng = Rng(11);
        let mut store = Box::new(OneSlot::new());
        let limits = [ms(1), ms(2), ms(999), secs(1), ms(1_001), secs(3), secs(7), secs(30), MAX_SYN_RECEIVED];
        let drawn = (0..30).map(|_| Drawn::new(&mut rng)).collect::<Vec<_>>();
        let fixed = limits.map(|limit| {
            let mut drawn = drawn[0];
            drawn.config.syn_received_timeout = limit;
            drawn
        });
        for drawn in drawn.iter().copied().chain(fixed) {
            for how in UNFINISHED {
                let mut rig = Rig::new(Engine::new(&mut *store, drawn.config), family, PEER_ISN);
                rig.listen(drawn.options);
                let _ = rig.say(SYN, 0);
                let limit = drawn.config.syn_received_timeout;
                assert_eq!(rig.engine.tcp.half_open().map(|half| half.left).collect::<Vec<_>>(), [limit]);
                pass(&mut rig, limit, how);
                let left = rig.engine.tcp.half_open().map(|half| half.left).collect::<Vec<_>>();
                assert_eq!(left, [ms(1)], "{limit:?} {how:?}");
                rig.engine.wait(ms(1));
                assert_eq!(rig.engine.tcp.in_use().1, 0, "{limit:?} {how:?}");
                let reset = rig.engine.only();
                assert_eq!((reset.flags & RST, reset.reason), (RST, Some(ResetReason::TimedOut)));
                assert_eq!(rig.engine.tcp.counters().closed(CloseReason::TimedOut(Timer::SynReceived)), 1);
                // The record takes the next handshake.
                let _ = rig.say(SYN, 0);
                assert_eq!(rig.engine.tcp.in_use().1, 1);
            }
        }
    });
}

/// The handshake is done, nobody accepts the one before it: the peer repeats its ACK, and is forgotten none the later.
#[test]
fn who_waits_behind_a_full_backlog_is_told_in_time() {
    over_each(|family| {
        let mut rng = Rng(12);
        let mut store = Box::new(OneSlot::new());
        for _ in 0..30 {
            let config = Drawn::new(&mut rng).config;
            let mut rig = Rig::new(Engine::new(&mut *store, config), family, PEER_ISN);
            let options = listener(crate::support::rig::small_stream());
            rig.listen(tcp_reset_core::ListenOptions { backlog: 1, ..options });
            let second = std::net::SocketAddr::new(rig.peer.ip(), rig.peer.port() + 1);
            let first = std::mem::replace(&mut rig.peer, second);
            let _ = rig.say(SYN, 0);
            let ack = Seg::new(ACK, rig.model.rcv_nxt, rig.model.snd_nxt, 0, 100);
            // The other takes the only place between the two segments.
            rig.peer = first;
            let _ = rig.say(SYN, 0);
            let _ = rig.say(ACK, 0);
            rig.peer = second;
            let limit = config.syn_received_timeout;
            let end = rig.engine.now + limit;
            let pause = limit / 5 + ms(1);
            let _ = rig.inject(&ack);
            while rig.engine.now + pause < end {
                rig.engine.wait(pause);
                let _ = rig.inject(&ack);
            }
            rig.engine.wait(end.duration_since(rig.engine.now).saturating_sub(ms(1)));
            assert_eq!(rig.engine.tcp.in_use(), (1, 1, 0), "{limit:?}");
            rig.engine.wait(ms(1));
            assert_eq!(rig.engine.tcp.in_use(), (1, 0, 0), "{limit:?}");
            assert_eq!(rig.engine.only().reason, Some(ResetReason::ListenerFull));
        }
    });
}

#[test]
fn time_wait_lasts_as_long_as_it_says_and_only_a_fin_renews_it() {
    let mut rng = Rng(13);
    for _ in 0..30 {
        let config = Drawn::new(&mut rng).config;
        let limit = config.time_wait;
        // An ACK, old text, a SYN that nobody takes, an RST, a FIN at another number; and the FIN itself.
        for what in 0..6 {
            on_link_with(config, |rig| {
                crate::support::rig::reach::time_wait(rig);
                rig.look();
                let (seq, ack) = (rig.model.rcv_nxt, rig.model.snd_nxt);
                let left = |rig: &Rig<'_>| rig.engine.tcp.time_waits().map(|wait| wait.left).collect::<Vec<_>>();
                assert_eq!(left(rig), [limit]);
                let half = limit / 2;
                rig.engine.wait(half);
                let again = [
                    Seg::new(ACK, seq, ack, 0, 100),
                    Seg::new(ACK, seq.wrapping_sub(9), ack, 5, 100),
                    Seg::new(SYN, seq.wrapping_add(1_000), 0, 0, 100),
                    Seg::new(RST, seq, 0, 0, 100),
                    Seg::new(FIN | ACK, seq.wrapping_sub(9), ack, 0, 100),
                    Seg::new(FIN | ACK, seq.wrapping_sub(1), ack, 0, 100),
                ];
                let _ = rig.inject(&again[what]);
                let repeats_fin = what == 5;
                let rest = if repeats_fin { limit } else { limit - Duration::from_millis(half.as_millis() as u64) };
                assert!(left(rig).iter().all(|left| left.abs_diff(rest) <= ms(1)), "{limit:?}");
                rig.engine.wait(rest.saturating_sub(ms(2)));
                assert!(rest <= ms(2) || rig.engine.tcp.in_use().2 == 1, "{limit:?}");
                rig.engine.wait(ms(3));
                assert_eq!(rig.engine.tcp.in_use().2, 0, "{limit:?}");
            });
        }
    }
}
