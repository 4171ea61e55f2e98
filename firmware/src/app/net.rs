//! The address: DHCP, and what is done without an answer.

use embassy_futures::select::{Either, select};
use embassy_net::{ConfigV4, Ipv4Cidr, StaticConfigV4};
use embassy_time::{Duration, with_timeout};

use super::{App, Settings};

/// How long DHCP is waited for with the cable in.
const DHCP_PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn fallback(settings: &Settings) -> StaticConfigV4 {
    let (addr, prefix, gateway) = settings.fallback;
    StaticConfigV4 { address: Ipv4Cidr::new(addr, prefix), gateway, dns_servers: Default::default() }
}

/// Tells link and address in the log as they come and go.
#[embassy_executor::task]
pub(super) async fn watch_address(app: &'static App) {
    let stack = app.stack;
    loop {
        stack.wait_link_up().await;
        defmt::info!("link up");
        app.board.panel.show_link(true);
        if with_timeout(DHCP_PATIENCE, stack.wait_config_up()).await.is_err() && stack.is_link_up() {
            defmt::warn!("no answer from DHCP in {=u64} s", DHCP_PATIENCE.as_secs());
            stack.set_config_v4(ConfigV4::Static(fallback(&app.settings)));
            app.tcp.follow_address();
        }
        if let Some(config) = stack.config_v4() {
            defmt::info!("address {}", defmt::Display2Format(&config.address));
            app.has_address.signal(());
        }
        // Either ends what was told; an address can also change without one of them, which the next round tells.
        match select(stack.wait_link_down(), stack.wait_config_down()).await {
            Either::First(()) => {
                defmt::warn!("link down");
                app.board.panel.show_link(false);
            }
            Either::Second(()) => defmt::warn!("address lost"),
        }
    }
}
