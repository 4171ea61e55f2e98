//! A connection in TIME-WAIT, in a compact record.

use crate::rules::challenge::Quota;
use crate::rules::scale::Scale;
use crate::rules::stamps::{Recent, Stamps};
use crate::rules::tcb::{Flags, Tcb};
use crate::rules::verdict::State;
use crate::tables::table::Record;
use crate::time::Millis;
use crate::wire::addr::Tuple;
use crate::wire::seq::Seq;

/// A connection that both sides have closed.
#[derive(Clone)]
pub(crate) struct TimeWait {
    pub(crate) tuple: Tuple,
    pub(crate) snd_nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    /// As segments say it.
    pub(crate) rcv_wnd: u16,
    pub(crate) quota: Quota,
    /// TS.Recent, where there are timestamps.
    pub(crate) recent: Recent,
    pub(crate) scale: Scale,
}

impl Record for TimeWait {
    const EMPTY: TimeWait = TimeWait {
        tuple: Tuple::ZERO,
        snd_nxt: Seq(0),
        rcv_nxt: Seq(0),
        rcv_wnd: 0,
        quota: Quota::NEW,
        recent: Recent::NONE,
        scale: Scale::NONE,
    };

    fn tuple(&self) -> &Tuple {
        &self.tuple
    }
}

impl TimeWait {
    /// The record the rules judge. MAX.SND.WND counts as the most a window can say, as RFC 9293 §3.10.7.4 allows.
    pub(crate) fn expand(&self) -> Tcb {
        let TimeWait { tuple, snd_nxt, rcv_nxt, rcv_wnd, .. } = self.clone();
        let mut tcb = Tcb::ZERO;
        tcb.tuple = tuple;
        tcb.flags = Flags::FIN_OUT | Flags::PEER_FIN;
        tcb.snd_una = snd_nxt;
        tcb.snd_nxt = snd_nxt;
        tcb.max_snd_wnd = self.scale.most();
        tcb.rcv_nxt = rcv_nxt;
        tcb.rcv_wnd = self.scale.received(rcv_wnd);
        tcb.stamps = Stamps::of(self.recent, 0, Millis(0));
        tcb.enter(State::TimeWait);
        tcb
    }
}
