//! Half-open and TIME-WAIT records: held as long as their settings say, whatever the peer repeats.

use std::time::Duration;

use tcp_reset_core::{CloseReason, MAX_SYN_RECEIVED, ResetReason, Timer};

use crate::drawn::Drawn;
use crate::support::family::over_each;
use crate::support::rig::{Link, PEER_ISN, World};
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

fn nag(link: &mut Link<'_>, how: Unfinished) {
    let m = link.model;
    let seg = match how {
        Unfinished::Silent => return,
        Unfinished::RepeatsSyn => Seg::new(SYN, link.isn, 0, 0, 100),
        Unfinished::OtherSyns => Seg::new(SYN, link.isn.wrapping_add(5_000), 0, 0, 100),
        Unfinished::WrongAcks => Seg::new(ACK, m.rcv_nxt, m.snd_una, 0, 100),
    };
    let _ = link.inject(&seg);
}

/// Lets `limit` pass, up to one millisecond before it, while the peer nags now and then.
fn pass(link: &mut Link<'_>, limit: Duration, how: Unfinished) {
    let end = link.world.now + limit;
    let pause = limit / 7 + ms(1);
    while link.world.now + pause < end {
        link.world.wait(pause);
        nag(link, how);
    }
    link.world.wait(end.duration_since(link.world.now).saturating_sub(ms(1)));
    link.world.drain();
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
                let mut link = Link::new(World::new(&mut *store, drawn.config), family, PEER_ISN);
                link.listen(drawn.options);
                let _ = link.say(SYN, 0);
                let limit = drawn.config.syn_received_timeout;
                assert_eq!(link.world.tcp.half_open().map(|half| half.left).collect::<Vec<_>>(), [limit]);
                pass(&mut link, limit, how);
                let left = link.world.tcp.half_open().map(|half| half.left).collect::<Vec<_>>();
                assert_eq!(left, [ms(1)], "{limit:?} {how:?}");
                link.world.wait(ms(1));
                assert_eq!(link.world.tcp.in_use().1, 0, "{limit:?} {how:?}");
                let reset = link.world.only();
                assert_eq!((reset.flags & RST, reset.reason), (RST, Some(ResetReason::TimedOut)));
                assert_eq!(link.world.tcp.counters().closed(CloseReason::TimedOut(Timer::SynReceived)), 1);
                // The record takes the next handshake.
                let _ = link.say(SYN, 0);
                assert_eq!(link.world.tcp.in_use().1, 1);
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
            let mut link = Link::new(World::new(&mut *store, config), family, PEER_ISN);
            let options = listener(crate::support::rig::small_stream());
            link.listen(tcp_reset_core::ListenOptions { backlog: 1, ..options });
            let second = std::net::SocketAddr::new(link.peer.ip(), link.peer.port() + 1);
            let first = std::mem::replace(&mut link.peer, second);
            let _ = link.say(SYN, 0);
            let ack = Seg::new(ACK, link.model.rcv_nxt, link.model.snd_nxt, 0, 100);
            // The other takes the only place between the two segments.
            link.peer = first;
            let _ = link.say(SYN, 0);
            let _ = link.say(ACK, 0);
            link.peer = second;
            let limit = config.syn_received_timeout;
            let end = link.world.now + limit;
            let pause = limit / 5 + ms(1);
            let _ = link.inject(&ack);
            while link.world.now + pause < end {
                link.world.wait(pause);
                let _ = link.inject(&ack);
            }
            link.world.wait(end.duration_since(link.world.now).saturating_sub(ms(1)));
            assert_eq!(link.world.tcp.in_use(), (1, 1, 0), "{limit:?}");
            link.world.wait(ms(1));
            assert_eq!(link.world.tcp.in_use(), (1, 0, 0), "{limit:?}");
            assert_eq!(link.world.only().reason, Some(ResetReason::ListenerFull));
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
            on_link_with(config, |link| {
                crate::support::rig::reach::time_wait(link);
                link.look();
                let (seq, ack) = (link.model.rcv_nxt, link.model.snd_nxt);
                let left = |link: &Link<'_>| link.world.tcp.time_waits().map(|wait| wait.left).collect::<Vec<_>>();
                assert_eq!(left(link), [limit]);
                let half = limit / 2;
                link.world.wait(half);
                let again = [
                    Seg::new(ACK, seq, ack, 0, 100),
                    Seg::new(ACK, seq.wrapping_sub(9), ack, 5, 100),
                    Seg::new(SYN, seq.wrapping_add(1_000), 0, 0, 100),
                    Seg::new(RST, seq, 0, 0, 100),
                    Seg::new(FIN | ACK, seq.wrapping_sub(9), ack, 0, 100),
                    Seg::new(FIN | ACK, seq.wrapping_sub(1), ack, 0, 100),
                ];
                let _ = link.inject(&again[what]);
                let repeats_fin = what == 5;
                let rest = if repeats_fin { limit } else { limit - Duration::from_millis(half.as_millis() as u64) };
                assert!(left(link).iter().all(|left| left.abs_diff(rest) <= ms(1)), "{limit:?}");
                link.world.wait(rest.saturating_sub(ms(2)));
                assert!(rest <= ms(2) || link.world.tcp.in_use().2 == 1, "{limit:?}");
                link.world.wait(ms(3));
                assert_eq!(link.world.tcp.in_use().2, 0, "{limit:?}");
            });
        }
    }
}
