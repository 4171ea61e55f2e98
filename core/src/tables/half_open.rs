//! A handshake in progress, in a compact record.

use crate::id::ListenerId;
use crate::rules::challenge::Quota;
use crate::rules::ecn::Agreed;
use crate::rules::scale::Scale;
use crate::rules::stamps::{Recent, Stamps};
use crate::rules::tcb::{Flags, Tcb};
use crate::rules::verdict::{ResetReason, State};
use crate::size::Size;
use crate::tables::table::Record;
use crate::time::Millis;
use crate::wire::addr::{LinkAddr, Tuple};
use crate::wire::seq::Seq;

/// A handshake that came from a listener and is not completed.
#[derive(Clone)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: Tuple,
    pub(crate) link_addr: LinkAddr,
    pub(crate) mss: u16,
    pub(crate) iss: Seq,
    pub(crate) irs: Seq,
    pub(crate) listener: ListenerId,
    pub(crate) progress: Progress,
    pub(crate) quota: Quota,
    /// The SYN had the SACK-permitted option.
    #[cfg(feature = "sack")]
    pub(crate) sack_permitted: bool,
    /// The SYN's timestamp: TS.Recent.
    pub(crate) recent: Recent,
    /// How windows are scaled, both SYNs considered.
    pub(crate) scale: Scale,
    pub(crate) ecn: Agreed,
}

/// How far a handshake has come, in one byte.
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

    /// Returns whether the peer has had to wait for room.
    pub(crate) fn has_waited(self) -> bool {
        self.0 & Progress::COMPLETED != 0
    }

    /// Returns whether the peer waits for room.
    #[cfg(feature = "eviction")]
    pub(crate) fn is_completed(self) -> bool {
        self.has_waited() && self.is_over().is_none()
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

impl Record for HalfOpen {
    const EMPTY: HalfOpen = HalfOpen {
        tuple: Tuple::ZERO,
        link_addr: LinkAddr([0; 6]),
        mss: 0,
        iss: Seq(0),
        irs: Seq(0),
        listener: ListenerId::FIRST,
        progress: Progress::NEW,
        quota: Quota::NEW,
        #[cfg(feature = "sack")]
        sack_permitted: false,
        recent: Recent::NONE,
        scale: Scale::NONE,
        ecn: Agreed::NOT,
    };

    fn tuple(&self) -> &Tuple {
        &self.tuple
    }
}

impl HalfOpen {
    /// The record the rules judge. `rcv_wnd` is what the listener's connections offer first.
    pub(crate) fn expand(&self, rcv_wnd: Size) -> Tcb {
        let HalfOpen { tuple, mss, iss, irs, progress, .. } = self.clone();
        let mut tcb = Tcb::ZERO;
        tcb.tuple = tuple;
        tcb.flags = Flags::PASSIVE;
        tcb.mss = mss;
        tcb.snd_una = iss;
        tcb.snd_nxt = iss + 1;
        tcb.snd_wl1 = irs;
        tcb.rcv_nxt = irs + 1;
        tcb.rcv_wnd = rcv_wnd;
        tcb.scale = self.scale;
        tcb.stamps = Stamps::of(self.recent, 0, Millis(0));
        tcb.flags.set(Flags::SYN_RESENT, progress.retries() > 0);
        tcb.enter(State::SynReceived);
        tcb
    }
}
