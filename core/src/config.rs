//! Settings: of the whole engine, of a listener, of a connection.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use crate::addr::Addr;

/// The smallest buffer a connection may have, in bytes.
pub const MIN_BUFFER: usize = 64;
/// The largest buffer a connection may have, in bytes: half of what a window without scaling can say.
pub const MAX_BUFFER: usize = 32_768;
/// The longest period a setting may name; longer ones count as this (12.4 days).
pub const MAX_PERIOD: Duration = Duration::from_millis(crate::time::MAX_AHEAD_MS as u64);
/// The smallest MSS believed when a peer announces one, in bytes: less would make every byte cost a header (CVE-2018-16523,
/// CVE-2019-11477).
pub const MSS_FLOOR: u16 = 64;
/// The send MSS over IPv4 where the peer's SYN carries no MSS option, in bytes (RFC 9293 §3.7.1, MUST-15).
pub const MSS_DEFAULT: u16 = 536;
/// The same over IPv6, in bytes: what fits into its minimum MTU.
pub const MSS_DEFAULT_IPV6: u16 = MIN_MTU_IPV6 - IPV6_AND_TCP_HEADERS;
/// What every link must carry that IPv6 is spoken on, in bytes (RFC 8200 §5).
pub const MIN_MTU_IPV6: u16 = 1_280;
/// Bytes of both headers over IPv6, without options.
pub(crate) const IPV6_AND_TCP_HEADERS: u16 = 60;

/// Settings of the whole engine. `Config::default()` obeys the RFCs' numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// The largest text of a segment in either direction over IPv4, in bytes: MTU less 40, for both headers without options (§3.7.1).
    /// Over IPv6, whose header is longer, it is 20 less. Default 1,460.
    pub mss: u16,
    /// The zone that link-local addresses are good in, as `scope_id` of the endpoints given out (RFC 4007). An endpoint given in may name
    /// it or leave it open (0). Default 0, for a device with one link. Without meaning to IPv4.
    pub zone: u32,
    /// The least retransmission timeout. Default 1 s (RFC 6298 §2.4).
    pub rto_min: Duration,
    /// The most a retransmission timeout grows to. Default and least 60 s (RFC 6298 §2.5).
    pub rto_max: Duration,
    /// How long an active open tries: R2 for SYN. Default and least 3 min (MUST-23).
    pub connect_timeout: Duration,
    /// How long a half-open connection of a listener is kept, at most 18 h. Default 30 s (deviates from MUST-23, which would keep the
    /// entry for 3 min: an attacker fills the table for free, a live peer repeats its SYN).
    pub syn_received_timeout: Duration,
    /// 2 MSL: how long TIME-WAIT lasts. Default 60 s, as Linux does; §3.4.2 suggests 4 min.
    pub time_wait: Duration,
    /// How long a connection whose application closed both ways goes on without progress: waiting for the peer's FIN in
    /// FIN-WAIT-2, or for it to open its window. Counted from the close, and from each progress since. Default 60 s, as Linux does.
    pub orphan_timeout: Duration,
    /// How long an acknowledgement may be held back. Default 40 ms, at most 500 ms (MUST-40); zero sends each at once.
    pub delayed_ack: Duration,
    /// How many challenge ACKs and ACKs to unacceptable segments one connection sends in a window of 4.19 s (half-open and
    /// TIME-WAIT records too). Default 10. The total is bounded by records × this rate.
    pub challenge_limit: u8,
    /// Which sequence numbers beside RCV.NXT an RST may carry.
    pub rst_policy: RstPolicy,
    /// Who checks and fills in the TCP checksum.
    pub checksum: ChecksumBy,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            mss: 1_460,
            zone: 0,
            rto_min: Duration::from_secs(1),
            rto_max: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(180),
            syn_received_timeout: Duration::from_secs(30),
            time_wait: Duration::from_secs(60),
            orphan_timeout: Duration::from_secs(60),
            delayed_ack: Duration::from_millis(40),
            challenge_limit: 10,
            rst_policy: RstPolicy { at_last_ack_sent: false, before_fin: false },
            checksum: ChecksumBy::Software,
        }
    }
}

/// Extra places where an RST from a correct peer may sit. Each doubles what a blind attacker may hit: two of 2^32
/// sequence numbers instead of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RstPolicy {
    /// Take an RST at the last acknowledgement we sent while a later one is held back: the peer that resets has not seen RCV.NXT.
    /// Without this it is dropped as outside the window, and the next segment we send draws an exact one.
    pub at_last_ack_sent: bool,
    /// Take an RST at RCV.NXT-1 after the peer's FIN: some stacks reset without counting their own FIN. Without this it is dropped
    /// as outside the window.
    pub before_fin: bool,
}

/// Who computes a checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ChecksumBy {
    /// This crate verifies what comes in and fills in what goes out.
    #[default]
    Software,
    /// The hardware does both: nothing is verified, zero is sent.
    Hardware,
    /// The hardware has verified what comes in; this crate fills in what goes out.
    HardwareOnReceive,
    /// This crate verifies what comes in; the hardware fills in what goes out.
    HardwareOnTransmit,
}

impl ChecksumBy {
    pub(crate) const fn is_verified_here(self) -> bool {
        matches!(self, ChecksumBy::Software | ChecksumBy::HardwareOnTransmit)
    }

    pub(crate) const fn is_filled_here(self) -> bool {
        matches!(self, ChecksumBy::Software | ChecksumBy::HardwareOnReceive)
    }
}

/// Settings of one connection. Buffers are powers of two from [`MIN_BUFFER`] to [`MAX_BUFFER`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StreamOptions {
    /// Receive buffer in bytes; also the largest window offered. Default 4,096.
    pub rx_buffer: usize,
    /// Send buffer in bytes. Default 4,096.
    pub tx_buffer: usize,
    /// R1: retransmissions of one segment before the path is doubted: the application sees [`crate::Event::Stalled`] and the
    /// neighbour is resolved anew. Default and least 3 (§3.8.3, SHLD-10).
    pub r1: u8,
    /// R2: how long without progress before the connection is given up. Default and least 100 s (§3.8.3, SHLD-11); whole
    /// seconds, at most 18 h.
    pub r2: Duration,
    /// Nagle's algorithm: small segments wait while data is unacknowledged (§3.7.4). Default on.
    pub nagle: bool,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions { rx_buffer: 4_096, tx_buffer: 4_096, r1: 3, r2: Duration::from_secs(100), nagle: true }
    }
}

/// Settings of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ListenOptions {
    /// How many completed connections may wait for [`crate::Tcp::accept`]; 0 takes nobody. Default 4.
    pub backlog: u8,
    /// How many half-open connections this listener may have; 0 takes nobody. Default 16.
    pub half_open: u8,
    /// What becomes of a SYN that cannot be taken. Default: dropped, the peer tries again.
    pub overflow: Overflow,
    /// The networks whose hosts may connect; for everybody else the port is closed and answers as one. Default `None`: all.
    pub accept_from: Option<&'static [Network]>,
    /// The connections' settings.
    pub stream: StreamOptions,
}

impl ListenOptions {
    /// Nothing but zeros, for a listener entry nobody uses.
    pub(crate) const ZERO: ListenOptions = ListenOptions {
        backlog: 0,
        half_open: 0,
        overflow: Overflow::Drop,
        accept_from: None,
        stream: StreamOptions { rx_buffer: 0, tx_buffer: 0, r1: 0, r2: Duration::ZERO, nagle: false },
    };
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            backlog: 4,
            half_open: 16,
            overflow: Overflow::Drop,
            accept_from: None,
            stream: StreamOptions::default(),
        }
    }
}

/// The hosts whose addresses begin with the same bits as `addr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Network {
    /// Any address in the network.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub addr: IpAddr,
    /// How many bits are common: 32 (IPv4) or 128 (IPv6) name one host, 0 everybody of the family; more counts as that.
    pub prefix: u8,
}

impl Network {
    /// Says whether `addr` is one of the network's. A network of a family this build does not speak has none.
    pub fn contains(&self, addr: IpAddr) -> bool {
        Addr::both(self.addr, addr).is_some_and(|(ours, theirs)| ours.shares_prefix(theirs, self.prefix))
    }
}

/// What becomes of a SYN that a listener cannot take: its half-open entries or its backlog are full, or the half-open
/// table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Overflow {
    /// No answer: the peer repeats its SYN.
    #[default]
    Drop,
    /// RST: the peer learns at once that it is refused.
    Refuse,
}

/// The secret behind initial sequence numbers, ephemeral ports and the connection index.
///
/// It must come from a true random source and be new at each boot: whoever knows it can forge connections.
#[derive(Clone, Copy)]
pub struct SecretKey([u8; 16]);

/// The bytes given as a key cannot have come from a working random source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WeakKey;

impl SecretKey {
    /// Takes 16 random bytes.
    ///
    /// # Errors
    /// [`WeakKey`] if all bytes are equal, which is what a failed random source leaves behind (CVE-2026-19735).
    pub fn new(bytes: [u8; 16]) -> Result<SecretKey, WeakKey> {
        if bytes.iter().all(|&b| b == bytes[0]) { Err(WeakKey) } else { Ok(SecretKey(bytes)) }
    }

    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SecretKey {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SecretKey(..)");
    }
}

impl fmt::Display for WeakKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key's bytes are all equal: the random source failed")
    }
}

impl core::error::Error for WeakKey {}
