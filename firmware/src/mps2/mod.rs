//! What ARM's MPS2 board has, as QEMU shows it: Ethernet (SMSC LAN9118), a clock, an alarm, a watchdog, and logs and random bytes by semihosting.

#[cfg(feature = "app")]
mod arguments;
#[cfg(feature = "bare")]
pub mod beside;
pub mod clock;
#[cfg(feature = "bare")]
pub mod device;
#[cfg(feature = "mps2-embassy")]
mod executor;
mod host;
#[cfg(feature = "mps2-embassy")]
mod interrupts;
pub mod lan9118;
pub mod lines;
#[cfg(feature = "bare")]
mod phy;
#[cfg(feature = "app")]
mod start;
#[cfg(feature = "mps2-embassy")]
mod time_driver;
#[cfg(feature = "app")]
mod watchdog;

#[cfg(feature = "mps2-embassy")]
pub use executor::run;
pub use host::random;
#[cfg(feature = "app")]
pub use start::start;
