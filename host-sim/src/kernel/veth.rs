//! Our end of the wire as one of a pair of virtual Ethernet devices, read and
//! written through a packet(7) socket. Needs no device file.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{LinkAddr, recvfrom, setsockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use super::forbidden::Forbidden;
use super::namespace::set_net_sysctl;
use super::netlink::{Link, Netlink};

/// Every protocol, in the byte order packet(7) wants.
const ALL_PROTOCOLS: u16 = (libc::ETH_P_ALL as u16).to_be();

/// Room for a burst of the kernel's, in bytes; the kernel may grant less.
const RECV_BUFFER: usize = 4 << 20;

/// How many frames of our own one call may skip before it reports "nothing".
const OWN_FRAMES_PER_CALL: usize = 64;

sockopt_impl!(
    /// Whether a packet socket is spared what its own host sends.
    IgnoreOutgoing,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_IGNORE_OUTGOING,
    bool
);

/// The pair of devices; removed when this is dropped.
#[derive(Debug)]
pub(super) struct Veth {
    socket: Socket,
    pair: Pair,
}

impl Veth {
    /// Makes the pair: `kernel_end` still down, `our_end` up and owned by a
    /// socket, with nothing of the kernel's answering on it.
    pub(super) fn open(kernel_end: &str, our_end: &str) -> Result<Self, Forbidden> {
        let mut pair = Pair::make(kernel_end, our_end)?;
        let ours = pair.netlink.find_link(our_end)?;
        silence(&mut pair.netlink, &ours)?;
        // Bound after it is up: a socket bound to a device that is down starts
        // with an error.
        pair.netlink.bring_up(&ours)?;
        let socket = packet_socket(&ours)
            .map_err(|error| Forbidden::from_io(format!("open a packet socket on {our_end}"), &error))?;
        Ok(Self { socket, pair })
    }

    /// Reads one frame; one longer than `buf` is cut.
    pub(super) fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        for _ in 0..OWN_FRAMES_PER_CALL {
            let (len, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buf)?;
            if from.is_none_or(|from| from.pkttype() != libc::PACKET_OUTGOING) {
                return Ok(len);
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Sends one frame; the kernel takes it whole or not at all.
    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.socket.send(frame)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The name of the device that is ours.
    pub(super) fn our_end(&self) -> &str {
        &self.pair.our_end
    }
}

/// Keeps the pair for as long as it is wanted: deleting one end deletes both.
#[derive(Debug)]
struct Pair {
    netlink: Netlink,
    our_end: String,
}

impl Pair {
    fn make(kernel_end: &str, our_end: &str) -> Result<Self, Forbidden> {
        let mut netlink = Netlink::open()?;
        netlink.add_veth(kernel_end, our_end)?;
        let our_end = our_end.to_owned();
        Ok(Self { netlink, our_end })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // If this fails, the pair goes with the namespace all the same.
        let _ = self.netlink.delete_link(&self.our_end);
    }
}

/// Leaves the frames on our end to our socket alone. The end has no address;
/// its MAC is not the one our stack uses, so the kernel takes what arrives for
/// another host's and drops it unread; ARP, which is broadcast, is switched off.
fn silence(netlink: &mut Netlink, ours: &Link) -> Result<(), Forbidden> {
    netlink.disable_arp(ours)?;
    // Only to spare noise, so a kernel without the setting will do as well.
    let _ = set_net_sysctl(&format!("ipv6/conf/{}/disable_ipv6", ours.name), "1");
    Ok(())
}

fn packet_socket(link: &Link) -> io::Result<Socket> {
    // With protocol 0 nothing is queued before the bind names the device.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECV_BUFFER)?;
    // Kernels before 4.20 lack it; reading skips such frames anyway.
    let _ = setsockopt(&socket, IgnoreOutgoing, &true);
    socket.bind(&packet_address(link)?)?;
    Ok(socket)
}

fn packet_address(link: &Link) -> io::Result<SockAddr> {
    let index = i32::try_from(link.index).map_err(io::Error::other)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the platform's socket addresses.
    let address: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = ALL_PROTOCOLS;
    address.sll_ifindex = index;
    let len = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds an AF_PACKET address, and `len` is its length.
    Ok(unsafe { SockAddr::new(storage, len) })
}
