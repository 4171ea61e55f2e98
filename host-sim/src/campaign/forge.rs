//! What an attacker sends who knows who speaks with whom, and their numbers but for the one that counts.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4DstUnreachable,
    Icmpv4Packet, Icmpv4Repr, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Repr,
};
use std::net::{IpAddr, Ipv4Addr};
use tcp_reset_core::{Control, Seq, State, Status};

use super::addresses::{Ep, NOBODY, address, mac, name};
use super::plan::Forged;
use super::world::World;
use crate::family::Family;
use crate::frame::Seen;
use crate::resolve;

/// The largest window that a header says by itself.
const UNSCALED: u32 = 65_535;
/// An acknowledgment is older by so much than any that the largest window excuses (RFC 5961 §5.2).
const BEYOND: u32 = 4_465;

/// What the attacker has at the most of a victim's record.
struct Victim {
    at: Ep,
    peer: Ep,
    state: State,
    rcv_nxt: Seq,
    rcv_wnd: u32,
    snd_una: Seq,
    snd_nxt: Seq,
    /// Numbers that an RST may not carry: they would be exact.
    exact: Vec<Seq>,
}

impl World<'_> {
    pub(super) fn forge(&mut self, id: u32, side: usize, forged: Forged, number: u32) {
        let Some(victim) = self.victim(id, side) else { return };
        let h = victim.at.host();
        if h >= self.hosts.len() {
            return;
        }
        if matches!(forged, Forged::IcmpStale | Forged::IcmpTooBig) {
            return self.forge_icmp(&victim, forged == Forged::IcmpTooBig, number);
        }
        let Some(seen) = self.segment(&victim, forged, number) else { return };
        self.note(|| format!("forged {forged:?} to {} in {}", victim.at, victim.state));
        let bytes = seen.forge(mac(victim.peer.host()), mac(h));
        self.inject(h, bytes);
    }

    fn victim(&self, id: u32, side: usize) -> Option<Victim> {
        let conn = self.conns.iter().rfind(|c| c.id == id && c.side == side);
        let opener = self.conns.iter().rfind(|c| c.id == id && c.side == 0);
        let (at, peer) = match (conn, opener) {
            (Some(conn), _) => (conn.local, conn.remote),
            (None, Some(opener)) => (opener.remote, opener.local),
            (None, None) => return None,
        };
        let host = self.hosts.get(at.host())?;
        let is_it = |s: &Status| s.closed.is_none() && (Ep::of(s.local), Ep::of(s.remote)) == (at, peer);
        let status = host.link.tcp_ref().connections().map(|(_, s)| s).find(is_it).or(conn.and_then(|c| c.last));
        let pair = &self.pairs[self.pair_of(at, peer)?];
        let (ours, theirs) = (pair.ways[pair.place(at)].isn, pair.ways[pair.place(peer)].isn);
        let mut exact: Vec<Seq> = theirs.map(|isn| isn + 1).into_iter().collect();
        let state = host.link.tcp_ref().state_of(at.addr(), peer.addr());
        let zero = Seq(0);
        let victim = match status {
            Some(s) => {
                exact.push(s.rcv_nxt);
                Victim {
                    at,
                    peer,
                    state,
                    rcv_nxt: s.rcv_nxt,
                    rcv_wnd: s.rcv_wnd,
                    snd_una: s.snd_una,
                    snd_nxt: s.snd_nxt,
                    exact,
                }
            }
            None => {
                let (una, rcv_nxt) = (ours.unwrap_or(zero), theirs.unwrap_or(zero) + 1);
                Victim { at, peer, state, rcv_nxt, rcv_wnd: 64, snd_una: una, snd_nxt: una + 1, exact }
            }
        };
        Some(victim)
    }

    fn segment(&self, victim: &Victim, forged: Forged, number: u32) -> Option<Seen> {
        let Victim { at, peer, state, rcv_nxt, rcv_wnd, snd_una, snd_nxt, ref exact } = *victim;
        let near = 1 + number % 700;
        let inside = rcv_nxt + 1 + number % rcv_wnd.max(2).saturating_sub(1);
        // One more than SND.NXT may be the number of a window probe.
        let old = UNSCALED.max(self.plan.sizes.buffer) + BEYOND;
        let wrong_ack = if number & 1 == 0 { snd_nxt + 2 + number % 60_000 } else { snd_una - old - number % 60_000 };
        let policy = self.hosts[at.host()].plan.config.rst_policy;
        let is_exact_only = !policy.at_last_ack_sent && !policy.before_fin;
        let text = 1 + number as usize % 200;
        let (control, seq, ack, len) = match forged {
            Forged::RstInWindow => (Control::RST, inside, wrong_ack, 0),
            Forged::RstBefore if is_exact_only => (Control::RST, rcv_nxt - near % 3, wrong_ack, 0),
            Forged::RstBefore => return None,
            Forged::RstBeyond => (Control::RST, rcv_nxt + rcv_wnd + number % 3, wrong_ack, 0),
            Forged::Syn => (Control::SYN, rcv_nxt + number % 1_000 - 300, Seq(0), 0),
            Forged::SynFar => (Control::SYN, Seq(number.wrapping_mul(2_654_435_761)), Seq(0), 0),
            Forged::SynAck => (Control::SYN | Control::ACK, rcv_nxt + near, wrong_ack, 0),
            Forged::Ack => (Control::ACK, inside, wrong_ack, 0),
            Forged::AckFar => (Control::ACK, rcv_nxt - 100_000 - near, snd_una, 0),
            Forged::Data => (Control::ACK | Control::PSH, rcv_nxt, wrong_ack, text),
            Forged::Fin => (Control::FIN | Control::ACK, rcv_nxt, wrong_ack, 0),
            Forged::Null => (Control::empty(), inside, Seq(0), 0),
            Forged::IcmpStale | Forged::IcmpTooBig => return None,
        };
        let is_rst = control.contains(Control::RST);
        // In SYN-SENT an RST counts by its acknowledgment, so one with a wrong one is tried there.
        let control =
            if is_rst && state == State::SynSent && number & 2 == 0 { control | Control::ACK } else { control };
        let is_harmless = !is_rst || !exact.contains(&seq);
        let wnd = if forged == Forged::AckFar { 0 } else { 1_000 };
        let timestamps = (number & 4 > 0).then(|| (number.wrapping_mul(0x9e37_79b9), number));
        is_harmless.then_some(Seen { from: peer.addr(), to: at.addr(), seq, ack, control, wnd, len, timestamps })
    }

    /// "Packet too big" or "fragmentation needed", quoting a segment of the victim's: one in flight, or an old one.
    fn forge_icmp(&mut self, victim: &Victim, is_in_flight: bool, number: u32) {
        let seq = if is_in_flight { victim.snd_una } else { victim.snd_nxt + 1 + number % 70_000 };
        let mut quoted = [0; 20];
        quoted[..2].copy_from_slice(&victim.at.port().to_be_bytes());
        quoted[2..4].copy_from_slice(&victim.peer.port().to_be_bytes());
        quoted[4..8].copy_from_slice(&seq.0.to_be_bytes());
        quoted[12] = 5 << 4;
        let (from, to) = (mac(victim.peer.host()), mac(victim.at.host()));
        let bytes = match (victim.at.addr().ip(), victim.peer.addr().ip()) {
            (IpAddr::V6(ours), IpAddr::V6(peer)) => {
                let header = Ipv6Repr {
                    src_addr: ours,
                    dst_addr: peer,
                    next_header: IpProtocol::Tcp,
                    payload_len: quoted.len(),
                    hop_limit: 64,
                };
                let message = Icmpv6Repr::PktTooBig { mtu: 1_280 + number % 200, header, data: &quoted };
                resolve::on_link((from, peer), (EthernetAddress(to), ours), &message)
            }
            (IpAddr::V4(ours), IpAddr::V4(peer)) => {
                let header = Ipv4Repr {
                    src_addr: ours,
                    dst_addr: peer,
                    next_header: IpProtocol::Tcp,
                    payload_len: quoted.len(),
                    hop_limit: 64,
                };
                fragmentation_needed((from, peer), (to, ours), &header, &quoted, (200 + number % 1_400) as u16)
            }
            _ => return,
        };
        self.note(|| format!("too big, {} in flight {is_in_flight}", victim.at));
        self.inject(victim.at.host(), bytes);
    }

    /// SYNs of nobody, or in the name of a host that will answer with an RST.
    pub(super) fn flood(&mut self, h: usize, other: Option<usize>, family: Family, port: u16, count: u16) {
        self.note(|| format!("{count} SYNs to {}:{port}", name(h)));
        let mut rng = fastrand::Rng::with_seed(self.plan.seed ^ self.now);
        for _ in 0..count {
            let (ip, link_addr) = match other {
                Some(other) => (address(other, family), mac(other)),
                None => (family.host(NOBODY + rng.u8(..40)), mac(90)),
            };
            let from = std::net::SocketAddr::new(ip, rng.u16(10_000..));
            let to = Ep::new(h, family, port).addr();
            let seen = Seen {
                from,
                to,
                seq: Seq(rng.u32(..)),
                ack: Seq(0),
                control: Control::SYN,
                wnd: 1_000,
                len: 0,
                timestamps: None,
            };
            self.inject(h, seen.forge(link_addr, mac(h)));
        }
    }
}

/// The frame of an ICMP error (RFC 1191 §4) that says what the next link carries.
fn fragmentation_needed(
    from: ([u8; 6], Ipv4Addr),
    to: ([u8; 6], Ipv4Addr),
    header: &Ipv4Repr,
    data: &[u8],
    mtu: u16,
) -> Vec<u8> {
    let sums = ChecksumCapabilities::default();
    let icmp = Icmpv4Repr::DstUnreachable { reason: Icmpv4DstUnreachable::FragRequired, header: *header, data };
    let ip = Ipv4Repr {
        src_addr: from.1,
        dst_addr: to.1,
        next_header: IpProtocol::Icmp,
        payload_len: icmp.buffer_len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(from.0),
        dst_addr: EthernetAddress(to.0),
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut bytes = vec![0; ETHERNET_HEADER_LEN + ip.buffer_len() + icmp.buffer_len()];
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    let packet = &mut bytes[ETHERNET_HEADER_LEN..];
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &sums);
    let message = &mut packet[ip.buffer_len()..];
    icmp.emit(&mut Icmpv4Packet::new_unchecked(&mut *message), &sums);
    // The words that smoltcp leaves out: unused, and the next link's MTU.
    message[6..8].copy_from_slice(&mtu.to_be_bytes());
    Icmpv4Packet::new_unchecked(message).fill_checksum();
    bytes
}
