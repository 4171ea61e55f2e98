#![no_std]
#![no_main]
//! The echo server on smoltcp, for its size: the line is memory that the compiler must take to change by itself.

use core::hint::black_box;

use echo::theirs::{Buffers, Echo, SOCKETS, Sockets};
use echo::{BUFFER, Wire, halt};
use static_cell::{ConstStaticCell, StaticCell};

static SOCKET: ConstStaticCell<Sockets> = ConstStaticCell::new(SOCKETS);
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new([[0; BUFFER]; 2]);
static WIRE: ConstStaticCell<Wire> = ConstStaticCell::new(Wire::NEW);
static ECHO: StaticCell<Echo> = StaticCell::new();

#[cortex_m_rt::entry]
fn main() -> ! {
    let wire = WIRE.take();
    let Some(echo) = Echo::new(SOCKET.take(), BUFFERS.take(), wire, black_box(*b"01234567")) else { halt() };
    let echo = ECHO.init(echo);
    loop {
        black_box(&mut *wire);
        echo.step(wire);
    }
}
