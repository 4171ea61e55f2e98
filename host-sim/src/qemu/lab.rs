//! A board on a wire: powered on and off, looked at, talked to.

use std::cell::Cell;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use heck::ToSnakeCase;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpRepair;
use object::{File, Object, ObjectSymbol};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tcp_reset_core::{Control, Rule, Seq};
use tempfile::TempDir;

use super::cable::Cable;
use super::log::Log;
use super::machine::{Machine, Plan};
use super::{BOARD_MAC, Board, board_addr, network};
use crate::family::Family;
use crate::frame::Seen;
use crate::kernel::{self, Forbidden, Network, Wire};
use crate::pcap::Capture;

/// How long anything of the board's is waited for: far above what a loaded machine needs.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The kernel's host number as a stranger.
const STRANGER: u8 = 9;

/// Ports below those that the kernel draws from.
const OWN_PORTS: Range<u16> = 24_000..32_000;

/// What stands on the bench.
pub(super) struct Lab {
    board: Board,
    /// The family that the board is spoken to in.
    pub(super) family: Family,
    /// The kernel's zone of link-local addresses on the wire.
    zone: u32,
    /// Why this machine's kernel does not speak IPv6, if it does not.
    no_ipv6: Option<Forbidden>,
    image: PathBuf,
    /// Where QEMU's sockets are.
    folder: Option<TempDir>,
    pub(super) log: Log,
    pub(super) cable: Cable,
    machine: Option<Machine>,
    /// Whom a board powered on shows the whole status page; `None`: nobody.
    status_from: Option<String>,
    /// The deepest use of the stack that any board has told, in bytes.
    deepest_stack: Cell<u64>,
    next_port: Cell<u16>,
}

impl Lab {
    /// Moves this process into a network namespace of its own, and lays the wire. Must come before any thread is started.
    ///
    /// # Errors
    /// If the namespace is refused, or the image cannot be read.
    pub(super) fn open(board: Board, image: PathBuf, capture: Option<&Path>, is_log_printed: bool) -> Result<Lab> {
        let bytes = fs::read(&image).with_context(|| format!("cannot read the image {}", image.display()))?;
        let log = Log::of_image(&bytes, is_log_printed)?;
        let folder = Some(tempfile::tempdir().context("cannot make a folder for QEMU's sockets")?);
        let capture = capture.map(Capture::create).transpose()?;
        kernel::enter()?;
        let mut wire = Wire::open(&network(Family::Ipv4), BOARD_MAC, None)?;
        wire.add_network(&strangers_network(Family::Ipv4))?;
        let added = wire.add_network(&network(Family::Ipv6));
        let no_ipv6 = added.and_then(|()| wire.add_network(&strangers_network(Family::Ipv6))).err();
        let zone = wire.kernel_index();
        let cable = Cable::new(wire, capture)?;
        Ok(Lab {
            board,
            family: Family::Ipv4,
            zone,
            no_ipv6,
            image,
            folder,
            log,
            cable,
            machine: None,
            status_from: None,
            deepest_stack: Cell::new(0),
            next_port: Cell::new(OWN_PORTS.start),
        })
    }

    /// Returns the board's name, as its log says it.
    pub(super) fn board_name(&self) -> &'static str {
        self.board.binary()
    }

    /// Speaks to the board in another family from now on.
    ///
    /// # Errors
    /// If this machine's kernel does not speak it.
    pub(super) fn speak(&mut self, family: Family) -> Result<()> {
        match (family, &self.no_ipv6) {
            (Family::Ipv6, Some(forbidden)) => bail!("the kernel does not speak IPv6 here: {forbidden}"),
            (Family::Ipv4 | Family::Ipv6, _) => self.family = family,
        }
        Ok(())
    }

    /// Powers the board on, and waits until it has an address of every family that it speaks.
    ///
    /// # Errors
    /// If it does not come up.
    pub(super) fn power_on(&mut self, arguments: &[String]) -> Result<()> {
        self.power_on_with(arguments, Vec::new())
    }

    /// The same, with these bytes in the reset journal's memory, repeated to its end.
    ///
    /// # Errors
    /// If it does not come up, or the image has no journal.
    pub(super) fn power_on_with_journal(&mut self, pattern: &[u8]) -> Result<()> {
        let (address, len) = self.journal()?;
        let bytes: Vec<u8> = pattern.iter().copied().cycle().take(len).collect();
        // Not as a file: to QEMU the image's own segment, which holds nothing, lies there.
        let (words, rest) = bytes.as_chunks();
        ensure!(rest.is_empty(), "the journal's {len} bytes are no words");
        let options = (address..).step_by(4).zip(words).flat_map(|(address, word)| {
            let data = u32::from_le_bytes(*word);
            ["-device".into(), format!("loader,addr={address:#x},data={data:#x},data-len=4")]
        });
        self.power_on_with(&[], options.collect())
    }

    /// Where the image has its journal, and how long that is, in bytes.
    fn journal(&self) -> Result<(u64, usize)> {
        let bytes = fs::read(&self.image).with_context(|| format!("cannot read the image {}", self.image.display()))?;
        let file = File::parse(&*bytes).context("the image is no ELF")?;
        let is_it = |symbol: &object::Symbol<'_, '_>| {
            symbol.size() > 0 && symbol.name().is_ok_and(|name| name.contains("7JOURNAL"))
        };
        let found: Vec<_> = file.symbols().filter(is_it).map(|symbol| (symbol.address(), symbol.size())).collect();
        let [(address, len)] = found[..] else { bail!("the image has {} symbols JOURNAL", found.len()) };
        Ok((address, usize::try_from(len)?))
    }

    fn power_on_with(&mut self, arguments: &[String], options: Vec<String>) -> Result<()> {
        self.power_off();
        let mut arguments = arguments.to_vec();
        arguments.extend(self.status_from.iter().map(|networks| format!("status_from={networks}")));
        let plan = Plan { board: self.board, image: &self.image, arguments, options };
        let folder = self.folder.as_ref().context("the folder for QEMU's sockets is gone")?;
        let (machine, ethernet, output) = Machine::start(&plan, folder.path())?;
        // The reader ends with the machine.
        drop(self.log.follow(output));
        self.machine = Some(machine);
        self.cable.plug(ethernet)?;
        self.await_addresses(0)
    }

    /// Waits until the board tells its addresses, from a place in the log on.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn await_addresses(&self, from: usize) -> Result<()> {
        self.log.wait_for("address 1", from, PATIENCE)?;
        // What embassy-net says at the start tells whether the image speaks IPv6.
        if self.log.lines().iter().any(|line| line.text == "IPv6: DOWN") {
            self.log.wait_for("address fd", from, PATIENCE)?;
        }
        Ok(())
    }

    /// Removes the folder for QEMU's sockets: the board that runs goes on, its cable stays as it is, and no other can be started.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(super) fn forget_folder(&mut self) -> Result<()> {
        self.folder.take().map_or(Ok(()), TempDir::close).context("cannot remove the folder for QEMU's sockets")
    }

    /// Pulls the plug: nothing is said to anybody.
    pub(super) fn power_off(&mut self) {
        self.machine = None;
        self.cable.unplug();
    }

    /// Returns the running machine.
    ///
    /// # Errors
    /// If none runs.
    pub(super) fn machine(&self) -> Result<&Machine> {
        self.machine.as_ref().context("the board is not powered on")
    }

    /// Returns the board's address.
    pub(super) fn board_addr(&self) -> IpAddr {
        board_addr(self.family)
    }

    /// Sets whom every board powered on from now on shows the whole status page: networks as the firmware reads them.
    pub(super) fn show_everything_to(&mut self, networks: String) {
        self.status_from = Some(networks);
    }

    /// Returns the address of the kernel's that the scenarios do not let see everything.
    pub(super) fn stranger_addr(&self) -> IpAddr {
        strangers_network(self.family).kernel
    }

    /// Returns the board's endpoint at a port.
    pub(super) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.board_addr(), port)
    }

    /// Returns the kernel's endpoint at a port.
    pub(super) fn kernel_at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.family.peer_addr(), port)
    }

    /// Returns the kernel's zone of link-local addresses on the wire.
    pub(super) fn zone(&self) -> u32 {
        self.zone
    }

    /// Connects the kernel to a port of the board's, from any port or from one chosen.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn connect(&self, port: u16, from: u16) -> std::io::Result<TcpStream> {
        self.connect_within(port, from, PATIENCE)
    }

    /// The same, with more patience for a board that takes nobody now.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn connect_within(&self, port: u16, from: u16, patience: Duration) -> std::io::Result<TcpStream> {
        connect(self.kernel_at(from), self.at(port), patience)
    }

    /// Asks for the status page's facts, as JSON without chunks, from the address that the scenarios let see everything.
    ///
    /// # Errors
    /// If it is not answered, or not with JSON.
    pub(super) fn status(&self) -> Result<Value> {
        let mut stream = self.connect(80, self.own_port()).context("the status page's port does not answer")?;
        stream.write_all(format!("GET /status.json HTTP/1.0\r\nHost: {}\r\n\r\n", self.at(80)).as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).context("the status page breaks off")?;
        let (head, body) = text.split_once("\r\n\r\n").context("the status page has no head")?;
        ensure!(head.starts_with("HTTP/1.1 200 OK"), "the status page says {head}");
        let status: Value =
            serde_json::from_str(body).with_context(|| format!("the status page is no JSON: {body}"))?;
        let used = status["stack_used"].as_u64().context("the status page does not tell the stack")?;
        self.deepest_stack.set(self.deepest_stack.get().max(used));
        Ok(status)
    }

    /// Returns a port of the kernel's that no connection has used lately: with one that the kernel draws, a page would
    /// now and then reopen a TIME-WAIT of the board's, which then counts one less.
    pub(super) fn own_port(&self) -> u16 {
        let port = self.next_port.get();
        let next = port + 1;
        self.next_port.set(if OWN_PORTS.contains(&next) { next } else { OWN_PORTS.start });
        port
    }

    /// Returns the deepest use of the stack that any board has told so far, in bytes.
    pub(super) fn deepest_stack(&self) -> u64 {
        self.deepest_stack.get()
    }

    /// Asks how often a rule has decided.
    ///
    /// # Errors
    /// If the status page does not tell.
    pub(super) fn ruled(&self, rule: Rule) -> Result<u64> {
        let status = self.status()?;
        status["rules"][key(rule)].as_u64().with_context(|| format!("the status page does not count {rule}"))
    }

    /// A segment in the kernel's name that fits a connection as it stands, to be bent.
    ///
    /// # Errors
    /// If the wire has not seen the connection.
    pub(super) fn segment_for(&self, stream: &TcpStream, control: Control) -> Result<Seen> {
        let last = self.last_word(stream)?;
        let ack = if control.contains(Control::ACK) { last.seq + last.len as u32 } else { Seq(0) };
        Ok(Seen { from: last.to, to: last.from, seq: last.ack, ack, control, wnd: 1_000, len: 0, timestamps: None })
    }

    /// The window that the board last offered on a connection.
    ///
    /// # Errors
    /// If the wire has not seen the connection.
    pub(super) fn window(&self, stream: &TcpStream) -> Result<u32> {
        Ok(self.last_word(stream)?.wnd.into())
    }

    /// The board's last segment on a connection.
    fn last_word(&self, stream: &TcpStream) -> Result<Seen> {
        let (kernel, board) = ends(stream)?;
        self.cable.last_from_board(board, kernel).context("the board has said nothing on this connection")
    }
}

/// The network once more, with another address of the kernel's.
fn strangers_network(family: Family) -> Network {
    Network { kernel: family.host(STRANGER), ..network(family) }
}

/// A connection of the kernel's.
pub(super) fn connect(from: SocketAddr, to: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    connect_with(from, to, patience, |_| Ok(()))
}

/// The same, after something was set of its socket.
pub(super) fn connect_with(
    from: SocketAddr,
    to: SocketAddr,
    patience: Duration,
    set: impl FnOnce(&Socket) -> std::io::Result<()>,
) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    set(&socket)?;
    socket.set_reuse_address(true)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), patience)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// The kernel's end and the board's.
pub(super) fn ends(stream: &TcpStream) -> Result<(SocketAddr, SocketAddr)> {
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

/// Sends bytes to the echo service, and sees them come back.
///
/// # Errors
/// If they do not, or others do.
pub(super) fn echo(stream: &mut TcpStream, text: &[u8]) -> Result<()> {
    stream.write_all(text).context("the echo service does not take bytes")?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).context("the echo service does not give bytes back")?;
    ensure!(back == text, "the echo service gives other bytes back");
    Ok(())
}

/// The kernel forgets a connection without a word, as a host that lost power.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn vanish(stream: TcpStream) -> Result<()> {
    setsockopt(&stream, TcpRepair, &1).context("the kernel does not forget (TCP_REPAIR)")
}

/// Returns a rule's or a reason's key on the status page.
pub(super) fn key(name: impl ToString) -> String {
    name.to_string().to_snake_case()
}
