//! What must always hold inside the engine, for tests and simulators that look after each step. Costs nothing where it is not called.

use crate::connection::flags::{Due, Marks};
use crate::connection::list::List;
use crate::connection::send;
use crate::connection::slot::{Connection, Places};
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::tcb::Flags;
use crate::rules::verdict::State;
use crate::tables::half_open::HalfOpen;

/// What does not hold.
type Finding = Result<(), &'static str>;

fn check(holds: bool, what: &'static str) -> Finding {
    if holds { Ok(()) } else { Err(what) }
}

impl Tcp<'_> {
    /// Checks what must always hold: tables, counts and lists agree, whatever is due has a timer or a place among what goes out, and nothing
    /// is held for nobody. Looks at everything: for tests and simulators, after any call.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.audit_tables()?;
        self.audit_lists()?;
        self.audit_listeners()?;
        check(self.is_journal_right(), "the journal's records are wrong")?;
        for (i, c) in self.connections.iter() {
            audit_places(c)?;
            audit_timers(c)?;
            let armed = self.connections.deadline_of(i);
            let is_armed = c.deadline(&self.settings).is_none_or(|due| armed.is_some_and(|at| !due.is_before(at)));
            check(is_armed, "a connection's timer is not in the heap")?;
        }
        Ok(())
    }

    fn audit_tables(&self) -> Finding {
        check(self.connections.iter().count() == self.connections.len(), "slots in use are counted wrong")?;
        check(self.half_open.iter().count() == self.half_open.len(), "half-open records are counted wrong")?;
        check(self.time_wait.iter().count() == self.time_wait.len(), "TIME-WAIT records are counted wrong")?;
        let retired = self.half_open.iter().filter(|(_, half)| half.progress.is_over().is_some()).count();
        check(retired == usize::from(self.retired), "retired half-open records are counted wrong")?;
        check(retired == 0 || !self.replies.is_empty(), "nothing would tell the peers of retired half-open records")?;
        let buffers = self.connections.iter().map(|(_, c)| c.buffers);
        check(self.pool.is_accounted_for(buffers), "the pool's bytes are counted wrong")?;
        for h in self.half_open.ids() {
            let is_used = self.half_open[h].tuple.is_used();
            check(is_used == self.half_open.deadline_of(h).is_some(), "a half-open record's timer is wrong")?;
        }
        for w in self.time_wait.ids() {
            let is_used = self.time_wait[w].tuple.is_used();
            check(is_used == self.time_wait.deadline_of(w).is_some(), "a TIME-WAIT record's timer is wrong")?;
        }
        Ok(())
    }

    fn audit_lists(&self) -> Finding {
        let places = || self.connections.ids().map(|i| self.connections[i].places);
        let marked = |place| places().filter(|places| places.contains(place)).count();
        let out = |list: List| self.count(list, |c| c.links.out_next);
        check(out(self.ready) == marked(Places::READY), "the list of ready slots is wrong")?;
        check(out(self.unresolved) == marked(Places::UNRESOLVED), "the list of unresolved slots is wrong")?;
        let eventful = self.count(self.eventful, |c| c.links.event_next);
        check(eventful == marked(Places::EVENTFUL), "the list of slots with events is wrong")
    }

    /// How long a list is; more than there are slots if it goes in a circle.
    fn count(&self, list: List, next: fn(&Connection) -> Option<Id<Connection>>) -> usize {
        let slots = core::iter::successors(list.first(), |i| next(&self.connections[*i]));
        slots.take(self.connections.capacity() + 1).count()
    }

    fn audit_listeners(&self) -> Finding {
        let half_open = |l| {
            let is_its = |half: &HalfOpen| half.listener == l && half.progress.is_over().is_none();
            self.half_open.iter().filter(|(_, half)| is_its(half)).count()
        };
        let unaccepted = |l| {
            let is_its = |c: &Connection| c.has(Marks::UNACCEPTED) && c.owner.as_listener() == l && !c.is_over();
            self.connections.iter().filter(|(_, c)| is_its(c)).count()
        };
        self.listeners.audit(&self.connections, half_open, unaccepted)
    }
}

/// What has something to say is asked for it, and what nobody holds is free.
fn audit_places(c: &Connection) -> Finding {
    let places = c.places;
    let is_asked = places.intersects(Places::READY | Places::UNRESOLVED);
    check(send::next(c).is_none() || is_asked, "a segment is due and its slot is in no list")?;
    let has_event = !c.events.is_empty() && !c.has(Marks::UNACCEPTED);
    check(!has_event || places.contains(Places::EVENTFUL), "an event waits and its slot is in no list")?;
    let is_left = c.has(Flags::APP_GONE) || c.has(Marks::UNACCEPTED);
    let is_over = c.is_over() && is_left && !has_event && !c.has(Due::RESET);
    check(!is_over, "a connection that is over holds its slot for nobody")
}

/// What waits for somebody else has a timer.
fn audit_timers(c: &Connection) -> Finding {
    check(!c.has(Marks::DELACK | Marks::ASKING), "one field holds two timers")?;
    let is_unsent = c.tcb.state() == State::SynSent && c.tcb.snd_nxt == c.tcb.snd_una;
    check(!is_unsent || c.has(Due::RESEND), "a SYN that never left is not due")?;
    if c.is_over() {
        return check(!c.has(Marks::REXMIT), "what is over is sent again");
    }
    check(!c.has(Due::RESET), "an RST is due and the connection goes on")?;
    let needs = match c.tcb.state() {
        State::SynSent | State::SynReceived => true,
        State::Established | State::FinWait1 | State::CloseWait | State::Closing | State::LastAck => {
            send::is_waiting(c)
        }
        State::Closed | State::Listen | State::FinWait2 | State::TimeWait => false,
    };
    check(c.has(Marks::REXMIT) || !needs, "the connection waits for its peer without a timer")
}
