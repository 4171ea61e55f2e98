//! Who computes and who verifies TCP's checksum over IPv6, whose header has none of its own.

use embassy_net_driver::Checksum;
use tcp_reset_core::{ListenOptions, StreamOptions};

use super::{HOST_V6, Live, RAW_V6, of_both};
use crate::checksums::{ALL, is_filled_in_software, is_verified_in_software};
use crate::exec::World;
use crate::hosts::{HOST, Host, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{self, ACK, RST, SYN, on_ethernet, solicitation_of};

/// Offsets in an Ethernet frame.
const SOURCE_END: usize = 14 + 8 + 15;
const TCP_SUM: usize = 54 + 16;

fn host_with(ipv4: Checksum, tcp: Checksum) -> (World, Host, Raw) {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| {
        port.ipv4_checksum = ipv4;
        port.tcp_checksum = tcp;
    });
    let host = world.host_with(port, of_both(HOST, HOST_V6), Default::default());
    let raw = world.raw(RAW_V6);
    (world, host, raw)
}

/// Checks the last frame the host has sent.
fn assert_sum(host: &Host, tcp: Checksum, what: &str) {
    let frame = host.port.sent_since(0).pop().unwrap();
    let (_, is_right) = packet::are_checksums_right(&frame[14..]);
    match is_filled_in_software(tcp) {
        true => assert!(is_right && frame[TCP_SUM..TCP_SUM + 2] != [0, 0], "{what}, TCP {tcp:?}"),
        false => assert_eq!(frame[TCP_SUM..TCP_SUM + 2], [0, 0], "{what}, TCP {tcp:?}"),
    }
}

/// What the device does for IPv4's header has no bearing on it; a solicitation is ours to fill in whatever the device does for TCP.
#[test]
fn device_capability_decides_what_is_filled_in() {
    for (ipv4, tcp) in ALL.iter().flat_map(|&ipv4| ALL.map(|tcp| (ipv4, tcp))) {
        let (mut world, host, raw) = host_with(ipv4, tcp);
        raw.conn(&host, 40_000, 99).send(SYN, b"");
        world.run_ms(2);
        assert_sum(&host, tcp, "RST");

        let Live { mut stream, .. } = Live::accept(&mut world, &host, &raw);
        assert_sum(&host, tcp, "SYN,ACK");
        world.block_on(stream.write(b"odd text.")).unwrap();
        world.run_ms(2);
        assert_sum(&host, tcp, "text");

        let tcp_stack = host.tcp;
        world.spawn(async move { tcp_stack.connect((RAW_V6, 7), StreamOptions::default()).await.is_ok() });
        world.run_ms(2);
        assert_sum(&host, tcp, "SYN");
        let frames = host.port.sent_since(0);
        let mut questions = frames.iter().filter(|frame| solicitation_of(&packet::parse(frame).body).is_some());
        assert!(questions.next().is_some_and(|frame| packet::are_checksums_right(&frame[14..]).1));
    }
}

/// The sum covers the addresses: one of them changed on the way shows too.
#[test]
fn device_capability_decides_what_is_verified() {
    for tcp in ALL {
        for at in [TCP_SUM, SOURCE_END] {
            let (mut world, host, raw) = host_with(Checksum::Both, tcp);
            let _listener = host.tcp.listen((HOST_V6, 7), ListenOptions::default()).unwrap();
            let syn = raw.conn(&host, 40_000, 7).segment(SYN, b"").packet();
            let mut bad = on_ethernet(host.mac(), raw.mac, &syn);
            bad[at] ^= 0x40;
            raw.port.send(bad);
            world.run_ms(2);
            let got = raw.take_segments();
            let is_taken = matches!(&got[..], [seg] if seg.flags == SYN | ACK);
            assert!(is_taken || got.is_empty(), "{got:?}");
            assert_eq!(is_taken, !is_verified_in_software(tcp), "byte {at}, TCP {tcp:?}");
            raw.send_packet(host.mac(), &syn);
            world.run_ms(2);
            assert!(raw.take_segments().iter().all(|seg| !seg.has(RST)));
        }
    }
}
