//! The peers that the rules are tried on, and what is asserted of each answer.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{Action, CloseReason, Config, Event, ResetReason, Rule, State, Status, Verdict};

use crate::support::family::{Family, over_each};
use crate::support::rig;
use crate::support::rig::{Link, ManyStore, PEER_ISN, Raw, Store, World};
use crate::support::table::{ACK, SYN, Seg};

pub(crate) fn config() -> Config {
    Config { delayed_ack: Duration::ZERO, ..Config::default() }
}

/// Runs a test on a fresh engine and a peer, over each family.
pub(crate) fn on_link(test: impl Fn(&mut Link<'_>)) {
    on_link_with(config(), test);
}

pub(crate) fn on_link_with(config: Config, test: impl Fn(&mut Link<'_>)) {
    over_each(|family| on_link_of(family, config, &test));
}

/// The same with room for many handshakes.
pub(crate) fn on_large_link(test: impl Fn(&mut Link<'_>)) {
    over_each(|family| {
        let mut store = Box::new(ManyStore::new());
        test(&mut Link::new(World::new(&mut *store, config()), family, PEER_ISN));
    });
}

/// The same over one family.
pub(crate) fn on_link_of(family: Family, config: Config, test: impl FnOnce(&mut Link<'_>)) {
    let mut store = Box::new(Store::new());
    test(&mut Link::new(World::new(&mut *store, config), family, PEER_ISN));
}

#[track_caller]
pub(crate) fn assert_verdict(link: &Link<'_>, verdict: Verdict, rule: Rule, action: Action, state: State) {
    assert_eq!(verdict, Verdict { rule, action, state });
    assert!(link.world.tcp.counters().rule(rule) > 0, "{rule} is counted");
}

/// The last call sent nothing.
#[track_caller]
pub(crate) fn assert_silent(link: &Link<'_>) {
    assert_eq!(link.world.sent, [], "nothing is sent");
}

/// The last call sent one segment without text.
#[track_caller]
pub(crate) fn assert_sent(link: &Link<'_>, flags: u8, seq: u32, ack: u32) {
    let sent = link.world.only();
    assert_eq!((sent.flags, sent.seq, sent.ack, sent.text.len()), (flags, seq, ack, 0), "{sent:?}");
    assert_eq!((sent.src, sent.dst), (link.us, link.peer));
}

/// The last call sent `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
#[track_caller]
pub(crate) fn assert_empty_ack(link: &Link<'_>) {
    assert_sent(link, ACK, link.model.snd_nxt, link.model.rcv_nxt);
}

/// The last call sent an RST, and its reason is counted.
#[track_caller]
pub(crate) fn assert_reset(link: &Link<'_>, flags: u8, seq: u32, ack: u32, reason: ResetReason) {
    assert_sent(link, flags, seq, ack);
    assert_eq!(link.world.only().reason, Some(reason));
    assert!(link.world.tcp.counters().reset_sent(reason) > 0, "{reason} is counted");
}

/// The application was told that the connection ended, and the end is counted once.
#[track_caller]
pub(crate) fn assert_closed(link: &Link<'_>, reason: CloseReason) {
    let told: Vec<_> = link.world.events.iter().filter(|event| matches!(event, Event::Closed(..))).collect();
    assert!(matches!(told[..], [Event::Closed(_, why)] if *why == reason), "{told:?}");
    assert_eq!(link.world.tcp.counters().closed(reason), 1);
    if let Some(status) = link.status() {
        assert_eq!(status.closed, Some(reason));
    }
}

/// Nothing of the connection changed and nothing was told.
#[track_caller]
pub(crate) fn assert_untouched(link: &mut Link<'_>, seg: &Seg, rule: Rule, action: Action) {
    let (before, state, events) = (link.status(), link.state(), link.world.events.len());
    let verdict = link.inject(seg);
    assert_verdict(link, verdict, rule, action, state);
    assert_eq!((link.status(), link.state()), (before, state));
    assert_eq!(link.world.events.len(), events, "no event: {:?}", link.world.events);
}

/// A segment of the peer relative to what it should send next; everything is acknowledged.
pub(crate) fn seg(link: &Link<'_>, flags: u8, offset: i32, text: u32) -> Seg {
    let m = &link.model;
    Seg::new(flags, m.rcv_nxt.wrapping_add_signed(offset), m.snd_nxt, text, link.peer_wnd)
}

pub(crate) fn with_ack(seg: Seg, ack: u32) -> Seg {
    Seg { ack, ..seg }
}

pub(crate) fn with_window(seg: Seg, wnd: u32) -> Seg {
    Seg { wnd, ..seg }
}

/// Acknowledgements of something never sent.
pub(crate) fn bad_acks(link: &Link<'_>) -> [u32; 4] {
    let iss = link.model.iss;
    [iss, iss.wrapping_sub(1), iss.wrapping_add(2), iss.wrapping_add(1 << 31)]
}

/// The RST is answered by a challenge and changes nothing but the timer that sends the challenge again.
pub(crate) fn assert_challenged(link: &mut Link<'_>, rst: &Seg, rule: Rule) {
    let (before, state) = (link.status(), link.state());
    let verdict = link.inject(rst);
    assert_verdict(link, verdict, rule, Action::Challenged, state);
    assert_empty_ack(link);
    let without_timer = |status: Option<Status>| status.map(|status| Status { timer: None, ..status });
    assert_eq!((without_timer(link.status()), link.state()), (without_timer(before), state));
}

pub(crate) fn stranger(link: &Link<'_>, port: u16) -> SocketAddr {
    SocketAddr::new(link.peer.ip(), port)
}

/// Another peer's SYN; gives the SYN,ACK.
pub(crate) fn stranger_knocks(link: &mut Link<'_>, port: u16) -> rig::Sent {
    let raw = Raw { seq: 5, flags: SYN, wnd: 100, ..Raw::default() };
    let _ = link.world.arrive(stranger(link, port), link.us, &raw);
    link.world.only().clone()
}
