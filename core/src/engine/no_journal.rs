//! What stands for the journal in a build without the feature `journal`: nothing is noted, and no peer is lost.

use crate::connection::slot::Connection;
use crate::engine::arriving::Arriving;
use crate::engine::event::Event;
use crate::engine::keeping::{Offered, Probe};
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::verdict::{Timer, Verdict};
use crate::tables::half_open::HalfOpen;
use crate::time::Millis;
use crate::wire::addr::{LinkAddr, Tuple};

impl Tcp<'_> {
    pub(crate) fn note_begin(&mut self, _: Id<Connection>) {}

    pub(crate) fn note_end(&mut self, _: Id<Connection>) {}

    pub(crate) fn is_lost(&self, _: &Tuple) -> bool {
        false
    }

    pub(crate) fn is_of_lost_peer(&self, _: Id<HalfOpen>, _: &Arriving<'_>) -> bool {
        false
    }

    pub(crate) fn hear_lost_peer(&mut self, _: &Arriving<'_>, _: &Verdict) {}

    pub(crate) fn lost_peer_is_told(&mut self, _: &Arriving<'_>) {}

    pub(crate) fn next_lost_peer_event(&mut self) -> Option<Event> {
        None
    }

    pub(crate) fn next_probe(&mut self) -> Option<Probe> {
        None
    }

    pub(crate) fn offered(&self, probe: Probe) -> &Offered {
        match probe {}
    }

    pub(crate) fn set_probe_link_addr(&mut self, probe: Probe, _: LinkAddr) {
        match probe {}
    }

    pub(crate) fn sent_probe(&mut self, probe: Probe) {
        match probe {}
    }

    pub(crate) fn defer_probe(&mut self, probe: Probe, _: bool) {
        match probe {}
    }

    pub(crate) fn wake_parked(&mut self) {}

    pub(crate) fn wake_unasked(&mut self) {}

    pub(crate) fn suspend_probes(&mut self) {}

    pub(crate) fn resume_probes(&mut self) {}

    pub(crate) fn lost_peers_due(&mut self) {}

    pub(crate) fn lost_peer_deadline(&self) -> Option<(Millis, Timer)> {
        None
    }

    pub(crate) fn is_journal_right(&self) -> bool {
        true
    }
}
