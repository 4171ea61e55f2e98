//! Streams behind the traits that other crates are written for.

use std::net::SocketAddr;

use embedded_io_async::{ErrorKind, Read, ReadReady, Write, WriteReady};
use embedded_nal_async::TcpConnect;
use tcp_reset_core::embassy::{TcpClient, TcpStream};
use tcp_reset_core::{CloseReason, ListenOptions, StreamOptions};

use crate::exec::World;
use crate::hosts::{HOST, RAW};
use crate::packet::{ACK, FIN, PSH, RST};
use crate::streams::echo;

/// What a protocol crate does.
async fn ask<C: TcpConnect>(client: &C, remote: SocketAddr) -> Result<[u8; 5], ErrorKind> {
    use embedded_io_async::Error as _;
    let mut connection = client.connect(remote).await.map_err(|error| error.kind())?;
    connection.write_all(b"hello").await.map_err(|error| error.kind())?;
    connection.flush().await.map_err(|error| error.kind())?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).await.map_err(|_| ErrorKind::Other)?;
    Ok(answer)
}

async fn shout<W: Write>(mut writer: W) -> Result<(), W::Error> {
    writer.write_all(b"HELLO").await?;
    writer.flush().await
}

async fn hear<R: Read>(mut reader: R) -> [u8; 5] {
    let mut heard = [0; 5];
    reader.read_exact(&mut heard).await.unwrap();
    heard
}

fn is_readable<R: ReadReady>(mut reader: R) -> bool {
    reader.read_ready().unwrap()
}

fn is_writable<W: WriteReady>(mut writer: W) -> bool {
    writer.write_ready().unwrap()
}

#[test]
fn client_of_a_generic_protocol_is_answered() {
    let (mut world, a, b) = World::two_hosts();
    let listener = a.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    world.spawn(async move { echo(listener.accept().await.unwrap()).await });
    let client = TcpClient::new(b.tcp, StreamOptions::default());
    assert_eq!(world.block_on(ask(&client, (HOST, 7).into())), Ok(*b"hello"));
    assert_eq!(world.block_on(ask(&client, (HOST, 8).into())), Err(ErrorKind::ConnectionRefused));
    let group = "[ff02::1]:7".parse().unwrap();
    assert_eq!(world.block_on(ask(&client, group)), Err(ErrorKind::InvalidInput));
}

#[test]
fn client_options_are_every_connections() {
    let (mut world, host, raw) = World::host_and_raw();
    let client = TcpClient::new(host.tcp, StreamOptions { rx_buffer: 1_024, ..StreamOptions::default() });
    let connecting = world.spawn(async move { client.connect((RAW, 7).into()).await });
    raw.answer(&mut world, &host);
    assert!(world.join(&connecting).is_ok());
    assert!(host.segments_since(0).iter().all(|seg| seg.wnd == 1_024 || seg.has(RST)));
}

#[test]
fn stream_and_halves_work_behind_traits() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    let reading = async { hear(&mut two).await };
    let (sent, heard) = world.block_on(crate::exec::both(shout(&mut one), reading));
    assert_eq!((sent, heard), (Ok(()), *b"HELLO"));
    let (reader, writer) = one.split();
    let (their_reader, their_writer) = two.split();
    let both = crate::exec::both(
        crate::exec::both(shout(writer), hear(their_reader)),
        crate::exec::both(shout(their_writer), hear(reader)),
    );
    assert_eq!(world.block_on(both), ((Ok(()), *b"HELLO"), (Ok(()), *b"HELLO")));
}

#[test]
fn readiness_follows_what_a_call_would_do() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    assert!(!is_readable(&mut stream) && is_writable(&mut stream));
    conn.send(ACK | PSH, b"x");
    world.run_ms(2);
    assert!(is_readable(&mut stream));
    world.block_on(stream.read(&mut [0; 10])).unwrap();
    assert!(!is_readable(&mut stream));
    let room = stream.status().unwrap().writable;
    assert_eq!(world.block_on(stream.write(&vec![0; room])), Ok(room));
    assert!(!is_writable(&mut stream));
    {
        let (reader, writer) = stream.split();
        assert!(!is_readable(reader) && !is_writable(writer));
    }
    conn.send(ACK | FIN, b"");
    world.run_ms(2);
    assert!(is_readable(&mut stream), "the end of the stream is read at once");
    conn.send(RST, b"");
    world.run_ms(2);
    assert!(is_writable(&mut stream), "an error is told at once");
}

#[test]
fn readiness_after_shutdown_says_that_write_returns_at_once() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    let room = stream.status().unwrap().writable;
    world.block_on(stream.write(&vec![0; room])).unwrap();
    stream.shutdown().unwrap();
    assert!(is_writable(&mut stream), "write says SendShutdown without waiting");
}

#[test]
fn readiness_of_a_reset_stream_is_given_for_both() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, mut conn) = world.accepted(&host, &raw, 7);
    conn.send(RST, b"");
    world.run_ms(2);
    assert!(is_readable(&mut stream) && is_writable(&mut stream));
    assert_eq!(world.block_on(stream.closed()), CloseReason::ResetByPeer);
}

#[test]
fn everything_public_can_be_shown() {
    let (mut world, host, raw) = World::host_and_raw();
    let (mut stream, _conn) = world.accepted(&host, &raw, 7);
    let listener = host.tcp.listen((HOST, 8), ListenOptions::default()).unwrap();
    let client = TcpClient::new(host.tcp, StreamOptions::default());
    assert_eq!(format!("{:?} {client:?}", host.tcp), "TcpStack TcpClient");
    assert!(format!("{listener:?}").contains("ListenerHandle"));
    assert!(format!("{stream:?}").contains("ConnectionHandle"));
    let (reader, writer) = stream.split();
    assert!(format!("{reader:?} {writer:?}").starts_with("TcpReader("));
    fn is_unpin<T: Unpin>() {}
    is_unpin::<TcpStream>();
}
