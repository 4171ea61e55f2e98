//! Who handles which interrupt.

use cortex_m_rt::exception;

use super::lines::Line;
use super::{lan9118, time_driver};

#[exception]
unsafe fn DefaultHandler(line: i16) {
    match line {
        8 => time_driver::on_alarm(),
        13 => lan9118::on_interrupt(),
        other => defmt::panic!("interrupt {=i16} was never enabled", other),
    }
}

const _: () = assert!(Line::Timer0 as i16 == 8 && Line::Ethernet as i16 == 13, "the handler's numbers are the lines'");
