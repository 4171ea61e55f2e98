//! Scripts that bring a fresh rig into each state, as plain functions so that tests can list them.

use tcp_reset_core::State;

use super::Rig;
use crate::support::table::{ACK, SYN};

/// Brings a rig somewhere.
pub(crate) type Script = fn(&mut Rig<'_>);

/// Every way into a state in which the checks of §3.10.7.4 apply.
pub(crate) const OTHER_STATES: [Script; 8] =
    [knock, cross, open, fin_wait_1, fin_wait_2, close_wait, closing, last_ack];
/// The same without SYN-RECEIVED.
pub(crate) const SYNCHRONIZED: [Script; 6] = [open, fin_wait_1, fin_wait_2, close_wait, closing, last_ack];
/// Both ways into SYN-RECEIVED.
pub(crate) const SYN_RECEIVED: [Script; 2] = [knock, cross];

/// CLOSED to SYN-SENT.
pub(crate) fn dial(rig: &mut Rig<'_>) {
    rig.dial();
}

/// CLOSED to SYN-RECEIVED of a listener.
pub(crate) fn knock(rig: &mut Rig<'_>) {
    rig.knock();
}

/// CLOSED to SYN-RECEIVED by a simultaneous open.
pub(crate) fn cross(rig: &mut Rig<'_>) {
    rig.cross();
}

/// CLOSED to ESTABLISHED by an active open.
pub(crate) fn open(rig: &mut Rig<'_>) {
    rig.open();
}

/// CLOSED to ESTABLISHED of a listener; the connection waits to be accepted.
pub(crate) fn enter(rig: &mut Rig<'_>) {
    rig.enter();
}

/// CLOSED to ESTABLISHED of a listener, accepted.
pub(crate) fn accepted(rig: &mut Rig<'_>) {
    rig.enter();
    rig.accept();
}

/// CLOSED to ESTABLISHED by a simultaneous open.
pub(crate) fn crossed(rig: &mut Rig<'_>) {
    rig.cross();
    let _ = rig.say(SYN | ACK, 0);
    rig.model.state = State::Established;
}

pub(crate) fn fin_wait_1(rig: &mut Rig<'_>) {
    rig.open();
    rig.shutdown();
}

pub(crate) fn fin_wait_2(rig: &mut Rig<'_>) {
    fin_wait_1(rig);
    rig.peer_acks();
}

/// FIN-WAIT-1 whose application closed both ways.
pub(crate) fn fin_wait_1_gone(rig: &mut Rig<'_>) {
    rig.open();
    rig.close();
}

/// FIN-WAIT-2 whose application closed both ways.
pub(crate) fn fin_wait_2_gone(rig: &mut Rig<'_>) {
    fin_wait_1_gone(rig);
    rig.peer_acks();
}

pub(crate) fn close_wait(rig: &mut Rig<'_>) {
    rig.open();
    rig.peer_finishes();
}

pub(crate) fn closing(rig: &mut Rig<'_>) {
    fin_wait_1(rig);
    rig.peer_finishes();
}

pub(crate) fn last_ack(rig: &mut Rig<'_>) {
    close_wait(rig);
    rig.shutdown();
}

pub(crate) fn time_wait(rig: &mut Rig<'_>) {
    fin_wait_2(rig);
    rig.peer_finishes();
}

/// TIME-WAIT of an accepted connection; the listener still listens.
pub(crate) fn time_wait_of_listener(rig: &mut Rig<'_>) {
    accepted(rig);
    rig.shutdown();
    rig.peer_acks();
    rig.peer_finishes();
}

/// ESTABLISHED with ten bytes of ours unacknowledged.
pub(crate) fn text_in_flight(rig: &mut Rig<'_>) {
    rig.open();
    rig.send(10);
}

/// ESTABLISHED with 20 bytes of ours waiting for the peer's window to open.
pub(crate) fn send_window_closed(rig: &mut Rig<'_>) {
    rig.open();
    rig.peer_offers(0);
    rig.send(20);
    assert_eq!(rig.model.queued, 20, "a closed window admits nothing");
}

/// The same, and the first of the bytes is on its way as a window probe.
pub(crate) fn probe_outstanding(rig: &mut Rig<'_>) {
    send_window_closed(rig);
    rig.wait_for_probe();
    let probe = rig.engine.only();
    assert_eq!((probe.seq, probe.text.len()), (rig.model.snd_nxt, 1), "one byte of new text");
}

/// ESTABLISHED with ten bytes unacknowledged, of which the peer's window admits four.
pub(crate) fn send_window_shrunk(rig: &mut Rig<'_>) {
    text_in_flight(rig);
    rig.peer_offers(4);
}
