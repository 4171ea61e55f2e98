//! What a project that comes from `embassy_net::tcp::TcpSocket` expects of a stream, and that a quick answer is not kept waiting.

use std::num::NonZeroU8;
use std::time::Duration;

use embassy_time::Duration as EmbassyDuration;
use tcp_reset_core::embassy::core_duration;
use tcp_reset_core::{CloseReason, Error, ListenOptions, MAX_DELAYED_ACK, Setting, State, StreamOptions};

use crate::exec::{World, both};
use crate::packet::{ACK, FIN, PSH, RST};
use crate::streams::{pattern, read_to_end};

fn small() -> ListenOptions {
    ListenOptions {
        stream: StreamOptions { rx_buffer: 64, tx_buffer: 128, ..StreamOptions::default() },
        ..ListenOptions::default()
    }
}

#[test]
fn what_a_stream_can_and_may_do_is_told() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, small());
    assert_eq!((one.recv_capacity(), one.send_capacity()), (64, 128));
    assert_eq!((one.local_endpoint(), two.remote_endpoint()), (Some(a.at(7)), Some(a.at(7))));
    let told = |stream: &tcp_reset_core::embassy::TcpStream| {
        (stream.can_recv(), stream.may_recv(), stream.can_send(), stream.may_send())
    };
    assert_eq!(told(&one), (false, true, true, true));
    assert_eq!((one.recv_queue(), one.send_queue()), (0, 0));
    // More than the peer's window of 64 takes: the buffer is full.
    assert_eq!(world.block_on(one.write(&pattern(200))), Ok(128));
    assert_eq!((told(&one), one.send_queue()), ((false, true, false, true), 128));
    world.run_ms(5_000);
    assert_eq!((told(&two), two.recv_queue()), ((true, true, true, true), 128), "its own buffers are larger");
    two.shutdown().unwrap();
    assert_eq!(told(&two), (true, true, false, false));
    world.run_ms(10);
    assert_eq!(told(&one), (false, false, true, true), "the peer has finished");
    one.abort();
    assert_eq!(told(&one), (false, false, false, false));
    let over = Err(Error::Closed(CloseReason::Aborted));
    assert_eq!(world.block_on(one.read(&mut [0; 10])), Ok(0), "the peer had finished before");
    assert_eq!(world.block_on(one.write(b"?")), over);
    assert_eq!(world.block_on(one.flush()), Err(Error::Closed(CloseReason::Aborted)));
    assert_eq!(one.shutdown(), Err(Error::Closed(CloseReason::Aborted)));
    assert_eq!(one.set_nagle_enabled(true), Err(Error::Closed(CloseReason::Aborted)));
    world.run_ms(10);
    assert_eq!(told(&two), (true, true, false, false), "what came before the reset is there");
    assert_eq!(world.block_on(read_to_end(&mut two)), Err(Error::Closed(CloseReason::ResetByPeer)));
    assert_eq!(told(&two), (false, false, false, false));
    assert_eq!(two.recv_queue(), 0);
}

#[test]
fn bytes_pass_without_a_copy_however_the_buffers_turn() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, small());
    let data = pattern(3_000);
    let sent = data.clone();
    let writing = world.spawn(async move {
        let mut left = &sent[..];
        while !left.is_empty() {
            let n = one
                .write_with(|free| {
                    // Less than there is room for, now and then.
                    let n = free.len().min(left.len()).min(1 + left.len() % 50);
                    free[..n].copy_from_slice(&left[..n]);
                    (n, n)
                })
                .await
                .unwrap();
            left = &left[n..];
        }
        one.shutdown().unwrap();
        one.closed().await
    });
    let reading = world.spawn(async move {
        let mut all: Vec<u8> = Vec::new();
        while two
            .read_with(|bytes| {
                let n = bytes.len().min(1 + all.len() % 70);
                all.extend(&bytes[..n]);
                (n, !bytes.is_empty())
            })
            .await
            .unwrap()
        {}
        all
    });
    let all = world.join_for(Duration::from_secs(60), &reading);
    assert!(all == data, "{} bytes, and not those that were sent", all.len());
    assert_eq!(world.join(&writing), CloseReason::LocalClosed);
}

#[test]
fn bytes_in_place_know_how_the_connection_ended() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    conn.send(ACK | PSH, b"last words");
    conn.send(RST, b"");
    world.run_ms(10);
    let words = world.block_on(stream.read_with(|bytes| (bytes.len(), bytes.to_vec())));
    assert_eq!(words.as_deref(), Ok(&b"last words"[..]));
    let over = Err(Error::Closed(CloseReason::ResetByPeer));
    assert_eq!(world.block_on(stream.read_with(|_| (0, ()))), over);
    assert_eq!(world.block_on(stream.write_with(|_| (0, ()))), over);
    let (mut stream, _conn) = world.accepted(&host, &raw, 8);
    stream.shutdown().unwrap();
    assert_eq!(world.block_on(stream.write_with(|_| (0, ()))), Err(Error::SendShutdown));
}

#[test]
fn ready_to_read_comes_with_bytes_the_end_or_the_error_and_sleeps_before() {
    for (flags, text) in [(ACK | PSH, &b"news"[..]), (FIN | ACK, b""), (RST, b"")] {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
        let waiting = world.spawn(async move {
            let (mut reader, _writer) = stream.split();
            reader.wait_read_ready().await;
            stream.wait_read_ready().await;
            stream
        });
        world.run_ms(10);
        let polls = waiting.polls();
        world.run_for(Duration::from_secs(3_600));
        assert_eq!(waiting.polls(), polls, "no news, no poll");
        assert!(!waiting.is_done());
        conn.send(flags, text);
        world.run_ms(10);
        assert!(waiting.is_done(), "{flags:#x}");
    }
}

#[test]
fn ready_to_write_comes_with_room_or_the_error_and_sleeps_before() {
    for is_reset in [false, true] {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
        world.block_on(stream.wait_write_ready());
        let room = stream.send_capacity();
        assert_eq!(world.block_on(stream.write(&pattern(room))), Ok(room));
        let waiting = world.spawn(async move {
            let (_reader, mut writer) = stream.split();
            writer.wait_write_ready().await;
            stream.wait_write_ready().await;
            stream
        });
        world.run_ms(300);
        assert!(!waiting.is_done());
        conn.take();
        conn.send(if is_reset { RST } else { ACK }, b"");
        world.run_ms(10);
        assert!(waiting.is_done());
    }
}

#[test]
fn either_half_ends_our_direction_or_all_and_again_is_harmless() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    let (mut reader, mut writer) = one.split();
    reader.shutdown().unwrap();
    writer.shutdown().unwrap();
    assert_eq!(world.block_on(two.read(&mut [0; 10])), Ok(0));
    assert_eq!(two.state(), State::CloseWait);
    world.run_ms(10);
    let mark = a.port.mark();
    let (mut reader, mut writer) = one.split();
    writer.abort();
    reader.abort();
    one.abort();
    assert_eq!(world.block_on(one.closed()), CloseReason::Aborted);
    world.run_ms(10);
    let resets = a.segments_since(mark);
    assert!(matches!(&resets[..], [seg] if seg.has(RST)), "{resets:?}");
    assert_eq!(world.block_on(two.closed()), CloseReason::ResetByPeer);
    assert_eq!(a.in_use().0, 1, "the slot is held with the stream");
    drop(one);
    world.run_ms(10);
    assert_eq!(a.in_use().0, 0, "the slot is free");
}

/// A writer that waits for room is told when the other half ends the direction.
#[test]
fn reader_that_ends_our_direction_wakes_the_writer() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    let room = stream.send_capacity();
    assert_eq!(world.block_on(stream.write(&pattern(room))), Ok(room));
    let told = world.spawn(async move {
        let (mut reader, mut writer) = stream.split();
        let writing = async { writer.write_with(|_| (0, ())).await };
        let ending = async {
            embassy_time::Timer::after_millis(50).await;
            reader.shutdown()
        };
        both(writing, ending).await
    });
    world.run_ms(60);
    assert_eq!(told.take(), Some((Err(Error::SendShutdown), Ok(()))));
}

#[test]
fn settings_change_on_a_stream_that_lives_and_are_refused_after_its_end() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    assert_eq!(stream.set_delayed_ack(EmbassyDuration::from_millis(120)), Ok(()));
    let beyond = EmbassyDuration::try_from(MAX_DELAYED_ACK).unwrap() + EmbassyDuration::from_millis(1);
    assert_eq!(stream.set_delayed_ack(beyond), Err(Error::InvalidSetting(Setting::DelayedAck)));
    assert_eq!(stream.set_hop_limit(NonZeroU8::new(255)), Ok(()));
    assert_eq!(stream.set_nagle_enabled(false), Ok(()));
    let mark = host.port.mark();
    world.block_on(stream.write(b"one")).unwrap();
    world.run_ms(1);
    world.block_on(stream.write(b"two")).unwrap();
    world.run_ms(10);
    assert_eq!(conn.take().len(), 2, "without Nagle's algorithm nothing waits");
    let hops: Vec<u8> = host.port.sent_since(mark).iter().map(|frame| frame[14 + 8]).collect();
    assert_eq!(hops, [255, 255]);
    conn.send(RST, b"");
    world.run_ms(10);
    let over = Err(Error::Closed(CloseReason::ResetByPeer));
    assert_eq!(stream.set_delayed_ack(EmbassyDuration::from_ticks(0)), over);
    assert_eq!(stream.set_hop_limit(None), over);
    assert_eq!(stream.set_nagle_enabled(true), over);
}

/// The clock of these tests has 1 MHz.
#[test]
fn embassy_durations_are_the_cores() {
    let same = |ours: EmbassyDuration, core: Duration| assert_eq!(core_duration(ours), core);
    same(EmbassyDuration::from_ticks(0), Duration::ZERO);
    same(EmbassyDuration::from_millis(120), Duration::from_millis(120));
    same(EmbassyDuration::from_secs(5), Duration::from_secs(5));
    same(EmbassyDuration::from_micros(1_500_001), Duration::from_micros(1_500_001));
    same(EmbassyDuration::from_secs(u32::MAX.into()), Duration::from_secs(u32::MAX.into()));
    same(EmbassyDuration::from_secs(u64::from(u32::MAX) + 1), Duration::MAX);
    same(EmbassyDuration::MAX, Duration::MAX);
}

#[test]
fn flush_after_shutdown_waits_for_the_fins_acknowledgment() {
    // The peer acknowledges our FIN, or it sends its own beside that, or before.
    for (first, then) in [(None, ACK), (None, FIN | ACK), (Some(FIN | ACK), ACK)] {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
        stream.shutdown().unwrap();
        let flushing = world.spawn(async move { stream.flush().await });
        world.run_ms(10);
        assert!(conn.take().last().is_some_and(|seg| seg.has(FIN)));
        if let Some(flags) = first {
            let ack = conn.ack;
            conn.ack = ack.wrapping_sub(1);
            conn.send(flags, b"");
            conn.ack = ack;
            world.run_ms(10);
        }
        assert!(!flushing.is_done(), "{first:?}");
        conn.send(then, b"");
        world.run_ms(10);
        assert_eq!(flushing.take(), Some(Ok(())), "{first:?} {then}");
    }
}

/// A request in two small segments to a peer with Nagle's algorithm: the second waits for the acknowledgment of the first.
#[test]
fn request_in_two_parts_is_not_kept_waiting() {
    let (mut world, a, b) = World::two_hosts();
    let (mut server, mut client) = world.pair(&a, &b, 7, ListenOptions::default());
    world.spawn(async move {
        let mut buf = [0; 20];
        loop {
            let mut have = 0;
            while have < 20 {
                have += server.read(&mut buf[have..]).await.unwrap();
            }
            server.write(b"answer").await.unwrap();
        }
    });
    let asking = world.spawn(async move {
        let mut took = Vec::new();
        for _ in 0..10 {
            let start = embassy_time::Instant::now();
            client.write(b"the header").await.unwrap();
            client.write(b"it follows").await.unwrap();
            client.read(&mut [0; 20]).await.unwrap();
            took.push(start.elapsed().as_millis());
        }
        took
    });
    let took = world.join(&asking);
    // Two round trips of 0.4 ms each.
    assert!(took.iter().all(|ms| *ms <= 1), "{took:?} ms");
}

/// After minutes without a cable the timeouts have doubled for long; what was written goes out as soon as it is back.
#[test]
fn what_waited_for_the_cable_goes_at_once() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    let writing = world.block_on(one.write(b"before"));
    assert_eq!(writing, Ok(6));
    assert_eq!(world.block_on(two.read(&mut [0; 10])), Ok(6));
    a.port.set_link(false);
    let lost = std::rc::Rc::new(std::cell::Cell::new(true));
    let is_lost = std::rc::Rc::clone(&lost);
    world.net.filter = Box::new(move |_| !is_lost.get());
    assert_eq!(world.block_on(one.write(b"during")), Ok(6));
    world.run_for(Duration::from_secs(70));
    lost.set(false);
    a.port.set_link(true);
    let reading = world.spawn(async move { (two.read(&mut [0; 10]).await, two) });
    world.run_ms(10);
    let (read, _two) = reading.take().expect("what was written has come");
    assert_eq!(read, Ok(6));
    assert_eq!(one.state(), State::Established);
}
