//! The memory a user declares, and the compact records in it.

use crate::connection::slot::Connection;
use crate::id::MAX_ENTRIES;
use crate::tables::half_open::HalfOpen;
use crate::tables::index::Entry;
use crate::tables::listener::Listener;
use crate::tables::table::Record;
use crate::tables::time_wait::TimeWait;

/// All memory of one engine. `CONNECTIONS` slots, `LISTENERS` listeners, `HALF_OPEN` handshakes in progress, `TIME_WAIT` finished
/// connections, and `POOL` bytes that the connections' buffers are cut from.
///
/// The engine borrows it without these numbers in its type, so its code is in flash once whatever sizes are used.
pub struct Storage<
    const CONNECTIONS: usize,
    const LISTENERS: usize,
    const HALF_OPEN: usize,
    const TIME_WAIT: usize,
    const POOL: usize,
> {
    pub(crate) connections: [Connection; CONNECTIONS],
    pub(crate) connection_index: [Entry; CONNECTIONS],
    pub(crate) listeners: [Listener; LISTENERS],
    pub(crate) half_open: [HalfOpen; HALF_OPEN],
    pub(crate) half_open_index: [Entry; HALF_OPEN],
    pub(crate) time_wait: [TimeWait; TIME_WAIT],
    pub(crate) time_wait_index: [Entry; TIME_WAIT],
    pub(crate) pool: Words<POOL>,
}

/// Bytes that begin where a word does.
#[repr(align(4))]
pub(crate) struct Words<const N: usize>(pub(crate) [u8; N]);

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> Storage<C, L, H, T, P> {
    const FITS: () = assert!(C < MAX_ENTRIES && H < MAX_ENTRIES && T < MAX_ENTRIES && L < 256);

    /// Makes empty storage, in a constant if wished. It is nothing but zeros: a static costs RAM and no flash.
    pub const fn new() -> Self {
        let () = Self::FITS;
        Storage {
            connections: [const { Connection::EMPTY }; C],
            connection_index: [Entry::ZERO; C],
            listeners: [const { Listener::EMPTY }; L],
            half_open: [const { HalfOpen::EMPTY }; H],
            half_open_index: [Entry::ZERO; H],
            time_wait: [const { TimeWait::EMPTY }; T],
            time_wait_index: [Entry::ZERO; T],
            pool: Words([0; P]),
        }
    }
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> Default
    for Storage<C, L, H, T, P>
{
    fn default() -> Self {
        Storage::new()
    }
}

/// RAM per entry, the index included, in bytes (the architecture's budget over IPv4: 140, 44, 32). Two IPv6 addresses are longer by what
/// they are, and cost nothing where that family is not spoken.
#[cfg(target_pointer_width = "32")]
mod budget {
    use super::Storage;
    use core::mem::size_of;

    type Base = Storage<1, 0, 1, 1, 0>;

    const LONGER: usize = if cfg!(feature = "ipv6") { 2 * (16 - 4) } else { 0 };

    /// What the features of liveness keep in a connection's record.
    const LIMITS: usize =
        (price(cfg!(feature = "keepalive"), 5) + price(cfg!(feature = "deadlines"), 10)).next_multiple_of(4);

    /// What SACK, CUBIC, timestamps and ECN keep in a connection's record.
    const SACK: usize = price(cfg!(feature = "sack"), 28);
    const CUBIC: usize = price(cfg!(feature = "cubic"), 16);
    const STAMPS: usize = price(cfg!(feature = "timestamps"), 16);
    const ECN: usize = price(cfg!(feature = "ecn"), 4);

    /// What window scale does: each count of bytes is twice as long.
    const SCALE: usize = price(
        cfg!(feature = "window-scale"),
        48 + price(cfg!(feature = "sack"), 16) + price(cfg!(feature = "cubic"), 8) + price(cfg!(feature = "ecn"), 4),
    );

    /// What a half-open record keeps of the peer's offers, and one in TIME-WAIT.
    const OFFERS: usize =
        (price(cfg!(feature = "sack"), 1) + price(cfg!(feature = "window-scale"), 3) + price(cfg!(feature = "ecn"), 1))
            .next_multiple_of(4)
            + price(cfg!(feature = "timestamps"), 8);
    const AGREED: usize = price(cfg!(feature = "window-scale"), 4) + price(cfg!(feature = "timestamps"), 8);

    const fn price(is_on: bool, bytes: usize) -> usize {
        if is_on { bytes } else { 0 }
    }

    /// A storage with two more entries of a kind: an even number, so that the whole's alignment does not blur the figure.
    const fn one_of_two<Grown>() -> usize {
        (size_of::<Grown>() - size_of::<Base>()) / 2
    }

    const _: () =
        assert!(one_of_two::<Storage<3, 0, 1, 1, 0>>() == 140 + LIMITS + SACK + CUBIC + STAMPS + SCALE + ECN + LONGER);
    const _: () = assert!(one_of_two::<Storage<1, 0, 3, 1, 0>>() == 44 + OFFERS + LONGER);
    const _: () = assert!(one_of_two::<Storage<1, 0, 1, 3, 0>>() == 36 + AGREED + LONGER);
}
