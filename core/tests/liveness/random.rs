//! Whatever the application does meanwhile, in whatever order: a peer that gives nothing is gone when the budget says.

use std::time::Duration;

use tcp_reset_core::{Instant, Peer, StreamOptions};

use crate::drawn::Drawn;
use crate::support::family::over_each;
use crate::support::rig::{Engine, PEER_ISN, Rig};
use crate::support::table::{ACK, Seg};
use crate::{OneSlot, Rng, SLACK, end_of, enter_with, ms};

/// Connections over each family.
const RUNS: u64 = 2_000;
/// What the application and a stalling peer do, in each.
const ACTIONS: u64 = 8;
/// A run is left after so many deadlines.
const STEPS: usize = 1_000;

struct Run<'l, 's> {
    rig: &'l mut Rig<'s>,
    drawn: Drawn,
    kind: Peer,
    /// The last sign of life, or the last byte.
    since: Instant,
    steps: usize,
}

impl Run<'_, '_> {
    /// Opens a connection whose peer has or has not finished, and says its last word then.
    fn begin(&mut self, rng: &mut Rng) {
        let rig = &mut *self.rig;
        if rng.one_in(2) {
            enter_with(rig, self.drawn.options);
        } else {
            rig.open_with(*self.drawn.stream());
        }
        match rng.between(0, 3) {
            0 => rig.peer_finishes(),
            1 => {
                rig.shutdown();
                rig.peer_acks();
            }
            2 => rig.peer_offers(0),
            _ => {}
        }
        self.since = rig.engine.now;
    }

    /// Lets time pass up to the end of the connection. Returns whether it lives.
    fn wait(&mut self, time: Duration) -> bool {
        let until = self.rig.engine.now + time;
        while self.steps < STEPS {
            if self.rig.engine.tcp.in_use().0 == 0 || end_of(self.rig).is_some() {
                return false;
            }
            let Some((at, _)) = self.rig.engine.deadline.filter(|&(at, _)| at <= until) else {
                self.rig.engine.now = until;
                return true;
            };
            self.rig.engine.now = self.rig.engine.now.max(at);
            let _ = self.rig.engine.next_deadline();
            self.rig.look();
            self.steps += 1;
        }
        false
    }

    fn act(&mut self, rng: &mut Rng) {
        let rig = &mut *self.rig;
        let now = rig.engine.now;
        if self.kind == Peer::Stalling && rng.one_in(2) {
            let m = rig.model;
            let wnd = [0, 1, 500][rng.between(0, 2) as usize];
            let _ = rig.say_seg(&Seg::new(ACK, m.rcv_nxt, m.snd_una, 0, wnd));
            return;
        }
        let Some(handle) = rig.handle else { return };
        match rng.between(0, 6) {
            0..=3 => {
                let _ = rig.engine.tcp.send(now, handle, &[7; 20]);
            }
            4 | 5 => {
                let _ = rig.engine.tcp.shutdown(now, handle);
            }
            _ => {
                rig.handle = None;
                let _ = rig.engine.tcp.close(now, handle);
            }
        }
        rig.engine.drain();
        rig.look();
    }

    /// Returns whether it came to the end.
    fn play(&mut self, rng: &mut Rng) -> bool {
        self.begin(rng);
        let Some(bound) = self.bound() else { return false };
        let most = u64::try_from(bound.as_millis()).unwrap();
        for _ in 0..ACTIONS {
            let pause = if rng.one_in(2) { rng.between(0, most / ACTIONS) } else { rng.between(0, most) };
            if !self.wait(ms(pause)) {
                break;
            }
            self.act(rng);
        }
        let _ = self.wait(2 * bound);
        if self.steps >= STEPS {
            return false;
        }
        let took = self.rig.engine.now.duration_since(self.since);
        assert!(took <= bound + SLACK, "{took:?} of {bound:?} by a {:?} peer, {:?}", self.kind, self.drawn);
        true
    }

    /// From the last sign of life on nothing but the rows of an open connection is left.
    fn bound(&self) -> Option<Duration> {
        self.drawn.longest_while_open(self.kind)
    }
}

#[test]
fn whatever_the_application_does_the_budget_is_kept() {
    over_each(|family| {
        let mut rng = Rng(21);
        let mut store = Box::new(OneSlot::new());
        let mut finished = 0;
        for n in 0..RUNS {
            let kind = if n.is_multiple_of(2) { Peer::Silent } else { Peer::Stalling };
            let mut drawn = Drawn::new(&mut rng);
            drawn.options.stream = StreamOptions { first_byte_timeout: None, ..drawn.options.stream };
            let mut rig = Rig::new(Engine::new(&mut *store, drawn.config), family, PEER_ISN);
            let since = rig.engine.now;
            let mut run = Run { rig: &mut rig, drawn, kind, since, steps: 0 };
            finished += u64::from(run.play(&mut rng));
        }
        assert!(finished * 4 > RUNS, "{finished} of {RUNS} came to their end");
    });
}
