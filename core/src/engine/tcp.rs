//! The engine's state, and how its records are found.

use heapless::{Deque, HistoryBuf};

use crate::config::{Config, InvalidSetting, MAX_PERIOD, SecretKey};
use crate::connection::list::List;
use crate::connection::pool::Pool;
use crate::connection::settings::Settings;
use crate::connection::slot::Connection;
use crate::counters::{Counters, LAST_RESETS, LoggedReset, ResetKind, SaidCode, count};
use crate::engine::arriving::Arriving;
use crate::engine::keeping::Keeping;
use crate::engine::replies::{REPLIES, Reply};
use crate::id::Id;
use crate::keyed::Keyed;
use crate::rules::reset::Reset;
use crate::rules::verdict::Action;
use crate::tables::half_open::HalfOpen;
use crate::tables::listener::Listeners;
use crate::tables::storage::Storage;
use crate::tables::table::Table;
use crate::tables::time_wait::TimeWait;
use crate::time::{Clock, Instant};
use crate::wire::addr::Tuple;
#[cfg(feature = "reset-diagnostics")]
use crate::wire::diagnostic::COMPACT_LEN;
#[cfg(feature = "reset-diagnostics")]
use crate::wire::segment::HEADER_LEN;
use crate::wire::seq::Seq;

/// A TCP endpoint without I/O, clock or heap.
///
/// # Contract
/// 1. Segments go in by [`Tcp::handle_segment`], time by [`Tcp::handle_timeout`], the application's wishes by the calls.
/// 2. After each of these call [`Tcp::poll_output`] again and again until it says [`crate::Output::Timeout`]; or while [`Tcp::has_output`],
///    and then ask [`Tcp::next_timeout`].
/// 3. A [`crate::Transmit`] is written by `emit`. Until then nothing has changed: dropping it loses nothing, the next poll offers it again.
/// 4. `now` never runs backwards. Call [`Tcp::handle_timeout`] at the time the last poll named, or later; too early or too often is
///    harmless.
/// 5. Nothing a peer or a caller does panics. The same inputs give the same outputs, byte for byte.
/// 6. Every connection that an application holds ends with one [`crate::Event::Closed`]; its slot is given back by [`Tcp::close`] or
///    [`Tcp::abort`].
pub struct Tcp<'s> {
    pub(crate) settings: Settings,
    pub(crate) keyed: Keyed,
    pub(crate) connections: Table<'s, Connection>,
    pub(crate) listeners: Listeners<'s>,
    pub(crate) half_open: Table<'s, HalfOpen>,
    pub(crate) time_wait: Table<'s, TimeWait>,
    pub(crate) pool: Pool<'s>,
    pub(crate) replies: Deque<Reply, REPLIES>,
    /// A reply went out last: a connection's segment goes next.
    pub(crate) is_segments_turn: bool,
    /// Half-open records that only wait for their RST to be queued, and where the first of them can be.
    pub(crate) retired: u16,
    pub(crate) retired_from: usize,
    pub(crate) ready: List,
    pub(crate) unresolved: List,
    pub(crate) eventful: List,
    pub(crate) clock: Clock,
    /// When moments of the past are looked through next, so that each stays comparable.
    pub(crate) age_at: Instant,
    /// The connection whose segment came last: the next one is often its own, and then costs no hash.
    pub(super) last_connection: Option<Id<Connection>>,
    /// Ephemeral ports handed out.
    pub(crate) ports_used: u32,
    pub(crate) counters: Counters,
    pub(crate) last_resets: HistoryBuf<LoggedReset, LAST_RESETS>,
    pub(crate) journal: Keeping<'s>,
}

impl<'s> Tcp<'s> {
    /// Makes an engine over `storage`, whose former content is forgotten. `key` must be random and new at each boot.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the setting that is out of its bounds.
    pub fn new<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
        storage: &'s mut Storage<C, L, H, T, P>,
        config: Config,
        key: SecretKey,
    ) -> Result<Tcp<'s>, InvalidSetting> {
        let settings = Settings::new(&config)?;
        Ok(Tcp {
            settings,
            keyed: Keyed::new(key),
            connections: Table::new(&mut storage.connections, &mut storage.connection_index),
            listeners: Listeners::new(&mut storage.listeners),
            half_open: Table::new(&mut storage.half_open, &mut storage.half_open_index),
            time_wait: Table::new(&mut storage.time_wait, &mut storage.time_wait_index),
            pool: Pool::new(&mut storage.pool.0),
            replies: Deque::new(),
            is_segments_turn: false,
            retired: 0,
            retired_from: usize::MAX,
            ready: List::EMPTY,
            unresolved: List::EMPTY,
            eventful: List::EMPTY,
            clock: Clock::START,
            age_at: Instant::ZERO + MAX_PERIOD,
            last_connection: None,
            ports_used: 0,
            counters: Counters::ZERO,
            last_resets: HistoryBuf::new(),
            journal: Keeping::NONE,
        })
    }

    #[inline(never)]
    pub(crate) fn reply_reset(&mut self, arriving: &Arriving<'_>, reset: Reset) -> Action {
        self.reply(self.reset_reply(arriving, reset));
        Action::Reset(reset.reason)
    }

    /// It says why only where it is no longer for that than what it answers: nobody gets more from us than he sends.
    pub(crate) fn reset_reply(&self, arriving: &Arriving<'_>, reset: Reset) -> Reply {
        let reply = Reply::reset(arriving.tuple, arriving.link_addr, reset);
        #[cfg(feature = "reset-diagnostics")]
        let reply = Reply { says_why: arriving.len >= HEADER_LEN + COMPACT_LEN, ..reply };
        reply
    }

    /// The reply that goes next; one to nobody where none waits.
    pub(crate) fn first_reply(&self) -> &Reply {
        self.replies.front().unwrap_or(&Reply::TO_NOBODY)
    }

    /// Takes the first reply out of the queue, and what has waited for a place in.
    pub(crate) fn pop_reply(&mut self) {
        self.replies.pop_front();
        if self.retired > 0 {
            self.tell_retired();
        }
    }

    pub(crate) fn reply(&mut self, reply: Reply) {
        if self.replies.push_back(reply).is_err() {
            count(&mut self.counters.replies_lost);
        }
    }

    #[inline(never)]
    pub(crate) fn log_reset(&mut self, at: Instant, tuple: &Tuple, seq: Seq, what: ResetKind, said: SaidCode) {
        self.last_resets.write(LoggedReset { at, tuple: *tuple, seq, what, said });
    }
}
