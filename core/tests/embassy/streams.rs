//! Connections that work: bytes in both directions, backlogs, several tasks.

use std::rc::Rc;
use std::time::Duration;

use embedded_io_async::{Read, Write};
use tcp_reset_core::embassy::{TcpListener, TcpStream};
use tcp_reset_core::{Error, ListenOptions, State, StreamOptions};

use crate::exec::{Handle, World, both};
use crate::hosts::{HOST, Host, OTHER};

const MIB: usize = 1 << 20;

/// What `accept` gives.
type Accepted = Result<TcpStream, Error>;

/// Bytes that tell where they belong.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

pub async fn write_all(stream: &mut TcpStream, mut data: &[u8]) -> Result<(), Error> {
    while !data.is_empty() {
        let n = stream.write(data).await?;
        assert!(n > 0);
        data = &data[n..];
    }
    Ok(())
}

pub async fn read_to_end(stream: &mut TcpStream) -> Result<Vec<u8>, Error> {
    let (mut all, mut buf) = (Vec::new(), [0; 3_000]);
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(all),
            n => all.extend(&buf[..n]),
        }
    }
}

pub async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    let mut buf = [0; 1_000];
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            n => write_all(&mut stream, &buf[..n]).await?,
        }
    }
    stream.shutdown()?;
    stream.closed().await;
    Ok(())
}

/// An echo through `b`'s connection to `a`: the bytes that came back.
pub fn echo_between(world: &mut World, a: &Host, b: &Host, len: usize, patience: Duration) {
    let pair = world.pair(a, b, 7, ListenOptions::default());
    echo_through(world, pair, len, patience);
}

/// The same through a connection that is there: the stream accepted, the one connected.
pub fn echo_through(world: &mut World, pair: (TcpStream, TcpStream), len: usize, patience: Duration) {
    let (accepted, mut stream) = pair;
    let server = world.spawn(echo(accepted));
    let data: &'static [u8] = pattern(len).leak();
    let client = world.spawn(async move {
        let mut got: Vec<u8> = Vec::new();
        let (mut reader, mut writer) = stream.split();
        let sending = async { writer.write_all(data).await };
        let receiving = async {
            let mut buf = [0; 2_000];
            while got.len() < data.len() {
                match reader.read(&mut buf).await {
                    Ok(0) => break,
                    Ok(n) => got.extend(&buf[..n]),
                    Err(error) => panic!("{error} after {} bytes", got.len()),
                }
            }
        };
        let (sent, ()) = both(sending, receiving).await;
        sent.unwrap();
        stream.shutdown().unwrap();
        assert_eq!(stream.read(&mut [0; 10]).await, Ok(0));
        got
    });
    let got = world.join_for(patience, &client);
    assert!(got == data, "{} bytes came back, and not those that were sent", got.len());
    assert_eq!(world.join(&server), Ok(()));
}

#[test]
fn established_mebibyte_echoed_comes_back_unchanged() {
    let (mut world, a, b) = World::two_hosts();
    echo_between(&mut world, &a, &b, MIB, Duration::from_secs(120));
}

#[test]
fn established_lossy_wire_echo_comes_back_unchanged() {
    let (mut world, a, b) = World::two_hosts();
    let mut count = 0;
    world.net.filter = Box::new(move |_| {
        count += 1;
        count % 37 != 0
    });
    echo_between(&mut world, &a, &b, MIB / 8, Duration::from_secs(3_600));
}

#[test]
fn established_plain_read_and_write_carry_bytes_both_ways() {
    let (mut world, a, b) = World::two_hosts();
    let (mut one, mut two) = world.pair(&a, &b, 7, ListenOptions::default());
    let there = world.spawn(async move {
        write_all(&mut one, &pattern(MIB)).await.unwrap();
        one.shutdown().unwrap();
        read_to_end(&mut one).await
    });
    let back = world.spawn(async move {
        let got = read_to_end(&mut two).await;
        write_all(&mut two, &pattern(MIB)).await.unwrap();
        two.shutdown().unwrap();
        two.closed().await;
        got
    });
    assert!(world.join_for(Duration::from_secs(120), &there) == Ok(pattern(MIB)));
    assert!(world.join(&back) == Ok(pattern(MIB)));
}

#[test]
fn established_halves_in_two_tasks_read_and_write_at_once() {
    let (mut world, a, b) = World::two_hosts();
    let (one, two) = world.pair(&a, &b, 7, ListenOptions::default());
    let mut tasks = Vec::new();
    for stream in [one, two] {
        // Halves borrow their stream: tasks need one that lasts.
        let (mut reader, mut writer) = Box::leak(Box::new(stream)).split();
        world.spawn(async move { writer.write_all(&pattern(MIB / 4)).await.unwrap() });
        tasks.push(world.spawn(async move {
            let mut got = vec![0; MIB / 4];
            reader.read_exact(&mut got).await.unwrap();
            got
        }));
    }
    for task in &tasks {
        assert!(world.join_for(Duration::from_secs(60), task) == pattern(MIB / 4));
    }
}

#[test]
fn connected_stream_tells_endpoints_and_state() {
    let (mut world, a, b) = World::two_hosts();
    let (accepted, connected) = world.pair(&a, &b, 7, ListenOptions::default());
    assert_eq!(accepted.local_endpoint(), Some((HOST, 7).into()));
    assert_eq!(connected.remote_endpoint(), Some((HOST, 7).into()));
    assert_eq!(accepted.remote_endpoint(), connected.local_endpoint());
    assert_eq!(connected.local_endpoint().unwrap().ip(), OTHER);
    assert_eq!((accepted.state(), connected.state()), (State::Established, State::Established));
}

#[test]
fn connect_from_port_of_choice_uses_it_once() {
    let (mut world, a, b) = World::two_hosts();
    let _listener = a.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let stream = world.block_on(b.tcp.connect_from(5_555, (HOST, 7), StreamOptions::default())).unwrap();
    assert_eq!(stream.local_endpoint(), Some((OTHER, 5_555).into()));
    let again = world.block_on(b.tcp.connect_from(5_555, (HOST, 7), StreamOptions::default()));
    assert_eq!(again.err(), Some(Error::AddressInUse));
}

#[test]
fn listening_nobody_in_accept_backlog_keeps_clients() {
    let (mut world, a, b) = World::two_hosts();
    let listener = a.tcp.listen((HOST, 7), ListenOptions::default()).unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut stream = world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).unwrap();
        let port = stream.local_endpoint().unwrap().port().to_be_bytes();
        world.block_on(stream.write(&port)).unwrap();
        clients.push(stream);
    }
    world.run_ms(3_000);
    for client in &clients {
        let mut stream = world.block_on(listener.accept()).unwrap();
        assert_eq!(stream.remote_endpoint(), client.local_endpoint(), "the oldest first");
        let mut port = [0; 2];
        world.block_on(Read::read_exact(&mut stream, &mut port)).unwrap();
        assert_eq!(u16::from_be_bytes(port), client.local_endpoint().unwrap().port());
    }
}

#[test]
fn listening_more_clients_than_backlog_all_are_accepted_in_the_end() {
    let (mut world, a, b) = World::two_hosts();
    let options = ListenOptions { backlog: 2, ..ListenOptions::default() };
    let listener = a.tcp.listen((HOST, 7), options).unwrap();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let tcp = b.tcp;
            world.spawn(async move {
                let mut stream = tcp.connect((HOST, 7), StreamOptions::default()).await?;
                write_all(&mut stream, b"x").await?;
                Ok::<_, Error>(stream)
            })
        })
        .collect();
    world.run_ms(2_000);
    let mut accepted = Vec::new();
    for _ in 0..6 {
        let mut stream = world.block_on_for(Duration::from_secs(60), listener.accept()).unwrap();
        assert_eq!(world.block_on(stream.read(&mut [0; 10])), Ok(1));
        accepted.push(stream);
    }
    assert!(clients.iter().all(|client| client.take().unwrap().is_ok()));
}

/// Tasks that wait in `accept` of one listener.
fn waiting_in_accept(world: &mut World, host: &Host, count: usize) -> (Rc<TcpListener>, Vec<Handle<Accepted>>) {
    let listener = Rc::new(host.tcp.listen((HOST, 7), ListenOptions::default()).unwrap());
    let mut wait = || {
        let listener = listener.clone();
        world.spawn(async move { listener.accept().await })
    };
    let waiting = (0..count).map(|_| wait()).collect();
    (listener, waiting)
}

#[test]
fn accepting_two_tasks_each_gets_one() {
    let (mut world, a, b) = World::two_hosts();
    let (_listener, waiting) = waiting_in_accept(&mut world, &a, 2);
    let tcp = b.tcp;
    let connecting: Vec<_> =
        (0..2).map(|_| world.spawn(async move { tcp.connect((HOST, 7), StreamOptions::default()).await })).collect();
    let mut ends: Vec<_> = waiting.iter().map(|task| world.join(task).unwrap().remote_endpoint()).collect();
    let mut others: Vec<_> = connecting.iter().map(|task| world.join(task).unwrap().local_endpoint()).collect();
    ends.sort();
    others.sort();
    assert_eq!(ends, others);
}

#[test]
fn accepting_second_task_gets_the_second_connection_later() {
    let (mut world, a, b) = World::two_hosts();
    let (_listener, waiting) = waiting_in_accept(&mut world, &a, 2);
    let _first = world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).unwrap();
    world.run_ms(100);
    assert_eq!(waiting.iter().filter(|task| task.is_done()).count(), 1);
    let _second = world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).unwrap();
    world.run_ms(100);
    assert!(waiting.iter().all(|task| task.is_done()));
}

#[test]
fn accepting_four_tasks_all_sleep_and_each_gets_one() {
    accepting_tasks_all_sleep_and_each_gets_one(4);
}

/// Nothing says how many tasks may wait; whoever waits must sleep.
#[test]
fn accepting_six_tasks_all_sleep_and_each_gets_one() {
    accepting_tasks_all_sleep_and_each_gets_one(6);
}

fn accepting_tasks_all_sleep_and_each_gets_one(count: usize) {
    let (mut world, a, b) = World::two_hosts();
    let (_listener, waiting) = waiting_in_accept(&mut world, &a, count);
    world.run_ms(1);
    let polls: u64 = waiting.iter().map(|task| task.polls()).sum();
    assert!(polls < 100, "{polls} polls of tasks that wait");
    let _streams: Vec<_> =
        (0..count).map(|_| world.block_on(b.tcp.connect((HOST, 7), StreamOptions::default())).unwrap()).collect();
    world.run_ms(10);
    assert!(waiting.iter().all(|task| task.take().unwrap().is_ok()));
}
