//! Lists of slots, threaded through the slots themselves.

use crate::connection::slot::{Connection, Places};
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::wire::addr::Addr;

fn out_link(c: &mut Connection) -> &mut Option<Id<Connection>> {
    &mut c.links.out_next
}

fn event_link(c: &mut Connection) -> &mut Option<Id<Connection>> {
    &mut c.links.event_next
}

impl Tcp<'_> {
    /// Puts a slot among those asked for their next segment.
    pub(crate) fn queue_ready(&mut self, i: Id<Connection>) {
        let places = &mut self.connections[i].places;
        if !places.intersects(Places::READY | Places::UNRESOLVED) {
            places.insert(Places::READY);
            self.ready.push(&mut self.connections, out_link, i);
        }
    }

    pub(crate) fn pop_ready(&mut self) -> Option<Id<Connection>> {
        let i = self.ready.pop(&mut self.connections, out_link)?;
        self.connections[i].places.remove(Places::READY);
        Some(i)
    }

    /// Moves the first ready slot to those that wait for a neighbor.
    pub(crate) fn park_ready(&mut self) {
        if let Some(i) = self.pop_ready() {
            self.connections[i].places.insert(Places::UNRESOLVED);
            self.unresolved.push(&mut self.connections, out_link, i);
        }
    }

    /// The peers of the connections that wait for a next hop's address, or for a route.
    pub(crate) fn unresolved_peers(&self) -> impl Iterator<Item = Addr> {
        let waiting = self.connections.iter().filter(|(_, c)| c.places.contains(Places::UNRESOLVED));
        waiting.map(|(_, c)| c.tcb.tuple.remote_addr)
    }

    /// Asks every slot that waits for a neighbor again.
    pub(crate) fn wake_unresolved(&mut self) {
        while let Some(i) = self.unresolved.pop(&mut self.connections, out_link) {
            self.connections[i].places.remove(Places::UNRESOLVED);
            self.queue_ready(i);
        }
    }

    /// The same, with the first `asked` last: they have had their turn.
    pub(crate) fn wake_unresolved_after(&mut self, asked: usize) {
        for _ in 0..asked {
            if let Some(i) = self.unresolved.pop(&mut self.connections, out_link) {
                self.unresolved.push(&mut self.connections, out_link, i);
            }
        }
        self.wake_unresolved();
    }

    pub(crate) fn queue_event(&mut self, i: Id<Connection>) {
        let places = &mut self.connections[i].places;
        if !places.contains(Places::EVENTFUL) {
            places.insert(Places::EVENTFUL);
            self.eventful.push(&mut self.connections, event_link, i);
        }
    }

    pub(crate) fn pop_event(&mut self) -> Option<Id<Connection>> {
        let i = self.eventful.pop(&mut self.connections, event_link)?;
        self.connections[i].places.remove(Places::EVENTFUL);
        Some(i)
    }
}
