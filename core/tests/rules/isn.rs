//! Initial sequence numbers and their key (RFC 6528).

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::SecretKey;

use crate::checks::config;
use crate::support::family::{Family, over_each};
use crate::support::rig;
use crate::support::rig::reach::{dial, knock};
use crate::support::rig::{Engine, PEER_ISN, Rig, START, Store, peer};

#[test]
fn weak_key_is_refused() {
    for byte in [0, 0xff, 0x41] {
        assert!(SecretKey::new([byte; 16]).is_err());
    }
    let mut bytes = [0; 16];
    bytes[15] = 1;
    assert!(SecretKey::new(bytes).is_ok());
}

/// The ISS of an active open and of a listener's SYN,ACK, from the same endpoints.
fn isns(seed: u8, micros: u64, peer: SocketAddr) -> (u32, u32) {
    let start = START + Duration::from_micros(micros);
    let iss = |open: fn(&mut Rig<'_>)| {
        let mut store = Box::new(Store::new());
        let mut rig =
            Rig::new(Engine::with(&mut *store, config(), rig::key(seed), start), Family::of(peer.ip()), PEER_ISN);
        rig.peer = peer;
        open(&mut rig);
        rig.model.iss
    };
    (iss(dial), iss(knock))
}

#[test]
fn isn_depends_on_tuple_key_and_clock() {
    over_each(|family| {
        let peer = peer(family);
        let (active, passive) = isns(1, 0, peer);
        let later = isns(1, 4_000, peer);
        let grown = (later.0.wrapping_sub(active), later.1.wrapping_sub(passive));
        assert_eq!(grown, (1_000, 1_000), "one more each 4 us");
        let other_port = SocketAddr::new(peer.ip(), peer.port() + 1);
        let other_address = SocketAddr::new(family.host(9), peer.port());
        for other in [isns(2, 0, peer), isns(1, 0, other_port), isns(1, 0, other_address)] {
            let distance = (other.0.wrapping_sub(active), other.1.wrapping_sub(passive));
            assert!(distance.0 > 10_000 && distance.1 > 10_000, "no relation: {distance:?}");
        }
        let mut seen: Vec<u32> = (1..=200).map(|n| isns(1, 0, SocketAddr::new(peer.ip(), n)).0).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 200);
    });
}
