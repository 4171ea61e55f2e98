//! A QEMU process with the firmware in it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::libc;

use super::{BOARD_MAC, Board};

const QEMU: &str = "qemu-system-arm";
/// How long QEMU may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
/// The unit of the system's processor times: fixed on Linux, whatever the kernel's own tick is.
const TICKS_PER_SECOND: u64 = 100;

/// What a machine is started with.
pub(super) struct Plan<'p> {
    pub(super) board: Board,
    pub(super) image: &'p Path,
    /// The firmware's arguments, `server=10.69.0.1:7000`.
    pub(super) arguments: Vec<String>,
    /// QEMU's own.
    pub(super) options: Vec<String>,
}

/// A running machine. Dropping it pulls the plug.
pub(super) struct Machine {
    child: Child,
    monitor: PathBuf,
}

impl Machine {
    /// Powers a machine on; gives its Ethernet and its log.
    ///
    /// # Errors
    /// If QEMU is missing or does not come up.
    pub(super) fn start(plan: &Plan<'_>, folder: &Path) -> Result<(Machine, UnixStream, ChildStdout)> {
        let (ethernet, monitor) = (folder.join("ethernet"), folder.join("monitor"));
        for socket in [&ethernet, &monitor] {
            remove(socket)?;
        }
        let listener =
            UnixListener::bind(&ethernet).with_context(|| format!("cannot listen on {}", ethernet.display()))?;
        listener.set_nonblocking(true).context("cannot wait for QEMU")?;
        let mut command = command(plan, &ethernet, &monitor);
        let mut child = command.spawn().map_err(|error| {
            let how = "install it (Debian: apt-get install qemu-system-arm)";
            anyhow!(error).context(format!("cannot start {QEMU}; {how}"))
        })?;
        let log = child.stdout.take().context("QEMU's output is not piped")?;
        let mut machine = Machine { child, monitor };
        let stream = machine.await_ethernet(&listener)?;
        stream.set_nonblocking(false).context("cannot talk to QEMU")?;
        Ok((machine, stream, log))
    }

    fn await_ethernet(&mut self, listener: &UnixListener) -> Result<UnixStream> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match listener.accept() {
                Ok((stream, _)) => return Ok(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("QEMU's Ethernet does not come up"),
            }
            if let Some(status) = self.child.try_wait().context("cannot ask after QEMU")? {
                bail!("{QEMU} ended before its Ethernet came up ({status}); version 7.2 or later is needed");
            }
            thread::sleep(POLL);
        }
        bail!("QEMU's Ethernet did not come up in {} s", PATIENCE.as_secs())
    }

    /// Returns the process's number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns how much of the processor the machine has taken so far.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The name may have spaces; after it the 12th and 13th field are ticks in the program and in the kernel, proc(5).
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        ensure!(ticks.len() == 2, "{path} is not understood: {text}");
        Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 1_000 / TICKS_PER_SECOND))
    }

    /// Pulls the board's Ethernet cable, or puts it back.
    ///
    /// # Errors
    /// If QEMU's monitor does not take the order.
    pub(super) fn set_cable(&self, is_in: bool) -> Result<()> {
        self.order(if is_in { "set_link n0 on" } else { "set_link n0 off" })
    }

    /// Resets the machine, as a button on the board would: its RAM keeps what it has.
    ///
    /// # Errors
    /// If QEMU's monitor does not take the order.
    pub(super) fn reset(&self) -> Result<()> {
        self.order("system_reset")
    }

    fn order(&self, order: &str) -> Result<()> {
        let told = (|| {
            let mut stream = UnixStream::connect(&self.monitor)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            writeln!(stream, "{order}")?;
            // The monitor greets, repeats the order, and then shows its prompt again.
            let mut reader = BufReader::new(stream);
            let mut text = Vec::new();
            reader.read_until(b')', &mut text)?;
            reader.read_until(b')', &mut text)
        })();
        told.with_context(|| format!("QEMU's monitor does not take \"{order}\""))?;
        Ok(())
    }

    /// Waits until the machine has ended by itself; gives its exit code.
    ///
    /// # Errors
    /// If it does not end in time.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<Option<i32>> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().context("cannot ask after QEMU")? {
                return Ok(status.code());
            }
            thread::sleep(POLL);
        }
        bail!("the machine did not end in {} s", patience.as_secs())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Ended already, or not to be had any more: there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(plan: &Plan<'_>, ethernet: &Path, monitor: &Path) -> Command {
    let mac = BOARD_MAC.map(|byte| format!("{byte:02x}")).join(":");
    let mut semihosting = String::from("enable=on,target=native,arg=firmware");
    for argument in &plan.arguments {
        semihosting.push_str(",arg=");
        // To QEMU a comma ends an option, and two are one.
        semihosting.push_str(&argument.replace(',', ",,"));
    }
    let mut command = Command::new(QEMU);
    command
        .args(["-machine", plan.board.machine(), "-display", "none", "-serial", "none"])
        .arg("-monitor")
        .arg(format!("unix:{},server=on,wait=off", monitor.display()))
        .args(["-semihosting-config", &semihosting])
        .arg("-kernel")
        .arg(plan.image)
        .arg("-netdev")
        .arg(format!("stream,id=n0,server=off,addr.type=unix,addr.path={}", ethernet.display()))
        .args(["-net", &format!("nic,netdev=n0,model=lan9118,macaddr={mac}")])
        .args(&plan.options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // SAFETY: between fork and exec only prctl is called, which is safe to call there.
    unsafe {
        command.pre_exec(|| {
            // However this program ends, the machine ends with it.
            match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    command
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
