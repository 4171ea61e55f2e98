//! The wire between the kernel and the board: frames pass both ways, TCP is noted, DHCP and who asks for routers are answered here.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use smoltcp::wire::{
    ArpPacket, EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet,
    Ipv6Packet,
};
use tcp_reset_core::Instant;

use super::dhcp::{self, Lease};
use super::slaac::{self, Advertised};
use super::{BOARD_ADDR, BOARD_MAC, KERNEL_ADDR, PREFIX};
use crate::endpoint::MAX_FRAME;
use crate::family::Family;
use crate::frame::Seen;
use crate::kernel::Wire;
use crate::pcap::Capture;
use crate::trace::Way;

/// How many segments are remembered.
const REMEMBERED: usize = 65_536;
/// How often the kernel's side asks whether it shall stop, in milliseconds.
const LOOK_MS: u16 = 100;
/// How long a lease and a prefix are good for.
const LEASE_SECONDS: u32 = 3_600;

/// The wire, and what has passed over it.
pub(super) struct Cable {
    shared: Arc<Shared>,
}

struct Shared {
    wire: Mutex<Wire>,
    kernel_mac: [u8; 6],
    /// QEMU's end; `None` while no machine runs.
    board: Mutex<Option<UnixStream>>,
    seen: Mutex<VecDeque<(Way, Seen)>>,
    /// ICMP messages of the board's that call TCP unreachable: there must be none.
    unreachables: AtomicU32,
    /// What DHCP gives; `None`: it does not answer.
    lease: Mutex<Option<Lease>>,
    /// What the router advertises to who asks.
    advertised: Mutex<Advertised>,
    /// The address of the kernel's whose host has lost power.
    silenced: Mutex<Option<IpAddr>>,
    capture: Mutex<Option<Capture>>,
    /// Why the capture ended before its time.
    capture_failure: Mutex<Option<anyhow::Error>>,
    started: WallClock,
    is_over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that died left whole values behind: each is replaced in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cable {
    /// Takes the kernel's end; a machine's is plugged in later.
    pub(super) fn new(wire: Wire, capture: Option<Capture>) -> Result<Cable> {
        let kernel_mac = wire.kernel_mac();
        let fd = wire.as_fd().try_clone_to_owned().context("cannot watch the wire")?;
        let lease = lease_of(BOARD_ADDR, kernel_mac);
        let shared = Arc::new(Shared {
            wire: Mutex::new(wire),
            kernel_mac,
            board: Mutex::new(None),
            seen: Mutex::default(),
            unreachables: AtomicU32::new(0),
            lease: Mutex::new(Some(lease)),
            advertised: Mutex::new(Advertised {
                prefix: PREFIX,
                router_mac: kernel_mac,
                seconds: LEASE_SECONDS.into(),
            }),
            silenced: Mutex::new(None),
            capture: Mutex::new(capture),
            capture_failure: Mutex::new(None),
            started: WallClock::now(),
            is_over: AtomicBool::new(false),
        });
        let carrier = Arc::clone(&shared);
        thread::spawn(move || {
            while !carrier.is_over.load(Ordering::Relaxed) {
                let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
                // Whatever woke us, the wire is asked.
                let _ = poll(&mut fds, PollTimeout::from(LOOK_MS));
                carrier.carry_from_kernel();
            }
        });
        Ok(Cable { shared })
    }

    /// Plugs a machine in.
    pub(super) fn plug(&self, stream: UnixStream) -> Result<()> {
        let incoming = stream.try_clone().context("cannot listen to QEMU")?;
        *lock(&self.shared.board) = Some(stream);
        let shared = Arc::clone(&self.shared);
        // Ends when QEMU does.
        thread::spawn(move || shared.carry_from_board(incoming));
        Ok(())
    }

    /// Pulls the machine out.
    pub(super) fn unplug(&self) {
        *lock(&self.shared.board) = None;
    }

    /// Sends the board a segment that the kernel never sent.
    ///
    /// # Errors
    /// If no machine runs.
    pub(super) fn forge(&self, seen: &Seen) -> Result<()> {
        let frame = seen.forge(self.shared.kernel_mac, BOARD_MAC);
        self.shared.note(Way::ForgedToUs, &frame);
        ensure!(self.shared.to_board(&frame), "the board does not run");
        Ok(())
    }

    /// Sends the board any frame.
    ///
    /// # Errors
    /// If no machine runs.
    pub(super) fn inject(&self, frame: &[u8]) -> Result<()> {
        self.shared.note(Way::ForgedToUs, frame);
        ensure!(self.shared.to_board(frame), "the board does not run");
        Ok(())
    }

    /// Loses every frame that the kernel sends from an address, as if that host had lost power; `None`: of none.
    pub(super) fn silence(&self, addr: Option<IpAddr>) {
        *lock(&self.shared.silenced) = addr;
    }

    /// Sets the address that DHCP gives from now on; `None`: it does not answer.
    pub(super) fn lease(&self, addr: Option<Ipv4Addr>) {
        *lock(&self.shared.lease) = addr.map(|addr| lease_of(addr, self.shared.kernel_mac));
    }

    /// Sets how long the prefix is good for that the router tells who asks.
    pub(super) fn set_prefix_life(&self, life: Duration) {
        lock(&self.shared.advertised).seconds = life.as_secs();
    }

    /// Lets the router say that its prefix is good for so many seconds more.
    ///
    /// # Errors
    /// If no machine runs.
    pub(super) fn advertise(&self, seconds: u64) -> Result<()> {
        let advertisement = slaac::advertisement(&Advertised { seconds, ..*lock(&self.shared.advertised) });
        self.shared.note(Way::ToUs, &advertisement);
        ensure!(self.shared.to_board(&advertisement), "the board does not run");
        Ok(())
    }

    /// Returns the kernel's Ethernet address.
    pub(super) fn kernel_mac(&self) -> [u8; 6] {
        self.shared.kernel_mac
    }

    /// Counts the segments that pass a test.
    pub(super) fn count(&self, mut is_wanted: impl FnMut(Way, &Seen) -> bool) -> usize {
        lock(&self.shared.seen).iter().filter(|(way, seen)| is_wanted(*way, seen)).count()
    }

    /// Returns the last segment of the board's on a connection.
    pub(super) fn last_from_board(&self, board: SocketAddr, kernel: SocketAddr) -> Option<Seen> {
        let seen = lock(&self.shared.seen);
        let is_it = |(way, seen): &&(Way, Seen)| *way == Way::ToPeer && (seen.from, seen.to) == (board, kernel);
        seen.iter().rev().find(is_it).map(|(_, seen)| *seen)
    }

    /// Returns whether the capture has everything, if there is one.
    ///
    /// # Errors
    /// The first that writing it met.
    pub(super) fn check_capture(&self) -> Result<()> {
        lock(&self.shared.capture_failure).take().map_or(Ok(()), Err)
    }

    /// Returns how often the board has called TCP unreachable by ICMP.
    pub(super) fn unreachables(&self) -> u32 {
        self.shared.unreachables.load(Ordering::Relaxed)
    }
}

fn lease_of(addr: Ipv4Addr, kernel_mac: [u8; 6]) -> Lease {
    let netmask = Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(Family::Ipv4.prefix())));
    Lease { addr, netmask, server: KERNEL_ADDR, server_mac: kernel_mac, seconds: LEASE_SECONDS }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn carry_from_kernel(&self) {
        let mut buf = [0; MAX_FRAME];
        loop {
            // The lock is not held while the frame goes on: the other direction needs it too.
            let received = lock(&self.wire).recv(&mut buf);
            let Ok(Some(len)) = received else { return };
            let silenced = *lock(&self.silenced);
            if silenced.is_some() && source(&buf[..len]) == silenced {
                continue;
            }
            self.note(Way::ToUs, &buf[..len]);
            self.to_board(&buf[..len]);
        }
    }

    fn carry_from_board(&self, mut stream: UnixStream) {
        let mut buf = vec![0; MAX_FRAME];
        while let Ok(len) = read_frame(&mut stream, &mut buf) {
            let frame = &buf[..len];
            self.note(Way::ToPeer, frame);
            let lease = *lock(&self.lease);
            let answer = lease.and_then(|lease| dhcp::answer(frame, &lease));
            if let Some(answer) = answer.or_else(|| slaac::answer(frame, &lock(&self.advertised))) {
                self.note(Way::ToUs, &answer);
                self.to_board(&answer);
            } else {
                // What the kernel does not take is lost, as on any Ethernet.
                let _ = lock(&self.wire).send(frame);
            }
        }
    }

    /// QEMU's wire format: the length in network order, and the frame.
    fn to_board(&self, frame: &[u8]) -> bool {
        let mut board = lock(&self.board);
        let Some(stream) = board.as_mut() else { return false };
        let mut message = Vec::with_capacity(4 + frame.len());
        message.extend((frame.len() as u32).to_be_bytes());
        message.extend(frame);
        // A machine that has just ended takes nothing more.
        stream.write_all(&message).is_ok()
    }

    fn note(&self, way: Way, frame: &[u8]) {
        if let Some(capture) = lock(&self.capture).as_mut() {
            let now = Instant::from_micros(self.started.elapsed().as_micros() as u64);
            let comment = (way == Way::ForgedToUs).then_some("forged in the kernel's name");
            // The wire goes on; who asked for the capture is told at the end.
            if let Err(error) = capture.add(now, frame, comment) {
                lock(&self.capture_failure).get_or_insert(error);
            }
        }
        if way == Way::ToPeer && is_tcp_unreachable(frame) {
            self.unreachables.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(segment) = Seen::parse(frame) {
            let mut seen = lock(&self.seen);
            if seen.len() == REMEMBERED {
                seen.pop_front();
            }
            seen.push_back((way, segment));
        }
    }
}

/// The address that a frame is sent from, a question or answer about neighbors too.
fn source(frame: &[u8]) -> Option<IpAddr> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => Some(Ipv4Packet::new_checked(ethernet.payload()).ok()?.src_addr().into()),
        EthernetProtocol::Ipv6 => Some(Ipv6Packet::new_checked(ethernet.payload()).ok()?.src_addr().into()),
        EthernetProtocol::Arp => {
            let arp = ArpPacket::new_checked(ethernet.payload()).ok()?;
            let bytes: [u8; 4] = arp.source_protocol_addr().try_into().ok()?;
            Some(bytes.into())
        }
        EthernetProtocol::Unknown(_) => None,
    }
}

/// Reads one of QEMU's frames; gives its length. A longer one than fits is read and cut.
fn read_frame(stream: &mut UnixStream, buf: &mut [u8]) -> io::Result<usize> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let len = u32::from_be_bytes(head) as usize;
    let kept = len.min(buf.len());
    stream.read_exact(&mut buf[..kept])?;
    io::copy(&mut stream.take((len - kept) as u64), &mut io::sink())?;
    Ok(kept)
}

fn is_tcp_unreachable(frame: &[u8]) -> bool {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => is_tcp_unreachable_v4(ethernet.payload()),
        EthernetProtocol::Ipv6 => is_tcp_unreachable_v6(ethernet.payload()),
        EthernetProtocol::Arp | EthernetProtocol::Unknown(_) => false,
    }
}

fn is_tcp_unreachable_v4(packet: &[u8]) -> bool {
    let Ok(ipv4) = Ipv4Packet::new_checked(packet) else { return false };
    if ipv4.next_header() != IpProtocol::Icmp {
        return false;
    }
    let Ok(icmp) = Icmpv4Packet::new_checked(ipv4.payload()) else { return false };
    // The packet it is about follows the eight bytes of the message's head.
    let quoted = ipv4.payload().get(8..).map(Ipv4Packet::new_unchecked);
    icmp.msg_type() == Icmpv4Message::DstUnreachable
        && quoted.is_some_and(|quoted| quoted.check_len().is_ok() && quoted.next_header() == IpProtocol::Tcp)
}

/// A protocol that is not spoken is a parameter problem there.
fn is_tcp_unreachable_v6(packet: &[u8]) -> bool {
    let Ok(ipv6) = Ipv6Packet::new_checked(packet) else { return false };
    if ipv6.next_header() != IpProtocol::Icmpv6 {
        return false;
    }
    let Ok(icmp) = Icmpv6Packet::new_checked(ipv6.payload()) else { return false };
    let quoted = ipv6.payload().get(8..).filter(|quoted| quoted.len() >= smoltcp::wire::IPV6_HEADER_LEN);
    icmp.msg_type().is_error()
        && quoted.is_some_and(|quoted| Ipv6Packet::new_unchecked(quoted).next_header() == IpProtocol::Tcp)
}
