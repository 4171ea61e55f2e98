//! Frames in: what is TCP for us, what can be learned from, and what is for somebody else.

#[cfg(feature = "ipv6")]
use smoltcp::wire::Ipv6Packet;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet};

#[cfg(feature = "ipv6")]
use super::ext_headers::{Behind, walk};
use super::icmp::Undelivered;
use super::medium::Medium;
#[cfg(feature = "ipv6")]
use super::ndp::{self, Message};
use super::neighbors::Lesson;
use super::state::{Link, LinkCounters};
use super::{arp, headers, icmp};
use crate::counters::count;
use crate::rules::verdict::{Rule, Verdict};
use crate::time::Instant;
use crate::wire::addr::{Addr, Hop};
use crate::wire::checksum;

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

impl Link<'_> {
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
        let is_group = !to.is_unicast() || !hop.is_station();
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
        let is_broadcast_or_multicast = self.addresses.is_broadcast_or_multicast(dst);
        if !is_broadcast_or_multicast && !self.addresses.is_ours(dst) {
            return Received::OtherTcp;
        }
        let is_checked = !self.checksum.is_verified_here() || is_header_right(&ipv4);
        let found = if usize::from(ipv4.header_len()) < headers::IPV4_HEADER || !is_checked {
            Err(Rule::Malformed)
        } else if ipv4.more_frags() || ipv4.frag_offset() != 0 {
            Err(Rule::Fragment)
        } else {
            Ok(ipv4.payload())
        };
        self.handle_tcp(now, (src, dst), hop, found, is_group || is_broadcast_or_multicast)
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
        let (is_ours, is_broadcast_or_multicast) =
            (self.addresses.is_ours(dst), self.addresses.is_broadcast_or_multicast(dst));
        let found = match walk(ipv6.next_header().into(), ipv6.payload()) {
            Behind::Other => return Received::NotMine,
            Behind::Icmpv6(_) if !is_ours && !is_broadcast_or_multicast => return Received::NotMine,
            Behind::Icmpv6(message) => return self.handle_icmpv6(now, &ipv6, message, is_ours),
            // Nobody knows what it would have been.
            Behind::TooManyHeaders | Behind::CutShort if !is_ours => return Received::NotMine,
            Behind::Tcp(_) | Behind::TcpFragment if !is_ours && !is_broadcast_or_multicast => {
                return Received::OtherTcp;
            }
            Behind::Tcp(segment) => Ok(segment),
            Behind::TcpFragment => Err(Rule::Fragment),
            Behind::TooManyHeaders => Err(Rule::TooManyHeaders),
            Behind::CutShort => Err(Rule::Malformed),
        };
        let between = (src.unwrap_or(Addr::ZERO), dst);
        self.handle_tcp(now, between, hop, found, is_group || is_broadcast_or_multicast || src.is_none())
    }

    #[cfg(not(feature = "ipv6"))]
    fn handle_ipv6(&mut self, _now: Instant, _packet: &[u8], _hop: Hop, _is_group: bool) -> Received {
        Received::NotMine
    }

    #[cfg(feature = "ipv6")]
    fn handle_icmpv6(&mut self, now: Instant, packet: &Ipv6Packet<&[u8]>, message: &[u8], is_to_us: bool) -> Received {
        match ndp::read(packet, message) {
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
    fn handle_tcp(
        &mut self,
        now: Instant,
        (src, dst): (Addr, Addr),
        hop: Hop,
        found: Result<&[u8], Rule>,
        is_unanswerable: bool,
    ) -> Received {
        let is_answerable =
            !is_unanswerable && !self.addresses.is_ours(src) && !self.addresses.is_broadcast_or_multicast(src);
        Received::Taken(match found {
            Err(Rule::Malformed) => self.tcp.refuse(Rule::Malformed),
            _ if !is_answerable => self.tcp.refuse(Rule::NotAnswerable),
            Ok(segment) => self.tcp.handle_segment_between(now, src, dst, hop, segment),
            Err(rule) => {
                if rule == Rule::Fragment {
                    count(&mut self.counters.fragments);
                }
                self.tcp.refuse(rule)
            }
        })
    }
}

fn is_header_right(ipv4: &Ipv4Packet<&[u8]>) -> bool {
    let header = ipv4.as_ref().get(..usize::from(ipv4.header_len()));
    header.is_some_and(checksum::is_right)
}
