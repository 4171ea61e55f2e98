//! What the board does for honest clients.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tcp_reset_core::{CloseReason, Control, ResetReason, Rule};

use super::super::lab::{Lab, PATIENCE, connect, connect_with, echo, ends, key};
use super::super::ping::ping;
use super::super::{BOARD_ADDR, BOARD_MAC, PREFIX, board_addr, slaac};
use crate::family::Family;
use crate::frame::Seen;
use crate::kernel::send_with_options;
use crate::trace::Way;

const ECHO: u16 = 7;
const DISCARD: u16 = 9;
/// Where nobody listens.
const CLOSED: u16 = 4_321;
/// Where two connections come from.
const TWIN: u16 = 23_459;
/// Where the client's server is.
const SERVER: u16 = 7_000;
/// The most of the stack that the application may ever use, in bytes.
const STACK_BUDGET: u64 = 16 * 1_024;
/// How long the board is left alone.
const IDLE: Duration = Duration::from_secs(3);
/// How long a client lets what was sent to it wait.
const LATE: Duration = Duration::from_millis(200);
/// What every board logs when it starts, line by line.
const GOLDEN_START: &str = include_str!("start.log");

pub(super) fn start(lab: &mut Lab) -> Result<()> {
    lab.power_on(&[])?;
    let lines = lab.log.lines();
    let mut lines: Vec<_> = lines.iter().map(|line| format!("{:<5} {}\n", line.level, line.text)).collect();
    // Which of the two addresses comes first is up to who answers first.
    let addresses = lines.len().saturating_sub(Family::ALL.len());
    lines[addresses..].sort();
    let shown = lines.concat();
    let golden = GOLDEN_START.replace("{board}", lab.board_name());
    ensure!(shown == golden, "the log's start is\n{shown}and not\n{golden}");
    let status = lab.status()?;
    for (family, name) in [(Family::Ipv4, "address"), (Family::Ipv6, "address_v6")] {
        let expected = format!("{}/{}", board_addr(family), family.prefix());
        ensure!(status[name] == expected, "the address is {}, not {expected}", status[name]);
    }
    ensure!(status["reset_cause"] == "power-on", "the reset's cause is {}", status["reset_cause"]);
    Ok(())
}

pub(super) fn ping_answers(lab: &mut Lab) -> Result<()> {
    let longest = match lab.family {
        Family::Ipv4 => 1_472,
        Family::Ipv6 => 1_452,
    };
    for (seq_no, len) in [0, 1, 56, 500, 1_000, longest].into_iter().enumerate() {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        ping(lab.board_addr(), seq_no as u16, &data).with_context(|| format!("{len} bytes"))?;
    }
    Ok(())
}

pub(super) fn echo_service(lab: &mut Lab) -> Result<()> {
    let mut streams = (0..3).map(|_| lab.connect(ECHO, 0)).collect::<Result<Vec<_>, _>>()?;
    for round in 0..64_usize {
        for (who, stream) in streams.iter_mut().enumerate() {
            let text: Vec<u8> = (0..4_096).map(|i| (i ^ round ^ who << 4) as u8).collect();
            echo(stream, &text).with_context(|| format!("client {who}, round {round}"))?;
        }
    }
    for stream in streams {
        close_orderly(stream)?;
    }
    echo_to_slow_reader(lab).context("a client that reads late")
}

/// The client sends more than the board's buffers and its own hold before it reads.
fn echo_to_slow_reader(lab: &Lab) -> Result<()> {
    let text: Vec<u8> = (0..32_768).map(|i| (i ^ i >> 8) as u8).collect();
    let mut stream = connect_with(lab.kernel_at(0), lab.at(ECHO), PATIENCE, |socket| {
        socket.set_recv_buffer_size(4_096)?;
        socket.set_send_buffer_size(4 * text.len())
    })?;
    stream.write_all(&text).context("the kernel does not hold what the board has no room for")?;
    thread::sleep(LATE);
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).context("the echo does not go on")?;
    ensure!(back == text, "other bytes came back");
    close_orderly(stream)
}

/// We end our direction, the board ends its own.
fn close_orderly(mut stream: std::net::TcpStream) -> Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let rest = stream.read(&mut [0; 16]).context("the board does not close in order")?;
    ensure!(rest == 0, "the board sent bytes where the stream should end");
    Ok(())
}

pub(super) fn discard_service(lab: &mut Lab) -> Result<()> {
    let mut stream = lab.connect(DISCARD, 0)?;
    stream.write_all(&[0x5a; 64 * 1_024]).context("the discard service does not take bytes")?;
    close_orderly(stream)
}

pub(super) fn ports(lab: &mut Lab) -> Result<()> {
    let before = lab.ruled(Rule::ClosedNoAck)?;
    for port in [1, CLOSED, 65_535] {
        match lab.connect(port, 0) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            other => bail!("connecting to the closed port {port} gave {other:?}"),
        }
    }
    ensure!(lab.ruled(Rule::ClosedNoAck)? == before + 3, "the refusals are not counted");
    for port in [ECHO, DISCARD, 80] {
        lab.connect(port, 0).with_context(|| format!("the open port {port}"))?;
    }
    let closed = lab.at(CLOSED);
    let is_refusal = |seen: &Seen| seen.is(Control::RST | Control::ACK) && seen.from == closed;
    let refusals = lab.cable.count(|way, seen| way == Way::ToPeer && is_refusal(seen));
    ensure!(refusals == 1, "one SYN drew {refusals} RSTs");
    ensure!(lab.cable.unreachables() == 0, "ICMP called TCP unreachable {} times", lab.cable.unreachables());
    Ok(())
}

pub(super) fn status_page(lab: &mut Lab) -> Result<()> {
    let before = lab.status()?;
    // Something to be counted: a refusal, a connection that is aborted, one that stays.
    let _ = lab.connect(CLOSED, 0);
    let aborted = lab.connect(ECHO, 0)?;
    socket2::SockRef::from(&aborted).set_linger(Some(Duration::ZERO))?;
    drop(aborted);
    let mut held = lab.connect(ECHO, 0)?;
    echo(&mut held, b"held")?;

    let url = format!("http://{}", lab.at(80));
    let html = curl(lab, &format!("{url}/"))?;
    for word in ["<title>tcp-reset-core</title>", "/status.json", "</script>"] {
        ensure!(html.contains(word), "the page lacks \"{word}\": {html}");
    }
    let json = curl(lab, &format!("{url}/status.json"))?;
    let after: Value = serde_json::from_str(&json).with_context(|| format!("curl fetched no JSON: {json}"))?;
    let grown = |kind: &str, name: &str| after[kind][name].as_u64().zip(before[kind][name].as_u64());
    let by = |kind: &str, name: &str, n: u64| {
        let (now, then) = grown(kind, name).with_context(|| format!("the page does not count {kind}, {name}"))?;
        ensure!(
            now.checked_sub(then) == Some(n),
            "{kind}, {name}: {then} before, and now {now}, which is not {n} more"
        );
        Ok(())
    };
    by("rules", &key(Rule::ClosedNoAck), 1)?;
    by("resets_sent", &key(ResetReason::NoConnection), 1)?;
    by("closed", &key(CloseReason::ResetByPeer), 1)?;
    let (kernel, board) = ends(&held)?;
    let slots = after["slots"].as_array().context("the page has no slots")?;
    let ours =
        slots.iter().find(|slot| slot["remote"] == kernel.to_string()).context("the page lacks our connection")?;
    ensure!(ours["local"] == board.to_string() && ours["state"] == "ESTABLISHED", "our slot says {ours}");
    let resets = after["last_resets"].as_array().context("the page has no last resets")?;
    ensure!(
        resets.iter().any(|reset| reset["reason"] == key(Rule::RstExact)),
        "the abort's RST is not among {resets:?}"
    );
    ensure!(after["uptime_s"].as_u64() >= before["uptime_s"].as_u64(), "the uptime runs backwards");
    Ok(())
}

fn curl(lab: &Lab, url: &str) -> Result<String> {
    let output = Command::new("curl")
        .args(["--globoff", "--silent", "--show-error", "--fail", "--max-time", "20"])
        .args(["--interface", &lab.kernel_at(0).ip().to_string(), url])
        .output();
    let output = output.context("cannot run curl; install it (Debian: apt-get install curl)")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "curl {url}: {told}");
    String::from_utf8(output.stdout).context("the page is not UTF-8")
}

pub(super) fn bad_requests(lab: &mut Lab) -> Result<()> {
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1_500));
    let cases = [
        ("GET /nowhere HTTP/1.1\r\n\r\n", "404"),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("\u{1}\u{2}nonsense\r\n\r\n", "400"),
        (long.as_str(), "431"),
    ];
    for (request, code) in cases {
        let mut stream = lab.connect(80, 0)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).with_context(|| format!("{code} breaks off"))?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{request:?} got {answer:?}");
    }
    // Two clients that say nothing hold both pages, until their time is up.
    let log_end = lab.log.len();
    let mut slow = (0..2).map(|_| lab.connect(80, 0)).collect::<Result<Vec<_>, _>>()?;
    lab.status().context("a page behind two slow clients")?;
    for stream in &mut slow {
        let end = stream.read(&mut [0; 16]);
        ensure!(end.is_err(), "a client that said nothing was not reset: {end:?}");
    }
    lab.log.wait_for("timed out (first byte)", log_end, PATIENCE)?;
    Ok(())
}

pub(super) fn client(lab: &mut Lab) -> Result<()> {
    let server = lab.kernel_at(SERVER);
    // Nobody listens at first.
    lab.power_on(&[format!("server={server}")])?;
    lab.log.wait_for("refused; again in 1 s", 0, PATIENCE)?;
    let listener = TcpListener::bind(server)?;
    let (mut stream, _) = listener.accept().context("the client does not come")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    expect_line(&mut stream, "hello, before: the connection is over: refused")?;
    lab.log.wait_for("connected", 0, PATIENCE)?;
    // The server aborts.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    drop(stream);
    lab.log.wait_for("reset by peer; again in", 0, PATIENCE)?;
    let (mut stream, _) = listener.accept().context("the client does not come again")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    expect_line(&mut stream, "hello, before: the connection is over: reset by peer")?;
    let status = lab.status()?;
    ensure!(status["client_connected"] == true, "the page says that the client is not connected");
    // The server closes in order.
    stream.shutdown(Shutdown::Write)?;
    lab.log.wait_for("closed, peer first; again in", 0, PATIENCE)?;
    lab.power_off();
    Ok(())
}

fn expect_line(stream: &mut std::net::TcpStream, text: &str) -> Result<()> {
    let mut buf = [0; 256];
    let n = stream.read(&mut buf).context("the client says nothing")?;
    let said = String::from_utf8_lossy(&buf[..n]);
    ensure!(said.contains(text), "the client says {said:?}, not {text:?}");
    Ok(())
}

pub(super) fn static_address(lab: &mut Lab) -> Result<()> {
    for arguments in [&["dhcp=off"][..], &[]] {
        // The second waits for DHCP in vain.
        lab.cable.lease(None);
        let mut arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
        arguments.push(format!("address={BOARD_ADDR}"));
        let powered = lab.power_on(&arguments);
        lab.cable.lease(Some(BOARD_ADDR));
        powered?;
        let mut stream = lab.connect(ECHO, 0)?;
        echo(&mut stream, b"without DHCP")?;
        ping(BOARD_ADDR.into(), 1, b"without DHCP")?;
    }
    let log_end = lab.log.wait_for("no answer from DHCP", 0, PATIENCE)?;
    // With the cable in again it asks again.
    let other = Ipv4Addr::new(10, 69, 0, 78);
    lab.cable.lease(Some(other));
    lab.machine()?.set_cable(false)?;
    lab.log.wait_for("link down", log_end, PATIENCE)?;
    lab.machine()?.set_cable(true)?;
    lab.log.wait_for(&format!("address {other}"), log_end, PATIENCE)?;
    lab.power_off();
    Ok(())
}

/// Link-local addresses need no router, and mean nothing without their zone.
pub(super) fn link_local(lab: &mut Lab) -> Result<()> {
    let on_wire = |mac, port| SocketAddrV6::new(slaac::link_local_of(mac), port, 0, lab.zone()).into();
    let (board, kernel): (SocketAddr, SocketAddr) = (on_wire(BOARD_MAC, ECHO), on_wire(lab.cable.kernel_mac(), 0));
    let mut stream = connect(kernel, board, PATIENCE).context("the echo service's link-local address")?;
    echo(&mut stream, &[0x5a; 4_096])?;
    close_orderly(stream)?;
    // And the other way round: the board asks for the kernel's by neighbor discovery.
    let listener = TcpListener::bind(on_wire(lab.cable.kernel_mac(), SERVER)).context("the server's address")?;
    let server = SocketAddr::new(kernel.ip(), SERVER);
    lab.power_on(&[format!("server={server}")])?;
    let (mut stream, from) = listener.accept().context("the client does not come")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    expect_line(&mut stream, "hello")?;
    ensure!(from.ip() == board.ip(), "the client comes from {from}, and not from its link-local address");
    lab.power_off();
    Ok(())
}

/// The kernel puts two extension headers in front of every segment of a connection.
pub(super) fn extension_headers(lab: &mut Lab) -> Result<()> {
    let mut stream = connect_with(lab.kernel_at(0), lab.at(ECHO), PATIENCE, send_with_options)
        .context("a client whose segments come behind extension headers")?;
    for round in 0..8_u8 {
        echo(&mut stream, &[round; 1_024])?;
    }
    let (kernel, board) = ends(&stream)?;
    // Such segments are no segments to the wire's own reader: it must have seen the board's alone.
    let from_kernel = lab.cable.count(|way, seen| way == Way::ToUs && seen.from == kernel);
    let from_board = lab.cable.count(|way, seen| way == Way::ToPeer && (seen.from, seen.to) == (board, kernel));
    ensure!(from_kernel == 0, "{from_kernel} of the kernel's segments had no extension headers");
    ensure!(from_board >= 8, "the board has answered {from_board} times");
    close_orderly(stream)
}

/// An IPv6 address that is set takes the place of the one that is made of a prefix.
pub(super) fn static_address_v6(lab: &mut Lab) -> Result<()> {
    let fixed = Ipv6Addr::from_bits(slaac::address_of(PREFIX, [0; 6]).to_bits() | 0x77);
    lab.power_on(&[format!("address_v6={fixed}")])?;
    let mut stream = connect(lab.kernel_at(0), SocketAddr::new(fixed.into(), ECHO), PATIENCE)?;
    echo(&mut stream, b"at a fixed address")?;
    let made = connect(lab.kernel_at(0), lab.at(ECHO), Duration::from_secs(2));
    ensure!(made.is_err(), "the address that the prefix would give answers too");
    lab.power_off();
    Ok(())
}

/// Two connections that differ in nothing but their family.
pub(super) fn both_families(lab: &mut Lab) -> Result<()> {
    let mut streams = Vec::new();
    for family in Family::ALL {
        let (from, to) = (SocketAddr::new(family.peer_addr(), TWIN), SocketAddr::new(board_addr(family), ECHO));
        streams.push(connect(from, to, PATIENCE).with_context(|| format!("over {family}"))?);
    }
    let [v4, v6] = &mut streams[..] else { bail!("there are not two connections") };
    for round in 0..16_u8 {
        v4.write_all(&[round; 700])?;
        v6.write_all(&[!round; 700])?;
        for (stream, byte) in [(&mut *v4, round), (&mut *v6, !round)] {
            let mut back = [0; 700];
            stream.read_exact(&mut back).context("the echo")?;
            ensure!(back == [byte; 700], "a connection got other bytes than its own");
        }
    }
    // What ends the one does not touch the other.
    let rst = lab.segment_for(v4, Control::RST)?;
    lab.cable.forge(&rst)?;
    ensure!(echo(v4, b"reset").is_err(), "the reset connection lives");
    echo(v6, b"not reset")
}

/// The processor's time that QEMU takes is the board's: one that polls takes all there is.
pub(super) fn sleeps(lab: &mut Lab) -> Result<()> {
    let mut stream = lab.connect(ECHO, 0)?;
    echo(&mut stream, b"an idle connection")?;
    let machine = lab.machine()?;
    let before = machine.processor_time()?;
    thread::sleep(IDLE);
    let took = machine.processor_time()?.saturating_sub(before);
    ensure!(took < IDLE / 4, "idle for {IDLE:?}, the board took {took:?} of the processor");
    echo(&mut stream, b"awake")
}

/// Everything played before counts, on every board that was powered on.
pub(super) fn stack(lab: &mut Lab) -> Result<()> {
    lab.status()?;
    let used = lab.deepest_stack();
    anstream::println!("    the stack: at most {used} bytes used, {STACK_BUDGET} allowed");
    ensure!(used > 0 && used <= STACK_BUDGET, "{used} of {STACK_BUDGET} bytes");
    Ok(())
}
