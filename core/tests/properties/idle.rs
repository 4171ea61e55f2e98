//! Idle for weeks: the clock goes on, and the connection with it.

use std::time::Duration;

use tcp_reset_core::{CloseReason, Config, ConnectionHandle};

use crate::life::host::Host;
use crate::life::ops::{Call, Op, Stack, alone, dial, listen};
use crate::life::{BEGIN, BStore, Life, Mode, mode};
use crate::support::family::over_each;

/// In microseconds.
const DAY: u64 = 24 * 3_600 * 1_000_000;

/// Two hosts, connected over the last family of their stack.
fn connected<'s>(stack: Stack, a: &'s mut BStore, b: &'s mut BStore, begin: u64) -> (Life<'s>, [ConnectionHandle; 2]) {
    let mode = Mode { begin, ..mode(stack, Config::default()) };
    let mut life = Life::new(Host::new(a, mode, false), Host::new(b, mode, true), mode);
    life.step(&Op::Call(false, listen()));
    life.step(&Op::Call(true, dial(1, 0)));
    life.step(&Op::Carry { count: 4, fate: 0 });
    life.step(&Op::Call(false, Call::Accept(0)));
    let handles = [life.hosts[0].handles[0], life.hosts[1].handles[0]];
    (life, handles)
}

/// Both sides send and receive 64 bytes, with time enough for delayed acknowledgments.
fn talk(life: &mut Life<'_>, handles: [ConnectionHandle; 2]) {
    for i in 0..2 {
        let at = life.at();
        assert_eq!(life.hosts[i].tcp.send(at, handles[i], &[5; 64]), Ok(64));
        life.drain(i);
        life.carry(9, 0);
        let mut buf = [0; 100];
        let at = life.at();
        let got = life.hosts[1 - i].tcp.recv(at, handles[1 - i], &mut buf);
        assert_eq!(got, Ok(64), "after {} ms", (life.now - life.begin) / 1_000);
        life.drain(1 - i);
        life.carry(9, 0);
        life.wait(4, true);
        life.carry(9, 0);
    }
    for host in &life.hosts {
        assert_eq!(host.deadline, None, "everything is acknowledged");
    }
}

#[test]
fn idle_for_weeks_connection_goes_on_as_if_nothing_had_been() {
    over_each(|family| {
        for days in [1, 12, 13, 24, 25, 37, 49, 50, 60, 99] {
            for (is_polled, begin) in [(false, BEGIN), (true, BEGIN), (false, 1_000)] {
                let (mut a, mut b) = (Box::new(BStore::new()), Box::new(BStore::new()));
                let (mut life, handles) = connected(alone(family), &mut a, &mut b, begin);
                talk(&mut life, handles);
                life.now += days * DAY;
                if is_polled {
                    for i in 0..2 {
                        life.expire(i);
                    }
                }
                talk(&mut life, handles);
                life.now += days * DAY;
                // And an orderly end.
                life.step(&Op::Call(false, Call::Shutdown(0)));
                life.step(&Op::Carry { count: 4, fate: 0 });
                life.step(&Op::Call(true, Call::Close(0)));
                life.step(&Op::Carry { count: 4, fate: 0 });
                let told = |i: usize| life.hosts[i].held[&handles[i]].told;
                assert_eq!(told(0), Some(CloseReason::LocalClosed));
                assert_eq!(told(1), Some(CloseReason::PeerClosed));
                life.finish();
            }
        }
    });
}

/// After weeks of silence a peer that is gone is found out as if it had been a minute.
#[test]
fn idle_for_weeks_then_a_dead_peer_is_given_up_after_r2() {
    over_each(|family| {
        for days in [1, 13, 25, 37, 50, 60] {
            let (mut a, mut b) = (Box::new(BStore::new()), Box::new(BStore::new()));
            let (mut life, handles) = connected(alone(family), &mut a, &mut b, BEGIN);
            talk(&mut life, handles);
            life.now += days * DAY;
            let at = life.at();
            assert_eq!(life.hosts[0].tcp.send(at, handles[0], &[5; 10]), Ok(10));
            life.drain(0);
            life.run_out(0);
            assert!(life.now >= at.as_micros() + 100_000_000);
            assert!(life.now <= at.as_micros() + 240_000_000, "{}", life.now);
            assert!(life.hosts[0].held[&handles[0]].told.is_some());
        }
    });
}

/// A device may sleep through a deadline for as long as it likes: "at the time the last poll named, or later".
#[test]
fn deadline_served_weeks_late_is_still_due() {
    over_each(|family| {
        for days in [1, 12, 24, 25, 40, 60] {
            let (mut a, mut b) = (Box::new(BStore::new()), Box::new(BStore::new()));
            let (mut life, handles) = connected(alone(family), &mut a, &mut b, BEGIN);
            talk(&mut life, handles);
            let at = life.at();
            assert_eq!(life.hosts[0].tcp.send(at, handles[0], &[5; 10]), Ok(10));
            life.drain(0);
            life.now += days * DAY;
            let late = life.now;
            life.expire(0);
            // R2 is long over: one last attempt is made, and its timeout is the end.
            life.run_out(0);
            assert!(life.hosts[0].held[&handles[0]].told.is_some(), "nothing is done about it after {days} days");
            let waited = Duration::from_micros(life.now - late);
            assert!(waited <= Duration::from_secs(60), "after {days} days it took {waited:?} more");
        }
    });
}
