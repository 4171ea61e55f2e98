//! The peer: scripts that a TCP client would play, without its losses and timers.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, IpRepr,
    Ipv4Packet, TcpOption, TcpPacket, TcpSeqNumber,
};
#[cfg(feature = "ipv6")]
use smoltcp::wire::{Icmpv6Packet, Icmpv6Repr, Ipv6Address, Ipv6Packet, NdiscNeighborFlags, NdiscRepr};

use super::family::Family;

/// The longest frame: MTU 1,500 and an Ethernet header.
pub(super) const MAX_FRAME: usize = 1_514;
/// A frame's place.
pub(super) type Frame = [u8; MAX_FRAME];
/// The board's Ethernet address.
pub(super) const BOARD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Where the measured application listens.
pub const PORT: u16 = 7;

const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Where nobody listens.
const CLOSED_PORT: u16 = 9;
const FIRST_PORT: u16 = 20_000;
/// Bytes of an echo's text.
const ECHO: u16 = 64;
const TCP_HEADER: usize = 20;
/// Bytes of the timestamps option, with padding, in each segment; of those that a SYN has besides.
const TIMESTAMPS: usize = if cfg!(feature = "bench-timestamps") { 12 } else { 0 };
const SACK_PERMITTED: usize = if cfg!(feature = "bench-sack") { 4 } else { 0 };
const WINDOW_SCALE: usize = if cfg!(feature = "bench-window-scale") { 4 } else { 0 };
const ETHERNET_HEADER: usize = 14;

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

    /// Returns whether there is a connection to be accepted.
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
    family: Family,
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
    /// The stack is to be told our Ethernet address.
    is_address_due: bool,
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
            family: Family::Ipv4,
            script: Script::SynToClosedPort,
            state: State::Idle,
            port: FIRST_PORT,
            seq: 0,
            ack: 0,
            acked: 0,
            window: 0,
            unacked: 0,
            is_address_due: false,
            is_answered: true,
            turn: 0,
        }
    }

    pub(super) fn begin(&mut self, script: Script, family: Family) {
        let port = self.port + 1;
        let state = if script.has_connection() { State::SynDue } else { State::Established };
        // embassy-net forgets an answer over asking for the neighbor: it is told before it asks.
        *self = Peer { family, script, state, port, seq: u32::from(port) << 12, is_address_due: true, ..Peer::new() };
    }

    /// The measurement is over.
    pub(super) fn end(&mut self) {
        self.state = if self.script.has_connection() { State::RstDue } else { State::Idle };
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Returns whether the frame just given is one of those that are measured.
    pub(super) fn is_measurable(&self) -> bool {
        self.state == State::Established
    }

    /// The next frame for the stack.
    pub(super) fn next_frame(&mut self, buf: &mut Frame) -> Option<usize> {
        if self.is_address_due {
            self.is_address_due = false;
            return Some(self.emit_address(buf));
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
                Script::BulkIn => self.next_text(buf, self.family.mss() - TIMESTAMPS as u16),
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

    /// Takes a frame of the stack's; returns whether it is a segment.
    pub(super) fn take_frame(&mut self, frame: &[u8]) -> bool {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                self.is_address_due = true;
                false
            }
            EthernetProtocol::Ipv4 => match Ipv4Packet::new_checked(ethernet.payload()) {
                Ok(ipv4) if ipv4.next_header() == IpProtocol::Tcp => self.take_segment(ipv4.payload()),
                Ok(_) | Err(_) => false,
            },
            #[cfg(feature = "ipv6")]
            EthernetProtocol::Ipv6 => match Ipv6Packet::new_checked(ethernet.payload()) {
                Ok(ipv6) if ipv6.next_header() == IpProtocol::Tcp => self.take_segment(ipv6.payload()),
                Ok(ipv6) => {
                    self.is_address_due |= ipv6.next_header() == IpProtocol::Icmpv6;
                    false
                }
                Err(_) => false,
            },
            #[cfg(not(feature = "ipv6"))]
            EthernetProtocol::Ipv6 => false,
            EthernetProtocol::Unknown(_) => false,
        }
    }

    fn take_segment(&mut self, segment: &[u8]) -> bool {
        let Ok(tcp) = TcpPacket::new_checked(segment) else { return false };
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
        let offers = if control & SYN != 0 { 4 + SACK_PERMITTED + WINDOW_SCALE } else { 0 };
        let options = offers + TIMESTAMPS;
        let (from, board) = (self.family.peer(), self.family.board());
        let segment = TCP_HEADER + options + usize::from(text);
        let ip = IpRepr::new(from, board, IpProtocol::Tcp, segment, 64);
        let len = ETHERNET_HEADER + ip.buffer_len();
        let buf = &mut buf[..len];
        buf.fill(0);
        emit_ethernet(buf, ethertype(from));
        let packet = &mut buf[ETHERNET_HEADER..];
        ip.emit(&mut *packet, &ChecksumCapabilities::default());
        let mut tcp = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
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
        let agrees = control & SYN != 0 && cfg!(feature = "bench-ecn");
        tcp.set_ece(agrees);
        tcp.set_cwr(agrees && control & ACK == 0);
        // A window that changes, so that no ACK is a duplicate of the last.
        tcp.set_window_len(60_000 + self.turn % 2);
        emit_options(tcp.options_mut(), (offers > 0).then(|| self.family.mss()));
        tcp.fill_checksum(&from, &board);
        len
    }

    /// Tells our Ethernet address, asked or not.
    fn emit_address(&self, buf: &mut Frame) -> usize {
        match (self.family.peer(), self.family.board()) {
            (IpAddress::Ipv4(peer), IpAddress::Ipv4(board)) => emit_arp_reply(buf, peer, board),
            #[cfg(feature = "ipv6")]
            (IpAddress::Ipv6(peer), IpAddress::Ipv6(board)) => emit_advertisement(buf, peer, board),
            #[cfg(feature = "ipv6")]
            (IpAddress::Ipv4(_), IpAddress::Ipv6(_)) | (IpAddress::Ipv6(_), IpAddress::Ipv4(_)) => 0,
        }
    }
}

/// Writes the options of a SYN, which has an MSS, or of another segment.
fn emit_options(mut rest: &mut [u8], mss: Option<u16>) {
    if let Some(mss) = mss {
        rest = TcpOption::MaxSegmentSize(mss).emit(rest);
    }
    if mss.is_some() && SACK_PERMITTED != 0 {
        rest = TcpOption::SackPermitted.emit(TcpOption::NoOperation.emit(TcpOption::NoOperation.emit(rest)));
    }
    if mss.is_some() && WINDOW_SCALE != 0 {
        rest = TcpOption::WindowScale(0).emit(TcpOption::NoOperation.emit(rest));
    }
    if TIMESTAMPS != 0 {
        let padded = TcpOption::NoOperation.emit(TcpOption::NoOperation.emit(rest));
        TcpOption::TimeStamp { tsval: 1, tsecr: 0 }.emit(padded);
    }
}

fn ethertype(addr: IpAddress) -> EthernetProtocol {
    match addr {
        IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
        #[cfg(feature = "ipv6")]
        IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
    }
}

fn emit_ethernet(buf: &mut [u8], protocol: EthernetProtocol) {
    let mut ethernet = EthernetFrame::new_unchecked(buf);
    ethernet.set_src_addr(EthernetAddress(PEER_MAC));
    ethernet.set_dst_addr(EthernetAddress(BOARD_MAC));
    ethernet.set_ethertype(protocol);
}

fn emit_arp_reply(buf: &mut Frame, peer: core::net::Ipv4Addr, board: core::net::Ipv4Addr) -> usize {
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(PEER_MAC),
        source_protocol_addr: peer,
        target_hardware_addr: EthernetAddress(BOARD_MAC),
        target_protocol_addr: board,
    };
    let len = ETHERNET_HEADER + reply.buffer_len();
    emit_ethernet(&mut buf[..len], EthernetProtocol::Arp);
    reply.emit(&mut ArpPacket::new_unchecked(&mut buf[ETHERNET_HEADER..len]));
    len
}

#[cfg(feature = "ipv6")]
fn emit_advertisement(buf: &mut Frame, peer: Ipv6Address, board: Ipv6Address) -> usize {
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
        target_addr: peer,
        lladdr: Some(EthernetAddress(PEER_MAC).into()),
    });
    let ip = IpRepr::new(peer.into(), board.into(), IpProtocol::Icmpv6, message.buffer_len(), 255);
    let len = ETHERNET_HEADER + ip.buffer_len();
    emit_ethernet(&mut buf[..len], EthernetProtocol::Ipv6);
    let packet = &mut buf[ETHERNET_HEADER..len];
    let checksums = ChecksumCapabilities::default();
    ip.emit(&mut *packet, &checksums);
    message.emit(&peer, &board, &mut Icmpv6Packet::new_unchecked(&mut packet[ip.header_len()..]), &checksums);
    len
}
