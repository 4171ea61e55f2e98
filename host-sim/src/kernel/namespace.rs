//! A network namespace of this process's own, and the error for systems that
//! do not grant one.

use std::error::Error;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::netlink::Netlink;

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

/// Moves the process into a network namespace of its own and brings up its
/// loopback. Must be called while the process has one thread, as a user
/// namespace cannot be entered by one thread of several.
///
/// Privilege is judged by trying: first a network namespace alone, which works
/// for root, and if that is refused or unusable, one inside a user namespace,
/// which works for everybody where the system lets it.
pub fn enter() -> Result<(), Forbidden> {
    match enter_as_root() {
        Err(refused) if matches!(refused.errno, Errno::EPERM | Errno::EACCES) => enter_as_user(),
        other => other,
    }
}

/// Writes one of the namespace's settings, named by its path below
/// `/proc/sys/net`, such as `ipv4/tcp_timestamps`.
///
/// Errors are those of the file: not found where the kernel lacks the setting,
/// read-only in containers that mount `/proc/sys` so.
pub fn set_net_sysctl(name: &str, value: &str) -> io::Result<()> {
    write_existing(&Path::new("/proc/sys/net").join(name), value)
}

fn enter_as_root() -> Result<(), Forbidden> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Forbidden::new("make a network namespace", errno))?;
    bring_up_loopback()
}

fn enter_as_user() -> Result<(), Forbidden> {
    // The ids must be read before: inside, until mapped, they read as nobody's.
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(refused_user_namespace)?;
    map_to_root(uid.as_raw(), gid.as_raw())?;
    bring_up_loopback()
}

/// `EINVAL` here has one cause that a caller meets, so it gets its own remedy.
fn refused_user_namespace(errno: Errno) -> Forbidden {
    const WHAT: &str = "make a user and network namespace";
    if errno == Errno::EINVAL {
        return Forbidden::with_remedy(WHAT, errno, "enter it before the first thread is started");
    }
    Forbidden::new(WHAT, errno)
}

/// Maps the user and group to root's ids. The kernel takes a group map from an
/// ordinary user only once `setgroups` is given up.
fn map_to_root(uid: u32, gid: u32) -> Result<(), Forbidden> {
    write_identity("/proc/self/setgroups", "deny")?;
    write_identity("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write_identity("/proc/self/gid_map", &format!("0 {gid} 1"))
}

fn write_identity(path: &str, value: &str) -> Result<(), Forbidden> {
    write_existing(Path::new(path), value)
        .map_err(|error| Forbidden::from_io(format!("write '{value}' to {path}"), &error))
}

/// The first operation that needs the namespace's capabilities. Systems that
/// grant the namespace and strip the capabilities are found out here.
fn bring_up_loopback() -> Result<(), Forbidden> {
    let mut netlink = Netlink::open()?;
    let loopback = netlink.find_link("lo")?;
    netlink.bring_up(&loopback)
}

/// Writes a file of `/proc` in one call, never creating one.
fn write_existing(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

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

    #[test]
    fn user_namespace_refused_to_threads_names_the_threads() {
        let refused = refused_user_namespace(Errno::EINVAL);
        assert!(refused.how.contains("thread"));
    }
}
