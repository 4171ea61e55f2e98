//! What the driver and the sockets share: the engine behind its link, and who waits for what.

use core::cell::RefCell;
use core::time::Duration;

use embassy_sync::waitqueue::WakerRegistration;
use maitake_sync::WaitQueue;

#[cfg(feature = "slaac")]
use super::advertisements::Guard;
#[cfg(feature = "journal")]
use super::allowance::Allowance;
use super::follower::{Change, Follower};
use crate::engine::event::{ConnectionHandle, Event, ListenerHandle};
use crate::link::Link;
use crate::tables::storage::Storage;
use crate::time::Instant;

/// All memory of the TCP of an Embassy project: a [`Storage`] with the same parameters, and the wakers of its connections and
/// listeners. In a static it is nothing but zeros: RAM, no flash.
pub struct TcpResources<
    const CONNECTIONS: usize,
    const LISTENERS: usize,
    const HALF_OPEN: usize,
    const TIME_WAIT: usize,
    const POOL: usize,
> {
    pub(super) storage: Storage<CONNECTIONS, LISTENERS, HALF_OPEN, TIME_WAIT, POOL>,
    pub(super) waiters: [Waiters; CONNECTIONS],
    pub(super) queues: Queues<CONNECTIONS, LISTENERS>,
    pub(super) state: Option<RefCell<State>>,
}

/// Where any number of tasks wait, each in its own future.
pub(super) struct Queues<const CONNECTIONS: usize, const LISTENERS: usize> {
    /// For everything due to have left.
    pub(super) drained: WaitQueue,
    /// For another configuration of embassy-net's.
    pub(super) configured: WaitQueue,
    /// For the end of each connection.
    pub(super) ends: [WaitQueue; CONNECTIONS],
    /// For each listener's next connection.
    pub(super) acceptors: [WaitQueue; LISTENERS],
    /// For what has become of the peers that the last restart has lost.
    #[cfg(feature = "journal")]
    pub(super) lost_peers: WaitQueue,
    /// For a record of the journal that has changed.
    #[cfg(feature = "journal")]
    pub(super) journal: WaitQueue,
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> TcpResources<C, L, H, T, P> {
    /// Makes empty resources, in a constant if wished.
    pub const fn new() -> Self {
        TcpResources {
            storage: Storage::new(),
            waiters: [const { Waiters::new() }; C],
            queues: Queues {
                drained: WaitQueue::new(),
                configured: WaitQueue::new(),
                ends: [const { WaitQueue::new() }; C],
                acceptors: [const { WaitQueue::new() }; L],
                #[cfg(feature = "journal")]
                lost_peers: WaitQueue::new(),
                #[cfg(feature = "journal")]
                journal: WaitQueue::new(),
            },
            state: None,
        }
    }
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> Default
    for TcpResources<C, L, H, T, P>
{
    fn default() -> Self {
        TcpResources::new()
    }
}

/// The tasks that read and write one connection: one of each, as a stream's halves cannot be shared.
pub(super) struct Waiters {
    pub(super) reader: WakerRegistration,
    pub(super) writer: WakerRegistration,
}

impl Waiters {
    const fn new() -> Waiters {
        Waiters { reader: WakerRegistration::new(), writer: WakerRegistration::new() }
    }
}

/// What waits outside of the cell, so that nothing is borrowed meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) drained: &'static WaitQueue,
    pub(super) configured: &'static WaitQueue,
    ends: &'static [WaitQueue],
    acceptors: &'static [WaitQueue],
    #[cfg(feature = "journal")]
    pub(super) lost_peers: &'static WaitQueue,
    #[cfg(feature = "journal")]
    pub(super) journal: &'static WaitQueue,
}

impl Waiting {
    pub(super) fn new<const C: usize, const L: usize>(queues: &'static Queues<C, L>) -> Waiting {
        Waiting {
            drained: &queues.drained,
            configured: &queues.configured,
            ends: &queues.ends,
            acceptors: &queues.acceptors,
            #[cfg(feature = "journal")]
            lost_peers: &queues.lost_peers,
            #[cfg(feature = "journal")]
            journal: &queues.journal,
        }
    }

    pub(super) fn end_of(self, handle: ConnectionHandle) -> &'static WaitQueue {
        &self.ends[handle.index()]
    }

    pub(super) fn acceptors_of(self, handle: ListenerHandle) -> &'static WaitQueue {
        &self.acceptors[handle.index()]
    }
}

/// Two stacks share the device's room for frames to send. The core, which comes first in a pass, would take all of it while it has much to
/// say: so a pass is embassy-net's alone where it asked in vain, and where the core has filled the device, which on some leaves no room to
/// take in a frame. Once embassy-net was served the core has its turn.
#[derive(Default)]
pub(super) struct Sharing {
    /// The core sends nothing in this pass.
    pub(super) is_theirs: bool,
    /// embassy-net asked in vain since the core last sent.
    is_owed: bool,
    /// embassy-net was given room since the core last sent.
    is_served: bool,
    /// The core found the device full.
    is_full: bool,
}

impl Sharing {
    pub(super) fn begin_pass(&mut self) {
        self.is_theirs = self.is_owed || self.is_full;
        (self.is_owed, self.is_full) = (false, false);
    }

    pub(super) fn sent_ours(&mut self) {
        self.is_served = false;
    }

    pub(super) fn found_full(&mut self) {
        self.is_full = true;
    }

    pub(super) fn asked_theirs(&mut self, is_given: bool) {
        self.is_owed = !is_given && !self.is_served;
        self.is_served |= is_given;
    }

    /// Returns whether the core waits for a pass and not for the device: it left this one to embassy-net, which is content.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.is_theirs && !self.is_owed
    }
}

/// Borrowed for the length of a call, never across an `await`, and across a foreign closure only where the documentation says so.
pub(super) struct State {
    pub(super) link: Link<'static>,
    waiters: &'static mut [Waiters],
    pub(super) waiting: Waiting,
    /// The task that drives both stacks.
    pub(super) runner: WakerRegistration,
    /// How often embassy-net's configuration has changed.
    pub(super) configurations: u32,
    /// Somebody waits until everything due has left.
    pub(super) is_drain_awaited: bool,
    /// Who has the device's room for frames.
    pub(super) sharing: Sharing,
    /// How many of the journal's records may be stored, over all calls that copy them.
    #[cfg(feature = "journal")]
    pub(super) stores: Allowance,
    follower: Follower,
    /// Looks at router advertisements before embassy-net does.
    #[cfg(feature = "slaac")]
    pub(super) advertisements: Guard,
}

impl State {
    pub(super) fn new(link: Link<'static>, waiters: &'static mut [Waiters], waiting: Waiting, ip_mtu: usize) -> State {
        State {
            link,
            waiters,
            waiting,
            runner: WakerRegistration::new(),
            configurations: 0,
            is_drain_awaited: false,
            sharing: Sharing::default(),
            #[cfg(feature = "journal")]
            stores: Allowance::full(),
            follower: Follower::new(ip_mtu),
            #[cfg(feature = "slaac")]
            advertisements: Guard::new(),
        }
    }

    /// Takes over embassy-net's addresses and routers, if they have changed; returns whether they have.
    pub(super) fn follow_address(&mut self, stack: embassy_net::Stack<'_>) -> bool {
        let State { link, follower, .. } = self;
        let Change { is_new, is_other } = follower.look(stack, link);
        if is_new {
            self.configurations = self.configurations.wrapping_add(1);
            self.waiting.configured.wake_all();
        }
        if is_other {
            self.runner.wake();
        }
        is_other
    }

    pub(super) fn waiters(&mut self, handle: ConnectionHandle) -> &mut Waiters {
        &mut self.waiters[handle.index()]
    }

    pub(super) fn wake_acceptors(&mut self) {
        for acceptors in self.waiting.acceptors {
            acceptors.wake_all();
        }
    }

    /// Wakes who waits for the journal's news.
    pub(super) fn tell_of_journal(&mut self) {
        #[cfg(feature = "journal")]
        if self.link.tcp().take_journal_change() {
            // Each peer that is done with changes one.
            self.waiting.lost_peers.wake_all();
            self.waiting.journal.wake_all();
        }
    }

    /// Wakes whom an event concerns.
    pub(super) fn tell(&mut self, event: Event) {
        match event {
            Event::Acceptable(listener) => self.waiting.acceptors_of(listener).wake_all(),
            Event::Connected(c) => {
                self.waiters(c).reader.wake();
                self.waiters(c).writer.wake();
            }
            Event::Readable(c) | Event::PeerFinished(c) => self.waiters(c).reader.wake(),
            Event::Writable(c) => self.waiters(c).writer.wake(),
            // The application may ask for the retries; nobody waits for them.
            // What has become of all lost peers is waited for, not of each.
            Event::Stalled(_) | Event::LostPeer(..) => {}
            Event::Closed(c, _) => {
                let Waiters { reader, writer } = self.waiters(c);
                reader.wake();
                writer.wake();
                self.waiting.end_of(c).wake_all();
            }
        }
    }
}

/// A time of embassy-time's, for the options and settings that have the core's: what was written as whole milliseconds is just that, though ticks
/// may not divide a millisecond (at 32,768 Hz 120 ms are 3,933 ticks, 120.03 ms). That holds for clocks of 1 kHz and faster. What no count of milliseconds makes is passed on to the microsecond.
/// Longer than the core's timers reach stays longer, and is refused there.
pub fn core_duration(set: embassy_time::Duration) -> Duration {
    if set.as_secs() > u64::from(u32::MAX) {
        return Duration::MAX;
    }
    let ms = set.as_millis();
    if embassy_time::Duration::from_millis(ms) == set { Duration::from_millis(ms) } else { set.into() }
}

/// The time as the core counts it.
pub(super) fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}

/// Waits in `queue` until `look` finds what is waited for.
pub(super) async fn wait_until<T>(queue: &WaitQueue, look: impl FnMut() -> Option<T>) -> T {
    let mut look = look;
    loop {
        // A queue is never closed.
        if let Ok(found) = queue.wait_for_value(&mut look).await {
            return found;
        }
    }
}
