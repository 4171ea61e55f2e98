//! The rig of the tests: an engine, the wire beside it, and one scripted peer that keeps its own books.
//!
//! Segments are written and read by the tests' own codec, so that the tests do not trust the parser they test.

mod engine;
pub(crate) mod frames;
mod pair;
pub(crate) mod reach;

use std::net::SocketAddr;
use std::time::Duration;

use tcp_reset_core::{
    ChecksumBy, CloseReason, Config, ConnectionHandle, Event, Instant, LinkAddr, ListenOptions, ListenerHandle,
    SecretKey, State, Status, Storage, StreamOptions, Timers, Verdict,
};

use crate::support::family::Family;
use crate::support::packet::segment::{timestamps_of, timestamps_option};
use crate::support::table::{ACK, FIN, Held, Model, Port, SYN, Seg, ahead};

pub(crate) use crate::support::packet::segment::Raw;
pub(crate) use engine::{Engine, Sent};
#[allow(unused_imports, reason = "each test program needs another part of it")]
pub(crate) use pair::{Pair, raw_of};

/// Few of everything, so that tables fill soon.
pub(crate) type Store = Storage<4, 3, 4, 2, 2_048>;

/// For tests that need many handshakes at once.
pub(crate) type ManyStore = Storage<4, 3, 32, 2, 2_048>;

/// For tests that need buffers of usual size.
pub(crate) type LargeStore = Storage<4, 3, 4, 2, 65_536>;

/// Receive and send buffer of the connections under test, in bytes.
pub(crate) const BUFFER: u32 = 64;

/// The window the peer offers unless a test says otherwise, in bytes.
pub(crate) const PEER_WINDOW: u32 = 1_000;

/// The peer's initial sequence number unless a test says otherwise.
pub(crate) const PEER_ISN: u32 = 7_000_000;

/// When the tests begin.
pub(crate) const START: Instant = Instant::from_micros(1_000_000_000);

pub(crate) const LARGEST: usize = 2_048;

/// More outputs than this without a timeout are taken for an endless loop.
const MOST_OUTPUTS: usize = 1_000;

/// More deadlines than this within one wait are taken for an endless loop.
const MOST_DEADLINES: usize = 100_000;

/// The endpoint under test.
pub(crate) fn us(family: Family) -> SocketAddr {
    SocketAddr::new(family.host(1), 80)
}

/// The threshold of slow start before the first loss.
pub(crate) const NO_THRESHOLD: u32 = if cfg!(feature = "window-scale") { u32::MAX } else { 65_535 };

/// The scripted peer's endpoint.
pub(crate) fn peer(family: Family) -> SocketAddr {
    SocketAddr::new(family.host(2), 40_000)
}

/// Makes a key; equal seeds give equal keys.
pub(crate) fn key(seed: u8) -> SecretKey {
    let mut bytes = [seed; 16];
    bytes[0] = !seed;
    SecretKey::new(bytes).unwrap()
}

/// The default, whose congestion window is Reno's.
pub(crate) fn reno() -> Config {
    Config {
        #[cfg(feature = "cubic")]
        congestion_control: tcp_reset_core::CongestionControl::Reno,
        ..Config::default()
    }
}

/// Settings that answer at once, wait a second for an answer, and spend no time on checksums.
pub(crate) fn quick_config() -> Config {
    let rto_min = Duration::from_secs(1);
    Config { checksum: Some(ChecksumBy::Hardware), delayed_ack: Duration::ZERO, rto_min, ..Config::default() }
}

/// Buffers of [`BUFFER`] bytes.
pub(crate) fn small_stream() -> StreamOptions {
    StreamOptions { rx_buffer: BUFFER as usize, tx_buffer: BUFFER as usize, ..StreamOptions::default() }
}

/// A listener whose connections have buffers of [`BUFFER`] bytes.
pub(crate) fn small_listener() -> ListenOptions {
    ListenOptions { stream: small_stream(), ..ListenOptions::default() }
}

/// Returns the byte that stands at `seq` in every stream of these tests.
pub(crate) fn byte_at(seq: u32) -> u8 {
    (seq ^ (seq >> 8)) as u8
}

/// Returns `len` bytes of the stream from `seq` on.
pub(crate) fn stream(seq: u32, len: u32) -> Vec<u8> {
    (0..len).map(|i| byte_at(seq.wrapping_add(i))).collect()
}

/// One connection between the engine and a scripted peer, which keeps a model of it from what it sees on the wire.
pub(crate) struct Rig<'s> {
    pub(crate) engine: Engine<'s>,
    pub(crate) family: Family,
    pub(crate) us: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) isn: u32,
    /// The peer's timestamps, from now on.
    pub(crate) stamp: Option<u32>,
    /// The engine's latest timestamp.
    pub(crate) engine_stamp: u32,
    /// The window the peer offers from now on.
    pub(crate) peer_wnd: u32,
    pub(crate) model: Model,
    pub(crate) handle: Option<ConnectionHandle>,
    pub(crate) listener: Option<ListenerHandle>,
}

impl<'s> Rig<'s> {
    pub(crate) fn new(engine: Engine<'s>, family: Family, isn: u32) -> Rig<'s> {
        let (us, peer, model) = (us(family), peer(family), nothing(isn));
        Rig {
            engine,
            family,
            us,
            peer,
            isn,
            stamp: None,
            engine_stamp: 0,
            peer_wnd: PEER_WINDOW,
            model,
            handle: None,
            listener: None,
        }
    }

    /// Delivers a segment without writing it into the books.
    pub(crate) fn inject(&mut self, seg: &Seg) -> Verdict {
        let mut text = [0; 256];
        let text = &mut text[..seg.text as usize];
        let first = seg.seq.wrapping_add(u32::from(seg.has(SYN)));
        for (i, byte) in (0_u32..).zip(text.iter_mut()) {
            *byte = byte_at(first.wrapping_add(i));
        }
        let &Seg { seq, ack, flags, wnd, .. } = seg;
        let options = seg.stamp.map(|stamp| timestamps_option(stamp, self.engine_stamp));
        let options = &options.unwrap_or_default();
        let raw = Raw { seq, ack, flags, wnd: wnd as u16, urgent: 0, options, text };
        self.engine.arrive(self.peer, self.us, &raw)
    }

    /// Delivers the peer's next segment: in order, acknowledging everything.
    pub(crate) fn say(&mut self, flags: u8, text: u32) -> Verdict {
        let seq = if flags & SYN != 0 { self.isn } else { self.model.rcv_nxt };
        self.say_seg(&Seg::new(flags, seq, self.model.snd_nxt, text, self.peer_wnd))
    }

    /// Delivers a segment and writes into the books what it says.
    pub(crate) fn say_seg(&mut self, seg: &Seg) -> Verdict {
        let seg = &Seg { stamp: seg.stamp.or(self.stamp), ..*seg };
        let m = &mut self.model;
        if seg.has(SYN) {
            (m.irs, m.snd_wl1, m.snd_wnd) = (seg.seq, seg.seq, seg.wnd);
        }
        if seg.has(ACK) {
            m.snd_wnd = m.snd_wnd.saturating_sub(seg.ack.wrapping_sub(m.snd_una));
            m.snd_una = seg.ack;
        }
        if seg.has(ACK) && ahead(seg.seq, m.snd_wl1) >= 0 {
            (m.snd_wnd, m.snd_wl1, m.snd_wl2) = (seg.wnd, seg.seq, seg.ack);
        }
        m.max_snd_wnd = m.max_snd_wnd.max(m.snd_wnd);
        let verdict = self.inject(seg);
        self.look();
        verdict
    }

    /// Writes into the books what the engine sent.
    pub(crate) fn look(&mut self) {
        for sent in &self.engine.sent {
            if sent.dst != self.peer || sent.src != self.us {
                continue;
            }
            let m = &mut self.model;
            if sent.flags & SYN != 0 {
                (m.iss, m.snd_una, m.snd_nxt) = (sent.seq, sent.seq, sent.end());
            } else if ahead(sent.end(), m.snd_nxt) > 0 {
                m.snd_nxt = sent.end();
            }
            if sent.flags & FIN != 0 {
                m.fin_sent = true;
            }
            if sent.flags & ACK != 0 {
                (m.rcv_nxt, m.rcv_wnd) = (sent.ack, sent.wnd);
            }
            if let Some((value, echo)) = timestamps_of(&sent.options) {
                self.engine_stamp = value;
                m.recent = (sent.flags & ACK != 0).then_some(echo);
            }
        }
    }

    pub(crate) fn listen(&mut self, options: ListenOptions) {
        self.listener = Some(self.engine.tcp.listen(self.us, options).unwrap());
        self.model.port = Port::Takes;
        self.model.state = State::Listen;
    }

    /// Stops listening; what was accepted stays.
    pub(crate) fn unlisten(&mut self) {
        let listener = self.listener.take().unwrap();
        self.engine.tcp.unlisten(self.engine.now, listener).unwrap();
        self.engine.drain();
        self.model.port = Port::Closed;
    }

    /// CLOSED to SYN-SENT.
    pub(crate) fn dial(&mut self) {
        self.dial_with(small_stream());
    }

    pub(crate) fn dial_with(&mut self, options: StreamOptions) {
        let handle = self.engine.tcp.connect(self.engine.now, self.us, self.peer, Some(LinkAddr::default()), options);
        self.handle = Some(handle.unwrap());
        self.engine.drain();
        self.look();
        self.model.state = State::SynSent;
        self.model.rcv_wnd = options.rx_buffer as u32;
    }

    /// CLOSED to ESTABLISHED by an active open.
    pub(crate) fn open(&mut self) {
        self.open_with(small_stream());
    }

    pub(crate) fn open_with(&mut self, options: StreamOptions) {
        self.dial_with(options);
        let _ = self.say(SYN | ACK, 0);
        self.model.state = State::Established;
    }

    /// CLOSED to SYN-RECEIVED by a simultaneous open.
    pub(crate) fn cross(&mut self) {
        self.dial();
        let _ = self.say(SYN, 0);
        self.model.state = State::SynReceived;
    }

    /// CLOSED to SYN-RECEIVED of a listener.
    pub(crate) fn knock(&mut self) {
        self.listen(small_listener());
        let _ = self.say(SYN, 0);
        self.model.state = State::SynReceived;
        self.model.passive = true;
    }

    /// CLOSED to ESTABLISHED of a listener; the connection waits to be accepted.
    pub(crate) fn enter(&mut self) {
        self.knock();
        let _ = self.say(ACK, 0);
        self.model.state = State::Established;
    }

    /// Accepts the connection that waits.
    pub(crate) fn accept(&mut self) {
        let accepted = self.engine.tcp.accept(self.engine.now, self.listener.unwrap());
        self.handle = Some(accepted.unwrap());
        self.engine.drain();
        self.look();
    }

    /// Queues `len` bytes; the books note what went out and what waits.
    pub(crate) fn send(&mut self, len: u32) {
        let before = self.model.snd_nxt;
        let bytes = stream(before, len);
        let taken = self.engine.tcp.send(self.engine.now, self.handle.unwrap(), &bytes).unwrap();
        assert_eq!(taken, bytes.len());
        self.engine.drain();
        self.look();
        self.model.queued = self.model.queued + len - self.model.snd_nxt.wrapping_sub(before);
    }

    /// The application queues so many bytes, of which the books know nothing; returns where they begin.
    pub(crate) fn queue(&mut self, len: u32) -> u32 {
        let first = self.status().unwrap().snd_nxt.0;
        let text = vec![0; len as usize];
        assert_eq!(self.engine.tcp.send(self.engine.now, self.handle.unwrap(), &text), Ok(text.len()));
        self.engine.drain();
        first
    }

    /// The places of the segments with text that the last call sent, in segments of `mss` bytes from `first` on.
    pub(crate) fn sent_from(&self, first: u32, mss: u32) -> Vec<u32> {
        let of = |seq: u32| seq.wrapping_sub(first) / mss;
        self.engine.sent.iter().filter(|sent| !sent.text.is_empty()).map(|sent| of(sent.seq)).collect()
    }

    /// Reads everything there is.
    pub(crate) fn recv(&mut self) -> Vec<u8> {
        let mut bytes = [0; LARGEST];
        let count = self.engine.tcp.recv(self.engine.now, self.handle.unwrap(), &mut bytes).unwrap_or(0);
        self.engine.drain();
        self.look();
        bytes[..count].to_vec()
    }

    /// Closes the sending direction; the application stays.
    pub(crate) fn shutdown(&mut self) {
        self.engine.tcp.shutdown(self.engine.now, self.handle.unwrap()).unwrap();
        self.engine.drain();
        self.after_close();
    }

    /// Closes both directions; the application is gone.
    pub(crate) fn close(&mut self) {
        self.engine.tcp.close(self.engine.now, self.handle.take().unwrap()).unwrap();
        self.engine.drain();
        self.model.app_gone = true;
        self.after_close();
    }

    pub(crate) fn abort(&mut self) {
        self.engine.tcp.abort(self.engine.now, self.handle.unwrap()).unwrap();
        self.engine.drain();
    }

    fn after_close(&mut self) {
        self.look();
        self.model.fin_queued = !self.model.fin_sent;
        if self.model.state == State::Established {
            self.model.state = State::FinWait1;
        } else if self.model.state == State::CloseWait {
            self.model.state = State::LastAck;
        }
    }

    /// The peer acknowledges everything.
    pub(crate) fn peer_acks(&mut self) {
        let _ = self.say(ACK, 0);
        if self.model.state == State::FinWait1 && self.model.fin_sent {
            self.model.state = State::FinWait2;
        }
    }

    /// The peer sends its FIN and acknowledges only what it had acknowledged before.
    pub(crate) fn peer_finishes(&mut self) {
        let m = self.model;
        let _ = self.say_seg(&Seg::new(FIN | ACK, m.rcv_nxt, m.snd_una, 0, self.peer_wnd));
        self.model.state = match m.state {
            State::Established => State::CloseWait,
            State::FinWait1 => State::Closing,
            State::FinWait2 => State::TimeWait,
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => m.state,
        };
        if self.model.state == State::TimeWait {
            self.model.max_snd_wnd = 65_535;
        }
    }

    /// The peer offers `wnd` bytes from SND.UNA on, and acknowledges nothing new.
    pub(crate) fn peer_offers(&mut self, wnd: u32) {
        self.peer_wnd = wnd;
        let m = self.model;
        let _ = self.say_seg(&Seg::new(ACK, m.rcv_nxt, m.snd_una, 0, wnd));
    }

    /// Text arrives beyond a gap.
    pub(crate) fn peer_leaves_gap(&mut self, gap: u32, len: u32) {
        let m = self.model;
        let start = m.rcv_nxt.wrapping_add(gap);
        let _ = self.say_seg(&Seg::new(ACK, start, m.snd_una, len, self.peer_wnd));
        self.model.held = Some(Held { start, len });
    }

    /// Waits until the closed window is probed.
    pub(crate) fn wait_for_probe(&mut self) {
        for _ in 0..4 {
            let _ = self.engine.next_deadline();
            if !self.engine.sent.is_empty() {
                self.model.probing = true;
                return;
            }
        }
        panic!("no probe");
    }

    /// How the connection stands, but for the time its timers have to go: that passes whatever happens.
    pub(crate) fn status(&self) -> Option<Status> {
        let status = self.handle.and_then(|handle| self.engine.tcp.status(handle).ok());
        status.map(|status| Status { timers: Timers::default(), ..status })
    }

    pub(crate) fn state(&self) -> State {
        self.engine.tcp.state_of(self.us, self.peer)
    }
}

/// Why the connection ended, once the application was told.
pub(crate) fn end_of(rig: &Rig<'_>) -> Option<CloseReason> {
    rig.engine.events.iter().find_map(|event| match event {
        Event::Closed(_, reason) => Some(*reason),
        Event::Acceptable(_)
        | Event::Connected(_)
        | Event::Readable(_)
        | Event::Writable(_)
        | Event::PeerFinished(_)
        | Event::Stalled(_)
        | Event::LostPeer(..) => None,
    })
}

/// The books of a peer that has not spoken yet.
pub(crate) fn nothing(isn: u32) -> Model {
    Model {
        state: State::Closed,
        port: Port::Closed,
        passive: false,
        has_slot: true,
        app_gone: false,
        over_time_wait: false,
        exhausted: false,
        iss: 0,
        snd_una: 0,
        snd_nxt: 0,
        snd_wnd: 0,
        max_snd_wnd: 0,
        snd_wl1: isn,
        snd_wl2: 0,
        fin_sent: false,
        queued: 0,
        fin_queued: false,
        probing: false,
        irs: isn,
        rcv_nxt: isn,
        rcv_wnd: BUFFER,
        delayed_from: None,
        held: None,
        policy: tcp_reset_core::RstPolicy { at_last_ack_sent: false, before_fin: false },
        recent: None,
    }
}
