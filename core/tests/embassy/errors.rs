//! Connections that do not come about, and connections that break: what the application is told.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use embedded_io_async::{Error as _, ErrorKind};
use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{CloseReason, Error, ListenOptions, State, StreamOptions, Timer};

use crate::clock;
use crate::exec::World;
use crate::hosts::{HOST, OTHER, RAW, static_config};
use crate::net::PortRef;
use crate::packet::{ACK, FIN, PSH, RST, SYN};
use crate::streams::{pattern, write_all};

/// Fills the send buffer.
async fn fill(stream: &mut TcpStream) {
    let len = stream.status().unwrap().writable;
    write_all(stream, &pattern(len)).await.unwrap();
}

#[test]
fn connecting_nobody_listens_is_refused() {
    let (mut world, _a, b) = World::two_hosts();
    let begin = clock::now();
    let error = world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).unwrap_err();
    assert_eq!(error, Error::Closed(CloseReason::Refused));
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(clock::now() - begin < 10_000, "within some round trips");
    world.run_ms(1);
    assert_eq!(b.in_use(), (0, 0, 0));
}

#[test]
fn connecting_nobody_answers_arp_times_out_after_three_minutes() {
    let (mut world, host, raw) = World::host_and_raw();
    raw.port.set(|port| port.answers_for.clear());
    let begin = clock::now();
    let connecting = host.tcp.connect((RAW, 7), StreamOptions::default());
    let error = world.block_on_for(Duration::from_secs(400), connecting).unwrap_err();
    assert_eq!(error, Error::Closed(CloseReason::TimedOut(Timer::Connect)));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let took = clock::now() - begin;
    assert!((180_000_000..300_000_000).contains(&took), "after {took} us");
    assert!(host.segments_since(0).is_empty(), "no SYN goes anywhere");
    let asked = raw.take().len();
    assert!((100..=400).contains(&asked), "{asked} ARP requests, at most one a second");
    world.run_ms(1);
    assert_eq!(host.in_use(), (0, 0, 0));
}

#[test]
fn connecting_syn_never_answered_times_out_after_three_minutes() {
    let (mut world, host, raw) = World::host_and_raw();
    let begin = clock::now();
    let connecting = host.tcp.connect((RAW, 7), StreamOptions::default());
    let error = world.block_on_for(Duration::from_secs(400), connecting).unwrap_err();
    assert_eq!(error, Error::Closed(CloseReason::TimedOut(Timer::Connect)));
    assert!(clock::now() - begin >= 180_000_000);
    let syns = raw.take_segments();
    assert!(syns.len() >= 5 && syns.iter().all(|seg| seg.flags == SYN && seg.seq == syns[0].seq));
}

#[test]
fn connecting_without_address_has_no_route() {
    let mut world = World::new();
    let port = PortRef::new(Some([2, 0, 0, 0, 0, 1]));
    let host = world.host_with(port, embassy_net::Config::default(), Default::default());
    let error = world.block_on(host.tcp.connect((RAW, 7), StreamOptions::default())).unwrap_err();
    assert_eq!(error, Error::NoRoute);
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn connecting_beyond_the_link_needs_a_gateway() {
    let far = Ipv4Addr::new(192, 168, 7, 7);
    let (mut world, host, raw) = World::host_and_raw();
    let error = world.block_on(host.tcp.connect((far, 7), StreamOptions::default())).unwrap_err();
    assert_eq!(error, Error::NoRoute);

    host.stack.set_config_v4(embassy_net::ConfigV4::Static(static_config(HOST, Some(RAW))));
    host.port.set_link(true);
    world.run_ms(1);
    let tcp = host.tcp;
    let connecting = world.spawn(async move { tcp.connect((far, 7), StreamOptions::default()).await });
    let conn = raw.answer(&mut world, &host);
    assert_eq!(conn.me, (far.into(), 7), "it came to the router's hardware address");
    assert!(world.join(&connecting).is_ok());
}

#[test]
fn connecting_addresses_nobody_can_have_are_invalid() {
    let (mut world, host, _raw) = World::host_and_raw();
    let bad = [HOST, Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 255), Ipv4Addr::new(224, 0, 0, 1)];
    for addr in bad {
        let result = world.block_on(host.tcp.connect((addr, 7), StreamOptions::default()));
        assert_eq!(result.err(), Some(Error::InvalidAddress), "{addr}");
    }
    let result = world.block_on(host.tcp.connect((RAW, 0), StreamOptions::default()));
    assert_eq!(result.err(), Some(Error::InvalidAddress));
}

#[test]
fn connecting_all_slots_used_is_an_error_until_one_is_free() {
    let (mut world, a, b) = World::two_hosts();
    let listener = a.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).unwrap());
        streams.push(world.block_on(listener.accept()).unwrap());
    }
    let error = world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).unwrap_err();
    assert_eq!(error, Error::NoSlot);
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    streams.swap_remove(0).abort();
    world.run_ms(2);
    streams.swap_remove(0).abort();
    world.run_ms(2);
    assert!(world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).is_ok());
}

#[test]
fn connecting_pool_used_up_has_no_buffer() {
    let (mut world, a, b) = World::two_hosts();
    let _listener = a.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let options = StreamOptions { rx_buffer: 32_768, tx_buffer: 32_768, ..StreamOptions::default() };
    let _one = world.block_on(b.tcp.connect((HOST, 7), options)).unwrap();
    let _two = world.block_on(b.tcp.connect((HOST, 7), options)).unwrap();
    assert_eq!(world.block_on(b.tcp.connect((HOST, 7), options)).err(), Some(Error::NoBuffer));
    let odd = StreamOptions { rx_buffer: 1_000, ..StreamOptions::default() };
    assert_eq!(world.block_on(b.tcp.connect((HOST, 7), odd)).err(), Some(Error::InvalidBufferSize));
}

#[test]
fn listening_twice_or_too_often_is_an_error() {
    let (_world, host, _raw) = World::host_and_raw();
    let listen = |port| host.tcp.listen(([0, 0, 0, 0], port), ListenOptions::default());
    let mut listeners: Vec<_> = (1..=4).map(|port| listen(port).unwrap()).collect();
    assert_eq!(listen(5).err(), Some(Error::NoListener));
    listeners.pop();
    assert_eq!(listen(1).err(), Some(Error::AddressInUse));
    assert!(listen(5).is_ok());
}

#[test]
fn reading_reset_comes_data_first_then_the_error() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    conn.send(ACK | PSH, b"last words");
    conn.send(RST, b"");
    world.run_ms(5);
    let mut buf = [0; 4];
    assert_eq!(world.block_on(stream.read(&mut buf)), Ok(4));
    let mut rest = [0; 20];
    assert_eq!(world.block_on(stream.read(&mut rest)), Ok(6));
    assert_eq!((&buf, &rest[..6]), (b"last", &b" words"[..]));
    let error = world.block_on(stream.read(&mut rest)).unwrap_err();
    assert_eq!(error, Error::Closed(CloseReason::ResetByPeer));
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(stream.state(), State::Closed);
}

#[test]
fn reading_and_waiting_reset_wakes_the_reader() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    world.run_ms(10);
    conn.send(RST, b"");
    assert_eq!(world.join(&reading), Err(Error::Closed(CloseReason::ResetByPeer)));
}

#[test]
fn aborted_peer_is_reset_and_both_know_why() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    let mark = a.port.mark();
    one.abort();
    assert_eq!(world.block_on(two.read(&mut [0; 10])), Err(Error::Closed(CloseReason::ResetByPeer)));
    let resets = a.segments_since(mark);
    assert!(matches!(&resets[..], [seg] if seg.has(RST)), "{resets:?}");
    assert_eq!(world.block_on(two.closed()), CloseReason::ResetByPeer);
    let ended = a.tcp.inspect(|link| link.tcp_ref().counters().closed(CloseReason::Aborted));
    drop(one);
    world.run_ms(1);
    assert_eq!((ended, a.in_use()), (1, (0, 0, 0)));
}

#[test]
fn shut_down_write_is_a_broken_pipe_and_read_goes_on() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    stream.shutdown().unwrap();
    stream.shutdown().unwrap();
    let error = world.block_on(stream.write(b"x")).unwrap_err();
    assert_eq!((error, error.kind()), (Error::SendShutdown, ErrorKind::BrokenPipe));
    world.run_ms(5);
    assert!(conn.take().iter().any(|seg| seg.has(FIN)));
    conn.send(ACK | PSH, b"more");
    assert_eq!(world.block_on(stream.read(&mut [0; 10])), Ok(4));
    conn.send(ACK | FIN, b"");
    assert_eq!(world.block_on(stream.read(&mut [0; 10])), Ok(0));
    assert_eq!(world.block_on(stream.read(&mut [0; 10])), Ok(0), "the end stays the end");
    assert_eq!(world.block_on(stream.closed()), CloseReason::LocalClosed);
    assert_eq!(world.block_on(stream.read(&mut [0; 10])), Ok(0));
}

#[test]
fn shut_down_fin_leaves_at_once() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    world.run_ms(1_000);
    stream.shutdown().unwrap();
    world.run_ms(1);
    assert!(matches!(&conn.take()[..], [seg] if seg.has(FIN)));
}

#[test]
fn reading_opens_the_window_and_the_peer_is_told_at_once() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    for _ in 0..4 {
        conn.send(ACK | PSH, &[6; 1_024]);
    }
    world.run_ms(100);
    assert_eq!(conn.take().last().unwrap().wnd, 0, "the window is closed");
    world.block_on(embedded_io_async::Read::read_exact(&mut stream, &mut [0; 4_096])).unwrap();
    world.run_ms(1);
    assert!(matches!(&conn.take()[..], [seg] if seg.wnd >= 1_024), "one step worth telling");
}

#[test]
fn flushing_waits_for_the_acknowledgement() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    assert_eq!(world.block_on(stream.write(b"hello")), Ok(5));
    let flushing = world.spawn(async move {
        let result = stream.flush().await;
        (result, stream)
    });
    world.run_ms(700);
    assert!(!flushing.is_done());
    assert!(conn.take().iter().any(|seg| seg.text == b"hello"));
    conn.send(ACK, b"");
    world.run_ms(2);
    let (result, mut stream) = flushing.take().unwrap();
    assert_eq!(result, Ok(()));
    assert_eq!(world.block_on(stream.flush()), Ok(()), "nothing to wait for");
}

#[test]
fn flushing_after_an_orderly_end_is_done() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    conn.send(ACK | FIN, b"");
    world.run_ms(5);
    stream.shutdown().unwrap();
    world.run_ms(5);
    conn.take();
    conn.send(ACK, b"");
    assert_eq!(world.block_on(stream.closed()), CloseReason::PeerClosed);
    assert_eq!(world.block_on(stream.flush()), Ok(()));
    assert_eq!(world.block_on(stream.write(b"x")), Err(Error::Closed(CloseReason::PeerClosed)));
    assert_eq!(stream.shutdown(), Err(Error::Closed(CloseReason::PeerClosed)));
}

#[test]
fn flushing_reset_comes_tells_why() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    world.block_on(stream.write(b"hello")).unwrap();
    let flushing = world.spawn(async move { stream.flush().await });
    world.run_ms(5);
    conn.send(RST, b"");
    assert_eq!(world.join(&flushing), Err(Error::Closed(CloseReason::ResetByPeer)));
}

#[test]
fn empty_reads_and_writes_return_at_once() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    assert_eq!(world.block_on(stream.read(&mut [])), Ok(0));
    assert_eq!(world.block_on(stream.write(&[])), Ok(0));
}

#[test]
fn halves_waiting_reset_wakes_reader_and_writer() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    world.block_on(fill(&mut stream));
    let stream: &'static mut TcpStream = Box::leak(Box::new(stream));
    let (mut reader, mut writer) = stream.split();
    let reading = world.spawn(async move { embedded_io_async::Read::read(&mut reader, &mut [0; 10]).await });
    let writing = world.spawn(async move { embedded_io_async::Write::write(&mut writer, b"x").await });
    world.run_ms(10);
    assert!(!reading.is_done() && !writing.is_done());
    conn.send(RST, b"");
    let reset = Error::Closed(CloseReason::ResetByPeer);
    assert_eq!(world.join(&reading), Err(reset));
    assert_eq!(world.join(&writing), Err(reset));
}

/// The halves see the end too, so a task may wait for it while another reads.
#[test]
fn waiting_halves_one_reads_the_other_learns_the_end() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    let stream: &'static mut TcpStream = Box::leak(Box::new(stream));
    let (mut reader, writer) = stream.split();
    let reading = world.spawn(async move { embedded_io_async::Read::read(&mut reader, &mut [0; 10]).await });
    let ending = world.spawn(async move { writer.closed().await });
    world.run_ms(10);
    conn.send(RST, b"");
    assert_eq!(world.join(&reading), Err(Error::Closed(CloseReason::ResetByPeer)));
    assert_eq!(world.join(&ending), CloseReason::ResetByPeer);
}

#[test]
fn waiting_for_the_end_reset_tells_the_reason() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    let waiting = world.spawn(async move { stream.closed().await });
    world.run_ms(1_000);
    assert!(!waiting.is_done());
    conn.send(RST, b"");
    assert_eq!(world.join(&waiting), CloseReason::ResetByPeer);
}

/// `closed` takes the stream by shared reference, so two tasks may call it.
#[test]
fn waiting_for_the_end_two_tasks_both_sleep_and_learn_it() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    let stream = Rc::new(stream);
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let stream = stream.clone();
            world.spawn(async move { stream.closed().await })
        })
        .collect();
    world.run_ms(10);
    let polls: u64 = waiting.iter().map(|task| task.polls()).sum();
    assert!(polls < 100, "{polls} polls of tasks that wait");
    conn.send(RST, b"");
    for task in &waiting {
        assert_eq!(world.join(task), CloseReason::ResetByPeer);
    }
}

#[test]
fn writing_peer_vanishes_times_out_by_r2() {
    let (mut world, a, b) = World::two_hosts();
    let (mut stream, _other) = world.pair(&a, &b, 7, ListenOptions::default());
    world.net.filter = Box::new(|_| false);
    let begin = clock::now();
    world.block_on(stream.write(b"anybody?")).unwrap();
    let error = world.block_on_for(Duration::from_secs(300), stream.read(&mut [0; 10])).unwrap_err();
    assert_eq!(error, Error::Closed(CloseReason::TimedOut(Timer::Retransmission)));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let took = clock::now() - begin;
    assert!((100_000_000..200_000_000).contains(&took), "R2 is 100 s: {took} us");
}

#[test]
fn connecting_both_ways_at_once_makes_one_connection() {
    let (mut world, a, b) = World::two_hosts();
    // Both know each other's hardware address already, or the first SYN waits for ARP.
    let _warm = world.pair(&a, &b, 7, ListenOptions::default());
    let (one, two) = (a.tcp, b.tcp);
    let here = world.spawn(async move { one.connect_from(1_000, (OTHER, 2_000), StreamOptions::default()).await });
    let there = world.spawn(async move { two.connect_from(2_000, (HOST, 1_000), StreamOptions::default()).await });
    let mut here = world.join(&here).unwrap();
    let mut there = world.join(&there).unwrap();
    world.block_on(here.write(b"ping")).unwrap();
    assert_eq!(world.block_on(there.read(&mut [0; 10])), Ok(4));
}
