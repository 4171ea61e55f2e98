//! The reset journal of an Embassy project: which memory, how far the peers of the last run are, copies where no RAM outlives a power cut.

use core::convert::Infallible;

use super::stack::TcpStack;
use super::state::{now, wait_until};
use crate::config::InvalidSetting;
use crate::counters::JournalCounters;
use crate::tables::journal::{Journal, JournalStorage};

impl TcpStack {
    /// Keeps a journal from now on, and has the peers told that the last restart has lost: see [`crate::Tcp::keep_journal`]. Call it once, after
    /// [`super::start`]. The addresses are followed, DHCP's too: an IPv4 address that is not the journal's forgets its pairs. While the link is down nobody
    /// is asked.
    ///
    /// # Errors
    /// [`crate::Setting::Journal`] if it has fewer records than there are connections.
    pub fn keep_journal<const N: usize>(&self, journal: &'static Journal<N>) -> Result<(), InvalidSetting> {
        let mut state = self.state();
        state.link.keep_journal(now(), journal)?;
        state.runner.wake();
        Ok(())
    }

    /// Waits until it is known of every peer that the last restart has lost what has become of it, and returns the sums. Without an address,
    /// or a link, that takes as long as these do. Any number of tasks may wait at once.
    pub async fn lost_peers_settled(&self) -> JournalCounters {
        let queue = self.state().waiting.lost_peers;
        wait_until(queue, || {
            let state = self.state();
            let tcp = state.link.tcp_ref();
            (!tcp.has_lost_peers()).then(|| tcp.counters().journal)
        })
        .await
    }

    /// Notes where each connection's sending stands, before a restart for which [`TcpStack::abort_all`] has no time, or could not tell every peer: see
    /// [`crate::Tcp::note_sequence_numbers`].
    pub fn note_sequence_numbers(&self) {
        let mut state = self.state();
        state.link.tcp().note_sequence_numbers();
        state.tell_of_journal();
    }

    /// Copies each record of a journal that changes into a storage, for as long as this is polled: in a task of its own, off the path of every
    /// segment, and not before [`TcpStack::keep_journal`]. A connection that comes and goes while another record is written costs the storage nothing. What was
    /// not copied when the power went is not known at the next start.
    ///
    /// # Errors
    /// The storage's. The record in question is taken up when this is called again, as is one whose copying was cut short.
    pub async fn copy_journal<const N: usize, S: JournalStorage>(
        &self,
        journal: &'static Journal<N>,
        storage: &mut S,
    ) -> Result<Infallible, S::Error> {
        let queue = self.state().waiting.journal;
        loop {
            let at = wait_until(queue, || journal.take_changed()).await;
            let unsaved = Unsaved { journal, at };
            if let Some(bytes) = journal.record(at) {
                storage.store(at, &bytes).await?;
            }
            core::mem::forget(unsaved);
        }
    }
}

/// A change that was taken and is not stored yet. Dropped, it is a change again.
struct Unsaved<const N: usize> {
    journal: &'static Journal<N>,
    at: usize,
}

impl<const N: usize> Drop for Unsaved<N> {
    fn drop(&mut self) {
        self.journal.put_change_back(self.at);
    }
}
