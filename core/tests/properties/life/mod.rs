//! Long random lives of two hosts: a script of calls, segments and time, and what was seen of it.

pub(crate) mod host;
pub(crate) mod ops;

use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::{Arrival, Config, ConnectionHandle, Event, Instant, Output, Status, Storage, StreamOptions, Tcp};

use crate::draws::{HOP, a, b, small, stranger};
use crate::life::host::Host;
use crate::life::ops::{Call, FLAGS, Op, Stack, WAITS_MS};
use crate::support::family::Family;
use crate::support::world::{ACK, MOST_OUTPUTS, RST, Seg, key};

/// Something that came out, with times and sequence numbers counted from where the run's clock began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Segment(bool, SocketAddr, Seg),
    Event(bool, Event),
    Called(bool, String),
    Timeout(bool, Option<u64>),
}

pub(crate) struct Life<'s> {
    pub(crate) hosts: [Host<'s>; 2],
    pub(crate) begin: u64,
    pub(crate) now: u64,
    pub(crate) hold: u8,
    pub(crate) is_busy_honoured: bool,
    pub(crate) seen: Vec<Seen>,
}

/// How a script is run.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) begin: u64,
    pub(crate) is_busy_honoured: bool,
    pub(crate) stack: Stack,
    pub(crate) config: Config,
}

pub(crate) const BEGIN: u64 = 10_000_000_000;

impl<'s> Life<'s> {
    pub(crate) fn new(a: Host<'s>, b: Host<'s>, mode: Mode) -> Life<'s> {
        let Mode { begin, is_busy_honoured, .. } = mode;
        Life { hosts: [a, b], begin, now: begin, hold: 0, is_busy_honoured, seen: Vec::new() }
    }

    pub(crate) fn at(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    /// By how much all initial sequence numbers are ahead of those of a run that begins at [`BEGIN`].
    pub(crate) fn isn_shift(&self) -> u32 {
        ((self.begin / 4) as u32).wrapping_sub((BEGIN / 4) as u32)
    }

    pub(crate) fn saw(&mut self, is_b: bool, remote: SocketAddr, mut seg: Seg) {
        let shift = self.isn_shift();
        // Zero stands for "no number" in the answers of CLOSED.
        if seg.seq != 0 {
            seg.seq = seg.seq.wrapping_sub(shift);
        }
        if seg.has(ACK) {
            seg.ack = seg.ack.wrapping_sub(shift);
        }
        if let Some(at) = seg.options.windows(3).position(|words| words == [1, 1, 5]) {
            let numbers = &mut seg.options[at + 4..];
            for number in numbers.as_chunks_mut::<4>().0 {
                *number = u32::from_be_bytes(*number).wrapping_sub(shift).to_be_bytes();
            }
        }
        if let Some(at) = seg.options.windows(4).position(|words| words == [1, 1, 8, 10]) {
            let later = (self.begin / 1_000).wrapping_sub(BEGIN / 1_000) as u32;
            for number in seg.options[at + 4..at + 12].as_chunks_mut::<4>().0 {
                // The echo of a SYN is no clock's.
                if *number != [0; 4] {
                    *number = u32::from_be_bytes(*number).wrapping_sub(later).to_be_bytes();
                }
            }
        }
        self.seen.push(Seen::Segment(is_b, remote, seg));
    }

    pub(crate) fn drain(&mut self, i: usize) {
        let at = self.at();
        let mut offered: Option<(SocketAddr, SocketAddr, usize)> = None;
        let mut buf = [0; 2_048];
        for _ in 0..MOST_OUTPUTS {
            let is_busy_honoured = self.is_busy_honoured;
            let host = &mut self.hosts[i];
            match host.tcp.poll_output(at) {
                Output::Event(event) => {
                    host.told(event);
                    self.seen.push(Seen::Event(i == 1, event));
                }
                Output::Timeout(deadline) => {
                    assert_eq!(host.tcp.audit(), Ok(()));
                    assert!(offered.is_none(), "what was dropped is not offered again");
                    host.is_drained = true;
                    host.deadline = deadline.map(|(at, _)| at);
                    let relative = host.deadline.map(|at| at.as_micros().wrapping_sub(self.begin));
                    self.seen.push(Seen::Timeout(i == 1, relative));
                    return;
                }
                Output::Transmit(mut transmit) => {
                    let what = (transmit.local(), transmit.remote(), transmit.len());
                    if let Some(before) = offered.take() {
                        assert_eq!(before, what, "something else is offered");
                    }
                    if transmit.link_addr().is_none() {
                        if host.defers {
                            host.has_deferred = true;
                            transmit.defer();
                            continue;
                        }
                        transmit.set_link_addr(HOP);
                    }
                    if host.drops > 0 && is_busy_honoured {
                        host.drops -= 1;
                        offered = Some(what);
                        if host.is_small {
                            let short = &mut buf[..what.2 - 1];
                            assert!(transmit.emit(short).is_err());
                        }
                        continue;
                    }
                    // Looked at twice, since a look needs the engine and the segment.
                    drop(transmit);
                    let seg = host.transmit(at, what);
                    self.saw(i == 1, what.1, seg);
                }
            }
        }
        panic!("output without end");
    }

    /// Drains what may be drained now.
    pub(crate) fn settle(&mut self, i: usize) {
        if self.hold == 0 {
            self.drain(i);
        } else {
            self.hosts[i].is_drained = false;
        }
        self.hosts[i].track();
    }

    pub(crate) fn deliver(&mut self, to: usize, src: IpAddr, dst: IpAddr, bytes: &[u8]) {
        let at = self.at();
        let was_drained = self.hosts[to].is_drained && self.hold == 0;
        let from = self.seen.len();
        let host = &mut self.hosts[to];
        let verdict = host.tcp.handle_segment(at, &Arrival { src, dst, link_addr: HOP }, bytes);
        host.is_drained = false;
        host.track();
        self.seen.push(Seen::Called(to == 1, format!("{verdict:?}")));
        self.settle(to);
        let is_reset = bytes.len() >= 20 && bytes[13] & RST != 0;
        if was_drained && is_reset {
            let answered =
                self.seen[from..].iter().any(|seen| matches!(seen, Seen::Segment(_, _, seg) if seg.has(RST)));
            assert!(!answered, "an RST was answered by an RST: {verdict:?}");
        }
    }

    pub(crate) fn carry(&mut self, count: u8, fate: u8) {
        for n in 0..count {
            for i in 0..2 {
                let Some((src, dst, bytes)) = self.hosts[i].wire.pop_front() else {
                    continue;
                };
                match (fate, n) {
                    (8, 0) => {}
                    (9, 0) => self.hosts[i].wire.push_back((src, dst, bytes)),
                    (10, 0) => {
                        self.deliver(1 - i, src, dst, &bytes);
                        self.deliver(1 - i, src, dst, &bytes);
                    }
                    (11, 0) => {
                        let mut bad = bytes.clone();
                        bad[usize::from(count)] ^= 0x10;
                        self.deliver(1 - i, src, dst, &bad);
                    }
                    _ => self.deliver(1 - i, src, dst, &bytes),
                }
            }
        }
    }

    /// Whom a forged segment is for and from whom it seems to come: one of the connections, one of the peers that were spoken to, or
    /// nobody known. RCV.NXT, RCV.WND, SND.UNA, SND.NXT of the connection, as far as they can be known.
    pub(crate) fn victim(&self, whom: u8, extra: u8) -> (SocketAddr, SocketAddr, (u32, u32, u32, u32)) {
        let base = 90_000_u32.wrapping_add(self.isn_shift());
        let host = &self.hosts[0];
        let live: Vec<Status> = host.tcp.connections().map(|(_, s)| s).collect();
        let n = live.len() + host.last.len() + 2;
        let which = usize::from(whom) % n;
        if let Some(s) = live.get(which) {
            // Before the peer's SYN there is no RCV.NXT.
            let rcv_nxt = if s.rcv_nxt.0 == 0 { base } else { s.rcv_nxt.0 };
            (s.local, s.remote, (rcv_nxt, s.rcv_wnd, s.snd_una.0, s.snd_nxt.0))
        } else if let Some((us, peer, seg)) = host.last.get(which - live.len()) {
            (*us, *peer, (seg.ack, u32::from(seg.wnd), seg.seq, seg.end()))
        } else {
            let family = host.family(extra / 5);
            let peer = SocketAddr::new(stranger(family), 7_000 + u16::from(extra % 5));
            (SocketAddr::new(a(family), 80), peer, (base, 64, base, base))
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one for each field of a segment")]
    pub(crate) fn forge(&mut self, whom: u8, flags: u8, seq: u8, ack: u8, wnd: u8, text: u8, extra: u8) {
        let (us, peer, (rcv_nxt, rcv_wnd, snd_una, snd_nxt)) = self.victim(whom, extra);
        let far = u32::from(extra).wrapping_mul(0x0101_0101);
        let seq = match seq {
            0..=6 => rcv_nxt,
            7 => rcv_nxt.wrapping_sub(1),
            8 => rcv_nxt.wrapping_sub(2),
            9 => rcv_nxt.wrapping_add(1),
            10 => rcv_nxt.wrapping_add(rcv_wnd / 2),
            11 => rcv_nxt.wrapping_add(rcv_wnd).wrapping_sub(1),
            12 => rcv_nxt.wrapping_add(rcv_wnd),
            13 => rcv_nxt.wrapping_sub(1 << 31),
            14 => rcv_nxt.wrapping_add(u32::from(extra)),
            _ => rcv_nxt.wrapping_add(far),
        };
        let ack = match ack {
            0..=4 => snd_nxt,
            5 => snd_una,
            6 => snd_una.wrapping_add(1),
            7 => snd_una.wrapping_sub(1),
            8 => snd_nxt.wrapping_add(1),
            9 => snd_nxt.wrapping_sub(1 << 31),
            10 => snd_una.wrapping_sub(u32::from(extra)),
            _ => snd_una.wrapping_add(far),
        };
        let mut seg = Seg {
            sport: peer.port(),
            dport: us.port(),
            seq,
            ack,
            flags: FLAGS[usize::from(flags)],
            ecn: 0,
            wnd: [0, 0, 1, 40, 64, 500, 4_000, 65_535][usize::from(wnd)],
            urgent: u16::from(extra),
            options: Vec::new(),
            text: vec![extra; [0, 0, 0, 1, 5, 32, 64, 200][usize::from(text)]],
        };
        if extra.is_multiple_of(4) {
            seg.options = vec![2, 4, 0, extra];
        }
        let family = Family::of(us.ip());
        let (src, dst) = match extra {
            // The same hosts and ports in the other family, if the host speaks it.
            246..=249 => self.hosts[0].in_other_family(us.ip(), peer.ip()),
            250..=252 => (family.nobodies()[usize::from(extra - 250)], us.ip()),
            253 => (us.ip(), us.ip()),
            _ => (peer.ip(), us.ip()),
        };
        self.deliver(0, src, dst, &seg.octets(src, dst));
    }

    pub(crate) fn wait(&mut self, how_long: u8, in_steps: bool) {
        let end = self.now + WAITS_MS[usize::from(how_long)] * 1_000;
        for i in 0..2 {
            self.drain(i);
        }
        for _ in 0..100_000 {
            let due = self.hosts.iter().filter_map(|host| host.deadline).min();
            let due = due.map(Instant::as_micros).filter(|&at| at <= end && in_steps);
            self.now = due.unwrap_or(end).max(self.now);
            for i in 0..2 {
                self.expire(i);
            }
            if self.now >= end {
                return;
            }
        }
        panic!("deadlines without end");
    }

    pub(crate) fn expire(&mut self, i: usize) {
        let at = self.at();
        self.hosts[i].tcp.handle_timeout(at);
        self.drain(i);
        self.hosts[i].track();
        let host = &mut self.hosts[i];
        if let Some(deadline) = host.deadline {
            assert!(deadline > at, "{deadline:?} is not after {at:?}");
        }
        host.tcp.handle_timeout(at);
        match host.tcp.poll_output(at) {
            Output::Timeout(again) => {
                let again = again.map(|(at, _)| at);
                assert_eq!(again, host.deadline, "a second timeout changes something");
            }
            Output::Transmit(_) => panic!("a second timeout sends something"),
            Output::Event(event) => panic!("a second timeout tells {event:?}"),
        }
    }

    pub(crate) fn step(&mut self, op: &Op) {
        match *op {
            Op::Call(is_b, ref call) => {
                let at = self.at();
                let i = usize::from(is_b);
                let how = self.hosts[i].call(at, call);
                self.hosts[i].is_drained = false;
                self.seen.push(Seen::Called(is_b, how));
                self.settle(i);
            }
            Op::Carry { count, fate } => self.carry(count, fate),
            Op::Forge { whom, flags, seq, ack, wnd, text, extra } => {
                self.forge(whom, flags, seq, ack, wnd, text, extra);
            }
            Op::Wait { how_long, in_steps } => self.wait(how_long, in_steps),
            Op::Busy { drops, is_small, defer } => {
                for host in &mut self.hosts {
                    (host.drops, host.is_small, host.defers) = (drops, is_small, defer);
                    host.tcp.neighbor_changed();
                    host.has_deferred = false;
                    host.is_drained = false;
                }
            }
            Op::Hold(steps) => self.hold = steps + 1,
        }
        self.hold = self.hold.saturating_sub(1);
    }

    /// Everybody lets go, nobody hears anybody any more, and enough time passes: all is free again.
    pub(crate) fn finish(&mut self) {
        self.hold = 0;
        for i in 0..2 {
            let at = self.at();
            let host = &mut self.hosts[i];
            (host.drops, host.defers, host.has_deferred) = (0, false, false);
            host.tcp.neighbor_changed();
            for (n, handle) in host.handles.clone().into_iter().enumerate() {
                if host.is_live(handle) {
                    let call = if n % 3 == 0 { Call::Abort } else { Call::Close };
                    let which = host.handles.len() - 1 - n;
                    host.call(at, &call(which as u8));
                }
            }
            for listener in host.listeners.clone() {
                let _ = host.tcp.unlisten(at, listener);
            }
            self.drain(i);
            self.hosts[i].track();
            self.run_out(i);
            let host = &self.hosts[i];
            assert_eq!(host.tcp.in_use(), (0, 0, 0), "slots that never come back");
            for (handle, held) in &host.held {
                assert!(held.told.is_some(), "{handle:?} ended in silence");
            }
        }
    }

    pub(crate) fn run_out(&mut self, i: usize) {
        let end = self.now + 20 * 24 * 3_600 * 1_000_000;
        for _ in 0..10_000 {
            let Some(deadline) = self.hosts[i].deadline else {
                return;
            };
            self.now = self.now.max(deadline.as_micros());
            assert!(self.now < end, "something goes on for ever");
            self.expire(i);
        }
        panic!("deadlines without end");
    }

    /// How many connections of each size fit now.
    pub(crate) fn room(&mut self, i: usize) -> Vec<usize> {
        let mut rooms = Vec::new();
        for (rx, tx) in [(64, 64), (128, 64), (512, 512), (1_024, 1_024), (64, 2_048)] {
            let mut count = 0;
            let stream = StreamOptions { rx_buffer: rx, tx_buffer: tx, ..StreamOptions::default() };
            let mut handles = Vec::new();
            let at = self.at();
            let host = &mut self.hosts[i];
            let family = host.family(0);
            let local = SocketAddr::new(host.addr(family), 0);
            let remote = SocketAddr::new(stranger(family), 9_999);
            while let Ok(handle) = host.tcp.connect(at, local, remote, Some(HOP), stream) {
                host.got(handle);
                handles.push(handle);
                count += 1;
            }
            for handle in handles {
                host.tcp.abort(at, handle).unwrap();
                if let Some(held) = host.held.get_mut(&handle) {
                    held.is_given_up = true;
                }
            }
            self.drain(i);
            self.hosts[i].track();
            rooms.push(count);
        }
        rooms
    }
}

pub(crate) type BStore = Storage<3, 1, 2, 2, 2_048>;

pub(crate) fn foreign() -> ConnectionHandle {
    let mut store = Box::new(Storage::<9, 0, 0, 0, 2_048>::new());
    let mut tcp = Tcp::new(&mut *store, Config::default(), key(1)).unwrap();
    let remote = SocketAddr::new(b(Family::V4), 80);
    let local = SocketAddr::new(a(Family::V4), 0);
    let mut handle = None;
    for _ in 0..9 {
        handle = tcp.connect(Instant::ZERO, local, remote, None, small()).ok();
    }
    handle.unwrap()
}

/// Lives through a script and gives what was seen.
pub(crate) fn live<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
    ops: &[Op],
    mode: Mode,
) -> Vec<Seen> {
    let mut fresh_store = Box::new(Storage::<C, L, H, T, P>::new());
    let mut a_store = Box::new(Storage::<C, L, H, T, P>::new());
    let (mut b_store, mut b_fresh_store) = (Box::new(BStore::new()), Box::new(BStore::new()));
    let mut fresh =
        Life::new(Host::new(&mut *fresh_store, mode, false), Host::new(&mut *b_fresh_store, mode, true), mode);
    let mut used = Life::new(Host::new(&mut *a_store, mode, false), Host::new(&mut *b_store, mode, true), mode);
    for op in ops {
        used.step(op);
    }
    used.finish();
    let seen = used.seen.clone();
    for i in 0..2 {
        assert_eq!(used.room(i), fresh.room(i), "room after a life and before");
    }
    seen
}

pub(crate) fn mode(stack: Stack, config: Config) -> Mode {
    Mode { begin: BEGIN, is_busy_honoured: true, stack, config }
}
