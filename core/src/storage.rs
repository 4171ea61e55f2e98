//! The memory a user declares, and the compact records in it.

use crate::addr::Addr;
use crate::challenge::Quota;
use crate::connection::{Connection, NONE};
use crate::output::Hop;
use crate::seq::Seq;
use crate::settings::Listen;
use crate::slots::{Entry, MAX_ENTRIES};
use crate::tcb::{Flags, Tcb, Tuple};
use crate::verdict::{ResetReason, State};

/// All memory of one engine. `CONNECTIONS` slots, `LISTENERS` listeners, `HALF_OPEN` handshakes in progress, `TIME_WAIT` finished
/// connections, and `POOL` bytes that the connections' buffers are cut from.
///
/// The engine borrows it without these numbers in its type, so its code is in flash once whatever sizes are used.
pub struct Storage<
    const CONNECTIONS: usize,
    const LISTENERS: usize,
    const HALF_OPEN: usize,
    const TIME_WAIT: usize,
    const POOL: usize,
> {
    pub(crate) connections: [Connection; CONNECTIONS],
    pub(crate) connection_index: [Entry; CONNECTIONS],
    pub(crate) listeners: [Listener; LISTENERS],
    pub(crate) half_open: [HalfOpen; HALF_OPEN],
    pub(crate) half_open_index: [Entry; HALF_OPEN],
    pub(crate) time_wait: [TimeWait; TIME_WAIT],
    pub(crate) time_wait_index: [Entry; TIME_WAIT],
    pub(crate) pool: Words<POOL>,
}

/// Octets that begin where a word does.
#[repr(align(4))]
pub(crate) struct Words<const N: usize>(pub(crate) [u8; N]);

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> Storage<C, L, H, T, P> {
    const FITS: () = assert!(C < MAX_ENTRIES && H < MAX_ENTRIES && T < MAX_ENTRIES && L < 256);

    /// Makes empty storage, in a constant if wished. It is nothing but zeros: a static costs RAM and no flash.
    pub const fn new() -> Self {
        let () = Self::FITS;
        Storage {
            connections: [const { Connection::ZERO }; C],
            connection_index: [Entry::ZERO; C],
            listeners: [const { Listener::ZERO }; L],
            half_open: [const { HalfOpen::ZERO }; H],
            half_open_index: [Entry::ZERO; H],
            time_wait: [const { TimeWait::ZERO }; T],
            time_wait_index: [Entry::ZERO; T],
            pool: Words([0; P]),
        }
    }
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> Default
    for Storage<C, L, H, T, P>
{
    fn default() -> Self {
        Storage::new()
    }
}

/// A handshake that came from a listener and is not completed.
#[derive(Clone)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: Tuple,
    pub(crate) hop: Hop,
    pub(crate) mss: u16,
    pub(crate) iss: Seq,
    pub(crate) irs: Seq,
    pub(crate) listener: u8,
    pub(crate) progress: Progress,
    pub(crate) quota: Quota,
}

/// How far a handshake has come, in one octet.
#[derive(Clone, Copy)]
pub(crate) struct Progress(u8);

impl Progress {
    const NEW: Progress = Progress(0);
    /// The doubling timeout of the SYN,ACK counts no further ([`crate::MAX_SYN_RECEIVED`]).
    const RETRIES: u8 = 0x1f;
    /// The peer has completed it, and found no slot, buffers or place in the backlog.
    const COMPLETED: u8 = 1 << 5;
    /// Its time is over: all that is left is to tell the peer.
    const EXPIRED: u8 = 1 << 6;
    /// Its listener has closed: all that is left is to tell the peer.
    const LISTENER_CLOSED: u8 = 1 << 7;

    /// How often the SYN,ACK was sent again by the timer.
    pub(crate) fn retries(self) -> u8 {
        self.0 & Progress::RETRIES
    }

    pub(crate) fn retry(&mut self) {
        if self.retries() < Progress::RETRIES {
            self.0 += 1;
        }
    }

    pub(crate) fn complete(&mut self) {
        self.0 |= Progress::COMPLETED;
    }

    /// Says whether the peer waits for room.
    #[cfg(feature = "eviction")]
    pub(crate) fn is_completed(self) -> bool {
        self.0 & Progress::COMPLETED != 0 && self.is_over().is_none()
    }

    pub(crate) fn expire(&mut self) {
        self.0 |= Progress::EXPIRED;
    }

    pub(crate) fn lose_listener(&mut self) {
        self.0 |= Progress::LISTENER_CLOSED;
    }

    /// Why the peer is to be told that the handshake is over, if it is.
    pub(crate) fn is_over(self) -> Option<ResetReason> {
        let has = |flag| self.0 & flag != 0;
        match (has(Progress::LISTENER_CLOSED), has(Progress::EXPIRED), has(Progress::COMPLETED)) {
            (true, _, _) => Some(ResetReason::ListenerClosed),
            (false, true, true) => Some(ResetReason::ListenerFull),
            (false, true, false) => Some(ResetReason::TimedOut),
            (false, false, _) => None,
        }
    }
}

impl HalfOpen {
    pub(crate) const ZERO: HalfOpen = HalfOpen {
        tuple: Tuple::ZERO,
        hop: Hop([0; 6]),
        mss: 0,
        iss: Seq(0),
        irs: Seq(0),
        listener: 0,
        progress: Progress::NEW,
        quota: Quota::NEW,
    };

    /// The record the rules judge. `rcv_wnd` is what the listener's connections offer first.
    pub(crate) fn expand(&self, rcv_wnd: u16) -> Tcb {
        let HalfOpen { tuple, hop, mss, iss, irs, listener: _, progress, quota } = self.clone();
        let mut tcb = Tcb::ZERO;
        tcb.tuple = tuple;
        tcb.hop = hop;
        tcb.quota = quota;
        tcb.flags = Flags::PASSIVE | Flags::HOP_KNOWN;
        tcb.retries = progress.retries();
        tcb.mss = mss;
        tcb.snd_una = iss;
        tcb.snd_nxt = iss + 1;
        tcb.snd_wl1 = irs;
        tcb.snd_wl2 = iss;
        tcb.rcv_nxt = irs + 1;
        tcb.rcv_wnd = rcv_wnd;
        tcb.flags.set(Flags::SYN_RESENT, progress.retries() > 0);
        tcb.enter(State::SynReceived);
        tcb
    }
}

/// A connection that both sides have closed.
#[derive(Clone)]
pub(crate) struct TimeWait {
    pub(crate) tuple: Tuple,
    pub(crate) snd_nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    pub(crate) rcv_wnd: u16,
    pub(crate) quota: Quota,
}

impl TimeWait {
    pub(crate) const ZERO: TimeWait =
        TimeWait { tuple: Tuple::ZERO, snd_nxt: Seq(0), rcv_nxt: Seq(0), rcv_wnd: 0, quota: Quota::NEW };

    /// The record the rules judge. MAX.SND.WND counts as the most a window can say, as RFC 9293 §3.10.7.4 allows.
    pub(crate) fn expand(&self) -> Tcb {
        let TimeWait { tuple, snd_nxt, rcv_nxt, rcv_wnd, quota } = self.clone();
        let mut tcb = Tcb::ZERO;
        tcb.tuple = tuple;
        tcb.quota = quota;
        tcb.flags = Flags::FIN_OUT | Flags::PEER_FIN;
        tcb.snd_una = snd_nxt;
        tcb.snd_nxt = snd_nxt;
        tcb.max_snd_wnd = u16::MAX;
        tcb.rcv_nxt = rcv_nxt;
        tcb.rcv_wnd = rcv_wnd;
        tcb.enter(State::TimeWait);
        tcb
    }
}

/// A listener: never a connection, so it survives everything that happens to its connections.
pub(crate) struct Listener {
    pub(crate) is_open: bool,
    pub(crate) generation: u16,
    /// [`Addr::ZERO`]: all of ours; IPv4's unspecified one: all of ours of that family.
    pub(crate) addr: Addr,
    pub(crate) port: u16,
    pub(crate) options: Listen,
    /// Half-open records that belong to it.
    pub(crate) half_open: u8,
    /// Completed connections nobody has accepted: how many, the oldest, the newest.
    pub(crate) queued: u8,
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// The application has not been told yet.
    pub(crate) has_news: bool,
}

impl Listener {
    /// Nothing but zeros, for storage that costs no flash.
    pub(crate) const ZERO: Listener = Listener {
        is_open: false,
        generation: 0,
        addr: Addr::ZERO,
        port: 0,
        options: Listen::ZERO,
        half_open: 0,
        queued: 0,
        first: 0,
        last: 0,
        has_news: false,
    };

    /// Says whether the peer may connect.
    pub(crate) fn admits(&self, tuple: &Tuple) -> bool {
        let peer = tuple.remote_addr.ip();
        self.options.accept_from.is_none_or(|networks| networks.iter().any(|network| network.contains(peer)))
    }

    /// An entry nobody listens at.
    pub(crate) fn closed(generation: u16) -> Listener {
        Listener { generation, first: NONE, last: NONE, ..Listener::ZERO }
    }
}

/// RAM per entry, the index included, in bytes (the architecture's budget over IPv4: 136, 44, 32). Two IPv6 addresses are longer by what
/// they are, and cost nothing where that family is not spoken.
#[cfg(target_pointer_width = "32")]
mod budget {
    use super::Storage;
    use core::mem::size_of;

    type Base = Storage<1, 0, 1, 1, 0>;

    const LONGER: usize = if cfg!(feature = "ipv6") { 2 * (16 - 4) } else { 0 };

    /// What the features of liveness keep in a connection's record.
    const LIMITS: usize =
        (price(cfg!(feature = "keepalive"), 5) + price(cfg!(feature = "deadlines"), 10)).next_multiple_of(4);

    const fn price(is_on: bool, bytes: usize) -> usize {
        if is_on { bytes } else { 0 }
    }

    /// A storage with two more entries of a kind: an even number, so that the whole's alignment does not blur the figure.
    const fn one_of_two<Grown>() -> usize {
        (size_of::<Grown>() - size_of::<Base>()) / 2
    }

    const _: () = assert!(one_of_two::<Storage<3, 0, 1, 1, 0>>() == 136 + LIMITS + LONGER);
    const _: () = assert!(one_of_two::<Storage<1, 0, 3, 1, 0>>() == 44 + LONGER);
    const _: () = assert!(one_of_two::<Storage<1, 0, 1, 3, 0>>() == 36 + LONGER);
}
