//! What the board does about forged and strange segments.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tcp_reset_core::{Control, Rule, Seq};

use super::super::lab::{Lab, PATIENCE, echo, key};
use super::super::ping::ping;
use crate::family::Family;
use crate::frame::Seen;
use crate::trace::Way;

const ECHO: u16 = 7;
/// SYNs of the flood, and how many are sent in one go: the chip's RX FIFO holds 165 of the shortest frames.
const FLOOD: u32 = 4_000;
const BURST: u32 = 100;

/// Bytes of an IPv6 frame that no checksum covers and any router may change: traffic class, flow label, hop limit. With others there the
/// segment is as good as before.
const UNCHECKED: [usize; 5] = [14, 15, 16, 17, 21];

/// A connection that is known to live.
fn live(lab: &Lab) -> Result<TcpStream> {
    let mut stream = lab.connect(ECHO, 0).context("the echo service does not answer")?;
    echo(&mut stream, b"alive before")?;
    Ok(stream)
}

/// Forges a segment at a distance from RCV.NXT; the rule must have decided about one more.
fn forge(lab: &Lab, stream: &TcpStream, control: Control, distance: u32, rule: Rule) -> Result<()> {
    let before = lab.ruled(rule)?;
    let mut forged = lab.segment_for(stream, control)?;
    forged.seq += distance;
    lab.cable.forge(&forged)?;
    let after = lab.ruled(rule)?;
    ensure!(after == before + 1, "{control} at RCV.NXT+{distance}: {rule} had decided about {before}, and now {after}");
    Ok(())
}

pub(super) fn rst_in_window(lab: &mut Lab) -> Result<()> {
    let mut stream = live(lab)?;
    let log_end = lab.log.len();
    for place in ["first", "middle", "last"] {
        let window = lab.window(&stream)?;
        let distance = match place {
            "first" => 1,
            "middle" => window / 2,
            _ => window - 1,
        };
        forge(lab, &stream, Control::RST, distance, Rule::RstInWindow)?;
        echo(&mut stream, b"alive after")?;
    }
    lab.log.wait_for("RstInWindow: RST in the window, challenged, connection untouched", log_end, PATIENCE)?;
    Ok(())
}

pub(super) fn rst_outside(lab: &mut Lab) -> Result<()> {
    let mut stream = live(lab)?;
    for (beyond_edge, rule) in [(0, Rule::RstAtRightEdge), (1, Rule::RstOutOfWindow), (1 << 30, Rule::RstOutOfWindow)] {
        let distance = lab.window(&stream)? + beyond_edge;
        forge(lab, &stream, Control::RST, distance, rule)?;
        echo(&mut stream, b"alive after")?;
    }
    for (before, rule) in [(1, Rule::RstBeforeNext), (2, Rule::RstOutOfWindow), (1 << 30, Rule::RstOutOfWindow)] {
        forge(lab, &stream, Control::RST, 0_u32.wrapping_sub(before), rule)?;
        echo(&mut stream, b"alive after")?;
    }
    Ok(())
}

pub(super) fn rst_exact(lab: &mut Lab) -> Result<()> {
    let mut stream = live(lab)?;
    let log_end = lab.log.len();
    forge(lab, &stream, Control::RST, 0, Rule::RstExact)?;
    lab.log.wait_for("reset by peer", log_end, PATIENCE)?;
    // The kernel still believes in it.
    let end = echo(&mut stream, b"are you there?").err().context("the connection lives")?;
    let met = end.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    ensure!(met == Some(std::io::ErrorKind::ConnectionReset), "the kernel's process met {end:#}");
    Ok(())
}

pub(super) fn syn(lab: &mut Lab) -> Result<()> {
    let mut stream = live(lab)?;
    for (control, distance) in
        [(Control::SYN, 0), (Control::SYN, 1_000), (Control::SYN, 1 << 30), (Control::SYN | Control::ACK, 0)]
    {
        forge(lab, &stream, control, distance, Rule::SynSynchronized)?;
        echo(&mut stream, b"alive after")?;
    }
    Ok(())
}

pub(super) fn syn_flood(lab: &mut Lab) -> Result<()> {
    let mut stream = live(lab)?;
    let began = Instant::now();
    for burst in 0..FLOOD / BURST {
        for n in 0..BURST {
            lab.cable.forge(&syn_from_nowhere(lab, burst * BURST + n))?;
        }
        echo(&mut stream, &burst.to_be_bytes().repeat(64))
            .with_context(|| format!("after {} SYNs", (burst + 1) * BURST))?;
        ping(lab.board_addr(), burst as u16, b"still there?").context("ping during the flood")?;
    }
    let took = began.elapsed();
    // Handshakes that never complete are given up after 30 s, and then others have their turn.
    let mut fresh = lab.connect_within(ECHO, 0, 3 * PATIENCE).context("a new client after the flood")?;
    echo(&mut fresh, b"served again")?;
    let dropped = lab.ruled(Rule::ListenSynDropped)?;
    let status = lab.status()?;
    ensure!(dropped > 0, "the table of handshakes was never full: the flood was none");
    ensure!(status["reset_cause"] == "power-on", "the board restarted: {}", status["reset_cause"]);
    anstream::println!("    {FLOOD} SYNs in {:.1} s, {dropped} dropped for want of room", took.as_secs_f32());
    Ok(())
}

/// A client in the network that is not there. Its address is never asked for: the answer goes where the frame came from.
fn syn_from_nowhere(lab: &Lab, n: u32) -> Seen {
    let host = lab.family.host(64 + (n % 128) as u8);
    let port = 1_024 + (n / 128) as u16;
    Seen {
        from: SocketAddr::new(host, port),
        to: lab.at(ECHO),
        seq: Seq(n.wrapping_mul(0x9e37_79b9)),
        ack: Seq(0),
        control: Control::SYN,
        wnd: 1_000,
        len: 0,
        timestamps: None,
    }
}

/// More frames than a board takes in before others have their turn: the rest must not wait for an interrupt.
pub(super) fn burst(lab: &mut Lab) -> Result<()> {
    let mut stream = live(lab)?;
    let again = lab.segment_for(&stream, Control::ACK)?;
    for _ in 0..BURST {
        lab.cable.forge(&again)?;
    }
    echo(&mut stream, b"alive after")
}

/// Its client is not there: only the board's timer sends the SYN-ACK once more.
pub(super) fn syn_ack_again(lab: &mut Lab) -> Result<()> {
    let syn = syn_from_nowhere(lab, FLOOD);
    lab.cable.forge(&syn)?;
    let is_answer = |way, seen: &Seen| way == Way::ToPeer && (seen.from, seen.to) == (syn.to, syn.from);
    let end = Instant::now() + PATIENCE;
    while lab.cable.count(is_answer) < 2 {
        ensure!(Instant::now() < end, "{} answers to one SYN", lab.cable.count(is_answer));
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

pub(super) fn garbage(lab: &mut Lab) -> Result<()> {
    let mut stream = live(lab)?;
    let good = {
        let mut segment = lab.segment_for(&stream, Control::ACK)?;
        segment.len = 32;
        segment.forge(lab.cable.kernel_mac(), super::super::BOARD_MAC)
    };
    let mut noise = 0x2545_f491_u32;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise
    };
    for round in 0..60_usize {
        for _ in 0..20 {
            // A frame that is nearly right: cut short, one byte changed, or both.
            let mut frame = good.clone();
            let at = 12 + next() as usize % (frame.len() - 12);
            let at = if lab.family == Family::Ipv6 && UNCHECKED.contains(&at) { 12 } else { at };
            frame[at] ^= 1 + (next() % 255) as u8;
            if next() % 2 == 0 {
                frame.truncate(14 + next() as usize % (frame.len() - 14));
            }
            lab.cable.inject(&frame)?;
        }
        // Longer than any frame may be.
        let mut long = good.clone();
        long.resize(1_600 + round, 0xee);
        lab.cable.inject(&long)?;
        ping(lab.board_addr(), round as u16, b"still there?").context("ping among garbage")?;
    }
    // What was changed may have been a sequence number the board believed to be text; it cannot have been the checksum's luck.
    echo(&mut stream, b"alive after")?;
    thread::sleep(Duration::from_millis(10));
    let silent = {
        stream.set_nonblocking(true)?;
        stream.read(&mut [0; 1]).map_err(|error| error.kind())
    };
    ensure!(silent == Err(std::io::ErrorKind::WouldBlock), "garbage was echoed: {silent:?}");
    let status = lab.status()?;
    let refused = [Rule::ChecksumWrong, Rule::Malformed].map(|rule| status["rules"][key(rule)].as_u64().unwrap_or(0));
    ensure!(refused.iter().all(|&n| n > 0), "nothing was refused: {refused:?}");
    ensure!(status["reset_cause"] == "power-on", "the board restarted: {}", status["reset_cause"]);
    Ok(())
}
