//! A DHCP server for one client (RFC 2131), on frames.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// What the client is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) addr: Ipv4Addr,
    pub(super) netmask: Ipv4Addr,
    /// Server and router.
    pub(super) server: Ipv4Addr,
    pub(super) server_mac: [u8; 6],
    pub(super) seconds: u32,
}

/// Answers a client's DISCOVER or REQUEST; `None` for every other frame.
pub(super) fn answer(frame: &[u8], lease: &Lease) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ipv4 = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ipv4.next_header() != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(ipv4.payload()).ok()?;
    if (udp.src_port(), udp.dst_port()) != (CLIENT_PORT, SERVER_PORT) {
        return None;
    }
    let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
    let question = DhcpRepr::parse(&packet).ok()?;
    let message_type = match question.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if question.requested_ip.is_none_or(|addr| addr == lease.addr) => DhcpMessageType::Ack,
        DhcpMessageType::Request => DhcpMessageType::Nak,
        // What a server says, and what needs no answer.
        DhcpMessageType::Offer
        | DhcpMessageType::Decline
        | DhcpMessageType::Ack
        | DhcpMessageType::Nak
        | DhcpMessageType::Release
        | DhcpMessageType::Inform
        | DhcpMessageType::Unknown(_) => return None,
    };
    Some(emit(&reply(&question, message_type, lease), ethernet.src_addr(), lease))
}

fn reply<'r>(question: &DhcpRepr<'_>, message_type: DhcpMessageType, lease: &Lease) -> DhcpRepr<'r> {
    DhcpRepr {
        message_type,
        transaction_id: question.transaction_id,
        secs: 0,
        client_hardware_address: question.client_hardware_address,
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: lease.addr,
        server_ip: lease.server,
        router: Some(lease.server),
        subnet_mask: Some(lease.netmask),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: question.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(lease.server),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: Some(lease.seconds),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    }
}

fn emit(reply: &DhcpRepr<'_>, to: EthernetAddress, lease: &Lease) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: SERVER_PORT, dst_port: CLIENT_PORT };
    let ethernet =
        EthernetRepr { src_addr: EthernetAddress(lease.server_mac), dst_addr: to, ethertype: EthernetProtocol::Ipv4 };
    let ipv4 = Ipv4Repr {
        src_addr: lease.server,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + reply.buffer_len(),
        hop_limit: 64,
    };
    let mut frame = vec![0; EthernetFrame::<&[u8]>::buffer_len(ipv4.buffer_len() + ipv4.payload_len)];
    let mut view = EthernetFrame::new_unchecked(&mut frame);
    ethernet.emit(&mut view);
    let mut packet = Ipv4Packet::new_unchecked(view.payload_mut());
    ipv4.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &lease.server.into(),
        &Ipv4Addr::BROADCAST.into(),
        reply.buffer_len(),
        |payload| {
            // The buffer was made to the message's length.
            let _ = reply.emit(&mut DhcpPacket::new_unchecked(payload));
        },
        &checksums,
    );
    frame
}
