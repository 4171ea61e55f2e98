//! SYN-SENT (RFC 9293 §3.10.7.3).

use tcp_reset_core::{Action, CloseReason, Event, ResetReason, Rule, State};

use crate::checks::{assert_closed, assert_sent, assert_silent, assert_untouched, assert_verdict, bad_acks, on_link};
use crate::support::rig;
use crate::support::rig::PEER_ISN;
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg, URG};

#[test]
fn syn_sent_rst_with_bad_ack_is_dropped() {
    on_link(|l| {
        l.dial();
        for ack in bad_acks(l) {
            assert_untouched(l, &Seg::new(RST | ACK, 9, ack, 0, 0), Rule::SynSentBadAckRst, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn syn_sent_bad_ack_draws_rst_and_goes_on() {
    on_link(|l| {
        l.dial();
        for (ack, flags) in bad_acks(l).into_iter().zip([ACK, SYN | ACK, FIN | ACK, SYN | FIN | ACK]) {
            let action = Action::Reset(ResetReason::BadAckInHandshake);
            assert_untouched(l, &Seg::new(flags, 9, ack, 3, 0), Rule::SynSentBadAck, action);
            let sent: Vec<_> = l.engine.sent.iter().map(|sent| (sent.flags, sent.seq)).collect();
            assert_eq!(sent, [(RST, ack), (SYN, l.model.iss)], "the peer's old connection is over: SYN again");
        }
        let ack = l.model.snd_nxt + 1;
        for _ in 0..20 {
            let _ = l.inject(&Seg::new(ACK, 9, ack, 0, 0));
        }
        assert_eq!((l.engine.only().flags, l.engine.only().seq), (RST, ack), "but no more often than the limit");
        let verdict = l.say(SYN | ACK, 0);
        assert_eq!(verdict.rule, Rule::SynSentSynAck, "the attempt goes on");
    });
}

#[test]
fn syn_sent_rst_with_acceptable_ack_is_refused() {
    for flags in [RST | ACK, RST | ACK | SYN, RST | ACK | FIN] {
        on_link(|l| {
            l.dial();
            let verdict = l.inject(&Seg::new(flags, 0, l.model.snd_nxt, 0, 0));
            assert_verdict(l, verdict, Rule::SynSentRst, Action::Ended(CloseReason::Refused), State::SynSent);
            assert_silent(l);
            assert_closed(l, CloseReason::Refused);
            assert_eq!(l.state(), State::Closed);
        });
    }
}

#[test]
fn syn_sent_rst_without_ack_is_dropped() {
    on_link(|l| {
        l.dial();
        for flags in [RST, RST | SYN, RST | FIN] {
            assert_untouched(l, &Seg::new(flags, 0, l.model.snd_nxt, 0, 0), Rule::SynSentRstNoAck, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn syn_sent_syn_ack_establishes() {
    for (fin, text, state) in [(0, 0, State::Established), (0, 7, State::Established), (FIN, 7, State::CloseWait)] {
        on_link(|l| {
            l.dial();
            let verdict = l.say(SYN | ACK | fin, text);
            assert_verdict(l, verdict, Rule::SynSentSynAck, Action::Accepted, State::SynSent);
            assert_sent(l, ACK, l.model.iss + 1, PEER_ISN + 1 + text + u32::from(fin));
            assert_eq!(l.state(), state);
            assert!(l.engine.events.contains(&Event::Connected(l.handle.unwrap())));
            assert_eq!(l.recv(), rig::stream(PEER_ISN + 1, text));
        });
    }
}

#[test]
fn syn_sent_syn_opens_simultaneously() {
    on_link(|l| {
        l.dial();
        let iss = l.model.iss;
        let verdict = l.say(SYN, 0);
        assert_verdict(l, verdict, Rule::SynSentSyn, Action::SynAcked, State::SynSent);
        assert_sent(l, SYN | ACK, iss, PEER_ISN + 1);
        assert_eq!(l.state(), State::SynReceived);
    });
}

#[test]
fn syn_sent_other_is_dropped() {
    on_link(|l| {
        l.dial();
        for flags in [0, ACK, FIN | ACK, FIN, PSH | URG] {
            assert_untouched(l, &Seg::new(flags, 9, l.model.snd_nxt, 3, 0), Rule::SynSentOther, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn syn_sent_close_ends_silently() {
    on_link(|l| {
        l.dial();
        l.close();
        assert_silent(l);
        assert_eq!(l.state(), State::Closed);
        assert_closed(l, CloseReason::ClosedBeforeOpen);
        assert_eq!(l.engine.deadline, None);
    });
}
