//! The configuration in the units the engine counts in, checked against its bounds.

use core::time::Duration;

use crate::addr::Addr;
use crate::config::{
    ChecksumBy, Config, InvalidSetting, ListenOptions, MAX_DELAYED_ACK, MAX_MSS, MAX_PERIOD, MAX_R2, MAX_SYN_RECEIVED,
    MIN_PERIOD, MSS_DEFAULT, MSS_DEFAULT_IPV6, MSS_FLOOR, PortRange, RstPolicy, Setting, StreamOptions,
};
use crate::output::Error;
use crate::time::as_ms;
use crate::transfer::pool;

/// The MSS over Ethernet, where nothing else is said.
pub(crate) const MSS_OF_ETHERNET: u16 = 1_460;
/// How many octets an IPv6 header is longer than an IPv4 header.
const IPV6_LONGER: u16 = 20;

pub(crate) struct Settings {
    /// The largest payload of a segment over IPv4.
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
    pub(crate) ephemeral_ports: PortRange,
}

impl Settings {
    /// Takes the configuration over.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub(crate) fn new(config: &Config) -> Result<Settings, InvalidSetting> {
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
            ephemeral_ports,
        } = *config;
        let mss = mss.unwrap_or(MSS_OF_ETHERNET);
        check((MSS_FLOOR..=MAX_MSS).contains(&mss), Setting::Mss)?;
        check(rto_min <= rto_max, Setting::RtoMin)?;
        check(delayed_ack <= MAX_DELAYED_ACK, Setting::DelayedAck)?;
        check(1 <= ephemeral_ports.first && ephemeral_ports.first <= ephemeral_ports.last, Setting::EphemeralPorts)?;
        Ok(Settings {
            mss,
            zone,
            rto_min_ms: as_ms(rto_min),
            rto_max_ms: period(rto_max, MAX_PERIOD, Setting::RtoMax)?,
            connect_ms: period(connect_timeout, MAX_PERIOD, Setting::ConnectTimeout)?,
            syn_received_ms: period(syn_received_timeout, MAX_SYN_RECEIVED, Setting::SynReceivedTimeout)?,
            time_wait_ms: period(time_wait, MAX_PERIOD, Setting::TimeWait)?,
            orphan_ms: period(orphan_timeout, MAX_PERIOD, Setting::OrphanTimeout)?,
            delayed_ack_ms: as_ms(delayed_ack),
            challenge_limit,
            rst_policy,
            checksum: checksum.unwrap_or_default(),
            ephemeral_ports,
        })
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

/// Checks the options of a connection.
///
/// # Errors
/// [`Error::InvalidBufferSize`], [`Error::InvalidSetting`].
pub(crate) fn check_stream(options: &StreamOptions) -> Result<(), Error> {
    let StreamOptions { rx_buffer, tx_buffer, r1, r2, nagle: _ } = *options;
    if !pool::is_valid_size(rx_buffer) || !pool::is_valid_size(tx_buffer) {
        return Err(Error::InvalidBufferSize);
    }
    check(r1 >= 1, Setting::R1)?;
    let is_whole = r2.subsec_nanos() == 0;
    check(is_whole && (Duration::from_secs(1)..=MAX_R2).contains(&r2), Setting::R2)?;
    Ok(())
}

/// Checks the options of a listener.
///
/// # Errors
/// Those of [`check_stream`], [`Error::InvalidSetting`].
pub(crate) fn check_listen(options: &ListenOptions) -> Result<(), Error> {
    let ListenOptions { backlog: _, half_open: _, overflow: _, accept_from, stream } = options;
    check(accept_from.unwrap_or_default().iter().all(|network| network.is_valid()), Setting::AcceptFrom)?;
    check_stream(stream)
}

fn check(holds: bool, setting: Setting) -> Result<(), InvalidSetting> {
    if holds { Ok(()) } else { Err(InvalidSetting(setting)) }
}

fn period(set: Duration, most: Duration, setting: Setting) -> Result<u32, InvalidSetting> {
    check((MIN_PERIOD..=most).contains(&set), setting)?;
    Ok(as_ms(set))
}
