//! Servers of the system, as children of the examples: they use the kernel's TCP in the namespace, and end with the example.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const LOG: &str = "log";
/// Where servers may lie although an ordinary user's `PATH` does not lead there.
const SERVERS_FOLDER: &str = "/usr/sbin";

/// A server that runs as long as this is kept.
pub(crate) struct Server {
    child: Child,
    /// Its files, and what it logs.
    folder: TempDir,
}

impl Server {
    /// Starts a program, and waits until it listens on the namespace's loopback.
    ///
    /// Blocks the thread, and with it the stacks: not while they have a connection.
    ///
    /// # Errors
    /// If it ends at once, or does not listen in time.
    pub(crate) fn start(program: &Path, arguments: &[&str], folder: TempDir, port: u16) -> Result<Server> {
        let log = File::create(folder.path().join(LOG)).context("cannot make a file for what a server logs")?;
        // The kernel ends it should this program be killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().context("cannot start setpriv, of the package util-linux")?;
        let mut server = Server { child, folder };
        server.await_listening(port).with_context(|| format!("{} {}", program.display(), arguments.join(" ")))?;
        Ok(server)
    }

    fn await_listening(&mut self, port: u16) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
                bail!("it has ended at once, {status}: {log}");
            }
            ensure!(started.elapsed() < PATIENCE, "it does not listen after {PATIENCE:?}");
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds a program that a package of the same name brings.
///
/// # Errors
/// If it is not installed.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut paths = env::split_paths(&folders).chain([SERVERS_FOLDER.into()]).map(|folder| folder.join(program));
    paths.find(|path| path.is_file()).with_context(|| {
        format!("{program} is missing; install it (as root): apt-get install {program}, or dnf install {program}")
    })
}
