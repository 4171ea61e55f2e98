//! What happens when one side loses the connection, or the way to it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::libc;
use tcp_reset_core::{Rule, State};

use super::super::lab::{Lab, PATIENCE, connect, echo, ends, vanish};
use super::super::{BOARD_ADDR, KERNEL_ADDR};
use crate::kernel::kernel_state_of;

const ECHO: u16 = 7;
/// Ports of the kernel's for connections that come again from the same one.
const RESTART_PORT: u16 = 23_456;
const VANISH_PORT: u16 = 23_457;
const REBOOT_PORT: u16 = 23_458;
/// How long a prefix is good that is not renewed, and how long others are.
const SHORT_LIFE: Duration = Duration::from_secs(3);
const LONG_LIFE: Duration = Duration::from_secs(3_600);
/// Its life is counted in the board's time, which is not ours.
const MARGIN: Duration = Duration::from_secs(1);
/// How long the cable is out.
const QUIET: Duration = Duration::from_secs(3);
const OUT: Duration = Duration::from_secs(2);
/// Longer than the board waits for a DHCP server that it has never heard.
const ROUTER_BOOTS: Duration = Duration::from_secs(23);

/// The next use of a stream must say that the peer has reset it.
fn expect_reset(stream: &mut TcpStream) -> Result<()> {
    let end = echo(stream, b"are you there?").err().context("the old connection lives")?;
    let met = end.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    ensure!(met == Some(libc::ECONNRESET), "the kernel's process met {end:#}, not ECONNRESET");
    Ok(())
}

pub(super) fn board_restarts(lab: &mut Lab) -> Result<()> {
    let mut old = lab.connect(ECHO, RESTART_PORT)?;
    echo(&mut old, b"before the restart")?;
    let (kernel, board) = ends(&old)?;
    lab.power_off();
    lab.power_on(&[])?;
    ensure!(kernel_state_of(kernel, board)? == Some(State::Established), "the kernel does not believe in it any more");
    expect_reset(&mut old)?;
    ensure!(lab.ruled(Rule::ClosedAck)? + lab.ruled(Rule::ListenAck)? >= 1, "no rule counts the straggler");
    drop(old);
    let mut fresh = lab.connect(ECHO, RESTART_PORT).context("a fresh connection on the same ports")?;
    echo(&mut fresh, b"after the restart")
}

pub(super) fn peer_vanishes(lab: &mut Lab) -> Result<()> {
    let mut old = lab.connect(ECHO, VANISH_PORT)?;
    echo(&mut old, b"before it vanishes")?;
    let before = lab.ruled(Rule::RstExact)?;
    let (kernel, _) = ends(&old)?;
    // What comes back meets a kernel that knows nothing of it.
    old.write_all(b"the last words")?;
    vanish(old)?;
    for _ in 0..100 {
        if lab.ruled(Rule::RstExact)? > before {
            let status = lab.status()?;
            let slots = status["slots"].as_array().context("the page has no slots")?;
            ensure!(slots.iter().all(|slot| slot["remote"] != kernel.to_string()), "the slot is still held: {slots:?}");
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("the kernel's RST did not end the board's connection")
}

pub(super) fn peer_reboots(lab: &mut Lab) -> Result<()> {
    let mut old = lab.connect(ECHO, REBOOT_PORT)?;
    echo(&mut old, b"before the reboot")?;
    let (challenged, reset) = (lab.ruled(Rule::SynSynchronized)?, lab.ruled(Rule::RstExact)?);
    vanish(old)?;
    let mut fresh = lab.connect(ECHO, REBOOT_PORT).context("from the same port")?;
    echo(&mut fresh, b"after the reboot")?;
    ensure!(lab.ruled(Rule::SynSynchronized)? == challenged + 1, "its SYN was not challenged");
    ensure!(lab.ruled(Rule::RstExact)? == reset + 1, "its answer to the challenge did not reset the old connection");
    Ok(())
}

pub(super) fn planned_restart(lab: &mut Lab) -> Result<()> {
    lab.power_on(&["restart_after=1".into()])?;
    let mut held = lab.connect(ECHO, 0)?;
    echo(&mut held, b"before the restart")?;
    // A fourth client of three: it waits in the backlog, and is told as well.
    let mut waiting = (0..3).map(|_| lab.connect(ECHO, 0)).collect::<Result<Vec<_>, _>>()?;
    lab.log.wait_for("planned restart: every peer is told", 0, PATIENCE)?;
    for stream in waiting.iter_mut().chain([&mut held]) {
        // Nothing is sent: the RST alone tells.
        let met = std::io::Read::read(stream, &mut [0; 16]).map_err(|error| error.raw_os_error());
        ensure!(met == Err(Some(libc::ECONNRESET)), "the kernel's process met {met:?}, not ECONNRESET");
    }
    restarted(lab, "request")?;
    // All were told before: there is nobody left to ask.
    let lines = lab.log.lines();
    ensure!(lines.iter().all(|line| !line.text.contains("after the last restart")), "the board asks peers that know");
    let status = lab.status()?;
    ensure!(status["lost_peers"] == 0, "the page says that {} peers were lost", status["lost_peers"]);
    Ok(())
}

/// The same machine comes up again, and knows why.
pub(super) fn restarted(lab: &mut Lab, cause: &str) -> Result<()> {
    let at = lab.log.wait_for(&format!("started by: {cause}"), 0, PATIENCE)?;
    lab.await_addresses(at)?;
    let status = lab.status()?;
    ensure!(status["reset_cause"] == cause, "the page says {}", status["reset_cause"]);
    let mut fresh = lab.connect(ECHO, 0).context("a client after the restart")?;
    echo(&mut fresh, b"after the restart")
}

pub(super) fn cable(lab: &mut Lab) -> Result<()> {
    let mut stream = lab.connect(ECHO, 0)?;
    echo(&mut stream, b"before the cable is out")?;
    // By then no timer and no frame wakes the board: the cable alone does.
    thread::sleep(QUIET);
    let log_end = lab.log.len();
    lab.machine()?.set_cable(false)?;
    lab.log.wait_for("link down", log_end, PATIENCE)?;
    thread::sleep(OUT);
    stream.write_all(b"while it is out")?;
    lab.machine()?.set_cable(true)?;
    lab.log.wait_for("address ", log_end, PATIENCE)?;
    let mut back = [0; 15];
    std::io::Read::read_exact(&mut stream, &mut back).context("what was sent while the cable was out")?;
    ensure!(&back == b"while it is out", "other bytes came back");
    echo(&mut stream, b"after the cable is in")
}

pub(super) fn slow_router(lab: &mut Lab) -> Result<()> {
    let mut stream = lab.connect(ECHO, 0)?;
    echo(&mut stream, b"before the power cut")?;
    let log_end = lab.log.len();
    lab.machine()?.set_cable(false)?;
    lab.log.wait_for("link down", log_end, PATIENCE)?;
    lab.cable.lease(None);
    lab.machine()?.set_cable(true)?;
    thread::sleep(ROUTER_BOOTS);
    lab.cable.lease(Some(BOARD_ADDR));
    // The board asks more and more seldom, up to once in two minutes.
    lab.log.wait_for(&format!("address {BOARD_ADDR}"), log_end, 5 * PATIENCE)?;
    let lines = lab.log.lines();
    ensure!(lines.iter().all(|line| !line.text.contains("no answer from DHCP")), "the board has given its address up");
    echo(&mut stream, b"after the power cut")
}

/// An advertisement that anybody may have forged takes the prefix back: the address stays (RFC 4862 §5.5.3).
pub(super) fn prefix_taken_back(lab: &mut Lab) -> Result<()> {
    let mut stream = lab.connect(ECHO, 0)?;
    echo(&mut stream, b"while the prefix is good")?;
    for _ in 0..3 {
        lab.cable.advertise(0)?;
        echo(&mut stream, b"it is good as before")?;
    }
    let lines = lab.log.lines();
    ensure!(lines.iter().all(|line| !line.text.ends_with("lost")), "the board has given its address up");
    Ok(())
}

/// The prefix is not renewed: the addresses made of it are nobody's any more (RFC 4862 §5.5.4).
pub(super) fn prefix_lost(lab: &mut Lab) -> Result<()> {
    lab.cable.set_prefix_life(SHORT_LIFE);
    let powered = lab.power_on(&[]);
    lab.cable.set_prefix_life(LONG_LIFE);
    powered?;
    let mut stream = lab.connect(ECHO, 0)?;
    echo(&mut stream, b"while the prefix is good")?;
    let log_end = lab.log.len();
    thread::sleep(SHORT_LIFE + MARGIN);
    // embassy-net has no timer for it: it looks when a frame comes.
    lab.cable.advertise(0)?;
    lab.log.wait_for(&format!("address {}/64 lost", lab.board_addr()), log_end, PATIENCE)?;
    lab.log.wait_for("connection ended: address lost", log_end, PATIENCE)?;
    // IPv4 is not concerned.
    let (from, to) = (SocketAddr::from((KERNEL_ADDR, 0)), SocketAddr::from((BOARD_ADDR, ECHO)));
    echo(&mut connect(from, to, PATIENCE)?, b"over IPv4")?;
    lab.power_off();
    Ok(())
}

pub(super) fn other_address(lab: &mut Lab) -> Result<()> {
    let other = Ipv4Addr::new(10, 69, 0, 77);
    let mut stream = lab.connect(ECHO, 0)?;
    echo(&mut stream, b"on the old address")?;
    let log_end = lab.log.len();
    lab.cable.lease(Some(other));
    lab.machine()?.set_cable(false)?;
    lab.log.wait_for("link down", log_end, PATIENCE)?;
    lab.machine()?.set_cable(true)?;
    lab.log.wait_for(&format!("address {other}"), log_end, PATIENCE)?;
    lab.log.wait_for("connection ended: address lost", log_end, PATIENCE)?;
    let mut at_new = TcpStream::connect((other, ECHO)).context("the services do not follow to the new address")?;
    at_new.set_read_timeout(Some(PATIENCE))?;
    echo(&mut at_new, b"on the new address")?;
    lab.cable.lease(Some(BOARD_ADDR));
    lab.power_off();
    Ok(())
}
