//! The peer: scripts that a TCP client would play, without its losses and timers.

use core::net::Ipv4Addr;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol,
    Ipv4Packet, TcpOption, TcpPacket, TcpSeqNumber,
};

use super::wire::BOARD_ADDR;

/// The longest frame: MTU 1,500 and an Ethernet header.
pub(super) const MAX_FRAME: usize = 1_514;
/// A frame's place.
pub(super) type Frame = [u8; MAX_FRAME];
/// The board's Ethernet address.
pub(super) const BOARD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Where the measured application listens.
pub const PORT: u16 = 7;

const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_ADDR: Ipv4Addr = Ipv4Addr::new(10, 69, 0, 1);
/// Where nobody listens.
const CLOSED_PORT: u16 = 9;
const FIRST_PORT: u16 = 20_000;
const MSS: u16 = 1_460;
/// Octets of an echo's text.
const ECHO: u16 = 64;
const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const HEADERS: usize = 14 + IP_HEADER + TCP_HEADER;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// SYNs to a closed port, each answered by RST.
    SynToClosedPort,
    /// ACKs that carry nothing but a window, on an established connection.
    PureAck,
    /// Full segments to an application that reads them.
    BulkIn,
    /// What an application writes, each segment acknowledged.
    BulkOut,
    /// Short texts that an application sends back, one at a time.
    Echo,
}

impl Script {
    /// All, in the order they are played.
    pub const ALL: [Script; 5] =
        [Script::SynToClosedPort, Script::PureAck, Script::BulkIn, Script::BulkOut, Script::Echo];

    /// What the result calls it.
    pub fn name(self) -> &'static str {
        match self {
            Script::SynToClosedPort => "syn-to-closed-port",
            Script::PureAck => "pure-ack",
            Script::BulkIn => "bulk-in",
            Script::BulkOut => "bulk-out",
            Script::Echo => "echo-64",
        }
    }

    /// Says whether there is a connection to be accepted.
    pub fn has_connection(self) -> bool {
        self != Script::SynToClosedPort
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing to do.
    Idle,
    SynDue,
    SynSent,
    Established,
    RstDue,
}

pub(super) struct Peer {
    script: Script,
    state: State,
    port: u16,
    /// Our next number, the stack's next number, and what it has acknowledged and offered.
    seq: u32,
    ack: u32,
    acked: u32,
    window: u32,
    /// Segments with text that we have not acknowledged.
    unacked: u32,
    is_arp_due: bool,
    /// The last SYN was answered.
    is_answered: bool,
    turn: u16,
}

/// The control bits, as they stand in the header.
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

impl Peer {
    pub(super) const fn new() -> Peer {
        Peer {
            script: Script::SynToClosedPort,
            state: State::Idle,
            port: FIRST_PORT,
            seq: 0,
            ack: 0,
            acked: 0,
            window: 0,
            unacked: 0,
            is_arp_due: false,
            is_answered: true,
            turn: 0,
        }
    }

    pub(super) fn begin(&mut self, script: Script) {
        let port = self.port + 1;
        let state = if script.has_connection() { State::SynDue } else { State::Established };
        // embassy-net forgets an answer over asking for the neighbour: it is told before it asks.
        *self = Peer { script, state, port, seq: u32::from(port) << 12, is_arp_due: true, ..Peer::new() };
    }

    /// The measurement is over.
    pub(super) fn end(&mut self) {
        self.state = if self.script.has_connection() { State::RstDue } else { State::Idle };
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Says whether the frame just given is one of those that are measured.
    pub(super) fn is_measurable(&self) -> bool {
        self.state == State::Established
    }

    /// The next frame for the stack.
    pub(super) fn next_frame(&mut self, buf: &mut Frame) -> Option<usize> {
        if self.is_arp_due {
            self.is_arp_due = false;
            return Some(emit_arp_reply(buf));
        }
        match self.state {
            State::Idle | State::SynSent => None,
            State::SynDue => {
                self.state = State::SynSent;
                self.seq += 1;
                Some(self.emit(buf, PORT, SYN, self.seq - 1, 0))
            }
            State::RstDue => {
                self.state = State::Idle;
                Some(self.emit(buf, PORT, RST | ACK, self.seq, 0))
            }
            State::Established => match self.script {
                Script::SynToClosedPort => self.next_syn(buf),
                Script::PureAck => {
                    self.turn = self.turn.wrapping_add(1);
                    Some(self.emit(buf, PORT, ACK, self.seq, 0))
                }
                Script::BulkIn => self.next_text(buf, MSS),
                Script::BulkOut => self.next_ack(buf),
                Script::Echo if self.is_answered => {
                    self.is_answered = false;
                    self.next_text(buf, ECHO)
                }
                Script::Echo => None,
            },
        }
    }

    fn next_syn(&mut self, buf: &mut Frame) -> Option<usize> {
        if !self.is_answered {
            return None;
        }
        self.is_answered = false;
        self.port = FIRST_PORT + self.port.wrapping_add(1) % 20_000;
        self.seq = self.seq.wrapping_add(64_000);
        Some(self.emit(buf, CLOSED_PORT, SYN, self.seq, 0))
    }

    fn next_text(&mut self, buf: &mut Frame, len: u16) -> Option<usize> {
        let in_flight = self.seq.wrapping_sub(self.acked);
        if in_flight + u32::from(len) > self.window {
            return None;
        }
        let n = self.emit(buf, PORT, ACK | PSH, self.seq, len);
        self.seq = self.seq.wrapping_add(len.into());
        Some(n)
    }

    fn next_ack(&mut self, buf: &mut Frame) -> Option<usize> {
        self.unacked = self.unacked.checked_sub(1)?;
        Some(self.emit(buf, PORT, ACK, self.seq, 0))
    }

    /// Takes a frame of the stack's; says whether it is a segment.
    pub(super) fn take_frame(&mut self, frame: &[u8]) -> bool {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                self.is_arp_due = true;
                false
            }
            EthernetProtocol::Ipv4 => self.take_packet(ethernet.payload()),
            EthernetProtocol::Ipv6 | EthernetProtocol::Unknown(_) => false,
        }
    }

    fn take_packet(&mut self, packet: &[u8]) -> bool {
        let Ok(ipv4) = Ipv4Packet::new_checked(packet) else { return false };
        let Ok(tcp) = TcpPacket::new_checked(ipv4.payload()) else { return false };
        if ipv4.next_header() != IpProtocol::Tcp {
            return false;
        }
        if tcp.rst() {
            self.is_answered = true;
            return true;
        }
        let len = tcp.payload().len() as u32;
        if tcp.syn() {
            self.state = State::Established;
            self.acked = self.seq;
            self.ack = (tcp.seq_number().0 as u32).wrapping_add(1);
            self.unacked = 1;
        }
        self.acked = tcp.ack_number().0 as u32;
        self.window = tcp.window_len().into();
        self.ack = self.ack.wrapping_add(len);
        if len > 0 {
            self.unacked += 1;
            self.is_answered = true;
        }
        true
    }

    fn emit(&self, buf: &mut Frame, to: u16, control: u8, seq: u32, text: u16) -> usize {
        // MSS on the SYN.
        let options = if control & SYN != 0 { 4 } else { 0 };
        let len = HEADERS + options + usize::from(text);
        let buf = &mut buf[..len];
        buf.fill(0);
        emit_ethernet(buf, EthernetProtocol::Ipv4);
        let mut ipv4 = Ipv4Packet::new_unchecked(&mut buf[14..]);
        ipv4.set_version(4);
        ipv4.set_header_len(IP_HEADER as u8);
        ipv4.set_total_len((len - 14) as u16);
        ipv4.set_dont_frag(true);
        ipv4.set_hop_limit(64);
        ipv4.set_next_header(IpProtocol::Tcp);
        ipv4.set_src_addr(PEER_ADDR);
        ipv4.set_dst_addr(BOARD_ADDR);
        ipv4.fill_checksum();
        let mut tcp = TcpPacket::new_unchecked(ipv4.payload_mut());
        tcp.set_src_port(self.port);
        tcp.set_dst_port(to);
        tcp.set_seq_number(TcpSeqNumber(seq as i32));
        tcp.set_ack_number(TcpSeqNumber(if control & ACK != 0 { self.ack as i32 } else { 0 }));
        tcp.set_header_len((TCP_HEADER + options) as u8);
        tcp.set_fin(control & FIN != 0);
        tcp.set_syn(control & SYN != 0);
        tcp.set_rst(control & RST != 0);
        tcp.set_psh(control & PSH != 0);
        tcp.set_ack(control & ACK != 0);
        // A window that changes, so that no ACK is a duplicate of the last.
        tcp.set_window_len(60_000 + self.turn % 2);
        if options > 0 {
            TcpOption::MaxSegmentSize(MSS).emit(tcp.options_mut());
        }
        tcp.fill_checksum(&IpAddress::Ipv4(PEER_ADDR), &IpAddress::Ipv4(BOARD_ADDR));
        len
    }
}

fn emit_ethernet(buf: &mut [u8], protocol: EthernetProtocol) {
    let mut ethernet = EthernetFrame::new_unchecked(buf);
    ethernet.set_src_addr(EthernetAddress(PEER_MAC));
    ethernet.set_dst_addr(EthernetAddress(BOARD_MAC));
    ethernet.set_ethertype(protocol);
}

fn emit_arp_reply(buf: &mut Frame) -> usize {
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(PEER_MAC),
        source_protocol_addr: PEER_ADDR,
        target_hardware_addr: EthernetAddress(BOARD_MAC),
        target_protocol_addr: BOARD_ADDR,
    };
    let len = 14 + reply.buffer_len();
    emit_ethernet(&mut buf[..len], EthernetProtocol::Arp);
    reply.emit(&mut ArpPacket::new_unchecked(&mut buf[14..len]));
    len
}
