//! Whatever the application does meanwhile, in whatever order: a peer that gives nothing is gone when the budget says.

use std::time::Duration;

use tcp_reset_core::{Instant, Peer, StreamOptions};

use crate::drawn::Drawn;
use crate::support::family::over_each;
use crate::support::rig::{Link, PEER_ISN, World};
use crate::support::table::{ACK, Seg};
use crate::{OneSlot, Rng, SLACK, end_of, enter_with, ms};

/// Connections over each family.
const RUNS: u64 = 2_000;
/// What the application and a stalling peer do, in each.
const ACTIONS: u64 = 8;
/// A run is left after so many deadlines.
const STEPS: usize = 1_000;

struct Run<'l, 's> {
    link: &'l mut Link<'s>,
    drawn: Drawn,
    kind: Peer,
    /// The last sign of life, or the last octet.
    since: Instant,
    steps: usize,
}

impl Run<'_, '_> {
    /// Opens a connection whose peer has or has not finished, and says its last word then.
    fn begin(&mut self, rng: &mut Rng) {
        let link = &mut *self.link;
        if rng.one_in(2) {
            enter_with(link, self.drawn.options);
        } else {
            link.open_with(*self.drawn.stream());
        }
        match rng.between(0, 3) {
            0 => link.peer_finishes(),
            1 => {
                link.shutdown();
                link.peer_acks();
            }
            2 => link.peer_offers(0),
            _ => {}
        }
        self.since = link.world.now;
    }

    /// Lets time pass up to the end of the connection. Returns whether it lives.
    fn wait(&mut self, time: Duration) -> bool {
        let until = self.link.world.now + time;
        while self.steps < STEPS {
            if self.link.world.tcp.in_use().0 == 0 || end_of(self.link).is_some() {
                return false;
            }
            let Some((at, _)) = self.link.world.deadline.filter(|&(at, _)| at <= until) else {
                self.link.world.now = until;
                return true;
            };
            self.link.world.now = self.link.world.now.max(at);
            let _ = self.link.world.next_deadline();
            self.link.look();
            self.steps += 1;
        }
        false
    }

    fn act(&mut self, rng: &mut Rng) {
        let link = &mut *self.link;
        let now = link.world.now;
        if self.kind == Peer::Stalling && rng.one_in(2) {
            let m = link.model;
            let wnd = [0, 1, 500][rng.between(0, 2) as usize];
            let _ = link.say_seg(&Seg::new(ACK, m.rcv_nxt, m.snd_una, 0, wnd));
            return;
        }
        let Some(handle) = link.handle else { return };
        match rng.between(0, 6) {
            0..=3 => {
                let _ = link.world.tcp.send(now, handle, &[7; 20]);
            }
            4 | 5 => {
                let _ = link.world.tcp.shutdown(now, handle);
            }
            _ => {
                link.handle = None;
                let _ = link.world.tcp.close(now, handle);
            }
        }
        link.world.drain();
        link.look();
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
        let took = self.link.world.now.duration_since(self.since);
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
            let mut link = Link::new(World::new(&mut *store, drawn.config), family, PEER_ISN);
            let since = link.world.now;
            let mut run = Run { link: &mut link, drawn, kind, since, steps: 0 };
            finished += u64::from(run.play(&mut rng));
        }
        assert!(finished * 4 > RUNS, "{finished} of {RUNS} came to their end");
    });
}
