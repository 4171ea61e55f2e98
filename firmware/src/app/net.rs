//! The addresses: DHCP and what is done without an answer, and IPv6's own.

use embassy_futures::select::{Either, select};
use embassy_net::{Config, ConfigV4, DhcpConfig, Ipv4Cidr, StaticConfigV4};
use embassy_time::{Duration, Timer};

use super::settings::{Server, Settings};
use super::shared::App;

/// How long DHCP is waited for with the cable in.
const DHCP_PATIENCE: Duration = Duration::from_secs(20);
/// How often DHCP is asked again by a board that went on without it, while it holds no connection.
const DHCP_AGAIN: Duration = Duration::from_secs(300);

/// What embassy-net begins with.
pub(super) fn config(settings: &Settings) -> Config {
    let mut config = Config::default();
    config.ipv4 = match settings.uses_dhcp {
        true => ConfigV4::Dhcp(DhcpConfig::default()),
        false => ConfigV4::Static(fallback(settings)),
    };
    #[cfg(feature = "ipv6")]
    {
        config.ipv6 = match settings.address_v6 {
            None => embassy_net::ConfigV6::Slaac,
            Some((addr, prefix)) => embassy_net::ConfigV6::Static(embassy_net::StaticConfigV6 {
                address: embassy_net::Ipv6Cidr::new(addr, prefix),
                gateway: None,
                dns_servers: Default::default(),
            }),
        };
    }
    config
}

fn fallback(settings: &Settings) -> StaticConfigV4 {
    let (addr, prefix, gateway) = settings.fallback;
    StaticConfigV4 { address: Ipv4Cidr::new(addr, prefix), gateway, dns_servers: Default::default() }
}

/// Waits until there is an address that a server can be spoken to from.
#[cfg(feature = "ipv6")]
pub(super) async fn has_address(app: &App, server: &Server) {
    match server {
        Server::V4(_) => v4_is(app, true).await,
        // There is one of that kind from the start.
        Server::V6(server) if server.ip().is_unicast_link_local() => {}
        Server::V6(_) => {
            while app.stack.config_v6().is_none() {
                app.tcp.address_changed().await;
            }
        }
    }
}

/// The same over the one family there is.
#[cfg(not(feature = "ipv6"))]
pub(super) async fn has_address(app: &App, _server: &Server) {
    v4_is(app, true).await;
}

/// Waits until there is an IPv4 address, or none. embassy-net's own waiting would take one of IPv6 for it.
async fn v4_is(app: &App, is_there: bool) {
    while app.stack.config_v4().is_some() != is_there {
        app.tcp.address_changed().await;
    }
}

/// Tells in the log how the IPv6 address comes and goes.
#[cfg(feature = "ipv6")]
#[embassy_executor::task]
pub(super) async fn watch_address_v6(app: &'static App) {
    let mut told = None;
    loop {
        let now = app.stack.config_v6().map(|config| config.address);
        match (told, now) {
            (_, Some(address)) if told != now => defmt::info!("address {}", defmt::Display2Format(&address)),
            (Some(address), None) => defmt::warn!("address {} lost", defmt::Display2Format(&address)),
            (Some(_) | None, Some(_)) | (None, None) => {}
        }
        told = now;
        app.tcp.address_changed().await;
    }
}

/// Who gives the address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It is set, and there is no DHCP.
    Fixed,
    /// DHCP, which has not answered so far.
    Asked,
    /// DHCP, which has: it is waited for from now on. A router that is slow to come back must not cost the board its address.
    Leased,
    /// The fixed one, since DHCP never answered.
    GivenUp,
}

/// Sees to the address, and tells in the log how link and address come and go.
#[embassy_executor::task]
pub(super) async fn watch_address(app: &'static App) {
    let stack = app.stack;
    let mut source = if app.settings.uses_dhcp { Source::Asked } else { Source::Fixed };
    loop {
        stack.wait_link_up().await;
        defmt::info!("link up");
        app.board.panel.show_link(true);
        match select(stack.wait_link_down(), hold_address(app, &mut source)).await {
            Either::First(()) => {
                defmt::warn!("link down");
                app.board.panel.show_link(false);
            }
            Either::Second(()) => defmt::warn!("address lost"),
        }
    }
}

/// From the link to the loss of the address.
async fn hold_address(app: &App, source: &mut Source) {
    let stack = app.stack;
    if *source == Source::GivenUp {
        // The cable may lead to another network now.
        ask_dhcp(app, source);
    }
    if *source == Source::Asked
        && let Either::Second(()) = select(v4_is(app, true), Timer::after(DHCP_PATIENCE)).await
    {
        defmt::warn!("no answer from DHCP in {=u64} s", DHCP_PATIENCE.as_secs());
        *source = Source::GivenUp;
        set_config(app, ConfigV4::Static(fallback(&app.settings)));
    }
    v4_is(app, true).await;
    if *source == Source::Asked {
        *source = Source::Leased;
    }
    if let Some(config) = stack.config_v4() {
        defmt::info!("address {}", defmt::Display2Format(&config.address));
    }
    loop {
        match select(v4_is(app, false), Timer::after(DHCP_AGAIN)).await {
            Either::First(()) => return,
            // Asking takes the address away: not from somebody who uses it.
            Either::Second(()) if *source == Source::GivenUp && !has_connections(app) => {
                ask_dhcp(app, source);
                return;
            }
            Either::Second(()) => {}
        }
    }
}

fn has_connections(app: &App) -> bool {
    app.tcp.inspect(|link| link.tcp_ref().in_use().0 > 0)
}

fn ask_dhcp(app: &App, source: &mut Source) {
    *source = Source::Asked;
    set_config(app, ConfigV4::Dhcp(DhcpConfig::default()));
}

fn set_config(app: &App, config: ConfigV4) {
    app.stack.set_config_v4(config);
    app.tcp.follow_address();
}
