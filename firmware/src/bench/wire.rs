//! The driver in whose place a board has its Ethernet: the peer is at its other end.

use core::cell::RefCell;
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::StaticCell;

use super::family::Family;
use super::meter::Meter;
use super::peer::{BOARD_MAC, Frame, MAX_FRAME, Peer, Script};

/// Segments before the measurement begins.
const WARM_UP: u32 = 100;
/// Segments that are measured.
const MEASURED: u32 = 4_000;

static WAKER: AtomicWaker = AtomicWaker::new();

/// The wire's both ends.
#[derive(Clone, Copy)]
pub struct Wire {
    shared: &'static RefCell<Shared>,
    /// Apart, since a frame is read while another is written.
    incoming: &'static RefCell<Frame>,
    outgoing: &'static RefCell<Frame>,
}

struct Shared {
    peer: Peer,
    meter: Meter,
    /// Segments that the peer has sent, and that it got.
    sent: u32,
    received: u32,
    received_before: u32,
    is_done: bool,
}

/// What a script has cost.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// Segments the stack took in.
    pub segments_in: u32,
    /// Segments it sent.
    pub segments_out: u32,
    instructions: u64,
}

impl Outcome {
    /// Instructions for each segment that passed, both ways counted.
    pub fn per_segment(&self) -> u32 {
        (self.instructions / u64::from(self.segments_in + self.segments_out).max(1)) as u32
    }
}

impl Shared {
    const fn new() -> Shared {
        Shared { peer: Peer::new(), meter: Meter::new(), sent: 0, received: 0, received_before: 0, is_done: true }
    }

    /// The peer's next frame. All of this is the peer's work and not counted.
    fn next(&mut self, buf: &mut Frame) -> Option<usize> {
        self.meter.set_aside();
        let len = self.peer.next_frame(buf);
        if len.is_some() && self.peer.is_measurable() && !self.is_done {
            if self.sent == WARM_UP {
                self.meter.start();
                self.received_before = self.received;
            }
            if self.sent == WARM_UP + MEASURED {
                self.meter.stop();
                self.received_before = self.received - self.received_before;
                self.is_done = true;
                self.peer.end();
            }
            self.sent += 1;
        }
        self.meter.resume();
        len
    }

    fn take(&mut self, frame: &[u8]) {
        self.meter.set_aside();
        if self.peer.take_frame(frame) {
            self.received += 1;
        }
        self.meter.resume();
        WAKER.wake();
    }
}

impl Wire {
    /// Lays the wire; there is one.
    pub fn lay() -> Wire {
        static SHARED: StaticCell<RefCell<Shared>> = StaticCell::new();
        static FRAMES: StaticCell<[RefCell<Frame>; 2]> = StaticCell::new();
        let [incoming, outgoing] = FRAMES.init([const { RefCell::new([0; MAX_FRAME]) }; 2]);
        Wire { shared: SHARED.init(RefCell::new(Shared::new())), incoming, outgoing }
    }

    /// Begins a script.
    pub fn begin(&self, script: Script, family: Family) {
        let mut shared = self.shared.borrow_mut();
        shared.peer.begin(script, family);
        (shared.sent, shared.received, shared.received_before, shared.is_done) = (0, 0, 0, false);
        WAKER.wake();
    }

    /// Returns whether the script is at its end, its connection closed.
    pub fn is_done(&self) -> bool {
        let shared = self.shared.borrow();
        shared.is_done && shared.peer.is_idle()
    }

    /// Returns what the last script has cost.
    pub fn result(&self) -> Outcome {
        let shared = self.shared.borrow();
        Outcome {
            segments_in: MEASURED,
            segments_out: shared.received_before,
            instructions: shared.meter.instructions(),
        }
    }
}

impl Driver for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Incoming, Outgoing)> {
        WAKER.register(cx.waker());
        let len = self.shared.borrow_mut().next(&mut self.incoming.borrow_mut())?;
        Some((Incoming { wire: *self, len }, Outgoing { wire: *self }))
    }

    fn transmit(&mut self, _cx: &mut Context<'_>) -> Option<Outgoing> {
        Some(Outgoing { wire: *self })
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(BOARD_MAC)
    }
}

/// A frame of the peer's.
pub struct Incoming {
    wire: Wire,
    len: usize,
}

impl RxToken for Incoming {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        f(&mut self.wire.incoming.borrow_mut()[..self.len])
    }
}

/// Room for a frame to the peer.
pub struct Outgoing {
    wire: Wire,
}

impl TxToken for Outgoing {
    fn consume<R, F>(self, len: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let mut frame = self.wire.outgoing.borrow_mut();
        let result = f(&mut frame[..len]);
        self.wire.shared.borrow_mut().take(&frame[..len]);
        result
    }
}
