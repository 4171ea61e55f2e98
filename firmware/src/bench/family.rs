//! Both ends' addresses, in each family that is spoken.

use core::net::Ipv4Addr;
#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;

use smoltcp::wire::IpAddress;

/// What packets are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    #[cfg(feature = "ipv6")]
    Ipv6,
}

const BOARD_V4: Ipv4Addr = Ipv4Addr::new(10, 69, 0, 2);
#[cfg(feature = "ipv6")]
const BOARD_V6: Ipv6Addr = Ipv6Addr::new(0xfd10, 0x69, 0, 0, 0, 0, 0, 2);

impl Family {
    /// All that this build speaks.
    #[cfg(feature = "ipv6")]
    pub const ALL: &[Family] = &[Family::Ipv4, Family::Ipv6];
    /// All that this build speaks.
    #[cfg(not(feature = "ipv6"))]
    pub const ALL: &[Family] = &[Family::Ipv4];

    /// What the result calls it.
    pub fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "IPv4",
            #[cfg(feature = "ipv6")]
            Family::Ipv6 => "IPv6",
        }
    }

    pub(super) fn board(self) -> IpAddress {
        match self {
            Family::Ipv4 => BOARD_V4.into(),
            #[cfg(feature = "ipv6")]
            Family::Ipv6 => BOARD_V6.into(),
        }
    }

    pub(super) fn peer(self) -> IpAddress {
        match self {
            Family::Ipv4 => IpAddress::v4(10, 69, 0, 1),
            #[cfg(feature = "ipv6")]
            Family::Ipv6 => IpAddress::v6(0xfd10, 0x69, 0, 0, 0, 0, 0, 1),
        }
    }

    /// Bytes of text in a full segment.
    pub(super) fn mss(self) -> u16 {
        match self {
            Family::Ipv4 => 1_460,
            #[cfg(feature = "ipv6")]
            Family::Ipv6 => 1_440,
        }
    }
}

/// The board's addresses on the wire.
pub fn config() -> embassy_net::Config {
    let config = embassy_net::Config::ipv4_static(embassy_net::StaticConfigV4 {
        address: embassy_net::Ipv4Cidr::new(BOARD_V4, 24),
        gateway: None,
        dns_servers: Default::default(),
    });
    #[cfg(feature = "ipv6")]
    let config = {
        let mut both = config;
        both.ipv6 = embassy_net::ConfigV6::Static(embassy_net::StaticConfigV6 {
            address: embassy_net::Ipv6Cidr::new(BOARD_V6, 64),
            gateway: None,
            dns_servers: Default::default(),
        });
        both
    };
    config
}
