//! What holds whatever a peer, an attacker, the network or a full table does: bounds in time, room that comes back, ends that are told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tcp_reset_core::link::{Interface, Link as Frames, LinkOutput, Medium, Received};
use tcp_reset_core::*;

use support::family::{Family, internet_checksum, ip_packet, over_each};
use support::rig::{self, end_of as closed};
use support::rig::{BUFFER, LargeStore, Link, PEER_ISN, Raw, START, Store, World, quick_config, small_stream};
use support::table::{ACK, FIN, RST, SYN, Seg};

fn on(test: impl Fn(&mut Link<'_>)) {
    on_with(quick_config(), test);
}

fn on_with(config: Config, test: impl Fn(&mut Link<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Link::new(World::new(&mut *store, config), family, PEER_ISN));
    });
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

// Opening

#[test]
fn syn_sent_forged_syn_does_not_stop_the_connection() {
    on(|l| {
        l.dial();
        assert_eq!(l.inject(&Seg::new(SYN, 0x7000_0000, 0, 0, 500)).rule, Rule::SynSentSyn);
        let _ = l.say(SYN | ACK, 3);
        assert_eq!(l.status().unwrap().state, State::Established);
        assert_eq!(l.recv(), rig::stream(PEER_ISN + 1, 3), "the text that came with it, and its numbers");
        let _ = l.say(ACK, 5);
        assert_eq!(l.recv().len(), 5);
        l.send(4);
        assert_eq!(l.world.only().text.len(), 4);
    });
}

/// The peer's RST answers our SYN,ACK to a SYN it never sent, and its own SYN,ACK was lost.
#[test]
fn syn_sent_forged_syn_and_the_peers_rst_do_not_stop_the_connection() {
    on(|l| {
        l.dial();
        let _ = l.inject(&Seg::new(SYN, 0x7000_0000, 0, 0, 500));
        let answer = l.world.only().ack;
        let _ = l.inject(&Seg::new(RST, answer, 0, 0, 0));
        assert_eq!(l.world.only().flags, SYN, "asked again at once");
        let _ = l.say(SYN | ACK, 0);
        assert_eq!(l.status().unwrap().state, State::Established);
    });
}

/// Our SYN waits for its next hop while a stranger opens and resets in the peer's name.
#[test]
fn syn_sent_syn_that_waits_for_its_next_hop_survives_forgeries() {
    on(|l| {
        let now = l.world.now;
        l.world.tcp.connect(now, l.us, l.peer, None, small_stream()).unwrap();
        let Output::Transmit(transmit) = l.world.tcp.poll_output(now) else { panic!("no SYN") };
        transmit.defer();
        let arrival = Arrival { src: l.peer.ip(), dst: l.us.ip(), hop: Hop::default() };
        for (seq, flags) in [(500, SYN), (501, RST)] {
            let bytes = Raw { seq, flags, wnd: 100, ..Raw::default() }.bytes(l.peer, l.us);
            let _ = l.world.tcp.handle_segment(now, &arrival, &bytes);
        }
        l.world.tcp.neighbour_changed();
        l.world.drain();
        assert_eq!(l.world.only().flags, SYN);
    });
}

/// The application closes during a simultaneous open that then proves to be none.
#[test]
fn syn_received_closed_and_returned_is_over() {
    on(|l| {
        l.dial();
        let _ = l.inject(&Seg::new(SYN, 5_000, 0, 0, 500));
        let handle = l.handle.unwrap();
        l.world.tcp.close(l.world.now, handle).unwrap();
        l.world.drain();
        let verdict = l.inject(&Seg::new(RST, 5_001, 0, 0, 0));
        assert_eq!(verdict.action, Action::Ended(CloseReason::ClosedBeforeOpen));
        assert_eq!(l.world.sent, [], "no SYN for an application that has gone");
        assert_eq!(closed(l), Some(CloseReason::ClosedBeforeOpen));
        assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
    });
}

#[test]
fn ephemeral_ports_keep_to_their_range_and_leave_listeners_out() {
    let ports = PortRange { first: 2_000, last: 2_003 };
    on_with(Config { ephemeral_ports: ports, ..quick_config() }, |l| {
        let options = ListenOptions { stream: small_stream(), ..ListenOptions::default() };
        l.world.tcp.listen(SocketAddr::new(l.us.ip(), 2_001), options).unwrap();
        let local = SocketAddr::new(l.us.ip(), 0);
        let now = l.world.now;
        let mut connect = || l.world.tcp.connect(now, local, l.peer, Some(Hop::default()), small_stream());
        let handles: Vec<_> = (0..3).map(|_| connect().unwrap()).collect();
        assert_eq!(connect(), Err(Error::NoPort), "one beyond what the range has");
        let mut taken: Vec<u16> = handles.iter().map(|h| l.world.tcp.status(*h).unwrap().local.port()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [2_000, 2_002, 2_003]);
    });
}

#[test]
fn ephemeral_ports_are_spread_from_1024_on() {
    on(|l| {
        let mut ports = Vec::new();
        for n in 0..300 {
            let remote = SocketAddr::new(l.peer.ip(), 5_000 + n);
            let local = SocketAddr::new(l.us.ip(), 0);
            let handle = l.world.tcp.connect(l.world.now, local, remote, Some(Hop::default()), small_stream()).unwrap();
            ports.push(l.world.tcp.status(handle).unwrap().local.port());
            l.world.tcp.abort(l.world.now, handle).unwrap();
            l.world.drain();
        }
        assert!(ports.iter().all(|port| *port >= 1_024));
        assert!(ports.iter().any(|port| *port < 10_000) && ports.iter().any(|port| *port > 50_000), "{ports:?}");
    });
}

/// R1 passed while the SYN was sent again; what the path is worth is asked anew once the connection is there.
#[test]
fn syn_sent_doubt_ends_with_the_handshake() {
    on(|l| {
        l.dial();
        for _ in 0..4 {
            let _ = l.world.next_deadline();
        }
        let stalls = |l: &Link<'_>| l.world.events.iter().filter(|event| matches!(event, Event::Stalled(_))).count();
        assert_eq!(stalls(l), 1);
        let _ = l.say(SYN | ACK, 0);
        l.send(5);
        for _ in 0..4 {
            let _ = l.world.next_deadline();
        }
        assert_eq!(stalls(l), 2, "the connection's own silence is told");
    });
}

// Bounds in time

/// The application has left. Its peer acknowledges now and then, just enough to look alive.
#[test]
fn orphan_that_trickles_is_ended_in_total() {
    on(|l| {
        l.open();
        l.peer_offers(0);
        l.send(BUFFER);
        let begin = l.world.now;
        let (una, rcv_nxt) = (l.model.snd_una, l.model.rcv_nxt);
        l.close();
        for n in 1..200 {
            l.world.wait(seconds(5));
            if l.world.tcp.in_use().0 == 0 {
                break;
            }
            let _ = l.inject(&Seg::new(ACK, rcv_nxt, una.wrapping_add(n.min(BUFFER - 1)), 0, 1));
        }
        let held = l.world.now.duration_since(begin);
        assert!(held <= seconds(65), "{held:?}");
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Orphan)));
        assert_eq!(l.world.tcp.counters().reset_sent(ResetReason::TimedOut), 1, "the peer is told");
    });
}

#[test]
fn orphan_limit_holds_however_the_window_moves() {
    for wnd in [0, 1, 1_000] {
        on_with(Config { orphan_timeout: seconds(7), ..quick_config() }, |l| {
            l.open();
            l.send(20);
            l.close();
            let begin = l.world.now;
            let stale = Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, wnd);
            while l.world.tcp.in_use().0 > 0 {
                l.world.wait(Duration::from_millis(500));
                let _ = l.inject(&stale);
                assert!(l.world.now.duration_since(begin) <= Duration::from_millis(8_500), "window {wnd}");
            }
            assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Orphan)));
        });
    }
}

/// The window opens by one and closes again, and nothing in flight is ever acknowledged.
#[test]
fn established_flapping_window_ends_by_r2() {
    on(|l| {
        l.open();
        l.send(20);
        let begin = l.world.now;
        let (rcv_nxt, una) = (l.model.rcv_nxt, l.model.snd_una);
        for n in 0_u32.. {
            let _ = l.inject(&Seg::new(ACK, rcv_nxt, una, 0, n % 2));
            l.world.wait(Duration::from_millis(700));
            if closed(l).is_some() {
                break;
            }
            assert!(l.world.now.duration_since(begin) < seconds(400), "held for ever");
        }
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Retransmission)));
    });
    // MUST-37: a window that stays closed is no reason, as long as probes are answered.
    on(|l| {
        l.open();
        l.send(20);
        for _ in 0..2_000 {
            let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 0));
            l.world.wait(seconds(60));
        }
        assert_eq!(closed(l), None);
        assert_eq!(l.status().unwrap().state, State::Established);
    });
}

/// A window that was closed for long and opens has a whole R2 for what was in flight.
#[test]
fn established_opened_window_starts_r2_once() {
    on(|l| {
        l.open();
        l.send(20);
        for _ in 0..30 {
            let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 0));
            l.world.wait(seconds(60));
        }
        let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 1_000));
        l.world.wait(seconds(95));
        assert_eq!(closed(l), None);
        l.peer_acks();
        l.world.wait(seconds(1_000));
        assert_eq!(closed(l), None, "progress was made");
    });
}

/// R2 has passed and the last attempt is out when the peer says that its window is closed: it is probed, and given up if it is silent then.
#[test]
fn established_window_that_closes_after_the_last_attempt_is_probed() {
    on(|l| {
        l.open();
        l.send(10);
        let began = l.world.now;
        while l.world.now.duration_since(began) < seconds(100) {
            let _ = l.world.next_deadline();
        }
        let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, l.model.snd_una, 0, 0));
        let heard = l.world.now;
        let _ = l.world.next_deadline();
        assert_eq!(l.world.only().text.len(), 1, "the window is probed");
        while closed(l).is_none() {
            let _ = l.world.next_deadline();
        }
        assert!(l.world.now.duration_since(heard) >= seconds(100), "R2 counts from there");
        assert!(l.world.now.duration_since(heard) <= seconds(300));
    });
}

/// Progress ends the doubt: the next silence is told like the first.
#[test]
fn established_silence_after_progress_is_told_again() {
    on(|l| {
        l.open();
        for n in 1..=2 {
            l.send(5);
            for _ in 0..4 {
                let _ = l.world.next_deadline();
            }
            let stalls = l.world.events.iter().filter(|event| matches!(event, Event::Stalled(_))).count();
            assert_eq!(stalls, n);
            l.peer_acks();
            // A round trip that is measured takes the back-off away.
            l.send(5);
            l.peer_acks();
        }
    });
}

/// The quota is spent and a challenge withheld; an acknowledgment that was held back is not put off with it (MUST-40).
#[test]
fn established_delayed_ack_does_not_wait_for_a_withheld_challenge() {
    on_with(Config { delayed_ack: Duration::from_millis(40), ..quick_config() }, |l| {
        l.open();
        for _ in 0..12 {
            let _ = l.inject(&Seg::new(SYN, l.model.rcv_nxt.wrapping_add(30), 0, 0, 0));
        }
        let at = l.model.rcv_nxt;
        let _ = l.inject(&Seg::new(ACK, at, l.model.snd_nxt, 5, 1_000));
        assert_eq!(l.world.sent, [], "held back");
        let verdict = l.inject(&Seg::new(RST, at.wrapping_add(20), 0, 0, 0));
        assert_eq!(verdict.action, Action::Limited);
        assert_eq!(l.world.only().ack, at.wrapping_add(5));
    });
}

#[test]
fn r2_is_as_short_as_asked() {
    on(|l| {
        l.open_with(StreamOptions { r2: seconds(2), ..small_stream() });
        l.send(5);
        let begin = l.world.now;
        while closed(l).is_none() {
            let _ = l.world.next_deadline();
        }
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Retransmission)));
        assert!(l.world.now.duration_since(begin) <= seconds(3), "one last attempt after R2");
    });
    on_with(Config { connect_timeout: seconds(5), ..quick_config() }, |l| {
        l.dial();
        let begin = l.world.now;
        while closed(l).is_none() {
            let _ = l.world.next_deadline();
        }
        assert_eq!(closed(l), Some(CloseReason::TimedOut(Timer::Connect)));
        assert!(l.world.now.duration_since(begin) <= seconds(6));
    });
}

// Closing

#[test]
fn established_fin_at_closed_window_is_taken() {
    on(|l| {
        l.open();
        let before = l.model.rcv_nxt;
        let _ = l.say(ACK, BUFFER);
        assert_eq!(l.model.rcv_wnd, 0);
        let verdict = l.say(FIN | ACK, 0);
        assert_eq!((verdict.rule, verdict.action), (Rule::FinInOrder, Action::Accepted));
        assert_eq!(l.world.only().ack, l.model.rcv_nxt);
        assert_eq!(l.status().unwrap().state, State::CloseWait);
        assert_eq!(l.recv(), rig::stream(before, BUFFER), "nothing is lost");
        assert_eq!(l.world.tcp.recv(l.world.now, l.handle.unwrap(), &mut [0]), Ok(0), "then the end");
    });
    // Text that fills the window, and the FIN right behind it.
    on(|l| {
        l.open();
        let verdict = l.inject(&Seg::new(FIN | ACK, l.model.rcv_nxt, l.model.snd_nxt, BUFFER, 1_000));
        assert_eq!(verdict.rule, Rule::FinInOrder);
        assert_eq!(l.status().unwrap().state, State::CloseWait);
    });
    // One octet beyond the window is not taken, and so is no FIN behind it.
    on(|l| {
        l.open();
        let verdict = l.inject(&Seg::new(FIN | ACK, l.model.rcv_nxt, l.model.snd_nxt, BUFFER + 1, 1_000));
        assert_eq!(verdict.rule, Rule::TextInOrder);
        assert_eq!(l.status().unwrap().state, State::Established);
    });
}

#[test]
fn bare_fin_sent_again_carries_no_push() {
    on(|l| {
        l.open();
        l.shutdown();
        assert_eq!(l.world.only().flags, FIN | ACK);
        assert_eq!(l.world.next_deadline(), Timer::Retransmission);
        assert_eq!(l.world.only().flags, FIN | ACK);
    });
}

// Sharing what there is

/// A scan at the device's speed: each frame that leaves makes room for one more answer to it.
#[test]
fn scan_of_ports_does_not_silence_a_connection() {
    on(|l| {
        l.open();
        let mut buf = [0; 2_048];
        let scan = |l: &mut Link<'_>, n: u16| {
            let mut bytes = [0; rig::LARGEST];
            let src = SocketAddr::new(l.peer.ip(), 10_000 + n);
            let raw = Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() };
            let len = raw.write(src, l.us, false, &mut bytes);
            let arrival = Arrival { src: src.ip(), dst: l.us.ip(), hop: Hop::default() };
            let _ = l.world.tcp.handle_segment(l.world.now, &arrival, &bytes[..len]);
        };
        for n in 0..20 {
            scan(l, n);
        }
        let handle = l.handle.unwrap();
        l.world.tcp.send(l.world.now, handle, &[7; 40]).unwrap();
        for turn in 0..3 {
            scan(l, 100 + turn);
            let Output::Transmit(transmit) = l.world.tcp.poll_output(l.world.now) else { panic!("answers are due") };
            let is_ours = transmit.reset_reason().is_none();
            let _ = transmit.emit(&mut buf).unwrap();
            if is_ours {
                return;
            }
        }
        panic!("the connection has no turn");
    });
}

#[test]
fn last_resets_are_not_flushed_by_strangers() {
    on(|l| {
        l.open();
        assert_eq!(l.inject(&Seg::new(RST, l.model.rcv_nxt, 0, 0, 0)).rule, Rule::RstExact);
        let ours: Vec<_> = l.world.tcp.last_resets().copied().collect();
        assert_eq!(ours.len(), 1);
        for n in 0..50_u32 {
            for flags in [RST, SYN, ACK, RST | ACK] {
                let _ = l.inject(&Seg::new(flags, n, n, 0, 0));
            }
        }
        assert_eq!(l.world.tcp.last_resets().copied().collect::<Vec<_>>(), ours);
    });
}

type Pool = Storage<16, 1, 1, 1, 16_384>;

/// Opens a connection to a port of the peer's, with buffers of a size.
fn connect_to_port_on(family: Family) -> impl Fn(&mut World<'_>, u16, usize) -> Result<ConnectionHandle, Error> {
    move |w, n, size| {
        let remote = SocketAddr::new(rig::peer(family).ip(), 1_000 + n);
        w.tcp.connect(START, rig::us(family), remote, Some(Hop::default()), of_size(size))
    }
}

fn of_size(size: usize) -> StreamOptions {
    StreamOptions { rx_buffer: size, tx_buffer: size, ..StreamOptions::default() }
}

/// Whatever order sizes come and go in: as long as enough octets are free, a connection gets its buffers, and what the others hold moves
/// with them.
#[test]
fn pool_with_room_in_pieces_takes_a_connection() {
    over_each(|family| {
        let mut store = Box::new(Pool::new());
        let mut w = World::new(&mut *store, quick_config());
        let (us, peer) = (rig::us(family), rig::peer(family));
        let connect = connect_to_port_on(family);
        let handles: Vec<_> = (0..16).map(|n| connect(&mut w, n, 512).unwrap()).collect();
        assert_eq!(w.tcp.pool_in_use(), 16_384);
        for (n, handle) in handles.iter().enumerate() {
            assert_eq!(w.tcp.send(START, *handle, &[n as u8; 100]), Ok(100));
        }
        w.drain();
        for handle in handles.iter().step_by(2) {
            w.tcp.abort(START, *handle).unwrap();
        }
        w.drain();
        assert_eq!(w.tcp.pool_in_use(), 8_192);
        for n in 20..24 {
            assert!(connect(&mut w, n, 1_024).is_ok(), "8 KiB are free");
        }
        assert_eq!(connect(&mut w, 30, 64), Err(Error::NoBuffer), "and no octet more");
        assert_eq!(w.tcp.counters().pool_compactions, 1);
        w.drain();
        for n in (1..16).step_by(2) {
            let remote = SocketAddr::new(peer.ip(), 1_000 + n);
            let iss = w.tcp.status(handles[usize::from(n)]).unwrap().snd_una.0;
            let raw = Raw { seq: 9, ack: iss.wrapping_add(1), flags: SYN | ACK, wnd: 1_000, ..Raw::default() };
            let _ = w.arrive(remote, us, &raw);
            let text: Vec<u8> = w.sent.iter().flat_map(|sent| sent.text.clone()).collect();
            assert_eq!(text, [n as u8; 100], "what was queued before");
        }
    });
}

/// Mixes of sizes as listeners and clients have them, in random order: nobody is refused while there is room.
/// Neighbors that are free are one run again, in whatever order they became free: nothing is moved for a large one.
#[test]
fn pool_joins_what_is_free() {
    over_each(|family| {
        let mut store = Box::new(Pool::new());
        let mut w = World::new(&mut *store, quick_config());
        let connect = connect_to_port_on(family);
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let handles: Vec<_> = (0..4).map(|n| connect(&mut w, n, 2_048).unwrap()).collect();
            for n in order {
                w.tcp.abort(START, handles[n]).unwrap();
                w.drain();
            }
            let all = connect(&mut w, 9, 8_192).unwrap();
            w.tcp.abort(START, all).unwrap();
            w.drain();
        }
        assert_eq!(w.tcp.counters().pool_compactions, 0);
    });
}

#[test]
fn pool_grants_whatever_fits() {
    let sizes = [64, 128, 256, 512, 1_024, 2_048];
    let mut store = Box::new(Storage::<32, 1, 1, 1, 16_384>::new());
    let mut w = World::new(&mut *store, quick_config());
    let (us, peer) = (rig::us(Family::V4), rig::peer(Family::V4));
    let mut random = 1_u32;
    let mut held: Vec<ConnectionHandle> = Vec::new();
    let mut refused = 0;
    for n in 0..20_000_u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let pick = (random >> 16) as usize;
        if pick.is_multiple_of(3) && !held.is_empty() {
            let handle = held.swap_remove(pick / 3 % held.len());
            w.tcp.abort(START, handle).unwrap();
            w.drain();
            continue;
        }
        let size = sizes[pick / 3 % sizes.len()];
        let remote = SocketAddr::new(peer.ip(), 1 + (n % 60_000) as u16);
        let fits = w.tcp.pool_in_use() + 2 * size <= 16_384;
        match w.tcp.connect(START, us, remote, Some(Hop::default()), of_size(size)) {
            Ok(handle) => held.push(handle),
            Err(Error::NoSlot) => {}
            Err(error) => {
                assert!(error == Error::NoBuffer && !fits, "{error}: {} in use, {size}", w.tcp.pool_in_use());
                refused += 1;
            }
        }
        w.drain();
    }
    assert!(refused > 100 && w.tcp.counters().pool_compactions > 10, "the pool was full, and in pieces");
    for handle in held {
        w.tcp.abort(START, handle).unwrap();
    }
    w.drain();
    assert_eq!((w.tcp.in_use(), w.tcp.pool_in_use()), ((0, 0, 0), 0));
}

// What the network says

/// A router's "fragmentation needed" (RFC 1191) about an IPv4 packet of ours.
fn too_big(about: &[u8], mtu: u16, us: IpAddr) -> Vec<u8> {
    let mut icmp = vec![3, 4, 0, 0, 0, 0, (mtu >> 8) as u8, mtu as u8];
    icmp.extend(&about[..28]);
    let sum = internet_checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let IpAddr::V4(us) = us else { panic!("IPv4") };
    let mut packet = vec![0x45, 0, 0, (20 + icmp.len()) as u8, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 9];
    packet.extend(us.octets());
    let sum = internet_checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(icmp);
    packet
}

struct Path<'s> {
    frames: Frames<'s>,
    now: Instant,
    handle: ConnectionHandle,
    iss: u32,
}

impl<'s> Path<'s> {
    /// A connection over plain IPv4 whose peer takes 1,460 octets in a segment.
    fn open(store: &'s mut LargeStore) -> Path<'s> {
        let (us, peer) = (rig::us(Family::V4), rig::peer(Family::V4));
        let tcp = Tcp::new(store, Config::default(), rig::key(1)).unwrap();
        let mut frames = Frames::new(tcp, Medium::Ip, ChecksumBy::Software);
        frames.set_addresses(&[Interface { addr: us.ip(), prefix: 24 }], None).unwrap();
        let handle = frames.connect(START, 80, peer, of_size(8_192)).unwrap();
        let mut path = Path { frames, now: START, handle, iss: 0 };
        let syn = path.drain().remove(0);
        path.iss = u32::from_be_bytes([syn[24], syn[25], syn[26], syn[27]]);
        let raw = Raw {
            seq: PEER_ISN,
            ack: path.iss.wrapping_add(1),
            flags: SYN | ACK,
            wnd: 60_000,
            options: &[2, 4, 5, 180],
            ..Raw::default()
        };
        let mut bytes = [0; rig::LARGEST];
        let len = raw.write(peer, us, true, &mut bytes);
        let _ = path.frames.handle_frame(START, &ip_packet(peer.ip(), us.ip(), &bytes[..len]));
        path.drain();
        path
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match self.frames.poll_output(self.now) {
                LinkOutput::Transmit(frame) => {
                    let mut buf = vec![0; frame.len()];
                    frame.emit(&mut buf).unwrap();
                    out.push(buf);
                }
                LinkOutput::Event(_) => {}
                LinkOutput::Timeout(_) => {
                    assert_eq!(self.frames.audit(), Ok(()));
                    return out;
                }
            }
        }
    }

    fn send(&mut self, len: usize) -> Vec<Vec<u8>> {
        let now = self.now;
        self.frames.tcp().send(now, self.handle, &vec![7; len]).unwrap();
        self.drain()
    }

    fn mss(&self) -> u16 {
        self.frames.tcp_ref().status(self.handle).unwrap().mss
    }
}

#[test]
fn path_of_1400_octets_is_no_black_hole() {
    let mut store = Box::new(LargeStore::new());
    let mut path = Path::open(&mut store);
    let frames = path.send(4_380);
    assert!(frames.iter().all(|frame| frame.len() == 1_500 && frame[6] & 0x40 != 0), "full segments, DF set");
    let us = rig::us(Family::V4).ip();
    assert_eq!(path.frames.handle_frame(path.now, &too_big(&frames[0], 1_400, us)), Received::Observed);
    let again = path.drain();
    assert_eq!(path.mss(), 1_360);
    assert_eq!(again.len(), 1, "what was too big is sent again, without a burst");
    assert_eq!((again[0].len(), &again[0][24..28]), (1_400, &frames[0][24..28]));
    assert_eq!(path.frames.counters().icmp_errors, 1);
}

#[test]
fn path_that_is_too_small_to_be_true_is_not_believed() {
    let mut store = Box::new(LargeStore::new());
    let mut path = Path::open(&mut store);
    let frames = path.send(2_920);
    let us = rig::us(Family::V4).ip();
    let tell = |path: &mut Path<'_>, about: &[u8], mtu| {
        let _ = path.frames.handle_frame(path.now, &too_big(about, mtu, us));
        path.drain();
        path.mss()
    };
    assert_eq!(tell(&mut path, &frames[0], MIN_PATH_MTU_IPV4 - 1), 1_460);
    assert_eq!(tell(&mut path, &frames[0], 9_000), 1_460, "a larger one changes nothing");
    // Not about what is in flight: SEQ one beyond, and of another connection.
    let mut beyond = frames[0].clone();
    beyond[24..28].copy_from_slice(&path.iss.wrapping_add(1 + 2_920).to_be_bytes());
    assert_eq!(tell(&mut path, &beyond, 1_400), 1_460);
    let mut other = frames[0].clone();
    other[22] ^= 1;
    assert_eq!(tell(&mut path, &other, 1_400), 1_460);
    let mut corrupt = too_big(&frames[0], 1_400, us);
    corrupt[22] ^= 1;
    assert_eq!(path.frames.handle_frame(path.now, &corrupt), Received::NotMine);
    assert_eq!(path.mss(), 1_460);
    // A router that does not say how much it carries.
    assert_eq!(tell(&mut path, &frames[0], 0), 536);
    assert_eq!(tell(&mut path, &frames[0], MIN_PATH_MTU_IPV4), MIN_PATH_MTU_IPV4 - 40);
}

// Settings

#[test]
fn setting_out_of_its_bounds_is_refused() {
    let of = Config::default;
    let ms = Duration::from_millis;
    let beyond = MAX_PERIOD + ms(1);
    let cases = [
        (Config { mss: Some(MSS_FLOOR - 1), ..of() }, Setting::Mss),
        (Config { mss: Some(MAX_MSS + 1), ..of() }, Setting::Mss),
        (Config { rto_min: seconds(61), ..of() }, Setting::RtoMin),
        (Config { rto_min: ms(0), rto_max: ms(0), ..of() }, Setting::RtoMax),
        (Config { rto_max: beyond, ..of() }, Setting::RtoMax),
        (Config { connect_timeout: ms(0), ..of() }, Setting::ConnectTimeout),
        (Config { connect_timeout: beyond, ..of() }, Setting::ConnectTimeout),
        (Config { syn_received_timeout: ms(0), ..of() }, Setting::SynReceivedTimeout),
        (Config { syn_received_timeout: MAX_SYN_RECEIVED + ms(1), ..of() }, Setting::SynReceivedTimeout),
        (Config { time_wait: ms(0), ..of() }, Setting::TimeWait),
        (Config { time_wait: beyond, ..of() }, Setting::TimeWait),
        (Config { orphan_timeout: ms(0), ..of() }, Setting::OrphanTimeout),
        (Config { orphan_timeout: beyond, ..of() }, Setting::OrphanTimeout),
        (Config { delayed_ack: MAX_DELAYED_ACK + ms(1), ..of() }, Setting::DelayedAck),
        (Config { ephemeral_ports: PortRange { first: 0, last: 9 }, ..of() }, Setting::EphemeralPorts),
        (Config { ephemeral_ports: PortRange { first: 9, last: 8 }, ..of() }, Setting::EphemeralPorts),
    ];
    for (config, setting) in cases {
        let mut store = Box::new(Store::new());
        let refused = Tcp::new(&mut *store, config, rig::key(1)).err();
        assert_eq!(refused, Some(InvalidSetting(setting)), "{config:?}");
        assert!(!InvalidSetting(setting).to_string().is_empty());
    }
    let at_their_bounds = [
        Config { mss: Some(MSS_FLOOR), rto_min: ms(0), rto_max: MIN_PERIOD, connect_timeout: MIN_PERIOD, ..of() },
        Config { mss: Some(MAX_MSS), rto_min: MAX_PERIOD, rto_max: MAX_PERIOD, connect_timeout: MAX_PERIOD, ..of() },
        Config { syn_received_timeout: MAX_SYN_RECEIVED, time_wait: MAX_PERIOD, orphan_timeout: MAX_PERIOD, ..of() },
        Config { delayed_ack: MAX_DELAYED_ACK, ephemeral_ports: PortRange { first: 65_535, last: 65_535 }, ..of() },
    ];
    for config in at_their_bounds {
        assert!(Tcp::new(&mut *Box::new(Store::new()), config, rig::key(1)).is_ok(), "{config:?}");
    }
}

#[test]
fn option_out_of_its_bounds_is_refused() {
    on(|l| {
        let refused = [
            (StreamOptions { r1: 0, ..small_stream() }, Setting::R1),
            (StreamOptions { r2: Duration::ZERO, ..small_stream() }, Setting::R2),
            (StreamOptions { r2: Duration::from_millis(1_500), ..small_stream() }, Setting::R2),
            (StreamOptions { r2: MAX_R2 + seconds(1), ..small_stream() }, Setting::R2),
        ];
        for (stream, setting) in refused {
            let connected = l.world.tcp.connect(START, l.us, l.peer, Some(Hop::default()), stream);
            assert_eq!(connected, Err(Error::InvalidSetting(setting)));
            let options = ListenOptions { stream, ..ListenOptions::default() };
            assert_eq!(l.world.tcp.listen(l.us, options), Err(Error::InvalidSetting(setting)));
        }
        const V4: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;
        static LONG: [Network; 1] = [Network { addr: IpAddr::V4(V4), prefix: 33 }];
        static GUISE: [Network; 1] = [Network { addr: IpAddr::V6(V4.to_ipv6_mapped()), prefix: 120 }];
        for networks in [&LONG, &GUISE] {
            let options = ListenOptions { accept_from: Some(networks), ..rig::small_listener() };
            assert_eq!(l.world.tcp.listen(l.us, options), Err(Error::InvalidSetting(Setting::AcceptFrom)));
        }
        let stream = StreamOptions { rx_buffer: MAX_BUFFER, ..small_stream() };
        let options = ListenOptions { stream, ..ListenOptions::default() };
        assert_eq!(l.world.tcp.listen(l.us, options), Err(Error::NoBuffer), "more than the whole pool");
        assert_eq!(l.world.tcp.in_use(), (0, 0, 0));
        let bounds = StreamOptions { r1: 255, r2: MAX_R2, ..small_stream() };
        assert!(l.world.tcp.connect(START, l.us, l.peer, Some(Hop::default()), bounds).is_ok());
    });
}
