//! Settings from the command line that the host gives by semihosting.

use core::net::Ipv4Addr;

use embassy_time::Duration;
use semihosting::experimental::env;

use super::{clock, time_driver};
use crate::app::{End, Settings};

/// The longest command line, in bytes.
const LONGEST_ARGUMENTS: usize = 256;

/// Takes settings from the command line: `dhcp=off`, `address=10.69.0.2`, `address_v6=fd10:69::2`, `server=10.69.0.1:7000`,
/// `status_from=10.69.0.0/24,fd10:69::/64`, `reset_reasons=on`, `restart_after=5`, `panic_after=5` and `hang_after=5` in seconds, `speed=60` for a clock that runs 60
/// times as fast as the world's. What is not understood is told in the log and passed over.
pub(super) fn read_into(settings: &mut Settings) {
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
            Some(("reset_reasons", text)) => settings.set_reset_reasons(text),
            Some(("restart_after", text)) => settings.end = seconds(text).map(|after| (after, End::Restart)),
            Some(("panic_after", text)) => settings.end = seconds(text).map(|after| (after, End::Panic)),
            Some(("hang_after", text)) => settings.end = seconds(text).map(|after| (after, End::Hang)),
            Some(("speed", text)) if matches!(text.parse::<u32>(), Ok(1..=clock::TOP_SPEED)) => {
                time_driver::set_speed(text.parse().unwrap_or(1));
            }
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
