//! SND.NXT noted before a restart: the exact RST goes first.

use tcp_reset_core::{Fate, ResetReason};

use crate::support::family::over_each;
use crate::support::rig::{Rig, reach, us};
use crate::support::table::RST;
use crate::{Memory, after_restart, answer, assert_done, assert_is_probe, deny, fates, know, life};

fn note(rig: &mut Rig<'_>) {
    rig.engine.tcp.note_sequence_numbers();
}

#[test]
fn the_exact_rst_goes_first_and_the_question_after_it() {
    for reach in reach::SYNCHRONIZED {
        over_each(|family| {
            let journal = Memory::new();
            let (model, number) = life(family, &journal, 1, |rig| {
                reach(rig);
                note(rig);
                (rig.model, rig.model.snd_nxt)
            });
            life(family, &journal, 2, |rig| {
                rig.model = model;
                know(rig, &[us(family).ip()]);
                let [rst, probe] = &rig.engine.sent[..] else { panic!("{:?}", rig.engine.sent) };
                assert_eq!((rst.flags, rst.seq, rst.reason), (RST, number, Some(ResetReason::Restarted)));
                assert_is_probe(probe, &model);
                let probe = probe.clone();
                deny(rig, &probe);
                assert_eq!(fates(rig), [Fate::Told]);
                assert_done(rig, &journal);
                let counters = rig.engine.tcp.counters();
                assert_eq!((counters.journal.told, counters.reset_sent(ResetReason::Restarted)), (1, 1));
            });
        });
    }
}

/// The RST is then not where the peer expects it, and the answer to the question draws the right one.
#[test]
fn a_number_that_was_left_behind_is_followed_by_the_question() {
    after_restart(
        |rig| {
            rig.open();
            note(rig);
            rig.send(10);
        },
        |rig| {
            let sent = rig.engine.sent.clone();
            assert_eq!(sent[0].seq, rig.model.snd_nxt - 10);
            answer(rig);
            crate::assert_reset(rig);
            assert_eq!(fates(rig), [Fate::Told]);
            let _ = rig.engine.next_deadline();
            assert_eq!(rig.engine.sent.len(), 1, "once only: {:?}", rig.engine.sent);
            assert_is_probe(&rig.engine.sent[0], &rig.model);
        },
    );
}

/// A peer whose window has shrunk obeys only what it can accept (RFC 9293 §3.10.5).
#[test]
fn the_number_noted_is_the_one_an_abort_would_have() {
    over_each(|family| {
        let journal = Memory::new();
        let expected = life(family, &journal, 1, |rig| {
            reach::send_window_shrunk(rig);
            note(rig);
            rig.model.snd_una + 4
        });
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            assert_eq!(rig.engine.sent[0].seq, expected);
        });
    });
}

#[test]
fn a_later_note_replaces_an_earlier_one() {
    after_restart(
        |rig| {
            rig.open();
            note(rig);
            rig.send(10);
            note(rig);
            note(rig);
        },
        |rig| assert_eq!(rig.engine.sent[0].seq, rig.model.snd_nxt),
    );
}

/// What a new connection's record holds is not its predecessor's.
#[test]
fn a_number_does_not_outlive_its_connection() {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, |rig| {
            rig.open();
            note(rig);
            rig.abort();
            rig.isn = 99;
            rig.open();
        });
        life(family, &journal, 2, |rig| {
            know(rig, &[us(family).ip()]);
            assert_eq!((rig.engine.sent.len(), rig.engine.sent[0].reason), (1, None));
        });
    });
}
