//! An address of either family, as records carry it.

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;

/// Words of an address: one where IPv4 is the only family.
pub(crate) const WORDS: usize = if cfg!(feature = "ipv6") { 4 } else { 1 };
/// The word that an IPv4 address stands in.
const V4: usize = WORDS - 1;
/// What stands before it (RFC 4291 §2.5.5.2, IPv4-mapped). No packet may carry such an IPv6 address, so that neither family passes for
/// the other.
const MAPPED: [u32; 3] = [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff])];

/// `::1`.
#[cfg(feature = "ipv6")]
const LOOPBACK: Addr = Addr([0, 0, 0, u32::from_ne_bytes([0, 0, 0, 1])]);

/// An address: its bytes in their order, so that a checksum takes the words as they stand.
#[derive(Clone, Copy, Eq, Debug)]
pub(crate) struct Addr([u32; WORDS]);

/// Word by word without a branch or a loop: the derived one is a call that looks at each byte.
impl PartialEq for Addr {
    #[inline]
    fn eq(&self, other: &Addr) -> bool {
        match (self.0, other.0) {
            #[cfg(not(feature = "ipv6"))]
            ([a], [b]) => a == b,
            #[cfg(feature = "ipv6")]
            ([a, b, c, d], [e, f, g, h]) => (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0,
        }
    }
}

impl Addr {
    /// What an unused record holds. To a listener: all addresses of ours, of every family this build speaks.
    pub(crate) const ZERO: Addr = Addr([0; WORDS]);

    pub(crate) fn v4(addr: Ipv4Addr) -> Addr {
        Addr::from_v4_octets(addr.octets())
    }

    /// The same from its bytes.
    #[inline]
    pub(crate) fn from_v4_octets(bytes: [u8; 4]) -> Addr {
        let mut words = [0; WORDS];
        for (word, mapped) in words[..V4].iter_mut().zip(MAPPED) {
            *word = mapped;
        }
        words[V4] = u32::from_ne_bytes(bytes);
        Addr(words)
    }

    /// The bytes of an IPv4 address.
    #[inline]
    pub(crate) fn v4_octets(&self) -> [u8; 4] {
        self.0[V4].to_ne_bytes()
    }

    /// The address, if this build speaks its family.
    pub(crate) fn of(addr: IpAddr) -> Option<Addr> {
        match addr {
            IpAddr::V4(addr) => Some(Addr::v4(addr)),
            #[cfg(feature = "ipv6")]
            IpAddr::V6(addr) => Addr::v6(addr),
            #[cfg(not(feature = "ipv6"))]
            IpAddr::V6(_) => None,
        }
    }

    /// Both addresses, if they are of one family, which this build speaks.
    pub(crate) fn both(src: IpAddr, dst: IpAddr) -> Option<(Addr, Addr)> {
        let (src, dst) = (Addr::of(src)?, Addr::of(dst)?);
        (src.is_v4() == dst.is_v4()).then_some((src, dst))
    }

    pub(crate) fn ip(self) -> IpAddr {
        #[cfg(feature = "ipv6")]
        if let Some(addr) = self.as_v6() {
            return addr.into();
        }
        Ipv4Addr::from(self.0[V4].to_ne_bytes()).into()
    }

    #[inline]
    pub(crate) fn is_v4(&self) -> bool {
        match self.0 {
            #[cfg(not(feature = "ipv6"))]
            [_] => true,
            #[cfg(feature = "ipv6")]
            [a, b, c, _] => a | b | (c ^ MAPPED[2]) == 0,
        }
    }

    pub(crate) fn as_v4(self) -> Option<Ipv4Addr> {
        self.is_v4().then(|| Ipv4Addr::from(self.0[V4].to_ne_bytes()))
    }

    /// All words, also those that stand before an IPv4 address.
    pub(crate) fn all_words(&self) -> &[u32; WORDS] {
        &self.0
    }

    /// The four words of an IPv6 address; one of IPv4 stands in its IPv6 guise, whatever the build.
    #[cfg(feature = "journal")]
    pub(crate) fn as_v6_words(&self) -> [u32; 4] {
        let mut words = [MAPPED[0], MAPPED[1], MAPPED[2], 0];
        words[4 - WORDS..].copy_from_slice(&self.0);
        words
    }

    /// The address that [`Addr::as_v6_words`] made these of, if this build speaks its family.
    #[cfg(feature = "journal")]
    pub(crate) fn from_v6_words(words: &[u32; 4]) -> Option<Addr> {
        let (before, own) = words.split_at(4 - WORDS);
        let is_spoken = before == &MAPPED[..4 - WORDS];
        own.try_into().ok().filter(|_| is_spoken).map(Addr)
    }

    /// The words that make up the address in its own family.
    pub(crate) fn words(&self) -> &[u32] {
        if self.is_v4() { &self.0[V4..] } else { &self.0 }
    }

    /// What a listener on all addresses of this one's family has.
    pub(crate) fn unspecified(self) -> Addr {
        if self.is_v4() { Addr::v4(Ipv4Addr::UNSPECIFIED) } else { Addr::ZERO }
    }

    /// Returns whether it can be one host's.
    pub(crate) fn is_one_host(self) -> bool {
        match self.as_v4() {
            Some(addr) => {
                let is_this_network = addr.octets()[0] == 0;
                !is_this_network && !addr.is_multicast() && !addr.is_broadcast()
            }
            None => self != Addr::ZERO && !self.is_multicast(),
        }
    }

    /// Returns whether it means a group.
    pub(crate) fn is_multicast(self) -> bool {
        match self.as_v4() {
            Some(addr) => addr.is_multicast(),
            None => self.0[0].to_ne_bytes()[0] == 0xff,
        }
    }

    /// Returns whether it means the host itself.
    pub(crate) fn is_loopback(self) -> bool {
        match self.as_v4() {
            Some(addr) => addr.is_loopback(),
            #[cfg(feature = "ipv6")]
            None => self == LOOPBACK,
            #[cfg(not(feature = "ipv6"))]
            None => false,
        }
    }

    /// Returns whether it is good only on the link it is used on (RFC 4291 §2.5.6), so that a zone belongs to it. IPv4's are used without.
    pub(crate) fn is_link_local(self) -> bool {
        let [a, b, ..] = self.0[0].to_ne_bytes();
        !self.is_v4() && (a, b & 0xc0) == (0xfe, 0x80)
    }

    /// How many bits two addresses begin with in common; `None` between families.
    pub(crate) fn common_bits(self, other: Addr) -> Option<u8> {
        if self.is_v4() != other.is_v4() {
            return None;
        }
        let mut bits = 0;
        for (ours, theirs) in self.words().iter().zip(other.words()) {
            let common = u32::from_be(ours ^ theirs).leading_zeros();
            bits += common as u8;
            if common < u32::BITS {
                break;
            }
        }
        Some(bits)
    }

    /// Returns whether two addresses begin with the same `prefix` bits; more than there are count as all.
    pub(crate) fn shares_prefix(self, other: Addr, prefix: u8) -> bool {
        let all = u32::BITS as usize * self.words().len();
        self.common_bits(other).is_some_and(|common| usize::from(common) >= usize::from(prefix).min(all))
    }
}

#[cfg(feature = "ipv6")]
impl Addr {
    /// The address; `None` for one that stands for an IPv4 address, which is not to be seen on a wire.
    pub(crate) fn v6(addr: Ipv6Addr) -> Option<Addr> {
        Addr::from_v6_octets(&addr.octets())
    }

    /// The same from its bytes.
    pub(crate) fn from_v6_octets(bytes: &[u8; 16]) -> Option<Addr> {
        let (words, _) = bytes.as_chunks::<4>();
        let [a, b, c, d] = words else { return None };
        let addr = Addr([a, b, c, d].map(|word| u32::from_ne_bytes(*word)));
        if addr.is_v4() { None } else { Some(addr) }
    }

    pub(crate) fn as_v6(self) -> Option<Ipv6Addr> {
        if self.is_v4() {
            return None;
        }
        let mut bytes = [0; 16];
        for (to, from) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&self.0) {
            *to = from.to_ne_bytes();
        }
        Some(bytes.into())
    }
}

/// The address of the next hop on the link (an Ethernet address). Unused on plain IP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkAddr(pub [u8; 6]);

#[cfg(feature = "ethernet")]
impl LinkAddr {
    /// Returns whether it means a group of stations, or all.
    pub(crate) fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Returns whether it can be one station's: neither a group's nor nobody's.
    pub(crate) fn is_station(self) -> bool {
        !self.is_group() && self != LinkAddr::default()
    }
}

/// The pair of endpoints that names a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tuple {
    pub(crate) local_addr: Addr,
    pub(crate) remote_addr: Addr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    pub(crate) const ZERO: Tuple =
        Tuple { local_addr: Addr::ZERO, remote_addr: Addr::ZERO, local_port: 0, remote_port: 0 };

    /// Returns whether a segment between them may be believed and answered.
    pub(crate) fn is_answerable(&self) -> bool {
        self.local_port != 0 && self.remote_port != 0 && is_pair_answerable(self.local_addr, self.remote_addr)
    }

    /// Returns whether it names anything: no peer has the address of [`Tuple::ZERO`].
    pub(crate) fn is_used(&self) -> bool {
        self.remote_addr != Addr::ZERO
    }
}

/// RFC 9293 §3.9.2.3 (MUST-57, MUST-63), RFC 1122 §3.2.1.3: nothing is said to, or believed from, an address that is not one host's; nor
/// from ourselves over the wire (the LAND attack, CVE-1999-0016).
pub(crate) fn is_pair_answerable(local: Addr, remote: Addr) -> bool {
    let is_martian = remote.is_loopback() && !local.is_loopback();
    remote.is_one_host() && local.is_one_host() && remote != local && !is_martian
}

/// Our endpoint and the peer's; `zone` belongs to what is good on one link only.
pub(crate) fn endpoints(tuple: &Tuple, zone: u32) -> (SocketAddr, SocketAddr) {
    let endpoint = |addr: Addr, port| match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
        IpAddr::V6(ip) => {
            let scope_id = if addr.is_link_local() { zone } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope_id))
        }
    };
    (endpoint(tuple.local_addr, tuple.local_port), endpoint(tuple.remote_addr, tuple.remote_port))
}
