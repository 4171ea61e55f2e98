//! Listeners, and the backlog of each.

use core::ops;

use crate::connection::settings::Listen;
use crate::connection::slot::{Accepting, Connection};
use crate::id::{Id, ListenerId};
use crate::tables::table::Table;
use crate::wire::addr::{Addr, Tuple};

/// A listener: never a connection, so it survives everything that happens to its connections.
#[derive(Clone)]
pub(crate) struct Listener {
    is_open: bool,
    pub(crate) generation: u16,
    /// [`Addr::ZERO`]: all of ours; IPv4's unspecified one: all of ours of that family.
    addr: Addr,
    port: u16,
    pub(crate) options: Listen,
    /// Half-open records that belong to it.
    half_open: u8,
    /// Completed connections nobody has accepted: how many, the oldest, the newest.
    queued: u8,
    first: Option<Id<Connection>>,
    last: Option<Id<Connection>>,
    /// The application has not been told yet.
    has_news: bool,
    /// It stands in the list of those with news. It stays there when it is closed, and is passed over.
    is_listed: bool,
    next_listed: Option<ListenerId>,
    /// The first listener whose port leads to this place.
    bucket: Option<ListenerId>,
    /// The next one whose port leads to the same place; the next free one.
    next: Option<ListenerId>,
}

impl Listener {
    /// Nothing but zeros, for storage that costs no flash.
    pub(crate) const EMPTY: Listener = Listener {
        is_open: false,
        generation: 0,
        addr: Addr::ZERO,
        port: 0,
        options: Listen::ZERO,
        half_open: 0,
        queued: 0,
        first: None,
        last: None,
        has_news: false,
        is_listed: false,
        next_listed: None,
        bucket: None,
        next: None,
    };

    /// Returns whether the peer may connect.
    fn admits(&self, tuple: &Tuple) -> bool {
        let peer = tuple.remote_addr.ip();
        self.options.accept_from.is_none_or(|networks| networks.iter().any(|network| network.contains(peer)))
    }

    /// Returns how closely it names the address, if it takes connections there: the very address comes before all of a family, and that before
    /// all.
    fn rank(&self, local: Addr) -> Option<u8> {
        if self.addr == local {
            Some(2)
        } else if self.addr == local.unspecified() {
            Some(1)
        } else {
            (self.addr == Addr::ZERO).then_some(0)
        }
    }

    /// What belongs to the place, whoever listens there.
    fn rest(&self) -> Listener {
        let Listener { generation, is_listed, next_listed, bucket, .. } = *self;
        Listener { generation, is_listed, next_listed, bucket, ..Listener::EMPTY }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Returns whether one more completed connection may wait to be accepted.
    pub(crate) fn has_place(&self) -> bool {
        self.queued < self.options.backlog
    }

    /// Returns whether one more handshake may begin.
    pub(crate) fn takes_handshake(&self) -> bool {
        self.half_open < self.options.half_open && self.has_place()
    }

    /// The oldest connection that nobody has accepted.
    pub(crate) fn first(&self) -> Option<Id<Connection>> {
        self.first
    }
}

/// All listeners. They are found by port, however many there are.
pub(crate) struct Listeners<'s> {
    entries: &'s mut [Listener],
    free: Option<ListenerId>,
    with_news: u8,
    /// Those that may have something to tell: the first, the last.
    listed: Option<ListenerId>,
    last_listed: Option<ListenerId>,
}

impl<'s> Listeners<'s> {
    /// Makes an empty table, whatever the storage holds.
    pub(crate) fn new(entries: &'s mut [Listener]) -> Listeners<'s> {
        let count = entries.len();
        for (i, entry) in entries.iter_mut().enumerate() {
            let next = ListenerId::new(i + 1).filter(|_| i + 1 < count);
            *entry = Listener { next, ..Listener::EMPTY };
        }
        Listeners {
            free: ListenerId::new(0).filter(|_| count > 0),
            entries,
            with_news: 0,
            listed: None,
            last_listed: None,
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ListenerId> + use<> {
        (0..self.entries.len()).filter_map(ListenerId::new)
    }

    /// Returns the listener of a place that a caller names.
    pub(crate) fn at(&self, index: usize) -> Option<ListenerId> {
        ListenerId::new(index).filter(|id| id.index() < self.entries.len())
    }

    /// Opens a listener. `None`: all entries are in use.
    pub(crate) fn open(&mut self, addr: Addr, port: u16, options: Listen) -> Option<ListenerId> {
        let id = self.free?;
        let bucket = self.bucket_of(port)?;
        self.free = self[id].next;
        let next = self[bucket].bucket;
        self[id] = Listener { is_open: true, addr, port, options, next, ..self[id].rest() };
        self[bucket].bucket = Some(id);
        Some(id)
    }

    /// Closes a listener whose handshakes and backlog are gone.
    pub(crate) fn close(&mut self, id: ListenerId) {
        let (port, next) = (self[id].port, self[id].next);
        if let Some(bucket) = self.bucket_of(port) {
            let mut at = self[bucket].bucket;
            if at == Some(id) {
                self[bucket].bucket = next;
            }
            while let Some(other) = at {
                at = self[other].next;
                if at == Some(id) {
                    self[other].next = next;
                    break;
                }
            }
        }
        self.with_news -= u8::from(self[id].has_news);
        let generation = self[id].generation.wrapping_add(1);
        self[id] = Listener { generation, next: self.free, ..self[id].rest() };
        self.free = Some(id);
    }

    /// Returns whether somebody listens at exactly this address and port.
    pub(crate) fn has(&self, addr: Addr, port: u16) -> bool {
        self.on_port(port).any(|id| self[id].addr == addr)
    }

    pub(crate) fn is_port_taken(&self, port: u16) -> bool {
        self.on_port(port).next().is_some()
    }

    /// Returns the listener a peer reaches. One that does not admit the peer is not there for it, so that the port looks closed.
    pub(crate) fn find(&self, tuple: &Tuple) -> Option<ListenerId> {
        let mut best = None;
        for id in self.on_port(tuple.local_port) {
            let rank = self[id].rank(tuple.local_addr);
            if rank > best.map(|(rank, _)| rank) && self[id].admits(tuple) {
                best = rank.map(|rank| (rank, id));
            }
        }
        best.map(|(_, id)| id)
    }

    fn on_port(&self, port: u16) -> impl Iterator<Item = ListenerId> {
        let first = self.bucket_of(port).and_then(|bucket| self[bucket].bucket);
        let chain = core::iter::successors(first, |id| self[*id].next);
        chain.filter(move |id| self[*id].port == port)
    }

    /// The place that a port leads to. No peer chooses the ports.
    fn bucket_of(&self, port: u16) -> Option<ListenerId> {
        let count = self.entries.len();
        if count == 0 { None } else { ListenerId::new(usize::from(port) % count) }
    }

    /// A handshake has begun.
    pub(crate) fn add_half_open(&mut self, id: ListenerId) {
        self[id].half_open += 1;
    }

    /// A handshake is over, one way or the other.
    pub(crate) fn remove_half_open(&mut self, id: ListenerId) {
        self[id].half_open -= 1;
    }

    /// Puts a completed connection into the backlog, and makes it news.
    pub(crate) fn push(&mut self, id: ListenerId, connections: &mut Table<'_, Connection>, i: Id<Connection>) {
        let listener = &mut self[id];
        match listener.last {
            None => listener.first = Some(i),
            Some(last) => connections[last].accepting = Accepting::before(Some(i)),
        }
        listener.last = Some(i);
        listener.queued += 1;
        self.with_news += u8::from(!core::mem::replace(&mut listener.has_news, true));
        self.list(id);
    }

    /// Puts a listener at the end of those with news, unless it is among them.
    fn list(&mut self, id: ListenerId) {
        if core::mem::replace(&mut self[id].is_listed, true) {
            return;
        }
        self[id].next_listed = None;
        match self.last_listed.filter(|_| self.listed.is_some()) {
            Some(last) => self[last].next_listed = Some(id),
            None => self.listed = Some(id),
        }
        self.last_listed = Some(id);
    }

    /// Takes a connection out of the backlog, wherever it stands.
    pub(crate) fn unlink(&mut self, id: ListenerId, connections: &mut Table<'_, Connection>, i: Id<Connection>) {
        let listener = &mut self[id];
        let (mut before, mut at) = (None, listener.first);
        while let Some(other) = at.filter(|at| *at != i) {
            (before, at) = (at, connections[other].accepting.next());
        }
        if at.is_none() {
            return;
        }
        let next = core::mem::replace(&mut connections[i].accepting, Accepting::NEW).next();
        match before {
            None => listener.first = next,
            Some(before) => connections[before].accepting = Accepting::before(next),
        }
        if listener.last == Some(i) {
            listener.last = before;
        }
        listener.queued -= 1;
    }

    pub(crate) fn has_news(&self) -> bool {
        self.with_news > 0
    }

    /// Returns a listener whose application is to be told that a connection waits. Each is returned once.
    pub(crate) fn take_news(&mut self) -> Option<ListenerId> {
        while let Some(id) = self.listed {
            let listener = &mut self[id];
            listener.is_listed = false;
            let (has_news, next) = (core::mem::take(&mut listener.has_news), listener.next_listed);
            self.listed = next;
            if has_news {
                self.with_news -= 1;
                return Some(id);
            }
        }
        None
    }

    /// Checks that counts and links agree. `half_open` and `unaccepted` count what belongs to a listener.
    pub(crate) fn audit(
        &self,
        connections: &Table<'_, Connection>,
        half_open: impl Fn(ListenerId) -> usize,
        unaccepted: impl Fn(ListenerId) -> usize,
    ) -> Result<(), &'static str> {
        let check = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
        let listed =
            core::iter::successors(self.listed, |id| self[*id].next_listed).take(self.entries.len() + 1).count();
        let marked = self.entries.iter().filter(|listener| listener.is_listed).count();
        check(listed == marked, "the list of listeners with news is wrong")?;
        let news = self.entries.iter().filter(|listener| listener.has_news).count();
        check(news == usize::from(self.with_news), "listeners with news are counted wrong")?;
        for id in self.ids() {
            let listener = &self[id];
            let is_found = self.on_port(listener.port).any(|other| other == id);
            check(is_found == listener.is_open, "a listener is not found by its port")?;
            check(listener.is_listed || !listener.has_news, "a listener has news that nobody is told")?;
            check(
                half_open(id) == usize::from(listener.half_open),
                "a listener's half-open records are counted wrong",
            )?;
            let queued = unaccepted(id);
            check(queued == usize::from(listener.queued), "a listener's backlog is counted wrong")?;
            let backlog = core::iter::successors(listener.first, |i| connections[*i].accepting.next());
            let (len, last) = backlog.take(queued + 1).fold((0, None), |(len, _), i| (len + 1, Some(i)));
            check(len == queued && last == listener.last, "a listener's backlog is linked wrong")?;
        }
        Ok(())
    }
}

impl ops::Index<ListenerId> for Listeners<'_> {
    type Output = Listener;

    #[inline]
    fn index(&self, id: ListenerId) -> &Listener {
        &self.entries[id.index()]
    }
}

impl ops::IndexMut<ListenerId> for Listeners<'_> {
    #[inline]
    fn index_mut(&mut self, id: ListenerId) -> &mut Listener {
        &mut self.entries[id.index()]
    }
}
