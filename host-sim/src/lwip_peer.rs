//! lwIP as the peer, in memory: the system's library in a process of its own, whose clock is the wire's. `lwip_peer.c` has the program and the
//! lines that it speaks.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{fmt, fs};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tcp_reset_core::{Instant, KeepAlive, State};
use tempfile::TempDir;

use crate::family::Family;
use crate::memory_wire::{MemoryWire, Station};
use crate::peer::{Failure, Peer, Read, Socket};

const SOURCE: &str = include_str!("lwip_peer.c");
/// Where Debian's package has the headers.
const HEADERS: &str = "/usr/include/lwip";
/// How long lwIP may think about a command, in milliseconds of real time.
const PATIENCE: u16 = 10_000;
/// Bytes of a single write: as many as a command's line has room for.
const MOST_SENT: usize = 32_768;

/// The program, built.
pub struct LwipProgram {
    /// Holds the program for as long as it is wanted.
    _folder: TempDir,
    path: PathBuf,
}

impl LwipProgram {
    /// Builds the program.
    ///
    /// # Errors
    /// If the compiler or the library is missing; the error says what to install.
    pub fn build() -> Result<LwipProgram> {
        let folder = tempfile::tempdir().context("cannot make a folder for the lwIP peer")?;
        let [source, path] = ["lwip_peer.c", "lwip_peer"].map(|name| folder.path().join(name));
        fs::write(&source, SOURCE).context("cannot write the lwIP peer's source")?;
        let mut command = Command::new("cc");
        // The library's headers take the system's own types only where GNU's extensions are on.
        command.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-isystem", HEADERS, "-o"]);
        let output = command.arg(&path).arg(&source).arg("-llwip").output();
        let output = output.map_err(|error| {
            let is_missing = error.kind() == ErrorKind::NotFound;
            anyhow::Error::new(error).context(if is_missing { HOW_TO_HAVE_IT } else { "cannot run cc" })
        })?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{HOW_TO_HAVE_IT}; cc says: {}", errors.trim());
        Ok(LwipProgram { _folder: folder, path })
    }
}

const HOW_TO_HAVE_IT: &str = "the lwIP peer cannot be built; it needs a C compiler and lwIP as a library: apt-get install gcc libc6-dev liblwip-dev";

enum Held {
    Listener { id: u32, port: u16 },
    Stream(u32),
    Gone,
}

/// lwIP, and a wire to it.
pub struct LwipPeer {
    mac: [u8; 6],
    process: Process,
    wire: MemoryWire,
    sockets: Vec<Held>,
}

/// The process, and what it has told.
struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// What was read of its next line.
    unread: Vec<u8>,
    version: String,
    now: Instant,
    next: Option<Instant>,
    frames: Vec<Vec<u8>>,
    connections: HashMap<u32, Connection>,
    /// By listener, the connections that nobody has accepted yet.
    accepted: HashMap<u32, VecDeque<u32>>,
}

/// What the application has learned of a connection.
#[derive(Default)]
struct Connection {
    is_connected: bool,
    received: VecDeque<u8>,
    is_finished: bool,
    failure: Option<Failure>,
}

impl LwipPeer {
    /// Starts lwIP where the family has the peer.
    ///
    /// # Errors
    /// If the process does not start.
    pub fn start(program: &LwipProgram, family: Family, mac: [u8; 6]) -> Result<LwipPeer> {
        let process = Process::start(program, family, mac)?;
        Ok(LwipPeer { mac, process, wire: MemoryWire::default(), sockets: Vec::new() })
    }

    /// Returns lwIP's version, as its headers have it.
    pub fn version(&self) -> &str {
        &self.process.version
    }

    fn hold(&mut self, held: Held) -> Socket {
        self.sockets.push(held);
        Socket(self.sockets.len() - 1)
    }

    fn stream(&self, socket: Socket) -> Result<u32> {
        match self.sockets.get(socket.0) {
            Some(Held::Stream(id)) => Ok(*id),
            _ => bail!("lwIP's socket {} is not an open stream", socket.0),
        }
    }

    fn connection(&mut self, socket: Socket) -> Result<&mut Connection> {
        let id = self.stream(socket)?;
        Ok(self.process.connections.entry(id).or_default())
    }

    /// Runs a command at the wire's time, and carries what lwIP sends.
    fn run(&mut self, command: &str) -> Result<Option<String>> {
        self.process.set_time(self.wire.now())?;
        let value = self.process.run(command)?;
        self.wire.flush(&mut self.process)?;
        Ok(value)
    }

    fn run_and_forget(&mut self, socket: Socket, command: &str) -> Result<()> {
        let id = self.stream(socket)?;
        self.sockets[socket.0] = Held::Gone;
        self.forget(id, command)
    }

    /// Ends a connection that has not failed already.
    fn forget(&mut self, id: u32, command: &str) -> Result<()> {
        let has_failed = self.process.connections.remove(&id).is_some_and(|it| it.failure.is_some());
        if !has_failed {
            self.run(&format!("{command} {id}"))?;
        }
        Ok(())
    }
}

impl Process {
    fn start(program: &LwipProgram, family: Family, mac: [u8; 6]) -> Result<Process> {
        let arguments = [hex(&mac), family.peer_addr().to_string(), family.prefix().to_string()];
        let mut command = Command::new(&program.path);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the lwIP peer")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the lwIP peer has no pipes");
        };
        let mut process = Process {
            child,
            input,
            output,
            unread: Vec::new(),
            version: String::new(),
            now: Instant::ZERO,
            next: None,
            frames: Vec::new(),
            connections: HashMap::new(),
            accepted: HashMap::new(),
        };
        process.version = process.answer()?.context("the lwIP peer tells no version")?;
        Ok(process)
    }

    fn set_time(&mut self, now: Instant) -> Result<()> {
        self.now = now;
        self.run(&format!("time {}", now.as_micros() / 1_000)).map(drop)
    }

    fn run(&mut self, command: &str) -> Result<Option<String>> {
        writeln!(self.input, "{command}").with_context(|| format!("the lwIP peer takes no command: {command}"))?;
        self.answer().with_context(|| format!("the lwIP peer's command: {command}"))
    }

    /// Reads lines until the command is done; returns the value that it has returned.
    fn answer(&mut self) -> Result<Option<String>> {
        let mut value = None;
        let mut failure = None;
        loop {
            let line = self.line()?;
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match word {
                "done" => {
                    let sleep: i64 = parse(rest)?;
                    self.next = u64::try_from(sleep).ok().map(|ms| self.now + Duration::from_millis(ms.max(1)));
                    break;
                }
                "version" | "id" | "sent" | "state" => value = Some(rest.to_owned()),
                "failed" => failure = Some(rest.to_owned()),
                _ => self.note(word, rest)?,
            }
        }
        match failure {
            Some(error) => bail!("lwIP fails with its error {error}"),
            None => Ok(value),
        }
    }

    /// Notes a frame, or what the application learns.
    fn note(&mut self, word: &str, rest: &str) -> Result<()> {
        if word == "frame" {
            self.frames.push(bytes(rest)?);
            return Ok(());
        }
        let (id, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let id = parse(id)?;
        if word == "accepted" {
            let connection = parse(rest)?;
            self.connections.entry(connection).or_default().is_connected = true;
            self.accepted.entry(id).or_default().push_back(connection);
            return Ok(());
        }
        let connection = self.connections.entry(id).or_default();
        match word {
            "connected" => connection.is_connected = true,
            "data" => connection.received.extend(bytes(rest)?),
            "closed" => connection.is_finished = true,
            "aborted" => {
                let (_, errno) = rest.split_once(' ').context("lwIP's error has two numbers")?;
                connection.failure = Some(match (Failure::from_errno(parse(errno)?), connection.is_connected) {
                    (Failure::Reset, false) => Failure::Refused,
                    (failure, _) => failure,
                });
            }
            _ => bail!("the lwIP peer says what nobody understands: {word} {rest}"),
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.drain(..=end).collect();
                let line = String::from_utf8(line).context("the lwIP peer writes what is no text")?;
                return Ok(line.trim_end().to_owned());
            }
            let mut fds = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, PollTimeout::from(PATIENCE)).context("cannot wait for the lwIP peer")?;
            ensure!(ready > 0, "the lwIP peer does not answer within {PATIENCE} ms");
            let mut part = [0; 4_096];
            let len = self.output.read(&mut part).context("cannot read from the lwIP peer")?;
            ensure!(len > 0, "the lwIP peer has ended: {}", self.ending());
            self.unread.extend(&part[..len]);
        }
    }

    fn ending(&mut self) -> String {
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed; it is waited for all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Station for Process {
    fn receive(&mut self, now: Instant, frame: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.set_time(now)?;
        self.run(&format!("frame {}", hex(frame)))?;
        Ok(std::mem::take(&mut self.frames))
    }

    fn drain(&mut self, now: Instant) -> Result<(Vec<Vec<u8>>, Option<Instant>)> {
        self.set_time(now)?;
        Ok((std::mem::take(&mut self.frames), self.next))
    }
}

impl Peer for LwipPeer {
    fn name(&self) -> &'static str {
        "lwIP"
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn now(&self) -> Instant {
        self.wire.now()
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.wire.send(frame);
        Ok(())
    }

    fn receive_frame(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.wire.receive())
    }

    fn wait(&mut self, until: Instant) -> Result<()> {
        self.wire.wait(until, &mut self.process)
    }

    fn listen(&mut self, port: u16) -> Result<Socket> {
        let id = self.run(&format!("listen {port}"))?.context("lwIP names no listener")?;
        Ok(self.hold(Held::Listener { id: parse(&id)?, port }))
    }

    fn accept(&mut self, listener: Socket) -> Result<Option<Socket>> {
        let Some(Held::Listener { id, .. }) = self.sockets.get(listener.0) else {
            bail!("lwIP's socket {} is not a listener", listener.0);
        };
        let accepted = self.process.accepted.get_mut(id).and_then(VecDeque::pop_front);
        Ok(accepted.map(|id| self.hold(Held::Stream(id))))
    }

    fn connect(&mut self, port: u16, remote: SocketAddr, is_narrow: bool) -> Result<Socket> {
        ensure!(!is_narrow, "lwIP's receive window is the library's, not a connection's");
        let command = format!("connect {port} {} {}", remote.ip(), remote.port());
        let id = parse(&self.run(&command)?.context("lwIP names no connection")?)?;
        self.process.connections.entry(id).or_default();
        Ok(self.hold(Held::Stream(id)))
    }

    fn is_connected(&mut self, socket: Socket) -> Result<Result<bool, Failure>> {
        let connection = self.connection(socket)?;
        Ok(connection.failure.map_or(Ok(connection.is_connected), Err))
    }

    fn send(&mut self, socket: Socket, data: &[u8]) -> Result<Result<usize, Failure>> {
        let id = self.stream(socket)?;
        let connection = self.connection(socket)?;
        if let Some(failure) = connection.failure {
            return Ok(Err(failure));
        }
        if !connection.is_connected {
            return Ok(Ok(0));
        }
        let data = &data[..data.len().min(MOST_SENT)];
        let sent = self.run(&format!("send {id} {}", hex(data)))?;
        Ok(Ok(parse(&sent.context("lwIP does not tell how much it has taken")?)?))
    }

    fn recv(&mut self, socket: Socket, buf: &mut [u8]) -> Result<Result<Read, Failure>> {
        let id = self.stream(socket)?;
        let connection = self.connection(socket)?;
        let len = connection.received.len().min(buf.len());
        if len == 0 {
            let is_finished = connection.is_finished;
            return Ok(connection.failure.map_or(Ok(if is_finished { Read::End } else { Read::Nothing }), Err));
        }
        let has_failed = connection.failure.is_some();
        for (to, from) in buf.iter_mut().zip(connection.received.drain(..len)) {
            *to = from;
        }
        if !has_failed {
            self.run(&format!("read {id} {len}"))?;
        }
        Ok(Ok(Read::Data(len)))
    }

    fn keep_alive(&mut self, socket: Socket, settings: KeepAlive) -> Result<()> {
        let KeepAlive { idle, interval, probes } = settings;
        let id = self.stream(socket)?;
        self.run(&format!("keepalive {id} {} {} {probes}", idle.as_millis(), interval.as_millis())).map(drop)
    }

    fn set_user_timeout(&mut self, _socket: Socket, _timeout: Duration) -> Result<()> {
        bail!("lwIP has no user timeout")
    }

    fn shutdown(&mut self, socket: Socket) -> Result<()> {
        let id = self.stream(socket)?;
        self.run(&format!("shutdown {id}")).map(drop)
    }

    fn close(&mut self, socket: Socket) -> Result<()> {
        self.run_and_forget(socket, "close")
    }

    fn abort(&mut self, socket: Socket) -> Result<()> {
        self.run_and_forget(socket, "abort")
    }

    fn vanish(&mut self, socket: Socket) -> Result<()> {
        self.run_and_forget(socket, "vanish")
    }

    fn drop_streams(&mut self) -> Result<()> {
        let ids: Vec<u32> = self.process.connections.keys().copied().collect();
        for id in ids {
            self.forget(id, "abort")?;
        }
        self.process.accepted.clear();
        for held in &mut self.sockets {
            if matches!(held, Held::Stream(_)) {
                *held = Held::Gone;
            }
        }
        Ok(())
    }

    fn listener_on(&self, port: u16) -> Option<Socket> {
        let is_here = |held: &Held| matches!(held, Held::Listener { port: at, .. } if *at == port);
        self.sockets.iter().position(is_here).map(Socket)
    }

    fn state(&mut self, port: u16, ours: SocketAddr) -> Result<State> {
        let name = self.run(&format!("state {port} {} {}", ours.ip(), ours.port()))?;
        let name = name.context("lwIP tells no state")?;
        state_named(&name).with_context(|| format!("lwIP's state {name} is none"))
    }
}

fn state_named(name: &str) -> Option<State> {
    Some(match name {
        "CLOSED" => State::Closed,
        "LISTEN" => State::Listen,
        "SYN_SENT" => State::SynSent,
        "SYN_RCVD" => State::SynReceived,
        "ESTABLISHED" => State::Established,
        "FIN_WAIT_1" => State::FinWait1,
        "FIN_WAIT_2" => State::FinWait2,
        "CLOSE_WAIT" => State::CloseWait,
        "CLOSING" => State::Closing,
        "LAST_ACK" => State::LastAck,
        "TIME_WAIT" => State::TimeWait,
        _ => return None,
    })
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T>
where
    T::Err: fmt::Display,
{
    text.trim().parse().map_err(|error| anyhow::anyhow!("the lwIP peer's number cannot be read: {text}: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let digits = hex.as_bytes();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes = digits.chunks(2).map(byte).collect::<Option<_>>();
    bytes.with_context(|| format!("the lwIP peer's bytes cannot be read: {hex}"))
}
