//! What must always hold inside the engine, for tests and simulators that look after each step. Costs nothing where it is not called.

use crate::connection::list::List;
use crate::connection::send;
use crate::connection::slot::{Connection, Places};
use crate::engine::tcp::Tcp;
use crate::id::NONE;
use crate::rules::tcb::Flags;
use crate::rules::verdict::State;

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
        for (l, _) in self.listeners.iter().enumerate() {
            self.audit_listener(l)?;
        }
        for i in 0..self.conns.len() as u16 {
            let c = &self.conns[usize::from(i)];
            if c.is_used() {
                audit_places(c)?;
                audit_timers(c)?;
                let armed = self.conn_index.deadline_of(i);
                let is_armed = c.deadline(&self.settings).is_none_or(|due| armed.is_some_and(|at| !due.is_before(at)));
                check(is_armed, "a connection's timer is not in the heap")?;
            }
        }
        Ok(())
    }

    fn audit_tables(&self) -> Finding {
        let used = self.conns.iter().filter(|c| c.is_used()).count();
        check(used == self.conn_index.len(), "slots in use are counted wrong")?;
        let used = self.halves.iter().filter(|half| half.tuple.is_used()).count();
        check(used == self.half_index.len(), "half-open records are counted wrong")?;
        let used = self.waits.iter().filter(|wait| wait.tuple.is_used()).count();
        check(used == self.wait_index.len(), "TIME-WAIT records are counted wrong")?;
        let retired = self.halves.iter().filter(|half| half.progress.is_over().is_some()).count();
        check(retired == usize::from(self.retired), "retired half-open records are counted wrong")?;
        check(retired == 0 || !self.replies.is_empty(), "nothing would tell the peers of retired half-open records")?;
        let buffers = self.conns.iter().filter(|c| c.is_used()).map(|c| c.buffers);
        check(self.pool.is_accounted_for(buffers), "the pool's octets are counted wrong")?;
        for h in 0..self.halves.len() as u16 {
            let is_used = self.halves[usize::from(h)].tuple.is_used();
            check(is_used == self.half_index.deadline_of(h).is_some(), "a half-open record's timer is wrong")?;
        }
        for w in 0..self.waits.len() as u16 {
            let is_used = self.waits[usize::from(w)].tuple.is_used();
            check(is_used == self.wait_index.deadline_of(w).is_some(), "a TIME-WAIT record's timer is wrong")?;
        }
        Ok(())
    }

    fn audit_lists(&self) -> Finding {
        let marked = |place| self.conns.iter().filter(|c| c.places.contains(place)).count();
        let out = |list: List| self.count(list, |c| c.links.out_next);
        check(out(self.ready) == Some(marked(Places::READY)), "the list of ready slots is wrong")?;
        check(out(self.unresolved) == Some(marked(Places::UNRESOLVED)), "the list of unresolved slots is wrong")?;
        let eventful = self.count(self.eventful, |c| c.links.event_next);
        check(eventful == Some(marked(Places::EVENTFUL)), "the list of slots with events is wrong")?;
        let news = self.listeners.iter().filter(|l| l.has_news).count();
        check(news == usize::from(self.listeners_with_news), "listeners with news are counted wrong")
    }

    /// How long a list is; `None` if it goes in a circle.
    fn count(&self, list: List, next: fn(&Connection) -> u16) -> Option<usize> {
        let mut at = list.first().unwrap_or(u16::MAX);
        for len in 0..=self.conns.len() {
            match self.conns.get(usize::from(at)) {
                Some(c) => at = next(c),
                None => return Some(len),
            }
        }
        None
    }

    fn audit_listener(&self, l: usize) -> Finding {
        let listener = &self.listeners[l];
        let is_its = |index: u8| usize::from(index) == l;
        let halves = self.halves.iter().filter(|half| half.tuple.is_used() && half.progress.is_over().is_none());
        let halves = halves.filter(|half| is_its(half.listener)).count();
        check(halves == usize::from(listener.half_open), "a listener's half-open records are counted wrong")?;
        let waiting = |c: &&Connection| c.is_used() && c.closed().is_none() && c.has(Flags::UNACCEPTED);
        let queued = self.conns.iter().filter(waiting).filter(|c| is_its(c.listener)).count();
        check(queued == usize::from(listener.queued), "a listener's backlog is counted wrong")?;
        let (mut at, mut last, mut len) = (listener.first, NONE, 0);
        while let Some(c) = self.conns.get(usize::from(at)).filter(|_| len <= queued) {
            (last, at, len) = (at, c.accept_next, len + 1);
        }
        check(len == queued && last == listener.last, "a listener's backlog is linked wrong")
    }
}

/// What has something to say is asked for it, and what nobody holds is free.
fn audit_places(c: &Connection) -> Finding {
    let places = c.places;
    let is_asked = places.intersects(Places::READY | Places::UNRESOLVED);
    check(send::next(c).is_none() || is_asked, "a segment is due and its slot is in no list")?;
    let has_event = !c.events.is_empty() && !c.has(Flags::UNACCEPTED);
    check(!has_event || places.contains(Places::EVENTFUL), "an event waits and its slot is in no list")?;
    let is_left = c.has(Flags::APP_GONE) || c.has(Flags::UNACCEPTED);
    let is_over = c.closed().is_some() && is_left && !has_event && !c.has(Flags::RST_DUE);
    check(!is_over, "a connection that is over holds its slot for nobody")
}

/// What waits for somebody else has a timer.
fn audit_timers(c: &Connection) -> Finding {
    check(!c.has(Flags::DELACK | Flags::ASKING), "one field holds two timers")?;
    let is_unsent = c.tcb.state() == State::SynSent && c.tcb.snd_nxt == c.tcb.snd_una;
    check(!is_unsent || c.has(Flags::RESEND), "a SYN that never left is not due")?;
    if c.closed().is_some() {
        return check(!c.has(Flags::REXMIT), "what is over is sent again");
    }
    check(!c.has(Flags::RST_DUE), "an RST is due and the connection goes on")?;
    let needs = match c.tcb.state() {
        State::SynSent | State::SynReceived => true,
        State::Established | State::FinWait1 | State::CloseWait | State::Closing | State::LastAck => {
            send::is_waiting(c)
        }
        State::Closed | State::Listen | State::FinWait2 | State::TimeWait => false,
    };
    check(c.has(Flags::REXMIT) || !needs, "the connection waits for its peer without a timer")
}
