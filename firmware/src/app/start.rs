//! The start: the stack, the listeners, the tasks.

use core::cell::RefCell;
use core::net::Ipv6Addr;

use embassy_executor::Spawner;
use embassy_net_driver::Driver;
use embassy_time::Instant;
use static_cell::{ConstStaticCell, StaticCell};
use tcp_reset_core::embassy::{DeviceError, TcpDriver, TcpResources, TcpRunner};
use tcp_reset_core::{Config, Error, InvalidSetting, ListenOptions, SecretKey, WeakKey};

use super::board::Board;
use super::last_ends::LastEnds;
use super::settings::Settings;
use super::shared::App;
use super::sizes::{CONNECTIONS, HALF_OPEN, LISTENERS, POOL, TIME_WAIT};
use super::{client, ending, liveness, lost_peers, net, services, status, watch};

/// embassy-net's sockets: DHCP's.
const NET_SOCKETS: usize = 1;

pub const ECHO_PORT: u16 = 7;
pub const DISCARD_PORT: u16 = 9;
pub const STATUS_PORT: u16 = 80;

static TCP: ConstStaticCell<TcpResources<CONNECTIONS, LISTENERS, HALF_OPEN, TIME_WAIT, POOL>> =
    ConstStaticCell::new(TcpResources::new());
static NET: StaticCell<embassy_net::StackResources<NET_SOCKETS>> = StaticCell::new();
static APP: StaticCell<App> = StaticCell::new();

/// Why the application cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, defmt::Format)]
pub enum StartError {
    /// The random source does not work: there is no safe way to go on.
    WeakKey(WeakKey),
    /// The board's device cannot be used.
    Device(DeviceError),
    /// The journal cannot be kept.
    Journal(InvalidSetting),
    /// A port cannot be listened on.
    Listen(Error),
}

/// Starts everything but the runner, which the board spawns: its type has the board's driver in it.
///
/// # Errors
/// [`StartError`].
pub fn start<D: Driver>(
    spawner: Spawner,
    device: D,
    board: Board,
    settings: Settings,
) -> Result<TcpRunner<D>, StartError> {
    defmt::info!("{=str}: tcp-reset-core {=str}", board.name, env!("CARGO_PKG_VERSION"));
    defmt::info!("started by: {=str}", board.reset_cause);
    let key = SecretKey::new(board.key).map_err(StartError::WeakKey)?;
    let config = Config { reset_diagnostics: settings.reset_reasons, ..liveness::config() };
    let (shared, driver) = tcp_reset_core::embassy::new(device, TCP.take(), config, key).map_err(StartError::Device)?;
    let (stack, net) = new_net(driver, &settings, board.seed);
    let (tcp, runner) = TcpRunner::new(shared, stack, net);
    tcp.keep_journal(board.journal).map_err(StartError::Journal)?;
    let listen = |port: u16, options: ListenOptions| {
        tcp.listen((Ipv6Addr::UNSPECIFIED, port), options).map_err(StartError::Listen)
    };
    let app = APP.init(App {
        settings,
        tcp,
        stack,
        started: Instant::now(),
        echo: listen(ECHO_PORT, liveness::service(services::ECHOES as u8))?,
        discard: listen(DISCARD_PORT, liveness::service(1))?,
        status: listen(STATUS_PORT, liveness::page(status::PAGES as u8))?,
        client: RefCell::default(),
        last_ends: RefCell::new(LastEnds::NONE),
        board,
    });
    defmt::info!("echo on port {=u16}, discard on {=u16}, status page on {=u16}", ECHO_PORT, DISCARD_PORT, STATUS_PORT);
    tell_bounds(&app.settings);
    if cfg!(feature = "diagnostics") {
        defmt::warn!("feature diagnostics: the status page tells everybody everything, sequence numbers too");
    }
    spawn_tasks(spawner, app);
    Ok(runner)
}

fn tell_bounds(settings: &Settings) {
    liveness::tell("echo", &liveness::SERVICE_BOUND);
    liveness::tell("discard", &liveness::SERVICE_BOUND);
    liveness::tell("status page", &liveness::PAGE_BOUND);
    if settings.server.is_some() {
        liveness::tell("client", &liveness::CLIENT_BOUND);
    }
}

fn new_net<D: Driver>(
    driver: TcpDriver<D>,
    settings: &Settings,
    seed: u64,
) -> (embassy_net::Stack<'static>, embassy_net::Runner<'static, TcpDriver<D>>) {
    embassy_net::new(driver, net::config(settings), NET.init(embassy_net::StackResources::new()), seed)
}

/// A pool that is too small for its task is a fault of this program, found at the first start.
fn spawn_tasks(spawner: Spawner, app: &'static App) {
    let spawned = (|| {
        spawner.spawn(net::watch_address(app)?);
        #[cfg(feature = "ipv6")]
        spawner.spawn(net::watch_address_v6(app)?);
        spawner.spawn(watch::watch(app)?);
        spawner.spawn(lost_peers::tell(app)?);
        for _ in 0..services::ECHOES {
            spawner.spawn(services::echo(app)?);
        }
        spawner.spawn(services::discard(app)?);
        for _ in 0..status::PAGES {
            spawner.spawn(status::serve(app)?);
        }
        if let Some(server) = app.settings.server {
            spawner.spawn(client::client(app, server)?);
        }
        if let Some((after, how)) = app.settings.end {
            spawner.spawn(ending::end(app, after, how)?);
        }
        Ok::<(), embassy_executor::SpawnError>(())
    })();
    if spawned.is_err() {
        defmt::panic!("a task finds no place in its pool");
    }
}
