//! What the host gives by semihosting: random octets and arguments. The log is `defmt-semihosting`'s.

use core::net::Ipv4Addr;

use defmt_semihosting as _;
use embassy_time::Duration;
use semihosting::experimental::{env, random as host_random};

use crate::app::{End, Settings};

/// The longest command line, in octets.
const LONGEST_ARGUMENTS: usize = 256;

/// Ends the machine: QEMU's exit code is 1.
pub(super) fn stop() -> ! {
    semihosting::process::exit(1)
}

/// Octets of the host's random source: the board has none. Ends the machine where the host has none to give: a constant key would be
/// worse than none.
pub fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    if host_random::fill_bytes(&mut octets).is_err() {
        defmt::error!("the host gives no random octets: start QEMU with -semihosting-config enable=on,target=native");
        stop()
    }
    octets
}

/// Takes settings from the command line: `dhcp=off`, `address=10.69.0.2`, `address_v6=fd10:69::2`, `server=10.69.0.1:7000`,
/// `status_from=10.69.0.0/24,fd10:69::/64`, `restart_after=5` and `panic_after=5` in seconds. What is not understood is told in the log and passed over.
pub(super) fn arguments_into(settings: &mut Settings) {
    let Ok(arguments) = env::args::<LONGEST_ARGUMENTS>() else {
        defmt::warn!("the host gives no arguments");
        return;
    };
    // The first is the program's name.
    for argument in (&arguments).skip(1).flatten() {
        match argument.split_once('=') {
            Some(("dhcp", "off")) => settings.uses_dhcp = false,
            Some(("dhcp", "on")) => settings.uses_dhcp = true,
            Some(("address", text)) if text.parse::<Ipv4Addr>().is_ok() => {
                settings.fallback.0 = text.parse().unwrap_or(settings.fallback.0);
            }
            #[cfg(feature = "ipv6")]
            Some(("address_v6", text)) if text.parse::<core::net::Ipv6Addr>().is_ok() => {
                settings.address_v6 = text.parse().ok().map(|addr| (addr, 64));
            }
            Some(("server", text)) => settings.set_server(text),
            Some(("status_from", text)) => settings.set_status_from(text),
            Some(("restart_after", text)) => settings.end = seconds(text).map(|after| (after, End::Restart)),
            Some(("panic_after", text)) => settings.end = seconds(text).map(|after| (after, End::Panic)),
            _ => defmt::warn!("argument \"{=str}\" is not understood", argument),
        }
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok();
    if seconds.is_none() {
        defmt::warn!("\"{=str}\" is no number of seconds", text);
    }
    seconds.map(Duration::from_secs)
}
