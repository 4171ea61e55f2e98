//! What the host gives by semihosting: random bytes. The log is `defmt-semihosting`'s.

use defmt_semihosting as _;
use semihosting::experimental::random as host_random;

/// Ends the machine: QEMU's exit code is 1.
pub(super) fn stop() -> ! {
    semihosting::process::exit(1)
}

/// Bytes of the host's random source: the board has none. Ends the machine where the host has none to give: a constant key would be
/// worse than none.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if host_random::fill_bytes(&mut bytes).is_err() {
        defmt::error!("the host gives no random bytes: start QEMU with -semihosting-config enable=on,target=native");
        stop()
    }
    bytes
}
