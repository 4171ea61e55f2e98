//! Every way to hold a slot.

use std::time::Duration;

use tcp_reset_core::State;

use crate::drawn::Drawn;
use crate::enter_with;
use crate::support::rig::Rig;
use crate::support::table::{ACK, FIN, SYN};

/// What we have queued where data waits, in bytes.
const QUEUED: u32 = 20;

/// Where a connection is when its peer begins to give nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    SynSent,
    /// Of an active open.
    SynReceived,
    NotAccepted,
    /// ESTABLISHED by connect, with nothing to send.
    Idle,
    /// ESTABLISHED by a listener, with nothing to send.
    Entered,
    /// ESTABLISHED with data on its way.
    InFlight,
    /// ESTABLISHED with data that waits for the peer's window.
    Waiting,
    FinWait1,
    /// FIN-WAIT-1 with data and the FIN waiting for the peer's window.
    FinWait1Waiting,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    /// LAST-ACK with data and the FIN waiting for the peer's window.
    LastAckWaiting,
}

impl Hold {
    pub(crate) const ALL: [Hold; 14] = [
        Hold::SynSent,
        Hold::SynReceived,
        Hold::NotAccepted,
        Hold::Idle,
        Hold::Entered,
        Hold::InFlight,
        Hold::Waiting,
        Hold::FinWait1,
        Hold::FinWait1Waiting,
        Hold::FinWait2,
        Hold::CloseWait,
        Hold::Closing,
        Hold::LastAck,
        Hold::LastAckWaiting,
    ];

    pub(crate) fn state(self) -> State {
        match self {
            Hold::SynSent => State::SynSent,
            Hold::SynReceived => State::SynReceived,
            Hold::NotAccepted | Hold::Idle | Hold::Entered | Hold::InFlight | Hold::Waiting => State::Established,
            Hold::FinWait1 | Hold::FinWait1Waiting => State::FinWait1,
            Hold::FinWait2 => State::FinWait2,
            Hold::CloseWait => State::CloseWait,
            Hold::Closing => State::Closing,
            Hold::LastAck | Hold::LastAckWaiting => State::LastAck,
        }
    }

    /// Returns whether the state is one that `close` leads to as well.
    pub(crate) fn can_be_orphaned(self) -> bool {
        match self {
            Hold::SynReceived
            | Hold::FinWait1
            | Hold::FinWait1Waiting
            | Hold::FinWait2
            | Hold::Closing
            | Hold::LastAck
            | Hold::LastAckWaiting => true,
            Hold::SynSent
            | Hold::NotAccepted
            | Hold::Idle
            | Hold::Entered
            | Hold::InFlight
            | Hold::Waiting
            | Hold::CloseWait => false,
        }
    }

    /// Returns whether something of ours is not acknowledged, or not sent: only then there is a retransmission timer.
    pub(crate) fn owes_acknowledgment(self) -> bool {
        match self {
            Hold::SynSent
            | Hold::SynReceived
            | Hold::InFlight
            | Hold::Waiting
            | Hold::FinWait1
            | Hold::FinWait1Waiting
            | Hold::Closing
            | Hold::LastAck
            | Hold::LastAckWaiting => true,
            Hold::NotAccepted | Hold::Idle | Hold::Entered | Hold::FinWait2 | Hold::CloseWait => false,
        }
    }

    pub(crate) fn is_window_closed(self) -> bool {
        matches!(self, Hold::Waiting | Hold::FinWait1Waiting | Hold::LastAckWaiting)
    }

    /// Brings a fresh rig there, all within one instant but for `delay`, which passes before our side says its last word in the state that
    /// stays: what it sends, or its close.
    pub(crate) fn reach(self, rig: &mut Rig<'_>, drawn: &Drawn, is_orphaned: bool, delay: Duration) {
        let stream = *drawn.stream();
        match self {
            Hold::SynSent => rig.dial_with(stream),
            Hold::SynReceived => {
                rig.dial_with(stream);
                let _ = rig.say(SYN, 0);
                rig.model.state = State::SynReceived;
                if is_orphaned {
                    rig.close();
                }
            }
            Hold::NotAccepted => {
                rig.listen(drawn.options);
                let _ = rig.say(SYN, 0);
                let _ = rig.say(ACK, 0);
            }
            Hold::Idle => rig.open_with(stream),
            Hold::Entered => enter_with(rig, drawn.options),
            Hold::InFlight => {
                rig.open_with(stream);
                rig.engine.wait(delay);
                rig.send(QUEUED);
            }
            Hold::Waiting => {
                rig.open_with(stream);
                rig.peer_offers(0);
                rig.engine.wait(delay);
                rig.send(QUEUED);
            }
            Hold::FinWait1
            | Hold::FinWait1Waiting
            | Hold::FinWait2
            | Hold::CloseWait
            | Hold::Closing
            | Hold::LastAck
            | Hold::LastAckWaiting => {
                rig.open_with(stream);
                self.finish(rig, is_orphaned, delay);
            }
        }
    }

    /// The same from ESTABLISHED on, where one side or both have closed.
    fn finish(self, rig: &mut Rig<'_>, is_orphaned: bool, delay: Duration) {
        let finish = |rig: &mut Rig<'_>| {
            rig.engine.wait(delay);
            if is_orphaned { rig.close() } else { rig.shutdown() }
        };
        match self {
            Hold::SynSent
            | Hold::SynReceived
            | Hold::NotAccepted
            | Hold::Idle
            | Hold::Entered
            | Hold::InFlight
            | Hold::Waiting => {}
            Hold::FinWait1 => finish(rig),
            Hold::FinWait1Waiting => {
                rig.peer_offers(0);
                rig.send(QUEUED);
                finish(rig);
            }
            Hold::FinWait2 => {
                finish(rig);
                rig.peer_acks();
            }
            Hold::CloseWait => rig.peer_finishes(),
            Hold::Closing => {
                finish(rig);
                rig.peer_finishes();
            }
            Hold::LastAck => {
                rig.peer_finishes();
                finish(rig);
            }
            Hold::LastAckWaiting => {
                let _ = rig.say(ACK | FIN, 0);
                rig.model.state = State::CloseWait;
                rig.peer_offers(0);
                rig.send(QUEUED);
                finish(rig);
            }
        }
    }
}
