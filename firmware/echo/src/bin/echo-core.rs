#![no_std]
#![no_main]
//! The echo server on tcp-reset-core, for its size: the line is memory that the compiler must take to change by itself.

use core::hint::black_box;

use echo::ours::{CONNECTION, Echo, Memory};
use echo::{Wire, halt};
use static_cell::{ConstStaticCell, StaticCell};

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
static WIRE: ConstStaticCell<Wire> = ConstStaticCell::new(Wire::NEW);
static ECHO: StaticCell<Echo<'static>> = StaticCell::new();

// A symbol whose address is the number: it is read from the image, and takes nothing there.
core::arch::global_asm!(".global connection_bytes", ".set connection_bytes, {}", const CONNECTION);

#[cortex_m_rt::entry]
fn main() -> ! {
    let wire = WIRE.take();
    let Some(echo) = Echo::new(MEMORY.take(), black_box(*b"0123456789abcdef")) else { halt() };
    let echo = ECHO.init(echo);
    loop {
        black_box(&mut *wire);
        echo.step(wire);
    }
}
