//! A connection as its application knows it.

use tcp_reset_core::{CloseReason, ConnectionHandle, Seq, State, Status, StreamOptions};

use super::addresses::Ep;
use super::plan::App;

/// A connection an application holds or held.
#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub id: u32,
    pub side: usize,
    pub host: usize,
    pub handle: ConnectionHandle,
    pub local: Ep,
    pub remote: Ep,
    pub pair: usize,
    pub app: App,
    pub options: StreamOptions,
    pub iss: Seq,
    pub irs: Option<Seq>,
    /// When it was opened, in world time and on its host's clock.
    pub opened_at: u64,
    /// When the application got it.
    pub held_since: u64,
    pub opened_ms: u64,
    pub written: u64,
    pub read: u64,
    pub is_at_end: bool,
    /// The last read or write would have blocked, and no event has come since.
    pub awaits_read: bool,
    pub awaits_write: bool,
    pub is_connected: bool,
    pub is_shut: bool,
    pub is_aborted: bool,
    /// `abort_all` ended it; the application still holds it.
    pub is_in_abort_all: bool,
    /// When the application gave it up, on its host's clock.
    pub closed_ms: Option<u64>,
    pub ended: Option<CloseReason>,
    pub ended_at: u64,
    /// Its host has forgotten it.
    pub is_forgotten: bool,
    /// As it was after the last step.
    pub last: Option<Status>,
    /// When SND.UNA last moved, on its host's clock.
    pub moved_ms: u64,
    /// When a byte was last taken by either side, or the connection became open, on its host's clock.
    pub byte_ms: u64,
    /// The bytes taken by both sides.
    pub bytes: u64,
    /// When nothing was last unacknowledged, on its host's clock.
    pub drained_ms: u64,
    /// When its limits were last changed, on its host's clock.
    pub changed_ms: u64,
    /// It was open once.
    pub is_synchronized: bool,
    /// When it last had nothing in flight or a closed window, on its host's clock.
    pub rested_ms: u64,
    /// More was in flight once than an unscaled window allows.
    pub has_large_flight: bool,
    /// The same, and its numbers crossed 2^32 in it.
    pub has_large_wrap: bool,
}

impl Conn {
    /// Whether the engine still has it.
    pub(super) fn is_live(&self) -> bool {
        self.ended.is_none() && !self.is_forgotten
    }

    /// Notes what is in flight, where it is more than a window without a scale.
    pub(super) fn note_flight(&mut self, status: &Status) {
        let is_large = status.snd_nxt.0.wrapping_sub(status.snd_una.0) > u32::from(u16::MAX);
        self.has_large_flight |= is_large;
        self.has_large_wrap |= is_large && status.snd_nxt.0 < status.snd_una.0;
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.closed_ms.is_some() || self.is_aborted
    }
}

/// The number of the SYN that a record has taken, unless its FIN was taken too and the state does not say so.
pub(super) fn irs_of(status: &Status) -> Option<Seq> {
    let fin = match status.state {
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait => 1,
        State::Established | State::FinWait1 | State::FinWait2 | State::SynReceived => 0,
        State::Closed | State::Listen | State::SynSent => return None,
    };
    Some(status.rcv_nxt - (status.readable as u32 + fin + 1))
}
