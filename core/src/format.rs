//! How the large public types show themselves in a log: by what they hold, not by their bytes.

use core::fmt;

use crate::engine::poll::Transmit;
use crate::engine::tcp::Tcp;
use crate::link::{Frame, Link};
#[cfg(feature = "journal-flash")]
use crate::tables::flash_journal::FlashJournal;
#[cfg(feature = "journal")]
use crate::tables::journal::Journal;
use crate::tables::storage::Storage;

impl fmt::Debug for Tcp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, half_open, time_wait) = self.in_use();
        f.debug_struct("Tcp")
            .field("connections", &connections)
            .field("half_open", &half_open)
            .field("time_wait", &time_wait)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("tcp", self.tcp_ref()).field("counters", self.counters()).finish_non_exhaustive()
    }
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> fmt::Debug
    for Storage<C, L, H, T, P>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("connections", &C)
            .field("listeners", &L)
            .field("half_open", &H)
            .field("time_wait", &T)
            .field("pool", &P)
            .finish()
    }
}

#[cfg(feature = "journal")]
impl<const N: usize> fmt::Debug for Journal<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("records", &N).finish_non_exhaustive()
    }
}

#[cfg(feature = "journal-flash")]
impl<F, const N: usize> fmt::Debug for FlashJournal<F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlashJournal").field("records", &N).field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl fmt::Debug for Transmit<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("local", &self.local())
            .field("remote", &self.remote())
            .field("len", &self.len())
            .field("reset_reason", &self.reset_reason())
            .finish()
    }
}

impl fmt::Debug for Frame<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("len", &self.len()).field("reset_reason", &self.reset_reason()).finish()
    }
}

#[cfg(feature = "defmt")]
mod on_the_device {
    use defmt::{Debug2Format, Format, Formatter, write};

    use crate::engine::poll::Output;
    use crate::engine::poll::Transmit;
    use crate::engine::tcp::Tcp;
    use crate::link::Frame;
    use crate::link::Link;
    use crate::link::LinkOutput;
    use crate::tables::storage::Storage;

    macro_rules! format_as_debug {
        ($($name:ident<$($life:lifetime),*>),* $(,)?) => {$(
            impl<$($life),*> Format for $name<$($life),*> {
                fn format(&self, f: Formatter<'_>) {
                    write!(f, "{}", Debug2Format(self));
                }
            }
        )*};
    }

    format_as_debug!(Tcp<'s>, Link<'s>, Transmit<'t, 's>, Frame<'t, 's>, Output<'t, 's>, LinkOutput<'t, 's>);

    impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> Format for Storage<C, L, H, T, P> {
        fn format(&self, f: Formatter<'_>) {
            write!(f, "{}", Debug2Format(self));
        }
    }

    #[cfg(feature = "journal")]
    impl<const N: usize> Format for crate::tables::journal::Journal<N> {
        fn format(&self, f: Formatter<'_>) {
            write!(f, "{}", Debug2Format(self));
        }
    }

    #[cfg(feature = "journal-flash")]
    impl<F, const N: usize> Format for crate::tables::flash_journal::FlashJournal<F, N> {
        fn format(&self, f: Formatter<'_>) {
            write!(f, "{}", Debug2Format(self));
        }
    }

    /// Every public type can be logged; one that cannot does not compile here.
    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::link::Interface;
        use crate::link::LinkCounters;
        use crate::link::Medium;
        use crate::link::Received;
        use crate::*;

        fn logs<T: Format>() {}

        #[test]
        fn every_public_type_has_a_format() {
            logs::<(Action, Arrival, BufferTooSmall, ChecksumBy, CloseReason, Config)>();
            logs::<(ConnectionHandle, Control, Counters, EmitError, Error, Event)>();
            logs::<(Header, LinkAddr, Instant, ListenOptions, ListenerHandle, Overflow)>();
            logs::<(ParseError, ResetKind, ResetReason, ResetRecord, RstPolicy, Rule)>();
            logs::<(SecretKey, Segment<'_>, Seq, State, Status, StreamOptions)>();
            logs::<(Timer, Verdict, WeakKey, Interface, LinkCounters, Medium)>();
            logs::<(Received, Tcp<'_>, Link<'_>, Transmit<'_, '_>, Frame<'_, '_>)>();
            logs::<(Output<'_, '_>, LinkOutput<'_, '_>, Storage<1, 1, 1, 1, 64>, Fate)>();
            #[cfg(feature = "journal")]
            logs::<(Journal<1>, JournalCounters, LostPeer)>();
            #[cfg(feature = "journal-flash")]
            logs::<(FlashJournal<(), 1>, FlashJournalError<()>, FlashRangeError)>();
        }
    }
}
