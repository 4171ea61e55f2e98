//! The networks whose hosts are shown everything, as a list is written.

use core::net::IpAddr;
use core::str::FromStr;

use tcp_reset_core::Network;

/// How many networks a list may have.
const MOST_NETWORKS: usize = 8;

/// Networks; by default none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Networks([Option<Network>; MOST_NETWORKS]);

/// The text is no list of networks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoNetworks;

impl Networks {
    /// Returns whether one of the networks has this host.
    pub(crate) fn contain(&self, addr: IpAddr) -> bool {
        self.0.iter().flatten().any(|network| network.contains(addr))
    }
}

/// `192.168.1.0/24,fd10:69::/64`; an address without a prefix is one host, an empty text no network.
impl FromStr for Networks {
    type Err = NoNetworks;

    fn from_str(text: &str) -> Result<Networks, NoNetworks> {
        let mut networks = Networks::default();
        let mut places = networks.0.iter_mut();
        for item in text.split(',').filter(|_| !text.trim().is_empty()) {
            let place = places.next().ok_or(NoNetworks)?;
            *place = Some(network(item.trim())?);
        }
        Ok(networks)
    }
}

fn network(text: &str) -> Result<Network, NoNetworks> {
    let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
    let addr: IpAddr = addr.parse().map_err(|_| NoNetworks)?;
    let most = if addr.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Ok(most), |prefix| prefix.parse().map_err(|_| NoNetworks))?;
    if prefix > most { Err(NoNetworks) } else { Ok(Network { addr, prefix }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(text: &str, addr: &str) -> Result<bool, NoNetworks> {
        let networks: Networks = text.parse()?;
        Ok(networks.contain(addr.parse().map_err(|_| NoNetworks)?))
    }

    #[test]
    fn a_list_contains_the_hosts_of_each_of_its_networks() {
        let list = "192.168.1.0/24, 10.0.0.9";
        for (addr, is_in) in [("192.168.1.77", true), ("192.168.2.1", false), ("10.0.0.9", true), ("10.0.0.8", false)] {
            assert_eq!(contain(list, addr), Ok(is_in), "{addr}");
        }
        assert_eq!(contain("0.0.0.0/0", "203.0.113.5"), Ok(true));
    }

    #[cfg(feature = "ipv6")]
    #[test]
    fn a_list_may_have_both_families() {
        let list = "192.168.1.0/24,fd10:69::/64";
        for (addr, is_in) in [("fd10:69::1", true), ("fd10:6a::1", false), ("fe80::1", false), ("192.168.1.1", true)] {
            assert_eq!(contain(list, addr), Ok(is_in), "{addr}");
        }
    }

    #[test]
    fn an_empty_list_contains_nobody() {
        assert_eq!(contain("", "192.168.1.1"), Ok(false));
        assert!(!Networks::default().contain(IpAddr::from([192, 168, 1, 1])));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["192.168.1.0/33", "fd10::/129", "192.168.1/24", "all", "10.0.0.0/8,", "10.0.0.0/-1", "10.0.0.0/"] {
            assert_eq!(text.parse::<Networks>(), Err(NoNetworks), "{text}");
        }
        let nine = "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7,10.0.0.8,10.0.0.9";
        assert_eq!(nine.parse::<Networks>(), Err(NoNetworks));
    }
}
