//! Frames as the tool reads and makes them, apart from the crate under test.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol,
    Ipv4Packet, TcpPacket, TcpSeqNumber,
};
use tcp_reset_core::{Control, Seq};

/// Octets of Ethernet and IPv4 headers in front of a segment we forge.
const HEADERS: usize = 14 + 20;
/// Octets of a TCP header without options.
const TCP_HEADER: usize = 20;

/// What a ladder shows of a TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// Who gets it.
    pub to: SocketAddrV4,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK.
    pub ack: Seq,
    /// The control bits.
    pub control: Control,
    /// SEG.WND.
    pub wnd: u16,
    /// Octets of text.
    pub len: usize,
}

impl Seen {
    /// Reads a frame; `None` if it carries no TCP over IPv4.
    pub fn parse(frame: &[u8]) -> Option<Seen> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return None;
        }
        let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        if ip.next_header() != IpProtocol::Tcp {
            return None;
        }
        let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
        let control = Control::from_bits_truncate(ip.payload()[13]);
        Some(Seen {
            from: SocketAddrV4::new(ip.src_addr(), tcp.src_port()),
            to: SocketAddrV4::new(ip.dst_addr(), tcp.dst_port()),
            seq: Seq(tcp.seq_number().0 as u32),
            ack: Seq(tcp.ack_number().0 as u32),
            control,
            wnd: tcp.window_len(),
            len: tcp.payload().len(),
        })
    }

    /// Says whether exactly these control bits are set, PSH aside.
    pub fn is(&self, control: Control) -> bool {
        self.control.difference(Control::PSH) == control
    }

    /// Writes the frame somebody would forge: right addresses and checksums, any numbers, text of zeros.
    pub fn forge(&self, from_mac: [u8; 6], to_mac: [u8; 6]) -> Vec<u8> {
        let mut buf = vec![0; HEADERS + TCP_HEADER + self.len];
        let total = buf.len();
        let mut ethernet = EthernetFrame::new_unchecked(&mut buf);
        ethernet.set_src_addr(EthernetAddress(from_mac));
        ethernet.set_dst_addr(EthernetAddress(to_mac));
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let mut ip = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        ip.set_version(4);
        ip.set_header_len(20);
        ip.set_total_len((total - 14) as u16);
        ip.set_hop_limit(64);
        ip.set_next_header(IpProtocol::Tcp);
        ip.set_src_addr(*self.from.ip());
        ip.set_dst_addr(*self.to.ip());
        ip.fill_checksum();
        self.write_tcp(ip.payload_mut());
        buf
    }

    fn write_tcp(&self, payload: &mut [u8]) {
        payload[13] = self.control.bits();
        let mut tcp = TcpPacket::new_unchecked(payload);
        tcp.set_src_port(self.from.port());
        tcp.set_dst_port(self.to.port());
        tcp.set_seq_number(TcpSeqNumber(self.seq.0 as i32));
        tcp.set_ack_number(TcpSeqNumber(self.ack.0 as i32));
        tcp.set_header_len(TCP_HEADER as u8);
        tcp.set_window_len(self.wnd);
        tcp.fill_checksum(&IpAddress::Ipv4(*self.from.ip()), &IpAddress::Ipv4(*self.to.ip()));
    }
}

/// Answers an ARP request for `addr`, as the IP stack beside the core would.
pub fn answer_arp(frame: &[u8], addr: Ipv4Addr, mac: [u8; 6]) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Arp {
        return None;
    }
    let request = ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).ok()?).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = request
    else {
        return None;
    };
    if target_protocol_addr != addr {
        return None;
    }
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: addr,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    };
    let mut buf = vec![0; 14 + reply.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut buf);
    ethernet.set_src_addr(EthernetAddress(mac));
    ethernet.set_dst_addr(source_hardware_addr);
    ethernet.set_ethertype(EthernetProtocol::Arp);
    reply.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    Some(buf)
}
