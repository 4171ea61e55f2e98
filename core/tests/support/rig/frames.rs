//! An engine behind a link: frames go in, frames come out.

use std::net::IpAddr;

use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{ChecksumBy, Config, Event, Instant, Storage, Tcp, Timer};

use super::{MOST_OUTPUTS, key};
use crate::support::family::Family;

/// What stands in the buffers that frames are written to.
const DIRT: u8 = 0xaa;
/// Bytes of the buffer beyond the frame.
const SPARE: usize = 7;

/// A link with these addresses and routers around a new engine.
pub(crate) fn link<'s, const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
    store: &'s mut Storage<C, L, H, T, P>,
    config: Config,
    medium: Medium,
    ours: &[Interface],
    routers: impl IntoIterator<Item = IpAddr>,
) -> Link<'s> {
    let tcp = Tcp::new(store, config, key(1)).unwrap();
    let mut link = Link::new(tcp, medium, ChecksumBy::Software);
    link.set_addresses(ours, routers).unwrap();
    link
}

/// The address of host `n` with the prefix of the tests' network.
pub(crate) fn interface(family: Family, n: u8) -> Interface {
    Interface { addr: family.host(n), prefix: family.prefix() }
}

/// What came out of a link.
pub(crate) struct Drained {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) events: Vec<Event>,
    pub(crate) deadline: Option<(Instant, Timer)>,
}

/// Collects everything that wants out now.
pub(crate) fn drain(link: &mut Link<'_>, now: Instant) -> Drained {
    drain_over(link, now, DIRT)
}

/// Collects everything that wants out now, in buffers full of `fill`. Each frame is as long as announced, and nothing is written beyond.
pub(crate) fn drain_over(link: &mut Link<'_>, now: Instant, fill: u8) -> Drained {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    for _ in 0..MOST_OUTPUTS {
        match link.poll_output(now) {
            LinkOutput::Transmit(frame) => {
                let announced = frame.len();
                let mut buffer = vec![fill; announced + SPARE];
                assert_eq!(frame.emit(&mut buffer), Ok(announced), "announced and written length");
                let beyond = buffer.split_off(announced);
                assert!(beyond.iter().all(|&byte| byte == fill), "beyond the frame's end");
                frames.push(buffer);
            }
            LinkOutput::Event(event) => events.push(event),
            LinkOutput::Timeout(deadline) => return Drained { frames, events, deadline },
        }
    }
    panic!("output without end");
}
