//! What bounds a peer that gives nothing, set while everybody sleeps: the reader is woken in time and told which limit it was.

use std::num::NonZeroU8;
use std::time::Duration;

use embassy_time::Duration as EmbassyDuration;
use tcp_reset_core::embassy::{TcpListener, TcpStream};
use tcp_reset_core::{
    CloseReason, Error, EvictBy, Eviction, KeepAlive, ListenOptions, Peer, Setting, State, StreamOptions, Timer,
};

use crate::clock;
use crate::exec::{Handle, World};
use crate::hosts::{HOST, Host, RAW, Raw, mac_of, static_config};
use crate::net::PortRef;
use crate::packet::ACK;

/// A task that reads once.
type Reader = Handle<Result<usize, Error>>;

const SECOND: Duration = Duration::from_secs(1);

/// A change that bounds a silent peer, what it costs the peer until the end, and how that is told.
type Case = (fn(&mut TcpStream) -> Result<(), Error>, Duration, Timer);

fn secs(count: u64) -> EmbassyDuration {
    EmbassyDuration::from_secs(count)
}

fn keep_alive() -> KeepAlive {
    KeepAlive { idle: 4 * SECOND, interval: SECOND, probes: NonZeroU8::new(3).unwrap() }
}

#[test]
fn each_limit_wakes_the_reader_in_time_and_by_name() {
    let cases: [Case; 4] = [
        (|stream| stream.set_keep_alive(Some(keep_alive())), 7 * SECOND, Timer::KeepAlive),
        (|stream| stream.set_idle_timeout(Some(secs(9))), 9 * SECOND, Timer::Idle),
        (|stream| stream.set_first_byte_timeout(Some(secs(2))), 2 * SECOND, Timer::FirstByte),
        (|stream| stream.set_timeout(Some(secs(5))), 5 * SECOND, Timer::UserTimeout),
    ];
    for (change, after, timer) in cases {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, _conn) = world.accepted(&host, &raw, 7);
        let begin = clock::now();
        change(&mut stream).unwrap();
        if timer == Timer::UserTimeout {
            world.block_on(stream.write(b"nobody takes this")).unwrap();
        }
        let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
        assert_eq!(world.join_for(60 * SECOND, &reading), Err(Error::Closed(CloseReason::TimedOut(timer))));
        let passed = Duration::from_micros(clock::now() - begin);
        // Keepalive counts from the handshake, some milliseconds ago.
        assert!(passed.abs_diff(after) <= Duration::from_millis(5), "{timer}: {passed:?}");
        world.run_ms(5);
        assert_eq!(host.in_use(), (0, 0, 0), "{timer}");
    }
}

#[test]
fn a_peer_that_answers_probes_lives_until_keepalive_is_switched_off_again() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    stream.set_keep_alive(Some(keep_alive())).unwrap();
    let mut probes = 0;
    for _ in 0..1_000 {
        world.run_ms(100);
        for seg in conn.take() {
            assert_eq!((seg.seq, seg.text.len()), (conn.ack.wrapping_sub(1), 0), "SND.NXT-1, empty");
            probes += 1;
            conn.send(ACK, b"");
        }
    }
    assert!((20..=25).contains(&probes), "{probes} probes in 100 s");
    assert_eq!(stream.state(), State::Established);
    stream.set_keep_alive(None).unwrap();
    world.run_ms(100_000);
    assert_eq!((conn.take().len(), stream.state()), (0, State::Established));
}

#[test]
fn a_refused_limit_changes_nothing_and_one_after_the_end_says_why_it_ended() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    let before = stream.budget().unwrap();
    let odd = EmbassyDuration::from_micros(1_500_001);
    assert_eq!(stream.set_timeout(Some(odd)), Err(Error::InvalidSetting(Setting::UserTimeout)));
    assert_eq!(stream.set_idle_timeout(Some(secs(0))), Err(Error::InvalidSetting(Setting::IdleTimeout)));
    let never = KeepAlive { interval: Duration::ZERO, ..keep_alive() };
    assert_eq!(stream.set_keep_alive(Some(never)), Err(Error::InvalidSetting(Setting::KeepAlive)));
    assert_eq!(stream.budget(), Ok(before));
    stream.set_timeout(Some(secs(3))).unwrap();
    assert_eq!(stream.budget().unwrap().in_state(State::LastAck, Peer::Silent), Some(3 * SECOND));
    stream.set_timeout(None).unwrap();
    assert_eq!(stream.budget(), Ok(before), "R2 again");
    stream.set_idle_timeout(Some(secs(1))).unwrap();
    world.run_ms(1_100);
    let why = Error::Closed(CloseReason::TimedOut(Timer::Idle));
    assert_eq!(stream.set_timeout(Some(secs(1))), Err(why));
    assert_eq!(stream.set_keep_alive(None), Err(why));
}

/// A host that evicts, with a listener and as many tasks as there are slots that read for ever, the first a second longer than the next.
fn crowd() -> (World, Host, Raw, TcpListener, Vec<Reader>) {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    let eviction = Some(Eviction { by: EvictBy::Idle, idle_for: 10 * SECOND });
    let config = tcp_reset_core::Config { eviction, ..Default::default() };
    let net = embassy_net::Config::ipv4_static(static_config(HOST, None));
    let host = world.host_with(port, net, config);
    let raw = world.raw(RAW);
    let options = ListenOptions {
        stream: StreamOptions { rx_buffer: 64, tx_buffer: 64, ..StreamOptions::DEFAULT },
        ..ListenOptions::default()
    };
    let listener = host.tcp.listen((HOST, 7), options).unwrap();
    let mut readers = Vec::new();
    for n in 0..8 {
        let _conn = raw.open(&mut world, &host, 40_000 + n, 7);
        let mut stream = world.block_on(listener.accept()).unwrap();
        readers.push(world.spawn(async move { stream.read(&mut [0; 10]).await }));
        world.run_ms(1_000);
    }
    (world, host, raw, listener, readers)
}

/// A ninth client comes.
#[test]
fn with_eviction_a_full_table_serves_who_comes() {
    let (mut world, host, raw, listener, readers) = crowd();
    let mut late = raw.conn(&host, 41_000, 7);
    late.open(&mut world);
    world.run_ms(3_000);
    assert!(readers.iter().all(|reader| !reader.is_done()), "nobody has been idle for 10 s");
    let accepting = world.spawn(async move { listener.accept().await.map(|stream| stream.handle()) });
    // The newcomer says its ACK again when our SYN,ACK comes again.
    for _ in 0..30 {
        world.run_ms(1_000);
        for _ in late.take() {
            late.send(ACK, b"");
        }
    }
    assert!(world.join_for(SECOND, &accepting).is_ok(), "the newcomer is served");
    assert_eq!(readers[0].take(), Some(Err(Error::Closed(CloseReason::Evicted))), "the longest idle went");
    assert!(readers[1..].iter().all(|reader| !reader.is_done()), "one was enough");
}

#[test]
fn a_listener_ends_who_is_not_accepted_and_who_says_nothing() {
    let (mut world, host, raw) = World::host_and_raw();
    let stream = StreamOptions { first_byte_timeout: Some(2 * SECOND), ..StreamOptions::DEFAULT };
    let options = ListenOptions { accept_timeout: Some(SECOND), stream, ..ListenOptions::default() };
    let listener = host.tcp.listen((HOST, 7), options).unwrap();
    let _first = raw.open(&mut world, &host, 40_000, 7);
    world.run_ms(1_100);
    assert_eq!(host.in_use(), (0, 0, 0), "nobody accepted it");
    let _second = raw.open(&mut world, &host, 40_001, 7);
    let mut stream = world.block_on(listener.accept()).unwrap();
    let begin = clock::now();
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    let why = Error::Closed(CloseReason::TimedOut(Timer::FirstByte));
    assert_eq!(world.join_for(60 * SECOND, &reading), Err(why));
    assert!(clock::now() - begin <= 2_005_000);
}

#[test]
fn the_first_bytes_limit_needs_no_other_timer() {
    let (mut world, host, raw) = World::host_and_raw();
    let stream = StreamOptions { first_byte_timeout: Some(2 * SECOND), ..StreamOptions::DEFAULT };
    let options = ListenOptions { stream, ..ListenOptions::default() };
    let listener = host.tcp.listen((HOST, 7), options).unwrap();
    let _second = raw.open(&mut world, &host, 40_001, 7);
    world.run_ms(5_000);
    let mut stream = world.block_on(listener.accept()).unwrap();
    let begin = clock::now();
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    let why = Error::Closed(CloseReason::TimedOut(Timer::FirstByte));
    let end = world.join_for(600 * SECOND, &reading);
    assert_eq!(end, Err(why));
    assert!(clock::now() - begin <= 2_005_000);
}

#[test]
fn a_connect_that_evicts_tells_at_once() {
    let (mut world, host, _raw, _listener, readers) = crowd();
    world.run_ms(60_000);
    let tcp = host.tcp;
    let connecting =
        world.spawn(async move { tcp.connect((RAW, 9), StreamOptions::DEFAULT).await.map(|s| s.handle()) });
    let first = world.join_for(SECOND, &connecting);
    assert_eq!(first, Err(Error::NoSlot), "its owner has the slot yet");
    world.run_ms(1);
    assert_eq!(
        readers[0].take(),
        Some(Err(Error::Closed(CloseReason::Evicted))),
        "the evicted one's application is told"
    );
}
