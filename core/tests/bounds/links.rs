//! Behind frames: addresses that are lost, neighbors one more than remembered or asked for, what is counted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tcp_reset_core::link::{Link, LinkOutput, Medium};
use tcp_reset_core::{CloseReason, ConnectionHandle, Event, Instant, LinkAddr, ListenerHandle};

use crate::support::family::{Family, over_each};
use crate::support::packet::neighbors::{answer, is_about_neighbors, read_question};
use crate::support::packet::{CONTROLS, ETHERNET_HEADER, Mac, ip_packet, ip_part, on_ethernet, read_ip};
use crate::support::rig::frames::{Drained, drain, interface, link};
use crate::support::rig::{Raw, START, quick_config, small_stream};
use crate::support::table::{ACK, FIN, RST, SYN};
use crate::{Room, listener};

const MAC: Mac = [2, 0, 0, 0, 0, 1];

fn on_frames(medium: Medium, test: impl Fn(&mut Link<'_>, Family, ListenerHandle)) {
    over_each(|family| {
        let mut store = Box::new(Room::new());
        let config = tcp_reset_core::Config { checksum: None, ..quick_config() };
        let ours = [1, 3].map(|n| interface(family, n));
        let mut frames = link(&mut *store, config, medium, &ours, None);
        let any = SocketAddr::new(family.unspecified(), 80);
        let listener = frames.tcp().listen(any, listener(8, 8)).unwrap();
        test(&mut frames, family, listener);
    });
}

/// Source, control bits and the number behind the segment in a packet.
fn read(packet: &[u8]) -> (IpAddr, u8, u32) {
    let (src, _, segment) = read_ip(packet);
    let seq = u32::from_be_bytes(segment[4..8].try_into().unwrap());
    let controls = u32::from(segment[13] & SYN != 0) + u32::from(segment[13] & FIN != 0);
    (src, segment[13] & CONTROLS, seq.wrapping_add(controls))
}

/// The peer's segment from `port` to `to`.
fn hear(frames: &mut Link<'_>, port: u16, to: SocketAddr, raw: Raw<'_>) {
    let from = SocketAddr::new(Family::of(to.ip()).host(2), port);
    let _ = frames.handle_frame(START, &ip_packet(from.ip(), to.ip(), &raw.bytes(from, to)));
}

fn shake(frames: &mut Link<'_>, port: u16, to: SocketAddr) -> u32 {
    hear(frames, port, to, Raw { seq: 5, flags: SYN, wnd: 500, ..Raw::default() });
    let out = drain(frames, START).frames;
    assert_eq!(out.len(), 1);
    let (src, flags, ack) = read(&out[0]);
    assert_eq!((src, flags), (to.ip(), SYN | ACK));
    ack
}

fn establish(frames: &mut Link<'_>, listener: ListenerHandle, port: u16, to: SocketAddr) -> (ConnectionHandle, u32) {
    let ack = shake(frames, port, to);
    hear(frames, port, to, Raw { seq: 6, ack, flags: ACK, wnd: 500, ..Raw::default() });
    let handle = frames.tcp().accept(START, listener).unwrap();
    let _ = drain(frames, START);
    (handle, ack)
}

/// On each address: a connection, an RST that waits, TIME-WAIT, a handshake, an answer that waits. Then one address is lost.
#[test]
fn nothing_is_left_or_said_on_a_lost_address() {
    on_frames(Medium::Ip, |frames, family, listener| {
        let addresses = [1, 3].map(|n| SocketAddr::new(family.host(n), 80));
        let mut open: Vec<ConnectionHandle> = Vec::new();
        let mut aborted: Vec<ConnectionHandle> = Vec::new();
        for to in addresses {
            open.push(establish(frames, listener, 1_000, to).0);
            aborted.push(establish(frames, listener, 1_001, to).0);
            let (handle, _) = establish(frames, listener, 1_002, to);
            frames.tcp().close(START, handle).unwrap();
            let out = drain(frames, START).frames;
            let ack = read(&out[0]).2;
            hear(frames, 1_002, to, Raw { seq: 6, ack, flags: FIN | ACK, wnd: 500, ..Raw::default() });
            let _ = drain(frames, START);
            let _ = shake(frames, 1_003, to);
        }
        assert_eq!(frames.tcp().in_use(), (4, 2, 2));
        for (to, handle) in addresses.into_iter().zip(aborted) {
            let closed = SocketAddr::new(to.ip(), 81);
            hear(frames, 1_004, closed, Raw { seq: 5, flags: SYN, wnd: 500, ..Raw::default() });
            frames.tcp().abort(START, handle).unwrap();
        }
        // Their ends are told, what they have to say has not left.
        while let LinkOutput::Event(_) = frames.poll_output(START) {}
        frames.set_addresses(&[interface(family, 3)], None).unwrap();
        let Drained { frames: out, events, .. } = drain(frames, START);
        let said: Vec<_> = out.iter().map(|packet| read(packet)).map(|(src, flags, _)| (src, flags)).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|&(src, flags)| src == family.host(3) && flags & RST != 0), "{said:?}");
        assert!(events.contains(&Event::Closed(open[0], CloseReason::AddressLost)), "{events:?}");
        assert_eq!(frames.tcp().counters().closed(CloseReason::AddressLost), 1);
        frames.tcp().close(START, open[0]).unwrap();
        assert_eq!(frames.tcp().in_use(), (1, 1, 1), "what is on the other address stays");
        frames.tcp().send(START, open[1], b"x").unwrap();
        assert_eq!(drain(frames, START).frames.len(), 1);
    });
}

/// Opens a connection to host `n`, from a port of its own.
fn dial(frames: &mut Link<'_>, family: Family, n: u8) -> ConnectionHandle {
    let remote = SocketAddr::new(family.host(n), 7_000);
    frames.connect(START, 5_000 + u16::from(n), remote, small_stream()).unwrap()
}

/// Who is asked for.
fn asked(frames: &mut Link<'_>, now: Instant) -> Vec<IpAddr> {
    let out = drain(frames, now).frames;
    out.iter().filter_map(|frame| read_question(frame)).map(|(_, target)| target).collect()
}

fn neighbor_answers(frames: &mut Link<'_>, family: Family, n: u8) {
    let its = [2, 0, 0, 0, 1, n];
    let _ = frames.handle_frame(START, &answer((its, family.host(n)), (MAC, family.host(1))));
}

#[test]
fn one_neighbor_more_than_remembered_pushes_the_oldest_out() {
    on_frames(Medium::Ethernet(LinkAddr(MAC)), |frames, family, _| {
        for n in 10..19 {
            let handle = dial(frames, family, n);
            assert_eq!(asked(frames, START), [family.host(n)]);
            neighbor_answers(frames, family, n);
            assert_eq!(drain(frames, START).frames.len(), 1, "the SYN");
            frames.tcp().abort(START, handle).unwrap();
        }
        for n in 11..19 {
            let handle = dial(frames, family, n);
            assert!(asked(frames, START).is_empty(), "host {n} is remembered");
            frames.tcp().abort(START, handle).unwrap();
        }
        dial(frames, family, 10);
        assert_eq!(asked(frames, START), [family.host(10)], "the ninth took its place");
    });
}

#[test]
fn one_question_more_than_places_is_put_in_the_next_round() {
    on_frames(Medium::Ethernet(LinkAddr(MAC)), |frames, family, _| {
        for n in 10..15 {
            dial(frames, family, n);
        }
        let first = asked(frames, START);
        assert_eq!(first, [10, 11, 12, 13].map(|n| family.host(n)));
        let later = START + Duration::from_secs(1);
        frames.handle_timeout(later);
        assert!(asked(frames, later).contains(&family.host(14)), "within a second");
    });
}

#[test]
fn frames_questions_and_fragments_are_counted() {
    on_frames(Medium::Ethernet(LinkAddr(MAC)), |frames, family, _| {
        dial(frames, family, 10);
        let out = drain(frames, START).frames;
        assert!(out.len() == 1 && is_about_neighbors(&out[0]));
        neighbor_answers(frames, family, 10);
        let out = drain(frames, START).frames;
        assert_eq!(read(&out[0][ETHERNET_HEADER..]).1, SYN);
        let (from, to) = (SocketAddr::new(family.host(2), 9), SocketAddr::new(family.host(1), 80));
        let segment = Raw { seq: 5, flags: SYN, wnd: 9, ..Raw::default() }.bytes(from, to);
        let part = ip_part(from.ip(), to.ip(), 0, true, false, &segment[..16]);
        let _ = frames.handle_frame(START, &on_ethernet(MAC, [2, 0, 0, 0, 0, 9], &part));
        let counters = frames.counters();
        assert_eq!((counters.frames_in, counters.frames_out, counters.fragments), (2, 2, 1));
        let questions = [u32::from(family == Family::V4), u32::from(family == Family::V6)];
        assert_eq!([counters.arp_requests, counters.neighbor_solicitations], questions);
        assert_eq!(frames.tcp().counters().segments_in, 1, "the fragment is counted as well");
    });
}

/// A slot that was given back while it waited for a neighbor does not make its next owner wait.
#[test]
fn a_slot_that_waited_for_a_neighbor_is_free_of_it() {
    on_frames(Medium::Ethernet(LinkAddr(MAC)), |frames, family, _| {
        let known = dial(frames, family, 10);
        let _ = drain(frames, START);
        neighbor_answers(frames, family, 10);
        let _ = drain(frames, START);
        let silent = dial(frames, family, 11);
        assert_eq!(asked(frames, START), [family.host(11)]);
        frames.tcp().abort(START, silent).unwrap();
        let _ = drain(frames, START);
        frames.tcp().abort(START, known).unwrap();
        let _ = drain(frames, START);
        for port in [6_001, 6_002] {
            let remote = SocketAddr::new(family.host(10), port);
            frames.connect(START, port, remote, small_stream()).unwrap();
            let out = drain(frames, START).frames;
            assert_eq!(out.len(), 1, "its SYN leaves at once");
            assert_eq!(read(&out[0][ETHERNET_HEADER..]).1, SYN);
        }
    });
}
