//! The configuration in the units the engine counts in, checked against its bounds.

use core::num::NonZeroU8;

#[cfg(feature = "cubic")]
use crate::config::CongestionControl;
use crate::config::{
    Config, InvalidSetting, ListenOptions, MAX_MSS, MAX_PERIOD, MAX_SYN_RECEIVED, MSS_DEFAULT, MSS_DEFAULT_IPV6,
    MSS_FLOOR, Network, Overflow, PortRange, RstPolicy, Setting, StreamOptions,
};
#[cfg(feature = "eviction")]
use crate::config::{EvictBy, Eviction};
use crate::connection::flags::Marks;
#[cfg(feature = "user-timeout-option")]
use crate::connection::limits::whole_seconds;
use crate::connection::limits::{self, Limits, check, period};
#[cfg(feature = "deadlines")]
use crate::connection::limits::{accept_timeout, first_byte_timeout};
use crate::connection::pool;
use crate::error::Error;
use crate::size::Size;
use crate::time::as_ms;
use crate::wire::addr::Addr;
use crate::wire::checksum::ChecksumBy;

/// The MSS over Ethernet, where nothing else is said.
pub(crate) const MSS_OF_ETHERNET: u16 = 1_460;
/// How many bytes an IPv6 header is longer than an IPv4 header.
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
    #[cfg(feature = "user-timeout-option")]
    pub(crate) user_timeout_limit_s: u16,
    #[cfg(feature = "eviction")]
    pub(crate) eviction: Option<(EvictBy, u32)>,
    pub(crate) delayed_ack_ms: u16,
    pub(crate) hop_limit: NonZeroU8,
    pub(crate) challenge_limit: u8,
    pub(crate) rst_policy: RstPolicy,
    #[cfg(feature = "reset-diagnostics")]
    pub(crate) reset_diagnostics: bool,
    #[cfg(feature = "sack")]
    pub(crate) sack: bool,
    /// Never without the feature of that name.
    pub(crate) timestamps: bool,
    /// The same.
    pub(crate) window_scale: bool,
    /// The same.
    pub(crate) ecn: bool,
    #[cfg(feature = "cubic")]
    pub(crate) congestion_control: CongestionControl,
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
            hop_limit,
            challenge_limit,
            rst_policy,
            #[cfg(feature = "reset-diagnostics")]
            reset_diagnostics,
            #[cfg(feature = "sack")]
            sack,
            #[cfg(feature = "timestamps")]
            timestamps,
            #[cfg(feature = "window-scale")]
            window_scale,
            #[cfg(feature = "ecn")]
            ecn,
            #[cfg(feature = "cubic")]
            congestion_control,
            checksum,
            #[cfg(feature = "user-timeout-option")]
            user_timeout_limit,
            #[cfg(feature = "eviction")]
            eviction,
            ephemeral_ports,
        } = *config;
        let mss = mss.unwrap_or(MSS_OF_ETHERNET);
        check((MSS_FLOOR..=MAX_MSS).contains(&mss), Setting::Mss)?;
        check(rto_min <= rto_max, Setting::RtoMin)?;
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
            #[cfg(feature = "user-timeout-option")]
            user_timeout_limit_s: whole_seconds(user_timeout_limit, Setting::UserTimeoutLimit)?,
            #[cfg(feature = "eviction")]
            eviction: match eviction {
                Some(Eviction { by, idle_for }) => Some((by, period(idle_for, MAX_PERIOD, Setting::Eviction)?)),
                None => None,
            },
            delayed_ack_ms: limits::delayed_ack(delayed_ack)?,
            hop_limit,
            challenge_limit,
            rst_policy,
            #[cfg(feature = "reset-diagnostics")]
            reset_diagnostics,
            #[cfg(feature = "sack")]
            sack,
            #[cfg(feature = "timestamps")]
            timestamps,
            #[cfg(not(feature = "timestamps"))]
            timestamps: false,
            #[cfg(feature = "window-scale")]
            window_scale,
            #[cfg(not(feature = "window-scale"))]
            window_scale: false,
            #[cfg(feature = "ecn")]
            ecn,
            #[cfg(not(feature = "ecn"))]
            ecn: false,
            #[cfg(feature = "cubic")]
            congestion_control,
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

/// The options of a connection in the units of its record.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    rx_buffer: Size,
    tx_buffer: Size,
    pub(crate) r1: u8,
    pub(crate) marks: Marks,
    pub(crate) limits: Limits,
    /// Zero: no limit.
    first_byte_ms: u32,
    /// How long an acknowledgment may be held back; `None`: as long as the engine's settings say.
    delayed_ack_ms: Option<u16>,
    /// Of its packets; `None`: as the engine's settings say.
    hop_limit: Option<NonZeroU8>,
}

impl Stream {
    /// Nothing but zeros, for storage that costs no flash.
    const ZERO: Stream = Stream {
        rx_buffer: 0,
        tx_buffer: 0,
        r1: 0,
        marks: Marks::empty(),
        limits: Limits::ZERO,
        first_byte_ms: 0,
        delayed_ack_ms: None,
        hop_limit: None,
    };

    /// Takes the options over.
    ///
    /// # Errors
    /// [`Error::InvalidBufferSize`], [`Error::InvalidSetting`].
    pub(crate) fn new(options: &StreamOptions) -> Result<Stream, Error> {
        if !pool::is_valid_size(options.rx_buffer) || !pool::is_valid_size(options.tx_buffer) {
            return Err(Error::InvalidBufferSize);
        }
        check(options.r1 >= 1, Setting::R1)?;
        let limits = Limits::new(options)?;
        #[cfg(feature = "deadlines")]
        let first_byte_ms = first_byte_timeout(options.first_byte_timeout)?.unwrap_or(0);
        #[cfg(not(feature = "deadlines"))]
        let first_byte_ms = 0;
        let mut marks = Marks::empty();
        marks.set(Marks::NAGLE, options.nagle);
        marks.set(Marks::USER_TIMEOUT, options.user_timeout.is_some());
        marks.set(Marks::WATCHED, limits.is_watchful());
        #[cfg(feature = "user-timeout-option")]
        marks.set(Marks::USER_TIMEOUT_OPTION, options.user_timeout_option);
        let (rx_buffer, tx_buffer) = (options.rx_buffer as Size, options.tx_buffer as Size);
        let delayed_ack_ms = options.delayed_ack.map(limits::delayed_ack).transpose()?;
        let (r1, hop_limit) = (options.r1, options.hop_limit);
        Ok(Stream { rx_buffer, tx_buffer, r1, marks, limits, first_byte_ms, delayed_ack_ms, hop_limit })
    }

    pub(crate) fn rx_buffer(&self) -> usize {
        self.rx_buffer as usize
    }

    pub(crate) fn tx_buffer(&self) -> usize {
        self.tx_buffer as usize
    }

    /// How long an acknowledgment may be held back.
    pub(crate) fn delayed_ack_ms(&self, settings: &Settings) -> u16 {
        self.delayed_ack_ms.unwrap_or(settings.delayed_ack_ms)
    }

    pub(crate) fn hop_limit(&self, settings: &Settings) -> NonZeroU8 {
        self.hop_limit.unwrap_or(settings.hop_limit)
    }

    pub(crate) fn first_byte_ms(&self) -> Option<u32> {
        Some(self.first_byte_ms).filter(|ms| *ms > 0)
    }
}

/// The options of a listener in the units of its entry.
#[derive(Clone, Copy)]
pub(crate) struct Listen {
    pub(crate) backlog: u8,
    pub(crate) half_open: u8,
    pub(crate) overflow: Overflow,
    pub(crate) accept_from: Option<&'static [Network]>,
    /// Zero: no limit.
    accept_ms: u32,
    pub(crate) stream: Stream,
}

impl Listen {
    /// Nothing but zeros, for storage that costs no flash.
    pub(crate) const ZERO: Listen = Listen {
        backlog: 0,
        half_open: 0,
        overflow: Overflow::Drop,
        accept_from: None,
        accept_ms: 0,
        stream: Stream::ZERO,
    };

    /// Takes the options over.
    ///
    /// # Errors
    /// Those of [`Stream::new`], [`Error::InvalidSetting`].
    pub(crate) fn new(options: &ListenOptions) -> Result<Listen, Error> {
        let networks = options.accept_from.unwrap_or_default();
        check(networks.iter().all(|network| network.is_valid()), Setting::AcceptFrom)?;
        #[cfg(feature = "deadlines")]
        let accept_ms = accept_timeout(options.accept_timeout)?.unwrap_or(0);
        #[cfg(not(feature = "deadlines"))]
        let accept_ms = 0;
        let ListenOptions { backlog, half_open, overflow, accept_from, .. } = *options;
        Ok(Listen { backlog, half_open, overflow, accept_from, accept_ms, stream: Stream::new(&options.stream)? })
    }

    pub(crate) fn accept_ms(&self) -> Option<u32> {
        Some(self.accept_ms).filter(|ms| *ms > 0)
    }
}
