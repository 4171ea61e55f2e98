//! A connection that nobody uses stays (RFC 9293 §3.8.4: no keepalive unless asked for).

use std::time::Duration;

use anyhow::{Result, ensure};
use tcp_reset_core::State;

use crate::script::{is_alive, us_to_peer, we_open};
use crate::world::World;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DAYS: u32 = 60;

pub(super) fn sixty_days(w: &mut World<'_>) -> Result<()> {
    let (pair, _) = we_open(w)?;
    is_alive(w, &pair)?;
    w.pass(Duration::from_secs(1))?;
    let before = w.trace.entries.len();
    w.note("60 days pass");
    let start = w.now();
    for _ in 0..DAYS {
        w.pass(DAY)?;
    }
    let micros = w.now().as_micros() - start.as_micros();
    ensure!(micros > u64::from(u32::MAX) * 1_000, "2^32 ms did not pass");
    ensure!(w.trace.entries.len() == before + 1, "something was sent on the idle connection");
    ensure!(w.state(&pair) == State::Established, "we are in {}", w.state(&pair));
    us_to_peer(w, &pair, 10_000)?;
    is_alive(w, &pair)
}
