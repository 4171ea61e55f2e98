//! The page as it is asked for, over an engine that a peer and an attacker have talked to.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, Ipv4Packet, TcpPacket, TcpSeqNumber};
use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium};
use tcp_reset_core::{
    ChecksumBy, CloseReason, Config, ConnectionHandle, Control, Instant, SecretKey, Seq, State, Status, Storage, Tcp,
};

use super::facts::{LONGEST_PART, SCHEMA};
use super::*;
use crate::app::board::ResetJournal;
use crate::app::last_ends::LastEnds;
use crate::app::liveness;
use crate::app::settings::Server;
use crate::app::shared::ClientState;
use crate::app::sizes::{BUFFER, CONNECTIONS, HALF_OPEN, TIME_WAIT};
use crate::app::stack_use::StackUse;

const BOARD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
const PEER_PORT: u16 = 54_321;
const PEER_ISS: u32 = 3_111_222_333;
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 99);
const SERVER_PORT: u16 = 47_001;
const ECHO: u16 = 7;
/// Where nobody listens.
const CLOSED: u16 = 4_444;
const WINDOW: u32 = BUFFER as u32;
const START_S: u64 = 1_000;
const TCP_HEADER: usize = 20;

type Store = Storage<CONNECTIONS, 3, HALF_OPEN, TIME_WAIT, 65_536>;

/// A segment in plain numbers.
#[derive(Clone, Copy, Debug)]
struct Seg {
    control: Control,
    seq: u32,
    ack: u32,
    len: usize,
}

/// Who sends a segment, or in whose name it is forged, and the local port that it comes to.
#[derive(Clone, Copy, Debug)]
struct Path {
    from: (Ipv4Addr, u16),
    to: u16,
}

/// The path of the peer's connection.
const PEER_TO_ECHO: Path = Path { from: (PEER, PEER_PORT), to: ECHO };

impl Seg {
    fn packet(&self, path: Path) -> Vec<u8> {
        let (addr, port) = path.from;
        let ip = IpRepr::new(addr.into(), BOARD.into(), IpProtocol::Tcp, TCP_HEADER + self.len, 64);
        let mut buf = vec![0; ip.header_len() + TCP_HEADER + self.len];
        ip.emit(&mut buf, &ChecksumCapabilities::default());
        let payload = &mut buf[ip.header_len()..];
        payload[13] = self.control.bits();
        let mut tcp = TcpPacket::new_unchecked(payload);
        tcp.set_src_port(port);
        tcp.set_dst_port(path.to);
        tcp.set_seq_number(TcpSeqNumber(self.seq.cast_signed()));
        tcp.set_ack_number(TcpSeqNumber(self.ack.cast_signed()));
        tcp.set_header_len(TCP_HEADER as u8);
        tcp.set_window_len(1_000);
        tcp.fill_checksum(&addr.into(), &BOARD.into());
        buf
    }
}

struct World<'s> {
    link: Link<'s>,
    now_s: u64,
    echo: ConnectionHandle,
    ends: LastEnds,
}

fn link<'s>(storage: &'s mut Store, journal: Option<&'s ResetJournal>) -> Link<'s> {
    let mut key = [0x5a; 16];
    key[0] = 1;
    let config = Config { reset_diagnostics: true, ..liveness::config() };
    let tcp = Tcp::new(storage, config, SecretKey::new(key).unwrap()).unwrap();
    let mut link = Link::new(tcp, Medium::Ip, ChecksumBy::Software);
    if let Some(journal) = journal {
        link.keep_journal(Instant::from_millis(START_S * 1_000), journal).unwrap();
    }
    link.set_addresses(&[Interface { addr: BOARD.into(), prefix: 24 }], [IpAddr::from([192, 0, 2, 254])]).unwrap();
    link
}

/// The servers that a run before the last restart has opened connections to.
const LOST: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 201)), 40_404),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 202)), 40_505),
];

/// A journal as that run left it.
fn journal_of_last_run() -> Box<ResetJournal> {
    let journal = Box::new(ResetJournal::new());
    let mut storage = Box::new(Store::new());
    let mut link = link(&mut storage, Some(&journal));
    let now = Instant::from_millis(START_S * 1_000);
    for server in LOST {
        link.connect(now, 0, server, liveness::client()).unwrap();
    }
    journal
}

impl World<'static> {
    fn new() -> World<'static> {
        World::over(Box::leak(Box::new(Store::new())))
    }
}

impl<'s> World<'s> {
    /// The peer is ESTABLISHED, the client in SYN-SENT, and a stray segment drew an RST.
    fn over(storage: &'s mut Store) -> World<'s> {
        World::of(link(storage, None))
    }

    /// The same after a restart that a journal outlived.
    fn after_restart(storage: &'s mut Store, journal: &'s ResetJournal) -> World<'s> {
        World::of(link(storage, Some(journal)))
    }

    fn of(mut link: Link<'s>) -> World<'s> {
        let listener = link.tcp().listen((BOARD, ECHO).into(), liveness::service(4)).unwrap();
        let now = Instant::from_millis(START_S * 1_000);
        link.connect(now, 0, (SERVER, SERVER_PORT).into(), liveness::client()).unwrap();
        let _ = sent(&mut link, now);
        let syn = Seg { control: Control::SYN, seq: PEER_ISS, ack: 0, len: 0 };
        let _ = link.handle_frame(now, &syn.packet(PEER_TO_ECHO));
        let syn_ack = sent(&mut link, now);
        let iss =
            TcpPacket::new_checked(Ipv4Packet::new_checked(&syn_ack[0][..]).unwrap().payload()).unwrap().seq_number();
        let ack = Seg { control: Control::ACK, seq: PEER_ISS + 1, ack: iss.0.cast_unsigned() + 1, len: 0 };
        let _ = link.handle_frame(now, &ack.packet(PEER_TO_ECHO));
        let _ = sent(&mut link, now);
        let echo = link.tcp().accept(now, listener).unwrap();
        let stray = Seg { control: Control::ACK, seq: 5, ack: 2_987_654_321, len: 0 };
        let _ = link.handle_frame(now, &stray.packet(Path { to: CLOSED, ..PEER_TO_ECHO }));
        assert_eq!(sent(&mut link, now).len(), 1, "the stray segment is reset");
        World { link, now_s: START_S, echo, ends: LastEnds::NONE }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.now_s * 1_000)
    }

    /// Lets time pass, with every timer in it.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_s += 1;
            let now = self.now();
            self.link.handle_timeout(now);
            let _ = sent(&mut self.link, now);
            self.ends.look(self.link.tcp_ref().counters(), self.now_s);
        }
    }

    fn take(&mut self, path: Path, seg: &Seg) {
        let now = self.now();
        let _ = self.link.handle_frame(now, &seg.packet(path));
        let _ = sent(&mut self.link, now);
    }

    /// Our application closes first, and the peer follows: the connection is in TIME-WAIT.
    fn close(&mut self) {
        let Status { snd_nxt, rcv_nxt, .. } = self.status();
        self.leave();
        let fin = Seg { control: Control::FIN | Control::ACK, seq: rcv_nxt.0, ack: (snd_nxt + 1).0, len: 0 };
        self.take(PEER_TO_ECHO, &fin);
        let (_, _, time_wait) = self.link.tcp_ref().in_use();
        assert_eq!(time_wait, 1);
    }

    /// Our application sends the peer what is never acknowledged.
    fn send(&mut self, text: &[u8]) {
        let now = self.now();
        assert_eq!(self.link.tcp().send(now, self.echo, text), Ok(text.len()));
        assert_eq!(sent(&mut self.link, now).len(), 1);
    }

    /// Our application closes, and keeps the handle.
    fn leave(&mut self) {
        let now = self.now();
        self.link.tcp().close(now, self.echo).unwrap();
        assert_eq!(sent(&mut self.link, now).len(), 1, "the FIN");
    }

    /// Our application aborts its connection to the peer: a reset to be remembered.
    fn abort(&mut self) {
        let now = self.now();
        self.link.tcp().abort(now, self.echo).unwrap();
        assert_eq!(sent(&mut self.link, now).len(), 1);
    }

    fn status(&self) -> Status {
        self.link.tcp_ref().status(self.echo).unwrap()
    }

    /// The client's connection.
    fn client(&self) -> Status {
        let server = SocketAddr::from((SERVER, SERVER_PORT));
        self.link.tcp_ref().connections().map(|(_, status)| status).find(|status| status.remote == server).unwrap()
    }

    fn page(&mut self, view: View, format: Format) -> String {
        self.page_while(view, format, |_, _| {})
    }

    /// The same, while something happens before each part.
    fn page_while(&mut self, view: View, format: Format, mut happen: impl FnMut(&mut Self, usize)) -> String {
        self.ends.look(self.link.tcp_ref().counters(), self.now_s);
        let mut page = String::new();
        let mut parts = 0..;
        let mut part = Some(format.first());
        let mut out = Out::new();
        while let Some(now) = part {
            parts.next().into_iter().for_each(|n| happen(self, n));
            out.text.clear();
            self.write(now, view, &mut out);
            let text = str::from_utf8(&out.text).unwrap();
            assert!(text.len() <= LONGEST_PART, "{} bytes: {text}", text.len());
            page.push_str(text);
            part = now.next(view);
        }
        page
    }

    fn write(&self, part: Part, view: View, out: &mut Out) {
        let facts = Facts {
            board: "test",
            reset_cause: "power-on",
            uptime_s: self.now_s,
            now: self.now(),
            is_link_up: true,
            address: Some(embassy_net::Ipv4Cidr::new(BOARD, 24)),
            #[cfg(feature = "ipv6")]
            address_v6: None,
            stack: StackUse { size: 400_000, used: 6_789 },
            frames_lost: 31_337,
            server: Some(server()),
            client: ClientState::default(),
            last_ends: &self.ends,
        };
        write(&facts, &self.link, part, view, out);
    }

    fn overviews(&mut self) -> [String; 2] {
        FORMATS.map(|format| self.page(View::Overview, format))
    }
}

const FORMATS: [Format; 2] = [Format::Json, Format::Metrics];

fn server() -> Server {
    format!("{SERVER}:{SERVER_PORT}").parse().unwrap()
}

/// What the engine sends now.
fn sent(link: &mut Link<'_>, now: Instant) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    loop {
        match link.poll_output(now) {
            LinkOutput::Transmit(frame) => {
                let mut buf = vec![0; frame.len()];
                frame.emit(&mut buf).unwrap();
                packets.push(buf);
            }
            LinkOutput::Event(_) => {}
            LinkOutput::Timeout(_) => return packets,
        }
    }
}

/// Every number and endpoint that an attacker could use.
fn secrets(world: &World<'_>) -> Vec<String> {
    let tcp = world.link.tcp_ref();
    let mut secrets = vec![PEER.to_string(), SERVER.to_string(), PEER_ISS.to_string()];
    for (_, status) in tcp.connections() {
        let ports = [status.local, status.remote].map(|endpoint| endpoint.port()).into_iter();
        secrets.extend(ports.filter(|&port| port != ECHO).map(|port| port.to_string()));
        // There is no RCV.NXT in SYN-SENT.
        let seqs = [status.snd_una, status.snd_nxt, status.rcv_nxt].into_iter().filter(|&seq| seq.0 != 0);
        secrets.extend(seqs.map(|seq| seq.0.to_string()));
    }
    secrets
}

#[test]
fn an_overview_tells_no_endpoint_and_no_sequence_number() {
    let mut world = World::new();
    world.pass(3);
    let mut secrets = secrets(&world);
    let live = world.overviews();
    world.abort();
    let reset = world.link.tcp_ref().last_resets().next().unwrap();
    secrets.push(reset.seq.0.to_string());
    assert!(secrets.len() >= 12, "{secrets:?}");
    for page in live.into_iter().chain(world.overviews()) {
        for secret in &secrets {
            assert!(!page.contains(secret.as_str()), "{secret}: {page}");
        }
        let lower = page.to_lowercase();
        for word in ["seq", "remote", "challenge", "segments", "limit", "retr", "31337", "6789", "rstin", "half", "syn"]
        {
            assert!(!lower.contains(word), "{word}: {page}");
        }
    }
}

#[test]
fn an_overview_tells_what_a_person_at_the_board_wants_to_see() {
    let mut world = World::new();
    world.pass(42);
    let live = world.page(View::Overview, Format::Json);
    world.abort();
    let page = world.page(View::Overview, Format::Json);
    world.pass(9);
    let later = world.page(View::Overview, Format::Json);
    assert!(live.contains("\"connections\":2,"), "{live}");
    assert!(live.contains("{\"state\":\"ESTABLISHED\",\"idle_s\":42,\"ends_in_s\":78}"), "{live}");
    for text in [
        "{\"schema\":1,\"board\":\"test\",\"reset_cause\":\"power-on\",\"link\":\"up\",\"address\":\"192.0.2.1/24\",\"address_v6\":null,\"client_connected\":false,\"client_last_end\":null,",
        "\"uptime_s\":1042,\"connections\":1,\"connection_slots\":8,\"time_wait\":0,\"time_wait_slots\":16",
        "\"stack_size\":400000,\"stack_used\":8192",
        "\"slots\":[{\"state\":\"opening\",\"idle_s\":null,\"ends_in_s\":null}]",
        "\"last_ends\":[{\"reason\":\"aborted_here\",\"ago_s\":0}]",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(later.contains("\"ago_s\":9"), "{later}");
}

#[test]
fn an_overview_tells_when_a_connection_ends_if_nothing_comes() {
    let ends_in = |world: &mut World<'_>, seconds: u64| {
        let page = world.page(View::Overview, Format::Json);
        let field = format!("\"ends_in_s\":{seconds}}}");
        assert!(page.contains(&field), "{field}: {page}");
    };
    let mut idle = World::new();
    ends_in(&mut idle, 120);
    // Past keepalive's first questions.
    idle.pass(95);
    ends_in(&mut idle, 25);
    let mut sending = World::new();
    sending.send(b"not acknowledged");
    sending.pass(20);
    ends_in(&mut sending, 40);
    let mut left = World::new();
    left.leave();
    left.pass(10);
    ends_in(&mut left, 20);
}

#[test]
fn everything_has_each_timer_and_record_with_its_time() {
    let mut world = World::new();
    world.pass(15);
    let syn = Seg { control: Control::SYN, seq: 77, ack: 0, len: 0 };
    world.take(Path { from: (PEER, PEER_PORT + 1), ..PEER_TO_ECHO }, &syn);
    let json = world.page(View::Everything, Format::Json);
    for text in [
        "\"timers\":[{\"timer\":\"keepalive\",\"in_ms\":45000},{\"timer\":\"idle\",\"in_ms\":285000}]",
        "\"half_open_records\":[{\"local\":\"192.0.2.1:7\",\"remote\":\"198.51.100.77:54322\",\"ends_in_ms\":30000}]",
        "\"time_wait_records\":[]}",
    ] {
        assert!(json.contains(text), "{text}: {json}");
    }
    world.close();
    let json = world.page(View::Everything, Format::Json);
    let record = "\"remote\":\"198.51.100.77:54321\",\"ends_in_ms\":60000}]}";
    assert!(json.contains(record), "{record}: {json}");
}

#[test]
fn a_reset_shows_what_the_peer_said_of_it() {
    // "Connection timeout", a code that nobody has registered, and a text, which is not shown.
    let cases: [(&[u8], &str); 3] = [
        (&[0x33, 0xaa, 0, 14, 0, 0, 0, 0], "\"connection_timeout\""),
        (&[0x33, 0xaa, 1, 0, 0, 0, 0x12, 0x67], "\"code_256_of_enterprise_4711\""),
        (b"\xf3\x17\"<b>&", "null"),
    ];
    for (payload, shown) in cases {
        let mut world = World::new();
        let rcv_nxt = world.status().rcv_nxt.0;
        let rst = Seg { control: Control::RST, seq: rcv_nxt, ack: 0, len: payload.len() };
        let mut packet = rst.packet(PEER_TO_ECHO);
        let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
        let mut tcp = TcpPacket::new_unchecked(ip.payload_mut());
        tcp.payload_mut().copy_from_slice(payload);
        tcp.fill_checksum(&IpAddress::from(PEER), &IpAddress::from(BOARD));
        let now = world.now();
        let _ = world.link.handle_frame(now, &packet);
        let json = world.page(View::Everything, Format::Json);
        let record = format!("\"way\":\"received\",\"reason\":\"rst_exact\",\"said\":{shown}}}");
        assert!(json.contains(&record), "{record}: {json}");
    }
}

#[test]
fn everything_has_endpoints_sequence_numbers_and_counters() {
    let mut world = World::new();
    let ports: Vec<String> = world.link.tcp_ref().connections().map(|(_, status)| status.local.to_string()).collect();
    let live = world.page(View::Everything, Format::Json);
    world.abort();
    let resets: Vec<String> = world.link.tcp_ref().last_resets().map(|reset| reset.seq.0.to_string()).collect();
    assert_eq!((resets.len(), ports.len()), (1, 2));
    for text in ports.iter().map(String::as_str).chain(["SYN-SENT"]) {
        assert!(live.contains(text), "{text}: {live}");
    }
    let [json, metrics] = FORMATS.map(|format| world.page(View::Everything, format));
    let peer = SocketAddr::from((PEER, PEER_PORT)).to_string();
    let server = server().to_string();
    for text in resets.iter().chain([&peer, &server]) {
        assert!(json.contains(text.as_str()), "{text}: {json}");
        assert!(!metrics.contains(text.as_str()), "a label for each of {text} would be without end: {metrics}");
    }
    for text in ["\"closed_ack\":1", "segments_in", "acks_withheld", "31337", "6789", "half_open_slots"] {
        assert!(json.contains(text), "{text}: {json}");
    }
    for text in [
        "_segments_judged_total{rule=\"closed_ack\"} 1\n",
        "_resets_sent_total{reason=\"aborted\"} 1\n",
        "_closed_total{reason=\"timed_out_keepalive\"} 0\n",
        "_frames_lost_total 31337\n",
        "_stack_used_bytes 6789\n",
        "# TYPE tcp_reset_core_segments_received_total counter\n",
    ] {
        assert!(metrics.contains(text), "{text}: {metrics}");
    }
}

/// Every key and label, in order: who reads them relies on these, so a change counts [`SCHEMA`] up.
#[test]
fn keys_and_labels_are_those_of_this_schema() {
    assert_eq!(SCHEMA, 1);
    let journal = journal_of_last_run();
    let mut storage = Box::new(Store::new());
    let mut world = World::after_restart(&mut storage, &journal);
    let syn = Seg { control: Control::SYN, seq: 77, ack: 0, len: 0 };
    world.take(Path { from: (PEER, PEER_PORT + 1), ..PEER_TO_ECHO }, &syn);
    world.abort();
    let [json, metrics] = FORMATS.map(|format| world.page(View::Everything, format));
    let mut keys: Vec<&str> = json.split('"').skip(1).step_by(2).collect();
    keys.retain(|key| json.contains(&format!("\"{key}\":")));
    let mut seen = String::new();
    for key in keys {
        if !seen.lines().any(|line| line == key) {
            seen += key;
            seen += "\n";
        }
        let is_snake = key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !key.contains("__")
            && !key.ends_with('_');
        assert!(is_snake, "{key}");
    }
    assert_eq!(seen, include_str!("keys.txt"));
    let names: String = metrics.lines().filter(|line| !line.starts_with('#')).fold(String::new(), |all, line| {
        let name = line.rsplit_once(' ').map_or(line, |(name, _)| name);
        all + name + "\n"
    });
    assert_eq!(names, include_str!("names.txt"));
}

/// Who has been asked, and by which pair.
fn lost_path(world: &World<'_>, server: SocketAddr) -> Path {
    let peer = world.link.tcp_ref().lost_peers().find(|peer| peer.remote == server).unwrap();
    let SocketAddr::V4(server) = server else { panic!("{server}") };
    Path { from: (*server.ip(), server.port()), to: peer.local.port() }
}

#[test]
fn an_overview_tells_sums_of_lost_peers_once_they_are_known_and_everything_each_pair() {
    let journal = journal_of_last_run();
    let mut storage = Box::new(Store::new());
    let mut world = World::after_restart(&mut storage, &journal);
    let path = lost_path(&world, LOST[0]);
    let open = "\"lost_peers\":2,\"lost_peers_told\":null,\"lost_peers_gone\":null,\"lost_peers_given_up\":null,\
                \"lost_peers_forgotten\":null,\"journal_ignored\":0";
    let before = world.page(View::Overview, Format::Json);
    assert!(before.contains(open), "{before}");
    world.take(path, &Seg { control: Control::ACK, seq: 5, ack: 2_987_654_321, len: 0 });
    assert_eq!(world.page(View::Overview, Format::Json), before);
    let [json, metrics] = FORMATS.map(|format| world.page(View::Everything, format));
    let record = |fate: &str, probes: u8, server: SocketAddr, to: u16| {
        format!("{{\"local\":\"{BOARD}:{to}\",\"remote\":\"{server}\",\"probes\":{probes},\"fate\":{fate}}}")
    };
    let others_port = lost_path(&world, LOST[1]).to;
    for text in [
        "\"lost_peers\":2,\"lost_peers_told\":1,\"lost_peers_gone\":0,",
        "\"lost_peer_probes\":2,",
        &record("null", 1, LOST[0], path.to),
        &record("null", 1, LOST[1], others_port),
    ] {
        assert!(json.contains(text), "{text}: {json}");
    }
    assert!(metrics.contains("_lost_peers_told 1\n"), "{metrics}");
    // Nobody has answered a probe: both are asked for a minute.
    world.pass(61);
    let [json, metrics] = world.overviews();
    let known = "\"lost_peers\":2,\"lost_peers_told\":1,\"lost_peers_gone\":0,\"lost_peers_given_up\":1,\
                 \"lost_peers_forgotten\":0,\"journal_ignored\":0";
    assert!(json.contains(known), "{json}");
    assert!(metrics.contains("_lost_peers_given_up 1\n"), "{metrics}");
    for server in LOST {
        for page in [&json, &metrics, &before] {
            assert!(!page.contains(&server.ip().to_string()) && !page.contains(&path.to.to_string()), "{page}");
        }
    }
    let json = world.page(View::Everything, Format::Json);
    for text in [record("\"told\"", 6, LOST[0], path.to), record("\"gave_no_answer\"", 6, LOST[1], others_port)] {
        assert!(json.contains(&text), "{text}: {json}");
    }
}

#[test]
fn records_that_are_none_are_counted_in_an_overview() {
    let journal = ResetJournal::new();
    for at in 0..3 {
        journal.set_record(at, &[0xa5; tcp_reset_core::JOURNAL_RECORD_LEN]);
    }
    let mut storage = Box::new(Store::new());
    let mut world = World::after_restart(&mut storage, &journal);
    let [json, metrics] = world.overviews();
    assert!(json.contains("\"lost_peers\":0,\"lost_peers_told\":0,"), "{json}");
    assert!(json.contains("\"journal_ignored\":3,"), "{json}");
    assert!(metrics.contains("_journal_records_ignored 3\n"), "{metrics}");
}

/// What comes while a page is written belongs into it or not, but breaks nothing.
#[test]
fn lists_that_grow_while_they_are_written_are_lists() {
    let mut part = Some(Format::Json.first());
    let mut parts = 0;
    while let Some(now) = part {
        (part, parts) = (now.next(View::Everything), parts + 1);
    }
    for when in 0..parts {
        let mut world = World::new();
        let json = world.page_while(View::Everything, Format::Json, |world, n| {
            if n == when {
                for from in 1..3 {
                    let syn = Seg { control: Control::SYN, seq: 77, ack: 0, len: 0 };
                    world.take(Path { from: (PEER, PEER_PORT + from), ..PEER_TO_ECHO }, &syn);
                }
                world.abort();
                world.ends.look(world.link.tcp_ref().counters(), world.now_s);
            }
        });
        for broken in ["[,", ",]", ",,", "{,", ",}", "}{", "]["] {
            assert!(!json.contains(broken), "{when}: {broken}: {json}");
        }
        let count = |c: char| json.matches(c).count();
        assert_eq!((count('['), count('{'), count('"') % 2), (count(']'), count('}'), 0), "{when}: {json}");
    }
}

/// Takes chunks apart (RFC 9112 §7.1); nothing may follow the last.
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let len = usize::from_str_radix(str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let (chunk, after) = rest[end + 2..].split_at(len);
        text.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").unwrap();
        if len == 0 {
            assert_eq!(rest, b"");
            return text;
        }
    }
}

/// Parts of every length, empty ones at the end as well, where a piece is just full before them.
#[test]
fn pieces_make_one_body_in_either_framing() {
    let mut numbers = 1_u32;
    let mut random = |below: usize| {
        numbers = numbers.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (numbers >> 8) as usize % below
    };
    let room = Text::new().capacity() - LONGEST_PART - 7 - 5;
    for round in 0..3_000 {
        // Of the parts, so many are written; the last of them ends where one part less would fit, or anywhere.
        let (written, longest) = (random(60), 1 + random(LONGEST_PART));
        let first = if round % 3 == 0 { room.min(LONGEST_PART) } else { random(longest) };
        let lens: Vec<usize> = (0..written).map(|n| if n == 0 { first } else { random(longest) }).collect();
        let lens =
            if round % 3 == 1 { vec![LONGEST_PART.min(room), room.saturating_sub(LONGEST_PART) + 1] } else { lens };
        for framing in [Framing::Chunks, Framing::Close] {
            let (mut body, mut sent) = (Vec::new(), Vec::new());
            let mut parts = 0;
            let mut pieces = Pieces::new(Format::Metrics.first(), View::Overview, framing);
            while let Some(piece) = pieces.next(|_, out| {
                let text = vec![b'a' + (parts % 26) as u8; lens.get(parts).copied().unwrap_or(0)];
                out.text.extend_from_slice(&text).unwrap();
                body.extend(text);
                parts += 1;
            }) {
                sent.extend_from_slice(piece);
            }
            let received = if framing == Framing::Chunks { joined(&sent) } else { sent };
            assert!(received == body, "{lens:?}");
        }
    }
}

#[test]
fn the_page_has_words_for_every_reason_and_is_small() {
    for reason in CloseReason::ALL {
        let entry = format!("\n{}:'", snake::Snake(reason));
        assert!(INDEX.contains(&entry), "{entry}");
    }
    assert!(INDEX.len() < 12 * 1_024, "{} bytes", INDEX.len());
    assert!(!INDEX.contains("://"), "no external file");
}

/// Distances from RCV.NXT at, beside and far from every edge that a rule knows.
const DISTANCES: [u32; 12] =
    [0, 1, 2, WINDOW / 2, WINDOW - 1, WINDOW, WINDOW + 1, 1 << 20, 1 << 31, u32::MAX, u32::MAX - WINDOW, u32::MAX - 9];

/// Every segment that an attacker can send who knows the endpoints but neither RCV.NXT nor SND.UNA exactly, in volleys of all flags at one
/// place.
fn volleys(near: &Status) -> Vec<Vec<Seg>> {
    let acks = [near.snd_nxt + 1, near.snd_nxt + (1 << 20), near.snd_una - (1 << 17)];
    let places = DISTANCES.into_iter().flat_map(|distance| {
        acks.into_iter().flat_map(move |ack| [0, 1, 100].map(|len| (near.rcv_nxt + distance, ack, len)))
    });
    let volley = |(seq, ack, len): (Seq, Seq, usize)| {
        let controls = (0..0x40).map(Control::from_bits_truncate);
        controls.map(|control| Seg { control, seq: seq.0, ack: ack.0, len }).collect()
    };
    places.map(volley).collect()
}

/// Long enough after a volley that every timer which a segment may have started is over: SYN-RECEIVED, 2 MSL, the client's attempt.
const AFTERMATH_S: u64 = 200;
/// How often it is looked at meanwhile.
const LOOK_S: u64 = 10;

/// Whether a segment is forged or not does not show in an overview, neither at once nor later. `prepare` brings about what is attacked;
/// it is told whether segments will be forged.
fn forgeries_do_not_show(path: Path, segs: &[Seg], prepare: impl Fn(&mut World<'_>, bool)) {
    // Two that differ in nothing but the forged segments.
    let mut stores = [Box::new(Store::new()), Box::new(Store::new())];
    let [mut untouched, mut forged] = stores.each_mut().map(|store| World::over(store));
    prepare(&mut untouched, false);
    prepare(&mut forged, true);
    for seg in segs {
        for world in [&mut untouched, &mut forged] {
            world.pass(1);
        }
        let before = forged.page(View::Everything, Format::Json);
        forged.take(path, seg);
        assert_eq!(forged.overviews(), untouched.overviews(), "{path:?}, {seg:?}");
        assert_ne!(forged.page(View::Everything, Format::Json), before, "{path:?}, {seg:?} was not counted");
    }
    for _ in 0..AFTERMATH_S / LOOK_S {
        for world in [&mut untouched, &mut forged] {
            world.pass(LOOK_S);
        }
        assert_eq!(forged.overviews(), untouched.overviews(), "{path:?}, after {segs:?}");
    }
}

#[test]
fn an_overview_does_not_depend_on_where_a_forged_segment_fell() {
    let status = World::new().status();
    let mut count = 0;
    for volley in volleys(&status) {
        // An RST at RCV.NXT ends the connection.
        let is_hit = |seg: &Seg| seg.control.contains(Control::RST) && seg.seq == status.rcv_nxt.0;
        let volley: Vec<Seg> = volley.into_iter().filter(|seg| !is_hit(seg)).collect();
        count += volley.len();
        forgeries_do_not_show(PEER_TO_ECHO, &volley, |_, _| {});
    }
    assert!(count > 6_000, "{count}");
}

/// Retransmission and user timeout run, and with the application gone the orphan's time.
#[test]
fn an_overview_does_not_depend_on_where_a_forged_segment_fell_while_other_timers_run() {
    let begin_to_send = |world: &mut World<'_>| world.send(b"not acknowledged");
    let leave = |world: &mut World<'_>| world.leave();
    for prepare in [&begin_to_send as &dyn Fn(&mut World<'_>), &leave] {
        let mut world = World::new();
        prepare(&mut world);
        let status = world.status();
        let is_hit = |seg: &Seg| seg.control.contains(Control::RST) && seg.seq == status.rcv_nxt.0;
        for volley in volleys(&status) {
            let volley: Vec<Seg> = volley.into_iter().filter(|seg| !is_hit(seg)).collect();
            forgeries_do_not_show(PEER_TO_ECHO, &volley, |world, _| prepare(world));
        }
    }
}

#[test]
fn an_overview_does_not_depend_on_whether_a_forged_segment_met_a_connection() {
    let status = World::new().status();
    let paths = [
        Path { from: (PEER, PEER_PORT + 1), ..PEER_TO_ECHO },
        Path { from: (SERVER, PEER_PORT), ..PEER_TO_ECHO },
        Path { to: CLOSED, ..PEER_TO_ECHO },
    ];
    for path in paths {
        for volley in volleys(&status) {
            forgeries_do_not_show(path, &volley, |_, _| {});
        }
    }
}

#[test]
fn an_overview_does_not_tell_which_ports_an_open_of_ours_uses() {
    let status = World::new().client();
    let to = status.local.port();
    let server = (SERVER, SERVER_PORT);
    let paths = [
        Path { from: server, to },
        Path { from: server, to: to ^ 1 },
        Path { from: (SERVER, SERVER_PORT + 1), to },
        Path { from: (PEER, SERVER_PORT), to },
    ];
    for path in paths {
        for volley in volleys(&status) {
            forgeries_do_not_show(path, &volley, |world, _| assert_eq!(world.client().state, State::SynSent));
        }
    }
}

/// RCV.NXT is one that the attacker chose then: exact RSTs are among the segments.
/// For as long as the peer of the pair is asked: after that the sums tell whether any of the guesses was right.
#[test]
fn an_overview_does_not_depend_on_whether_a_forged_segment_met_a_lost_peer() {
    let status = World::new().status();
    let segs: Vec<Seg> = volleys(&status).into_iter().flatten().collect();
    // One a second, and a peer is asked for a minute.
    for segs in segs.chunks(50) {
        let [journal, as_well] = [journal_of_last_run(), journal_of_last_run()];
        let mut stores = [Box::new(Store::new()), Box::new(Store::new())];
        let [one, other] = stores.each_mut();
        let (mut untouched, mut forged) = (World::after_restart(one, &journal), World::after_restart(other, &as_well));
        let path = lost_path(&forged, LOST[0]);
        for seg in segs {
            for world in [&mut untouched, &mut forged] {
                world.pass(1);
            }
            let before = forged.page(View::Everything, Format::Json);
            forged.take(path, seg);
            assert_eq!(forged.overviews(), untouched.overviews(), "{path:?}, {seg:?}");
            assert_ne!(forged.page(View::Everything, Format::Json), before, "{path:?}, {seg:?} was not counted");
        }
        assert!(forged.link.tcp_ref().has_lost_peers(), "the peers are asked no more");
    }
}

#[test]
fn an_overview_does_not_tell_whether_a_forged_syn_crossed_ours() {
    let status = World::new().client();
    let path = Path { from: (SERVER, SERVER_PORT), to: status.local.port() };
    let syn = Seg { control: Control::SYN, seq: (status.rcv_nxt - 1).0, ack: 0, len: 0 };
    for volley in volleys(&status) {
        forgeries_do_not_show(path, &volley, |world, is_forged| {
            if is_forged {
                world.take(path, &syn);
                assert_eq!(world.client().state, State::SynReceived);
            }
        });
    }
}

#[test]
fn an_overview_does_not_tell_whether_a_forged_syn_met_time_wait() {
    let status = World::new().status();
    // Both FINs count.
    let near =
        Status { snd_una: status.snd_una + 1, snd_nxt: status.snd_nxt + 1, rcv_nxt: status.rcv_nxt + 1, ..status };
    for volley in volleys(&near) {
        forgeries_do_not_show(PEER_TO_ECHO, &volley, |world, _| world.close());
    }
    let mut world = World::new();
    world.close();
    world.take(PEER_TO_ECHO, &Seg { control: Control::SYN, seq: near.rcv_nxt.0, ack: 0, len: 0 });
    assert_eq!(world.link.tcp_ref().in_use().1, 1, "the SYN does not reopen");
}

/// The tests above can fail: a segment that knows both numbers shows, by the silence that it ends.
#[test]
fn a_segment_of_the_peers_ends_the_silence() {
    let mut world = World::new();
    world.pass(30);
    let before = world.page(View::Overview, Format::Json);
    let Status { snd_nxt, rcv_nxt, .. } = world.status();
    world.take(PEER_TO_ECHO, &Seg { control: Control::ACK, seq: rcv_nxt.0, ack: snd_nxt.0, len: 1 });
    let after = world.page(View::Overview, Format::Json);
    assert!(before.contains("\"state\":\"ESTABLISHED\",\"idle_s\":30"), "{before}");
    assert!(after.contains("\"state\":\"ESTABLISHED\",\"idle_s\":0"), "{after}");
}
