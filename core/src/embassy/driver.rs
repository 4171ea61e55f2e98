//! The seam: a driver around a driver, which takes TCP out of what comes in and puts it into what goes out.

use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_net_driver::{Capabilities, Checksum, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_time::Timer;

use super::state::{State, TcpResources, Waiting, now};
use crate::config::{Config, InvalidSetting, MAX_MSS, SecretKey, Setting};
use crate::connection::settings::MSS_OF_ETHERNET;
use crate::engine::tcp::Tcp;
use crate::link::{Link, LinkOutput, Medium, Received};
use crate::time::Instant;
use crate::wire::addr::LinkAddr;
use crate::wire::checksum::ChecksumBy;

/// How many frames are taken in before every other task has its turn, so that a flood of frames starves nobody.
pub const FRAMES_PER_PASS: u8 = 16;
/// Bytes of headers in front of TCP's payload, both without options. Over IPv6 there are more, which the core knows.
const IP_AND_TCP_HEADERS: usize = 40;
const ETHERNET_HEADER: usize = 14;

/// Why a device could not be wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DeviceError {
    /// The device is neither Ethernet nor plain IP.
    UnsupportedMedium,
    /// A setting is out of its bounds, or the device cannot do it.
    InvalidSetting(Setting),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceError::UnsupportedMedium => "the device is neither Ethernet nor plain IP",
            DeviceError::InvalidSetting(setting) => setting.bounds(),
        })
    }
}

impl core::error::Error for DeviceError {}

impl From<InvalidSetting> for DeviceError {
    fn from(InvalidSetting(setting): InvalidSetting) -> DeviceError {
        DeviceError::InvalidSetting(setting)
    }
}

/// What [`super::TcpRunner::new`] joins with embassy-net's stack once there is one.
pub struct TcpShared(pub(super) &'static RefCell<State>);

/// Wraps a device. Returns the driver for [`embassy_net::new`], and what [`super::TcpRunner::new`] makes the handle for sockets of.
///
/// Where `config` does not say who does the TCP checksum and how long segments may be, the device does. A device whose frames are too short for IPv6 ([`crate::MIN_MTU_IPV6`]) speaks IPv4 alone. `key` must be random and new at each boot.
///
/// # Errors
/// [`DeviceError`], also where [`Config::mss`] is more than the device carries.
pub fn new<D: Driver, const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
    device: D,
    resources: &'static mut TcpResources<C, L, H, T, P>,
    mut config: Config,
    key: SecretKey,
) -> Result<(TcpShared, TcpDriver<D>), DeviceError> {
    let (medium, header) = match device.hardware_address() {
        HardwareAddress::Ethernet(addr) => (Medium::Ethernet(LinkAddr(addr)), ETHERNET_HEADER),
        HardwareAddress::Ip => (Medium::Ip, 0),
        HardwareAddress::Ieee802154(_) | _ => return Err(DeviceError::UnsupportedMedium),
    };
    let Capabilities { max_transmission_unit, checksum, .. } = device.capabilities();
    let ip_mtu = max_transmission_unit.saturating_sub(header);
    let most = u16::try_from(ip_mtu.saturating_sub(IP_AND_TCP_HEADERS)).unwrap_or(u16::MAX).min(MAX_MSS);
    if *config.mss.get_or_insert(most.min(MSS_OF_ETHERNET)) > most {
        return Err(DeviceError::InvalidSetting(Setting::Mss));
    }
    config.checksum.get_or_insert(checksum_by(checksum.tcp));
    let TcpResources { storage, waiters, queues, state } = resources;
    let mut link = Link::new(Tcp::new(storage, config, key)?, medium, checksum_by(checksum.ipv4));
    // Until the device says that it is up.
    link.lost();
    let shared: &'static RefCell<State> =
        state.insert(RefCell::new(State::new(link, waiters, Waiting::new(queues), ip_mtu)));
    Ok((TcpShared(shared), TcpDriver { device, shared, left: FRAMES_PER_PASS, now: Instant::ZERO, was_up: false }))
}

/// What embassy's drivers say must be done in software.
fn checksum_by(checksum: Checksum) -> ChecksumBy {
    match checksum {
        Checksum::Both => ChecksumBy::Software,
        Checksum::Rx => ChecksumBy::HardwareOnTransmit,
        Checksum::Tx => ChecksumBy::HardwareOnReceive,
        Checksum::None => ChecksumBy::Hardware,
    }
}

/// A driver that takes TCP for our addresses out of its device's frames, and sends the core's own.
pub struct TcpDriver<D> {
    device: D,
    shared: &'static RefCell<State>,
    /// Frames that may still be taken in within this pass.
    left: u8,
    /// When this pass began.
    now: Instant,
    was_up: bool,
}

impl<D: Driver> TcpDriver<D> {
    /// Looks at the clock and at what is due, once for a pass: a pass is short.
    fn begin_pass(&mut self, cx: &mut Context<'_>) {
        self.now = now();
        let mut state = self.shared.borrow_mut();
        // A radio may know its address only some time after the start.
        if let HardwareAddress::Ethernet(addr) = self.device.hardware_address() {
            state.link.set_hardware_address(LinkAddr(addr));
        }
        state.runner.register(cx.waker());
        state.link.handle_timeout(self.now);
        state.sharing.begin_pass();
    }

    fn pump(&mut self, cx: &mut Context<'_>) {
        self.send(cx);
        // However little the device has taken.
        self.shared.borrow_mut().tell_of_journal();
    }

    /// Reports what has happened, and sends what the device has room for, where this pass is not embassy-net's.
    fn send(&mut self, cx: &mut Context<'_>) {
        let mut state = self.shared.borrow_mut();
        if state.sharing.is_theirs {
            return;
        }
        while state.link.has_output() {
            match state.link.poll_output(self.now) {
                LinkOutput::Event(event) => state.tell(event),
                LinkOutput::Timeout(_) => break,
                LinkOutput::Transmit(frame) => match self.device.transmit(cx) {
                    Some(token) => {
                        token.consume(frame.len(), |buf| {
                            // The token's buffer is as long as was asked for.
                            let _ = frame.emit(buf);
                        });
                        state.sharing.sent_ours();
                    }
                    // The device wakes us when there is room.
                    None => return state.sharing.found_full(),
                },
            }
        }
        if core::mem::take(&mut state.is_drain_awaited) {
            state.waiting.drained.wake_all();
        }
    }
}

/// Sets the task's timer: the only one, and only while the core has a deadline.
fn wake_at(at: Instant, cx: &mut Context<'_>) {
    // Ticks may be coarser than microseconds: one more, so that the deadline has passed then.
    let ticks = embassy_time::Instant::from_micros(at.as_micros()).as_ticks().saturating_add(1);
    let timer = pin!(Timer::at(embassy_time::Instant::from_ticks(ticks)));
    if let Poll::Ready(()) = timer.poll(cx) {
        cx.waker().wake_by_ref();
    }
}

impl<D: Driver> Driver for TcpDriver<D> {
    type RxToken<'a>
        = TcpRxToken<D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        if self.left == FRAMES_PER_PASS {
            self.begin_pass(cx);
        }
        self.pump(cx);
        if self.left == 0 {
            self.left = FRAMES_PER_PASS;
            cx.waker().wake_by_ref();
            return None;
        }
        let TcpDriver { device, shared, left, now, .. } = self;
        let Some((token, tx)) = device.receive(cx) else {
            *left = FRAMES_PER_PASS;
            // Deadlines do not wait for a device that takes nothing.
            if let Some(at) = shared.borrow_mut().link.next_wake(*now) {
                wake_at(at, cx);
            }
            return None;
        };
        *left -= 1;
        Some((TcpRxToken { token, shared, now: *now }, tx))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        let token = self.device.transmit(cx);
        self.shared.borrow_mut().sharing.asked_theirs(token.is_some());
        token
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let state = self.device.link_state(cx);
        let is_up = state == LinkState::Up;
        if is_up && !self.was_up {
            // The cable may lead to other neighbors now, and what went out without it is lost.
            self.shared.borrow_mut().link.restored(now());
            cx.waker().wake_by_ref();
        } else if !is_up {
            self.shared.borrow_mut().link.lost();
        }
        self.was_up = is_up;
        state
    }

    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.device.hardware_address()
    }
}

/// A frame that came in, shown to the core first.
pub struct TcpRxToken<T> {
    token: T,
    shared: &'static RefCell<State>,
    now: Instant,
}

impl<T: RxToken> RxToken for TcpRxToken<T> {
    /// TCP that the core takes, or that is for nobody here, becomes an empty frame, which embassy-net passes over.
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let TcpRxToken { token, shared, now } = self;
        token.consume(|frame| {
            // The borrow ends here: what `f` does is not ours.
            let received = shared.borrow_mut().link.handle_frame(now, frame);
            match received {
                Received::Taken(_) | Received::OtherTcp => f(&mut []),
                Received::Observed => {
                    #[cfg(feature = "slaac")]
                    shared.borrow_mut().advertisements.pass(frame, now);
                    f(frame)
                }
                Received::NotMine => f(frame),
            }
        })
    }
}
