//! One host of a life: its engine, its applications' handles, and what must hold of everything it sends.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::{
    CloseReason, ConnectionHandle, Error, Event, Instant, ListenOptions, ListenerHandle, Output, Overflow, Status,
    Storage, StreamOptions, Tcp,
};

use crate::draws::{HOP, a, b, stranger};
use crate::life::ops::{Call, LENGTHS, SIZES, Stack};
use crate::life::{Mode, foreign};
use crate::support::family::Family;
use crate::support::world::{ACK, RST, SYN, Seg, ahead, key};

/// What the test knows of a connection that it has got a handle of.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) told: Option<CloseReason>,
    pub(crate) is_given_up: bool,
}

/// The numbers of a connection as last seen.
pub(crate) struct Track {
    pub(crate) snd_una: u32,
    pub(crate) snd_nxt: u32,
    pub(crate) rcv: Option<(u32, u32)>,
    /// The most the peer's window ever allowed.
    pub(crate) may_send_to: u32,
    /// The newest acknowledgment on the wire, and the right edge with it.
    pub(crate) offered: Option<(u32, u32)>,
}

pub(crate) struct Host<'s> {
    pub(crate) is_b: bool,
    pub(crate) tcp: Tcp<'s>,
    pub(crate) stack: Stack,
    pub(crate) capacity: (usize, usize, usize),
    pub(crate) held: HashMap<ConnectionHandle, Held>,
    pub(crate) handles: Vec<ConnectionHandle>,
    pub(crate) listeners: Vec<ListenerHandle>,
    pub(crate) foreign: ConnectionHandle,
    pub(crate) tracks: HashMap<ConnectionHandle, Track>,
    /// The last segment sent to each peer: from where, to where.
    pub(crate) last: Vec<(SocketAddr, SocketAddr, Seg)>,
    /// Segments for the other host: from where, to where.
    pub(crate) wire: VecDeque<(IpAddr, IpAddr, Vec<u8>)>,
    pub(crate) drops: u8,
    pub(crate) is_small: bool,
    pub(crate) defers: bool,
    pub(crate) has_deferred: bool,
    pub(crate) is_drained: bool,
    pub(crate) deadline: Option<Instant>,
}

impl<'s> Host<'s> {
    pub(crate) fn new<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
        store: &'s mut Storage<C, L, H, T, P>,
        mode: Mode,
        is_b: bool,
    ) -> Host<'s> {
        Host {
            is_b,
            tcp: Tcp::new(store, mode.config, key(if is_b { 9 } else { 8 })).unwrap(),
            stack: mode.stack,
            capacity: (C, H, T),
            held: HashMap::new(),
            handles: Vec::new(),
            listeners: Vec::new(),
            foreign: foreign(),
            tracks: HashMap::new(),
            last: Vec::new(),
            wire: VecDeque::new(),
            drops: 0,
            is_small: false,
            defers: false,
            has_deferred: false,
            is_drained: true,
            deadline: None,
        }
    }

    /// One of the host's families.
    pub(crate) fn family(&self, which: u8) -> Family {
        self.stack[usize::from(which) % self.stack.len()]
    }

    pub(crate) fn addr(&self, family: Family) -> IpAddr {
        if self.is_b { b(family) } else { a(family) }
    }

    /// The address of the host at the other end of the wire.
    pub(crate) fn other(&self, family: Family) -> IpAddr {
        if self.is_b { a(family) } else { b(family) }
    }

    /// From whom to whom a segment goes between the same hosts in another of the host's families.
    pub(crate) fn in_other_family(&self, us: IpAddr, peer: IpAddr) -> (IpAddr, IpAddr) {
        let old = Family::of(us);
        let new = self.stack.iter().copied().find(|&family| family != old).unwrap_or(old);
        (if peer == stranger(old) { stranger(new) } else { self.other(new) }, self.addr(new))
    }

    /// A handle of this host, live or stale, the newest first; beyond them one of another engine.
    pub(crate) fn handle(&self, which: u8) -> ConnectionHandle {
        let n = self.handles.len();
        match usize::from(which) % (n + 1) {
            at if at < n => self.handles[n - 1 - at],
            _ => self.foreign,
        }
    }

    pub(crate) fn got(&mut self, handle: ConnectionHandle) {
        let before = self.held.insert(handle, Held::default());
        assert!(before.is_none(), "a handle is given twice: {handle:?}");
        self.handles.push(handle);
    }

    pub(crate) fn is_live(&self, handle: ConnectionHandle) -> bool {
        self.held.get(&handle).is_some_and(|held| !held.is_given_up)
    }

    /// Makes a call and says how it went.
    pub(crate) fn call(&mut self, now: Instant, call: &Call) -> String {
        let size = |i: u8| SIZES[usize::from(i).min(11) % SIZES.len()];
        let stream = |(rx, tx): (u8, u8)| StreamOptions {
            rx_buffer: size(rx),
            tx_buffer: size(tx),
            nagle: rx % 2 == 0,
            ..StreamOptions::default()
        };
        match *call {
            Call::Listen { sizes, .. } => self.listen(call, stream(sizes)),
            Call::Unlisten(which) => {
                let n = self.listeners.len().max(1);
                let Some(&listener) = self.listeners.get(usize::from(which) % n) else {
                    return String::new();
                };
                format!("{:?}", self.tcp.unlisten(now, listener))
            }
            Call::Accept(which) => {
                let n = self.listeners.len().max(1);
                let newest = (n - 1).saturating_sub(usize::from(which) % n);
                let Some(&listener) = self.listeners.get(newest) else {
                    return String::new();
                };
                let result = self.tcp.accept(now, listener);
                if let Ok(handle) = result {
                    self.got(handle);
                }
                format!("{result:?}")
            }
            Call::Connect { family, to, port, sizes, link_addr } => {
                self.connect(now, self.family(family), to, port, &stream(sizes), link_addr)
            }
            Call::Send(which, len) => {
                let handle = self.handle(which);
                let data = vec![0x33; LENGTHS[usize::from(len)]];
                let result = self.tcp.send(now, handle, &data);
                self.check_result(handle, result.err());
                if let Ok(n) = result {
                    assert!(n <= data.len());
                }
                format!("{result:?}")
            }
            Call::Recv(which, len) => {
                let handle = self.handle(which);
                let mut buf = vec![0; LENGTHS[usize::from(len)]];
                let result = self.tcp.recv(now, handle, &mut buf);
                self.check_result(handle, result.err());
                format!("{result:?} {buf:?}")
            }
            Call::Shutdown(which) => {
                let handle = self.handle(which);
                let result = self.tcp.shutdown(now, handle);
                self.check_result(handle, result.err());
                format!("{result:?}")
            }
            Call::Close(which) => {
                let handle = self.handle(which);
                let result = self.tcp.close(now, handle);
                self.check_result(handle, result.err());
                if let Some(held) = self.held.get_mut(&handle) {
                    held.is_given_up = true;
                }
                format!("{result:?}")
            }
            Call::Abort(which) => self.abort(now, self.handle(which)),
        }
    }

    pub(crate) fn listen(&mut self, call: &Call, stream: StreamOptions) -> String {
        let Call::Listen { family, port, any, backlog, half_open, refuse, .. } = *call else {
            return String::new();
        };
        let family = self.family(family);
        let addr = if any { family.unspecified() } else { self.addr(family) };
        let overflow = if refuse { Overflow::Refuse } else { Overflow::Drop };
        let options =
            ListenOptions { backlog, half_open, overflow, accept_from: None, stream, ..ListenOptions::default() };
        let port = [80, 81, 0][usize::from(port)];
        let result = self.tcp.listen(SocketAddr::new(addr, port), options);
        self.listeners.extend(result);
        format!("{result:?}")
    }

    pub(crate) fn abort(&mut self, now: Instant, handle: ConnectionHandle) -> String {
        let result = self.tcp.abort(now, handle);
        let Some(held) = self.held.get_mut(&handle) else {
            assert_eq!(result, Err(Error::StaleHandle));
            return String::new();
        };
        assert!(held.is_given_up || result.is_ok(), "{result:?}");
        held.is_given_up = true;
        format!("{result:?}")
    }

    pub(crate) fn connect(
        &mut self,
        now: Instant,
        family: Family,
        to: u8,
        port: u8,
        stream: &StreamOptions,
        link_addr: bool,
    ) -> String {
        let nobodies = family.nobodies();
        let (ip, remote_port) = match to {
            0..=3 => (self.other(family), 80),
            4 | 5 => (stranger(family), 80),
            6 => (self.other(family), 81),
            7..=9 => (nobodies[usize::from(to - 7)], 80),
            10 => (self.other(family), 0),
            _ => (self.addr(family), 80),
        };
        let remote = SocketAddr::new(ip, remote_port);
        // Port 80 on both sides makes simultaneous opens.
        let local = SocketAddr::new(self.addr(family), [0, 80, 80, 5_000][usize::from(port)]);
        let result = self.tcp.connect(now, local, remote, link_addr.then_some(HOP), *stream);
        if let Ok(handle) = result {
            assert!(to <= 6, "connected to {remote}");
            assert!(stream.rx_buffer.is_power_of_two() && stream.rx_buffer <= 32_768);
            self.got(handle);
        }
        format!("{result:?}")
    }

    pub(crate) fn check_result(&self, handle: ConnectionHandle, error: Option<Error>) {
        let is_stale = error == Some(Error::StaleHandle);
        assert_eq!(is_stale, !self.is_live(handle), "{handle:?} gives {error:?}");
    }

    pub(crate) fn told(&mut self, event: Event) {
        let handle = match event {
            Event::Acceptable(listener) => {
                assert!(self.listeners.contains(&listener));
                return;
            }
            Event::Connected(h)
            | Event::Readable(h)
            | Event::Writable(h)
            | Event::PeerFinished(h)
            | Event::Stalled(h)
            | Event::Closed(h, _) => h,
            Event::LostPeer(..) => panic!("no journal is kept"),
        };
        let held = self.held.get_mut(&handle).expect("an event for a handle nobody has");
        assert!(held.told.is_none(), "{event:?} after the end");
        if let Event::Closed(_, reason) = event {
            held.told = Some(reason);
        } else {
            assert!(!held.is_given_up, "{event:?} after close");
        }
    }

    pub(crate) fn connection(&self, remote: SocketAddr, local: SocketAddr) -> Option<(ConnectionHandle, Status)> {
        let mut all = self.tcp.connections();
        all.find(|(_, s)| s.local == local && s.remote == remote && s.closed.is_none())
    }

    /// Sends the segment that was offered: from where, to where, how long.
    pub(crate) fn transmit(&mut self, at: Instant, (local, remote, len): (SocketAddr, SocketAddr, usize)) -> Seg {
        let mut buf = [0; 2_048];
        let before = self.connection(remote, local).map(|(h, _)| h);
        let Output::Transmit(transmit) = self.tcp.poll_output(at) else {
            panic!("what was dropped is not offered again");
        };
        assert_eq!(transmit.emit(&mut buf), Ok(len));
        let (src, dst) = (local.ip(), remote.ip());
        let seg = Seg::read(&buf[..len], src, dst);
        let is_same = self.connection(remote, local).map(|(h, _)| h) == before;
        if is_same {
            self.look(local, remote, &seg);
        }
        if seg.has(ACK) && !seg.has(RST) {
            self.last.retain(|(_, to, _)| *to != remote);
            self.last.push((local, remote, seg.clone()));
        }
        if dst == self.other(Family::of(dst)) {
            self.wire.push_back((src, dst, buf[..len].to_vec()));
        }
        seg
    }

    /// Checks a segment before it counts as sent.
    pub(crate) fn look(&mut self, local: SocketAddr, remote: SocketAddr, seg: &Seg) {
        let (from, to) = (local.ip(), remote.ip());
        let family = Family::of(to);
        assert_eq!(from, self.addr(family), "sent from {from} to {to}");
        assert!(!family.nobodies().contains(&to) && !to.is_multicast() && to != from, "sent to {to}");
        assert_eq!((seg.sport, seg.dport), (local.port(), remote.port()));
        let Some((handle, status)) = self.connection(remote, local).filter(|_| !seg.has(RST)) else {
            return;
        };
        if !status.state.is_synchronized() || seg.has(SYN) {
            return;
        }
        let Some(track) = self.tracks.get_mut(&handle) else {
            return;
        };
        let edge = seg.ack.wrapping_add(u32::from(seg.wnd));
        match track.offered {
            // An answer of the handshake's, queued before the connection went on: to the peer an old one, which changes no window (§3.10.7.4).
            Some((ack, _)) if ahead(seg.ack, ack) < 0 => {}
            before => {
                assert!(before.is_none_or(|(_, before)| ahead(edge, before) >= 0), "the window shrinks: {seg:?}");
                track.offered = Some((seg.ack, edge));
            }
        }
        // A window probe is one number beyond.
        let most = track.may_send_to.wrapping_add(1);
        let is_new = ahead(seg.end(), status.snd_una.0) > 0 && !seg.text.is_empty();
        assert!(!is_new || ahead(seg.end(), most) <= 0, "beyond the peer's window: {seg:?}, {status:?}");
    }

    /// Notes the numbers of all connections; none may have moved back.
    pub(crate) fn track(&mut self) {
        let all: Vec<(ConnectionHandle, Status)> = self.tcp.connections().collect();
        let (conns, halves, waits) = self.tcp.in_use();
        assert_eq!(conns, all.len(), "slots in use");
        assert!(conns <= self.capacity.0 && halves <= self.capacity.1 && waits <= self.capacity.2);
        self.tracks.retain(|handle, _| all.iter().any(|(h, _)| h == handle));
        for (handle, s) in all {
            let allowed = s.snd_una.0.wrapping_add(s.snd_wnd);
            // In SYN-RECEIVED a SYN,ACK that acknowledges ours may still bring another number than the SYN that came before it.
            let is_open = s.state.is_synchronized();
            let rcv = (s.rcv_nxt.0, s.rcv_nxt.0.wrapping_add(s.rcv_wnd));
            let track = self.tracks.entry(handle).or_insert(Track {
                snd_una: s.snd_una.0,
                snd_nxt: s.snd_nxt.0,
                rcv: None,
                may_send_to: allowed,
                offered: None,
            });
            assert!(ahead(s.snd_una.0, track.snd_una) >= 0, "SND.UNA back: {s:?}");
            assert!(ahead(s.snd_nxt.0, track.snd_nxt) >= 0, "SND.NXT back: {s:?}");
            assert!(ahead(s.snd_nxt.0, s.snd_una.0) >= 0, "SND.UNA ahead: {s:?}");
            (track.snd_una, track.snd_nxt) = (s.snd_una.0, s.snd_nxt.0);
            if is_open {
                if let Some(before) = track.rcv {
                    assert!(ahead(rcv.0, before.0) >= 0, "RCV.NXT back: {s:?}");
                    assert!(ahead(rcv.1, before.1) >= 0, "right edge back: {s:?}");
                }
                track.rcv = Some(rcv);
                if ahead(allowed, track.may_send_to) > 0 {
                    track.may_send_to = allowed;
                }
            }
        }
        self.check_handles();
    }

    pub(crate) fn check_handles(&self) {
        for (&handle, held) in &self.held {
            match self.tcp.status(handle) {
                Ok(status) => {
                    if let Some(told) = held.told {
                        assert_eq!(status.closed, Some(told));
                        assert!(
                            !held.is_given_up || !self.is_drained || self.has_deferred,
                            "a slot that nobody wants any more: {status:?}"
                        );
                    } else if self.is_drained {
                        assert_eq!(status.closed, None, "the end was not told");
                    }
                }
                Err(error) => {
                    assert_eq!(error, Error::StaleHandle);
                    assert!(held.told.is_some() && held.is_given_up, "a connection is gone, and nobody was told");
                }
            }
        }
    }
}
