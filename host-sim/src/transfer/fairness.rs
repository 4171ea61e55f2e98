//! `host-sim fairness`: connections of our stack and of Linux's share one bottleneck, in opposite directions of a medium that carries one frame at a
//! time, as a radio's does.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use comfy_table::{Table, presets};
use tcp_reset_core::{ConnectionHandle, Instant, ListenOptions, Storage};

use crate::cable::{Bottleneck, Cable};
use crate::family::Family;
use crate::kernel::{KernelListener, KernelStream, WireKind};

use super::net::Net;

/// Who takes the bytes listens here, at either end.
const SINK: u16 = 9;
const CHUNK: usize = 1 << 16;
/// How long handshakes may take.
const START: Duration = Duration::from_secs(10);
/// Slow start is over by then.
const WARM_UP: Duration = Duration::from_secs(3);
/// Connections of each stack, at most.
const MOST: usize = 8;

/// Twice as many connections as one stack opens, with buffers of 64 KiB at most in each direction.
type Board = Storage<{ 2 * MOST }, 1, 16, 16, { 4 * MOST * 32_768 }>;

/// Let connections of our stack send beside connections of Linux over one bottleneck, and print what each gets, and Jain's index of fairness
#[derive(Args)]
pub struct FairnessOptions {
    /// Connections of each stack
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    connections: u8,
    /// What the bottleneck carries
    #[arg(long, value_name = "MBIT/S", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rate: u16,
    /// Frames that wait for it at most
    #[arg(long, value_name = "FRAMES", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// Delay of the path each way, beside the queue
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(..=1_000))]
    delay: u16,
    /// Our send and receive buffers
    #[arg(long, value_name = "BYTES", default_value_t = 32_768)]
    buffer: usize,
    /// How long is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Exit with code 1 if the index is below this
    #[arg(long, value_name = "INDEX")]
    least: Option<f64>,
    /// Use a veth pair, and no TAP
    #[arg(long)]
    veth: bool,
}

/// The connections, and what arrives of each.
struct Flows {
    ours: Vec<ConnectionHandle>,
    theirs: Vec<KernelStream>,
    our_sinks: Vec<(ConnectionHandle, u64)>,
    their_sinks: Vec<(KernelStream, u64)>,
}

/// Measures; gives the exit code.
///
/// # Errors
/// If the namespace or the wire cannot be had, or a connection ends.
pub fn run(options: &FairnessOptions) -> Result<i32> {
    let family = Family::Ipv4;
    let kind = options.veth.then_some(WireKind::Veth);
    let bottleneck = Bottleneck::new(u64::from(options.rate) * 1_000_000, options.queue.into());
    let mut cable = Cable::new(None);
    cable.set_delay(Duration::from_millis(options.delay.into()));
    cable.set_bottleneck(bottleneck);
    let storage: &'static mut Board = Box::leak(Box::new(Board::new()));
    let mut net = Net::lay(&[family], kind, cable, options.buffer, storage)?;
    let mut flows = open(&mut net, family, options.connections.into())?;
    pump(&mut net, &mut flows, WARM_UP)?;
    let before = flows.received();
    pump(&mut net, &mut flows, Duration::from_secs(options.seconds.into()))?;
    let rates: Vec<f64> = flows
        .received()
        .iter()
        .zip(&before)
        .map(|(now, then)| (now - then) as f64 / f64::from(options.seconds) / 1e3)
        .collect();
    let (ours, theirs) = rates.split_at(options.connections.into());
    let index = jain(&rates);
    print(options, ours, theirs, index);
    Ok(i32::from(options.least.is_some_and(|least| index < least)))
}

fn open(net: &mut Net, family: Family, count: usize) -> Result<Flows> {
    let stream = net.stream;
    let their_sink = SocketAddr::new(family.peer_addr(), SINK);
    let our_sink = SocketAddr::new(family.our_addr(), SINK);
    let kernel = KernelListener::bind(their_sink, 16).context("the kernel cannot listen")?;
    let options = ListenOptions { stream, backlog: 8, ..ListenOptions::default() };
    let listener = net.ours().tcp().listen(our_sink, options).context("our stack cannot listen")?;
    let mut flows = Flows { ours: Vec::new(), theirs: Vec::new(), our_sinks: Vec::new(), their_sinks: Vec::new() };
    for _ in 0..count {
        let now = net.now();
        let handle = net.ours().link().connect(now, 0, their_sink, stream);
        flows.ours.push(handle.context("our stack opens no connection")?);
        let from = SocketAddr::new(family.peer_addr(), 0);
        flows.theirs.push(KernelStream::connect(from, our_sink).context("the kernel opens no connection")?);
    }
    net.until("all connections", START, &mut |net| {
        while let Some(stream) = kernel.accept()? {
            flows.their_sinks.push((stream, 0));
        }
        let now = net.now();
        while let Ok(handle) = net.ours().tcp().accept(now, listener) {
            flows.our_sinks.push((handle, 0));
        }
        Ok(flows.their_sinks.len() == count && flows.our_sinks.len() == count)
    })?;
    Ok(flows)
}

/// Everybody sends as much as goes, and reads what comes.
fn pump(net: &mut Net, flows: &mut Flows, time: Duration) -> Result<()> {
    let end: Instant = net.now() + time;
    let (data, mut buf) = (vec![0x5a; CHUNK], vec![0; CHUNK]);
    net.until("the measurement", time + START, &mut |net| {
        for handle in &flows.ours {
            while net.send(*handle, &data)? > 0 {}
        }
        for stream in &flows.theirs {
            while stream.send(&data)?.is_some_and(|n| n > 0) {}
        }
        for (handle, received) in &mut flows.our_sinks {
            while let Some(n @ 1..) = net.recv(*handle, &mut buf)? {
                *received += n as u64;
            }
        }
        for (stream, received) in &mut flows.their_sinks {
            while let Some(n @ 1..) = stream.recv(&mut buf)? {
                *received += n as u64;
            }
        }
        Ok(net.now() >= end)
    })
}

impl Flows {
    /// Bytes that have arrived: of our connections first.
    fn received(&self) -> Vec<u64> {
        let ours = self.their_sinks.iter().map(|(_, received)| *received);
        ours.chain(self.our_sinks.iter().map(|(_, received)| *received)).collect()
    }
}

/// Jain's index: 1 where all get the same, 1/n where one gets all.
fn jain(rates: &[f64]) -> f64 {
    let (sum, squares) = rates.iter().fold((0.0, 0.0), |(sum, squares), rate| (sum + rate, squares + rate * rate));
    if squares == 0.0 { 0.0 } else { sum * sum / (rates.len() as f64 * squares) }
}

fn print(options: &FairnessOptions, ours: &[f64], theirs: &[f64], index: f64) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["connection", "ours, kB/s", "Linux, kB/s"]);
    for (n, (our, their)) in ours.iter().zip(theirs).enumerate() {
        table.add_row([(n + 1).to_string(), format!("{our:.0}"), format!("{their:.0}")]);
    }
    let sum = |rates: &[f64]| rates.iter().sum::<f64>();
    table.add_row(["all".into(), format!("{:.0}", sum(ours)), format!("{:.0}", sum(theirs))]);
    anstream::println!("{table}");
    anstream::println!(
        "{} Mbit/s in both directions together, {} frames wait at most, {} ms each way, our buffers: {} bytes; {} s.\n\
         Jain's index: {index:.3} of all, {:.3} of ours, {:.3} of Linux's. Ours get {:.2} of what Linux's get.",
        options.rate,
        options.queue,
        options.delay,
        options.buffer,
        options.seconds,
        jain(ours),
        jain(theirs),
        sum(ours) / sum(theirs),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_where_all_get_the_same_and_a_share_where_one_gets_all() {
        assert!((jain(&[3.0; 16]) - 1.0).abs() < 1e-9);
        assert!((jain(&[5.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-9);
        assert!(jain(&[]) == 0.0 && jain(&[0.0]) == 0.0);
    }
}
