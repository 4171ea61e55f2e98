//! What dropping sends, and that everything dropped is given back in the end.

use std::time::Duration;

use tcp_reset_core::{CloseReason, Error, ListenOptions, StreamOptions};

use crate::clock;
use crate::exec::World;
use crate::hosts::{HOST, RAW};
use crate::packet::{ACK, FIN, PSH, RST, SYN};
use crate::streams::{pattern, read_to_end, write_all};

#[test]
fn written_then_dropped_data_arrives_before_the_end() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    world.block_on(write_all(&mut one, &pattern(4_000))).unwrap();
    drop(one);
    assert_eq!(world.block_on(read_to_end(&mut two)), Ok(pattern(4_000)));
    two.shutdown().unwrap();
    assert_eq!(world.block_on(two.closed()), CloseReason::PeerClosed);
    world.run_ms(10);
    assert_eq!(a.in_use(), (0, 0, 1), "only TIME-WAIT is left");
}

#[test]
fn written_then_dropped_peer_sees_data_then_fin() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    world.block_on(stream.write(b"bye")).unwrap();
    drop(stream);
    world.run_ms(5);
    conn.take();
    conn.send(ACK, b"");
    world.run_ms(5);
    conn.take();
    assert_eq!(conn.got, b"bye");
    let fins: Vec<_> = host.segments_since(0).into_iter().filter(|seg| seg.has(FIN)).collect();
    assert_eq!(fins.last().unwrap().seq.wrapping_add(fins.last().unwrap().len()), conn.ack);
    assert!(host.segments_since(0).iter().all(|seg| !seg.has(RST)));
}

#[test]
fn unread_data_dropped_sends_a_reset() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    conn.send(ACK | PSH, b"nobody reads this");
    world.run_ms(5);
    conn.take();
    drop(stream);
    world.run_ms(5);
    let got = conn.take();
    assert!(matches!(&got[..], [seg] if seg.has(RST) && seg.seq == conn.ack && seg.ack == conn.seq), "{got:?}");
    assert_eq!(host.in_use(), (0, 0, 0));
}

#[test]
fn dropped_more_data_comes_sends_a_reset() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    drop(stream);
    world.run_ms(5);
    conn.take();
    conn.send(ACK | PSH, b"too late");
    world.run_ms(5);
    let got = conn.take();
    assert!(matches!(&got[..], [seg] if seg.has(RST)), "{got:?}");
    assert_eq!(host.in_use(), (0, 0, 0));
}

#[test]
fn connecting_dropped_leaves_nothing_and_resets_a_late_answer() {
    let (mut world, host, raw) = World::host_and_raw();
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 7), StreamOptions::default()).await });
    world.run_ms(5);
    let got = raw.take_segments();
    let [syn] = &got[..] else { panic!("{got:?}") };
    world.cancel(connecting);
    world.run_ms(5);
    assert_eq!(host.in_use(), (0, 0, 0));
    assert!(raw.take_segments().is_empty());

    let mut conn = raw.conn(&host, 7, syn.sport);
    conn.ack = syn.seq.wrapping_add(1);
    conn.send(SYN | ACK, b"");
    world.run_ms(5);
    let got = raw.take_segments();
    assert!(matches!(&got[..], [seg] if seg.flags == RST && seg.seq == conn.ack), "{got:?}");
}

#[test]
fn connecting_dropped_while_asking_for_the_neighbor_leaves_nothing() {
    let (mut world, host, raw) = World::host_and_raw();
    raw.port.set(|port| port.answers_for.clear());
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 7), StreamOptions::default()).await });
    world.run_ms(5);
    world.cancel(connecting);
    world.run_ms(5_000);
    assert_eq!(host.in_use(), (0, 0, 0));
    assert!(raw.take().len() <= 2, "nobody asks on");
    assert_eq!(clock::next_wake(), None);
}

#[test]
fn accepting_dropped_keeps_the_connection_for_the_next() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let listener: &'static _ = Box::leak(Box::new(listener));
    let accepting = world.spawn(listener.accept());
    world.run_ms(1);
    world.cancel(accepting);
    let _conn = raw.open(&mut world, &host, 40_000, 7);
    assert!(world.block_on(listener.accept()).is_ok());
}

#[test]
fn listener_dropped_resets_unaccepted_and_half_open_and_closes_the_port() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let mut kept = raw.open(&mut world, &host, 40_000, 7);
    let mut stream = world.block_on(listener.accept()).unwrap();
    let unaccepted = raw.open(&mut world, &host, 40_001, 7);
    let mut half_open = raw.conn(&host, 40_002, 7);
    half_open.send(SYN, b"");
    world.run_ms(2);
    assert!(half_open.take().iter().any(|seg| seg.flags == SYN | ACK));
    drop(listener);
    world.run_ms(2);
    let mut reset: Vec<_> = raw.take_segments();
    reset.sort_by_key(|seg| seg.dport);
    let summary: Vec<_> = reset.iter().map(|seg| (seg.dport, seg.has(RST), seg.ack)).collect();
    assert_eq!(summary, [(40_001, true, unaccepted.seq), (40_002, true, half_open.seq)]);
    assert_eq!(reset[1].seq, half_open.ack);

    let mut late = raw.conn(&host, 40_003, 7);
    late.send(SYN, b"");
    world.run_ms(2);
    let got = late.take();
    assert!(matches!(&got[..], [seg] if seg.flags == RST | ACK && seg.ack == late.seq), "{got:?}");

    kept.send(ACK | PSH, b"still here");
    assert_eq!(world.block_on(stream.read(&mut [0; 20])), Ok(10));
    assert_eq!(host.in_use(), (1, 0, 0));
}

#[test]
fn listener_dropped_port_can_be_listened_on_again() {
    let (mut world, host, raw) = World::host_and_raw();
    drop(host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap());
    let listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let _conn = raw.open(&mut world, &host, 40_000, 7);
    assert!(world.block_on(listener.accept()).is_ok());
}

/// FIN-WAIT-2: the peer acknowledges, and never closes.
#[test]
fn dropped_peer_never_closes_is_reset_after_the_orphan_timeout() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    drop(stream);
    world.run_ms(5);
    conn.take();
    conn.send(ACK, b"");
    world.run_ms(59_000);
    assert_eq!((conn.take().len(), host.in_use()), (0, (1, 0, 0)));
    world.run_ms(3_000);
    assert!(matches!(&conn.take()[..], [seg] if seg.has(RST)));
    assert_eq!(host.in_use(), (0, 0, 0));
}

/// The peer answers nothing at all any more.
#[test]
fn dropped_peer_takes_nothing_is_given_up_after_the_orphan_timeout() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    world.block_on(stream.write(b"anybody?")).unwrap();
    drop(stream);
    let begin = clock::now();
    assert!(world.run_until(Duration::from_secs(600), || host.in_use().0 == 0));
    let took = Duration::from_micros(clock::now() - begin);
    assert!(took <= Duration::from_secs(130), "orphan timeout is 60 s, R2 100 s and a last try: {took:?}");
    assert!(host.segments_since(0).last().unwrap().has(RST));
}

#[test]
fn everything_dropped_peer_vanished_everything_is_given_back() {
    let (mut world, host, raw) = World::host_and_raw();
    let listener = host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let mut streams = Vec::new();
    let mut conns = Vec::new();
    for port in 0..4 {
        conns.push(raw.open(&mut world, &host, 40_000 + port, 7));
        streams.push(world.block_on(listener.accept()).unwrap());
    }
    // One has sent much, one has unread data, one was closed by the peer, one was shut down.
    world.block_on(write_all(&mut streams[0], &pattern(4_000))).unwrap();
    conns[1].send(ACK | PSH, b"unread");
    conns[2].send(ACK | FIN, b"");
    streams[3].shutdown().unwrap();
    raw.conn(&host, 41_000, 7).send(SYN, b"");
    let _unaccepted = raw.open(&mut world, &host, 41_001, 7);
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((RAW, 9), StreamOptions::default()).await });
    world.run_ms(5);
    assert_eq!(host.in_use(), (6, 1, 0));

    world.net.filter = Box::new(|_| false);
    drop((streams, listener));
    world.cancel(connecting);
    world.run_ms(1);
    let begin = clock::now();
    let is_free = || host.in_use().0 == 0 && host.in_use().1 == 0;
    assert!(world.run_until(Duration::from_secs(600), is_free), "{:?} are left", host.in_use());
    assert!(clock::now() - begin < 180_000_000, "after {} us", clock::now() - begin);
    world.run_ms(61_000);
    assert_eq!((host.in_use(), clock::next_wake()), ((0, 0, 0), None), "nothing is pending");
}

#[test]
fn closed_connection_dropped_stream_gives_the_slot_back_at_once() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    conn.send(RST, b"");
    let error = world.block_on(stream.read(&mut [0; 10]));
    assert_eq!(error, Err(Error::Closed(CloseReason::ResetByPeer)));
    assert!(host.in_use().0 <= 1);
    drop(stream);
    world.run_ms(1);
    assert_eq!(host.in_use(), (0, 0, 0));
}
