//! Over each family: what a restart has lost is told. An engine lives, is gone without a word, and another one with a key of its own finds the
//! journal.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod asking;
mod corners;
mod flash;
mod frames;
mod keeping;
mod limits;
mod nor;
mod numbers;
mod records;
mod trouble;

use std::net::IpAddr;
use std::time::Duration;

use tcp_reset_core::{Event, Fate, Journal, LostPeer};

use support::family::{Family, over_each};
use support::packet::segment::timestamps_of;
use support::rig::{Engine, PEER_ISN, Rig, START, Sent, Store, key, quick_config, us};
use support::table::{ACK, Model, RST};

/// Twice as many records as slots.
type Memory = Journal<8>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One life of the device: it starts with a journal, and loses power when the test is done.
fn life<R>(family: Family, journal: &Memory, n: u8, test: impl FnOnce(&mut Rig<'_>) -> R) -> R {
    let mut store = Box::new(Store::new());
    let mut rig = Rig::new(Engine::with(&mut *store, quick_config(), key(n), START), family, PEER_ISN);
    rig.engine.tcp.keep_journal(START, journal).unwrap();
    rig.engine.drain();
    test(&mut rig)
}

/// A first life that comes to hold a connection, and a second that knows its addresses. The second begins with the peer's books of the first.
fn after_restart(before: impl Fn(&mut Rig<'_>), after: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let journal = Memory::new();
        let model = life(family, &journal, 1, |rig| {
            before(rig);
            rig.model
        });
        life(family, &journal, 2, |rig| {
            rig.model = model;
            assert_eq!((&rig.engine.sent[..], rig.engine.deadline), (&[][..], None), "no address is known");
            know(rig, &[us(family).ip()]);
            after(rig);
        });
    });
}

/// These addresses are ours now.
fn know(rig: &mut Rig<'_>, ours: &[IpAddr]) {
    rig.engine.tcp.find_lost_peers(rig.engine.now, ours);
    rig.engine.drain();
}

/// What the engine asked just now, which must be a probe: an empty ACK that fits nothing the peer has.
fn probe(rig: &Rig<'_>) -> Sent {
    let sent = rig.engine.only().clone();
    assert_eq!((sent.src, sent.dst), (rig.us, rig.peer));
    assert_is_probe(&sent, &rig.model);
    sent
}

fn assert_is_probe(sent: &Sent, m: &Model) {
    assert_eq!((sent.flags, sent.wnd, sent.text.len()), (ACK, 0, 0), "{sent:?}");
    // Later ones have a timestamp.
    let is_stamped = cfg!(feature = "timestamps") && timestamps_of(&sent.options).is_some();
    assert!(sent.options.is_empty() || is_stamped, "{sent:?}");
    assert_eq!(sent.reason, None);
    let is_in_window = sent.seq.wrapping_sub(m.snd_nxt) < 1 << 17;
    let is_acceptable = m.rcv_nxt.wrapping_sub(sent.ack) < 1 << 17;
    assert!(!is_in_window && !is_acceptable, "{sent:?} by chance: another key");
}

/// The peer that holds the connection answers with its own numbers (RFC 9293 §3.10.7.4 first).
fn answer(rig: &mut Rig<'_>) {
    let (rcv_nxt, snd_nxt) = (rig.model.snd_nxt, rig.model.rcv_nxt);
    let raw = support::rig::Raw { seq: snd_nxt, ack: rcv_nxt, flags: ACK, wnd: 1_000, ..Default::default() };
    let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
}

/// The answer drew the RST that the peer must believe.
fn assert_reset(rig: &Rig<'_>) {
    let sent = rig.engine.only();
    assert_eq!((sent.flags, sent.seq, sent.ack), (RST, rig.model.snd_nxt, 0), "{sent:?}");
}

/// A peer without the connection answers the probe (RFC 9293 §3.10.7.1).
fn deny(rig: &mut Rig<'_>, probe: &Sent) {
    let raw = support::rig::Raw { seq: probe.ack, flags: RST, ..Default::default() };
    let _ = rig.engine.arrive(rig.peer, rig.us, &raw);
}

/// What was told of lost peers, in order.
fn fates(rig: &Rig<'_>) -> Vec<Fate> {
    let fate = |event: &Event| if let Event::LostPeer(_, fate) = event { Some(*fate) } else { None };
    rig.engine.events.iter().filter_map(fate).collect()
}

fn lost(rig: &Rig<'_>) -> Vec<LostPeer> {
    rig.engine.tcp.lost_peers().collect()
}

/// Nobody is asked any more, nothing is due, and the next start finds nothing.
fn assert_done(rig: &Rig<'_>, journal: &Memory) {
    assert_eq!((rig.engine.sent.len(), rig.engine.deadline), (0, None));
    assert!(lost(rig).iter().all(|peer| peer.fate.is_some()), "{:?}", lost(rig));
    assert_eq!(found_next(rig.family, journal), 0);
}

/// How many peers the next start finds.
fn found_next(family: Family, journal: &Memory) -> u32 {
    let copy = copy(journal);
    life(family, &copy, 99, |rig| rig.engine.tcp.counters().journal.found)
}

fn copy(journal: &Memory) -> Memory {
    let copy = Memory::new();
    let mut at = 0;
    while let Some(bytes) = journal.record(at) {
        copy.set_record(at, &bytes);
        at += 1;
    }
    copy
}
