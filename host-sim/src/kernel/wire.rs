//! The virtual Ethernet between our stack and the kernel's.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::namespace::{Forbidden, set_net_sysctl};
use super::netlink::{Link, Netlink};
use super::tap::Tap;
use super::veth::Veth;
use super::{offload, unless_blocked};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Bytes of a frame before its payload: two addresses and a type.
pub const ETHERNET_HEADER_LEN: usize = 14;

/// The name of the device that the kernel's TCP uses.
const KERNEL_END: &str = "kernel0";

/// The name of the other device of the pair, where there is one.
const OUR_END: &str = "stack0";

/// How often, and how far apart, a device is asked whether it runs yet.
const RUNNING_POLLS: u32 = 1000;
const RUNNING_INTERVAL: Duration = Duration::from_millis(1);

/// What the wire is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireKind {
    /// One device, its other end a file.
    Tap,
    /// A pair of devices, one of them read through a packet socket.
    Veth,
}

impl fmt::Display for WireKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tap => "TAP",
            Self::Veth => "veth pair",
        })
    }
}

/// A virtual Ethernet cable with our stack at one end and the kernel's TCP at
/// the other. Carries Ethernet II frames without the frame check sequence.
/// There can be one per namespace; its devices go when it is dropped.
#[derive(Debug)]
pub struct Wire {
    end: End,
    kernel_end: Link,
    kernel_mac: Mac,
}

impl Wire {
    /// Lays the wire in the namespace entered: gives the kernel's end the
    /// address `kernel_addr/prefix`, and leaves `our_addr` and `our_mac` to our
    /// stack, which must answer ARP for them.
    ///
    /// Without a `kind`, tries a TAP and falls back to a veth pair.
    pub fn open(
        kernel_addr: Ipv4Addr,
        prefix: u8,
        our_addr: Ipv4Addr,
        our_mac: Mac,
        kind: Option<WireKind>,
    ) -> Result<Self, Forbidden> {
        check_addresses(kernel_addr, prefix, our_addr, our_mac)?;
        let mut netlink = Netlink::open()?;
        let end = End::open(kind)?;
        let kernel_mac = mac_for(kernel_addr, our_mac);
        set_up_kernel_end(&mut netlink, kernel_mac, kernel_addr, prefix)?;
        if let End::Veth(veth) = &end {
            await_running(&mut netlink, veth.our_end())?;
        }
        let kernel_end = await_running(&mut netlink, KERNEL_END)?;
        Ok(Self { end, kernel_end, kernel_mac })
    }

    /// Returns what the wire is made of.
    pub fn kind(&self) -> WireKind {
        match &self.end {
            End::Tap(_) => WireKind::Tap,
            End::Veth(_) => WireKind::Veth,
        }
    }

    /// Returns the Ethernet address of the kernel's end.
    pub fn kernel_mac(&self) -> Mac {
        self.kernel_mac
    }

    /// Returns the longest payload of a frame in bytes; the Ethernet header,
    /// [`ETHERNET_HEADER_LEN`], comes on top.
    pub fn mtu(&self) -> usize {
        self.kernel_end.mtu
    }

    /// Takes the next frame from the kernel, `None` if there is none yet. A
    /// frame longer than `buf` is cut: offer the MTU and the header.
    pub fn recv(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(match &mut self.end {
            End::Tap(tap) => tap.recv(buf),
            End::Veth(veth) => veth.recv(buf),
        })
    }

    /// Gives the kernel one frame, header included; it need not be padded.
    ///
    /// A frame without a whole header or beyond the MTU is an error of kind
    /// "invalid input". One of kind "would block", or `ENOBUFS`, means that the
    /// frame is lost, as on any Ethernet whose receiver is overrun.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        check_length(frame, self.mtu())?;
        match &mut self.end {
            End::Tap(tap) => tap.send(frame),
            End::Veth(veth) => veth.send(frame),
        }
        .map(drop)
    }

    /// Waits until [`Wire::recv`] may have a frame, at most for `timeout`, and
    /// returns whether it may. Waits whole milliseconds, rounded up.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        // A timeout beyond the end of the clock never runs out.
        let deadline = Instant::now().checked_add(timeout);
        let mut remaining = timeout;
        loop {
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, poll_timeout(remaining)) {
                Ok(ready) => return Ok(ready > 0),
                // A signal is no answer; the wait goes on for what is left.
                Err(Errno::EINTR) => remaining = until(deadline, timeout),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.end {
            End::Tap(tap) => tap.as_fd(),
            End::Veth(veth) => veth.as_fd(),
        }
    }
}

/// Our end of the wire.
#[derive(Debug)]
enum End {
    Tap(Tap),
    Veth(Veth),
}

impl End {
    fn open(kind: Option<WireKind>) -> Result<Self, Forbidden> {
        match kind {
            Some(WireKind::Tap) => Tap::open(KERNEL_END).map(Self::Tap),
            Some(WireKind::Veth) => Veth::open(KERNEL_END, OUR_END).map(Self::Veth),
            None => Self::open_any(),
        }
    }

    /// The TAP's device file may be missing or root's alone; a veth pair needs
    /// none. What the namespace forbids, it forbids both, and the second says so.
    fn open_any() -> Result<Self, Forbidden> {
        match Tap::open(KERNEL_END) {
            Ok(tap) => Ok(Self::Tap(tap)),
            Err(_) => Veth::open(KERNEL_END, OUR_END).map(Self::Veth),
        }
    }
}

fn check_addresses(kernel_addr: Ipv4Addr, prefix: u8, our_addr: Ipv4Addr, our_mac: Mac) -> Result<(), Forbidden> {
    let reject = |what: String, how| Err(Forbidden::with_remedy(what, Errno::EINVAL, how));
    if !share_prefix(kernel_addr, our_addr, prefix) {
        let what = format!("join {kernel_addr} and {our_addr} by one wire of prefix /{prefix}");
        return reject(what, "choose two different addresses of one prefix, /1 to /31");
    }
    if is_group(our_mac) || our_mac == [0; 6] {
        let what = format!("use the MAC {our_mac:02x?}");
        return reject(what, "choose a MAC of one station, such as 02:00:00:00:00:01");
    }
    Ok(())
}

fn share_prefix(a: Ipv4Addr, b: Ipv4Addr, prefix: u8) -> bool {
    let (1..=31) = prefix else {
        return false;
    };
    let host_bits = Ipv4Addr::BITS - u32::from(prefix);
    a != b && a.to_bits() >> host_bits == b.to_bits() >> host_bits
}

fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}

/// Makes an address of the kernel's end from its IPv4 address, so that captures
/// of different runs compare; locally administered, and never `ours`.
fn mac_for(kernel_addr: Ipv4Addr, ours: Mac) -> Mac {
    let [a, b, c, d] = kernel_addr.octets();
    let mac = [0x02, 0x00, a, b, c, d];
    if mac == ours {
        return [0x06, 0x00, a, b, c, d];
    }
    mac
}

fn set_up_kernel_end(netlink: &mut Netlink, mac: Mac, address: Ipv4Addr, prefix: u8) -> Result<(), Forbidden> {
    let link = netlink.find_link(KERNEL_END)?;
    // IPv6 would send unasked; without the setting it does, and no harm is done.
    let _ = set_net_sysctl(&format!("ipv6/conf/{KERNEL_END}/disable_ipv6"), "1");
    offload::switch_off(KERNEL_END)?;
    netlink.set_mac(&link, mac)?;
    netlink.add_address(&link, address, prefix)?;
    netlink.bring_up(&link)
}

/// Waits until the device really takes frames. A veth does so a moment after
/// it is up, when its partner is up too, and loses what comes before.
fn await_running(netlink: &mut Netlink, device: &str) -> Result<Link, Forbidden> {
    for _ in 0..RUNNING_POLLS {
        let link = netlink.find_link(device)?;
        if link.running {
            return Ok(link);
        }
        thread::sleep(RUNNING_INTERVAL);
    }
    let what = format!("see {device} run {RUNNING_POLLS} times {RUNNING_INTERVAL:?} after it was brought up");
    Err(Forbidden::new(what, Errno::ETIMEDOUT))
}

/// The two kinds of wire treat such frames differently; a cable knows neither.
fn check_length(frame: &[u8], mtu: usize) -> io::Result<()> {
    let allowed = ETHERNET_HEADER_LEN..=mtu + ETHERNET_HEADER_LEN;
    if allowed.contains(&frame.len()) {
        return Ok(());
    }
    let (found, least, most) = (frame.len(), allowed.start(), allowed.end());
    let text = format!("a frame of {found} bytes was sent; the wire takes {least} to {most}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn until(deadline: Option<Instant>, forever: Duration) -> Duration {
    deadline.map_or(forever, |deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Rounds up, so that a wait does not end before its time; caps at what poll(2)
/// can wait, some 24 days.
fn poll_timeout(timeout: Duration) -> PollTimeout {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Mac = [0x02, 0, 0, 0, 0, 1];

    fn rejected(kernel: [u8; 4], prefix: u8, our: [u8; 4], mac: Mac) -> bool {
        check_addresses(kernel.into(), prefix, our.into(), mac).is_err()
    }

    #[test]
    fn addresses_of_one_prefix_are_accepted() {
        assert!(!rejected([10, 0, 0, 1], 24, [10, 0, 0, 2], OURS));
        assert!(!rejected([10, 0, 0, 0], 31, [10, 0, 0, 1], OURS));
    }

    #[test]
    fn addresses_that_cannot_meet_are_rejected() {
        assert!(rejected([10, 0, 0, 1], 24, [10, 0, 1, 2], OURS));
        assert!(rejected([10, 0, 0, 1], 24, [10, 0, 0, 1], OURS));
        assert!(rejected([10, 0, 0, 1], 0, [10, 0, 0, 2], OURS));
        assert!(rejected([10, 0, 0, 1], 33, [10, 0, 0, 2], OURS));
    }

    #[test]
    fn macs_of_no_single_station_are_rejected() {
        assert!(rejected([10, 0, 0, 1], 24, [10, 0, 0, 2], [0xff; 6]));
        assert!(rejected([10, 0, 0, 1], 24, [10, 0, 0, 2], [0; 6]));
    }

    #[test]
    fn kernel_mac_differs_from_ours() {
        let kernel = Ipv4Addr::new(10, 0, 0, 1);
        let usual = mac_for(kernel, OURS);
        assert_eq!(usual, [0x02, 0, 10, 0, 0, 1]);
        assert_ne!(mac_for(kernel, usual), usual);
    }

    #[test]
    fn frames_of_a_header_up_to_the_mtu_are_taken() {
        let taken = |len| check_length(&vec![0; len], 1500).is_ok();
        assert!(taken(14) && taken(1514));
        assert!(!taken(13) && !taken(1515));
    }

    #[test]
    fn poll_timeout_rounds_up_and_is_capped() {
        assert_eq!(poll_timeout(Duration::ZERO), PollTimeout::ZERO);
        assert_eq!(poll_timeout(Duration::from_nanos(1)), PollTimeout::from(1u8));
        assert_eq!(poll_timeout(Duration::MAX), PollTimeout::MAX);
    }
}
