//! LISTEN (RFC 9293 §3.10.7.2), and what becomes of handshakes when a listener closes.

use std::net::SocketAddr;

use tcp_reset_core::{Action, ListenOptions, Overflow, ResetReason, Rule, State};

use crate::checks::{
    assert_reset, assert_sent, assert_silent, assert_untouched, assert_verdict, on_large_link, on_link, seg, stranger,
    stranger_knocks,
};
use crate::support::rig;
use crate::support::rig::reach::accepted;
use crate::support::rig::{BUFFER, PEER_ISN, Raw, Rig};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg, URG};

#[test]
fn listen_rst_is_ignored() {
    on_link(|l| {
        l.listen(rig::small_listener());
        for flags in [RST, RST | ACK, RST | SYN] {
            assert_untouched(l, &Seg::new(flags, 100, 200, 0, 0), Rule::ListenRst, Action::Dropped);
            assert_silent(l);
        }
        let verdict = l.say(SYN, 0);
        assert_eq!(verdict.rule, Rule::ListenSyn, "the listener lives on");
    });
}

#[test]
fn listen_ack_draws_rst() {
    on_link(|l| {
        l.listen(rig::small_listener());
        for flags in [ACK, SYN | ACK, FIN | ACK] {
            assert_untouched(
                l,
                &Seg::new(flags, 100, 200, 4, 0),
                Rule::ListenAck,
                Action::Reset(ResetReason::AckToListener),
            );
            assert_eq!((l.engine.only().flags, l.engine.only().seq), (RST, 200));
        }
    });
}

/// A listener with room for one half-open connection, which is taken.
fn full_listener(rig: &mut Rig<'_>, overflow: Overflow) {
    rig.listen(ListenOptions { half_open: 1, overflow, ..rig::small_listener() });
    let other = SocketAddr::new(rig.family.host(3), 5_000);
    let _ = rig.engine.arrive(other, rig.us, &Raw { flags: SYN, ..Raw::default() });
    assert_eq!(rig.engine.only().flags, SYN | ACK);
}

#[test]
fn listen_syn_when_full_is_dropped() {
    on_link(|l| {
        full_listener(l, Overflow::Drop);
        assert_untouched(l, &Seg::new(SYN, 100, 0, 0, 1_000), Rule::ListenSynDropped, Action::Dropped);
        assert_silent(l);
    });
}

#[test]
fn listen_syn_when_full_is_refused() {
    on_link(|l| {
        full_listener(l, Overflow::Refuse);
        let action = Action::Reset(ResetReason::ListenerFull);
        assert_untouched(l, &Seg::new(SYN | FIN, 100, 0, 7, 1_000), Rule::ListenSynRefused, action);
        assert_reset(l, RST | ACK, 0, 109, ResetReason::ListenerFull);
    });
}

#[test]
fn listen_syn_makes_half_open_and_sends_syn_ack() {
    for (flags, text) in [(SYN, 0), (SYN | FIN, 0), (SYN | PSH | URG, 9)] {
        on_link(|l| {
            l.listen(rig::small_listener());
            let verdict = l.say(flags, text);
            assert_verdict(l, verdict, Rule::ListenSyn, Action::SynAcked, State::Listen);
            assert_sent(l, SYN | ACK, l.model.iss, PEER_ISN + 1);
            let sent = l.engine.only();
            let [high, low] = (1_460 - l.family.mss_less()).to_be_bytes();
            assert_eq!((sent.wnd, &sent.options[..]), (BUFFER, &[2, 4, high, low][..]), "window, and the MSS alone");
            assert_eq!(l.state(), State::SynReceived);
        });
    }
}

#[test]
fn listen_other_is_dropped() {
    on_link(|l| {
        l.listen(rig::small_listener());
        for flags in [0, FIN, PSH, URG, FIN | PSH | URG] {
            assert_untouched(l, &Seg::new(flags, 100, 200, 3, 0), Rule::ListenOther, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn unlisten_tells_every_half_open_peer() {
    let many = |l: &mut Rig<'_>| {
        l.listen(ListenOptions { half_open: 200, ..rig::small_listener() });
        (1..=30).map(|n| stranger_knocks(l, 2_000 + n)).collect::<Vec<_>>()
    };
    let told = |l: &Rig<'_>, syn_acks: &[rig::Sent]| {
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.engine.sent.len(), syn_acks.len());
        for (rst, syn_ack) in l.engine.sent.iter().zip(syn_acks) {
            assert_eq!((rst.flags, rst.dst, rst.seq, rst.ack), (RST | ACK, syn_ack.dst, syn_ack.end(), 6));
            assert_eq!(rst.reason, Some(ResetReason::ListenerClosed));
        }
    };
    on_large_link(|l| {
        let syn_acks = many(l);
        l.engine.tcp.unlisten(l.engine.now, l.listener.unwrap()).unwrap();
        assert_eq!(l.engine.tcp.in_use().1, 26, "what fits into half the queue is on its way");
        l.engine.drain();
        told(l, &syn_acks);
    });
    on_large_link(|l| {
        let syn_acks = many(l);
        l.engine.tcp.abort_all(l.engine.now);
        l.engine.drain();
        told(l, &syn_acks);
    });
    // The queue drains late: meanwhile who asks is answered, and who was to be told may ask.
    on_large_link(|l| {
        let syn_acks = many(l);
        l.engine.tcp.unlisten(l.engine.now, l.listener.unwrap()).unwrap();
        let raw = Raw { seq: 6, ack: syn_acks[29].end(), flags: ACK, wnd: 100, ..Raw::default() };
        let _ = l.engine.arrive(stranger(l, 2_030), l.us, &raw);
        let resets = l.engine.sent.iter().filter(|sent| sent.dst == stranger(l, 2_030)).count();
        assert_eq!((resets, l.engine.sent.len()), (2, 31), "by its own segment, and by the queue");
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
    });
}

#[test]
fn unlisten_resets_what_was_not_accepted() {
    on_link(|l| {
        l.enter();
        l.unlisten();
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::ListenerClosed);
        assert_eq!(l.state(), State::Closed);
    });
    on_link(|l| {
        l.knock();
        l.unlisten();
        assert_eq!(l.state(), State::Closed, "the half-open entry goes with its listener");
        assert_reset(l, RST | ACK, l.model.snd_nxt, l.model.rcv_nxt, ResetReason::ListenerClosed);
        assert_eq!(l.inject(&seg(l, ACK, 0, 0)).rule, Rule::ClosedAck, "its peer learns at the latest now");
    });
    on_link(|l| {
        accepted(l);
        l.unlisten();
        assert_silent(l);
        assert_eq!(l.state(), State::Established, "what was accepted stays");
    });
}
