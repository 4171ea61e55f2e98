//! Router advertisements on their way to embassy-net, which believes any lifetime: one forged frame could take our address away, and with it
//! every connection. RFC 4862 §5.5.3 (e) forbids that: nobody shortens a prefix's life to less than two hours.

use core::ops::Range;

use heapless::Vec;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, Ipv6Address, Ipv6Packet};

use crate::link::ext_headers::{Behind, walk};
use crate::link::ndp::FROM_LINK;
use crate::time::Instant;

/// How many prefixes are minded: as many as smoltcp can be built to keep.
const PREFIXES: usize = 8;
/// What an advertisement that is not authenticated may shorten a life to.
const LEAST_SECONDS: u64 = 2 * 60 * 60;
/// Where the options stand in an advertisement, and the unit of their lengths.
const OPTIONS: usize = 16;
const UNIT: usize = 8;
/// The option that tells a prefix, its length in units, and the flag that addresses may be made of it (RFC 4861 §4.6.2).
const PREFIX_INFORMATION: [u8; 2] = [3, 4];
const AUTONOMOUS: u8 = 0x40;
const VALID: Range<usize> = 4..8;
const PREFERRED: Range<usize> = 8..12;
const PREFIX: Range<usize> = 16..32;

/// A prefix that was advertised, and until when it is good.
struct Known {
    prefix: [u8; 16],
    until: Instant,
}

pub(super) struct Guard {
    known: Vec<Known, PREFIXES>,
}

impl Guard {
    pub(super) const fn new() -> Guard {
        Guard { known: Vec::new() }
    }

    /// Sees to it that an advertisement in an Ethernet frame says of each prefix what may be believed.
    pub(super) fn pass(&mut self, frame: &mut [u8], now: Instant) {
        let Some(Advertisement { at, src, dst }) = find(frame) else { return };
        let message = &mut frame[at];
        let mut rest = &mut message[OPTIONS..];
        let mut has_changed = false;
        while let [kind, len, ..] = *rest {
            // What has no length ends the list for embassy-net's stack too.
            let Some((option, others)) = rest.split_at_mut_checked(UNIT * usize::from(len)).filter(|_| len > 0) else {
                return;
            };
            if [kind, len] == PREFIX_INFORMATION && option[3] & AUTONOMOUS != 0 {
                has_changed |= self.mind(option, now);
            }
            rest = others;
        }
        if has_changed {
            Icmpv6Packet::new_unchecked(message).fill_checksum(&src, &dst);
        }
    }

    /// Brings an option's lifetimes to what may be believed; returns whether they were others.
    fn mind(&mut self, option: &mut [u8], now: Instant) -> bool {
        let (Some(told), Some(prefix)) = (option[VALID].first_chunk(), option[PREFIX].first_chunk()) else {
            return false;
        };
        let (told, prefix) = (u32::from_be_bytes(*told), *prefix);
        let granted = self.grant(prefix, told, now);
        if granted == told {
            return false;
        }
        option[VALID].copy_from_slice(&granted.to_be_bytes());
        if option[PREFERRED] < granted.to_be_bytes()[..] {
            option[PREFERRED].copy_from_slice(&granted.to_be_bytes());
        }
        true
    }

    /// The lifetime in seconds that counts instead of the one that is told. What is unknown, or over, is good for as long as is said.
    fn grant(&mut self, prefix: [u8; 16], told: u32, now: Instant) -> u32 {
        self.known.retain(|known| known.until > now);
        let at = self.known.iter().position(|known| known.prefix == prefix);
        let left = at.map_or(0, |at| self.known[at].until.duration_since(now).as_millis().div_ceil(1_000) as u64);
        let granted = u64::from(told).max(left.min(LEAST_SECONDS));
        let until = Instant::from_micros(now.as_micros().saturating_add(granted.saturating_mul(1_000_000)));
        match at {
            // Told less than the little that is left: that stays as it is.
            Some(_) if granted == left => {}
            Some(at) => self.known[at].until = until,
            // Nor does embassy-net's stack keep more.
            None => drop(self.known.push(Known { prefix, until })),
        }
        granted as u32
    }
}

/// An advertisement's place in its frame, and its packet's addresses.
struct Advertisement {
    at: Range<usize>,
    src: Ipv6Address,
    dst: Ipv6Address,
}

/// Finds an advertisement that is whole and of this link; any other frame is none.
fn find(frame: &[u8]) -> Option<Advertisement> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv6 {
        return None;
    }
    let ipv6 = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
    let Behind::Icmpv6(message) = walk(ipv6.next_header().into(), ipv6.payload()) else { return None };
    let (src, dst) = (ipv6.src_addr(), ipv6.dst_addr());
    let icmp = Icmpv6Packet::new_checked(message).ok()?;
    let is_from_link = ipv6.hop_limit() == FROM_LINK;
    if icmp.msg_type() != Icmpv6Message::RouterAdvert || !is_from_link || !icmp.verify_checksum(&src, &dst) {
        return None;
    }
    // The message is what the packet ends with.
    let end = EthernetFrame::<&[u8]>::header_len() + ipv6.total_len();
    Some(Advertisement { at: end - message.len()..end, src, dst })
}
