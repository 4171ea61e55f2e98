//! What happens in a world: its hosts' settings and a list of operations with their times, all drawn from the seed.
//!
//! The list is explicit so that it can be shrunk: an operation names a connection by the number of the operation that opened it, and
//! taking one out leaves the others as they are.

use std::time::Duration;

use tcp_reset_core::{Config, KeepAlive, ListenOptions, StreamOptions};

use crate::family::Family;

/// One second in the unit of world time, microseconds.
pub(super) const SECOND: u64 = 1_000_000;
/// One millisecond.
pub(super) const MS: u64 = 1_000;

/// A world's content.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Where it comes from; the faults of each packet too.
    pub seed: u64,
    /// The real hosts.
    pub hosts: Vec<HostPlan>,
    /// How the scripted peer behaves, if there is one.
    pub rogue: Option<Rogue>,
    /// In the order of their times.
    pub ops: Vec<Op>,
    /// How long the operations take; afterwards the world becomes quiet.
    pub busy_us: u64,
    /// Its largest buffers and smallest segments.
    pub sizes: Sizes,
}

/// What a world's buffers and segments are bounded by, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    /// No buffer is larger.
    pub buffer: u32,
    /// No MSS is smaller.
    pub mss: u32,
}

impl Sizes {
    /// Of most worlds.
    pub(super) const SMALL: Sizes = Sizes { buffer: 4_096, mss: 64 };
    /// Of worlds with windows that only a scaled field can say.
    pub(super) const LARGE: Sizes = Sizes { buffer: 262_144, mss: 536 };

    pub(super) fn is_large(self) -> bool {
        self == Sizes::LARGE
    }

    /// Segments of a flight at most.
    pub(super) fn longest_flight(self) -> u32 {
        self.buffer / self.mss
    }
}

/// One host.
#[derive(Clone, Debug)]
pub(super) struct HostPlan {
    /// Which storage.
    pub shape: u8,
    /// The engine's settings.
    pub config: Config,
    /// What the host's clock shows when the world begins, in microseconds.
    pub clock_us: u64,
    /// It keeps a journal, which outlives its reboots.
    pub has_journal: bool,
}

/// A peer that speaks TCP by a script and makes no honest progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rogue {
    /// What it does about data.
    pub manner: Manner,
    /// How often it speaks without being asked, in microseconds.
    pub every_us: u64,
}

/// See [`Rogue`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Acknowledges one byte now and then.
    Crumbs,
    /// Acknowledges nothing; its window is 0 and 1 in turn.
    FlippingWindow,
    /// Completes the handshake and is silent.
    Mute,
    /// Acknowledges everything and never closes.
    NeverCloses,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Op {
    /// When, in microseconds of world time.
    pub at: u64,
    /// What.
    pub what: What,
}

/// The wire's faults, in thousandths, and its times.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Wire {
    /// Frames lost.
    pub loss: u16,
    /// Frames delivered twice.
    pub duplicated: u16,
    /// Frames delivered after later ones.
    pub reordered: u16,
    /// Frames with one bit changed.
    pub corrupted: u16,
    /// Packets marked where they may be (RFC 3168).
    pub marked: u16,
    /// How long every frame is on its way, in microseconds.
    pub delay_us: u64,
    /// How much longer at most.
    pub jitter_us: u64,
}

/// What an application does with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct App {
    /// Bytes it wants to write.
    pub total: u32,
    /// Bytes of one write.
    pub chunk: u16,
    /// Bytes of one read; 0: it never reads.
    pub read: u16,
    /// The pause between its turns; 0: it acts at each event.
    pub every_us: u64,
    /// How it ends.
    pub ending: Ending,
    /// How often the opener connects again from the same port to the same one, once the connection has ended.
    pub again: u8,
    /// The pause before it does.
    pub again_us: u64,
}

/// See [`App`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// Shuts down after writing, reads to the end of the stream, closes.
    Shutdown,
    /// Closes after writing, unread data or not.
    Close,
    /// Closes when the peer has finished.
    AfterPeer,
    /// Aborts after writing.
    Abort,
    /// Stays until the world is quiet.
    Stay,
}

/// What an operation does to a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Half-close.
    Shutdown,
    /// Full close.
    Close,
    /// Abort.
    Abort,
    /// The application reads nothing from now on.
    StopReading,
    /// The application reads everything from now on.
    ReadAll,
    /// This many bytes more to write.
    Write(u32),
    /// Other limits from now on.
    Limits(Limits),
}

/// What an application changes on a connection that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    pub user_timeout: Option<Duration>,
    pub keep_alive: Option<KeepAlive>,
    pub idle_timeout: Option<Duration>,
    pub first_byte_timeout: Option<Duration>,
}

impl Limits {
    pub(super) fn apply_to(self, options: &mut StreamOptions) {
        let Limits { user_timeout, keep_alive, idle_timeout, first_byte_timeout } = self;
        *options = StreamOptions { user_timeout, keep_alive, idle_timeout, first_byte_timeout, ..*options };
    }
}

/// Segments an attacker sends who knows the ports and roughly the numbers, and never the exact ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Forged {
    /// RST inside the window, not at its left edge.
    RstInWindow,
    /// RST before the window.
    RstBefore,
    /// RST at the right edge or beyond.
    RstBeyond,
    /// Bare SYN near the window.
    Syn,
    /// Bare SYN far from it.
    SynFar,
    /// SYN,ACK with a wrong acknowledgment.
    SynAck,
    /// Empty ACK with a wrong acknowledgment.
    Ack,
    /// Empty ACK outside the window, with window 0.
    AckFar,
    /// Payload with a wrong acknowledgment.
    Data,
    /// FIN with a wrong acknowledgment.
    Fin,
    /// No control bits at all.
    Null,
    /// ICMP error about a segment that is not in flight.
    IcmpStale,
    /// ICMPv6 "packet too big" about a segment that is in flight: a router's right.
    IcmpTooBig,
}

/// Every forgery.
pub(super) const FORGED: [Forged; 13] = [
    Forged::RstInWindow,
    Forged::RstBefore,
    Forged::RstBeyond,
    Forged::Syn,
    Forged::SynFar,
    Forged::SynAck,
    Forged::Ack,
    Forged::AckFar,
    Forged::Data,
    Forged::Fin,
    Forged::Null,
    Forged::IcmpStale,
    Forged::IcmpTooBig,
];

/// See [`Op`]. Hosts are indices; `side` 0 is who opened the connection, 1 its peer.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum What {
    Wire(Wire),
    /// The host's cable is out.
    Silence {
        host: usize,
        for_us: u64,
    },
    /// The host forgets everything and comes back with another key.
    Reboot {
        host: usize,
        down_us: u64,
    },
    /// The host's processor is busy elsewhere.
    Freeze {
        host: usize,
        for_us: u64,
    },
    /// The host's clock goes on by so much at once.
    Jump {
        host: usize,
        by_us: u64,
    },
    /// The host's device takes no frame.
    DeviceFull {
        host: usize,
        for_us: u64,
    },
    /// This many of a thousand frames offered are dropped without `emit`.
    DropOffers {
        host: usize,
        permille: u16,
    },
    Listen {
        host: usize,
        port: u16,
        options: ListenOptions,
        app: App,
        accept_every_us: u64,
    },
    Unlisten {
        host: usize,
        port: u16,
    },
    AbortAll {
        host: usize,
    },
    /// The host is without its address.
    LoseAddress {
        host: usize,
        family: Family,
        for_us: u64,
    },
    Connect {
        id: u32,
        from: usize,
        to: usize,
        family: Family,
        local: u16,
        port: u16,
        options: StreamOptions,
        app: App,
    },
    Do {
        id: u32,
        side: usize,
        act: Act,
    },
    /// Towards the side's host, in its peer's name.
    Forge {
        id: u32,
        side: usize,
        forged: Forged,
        number: u32,
    },
    /// SYNs from addresses nobody has.
    Flood {
        host: usize,
        family: Family,
        port: u16,
        count: u16,
    },
    /// SYNs from random ports of a host that exists.
    FloodFrom {
        host: usize,
        other: usize,
        family: Family,
        port: u16,
        count: u16,
    },
}
