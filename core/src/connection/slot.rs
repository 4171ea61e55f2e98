//! A connection's slot: the record the rules judge, its buffers, its timers, and its places in the engine's lists.

use core::num::NonZeroU8;

use crate::connection::congestion::Congestion;
use crate::connection::ecn::Ecn;
use crate::connection::flags::{Due, Marks};
use crate::connection::limits::Limits;
use crate::connection::pool::Buffers;
use crate::connection::recovery::Recovery;
use crate::connection::rtt::Rtt;
use crate::connection::runs::Runs;
use crate::connection::sack::Sack;
use crate::connection::settings::{Settings, Stream};
use crate::id::{Id, ListenerId};
use crate::rules::challenge::Quota;
use crate::rules::tcb::{Flags, Tcb};
use crate::rules::verdict::CloseReason;
use crate::size::Size;
use crate::time::Millis;
use crate::wire::addr::LinkAddr;

/// A set of flags that a connection has one of.
pub(crate) trait FlagSet: bitflags::Flags + Copy {
    fn of(c: &Connection) -> Self;
    fn of_mut(c: &mut Connection) -> &mut Self;
}

impl FlagSet for Flags {
    fn of(c: &Connection) -> Flags {
        c.tcb.flags
    }

    fn of_mut(c: &mut Connection) -> &mut Flags {
        &mut c.tcb.flags
    }
}

impl FlagSet for Due {
    fn of(c: &Connection) -> Due {
        c.due
    }

    fn of_mut(c: &mut Connection) -> &mut Due {
        &mut c.due
    }
}

impl FlagSet for Marks {
    fn of(c: &Connection) -> Marks {
        c.marks
    }

    fn of_mut(c: &mut Connection) -> &mut Marks {
        &mut c.marks
    }
}

bitflags::bitflags! {
    /// Events not told yet.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Events: u8 {
        const CONNECTED = 1 << 0;
        const READABLE = 1 << 1;
        const WRITABLE = 1 << 2;
        const PEER_FINISHED = 1 << 3;
        const STALLED = 1 << 4;
        const CLOSED = 1 << 5;
    }
}

bitflags::bitflags! {
    /// Which lists a slot is in.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Places: u8 {
        /// To be asked for its next segment.
        const READY = 1 << 0;
        /// Waiting for its next hop's address; never together with [`Places::READY`].
        const UNRESOLVED = 1 << 1;
        /// To be asked for its events.
        const EVENTFUL = 1 << 2;
    }
}

/// The slot's links in lists. They outlive the connection, as its places do: a slot that is freed while it waits in a list is found empty
/// there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) generation: u16,
    pub(crate) out_next: Option<Id<Connection>>,
    pub(crate) event_next: Option<Id<Connection>>,
}

/// Whether a connection has ended, and why: zero, or one more than the reason's place among all, so that an untouched slot is nothing
/// but zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End(u8);

impl End {
    pub(crate) const NOT_YET: End = End(0);

    pub(crate) fn of(reason: CloseReason) -> End {
        End(reason.place() as u8 + 1)
    }

    pub(crate) fn reason(self) -> Option<CloseReason> {
        let place = usize::from(self.0).checked_sub(1)?;
        CloseReason::ALL.get(place).copied()
    }
}

/// What an unaccepted connection and an accepted one need, never both at once, in one word: while `UNACCEPTED` its place in the backlog of its
/// listener, afterwards how it acknowledges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepting(u16);

impl Accepting {
    pub(crate) const NEW: Accepting = Accepting(0);
    /// Above all delays.
    const AWAITED: u16 = 1 << 15;

    /// Accepted: acknowledgments are held back for so long.
    pub(crate) fn delayed_by(delay_ms: u16) -> Accepting {
        debug_assert!(delay_ms < Accepting::AWAITED);
        Accepting(delay_ms)
    }

    /// Unaccepted: followed by this one in the backlog.
    pub(crate) fn before(next: Option<Id<Connection>>) -> Accepting {
        Accepting(next.map_or(0, |next| next.number() + 1))
    }

    pub(crate) fn next(self) -> Option<Id<Connection>> {
        Id::new(usize::from(self.0).checked_sub(1)?)
    }

    #[inline]
    pub(crate) fn delay_ms(self) -> u32 {
        u32::from(self.0 & !Accepting::AWAITED)
    }

    /// Notes whether the peer may wait for the acknowledgment that is held back.
    #[inline]
    pub(crate) fn set_awaited(&mut self, is_awaited: bool) {
        self.0 = self.0 & !Accepting::AWAITED | if is_awaited { Accepting::AWAITED } else { 0 };
    }

    pub(crate) fn is_awaited(self) -> bool {
        self.0 & Accepting::AWAITED != 0
    }
}

/// The same in one byte: while `UNACCEPTED` whose backlog the connection stands in, afterwards the hop limit of its packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner(u8);

impl Owner {
    pub(crate) const NEW: Owner = Owner(0);

    pub(crate) fn listener(id: ListenerId) -> Owner {
        Owner(id.number())
    }

    pub(crate) fn application(hop_limit: NonZeroU8) -> Owner {
        Owner(hop_limit.get())
    }

    /// Unaccepted: the listener.
    pub(crate) fn as_listener(self) -> ListenerId {
        ListenerId::of(self.0)
    }

    /// Accepted: the hop limit.
    #[inline]
    pub(crate) fn hop_limit(self) -> u8 {
        self.0
    }
}

/// One slot.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) tcb: Tcb,
    pub(crate) due: Due,
    pub(crate) marks: Marks,
    /// Where the peer's frames last came from, or where ours go.
    pub(crate) link_addr: LinkAddr,
    pub(crate) quota: Quota,
    /// Retransmissions or window probes since the last progress.
    pub(crate) retries: u8,
    pub(crate) buffers: Buffers,
    /// Bytes queued from SND.UNA on, sent or not.
    pub(crate) tx_len: Size,
    /// Bytes the application has not read yet, up to RCV.NXT.
    pub(crate) rx_len: Size,
    pub(crate) reassembly: Runs,
    pub(crate) sack: Sack,
    /// How far beyond RCV.NXT the peer's last word is: with `FIN_HELD` its FIN, else with `ASKING` the RST that is challenged. After an RST that says why: how
    /// much of that is kept.
    pub(crate) last_word_at: Size,
    pub(crate) recovery: Recovery,
    pub(crate) congestion: Congestion,
    pub(crate) ecn: Ecn,
    pub(crate) rtt: Rtt,
    pub(crate) r1: u8,
    pub(crate) limits: Limits,
    /// Doublings of the retransmission timeout. They stay until a round trip is measured anew (RFC 6298 §5, Karn's algorithm).
    pub(crate) backoff: u8,
    /// When what was sent, or waits for a window, is sent again: armed by `REXMIT`.
    pub(crate) rexmit_at: Millis,
    /// When an ACK of ours is due: armed by `DELACK` or `ASKING`.
    pub(crate) ack_at: Millis,
    /// When what the connection is now in began: SND.UNA last moved or sending began; the application left; the connection ended.
    pub(crate) since: Millis,
    /// When the peer was last heard.
    pub(crate) heard_at: Millis,
    /// When the wait for an application to accept, or else for the peer's first byte, is over: armed by `DEADLINE`.
    #[cfg(feature = "deadlines")]
    pub(crate) phase_at: Millis,
    /// When a byte was last taken, by either side.
    #[cfg(feature = "deadlines")]
    pub(crate) moved_at: Millis,
    pub(crate) end: End,
    pub(crate) owner: Owner,
    pub(crate) accepting: Accepting,
    pub(crate) events: Events,
    pub(crate) places: Places,
    pub(crate) links: Links,
}

impl Connection {
    /// Nothing but zeros, for storage that costs no flash.
    pub(crate) const EMPTY: Connection = Connection {
        tcb: Tcb::ZERO,
        due: Due::empty(),
        marks: Marks::empty(),
        link_addr: LinkAddr([0; 6]),
        quota: Quota::NEW,
        retries: 0,
        buffers: Buffers::ZERO,
        tx_len: 0,
        rx_len: 0,
        reassembly: Runs::EMPTY,
        sack: Sack::NEW,
        last_word_at: 0,
        recovery: Recovery::NEW,
        congestion: Congestion::ZERO,
        ecn: Ecn::NEW,
        rtt: Rtt::NEW,
        r1: 0,
        limits: Limits::ZERO,
        rexmit_at: Millis(0),
        backoff: 0,
        ack_at: Millis(0),
        since: Millis(0),
        heard_at: Millis(0),
        #[cfg(feature = "deadlines")]
        phase_at: Millis(0),
        #[cfg(feature = "deadlines")]
        moved_at: Millis(0),
        end: End::NOT_YET,
        owner: Owner::NEW,
        accepting: Accepting::NEW,
        events: Events::empty(),
        places: Places::empty(),
        links: Links { generation: 0, out_next: None, event_next: None },
    };

    /// A slot as it is taken, its links kept.
    pub(crate) fn fresh(buffers: Buffers, links: Links, places: Places) -> Connection {
        Connection { buffers, links, places, ..Connection::EMPTY }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.tcb.tuple.is_used()
    }

    /// Returns whether the connection has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.end.0 != End::NOT_YET.0
    }

    /// Returns why it has ended, if it has.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.end.reason()
    }

    /// Returns whether all of these are set.
    #[inline]
    pub(crate) fn has<F: FlagSet>(&self, flags: F) -> bool {
        F::of(self).contains(flags)
    }

    #[inline]
    pub(crate) fn set<F: FlagSet>(&mut self, flags: F) {
        F::of_mut(self).insert(flags);
    }

    #[inline]
    pub(crate) fn clear<F: FlagSet>(&mut self, flags: F) {
        F::of_mut(self).remove(flags);
    }

    /// SND.UNA moved, or sending began. For a connection without an application only the time of its close counts: else its peer holds
    /// the slot for as long as it likes by acknowledging now and then.
    pub(crate) fn made_progress(&mut self, now: Millis) {
        self.retries = 0;
        self.clear(Marks::REOPENED | Marks::LAST_TRY);
        self.clear(Due::KEEP_ALIVE);
        if !self.has(Flags::APP_GONE) {
            self.since = now;
        }
    }

    /// A byte was taken, by the peer or by us.
    #[inline]
    pub(crate) fn moved(&mut self, now: Millis) {
        #[cfg(feature = "deadlines")]
        {
            self.moved_at = now;
        }
        #[cfg(not(feature = "deadlines"))]
        let _ = now;
    }

    /// Arms, or not, the deadline of the wait that begins: for an application, or for the peer's first byte.
    pub(crate) fn wait_for(&mut self, timeout_ms: Option<u32>, now: Millis) {
        self.marks.set(Marks::DEADLINE, timeout_ms.is_some());
        #[cfg(feature = "deadlines")]
        if let Some(ms) = timeout_ms {
            self.phase_at = now.after(ms);
        }
        #[cfg(not(feature = "deadlines"))]
        let _ = now;
    }

    /// The peer has sent a byte in order, or its FIN: nothing is waited for any more.
    #[inline]
    pub(crate) fn peer_spoke(&mut self) {
        if !self.has(Marks::PEER_SPOKE) {
            self.set(Marks::PEER_SPOKE);
            // Somebody must accept it yet.
            self.marks.set(Marks::DEADLINE, self.has(Marks::DEADLINE) && self.has(Marks::UNACCEPTED));
        }
    }

    /// An application has it now.
    pub(crate) fn accepted(&mut self, options: &Stream, settings: &Settings) {
        self.clear(Marks::UNACCEPTED);
        self.accepting = Accepting::delayed_by(options.delayed_ack_ms(settings));
        self.owner = Owner::application(options.hop_limit(settings));
        // Whether the peer waits for it was not kept.
        self.accepting.set_awaited(self.has(Marks::DELACK));
    }

    /// The hop limit of its packets.
    #[inline]
    pub(crate) fn hop_limit(&self, settings: &Settings) -> u8 {
        if self.has(Marks::UNACCEPTED) { settings.hop_limit.get() } else { self.owner.hop_limit() }
    }

    /// Returns whether an application can be told about it.
    pub(crate) fn has_reader(&self) -> bool {
        !self.has(Flags::APP_GONE) && !self.has(Marks::UNACCEPTED)
    }
}
