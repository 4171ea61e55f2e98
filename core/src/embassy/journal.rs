//! The reset journal of an Embassy project: which memory, how far the peers of the last run are, copies where no RAM outlives a power cut.

use core::convert::Infallible;

use embassy_time::{Duration, Instant, Timer};

use super::stack::TcpStack;
use super::state::{now, wait_until};
use crate::config::InvalidSetting;
use crate::counters::JournalCounters;
use crate::tables::journal::{Journal, JournalStorage, is_same};

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
    /// segment, and not before [`TcpStack::keep_journal`]. What was not copied when the power went is not known at the next start.
    ///
    /// Peers decide how often records change, and a flash endures so many stores. A token bucket bounds them: it holds as many stores as there are
    /// records, is full at the start of the device, and gets one back each `least`, over all calls; zero is no bound. A record is stored as it is when its
    /// turn comes, and not at all if the storage holds that already. Records have their turns one after the other, however often one changes. While the
    /// bucket is empty a connection that begins is not known after a power cut until its turn, which comes within as many `least` as there are
    /// records. The documentation of `FlashJournal` says how long a flash lasts with which value.
    ///
    /// A storage with fewer records than the journal does not compile.
    ///
    /// # Errors
    /// The storage's. The record in question is taken up when this is called again, as is one whose copying was cut short.
    pub async fn copy_journal<const N: usize, S: JournalStorage>(
        &self,
        journal: &'static Journal<N>,
        storage: &mut S,
        least: Duration,
    ) -> Result<Infallible, S::Error> {
        const { Journal::<N>::fits_in::<S>() };
        let queue = self.state().waiting.journal;
        loop {
            let at = self.state().stores.next(N, least);
            if at > Instant::now() {
                Timer::at(at).await;
            }
            let at = wait_until(queue, || journal.take_changed()).await;
            let unsaved = Unsaved { journal, at };
            if let Some(bytes) = journal.record(at)
                && !storage.load(at).await?.is_some_and(|stored| is_same(&stored, &bytes))
            {
                // One that fails wears the storage out as well.
                self.state().stores.take(Instant::now(), N, least);
                storage.store(at, &bytes).await?;
            }
            core::mem::forget(unsaved);
        }
    }
}

/// A storage with as many records as the journal will do:
/// ```
/// # use core::pin::pin;
/// # use core::task::{Context, Waker};
/// # use tcp_reset_core::embassy::TcpStack;
/// # use tcp_reset_core::{JOURNAL_RECORD_LEN, Journal, JournalStorage};
/// # struct Small;
/// # impl JournalStorage for Small {
/// #     const RECORDS: usize = 8;
/// #     type Error = ();
/// #     async fn load(&mut self, _record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, ()> {
/// #         Ok(None)
/// #     }
/// #     async fn store(&mut self, _record: usize, _bytes: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), ()> {
/// #         Ok(())
/// #     }
/// # }
/// # #[unsafe(no_mangle)]
/// # fn _embassy_time_now() -> u64 {
/// #     0
/// # }
/// # #[unsafe(no_mangle)]
/// # fn _embassy_time_schedule_wake(_at: u64, _waker: &Waker) {}
/// static JOURNAL: Journal<8> = Journal::new();
/// let copy: fn(TcpStack) = |tcp| {
///     let mut storage = Small;
///     let copying = tcp.copy_journal(&JOURNAL, &mut storage, embassy_time::Duration::MIN);
///     let _ = pin!(copying).poll(&mut Context::from_waker(Waker::noop()));
/// };
/// let _ = core::hint::black_box(copy);
/// ```
/// One with fewer does not:
/// ```compile_fail
/// # use core::pin::pin;
/// # use core::task::{Context, Waker};
/// # use tcp_reset_core::embassy::TcpStack;
/// # use tcp_reset_core::{JOURNAL_RECORD_LEN, Journal, JournalStorage};
/// # struct Small;
/// # impl JournalStorage for Small {
/// #     const RECORDS: usize = 8;
/// #     type Error = ();
/// #     async fn load(&mut self, _record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, ()> {
/// #         Ok(None)
/// #     }
/// #     async fn store(&mut self, _record: usize, _bytes: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), ()> {
/// #         Ok(())
/// #     }
/// # }
/// # #[unsafe(no_mangle)]
/// # fn _embassy_time_now() -> u64 {
/// #     0
/// # }
/// # #[unsafe(no_mangle)]
/// # fn _embassy_time_schedule_wake(_at: u64, _waker: &Waker) {}
/// static JOURNAL: Journal<9> = Journal::new();
/// let copy: fn(TcpStack) = |tcp| {
///     let mut storage = Small;
///     let copying = tcp.copy_journal(&JOURNAL, &mut storage, embassy_time::Duration::MIN);
///     let _ = pin!(copying).poll(&mut Context::from_waker(Waker::noop()));
/// };
/// let _ = core::hint::black_box(copy);
/// ```
#[cfg(doctest)]
struct StorageOfFewerRecords;

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
