//! How long an MQTT publication with QoS 1 takes, with this project's TCP and with embassy-net's own: until the broker has acknowledged it, and, for
//! a client that is subscribed to what it publishes, until the message is back too. The broker sends those two answers one by one, and its
//! kernel holds the second back until the first is acknowledged (Nagle's algorithm): what counts is how soon that is.
//!
//! ```sh
//! cargo run -p host-sim --features embassy --example mqtt_latency
//! ```
//!
//! Both sides run the same client, rust-mqtt, with the same buffers and settings, over the same kind of wire to the same broker, mosquitto. They
//! take turns, each time in a process of its own; what is printed is the median over all turns, and the ratio of the two.

#[path = "support/mqtt.rs"]
mod broker;
#[path = "support/server.rs"]
mod server;
mod support;

use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use broker::Client;
use clap::{Parser, ValueEnum};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Runner, Stack, StackResources};
use embassy_time::{Duration, with_timeout};
use host_sim::family::Family;
use host_sim::kernel;
use rust_mqtt::buffer::AllocBuffer;
use rust_mqtt::io::Transport;
use rust_mqtt::types::QoS;
use static_cell::StaticCell;
use support::WireDevice;
use tcp_reset_core::StreamOptions;
use tcp_reset_core::embassy::TcpStack;

const TOPIC: &str = "core/temperature";
const MESSAGE: &[u8] = b"21.5";
/// How long a turn may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What TCP a turn uses.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    Core,
    EmbassyNet,
}

/// What is the same for both sides.
#[derive(Clone, Copy)]
struct Setting {
    family: Family,
    nagle: bool,
    /// The client is subscribed to what it publishes.
    is_subscribed: bool,
}

/// Measures QoS 1 publications over tcp-reset-core and over embassy-net's TCP.
#[derive(Parser)]
struct Arguments {
    /// Take one side's turn in the namespace that the process is in
    #[arg(long, hide = true)]
    turn: Option<Side>,
    /// How often each side takes its turn
    #[arg(long, default_value_t = 2, value_name = "N")]
    turns: usize,
}

fn main() -> Result<ExitCode> {
    let Arguments { turn, turns } = Arguments::parse();
    match turn {
        None => compare(turns),
        Some(Side::Core) => support::run_inside(|_, tcp| in_time(measure_core(tcp))),
        Some(Side::EmbassyNet) => run_on_embassy_net(|stack| in_time(measure_embassy_net(stack))),
    }
}

/// Lets both sides take their turns, and prints what came of it.
fn compare(turns: usize) -> Result<ExitCode> {
    kernel::enter()?;
    let _broker = broker::start_broker()?;
    let mut ours = vec![Vec::new(); Setting::all().count()];
    let mut theirs = ours.clone();
    for _ in 0..turns {
        take_turn(Side::Core, &mut ours)?;
        take_turn(Side::EmbassyNet, &mut theirs)?;
    }
    for (setting, (ours, theirs)) in Setting::all().zip(ours.iter_mut().zip(&mut theirs)) {
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours as f64 / theirs as f64;
        println!("{setting}: core {ours} us, embassy-net {theirs} us, ratio {ratio:.3}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs this program once more for one turn; adds the microseconds it has measured in each setting.
fn take_turn(side: Side, samples: &mut [Vec<u64>]) -> Result<()> {
    let name = side.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let output = Command::new(env::current_exe()?).args(["--turn", &name]).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the turn of {name} has failed: {errors}");
    let measured: Vec<Vec<u64>> = serde_json::from_slice(&output.stdout).context("a turn's measurements")?;
    ensure!(measured.len() == samples.len(), "a turn has measured other settings");
    samples.iter_mut().zip(measured).for_each(|(samples, measured)| samples.extend(measured));
    Ok(())
}

fn median(samples: &mut [u64]) -> u64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or(0)
}

/// One turn of the core.
async fn measure_core(tcp: TcpStack) -> Result<u8> {
    let mut samples = Vec::new();
    for setting in Setting::all() {
        let options = StreamOptions { nagle: setting.nagle, ..StreamOptions::default() };
        let stream = tcp.connect(setting.broker(), options).await?;
        samples.push(measure(stream, setting).await.with_context(|| format!("the core, {setting}"))?);
    }
    println!("{}", serde_json::to_string(&samples)?);
    Ok(0)
}

/// One turn of embassy-net.
async fn measure_embassy_net(stack: Stack<'static>) -> Result<u8> {
    let mut samples = Vec::new();
    for setting in Setting::all() {
        let (mut received, mut to_send) =
            (vec![0; StreamOptions::DEFAULT.rx_buffer], vec![0; StreamOptions::DEFAULT.tx_buffer]);
        let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
        socket.set_nagle_enabled(setting.nagle);
        socket.connect(setting.broker()).await.map_err(|error| anyhow!("embassy-net, {setting}: {error:?}"))?;
        samples.push(measure(socket, setting).await.with_context(|| format!("embassy-net, {setting}"))?);
    }
    println!("{}", serde_json::to_string(&samples)?);
    Ok(0)
}

/// Measures publications on one connection; gives the microseconds of each.
async fn measure<N: Transport>(stream: N, setting: Setting) -> Result<Vec<u64>> {
    let mut buffer = AllocBuffer;
    let mut client = Client::new(&mut buffer);
    broker::connect(&mut client, stream, "mqtt-latency").await?;
    if setting.is_subscribed {
        broker::subscribe(&mut client, TOPIC, QoS::AtMostOnce).await?;
    }
    let (warm_up, measured) = setting.publications();
    let mut samples = Vec::new();
    for _ in 0..warm_up + measured {
        let started = Instant::now();
        let received = broker::publish(&mut client, TOPIC, MESSAGE, setting.is_subscribed).await?;
        samples.push(started.elapsed().as_micros() as u64);
        ensure!(received.is_none_or(|received| received == MESSAGE), "this is not what was published");
    }
    broker::disconnect(&mut client).await?;
    Ok(samples.split_off(warm_up))
}

async fn in_time(turn: impl Future<Output = Result<u8>>) -> Result<u8> {
    with_timeout(PATIENCE, turn).await.map_err(|_| anyhow!("the turn is not over after {PATIENCE}"))?
}

/// Brings up embassy-net alone on our end of the wire, and runs the application on it.
fn run_on_embassy_net<F>(app: impl FnOnce(Stack<'static>) -> F) -> Result<ExitCode>
where
    F: Future<Output = Result<u8>> + 'static,
{
    static NET: StaticCell<StackResources<2>> = StaticCell::new();
    let device = WireDevice::lay()?;
    let config = Family::ALL.into_iter().fold(embassy_net::Config::default(), support::with_address);
    let seed = u64::from_ne_bytes(support::random()?);
    let (stack, runner) = embassy_net::new(device, config, NET.init(StackResources::new()), seed);
    support::execute(|spawner| {
        // This task is spawned once, and there is room for one.
        if let Ok(drive) = drive(runner) {
            spawner.spawn(drive);
        }
        let app = app(stack);
        Box::pin(async move {
            stack.wait_config_up().await;
            app.await
        })
    })
}

#[embassy_executor::task]
async fn drive(mut runner: Runner<'static, WireDevice>) -> ! {
    runner.run().await
}

impl Setting {
    fn all() -> impl Iterator<Item = Setting> {
        let kinds = [(false, true), (false, false), (true, true), (true, false)];
        kinds
            .into_iter()
            .flat_map(|(is_subscribed, nagle)| Family::ALL.map(|family| Setting { family, nagle, is_subscribed }))
    }

    /// How many publications of one turn are not measured, and how many are. The first are not: the kernel acknowledges the first segments of a
    /// connection at once, later ones when it likes. Where nothing waits for a timer, more of them make up for the machine's noise.
    fn publications(self) -> (usize, usize) {
        if self.is_subscribed { (20, 50) } else { (500, 500) }
    }

    fn broker(self) -> SocketAddr {
        (self.family.peer_addr(), broker::PORT).into()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nagle = if self.nagle { "on" } else { "off" };
        let awaited = if self.is_subscribed { "acknowledged and back" } else { "acknowledged" };
        write!(f, "{}, Nagle {nagle}, {awaited}", self.family)
    }
}
