//! Over each family: scaled windows, as a peer sees them that offers them, and as one sees that does not (RFC 7323 §2).

mod extremes;
mod negotiation;
mod receiving;
mod sending;
mod transfers;

use std::time::Duration;

use tcp_reset_core::{Config, ListenOptions, State, Status, Storage, StreamOptions, Verdict};

use crate::support::family::over_each;
use crate::support::packet::segment::options_of;
use crate::support::rig::{Engine, PEER_ISN, Raw, Rig, Sent, reno};
use crate::support::table::{ACK, SYN};

/// Room for one connection with the largest buffers.
type BigStore = Storage<4, 3, 4, 2, 524_288>;

/// The largest buffer.
const BUFFER: u32 = 262_144;
/// By how much its window is shifted.
const SHIFT: u8 = 3;
/// The largest window that a header says by itself.
const UNSCALED: u32 = 65_535;
/// The payload of a segment.
const MSS: u32 = 1_000;
/// The peer's option that says so.
const MSS_OPTION: [u8; 4] = [2, 4, 3, 232];
/// The window that the peer's SYN or SYN,ACK says, in bytes.
const FIRST: u16 = 1_200;

/// How a connection comes about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Active,
    Passive,
    /// Both open, and the peer's SYN,ACK ends it.
    Crossed,
    /// Both open, and the peer's ACK ends it.
    CrossedByAck,
}

const WAYS: [Way; 4] = [Way::Active, Way::Passive, Way::Crossed, Way::CrossedByAck];

/// Answers at once, as Reno.
fn config() -> Config {
    Config { delayed_ack: Duration::ZERO, rto_min: Duration::from_secs(1), mss: Some(1_400), ..reno() }
}

fn stream_of(rx_buffer: u32) -> StreamOptions {
    StreamOptions {
        rx_buffer: rx_buffer as usize,
        tx_buffer: BUFFER as usize,
        nagle: false,
        ..StreamOptions::default()
    }
}

fn on_big(config: Config, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(BigStore::new());
        test(&mut Rig::new(Engine::new(&mut *store, config), family, PEER_ISN));
    });
}

/// A peer's MSS, and its window scale option if it has one.
fn options(shift: Option<u8>) -> Vec<u8> {
    let scale = shift.map(|shift| [1, 3, 3, shift]);
    MSS_OPTION.into_iter().chain(scale.into_iter().flatten()).collect()
}

/// The shift that a segment offers.
fn offered(sent: &Sent) -> Option<u8> {
    options_of(&sent.options).into_iter().find(|(kind, _)| *kind == 3).map(|(_, data)| data[0])
}

/// The byte that stands at `seq` in every stream here; it does not come again 65,536 bytes further on.
fn byte_at(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

fn text(seq: u32, len: u32) -> Vec<u8> {
    (0..len).map(|i| byte_at(seq.wrapping_add(i))).collect()
}

/// The peer's first number behind its SYN.
fn first(l: &Rig<'_>) -> u32 {
    l.isn.wrapping_add(1)
}

fn status(l: &Rig<'_>) -> Status {
    l.status().expect("a connection")
}

fn arrive(l: &mut Rig<'_>, raw: &Raw<'_>) -> Verdict {
    let verdict = l.engine.arrive(l.peer, l.us, raw);
    l.look();
    verdict
}

/// A segment of the peer's, `at` from its first byte on, that acknowledges all there is.
fn say(l: &mut Rig<'_>, flags: u8, at: u32, len: u32) -> Verdict {
    let (seq, ack, wnd) = (first(l).wrapping_add(at), l.model.snd_nxt, l.peer_wnd as u16);
    arrive(l, &Raw { seq, ack, flags, wnd, text: &text(seq, len), ..Raw::default() })
}

/// The peer says `len` bytes from `at` on, in segments.
fn say_all(l: &mut Rig<'_>, at: u32, len: u32) {
    for from in (at..at + len).step_by(MSS as usize) {
        let _ = say(l, ACK, from, MSS.min(at + len - from));
    }
}

/// The peer acknowledges `ack`, and its window has this in its field.
fn offer(l: &mut Rig<'_>, ack: u32, wnd: u16) {
    let seq = status(l).rcv_nxt.0;
    let _ = arrive(l, &Raw { seq, ack, flags: ACK, wnd, ..Raw::default() });
}

/// The handshake's first half: until the peer knows what we offer.
fn begin(l: &mut Rig<'_>, way: Way, options: &[u8], stream: StreamOptions) {
    let syn = Raw { seq: l.isn, flags: SYN, wnd: FIRST, options, ..Raw::default() };
    match way {
        Way::Active => l.dial_with(stream),
        Way::Passive => {
            l.listen(ListenOptions { stream, ..ListenOptions::default() });
            let _ = arrive(l, &syn);
        }
        Way::Crossed | Way::CrossedByAck => {
            l.dial_with(stream);
            let _ = arrive(l, &syn);
        }
    }
}

/// The second half. Windows of [`FIRST`], scaled or not, and of `later` in the field of an ACK.
fn complete(l: &mut Rig<'_>, way: Way, options: &[u8], later: u16) {
    let ack = l.model.snd_nxt;
    let syn_ack = Raw { seq: l.isn, ack, flags: SYN | ACK, wnd: FIRST, options, ..Raw::default() };
    let last = Raw { seq: first(l), ack, flags: ACK, wnd: later, ..Raw::default() };
    let _ = match way {
        Way::Active | Way::Crossed => arrive(l, &syn_ack),
        Way::Passive | Way::CrossedByAck => arrive(l, &last),
    };
    if way == Way::Passive {
        l.accept();
    }
    assert_eq!(status(l).state, State::Established);
    l.peer_wnd = later.into();
}

/// A connection with the largest buffers and a peer that shifts its windows by `shift`.
fn on_open(shift: impl Into<Option<u8>> + Copy, later: u16, test: impl Fn(&mut Rig<'_>)) {
    on_open_from(PEER_ISN, shift, later, test);
}

/// The same from the peer's initial sequence number on.
fn on_open_from(isn: u32, shift: impl Into<Option<u8>> + Copy, later: u16, test: impl Fn(&mut Rig<'_>)) {
    let options = options(shift.into());
    on_big(config(), |l| {
        l.isn = isn;
        begin(l, Way::Active, &options, stream_of(BUFFER));
        complete(l, Way::Active, &options, later);
        offer(l, l.model.snd_nxt, later);
        test(l);
    });
}

/// The application reads up to `n` bytes.
fn read(l: &mut Rig<'_>, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    let count = l.engine.tcp.recv(l.engine.now, l.handle.unwrap(), &mut bytes).unwrap_or(0);
    l.engine.drain();
    l.look();
    bytes.truncate(count);
    bytes
}

/// The application queues what there is room for.
fn fill(l: &mut Rig<'_>) {
    let bytes = vec![0; BUFFER as usize];
    let _ = l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &bytes);
    l.engine.drain();
    l.look();
}
