//! Our end of the wire as a TAP: a file that reads and writes Ethernet frames.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;

use super::forbidden::Forbidden;
use super::interface::request_for;

const CLONE_DEVICE: &str = "/dev/net/tun";

/// Plain frames: no packet information before them, no offload header.
const FLAGS: i32 = libc::IFF_TAP | libc::IFF_NO_PI;
const _: () = assert!(FLAGS <= i16::MAX as i32, "flags must fit ifr_flags");

/// A TAP device; the kernel removes it when this is dropped.
#[derive(Debug)]
pub(super) struct Tap {
    file: File,
}

impl Tap {
    /// Makes the kernel's end under the name `device`, still down.
    pub(super) fn open(device: &str) -> Result<Self, Forbidden> {
        let file = open_clone_device().map_err(|error| refused_open(&error))?;
        attach(&file, device).map_err(|errno| Forbidden::new(format!("make the TAP {device}"), errno))?;
        Ok(Self { file })
    }

    /// Reads one frame; one longer than `buf` is cut.
    pub(super) fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }

    /// Writes one frame; the kernel takes it whole or not at all.
    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.file.write(frame)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open_clone_device() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(CLONE_DEVICE)
}

/// Here "permission denied" is the file's mode, which a namespace cannot lift.
fn refused_open(error: &io::Error) -> Forbidden {
    let what = format!("open {CLONE_DEVICE}");
    if error.raw_os_error() == Some(libc::EACCES) {
        let how = "use a veth pair, or let users open it (as root: chmod 0666 /dev/net/tun)";
        return Forbidden::with_remedy(what, Errno::EACCES, how);
    }
    Forbidden::from_io(what, error)
}

fn attach(file: &File, device: &str) -> Result<(), Errno> {
    let mut request = request_for(device)?;
    request.ifr_ifru.ifru_flags = FLAGS as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which `request` is, and
    // keeps no pointer to it; the descriptor is open while `file` is borrowed.
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    Errno::result(outcome).map(drop)
}
