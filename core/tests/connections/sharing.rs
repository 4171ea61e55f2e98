//! What connections share: the reply queue, the log of resets, the pool of buffers.

use std::net::SocketAddr;

use tcp_reset_core::{Arrival, ConnectionHandle, Error, LinkAddr, Output, Rule, Storage, StreamOptions};

use crate::on;
use crate::support::family::{Family, over_each};
use crate::support::rig;
use crate::support::rig::{Engine, Raw, Rig, START, quick_config};
use crate::support::table::{ACK, RST, SYN, Seg};

/// A scan at the device's speed: each frame that leaves makes room for one more answer to it.
#[test]
fn scan_of_ports_does_not_silence_a_connection() {
    on(|l| {
        l.open();
        let mut buf = [0; 2_048];
        let scan = |l: &mut Rig<'_>, n: u16| {
            let src = SocketAddr::new(l.peer.ip(), 10_000 + n);
            let raw = Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() };
            let arrival = Arrival { src: src.ip(), dst: l.us.ip(), link_addr: LinkAddr::default() };
            let _ = l.engine.tcp.handle_segment(l.engine.now, &arrival, &raw.bytes(src, l.us));
        };
        for n in 0..20 {
            scan(l, n);
        }
        let handle = l.handle.unwrap();
        l.engine.tcp.send(l.engine.now, handle, &[7; 40]).unwrap();
        for turn in 0..3 {
            scan(l, 100 + turn);
            let Output::Transmit(transmit) = l.engine.tcp.poll_output(l.engine.now) else { panic!("answers are due") };
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
        let ours: Vec<_> = l.engine.tcp.last_resets().collect();
        assert_eq!(ours.len(), 1);
        for n in 0..50_u32 {
            for flags in [RST, SYN, ACK, RST | ACK] {
                let _ = l.inject(&Seg::new(flags, n, n, 0, 0));
            }
        }
        assert_eq!(l.engine.tcp.last_resets().collect::<Vec<_>>(), ours);
    });
}

type Pool = Storage<16, 1, 1, 1, 16_384>;

/// Opens a connection to a port of the peer's, with buffers of a size.
fn connect_to_port_on(family: Family) -> impl Fn(&mut Engine<'_>, u16, usize) -> Result<ConnectionHandle, Error> {
    move |w, n, size| {
        let remote = SocketAddr::new(rig::peer(family).ip(), 1_000 + n);
        w.tcp.connect(START, rig::us(family), remote, Some(LinkAddr::default()), of_size(size))
    }
}

pub(crate) fn of_size(size: usize) -> StreamOptions {
    StreamOptions { rx_buffer: size, tx_buffer: size, ..StreamOptions::default() }
}

/// Whatever order sizes come and go in: as long as enough bytes are free, a connection gets its buffers, and what the others hold moves
/// with them.
#[test]
fn pool_with_room_in_pieces_takes_a_connection() {
    over_each(|family| {
        let mut store = Box::new(Pool::new());
        let mut w = Engine::new(&mut *store, quick_config());
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
        assert_eq!(connect(&mut w, 30, 64), Err(Error::NoBuffer), "and no byte more");
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
        let mut w = Engine::new(&mut *store, quick_config());
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
    let mut w = Engine::new(&mut *store, quick_config());
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
        match w.tcp.connect(START, us, remote, Some(LinkAddr::default()), of_size(size)) {
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
