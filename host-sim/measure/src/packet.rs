//! Packets from a peer that is no stack, the same for both stacks.

use std::net::{IpAddr, SocketAddr};

use smoltcp_0_14::phy::ChecksumCapabilities;
use smoltcp_0_14::wire::{IpAddress, IpProtocol, IpRepr, IpVersion, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

/// Window of every such segment.
const WINDOW: u16 = 16_384;
/// MSS option of a SYN.
const MSS: u16 = 1_440;
const HOP_LIMIT: u8 = 64;

/// Header fields of a segment without data.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) is_syn: bool,
    pub(crate) seq: u32,
    pub(crate) ack: Option<u32>,
}

/// Writes a packet without data; a SYN has an MSS option.
pub(crate) fn write(from: SocketAddr, to: SocketAddr, numbers: Numbers) -> Vec<u8> {
    let (src, dst) = (addr_of(from.ip()), addr_of(to.ip()));
    let seq_number = |number: u32| TcpSeqNumber(number as i32);
    let tcp = TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control: if numbers.is_syn { TcpControl::Syn } else { TcpControl::None },
        seq_number: seq_number(numbers.seq),
        ack_number: numbers.ack.map(seq_number),
        window_len: WINDOW,
        window_scale: None,
        max_seg_size: numbers.is_syn.then_some(MSS),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = IpRepr::new(src, dst, IpProtocol::Tcp, tcp.buffer_len(), HOP_LIMIT);
    let mut packet = vec![0; ip.buffer_len()];
    ip.emit(&mut packet[..], &ChecksumCapabilities::default());
    let mut segment = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
    tcp.emit(&mut segment, &src, &dst, &ChecksumCapabilities::default());
    packet
}

/// Converts an address to smoltcp's type, which has only the families it is built for.
pub(crate) fn addr_of(addr: IpAddr) -> IpAddress {
    match addr {
        IpAddr::V4(addr) => IpAddress::Ipv4(addr),
        #[cfg(feature = "ipv6")]
        IpAddr::V6(addr) => IpAddress::Ipv6(addr),
        #[cfg(not(feature = "ipv6"))]
        IpAddr::V6(_) => unreachable!("this build speaks IPv4 alone"),
    }
}

/// Returns a packet's sequence number.
pub(crate) fn seq_of(packet: &[u8]) -> u32 {
    TcpPacket::new_unchecked(segment_of(packet)).seq_number().0 as u32
}

/// Returns whether a packet carries an RST.
pub(crate) fn is_rst(packet: &[u8]) -> bool {
    TcpPacket::new_unchecked(segment_of(packet)).rst()
}

/// Returns the TCP segment. Neither stack writes IP options or extension headers.
fn segment_of(packet: &[u8]) -> &[u8] {
    let header = match IpVersion::of_packet(packet) {
        Ok(IpVersion::Ipv4) => 20,
        _ => 40,
    };
    &packet[header..]
}
