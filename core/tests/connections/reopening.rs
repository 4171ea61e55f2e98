//! Over each family: a SYN in TIME-WAIT, with timestamps and without, and the connection that comes of it (RFC 6191 §2).

use tcp_reset_core::{Action, Config, Rule, State};

use crate::on_with;
use crate::support::packet::segment::timestamps_of;
use crate::support::rig::reach::time_wait_of_listener;
use crate::support::rig::{Rig, byte_at, nothing, quick_config, stream};
use crate::support::table::{ACK, FIN, Model, Port, SYN, Seg, ahead};

/// The peer's clock during the old connection, and one that is about to wrap.
const CLOCKS: [u32; 2] = [70_000, u32::MAX];

/// A SYN in TIME-WAIT.
#[derive(Clone, Copy, Debug)]
struct Knock {
    ours: bool,
    /// TSval of all that the old connection's peer said.
    old: Option<u32>,
    /// TSval of the SYN.
    new: Option<u32>,
    /// How far its sequence number is beyond the last one seen, which is that of the FIN.
    beyond: i32,
    listens: bool,
}

/// RFC 6191 §2, sentence by sentence: whether the request is to be honored.
fn is_honored(knock: &Knock) -> bool {
    let would_be_enabled = knock.ours && knock.new.is_some();
    let is_seq_greater = knock.beyond > 0;
    if let Some(old) = knock.old.filter(|_| knock.ours) {
        // "If the previous incarnation of the connection used Timestamps"
        match knock.new.filter(|_| would_be_enabled) {
            Some(new) if ahead(new, old) > 0 => true,
            Some(new) if new == old => is_seq_greater,
            Some(_) => false,
            None => is_seq_greater,
        }
    } else {
        // "If the previous incarnation of the connection did not use Timestamps"
        would_be_enabled || is_seq_greater
    }
}

fn knocks() -> Vec<Knock> {
    let mut knocks = vec![];
    let bools = [false, true];
    for clock in CLOCKS {
        let news = [0_u32.wrapping_sub(1), 0, 1, 2_000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001]
            .map(|by| Some(clock.wrapping_add(by)));
        for old in [None, Some(clock)] {
            for new in news.into_iter().chain([None]) {
                for beyond in [-i32::MAX, -70_000, -1, 0, 1, 2, 70_000, i32::MAX] {
                    for (ours, listens) in bools.into_iter().flat_map(|ours| bools.map(|listens| (ours, listens))) {
                        knocks.push(Knock { ours, old, new, beyond, listens });
                    }
                }
            }
        }
    }
    knocks
}

fn syn_of(old: &Model, knock: &Knock) -> Seg {
    let last_seen = old.rcv_nxt.wrapping_sub(1);
    Seg { stamp: knock.new, ..Seg::new(SYN, last_seen.wrapping_add_signed(knock.beyond), 0, 0, 1_000) }
}

/// Plays a knock after what `reach` makes; where it opens, `then` goes on with the books of the old connection.
fn play(knock: Knock, then: impl Fn(&mut Rig<'_>, &Knock, Model)) {
    let config = Config { timestamps: knock.ours, ..quick_config() };
    on_with(config, |l| {
        l.stamp = knock.old;
        time_wait_of_listener(l);
        if !knock.listens {
            l.unlisten();
        }
        let _ = l.engine.tcp.close(l.engine.now, l.handle.take().unwrap());
        l.engine.drain();
        let old = l.model;
        let verdict = l.inject(&syn_of(&old, &knock));
        let sent = l.engine.only();
        let echo = timestamps_of(&sent.options).map(|(_, echo)| echo);
        if !(is_honored(&knock) && knock.listens) {
            // Not in silence: who has lost the connection learns that it is there.
            assert_eq!((verdict.rule, verdict.action), (Rule::SynTimeWait, Action::Challenged), "{knock:?}");
            assert_eq!((sent.flags, sent.seq, sent.ack), (ACK, old.snd_nxt, old.rcv_nxt), "{knock:?}");
            assert_eq!(echo, knock.old.filter(|_| knock.ours), "{knock:?}");
            assert_eq!(l.state(), State::TimeWait);
            return;
        }
        assert_eq!((verdict.rule, verdict.action), (Rule::SynTimeWaitReopens, Action::SynAcked), "{knock:?}");
        assert_eq!((sent.flags, l.state()), (SYN | ACK, State::SynReceived), "{knock:?}");
        assert!(ahead(sent.seq, old.snd_nxt) > 0, "beyond all that the old connection sent: {knock:?}");
        assert_eq!(echo, knock.new.filter(|_| knock.ours), "{knock:?}");
        l.isn = syn_of(&old, &knock).seq;
        l.model = Model { port: Port::Takes, irs: l.isn, ..nothing(l.isn) };
        l.stamp = knock.new;
        l.look();
        then(l, &knock, old);
    });
}

#[test]
fn a_syn_in_time_wait_is_honored_as_the_standard_says() {
    let honored = knocks().into_iter().filter(|knock| knock.listens && is_honored(knock)).count();
    assert!(honored > 100 && honored + 100 < knocks().len());
    for knock in knocks() {
        play(knock, |_, _, _| {});
    }
}

/// What the old connection's peer said last, late: its FIN, payload before it, acknowledgments.
fn old_duplicates(old: &Model, knock: &Knock) -> Vec<Seg> {
    let at = |flags, offset, text| {
        let seq = old.rcv_nxt.wrapping_add_signed(offset);
        Seg { stamp: knock.old, ..Seg::new(flags, seq, old.snd_nxt, text, 1_000) }
    };
    vec![at(FIN | ACK, -1, 0), at(ACK, -9, 8), at(ACK, -1, 0), at(ACK, 0, 0)]
}

#[test]
fn what_is_reopened_becomes_a_connection_among_old_duplicates() {
    for knock in knocks().into_iter().filter(|knock| knock.listens && is_honored(knock)) {
        play(knock, |l, knock, old| {
            for duplicate in old_duplicates(&old, knock) {
                let _ = l.inject(&duplicate);
                assert_eq!(l.state(), State::SynReceived, "{knock:?} {duplicate:?}");
            }
            let verdict = l.say(ACK, 0);
            assert_eq!(verdict.rule, Rule::AckEstablishes, "{knock:?}");
            l.model.state = State::Established;
            l.accept();
            assert_eq!(l.status().unwrap().timestamps, knock.ours && knock.new.is_some());
            for duplicate in old_duplicates(&old, knock) {
                let verdict = l.inject(&duplicate);
                assert_ne!(verdict.action, Action::Accepted, "{knock:?} {duplicate:?}");
                assert_eq!(l.state(), State::Established);
            }
            let first = l.model.rcv_nxt;
            let _ = l.say(ACK, 20);
            assert_eq!(l.recv(), stream(first, 20), "{knock:?}");
            l.send(20);
            assert_eq!(l.engine.only().text, stream(l.model.snd_una, 20), "{knock:?}");
            assert_eq!(l.engine.only().text[0], byte_at(l.model.snd_una));
            l.peer_acks();
            assert_eq!(l.status().unwrap().unacknowledged, 0);
        });
    }
}

/// A SYN that is younger by its timestamp may begin where the old connection's numbers lie: its timestamps alone tell what is old.
#[test]
fn payload_of_the_old_connection_in_the_new_window_is_not_taken() {
    let knock = Knock { ours: true, old: Some(70_000), new: Some(70_100), beyond: -30, listens: true };
    play(knock, |l, knock, old| {
        let _ = l.say(ACK, 0);
        l.model.state = State::Established;
        l.accept();
        let window = l.model.rcv_wnd;
        assert!(window >= 30);
        for offset in 0..24 {
            let seq = old.rcv_nxt.wrapping_sub(1 + 24).wrapping_add(offset);
            let duplicate = Seg { stamp: knock.old, ..Seg::new(ACK, seq, l.model.snd_nxt, 5, 1_000) };
            assert_eq!(l.inject(&duplicate).rule, Rule::TimestampOld, "{offset}");
        }
        assert_eq!(l.recv(), []);
    });
}

/// A port that one connection after another is made from, as fast as its peer's clock ticks.
#[test]
fn connections_from_one_port_follow_each_other_at_once() {
    on_with(quick_config(), |l| {
        let mut stamp = 70_000;
        l.stamp = Some(stamp);
        time_wait_of_listener(l);
        for round in 0..50_u32 {
            let _ = l.engine.tcp.close(l.engine.now, l.handle.take().unwrap());
            l.engine.drain();
            stamp += 1;
            l.stamp = Some(stamp);
            // Anywhere.
            l.isn = l.isn.wrapping_add(round.wrapping_mul(0x9e37_79b9));
            l.model = Model { port: Port::Takes, ..nothing(l.isn) };
            assert_eq!(l.say(SYN, 0).rule, Rule::SynTimeWaitReopens);
            let _ = l.say(ACK, 0);
            l.model.state = State::Established;
            l.accept();
            l.shutdown();
            l.peer_acks();
            l.peer_finishes();
            assert_eq!(l.state(), State::TimeWait);
        }
    });
}
