//! The board as a peripheral access crate would describe it, as far as RTIC and `#[interrupt]` ask: names of the interrupt lines, their
//! vectors, and the bits of a priority. The handlers are the program's.

pub use cortex_m_rt::interrupt;

pub use super::lines::Line as Interrupt;
pub use super::lines::Line as interrupt;

/// How many bits a priority has.
pub const NVIC_PRIO_BITS: u8 = 3;

unsafe extern "C" {
    fn Timer0();
    fn Ethernet();
    fn DefaultHandler();
}

/// The vectors of the lines, up to the last one in use.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [unsafe extern "C" fn(); Interrupt::Ethernet as usize + 1] = {
    let mut vectors = [DefaultHandler as unsafe extern "C" fn(); _];
    vectors[Interrupt::Timer0 as usize] = Timer0;
    vectors[Interrupt::Ethernet as usize] = Ethernet;
    vectors
};
