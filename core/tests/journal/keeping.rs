//! When records are written and cleared, and how many there must be.

use tcp_reset_core::{InvalidSetting, Journal, Output, Setting, State, StreamOptions, Tcp};

use crate::support::family::{Family, over_each};
use crate::support::rig::{Engine, PEER_ISN, Rig, START, Store, end_of, key, quick_config, reach, small_stream, us};
use crate::support::table::{ACK, RST};
use crate::{Memory, found_next, know, life, ms};

/// What the next start would find, at each point of a life.
fn on(test: impl Fn(&mut Rig<'_>, &dyn Fn() -> u32)) {
    over_each(|family| {
        let journal = Memory::new();
        life(family, &journal, 1, |rig| test(rig, &|| found_next(family, &journal)));
    });
}

#[test]
fn an_attempt_is_noted_a_handshake_of_others_when_it_is_done() {
    on(|rig, found| {
        assert_eq!(found(), 0);
        rig.dial();
        assert_eq!(found(), 1);
    });
    on(|rig, found| {
        rig.knock();
        assert_eq!(found(), 0, "a flood of SYNs writes nothing");
        let _ = rig.say(ACK, 0);
        assert_eq!(found(), 1);
    });
    on(|rig, found| {
        reach::crossed(rig);
        assert_eq!((rig.state(), found()), (State::Established, 1));
    });
}

#[test]
fn every_end_clears_it() {
    let ends: [(&str, reach::Script); 9] = [
        ("the peer closes first", |rig| {
            reach::last_ack(rig);
            rig.peer_acks();
        }),
        ("TIME-WAIT", reach::time_wait),
        ("reset by the peer", |rig| {
            rig.open();
            let _ = rig.say(RST | ACK, 0);
        }),
        ("refused", |rig| {
            rig.dial();
            let _ = rig.say(RST | ACK, 0);
        }),
        ("aborted", |rig| {
            rig.open();
            rig.abort();
        }),
        ("closed before it was open", |rig| {
            rig.dial();
            rig.close();
        }),
        ("a timer", |rig| {
            rig.open_with(StreamOptions { user_timeout: Some(ms(5_000)), ..small_stream() });
            rig.send(1);
            rig.engine.wait(ms(10_000));
            assert!(end_of(rig).is_some());
        }),
        ("never accepted", |rig| {
            rig.enter();
            rig.unlisten();
        }),
        ("everything", |rig| {
            rig.open();
            rig.engine.tcp.abort_all(rig.engine.now);
            rig.engine.drain();
        }),
    ];
    for (name, end) in ends {
        on(|rig, found| {
            end(rig);
            assert_eq!(found(), 0, "{name}");
        });
    }
}

/// Until the RST has left, nobody else will tell the peer.
#[test]
fn a_connection_whose_rst_is_due_is_still_noted() {
    on(|rig, found| {
        rig.open();
        rig.engine.tcp.reset(rig.engine.now, rig.handle.unwrap()).unwrap();
        assert_eq!(found(), 1);
        rig.engine.drain();
        assert_eq!((rig.engine.only().flags & RST, found()), (RST, 0));
    });
    // The device takes nothing, until the RST is given up.
    on(|rig, found| {
        rig.open();
        rig.abort_without_a_device();
        assert_eq!(found(), 1);
        rig.engine.now = rig.engine.now + ms(61_000);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        assert_eq!((found(), rig.engine.tcp.counters().resets_dropped), (0, 1));
    });
}

impl Rig<'_> {
    fn abort_without_a_device(&mut self) {
        self.engine.tcp.reset(self.engine.now, self.handle.unwrap()).unwrap();
        assert!(matches!(self.engine.tcp.poll_output(self.engine.now), Output::Event(_)));
        assert!(matches!(self.engine.tcp.poll_output(self.engine.now), Output::Transmit(_)));
    }
}

/// Slots are used again, records too.
#[test]
fn records_do_not_run_out() {
    on(|rig, found| {
        for n in 0..100 {
            rig.us.set_port(6_000 + n);
            rig.open();
            assert_eq!(found(), 1);
            rig.abort();
        }
        assert_eq!(found(), 0);
    });
}

#[test]
fn a_journal_needs_a_record_for_each_slot() {
    fn keep<const N: usize>(family: Family) -> Result<(), InvalidSetting> {
        let journal = Journal::<N>::new();
        let mut store = Box::new(Store::new());
        let mut tcp = Tcp::new(&mut *store, quick_config(), key(1)).unwrap();
        let kept = tcp.keep_journal(START, &journal);
        if kept.is_err() {
            // Nothing was looked at, and nothing is noted.
            drop(tcp);
            let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
            rig.open();
            assert_eq!(journal.take_changed(), None);
        }
        kept
    }
    over_each(|family| {
        assert_eq!(keep::<0>(family), Err(InvalidSetting(Setting::Journal)));
        assert_eq!(keep::<3>(family), Err(InvalidSetting(Setting::Journal)));
        assert_eq!(keep::<4>(family), Ok(()));
        assert_eq!(keep::<5>(family), Ok(()));
    });
}

/// As many records as slots: all slots in use fill it.
#[test]
fn the_least_journal_has_room_for_every_connection() {
    over_each(|family| {
        let journal = Journal::<4>::new();
        for n in 0..3 {
            let mut store = Box::new(Store::new());
            let mut rig = Rig::new(Engine::with(&mut *store, quick_config(), key(n), START), family, PEER_ISN);
            rig.engine.tcp.keep_journal(START, &journal).unwrap();
            rig.engine.drain();
            assert_eq!(rig.engine.tcp.counters().journal.found, if n == 0 { 0 } else { 4 });
            for port in 0..4 {
                rig.us.set_port(6_000 + 10 * u16::from(n) + port);
                rig.open();
            }
            // Those of the life before have them until they are done with.
            know(&mut rig, &[us(family).ip()]);
            rig.engine.wait(ms(60_000));
            assert_eq!(rig.engine.tcp.counters().journal.given_up, if n == 0 { 0 } else { 4 });
        }
    });
}

/// Connections that are open already are noted at once, and those of the journal before it are not disturbed.
#[test]
fn a_journal_may_come_late_and_be_changed() {
    over_each(|family| {
        let (first, second) = (Memory::new(), Memory::new());
        let mut store = Box::new(Store::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        rig.open();
        for journal in [&first, &second] {
            rig.engine.tcp.keep_journal(START, journal).unwrap();
            rig.engine.drain();
            assert_eq!(found_next(family, journal), 1);
        }
        rig.abort();
        assert_eq!((found_next(family, &first), found_next(family, &second)), (1, 0));
    });
}

/// For who copies records elsewhere.
#[test]
fn each_change_is_told_and_a_copy_is_as_good() {
    over_each(|family| {
        let (journal, mirror) = (Memory::new(), Memory::new());
        let copy_changes = || {
            let mut changes = 0;
            while let Some(at) = journal.take_changed() {
                mirror.set_record(at, &journal.record(at).unwrap());
                changes += 1;
            }
            changes
        };
        life(family, &journal, 1, |rig| {
            assert_eq!(copy_changes(), 0);
            rig.dial();
            assert_eq!((copy_changes(), copy_changes()), (1, 0));
            assert_eq!(found_next(family, &mirror), 1);
            let _ = rig.say(crate::support::table::SYN | ACK, 0);
            assert_eq!(copy_changes(), 1);
            let before = found_next(family, &mirror);
            rig.send(10);
            rig.peer_acks();
            assert_eq!((before, copy_changes()), (1, 0), "no segment writes one");
            rig.engine.tcp.note_sequence_numbers();
            assert_eq!(copy_changes(), 1);
            rig.engine.tcp.note_sequence_numbers();
            assert_eq!(copy_changes(), 0, "nothing new");
            rig.abort();
            assert_eq!(copy_changes(), 1);
            assert_eq!(found_next(family, &mirror), 0);
        });
        assert_eq!(journal.record(8), None, "one beyond");
        journal.set_record(8, &[0; 64]);
    });
}
