//! Broken cores: our own, with a shim between it and the wire that does one thing wrong.
//!
//! They show that the scenarios notice. Nothing of this runs unless a test asks for it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use smoltcp::wire::{TcpPacket, TcpSeqNumber};
use tcp_reset_core::{Control, Instant, MAX_PERIOD, Seq, State, Status};

use crate::endpoint::{Endpoint, Sent};
use crate::frame::{Seen, edit_tcp};
use crate::tuning::Tuning;

/// The constant interval of a core that does not back off.
const INTERVAL: Duration = Duration::from_millis(250);
/// Bytes of an Ethernet address.
const MAC_LEN: usize = 6;

/// What a broken core does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// RSTs in SYN-RECEIVED are ignored.
    IgnoresRstInSynReceived,
    /// RSTs in synchronized states are ignored.
    IgnoresRst,
    /// No RST is ever sent.
    NeverSendsRst,
    /// Each RST is one beside its number.
    RstBesideNumber,
    /// Each RST that is received is answered by an RST.
    AnswersRst,
    /// An RST anywhere in the window is taken for an exact one.
    BelievesRstInWindow,
    /// RSTs and SYNs in synchronized states draw no challenge.
    NeverChallenges,
    /// Every in-window RST draws a challenge, whatever the quota says.
    ChallengesWithoutEnd,
    /// Nothing is ever sent again.
    NeverRetransmits,
    /// Retransmissions come at a constant interval.
    NeverBacksOff,
    /// A SYN in a synchronized state is ignored.
    IgnoresSynOnConnection,
    /// A SYN in TIME-WAIT is ignored.
    IgnoresSynInTimeWait,
    /// Half-open entries are kept for ever.
    KeepsHalfOpen,
    /// Segments without payload are never acknowledged, and payload neither: no pure ACK is sent.
    NeverAcknowledges,
    /// FINs are sent without their FIN bit.
    NeverSendsFin,
    /// A SYN to a closed port is ignored.
    IgnoresSynToClosedPort,
    /// A wrong ACK in SYN-SENT or SYN-RECEIVED is ignored.
    IgnoresBadAckInHandshake,
    /// Payload in the window is believed whatever its ACK says.
    BelievesAnyAck,
    /// One bit of each long payload is wrong under a right checksum.
    CorruptsPayload,
    /// No window probe is ever sent.
    NeverProbes,
    /// A SYN,ACK is never sent again.
    NeverRepeatsSynAck,
    /// Everything except SYN is ignored in TIME-WAIT.
    IgnoresFinInTimeWait,
    /// No keepalive probe is ever sent.
    NeverAsksIdlePeer,
    /// The keepalive is off, whatever the application asks for.
    ForgetsKeepAlive,
    /// A keepalive probe of the peer's is ignored.
    IgnoresKeepAlive,
    /// No user timeout ends anything.
    ForgetsUserTimeout,
    /// No idle timeout ends anything.
    ForgetsIdleTimeout,
    /// A peer may take for ever until its first byte.
    ForgetsFirstByteTimeout,
    /// A connection may wait for an application for ever.
    ForgetsAcceptTimeout,
    /// What our application has left is never given up.
    ForgetsOrphanTimeout,
    /// Nobody makes way in a full table.
    NeverEvicts,
}

impl Fault {
    /// All of them.
    pub const ALL: &[Fault] = &[
        Fault::IgnoresRstInSynReceived,
        Fault::IgnoresRst,
        Fault::NeverSendsRst,
        Fault::RstBesideNumber,
        Fault::AnswersRst,
        Fault::BelievesRstInWindow,
        Fault::NeverChallenges,
        Fault::ChallengesWithoutEnd,
        Fault::NeverRetransmits,
        Fault::NeverBacksOff,
        Fault::IgnoresSynOnConnection,
        Fault::IgnoresSynInTimeWait,
        Fault::KeepsHalfOpen,
        Fault::NeverAcknowledges,
        Fault::NeverSendsFin,
        Fault::IgnoresSynToClosedPort,
        Fault::IgnoresBadAckInHandshake,
        Fault::BelievesAnyAck,
        Fault::CorruptsPayload,
        Fault::NeverProbes,
        Fault::NeverRepeatsSynAck,
        Fault::IgnoresFinInTimeWait,
        Fault::NeverAsksIdlePeer,
        Fault::ForgetsKeepAlive,
        Fault::IgnoresKeepAlive,
        Fault::ForgetsUserTimeout,
        Fault::ForgetsIdleTimeout,
        Fault::ForgetsFirstByteTimeout,
        Fault::ForgetsAcceptTimeout,
        Fault::ForgetsOrphanTimeout,
        Fault::NeverEvicts,
    ];

    /// Takes away the setting that the core forgets.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other faults are on the wire")]
    pub fn forget(self, tuning: &mut Tuning) {
        let stream = &mut tuning.listen.stream;
        match self {
            Fault::ForgetsKeepAlive => stream.keep_alive = None,
            Fault::ForgetsUserTimeout => stream.user_timeout = None,
            Fault::ForgetsIdleTimeout => stream.idle_timeout = None,
            Fault::ForgetsFirstByteTimeout => stream.first_byte_timeout = None,
            Fault::ForgetsAcceptTimeout => tuning.listen.accept_timeout = None,
            Fault::ForgetsOrphanTimeout => tuning.config.orphan_timeout = MAX_PERIOD,
            Fault::NeverEvicts => tuning.config.eviction = None,
            _ => {}
        }
    }
}

/// The shim. Without a fault it changes nothing.
#[derive(Default)]
pub struct Shim {
    fault: Option<Fault>,
    /// The numbers that payload, SYN or FIN were sent at.
    sent: HashSet<(SocketAddr, SocketAddr, Seq)>,
    /// The last payload that each pair has not acknowledged, and when it was sent.
    last: HashMap<(SocketAddr, SocketAddr), (Instant, Vec<u8>)>,
    /// The SYN of each half-open entry.
    syns: HashMap<(SocketAddr, SocketAddr), Vec<u8>>,
    /// Pairs whose SYN was given to the core again: what it answers stays here.
    revived: HashSet<(SocketAddr, SocketAddr)>,
    /// The number behind the last that each pair has sent.
    ends: HashMap<(SocketAddr, SocketAddr), Seq>,
    /// Pairs whose peer's window is closed.
    closed: HashSet<(SocketAddr, SocketAddr)>,
}

/// What the core would get, and what the wire gets at once.
#[derive(Default)]
pub struct Changed {
    /// Frames for the core.
    pub to_core: Vec<Vec<u8>>,
    /// Frames for the peer.
    pub to_wire: Vec<Vec<u8>>,
}

impl Shim {
    /// Makes a core with this fault of a sound one.
    pub fn new(fault: Option<Fault>) -> Shim {
        Shim { fault, ..Shim::default() }
    }

    /// Changes a frame from the wire before the core has it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "each fault changes few frames, and no other")]
    pub fn receive(&mut self, core: &mut Endpoint, frame: &[u8]) -> Changed {
        let unchanged = Changed { to_core: vec![frame.to_vec()], to_wire: Vec::new() };
        let (Some(fault), Some(seen)) = (self.fault, Seen::parse(frame)) else { return unchanged };
        let state = core.state(seen.to.port(), seen.from);
        let is_rst = seen.control.contains(Control::RST);
        let is_syn = seen.control.contains(Control::SYN) && !is_rst;
        let is_live = state.is_synchronized() && state != State::TimeWait;
        let ignored = Changed::default();
        match fault {
            Fault::IgnoresRstInSynReceived if is_rst && state == State::SynReceived => ignored,
            Fault::IgnoresRst if is_rst && is_live => ignored,
            Fault::AnswersRst if is_rst => Changed { to_wire: vec![answer_to_rst(frame, &seen)], ..unchanged },
            Fault::BelievesRstInWindow if is_rst && is_live => to_exact(core, frame, &seen),
            Fault::ChallengesWithoutEnd if is_rst && is_live => challenged(core, frame, &seen),
            Fault::NeverChallenges if (is_rst && !is_exact(core, &seen) || is_syn) && is_live => ignored,
            Fault::IgnoresSynOnConnection if is_syn && is_live => ignored,
            Fault::IgnoresSynInTimeWait if is_syn && state == State::TimeWait => ignored,
            Fault::IgnoresSynToClosedPort if is_syn && state == State::Closed => ignored,
            Fault::IgnoresBadAckInHandshake if self.has_wrong_ack(&seen, state) => ignored,
            Fault::IgnoresFinInTimeWait if !is_syn && state == State::TimeWait => ignored,
            Fault::IgnoresKeepAlive if is_live && asks_whether_we_are_there(core, &seen) => ignored,
            Fault::NeverProbes if !is_rst => {
                self.note_window(&seen);
                unchanged
            }
            Fault::NeverBacksOff => {
                self.forget_acknowledged(&seen);
                unchanged
            }
            Fault::BelievesAnyAck if seen.len > 0 && is_live => with_right_ack(core, frame, &seen),
            Fault::KeepsHalfOpen if state == State::SynReceived && seen.is(Control::ACK) => {
                // It completes: no longer half-open.
                self.syns.remove(&(seen.from, seen.to));
                unchanged
            }
            Fault::KeepsHalfOpen if is_syn && state == State::Listen => {
                self.syns.insert((seen.from, seen.to), frame.to_vec());
                unchanged
            }
            _ => unchanged,
        }
    }

    /// Changes what the core sends before the wire has it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "each fault changes few frames, and no other")]
    pub fn send(&mut self, now: Instant, sent: Sent) -> Option<Sent> {
        let (Some(fault), Some(seen)) = (self.fault, Seen::parse(&sent.bytes)) else { return Some(sent) };
        let is_rst = seen.control.contains(Control::RST);
        let takes_room = seen.len > 0 || seen.control.intersects(Control::SYN | Control::FIN);
        match fault {
            Fault::NeverSendsRst if is_rst => None,
            Fault::IgnoresBadAckInHandshake if takes_room => {
                self.sent.insert((seen.from, seen.to, seen.seq));
                Some(sent)
            }
            Fault::RstBesideNumber if is_rst => Some(edited(sent, |tcp| tcp.set_seq_number(tcp.seq_number() + 1))),
            Fault::NeverRetransmits if takes_room => self.sent.insert((seen.from, seen.to, seen.seq)).then_some(sent),
            Fault::NeverRepeatsSynAck if seen.is(Control::SYN | Control::ACK) => {
                self.sent.insert((seen.from, seen.to, seen.seq)).then_some(sent)
            }
            Fault::NeverProbes if takes_room && self.closed.contains(&(seen.from, seen.to)) => None,
            Fault::NeverAsksIdlePeer if self.repeats_number(&seen) => None,
            Fault::NeverBacksOff if seen.len > 0 => {
                self.last.insert((seen.from, seen.to), (now, sent.bytes.clone()));
                Some(sent)
            }
            Fault::NeverAcknowledges if seen.is(Control::ACK) && seen.len == 0 => None,
            Fault::NeverSendsFin if seen.control.contains(Control::FIN) => Some(edited(sent, |tcp| tcp.set_fin(false))),
            Fault::CorruptsPayload if seen.len > 500 => Some(edited(sent, |tcp| tcp.payload_mut()[499] ^= 1)),
            Fault::KeepsHalfOpen if self.revived.contains(&(seen.to, seen.from)) => None,
            _ => Some(sent),
        }
    }

    /// What the fault makes of passing time: frames that nobody sent.
    pub fn pass(&mut self, now: Instant, core: &mut Endpoint) -> Changed {
        match self.fault {
            Some(Fault::KeepsHalfOpen) => Changed { to_core: self.revive(core), to_wire: Vec::new() },
            Some(Fault::NeverBacksOff) => Changed { to_core: Vec::new(), to_wire: self.repeat(now) },
            _ => Changed::default(),
        }
    }

    /// Returns how long the shim may sleep, if it has to wake by itself.
    pub fn nap(&self) -> Option<Duration> {
        (!self.last.is_empty()).then_some(INTERVAL / 5)
    }

    fn note_window(&mut self, seen: &Seen) {
        let pair = (seen.to, seen.from);
        if seen.wnd == 0 {
            self.closed.insert(pair);
        } else {
            self.closed.remove(&pair);
        }
    }

    /// An empty segment before what was sent already.
    fn repeats_number(&mut self, seen: &Seen) -> bool {
        let end = seen.seq + seen.len as u32 + u32::from(seen.control.intersects(Control::SYN | Control::FIN));
        let sent = self.ends.entry((seen.from, seen.to)).or_insert(end);
        let is_keep_alive = seen.is(Control::ACK) && seen.len == 0 && end + 1 == *sent;
        if (end.0.wrapping_sub(sent.0) as i32) > 0 || seen.control.contains(Control::SYN) {
            *sent = end;
        }
        is_keep_alive
    }

    fn has_wrong_ack(&self, seen: &Seen, state: State) -> bool {
        let is_handshake = matches!(state, State::SynSent | State::SynReceived);
        let has_ack = seen.control.contains(Control::ACK) && !seen.control.contains(Control::RST);
        is_handshake && has_ack && !self.sent.contains(&(seen.to, seen.from, Seq(seen.ack.0.wrapping_sub(1))))
    }

    fn revive(&mut self, core: &Endpoint) -> Vec<Vec<u8>> {
        let gone = self.syns.iter().filter(|((from, to), _)| core.state(to.port(), *from) == State::Listen);
        let gone: Vec<_> = gone.map(|(pair, syn)| (*pair, syn.clone())).collect();
        self.revived.extend(gone.iter().map(|(pair, _)| *pair));
        gone.into_iter().map(|(_, syn)| syn).collect()
    }

    fn repeat(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let due = self.last.values_mut().filter(|(at, _)| now >= *at + INTERVAL);
        due.map(|(at, frame)| {
            *at = now;
            frame.clone()
        })
        .collect()
    }

    fn forget_acknowledged(&mut self, seen: &Seen) {
        let is_acknowledged = |frame: &[u8]| {
            Seen::parse(frame).is_none_or(|last| seen.ack.0.wrapping_sub(last.seq.0 + last.len as u32) as i32 >= 0)
        };
        let pair = (seen.to, seen.from);
        if self.last.get(&pair).is_some_and(|(_, frame)| is_acknowledged(frame)) {
            self.last.remove(&pair);
        }
    }
}

/// An RST at the number that the RST which provoked it names.
fn answer_to_rst(mac_of: &[u8], rst: &Seen) -> Vec<u8> {
    let answer = Seen {
        from: rst.to,
        to: rst.from,
        seq: rst.ack,
        ack: Seq(0),
        control: Control::RST,
        wnd: 0,
        len: 0,
        timestamps: None,
    };
    answer.forge(mac_at(mac_of, 0), mac_at(mac_of, MAC_LEN))
}

/// The Ethernet address at an offset of a frame.
fn mac_at(frame: &[u8], offset: usize) -> [u8; MAC_LEN] {
    let mut mac = [0; MAC_LEN];
    mac.copy_from_slice(&frame[offset..offset + MAC_LEN]);
    mac
}

fn status_of(core: &mut Endpoint, seen: &Seen) -> Option<Status> {
    let mut connections = core.tcp().connections().map(|(_, status)| status);
    connections.find(|status| status.local == seen.to && status.remote == seen.from)
}

/// How far beyond RCV.NXT, if in the window.
fn place_in_window(core: &mut Endpoint, seen: &Seen) -> Option<u32> {
    let status = status_of(core, seen)?;
    let place = seen.seq.0.wrapping_sub(status.rcv_nxt.0);
    (place < status.rcv_wnd).then_some(place)
}

fn is_exact(core: &mut Endpoint, seen: &Seen) -> bool {
    place_in_window(core, seen) == Some(0)
}

/// An empty ACK at the number before RCV.NXT.
fn asks_whether_we_are_there(core: &mut Endpoint, seen: &Seen) -> bool {
    let is_empty_ack = seen.is(Control::ACK) && seen.len == 0;
    is_empty_ack && status_of(core, seen).is_some_and(|status| seen.seq + 1 == status.rcv_nxt)
}

fn to_exact(core: &mut Endpoint, frame: &[u8], seen: &Seen) -> Changed {
    let mut frame = frame.to_vec();
    if let (Some(_), Some(status)) = (place_in_window(core, seen), status_of(core, seen)) {
        edit_tcp(&mut frame, |tcp| tcp.set_seq_number(TcpSeqNumber(status.rcv_nxt.0 as i32)));
    }
    Changed { to_core: vec![frame], to_wire: Vec::new() }
}

/// The challenge is the shim's own, and the core never sees the RST.
fn challenged(core: &mut Endpoint, frame: &[u8], seen: &Seen) -> Changed {
    let unchanged = Changed { to_core: vec![frame.to_vec()], to_wire: Vec::new() };
    let (Some(1..), Some(status)) = (place_in_window(core, seen), status_of(core, seen)) else { return unchanged };
    let (seq, ack) = (status.snd_nxt, status.rcv_nxt);
    let wnd = u16::try_from(status.rcv_wnd).unwrap_or(u16::MAX);
    let challenge =
        Seen { from: seen.to, to: seen.from, seq, ack, control: Control::ACK, wnd, len: 0, timestamps: None };
    let challenge = challenge.forge(mac_at(frame, 0), mac_at(frame, MAC_LEN));
    Changed { to_core: Vec::new(), to_wire: vec![challenge] }
}

fn with_right_ack(core: &mut Endpoint, frame: &[u8], seen: &Seen) -> Changed {
    let mut frame = frame.to_vec();
    if let Some(status) = status_of(core, seen) {
        let beyond = seen.ack.0.wrapping_sub(status.snd_nxt.0) as i32;
        if !(-65_536..=0).contains(&beyond) {
            edit_tcp(&mut frame, |tcp| tcp.set_ack_number(TcpSeqNumber(status.snd_nxt.0 as i32)));
        }
    }
    Changed { to_core: vec![frame], to_wire: Vec::new() }
}

fn edited(mut sent: Sent, change: impl FnOnce(&mut TcpPacket<&mut [u8]>)) -> Sent {
    edit_tcp(&mut sent.bytes, change);
    sent
}
