//! What the flows share.

use std::time::Duration;

use lossy_path::{Bottleneck, End};

/// A bottleneck before the paths of all flows.
pub(crate) enum Shared {
    /// From the senders to the receivers, and back.
    Directions([Bottleneck; 2]),
    /// A medium that carries one packet at a time, whichever way.
    Medium(Bottleneck),
}

impl Shared {
    pub(super) fn send(&mut self, now: Duration, from: End, len: usize) -> Option<Duration> {
        match self {
            Shared::Directions(bottlenecks) => bottlenecks[from as usize].send(now, len),
            Shared::Medium(bottleneck) => bottleneck.send(now, len),
        }
    }
}
