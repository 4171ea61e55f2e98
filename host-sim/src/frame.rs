//! Frames as the tool reads and makes them, apart from the crate under test.

use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet,
    TcpOption, TcpPacket, TcpSeqNumber,
};
use tcp_reset_core::{Control, Seq};

/// Time to live, or hop limit, of what we forge.
const HOP_LIMIT: u8 = 64;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Bytes of the timestamps option, and of its padding.
const TIMESTAMPS: usize = 12;

/// The control bits of RFC 3168, which no scenario tells a segment by.
const ECN_FLAGS: Control = Control::ECE.union(Control::CWR);
/// The ECN field's codepoints (RFC 3168 §5).
const NOT_ECT: u8 = 0b00;
const CE: u8 = 0b11;

/// What a ladder shows of a TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Who sent it.
    pub from: SocketAddr,
    /// Who gets it.
    pub to: SocketAddr,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK.
    pub ack: Seq,
    /// The control bits but ECE and CWR, see [`Congestion`].
    pub control: Control,
    /// SEG.WND.
    pub wnd: u16,
    /// Bytes of text.
    pub len: usize,
    /// TSval and TSecr, where there is the timestamps option.
    pub timestamps: Option<(u32, u32)>,
}

impl Seen {
    /// Reads a frame; `None` if it carries no TCP, or an IPv6 header that is followed by another than TCP's.
    pub fn parse(frame: &[u8]) -> Option<Seen> {
        let (src, dst, tcp) = tcp_of(frame)?;
        let control = Control::from_bits_truncate(tcp.as_ref()[13]) - ECN_FLAGS;
        Some(Seen {
            from: SocketAddr::new(src, tcp.src_port()),
            to: SocketAddr::new(dst, tcp.dst_port()),
            seq: Seq(tcp.seq_number().0 as u32),
            ack: Seq(tcp.ack_number().0 as u32),
            control,
            wnd: tcp.window_len(),
            len: tcp.payload().len(),
            timestamps: timestamps_of(&tcp),
        })
    }

    /// Returns whether exactly these control bits are set, PSH aside.
    pub fn is(&self, control: Control) -> bool {
        self.control.difference(Control::PSH) == control
    }

    /// Writes the frame somebody would forge: right addresses and checksums, any numbers, text of zeros.
    pub fn forge(&self, from_mac: [u8; 6], to_mac: [u8; 6]) -> Vec<u8> {
        let (from, to) = (self.from.ip().into(), self.to.ip().into());
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, self.header_len() + self.len, HOP_LIMIT);
        let ethertype = if self.from.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
        let mut buf = vec![0; EthernetFrame::<&[u8]>::buffer_len(ip.buffer_len())];
        let mut ethernet = EthernetFrame::new_unchecked(&mut buf);
        let header = EthernetRepr { src_addr: EthernetAddress(from_mac), dst_addr: EthernetAddress(to_mac), ethertype };
        header.emit(&mut ethernet);
        ip.emit(ethernet.payload_mut(), &ChecksumCapabilities::default());
        self.write_tcp(&mut ethernet.payload_mut()[ip.header_len()..]);
        buf
    }

    fn header_len(&self) -> usize {
        TCP_HEADER + if self.timestamps.is_some() { TIMESTAMPS } else { 0 }
    }

    fn write_tcp(&self, payload: &mut [u8]) {
        payload[13] = self.control.bits();
        let mut tcp = TcpPacket::new_unchecked(payload);
        tcp.set_src_port(self.from.port());
        tcp.set_dst_port(self.to.port());
        tcp.set_seq_number(TcpSeqNumber(self.seq.0 as i32));
        tcp.set_ack_number(TcpSeqNumber(self.ack.0 as i32));
        tcp.set_header_len(self.header_len() as u8);
        tcp.set_window_len(self.wnd);
        if let Some((tsval, tsecr)) = self.timestamps {
            // The rest, of zeros, ends the list.
            TcpOption::TimeStamp { tsval, tsecr }.emit(tcp.options_mut());
        }
        tcp.fill_checksum(&self.from.ip().into(), &self.to.ip().into());
    }
}

/// What a frame says of congestion (RFC 3168).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Congestion {
    /// Its packet may be marked instead of dropped: ECT.
    pub is_capable: bool,
    /// The receiver of marked payload says so.
    pub ece: bool,
    /// The sender says that it sends less.
    pub cwr: bool,
    /// It asks for ECN, or agrees.
    pub is_syn: bool,
}

impl Congestion {
    /// Reads a frame; `None` if it carries no TCP.
    pub fn parse(frame: &[u8]) -> Option<Congestion> {
        let (.., tcp) = tcp_of(frame)?;
        let control = Control::from_bits_truncate(tcp.as_ref()[13]);
        Some(Congestion {
            is_capable: ecn_field(frame) != NOT_ECT,
            ece: control.contains(Control::ECE),
            cwr: control.contains(Control::CWR),
            is_syn: control.contains(Control::SYN),
        })
    }

    /// Marks a frame's packet as a router does that has too much to forward; returns whether it may be marked.
    pub fn mark(frame: &mut [u8]) -> bool {
        if Congestion::parse(frame).is_none_or(|congestion| !congestion.is_capable) {
            return false;
        }
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        if ethernet.ethertype() == EthernetProtocol::Ipv4 {
            let mut ip = Ipv4Packet::new_unchecked(ethernet.payload_mut());
            ip.set_ecn(CE);
            ip.fill_checksum();
        } else {
            let mut ip = Ipv6Packet::new_unchecked(ethernet.payload_mut());
            ip.set_traffic_class(ip.traffic_class() | CE);
        }
        true
    }
}

fn ecn_field(frame: &[u8]) -> u8 {
    let ethernet = EthernetFrame::new_unchecked(frame);
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_unchecked(ethernet.payload()).ecn(),
        EthernetProtocol::Ipv6 => Ipv6Packet::new_unchecked(ethernet.payload()).traffic_class() & CE,
        EthernetProtocol::Arp | EthernetProtocol::Unknown(_) => NOT_ECT,
    }
}

/// TSval and TSecr of a segment; `None` where it has none, or options that make no sense before them.
fn timestamps_of(tcp: &TcpPacket<&[u8]>) -> Option<(u32, u32)> {
    let mut options = tcp.options();
    while let Ok((rest, option)) = TcpOption::parse(options) {
        if let TcpOption::TimeStamp { tsval, tsecr } = option {
            return Some((tsval, tsecr));
        }
        if option == TcpOption::EndOfList {
            return None;
        }
        options = rest;
    }
    None
}

/// The shift that a frame's window scale option says; `None` where it has none, or options that make no sense before it.
pub fn window_scale(frame: &[u8]) -> Option<u8> {
    let (_, _, tcp) = tcp_of(frame)?;
    let mut options = tcp.options();
    while let Ok((rest, option)) = TcpOption::parse(options) {
        if let TcpOption::WindowScale(shift) = option {
            return Some(shift);
        }
        if option == TcpOption::EndOfList {
            return None;
        }
        options = rest;
    }
    None
}

/// The TCP payload of a frame; nothing where it carries no TCP.
pub fn tcp_payload(frame: &[u8]) -> Vec<u8> {
    tcp_of(frame).map_or(Vec::new(), |(_, _, tcp)| tcp.payload().to_vec())
}

/// The length of a frame's TCP header, options included; 0 where it carries no TCP.
pub fn tcp_header_len(frame: &[u8]) -> usize {
    tcp_of(frame).map_or(0, |(_, _, tcp)| usize::from(tcp.header_len()))
}

/// A frame's addresses and its TCP segment; `None` where it carries none, or behind an IPv6 header that is followed by another than TCP's.
fn tcp_of(frame: &[u8]) -> Option<(IpAddr, IpAddr, TcpPacket<&[u8]>)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let (src, dst, protocol, payload): (IpAddr, IpAddr, _, _) = match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        }
        EthernetProtocol::Ipv6 => {
            let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        }
        EthernetProtocol::Arp | EthernetProtocol::Unknown(_) => return None,
    };
    let tcp = TcpPacket::new_checked(payload).ok()?;
    (protocol == IpProtocol::Tcp).then_some((src, dst, tcp))
}

/// Changes the TCP header or payload of a frame, and puts the checksum right. A frame without TCP stays as it is.
pub fn edit_tcp(frame: &mut [u8], change: impl FnOnce(&mut TcpPacket<&mut [u8]>)) {
    let Some(seen) = Seen::parse(frame) else { return };
    let mut ethernet = EthernetFrame::new_unchecked(frame);
    let change = |payload: &mut [u8]| {
        let mut tcp = TcpPacket::new_unchecked(payload);
        change(&mut tcp);
        tcp.fill_checksum(&seen.from.ip().into(), &seen.to.ip().into());
    };
    if seen.from.is_ipv4() {
        change(Ipv4Packet::new_unchecked(ethernet.payload_mut()).payload_mut());
    } else {
        change(Ipv6Packet::new_unchecked(ethernet.payload_mut()).payload_mut());
    }
}
