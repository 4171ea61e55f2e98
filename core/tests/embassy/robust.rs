//! Bad neighbors, bad peers, floods and garbage.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use tcp_reset_core::embassy::{FRAMES_PER_PASS, TcpStream};
use tcp_reset_core::{ListenOptions, StreamOptions};

use crate::clock;
use crate::exec::{World, give_way};
use crate::hosts::{HOST, Host, RAW, mac_of};
use crate::net::PortRef;
use crate::packet::{self, ACK, ARP, IPV4, PSH, SYN, Seg};
use crate::streams::{echo, write_all};

/// A small generator of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// One round trip of one byte, and how long it took in µs.
fn round_trip(world: &mut World, stream: &mut TcpStream) -> u64 {
    let begin = clock::now();
    world.block_on(async {
        stream.write(b"?").await.unwrap();
        stream.read(&mut [0]).await.unwrap();
    });
    clock::now() - begin
}

/// Connections to neighbors that are not there, more than are asked for at a time.
fn dead_ends(world: &mut World, host: &Host, count: u8) {
    for i in 0..count {
        let tcp = host.tcp;
        let dead = Ipv4Addr::new(10, 0, 0, 201 + i);
        world.spawn(async move { tcp.connect((dead, 7), StreamOptions::default()).await.is_ok() });
    }
}

#[test]
fn dead_neighbors_established_connection_is_not_delayed() {
    let (mut world, a, b) = World::two_hosts();
    let (accepted, mut stream) = world.pair(&a, &b, 7, ListenOptions::default());
    world.spawn(echo(accepted));
    dead_ends(&mut world, &b, 6);
    for _ in 0..100 {
        assert!(round_trip(&mut world, &mut stream) < 5_000);
        world.run_ms(77);
    }
}

#[test]
fn dead_neighbors_new_connection_waits_at_most_for_some_questions() {
    let (mut world, a, b) = World::two_hosts();
    let _listener = a.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    dead_ends(&mut world, &b, 7);
    world.run_ms(10);
    let begin = clock::now();
    assert!(world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).is_ok());
    assert!(clock::now() - begin < 4_000_000, "after {} us", clock::now() - begin);
}

#[test]
fn peer_that_never_reads_does_not_delay_others() {
    let (mut world, a, b) = World::two_hosts();
    let raw = world.raw(RAW);
    let (mut jammed, _conn) = world.accepted(&a, &raw, 8);
    world.spawn(async move { write_all(&mut jammed, &[1; 100_000]).await });
    let (_never_read, mut stuffed) = world.pair(&b, &a, 9, ListenOptions::default());
    world.spawn(async move { write_all(&mut stuffed, &[2; 100_000]).await });
    let (accepted, mut stream) = world.pair(&a, &b, 7, ListenOptions::default());
    world.spawn(echo(accepted));
    for _ in 0..200 {
        assert!(round_trip(&mut world, &mut stream) < 5_000);
        world.run_ms(113);
    }
}

/// Frames put into the device all at once, and how they are taken.
fn flood(frames: impl Iterator<Item = Vec<u8>>) {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| port.tx_slots = 64);
    let host = world.host_on(port, HOST);
    let raw = world.raw(RAW);
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let mut count = 0;
    for frame in frames {
        host.port.deliver(frame);
        count += 1;
    }
    let turns = Rc::new(Cell::new(0u64));
    let turned = turns.clone();
    let other = world.spawn(async move {
        while turned.get() < u64::MAX {
            turned.set(turned.get() + 1);
            give_way().await;
        }
    });
    let before = host.port.0.borrow().handed_in;
    let is_done = || host.port.0.borrow().rx.is_empty();
    assert!(world.run_until(Duration::from_secs(10), is_done), "the flood never ends");
    assert_eq!(host.port.0.borrow().handed_in - before, count);
    let most = host.polls.most_frames.get();
    assert!(most <= u64::from(FRAMES_PER_PASS), "{most} frames in one pass");
    assert!(most >= 8, "and not one by one: {most}");
    assert!(turns.get() >= count / u64::from(FRAMES_PER_PASS), "others had {} turns", turns.get());
    world.cancel(other);

    let at_rest = raw.conn(&host, 50_000, 9);
    raw.send_packet(host.mac(), &at_rest.segment(SYN, b"").packet());
    world.run_ms(10);
    assert!(raw.take_segments().iter().any(|seg| seg.dport == 50_000), "the host lives");
}

#[test]
fn flood_of_garbage_is_taken_in_passes() {
    let mut numbers = Numbers(7);
    flood((0..10_000).map(move |_| {
        let len = 14 + (numbers.next() % 100) as usize;
        let mut frame = numbers.bytes(len);
        frame[..6].copy_from_slice(&mac_of(HOST));
        frame
    }));
}

#[test]
fn flood_of_syns_is_taken_in_passes() {
    let mut numbers = Numbers(8);
    flood((0..10_000u32).map(move |i| {
        let dport = if i % 3 == 0 { 8 } else { 7 };
        let from = Ipv4Addr::from_bits(0x0a00_0100 + (i & 0xff));
        let syn = seg(from, (numbers.next() as u16).max(1), dport, numbers.next() as u32, SYN);
        packet::ethernet(mac_of(HOST), mac_of(RAW), IPV4, &syn.packet())
    }));
}

fn seg(src: Ipv4Addr, sport: u16, dport: u16, seq: u32, flags: u8) -> Seg {
    Seg { src: src.into(), dst: HOST.into(), sport, dport, seq, ack: 0, flags, wnd: 1_000, mss: None, text: Vec::new() }
}

#[test]
fn flood_of_syns_established_connection_goes_on() {
    let (mut world, a, b) = World::two_hosts();
    let (accepted, mut stream) = world.pair(&a, &b, 7, ListenOptions::default());
    let _listener = a.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    world.spawn(echo(accepted));
    for round in 0..50u32 {
        for i in 0..100 {
            let syn = seg(RAW, 1_000 + i, 7, round, SYN);
            a.port.deliver(packet::ethernet(a.mac(), mac_of(RAW), IPV4, &syn.packet()));
        }
        assert!(round_trip(&mut world, &mut stream) < 1_000_000);
    }
}

/// Frames of every length: noise, and good frames cut off, with each of the protocols that are looked into.
#[test]
fn frames_of_every_length_panic_nowhere() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, conn) = world.accepted(&host, &raw, 7);
    let mut numbers = Numbers(9);
    let question = packet::arp(1, (raw.mac, RAW), ([0; 6], HOST));
    let good = [
        packet::ethernet(host.mac(), raw.mac, IPV4, &conn.segment(ACK | PSH, &[3; 160]).packet()),
        packet::ethernet(host.mac(), raw.mac, ARP, &question),
        packet::ethernet(host.mac(), raw.mac, IPV4, &packet::udp((RAW, 1), (HOST, 2), &[4; 160])),
    ];
    for len in 0..=200 {
        host.port.deliver(numbers.bytes(len));
        for (ethertype, byte) in [(IPV4, 0x45), (ARP, 0), (0x86dd, 0x60)] {
            let mut frame = packet::ethernet(host.mac(), raw.mac, ethertype, &numbers.bytes(200));
            frame[14] = byte;
            frame.truncate(len);
            host.port.deliver(frame);
        }
        for frame in &good {
            host.port.deliver(frame[..len.min(frame.len())].to_vec());
        }
        world.run_ms(1);
    }
    assert!(stream.status().unwrap().closed.is_none());
}

/// Good segments with some bytes changed and the checksums put right again, so that they get far.
#[test]
fn segments_with_bytes_changed_panic_nowhere() {
    let mut numbers = Numbers(10);
    for round in 0..40 {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, conn) = world.accepted(&host, &raw, 7);
        world.block_on(stream.write(&[5; 2_000])).unwrap();
        world.run_ms(5);
        for _ in 0..200 {
            let len = (numbers.next() % 64) as usize;
            let mut good = conn.segment(ACK | PSH, &numbers.bytes(len));
            if numbers.next().is_multiple_of(4) {
                good.seq = good.seq.wrapping_add(numbers.next() as u32 % 5_000).wrapping_sub(100);
            }
            if numbers.next().is_multiple_of(4) {
                good.ack = good.ack.wrapping_add(numbers.next() as u32 % 3_000);
            }
            let mut bytes = good.packet();
            for _ in 0..numbers.next() % 3 {
                // From TCP's ports on: with other addresses the segment would be for nobody.
                let at = 20 + (numbers.next() as usize) % (bytes.len() - 20);
                bytes[at] ^= 1 << (numbers.next() % 8);
            }
            put_right(&mut bytes);
            host.port.deliver(packet::ethernet(host.mac(), raw.mac, IPV4, &bytes));
            world.run_ms(numbers.next() % 30);
        }
        drop(stream);
        world.run_for(Duration::from_secs(300));
        assert_eq!((host.in_use().0, host.in_use().1), (0, 0), "round {round}");
    }
}

/// Makes TCP's checksum right.
fn put_right(packet: &mut [u8]) {
    packet[36..38].fill(0);
    let mut pseudo = packet[12..20].to_vec();
    pseudo.extend([0, 6]);
    pseudo.extend(((packet.len() - 20) as u16).to_be_bytes());
    let sum = packet::checksum(&[&pseudo, &packet[20..]]);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn seventeen_frames_waiting_take_two_passes() {
    let (mut world, host, raw) = World::host_and_raw();
    let before = host.polls.count.get();
    for _ in 0..17 {
        host.port.deliver(packet::ethernet(host.mac(), raw.mac, 0x88b5, &[0; 46]));
    }
    world.run_ms(1);
    assert_eq!(host.port.0.borrow().rx.len(), 0);
    assert_eq!(host.polls.most_frames.get(), 16);
    assert!(host.polls.count.get() - before <= 4, "{} passes", host.polls.count.get() - before);
}
