//! What the driver and the sockets share: the engine behind its link, and who waits for what.

use core::cell::RefCell;
use core::task::Waker;

use embassy_sync::waitqueue::{MultiWakerRegistration, WakerRegistration};

#[cfg(feature = "slaac")]
use super::advertisements::Guard;
use super::follower::{Change, Follower};
use crate::link::Link;
use crate::output::{ConnectionHandle, Event, ListenerHandle};
use crate::storage::Storage;
use crate::time::Instant;

/// How many tasks may sleep in `accept` of one listener at once. More are served too, but each that comes wakes the others.
pub const MOST_ACCEPTORS: usize = 8;
/// The same for `closed` of one stream and its halves, and for `abort_all`.
const MOST_ENDERS: usize = 2;
/// How many tasks may sleep in `address_changed` at once. More are served too, but keep waking each other.
pub const MOST_WATCHERS: usize = 4;

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
    pub(super) acceptors: [Acceptors; LISTENERS],
    pub(super) state: Option<RefCell<State>>,
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> TcpResources<C, L, H, T, P> {
    /// Makes empty resources, in a constant if wished.
    pub const fn new() -> Self {
        TcpResources {
            storage: Storage::new(),
            waiters: [const { Waiters::new() }; C],
            acceptors: [const { Acceptors::new() }; L],
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

/// The tasks that wait for one connection: its reader, its writer, and who waits for its end.
pub(super) struct Waiters {
    pub(super) reader: WakerRegistration,
    pub(super) writer: WakerRegistration,
    pub(super) end: MultiWakerRegistration<MOST_ENDERS>,
}

impl Waiters {
    const fn new() -> Waiters {
        Waiters {
            reader: WakerRegistration::new(),
            writer: WakerRegistration::new(),
            end: MultiWakerRegistration::new(),
        }
    }
}

/// The tasks that wait for one listener's next connection.
pub(super) struct Acceptors(MultiWakerRegistration<MOST_ACCEPTORS>);

impl Acceptors {
    const fn new() -> Acceptors {
        Acceptors(MultiWakerRegistration::new())
    }
}

/// Borrowed for the length of a call, never across a foreign closure or an `await`.
pub(super) struct State {
    pub(super) link: Link<'static>,
    waiters: &'static mut [Waiters],
    acceptors: &'static mut [Acceptors],
    /// The task that drives both stacks.
    pub(super) runner: WakerRegistration,
    /// Who waits until everything due has left.
    pub(super) drained: MultiWakerRegistration<MOST_ENDERS>,
    /// Who waits until embassy-net's configuration changes.
    pub(super) configured: MultiWakerRegistration<MOST_WATCHERS>,
    /// How often it has.
    pub(super) configurations: u32,
    follower: Follower,
    /// Looks at router advertisements before embassy-net does.
    #[cfg(feature = "slaac")]
    pub(super) advertisements: Guard,
}

impl State {
    pub(super) fn new(
        link: Link<'static>,
        waiters: &'static mut [Waiters],
        acceptors: &'static mut [Acceptors],
        ip_mtu: usize,
    ) -> State {
        State {
            link,
            waiters,
            acceptors,
            runner: WakerRegistration::new(),
            drained: MultiWakerRegistration::new(),
            configured: MultiWakerRegistration::new(),
            configurations: 0,
            follower: Follower::new(ip_mtu),
            #[cfg(feature = "slaac")]
            advertisements: Guard::new(),
        }
    }

    /// Takes over embassy-net's addresses and routers, if they have changed; says whether they have.
    pub(super) fn follow_address(&mut self, stack: embassy_net::Stack<'_>) -> bool {
        let State { link, follower, .. } = self;
        let Change { is_new, is_other } = follower.look(stack, link);
        if is_new {
            self.configurations = self.configurations.wrapping_add(1);
            self.configured.wake();
        }
        if is_other {
            self.runner.wake();
        }
        is_other
    }

    pub(super) fn waiters(&mut self, handle: ConnectionHandle) -> &mut Waiters {
        &mut self.waiters[handle.index()]
    }

    pub(super) fn wait_to_accept(&mut self, handle: ListenerHandle, waker: &Waker) {
        self.acceptors[handle.index()].0.register(waker);
    }

    pub(super) fn wake_acceptors(&mut self) {
        for acceptors in self.acceptors.iter_mut() {
            acceptors.0.wake();
        }
    }

    /// Wakes whom an event concerns.
    pub(super) fn tell(&mut self, event: Event) {
        match event {
            Event::Acceptable(listener) => self.acceptors[listener.index()].0.wake(),
            Event::Connected(c) => {
                self.waiters(c).reader.wake();
                self.waiters(c).writer.wake();
            }
            Event::Readable(c) | Event::PeerFinished(c) => self.waiters(c).reader.wake(),
            Event::Writable(c) => self.waiters(c).writer.wake(),
            // The application may ask for the retries; nobody waits for them.
            Event::Stalled(_) => {}
            Event::Closed(c, _) => {
                let Waiters { reader, writer, end } = self.waiters(c);
                reader.wake();
                writer.wake();
                end.wake();
            }
        }
    }
}

/// The time as the core counts it.
pub(super) fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}
