//! What stands on the wire: the pseudo header of RFC 8200 §8.1, and every byte of the IPv6 header.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;

use tcp_reset_core::link::{Link, Medium, Received};
use tcp_reset_core::{ChecksumBy, Config, LinkAddr, ListenOptions, Rule, StreamOptions};

use crate::links::{ITS_MAC, MAC, frames_out, with_link};
use crate::support::family::{Family, over_each};
use crate::support::packet::neighbors::{answer, read_question};
use crate::support::packet::{
    CONTROLS, ETHERNET_HEADER, TCP, checksum, ip_packet, on_ethernet, read_ip, upper_checksum,
};
use crate::support::rig::{Raw, START, peer, small_listener, small_stream, us};
use crate::support::table::{ACK, FIN, PSH, RST, SYN};

const DESTINATION_OPTIONS: u8 = 60;

fn bytes(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A SYN for the listener whose checksum is still zero.
fn unsummed() -> Vec<u8> {
    let (peer, us) = (peer(Family::V6), us(Family::V6));
    let mut segment = Raw { seq: 1, flags: SYN, wnd: 100, options: &[2, 4, 5, 0], ..Raw::default() }.bytes(peer, us);
    segment[16..18].fill(0);
    segment
}

fn with_sum(segment: &[u8], sum: u16) -> Vec<u8> {
    let mut segment = segment.to_vec();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// Returns the rule that decides about a packet to a listener.
fn rule_of(packet: &[u8]) -> Option<Rule> {
    let mut rule = None;
    with_link(Medium::Ip, Config::default(), &["fd00::1/64"], &[], |link| {
        link.tcp().listen(us(Family::V6), small_listener()).unwrap();
        if let Received::Taken(verdict) = link.handle_frame(START, packet) {
            rule = Some(verdict.rule);
        }
        let expected = usize::from(rule == Some(Rule::ListenSyn));
        assert_eq!(frames_out(link, 0).len(), expected, "only the right one is answered");
    });
    rule
}

#[test]
fn checksum_covers_the_ipv6_pseudo_header_and_nothing_else() {
    let (src, dst) = (peer(Family::V6).ip(), us(Family::V6).ip());
    let segment = unsummed();
    let sum = upper_checksum(src, dst, TCP, &segment);
    let short = |length: u8| vec![0, TCP, 0, length];
    let length = segment.len() as u8;
    let over = |pseudo: Vec<Vec<u8>>| checksum(&[&[pseudo.concat(), segment.clone()].concat()]);
    let wrong = [
        ("none", 0),
        ("off by one", sum.wrapping_add(1)),
        ("of the complement", !sum),
        ("without pseudo header", over(vec![])),
        ("without source", over(vec![bytes(dst), short(length)])),
        ("another source", upper_checksum(Family::V6.host(3), dst, TCP, &segment)),
        ("another destination", upper_checksum(src, Family::V6.host(7), TCP, &segment)),
        ("another protocol", upper_checksum(src, dst, DESTINATION_OPTIONS, &segment)),
        ("another length", over(vec![bytes(src), bytes(dst), short(length + 40)])),
        ("last words of the addresses alone", over(vec![bytes(src)[12..].to_vec(), bytes(dst)[12..].to_vec()])),
    ];
    assert_eq!(rule_of(&ip_packet(src, dst, &with_sum(&segment, sum))), Some(Rule::ListenSyn));
    for (name, sum) in wrong {
        let packet = ip_packet(src, dst, &with_sum(&segment, sum));
        assert_eq!(rule_of(&packet), Some(Rule::ChecksumWrong), "{name}");
    }
}

/// "The Next Header value in the pseudo-header identifies the upper-layer protocol", and its length is "minus the length of any
/// extension headers".
#[test]
fn checksum_leaves_extension_headers_out() {
    let (src, dst) = (peer(Family::V6).ip(), us(Family::V6).ip());
    let segment = unsummed();
    let header = [TCP, 0, 1, 4, 0, 0, 0, 0];
    let whole = [&header[..], &segment].concat();
    let behind_header = |sum: u16| {
        let mut packet = ip_packet(src, dst, &[&header[..], &with_sum(&segment, sum)].concat());
        packet[6] = DESTINATION_OPTIONS;
        packet
    };
    let right = upper_checksum(src, dst, TCP, &segment);
    assert_eq!(rule_of(&behind_header(right)), Some(Rule::ListenSyn));
    for wrong in [upper_checksum(src, dst, DESTINATION_OPTIONS, &whole), upper_checksum(src, dst, TCP, &whole)] {
        assert_eq!(rule_of(&behind_header(wrong)), Some(Rule::ChecksumWrong));
    }
}

/// Who fills the checksum in is a setting; what the hardware is to fill in is zero.
#[test]
fn checksum_left_to_the_hardware_is_zero() {
    for (by, is_filled_in) in [
        (ChecksumBy::Software, true),
        (ChecksumBy::HardwareOnReceive, true),
        (ChecksumBy::Hardware, false),
        (ChecksumBy::HardwareOnTransmit, false),
    ] {
        let config = Config { checksum: Some(by), ..Config::default() };
        with_link(Medium::Ip, config, &["fd00::1/64"], &[], |link| {
            link.connect(START, 5_000, peer(Family::V6), small_stream()).unwrap();
            let frames = frames_out(link, 0xaa);
            let (src, dst, segment) = read_ip(&frames[0]);
            let is_right = upper_checksum(src, dst, TCP, segment) == 0;
            assert_eq!((is_right, segment[16..18] == [0, 0]), (is_filled_in, !is_filled_in), "{by:?}");
        });
    }
}

/// One end of a conversation over frames, with a scripted peer.
struct Talk<'t, 's> {
    link: &'t mut Link<'s>,
    family: Family,
    is_ethernet: bool,
    fill: u8,
    /// Every frame that went out.
    all: Vec<Vec<u8>>,
}

impl Talk<'_, '_> {
    fn drain(&mut self) {
        let frames = frames_out(self.link, self.fill);
        self.all.extend(frames);
    }

    /// The peer says something, in a packet marked with traffic class, flow label and a low hop limit; gives how often it is answered.
    fn hear(&mut self, from: SocketAddr, to: SocketAddr, raw: Raw<'_>) -> usize {
        let mut packet = ip_packet(from.ip(), to.ip(), &raw.bytes(from, to));
        if self.family == Family::V6 {
            packet[..4].copy_from_slice(&[0x6f, 0xfa, 0xbc, 0xde]);
            packet[7] = 1;
        }
        let frame = if self.is_ethernet { on_ethernet(MAC, ITS_MAC, &packet) } else { packet };
        let before = self.all.len();
        assert!(matches!(self.link.handle_frame(START, &frame), Received::Taken(_)));
        self.drain();
        self.all.len() - before
    }

    /// The segment of the last frame.
    fn last(&self) -> &[u8] {
        let header = if self.is_ethernet { ETHERNET_HEADER } else { 0 };
        read_ip(&self.all.last().unwrap()[header..]).2
    }

    fn last_flags(&self) -> u8 {
        self.last()[13] & CONTROLS
    }

    /// The number behind the last segment, which holds a control or nothing.
    fn last_end(&self) -> u32 {
        let segment = self.last();
        let seq = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
        seq.wrapping_add(u32::from(segment[13] & (SYN | FIN) != 0))
    }

    /// Something of everything that is ever sent.
    fn play(&mut self) {
        let (us, peer) = (us(self.family), peer(self.family));
        let nobody = SocketAddr::new(us.ip(), 81);
        self.hear(peer, nobody, Raw { seq: 9, flags: SYN, ..Raw::default() });
        assert_eq!(self.last_flags(), RST | ACK, "nobody listens");
        self.hear(peer, us, Raw { seq: 9, ack: 8, flags: ACK, ..Raw::default() });
        assert_eq!(self.last_flags(), RST, "an acknowledgement to a listener");
        let listener = self.link.tcp().listen(us, small_listener()).unwrap();
        self.hear(peer, us, Raw { seq: 100, flags: SYN, wnd: 1_000, ..Raw::default() });
        assert_eq!(self.last_flags(), SYN | ACK);
        let ack = self.last_end();
        self.hear(peer, us, Raw { seq: 101, ack, flags: ACK, wnd: 1_000, text: b"text", ..Raw::default() });
        let handle = self.link.tcp().accept(START, listener).unwrap();
        assert_eq!(self.hear(peer, us, Raw { seq: 120, flags: RST, ..Raw::default() }), 1);
        assert_eq!(self.last_flags(), ACK, "a challenge");
        self.link.tcp().recv(START, handle, &mut [0; 9]).unwrap();
        self.link.tcp().send(START, handle, b"an answer").unwrap();
        self.drain();
        assert_eq!(self.last_flags(), PSH | ACK);
        self.link.tcp().shutdown(START, handle).unwrap();
        self.drain();
        assert_eq!(self.last_flags() & FIN, FIN);
        self.link.tcp().abort(START, handle).unwrap();
        self.drain();
        assert_eq!(self.last_flags(), RST | ACK);
        self.dial(SocketAddr::new(peer.ip(), 443));
    }

    /// A connection of ours: a question for the peer's address where there is something to ask, and the SYN.
    fn dial(&mut self, to: SocketAddr) {
        self.link.connect(START, 5_000, to, small_stream()).unwrap();
        self.drain();
        if self.is_ethernet {
            let (asker, target) = read_question(self.all.last().unwrap()).expect("a question");
            assert_eq!((asker, target), ((MAC, us(self.family).ip()), to.ip()));
            let _ = self.link.handle_frame(START, &answer((ITS_MAC, target), asker));
            self.drain();
        }
        assert_eq!(self.last_flags(), SYN);
    }
}

fn play(family: Family, is_ethernet: bool, fill: u8) -> Vec<Vec<u8>> {
    let (medium, ours) = (if is_ethernet { Medium::Ethernet(LinkAddr(MAC)) } else { Medium::Ip }, us(family).ip());
    let mut all = Vec::new();
    with_link(medium, Config::default(), &[&format!("{ours}/{}", family.prefix())], &[], |link| {
        let mut talk = Talk { link, family, is_ethernet, fill, all: Vec::new() };
        talk.play();
        all = talk.all;
    });
    all
}

/// Nothing of an older frame shows, nothing of the peer's header comes back, and the header is what we document: no traffic class, no
/// flow label, hop limit 64. [`read_ip`] and [`read_question`] compare every byte of the headers.
#[test]
fn every_byte_sent_is_the_same_whatever_the_buffer_held() {
    over_each(|family| {
        for is_ethernet in [false, true] {
            let [frames, others, zeros] = [0xaa, 0x55, 0].map(|fill| play(family, is_ethernet, fill));
            assert_eq!(frames, others);
            assert_eq!(frames, zeros);
            for frame in frames.iter().filter(|frame| !is_ethernet || read_question(frame).is_none()) {
                let header = if is_ethernet { ETHERNET_HEADER } else { 0 };
                let (src, dst, segment) = read_ip(&frame[header..]);
                assert_eq!((src, dst), (us(family).ip(), peer(family).ip()));
                assert_eq!(upper_checksum(src, dst, TCP, segment), 0);
                assert_eq!(frame[..header], on_ethernet(ITS_MAC, MAC, &frame[header..])[..header]);
            }
        }
    });
}

/// The hop limits of what goes out now.
fn hops_out(link: &mut Link<'_>) -> Vec<u8> {
    let hop_limit = |packet: &Vec<u8>| if packet[0] >> 4 == 4 { packet[8] } else { packet[7] };
    frames_out(link, 0).iter().map(hop_limit).collect()
}

/// MUST-49. Handshakes of listeners, and what answers for no connection, have that of all.
#[test]
fn hop_limit_is_the_connections_own_or_that_of_all() {
    let hops = |n: u8| NonZeroU8::new(n);
    over_each(|family| {
        let (us, peer) = (us(family), peer(family));
        let config = Config { hop_limit: NonZeroU8::MAX, ..Config::default() };
        with_link(Medium::Ip, config, &["10.0.0.1/24", "fd00::1/64"], &[], |link| {
            let say = |link: &mut Link<'_>, raw: Raw<'_>| {
                let _ = link.handle_frame(START, &ip_packet(peer.ip(), us.ip(), &raw.bytes(peer, us)));
            };
            say(link, Raw { seq: 9, flags: SYN, wnd: 100, ..Raw::default() });
            assert_eq!(hops_out(link), [255], "an RST for nobody");
            let stream = StreamOptions { hop_limit: hops(3), ..small_stream() };
            let listener = link.tcp().listen(us, ListenOptions { stream, ..small_listener() }).unwrap();
            say(link, Raw { seq: 9, flags: SYN, wnd: 100, ..Raw::default() });
            let packets = frames_out(link, 0);
            let syn_ack = &packets[0][packets[0].len() - 24..];
            assert_eq!(packets[0][if us.is_ipv4() { 8 } else { 7 }], 255, "a handshake");
            let iss = u32::from_be_bytes(syn_ack[4..8].try_into().unwrap());
            say(link, Raw { seq: 10, ack: iss + 1, flags: ACK, wnd: 100, ..Raw::default() });
            say(link, Raw { seq: 10, ack: iss + 1, flags: ACK, wnd: 100, text: b"a", ..Raw::default() });
            assert_eq!(hops_out(link), [255], "nobody has accepted it");
            let handle = link.tcp().accept(START, listener).unwrap();
            link.tcp().send(START, handle, b"b").unwrap();
            assert_eq!(hops_out(link), [3]);
            link.tcp().set_hop_limit(START, handle, None).unwrap();
            link.tcp().shutdown(START, handle).unwrap();
            assert_eq!(hops_out(link), [255], "that of all again");
            let own = StreamOptions { hop_limit: hops(1), ..small_stream() };
            for (options, expected) in [(own, 1), (small_stream(), 255)] {
                link.connect(START, 0, peer, options).unwrap();
                assert_eq!(hops_out(link), [expected]);
            }
        });
    });
    assert_eq!(Config::default().hop_limit.get(), 64);
}
