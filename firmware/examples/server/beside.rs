//! smoltcp beside the link, on one device.

use smoltcp::phy::{Device, DeviceCapabilities, RxToken};
use smoltcp::time::Instant as SmoltcpInstant;
use tcp_reset_core::link::{Link, Received};
use tcp_reset_core::{Instant, Rule};

/// The device as smoltcp sees it: every frame is shown to the link first, and what is TCP becomes an empty one, which smoltcp passes over.
pub(super) struct BesideTcp<'a, D> {
    pub(super) device: &'a mut D,
    pub(super) link: &'a mut Link<'static>,
    pub(super) now: Instant,
}

impl<D: Device> Device for BesideTcp<'_, D> {
    type RxToken<'t>
        = Shown<'t, D::RxToken<'t>>
    where
        Self: 't;
    type TxToken<'t>
        = D::TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, at: SmoltcpInstant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (token, room) = self.device.receive(at)?;
        Some((Shown { token, link: self.link, now: self.now }, room))
    }

    fn transmit(&mut self, at: SmoltcpInstant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

pub(super) struct Shown<'t, T> {
    token: T,
    link: &'t mut Link<'static>,
    now: Instant,
}

impl<T: RxToken> RxToken for Shown<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        self.token.consume(|frame| match self.link.handle_frame(self.now, frame) {
            Received::Taken(verdict) => {
                if verdict.rule == Rule::RstInWindow {
                    defmt::warn!("{}: challenged, the connection is untouched", verdict.rule);
                }
                f(&[])
            }
            Received::OtherTcp => f(&[]),
            Received::Observed | Received::NotMine => f(frame),
        })
    }
}
