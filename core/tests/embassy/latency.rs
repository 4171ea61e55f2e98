//! Requests and answers in small segments, beside embassy-net's own TCP against the same peer, whose Nagle's algorithm is on.

use embassy_net::tcp::TcpSocket;
use embedded_io_async::{Read, Write};
use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{ListenOptions, StreamOptions};

use crate::exec::World;
use crate::hosts::{HOST, OTHER, mac_of, static_config};
use crate::net::{Device, PortRef};

const EXCHANGES: usize = 20;
/// Long enough that what was written before has left, and no more.
const A_MOMENT_US: u64 = 50;

/// What both sides write before the other one's turn: a request or an answer, in so many pieces.
#[derive(Clone, Copy, Debug)]
struct Talk {
    request: usize,
    answer: usize,
}

const PIECE: [u8; 10] = *b"ten bytes.";

async fn say<S: Write>(stream: &mut S, pieces: usize) -> Result<(), S::Error> {
    for piece in 0..pieces {
        if piece > 0 {
            embassy_time::Timer::after_micros(A_MOMENT_US).await;
        }
        stream.write_all(&PIECE).await?;
    }
    Ok(())
}

/// With small reads, as protocols do: a header, then what it announces. Returns whether all came.
async fn hear<S: Read>(stream: &mut S, pieces: usize) -> bool {
    for _ in 0..pieces {
        let mut piece = [0; PIECE.len()];
        let (head, rest) = piece.split_at_mut(2);
        if stream.read_exact(head).await.is_err() || stream.read_exact(rest).await.is_err() {
            return false;
        }
    }
    true
}

async fn serve<S: Read + Write>(mut stream: S, talk: Talk) {
    while hear(&mut stream, talk.request).await && say(&mut stream, talk.answer).await.is_ok() {}
}

/// The longest and the whole time of the exchanges, in µs.
async fn ask<S: Read + Write>(mut stream: S, talk: Talk) -> (u64, u64) {
    let mut took = Vec::new();
    for _ in 0..EXCHANGES {
        let start = embassy_time::Instant::now();
        say(&mut stream, talk.request).await.unwrap();
        assert!(hear(&mut stream, talk.answer).await);
        took.push(start.elapsed().as_micros());
        // Whoever asks has something else to do now and then.
        embassy_time::Timer::after_millis(3).await;
    }
    (took.iter().copied().max().unwrap_or(0), took.iter().sum())
}

/// A device with embassy-net's TCP alone.
fn embassy_nets(world: &mut World, port: PortRef) -> TcpSocket<'static> {
    let config = embassy_net::Config::ipv4_static(static_config(HOST, None));
    let resources = Box::leak(Box::new(embassy_net::StackResources::<2>::new()));
    let (stack, runner) = embassy_net::new(Device(port.clone()), config, resources, 1);
    let runner = Box::leak(Box::new(runner));
    world.spawn(async move { runner.run().await });
    world.net.add(port);
    let buf = || -> &'static mut [u8] { Box::leak(Box::new([0; 4_096])) };
    TcpSocket::new(stack, buf(), buf())
}

/// The peer is ours in both cases; `HOST` has the stack that is judged.
fn ours(talk: Talk, asks: bool) -> (u64, u64) {
    let (mut world, host, peer) = World::two_hosts();
    let (one, two) = world.pair(&host, &peer, 7, ListenOptions::default());
    let (judged, peer): (TcpStream, TcpStream) = (one, two);
    let (server, client) = if asks { (peer, judged) } else { (judged, peer) };
    world.spawn(serve(server, talk));
    world.block_on(ask(client, talk))
}

fn theirs(talk: Talk, asks: bool) -> (u64, u64) {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    let took = theirs_in(&mut world, port.clone(), talk, asks);
    // Its segments are not ours to judge.
    port.set(|port| port.sent.clear());
    took
}

fn theirs_in(world: &mut World, port: PortRef, talk: Talk, asks: bool) -> (u64, u64) {
    let mut socket = embassy_nets(world, port);
    let peer = world.host(OTHER);
    world.run_ms(10);
    if asks {
        let listener = peer.tcp.listen((OTHER, 7), ListenOptions::default()).unwrap();
        world.spawn(async move { serve(listener.accept().await.unwrap(), talk).await });
        return world.block_on(async {
            socket.connect((OTHER, 7)).await.unwrap();
            ask(socket, talk).await
        });
    }
    world.spawn(async move {
        socket.accept(7).await.unwrap();
        serve(socket, talk).await;
    });
    world.block_on(async {
        let stream = peer.tcp.connect((HOST, 7), StreamOptions::default()).await.unwrap();
        ask(stream, talk).await
    })
}

/// An MQTT client that has subscribed to what it publishes with QoS 1 hears two: the acknowledgment and the message.
#[test]
fn exchanges_are_no_slower_than_with_embassy_nets_tcp() {
    for (request, answer) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)] {
        for asks in [true, false] {
            let talk = Talk { request, answer };
            let (ours, theirs) = (ours(talk, asks), theirs(talk, asks));
            println!(
                "{talk:?}, asks {asks}: at most {} and {} us, in all {} and {} us",
                ours.0, theirs.0, ours.1, theirs.1
            );
            assert!(ours.0 <= theirs.0 && ours.1 <= theirs.1, "{talk:?}, asks {asks}: {ours:?} and {theirs:?}");
        }
    }
}
