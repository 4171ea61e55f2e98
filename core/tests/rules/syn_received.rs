//! SYN-RECEIVED, of a listener and of a simultaneous open (RFC 9293 §3.10.7.4).

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{Action, Arrival, CloseReason, Event, LinkAddr, ListenOptions, Output, ResetReason, Rule, State};

use crate::checks::{
    assert_closed, assert_empty_ack, assert_sent, assert_silent, assert_untouched, assert_verdict, bad_acks, on_link,
    seg, stranger, stranger_knocks, with_ack,
};
use crate::support::rig;
use crate::support::rig::reach::{SYN_RECEIVED, cross, knock};
use crate::support::rig::{BUFFER, PEER_ISN, Raw, Rig};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};

#[test]
fn syn_received_passive_rst_returns_to_listen() {
    on_link(|l| {
        l.knock();
        let verdict = l.inject(&seg(l, RST, 0, 0));
        assert_verdict(l, verdict, Rule::RstSynReceivedPassive, Action::ReturnedToListen, State::SynReceived);
        assert_silent(l);
        assert_eq!(l.state(), State::Listen);
        assert_eq!(l.engine.events, [], "the application need not know");
        let verdict = l.say(SYN, 0);
        assert_eq!(verdict.rule, Rule::ListenSyn, "the listener lives on");
    });
}

#[test]
fn syn_received_active_rst_is_refused() {
    on_link(|l| {
        l.cross();
        let verdict = l.inject(&seg(l, RST | ACK, 0, 0));
        assert_verdict(l, verdict, Rule::RstSynReceivedActive, Action::Ended(CloseReason::Refused), State::SynReceived);
        assert_silent(l);
        assert_closed(l, CloseReason::Refused);
    });
}

/// Two forged segments, a SYN and an RST at its number, must not end the attempt; a peer that refuses says so.
#[test]
fn syn_received_active_unproven_rst_returns_to_syn_sent() {
    let unproven = |l: &Rig<'_>| [seg(l, RST, 0, 0), with_ack(seg(l, RST | ACK, 0, 0), l.model.iss)];
    for which in 0..2 {
        on_link(|l| {
            l.cross();
            let verdict = l.inject(&unproven(l)[which]);
            let action = Action::ReturnedToSynSent;
            assert_verdict(l, verdict, Rule::RstSynReceivedUnproven, action, State::SynReceived);
            assert_eq!((l.engine.only().flags, l.engine.only().seq), (SYN, l.model.iss));
            assert_eq!(l.state(), State::SynSent);
            let refusal = Seg::new(RST | ACK, 0, l.model.snd_nxt, 0, 0);
            assert_eq!(l.inject(&refusal).rule, Rule::SynSentRst);
            assert_closed(l, CloseReason::Refused);
        });
    }
    on_link(|l| {
        l.cross();
        let attempt_ends = l.engine.now + Duration::from_secs(400);
        // The forger goes on, more often than we answer, and longer than the attempt may take.
        let mut syns = 0;
        while l.state() != State::Closed {
            let syn = Seg::new(SYN, 77_000, 0, 0, 1_000);
            if l.state() == State::SynSent {
                let _ = l.inject(&syn);
            }
            let _ = l.inject(&Seg::new(RST, 77_001, 0, 0, 0));
            syns += l.engine.sent.iter().filter(|sent| sent.flags == SYN).count();
            l.engine.wait(Duration::from_millis(100));
            assert!(l.engine.now < attempt_ends, "a forger prolongs the attempt");
        }
        assert!(syns < 10 * 200 / 4 + 20, "{syns} SYNs");
    });
}

#[test]
fn syn_received_syn_with_bad_ack_draws_rst() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            for ack in bad_acks(l) {
                let action = Action::Reset(ResetReason::BadAckInHandshake);
                assert_untouched(l, &with_ack(seg(l, SYN | ACK, -1, 0), ack), Rule::SynReceivedBadAck, action);
                assert_eq!((l.engine.only().flags, l.engine.only().seq), (RST, ack));
            }
        });
    }
}

#[test]
fn syn_received_active_syn_ack_establishes() {
    on_link(|l| {
        l.cross();
        let verdict = l.say(SYN | ACK, 0);
        assert_verdict(l, verdict, Rule::SynReceivedSynAck, Action::Accepted, State::SynReceived);
        assert!(l.engine.sent.iter().all(|sent| sent.flags == ACK), "{:?}", l.engine.sent);
        assert_eq!(l.state(), State::Established);
        assert!(l.engine.events.contains(&Event::Connected(l.handle.unwrap())));
    });
}

#[test]
fn syn_received_syn_again_repeats_syn_ack() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            let again = seg(l, SYN, -1, 0);
            for _ in 0..10 {
                assert_untouched(l, &again, Rule::SynReceivedSynAgain, Action::SynAcked);
                assert_sent(l, SYN | ACK, l.model.iss, l.model.rcv_nxt);
            }
            assert_untouched(l, &again, Rule::SynReceivedSynAgain, Action::Limited);
            assert_silent(l);
        });
    }
}

#[test]
fn syn_received_other_syn_is_challenged() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            for (offset, flags) in [(-2, SYN), (0, SYN), (BUFFER.cast_signed(), SYN), (i32::MIN, SYN | FIN)] {
                assert_untouched(l, &seg(l, flags, offset, 0), Rule::SynReceivedSynOther, Action::Challenged);
                assert_empty_ack(l);
            }
            // With an ACK of something never sent too, wherever it is but at IRS.
            let wrong = with_ack(seg(l, SYN | ACK, 1, 0), l.model.snd_nxt + 1);
            assert_untouched(l, &wrong, Rule::SynReceivedSynOther, Action::Challenged);
        });
    }
    on_link(|l| {
        knock(l);
        assert_untouched(l, &seg(l, SYN | ACK, 1, 0), Rule::SynReceivedSynOther, Action::Challenged);
    });
}

#[test]
fn syn_received_active_bad_ack_draws_rst_wherever() {
    on_link(|l| {
        cross(l);
        for ack in bad_acks(l) {
            for offset in [-1, 0, 0x1000_0000] {
                let action = Action::Reset(ResetReason::BadAckInHandshake);
                assert_untouched(l, &with_ack(seg(l, ACK, offset, 0), ack), Rule::SynReceivedBadAck, action);
                assert_eq!((l.engine.only().flags, l.engine.only().seq), (RST, ack));
            }
        }
    });
}

#[test]
fn syn_received_bad_ack_draws_rst_and_stays() {
    for build in SYN_RECEIVED {
        on_link(|l| {
            build(l);
            for ack in bad_acks(l) {
                let action = Action::Reset(ResetReason::BadAckInHandshake);
                assert_untouched(l, &with_ack(seg(l, ACK, 0, 3), ack), Rule::SynReceivedBadAck, action);
                assert_eq!((l.engine.only().flags, l.engine.only().seq), (RST, ack));
            }
            let verdict = l.say(ACK, 0);
            assert_eq!(verdict.rule, Rule::AckEstablishes, "the entry stays");
        });
    }
}

#[test]
fn syn_received_ack_without_slot_is_dropped() {
    on_link(|l| {
        l.listen(ListenOptions { backlog: 1, ..rig::small_listener() });
        let _ = l.say(SYN, 0);
        let other = SocketAddr::new(l.family.host(3), 5_000);
        let _ = l.engine.arrive(other, l.us, &Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() });
        let ack = l.engine.only().end();
        let _ = l.engine.arrive(other, l.us, &Raw { seq: 2, ack, flags: ACK, wnd: 100, ..Raw::default() });
        assert_untouched(l, &seg(l, ACK, 0, 0), Rule::SynReceivedNoSlot, Action::Dropped);
        assert_silent(l);
        l.engine.tcp.accept(l.engine.now, l.listener.unwrap()).unwrap();
        let verdict = l.say(ACK, 0);
        assert_eq!(verdict.rule, Rule::AckEstablishes, "the entry stayed");
    });
}

#[test]
fn syn_received_ack_establishes() {
    on_link(|l| {
        l.knock();
        let verdict = l.say(ACK, 0);
        assert_verdict(l, verdict, Rule::AckEstablishes, Action::Accepted, State::SynReceived);
        assert_silent(l);
        assert_eq!(l.state(), State::Established);
        assert_eq!(l.engine.events, [Event::Acceptable(l.listener.unwrap())]);
        l.accept();
        assert_eq!(l.status().unwrap().state, State::Established);
    });
    on_link(|l| {
        l.cross();
        let verdict = l.say(ACK, 0);
        assert_verdict(l, verdict, Rule::AckEstablishes, Action::Accepted, State::SynReceived);
        assert_eq!(l.engine.events, [Event::Connected(l.handle.unwrap())]);
    });
}

#[test]
fn syn_received_expired_peer_is_told() {
    // The handshake was never completed.
    on_link(|l| {
        l.knock();
        l.engine.wait(Duration::from_secs(31));
        let told = l.engine.sent.last().unwrap();
        // Without an ACK: a peer whose SYN,ACK was lost goes on in SYN-SENT, and its next SYN is taken.
        assert_eq!((told.flags, told.seq), (RST, l.model.iss.wrapping_add(1)));
        assert_eq!(l.engine.sent.iter().filter(|sent| sent.flags & RST != 0).count(), 1);
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.engine.tcp.counters().reset_sent(ResetReason::TimedOut), 1);
    });
    // It was, but the backlog stayed full: the peer counts it as established and may wait for us to speak first.
    on_link(|l| {
        l.listen(ListenOptions { backlog: 1, ..rig::small_listener() });
        let _ = l.say(SYN, 0);
        let first = l.model.rcv_nxt;
        let reply = stranger_knocks(l, 1_001);
        let raw = Raw { seq: 6, ack: reply.end(), flags: ACK, wnd: 100, ..Raw::default() };
        let _ = l.engine.arrive(stranger(l, 1_001), l.us, &raw);
        assert_eq!(l.inject(&Seg::new(ACK, first, l.model.snd_nxt, 0, 1_000)).rule, Rule::SynReceivedNoSlot);
        assert_eq!(l.engine.tcp.in_use().1, 1);
        l.engine.wait(Duration::from_secs(31));
        assert_eq!(l.engine.tcp.counters().reset_sent(ResetReason::ListenerFull), 1);
        let told = l.engine.sent.iter().find(|sent| sent.flags == RST | ACK).unwrap();
        assert_eq!((told.seq, told.ack), (l.model.iss.wrapping_add(1), first));
        assert_eq!(l.engine.tcp.in_use().1, 0);
    });
}

/// One bare SYN while the neighbor does not answer: there is no link-layer address to send an RST to.
#[test]
fn syn_received_abort_with_nowhere_to_go_frees_the_slot() {
    on_link(|l| {
        let options = rig::small_stream();
        let handle = l.engine.tcp.connect(l.engine.now, l.us, l.peer, None, options).unwrap();
        l.handle = Some(handle);
        let park = |l: &mut Rig<'_>| {
            while let Output::Transmit(transmit) = l.engine.tcp.poll_output(l.engine.now) {
                assert_eq!(transmit.link_addr(), None);
                transmit.defer();
            }
        };
        park(l);
        let raw = Raw { seq: PEER_ISN, flags: SYN, wnd: 100, ..Raw::default() };
        let arrival = Arrival { src: l.peer.ip(), dst: l.us.ip(), link_addr: LinkAddr([2; 6]) };
        let _ = l.engine.tcp.handle_segment(l.engine.now, &arrival, &raw.bytes(l.peer, l.us));
        park(l);
        assert_eq!(l.state(), State::SynReceived);
        l.engine.tcp.abort(l.engine.now, handle).unwrap();
        park(l);
        while let Output::Event(_) = l.engine.tcp.poll_output(l.engine.now) {}
        park(l);
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.engine.tcp.counters().resets_dropped, 1);
        assert_eq!(l.engine.tcp.next_timeout(l.engine.now), None);
    });
}
