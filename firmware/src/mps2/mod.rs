//! What ARM's MPS2 board has, as QEMU shows it: Ethernet (SMSC LAN9118), a clock, an alarm, and logs and random bytes by semihosting.

#[cfg(feature = "app")]
mod arguments;
mod clock;
mod executor;
mod host;
mod interrupts;
pub mod lan9118;
mod lines;
#[cfg(feature = "app")]
mod start;

pub use executor::run;
pub use host::random;
#[cfg(feature = "app")]
pub use start::start;
