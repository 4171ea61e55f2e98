//! Peers that give nothing, or next to nothing.

use tcp_reset_core::{Peer, State};

use crate::holds::Hold;
use crate::support::rig::Rig;
use crate::support::table::{ACK, FIN, RST, SYN, Seg};

/// What an open window of a flapping peer is, where it is more than one byte.
const LARGE: u32 = 500;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Actor {
    /// Nothing comes from it.
    Silent,
    /// It repeats an old acknowledgment.
    RepeatsAck,
    /// It answers each segment, takes nothing and has no room.
    ClosesWindow,
    /// Its window is now closed, now one byte, and it takes nothing.
    FlapsByOne,
    /// Its window is now closed, now large, and it takes nothing.
    FlapsWide,
    /// It answers everything and sends a byte now and then.
    Trickles,
    /// It answers everything, and never sends its FIN or anything else.
    Withholds,
    /// Our segments never reach it: it repeats what it has sent.
    Deaf,
}

impl Actor {
    pub(crate) const ALL: [Actor; 8] = [
        Actor::Silent,
        Actor::RepeatsAck,
        Actor::ClosesWindow,
        Actor::FlapsByOne,
        Actor::FlapsWide,
        Actor::Trickles,
        Actor::Withholds,
        Actor::Deaf,
    ];

    pub(crate) fn kind(self) -> Peer {
        if self == Actor::Silent { Peer::Silent } else { Peer::Stalling }
    }

    /// Returns whether it can be met there.
    pub(crate) fn suits(self, hold: Hold) -> bool {
        let is_open = hold.state().is_synchronized();
        match self {
            Actor::Silent | Actor::RepeatsAck | Actor::Deaf => true,
            Actor::ClosesWindow | Actor::FlapsByOne | Actor::FlapsWide => is_open && hold.owes_acknowledgment(),
            Actor::Trickles => is_open && !hold.owes_acknowledgment() && hold != Hold::CloseWait,
            Actor::Withholds => is_open && !hold.owes_acknowledgment(),
        }
    }

    /// Returns whether it answers a probe.
    pub(crate) fn answers(self) -> bool {
        match self {
            Actor::ClosesWindow | Actor::FlapsByOne | Actor::FlapsWide | Actor::Trickles | Actor::Withholds => true,
            Actor::Silent | Actor::RepeatsAck | Actor::Deaf => false,
        }
    }

    /// Returns whether it says something of its own accord.
    pub(crate) fn speaks(self) -> bool {
        match self {
            Actor::RepeatsAck | Actor::FlapsByOne | Actor::FlapsWide | Actor::Trickles | Actor::Deaf => true,
            Actor::Silent | Actor::ClosesWindow | Actor::Withholds => false,
        }
    }

    pub(crate) fn flaps(self) -> bool {
        matches!(self, Actor::FlapsByOne | Actor::FlapsWide)
    }

    /// What it answers to what the engine has just sent. Returns whether it said anything.
    pub(crate) fn answer(self, rig: &mut Rig<'_>) -> bool {
        if !self.answers() || rig.engine.sent.iter().all(|sent| sent.flags & RST != 0) {
            return false;
        }
        rig.look();
        if self == Actor::ClosesWindow {
            rig.peer_wnd = 0;
        }
        let m = rig.model;
        let ack = if matches!(self, Actor::Trickles | Actor::Withholds) { m.snd_nxt } else { m.snd_una };
        let _ = rig.say_seg(&Seg::new(ACK, m.rcv_nxt, ack, 0, rig.peer_wnd));
        true
    }

    /// What it says of its own accord for the `n`th time.
    pub(crate) fn speak(self, rig: &mut Rig<'_>, state: State, n: u64) {
        rig.look();
        let m = rig.model;
        match self {
            Actor::Silent | Actor::ClosesWindow | Actor::Withholds => {}
            Actor::RepeatsAck => rig.peer_offers(rig.peer_wnd),
            Actor::FlapsByOne => rig.peer_offers(if n.is_multiple_of(2) { 0 } else { 1 }),
            Actor::FlapsWide => rig.peer_offers(if n.is_multiple_of(2) { 0 } else { LARGE }),
            Actor::Trickles => {
                let _ = rig.say_seg(&Seg::new(ACK, m.rcv_nxt, m.snd_nxt, 1, rig.peer_wnd));
            }
            Actor::Deaf => {
                let (old, peer_wnd) = (m.rcv_nxt.wrapping_sub(1), rig.peer_wnd);
                let (flags, text) = match state {
                    State::SynSent | State::SynReceived => (SYN, 0),
                    State::CloseWait | State::Closing | State::LastAck => (FIN | ACK, 0),
                    State::Established
                    | State::FinWait1
                    | State::FinWait2
                    | State::Closed
                    | State::Listen
                    | State::TimeWait => (ACK, 1),
                };
                let seq = if flags & SYN == 0 { old } else { rig.isn };
                let _ = rig.inject(&Seg::new(flags, seq, m.snd_una, text, peer_wnd));
                rig.look();
            }
        }
    }
}
