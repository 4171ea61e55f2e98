//! How much text a segment carries (RFC 9293 §3.7.1, RFC 8200 §5).

use tcp_reset_core::{Config, MIN_MTU_IPV6, MSS_DEFAULT, MSS_DEFAULT_IPV6, StreamOptions};

use crate::support::family::{Family, over_each};
use crate::support::packet::segment::{offered_kinds, options_of};
use crate::support::rig::{Engine, LargeStore, PEER_ISN, Raw, Rig};
use crate::support::table::{ACK, SYN};

/// Headers of IPv6 and TCP, without options.
const HEADERS: u16 = 40 + 20;

fn large() -> StreamOptions {
    StreamOptions { rx_buffer: 8_192, tx_buffer: 8_192, ..StreamOptions::default() }
}

/// A connection that we open, to a peer that announces its MSS or does not.
fn opened<'s>(store: &'s mut LargeStore, family: Family, config: Config, options: &[u8]) -> Rig<'s> {
    let mut rig = Rig::new(Engine::new(store, config), family, PEER_ISN);
    rig.dial_with(large());
    let ack = rig.model.snd_nxt;
    let syn_ack = Raw { seq: PEER_ISN, ack, flags: SYN | ACK, wnd: 60_000, options, ..Raw::default() };
    let _ = rig.engine.arrive(rig.peer, rig.us, &syn_ack);
    rig
}

/// MUST-15: "1220 for IPv6", which fits into the MTU that every IPv6 link has.
#[test]
fn without_option_segments_fill_the_minimum_mtu() {
    assert_eq!((MSS_DEFAULT, MSS_DEFAULT_IPV6, MIN_MTU_IPV6), (536, 1_220, 1_280));
    let mut store = Box::new(LargeStore::new());
    let mut rig = opened(&mut store, Family::V6, Config::default(), &[]);
    assert_eq!(rig.status().unwrap().mss, 1_220);
    rig.send(3_000);
    let longest = rig.engine.sent.iter().map(|sent| sent.text.len() as u16).max().unwrap();
    assert_eq!(longest + HEADERS, MIN_MTU_IPV6);
}

#[test]
fn without_option_a_small_mtu_of_ours_still_counts() {
    let mut store = Box::new(LargeStore::new());
    let config = Config { mss: Some(1_000), ..Config::default() };
    assert_eq!(opened(&mut store, Family::V6, config, &[]).status().unwrap().mss, 980);
    assert_eq!(opened(&mut store, Family::V4, config, &[]).status().unwrap().mss, 536);
}

/// The setting is what fits over IPv4; what is announced and what is sent leaves room for the longer header.
#[test]
fn announced_and_sent_segments_are_twenty_bytes_shorter() {
    over_each(|family| {
        for mss in [84, 536, 1_000, 1_280, 1_460] {
            let mut store = Box::new(LargeStore::new());
            let config = Config { mss: Some(mss), ..Config::default() };
            let expected = mss - family.mss_less();
            let [high, low] = expected.to_be_bytes();
            let mut rig = Rig::new(Engine::new(&mut *store, config), family, PEER_ISN);
            rig.dial_with(large());
            let options = options_of(&rig.engine.only().options);
            assert_eq!(options[0], (2, &[high, low][..]), "SYN, {mss}");
            let others: Vec<u8> = options[1..].iter().map(|(kind, _)| *kind).collect();
            assert_eq!(others, offered_kinds(), "SYN, {mss}");
            let rig = opened(&mut store, family, config, &[2, 4, 0xff, 0xff]);
            assert_eq!(rig.status().unwrap().mss, expected, "{mss}");
            let mut rig = Rig::new(Engine::new(&mut *store, config), family, PEER_ISN);
            rig.listen(Default::default());
            let _ = rig.say(SYN, 0);
            assert_eq!(rig.engine.only().options, [2, 4, high, low], "SYN,ACK, {mss}");
        }
    });
}

/// MUST-16: no segment is longer than what the peer said it takes. What one of us announces, another of us keeps to, however small
/// the setting is.
#[test]
fn announced_size_is_kept_to_by_our_own_sender() {
    over_each(|family| {
        for mss in [64, 65, 83, 84, 85, 100] {
            let (mut store, mut other) = (Box::new(LargeStore::new()), Box::new(LargeStore::new()));
            let mut rig =
                Rig::new(Engine::new(&mut *store, Config { mss: Some(mss), ..Config::default() }), family, PEER_ISN);
            rig.dial_with(large());
            let option = rig.engine.only().options.clone();
            let announced = u16::from_be_bytes([option[2], option[3]]);
            let sender = opened(&mut other, family, Config::default(), &option);
            assert!(sender.status().unwrap().mss <= announced, "{mss}: {announced}");
        }
    });
}
