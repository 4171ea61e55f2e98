//! Who agrees with whom (§6.1.1, §6.1.1.1).

use tcp_reset_core::{Config, ListenOptions, Timer};

use super::*;
use crate::support::family::over_each;
use crate::support::rig::{Engine, LargeStore, Pair, key, peer, us};

/// The flags of the only segment that the last call sent.
fn said(l: &Rig<'_>) -> (u8, u8) {
    let sent = l.engine.only();
    (sent.flags, sent.ecn)
}

/// Both directions do as was agreed: what we send may be marked, and what is marked is echoed.
fn assert_agreed(l: &mut Rig<'_>, is_sent: bool, is_echoed: bool, case: &str) {
    assert_eq!(status(l).ecn, is_echoed, "{case}");
    let _ = queue(l, 2);
    assert_eq!(l.engine.sent.len(), 2, "{case}");
    assert!(l.engine.sent.iter().all(|sent| sent.is_capable == is_sent), "{case}");
    let _ = marked(l, |l| l.say(ACK, 10));
    assert!(l.engine.sent.iter().any(|sent| sent.ecn & ECE != 0) == is_echoed, "{case}");
}

fn assert_all_agreed(l: &mut Rig<'_>, is_agreed: bool, case: &str) {
    assert_agreed(l, is_agreed, is_agreed, case);
}

#[test]
fn syn_asks_with_both_flags() {
    for (ecn, expected) in [(true, BOTH), (false, 0)] {
        on_closed(Config { ecn, ..quick() }, |l| {
            l.dial_with(stream());
            assert_eq!(said(l), (SYN, expected));
        });
    }
}

#[test]
fn a_syn_ack_with_ece_alone_agrees() {
    for (ecn, flags) in FLAGS.into_iter().flat_map(|flags| [(true, flags), (false, flags)]) {
        on_closed(Config { ecn, ..quick() }, |l| {
            establish(l, Way::Active, flags);
            assert_eq!(said(l), (ACK, 0));
            assert_all_agreed(l, ecn && flags == ECE, &format!("{ecn} {flags:#x}"));
        });
    }
}

#[test]
fn a_syn_with_both_flags_is_answered_with_ece_alone() {
    for (ecn, flags) in FLAGS.into_iter().flat_map(|flags| [(true, flags), (false, flags)]) {
        for way in [Way::Passive, Way::Crossed] {
            on_closed(Config { ecn, ..quick() }, |l| {
                let is_agreed = ecn && flags == BOTH;
                if way == Way::Passive {
                    l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
                } else {
                    l.dial_with(stream());
                }
                let _ = l.say(SYN | flags, 0);
                assert_eq!(said(l), (SYN | ACK, if is_agreed { ECE } else { 0 }), "{ecn} {flags:#x} {way:?}");
            });
            on_closed(Config { ecn, ..quick() }, |l| {
                establish(l, way, flags);
                assert_all_agreed(l, ecn && flags == BOTH, &format!("{ecn} {flags:#x} {way:?}"));
            });
        }
    }
}

/// Both SYNs and both SYN,ACKs must agree: "has sent no non-ECN-setup SYN or non-ECN-setup SYN-ACK packet".
#[test]
fn in_a_simultaneous_open_the_syn_and_the_syn_ack_must_agree() {
    for (syn, syn_ack) in FLAGS.into_iter().flat_map(|syn| FLAGS.map(|syn_ack| (syn, syn_ack))) {
        on_closed(quick(), |l| {
            l.peer_wnd = WINDOW;
            l.dial_with(stream());
            let _ = l.say(SYN | syn, 0);
            let _ = l.say(SYN | ACK | syn_ack, 0);
            assert_eq!(l.state(), State::Established);
            let is_echoed = syn_ack == ECE;
            assert_agreed(l, is_echoed && syn == BOTH, is_echoed, &format!("{syn:#x} {syn_ack:#x}"));
        });
    }
}

/// "If a host has received at least one non-ECN-setup SYN [...] packet, then it SHOULD NOT set ECT on data packets."
#[test]
fn in_a_simultaneous_open_a_repeated_syn_without_flags_ends_ect() {
    for (first, again) in [(BOTH, 0), (BOTH, ECE), (0, BOTH), (BOTH, BOTH)] {
        on_closed(quick(), |l| {
            l.peer_wnd = WINDOW;
            l.dial_with(stream());
            let _ = l.say(SYN | first, 0);
            let _ = l.say(SYN | again, 0);
            let is_echoed = first == BOTH;
            assert_eq!(said(l), (SYN | ACK, if is_echoed { ECE } else { 0 }), "{first:#x} {again:#x}");
            let _ = l.say(ACK, 0);
            assert_agreed(l, is_echoed && again == BOTH, is_echoed, &format!("{first:#x} {again:#x}"));
        });
    }
}

/// The SYN,ACK that answers the first may arrive as well, and a peer that counts on it sends what may be marked.
#[test]
fn a_repeated_syn_without_flags_ends_ect_and_not_the_echo() {
    for (first, again) in FLAGS.into_iter().flat_map(|first| FLAGS.map(|again| (first, again))) {
        on_closed(quick(), |l| {
            l.peer_wnd = WINDOW;
            l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
            let _ = l.say(SYN | first, 0);
            let _ = l.say(SYN | again, 0);
            let is_echoed = first == BOTH;
            assert_eq!(said(l), (SYN | ACK, if is_echoed { ECE } else { 0 }), "{first:#x} {again:#x}");
            let _ = l.say(ACK, 0);
            l.accept();
            assert_agreed(l, is_echoed && again == BOTH, is_echoed, &format!("{first:#x} {again:#x}"));
        });
    }
}

/// A SYN without the flags was sent: nothing may be marked. What arrives marked is echoed, where the peer has agreed with the first.
#[test]
fn a_syn_that_the_timer_repeats_has_neither_flag_and_ends_ect() {
    for (repeats, flags) in [1, 2].into_iter().flat_map(|repeats| FLAGS.map(|flags| (repeats, flags))) {
        on_closed(quick(), |l| {
            l.peer_wnd = WINDOW;
            l.dial_with(stream());
            for _ in 0..repeats {
                let _ = l.engine.next_deadline();
                assert_eq!(said(l), (SYN, 0));
            }
            let _ = l.say(SYN | ACK | flags, 0);
            let case = &format!("{flags:#x}");
            let first = queue(l, 1);
            ack(l, first, 1, 0);
            let _ = l.say(ACK, 0);
            assert_agreed(l, false, flags == ECE, case);
        });
    }
}

#[test]
fn a_crossing_syn_after_our_syn_was_repeated_ends_ect_as_well() {
    on_closed(quick(), |l| {
        l.peer_wnd = WINDOW;
        l.dial_with(stream());
        let _ = l.engine.next_deadline();
        let _ = l.say(SYN | BOTH, 0);
        let _ = l.say(ACK, 0);
        assert_eq!(l.state(), State::Established);
        let _ = queue(l, 1);
        assert!(!l.engine.only().is_capable);
    });
}

#[test]
fn a_syn_ack_that_the_timer_repeats_says_the_same() {
    for flags in FLAGS {
        for way in [Way::Passive, Way::Crossed] {
            on_closed(quick(), |l| {
                l.peer_wnd = WINDOW;
                if way == Way::Passive {
                    l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
                } else {
                    l.dial_with(stream());
                }
                let _ = l.say(SYN | flags, 0);
                let first = said(l);
                for _ in 0..2 {
                    let _ = l.engine.next_deadline();
                    assert_eq!(said(l), first, "{flags:#x} {way:?}");
                }
                if way == Way::Passive {
                    let _ = l.say(ACK, 0);
                    l.accept();
                    // The first window is of one segment.
                    let first = queue(l, 1);
                    ack(l, first, 1, 0);
                    assert_all_agreed(l, flags == BOTH, &format!("{flags:#x}"));
                }
            });
        }
    }
}

/// In a SYN, a SYN,ACK and the ACK of it the flags say no congestion.
#[test]
fn flags_of_the_handshake_reduce_nothing() {
    for way in WAYS {
        let flags = agreeing(way);
        on_closed(quick(), |l| {
            establish(l, way, flags);
            let (window, _) = windows(l);
            let first = queue(l, 20);
            assert_eq!((window, told(l, first)), (INITIAL, vec![]), "{way:?}");
        });
    }
    for last in FLAGS {
        on_closed(quick(), |l| {
            l.peer_wnd = WINDOW;
            l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
            let _ = l.say(SYN | BOTH, 0);
            let _ = l.say(ACK | last, 0);
            l.accept();
            assert_eq!(windows(l).0, INITIAL, "{last:#x}");
        });
    }
}

/// Only data can be marked: what says that a SYN was, says nothing.
#[test]
fn a_marked_handshake_is_not_echoed() {
    for way in WAYS {
        on_closed(quick(), |l| {
            l.engine.is_marked = true;
            establish(l, way, agreeing(way));
            l.engine.is_marked = false;
            let _ = l.say(ACK, 10);
            assert!(!echoes(l), "{way:?}");
        });
    }
}

#[test]
fn payload_that_ends_the_handshake_is_echoed() {
    on_closed(quick(), |l| {
        l.peer_wnd = WINDOW;
        l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
        let _ = l.say(SYN | BOTH, 0);
        let _ = marked(l, |l| l.say(ACK, 10));
        assert_eq!(said(l), (ACK, ECE));
    });
}

/// The engines of two ends, and where each lives.
fn on_two(configs: [Config; 2], test: impl Fn(&mut Pair<'_>)) {
    over_each(|family| {
        let mut stores = [Box::new(LargeStore::new()), Box::new(LargeStore::new())];
        let [a, b] = &mut stores;
        let a = Engine::new(&mut **a, configs[0]);
        let b = Engine::with(&mut **b, configs[1], key(2), a.now);
        test(&mut Pair::new(family, a, b));
    });
}

#[test]
fn two_engines_agree_where_both_want_it() {
    for wants in [[true, true], [true, false], [false, true], [false, false]] {
        on_two(wants.map(|ecn| Config { ecn, ..quick() }), |p| {
            let options = ListenOptions { stream: stream(), ..ListenOptions::default() };
            let (here, there) = (us(p.family), peer(p.family));
            let listener = p.b.tcp.listen(there, options).unwrap();
            let a = p.a.tcp.connect(p.a.now, here, there, Some(Default::default()), stream()).unwrap();
            p.a.drain();
            p.carry();
            let b = p.b.tcp.accept(p.b.now, listener).unwrap();
            let agreed = [p.a.tcp.status(a).unwrap().ecn, p.b.tcp.status(b).unwrap().ecn];
            assert_eq!(agreed, [wants == [true; 2]; 2], "{wants:?}");
        });
    }
}

/// Each end of a simultaneous open that repeats its SYN has sent one without the flags. Whoever sets ECT has an end across that echoes.
#[test]
fn two_engines_that_cross_agree_with_each_other() {
    for lost in [[0, 0], [0, 1], [1, 0], [1, 1]] {
        on_two([quick(); 2], |p| {
            let (here, there) = (us(p.family), peer(p.family));
            let a = p.a.tcp.connect(p.a.now, here, there, Some(Default::default()), stream()).unwrap();
            let b = p.b.tcp.connect(p.b.now, there, here, Some(Default::default()), stream()).unwrap();
            for (engine, lost) in [(&mut p.a, lost[0]), (&mut p.b, lost[1])] {
                engine.drain();
                for _ in 0..lost {
                    assert_eq!(engine.next_deadline(), Timer::Connect);
                }
            }
            let now = p.a.now.max(p.b.now);
            (p.a.now, p.b.now) = (now, now);
            p.carry();
            assert!(p.a.tcp.send(now, a, &[0; 10]).is_ok() && p.b.tcp.send(now, b, &[0; 10]).is_ok());
            p.a.drain();
            p.b.drain();
            let is_capable = |engine: &Engine<'_>| engine.sent.iter().any(|sent| sent.is_capable);
            let is_echoed = [p.b.tcp.status(b).unwrap().ecn, p.a.tcp.status(a).unwrap().ecn];
            for (is_capable, is_echoed) in [is_capable(&p.a), is_capable(&p.b)].into_iter().zip(is_echoed) {
                assert!(!is_capable || is_echoed, "{lost:?}");
            }
            assert_eq!(is_capable(&p.a) && is_capable(&p.b), lost == [0, 0], "{lost:?}");
        });
    }
}
