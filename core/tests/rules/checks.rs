//! The peers that the rules are tried on, and what is asserted of each answer.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{Action, CloseReason, Config, Event, ResetReason, Rule, State, Status, Verdict};

use crate::support::family::{Family, over_each};
use crate::support::rig;
use crate::support::rig::{Engine, ManyStore, PEER_ISN, Raw, Rig, Store};
use crate::support::table::{ACK, SYN, Seg};

pub(crate) fn config() -> Config {
    Config { delayed_ack: Duration::ZERO, rto_min: Duration::from_secs(1), ..Config::default() }
}

/// Runs a test on a fresh engine and a peer, over each family.
pub(crate) fn on_link(test: impl Fn(&mut Rig<'_>)) {
    on_link_with(config(), test);
}

pub(crate) fn on_link_with(config: Config, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| on_link_of(family, config, &test));
}

/// The same with room for many handshakes.
pub(crate) fn on_large_link(test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(ManyStore::new());
        test(&mut Rig::new(Engine::new(&mut *store, config()), family, PEER_ISN));
    });
}

/// The same over one family.
pub(crate) fn on_link_of(family: Family, config: Config, test: impl FnOnce(&mut Rig<'_>)) {
    let mut store = Box::new(Store::new());
    test(&mut Rig::new(Engine::new(&mut *store, config), family, PEER_ISN));
}

#[track_caller]
pub(crate) fn assert_verdict(rig: &Rig<'_>, verdict: Verdict, rule: Rule, action: Action, state: State) {
    assert_eq!(verdict, Verdict { rule, action, state });
    assert!(rig.engine.tcp.counters().rule(rule) > 0, "{rule} is counted");
}

/// The last call sent nothing.
#[track_caller]
pub(crate) fn assert_silent(rig: &Rig<'_>) {
    assert_eq!(rig.engine.sent, [], "nothing is sent");
}

/// The last call sent one segment without text.
#[track_caller]
pub(crate) fn assert_sent(rig: &Rig<'_>, flags: u8, seq: u32, ack: u32) {
    let sent = rig.engine.only();
    assert_eq!((sent.flags, sent.seq, sent.ack, sent.text.len()), (flags, seq, ack, 0), "{sent:?}");
    assert_eq!((sent.src, sent.dst), (rig.us, rig.peer));
}

/// The last call sent `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
#[track_caller]
pub(crate) fn assert_empty_ack(rig: &Rig<'_>) {
    assert_sent(rig, ACK, rig.model.snd_nxt, rig.model.rcv_nxt);
}

/// The last call sent an RST, and its reason is counted.
#[track_caller]
pub(crate) fn assert_reset(rig: &Rig<'_>, flags: u8, seq: u32, ack: u32, reason: ResetReason) {
    assert_sent(rig, flags, seq, ack);
    assert_eq!(rig.engine.only().reason, Some(reason));
    assert!(rig.engine.tcp.counters().reset_sent(reason) > 0, "{reason} is counted");
}

/// The application was told that the connection ended, and the end is counted once.
#[track_caller]
pub(crate) fn assert_closed(rig: &Rig<'_>, reason: CloseReason) {
    let told: Vec<_> = rig.engine.events.iter().filter(|event| matches!(event, Event::Closed(..))).collect();
    assert!(matches!(told[..], [Event::Closed(_, why)] if *why == reason), "{told:?}");
    assert_eq!(rig.engine.tcp.counters().closed(reason), 1);
    if let Some(status) = rig.status() {
        assert_eq!(status.closed, Some(reason));
    }
}

/// Nothing of the connection changed and nothing was told.
#[track_caller]
pub(crate) fn assert_untouched(rig: &mut Rig<'_>, seg: &Seg, rule: Rule, action: Action) {
    let (before, state, events) = (rig.status(), rig.state(), rig.engine.events.len());
    let verdict = rig.inject(seg);
    assert_verdict(rig, verdict, rule, action, state);
    assert_eq!((rig.status(), rig.state()), (before, state));
    assert_eq!(rig.engine.events.len(), events, "no event: {:?}", rig.engine.events);
}

/// A segment of the peer relative to what it should send next; everything is acknowledged.
pub(crate) fn seg(rig: &Rig<'_>, flags: u8, offset: i32, text: u32) -> Seg {
    let m = &rig.model;
    let seg = Seg::new(flags, m.rcv_nxt.wrapping_add_signed(offset), m.snd_nxt, text, rig.peer_wnd);
    Seg { stamp: rig.stamp, ..seg }
}

pub(crate) fn with_ack(seg: Seg, ack: u32) -> Seg {
    Seg { ack, ..seg }
}

pub(crate) fn with_window(seg: Seg, wnd: u32) -> Seg {
    Seg { wnd, ..seg }
}

/// Acknowledgments of something never sent.
pub(crate) fn bad_acks(rig: &Rig<'_>) -> [u32; 4] {
    let iss = rig.model.iss;
    [iss, iss.wrapping_sub(1), iss.wrapping_add(2), iss.wrapping_add(1 << 31)]
}

/// The RST is answered by a challenge and changes nothing but the timer that sends the challenge again.
pub(crate) fn assert_challenged(rig: &mut Rig<'_>, rst: &Seg, rule: Rule) {
    let (before, state) = (rig.status(), rig.state());
    let verdict = rig.inject(rst);
    assert_verdict(rig, verdict, rule, Action::Challenged, state);
    assert_empty_ack(rig);
    let without_timer = |status: Option<Status>| status.map(|status| Status { timer: None, ..status });
    assert_eq!((without_timer(rig.status()), rig.state()), (without_timer(before), state));
}

pub(crate) fn stranger(rig: &Rig<'_>, port: u16) -> SocketAddr {
    SocketAddr::new(rig.peer.ip(), port)
}

/// Another peer's SYN; gives the SYN,ACK.
pub(crate) fn stranger_knocks(rig: &mut Rig<'_>, port: u16) -> rig::Sent {
    let raw = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
    let _ = rig.engine.arrive(stranger(rig, port), rig.us, &raw);
    rig.engine.only().clone()
}
