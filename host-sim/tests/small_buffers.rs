//! With buffers of few segments silly window avoidance, Nagle's algorithm and delayed acknowledgments of this stack and of the kernel's TCP do not
//! wait for each other.
//!
//! Our clock stands still as long as frames pass. Whenever none does and not all is delivered, a timer must pass, the kernel's or ours: that is a wait,
//! and waits are what is judged. It needs a namespace of its own, so the process has one thread; where that is forbidden nothing is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot start has failed")]

use std::net::SocketAddr;
use std::time::Duration;

use host_sim::endpoint::{Endpoint, MAX_FRAME};
use host_sim::family::Family;
use host_sim::kernel::{self, KernelListener, KernelStream, SocketSettings, Wire};
use host_sim::world::OUR_MAC;
use tcp_reset_core::{Config, ConnectionHandle, Error, Instant, ListenOptions, StreamOptions};

const FAMILY: Family = Family::Ipv4;
/// What the kernel does without a timer it does meanwhile, however busy the machine: its own timers are of 40 ms at least.
const QUIET: Duration = Duration::from_millis(25);
/// The kernel's timers that hold acknowledgments back have passed by then, and those of its window probes.
const ITS_TIMERS: Duration = Duration::from_millis(450);
/// More waits than this are not waited for.
const MOST_WAITS: usize = 12;
const ROUNDS: usize = 6;
/// Bulk data ends with a short segment.
const BULK: usize = 40_100;
/// Payload of a full segment.
const MSSES: [usize; 9] = [1_024, 1_023, 820, 731, 683, 513, 366, 293, 256];
const BUFFERS: [usize; 2] = [2_048, 4_096];
const MOST_SEGMENTS: usize = 8;
/// The option in each segment.
const TIMESTAMPS: usize = 12;

/// Who sends the messages, and whose timer is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Us,
    Kernel,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    from: Side,
    mss: usize,
    /// Of both sides, for sending and receiving.
    buffer: usize,
    /// Bytes of a message and of its answer.
    message: usize,
    answer: usize,
    rounds: usize,
}

/// One application: what it has written and read.
#[derive(Default)]
struct Progress {
    written: usize,
    read: usize,
}

struct Lab {
    wire: Wire,
    ours: Endpoint,
    now: Instant,
    deadline: Option<Instant>,
    port: u16,
}

fn byte_at(at: usize) -> u8 {
    (at ^ (at >> 8)).wrapping_mul(29) as u8
}

fn bytes(at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(byte_at).collect()
}

impl Progress {
    fn took(&mut self, read: &[u8]) {
        assert_eq!(read, bytes(self.read, read.len()), "bytes from {}", self.read);
        self.read += read.len();
    }
}

impl Case {
    /// How much the sender of the messages, and its peer, may have written by now.
    fn may_write(&self, is_sender: bool, read: usize) -> usize {
        if is_sender {
            let answered = read.checked_div(self.answer).unwrap_or(self.rounds);
            self.message * (answered + 1).min(self.rounds)
        } else {
            read / self.message * self.answer
        }
    }

    fn is_done(&self, sender: &Progress, receiver: &Progress) -> bool {
        sender.read == self.answer * self.rounds && receiver.read == self.message * self.rounds
    }
}

impl Lab {
    fn boot(mss: usize, wire: Wire) -> Lab {
        let config = Config { mss: Some((mss + TIMESTAMPS) as u16), ..Config::default() };
        let ours = Endpoint::boot(FAMILY.our_addr(), FAMILY.prefix(), OUR_MAC, config).unwrap();
        Lab { wire, ours, now: Instant::ZERO, deadline: None, port: 10_000 }
    }

    /// Carries what is there; returns whether there was anything.
    fn exchange(&mut self) -> bool {
        let (mut buf, mut is_any) = ([0; MAX_FRAME], false);
        while let Some(len) = self.wire.recv(&mut buf).unwrap() {
            is_any = true;
            let (_, answer) = self.ours.receive(self.now, &buf[..len]);
            if let Some(answer) = answer {
                self.wire.send(&answer.bytes).unwrap();
            }
        }
        let drained = self.ours.drain(self.now).unwrap();
        self.deadline = drained.next;
        for frame in drained.frames {
            is_any = true;
            self.wire.send(&frame.bytes).unwrap();
        }
        is_any
    }

    /// Opens the connection, by the sender of the messages.
    fn open(&mut self, case: &Case) -> (ConnectionHandle, KernelStream) {
        self.port += 1;
        let buffer = case.buffer;
        // Reno is in each kernel, and paces nothing.
        let settings = SocketSettings { buffer: Some(buffer as u32), congestion_control: Some("reno") };
        let stream = StreamOptions { rx_buffer: buffer, tx_buffer: buffer, ..StreamOptions::default() };
        let (theirs, ours) =
            (SocketAddr::new(FAMILY.peer_addr(), self.port), SocketAddr::new(FAMILY.our_addr(), self.port));
        let (handle, kernel) = match case.from {
            Side::Us => {
                let listener = KernelListener::bind_with(theirs, 1, &settings).unwrap();
                let handle = self.ours.link().connect(self.now, self.port, theirs, stream).unwrap();
                let kernel = self.until(|_| listener.accept().unwrap());
                (handle, kernel)
            }
            Side::Kernel => {
                let options = ListenOptions { stream, ..ListenOptions::default() };
                let listener = self.ours.tcp().listen(ours, options).unwrap();
                let kernel = KernelStream::connect_with(theirs, ours, &settings).unwrap();
                let handle = self.until(|lab| lab.ours.tcp().accept(lab.now, listener).ok());
                self.ours.tcp().unlisten(self.now, listener).unwrap();
                (handle, kernel)
            }
        };
        self.until(|_| kernel.is_connected().unwrap().then_some(()));
        (handle, kernel)
    }

    fn until<T>(&mut self, mut ask: impl FnMut(&mut Lab) -> Option<T>) -> T {
        for _ in 0..1_000 {
            self.exchange();
            if let Some(found) = ask(self) {
                return found;
            }
            self.wire.wait(QUIET).unwrap();
        }
        panic!("no connection is made");
    }

    /// Plays it; returns who was waited for, in order.
    fn play(&mut self, case: &Case) -> Vec<Side> {
        let (handle, kernel) = self.open(case);
        let (mut us, mut them) = (Progress::default(), Progress::default());
        let mut waits = Vec::new();
        let buffer = case.buffer as u32;
        loop {
            let moved = self.act(case, handle, &mut us) | Lab::act_there(case, &kernel, &mut them);
            kernel.clamp_window(buffer).unwrap();
            let (sender, receiver) = if case.from == Side::Us { (&us, &them) } else { (&them, &us) };
            if case.is_done(sender, receiver) || waits.len() >= MOST_WAITS {
                break;
            }
            if self.exchange() || moved || self.wire.wait(QUIET).unwrap() {
                continue;
            }
            // Whoever's timer is first.
            if self.wire.wait(ITS_TIMERS).unwrap() {
                waits.push(Side::Kernel);
            } else {
                waits.push(Side::Us);
                self.now = self.now.max(self.deadline.expect("nothing more happens"));
            }
        }
        assert_eq!(self.ours.tcp().counters().retransmissions, 0, "{case:?}");
        self.ours.tcp().abort(self.now, handle).unwrap();
        self.exchange();
        waits
    }

    /// Our application reads until there is nothing, and writes what it may.
    fn act(&mut self, case: &Case, handle: ConnectionHandle, us: &mut Progress) -> bool {
        let (mut buf, mut is_any) = ([0; 16_384], false);
        let tcp = self.ours.tcp();
        loop {
            match tcp.recv(self.now, handle, &mut buf) {
                Ok(n) => us.took(&buf[..n]),
                Err(error) => {
                    assert_eq!(error, Error::WouldBlock);
                    break;
                }
            }
            is_any = true;
        }
        let most = case.may_write(case.from == Side::Us, us.read);
        while us.written < most {
            match tcp.send(self.now, handle, &bytes(us.written, most - us.written)) {
                Ok(n) => us.written += n,
                Err(error) => {
                    assert_eq!(error, Error::WouldBlock);
                    break;
                }
            }
            is_any = true;
        }
        is_any
    }

    fn act_there(case: &Case, kernel: &KernelStream, them: &mut Progress) -> bool {
        let (mut buf, mut is_any) = ([0; 16_384], false);
        while let Some(n) = kernel.recv(&mut buf).unwrap() {
            them.took(&buf[..n]);
            is_any = true;
        }
        let most = case.may_write(case.from == Side::Kernel, them.read);
        while them.written < most
            && let Some(n) = kernel.send(&bytes(them.written, most - them.written)).unwrap()
        {
            them.written += n;
            is_any = true;
        }
        is_any
    }
}

/// Messages of every size about those of segments and buffers, answered by one byte and by as many, and bulk data.
fn cases(mss: usize, buffer: usize, from: Side) -> Vec<Case> {
    let bulk = Case { from, mss, buffer, message: BULK, answer: 0, rounds: 1 };
    let segments = [1, mss - 1, mss, mss + 1, mss * 3 / 2, 2 * mss + 1, 3 * mss - 1];
    let sizes = segments.into_iter().chain([buffer, buffer + 1, 2 * buffer + 7]);
    let messages =
        sizes.flat_map(|message| [1, message].map(|answer| Case { message, answer, rounds: ROUNDS, ..bulk }));
    [bulk].into_iter().chain(messages).collect()
}

/// The end of a message that the send buffer does not hold may become a short segment behind another, which Nagle's algorithm holds back until the kernel
/// acknowledges that one, and the kernel does so when it likes. For nothing else anybody waits, and never for us.
fn judge(case: &Case, waits: &[Side]) {
    let ours = if case.from == Side::Us { case.message } else { case.answer };
    let is_in_parts = ours > case.buffer && case.answer > 0;
    let most = if is_in_parts { case.rounds } else { 0 };
    let is_right = waits.len() <= most && waits.iter().all(|wait| *wait == Side::Kernel);
    assert!(is_right, "{case:?} of segments of {} bytes waits for {waits:?}", case.mss);
}

fn main() {
    if let Err(forbidden) = kernel::enter() {
        return println!("not judged: {forbidden}");
    }
    let mut wire = match Wire::open(&FAMILY.network(), OUR_MAC, None) {
        Ok(wire) => wire,
        Err(forbidden) => return println!("not judged: {forbidden}"),
    };
    let mut count = 0;
    for mss in MSSES {
        let mut lab = Lab::boot(mss, wire);
        for buffer in BUFFERS.into_iter().filter(|buffer| *buffer <= MOST_SEGMENTS * mss) {
            for case in [Side::Us, Side::Kernel].into_iter().flat_map(|from| cases(mss, buffer, from)) {
                let waits = lab.play(&case);
                judge(&case, &waits);
                count += 1;
            }
        }
        wire = lab.wire;
    }
    assert!(count > 500, "only {count} cases");
    println!("{count} cases");
}
