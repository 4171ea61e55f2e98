//! What a scenario may set on our endpoint.

use tcp_reset_core::{Config, ListenOptions, StreamOptions};

/// Buffers of our connections, in bytes.
const BUFFER: usize = 16_384;

/// Settings of our endpoint in a scenario.
#[derive(Clone, Copy)]
pub struct Tuning {
    /// Of the engine.
    pub config: Config,
    /// Of listeners, and in them of connections.
    pub listen: ListenOptions,
}

impl Tuning {
    /// Returns what scenarios use that do not ask for more.
    pub fn usual() -> Tuning {
        let stream = StreamOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..StreamOptions::default() };
        Tuning { config: Config::default(), listen: ListenOptions { stream, ..ListenOptions::default() } }
    }
}
