//! What happened: counters by rule and by reason, and the last resets.

use core::net::SocketAddr;

use crate::rules::verdict::{CloseReason, ResetReason, Rule, Verdict};
use crate::time::Instant;
use crate::wire::addr::{Tuple, endpoints};
#[cfg(feature = "reset-diagnostics")]
use crate::wire::diagnostic::PeerReason;
use crate::wire::seq::Seq;

/// How many of the last resets are kept.
pub const LAST_RESETS: usize = 8;

/// Counters since the engine was made. They wrap.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    rules: [u32; Rule::COUNT],
    resets_sent: [u32; ResetReason::COUNT],
    closed: [u32; CloseReason::ALL.len()],
    /// Segments taken in, malformed ones included.
    pub segments_in: u32,
    /// Segments written out.
    pub segments_out: u32,
    /// Segments, SYN or FIN sent again, and window probes.
    pub retransmissions: u32,
    /// ACKs withheld by a connection's limit.
    pub limited: u32,
    /// Replies lost because the reply queue was full.
    pub replies_lost: u32,
    /// TIME-WAIT records given up before 2 MSL because their table was full.
    pub time_wait_evicted: u32,
    /// Half-open records freed because the handshake was never completed.
    pub half_open_expired: u32,
    /// Connections that ended before anyone accepted them.
    pub lost_before_accept: u32,
    /// RSTs that had nowhere to go: no neighbor answered for the peer, or the device took nothing for 60 s.
    pub resets_dropped: u32,
    /// Times that all buffers were moved together because no free run of the pool was long enough.
    pub pool_compactions: u32,
    /// RSTs that ended a connection and said why in a form that is known.
    #[cfg(feature = "reset-diagnostics")]
    pub reasons_received: u32,
    /// The same with a payload of no known form, which was ignored.
    #[cfg(feature = "reset-diagnostics")]
    pub reasons_malformed: u32,
    /// What the last restart has lost.
    #[cfg(feature = "journal")]
    pub journal: JournalCounters,
}

/// What a journal has remembered over a restart, and what came of it.
#[cfg(feature = "journal")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JournalCounters {
    /// Peers remembered.
    pub found: u32,
    /// Records that were none: garbage, half-written, of another layout, or of a pair that cannot be. Cleared.
    pub ignored: u32,
    /// Probes sent.
    pub probes: u32,
    /// Peers that answered for the old connection, and were sent the RST that ends it: [`crate::Fate::Told`].
    pub told: u32,
    /// Peers that had no such connection any more: [`crate::Fate::Gone`].
    pub gone: u32,
    /// Peers that answered nothing: [`crate::Fate::GivenUp`].
    pub given_up: u32,
    /// Peers nobody asks any more: [`crate::Fate::Forgotten`].
    pub forgotten: u32,
}

#[cfg(feature = "journal")]
impl JournalCounters {
    const ZERO: JournalCounters =
        JournalCounters { found: 0, ignored: 0, probes: 0, told: 0, gone: 0, given_up: 0, forgotten: 0 };
}

impl Counters {
    pub(crate) const ZERO: Counters = Counters {
        rules: [0; Rule::COUNT],
        resets_sent: [0; ResetReason::COUNT],
        closed: [0; CloseReason::ALL.len()],
        segments_in: 0,
        segments_out: 0,
        retransmissions: 0,
        limited: 0,
        replies_lost: 0,
        time_wait_evicted: 0,
        half_open_expired: 0,
        lost_before_accept: 0,
        resets_dropped: 0,
        pool_compactions: 0,
        #[cfg(feature = "reset-diagnostics")]
        reasons_received: 0,
        #[cfg(feature = "reset-diagnostics")]
        reasons_malformed: 0,
        #[cfg(feature = "journal")]
        journal: JournalCounters::ZERO,
    };

    /// Returns how many segments this rule decided about.
    pub fn rule(&self, rule: Rule) -> u32 {
        self.rules[rule as usize]
    }

    /// Returns how many RSTs were written for this reason.
    pub fn reset_sent(&self, reason: ResetReason) -> u32 {
        self.resets_sent[reason as usize]
    }

    /// Returns how many connections ended for this reason.
    pub fn closed(&self, reason: CloseReason) -> u32 {
        self.closed[reason.place()]
    }

    pub(crate) fn judged(&mut self, verdict: &Verdict) {
        count(&mut self.rules[verdict.rule as usize]);
    }

    pub(crate) fn sent_reset(&mut self, reason: ResetReason) {
        count(&mut self.resets_sent[reason as usize]);
    }

    pub(crate) fn ended(&mut self, reason: CloseReason) {
        count(&mut self.closed[reason.place()]);
    }
}

pub(crate) fn count(counter: &mut u32) {
    *counter = counter.wrapping_add(1);
}

/// One reset, sent or received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ResetRecord {
    /// When.
    pub at: Instant,
    /// Our endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub local: SocketAddr,
    /// The peer's endpoint.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub remote: SocketAddr,
    /// SEG.SEQ.
    pub seq: Seq,
    /// Which way, and why.
    pub what: ResetKind,
    /// What it said of itself, where that was a code.
    #[cfg(feature = "reset-diagnostics")]
    pub said: Option<PeerReason<'static>>,
}

/// The same as it is kept: written for every reset that ends something, read seldom.
#[derive(Clone, Copy)]
pub(crate) struct LoggedReset {
    pub(crate) at: Instant,
    pub(crate) tuple: Tuple,
    pub(crate) seq: Seq,
    pub(crate) what: ResetKind,
    #[cfg_attr(not(feature = "reset-diagnostics"), expect(dead_code, reason = "nothing is said"))]
    pub(crate) said: SaidCode,
}

/// The code that an RST says, if it says one; without the feature nothing is said.
#[derive(Clone, Copy)]
pub(crate) struct SaidCode(#[cfg(feature = "reset-diagnostics")] pub(crate) Option<PeerReason<'static>>);

impl SaidCode {
    pub(crate) const NONE: SaidCode = SaidCode(
        #[cfg(feature = "reset-diagnostics")]
        None,
    );
}

impl LoggedReset {
    pub(crate) fn record(&self, zone: u32) -> ResetRecord {
        let (local, remote) = endpoints(&self.tuple, zone);
        ResetRecord {
            at: self.at,
            local,
            remote,
            seq: self.seq,
            what: self.what,
            #[cfg(feature = "reset-diagnostics")]
            said: self.said.0,
        }
    }
}

/// Which way a reset went, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ResetKind {
    /// We sent it, for this reason.
    Sent(ResetReason),
    /// It came in, and this rule decided about it.
    Received(Rule),
}
