//! How long segments may be over IPv6: the device, the peer and a router on the way have a say.

use std::net::Ipv6Addr;

use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{Config, Error, ListenOptions, State, StreamOptions};

use super::frames::{TOO_BIG, UNREACHABLE, error};
use super::{FAR_V6, HOST_V6, Live, RAW_V6, of_both};
use crate::exec::World;
use crate::hosts::{Conn, HOST, Host, RAW, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{ACK, RST, SYN, Seg};

/// A host on a device that carries this many bytes of IP.
fn host_with_mtu(ip_mtu: usize, tcp: Config) -> (World, Host, Raw, Raw) {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| port.mtu = 14 + ip_mtu);
    let host = world.host_with(port, of_both(HOST, HOST_V6), tcp);
    let (raw_v4, raw_v6) = (world.raw(RAW), world.raw(RAW_V6));
    (world, host, raw_v4, raw_v6)
}

/// The MSS the host announces to this peer, in its SYN,ACK and in its SYN.
fn announced(world: &mut World, host: &Host, raw: &Raw) -> [Option<u16>; 2] {
    let any: std::net::IpAddr = if raw.addr.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let _listener = host.tcp.listen((any, 7), ListenOptions::default()).unwrap();
    let (tcp, remote) = (host.tcp, (raw.addr, 8));
    raw.conn(host, 40_000, 7).send(SYN, b"");
    let connecting = world.spawn(async move { tcp.connect(remote, StreamOptions::default()).await.is_ok() });
    world.run_ms(5);
    world.cancel(connecting);
    let got = raw.take_segments();
    let mss_of = |flags| got.iter().find(|seg| seg.flags == flags).and_then(|seg| seg.mss);
    [mss_of(SYN | ACK), mss_of(SYN)]
}

/// Writes as much as the stream takes, and gives what is sent at once.
fn flood(world: &mut World, host: &Host, stream: &mut TcpStream) -> (Vec<u8>, Vec<Seg>) {
    let mark = host.port.mark();
    let data = crate::streams::pattern(8_000);
    let len = world.block_on(stream.write(&data)).unwrap();
    world.run_ms(5);
    (data[..len].to_vec(), host.segments_since(mark))
}

fn longest(segments: &[Seg]) -> usize {
    segments.iter().map(|seg| seg.text.len()).max().unwrap()
}

#[test]
fn announced_mss_is_twenty_less_than_over_ipv4() {
    let of_mss = |mss| Config { mss: Some(mss), ..Config::default() };
    for (ip_mtu, tcp, v4, v6) in [
        (1_500, Config::default(), 1_460, 1_440),
        (1_280, Config::default(), 1_240, 1_220),
        (1_400, Config::default(), 1_360, 1_340),
        (1_500, of_mss(1_300), 1_300, 1_280),
        (9_000, of_mss(8_000), 8_000, 7_980),
    ] {
        let (mut world, host, raw_v4, raw_v6) = host_with_mtu(ip_mtu, tcp);
        assert_eq!(announced(&mut world, &host, &raw_v4), [Some(v4); 2], "MTU {ip_mtu}, IPv4");
        assert_eq!(announced(&mut world, &host, &raw_v6), [Some(v6); 2], "MTU {ip_mtu}, IPv6");
    }
}

/// RFC 8200 §5: a link that carries less than 1,280 bytes is none for IPv6.
#[test]
fn device_below_the_minimum_speaks_ipv4_alone() {
    let (mut world, host, raw_v4, raw_v6) = host_with_mtu(1_279, Config::default());
    let listener = host.tcp.listen((Ipv6Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    let buf = || -> &'static mut [u8] { Box::leak(Box::new([0; 1_024])) };
    let mut socket = embassy_net::tcp::TcpSocket::new(host.stack, buf(), buf());
    let accepting = world.spawn(async move { socket.accept(7).await.is_ok() });
    let mark = host.port.mark();
    raw_v6.conn(&host, 40_000, 7).send(SYN, b"");
    world.run_ms(100);
    assert_eq!(host.port.sent_since(mark), [] as [Vec<u8>; 0]);
    assert!(!accepting.is_done());
    let connected = world.block_on(host.tcp.connect((RAW_V6, 7), StreamOptions::default()));
    assert_eq!(connected.err(), Some(Error::NoRoute));
    let conn = raw_v4.open(&mut world, &host, 40_000, 7);
    let stream = world.block_on(listener.accept()).unwrap();
    Live { stream, conn }.exchange(&mut world);
}

#[test]
fn device_of_exactly_the_minimum_speaks_both() {
    let (mut world, host, raw_v4, raw_v6) = host_with_mtu(1_280, Config::default());
    for (raw, most) in [(raw_v4, 1_240), (raw_v6, 1_220)] {
        let Live { mut stream, mut conn } = Live::accept(&mut world, &host, &raw);
        let (_, segments) = flood(&mut world, &host, &mut stream);
        assert_eq!(longest(&segments), most, "to {}", raw.addr);
        conn.send(RST, b"");
        world.run_ms(5);
    }
}

/// Opens a connection as a peer that announces this MSS, or none.
fn opened_with_mss(world: &mut World, host: &Host, raw: &Raw, mss: Option<u16>) -> Live {
    let listener = host.tcp.listen((HOST_V6, 7), ListenOptions::default()).unwrap();
    let mut conn = raw.conn(host, 40_000, 7);
    let syn = Seg { mss, ..conn.segment(SYN, b"") };
    conn.seq += 1;
    raw.send_packet(conn.to, &syn.packet());
    world.run_ms(5);
    conn.take();
    conn.send(ACK, b"");
    let stream = world.block_on(listener.accept()).unwrap();
    Live { stream, conn }
}

/// RFC 9293 §3.7.1: without the option 1,220; never more than the device carries.
#[test]
fn peers_mss_and_the_device_bound_what_is_sent() {
    for (mss, most) in
        [(None, 1_220), (Some(536), 536), (Some(1_300), 1_300), (Some(1_440), 1_440), (Some(9_000), 1_440)]
    {
        let (mut world, host, raw) = World::dual_host_and_raw();
        let mut live = opened_with_mss(&mut world, &host, &raw, mss);
        let (_, segments) = flood(&mut world, &host, &mut live.stream);
        assert_eq!(longest(&segments), most, "announced {mss:?}");
    }
}

/// A connection with segments of 1,440 bytes in flight, none of which has arrived.
fn in_flight() -> (World, Host, Live, Vec<u8>, Vec<Seg>) {
    let (mut world, host, raw) = World::dual_host_and_raw();
    let mut live = Live::accept(&mut world, &host, &raw);
    let (data, sent) = flood(&mut world, &host, &mut live.stream);
    assert_eq!(longest(&sent), 1_440);
    raw.take();
    (world, host, live, data, sent)
}

fn too_big(world: &mut World, host: &Host, conn: &Conn, mtu: u32, about: &Seg) -> Vec<Seg> {
    let mark = host.port.mark();
    conn.raw.send_packet(host.mac(), &error(FAR_V6, HOST_V6, TOO_BIG, mtu, &about.packet()));
    world.run_ms(5);
    host.segments_since(mark)
}

/// Acknowledges what comes until all of it is there; gives the longest text.
fn take_all(world: &mut World, live: &mut Live, data: &[u8]) -> usize {
    let mut most = 0;
    for _ in 0..100 {
        most = most.max(live.conn.take().iter().map(|seg| seg.text.len()).max().unwrap_or(0));
        if live.conn.got.len() >= data.len() {
            break;
        }
        live.conn.send(ACK, b"");
        world.run_ms(100);
    }
    assert!(live.conn.got == data, "{} bytes arrived of {}", live.conn.got.len(), data.len());
    live.conn.send(ACK, b"");
    world.run_ms(5);
    most
}

/// RFC 8201 §5.4: what was too big is sent again in smaller pieces, and what follows is no bigger.
#[test]
fn established_packet_too_big_shrinks_segments() {
    let (mut world, host, mut live, data, sent) = in_flight();
    let again = too_big(&mut world, &host, &live.conn, 1_400, &sent[0]);
    assert_eq!(again.first().map(|seg| (seg.seq, seg.text.len())), Some((sent[0].seq, 1_340)), "at once");
    assert_eq!(take_all(&mut world, &mut live, &data), 1_340);
    let (_, more) = flood(&mut world, &host, &mut live.stream);
    assert_eq!(longest(&more), 1_340);
}

/// RFC 8201 §4: the minimum is what every link carries; a router that says less is not believed.
#[test]
fn established_packet_too_big_below_the_minimum_changes_nothing() {
    for (mtu, longest) in [(0, 1_440), (68, 1_440), (1_279, 1_440), (1_280, 1_220)] {
        let (mut world, host, mut live, data, sent) = in_flight();
        too_big(&mut world, &host, &live.conn, mtu, &sent[0]);
        assert_eq!(take_all(&mut world, &mut live, &data), longest, "MTU {mtu}");
    }
}

/// RFC 8201 §4: an estimate does not grow by such a message.
#[test]
fn established_packet_too_big_for_more_than_is_sent_changes_nothing() {
    let (mut world, host, mut live, data, sent) = in_flight();
    assert_eq!(too_big(&mut world, &host, &live.conn, 1_500, &sent[0]), []);
    assert_eq!(too_big(&mut world, &host, &live.conn, u32::MAX, &sent[0]), []);
    assert_eq!(take_all(&mut world, &mut live, &data), 1_440);
}

/// RFC 5927 §4.1, §7.2: a message about what is not in flight is somebody's guess.
#[test]
fn established_packet_too_big_about_a_segment_never_sent_changes_nothing() {
    let (mut world, host, mut live, data, sent) = in_flight();
    let guesses = [
        Seg { seq: sent[0].seq.wrapping_sub(1), ..sent[0].clone() },
        Seg { seq: sent[0].seq.wrapping_add(100_000), ..sent[0].clone() },
        Seg { sport: 8, ..sent[0].clone() },
        Seg { dport: 40_001, ..sent[0].clone() },
        Seg { dst: FAR_V6.into(), ..sent[0].clone() },
    ];
    let before = host.tcp.inspect(|link| *link.counters());
    for guess in &guesses {
        assert_eq!(too_big(&mut world, &host, &live.conn, 1_280, guess), [], "{guess:?}");
    }
    let after = host.tcp.inspect(|link| *link.counters());
    assert_eq!(after.icmp_errors, before.icmp_errors);
    assert_eq!(after.icmp_errors_ignored - before.icmp_errors_ignored, guesses.len() as u32);
    assert_eq!(take_all(&mut world, &mut live, &data), 1_440);
}

/// It is one path's: neither the other family nor another connection is told.
#[test]
fn established_packet_too_big_leaves_ipv4_as_it_is() {
    let (mut world, host, mut live, _data, sent) = in_flight();
    let raw_v4 = world.raw(RAW);
    let listener = host.tcp.listen((HOST, 9), ListenOptions::default()).unwrap();
    let _conn = raw_v4.open(&mut world, &host, 40_000, 9);
    let mut v4 = world.block_on(listener.accept()).unwrap();
    too_big(&mut world, &host, &live.conn, 1_280, &sent[0]);
    let (_, segments) = flood(&mut world, &host, &mut v4);
    assert_eq!(longest(&segments), 1_460);
    live.conn.send(RST, b"");
    world.run_ms(5);
}

/// RFC 5927 §5.2: errors are hints once a connection is there.
#[test]
fn established_destination_unreachable_ends_nothing() {
    let (mut world, host, mut live, data, sent) = in_flight();
    live.conn.raw.send_packet(host.mac(), &error(FAR_V6, HOST_V6, UNREACHABLE, 0, &sent[0].packet()));
    world.run_ms(5);
    assert_eq!(live.stream.state(), State::Established);
    assert_eq!(host.tcp.inspect(|link| link.counters().icmp_errors), 1);
    assert_eq!(take_all(&mut world, &mut live, &data), 1_440);
}
