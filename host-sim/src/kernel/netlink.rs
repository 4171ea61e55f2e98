//! Devices and addresses of the namespace, by rtnetlink(7), one
//! request and its answer at a time.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::libc;

use super::forbidden::Forbidden;

/// The longest answer read, in bytes: what the kernel itself uses for a dump.
const ANSWER_LEN: usize = 32 * 1024;

/// How many messages to other requests may lie before an answer.
const STRAY_MESSAGES: usize = 16;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A device as the kernel describes it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    /// In bytes, without the Ethernet header.
    pub(super) mtu: usize,
    /// Up, with a carrier, and its queue in operation.
    pub(super) running: bool,
}

/// A conversation with the kernel about the devices of this namespace.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, Forbidden> {
        let socket = connected_socket().map_err(|error| Forbidden::from_io("open a netlink socket", &error))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes a pair of virtual Ethernet devices, both down.
    pub(super) fn add_veth(&mut self, name: &str, peer: &str) -> Result<(), Forbidden> {
        let mut link = named_link(name);
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(named_link(peer)))),
        ]));
        let request = RouteNetlinkMessage::NewLink(link);
        self.order(request, NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|error| Forbidden::from_io(format!("make the veth {name}"), &error))
    }

    pub(super) fn delete_link(&mut self, name: &str) -> Result<(), Forbidden> {
        let request = RouteNetlinkMessage::DelLink(named_link(name));
        self.order(request, 0).map_err(|error| Forbidden::from_io(format!("delete {name}"), &error))
    }

    pub(super) fn find_link(&mut self, name: &str) -> Result<Link, Forbidden> {
        let request = RouteNetlinkMessage::GetLink(named_link(name));
        self.ask(request)
            .and_then(|answer| read_link(name, answer))
            .map_err(|error| Forbidden::from_io(format!("look up {name}"), &error))
    }

    pub(super) fn bring_up(&mut self, link: &Link) -> Result<(), Forbidden> {
        let what = format!("bring up {}", link.name);
        self.change_link(flags(link, LinkFlags::Up), what)
    }

    /// Makes the kernel neither ask nor answer ARP on the device.
    pub(super) fn disable_arp(&mut self, link: &Link) -> Result<(), Forbidden> {
        let what = format!("switch off ARP on {}", link.name);
        self.change_link(flags(link, LinkFlags::Noarp), what)
    }

    pub(super) fn set_mac(&mut self, link: &Link, mac: Mac) -> Result<(), Forbidden> {
        let mut change = indexed_link(link);
        change.attributes.push(LinkAttribute::Address(mac.to_vec()));
        self.change_link(change, format!("set the MAC of {}", link.name))
    }

    /// Returns the device an address, which is used at once: nobody is asked whether it is free.
    pub(super) fn add_address(&mut self, link: &Link, address: IpAddr, prefix: u8) -> Result<(), Forbidden> {
        let mut message = AddressMessage::default();
        message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.prefix_len = prefix;
        message.header.index = link.index;
        // On a broadcast medium the two are the same; the kernel wants both.
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        if address.is_ipv6() {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let what = format!("give {} the address {address}/{prefix}", link.name);
        let request = RouteNetlinkMessage::NewAddress(message);
        self.order(request, NLM_F_CREATE | NLM_F_EXCL).map_err(|error| Forbidden::from_io(what, &error))
    }

    fn change_link(&mut self, change: LinkMessage, what: String) -> Result<(), Forbidden> {
        self.order(RouteNetlinkMessage::SetLink(change), 0).map_err(|error| Forbidden::from_io(what, &error))
    }

    /// Sends a request that is answered by success or an error alone.
    fn order(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(request, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.answer().map(drop)
    }

    /// Sends a request that is answered by a message.
    fn ask(&mut self, request: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        self.send(request, NLM_F_REQUEST)?;
        self.answer()?.ok_or_else(|| unexpected("an empty answer"))
    }

    fn send(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Reads the answer to the latest request: `None` is plain success.
    fn answer(&mut self) -> io::Result<Option<RouteNetlinkMessage>> {
        for _ in 0..STRAY_MESSAGES {
            let message = self.read_message()?;
            if message.header.sequence_number == self.sequence {
                return read_payload(message.payload);
            }
        }
        Err(unexpected("only answers to other requests"))
    }

    fn read_message(&self) -> io::Result<NetlinkMessage<RouteNetlinkMessage>> {
        let mut bytes = Vec::with_capacity(ANSWER_LEN);
        // The kernel answers before the request's send returns, so there is
        // nothing to wait for.
        self.socket.recv(&mut bytes, libc::MSG_DONTWAIT)?;
        NetlinkMessage::deserialize(&bytes).map_err(|error| unexpected(&error.to_string()))
    }
}

fn connected_socket() -> io::Result<Socket> {
    let kernel = SocketAddr::new(0, 0);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&kernel)?;
    Ok(socket)
}

fn named_link(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

fn indexed_link(link: &Link) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    message
}

/// Sets `flags` on the device and leaves its others alone.
fn flags(link: &Link, flags: LinkFlags) -> LinkMessage {
    let mut message = indexed_link(link);
    message.header.flags = flags;
    message.header.change_mask = flags;
    message
}

fn read_payload(payload: NetlinkPayload<RouteNetlinkMessage>) -> io::Result<Option<RouteNetlinkMessage>> {
    if let NetlinkPayload::InnerMessage(message) = payload {
        return Ok(Some(message));
    }
    let NetlinkPayload::Error(outcome) = payload else {
        return Err(unexpected(&format!("{payload:?}")));
    };
    // An "error" without a number is the acknowledgment of success.
    if outcome.code.is_none() {
        return Ok(None);
    }
    Err(outcome.to_io())
}

fn read_link(name: &str, answer: RouteNetlinkMessage) -> io::Result<Link> {
    let RouteNetlinkMessage::NewLink(message) = answer else {
        return Err(unexpected("something other than a device"));
    };
    Ok(Link {
        name: name.to_owned(),
        index: message.header.index,
        mtu: mtu_of(&message).ok_or_else(|| unexpected("a device without MTU"))?,
        running: message.header.flags.contains(LinkFlags::Running),
    })
}

fn mtu_of(message: &LinkMessage) -> Option<usize> {
    message.attributes.iter().find_map(|attribute| {
        let LinkAttribute::Mtu(mtu) = attribute else {
            return None;
        };
        usize::try_from(*mtu).ok()
    })
}

/// An answer that breaks the protocol, as an error that carries what came.
fn unexpected(found: &str) -> io::Error {
    io::Error::other(format!("netlink answered with {found}"))
}
