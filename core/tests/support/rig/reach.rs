//! Scripts that bring a fresh link into each state, as plain functions so that tests can list them.

use tcp_reset_core::State;

use super::Link;
use crate::support::table::{ACK, SYN};

/// Brings a link somewhere.
pub(crate) type Script = fn(&mut Link<'_>);

/// Every way into a state in which the checks of §3.10.7.4 apply.
pub(crate) const OTHER_STATES: [Script; 8] =
    [knock, cross, open, fin_wait_1, fin_wait_2, close_wait, closing, last_ack];
/// The same without SYN-RECEIVED.
pub(crate) const SYNCHRONIZED: [Script; 6] = [open, fin_wait_1, fin_wait_2, close_wait, closing, last_ack];
/// Both ways into SYN-RECEIVED.
pub(crate) const SYN_RECEIVED: [Script; 2] = [knock, cross];

/// CLOSED to SYN-SENT.
pub(crate) fn dial(link: &mut Link<'_>) {
    link.dial();
}

/// CLOSED to SYN-RECEIVED of a listener.
pub(crate) fn knock(link: &mut Link<'_>) {
    link.knock();
}

/// CLOSED to SYN-RECEIVED by a simultaneous open.
pub(crate) fn cross(link: &mut Link<'_>) {
    link.cross();
}

/// CLOSED to ESTABLISHED by an active open.
pub(crate) fn open(link: &mut Link<'_>) {
    link.open();
}

/// CLOSED to ESTABLISHED of a listener; the connection waits to be accepted.
pub(crate) fn enter(link: &mut Link<'_>) {
    link.enter();
}

/// CLOSED to ESTABLISHED of a listener, accepted.
pub(crate) fn accepted(link: &mut Link<'_>) {
    link.enter();
    link.accept();
}

/// CLOSED to ESTABLISHED by a simultaneous open.
pub(crate) fn crossed(link: &mut Link<'_>) {
    link.cross();
    let _ = link.say(SYN | ACK, 0);
    link.model.state = State::Established;
}

pub(crate) fn fin_wait_1(link: &mut Link<'_>) {
    link.open();
    link.shutdown();
}

pub(crate) fn fin_wait_2(link: &mut Link<'_>) {
    fin_wait_1(link);
    link.peer_acks();
}

/// FIN-WAIT-1 whose application closed both ways.
pub(crate) fn fin_wait_1_gone(link: &mut Link<'_>) {
    link.open();
    link.close();
}

/// FIN-WAIT-2 whose application closed both ways.
pub(crate) fn fin_wait_2_gone(link: &mut Link<'_>) {
    fin_wait_1_gone(link);
    link.peer_acks();
}

pub(crate) fn close_wait(link: &mut Link<'_>) {
    link.open();
    link.peer_finishes();
}

pub(crate) fn closing(link: &mut Link<'_>) {
    fin_wait_1(link);
    link.peer_finishes();
}

pub(crate) fn last_ack(link: &mut Link<'_>) {
    close_wait(link);
    link.shutdown();
}

pub(crate) fn time_wait(link: &mut Link<'_>) {
    fin_wait_2(link);
    link.peer_finishes();
}

/// TIME-WAIT of an accepted connection; the listener still listens.
pub(crate) fn time_wait_of_listener(link: &mut Link<'_>) {
    accepted(link);
    link.shutdown();
    link.peer_acks();
    link.peer_finishes();
}

/// ESTABLISHED with ten bytes of ours unacknowledged.
pub(crate) fn text_in_flight(link: &mut Link<'_>) {
    link.open();
    link.send(10);
}

/// ESTABLISHED with 20 bytes of ours waiting for the peer's window to open.
pub(crate) fn send_window_closed(link: &mut Link<'_>) {
    link.open();
    link.peer_offers(0);
    link.send(20);
    assert_eq!(link.model.queued, 20, "a closed window admits nothing");
}

/// The same, and the first of the bytes is on its way as a window probe.
pub(crate) fn probe_outstanding(link: &mut Link<'_>) {
    send_window_closed(link);
    link.wait_for_probe();
    let probe = link.world.only();
    assert_eq!((probe.seq, probe.text.len()), (link.model.snd_nxt, 1), "one byte of new text");
}

/// ESTABLISHED with ten bytes unacknowledged, of which the peer's window admits four.
pub(crate) fn send_window_shrunk(link: &mut Link<'_>) {
    text_in_flight(link);
    link.peer_offers(4);
}
