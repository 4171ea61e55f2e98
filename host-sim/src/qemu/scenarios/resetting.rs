//! Resets that leave no time to tell the peers: the journal in the board's RAM remembers them.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result, ensure};
use nix::libc;
use serde_json::Value;
use tcp_reset_core::{Config, Control, Instant, JOURNAL_RECORD_LEN, Journal, SecretKey, Storage, StreamOptions, Tcp};

use super::super::lab::{Lab, PATIENCE, connect, echo, ends, vanish};
use super::breaking::restarted;
use super::{holding, page};
use crate::frame::Seen;
use crate::trace::Way;

const ECHO: u16 = 7;
const DISCARD: u16 = 9;
/// Where the board's client has its server.
const SERVER: u16 = 7_000;
/// After the start, in seconds: until then all connections are open.
const RESET_AFTER: u32 = 6;
/// How long a board with garbage in its journal is listened to: the first question would be sent at once.
const QUIET: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);
/// Records of a board's journal.
const RECORDS: usize = 16;
/// Bytes of a record's mark.
const MARK_LEN: usize = 4;
/// A port of the board's that its client may have had.
const CLIENT: u16 = 50_000;

/// The kernel's ends of connections that were opened from either side.
struct Peers {
    streams: Vec<TcpStream>,
    /// The board's client comes here.
    listener: TcpListener,
    /// Where the log ended before the reset.
    log_end: usize,
}

impl Peers {
    /// Powers the board on with a client, and opens connections: three clients that echo, one that waits for it, one of discard, and the board's own.
    fn open(lab: &mut Lab, arguments: &[String]) -> Result<Peers> {
        let server = lab.kernel_at(SERVER);
        let listener = TcpListener::bind(server).context("the server's address")?;
        listener.set_nonblocking(true)?;
        lab.power_on(&[arguments, &[format!("server={server}")]].concat())?;
        let mut peers = Peers { streams: Vec::new(), listener, log_end: 0 };
        peers.open_again(lab)?;
        Ok(peers)
    }

    fn open_again(&mut self, lab: &Lab) -> Result<()> {
        self.streams.push(accept(&self.listener).context("the board's client does not come")?);
        for port in [ECHO, ECHO, ECHO, ECHO, DISCARD] {
            let mut stream = lab.connect(port, 0)?;
            stream.write_all(b"before the reset")?;
            // A handshake whose end is on its way is not in the journal yet.
            await_ack(lab, &stream)?;
            self.streams.push(stream);
        }
        // What opens a connection is logged by then; the client's is the last that is.
        self.log_end = lab.log.len();
        Ok(())
    }

    /// The kernel's ends.
    fn ends(&self) -> io::Result<Vec<SocketAddr>> {
        self.streams.iter().map(TcpStream::local_addr).collect()
    }

    /// Every stream ends by the board's RST, while the kernel sends no byte; then the board counts them.
    fn are_told(&mut self, lab: &Lab, began: WallClock) -> Result<()> {
        let kernels = self.ends()?;
        let said = |lab: &Lab| {
            let has_spoken = |seen: &Seen| kernels.contains(&seen.from) && seen.len > 0;
            lab.cable.count(|way, seen| way == Way::ToUs && has_spoken(seen))
        };
        let before = said(lab);
        for stream in &mut self.streams {
            expect_reset(stream)?;
        }
        let took = began.elapsed();
        ensure!(said(lab) == before, "the kernel has spoken: no peer is told by the board alone");
        let count = self.streams.len();
        let summary = format!("told {count} of {count} peers after the last restart");
        let at = lab.log.wait_for("after the last restart", self.log_end, PATIENCE)?;
        let known = began.elapsed();
        let line = lab.log.lines().into_iter().nth(at).context("the line is gone")?;
        ensure!(line.text == summary, "the log says \"{}\", not \"{summary}\"", line.text);
        anstream::println!(
            "    {count} peers were told {took:.1?} after the reset, and their answers known after {known:.1?}"
        );
        page_tells(lab, &kernels)?;
        self.streams.clear();
        Ok(())
    }
}

/// Waits until the board has acknowledged bytes, which it does once its connection is established.
fn await_ack(lab: &Lab, stream: &TcpStream) -> Result<()> {
    let (kernel, board) = ends(stream)?;
    let end = WallClock::now() + PATIENCE;
    while lab.cable.last_from_board(board, kernel).is_none_or(|seen| seen.control.contains(Control::SYN)) {
        ensure!(WallClock::now() < end, "the board acknowledges nothing of {kernel}");
        thread::sleep(POLL);
    }
    Ok(())
}

/// Bounded, as everything that the board does.
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let end = WallClock::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(WallClock::now() < end, "nobody came in {} s", PATIENCE.as_secs());
        thread::sleep(POLL);
    }
}

/// What the board had sent before is read first; nothing is sent.
fn expect_reset(stream: &mut TcpStream) -> Result<()> {
    let end = io::copy(stream, &mut io::sink()).map_err(|error| error.raw_os_error());
    ensure!(end == Err(Some(libc::ECONNRESET)), "the kernel's process met {end:?}, not ECONNRESET");
    Ok(())
}

/// An insider sees each pair, a stranger the sums alone.
fn page_tells(lab: &Lab, kernels: &[SocketAddr]) -> Result<()> {
    let status = lab.status()?;
    let stranger: Value = serde_json::from_str(&page::fetch(lab, "/status.json")?)?;
    for page in [&status, &stranger] {
        sums(page, [kernels.len(), kernels.len(), 0, 0, 0, 0])?;
    }
    let records = status["lost_peer_records"].as_array().context("the page lists no lost peers")?;
    for kernel in kernels {
        let record = records.iter().find(|record| record["remote"] == kernel.to_string());
        ensure!(record.is_some_and(|record| record["fate"] == "told"), "{kernel} is not told: {records:?}");
        ensure!(!stranger.to_string().contains(&kernel.to_string()), "a stranger is told {kernel}: {stranger}");
    }
    Ok(())
}

fn sums(page: &Value, expected: [usize; 6]) -> Result<()> {
    let keys = ["", "_told", "_gone", "_given_up", "_forgotten"].map(|what| format!("lost_peers{what}"));
    for (key, expected) in keys.iter().map(String::as_str).chain(["journal_ignored"]).zip(expected) {
        ensure!(page[key] == expected, "{key} is {}, not {expected}", page[key]);
    }
    Ok(())
}

pub(super) fn by_panic(lab: &mut Lab) -> Result<()> {
    let mut peers = Peers::open(lab, &[format!("panic_after={RESET_AFTER}")])?;
    lab.log.wait_for("a panic was asked for", 0, PATIENCE)?;
    peers.are_told(lab, WallClock::now())?;
    restarted(lab, "panic")
}

pub(super) fn by_watchdog(lab: &mut Lab) -> Result<()> {
    let mut peers = Peers::open(lab, &[format!("hang_after={RESET_AFTER}")])?;
    lab.log.wait_for("a hang was asked for", 0, PATIENCE)?;
    lab.log.wait_for("started by: watchdog", peers.log_end, PATIENCE)?;
    peers.are_told(lab, WallClock::now())?;
    restarted(lab, "watchdog")
}

/// What the journal remembers after a reset is written anew, and remembered again.
pub(super) fn from_outside(lab: &mut Lab) -> Result<()> {
    let mut peers = Peers::open(lab, &[])?;
    for _ in 0..2 {
        let began = WallClock::now();
        lab.machine()?.reset()?;
        peers.are_told(lab, began)?;
        peers.open_again(lab)?;
    }
    Ok(())
}

pub(super) fn without_cable(lab: &mut Lab) -> Result<()> {
    let mut peers = Peers::open(lab, &[format!("restart_after={RESET_AFTER}")])?;
    lab.machine()?.set_cable(false)?;
    lab.log.wait_for("planned restart without a link", peers.log_end, PATIENCE)?;
    let at = lab.log.wait_for("started by: request", peers.log_end, PATIENCE)?;
    let pairs = peers.streams.iter().map(ends).collect::<Result<Vec<_>>>()?;
    let acks = |lab: &Lab| {
        let is_ack = |seen: &Seen| pairs.contains(&(seen.from, seen.to)) && !seen.control.contains(Control::RST);
        lab.cable.count(|way, seen| way == Way::ToUs && is_ack(seen))
    };
    let before = acks(lab);
    lab.machine()?.set_cable(true)?;
    lab.log.wait_for("link up", at, PATIENCE)?;
    peers.are_told(lab, WallClock::now())?;
    // An ACK would have told the number; it was noted.
    let answers = acks(lab) - before;
    ensure!(answers == 0, "the kernel was asked for its numbers, and answered {answers} times");
    restarted(lab, "request")
}

pub(super) fn each_fate(lab: &mut Lab) -> Result<()> {
    // A silent peer is asked for a minute, by the board's clock.
    holding::power_on(lab, holding::SLOWER, &[])?;
    let silent = SocketAddr::new(lab.stranger_addr(), 0);
    let mut streams = Vec::new();
    for from in [lab.kernel_at(0), lab.kernel_at(0), silent] {
        let mut stream = connect(from, lab.at(ECHO), PATIENCE)?;
        echo(&mut stream, b"before the reset")?;
        streams.push(stream);
    }
    let log_end = lab.log.len();
    lab.cable.silence(Some(silent.ip()));
    let known = (|| {
        vanish(streams.remove(1))?;
        lab.machine()?.reset()?;
        expect_reset(&mut streams[0])?;
        lab.log.wait_for("after the last restart", log_end, PATIENCE)
    })();
    lab.cable.silence(None);
    let line = lab.log.lines().into_iter().nth(known?).context("the line is gone")?;
    let summary = "told 1 of 3 peers after the last restart, 1 gone, 1 given up";
    ensure!(line.text == summary, "the log says \"{}\", not \"{summary}\"", line.text);
    sums(&lab.status()?, [3, 1, 1, 1, 0, 0])?;
    lab.power_off();
    Ok(())
}

/// Noise, noise behind the mark that every record begins with, and a record with one bit changed. At last the record itself: its peer is asked.
pub(super) fn garbage(lab: &mut Lab) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(RECORDS * JOURNAL_RECORD_LEN).collect();
    let record = record(lab)?;
    let mut marked = noise.clone();
    for words in marked.chunks_mut(JOURNAL_RECORD_LEN) {
        words[..MARK_LEN].copy_from_slice(&record[..MARK_LEN]);
    }
    let mut damaged = record;
    damaged[MARK_LEN] ^= 1;
    for (bytes, name) in [(&noise[..], "noise"), (&marked, "marked noise"), (&damaged, "a damaged record")] {
        let sent = power_on_and_listen(lab, bytes)?;
        ensure!(sent == 0, "{name}: the board has sent {sent} segments");
        sums(&lab.status()?, [0, 0, 0, 0, 0, RECORDS]).context(name)?;
        let mut stream = lab.connect(ECHO, 0)?;
        echo(&mut stream, b"served as ever").context(name)?;
    }
    // Sixteen times the same peer, which has no such connection.
    let sent = power_on_and_listen(lab, &record)?;
    ensure!(sent == 1, "the board has sent {sent} segments to the one peer");
    sums(&lab.status()?, [1, 0, 1, 0, 0, 0])?;
    lab.power_off();
    Ok(())
}

/// Counts the segments that a board sends by itself: what the kernel still has of connections to earlier boards draws RSTs.
fn power_on_and_listen(lab: &mut Lab, pattern: &[u8]) -> Result<usize> {
    let is_own = |seen: &Seen| !seen.control.contains(Control::RST);
    let sent = |lab: &Lab| lab.cable.count(|way, seen| way == Way::ToPeer && is_own(seen));
    lab.power_off();
    let before = sent(lab);
    lab.power_on_with_journal(pattern)?;
    thread::sleep(QUIET);
    Ok(sent(lab).saturating_sub(before))
}

/// A record as the board would write it, of a connection to the kernel's server port.
fn record(lab: &Lab) -> Result<[u8; JOURNAL_RECORD_LEN]> {
    let mut storage = Storage::<1, 1, 1, 1, 4_096>::new();
    let journal = Journal::<1>::new();
    let key = SecretKey::new(*b"any key will do.").context("the key")?;
    let mut tcp = Tcp::new(&mut storage, Config::default(), key).context("the engine")?;
    let now = Instant::from_millis(0);
    tcp.keep_journal(now, &journal).context("the journal")?;
    let options = StreamOptions { rx_buffer: 1_024, tx_buffer: 1_024, ..StreamOptions::DEFAULT };
    tcp.connect(now, lab.at(CLIENT), lab.kernel_at(SERVER), None, options).context("the connection")?;
    journal.record(0).context("the record")
}
