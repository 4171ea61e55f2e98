//! Switches off what network cards do for the kernel, so that frames on the
//! wire are as TCP meant them: true checksums, no frame beyond the MTU, and
//! incoming checksums really verified.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket, Type};

use super::forbidden::Forbidden;
use super::interface::request_for;

/// The ioctl for ethtool requests, `linux/sockios.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// `struct ethtool_value` of `linux/ethtool.h`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// One feature: its name, the commands that read and write it, and whether a
/// wire that keeps it would mislead a TCP.
struct Feature {
    name: &'static str,
    get: u32,
    set: u32,
    must_be_off: bool,
}

/// The numbers are those of `linux/ethtool.h`: `ETHTOOL_GTXCSUM` and so on.
///
/// Software segmentation and gathering end before the device, receive
/// offload starts behind it: these are asked for, and are no loss if kept.
const FEATURES: [Feature; 6] = [
    Feature { name: "transmit checksumming", get: 0x16, set: 0x17, must_be_off: true },
    Feature { name: "TCP segmentation", get: 0x1e, set: 0x1f, must_be_off: true },
    Feature { name: "receive checksumming", get: 0x14, set: 0x15, must_be_off: true },
    Feature { name: "generic segmentation", get: 0x23, set: 0x24, must_be_off: false },
    Feature { name: "generic receive", get: 0x2b, set: 0x2c, must_be_off: false },
    Feature { name: "scatter-gather", get: 0x18, set: 0x19, must_be_off: false },
];

/// Switches every feature of `device` off, and makes sure of those that matter.
pub(super) fn switch_off(device: &str) -> Result<(), Forbidden> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .map_err(|error| Forbidden::from_io("open a socket for device requests", &error))?;
    // First all, then the questions: a feature may fall with another one.
    for feature in &FEATURES {
        clear(&socket, device, feature)?;
    }
    for feature in FEATURES.iter().filter(|feature| feature.must_be_off) {
        require_off(&socket, device, feature)?;
    }
    Ok(())
}

/// A feature that the driver does not let change may well be off for good.
fn clear(socket: &Socket, device: &str, feature: &Feature) -> Result<(), Forbidden> {
    match ethtool(socket, device, feature.set, 0) {
        Ok(_) | Err(Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(refused(device, feature, errno)),
    }
}

fn require_off(socket: &Socket, device: &str, feature: &Feature) -> Result<(), Forbidden> {
    match ethtool(socket, device, feature.get, 0) {
        Ok(0) | Err(Errno::EOPNOTSUPP) => Ok(()),
        Ok(_) => Err(refused(device, feature, Errno::EOPNOTSUPP)),
        Err(errno) => Err(refused(device, feature, errno)),
    }
}

fn refused(device: &str, feature: &Feature, errno: Errno) -> Forbidden {
    let name = feature.name;
    Forbidden::new(format!("switch off {name} of {device}"), errno)
}

/// Makes one request with one value, and returns the value after it.
fn ethtool(socket: &Socket, device: &str, command: u32, data: u32) -> Result<u32, Errno> {
    let mut value = EthtoolValue { command, data };
    let mut request = request_for(device)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads one `ifreq`, which `request` is, and for these
    // commands reads or writes one `ethtool_value` behind `ifr_data`, which
    // `value` is; both live across the call and the kernel keeps neither.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    Errno::result(outcome)?;
    Ok(value.data)
}
