//! edge-nal's traits: what its HTTP and WebSocket crates ask of a stack.

use std::net::SocketAddr;
use std::time::Duration;

use edge_nal::{Close, Readable, TcpAccept, TcpBind, TcpConnect, TcpShutdown, TcpSplit};
use embedded_io_async::{Read, Write};
use tcp_reset_core::embassy::{TcpClient, TcpServer, TcpStream};
use tcp_reset_core::{CloseReason, Error, ListenOptions, State, StreamOptions};

use crate::exec::World;
use crate::hosts::HOST;
use crate::packet::{ACK, FIN, PSH, RST};

/// What a crate over edge-nal does: waits for a request, answers on the halves, closes.
async fn serve_once<B: TcpBind>(server: B, local: SocketAddr) -> Result<SocketAddr, B::Error> {
    let acceptor = server.bind(local).await?;
    let (remote, mut socket) = acceptor.accept().await?;
    socket.readable().await?;
    {
        let (mut reader, mut writer) = socket.split();
        reader.readable().await?;
        let mut request = [0; 5];
        reader.read_exact(&mut request).await.map_err(|_| ()).unwrap();
        writer.write_all(&request).await?;
    }
    socket.close(Close::Both).await?;
    Ok(remote)
}

async fn ask<C: TcpConnect>(client: C, remote: SocketAddr) -> Result<Vec<u8>, C::Error> {
    let mut socket = client.connect(remote).await?;
    socket.write_all(b"hello").await?;
    let mut answer = Vec::new();
    let mut buf = [0; 10];
    loop {
        match socket.read(&mut buf).await? {
            0 => break,
            n => answer.extend(&buf[..n]),
        }
    }
    socket.close(Close::Write).await?;
    Ok(answer)
}

#[test]
fn server_binds_accepts_parts_and_closes_what_a_client_opened() {
    let (mut world, a, b) = World::two_hosts();
    let serving = world.spawn(serve_once(TcpServer::new(a.tcp, ListenOptions::default()), (HOST, 7).into()));
    world.run_ms(1);
    let client = TcpClient::new(b.tcp, StreamOptions::default());
    assert_eq!(world.block_on(ask(client, (HOST, 7).into())), Ok(b"hello".to_vec()));
    assert_eq!(world.join(&serving).map(|remote| remote.ip()), Ok(b.at(0).ip()));
    world.run_ms(10);
    assert_eq!((a.in_use().0, b.in_use().0), (0, 0));
    let refused = world.block_on(ask(client, (HOST, 8).into()));
    assert_eq!(refused, Err(Error::Closed(CloseReason::Refused)));
}

#[test]
fn bind_is_refused_as_a_listener_is() {
    let (mut world, a, _b) = World::two_hosts();
    let server = TcpServer::new(a.tcp, ListenOptions { backlog: 1, ..ListenOptions::default() });
    let listener = world.block_on(server.bind((HOST, 7).into())).unwrap();
    let again = world.block_on(server.bind((HOST, 7).into()));
    assert_eq!(again.map(|_| ()), Err(Error::AddressInUse));
    world.block_on(a.tcp.abort_all());
    let accepted = world.block_on(TcpAccept::accept(&listener));
    assert_eq!(accepted.map(|_| ()), Err(Error::StaleHandle));
}

#[test]
fn readable_comes_with_bytes_and_the_end_and_says_why_there_is_nothing_more() {
    let over = Err(Error::Closed(CloseReason::ResetByPeer));
    for (flags, text, told) in [(ACK | PSH, &b"news"[..], Ok(())), (FIN | ACK, b"", Ok(())), (RST, b"", over)] {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
        let waiting = world.spawn(async move {
            let half = TcpSplit::split(&mut stream).0.readable().await;
            (half, stream.readable().await)
        });
        world.run_ms(1_000);
        assert!(!waiting.is_done());
        conn.send(flags, text);
        world.run_ms(10);
        assert_eq!(waiting.take(), Some((told, told)));
    }
}

/// What closing gives, and the state of the stream then.
fn closing(world: &mut World, mut stream: TcpStream, what: Close) -> crate::exec::Handle<(Result<(), Error>, State)> {
    world.spawn(async move {
        let closed = stream.close(what).await;
        (closed, stream.state())
    })
}

#[test]
fn close_read_takes_what_comes_until_the_peer_has_finished() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    let closed = closing(&mut world, stream, Close::Read);
    for _ in 0..100 {
        conn.send(ACK | PSH, &[7; 1_000]);
        world.run_ms(100);
        assert!(conn.take().iter().all(|seg| !seg.has(RST) && seg.wnd > 0));
    }
    assert!(!closed.is_done());
    conn.send(FIN | ACK, b"");
    world.run_ms(10);
    assert_eq!(closed.take(), Some((Ok(()), State::CloseWait)));
}

#[test]
fn close_write_waits_until_the_fin_is_acknowledged() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    let closed = closing(&mut world, stream, Close::Write);
    world.run_ms(10);
    assert!(conn.take().last().is_some_and(|seg| seg.has(FIN)));
    assert!(!closed.is_done());
    conn.send(ACK, b"");
    world.run_ms(10);
    assert_eq!(closed.take(), Some((Ok(()), State::FinWait2)));
}

/// A server's task must not be held by whoever never sends a FIN, silent or not.
#[test]
fn close_both_ends_with_a_reset_for_whom_sends_no_fin() {
    for talks in [false, true] {
        let (mut world, host, raw) = World::host_and_raw();
        let (stream, mut conn) = world.accepted(&host, &raw, 7);
        let closed = closing(&mut world, stream, Close::Both);
        world.run_ms(10);
        conn.take();
        conn.send(ACK, b"");
        // Config::orphan_timeout.
        for _ in 0..599 {
            if talks {
                conn.send(ACK | PSH, &[7; 100]);
            }
            world.run_ms(100);
            assert!(!conn.take().iter().any(|seg| seg.has(RST)));
        }
        assert!(!closed.is_done());
        world.run_for(Duration::from_millis(200));
        assert_eq!(closed.take(), Some((Err(Error::Closed(CloseReason::Aborted)), State::Closed)));
        assert!(conn.take().iter().any(|seg| seg.has(RST)), "the peer is told");
        assert_eq!(host.in_use(), (0, 0, 0));
    }
}

#[test]
fn close_both_after_the_peers_fin_waits_for_the_last_acknowledgment() {
    let (mut world, host, raw) = World::host_and_raw();
    let (stream, mut conn) = world.accepted(&host, &raw, 7);
    conn.send(FIN | ACK, b"");
    world.run_ms(10);
    let closed = closing(&mut world, stream, Close::Both);
    world.run_ms(10);
    conn.take();
    assert!(!closed.is_done());
    conn.send(ACK, b"");
    world.run_ms(10);
    assert_eq!(closed.take(), Some((Ok(()), State::Closed)));
}

#[test]
fn close_after_an_orderly_end_is_no_error() {
    for what in [Close::Read, Close::Write, Close::Both] {
        let (mut world, host, raw) = World::host_and_raw();
        let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
        conn.send(FIN | ACK, b"");
        world.run_ms(10);
        let closing = world.spawn(async move {
            let written = stream.close(Close::Write).await;
            (written, stream.state(), stream.close(what).await)
        });
        world.run_ms(10);
        conn.take();
        conn.send(ACK, b"");
        world.run_ms(10);
        assert_eq!(closing.take(), Some((Ok(()), State::Closed, Ok(()))), "{what:?}");
    }
}

#[test]
fn abort_tells_the_peer_and_a_close_after_it_says_so() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    assert_eq!(world.block_on(TcpShutdown::abort(&mut stream)), Ok(()));
    world.run_ms(10);
    assert!(conn.take().iter().any(|seg| seg.has(RST)));
    assert_eq!(world.block_on(stream.close(Close::Both)), Err(Error::Closed(CloseReason::Aborted)));
}
