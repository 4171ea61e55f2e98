//! Frames in: what is TCP for us, what can be learned from, and what is for somebody else.

#[cfg(feature = "ipv6")]
use smoltcp::wire::Ipv6Packet;

#[cfg(feature = "ipv6")]
use super::ext_headers::{Behind, walk};
#[cfg(feature = "ipv6")]
use super::headers::Ipv6;
use super::headers::{self, Ipv4};
use super::icmp::{self, Undelivered};
#[cfg(feature = "ipv6")]
use super::icmpv6::{self, Message};
use super::medium::Medium;
use super::state::{Link, LinkCounters};
use crate::counters::count;
use crate::rules::verdict::{Rule, Verdict};
use crate::time::Instant;
use crate::wire::addr::{Addr, LinkAddr};
use crate::wire::ecn::Codepoint;

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Received {
    /// TCP for us: judged, nobody else may see it.
    Taken(Verdict),
    /// Noted here, and to be passed on: ARP, neighbor discovery, ICMP errors.
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
        match self.medium {
            #[cfg(feature = "ethernet")]
            Medium::Ethernet(ours) => self.handle_ethernet(now, ours, frame),
            Medium::Ip => match frame.first().map(|octet| octet >> 4) {
                Some(6) => self.handle_ipv6(now, frame, LinkAddr::default(), false),
                _ => self.handle_ipv4(now, frame, LinkAddr::default(), false),
            },
        }
    }

    pub(super) fn handle_ipv4(&mut self, now: Instant, packet: &[u8], link_addr: LinkAddr, is_group: bool) -> Received {
        let Some(ipv4) = Ipv4::read(packet) else { return Received::NotMine };
        if ipv4.protocol != headers::TCP {
            return if is_group { Received::NotMine } else { self.handle_icmp(now, &ipv4) };
        }
        let Ipv4 { src, dst, .. } = ipv4;
        let is_known = self.tcp.expects(&src, &dst);
        let is_to_many = !is_known && self.addresses.is_broadcast_or_multicast(dst);
        if !is_known && !is_to_many && !self.addresses.is_ours(dst) {
            return Received::OtherTcp;
        }
        let found = if !ipv4.is_header_right(self.checksum) {
            Err(Rule::Malformed)
        } else if ipv4.is_fragment {
            Err(Rule::Fragment)
        } else {
            Ok(ipv4.payload)
        };
        let is_answerable = !is_group && (is_known || !is_to_many && self.is_answerable(src));
        self.handle_tcp(now, (src, dst), (link_addr, ipv4.codepoint), found, is_answerable)
    }

    /// A whole ICMP error to us is looked at; everything that is not TCP is for the IP stack beside us.
    fn handle_icmp(&mut self, now: Instant, ipv4: &Ipv4<'_>) -> Received {
        let is_whole = !ipv4.is_fragment && ipv4.is_checksum_right();
        if ipv4.protocol != headers::ICMP || !is_whole || !self.addresses.is_ours(ipv4.dst) {
            return Received::NotMine;
        }
        match icmp::read(ipv4.payload) {
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
    pub(super) fn handle_ipv6(&mut self, now: Instant, packet: &[u8], link_addr: LinkAddr, is_group: bool) -> Received {
        let Some(ipv6) = Ipv6::read(packet) else { return Received::NotMine };
        let dst = ipv6.dst.unwrap_or(Addr::ZERO);
        let is_known = ipv6.src.is_some_and(|src| self.tcp.expects(&src, &dst));
        let is_ours = is_known || self.addresses.is_ours(dst);
        let is_to_many = !is_known && self.addresses.is_broadcast_or_multicast(dst);
        let found = match walk(ipv6.next, ipv6.payload) {
            Behind::Other => return Received::NotMine,
            Behind::Icmpv6(_) if !is_ours && !is_to_many => return Received::NotMine,
            Behind::Icmpv6(message) => return self.handle_icmpv6(now, packet, message, is_ours),
            // Nobody knows what it would have been.
            Behind::TooManyHeaders | Behind::CutShort if !is_ours => return Received::NotMine,
            Behind::Tcp(_) | Behind::TcpFragment if !is_ours && !is_to_many => {
                return Received::OtherTcp;
            }
            Behind::Tcp(segment) => Ok(segment),
            Behind::TcpFragment => Err(Rule::Fragment),
            Behind::TooManyHeaders => Err(Rule::TooManyHeaders),
            Behind::CutShort => Err(Rule::Malformed),
        };
        let src = ipv6.src.unwrap_or(Addr::ZERO);
        let is_from_host = is_known || ipv6.src.is_some_and(|src| self.is_answerable(src));
        let is_answerable = is_from_host && !is_group && !is_to_many;
        self.handle_tcp(now, (src, dst), (link_addr, ipv6.codepoint), found, is_answerable)
    }

    #[cfg(not(feature = "ipv6"))]
    pub(super) fn handle_ipv6(&mut self, _: Instant, _: &[u8], _: LinkAddr, _: bool) -> Received {
        Received::NotMine
    }

    #[cfg(feature = "ipv6")]
    fn handle_icmpv6(&mut self, now: Instant, packet: &[u8], message: &[u8], is_to_us: bool) -> Received {
        match icmpv6::read(&Ipv6Packet::new_unchecked(packet), message) {
            #[cfg(feature = "ethernet")]
            Message::Lesson(lesson) => self.learn(lesson, now),
            // Nobody sends such to a group.
            Message::Error(_) if !is_to_us => count(&mut self.counters.icmp_errors_ignored),
            Message::Error(undelivered) => return self.handle_undelivered(now, &undelivered),
            Message::Noted => {}
            Message::Other => return Received::NotMine,
        }
        Received::Observed
    }

    /// Returns whether a packet's source can be answered: it is neither ours nor many hosts'.
    fn is_answerable(&self, src: Addr) -> bool {
        !self.addresses.is_ours(src) && !self.addresses.is_broadcast_or_multicast(src)
    }

    /// A segment, or why there is none, on its way to the engine: the IP layer must not let everything through.
    fn handle_tcp(
        &mut self,
        now: Instant,
        addrs: (Addr, Addr),
        (link_addr, codepoint): (LinkAddr, Codepoint),
        found: Result<&[u8], Rule>,
        is_answerable: bool,
    ) -> Received {
        Received::Taken(match found {
            Err(Rule::Malformed) => self.tcp.refuse(Rule::Malformed),
            _ if !is_answerable => self.tcp.refuse(Rule::NotAnswerable),
            Ok(segment) => self.tcp.handle_segment_between(now, addrs, link_addr, codepoint, segment),
            Err(rule) => {
                if rule == Rule::Fragment {
                    count(&mut self.counters.fragments);
                }
                self.tcp.refuse(rule)
            }
        })
    }
}
