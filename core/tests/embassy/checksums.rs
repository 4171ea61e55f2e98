//! Who computes and who verifies a checksum, as the device says it.

use embassy_net_driver::Checksum;
use tcp_reset_core::{ListenOptions, StreamOptions};

use crate::exec::World;
use crate::hosts::{HOST, Host, RAW, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{self, ACK, IPV4, RST, SYN};

/// Offsets in an Ethernet frame.
const IPV4_SUM: usize = 14 + 10;
const TCP_SUM: usize = 34 + 16;

pub const ALL: [Checksum; 4] = [Checksum::Both, Checksum::Rx, Checksum::Tx, Checksum::None];

pub fn is_filled_in_software(by: Checksum) -> bool {
    matches!(by, Checksum::Both | Checksum::Tx)
}

pub fn is_verified_in_software(by: Checksum) -> bool {
    matches!(by, Checksum::Both | Checksum::Rx)
}

fn host_with(ipv4: Checksum, tcp: Checksum) -> (World, Host, Raw) {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| {
        port.ipv4_checksum = ipv4;
        port.tcp_checksum = tcp;
    });
    let host = world.host_on(port, HOST);
    let raw = world.raw(RAW);
    (world, host, raw)
}

/// Checks the last frame the host has sent.
fn assert_sums(host: &Host, ipv4: Checksum, tcp: Checksum, what: &str) {
    let frame = host.port.sent_since(0).pop().unwrap();
    let (ipv4_sum, tcp_sum) = packet::checksum_fields(&frame);
    let (is_ipv4_right, is_tcp_right) = packet::are_checksums_right(&frame[14..]);
    let case = format!("{what}, IPv4 {ipv4:?}, TCP {tcp:?}");
    match is_filled_in_software(ipv4) {
        true => assert!(is_ipv4_right && ipv4_sum != 0, "{case}"),
        false => assert_eq!(ipv4_sum, 0, "{case}"),
    }
    match is_filled_in_software(tcp) {
        true => assert!(is_tcp_right && tcp_sum != 0, "{case}"),
        false => assert_eq!(tcp_sum, 0, "{case}"),
    }
}

#[test]
fn device_capability_decides_what_is_filled_in() {
    for ipv4 in ALL {
        for tcp in ALL {
            let (mut world, host, raw) = host_with(ipv4, tcp);
            raw.conn(&host, 40_000, 99).send(SYN, b"");
            world.run_ms(2);
            assert_sums(&host, ipv4, tcp, "RST");

            let (mut stream, _conn) = world.accepted(&host, &raw, 7);
            assert_sums(&host, ipv4, tcp, "SYN,ACK");
            world.block_on(stream.write(b"odd text")).unwrap();
            world.run_ms(2);
            assert_sums(&host, ipv4, tcp, "text");

            let tcp_stack = host.tcp;
            world.spawn(async move { tcp_stack.connect((RAW, 7), StreamOptions::default()).await.is_ok() });
            world.run_ms(2);
            assert_sums(&host, ipv4, tcp, "SYN");
        }
    }
}

#[test]
fn device_capability_decides_what_is_verified() {
    for ipv4 in ALL {
        for tcp in ALL {
            for (at, by) in [(IPV4_SUM, ipv4), (TCP_SUM, tcp)] {
                let (mut world, host, raw) = host_with(ipv4, tcp);
                let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
                let syn = raw.conn(&host, 40_000, 7).segment(SYN, b"").packet();
                let good = packet::ethernet(host.mac(), raw.mac, IPV4, &syn);
                let mut bad = good.clone();
                bad[at] ^= 0x40;
                raw.port.send(bad);
                world.run_ms(2);
                let got = raw.take_segments();
                let is_taken = matches!(&got[..], [seg] if seg.flags == SYN | ACK);
                assert!(is_taken || got.is_empty(), "{got:?}");
                assert_eq!(is_taken, !is_verified_in_software(by), "byte {at}, IPv4 {ipv4:?}, TCP {tcp:?}");
                raw.port.send(good);
                world.run_ms(2);
                assert!(raw.take_segments().iter().all(|seg| !seg.has(RST)));
                assert_eq!(host.in_use(), (0, 1, 0));
            }
        }
    }
}
