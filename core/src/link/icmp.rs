//! ICMP errors over IPv4 (RFC 792), as far as they quote a segment of ours.

use smoltcp::wire::{IPV4_HEADER_LEN, Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet};

use crate::wire::addr::{Addr, Tuple};
use crate::wire::seq::Seq;
use crate::wire::{checksum, segment};

/// What is assumed of a path whose router does not say what it carries: every host must take as much (RFC 1191 §5, RFC 791 §3.2).
const MTU_OF_OLD_ROUTERS: u32 = 576;

/// What an ICMP error of either family says about a segment of ours.
pub(super) struct Undelivered {
    pub(super) tuple: Tuple,
    pub(super) seq: Seq,
    /// What the next link carries, in bytes, if the packet was too big for it.
    pub(super) mtu: Option<u32>,
}

/// Returns what an error says about a segment of ours. Any other message says nothing.
pub(super) fn read(message: &[u8]) -> Option<Undelivered> {
    let icmp = Icmpv4Packet::new_checked(message).ok()?;
    let is_error = matches!(
        icmp.msg_type(),
        Icmpv4Message::DstUnreachable | Icmpv4Message::TimeExceeded | Icmpv4Message::ParamProblem
    );
    if !is_error || !checksum::is_right(message) {
        return None;
    }
    // Cut off behind the first bytes of the segment: the lengths in it are no longer true.
    let quote = message.get(8..)?;
    let header = quote.get(..IPV4_HEADER_LEN).map(Ipv4Packet::new_unchecked)?;
    let is_segment = header.version() == 4 && header.next_header() == IpProtocol::Tcp && header.frag_offset() == 0;
    let segment = quote.get(usize::from(header.header_len())..)?;
    let (local_port, remote_port, seq) = segment::names(segment).filter(|_| is_segment)?;
    let (local_addr, remote_addr) = (Addr::v4(header.src_addr()), Addr::v4(header.dst_addr()));
    let is_too_big = icmp.msg_type() == Icmpv4Message::DstUnreachable
        && icmp.msg_code() == u8::from(Icmpv4DstUnreachable::FragRequired);
    let told = u32::from(u16::from_be_bytes([message[6], message[7]]));
    let mtu = is_too_big.then_some(if told == 0 { MTU_OF_OLD_ROUTERS } else { told });
    Some(Undelivered { tuple: Tuple { local_addr, remote_addr, local_port, remote_port }, seq, mtu })
}
