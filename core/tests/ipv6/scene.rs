//! One link with addresses of both families, a listener, and the peers around it. The fuzz target plays in it too.
#![allow(dead_code, reason = "the fuzz target needs a part of it")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, LinkCounters, LinkOutput, Medium, Received};
use tcp_reset_core::{
    ChecksumBy, CloseReason, Config, ConnectionHandle, Event, Instant, LinkAddr, ListenOptions, ListenerHandle,
    SecretKey, Status, Storage, StreamOptions, Tcp,
};

use crate::packet::{self, ACK, ETHERNET_HEADER, Mac, Outgoing, SYN, Seg, Sent};

pub const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x11, 0x2233);
pub const OURS_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x11, 0x2233);
pub const OURS_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A neighbor, and its two other addresses.
pub const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xaabb, 0xccdd);
pub const PEER_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xaabb, 0xccdd);
pub const PEER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// A host on the link that is neither we nor the peer.
pub const THIRD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x77, 0x8899);
pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xee, 0xff01);
pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// Behind the router.
pub const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 2);
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

pub const OURS_MAC: Mac = [2, 0, 0, 0x11, 0x22, 0x33];
pub const PEER_MAC: Mac = [2, 0, 0, 0xbb, 0xcc, 0xdd];
pub const ROUTER_MAC: Mac = [2, 0, 0, 0xee, 0xff, 1];
pub const EVIL_MAC: Mac = [2, 0xde, 0xad, 0, 0, 0x66];

/// Where the listener is, and where nobody is.
pub const OPEN: u16 = 80;
pub const SHUT: u16 = 81;
/// The peer's first sequence number.
pub const PEER_ISN: u32 = 0x1000_0000;
/// The peer's window.
pub const WINDOW: u16 = 60_000;

pub const MS: u64 = 1_000;
pub const SECOND: u64 = 1_000 * MS;
/// When a scene begins, in microseconds.
const START: u64 = 77 * SECOND;
/// More outputs than this without a time are taken for an endless loop.
const MOST_OUTPUTS: usize = 2_000;

pub const ETHERNET: Medium = Medium::Ethernet(LinkAddr(OURS_MAC));

pub type Store = Storage<4, 2, 4, 4, 65_536>;

pub struct Scene<'s> {
    pub link: Link<'s>,
    pub medium: Medium,
    pub listener: ListenerHandle,
    /// In microseconds.
    pub now: u64,
    /// What stands in the buffers that frames are written to.
    pub dirt: u8,
    /// Every frame that went out, to the byte.
    pub wire: Vec<Vec<u8>>,
    /// Every end that was told.
    pub ends: Vec<(ConnectionHandle, CloseReason)>,
}

/// A connection as its peer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    pub handle: ConnectionHandle,
    pub ours: IpAddr,
    pub peer: IpAddr,
    pub our_port: u16,
    pub peer_port: u16,
    /// The peer's next sequence number, and the one it expects of us.
    pub seq: u32,
    pub ack: u32,
}

impl Conn {
    /// The peer's next segment.
    pub fn segment(&self, flags: u8, text: &[u8]) -> Seg {
        Seg {
            sport: self.peer_port,
            dport: self.our_port,
            seq: self.seq,
            ack: self.ack,
            flags,
            ecn: 0,
            wnd: WINDOW,
            urgent: 0,
            options: Vec::new(),
            text: text.to_vec(),
        }
    }

    pub fn packet(&self, seg: &Seg) -> Vec<u8> {
        ip(self.peer, self.ours, seg)
    }
}

/// A segment in its IP packet.
pub fn ip(src: IpAddr, dst: IpAddr, seg: &Seg) -> Vec<u8> {
    let bytes = seg.octets(src, dst);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => packet::ipv4(src, dst, packet::TCP, &bytes),
        (IpAddr::V6(src), IpAddr::V6(dst)) => packet::ipv6(src, dst, packet::TCP, &bytes),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("{src} and {dst} are of two families")
        }
    }
}

/// A SYN as peers send it.
pub fn syn(sport: u16, dport: u16) -> Seg {
    Seg { sport, dport, seq: PEER_ISN, flags: SYN, wnd: WINDOW, options: packet::mss_option(1_440), ..Seg::default() }
}

pub fn interfaces() -> [Interface; 3] {
    [
        Interface { addr: OURS_V4.into(), prefix: 24 },
        Interface { addr: OURS_LINK.into(), prefix: 64 },
        Interface { addr: OURS.into(), prefix: 64 },
    ]
}

impl<'s> Scene<'s> {
    pub fn new(store: &'s mut Store, medium: Medium) -> Scene<'s> {
        Scene::with(store, medium, ChecksumBy::Software)
    }

    pub fn with(store: &'s mut Store, medium: Medium, checksum: ChecksumBy) -> Scene<'s> {
        let key = SecretKey::new(*b"sixteen octets..").expect("they differ");
        let tcp = Tcp::new(store, Config { checksum: Some(checksum), ..Config::default() }, key).unwrap();
        let mut link = Link::new(tcp, medium, checksum);
        link.set_addresses(&interfaces(), [ROUTER_V4.into(), ROUTER.into()]).expect("good addresses");
        let all = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), OPEN);
        let listener = link.tcp().listen(all, ListenOptions::default()).expect("a free entry");
        Scene { link, medium, listener, now: START, dirt: 0xa5, wire: Vec::new(), ends: Vec::new() }
    }

    pub fn at(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    pub fn counters(&self) -> LinkCounters {
        *self.link.counters()
    }

    pub fn is_ethernet(&self) -> bool {
        matches!(self.medium, Medium::Ethernet(_))
    }

    /// A packet with the link header that the medium has, from `from`.
    pub fn frame_from(&self, from: Mac, packet: &[u8]) -> Vec<u8> {
        match self.medium {
            Medium::Ethernet(LinkAddr(ours)) => wrap(ours, from, packet),
            Medium::Ip => packet.to_vec(),
        }
    }

    pub fn frame(&self, packet: &[u8]) -> Vec<u8> {
        self.frame_from(PEER_MAC, packet)
    }

    pub fn handle(&mut self, frame: &[u8]) -> Received {
        let now = self.at();
        self.link.handle_frame(now, frame)
    }

    /// Takes in a packet from the peer's link address.
    pub fn deliver(&mut self, packet: &[u8]) -> Received {
        let frame = self.frame(packet);
        self.handle(&frame)
    }

    /// Everything that the link has to say now.
    pub fn pump(&mut self) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for _ in 0..MOST_OUTPUTS {
            match self.link.poll_output(Instant::from_micros(self.now)) {
                LinkOutput::Transmit(frame) => {
                    let mut buf = vec![self.dirt; frame.len()];
                    let len = frame.emit(&mut buf).expect("as long as asked for");
                    assert_eq!(len, buf.len(), "Frame::len is what emit writes");
                    out.push(packet::read(matches!(self.medium, Medium::Ethernet(_)), OURS_MAC, &buf));
                    self.wire.push(buf);
                }
                LinkOutput::Event(Event::Closed(handle, reason)) => self.ends.push((handle, reason)),
                LinkOutput::Event(_) => {}
                LinkOutput::Timeout(_) => {
                    assert_eq!(self.link.audit(), Ok(()));
                    return out;
                }
            }
        }
        panic!("polling never ends");
    }

    /// The segments among what the link has to say.
    pub fn segments(&mut self) -> Vec<Sent> {
        let is_segment = |outgoing| match outgoing {
            Outgoing::Segment(sent) => Some(sent),
            Outgoing::Question(_) | Outgoing::ArpQuestion(_) => None,
        };
        self.pump().into_iter().filter_map(is_segment).collect()
    }

    /// Lets time pass, and everything due in it happen.
    pub fn run(&mut self, micros: u64) -> Vec<Outgoing> {
        let end = self.now + micros;
        let mut out = self.pump();
        for _ in 0..MOST_OUTPUTS {
            let now = self.at();
            let due = self.link.next_timeout(now).map(|(due, _)| due.as_micros()).filter(|&due| due <= end);
            self.now = due.unwrap_or(end).max(self.now);
            let now = self.at();
            self.link.handle_timeout(now);
            out.extend(self.pump());
            if due.is_none() {
                return out;
            }
        }
        panic!("time stands still");
    }

    pub fn status(&self, conn: &Conn) -> Status {
        self.link.tcp_ref().status(conn.handle).expect("the handle is good")
    }

    /// A connection that `peer` opened and an application accepted.
    pub fn established(&mut self, peer: IpAddr, peer_port: u16) -> Conn {
        let ours = match peer {
            IpAddr::V4(_) => OURS_V4.into(),
            IpAddr::V6(peer) if peer.segments()[0] == 0xfe80 => OURS_LINK.into(),
            IpAddr::V6(_) => OURS.into(),
        };
        let _ = self.deliver(&ip(peer, ours, &syn(peer_port, OPEN)));
        let answers = self.segments();
        assert_eq!(answers.len(), 1, "one SYN,ACK");
        let ack = answers[0].seg.seq.wrapping_add(1);
        let third =
            Seg { sport: peer_port, dport: OPEN, seq: PEER_ISN + 1, ack, flags: ACK, wnd: WINDOW, ..Seg::default() };
        let _ = self.deliver(&ip(peer, ours, &third));
        let _ = self.pump();
        let now = self.at();
        let handle = self.link.tcp().accept(now, self.listener).expect("the handshake is done");
        Conn { handle, ours, peer, our_port: OPEN, peer_port, seq: PEER_ISN + 1, ack }
    }

    /// Opens a connection; its SYN has not left yet.
    pub fn connect(&mut self, remote: SocketAddr) -> ConnectionHandle {
        let now = self.at();
        self.link.connect(now, 0, remote, StreamOptions::default()).expect("there is a way")
    }
}

/// A packet in an Ethernet frame to `ours`, or to the group that it is addressed to.
pub fn wrap(ours: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let to = match packet.get(24..packet::IPV6_HEADER) {
        Some(dst) if is_v6 && dst[0] == 0xff => [0x33, 0x33, dst[12], dst[13], dst[14], dst[15]],
        _ => ours,
    };
    packet::ethernet(to, from, if is_v6 { packet::IPV6 } else { packet::IPV4 }, packet)
}

/// The packet in a frame.
pub fn unwrap(is_ethernet: bool, frame: &[u8]) -> &[u8] {
    if is_ethernet { &frame[ETHERNET_HEADER..] } else { frame }
}
