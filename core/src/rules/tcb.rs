//! One connection's record: the variables of RFC 9293 §3.3.1, flat, under their RFC names.

use crate::rules::scale::Scale;
use crate::rules::stamps::Stamps;
use crate::rules::verdict::State;
use crate::size::Size;
use crate::wire::addr::Tuple;
use crate::wire::seq::Seq;

bitflags::bitflags! {
    /// What has become of a connection's two streams.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Flags: u8 {
        /// Opened by a listener, not by connect (MUST-11).
        const PASSIVE = 1 << 0;
        /// The application closed both ways and holds no handle.
        const APP_GONE = 1 << 1;
        /// The SYN or SYN,ACK was sent more than once (RFC 6298 §5.7).
        const SYN_RESENT = 1 << 2;
        /// The application will send nothing more: FIN follows the queue.
        const FIN_QUEUED = 1 << 3;
        /// Our FIN was sent at least once; it is the last number there is.
        const FIN_OUT = 1 << 4;
        /// A byte beyond SND.NXT went out as a window probe.
        const PROBE_OUT = 1 << 5;
        /// The peer's FIN was seen beyond a gap.
        const FIN_HELD = 1 << 6;
        /// The peer's FIN was taken; RCV.NXT counts it.
        const PEER_FIN = 1 << 7;
    }
}

/// The part of a connection that the rules judge. Half-open and TIME-WAIT records are expanded to one.
///
/// ISS and IRS are not kept: they are asked for only in SYN-SENT and SYN-RECEIVED, where ISS is SND.UNA and IRS is RCV.NXT-1.
#[derive(Clone)]
pub(crate) struct Tcb {
    pub(crate) tuple: Tuple,
    state: State,
    pub(crate) flags: Flags,
    /// Eff.snd.MSS: the largest payload of a segment.
    pub(crate) mss: u16,
    pub(crate) snd_una: Seq,
    /// The highest sent; never rewound by retransmission, not advanced by a window probe.
    pub(crate) snd_nxt: Seq,
    pub(crate) snd_wl1: Seq,
    pub(crate) snd_wnd: Size,
    pub(crate) max_snd_wnd: Size,
    pub(crate) rcv_nxt: Seq,
    /// What was last offered, counted from `rcv_nxt`.
    pub(crate) rcv_wnd: Size,
    /// How far `rcv_nxt` is ahead of the last acknowledgment sent.
    pub(crate) rcv_unacked: Size,
    pub(crate) stamps: Stamps,
    pub(crate) scale: Scale,
}

impl Tcb {
    pub(crate) const ZERO: Tcb = Tcb {
        tuple: Tuple::ZERO,
        state: State::Closed,
        flags: Flags::empty(),
        mss: 0,
        snd_una: Seq(0),
        snd_nxt: Seq(0),
        snd_wl1: Seq(0),
        snd_wnd: 0,
        max_snd_wnd: 0,
        rcv_nxt: Seq(0),
        rcv_wnd: 0,
        rcv_unacked: 0,
        stamps: Stamps::NEW,
        scale: Scale::NONE,
    };

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The only place where a connection's state changes.
    pub(crate) fn enter(&mut self, state: State) {
        #[cfg(feature = "defmt")]
        defmt::trace!("tcp {=u16}<-{=u16} {} -> {}", self.tuple.local_port, self.tuple.remote_port, self.state, state);
        self.state = state;
    }

    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }

    /// The highest acknowledgment a peer can truthfully send: SND.NXT, and the byte beyond it that went out as a probe.
    pub(crate) fn highest_sent(&self) -> Seq {
        self.snd_nxt + u32::from(self.has(Flags::PROBE_OUT))
    }

    pub(crate) fn is_ack_new(&self, ack: Seq) -> bool {
        ack.is_in_open_closed(self.snd_una, self.highest_sent())
    }

    /// RFC 5961 §5.2: SND.UNA-MAX.SND.WND ≤ SEG.ACK ≤ SND.NXT.
    pub(crate) fn is_ack_believable(&self, ack: Seq) -> bool {
        let oldest = self.snd_una - u32::from(self.max_snd_wnd);
        ack.since(oldest) <= self.highest_sent().since(oldest)
    }

    /// Returns whether an acknowledgment is one that only the peer is likely to know.
    pub(crate) fn is_ack_acceptable(&self, ack: Seq) -> bool {
        match self.state {
            State::SynReceived => self.is_ack_new(ack),
            State::Closed
            | State::Listen
            | State::SynSent
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => self.is_ack_believable(ack),
        }
    }

    /// Where an abort's RST is believed: SND.NXT, but not beyond what the peer's window lets it accept.
    pub(crate) fn reset_seq(&self) -> Seq {
        let in_flight = self.snd_nxt.since(self.snd_una).min(u32::from(self.snd_wnd));
        self.snd_una + in_flight
    }
}
