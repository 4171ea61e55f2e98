//! The engine's state, and how its records are found.

use heapless::{Deque, HistoryBuf};

use crate::config::{Config, InvalidSetting, MAX_PERIOD, SecretKey};
use crate::connection::list::List;
use crate::connection::pool::Pool;
use crate::connection::settings::Settings;
use crate::connection::slot::Connection;
use crate::counters::{Counters, LAST_RESETS, ResetKind, ResetRecord, count};
use crate::engine::replies::{REPLIES, Reply};
use crate::id::NONE;
use crate::keyed::Keyed;
use crate::rules::reset::Reset;
use crate::rules::verdict::Action;
use crate::tables::half_open::HalfOpen;
use crate::tables::index::Index;
use crate::tables::listener::Listener;
use crate::tables::storage::Storage;
use crate::tables::time_wait::TimeWait;
use crate::time::{Clock, Instant};
use crate::wire::addr::{Addr, Hop, Tuple, endpoints};
use crate::wire::seq::Seq;

/// A TCP endpoint without I/O, clock or heap.
///
/// # Contract
/// 1. Segments go in by [`Tcp::handle_segment`], time by [`Tcp::handle_timeout`], the application's wishes by the calls.
/// 2. After each of these call [`Tcp::poll_output`] again and again until it says [`crate::Output::Timeout`].
/// 3. A [`crate::Transmit`] is written by `emit`. Until then nothing has changed: dropping it loses nothing, the next poll offers it again.
/// 4. `now` never runs backwards. Call [`Tcp::handle_timeout`] at the time the last poll named, or later; too early or too often is
///    harmless.
/// 5. Nothing a peer or a caller does panics. The same inputs give the same outputs, octet for octet.
/// 6. Every connection that an application holds ends with one [`crate::Event::Closed`]; its slot is given back by [`Tcp::close`] or
///    [`Tcp::abort`].
pub struct Tcp<'s> {
    pub(crate) settings: Settings,
    pub(crate) keyed: Keyed,
    pub(crate) conns: &'s mut [Connection],
    pub(crate) conn_index: Index<'s>,
    pub(crate) listeners: &'s mut [Listener],
    pub(crate) halves: &'s mut [HalfOpen],
    pub(crate) half_index: Index<'s>,
    pub(crate) waits: &'s mut [TimeWait],
    pub(crate) wait_index: Index<'s>,
    pub(crate) pool: Pool<'s>,
    pub(crate) replies: Deque<Reply, REPLIES>,
    /// A reply went out last: a connection's segment goes next.
    pub(crate) is_segments_turn: bool,
    /// Half-open records that only wait for their RST to be queued, and where the first of them can be.
    pub(crate) retired: u16,
    pub(crate) retired_from: u16,
    pub(crate) ready: List,
    pub(crate) unresolved: List,
    pub(crate) eventful: List,
    pub(crate) clock: Clock,
    /// When moments of the past are looked through next, so that each stays comparable.
    pub(crate) age_at: Instant,
    /// The connection whose segment came last: the next one is often its own, and then costs no hash.
    pub(super) last_connection: u16,
    /// How many listeners have news.
    pub(crate) listeners_with_news: u8,
    /// Ephemeral ports handed out.
    pub(crate) ports_used: u32,
    pub(crate) counters: Counters,
    pub(crate) last_resets: HistoryBuf<ResetRecord, LAST_RESETS>,
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
        storage.connections.fill(Connection::ZERO);
        storage.half_open.fill(HalfOpen::ZERO);
        storage.time_wait.fill(TimeWait::ZERO);
        for listener in &mut storage.listeners {
            *listener = Listener::closed(0);
        }
        Ok(Tcp {
            settings,
            keyed: Keyed::new(key),
            conns: &mut storage.connections,
            conn_index: Index::new(&mut storage.connection_index),
            listeners: &mut storage.listeners,
            halves: &mut storage.half_open,
            half_index: Index::new(&mut storage.half_open_index),
            waits: &mut storage.time_wait,
            wait_index: Index::new(&mut storage.time_wait_index),
            pool: Pool::new(&mut storage.pool.0),
            replies: Deque::new(),
            is_segments_turn: false,
            retired: 0,
            retired_from: NONE,
            ready: List::EMPTY,
            unresolved: List::EMPTY,
            eventful: List::EMPTY,
            clock: Clock::START,
            age_at: Instant::ZERO + MAX_PERIOD,
            last_connection: NONE,
            listeners_with_news: 0,
            ports_used: 0,
            counters: Counters::ZERO,
            last_resets: HistoryBuf::new(),
        })
    }

    pub(crate) fn find_connection(&self, tuple: &Tuple, hash: u32) -> Option<u16> {
        self.conn_index.find(hash, |i| self.conns[i].tcb.tuple == *tuple)
    }

    pub(crate) fn find_half_open(&self, tuple: &Tuple, hash: u32) -> Option<u16> {
        self.half_index.find(hash, |h| self.halves[h].tuple == *tuple)
    }

    pub(crate) fn find_time_wait(&self, tuple: &Tuple, hash: u32) -> Option<u16> {
        self.wait_index.find(hash, |w| self.waits[w].tuple == *tuple)
    }

    /// A listener on the very address comes before one on all of its family, and that before one on all addresses. One that does not
    /// admit the peer is not there for it, so that the port looks closed.
    pub(crate) fn find_listener(&self, tuple: &Tuple) -> Option<usize> {
        let on = |want: Addr| {
            let is_it = |l: &Listener| l.is_open && l.port == tuple.local_port && l.addr == want && l.admits(tuple);
            self.listeners.iter().position(is_it)
        };
        let family = tuple.local_addr.unspecified();
        let all = || if family == Addr::ZERO { None } else { on(Addr::ZERO) };
        on(tuple.local_addr).or_else(|| on(family)).or_else(all)
    }

    pub(crate) fn reply_reset(&mut self, tuple: &Tuple, hop: Hop, reset: Reset) -> Action {
        self.reply(Reply::reset(tuple, hop, reset));
        Action::Reset(reset.reason)
    }

    /// Takes the first reply out of the queue, and what has waited for a place in.
    pub(crate) fn pop_reply(&mut self) {
        self.replies.pop_front();
        self.tell_retired();
    }

    pub(crate) fn reply(&mut self, reply: Reply) {
        if self.replies.push_back(reply).is_err() {
            count(&mut self.counters.replies_lost);
        }
    }

    pub(crate) fn log_reset(&mut self, at: Instant, tuple: &Tuple, seq: Seq, what: ResetKind) {
        let (local, remote) = endpoints(tuple, self.settings.zone);
        self.last_resets.write(ResetRecord { at, local, remote, seq, what });
    }
}
