//! Settings: of the whole engine, of a listener, of a connection.

use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU8;
use core::time::Duration;

use crate::time::Period;
use crate::wire::addr::Addr;
use crate::wire::checksum::ChecksumBy;

/// The smallest buffer a connection may have, in bytes.
pub const MIN_BUFFER: usize = 64;
/// The largest buffer a connection may have, in bytes: half of what a window without scaling can say; with feature `window-scale` 256 KiB.
pub const MAX_BUFFER: usize = if cfg!(feature = "window-scale") { 262_144 } else { 32_768 };
/// The longest period a setting may name (12.4 days).
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
/// The least path MTU over IPv4 that a router's ICMP is believed about, in bytes: the smallest link in RFC 1191's table of those in use.
pub const MIN_PATH_MTU_IPV4: u16 = 296;
/// Bytes of both headers over IPv4, without options.
pub(crate) const IPV4_AND_TCP_HEADERS: u16 = 40;
/// Bytes of both headers over IPv6, without options.
pub(crate) const IPV6_AND_TCP_HEADERS: u16 = 60;

/// The shortest period a setting may name; periods are counted in whole milliseconds, rounded up.
pub const MIN_PERIOD: Duration = Duration::from_millis(1);
/// The longest an acknowledgment may be delayed (RFC 9293 §3.8.6.3, MUST-40).
pub const MAX_DELAYED_ACK: Duration = Duration::from_millis(499);
/// What hosts use where nothing else is said (RFC 1700).
const HOP_LIMIT: NonZeroU8 = NonZeroU8::MIN.saturating_add(63);
/// The longest a half-open connection may be kept: what the doubling timeout of the SYN,ACK can count (18 h).
pub const MAX_SYN_RECEIVED: Duration = Duration::from_secs(18 * 60 * 60);
/// The largest MSS, in bytes: an IPv4 packet is not longer.
pub const MAX_MSS: u16 = u16::MAX - 40;
/// The longest R2, in whole seconds (18.2 h).
pub const MAX_R2: Duration = Duration::from_secs(u16::MAX as u64);
/// The longest limit of one connection (16,383 min, 11.4 days).
pub const MAX_LIMIT: Duration = Period::MAX;

/// Settings of the whole engine. `Config::default()` obeys the RFCs' numbers.
///
/// A setting is taken as it is or refused with [`InvalidSetting`]; none is changed silently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// The largest payload of a segment in either direction over IPv4, in bytes, from [`MSS_FLOOR`] to [`MAX_MSS`]: MTU less 40, for both
    /// headers without options (§3.7.1). Over IPv6, whose header is longer, it is 20 less, but not below [`MSS_FLOOR`]. Default `None`: 1,460,
    /// or what the device carries where that is less (the Embassy side). More than it carries is refused.
    pub mss: Option<u16>,
    /// The zone that link-local addresses are good in, as `scope_id` of the endpoints given out (RFC 4007). An endpoint given in may name
    /// it or leave it open (0). Default 0, for a device with one link. Without meaning to IPv4.
    pub zone: u32,
    /// The least retransmission timeout, at most `rto_max`. Default 200 ms, as in Linux: less than the second of RFC 6298 §2.4, which was chosen for clocks
    /// of half a second, and more than peers hold an acknowledgment back. The first timeout, before a round trip was measured, is 1 s.
    pub rto_min: Duration,
    /// The most a retransmission timeout grows to. Default 60 s, the least that RFC 6298 §2.5 allows; less is a choice for networks whose
    /// round-trip times are known.
    pub rto_max: Duration,
    /// How long an active open tries: R2 for SYN. Default 3 min, the least that MUST-23 allows.
    pub connect_timeout: Duration,
    /// How long a half-open connection of a listener is kept, at most [`MAX_SYN_RECEIVED`]. Default 30 s (deviates from MUST-23, which would keep the
    /// entry for 3 min: an attacker fills the table for free, a live peer repeats its SYN).
    pub syn_received_timeout: Duration,
    /// 2 MSL: how long TIME-WAIT lasts. Default 60 s, as Linux does; §3.4.2 suggests 4 min.
    pub time_wait: Duration,
    /// How long a connection whose application closed both ways goes on in all: until what is queued is delivered, the peer has opened its
    /// window or sent its FIN. Counted from the close, whatever the peer acknowledges meanwhile: else its acknowledgments hold the slot for
    /// as long as it likes. An RST that the device
    /// does not take is given up after 60 s. Default 60 s.
    pub orphan_timeout: Duration,
    /// The most that a peer's user timeout option lengthens R2 to (U_LIMIT of RFC 5482 §3.1), in whole seconds from 1 to [`MAX_R2`]. Default 10 min.
    /// A longer R2 of a connection's own stays.
    #[cfg(feature = "user-timeout-option")]
    pub user_timeout_limit: Duration,
    /// How long an acknowledgment may be held back, where [`StreamOptions::delayed_ack`] says nothing else and while a connection waits to be
    /// accepted. Default 40 ms, at most [`MAX_DELAYED_ACK`], rounded up to whole ms; zero sends each at once.
    pub delayed_ack: Duration,
    /// The hop limit, or time to live, of what is sent (RFC 9293 §3.9.2, MUST-49): of every connection that has none of its own, of handshakes of listeners, and of what
    /// answers for no connection, such as TIME-WAIT. A network whose hosts take packets of neighbors alone (RFC 5082) wants 255. Default 64.
    pub hop_limit: NonZeroU8,
    /// How many challenge ACKs and ACKs to unacceptable segments one connection sends in a window of 4.19 s (half-open and
    /// TIME-WAIT records too). Default 10. Beside these a challenge to an RST that is not answered is repeated by a timer, twice in three
    /// retransmission timeouts: also for an attacker who asks without end. The total is bounded by records × the sum of both rates.
    pub challenge_limit: u8,
    /// Which sequence numbers beside RCV.NXT an RST may carry.
    pub rst_policy: RstPolicy,
    /// Whether each RST says in its payload why it was sent, and what peers' RSTs say is kept: see [`crate::PeerReason`] and `Tcp::peer_reason`. 8 bytes;
    /// none in an RST to a segment of no connection, or of a handshake, that is shorter than 28 bytes. Default: no, as the draft asks.
    #[cfg(feature = "reset-diagnostics")]
    pub reset_diagnostics: bool,
    /// Whether selective acknowledgment is offered to peers and accepted from them (RFC 2018); true by default.
    #[cfg(feature = "sack")]
    pub sack: bool,
    /// Whether timestamps are offered to peers and accepted from them (RFC 7323); true by default. They count milliseconds from a number that each pair
    /// of endpoints has of its own, so that they do not tell how long the device has been on.
    #[cfg(feature = "timestamps")]
    pub timestamps: bool,
    /// Whether scaled windows are offered to peers and accepted from them (RFC 7323 §2); true by default. Without it no more than 65,535 bytes of a larger buffer are
    /// used.
    #[cfg(feature = "window-scale")]
    pub window_scale: bool,
    /// Whether Explicit Congestion Notification is offered to peers and accepted from them (RFC 3168); true by default. A SYN that must be sent again does not
    /// offer it, since some old firewalls drop such SYNs.
    #[cfg(feature = "ecn")]
    pub ecn: bool,
    /// How the congestion window grows and shrinks. Default [`CongestionControl::Cubic`].
    #[cfg(feature = "cubic")]
    pub congestion_control: CongestionControl,
    /// Who checks and fills in the TCP checksum. Default `None`: as the device says, where it says so (the Embassy side), or else
    /// [`ChecksumBy::Software`].
    pub checksum: Option<ChecksumBy>,
    /// What makes room where slots or buffers are full. Default `None`: nothing, who comes then waits or is turned away.
    #[cfg(feature = "eviction")]
    pub eviction: Option<Eviction>,
    /// The local ports of active opens that name none. Default 1,024 to 65,535 (RFC 6056 §3.2); ports that a listener has are left out.
    pub ephemeral_ports: PortRange,
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PortRange {
    /// The lowest port, not 0.
    pub first: u16,
    /// The highest port, not below `first`.
    pub last: u16,
}

impl PortRange {
    /// Returns the number of ports.
    pub(crate) fn count(self) -> u32 {
        u32::from(self.last) + 1 - u32::from(self.first)
    }
}

/// A setting that can be refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Setting {
    /// [`Config::mss`].
    Mss,
    /// [`Config::rto_min`].
    RtoMin,
    /// [`Config::rto_max`].
    RtoMax,
    /// [`Config::connect_timeout`].
    ConnectTimeout,
    /// [`Config::syn_received_timeout`].
    SynReceivedTimeout,
    /// [`Config::time_wait`].
    TimeWait,
    /// [`Config::orphan_timeout`].
    OrphanTimeout,
    /// [`Config::delayed_ack`].
    DelayedAck,
    /// [`Config::ephemeral_ports`].
    EphemeralPorts,
    /// [`StreamOptions::r1`].
    R1,
    /// [`StreamOptions::r2`].
    R2,
    /// [`StreamOptions::user_timeout`].
    UserTimeout,
    /// [`KeepAlive`].
    KeepAlive,
    /// `StreamOptions::idle_timeout`.
    IdleTimeout,
    /// `StreamOptions::first_byte_timeout`.
    FirstByteTimeout,
    /// `ListenOptions::accept_timeout`.
    AcceptTimeout,
    /// `Config::user_timeout_limit`.
    UserTimeoutLimit,
    /// `Eviction::idle_for`.
    Eviction,
    /// [`ListenOptions::accept_from`].
    AcceptFrom,
    /// `Tcp::keep_journal`.
    Journal,
}

impl Setting {
    /// Returns what the setting must be, in a few words.
    pub const fn bounds(self) -> &'static str {
        match self {
            Setting::Mss => "mss must be 64 to 65495 bytes, and no more than the device carries",
            Setting::RtoMin => "rto_min must be no longer than rto_max",
            Setting::RtoMax => "rto_max must be 1 ms to 12.4 days",
            Setting::ConnectTimeout => "connect_timeout must be 1 ms to 12.4 days",
            Setting::SynReceivedTimeout => "syn_received_timeout must be 1 ms to 18 h",
            Setting::TimeWait => "time_wait must be 1 ms to 12.4 days",
            Setting::OrphanTimeout => "orphan_timeout must be 1 ms to 12.4 days",
            Setting::DelayedAck => "delayed_ack must be at most 499 ms",
            Setting::EphemeralPorts => "ephemeral_ports must not begin at 0 or end before their first",
            Setting::R1 => "r1 must be at least 1",
            Setting::R2 => "r2 must be 1 to 65535 whole seconds",
            Setting::UserTimeout => "user_timeout must be 1 to 16383 whole ms, s or min",
            Setting::KeepAlive => {
                "keep_alive's idle and interval must be 1 to 16383 whole ms, s or min, with at least one probe, and 12.4 days in all"
            }
            Setting::IdleTimeout => "idle_timeout must be 1 to 16383 whole ms, s or min",
            Setting::FirstByteTimeout => "first_byte_timeout must be 1 ms to 12.4 days",
            Setting::AcceptTimeout => "accept_timeout must be 1 ms to 12.4 days",
            Setting::UserTimeoutLimit => "user_timeout_limit must be 1 to 65535 whole seconds",
            Setting::Eviction => "eviction's idle_for must be 1 ms to 12.4 days",
            Setting::AcceptFrom => {
                "a network in accept_from has a prefix longer than its address, or an IPv4 address in IPv6 guise"
            }
            Setting::Journal => "the journal must have a record for each connection",
        }
    }
}

/// A setting is out of its bounds. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InvalidSetting(pub Setting);

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.bounds())
    }
}

impl core::error::Error for InvalidSetting {}

/// How the congestion window grows and shrinks once a loss has shown what the path carries.
#[cfg(feature = "cubic")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CongestionControl {
    /// By a segment for each round trip; a loss leaves half (RFC 5681).
    Reno,
    /// With the time since the last loss, and at least as Reno's would that lost as little; a loss leaves seven tenths (RFC 9438).
    Cubic,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            mss: None,
            zone: 0,
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(180),
            syn_received_timeout: Duration::from_secs(30),
            time_wait: Duration::from_secs(60),
            orphan_timeout: Duration::from_secs(60),
            #[cfg(feature = "user-timeout-option")]
            user_timeout_limit: Duration::from_secs(600),
            delayed_ack: Duration::from_millis(40),
            hop_limit: HOP_LIMIT,
            challenge_limit: 10,
            rst_policy: RstPolicy { at_last_ack_sent: false, before_fin: false },
            #[cfg(feature = "reset-diagnostics")]
            reset_diagnostics: false,
            #[cfg(feature = "sack")]
            sack: true,
            #[cfg(feature = "timestamps")]
            timestamps: true,
            #[cfg(feature = "window-scale")]
            window_scale: true,
            #[cfg(feature = "ecn")]
            ecn: true,
            #[cfg(feature = "cubic")]
            congestion_control: CongestionControl::Cubic,
            checksum: None,
            #[cfg(feature = "eviction")]
            eviction: None,
            ephemeral_ports: PortRange { first: 1_024, last: u16::MAX },
        }
    }
}

/// Extra places where an RST from a correct peer may sit. Each doubles what a blind attacker may hit: two of 2^32
/// sequence numbers instead of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RstPolicy {
    /// Take an RST at the last acknowledgment we sent while a later one is held back: the peer that resets has not seen RCV.NXT.
    /// Without this it is dropped as outside the window, but for one at RCV.NXT-1, which is challenged; the next segment we send draws an exact one.
    pub at_last_ack_sent: bool,
    /// Take an RST at RCV.NXT-1 after the peer's FIN: some stacks reset without counting their own FIN. Without this it is
    /// challenged.
    pub before_fin: bool,
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
    /// neighbor is resolved anew. At least 1; default 3, the least that §3.8.3 recommends (SHLD-10).
    pub r1: u8,
    /// R2: how long without progress before the connection is given up, in whole seconds from 1 to [`MAX_R2`]; with the peer's window closed, how
    /// long without an answer to a probe. At least three probes are sent within it; the last attempt is given one more plain timeout. Default 100 s, the least
    /// that §3.8.3 recommends (SHLD-11); less is a choice for peers that are near.
    pub r2: Duration,
    /// Nagle's algorithm as Minshall proposed it (§3.7.4): a short segment waits while another one, which the application made short, is unacknowledged. Default on.
    pub nagle: bool,
    /// How long an acknowledgment of this connection may be held back, from [`crate::Tcp::accept`] or [`crate::Tcp::connect`] on. Default `None`: as long as
    /// [`Config::delayed_ack`] says. Every second full-sized segment, what fills a gap, and the first payload unless it is pushed are acknowledged at once. So is
    /// what the peer pushed in a segment that is not full, once the application has read it and asks for more ([`crate::Tcp::recv`]); with a receive buffer of
    /// eight segments or fewer, as the default is over Ethernet, so is whatever it has read.
    pub delayed_ack: Option<Duration>,
    /// The hop limit of this connection's packets, from [`crate::Tcp::accept`] or [`crate::Tcp::connect`] on, until TIME-WAIT. What goes out before and after, and an RST to a
    /// segment that is not the connection's, has [`Config::hop_limit`]: for packets that must all have the same (RFC 5082), set that. Default `None`: the same.
    pub hop_limit: Option<NonZeroU8>,
    /// User timeout (RFC 9293 §3.9.1.1, RFC 5482): how long what was sent, or waits for the peer's window, may go without progress, also where the
    /// peer answers, and the SYN of an active open without an answer. It takes the place of `r2` and is a hard limit: no last attempt is made
    /// beyond it. Once the application has closed it acts as R2 does: a peer that is silent for so long is given up. As short as wished, at most [`MAX_LIMIT`] and a whole number of ms, s or min up to 16,383. Default `None`: `r2` alone.
    pub user_timeout: Option<Duration>,
    /// The user timeout option (RFC 5482): the peer is told how long this side bears unacknowledged data, and where no user timeout is set here R2
    /// is lengthened by what the peer tells, up to `Config::user_timeout_limit`. Default off (ENABLED).
    #[cfg(feature = "user-timeout-option")]
    pub user_timeout_option: bool,
    /// Keepalive (§3.8.4). Default `None`: off (MUST-25).
    #[cfg(feature = "keepalive")]
    pub keep_alive: Option<KeepAlive>,
    /// How long neither side may take a byte from the other before the connection is ended, whatever else the peer says. At most
    /// [`MAX_LIMIT`] and a whole number of ms, s or min up to 16,383. Default `None`: for ever (MUST-37).
    #[cfg(feature = "deadlines")]
    pub idle_timeout: Option<Duration>,
    /// How long the peer may take until its first byte arrives, from [`crate::Tcp::accept`] or [`crate::Tcp::connect`] on. At most [`MAX_PERIOD`].
    /// Default `None`: for ever.
    #[cfg(feature = "deadlines")]
    pub first_byte_timeout: Option<Duration>,
}

impl StreamOptions {
    /// The defaults, also for constants.
    pub const DEFAULT: StreamOptions = StreamOptions {
        rx_buffer: 4_096,
        tx_buffer: 4_096,
        r1: 3,
        r2: Duration::from_secs(100),
        nagle: true,
        delayed_ack: None,
        hop_limit: None,
        user_timeout: None,
        #[cfg(feature = "user-timeout-option")]
        user_timeout_option: false,
        #[cfg(feature = "keepalive")]
        keep_alive: None,
        #[cfg(feature = "deadlines")]
        idle_timeout: None,
        #[cfg(feature = "deadlines")]
        first_byte_timeout: None,
    };
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions::DEFAULT
    }
}

/// Keepalive (RFC 9293 §3.8.4, RFC 1122 §4.2.3.6): while nothing of ours is out, a peer that was not heard for `idle` is asked by an empty segment
/// at SND.NXT-1, and asked again every `interval`. One that lives answers. After `probes` without an answer the connection ends as
/// [`crate::CloseReason::TimedOut`] of [`crate::Timer::KeepAlive`], and an RST says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeepAlive {
    /// From the last sign of life to the first probe. At most [`MAX_LIMIT`] and a whole number of ms, s or min up to 16,383. Default 2 h, the
    /// least that MUST-28 allows as a default.
    pub idle: Duration,
    /// From one probe to the next, and from the last to the end. The same bounds. Default 75 s. Less than 0.5 s can end a healthy peer: Linux answers
    /// such segments at most twice a second (`tcp_invalid_ratelimit`).
    pub interval: Duration,
    /// How many go unanswered before the end (MUST-26). From the one after R1 on the next hop is asked for anew, so that another router than before
    /// is found. Default 9.
    pub probes: NonZeroU8,
}

impl KeepAlive {
    /// The defaults, also for constants.
    pub const DEFAULT: KeepAlive = KeepAlive {
        idle: Duration::from_secs(2 * 60 * 60),
        interval: Duration::from_secs(75),
        probes: NonZeroU8::MIN.saturating_add(8),
    };
}

impl Default for KeepAlive {
    fn default() -> KeepAlive {
        KeepAlive::DEFAULT
    }
}

/// What makes room where a handshake is completed, or a connection opened, and no slot or no buffers are free: the connection that has been
/// idle the longest is ended by RST, as [`crate::CloseReason::Evicted`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Eviction {
    /// Which of them goes first.
    pub by: EvictBy,
    /// How long it must have been so at least. Nobody goes who has been idle for less: whoever fills the table from outside ends nobody who has
    /// been at work within this time. At most [`MAX_PERIOD`]. An application that keeps the handle of a connection that was evicted keeps its slot.
    pub idle_for: Duration,
}

/// How long a connection has been idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EvictBy {
    /// The time since a byte was last taken by either side, of all connections.
    Idle,
    /// How long the peer has owed something without a byte being taken: an acknowledgment, room in its window, or its FIN after our
    /// application has left. Who owes nothing stays.
    WithoutProgress,
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
    /// How long a completed connection may wait for [`crate::Tcp::accept`] before it is reset, at most [`MAX_PERIOD`]. Default `None`: for ever.
    #[cfg(feature = "deadlines")]
    pub accept_timeout: Option<Duration>,
    /// The connections' settings.
    pub stream: StreamOptions,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            backlog: 4,
            half_open: 16,
            overflow: Overflow::Drop,
            accept_from: None,
            #[cfg(feature = "deadlines")]
            accept_timeout: None,
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
    /// How many bits are common: 32 (IPv4) or 128 (IPv6) name one host, 0 everybody of the family; more is refused.
    pub prefix: u8,
}

impl Network {
    /// Returns whether the prefix is no longer than the address, and the address one that a peer can have: none has an IPv4 address in IPv6 guise.
    pub(crate) fn is_valid(&self) -> bool {
        let is_guise = match self.addr {
            IpAddr::V4(_) => false,
            IpAddr::V6(addr) => addr.to_ipv4_mapped().is_some(),
        };
        is_prefix_valid(self.addr, self.prefix) && !is_guise
    }

    /// Returns whether `addr` is one of the network's. A network of a family this build does not speak has none.
    pub fn contains(&self, addr: IpAddr) -> bool {
        Addr::both(self.addr, addr).is_some_and(|(ours, theirs)| ours.shares_prefix(theirs, self.prefix))
    }
}

/// Returns whether an address has as many bits as `prefix`.
pub(crate) fn is_prefix_valid(addr: IpAddr, prefix: u8) -> bool {
    prefix <= if addr.is_ipv4() { 32 } else { 128 }
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
