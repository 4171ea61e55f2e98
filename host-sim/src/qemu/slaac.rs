//! A router, as far as the board asks for one: its advertisement tells a prefix to make addresses of (RFC 4861 §6, RFC 4862).

use std::net::Ipv6Addr;

use smoltcp::time::Duration;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet,
    NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags,
};

use crate::resolve::{self, FROM_LINK};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 1]);

/// What is advertised.
#[derive(Clone, Copy)]
pub(super) struct Advertised {
    /// The network, /64.
    pub(super) prefix: Ipv6Addr,
    pub(super) router_mac: [u8; 6],
    /// How long the prefix and the router are good for.
    pub(super) seconds: u64,
}

/// The address that a host makes of a /64 prefix and its Ethernet address (RFC 4291 appendix A).
pub(super) fn address_of(prefix: Ipv6Addr, [a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    let identifier = u64::from_be_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | u128::from(identifier))
}

/// The address that a host gives itself on the link.
pub(super) fn link_local_of(mac: [u8; 6]) -> Ipv6Addr {
    address_of(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), mac)
}

/// Answers a frame that asks for routers.
pub(super) fn answer(frame: &[u8], advertised: &Advertised) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv6 {
        return None;
    }
    let ipv6 = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
    if ipv6.next_header() != IpProtocol::Icmpv6 || ipv6.hop_limit() != FROM_LINK {
        return None;
    }
    let icmp = Icmpv6Packet::new_checked(ipv6.payload()).ok()?;
    let asks =
        icmp.msg_type() == Icmpv6Message::RouterSolicit && icmp.verify_checksum(&ipv6.src_addr(), &ipv6.dst_addr());
    asks.then(|| advertisement(advertised))
}

/// The advertisement, to all.
pub(super) fn advertisement(advertised: &Advertised) -> Vec<u8> {
    let lifetime = Duration::from_secs(advertised.seconds);
    let message = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: lifetime,
        reachable_time: Duration::ZERO,
        retrans_time: Duration::ZERO,
        lladdr: Some(EthernetAddress(advertised.router_mac).into()),
        mtu: None,
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: lifetime,
            preferred_lifetime: lifetime,
            prefix: advertised.prefix,
        }),
    });
    let router = (advertised.router_mac, link_local_of(advertised.router_mac));
    resolve::on_link(router, (ALL_NODES_MAC, ALL_NODES), &message)
}
