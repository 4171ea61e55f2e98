//! Opening: handshakes that are forged, delayed, given up or left behind; ports.

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    Action, Arrival, CloseReason, Config, Error, Event, InvalidSetting, LinkAddr, ListenOptions, MAX_SYN_RECEIVED,
    Output, PortRange, Rule, Setting, State, Storage, Tcp,
};

use crate::support::family::over_each;
use crate::support::packet::CONTROLS;
use crate::support::rig;
use crate::support::rig::{
    Engine, PEER_ISN, Raw, Rig, START, Store, end_of as closed, peer, quick_config, small_listener, small_stream, us,
};
use crate::support::table::{ACK, RST, SYN, Seg};
use crate::{on, on_with};

#[test]
fn a_new_engine_forgets_the_handshakes_of_the_old_one() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        {
            let mut l = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
            l.knock();
            assert_eq!(l.engine.tcp.in_use().1, 1);
        }
        let mut w = Engine::new(&mut *store, quick_config());
        let h = w.tcp.listen(us(family), small_listener()).unwrap();
        assert_eq!(w.tcp.in_use(), (0, 0, 0));
        w.tcp.unlisten(w.now, h).unwrap();
        w.drain();
        assert_eq!(w.sent, []);
        assert_eq!(w.tcp.in_use(), (0, 0, 0));
    });
}

#[test]
fn a_crossing_syn_does_not_rebind_the_next_hop() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut tcp = Tcp::new(&mut *store, quick_config(), rig::key(1)).unwrap();
        let (us, peer) = (us(family), peer(family));
        let good = LinkAddr([2, 0, 0, 0, 0, 9]);
        let evil = LinkAddr([2, 6, 6, 6, 6, 6]);
        tcp.connect(START, us, peer, Some(good), small_stream()).unwrap();
        let mut buf = [0; 2048];
        if let Output::Transmit(t) = tcp.poll_output(START) {
            t.emit(&mut buf).unwrap();
        }
        let arrival = Arrival { src: peer.ip(), dst: us.ip(), link_addr: evil };
        let _ = tcp.handle_segment(
            START,
            &arrival,
            &Raw { seq: 0x12345, flags: SYN, wnd: 1, ..Raw::default() }.bytes(peer, us),
        );
        loop {
            match tcp.poll_output(START) {
                Output::Transmit(t) => {
                    assert_eq!(t.link_addr(), Some(good));
                    t.emit(&mut buf).unwrap();
                }
                Output::Timeout(_) => break,
                _ => {}
            }
        }
    });
}

#[test]
fn a_listener_handle_stays_stale() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut tcp = Tcp::new(&mut *store, quick_config(), rig::key(1)).unwrap();
        let old = tcp.listen(us(family), small_listener()).unwrap();
        tcp.unlisten(START, old).unwrap();
        for _ in 0..255 {
            let h = tcp.listen(us(family), small_listener()).unwrap();
            tcp.unlisten(START, h).unwrap();
        }
        let _new = tcp.listen(SocketAddr::new(us(family).ip(), 443), small_listener()).unwrap();
        assert_eq!(tcp.unlisten(START, old), Err(Error::StaleHandle));
    });
}

/// Release builds: a segment from a peer never returns.
#[test]
fn a_new_engine_over_used_storage_takes_many_syns() {
    over_each(|family| {
        let mut store = Box::new(Storage::<1, 1, 1, 1, 256>::new());
        {
            let mut l = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
            l.knock();
        }
        let mut w = Engine::new(&mut *store, quick_config());
        let h = w.tcp.listen(us(family), small_listener()).unwrap();
        w.tcp.unlisten(w.now, h).unwrap();
        w.drain();
        let _ = w.tcp.listen(us(family), small_listener()).unwrap();
        let (tx, rx) = std::sync::mpsc::channel();
        for port in 1..4u16 {
            let src = SocketAddr::new(peer(family).ip(), port);
            let _ = w.arrive(src, us(family), &Raw { seq: 1, flags: SYN, wnd: 100, ..Raw::default() });
        }
        let _ = tx.send(());
        let _ = rx;
    });
}

#[test]
fn the_longest_handshake_expires() {
    on_with(Config { syn_received_timeout: MAX_SYN_RECEIVED, ..quick_config() }, |l| {
        l.knock();
        l.engine.wait(Duration::from_secs(86_400 * 60));
        assert_eq!(l.engine.tcp.in_use().1, 0);
    });
    let beyond = Config { syn_received_timeout: MAX_SYN_RECEIVED + Duration::from_millis(1), ..quick_config() };
    let refused = Tcp::new(&mut *Box::new(Store::new()), beyond, rig::key(1)).map(drop);
    assert_eq!(refused, Err(InvalidSetting(Setting::SynReceivedTimeout)));
}

/// The RST that clears the way for our SYN leaves before it, whatever left last, and also where a caller polls only while there is something.
#[test]
fn a_reset_from_syn_sent_goes_before_the_syn() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let mut l = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        l.dial();
        let mut buffer = [0; 2_048];
        let mut flags_of_answers = |src: SocketAddr, dst: SocketAddr, raw: Raw<'_>| {
            let arrival = Arrival { src: src.ip(), dst: dst.ip(), link_addr: LinkAddr::default() };
            let _ = l.engine.tcp.handle_segment(l.engine.now, &arrival, &raw.bytes(src, dst));
            let mut flags = Vec::new();
            while l.engine.tcp.has_output() {
                if let Output::Transmit(transmit) = l.engine.tcp.poll_output(l.engine.now) {
                    transmit.emit(&mut buffer).unwrap();
                    flags.push(buffer[13] & CONTROLS);
                }
            }
            flags
        };
        let stranger = SocketAddr::new(l.peer.ip(), 999);
        let elsewhere = SocketAddr::new(l.us.ip(), 81);
        let refused = flags_of_answers(stranger, elsewhere, Raw { seq: 5, flags: SYN, ..Raw::default() });
        assert_eq!(refused, [RST | ACK], "a reply has left last");
        let challenge = Raw { seq: 9, ack: 77, flags: ACK, wnd: 100, ..Raw::default() };
        assert_eq!(flags_of_answers(l.peer, l.us, challenge), [RST, SYN]);
    });
}

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
        assert_eq!(l.engine.only().text.len(), 4);
    });
}

/// The peer's RST answers our SYN,ACK to a SYN it never sent, and its own SYN,ACK was lost.
#[test]
fn syn_sent_forged_syn_and_the_peers_rst_do_not_stop_the_connection() {
    on(|l| {
        l.dial();
        let _ = l.inject(&Seg::new(SYN, 0x7000_0000, 0, 0, 500));
        let answer = l.engine.only().ack;
        let _ = l.inject(&Seg::new(RST, answer, 0, 0, 0));
        assert_eq!(l.engine.only().flags, SYN, "asked again at once");
        let _ = l.say(SYN | ACK, 0);
        assert_eq!(l.status().unwrap().state, State::Established);
    });
}

/// Our SYN waits for its next hop while a stranger opens and resets in the peer's name.
#[test]
fn syn_sent_syn_that_waits_for_its_next_hop_survives_forgeries() {
    on(|l| {
        let now = l.engine.now;
        l.engine.tcp.connect(now, l.us, l.peer, None, small_stream()).unwrap();
        let Output::Transmit(transmit) = l.engine.tcp.poll_output(now) else { panic!("no SYN") };
        transmit.defer();
        let arrival = Arrival { src: l.peer.ip(), dst: l.us.ip(), link_addr: LinkAddr::default() };
        for (seq, flags) in [(500, SYN), (501, RST)] {
            let bytes = Raw { seq, flags, wnd: 100, ..Raw::default() }.bytes(l.peer, l.us);
            let _ = l.engine.tcp.handle_segment(now, &arrival, &bytes);
        }
        l.engine.tcp.neighbor_changed();
        l.engine.drain();
        assert_eq!(l.engine.only().flags, SYN);
    });
}

/// The application closes during a simultaneous open that then proves to be none.
#[test]
fn syn_received_closed_and_returned_is_over() {
    on(|l| {
        l.dial();
        let _ = l.inject(&Seg::new(SYN, 5_000, 0, 0, 500));
        let handle = l.handle.unwrap();
        l.engine.tcp.close(l.engine.now, handle).unwrap();
        l.engine.drain();
        let verdict = l.inject(&Seg::new(RST, 5_001, 0, 0, 0));
        assert_eq!(verdict.action, Action::Ended(CloseReason::ClosedBeforeOpen));
        assert_eq!(l.engine.sent, [], "no SYN for an application that has gone");
        assert_eq!(closed(l), Some(CloseReason::ClosedBeforeOpen));
        assert_eq!(l.engine.tcp.in_use(), (0, 0, 0));
    });
}

#[test]
fn ephemeral_ports_keep_to_their_range_and_leave_listeners_out() {
    let ports = PortRange { first: 2_000, last: 2_003 };
    on_with(Config { ephemeral_ports: ports, ..quick_config() }, |l| {
        let options = ListenOptions { stream: small_stream(), ..ListenOptions::default() };
        l.engine.tcp.listen(SocketAddr::new(l.us.ip(), 2_001), options).unwrap();
        let local = SocketAddr::new(l.us.ip(), 0);
        let now = l.engine.now;
        let mut connect = || l.engine.tcp.connect(now, local, l.peer, Some(LinkAddr::default()), small_stream());
        let handles: Vec<_> = (0..3).map(|_| connect().unwrap()).collect();
        assert_eq!(connect(), Err(Error::NoPort), "one beyond what the range has");
        let mut taken: Vec<u16> = handles.iter().map(|h| l.engine.tcp.status(*h).unwrap().local.port()).collect();
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
            let handle =
                l.engine.tcp.connect(l.engine.now, local, remote, Some(LinkAddr::default()), small_stream()).unwrap();
            ports.push(l.engine.tcp.status(handle).unwrap().local.port());
            l.engine.tcp.abort(l.engine.now, handle).unwrap();
            l.engine.drain();
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
            let _ = l.engine.next_deadline();
        }
        let stalls = |l: &Rig<'_>| l.engine.events.iter().filter(|event| matches!(event, Event::Stalled(_))).count();
        assert_eq!(stalls(l), 1);
        let _ = l.say(SYN | ACK, 0);
        l.send(5);
        for _ in 0..4 {
            let _ = l.engine.next_deadline();
        }
        assert_eq!(stalls(l), 2, "the connection's own silence is told");
    });
}
