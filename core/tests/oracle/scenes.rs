//! The situations in which every segment is tried.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{Config, ListenOptions, Overflow, RstPolicy, State};

use crate::support::rig;
use crate::support::rig::reach::{
    Script, accepted, close_wait, closing, cross, crossed, dial, enter, fin_wait_1, fin_wait_1_gone, fin_wait_2,
    fin_wait_2_gone, knock, last_ack, open, probe_outstanding, send_window_closed, send_window_shrunk, text_in_flight,
    time_wait, time_wait_of_listener,
};
use crate::support::rig::{BUFFER, Rig, Sent, small_listener};
use crate::support::table::{ACK, Model, Port, RST, SYN};

/// The window that the segments under test offer, unless a scene says otherwise.
const OFFERED: u32 = 1_234;

/// A situation in which every segment is tried.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) build: &'static [Script],
    /// The window that the segments offer.
    pub(crate) wnd: u32,
    /// Only segments with these flags are tried.
    pub(crate) only: u8,
    pub(crate) configure: fn(&mut Config),
    /// The connection's challenges are used up.
    pub(crate) exhausted: bool,
}

pub(crate) const fn scene(name: &'static str, build: &'static [Script]) -> Scene {
    Scene { name, build, wnd: OFFERED, only: 0, configure: |_| {}, exhausted: false }
}

const fn scene_with_window(name: &'static str, wnd: u32, build: &'static [Script]) -> Scene {
    Scene { wnd, ..scene(name, build) }
}

pub(crate) const SCENES: &[Scene] = &[
    scene("CLOSED", &[]),
    scene("CLOSED, listener elsewhere", &[listen_elsewhere]),
    scene("LISTEN", &[listen]),
    scene("LISTEN on any address", &[listen_anywhere]),
    scene("LISTEN, full, drops", &[listen_full_drops]),
    scene("LISTEN, full, refuses", &[listen_full_refuses]),
    scene("SYN-SENT", &[dial]),
    scene("SYN-RECEIVED, passive", &[knock]),
    scene("SYN-RECEIVED, passive, backlog full", &[knock_without_slot]),
    scene("SYN-RECEIVED, active", &[cross]),
    scene("ESTABLISHED", &[open]),
    scene("ESTABLISHED, accepted", &[accepted]),
    scene("ESTABLISHED, not yet accepted", &[enter]),
    scene("ESTABLISHED, simultaneous open", &[crossed]),
    scene("ESTABLISHED, text in flight", &[text_in_flight]),
    scene("ESTABLISHED, gap", &[gap]),
    scene("ESTABLISHED, receive window closed", &[receive_window_closed]),
    scene("ESTABLISHED, receive window of 2", &[receive_window_of_two]),
    scene_with_window("ESTABLISHED, send window closed", 0, &[send_window_closed]),
    scene("ESTABLISHED, send window closed, opens", &[send_window_closed]),
    scene_with_window("ESTABLISHED, window probe outstanding", 0, &[probe_outstanding]),
    scene("ESTABLISHED, window probe outstanding, opens", &[probe_outstanding]),
    scene_with_window("ESTABLISHED, send window shrunk", 4, &[send_window_shrunk]),
    scene_with_window("ESTABLISHED, send window closes on text in flight", 0, &[text_in_flight]),
    Scene {
        only: RST,
        configure: allow_last_ack,
        ..scene("ESTABLISHED, delayed ACK, policy on", &[acknowledgement_delayed])
    },
    Scene { only: RST, configure: delay_acks, ..scene("ESTABLISHED, delayed ACK", &[acknowledgement_delayed_strict]) },
    scene("FIN-WAIT-1", &[fin_wait_1]),
    scene("FIN-WAIT-1, text in flight", &[fin_wait_1_text]),
    scene("FIN-WAIT-1, gap", &[gap, shutdown]),
    scene("FIN-WAIT-1, receive window closed", &[receive_window_closed, shutdown]),
    scene_with_window("FIN-WAIT-1, FIN unsent", 0, &[send_window_closed, shutdown]),
    scene("FIN-WAIT-1, FIN unsent, opens", &[send_window_closed, shutdown]),
    scene_with_window("FIN-WAIT-1, FIN unsent, probed", 0, &[probe_outstanding, shutdown]),
    scene("FIN-WAIT-1, application gone", &[fin_wait_1_gone]),
    scene("FIN-WAIT-1, application gone, text in flight", &[text_in_flight, close]),
    scene_with_window("FIN-WAIT-1, application gone, FIN unsent", 0, &[send_window_closed, close]),
    scene_with_window("FIN-WAIT-1, application gone, FIN unsent, probed", 0, &[probe_outstanding, close]),
    scene_with_window("FIN-WAIT-1, application gone, window shrunk", 4, &[send_window_shrunk, close]),
    scene_with_window("FIN-WAIT-1, application gone, window closes", 0, &[text_in_flight, close]),
    scene_with_window("FIN-WAIT-1, application gone, window shrinks", 3, &[text_in_flight, close]),
    scene("FIN-WAIT-1, application gone, listener", &[accepted, close]),
    scene("FIN-WAIT-2", &[fin_wait_2]),
    scene("FIN-WAIT-2, gap", &[gap, shutdown, peer_acks]),
    scene("FIN-WAIT-2, receive window closed", &[fin_wait_2, fill_receive_window]),
    scene("FIN-WAIT-2, application gone", &[fin_wait_2_gone]),
    scene("FIN-WAIT-2, application gone, listener", &[accepted, close, peer_acks]),
    scene("CLOSE-WAIT", &[close_wait]),
    scene("CLOSE-WAIT, accepted", &[accepted, peer_finishes]),
    scene("CLOSE-WAIT, text in flight", &[text_in_flight, peer_finishes]),
    scene("CLOSE-WAIT, receive window used up", &[close_wait_full]),
    scene_with_window("CLOSE-WAIT, send window closed", 0, &[send_window_closed, peer_finishes]),
    scene("CLOSE-WAIT, send window closed, opens", &[send_window_closed, peer_finishes]),
    Scene { configure: allow_before_fin, ..scene("CLOSE-WAIT, policy on", &[close_wait, note_policy]) },
    scene("CLOSING", &[closing]),
    scene("CLOSING, receive window used up", &[open_nearly_full, shutdown, peer_finishes]),
    scene("CLOSING, text in flight", &[fin_wait_1_text, peer_finishes]),
    scene("CLOSING, application gone", &[fin_wait_1_gone, peer_finishes]),
    Scene { configure: allow_before_fin, ..scene("CLOSING, policy on", &[closing, note_policy]) },
    scene("LAST-ACK", &[last_ack]),
    scene("LAST-ACK, receive window used up", &[close_wait_full, shutdown]),
    scene("LAST-ACK, text in flight", &[text_in_flight, peer_finishes, shutdown]),
    scene("LAST-ACK, application gone", &[close_wait, close]),
    scene("LAST-ACK, application gone, listener", &[accepted, peer_finishes, close]),
    scene_with_window("LAST-ACK, FIN unsent", 0, &[send_window_closed, peer_finishes, shutdown]),
    Scene { configure: allow_before_fin, ..scene("LAST-ACK, policy on", &[last_ack, note_policy]) },
    scene("TIME-WAIT", &[time_wait]),
    scene("TIME-WAIT, application gone", &[fin_wait_2_gone, peer_finishes]),
    scene("TIME-WAIT, after CLOSING", &[time_wait_after_closing]),
    scene("TIME-WAIT, listener", &[time_wait_of_listener]),
    scene("TIME-WAIT, listener, application gone", &[time_wait_of_listener, close]),
    exhausted("SYN-RECEIVED, passive, no challenge left", &[knock]),
    exhausted("SYN-RECEIVED, active, no challenge left", &[cross]),
    exhausted("ESTABLISHED, no challenge left", &[text_in_flight]),
    exhausted("ESTABLISHED, receive window closed, no challenge left", &[receive_window_closed]),
    exhausted("FIN-WAIT-1, no challenge left", &[fin_wait_1]),
    exhausted("FIN-WAIT-2, application gone, no challenge left", &[fin_wait_2_gone]),
    exhausted("CLOSE-WAIT, no challenge left", &[close_wait]),
    exhausted("CLOSING, no challenge left", &[closing]),
    exhausted("LAST-ACK, no challenge left", &[last_ack]),
    exhausted("TIME-WAIT, no challenge left", &[time_wait]),
    exhausted("TIME-WAIT, listener, no challenge left", &[time_wait_of_listener]),
    scene("SYN-RECEIVED, over TIME-WAIT", &[reopened]),
    scene("TIME-WAIT, listener full", &[time_wait_of_listener, fill_half_open]),
];

/// A scene whose connection has no challenges left.
const fn exhausted(name: &'static str, build: &'static [Script]) -> Scene {
    Scene { exhausted: true, configure: withhold_challenges, ..scene(name, build) }
}

fn listen(rig: &mut Rig<'_>) {
    rig.listen(small_listener());
}

fn listen_full_drops(rig: &mut Rig<'_>) {
    listen_full(rig, Overflow::Drop);
}

fn listen_full_refuses(rig: &mut Rig<'_>) {
    listen_full(rig, Overflow::Refuse);
}

fn shutdown(rig: &mut Rig<'_>) {
    rig.shutdown();
}

fn close(rig: &mut Rig<'_>) {
    rig.close();
}

fn peer_acks(rig: &mut Rig<'_>) {
    rig.peer_acks();
}

fn peer_finishes(rig: &mut Rig<'_>) {
    rig.peer_finishes();
}

fn listen_elsewhere(rig: &mut Rig<'_>) {
    let other = SocketAddr::new(rig.us.ip(), 81);
    rig.engine.tcp.listen(other, small_listener()).unwrap();
}

fn listen_anywhere(rig: &mut Rig<'_>) {
    let us = rig.us;
    rig.us.set_ip(rig.family.unspecified());
    rig.listen(small_listener());
    rig.us = us;
}

/// A peer other than the one under test begins a handshake.
fn stranger_knocks(rig: &mut Rig<'_>, port: u16) -> Sent {
    let raw = rig::Raw { seq: 5, flags: SYN, wnd: 100, ..rig::Raw::default() };
    let _ = rig.engine.arrive(stranger(rig, port), rig.us, &raw);
    rig.engine.only().clone()
}

fn stranger(rig: &Rig<'_>, port: u16) -> SocketAddr {
    SocketAddr::new(rig.family.host(3), port)
}

fn listen_full(rig: &mut Rig<'_>, overflow: Overflow) {
    rig.listen(ListenOptions { half_open: 1, overflow, ..small_listener() });
    let _ = stranger_knocks(rig, 1_001);
    rig.model.port = if overflow == Overflow::Drop { Port::FullDrops } else { Port::FullRefuses };
}

fn fill_half_open(rig: &mut Rig<'_>) {
    for port in 1_001..1_005 {
        let _ = stranger_knocks(rig, port);
    }
    rig.model.port = Port::FullDrops;
}

fn knock_without_slot(rig: &mut Rig<'_>) {
    rig.listen(ListenOptions { backlog: 1, ..small_listener() });
    let _ = rig.say(SYN, 0);
    let reply = stranger_knocks(rig, 1_001);
    let raw = rig::Raw { seq: 6, ack: reply.end(), flags: ACK, wnd: 100, ..rig::Raw::default() };
    let _ = rig.engine.arrive(stranger(rig, 1_001), rig.us, &raw);
    rig.model.state = State::SynReceived;
    rig.model.passive = true;
    rig.model.has_slot = false;
    rig.model.port = Port::FullDrops;
}

fn gap(rig: &mut Rig<'_>) {
    rig.open();
    rig.peer_leaves_gap(4, 4);
}

fn fill_receive_window(rig: &mut Rig<'_>) {
    let _ = rig.say(ACK, BUFFER);
    assert_eq!(rig.model.rcv_wnd, 0, "the window closes");
}

fn receive_window_closed(rig: &mut Rig<'_>) {
    open(rig);
    fill_receive_window(rig);
}

fn receive_window_of_two(rig: &mut Rig<'_>) {
    rig.open();
    let _ = rig.say(ACK, BUFFER - 2);
}

fn delay_acks(config: &mut Config) {
    config.delayed_ack = Duration::from_millis(40);
}

fn allow_last_ack(config: &mut Config) {
    delay_acks(config);
    config.rst_policy.at_last_ack_sent = true;
}

fn allow_before_fin(config: &mut Config) {
    config.rst_policy.before_fin = true;
}

fn acknowledgement_delayed_strict(rig: &mut Rig<'_>) {
    rig.open();
    // What comes first and is not pushed is acknowledged at once.
    let _ = rig.say(ACK, 1);
    let before = rig.model.rcv_nxt;
    let _ = rig.say(ACK, 5);
    assert!(rig.engine.sent.is_empty(), "the acknowledgement waits");
    rig.model.rcv_nxt = before.wrapping_add(5);
    rig.model.rcv_wnd -= 5;
    rig.model.delayed_from = Some(before);
}

fn acknowledgement_delayed(rig: &mut Rig<'_>) {
    acknowledgement_delayed_strict(rig);
    rig.model.policy = RstPolicy { at_last_ack_sent: true, before_fin: false };
}

fn note_policy(rig: &mut Rig<'_>) {
    rig.model.policy = RstPolicy { at_last_ack_sent: false, before_fin: true };
}

fn fin_wait_1_text(rig: &mut Rig<'_>) {
    text_in_flight(rig);
    shutdown(rig);
}

fn open_nearly_full(rig: &mut Rig<'_>) {
    rig.open();
    let _ = rig.say(ACK, BUFFER - 1);
}

fn close_wait_full(rig: &mut Rig<'_>) {
    open_nearly_full(rig);
    peer_finishes(rig);
}

/// A listener has answered a new SYN; the record of the old connection is still there.
fn reopened(rig: &mut Rig<'_>) {
    time_wait_of_listener(rig);
    let _ = rig.engine.tcp.close(rig.engine.now, rig.handle.take().unwrap());
    rig.engine.drain();
    rig.isn = rig.model.rcv_nxt.wrapping_add(1_000);
    rig.model = Model { port: Port::Takes, ..rig::nothing(rig.isn) };
    let _ = rig.say(SYN, 0);
    rig.model = Model { state: State::SynReceived, passive: true, over_time_wait: true, ..rig.model };
}

fn withhold_challenges(config: &mut Config) {
    config.challenge_limit = 0;
}

fn time_wait_after_closing(rig: &mut Rig<'_>) {
    closing(rig);
    let _ = rig.say(ACK, 0);
    rig.model.state = State::TimeWait;
    rig.model.max_snd_wnd = 65_535;
}
