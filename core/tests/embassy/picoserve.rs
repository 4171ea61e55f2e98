//! picoserve's socket: what its server asks of a stack, at the places where a peer says nothing.

use std::fmt::{self, Display};
use std::time::Duration;

use embedded_io_async::Write as _;
use picoserve::io::{Socket, Write as _};
use picoserve::time::Duration as HttpDuration;
use picoserve::{Error as HttpError, Timeouts, Timer as _};
use tcp_reset_core::embassy::{HttpTimer, TcpStack, TcpStream};
use tcp_reset_core::{CloseReason, Error, ListenOptions, StreamOptions};

use crate::exec::World;
use crate::packet::{ACK, FIN, PSH, RST};

/// Formats more than the writer lends at once, and asks the stack meanwhile.
struct Page(TcpStack);

impl Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in 0..500 {
            let (connections, ..) = self.0.inspect(|link| link.tcp_ref().in_use());
            writeln!(f, "{line}: {connections}")?;
        }
        Ok(())
    }
}

fn timeouts() -> Timeouts {
    let second = HttpDuration::from_secs(1);
    Timeouts { start_read_request: second, persistent_start_read_request: second, read_request: second, write: second }
}

#[test]
fn formatted_text_longer_than_any_buffer_arrives_whole() {
    let (mut world, a, b) = World::two_hosts();
    let options = ListenOptions {
        stream: StreamOptions { tx_buffer: 128, nagle: false, ..StreamOptions::default() },
        ..ListenOptions::default()
    };
    let (mut server, mut client) = world.pair(&a, &b, 80, options);
    let expected = Page(a.tcp).to_string();
    let tcp = a.tcp;
    let writing = world.spawn(async move {
        {
            let (_reader, mut writer) = Socket::split(&mut server);
            writer.write_fmt(format_args!("{}", Page(tcp))).await?;
            writer.write_all(b"end").await?;
            // Nothing is acknowledged yet.
            writer.flush().await?;
        }
        Ok::<TcpStream, Error>(server)
    });
    let reading = world.spawn(async move {
        let (mut text, mut buf) = (Vec::new(), [0; 100]);
        while !text.ends_with(b"end") {
            let n = client.read(&mut buf).await.unwrap();
            text.extend(&buf[..n]);
        }
        text
    });
    let text = world.join_for(Duration::from_secs(60), &reading);
    assert_eq!(String::from_utf8(text).unwrap(), expected + "end");
    assert!(world.join(&writing).is_ok());
}

#[test]
fn writer_says_how_the_connection_ended() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 80);
    conn.send(RST, b"");
    world.run_ms(10);
    let (_reader, mut writer) = Socket::split(&mut stream);
    let over = Err(Error::Closed(CloseReason::ResetByPeer));
    assert_eq!(world.block_on(writer.write_fmt(format_args!("late"))), over);
}

#[test]
fn shutdown_waits_for_the_peers_fin_no_longer_than_the_timeout() {
    for (finishes, told) in [(true, true), (false, false)] {
        let (mut world, host, raw) = World::host_and_raw();
        let (stream, mut conn) = world.accepted(&host, &raw, 80);
        let ending = world.spawn(async move { stream.shutdown(&timeouts(), &HttpTimer).await });
        world.run_ms(10);
        assert!(conn.take().last().is_some_and(|seg| seg.has(FIN)));
        conn.send(ACK | PSH, b"of no use");
        if finishes {
            conn.send(FIN | ACK, b"");
        }
        world.run_ms(900);
        assert_eq!(ending.is_done(), told);
        world.run_ms(200);
        let outcome = ending.take();
        match told {
            true => assert!(matches!(outcome, Some(Ok(()))), "{outcome:?}"),
            false => assert!(matches!(outcome, Some(Err(HttpError::ReadTimeout(_)))), "{outcome:?}"),
        }
        assert!(!conn.take().iter().any(|seg| seg.has(RST)));
    }
}

/// A timeout that means none is longer than the clock can tell.
#[test]
fn timeouts_of_any_length_are_waited_for() {
    for ms in [1_000_000_000_000, u64::MAX / 1_000, u64::MAX] {
        let mut world = World::new();
        let waiting = world.spawn(async move { HttpTimer.delay(HttpDuration::from_millis(ms)).await });
        world.run_ms(100_000);
        assert!(!waiting.is_done(), "{ms}");
    }
    let mut world = World::new();
    let waiting = world.spawn(async { HttpTimer.delay(HttpDuration::from_millis(500)).await });
    world.run_ms(499);
    assert!(!waiting.is_done());
    world.run_ms(2);
    assert!(waiting.is_done());
}

#[test]
fn abort_lets_the_peer_have_the_answer_before_the_reset() {
    for acknowledges in [true, false] {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, mut conn) = world.accepted(&host, &raw, 80);
        world.block_on(stream.write(b"400 Bad Request")).unwrap();
        let ending = world.spawn(async move { Socket::abort(stream, &timeouts(), &HttpTimer).await });
        world.run_ms(10);
        assert!(conn.take().iter().all(|seg| !seg.has(RST)));
        if acknowledges {
            conn.send(ACK, b"");
        }
        world.run_ms(900);
        assert_eq!(ending.is_done(), acknowledges);
        world.run_ms(200);
        let outcome = ending.take();
        match acknowledges {
            true => assert!(matches!(outcome, Some(Ok(()))), "{outcome:?}"),
            false => assert!(matches!(outcome, Some(Err(HttpError::WriteTimeout(_)))), "{outcome:?}"),
        }
        assert!(conn.take().iter().any(|seg| seg.has(RST)), "the peer is told");
        assert_eq!(host.in_use(), (0, 0, 0));
    }
}
