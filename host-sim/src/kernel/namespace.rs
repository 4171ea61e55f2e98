//! Network namespaces of this process's own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{getegid, geteuid};

use super::forbidden::Forbidden;
use super::netlink::Netlink;

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

/// A network namespace that the calling thread can return to. It lasts as long as this, its sockets and its devices.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Returns the calling thread's namespace.
    pub fn current() -> Result<Self, Forbidden> {
        const PATH: &str = "/proc/thread-self/ns/net";
        File::open(PATH).map(Self).map_err(|error| Forbidden::from_io(format!("open {PATH}"), &error))
    }

    /// Moves the calling thread into one more network namespace, after [`enter`], and brings up its loopback.
    pub fn another() -> Result<Self, Forbidden> {
        enter_as_root()?;
        Self::current()
    }

    /// Moves the calling thread into it: the sockets it opens from now on are there.
    pub fn enter(&self) -> Result<(), Forbidden> {
        setns(&self.0, CloneFlags::CLONE_NEWNET).map_err(|errno| Forbidden::new("enter a network namespace", errno))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_namespace_refused_to_threads_names_the_threads() {
        let refused = refused_user_namespace(Errno::EINVAL);
        assert!(refused.how.contains("thread"));
    }
}
