//! Settings with which time-outs are seen within seconds.

use std::time::Duration;

use crate::world::Tuning;

/// The bounds that scenarios set, and judge by.
pub(super) const RTO_MIN: Duration = Duration::from_millis(100);
pub(super) const R2: Duration = Duration::from_secs(1);
pub(super) const CONNECT: Duration = Duration::from_secs(3);
pub(super) const HALF_OPEN: Duration = Duration::from_secs(1);
pub(super) const ORPHAN: Duration = Duration::from_secs(1);
const R1: u8 = 20;
/// How many completed connections wait in a small backlog.
pub(super) const BACKLOG: u8 = 3;

pub(super) fn quick() -> Tuning {
    let mut tuning = Tuning::usual();
    tuning.config.rto_min = RTO_MIN;
    // R1 has the next hop resolved anew; on a pulled cable that would hide what is sent after it.
    tuning.listen.stream.r1 = R1;
    tuning
}

pub(super) fn short_r2() -> Tuning {
    let mut tuning = quick();
    tuning.listen.stream.r2 = R2;
    tuning
}

/// A silent peer is given three of the current waits, whatever R2 is: they must not grow beyond it.
pub(super) fn short_probes() -> Tuning {
    let mut tuning = short_r2();
    tuning.config.rto_max = 3 * RTO_MIN;
    tuning
}

pub(super) fn short_connect() -> Tuning {
    let mut tuning = Tuning::usual();
    tuning.config.connect_timeout = CONNECT;
    tuning
}

pub(super) fn short_half_open() -> Tuning {
    let mut tuning = quick();
    tuning.config.syn_received_timeout = HALF_OPEN;
    tuning
}

pub(super) fn short_orphan() -> Tuning {
    let mut tuning = quick();
    tuning.config.orphan_timeout = ORPHAN;
    tuning
}

pub(super) fn short_time_wait() -> Tuning {
    let mut tuning = Tuning::usual();
    tuning.config.time_wait = Duration::from_secs(1);
    tuning
}

pub(super) fn small_backlog() -> Tuning {
    let mut tuning = Tuning::usual();
    (tuning.listen.backlog, tuning.listen.half_open) = (BACKLOG, BACKLOG);
    tuning
}
