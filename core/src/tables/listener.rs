//! A listener and its backlog.

use crate::connection::settings::Listen;
use crate::id::NONE;
use crate::wire::addr::{Addr, Tuple};

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
