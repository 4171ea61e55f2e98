//! Full tables: who makes room for whom.

use crate::config::EvictBy;
use crate::connection::flags::Marks;
use crate::connection::slot::Connection;
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::tcb::Flags;
use crate::rules::verdict::CloseReason;
use crate::tables::half_open::HalfOpen;

impl Tcp<'_> {
    /// `wanting` have found no slot or no buffers, and wait. Ends the connection that has been idle the longest, if one has been for as long
    /// as it must, and if fewer than wait are leaving already: an application that does not give up what was evicted keeps the slot, and no other
    /// connection pays for it.
    pub(crate) fn make_way(&mut self, wanting: usize) {
        let Some((by, least_ms)) = self.settings.eviction else { return };
        let now = self.clock.ms();
        let is_leaving = |c: &Connection| c.closed() == Some(CloseReason::Evicted);
        if self.connections.iter().filter(|(_, c)| is_leaving(c)).count() >= wanting {
            return;
        }
        let mut victim = None;
        let mut longest_ms = 0;
        for (i, c) in self.connections.iter() {
            let is_open = !c.is_over() && c.tcb.state().is_synchronized();
            let quiet_ms = now.since(c.moved_at);
            let (is_meant, idle_ms) = match by {
                EvictBy::Idle => (true, quiet_ms),
                // It may have been quiet for long, and owe something only now.
                EvictBy::WithoutProgress => (owes(c), quiet_ms.min(now.since(c.since))),
            };
            if is_open && is_meant && idle_ms >= least_ms.max(longest_ms) {
                (victim, longest_ms) = (Some(i), idle_ms);
            }
        }
        if let Some(victim) = victim {
            self.end_by_timer(victim, CloseReason::Evicted);
        }
    }

    /// The peer of a half-open record has completed its handshake and found no room. A full backlog is the application's to empty.
    pub(crate) fn make_way_for(&mut self, h: Id<HalfOpen>) {
        if self.waits_for_room(&self.half_open[h]) {
            self.make_way(self.waiting_for_room());
        }
    }

    fn waits_for_room(&self, half: &HalfOpen) -> bool {
        half.progress.is_completed() && self.listeners[half.listener].has_place()
    }

    /// How many peers have completed their handshake and found no room.
    pub(crate) fn waiting_for_room(&self) -> usize {
        self.half_open.iter().filter(|(_, half)| self.waits_for_room(half)).count()
    }

    /// A slot is free. The peer that has waited the longest for one is asked at once to say its last ACK again: it does so at latest when our
    /// SYN,ACK comes again by its timer.
    pub(crate) fn invite(&mut self) {
        if self.settings.eviction.is_none() {
            return;
        }
        let waiting = self.half_open.iter().filter(|(_, half)| self.waits_for_room(half));
        if let Some((h, _)) = waiting.max_by_key(|(_, half)| half.progress.retries()) {
            self.reply_syn_ack(h);
        }
    }
}

/// Returns whether it is the peer's turn: to acknowledge, to open its window, or to send its FIN.
fn owes(c: &Connection) -> bool {
    c.has(Marks::REXMIT) || c.has(Flags::APP_GONE)
}
