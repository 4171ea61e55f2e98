//! The ECN field of packets, written and read (RFC 3168 §5, §23): two bits of IPv4's type of service and of IPv6's traffic class.

use std::time::Duration;

use tcp_reset_core::link::{Link, Medium};
use tcp_reset_core::{Config, LinkAddr};

use crate::links::{ITS_MAC, MAC, frames_out, with_link};
use crate::support::family::{Family, over_each};
use crate::support::packet::{ETHERNET_HEADER, TCP, checksum, ip_packet, on_ethernet, upper_checksum};
use crate::support::rig::{Raw, START, peer, small_listener, us};
use crate::support::table::{ACK, FIN, PSH, SYN};

const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// Acknowledges at once.
fn config() -> Config {
    Config { delayed_ack: Duration::ZERO, ..Config::default() }
}

/// An end of a connection over frames, and the link's part of each.
struct Talk<'t, 's> {
    link: &'t mut Link<'s>,
    family: Family,
    header: usize,
    seq: u32,
    ack: u32,
}

impl Talk<'_, '_> {
    /// The peer says something in a packet of this class; returns the packets that answer.
    fn hear(&mut self, class: u8, flags: u8, text: &[u8]) -> Vec<Vec<u8>> {
        let (us, peer) = (us(self.family), peer(self.family));
        let (seq, ack) = (self.seq, if flags & ACK != 0 { self.ack } else { 0 });
        let raw = Raw { seq, ack, flags, wnd: 1_000, text, ..Raw::default() };
        let packet = of_class(ip_packet(peer.ip(), us.ip(), &raw.bytes(peer, us)), class);
        let frame = if self.header > 0 { on_ethernet(MAC, ITS_MAC, &packet) } else { packet };
        let _ = self.link.handle_frame(START, &frame);
        self.seq = seq.wrapping_add(text.len() as u32 + u32::from(flags & (SYN | FIN) != 0));
        self.packets()
    }

    fn packets(&mut self) -> Vec<Vec<u8>> {
        frames_out(self.link, 0xaa).into_iter().map(|frame| frame[self.header..].to_vec()).collect()
    }
}

/// The packet with this type of service, or traffic class, and a flow label that means nothing.
fn of_class(mut packet: Vec<u8>, class: u8) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[1] = class;
        packet[10..12].fill(0);
        let sum = checksum(&[&packet[..20]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet[0] = 0x60 | class >> 4;
        packet[1] = class << 4 | 0x0f;
        packet[2..4].fill(0xff);
    }
    packet
}

fn class_of(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[1] } else { packet[0] << 4 | packet[1] >> 4 }
}

fn flags_of(family: Family, packet: &[u8]) -> u8 {
    packet[family.ip_header() + 13]
}

/// A connection that the peer opened, and that is accepted.
fn on_open(config: Config, flags: u8, test: impl Fn(&mut Talk<'_, '_>, tcp_reset_core::ConnectionHandle)) {
    over_each(|family| {
        for medium in [Medium::Ip, Medium::Ethernet(LinkAddr(MAC))] {
            let header = if medium == Medium::Ip { 0 } else { ETHERNET_HEADER };
            let ours = format!("{}/{}", us(family).ip(), family.prefix());
            with_link(medium, config, &[&ours], &[], |link| {
                let listener = link.tcp().listen(us(family), small_listener()).unwrap();
                let mut talk = Talk { link, family, header, seq: 100, ack: 0 };
                let syn_ack = talk.hear(0, SYN | flags, b"").remove(0);
                assert_eq!(class_of(&syn_ack), 0, "a SYN,ACK");
                let at = family.ip_header() + 4;
                talk.ack = u32::from_be_bytes(syn_ack[at..at + 4].try_into().unwrap()).wrapping_add(1);
                assert_eq!(talk.hear(0, ACK, b""), Vec::<Vec<u8>>::new());
                let handle = talk.link.tcp().accept(START, listener).unwrap();
                test(&mut talk, handle);
            });
        }
    });
}

/// Everything that a connection sends, in packets.
fn play(config: Config, flags: u8) -> Vec<Vec<u8>> {
    let all = std::cell::RefCell::new(vec![]);
    on_open(config, flags, |talk, handle| {
        let mut all = all.borrow_mut();
        for text in [&b"one"[..], b"two"] {
            talk.link.tcp().send(START, handle, text).unwrap();
            all.extend(talk.packets());
        }
        all.extend(talk.hear(0, ACK, b"its"));
        talk.link.tcp().shutdown(START, handle).unwrap();
        all.extend(talk.packets());
        talk.link.tcp().abort(START, handle).unwrap();
        all.extend(talk.packets());
    });
    all.into_inner()
}

/// "01" and "10" are ECT, and RFC 8311 §4.2 leaves "01" to experiments. Nothing but the field and IPv4's checksum tells the packets from those of a
/// connection without ECN.
#[test]
fn new_payload_goes_in_packets_of_ect_0_whose_other_bytes_are_as_before() {
    let [with, without] = [ECE | CWR, 0].map(|flags| play(config(), flags));
    let unwanted = play(Config { ecn: false, ..config() }, ECE | CWR);
    assert_eq!(without, unwanted);
    assert!(with.len() == without.len() && with.len() >= 5);
    let mut classes = vec![];
    for (with, without) in with.iter().zip(&without) {
        assert_eq!(class_of(without), 0);
        assert!(with[0] >> 4 == 6 || checksum(&[&with[..20]]) == 0, "the header's checksum");
        let flags = flags_of(if with[0] >> 4 == 4 { Family::V4 } else { Family::V6 }, with);
        let expected = if flags & PSH != 0 { 0b10 } else { 0b00 };
        assert_eq!(class_of(with), expected, "{flags:#x}");
        let mut same = with.clone();
        if same[0] >> 4 == 4 {
            same = of_class(same, 0);
        } else {
            same[1] &= 0xcf;
        }
        assert_eq!(&same, without);
        classes.push(class_of(with));
    }
    assert!(classes.contains(&0b10) && classes.contains(&0));
}

#[test]
fn checksums_of_marked_and_markable_packets_are_right() {
    for packet in play(config(), ECE | CWR) {
        let family = if packet[0] >> 4 == 4 { Family::V4 } else { Family::V6 };
        let segment = &packet[family.ip_header()..];
        assert_eq!(upper_checksum(us(family).ip(), peer(family).ip(), TCP, segment), 0);
    }
}

/// The six bits beside the field are the differentiated services', and IPv6's flow label is nobody's.
#[test]
fn congestion_experienced_is_read_from_two_bits_alone() {
    for class in 0..=255 {
        on_open(config(), ECE | CWR, |talk, _| {
            let answer = talk.hear(class, ACK | PSH, b"its").remove(0);
            let is_echoed = flags_of(talk.family, &answer) & ECE != 0;
            assert_eq!(is_echoed, class & 0b11 == 0b11, "{class:#x}");
            assert_eq!(class_of(&answer), 0, "nothing of the field comes back");
        });
    }
}

#[test]
fn syn_goes_in_a_packet_that_is_not_ect() {
    over_each(|family| {
        let ours = format!("{}/{}", us(family).ip(), family.prefix());
        with_link(Medium::Ip, Config::default(), &[&ours], &[], |link| {
            link.connect(START, 5_000, peer(family), crate::support::rig::small_stream()).unwrap();
            let syn = frames_out(link, 0xaa).remove(0);
            assert_eq!((class_of(&syn), flags_of(family, &syn)), (0, SYN | ECE | CWR));
        });
    });
}
