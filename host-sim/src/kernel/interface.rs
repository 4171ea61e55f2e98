//! The request that device ioctls share: `struct ifreq`, netdevice(7).

use std::mem;

use nix::errno::Errno;
use nix::libc;

/// Makes a request that names `device` and is zero otherwise.
///
/// `EINVAL` if the name does not fit with its closing zero.
pub(super) fn request_for(device: &str) -> Result<libc::ifreq, Errno> {
    // SAFETY: `ifreq` is a C struct of arrays, integers and pointers; all its
    // fields are valid when zero.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if device.len() >= request.ifr_name.len() {
        return Err(Errno::EINVAL);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}
