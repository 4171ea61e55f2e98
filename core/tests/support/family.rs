//! The two families, and the hosts of the tests in each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{IPV4_HEADER, IPV6_HEADER, Mac};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Runs a test over each family that this build speaks; what a failing test has printed ends with the family it fails over.
pub(crate) fn over_each(test: impl Fn(Family)) {
    for &family in Family::ALL {
        println!("over {family:?}");
        test(family);
    }
}

/// The same, each family in a thread of its own: for what takes seconds.
pub(crate) fn over_each_side_by_side(test: impl Fn(Family) + Sync) {
    std::thread::scope(|scope| {
        for &family in Family::ALL {
            let test = &test;
            scope.spawn(move || {
                println!("over {family:?}");
                test(family);
            });
        }
    });
}

impl Family {
    /// The families that this build speaks.
    pub(crate) const ALL: &'static [Family] =
        if cfg!(feature = "ipv6") { &[Family::V4, Family::V6] } else { &[Family::V4] };

    pub(crate) fn of(addr: IpAddr) -> Family {
        if addr.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// A host on the network of the tests: 10.0.0.n or fd00::n.
    pub(crate) fn host(self, n: u8) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 0, 0, n).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into(),
        }
    }

    /// How many bits of an address name that network.
    pub(crate) fn prefix(self) -> u8 {
        match self {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    /// A host beyond that network.
    pub(crate) fn far(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    pub(crate) fn unspecified(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// What means everybody on the network of the tests. IPv6 has no broadcast: a group takes its place (RFC 4291 §2.7.1).
    pub(crate) fn everybody_here(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 0, 0, 255).into(),
            Family::V6 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// Addresses that are no host's, whatever the network: none, groups, and everybody or an IPv4 address in IPv6 guise.
    pub(crate) fn nobodies(self) -> [IpAddr; 4] {
        match self {
            Family::V4 => [[0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1], [239, 255, 255, 250]].map(IpAddr::from),
            Family::V6 => {
                let groups = [[0xff02, 0, 0, 0, 0, 0, 0, 1], [0xff0e, 0, 0, 0, 0, 0, 0x1234, 1]].map(IpAddr::from);
                let mapped = Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped();
                [Ipv6Addr::UNSPECIFIED.into(), mapped.into(), groups[0], groups[1]]
            }
        }
    }

    /// What a host calls itself, and must not be called from outside (RFC 1122 §3.2.1.3 (g), RFC 4291 §2.5.3).
    pub(crate) fn loopback(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// The Ethernet address of a group (RFC 1112 §6.4, RFC 2464 §7).
    pub(crate) fn group_mac(self) -> Mac {
        match self {
            Family::V4 => [0x01, 0, 0x5e, 0, 0, 1],
            Family::V6 => [0x33, 0x33, 0, 0, 0, 1],
        }
    }

    /// What Ethernet calls the family.
    pub(crate) fn ethertype(self) -> [u8; 2] {
        match self {
            Family::V4 => [0x08, 0x00],
            Family::V6 => [0x86, 0xdd],
        }
    }

    pub(crate) fn ip_header(self) -> usize {
        match self {
            Family::V4 => IPV4_HEADER,
            Family::V6 => IPV6_HEADER,
        }
    }

    /// By how much a segment's text is shorter than over IPv4 in a packet of the same size.
    pub(crate) fn mss_less(self) -> u16 {
        (self.ip_header() - IPV4_HEADER) as u16
    }

    /// The send MSS of a peer that announces none (RFC 9293 §3.7.1, MUST-15).
    pub(crate) fn default_mss(self) -> u16 {
        match self {
            Family::V4 => 536,
            Family::V6 => 1_220,
        }
    }

    /// Returns whether a checksum covers this byte of a packet with a segment. IPv6's header has none of its own: traffic class, flow
    /// label and hop limit may change unnoticed.
    pub(crate) fn is_guarded(self, at: usize) -> bool {
        self == Family::V4 || at >= IPV6_HEADER || !matches!(at, 0..4 | 7)
    }
}
