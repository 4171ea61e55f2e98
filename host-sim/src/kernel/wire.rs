//! The virtual Ethernet between our stack and the kernel's.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::forbidden::Forbidden;
use super::namespace::set_net_sysctl;
use super::netlink::{Link, Mac, Netlink};
use super::nonblocking::unless_blocked;
use super::offload;
use super::tap::Tap;
use super::veth::Veth;

/// Bytes of a frame before its payload: two addresses and a type.
pub const ETHERNET_HEADER_LEN: usize = 14;

/// The name of the device that the kernel's TCP uses.
const KERNEL_END: &str = "kernel0";

/// The name of the other device of the pair, where there is one.
const OUR_END: &str = "stack0";

/// How often, and how far apart, a device is asked whether it runs yet.
const RUNNING_POLLS: u32 = 1000;
const RUNNING_INTERVAL: Duration = Duration::from_millis(1);

/// A wait is no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// One line for systems whose kernel does not speak IPv6.
const HOW_TO_HAVE_IPV6: &str = "start the kernel without ipv6.disable=1, or stay with --family ipv4";

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

/// A network that both ends of the wire are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address of the kernel's end.
    pub kernel: IpAddr,
    /// The address of our end, which our stack answers for.
    pub ours: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
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
    /// Lays the wire in the namespace entered: gives the kernel's end its
    /// address in `network`, and leaves our address and `our_mac` to our stack,
    /// which must answer ARP or neighbor solicitations for them.
    ///
    /// Without a `kind`, tries a TAP and falls back to a veth pair.
    pub fn open(network: &Network, our_mac: Mac, kind: Option<WireKind>) -> Result<Self, Forbidden> {
        check_addresses(network)?;
        check_mac(our_mac)?;
        let mut netlink = Netlink::open()?;
        let end = End::open(kind)?;
        let kernel_mac = mac_for(network.kernel, our_mac);
        set_up_kernel_end(&mut netlink, kernel_mac, network)?;
        if let End::Veth(veth) = &end {
            await_running(&mut netlink, veth.our_end())?;
        }
        let kernel_end = await_running(&mut netlink, KERNEL_END)?;
        Ok(Self { end, kernel_end, kernel_mac })
    }

    /// Puts both ends on one network more.
    pub fn add_network(&mut self, network: &Network) -> Result<(), Forbidden> {
        check_addresses(network)?;
        add_kernel_address(&mut Netlink::open()?, &self.kernel_end, network)
    }

    /// Returns the number of the kernel's end among its devices: the zone of
    /// link-local addresses there.
    pub fn kernel_index(&self) -> u32 {
        self.kernel_end.index
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

    /// Returns the kernel one frame, header included; it need not be padded.
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
    /// returns whether it may.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        wait_for_any(&[self], timeout)
    }
}

/// Waits until one of the wires may have a frame, at most for `timeout`, and
/// returns whether one may.
pub fn wait_for_any(wires: &[&Wire], timeout: Duration) -> io::Result<bool> {
    // A timeout beyond the end of the clock never runs out.
    let deadline = Instant::now().checked_add(timeout);
    let mut remaining = timeout;
    loop {
        let mut fds: Vec<_> = wires.iter().map(|wire| PollFd::new(wire.as_fd(), PollFlags::POLLIN)).collect();
        match ppoll(&mut fds, Some(poll_timeout(remaining)), None) {
            Ok(ready) => return Ok(ready > 0),
            // A signal is no answer; the wait goes on for what is left.
            Err(Errno::EINTR) => remaining = until(deadline, timeout),
            Err(errno) => return Err(errno.into()),
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

/// Returns whether an error of [`Wire::send`] means that the frame is lost, as
/// on any Ethernet whose receiver is overrun.
pub fn is_overrun(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
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

fn check_addresses(network: &Network) -> Result<(), Forbidden> {
    let Network { kernel, ours, prefix } = network;
    if share_prefix(network) {
        return Ok(());
    }
    let what = format!("join {kernel} and {ours} by one wire of prefix /{prefix}");
    let how = "choose two different addresses of one family and prefix, /1 to /31 (IPv4) or /127 (IPv6)";
    Err(Forbidden::with_remedy(what, Errno::EINVAL, how))
}

fn check_mac(ours: Mac) -> Result<(), Forbidden> {
    if !is_group(ours) && ours != [0; 6] {
        return Ok(());
    }
    let how = "choose a MAC of one station, such as 02:00:00:00:00:01";
    Err(Forbidden::with_remedy(format!("use the MAC {ours:02x?}"), Errno::EINVAL, how))
}

fn share_prefix(network: &Network) -> bool {
    let prefix = u32::from(network.prefix);
    let (apart, bits) = match (network.kernel, network.ours) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    (1..bits).contains(&prefix) && apart != 0 && apart >> (bits - prefix) == 0
}

fn is_group(mac: Mac) -> bool {
    mac[0] & 1 != 0
}

/// Makes an address of the kernel's end from the last bytes of its IP address,
/// so that captures of different runs compare; locally administered, and never
/// `ours`.
fn mac_for(kernel_addr: IpAddr, ours: Mac) -> Mac {
    let [a, b, c, d] = match kernel_addr {
        IpAddr::V4(addr) => addr.octets(),
        IpAddr::V6(addr) => (addr.to_bits() as u32).to_be_bytes(),
    };
    let mac = [0x02, 0x00, a, b, c, d];
    if mac == ours {
        return [0x06, 0x00, a, b, c, d];
    }
    mac
}

fn set_up_kernel_end(netlink: &mut Netlink, mac: Mac, network: &Network) -> Result<(), Forbidden> {
    let link = netlink.find_link(KERNEL_END)?;
    // IPv6 sends unasked: not before it is wanted. Without the settings it does, and no harm is done.
    set_ipv6("disable_ipv6", "1");
    offload::switch_off(KERNEL_END)?;
    netlink.set_mac(&link, mac)?;
    netlink.bring_up(&link)?;
    add_kernel_address(netlink, &link, network)
}

fn add_kernel_address(netlink: &mut Netlink, link: &Link, network: &Network) -> Result<(), Forbidden> {
    if network.kernel.is_ipv6() {
        // Nobody else is on this wire, and no router.
        set_ipv6("accept_dad", "0");
        set_ipv6("router_solicitations", "0");
        set_ipv6("disable_ipv6", "0");
    }
    netlink.add_address(link, network.kernel, network.prefix).map_err(|refused| match network.kernel {
        IpAddr::V4(_) => refused,
        IpAddr::V6(_) => Forbidden { how: HOW_TO_HAVE_IPV6, ..refused },
    })
}

/// Where a system mounts these settings read-only they stay as they are.
fn set_ipv6(name: &str, value: &str) {
    let _ = set_net_sysctl(&format!("ipv6/conf/{KERNEL_END}/{name}"), value);
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

/// Caps a timeout, whose seconds have fewer bits for the kernel.
fn poll_timeout(timeout: Duration) -> TimeSpec {
    TimeSpec::from_duration(timeout.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Mac = [0x02, 0, 0, 0, 0, 1];

    fn rejected(kernel: impl Into<IpAddr>, prefix: u8, ours: impl Into<IpAddr>) -> bool {
        check_addresses(&Network { kernel: kernel.into(), ours: ours.into(), prefix }).is_err()
    }

    #[test]
    fn addresses_of_one_prefix_are_accepted() {
        assert!(!rejected([10, 0, 0, 1], 24, [10, 0, 0, 2]));
        assert!(!rejected([10, 0, 0, 0], 31, [10, 0, 0, 1]));
        assert!(!rejected([0xfd00u16, 0, 0, 0, 0, 0, 0, 1], 64, [0xfd00u16, 0, 0, 0, 0, 0, 0, 2]));
    }

    #[test]
    fn addresses_that_cannot_meet_are_rejected() {
        assert!(rejected([10, 0, 0, 1], 24, [10, 0, 1, 2]));
        assert!(rejected([10, 0, 0, 1], 24, [10, 0, 0, 1]));
        assert!(rejected([10, 0, 0, 1], 0, [10, 0, 0, 2]));
        assert!(rejected([10, 0, 0, 1], 33, [10, 0, 0, 2]));
        assert!(rejected([10, 0, 0, 1], 24, [0u16, 0, 0, 0, 0, 0, 0, 2]));
        assert!(rejected([0xfd00u16, 0, 0, 0, 0, 0, 0, 1], 128, [0xfd00u16, 0, 0, 0, 0, 0, 0, 2]));
    }

    #[test]
    fn macs_of_no_single_station_are_rejected() {
        assert!(check_mac([0xff; 6]).is_err() && check_mac([0; 6]).is_err());
        assert!(check_mac(OURS).is_ok());
    }

    #[test]
    fn kernel_mac_differs_from_ours() {
        let kernel = IpAddr::from([10, 0, 0, 1]);
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
    fn poll_timeout_keeps_nanoseconds_and_is_capped() {
        assert_eq!(poll_timeout(Duration::ZERO), TimeSpec::new(0, 0));
        assert_eq!(poll_timeout(Duration::from_nanos(1)), TimeSpec::new(0, 1));
        assert_eq!(poll_timeout(Duration::MAX), TimeSpec::from_duration(LONGEST_WAIT));
    }
}
