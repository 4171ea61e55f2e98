//! The error for systems that do not grant a step of the set-up, with the remedy.

use std::error::Error;
use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::libc;

/// The system refused a step of the set-up: which, with what error, and what
/// to change so that it succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// The operation tried, as an infinitive: "bring up lo".
    pub what: String,
    /// The error the kernel gave.
    pub errno: Errno,
    /// One line on how to allow the operation.
    pub how: &'static str,
}

impl Forbidden {
    /// Names a refused operation and derives the remedy from the error.
    pub(super) fn new(what: impl Into<String>, errno: Errno) -> Self {
        let how = remedy(errno);
        Self::with_remedy(what, errno, how)
    }

    /// Names a refused operation whose remedy the caller knows better.
    pub(super) fn with_remedy(what: impl Into<String>, errno: Errno, how: &'static str) -> Self {
        let what = what.into();
        Self { what, errno, how }
    }

    /// Names a refused operation that reported through the standard library.
    pub(super) fn from_io(what: impl Into<String>, error: &io::Error) -> Self {
        Self::new(what, errno_of(error))
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, errno, how } = self;
        write!(f, "could not {what}: {}; {how}", errno.desc())
    }
}

impl Error for Forbidden {}

/// An error without a number can only be our own reading of a reply.
fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EBADMSG, Errno::from_raw)
}

fn remedy(errno: Errno) -> &'static str {
    // Matched as numbers: the set of errors is open, the ones with a known
    // remedy are few.
    match errno as i32 {
        libc::EPERM | libc::EACCES => {
            "allow user namespaces (as root, those that exist: sysctl -w \
             kernel.unprivileged_userns_clone=1 \
             kernel.apparmor_restrict_unprivileged_userns=0 \
             user.max_user_namespaces=10000), or run as root"
        }
        libc::ENOSPC | libc::EUSERS => {
            "raise the limits on namespaces (as root: sysctl -w \
             user.max_user_namespaces=10000 user.max_net_namespaces=10000), or run as root"
        }
        libc::ENODEV | libc::ENOENT | libc::ENXIO | libc::EOPNOTSUPP | libc::EAFNOSUPPORT => {
            "the kernel lacks a driver; as root: modprobe -a tun veth af_packet"
        }
        libc::EROFS => "mount /proc writable, or run as root",
        libc::EEXIST | libc::EBUSY => "close the other wire of this namespace first",
        libc::EMFILE | libc::ENFILE => "raise the limit on open files: ulimit -n",
        _ => "run as root, or on a Linux of version 4.9 or later with tun or veth",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_is_shown_in_one_line_with_operation_error_and_remedy() {
        let shown = Forbidden::new("bring up lo", Errno::EPERM).to_string();
        assert!(shown.starts_with("could not bring up lo: Operation not permitted; allow user"));
        assert!(shown.contains("user.max_user_namespaces"));
        assert_eq!(shown.lines().count(), 1);
    }
}
