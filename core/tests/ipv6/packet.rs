//! The tests' codec, and frames that a link sent: read to the last byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) use crate::support::packet::neighbors::*;
pub(crate) use crate::support::packet::segment::{Seg, mss_option};
pub(crate) use crate::support::packet::*;

/// A neighbor solicitation that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub to: Mac,
    pub src: Ipv6Addr,
    pub dst: Ipv6Addr,
    pub target: Ipv6Addr,
    pub source_link: Mac,
}

/// A frame that carries a segment, and was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// `None` on plain IP.
    pub to: Option<Mac>,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub seg: Seg,
}

/// Everything a link may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outgoing {
    Question(Question),
    ArpQuestion(Ipv4Addr),
    Segment(Sent),
}

/// Reads a frame that a link sent; panics where it is not well formed to the last byte.
pub fn read(is_ethernet: bool, ours: Mac, frame: &[u8]) -> Outgoing {
    if !is_ethernet {
        return Outgoing::Segment(read_segment(None, frame));
    }
    assert_eq!(mac_at(frame, 6), ours, "a frame from another address than ours");
    let Some((asker, target)) = read_question(frame) else {
        let packet = &frame[ETHERNET_HEADER..];
        assert_eq!(frame, on_ethernet(mac_at(frame, 0), ours, packet), "Ethernet says another version");
        return Outgoing::Segment(read_segment(Some(mac_at(frame, 0)), packet));
    };
    match (asker.1, target) {
        (IpAddr::V6(src), IpAddr::V6(target)) => {
            let (to, dst) = (mac_at(frame, 0), v6_at(frame, ETHERNET_HEADER + 24));
            Outgoing::Question(Question { to, src, dst, target, source_link: asker.0 })
        }
        (_, IpAddr::V4(target)) => Outgoing::ArpQuestion(target),
        (IpAddr::V4(_), IpAddr::V6(_)) => panic!("{asker:?} asks for {target}"),
    }
}

fn read_segment(to: Option<Mac>, packet: &[u8]) -> Sent {
    let (src, dst, bytes) = read_ip(packet);
    let seg = Seg::read(bytes, src, dst);
    let _ = seg.mss();
    Sent { to, src, dst, seg }
}
