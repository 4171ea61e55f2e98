//! Settings with which time-outs are seen within seconds.

use std::num::NonZeroU8;
use std::time::Duration;

use tcp_reset_core::{EvictBy, Eviction, KeepAlive};

use crate::tuning::Tuning;

/// The bounds that scenarios set, and judge by.
pub(super) const RTO_MIN: Duration = Duration::from_millis(100);
pub(super) const RTO_MAX: Duration = Duration::from_millis(300);
pub(super) const R2: Duration = Duration::from_secs(1);
pub(super) const CONNECT: Duration = Duration::from_secs(3);
pub(super) const HALF_OPEN: Duration = Duration::from_secs(1);
pub(super) const ORPHAN: Duration = Duration::from_secs(1);
pub(super) const USER_TIMEOUT: Duration = Duration::from_millis(500);
pub(super) const ACCEPT: Duration = Duration::from_millis(700);
pub(super) const FIRST_BYTE: Duration = Duration::from_millis(800);
pub(super) const IDLE: Duration = Duration::from_millis(2_500);
/// How long somebody must have been idle to make way.
pub(super) const IDLE_FOR: Duration = Duration::from_millis(300);
/// A peer that answers is asked this often.
pub(super) const ASKED_EVERY: Duration = Duration::from_millis(600);
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
    tuning.config.rto_max = RTO_MAX;
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

/// Our keepalive where it finds a silent peer within a second.
const KEEP_ALIVE: KeepAlive = KeepAlive {
    idle: Duration::from_millis(300),
    interval: Duration::from_millis(100),
    probes: NonZeroU8::MIN.saturating_add(2),
};
/// How long it bears silence: its idle time, and an interval for each probe.
pub(super) const KEPT_ALIVE: Duration = Duration::from_millis(600);

/// A peer without power is noticed by whatever our state has for it.
pub(super) fn watchful() -> Tuning {
    let mut tuning = short_orphan();
    tuning.listen.stream.user_timeout = Some(USER_TIMEOUT);
    tuning.listen.stream.keep_alive = Some(KEEP_ALIVE);
    tuning
}

/// Keepalive that Linux answers each time: of segments without payload that are out of its window it answers one in half a second
/// (`net.ipv4.tcp_invalid_ratelimit`).
pub(super) fn unhurried() -> Tuning {
    let mut tuning = quick();
    tuning.listen.stream.keep_alive = Some(KeepAlive { idle: ASKED_EVERY, interval: ASKED_EVERY / 2, ..KEEP_ALIVE });
    tuning
}

pub(super) fn short_idle() -> Tuning {
    let mut tuning = quick();
    tuning.listen.stream.idle_timeout = Some(IDLE);
    tuning
}

/// A listener in front of strangers: each thing that a peer can withhold is bounded.
pub(super) fn on_guard() -> Tuning {
    let mut tuning = short_orphan();
    tuning.listen.accept_timeout = Some(ACCEPT);
    let stream = &mut tuning.listen.stream;
    stream.user_timeout = Some(USER_TIMEOUT);
    stream.idle_timeout = Some(IDLE);
    stream.first_byte_timeout = Some(FIRST_BYTE);
    tuning
}

/// No bound but that a newcomer takes the place of who has been idle the longest.
pub(super) fn making_way() -> Tuning {
    let mut tuning = quick();
    tuning.config.eviction = Some(Eviction { by: EvictBy::Idle, idle_for: IDLE_FOR });
    tuning
}
