//! The chip as smoltcp's device. No task waits for it: who polls it is called by its interrupt.

use core::task::{Context, Waker};

use embassy_net_driver::{Driver, RxToken, TxToken};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::lan9118::{Lan9118, Received, Room};

impl Device for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Room<'_>)> {
        Driver::receive(self, &mut nobody_waits())
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Driver::transmit(self, &mut nobody_waits())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = Driver::capabilities(self).max_transmission_unit;
        capabilities
    }
}

fn nobody_waits() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        RxToken::consume(self, |frame| f(frame))
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        TxToken::consume(self, len, f)
    }
}
