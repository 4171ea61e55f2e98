//! What the examples stand on: a device for embassy-net whose other end is this machine's kernel, the two stacks on it, and an executor
//! that ends when the application does.
//!
//! It is what a board's `main` does, with a virtual Ethernet in place of the chip.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::Context as TaskContext;

use anyhow::{Context, Result, anyhow};
use async_io::Async;
use embassy_executor::{Executor, Spawner};
use embassy_net::{ConfigV4, ConfigV6, Ipv4Cidr, Ipv6Cidr, Stack, StackResources, StaticConfigV4, StaticConfigV6};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_time::{Duration, with_timeout};
use host_sim::family::Family;
use host_sim::kernel::{self, ETHERNET_HEADER_LEN, Wire};
use host_sim::world::OUR_MAC;
use static_cell::{ConstStaticCell, StaticCell};
use tcp_reset_core::embassy::{TcpResources, TcpRunner, TcpStack};
use tcp_reset_core::{Config, SecretKey};

/// How long the last resets may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) type App = Pin<Box<dyn Future<Output = Result<u8>>>>;
type Outcome = Rc<RefCell<Option<Result<u8>>>>;

/// Enters a network namespace, lays a wire to the kernel in it, brings up both stacks on our end, and runs the application until it gives
/// its exit code.
///
/// Must come before any thread is started; threads started by `app` are in the namespace.
///
/// # Errors
/// If the system forbids the namespace, and those of the application.
#[allow(dead_code, reason = "one example has entered its namespace before")]
pub(crate) fn run<F>(app: impl FnOnce(Spawner, TcpStack) -> F) -> Result<ExitCode>
where
    F: Future<Output = Result<u8>> + 'static,
{
    kernel::enter()?;
    run_inside(app)
}

/// The same in the namespace that the process is in, which must be its own.
///
/// # Errors
/// If the wire cannot be laid, and those of the application.
pub(crate) fn run_inside<F>(app: impl FnOnce(Spawner, TcpStack) -> F) -> Result<ExitCode>
where
    F: Future<Output = Result<u8>> + 'static,
{
    let (tcp, stack, runner) = join_stacks(WireDevice::lay()?)?;
    execute(|spawner| {
        // This task is spawned once, and there is room for one.
        if let Ok(drive) = drive(runner) {
            spawner.spawn(drive);
        }
        Box::pin(play(stack, tcp, app(spawner, tcp)))
    })
}

/// Starts the stacks and the application on an executor that ends when the application does.
///
/// # Errors
/// Those of the application.
pub(crate) fn execute(start: impl FnOnce(Spawner) -> App) -> Result<ExitCode> {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let outcome = Outcome::default();
    let told = Rc::clone(&outcome);
    let start = |spawner: Spawner| {
        // Spawned once, too.
        if let Ok(task) = tell(start(spawner), told) {
            spawner.spawn(task);
        }
    };
    EXECUTOR.init(Executor::new()).run_until(start, || outcome.borrow().is_some());
    let outcome = outcome.take().unwrap_or_else(|| Err(anyhow!("the executor has ended before the application")));
    outcome.map(ExitCode::from)
}

/// Puts the core and embassy-net on the device.
fn join_stacks(device: WireDevice) -> Result<(TcpStack, Stack<'static>, TcpRunner<WireDevice>)> {
    // 16 connections with the default buffers, 2 listeners.
    static TCP: ConstStaticCell<TcpResources<16, 2, 32, 64, 131_072>> = ConstStaticCell::new(TcpResources::new());
    static NET: StaticCell<StackResources<2>> = StaticCell::new();
    let key = SecretKey::new(random()?)?;
    let (shared, driver) = tcp_reset_core::embassy::new(device, TCP.take(), Config::default(), key)?;
    let config = Family::ALL.into_iter().fold(embassy_net::Config::default(), with_address);
    let seed = u64::from_ne_bytes(random()?);
    let (stack, net) = embassy_net::new(driver, config, NET.init(StackResources::new()), seed);
    let (tcp, runner) = TcpRunner::new(shared, stack, net);
    Ok((tcp, stack, runner))
}

/// The configuration with our address and router in one family more.
pub(crate) fn with_address(mut config: embassy_net::Config, family: Family) -> embassy_net::Config {
    let dns_servers = Default::default();
    match (family.our_addr(), family.peer_addr()) {
        (IpAddr::V4(ours), IpAddr::V4(router)) => {
            let address = Ipv4Cidr::new(ours, family.prefix());
            config.ipv4 = ConfigV4::Static(StaticConfigV4 { address, gateway: Some(router), dns_servers });
        }
        (IpAddr::V6(ours), IpAddr::V6(router)) => {
            let (address, dns_servers) = (Ipv6Cidr::new(ours, family.prefix()), Default::default());
            config.ipv6 = ConfigV6::Static(StaticConfigV6 { address, gateway: Some(router), dns_servers });
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
    }
    config
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let source = "/dev/urandom";
    let mut bytes = [0; N];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .with_context(|| format!("cannot read {source}"))?;
    Ok(bytes)
}

#[embassy_executor::task]
async fn drive(mut runner: TcpRunner<WireDevice>) -> ! {
    runner.run().await
}

/// Runs the application, and leaves no peer with half a connection.
async fn play(stack: Stack<'static>, tcp: TcpStack, app: impl Future<Output = Result<u8>>) -> Result<u8> {
    stack.wait_config_up().await;
    let result = app.await;
    let told = with_timeout(FAREWELL, tcp.abort_all()).await.map_err(|_| anyhow!("the last resets have not left"));
    result.and_then(|code| told.map(|()| code))
}

#[embassy_executor::task]
async fn tell(app: App, outcome: Outcome) {
    let result = app.await;
    *outcome.borrow_mut() = Some(result);
}

/// Our end of the wire, as embassy-net wants a device.
pub(crate) struct WireDevice {
    wire: Wire,
    /// The wire's file once more: it says when there is something to read, and wakes the task that asked.
    readiness: Async<OwnedFd>,
    received: Box<[u8]>,
    to_send: Box<[u8]>,
}

impl WireDevice {
    pub(crate) fn lay() -> Result<WireDevice> {
        let mut wire = Wire::open(&Family::Ipv4.network(), OUR_MAC, None)?;
        wire.add_network(&Family::Ipv6.network())?;
        let file = wire.as_fd().try_clone_to_owned().context("cannot share the wire's file")?;
        let readiness = Async::new(file).context("cannot wait for the wire")?;
        let buffer = vec![0; wire.mtu() + ETHERNET_HEADER_LEN].into_boxed_slice();
        Ok(WireDevice { wire, readiness, received: buffer.clone(), to_send: buffer })
    }

    /// Takes the next frame, or sees to it that the task is woken when there is one.
    fn next_frame(&mut self, cx: &mut TaskContext<'_>) -> Option<usize> {
        loop {
            match self.wire.recv(&mut self.received) {
                Ok(Some(len)) => return Some(len),
                Ok(None) if self.readiness.poll_readable(cx).is_pending() => return None,
                // It became readable in between.
                Ok(None) => {}
                Err(error) => panic!("the wire to the kernel is broken: {error}"),
            }
        }
    }
}

impl Driver for WireDevice {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, cx: &mut TaskContext<'_>) -> Option<(Received<'_>, ToSend<'_>)> {
        let len = self.next_frame(cx)?;
        let WireDevice { wire, received, to_send, .. } = self;
        Some((Received(&mut received[..len]), ToSend { wire, buffer: to_send }))
    }

    fn transmit(&mut self, _cx: &mut TaskContext<'_>) -> Option<ToSend<'_>> {
        Some(ToSend { wire: &mut self.wire, buffer: &mut self.to_send })
    }

    fn link_state(&mut self, _cx: &mut TaskContext<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = self.received.len();
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(OUR_MAC)
    }
}

pub(crate) struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct ToSend<'a> {
    wire: &'a mut Wire,
    buffer: &'a mut [u8],
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let frame = &mut self.buffer[..len];
        let result = f(frame);
        // A frame that the wire does not take is lost, as on any Ethernet; TCP sends it again.
        let _ = self.wire.send(frame);
        result
    }
}
