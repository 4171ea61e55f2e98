//! Frames to and from segments: Ethernet II with ARP, IPv4 and IPv6, or plain IP for a TUN device.
//!
//! [`Link`] wraps the engine for users who hold frames. It takes what is TCP for our addresses, notes what it can learn from, and says
//! about everything else that it is not for us. It answers no ARP request, no neighbour solicitation and no ping: that is left to the IP
//! stack beside it.

mod addresses;
mod arp;
#[cfg(feature = "ipv6")]
mod chain;
#[cfg(feature = "ipv6")]
mod discovery;
mod emit;
mod icmp;
mod neighbours;

use core::net::{IpAddr, SocketAddr};

#[cfg(feature = "ipv6")]
use smoltcp::wire::Ipv6Packet;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet};

pub(crate) use self::addresses::Addresses;
#[cfg(feature = "ipv6")]
pub(crate) use self::chain::{Behind, walk};
#[cfg(feature = "slaac")]
pub(crate) use self::discovery::FROM_LINK;
#[cfg(feature = "ipv6")]
use self::discovery::Message;
use self::icmp::Undelivered;
use self::neighbours::{Lesson, Neighbours};
use crate::addr::Addr;
use crate::checksum;
use crate::config::{ChecksumBy, StreamOptions};
use crate::output::{ConnectionHandle, Error, Event, Hop};
use crate::record::count;
use crate::segment::BufferTooSmall;
use crate::tcb::Tuple;
use crate::tcp::{Path, Tcp};
use crate::time::Instant;
use crate::transmit::{Next, What};
use crate::verdict::{ResetReason, Rule, Timer, Verdict};

pub use self::addresses::{Interface, MAX_ADDRESSES};
#[cfg(feature = "ipv6")]
pub use self::chain::MAX_EXTENSION_HEADERS;

/// Where a frame for all goes.
const EVERYBODY: Hop = Hop([0xff; 6]);

/// What frames look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Medium {
    /// Ethernet II frames without check sequence; our own address.
    Ethernet(Hop),
    /// IP packets alone.
    Ip,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Received {
    /// TCP for us: judged, nobody else may see it.
    Taken(Verdict),
    /// Noted here, and to be passed on: ARP, neighbour discovery, ICMP errors.
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
    /// IPv4 addresses asked for on the link.
    pub arp_requests: u32,
    /// IPv6 addresses asked for on the link.
    pub neighbour_solicitations: u32,
    /// ICMP errors about a segment that a connection of ours has in flight. None ends it; "fragmentation needed" and "packet too big" make
    /// its segments smaller.
    pub icmp_errors: u32,
    /// ICMP errors about anything else, forged ones perhaps: they change nothing (RFC 5927 §4.1).
    pub icmp_errors_ignored: u32,
}

/// The engine behind frames. The contract is [`Tcp`]'s, with frames for segments.
pub struct Link<'s> {
    tcp: Tcp<'s>,
    medium: Medium,
    checksum: ChecksumBy,
    addresses: Addresses,
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
    /// Who has this address? Tell this one of ours.
    Question {
        addr: Addr,
        source: Addr,
    },
    Segment(What, Hop),
}

impl<'s> Link<'s> {
    /// Wraps an engine. `checksum` says who checks and fills in the IPv4 header's; TCP's is a setting of the engine.
    pub fn new(tcp: Tcp<'s>, medium: Medium, checksum: ChecksumBy) -> Link<'s> {
        Link {
            tcp,
            medium,
            checksum,
            addresses: Addresses::new(),
            neighbours: Neighbours::new(),
            counters: LinkCounters::default(),
        }
    }

    /// Sets our addresses, of either family, and the routers for everything beyond their networks, at most one for each family.
    ///
    /// Connections are opened from the first IPv4 address on the next hop's network (on plain IP the peer's), or else the first; from the
    /// IPv6 address that RFC 6724 prefers. Connections on an address that is no longer ours end with
    /// [`crate::CloseReason::AddressLost`]; nothing can be sent from it, so their peers learn it when they speak to the address's next
    /// owner, or by their own timers. Listeners stay.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] if there are more than [`MAX_ADDRESSES`], or two routers of one family, or one cannot be a host's on
    /// a link, is shorter than its prefix or is of a family this build does not speak; the former ones stay then.
    pub fn set_addresses(
        &mut self,
        interfaces: &[Interface],
        routers: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), Error> {
        let mut addresses = Addresses::new();
        for Interface { addr, prefix } in interfaces {
            addresses.add(Addr::of(*addr).ok_or(Error::InvalidAddress)?, *prefix)?;
        }
        for router in routers {
            addresses.add_router(Addr::of(router).ok_or(Error::InvalidAddress)?)?;
        }
        self.use_addresses(addresses);
        Ok(())
    }

    pub(crate) fn use_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
        let addresses = &self.addresses;
        self.tcp.keep_addresses(|addr| addresses.is_ours(addr));
        self.forget_neighbours();
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

    /// Gives our own Ethernet address, if the medium has such.
    pub fn hardware_address(&self) -> Option<Hop> {
        match self.medium {
            Medium::Ethernet(addr) => Some(addr),
            Medium::Ip => None,
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

    /// Checks what must always hold: see [`Tcp::audit`]. Whatever waits for a neighbor is asked for, or its question has a timer.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn audit(&self) -> Result<(), &'static str> {
        self.tcp.audit()?;
        if self.tcp.has_unresolved() && !self.neighbours.is_asking() {
            return Err("a slot waits for a neighbor that nobody asks for");
        }
        Ok(())
    }

    /// Gives the counters.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Opens a connection from the address of ours that suits the peer: see [`Link::set_addresses`] and [`Tcp::connect`].
    ///
    /// # Errors
    /// [`Error::NoRoute`], [`Error::InvalidAddress`] also for our own addresses, loopback, a network's broadcast address and another
    /// zone's link-local ones, and those of [`Tcp::connect`].
    pub fn connect(
        &mut self,
        now: Instant,
        local_port: u16,
        remote: SocketAddr,
        options: StreamOptions,
    ) -> Result<ConnectionHandle, Error> {
        let addr = self.tcp.addr_of(remote)?;
        if !addr.is_one_host() || addr.is_loopback() || self.addresses.is_ours(addr) || self.addresses.is_shouted(addr)
        {
            return Err(Error::InvalidAddress);
        }
        let next = self.next_hop(addr).ok_or(Error::NoRoute)?;
        let source = self.addresses.source_for(addr, next).ok_or(Error::NoRoute)?;
        let local = SocketAddr::new(source.ip(), local_port);
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
            return match frame.first().map(|octet| octet >> 4) {
                Some(6) => self.handle_ipv6(now, frame, Hop::default(), false),
                _ => self.handle_ipv4(now, frame, Hop::default(), false),
            };
        };
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
            return Received::NotMine;
        };
        let to = ethernet.dst_addr();
        if to.is_unicast() && to.0 != ours.0 {
            return Received::NotMine;
        }
        let hop = Hop(ethernet.src_addr().0);
        // An answer to a group's address would be heard by all.
        let is_group = !to.is_unicast() || !is_station(hop);
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.handle_arp(now, ethernet.payload()),
            EthernetProtocol::Ipv4 => self.handle_ipv4(now, ethernet.payload(), hop, is_group),
            EthernetProtocol::Ipv6 => self.handle_ipv6(now, ethernet.payload(), hop, is_group),
            EthernetProtocol::Unknown(_) => Received::NotMine,
        }
    }

    fn handle_arp(&mut self, now: Instant, payload: &[u8]) -> Received {
        if let Some(lesson) = arp::read(payload, |addr| self.addresses.is_ours(addr)) {
            self.learn(lesson, now);
        }
        Received::Observed
    }

    fn learn(&mut self, lesson: Lesson, now: Instant) {
        if self.neighbours.learn(lesson, now) {
            self.tcp.neighbour_changed();
        }
    }

    fn handle_ipv4(&mut self, now: Instant, packet: &[u8], hop: Hop, is_group: bool) -> Received {
        // Lengths are checked here; header options are stepped over by the header's own length.
        let Ok(ipv4) = Ipv4Packet::new_checked(packet) else {
            return Received::NotMine;
        };
        if ipv4.version() != 4 || ipv4.next_header() != IpProtocol::Tcp {
            return if is_group { Received::NotMine } else { self.handle_icmp(now, &ipv4) };
        }
        let (src, dst) = (Addr::v4(ipv4.src_addr()), Addr::v4(ipv4.dst_addr()));
        let is_shouted = self.addresses.is_shouted(dst);
        if !is_shouted && !self.addresses.is_ours(dst) {
            return Received::OtherTcp;
        }
        let is_checked = !self.checksum.is_verified_here() || is_header_right(&ipv4);
        let found = if usize::from(ipv4.header_len()) < emit::IPV4_HEADER || !is_checked {
            Err(Rule::Malformed)
        } else if ipv4.more_frags() || ipv4.frag_offset() != 0 {
            Err(Rule::Fragment)
        } else {
            Ok(ipv4.payload())
        };
        self.handle_tcp(now, Path::new(src, dst, hop), found, is_group || is_shouted)
    }

    /// A whole ICMP error to us is looked at; everything that is not TCP is for the IP stack beside us.
    fn handle_icmp(&mut self, now: Instant, ipv4: &Ipv4Packet<&[u8]>) -> Received {
        let is_whole = !ipv4.more_frags() && ipv4.frag_offset() == 0 && is_header_right(ipv4);
        let is_icmp = ipv4.version() == 4 && ipv4.next_header() == IpProtocol::Icmp;
        if !is_icmp || !is_whole || !self.addresses.is_ours(Addr::v4(ipv4.dst_addr())) {
            return Received::NotMine;
        }
        match icmp::read(ipv4.payload()) {
            Some(undelivered) => self.handle_undelivered(now, &undelivered),
            None => Received::NotMine,
        }
    }

    fn handle_undelivered(&mut self, now: Instant, undelivered: &Undelivered) -> Received {
        let Undelivered { tuple, seq, mtu } = undelivered;
        let is_believed = self.tcp.handle_undelivered(now, tuple, *seq, *mtu);
        let LinkCounters { icmp_errors, icmp_errors_ignored, .. } = &mut self.counters;
        count(if is_believed { icmp_errors } else { icmp_errors_ignored });
        Received::Observed
    }

    #[cfg(feature = "ipv6")]
    fn handle_ipv6(&mut self, now: Instant, packet: &[u8], hop: Hop, is_group: bool) -> Received {
        let Ok(ipv6) = Ipv6Packet::new_checked(packet) else {
            return Received::NotMine;
        };
        if ipv6.version() != 6 {
            return Received::NotMine;
        }
        // An IPv4 address in IPv6 guise is nobody's here.
        let (src, dst) = (Addr::v6(ipv6.src_addr()), Addr::v6(ipv6.dst_addr()).unwrap_or(Addr::ZERO));
        let (is_ours, is_shouted) = (self.addresses.is_ours(dst), self.addresses.is_shouted(dst));
        let found = match walk(ipv6.next_header().into(), ipv6.payload()) {
            Behind::Other => return Received::NotMine,
            Behind::Icmpv6(_) if !is_ours && !is_shouted => return Received::NotMine,
            Behind::Icmpv6(message) => return self.handle_icmpv6(now, &ipv6, message, is_ours),
            // Nobody knows what it would have been.
            Behind::TooManyHeaders | Behind::CutShort if !is_ours => return Received::NotMine,
            Behind::Tcp(_) | Behind::TcpFragment if !is_ours && !is_shouted => return Received::OtherTcp,
            Behind::Tcp(segment) => Ok(segment),
            Behind::TcpFragment => Err(Rule::Fragment),
            Behind::TooManyHeaders => Err(Rule::TooManyHeaders),
            Behind::CutShort => Err(Rule::Malformed),
        };
        let path = Path::new(src.unwrap_or(Addr::ZERO), dst, hop);
        self.handle_tcp(now, path, found, is_group || is_shouted || src.is_none())
    }

    #[cfg(not(feature = "ipv6"))]
    fn handle_ipv6(&mut self, _now: Instant, _packet: &[u8], _hop: Hop, _is_group: bool) -> Received {
        Received::NotMine
    }

    #[cfg(feature = "ipv6")]
    fn handle_icmpv6(&mut self, now: Instant, packet: &Ipv6Packet<&[u8]>, message: &[u8], is_to_us: bool) -> Received {
        match discovery::read(packet, message) {
            Message::Lesson(lesson) => self.learn(lesson, now),
            // Nobody sends such to a group.
            Message::Error(_) if !is_to_us => count(&mut self.counters.icmp_errors_ignored),
            Message::Error(undelivered) => return self.handle_undelivered(now, &undelivered),
            Message::Noted => {}
            Message::Other => return Received::NotMine,
        }
        Received::Observed
    }

    /// A segment, or why there is none, on its way to the engine: the IP layer must not let everything through.
    fn handle_tcp(&mut self, now: Instant, path: Path, found: Result<&[u8], Rule>, is_unanswerable: bool) -> Received {
        let src = path.tuple.remote_addr;
        let is_answerable = !is_unanswerable && !self.addresses.is_ours(src) && !self.addresses.is_shouted(src);
        Received::Taken(match found {
            Err(Rule::Malformed) => self.tcp.refuse(Rule::Malformed),
            _ if !is_answerable => self.tcp.refuse(Rule::NotAnswerable),
            Ok(segment) => self.tcp.handle_segment_on(now, path, segment),
            Err(rule) => {
                if rule == Rule::Fragment {
                    count(&mut self.counters.fragments);
                }
                self.tcp.refuse(rule)
            }
        })
    }

    /// The neighbour that leads to `addr`.
    fn next_hop(&self, addr: Addr) -> Option<Addr> {
        match self.medium {
            Medium::Ip => self.addresses.speaks_family_of(addr).then_some(addr),
            Medium::Ethernet(_) => self.addresses.next_hop(addr),
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
            if let Some((addr, source)) = self.neighbours.question() {
                return LinkOutput::Transmit(Frame { link: self, content: Content::Question { addr, source }, now });
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
        let Tuple { local_addr: local, remote_addr: remote, .. } = *what.tuple(&self.tcp);
        // An RST is the last word: it goes where the peer was last heard, and does not keep the slot waiting for an answer.
        let is_last_word = what.reset_reason().is_some();
        let was_heard = (last != Hop::default()).then_some(last);
        let found = match self.next_hop(remote) {
            Some(next) if !is_last_word => self.neighbours.resolve(next, local, now, is_doubted),
            Some(next) => was_heard.or_else(|| self.neighbours.known(next, now)),
            None => was_heard,
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
            Content::Question { addr, .. } => header + question_len(addr),
            Content::Segment(what, _) => {
                let ip_header = match cfg!(feature = "ipv6") {
                    true => emit::ip_header_len(what.tuple(&self.link.tcp).remote_addr),
                    false => emit::IPV4_HEADER,
                };
                header + ip_header + self.link.tcp.len_of(what)
            }
        }
    }

    /// Gives the reason, if the frame carries an RST.
    pub fn reset_reason(&self) -> Option<ResetReason> {
        match self.content {
            Content::Question { .. } => None,
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
            Content::Question { addr, source } => link.emit_question(addr, source, now, buf),
            Content::Segment(what, hop) => link.emit_segment(what, hop, now, buf)?,
        }
        count(&mut link.counters.frames_out);
        Ok(len)
    }
}

impl Link<'_> {
    fn emit_question(&mut self, addr: Addr, source: Addr, now: Instant, buf: &mut [u8]) {
        self.neighbours.asked(addr, now);
        let Medium::Ethernet(ours) = self.medium else {
            // Asked for only there.
            return buf.fill(0);
        };
        if let (Some(source), Some(target)) = (source.as_v4(), addr.as_v4()) {
            count(&mut self.counters.arp_requests);
            let payload = self.medium.emit_header(buf, EVERYBODY, EthernetProtocol::Arp);
            arp::emit_request(payload, ours, source, target);
        }
        #[cfg(feature = "ipv6")]
        if let (Some(source), Some(target)) = (source.as_v6(), addr.as_v6()) {
            count(&mut self.counters.neighbour_solicitations);
            let (group, hop) = discovery::solicited_group(target);
            let packet = self.medium.emit_header(buf, hop, EthernetProtocol::Ipv6);
            emit::emit_ipv6_header(packet, source, group, IpProtocol::Icmpv6, discovery::FROM_LINK);
            discovery::emit_solicitation(&mut packet[emit::IPV6_HEADER..], ours, source, target);
        }
    }

    fn emit_segment(&mut self, what: What, hop: Hop, now: Instant, buf: &mut [u8]) -> Result<(), BufferTooSmall> {
        let Tuple { local_addr, remote_addr, .. } = *what.tuple(&self.tcp);
        let packet = self.medium.emit_header(buf, hop, emit::ethertype(remote_addr));
        let (_, segment) = packet.split_at_mut_checked(emit::ip_header_len(remote_addr)).ok_or(BufferTooSmall)?;
        self.tcp.transmit(what, now).emit(segment)?;
        emit::emit_ip_header(packet, local_addr, remote_addr, self.checksum);
        Ok(())
    }
}

/// Octets of the packet that asks for an address.
fn question_len(addr: Addr) -> usize {
    #[cfg(feature = "ipv6")]
    if !addr.is_v4() {
        return emit::IPV6_HEADER + discovery::SOLICITATION_LEN;
    }
    let _ = addr;
    arp::PACKET_LEN
}

/// Says whether a link address can be one station's.
fn is_station(hop: Hop) -> bool {
    EthernetAddress(hop.0).is_unicast() && hop != Hop::default()
}

fn is_header_right(ipv4: &Ipv4Packet<&[u8]>) -> bool {
    let header = ipv4.as_ref().get(..usize::from(ipv4.header_len()));
    header.is_some_and(checksum::is_right)
}
