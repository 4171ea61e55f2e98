//! TIME-WAIT: what is answered, who may reopen it, when it ends.

use std::time::Duration;

use tcp_reset_core::{Action, Config, Rule, Seq, State};

use crate::checks::{
    assert_empty_ack, assert_sent, assert_silent, assert_untouched, assert_verdict, config, on_link, on_link_with, seg,
    with_ack,
};
use crate::support::rig::Rig;
use crate::support::rig::reach::{time_wait, time_wait_of_listener};
use crate::support::table::{ACK, FIN, PSH, RST, SYN, Seg};

#[test]
fn time_wait_rst_is_ignored() {
    on_link(|l| {
        time_wait(l);
        for offset in [-1, 0, 1] {
            for flags in [RST, RST | ACK, RST | SYN] {
                assert_untouched(l, &seg(l, flags, offset, 0), Rule::RstTimeWait, Action::Dropped);
                assert_silent(l);
            }
        }
    });
}

#[test]
fn time_wait_bare_syn_reopens() {
    for offset in [0, 1, 0x7fff_ffff] {
        on_link(|l| {
            time_wait_of_listener(l);
            let old = l.model.snd_nxt;
            let verdict = l.inject(&seg(l, SYN, offset, 0));
            assert_verdict(l, verdict, Rule::SynTimeWaitReopens, Action::SynAcked, State::TimeWait);
            let ack = l.model.rcv_nxt.wrapping_add_signed(offset).wrapping_add(1);
            assert_sent(l, SYN | ACK, l.engine.only().seq, ack);
            assert!(Seq(l.engine.only().seq).gt(Seq(old)), "ISS beyond the old SND.NXT");
            assert_eq!(l.state(), State::SynReceived);
        });
    }
}

#[test]
fn time_wait_other_syn_is_acknowledged() {
    on_link(|l| {
        time_wait_of_listener(l);
        let far = i32::MIN;
        for (flags, offset) in [(SYN, -1), (SYN, -2), (SYN, far), (SYN | ACK, 0), (SYN | FIN, 0), (SYN | ACK, 9)] {
            assert_untouched(l, &seg(l, flags, offset, 0), Rule::SynTimeWait, Action::Challenged);
            assert_empty_ack(l);
        }
        l.unlisten();
        assert_untouched(l, &seg(l, SYN, 9, 0), Rule::SynTimeWait, Action::Challenged);
        assert_empty_ack(l);
    });
}

#[test]
fn time_wait_fin_again_restarts_the_wait() {
    on_link(|l| {
        time_wait(l);
        l.engine.wait(Duration::from_secs(40));
        for (text, offset) in [(0, -1), (4, -5)] {
            assert_untouched(l, &seg(l, FIN | ACK, offset, text), Rule::FinTimeWait, Action::Acknowledged);
            assert_empty_ack(l);
        }
        l.engine.wait(Duration::from_millis(59_900));
        assert_eq!(l.state(), State::TimeWait, "2 MSL start anew");
        l.engine.wait(Duration::from_millis(200));
        assert_eq!(l.state(), State::Closed);
    });
}

#[test]
fn time_wait_old_segment_is_acknowledged() {
    on_link(|l| {
        time_wait(l);
        l.engine.wait(Duration::from_secs(40));
        let old_ack = with_ack(seg(l, FIN | ACK, -1, 0), l.model.snd_nxt - 1);
        for seg in [seg(l, ACK, -1, 0), seg(l, ACK, -9, 4), seg(l, 0, -1, 0), old_ack] {
            assert_untouched(l, &seg, Rule::SeqUnacceptable, Action::Acknowledged);
            assert_empty_ack(l);
        }
        l.engine.wait(Duration::from_millis(20_100));
        assert_eq!(l.state(), State::Closed, "none of these prolongs the wait");
    });
}

#[test]
fn time_wait_segment_without_ack_is_dropped() {
    on_link(|l| {
        time_wait(l);
        for flags in [0, FIN, PSH] {
            assert_untouched(l, &seg(l, flags, 0, 1), Rule::NoAck, Action::Dropped);
            assert_silent(l);
        }
    });
}

#[test]
fn time_wait_unacceptable_ack_is_challenged() {
    on_link(|l| {
        time_wait(l);
        let (una, nxt) = (l.model.snd_una, l.model.snd_nxt);
        for ack in [nxt + 1, una.wrapping_sub(65_536), nxt.wrapping_add(1 << 31)] {
            assert_untouched(l, &with_ack(seg(l, ACK, 0, 0), ack), Rule::AckUnacceptable, Action::Challenged);
            assert_empty_ack(l);
        }
    });
}

#[test]
fn time_wait_acceptable_segment_is_ignored() {
    on_link(|l| {
        time_wait(l);
        l.engine.wait(Duration::from_secs(40));
        let oldest = with_ack(seg(l, ACK, 0, 0), l.model.snd_una.wrapping_sub(65_535));
        for seg in [seg(l, ACK, 0, 0), seg(l, ACK, 0, 5), oldest] {
            assert_untouched(l, &seg, Rule::TimeWaitOther, Action::Dropped);
            assert_silent(l);
        }
        l.engine.wait(Duration::from_millis(20_100));
        assert_eq!(l.state(), State::Closed, "none of these prolongs the wait");
    });
}

#[test]
fn time_wait_other_fin_is_acknowledged() {
    on_link(|l| {
        time_wait(l);
        l.engine.wait(Duration::from_secs(40));
        for (offset, text) in [(0, 0), (1, 0), (0, 5)] {
            assert_untouched(l, &seg(l, FIN | ACK, offset, text), Rule::FinTimeWaitOther, Action::Acknowledged);
            assert_empty_ack(l);
        }
        l.engine.wait(Duration::from_millis(20_100));
        assert_eq!(l.state(), State::Closed, "none of these prolongs the wait");
    });
}

#[test]
fn time_wait_abort_deletes_the_record() {
    on_link(|l| {
        time_wait(l);
        assert_eq!(l.engine.tcp.in_use(), (1, 0, 1));
        l.abort();
        assert_silent(l);
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
        assert_eq!(l.state(), State::Closed);
    });
}

/// The peer is in LAST-ACK, our last ACK was lost, and somebody forges a SYN that a listener takes.
#[test]
fn time_wait_reopened_old_peer_is_still_answered() {
    on_link(|l| {
        time_wait_of_listener(l);
        let fin_again = seg(l, FIN | ACK, -1, 0);
        let text_again = seg(l, PSH | ACK, -3, 2);
        let forged = Seg::new(SYN, l.model.rcv_nxt.wrapping_add(9_000), 0, 0, 1_000);
        assert_eq!(l.inject(&forged).rule, Rule::SynTimeWaitReopens);
        assert_eq!(l.engine.tcp.in_use().1, 1);
        let answer = (ACK, l.model.snd_nxt, l.model.rcv_nxt);
        for (again, rule) in [(fin_again, Rule::FinTimeWait), (text_again, Rule::SeqUnacceptable)] {
            assert_eq!(l.inject(&again).rule, rule);
            let sent = l.engine.only();
            assert_eq!((sent.flags, sent.seq, sent.ack), answer, "the old connection's numbers");
        }
        assert_eq!(l.engine.tcp.in_use().1, 1, "the handshake goes on");
    });
}

#[test]
fn time_wait_reopened_handshake_replaces_the_record() {
    on_link(|l| {
        time_wait_of_listener(l);
        l.isn = l.model.rcv_nxt + 1_000;
        assert_eq!(l.say(SYN, 0).rule, Rule::SynTimeWaitReopens);
        assert_eq!(l.say(ACK, 0).rule, Rule::AckEstablishes);
        assert_eq!(l.state(), State::Established);
        l.accept();
        l.engine.wait(Duration::from_secs(70));
        assert_eq!(l.state(), State::Established, "the record's timer is gone with it");
        let _ = l.inject(&seg(l, RST, 0, 0));
        assert_eq!(l.state(), State::Listen, "and so is the record");
    });
}

#[test]
fn time_wait_reopening_by_old_duplicate_returns() {
    on_link(|l| {
        time_wait_of_listener(l);
        let old = l.model;
        l.isn = l.model.rcv_nxt + 1_000;
        assert_eq!(l.say(SYN, 0).rule, Rule::SynTimeWaitReopens);
        let surprised = Seg::new(RST, l.engine.only().ack, 0, 0, 0);
        assert_eq!(l.inject(&surprised).rule, Rule::RstSynReceivedPassive);
        assert_eq!(l.state(), State::TimeWait, "the old record stayed");
        l.model = old;
        assert_untouched(l, &seg(l, FIN | ACK, -1, 0), Rule::FinTimeWait, Action::Acknowledged);
        assert_empty_ack(l);
    });
}

#[test]
fn time_wait_table_full_drops_the_oldest() {
    on_link(|l| {
        let idle = l.model;
        let ports = [40_001, 40_002, 40_003];
        for port in ports {
            l.peer.set_port(port);
            l.model = idle;
            time_wait(l);
            l.close_handle();
            l.engine.wait(Duration::from_secs(1));
        }
        let states = ports.map(|port| {
            l.peer.set_port(port);
            l.state()
        });
        assert_eq!(states, [State::Closed, State::TimeWait, State::TimeWait]);
    });
}

impl Rig<'_> {
    /// The application gives up the handle of a connection that is over.
    fn close_handle(&mut self) {
        let _ = self.engine.tcp.close(self.engine.now, self.handle.take().unwrap());
        self.engine.drain();
    }
}

#[test]
fn time_wait_ends_after_two_msl() {
    for (setting, secs) in [(Config::default().time_wait, 60), (Duration::from_secs(240), 240)] {
        on_link_with(Config { time_wait: setting, ..config() }, |l| {
            time_wait(l);
            l.engine.wait(Duration::from_secs(secs) - Duration::from_millis(100));
            assert_eq!(l.state(), State::TimeWait);
            l.engine.wait(Duration::from_millis(200));
            assert_eq!(l.state(), State::Closed);
            assert_silent(l);
        });
    }
}
