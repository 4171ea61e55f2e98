//! Frames to and from segments: Ethernet II with ARP and IPv4, or plain IPv4 for a TUN device.
//!
//! [`Link`] wraps the engine for users who hold frames. It takes what is TCP for our addresses, notes what it can learn from, and says
//! about everything else that it is not for us. It answers no ARP request and no ping: that is left to the IP stack beside it.

mod neighbours;

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use core::ops::Range;

use heapless::Vec;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet,
};

use self::neighbours::Neighbours;
use crate::checksum;
use crate::config::{self, ChecksumBy, StreamOptions};
use crate::output::{ConnectionHandle, Error, Event, Hop};
use crate::record::count;
use crate::segment::{BufferTooSmall, both_v4};
use crate::tcp::{Arrival, Tcp, is_one_host};
use crate::time::Instant;
use crate::transmit::{Next, What};
use crate::verdict::{ResetReason, Rule, Timer, Verdict};

/// How many addresses of ours a link can have.
pub const MAX_ADDRESSES: usize = 4;
/// Octets of an Ethernet II header.
const ETHERNET_HEADER: usize = 14;
/// Octets of an IPv4 header as we send it: without options.
const IPV4_HEADER: usize = 20;
/// Where the checksum stands in it.
const IPV4_CHECKSUM: Range<usize> = 10..12;
/// Octets of an ARP packet for Ethernet and IPv4.
const ARP_PACKET: usize = 28;
/// Time to live of what we send (RFC 1700's recommendation).
const HOP_LIMIT: u8 = 64;

/// What frames look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Medium {
    /// Ethernet II frames without check sequence; our own address.
    Ethernet(Hop),
    /// IPv4 packets alone.
    Ip,
}

/// An address of ours and the length of its network's prefix, in bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Interface {
    /// The address.
    #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
    pub addr: IpAddr,
    /// Bits of the prefix, 0 to 32; more counts as 32.
    pub prefix: u8,
}

/// An interface of the one family there is so far.
#[derive(Clone, Copy)]
struct Network {
    addr: Ipv4Addr,
    prefix: u8,
}

impl Network {
    fn of(interface: &Interface) -> Option<Network> {
        match interface.addr {
            IpAddr::V4(addr) if is_one_host(addr) => Some(Network { addr, prefix: interface.prefix }),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    fn mask(self) -> u32 {
        config::prefix_mask(self.prefix)
    }

    fn is_on_link(self, addr: Ipv4Addr) -> bool {
        (addr.to_bits() ^ self.addr.to_bits()) & self.mask() == 0
    }

    /// RFC 919; networks of two addresses or one have none (RFC 3021).
    fn is_broadcast(self, addr: Ipv4Addr) -> bool {
        self.prefix < 31 && self.is_on_link(addr) && addr.to_bits() | self.mask() == u32::MAX
    }
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Received {
    /// TCP for us: judged, nobody else may see it.
    Taken(Verdict),
    /// Noted here, and to be passed on: ARP.
    Observed,
    /// TCP for none of our addresses. Another TCP beside this one must not see it, or it answers for a host it is not.
    OtherTcp,
    /// For somebody else.
    NotMine,
}

/// Counters of what never became a segment. They wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkCounters {
    /// Frames taken in.
    pub frames_in: u32,
    /// Frames written out.
    pub frames_out: u32,
    /// Fragments of TCP for us, dropped: a TCP segment is never fragmented on its way here unless somebody wants to hide it.
    pub fragments: u32,
    /// Addresses asked for on the link.
    pub arp_requests: u32,
}

/// The engine behind frames. The contract is [`Tcp`]'s, with frames for segments.
pub struct Link<'s> {
    tcp: Tcp<'s>,
    medium: Medium,
    checksum: ChecksumBy,
    networks: Vec<Network, MAX_ADDRESSES>,
    gateway: Option<Ipv4Addr>,
    neighbours: Neighbours,
    counters: LinkCounters,
}

/// The next thing to do, as [`Link::poll_output`] says it.
#[derive(Debug)]
#[must_use]
pub enum LinkOutput<'t, 's> {
    /// A frame wants to go out.
    Transmit(Frame<'t, 's>),
    /// Something an application waits for.
    Event(Event),
    /// Nothing more now: call [`Link::handle_timeout`] at this time, for this reason.
    Timeout(Option<(Instant, Timer)>),
}

/// A frame that wants to go out. Dropping it loses nothing.
#[must_use]
pub struct Frame<'t, 's> {
    link: &'t mut Link<'s>,
    content: Content,
    now: Instant,
}

#[derive(Clone, Copy)]
enum Content {
    ArpRequest(Ipv4Addr),
    Segment(What, Hop),
}

impl<'s> Link<'s> {
    /// Wraps an engine. `checksum` says who checks and fills in the IPv4 header's; TCP's is a setting of the engine.
    pub fn new(tcp: Tcp<'s>, medium: Medium, checksum: ChecksumBy) -> Link<'s> {
        Link {
            tcp,
            medium,
            checksum,
            networks: Vec::new(),
            gateway: None,
            neighbours: Neighbours::new(),
            counters: LinkCounters::default(),
        }
    }

    /// Sets our addresses and the router for everything beyond them. The first address is the one connections are opened from.
    ///
    /// Connections on an address that is no longer ours end with [`crate::CloseReason::AddressLost`]; nothing can be sent from it, so
    /// their peers learn it when they speak to the address's next owner, or by their own timers. Listeners stay.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] if there are more than [`MAX_ADDRESSES`], or one cannot be a host's or is of a family this build does
    /// not speak; the former ones stay then.
    pub fn set_addresses(&mut self, interfaces: &[Interface], gateway: Option<IpAddr>) -> Result<(), Error> {
        let mut networks = Vec::new();
        for interface in interfaces {
            let network = Network::of(interface).ok_or(Error::InvalidAddress)?;
            networks.push(network).map_err(|_| Error::InvalidAddress)?;
        }
        let gateway = match gateway {
            None => None,
            Some(IpAddr::V4(addr)) if is_one_host(addr) => Some(addr),
            Some(IpAddr::V4(_) | IpAddr::V6(_)) => return Err(Error::InvalidAddress),
        };
        self.networks = networks;
        self.gateway = gateway;
        let networks = &self.networks;
        self.tcp.keep_addresses(|addr| networks.iter().any(|network| network.addr == addr));
        self.forget_neighbours();
        Ok(())
    }

    /// Forgets what was learned about neighbours, because the cable may lead elsewhere now. Segments that waited for one ask anew.
    pub fn forget_neighbours(&mut self) {
        self.neighbours.forget_all();
        self.tcp.neighbour_changed();
    }

    /// Tells our own Ethernet address, where it became known or changed after [`Link::new`]. Without effect on plain IP.
    pub fn set_hardware_address(&mut self, ours: Hop) {
        if let Medium::Ethernet(addr) = &mut self.medium {
            *addr = ours;
        }
    }

    /// Gives the engine, for calls.
    pub fn tcp(&mut self) -> &mut Tcp<'s> {
        &mut self.tcp
    }

    /// Gives the engine, for questions.
    pub fn tcp_ref(&self) -> &Tcp<'s> {
        &self.tcp
    }

    /// Gives the counters.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Opens a connection from our first address on the peer's network, or else our first. See [`Tcp::connect`].
    ///
    /// # Errors
    /// [`Error::NoRoute`], [`Error::InvalidAddress`] also for our own addresses and a network's broadcast address, and those of
    /// [`Tcp::connect`].
    pub fn connect(
        &mut self,
        now: Instant,
        local_port: u16,
        remote: SocketAddr,
        options: StreamOptions,
    ) -> Result<ConnectionHandle, Error> {
        let IpAddr::V4(addr) = remote.ip() else {
            return Err(Error::InvalidAddress);
        };
        if self.is_ours(addr) || self.is_shouted(addr) {
            return Err(Error::InvalidAddress);
        }
        let next = self.next_hop(addr).ok_or(Error::NoRoute)?;
        let on_link = self.networks.iter().find(|network| network.is_on_link(next));
        let source = on_link.or(self.networks.first()).ok_or(Error::NoRoute)?;
        let local = SocketAddrV4::new(source.addr, local_port).into();
        let hop = match self.medium {
            Medium::Ethernet(_) => None,
            Medium::Ip => Some(Hop::default()),
        };
        self.tcp.connect(now, local, remote, hop, options)
    }

    /// Takes in a frame. Poll for output afterwards.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) -> Received {
        count(&mut self.counters.frames_in);
        let Medium::Ethernet(ours) = self.medium else {
            return self.handle_ipv4(now, frame, Hop::default(), false);
        };
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
            return Received::NotMine;
        };
        let to = ethernet.dst_addr();
        if to.is_unicast() && to.0 != ours.0 {
            return Received::NotMine;
        }
        // An answer to a group's address would be heard by all.
        let is_group = !to.is_unicast() || !is_station(ethernet.src_addr());
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.handle_arp(now, ethernet.payload()),
            EthernetProtocol::Ipv4 => self.handle_ipv4(now, ethernet.payload(), Hop(ethernet.src_addr().0), is_group),
            EthernetProtocol::Ipv6 | EthernetProtocol::Unknown(_) => Received::NotMine,
        }
    }

    fn handle_arp(&mut self, now: Instant, payload: &[u8]) -> Received {
        let repr = ArpPacket::new_checked(payload).and_then(|packet| ArpRepr::parse(&packet));
        if let Ok(ArpRepr::EthernetIpv4 { source_hardware_addr, source_protocol_addr, target_protocol_addr, .. }) = repr
        {
            let hop = Hop(source_hardware_addr.0);
            let is_sane = is_station(source_hardware_addr) && is_one_host(source_protocol_addr);
            if is_sane && self.is_ours(target_protocol_addr) {
                if self.neighbours.learn(source_protocol_addr, hop, now) {
                    self.tcp.neighbour_changed();
                }
            } else if is_sane && source_protocol_addr == target_protocol_addr {
                self.neighbours.update(source_protocol_addr, hop, now);
            }
        }
        Received::Observed
    }

    fn handle_ipv4(&mut self, now: Instant, packet: &[u8], hop: Hop, is_group: bool) -> Received {
        // Lengths are checked here; header options are stepped over by the header's own length.
        let Ok(ipv4) = Ipv4Packet::new_checked(packet) else {
            return Received::NotMine;
        };
        if ipv4.version() != 4 || ipv4.next_header() != IpProtocol::Tcp {
            return Received::NotMine;
        }
        let (src, dst) = (ipv4.src_addr(), ipv4.dst_addr());
        let is_shouted = self.is_shouted(dst);
        if !self.is_ours(dst) && !is_shouted {
            return Received::OtherTcp;
        }
        Received::Taken(match self.refuse(&ipv4, is_group || is_shouted) {
            Some(rule) => self.tcp.refuse(rule),
            None => {
                let arrival = Arrival { src: src.into(), dst: dst.into(), hop };
                self.tcp.handle_segment(now, &arrival, ipv4.payload())
            }
        })
    }

    /// What the IP layer must not let through to TCP.
    fn refuse(&mut self, ipv4: &Ipv4Packet<&[u8]>, is_to_group: bool) -> Option<Rule> {
        let is_checked = !self.checksum.is_verified_here() || is_header_right(ipv4);
        if usize::from(ipv4.header_len()) < IPV4_HEADER || !is_checked {
            return Some(Rule::Malformed);
        }
        if is_to_group || self.is_ours(ipv4.src_addr()) || self.is_shouted(ipv4.src_addr()) {
            return Some(Rule::NotAnswerable);
        }
        if ipv4.more_frags() || ipv4.frag_offset() != 0 {
            count(&mut self.counters.fragments);
            return Some(Rule::Fragment);
        }
        None
    }

    fn is_ours(&self, addr: Ipv4Addr) -> bool {
        self.networks.iter().any(|network| network.addr == addr)
    }

    /// Says whether an address means many hosts.
    fn is_shouted(&self, addr: Ipv4Addr) -> bool {
        let on_link = |network: &Network| network.is_broadcast(addr);
        addr.is_broadcast() || addr.is_multicast() || self.networks.iter().any(on_link)
    }

    /// The neighbour that leads to `addr`.
    fn next_hop(&self, addr: Ipv4Addr) -> Option<Ipv4Addr> {
        match self.medium {
            Medium::Ip => (!self.networks.is_empty()).then_some(addr),
            Medium::Ethernet(_) if self.networks.iter().any(|network| network.is_on_link(addr)) => Some(addr),
            // Without an address of ours there is nobody to ask for.
            Medium::Ethernet(_) if self.networks.is_empty() => None,
            Medium::Ethernet(_) => self.gateway,
        }
    }

    /// Does everything that is due at `now`. Poll for output afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tcp.handle_timeout(now);
        let unanswered = self.neighbours.handle_timeout(now);
        if unanswered > 0 {
            self.tcp.wake_unresolved_after(unanswered);
        }
    }

    /// Says what to do next. Call it again until it says [`LinkOutput::Timeout`].
    pub fn poll_output(&mut self, now: Instant) -> LinkOutput<'_, 's> {
        // Before what may have to wait for the device.
        if let Some(event) = self.tcp.poll_event(now) {
            return LinkOutput::Event(event);
        }
        loop {
            if let Some(addr) = self.neighbours.question() {
                return LinkOutput::Transmit(Frame { link: self, content: Content::ArpRequest(addr), now });
            }
            match self.tcp.next_output(now) {
                Next::Event(event) => return LinkOutput::Event(event),
                Next::Timeout(tcp) => return LinkOutput::Timeout(self.earlier_timeout(tcp)),
                Next::Transmit(what) => match self.route(what, now) {
                    Some(hop) => {
                        let content = Content::Segment(what, hop);
                        return LinkOutput::Transmit(Frame { link: self, content, now });
                    }
                    // The others go first.
                    None => self.tcp.transmit(what, now).defer(),
                },
            }
        }
    }

    /// Says whether [`Link::poll_output`] has more to say than a time.
    pub fn has_output(&self) -> bool {
        self.tcp.has_output() || self.neighbours.question().is_some()
    }

    /// Says when [`Link::handle_timeout`] is due and why, also while something waits to be transmitted.
    pub fn next_timeout(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let tcp = self.tcp.next_timeout(now);
        self.earlier_timeout(tcp)
    }

    fn earlier_timeout(&self, tcp: Option<(Instant, Timer)>) -> Option<(Instant, Timer)> {
        let neighbour = self.neighbours.next_timeout().map(|at| (at, Timer::Neighbour));
        [tcp, neighbour].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Where a segment goes; `None` while the answer to a question is awaited. A connection whose path is in doubt asks again;
    /// where no network and no router leads to the peer, its frames' source is all there is.
    fn route(&mut self, what: What, now: Instant) -> Option<Hop> {
        if self.medium == Medium::Ip {
            return Some(Hop::default());
        }
        let mut transmit = self.tcp.transmit(what, now);
        if let Some(hop) = transmit.hop() {
            return Some(hop);
        }
        let (last, is_doubted) = (transmit.last_hop(), transmit.is_path_doubted());
        let IpAddr::V4(remote) = transmit.remote().ip() else { return None };
        // An RST is the last word: it goes where the peer was last heard, and does not keep the slot waiting for an answer.
        let is_last_word = what.reset_reason().is_some();
        let found = match self.next_hop(remote) {
            Some(next) if !is_last_word => self.neighbours.resolve(next, now, is_doubted),
            // Not where nothing was ever heard.
            Some(_) | None => (last != Hop::default()).then_some(last),
        };
        if let Some(hop) = found {
            transmit = self.tcp.transmit(what, now);
            transmit.set_hop(hop);
        }
        found
    }
}

impl Frame<'_, '_> {
    /// Gives the frame's length in octets, link header included, check sequence not.
    #[allow(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        let header = self.link.medium.header_len();
        match self.content {
            Content::ArpRequest(_) => header + ARP_PACKET,
            Content::Segment(what, _) => header + IPV4_HEADER + self.link.tcp.len_of(what),
        }
    }

    /// Gives the reason, if the frame carries an RST.
    pub fn reset_reason(&self) -> Option<ResetReason> {
        match self.content {
            Content::ArpRequest(_) => None,
            Content::Segment(what, _) => what.reset_reason(),
        }
    }

    /// Writes the frame, and only now counts it as sent. Gives its length in octets.
    ///
    /// # Errors
    /// [`BufferTooSmall`] if `buf` is shorter than [`Frame::len`]; nothing is sent or lost then.
    pub fn emit(self, buf: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let len = self.len();
        let buf = buf.get_mut(..len).ok_or(BufferTooSmall)?;
        let Frame { link, content, now } = self;
        match content {
            Content::ArpRequest(addr) => link.emit_arp_request(addr, now, buf),
            Content::Segment(what, hop) => link.emit_segment(what, hop, now, buf)?,
        }
        count(&mut link.counters.frames_out);
        Ok(len)
    }
}

impl Link<'_> {
    fn emit_arp_request(&mut self, addr: Ipv4Addr, now: Instant, buf: &mut [u8]) {
        self.neighbours.asked(addr, now);
        count(&mut self.counters.arp_requests);
        let payload = self.medium.emit_header(buf, Hop([0xff; 6]), EthernetProtocol::Arp);
        let on_link = self.networks.iter().find(|network| network.is_on_link(addr));
        let Some(source) = on_link.or(self.networks.first()) else {
            return;
        };
        let Medium::Ethernet(ours) = self.medium else {
            return;
        };
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(ours.0),
            source_protocol_addr: source.addr,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: addr,
        };
        repr.emit(&mut ArpPacket::new_unchecked(payload));
    }

    fn emit_segment(&mut self, what: What, hop: Hop, now: Instant, buf: &mut [u8]) -> Result<(), BufferTooSmall> {
        let transmit = self.tcp.transmit(what, now);
        let (src, dst) = both_v4(transmit.local().ip(), transmit.remote().ip()).ok_or(BufferTooSmall)?;
        let packet = self.medium.emit_header(buf, hop, EthernetProtocol::Ipv4);
        let (_, segment) = packet.split_at_mut_checked(IPV4_HEADER).ok_or(BufferTooSmall)?;
        transmit.emit(segment)?;
        emit_ipv4_header(packet, src, dst, self.checksum);
        Ok(())
    }
}

impl Medium {
    fn header_len(self) -> usize {
        match self {
            Medium::Ethernet(_) => ETHERNET_HEADER,
            Medium::Ip => 0,
        }
    }

    /// Writes the link header, if the medium has one, and gives what comes behind it.
    fn emit_header(self, buf: &mut [u8], to: Hop, protocol: EthernetProtocol) -> &mut [u8] {
        let Medium::Ethernet(ours) = self else {
            return buf;
        };
        let (header, payload) = buf.split_at_mut(ETHERNET_HEADER.min(buf.len()));
        let mut frame = EthernetFrame::new_unchecked(header);
        frame.set_dst_addr(EthernetAddress(to.0));
        frame.set_src_addr(EthernetAddress(ours.0));
        frame.set_ethertype(protocol);
        payload
    }
}

/// Says whether an Ethernet address can be one station's.
fn is_station(addr: EthernetAddress) -> bool {
    addr.is_unicast() && addr.0 != [0; 6]
}

fn is_header_right(ipv4: &Ipv4Packet<&[u8]>) -> bool {
    let header = ipv4.as_ref().get(..usize::from(ipv4.header_len()));
    header.is_some_and(checksum::is_header_right)
}

/// Writes every octet of the header: nothing of an older frame in the buffer leaks (CVE-2020-7451). "Don't fragment" is set, so the
/// identification means nothing (RFC 6864 §4.1).
fn emit_ipv4_header(packet: &mut [u8], src: Ipv4Addr, dst: Ipv4Addr, by: ChecksumBy) {
    let total_len = packet.len() as u16;
    packet[..IPV4_HEADER].fill(0);
    let mut ipv4 = Ipv4Packet::new_unchecked(&mut *packet);
    ipv4.set_version(4);
    ipv4.set_header_len(IPV4_HEADER as u8);
    ipv4.set_total_len(total_len);
    ipv4.set_dont_frag(true);
    ipv4.set_hop_limit(HOP_LIMIT);
    ipv4.set_next_header(IpProtocol::Tcp);
    ipv4.set_src_addr(src);
    ipv4.set_dst_addr(dst);
    if by.is_filled_here() {
        let sum = checksum::of_header(&packet[..IPV4_HEADER]);
        packet[IPV4_CHECKSUM].copy_from_slice(&sum);
    }
}
