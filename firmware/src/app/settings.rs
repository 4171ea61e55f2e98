//! What is set for one device.

use core::net::{Ipv4Addr, Ipv6Addr};

use embassy_time::Duration;

use super::networks::{Networks, NoNetworks};

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
    /// Each RST says in its payload why it was sent, and what peers' RSTs say is read.
    pub reset_reasons: bool,
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
    /// A task that never ends, to see what the watchdog does.
    Hang,
}

impl Settings {
    /// What the build was told by the environment: `TCP_SERVER=192.168.1.10:7000`, or `TCP_SERVER=[fd00::10]:7000`;
    /// `STATUS_FROM=192.168.1.0/24,fd10:69::/64`; `RESET_REASONS=on`.
    ///
    /// What cannot be read is told in the log; there is no client then, and nobody is shown everything.
    pub fn from_build() -> Settings {
        let mut settings = Settings {
            uses_dhcp: true,
            fallback: (Ipv4Addr::new(192, 168, 1, 77), 24, None),
            address_v6: None,
            server: None,
            status_from: Networks::default(),
            reset_reasons: false,
            end: None,
        };
        if let Some(text) = option_env!("TCP_SERVER") {
            settings.set_server(text);
        }
        if let Some(text) = option_env!("STATUS_FROM") {
            settings.set_status_from(text);
        }
        if let Some(text) = option_env!("RESET_REASONS") {
            settings.set_reset_reasons(text);
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

    /// Sets whether RSTs say why: `on` or `off`.
    pub fn set_reset_reasons(&mut self, text: &str) {
        self.reset_reasons = text == "on";
        if !["on", "off"].contains(&text) {
            defmt::error!("reset reasons are \"on\" or \"off\", not \"{=str}\": they are off", text);
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
