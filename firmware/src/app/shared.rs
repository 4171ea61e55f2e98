//! What the application's tasks share.

use core::cell::RefCell;

use embassy_time::Instant;
use tcp_reset_core::embassy::{TcpListener, TcpStack};
use tcp_reset_core::{CloseReason, Error};

use super::board::Board;
use super::last_ends::LastEnds;
use super::settings::Settings;

/// What the application's tasks share.
pub(crate) struct App {
    pub(super) board: Board,
    pub(super) settings: Settings,
    pub(super) tcp: TcpStack,
    pub(super) stack: embassy_net::Stack<'static>,
    pub(super) started: Instant,
    pub(super) echo: TcpListener,
    pub(super) discard: TcpListener,
    pub(super) status: TcpListener,
    pub(super) client: RefCell<ClientState>,
    pub(super) last_ends: RefCell<LastEnds>,
}

/// How the client stands, for the status page.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClientState {
    pub(super) is_connected: bool,
    pub(super) attempts: u32,
    pub(super) last_end: Option<Error>,
}

impl ClientState {
    pub(super) fn ended(&mut self, reason: CloseReason) {
        self.is_connected = false;
        self.last_end = Some(Error::Closed(reason));
    }
}

/// Now, as the engine counts.
pub(crate) fn instant() -> tcp_reset_core::Instant {
    tcp_reset_core::Instant::from_micros(Instant::now().as_micros())
}
