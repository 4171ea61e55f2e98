//! Bytes, segments and frames of any content against an engine with something in every state.

use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::link::{Interface, Link, Medium};
use tcp_reset_core::{ChecksumBy, Config, Instant, LinkAddr, State};

use crate::draws::{HOP, a, b, cases, family, mend, small, stranger};
use crate::support::family::{Family, over_each};
use crate::support::packet::neighbors::{
    ON_LINK_HOPS, ROUTER_SOLICITATION, is_about_neighbors, read_question, seal_icmpv6,
};
use crate::support::packet::{ARP, ETHERNET_HEADER, ICMPV6, ethernet, ip_packet, ipv6_limited, on_ethernet};
use crate::support::rig::frames::{self, drain, drain_over};
use crate::support::world::{RST, SYN, Seg, read_ip};
use crate::zoo::{ESTABLISHED, HALF_OPEN, Habitat, IN_FLIGHT, NOBODY, Zoo, Zookeeper, near};

/// Kinds of options: timestamps, which decide where they are agreed on, and one that nobody knows.
const TIMESTAMPS: u8 = 8;
/// The window scale option's kind, and the SACK-permitted option's.
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const EXPERIMENT: u8 = 253;

proptest! {
    #![proptest_config(cases(1_000))]

    /// Bytes as they come, with right lengths, checksum and ports half of the time, to an engine with something in every state.
    #[test]
    fn engine_takes_any_bytes_and_gives_well_formed_replies(
        family in family(),
        rounds in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..120), any::<bool>(), HALF_OPEN..=NOBODY), 1..40),
    ) {
        let home = Habitat::of(family);
        let mut store = Box::new(Zoo::new());
        let mut zoo = Zookeeper::new(&mut store, home);
        for (mut bytes, mended, port) in rounds {
            if mended && bytes.len() >= 20 {
                bytes[0..2].copy_from_slice(&port.to_be_bytes());
                bytes[2..4].copy_from_slice(&80_u16.to_be_bytes());
                mend(&mut bytes, home.them, home.us);
            }
            let _ = zoo.arrive(home, &bytes);
            for (local, remote, _) in &zoo.out {
                prop_assert_eq!((local.ip(), remote.ip()), (home.us, home.them));
            }
        }
        // Numbers drawn from all 2^32 with no knowledge end nothing.
        for port in [ESTABLISHED, IN_FLIGHT] {
            prop_assert_eq!(zoo.state(home, port), State::Established);
        }
    }

    /// The option area changes nothing about the verdict or the answer, whatever stands in it but timestamps and what SYNs agree on, and never resets anything.
    #[test]
    fn options_never_decide(family in family(), (port, mut seg) in near()) {
        let home = Habitat::of(family);
        let (mut store, mut plain_store) = (Box::new(Zoo::new()), Box::new(Zoo::new()));
        let mut zoo = Zookeeper::new(&mut store, home);
        let mut plain = Zookeeper::new(&mut plain_store, home);
        seg.ack = seg.ack.wrapping_add(zoo.end(home, port));
        for byte in seg.options.iter_mut().filter(|byte| matches!(**byte, TIMESTAMPS | WINDOW_SCALE | SACK_PERMITTED)) {
            *byte = EXPERIMENT;
        }
        let verdict = zoo.hear(home, &seg);
        seg.options.clear();
        seg.urgent = 0;
        let expected = plain.hear(home, &seg);
        prop_assert_eq!(verdict, expected);
        prop_assert_eq!(&zoo.out, &plain.out);
        prop_assert_eq!(&zoo.events, &plain.events);
        prop_assert_eq!(zoo.state(home, port), plain.state(home, port));
    }

    /// A reply to an RST is never an RST, in no state.
    #[test]
    fn reset_is_never_answered_by_reset(family in family(), (port, mut seg) in near()) {
        let home = Habitat::of(family);
        let mut store = Box::new(Zoo::new());
        let mut zoo = Zookeeper::new(&mut store, home);
        seg.ack = seg.ack.wrapping_add(zoo.end(home, port));
        seg.flags |= RST;
        let _ = zoo.hear(home, &seg);
        for (_, _, out) in &zoo.out {
            prop_assert!(!out.has(RST), "{out:?}");
        }
    }

    /// Frames of any content, from noise to almost right ones.
    #[test]
    fn link_takes_any_frame(
        family in family(),
        is_ethernet in any::<bool>(),
        rounds in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..100), 0_u8..6, any::<prop::sample::Index>(), any::<u8>(), near()), 1..30),
    ) {
        let home = Habitat::of(family);
        let mut store = Box::new(Zoo::new());
        let zoo = Zookeeper::new(&mut store, home);
        let ends: Vec<u32> = rounds.iter().map(|(.., (port, _))| zoo.end(home, *port)).collect();
        let Zookeeper { tcp, now, .. } = zoo;
        let medium = if is_ethernet { Medium::Ethernet(MAC) } else { Medium::Ip };
        let mut link = Link::new(tcp, medium, ChecksumBy::Software);
        link.set_addresses(&[Interface { addr: home.us, prefix: family.prefix() }], None).unwrap();
        for ((noise, kind, at, byte, (_, mut seg)), end) in rounds.into_iter().zip(ends) {
            seg.ack = seg.ack.wrapping_add(end);
            let mut frame = match kind {
                0 => noise,
                1 => noise_about_neighbors(home, &noise, is_ethernet),
                2 if is_ethernet => [&MAC.0[..], &HOP.0, &family.ethertype(), &noise].concat(),
                2 => noise,
                _ => framed(&ip_packet(home.them, home.us, &seg.octets(home.them, home.us)), is_ethernet),
            };
            if kind >= 4 && !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            if kind == 5 {
                frame.truncate(at.index(frame.len() + 1));
            }
            let _ = link.handle_frame(now, &frame);
            drain_link(&mut link, now, home, is_ethernet);
        }
    }
}

const MAC: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 1]);

fn framed(packet: &[u8], is_ethernet: bool) -> Vec<u8> {
    if is_ethernet { on_ethernet(MAC.0, HOP.0, packet) } else { packet.to_vec() }
}

/// A message of ARP or of neighbor discovery whose content is noise; its checksum is right.
fn noise_about_neighbors(home: Habitat, noise: &[u8], is_ethernet: bool) -> Vec<u8> {
    let (IpAddr::V6(us), IpAddr::V6(them)) = (home.us, home.them) else {
        return ethernet(MAC.0, HOP.0, ARP, noise);
    };
    let mut message = [noise, &[0; 4]].concat();
    // A router's and a neighbor's question and answer, and the redirect (RFC 4861 §4).
    message[0] = ROUTER_SOLICITATION + message[0] % 5;
    seal_icmpv6(them, us, &mut message);
    framed(&ipv6_limited(them, us, ICMPV6, ON_LINK_HOPS, &message), is_ethernet)
}

fn drain_link(link: &mut Link<'_>, now: Instant, home: Habitat, is_ethernet: bool) {
    for frame in drain(link, now).frames {
        if is_ethernet && is_about_neighbors(&frame) {
            assert_eq!(read_question(&frame), Some(((MAC.0, home.us), home.them)));
        } else {
            let header = if is_ethernet { ETHERNET_HEADER } else { 0 };
            let (src, dst, _) = read_ip(&frame[header..]);
            assert_eq!((src, dst), (home.us, home.them));
        }
    }
}

/// Every byte of a frame is written: what stood in the buffer before never shows.
#[test]
fn frames_do_not_depend_on_what_the_buffer_held() {
    over_each(|family| {
        for is_ethernet in [false, true] {
            let outputs = [0xaa, 0x55].map(|fill| frames_over(family, is_ethernet, fill));
            assert_eq!(outputs[0].len(), 2, "the question or the SYN, and the reset");
            assert_eq!(outputs[0], outputs[1]);
        }
    });
}

/// What a link sends that connects and is spoken to by a stranger, in a buffer that was full of something.
fn frames_over(family: Family, is_ethernet: bool, fill: u8) -> Vec<Vec<u8>> {
    let mut store = Box::new(Zoo::new());
    let medium = if is_ethernet { Medium::Ethernet(MAC) } else { Medium::Ip };
    let mut link = frames::link(&mut *store, Config::default(), medium, &[frames::interface(family, 1)], None);
    let now = Instant::from_millis(9);
    link.connect(now, 0, SocketAddr::new(b(family), 80), small()).unwrap();
    let syn = Seg { sport: 9, dport: 10, flags: SYN, ..Seg::default() };
    let (us, them) = (a(family), stranger(family));
    let _ = link.handle_frame(now, &framed(&ip_packet(them, us, &syn.octets(them, us)), is_ethernet));
    drain_over(&mut link, now, fill).frames
}
