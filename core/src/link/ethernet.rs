//! Ethernet II: frames in, questions for neighbors out, our own address, the header.

use super::medium::Medium;
use super::neighbors::{Lesson, Question};
use super::receive::Received;
use super::state::Link;
use super::{arp, headers};
#[cfg(feature = "ipv6")]
use super::{ext_headers::ICMPV6, ndp};
use crate::counters::count;
use crate::time::Instant;
use crate::wire::addr::LinkAddr;
#[cfg(feature = "ipv6")]
use crate::wire::ecn::Codepoint;

/// Bytes of an Ethernet II header.
const HEADER: usize = 14;
/// The EtherType of ARP.
const ARP: u16 = 0x0806;
/// Where a frame for all goes.
const EVERYBODY: LinkAddr = LinkAddr([0xff; 6]);

/// A frame.
struct Frame<'f> {
    dst: LinkAddr,
    src: LinkAddr,
    ethertype: u16,
    payload: &'f [u8],
}

impl Frame<'_> {
    /// Reads a frame; `None` where it is shorter than its header.
    fn read(frame: &[u8]) -> Option<Frame<'_>> {
        let (dst, rest) = frame.split_first_chunk()?;
        let (src, rest) = rest.split_first_chunk()?;
        let (ethertype, payload) = rest.split_first_chunk()?;
        Some(Frame { dst: LinkAddr(*dst), src: LinkAddr(*src), ethertype: u16::from_be_bytes(*ethertype), payload })
    }
}

impl Link<'_> {
    /// Forgets what was learned about neighbors, because the cable may lead elsewhere now. Segments that waited for one ask anew.
    pub fn forget_neighbors(&mut self) {
        self.neighbors.forget_all();
        self.tcp.neighbor_changed();
    }

    /// Sets our own Ethernet address, where it became known or changed after [`Link::new`]. Without effect on plain IP.
    pub fn set_hardware_address(&mut self, ours: LinkAddr) {
        if let Medium::Ethernet(addr) = &mut self.medium {
            *addr = ours;
        }
    }

    /// Returns our own Ethernet address, if the medium has such.
    pub fn hardware_address(&self) -> Option<LinkAddr> {
        match self.medium {
            Medium::Ethernet(addr) => Some(addr),
            Medium::Ip => None,
        }
    }

    pub(super) fn handle_ethernet(&mut self, now: Instant, ours: LinkAddr, frame: &[u8]) -> Received {
        let Some(Frame { dst, src: link_addr, ethertype, payload }) = Frame::read(frame) else {
            return Received::NotMine;
        };
        let is_to_group = dst.is_group();
        if !is_to_group && dst != ours {
            return Received::NotMine;
        }
        // An answer to a group's address would be heard by all.
        let is_group = is_to_group || !link_addr.is_station();
        match ethertype {
            ARP => self.handle_arp(now, payload),
            headers::IPV4 => self.handle_ipv4(now, payload, link_addr, is_group),
            headers::IPV6 => self.handle_ipv6(now, payload, link_addr, is_group),
            _ => Received::NotMine,
        }
    }

    fn handle_arp(&mut self, now: Instant, payload: &[u8]) -> Received {
        if let Some(lesson) = arp::read(payload, |addr| self.addresses.is_ours(addr)) {
            self.learn(lesson, now);
        }
        Received::Observed
    }

    pub(super) fn learn(&mut self, lesson: Lesson, now: Instant) {
        if self.neighbors.learn(lesson, now) {
            self.tcp.neighbor_changed();
        }
    }

    pub(super) fn emit_question(&mut self, question: Question, now: Instant, buf: &mut [u8]) {
        let Question { addr, source } = question;
        self.neighbors.asked(addr, now);
        let Medium::Ethernet(ours) = self.medium else {
            // Asked for only there.
            return buf.fill(0);
        };
        if let (Some(source), Some(target)) = (source.as_v4(), addr.as_v4()) {
            count(&mut self.counters.arp_requests);
            let payload = self.medium.emit_header(buf, EVERYBODY, ARP);
            arp::emit_request(payload, ours, source, target);
        }
        #[cfg(feature = "ipv6")]
        if let (Some(source_v6), Some(target)) = (source.as_v6(), addr.as_v6()) {
            count(&mut self.counters.neighbor_solicitations);
            let (group, link_addr) = ndp::solicited_group(target);
            let packet = self.medium.emit_header(buf, link_addr, headers::IPV6);
            headers::emit_ipv6_header(packet, &source, &group, ICMPV6, ndp::FROM_LINK, Codepoint::NOT_ECT);
            ndp::emit_solicitation(&mut packet[headers::IPV6_HEADER..], ours, source_v6, target);
        }
    }
}

impl Question {
    /// Returns the bytes of the packet that asks.
    pub(super) fn len(&self) -> usize {
        #[cfg(feature = "ipv6")]
        if !self.addr.is_v4() {
            return headers::IPV6_HEADER + ndp::SOLICITATION_LEN;
        }
        arp::PACKET_LEN
    }
}

impl Medium {
    pub(super) fn header_len(self) -> usize {
        match self {
            Medium::Ethernet(_) => HEADER,
            Medium::Ip => 0,
        }
    }

    /// Writes the link header, if the medium has one, and returns what comes behind it: nothing in a buffer that is too short.
    pub(super) fn emit_header(self, buf: &mut [u8], to: LinkAddr, ethertype: u16) -> &mut [u8] {
        let Medium::Ethernet(ours) = self else {
            return buf;
        };
        let Some((dst, rest)) = buf.split_first_chunk_mut() else { return &mut [] };
        let Some((src, rest)) = rest.split_first_chunk_mut() else { return &mut [] };
        let Some((carried, payload)) = rest.split_first_chunk_mut() else { return &mut [] };
        (*dst, *src, *carried) = (to.0, ours.0, ethertype.to_be_bytes());
        payload
    }
}
