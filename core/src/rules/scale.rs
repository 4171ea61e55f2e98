//! Window scale (RFC 7323 §2): by how much the windows in headers are shifted.

use crate::config::MAX_BUFFER;
use crate::size::{Size, saturated};
use crate::wire::options::Options;
use crate::wire::segment::{Control, Header};

/// What no shift is beyond (RFC 7323 §2.3).
const MOST: u8 = 14;

/// The shifts of a connection's two windows; both zero unless both SYNs had the option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scale {
    /// Snd.Wind.Shift.
    snd: u8,
    /// Rcv.Wind.Shift.
    rcv: u8,
    is_enabled: bool,
}

impl Scale {
    pub(crate) const NONE: Scale = Scale { snd: 0, rcv: 0, is_enabled: false };

    /// That of a peer's SYN; `is_taken` says whether ours has the option, for a receive buffer of `rx_size` bytes.
    pub(crate) fn in_syn(options: &Options, is_taken: bool, rx_size: usize) -> Scale {
        match options.window_scale.filter(|_| is_taken) {
            Some(shift) => Scale { snd: shift.min(MOST), rcv: shift_for(rx_size), is_enabled: true },
            None => Scale::NONE,
        }
    }

    /// Adds the option to those of a SYN,ACK.
    pub(crate) fn add_to(self, options: &mut Options) {
        options.window_scale = self.is_enabled.then_some(self.rcv);
    }

    /// The same for our SYN, if it offers to scale windows.
    pub(crate) fn offer_in(options: &mut Options, is_offered: bool, rx_size: usize) {
        options.window_scale = is_offered.then(|| shift_for(rx_size));
    }

    /// The window that a segment offers, in bytes. That of a SYN is never scaled (§2.2).
    #[inline]
    pub(crate) fn offered_in(self, header: &Header) -> Size {
        let shift = if header.control.contains(Control::SYN) { 0 } else { self.snd };
        Size::from(header.wnd) << shift
    }

    /// MAX.SND.WND where it is not known: as much as can be out, which is a buffer, or as much as a header says.
    pub(crate) fn most(self) -> Size {
        (Size::from(u16::MAX) << self.snd).min(MAX_BUFFER as Size)
    }

    /// A window as a segment of ours says it.
    #[inline]
    pub(crate) fn field(self, window: Size, is_syn: bool) -> u16 {
        let shift = if is_syn { 0 } else { self.rcv };
        u16::try_from(window >> shift).unwrap_or(u16::MAX)
    }

    /// The window that a field of ours says.
    pub(crate) fn received(self, field: u16) -> Size {
        Size::from(field) << self.rcv
    }

    /// What a segment can say of a window.
    #[inline]
    pub(crate) fn sayable(self, window: Size) -> Size {
        (window >> self.rcv).min(u16::MAX.into()) << self.rcv
    }

    /// By how much a peer's window may seem to have shrunk because headers say no less (§2.4).
    #[inline]
    pub(crate) fn slack(self) -> u32 {
        (1 << self.snd) - 1
    }
}

/// The least shift by which a header can say a window as large as a buffer.
fn shift_for(rx_size: usize) -> u8 {
    let mut shift = 0;
    while rx_size >> shift > usize::from(u16::MAX) {
        shift += 1;
    }
    shift
}

/// The first window of a connection, which SYNs say.
pub(crate) fn first_window(rx_size: usize) -> Size {
    saturated(rx_size.min(usize::from(u16::MAX)) as u32)
}
