//! How the types of this side show themselves in a log.

use core::fmt;

use embassy_net_driver::Driver;

#[cfg(feature = "edge-nal")]
use super::TcpServer;
#[cfg(feature = "picoserve")]
use super::{HttpRuntime, HttpTimer, HttpWriter};
use super::{
    Resources, TcpClient, TcpDriver, TcpListener, TcpReader, TcpResources, TcpRunner, TcpRxToken, TcpShared, TcpStack,
    TcpStream, TcpWriter,
};

/// By the name alone: what they hold is borrowed elsewhere, or large.
macro_rules! show_name {
    ($($name:ident $(<$param:ident>)?),* $(,)?) => {$(
        impl $(<$param>)? fmt::Debug for $name $(<$param>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        #[cfg(feature = "defmt")]
        impl $(<$param>)? defmt::Format for $name $(<$param>)? {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{=str}", stringify!($name));
            }
        }
    )*};
}

show_name!(TcpStack, TcpShared, TcpClient, TcpDriver<D>, TcpRxToken<T>);
#[cfg(feature = "edge-nal")]
show_name!(TcpServer);
#[cfg(feature = "picoserve")]
show_name!(HttpRuntime, HttpTimer);

#[cfg(feature = "picoserve")]
impl fmt::Debug for HttpWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpWriter")
    }
}

impl<D: Driver> fmt::Debug for TcpRunner<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TcpRunner")
    }
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize> fmt::Debug
    for TcpResources<C, L, H, T, P>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.storage.fmt(f)
    }
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize, const S: usize> fmt::Debug
    for Resources<C, L, H, T, P, S>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tcp.fmt(f)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle().fmt(f)
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle().fmt(f)
    }
}

impl fmt::Debug for TcpReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpReader({:?})", self.stream)
    }
}

impl fmt::Debug for TcpWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpWriter({:?})", self.stream)
    }
}

#[cfg(feature = "defmt")]
mod on_the_device {
    use super::{TcpListener, TcpReader, TcpStream, TcpWriter};

    impl defmt::Format for TcpListener {
        fn format(&self, f: defmt::Formatter<'_>) {
            self.handle().format(f);
        }
    }

    impl defmt::Format for TcpStream {
        fn format(&self, f: defmt::Formatter<'_>) {
            self.handle().format(f);
        }
    }

    impl defmt::Format for TcpReader<'_> {
        fn format(&self, f: defmt::Formatter<'_>) {
            self.stream.format(f);
        }
    }

    impl defmt::Format for TcpWriter<'_> {
        fn format(&self, f: defmt::Formatter<'_>) {
            self.stream.format(f);
        }
    }
}
