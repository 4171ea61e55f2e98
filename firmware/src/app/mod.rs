//! The application, the same on all boards.

mod client;
mod ending;
mod last_ends;
mod liveness;
mod net;
mod networks;
mod page;
mod request;
mod services;
mod stack_use;
mod status;
mod watch;

use core::cell::RefCell;
use core::net::{Ipv4Addr, Ipv6Addr};

use embassy_executor::Spawner;
use embassy_net_driver::Driver;
use embassy_time::{Duration, Instant};
use static_cell::{ConstStaticCell, StaticCell};
use tcp_reset_core::embassy::{DeviceError, TcpDriver, TcpListener, TcpResources, TcpRunner, TcpStack};
use tcp_reset_core::{CloseReason, Error, ListenOptions, SecretKey, WeakKey};

use self::last_ends::LastEnds;
pub use self::networks::Networks;
use self::networks::NoNetworks;

/// Connection slots: 3 echoes, a discard, 2 status pages, the client, and one that closes while the next comes.
const CONNECTIONS: usize = 8;
/// Echo, discard, status page.
const LISTENERS: usize = 3;
const HALF_OPEN: usize = 16;
const TIME_WAIT: usize = 16;
/// Octets for all buffers: in and out for each slot.
const POOL: usize = CONNECTIONS * 2 * BUFFER;
const BUFFER: usize = 4_096;

/// embassy-net's sockets: DHCP's.
const NET_SOCKETS: usize = 1;

pub const ECHO_PORT: u16 = 7;
pub const DISCARD_PORT: u16 = 9;
pub const STATUS_PORT: u16 = 80;

static TCP: ConstStaticCell<TcpResources<CONNECTIONS, LISTENERS, HALF_OPEN, TIME_WAIT, POOL>> =
    ConstStaticCell::new(TcpResources::new());
static NET: StaticCell<embassy_net::StackResources<NET_SOCKETS>> = StaticCell::new();
static APP: StaticCell<App> = StaticCell::new();

/// What a board gives besides its Ethernet.
pub struct Board {
    /// The binary's name.
    pub name: &'static str,
    /// Why the chip started.
    pub reset_cause: &'static str,
    /// 16 octets of a true random source, new at each start.
    pub key: [u8; 16],
    /// The same source's seed for embassy-net (ports, DHCP's transaction numbers).
    pub seed: u64,
    /// Its lights and its watchdog.
    pub panel: &'static dyn Panel,
}

/// What a board has for people, and for itself.
pub trait Panel {
    /// Shows whether the link is up.
    fn show_link(&self, is_up: bool);
    /// Shows whether a connection was reset in the last second.
    fn show_resets(&self, were_there: bool);
    /// The application is alive; called once a second.
    fn feed_watchdog(&self);
    /// How many frames the board's Ethernet has lost, where it tells.
    fn frames_lost(&self) -> u32 {
        0
    }
}

/// Where a server may be.
#[cfg(feature = "ipv6")]
pub type Server = core::net::SocketAddr;
/// Where a server may be.
#[cfg(not(feature = "ipv6"))]
pub type Server = core::net::SocketAddrV4;

/// What is set for one device.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Ask for an address; without an answer in time the fallback is used.
    pub uses_dhcp: bool,
    /// The address without DHCP, its prefix, and the router.
    pub fallback: (Ipv4Addr, u8, Option<Ipv4Addr>),
    /// The IPv6 address and its prefix, with no router; none: it is made of a router's prefix (SLAAC). The link-local one is there in any
    /// case.
    pub address_v6: Option<(Ipv6Addr, u8)>,
    /// The server the client connects to; none: no client.
    pub server: Option<Server>,
    /// Whose hosts the status page tells everything, down to sequence numbers, where they ask for it by the board's address; everybody else
    /// is shown an overview.
    pub status_from: Networks,
    /// When to end this run, counted from its start, and how; a run that such an end has started is not ended again.
    pub end: Option<(Duration, End)>,
}

/// How a run ends that is to be ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A planned restart: every peer is told first.
    Restart,
    /// A panic, to see what follows one.
    Panic,
}

impl Settings {
    /// What the build was told by the environment: `TCP_SERVER=192.168.1.10:7000`, or `TCP_SERVER=[fd00::10]:7000`;
    /// `STATUS_FROM=192.168.1.0/24,fd10:69::/64`.
    ///
    /// What cannot be read is told in the log; there is no client then, and nobody is shown everything.
    pub fn from_build() -> Settings {
        let mut settings = Settings {
            uses_dhcp: true,
            fallback: (Ipv4Addr::new(192, 168, 1, 77), 24, None),
            address_v6: None,
            server: None,
            status_from: Networks::default(),
            end: None,
        };
        if let Some(text) = option_env!("TCP_SERVER") {
            settings.set_server(text);
        }
        if let Some(text) = option_env!("STATUS_FROM") {
            settings.set_status_from(text);
        }
        settings
    }

    /// Sets the server as it is written: `192.168.1.10:7000`, `[fd00::10]:7000`.
    pub fn set_server(&mut self, text: &str) {
        self.server = text.parse().ok();
        if self.server.is_none() {
            defmt::error!(
                "the server \"{=str}\" is no address and port, such as 192.168.1.10:7000 or [fd00::10]:7000",
                text
            );
        }
    }

    /// Sets the networks that are shown everything, as they are written: `192.168.1.0/24,fd10:69::/64`.
    pub fn set_status_from(&mut self, text: &str) {
        self.status_from = text.parse().unwrap_or_else(|NoNetworks| {
            defmt::error!(
                "\"{=str}\" is no list of at most 8 networks, such as 192.168.1.0/24,fd10:69::/64: nobody is shown the whole status page",
                text
            );
            Networks::default()
        });
    }
}

/// Why the application cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, defmt::Format)]
pub enum StartError {
    /// The random source does not work: there is no safe way to go on.
    WeakKey(WeakKey),
    /// The board's device cannot be used.
    Device(DeviceError),
    /// A port cannot be listened on.
    Listen(Error),
}

/// What the application's tasks share.
pub(crate) struct App {
    board: Board,
    settings: Settings,
    tcp: TcpStack,
    stack: embassy_net::Stack<'static>,
    started: Instant,
    echo: TcpListener,
    discard: TcpListener,
    status: TcpListener,
    client: RefCell<ClientState>,
    last_ends: RefCell<LastEnds>,
}

/// How the client stands, for the status page.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClientState {
    is_connected: bool,
    attempts: u32,
    last_end: Option<Error>,
}

impl ClientState {
    fn ended(&mut self, reason: CloseReason) {
        self.is_connected = false;
        self.last_end = Some(Error::Closed(reason));
    }
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
    let (shared, driver) =
        tcp_reset_core::embassy::new(device, TCP.take(), liveness::config(), key).map_err(StartError::Device)?;
    let (stack, net) = new_net(driver, &settings, board.seed);
    let (tcp, runner) = TcpRunner::new(shared, stack, net);
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

/// Makes an Ethernet address of a chip's own number: locally administered, one station's, the same at each start (FNV-1a).
pub fn mac_address(chip: &[u8]) -> [u8; 6] {
    let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    let [a, b, c, d, e, f, g, h] = chip.iter().fold(0xcbf2_9ce4_8422_2325, step).to_be_bytes();
    [(a ^ g) & 0xfc | 0x02, b ^ h, c, d, e, f]
}

/// Now, as the engine counts.
pub(crate) fn instant() -> tcp_reset_core::Instant {
    tcp_reset_core::Instant::from_micros(Instant::now().as_micros())
}
