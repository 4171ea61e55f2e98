//! Windows that a receiver scales (RFC 7323 §2), and memory for the buffers that fill them.

use tcp_reset_core::{Config, Instant, Storage};

use crate::support::rig::{Engine, LargeStore, key};

/// Room for one connection with the largest buffer.
type BigStore = Storage<4, 3, 4, 2, 524_288>;

/// The option that a receiver's SYN has for its windows, if any: a shift, with padding.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Scale(Option<[u8; 4]>);

impl Scale {
    /// Windows as a header says them by itself.
    pub(crate) const NONE: Scale = Scale(None);

    #[cfg(feature = "window-scale")]
    pub(crate) fn by(shift: u8) -> Scale {
        Scale(Some([1, 3, 3, shift]))
    }

    pub(crate) fn option(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |option| option)
    }

    fn shift(self) -> u8 {
        self.0.map_or(0, |[.., shift]| shift)
    }

    /// The field that says a window, rounded down.
    pub(crate) fn field(self, wnd: u32) -> u16 {
        (wnd >> self.shift()).min(u16::MAX.into()) as u16
    }

    /// By how much a window may be more than its field says.
    #[cfg(feature = "sack")]
    pub(crate) fn slack(self) -> u32 {
        (1 << self.shift()) - 1
    }

    /// The window that the field says.
    pub(crate) fn said(self, wnd: u32) -> u32 {
        u32::from(self.field(wnd)) << self.shift()
    }
}

/// Memory of one engine, as much as its buffers need.
#[derive(Default)]
pub(crate) struct Stores {
    large: Option<Box<LargeStore>>,
    big: Option<Box<BigStore>>,
}

impl Stores {
    /// An engine whose connection has a send buffer of this size.
    pub(crate) fn engine(&mut self, tx_buffer: usize, config: Config, now: Instant) -> Engine<'_> {
        if tx_buffer > 32_768 {
            Engine::with(&mut **self.big.insert(Box::new(BigStore::new())), config, key(0x5a), now)
        } else {
            Engine::with(&mut **self.large.insert(Box::new(LargeStore::new())), config, key(0x5a), now)
        }
    }
}
