//! A freed slot must not be found by a segment from nobody to nobody: its endpoints are all zeros, and `last_connection` still names it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium, Received};
use tcp_reset_core::{
    Action, Arrival, ChecksumBy, Config, Event, Instant, LinkAddr, Rule, SecretKey, Storage, StreamOptions, Tcp,
};

use crate::support::packet::segment::offered_len;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// A link whose last connection was refused and whose application has let go.
fn link_with_freed_slot(storage: &mut Storage<2, 1, 2, 2, 4096>) -> Link<'_> {
    let config = Config { checksum: Some(ChecksumBy::Hardware), ..Config::default() };
    let tcp = Tcp::new(storage, config, SecretKey::new(core::array::from_fn(|i| i as u8)).unwrap()).unwrap();
    let mut link = Link::new(tcp, Medium::Ip, ChecksumBy::Hardware);
    link.set_addresses(&[Interface { addr: OURS.into(), prefix: 24 }], []).unwrap();
    let now = Instant::from_micros(1_000_000);
    let options = StreamOptions { rx_buffer: 256, tx_buffer: 256, ..StreamOptions::DEFAULT };
    let c = link.connect(now, 0, SocketAddr::from((PEER, 80)), options).unwrap();
    let mut buf = [0; 1514];
    let len = match link.poll_output(now) {
        LinkOutput::Transmit(frame) => frame.emit(&mut buf).unwrap(),
        LinkOutput::Event(_) | LinkOutput::Timeout(_) => panic!("no SYN goes out"),
    };
    assert_eq!(len, 44 + offered_len());
    // <ACK=ISS+1><RST,ACK>
    let mut rst = [0; 20];
    rst[0..2].copy_from_slice(&80_u16.to_be_bytes());
    rst[2..4].copy_from_slice(&buf[20..22]);
    let iss = u32::from_be_bytes(buf[24..28].try_into().unwrap());
    rst[8..12].copy_from_slice(&iss.wrapping_add(1).to_be_bytes());
    rst[12] = 5 << 4;
    rst[13] = 0x14;
    let arrival = Arrival { src: PEER.into(), dst: OURS.into(), link_addr: LinkAddr::default() };
    let verdict = link.tcp().handle_segment(now, &arrival, &rst);
    assert!(matches!(verdict.action, Action::Ended(_)), "{verdict:?}");
    assert!(matches!(link.poll_output(now), LinkOutput::Event(Event::Closed(..))));
    link.tcp().close(now, c).unwrap();
    link
}

fn syn_between_zeros() -> [u8; 20] {
    let mut syn = [0; 20];
    syn[12] = 5 << 4;
    syn[13] = 0x02;
    syn
}

#[test]
fn freed_slot_and_zero_endpoints_are_not_answered() {
    let zero: IpAddr = if cfg!(feature = "ipv6") { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let mut storage = Storage::new();
    let mut link = link_with_freed_slot(&mut storage);
    let arrival = Arrival { src: zero, dst: zero, link_addr: LinkAddr::default() };
    let now = Instant::from_micros(2_000_000);
    let verdict = link.tcp().handle_segment(now, &arrival, &syn_between_zeros());
    assert_eq!((verdict.rule, verdict.action), (Rule::NotAnswerable, Action::Dropped));
}

#[test]
fn freed_slot_and_packet_from_unspecified_to_unspecified_is_not_for_us() {
    let mut storage = Storage::new();
    let mut link = link_with_freed_slot(&mut storage);
    let packet: Vec<u8> = if cfg!(feature = "ipv6") {
        let mut packet = vec![0; 40];
        (packet[0], packet[5], packet[6], packet[7]) = (0x60, 20, 6, 64);
        packet.extend(syn_between_zeros());
        packet
    } else {
        let mut packet = vec![0; 20];
        (packet[0], packet[3], packet[8], packet[9]) = (0x45, 40, 64, 6);
        packet.extend(syn_between_zeros());
        packet
    };
    let now = Instant::from_micros(2_000_000);
    let received = link.handle_frame(now, &packet);
    let output = matches!(link.poll_output(now), LinkOutput::Transmit(_));
    assert!(!output, "answered: {received:?}");
    assert_eq!(received, Received::OtherTcp);
}
