//! Devices that take little, or nothing for a while.

use std::time::Duration;

use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{CloseReason, Error, ListenOptions, StreamOptions, Timer};

use crate::clock;
use crate::exec::World;
use crate::hosts::{Conn, HOST, Host, OTHER, RAW, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{self, ACK, PSH};
use crate::streams::{echo_between, pattern, read_to_end, write_all};

/// A device whose receiving does not depend on its sending, already full and stuck.
fn full_device(world: &mut World, host: &Host, raw: &Raw) {
    host.port.set(|port| {
        port.needs_tx_to_receive = false;
        port.is_stuck = true;
    });
    while host.port.waiting() < host.port.0.borrow().tx_slots {
        raw.send_packet(host.mac(), &packet::echo_request(RAW, HOST, b"fills a slot"));
        world.run_ms(2);
    }
}

#[test]
fn device_with_one_slot_bulk_arrives_unchanged() {
    for (one, two) in [(1, 1), (1, 2), (2, 1)] {
        let mut world = World::new();
        let ports = [HOST, OTHER].map(|addr| PortRef::new(Some(mac_of(addr))));
        ports[0].set(|port| port.tx_slots = one);
        ports[1].set(|port| port.tx_slots = two);
        let a = world.host_on(ports[0].clone(), HOST);
        let b = world.host_on(ports[1].clone(), OTHER);
        echo_between(&mut world, &a, &b, 300_000, Duration::from_secs(120));
    }
}

#[test]
fn device_stuck_for_a_while_nothing_is_lost() {
    for needs_tx_to_receive in [false, true] {
        let (mut world, a, b) = World::two_hosts();
        a.port.set(|port| {
            port.tx_slots = 2;
            port.needs_tx_to_receive = needs_tx_to_receive;
        });
        let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
        let sending = world.spawn(async move {
            write_all(&mut one, &pattern(200_000)).await.unwrap();
            one.shutdown().unwrap();
            one.closed().await
        });
        let receiving = world.spawn(async move {
            let got = read_to_end(&mut two).await;
            two.shutdown().unwrap();
            two.closed().await;
            got
        });
        for _ in 0..5 {
            world.run_ms(4);
            a.port.set(|port| port.is_stuck = true);
            world.run_ms(7_000);
            a.port.set(|port| port.is_stuck = false);
        }
        assert!(world.join_for(Duration::from_secs(300), &receiving) == Ok(pattern(200_000)));
        assert_eq!(world.join(&sending), CloseReason::LocalClosed);
    }
}

#[test]
fn device_stuck_forever_connection_times_out_by_r2() {
    for needs_tx_to_receive in [true, false] {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, _conn) = world.accepted(&host, &raw, 7);
        host.port.set(|port| {
            port.needs_tx_to_receive = needs_tx_to_receive;
            port.is_stuck = true;
        });
        let begin = clock::now();
        world.block_on(stream.write(&pattern(4_000))).unwrap();
        let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
        let is_done = world.run_until(Duration::from_secs(400), || reading.is_done());
        let status: Vec<_> = host.tcp.inspect(|link| link.tcp_ref().connections().collect());
        println!("what the core knows: {status:?}");
        assert!(is_done, "the reader is not told");
        assert_eq!(reading.take(), Some(Err(Error::Closed(CloseReason::TimedOut(Timer::Retransmission)))));
        assert!(clock::now() - begin >= 100_000_000);
    }
}

/// The device was full before: not one byte of the connection has left.
#[test]
fn device_full_before_the_first_byte_connection_waits_and_then_sends() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    full_device(&mut world, &host, &raw);
    world.block_on(stream.write(&pattern(4_000))).unwrap();
    world.run_for(Duration::from_secs(90));
    assert_eq!(stream.status().unwrap().closed, None);
    let mark = host.port.mark();
    host.port.set(|port| port.is_stuck = false);
    world.run_ms(10);
    let begin = pattern(4_000)[..100].to_vec();
    let frames = host.port.sent_since(mark);
    assert!(frames.iter().any(|frame| frame.windows(100).any(|bytes| bytes == begin)), "the text does not leave");
}

/// A device that never takes anything again holds no connection for ever.
#[test]
fn device_full_for_ever_connection_times_out_by_r2() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    full_device(&mut world, &host, &raw);
    world.block_on(stream.write(&pattern(4_000))).unwrap();
    let begin = clock::now();
    let reason = world.block_on_for(Duration::from_secs(110), stream.closed());
    assert_eq!(reason, CloseReason::TimedOut(Timer::Retransmission));
    assert!(clock::now() - begin >= 100_000_000);
    drop(stream);
    world.run_for(Duration::from_secs(61));
    assert_eq!(host.in_use(), (0, 0, 0), "its RST is given up after the orphan limit");
}

#[test]
fn device_full_connecting_times_out_after_three_minutes() {
    let (mut world, host, raw) = World::host_and_raw();
    full_device(&mut world, &host, &raw);
    host.port.set(|port| port.needs_tx_to_receive = true);
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((OTHER, 7), StreamOptions::default()).await });
    world.run_for(Duration::from_secs(500));
    let status: Vec<_> = host.tcp.inspect(|link| link.tcp_ref().connections().collect());
    println!("what the core knows: {status:?}");
    let expected = Error::Closed(CloseReason::TimedOut(Timer::Connect));
    assert_eq!(connecting.take().map(|result| result.err()), Some(Some(expected)));
}

fn reads_while_full(world: &mut World, mut stream: TcpStream, conn: &mut Conn) {
    let reading = world.spawn(async move {
        let mut buf = [0; 10];
        let first = stream.read(&mut buf).await;
        (first, stream.read(&mut buf).await)
    });
    world.run_ms(10);
    conn.send(ACK | PSH, b"hello");
    world.run_ms(100);
    conn.send(crate::packet::RST, b"");
    world.run_ms(100);
    let reset = Err(Error::Closed(CloseReason::ResetByPeer));
    assert_eq!(reading.take(), Some((Ok(5), reset)), "what comes in does not wait for what cannot go out");
}

#[test]
fn device_full_reader_is_told_what_came() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    full_device(&mut world, &host, &raw);
    reads_while_full(&mut world, stream, &mut conn);
}

/// The same while a question for a neighbor waits for the device.
#[test]
fn device_full_question_waiting_reader_is_told_what_came() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    full_device(&mut world, &host, &raw);
    let tcp = host.tcp;
    let _connecting = world.spawn(async move { tcp.connect((OTHER, 7), StreamOptions::default()).await.is_ok() });
    world.run_ms(10);
    reads_while_full(&mut world, stream, &mut conn);
}

#[test]
fn device_full_listener_tells_a_connection_that_is_complete() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let mut conn = raw.conn(&host, 40_000, 7);
    conn.send(crate::packet::SYN, b"");
    world.run_ms(2);
    conn.take();
    let accepting = world.spawn(async move { listener.accept().await.is_ok() });
    full_device(&mut world, &host, &raw);
    conn.send(ACK | PSH, b"data");
    world.run_ms(10);
    assert_eq!(accepting.take(), Some(true));
}

#[test]
fn device_full_half_open_entry_expires_in_time() {
    let (mut world, host, raw) = World::host_and_raw();
    let _listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    full_device(&mut world, &host, &raw);
    raw.conn(&host, 40_000, 7).send(crate::packet::SYN, b"");
    world.run_for(Duration::from_secs(29));
    assert_eq!(host.in_use(), (0, 1, 0));
    world.run_for(Duration::from_secs(62));
    assert_eq!(host.in_use(), (0, 0, 0), "neither a deadline nor an RST waits for the device for ever");
}

/// 10 Mbit/s and few slots: TCP could take every slot that becomes free.
#[test]
fn slow_device_bulk_and_echo_requests_share_it() {
    for tx_slots in [1, 2, 4] {
        let mut world = World::new();
        let port = PortRef::new(Some(mac_of(HOST)));
        port.set(|port| {
            port.tx_slots = tx_slots;
            port.frame_time = 1_200;
        });
        let a = world.host_on(port, HOST);
        let (b, raw) = (world.host(OTHER), world.raw(RAW));
        let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
        raw.send_packet(a.mac(), &packet::echo_request(RAW, HOST, b"embassy-net asks for us first"));
        world.run_ms(10);
        raw.take();
        let sending = world.spawn(async move { write_all(&mut one, &pattern(2_000_000)).await });
        let _receiving = world.spawn(async move { read_to_end(&mut two).await });
        for _ in 0..20 {
            raw.send_packet(a.mac(), &packet::echo_request(RAW, HOST, b"x"));
            world.run_ms(50);
        }
        assert!(!sending.is_done(), "the transfer is under way");
        let answers = raw.take().len();
        assert!(answers >= 18, "{tx_slots} slots: {answers} of 20 answered");
    }
}
