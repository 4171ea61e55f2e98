//! Peers that hold a connection and give nothing. The board's clock runs [`SPEED`] times as fast as the world's, or [`SLOWER`]: its limits are those that
//! every board has, and a minute passes in a second.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use serde_json::Value;
use tcp_reset_core::{CloseReason, Timer};

use super::super::lab::{Lab, PATIENCE, connect, echo, ends};

const ECHO: u16 = 7;
const DISCARD: u16 = 9;
const SERVER: u16 = 7_000;
/// Seconds of the board's in one of ours.
const SPEED: u32 = 60;
/// The same where the kernel repeats a request that found no slot: after 200 ms, which must be less than a page waits for its first byte.
pub(super) const SLOWER: u32 = 10;
/// How long a connection must have been idle to leave for another, and a little more, in the board's seconds.
const EVICTABLE_S: u32 = 21;
/// How many clients each service has: those it serves, and those that wait.
const ECHOES: [usize; 2] = [3, 3];
const DISCARDS: usize = 2;
/// How long the router's prefix is good: beyond every scenario, in the board's time.
const LONG_PREFIX: Duration = Duration::from_secs(24 * 3_600);
/// The prefix's life for other scenarios.
const PREFIX: Duration = Duration::from_secs(3_600);
/// How long a client waits that is not served yet.
const ATTEMPT: Duration = Duration::from_millis(300);
/// How often a page is asked for that did not come: a board in a hurry has little patience.
const PAGES: u32 = 5;
/// What a loaded machine may add, in the board's seconds.
const SLACK_S: u64 = 30;

/// Powers a board on whose clock is fast.
pub(super) fn power_on(lab: &mut Lab, speed: u32, arguments: &[String]) -> Result<()> {
    let arguments = [arguments, &[format!("speed={speed}")]].concat();
    lab.cable.set_prefix_life(LONG_PREFIX);
    let powered = lab.power_on(&arguments);
    lab.cable.set_prefix_life(PREFIX);
    powered
}

fn wall(board_s: u64) -> Duration {
    Duration::from_secs(board_s) / SPEED
}

fn status(lab: &Lab) -> Result<Value> {
    (1..PAGES).find_map(|_| lab.status().ok()).map_or_else(|| lab.status(), Ok)
}

fn uptime_s(lab: &Lab) -> Result<u64> {
    status(lab)?["uptime_s"].as_u64().context("the page does not tell the uptime")
}

/// What the board says at its start about a service: for how long a silent peer holds a slot, and a stalling one, in seconds.
fn budget(lab: &Lab, service: &str) -> Result<(u64, u64)> {
    let lines = lab.log.lines();
    let line = lines.iter().find_map(|line| line.text.strip_prefix(&format!("{service}: a silent peer holds ")));
    let line = line.with_context(|| format!("the log tells no budget of {service}"))?;
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [silent, stalling] => Ok((silent, stalling)),
        _ => bail!("the budget is not understood: {line}"),
    }
}

/// How many connections the log says have ended for a reason.
fn ended(lab: &Lab, reason: CloseReason) -> u32 {
    let end = format!(" x connection ended: {reason}");
    lab.log.lines().iter().filter_map(|line| line.text.strip_suffix(&end)?.parse::<u32>().ok()).sum()
}

fn wait_for_ends(lab: &Lab, reason: CloseReason, count: u32) -> Result<()> {
    let end = WallClock::now() + PATIENCE;
    while ended(lab, reason) < count {
        ensure!(WallClock::now() < end, "{} connections ended as {reason}, not {count}", ended(lab, reason));
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Idle clients from an address: those whom the echo service serves, and those that wait for it.
fn hold_echo(lab: &Lab, from: SocketAddr) -> Result<Vec<TcpStream>> {
    let [served, waiting] = ECHOES;
    let mut streams = Vec::new();
    for n in 0..served + waiting {
        let mut stream = connect(from, lab.at(ECHO), PATIENCE).with_context(|| format!("client {n}"))?;
        if n < served {
            echo(&mut stream, b"and no more")?;
        }
        streams.push(stream);
    }
    Ok(streams)
}

pub(super) fn hosts_vanish(lab: &mut Lab) -> Result<()> {
    power_on(lab, SPEED, &[])?;
    let (budget_s, _) = budget(lab, "echo")?;
    let gone = SocketAddr::new(lab.stranger_addr(), 0);
    let held = hold_echo(lab, gone)?;
    let began_s = uptime_s(lab)?;
    lab.cable.silence(Some(gone.ip()));
    let served = await_service(lab, began_s + budget_s);
    lab.cable.silence(None);
    let took_s = served?.saturating_sub(began_s);
    anstream::println!("    the next client was served after {took_s} s, {budget_s} allowed");
    wait_for_ends(lab, CloseReason::TimedOut(Timer::KeepAlive), held.len() as u32)?;
    let addr = gone.ip().to_string();
    let told = lab.log.lines();
    let told = told.iter().filter(|line| line.text.starts_with("echo, ") && line.text.contains(&addr));
    let by_timer = told.filter(|line| line.text.ends_with("timed out (keepalive)")).count();
    // Those that waited are accepted at last, to learn that they are gone, or end with the others in the backlog.
    let [accepted, _] = ECHOES;
    let is_told = by_timer >= accepted && by_timer <= held.len();
    ensure!(is_told, "{by_timer} clients' ends are told with their timer, not {accepted} to {}", held.len());
    lab.power_off();
    Ok(())
}

/// Comes again until the echo service answers; gives when that was, by the board's clock.
fn await_service(lab: &Lab, until_s: u64) -> Result<u64> {
    loop {
        let answered = lab.connect_within(ECHO, 0, ATTEMPT).is_ok_and(|mut stream| {
            let is_set = stream.set_read_timeout(Some(ATTEMPT)).is_ok();
            is_set && echo(&mut stream, b"the next client").is_ok()
        });
        let now_s = uptime_s(lab)?;
        ensure!(now_s <= until_s, "no client is served at {now_s} s, and {until_s} s were promised");
        if answered {
            return Ok(now_s);
        }
    }
}

pub(super) fn trickle(lab: &mut Lab) -> Result<()> {
    power_on(lab, SPEED, &[])?;
    let (_, budget_s) = budget(lab, "echo")?;
    let mut stream = lab.connect(ECHO, 0)?;
    let began_s = uptime_s(lab)?;
    for minute in 0..60 {
        echo(&mut stream, b".").with_context(|| format!("after {minute} minutes"))?;
        thread::sleep(wall(60));
    }
    let lived_s = uptime_s(lab)? - began_s;
    ensure!(lived_s >= 3_500, "an hour took {lived_s} s of the board's time");
    tells_its_end(lab, &stream)?;
    // And now it answers, and gives nothing.
    echo(&mut stream, b".")?;
    let silent = WallClock::now();
    let met = stream.read(&mut [0; 1]).map_err(|error| error.raw_os_error());
    let took_s = silent.elapsed().as_secs_f64() * f64::from(SPEED);
    ensure!(met == Err(Some(libc::ECONNRESET)), "the kernel's process met {met:?}, not ECONNRESET");
    let (least, most) = (budget_s as f64 - 1.0, (budget_s + SLACK_S) as f64);
    ensure!((least..most).contains(&took_s), "it ended after {took_s:.0} s of silence, not {budget_s}");
    wait_for_ends(lab, CloseReason::TimedOut(Timer::Idle), 1)?;
    lab.power_off();
    Ok(())
}

/// The page tells what a connection's limits leave it.
fn tells_its_end(lab: &Lab, stream: &TcpStream) -> Result<()> {
    let status = status(lab)?;
    let (kernel, _) = ends(stream)?;
    let slots = status["slots"].as_array().context("the page has no slots")?;
    let slot = slots.iter().find(|slot| slot["remote"] == kernel.to_string()).context("its slot is gone")?;
    let of = |name: &str| slot[name].as_u64().with_context(|| format!("the slot tells no {name}: {slot}"));
    let (idle_s, ends_in_s) = (of("idle_s")?, of("ends_in_s")?);
    // A minute's silence, and keepalive's questions.
    ensure!((118..=120).contains(&(idle_s + ends_in_s)), "silent for {idle_s} s, and ends in {ends_in_s} s: {slot}");
    Ok(())
}

pub(super) fn full_table(lab: &mut Lab) -> Result<()> {
    power_on(lab, SLOWER, &[])?;
    let from = lab.kernel_at(0);
    let mut held = hold_echo(lab, from)?;
    for _ in 0..DISCARDS {
        held.push(connect(from, lab.at(DISCARD), PATIENCE)?);
    }
    thread::sleep(Duration::from_secs(EVICTABLE_S.into()) / SLOWER);
    // The page's own connection finds no slot.
    let status = status(lab)?;
    let count = |list: &str| status[list]["evicted"].as_u64();
    ensure!(count("closed") == Some(1) && count("resets_sent") == Some(1), "evicted: {}", status["closed"]);
    wait_for_ends(lab, CloseReason::Evicted, 1)?;
    let first = held[0].read(&mut [0; 1]).map_err(|error| error.raw_os_error());
    ensure!(first == Err(Some(libc::ECONNRESET)), "the first client met {first:?}, not ECONNRESET");
    for stream in &mut held[1..ECHOES[0]] {
        echo(stream, b"still here")?;
    }
    lab.power_off();
    Ok(())
}

/// The server's process lives, and its host loses power.
pub(super) fn silent_server(lab: &mut Lab) -> Result<()> {
    let server = SocketAddr::new(lab.stranger_addr(), SERVER);
    let listener = TcpListener::bind(server)?;
    power_on(lab, SPEED, &[format!("server={server}")])?;
    let (_stream, _) = listener.accept().context("the client does not come")?;
    lab.log.wait_for("connected", 0, PATIENCE)?;
    let (budget_s, _) = budget(lab, "client")?;
    lab.cable.silence(Some(server.ip()));
    let log_end = lab.log.len();
    let silent = WallClock::now();
    let told = lab.log.wait_for("timed out (user timeout); again in", log_end, PATIENCE);
    lab.cable.silence(None);
    told?;
    let took_s = silent.elapsed().as_secs_f64() * f64::from(SPEED);
    ensure!(took_s < (budget_s + SLACK_S) as f64, "the server was given up after {took_s:.0} s, not {budget_s}");
    listener.accept().context("the client does not come again")?;
    lab.power_off();
    Ok(())
}
