//! A client of iperf3's server: one control connection that speaks in single bytes and JSON, and one for the data.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tcp_reset_core::{ConnectionHandle, Instant, State};

use crate::family::Family;

use super::content::Content;
use super::net::Net;
use super::sockets::sockets_on;

/// Names a test to the server; a zero stands behind it.
const COOKIE: &[u8; 37] = b"tcp-reset-core-tcp-reset-core-tcp-re\0";
const CHUNK: usize = 1 << 16;

/// What the server says on the control connection.
mod state {
    pub(super) const TEST_START: u8 = 1;
    pub(super) const TEST_RUNNING: u8 = 2;
    pub(super) const TEST_END: u8 = 4;
    pub(super) const PARAM_EXCHANGE: u8 = 9;
    pub(super) const CREATE_STREAMS: u8 = 10;
    pub(super) const EXCHANGE_RESULTS: u8 = 13;
    pub(super) const DISPLAY_RESULTS: u8 = 14;
    pub(super) const IPERF_DONE: u8 = 16;
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    ToPeer,
    ToUs,
}

/// What the test has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// Bytes that our side has sent or received.
    pub(super) ours: u64,
    /// Bytes that iperf3 has received or sent, as it says.
    pub(super) theirs: u64,
    pub(super) took: Duration,
}

/// A test over its whole length, step by step.
struct Test<'n> {
    net: &'n mut Net,
    control: ConnectionHandle,
    end: Instant,
}

/// Moves at least so many bytes between us and an iperf3 server in the namespace.
pub(super) fn run(
    net: &mut Net,
    family: Family,
    port: u16,
    direction: Direction,
    bytes: u64,
    limit: Duration,
) -> Result<Report> {
    let server = SocketAddr::new(family.peer_addr(), port);
    let end = net.now() + limit;
    let mut handles = Vec::new();
    let report = play(net, server, direction, bytes, end, &mut handles);
    let now = net.now();
    for handle in handles {
        // A test that failed has perhaps ended them.
        let _ = match report.is_ok() {
            true => net.ours().tcp().close(now, handle),
            false => net.ours().tcp().abort(now, handle),
        };
    }
    report
}

fn play(
    net: &mut Net,
    server: SocketAddr,
    direction: Direction,
    bytes: u64,
    end: Instant,
    handles: &mut Vec<ConnectionHandle>,
) -> Result<Report> {
    let control = connect(net, server, end, handles)?;
    let mut test = Test { net, control, end };
    test.say(COOKIE)?;
    test.expect(state::PARAM_EXCHANGE)?;
    let mut parameters = json!({
        "tcp": true, "omit": 0, "time": 0, "num": bytes, "blockcount": 0, "parallel": 1, "len": CHUNK,
        "pacing_timer": 1000, "client_version": "3.12",
    });
    if direction == Direction::ToUs {
        // Its presence counts, whatever it says.
        parameters["reverse"] = true.into();
    }
    test.say_json(&parameters)?;
    test.expect(state::CREATE_STREAMS)?;
    let data = connect(test.net, server, end, handles)?;
    test.say_on(data, COOKIE)?;
    test.expect(state::TEST_START)?;
    test.expect(state::TEST_RUNNING)?;
    let begin = test.net.now();
    let ours = match direction {
        Direction::ToPeer => test.send(data, server.port(), bytes)?,
        Direction::ToUs => test.receive(data, bytes)?,
    };
    let took = test.net.now().duration_since(begin);
    test.say(&[state::TEST_END])?;
    test.expect(state::EXCHANGE_RESULTS)?;
    test.say_json(&json!({
        "cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0, "sender_has_retransmits": 0,
        "streams": [{
            "id": 1, "bytes": ours, "retransmits": -1, "jitter": 0, "errors": 0, "omitted_errors": 0, "packets": 0,
            "omitted_packets": 0, "start_time": 0, "end_time": took.as_secs_f64(),
        }],
    }))?;
    let results = test.hear_json()?;
    test.expect(state::DISPLAY_RESULTS)?;
    test.say(&[state::IPERF_DONE])?;
    let theirs = results["streams"][0]["bytes"].as_u64().context("iperf3 tells no number of bytes")?;
    Ok(Report { ours, theirs, took })
}

fn connect(
    net: &mut Net,
    server: SocketAddr,
    end: Instant,
    handles: &mut Vec<ConnectionHandle>,
) -> Result<ConnectionHandle> {
    let (now, stream) = (net.now(), net.stream);
    let handle = net.ours().link().connect(now, 0, server, stream).context("no connection is opened")?;
    handles.push(handle);
    let left = end.duration_since(now);
    net.until("the connection to iperf3", left, &mut |net| {
        let status = net.ours().tcp().status(handle)?;
        if let Some(reason) = status.closed {
            bail!("iperf3 does not take our connection: {reason}");
        }
        Ok(status.state == State::Established)
    })?;
    Ok(handle)
}

impl Test<'_> {
    fn left(&self) -> Duration {
        self.end.duration_since(self.net.now())
    }

    fn say(&mut self, bytes: &[u8]) -> Result<()> {
        self.say_on(self.control, bytes)
    }

    fn say_on(&mut self, handle: ConnectionHandle, bytes: &[u8]) -> Result<()> {
        let (left, mut done) = (self.left(), 0);
        self.net.until("what we say to iperf3", left, &mut |net| {
            done += net.send(handle, &bytes[done..])?;
            Ok(done == bytes.len())
        })
    }

    fn hear(&mut self, buf: &mut [u8]) -> Result<()> {
        let (control, left, mut done) = (self.control, self.left(), 0);
        self.net.until("iperf3's answer", left, &mut |net| {
            done += net.recv(control, &mut buf[done..])?.context("iperf3 has ended the test")?;
            Ok(done == buf.len())
        })
    }

    fn expect(&mut self, expected: u8) -> Result<()> {
        let mut said = [0];
        self.hear(&mut said)?;
        ensure!(said == [expected], "iperf3 is in state {}, not {expected}", said[0] as i8);
        Ok(())
    }

    fn say_json(&mut self, value: &Value) -> Result<()> {
        let text = value.to_string().into_bytes();
        let len = u32::try_from(text.len())?;
        self.say(&[&len.to_be_bytes()[..], &text].concat())
    }

    fn hear_json(&mut self) -> Result<Value> {
        let mut len = [0; 4];
        self.hear(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        ensure!(len <= 1 << 20, "iperf3 announces {len} bytes of results");
        let mut text = vec![0; len];
        self.hear(&mut text)?;
        serde_json::from_slice(&text).context("iperf3's results are no JSON")
    }

    /// Sends so many bytes, until iperf3 has read them: it counts no others once it is told that the test is over.
    fn send(&mut self, data: ConnectionHandle, port: u16, bytes: u64) -> Result<u64> {
        let (left, mut content, mut chunk) = (self.left(), Content::new(bytes), Vec::new());
        self.net.until("the bytes to iperf3", left, &mut |net| {
            loop {
                if chunk.is_empty() {
                    chunk = content.next(CHUNK);
                }
                let n = net.send(data, &chunk)?;
                chunk.drain(..n);
                if n == 0 {
                    break;
                }
            }
            let is_all_sent = chunk.is_empty() && content.left() == 0;
            if !is_all_sent || net.ours().tcp().status(data)?.unacknowledged > 0 {
                return Ok(false);
            }
            Ok(sockets_on(port)?.iter().all(|socket| socket.is_listener || socket.unread == 0))
        })?;
        Ok(bytes)
    }

    fn receive(&mut self, data: ConnectionHandle, bytes: u64) -> Result<u64> {
        let (left, mut received, mut buf) = (self.left(), 0, [0; CHUNK]);
        self.net.until("the bytes from iperf3", left, &mut |net| {
            while received < bytes {
                match net.recv(data, &mut buf)? {
                    Some(0) => return Ok(false),
                    Some(n) => received += n as u64,
                    None => bail!("iperf3 has ended the stream after {received} bytes"),
                }
            }
            Ok(true)
        })?;
        Ok(received)
    }
}
