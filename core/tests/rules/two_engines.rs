//! Two of our engines: orderly ends, idle days, a peer that crashed or rebooted.

use std::time::Duration;

use tcp_reset_core::{
    CloseReason, Config, ConnectionHandle, Event, LinkAddr, ListenOptions, Rule, State, StreamOptions,
};

use crate::checks::config;
use crate::support::family::{Family, over_each};
use crate::support::rig;
use crate::support::rig::{Engine, LargeStore, Pair, START, Store, peer, us};
use crate::support::table::{ACK, RST, SYN};

fn stream_options() -> StreamOptions {
    StreamOptions { rx_buffer: 1_024, tx_buffer: 1_024, ..StreamOptions::default() }
}

/// Two engines of ours, over each family; `a` listens and `b` has connected to it.
fn on_pair(test: impl Fn(&mut Pair<'_>, ConnectionHandle, ConnectionHandle)) {
    over_each(|family| {
        let (mut left, mut right) = (Box::new(LargeStore::new()), Box::new(LargeStore::new()));
        let a = Engine::with(&mut *left, Config::default(), rig::key(1), START);
        let b = Engine::with(&mut *right, Config::default(), rig::key(2), START);
        let mut pair = Pair::new(family, a, b);
        let options = ListenOptions { stream: stream_options(), ..ListenOptions::default() };
        let listener = pair.a.tcp.listen(us(family), options).unwrap();
        let at_b = dial_from(&mut pair.b, family);
        pair.carry();
        let at_a = pair.a.tcp.accept(pair.a.now, listener).unwrap();
        pair.a.drain();
        test(&mut pair, at_a, at_b);
    });
}

fn dial_from(engine: &mut Engine<'_>, family: Family) -> ConnectionHandle {
    let (local, remote) = (peer(family), us(family));
    let handle = engine.tcp.connect(engine.now, local, remote, Some(LinkAddr::default()), stream_options()).unwrap();
    engine.drain();
    handle
}

/// Sends what fits of `bytes` from `sent` on and reads what there is into `got`.
fn pump(engine: &mut Engine<'_>, handle: ConnectionHandle, bytes: &[u8], sent: &mut usize, got: &mut Vec<u8>) {
    if let Ok(count) = engine.tcp.send(engine.now, handle, &bytes[*sent..]) {
        *sent += count;
    }
    let mut buffer = [0; 300];
    if let Ok(count) = engine.tcp.recv(engine.now, handle, &mut buffer) {
        got.extend(&buffer[..count]);
    }
    let before = std::mem::take(&mut engine.sent);
    engine.drain();
    engine.sent.splice(0..0, before);
}

#[test]
fn established_idle_for_days_still_carries_data() {
    on_pair(|pair, at_a, at_b| {
        let (up, down) = (rig::stream(1, 20_000), rig::stream(77, 20_000));
        for lose_each in [0, 7] {
            pair.lose_each = 0;
            pair.wait(Duration::from_secs(5 * 24 * 3_600));
            pair.lose_each = lose_each;
            let (mut sent_up, mut sent_down, mut got_up, mut got_down) = (0, 0, Vec::new(), Vec::new());
            for _ in 0..20_000 {
                pump(&mut pair.b, at_b, &up, &mut sent_up, &mut got_down);
                pump(&mut pair.a, at_a, &down, &mut sent_down, &mut got_up);
                pair.wait(Duration::from_millis(50));
                if got_up.len() == up.len() && got_down.len() == down.len() {
                    break;
                }
            }
            assert!(got_up == up, "each byte once and in order: {} of {}", got_up.len(), up.len());
            assert!(got_down == down, "each byte once and in order: {} of {}", got_down.len(), down.len());
        }
    });
}

#[test]
fn established_orderly_close_ends_both_sides() {
    on_pair(|pair, at_a, at_b| {
        pair.b.tcp.shutdown(pair.b.now, at_b).unwrap();
        pair.b.drain();
        pair.wait(Duration::from_secs(1));
        assert_eq!(pair.a.tcp.status(at_a).unwrap().state, State::CloseWait);
        assert_eq!(pair.b.tcp.status(at_b).unwrap().state, State::FinWait2);
        pair.a.tcp.shutdown(pair.a.now, at_a).unwrap();
        pair.a.drain();
        pair.wait(Duration::from_secs(1));
        assert!(pair.a.events.contains(&Event::Closed(at_a, CloseReason::PeerClosed)), "{:?}", pair.a.events);
        assert!(pair.b.events.contains(&Event::Closed(at_b, CloseReason::LocalClosed)), "{:?}", pair.b.events);
        assert_eq!(pair.b.tcp.recv(pair.b.now, at_b, &mut [0]), Ok(0));
        assert!(pair.log.iter().all(|(_, flags)| flags & RST == 0));
    });
}

#[test]
fn rebooted_peer_syn_resets_and_reconnects() {
    on_pair(|pair, at_a, _| {
        let mut fresh = Box::new(LargeStore::new());
        let now = pair.b.now + Duration::from_secs(10);
        let mut a = take(pair);
        a.now = now;
        let b = Engine::with(&mut *fresh, Config::default(), rig::key(3), now);
        let mut pair = Pair::new(pair.family, a, b);
        let at_b = dial_from(&mut pair.b, pair.family);
        pair.carry();
        let (server, client) = (us(pair.family).ip(), peer(pair.family).ip());
        let (reset, anew) = pair.log.split_at(3);
        assert_eq!(reset, [(client, SYN), (server, ACK), (client, RST)], "SYN, challenge, RST");
        assert_eq!(anew, [(client, SYN), (server, SYN | ACK), (client, ACK)], "and at once the next SYN");
        assert!(pair.a.events.contains(&Event::Closed(at_a, CloseReason::ResetByPeer)), "{:?}", pair.a.events);
        assert_eq!(pair.b.tcp.status(at_b).unwrap().state, State::Established, "the next SYN succeeds");
        assert_eq!(pair.a.tcp.counters().rule(Rule::SynSynchronized), 1);
        assert_eq!(pair.b.tcp.counters().rule(Rule::SynSentBadAck), 1);
    });
}

/// Takes the surviving side out of a pair whose other side has rebooted.
fn take<'s>(pair: &mut Pair<'s>) -> Engine<'s> {
    let nobody = Box::leak(Box::new(Store::new()));
    std::mem::replace(&mut pair.a, Engine::new(nobody, config()))
}

#[test]
fn crashed_peer_payload_draws_rst_and_ends() {
    on_pair(|pair, at_a, _| {
        let mut fresh = Box::new(LargeStore::new());
        let a = take(pair);
        let b = Engine::with(&mut *fresh, Config::default(), rig::key(3), START);
        let mut pair = Pair::new(pair.family, a, b);
        pair.a.tcp.send(pair.a.now, at_a, b"are you there?").unwrap();
        pair.a.drain();
        pair.carry();
        assert_eq!(pair.b.tcp.counters().rule(Rule::ClosedAck), 1);
        assert_eq!(pair.a.tcp.counters().rule(Rule::RstExact), 1);
        assert_eq!(pair.a.events.last(), Some(&Event::Closed(at_a, CloseReason::ResetByPeer)));
    });
}
