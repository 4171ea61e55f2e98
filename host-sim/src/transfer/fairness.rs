//! `host-sim fairness`: connections of our stack and of Linux's send to Linux over one bottleneck.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use lossy_path::{Bottleneck, Conditions};
use tcp_reset_core::{Config, CongestionControl, MAX_BUFFER, MIN_BUFFER, Status};

use crate::kernel::Progress;
use crate::lan::{Buffers, FlowOptions, LINUX_RECEIVER, LINUX_SENDER, Net, OUR_SENDER, Settings, Shared, Standing};

/// How long handshakes may take.
const START: Duration = Duration::from_secs(10);
/// Slow start is over by then.
const WARM_UP: Duration = Duration::from_secs(3);
/// How far apart samples are.
const SAMPLE: Duration = Duration::from_millis(100);
/// A path's own rate in bit/s, where the bottleneck's counts.
const FAST: u64 = 1_000_000_000_000;

/// Let connections of our stack send beside connections of Linux over one bottleneck, to Linux, and print what each gets, and Jain's index of
/// fairness
#[derive(Args)]
pub struct FairnessOptions {
    /// Connections of each stack
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    connections: u8,
    /// What the bottleneck carries each way
    #[arg(long, value_name = "MBIT/S", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rate: u16,
    /// Frames that wait for it at most
    #[arg(long, value_name = "FRAMES", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// Delay of the path each way, beside the queue
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(..=1_000))]
    delay: u16,
    /// Let the bottleneck carry one frame at a time, whichever way, as a radio's medium does
    #[arg(long)]
    half_duplex: bool,
    /// Buffers at both ends, which bound the windows of both stacks: a power of two from 2,048 to 32,768
    #[arg(long, value_name = "BYTES", default_value_t = MAX_BUFFER, value_parser = buffer)]
    buffer: usize,
    /// Let Linux tune its buffers itself, and bound ours alone
    #[arg(long)]
    autotune: bool,
    /// Our congestion control
    #[arg(long, value_enum, default_value_t = Control::Cubic)]
    ours: Control,
    /// Linux's congestion control
    #[arg(long, value_enum, default_value_t = LinuxControl::Cubic)]
    linux: LinuxControl,
    /// Use no SACK in our connections
    #[arg(long)]
    no_sack: bool,
    /// Seed of the moments at which connections begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Write where each sender stands, ten times a second, to this CSV file
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Exit with code 1 if the index is below this
    #[arg(long, value_name = "INDEX")]
    least: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Control {
    Cubic,
    Reno,
}

#[derive(Clone, Copy, ValueEnum)]
enum LinuxControl {
    Cubic,
    Reno,
    /// Where the kernel has it
    Bbr,
}

impl LinuxControl {
    /// Returns the kernel's name for it.
    fn name(self) -> &'static str {
        match self {
            LinuxControl::Cubic => "cubic",
            LinuxControl::Reno => "reno",
            LinuxControl::Bbr => "bbr",
        }
    }
}

fn buffer(text: &str) -> Result<usize, String> {
    let least = MIN_BUFFER.max(2_048);
    let bytes =
        text.parse().ok().filter(|bytes: &usize| bytes.is_power_of_two() && (least..=MAX_BUFFER).contains(bytes));
    bytes.ok_or_else(|| format!("this is not a power of two from {least} to {MAX_BUFFER}"))
}

impl FairnessOptions {
    fn settings(&self) -> Settings {
        let congestion_control = match self.ours {
            Control::Cubic => CongestionControl::Cubic,
            Control::Reno => CongestionControl::Reno,
        };
        let config = Config { sack: !self.no_sack, congestion_control, ..Config::default() };
        Settings { config, congestion_control: self.linux.name() }
    }

    fn bottleneck(&self) -> Shared {
        // One more is on its way.
        let bottleneck = Bottleneck::new(u64::from(self.rate) * 1_000_000, usize::from(self.queue) + 1);
        if self.half_duplex { Shared::Medium(bottleneck) } else { Shared::Directions([bottleneck.clone(), bottleneck]) }
    }

    fn flow(&self, sender: usize) -> FlowOptions {
        let linux = if self.autotune { None } else { u32::try_from(self.buffer).ok() };
        let rtt = 2 * Duration::from_millis(self.delay.into());
        let conditions = Conditions { rate: FAST, queue: Some(usize::MAX), rtt, ..Conditions::DEFAULT };
        FlowOptions {
            places: [sender, LINUX_RECEIVER],
            buffers: Buffers { ours: self.buffer, linux },
            path: lossy_path::Path::new(conditions, self.seed),
        }
    }
}

/// Measures; gives the exit code.
///
/// # Errors
/// If the namespaces cannot be had, or a connection ends.
pub fn run(options: &FairnessOptions) -> Result<i32> {
    let mut net = Net::lay(options.settings(), Some(options.bottleneck()))?;
    let mut samples = options.samples.as_deref().map(Samples::create).transpose()?;
    open(&mut net, options)?;
    run_for(&mut net, WARM_UP, samples.as_mut())?;
    let (before, began) = (received(&net), net.now());
    run_for(&mut net, Duration::from_secs(options.seconds.into()), samples.as_mut())?;
    let seconds = (net.now() - began).as_secs_f64();
    let rates: Vec<f64> =
        received(&net).iter().zip(&before).map(|(now, then)| (now - then) as f64 / seconds / 1e3).collect();
    // They were opened in turn.
    let of = |first: usize| rates.iter().copied().skip(first).step_by(2).collect::<Vec<_>>();
    let index = jain(&rates);
    print(options, &of(0), &of(1), index);
    Ok(i32::from(options.least.is_some_and(|least| index < least)))
}

/// Opens ours and Linux's in turn, at moments of chance.
fn open(net: &mut Net, options: &FairnessOptions) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(options.seed);
    for _ in 0..options.connections {
        for sender in [OUR_SENDER, LINUX_SENDER] {
            net.open(options.flow(sender))?;
            run_for(net, Duration::from_millis(rng.u64(1..=50)), None)?;
        }
    }
    let end = net.now() + START;
    while net.flows().iter().any(|flow| flow.started().is_none()) {
        if net.now() >= end {
            bail!("all connections: not within {} s", START.as_secs());
        }
        net.step()?;
    }
    Ok(())
}

fn run_for(net: &mut Net, time: Duration, mut samples: Option<&mut Samples>) -> Result<()> {
    let end = net.now() + time;
    while net.now() < end {
        net.step()?;
        if let Some(why) = net.flows().iter().find_map(|flow| flow.failure()) {
            bail!("a connection has ended: {why}");
        }
        if let Some(samples) = &mut samples {
            samples.take(net)?;
        }
    }
    Ok(())
}

fn received(net: &Net) -> Vec<u64> {
    net.flows().iter().map(|flow| flow.bytes()).collect()
}

/// Where the senders stand, over time.
struct Samples {
    file: BufWriter<File>,
    next: Duration,
}

impl Samples {
    fn create(path: &Path) -> Result<Samples> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut file = BufWriter::new(file);
        writeln!(file, "seconds,stack,connection,cwnd_bytes,ssthresh_bytes,flight_bytes,rtt_ms,received_bytes")?;
        Ok(Samples { file, next: Duration::ZERO })
    }

    fn take(&mut self, net: &mut Net) -> Result<()> {
        let now = net.now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + SAMPLE;
        for place in 0..net.flows().len() {
            let received = net.flows()[place].bytes();
            let (stack, numbers) = match net.standing(place)? {
                Standing::Ours(status) => ("ours", of_ours(&status)),
                Standing::Linux(progress) => ("Linux", of_linux(&progress)),
            };
            let ([cwnd, ssthresh, flight], rtt) = numbers;
            let (seconds, n, rtt) = (now.as_secs_f64(), place / 2 + 1, rtt.as_millis());
            writeln!(self.file, "{seconds:.3},{stack},{n},{cwnd},{ssthresh},{flight},{rtt},{received}")?;
        }
        Ok(())
    }
}

/// Congestion window, threshold and flight in bytes, and the round-trip time.
type Numbers = ([u64; 3], Duration);

fn of_ours(status: &Status) -> Numbers {
    let flight = status.snd_nxt.since(status.snd_una);
    let bytes = [status.congestion_window, status.slow_start_threshold, flight].map(u64::from);
    (bytes, status.round_trip_time.unwrap_or_default())
}

fn of_linux(progress: &Progress) -> Numbers {
    let segments = [progress.congestion_window, progress.slow_start_threshold, progress.flight];
    (segments.map(|segments| u64::from(segments) * u64::from(progress.mss)), progress.round_trip_time)
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
        "{} Mbit/s {}, {} frames wait at most, {} ms each way; {} s. Buffers of {} bytes{}. Linux: {}.\n\
         Jain's index: {index:.3} of all, {:.3} of ours, {:.3} of Linux's. Ours get {:.2} of what Linux's get.",
        options.rate,
        if options.half_duplex { "in both directions together" } else { "each way" },
        options.queue,
        options.delay,
        options.seconds,
        options.buffer,
        if options.autotune { ", of ours alone" } else { "" },
        options.linux.name(),
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
