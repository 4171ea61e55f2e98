//! Which packets may be marked (§5, §6.1.1, §6.1.4 to §6.1.6). That a segment without payload, a SYN and an RST never may is judged of everything that
//! the engine of these tests sends.

use tcp_reset_core::{KeepAlive, Timer};

use super::*;
use crate::support::rig::reach;

fn is_capable(l: &Rig<'_>) -> Vec<bool> {
    l.engine.sent.iter().map(|sent| sent.is_capable).collect()
}

#[test]
fn new_payload_is_ect() {
    for way in WAYS {
        on_closed(quick(), |l| {
            establish(l, way, agreeing(way));
            let _ = queue(l, 3);
            assert_eq!(is_capable(l), [true; 3], "{way:?}");
            let _ = l.queue(10);
            assert_eq!(is_capable(l), [true], "a short one");
            let end = status(l).snd_nxt.0;
            ack(l, end, 0, 0);
            let _ = queue(l, 30);
            assert_eq!(is_capable(l), [true; 10]);
        });
    }
}

#[test]
fn payload_with_a_fin_is_ect_and_a_fin_alone_is_not() {
    on_agreed(|l| {
        // All of the window is out, so that the payload waits for its FIN.
        let first = queue(l, 10);
        let _ = l.queue(10);
        l.engine.tcp.shutdown(l.engine.now, l.handle.unwrap()).unwrap();
        l.engine.drain();
        ack(l, first, 10, 0);
        assert_eq!((l.engine.only().flags & FIN, l.engine.only().text.len(), is_capable(l)), (FIN, 10, vec![true]));
    });
    on_agreed(|l| {
        l.shutdown();
        assert_eq!((l.engine.only().flags & FIN, is_capable(l)), (FIN, vec![false]));
    });
}

/// §6.1.5: "MUST NOT set either ECT codepoint [...] for retransmitted data packets."
#[test]
fn what_is_sent_again_is_not_ect() {
    // By duplicates, and by each partial acknowledgment.
    on_agreed(|l| {
        let first = queue(l, 60);
        for _ in 0..3 {
            ack(l, first, 0, 0);
        }
        assert_eq!((sent(l, first), is_capable(l)), (vec![(0, false)], vec![false]));
        ack(l, first, 3, 0);
        assert_eq!((sent(l, first)[0], is_capable(l)[0]), ((3, false), false));
    });
    // By the probe of the tail and the timer.
    on_agreed(|l| {
        let first = queue(l, 10);
        for _ in 0..4 {
            while l.engine.next_deadline() != Timer::Retransmission || l.engine.sent.is_empty() {}
            assert_eq!((sent(l, first), is_capable(l)), (vec![(0, false)], vec![false]));
        }
        for n in 1..10 {
            ack(l, first, n, 0);
            assert!(!sent(l, first).is_empty() || n > 5);
            assert!(l.engine.sent.iter().all(|sent| !sent.is_capable && sent.ecn == 0));
        }
        ack(l, first, 10, 0);
        let _ = queue(l, 1);
        assert_eq!(is_capable(l), [true]);
    });
}

/// With SACK what is lost and what is new alternate.
#[cfg(feature = "sack")]
#[test]
fn what_sack_sends_again_is_not_ect_and_what_is_new_is() {
    use crate::support::packet::segment::sack_option;
    use crate::support::rig::Raw;

    on_closed(quick(), |l| {
        l.peer_wnd = WINDOW;
        l.dial_with(stream());
        l.engine.wait(RTT);
        let (isn, end) = (l.isn, l.model.snd_nxt);
        let options = &[2, 4, 0, 200, 4, 2][..];
        let wnd = WINDOW as u16;
        let syn_ack = Raw { seq: isn, ack: end, flags: SYN | ACK | ECE, wnd, options, ..Raw::default() };
        let _ = l.engine.arrive(l.peer, l.us, &syn_ack);
        assert!(status(l).sack && status(l).ecn);
        let first = queue(l, 60);
        let mut highest = first.wrapping_add(10 * MSS);
        let (mut news, mut again) = (0, 0);
        for beyond in [2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13] {
            let block = (beyond * MSS, (beyond + 1) * MSS);
            let raw = Raw {
                seq: isn.wrapping_add(1),
                ack: first,
                flags: ACK,
                wnd,
                options: &sack_option(first, &[block]),
                ..Raw::default()
            };
            let _ = l.engine.arrive(l.peer, l.us, &raw);
            for sent in &l.engine.sent {
                let is_new = sent.seq == highest;
                assert_eq!(sent.is_capable, is_new);
                assert!(is_new || sent.ecn == 0);
                (news, again) = (news + u32::from(is_new), again + u32::from(!is_new));
                highest = if is_new { sent.end() } else { highest };
            }
        }
        assert!(news > 3 && again > 1, "{news} {again}");
    });
}

#[test]
fn a_window_probe_is_not_ect_and_what_it_lets_out_is() {
    on_agreed(|l| {
        let (seq, end) = (status(l).rcv_nxt.0, status(l).snd_nxt.0);
        let _ = l.inject(&Seg::new(ACK, seq, end, 0, 0));
        let _ = queue(l, 2);
        for _ in 0..3 {
            l.engine.sent.clear();
            while l.engine.sent.is_empty() {
                let _ = l.engine.next_deadline();
            }
            assert_eq!((l.engine.only().text.len(), is_capable(l)), (1, vec![false]));
        }
        let _ = l.inject(&Seg::new(ACK, seq, end, 0, WINDOW));
        assert_eq!(is_capable(l), [true; 2]);
    });
}

#[test]
fn keepalives_are_not_ect() {
    on_closed(quick(), |l| {
        l.peer_wnd = WINDOW;
        l.dial_with(StreamOptions { keep_alive: Some(KeepAlive::DEFAULT), ..stream() });
        let _ = l.say(SYN | ACK | ECE, 0);
        while l.engine.sent.is_empty() || l.engine.next_deadline() != Timer::KeepAlive {}
        assert_eq!(is_capable(l), [false]);
    });
}

/// §6.1.4, and what belongs to no connection.
#[test]
fn answers_are_not_ect() {
    on_agreed(|l| {
        let _ = marked(l, |l| l.say(ACK, 10));
        assert_eq!((l.engine.only().ecn, is_capable(l)), (ECE, vec![false]), "an acknowledgment");
        let rcv_nxt = status(l).rcv_nxt.0;
        let _ = l.inject(&Seg::new(RST, rcv_nxt.wrapping_add(1), 0, 0, 0));
        assert_eq!(is_capable(l), [false], "a challenge");
        l.abort();
        assert_eq!((l.engine.only().flags & RST, l.engine.only().ecn, is_capable(l)), (RST, 0, vec![false]));
        let _ = l.inject(&Seg::new(ACK | ECE, rcv_nxt, 1, 10, 0));
        assert_eq!((l.engine.only().flags & RST, l.engine.only().ecn, is_capable(l)), (RST, 0, vec![false]));
    });
    for script in [reach::time_wait as reach::Script, reach::knock, reach::cross] {
        crate::on(|l| {
            script(l);
            let m = l.model;
            for flags in FLAGS {
                let _ =
                    marked(l, |l| l.inject(&Seg::new(ACK | FIN | flags, m.rcv_nxt.wrapping_sub(1), m.snd_nxt, 0, 9)));
                let _ = marked(l, |l| l.inject(&Seg::new(ACK | flags, m.rcv_nxt.wrapping_sub(50), m.snd_nxt, 9, 9)));
                let _ = l.inject(&Seg::new(SYN | flags, m.rcv_nxt.wrapping_add(1), 0, 0, 9));
                assert!(l.engine.sent.iter().all(|sent| !sent.is_capable && sent.ecn == 0));
            }
        });
    }
}
