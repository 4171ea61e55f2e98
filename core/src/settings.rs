//! The configuration in the units the engine counts in, brought within the bounds the RFCs set.

use core::time::Duration;

use crate::addr::Addr;
use crate::config::{ChecksumBy, Config, MSS_DEFAULT, MSS_DEFAULT_IPV6, MSS_FLOOR, RstPolicy};
use crate::time::as_ms;

/// The least that may be set where an RFC names a least.
const RTO_MAX_LEAST: Duration = Duration::from_secs(60);
const CONNECT_LEAST: Duration = Duration::from_secs(180);
/// The most an acknowledgement may be held back (MUST-40 asks for less than this).
const DELAYED_ACK_MOST: Duration = Duration::from_millis(500);
/// The most a half-open record may be kept: what the SYN,ACK's doubling timeout can count.
const SYN_RECEIVED_MOST: Duration = Duration::from_secs(18 * 60 * 60);
/// R1 and R2 (§3.8.3).
const R1_LEAST: u8 = 3;
const R2_LEAST: Duration = Duration::from_secs(100);

/// How many octets an IPv6 header is longer than an IPv4 header.
const IPV6_LONGER: u16 = 20;

pub(crate) struct Settings {
    /// The largest text of a segment over IPv4.
    mss: u16,
    pub(crate) zone: u32,
    pub(crate) rto_min_ms: u32,
    pub(crate) rto_max_ms: u32,
    pub(crate) connect_ms: u32,
    pub(crate) syn_received_ms: u32,
    pub(crate) time_wait_ms: u32,
    pub(crate) orphan_ms: u32,
    pub(crate) delayed_ack_ms: u32,
    pub(crate) challenge_limit: u8,
    pub(crate) rst_policy: RstPolicy,
    pub(crate) checksum: ChecksumBy,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Settings {
        let Config {
            mss,
            zone,
            rto_min,
            rto_max,
            connect_timeout,
            syn_received_timeout,
            time_wait,
            orphan_timeout,
            delayed_ack,
            challenge_limit,
            rst_policy,
            checksum,
        } = *config;
        let rto_max_ms = as_ms(rto_max.max(RTO_MAX_LEAST));
        Settings {
            mss: mss.max(MSS_FLOOR),
            zone,
            rto_min_ms: as_ms(rto_min).min(rto_max_ms),
            rto_max_ms,
            connect_ms: as_ms(connect_timeout.max(CONNECT_LEAST)),
            syn_received_ms: as_ms(syn_received_timeout.min(SYN_RECEIVED_MOST)).max(1),
            time_wait_ms: as_ms(time_wait).max(1),
            orphan_ms: as_ms(orphan_timeout).max(1),
            delayed_ack_ms: as_ms(delayed_ack.min(DELAYED_ACK_MOST)),
            challenge_limit,
            rst_policy,
            checksum,
        }
    }

    /// What we announce to a peer: what our link carries behind a header of its family (§3.7.1, RFC 8200 §8.3).
    pub(crate) fn receive_mss(&self, peer: Addr) -> u16 {
        if peer.is_v4() { self.mss } else { (self.mss - IPV6_LONGER).max(MSS_FLOOR) }
    }

    /// Eff.snd.MSS (§3.7.1, MUST-15, MUST-16): what the peer takes, but no more than our link carries.
    pub(crate) fn send_mss(&self, peer: Addr, announced: Option<u16>) -> u16 {
        let default = if peer.is_v4() { MSS_DEFAULT } else { MSS_DEFAULT_IPV6 };
        announced.unwrap_or(default).clamp(MSS_FLOOR, self.receive_mss(peer))
    }
}

/// R1, at least what §3.8.3 asks.
pub(crate) fn r1(set: u8) -> u8 {
    set.max(R1_LEAST)
}

/// R2 in whole seconds, at least what §3.8.3 asks.
pub(crate) fn r2_seconds(set: Duration) -> u16 {
    u16::try_from(set.max(R2_LEAST).as_secs()).unwrap_or(u16::MAX)
}
