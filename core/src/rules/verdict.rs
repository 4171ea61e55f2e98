//! What the rules say: states, rules, verdicts and the reasons behind every reset and every end.

use core::fmt;

/// The connection states of RFC 9293 §3.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// No connection.
    #[default]
    Closed,
    /// A listener waits for any peer.
    Listen,
    /// Our SYN is on its way.
    SynSent,
    /// SYNs were seen from both sides, ours is not acknowledged yet.
    SynReceived,
    /// Data flows.
    Established,
    /// Our FIN is queued or on its way.
    FinWait1,
    /// Our FIN was acknowledged, the peer may still send.
    FinWait2,
    /// The peer's FIN was taken, we may still send.
    CloseWait,
    /// Both FINs are on their way, ours is not acknowledged.
    Closing,
    /// The peer closed first, our FIN is on its way.
    LastAck,
    /// Both directions are done; old segments are given time to drain.
    TimeWait,
}

impl State {
    /// All states, in the order of RFC 9293 §3.3.2 with CLOSED first.
    pub const ALL: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// Returns whether both sides have seen each other's SYN acknowledged (RFC 9293 §3.5.2, group 3).
    pub const fn is_synchronized(self) -> bool {
        match self {
            State::Closed | State::Listen | State::SynSent | State::SynReceived => false,
            State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => true,
        }
    }

    /// Returns the state's name as RFC 9293 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The rule that decided about a segment.
        ///
        /// Every segment ends at exactly one rule: the last step of SEGMENT ARRIVES that took effect. Where one segment
        /// does several things, the later step names it (a FIN before its payload, payload before its acknowledgment).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u8)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule, in the order segments meet them.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];

            /// Returns the rule's name.
            pub const fn name(self) -> &'static str {
                match self { $(Rule::$name => stringify!($name),)* }
            }
        }
    };
}

rules! {
    /// Header, data offset or lengths cannot be true: dropped (RFC 9293 §3.1). A bad option never ends here.
    Malformed,
    /// The checksum is wrong: dropped (RFC 9293 §3.1, MUST-3).
    ChecksumWrong,
    /// A fragment: dropped and counted, never put together (RFC 9293 §3.7.2 lets TCP avoid fragmentation altogether). Not an IPv6
    /// packet that is whole in spite of its fragment header (RFC 6946).
    Fragment,
    /// More IPv6 extension headers than are stepped over: dropped, what is behind them is not looked at (RFC 8504 §5.3).
    TooManyHeaders,
    /// Port 0, or an address that no reply may go to or come from (broadcast, multicast, unspecified, our own as source,
    /// a frame to a group): dropped, no listener is touched (RFC 9293 §3.9.2.3, RFC 1122 §4.2.3.10).
    NotAnswerable,

    /// CLOSED, RST: dropped (§3.10.7.1).
    ClosedRst,
    /// CLOSED, no ACK: `<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>`, whatever the other flags (§3.10.7.1).
    ClosedNoAck,
    /// CLOSED, ACK: `<SEQ=SEG.ACK><CTL=RST>` (§3.10.7.1).
    ClosedAck,

    /// LISTEN, RST: ignored, LISTEN stays (§3.10.7.2 first).
    ListenRst,
    /// LISTEN, ACK: `<SEQ=SEG.ACK><CTL=RST>` (§3.10.7.2 second).
    ListenAck,
    /// LISTEN, SYN: a half-open entry is made and SYN,ACK sent; data or FIN on the SYN stay unacknowledged (§3.10.7.2 third).
    ListenSyn,
    /// LISTEN, SYN that cannot be taken, listener set to drop: dropped, so that the peer tries again.
    ListenSynDropped,
    /// LISTEN, SYN that cannot be taken, listener set to refuse: `<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>`.
    ListenSynRefused,
    /// LISTEN, none of RST, ACK, SYN: dropped (§3.10.7.2 fourth).
    ListenOther,

    /// SYN-SENT, ACK outside (ISS, SND.NXT] without RST: `<SEQ=SEG.ACK><CTL=RST>`, the attempt goes on (§3.10.7.3 first).
    SynSentBadAck,
    /// SYN-SENT, ACK outside (ISS, SND.NXT] with RST: dropped (§3.10.7.3 first).
    SynSentBadAckRst,
    /// SYN-SENT, RST with an acceptable ACK: refused (§3.10.7.3 second).
    SynSentRst,
    /// SYN-SENT, RST without ACK: dropped (§3.10.7.3 second).
    SynSentRstNoAck,
    /// SYN-SENT, SYN with an acceptable ACK: ESTABLISHED (§3.10.7.3 fourth). Payload and FIN on it are processed as well.
    SynSentSynAck,
    /// SYN-SENT, SYN without ACK: simultaneous open, SYN-RECEIVED, SYN,ACK sent (§3.10.7.3 fourth).
    SynSentSyn,
    /// SYN-SENT, neither SYN nor RST: dropped (§3.10.7.3 fifth).
    SynSentOther,

    /// SYN-RECEIVED, SYN at IRS: a retransmission, our SYN,ACK goes out again, limited. Not when it carries an ACK that is
    /// unacceptable, nor when it completes a simultaneous open.
    SynReceivedSynAgain,
    /// SYN-RECEIVED by active open, SYN,ACK with an acceptable ACK: ESTABLISHED (RFC 9293 §3.5 figure 7, appendix A.2). Payload and FIN on it
    /// are processed as well. Its sequence number becomes IRS wherever it is: whoever acknowledges our ISS has seen our SYN, while the bare
    /// SYN that led here may be anybody's.
    SynReceivedSynAck,
    /// First check: sequence number not acceptable, no RST (and no SYN once synchronized): empty ACK, segment dropped
    /// (§3.10.7.4 first). Limited unless it carries payload or is a keepalive (SEQ = RCV.NXT-1), with an acceptable ACK.
    SeqUnacceptable,
    /// First check: a timestamp from before the latest that was taken, on a segment that is an old duplicate therefore: ACK and drop (RFC 7323 §5.3
    /// R1, PAWS). Limited unless it carries payload, with an acceptable ACK; and no ACK to one that is empty, at RCV.NXT, with an acceptable ACK: others
    /// have overtaken it. Never an RST, nor a SYN.
    TimestampOld,
    /// First check: RST outside the window: dropped silently (§3.10.7.4 second, 1).
    RstOutOfWindow,

    /// First check, while a window probe of ours is outstanding: an empty segment at RCV.NXT-1 that acknowledges the probe. The
    /// peer has probed us too, and each side's byte has moved the other's RCV.NXT: its ACK is processed, and ours sent (appendix
    /// A.2, simultaneous window probes).
    ProbesCrossed,

    /// First check: an empty ACK at the right edge, RCV.NXT+RCV.WND: its ACK is processed, nothing is sent. A peer whose whole window was
    /// lost can send no other; answered like any unacceptable segment, two such peers acknowledge each other without end.
    AckAtRightEdge,

    /// Second check: RST in the window, not at RCV.NXT: challenge ACK, connection untouched (RFC 5961 §3.2).
    RstInWindow,
    /// Second check: RST at the right edge, RCV.NXT+RCV.WND: challenge ACK. A peer whose whole window was lost resets there.
    RstAtRightEdge,
    /// Second check: RST at RCV.NXT-1: challenge ACK. A peer whose window probe was taken, and who does not know yet, resets there.
    RstBeforeNext,
    /// Second check: RST at RCV.NXT in SYN-RECEIVED of a passive open: back to LISTEN, the half-open entry is freed.
    RstSynReceivedPassive,
    /// Second check: RST at RCV.NXT with an acceptable ACK in SYN-RECEIVED of an active open: refused.
    RstSynReceivedActive,
    /// Second check: RST at RCV.NXT without an acceptable ACK in SYN-RECEIVED of an active open: back to SYN-SENT, SYN again, limited. The
    /// SYN that led here may have been forged, and then its number proves nothing; a peer that refuses answers our SYN.
    RstSynReceivedUnproven,
    /// Second check: RST at RCV.NXT in ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT: reset by peer.
    RstExact,
    /// Second check: RST at RCV.NXT in CLOSING, LAST-ACK: closed, reset by peer.
    RstExactClosing,
    /// Second check, policy off by default: RST at the last acknowledgment we sent while one is delayed: as at RCV.NXT.
    RstAtLastAckSent,
    /// Second check, policy off by default: RST at RCV.NXT-1 after the peer's FIN: as at RCV.NXT.
    RstBeforeFin,
    /// TIME-WAIT, RST: ignored (RFC 1337, fix F1).
    RstTimeWait,

    /// Fourth check: SYN in a synchronized state, wherever its sequence number: challenge ACK (RFC 5961 §4.2).
    SynSynchronized,
    /// Fourth check: SYN elsewhere than IRS in SYN-RECEIVED, wherever its sequence number: challenge ACK, the entry stays.
    SynReceivedSynOther,
    /// TIME-WAIT, SYN alone, not before RCV.NXT, and a listener takes it: half-open with an ISS beyond the old SND.NXT; the old
    /// record stays until the handshake completes (RFC 6191 §2, RFC 9293 §3.6.1 MAY-2).
    SynTimeWaitReopens,
    /// TIME-WAIT, any other SYN: ACK, limited.
    SynTimeWait,

    /// Fifth check: no ACK: dropped (§3.10.7.4 fifth).
    NoAck,
    /// SYN-RECEIVED, ACK outside (SND.UNA, SND.NXT], by an active open wherever its SEQ is: `<SEQ=SEG.ACK><CTL=RST>`, the entry stays (§3.5.2
    /// group 2).
    SynReceivedBadAck,
    /// SYN-RECEIVED of a passive open, acceptable ACK, but no slot, no buffer or no room in the backlog: dropped, the entry stays.
    SynReceivedNoSlot,
    /// Fifth check: ACK outside [SND.UNA-MAX.SND.WND, SND.NXT]: challenge ACK (RFC 5961 §5.2).
    AckUnacceptable,
    /// Fifth check: acceptable ACK, no payload or FIN: SND.UNA and SND.WND brought up to date.
    AckAccepted,
    /// SYN-RECEIVED, acceptable ACK, no payload or FIN: ESTABLISHED.
    AckEstablishes,
    /// Our FIN is acknowledged, no payload or FIN with it: FIN-WAIT-1 to FIN-WAIT-2, CLOSING to TIME-WAIT, LAST-ACK to CLOSED.
    AckOfFin,
    /// RCV.WND is 0 and payload sits at RCV.NXT: its ACK is processed, its payload and FIN are not; ACK sent (§3.10.7.4 first, the allowance
    /// for a closed window). A FIN without payload takes no room and is taken like any other.
    ZeroWindow,

    /// Seventh step: payload beyond RCV.NXT for an application that closed both ways: connection reset (RFC 9293 §3.6.1 SHLD-3).
    PayloadReceiverGone,
    /// Seventh step: payload from RCV.NXT on taken; RCV.NXT advances.
    PayloadInOrder,
    /// Seventh step: payload beyond a gap, or more of it than the reassembly can hold: what fits is held, ACK sent at once.
    PayloadOutOfOrder,
    /// Seventh and eighth step: payload or FIN after the peer's FIN: its ACK is processed, the rest ignored; a FIN is acknowledged.
    AfterFin,
    /// TIME-WAIT, an acceptable segment that changes nothing: ignored.
    TimeWaitOther,
    /// TIME-WAIT, a FIN in the window that is not the peer's own: ACK, limited; 2 MSL goes on.
    FinTimeWaitOther,

    /// Eighth step: FIN in order, also at the right edge: RCV.NXT advances over it, ACK sent.
    FinInOrder,
    /// Eighth step: FIN beyond a gap: remembered, ACK sent at once.
    FinOutOfOrder,
    /// TIME-WAIT, the peer's FIN again (SEG.SEQ+SEG.LEN = RCV.NXT, SEG.ACK = SND.NXT): ACK, 2 MSL start anew.
    FinTimeWait,
}

impl Rule {
    /// How many rules there are.
    pub const COUNT: usize = Rule::ALL.len();
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was done about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Nothing changed and nothing is sent.
    Dropped,
    /// The connection took it; an acknowledgment follows if one is due.
    Accepted,
    /// Not taken; `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>` goes out.
    Acknowledged,
    /// Not taken; the same empty ACK goes out to ask the peer whether it meant it (RFC 5961).
    Challenged,
    /// Not taken, and the ACK that would go out is withheld by the connection's limit (RFC 5961 §7).
    Limited,
    /// A SYN,ACK goes out.
    SynAcked,
    /// The half-open entry is freed, its listener listens on.
    ReturnedToListen,
    /// The attempt is back in SYN-SENT, its SYN goes out again within the connection's limit.
    ReturnedToSynSent,
    /// An RST goes out.
    Reset(ResetReason),
    /// The connection ended, nothing is sent.
    Ended(CloseReason),
}

impl Action {
    /// Returns whether an empty ACK answers the segment.
    pub(crate) fn is_empty_ack(self) -> bool {
        matches!(self, Action::Acknowledged | Action::Challenged)
    }
}

/// What became of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub struct Verdict {
    /// The rule that decided.
    pub rule: Rule,
    /// What was done.
    pub action: Action,
    /// The state the segment met: CLOSED where there was neither connection nor listener.
    pub state: State,
}

macro_rules! reasons {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u8)]
        pub enum $enum { $($(#[$doc])* $name,)* }

        impl $enum {
            /// Every value.
            pub const ALL: &'static [$enum] = &[$($enum::$name),*];
            /// How many values there are.
            pub const COUNT: usize = $enum::ALL.len();
            /// Says it in a few words.
            pub const fn text(self) -> &'static str {
                match self { $($enum::$name => $text,)* }
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.text())
            }
        }
    };
}

reasons! {
    /// Why an RST was sent.
    ResetReason {
        /// The segment belongs to no connection and no listener (§3.10.7.1).
        NoConnection = "no connection",
        /// An ACK came to a listener (§3.10.7.2).
        AckToListener = "ACK to a listener",
        /// The listener cannot take the SYN and is set to say so; or a completed handshake found no slot, buffers or place in the backlog for
        /// as long as its entry is kept.
        ListenerFull = "listener full",
        /// The handshake was answered with an acknowledgment of something never sent (§3.5.2 group 2).
        BadAckInHandshake = "bad ACK in the handshake",
        /// Payload came for an application that had closed both ways (§3.6.1).
        ReceiverGone = "receiver gone",
        /// The application closed with received bytes unread (RFC 2525 §2.17).
        UnreadData = "closed with unread data",
        /// The application aborted (§3.10.5).
        Aborted = "aborted",
        /// The listener closed before this connection was accepted.
        ListenerClosed = "listener closed",
        /// The peer stopped acknowledging, never completed its handshake, never sent its FIN after our application had left, or was idle for longer
        /// than it may be.
        TimedOut = "timed out",
        /// The connection was idle, and its slot or its buffers were wanted by another.
        Evicted = "evicted",
        /// We have restarted, and a journal remembers the connection and where its numbers stood.
        Restarted = "restarted",
    }
}

impl ResetReason {
    /// Returns the code that says it to the peer, of the registry of draft-ietf-tcpm-rst-diagnostic-payload. Where none says just that, the closest: what an
    /// application or its listener has given up is an abort to the peer.
    pub const fn code(self) -> u16 {
        match self {
            ResetReason::NoConnection | ResetReason::Restarted => 2,
            ResetReason::ReceiverGone => 3,
            ResetReason::UnreadData | ResetReason::Aborted | ResetReason::ListenerClosed => 4,
            ResetReason::AckToListener | ResetReason::BadAckInHandshake => 5,
            ResetReason::ListenerFull | ResetReason::Evicted => 10,
            ResetReason::TimedOut => 14,
        }
    }
}

reasons! {
    /// What became of a peer that a restart of ours has lost: see `Tcp::keep_journal`.
    Fate {
        /// It answered for the old connection, and was sent the RST that it must believe; or it was sent the RST at the number that was noted, and says that it
        /// has no connection. Whoever forges an answer in its name spoils this, but not that the peer itself is asked on.
        Told = "told",
        /// It says itself that it has no such connection: its own had ended, or it has begun another.
        Gone = "had no connection any more",
        /// It answered nothing.
        GivenUp = "gave no answer",
        /// Our address is another now: nobody asks it any more.
        Forgotten = "forgotten",
    }
}

reasons! {
    /// The timers that can be due.
    Timer {
        /// The SYN of an active open is sent again; when it ends a connection, none was answered (R2 for SYN).
        Connect = "connect",
        /// A half-open connection was never completed.
        SynReceived = "SYN-RECEIVED",
        /// Data or FIN is sent again; when it ends a connection, R2 has passed without progress.
        Retransmission = "retransmission",
        /// The peer's closed window is probed; when it ends a connection, no probe was answered for R2.
        WindowProbe = "window probe",
        /// An acknowledgment held back is sent.
        DelayedAck = "delayed ACK",
        /// The application closed and the peer has not taken all our data in time.
        Orphan = "orphan",
        /// The application closed, the peer has taken all our data and not sent its FIN in time.
        FinWait2 = "FIN-WAIT-2",
        /// What was sent, or waits for the peer's window, went without progress for longer than the application allows (RFC 5482).
        UserTimeout = "user timeout",
        /// An idle peer is asked whether it is there (§3.8.4); when it ends a connection, no probe was answered.
        KeepAlive = "keepalive",
        /// Neither side has taken a byte for too long.
        Idle = "idle",
        /// The peer's first byte did not come in time.
        FirstByte = "first byte",
        /// Nobody accepted the connection in time.
        AcceptWait = "accept wait",
        /// The connection is over, and its RST is given up where the device does not take it.
        Reset = "reset",
        /// A challenge to an RST was not answered and is sent again.
        Challenge = "challenge",
        /// 2 MSL.
        TimeWait = "TIME-WAIT",
        /// A neighbor on the link is asked for again.
        Neighbor = "neighbor",
        /// A peer that a restart of ours has lost is asked, or given up.
        LostPeer = "lost peer",
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CloseReason {
    /// Both sides sent FIN and everything was acknowledged; the peer's FIN came first.
    PeerClosed,
    /// Both sides sent FIN and everything was acknowledged; ours was sent before the peer's came.
    LocalClosed,
    /// The application closed before the handshake was done.
    ClosedBeforeOpen,
    /// The peer answered our SYN with RST.
    Refused,
    /// A valid RST ended the connection.
    ResetByPeer,
    /// The application called abort.
    Aborted,
    /// The application closed with bytes unread, or more came after it had closed; the peer was told by RST, in CLOSING and LAST-ACK too.
    DataLost,
    /// The address the connection was on is no longer ours.
    AddressLost,
    /// It was idle, and its slot or its buffers were wanted: see `Config::eviction`.
    Evicted,
    /// A timer gave up.
    TimedOut(Timer),
}

impl CloseReason {
    /// Every value that can occur.
    pub const ALL: &'static [CloseReason] = &[
        CloseReason::PeerClosed,
        CloseReason::LocalClosed,
        CloseReason::ClosedBeforeOpen,
        CloseReason::Refused,
        CloseReason::ResetByPeer,
        CloseReason::Aborted,
        CloseReason::DataLost,
        CloseReason::AddressLost,
        CloseReason::Evicted,
        CloseReason::TimedOut(Timer::Connect),
        CloseReason::TimedOut(Timer::SynReceived),
        CloseReason::TimedOut(Timer::Retransmission),
        CloseReason::TimedOut(Timer::WindowProbe),
        CloseReason::TimedOut(Timer::Orphan),
        CloseReason::TimedOut(Timer::FinWait2),
        CloseReason::TimedOut(Timer::UserTimeout),
        CloseReason::TimedOut(Timer::KeepAlive),
        CloseReason::TimedOut(Timer::Idle),
        CloseReason::TimedOut(Timer::FirstByte),
        CloseReason::TimedOut(Timer::AcceptWait),
    ];

    /// The reason's place in [`CloseReason::ALL`].
    pub(crate) fn place(self) -> usize {
        CloseReason::ALL.iter().position(|&reason| reason == self).unwrap_or(0)
    }

    /// Returns whether the stream ended in order, so that a reader sees its end and not an error.
    pub const fn is_orderly(self) -> bool {
        matches!(self, CloseReason::PeerClosed | CloseReason::LocalClosed)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::PeerClosed => f.pad("closed, peer first"),
            CloseReason::LocalClosed => f.pad("closed, we first"),
            CloseReason::ClosedBeforeOpen => f.pad("closed before open"),
            CloseReason::Refused => f.pad("refused"),
            CloseReason::ResetByPeer => f.pad("reset by peer"),
            CloseReason::Aborted => f.pad("aborted here"),
            CloseReason::DataLost => f.pad("data lost"),
            CloseReason::AddressLost => f.pad("address lost"),
            CloseReason::Evicted => f.pad("evicted"),
            CloseReason::TimedOut(timer) => write!(f, "timed out ({timer})"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Dropped => f.pad("dropped"),
            Action::Accepted => f.pad("accepted"),
            Action::Acknowledged => f.pad("ACK"),
            Action::Challenged => f.pad("challenge ACK"),
            Action::Limited => f.pad("ACK withheld"),
            Action::SynAcked => f.pad("SYN,ACK"),
            Action::ReturnedToListen => f.pad("back to LISTEN"),
            Action::ReturnedToSynSent => f.pad("back to SYN-SENT"),
            Action::Reset(reason) => write!(f, "RST ({reason})"),
            Action::Ended(reason) => write!(f, "ended ({reason})"),
        }
    }
}
