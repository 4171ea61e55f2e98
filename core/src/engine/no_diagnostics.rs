//! What stands for reasons on the wire in a build without the feature `reset-diagnostics`: an RST says nothing of itself.

use crate::connection::slot::Connection;
use crate::counters::SaidCode;
use crate::engine::poll::What;
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::wire::segment::Segment;

impl Tcp<'_> {
    pub(crate) fn reason_of(&self, _: &What) -> [u8; 0] {
        []
    }

    pub(crate) fn code_in(&self, _: &Segment<'_>) -> SaidCode {
        SaidCode::NONE
    }

    pub(crate) fn keep_peer_reason(&mut self, _: Id<Connection>, _: &Segment<'_>) {}
}
