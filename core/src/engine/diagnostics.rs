//! Why a connection was reset, in the RST's payload: what ours say, and what a peer's said.

use crate::connection::send::{Kind, Plan};
use crate::connection::slot::Connection;
use crate::counters::{SaidCode, count};
use crate::engine::event::ConnectionHandle;
use crate::engine::poll::What;
use crate::engine::tcp::Tcp;
use crate::error::Error;
use crate::id::Id;
use crate::rules::verdict::CloseReason;
use crate::size::Size;
use crate::wire::diagnostic::{COMPACT_LEN, FREE_LEN, PeerReason, compact};
use crate::wire::segment::{Control, Segment};

/// What an RST says: the compact form, or nothing.
pub(crate) struct Said([u8; COMPACT_LEN], bool);

impl core::ops::Deref for Said {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.1 { &self.0 } else { &[] }
    }
}

impl Tcp<'_> {
    /// What a segment that wants to go out says of itself: the RST of a connection's end, and one that answers a segment as long as itself.
    pub(crate) fn reason_of(&self, what: &What) -> Said {
        let reason = match what {
            What::Reply => self.first_reply().reason.filter(|_| self.first_reply().says_why),
            What::Segment(_, Plan { kind: Kind::Reset(reason), .. }) => Some(*reason),
            What::Segment(..) | What::Probe(_) => None,
        };
        match reason.filter(|_| self.settings.reset_diagnostics) {
            Some(reason) => Said(compact(reason.code()), true),
            None => Said([0; COMPACT_LEN], false),
        }
    }

    /// Keeps what the RST says that ends a connection, in its send buffer: nothing is sent from there any more.
    pub(crate) fn keep_peer_reason(&mut self, i: Id<Connection>, seg: &Segment<'_>) {
        let c = &mut self.connections[i];
        c.last_word_at = 0;
        if !self.settings.reset_diagnostics || !seg.has(Control::RST) || seg.payload.is_empty() {
            return;
        }
        if PeerReason::parse(seg.payload).is_none() {
            return count(&mut self.counters.reasons_malformed);
        }
        count(&mut self.counters.reasons_received);
        // No more than the longest form.
        let kept = self.pool.keep(c.buffers, seg.payload).min(FREE_LEN);
        c.last_word_at = kept as Size;
    }

    /// The code of an RST that says one.
    pub(crate) fn code_in(&self, seg: &Segment<'_>) -> SaidCode {
        let is_read = self.settings.reset_diagnostics;
        SaidCode(match PeerReason::parse(seg.payload).filter(|_| is_read) {
            Some(PeerReason::Code { code, enterprise }) => Some(PeerReason::Code { code, enterprise }),
            Some(PeerReason::Text(_)) | None => None,
        })
    }

    /// Returns what the RST said of itself that ended a connection, as long as its handle is held; `None` if it said nothing that is known. A text longer
    /// than the send buffer is cut short. With [`crate::Config::reset_diagnostics`] alone.
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn peer_reason(&self, handle: ConnectionHandle) -> Result<Option<PeerReason<'_>>, Error> {
        let c = &self.connections[self.slot(handle)?];
        let is_reset = matches!(c.closed(), Some(CloseReason::ResetByPeer | CloseReason::Refused));
        let kept = if is_reset { c.last_word_at as usize } else { 0 };
        Ok(PeerReason::parse_kept(self.pool.kept(c.buffers, kept)))
    }
}
